"""Decoder layers with fewer operations give what the model's own give, and only known ones are replaced."""

from typing import Any

import pytest
import torch
from transformers import DynamicCache

from latentseek_agents.engine._decoding.attention import attend, fixed_positions, fixed_width
from latentseek_agents.engine._decoding.fused_layers import FusedLayer, _activated
from latentseek_agents.engine._decoding.kv_cache import KeyValueStore
from latentseek_agents.engine._decoding.packed_forward import PackedModel, RowSlice
from latentseek_agents.testing import tiny_model


def hidden_states(model: Any, *prompts: list[int]) -> list[torch.Tensor]:
    packed = PackedModel(model)
    store = KeyValueStore()
    store.reserve(len(prompts), 64)
    starts = [RowSlice(slot, 0, ids[:3]) for slot, ids in enumerate(prompts)]
    rests = [RowSlice(slot, 3, ids[3:]) for slot, ids in enumerate(prompts)]
    first, rest = packed.forward(store, starts), packed.forward(store, rests)
    sizes = [len(row.token_ids) for row in rests]
    parts = zip(first.split([3] * len(prompts)), rest.split(sizes), strict=True)
    return [torch.cat(pair) for pair in parts]


def layers_of(model: Any) -> list[Any]:
    return list(PackedModel(model)._layers.layers)


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("Llama", {}),
        ("Llama", {"attention_bias": True, "mlp_bias": True}),
        ("Llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
        ("Qwen2", {}),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
        ("Qwen3", {}),
        ("Mistral", {"sliding_window": 4}),
    ],
)
def test_fused_layers_give_what_the_model_gives(architecture: str, changes: dict[str, Any]):
    model = tiny_model(architecture, **changes)
    prompts = [[5, 6, 7, 8, 9, 10, 11], [20, 21, 22, 23]]
    assert all(isinstance(layer, FusedLayer) for layer in layers_of(model))
    for ids, got in zip(prompts, hidden_states(model, *prompts), strict=True):
        with torch.no_grad():
            expected = model.base_model(torch.tensor([ids]), past_key_values=DynamicCache())
        assert torch.allclose(got, expected.last_hidden_state[0], atol=1e-4)


@pytest.mark.parametrize("architecture", ["Granite", "Cohere", "Gemma2", "Phi3"])
def test_layers_of_other_kinds_stay(architecture: str):
    assert not any(isinstance(layer, FusedLayer) for layer in layers_of(tiny_model(architecture)))


def test_layers_in_half_precision_stay():
    assert not any(isinstance(layer, FusedLayer) for layer in layers_of(tiny_model().bfloat16()))


def test_a_layer_with_a_hook_stays():
    model = tiny_model()
    seen: list[Any] = []
    model.model.layers[1].mlp.register_forward_hook(lambda *_: seen.append(1))
    fused = [isinstance(layer, FusedLayer) for layer in layers_of(model)]
    assert fused == [True, False]
    hidden_states(model, [5, 6, 7, 8])
    assert len(seen) == 2


def test_a_hook_that_is_added_later_runs():
    model = tiny_model()
    packed = PackedModel(model)
    store = KeyValueStore()
    store.reserve(1, 64)
    before = packed.forward(store, [RowSlice(0, 0, [5, 6, 7])])
    seen: list[Any] = []
    handle = model.model.layers[1].mlp.register_forward_hook(lambda *_: seen.append(1))
    assert torch.allclose(packed.forward(store, [RowSlice(0, 0, [5, 6, 7])]), before, atol=1e-5)
    handle.remove()
    assert torch.equal(packed.forward(store, [RowSlice(0, 0, [5, 6, 7])]), before)
    assert len(seen) == 1


@pytest.mark.parametrize("threads", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("width", [4864, 1537])
def test_an_activation_does_not_depend_on_the_number_of_rows(threads: int, width: int):
    rows = torch.randn(40, 2 * width, generator=torch.Generator().manual_seed(0))[:, :width]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = _activated(torch.nn.functional.silu, rows)
        alone = [_activated(torch.nn.functional.silu, row[None]) for row in rows]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize(("share", "width"), [(1, 16), (1, 128), (3, 64), (7, 64)])
@pytest.mark.parametrize("new", [1, 2, 5, 33])
def test_a_fixed_width_has_room_for_all(new: int, share: int, width: int):
    assert new <= fixed_width(new, share, width) <= -(-new // 32) * 32


@pytest.mark.parametrize(("share", "width"), [(1, 16), (3, 64), (6, 128), (7, 64)])
@pytest.mark.parametrize("seen", [100, 200, 250, 300, 600])
def test_a_query_has_the_same_bits_whatever_row_is_longest(share: int, width: int, seen: int):
    """With AVX2 alone 256 keys are added up otherwise than the same among 512."""
    step, new = fixed_positions(share, width), fixed_width(1, share, width)
    sizes = [step * count for count in range(-(-seen // step), -(-seen // step) + 3)]
    generator = torch.Generator().manual_seed(seen)
    query = torch.randn((1, 2 * share, new, width), generator=generator)
    key, value = (torch.randn((1, 2, sizes[-1], width), generator=generator) for _ in range(2))
    outputs = []
    for size in sizes:
        for rows in (1, 5):
            mask = torch.where(torch.arange(size) < seen, 0.0, float("-inf")).repeat(rows, 1, share * new, 1)
            queries, keys, values = (
                part.repeat(rows, 1, 1, 1) for part in (query, key[:, :, :size], value[:, :, :size])
            )
            outputs.append(attend(queries, keys, values, mask, width**-0.5, None)[-1])
    assert all(torch.equal(output, outputs[0]) for output in outputs)
