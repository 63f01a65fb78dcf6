"""What is shown of runs, as tables: the paper's table of accuracies, and a run's costs, pairs and endings."""

from collections.abc import Iterator, Sequence

from latentseek_agents.evaluation.reports.analysis import Group, Run
from latentseek_agents.evaluation.reports.endings import ENDINGS, Endings
from latentseek_agents.evaluation.reports.equal_cost import UNDECIDED, EqualCost, Rival
from latentseek_agents.evaluation.reports.series import ORACLE, Series
from latentseek_agents.evaluation.reports.statistics import Comparison
from latentseek_agents.evaluation.reports.table import (
    NOTHING,
    Cell,
    Estimate,
    Table,
    accuracy,
    difference,
    number,
    probability,
)
from latentseek_agents.evaluation.runs.method_names import MethodName

__all__ = [
    "COSTS_NOTE",
    "NEIGHBOURS",
    "NEIGHBOURS_NOTE",
    "PAIRS_NOTE",
    "accuracy_table",
    "comparison_cells",
    "equal_cost_cells",
    "paper_table",
    "run_tables",
]

_Place = tuple[str, str]  # data set and prompt
_Row = tuple[str, str]  # a method, and the samples at its tokens if the row is about these

_SINGLE_COLUMNS = 10
"""So many iterations have a column each; more of them share columns."""

PAIRS_NOTE = (
    "Difference in points of accuracy, with Tango's 95 % score interval; p of McNemar's exact test. A "
    "difference is called one only if the interval excludes 0 and p is below 0.05. Each comparison stands "
    "for itself: of twenty between equals, one may seem to be a difference. Comparisons in this table: "
)
COSTS_NOTE = (
    "Tokens are generated ones. Computed tokens are all that went through the layers, and a forward pass "
    "may check several guessed tokens. Each method is charged with its whole prompt once, as one pass. The "
    "more is decoded at once the fewer guesses are made, so that these two costs hold for the batch that was "
    "run. The gradient's products with the head are in neither."
)
NEIGHBOURS = ("samples that cost no more", "samples that cost no less", "finding")
_NO_MORE_STORED = "no more stored"
_COSTS_MORE = "one costs more"
NEIGHBOURS_NOTE = (
    "At equal attempts, each question has as many samples as the search has made attempts at the question "
    "that took most, its draft among them; where a search stops early, it has made fewer on average. Other "
    "costs are means over the questions. "
    "No number of samples costs exactly what the search costs, so both neighbours are shown: the most "
    "samples that cost no more, and the fewest that cost no less. In each: how many samples for what cost, "
    "their accuracy, the difference (search less samples) in points with Tango's 95 % score interval, and "
    "McNemar's exact p. A difference is called one only if it is one with both. "
    f"{_NO_MORE_STORED.capitalize()}: the search's cost may pay for more samples than were "
    "drawn; questions that have more samples than others follow in a row of their own. "
    f"{UNDECIDED.capitalize()}: a neighbour is missing, and what the other shows may be due to its cost. "
    "Each comparison stands for itself."
)
_VERDICTS_NOTE = (
    "Passed: the verifier accepted the attempt; not passed: it did not; not judged: it could not tell. "
)


def run_tables(run: Run, *, oracle: bool) -> list[Table]:
    """A run's tables, none without rows: of the oracles and of what samples cover, or of all the rest."""
    tables = [
        accuracy_table([run], oracle=oracle),
        _pairs(run, oracle),
        _equal_costs(run, oracle),
        _costs(run, oracle),
        _keeps(run, oracle),
        _accuracy_over_iterations(run, oracle),
        endings_table(run, oracle=oracle),
        iterations_table(run, oracle=oracle),
        _samples(run, oracle),
    ]
    if not oracle:  # an oracle's verdicts are the truth: that they agree with it is no finding
        tables += [_confusion(run), _agreement(run)]
    return [table for table in tables if table.rows]


