"""How often a model gives a verdict on solutions, and how often the verdict is right.

    python benchmarks/self_reward.py --model FOLDER --gguf FILE --solutions labelled.jsonl --limit 40
    python benchmarks/self_reward.py --model FOLDER --gguf FILE --run RUN --data gsm8k_dev.jsonl

A line of the file has ``question``, ``solution`` and ``correct``; ``--limit`` takes lines at equal distances.
``RUN`` is a folder of ``latentseek eval`` with samples: of each question that has right and wrong ones, the
first two of both; ``--out FILE.gz`` prints what a run that has ended has found of them, without a model.
Without arguments the embedded model judges two solutions. The last column is the
*discrimination within a question*: the chance that a right solution scores above a wrong one of the same
question, where a check that gives no verdict counts as undecided. A check is held against whether the
solution's answer is right, which is what ``answer`` asks and the other three only hint at: they may hold of
a wrong one.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from _stored_runs import append_line, outcomes_of, problems_in, read_lines
from rich.console import Console
from rich.progress import track
from rich.table import Table

from latentseek_agents import Backbone
from latentseek_agents.engine._decoding import DecodingOptions
from latentseek_agents.evaluation.reports.statistics import wilson
from latentseek_agents.evaluation.runs.method_names import MethodName
from latentseek_agents.tools import SelfReward
from latentseek_agents.tools._self_reward import STATEMENTS, prompts


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


Truths = dict[str, float | None]
"""From the name of a check to how true its statement is, in [0, 1]; None without a verdict."""

ALL = "all of them"


Judged = tuple[Truths, int]
"""What was found about a solution, and its tokens."""


def main() -> None:
    """Judge the solutions, then print a table."""
    arguments = _arguments()
    solutions = _BUILT_IN
    if arguments.solutions:
        solutions = _load(arguments.solutions, arguments.limit)
    elif arguments.run:
        solutions = _stored(arguments)
    if arguments.out and arguments.out.suffix == ".gz":
        _show(*_of_ended(arguments.out, solutions))
    else:
        _show(solutions, _judge(arguments, solutions))


def _judge(arguments: argparse.Namespace, solutions: list[_Solution]) -> list[Judged]:
    """What the model says of each."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options = DecodingOptions(max_rows=arguments.rows)
    if arguments.model is None:
        backbone = Backbone.embedded(decoding=options)
    else:
        backbone = Backbone.from_pretrained(
            arguments.model, gguf_file=arguments.gguf, dtype=arguments.dtype, decoding=options
        )
    statements = {**prompts.STATEMENTS, **dict(one.split("=", 1) for one in arguments.statement)}
    vars(prompts)["STATEMENTS"] = statements
    asked = arguments.only or list(STATEMENTS)
    # All checks in one call: the prompts share their beginning, which is read once.
    verifier = SelfReward(
        backbone,
        mode=arguments.mode,
        max_new_tokens=arguments.max_new_tokens,
        weights=dict.fromkeys(set(STATEMENTS) - set(asked), 0.0),
    )
    weights = SelfReward(backbone).weights

    known = _judged_before(arguments.out)
    writing = threading.Lock()

    def judge(solution: _Solution) -> Judged:
        place = json.dumps(
            [solution.question, solution.text, arguments.mode, [(name, statements[name]) for name in asked]]
        )
        if place in known:
            return known[place]
        opinions, usage = verifier._review(solution.question, solution.text, time.monotonic())
        truths: Truths = {opinion.name: opinion.truth for opinion in opinions}
        given = {name: truth for name, truth in truths.items() if truth is not None}
        weight = sum(weights[name] for name in given)
        if len(asked) > 1:
            truths[ALL] = (
                sum(weights[name] * truth for name, truth in given.items()) / weight if given else None
            )
        found = truths, usage.verifier_tokens
        if arguments.out:
            with writing:
                append_line(arguments.out, [place, *found])
        return found

    with ThreadPoolExecutor(arguments.rows) as pool:
        return list(track(pool.map(judge, solutions), total=len(solutions), description="solutions"))


