r"""What a text says that a program prints: the output block behind it, its comments, the sentences after it.

Example:
    >>> text = "```python\nprint(6 * 7)\n```\nThis prints 43."
    >>> claims = output_claims(text, find_blocks(text), 0, "42\n")
    >>> [(claim.text, claim.status, claim.reason) for claim in claims]
    [('43', 'wrong', 'it prints 42, not 43')]
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from latentseek_agents.tools._steps.corrections import corrected_output
from latentseek_agents.tools._steps.fences import FencedBlock, comments_in, find_blocks
from latentseek_agents.tools._steps.judgement import HOLDS, Status
from latentseek_agents.tools._steps.outputs import Comparison, compare_output, numbers_of
from latentseek_agents.verdict import Correction

__all__ = ["Claim", "find_blocks", "output_claims"]

_REACH = 100
"""How many characters may stand between a program and its output block."""

_READ_BEHIND = 2000
_STATED = (
    r"[\s*_`:$€£(\\]{0,9}(?P<stated>[-−]?\d[\d,]{0,30}(?:\.\d{1,30})?)"
    r"(?!\w|[\d.,]*\s{0,3}[-+*/^=×÷·]\s{0,3}[\d(]|\s{0,3}(?:and|or|to)\b)"  # part of something longer
)
_SENTENCE = re.compile(
    r"(?:\b(?:it|this|which|code|program|script|snippet)(?:\s(?:will|should|correctly|then|also|indeed)){0,2}"
    r"\s(?:prints?|outputs?|displays?)(?:\sout)?(?:\sthe\s(?:value|number|result|answer))?"
    r"|\boutput(?:\s(?:of|from)\s(?:the|this|our)\s(?:\w+\s)?(?:code|program|script|snippet))?\s?(?::|is\b|will\sbe\b|was\b)"
    r"|\b(?:running|executing)\s(?:the|this)\s(?:\w+\s)?(?:code|program|script|snippet)"
    r"(?:,\swe\sget|\s(?:gives|yields|prints|outputs|returns|produces)(?:\sus)?))" + _STATED,
    re.IGNORECASE,
)
_BARE_COMMENT = re.compile(r"\s*(?P<stated>[$€£]?\s?[-−]?\d[\d,]{0,30}(?:\.\d{1,30})?\s?%?)\s*")
_LED_COMMENT = re.compile(
    r"\s*(?:(?:expected\s)?output|(?:this\s|should\s|will\s)?(?:prints?|outputs?)|=>|->|→|>>>)[\s:=]{0,5}(?P<stated>\S.*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A place where a text says what a program prints.

    Args:
        text: The claim as it stands in the text.
        span: Offsets of its first character and after its last one in the text.
        status: ``ok``, ``rounded``, ``wrong`` or ``unverifiable``.
        reason: Why, in words; what the program prints, if it prints something else.
        correction: What should stand there, if the claim is wrong and that can be written in its place.
    """

    text: str
    span: tuple[int, int]
    status: Status
    reason: str
    correction: Correction | None = None


def output_claims(text: str, blocks: Sequence[FencedBlock], index: int, printed: str) -> list[Claim]:
    """All claims about what the program in a block prints, in the order of the text.

    Args:
        text: The solution.
        blocks: All fenced blocks of the text.
        index: Which of them holds the program.
        printed: What the program prints.
    """
    lines = [line for line in printed.split("\n") if line.strip()]
    if not lines:
        return []
    claims = [
        *_comment_claims(text, blocks[index], lines),
        *_block_claims(text, blocks, index, lines),
        *_sentence_claims(text, blocks, index, lines),
    ]
    return sorted(claims, key=lambda claim: claim.span)


def _claim(text: str, start: int, end: int, found: Comparison, printed: str) -> Claim:
    correction = corrected_output(text, start, end, printed) if found.status == "wrong" else None
    return Claim(text[start:end], (start, end), found.status, found.reason, correction)


# -- comments ------------------------------------------------------------------------------------------


def _comment_claims(text: str, block: FencedBlock, lines: Sequence[str]) -> Iterator[Claim]:
    """Comments at the lines that print, if it is known which line prints what."""
    code = text[block.inner : block.outer]
    starts = [match.start() for match in re.finditer(r"^[ \t]*print[ \t]?\(", code, re.MULTILINE)]
    indented = any(line.startswith(("    print", "\tprint")) for line in block.text.split("\n"))
    if indented or len(starts) != len(lines) or code.count("print") != len(starts):
        return
    comments = comments_in(code)
    edges = [*starts[1:], len(code)]
    for start, edge, line in zip(starts, edges, lines, strict=True):
        end_of_line = code.find("\n", start)
        for first, last in comments:
            if not start < first < edge:
                continue
            same_line = end_of_line < 0 or first <= end_of_line
            match = _LED_COMMENT.fullmatch(code, first, last)
            match = match or (_BARE_COMMENT.fullmatch(code, first, last) if same_line else None)
            if match:
                begin, stop = match.span("stated")
                found = compare_output(match["stated"], line)
                yield _claim(text, block.inner + begin, block.inner + stop, found, line)


# -- the output block ----------------------------------------------------------------------------------


def _block_claims(
    text: str, blocks: Sequence[FencedBlock], index: int, lines: Sequence[str]
) -> Iterator[Claim]:
    """What the block behind a program shows as its output."""
    block = blocks[index + 1] if index + 1 < len(blocks) else None
    if block is None or not block.is_output:
        return
    if len(text[blocks[index].end : block.start].strip()) > _REACH:
        return
    stated = [
        (block.inner + match.start(), block.inner + match.end())
        for match in re.finditer(r"\S[^\n]*", text[block.inner : block.outer])
    ]
    if len(stated) == len(lines):
        for (start, end), line in zip(stated, lines, strict=True):
            yield _claim(text, start, end, compare_output(text[start:end], line), line)
    elif len(stated) == 1:
        start, end = stated[0]
        found = [compare_output(text[start:end], line) for line in reversed(lines)]
        differs = all(each.status == "wrong" for each in found)
        holds = next((each for each in found if each.status in HOLDS), None)
        unknown = Comparison("unverifiable", f"it prints {len(lines)} lines")
        yield _claim(text, start, end, holds or (found[0] if differs else unknown), lines[-1])
    elif stated:
        start, end = stated[0][0], stated[-1][1]
        found_ = compare_output(text[start:end], " ".join(lines))
        counts = f"it prints {len(lines)} lines, not {len(stated)}"
        same = found_.status in HOLDS
        yield _claim(text, start, end, found_ if same else Comparison("unverifiable", counts), lines[-1])


# -- sentences -----------------------------------------------------------------------------------------


def _sentence_claims(
    text: str, blocks: Sequence[FencedBlock], index: int, lines: Sequence[str]
) -> Iterator[Claim]:
    """What the prose between a program and the next one says that it prints."""
    position = blocks[index].end
    following = [block for block in blocks[index + 1 :] if block.is_python]
    stop = min(following[0].start if following else len(text), position + _READ_BEHIND)
    for match in _SENTENCE.finditer(text, position, stop):
        start, end = match.span("stated")
        if any(block.inner <= start < block.outer for block in blocks):
            continue
        found = [compare_output(match["stated"].replace("−", "-"), line) for line in reversed(lines)]
        holds = next((each for each in found if each.status in HOLDS), None)
        single = len(lines) == 1 and len(numbers_of(lines[0])) == 1
        unknown = Comparison("unverifiable", "it prints more than one number")
        yield _claim(text, start, end, holds or (found[0] if single else unknown), lines[0])
