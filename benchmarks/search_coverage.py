"""Whether any attempt of an oracle's search is right, beside blind sampling at the same cost.

    python benchmarks/search_coverage.py RUN...

``RUN`` is a folder of ``latentseek eval`` with ``psrm`` (or ``walk:psrm``) and samples. The search knows the
answer and ``sc`` does not, so the comparison that is fair to sampling is coverage: any of n samples is right.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from latentseek_agents.evaluation.reports.analysis import Group, Run, read_runs
from latentseek_agents.evaluation.reports.equal_cost import EqualCost, equal_costs
from latentseek_agents.evaluation.reports.samples import SamplePool
from latentseek_agents.evaluation.reports.series import ORACLE, Series, first_right
from latentseek_agents.evaluation.reports.table import NOTHING, Cell, Table, accuracy
from latentseek_agents.evaluation.reports.tables import (
    COSTS_NOTE,
    NEIGHBOURS,
    NEIGHBOURS_NOTE,
    equal_cost_cells,
)

_KINDS = (
    ("attempts", False),
    ("forward passes", False),
    ("forward passes", True),
    ("computed tokens", False),
    ("computed tokens", True),
)

_Levels = dict[bool, list[list[Series]]]


@dataclass(frozen=True)
class Beside:
    """A search beside samples at equal cost.

    Args:
        stopping: Whether sampling, like the search, stops at a right answer.
        equal: Both neighbours in cost.
    """

    stopping: bool
    equal: EqualCost

    def cells(self) -> tuple[str, ...]:
        """What is equal, the search's cost, both neighbours, and the finding."""
        kind, *rest = equal_cost_cells(self.equal)
        return (f"{kind}, sampling stops when right" if self.stopping else kind, *rest)


@dataclass(frozen=True)
class Coverage:
    """A search after some iterations, and the samples that it competes with, on the same questions.

    Args:
        search: Chosen with the known answers.
        iterations: After which it is looked at; it stops earlier where it is right.
        beside: The samples, for each cost that is to be equal; empty if there are none. Where some questions
            have more of them than others, a row may be about fewer questions than ``search``.
    """

    search: Series
    iterations: int
    beside: list[Beside]


def coverage_over_iterations(group: Group) -> list[Coverage]:
    """Every oracle search after 0, 1, 2, ... iterations."""
    rows = []
    for series in group.searches:
        if series.oracle:
            search, levels = _shared(series, group.pool)
            counts = range(search.most_iterations + 1)
            rows += [_row(search.after(count).covered(), levels, count) for count in counts]
    return rows


def coverage_of_all(series: Series, pool: SamplePool) -> Coverage:
    """An oracle search after all its iterations, beside samples that may be another run's."""
    search, levels = _shared(series, pool)
    return _row(search.after(search.most_iterations).covered(), levels, search.most_iterations)


def coverage_table(run: Run) -> Table:
    """Oracle searches of a run after 0, 1, 2, ... iterations."""
    rows: list[Sequence[Cell]] = []
    for group in run.groups:
        coverage = coverage_over_iterations(group)
        last = {row.search.method: row.iterations for row in coverage}
        for row in coverage:
            head = (group.place, row.search.label, str(row.iterations))
            at_end = row.iterations == last[row.search.method]
            shown = [one for one in row.beside if one.equal.kind == "attempts" or at_end]
            rows += [
                (*head, str(one.equal.search.questions), accuracy(one.equal.search), *one.cells())
                for one in shown
            ] or [(*head, str(row.search.questions), accuracy(row.search), *[NOTHING] * 5)]
    return Table(
        f"{ORACLE}: coverage of the search beside that of blind sampling",
        ("data", "method", "iterations", "n", "covered", "equal", "its cost", *NEIGHBOURS),
        rows,
        "Covered: any attempt so far is right; pass@n: any of n samples is. The search stops at a right "
        "answer; where sampling is said to stop, it does so as well. At other costs than attempts only a "
        f"search's last row is here. {NEIGHBOURS_NOTE} {COSTS_NOTE}",
    )


def _shared(series: Series, pool: SamplePool | None) -> tuple[Series, _Levels]:
    """The search and every number of samples on the same questions; all of the search's if there are none.

    The samples come twice: all of them, and (under True) until one is right.
    """
    levels = pool.levels(series.trials, SamplePool.coverage) if pool is not None else []
    if not levels:
        return series, {False: [], True: []}
    stopping = [[_until_right(samples) for samples in drawn] for drawn in levels]
    return series.on(levels[0][0].trials), {False: levels, True: stopping}


def _until_right(samples: Series) -> Series:
    """The same samples, as if the first right one had been the last."""
    trials = {}
    for number, trial in samples.trials.items():
        place = first_right(trial)
        end = len(trial.attempts) if place is None else place + 1
        trials[number] = replace(trial, attempts=trial.attempts[:end]).choosing(place or 0)
    return replace(samples, trials=trials)


def _row(search: Series, levels: _Levels, iterations: int) -> Coverage:
    beside = [
        Beside(stopping, equal)
        for kind, stopping in _KINDS
        for equal in equal_costs(search, levels[stopping], kind)
    ]
    return Coverage(search, iterations, beside)


def main(folders: Sequence[str]) -> None:
    """Print the table of each run."""
    for run in read_runs(folders):
        print(f"## {run.name}\n\n{coverage_table(run).markdown()}")


if __name__ == "__main__":
    main(sys.argv[1:])
