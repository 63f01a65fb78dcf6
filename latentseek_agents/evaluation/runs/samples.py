"""Samples that one method has drawn serve the others: the first n are the same for all methods."""

from collections.abc import Iterable, Sequence

from latentseek_agents.evaluation.runs.method_names import MethodName
from latentseek_agents.evaluation.runs.plan import Task
from latentseek_agents.evaluation.runs.records import AttemptRecord, Key, Outcome

_SAMPLING = ("bon", "sc", "vote")
_WRITTEN_OUT = {"stop", "length"}


class DrawnSamples:
    """For each problem, the longest row of samples that a run has so far.

    Samples that the clock cut short, or that could not be drawn, are left out: a second draw would differ.

    Args:
        outcomes: Of one run, of any methods.

    Example:
        >>> drawn = tuple(AttemptRecord(attempt=n, answer=str(n), right=False) for n in range(3))
        >>> outcome = Outcome(key=Key("made up", "boxed", "sc:3", 7), run="", seed=0, reference="4",
        ...                   attempts=drawn, chosen=0, digest="made up")
        >>> samples = DrawnSamples([outcome])
        >>> wanted = Key("made up", "boxed", "bon:3:steps", 7)
        >>> len(samples.of(wanted, "made up")), len(samples.of(wanted, "another problem"))
        (3, 0)
    """

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._rows: dict[tuple[str, str, int], Outcome] = {}
        self._drafts: dict[tuple[str, str, int], Outcome] = {}
        for outcome in outcomes:
            self.add(outcome)

    def add(self, outcome: Outcome) -> None:
        """Keep the samples of an outcome, if it is of a method that samples, or the greedy solution."""
        kind = MethodName(outcome.key.method).kind
        if kind not in (*_SAMPLING, "cot"):
            return
        if any(attempt.finish_reason not in _WRITTEN_OUT for attempt in outcome.attempts):
            return
        if kind == "cot":
            self._drafts[_place(outcome.key)] = outcome
            return
        known = self._rows.get(_place(outcome.key))
        if known is None or len(known.attempts) < len(outcome.attempts):
            self._rows[_place(outcome.key)] = outcome

    def of(self, key: Key, digest: str) -> tuple[AttemptRecord, ...]:
        """The samples of a problem.

        Args:
            key: Its data, prompt and number; the method may be another.
            digest: Of the problem, so that another of the same number is not taken for it.
        """
        outcome = self._rows.get(_place(key))
        return () if outcome is None or outcome.digest != digest else outcome.attempts

    def draft_of(self, key: Key, digest: str) -> tuple[AttemptRecord, ...]:
        """The greedy solution of a problem, see :meth:`of`; none if it is not known."""
        outcome = self._drafts.get(_place(key))
        return () if outcome is None or outcome.digest != digest else outcome.attempts


def rows_of_tasks(tasks: Sequence[Task]) -> list[list[Task]]:
    """Rows of tasks to be done one after the other, so that samples of one problem are drawn once.

    Two methods that start at the same time would both draw them. The one that needs most comes first, and a
    search among samples, which takes over the greedy solution as well, last; a task without samples is a row
    by itself. Rows are in the order of their first tasks.
    """
    rows: dict[tuple[object, ...], list[Task]] = {}
    searched = {_place(task.key) for task in tasks if _searches_samples(task)}
    for number, task in enumerate(tasks):
        place = _place(task.key)
        takes_part = _count(task) or _searches_samples(task)
        takes_part = takes_part or (task.key.method == "cot" and place in searched)
        rows.setdefault(place if takes_part else (number,), []).append(task)
    return [sorted(row, key=lambda task: (_searches_samples(task), -_count(task))) for row in rows.values()]


def _count(task: Task) -> int:
    return MethodName(task.key.method).samples


def _searches_samples(task: Task) -> bool:
    return MethodName(task.key.method).proposals == "samples"


def _place(key: Key) -> tuple[str, str, int]:
    return key.dataset, key.prompt, key.problem
