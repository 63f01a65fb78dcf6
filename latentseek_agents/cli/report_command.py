"""``latentseek report``: tables, figures and one page of what ``latentseek eval`` has left behind."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentseek_agents.cli.display import make_console
from latentseek_agents.cli.process import command, say
from latentseek_agents.cli.text import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from latentseek_agents.evaluation.across_runs import AcrossRuns
    from latentseek_agents.evaluation.cells import Table

__all__ = ["report"]

_MOST_PAIRS = 10
"""More than these are a wall of text on a terminal."""


@command()
def report(
    folders: Annotated[list[str], typer.Argument(metavar="DIR...", help="Folders of runs, one or more.")],
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where to write. [default: report, in the first DIR]")
    ] = None,
) -> None:
    """Show what evaluations have found, and write a report.

    Several folders stand in one table; those of one model are compared on the questions that they share.

    The report is report.md, report.html, table.csv (methods by data sets), results.csv (every number) and
    figures; files of an earlier one are replaced.
    """
    from latentseek_agents.errors import InputError
    from latentseek_agents.evaluation.accuracy_tables import joint_table, main_table
    from latentseek_agents.evaluation.across_runs import compare_runs
    from latentseek_agents.evaluation.analysis import analyse_runs
    from latentseek_agents.evaluation.figures import can_draw
    from latentseek_agents.evaluation.report import incomplete, remarks, write_report

    runs = analyse_runs(folders)
    target = Path(folders[0], "report") if out is None else Path(out)
    console = make_console()
    for run in runs:
        console.print(one_line(run.name), style="bold", soft_wrap=True)
        if not run.groups:
            console.print("Nothing is done yet.")
            continue
        for line in incomplete(run):
            console.print(f"incomplete: {one_line(line)}", style="yellow", soft_wrap=True)
        for line in remarks(run):
            console.print(one_line(line), style="yellow", soft_wrap=True)
        if len(runs) == 1:
            for oracle in (False, True):
                _print(console, main_table(run, oracle=oracle))
    if len(runs) > 1:
        for oracle in (False, True):
            _print(console, joint_table(runs, oracle=oracle))
    for across in compare_runs(runs):
        _compare(console, across)
    try:
        written = write_report(runs, target)
    except OSError as error:
        raise InputError(f"the report cannot be written to {target}: {error}") from None
    if not can_draw():
        say("no figures: they need matplotlib (pip install 'latentseek-agents[eval]')")
    say(f"{len(written)} files written to {target}; open {target / 'report.html'}")


def _compare(console: "Console", across: "AcrossRuns") -> None:
    from latentseek_agents.evaluation.across_tables import differing_settings, paired_runs_table

    _print(console, differing_settings(across))
    pairs = [paired_runs_table(across, oracle=oracle) for oracle in (False, True)]
    count = sum(len(table.rows) for table in pairs)
    if count > _MOST_PAIRS:
        console.print(f"{count} pairs of runs are compared in the report.")
        return
    for table in pairs:
        _print(console, table)


def _print(console: "Console", table: "Table") -> None:
    from rich.table import Table as Grid
    from rich.text import Text

    if not table.rows:
        return
    grid = Grid(title=Text(table.title), title_justify="left")
    for column in table.columns:
        grid.add_column(Text(one_line(column)), overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(one_line(cell)) for cell in row))
    console.print(grid)
    console.print(Text(table.note, style="dim"), soft_wrap=True)
