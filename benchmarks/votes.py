"""Verified votes and the search for agreement, replayed on stored samples with any settings.

    python benchmarks/votes.py settings --data gsm8k_dev.jsonl --problems 0-99 --samples RUN --programs RUN
    python benchmarks/votes.py parts    --data gsm8k_dev.jsonl --problems 100-199 --samples RUN --search RUN

``RUN`` is a folder of ``latentseek eval`` with the methods ``cot`` and ``sc:N`` (``--samples``), and
``program`` (``--programs``; by default the same folder). Every solution is judged anew by the verifiers of
today; nothing is decoded. The samples of a question are taken in several random orders, the same for all
settings; figures are means over them. With one order, that in which they were drawn, McNemar's p is given,
too. A search has the greedy draft first, and pays for the program for the question where it asks for one.
``--search`` names a run with ``agreement:latents``, which is shown beside them as it was run. ``settings``
compares a grid of them, ``parts`` leaves one part out at a time.
"""

import argparse
import functools
import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from _figures import bootstrap, mean
from _stored_runs import outcomes_of, problems_in
from rich.console import Console
from rich.table import Table

from latentseek_agents import LatentSeekConfig, votes
from latentseek_agents.decisions import accepts, choose, majority
from latentseek_agents.evaluation.reports.statistics import mcnemar
from latentseek_agents.evaluation.runs.method_names import MethodName
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import AttemptRecord
from latentseek_agents.testing import scripted_backbone
from latentseek_agents.tools import Combined, ProgramVerifier, StepVerifier, answers_match
from latentseek_agents.verdict import Attempt, Verdict, Verifier, ask, judging_above

Ends = tuple[bool, int, int]
"""Whether the answer is right, the tokens that were generated, and how many attempts."""


@dataclass(frozen=True)
class Judged:
    """One solution with its verdicts.

    Args:
        right: Whether its text states the known answer.
        tokens: Generated for it.
        by: From the name of a verifier to the attempt as it judged it.
    """

    right: bool
    tokens: int
    by: dict[str, Attempt]


@dataclass(frozen=True)
class Question:
    """A question with its stored solutions.

    Args:
        reference: The known answer.
        draft: The greedy solution.
        samples: In the order in which they were drawn.
        program_answer: What the program for the question prints.
        program_tokens: Generated for it.
        searched: How a stored search has ended, if there is one.
    """

    reference: str
    draft: Judged
    samples: Sequence[Judged]
    program_answer: str | None
    program_tokens: int
    searched: Ends | None = None


@dataclass(frozen=True)
class Setting:
    """How a search for agreement decides.

    Args:
        name: For the table.
        config: Weights, stop, and most attempts.
        verifier: Whose score weighs the votes: ``"steps"``, or ``"both"`` with the program for the question.
        computed_vote: Weight of a printed answer that no text states; None: what programs print is ignored.
    """

    name: str
    config: LatentSeekConfig
    verifier: str = "steps"
    computed_vote: float | None = votes.COMPUTED_VOTE


same_answer = functools.cache(answers_match)
SEARCH = "with latents, as run"


