import logging
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.errors import ConfigError, VerdictError
from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
from latentseek_agents.tools.combined import Combined
from latentseek_agents.tools.ground_truth import GroundTruth
from latentseek_agents.tools.named import named_verifier
from latentseek_agents.tools.self_reward import SelfReward
from latentseek_agents.tools.steps import StepVerifier
from latentseek_agents.verdict import Check, Usage, Verdict, Verifier, judging_above

QUESTION = "A box holds 24 pens, and 2 pens lie beside it. How many pens are there with 3 boxes?"
RIGHT = "3 * 24 = 72 pens are in the boxes. 72 + 2 = 74. The answer is 74."
REFUTED = "3 * 24 = 71 pens are in the boxes. 71 + 2 = 73. The answer is 73."
LOOSE = "3 * 24 = 72 pens are in the boxes. The answer is 90."
WORDS = "There are seventy-four of them."


class Says:
    """A verifier that always says the same, and counts how often it is asked."""

    def __init__(self, score: float, passed: bool | None, reason: str = "", **rest: Any) -> None:
        self.verdict = Verdict(score, passed, reason, **rest)
        self.asked = 0

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        self.asked += 1
        return self.verdict


def judge(*verifiers: Verifier, **settings: Any) -> Verdict:
    return Combined(*verifiers, **settings)(QUESTION, RIGHT)


def rejection(verdict: Verdict) -> bool:
    return verdict.passed is False


def test_is_a_verifier():
    combined = Combined(Says(0, True))
    assert isinstance(combined, Verifier)
    assert repr(Combined(GroundTruth("7"), weights=[2])) == (
        "Combined(GroundTruth(reference='7'), weights=[2.0])"
    )


def test_takes_verifiers_one_by_one_or_as_one_sequence():
    first, second = Says(-0.2, True), Says(0, True)
    assert judge(first, second).score == Combined([first, second])(QUESTION, RIGHT).score == -0.1
    assert Combined(iter([first, second])).verifiers == [first, second]


