"""The policy gradient is the gradient of the expected reward."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.engine.latents import Latents, advantages, policy_gradient
from latentseek_agents.errors import NonFiniteError
from latentseek_agents.testing import tiny_backbone, tiny_model
from tests.support.naive_decoding import head as naive_head

SAMPLES = [[5, 9, 200], [5, 70, 31], [0, 258, 4]]
REWARDS = [-0.25, -1.0, 0.0]


def float64_head(architecture: str) -> tuple[Any, Any]:
    """The backbone's head in float64, and the same written out."""
    backbone = tiny_backbone(architecture)
    model = tiny_model(architecture).double()
    return type(backbone).from_model(model, backbone.tokenizer).logits, lambda z: naive_head(model, z)


def inputs(kind: str, samples: int, rows: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(rows, 32, generator=generator, dtype=torch.float64)
    if kind == "independent":
        return values.expand(samples, -1, -1)
    return values + torch.randn(samples, rows, 32, generator=generator, dtype=torch.float64)


def objective(
    head: Any,
    z: torch.Tensor,
    token_ids: Sequence[Sequence[int]],
    weights: Sequence[float],
    temperature: float,
    release_loss: bool,
) -> torch.Tensor:
    """1/M Σᵢ wⁱ Σ_t log π(xⁱ_t | zⁱ_t), number by number."""
    total = torch.zeros((), dtype=z.dtype)
    for row, tokens, weight in zip(z, token_ids, weights, strict=True):
        for t, token in enumerate(tokens):
            logits = head(row[t]) / (temperature or 1.0)
            probability = torch.exp(logits[token]) / torch.exp(logits).sum()
            extra = 1e-8 + 1e-10 if release_loss else 0.0
            total = total + weight * torch.log(probability + extra) / len(token_ids)
    return total


@pytest.mark.parametrize("architecture", ["Llama", "Gemma2", "Granite", "Cohere", "GPT2"])
@pytest.mark.parametrize("kind", ["independent", "consistent"])
@pytest.mark.parametrize(
    ("samples", "temperature", "release_loss"),
    [(1, 0.0, False), (1, 0.0, True), (3, 0.7, False), (3, 1.0, False)],
)
def test_gradient_equals_autograd_and_finite_differences(
    architecture: str, kind: str, samples: int, temperature: float, release_loss: bool
):
    head, plain_head = float64_head(architecture)
    weights = advantages(REWARDS[:samples], "mean" if samples > 1 else "none")
    token_ids = SAMPLES[:samples]
    z = inputs(kind, samples)
    got = policy_gradient(head, z, token_ids, weights, temperature=temperature, release_loss=release_loss)
    assert got.dtype == torch.float64

    # What is optimised enters every sample's z alike, as latent or as offset.
    offset = torch.zeros(3, 32, dtype=torch.float64, requires_grad=True)
    loss = objective(plain_head, z + offset, token_ids, weights, temperature, release_loss)
    (expected,) = torch.autograd.grad(loss, offset)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-8)

    step = 1e-5
    for row, column in [(0, 0), (1, 17), (2, 31)]:
        nudge = torch.zeros(3, 32, dtype=torch.float64)
        nudge[row, column] = step
        ends = [
            objective(plain_head, z + sign * nudge, token_ids, weights, temperature, release_loss).item()
            for sign in (1, -1)
        ]
        assert float(got[row, column]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-6)


def test_a_shorter_sample_moves_only_its_rows():
    head, plain_head = float64_head("Llama")
    z = inputs("consistent", 3)
    token_ids = [[5], [], [0, 258]]
    got = policy_gradient(head, z, token_ids, REWARDS)
    offset = torch.zeros(3, 32, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(
        objective(plain_head, z + offset, token_ids, REWARDS, 0.0, False), offset
    )
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-8)
    assert torch.equal(got[2], torch.zeros(32, dtype=torch.float64))


def test_the_step_leads_away_from_what_is_scored_below_0():
    head, plain_head = float64_head("Llama")
    z = inputs("independent", 1)
    before = torch.log_softmax(plain_head(z[0]), -1)[range(3), SAMPLES[0]].sum()
    moved = z[0] + 1e-3 * policy_gradient(head, z, SAMPLES[:1], [-1.0])
    assert torch.log_softmax(plain_head(moved), -1)[range(3), SAMPLES[0]].sum() < before


def test_no_reward_lost_is_no_gradient():
    head, _ = float64_head("Llama")
    assert not policy_gradient(head, inputs("independent", 1), SAMPLES[:1], [0.0]).any()


