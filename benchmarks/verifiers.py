"""How good and how fast the verifiers are, measured on any labelled file, each figure with its 95 % interval.

    python benchmarks/verifiers.py --solutions solutions.jsonl --equivalence pairs.jsonl --json figures.json

Solutions are lines of ``{"question", "solution", "reference", "correct"}``; lines of GSM8K's own kind,
``{"question", "answer"}``, count as right solutions. Pairs are lines of ``{"prediction", "gold", "equal",
"class"}``. Hostile texts are lines of ``{"text"}``. Without a file, a few solutions made up here are judged.

Shares have Wilson's interval, everything else a bootstrap interval; that solutions of one question are alike
is allowed for in both. If math-verify can be imported, it judges the same pairs.
"""

import argparse
import json
import random
import re
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from _figures import (
    Figure,
    bootstrap,
    clustered_share,
    grouped_auc,
    mean,
    percentile,
    pooled_auc,
    share,
    show,
)
from rich.console import Console
from rich.progress import track

from latentseek_agents.tools import StepVerifier, answers_match, check_steps
from latentseek_agents.tools._steps import calculate
from latentseek_agents.tools.steps import DEFAULT_WEIGHTS, StepReport

Row = dict[str, Any]
console = Console()


def main() -> int:
    """Measure what the command line names, print tables, write the figures as JSON if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--solutions", type=Path, action="append", default=[], help="labelled solutions")
    parser.add_argument("--equivalence", type=Path, action="append", default=[], help="labelled pairs")
    parser.add_argument("--hostile", type=Path, action="append", default=[], help="texts to survive")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--resamples", type=int, default=1000, help="of each bootstrap")
    arguments = parser.parse_args()
    figures: dict[str, list[Figure]] = {}
    files = [*arguments.solutions, *arguments.equivalence, *arguments.hostile]
    if not files:
        console.print("No file was named (see --help); judging solutions made up here.")
        figures["made up"] = measure_solutions(made_up(), arguments.resamples)
    for path in arguments.solutions:
        figures[path.name] = measure_solutions(solutions(read(path), path), arguments.resamples)
    for path in arguments.equivalence:
        pairs = read(path)
        require(pairs, path, ("prediction", "gold", "equal"))
        figures[path.name] = measure_equivalence(pairs, arguments.resamples)
    for path in arguments.hostile:
        texts = read(path)
        require(texts, path, ("text",))
        figures[path.name] = measure_hostile([str(row["text"]) for row in texts], arguments.resamples)
    for name, found in figures.items():
        show(name, found)
    if arguments.json:
        plain = {name: [figure.plain() for figure in found] for name, found in figures.items()}
        arguments.json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    return 0


def read(path: Path) -> list[Row]:
    """The objects of a JSON Lines file."""
    try:
        # Only "\\n" parts lines: other line separators may stand in a JSON string.
        lines = path.read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise SystemExit(f"cannot read {path}: {error}") from None
    if not rows:
        raise SystemExit(f"{path} holds nothing")
    return rows


def require(rows: Sequence[Row], path: Path, fields: Sequence[str]) -> None:
    """Leave with a message if a row lacks one of the fields."""
    for place, row in enumerate(rows, start=1):
        missing = [name for name in fields if not isinstance(row, dict) or row.get(name) is None]
        if missing:
            raise SystemExit(f"{path}, object {place}: there is no {' and no '.join(missing)}")


def solutions(rows: Sequence[Row], path: Path) -> list[Row]:
    """Labelled solutions; GSM8K's own are right, and their annotations are what a reader should find."""
    made = []
    for place, row in enumerate(rows, start=1):
        if isinstance(row, dict) and "solution" not in row and "answer" in row:
            row = {**row, "solution": row["answer"], "reference": row["answer"], "correct": True}  # noqa: PLW2901
        require([row], path, ("question", "solution"))
        label = row.get("correct")
        if label not in (True, False, None):  # 1 and 0 are
            raise SystemExit(f"{path}, object {place}: correct must be true, false or null, but is {label!r}")
        made.append({"reference": None, **row, "correct": None if label is None else bool(label)})
    return made


