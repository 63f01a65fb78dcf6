"""Algorithm 1 of arXiv 2505.13308 in the plainest possible way: the oracle for the engine.

No cache: every token costs a forward pass over the whole sequence. Gradients by autograd through the head,
with torch's own Adam. It follows the quirks of the authors' release that ``LatentSeekConfig.paper()`` lists.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

STOP_WORDS = ("</s>", "<|im_end|>", "<|endoftext|>")


@dataclass
class NaiveRun:
    """What was written, iteration by iteration."""

    texts: list[str] = field(default_factory=list)
    token_ids: list[list[int]] = field(default_factory=list)
    latents: torch.Tensor | None = None


@torch.no_grad()
def _last_hidden(model: Any, ids: list[int]) -> torch.Tensor:
    return model.model(torch.tensor([ids]))[0][0, -1]


@torch.no_grad()
def write_draft(
    model: Any, tokenizer: Any, prompt_ids: list[int], limit: int
) -> tuple[list[int], list[torch.Tensor]]:
    """Greedy draft with the hidden state behind each token, end token included."""
    answer: list[int] = []
    hidden_states: list[torch.Tensor] = []
    ends = {*STOP_WORDS, tokenizer.eos_token}
    while len(answer) <= limit:
        hidden = _last_hidden(model, prompt_ids + answer)
        hidden_states.append(hidden)
        answer.append(int(model.lm_head(hidden).argmax()))
        if tokenizer.decode([answer[-1]]) in ends:
            break
    return answer, hidden_states


@torch.no_grad()
def write_on(model: Any, tokenizer: Any, prompt_ids: list[int], given: list[int], limit: int) -> list[int]:
    """Greedy continuation of an answer's first tokens by at most ``limit`` + 1 tokens."""
    answer = list(given)
    while len(answer) <= len(given) + limit:
        answer.append(int(model.lm_head(_last_hidden(model, prompt_ids + answer)).argmax()))
        if tokenizer.decode([answer[-1]]) == tokenizer.eos_token:
            break
    return answer


def run(
    model: Any,
    tokenizer: Any,
    prompt_ids: list[int],
    reward: Callable[[str], float],
    *,
    learning_rate: float,
    fraction: float,
    iterations: int,
    threshold: float = -0.2,
    max_new_tokens: int = 1024,
    draft: tuple[list[int], list[torch.Tensor]] | None = None,
) -> NaiveRun:
    """Draft and refine one question; ``draft`` hands in a draft that was written before."""
    answer, hidden_states = draft or write_draft(model, tokenizer, prompt_ids, 1024)
    done = NaiveRun([tokenizer.decode(answer)], [answer])
    score = reward(done.texts[-1])
    count = min(int(fraction * len(hidden_states)), 300)
    if count == 0:
        return done
    latents = torch.nn.Parameter(torch.stack(hidden_states[:count]).clone())
    optimizer = torch.optim.Adam([latents], lr=learning_rate)
    for _ in range(iterations):
        if score > threshold:
            break
        optimizer.zero_grad()
        probabilities = torch.softmax(model.lm_head(latents), dim=-1) + 1e-8
        chosen = probabilities.max(dim=-1).values
        loss = -score * torch.log(chosen + 1e-10).sum()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            tokens = model.lm_head(latents).argmax(dim=-1).tolist()
        done.token_ids.append(write_on(model, tokenizer, prompt_ids, tokens, max_new_tokens))
        done.texts.append(tokenizer.decode(done.token_ids[-1]))
        done.latents = latents.detach().clone()
        score = reward(done.texts[-1])
    return done
