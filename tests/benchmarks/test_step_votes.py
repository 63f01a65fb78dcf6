"""Discrimination within a question and the weighted vote, against numbers worked out by hand."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from step_votes import attempts_of, discrimination, judged, votes

QUESTION = "A box holds 12 pens. How many pens are in 3 boxes, if 4 pens are lost?"
TEXTS = [
    ("3 * 12 = 36, 36 - 4 = 32. The answer is 32.", "32", True),
    ("3 * 12 = 35, 35 - 4 = 31. The answer is 31.", "31", False),
    ("3 * 12 = 37, 37 - 6 = 31. The answer is 31.", "31", False),
]


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Path]:
    attempts = [{"text": text, "answer": answer, "right": right} for text, answer, right in TEXTS]
    row = {"method": "sc:3", "problem": 0, "reference": "32", "attempts": attempts}
    (tmp_path / "attempts.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (tmp_path / "questions.jsonl").write_text(json.dumps({"question": QUESTION}) + "\n", encoding="utf-8")
    return tmp_path / "attempts.jsonl", tmp_path / "questions.jsonl"


def test_figures_of_one_question(run: tuple[Path, Path]) -> None:
    path, questions = run
    found = list(judged(attempts_of(path, "sc:3"), questions))
    figures = {one.name: one.value for one in [*discrimination(found, 10), *votes(found, sizes=(3,))]}
    assert figures["discrimination within a question"] == 1
    assert figures["right samples refuted"] == 0
    assert figures["wrong samples refuted"] == 1
    assert figures["plain vote of 3"] == 0
    assert figures["weighted vote of 3"] == 1
    assert figures["mean gain of the weighted vote"] == 1


def test_a_method_that_the_run_lacks_is_named(run: tuple[Path, Path]) -> None:
    with pytest.raises(SystemExit, match=r"no attempts of sc:5.*sc:3"):
        attempts_of(run[0], "sc:5")
