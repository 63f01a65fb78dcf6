"""``latentseek verify``: check the equations and programs of a text, without a model."""

import json
import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

from latentseek_agents.cli.process import NOT_VERIFIED, command, fast_imports, read_input
from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.text import one_line

if TYPE_CHECKING:
    from latentseek_agents.tools.steps import StepReport

_FILE_NAME = re.compile(r"[^\s=]*\.(?:txt|md|markdown|tex|json|jsonl|html)", re.IGNORECASE)
_STYLES = {"ok": "green", "wrong": "bold red", "unverifiable": "yellow", "trivial": "dim"}
_MEANING = {
    "ok": "no equation is wrong, no output of a program either, and at least one was checked",
    "wrong": "at least one equation, or what the text says that a program prints, is wrong",
    "unverifiable": "no equation and no program could be checked",
}


@command()
def verify(
    source: Annotated[
        str,
        typer.Argument(metavar="TEXT|FILE|-", help="A solution, a file with one, or - for standard input."),
    ],
    question: Annotated[
        str | None, typer.Option(help="The question, to tell how much of it the solution uses.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check the equations of a solution with exact arithmetic, and run its Python. No model is loaded.

    What fenced blocks of Python print is compared with what the text says that they print. What cannot be
    read is called unverifiable.

    Exit code: 0 ok, 1 wrong or unverifiable, 2 bad input.
    """
    text = _text(source)
    with fast_imports():
        from latentseek_agents.tools.steps import check_steps
    report = check_steps(text, question)
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        _show(report)
    if report.verdict != "ok":
        raise typer.Exit(NOT_VERIFIED)


def _text(source: str) -> str:
    if source == "-" or os.path.exists(source):
        text = read_input(source)
    elif _FILE_NAME.fullmatch(source):
        raise InputError(f"cannot read {one_line(source)}: there is no such file")
    else:
        text = source
    if not text.strip():
        raise InputError(
            "there is no text to check; give a solution, a file with one, or - for standard input"
        )
    return text


def _show(report: "StepReport") -> None:
    from rich.table import Table
    from rich.text import Text

    from latentseek_agents.cli.display import make_console

    console = make_console()
    steps = [(equation.status, equation.text, equation.reason) for equation in report.equations]
    programs = [(program.status, program.printed, program.reason) for program in report.programs]
    thought = [(equation.status, equation.text, equation.reason) for equation in report.thought]
    told = "in the thought, where it counts for nothing"
    for title, rows in (("equation", steps), ("a program prints", programs), (told, thought)):
        if not rows:
            continue
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("status", title, "why"):
            table.add_column(name, no_wrap=name == "status", overflow="fold")
        for status, text, reason in rows:
            style = _STYLES.get(status, "green")
            table.add_row(Text(status, style=style), one_line(text), one_line(reason))
        console.print(table)
    if report.computed_answer is not None:
        console.print(f"Its program prints {one_line(report.computed_answer)} as the answer.", style="yellow")
    if report.truncated:
        console.print("The text is longer than what is read; the rest was not checked.", style="yellow")
    style = _STYLES[report.verdict]
    console.print(Text.assemble((report.verdict, style), f": {_MEANING[report.verdict]}"), soft_wrap=True)
