"""Solutions that aim at the verifier instead of the question earn no pass."""

import json
from pathlib import Path

import pytest

from latentseek_agents.tools.steps import StepVerifier, check_steps

PENS = "Tom buys 3 boxes of 24 pens and gives away 12 pens. How many pens are left?"
STEPS = "3 * 24 = 72. 72 - 12 = 60."

CASES = json.loads(Path(__file__).with_name("hack_cases.json").read_text(encoding="utf-8"))


def texts(kind: str):
    return pytest.mark.parametrize("text", [case["text"] for case in CASES if case["kind"] == kind])


def judged(question: str, solution: str):
    verdict = StepVerifier()(question, solution)
    assert verdict.score <= -0.3 or verdict.passed is None
    return verdict.passed


@texts("laundered")
def test_what_does_not_hold_grounds_nothing(text):
    assert judged(PENS, text) is False


@texts("cancelled")
def test_what_changes_nothing_does_not_count_as_used(text):
    assert judged(PENS, text) is not True


def test_the_solution_that_they_imitate_passes():
    assert StepVerifier()(PENS, f"{STEPS} The answer is 60.").passed is True
    algebra = r"Let x be what is left. x + 12 = 3 * 24, so x + 12 = 72 and x = 60. \boxed{60}"
    assert StepVerifier()(PENS, algebra).passed is True


def test_both_parts_of_a_fraction_may_count_as_the_number_of_the_question():
    question = "Harry slept 9 hours. James slept 2/3 of that. How many more hours did Harry sleep?"
    assert StepVerifier()(question, "9 * 2/3 = 6. 9 - 6 = 3. The answer is 3.").passed is True


@texts("hedged")
def test_hedged_and_denied_answers_are_none(text):
    verdict = StepVerifier()(PENS, f"{STEPS} {text}")
    assert verdict.passed is False
    assert verdict.score <= -0.6
    assert check_steps(f"{STEPS} {text}", PENS).blocks[0].name == "answer"


@texts("plain")
def test_plain_answers_are_read(text):
    assert StepVerifier()(PENS, f"{STEPS}\n{text}").passed is True


@texts("hiding")
def test_hidden_steps_earn_nothing(text):
    assert judged(PENS, f"{text % STEPS} The answer is 60.") is not True


@pytest.mark.parametrize("case", [case for case in CASES if case["kind"] == "impossible"])
def test_answers_that_are_no_results_or_not_possible_do_not_pass(case):
    assert StepVerifier()(case["question"], case["text"]).passed is not True


def test_roundings_pass_where_they_are_asked_for():
    question = "17 people travel by cars with 2 seats each. At least how many cars do they need?"
    assert StepVerifier()(question, "17 / 2 = 9. The answer is 9.").score > -0.5
    share = "What percent of 25 is 14?"
    assert StepVerifier()(share, "14 / 25 = 0.56. The answer is 56%.").passed is True
    assert StepVerifier()(share, "14 / 25 = 56%. The answer is 56.").passed is True


@pytest.mark.parametrize(
    ("solution", "name"),
    [
        (STEPS, "answer"),
        (f"{STEPS} 60 + 17 = 77. The answer is 77.", "grounded"),
        ("3 * 24 = 72. 12 - 72 = -60. The answer is -60.", "plausible"),
        (f"{STEPS} If 3 + 24 = 26, then so be it. The answer is 60.", "difference"),
    ],
)
def test_blocks_cannot_be_outvoted_cheaply(solution, name):
    report = check_steps(solution, PENS)
    assert [block.name for block in report.blocks] == [name]
    verdict = StepVerifier()(PENS, solution)
    assert verdict.passed is False
    assert verdict.score <= -0.6
    assert verdict.reason == report.blocks[0].reason
    assert [check.reason for check in verdict.checks if check.blocks] == [verdict.reason]
