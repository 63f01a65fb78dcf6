"""Tables of runs of one model beside each other."""

from latentseek_agents.evaluation.across_runs import AcrossRuns
from latentseek_agents.evaluation.cells import (
    ORACLE,
    Table,
    accuracy,
    compared,
    heads,
    marked,
    number,
    where,
)
from latentseek_agents.evaluation.equal_cost_tables import (
    ATTEMPTS_NOTE,
    COSTS_NOTE,
    NEIGHBOURS,
    NEIGHBOURS_NOTE,
    equal_cost_cells,
)

__all__ = ["across_tables", "differing_settings", "paired_runs_table"]

_SHARED_NOTE = "Questions are shared if data set, number and text are the same."


def across_tables(across: AcrossRuns, *, oracle: bool) -> list[Table]:
    """All tables of these runs; none without rows.

    Args:
        across: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    tables = [
        _accuracies(across, oracle),
        paired_runs_table(across, oracle=oracle),
        _equal_costs(across, oracle),
    ]
    if oracle:
        tables.append(_coverage(across))
    return [table for table in tables if table.rows]


def differing_settings(across: AcrossRuns) -> Table:
    """In what the runs differ."""
    rows = [
        (run.folder, *(values[place] for values in across.differing.values()))
        for place, run in enumerate(across.runs)
    ]
    note = "" if across.differing else "Their settings are the same. "
    if not across.summaries:
        note += "There is no question that all of them have worked on."
    return Table("Settings in which the runs differ", ("run", *across.differing), tuple(rows), note)


def paired_runs_table(across: AcrossRuns, *, oracle: bool) -> Table:
    """Searches of the same name in two runs.

    Args:
        across: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    rows = [
        (
            where(pair.dataset, pair.prompt),
            marked(pair.method, oracle=pair.oracle),
            pair.first.folder,
            pair.second.folder,
            *compared(pair.found),
        )
        for pair in across.pairs
        if pair.oracle is oracle and pair.found is not None
    ]
    return Table(
        "Runs in pairs, on the same questions",
        heads(
            "data | method | in | compared with the one in | n | only first right | only second right | "
            "difference | p | finding"
        ),
        tuple(rows),
        "Difference in points of accuracy, with Tango's 95 % score interval; p of McNemar's exact test. A "
        "difference is called one only if the interval excludes 0 and p is below 0.05. "
        f"Comparisons in this table: {len(rows)}. Each stands for itself. "
        f"{_SHARED_NOTE}",
    )


def _accuracies(across: AcrossRuns, oracle: bool) -> Table:
    rows = [
        (
            where(one.summary.dataset, one.summary.prompt),
            marked(one.summary.method, oracle=one.summary.oracle),
            one.run.folder,
            str(one.summary.questions),
            accuracy(one.summary.accuracy, one.summary.interval),
            number(one.summary.tokens),
            number(one.summary.forward_passes),
        )
        for one in across.summaries
        if one.summary.oracle is oracle
    ]
    return Table(
        "Runs on the questions that all of them share",
        heads("data | method | run | n | accuracy | tokens | forward passes"),
        tuple(rows),
        "Per cent, with Wilson's 95 % interval; costs are means over the questions. A method that only some "
        f"runs have is shown on the questions that the others have worked on in any way. {_SHARED_NOTE}",
    )


def _equal_costs(across: AcrossRuns, oracle: bool) -> Table:
    rows = [
        (
            where(one.row.search.dataset, one.row.search.prompt),
            marked(one.row.search.method, oracle=oracle),
            one.run.folder,
            one.samples.folder,
            str(one.row.search.questions),
            accuracy(one.row.search.accuracy, one.row.search.interval),
            *equal_cost_cells(one.row),
        )
        for one in across.equal_costs
        if one.row.search.oracle is oracle
    ]
    return Table(
        "At equal attempts and at equal cost, with the samples of another run",
        heads(f"data | method | in | samples of | n | accuracy | equal | its cost | {NEIGHBOURS}"),
        tuple(rows),
        "Self-consistency over samples drawn with the same temperature, seed and limit of tokens. "
        f"{_SHARED_NOTE} {ATTEMPTS_NOTE} {NEIGHBOURS_NOTE} {COSTS_NOTE}",
    )


def _coverage(across: AcrossRuns) -> Table:
    rows = [
        (
            where(one.row.search.dataset, one.row.search.prompt),
            marked(one.row.method, oracle=True),
            one.run.folder,
            one.samples.folder,
            str(equal.search.questions),
            accuracy(equal.search.accuracy, equal.search.interval),
            *equal_cost_cells(equal),
        )
        for one in across.coverage
        for equal in one.row.equal
    ]
    return Table(
        f"{ORACLE}: coverage of the search of one run beside the samples of another",
        heads(f"data | method | in | samples of | n | covered | equal | its cost | {NEIGHBOURS}"),
        tuple(rows),
        "The search after all its iterations, and samples drawn with the same temperature, seed and "
        f"limit of tokens. {_SHARED_NOTE} {ATTEMPTS_NOTE} {NEIGHBOURS_NOTE} {COSTS_NOTE}",
    )
