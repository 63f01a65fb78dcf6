"""Refinement aimed at the first refuted step, beside refinement that is not: right answers and tokens.

    python benchmarks/aim.py --out aim-smollm2.jsonl
    python benchmarks/aim.py --out aim-0.5b.jsonl --model FOLDER --gguf FILE --data gsm8k_dev.jsonl

Without ``--data`` the questions are word problems of one and two steps, generated from ``--seed`` with
their answers; ``--write FILE`` writes them as JSON Lines and ends. Every question is drafted once, and both
searches go on from that draft: step checks alone, no known answers. Word problems go on also where nothing
can be judged (``refine_unjudged``), questions of a data set do not. A run that was killed goes on where it
was; one that has ended may be compressed (``.gz``), and is printed.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _stored_runs import append_line, read_lines

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.evaluation.reports.statistics import mcnemar
from latentseek_agents.loop import Search, SearchState, draft, run
from latentseek_agents.tools import StepVerifier, answers_match
from latentseek_agents.verdict import Usage

AIMS = ("none", "first_error")

_NAMES = ("Ada", "Bruno", "Carla", "Deniz", "Emil", "Farah", "Greta", "Hugo", "Ines", "Jonas", "Kim", "Lena")
_THINGS = ("apples", "stamps", "marbles", "books", "pens", "tickets", "shells", "cards", "candles", "coins")


@dataclass(frozen=True)
class Problem:
    """A question with its answer, and how many steps lead there."""

    question: str
    reference: str
    steps: int


def _one_step(draw: random.Random) -> list[tuple[str, int]]:
    name, other = draw.sample(_NAMES, 2)
    things = draw.choice(_THINGS)
    a, b, many, few = draw.randint(24, 98), draw.randint(13, 79), draw.randint(12, 48), draw.randint(3, 9)
    most = a + b
    return [
        (f"{name} has {a} {things} and finds {b} more. How many {things} does {name} have now?", a + b),
        (f"{name} has {most} {things} and gives {b} to {other}. How many {things} are left?", a),
        (f"There are {few} boxes with {many} {things} each. How many {things} are there?", few * many),
        (f"{name} shares {few * many} {things} among {few} friends. How many does each get?", many),
        (f"A ticket costs {many} dollars. What do {few} tickets cost?", few * many),
        (f"{name} is {a} cm taller than a table of {b} cm. How tall is {name} in cm?", a + b),
    ]


def _two_steps(draw: random.Random) -> list[tuple[str, int]]:
    name, other = draw.sample(_NAMES, 2)
    things = draw.choice(_THINGS)
    a, b, many, few = draw.randint(24, 98), draw.randint(13, 79), draw.randint(12, 38), draw.randint(3, 9)
    extra = draw.randint(4, 29)
    return [
        (
            f"{name} buys {few} packs of {many} {things} and gets {extra} for free. "
            f"How many {things} does {name} have?",
            few * many + extra,
        ),
        (
            f"{name} has {few} bags with {many} {things} each and loses {few + extra % 9} of them. "
            f"How many {things} are left?",
            few * many - few - extra % 9,
        ),
        (
            f"{name} has {a} {things}, and {other} has {b} more than {name}. "
            f"How many {things} do they have together?",
            2 * a + b,
        ),
        (
            f"A shop sells {a} {things} in the morning and {b} in the afternoon, at {few} dollars each. "
            "How many dollars does it take in?",
            (a + b) * few,
        ),
        (
            f"{name} reads {many} pages a day for {few} days. The book has {few * many + extra} pages. "
            "How many pages are left?",
            extra,
        ),
        (
            f"{few} friends share {few * many} {things} equally, and {name}, one of them, then buys {extra} "
            f"more. How many {things} does {name} have?",
            many + extra,
        ),
    ]


def problems(count: int, seed: int) -> list[Problem]:
    """Word problems of one and two steps in turn, each with numbers of its own."""
    made = []
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")  # noqa: S311
        kinds = (_two_steps if number % 2 else _one_step)(draw)
        question, answer = kinds[number // 2 % len(kinds)]
        made.append(Problem(question, str(answer), 1 + number % 2))
    return made


def prompt(question: str) -> list[dict[str, str]]:
    """The question behind a solved example with equations, in the words of ``latentseek demo``."""
    system = (
        "Solve the problem step by step. Write every calculation as an equation, such as 3 * 4 = 12. "
        "End with the sentence: The answer is [number]."
    )
    example = "Ben has 2 bags with 9 nuts each and eats 4 nuts. How many nuts are left?"
    solved = "2 * 9 = 18 nuts in all. 18 - 4 = 14 nuts are left. The answer is 14."
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": example},
        {"role": "assistant", "content": solved},
        {"role": "user", "content": question},
    ]


def _search(search: Search, state: SearchState, reference: str) -> dict[str, Any]:
    """What a search makes of a draft: the answer, whether it is right, and its tokens behind the draft."""
    before = Usage.from_dict(state["usage"])
    for made in run(search, state):
        state = made
    usage = Usage.from_dict(state["usage"])
    attempts = state["iterations"]
    return {
        "answer": state["answer"],
        "right": _is_right(state["answer"], reference),
        "passed": state["passed"],
        "tokens": usage.policy_tokens - before.policy_tokens,
        "seconds": usage.seconds - before.seconds,
        "refuted_draft": any(check["refuted"] for check in attempts[0]["checks"]),
        "aimed": [one["aimed_at"] for one in attempts if one["aimed_at"]],
        "texts": [one["text"] for one in attempts],
    }


def _is_right(answer: str | None, reference: str) -> bool:
    return answer is not None and answers_match(answer, reference)


def _solve(backbone: Backbone, config: LatentSeekConfig, number: int, problem: Problem) -> dict[str, Any]:
    searches = {aim: Search(backbone, StepVerifier(), config.replace(aim=aim)) for aim in AIMS}
    begun = draft(searches["none"], problem.question)
    (first,) = begun["samples"]
    made = {aim: _search(search, begun, problem.reference) for aim, search in searches.items()}
    drafted = {
        "draft_right": _is_right(first["answer"], problem.reference),
        "draft_tokens": len(first["token_ids"]),
    }
    return {"number": number, **asdict(problem), **drafted, **made}


def _print(rows: Sequence[dict[str, Any]]) -> None:
    print(f"{len(rows)} questions, {_count(rows, lambda row: row['draft_right'])} drafts right")
    refuted = [row for row in rows if row["none"]["refuted_draft"]]
    for name, part in (("all", rows), ("refuted drafts", refuted)):
        drafts = sum(row["draft_tokens"] for row in part)
        print(f"{name}: {len(part)} questions, drafts of {drafts} tokens")
        for aim in AIMS:
            right = sum(bool(row[aim]["right"]) for row in part)
            passes = [row[aim] for row in part if row[aim]["passed"] is True]
            passed = f"{len(passes)} passed, {sum(one['right'] for one in passes)} of them right"
            lost = sum(row["draft_right"] and not row[aim]["right"] for row in part)
            tokens = sum(row[aim]["tokens"] for row in part)
            found = f"{right} right ({lost} right drafts lost), {passed}"
            print(f"  aim={aim}: {found}, {tokens} tokens behind the drafts")
        print(f"  {compared(part)}")
    shots = [shot for row in rows for shot in row["first_error"]["aimed"]]
    if shots:
        reached = sum(shot["reached"] for shot in shots)
        steps = sorted(shot["steps"] for shot in shots)
        print(
            f"{len(shots)} aimed attempts, {reached} values reached, steps: median {steps[len(steps) // 2]}"
        )
        print(f"most steps: {steps[-1]}")


def compared(rows: Sequence[dict[str, Any]]) -> str:
    """On how many questions either search alone is right, and whether that could be chance."""
    without, aimed = AIMS
    more = _count(rows, lambda row: row[aimed]["right"] and not row[without]["right"])
    fewer = _count(rows, lambda row: row[without]["right"] and not row[aimed]["right"])
    return f"aimed alone right on {more}, not aimed alone on {fewer}: McNemar's p {mcnemar(more, fewer):.2g}"


def _count(rows: Sequence[dict[str, Any]], holds: Callable[[dict[str, Any]], bool]) -> int:
    return sum(map(holds, rows))


def main() -> None:
    """Generate or read the questions, solve those that are not there yet, and print the figures."""
    arguments = _arguments()
    if arguments.data:
        with open(arguments.data, encoding="utf-8") as lines:
            read = [json.loads(line) for line in lines][: arguments.limit]
        asked = [Problem(row["question"], row["answer"].rpartition("####")[2].strip(), 0) for row in read]
    else:
        asked = problems(arguments.limit, arguments.seed)
    if arguments.write:
        arguments.write.write_text("".join(f"{json.dumps(asdict(problem))}\n" for problem in asked))
        return
    out: Path = arguments.out
    rows = read_lines(out)
    known = {row["number"] for row in rows}
    left = [(number, problem) for number, problem in enumerate(asked) if number not in known]
    if left:
        if arguments.model:
            backbone = Backbone.from_pretrained(
                arguments.model, gguf_file=arguments.gguf, dtype=arguments.dtype
            )
        else:
            backbone = Backbone.embedded(dtype=arguments.dtype)
        config = LatentSeekConfig(
            prompt="boxed" if arguments.data else prompt,
            latents="consistent",
            learning_rate=arguments.learning_rate,
            fraction=arguments.fraction,
            max_iterations=3,
            max_new_tokens=400 if arguments.data else 100,
            refine_unjudged=not arguments.data,
        )
        with ThreadPoolExecutor(arguments.batch) as pool:
            jobs = [pool.submit(_solve, backbone, config, number, problem) for number, problem in left]
            for job in jobs:
                rows.append(job.result())
                append_line(out, rows[-1])
    _print(sorted(rows, key=lambda row: row["number"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("aim.jsonl"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--gguf")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--learning-rate", type=float, default=0.03)
    parser.add_argument("--fraction", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()
