"""What a run is meant to do: without it, a run that was stopped looks like a smaller one that is done."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.records import Key

__all__ = ["add_to_plan", "read_plan"]


def add_to_plan(folder: str | Path, writer: str, keys: Iterable[Key]) -> None:
    """Write down what a process is about to do, beside what it wrote down before.

    Args:
        folder: The run's.
        writer: As in :class:`~latentseek_agents.evaluation.records.RunFolder`; each has a file of its own.
        keys: What there is to do, done or not.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     add_to_plan(folder, "0-of-1", [Key("made up", "boxed", "cot", 2)])
        ...     add_to_plan(folder, "0-of-1", [Key("made up", "boxed", "cot", 0)])
        ...     [key.problem for key in sorted(read_plan(folder))]
        [0, 2]
    """
    target = Path(folder, f"plan-{writer}.json")
    planned = _read(target) if target.exists() else set()
    if planned.issuperset(keys := set(keys)):
        return
    rows: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for key in sorted(planned | keys):
        rows[key.dataset, key.prompt, key.method].append(key.problem)
    lines = [
        {"dataset": dataset, "prompt": prompt, "method": method, "problems": problems}
        for (dataset, prompt, method), problems in rows.items()
    ]
    partial = target.with_suffix(".partial")
    partial.write_text("[\n" + ",\n".join(map(json.dumps, lines)) + "\n]\n", encoding="utf-8")
    os.replace(partial, target)


def read_plan(folder: str | Path) -> set[Key]:
    """What all processes of a run were to do; nothing of a run that earlier versions began.

    Raises:
        InputError: A plan in the folder cannot be read.
    """
    return {key for file in sorted(Path(folder).glob("plan-*.json")) for key in _read(file)}


def _read(file: Path) -> set[Key]:
    try:
        return {
            Key(row["dataset"], row["prompt"], row["method"], problem)
            for row in json.loads(file.read_text(encoding="utf-8"))
            for problem in row["problems"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} is not the plan of an evaluation: {error!r}") from None
