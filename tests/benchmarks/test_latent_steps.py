"""Steps that are bounded in KL, and latents from the first token of doubt on."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from latent_steps import curvature, from_doubt, moved

from latentseek_agents import LatentSeekConfig
from latentseek_agents.engine.latents import Latents
from latentseek_agents.testing import tiny_backbone


def divergence(before: torch.Tensor, after: torch.Tensor) -> float:
    p, q = torch.log_softmax(before.detach(), -1), torch.log_softmax(after.detach(), -1)
    return float((p.exp() * (p - q)).sum())


@pytest.mark.parametrize("soft_cap", [None, 2.0])
def test_curvature_is_the_divergence_of_a_small_step(soft_cap: float | None) -> None:
    torch.manual_seed(0)
    weight = torch.randn(50, 8, dtype=torch.float64)
    z, direction = torch.randn(40, 8, dtype=torch.float64), torch.randn(40, 8, dtype=torch.float64)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits = hidden @ weight.T
        return logits if soft_cap is None else soft_cap * torch.tanh(logits / soft_cap)

    exact = divergence(head(z), head(z + 1e-3 * direction)) / 1e-6
    assert curvature(head, z, direction) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("bound", [0.001, 0.01])
def test_a_step_moves_the_policy_by_the_bound(bound: float) -> None:
    backbone = tiny_backbone()
    torch.manual_seed(0)
    hidden = torch.randn(6, backbone.hidden_size)
    start = Latents.start(hidden, "consistent")
    sample: Any = SimpleNamespace(score=-1.0, reward=None, latent_token_ids=[3, 1, 4, 1, 5])
    after = moved(bound, backbone, LatentSeekConfig(), start, [sample])
    logits = backbone.logits(start.policy_inputs(1)[0]), backbone.logits(after.policy_inputs(1)[0])
    assert divergence(*logits) == pytest.approx(bound, rel=0.1)
    assert torch.equal(after.values[5], start.values[5]), "a latent without a token stays"
    assert after.step == 1


def test_latents_begin_at_the_first_token_of_doubt() -> None:
    backbone: Any = SimpleNamespace(
        logits=lambda hidden: hidden, policy=SimpleNamespace(lock=torch.inference_mode())
    )
    hidden = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.1, 0.0], [0.0, 9.0]])
    completion = SimpleNamespace(hidden=hidden, token_ids=[0, 0, 1, 1])
    assert from_doubt(0.5, (0, 4), backbone, [], None, completion) == (2, 4)
    assert from_doubt(0.3, (0, 4), backbone, [], None, completion) == (0, 4), "none is below 0.3"
    assert from_doubt(0.5, (3, 4), backbone, [], None, completion) == (3, 4)
