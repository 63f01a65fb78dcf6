"""What can be read in two ways is not refuted if one of them holds; the plainly wrong beside it still is."""

import json
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents.tools.steps import StepVerifier, check_steps

_LINES = Path(__file__).with_name("misread_cases.jsonl").read_text(encoding="utf-8").split("\n")
CASES = [json.loads(line) for line in _LINES if line]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}: {case['text'][:40]}")
def test_only_what_is_certain_is_refuted(case: dict[str, Any]) -> None:
    report = check_steps(case["text"], case.get("question"))
    found = [(equation.text, equation.status, equation.reason) for equation in report.equations]
    assert (report.verdict == "wrong") == case["refuted"], found
    verdict = StepVerifier()(case.get("question", ""), case["text"])
    assert any(check.refuted for check in verdict.checks) == case["refuted"]