@pytest.mark.parametrize(
    ("verifiers", "settings", "message"),
    [
        ([], {}, "no verifier"),
        ([[]], {}, "no verifier"),
        (["steps"], {}, "callable"),
        ([Says(0, True), 3], {}, "callable"),
        ([Says(0, True)], {"weights": [1, 2]}, "weights: 2 for 1"),
        ([Says(0, True)], {"final": []}, "final: 0 for 1"),
        ([Says(0, True)], {"weights": [-1]}, "at least 0"),
        ([Says(0, True)], {"weights": [0]}, "not all of them 0"),
        ([Says(0, True)], {"weights": [float("nan")]}, "at least 0"),
    ],
)
def test_wrong_settings_are_refused(verifiers: list, settings: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        Combined(*verifiers, **settings)


def test_score_is_the_weighted_mean_of_those_that_judge():
    verdict = judge(Says(-0.6, False), Says(-1, None), Says(0, True), weights=[1, 5, 5])
    assert verdict.score == pytest.approx(-0.1)
    assert verdict.passed is True


def test_a_rejection_of_equal_weight_is_not_outvoted_by_a_good_mean():
    # What a self-reward says that finds the answer, and nothing else, wrong.
    answer_wrong = Says(-1 / 6, False, "answer")
    verdict = judge(Says(0, True), answer_wrong)
    assert verdict.score > -0.2
    assert verdict.passed is False
    assert verdict.reason == "Says 2: answer"
    assert judge(Says(0, True), answer_wrong, Says(0, True)).passed is True


def test_a_majority_does_not_pass_below_the_threshold():
    assert judge(Says(-0.1, True), Says(-0.1, True), Says(-1, False)).passed is False
    verdict = judge(Says(-0.5, True))
    assert verdict.passed is False
    assert "not above -0.2" in verdict.reason
    with judging_above(-0.6):
        assert judge(Says(-0.5, True)).passed is True


def test_none_only_if_nobody_judges():
    verdict = judge(Says(-0.5, None, "no equation"), Says(-1, None, "no verdict"))
    assert (verdict.passed, verdict.score) == (None, -1.0)
    assert verdict.reason == "cannot judge: Says 1: no equation; Says 2: no verdict"
    assert judge(Says(-0.5, None), Says(0, True)).passed is True
    assert judge(Says(-0.5, None), Says(-1, False)).passed is False


def test_a_veto_decides_and_nobody_behind_it_is_asked():
    refuser, dear = Says(-0.9, False, "2 + 2 = 5"), Says(0, True)
    verdict = judge(Says(0, True), refuser, dear, final=[False, True, False], weights=[100, 1, 100])
    assert (verdict.passed, verdict.score) == (False, -1.0)
    assert verdict.reason == "Says 2: 2 + 2 = 5"
    assert dear.asked == 0
    assert verdict.checks[-1] == Check(
        "Says 3", None, 100.0, "not asked: Says 2 had rejected it, and that is final"
    )


def test_a_veto_holder_that_accepts_or_cannot_judge_decides_nothing():
    for passed in (True, None):
        dear = Says(0, True)
        assert judge(Says(-0.1, passed), dear, final=[rejection, False]).passed is True
        assert dear.asked == 1


def test_a_veto_may_depend_on_the_verdict():
    def grave(verdict: Verdict) -> bool:
        return verdict.score < -0.9

    assert judge(Says(-1, False), Says(0, True), final=[grave, False], weights=[1, 9]).passed is False
    assert judge(Says(-0.5, False), Says(0, True), final=[grave, False], weights=[1, 9]).passed is True


def test_with_weight_zero_one_can_only_veto():
    assert judge(Says(-1, False), Says(0, True), weights=[0, 1]).passed is True
    vetoed = judge(Says(-1, False), Says(0, True), weights=[0, 1], final=[rejection, False])
    assert (vetoed.passed, vetoed.score) == (False, -1.0)
    assert judge(Says(0, True), Says(0, None), weights=[0, 1]).passed is None


def test_refuted_equations_veto_by_default_but_loose_ends_do_not():
    dear = Says(0, True)
    combined = Combined(StepVerifier(), dear, weights=[1, 9])
    refuted = combined(QUESTION, REFUTED)
    assert refuted.passed is False
    assert refuted.score == -1.0
    assert dear.asked == 0
    alone = StepVerifier()(QUESTION, LOOSE)
    assert alone.passed is False
    loose = combined(QUESTION, LOOSE)
    assert dear.asked == 1
    assert loose.score == pytest.approx(alone.score / 10)
    assert loose.passed is True


def test_what_a_proof_says_is_final_by_default():
    dear = Says(0, True)
    verdict = Combined(GroundTruth(), dear, weights=[1, 9])(QUESTION, REFUTED, reference="74")
    assert verdict.passed is False
    assert dear.asked == 0


def test_checks_carry_names_and_shares():
    first = Says(0, True, checks=[Check("sum", True, 3), Check("answer", True, 1)])
    verdict = judge(first, Says(-0.1, True, "fine"), weights=[2, 5])
    assert verdict.checks == [
        Check("Says 1: sum", True, 1.5),
        Check("Says 1: answer", True, 0.5),
        Check("Says 2", True, 5.0, "fine"),
    ]
    assert Verdict.from_dict(verdict.to_dict()) == verdict


def test_costs_are_summed():
    part = Says(0, True, usage=Usage(verifier_tokens=3, verifier_forward_passes=2, verifier_seconds=0.5))
    assert judge(part, part).usage == Usage(
        verifier_tokens=6, verifier_forward_passes=4, verifier_seconds=1.0
    )


def test_functions_are_named_by_their_names():
    def short(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(0, True)

    assert [check.name for check in judge(short, ScriptedVerifier([0.0])).checks] == [
        "short",
        "ScriptedVerifier",
    ]


def fails(error: Exception) -> Verifier:
    def failing(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        raise error

    return failing


def test_one_that_raises_cannot_judge(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        verdict = judge(fails(RuntimeError("no connection")), Says(-0.1, True))
    assert (verdict.passed, verdict.score) == (True, -0.1)
    assert verdict.checks[0].reason == "cannot judge: it raised RuntimeError: no connection"
    assert "failing" in caplog.text
    assert "no connection" in judge(fails(RuntimeError("no connection"))).reason


def returns(value: Any) -> Any:
    def verify(question: str, solution: str, *, reference: str | None = None) -> Any:
        return value

    return verify


def test_a_score_is_a_verdict():
    verdict = judge(returns(-0.1), returns(-0.5), weights=[3, 1])
    assert verdict.score == pytest.approx(-0.2)
    assert verdict.passed is False
    assert [(check.passed, check.reason) for check in verdict.checks] == [
        (True, "score -0.1"),
        (False, "score -0.5"),
    ]
    with judging_above(-0.95):
        assert judge(returns(-0.1), returns(-0.5)).passed is True


def test_a_broken_contract_is_not_hidden():
    with pytest.raises(VerdictError):
        judge(fails(VerdictError("3.7")), Says(0, True))
    with pytest.raises(VerdictError, match=r"must lie in \[-1, 0\], but is 3\.7"):
        judge(returns(3.7))
    with pytest.raises(VerdictError, match=r"must return a Verdict, or a score in .*, but returned 'ok'"):
        judge(returns("ok"))


def test_interrupts_of_langgraph_pass_through():
    from langgraph.errors import GraphBubbleUp, GraphInterrupt

    class Own(GraphBubbleUp):
        pass

    for error in (GraphInterrupt(), Own()):
        with pytest.raises(type(error)):
            judge(fails(error), Says(0, True))


def test_nothing_judged_and_something_raised_counts_as_raised():
    """So that a search whose score alone decides (``paper()``) stops, as it does with the verifier alone."""
    verdict = judge(fails(ConnectionError("no network")), Says(-1.0, None))
    assert (verdict.passed, verdict.raised) == (None, True)
    assert judge(Says(-1.0, None), Says(-1.0, None)).raised is False


def test_a_class_that_only_looks_like_an_interrupt_cannot_judge():
    class GraphBubbleUp(Exception):
        pass

    assert judge(fails(GraphBubbleUp()), Says(0, True)).passed is True


def test_importing_it_loads_neither_torch_nor_langgraph():
    code = (
        "import sys, latentseek_agents.tools.combined as c; c.Combined(lambda q, s, *, reference=None: None);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'langgraph', 'sympy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class _Model(SelfReward):
    """A self-reward whose opinion is given; all else is the real one."""

    opinion: tuple[float, bool | None] = (0.0, True)

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        score, passed = self.opinion
        return Verdict(score, passed, "so it says")


@pytest.mark.parametrize(
    ("solution", "opinion", "passed"),
    [
        (RIGHT, (0.0, True), True),
        (RIGHT, (-1 / 6, False), False),
        (RIGHT, (-1.0, None), True),
        (REFUTED, (0.0, True), False),
        (WORDS, (0.0, True), True),
        (WORDS, (-0.5, False), False),
        (WORDS, (-1.0, None), None),
        (LOOSE, (-1 / 3, False), False),
        (LOOSE, (-1.0, None), False),
    ],
)
def test_table_of_step_checks_and_self_reward(
    monkeypatch: pytest.MonkeyPatch, solution: str, opinion: tuple, passed: bool | None
):
    monkeypatch.setattr("latentseek_agents.tools.named.SelfReward", _Model)
    monkeypatch.setattr(_Model, "opinion", opinion)
    combined = named_verifier(("steps", "self"), tiny_backbone())
    assert combined(QUESTION, solution).passed is passed


VERDICTS = st.builds(
    Says, st.floats(-1, 0), st.sampled_from([True, False, None]), st.just("because"), checks=st.just([])
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(VERDICTS, st.floats(0.01, 100), st.booleans()), min_size=1, max_size=5),
    st.floats(-1, 0),
)
def test_whatever_the_parts_say(parts: list, threshold: float):
    verifiers, weights, vetoes = zip(*parts, strict=True)
    with judging_above(threshold):
        verdict = judge(*verifiers, weights=weights, final=[veto and rejection for veto in vetoes])
    assert -1 <= verdict.score <= 0
    said = [verifier.verdict.passed for verifier in verifiers]
    assert (verdict.passed is None) == all(passed is None for passed in said)
    vetoing = [
        v.verdict for v, veto in zip(verifiers, vetoes, strict=True) if veto and v.verdict.passed is False
    ]
    if vetoing:
        assert verdict.passed is False
        assert verdict.score == -1.0
    if verdict.passed:
        assert verdict.score > threshold
        assert True in said
    assert len(verdict.checks) == len(verifiers)
