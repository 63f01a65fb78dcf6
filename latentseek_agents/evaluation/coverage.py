"""How many questions a search that is told the answer gets right, beside blind sampling at the same cost."""

from collections.abc import Iterable
from dataclasses import dataclass

from latentseek_agents.evaluation.sample_pool import SamplePool
from latentseek_agents.evaluation.statistics import Comparison
from latentseek_agents.evaluation.summary import Summary, compare_series, summarize
from latentseek_agents.evaluation.trials import Group, Series

__all__ = ["CoverageRow", "Rival", "coverage_rows"]

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Rival:
    """Samples beside a search, both chosen by one who knows the answers.

    Args:
        samples: How many were drawn.
        all_stored: Whether there are no more, so that its cost may be below the search's.
        summary: What came of them.
        found: The search compared with them.
    """

    samples: int
    all_stored: bool
    summary: Summary
    found: Comparison | None


@dataclass(frozen=True)
class CoverageRow:
    """A search after some iterations, and the samples that it competes with, on the same questions.

    Args:
        method: The search, an oracle.
        iterations: After which it is looked at, all questions alike; it stops earlier where it is right.
        solutions: How many it had written by then at most, the draft among them.
        search: Its numbers.
        equal_attempts: As many samples as it wrote solutions at most; None if fewer are stored.
        equal_passes: As many samples as cost no more forward passes; None if one costs more.
        equal_passes_stopping: The same if sampling, like the search, stops at a right answer.
    """

    method: str
    iterations: int
    solutions: int
    search: Summary
    equal_attempts: Rival | None
    equal_passes: Rival | None
    equal_passes_stopping: Rival | None


def coverage_rows(group: Group, pool: SamplePool | None) -> list[CoverageRow]:
    """Every oracle search after 0, 1, 2, ... iterations.

    Args:
        group: What was run.
        pool: Samples of it.
    """
    rows = []
    for series in group.searches:
        if not series.oracle:
            continue
        shared = series.trials.keys() & pool.series.trials.keys() if pool is not None else set()
        compared = series.on(sorted(shared)) if shared else series
        drawn = (
            [pool.coverage(count).on(shared) for count in range(1, pool.size + 1)]
            if pool is not None and shared
            else []
        )
        stopping = [samples.until_right() for samples in drawn]
        for count in range(compared.most_iterations + 1):
            search = compared.after(count).found()
            rows.append(
                CoverageRow(
                    method=series.method,
                    iterations=count,
                    solutions=search.most_solutions,
                    search=summarize(search, f"coverage after {count}"),
                    equal_attempts=_rival(search, drawn, search.most_solutions),
                    equal_passes=_rival(search, drawn, _affordable(search, drawn)),
                    equal_passes_stopping=_rival(search, stopping, _affordable(search, stopping)),
                )
            )
    return rows


def _affordable(search: Series, drawn: Iterable[Series]) -> int:
    """How many samples cost no more forward passes than the search."""
    allowed = _passes(search) + _ROUNDING
    return sum(_passes(samples) <= allowed for samples in drawn)


def _passes(series: Series) -> float:
    return sum(trial.forward_passes for trial in series.trials.values())


def _rival(search: Series, drawn: list[Series], count: int) -> Rival | None:
    if not 1 <= count <= len(drawn):
        return None
    samples = drawn[count - 1]
    return Rival(
        count,
        count == len(drawn),
        summarize(samples, "coverage", oracle=True),
        compare_series(search, samples),
    )
