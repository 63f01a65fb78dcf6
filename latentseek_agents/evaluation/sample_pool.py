"""What N stored samples tell of every smaller number: votes, best of n, coverage, what n costs."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import cached_property

from latentseek_agents.decisions import weighted_votes
from latentseek_agents.evaluation.records import AttemptRecord
from latentseek_agents.evaluation.trials import Group, Series, Trial

__all__ = ["Choose", "SamplePool", "judged_pools", "sample_pool"]

Choose = Callable[["SamplePool", int], Series]
"""Makes so many samples a method, for example ``SamplePool.majority``."""


class SamplePool:
    """Of each question the longest row of samples that is stored, in the order in which they were drawn.

    The samples of a run are the same, whichever method drew them. So a method that draws more than another
    adds to its samples from its first question on, and takes nothing away before its last.

    Args:
        series: Methods that sample, for example ``sc:3`` and ``sc:11``, all under one reward if their
            verdicts matter. Of rows of the same length that of the earlier method counts.

    Attributes:
        series: The longest rows, under the name of the method that draws the most samples.
        size: The most samples that any question has.

    Example:
        >>> def sampled(*answers):
        ...     made = (AttemptRecord(attempt=place, answer=answer, right=answer == "4")
        ...             for place, answer in enumerate(answers))
        ...     return Trial(tuple(made), 0)
        >>> pool = SamplePool(Series("made up", "boxed", "sc:3", {0: sampled("5", "4", "4.0")}))
        >>> [pool.majority(n).trials[0].chosen for n in (1, 2, 3)]
        [0, 0, 1]
        >>> [pool.coverage(n).trials[0].right for n in (1, 2, 3)]
        [False, True, True]
    """

    def __init__(self, *series: Series) -> None:
        self._methods = series
        self._stored: dict[int, int] = {}
        trials: dict[int, Trial] = {}
        for one in series:
            for number, trial in one.trials.items():
                # A question that could not be worked on is wrong with every number of samples.
                count = one.samples if trial.failed and one.samples else len(trial.attempts)
                known = trials.get(number)
                if known is None or (known.failed, -self._stored[number]) > (trial.failed, -count):
                    trials[number], self._stored[number] = trial, count
        largest = max(series, key=lambda one: (one.samples, len(one.trials)))
        self.series = replace(largest, trials=dict(sorted(trials.items())))
        self.size = max(self._stored.values())

    def on(self, questions: Collection[int]) -> "SamplePool":
        """The same on some of the questions, at least one of which has samples."""
        return SamplePool(*(one.on(questions) for one in self._methods))

    def levels(self, questions: Iterable[int], choose: Choose) -> list[list[Series]]:
        """1, 2, 3, ... samples of these questions, and then the same of those that have more.

        Args:
            questions: Those without samples are left out.
            choose: How samples become a method.

        Returns:
            Lists, each about questions of its own, with n samples at position n - 1. The first is about all
            questions and ends where one of them has no more samples; each that follows is about fewer
            questions, and is longer. None if no question has samples.

        Example:
            >>> made = tuple(AttemptRecord(attempt=n, answer="4", right=True) for n in range(3))
            >>> small = Series("made up", "boxed", "sc:2", {n: Trial(made[:2], 0) for n in range(5)})
            >>> large = Series("made up", "boxed", "sc:3", {0: Trial(made, 0)})
            >>> levels = SamplePool(small, large).levels(range(5), SamplePool.majority)
            >>> [[(one.method, len(one.trials)) for one in level] for level in levels]
            [[('sc-1', 5), ('sc-2', 5)], [('sc-1', 1), ('sc-2', 1), ('sc-3', 1)]]
        """
        wanted = sorted(self._stored.keys() & set(questions))
        lengths = sorted({self._stored[number] for number in wanted})
        drawn = [choose(self, count) for count in range(1, max(lengths, default=0) + 1)]
        levels = []
        for length in lengths:
            having = [number for number in wanted if self._stored[number] >= length]
            levels.append([samples.on(having) for samples in drawn[:length]])
        return levels

    def _having(self, count: int) -> list[int]:
        """The questions that have so many samples: fewer would not be that number of samples."""
        return [number for number in self.series.trials if self._stored[number] >= count]

    @cached_property
    def _voters(self) -> dict[int, list[int]]:
        return {number: _voters(trial) for number, trial in self.series.trials.items()}

    def coverage(self, count: int) -> Series:
        """The first samples, chosen by one who knows the answers; verdicts are not paid for."""
        trials = {}
        for number in self._having(count):
            trial = self._cut(number, count).found()
            trials[number] = replace(trial, attempts=tuple(map(_unjudged, trial.attempts)))
        return self._derived(f"pass@{count}", trials)

    def majority(self, count: int) -> Series:
        """Self-consistency over the first samples; its verdicts, if there are any, are not paid for."""
        trials = {}
        for number in self._having(count):
            trial = self._cut(number, count)
            votes = [(voters & ((1 << count) - 1)).bit_count() for voters in self._voters[number][:count]]
            trials[number] = Trial(tuple(map(_unjudged, trial.attempts)), votes.index(max(votes)))
        return self._derived(f"sc-{count}", trials)

    def best(self, count: int) -> Series:
        """Best of the first samples, by their verdicts; the name tells whose, as that of the method does."""
        trials = {number: self._cut(number, count).kept("best") for number in self._having(count)}
        reward = "" if self.series.reward == "combined" else f":{self.series.reward}"
        return self._derived(f"bon-{count}{reward}", trials)

    def _cut(self, number: int, count: int) -> Trial:
        return Trial(self.series.trials[number].attempts[:count], 0)

    def _derived(self, method: str, trials: dict[int, Trial]) -> Series:
        return replace(self.series, method=method, trials=trials)


def sample_pool(group: Group) -> SamplePool | None:
    """All samples that any method has drawn: the first n are the same, whoever draws them."""
    found = [series for kind in ("sc", "bon") for series in group.series if series.kind == kind]
    return SamplePool(*found) if found else None


def judged_pools(group: Group) -> dict[str | None, SamplePool]:
    """For each reward that chose among samples, the samples that it has judged."""
    found: dict[str | None, list[Series]] = {}
    for series in group.series:
        if series.kind == "bon":
            found.setdefault(series.reward, []).append(series)
    return {reward: SamplePool(*several) for reward, several in found.items()}


def _voters(trial: Trial) -> list[int]:
    """For each sample the set of samples with the same answer, as bits: compared once, counted often."""
    answers = [attempt.answer for attempt in trial.attempts]
    return [int(votes) for votes in weighted_votes(answers, [1 << place for place in range(len(answers))])]


def _unjudged(attempt: AttemptRecord) -> AttemptRecord:
    return replace(
        attempt,
        verifier_tokens=0,
        verifier_forward_passes=0.0,
        verifier_computed_tokens=0.0,
        verifier_seconds=0.0,
    )
