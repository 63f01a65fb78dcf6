"""What no weight outvotes, what is final, and who need not be asked."""

from typing import Any

import pytest

from latentseek_agents.errors import ConfigError
from latentseek_agents.tools import Combined, GroundTruth, StepVerifier
from latentseek_agents.verdict import Check, Verdict, Verifier, judging_above

QUESTION = "A box holds 24 pens. How many do 3 boxes hold?"
RIGHT = "3 * 24 = 72. The answer is 72."
WRONG = "3 * 24 = 71. The answer is 71."
BLOCKED = "3 * 24 = 72. 72 + 17 = 89. The answer is 89."


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
    return Combined(Combined(StepVerifier(), final=[False]), Says(0, True), weights=[1, 100])


@pytest.mark.parametrize(
    ("verifiers", "settings"),
    [
        ([Combined(StepVerifier()), Says(0, True)], {"weights": [1, 9]}),
        ([wrapped, Says(0, True)], {"weights": [1, 9]}),
        ([StepVerifier(), Says(0, True)], {"final": [False, False], "weights": [1, 9]}),
        ([Says(0, True), wrapped], {"weights": [1, 1]}),
        ([StepVerifier(), Says(0, True)], {"weights": [0, 1]}),
        ([Says(0, True), wrapped], {"weights": [99, 1]}),
        ([nested(), Says(0, True)], {"weights": [1, 9]}),
        ([StepVerifier(), GroundTruth("71")], {}),
        ([GroundTruth("71"), StepVerifier()], {}),
        ([Says(0, True, Check("step", False, refuted=True)), Says(0, True)], {}),
        ([Says(0, None, Check("step", None, refuted=True)), Says(0, True)], {}),
    ],
)
def test_a_refuted_step_never_passes(verifiers: list[Verifier], settings: dict[str, Any]):
    combined = Combined(*verifiers, **settings)
    for threshold in (-0.2, -1.0):
        with judging_above(threshold):
            verdict = combined(QUESTION, WRONG)
            again = Combined(combined, Says(0, True), weights=[1, 1000])(QUESTION, WRONG)
        assert verdict.passed is False
        assert verdict.refuted
        assert verdict.score == -1.0
        assert again.passed is False


@pytest.mark.parametrize("threshold", [-0.2, -0.95])
def test_no_weight_outvotes_what_blocks(threshold: float):
    lenient = Says(0, True)
    with judging_above(threshold):
        verdict = Combined(StepVerifier(), lenient, weights=[1, 99])(QUESTION, BLOCKED)
        nested = Combined(Combined(StepVerifier()), lenient, weights=[1, 9])(QUESTION, BLOCKED)
        known = Combined(StepVerifier(), GroundTruth("89"))(QUESTION, BLOCKED)
    assert (verdict.passed, verdict.blocked) == (False, True)
    assert verdict.reason == "StepVerifier: 17 comes from nowhere"
    assert nested.passed is False
    # A known answer overrules it: a right answer need not be reached by clean steps.
    assert (known.passed, known.blocked) == (True, False)


def test_behind_a_refutation_nobody_is_asked():
    dear = Says(0, True)
    Combined(wrapped, dear, weights=[1, 9])(QUESTION, WRONG)
    assert dear.asked == 0


def test_a_known_answer_is_final():
    model = Says(-1, False)
    verdict = Combined(GroundTruth("72"), model, weights=[1, 9])(QUESTION, RIGHT)
    assert (verdict.passed, verdict.score, model.asked) == (True, 0.0, 0)
    assert verdict.checks[-1].reason == "not asked: GroundTruth had accepted it, and that is final"
    verdict = Combined(model, GroundTruth("72"), weights=[9, 1])(QUESTION, RIGHT)
    assert (verdict.passed, verdict.score) == (True, 0.0)
    # Without a known answer the others decide.
    assert Combined(GroundTruth(), model)(QUESTION, RIGHT).passed is False


def test_holders_of_a_veto_are_asked_behind_a_final_acceptance():
    veto, other = Says(-0.5, False), Says(0, True)
    verdict = Combined(GroundTruth("72"), veto, other, final=[True, True, False])(QUESTION, RIGHT)
    assert (verdict.passed, verdict.score) == (False, -1.0)
    assert other.asked == 0


def test_what_is_final_may_be_switched():
    model = Says(-1, False)
    assert Combined(GroundTruth("72"), model, final=[False, False])(QUESTION, RIGHT).passed is False
    person = Says(-0.1, True)
    sure = Combined(person, model, final=[lambda verdict: verdict.score > -0.2, False], weights=[1, 9])
    assert sure(QUESTION, RIGHT).passed is True
    assert model.asked == 1
    assert Combined(Says(-0.5, True), model, final=[True, False])(QUESTION, RIGHT).passed is False
    with pytest.raises(ConfigError, match="final: 1 for 2"):
        Combined(person, model, final=[True])


def test_who_has_neither_weight_nor_veto_is_not_asked():
    idle = Says(-1, False)
    verdict = Combined(idle, Says(0, True), weights=[0, 1])(QUESTION, RIGHT)
    assert (verdict.passed, idle.asked) == (True, 0)
    assert verdict.checks[0].reason == "not asked: its weight is 0, so that it cannot change the verdict"


@pytest.mark.parametrize(
    ("computed", "reason"),
    [
        ("72", "it has no weight in the score; in a vote the answer that it computed counts"),
        (None, "its weight is 0, so that it cannot change the verdict"),
    ],
)
def test_who_has_a_vote_and_no_weight_is_said_to_have_a_vote(computed: str | None, reason: str):
    class Voter(Says):
        def prepare(self, question: str) -> str:
            return "what is kept"

        def prepared_answer(self, value: str) -> str | None:
            return computed

        def __call__(
            self, question: str, solution: str, *, reference: str | None = None, prepared: Any = None
        ) -> Verdict:
            return super().__call__(question, solution)

    voter = Voter(-1, False)
    both = Combined(voter, Says(0, True), weights=[0, 1])
    verdict = both(QUESTION, RIGHT, prepared=both.prepare(QUESTION).value)
    assert (verdict.passed, voter.asked) == (True, 0)
    assert verdict.checks[0].reason == f"not asked: {reason}"


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
    """A second verifier changes nothing where the first rejects and has the majority."""
    outcomes = set()
    for second in (Says(0, True), Says(-1, False), Says(-1, None)):
        outcomes.add(Combined(first, second, weights=weights)(QUESTION, RIGHT).passed)
        assert second.asked == asked
    assert asked or len(outcomes) == 1


def test_a_verifier_with_a_final_say_is_always_asked():
    veto = Says(-1, False)
    assert Combined(Says(0, True), veto, weights=[9, 1], final=[False, True])(QUESTION, RIGHT).passed is False
    assert veto.asked == 1
    assert Combined(Says(-1, False), GroundTruth("72"), weights=[9, 1])(QUESTION, RIGHT).passed is True
