"""What no weight outvotes, what settles a question, and who need not be asked."""

from typing import Any

import pytest

from latentseek_agents.errors import ConfigError
from latentseek_agents.tools import Combined, GroundTruth, StepVerifier
from latentseek_agents.verdict import Check, Verdict, Verifier

QUESTION = "A box holds 24 pens. How many do 3 boxes hold?"
RIGHT = "3 * 24 = 72. The answer is 72."
WRONG = "3 * 24 = 71. The answer is 71."


class Says:
    """A verifier that always says the same, and counts how often it is asked."""

    def __init__(self, score: float, passed: bool | None, *checks: Check) -> None:
        self.verdict = Verdict(score, passed, "because", checks)
        self.asked = 0

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        self.asked += 1
        return self.verdict


def wrapped(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    return StepVerifier()(question, solution)


def nested() -> Combined:
    return Combined(Combined(StepVerifier(), vetoes=[False]), Says(0, True), weights=[1, 100])


@pytest.mark.parametrize(
    ("verifiers", "settings"),
    [
        ([Combined(StepVerifier()), Says(0, True)], {"weights": [1, 9]}),
        ([wrapped, Says(0, True)], {"weights": [1, 9]}),
        ([StepVerifier(), Says(0, True)], {"vetoes": [False, False], "weights": [1, 9]}),
        ([Says(0, True), wrapped], {"weights": [1, 1]}),
        ([StepVerifier(), Says(0, True)], {"weights": [0, 1]}),
        ([Says(0, True), wrapped], {"weights": [99, 1]}),
        ([nested(), Says(0, True)], {"weights": [1, 9], "threshold": -1.0}),
        ([StepVerifier(), GroundTruth("71")], {}),
        ([GroundTruth("71"), StepVerifier()], {}),
        ([Says(0, True, Check("step", False, refuted=True)), Says(0, True)], {}),
        ([Says(0, None, Check("step", None, refuted=True)), Says(0, True)], {}),
    ],
)
def test_a_refuted_step_never_passes(verifiers: list[Verifier], settings: dict[str, Any]):
    combined = Combined(*verifiers, **settings)
    verdict = combined(QUESTION, WRONG)
    assert verdict.passed is False
    assert verdict.refuted
    assert verdict.score <= combined.threshold
    again = Combined(combined, Says(0, True), weights=[1, 1000])(QUESTION, WRONG)
    assert again.passed is False


def test_behind_a_refutation_nobody_is_asked():
    dear = Says(0, True)
    Combined(wrapped, dear, weights=[1, 9])(QUESTION, WRONG)
    assert dear.asked == 0


def test_a_known_answer_settles():
    model = Says(-1, False)
    verdict = Combined(GroundTruth("72"), model, weights=[1, 9])(QUESTION, RIGHT)
    assert (verdict.passed, verdict.score, model.asked) == (True, 0.0, 0)
    assert verdict.checks[-1].reason == "not asked: GroundTruth had accepted"
    verdict = Combined(model, GroundTruth("72"), weights=[9, 1])(QUESTION, RIGHT)
    assert (verdict.passed, verdict.score) == (True, 0.0)
    # Without a known answer the others decide.
    assert Combined(GroundTruth(), model)(QUESTION, RIGHT).passed is False


def test_holders_of_a_veto_are_asked_though_it_is_settled():
    veto, other = Says(-0.5, False), Says(0, True)
    verdict = Combined(GroundTruth("72"), veto, other, vetoes=[True, True, False])(QUESTION, RIGHT)
    assert (verdict.passed, verdict.score) == (False, -0.5)
    assert other.asked == 0


def test_settling_may_be_switched():
    model = Says(-1, False)
    assert Combined(GroundTruth("72"), model, settles=[False, False])(QUESTION, RIGHT).passed is False
    person = Says(-0.1, True)
    sure = Combined(person, model, settles=[lambda verdict: verdict.score > -0.2, False], weights=[1, 9])
    assert sure(QUESTION, RIGHT).passed is True
    assert model.asked == 1
    assert Combined(Says(-0.5, True), model, settles=[True, False])(QUESTION, RIGHT).passed is False
    with pytest.raises(ConfigError, match="settles: 1 for 2"):
        Combined(person, model, settles=[True])


def test_who_has_neither_weight_nor_veto_is_not_asked():
    idle = Says(-1, False)
    verdict = Combined(idle, Says(0, True), weights=[0, 1])(QUESTION, RIGHT)
    assert (verdict.passed, idle.asked) == (True, 0)
    assert verdict.checks[0].reason == "not asked: it has neither weight nor veto"


@pytest.mark.parametrize(
    ("first", "weights", "asked"),
    [
        (Says(-0.9, False), [2, 1], 0),
        (Says(-0.9, False), [1, 1], 0),
        (Says(-0.9, False), [1, 2], 1),
        (Says(0, True), [9, 1], 1),
        (Says(0, None), [9, 1], 1),
    ],
)
def test_who_cannot_change_the_outcome_is_not_asked(first: Says, weights: list[float], asked: int):
    """A second verifier changes nothing where the first refuses and has the majority."""
    outcomes = set()
    for second in (Says(0, True), Says(-1, False), Says(-1, None)):
        outcomes.add(Combined(first, second, weights=weights)(QUESTION, RIGHT).passed)
        assert second.asked == asked
    assert asked or len(outcomes) == 1


def test_who_holds_a_veto_or_settles_is_always_asked():
    veto = Says(-1, False)
    assert (
        Combined(Says(0, True), veto, weights=[9, 1], vetoes=[False, True])(QUESTION, RIGHT).passed is False
    )
    assert veto.asked == 1
    assert Combined(Says(-1, False), GroundTruth("72"), weights=[9, 1])(QUESTION, RIGHT).passed is True
