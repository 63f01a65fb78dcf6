"""Boxes without braces."""

import json
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents.tools._answers.extraction import stated_answers
from latentseek_agents.tools.answers import extract_answer

LINES = Path(__file__).with_name("box_cases.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("case", [json.loads(line) for line in LINES], ids=lambda case: case["text"])
def test_what_a_box_without_braces_holds(case: dict[str, Any]) -> None:
    assert extract_answer(case["text"]) == case["answer"]
    assert case["answer"] is None or case["answer"] in stated_answers(case["text"])


def test_many_boxes_take_linear_time() -> None:
    assert extract_answer(r"\boxed{" * 10_000) is None
    assert extract_answer(r"\boxed\frac{" * 5_000) is None
    assert extract_answer(r"\boxed(" * 10_000) is not None
