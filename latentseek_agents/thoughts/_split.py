"""A text taken apart into what was thought, what was answered, and the marks between them."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from latentseek_agents.thoughts._channels import Span, channel_spans
from latentseek_agents.thoughts._families import HARMONY
from latentseek_agents.thoughts._format import ANY_FORMAT, ThoughtFormat
from latentseek_agents.thoughts._marks import Mark, marks_of

# What every mark has: a text without it is all answer.
_MAY_MARK = re.compile(
    r"think|thought|reasoning|reflection|scratchpad|channel|analysis|<\||my response:", re.IGNORECASE
)


@dataclass(frozen=True)
class Part:
    """A passage of a text.

    Args:
        kind: What it is. A mark is neither thought nor answer.
        start: Of its first character.
        end: Behind its last one.
    """

    kind: Literal["thinking", "text", "mark"]
    start: int
    end: int


@dataclass(frozen=True)
class Split:
    """A text taken apart.

    Args:
        thinking: The thoughts, an empty line between two of them.
        text: The answer: the text as it was, without marks and the white space behind them. Empty if the
            text ends within its first thought.
        cut_off: Whether the text ends within a thought.
        parts: All passages in their order; together they are the whole text.
    """

    thinking: str
    text: str
    cut_off: bool
    parts: tuple[Part, ...]


def split_thoughts(
    text: str, thoughts: ThoughtFormat = ANY_FORMAT, *, opened: bool = False, implicit: bool = True
) -> Split:
    r"""Take a text apart into thoughts and answer.

    Tags in blocks of code, inline code and quotation marks, and tags that a sentence speaks of, are text.

    Args:
        text: What a model wrote, with its marks.
        thoughts: Which marks the model uses.
        opened: Whether its prompt ends within a thought, so that the text begins there.
        implicit: A closing mark without an opening one ends a thought that began with the text, whatever
            ``opened`` says: some templates open it. Off for streams, where the text has been shown by then.

    Example:
        >>> split_thoughts("It is 5. No.\n</think>\nIt is 4.").text
        'It is 4.'
        >>> cut = split_thoughts("<think>It is \\boxed{5}")
        >>> cut.text, cut.cut_off
        ('', True)
        >>> split_thoughts("It is 5?", opened=True).thinking
        'It is 5?'
    """
    spans, cut_off, _ = _spans(text, thoughts, opened=opened, implicit=implicit)
    parts = tuple(Part(*span) for span in spans)
    if not opened and all(part.kind == "text" for part in parts):
        return Split("", text, cut_off=False, parts=parts)
    return Split(joined_thinking(text, parts), joined_text(text, parts), cut_off, parts)


def answer_part(text: str) -> str:
    """The answer of a text of which no more is known than its letters.

    Example:
        >>> answer_part("<think>5?</think>4.")
        '4.'
    """
    return split_thoughts(text).text if _MAY_MARK.search(text) else text


class AnswerView:
    """The answer of a text, and where each of its characters stands in the text.

    Args:
        whole: A text of which no more is known than its letters.

    Attributes:
        text: Its answer, an empty line between two passages; the text itself if nothing in it was thought.
        thoughts: Begin and end of each of its thoughts.

    Example:
        >>> view = AnswerView("<think>5?</think>It is 4.")
        >>> view.text, view.place(0), view.place(9)
        ('It is 4.', 17, 26)
        >>> view.thoughts
        [(7, 9)]
    """

    def __init__(self, whole: str) -> None:
        self.text = whole
        self.thoughts: list[tuple[int, int]] = []
        self._starts = [0]
        self._shifts = [0]
        if not _MAY_MARK.search(whole):
            return
        parts = split_thoughts(whole).parts
        if all(part.kind == "text" for part in parts):
            return
        self.text = ""
        self.thoughts = [(part.start, part.end) for part in parts if part.kind == "thinking"]
        for part in parts:
            if part.kind != "text" or not whole[part.start : part.end].strip():
                continue
            self.text += "\n\n" if self.text else ""
            self._starts.append(len(self.text))
            self._shifts.append(part.start - len(self.text))
            self.text += whole[part.start : part.end]

    def place(self, offset: int) -> int:
        """The offset in the whole text of an offset in the answer.

        Args:
            offset: From 0 to the length of the answer.
        """
        index = bisect_right(self._starts, max(offset - 1, 0)) - 1
        return offset + self._shifts[index]

    def span(self, span: tuple[int, int]) -> tuple[int, int]:
        """The same for a beginning and an end."""
        return self.place(span[0] + 1) - 1, self.place(span[1])


def joined_text(text: str, parts: Sequence[Part]) -> str:
    """The passages of the answer in one piece; what is shown of its beginning stays its beginning.

    Args:
        text: The whole text.
        parts: Its passages.
    """
    joined = ""
    for part in parts:
        passage = text[part.start : part.end]
        if part.kind != "text" or not passage.strip():
            continue
        if not joined:
            joined = passage.lstrip() if part.start else passage
            continue
        if joined[-1:].isspace():
            passage = passage.lstrip()
        elif not passage[:1].isspace():  # or "4" and "5" would be 45
            joined += "\n"
        joined += passage
    return joined


def joined_thinking(text: str, parts: Sequence[Part]) -> str:
    """The thoughts, an empty line between two of them.

    Args:
        text: The whole text.
        parts: Its passages.
    """
    passages = (text[part.start : part.end].strip() for part in parts if part.kind == "thinking")
    return "\n\n".join(passage for passage in passages if passage)


def certain_parts(text: str, thoughts: ThoughtFormat, *, opened: bool) -> tuple[tuple[Part, ...], int]:
    """The passages of an unfinished text, and how many first characters stay what they are whatever comes.

    As far as marks that are there decide; those that the end of the text has begun are for the caller.

    Args:
        text: The text so far.
        thoughts: Which marks the model uses.
        opened: Whether its prompt ends within a thought.
    """
    spans, _, certain = _spans(text, thoughts, opened=opened, implicit=False)
    return tuple(Part(*span) for span in spans), certain


def _spans(
    text: str, thoughts: ThoughtFormat, *, opened: bool, implicit: bool
) -> tuple[list[Span], bool, int]:
    """Kind, start and end of every passage, whether the text ends in a thought, and how much is certain."""
    if HARMONY in thoughts.names:
        known = thoughts.names == {HARMONY}
        spans = channel_spans(text, opened=opened and known, known=known)
        if spans is not None:
            return spans, bool(spans) and spans[-1][0] == "thinking", len(text)
    found = _Thoughts(text, marks_of(text, thoughts, opened=opened), opened=opened, implicit=implicit)
    spans = found.spans()
    return spans, found.cut_off, found.certain


class _Thoughts:
    """Which marks of a text belong together.

    A thought ends at the mark that closes all that were opened in it. If there is none, opening marks within
    it are words, and the first closing mark ends it.
    """

    def __init__(self, text: str, marks: list[Mark], *, opened: bool, implicit: bool) -> None:
        self.text = text
        self.marks = marks
        self.cut_off = False
        self.certain = len(text)
        self._partner, unmatched = _pairs(marks)
        self._last_closing = {mark.family: index for index, mark in enumerate(marks) if not mark.opens}
        leading = bool(marks) and marks[0].opens and not text[: marks[0].start].strip()
        self._first: int | None = None
        self.opened = opened
        if opened:
            closing = next((i for i, mark in enumerate(marks) if not mark.opens and mark.family), None)
            self._first = unmatched if unmatched is not None else closing
        elif implicit and not leading and unmatched is not None:
            self.opened = True
            self._first = unmatched

    def spans(self) -> list[Span]:
        """Kind, start and end of every passage."""
        spans: list[Span] = []
        index, position = 0, 0
        if self.opened:
            if self._first is None:
                self.cut_off = True
                return [("thinking", 0, len(self.text))] if self.text else []
            closing = self.marks[self._first]
            if self._first in self._partner.values():
                self.certain = closing.start
            spans += [("thinking", 0, closing.start), ("mark", closing.start, closing.end)]
            index, position = self._first + 1, closing.end
        while index < len(self.marks):
            mark = self.marks[index]
            index += 1
            if not mark.opens:
                if not mark.weak and not mark.is_sentence:
                    spans += [("text", position, mark.start), ("mark", mark.start, mark.end)]
                    position = mark.end
                continue
            end = self._end_of(index - 1)
            if not mark.first and mark.weak:
                continue
            if end is None and (not mark.first or mark.is_sentence):
                self.certain = min(self.certain, mark.start)
                continue
            spans += [("text", position, mark.start), ("mark", mark.start, mark.end)]
            if end is None:
                self.cut_off = True
                spans.append(("thinking", mark.end, len(self.text)))
                position = len(self.text)
                break
            closing = self.marks[end]
            if self._partner.get(index - 1) != end:
                self.certain = min(self.certain, closing.start)
            spans += [("thinking", mark.end, closing.start), ("mark", closing.start, closing.end)]
            index, position = end + 1, closing.end
        spans.append(("text", position, len(self.text)))
        return [span for span in spans if span[1] < span[2]]

    def _end_of(self, opening: int) -> int | None:
        """The mark that ends the thought which a mark opens."""
        partner = self._partner.get(opening)
        family = self.marks[opening].family
        if partner is not None or self._last_closing.get(family, -1) < opening:
            return partner
        following = range(opening + 1, len(self.marks))
        return next(i for i in following if not self.marks[i].opens and self.marks[i].family == family)


def _pairs(marks: Sequence[Mark]) -> tuple[dict[int, int], int | None]:
    """Which closing mark belongs to which opening one; and the first that belongs to none."""
    open_marks: dict[str, list[int]] = {}
    partner: dict[int, int] = {}
    unmatched: int | None = None
    for index, mark in enumerate(marks):
        if not mark.family:
            continue
        waiting = open_marks.setdefault(mark.family, [])
        if mark.opens:
            waiting.append(index)
        elif waiting:
            partner[waiting.pop()] = index
        elif unmatched is None and not mark.weak:
            unmatched = index
    return partner, unmatched
