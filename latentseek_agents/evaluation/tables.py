"""What an analysis says, as tables of text: one place decides what is shown, three formats show it."""

from collections.abc import Sequence

from latentseek_agents.evaluation.analysis import GroupAnalysis, RunAnalysis
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
from latentseek_agents.evaluation.coverage import Rival
from latentseek_agents.evaluation.summary import Paired, Summary
from latentseek_agents.evaluation.trials import is_oracle, method_place
from latentseek_agents.evaluation.verdict_tables import agreement_table, confusion_table

__all__ = ["main_table", "oracle_tables", "result_tables"]

_SAME_TOKENS = "at the tokens of "
_ALL_STORED = "all stored"
_COSTS_NOTE = (
    "Tokens are generated ones. A forward pass may check several guessed tokens, and a prompt that was kept "
    "from before costs none; computed tokens are all that went through the layers, prompts and refused "
    "guesses included. The gradient's products with the head are in neither."
)


def main_table(run: RunAnalysis, *, oracle: bool = False) -> Table:
    """Methods by data sets and prompts, as in the paper.

    Args:
        run: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    cells: dict[tuple[str, bool], dict[int, str]] = {}
    for column, group in enumerate(run.groups):
        count = _most_questions(group)
        for summary in group.methods:
            if _beside_oracles(summary) is not oracle:
                continue
            searched = _searched(summary)
            prefix = "" if searched is None else f"{summary.method}{_stored(group, summary)}: "
            questions = "" if summary.questions == count else f", n = {summary.questions}"
            text = f"{prefix}{accuracy(summary.accuracy, summary.interval)}{questions}"
            cells.setdefault((searched or summary.method, searched is not None), {})[column] = text
    rows = tuple(
        (_row_name(method, same_tokens), *(found.get(column, NOTHING) for column in range(len(run.groups))))
        for (method, same_tokens), found in sorted(
            cells.items(), key=lambda row: (method_place(row[0][0]), row[0][1])
        )
    )
    title = f"Accuracy: {ORACLE} methods, a ceiling and no result" if oracle else "Accuracy"
    columns = ("method", *(_column(group) for group in run.groups))
    note = "Per cent, with Wilson's 95 % interval."
    if any(_ALL_STORED in cell for row in rows for cell in row[1:]):
        note += " All stored: the search's tokens may pay for more samples than were drawn."
    return Table(title, columns, rows, note)


def result_tables(run: RunAnalysis) -> list[Table]:
    """All tables but those of the oracles; none without rows."""
    return [table for table in [main_table(run), *_tables(run, oracle=False)] if table.rows]


def oracle_tables(run: RunAnalysis) -> list[Table]:
    """The oracles: methods that are told the known answer, and what samples cover."""
    found = [main_table(run, oracle=True), _coverage(run), *_tables(run, oracle=True)]
    return [table for table in found if table.rows]


def _tables(run: RunAnalysis, *, oracle: bool) -> list[Table]:
    tables = [
        _comparisons(run, oracle),
        _costs(run, oracle),
        _kept(run, oracle),
        _iterations(run, oracle),
        _samples(run, oracle),
    ]
    # An oracle's verdicts are the truth: that they agree with it is no finding.
    return tables if oracle else [*tables, confusion_table(run), agreement_table(run)]


def _comparisons(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(pair.first, oracle=pair.oracle),
            pair.second,
            *_compared(pair),
        )
        for group in run.groups
        for pair in group.comparisons
        if pair.oracle is oracle
    ]
    return Table(
        "In pairs, on the same questions",
        heads(
            "data | method | compared with | n | "
            "only method right | only other right | difference | p | finding"
        ),
        tuple(rows),
        "Difference in points of accuracy, with a paired bootstrap's 95 % interval, which has no width where "
        "all questions agree and so says little on few of them; p of McNemar's exact test. A difference is "
        "called one only if the interval excludes 0 and p is below 0.05. Comparisons in this table: "
        f"{len(rows)}. Each stands for itself: of twenty between equals, one may seem to be a difference.",
    )


def _costs(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(_named(summary), oracle=summary.oracle),
            str(summary.questions),
            accuracy(summary.accuracy, summary.interval),
            number(summary.policy_tokens),
            number(summary.verifier_tokens),
            number(summary.forward_passes),
            number(summary.computed_tokens),
            f"{summary.seconds:.1f}",
            _optional(summary.iterations, "{:.2f}"),
            str(summary.ungraded),
            str(summary.cut_off),
            str(summary.unjudged),
            str(summary.failed),
        )
        for group in run.groups
        for summary in group.methods
        if _beside_oracles(summary) is oracle
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
        f"could not judge, which ended the search. {_COSTS_NOTE}",
    )


def _kept(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(summary.method, oracle=summary.oracle),
            summary.variant,
            str(summary.questions),
            accuracy(summary.accuracy, summary.interval),
            str(summary.draft_right_lost),
            str(summary.draft_wrong_saved),
        )
        for group in run.groups
        for summary in group.keeps
        if summary.oracle is oracle
    ]
    return Table(
        "What the search lost and saved",
        heads("data | method | choice | n | accuracy | draft right, but lost | draft wrong, but saved"),
        tuple(rows),
        "The other choices are made among the same attempts: the search goes the same way with each.",
    )


def _iterations(run: RunAnalysis, oracle: bool) -> Table:
    rows = []
    for group in run.groups:
        for series, votes in zip(group.iterations, group.votes, strict=True):
            for count, (summary, vote) in enumerate(zip(series, votes, strict=True)):
                if summary.oracle is not oracle:
                    continue
                rows.append(
                    (
                        where(group.dataset, group.prompt),
                        marked(summary.method, oracle=summary.oracle),
                        str(count),
                        str(summary.questions),
                        accuracy(summary.accuracy, summary.interval),
                        number(summary.tokens),
                        NOTHING if vote is None else _on_as_many(vote, summary),
                        NOTHING if vote is None else number(vote.tokens),
                    )
                )
    return Table(
        "Accuracy over iterations",
        heads("data | method | iterations | n | accuracy | tokens | sc, as many attempts | its tokens"),
        tuple(rows),
        "As if the search had been stopped after so many, with the best attempt so far. Searches that stop "
        "earlier have fewer attempts; self-consistency has as many as the longest, on the same questions.",
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
    return Table(
        "Coverage of samples" if oracle else "Fewer samples",
        heads("data | method | n | accuracy | tokens | forward passes"),
        tuple(rows),
        note,
    )


def _coverage(run: RunAnalysis) -> Table:
    rows = [
        (
            where(group.dataset, group.prompt),
            marked(row.method, oracle=True),
            str(row.iterations),
            str(row.search.questions),
            accuracy(row.search.accuracy, row.search.interval),
            number(row.search.forward_passes),
            number(row.search.computed_tokens),
            _rival(row.equal_attempts),
            _rival(row.equal_passes, costs=True),
            _rival(row.equal_passes_stopping, costs=True),
        )
        for group in run.groups
        for row in group.coverage
    ]
    return Table(
        f"{ORACLE}: coverage of the search beside that of blind sampling",
        heads(
            "data | method | iterations | n | "
            "covered | forward passes | computed tokens | pass@n at equal attempts | "
            "pass@n at equal forward passes | the same, sampling stops when right, too"
        ),
        tuple(rows),
        "Covered: any attempt so far is right. Behind each pass@n the difference (search less samples) in "
        "points, with a paired bootstrap's 95 % interval, which has no width where all questions agree, on "
        "the same questions; each comparison stands for itself. The search stops at a right answer and so "
        "spends less; in the last column sampling does so as well. In brackets the samples' own passes and "
        f"computed tokens; {_ALL_STORED}: the search's passes may pay for more samples than were drawn. "
        f"{_COSTS_NOTE}",
    )


def _row_name(method: str, same_tokens: bool) -> str:
    return f"sc {_SAME_TOKENS}{method}" if same_tokens else marked(method, oracle=is_oracle(method))


def _searched(summary: Summary) -> str | None:
    """The search whose tokens these samples cost; None if they are none."""
    same = summary.variant.startswith(_SAME_TOKENS)
    return summary.variant.removeprefix(_SAME_TOKENS) if same else None


def _stored(group: GroupAnalysis, summary: Summary) -> str:
    """A remark if there are no more samples than these."""
    drawn = [sample.method for sample in group.samples if sample.method.startswith("sc-")]
    return f" ({_ALL_STORED})" if summary.method == drawn[-1] else ""


def _beside_oracles(summary: Summary) -> bool:
    return summary.oracle or is_oracle(_searched(summary) or "")


def _most_questions(group: GroupAnalysis) -> int:
    return max(summary.questions for summary in group.methods)


def _column(group: GroupAnalysis) -> str:
    return f"{where(group.dataset, group.prompt)}, n = {_most_questions(group)}"


def _named(summary: Summary) -> str:
    return summary.method if summary.variant == "as run" else f"{summary.method}, {summary.variant}"


def _compared(pair: Paired) -> Sequence[str]:
    found = pair.found
    if found is None:
        return ("0", *[NOTHING] * 4, "no question in common")
    return (
        str(found.questions),
        str(found.only_first),
        str(found.only_second),
        difference(found),
        probability(found.p),
        found.finding,
    )


def _rival(rival: Rival | None, *, costs: bool = False) -> str:
    if rival is None:
        return NOTHING
    text = f"pass@{rival.samples}: {percent(rival.summary.accuracy)}"
    if costs:
        spent = f"{number(rival.summary.forward_passes)}; {number(rival.summary.computed_tokens)}"
        text += f" ({spent}{f'; {_ALL_STORED}' if rival.all_stored else ''})"
    return text if rival.found is None else f"{text}; {difference(rival.found)}, {rival.found.finding}"


def _on_as_many(vote: Summary, search: Summary) -> str:
    """The vote's accuracy; with n if it is of fewer questions than the search's."""
    questions = "" if vote.questions == search.questions else f", n = {vote.questions}"
    return f"{accuracy(vote.accuracy, vote.interval)}{questions}"


def _optional(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)
