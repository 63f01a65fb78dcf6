"""Verdicts, attempts and costs: checked when made, plain when stored."""

import functools
import gc
import json
import pickle
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.errors import ConfigError, LatentSeekError, VerdictError
from latentseek_agents.testing import ScriptedVerifier
from latentseek_agents.verdict import (
    DEFAULT_THRESHOLD,
    Attempt,
    Check,
    Usage,
    Verdict,
    Verifier,
    ask,
    checked_verifier,
    judging_above,
    reward_threshold,
)

scores = st.floats(-1, 0)
judgements = st.sampled_from([True, False, None])
checks = st.builds(Check, st.text(max_size=5), judgements, st.floats(0, 5), st.text(max_size=5))
counts = st.integers(0, 10**9)
seconds = st.floats(0, 1e6)
usages = st.builds(Usage, counts, counts, counts, counts, seconds, seconds)
verdicts = st.builds(Verdict, scores, judgements, st.text(max_size=5), st.lists(checks, max_size=3), usages)


@pytest.mark.parametrize(
    "score", [-1, 0, -1.0, -0.0, -0.3, np.float32(-0.5), np.float64(-0.5), Fraction(-1, 2)]
)
def test_scores_in_range_become_plain_floats(score: Any):
    verdict = Verdict(score, False)
    assert type(verdict.score) is float
    assert verdict.score == score


@pytest.mark.parametrize(
    "score", [3.7, 0.01, -1.01, float("nan"), float("inf"), -float("inf"), 10**400, -(10**400)]
)
def test_scores_out_of_range_are_refused_with_the_remedy(score: float):
    with pytest.raises(VerdictError, match=r"must lie in \[-1, 0\], but is .*scale it"):
        Verdict(score, True)


@pytest.mark.parametrize("score", [True, False, "0", None, [0], 0j])
def test_scores_that_are_no_numbers_are_refused(score: Any):
    with pytest.raises(
        VerdictError, match=rf"must be a number in \[-1, 0\], but is .*{type(score).__name__}"
    ):
        Verdict(score, True)


@pytest.mark.parametrize("passed", ["yes", 2, 0.5, [], ()])
def test_a_judgement_is_true_false_or_none(passed: Any):
    with pytest.raises(VerdictError, match="passed must be True, False or None, but is"):
        Verdict(0.0, passed)


def test_numpys_judgements_become_plain():
    assert Verdict(0.0, np.True_).passed is True  # type: ignore[arg-type]
    assert Verdict(0.0, np.False_).passed is False  # type: ignore[arg-type]
    assert isinstance(Verdict(0.0, None, "", (Check("a", True),)).checks, list)


@settings(deadline=None, max_examples=50)
@given(verdicts)
def test_a_verdict_survives_as_plain_json(verdict: Verdict):
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict
    assert pickle.loads(pickle.dumps(verdict)) == verdict  # noqa: S301


def test_a_verdict_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Verdict(0.0, True).score = -1.0  # type: ignore[misc]


@settings(deadline=None, max_examples=50)
@given(usages, usages)
def test_costs_add_up(left: Usage, right: Usage):
    total = left + right
    assert total == right + left
    assert total.tokens == left.tokens + right.tokens
    assert total.forward_passes == left.forward_passes + right.forward_passes
    assert total.seconds == pytest.approx(left.seconds + right.seconds)
    assert left + Usage() == left
    assert Usage.from_dict(json.loads(json.dumps(total.to_dict()))) == total


def test_policy_and_verifier_are_both_counted():
    usage = Usage(1, 20, 300, 4000, 0.5, 0.25, 5, 60, 1)
    assert (usage.tokens, usage.forward_passes, usage.seconds) == (21, 4300, 0.75)
    assert usage.computed_tokens == 65
    assert usage.to_dict() == {
        "policy_tokens": 1, "verifier_tokens": 20, "policy_forward_passes": 300,
        "verifier_forward_passes": 4000, "policy_seconds": 0.5, "verifier_seconds": 0.25,
        "policy_computed_tokens": 5, "verifier_computed_tokens": 60, "policy_thinking_tokens": 1,
    }  # fmt: skip


