r"""Blocks of code to what each of them prints, and to what it would print if its numbers were others.

The blocks run in order, as one program: later ones may use names of earlier ones. A block that fails is left
out of what follows.

Example:
    >>> blocks = find_blocks("```python\nx = 6\nprint(x)\n```\n```python\nprint(x * 7)\n```")
    >>> [run.printed for run in run_blocks(blocks)]
    ['6\n', '42\n']
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from latentseek_agents.tools._maths.exact import Number, simplest
from latentseek_agents.tools._steps.arithmetic import Literal
from latentseek_agents.tools._steps.fences import (
    FencedBlock,
    find_blocks,
    numbers_in,
    with_longer_strings,
    with_numbers,
    words_in,
)
from latentseek_agents.tools._steps.outputs import result_of
from latentseek_agents.tools.programs import ProgramResult, run_program

__all__ = ["ProgramRun", "find_blocks", "run_blocks"]

_MAX_PROGRAMS = 8
_MAX_RUNS = 60
_SECONDS = 0.5
# What may take long, or much memory, where a number of the question becomes a large one.
_GROWING = frozenset(("for", "while", "def", "lambda", "range", "pow", "factorial", "comb", "perm"))


class _Session:
    """Runs programs until the time for one text is spent. No run starts late; the last one may take 1 s."""

    def __init__(self) -> None:
        self._end = time.monotonic() + _SECONDS
        self._left = _MAX_RUNS

    def run(self, code: str) -> ProgramResult:
        self._left -= 1
        if self._left < 0 or time.monotonic() > self._end:
            return ProgramResult(unjudged="there was no time left to run it")
        return run_program(code)


@dataclass(slots=True)
class ProgramRun:
    """What a block of code did behind those before it.

    Args:
        block: The block.
        code: Its code, behind that of the blocks before it.
        printed: What it prints; without a print, the value of its last line, if there is one.
        failure: Why it did not run to its end, or "".
    """

    block: FencedBlock
    code: str
    printed: str
    failure: str
    _session: _Session

    @property
    def result(self) -> Literal | None:
        """The number that it prints last, without the noise of binary fractions."""
        return None if self.failure else _without_noise(result_of(self.printed))

    @property
    def numbers(self) -> list[Literal]:
        """The numbers in its code, and in that of the programs before it."""
        return list(dict.fromkeys(number.literal for number in numbers_in(self.code)))

    @property
    def may_grow(self) -> bool:
        """Whether it may take long with large numbers."""
        return "**" in self.code or not _GROWING.isdisjoint(words_in(self.code))

    def result_with(self, replaced: Mapping[Number, Number]) -> Number | None:
        """The number that it prints last if other numbers stand in its code; None if it fails."""
        return self._result_of(with_numbers(self.code, replaced))

    def shows_what_is_written(self) -> bool:
        """Whether its output stands in its code, as a number or in a string, and is not computed."""
        result = self.result
        if result is None:
            return False
        others = {number.value: number.value + 1 for number in self.numbers if number.value != result.value}
        written = len(others) < len({number.value for number in self.numbers}) or not others
        if written and self.result_with(others) == result.value:
            return True
        longer = with_longer_strings(self.code)
        return longer != self.code and self._result_of(longer) != result.value

    def _result_of(self, code: str) -> Number | None:
        ran = self._session.run(code)
        if ran.error is not None or ran.unjudged is not None:
            return None
        result = _without_noise(result_of(_shown(ran)))
        return None if result is None else result.value


def run_blocks(blocks: Sequence[FencedBlock]) -> list[ProgramRun]:
    """Run the programs among some blocks; the first eight of them.

    It takes 1.5 s at most: what there is no time for fails.
    """
    session = _Session()
    runs: list[ProgramRun] = []
    before, printed_before = "", ""
    for block in [block for block in blocks if block.is_python][:_MAX_PROGRAMS]:
        code = f"{before}{block.text}\n"
        ran = session.run(code)
        failure = ran.error or ran.unjudged or ""
        shown = _shown(ran)
        if not ran.printed.startswith(printed_before):
            failure = failure or "it prints something else behind the programs before it"
        runs.append(ProgramRun(block, code, shown.removeprefix(printed_before), failure, session))
        if not failure:
            before, printed_before = code, ran.printed
    return runs


def _shown(ran: ProgramResult) -> str:
    """What a notebook would show: what was printed, or else the value of the last line."""
    return ran.printed if ran.printed or ran.value is None else f"{ran.value}\n"


def _without_noise(number: Literal | None) -> Literal | None:
    if number is None or not isinstance(number.value, Fraction):
        return number
    rounded = simplest(Fraction(f"{float(number.value):.12g}"))
    return number if rounded == number.value else Literal(rounded, number.places)
