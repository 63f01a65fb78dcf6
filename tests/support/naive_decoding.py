"""Decoding in the plainest possible way, for every architecture: the oracle for the engine's unit tests.

No cache and nothing of the engine: every token costs a forward pass over the whole sequence.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch


@torch.no_grad()
def hidden_states(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """(n, d): last hidden states of a whole sequence."""
    return model.base_model(torch.tensor([list(ids)]), use_cache=False).last_hidden_state[0]


@torch.no_grad()
def model_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """(n, V): the model's own logits for a whole sequence."""
    return model(torch.tensor([list(ids)]), use_cache=False).logits[0]


def head(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """What each architecture of the tests does after its last hidden state, written out."""
    logits = hidden @ model.get_output_embeddings().weight.T.to(hidden.dtype)
    config = model.config
    if config.model_type == "granite":
        logits = logits / config.logits_scaling
    if config.model_type == "cohere":
        logits = logits * config.logit_scale
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def greedy(
    model: Any,
    prompt_ids: Sequence[int],
    given: Sequence[int],
    limit: int,
    ends: Iterable[int] = (),
    offsets: torch.Tensor | None = None,
) -> tuple[list[int], torch.Tensor]:
    """Continue ``given`` by at most ``limit`` tokens; row t of ``offsets`` moves the answer's token t.

    Returns:
        The answer and the hidden state, without offset, behind each token that was added.
    """
    answer = list(given)
    rows = []
    for _ in range(limit):
        hidden = hidden_states(model, [*prompt_ids, *answer])[-1]
        rows.append(hidden)
        position = len(answer)
        if offsets is not None and position < len(offsets):
            hidden = hidden + offsets[position]
        with torch.no_grad():
            answer.append(int(head(model, hidden).argmax()))
        if answer[-1] in ends:
            break
    return answer, torch.stack(rows)
