"""What the programs in solutions need, what of them fails in the sandbox, and what one costs.

    python benchmarks/programs.py SOLUTIONS.jsonl ...

Reads JSON Lines files, plain or ending in ``.gz``. The solutions of a line are the ``text`` of each of its
``attempts`` (as in ``benchmarks/runs``), or its ``solution``; a text that a file holds twice counts once. The
fenced blocks of a solution that are marked as Python run as one program, one after another.
Where the attempts of a file say whether they are right, a second table compares what their programs print
with what they state, and counts those that the step checker refutes for it; with ``--method sc:11`` it reads
the attempts of one method only.
"""

import argparse
import gzip
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from latentseek_agents.tools import answers_match, check_steps
from latentseek_agents.tools.programs import ProgramResult, run_program

_BLOCK = re.compile(r"```[ \t]*(?:python3?|py)[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)
_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")
_SMALL = "price = 7\ncount = {}\ntotal = price * count\nprint(total)\n"


def read_solutions(path: Path) -> Iterator[str]:
    """The solutions of a file, each text once."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines)
        solutions = (solution for row in rows for solution in row.get("attempts", [row]))
        texts = (solution.get("text") or solution.get("solution") for solution in solutions)
        yield from dict.fromkeys(text for text in texts if text)


def read_attempts(path: Path, method: str | None) -> Iterator[Mapping[str, Any]]:
    """The graded attempts of a file, each text once a problem."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines)
        chosen = (row for row in rows if method in (None, row.get("method")))
        attempts = [
            {**attempt, "problem": row["problem"], "reference": row["reference"]}
            for row in chosen
            for attempt in row.get("attempts", ())
            if "right" in attempt
        ]
        graded = {(attempt["problem"], attempt["text"]): attempt for attempt in attempts}
        yield from (each for each in graded.values() if each["text"])


def printed_last(text: str) -> str | None:
    """The last line that the program of a solution prints, if it runs to its end and prints a number."""
    result = run_program("\n".join(_BLOCK.findall(text)))
    ran = result.error is None and result.unjudged is None
    last = result.printed.strip().rpartition("\n")[2] if ran else ""
    return last if _NUMBER.fullmatch(last) else None


def states(answer: str, printed: str) -> bool:
    """Whether an answer is a printed number, rounded perhaps."""
    if answers_match(answer, printed):
        return True
    number = _NUMBER.search(answer.replace(",", ""))
    broken = float(printed) != int(float(printed))
    return number is not None and broken and abs(float(number.group()) - float(printed)) < 1


def compare(path: Path, method: str | None, console: Console) -> None:
    """Print which solutions of a file the step checker refutes for what their programs print."""
    counts, refuted, answers = Counter[str](), Counter[str](), Counter[str]()
    for attempt in read_attempts(path, method):
        kinds = ["right" if attempt["right"] else "wrong"]
        report = check_steps(attempt["text"])
        is_refuted = any(program.status == "wrong" for program in report.programs)
        computed = report.computed_answer
        answers["stated right"] += attempt["right"]
        answers["right with the computed answer in place of the stated one"] += (
            attempt["right"] if computed is None else answers_match(computed, attempt["reference"])
        )
        if report.programs:
            kinds.append(f"{kinds[0]}, with a program")
            printed = printed_last(attempt["text"])
            if printed is not None and attempt["answer"] is not None:
                differs = not states(attempt["answer"], printed)
                kinds.append("prints something else" if differs else "prints what it states")
                if differs:
                    kinds.append(f"prints something else, and what it states is {kinds[0]}")
        counts.update(kinds)
        refuted.update(kinds if is_refuted else ())
    if not counts:
        return
    table = Table("solutions", "all", "refuted", "per cent")
    for kind, count in sorted(counts.items()):
        table.add_row(kind, str(count), str(refuted[kind]), f"{100 * refuted[kind] / count:.1f}")
    console.print(f"{path}, {method or 'all methods'}", style="bold")
    console.print(table)
    for kind, count in answers.items():
        console.print(f"{kind}: {count}")


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
    parser.add_argument("--method", help="compare the attempts of this method only, such as sc:11")
    arguments = parser.parse_args()
    console = Console()
    for path in arguments.files:
        report(path, console)
        compare(path, arguments.method, console)
    console.print(f"small programs: median {time_small_programs():.2f} ms")


if __name__ == "__main__":
    main()
