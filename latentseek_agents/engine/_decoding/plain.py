"""Decode one request alone, with the model's own cache: for architectures that cannot be batched."""

from dataclasses import dataclass

import torch

from latentseek_agents.engine._decoding.kv_cache import PrefixCache
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest
from latentseek_agents.engine._decoding.row import Row, predict
from latentseek_agents.engine._decoding.token_choice import require_finite
from latentseek_agents.engine._model_cache import ModelCache
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
    hidden = torch.empty(0)
    if isinstance(prefix, Prefix):
        cache, hidden, row.fed = prefix.cache.fork(), prefix.hidden[None], len(row.prompt)
    else:
        cache = policy.new_cache()
    while row.finish_reason is None:
        if row.added and row.overdue():
            row.finish_reason = "seconds"
            break
        row.require_unchanged()
        known = len(row.prompt) + len(row.tokens)
        if row.fed < known:
            # The prompt in one pass, and then the tokens behind it.
            in_one = cache.form.in_parts or not row.fed
            feed = row.next_tokens(0, known if in_one else 1)
            hidden = policy.layers(torch.tensor([feed]), cache)[-1:]
            row.require_unchanged()
            at_prompt_end, at_end = row.passed()
            if at_prompt_end:
                require_finite(policy, hidden, "hidden states while reading the prompt")
                # A copy: the row would otherwise keep the hidden states of the whole prompt alive.
                if kept is not None:
                    _keep(policy, kept, row.prompt, Prefix(cache, hidden[0].clone()))
                    cache = cache.fork()
            if not at_end:
                continue
        with policy.lock:
            logits, tokens, maxima = predict(policy, [(row, hidden)])
        for token in row.take(hidden, logits, tokens, maxima):
            if request.on_token is not None:
                request.on_token(token)
    return row.completion()


def _keep(policy: Policy, kept: PrefixCache, prompt: tuple[int, ...], prefix: Prefix) -> None:
    """Keep a prompt. A recurrent state takes as much room as it has bytes, however short the prompt is."""
    kept.put(prompt, prefix, -(-prefix.cache.nbytes // policy.bytes_per_cached_token))
