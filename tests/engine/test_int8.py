"""Int8 weights: exact products, a row that is the same in any company, an exact head for the gradient."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from latentseek_agents import Backbone
from latentseek_agents.engine import _int8
from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode
from latentseek_agents.engine._int8 import (
    Int8Linear,
    Int8Weight,
    finer_activations,
    int8_model,
    quantised_rows,
    quantised_weight,
)
from latentseek_agents.engine.latents import policy_gradient
from latentseek_agents.errors import BackboneError
from latentseek_agents.testing import tiny_model, tiny_tokenizer
from tests.support.batch_decoding import decoder_of


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 5), st.integers(1, 40), st.floats(1e-30, 1e30), st.integers(0, 99))
def test_a_quantised_row_is_within_half_a_step(rows: int, width: int, size: float, seed: int):
    values = random(rows, width, seed=seed).double().mul(size).float()
    quantised, scales = quantised_rows(values)
    assert quantised.abs().max() <= 127
    assert ((quantised.double() * scales.double() - values.double()).abs() <= 0.5001 * scales).all()


def test_rows_of_zeros_and_rows_that_are_not_finite():
    rows = torch.tensor([[0.0, 0.0], [float("inf"), 1.0], [float("nan"), 1.0], [2.0, -1.0]])
    layer = Int8Linear(Int8Weight(quantised_weight(random(3, 2))))
    output = layer(rows)
    assert torch.equal(output[0], torch.zeros(3))
    assert not torch.isfinite(output[1]).any()
    assert not torch.isfinite(output[2]).any()
    assert torch.equal(output[3], layer(rows[3:])[0])


@pytest.mark.parametrize("outputs", [8, _int8._FEWEST_PREPARED, 2 * _int8._FEWEST_PREPARED + 3])
@pytest.mark.parametrize("rows", [1, 2, 17, 70])
def test_products_are_exact(outputs: int, rows: int):
    values = torch.randint(-127, 128, (outputs, 96), dtype=torch.int8, generator=torch.Generator())
    inputs = torch.randint(-127, 128, (rows, 96), dtype=torch.int8, generator=torch.Generator())
    scales = torch.linspace(0.5, 1.5, outputs)
    exact = (inputs.long() @ values.long().t()).float() * scales
    assert torch.equal(Int8Weight((values, scales)).product(inputs), exact)


def test_layers_with_the_same_input_are_those_layers():
    first, second = quantised_weight(random(600, 32)), quantised_weight(random(40, 32, seed=1))
    both = Int8Weight(first, second)
    bias = random(40)
    inputs = random(3, 32, seed=2)
    assert torch.equal(Int8Linear(both, bias, 1)(inputs), Int8Linear(Int8Weight(second), bias)(inputs))


@pytest.mark.parametrize("architecture", ["Llama", "Qwen2", "Qwen3", "Mistral", "Gemma2", "Phi3"])
def test_int8_is_near_the_model(architecture: str):
    model = tiny_model(architecture)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        expected = model(ids).logits
        got = int8_model(model)(input_ids=ids, past_key_values=DynamicCache()).logits
    assert (got - expected).norm() < 0.1 * expected.norm()
    assert not torch.equal(got, expected)


def test_the_head_is_exact_where_a_gradient_passes():
    model = tiny_model("Qwen2")
    exact, quantised = (
        Backbone.from_model(model, tiny_tokenizer(), dtype=dtype) for dtype in ("float32", "int8")
    )
    hidden = random(4, 32)
    tokens = [[3, 50, 100, 7]]
    one, other = (
        policy_gradient(b.logits, hidden[None], tokens, [-1.0]).flatten() for b in (exact, quantised)
    )
    assert torch.cosine_similarity(one, other, dim=0) > 0.999
    # The difference is that of bfloat16 weights, and not that of int8 ones and inputs.
    with torch.no_grad():
        halved = hidden @ model.lm_head.weight.to(torch.bfloat16).float().t()
    with torch.enable_grad():
        got = quantised.logits(hidden.clone().requires_grad_())
    assert torch.allclose(got, halved, atol=1e-4)


@pytest.mark.parametrize("architecture", ["Llama", "Qwen2", "Qwen3", "Mistral", "Gemma2"])
def test_a_row_has_the_same_bits_in_any_company(architecture: str):
    backbone = Backbone.from_model(
        tiny_model(architecture),
        tiny_tokenizer(),
        dtype="int8",
        decoding=DecodingOptions(reuse=False),
    )
    prompts = [[3 + (7 * i * i + j * (i + 3)) % 250 for j in range(3 + (37 * i) % 290)] for i in range(32)]
    never = frozenset[int]()
    requests = [DecodeRequest(prompt_ids=ids, max_new_tokens=12, end_token_ids=never) for ids in prompts]
    alone = [decode(backbone, [request])[0] for request in requests]
    for size in (8, 32):
        together: list[Any] = []
        for start in range(0, 32, size):
            together += decode(backbone, requests[start : start + size])
        assert [c.token_ids for c in together] == [c.token_ids for c in alone]
        differing = [i for i in range(32) if not torch.equal(together[i].hidden, alone[i].hidden)]
        assert differing == []


def test_finer_activations_are_nearly_those_of_the_weights_in_float():
    layer = Int8Linear(Int8Weight(quantised_weight(random(16, 64))))
    inputs = random(5, 64, seed=1)
    values, scales = quantised_weight(random(16, 64))
    exact = inputs @ (values.float() * scales[:, None]).t()
    with finer_activations():
        finer = layer(inputs)
    assert (finer - exact).abs().max() < 1e-4 * exact.abs().max()
    assert (layer(inputs) - exact).abs().max() > 1e-3 * exact.abs().max()


def test_rounding_alone_is_no_reason_to_decode_one_at_a_time(monkeypatch: pytest.MonkeyPatch):
    # In a large model the smallest difference moves what is rounded next, here it is rounded at random.
    draws = torch.Generator().manual_seed(0)
    rounded = _int8.quantised_rows

    def rounded_at_random(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        _, scales = rounded(rows)
        values = torch.floor(rows / scales + torch.rand(rows.shape, generator=draws))
        return values.clamp(-127, 127).to(torch.int8), scales

    model = Backbone.from_model(tiny_model("Qwen2"), tiny_tokenizer(), dtype="int8")
    monkeypatch.setattr(_int8, "quantised_rows", rounded_at_random)
    hidden = [model.policy.layers(torch.tensor([[1, 2, 3, 4]])) for _ in range(2)]
    assert (hidden[0] - hidden[1]).abs().max() > model.policy.tolerance * hidden[0].abs().max()
    assert decoder_of(model).packed is not None


def test_oneDNN_can_be_missing(monkeypatch: pytest.MonkeyPatch):
    weight = quantised_weight(random(_int8._FEWEST_PREPARED, 64))
    inputs, _ = quantised_rows(random(5, 64, seed=1))
    prepared = Int8Weight(weight).product(inputs)
    monkeypatch.setattr(_int8, "prepared_product", lambda: None)
    assert torch.equal(Int8Weight(weight).product(inputs), prepared)


@pytest.mark.parametrize("rows", [1, 3, 20])
@pytest.mark.parametrize(("outputs", "inputs"), [(5, 7), (512, 1024), (513, 1025), (700, 2100), (0, 8)])
def test_products_by_way_of_float32_are_exact(outputs: int, inputs: int, rows: int):
    generator = torch.Generator().manual_seed(inputs)
    weight, given = (
        torch.randint(-127, 128, (size, inputs), dtype=torch.int8, generator=generator)
        for size in (outputs, rows)
    )
    # Sums as large as they can be, and odd, so that one that is rounded shows.
    weight[:1], given[:1] = 127, -127
    exact = (given.long() @ weight.long().t()).float()
    assert torch.equal(_int8.widened_product(given, weight), exact)
    assert torch.equal(_int8.integer_product(given, weight), exact)


@pytest.mark.parametrize("way", [_int8.integer_product, _int8.widened_product])
def test_a_model_without_oneDNN_writes_the_same_by_either_way(way: Any, monkeypatch: pytest.MonkeyPatch):
    rows = random(3, 64, seed=1)
    weight = quantised_weight(random(_int8._FEWEST_PREPARED, 64))
    expected = Int8Linear(Int8Weight(weight))(rows)
    monkeypatch.setattr(_int8, "prepared_product", lambda: None)
    monkeypatch.setattr(_int8, "plain_product", lambda: way)
    assert torch.equal(Int8Linear(Int8Weight(weight))(rows), expected)


@pytest.mark.skipif(not _int8.fast_int8(), reason="without VNNI or AMX both forms cut off large sums")
@pytest.mark.parametrize("way", [_int8.signed_product, _int8.unsigned_product])
def test_signed_and_unsigned_rows_give_the_same_bits(way: Any, monkeypatch: pytest.MonkeyPatch):
    values, scales = quantised_weight(random(_int8._FEWEST_PREPARED, 64))
    inputs, _ = quantised_rows(random(5, 64, seed=1))
    inputs[0], inputs[1] = 127, -127
    monkeypatch.setattr(_int8, "prepared_product", lambda: way)
    expected = torch._int_mm(inputs, values.t()).float() * scales
    assert torch.equal(Int8Weight((values, scales)).product(inputs), expected)


@pytest.mark.parametrize("instructions", ["AVX512_CORE_VNNI", "AVX2_VNNI", "AVX2"])
def test_a_cpu_without_AMX_gets_a_kernel_and_no_plain_loop(instructions: str):
    program = (
        "import time, torch; from latentseek_agents.engine import _int8\n"
        "weight = _int8.Int8Weight(_int8.quantised_weight(torch.ones(2048, 512)))\n"
        "rows = torch.ones(16, 512, dtype=torch.int8)\n"
        "times = [time.perf_counter()]\n"
        "for _ in range(6): weight.product(rows); times.append(time.perf_counter())\n"
        "print(min(after - before for before, after in zip(times, times[1:])))"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    # Some milliseconds at most with unsigned rows or in float32, some hundred with a plain loop.
    assert float(done.stdout) < 0.05


@pytest.mark.parametrize("architecture", ["GPT2"])
def test_a_model_that_would_stay_float_is_refused(architecture: str):
    with pytest.raises(BackboneError, match=r"these hold 0 of the \d+ weights inside this GPT2LMHeadModel"):
        int8_model(tiny_model(architecture))


def test_a_mixture_of_experts_is_refused():
    config = AutoConfig.for_model(
        "qwen2_moe", vocab_size=64, hidden_size=32, intermediate_size=32, moe_intermediate_size=32,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, num_experts=4,
        shared_expert_intermediate_size=32,
    )  # fmt: skip
    models: Any = AutoModelForCausalLM
    with pytest.raises(BackboneError, match=r"these hold .* weights inside this Qwen2Moe"):
        int8_model(models.from_config(config).eval())


def test_hooks_on_linear_layers_are_not_lost_in_silence():
    model = tiny_model()
    handle = model.model.layers[0].self_attn.q_proj.register_forward_hook(lambda *_: None)
    with pytest.raises(BackboneError, match=r"1 linear layers .* have hooks"):
        int8_model(model)
    handle.remove()
    assert int8_model(model)


def test_a_copy_made_in_inference_mode_can_be_searched():
    with torch.inference_mode():
        backbone = Backbone.from_model(tiny_model_outside(), tiny_tokenizer(), dtype="int8")
    assert backbone.number_format == "int8"


def tiny_model_outside() -> Any:
    with torch.inference_mode(mode=False):
        return tiny_model()
