"""One pass over rows of different lengths computes what the model computes for each row alone."""

import copy
from typing import Any

import pytest
import torch

from latentseek_agents.engine._decoding import attention
from latentseek_agents.engine._decoding.kv_cache import KeyValueStore
from latentseek_agents.engine._decoding.packed_forward import PackedModel, RowSlice
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.testing import tiny_model
from tests.support.naive_decoding import hidden_states

WINDOW = 16  # of the tiny models that have one


def text(count: int, seed: int = 0) -> list[int]:
    return torch.randint(3, 259, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def run(ragged: PackedModel, texts: dict[int, list[int]], passes: list[dict[int, int]]) -> dict[int, Any]:
    """Feed texts to their slots, in each pass so many tokens of each; hidden states by slot."""
    store = KeyValueStore()
    fed = dict.fromkeys(texts, 0)
    found: dict[int, list[torch.Tensor]] = {slot: [] for slot in texts}
    for counts in passes:
        rows = [
            RowSlice(slot, fed[slot], texts[slot][fed[slot] : fed[slot] + count])
            for slot, count in counts.items()
        ]
        store.reserve(max(texts) + 1, max(row.end for row in rows))
        parts = ragged.forward(store, rows).split([len(row.token_ids) for row in rows])
        for row, part in zip(rows, parts, strict=True):
            found[row.slot].append(part)
            fed[row.slot] = row.end
    return {slot: torch.cat(parts) for slot, parts in found.items()}


def assert_equal_alone(model: Any, texts: dict[int, list[int]], found: dict[int, Any]) -> None:
    for slot, ids in texts.items():
        expected = hidden_states(model, ids)[: len(found[slot])]
        torch.testing.assert_close(found[slot], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fast_linear", [True, False])
def test_every_row_is_computed_as_if_it_were_alone(any_backbone: Backbone, fast_linear: bool):
    # Shorter than a window, as long, longer; and longer than what is padded to.
    texts = {slot: text(count, slot) for slot, count in enumerate((5, WINDOW, WINDOW + 1, 90, 40))}
    ragged = PackedModel(any_backbone.model, fast_linear=fast_linear)
    passes = [
        {0: 3, 1: 15, 2: 10, 3: 70, 4: 20},
        {0: 1, 1: 1, 2: 1, 3: 1, 4: 1},
        {0: 1, 2: 6, 4: 9},  # with gaps
        {3: 19, 4: 10},
    ]
    assert_equal_alone(any_backbone.model, texts, run(ragged, texts, passes))


def test_one_row_alone_and_token_by_token(any_backbone: Backbone):
    texts = {2: text(40)}
    passes = [{2: 10}, *({2: 1} for _ in range(22)), {2: 8}]
    assert_equal_alone(any_backbone.model, texts, run(PackedModel(any_backbone.model), texts, passes))


def test_a_long_row_stands_between_short_ones(any_backbone: Backbone):
    texts = {slot: text(count, slot) for slot, count in enumerate((8, 200, 8, 70, 70))}
    passes = [{0: 7, 1: 130, 2: 7, 3: 64, 4: 65}, {0: 1, 1: 70, 2: 1, 3: 6, 4: 5}]
    assert_equal_alone(any_backbone.model, texts, run(PackedModel(any_backbone.model), texts, passes))


def test_what_stood_in_a_slot_before_is_not_seen(any_backbone: Backbone):
    ragged, store = PackedModel(any_backbone.model), KeyValueStore()
    store.reserve(2, 60)
    ragged.forward(store, [RowSlice(0, 0, text(60, 1)), RowSlice(1, 0, text(60, 2))])
    # One row goes back and says something else, the other is a new one.
    again, fresh = text(60, 1)[:20] + text(5, 3), text(9, 4)
    found = ragged.forward(store, [RowSlice(0, 20, again[20:]), RowSlice(1, 0, fresh)])
    expected = torch.cat(
        [hidden_states(any_backbone.model, again)[20:], hidden_states(any_backbone.model, fresh)]
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_row_goes_on_in_another_slot(any_backbone: Backbone):
    ids = text(30)
    ragged, store = PackedModel(any_backbone.model), KeyValueStore()
    store.reserve(3, 30)
    ragged.forward(store, [RowSlice(0, 0, text(28, 1)), RowSlice(2, 0, ids[:25])])
    store.move(2, 0, 25)
    found = ragged.forward(store, [RowSlice(0, 25, ids[25:])])
    torch.testing.assert_close(found, hidden_states(any_backbone.model, ids)[25:], rtol=1e-3, atol=1e-4)


def test_the_model_is_left_as_it_was(any_backbone: Backbone):
    model = any_backbone.model

    def state() -> list[Any]:
        modules = [
            (name, id(module), type(module), dict(module._modules), set(module.__dict__))
            for name, module in model.named_modules()
        ]
        weights = [(name, tensor.data_ptr()) for name, tensor in model.state_dict(keep_vars=True).items()]
        return [modules, weights, model.config.to_dict(), model.config._attn_implementation]

    before, values = state(), copy.deepcopy(model.state_dict())
    ragged = PackedModel(model)
    assert_equal_alone(model, {0: text(20)}, run(ragged, {0: text(20)}, [{0: 20}]))
    assert state() == before
    assert model.config._attn_implementation != "latentseek_ragged"
    assert all(torch.equal(values[name], tensor) for name, tensor in model.state_dict().items())


def test_the_copies_share_all_weights(any_backbone: Backbone):
    ragged = PackedModel(any_backbone.model)
    own = {id(parameter) for parameter in any_backbone.model.parameters()}
    assert {id(parameter) for parameter in ragged._layers.parameters()} <= own
    buffers = {id(buffer) for buffer in any_backbone.model.buffers()}
    assert {id(buffer) for buffer in ragged._layers.buffers()} <= buffers


def test_a_weight_that_changes_later_is_seen():
    model = tiny_model()
    ragged, before = PackedModel(model), hidden_states(model, text(10))
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(2)
    found = run(ragged, {0: text(10)}, [{0: 10}])
    assert not torch.allclose(found[0], before, atol=1e-2)
    assert_equal_alone(model, {0: text(10)}, found)


def test_adapters_are_not_copied_so_that_they_can_be_switched():
    class Adapted(torch.nn.Module):
        def __init__(self, base: torch.nn.Module) -> None:
            super().__init__()
            self.base, self.on = base, True

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return self.base(hidden) * (2 if self.on else 1)

    Adapted.__module__ = "peft.tuners.example"
    model = tiny_model()
    adapter = Adapted(model.model.layers[1].mlp.down_proj)
    model.model.layers[1].mlp.down_proj = adapter
    ragged, texts = PackedModel(model), {0: text(12)}
    on = run(ragged, texts, [{0: 12}])
    assert_equal_alone(model, texts, on)
    adapter.on = False
    off = run(ragged, texts, [{0: 12}])
    assert_equal_alone(model, texts, off)
    assert not torch.allclose(on[0], off[0], atol=1e-2)


def test_what_comes_out_can_take_part_in_a_gradient(any_backbone: Backbone):
    hidden = run(PackedModel(any_backbone.model), {0: text(6)}, [{0: 6}])[0]
    assert not hidden.is_inference()
    assert not hidden.requires_grad
    weight = torch.ones(32, requires_grad=True)
    (hidden @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, hidden.sum(0))


def sdpa(query: Any, key: Any, value: Any, mask: Any, scale: float) -> Any:
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (sdpa, True),
        (lambda query, key, value, _, scale: sdpa(query, key, value, None, scale), False),  # no mask
        (lambda query, key, value, mask, scale: sdpa(query, key, value, mask, 2 * scale), False),
    ],
)
def test_a_kernel_is_used_only_if_it_is_right(monkeypatch, dtype, kernel, expected):
    monkeypatch.setattr(attention, "_any_shape", kernel)
    assert attention._has_kernel.__wrapped__(torch.device("cpu"), dtype, 64, 128) is expected


@pytest.mark.parametrize("error", [AttributeError("no such operation"), RuntimeError("no kernel found")])
def test_a_kernel_that_is_not_there_is_told(monkeypatch, caplog, error):
    def missing(*_):
        raise error

    monkeypatch.setattr(attention, "_any_shape", missing)
    assert attention._has_kernel.__wrapped__(torch.device("cpu"), torch.bfloat16, 64, 64) is False
    assert str(error) in caplog.text


@pytest.mark.parametrize(("dtype", "width"), [(torch.bfloat16, 20), (torch.float32, 6), (torch.float64, 3)])
def test_rows_off_16_bytes_are_not_tried(monkeypatch, dtype, width):
    monkeypatch.setattr(attention, "_any_shape", sdpa)
    assert attention._has_kernel.__wrapped__(torch.device("cpu"), dtype, width, 64) is False
