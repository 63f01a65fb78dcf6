"""How far an evaluation is: bars on a terminal, now and then a line in a log."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from latentseek_agents.cli.process import say

if TYPE_CHECKING:
    from latentseek_agents.evaluation.records import Key, Outcome
    from latentseek_agents.evaluation.run import Task

__all__ = ["EvaluationProgress"]

_SECONDS_BETWEEN_LINES = 30.0
# What is begun together ends together: the first answers tell little of the rest.
_ANSWERS_BEFORE_ESTIMATE = 3
Row = tuple[str, str, str]
"""Data set, prompt, method."""


class EvaluationProgress:
    """Accuracies so far and the time left; use it as a context. Its methods may be called from any thread.

    Args:
        quiet: Show nothing while it runs.
        clock: Seconds, for tests.
    """

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[accuracy]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,  # the accuracies are printed when all is done
        )
        self._tells = not quiet and not console.is_terminal
        self._quiet = quiet
        self._clock = clock
        self._tasks: dict[Row, Any] = {}
        self._totals: Counter[Row] = Counter()
        self._done: Counter[Row] = Counter()
        self._right: Counter[Row] = Counter()
        self._under_way: dict[Key, int] = {}
        self._lock = threading.Lock()
        # Of all answers: their latency, however many ran at once.
        self._seconds: defaultdict[Row, float] = defaultdict(float)
        self._known = 0
        self._known_seconds = 0.0
        self._began = self._told = clock()

    def __enter__(self) -> None:
        self._bars.start()

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def plan(self, tasks: "Sequence[Task]", known: "Sequence[Outcome]") -> None:
        """Show what there is to do, and what an earlier process did of it."""
        self._totals = Counter(_row(task.key) for task in tasks)
        for outcome in known:
            self._count(outcome)
        self._known, self._known_seconds = len(known), sum(self._seconds.values())
        self._began = self._told = self._clock()
        for row, total in self._totals.items():
            self._tasks[row] = self._bars.add_task(
                " ".join(row), total=total, completed=self._done[row], accuracy=self._accuracy(row)
            )
        if known and not self._quiet:
            left = len(tasks) - len(known)
            say(f"{len(known)} of {len(tasks)} answers were there already; {left or 'nothing'} left to do")

    def add(self, outcome: "Outcome") -> None:
        """One more is done."""
        row = _row(outcome.key)
        with self._lock:
            self._under_way.pop(outcome.key, None)
            self._count(outcome)
            self._bars.update(self._tasks[row], advance=1)
            self._show(row)

    def attempt(self, key: "Key", attempts: int) -> None:
        """A search has made so many attempts and goes on."""
        with self._lock:
            self._under_way[key] = attempts
            self._show(_row(key))

    def _show(self, row: Row) -> None:
        under_way = self._searches(key for key in self._under_way if _row(key) == row)
        self._bars.update(self._tasks[row], accuracy=self._accuracy(row) + under_way)
        now = self._clock()
        left = self._totals.total() - self._done.total()
        if self._tells and left and now - self._told >= _SECONDS_BETWEEN_LINES:
            self._told = now
            say(self._line(now))

    def _searches(self, keys: "Iterable[Key]") -> str:
        """How far searches are that have not ended."""
        made = [self._under_way[key] for key in keys]
        if not made:
            return ""
        return f"; {len(made)} under way, {sum(made) / len(made):.1f} attempts each"

    def lines(self) -> list[str]:
        """The accuracies, a line each."""
        return [f"{' '.join(row)}: {self._accuracy(row)}" for row in self._tasks]

    def _line(self, now: float) -> str:
        done, total = self._done.total(), self._totals.total()
        rows = [f"{' '.join(row)}: {self._accuracy(row)}" for row in self._tasks if self._done[row]]
        head = f"{done} of {total} answers{self._time_left(now)}"
        return "; ".join([head, *rows]) + self._searches(self._under_way)

    def _time_left(self, now: float) -> str:
        """Each method's answers take as long as its others did; so many at once as until now."""
        elapsed, worked = now - self._began, sum(self._seconds.values()) - self._known_seconds
        if self._done.total() - self._known < _ANSWERS_BEFORE_ESTIMATE or not worked:
            return ""
        left = {row: total - self._done[row] for row, total in self._totals.items()}
        work = sum(
            count * self._seconds[row] / self._done[row] for row, count in left.items() if self._done[row]
        )
        unknown = any(count and not self._done[row] for row, count in left.items())
        minutes = round(work / worked * elapsed / 60)
        if unknown:
            return f", more than {minutes} min left" if minutes else ""
        return f", about {minutes} min left"

    def _count(self, outcome: "Outcome") -> None:
        row = _row(outcome.key)
        self._done[row] += 1
        self._right[row] += outcome.right
        seconds = outcome.seconds
        self._seconds[row] += sum(one.seconds for one in outcome.attempts) if seconds is None else seconds

    def _accuracy(self, row: Row) -> str:
        done = self._done[row]
        oracle = " (oracle)" if row[2].endswith("psrm") else ""
        return f"{self._right[row]} of {done} right{oracle}" if done else "nothing done"


def _row(key: Any) -> Row:
    return key.dataset, key.prompt, key.method
