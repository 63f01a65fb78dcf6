"""Every number of a report as one line of CSV, for those who want to draw their own tables."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

from latentseek_agents.evaluation.across_runs import AcrossRuns
from latentseek_agents.evaluation.agreement import Agreement, Confusion
from latentseek_agents.evaluation.analysis import GroupAnalysis, RunAnalysis
from latentseek_agents.evaluation.coverage import CoverageRow
from latentseek_agents.evaluation.endings import Endings
from latentseek_agents.evaluation.equal_cost import EqualCost
from latentseek_agents.evaluation.markup import csv_cell
from latentseek_agents.evaluation.statistics import Comparison
from latentseek_agents.evaluation.summary import Summary

__all__ = ["COLUMNS", "long_form"]

COLUMNS = (
    "model",
    "run",
    "dataset",
    "prompt",
    "method",
    "variant",
    "oracle",
    "group",
    "measure",
    "value",
    "low",
    "high",
    "n",
)

_COSTS = (
    "policy_tokens",
    "verifier_tokens",
    "policy_forward_passes",
    "verifier_forward_passes",
    "computed_tokens",
    "policy_seconds",
    "verifier_seconds",
)
_COUNTS = ("right", "ungraded", "failed", "cut_off", "unjudged")
_COVERAGE = ("tokens", "forward_passes", "computed_tokens")
_SEARCH = ("iterations", "draft_right_lost", "draft_wrong_saved")

Line = tuple[str, str, bool, str, str, float, float | str, float | str, int]


def long_form(runs: Sequence[RunAnalysis], across: Sequence[AcrossRuns] = ()) -> str:
    """One line per number: whose it is, its group and name, its interval if it has one, of how many.

    Groups are ``accuracy``, ``cost``, ``count``, ``search``, ``comparison``, ``equal cost``, ``coverage``,
    ``ending``, ``error``, ``iterations used``, ``verdicts`` and ``agreement``. No two lines agree in all
    columns but the numbers. A name that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in runs:
        for group in run.groups:
            head = (run.name, run.settings.get("run", ""), group.dataset, group.prompt)
            for line in _lines(group):
                writer.writerow(csv_cell(cell) for cell in (*head, *line))
    for several in across:
        for run, dataset, prompt, line in _across(several):
            head = (run.name, run.settings.get("run", ""), dataset, prompt)
            writer.writerow(csv_cell(cell) for cell in (*head, *line))
    return text.getvalue()


def _lines(group: GroupAnalysis) -> Iterator[Line]:
    iterations = [summary for series in group.iterations for summary in series]
    for summary in (*group.methods, *group.samples, *group.keeps, *iterations):
        yield from _summary(summary)
    for summary in group.keeps:
        if (beside := summary.against_draft) is not None:
            variant = f"{summary.variant}, against its drafts"
            yield from _comparison(summary.method, variant, summary.oracle, beside)
    for pair in group.comparisons:
        if pair.found is not None:
            yield from _comparison(pair.first, f"against {pair.second}", pair.oracle, pair.found)
    for one in group.equal_costs:
        yield from _equal_cost(one)
    for row in group.coverage:
        yield from _coverage(row)
    for ended in group.endings:
        yield from _endings(ended)
    for confusion in group.confusions:
        yield from _confusion(confusion)
    for agreement in group.agreements:
        yield from _agreement(agreement)


def _across(several: AcrossRuns) -> Iterator[tuple[RunAnalysis, str, str, Line]]:
    for one in several.summaries:
        for line in _summary(one.summary):
            yield one.run, one.summary.dataset, one.summary.prompt, line
    for pair in several.pairs:
        if pair.found is not None:
            variant = f"against {pair.method} in {pair.second.folder}"
            for line in _comparison(pair.method, variant, pair.oracle, pair.found):
                yield pair.first, pair.dataset, pair.prompt, line
    for at_cost in several.equal_costs:
        search = at_cost.row.search
        for line in _equal_cost(at_cost.row, f", samples of {at_cost.samples.folder}"):
            yield at_cost.run, search.dataset, search.prompt, line
    for beside in several.coverage:
        search = beside.row.search
        for equal in beside.row.equal:
            for line in _equal_cost(equal, f", samples of {beside.samples.folder}"):
                yield beside.run, search.dataset, search.prompt, line


