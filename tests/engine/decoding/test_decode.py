"""The cached decoder writes what a full pass per token would write, whatever else goes on."""

import copy
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from latentseek_agents.engine._decoding import Completion, DecodeRequest, DecodingOptions, decode, pick_tokens
from latentseek_agents.engine._decoding.kv_cache import PrefixCache
from latentseek_agents.engine._decoding.plain import Prefix
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import NonFiniteError
from latentseek_agents.testing import tiny_backbone
from tests.support.batch_decoding import cache_of
from tests.support.naive_decoding import greedy, hidden_states

# Longer than the sliding windows of the tiny models.
PROMPT = [3 + (41 * i) % 250 for i in range(20)]
NO_END = frozenset[int]()


def fresh(backbone: Backbone, **options: Any) -> Backbone:
    """The same model with nothing cached."""
    return Backbone.from_model(backbone.model, backbone.tokenizer, decoding=DecodingOptions(**options))


def request(**changes: Any) -> DecodeRequest:
    settings: dict[str, Any] = {"prompt_ids": PROMPT, "max_new_tokens": 12, "end_token_ids": NO_END}
    return DecodeRequest(**settings | changes)


def run(backbone: Backbone, **changes: Any) -> Completion:
    (completion,) = decode(backbone, [request(**changes)])
    return completion


def assert_alike(got: Completion, expected: Completion) -> None:
    """Computed in other company: the same tokens, and hidden states up to rounding."""
    assert got.token_ids == expected.token_ids
    assert got.finish_reason == expected.finish_reason
    torch.testing.assert_close(got.hidden, expected.hidden, rtol=1e-3, atol=1e-4)


def assert_same(got: Completion, expected: Completion) -> None:
    assert got.token_ids == expected.token_ids
    assert got.finish_reason == expected.finish_reason
    assert torch.equal(got.hidden, expected.hidden)


def test_cached_decoding_equals_a_full_pass_per_token(any_backbone: Backbone):
    tokens, hidden = greedy(any_backbone.model, PROMPT, [], 12)
    completion = run(any_backbone)
    assert completion.token_ids == tokens
    assert (completion.finish_reason, completion.new_tokens) == ("length", 12)
    torch.testing.assert_close(completion.hidden, hidden, rtol=1e-3, atol=1e-4)


def test_hidden_rows_are_those_that_predict_the_tokens(any_backbone: Backbone):
    completion = run(any_backbone)
    rows = hidden_states(any_backbone.model, PROMPT + completion.token_ids)[len(PROMPT) - 1 : -1]
    torch.testing.assert_close(completion.hidden, rows, rtol=1e-3, atol=1e-4)
    assert any_backbone.logits(completion.hidden).argmax(-1).tolist() == completion.token_ids


def test_forced_tokens_are_continued(any_backbone: Backbone):
    forced = [9, 200, 33, 70, 12]
    tokens, hidden = greedy(any_backbone.model, PROMPT, forced, 8)
    completion = run(any_backbone, forced_ids=forced, max_new_tokens=8)
    assert completion.token_ids == tokens
    assert completion.token_ids[:5] == forced
    assert completion.hidden.shape == (8, 32)
    torch.testing.assert_close(completion.hidden, hidden, rtol=1e-3, atol=1e-4)


def test_forced_tokens_of_a_completion_lead_to_the_same_completion(tiny: Backbone):
    whole = run(tiny)
    part = run(tiny, forced_ids=whole.token_ids[:7], max_new_tokens=5)
    assert part.token_ids == whole.token_ids
    torch.testing.assert_close(part.hidden, whole.hidden[7:], rtol=1e-4, atol=1e-5)


def test_nothing_to_add(tiny: Backbone):
    completion = run(tiny, forced_ids=[5, 6], max_new_tokens=0)
    assert completion.token_ids == [5, 6]
    assert completion.hidden.shape == (0, 32)
    assert completion.finish_reason == "length"


@pytest.mark.parametrize("batch", [True, False])
def test_a_prompt_is_computed_once(tiny: Backbone, batch: bool):
    backbone = fresh(tiny, batch=batch, speculate=False)
    # The prompt, and one pass for each token but the last.
    assert run(backbone, max_new_tokens=6).forward_passes == 6
    assert run(backbone, max_new_tokens=6).forward_passes == 5
    assert run(backbone, max_new_tokens=6, forced_ids=[5, 6, 7]).forward_passes == 6
    assert run(backbone, max_new_tokens=1).forward_passes == 0
    assert run(backbone, max_new_tokens=1, prompt_ids=PROMPT[:-1]).forward_passes == 1


