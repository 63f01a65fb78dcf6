"""What is right where a step is refuted: which characters are wrong, and what should stand there."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents.tools.steps import StepVerifier, check_steps
from latentseek_agents.verdict import Attempt, Check, Correction, Verdict

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "corrections.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=[case["text"][:40] for case in CASES])
def test_the_first_wrong_step_is_corrected(case: dict[str, Any]):
    refutations = check_steps(case["text"]).refutations
    assert bool(refutations) is case.get("refuted", True)
    if refutations:
        correction = refutations[0].correction
        assert (correction and correction.applied_to(case["text"])) == case["corrected"]


numbers = st.integers(2, 999)


@given(
    numbers, numbers, st.sampled_from("+*-"), st.integers(1, 50), st.sampled_from(["", " pens", ".", " $"])
)
def test_what_is_corrected_holds(a: int, b: int, operator: str, off: int, behind: str):
    true = {"+": a + b, "*": a * b, "-": a - b}[operator]
    text = f"So {a} {operator} {b} = {true + off}{behind}\nThe answer is {true + off}."
    for wrong in check_steps(text).refutations:
        assert wrong.correction is not None
        mended = wrong.correction.applied_to(text)
        assert check_steps(mended).refutations == []
        assert mended.startswith(f"So {a} {operator} {b} = {true}{behind}\n")


@given(st.text("0123456789+-*/= .,$%\\{}()[]\n`#print½−", max_size=80))
def test_a_correction_names_what_stands_there(text: str):
    for wrong in check_steps(text).refutations:
        if wrong.correction is not None:
            assert wrong.correction.fits(text)


def test_the_verdict_carries_it_as_plain_data():
    solution = "48 + 24 = 73. 73 + 1 = 75. The answer is 75."
    verdict = StepVerifier()("How many?", solution)
    first, second = (check for check in verdict.checks if check.refuted)
    assert first.correction == Correction(10, 12, "73", "72")
    assert second.correction == Correction(23, 25, "75", "74")
    stored = json.loads(json.dumps(verdict.to_dict()))
    assert Verdict.from_dict(stored) == verdict
    attempt = Attempt(0, [], [], [], solution, "stop").judged(verdict, passed=False)
    assert Attempt.from_dict(json.loads(json.dumps(attempt.to_dict()))).correction == first.correction
    assert check_steps(solution).to_dict()["equations"][0]["correction"] == {
        "start": 10, "end": 12, "stated": "73", "value": "72",
    }  # fmt: skip


def test_the_first_refuted_check_decides():
    unknown = Check("a proof of another kind", False, refuted=True)
    known = Check("equation", False, refuted=True, correction=Correction(0, 1, "5", "4"))
    for checks, expected in (([unknown, known], None), ([known, unknown], known.correction), ([], None)):
        attempt = Attempt(0, [], [], [], "5", "stop").judged(Verdict(-1, False, "", checks), passed=False)
        assert attempt.correction == expected


def test_checks_of_earlier_versions_have_none():
    values = Check("equation", False).to_dict()
    del values["correction"]
    assert Check.from_dict(values).correction is None


@pytest.mark.parametrize(
    ("start", "end", "stated", "value"),
    [
        (-1, 1, "", "4"),
        (0, 0, "", "4"),
        (2, 1, "", "4"),
        (0, 9, "5 = 5", "4"),
        (0, 1, "6", "4"),
        (0, 1, "5", "5"),
    ],
)
def test_what_does_not_stand_there_does_not_fit(start: int, end: int, stated: str, value: str):
    assert not Correction(start, end, stated, value).fits("5 = 5")
