"""The decoder of a policy that is loaded in this process: in batches, or one request after the other."""

import atexit
import copy
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from latentseek_agents.engine._decoding.kv_cache import PrefixCache, affordable_tokens
from latentseek_agents.engine._decoding.packed_forward import packed_model_for
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest, DecodingOptions
from latentseek_agents.engine._decoding.rows import Row, predict
from latentseek_agents.engine._decoding.scheduler import BatchDecoder, join_threads
from latentseek_agents.engine._decoding.token_choice import require_finite
from latentseek_agents.engine._fair_lock import FairLock
from latentseek_agents.engine.policy import Policy

_decoders: "weakref.WeakSet[ModelDecoder]" = weakref.WeakSet()


class ModelDecoder:
    """Decodes in batches where the model allows it, else one request after the other.

    Args:
        policy: The frozen model.
        options: Limits.

    Attributes:
        prefix_cache: Keys and values of recent prompts and completions.
    """

    def __init__(self, policy: Policy, options: DecodingOptions) -> None:
        self.prefix_cache = PrefixCache(
            options.max_kept_tokens
            or affordable_tokens(policy, most_bytes=2**30, most_tokens=16_384, gpu_share=0.125)
        )
        self._policy = policy
        self._options = options
        self._lock = threading.Lock()
        self._examined = False
        self._batch: BatchDecoder | None = None
        _decoders.add(self)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the model knows."""
        return self._policy.vocabulary_size

    @property
    def batch(self) -> BatchDecoder | None:
        """What joins the requests of all callers; None if this model is decoded one request at a time."""
        with self._lock:
            if not self._examined:
                packed = packed_model_for(self._policy, self._options)
                if packed is not None:
                    self._batch = BatchDecoder(self._policy, packed, self._options, self.prefix_cache)
                self._examined = True
        return self._batch

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Completion]:
        """One completion per request, in their order."""
        if self._policy.lock.held:  # the decoder's thread would wait for it for ever
            raise RuntimeError("this thread holds the lock of the backbone; release it before decoding")
        if self.batch is not None:
            return self.batch.decode(requests)
        cache = self.prefix_cache if self._options.reuse else None
        return [decode_alone(self._policy, cache, request) for request in requests]

    def close(self) -> None:
        """End the thread of the batches after the pass that it is in."""
        if self._batch is not None:
            self._batch.close()

    def after_fork(self) -> None:
        """Replace locks: those that other threads held are never released in a child process."""
        self._policy.lock = FairLock()
        self._lock = threading.Lock()
        self.prefix_cache.after_fork()
        if self._batch is not None:
            self._batch.after_fork()


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a model knows after reading some tokens.

    Args:
        cache: A ``transformers.DynamicCache`` holding the tokens' keys and values. Never grown: use
            :meth:`fork`.
        hidden: (d,) last hidden state of the last token, from which the next token is predicted.
    """

    cache: Any
    hidden: torch.Tensor

    def fork(self) -> Any:
        """A cache to go on from. It shares the tensors, which growing replaces and never writes to."""
        forked = DynamicCache()
        forked.layers = [copy.copy(layer) for layer in self.cache.layers]
        return forked


def decode_alone(policy: Policy, kept: PrefixCache | None, request: DecodeRequest) -> Completion:
    """Continue one request with the model's own cache, for architectures that cannot be batched.

    Args:
        policy: The frozen model.
        kept: Where prompts are kept for later requests, if they are.
        request: What to continue.
    """
    row = Row(policy, request, speculate=False)
    prefix = kept.get(row.prompt) if kept is not None else None
    cache, hidden = DynamicCache(), torch.empty(0)
    if isinstance(prefix, Prefix):
        cache, hidden, row.fed = prefix.fork(), prefix.hidden[None], len(row.prompt)
    while row.finish_reason is None:
        if row.added and row.overdue():
            row.finish_reason = "seconds"
            break
        known = len(row.prompt) + len(row.tokens)
        if row.fed < known:
            # The prompt in one pass, and then the tokens behind it.
            feed = row.next_tokens(0, known)
            hidden = policy.layers(torch.tensor([feed]), cache)[-1:]
            at_prompt_end, at_end = row.passed()
            if at_prompt_end:
                require_finite(policy, hidden, "hidden states while reading the prompt")
                # A copy: the row would otherwise keep the hidden states of the whole prompt alive.
                prefix = Prefix(cache, hidden[0].clone())
                cache = prefix.fork()
                if kept is not None:
                    kept.put(row.prompt, prefix, len(row.prompt))
            if not at_end:
                continue
        with policy.lock:
            logits, tokens, maxima = predict(policy, [(row, hidden)])
        for token in row.take(hidden, logits, tokens, maxima):
            if request.on_token is not None:
                request.on_token(token)
    return row.completion()


@atexit.register
def _close_all() -> None:
    # A daemon thread in the middle of a forward pass would abort the process when the interpreter goes.
    for decoder in list(_decoders):
        decoder.close()
    join_threads()


def _after_fork() -> None:
    for decoder in list(_decoders):
        decoder.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
