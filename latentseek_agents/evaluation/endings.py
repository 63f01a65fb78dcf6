"""Why searches ended, and after how many iterations."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from latentseek_agents.evaluation.trials import Group, Series, Trial

__all__ = ["ENDINGS", "Endings", "ending", "endings"]

ENDINGS = ("passed", "iterations", "unjudged", "budget", "nothing to refine", "error", "not known")
"""How a search can end; ``"budget"`` is that of seconds or tokens."""

_REASONS = {"seconds": "budget", "tokens": "budget"}
_ERROR = "error: "


@dataclass(frozen=True, kw_only=True)
class Endings:
    """How one method's work on its questions ended.

    Args:
        method: Its name.
        oracle: Whether it is told the known answer.
        searches: Whether it is a search. Of other methods nothing but the errors is of interest.
        questions: How many it has worked on.
        after: For each of :data:`ENDINGS`, how many questions ended so after 0, 1, 2, ... iterations.
        errors: For each kind of error, how many questions it ended.
    """

    method: str
    oracle: bool
    searches: bool
    questions: int
    after: Mapping[str, tuple[int, ...]]
    errors: Mapping[str, int]

    @property
    def counts(self) -> dict[str, int]:
        """How many questions ended in each way."""
        return {name: sum(counts) for name, counts in self.after.items()}

    @property
    def iterations(self) -> tuple[int, ...]:
        """How many questions ended after 0, 1, 2, ... iterations, however they ended."""
        return tuple(map(sum, zip(*self.after.values(), strict=True)))


def ending(trial: Trial) -> str:
    """How a search ended, one of :data:`ENDINGS`.

    Where the fraction of the draft makes no latent, the search says ``"iterations"``, though it had none.

    Example:
        >>> from latentseek_agents.evaluation.records import AttemptRecord
        >>> draft = AttemptRecord(attempt=0, answer="4", right=True, latents=0)
        >>> [ending(Trial((draft,), 0, reason)) for reason in ("tokens", "iterations", "error: InputError")]
        ['budget', 'nothing to refine', 'error']
    """
    reason = trial.stop_reason or ""
    if trial.failed or reason.startswith(_ERROR):
        return "error"
    if reason == "iterations" and not trial.iterations and not trial.attempts[0].latents:
        return "nothing to refine"
    name = _REASONS.get(reason, reason)
    return name if name in ENDINGS else "not known"


def endings(group: Group) -> list[Endings]:
    """How the work of every method ended."""
    return [_endings(series) for series in group.series]


def _endings(series: Series) -> Endings:
    trials = series.trials.values()
    most = series.most_iterations if series.searches else 0
    found = Counter((ending(trial), trial.iterations if series.searches else 0) for trial in trials)
    errors = Counter(_error(trial) for trial in trials if ending(trial) == "error")
    return Endings(
        method=series.method,
        oracle=series.oracle,
        searches=series.searches,
        questions=len(trials),
        after={name: tuple(found[name, count] for count in range(most + 1)) for name in ENDINGS},
        errors=dict(sorted(errors.items())),
    )


def _error(trial: Trial) -> str:
    """The kind of error; those of earlier versions may not be told."""
    reason = trial.stop_reason or ""
    return reason.removeprefix(_ERROR) if reason.startswith(_ERROR) else "not told"
