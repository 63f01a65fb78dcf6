"""A text taken apart into what was thought, what was answered, and the marks between them."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from latentseek_agents.thoughts._channels import Span, channel_spans
from latentseek_agents.thoughts._families import HARMONY
from latentseek_agents.thoughts._format import ANY_FORMAT, ThoughtFormat
from latentseek_agents.thoughts._marks import NO_TOKENS, TokenMarks, marks_of
from latentseek_agents.thoughts._pairing import Pairing

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
    text: str,
    thoughts: ThoughtFormat = ANY_FORMAT,
    *,
    opened: bool = False,
    implicit: bool = True,
    tokens: TokenMarks = NO_TOKENS,
) -> Split:
    r"""Take a text apart into thoughts and answer.

    In an answer, tags in code and quotation marks, and tags that a sentence speaks of, are text. A thought
    that is open ends at such a closing tag all the same, unless a plain one follows: a model writes it to
    close its thought, whatever code or quotation it had begun there. Only one that nothing but quotation
    marks or ticks enclose ends nothing.

    Args:
        text: What a model wrote, with its marks.
        thoughts: Which marks the model uses.
        opened: Whether its prompt ends within a thought, so that the text begins there.
        implicit: A closing mark without an opening one ends a thought that began with the text, whatever
            ``opened`` says: some templates open it. Off for streams, where the text has been shown by then.
        tokens: What the tokens of the text say of its marks, where they are known.

    Example:
        >>> split_thoughts("It is 5. No.\n</think>\nIt is 4.").text
        'It is 4.'
        >>> cut = split_thoughts("<think>It is \\boxed{5}")
        >>> cut.text, cut.cut_off
        ('', True)
        >>> split_thoughts("It is 5?", opened=True).thinking
        'It is 5?'
        >>> split_thoughts('<think>Not "5"</think>"4"').text
        '"4"'
    """
    spans, cut_off, _ = _spans(text, thoughts, tokens, opened=opened, implicit=implicit)
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


def certain_parts(
    text: str, thoughts: ThoughtFormat, tokens: TokenMarks = NO_TOKENS, *, opened: bool
) -> tuple[tuple[Part, ...], int]:
    """The passages of an unfinished text, and how many first characters stay what they are whatever comes.

    As far as marks that are there decide; those that the end of the text has begun are for the caller.

    Args:
        text: The text so far.
        thoughts: Which marks the model uses.
        tokens: What the tokens of the text say of its marks.
        opened: Whether its prompt ends within a thought.
    """
    spans, _, certain = _spans(text, thoughts, tokens, opened=opened, implicit=False)
    return tuple(Part(*span) for span in spans), certain


def _spans(
    text: str, thoughts: ThoughtFormat, tokens: TokenMarks, *, opened: bool, implicit: bool
) -> tuple[list[Span], bool, int]:
    """Kind, start and end of every passage, whether the text ends in a thought, and how much is certain."""
    if HARMONY in thoughts.names:
        known = thoughts.names == {HARMONY}
        channels = channel_spans(text, opened=opened and known, known=known, tokens=tokens)
        if channels is not None:
            spans, certain = channels
            return spans, bool(spans) and spans[-1][0] == "thinking", certain
    marks = marks_of(text, thoughts, tokens)
    found = Pairing(text, marks, opened=opened, implicit=implicit)
    return found.spans, found.cut_off, found.certain
