"""Decode one request alone, with the model's own cache: for architectures that cannot be batched."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from latentseek_agents.engine._decoding.kv_cache import PrefixCache
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest
from latentseek_agents.engine._decoding.row import Row, predict
from latentseek_agents.engine._decoding.token_choice import require_finite
from latentseek_agents.engine.policy import Policy


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
    """Continue one request: the prompt in one pass, then a pass per token.

    Args:
        policy: The frozen model.
        kept: Where prompts are kept for later requests, if they are.
        request: What to continue.
    """
    row = Row(policy, request, speculate=False)
    if kept is not None:
        kept = kept.of(row.weights)
    prefix = kept.get(row.prompt) if kept is not None else None
    cache, hidden = DynamicCache(), torch.empty(0)
    if isinstance(prefix, Prefix):
        cache, hidden, row.fed = prefix.fork(), prefix.hidden[None], len(row.prompt)
    while row.finish_reason is None:
        if row.added and row.overdue():
            row.finish_reason = "seconds"
            break
        row.require_unchanged()
        known = len(row.prompt) + len(row.tokens)
        if row.fed < known:
            # The prompt in one pass, and then the tokens behind it.
            feed = row.next_tokens(0, known)
            hidden = policy.layers(torch.tensor([feed]), cache)[-1:]
            row.require_unchanged()
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
