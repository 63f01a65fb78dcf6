"""What N stored samples tell of every smaller number: votes, best of n, coverage, what n costs."""

from dataclasses import replace
from functools import cached_property

from latentseek_agents.evaluation.records import AttemptRecord
from latentseek_agents.evaluation.trials import Group, Series, Trial
from latentseek_agents.graphs.decisions import weighted_votes

__all__ = ["SamplePool", "sample_pool"]


class SamplePool:
    """The samples of one method, each question's in the order in which they were drawn.

    Args:
        series: A method that samples, for example ``sc:11``.

    Attributes:
        series: As given.
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

    def __init__(self, series: Series) -> None:
        self.series = series
        self.size = max(len(trial.attempts) for trial in series.trials.values())

    @cached_property
    def _voters(self) -> dict[int, list[int]]:
        return {number: _voters(trial) for number, trial in self.series.trials.items()}

    def coverage(self, count: int) -> Series:
        """The first samples, chosen by one who knows the answers; verdicts are not paid for."""
        trials = {}
        for number in self.series.trials:
            trial = self._cut(number, count).found()
            trials[number] = replace(trial, attempts=tuple(map(_unjudged, trial.attempts)))
        return self._derived(f"pass@{count}", trials)

    def majority(self, count: int) -> Series:
        """Self-consistency over the first samples; its verdicts, if there are any, are not paid for."""
        trials = {}
        for number in self.series.trials:
            trial = self._cut(number, count)
            votes = [(voters & ((1 << count) - 1)).bit_count() for voters in self._voters[number][:count]]
            trials[number] = Trial(tuple(map(_unjudged, trial.attempts)), votes.index(max(votes)))
        return self._derived(f"sc-{count}", trials)

    def best(self, count: int) -> Series:
        """Best of the first samples, by their verdicts; the name tells whose, as that of the method does."""
        trials = {number: self._cut(number, count).kept("best") for number in self.series.trials}
        reward = "" if self.series.reward == "combined" else f":{self.series.reward}"
        return self._derived(f"bon-{count}{reward}", trials)

    def _cut(self, number: int, count: int) -> Trial:
        return Trial(self.series.trials[number].attempts[:count], 0)

    def _derived(self, method: str, trials: dict[int, Trial]) -> Series:
        return replace(self.series, method=method, trials=trials)


def sample_pool(group: Group) -> SamplePool | None:
    """The most samples that any method has drawn: the first n are the same, whoever draws them."""
    found = [group.largest("sc"), *group.judged_pools]
    pools = [SamplePool(series) for series in found if series is not None]
    return max(pools, key=lambda pool: (pool.size, len(pool.series.trials)), default=None)


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
