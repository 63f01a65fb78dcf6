"""Decode with the model's own cache, one prompt after another: for models that cannot share passes.

What a model keeps of its prompt is kept as a snapshot. Every completion goes on from a copy of it, forced
tokens included, so that nothing is ever rewound. Completions of one prompt are of one length as long as they
are written, so that they share passes where the model allows it.
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
    policy: Policy,
    kept: PrefixCache | None,
    requests: Sequence[DecodeRequest],
    weights: Weights,
    *,
    most_rows: int,
    most_tokens: int,
) -> list[Completion]:
    """Continue requests: each prompt in one pass, then a pass per token of what is written to it.

    Args:
        policy: The frozen model.
        kept: Where prompts are kept for later requests, if they are.
        requests: What to continue.
        weights: What the policy computes with.
        most_rows: Most completions of one prompt that share passes.
        most_tokens: Tokens of all of these together, as the policy counts their memory.
    """
    rows = [Row(policy, request, speculate=False, weights=weights) for request in requests]
    if kept is not None:
        kept = kept.of(weights)
    groups: dict[tuple[tuple[int, ...], int], list[Row]] = {}
    for row in rows:
        if row.finish_reason is None:
            groups.setdefault((row.prompt, len(row.tokens)), []).append(row)
    for group in groups.values():
        prefix = _read(policy, kept, group[0])
        shared = len(group) > 1 and most_rows > 1 and policy.reads_rows_together
        room = most_tokens // (_size(policy, prefix) + group[0].most_tokens - len(group[0].prompt))
        size = max(1, min(most_rows, room)) if shared else 1
        for start in range(0, len(group), size):
            # The last rows may use the snapshot up if nobody keeps it.
            last = kept is None and start + size >= len(group)
            cache = prefix.cache if last else prefix.cache.fork()
            _write(policy, Prefix(cache, prefix.hidden), group[start : start + size])
    return [row.completion() for row in rows]


def _read(policy: Policy, kept: PrefixCache | None, row: Row) -> Prefix:
    """What the model knows after a row's prompt, which is read unless it is kept."""
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


def _write(policy: Policy, prefix: Prefix, rows: list[Row]) -> None:
    """Write to rows that have a prompt and the number of forced tokens in common; the prefix is used up."""
    cache, hidden = prefix.cache, prefix.hidden.expand(len(rows), 1, -1)
    if len(rows) > 1:
        cache.select([0] * len(rows))
    for row in rows:
        row.fed = len(row.prompt)
    while rows:
        known = len(rows[0].prompt) + len(rows[0].tokens)
        if rows[0].fed < known:
            # All that is known in one pass, where the model allows it.
            feed = [row.next_tokens(0, known if cache.form.in_parts else 1) for row in rows]
            hidden = policy.layers_of_rows(torch.tensor(feed), cache)[:, -1:]
            rows[0].require_unchanged()
            at_end = [row.passed()[1] for row in rows]
            if not all(at_end):
                continue
        with policy.lock:
            logits, tokens, maxima = predict(policy, list(zip(rows, hidden, strict=True)))
        for place, row in enumerate(rows):
            part = slice(place, place + 1)
            for token in row.take(hidden[place], logits[part], tokens[part], maxima[part]):
                if row.request.on_token is not None:
                    row.request.on_token(token)
            if row.finish_reason is None and row.overdue():
                row.finish_reason = "seconds"
        left = [place for place, row in enumerate(rows) if row.finish_reason is None]
        if left and len(left) < len(rows):
            cache.select(left)
        rows = [rows[place] for place in left]
