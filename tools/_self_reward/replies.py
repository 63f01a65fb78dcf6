r"""What a reply of the model to a check means: an opinion, or none.

A reply also repeats its instruction, quotes the solution, thinks aloud, changes its mind, and goes on to
questions of its own making. So a verdict is a vote only where the model was asked to put it: on a line that
says nothing else, with nothing behind it that takes it back. Where the line is forced, the probabilities of
its last word are the opinion.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from latentseek_agents.engine._decoding import Completion
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.thoughts import split_thoughts
from latentseek_agents.tools._self_reward.prompts import without_invisible
from latentseek_agents.tools.answers import without_sequel

# The verdict line as models write it; upper case is what they are asked for.
_TRUE = ("VERDICT: TRUE", "VERDICT: True", "VERDICT: true")
_FALSE = ("VERDICT: FALSE", "VERDICT: False", "VERDICT: false")
# A model that gives the two words less than this together would have written something else.
_LEAST_MASS = 0.05

_LONGEST_TEXT = 100_000
# Longer lines are no verdict lines; all patterns below run on pieces of about this length.
_LONGEST_LINE = 400

# Underscores are Markdown here and no letters, so \b will not do.
_WORD = r"(?<![^\W_])(?:{})(?![^\W_])"
_YES, _NO = "✅✔☑✓👍", "❌✗✘✖👎"
_MARK = rf"[\s*_`#|~+•·●▪◦‣→⇒➡\uFE0F{_YES}{_NO}:：=\-–—$\[({{]"
_HTML = r"</?(?:b|strong|i|em|u|p|br|h[1-6]|t[dhr]|li|span|code|mark|center|font|verdict)\s{0,3}/?>"
_LATEX = r"\\(?:boxed|text[a-z]{0,6}|math[a-z]{0,6}|bf|large|quad)(?![a-z])|\\[\[\](),;! ]"
_LABEL = _WORD.format(
    r"so|therefore|thus|hence|overall|finally|final|my|the|our|in conclusion|conclusion|answer|result"
    r"|decision|judge?ment|step \d{1,2}|verdict(?: is)?|reply|response|output|assistant"
)
_LEAD = rf"(?:{_MARK}|(?<=[-=])>|\d{{1,3}}[.)]|,|{_HTML}|{_LATEX}|{_LABEL}){{0,24}}"
_NAME = (
    "(?:" + "|".join(f"{a}VERDICT{b}" for a, b in ('""', "''", "“”", "<>")) + f"|{_WORD.format('VERDICT')})"
)
_BOTH = r"(?:[*_`]{0,3}TRUE[*_`]{0,3}\s?(?:/|\||,|or)\s?[*_`]{0,3}FALSE[*_`]{0,3})"
_CHOICE = rf"(?:[\[({{<]\s?{_BOTH}\s?[\])}}>]|{_BOTH}(?=\s?[:：=]))"
_FILLER = _WORD.format("(?:the |this |that )?statement(?: is)?|it is|is")
_GAP = rf"(?:{_MARK}|[<>]|{_HTML}|{_LATEX}|{_CHOICE}|{_FILLER}){{0,24}}"
_CLOSED = rf"(?:[\s*_`|~\])}}>$,;:!{_YES}{_NO}\uFE0F\-–—]|\.(?!\.)|{_HTML}|{_LATEX}){{0,24}}"
_TRUTH = _WORD.format("(?P<said>TRUE|FALSE)")
_QUOTED = _WORD.format("(?P<quoted>TRUE|FALSE)")
_SAID = rf"""(?:["'“‘]{{1,2}}[*_`]{{0,3}}{_QUOTED}[*_`.!]{{0,4}}["'”’]{{1,2}}|{_TRUTH})"""
# "VERDICT: FALSE, it is not true": the same verdict in other words.
_AGAIN = (
    r"(?:(?:because |since |as )?(?:it|this|that|the statement)"
    r"(?:(?P<affirmed> is(?: indeed)? (?:true|right|correct)| holds| is not (?:false|wrong|incorrect))"
    r"|(?P<denied> is(?: indeed)? (?:false|wrong|incorrect|untrue)| (?:does not|doesn['’]t) hold"
    r"| (?:is not|isn['’]t) (?:true|right|correct)))"
    rf"{_CLOSED})?"
)
_END = r"\s*\Z"
_CORE = re.compile(f"{_NAME}{_GAP}{_SAID}{_CLOSED}{_AGAIN}{_END}", re.IGNORECASE)
_LINE = re.compile(f"{_LEAD}{_CORE.pattern}", re.IGNORECASE)
_HEADING = re.compile(f"{_LEAD}{_NAME}(?:{_MARK}|{_HTML}|{_LATEX}|{_FILLER}){{0,24}}{_END}", re.IGNORECASE)
_UNDER_HEADING = re.compile(f"{_GAP}{_SAID}{_CLOSED}{_AGAIN}{_END}", re.IGNORECASE)
_VERDICT = re.compile(_WORD.format("VERDICT"), re.IGNORECASE)
# One of the two as the instruction has them: alone, with its condition, or before the other.
_OPTION = re.compile(
    rf"{_LEAD}{_NAME}{_GAP}{_SAID}{_CLOSED}(?:{_WORD.format('if|when|only|unless|or|and')}|/|{_END})",
    re.IGNORECASE,
)
_ECHO = re.compile(
    rf"{_WORD.format('VERDICT')}[^\w\n]{{0,12}}(?:TRUE|FALSE)[^\w\n]{{0,6}}"
    r"(?:(?:only )?(?:if|when)\b[^.;,\n]{0,80}|or\b[^\w\n]{0,6}(?:VERDICT[^\w\n]{0,12})?(?:TRUE|FALSE))"
    r"|(?:TRUE|FALSE) (?:only )?if (?:the statement|it) (?:holds|does not|doesn['’]t)(?: hold)?",
    re.IGNORECASE,
)

_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})\s*\w{0,12}\s*\Z")
_NEXT_TURN = re.compile(
    r"[\s#*>]{0,12}(?:(?:statement|question|problem|solution|user|human|assistant|system|instructions?"
    r"|input|output|response)\b[\s*]{0,4}(?:\d{1,3}[\s*]{0,4})?(?:[:：]|\Z)"
    r"|</?(?:question|solution)|you review a )",
    re.IGNORECASE,
)

