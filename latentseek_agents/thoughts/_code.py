"""Where a text is code: marks of thoughts that are written there mean nothing."""

import re
from bisect import bisect_left

# At the beginning of a line, or right behind the mark of a thought.
_FENCE = re.compile(
    r"(?:^[ \t>]*|(?<=[>\]▷]))(?P<ticks>`{3,}|~{3,})(?P<info>[^\n`<\[◁]*)(?:$|(?=[<\[◁]))",
    re.MULTILINE,
)
_TICKS = re.compile(r"`+")


class Code:
    r"""The fences and ticks of a text.

    Args:
        text: Any text.

    Example:
        >>> text = "Write `<think>`:\n```\n</think>\n```\nDone. ```"
        >>> code = Code(text).behind(0)
        >>> code.holds(text.index("<think>")), code.holds(text.index("</think>")), code.holds(len(text))
        (True, True, False)
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.fences = list(_FENCE.finditer(text))
        self.fence_starts = [fence.start() for fence in self.fences]
        fences = {fence.start("ticks") for fence in self.fences}
        self.ticks = [run for run in _TICKS.finditer(text) if run.start() not in fences]
        self.tick_starts = [run.start() for run in self.ticks]
        self.partners = self._partners()
        self._closed: dict[int, int | None] = {}

    def behind(self, start: int) -> "CodeBehind":
        """The code of the passage that begins here: no block and no tick before it reaches into it."""
        return CodeBehind(self, start)

    def _partners(self) -> list[int | None]:
        """The next run of as many ticks on the same line, for each."""
        partners: list[int | None] = [None] * len(self.ticks)
        following: dict[int, int] = {}
        line_end = -1
        for index in range(len(self.ticks) - 1, -1, -1):
            run = self.ticks[index]
            if line_end < 0 or self.text.find("\n", run.end(), line_end) >= 0:
                following.clear()
            length = len(run.group())
            partners[index] = following.get(length)
            following[length] = index
            line_end = run.start()
        return partners

    def closing_fence(self, index: int) -> int | None:
        """The fence that closes a block; None if none does, and -1 if another block begins before.

        A fence with a language opens a block, and never closes one: then the one before was left open.
        """
        if index not in self._closed:
            begun = self.fences[index]
            closing: int | None = None
            for other in range(index + 1, len(self.fences)):
                fence = self.fences[other]
                if fence["info"].strip() or fence["ticks"][0] != begun["ticks"][0]:
                    closing = -1
                    break
                if len(fence["ticks"]) >= len(begun["ticks"]):
                    closing = other
                    break
            self._closed[index] = closing
        return self._closed[index]


class CodeBehind:
    """The code of a passage. Places must be asked for in their order.

    Args:
        code: That of the whole text.
        start: Where the passage begins.
    """

    def __init__(self, code: Code, start: int) -> None:
        self._code = code
        self._fence = bisect_left(code.fence_starts, start)
        self._begun: int | None = None
        self._tick = self._pair = bisect_left(code.tick_starts, start)

    def holds(self, place: int) -> bool:
        """Whether a place is within code that is closed somewhere."""
        code = self._code
        begun = self._block(place)
        if begun is not None and (code.closing_fence(begun) or 0) > 0:
            return True
        while self._pair < len(code.ticks) and code.tick_starts[self._pair] < place:
            partner = code.partners[self._pair]
            if partner is None:
                self._pair += 1
            elif code.ticks[partner].end() <= place:
                self._pair = partner + 1
            else:
                return True
        return False

    def is_begun(self, place: int) -> bool:
        """Whether code has begun before a place and was not closed before it."""
        return self._block(place) is not None or self._open_tick(place) is not None

    def may_hold(self, place: int) -> bool:
        """Whether what comes behind the text may put a place into code, or out of a block."""
        if self._block(place) is not None:
            return True
        return self._open_tick(place) is not None and self._code.text.find("\n", place) < 0

    def in_open_block(self, place: int) -> bool:
        """Whether a block has begun before a place, and is closed nowhere."""
        begun = self._block(place)
        return begun is not None and self._code.closing_fence(begun) is None

    def _block(self, place: int) -> int | None:
        """The fence of the block that is open at a place."""
        fences = self._code.fences
        while self._fence < len(fences) and fences[self._fence].start() < place:
            fence = fences[self._fence]
            begun = None if self._begun is None else fences[self._begun]
            if begun is None or fence["info"].strip() or fence["ticks"][0] != begun["ticks"][0]:
                self._begun = self._fence
            elif len(fence["ticks"]) >= len(begun["ticks"]):
                self._begun = None
            self._fence += 1
        return self._begun

    def _open_tick(self, place: int) -> int | None:
        """The first ticks on the line of a place that are not closed before it."""
        code = self._code
        while self._tick < len(code.ticks) and code.tick_starts[self._tick] < place:
            partner = code.partners[self._tick]
            if partner is not None and code.tick_starts[partner] < place:
                self._tick = partner + 1
            elif code.text.find("\n", code.ticks[self._tick].end(), place) >= 0:
                self._tick += 1
            else:
                return self._tick
        return None
