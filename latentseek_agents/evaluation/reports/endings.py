"""Why searches ended, and after how many iterations."""

from collections import Counter
from dataclasses import dataclass

from latentseek_agents.evaluation.reports.series import Series
from latentseek_agents.evaluation.runs.records import ERROR, Outcome

__all__ = ["ENDINGS", "Endings", "endings"]

ENDINGS = {
    "passed": "passed",
    "agreement": "agreement",
    "iterations": "iterations spent",
    "unjudged": "not judged",
    "budget": "budget spent",
    "nothing to refine": "nothing to refine",
    "error": "error",
    "not known": "not known",
}
"""How a search can end, and how tables and legends call it; ``"budget"`` is that of seconds or tokens."""

_REASONS = {"seconds": "budget", "tokens": "budget"}


@dataclass(frozen=True, kw_only=True)
class Endings:
    """How one method's work on its questions ended.

    Args:
        series: The method. Only the errors are of interest if it is no search.
        after: How many questions ended in each way after so many iterations.
        errors: For each kind of error, how many questions it ended.
    """

    series: Series
    after: Counter[tuple[str, int]]
    errors: dict[str, int]

    @property
    def counts(self) -> Counter[str]:
        """How many questions ended in each way."""
        return sum((Counter({way: count}) for (way, _), count in self.after.items()), Counter())

    @property
    def iterations(self) -> list[int]:
        """How many questions ended after 0, 1, 2, ... iterations."""
        most = range(self.series.most_iterations + 1)
        return [sum(self.after[way, count] for way in ENDINGS) for count in most]

    @property
    def error_names(self) -> str:
        """The kinds of errors, with their counts if there are several kinds."""
        if len(self.errors) == 1:
            return next(iter(self.errors))
        return ", ".join(f"{name} {count}" for name, count in self.errors.items())


def endings(series: Series) -> Endings:
    """How the work of a method ended."""
    trials = series.trials.values()
    moves = series.config.proposals == "latents"
    errors = Counter(
        (trial.stop_reason or "not told").removeprefix(ERROR) for trial in trials if trial.ended_in_error
    )
    return Endings(
        series=series,
        after=Counter((_way(trial, moves=moves), trial.iterations) for trial in trials),
        errors=dict(sorted(errors.items())),
    )


def _way(trial: Outcome, *, moves: bool) -> str:
    """How a search ended, one of :data:`ENDINGS`.

    Where the fraction of the draft makes no latent, a search that moves latents says ``"iterations"``,
    though it had none.
    """
    reason = trial.stop_reason or ""
    if trial.ended_in_error:
        return "error"
    if moves and reason == "iterations" and not trial.iterations and not trial.attempts[0].latents:
        return "nothing to refine"
    way = _REASONS.get(reason, reason)
    return way if way in ENDINGS else "not known"
