"""The paper's table: methods by data sets and prompts, of one run or of several."""

import csv
import io
from collections.abc import Sequence

from latentseek_agents.evaluation.analysis import GroupAnalysis, RunAnalysis
from latentseek_agents.evaluation.cells import NOTHING, ORACLE, Table, accuracy, marked, where
from latentseek_agents.evaluation.equal_cost_tables import NO_MORE_STORED, missing_neighbour
from latentseek_agents.evaluation.markup import csv_cell
from latentseek_agents.evaluation.summary import Summary
from latentseek_agents.evaluation.trials import is_oracle, method_place

__all__ = ["accuracy_csv", "joint_table", "main_table"]

_Row = tuple[str, str]  # a method, and what stands beneath it at its tokens, if anything
_Place = tuple[str, str]  # data set and prompt


def main_table(run: RunAnalysis, *, oracle: bool = False) -> Table:
    """Methods by data sets and prompts, as in the paper.

    Args:
        run: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    table = _table([run], oracle, "Accuracy")
    return Table(table.title, table.columns[1:], tuple(row[1:] for row in table.rows), table.note)


def joint_table(runs: Sequence[RunAnalysis], *, oracle: bool = False) -> Table:
    """Several runs in one table; who has worked on which questions is in their own.

    Args:
        runs: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    table = _table(runs, oracle, "Accuracy of all runs")
    note = f"{table.note} Rows of different runs stand beside each other and are not compared here."
    return Table(table.title, table.columns, table.rows, note)


def accuracy_csv(runs: Sequence[RunAnalysis]) -> str:
    """The paper's table as CSV: a row for each method of each run, the oracles last, a column for each data.

    A cell is the accuracy in per cent with its interval, and the number of questions where it is smaller than
    the column's; it is empty where nothing was run.

    Args:
        runs: What to show.
    """
    most = _questions(runs)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    places = [f"{dataset} {prompt}, n = {count}" for (dataset, prompt), count in most.items()]
    writer.writerow(map(csv_cell, ["model", "run", "method", "oracle", *places]))
    for oracle in (False, True):
        for run in runs:
            cells: dict[_Row, dict[_Place, str]] = {}
            for group in run.groups:
                _fill_methods(cells, group, oracle, most[group.dataset, group.prompt])
            for row in sorted(cells, key=_row_place):
                # A spreadsheet that takes the file for something else than UTF-8 would spoil the dash.
                found = (cells[row].get(place, "").replace("–", " to ") for place in most)
                head = (
                    run.name,
                    str(run.settings.get("run", "")),
                    marked(row[0], oracle=oracle),
                    str(oracle),
                )
                writer.writerow(map(csv_cell, (*head, *found)))
    return text.getvalue()


def _questions(runs: Sequence[RunAnalysis]) -> dict[_Place, int]:
    """Of each data set with each prompt, the most questions that a method has worked on."""
    most: dict[_Place, int] = {}
    for run in runs:
        for group in run.groups:
            place = (group.dataset, group.prompt)
            most[place] = max(most.get(place, 0), *(one.questions for one in group.methods))
    return most


def _table(runs: Sequence[RunAnalysis], oracle: bool, title: str) -> Table:
    most = _questions(runs)
    one_model = len(runs) > 1 and len({str(run.settings.get("model")) for run in runs}) == 1
    rows = []
    beneath = False
    for run in runs:
        head = run.folder if one_model else run.name
        cells: dict[_Row, dict[_Place, str]] = {}
        for group in run.groups:
            _fill(cells, group, oracle, most[group.dataset, group.prompt])
        for method, rival in sorted(cells, key=_row_place):
            found = cells[method, rival]
            rows.append((head, _row_name(method, rival), *(found.get(place, NOTHING) for place in most)))
            beneath |= rival != ""
    note = "Per cent, with Wilson's 95 % interval."
    if beneath:
        note += (
            " At the tokens of a search: the most samples that cost no more, and the fewest that cost no less"
            f"; {NO_MORE_STORED}: its tokens may pay for more samples than were drawn."
        )
    heads = (f"{where(dataset, prompt)}, n = {count}" for (dataset, prompt), count in most.items())
    return Table(
        f"{title}: {ORACLE} methods, a ceiling and no result" if oracle else title,
        ("run" if one_model else "model", "method", *heads),
        tuple(rows),
        note,
    )


def _fill(cells: dict[_Row, dict[_Place, str]], group: GroupAnalysis, oracle: bool, count: int) -> None:
    _fill_methods(cells, group, oracle, count)
    place = (group.dataset, group.prompt)
    for row in group.equal_costs:
        if row.kind == "tokens" and row.search.oracle is oracle:
            found = [
                f"{marked(rival.summary.method, oracle=rival.summary.oracle)}{missing_neighbour(row)}: "
                f"{_accuracy(rival.summary, count)}"
                for _, rival in row.neighbours
            ]
            # Questions that have more samples than others are a row of their own, of fewer questions.
            mine = cells.setdefault((row.search.method, row.rival), {})
            mine[place] = "; ".join([*([mine[place]] if place in mine else []), *found])


def _fill_methods(
    cells: dict[_Row, dict[_Place, str]], group: GroupAnalysis, oracle: bool, count: int
) -> None:
    for summary in group.methods:
        if summary.oracle is oracle:
            place = (group.dataset, group.prompt)
            cells.setdefault((summary.method, ""), {})[place] = _accuracy(summary, count)


def _row_place(row: _Row) -> tuple[object, ...]:
    method, rival = row
    return method_place(method), rival != "", method_place(rival)


def _row_name(method: str, rival: str) -> str:
    name = marked(method, oracle=is_oracle(method))
    return f"{marked(rival, oracle=is_oracle(rival))} at the tokens of {name}" if rival else name


def _accuracy(summary: Summary, count: int) -> str:
    """With n where it is of fewer questions than the column's."""
    questions = "" if summary.questions == count else f", n = {summary.questions}"
    return f"{accuracy(summary.accuracy, summary.interval)}{questions}"
