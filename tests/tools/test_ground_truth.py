import pytest

from latentseek_agents.tools.ground_truth import GroundTruth
from latentseek_agents.verdict import Verdict, Verifier

QUESTION = "A box holds 24 pens. How many do 3 boxes hold?"


def test_is_a_verifier() -> None:
    assert isinstance(GroundTruth(), Verifier)
    assert repr(GroundTruth("72")) == "GroundTruth(reference='72')"


@pytest.mark.parametrize("reference", ["72", "72.0", "3 * 24 = <<3*24=72>>72\n#### 72", r"\boxed{72}"])
def test_right_solution_scores_zero(reference: str) -> None:
    verdict = GroundTruth()(QUESTION, r"3 \cdot 24 = 72, so \boxed{72}", reference=reference)
    assert verdict.score == 0.0
    assert verdict.passed is True
    assert "'72'" in verdict.reason


def test_wrong_solution_scores_minus_one() -> None:
    verdict = GroundTruth()(QUESTION, "#### 71", reference="72")
    assert (verdict.score, verdict.passed) == (-1.0, False)
    assert "'71'" in verdict.reason
    assert "'72'" in verdict.reason


def test_solution_without_answer_is_refused() -> None:
    verdict = GroundTruth()(QUESTION, "3 * 24 = 72", reference="72")
    assert verdict.passed is False
    assert "no final answer" in verdict.reason


@pytest.mark.parametrize("reference", [None, "", "  ", "####"])
def test_without_reference_it_cannot_judge(reference: str | None) -> None:
    verdict = GroundTruth()(QUESTION, "#### 72", reference=reference)
    assert verdict.passed is None
    assert verdict.score == -1.0
    assert "cannot judge" in verdict.reason


def test_reference_of_the_call_wins() -> None:
    verifier = GroundTruth("72")
    assert verifier(QUESTION, "#### 72").passed is True
    assert verifier(QUESTION, "#### 72", reference="73").passed is False


def test_verdict_travels_as_plain_values() -> None:
    verdict = GroundTruth("72")(QUESTION, "#### 72")
    assert Verdict.from_dict(verdict.to_dict()) == verdict
    assert [check.name for check in verdict.checks] == ["ground truth"]
