"""Samples that one method has drawn serve the others: the first n are the same, whoever draws them."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from latentseek_agents.evaluation.records import AttemptRecord, Key, Outcome

__all__ = ["DrawnSamples", "share_samples"]

_Task = TypeVar("_Task")

_SAMPLING = ("bon", "sc")
_WRITTEN_OUT = {"stop", "length"}


class DrawnSamples:
    """For each problem, the longest row of samples that a run has so far.

    Samples that the clock cut short, or that could not be drawn, are left out: others would draw others.

    Args:
        outcomes: Of one run, whichever methods they are of.

    Example:
        >>> from dataclasses import replace
        >>> made = tuple(AttemptRecord(attempt=n, answer=str(n), right=False) for n in range(3))
        >>> outcome = Outcome(key=Key("made up", "boxed", "sc:3", 7), run="", seed=0, reference="4",
        ...                   attempts=made, chosen=0, digest="made up")
        >>> drawn = DrawnSamples([outcome])
        >>> wanted = Key("made up", "boxed", "bon:3:steps", 7)
        >>> len(drawn.of(wanted, "made up")), len(drawn.of(wanted, "another problem"))
        (3, 0)
    """

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._rows: dict[tuple[str, str, int], Outcome] = {}
        for outcome in outcomes:
            self.add(outcome)

    def add(self, outcome: Outcome) -> None:
        """Take in the samples of an outcome, if it is of a method that samples."""
        if outcome.key.method.split(":")[0] not in _SAMPLING:
            return
        if any(attempt.finish_reason not in _WRITTEN_OUT for attempt in outcome.attempts):
            return
        place = _place(outcome.key)
        known = self._rows.get(place)
        if known is None or len(known.attempts) < len(outcome.attempts):
            self._rows[place] = outcome

    def of(self, key: Key, digest: str) -> tuple[AttemptRecord, ...]:
        """The samples there are of a problem.

        Args:
            key: Its data, prompt and number; the method may be another.
            digest: Of the problem, so that another of the same number is not taken for it.
        """
        found = self._rows.get(_place(key))
        return () if found is None or found.digest != digest else found.attempts


def share_samples(tasks: Sequence[_Task], key: Callable[[_Task], Key]) -> list[list[_Task]]:
    """Tasks to be done one after the other, so that samples of one problem are drawn once.

    Two methods that began at the same time would both draw them. Who needs most comes first.

    Args:
        tasks: What to do.
        key: The key of a task's outcome.

    Returns:
        Rows of tasks in the order of their first ones; whatever needs no samples is a row by itself.

    Example:
        >>> keys = [Key("made up", "boxed", method, 7) for method in ("sc:3", "psrm", "bon:5:steps")]
        >>> [[one.method for one in row] for row in share_samples(keys, lambda one: one)]
        [['bon:5:steps', 'sc:3'], ['psrm']]
    """
    rows: dict[tuple[object, ...], list[_Task]] = {}
    for number, task in enumerate(tasks):
        samples = _count(key(task).method)
        rows.setdefault(_place(key(task)) if samples else (number,), []).append(task)
    return [sorted(row, key=lambda task: -_count(key(task).method)) for row in rows.values()]


def _count(method: str) -> int:
    kind, *arguments = method.split(":")
    return int(arguments[0]) if kind in _SAMPLING else 0


def _place(key: Key) -> tuple[str, str, int]:
    return key.dataset, key.prompt, key.problem