def main() -> int:
    """Print the table that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("settings", "parts"))
    parser.add_argument("--data", type=Path, required=True, help="the problems, JSON Lines")
    parser.add_argument("--problems", default="0-99", help="first and last number")
    parser.add_argument("--samples", type=Path, required=True, help="a run with cot and sc:N")
    parser.add_argument("--programs", type=Path, help="a run with program")
    parser.add_argument("--search", type=Path, help="a run with agreement:latents")
    parser.add_argument("--orders", type=int, default=20, help="random orders of the samples")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    arguments = parser.parse_args()
    vars(votes)["answers_match"] = same_answer  # the same few answers are compared a million times
    questions = read_questions(arguments)
    settings = list(grid() if arguments.what == "settings" else parts())
    ways: dict[str, Way] = {one.name: functools.partial(search, one) for one in settings}
    ways |= ways_of_samples(min(len(question.samples) for question in questions))
    if arguments.search:
        ways[SEARCH] = as_run
    rows = [measured(name, way, questions, arguments.orders) for name, way in ways.items()]
    show(rows, len(questions))
    if arguments.what == "parts":
        show_differences(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([row.to_dict() for row in rows], indent=1))
    return 0


def read_questions(arguments: argparse.Namespace) -> list[Question]:
    """The questions of the range that have a draft and samples, judged."""
    problems = problems_in(arguments.data, arguments.problems)
    found: dict[str, dict[int, Any]] = {}
    for folder in (arguments.samples, arguments.programs or arguments.samples):
        for outcome in outcomes_of(folder, problems):
            if outcome.ended_in_error:
                continue
            of_kind = found.setdefault(MethodName(outcome.key.method).kind, {})
            known = of_kind.get(outcome.key.problem)
            if known is None or len(known.attempts) < len(outcome.attempts):
                of_kind[outcome.key.problem] = outcome
    programs = found.get("program", {})
    searches = searched(arguments.search, problems) if arguments.search else {}
    questions = []
    numbers = sorted(found["cot"].keys() & found["sc"].keys())
    if arguments.search and (missing := [number for number in numbers if number not in searches]):
        raise SystemExit(f"{arguments.search}: no search, or one that ended in an error, for {missing}")
    for number in numbers:
        program = programs.get(number)
        code = program.attempts[0].text if program else None
        answer = program.attempts[0].answer if program else None
        judge = functools.partial(judged, problems[number].question, answer, code)
        questions.append(
            Question(
                problems[number].reference,
                judge(found["cot"][number].attempts[0]),
                [judge(one) for one in found["sc"][number].attempts],
                answer,
                program.attempts[0].verifier_tokens if program else 0,
                searches[number] if arguments.search else None,
            )
        )
    return questions


@functools.cache
def verifiers() -> dict[str, Verifier]:
    """By name; the programs are written already, so that no model is asked."""
    program = ProgramVerifier(scripted_backbone([""]))
    return {"steps": StepVerifier(), "both": Combined([program, StepVerifier()], weights=[1, 2])}


def judged(question: str, answer: str | None, code: str | None, record: AttemptRecord) -> Judged:
    """A stored solution with the verdicts of today."""
    value = {"program": code, "answer": answer, "reason": "it prints no answer"}
    config = LatentSeekConfig()
    by = {}
    with judging_above(config.reward_threshold):
        for name, verifier in verifiers().items():
            prepared = [value, None] if name == "both" else None
            verdict: Verdict = ask(verifier, question, record.text, prepared=prepared)
            by[name] = record.as_attempt.judged(verdict, passed=accepts(verdict, config))
    return Judged(record.right is True, record.policy_tokens, by)


def grid() -> Iterator[Setting]:
    """The settings among which to choose."""
    for sharpness, scale, confidence, program_vote, verifier, most in product(
        (1.0, 2.0, 3.0, 5.0), (1.0, 2.0, 3.0), (0.8, 0.9), (0.0, 0.5, 1.0), ("steps", "both"), (3, 5)
    ):
        config = LatentSeekConfig.agreement(
            vote_sharpness=sharpness,
            vote_scale=scale,
            confidence=confidence,
            program_vote=program_vote,
            max_iterations=most,
        )
        name = (
            f"{verifier} exp({sharpness:g} score) x {scale:g}, {confidence}, program {program_vote:g}, {most}"
        )
        yield Setting(name, config, verifier)


def parts() -> Iterator[Setting]:
    """The default, and the default without each of its parts."""
    config = LatentSeekConfig.agreement()
    yield Setting("default", config)
    yield Setting("without the program for the question", config.replace(program_vote=0))
    yield Setting("with the program in the score, too", config, "both")
    yield Setting("without programs in solutions", config, computed_vote=None)
    yield Setting("without weights", config.replace(vote_sharpness=0))
    yield Setting("without the stop", config.replace(vote_scale=1e-3))
    yield Setting("at most 3 attempts after the draft", config.replace(max_iterations=3))
    yield Setting("at most 10 attempts after the draft", config.replace(max_iterations=10))


Way = Callable[[Question, Sequence[Judged]], Ends]
"""From a question and its samples, in the order in which they come, to an answer."""


@dataclass(frozen=True)
class Row:
    """A way to answer, on all questions.

    Args:
        name: For the table.
        ends: For each question, what came out in each order.
        drafts: For each question, whether the greedy solution is right.
    """

    name: str
    ends: Sequence[Sequence[Ends]]
    drafts: Sequence[bool]

    def mean(self, part: int) -> float:
        """Of the right answers (0), the tokens (1) or the attempts (2)."""
        return statistics.fmean(end[part] for one in self.ends for end in one)

    def changed(self, *, draft_is_right: bool) -> float:
        """How many questions end otherwise than their drafts, of those with right or wrong ones."""
        pairs = zip(self.drafts, self.ends, strict=True)
        return math.fsum(
            statistics.fmean(end[0] is not draft_is_right for end in one)
            for draft, one in pairs
            if draft is draft_is_right
        )

    def to_dict(self) -> dict[str, Any]:
        """The figures of the table."""
        return {
            "name": self.name,
            "right": 100 * self.mean(0),
            "tokens": self.mean(1),
            "tokens for a right one": self.mean(1) / self.mean(0) if self.mean(0) else math.inf,
            "attempts": self.mean(2),
            "lost": self.changed(draft_is_right=True),
            "saved": self.changed(draft_is_right=False),
        }


def measured(name: str, way: Way, questions: Sequence[Question], orders: int) -> Row:
    """What a way to answer comes to."""
    ends = [
        [way(question, samples) for samples in shuffled(question, place, orders)]
        for place, question in enumerate(questions)
    ]
    return Row(name, ends, [question.draft.right for question in questions])


def shuffled(question: Question, place: int, orders: int) -> Iterator[Sequence[Judged]]:
    """The samples as they were drawn, then in random orders, the same whenever they are asked for."""
    yield question.samples
    for order in range(1, orders):
        draws = random.Random(f"{place} {order}")  # noqa: S311 - no secret
        yield draws.sample(question.samples, len(question.samples))


def search(setting: Setting, question: Question, samples: Sequence[Judged]) -> Ends:
    """The draft and samples one by one until an answer has won."""
    return decided(setting, question, [question.draft, *samples[: setting.config.max_iterations]], stops=True)


def verified(setting: Setting, count: int, question: Question, samples: Sequence[Judged]) -> Ends:
    """The verified vote of so many samples."""
    return decided(setting, question, samples[:count], stops=False)


def decided(setting: Setting, question: Question, solutions: Sequence[Judged], *, stops: bool) -> Ends:
    """The answer that wins the vote; of the first solutions for which it has won, if the search stops."""
    asks = setting.verifier == "both" or setting.config.program_vote > 0
    known = question.program_answer if asks else None
    vars(votes)["COMPUTED_VOTE"] = setting.computed_vote or 0.0
    made = [one.by[setting.verifier] for one in solutions]
    if setting.computed_vote is None:
        made = [replace(attempt, computed_answer=None) for attempt in made]
    first = 1 if stops else len(made)
    counts = range(first, len(made) + 1)
    choices = ((count, choose(made[:count], setting.config, known)) for count in counts)
    count, choice = next((one for one in choices if one[1].won or one[0] == len(made)), (0, None))
    answer = choice.outcome["answer"] if choice else None
    tokens = sum(one.tokens for one in solutions[:count]) + (question.program_tokens if asks else 0)
    return is_right(answer, question.reference), tokens, count


def greedy(question: Question, _: Sequence[Judged]) -> Ends:
    """The draft alone."""
    return question.draft.right, question.draft.tokens, 1


def searched(folder: Path, problems: dict[int, Problem]) -> dict[int, Ends]:
    """How the searches of a run with ``agreement:latents`` have ended, by the number of the problem."""
    return {
        one.key.problem: (
            one.right is True,
            sum(attempt.policy_tokens + attempt.verifier_tokens for attempt in one.attempts),
            len(one.attempts),
        )
        for one in outcomes_of(folder, problems)
        if one.key.method == "agreement:latents" and not one.ended_in_error
    }


def as_run(question: Question, _: Sequence[Judged]) -> Ends:
    """The stored search."""
    if question.searched is None:
        raise SystemExit("a question has no stored search")
    return question.searched


def program(question: Question, _: Sequence[Judged]) -> Ends:
    """The program for the question alone."""
    return is_right(question.program_answer, question.reference), question.program_tokens, 1


def plain(count: int, _: Question, samples: Sequence[Judged]) -> Ends:
    """The majority of so many samples."""
    drawn = samples[:count]
    counted = majority([one.by["steps"].answer for one in drawn])
    return drawn[counted.index(max(counted))].right, sum(one.tokens for one in drawn), count


@functools.cache
def is_right(answer: str | None, reference: str) -> bool:
    """Whether an answer is the known one."""
    return answer is not None and answers_match(answer, reference)


def ways_of_samples(most: int) -> dict[str, Way]:
    """Greedy, program, and both votes of N samples, by their names."""
    default = Setting("", LatentSeekConfig.agreement())
    steps = Setting("", LatentSeekConfig.agreement(program_vote=0))
    ways: dict[str, Way] = {"greedy": greedy, "program alone": program}
    for count in range(1, most + 1):
        ways[f"plain vote of {count}"] = functools.partial(plain, count)
        ways[f"verified vote of {count}, steps"] = functools.partial(verified, steps, count)
        ways[f"verified vote of {count}, default"] = functools.partial(verified, default, count)
    return ways


def right(ends: Sequence[Ends]) -> float:
    """The share of the orders in which a question is answered right."""
    return statistics.fmean(end[0] for end in ends)


def coin(first: Row, second: Row) -> str:
    """McNemar's exact p, for samples in one order only: a share of orders is no case that it could count."""
    pairs = list(zip(first.ends, second.ends, strict=True))
    if any(len(ends) > 1 for pair in pairs for ends in pair):
        return ""
    only = [sum(one[0][0] and not other[0][0] for one, other in pairs)]
    only.append(sum(other[0][0] and not one[0][0] for one, other in pairs))
    return f"{mcnemar(*only):.2g} ({only[0]} and {only[1]})"