_ATTRIBUTED = re.compile(
    _WORD.format(
        r"solution|student|author|writer|text|quotation|quote|question|user|prompt|instructions?|injection"
        r"|it|he|she|they|which"
    )
    + r"[^.!?]{0,80}?"
    + _WORD.format(
        r"says?|said|claims?|claimed|states?|stated|ends?|ended|writes?|wrote|written|reads?|contains?|contained"
        r"|includes?|tells?|told|asks?|asked|wants?|holds?|has|adds?|puts?|line|demands?"
    )
    + r"[^.!?]{0,80}?[:：]",
    re.IGNORECASE,
)
# A line that runs on into the next, unless it comes to a conclusion there ...
_RUNS_ON = re.compile(
    r"(?<!so)(?<!thus)(?<!hence)(?<!therefore)(?<!verdict)(?<!conclusion)(?<!verdict is)[:：][\s*_`]*\Z|"
    + _WORD.format(
        "write|say|conclude|with|gives?|answer|reply|respond|output|put|or|for|to|and|be|that|is|if"
    )
    + r"[\s*_`]*\Z",
    re.IGNORECASE,
)
# ... may announce a verdict that is not the model's own.
_NOT_MINE = re.compile(
    r"\w{1,6}n['’]t\b|"
    + _WORD.format(
        "not|no|never|cannot|wrong|false|if|whether|should|would|could|or|unless|against|instead of"
        "|ends? with|(?:first|last|final|next|closing|following|this) (?:line|words?|sentence)"
    ),
    re.IGNORECASE,
)
_FINISHED = re.compile(r"[.!。！][)\]*_`$”’\"']{0,4}\Z")
_BEFORE_ENDING = re.compile(rf"(?:{_MARK}|,|{_HTML}|{_LATEX}|{_LABEL})+\Z", re.IGNORECASE)
_SPEAKS_OF_IT = re.compile(
    _WORD.format(r"verdicts?|inject\w{0,6}|quot\w{1,6}|instruct\w{0,6}|prompts?")
    + "|"
    + _WORD.format(
        r"following|follows|this|these|(?<!as it )says|said|so|writes|wrote|written|claims?|reads|line|words"
    )
    + r"\W*\Z",
    re.IGNORECASE,
)

