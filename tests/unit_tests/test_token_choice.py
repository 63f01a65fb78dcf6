"""Tokens are drawn with the model's probabilities, from one number each."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents.engine.memory import affordable_tokens
from latentseek_agents.engine.token_choice import Draws, pick_tokens, tokens_at


def logits_of(seed: int, rows: int, words: int, spread: float) -> torch.Tensor:
    return spread * torch.randn(rows, words, generator=torch.Generator().manual_seed(seed))


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 300),
    words=st.sampled_from([1, 2, 7, 511, 512, 513, 1500]),
    spread=st.sampled_from([0.0, 1.0, 20.0]),
    temperature=st.floats(0.05, 4.0),
)
def test_the_number_lies_within_the_tokens_share(
    seed: int, rows: int, words: int, spread: float, temperature: float
):
    logits = logits_of(seed, rows, words, spread)
    draws = torch.rand(rows, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    tokens = tokens_at(logits, [temperature] * rows, draws.tolist())
    shares = torch.softmax(logits.double() / temperature, dim=-1)
    summed = shares.cumsum(dim=-1)
    above = summed.gather(-1, tokens[:, None])[:, 0]
    below = above - shares.gather(-1, tokens[:, None])[:, 0]
    assert bool((draws <= above + 1e-5).all())
    assert bool((draws >= below - 1e-5).all())


@given(
    seed=st.integers(0, 10_000),
    words=st.sampled_from([3, 512, 1500]),
    draw=st.sampled_from([0.0, 0.5, 1 - 2**-24, 1 - 2**-53]),
)
def test_what_has_no_probability_is_never_drawn(seed: int, words: int, draw: float):
    logits = logits_of(seed, 1, words, 3.0)
    chooser = torch.Generator().manual_seed(seed)
    forbidden = torch.rand(words, generator=chooser) < 0.9
    forbidden[int(torch.randint(words, (1,), generator=chooser))] = False
    logits[0, forbidden] = -math.inf
    (token,) = tokens_at(logits, [1.0], [draw]).tolist()
    assert not forbidden[token]


@pytest.mark.parametrize("words", [5, 512, 1300])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_give_some_token(words: int, bad: float):
    logits = logits_of(0, 2, words, 1.0)
    logits[1, words // 2] = bad
    good, any_token = tokens_at(logits, [1.0, 1.0], [0.3, 0.999]).tolist()
    assert good == int(tokens_at(logits[:1], [1.0], [0.3]))
    assert 0 <= any_token < words


def test_rows_have_their_own_temperature_whoever_is_beside_them():
    logits, draws = logits_of(1, 200, 700, 4.0), [i / 200 for i in range(200)]
    temperatures = [0.2 + i / 100 for i in range(200)]
    alone = [
        int(tokens_at(row[None], [heat], [draw]))
        for row, heat, draw in zip(logits, temperatures, draws, strict=True)
    ]
    assert tokens_at(logits, temperatures, draws).tolist() == alone


def test_each_token_has_a_number_of_its_own_in_any_order():
    forward = [Draws(7).at(index) for index in range(20)]
    backward = Draws(7)
    assert [backward.at(index) for index in reversed(range(20))] == forward[::-1]
    assert len(set(forward)) == 20
    assert all(0 <= number < 1 for number in forward)
    assert Draws(8).at(0) != forward[0]


def test_a_generator_goes_on_from_call_to_call():
    logits, one = logits_of(2, 40, 50, 1.0), torch.Generator().manual_seed(3)
    halves = [pick_tokens(logits[:20], 1.0, one), pick_tokens(logits[20:], 1.0, one)]
    assert torch.equal(torch.cat(halves), pick_tokens(logits, 1.0, torch.Generator().manual_seed(3)))


@pytest.mark.parametrize(
    ("device", "free", "expected"),
    [("cpu", 0, 80), ("cuda", 64_000, 160), ("cuda", 4_000, 80), ("mps", 0, 80)],
)
def test_memory_is_a_fixed_sum_and_on_a_gpu_a_share(
    monkeypatch: pytest.MonkeyPatch, device: str, free: int, expected: int
):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 10**12))
    backbone: Any = SimpleNamespace(device=torch.device(device), bytes_per_cached_token=100)
    found = affordable_tokens(backbone, most_bytes=8_000, most_tokens=1_000, gpu_share=0.25)
    assert found == expected
    assert affordable_tokens(backbone, most_bytes=8_000, most_tokens=7, gpu_share=0.001) == 7
    assert affordable_tokens(backbone, most_bytes=1, most_tokens=7, gpu_share=0.001) == 1
