r"""What a model's reply says: its verdict, if it gives one, and whether a solution keeps a format."""

import json
import re
from typing import Literal

from latentseek_agents.engine.errors import ConfigError

__all__ = ["FormatRule", "checked_format_rule", "excerpt", "keeps_format", "read_verdict"]

FormatRule = Literal["boxed", "json"] | re.Pattern[str]

_LONGEST_TEXT = 100_000
_BRACES = re.compile(r"\\boxed[ \t]{0,10}\{|\\.|[{}]", re.DOTALL)
# Underscores are Markdown here and no letters, so \b will not do.
_WORD = r"(?<![^\W_])(?:{})(?![^\W_])"
_MARKUP = r"[\s*_`\"'“”(\[{:：=\-–—>$]|\\(?:boxed|text|textbf)\b"
_TRUE_OR_FALSE = _WORD.format("(TRUE|FALSE)")
_VERDICT = re.compile(
    _WORD.format("VERDICT")
    + f"(?:{_MARKUP}){{0,20}}(?:{_WORD.format('is')}(?:{_MARKUP}){{0,20}})?{_TRUE_OR_FALSE}",
    re.IGNORECASE,
)
# Right behind it a condition: the model repeats its instruction.
_CONDITION = re.compile(rf"[\s*_`\"',]{{0,20}}{_WORD.format('if|only|when|unless')}", re.IGNORECASE)
# Right behind it the other word: the model repeats the choice it was given, or takes its word back.
_OTHER_WORD = re.compile(
    r"(?:[\s*_`\"'“”(){}\[\],.;:/|?!\-–—…$]|"
    + _WORD.format("or|and|no|but|wait|actually|rather|sorry|hmm|verdict")
    + f"){{0,20}}{_TRUE_OR_FALSE}",
    re.IGNORECASE,
)


def read_verdict(reply: str) -> bool | None:
    """The verdict that a model's reply states, or None if there is none or there are two that differ.

    Only the word right behind ``VERDICT`` counts, so that "VERDICT: FALSE, it is not true" is False.

    Args:
        reply: What the model wrote, without its prompt.

    Example:
        >>> read_verdict("3 * 24 is 72, as it says. **VERDICT: TRUE**")
        True
        >>> read_verdict("VERDICT: False, it is not true")
        False
        >>> [read_verdict(reply) for reply in ("It is true.", "VERDICT: TRUE or FALSE", "VERDICT: UNTRUE")]
        [None, None, None]
    """
    # What a reasoning model thinks before it replies is not its reply.
    reply = reply.rpartition("</think>")[2]
    if "<think>" in reply:
        return None
    said: set[bool] = set()
    for match in _VERDICT.finditer(reply):
        word = match.group(1).upper()
        other = _OTHER_WORD.match(reply, match.end())
        if _CONDITION.match(reply, match.end()) or (other and other.group(1).upper() != word):
            return None
        said.add(word == "TRUE")
    return said.pop() if len(said) == 1 else None


def excerpt(text: str, length: int = 160) -> str:
    """The beginning of a text, on one line.

    Example:
        >>> excerpt("All is well. And so on.", 13)
        'All is well.…'
    """
    line = " ".join(text[: 20 * length].split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def checked_format_rule(rule: FormatRule | None) -> FormatRule | None:
    """The rule, if there is such a rule.

    Raises:
        ConfigError: There is none.
    """
    if rule is None or isinstance(rule, re.Pattern) or (isinstance(rule, str) and rule in ("boxed", "json")):
        return rule
    raise ConfigError(f"format_rule={rule!r} is unknown; use None, 'boxed', 'json' or re.compile(...)")


def keeps_format(solution: str, rule: FormatRule) -> bool:
    r"""Whether a solution gives its answer in the form that was asked for.

    Args:
        solution: The solution; beyond 100,000 characters only its end is read.
        rule: ``"boxed"``: somewhere ``\boxed{...}``, closed and not empty. ``"json"``: a JSON object that
            has a ``"final answer"``. A compiled pattern: it is found somewhere.

    Example:
        >>> keeps_format(r"So \boxed{\frac{1}{2}} is left.", "boxed"), keeps_format(r"\boxed{", "boxed")
        (True, False)
    """
    solution = solution[-_LONGEST_TEXT:]
    if isinstance(rule, re.Pattern):
        return rule.search(solution) is not None
    return _has_box(solution) if rule == "boxed" else _has_json_answer(solution)


def _has_box(text: str) -> bool:
    opened: list[int | None] = []  # for each open brace, where a box's content begins
    for match in _BRACES.finditer(text):
        brace = match.group()
        if brace.endswith("{") and brace != r"\{":
            opened.append(match.end() if len(brace) > 1 else None)
        elif brace == "}" and opened:
            start = opened.pop()
            if start is not None and text[start : match.start()].strip():
                return True
    return False


def _has_json_answer(text: str) -> bool:
    start = text.find("{")
    if start < 0:
        return False
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):  # not JSON, a number of thousands of digits, or nested too deeply
        return False
    answer = found.get("final answer") if isinstance(found, dict) else None
    return answer is not None and bool(str(answer).strip())
