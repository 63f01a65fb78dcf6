"""What N stored samples tell of every smaller number: votes, best of n, coverage, what n costs."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property

from latentseek_agents.decisions import best_sample, weighted_votes
from latentseek_agents.evaluation.reports.series import Series
from latentseek_agents.evaluation.runs.records import Outcome

__all__ = ["Choose", "SamplePool"]

Choose = Callable[["SamplePool", int], Series]
"""Makes so many samples a method, for example ``SamplePool.majority``."""


class SamplePool:
    """The longest row of samples that is stored for each question, in the order in which they were drawn.

    The samples of a run are the same, whichever method drew them. So a method that draws more than another
    adds to its samples from its first question on, and takes nothing away before its last.

    Args:
        series: Methods that sample, for example ``sc:3`` and ``sc:11``, all under one reward if their
            verdicts matter. Of rows of the same length that of the earlier method counts.

    Attributes:
        series: The longest rows, under the name of the method that draws the most samples.
        size: The most samples that any question has.
    """

    def __init__(self, *series: Series) -> None:
        self._stored: dict[int, int] = {}
        trials: dict[int, Outcome] = {}
        for one in series:
            for number, trial in one.trials.items():
                # A question that could not be worked on is wrong with every number of samples.
                count = one.name.samples if trial.failed and one.name.samples else len(trial.attempts)
                known = trials.get(number)
                if known is None or (known.failed, -self._stored[number]) > (trial.failed, -count):
                    trials[number], self._stored[number] = trial, count
        largest = max(series, key=lambda one: (one.name.samples, len(one.trials)))
        self.series = replace(largest, trials=dict(sorted(trials.items())))
        self.size = max(self._stored.values())

    def levels(self, questions: Iterable[int], choose: Choose) -> list[list[Series]]:
        """1, 2, 3, ... samples of these questions, and then the same of those that have more.

        Args:
            questions: Those without samples are left out.
            choose: How samples become a method.

        Returns:
            Lists, each about questions of its own, with n samples at position n - 1. The first is about all
            questions and ends where one of them has no more samples; each that follows is about fewer
            questions, and is longer. None if no question has samples.
        """
        wanted = sorted(self._stored.keys() & set(questions))
        lengths = sorted({self._stored[number] for number in wanted})
        drawn = [choose(self, count) for count in range(1, max(lengths, default=0) + 1)]
        levels = []
        for length in lengths:
            having = [number for number in wanted if self._stored[number] >= length]
            levels.append([samples.on(having) for samples in drawn[:length]])
        return levels

    def coverage(self, count: int) -> Series:
        """The first samples, chosen with the known answers; verdicts are not charged."""
        return self._first(count, f"pass@{count}", _unjudged).covered()

    def majority(self, count: int) -> Series:
        """Self-consistency over the first samples; verdicts are not charged."""

        def voted(trial: Outcome) -> Outcome:
            voters = self._voters[trial.key.problem][:count]
            votes = [(voter & ((1 << count) - 1)).bit_count() for voter in voters]
            return _unjudged(trial).choosing(votes.index(max(votes)))

        return self._first(count, f"sc-{count}", voted)

    def best(self, count: int) -> Series:
        """Best of the first samples by their verdicts; the name says whose, as that of the method does."""
        return self._first(count, f"bon-{count}{self.series.name.reward_argument}", _best)

    @cached_property
    def _voters(self) -> dict[int, list[int]]:
        """For each sample the set of samples with the same answer, as bits: compared once, counted often."""
        voters = {}
        for number, trial in self.series.trials.items():
            bits = [1 << place for place in range(len(trial.attempts))]
            votes = weighted_votes([attempt.answer for attempt in trial.attempts], bits)
            voters[number] = [int(voter) for voter in votes]
        return voters

    def _first(self, count: int, method: str, choose: Callable[[Outcome], Outcome]) -> Series:
        """The questions that have so many samples: fewer would not be that number of samples."""
        trials = {
            number: choose(replace(trial, attempts=trial.attempts[:count]).choosing(0))
            for number, trial in self.series.trials.items()
            if self._stored[number] >= count
        }
        return replace(self.series, method=method, trials=trials, variant="first samples")


def _best(trial: Outcome) -> Outcome:
    attempts = [record.as_attempt for record in trial.attempts]
    return trial.choosing(attempts.index(best_sample(attempts)))


def _unjudged(trial: Outcome) -> Outcome:
    return replace(trial, attempts=tuple(attempt.unjudged for attempt in trial.attempts))
