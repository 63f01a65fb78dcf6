"""Searches on vLLM write what searches on our own decoder write, and share vLLM's batches."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import decode
from latentseek_agents.engine.cancellation import Cancelled, stopped_by
from latentseek_agents.errors import BackboneError
from latentseek_agents.testing import ScriptedVerifier
from latentseek_agents.tools import ProgramVerifier, SelfReward
from tests.engine.vllm_engine.test_decoder import REQUESTS, Failing, assert_same
from tests.support.batch_decoding import request, text, until
from tests.vllm.conftest import saved, with_vllm

CONFIG = LatentSeekConfig(max_new_tokens=24, fraction=0.5, learning_rate=0.5, max_iterations=3)
QUESTIONS = [f"What is {n} + {n * n}?" for n in range(8)]


def tokens(result: Any) -> list[list[int]]:
    return [attempt["token_ids"] for attempt in result.iterations]


def decoder(backbone: Backbone) -> Any:
    return backbone.decoder


def widened(name: str) -> Any:
    """A request of the other tests, its offsets as wide as this model."""
    asked = REQUESTS[name]()
    if asked.offsets is None:
        return asked
    wide = torch.cat([asked.offsets, asked.offsets], dim=-1)
    return type(asked)(**{**{f: getattr(asked, f) for f in asked.__dataclass_fields__}, "offsets": wide})


@pytest.mark.parametrize("name", REQUESTS)
def test_a_completion_is_that_of_our_own_decoder(served: Backbone, ours: Backbone, name: str):
    (got,), (expected,) = decode(served, [widened(name)]), decode(ours, [widened(name)])
    assert_same(got, expected)


def test_a_mixed_batch_writes_what_each_writes_alone(served: Backbone, ours: Backbone):
    for got, name in zip(decode(served, [widened(name) for name in REQUESTS]), REQUESTS, strict=True):
        assert_same(got, decode(ours, [widened(name)])[0])


@pytest.mark.parametrize("latents", ["consistent", "independent"])
def test_attempts_are_those_of_our_own_decoder(served: Backbone, ours: Backbone, latents: Any):
    """Eight questions, three iterations; in float32 nothing but a tie may differ, and there is none."""
    config = CONFIG.replace(latents=latents)
    got, expected = (
        LatentSeek(one, ScriptedVerifier([-1.0]), config).batch(QUESTIONS) for one in (served, ours)
    )
    assert [tokens(result) for result in got] == [tokens(result) for result in expected]
    assert all(len(result.iterations) == 4 for result in got)
    assert sum(len({tuple(ids) for ids in tokens(result)}) > 1 for result in got) >= 6
    assert [r.usage.policy_tokens for r in got] == [r.usage.policy_tokens for r in expected]


def test_samples_are_those_of_our_own_decoder(served: Backbone, ours: Backbone):
    config = CONFIG.replace(num_samples=3, temperature=1.0, continuation_temperature=1.0, baseline="mean")
    got, expected = (
        LatentSeek(one, ScriptedVerifier([-1.0, -0.5, -0.9]), config).invoke(QUESTIONS[3])
        for one in (served, ours)
    )
    assert tokens(got) == tokens(expected)


@pytest.mark.parametrize("mode", ["generate", "logprob"])
def test_self_reward_says_the_same(served: Backbone, ours: Backbone, mode: Any):
    said = [
        SelfReward(one, mode=mode, max_new_tokens=8)("What is 2 + 2?", "It is 4.") for one in (served, ours)
    ]
    assert said[0].score == pytest.approx(said[1].score, abs=1e-4)
    assert said[0].usage.verifier_tokens == said[1].usage.verifier_tokens


def test_a_program_is_asked_for(served: Backbone, ours: Backbone):
    said = [ProgramVerifier(one, max_new_tokens=8)("What is 2 + 2?", "It is 4.") for one in (served, ours)]
    assert said[0] == said[1] or said[0].reason == said[1].reason


def test_thirty_two_searches_share_steps(served: Backbone):
    decoder(served).most_rows, before = 0, decoder(served).steps
    seek = LatentSeek(served, ScriptedVerifier([-1.0]), CONFIG)
    questions = [f"How many are {n} dozen?" for n in range(32)]
    results = seek.batch(questions, config={"max_concurrency": 32})
    assert decoder(served).most_rows >= 24
    written = sum(result.usage.policy_tokens for result in results)
    assert written > 5 * (decoder(served).steps - before)
    alone = seek.invoke(questions[7])
    assert tokens(alone) == tokens(results[7])


def test_a_cancelled_search_leaves_within_a_step(served: Backbone):
    stop, failures = threading.Event(), []

    def ask() -> None:
        try:
            with stopped_by(stop):
                decode(served, [request(prompt_ids=text(20, n), max_new_tokens=1500) for n in range(4)])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    began = decoder(served).steps
    until(lambda: decoder(served).steps > began + 5)
    stop.set()
    left = decoder(served).steps
    thread.join()
    until(lambda: not decoder(served).running)
    assert decoder(served).steps <= left + 1
    assert isinstance(failures[0], Cancelled)
    assert not decoder(served).engine.has_unfinished_requests()


def test_a_constraint_that_fails_leaves_the_engine_to_others(served: Backbone, ours: Backbone):
    with pytest.raises(ValueError, match="the schema"):
        decode(served, [request(constraint=Failing()), request(max_new_tokens=1500)])
    until(lambda: not decoder(served).running)
    assert_same(decode(served, [request()])[0], decode(ours, [request()])[0])


def test_a_deadline_holds(served: Backbone):
    began = time.monotonic()
    (got,) = decode(served, [request(max_new_tokens=1900, deadline=began + 0.5)])
    assert got.finish_reason == "seconds"
    assert 1 <= got.new_tokens < 1900
    # Longer than any machine takes for it.
    long = CONFIG.replace(max_seconds=0.2, max_new_tokens=1500, max_iterations=1000)
    result = LatentSeek(served, ScriptedVerifier([-1.0]), long).invoke(QUESTIONS[0])
    assert result.stop_reason == "seconds"


def test_costs_are_counted(served: Backbone):
    prompt = text(300, 77)
    (first,), (again,) = (decode(served, [request(prompt_ids=prompt)]) for _ in range(2))
    assert (first.prompt_tokens, first.new_tokens, first.forward_passes) == (300, 12, 12)
    assert first.computed_tokens == 300 + 11
    assert again.prompt_tokens < 300  # vLLM keeps whole blocks of a prompt
    assert first.usage("policy", prompt_tokens=300) == again.usage("policy", prompt_tokens=300)


async def test_searches_run_under_asyncio(served: Backbone):
    seek = LatentSeek(served, ScriptedVerifier([-1.0]), CONFIG)
    results = await asyncio.gather(*(seek.ainvoke(question) for question in QUESTIONS[:4]))
    assert [tokens(result) for result in results] == [tokens(result) for result in seek.batch(QUESTIONS[:4])]


def test_requests_that_were_preempted_write_the_same(folder: str, ours: Backbone):
    """A cache for a few of the requests alone: the others are dropped from it, and computed again."""
    small = with_vllm(folder, num_gpu_blocks_override=4, block_size=32, max_model_len=96, max_num_seqs=4)
    scheduler = decoder(small).engine.engine_core.engine_core.scheduler
    preempted = []
    original = scheduler._preempt_request
    scheduler._preempt_request = lambda *given, **named: (
        preempted.append(1) or original(*given, **named)  # type: ignore[func-returns-value]
    )
    offsets = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    asked = [
        request(prompt_ids=text(20, n), max_new_tokens=60, offsets=offsets, temperature=0.7, seed=n)
        for n in range(4)
    ]
    got = decode(small, asked)
    assert preempted
    for one, alone in zip(got, asked, strict=True):
        assert_same(one, decode(ours, [alone])[0])


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("Gemma2", {"query_pre_attn_scalar": 32, "sliding_window": 512}), ("Granite", {})],
)
def test_capped_and_scaled_heads_are_right(tmp_path: Path, architecture: str, changes: dict[str, Any]):
    name = saved(tmp_path, architecture, **changes)
    ours, served = Backbone.from_pretrained(name, dtype="float32", device="cpu"), with_vllm(name)
    got, expected = (LatentSeek(o, ScriptedVerifier([-1.0]), CONFIG).batch(QUESTIONS) for o in (served, ours))
    assert [tokens(result) for result in got] == [tokens(result) for result in expected]


def test_a_head_that_is_not_known_is_refused(folder: str, monkeypatch: pytest.MonkeyPatch):
    from vllm.model_executor.models.llama import LlamaForCausalLM

    original = LlamaForCausalLM.compute_logits
    monkeypatch.setattr(
        LlamaForCausalLM, "compute_logits", lambda self, hidden: original(self, hidden).abs().sqrt()
    )
    with pytest.raises(BackboneError, match="do not follow from its head"):
        with_vllm(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tensor_parallel_size": 2}, "one device"),
        ({"speculative_config": {"method": "ngram"}}, "guessed tokens"),
        ({"enable_lora": True}, "merge it"),
        ({"distributed_executor_backend": "mp"}, "this process"),
        ({"no_such_argument": 1}, "no_such_argument"),
        ({"dtype": "int8"}, "int8"),
    ],
)
def test_what_a_search_cannot_use_is_refused(folder: str, arguments: dict[str, Any], message: str):
    with pytest.raises(BackboneError, match=message):
        with_vllm(folder, **arguments)


def test_global_state_is_kept(folder: str):
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.set_num_threads
    with_vllm(folder)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.set_num_threads is threads


def test_a_search_resumes_with_its_own_engine_alone(served: Backbone, ours: Backbone):
    assert served.fingerprint != ours.fingerprint
    assert served.number_format == "float32"
    assert (served.context_window, served.eos_token_ids) == (8192, ours.eos_token_ids)
