"""The decoder before vLLM, with a stand-in for the engine: the completions of our own decoder."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import Completion, DecodeRequest, PendingCall, decode
from latentseek_agents.engine.cancellation import Cancelled, stopped_by
from latentseek_agents.errors import InputError, NonFiniteError
from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
from latentseek_agents.tools import SelfReward
from tests.support.batch_decoding import NO_END, request, text, until
from tests.support.engine_double import EngineDouble, double_of, sampling_params  # noqa: F401

pytestmark = pytest.mark.usefixtures("sampling_params")

CONFIG = LatentSeekConfig(max_new_tokens=24, fraction=0.5, learning_rate=1.0, max_iterations=3)


def offsets(count: int, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(count, 32, generator=torch.Generator().manual_seed(1))


class Alternating:
    """A constraint with a state: two kinds of tokens by turns."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def allowed(self) -> torch.Tensor:
        return torch.arange(200) % 2 == len(self.taken) % 2

    def take(self, token_id: int) -> None:
        self.taken.append(token_id)


class Ending:
    """Allows one token and then an end; asked any further, it fails, as a grammar does."""

    def __init__(self, end: int) -> None:
        self.left = [9, end]

    def allowed(self) -> torch.Tensor:
        if not self.left:
            raise ValueError("the grammar is at its end")
        return torch.arange(200) == self.left[0]

    def take(self, token_id: int) -> None:
        assert token_id == self.left.pop(0)


class Failing(Alternating):
    """A constraint that fails at its fourth token."""

    def take(self, token_id: int) -> None:
        super().take(token_id)
        if len(self.taken) == 4:
            raise ValueError("the schema cannot be held to")


REQUESTS: dict[str, Callable[[], DecodeRequest]] = {
    "greedy": request,
    "forced": lambda: request(forced_ids=text(3, 5)),
    "moved": lambda: request(offsets=offsets(6)),
    "moved behind forced tokens": lambda: request(offsets=offsets(6), forced_ids=text(3, 5)),
    "drawn": lambda: request(temperature=1.0, seed=7),
    "drawn at the offsets": lambda: request(offsets=offsets(6), offset_temperature=1.5, seed=8),
    "moved, then drawn": lambda: request(offsets=offsets(6), temperature=1.5, seed=9),
    "constrained": lambda: request(constraint=Alternating()),
    "constrained and drawn": lambda: request(constraint=Alternating(), temperature=1.0, seed=3),
    "short": lambda: request(max_new_tokens=1),
    "nothing": lambda: request(max_new_tokens=0, forced_ids=text(3, 5)),
}


@pytest.fixture(scope="module")
def ours() -> Backbone:
    return tiny_backbone()


@pytest.fixture
def double(ours: Backbone):
    made = double_of(ours)
    yield made
    decoder(made).close()


@pytest.fixture(params=[False, True], ids=["calm", "unruly"])
def any_double(ours: Backbone, request: pytest.FixtureRequest):
    made = double_of(ours, unruly=request.param)
    yield made
    decoder(made).close()


def decoder(backbone: Backbone) -> Any:
    return backbone.decoder


def engine(backbone: Backbone) -> Any:
    return decoder(backbone).engine


def assert_same(got: Completion, expected: Completion) -> None:
    assert got.token_ids == expected.token_ids
    assert got.finish_reason == expected.finish_reason
    assert got.new_tokens == expected.new_tokens
    torch.testing.assert_close(got.hidden, expected.hidden[: len(got.hidden)], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_completion_is_that_of_our_own_decoder(ours: Backbone, any_double: Backbone, name: str):
    (got,), (expected,) = decode(any_double, [REQUESTS[name]()]), decode(ours, [REQUESTS[name]()])
    assert_same(got, expected)
    assert len(got.hidden) == got.new_tokens


def test_a_batch_writes_what_each_writes_alone(ours: Backbone, any_double: Backbone):
    asked = [make() for make in REQUESTS.values()]
    got = decode(any_double, asked)
    for one, make in zip(got, REQUESTS.values(), strict=True):
        assert_same(one, decode(ours, [make()])[0])
    assert max(engine(any_double).together) == len(asked) - 1  # one needs no step


def test_only_the_hidden_states_that_are_wanted_come_back(double: Backbone):
    for states in (0, 3, 100):
        (got,) = decode(double, [request(states=states)])
        assert len(got.hidden) == min(states, 12)
        assert got.new_tokens == 12


def test_an_end_token_ends(ours: Backbone, double: Backbone):
    (whole,) = decode(ours, [request()])
    asked = request(end_token_ids=frozenset({whole.token_ids[4]}))
    (got,) = decode(double, [asked])
    assert_same(got, decode(ours, [asked])[0])
    assert got.finish_reason == "stop"


def test_costs_are_counted(double: Backbone):
    (got,) = decode(double, [request(forced_ids=text(3, 5))])
    usage = got.usage("policy", prompt_tokens=20)
    assert (usage.policy_tokens, usage.policy_forward_passes) == (12, 12)
    assert usage.policy_computed_tokens == 20 + 3 + 11
    assert got.usage("policy", prompt_tokens=0).policy_computed_tokens == 3 + 11


@pytest.mark.parametrize("latents", ["consistent", "independent"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"num_samples": 3, "temperature": 1.5, "baseline": "mean"}, {"continuation_temperature": 1.0}],
    ids=["greedy", "samples", "continuation"],
)
def test_attempts_of_a_search_are_the_same(
    ours: Backbone, double: Backbone, latents: Any, changes: dict[str, Any]
):
    config = CONFIG.replace(latents=latents, **changes)
    for question in ("What is 2 + 2?", "How many legs have 7 cats?"):
        expected = LatentSeek(ours, ScriptedVerifier([-1.0]), config).invoke(question)
        got = LatentSeek(double, ScriptedVerifier([-1.0]), config).invoke(question)
        assert [one["token_ids"] for one in got.iterations] == [
            one["token_ids"] for one in expected.iterations
        ]
        assert len({tuple(one["token_ids"]) for one in got.iterations}) > 1
        assert got.usage.policy_tokens == expected.usage.policy_tokens


