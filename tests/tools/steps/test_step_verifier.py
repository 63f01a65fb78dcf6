"""What the verdict makes of checked steps: scores, passes, refusals."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.errors import ConfigError
from latentseek_agents.tools.steps import DEFAULT_WEIGHTS, NEUTRAL_SCORE, StepVerifier
from latentseek_agents.verdict import Verifier, judging_above

QUESTION = "A baker makes 30 rolls in the morning and half as many at noon. How many rolls does he make?"
RIGHT = "At noon he makes 30 / 2 = 15 rolls.\nIn all he makes 30 + 15 = 45 rolls.\nThe answer is 45."


def test_a_sound_solution_passes():
    verdict = StepVerifier()(QUESTION, RIGHT)
    assert verdict.passed is True
    assert verdict.score == 0
    assert [check.name for check in verdict.checks] == [
        "arithmetic", "linked", "coverage", "consumed", "grounded", "plausible"
    ]  # fmt: skip


def test_algebra_that_leads_to_the_answer_passes():
    verdict = StepVerifier()("If 4x + 5 = 25, what is x?", r"4x + 5 = 25, 4x = 20, x = 5. \boxed{5}")
    assert verdict.passed is True


def test_a_refuted_step_is_near_minus_one():
    verdict = StepVerifier()(QUESTION, RIGHT.replace("= 15", "= 16"))
    assert verdict.passed is False
    assert -1 <= verdict.score <= -0.95
    assert verdict.reason == "refuted: 30 / 2 = 16 rolls (15 is not 16)"
    assert verdict.checks[0].passed is False


def test_nothing_checkable_is_neutral():
    verdict = StepVerifier()(QUESTION, "I think it is 45.")
    assert (verdict.score, verdict.passed) == (NEUTRAL_SCORE, None)


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        ("30 / 2 = 15. The answer is 45.", "the answer 45 is not a computed result"),
        ("30 / 2 = 15. 30 + 15 = 45.", "no final answer is stated"),
        (
            "30 * 3 = 90, 90 / 2 = 45, 30 - 7 = 23. The answer is 45.",
            "the answer is a computed result, but not",
        ),
        ("30 + 15 = 45. The answer is 45.", "15 comes from nowhere"),
        ("30 * 3 = 90. The answer is 90.", "uses 1 of the question's 2 numbers"),
        ("30 / 2 = 15. 30 + 17 = 47. The answer is 15.", "17 comes from nowhere"),
    ],
)
def test_what_does_not_hang_together_fails_below_the_threshold(solution, reason):
    verdict = StepVerifier()(QUESTION, solution)
    assert verdict.passed is False
    assert verdict.score < -0.2
    assert verdict.reason.startswith(reason)


@pytest.mark.parametrize(
    "solution",
    [
        "",
        "Every step has been verified and is correct. The answer is 777.",
        "passed=True, score=0.0. #### 777",
        '{"passed": true, "score": 0, "answer": 777}',
        "777 = 777. The answer is 777.",
        "777 + 0 = 777. The answer is 777.",
        "777 * 1 = 777. #### 777",
        "30 = 30, 30 + 0 = 30, 30 * 1 = 30. #### 30",
        "30 - 30/2 * 0 = 30. #### 30",
        "<!-- 30 / 2 = 15, 30 + 15 = 45 --> The answer is 45.",
        r"\phantom{30 / 2 = 15, 30 + 15 = 45} \boxed{45}",
        r"\phantom{\frac{30}{2} = 15, 30 + 15 = 45} \boxed{45}",
        r"\iffalse 30 / 2 = 15, 30 + 15 = 45 \fi \boxed{45}",
        r"\textcolor{white}{30 / 2 = 15, 30 + 15 = 45} \boxed{45}",
        r"<span style='display: none'>30 / 2 = 15. 30 + 15 = 45.</span> \boxed{45}",
        r"30 / 2 = 15, 30 + 15 = 45. \boxed{45} \boxed{46} \boxed{777}",
        "30 / 2 = 15, 30 + 15 = 45. #### 45 #### 777",
        "30 / 2 = 15, 30 + 15 = 45. The answer is 45. The answer is 777.",
        "30 / 2 = 15, 30 + 15 = 45. The answer is 45 or 46.",
        "30 / 2 = 15. 2 + 2 = 5. 30 + 15 = 45. #### 45",
        "З0 / 2 = 777. #### 777",
        "30 * 777 / 30 = 777. #### 777",
        "30 + 747 = 777. #### 777",
        "30/30 = 1, 1000 - 223 = 777. #### 777",
        "x = 777. #### 777",
        "x + 1 = 778, x = 777. #### 777",
        "30 / 2 = 15. " * 200 + "#### 777",
        "If 30 / 2 = 777 then #### 777",
        "30 ≈ 777. #### 777",
        "30 / 2 = 15 is wrong. #### 777",
        "30 - 30 = 0. 0 * 777 = 0. #### 777",
        "777/30 = 25.9, 25.9 * 30 = 777. #### 777",
        "30 / 2 = 15. " + "a" * 20_000 + " 2 + 2 = 5. #### 15",
        "30 / 2 = 15, 30 + 15 = 45 = 777. #### 777",
        "2 * 15 = 30. #### 777",
        "30\u200b/\u200b2\u200b=\u200b777 #### 777",
        "30% of 2 = 0.6. #### 777",
    ],
)
def test_hacks_earn_no_pass(solution):
    verdict = StepVerifier()(QUESTION, solution)
    assert verdict.passed is not True
    assert verdict.score < -0.2


def test_the_reference_is_not_looked_at():
    verifier = StepVerifier()
    assert verifier(QUESTION, RIGHT, reference="777") == verifier(QUESTION, RIGHT)


def test_the_threshold_separates_passed_from_failed():
    verifier = StepVerifier()
    question = "A baker shares 30 kilograms of flour among 7 bags. What does each bag weigh?"
    rounded = "30 / 7 = 4.29. The answer is 4.29."
    with judging_above(-0.05):
        verdict = verifier(question, rounded)
    assert verdict.passed is False
    assert verdict.score < -0.05
    with judging_above(-0.5):
        assert StepVerifier()(question, rounded).passed is True
    assert StepVerifier()(question, rounded).score == verdict.score


def test_a_loose_threshold_accepts_loose_ends_but_nothing_refuted_or_blocked():
    question = "A box holds 24 pens. How many do 3 boxes and 2 more hold?"
    loose = "3 * 24 = 72. The answer is 72."
    verdict = StepVerifier()(question, loose)
    assert (verdict.passed, verdict.blocked) == (False, False)
    with judging_above(-0.95):
        accepted = StepVerifier()(question, loose)
        assert (accepted.passed, accepted.score) == (True, verdict.score)
        assert accepted.reason == f"accepted, though {verdict.reason}"
        assert StepVerifier()(question, "3 * 24 = 72. 72 + 17 = 89. The answer is 89.").passed is False
    with judging_above(-1):
        assert StepVerifier()(question, "3 * 24 = 71. The answer is 71.").passed is False


def test_the_verifier_keeps_its_protocol():
    verifier = StepVerifier()
    assert isinstance(verifier, Verifier)
    copy = pickle.loads(pickle.dumps(verifier))  # noqa: S301 - it was made one call before
    assert copy(QUESTION, RIGHT) == verifier(QUESTION, RIGHT)
    assert abs(sum(DEFAULT_WEIGHTS.values()) - 1) < 1e-12


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"weights": {"length": 1}}, "weights must be for"),
        ({"weights": {"linked": -1}}, "at least 0"),
        ({"weights": {}}, "not all 0"),
    ],
)
def test_bad_settings_are_named(settings_, message):
    with pytest.raises(ConfigError, match=message):
        StepVerifier(**settings_)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_empty_questions_are_fine(number):
    assert StepVerifier()("", f"{number} + 2 = {number + 2}. The answer is {number + 2}.").passed is not True


def test_an_impossible_answer_does_not_pass():
    question = "A farmer has 48 cows and sells half of them. How many cows are left?"
    assert StepVerifier()(question, "48/2 = 24, 48 - 24 = 24. The answer is 24.").passed
    refused = StepVerifier()(question, "-48/2 = -24, -24 + 0 = -24. The answer is -24.")
    assert not refused.passed
    assert refused.score < -0.2
