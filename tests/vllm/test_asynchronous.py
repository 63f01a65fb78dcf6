"""Asynchronous scheduling: vLLM plans a step before the token of the step before is known. A GPU's default.

vLLM switches it off on a CPU; here it is switched on again.
"""

from typing import Any

import pytest
import torch

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import decode
from latentseek_agents.testing import ScriptedVerifier
from tests.engine.vllm_engine.test_decoder import REQUESTS, Ending, assert_same
from tests.support.batch_decoding import request, text
from tests.vllm.conftest import with_vllm
from tests.vllm.test_search import QUESTIONS, tokens, widened

CONFIG = LatentSeekConfig(max_new_tokens=24, fraction=0.5, learning_rate=0.5, max_iterations=3)


@pytest.fixture(scope="module")
def ahead(folder: str):
    from vllm.platforms.cpu import CpuPlatform

    original = CpuPlatform.check_and_update_config

    def asynchronous(config: Any) -> None:
        original(config)
        config.scheduler_config.async_scheduling = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CpuPlatform, "check_and_update_config", staticmethod(asynchronous))
        yield with_vllm(folder, num_gpu_blocks_override=16, block_size=32, max_model_len=160)


def test_it_is_on(ahead: Backbone):
    decoder: Any = ahead.decoder
    assert decoder.engine.vllm_config.scheduler_config.async_scheduling
    assert decoder.engine.engine_core.engine_core.batch_queue is not None


@pytest.mark.parametrize("name", REQUESTS)
def test_a_completion_is_that_of_our_own_decoder(ahead: Backbone, ours: Backbone, name: str):
    assert_same(decode(ahead, [widened(name)])[0], decode(ours, [widened(name)])[0])


def test_attempts_are_those_of_our_own_decoder(ahead: Backbone, ours: Backbone):
    config = CONFIG.replace(prompt=lambda question: question)
    got, expected = (
        LatentSeek(one, ScriptedVerifier([-1.0]), config).batch(QUESTIONS) for one in (ahead, ours)
    )
    assert [tokens(result) for result in got] == [tokens(result) for result in expected]


def test_a_constraint_is_not_asked_beyond_its_end(ahead: Backbone, ours: Backbone):
    (got,) = decode(ahead, [request(constraint=Ending(11), end_token_ids=frozenset({11}))])
    assert (got.token_ids, got.finish_reason) == ([9, 11], "stop")
    assert_same(decode(ahead, [request()])[0], decode(ours, [request()])[0])


def test_preempted_requests_write_the_same(ahead: Backbone, ours: Backbone):
    """Sixteen blocks of 32 tokens hold five of these eight to their end."""
    decoder: Any = ahead.decoder
    scheduler = decoder.engine.engine_core.engine_core.scheduler
    preempted: list[int] = []
    original = scheduler._preempt_request
    scheduler._preempt_request = lambda *given, **named: (
        preempted.append(1) or original(*given, **named)  # type: ignore[func-returns-value]
    )
    offsets = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    asked = [
        request(prompt_ids=text(20, n), max_new_tokens=80, offsets=offsets, temperature=0.7, seed=n)
        for n in range(8)
    ]
    got = decode(ahead, asked)
    assert preempted
    for one, alone in zip(got, asked, strict=True):
        assert_same(one, decode(ours, [alone])[0])
