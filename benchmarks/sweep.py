"""Which learning rate and which share of the answer suit a model: a grid of searches that know the answer.

    python benchmarks/sweep.py --model FOLDER --gguf FILE --data gsm8k_dev.jsonl --start 150 --out DIR

All settings share one model, so that their passes are full. Every cell is a run of ``latentseek eval`` of its
own, in a folder below ``--out``: a sweep that was killed goes on where it was, and ``--shard 0/2`` and
``--shard 1/2`` share one. Without ``--model`` it only prints what the folders hold. The reward is the known
answer (PSRM), so that the figures tell what a setting can reach, not what a verifier can find: choose on
other questions than you report. ``--temperatures 0,0.8`` draws the latents' tokens and what follows them too,
and ``--samples 4`` sets blind sampling beside the grid: as many samples as a search of K = 3 has attempts.
"""

import argparse
import json
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine._decoding import DecodingOptions
from latentseek_agents.evaluation.reports.statistics import wilson
from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.plan import EvaluationPlan, Listener, Shard
from latentseek_agents.evaluation.runs.problems import load_problems
from latentseek_agents.evaluation.runs.records import Outcome
from latentseek_agents.evaluation.runs.run import evaluate

_SAMPLES = "samples"
_STORED = Path(__file__).parent / "runs" / "sweep-0.5b-gsm8k"


@dataclass(frozen=True)
class _Cell:
    """A run of its own: a method with its settings, in its folder."""

    method: str
    folder: str
    settings: dict[str, object]


def main() -> None:
    """Run the cells that are not there yet, then print the table."""
    arguments = _arguments()
    if arguments.model is not None:
        _run(arguments, _cells(arguments))
    _print(arguments.out, arguments.latents)


def _cells(arguments: argparse.Namespace) -> list[_Cell]:
    cells = [
        _Cell(
            "psrm",
            f"{arguments.latents}_lr-{rate:g}_fraction-{fraction:g}"
            + (f"_temperature-{temperature:g}" if temperature else ""),
            {
                "latents": arguments.latents,
                "learning_rate": rate,
                "fraction": fraction,
                "temperature": temperature,
                "continuation_temperature": temperature,
            },
        )
        for rate in arguments.rates
        for fraction in arguments.fractions
        for temperature in arguments.temperatures
    ]
    if arguments.samples:
        cells.append(_Cell(f"sc:{arguments.samples}", _SAMPLES, {}))
    return cells


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
    parser.add_argument("--temperatures", type=_numbers, default="0")
    parser.add_argument("--samples", type=int, default=0, help="blind samples per question, beside the grid")
    parser.add_argument("--max-iterations", type=int, default=3)
    parser.add_argument("--max-new-tokens", type=int, default=400)
    parser.add_argument("--rows", type=int, default=48, help="most sequences in one pass")
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=_STORED, help="by default, the sweep that is kept here")
    return parser.parse_args()


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _run(arguments: argparse.Namespace, cells: Sequence[_Cell]) -> None:
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

        class Advance(Listener):
            def on_outcome(self, outcome: Outcome) -> None:
                with one_at_a_time:
                    progress.advance(bar)

        def run(cell: _Cell) -> None:
            config = LatentSeekConfig(
                max_iterations=arguments.max_iterations,
                max_new_tokens=arguments.max_new_tokens,
                **cell.settings,
            )
            plan = EvaluationPlan(
                problems=problems,
                methods=[cell.method],
                config=config,
                # No more at once than fit into a pass: of what is begun, a kill loses an iteration each.
                batch=max(1, arguments.rows // len(cells)),
            )
            evaluate(backbone, plan, arguments.out / cell.folder, shard=shard, listener=Advance())

        for done in [pool.submit(run, cell) for cell in cells]:
            done.result()


def _print(out: Path, latents: str) -> None:
    table = Table(title=f"{latents} latents: questions right after so many iterations (an oracle chooses)")
    for column in ("learning rate", "fraction", "temperature", "questions", "first"):
        table.add_column(column, justify="right")
    rows: list[tuple[tuple[str, ...], list[Outcome]]] = []
    for folder in [*sorted(out.glob(f"{latents}_lr-*")), *out.glob(_SAMPLES)]:
        settings = json.loads((folder / "run.json").read_text())
        config, outcomes = settings["config"], _of_one_method(list(read_outcomes(folder)))
        key = (config["learning_rate"], config["fraction"], config["temperature"])
        if folder.name == _SAMPLES:
            rows.append((("-", "-", f"samples, {settings['temperature']:g}"), outcomes))
        else:
            rows.append((tuple(f"{value:g}" for value in key), outcomes))
    most = max((len(outcome.attempts) for _, outcomes in rows for outcome in outcomes), default=1)
    for iteration in range(1, most):
        table.add_column(str(iteration), justify="right")
    table.add_column("last, 95 %", justify="right")
    for column in ("changed tokens", "answers", "without"):
        table.add_column(column, justify="right")
    for names, outcomes in rows:
        first = Counter(_first_right(outcome) for outcome in outcomes)
        right = [sum(first[place] for place in range(last + 1)) for last in range(most)]
        later = [attempt.changed for outcome in outcomes for attempt in outcome.attempts[1:]]
        changed = f"{sum(later) / len(later):.1f}" if later and names[0] != "-" else "-"
        interval = wilson(right[-1], len(outcomes)) if outcomes else None
        last = "-" if interval is None else f"{100 * interval.low:.0f}-{100 * interval.high:.0f} %"
        table.add_row(*names, str(len(outcomes)), *map(str, right), last, changed, *_variety(outcomes))
    Console(width=130).print(table)
    print(
        "answers: different final answers per question, and without: share of attempts that state none; both "
        "over the questions of which no attempt is right."
    )


def _variety(outcomes: list[Outcome]) -> tuple[str, str]:
    """Different answers per question, and the share of attempts without one, where no attempt is right."""
    unsolved = [outcome.attempts for outcome in outcomes if _first_right(outcome) < 0]
    if not unsolved:
        return "-", "-"
    different = [len(set(filter(None, (one.answer for one in attempts)))) for attempts in unsolved]
    attempts = [one for attempts in unsolved for one in attempts]
    without = sum(one.answer is None for one in attempts)
    return f"{sum(different) / len(different):.2f}", f"{100 * without / len(attempts):.0f} %"


def _of_one_method(outcomes: list[Outcome]) -> list[Outcome]:
    """Those of the method with the most attempts, if the folder has runs with several numbers of samples."""
    most = max(outcomes, key=lambda outcome: len(outcome.attempts), default=None)
    return [outcome for outcome in outcomes if most is not None and outcome.key.method == most.key.method]


def _first_right(outcome: Outcome) -> int:
    """The first attempt that is right; -1 if none is."""
    return next((attempt.attempt for attempt in outcome.attempts if attempt.right), -1)


if __name__ == "__main__":
    main()