def _show(solutions: list[_Solution], judged: list[Judged]) -> None:
    table = Table("", "verdicts given", "right ones passed", "wrong ones passed", "discrimination")
    for name in judged[0][0]:
        truths = [found[name] for found, _ in judged]
        table.add_row(name, *_row(solutions, truths))
    Console(width=120).print(table)
    tokens = sum(count for _, count in judged)
    print(
        f"{len(solutions)} solutions, {tokens / len(judged):.0f} tokens each; in brackets Wilson's 95 % "
        "interval, per cent; a check passes from 0.5 on"
    )


def _of_ended(path: Path, solutions: list[_Solution]) -> tuple[list[_Solution], list[Judged]]:
    """Those of the solutions that a run which has ended has judged, and what it has found."""
    found = {tuple(json.loads(place)[:2]): (truths, tokens) for place, truths, tokens in read_lines(path)}
    judged = [one for one in solutions if (one.question, one.text) in found]
    if not judged:
        raise SystemExit(f"{path} holds none of these solutions; name the --run, --data and --problems of it")
    return judged, [found[one.question, one.text] for one in judged]


def _judged_before(path: Path | None) -> dict[str, Judged]:
    """What a run that was killed has written down."""
    return {place: (truths, tokens) for place, truths, tokens in (read_lines(path) if path else [])}


def _row(solutions: list[_Solution], truths: list[float | None]) -> list[str]:
    judged = zip(solutions, truths, strict=True)
    given = [(one.right, truth >= 0.5) for one, truth in judged if truth is not None]
    return [
        _share(truth is not None for truth in truths),
        _share(said for right, said in given if right),
        _share(said for right, said in given if not right),
        _discrimination(solutions, truths),
    ]


def _discrimination(solutions: list[_Solution], truths: list[float | None]) -> str:
    by_question: dict[str, tuple[list[float], list[float]]] = {}
    for one, truth in zip(solutions, truths, strict=True):
        wrong, right = by_question.setdefault(one.question, ([], []))
        (right if one.right else wrong).append(0.5 if truth is None else truth)
    chances = [
        statistics.fmean((a > b) + (a == b) / 2 for a in right for b in wrong)
        for wrong, right in by_question.values()
        if wrong and right
    ]
    return f"{statistics.fmean(chances):.2f} ({len(chances)} questions)" if chances else "-"


def _stored(arguments: argparse.Namespace) -> list[_Solution]:
    """Of each question with right and wrong samples, the first two of both."""
    problems = problems_in(arguments.data, arguments.problems)
    found: dict[int, list[_Solution]] = {}
    for outcome in outcomes_of(arguments.run, problems):
        if MethodName(outcome.key.method).kind != "sc":
            continue
        number = outcome.key.problem
        question = problems[number].question
        drawn = [_Solution(question, one.text, one.right is True) for one in outcome.attempts]
        chosen = [one for right in (True, False) for one in [d for d in drawn if d.right is right][:2]]
        if len({one.right for one in chosen}) == 2:
            found.setdefault(number, chosen)
    return [one for number in sorted(found) for one in found[number]]


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
    parser.add_argument("--run", type=Path, help="a run with sc:N")
    parser.add_argument("--data", type=Path, help="the run's problems, JSON Lines")
    parser.add_argument("--problems", default="0-99", help="first and last number")
    parser.add_argument(
        "--statement", action="append", default=[], metavar="NAME=TEXT", help="other words for a check"
    )
    parser.add_argument(
        "--only", action="append", choices=tuple(STATEMENTS), help="a check to measure; by default all four"
    )
    parser.add_argument("--out", type=Path, help="JSON Lines; a run that was killed goes on where it was")
    parser.add_argument("--limit", type=int, default=40, help="most solutions")
    parser.add_argument("--mode", choices=("generate", "logprob"), default="generate")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--rows", type=int, default=32, help="replies that are written at once")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if (arguments.run is None) is not (arguments.data is None):
        parser.error("--run and --data go together")
    if arguments.limit < 1:
        parser.error(f"--limit {arguments.limit}: it must be at least 1")
    return arguments


if __name__ == "__main__":
    main()
