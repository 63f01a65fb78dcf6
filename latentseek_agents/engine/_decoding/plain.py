"""Decode one request alone, with the model's own cache: for architectures that cannot be batched."""

import time
from functools import partial
from typing import TYPE_CHECKING

from latentseek_agents.engine._decoding.prefix_cache import Prefix
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest, constrained, not_finite
from latentseek_agents.engine._decoding.token_choice import Draws, choose_token

if TYPE_CHECKING:
    import torch

    from latentseek_agents.engine.backbone import Backbone

__all__ = ["decode_alone"]


def decode_alone(backbone: "Backbone", request: DecodeRequest) -> Completion:
    """Continue one request, a forward pass per token."""
    import torch

    prefix, passes = _read_prompt(backbone, tuple(request.prompt_ids))
    cache, hidden = prefix.fork(), prefix.hidden
    read, computed = passes, len(request.prompt_ids) if passes else 0
    tokens = list(request.forced_ids)
    if tokens:
        hidden = backbone.layers(torch.tensor([tokens]), cache)[-1]
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
            hidden = backbone.layers(torch.tensor([[tokens[-1]]]), cache)[-1]
            passes += 1
            computed += 1
        token = _next_token(backbone, request, len(tokens), hidden, draws)
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
        prompt_passes=read,
        prompt_tokens=len(request.prompt_ids) if read else 0,
    )


def _next_token(
    backbone: "Backbone",
    request: DecodeRequest,
    position: int,
    hidden: "torch.Tensor",
    draws: Draws,
) -> int:
    import torch

    if request.offsets is not None and request.has_offset(position):
        hidden = hidden.float() + request.offsets[position].to(hidden.device)
    with backbone.lock, torch.no_grad():
        logits = backbone.logits(hidden)
    # One number tells: a NaN anywhere is the largest.
    if not torch.isfinite(logits.max()):
        raise not_finite(backbone, f"logits at token {position} of the answer")
    if request.constraint is not None:
        logits = constrained(logits, request.constraint)
    added = position - len(request.forced_ids)
    token = choose_token(logits, request.temperature_at(position), partial(draws.at, added))
    if request.constraint is not None:
        request.constraint.take(token)
    return token


def _read_prompt(backbone: "Backbone", prompt_ids: tuple[int, ...]) -> tuple[Prefix, int]:
    import torch
    from transformers import DynamicCache

    prefix = backbone.prefix_cache.get(prompt_ids)
    if isinstance(prefix, Prefix):
        return prefix, 0
    cache = DynamicCache()
    hidden = backbone.layers(torch.tensor([prompt_ids]), cache)[-1]
    if not torch.isfinite(hidden).all():
        raise not_finite(backbone, "hidden states while reading the prompt")
    # A copy: the row would otherwise keep the hidden states of the whole prompt alive.
    prefix = Prefix(cache, hidden.clone())
    if backbone.decoding.reuse:
        backbone.prefix_cache.put(prompt_ids, prefix, len(prompt_ids))
    return prefix, 1
