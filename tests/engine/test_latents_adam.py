"""Adam's step on the latents is torch's own, and survives a trip through bytes bit for bit."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.engine.latents import Latents
from latentseek_agents.errors import NonFiniteError


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_identical(got: Latents, expected: Latents) -> None:
    assert got.step == expected.step
    for name in ("values", "hidden", "exp_avg", "exp_avg_sq"):
        left, right = getattr(got, name), getattr(expected, name)
        assert left.dtype == right.dtype == torch.float32
        assert left.shape == right.shape
        # As integers: NaN equals NaN, and 0 is not -0.
        assert torch.equal(left.view(torch.int32), right.view(torch.int32)), name


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("learning_rate", [0.03, 10.0])
@pytest.mark.parametrize("kind", ["independent", "consistent"])
@pytest.mark.parametrize("stored", [True, False])
def test_adam_is_torchs_own_bit_for_bit(kind: Any, learning_rate: float, clip: float | None, stored: bool):
    hidden = randn(4, 8)
    parameter = torch.nn.Parameter(hidden.clone() if kind == "independent" else torch.zeros(4, 8))
    optimizer = torch.optim.Adam([parameter], lr=learning_rate)
    latents = Latents.start(hidden, kind)
    for step in range(1, 6):
        gradient = randn(4, 8, seed=step) * 10.0 ** (step - 3)
        parameter.grad = -gradient
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([parameter], clip)
        optimizer.step()
        latents = latents.stepped(gradient, learning_rate=learning_rate, gradient_clip=clip)
        if stored:
            again = Latents.from_bytes(latents.to_bytes())
            assert_identical(again, latents)
            assert again.to_bytes() == latents.to_bytes()
            latents = again
        memory = optimizer.state[parameter]
        expected = Latents(
            parameter.detach().clone(), latents.hidden, step, memory["exp_avg"], memory["exp_avg_sq"]
        )
        assert_identical(latents, expected)


def test_a_step_leaves_its_arguments_alone():
    latents, gradient = Latents.start(randn(3, 4), "consistent"), randn(3, 4, seed=1)
    latents = latents.stepped(gradient, learning_rate=0.1)
    before, kept = latents.to_bytes(), gradient.clone()
    first = latents.stepped(gradient, learning_rate=0.1, gradient_clip=0.01, rows=1)
    second = latents.stepped(gradient, learning_rate=0.1, gradient_clip=0.01, rows=1)
    assert latents.to_bytes() == before
    assert torch.equal(gradient, kept)
    assert_identical(first, second)


def test_the_clip_bounds_the_whole_gradients_norm():
    start = Latents.start(torch.zeros(2, 3), "independent")
    gradient = torch.full((2, 3), 100.0)
    clipped = start.stepped(gradient, learning_rate=0.1, gradient_clip=1.0)
    assert float(clipped.exp_avg.norm()) == pytest.approx(0.1, rel=1e-4)  # (1 - β₁) · 1
    within = start.stepped(gradient / 1e4, learning_rate=0.1, gradient_clip=1.0)
    assert_identical(within, start.stepped(gradient / 1e4, learning_rate=0.1))


def test_rows_beyond_are_not_moved():
    latents = Latents.start(randn(5, 4), "independent")
    for step in range(3):
        moved = latents.stepped(randn(5, 4, seed=step), learning_rate=0.1, rows=2)
        assert torch.equal(moved.values[2:], latents.values[2:])
        assert (moved.values[:2] != latents.values[:2]).all()
        latents = moved


def test_the_draft_is_where_both_kinds_start():
    hidden = randn(3, 4).double()
    independent, consistent = (Latents.start(hidden, kind) for kind in ("independent", "consistent"))
    assert not independent.consistent
    assert consistent.consistent
    for latents in (independent, consistent):
        assert latents.step == 0
        z = latents.policy_inputs(2)
        assert z.shape == (2, 3, 4)
        assert torch.equal(z[0], hidden.float())
        assert torch.equal(z[1], hidden.float())
    assert not consistent.values.any()
    hidden[0] = 7
    assert independent.values[0, 0] != 7
    assert consistent.hidden[0, 0, 0] != 7


def test_offsets_are_added_to_each_samples_own_hidden_states():
    latents = Latents.start(randn(3, 4), "consistent").stepped(randn(3, 4, seed=1), learning_rate=0.5)
    hidden = randn(2, 3, 4, seed=2)
    moved = latents.with_hidden(hidden)
    assert torch.equal(moved.policy_inputs(2), hidden + latents.values)
    assert torch.equal(moved.policy_inputs(1), (hidden + latents.values)[:1])
    assert_identical(moved.with_hidden(latents.hidden), latents)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_gradient_that_is_no_number_raises_and_names_the_step(value: float):
    latents = Latents.start(randn(3, 4), "independent").stepped(randn(3, 4), learning_rate=0.1)
    gradient = randn(3, 4)
    gradient[1, 2] = value
    with pytest.raises(
        NonFiniteError, match="the gradient is NaN or infinite at step 2; lower learning_rate"
    ):
        latents.stepped(gradient, learning_rate=0.1)


def test_a_latent_that_overflows_raises_and_names_the_step():
    latents = Latents.start(torch.full((3, 4), 3.4e38), "independent")
    with pytest.raises(NonFiniteError, match="a latent is NaN or infinite at step 1"):
        latents.stepped(torch.ones(3, 4), learning_rate=1e37)


wild = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 2**40), st.data())
def test_every_state_survives_the_trip_through_bytes(m: int, d: int, samples: int, step: int, data: Any):
    def tensor(*shape: int) -> torch.Tensor:
        count = torch.Size(shape).numel()
        numbers = data.draw(st.lists(wild, min_size=count, max_size=count))
        return torch.tensor(numbers, dtype=torch.float32).reshape(shape)

    latents = Latents(tensor(m, d), tensor(samples, m, d), step, tensor(m, d), tensor(m, d))
    again = Latents.from_bytes(latents.to_bytes())
    assert_identical(again, latents)
    assert again.consistent is (samples > 0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e30, 1e30), min_size=6, max_size=6), st.floats(1e-6, 100))
def test_a_step_is_finite_or_raises(numbers: list[float], learning_rate: float):
    latents = Latents.start(torch.zeros(2, 3), "independent")
    try:
        moved = latents.stepped(torch.tensor(numbers).reshape(2, 3), learning_rate=learning_rate)
    except NonFiniteError:
        return
    assert torch.isfinite(moved.values).all()
    # Adam's first step is the learning rate in each coordinate, whatever the gradient's size.
    assert float(moved.values.abs().max()) <= learning_rate * 1.001
