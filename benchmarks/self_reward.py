"""How often a model gives a verdict on solutions, and how often the verdict is right.

    python benchmarks/self_reward.py --model FOLDER --gguf FILE --solutions labelled.jsonl --limit 40

A line of the file has ``question``, ``solution`` and ``correct``; ``--limit`` takes lines at equal distances.
Without arguments the embedded model judges two solutions. A check is held against whether the solution's
answer is right, which is what ``answer`` asks and the other three only hint at: they may hold of a wrong one.
"""

import argparse
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from latentseek_agents import Backbone, Verdict
from latentseek_agents.engine._decoding import DecodingOptions
from latentseek_agents.evaluation.reports.statistics import wilson
from latentseek_agents.tools import SelfReward
from latentseek_agents.tools._self_reward import STATEMENTS


@dataclass(frozen=True)
class _Solution:
    """A solution, and whether its answer is right."""

    question: str
    text: str
    right: bool


_PENS = "A box holds 24 pens. How many pens do 3 boxes hold?"
_BUILT_IN = [
    _Solution(_PENS, r"3 boxes hold 3 * 24 = 72 pens. The answer is \boxed{72}.", right=True),
    _Solution(_PENS, r"3 boxes hold 3 + 24 = 27 pens. The answer is \boxed{27}.", right=False),
]


def main() -> None:
    """Judge the solutions, then print a table."""
    arguments = _arguments()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = DecodingOptions(max_rows=arguments.rows)
    if arguments.model is None:
        backbone = Backbone.embedded(decoding=options)
    else:
        backbone = Backbone.from_pretrained(
            arguments.model, gguf_file=arguments.gguf, dtype=arguments.dtype, decoding=options
        )
    solutions = _load(arguments.solutions, arguments.limit) if arguments.solutions else _BUILT_IN
    verifier = SelfReward(backbone, mode=arguments.mode, max_new_tokens=arguments.max_new_tokens)
    # Each call is four rows; several at once fill the passes.
    with ThreadPoolExecutor(max(1, arguments.rows // 4)) as pool:
        judged = pool.map(lambda one: verifier(one.question, one.text), solutions)
        verdicts = list(track(judged, total=len(solutions), description="solutions"))
    _print(solutions, verdicts)


def _print(solutions: list[_Solution], verdicts: list[Verdict]) -> None:
    table = Table("", "verdicts given", "right ones passed", "wrong ones passed")
    for name in STATEMENTS:
        opinions = [{check.name: check.passed for check in verdict.checks} for verdict in verdicts]
        table.add_row(name, *_row(solutions, [opinion.get(name) for opinion in opinions]))
    table.add_section()
    table.add_row("all four", *_row(solutions, [verdict.passed for verdict in verdicts]))
    Console(width=110).print(table)
    tokens = sum(verdict.usage.verifier_tokens for verdict in verdicts)
    print(f"{tokens / len(verdicts):.0f} tokens per solution; in brackets Wilson's 95 % interval, per cent")


def _row(solutions: list[_Solution], passed: list[bool | None]) -> list[str]:
    given = [(one.right, said) for one, said in zip(solutions, passed, strict=True) if said is not None]
    return [
        _share(said is not None for said in passed),
        _share(said for right, said in given if right),
        _share(said for right, said in given if not right),
    ]


def _share(found: Iterable[bool]) -> str:
    values = list(found)
    if not values:
        return "-"
    interval = wilson(sum(values), len(values))
    return f"{sum(values)} of {len(values)} ({100 * interval.low:.0f}-{100 * interval.high:.0f})"


def _load(path: Path, limit: int) -> list[_Solution]:
    # A string may hold other line separators than this one.
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    if not lines:
        raise SystemExit(f"{path} holds no solutions; a line has question, solution and correct")
    step = max(1, len(lines) // limit)
    return [_Solution(line["question"], line["solution"], line["correct"]) for line in lines[::step][:limit]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="folder or name; without it, the embedded model")
    parser.add_argument("--gguf")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--solutions", type=Path)
    parser.add_argument("--limit", type=int, default=40, help="most solutions")
    parser.add_argument("--mode", choices=("generate", "logprob"), default="generate")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--rows", type=int, default=32, help="replies that are written at once")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.limit < 1:
        parser.error(f"--limit {arguments.limit}: it must be at least 1")
    return arguments


if __name__ == "__main__":
    main()
