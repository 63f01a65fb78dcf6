"""``latentseek report``: tables and figures of what ``latentseek eval`` has recorded."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latentseek_agents.cli.display import make_console
from latentseek_agents.cli.process import command, say
from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.evaluation.text import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from latentseek_agents.evaluation.reports.table import Table

__all__ = ["report"]


@command()
def report(
    folders: Annotated[list[str], typer.Argument(metavar="DIR...", help="Folders of runs, one or more.")],
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where to write. [default: report, in the first DIR]")
    ] = None,
) -> None:
    """Show what evaluations have found, and write a report.

    Several folders stand in one table.

    The report is report.md, report.html, table.csv (methods by data sets), results.csv (every number) and
    figures; files of an earlier one are replaced.
    """
    if find_spec("scipy") is None:
        raise ConfigError("a report needs scipy: pip install 'latentseek-agents[eval]'")
    from latentseek_agents.evaluation.reports.analysis import read_runs
    from latentseek_agents.evaluation.reports.figures import can_draw
    from latentseek_agents.evaluation.reports.report import incomplete, remarks, write_report
    from latentseek_agents.evaluation.reports.tables import accuracy_table

    runs = read_runs(folders)
    target = Path(folders[0], "report") if out is None else Path(out)
    console = make_console()
    for run in runs:
        console.print(one_line(run.name), style="bold", soft_wrap=True)
        if not run.groups:
            console.print("Nothing is done yet.")
        for line in [*(f"incomplete: {line}" for line in incomplete(run)), *remarks(run)]:
            console.print(one_line(line), style="yellow", soft_wrap=True)
    for oracle in (False, True):
        _print(console, accuracy_table(runs, oracle=oracle))
    try:
        written = write_report(runs, target)
    except OSError as error:
        raise InputError(f"the report cannot be written to {target}: {error}") from None
    if not can_draw():
        say("no figures: they need matplotlib (pip install 'latentseek-agents[eval]')")
    say(f"{len(written)} files written to {target}; open {target / 'report.html'}")


def _print(console: "Console", table: "Table") -> None:
    from rich.table import Table as Grid
    from rich.text import Text

    if table.rows:
        grid = Grid(title=Text(table.title), title_justify="left")
        for column in table.columns:
            grid.add_column(Text(one_line(column)), overflow="fold")
        for row in table.rows:
            grid.add_row(*(Text(one_line(str(cell))) for cell in row))
        console.print(grid)
        console.print(Text(table.note, style="dim"), soft_wrap=True)
