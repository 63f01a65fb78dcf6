"""Guesses save passes and change nothing."""

import itertools
import random
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents.engine._decoding import DecodeRequest
from latentseek_agents.engine._decoding.row import Row
from latentseek_agents.engine._decoding.speculation import Speculator
from latentseek_agents.testing import tiny_backbone

BACKBONE = tiny_backbone()
VOCABULARY = 6  # few tokens, so that runs of them come back
WORDS = st.lists(st.integers(0, VOCABULARY - 1), max_size=60)


class Policy:
    """A table: the next token follows from the last two, and at some positions from these, too."""

    def __init__(self, seed: int, surprises: int) -> None:
        numbers = random.Random(seed)  # noqa: S311
        self._table = [[numbers.randrange(VOCABULARY) for _ in range(VOCABULARY)] for _ in range(VOCABULARY)]
        self._surprises = surprises

    def next(self, text: Sequence[int]) -> int:
        token = self._table[text[-2] if len(text) > 1 else 0][text[-1]]
        return (token + (len(text) % self._surprises == 0)) % VOCABULARY

    def write(self, request: DecodeRequest) -> list[int]:
        tokens = list(request.forced_ids)
        for _ in range(request.max_new_tokens):
            tokens.append(self.next([*request.prompt_ids, *tokens]))
            if tokens[-1] in request.end_token_ids:
                break
        return tokens


def simulate(policy: Policy, request: DecodeRequest, budget: int, *, speculate: bool = True) -> Row:
    """Decode with a store that is a list, and check that it holds what the row says."""
    row = Row(BACKBONE.policy, request, speculate=speculate)
    store: list[int] = []
    while row.finish_reason is None:
        feed = row.next_tokens(budget, 512)
        assert feed
        store[row.fed :] = feed
        start, wanted = row.fed, range(len(feed) - row.predicting, len(feed))
        _, at_end = row.passed()
        if at_end:
            best = [policy.next(store[: start + index + 1]) for index in wanted]
            row.take(torch.zeros(len(best), 32), torch.zeros(len(best), VOCABULARY), best, [0.0] * len(best))
            assert len(feed) <= max(budget, 0) + row.reading
        known = [*row.prompt, *row.tokens]
        assert store[: row.fed] == known[: row.fed]
        assert row.fed < len(known)  # there is always something to feed
    return row


def request(**changes: object) -> DecodeRequest:
    settings: dict = {"prompt_ids": [1, 2, 3], "max_new_tokens": 60, "end_token_ids": frozenset()}
    return DecodeRequest(**settings | changes)


@given(
    seed=st.integers(0, 10_000),
    surprises=st.integers(2, 40),
    prompt=WORDS.filter(bool),
    forced=WORDS,
    draft=WORDS,
    limit=st.integers(1, 80),
    ends=st.frozensets(st.integers(0, VOCABULARY - 1), max_size=1),
    budget=st.integers(-1, 40),
)
def test_any_draft_leaves_the_text_as_it_is(
    seed: int,
    surprises: int,
    prompt: list[int],
    forced: list[int],
    draft: list[int],
    limit: int,
    ends: frozenset[int],
    budget: int,
):
    policy = Policy(seed, surprises)
    asked = request(
        prompt_ids=prompt, forced_ids=forced, guess_ids=draft, max_new_tokens=limit, end_token_ids=ends
    )
    expected = policy.write(asked)
    row = simulate(policy, asked, budget)
    assert row.tokens == expected
    assert row.completion().new_tokens == len(expected) - len(forced)
    assert row.finish_reason == ("stop" if ends and expected[-1] in ends else "length")
    assert row.forward_passes <= simulate(policy, asked, budget, speculate=False).forward_passes


