"""Replayed votes: whose programs they take, and what is counted."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from votes import Row, coin, read_questions

from latentseek_agents.evaluation.runs.problems import load_problems
from latentseek_agents.evaluation.runs.records import AttemptRecord, Key, Outcome

PENS = '{"question": "A box holds 12 pens. How many pens do 3 boxes hold?", "answer": "36"}\n'
CUPS = '{"question": "A box holds 10 cups. How many cups do 4 boxes hold?", "answer": "40"}\n'


def stored(path: Path, method: str, text: str, answer: str) -> bytes:
    (problem,) = load_problems(str(path))
    attempt = AttemptRecord(
        attempt=0,
        answer=answer,
        right=answer == problem.reference,
        text=text,
        finish_reason="stop",
        policy_tokens=10,
        verifier_tokens=0 if method != "program" else 5,
    )
    key = Key(path.stem, "boxed", method, 0)
    outcome = Outcome(
        key=key,
        run="",
        seed=0,
        reference=problem.reference,
        attempts=(attempt,),
        chosen=0,
        digest=problem.digest,
    )
    return outcome.to_line()


@pytest.mark.parametrize("others_first", [False, True])
def test_what_a_run_holds_of_another_data_set_with_the_same_numbers_is_not_taken(
    tmp_path: Path, others_first: bool
) -> None:
    pens, cups = tmp_path / "pens.jsonl", tmp_path / "cups.jsonl"
    pens.write_text(PENS, encoding="utf-8")
    cups.write_text(CUPS, encoding="utf-8")
    own = [
        stored(pens, "cot", "3 * 12 = 36 \\boxed{36}", "36"),
        stored(pens, "sc:1", "3 + 12 = 15 \\boxed{15}", "15"),
        stored(pens, "program", "print(3 * 12)", "36"),
        stored(pens, "agreement:latents", "\\boxed{36}", "36"),
    ]
    others = [
        stored(cups, "program", "print(4 * 10)", "40"),
        stored(cups, "cot", "\\boxed{41}", "41"),
        stored(cups, "agreement:latents", "\\boxed{41}", "41"),
    ]
    lines = [*others, *own] if others_first else [*own, *others]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"run": "", "schema": 2}', encoding="utf-8")
    (tmp_path / "run" / "attempts.jsonl").write_bytes(b"".join(lines))
    arguments = Namespace(data=pens, problems="0-0", samples=tmp_path / "run", programs=None, search=None)
    arguments.search = tmp_path / "run"
    (question,) = read_questions(arguments)
    assert question.searched == (True, 10, 1)
    assert (question.program_answer, question.program_tokens) == ("36", 5)
    assert (question.draft.right, [one.right for one in question.samples]) == (True, [False])

    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "run.json").write_text('{"run": "", "schema": 2}', encoding="utf-8")
    (tmp_path / "unfinished" / "attempts.jsonl").write_bytes(b"".join(own[:3]))
    arguments.search = tmp_path / "unfinished"
    with pytest.raises(SystemExit, match=r"no search, or one that ended in an error, for \[0\]"):
        read_questions(arguments)


def test_mcnemar_counts_the_questions_that_divide_two_ways() -> None:
    def row(*rights: bool) -> Row:
        return Row("", [[(right, 1, 1)] for right in rights], [True] * len(rights))

    first, second = row(*[True] * 6, False, True), row(*[False] * 6, False, True)
    assert coin(first, second) == "0.031 (6 and 0)"
    twice = Row("", [[(True, 1, 1), (False, 1, 1)]], [True])
    assert coin(twice, twice) == "", "the mean of two orders is no question that was right or wrong"
