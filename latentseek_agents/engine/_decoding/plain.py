"""Decode with the model's own cache, one request after another, each from a snapshot of its prompt.

What a model keeps of its prompt is kept as a snapshot. Every completion goes on from a copy of it, forced
tokens included, so that nothing is ever rewound. ``turns.py`` does the same for several requests at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from latentseek_agents.engine._decoding.kv_cache import PrefixCache
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest
from latentseek_agents.engine._decoding.row import Row, predict
from latentseek_agents.engine._decoding.token_choice import require_finite
from latentseek_agents.engine._model_cache import ModelCache
from latentseek_agents.engine._weights import Weights
from latentseek_agents.engine.policy import Policy


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a model knows after reading some tokens.

    Args:
        cache: What it keeps of them. Never grown: go on from a fork.
        hidden: (d,) last hidden state of the last token, from which the next token is predicted.
    """

    cache: ModelCache
    hidden: torch.Tensor


def decode_in_turn(
    policy: Policy, kept: PrefixCache | None, requests: Sequence[DecodeRequest], weights: Weights
) -> list[Completion]:
    """Continue requests one after the other, in the caller's thread: a pass a prompt, then one a token.

    Args:
        policy: The frozen model.
        kept: Where prompts are kept for later requests, if they are.
        requests: What to continue.
        weights: What the policy computes with.
    """
    rows = [Row(policy, request, speculate=False, weights=weights) for request in requests]
    if kept is not None:
        kept = kept.of(weights)
    for row in rows:
        if row.finish_reason is None:
            prefix = read_prompt(policy, kept, row)
            # A copy, unless nobody keeps it.
            cache = prefix.cache if kept is None else prefix.cache.fork()
            _write(policy, Prefix(cache, prefix.hidden), row)
    return [row.completion() for row in rows]


def read_prompt(policy: Policy, kept: PrefixCache | None, row: Row) -> Prefix:
    """What the model knows after a row's prompt, which is read unless it is kept.

    Args:
        policy: The frozen model.
        kept: Where prompts are kept for later requests, if they are.
        row: The request.
    """
    prefix = kept.get(row.prompt) if kept is not None else None
    if isinstance(prefix, Prefix):
        return prefix
    cache = policy.new_cache()
    hidden = policy.layers(torch.tensor([row.next_tokens(0, len(row.prompt))]), cache)[-1]
    row.require_unchanged()
    row.passed()
    require_finite(policy, hidden, "hidden states while reading the prompt")
    # A copy: the hidden states of the whole prompt would otherwise stay alive.
    prefix = Prefix(cache, hidden.clone())
    if kept is not None:
        kept.put(row.prompt, prefix, _size(policy, prefix))
    return prefix


def _size(policy: Policy, prefix: Prefix) -> int:
    """The tokens that a snapshot counts for: a recurrent state has its size however short the prompt is."""
    return -(-prefix.cache.nbytes // policy.bytes_per_cached_token)


def _write(policy: Policy, prefix: Prefix, row: Row) -> None:
    """Write to a row; the prefix is used up."""
    cache, hidden = prefix.cache, prefix.hidden[None]
    row.fed = len(row.prompt)
    while row.finish_reason is None:
        known = len(row.prompt) + len(row.tokens)
        if row.fed < known:
            # All that is known in one pass, where the model allows it.
            feed = row.next_tokens(0, known if cache.form.in_parts else 1)
            hidden = policy.layers(torch.tensor([feed]), cache)[-1:]
            row.require_unchanged()
            if not row.passed()[1]:
                continue
        with policy.lock:
            logits, tokens, maxima = predict(policy, [(row, hidden)])
        for token in row.take(hidden, logits, tokens, maxima):
            if row.request.on_token is not None:
                row.request.on_token(token)
        if row.finish_reason is None and row.overdue():
            row.finish_reason = "seconds"