@given(seed=st.integers(0, 10_000), cut=st.integers(0, 60), edits=st.data())
def test_a_draft_with_a_few_differences_saves_passes(seed: int, cut: int, edits: st.DataObject):
    policy = Policy(seed, 10_000)
    asked = request()
    expected = policy.write(asked)
    draft = [[token] for token in expected[: max(40, cut)]]
    for place in edits.draw(st.lists(st.integers(0, len(draft) - 1), max_size=2)):
        # Lost, replaced, or followed by something new.
        draft[place] = edits.draw(st.lists(st.integers(0, VOCABULARY - 1), max_size=2))
    row = simulate(policy, request(guess_ids=list(itertools.chain(*draft))), 32)
    assert row.tokens == expected
    assert row.forward_passes < 40


def distinct(count: int) -> list[int]:
    return list(range(100, 100 + count))


class Script(Policy):
    """Writes exactly this after a prompt of three tokens."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = tokens

    def next(self, text: Sequence[int]) -> int:
        written = len(text) - 3
        return self._tokens[written] if written < len(self._tokens) else 0


def passes(tokens: list[int], draft: list[int], budget: int = 64) -> int:
    asked = request(max_new_tokens=len(tokens), guess_ids=draft)
    row = simulate(Script(tokens), asked, budget)
    assert row.tokens == tokens
    return row.forward_passes


def test_a_completion_that_is_its_own_draft_takes_few_passes():
    # The prompt; then blocks of 8, 16 and 32 guesses, each with the token that follows it.
    assert passes(distinct(60), distinct(60)) == 4
    assert passes(distinct(60), distinct(60), budget=8) == 8
    assert passes(distinct(60), []) == 60


@pytest.mark.parametrize(
    "draft",
    [
        [*distinct(30), 7, *distinct(60)[31:]],
        [*distinct(30), 7, 8, 9, *distinct(60)[30:]],
        [*distinct(30), *distinct(60)[33:]],
        [7, 8, *distinct(60)],
        distinct(60)[5:],
    ],
    ids=["replaced", "inserted", "lost", "new beginning", "lost beginning"],
)
def test_after_a_difference_the_draft_is_found_again(draft: list[int]):
    assert passes(distinct(60), draft) <= 15


def test_the_longest_match_wins_and_then_the_nearest():
    text = [1, 2, 3, 4, 70, 9, 2, 3, 4, 80, 5, 3, 4, 90, 6, 3, 4, 91]
    assert Speculator(text).propose([0, 1, 2, 3, 4], 1) == [70]
    assert Speculator(text).propose([*[0] * 16, 3, 4], 1) == [91]


def test_of_equal_matches_in_the_draft_the_nearest_wins():
    draft = [1, 2, 30, 0, 0, 0, 1, 2, 31, 0, 0, 0, 1, 2, 32]
    guesses = Speculator(draft)
    assert guesses.propose([9, 9, 9, 9, 9, 9, 1, 2], 1) == [31]


@pytest.mark.parametrize("limit", [0, -3])
def test_no_room_no_guess(limit: int):
    assert Speculator(distinct(20)).propose(distinct(3), limit) == []


@pytest.mark.parametrize("draft", [[], [5], [5, 6], [5, 6, 7]])
@pytest.mark.parametrize("written", [[], [5], [5, 6], [5, 6, 7], [5, 6, 7, 8], [1, 2, 3, 4, 5, 6]])
def test_short_drafts_and_completions(draft: list[int], written: list[int]):
    guess = Speculator(draft).propose(written, 8)
    assert guess == draft[len(draft) - len(guess) :]


def test_asking_twice_gives_the_same_guess():
    for written in (distinct(5), [*distinct(5), 1, 2], [1, 2, *distinct(20)[7:9]]):
        guesses = Speculator(distinct(20))
        assert guesses.propose(written, 4) == guesses.propose(written, 4)


def test_the_block_grows_while_guesses_are_right_and_shrinks_when_they_are_not():
    draft = distinct(200)
    guesses, sizes = Speculator(draft), list[int]()
    written = draft[:1]
    for accepted in (8, 16, 32, 3, 0, 0, 2, 4, 8):
        guess = guesses.propose(written, 99)
        sizes.append(len(guess))
        guesses.learn(len(guess), min(accepted, len(guess)))
        written = draft[: len(written) + 1]
    assert sizes == [8, 16, 32, 32, 5, 2, 2, 4, 8]
