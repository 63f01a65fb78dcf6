"""The marks of a text that open and close thoughts, without those that are only spoken of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from latentseek_agents.thoughts._code import Code
from latentseek_agents.thoughts._families import BY_NAME, MARK, Family
from latentseek_agents.thoughts._format import ThoughtFormat

# Words next to a tag that make it a word as well: "the <think> tag", "<think> and </think> are tags".
_BEFORE = re.compile(
    r"\b(?:the|an?|this|that|these|those|your|its|each|every|tags?|tokens?|markers?|called|named|uses?|using|used"
    r"|with|writes?|writing|prints?|emits?|by|of|in|inside|between|before|after|like|as|says|word|string|element"
    r"|and|or|both|either|no|opening|closing|closes|opens|insert|type|press|contains?)[ \t]+\Z",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"[ \t]+(?:tags?|tokens?|markers?|blocks?|elements?|sections?|keywords?|is|are|means?|or)\b"
    r"|[ \t]+and[ \t]+(?=[<\[`\"'])"
)
_AFTER_WITHIN_A_LINE = re.compile(
    r"[ \t]+(?:and|before|after|in|to|around|as|was|were|which|that|should|must|can|will|at|when|if|for"
    r"|without|with|format|closes|opens|ends|begins|starts|marks)\b|\.\.\.|…|[.,;:!?)](?!\S)"
)
_SAME_LINE = re.compile(r"[ \t]+[a-z]|[.,;:!?)](?!\d)")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“"}
_WINDOW = 24


@dataclass(frozen=True)
class Mark:
    """A mark that counts.

    Args:
        start: Of its first character.
        end: Behind its last one.
        family: The name of its family; marks that are tags of XML have one name. "" for a mark around an
            answer.
        opens: Whether it opens a thought.
        first: Whether nothing but white space stands before it on its line, or another mark.
        weak: It is a word or a field of data unless it stands at the beginning of a line.
        is_sentence: See :class:`Family`.
    """

    start: int
    end: int
    family: str
    opens: bool
    first: bool
    weak: bool = False
    is_sentence: bool = False


def marks_of(text: str, thoughts: ThoughtFormat, *, opened: bool = False) -> list[Mark]:
    """The marks of a text that count, in their order.

    Not those within code or quotation marks, and not those that a sentence speaks of.

    Args:
        text: Any text.
        thoughts: Which marks there are.
        opened: Whether the text begins within a thought.

    Example:
        >>> from latentseek_agents.thoughts._format import ANY_FORMAT
        >>> text = "<think>`</think>` ends it, the </think> tag does</think>"
        >>> [mark.start for mark in marks_of(text, ANY_FORMAT)]
        [0, 48]
    """
    return list(_marks_of(text, thoughts, opened))


def _marks_of(text: str, thoughts: ThoughtFormat, inside: bool) -> Iterator[Mark]:
    code: Code | None = None
    spoken_of: tuple[str, int] | None = None  # a tag in prose, and where its line ends
    behind = 0  # where the last mark ended
    for match in MARK.finditer(text):
        kind, _, name = str(match.lastgroup).partition("_")
        if kind == "answer":
            if thoughts.names & {"open_thinker", "cohere"}:
                yield Mark(match.start(), match.end(), "", opens=False, first=True)
            continue
        if name not in thoughts.names:
            continue
        code = code or Code(text)
        if code.holds(match.start()):
            continue
        family = BY_NAME[name]
        group = "tag" if family.tag else name
        first = _is_first(text, match.start(), behind)
        opens = kind == "open"
        if opens and match.start() > code.open_block:
            continue
        if not opens and spoken_of is not None and spoken_of[0] == group and match.start() <= spoken_of[1]:
            spoken_of = None
            continue
        if _is_mention(text, match, first=first, opens=opens):
            # In prose, the closing tag on the same line is spoken of as well; in a thought it may end that.
            spoken_of = (group, _end_of_line(text, match.end())) if opens and not inside else None
            continue
        yield _mark(match, family, group, opens=opens, first=first)
        behind = match.end()
        inside = opens


def _mark(match: re.Match[str], family: Family, group: str, *, opens: bool, first: bool) -> Mark:
    return Mark(
        match.start(),
        match.end(),
        group,
        opens=opens,
        first=first,
        weak=family.only_first,
        is_sentence=family.is_sentence,
    )


def _is_first(text: str, place: int, behind: int) -> bool:
    """Whether only white space stands before a place, from the beginning of the line or the last mark on."""
    before = max(behind, text.rfind("\n", behind, place) + 1, place - 1000)
    return not text[before:place].strip(" \t>")


def _end_of_line(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _is_mention(text: str, match: re.Match[str], *, first: bool, opens: bool) -> bool:
    """Whether a mark is spoken of and does nothing."""
    start, end = match.span()
    before, after = text[max(0, start - _WINDOW) : start], text[end : end + _WINDOW]
    before = before.rpartition("\n")[2]
    if before[-1:] in _QUOTES and after[:1] == _QUOTES[before[-1]]:
        return True
    if _AFTER.match(after) and (opens or before[-1:] in (" ", "\t")):
        return True
    if first:
        return False
    if opens:
        # A thought begins right behind its tag, or on the next line.
        named = _BEFORE.search(before) and (not after.strip() or after[0] in " \t\"'`-/)]>*_")
        return bool(named or _AFTER_WITHIN_A_LINE.match(after))
    return bool(_BEFORE.search(before) and _SAME_LINE.match(after))