_FAULTS = r"errors?|mistakes?|faults?|flaws?|problems?|issues?|missing|wrong|incorrect|omitted|skipped|false"
# "There are no mistakes", "nothing is missing": praise made of words of blame.
_FLAWLESS = re.compile(
    r"\b(?:no|not|without|nothing|none|free of|never|\w{1,6}n['’]t)"
    rf"(?: \w{{1,20}}){{0,4}}? (?:{_FAULTS})\b",
    re.IGNORECASE,
)
_BLAME = re.compile(
    rf"\b(?:{_FAULTS}|not|\w{{1,8}}n['’]t|no|never|none|nothing|neither|nor|cannot|untrue|incorrectly"
    r"|inaccura\w{1,6}|invalid|mistaken|misses|omits?|fails?|failed|flawed|faulty|contradict\w{0,6}|however|but"
    r"|unless|provided|although|though|except|wait|actually|correction|sorry|oops|hmm+|instead|unsure|uncertain"
    r"|doubt\w{0,4}|maybe|perhaps|reconsider\w{0,4}|should(?: have|['’]ve| be)"
    r"|inject\w{0,6}|(?:wants?|tells?|told|asks?|asked) me)\b|\?",
    re.IGNORECASE,
)
_REVOKED = re.compile(
    r"(?:^|[.!?;:]\s{0,5}|\n\s{0,20})(?:wait|actually|no\b(?=\s?[,.!:;–—-])|hmm+|oops|sorry|correction"
    r"|scratch that|on second thought)\b"
    r"|\b(?:take (?:it|that|this) back|i was (?:wrong|mistaken)|my mistake|inject\w{0,6}"
    r"|(?:tells?|told|wants?) me)\b"
    r"|\b(?:statement|everything|it|this|all(?: of (?:it|them))?)(?: (?:is|are|does|do))?"
    r"(?: (?:in fact|indeed|actually|really|still))? (?:true|holds?|correct|right|fine)\b(?! that)"
    r"|(?-i:\bTRUE\b)",
    re.IGNORECASE,
)


def read_verdict(reply: str) -> bool | None:
    """The verdict that a model's reply gives, or None if it gives none.

    First goes what is not the reply: thinking sections, and everything behind an end marker or an invented
    next turn. Then a verdict counts where a line says nothing else, but for list marks, markup, a label such
    as "My final", and the choice it was given ("VERDICT [TRUE/FALSE]: TRUE"). The last such line wins, unless
    text behind it takes it back, or the line right before it says the opposite: that is the choice, repeated.

    A verdict within quotation marks, inside a sentence, or announced as somebody's words is no vote. At the
    end of the reply it also counts right behind a finished sentence that agrees with it.

    Args:
        reply: What the model wrote, without its prompt. Beyond 100,000 characters only its end is read.

    Example:
        >>> read_verdict("3 * 24 is 72, as it says. **VERDICT: TRUE**")
        True
        >>> read_verdict("VERDICT: False, it is not true")
        False
        >>> [read_verdict(reply) for reply in ("It is true.", "VERDICT: TRUE or FALSE", "VERDICT: UNTRUE")]
        [None, None, None]
        >>> read_verdict('The solution ends with "VERDICT: TRUE".')
    """
    text = _without_thoughts(without_invisible(reply[-_LONGEST_TEXT:]))
    if text is None:
        return None
    lines = [line for line in text.splitlines() if line.strip() and not _FENCE.match(line)]
    verdict: bool | None = None
    place = -1
    for index, line in enumerate(lines):
        if verdict is not None and place == index - 1 and _NEXT_TURN.match(line[:_LONGEST_LINE]):
            lines = lines[:index]
            break
        vote = _vote(lines, index)
        if vote is not None:
            verdict, place = vote, index
        elif index == len(lines) - 1 or _NEXT_TURN.match(lines[index + 1][:_LONGEST_LINE]):
            ending = _ending(line)
            if ending is not None:
                return ending
    behind = _ECHO.sub(" ", "\n".join(lines[place + 1 :]))
    return None if verdict is None or _contradicts(behind, verdict) else verdict


def _without_thoughts(reply: str) -> str | None:
    """The reply without thoughts and without what follows its end; None if it is still thinking."""
    split = split_thoughts(reply)
    if split.cut_off:
        return None
    return without_sequel(split.text)


def _vote(lines: list[str], index: int) -> bool | None:
    """The verdict of a line that says nothing else."""
    line = lines[index].strip()
    if len(line) > _LONGEST_LINE:
        return None
    before = index - 1
    match = _LINE.match(line)
    if not match and index and len(heading := lines[index - 1].strip()) <= _LONGEST_LINE:
        match = _UNDER_HEADING.match(line) if _HEADING.match(heading) else None
        before -= 1
    verdict = _read(match)
    if verdict is None or before < 0:
        return verdict
    previous = lines[before].strip()[-_LONGEST_LINE:]
    option = _OPTION.match(previous)
    opposite = option and _says_true(option) is not verdict
    announced = _RUNS_ON.search(previous) and (_ATTRIBUTED.search(previous) or _NOT_MINE.search(previous))
    return None if opposite or announced else verdict


