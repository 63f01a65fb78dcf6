"""What the step checks are worth among samples of one question, measured on the stored samples of runs.

    python benchmarks/step_votes.py RUN QUESTIONS.jsonl [--method sc:11] [--json figures.json]

``RUN`` is a folder of ``latentseek eval``; its samples of ``QUESTIONS.jsonl`` (boxed prompt) are taken. Each
attempt's text is judged anew, so the figures are those of the code as it is. Printed are the discrimination
within a question (the chance that a right sample scores above a wrong one of the same question; ties count
half), what is refuted of the right and of the wrong samples, the right ones among those that pass, and how
often the vote of ``latentseek_agents.votes`` is right with and without the scores, for several numbers of
samples. Below the full number it is the mean over 20 random subsets, the same for every version of the code.
``--refuted`` prints each refuted right sample, ``--open`` each equation with letters that was left open.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from _figures import Figure, bootstrap, clustered_share, grouped_auc, mean, percentile, show
from _stored_runs import outcomes_of, problems_in
from rich.console import Console
from rich.progress import track

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import Outcome
from latentseek_agents.tools import StepVerifier, answers_match, check_steps
from latentseek_agents.verdict import Attempt, Verdict
from latentseek_agents.votes import can_be_stated, count_votes

SIZES = (3, 5, 7, 11)
SUBSETS = 20
console = Console()


@dataclass
class Sample:
    """One stored attempt with its verdict.

    Args:
        text: The solution.
        answer: The answer that it states, if any.
        right: Whether that is the known answer.
        verdict: What the step checks say of it.
        seconds: The processor time that they took, without that of other processes.
    """

    text: str
    answer: str | None
    right: bool
    verdict: Verdict
    seconds: float

    @property
    def refuted(self) -> bool:
        """Whether a step or a claim about a program is refuted."""
        return any(check.refuted for check in self.verdict.checks)


@dataclass
class Question:
    """One question with its samples in their order."""

    text: str
    reference: str
    samples: list[Sample] = field(default_factory=list)


def main() -> int:
    """Measure the runs that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a folder of a run")
    parser.add_argument("questions", type=Path, help="the questions, one a line")
    parser.add_argument("--problems", default="0-999999", help="first-last, such as 0-99")
    parser.add_argument("--method", default="sc:11", help="whose attempts are judged")
    parser.add_argument("--resamples", type=int, default=1000, help="of each bootstrap")
    parser.add_argument("--refuted", action="store_true", help="print each refuted right sample")
    parser.add_argument("--open", action="store_true", help="print the equations that were left open")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    problems = problems_in(arguments.questions, arguments.problems)
    questions = list(judged(samples_of(arguments.run, arguments.method, problems), problems))
    figures = [*discrimination(questions, arguments.resamples), *votes(questions)]
    show(f"{arguments.run}, {arguments.method}", figures)
    if arguments.refuted:
        show_refuted(questions)
    if arguments.open:
        show_open(questions)
    if arguments.json:
        plain = [figure.plain() for figure in figures]
        arguments.json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    return 0


def samples_of(run: Path, method: str, problems: dict[int, Problem]) -> list[Outcome]:
    """The outcomes of one method on these problems, by their numbers."""
    outcomes = list(outcomes_of(run, problems))
    chosen = [one for one in outcomes if one.key.method == method]
    if not chosen:
        methods = sorted({one.key.method for one in outcomes})
        raise SystemExit(f"{run} holds no attempts of {method} at these questions; it has {methods}")
    return sorted(chosen, key=lambda one: one.key.problem)


def judged(outcomes: Sequence[Outcome], problems: dict[int, Problem]) -> Iterator[Question]:
    """The questions of a run with their samples, each judged anew."""
    verifier = StepVerifier()
    for outcome in track(outcomes, "step checks", console=console, transient=True):
        question = Question(problems[outcome.key.problem].question, outcome.reference)
        for attempt in outcome.attempts:
            start = time.thread_time()
            verdict = verifier(question.text, attempt.text)
            seconds = time.thread_time() - start
            right = attempt.right is True
            question.samples.append(Sample(attempt.text, attempt.answer, right, verdict, seconds))
        yield question