def made_up() -> list[Row]:
    """Two-step problems, each with a right solution and one that miscalculates."""
    chooser = random.Random(7)  # noqa: S311
    rows = []
    for _ in range(100):
        boxes, pens, given = chooser.randint(3, 40), chooser.randint(13, 90), chooser.randint(1, 30)
        question = f"There are {boxes} boxes of {pens} pens. {given} pens are given away. How many are left?"
        for slip in (0, chooser.choice((-10, -1, 1, 2))):
            total = boxes * pens + slip
            text = f"{boxes} * {pens} = {total} pens. {total} - {given} = {total - given}. "
            text += f"The answer is {total - given}."
            reference = str(boxes * pens - given)
            rows.append({"question": question, "solution": text, "reference": reference, "correct": not slip})
    return rows


def measure_solutions(rows: Sequence[Row], resamples: int) -> list[Figure]:
    """What the step checker reads, refutes and scores."""
    verifier = StepVerifier()
    reports: list[StepReport] = []
    scores: list[float] = []
    passes: list[bool | None] = []
    seconds: list[float] = []
    for row in track(rows, "step checks", console=console, transient=True):
        start = time.perf_counter()
        verdict = verifier(row["question"], plain(row["solution"]))
        seconds.append(time.perf_counter() - start)
        reports.append(check_steps(plain(row["solution"]), row["question"]))
        scores.append(verdict.score)
        passes.append(verdict.passed)
    figures = [Figure("solutions", len(rows)), *extraction(rows)]
    right = [index for index, row in enumerate(rows) if row["correct"] is True]
    wrong = [index for index, row in enumerate(rows) if row["correct"] is False]
    refuted = [report.verdict == "wrong" for report in reports]
    questions = [row["question"] for row in rows]

    def of(name: str, members: Iterable[int], holds: Callable[[int], bool]) -> Figure:
        return clustered_share(name, [(questions[i], holds(i)) for i in members])

    checked = [
        (question, equation.status != "unverifiable")
        for question, report in zip(questions, reports, strict=True)
        for equation in report.equations
    ]
    figures.append(clustered_share("equations that could be checked", checked))
    figures.append(of("false alarms: right solutions refuted", right, lambda i: refuted[i]))
    if wrong:
        known, is_right = [*right, *wrong], frozenset(right).__contains__
        refusals = [i for i in known if refuted[i]]
        figures.append(of("precision of refutation", refusals, lambda i: not is_right(i)))
        figures.append(of("recall of refutation", wrong, lambda i: refuted[i]))
        figures.append(of("right among those that pass", [i for i in known if passes[i] is True], is_right))
        figures.append(of("base rate of right ones", known, is_right))
        figures.extend(separation(rows, scores, reports, resamples))
    figures.append(clustered_share("errors found that were put in", injected(rows)))
    return [*figures, *cost("step check", seconds, resamples)]


def plain(solution: str) -> str:
    """A solution without GSM8K's annotations, which would make its equations trivial to find."""
    parts = solution.split("<<")
    return parts[0] + "".join(part.partition(">>")[2] for part in parts[1:])


def annotations(solution: str) -> list[tuple[str, str]]:
    """The sides of GSM8K's annotations ``<<48/2=24>>``."""
    found = [part.partition(">>")[0].rpartition("=") for part in solution.split("<<")[1:]]
    return [(left, right) for left, sign, right in found if sign]


