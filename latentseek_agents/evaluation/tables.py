"""What an analysis says, as tables of text: one place decides what is shown, three formats show it."""

from latentseek_agents.evaluation.accuracy_tables import main_table
from latentseek_agents.evaluation.analysis import GroupAnalysis, RunAnalysis
from latentseek_agents.evaluation.cells import (
    NOTHING,
    Table,
    accuracy,
    compared,
    difference,
    heads,
    marked,
    number,
    probability,
    where,
)
from latentseek_agents.evaluation.ending_tables import ending_table, iterations_table
from latentseek_agents.evaluation.equal_cost_tables import (
    COSTS_NOTE,
    coverage_table,
    equal_cost_table,
)
from latentseek_agents.evaluation.summary import Summary
from latentseek_agents.evaluation.trials import is_oracle
from latentseek_agents.evaluation.verdict_tables import agreement_table, confusion_table

__all__ = ["oracle_tables", "result_tables"]


def result_tables(run: RunAnalysis) -> list[Table]:
    """All tables but those of the oracles; none without rows."""
    return [table for table in [main_table(run), *_tables(run, oracle=False)] if table.rows]


def oracle_tables(run: RunAnalysis) -> list[Table]:
    """The oracles: methods that are told the known answer, and what samples cover."""
    found = [main_table(run, oracle=True), coverage_table(run), *_tables(run, oracle=True)]
    return [table for table in found if table.rows]


def _tables(run: RunAnalysis, *, oracle: bool) -> list[Table]:
    tables = [
        _comparisons(run, oracle),
        equal_cost_table(run, oracle=oracle),
        _costs(run, oracle),
        _kept(run, oracle),
        _iterations(run, oracle),
        ending_table(run, oracle=oracle),
        iterations_table(run, oracle=oracle),
        _samples(run, oracle),
    ]
    # An oracle's verdicts are the truth: that they agree with it is no finding.
    return tables if oracle else [*tables, confusion_table(run), agreement_table(run)]


def _comparisons(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(pair.first, oracle=pair.oracle),
            marked(pair.second, oracle=is_oracle(pair.second)),
            *compared(pair.found),
        )
        for group in run.groups
        for pair in group.comparisons
        if pair.oracle is oracle
    ]
    pairs = [pair for group in run.groups for pair in group.comparisons if pair.oracle is oracle]
    count = sum(pair.found is not None for pair in pairs)
    return Table(
        "In pairs, on the same questions",
        heads(
            "data | method | compared with | n | "
            "only method right | only other right | difference | p | finding"
        ),
        tuple(rows),
        "Difference in points of accuracy, with Tango's 95 % score interval; p of McNemar's exact test. A "
        "difference is called one only if the interval excludes 0 and p is below 0.05. "
        f"Comparisons in this table: {count}. Each stands for itself: of twenty between equals, one may seem "
        "to be a difference.",
    )


def _costs(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            name,
            str(summary.questions),
            accuracy(summary.accuracy, summary.interval),
            number(summary.policy_tokens),
            number(summary.verifier_tokens),
            number(summary.forward_passes),
            NOTHING if summary.computed_tokens is None else number(summary.computed_tokens),
            f"{summary.seconds:.1f}",
            _optional(summary.iterations, "{:.2f}"),
            str(summary.ungraded),
            str(summary.cut_off),
            str(summary.unjudged),
            str(summary.failed),
        )
        for group in run.groups
        for name, summary in _priced(group, oracle)
    ]
    return Table(
        "Costs",
        heads(
            "data | method | n | accuracy | policy tokens | verifier tokens | forward passes | "
            "computed tokens | seconds | iterations | ungraded | cut off | unjudged | failed"
        ),
        tuple(rows),
        "Means over the questions. Seconds are of a machine that several questions share. Ungraded: the "
        "comparison with the known answer could not be finished; failed: the question could not be worked "
        "on; both count as wrong. Cut off: the answer ran into the limit of tokens; unjudged: the verifier "
        f"could not judge, which ended the search. {COSTS_NOTE}",
    )


def _kept(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(summary.method, oracle=summary.oracle),
            summary.variant,
            str(summary.questions),
            accuracy(summary.accuracy, summary.interval),
            str(summary.right - beside.only_first + beside.only_second),
            str(beside.only_second),
            str(beside.only_first),
            difference(beside),
            probability(beside.p),
            beside.finding,
        )
        for group in run.groups
        for summary in group.keeps
        if summary.oracle is oracle and (beside := summary.against_draft) is not None
    ]
    run_with = run.settings.get("config", {}).get("keep", "best")
    return Table(
        "What the search lost and saved",
        heads(
            "data | method | choice | n | accuracy | right drafts | draft right, but lost | "
            "draft wrong, but saved | difference from its drafts | p | finding"
        ),
        tuple(rows),
        f"The run chose with keep={run_with}; the other rows choose again among the same attempts. Each is "
        "compared with the search's own drafts. Where rounding depends on what is decoded at once, as in "
        "half precision, these may differ from the answers of cot; this comparison is without that noise. "
        "Interval, p and finding as in pairs of methods. "
        f"Comparisons in this table: {len(rows)}. Each stands for itself: of twenty between equals, one may "
        "seem to be a difference.",
    )


def _iterations(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(summary.method, oracle=summary.oracle),
            str(count),
            str(summary.questions),
            accuracy(summary.accuracy, summary.interval),
            number(summary.tokens),
        )
        for group in run.groups
        for series in group.iterations
        for count, summary in enumerate(series)
        if summary.oracle is oracle
    ]
    return Table(
        "Accuracy over iterations",
        heads("data | method | iterations | n | accuracy | tokens"),
        tuple(rows),
        "As if the search had been stopped after so many, with the best attempt so far. Searches that stop "
        'earlier have fewer attempts. What as many samples reach is in "Fewer samples", and the comparison '
        'with them in "At equal attempts and at equal cost".',
    )


def _samples(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(summary.method, oracle=summary.oracle),
            str(summary.questions),
            accuracy(summary.accuracy, summary.interval),
            number(summary.tokens),
            number(summary.forward_passes),
        )
        for group in run.groups
        for summary in group.samples
        if summary.oracle is oracle
    ]
    note = "pass@n: any of the first n samples is right." if oracle else "Of the first n stored samples."
    note += " Where n is smaller, only so many questions have as many samples."
    return Table(
        "Coverage of samples" if oracle else "Fewer samples",
        heads("data | method | n | accuracy | tokens | forward passes"),
        tuple(rows),
        note,
    )


def _priced(group: GroupAnalysis, oracle: bool) -> list[tuple[str, Summary]]:
    """Every method, and beneath each search the samples at its tokens, by their names."""
    found = []
    for summary in group.methods:
        if summary.oracle is not oracle:
            continue
        name = marked(summary.method, oracle=oracle)
        found.append((name, summary))
        for row in group.equal_costs:
            if row.kind == "tokens" and row.search.method == summary.method:
                found += [
                    (
                        f"{marked(rival.summary.method, oracle=rival.summary.oracle)}, "
                        f"{label} the tokens of {name}",
                        rival.summary,
                    )
                    for label, rival in row.neighbours
                ]
    return found


def _optional(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)
