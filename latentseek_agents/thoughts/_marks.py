"""The marks of a text that may open and close thoughts, and how likely a sentence only speaks of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from latentseek_agents.thoughts._families import BY_NAME, MARK
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
# A mark as the entry of a list, the cell of a table or a heading, with what says of it.
_ENTRY = re.compile(r"[ \t>]*(?:[-*+•]|\d{1,3}[.)]|#{1,6}|\|(?:[^|\n]*\|)*)[ \t]+(?:[*_~`]{1,3})?\Z")
_SAID_OF_ENTRY = re.compile(r"(?:[*_~`]{1,3})?[ \t]*(?:[:=|]|[-–—→(][ \t>]?|[*_~`]{0,3}[ \t]*(?:\n|\Z))")
_SAME_LINE = re.compile(r"[ \t]+[a-z]|[.,;:!?)](?!\d)")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "„": "“"}
# What stands before a quotation mark that opens; behind a word, or behind the end of a sentence, it closes.
_BEFORE_QUOTE = re.compile(r"(?:\A|[\s(\[{<>,:;=/*|\"'`“‘«„–—-])\Z")
_EMPHASIS = ("**", "__", "*", "_", "~~")
_WINDOW = 24


class Doubt(IntEnum):
    """How likely a mark is only spoken of."""

    NONE = 0
    """Nothing says so."""
    SOME = 1
    """It stands in code, or a sentence may speak of it: it counts where a thought has no other end."""
    QUOTED = 2
    """Quotation marks or ticks stand around it and nothing else: it never counts."""


@dataclass(frozen=True)
class TokenMarks:
    """What the tokens of a text say of its marks.

    Args:
        places: Where in the text marks stand that certainly are some.
        ends: Those of them that a budget has put in: each ends the thought that is open there.
        spellings: Marks that are single tokens: wherever else the text spells one, it is text.
    """

    places: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()
    spellings: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls,
        text: str,
        *,
        places: Iterable[int] = (),
        ended: Iterable[int] = (),
        spellings: Sequence[str] = (),
    ) -> "TokenMarks":
        """What is known of the marks of a text.

        Args:
            text: The text.
            places: Where tokens stand in it that are marks.
            ended: Where tokens begin that a budget has put in to end a thought; the mark may have white space
                before it.
            spellings: Marks that are single tokens.
        """
        # A character that its last token has left unfinished may have another length alone.
        found = (MARK.search(text, max(0, place - 2)) for place in ended)
        ends = frozenset(mark.start() for mark in found if mark)
        return cls(frozenset(places) | ends, ends, tuple(spellings))

    def is_text(self, mark: str, start: int) -> bool:
        """Whether a mark is spelled in other tokens than its own.

        Args:
            mark: As it is spelled.
            start: Where it stands.
        """
        return start not in self.places and bool(self.spellings) and mark.startswith(self.spellings)


NO_TOKENS = TokenMarks()
"""For a text of which only the letters are known."""


@dataclass(frozen=True)
class Mark:
    """A mark as it stands in a text, whether it counts or not.

    Args:
        start: Of its first character.
        end: Behind its last one.
        family: The name of its family; marks that are tags of XML have one name. "" for a mark around an
            answer.
        opens: Whether it opens a thought.
        first: Whether nothing but white space stands before it on its line, or another mark.
        doubt: Whether it is only spoken of, code left aside.
        certain: Its tokens say that it is a mark.
        ends: A budget has put it in: it ends the thought that is open.
        weak: It is a word or a field of data unless it stands at the beginning of a line.
        is_sentence: See :class:`Family`.
    """

    start: int
    end: int
    family: str
    opens: bool
    first: bool
    doubt: Doubt = Doubt.NONE
    certain: bool = False
    ends: bool = False
    weak: bool = False
    is_sentence: bool = False


def marks_of(text: str, thoughts: ThoughtFormat, tokens: TokenMarks = NO_TOKENS) -> list[Mark]:
    """The marks of a text in their order, those that are only spoken of among them.

    Args:
        text: Any text.
        thoughts: Which marks there are.
        tokens: What its tokens say.

    Example:
        >>> from latentseek_agents.thoughts._format import ANY_FORMAT
        >>> text = '<think>"</think>" ends it, the </think> tag does</think>'
        >>> [mark.doubt.name for mark in marks_of(text, ANY_FORMAT)]
        ['NONE', 'QUOTED', 'SOME', 'NONE']
    """
    marks = []
    behind = 0  # where the last mark ended
    for match in MARK.finditer(text):
        kind, _, name = str(match.lastgroup).partition("_")
        if tokens.is_text(match.group(), match.start()):
            continue
        if kind == "answer":
            if thoughts.names & {"open_thinker", "cohere"}:
                marks.append(Mark(match.start(), match.end(), "", opens=False, first=True))
            continue
        if name not in thoughts.names:
            continue
        family = BY_NAME[name]
        first = _is_first(text, match.start(), behind)
        certain = match.start() in tokens.places
        doubt = Doubt.NONE if certain else _doubt(text, match, first=first, opens=kind == "open")
        marks.append(
            Mark(
                match.start(),
                match.end(),
                "tag" if family.tag else name,
                opens=kind == "open",
                first=first,
                doubt=doubt,
                certain=certain,
                ends=match.start() in tokens.ends,
                weak=family.only_first,
                is_sentence=family.is_sentence,
            )
        )
        if not doubt:
            behind = match.end()
    return marks


def _is_first(text: str, place: int, behind: int) -> bool:
    """Whether only white space stands before a place, from the beginning of the line or the last mark on."""
    before = max(behind, text.rfind("\n", behind, place) + 1, place - 1000)
    return not text[before:place].strip(" \t>")


def _doubt(text: str, match: re.Match[str], *, first: bool, opens: bool) -> Doubt:
    """Whether a mark is spoken of and does nothing."""
    start, end = match.span()
    before, after = text[max(0, start - _WINDOW) : start], text[end : end + _WINDOW]
    before = before.rpartition("\n")[2]
    if is_quoted(before, after):
        return Doubt.QUOTED
    return Doubt.SOME if _is_mention(before, after, first=first, opens=opens) else Doubt.NONE


def is_quoted(before: str, after: str) -> bool:
    """Whether quotation marks or ticks around a mark open before it and close behind it.

    In ``I say "4"</think>"4"`` they do not: the first one closes what stands before.

    Args:
        before: What stands before it on its line.
        after: What follows it.
    """
    sign = before[-1:]
    if sign not in _QUOTES or after[:1] != _QUOTES[sign]:
        return False
    if sign == "`":
        before, after = before.rstrip("`") + sign, _QUOTES[sign] + after.lstrip("`")
    return _BEFORE_QUOTE.search(before[:-1]) is not None and not after[1:2].isalnum()


def _is_mention(before: str, after: str, *, first: bool, opens: bool) -> bool:
    if _AFTER.match(after) and (opens or before[-1:] in (" ", "\t")):
        return True
    if any(before.endswith(sign) and after.startswith(sign) for sign in _EMPHASIS):
        return True
    if _ENTRY.match(before) and _SAID_OF_ENTRY.match(after):
        return True
    if first:
        return False
    if opens:
        if before[-1:] in _QUOTES and before.strip() != before[-1:] and _BEFORE_QUOTE.search(before[:-1]):
            return True  # a quotation begins with it
        # A thought begins right behind its tag, or on the next line.
        named = _BEFORE.search(before) and (not after.strip() or after[0] in " \t\"'`-/)]>*_")
        return bool(named or _AFTER_WITHIN_A_LINE.match(after))
    return bool(_BEFORE.search(before) and _SAME_LINE.match(after))
