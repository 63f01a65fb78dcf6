"""Which marks of a text open and close its thoughts."""

import re
from collections.abc import Sequence

from latentseek_agents.thoughts._channels import Kind, Span
from latentseek_agents.thoughts._code import Code, CodeBehind
from latentseek_agents.thoughts._marks import Doubt, Mark

# Of how many more marks one is looked for that ends a thought more clearly.
_FURTHER = 24
_LONGEST_VALUE = 1000
_STRING_END = re.compile(r'(?<!\\)"')
# What follows a closing mark that a sentence speaks of, where it has spoken of the opening one.
_SPOKEN_OF = re.compile(r"[ \t]*(?:\Z|\n|[a-z]|[.,;:!?)\]}\"'`”’»…|*_<\[-])")


class Pairing:
    """The passages of a text, by its marks.

    A thought ends at the mark that closes all that were opened in it. If there is none, opening marks within
    it are words, and the first closing mark ends it. Code and quotation marks do not reach across a mark that
    counts: each passage is read by itself.

    Args:
        text: Any text.
        marks: All its marks.
        opened: Whether it begins within a thought.
        implicit: Whether a closing mark without an opening one ends a thought that began with the text.

    Attributes:
        spans: Kind, start and end of every passage.
        cut_off: Whether the text ends within a thought.
        certain: How many first characters stay what they are, whatever follows the text.
    """

    def __init__(self, text: str, marks: Sequence[Mark], *, opened: bool, implicit: bool) -> None:
        self.spans: list[Span] = []
        self.cut_off = False
        self.certain = len(text)
        self._text = text
        self._marks = marks
        self._code: Code | None = None
        self._last_closing = {
            mark.family: index
            for index, mark in enumerate(marks)
            if not mark.opens and mark.doubt < Doubt.QUOTED
        }
        self._position = 0
        index = 0
        if opened:
            end = self._end_of_thought(0, "", 0)
            if end is None:
                self.cut_off = True
                self._add("thinking", len(text))
                return
            index = self._close(end)
        else:
            implicit = implicit and not self._begins_with_thought()
        self._read(index, implicit=implicit and not opened)

    def _begins_with_thought(self) -> bool:
        first = next((mark for mark in self._marks if mark.doubt is Doubt.NONE), None)
        return first is not None and first.opens and not self._text[: first.start].strip()

    def _read(self, index: int, *, implicit: bool) -> None:
        """Read on from a mark, outside of thoughts."""
        if index >= len(self._marks):
            self._add("text", len(self._text))
            return
        code = self._code_behind(self._position)
        named: tuple[str, int] | None = None  # a tag in prose, and where its line ends
        while index < len(self._marks):
            mark = self._marks[index]
            index += 1
            if not mark.certain and self._is_data(mark, code):
                continue
            if not mark.opens:
                spoken_of = named is not None and named[0] == mark.family and mark.start <= named[1]
                if spoken_of and not mark.certain and _SPOKEN_OF.match(self._text, mark.end):
                    named = None
                    continue
                if mark.doubt or mark.weak or mark.is_sentence:
                    continue
                if implicit and mark.family:
                    self.spans, self._position, implicit = [], 0, False
                    self._add("thinking", mark.start)
                else:
                    self._add("text", mark.start)
                self._add("mark", mark.end)
                code = self._code_behind(mark.end)
                continue
            if mark.doubt:
                named = (mark.family, self._end_of_line(mark.end))
                continue
            named = None
            if mark.weak and not mark.first:
                continue
            end = self._end_of_thought(index, mark.family, mark.end)
            if end is None and (not mark.first or mark.is_sentence):
                self.certain = min(self.certain, mark.start)
                continue
            self._add("text", mark.start)
            self._add("mark", mark.end)
            if end is None:
                self.cut_off = True
                self._add("thinking", len(self._text))
                return
            index = self._close(end)
            code = self._code_behind(self._position)
        self._add("text", len(self._text))

    def _is_data(self, mark: Mark, code: CodeBehind) -> bool:
        """Whether a mark outside of thoughts stands in code."""
        if self._is_in_json(mark.start):
            return True
        held = code.holds(mark.start)
        if self._text.endswith("`") if held else code.may_hold(mark.start):
            self.certain = min(self.certain, mark.start)
        return held or (mark.opens and code.in_open_block(mark.start))

    def _is_in_json(self, place: int) -> bool:
        """Whether a place lies in the value of a field of a JSON object."""
        start = max(self._position, place - _LONGEST_VALUE)
        before = self._text[start:place]
        colon = before.rfind('":')
        if colon < 1:
            return False
        value = before[colon + 2 :].lstrip()
        return value.startswith('"') and not _STRING_END.search(value, 1)

    def _close(self, index: int) -> int:
        """End a thought at a mark; the mark to read on from."""
        mark = self._marks[index]
        self._add("thinking", mark.start)
        self._add("mark", mark.end)
        return index + 1

    def _end_of_thought(self, index: int, family: str, start: int) -> int | None:
        """The mark that ends the thought which begins at ``start``, before the mark ``index``.

        Args:
            index: Of the first mark in it.
            family: Which marks it may end at; "" for any.
            start: Where it begins.
        """
        if family and self._last_closing.get(family, -1) < index:
            return None
        code = self._code_behind(start)
        depths: dict[str, int] = {}
        clear: int | None = None  # one that seems to close a thought within the thought
        doubtful: int | None = None
        nested: int | None = None  # a doubtful one within the thought
        for place in range(index, len(self._marks)):
            mark = self._marks[place]
            first = next((found for found in (doubtful, clear, nested) if found is not None), place)
            if place - first > _FURTHER:
                break
            if not mark.family or (family and mark.family != family):
                continue
            if mark.ends and not mark.opens:
                return place
            doubt = mark.doubt
            if not doubt and not mark.certain and code.is_begun(mark.start):
                doubt = Doubt.SOME
            depth = depths.get(mark.family, 0)
            if mark.opens:
                depths[mark.family] = depth + (not doubt)
            elif doubt is Doubt.NONE and (depth or (mark.weak and not family)):
                depths[mark.family] = max(0, depth - 1)
                clear = place if clear is None else clear
            elif doubt is Doubt.NONE:
                return place
            elif doubt is Doubt.SOME and not depth:
                doubtful = place if doubtful is None else doubtful
            elif doubt is Doubt.SOME:
                nested = place if nested is None else nested
        end = next((found for found in (doubtful, clear, nested) if found is not None), None)
        if end is not None:
            # A clearer one may follow.
            self.certain = min(self.certain, self._marks[end].start)
        return end

    def _code_behind(self, start: int) -> CodeBehind:
        if self._code is None:
            self._code = Code(self._text)
        return self._code.behind(start)

    def _end_of_line(self, place: int) -> int:
        end = self._text.find("\n", place)
        return len(self._text) if end < 0 else end

    def _add(self, kind: Kind, end: int) -> None:
        if self._position < end:
            self.spans.append((kind, self._position, end))
        self._position = end
