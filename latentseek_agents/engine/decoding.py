"""Continue token sequences, with a key-value cache, and hand back the hidden state behind each token.

The module knows tokens and tensors, but no question, reward or iteration. Callers hand over a list of
requests; how they are run (today one after the other) is this module's own business.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.errors import NonFiniteError
from latentseek_agents.engine.prefix_cache import Prefix

if TYPE_CHECKING:
    import torch

__all__ = ["Completion", "DecodeRequest", "decode", "pick_tokens"]


@dataclass(frozen=True, kw_only=True)
class DecodeRequest:
    """One sequence to continue.

    Args:
        prompt_ids: The prompt. Its key-value states are kept, so the next request with it is cheap.
        forced_ids: First tokens of the completion, given by the caller.
        max_new_tokens: Most tokens to add after ``forced_ids``.
        end_token_ids: Tokens that end the completion.
        offsets: (m, d) float32, added to the hidden state that predicts completion token t for t < m.
        offset_temperature: Temperature for the tokens at the offsets; 0 takes the most probable.
        temperature: Temperature for all other tokens; 0 is greedy.
        seed: Where sampling starts; not used at temperature 0.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each new token id.
    """

    prompt_ids: Sequence[int]
    forced_ids: Sequence[int] = ()
    max_new_tokens: int
    end_token_ids: frozenset[int]
    offsets: "torch.Tensor | None" = None
    offset_temperature: float = 0.0
    temperature: float = 0.0
    seed: int = 0
    deadline: float | None = None
    on_token: Callable[[int], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What became of a request.

    Args:
        token_ids: ``forced_ids`` and what was added, end token included.
        hidden: (n, d) in the model's dtype, one row per added token: the hidden state, without offset,
            that predicted it.
        finish_reason: ``"stop"``, ``"length"`` or ``"seconds"``.
        forward_passes: Calls of the model; none for a prompt in the cache.
    """

    token_ids: list[int]
    hidden: "torch.Tensor" = field(repr=False)
    finish_reason: str
    forward_passes: int

    @property
    def new_tokens(self) -> int:
        """Tokens that were added."""
        return int(self.hidden.shape[0])


def decode(backbone: Backbone, requests: Sequence[DecodeRequest]) -> list[Completion]:
    """Continue every request.

    A request's result does not depend on the other requests, on what is cached, or on the thread
    (float32 on the CPU: token for token).

    Args:
        backbone: The frozen model.
        requests: What to continue.

    Returns:
        One completion per request, in their order.

    Raises:
        NonFiniteError: The model's hidden states or logits are NaN or infinite.
    """
    return [_decode_one(backbone, request) for request in requests]


def pick_tokens(
    logits: "torch.Tensor", temperature: float, generator: "torch.Generator | None" = None
) -> "torch.Tensor":
    """Choose a token per row.

    Args:
        logits: (..., V).
        temperature: 0 takes the most probable token, otherwise tokens are drawn from softmax(logits / T).
        generator: CPU generator for drawing, the same on every device.

    Returns:
        (...,) int64 token ids, on the logits' device.
    """
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.float() / temperature, dim=-1).cpu()
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    drawn = torch.multinomial(flat, 1, generator=generator)
    return drawn.reshape(logits.shape[:-1]).to(logits.device)


def _decode_one(backbone: Backbone, request: DecodeRequest) -> Completion:
    import torch

    prefix, passes = _read_prompt(backbone, tuple(request.prompt_ids))
    cache, hidden = prefix.fork(), prefix.hidden
    tokens = list(request.forced_ids)
    if tokens:
        # Always from the prompt and always in one pass: what comes out then depends on nothing but the
        # request, and a search resumed in another process goes on with the same bits.
        hidden = backbone.layers(torch.tensor([tokens]), cache)[-1]
        passes += 1
    generator = torch.Generator().manual_seed(request.seed)
    rows: list[torch.Tensor] = []
    finish_reason = "length"
    while len(rows) < request.max_new_tokens:
        if rows:
            if request.deadline is not None and time.monotonic() >= request.deadline:
                finish_reason = "seconds"
                break
            hidden = backbone.layers(torch.tensor([[tokens[-1]]]), cache)[-1]
            passes += 1
        token = _next_token(backbone, request, len(tokens), hidden, generator)
        rows.append(hidden)
        tokens.append(token)
        if request.on_token is not None:
            request.on_token(token)
        if token in request.end_token_ids:
            finish_reason = "stop"
            break
    stacked = torch.stack(rows) if rows else hidden.new_empty((0, hidden.shape[-1]))
    return Completion(token_ids=tokens, hidden=stacked, finish_reason=finish_reason, forward_passes=passes)


def _next_token(
    backbone: Backbone,
    request: DecodeRequest,
    position: int,
    hidden: "torch.Tensor",
    generator: "torch.Generator",
) -> int:
    import torch

    at_offset = request.offsets is not None and position < len(request.offsets)
    if at_offset and request.offsets is not None:
        hidden = hidden.float() + request.offsets[position].to(hidden.device)
    with backbone.lock, torch.no_grad():
        logits = backbone.logits(hidden)
    # One number tells: a NaN anywhere is the largest.
    if not torch.isfinite(logits.max()):
        raise _not_finite(backbone, f"logits at token {position} of the answer")
    temperature = request.offset_temperature if at_offset else request.temperature
    return int(pick_tokens(logits, temperature, generator))


def _not_finite(backbone: Backbone, what: str) -> NonFiniteError:
    return NonFiniteError(
        f"{backbone.name} gives NaN or infinite {what}; its weights are damaged, or its dtype is too narrow "
        "(try dtype='float32')"
    )


def _read_prompt(backbone: Backbone, prompt_ids: tuple[int, ...]) -> tuple[Prefix, int]:
    import torch
    from transformers import DynamicCache

    prefix = backbone.prefix_cache.get(prompt_ids)
    if prefix is not None:
        return prefix, 0
    cache = DynamicCache()
    hidden = backbone.layers(torch.tensor([prompt_ids]), cache)[-1]
    if not torch.isfinite(hidden).all():
        raise _not_finite(backbone, "hidden states while reading the prompt")
    # A copy: the row would otherwise keep the hidden states of the whole prompt alive.
    prefix = Prefix(cache, hidden.clone())
    backbone.prefix_cache.put(prompt_ids, prefix)
    return prefix, 1
