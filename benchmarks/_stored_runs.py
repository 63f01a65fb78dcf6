"""What a stored run has to say about given problems, and lines that may be compressed."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.problems import Problem, load_problems
from latentseek_agents.evaluation.runs.records import Outcome

__all__ = ["append_line", "outcomes_of", "problems_in", "read_lines"]


def problems_in(data: Path, numbers: str) -> dict[int, Problem]:
    """The problems of a file from the first to the last number, by their numbers.

    Args:
        data: JSON Lines.
        numbers: For instance ``"0-99"``.
    """
    first, last = map(int, numbers.split("-"))
    return {one.number: one for one in load_problems(str(data)) if first <= one.number <= last}


def outcomes_of(folder: Path, problems: dict[int, Problem]) -> Iterator[Outcome]:
    """The outcomes of a run for these problems, asked with the boxed prompt.

    A run may hold several data sets, each with its numbers: what tells their problems apart is the digest.
    """
    for outcome in read_outcomes(folder):
        problem = problems.get(outcome.key.problem)
        if problem and outcome.key.prompt == "boxed" and outcome.digest in ("", problem.digest):
            yield outcome


def read_lines(file: Path) -> list[Any]:
    """The lines of a JSON Lines file, compressed if it is named ``.gz``; without one that was torn off."""
    if not file.exists():
        return []
    text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text("utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1] if line]


def append_line(file: Path, value: Any) -> None:
    """Add a line to such a file, in place of one that was torn off.

    Not to a compressed one: of that, a kill could leave what cannot be read again.
    """
    if file.suffix == ".gz":
        raise SystemExit(f"{file} holds a run that has ended; name a file that does not end in .gz")
    with file.open("a+b") as lines:
        lines.seek(0)
        lines.truncate(lines.read().rfind(b"\n") + 1)
        lines.write(f"{json.dumps(value)}\n".encode())
