"""Decoding alone: from snapshots of what the model keeps, whatever that is."""

import logging
import threading
from typing import Any

import pytest
import torch

from latentseek_agents.engine._decoding import decode
from latentseek_agents.engine._decoding.plain import Prefix
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import Cancelled, stopped_by
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer
from tests.support import naive_search
from tests.support.batch_decoding import cache_of, fresh, model_decoder, request, text

# A state beside keys and values, states alone, a plain list of tensors, a class of its own, nothing at all.
KEEPING = ["qwen3_5_text", "mamba2", "rwkv", "minimax", "openai-gpt"]


def run(backbone: Backbone, **changes: Any) -> Any:
    (completion,) = decode(backbone, [request(**{"max_new_tokens": 4} | changes)])
    return completion


@pytest.mark.parametrize("kind", KEEPING)
def test_going_on_from_a_snapshot_leaves_it_as_it_is(kind: str):
    policy = tiny_backbone(kind).policy
    cache = policy.new_cache()
    policy.layers(torch.tensor([text(9)]), cache)
    first = cache.fork()
    again = [policy.layers(torch.tensor([[5]]), first), policy.layers(torch.tensor([[6]]), first)]
    expected = naive_search.whole_pass(policy.model, [*text(9), 5, 6])[1][-2:]
    for _ in range(2):
        fork = cache.fork()
        got = [policy.layers(torch.tensor([[token]]), fork) for token in (5, 6)]
        assert torch.equal(torch.cat(got), torch.cat(again))
        torch.testing.assert_close(torch.cat(got), expected.detach(), rtol=1e-3, atol=1e-3)
    assert cache.length == 9


@pytest.mark.parametrize("kind", ["qwen3_5_text", "openai-gpt"])
def test_a_prompt_is_read_once_and_forced_tokens_behind_it(kind: str):
    backbone = tiny_backbone(kind)
    assert run(backbone).forward_passes == 4
    assert run(backbone).forward_passes == 3
    forced = run(backbone, forced_ids=[5, 6, 7])
    assert forced.prompt_passes == 0
    expected, _ = naive_search.greedy(backbone.model, text(20), [5, 6, 7], 4)
    assert forced.token_ids == expected
    assert isinstance(cache_of(backbone).get(tuple(text(20))), Prefix)


@pytest.mark.parametrize("kind", KEEPING)
def test_completions_of_one_prompt_share_passes_and_are_those_of_each_alone(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    backbone = tiny_backbone(kind)
    plain = run(backbone).token_ids
    requests = [
        request(
            max_new_tokens=2 + i % 3,
            forced_ids=[5 + i, 6],
            temperature=float(i == 3),
            seed=i,
            end_token_ids=frozenset(plain[2:3]),
        )
        for i in range(5)
    ]
    passes = 0
    own = backbone.policy.layers_of_rows

    def counted(*given: Any) -> torch.Tensor:
        nonlocal passes
        passes += 1
        return own(*given)

    shared = backbone.policy.reads_rows_together
    with monkeypatch.context() as patch:
        patch.setattr(backbone.policy, "layers_of_rows", counted)
        together = decode(backbone, requests)
    lonely = fresh(backbone, batch=False)
    for one, asked in zip(together, requests, strict=True):
        (alone,) = decode(lonely, [asked])
        assert (one.token_ids, one.finish_reason) == (alone.token_ids, alone.finish_reason)
        assert one.forward_passes - one.prompt_passes == alone.forward_passes - alone.prompt_passes
        torch.testing.assert_close(one.hidden, alone.hidden, rtol=1e-3, atol=1e-3)
    # RWKV mixes rows up, and MiniMax has a cache of its own kind.
    assert shared is (kind in {"qwen3_5_text", "mamba2", "openai-gpt"})
    assert passes == max(one.new_tokens for one in together) if shared else passes > 8


def test_kept_prompts_are_bounded_by_the_memory_that_their_states_take():
    backbone = tiny_backbone("mamba2")
    cache = cache_of(backbone)
    for seed in range(6):
        run(backbone, prompt_ids=text(4, seed), max_new_tokens=1)
    one = cache.get(tuple(text(4, 5)))
    taken = -(-one.cache.nbytes // backbone.policy.bytes_per_cached_token)
    assert len(cache) == 6
    cache.max_tokens = 3 * taken
    run(backbone, prompt_ids=text(4, 9), max_new_tokens=1)
    assert len(cache) == 3


@pytest.mark.parametrize(
    ("kind", "name", "why", "how"),
    [
        ("mamba2", "Mamba2ForCausalLM", "it has a recurrent state", "share passes"),
        ("rwkv", "RwkvForCausalLM", "it has a recurrent state", "are written in turns, a token of each"),
    ],
)
def test_how_several_requests_are_decoded_is_said_once(
    kind: str, name: str, why: str, how: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    backbone = tiny_backbone(kind)
    for _ in range(3):
        decode(backbone, [request(max_new_tokens=2), request(max_new_tokens=2, prompt_ids=text(5))])
    run(backbone, max_new_tokens=1)
    said = [record.message for record in caplog.records if record.message.startswith(name)]
    assert said == [
        f"{name} reads one prompt after another: {why}",
        f"{name}: texts of several prompts {how}",
    ]


def test_a_model_that_reads_one_token_at_a_time(monkeypatch: pytest.MonkeyPatch):
    model = tiny_model("mamba2")
    own = type(model.backbone).forward

    def forward(self: Any, input_ids: Any = None, cache_params: Any = None, **given: Any) -> Any:
        if cache_params is not None and cache_params.has_previous_state() and input_ids.shape[1] > 1:
            raise ValueError("one token at a time")
        return own(self, input_ids, cache_params=cache_params, **given)

    monkeypatch.setattr(type(model.backbone), "forward", forward)
    backbone = Backbone.from_model(model, tiny_tokenizer())
    assert backbone.policy.cache_form.in_parts is False
    got = run(backbone, forced_ids=[5, 6, 7])
    expected, _ = naive_search.greedy(model, text(20), [5, 6, 7], 4)
    assert (got.token_ids, got.forward_passes) == (expected, 1 + 3 + 3)


@pytest.mark.parametrize("kind", ["qwen3_5_text", "rwkv"])
def test_what_was_kept_in_inference_mode_serves_outside(kind: str):
    backbone = tiny_backbone(kind)
    with torch.inference_mode():
        expected = run(backbone)
    for got in (run(backbone), run(fresh(backbone))):
        assert got.token_ids == expected.token_ids
        assert torch.equal(got.hidden, expected.hidden)


def test_a_cancelled_caller_is_heard_between_tokens():
    backbone, stop = tiny_backbone("mamba2"), threading.Event()
    told: list[int] = []

    def hear(token: int) -> None:
        told.append(token)
        if len(told) == 2:
            stop.set()

    with stopped_by(stop), pytest.raises(Cancelled):
        decode(backbone, [request(max_new_tokens=50, on_token=hear)])
    assert len(told) == 2


@pytest.mark.parametrize("kind", ["openai-gpt", "recurrent_gemma"])
def test_a_model_that_keeps_nothing_or_keeps_it_in_itself_is_told(
    kind: str, caplog: pytest.LogCaptureFixture
):
    backbone = tiny_backbone(kind)
    assert model_decoder(backbone).packed is None
    assert backbone.policy.cache_form.name is None
    assert "reads its whole text again for every token" in caplog.text