def extraction(rows: Sequence[Row]) -> list[Figure]:
    """The share of annotated equations whose value the step checker finds in the text beside them."""
    read_right: list[tuple[str, bool]] = []
    for row in rows:
        noted = annotations(row["solution"])
        if not noted:
            continue
        equations = check_steps(plain(row["solution"])).equations
        left_over = [e for e in equations if e.status != "unverifiable" and e.value is not None]
        for left, right in noted:
            wanted = {calculate(left), calculate(right)} - {None}
            match = next((e for e in left_over if close(e.value, wanted, percent="%" in e.text)), None)
            read_right.append((row["question"], match is not None))
            if match is not None:
                left_over.remove(match)
    return [clustered_share("annotated equations read", read_right)] if read_right else []


def close(value: Any, wanted: Iterable[Any], *, percent: bool) -> bool:
    """Whether a value is one of those wanted, as a ``percent`` too, up to the rounding of a decimal."""
    return any(
        abs(float(value) * scale - float(each)) <= 0.005 + 1e-6 * abs(float(each))
        for each in wanted
        for scale in ((1, 100, 0.01) if percent else (1,))
    )


def injected(rows: Sequence[Row]) -> list[tuple[str, bool]]:
    """Whether a wrong result is found, one put into each right solution that has a whole result."""
    found: list[tuple[str, bool]] = []
    chooser = random.Random(3)  # noqa: S311
    for row in rows:
        text = plain(row["solution"])
        places = []
        for equation in check_steps(text).equations if row["correct"] is True else ():
            result = re.search(r"(?<![\d.,])\d[\d,]*\Z", equation.text)
            if equation.status == "ok" and result and not re.match(r"[.,]?\d", text[equation.span[1] :]):
                places.append((equation.span[1], result.group()))
        if not places:
            continue
        end, result_text = chooser.choice(places)
        true = int(result_text.replace(",", ""))
        # 1 - 2 without its sign would be 1 again.
        changed = chooser.choice([abs(true + d) for d in (-2, -1, 1, 2, 10) if abs(true + d) != true])
        broken = f"{text[: end - len(result_text)]}{changed}{text[end:]}"
        found.append((row["question"], check_steps(broken).verdict == "wrong"))
    return found


