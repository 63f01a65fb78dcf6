"""What the programs in solutions need, what of them fails in the sandbox, and what one costs.

    python benchmarks/programs.py SOLUTIONS.jsonl ...

Reads JSON Lines files, plain or ending in ``.gz``. The solutions of a line are the ``text`` of each of its
``attempts`` (as in ``benchmarks/runs``), or its ``solution``; a text that a file holds twice counts once. The
fenced blocks of a solution that are marked as Python run as one program, one after another.
"""

import argparse
import gzip
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from latentseek_agents.tools.programs import ProgramResult, run_program

_BLOCK = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)
_SMALL = "price = 7\ncount = {}\ntotal = price * count\nprint(total)\n"


def read_solutions(path: Path) -> Iterator[str]:
    """The solutions of a file, each text once."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines)
        solutions = (solution for row in rows for solution in row.get("attempts", [row]))
        texts = (solution.get("text") or solution.get("solution") for solution in solutions)
        yield from dict.fromkeys(text for text in texts if text)


def describe(result: ProgramResult) -> str:
    """How a program ended, in a word or two that can be counted."""
    if result.unjudged is not None:
        return f"cannot judge: {result.unjudged}"
    if result.error is not None:
        return f"error: {result.error.partition(':')[0]}"
    return "printed" if result.printed else "nothing printed"


def report(path: Path, console: Console) -> None:
    """Print what the programs of one file import and how they end."""
    solutions = list(read_solutions(path))
    programs = [code for code in ("\n".join(_BLOCK.findall(text)) for text in solutions) if code.strip()]
    imports = Counter(module for code in programs for module in set(_IMPORT.findall(code)))
    milliseconds, endings = [], Counter[str]()
    for code in programs:
        start = time.perf_counter()
        result = run_program(code)
        milliseconds.append(1000 * (time.perf_counter() - start))
        endings[describe(result)] += 1
    console.print(f"{path}: {len(solutions)} solutions, {len(programs)} with a program", style="bold")
    if not programs:
        return
    console.print(f"median {statistics.median(milliseconds):.2f} ms, longest {max(milliseconds):.0f} ms")
    table = Table("imports or ending", "programs")
    for name, count in imports.most_common():
        table.add_row(f"import {name}", str(count))
    table.add_section()
    for name, count in endings.most_common():
        table.add_row(name, str(count))
    console.print(table)


def time_small_programs(count: int = 500) -> float:
    """The median time of a small program in milliseconds, without the start of the worker."""
    run_program("print(1)")
    times = []
    for number in range(count):
        start = time.perf_counter()
        run_program(_SMALL.format(number))
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    """Read the arguments and print one table per file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="JSON Lines files with solutions")
    arguments = parser.parse_args()
    console = Console()
    for path in arguments.files:
        report(path, console)
    console.print(f"small programs: median {time_small_programs():.2f} ms")


if __name__ == "__main__":
    main()
