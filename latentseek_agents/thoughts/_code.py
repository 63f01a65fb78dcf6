"""Where a text is code: marks of thoughts that are written there mean nothing."""

import re
from bisect import bisect_left
from collections import defaultdict

# At the beginning of a line, or right behind the mark of a thought.
_FENCE = re.compile(
    r"(?:^[ \t>]*|(?<=[>\]▷]))(?P<ticks>`{3,}|~{3,})(?P<info>[^\n`<\[◁]*)(?:$|(?=[<\[◁]))",
    re.MULTILINE,
)
_TICKS = re.compile(r"`+")


class Code:
    r"""The blocks and the inline code of a text.

    Args:
        text: Any text.

    Example:
        >>> text = "Write `<think>`:\n```\n</think>\n```\nDone. ```"
        >>> code = Code(text)
        >>> code.holds(text.index("<think>")), code.holds(text.index("</think>")), code.holds(len(text))
        (True, True, False)
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._blocks, self.open_block = _blocks(text)
        self._next_block = 0
        self._line = (-1, -1)
        self._spans: list[tuple[int, int]] = []

    def holds(self, place: int) -> bool:
        """Whether a place is within code that is closed. Places must be asked for in their order."""
        while self._next_block < len(self._blocks) and self._blocks[self._next_block][1] <= place:
            self._next_block += 1
        if self._next_block < len(self._blocks) and self._blocks[self._next_block][0] <= place:
            return True
        if not self._line[0] <= place <= self._line[1]:
            start = self._text.rfind("\n", 0, place) + 1
            end = self._text.find("\n", place)
            self._line = (start, len(self._text) if end < 0 else end)
            self._spans = _inline(self._text, *self._line)
        index = bisect_left(self._spans, (place, place)) - 1
        return index >= 0 and place < self._spans[index][1]


def _blocks(text: str) -> tuple[list[tuple[int, int]], int]:
    """The closed blocks, and where one begins that is not closed: behind the text if there is none.

    A fence with a language opens a block, and never closes one: then the one before was left open.
    """
    blocks = []
    begun: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if begun is None or fence["info"].strip() or fence["ticks"][0] != begun["ticks"][0]:
            begun = fence
        elif len(fence["ticks"]) >= len(begun["ticks"]):
            blocks.append((begun.start(), fence.end()))
            begun = None
    return blocks, len(text) if begun is None else begun.start()


def _inline(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The inline code of one line, from the first tick to the last."""
    runs = list(_TICKS.finditer(text, start, end))
    places: dict[int, list[int]] = defaultdict(list)
    for index in range(len(runs) - 1, -1, -1):
        places[len(runs[index].group())].append(index)
    spans = []
    index = 0
    while index < len(runs):
        same = places[len(runs[index].group())]
        while same and same[-1] <= index:
            same.pop()
        if not same:
            index += 1
            continue
        closing = same[-1]
        spans.append((runs[index].start(), runs[closing].end()))
        index = closing + 1
    return spans
