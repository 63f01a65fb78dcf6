"""How far an evaluation is: bars on a terminal, now and then a line in a log."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from latentseek_agents.cli.process import say
from latentseek_agents.evaluation.runs.plan import Listener, Task
from latentseek_agents.evaluation.runs.records import Key, Outcome

_SECONDS_BETWEEN_LINES = 30.0
# What starts together ends together: the first answers tell little of the rest.
_ANSWERS_BEFORE_ESTIMATE = 3


class EvaluationProgress(Listener):
    """Accuracies so far and the time left; a context manager. Its methods may be called from any thread.

    Args:
        quiet: Show nothing while it runs.
        clock: Seconds, for tests.
    """

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
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
        self._logs = not quiet and not console.is_terminal
        self._quiet = quiet
        self._clock = clock
        self._rows: dict[str, _Row] = {}
        self._under_way: dict[Key, int] = {}
        self._lock = threading.Lock()
        self._started = self._logged = clock()

    def __enter__(self) -> None:
        self._bars.start()

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def on_plan(self, tasks: Sequence[Task], known: Sequence[Outcome]) -> None:
        """Show what there is to do, and what an earlier process did of it."""
        for name, total in Counter(_name(task.key) for task in tasks).items():
            self._rows[name] = _Row(name, total, self._bars.add_task(name, total=total, accuracy=""))
        for outcome in known:
            self._rows[_name(outcome.key)].add(outcome, known=True)
        self._started = self._logged = self._clock()
        for row in self._rows.values():
            self._bars.update(row.bar, completed=row.done, accuracy=row.accuracy)
        if known and not self._quiet:
            left = len(tasks) - len(known)
            say(f"{len(known)} of {len(tasks)} answers were there already; {left or 'nothing'} left to do")

    def on_outcome(self, outcome: Outcome) -> None:
        """Count an answer."""
        with self._lock:
            self._under_way.pop(outcome.key, None)
            row = self._rows[_name(outcome.key)]
            row.add(outcome)
            self._bars.update(row.bar, advance=1)
            self._show(row)

    def on_attempt(self, key: Key, attempts: int) -> None:
        """Show that a search goes on."""
        with self._lock:
            self._under_way[key] = attempts
            self._show(self._rows[_name(key)])

    def lines(self) -> list[str]:
        """The accuracies, a line each."""
        return [row.line for row in self._rows.values()]

    def _show(self, row: "_Row") -> None:
        searches = self._searches(key for key in self._under_way if _name(key) == row.name)
        self._bars.update(row.bar, accuracy=row.accuracy + searches)
        now = self._clock()
        left = any(row.left for row in self._rows.values())
        if self._logs and left and now - self._logged >= _SECONDS_BETWEEN_LINES:
            self._logged = now
            say(self._line(now))

    def _searches(self, keys: Iterable[Key]) -> str:
        """How far searches are that have not ended."""
        attempts = [self._under_way[key] for key in keys]
        if not attempts:
            return ""
        return f"; {len(attempts)} under way, {sum(attempts) / len(attempts):.1f} attempts each"

    def _line(self, now: float) -> str:
        rows = self._rows.values()
        done, total = sum(row.done for row in rows), sum(row.total for row in rows)
        head = f"{done} of {total} answers{self._time_left(now)}"
        return "; ".join([head, *(row.line for row in rows if row.done)]) + self._searches(self._under_way)

    def _time_left(self, now: float) -> str:
        """Each method's answers take as long as its others did; so many at once as until now."""
        rows = self._rows.values()
        worked = sum(row.seconds_here for row in rows)
        if sum(row.done_here for row in rows) < _ANSWERS_BEFORE_ESTIMATE or not worked:
            return ""
        work = sum(row.left * row.seconds / row.done for row in rows if row.done)
        minutes = round(work / worked * (now - self._started) / 60)
        if any(row.left and not row.done for row in rows):
            return f", more than {minutes} min left" if minutes else ""
        return f", about {minutes} min left"


class _Row:
    """One method on one data set with one prompt."""

    def __init__(self, name: str, total: int, bar: TaskID) -> None:
        self.name = name
        self.total = total
        self.bar = bar
        self.done = self.done_here = self.right = self.errors = 0
        # Of all answers: their latency, however many ran at once.
        self.seconds = self.seconds_here = 0.0

    @property
    def left(self) -> int:
        return self.total - self.done

    @property
    def accuracy(self) -> str:
        oracle = " (oracle)" if self.name.endswith("psrm") else ""
        errors = f", {self.errors} ended in an error" if self.errors else ""
        return f"{self.right} of {self.done} right{oracle}{errors}" if self.done else "nothing done"

    @property
    def line(self) -> str:
        return f"{self.name}: {self.accuracy}"

    def add(self, outcome: Outcome, *, known: bool = False) -> None:
        self.done += 1
        self.right += outcome.right
        self.errors += outcome.ended_in_error
        self.seconds += outcome.seconds
        if not known:
            self.done_here += 1
            self.seconds_here += outcome.seconds


def _name(key: Key) -> str:
    return f"{key.dataset} {key.prompt} {key.method}"