@pytest.mark.parametrize("architecture", ["Llama", "Gemma3"])
def test_what_is_cached_does_not_show_in_what_is_written(architecture: str):
    backbone = tiny_backbone(architecture)
    expected = run(fresh(backbone))
    run(backbone, forced_ids=[5, 6, 7])
    run(backbone, temperature=1.0)
    assert_same(run(backbone), expected)


def test_the_prefixes_unused_longest_leave_first():
    cache = PrefixCache(max_tokens=10)
    cache.put(("first",), 1, 4)
    cache.put(("second",), 2, 4)
    assert cache.get(("first",)) == 1
    cache.put(("third",), 3, 4)
    assert cache.get(("second",)) is None
    assert (cache.get(("first",)), cache.get(("third",))) == (1, 3)
    cache.put(("third",), 33, 6)
    assert (len(cache), cache.get(("first",)), cache.get(("third",))) == (2, 1, 33)
    cache.put(("third",), 333, 7)
    assert (len(cache), cache.get(("first",)), cache.get(("third",))) == (1, None, 333)
    cache.put(("long",), 4, 99)
    assert len(cache) == 1
    assert cache.get(("long",)) == 4


def test_an_evicted_prompt_is_computed_again_with_the_same_result(tiny: Backbone):
    backbone = fresh(tiny)
    cache_of(backbone).max_tokens = 30
    expected = run(backbone)
    run(backbone, prompt_ids=PROMPT[:-1])
    again = run(backbone)
    assert again.forward_passes == expected.forward_passes
    assert_same(again, expected)


def test_growing_a_fork_leaves_the_prefix_alone(tiny: Backbone):
    backbone = fresh(tiny, batch=False)
    run(backbone)
    prefix = cache_of(backbone).get(tuple(PROMPT))
    assert isinstance(prefix, Prefix)
    assert prefix.cache.value.get_seq_length() == len(PROMPT)
    assert prefix.hidden.shape == (32,)
    assert prefix.hidden.untyped_storage().nbytes() == 32 * 4


def test_zero_offsets_change_nothing(tiny: Backbone):
    assert_same(run(tiny, offsets=torch.zeros(10, 32)), run(tiny))


def test_offsets_equal_the_naive_computation(any_backbone: Backbone):
    scale = hidden_states(any_backbone.model, PROMPT)[-1].abs().mean()
    offsets = scale * torch.randn(8, 32, generator=torch.Generator().manual_seed(1))
    tokens, hidden = greedy(any_backbone.model, PROMPT, [], 12, offsets=offsets)
    completion = run(any_backbone, offsets=offsets)
    assert completion.token_ids == tokens
    torch.testing.assert_close(completion.hidden, hidden, rtol=1e-3, atol=1e-3)
    forced, _ = greedy(any_backbone.model, PROMPT, tokens[:5], 7, offsets=offsets)
    assert run(any_backbone, forced_ids=tokens[:5], max_new_tokens=7, offsets=offsets).token_ids == forced


def test_offsets_do_matter(tiny: Backbone):
    offsets = 3 * torch.randn(12, 32, generator=torch.Generator().manual_seed(1))
    assert run(tiny, offsets=offsets).token_ids != run(tiny).token_ids


def test_offsets_have_their_own_temperature(tiny: Backbone):
    plain, offsets = run(tiny), torch.zeros(6, 32)
    head_only = run(tiny, offsets=offsets, offset_temperature=5.0, seed=1)
    assert head_only.token_ids[:6] != plain.token_ids[:6]
    rest, _ = greedy(tiny.model, PROMPT, head_only.token_ids[:6], 6)
    assert head_only.token_ids == rest
    tail_only = run(tiny, offsets=offsets, temperature=5.0, seed=1)
    assert tail_only.token_ids[:6] == plain.token_ids[:6]
    assert tail_only.token_ids != plain.token_ids


def test_samples_follow_from_the_seed_and_not_from_global_random_state(tiny: Backbone):
    torch.manual_seed(1)
    first = run(tiny, temperature=1.0, seed=7)
    torch.manual_seed(2)
    torch.rand(5)
    assert_same(run(tiny, temperature=1.0, seed=7), first)
    others = {tuple(run(tiny, temperature=1.0, seed=seed).token_ids) for seed in range(8)}
    assert len(others) > 1