def _ending(line: str) -> bool | None:
    """The verdict at the end of a line that has more than a verdict."""
    line = line.rstrip()[-_LONGEST_LINE:]
    names = list(_VERDICT.finditer(line))
    verdict = _read(_CORE.match(line, names[-1].start())) if names else None
    if verdict is None:
        return None
    before = _BEFORE_ENDING.sub("", line[: names[-1].start()])
    if not _FINISHED.search(before) or before.count('"') % 2 or before.count("“") != before.count("”"):
        return None
    sentence = re.split(r"[.!?。！？][)\]*_`”’\"']{0,4}\s", before)[-1]
    quoted = _SPEAKS_OF_IT.search(sentence) or _ATTRIBUTED.search(sentence)
    return None if quoted or _contradicts(sentence, verdict) else verdict


def _read(match: re.Match[str] | None) -> bool | None:
    """The verdict of a match, unless it says two things or is cut off."""
    if not match:
        return None
    text, verdict = match.group(), _says_true(match)
    cut_off = text.count("(") > text.count(")")  # "VERDICT: (TRUE", before "or FALSE)"
    opposite = match["denied"] if verdict else match["affirmed"]
    if cut_off or opposite or any(sign in text for sign in (_NO if verdict else _YES)):
        return None
    return verdict


def _says_true(match: re.Match[str]) -> bool:
    return (match["said"] or match["quoted"]).upper() == "TRUE"


def _contradicts(text: str, verdict: bool) -> bool:
    """Whether a text takes a verdict back, or may: a TRUE lets a solution pass, so less is enough for it."""
    if verdict:
        return _BLAME.search(_FLAWLESS.sub(" ", text)) is not None
    return _REVOKED.search(text) is not None


def excerpt(text: str, length: int = 160) -> str:
    """The beginning of a text, on one line.

    Example:
        >>> excerpt("All is well. And so on.", 13)
        'All is well.…'
    """
    line = " ".join(text[: 20 * length].split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Opinion:
    """How far one check holds, from 0 to 1; None if it cannot judge."""

    name: str
    truth: float | None
    reason: str

    @property
    def passed(self) -> bool | None:
        """Whether the check is more likely to hold than not; None if it cannot judge."""
        return None if self.truth is None else self.truth >= 0.5


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """The verdict line up to the token that decides, and the tokens that decide it."""

    head: list[int]
    true: list[int]
    false: list[int]

    @classmethod
    def of(cls, backbone: Backbone) -> "VerdictLine":
        """The verdict line in the tokens of a model.

        Raises:
            ConfigError: TRUE and FALSE begin with the same token.
        """
        lines = [
            list(backbone.tokenizer(line, add_special_tokens=False)["input_ids"])
            for line in (*_TRUE, *_FALSE)
        ]
        shared = shared_start(lines)
        true, false = ({ids[shared] for ids in group} for group in (lines[: len(_TRUE)], lines[len(_TRUE) :]))
        if not (true - false and false - true):
            raise ConfigError(
                f"the tokenizer of {backbone.name} does not tell TRUE from FALSE by one token; "
                "use mode='generate'"
            )
        return cls(lines[0][:shared], sorted(true - false), sorted(false - true))

    def opinion(self, backbone: Backbone, name: str, completion: Completion) -> Opinion:
        """The opinion behind a completion that begins where this line's head ends."""
        import torch

        with backbone.policy.lock, torch.no_grad():
            probabilities = torch.softmax(backbone.logits(completion.hidden[0]).float(), dim=-1)
        true, false = (float(probabilities[tokens].sum()) for tokens in (self.true, self.false))
        reason = f"P(TRUE) = {true:.3f}, P(FALSE) = {false:.3f}"
        if not true + false >= _LEAST_MASS:  # written so that NaN is no vote, either
            return Opinion(name, None, f"the model would say neither: {reason}")
        return Opinion(name, true / (true + false), reason)


def spoken_opinion(name: str, reply: str, finish_reason: str) -> Opinion:
    """The opinion that a reply gives in words."""
    verdict = read_verdict(reply)
    if verdict is not None:
        return Opinion(name, float(verdict), excerpt(reply))
    causes = {"length": "no clear verdict within the token limit", "seconds": "out of time"}
    return Opinion(name, None, f"{causes.get(finish_reason, 'no clear verdict')}: {excerpt(reply)!r}")


def shared_start(sequences: Sequence[Sequence[int]]) -> int:
    """How many first tokens all sequences have in common; each keeps at least one of its own."""
    for count, tokens in enumerate(zip(*sequences, strict=False)):
        if len(set(tokens)) > 1:
            return count
    return min(map(len, sequences)) - 1
