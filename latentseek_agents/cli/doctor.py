"""``latentseek doctor``: what is installed on this machine, and what of it matters."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latentseek_agents.cli.process import NOT_VERIFIED, command
from latentseek_agents.evaluation.text import one_line

if TYPE_CHECKING:
    from latentseek_agents.cli.findings import Finding

_PROBE = "latentseek_agents.engine.machine"
_MOST_SECONDS = 120
_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "missing": ("MISSING", "bold red")}
_MARK_WIDTH, _SUBJECT_WIDTH = 8, 11


@command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Show what this machine has for local models, and what to do where something is missing.

    PyTorch is tried in a process of its own. Nothing is downloaded, and no model is loaded.

    Exit code: 0 if searches can run, 1 if something that they need is missing.
    """
    from latentseek_agents.cli.display import busy, make_console

    console = make_console(quiet=as_json)
    with busy(console, "looking at PyTorch"):
        findings = diagnose(torch_facts())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        _show(findings)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(NOT_VERIFIED)


def torch_facts(arguments: Sequence[str] = ("-m", _PROBE)) -> dict[str, Any]:
    """What PyTorch finds of this machine, asked in a process of its own.

    Args:
        arguments: Of the interpreter.

    Returns:
        As ``latentseek_agents.engine.machine.machine_facts``; ``{"error": why}`` where it does not run.
    """
    # -P: a file called torch.py in the current folder is none of ours.
    call = [sys.executable, "-P", *arguments]
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=_MOST_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        return {"error": f"it did not answer within {_MOST_SECONDS} s"}
    except OSError as error:
        return {"error": f"{sys.executable} could not be started: {error.strerror}"}
    try:
        facts = json.loads(done.stdout.strip().splitlines()[-1])
        return facts if isinstance(facts, dict) else {"error": one_line(done.stdout)}
    except (IndexError, ValueError):
        return {"error": _why_it_ended(done)}


def diagnose(facts: dict[str, Any]) -> "list[Finding]":
    """All findings, in the order in which they are read.

    Args:
        facts: From :func:`torch_facts`.
    """
    from latentseek_agents.cli import cached_models, findings, installed

    return [
        findings.python_finding(),
        installed.packages_finding(),
        findings.torch_finding(facts),
        findings.processor_finding(facts),
        findings.format_finding(facts),
        findings.gpu_finding(facts),
        findings.memory_finding(facts),
        installed.embedded_finding(),
        cached_models.models_finding(),
        cached_models.converted_finding(),
        installed.extras_finding(),
    ]


def _why_it_ended(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode < 0:
        number = -done.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        hint = ": this build needs instructions that the processor lacks" if name == "SIGILL" else ""
        return f"importing it ends with {name}{hint}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"the process ends with status {done.returncode}"


def _show(findings: "Sequence[Finding]") -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from latentseek_agents.cli.display import make_console

    console = make_console()
    for finding in findings:
        mark, style = _MARKS[finding.state]
        head = Text.assemble(
            (f"{mark:<{_MARK_WIDTH}}", style), (f"{finding.subject:<{_SUBJECT_WIDTH}}", "bold")
        )
        remedy = ("→ " if finding.remedy else "") + finding.remedy
        if not console.is_terminal:  # a line for each finding, whatever its length
            console.print(Text.assemble(head, f"{finding.text}  {remedy}".rstrip()), soft_wrap=True)
            continue
        row = Table.grid()
        row.add_column(width=_MARK_WIDTH + _SUBJECT_WIDTH)
        row.add_column(overflow="fold")
        row.add_row(head, finding.text)
        console.print(row)
        if remedy:
            console.print(Padding(Text(remedy, style="cyan"), (0, 0, 0, _MARK_WIDTH + _SUBJECT_WIDTH)))
