"""Whether memory stays flat over a long run: many questions through ``batch_as_completed``, on a tiny model.

    python benchmarks/long_run.py --questions 10000

The resident memory is read twenty times. What counts is that it does not grow: the second half of the run is
fitted with a straight line.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from latentseek_agents import LatentSeek, LatentSeekConfig
from latentseek_agents.testing import ScriptedVerifier, tiny_backbone

console = Console()


def main() -> int:
    """Run the questions, print the memory along the way, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    config = LatentSeekConfig(max_new_tokens=12, max_iterations=2, fraction=0.5)
    seek = LatentSeek(tiny_backbone(), verifier=ScriptedVerifier([-1.0]), config=config)
    # Questions of many lengths, so that caches see something new each time.
    inputs = [f"What is {i} times {'7' * (1 + i % 40)}?" for i in range(arguments.questions)]
    results = seek.batch_as_completed(inputs, config={"max_concurrency": arguments.at_once})
    step = max(1, arguments.questions // 20)
    memory: list[tuple[int, float]] = []
    began = time.perf_counter()
    for number, _ in enumerate(
        track(results, "questions", total=len(inputs), console=console, transient=True), start=1
    ):
        if number % step == 0:
            gc.collect()
            memory.append((number, resident_mebibytes()))
    seconds = time.perf_counter() - began
    later = memory[len(memory) // 2 :]
    slope = statistics.linear_regression([n for n, _ in later], [m for _, m in later]).slope * 1000
    table = Table("questions", "resident memory, MiB")
    for number, mebibytes in memory:
        table.add_row(str(number), f"{mebibytes:.1f}")
    console.print(table)
    console.print(
        f"{arguments.questions} questions in {seconds:.0f} s; "
        f"in the second half {slope:+.2f} MiB per 1,000 questions"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"memory": memory, "mib_per_1000": slope, "seconds": seconds}))
    return 0


def resident_mebibytes() -> float:
    """Resident memory of this process now."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20


if __name__ == "__main__":
    sys.exit(main())
