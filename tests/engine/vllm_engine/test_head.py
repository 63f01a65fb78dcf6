"""The head as a formula: there and back, moved, differentiated; refused where that cannot be done."""

from typing import Any

import pytest
import torch

from latentseek_agents.engine._vllm.head import Head
from latentseek_agents.engine.latents import policy_gradient
from latentseek_agents.errors import BackboneError
from latentseek_agents.testing import tiny_backbone
from tests.support.engine_double import double_of

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias": {"bias": torch.randn(300, generator=torch.Generator().manual_seed(3))},
    "scaled": {"scale": 0.25},
    "capped": {"soft_cap": 20.0},
    "all": {
        "bias": torch.randn(300, generator=torch.Generator().manual_seed(3)),
        "scale": 2.0,
        "soft_cap": 15.0,
    },
}


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive(weight: torch.Tensor, hidden: torch.Tensor, kind: dict[str, Any]) -> torch.Tensor:
    """What vLLM's logits layer does, in float64."""
    logits = hidden.double() @ weight.double().T
    if "bias" in kind:
        logits = logits + kind["bias"].double()
    if "soft_cap" in kind:
        logits = torch.tanh(logits / kind["soft_cap"]) * kind["soft_cap"]
    return logits * kind.get("scale", 1.0)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    return KINDS[request.param]


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.float16], ids=str)
def weight(request: pytest.FixtureRequest) -> torch.Tensor:
    return draw(300, 16).to(request.param)


def test_logits_are_those_of_the_formula(weight: torch.Tensor, kind: dict[str, Any]):
    hidden = draw(5, 16, seed=1)
    got = Head(weight, **kind).logits(hidden)
    torch.testing.assert_close(got.double(), naive(weight, hidden, kind), rtol=1e-5, atol=1e-5)
    assert Head(weight, **kind).logits(hidden[None]).shape == (1, 5, 300)


def test_hidden_states_follow_from_logits(weight: torch.Tensor, kind: dict[str, Any]):
    head, hidden = Head(weight, **kind), draw(5, 16, seed=1)
    found = head.hidden(head.moments(naive(weight, hidden, kind).float()))
    torch.testing.assert_close(found, hidden, rtol=1e-3, atol=1e-4)


def test_shifted_logits_are_those_of_the_moved_state(weight: torch.Tensor, kind: dict[str, Any]):
    head, hidden, offsets = Head(weight, **kind), draw(5, 16, seed=1), 0.3 * draw(5, 16, seed=2)
    got = head.shifted(naive(weight, hidden, kind).float(), offsets)
    torch.testing.assert_close(got.double(), naive(weight, hidden + offsets, kind), rtol=1e-3, atol=1e-3)


def test_the_gradient_is_w_times_what_the_token_has_more_than_its_probability(weight: torch.Tensor):
    hidden, tokens = draw(1, 5, 16, seed=1), [3, 1, 4, 1, 5]
    got = policy_gradient(Head(weight).logits, hidden, [tokens], [-0.5])
    probabilities = naive(weight, hidden[0], {}).softmax(-1)
    expected = -0.5 * (torch.eye(300)[tokens].double() - probabilities) @ weight.double()
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["capped", "all", "scaled"])
def test_the_gradient_passes_cap_and_scale(name: str):
    weight, hidden, tokens = draw(300, 16), draw(1, 5, 16, seed=1), [3, 1, 4, 1, 5]
    got = policy_gradient(Head(weight, **KINDS[name]).logits, hidden, [tokens], [-0.5])
    expected = policy_gradient(lambda z: naive(weight, z, KINDS[name]), hidden.double(), [tokens], [-0.5])
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)


def test_a_weight_made_in_inference_mode_gives_a_gradient():
    with torch.inference_mode():
        weight = draw(300, 16)
    gradient = policy_gradient(Head(weight).logits, draw(1, 2, 16), [[3, 4]], [-1.0])
    assert torch.isfinite(gradient).all()
    assert gradient.any()


def test_columns_that_depend_on_each_other_are_refused():
    weight = draw(300, 16)
    weight[:, 3] = weight[:, 5] + weight[:, 7]
    with pytest.raises(BackboneError, match="columns of its head"):
        Head(weight)
    with pytest.raises(BackboneError, match="columns of its head"):
        Head(draw(10, 16))


def test_logits_at_the_cap_stay_finite():
    head = Head(draw(300, 16), soft_cap=5.0)
    capped = torch.full((1, 300), 5.0)
    assert torch.isfinite(head.moments(capped)).all()
    assert torch.isfinite(head.shifted(capped, draw(1, 16))).all()


def test_parts_of_the_vocabulary_add_up():
    """What tensor parallelism would rest on: each worker has some rows of W."""
    weight, hidden, offsets = draw(300, 16), draw(5, 16, seed=1), draw(5, 16, seed=2)
    whole, parts = Head(weight), [Head(weight[:128]), Head(weight[128:])]
    logits = whole.logits(hidden)
    shares = [logits[:, :128], logits[:, 128:]]
    moments = sum(
        (part.moments(share) for part, share in zip(parts, shares, strict=True)), torch.zeros(5, 16).double()
    )
    torch.testing.assert_close(moments, whole.moments(logits), rtol=1e-5, atol=1e-4)
    moved = torch.cat([part.shifted(share, offsets) for part, share in zip(parts, shares, strict=True)], -1)
    torch.testing.assert_close(moved, whole.shifted(logits, offsets))


@pytest.mark.parametrize("architecture", ["Llama", "Qwen2", "Gemma2", "Granite", "Cohere"])
def test_heads_of_architectures(architecture: str):
    backbone = tiny_backbone(architecture)
    other = double_of(backbone)
    hidden = draw(4, backbone.hidden_size)
    torch.testing.assert_close(other.logits(hidden), backbone.logits(hidden), rtol=1e-4, atol=1e-4)