def accuracy_table(runs: Sequence[Run], *, oracle: bool) -> Table:
    """The paper's table: methods by data sets and prompts, the oracles or the others.

    Beneath each search are the samples at its tokens. With several runs a column says whose a row is.
    """
    most = _questions(runs)
    several = len(runs) > 1
    one_model = several and len({str(run.settings.get("model")) for run in runs}) == 1
    rows: list[list[str]] = []
    for run in runs:
        cells = _method_cells(run, oracle, most)
        for group in run.groups:
            _add_rivals(cells, group, oracle, most)
        for row in sorted(cells, key=_row_place):
            head = [run.folder if one_model else run.name] if several else []
            rows.append([*head, _row_name(*row), *(cells[row].get(place, NOTHING) for place in most)])
    title = "Accuracy of all runs" if several else "Accuracy"
    title += f": {ORACLE} methods, a ceiling and no result" if oracle else ""
    heads = ["run" if one_model else "model"] if several else []
    heads += ["method", *(f"{dataset} · {prompt}, n = {count}" for (dataset, prompt), count in most.items())]
    note = "Per cent, with Wilson's 95 % interval."
    if any(" at the tokens of " in name for row in rows for name in row[:2]):
        note += (
            " At the tokens of a search: the most samples that cost no more, and the fewest that cost no less"
            f"; {_NO_MORE_STORED}: its tokens may pay for more samples than were drawn."
        )
    if several:
        note += " Rows of different runs stand beside each other and are not compared here."
    return Table(title, heads, rows, note, names=2 if several else 1)


def paper_table(runs: Sequence[Run]) -> Table:
    """The paper's table for a CSV file: a row for each method of each run, the oracles last.

    A cell is the accuracy in per cent with its interval, and the number of questions where it is smaller than
    the column's; it is empty where nothing was run.
    """
    most = _questions(runs)
    rows = []
    for oracle in (False, True):
        for run in runs:
            head = (run.name, str(run.settings.get("run", "")))
            cells = _method_cells(run, oracle, most)
            for row in sorted(cells, key=_row_place):
                # A spreadsheet that takes the file for something else than UTF-8 would spoil the dash.
                accuracies = [cells[row].get(place, "").replace("–", " to ") for place in most]
                rows.append((*head, _row_name(*row), str(oracle), *accuracies))
    places = [f"{dataset} {prompt}, n = {count}" for (dataset, prompt), count in most.items()]
    return Table("", ("model", "run", "method", "oracle", *places), rows, "", names=4)


def _questions(runs: Sequence[Run]) -> dict[_Place, int]:
    """Of each data set with each prompt, the most questions that a method has worked on."""
    most: dict[_Place, int] = {}
    for group in (group for run in runs for group in run.groups):
        place = (group.dataset, group.prompt)
        most[place] = max(most.get(place, 0), *(series.questions for series in group.methods))
    return most


def _method_cells(run: Run, oracle: bool, most: dict[_Place, int]) -> dict[_Row, dict[_Place, str]]:
    cells: dict[_Row, dict[_Place, str]] = {}
    for group in run.groups:
        for series in group.methods:
            if series.oracle is oracle:
                place = (group.dataset, group.prompt)
                cells.setdefault((series.method, ""), {})[place] = _accuracy_text(series, most[place])
    return cells


def _add_rivals(
    cells: dict[_Row, dict[_Place, str]], group: Group, oracle: bool, most: dict[_Place, int]
) -> None:
    place = (group.dataset, group.prompt)
    for row in group.equal_costs:
        if row.kind != "tokens" or row.search.oracle is not oracle:
            continue
        missing = "" if row.no_dearer else f" ({_COSTS_MORE})"
        missing = missing if row.no_cheaper else f" ({_NO_MORE_STORED})"
        texts = [
            f"{rival.series.label}{missing}: {_accuracy_text(rival.series, most[place])}"
            for _, rival in row.neighbours
        ]
        # Questions that have more samples than others are a row of their own, of fewer questions.
        beneath = cells.setdefault((row.search.method, row.rival), {})
        beneath[place] = "; ".join([*([beneath[place]] if place in beneath else []), *texts])


