"""Text as it comes: whole characters, stop sequences, and together always the same."""

import functools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents.chat._text_stream import Detokenizer, StopMatcher, hidden_token_ids
from latentseek_agents.testing import tiny_tokenizer

_tokenizer = functools.cache(tiny_tokenizer)


def streamed(tokenizer: Any, token_ids: list[int]) -> list[str]:
    """The pieces, the last one after the end."""
    detokenizer = Detokenizer(tokenizer, hidden_token_ids(tokenizer))
    return [*(detokenizer.add(token_id) for token_id in token_ids), detokenizer.finish()]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_pieces_add_up_and_hold_whole_characters(text: str) -> None:
    tokenizer = _tokenizer()
    pieces = streamed(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"])
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(3, 258), max_size=60))
def test_bytes_that_are_no_text_end(token_ids: list[int]) -> None:
    pieces = streamed(_tokenizer(), token_ids)
    assert len("".join(pieces)) <= len(token_ids)


def test_special_tokens_are_hidden_unless_asked_for() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer("<|im_start|>a<|im_end|>", add_special_tokens=False)["input_ids"]
    assert "".join(streamed(tokenizer, ids)) == "a"
    assert 1 not in hidden_token_ids(tokenizer, {"<|im_start|>"})


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="abc", max_size=20),
    st.lists(st.text(alphabet="abc", max_size=4), max_size=3),
)
def test_a_stop_sequence_ends_the_text_however_it_is_cut(text: str, stop: list[str]) -> None:
    matcher, said = StopMatcher(stop), ""
    for letter in text:
        said += matcher.add(letter)
        assert not any(word in said for word in stop if word)
    said += matcher.finish()
    ends = [text.index(word) + len(word) for word in stop if word and word in text]
    assert matcher.stopped == bool(ends)
    if not ends:
        assert said == text
    else:
        # Ended by the sequence that is complete first.
        assert text.startswith(said)
        assert any(text[len(said) :].startswith(word) for word in stop if word)