def show(rows: Sequence[Row], count: int) -> None:
    """Print the rows."""
    table = Table(
        "of all", "right %", "tokens", "for a right one", "attempts", "right drafts lost", "wrong ones saved"
    )
    for row in rows:
        values = row.to_dict()
        table.add_row(*(one if isinstance(one, str) else f"{one:.1f}" for one in values.values()))
    console = Console(width=140)
    console.print(f"{count} questions")
    console.print(table)


def show_differences(rows: Sequence[Row]) -> None:
    """Print how the first row differs from the greedy solution and from plain votes, question by question."""
    first, *others = rows
    found = {row.name: row for row in others}
    plains = [row for name, row in found.items() if name.startswith("plain")]
    cheaper = [row for row in plains if row.mean(1) <= first.mean(1)]
    dearer = [row for row in plains if row.mean(1) > first.mean(1)]
    rivals = dict.fromkeys(row.name for row in [found["greedy"], *cheaper[-1:], *dearer[:1], *plains[-1:]])
    rivals |= dict.fromkeys(name for name in found if name == SEARCH)
    table = Table(
        f"{first.name} less", "points", "95 % (bootstrap over questions)", "McNemar's p", "tokens over theirs"
    )
    for name in rivals:
        other = found[name]
        gains = [[100 * (right(a) - right(b))] for a, b in zip(first.ends, other.ends, strict=True)]
        figure = bootstrap(name, gains, mean, 4000)
        interval = f"{figure.low:+.1f} to {figure.high:+.1f}"
        tokens = f"{first.mean(1) / other.mean(1):.2f}"
        table.add_row(name, f"{figure.value:+.1f}", interval, coin(first, other), tokens)
    Console(width=140).print(table)


if __name__ == "__main__":
    sys.exit(main())
