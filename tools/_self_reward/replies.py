r"""Small readers of text by or for a model: what is visible of it, how it begins, what format it keeps."""

import json
import math
import re
import unicodedata
from typing import Literal

from latentseek_agents.errors import ConfigError

__all__ = ["FormatRule", "checked_format_rule", "excerpt", "keeps_format", "without_invisible"]

FormatRule = Literal["boxed", "json"] | re.Pattern[str]

_LONGEST_TEXT = 100_000
# They show nothing either, though Unicode does not count them among the format characters.
_FILLERS = "\u034f\u115f\u1160\u3164\uffa0"
_OBJECT = re.compile(r'\{\s{0,100}"')
_BRACES = re.compile(r"\\boxed[ \t]{0,10}\{|\\.|[{}]", re.DOTALL)


def excerpt(text: str, length: int = 160) -> str:
    """The beginning of a text, on one line.

    Example:
        >>> excerpt("All is well. And so on.", 13)
        'All is well.…'
    """
    line = " ".join(text[: 20 * length].split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def without_invisible(text: str) -> str:
    """The text without characters that show nothing and may split a word for one reader and not for another.

    Example:
        >>> without_invisible("so\u00adlu\u200btion")
        'solution'
    """
    if text.isascii():
        return text
    hidden = {sign for sign in set(text) if unicodedata.category(sign) == "Cf" or sign in _FILLERS}
    return text.translate(dict.fromkeys(map(ord, hidden))) if hidden else text


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
        rule: ``"boxed"``: somewhere ``\boxed{...}``, closed and not empty. ``"json"``: somewhere a JSON
            object whose ``"final answer"`` is a number, a text that is not blank, or a list of such. A
            compiled pattern: it is found somewhere.

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
    decoder = json.JSONDecoder(strict=False)
    # Each try may read to the end, and an error counts the lines up to it: so there is an end to trying.
    work, at = 4 * _LONGEST_TEXT, 0
    while work > 0 and (found := _OBJECT.search(text, at)):
        at = found.start()
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            work -= error.pos - at + _LONGEST_TEXT // 100
            at += 1
        except (ValueError, RecursionError):  # a number of thousands of digits, or nested too deeply
            work -= _LONGEST_TEXT // 4
            at += 1
        else:
            if isinstance(value, dict) and _is_answer(value.get("final answer")):
                return True
            at = end
    return False


def _is_answer(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_plain_answer(item) for item in value)
    return _is_plain_answer(value)


def _is_plain_answer(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return bool(value.strip()) if isinstance(value, str) else type(value) is int
