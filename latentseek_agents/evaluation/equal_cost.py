"""A search beside as many samples, and beside the two numbers of samples between which its cost lies.

No number of samples costs exactly what a search costs, and rounding down alone would let the search spend up
to one sample more than its rival: against three samples that is a third. So both neighbours are shown, and a
difference is called one only if it holds against both.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from latentseek_agents.evaluation.sample_pool import SamplePool
from latentseek_agents.evaluation.statistics import Comparison
from latentseek_agents.evaluation.summary import Summary, compare_series, summarize
from latentseek_agents.evaluation.trials import Group, Series

__all__ = ["SEARCH_KINDS", "UNDECIDED", "EqualCost", "Rival", "equal_cost", "equal_cost_rows", "equal_costs"]

UNDECIDED = "not decided"
"""The finding where only one neighbour is there, and what it shows may be due to its cost."""

SEARCH_KINDS = ("attempts", "tokens", "computed tokens")
"""What is to be equal where a search as run is compared with samples."""

_ROUNDING = 1e-9

Cost = Callable[[Series], float | None]


@dataclass(frozen=True)
class Rival:
    """So many samples beside a search.

    Args:
        samples: How many were drawn.
        cost: What they cost, in the unit that is compared.
        summary: What came of them.
        found: The search compared with them.
    """

    samples: int
    cost: float
    summary: Summary
    found: Comparison


@dataclass(frozen=True, kw_only=True)
class EqualCost:
    """A search and its neighbours in cost, on the questions that both have worked on.

    Args:
        kind: What is to be equal: ``"attempts"``, the most solutions that the search has written to any
            question, its draft among them; or ``"tokens"``, ``"forward passes"`` or ``"computed tokens"``,
            these as means over the questions.
        stopping: Whether sampling, like an oracle's search, stops at a right answer.
        rival: What chooses among the samples: ``"sc"``, ``"pass"``, or for example ``"bon:self"``.
        cost: The search's.
        search: The search's numbers.
        no_dearer: The most samples that cost no more; None if one costs more.
        no_cheaper: The fewest samples that cost no less; None if fewer are stored. The same as
            ``no_dearer`` if that costs exactly as much.
    """

    kind: str
    stopping: bool
    rival: str
    cost: float
    search: Summary
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
    def finding(self) -> str:
        """As that of a comparison, if it is the same for both neighbours.

        Where a neighbour is missing, a search that is better than cheaper samples, or worse than dearer
        ones, has been shown nothing: that is ``"not decided"``.
        """
        findings = {rival.found.finding for _, rival in self.neighbours}
        if len(findings) > 1:
            return "no difference shown"
        finding = findings.pop()
        missing = {"better": self.no_cheaper, "worse": self.no_dearer}
        return UNDECIDED if missing.get(finding, self) is None else finding


def equal_cost(
    search: Series, drawn: Sequence[Series], kind: str, variant: str = "as run", *, stopping: bool = False
) -> EqualCost | None:
    """A search beside the samples that cost nearly as much.

    Args:
        search: A search, on some questions.
        drawn: At each position, one sample more than at the one before, on the same questions and on all.
        kind: One of those of :class:`EqualCost`.
        variant: How the search differs from what was run.
        stopping: Whether these samples stop at a right answer.

    Returns:
        None if nothing was drawn, or the costs are not known.

    Example:
        >>> from latentseek_agents.evaluation.records import AttemptRecord
        >>> from latentseek_agents.evaluation.trials import Trial
        >>> def made(name, count, tokens):
        ...     one = AttemptRecord(attempt=0, answer="4", right=True, policy_tokens=tokens)
        ...     return Series("made up", "boxed", name, {0: Trial((one,) * count, 0)})
        >>> drawn = [made(f"sc-{count}", count, 10) for count in (1, 2, 3)]
        >>> row = equal_cost(made("self", 1, 25), drawn, "tokens")
        >>> [(label, rival.samples, rival.cost) for label, rival in row.neighbours], row.finding
        ([('at most', 2, 20.0), ('at least', 3, 30.0)], 'no difference shown')
    """
    allowed = search.most_solutions if kind == "attempts" else _COSTS[kind](search)
    costs = range(1, len(drawn) + 1) if kind == "attempts" else [_COSTS[kind](samples) for samples in drawn]
    known = [cost for cost in costs if cost is not None]
    if allowed is None or not known or len(known) < len(drawn):
        return None
    slack = _ROUNDING * (1 + allowed)
    below = sum(cost <= allowed + slack for cost in known)
    exact = below > 0 and known[below - 1] >= allowed - slack
    tail = "" if variant == "as run" else f" {variant}"

    def rival(count: int, label: str) -> Rival | None:
        if not 1 <= count <= len(drawn):
            return None
        samples = drawn[count - 1]
        found = compare_series(search, samples)
        name = f"{label} the {kind} of {search.method}{tail}{', stopping when right' if stopping else ''}"
        oracle = samples.oracle or samples.kind == "pass"
        summary = summarize(samples, name, oracle=oracle)
        return None if found is None else Rival(count, known[count - 1], summary, found)

    no_dearer = rival(below, "exactly" if exact else "at most")
    no_cheaper = no_dearer if exact else rival(below + 1, "at least")
    if no_dearer is None and no_cheaper is None:
        return None
    name, _, reward = drawn[0].method.partition(":")
    return EqualCost(
        kind=kind,
        stopping=stopping,
        rival=name.rstrip("0123456789").rstrip("-@") + (f":{reward}" if reward else ""),
        cost=allowed,
        search=summarize(search, variant),
        no_dearer=no_dearer,
        no_cheaper=no_cheaper,
    )


def equal_costs(
    search: Series,
    levels: Iterable[Sequence[Series]],
    kind: str,
    variant: str = "as run",
    *,
    stopping: bool = False,
) -> list[EqualCost]:
    """A search beside samples of which some questions may have more than others.

    Both neighbours of a row are samples of the same questions. Where there are no dearer ones for all of
    them, a further row is about the questions that have more samples, and says so in its variant.

    Args:
        search: A search.
        levels: As :meth:`~latentseek_agents.evaluation.sample_pool.SamplePool.levels` has them.
        kind: One of those of :class:`EqualCost`.
        variant: How the search differs from what was run.
        stopping: Whether these samples stop at a right answer.
    """
    found: list[EqualCost] = []
    for drawn in levels:
        questions = drawn[0].trials
        on = f"on {len(questions)} question{'s' * (len(questions) != 1)}"
        name = variant if not found else on if variant == "as run" else f"{variant} {on}"
        row = equal_cost(search.on(questions), drawn, kind, name, stopping=stopping)
        if row is None:
            continue
        found.append(row)
        if row.no_cheaper is not None:
            break
    return found


def equal_cost_rows(
    group: Group, pool: SamplePool | None, judged: Mapping[str | None, SamplePool]
) -> list[EqualCost]:
    """Every search, as run, beside self-consistency and the best-of-N of its own reward.

    Args:
        group: What was run.
        pool: Samples of it.
        judged: For each reward, samples that it has judged.
    """
    found = []
    for search in group.searches:
        own = judged.get(search.reward)
        for samples, choose in ((pool, SamplePool.majority), (own, SamplePool.best)):
            levels = samples.levels(search.trials, choose) if samples is not None else []
            for kind in SEARCH_KINDS:
                found += equal_costs(search, levels, kind)
    return found


def _tokens(series: Series) -> float:
    return sum(trial.tokens for trial in series.trials.values()) / len(series.trials)


def _passes(series: Series) -> float:
    return sum(trial.forward_passes for trial in series.trials.values()) / len(series.trials)


_COSTS: dict[str, Cost] = {
    "tokens": _tokens,
    "forward passes": _passes,
    "computed tokens": lambda series: series.computed_tokens,
}