def test_samples_have_the_models_probabilities():
    logits = torch.tensor([2.0, 1.0, 0.0, -30.0])
    generator = torch.Generator().manual_seed(0)
    drawn = pick_tokens(logits.expand(20_000, 4), 0.5, generator)
    expected = torch.softmax(logits / 0.5, -1)
    torch.testing.assert_close(torch.bincount(drawn, minlength=4) / 20_000, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, 1e-6])
def test_no_temperature_takes_the_most_probable(temperature: float):
    logits = torch.tensor([[[0.0, 3.0, 1.0]], [[5.0, 4.0, 4.9]]])
    assert pick_tokens(logits, temperature).tolist() == [[1], [0]]


def test_an_end_token_ends(tiny: Backbone):
    plain = run(tiny)
    end = plain.token_ids[5]
    first = plain.token_ids.index(end)
    completion = run(tiny, end_token_ids=frozenset({end}))
    assert completion.token_ids == plain.token_ids[: first + 1]
    assert completion.finish_reason == "stop"
    assert len(completion.hidden) == first + 1


def test_an_end_token_among_the_forced_ends_nothing(tiny: Backbone):
    completion = run(tiny, forced_ids=[99], end_token_ids=frozenset({99}), max_new_tokens=3)
    assert completion.new_tokens >= 1


def test_each_new_token_is_told(tiny: Backbone):
    told: list[int] = []
    completion = run(tiny, forced_ids=[5, 6], on_token=told.append)
    assert told == completion.token_ids[2:]


def test_a_deadline_stops_with_what_there_is(tiny: Backbone):
    plain = run(tiny)
    late = run(tiny, deadline=time.monotonic() - 1)
    assert (late.token_ids, late.finish_reason) == (plain.token_ids[:1], "seconds")
    assert_same(run(tiny, deadline=time.monotonic() + 1e6), plain)


@pytest.mark.parametrize("batch", [True, False])
def test_a_deadline_is_checked_at_every_token(tiny: Backbone, monkeypatch: pytest.MonkeyPatch, batch: bool):
    backbone = fresh(tiny, batch=batch, speculate=False)
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    completion = run(backbone, deadline=4)
    assert (completion.new_tokens, completion.finish_reason) == (5, "seconds")


@pytest.mark.parametrize("broken", ["model.layers.0.mlp.up_proj", "lm_head", "model.norm"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_weights_are_an_error(tiny: Backbone, broken: str, value: float, temperature: float):
    model = copy.deepcopy(tiny.model)
    with torch.no_grad():
        model.get_submodule(broken).weight[..., 3] = value
    backbone = Backbone.from_model(model, tiny.tokenizer)
    with pytest.raises(NonFiniteError, match=r"NaN or infinite .*weights are damaged"):
        run(backbone, temperature=temperature)


def test_a_weight_broken_for_one_token_is_an_error_when_it_is_met(tiny: Backbone):
    model = copy.deepcopy(tiny.model)
    third = run(tiny).token_ids[2]
    assert third not in (*PROMPT, 1, 2, 3, 4)
    with torch.no_grad():
        model.model.embed_tokens.weight[third] = float("nan")
    backbone = Backbone.from_model(model, tiny.tokenizer)
    assert run(backbone, max_new_tokens=3).token_ids[2] == third
    with pytest.raises(NonFiniteError, match="logits at token 3 of the answer"):
        run(backbone)
    with pytest.raises(NonFiniteError, match="logits at token 1 of the answer"):
        run(backbone, forced_ids=[third])


def test_threads_and_order_do_not_show_in_what_is_written():
    backbone = tiny_backbone("Mistral")
    requests = [
        request(
            prompt_ids=PROMPT[i % 3 :], forced_ids=[i], temperature=float(i % 2), seed=i, max_new_tokens=8
        )
        for i in range(12)
    ]
    alone = [decode(fresh(backbone), [one])[0] for one in requests]
    together = decode(fresh(backbone), requests)
    backward = decode(fresh(backbone), requests[::-1])[::-1]
    shared = fresh(backbone)
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda one: decode(shared, [one])[0], requests))
    for others in (together, backward, threaded):
        for got, expected in zip(others, alone, strict=True):
            assert_alike(got, expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_grad_mode_does_not_matter(tiny: Backbone, mode: Any):
    expected = run(tiny)
    with mode():
        backbone = fresh(tiny)
        assert_same(run(backbone), expected)
    # The prompt was cached inside the mode, and is used outside.
    got = run(backbone)
    assert_same(got, expected)
    assert not got.hidden.requires_grad