def _row_place(row: _Row) -> tuple[object, ...]:
    method, rival = row
    return MethodName(method).place, rival != "", MethodName(rival).place


def _row_name(method: str, rival: str) -> str:
    names = [f"{name} ({ORACLE})" if MethodName(name).oracle else name for name in (rival, method) if name]
    return " at the tokens of ".join(names)


def _accuracy_text(series: Series, count: int) -> str:
    """With n where it is of fewer questions than the column's."""
    questions = "" if series.questions == count else f", n = {series.questions}"
    return f"{accuracy(series)}{questions}"


def comparison_cells(comparison: Comparison | None) -> tuple[Cell, ...]:
    """Both sides of a comparison, its difference, p and finding."""
    if comparison is None:
        return ("0", *[NOTHING] * 4, "no question in common")
    counts = (comparison.questions, comparison.only_first, comparison.only_second)
    return (
        *map(str, counts),
        difference(comparison),
        probability(comparison.p),
        comparison.finding,
    )


def _pairs(run: Run, oracle: bool) -> Table:
    pairs = [(group, pair) for group in run.groups for pair in group.pairs if pair.first.oracle is oracle]
    rows = [
        (group.place, pair.first.label, pair.second.label, *comparison_cells(pair.comparison))
        for group, pair in pairs
    ]
    count = sum(pair.comparison is not None for _, pair in pairs)
    heads = ("n", "only method right", "only other right", "difference", "p", "finding")
    return Table(
        "In pairs, on the same questions",
        ("data", "method", "compared with", *heads),
        rows,
        f"{PAIRS_NOTE}{count}.",
        names=3,
    )


def _equal_costs(run: Run, oracle: bool) -> Table:
    rows: list[Sequence[Cell]] = [
        (
            group.place,
            row.search.label,
            str(row.search.questions),
            accuracy(row.search),
            *equal_cost_cells(row),
        )
        for group in run.groups
        for row in group.equal_costs
        if row.search.oracle is oracle
    ]
    return Table(
        "At equal attempts and at equal cost",
        ("data", "method", "n", "accuracy", "equal", "its cost", *NEIGHBOURS),
        rows,
        f"{NEIGHBOURS_NOTE} sc pays for no verdict, bon for its own. {COSTS_NOTE}",
        names=5,
    )


def equal_cost_cells(row: EqualCost) -> tuple[str, ...]:
    """What is equal, the search's cost, both neighbours, and the finding."""
    dearer, cheaper = row.no_dearer, row.no_cheaper
    return (
        row.kind,
        number(row.cost) if row.kind != "attempts" else f"{row.cost:.0f}",
        _COSTS_MORE if dearer is None else _rival_text(row, dearer),
        _NO_MORE_STORED
        if cheaper is None
        else "the same"
        if cheaper is dearer
        else _rival_text(row, cheaper),
        row.finding,
    )


def _rival_text(row: EqualCost, rival: Rival) -> str:
    spent = "" if row.kind == "attempts" else f" for {number(rival.cost)}"
    share, comparison = f"{100 * rival.series.accuracy:.1f}", rival.comparison
    # pass@n stands beside oracles only, in tables whose titles say so.
    name = rival.series.method if rival.series.name.kind == "pass" else rival.series.label
    return f"{name}{spent}: {share}; {difference(comparison)}, p {probability(comparison.p)}"


def _costs(run: Run, oracle: bool) -> Table:
    rows: list[Sequence[Cell]] = [
        (
            group.place,
            name,
            str(series.questions),
            accuracy(series),
            *(number(series.mean(cost)) for cost in ("policy_tokens", "verifier_tokens", "forward_passes")),
            number(series.mean("computed_tokens")) if series.mean("computed_tokens") else NOTHING,
            f"{series.mean('seconds'):.1f}",
            _mean_iterations(series) if series.name.searches else NOTHING,
            *(str(series.count(flag)) for flag in ("ungraded", "cut_off", "unjudged", "failed")),
        )
        for group in run.groups
        for name, series in _priced(group, oracle)
    ]
    costs = ("policy tokens", "verifier tokens", "forward passes", "computed tokens", "seconds", "iterations")
    return Table(
        "Costs",
        ("data", "method", "n", "accuracy", *costs, "ungraded", "cut off", "unjudged", "failed"),
        rows,
        "Means over the questions. Seconds are of a machine that several questions share. Ungraded: the "
        "comparison with the known answer could not be finished; failed: the question could not be worked "
        "on; both count as wrong. Cut off: the answer ran into the limit of tokens; unjudged: the verifier "
        f"could not judge, which ended the search. {COSTS_NOTE}",
    )


