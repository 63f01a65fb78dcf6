"""A search beside as many samples, and beside the two numbers of samples between which its cost lies.

No number of samples costs exactly what a search costs, and rounding down alone would let the search spend up
to one sample more than its rival: against three samples that is a third. So both neighbours are shown, and a
difference is called one only if it holds against both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from latentseek_agents.evaluation.reports.series import Series
from latentseek_agents.evaluation.reports.statistics import Comparison

__all__ = ["UNDECIDED", "EqualCost", "Rival", "equal_cost", "equal_costs"]

UNDECIDED = "not decided"
"""The finding where only one neighbour is there, and what it shows may be due to its cost."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Rival:
    """So many samples compared with a search.

    Args:
        samples: How many were drawn.
        cost: What they cost, in the unit that is compared.
        series: Their work.
        comparison: The search compared with them.
    """

    samples: int
    cost: float
    series: Series
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class EqualCost:
    """A search and its neighbours in cost, on the questions that both have worked on.

    Args:
        kind: What is to be equal: ``"attempts"``, the most solutions that the search has written to any
            question, its draft among them; or ``"tokens"``, ``"forward passes"`` or ``"computed tokens"``,
            these as means over the questions.
        search: The search.
        cost: The search's.
        no_dearer: The most samples that cost no more; None if one costs more.
        no_cheaper: The fewest samples that cost no less; None if fewer are stored. The same as
            ``no_dearer`` if that costs exactly as much.
    """

    kind: str
    search: Series
    cost: float
    no_dearer: Rival | None
    no_cheaper: Rival | None

    @property
    def neighbours(self) -> list[tuple[str, Rival]]:
        """One or two, each with how its cost lies to the search's."""
        if self.no_dearer is not None and self.no_dearer is self.no_cheaper:
            return [("exactly", self.no_dearer)]
        both = (("at most", self.no_dearer), ("at least", self.no_cheaper))
        return [(label, rival) for label, rival in both if rival is not None]

    @property
    def rival(self) -> str:
        """What chooses among the samples: ``"sc"``, ``"pass"``, or for example ``"bon:self"``."""
        name = self.neighbours[0][1].series.name
        return f"{name.kind}:{name.reward}" if ":" in name.text else name.kind

    @property
    def finding(self) -> str:
        """That of the comparisons, if it is the same with both neighbours.

        Where a neighbour is missing, nothing is shown of a search that is better than cheaper samples, or
        worse than dearer ones: that is ``"not decided"``.
        """
        findings = {rival.comparison.finding for _, rival in self.neighbours}
        if len(findings) > 1:
            return "no difference shown"
        finding = findings.pop()
        missing = {"better": self.no_cheaper, "worse": self.no_dearer}
        return UNDECIDED if missing.get(finding, self) is None else finding


def equal_cost(search: Series, drawn: Sequence[Series], kind: str) -> EqualCost | None:
    """A search beside the samples that cost nearly as much.

    Args:
        search: A search, on some questions.
        drawn: At each position, one sample more than at the one before, on the same questions and on all.
        kind: One of those of :class:`EqualCost`.

    Returns:
        None if nothing was drawn, or the search's cost is not on record.
    """
    if kind == "attempts":
        allowed: float = search.most_solutions
        costs: list[float] = [*range(1, len(drawn) + 1)]
    else:
        allowed, *costs = (series.mean(kind.replace(" ", "_")) for series in (search, *drawn))
    if not allowed or not drawn:
        return None
    slack = _ROUNDING * (1 + allowed)
    below = sum(cost <= allowed + slack for cost in costs)
    exact = below > 0 and costs[below - 1] >= allowed - slack

    def rival(count: int) -> Rival | None:
        if not 1 <= count <= len(drawn):
            return None
        comparison = search.against(drawn[count - 1])
        return None if comparison is None else Rival(count, costs[count - 1], drawn[count - 1], comparison)

    no_dearer = rival(below)
    no_cheaper = no_dearer if exact else rival(below + 1)
    if no_dearer is None and no_cheaper is None:
        return None
    return EqualCost(kind=kind, search=search, cost=allowed, no_dearer=no_dearer, no_cheaper=no_cheaper)


def equal_costs(search: Series, levels: Iterable[Sequence[Series]], kind: str) -> list[EqualCost]:
    """A search beside samples of which some questions may have more than others.

    Both neighbours of a row are samples of the same questions. Where there are no dearer ones for all of
    them, a further row is about the questions that have more samples, and says so in its variant.

    Args:
        search: A search.
        levels: As :meth:`~latentseek_agents.evaluation.reports.samples.SamplePool.levels` has them.
        kind: One of those of :class:`EqualCost`.
    """
    rows: list[EqualCost] = []
    for drawn in levels:
        shared = search.on(drawn[0].trials)
        if rows:
            part = f"on {len(drawn[0].trials)} question{'s' * (len(drawn[0].trials) != 1)}"
            variant = part if search.variant == "as run" else f"{search.variant} {part}"
            shared = replace(shared, variant=variant)
        row = equal_cost(shared, drawn, kind)
        rows += [] if row is None else [row]
        if row is not None and row.no_cheaper is not None:
            break
    return rows