def attempt() -> Attempt:
    return Attempt(
        iteration=2, token_ids=[5, 6], latent_token_ids=[5], changed=[0], text="x", finish_reason="stop"
    )


def test_an_attempt_reads_like_a_dict_too():
    assert attempt()["token_ids"] == [5, 6]
    assert attempt()["answer"] is None
    for name in ("nonsense", "to_dict", "judged"):
        with pytest.raises(KeyError):
            attempt()[name]


def test_a_judged_attempt_has_the_verdict_and_the_searchs_own_decision():
    verdict = Verdict(-0.1, True, "looks right", [Check("format", True, 2.0, "boxed")])
    judged = attempt().judged(verdict, passed=False)
    assert (judged.score, judged.passed, judged.reason) == (-0.1, False, "looks right")
    (check,) = judged.checks
    assert check == {
        "name": "format", "passed": True, "weight": 2.0, "reason": "boxed", "refuted": False, "blocks": False,
        "exact": False, "opinion": False, "correction": None,
    }  # fmt: skip
    assert replace(judged, score=None, passed=None, reason="", checks=[]) == attempt()
    assert Attempt.from_dict(json.loads(json.dumps(judged.to_dict()))) == judged


def test_functions_and_objects_are_verifiers():
    def verify(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(0.0, True)

    assert isinstance(verify, Verifier)
    assert isinstance(ScriptedVerifier(), Verifier)
    assert not isinstance("verify", Verifier)


def test_the_scripted_verifier_reads_its_list_to_the_end():
    verifier = ScriptedVerifier([-1, -0.2, -0.1], accept_above=-0.2)
    got = [verifier("?", text, reference="5") for text in "abcd"]
    assert [(verdict.score, verdict.passed) for verdict in got] == [
        (-1.0, False), (-0.2, False), (-0.1, True), (-0.1, True),
    ]  # fmt: skip
    assert verifier.calls == [("?", "a"), ("?", "b"), ("?", "c"), ("?", "d")]


def test_errors_are_of_two_families():
    from latentseek_agents import errors

    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, LatentSeekError)
        assert kind is LatentSeekError or issubclass(kind, ValueError | RuntimeError)
    error = VerdictError("bad")
    error.attempts = [attempt().to_dict()]
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(again), again.attempts) == ("bad", error.attempts)


@pytest.mark.parametrize("wrong", [{"reason": None}, {"checks": ["a"]}, {"checks": "a"}, {"usage": None}])
def test_fields_of_the_wrong_type_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(VerdictError, match=name):
        Verdict(-0.5, False, **wrong)


def test_what_a_check_refutes_the_verdict_refutes():
    assert not Verdict(-1.0, False, "", [Check("a", False)]).refuted
    verdict = Verdict(-1.0, False, "", [Check("a", True), Check("b", False, refuted=True)])
    assert verdict.refuted
    assert Verdict.from_dict(verdict.to_dict()).refuted
    # As a search stored it before checks could refute.
    assert Check.from_dict({"name": "a", "passed": False, "weight": 1.0, "reason": ""}) == Check("a", False)


# --- asking a verifier ---------------------------------------------------------------------------------


def returns(value: Any) -> Any:
    def verify(question: str, solution: str, *, reference: str | None = None) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    return verify


def answer_to(value: Any, **settings: Any) -> Verdict:
    return ask(returns(value), "What is 2 + 2?", "It is 4.", **settings)


def test_a_verdict_is_taken_as_it_is():
    verdict = Verdict(-0.7, True, "mine", usage=Usage(verifier_tokens=3))
    answer = answer_to(verdict)
    assert answer.usage.verifier_seconds > 0
    assert replace(answer, usage=verdict.usage) == verdict
    assert answer.usage.verifier_tokens == 3


@pytest.mark.parametrize(
    ("score", "passed"), [(0, True), (-0.1, True), (-0.2, False), (-1, False), (np.float32(-0.5), False)]
)
def test_a_bare_score_passes_above_the_threshold(score: Any, passed: bool):
    verdict = answer_to(score)
    assert (verdict.score, verdict.passed) == (score, passed)
    assert verdict.passed is passed
    assert str(score) in verdict.reason
    with judging_above(-0.7):
        assert answer_to(-0.6).passed is True