def _priced(group: Group, oracle: bool) -> Iterator[tuple[str, Series]]:
    """Every method, and beneath each search the samples at its tokens, by their names."""
    for series in group.methods:
        if series.oracle is oracle:
            yield series.label, series
            for row in group.equal_costs:
                if row.kind == "tokens" and row.search.method == series.method:
                    for label, rival in row.neighbours:
                        yield f"{rival.series.label}, {label} the tokens of {series.label}", rival.series


def _mean_iterations(series: Series) -> str:
    return f"{series.count('iterations') / series.questions:.2f}"


def _keeps(run: Run, oracle: bool) -> Table:
    rows: list[Sequence[Cell]] = [
        (
            group.place,
            series.label,
            series.variant,
            str(series.questions),
            accuracy(series),
            str(series.right - drafts.only_first + drafts.only_second),
            str(drafts.only_second),
            str(drafts.only_first),
            difference(drafts),
            probability(drafts.p),
            drafts.finding,
        )
        for group in run.groups
        for series in group.keeps
        if series.oracle is oracle
        for drafts in [series.against_drafts]
    ]
    heads = ("right drafts", "draft right, but lost", "draft wrong, but saved", "difference from its drafts")
    return Table(
        "What the search lost and saved",
        ("data", "method", "choice", "n", "accuracy", *heads, "p", "finding"),
        rows,
        "The choice of the run is marked; the other rows choose again among the same attempts; a "
        "vote counts the answer of the program for the question, too. Each is "
        "compared with the search's own drafts. Where rounding depends on what is decoded at once, as in "
        "half precision, these may differ from the answers of cot; this comparison is without that noise. "
        f"{PAIRS_NOTE}{len(rows)}.",
        names=3,
    )


def _accuracy_over_iterations(run: Run, oracle: bool) -> Table:
    rows: list[Sequence[Cell]] = [
        (group.place, one.label, str(count), str(one.questions), accuracy(one), number(one.mean("tokens")))
        for group in run.groups
        for stops in group.iterations
        for count, one in enumerate(stops)
        if one.oracle is oracle
    ]
    return Table(
        "Accuracy over iterations",
        ("data", "method", "iterations", "n", "accuracy", "tokens"),
        rows,
        "As if the search had been stopped after so many, and had chosen among its attempts so far as it "
        "chooses in the end: the best, the last, or the winner of the vote, in which the program for the "
        "question has a voice, also after 0. Searches that stop "
        'earlier have fewer attempts. What as many samples reach is in "Fewer samples", and the comparison '
        'with them in "At equal attempts and at equal cost".',
        names=3,
    )


def endings_table(run: Run, *, oracle: bool) -> Table:
    """How many questions each search ended on, and why."""
    rows = []
    for place, one in _searches(run, oracle):
        cells = {way: str(one.counts[way]) for way in ENDINGS}
        if one.errors:
            cells["error"] += f": {one.error_names}"
        rows.append((place, one.series.label, str(one.series.questions), *cells.values()))
    return Table(
        "How searches ended",
        ("data", "method", "n", *ENDINGS.values()),
        rows,
        "Questions. Not judged: the verifier could not; budget: of seconds or tokens; nothing to refine: the "
        "fraction of the draft is less than one latent, so nothing was searched; error: the search broke off "
        "and chose among what it had by then, or could not begin, which counts as wrong.",
    )


