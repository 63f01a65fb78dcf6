"""Tables of searches beside samples of the same cost."""

from latentseek_agents.evaluation.analysis import RunAnalysis
from latentseek_agents.evaluation.cells import (
    NOTHING,
    ORACLE,
    Table,
    accuracy,
    difference,
    heads,
    marked,
    number,
    percent,
    probability,
    where,
)
from latentseek_agents.evaluation.equal_cost import UNDECIDED, EqualCost, Rival
from latentseek_agents.evaluation.summary import Summary
from latentseek_agents.evaluation.trials import is_oracle

__all__ = [
    "ATTEMPTS_NOTE",
    "COSTS_NOTE",
    "NEIGHBOURS",
    "NEIGHBOURS_NOTE",
    "NO_MORE_STORED",
    "coverage_table",
    "equal_cost_cells",
    "equal_cost_table",
    "missing_neighbour",
]

ATTEMPTS_NOTE = (
    "At equal attempts, each question has as many samples as the search has made attempts at the question "
    "that took most, its draft among them; where a search stops early, it has made fewer on average. Other "
    "costs are means over the questions."
)
COSTS_NOTE = (
    "Tokens are generated ones. Computed tokens are all that went through the layers, and a forward pass "
    "may check several guessed tokens. Each method is charged with its whole prompt once, as one pass. The "
    "more is decoded at once the fewer guesses are made, so that these two costs hold for the batch that was "
    "run. The gradient's products with the head are in neither."
)
NO_MORE_STORED = "no more stored"
_COSTS_MORE = "one costs more"
NEIGHBOURS = "samples that cost no more | samples that cost no less | finding"
NEIGHBOURS_NOTE = (
    "No number of samples costs exactly what the search costs, so both neighbours are shown: the most "
    "samples that cost no more, and the fewest that cost no less. In each: how many samples for what cost, "
    "their accuracy, the difference (search less samples) in points with Tango's 95 % score interval, and "
    "McNemar's exact p. A difference is called one only if it is one with both. "
    f"{NO_MORE_STORED.capitalize()}: the search's cost may pay for more samples than were "
    "drawn; questions that have more samples than others follow in a row of their own. "
    f"{UNDECIDED.capitalize()}: a neighbour is missing, and what the other shows may be due to its cost. "
    "Each comparison stands for itself."
)


def equal_cost_table(run: RunAnalysis, *, oracle: bool) -> Table:
    """Searches as run, beside as much self-consistency and best-of-N, and beside these at their cost.

    Args:
        run: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(row.search.method, oracle=row.search.oracle),
            str(row.search.questions),
            accuracy(row.search.accuracy, row.search.interval),
            *equal_cost_cells(row),
        )
        for group in run.groups
        for row in group.equal_costs
        if row.search.oracle is oracle
    ]
    return Table(
        "At equal attempts and at equal cost",
        heads(f"data | method | n | accuracy | equal | its cost | {NEIGHBOURS}"),
        tuple(rows),
        f"{ATTEMPTS_NOTE} {NEIGHBOURS_NOTE} sc pays for no verdict, bon for its own. {COSTS_NOTE}",
    )


def coverage_table(run: RunAnalysis) -> Table:
    """Oracle searches after 0, 1, 2, ... iterations, beside blind sampling at their cost.

    Args:
        run: What to show.
    """
    rows: list[tuple[str, ...]] = []
    for group in run.groups:
        last = {row.method: row.iterations for row in group.coverage}
        for row in group.coverage:
            head = (
                where(group.dataset, group.prompt),
                marked(row.method, oracle=True),
                str(row.iterations),
            )
            equal = [one for one in row.equal if one.kind == "attempts" or row.iterations == last[row.method]]
            rows += [(*head, *_covered(one.search), *equal_cost_cells(one)) for one in equal] or [
                (*head, *_covered(row.search), *[NOTHING] * 5)
            ]
    return Table(
        f"{ORACLE}: coverage of the search beside that of blind sampling",
        heads(f"data | method | iterations | n | covered | equal | its cost | {NEIGHBOURS}"),
        tuple(rows),
        f"Covered: any attempt so far is right; pass@n: any of n samples is. {ATTEMPTS_NOTE} The search "
        "stops at a right answer; where sampling is said to stop, it does so as well. "
        "At other costs than attempts only a search's last row is here; results.csv has the others. "
        f"{NEIGHBOURS_NOTE} {COSTS_NOTE}",
    )


def equal_cost_cells(row: EqualCost) -> tuple[str, str, str, str, str]:
    """What is equal, the search's cost, both neighbours, and the finding."""
    dearer, cheaper = row.no_dearer, row.no_cheaper
    return (
        f"{row.kind}, sampling stops when right" if row.stopping else row.kind,
        number(row.cost) if row.kind != "attempts" else f"{row.cost:.0f}",
        _COSTS_MORE if dearer is None else _rival(row, dearer),
        NO_MORE_STORED if cheaper is None else "the same" if cheaper is dearer else _rival(row, cheaper),
        row.finding,
    )


def missing_neighbour(row: EqualCost) -> str:
    """A remark for a cell that shows the only neighbour there is."""
    if row.no_cheaper is None:
        return f" ({NO_MORE_STORED})"
    return f" ({_COSTS_MORE})" if row.no_dearer is None else ""


def _covered(search: Summary) -> tuple[str, str]:
    return str(search.questions), accuracy(search.accuracy, search.interval)


def _rival(row: EqualCost, rival: Rival) -> str:
    spent = "" if row.kind == "attempts" else f" for {number(rival.cost)}"
    found, share = rival.found, percent(rival.summary.accuracy)
    # That pass@n is an oracle too is said by the table's title; bon:N:psrm is one beside other methods.
    name = marked(rival.summary.method, oracle=is_oracle(rival.summary.method))
    return f"{name}{spent}: {share}; {difference(found)}, p {probability(found.p)}"