@pytest.mark.parametrize("architecture", ["Gemma2", "Granite", "Cohere"])
def test_attempts_with_capped_and_scaled_heads_are_the_same(architecture: str):
    ours = tiny_backbone(architecture)
    got, expected = (
        LatentSeek(one, ScriptedVerifier([-1.0]), CONFIG).invoke("What is 2 + 2?")
        for one in (double_of(ours), ours)
    )
    assert [one["token_ids"] for one in got.iterations] == [one["token_ids"] for one in expected.iterations]
    assert len({tuple(one["token_ids"]) for one in got.iterations}) > 1


@pytest.mark.parametrize("mode", ["generate", "logprob"])
def test_self_reward_says_the_same(mode: Any):
    ours = tiny_backbone(max_position_embeddings=4096)
    said = [
        SelfReward(one, mode=mode, max_new_tokens=8)("What is 2 + 2?", "It is 4.")
        for one in (double_of(ours), ours)
    ]
    assert [check.reason for check in said[0].checks] == [check.reason for check in said[1].checks]
    assert said[0].score == pytest.approx(said[1].score, abs=1e-4)


def test_threads_share_steps(ours: Backbone, double: Backbone):
    gate = threading.Event()
    engine(double).delay = gate.wait
    found: dict[int, list[int]] = {}

    def ask(number: int) -> None:
        found[number] = decode(double, [request(prompt_ids=text(20, number))])[0].token_ids

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    until(lambda: len(decoder(double)._waiting) + decoder(double).running >= 32)
    gate.set()
    for thread in threads:
        thread.join()
    for number in (0, 13, 31):
        expected = decode(ours, [request(prompt_ids=text(20, number))])[0].token_ids
        assert found[number] == expected
    assert max(engine(double).together) >= 31
    assert len(engine(double).together) < 2 * 12 + 2
    assert not engine(double).requests


def test_a_cancelled_caller_leaves_within_a_step(double: Backbone):
    stop, steps = threading.Event(), engine(double).together
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            with stopped_by(stop):
                decode(double, [request(max_new_tokens=900)] * 3)
        except BaseException as error:
            failures.append(error)

    other = threading.Thread(target=lambda: decode(double, [request(max_new_tokens=60)]))
    thread = threading.Thread(target=ask)
    thread.start()
    other.start()
    until(lambda: len(steps) > 3)
    stop.set()
    before = len(steps)
    thread.join()
    until(lambda: len(steps) > before + 2 or not other.is_alive())
    other.join()
    assert isinstance(failures[0], Cancelled)
    assert len(engine(double).aborted) == 3
    assert max(steps[before + 1 :], default=1) <= 1


def test_a_failing_callback_takes_its_request_out(double: Backbone):
    def fail(_: int) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        decode(double, [request(on_token=fail, max_new_tokens=900)])
    until(lambda: not engine(double).requests)


def test_a_cancelled_caller_need_not_wake_first(double: Backbone):
    """A thread that does not get the processor would otherwise keep its requests in the engine."""
    stop, steps = threading.Event(), engine(double).together
    with stopped_by(stop):
        call = PendingCall([request(max_new_tokens=900)])
    with decoder(double)._condition:
        decoder(double)._waiting.append(call)
        decoder(double)._condition.notify()
    until(lambda: len(steps) > 3)
    stop.set()
    until(lambda: engine(double).aborted)
    assert not engine(double).requests


def test_a_constraint_that_fails_ends_its_own_call_alone(ours: Backbone, any_double: Backbone):
    found: list[list[int]] = []
    other = threading.Thread(
        target=lambda: found.append(decode(any_double, [request(max_new_tokens=40)])[0].token_ids)
    )
    gate = threading.Event()
    engine(any_double).delay = gate.wait
    other.start()
    until(lambda: decoder(any_double).running)
    gate.set()
    with pytest.raises(ValueError, match="the schema"):
        decode(any_double, [request(constraint=Failing()), request(max_new_tokens=900)])
    other.join()
    assert found == [decode(ours, [request(max_new_tokens=40)])[0].token_ids]
    until(lambda: not engine(any_double).requests)
    assert_same(decode(any_double, [request()])[0], decode(ours, [request()])[0])


