"""What an analysis says, as tables of text: one place decides what is shown, three formats show it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latentseek_agents.evaluation.analysis import GroupAnalysis, RunAnalysis
from latentseek_agents.evaluation.coverage import Rival
from latentseek_agents.evaluation.statistics import Comparison, Interval
from latentseek_agents.evaluation.summary import Paired, Summary
from latentseek_agents.evaluation.trials import is_oracle

__all__ = ["ORACLE", "Table", "main_table", "oracle_tables", "result_tables"]

ORACLE = "ORACLE"
"""The mark of what is told the known answer."""

_SAME_TOKENS = "at the tokens of "
_NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """Rows of text under a title.

    Args:
        title: What is shown.
        columns: Heads; the first columns name the row.
        rows: As many cells each as there are heads.
        notes: What a reader must know to read it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def main_table(run: RunAnalysis, *, oracle: bool = False) -> Table:
    """Methods by data sets and prompts, as in the paper.

    Args:
        run: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    cells: dict[str, dict[int, str]] = {}
    for column, group in enumerate(run.groups):
        shown = [summary for summary in group.methods if _beside_oracles(summary) is oracle]
        same_count = _common_count(group) is not None
        for summary in shown:
            name, prefix = summary.method, ""
            if summary.variant.startswith(_SAME_TOKENS):
                name, prefix = f"sc {summary.variant}", f"{summary.method}: "
            mark = f" ({ORACLE})" if summary.oracle else ""
            count = "" if same_count else f", n = {summary.questions}"
            text = f"{prefix}{_accuracy(summary.accuracy, summary.interval)}{count}"
            cells.setdefault(f"{name}{mark}", {})[column] = text
    heads = tuple(_column(group) for group in run.groups)
    rows = tuple(
        (name, *(found.get(column, _NOTHING) for column in range(len(heads))))
        for name, found in _ordered(run, cells).items()
    )
    title = f"Accuracy: {ORACLE} methods, a ceiling and no result" if oracle else "Accuracy"
    return Table(title, ("method", *heads), rows, ("Per cent, with Wilson's 95 % interval.",))


def result_tables(run: RunAnalysis) -> list[Table]:
    """All tables but the first, without the oracles."""
    return [table for table in _tables(run, oracle=False) if table.rows]


def oracle_tables(run: RunAnalysis) -> list[Table]:
    """The oracles: methods that are told the known answer, and what samples cover."""
    found = [main_table(run, oracle=True), _coverage(run), *_tables(run, oracle=True)]
    return [table for table in found if table.rows]


def _tables(run: RunAnalysis, *, oracle: bool) -> list[Table]:
    return [
        _comparisons(run, oracle),
        _costs(run, oracle),
        _kept(run, oracle),
        _iterations(run, oracle),
        _samples(run, oracle),
        _confusion(run, oracle),
        _agreement(run, oracle),
    ]


def _comparisons(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (_where(group), _marked(pair.first, pair.oracle), pair.second, *_compared(pair))
        for group in run.groups
        for pair in group.comparisons
        if pair.oracle is oracle
    ]
    return Table(
        "In pairs, on the same questions",
        ("data", "method", "compared with", "n", "only method right", "only other right", "difference")
        + ("p", "finding"),
        tuple(rows),
        (
            "Difference in points of accuracy, with a paired bootstrap's 95 % interval; p of McNemar's exact "
            "test. A difference is called one only if the interval excludes 0 and p is below 0.05. "
            f"Each of the {len(rows)} comparisons stands for itself: of twenty between equals, one may seem "
            "to be a difference.",
        ),
    )


def _costs(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            _where(group),
            _marked(_named(summary), summary.oracle),
            str(summary.questions),
            _accuracy(summary.accuracy, summary.interval),
            _number(summary.policy_tokens),
            _number(summary.verifier_tokens),
            _number(summary.forward_passes),
            f"{summary.seconds:.1f}",
            _optional(summary.iterations, "{:.2f}"),
            str(summary.ungraded),
            str(summary.failed),
        )
        for group in run.groups
        for summary in group.methods
        if _beside_oracles(summary) is oracle
    ]
    return Table(
        "Costs",
        ("data", "method", "n", "accuracy", "policy tokens", "verifier tokens", "forward passes", "seconds")
        + ("iterations", "ungraded", "failed"),
        tuple(rows),
        (
            "Means over the questions. Seconds are of a machine that several questions share. Ungraded: the "
            "comparison with the known answer could not be finished; failed: the question could not be worked "
            "on. Both count as wrong.",
        ),
    )


def _kept(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            _where(group),
            _marked(summary.method, summary.oracle),
            summary.variant,
            str(summary.questions),
            _accuracy(summary.accuracy, summary.interval),
            str(summary.draft_right_lost),
            str(summary.draft_wrong_saved),
        )
        for group in run.groups
        for summary in _in_order_of_methods(group)
        if summary.oracle is oracle
    ]
    return Table(
        "What the search lost and saved",
        ("data", "method", "choice", "n", "accuracy", "draft right, but lost", "draft wrong, but saved"),
        tuple(rows),
        ("The other choices are made among the same attempts: the search goes the same way with each.",),
    )


def _iterations(run: RunAnalysis, oracle: bool) -> Table:
    rows = []
    for group in run.groups:
        votes = {summary.method: summary for summary in group.samples}
        for series in group.iterations:
            for count, summary in enumerate(series):
                if summary.oracle is not oracle:
                    continue
                vote = votes.get(f"sc-{count + 1}")
                rows.append(
                    (
                        _where(group),
                        _marked(summary.method, summary.oracle),
                        str(count),
                        _accuracy(summary.accuracy, summary.interval),
                        _number(summary.tokens),
                        _NOTHING if vote is None else _accuracy(vote.accuracy, vote.interval),
                        _NOTHING if vote is None else _number(vote.tokens),
                    )
                )
    return Table(
        "Accuracy over iterations",
        ("data", "method", "iterations", "accuracy", "tokens", "sc, as many attempts", "its tokens"),
        tuple(rows),
        ("As if the search had been stopped after so many, with the best attempt so far.",),
    )


def _samples(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            _where(group),
            _marked(summary.method, summary.oracle),
            str(summary.questions),
            _accuracy(summary.accuracy, summary.interval),
            _number(summary.tokens),
            _number(summary.forward_passes),
        )
        for group in run.groups
        for summary in group.samples
        if summary.oracle is oracle
    ]
    note = "pass@n: any of the first n samples is right." if oracle else "Of the first n stored samples."
    return Table(
        "Coverage of samples" if oracle else "Fewer samples",
        ("data", "method", "n", "accuracy", "tokens", "forward passes"),
        tuple(rows),
        (note,),
    )


def _coverage(run: RunAnalysis) -> Table:
    rows = [
        (
            _where(group),
            _marked(row.method, True),
            str(row.iterations),
            str(row.search.questions),
            _accuracy(row.search.accuracy, row.search.interval),
            _number(row.search.forward_passes),
            _rival(row.equal_attempts),
            _rival(row.equal_passes),
            _rival(row.equal_passes_stopping),
        )
        for group in run.groups
        for row in group.coverage
    ]
    return Table(
        f"{ORACLE}: coverage of the search beside that of blind sampling",
        ("data", "method", "iterations", "n", "covered", "forward passes", "pass@n at equal attempts")
        + ("pass@n at equal forward passes", "the same, sampling stops when right, too"),
        tuple(rows),
        (
            "Covered: any attempt so far is right. Behind each pass@n the difference (search less samples) in "
            "points, with a paired bootstrap's 95 % interval, on the same questions. The search stops at a "
            "right answer and so spends less; in the last column sampling does so as well.",
        ),
    )


def _confusion(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (_where(group), _marked(one.method, one.oracle), *map(str, counts), str(one.ungraded))
        for group in run.groups
        for one in group.confusions
        if one.oracle is oracle
        for counts in [
            (one.passed_right, one.passed_wrong, one.refused_right, one.refused_wrong)
            + (one.unjudged_right, one.unjudged_wrong)
        ]
    ]
    return Table(
        "Verdicts against the truth",
        ("data", "method", "passed, right", "passed, wrong", "refused, right", "refused, wrong")
        + ("not judged, right", "not judged, wrong", "ungraded"),
        tuple(rows),
        ("All attempts. Ungraded ones are among the wrong.",),
    )


def _agreement(run: RunAnalysis, oracle: bool) -> Table:
    rows = [
        (
            _where(group),
            _marked(one.method, one.oracle),
            one.judge,
            one.scope,
            str(one.judged),
            _accuracy(one.agreed / one.judged, one.interval),
            _percent(one.constant),
            f"{one.passed_right} of {one.right}",
            f"{one.passed_wrong} of {one.judged - one.right}",
        )
        for group in run.groups
        for one in group.agreements
        if one.oracle is oracle
    ]
    return Table(
        "Agreement of verdicts with the truth",
        ("data", "method", "judge", "attempts", "judged", "agreement", "of a constant verdict")
        + ("right ones passed", "wrong ones passed"),
        tuple(rows),
        (
            "Right attempts passed or wrong ones refused, in per cent of those judged, with a 95 % interval: "
            "Wilson's for first attempts, a bootstrap over questions for all. A constant verdict always "
            "passes, or always refuses, whichever agrees more often.",
        ),
    )


def _ordered(run: RunAnalysis, cells: dict[str, dict[int, str]]) -> dict[str, dict[int, str]]:
    """Rows as the longest column has them; what only others have comes behind its neighbours there."""
    return dict(sorted(cells.items(), key=lambda item: _place(item[0], list(cells))))


def _place(name: str, names: list[str]) -> tuple[int, int]:
    follows = f"sc {_SAME_TOKENS}"
    if name.startswith(follows):
        searched = [
            place for place, other in enumerate(names) if other.split(" (")[0] == name[len(follows) :]
        ]
        return (searched[0] if searched else len(names)), 1
    return names.index(name), 0


def _in_order_of_methods(group: GroupAnalysis) -> Iterable[Summary]:
    return group.keeps


def _beside_oracles(summary: Summary) -> bool:
    searched = summary.variant.removeprefix(_SAME_TOKENS)
    return summary.oracle or (searched != summary.variant and is_oracle(searched))


def _common_count(group: GroupAnalysis) -> int | None:
    counts = {summary.questions for summary in group.methods}
    return counts.pop() if len(counts) == 1 else None


def _column(group: GroupAnalysis) -> str:
    count = _common_count(group)
    return _where(group) if count is None else f"{_where(group)}, n = {count}"


def _where(group: GroupAnalysis) -> str:
    return f"{group.dataset} · {group.prompt}"


def _named(summary: Summary) -> str:
    return summary.method if summary.variant == "as run" else f"{summary.method}, {summary.variant}"


def _marked(name: str, oracle: bool) -> str:
    return f"{name} ({ORACLE})" if oracle else name


def _compared(pair: Paired) -> Sequence[str]:
    found = pair.found
    if found is None:
        return ("0", *[_NOTHING] * 4, "no question in common")
    return (
        str(found.questions),
        str(found.only_first),
        str(found.only_second),
        _difference(found),
        f"{found.p:.3f}" if found.p >= 0.001 else "< 0.001",
        found.finding,
    )


def _rival(rival: Rival | None) -> str:
    if rival is None:
        return _NOTHING
    share = f"pass@{rival.samples}: {_percent(rival.summary.accuracy)}"
    if rival.found is None:
        return share
    return f"{share}; {_difference(rival.found)}, {rival.found.finding}"


def _difference(found: Comparison) -> str:
    low, high = found.interval.low, found.interval.high
    return f"{100 * found.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _accuracy(share: float, interval: Interval) -> str:
    return f"{_percent(share)} ({_percent(interval.low)}–{_percent(interval.high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _optional(value: float | None, form: str) -> str:
    return _NOTHING if value is None else form.format(value)
