"""Discrimination within a question and the weighted vote, against numbers worked out by hand."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from _stored_runs import problems_in
from step_votes import discrimination, judged, samples_of, votes

from latentseek_agents.evaluation.runs.problems import Problem
from tests.support.made_up_runs import attempt, outcome, write_run

QUESTION = "A box holds 12 pens. How many pens are in 3 boxes, if 4 pens are lost?"
TEXTS = [
    ("3 * 12 = 36, 36 - 4 = 32. The answer is 32.", "32", True),
    ("3 * 12 = 35, 35 - 4 = 31. The answer is 31.", "31", False),
    ("3 * 12 = 37, 37 - 6 = 31. The answer is 31.", "31", False),
]


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, dict[int, Problem]]:
    (tmp_path / "sums.jsonl").write_text(
        json.dumps({"question": QUESTION, "reference": "32"}) + "\n", encoding="utf-8"
    )
    problems = problems_in(tmp_path / "sums.jsonl", "0-9")
    made = [attempt(n, answer, right, text=text) for n, (text, answer, right) in enumerate(TEXTS)]
    ours = replace(outcome("sc:3", 0, made), reference="32", digest=problems[0].digest)
    # Of the same number in another data set.
    other = replace(ours, key=ours.key._replace(dataset="others"), digest="another")
    return write_run(tmp_path / "run", [ours, other]), problems


def test_figures_of_one_question(run: tuple[Path, dict[int, Problem]]) -> None:
    path, problems = run
    found = list(judged(samples_of(path, "sc:3", problems), problems))
    figures = {one.name: one.value for one in [*discrimination(found, 10), *votes(found, sizes=(3,))]}
    assert figures["samples"] == 3
    assert figures["discrimination within a question"] == 1
    assert figures["right samples refuted"] == 0
    assert figures["wrong samples refuted"] == 1
    assert figures["plain vote of 3"] == 0
    assert figures["weighted vote of 3"] == 1
    assert figures["mean gain of the weighted vote"] == 1


def test_a_method_that_the_run_lacks_is_named(run: tuple[Path, dict[int, Problem]]) -> None:
    with pytest.raises(SystemExit, match=r"no attempts of sc:5.*sc:3"):
        samples_of(run[0], "sc:5", run[1])
