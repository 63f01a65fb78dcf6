"""Tokens are drawn with the model's probabilities, from one number each."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents.engine._decoding import pick_tokens
from latentseek_agents.engine._decoding.token_choice import (
    Draws,
    _first_beyond,
    choose_token,
    tokens_at,
)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_whole_vocabulary(dtype: torch.dtype):
    logits = logits_of(4, 30, 151_936, 3.0).to(dtype)
    draws = [number / 30 for number in range(30)]
    summed = torch.softmax(logits.double() / 0.8, dim=-1).cumsum(dim=-1)
    numbers = torch.tensor(draws, dtype=torch.float64)[:, None]
    tokens = tokens_at(logits, [0.8] * 30, draws)[:, None]
    assert bool((summed.gather(-1, tokens) >= numbers - 1e-5).all())
    before = summed.gather(-1, (tokens - 1).clamp(min=0)) * (tokens > 0)
    assert bool((before <= numbers + 1e-5).all())


@pytest.mark.parametrize("temperature", [1e-3, 1e-38, 1e-60, 5e-324])
@pytest.mark.parametrize("draw", [0.0, 0.999])
def test_a_tiny_temperature_takes_the_most_probable(temperature: float, draw: float):
    logits = torch.tensor([[0.0, 10.0, 3.0], [-1e30, -2e30, -3e30]])
    assert tokens_at(logits, [temperature] * 2, [draw] * 2).tolist() == [1, 0]


class Two:
    """Allows the tokens 7 and 590."""

    def allowed(self) -> torch.Tensor:
        return torch.isin(torch.arange(600), torch.tensor([7, 590]))

    def take(self, token_id: int) -> None:
        assert token_id in (7, 590)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_where_the_allowed_have_next_to_no_chance_one_of_them_is_taken(temperature: float):
    logits = torch.full((700,), -math.inf)
    logits[100] = 9
    found = {choose_token(logits, Two(), temperature, iter([draw]).__next__) for draw in (0.1, 0.9)}
    assert found == ({7} if temperature == 0 else {7, 590})


def test_rounded_running_sums_lead_to_no_place_without_a_share():
    # As a parallel scan may leave them: rising and falling where nothing was added.
    shares = torch.tensor([[0.0, 0.5, 0.0, 0.0, 0.5, 0.0]])
    summed = torch.tensor([[0.0, 0.5, 0.5001, 0.4999, 1.0, 0.9999]])
    for number, place in ((0.0, 1), (0.49995, 1), (0.50005, 4), (0.99995, 4), (1.0, 4), (2.0, 4)):
        assert _first_beyond(summed, torch.tensor([[number]]), shares).tolist() == [[place]]


def test_the_callers_default_device_does_not_matter():
    logits = logits_of(5, 3, 600, 2.0)
    expected = tokens_at(logits, [1.0] * 3, [Draws(1).at(n) for n in range(3)])
    picked = pick_tokens(logits, 1.0, torch.Generator().manual_seed(2))
    with torch.device("meta"):
        assert torch.equal(tokens_at(logits, [1.0] * 3, [Draws(1).at(n) for n in range(3)]), expected)
        assert torch.equal(pick_tokens(logits, 1.0, torch.Generator("cpu").manual_seed(2)), picked)


def test_only_some_rows():
    logits = logits_of(6, 300, 40, 2.0)
    places = [299, *range(0, 298, 2)]
    draws = [place / 300 for place in places]
    expected = tokens_at(logits[places], [0.7] * len(places), draws)
    found = tokens_at(logits, [0.7] * len(places), draws, places=torch.tensor(places))
    assert torch.equal(found, expected)
