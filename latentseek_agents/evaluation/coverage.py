"""How many questions a search that is told the answer gets right, beside blind sampling at the same cost."""

from collections.abc import Iterable
from dataclasses import dataclass

from latentseek_agents.evaluation.equal_cost import EqualCost, equal_costs
from latentseek_agents.evaluation.sample_pool import SamplePool
from latentseek_agents.evaluation.summary import Summary, summarize
from latentseek_agents.evaluation.trials import Series

__all__ = ["CoverageRow", "coverage_of_samples", "coverage_row", "coverage_rows"]

_KINDS = (
    ("attempts", False),
    ("forward passes", False),
    ("forward passes", True),
    ("computed tokens", False),
    ("computed tokens", True),
)

_Levels = dict[bool, list[list[Series]]]


@dataclass(frozen=True)
class CoverageRow:
    """A search after some iterations, and the samples that it competes with, on the same questions.

    Args:
        method: The search, an oracle.
        iterations: After which it is looked at, all questions alike; it stops earlier where it is right.
        solutions: How many it had written by then at most, the draft among them.
        search: Its numbers.
        equal: The samples, for each cost that is to be equal; empty if there are none. Where some questions
            have more of them than others, a row may be about fewer questions than ``search``.
    """

    method: str
    iterations: int
    solutions: int
    search: Summary
    equal: tuple[EqualCost, ...]


def coverage_rows(searches: Iterable[Series], pool: SamplePool | None) -> list[CoverageRow]:
    """Every oracle search after 0, 1, 2, ... iterations.

    Args:
        searches: Those that are no oracles are left out.
        pool: Samples.
    """
    rows = []
    for series in searches:
        if not series.oracle:
            continue
        search, levels = _shared(series, pool)
        counts = range(search.most_iterations + 1)
        rows += [_row(search.after(count).found(), levels, count) for count in counts]
    return rows


def coverage_row(series: Series, pool: SamplePool) -> CoverageRow:
    """One search after all its iterations.

    Args:
        series: An oracle.
        pool: Samples, perhaps of another run.
    """
    search, levels = _shared(series, pool)
    return _row(search.found(), levels, search.most_iterations)


def coverage_of_samples(
    searches: Iterable[Series], pool: SamplePool | None
) -> dict[tuple[Summary, ...], list[str]]:
    """What 1, 2, 3, ... samples cover, on the questions of each oracle search; and which searches these are.

    Each number of samples is looked at on the questions that have so many.

    Args:
        searches: Those that are no oracles are left out. Without any, all questions of the samples count.
        pool: Samples.
    """
    found: dict[tuple[Summary, ...], list[str]] = {}
    if pool is None:
        return found
    for series in [series for series in searches if series.oracle] or [pool.series]:
        drawn = [pool.coverage(count).on(series.trials) for count in range(1, pool.size + 1)]
        covered = tuple(
            summarize(samples, "on shared questions", oracle=True) for samples in drawn if samples.trials
        )
        if covered:
            found.setdefault(covered, []).append(series.method)
    return found


def _shared(series: Series, pool: SamplePool | None) -> tuple[Series, _Levels]:
    """The search and every number of samples on the same questions; all of the search's if there are none.

    The samples come twice: all of them, and (under True) until one is right.
    """
    levels = pool.levels(series.trials, SamplePool.coverage) if pool is not None else []
    if not levels:
        return series, {False: [], True: []}
    stopping = [[samples.until_right() for samples in drawn] for drawn in levels]
    return series.on(levels[0][0].trials), {False: levels, True: stopping}


def _row(search: Series, levels: _Levels, iterations: int) -> CoverageRow:
    after = f"after {iterations}"
    return CoverageRow(
        method=search.method,
        iterations=iterations,
        solutions=search.most_solutions,
        search=summarize(search, f"coverage after {iterations}"),
        equal=tuple(
            row
            for kind, stopping in _KINDS
            for row in equal_costs(search, levels[stopping], kind, after, stopping=stopping)
        ),
    )