def discrimination(questions: Sequence[Question], resamples: int) -> list[Figure]:
    """How well the scores tell right from wrong, what is refuted, and the cost."""
    samples = [(question.text, sample) for question in questions for sample in question.samples]
    cells = [[(sample.verdict.score, sample.right) for sample in question.samples] for question in questions]
    alone = [[(-float(sample.refuted), sample.right) for sample in q.samples] for q in questions]
    right = [(text, sample) for text, sample in samples if sample.right]
    wrong = [(text, sample) for text, sample in samples if not sample.right]
    passing = [(text, sample.right) for text, sample in samples if sample.verdict.passed]
    milliseconds = [1000 * sample.seconds for _, sample in samples]
    return [
        Figure("samples", len(samples)),
        bootstrap("discrimination within a question", cells, grouped_auc, resamples),
        bootstrap("the same by refutation alone", alone, grouped_auc, resamples),
        clustered_share("right samples refuted", [(text, sample.refuted) for text, sample in right]),
        clustered_share("wrong samples refuted", [(text, sample.refuted) for text, sample in wrong]),
        clustered_share("right among those that pass", passing),
        clustered_share("not judged", [(text, sample.verdict.passed is None) for text, sample in samples]),
        Figure("processor time of one check: median", percentile(milliseconds, 0.5), unit="ms"),
        Figure("processor time of one check: 99th percentile", percentile(milliseconds, 0.99), unit="ms"),
    ]


def votes(questions: Sequence[Question], sizes: Sequence[int] = SIZES) -> list[Figure]:
    """How often the plain and the weighted vote are right."""
    figures = []
    tallies = [Tally(question) for question in questions]
    gains = []
    fewest = min(len(question.samples) for question in questions)
    for size in [size for size in sizes if size <= fewest]:
        shares = {
            weighted: mean([tally.share_right(size, weighted=weighted) for tally in tallies])
            for weighted in (False, True)
        }
        gains.append(shares[True] - shares[False])
        figures.append(Figure(f"plain vote of {size}", shares[False], unit="share"))
        figures.append(Figure(f"weighted vote of {size}", shares[True], unit="share"))
    figures.append(Figure("mean gain of the weighted vote", mean(gains), unit="share"))
    return figures


class Tally:
    """The votes on one question, with its answers numbered: equal ones have one number."""

    def __init__(self, question: Question) -> None:
        self.known = [question.reference]
        self.weighted = [self.attempt(sample, judged=True) for sample in question.samples]
        self.plain = [self.attempt(sample, judged=False) for sample in question.samples]

    def attempt(self, sample: Sample, *, judged: bool) -> Attempt:
        """A sample as an attempt of a search, with the number of its answer as answer."""
        bare = Attempt(0, [], [], [], sample.text, "stop", answer=self.number(sample.answer))
        if not judged:
            return bare
        computed = sample.verdict.computed_answer
        stated = self.number(computed) if computed is not None and can_be_stated(computed) else None
        return bare.judged(replace(sample.verdict, computed_answer=stated), passed=sample.verdict.passed)

    def number(self, answer: str | None) -> str | None:
        """The number of an answer; 0 is that of the known one."""
        if answer is None:
            return None
        place = next((i for i, known in enumerate(self.known) if answers_match(answer, known)), None)
        if place is None:
            place = len(self.known)
            self.known.append(answer)
        return str(place)

    def share_right(self, size: int, *, weighted: bool) -> float:
        """How often a vote of so many samples is right, over random subsets."""
        attempts = self.weighted if weighted else self.plain
        chooser = random.Random(size)  # noqa: S311
        subsets = [sorted(chooser.sample(range(len(attempts)), size)) for _ in range(SUBSETS)]
        if size >= len(attempts):
            subsets = [list(range(len(attempts)))]
        return mean([self.is_right([attempts[place] for place in subset]) for subset in subsets])

    def is_right(self, attempts: Sequence[Attempt]) -> bool:
        """Whether the answer that wins is the known one."""
        config = LatentSeekConfig(proposals="samples")
        candidates = count_votes(attempts, config)
        return bool(candidates) and candidates[0].answer == "0"


def show_refuted(questions: Sequence[Question]) -> None:
    """Print what is refuted of right samples, so that it can be looked at."""
    for number, question in enumerate(questions):
        for place, sample in enumerate(question.samples):
            if sample.right and sample.refuted:
                console.print(f"{number}.{place}: {sample.verdict.reason}", markup=False)


def show_open(questions: Sequence[Question]) -> None:
    """Print the equations that were left open, of right and of wrong samples."""
    for number, question in enumerate(questions):
        for place, sample in enumerate(question.samples):
            for equation in check_steps(sample.text, question.text).equations:
                if equation.status == "unverifiable":
                    label = "right" if sample.right else "wrong"
                    line = f"{number}.{place} {label}: {equation.text} ({equation.reason})"
                    console.print(line, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
