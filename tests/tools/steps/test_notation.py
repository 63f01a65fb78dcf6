"""Notation that others met in the wild: what is read, what is refuted, and what stays in doubt."""

import json
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents.tools._maths.words import units_in
from latentseek_agents.tools._steps.provenance import given_numbers
from latentseek_agents.tools._steps.tokens import fold
from latentseek_agents.tools.steps import StepVerifier, check_steps


def cases(name: str) -> list[dict[str, Any]]:
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


@pytest.mark.parametrize(
    "case", cases("notation_cases.jsonl"), ids=lambda case: f"{case['kind']}: {case['text']}"
)
def test_notation(case: dict[str, Any]) -> None:
    report = check_steps(case["text"])
    assert report.verdict == case["verdict"], report.equations


@pytest.mark.parametrize("case", cases("grounding_cases.jsonl"), ids=lambda case: case["question"])
def test_numbers_have_a_source(case: dict[str, Any]) -> None:
    verdict = StepVerifier()(case["question"], case["solution"])
    assert verdict.passed == case["passed"], verdict.reason


def test_a_list_with_blanks_stays_a_list() -> None:
    for text in ("120 150 180", "12 345 678", "5 6 7", "100 200 300"):
        assert fold(text) == text
    numbers, _ = given_numbers("Scores: " + " ".join(str(score) for score in range(100, 120)))
    assert [sorted(values) for values in numbers] == [[score] for score in range(100, 120)]


@pytest.mark.parametrize(
    ("larger", "smaller", "count"),
    [
        ("hours", "minutes", 60),
        ("lb", "oz", 16),
        ("minutes", "hours", None),
        ("years", "weeks", None),
        ("boxes", "pens", None),
        ("hours", "km", None),
        ("yards", "yards", None),
    ],
)
def test_how_many_make_one(larger: str, smaller: str, count: int | None) -> None:
    assert units_in(larger, smaller) == count
