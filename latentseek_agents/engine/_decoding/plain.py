"""Decode one request alone, with the model's own cache: for architectures that cannot be batched."""

import copy
import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from latentseek_agents.engine._decoding.kv_cache import PrefixCache
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest
from latentseek_agents.engine._decoding.token_choice import Draws, choose_token, not_finite
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
    """Continue one request, a forward pass per token.

    Args:
        policy: The frozen model.
        kept: Where prompts are kept for later requests, if they are.
        request: What to continue.
    """
    prefix, passes = _read_prompt(policy, kept, tuple(request.prompt_ids))
    cache, hidden = prefix.fork(), prefix.hidden
    prompt_passes, prompt_tokens = passes, len(request.prompt_ids) if passes else 0
    computed = prompt_tokens
    tokens = list(request.forced_ids)
    if tokens:
        hidden = policy.layers(torch.tensor([tokens]), cache)[-1]
        passes += 1
        computed += len(tokens)
    draws = Draws(request.seed)
    rows: list[torch.Tensor] = []
    finish_reason = "length"
    while len(rows) < request.max_new_tokens:
        if rows:
            if request.deadline is not None and time.monotonic() >= request.deadline:
                finish_reason = "seconds"
                break
            hidden = policy.layers(torch.tensor([[tokens[-1]]]), cache)[-1]
            passes += 1
            computed += 1
        token = _next_token(policy, request, len(tokens), hidden, draws)
        rows.append(hidden)
        tokens.append(token)
        if request.on_token is not None:
            request.on_token(token)
        if token in request.end_token_ids:
            finish_reason = "stop"
            break
    stacked = torch.stack(rows) if rows else hidden.new_empty((0, hidden.shape[-1]))
    return Completion(
        token_ids=tokens,
        hidden=stacked,
        finish_reason=finish_reason,
        forward_passes=passes,
        computed_tokens=computed,
        prompt_passes=prompt_passes,
        prompt_tokens=prompt_tokens,
    )


def _next_token(
    policy: Policy, request: DecodeRequest, position: int, hidden: torch.Tensor, draws: Draws
) -> int:
    if request.offsets is not None and request.has_offset(position):
        hidden = hidden.float() + request.offsets[position].to(hidden.device)
    with policy.lock, torch.no_grad():
        logits = policy.logits(hidden)
    # A NaN anywhere is the largest number.
    if not torch.isfinite(logits.max()):
        raise not_finite(policy, f"logits at token {position} of the answer")
    return choose_token(logits, request, position, draws)


def _read_prompt(policy: Policy, kept: PrefixCache | None, prompt_ids: tuple[int, ...]) -> tuple[Prefix, int]:
    prefix = kept.get(prompt_ids) if kept is not None else None
    if isinstance(prefix, Prefix):
        return prefix, 0
    cache = DynamicCache()
    hidden = policy.layers(torch.tensor([prompt_ids]), cache)[-1]
    if not torch.isfinite(hidden).all():
        raise not_finite(policy, "hidden states while reading the prompt")
    # A copy: the row would otherwise keep the hidden states of the whole prompt alive.
    prefix = Prefix(cache, hidden.clone())
    if kept is not None:
        kept.put(prompt_ids, prefix, len(prompt_ids))
    return prefix, 1