def iterations_table(run: Run, *, oracle: bool) -> Table:
    """After how many iterations searches ended."""
    searches = list(_searches(run, oracle))
    spans = _spans(max((one.series.most_iterations for _, one in searches), default=0))
    rows = [
        (
            place,
            one.series.label,
            str(one.series.questions),
            _mean_iterations(one.series),
            *(str(sum(one.iterations[first : last + 1])) for first, last in spans),
        )
        for place, one in searches
    ]
    heads = [str(first) if first == last else f"{first}–{last}" for first, last in spans]
    return Table(
        "Iterations used",
        ("data", "method", "n", "mean", *heads),
        rows,
        "Questions whose search ended after so many iterations, for whatever reason; 0: with the draft.",
    )


def _searches(run: Run, oracle: bool) -> Iterator[tuple[str, Endings]]:
    for group in run.groups:
        for one in group.endings:
            if one.series.name.searches and one.series.oracle is oracle:
                yield group.place, one


def _spans(most: int) -> list[tuple[int, int]]:
    """Columns for 0 to ``most`` iterations: single ones at first, then ever wider ones.

    Example:
        >>> _spans(45)[8:]
        [(8, 8), (9, 9), (10, 10), (11, 20), (21, 40), (41, 45)]
    """
    spans = [(count, count) for count in range(min(most, _SINGLE_COLUMNS) + 1)]
    while spans[-1][1] < most:
        first = spans[-1][1] + 1
        spans.append((first, min(most, 2 * (first - 1))))
    return spans


def _samples(run: Run, oracle: bool) -> Table:
    rows: list[Sequence[Cell]] = [
        (
            group.place,
            one.label,
            str(one.questions),
            accuracy(one),
            number(one.mean("tokens")),
            number(one.mean("forward_passes")),
        )
        for group in run.groups
        for one in group.samples
        if one.oracle is oracle
    ]
    note = "pass@n: any of the first n samples is right." if oracle else "Of the first n stored samples."
    return Table(
        "Coverage of samples" if oracle else "Fewer samples",
        ("data", "method", "n", "accuracy", "tokens", "forward passes"),
        rows,
        f"{note} Where n is smaller, only so many questions have as many samples.",
    )


def _confusion(run: Run) -> Table:
    rows = [
        (
            group.place,
            one.series.method,
            *(str(one.counts[passed, right]) for passed in (True, False, None) for right in (True, False)),
            str(sum(a.right is None for trial in one.series.trials.values() for a in trial.attempts)),
        )
        for group in run.groups
        for one in group.agreements
        if (one.judge, one.scope, one.series.oracle) == ("verdict", "all attempts", False)
    ]
    heads = [
        f"{verdict}, {truth}"
        for verdict in ("passed", "not passed", "not judged")
        for truth in ("right", "wrong")
    ]
    return Table(
        "Verdicts against the truth",
        ("data", "method", *heads, "ungraded"),
        rows,
        f"All attempts. {_VERDICTS_NOTE}Ungraded ones, whose comparison with the known answer could not be "
        "finished, are among the wrong.",
    )


def _agreement(run: Run) -> Table:
    rows: list[Sequence[Cell]] = [
        (
            group.place,
            one.series.method,
            one.judge,
            one.scope,
            str(one.judged),
            Estimate(100 * one.agreed / one.judged, 100 * one.interval.low, 100 * one.interval.high),
            f"{100 * one.constant:.1f}",
            f"{one.counts[True, True]} of {one.right}",
            f"{one.counts[True, False]} of {one.judged - one.right}",
        )
        for group in run.groups
        for one in group.agreements
        if one.judged and not one.series.oracle
    ]
    heads = ("judged", "agreement", "of a constant verdict", "right ones passed", "wrong ones passed")
    return Table(
        "Agreement of verdicts with the truth",
        ("data", "method", "judge", "attempts", *heads),
        rows,
        f"{_VERDICTS_NOTE}Agreement: right attempts that passed and wrong ones that did not, in per cent of "
        "those judged, with Wilson's 95 % interval; attempts at one question count as fewer, the more alike "
        "they are. A constant verdict passes all attempts or none, whichever agrees more often.",
        names=4,
    )