def _summary(summary: Summary) -> Iterator[Line]:
    yield _share(summary, summary.variant, "accuracy", "accuracy")
    for kind, names in (("cost", _COSTS), ("count", _COUNTS), ("search", _SEARCH)):
        for name in names:
            value = getattr(summary, name)
            if value is not None:
                yield _plain(summary, summary.variant, kind, name, value)


def _equal_cost(one: EqualCost, whose: str = "") -> Iterator[Line]:
    stopping = ", stopping when right" if one.stopping else ""
    beside = f"{one.search.variant}, beside {one.rival} at equal {one.kind}{stopping}{whose}"
    yield _share(one.search, beside, "equal cost", "accuracy")
    yield _plain(one.search, beside, "equal cost", "cost", one.cost)
    for _, rival in one.neighbours:
        summary = replace(rival.summary, variant=f"{rival.summary.variant}{whose}")
        yield from _summary(summary)
        yield _plain(summary, summary.variant, "equal cost", "cost", rival.cost)
        against = f"against {summary.method}, {summary.variant}"
        yield from _comparison(one.search.method, against, one.search.oracle, rival.found)


def _coverage(row: CoverageRow) -> Iterator[Line]:
    variant = f"after {row.iterations}"
    yield _share(row.search, variant, "coverage", "covered")
    for name in _COVERAGE:
        value = getattr(row.search, name)
        if value is not None:
            yield _plain(row.search, variant, "coverage", name, value)
    for one in row.equal:
        yield from _equal_cost(one)


def _comparison(method: str, variant: str, oracle: bool, found: Comparison) -> Iterator[Line]:
    def line(name: str, value: float, low: float | str = "", high: float | str = "") -> Line:
        return (method, variant, oracle, "comparison", name, value, low, high, found.questions)

    yield line("difference", found.difference, found.interval.low, found.interval.high)
    yield line("p", found.p)
    yield line("only_method", found.only_first)
    yield line("only_other", found.only_second)


def _endings(one: Endings) -> Iterator[Line]:
    def line(group: str, name: str, count: int) -> Line:
        return (one.method, "as run", one.oracle, group, name, count, "", "", one.questions)

    for name, count in one.errors.items():
        yield line("error", name, count)
    if one.searches:
        for name, count in one.counts.items():
            yield line("ending", name, count)
        for iterations, count in enumerate(one.iterations):
            yield line("iterations used", str(iterations), count)


def _confusion(one: Confusion) -> Iterator[Line]:
    counts = {name: count for name, count in vars(one).items() if name not in ("method", "oracle")}
    total = sum(counts.values()) - one.ungraded
    for name, count in counts.items():
        yield (one.method, "all attempts", one.oracle, "verdicts", name, count, "", "", total)


def _agreement(one: Agreement) -> Iterator[Line]:
    variant = f"{one.judge}, {one.scope}"
    share, low, high = one.agreed / one.judged, one.interval.low, one.interval.high
    yield (one.method, variant, one.oracle, "agreement", "agreement", share, low, high, one.judged)
    yield (one.method, variant, one.oracle, "agreement", "constant", one.constant, "", "", one.judged)
    for name in ("right", "passed_right", "passed_wrong"):
        count = getattr(one, name)
        yield (one.method, variant, one.oracle, "agreement", name, count, "", "", one.judged)


def _share(summary: Summary, variant: str, group: str, name: str) -> Line:
    low, high = summary.interval.low, summary.interval.high
    key = (summary.method, variant, summary.oracle)
    return (*key, group, name, summary.accuracy, low, high, summary.questions)


def _plain(summary: Summary, variant: str, group: str, name: str, value: float) -> Line:
    return (summary.method, variant, summary.oracle, group, name, value, "", "", summary.questions)