@pytest.mark.parametrize("value", [3.7, -1.5, float("nan"), 10**400])
def test_a_score_out_of_range_breaks_the_contract(value: float):
    with pytest.raises(VerdictError, match=r"must lie in \[-1, 0\]"):
        answer_to(value)


@pytest.mark.parametrize("value", [None, True, "good", {"score": 0}, (0.0, True), 1j])
def test_what_is_neither_verdict_nor_score_is_named(value: object):
    with pytest.raises(VerdictError, match="must return a Verdict, or a score in ") as caught:
        answer_to(value)
    assert repr(value) in str(caught.value)
    assert type(value).__name__ in str(caught.value)


def test_the_reference_is_passed_on():
    def compare(question: str, solution: str, *, reference: str | None = None) -> float:
        return 0.0 if reference == "4" else -1.0

    assert ask(compare, "What is 2 + 2?", "It is 4.", reference="4").passed is True
    assert ask(compare, "What is 2 + 2?", "It is 4.").passed is False


def test_an_exception_is_no_judgement_but_seen(caplog: pytest.LogCaptureFixture):
    verdict = answer_to(RuntimeError("no connection"))
    assert (verdict.score, verdict.passed, verdict.raised) == (-1.0, None, True)
    assert verdict.reason == "cannot judge: it raised RuntimeError: no connection"
    assert "the verifier raised, so it cannot judge: verify" in caplog.text
    assert Verdict.from_dict(verdict.to_dict()) == verdict


def test_broken_contracts_and_control_flow_pass_through():
    with pytest.raises(VerdictError, match="mine"):
        answer_to(VerdictError("mine"))
    with pytest.raises(KeyError):
        answer_to(KeyError("stop"), control_flow=(LookupError,))
    assert answer_to(KeyError("stop"), control_flow=(OSError,)).raised
    with pytest.raises(KeyboardInterrupt):
        answer_to(KeyboardInterrupt())


def test_the_threshold_is_that_of_the_innermost_search():
    assert reward_threshold() == DEFAULT_THRESHOLD
    with judging_above(-0.5):
        with suppress(ZeroDivisionError), judging_above(-0.9):
            assert reward_threshold() == -0.9
            raise ZeroDivisionError
        assert reward_threshold() == -0.5
    assert reward_threshold() == DEFAULT_THRESHOLD


@pytest.mark.parametrize("threshold", [0.1, -1.1, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float):
    with pytest.raises(ConfigError, match=r"threshold=.*\[-1, 0\]"), judging_above(threshold):
        pass


@pytest.mark.parametrize(
    "wrong", ["steps", lambda question, solution: 0.0, lambda question, *, reference: 0.0]
)
def test_what_cannot_be_called_as_a_verifier_is_refused(wrong: Any):
    with pytest.raises(ConfigError, match=r"callable as verifier\(question, solution, \*, reference=None\)"):
        checked_verifier(wrong)


async def judged_later(question: str, solution: str, *, reference: str | None = None) -> float:
    return -0.1


class JudgedLater:
    async def __call__(self, question: str, solution: str, *, reference: str | None = None) -> float:
        return -0.1


class Awaited:
    def __await__(self) -> Iterator[None]:
        yield


def awaited(question: str, solution: str, *, reference: str | None = None) -> Any:
    return Awaited()


def handed_on(question: str, solution: str, *, reference: str | None = None) -> Any:
    return judged_later(question, solution)


@pytest.mark.parametrize(
    "verifier",
    [
        judged_later,
        JudgedLater(),
        JudgedLater().__call__,
        functools.partial(judged_later, reference="4"),
        handed_on,
        awaited,
    ],
    ids=["function", "object", "method", "partial", "handed on", "awaitable"],
)
def test_a_verifier_that_is_a_coroutine_function_is_refused(verifier: Any) -> None:
    # Every warning is an error here, so one that it was never awaited as well.
    with pytest.raises(VerdictError, match=r"this one is a coroutine function.*write it with `def`"):
        ask(verifier, "2 + 2?", "4")
    gc.collect()
