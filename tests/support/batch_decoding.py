"""What the tests of the batch decoder share."""

import time
from collections.abc import Callable
from typing import Any

import torch

from latentseek_agents.engine._decoding import Completion, DecodeRequest, DecodingOptions
from latentseek_agents.engine._decoding.kv_cache import PrefixCache
from latentseek_agents.engine._decoding.scheduler import ModelDecoder
from latentseek_agents.engine.backbone import Backbone
from tests.support.naive_decoding import greedy

NO_END = frozenset[int]()


def text(count: int, seed: int = 0) -> list[int]:
    """Random tokens, none of which ends anything."""
    return torch.randint(3, 259, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def fresh(backbone: Backbone, **options: Any) -> Backbone:
    """The same model with nothing cached and a decoder of its own."""
    return Backbone.from_model(backbone.model, backbone.tokenizer, decoding=DecodingOptions(**options))


def request(**changes: Any) -> DecodeRequest:
    """A prompt of 20 tokens, and 12 new ones."""
    settings: dict[str, Any] = {"prompt_ids": text(20), "max_new_tokens": 12, "end_token_ids": NO_END}
    return DecodeRequest(**settings | changes)


def model_decoder(backbone: Backbone) -> ModelDecoder:
    """What decodes, in batches or not."""
    assert isinstance(backbone.decoder, ModelDecoder)
    return backbone.decoder


def decoder_of(backbone: Backbone) -> ModelDecoder:
    """The decoder, which must work in batches."""
    decoder = model_decoder(backbone)
    assert decoder.packed is not None
    return decoder


def cache_of(backbone: Backbone) -> PrefixCache:
    """Where prompts and completions of the model are kept, as its weights are now."""
    return model_decoder(backbone).prefix_cache.of(backbone.policy.weights())


_written: dict[Any, tuple[list[int], torch.Tensor]] = {}


def naive(backbone: Backbone, asked: DecodeRequest) -> tuple[list[int], torch.Tensor]:
    """What a full pass per token writes; the same is asked many times, and computed once."""
    model, offsets = backbone.model, asked.offsets
    ends, forced = frozenset(asked.end_token_ids), tuple(asked.forced_ids)
    moved = None if offsets is None else offsets.numpy().tobytes()
    # With the model itself in the key, so that it stays and no other can get its place in memory.
    key = (model, tuple(asked.prompt_ids), forced, asked.max_new_tokens, ends, moved)
    if key not in _written:
        limit = asked.max_new_tokens
        _written[key] = greedy(model, asked.prompt_ids, asked.forced_ids, limit, ends, offsets)
    return _written[key]


def assert_naive(backbone: Backbone, asked: DecodeRequest, got: Completion) -> None:
    """Token for token what a full pass per token writes, and its hidden states up to rounding."""
    tokens, hidden = naive(backbone, asked)
    assert got.token_ids == tokens
    assert got.finish_reason == ("stop" if tokens[-1] in asked.end_token_ids else "length")
    torch.testing.assert_close(got.hidden, hidden, rtol=1e-3, atol=1e-3)


def until(condition: Callable[[], object]) -> None:
    """Wait for another thread."""
    give_up = time.monotonic() + 120
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("waited in vain")
        time.sleep(0.001)


def entered(decoder: ModelDecoder, rows: int) -> Callable[[], bool]:
    """Whether so many rows have come; asked while the decoder cannot run, because the test has the lock."""
    return lambda: len(decoder._active) + sum(len(t.unstarted) for t in decoder._waiting) >= rows