@pytest.mark.parametrize("baseline", ["none", "mean"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("samples", [1, 2])
def test_the_estimate_is_unbiased(samples: int, temperature: float, baseline: Any):
    """Exact enumeration: V = 4 tokens, m = 2 latents, every outcome of every sample by its probability."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    z = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    outcomes = list(itertools.product(range(4), repeat=2))
    reward = dict(zip(outcomes, (-torch.rand(16, generator=generator)).tolist(), strict=True))

    def head(hidden: torch.Tensor) -> torch.Tensor:
        return hidden @ weight.T

    variable = z.clone().requires_grad_()
    pi = torch.softmax(head(variable) / temperature, -1)
    probability = {outcome: pi[0, outcome[0]] * pi[1, outcome[1]] for outcome in outcomes}
    value = torch.stack([probability[outcome] * reward[outcome] for outcome in outcomes]).sum()
    (expected,) = torch.autograd.grad(value, variable)

    mean = torch.zeros(2, 5, dtype=torch.float64)
    for drawn in itertools.product(outcomes, repeat=samples):
        estimate = policy_gradient(
            head,
            z.expand(samples, -1, -1),
            drawn,
            advantages([reward[outcome] for outcome in drawn], baseline),
            temperature=temperature,
        )
        # One sample has no others to take the mean of: its baseline is none.
        mean += math.prod(probability[outcome].item() for outcome in drawn) * estimate
    # The temperature is the policy's: π(x | z) = softmax(logits / T).
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-12)


def test_the_baseline_lessens_the_variance():
    rewards = [-0.9, -1.0, -0.8, -0.95]
    plain, centred = advantages(rewards, "none"), advantages(rewards, "mean")
    assert plain == rewards
    assert sum(centred) == pytest.approx(0)
    assert max(map(abs, centred)) < min(map(abs, plain))


@settings(deadline=None)
@given(st.lists(st.floats(-1, 0), min_size=2, max_size=8))
def test_the_baseline_of_a_sample_is_the_mean_of_the_others(rewards: list[float]):
    for i, advantage in enumerate(advantages(rewards, "mean")):
        others = rewards[:i] + rewards[i + 1 :]
        assert advantage == pytest.approx(rewards[i] - sum(others) / len(others), abs=1e-12)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", ["independent", "consistent"])
def test_gradient_and_step_work_whatever_the_callers_grad_mode(mode: Any, kind: Any):
    backbone = tiny_backbone()
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))

    def search() -> bytes:
        latents = Latents.start(hidden, kind)
        for _ in range(3):
            gradient = policy_gradient(backbone.logits, latents.policy_inputs(1), SAMPLES[:1], [-1.0])
            latents = latents.stepped(gradient, learning_rate=0.1, gradient_clip=1.0, rows=2)
            latents = Latents.from_bytes(latents.to_bytes())
        return latents.to_bytes()

    expected = search()
    with mode():
        assert search() == expected
    assert all(parameter.grad is None for parameter in backbone.model.parameters())


def test_half_precision_logits_are_widened():
    weight = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    z = torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(1))
    exact = policy_gradient(lambda h: h @ weight.T, z, [[3, 4]], [-1.0])
    got = policy_gradient(lambda h: (h @ weight.T).bfloat16(), z, [[3, 4]], [-1.0])
    torch.testing.assert_close(got, exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("release_loss", [True, False])
def test_a_probability_of_zero_has_a_finite_gradient(release_loss: bool):
    z = torch.tensor([[[200.0, -200.0]]])
    gradient = policy_gradient(lambda h: h, z, [[1]], [-1.0], release_loss=release_loss)
    assert torch.isfinite(gradient).all()


def test_a_broken_head_raises_and_names_the_step():
    with pytest.raises(NonFiniteError, match=r"log-probability of the tokens is NaN or infinite at step 7"):
        policy_gradient(lambda h: h * float("nan"), torch.ones(1, 2, 3), [[0, 1]], [-1.0], step=7)


@pytest.mark.parametrize("kind", ["independent", "consistent"])
def test_a_random_step_is_as_long_as_adams_and_leads_elsewhere(kind: Any):
    hidden = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    gradient = torch.randn(5, 16, generator=torch.Generator().manual_seed(2))
    start = Latents.start(hidden, kind)

    def moved(seed: int | None) -> torch.Tensor:
        dice = None if seed is None else torch.Generator().manual_seed(seed)
        made = start.stepped(gradient, learning_rate=0.1, rows=4, random_directions=dice)
        return made.values - start.values

    guided, walked, again, other = moved(None), moved(3), moved(3), moved(4)
    torch.testing.assert_close(walked.norm(dim=-1), guided.norm(dim=-1), rtol=1e-4, atol=1e-6)
    assert not walked[4].any()
    assert torch.equal(walked, again)
    for one, two in ((walked, guided), (walked, other)):
        cosine = torch.nn.functional.cosine_similarity(one[:4], two[:4], dim=-1)
        assert cosine.abs().max() < 0.9
