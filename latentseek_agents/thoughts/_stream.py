"""Thoughts and answer of a text that is still being written: only what stays what it is."""

import re
from functools import cache

from latentseek_agents.thoughts._families import ANSWER_MARKS, FAMILIES, HARMONY, HARMONY_MARKS, MARK
from latentseek_agents.thoughts._format import ANY_FORMAT, ThoughtFormat
from latentseek_agents.thoughts._marks import TokenMarks
from latentseek_agents.thoughts._split import (
    Part,
    Split,
    certain_parts,
    joined_text,
    joined_thinking,
    split_thoughts,
)

# Without one of these nothing begins or ends. The letter begins the words of Granite.
_SPECIAL = re.compile(r"[<\[◁`~▷>\]H]")
# Behind a mark: what follows decides whether a sentence speaks of it.
_UNDECIDED = re.compile(r"\s*\Z|[ \t]*(?:and[ \t]+)?[\w.,;:!?\"'`”’»)…*_|-]*\Z")
# A line that may become the fence of a block of code.
_FENCE_BEGUN = re.compile(r"(?:^[ \t>]*|(?<=[>\]▷]))(?P<ticks>`+|~+)[^\n`<\[◁]*\Z", re.MULTILINE)
_BARE_HARMONY = ("analysis", "assistantfinal", "assistant final")


class ThoughtStream:
    r"""Takes a text in pieces; tells what is certain of its thoughts and of its answer.

    Both only grow, and end as :meth:`finish` has them.

    Args:
        thoughts: Which marks the model uses.
        opened: Whether its prompt ends within a thought.
        spellings: Marks that are single tokens: what spells one otherwise is text.

    Example:
        >>> stream = ThoughtStream()
        >>> for piece in ("<thi", "nk>Hm", ".</th", "ink>\n\n", "4."):
        ...     stream.add(piece)
        ...     print([stream.thinking, stream.text])
        ['', '']
        ['', '']
        ['Hm.', '']
        ['Hm.', '']
        ['Hm.', '4.']
    """

    def __init__(
        self,
        thoughts: ThoughtFormat = ANY_FORMAT,
        *,
        opened: bool = False,
        spellings: tuple[str, ...] = (),
    ) -> None:
        self.written = ""
        self._spellings = spellings
        self._places: set[int] = set()
        self._ends: list[int] = []
        self._thoughts = thoughts
        self._opened = opened
        self._words = _spellings(thoughts)
        self._parts: tuple[Part, ...] = ()
        self._certain = 0
        self._quiet = False

    @property
    def tokens(self) -> TokenMarks:
        """What is known of the marks so far."""
        return TokenMarks.of(self.written, places=self._places, ended=self._ends, spellings=self._spellings)

    def ends_here(self) -> None:
        """A budget ends the thought: the first mark from here on is certain."""
        self._ends.append(len(self.written))

    def add(self, piece: str, *, is_mark: bool = False) -> None:
        """Go on with this piece.

        Args:
            piece: Some characters.
            is_mark: It is a token that marks thoughts.
        """
        if is_mark:
            self._places.add(len(self.written))
        self.written += piece
        if self._quiet and self._parts and not _SPECIAL.search(piece):
            last = self._parts[-1]
            self._parts = (*self._parts[:-1], Part(last.kind, last.start, len(self.written)))
            return
        fence = _FENCE_BEGUN.search(self.written, self.written.rfind("\n") + 1)
        whole = self.written if fence is None else self.written[: fence.start("ticks")]
        parts, certain = certain_parts(whole, self._thoughts, self.tokens, opened=self._opened)
        # What was shown stays shown, also where one has to be more careful now.
        certain = self._certain = max(self._certain, min(certain, self._begun(whole)))
        self._parts = tuple(
            Part(part.kind, part.start, min(part.end, certain)) for part in parts if part.start < certain
        )
        bare = HARMONY in self._thoughts.names and self.written.lstrip().startswith(_BARE_HARMONY[0])
        inside = bool(self._parts) and self._parts[-1].kind != "mark"
        self._quiet = certain == len(self.written) and inside and not bare

    @property
    def thinking(self) -> str:
        """The thoughts, as far as they are certain."""
        return joined_thinking(self.written, self._parts)

    @property
    def text(self) -> str:
        """The answer, as far as it is certain."""
        return joined_text(self.written, self._parts)

    def finish(self) -> Split:
        """The whole text, taken apart."""
        return self.split(implicit=False)

    def split(self, *, implicit: bool) -> Split:
        """The same, where a closing mark may end a thought that nothing has opened.

        Args:
            implicit: Whether it may: only where nothing of the text has been shown.
        """
        return split_thoughts(
            self.written, self._thoughts, opened=self._opened, implicit=implicit, tokens=self.tokens
        )

    def _begun(self, text: str) -> int:
        """Where something begins that the next pieces may make a mark, or none."""
        if not text.strip():
            return 0
        lowered = text[-40:].lower()
        begun = len(text) - max((_overlap(lowered, word) for word in self._words), default=0)
        if _BARE_HARMONY[0].startswith(text.strip()):
            begun = 0
        for mark in MARK.finditer(text):
            name = str(mark.lastgroup).partition("_")[2]
            if (not name or name in self._thoughts.names) and _UNDECIDED.match(text, mark.end()):
                return min(begun, mark.start())
        return begun


@cache
def _spellings(thoughts: ThoughtFormat) -> tuple[str, ...]:
    """Everything that the end of a text may have begun, in lower case."""
    words = [
        mark for family in FAMILIES if family.name in thoughts.names for mark in (family.opens, family.closes)
    ]
    if HARMONY in thoughts.names:
        words += [*HARMONY_MARKS, *_BARE_HARMONY[1:]]
    return tuple(word.lower() for word in [*words, *ANSWER_MARKS])


def _overlap(text: str, word: str) -> int:
    """How many last characters of a text are the beginning of a word, and not the whole of it."""
    return next((n for n in range(min(len(text), len(word) - 1), 0, -1) if text.endswith(word[:n])), 0)
