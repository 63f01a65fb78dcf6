"""Which learning rate and which share of the answer suit a model: a grid of searches that know the answer.

    python benchmarks/sweep.py --model FOLDER --gguf FILE --data gsm8k.jsonl --start 150 --limit 30 --out DIR

All settings share one model, so that their passes are full. Every cell is a run of ``latentseek eval`` of its
own, in a folder below ``--out``: a sweep that was killed goes on where it was, and ``--shard 0/2`` and
``--shard 1/2`` share one. Without ``--model`` it only prints what the folders hold. The reward is the known
answer (PSRM), so that the figures tell what a setting can reach, not what a verifier can find: choose on
other questions than you report.
"""

import argparse
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine.decoding import DecodingOptions
from latentseek_agents.evaluation import Outcome, evaluate, read_outcomes
from latentseek_agents.evaluation.problems import load_problems
from latentseek_agents.evaluation.run import Shard

_METHOD = "psrm"


def main() -> None:
    """Run the cells that are not there yet, then print the table."""
    arguments = _arguments()
    cells = [(rate, fraction) for rate in arguments.rates for fraction in arguments.fractions]
    if arguments.model is not None:
        _run(arguments, cells)
    _print(arguments.out, arguments.latents)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--gguf")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--data", default="gsm8k")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--limit", type=int, default=30)
    parser.add_argument("--latents", choices=["independent", "consistent"], default="consistent")
    parser.add_argument("--rates", type=_numbers, default="0.01,0.03,0.1")
    parser.add_argument("--fractions", type=_numbers, default="0.2,0.5,1")
    parser.add_argument("--max-iterations", type=int, default=3)
    parser.add_argument("--max-new-tokens", type=int, default=400)
    parser.add_argument("--rows", type=int, default=48, help="most sequences in one pass")
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _run(arguments: argparse.Namespace, cells: list[tuple[float, float]]) -> None:
    torch.set_num_threads(arguments.threads)
    problems = load_problems(arguments.data, limit=arguments.limit, start=arguments.start)
    index, count = map(int, arguments.shard.split("/"))
    shard = Shard(index, count)
    backbone = Backbone.from_pretrained(
        arguments.model,
        gguf_file=arguments.gguf,
        dtype=arguments.dtype,
        decoding=DecodingOptions(max_rows=arguments.rows),
    )
    here = len(problems[index::count])
    one_at_a_time = threading.Lock()
    with Progress(console=Console(stderr=True)) as progress, ThreadPoolExecutor(len(cells)) as pool:
        bar = progress.add_task("questions", total=len(cells) * here)

        def advance(_: Outcome) -> None:
            with one_at_a_time:
                progress.advance(bar)

        def cell(rate: float, fraction: float) -> None:
            config = LatentSeekConfig(
                latents=arguments.latents,
                learning_rate=rate,
                fraction=fraction,
                max_iterations=arguments.max_iterations,
                max_new_tokens=arguments.max_new_tokens,
            )
            evaluate(
                backbone,
                problems,
                methods=[_METHOD],
                out=_folder(arguments.out, arguments.latents, rate, fraction),
                config=config,
                # No more at once than fit into a pass: what is begun is lost if the sweep is killed.
                batch=max(1, arguments.rows // len(cells)),
                shard=shard,
                on_outcome=advance,
            )

        for done in [pool.submit(cell, *place) for place in cells]:
            done.result()


def _folder(out: Path, latents: str, rate: float, fraction: float) -> Path:
    return out / f"{latents}_lr-{rate:g}_fraction-{fraction:g}"


def _print(out: Path, latents: str) -> None:
    table = Table(title=f"{latents} latents: questions right after so many iterations (an oracle chooses)")
    for column in ("learning rate", "fraction", "questions", "draft"):
        table.add_column(column, justify="right")
    rows = []
    for folder in sorted(out.glob(f"{latents}_lr-*")):
        settings = json.loads((folder / "run.json").read_text())["config"]
        outcomes = list(read_outcomes(folder))
        rows.append((settings["learning_rate"], settings["fraction"], outcomes, settings["max_iterations"]))
    most = max((row[-1] for row in rows), default=0)
    for iteration in range(1, most + 1):
        table.add_column(str(iteration), justify="right")
    table.add_column("changed tokens", justify="right")
    for rate, fraction, outcomes, iterations in sorted(rows, key=lambda row: row[:2]):
        first = Counter(_first_right(outcome) for outcome in outcomes)
        right = [sum(first[place] for place in range(last + 1)) for last in range(iterations + 1)]
        later = [attempt.changed for outcome in outcomes for attempt in outcome.attempts[1:]]
        changed = f"{sum(later) / len(later):.1f}" if later else "-"
        table.add_row(f"{rate:g}", f"{fraction:g}", str(len(outcomes)), *map(str, right), changed)
    Console().print(table)


def _first_right(outcome: Outcome) -> int:
    """The first attempt that is right; -1 if none is."""
    return next((attempt.attempt for attempt in outcome.attempts if attempt.right), -1)


if __name__ == "__main__":
    main()