def test_a_constraint_is_not_asked_beyond_its_end(any_double: Backbone):
    (got,) = decode(any_double, [request(constraint=Ending(11), end_token_ids=frozenset({11}))])
    assert (got.token_ids, got.finish_reason) == ([9, 11], "stop")


def test_a_finished_request_keeps_nothing(double: Backbone, monkeypatch: pytest.MonkeyPatch):
    """vLLM may hold it until another request takes its slot."""
    entered: list[Any] = []
    add = EngineDouble.add_request

    def noted(self: EngineDouble, name: str, prompt: Any, params: Any) -> None:
        add(self, name, prompt, params)
        entered.append(self.requests[name].row)

    monkeypatch.setattr(EngineDouble, "add_request", noted)
    (got,) = decode(double, [request(offsets=offsets(6), temperature=1.0)])
    (row,) = entered
    until(lambda: not row.moments and not row.finite)
    assert len(got.hidden) == 12
    assert row.finished
    assert row.offsets is None


def test_a_deadline_returns_what_there_is(double: Backbone):
    engine(double).delay = lambda: time.sleep(0.02)
    (got,) = decode(double, [request(max_new_tokens=900, deadline=time.monotonic() + 0.3)])
    assert got.finish_reason == "seconds"
    assert 1 <= got.new_tokens < 100
    assert len(got.hidden) == got.new_tokens
    (late,) = decode(double, [request(deadline=time.monotonic() - 1)])
    assert (late.finish_reason, late.new_tokens) == ("seconds", 1)


def test_tokens_are_told_in_order(double: Backbone):
    heard: list[int] = []
    (got,) = decode(double, [request(on_token=heard.append)])
    assert heard == got.token_ids


async def test_searches_run_under_asyncio(double: Backbone):
    seek = LatentSeek(double, ScriptedVerifier([-1.0]), CONFIG)
    results = await asyncio.gather(*(seek.ainvoke(f"What is {n} + 2?") for n in range(4)))
    assert all(len(result.iterations) == 4 for result in results)


def test_a_wrong_request_fails_alone(ours: Backbone, double: Backbone):
    with pytest.raises(ValueError, match="too long"):
        decode(double, [request(prompt_ids=text(1500))])
    with pytest.raises(InputError, match="the model knows"):
        decode(double, [request(prompt_ids=[1000])])
    assert decode(double, [request()])[0].token_ids == decode(ours, [request()])[0].token_ids


def test_a_failing_engine_wakes_all_callers(ours: Backbone):
    double = double_of(ours)
    engine(double).failure = RuntimeError("the device is gone")
    with pytest.raises(RuntimeError, match="the device is gone"):
        decode(double, [request()])
    with pytest.raises(RuntimeError, match="failed before"):
        decode(double, [request()])


def test_logits_that_are_not_finite_are_an_error(ours: Backbone):
    broken = tiny_backbone()
    broken.model.lm_head.weight.data[5] = float("nan")
    double = double_of(ours)
    engine(double).model = broken.model
    for asked in (
        request(),
        request(states=0, temperature=1.0),
        request(states=0, constraint=Alternating()),
    ):
        with pytest.raises(NonFiniteError, match="NaN"):
            decode(double, [asked])


def test_plain_requests_are_left_to_vllm(ours: Backbone):
    double = double_of(ours)
    seen: list[int] = []
    apply = engine(double).rows.apply
    engine(double).rows.apply = lambda logits, rows: (seen.append(len(rows)), apply(logits, rows))  # type: ignore[func-returns-value]
    decode(double, [replace(request(), states=0)])
    assert not any(seen)


def test_the_decoder_ends_when_it_is_dropped(ours: Backbone):
    double = double_of(ours)
    made = engine(double)
    decode(double, [request()])
    del double
    until(lambda: made.stopped)


def test_a_process_ends_when_vllm_is_shut_down():
    """Also where the decoder is gone before: a thread in vLLM's code would abort the process."""
    script = """
import threading, time
from types import SimpleNamespace
from latentseek_agents.engine._vllm.decoder import VLLMDecoder
from latentseek_agents.engine._vllm.row_logits import RowLogits

begun = threading.Event()

def shut_down():
    begun.set()
    time.sleep(1)
    print("shut down")

engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=shut_down))
VLLMDecoder(lambda: engine, RowLogits(), name="dropped at once")
begun.wait()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "shut down"


def test_no_end_is_ever_an_end_of_the_model(double: Backbone):
    assert decode(double, [request(end_token_ids=NO_END)])[0].new_tokens == 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_told_to_load_the_model(double: Backbone):
    decode(double, [request()])
    child = os.fork()
    if not child:
        try:
            decode(double, [request()])
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert decode(double, [request()])[0].new_tokens == 12