def separation(
    rows: Sequence[Row], scores: Sequence[float], reports: Sequence[StepReport], resamples: int
) -> list[Figure]:
    """How well scores tell right from wrong: over all rows, within a question, and signal by signal."""
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if row["correct"] is not None:
            groups.setdefault(row["question"], []).append(index)
    labels = [bool(row["correct"]) for row in rows]

    def aucs(name: str, values: Sequence[float], repeats: int) -> list[Figure]:
        cells = [[(values[i], labels[i]) for i in members] for members in groups.values()]
        return [
            bootstrap(f"AUC over all: {name}", cells, pooled_auc, repeats),
            bootstrap(f"AUC within question: {name}", cells, grouped_auc, repeats),
        ]

    figures = aucs("score", scores, resamples)
    few = max(1, resamples // 5)
    figures += aucs("refutation alone", [-float(r.verdict == "wrong") for r in reports], few)
    for signal in DEFAULT_WEIGHTS:
        told = [report.signal(signal) for report in reports]
        known = [value for value in told if value is not None]
        middle = statistics.fmean(known) if known else 0.0
        figures += aucs(f"{signal} alone", [middle if value is None else value for value in told], few)
        less = StepVerifier(weights={**DEFAULT_WEIGHTS, signal: 0.0})
        without = [less(row["question"], plain(row["solution"])).score for row in rows]
        figures += aucs(f"score without {signal}", without, few)
    return figures


def measure_equivalence(rows: Sequence[Row], resamples: int) -> list[Figure]:
    """How often ``answers_match`` is right; math-verify beside it, if it is there."""
    figures = [Figure("pairs", len(rows)), *judged("answers_match", rows, answers_match, resamples)]
    other = math_verify()
    if other is None:
        console.print("math-verify cannot be imported; there is no comparison with it.")
        return figures
    return figures + judged("math-verify", rows, other, resamples)


def judged(name: str, rows: Sequence[Row], match: Callable[[str, str], bool], resamples: int) -> list[Figure]:
    """Accuracy, misses, false accepts and cost of one way to compare answers."""
    match("x + 1", "1 + x")  # what is started on first use is not counted
    said: list[bool] = []
    seconds: list[float] = []
    for row in track(rows, name, console=console, transient=True):
        start = time.perf_counter()
        said.append(match(str(row["prediction"]), str(row["gold"])))
        seconds.append(time.perf_counter() - start)
    pairs = list(zip(said, (bool(row["equal"]) for row in rows), strict=True))
    equal = sum(truth for _, truth in pairs)
    return [
        share(f"{name}: right", sum(a == b for a, b in pairs), len(pairs)),
        share(f"{name}: equal ones missed", sum(b and not a for a, b in pairs), equal),
        share(f"{name}: different ones accepted", sum(a and not b for a, b in pairs), len(pairs) - equal),
        *by_class(name, rows, pairs),
        *cost(name, seconds, resamples),
    ]


def by_class(name: str, rows: Sequence[Row], pairs: Sequence[tuple[bool, bool]]) -> list[Figure]:
    """The classes of pairs in which something was judged wrongly."""
    classes: dict[str, list[bool]] = {}
    for row, (said, truth) in zip(rows, pairs, strict=True):
        classes.setdefault(str(row.get("class", "")), []).append(said == truth)
    return [
        share(f"{name}: right in {kind}", sum(right), len(right))
        for kind, right in sorted(classes.items())
        if kind and not all(right)
    ]


def math_verify() -> Callable[[str, str], bool] | None:
    """Math-verify as its documentation uses it, or None if it cannot be imported."""
    try:
        from math_verify import parse, verify
    except ImportError:
        return None

    def match(prediction: str, gold: str) -> bool:
        try:
            return bool(verify(parse(f"${gold}$"), parse(f"${prediction}$")))
        except Exception:  # a crash is no match
            return False

    return match


def measure_hostile(texts: Sequence[str], resamples: int) -> list[Figure]:
    """How long answers to hostile texts take, how long another thread waits meanwhile, and the memory."""
    memory = peak_memory()
    stalls: list[float] = []
    done = threading.Event()

    def watch() -> None:
        last = time.perf_counter()
        while not done.wait(0.002):
            now = time.perf_counter()
            stalls.append(now - last)
            last = now

    interval = sys.getswitchinterval()
    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, raised = [], 0
    for text in track(texts, "hostile texts", console=console, transient=True):
        start = time.perf_counter()
        try:
            StepVerifier()(text[:500], text)
            answers_match(text, "1")
        except Exception:  # what is counted
            raised += 1
        seconds.append(time.perf_counter() - start)
    done.set()
    watcher.join()
    return [
        share("exceptions", raised, len(texts)),
        *cost("hostile text", seconds, resamples),
        Figure("slowest text", max(seconds) * 1000, unit="ms"),
        Figure("growth of this process's peak memory", peak_memory() - memory, unit="MiB"),
        Figure("longest stall of another thread", max(stalls) * 1000, unit="ms"),
        Figure("99.9 % of its waits are below", percentile(stalls, 0.999) * 1000, unit="ms"),
        Figure("the interpreter's switch interval", interval * 1000, unit="ms"),
    ]


def peak_memory() -> float:
    """The most memory that this process has held, in MiB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def cost(name: str, seconds: Sequence[float], resamples: int) -> list[Figure]:
    """Median and 99th percentile of a duration."""
    cells = [[each * 1000] for each in seconds]
    return [
        bootstrap(f"{name}: median", cells, lambda v: percentile(v, 0.5), resamples, unit="ms"),
        bootstrap(f"{name}: 99th percentile", cells, lambda v: percentile(v, 0.99), resamples, unit="ms"),
        bootstrap(f"{name}: mean", cells, mean, resamples, unit="ms"),
    ]


if __name__ == "__main__":
    sys.exit(main())
