"""When a search stops, and which attempt it returns."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import (
    accepts,
    best_sample,
    choose,
    stop_reason,
    weighted_votes,
)
from latentseek_agents.verdict import Attempt, Check, Usage, Verdict

CONFIG = LatentSeekConfig()
NOTHING_SPENT = Usage()


def attempt(score: float | None = -0.5, passed: bool | None = False, iteration: int = 0) -> Attempt:
    return Attempt(
        iteration=iteration, token_ids=[], latent_token_ids=[], changed=[], text="", finish_reason="stop",
        score=score, passed=passed,
    )  # fmt: skip


attempts = st.lists(
    st.builds(
        attempt,
        st.sampled_from([None, -1.0, -0.5, -0.1, 0.0]),
        st.sampled_from([True, False, None]),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    ("score", "passed", "both", "score_alone"),
    [
        (0.0, True, True, True),
        (-0.1, True, True, True),
        (-0.2, True, False, False),
        (-1.0, True, False, False),
        (-0.1, False, False, True),
        (-1.0, False, False, False),
        (-0.1, None, None, True),
        (-1.0, None, None, False),
    ],
)
def test_acceptance(score: float, passed: bool | None, both: bool | None, score_alone: bool):
    verdict = Verdict(score, passed)
    assert accepts(verdict, CONFIG) is both
    assert accepts(verdict, CONFIG.replace(acceptance="score")) is score_alone


@pytest.mark.parametrize("check", [Check("sum", False, refuted=True), Check("answer", False, blocks=True)])
def test_what_is_refuted_or_blocked_is_not_accepted_whatever_the_verifier_says(check: Check):
    verdict = Verdict(0.0, True, "", [check])
    assert accepts(verdict, CONFIG.replace(reward_threshold=-1)) is False
    assert accepts(verdict, CONFIG.replace(acceptance="score")) is True


def test_a_verifier_that_raised_has_not_judged_by_any_rule():
    raised = Verdict(-1.0, None, "", raised=True)
    assert accepts(raised, CONFIG) is None
    assert accepts(raised, CONFIG.replace(acceptance="score")) is None


def test_at_the_highest_threshold_nothing_is_accepted():
    assert accepts(Verdict(0.0, True), CONFIG.replace(reward_threshold=0)) is False


@pytest.mark.parametrize(
    ("candidates", "best"),
    [
        ([(-0.5, False), (-0.4, False), (-0.6, False)], 1),
        ([(-0.5, False), (-0.5, False)], 0),
        ([(-0.1, False), (-0.3, True)], 1),
        ([(-0.1, None), (-0.9, False)], 1),
        ([(-0.9, None), (-0.1, None)], 1),
        ([(None, None), (-0.9, False)], 1),
        ([(None, None), (-1.0, None)], 0),
        ([(-0.2, True), (-0.1, True), (-0.1, True)], 1),
    ],
)
def test_the_best_is_accepted_before_refused_before_unjudged_then_by_score_then_the_earliest(
    candidates: list[Any], best: int
):
    made = [attempt(score, passed, iteration) for iteration, (score, passed) in enumerate(candidates)]
    assert choose(made, LatentSeekConfig(keep="best")).index == best
    assert best_sample(made) is made[best]
    assert choose(made, LatentSeekConfig(keep="last")).index == len(made) - 1


@settings(deadline=None)
@given(attempts)
def test_no_attempt_beats_the_best(made: list[Attempt]):
    made = [replace(one, iteration=i) for i, one in enumerate(made)]
    best = made[choose(made, LatentSeekConfig(keep="best")).index]
    for other in made:
        if other.passed is True:
            assert best.passed is True
        if other.passed == best.passed and other.score is not None and best.score is not None:
            assert other.score < best.score or other.iteration >= best.iteration or other.score == best.score
            assert not (other.score > best.score)
            assert not (other.score == best.score and other.iteration < best.iteration)


def reason(
    *passed: bool | None,
    iteration: int = 0,
    usage: Usage = NOTHING_SPENT,
    movable: bool = True,
    **changes: Any,
):
    samples = [attempt(-0.5, one, iteration) for one in passed]
    return stop_reason(samples, CONFIG.replace(**changes), usage, movable=movable)


def test_a_pass_stops_the_search():
    assert reason(True) == "passed"
    assert reason(False, None, True) == "passed"
    assert reason(True, iteration=10, movable=False, usage=Usage(10**6), max_total_tokens=1) == "passed"


def test_no_judgement_stops_the_search_unless_asked_otherwise():
    assert reason(None) == "unjudged"
    assert reason(None, None) == "unjudged"
    assert reason(None, False) is None
    assert reason(None, refine_unjudged=True) is None
    assert reason(None, iteration=10) == "unjudged"
    assert reason(None, iteration=10, refine_unjudged=True) == "iterations"


def test_a_search_for_agreement_ends_when_an_answer_has_won_and_by_its_bounds_only():
    agreement: dict[str, Any] = {"acceptance": "agreement", "keep": "vote"}
    for passed in (True, False, None):
        assert reason(passed, **agreement) is None
        assert reason(passed, iteration=10, **agreement) == "iterations"
        assert reason(passed, movable=False, **agreement) == "iterations"
        assert reason(passed, usage=Usage(9), max_total_tokens=9, **agreement) == "tokens"
    samples = [attempt(-0.5, False, 10)]
    config = CONFIG.replace(**agreement)
    assert stop_reason(samples, config, NOTHING_SPENT, movable=False, won=True) == "agreement"
    assert stop_reason(samples, CONFIG, NOTHING_SPENT, movable=True, won=True) == "iterations"


@pytest.mark.parametrize(
    ("passed", "iteration", "voted", "expected"),
    [
        (None, 0, False, None),  # another attempt may state an answer
        (None, 1, False, "unjudged"),
        (None, 1, True, None),
        (False, 1, False, None),
        (True, 0, False, "passed"),
        (True, 0, True, None),
    ],
)
def test_where_there_is_nothing_to_agree_on_a_search_for_agreement_ends(passed, iteration, voted, expected):
    config = CONFIG.replace(acceptance="agreement", keep="vote", max_iterations=5)
    samples = [attempt(-0.5, passed, iteration)]
    assert stop_reason(samples, config, NOTHING_SPENT, movable=True, voted=voted) == expected


def test_iterations_are_bounded():
    assert reason(False, iteration=9) is None
    assert reason(False, iteration=10) == "iterations"
    assert reason(False, max_iterations=0) == "iterations"
    assert reason(False, movable=False) == "iterations"


def test_seconds_and_tokens_are_bounded():
    spent = Usage(policy_tokens=60, verifier_tokens=40, policy_seconds=3.0, verifier_seconds=2.0)
    assert reason(False, usage=spent) is None
    assert reason(False, usage=spent, max_seconds=5.01, max_total_tokens=101) is None
    assert reason(False, usage=spent, max_seconds=5.0) == "seconds"
    assert reason(False, usage=spent, max_total_tokens=100) == "tokens"
    assert reason(False, usage=spent, max_total_tokens=1, max_seconds=1.0) == "seconds"


def test_votes_of_equal_answers_add_up():
    assert weighted_votes(["1/2", "x", "0.5", None], [0.25, 0.5, 0.5, 1]) == [0.75, 0.5, 0.75, 0]
