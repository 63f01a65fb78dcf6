"""A search on any causal LM in the plainest possible way: the oracle for families of models.

It knows nothing of an architecture and nothing of the engine: every token costs a pass of the whole model
over the whole text, without a cache, and latents are put where the layers hand their result to the head. So
heads, scalings, recurrent states and windows are the model's own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch


def layers_module(model: Any) -> Any:
    """What stands between the token ids and the head."""
    layers = model.base_model if model.base_model is not model else model.model
    # Of encoder-decoders the decoder alone is left, in a wrapper that a head may pass by.
    return layers.decoder if list(layers._modules) == ["decoder"] else layers


@contextmanager
def _replaced(model: Any, start: int, hidden: torch.Tensor | None) -> Iterator[list[torch.Tensor]]:
    """Put other hidden states at some positions; what was there is in the list."""
    seen: list[torch.Tensor] = []

    def hook(_module: Any, _inputs: Any, output: Any) -> Any:
        states = output[0]
        seen.append(states[0])
        if hidden is None:
            return output
        changed = states.detach().clone()  # the gradient passes through the head alone
        changed[0, start : start + len(hidden)] = hidden
        if isinstance(output, tuple):
            return (changed, *output[1:])
        output[next(iter(output.keys()))] = changed
        return output

    handle = layers_module(model).register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def whole_pass(
    model: Any, ids: Sequence[int], start: int = 0, hidden: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """One pass over a whole text.

    Args:
        model: A causal LM.
        ids: The text.
        start: The first position whose hidden state is replaced.
        hidden: (m, d) what stands there instead; differentiable.

    Returns:
        Logits (n, V), and hidden states (n, d) as the layers made them.
    """
    with _replaced(model, start, hidden) as seen:
        output = model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    return output.logits[0], seen[0]


def greedy(
    model: Any,
    prompt: Sequence[int],
    given: Sequence[int],
    limit: int,
    ends: frozenset[int] = frozenset(),
    offsets: torch.Tensor | None = None,
) -> tuple[list[int], torch.Tensor]:
    """Continue ``given`` by at most ``limit`` tokens; row t of ``offsets`` moves the answer's token t.

    Returns:
        The answer, and the hidden state without offset behind each token that was added.
    """
    answer = list(given)
    rows: list[torch.Tensor] = []
    while len(rows) < limit and not (rows and answer[-1] in ends):
        ids = [*prompt, *answer]
        with torch.no_grad():
            logits, hidden = whole_pass(model, ids)
            rows.append(hidden[-1].clone())
            if offsets is not None and len(answer) < len(offsets):
                moved = rows[-1] + offsets[len(answer)]
                logits, _ = whole_pass(model, ids, len(ids) - 1, moved[None])
        answer.append(int(logits[-1].argmax()))
    return answer, torch.stack(rows)


def search(
    model: Any,
    prompt: Sequence[int],
    *,
    consistent: bool,
    scores: Sequence[float],
    limit: int,
    fraction: float,
    learning_rate: float,
    ends: frozenset[int] = frozenset(),
) -> list[list[int]]:
    """The draft, and what is written after each step of the policy gradient with these scores."""
    answer, hidden = greedy(model, prompt, [], limit, ends)
    count = int(fraction * len(answer))
    hidden = hidden[:count]
    variable = torch.nn.Parameter(torch.zeros_like(hidden) if consistent else hidden.clone())
    optimizer = torch.optim.Adam([variable], lr=learning_rate)
    written = [answer]
    first = len(prompt) - 1
    for score in scores:
        tokens = answer[:count]
        reached = len(tokens)
        latents = variable[:reached] + (hidden[:reached] if consistent else 0)
        logits, _ = whole_pass(model, [*prompt, *tokens], first, latents)
        chosen = torch.log_softmax(logits[first:-1], -1)[range(reached), tokens]
        before = variable.detach().clone()
        (variable.grad,) = torch.autograd.grad(-score * chosen.sum(), variable)
        optimizer.step()
        with torch.no_grad():
            variable[reached:] = before[reached:]
        offsets = variable.detach()
        if consistent:
            answer, rows = greedy(model, prompt, [], limit, ends, offsets)
            hidden = torch.cat([rows[:count], hidden[len(rows[:count]) :]])
        else:
            with torch.no_grad():
                logits, _ = whole_pass(model, [*prompt, *([0] * count)], first, offsets)
            given = logits[first:-1].argmax(-1).tolist()
            end = next((t for t, token in enumerate(given) if token in ends), None)
            answer = given if end is None else given[: end + 1]
            if end is None:
                answer, _ = greedy(model, prompt, given, limit - count, ends)
        written.append(answer)
    return written
