"""One method's work on the questions of a data set, as run, or as it would have been with fewer attempts.

A search's first iterations and a baseline's first samples do not depend on how many follow. So what shorter
runs, and other choices among the attempts, would have returned follows from the attempts on record.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal, Self

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import choose
from latentseek_agents.evaluation.reports.statistics import Comparison, Interval, compare_pairs, wilson
from latentseek_agents.evaluation.runs.method_names import MethodName
from latentseek_agents.evaluation.runs.records import Outcome
from latentseek_agents.tools.answers import answers_agree

__all__ = ["ORACLE", "Keep", "Series"]

ORACLE = "ORACLE"
"""The mark of methods that are told the known answer."""

Keep = Literal["best", "last", "vote"]


@dataclass(frozen=True)
class Series:
    """One method's work on the questions of one data set, with one prompt.

    Args:
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        method: Its name, for example ``"sc:11"``; derived ones have others, such as ``"sc-4"``.
        trials: At least one, by the question's number.
        variant: ``"as run"``, or how it differs from what was run.
        config: How the method chooses among its attempts.
    """

    dataset: str
    prompt: str
    method: str
    trials: Mapping[int, Outcome]
    variant: str = "as run"
    config: LatentSeekConfig = field(default_factory=LatentSeekConfig)

    @property
    def name(self) -> MethodName:
        """The method's name, taken apart."""
        return MethodName(self.method)

    @property
    def oracle(self) -> bool:
        """Whether the method is told the known answer: never a result, only a ceiling."""
        return self.name.oracle

    @property
    def label(self) -> str:
        """The method's name, marked if it is an oracle."""
        return f"{self.method} ({ORACLE})" if self.oracle else self.method

    @property
    def place(self) -> str:
        """Data and prompt."""
        return f"{self.dataset} · {self.prompt}"

    @property
    def questions(self) -> int:
        """How many it has worked on."""
        return len(self.trials)

    @property
    def right(self) -> int:
        """How many it has answered right."""
        return self.count("right")

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.questions

    @property
    def interval(self) -> Interval:
        """Wilson's, of the accuracy."""
        return wilson(self.right, self.questions)

    @property
    def most_iterations(self) -> int:
        """Of all questions."""
        return max(trial.iterations for trial in self.trials.values())

    @property
    def most_solutions(self) -> int:
        """Of all questions; more than attempts if a search draws several per iteration."""
        return max(sum(attempt.samples for attempt in trial.attempts) for trial in self.trials.values())

    @property
    def against_drafts(self) -> Comparison:
        """A search compared with the drafts that it started from, whatever a vote would have made of them."""

        def draft(trial: Outcome) -> Outcome:
            return replace(trial, attempts=trial.attempts[:1]).choosing(0)

        return self.against(self._changed("drafts", draft))  # type: ignore[return-value]

    def count(self, flag: str) -> int:
        """How many outcomes have a property, for example ``"cut_off"``."""
        return sum(getattr(trial, flag) for trial in self.trials.values())

    def mean(self, cost: str) -> float:
        """A cost of a question on average, for example ``"policy_tokens"``, over all its attempts."""
        return fmean(sum(getattr(one, cost) for one in trial.attempts) for trial in self.trials.values())

    def against(self, other: Self) -> Comparison | None:
        """Compared with another method on the questions that both have worked on; None if there are none."""
        shared = self.trials.keys() & other.trials.keys()
        pairs = [(self.trials[number].right, other.trials[number].right) for number in shared]
        if not pairs:
            return None
        return compare_pairs(
            len(pairs), only_first=pairs.count((True, False)), only_second=pairs.count((False, True))
        )

    def on(self, questions: Iterable[int]) -> Self:
        """The same on some of the questions; those it has not worked on are left out."""
        trials = {number: self.trials[number] for number in questions if number in self.trials}
        return replace(self, trials=trials)

    def kept(self, keep: Keep) -> Self:
        """The same search with another choice among its attempts; with its own, as it was run."""
        if keep == self.config.keep:
            return replace(self, variant=f"keep={keep}, as run")
        config = self.config.replace(keep=keep, acceptance="score_and_checks")
        return self._changed(f"keep={keep}", lambda trial: _chosen(trial, config))

    def after(self, iterations: int) -> Self:
        """As if it had been stopped after so many iterations, choosing among its attempts as it does.

        Why it ended is known only if it had ended by then.
        """

        def stopped(trial: Outcome) -> Outcome:
            if trial.iterations <= iterations:
                return trial
            attempts = tuple(attempt for attempt in trial.attempts if attempt.attempt <= iterations)
            return _chosen(replace(trial, attempts=attempts, stop_reason=None), self.config)

        return self._changed(f"after {iterations}", stopped)

    def covered(self) -> Self:
        """The same attempts, chosen with the known answer: the first that is right, if any is."""
        return self._changed(self.variant, lambda trial: trial.choosing(first_right(trial) or 0))

    def _changed(self, variant: str, change: Callable[[Outcome], Outcome]) -> Self:
        trials = {number: change(trial) for number, trial in self.trials.items()}
        return replace(self, trials=trials, variant=variant)


def _chosen(trial: Outcome, config: LatentSeekConfig) -> Outcome:
    """The outcome with what a search of these settings would return of its attempts."""
    attempts = [record.as_attempt for record in trial.attempts]
    choice = choose(attempts, config, trial.prepared_answer)
    chosen = trial.choosing(choice.index)
    if choice.corrected is None:
        return chosen
    right = answers_agree(choice.corrected, trial.reference)
    return replace(chosen, corrected=choice.corrected, corrected_right=right)


def first_right(trial: Outcome) -> int | None:
    """The place of the first attempt that is right; None if none is."""
    return next((place for place, attempt in enumerate(trial.attempts) if attempt.right is True), None)
