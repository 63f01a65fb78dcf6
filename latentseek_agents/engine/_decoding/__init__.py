"""Continue token sequences, and hand back the hidden state behind each token: the door of this package.

:func:`decode` answers requests with completions; what is behind it knows tokens and tensors, but no question,
reward or iteration. Nothing outside this package imports its inner modules. Importing it loads no torch.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from latentseek_agents.engine._decoding.calls import PendingCall
from latentseek_agents.engine._decoding.requests import (
    Completion,
    Decoder,
    DecodeRequest,
    DecodingOptions,
    TokenConstraint,
    decode,
)

if TYPE_CHECKING:
    import torch

    from latentseek_agents.engine._decoding.token_choice import Draws
    from latentseek_agents.engine.policy import Policy

__all__ = [
    "Completion",
    "DecodeRequest",
    "Decoder",
    "DecodingOptions",
    "PendingCall",
    "TokenConstraint",
    "allowed_token",
    "decode",
    "model_decoder",
    "pick_tokens",
    "token_draws",
    "tokens_at",
]


def model_decoder(policy: "Policy", options: DecodingOptions) -> Decoder:
    """The decoder of a policy that is loaded in this process."""
    from latentseek_agents.engine._decoding.scheduler import ModelDecoder

    return ModelDecoder(policy, options)


def pick_tokens(
    logits: "torch.Tensor", temperature: float, generator: "torch.Generator | None" = None
) -> "torch.Tensor":
    """Choose a token per row.

    Args:
        logits: (..., V), at least one row.
        temperature: 0 takes the most probable token, otherwise tokens are drawn from softmax(logits / T).
        generator: CPU generator for drawing, the same on every device; it gives one number per row.

    Returns:
        (...,) int64 token ids, on the logits' device.
    """
    from latentseek_agents.engine._decoding.token_choice import draw_rows

    return logits.argmax(dim=-1) if temperature == 0 else draw_rows(logits, temperature, generator)


def token_draws(seed: int) -> "Draws":
    """The numbers that the tokens of one completion are drawn with, for another decoder."""
    from latentseek_agents.engine._decoding.token_choice import Draws

    return Draws(seed)


def tokens_at(
    logits: "torch.Tensor", temperatures: Sequence[float], draws: Sequence[float]
) -> "torch.Tensor":
    """A token per row from softmax(logits / T), each drawn with a given number; for another decoder.

    Args:
        logits: (N, V).
        temperatures: Numbers above 0, one per row.
        draws: Numbers in [0, 1), one per row.

    Returns:
        (N,) int64 token ids, on the logits' device.
    """
    from latentseek_agents.engine._decoding import token_choice

    return token_choice.tokens_at(logits, temperatures, draws)


def allowed_token(
    logits: "torch.Tensor", constraint: TokenConstraint, temperature: float, draw: Callable[[], float]
) -> int:
    """One token among those that a constraint allows, which is not told of it; for another decoder.

    Args:
        logits: (V,).
        constraint: That of the completion.
        temperature: 0 takes the most probable.
        draw: The number in [0, 1) to draw with; called only if it is needed.
    """
    from latentseek_agents.engine._decoding import token_choice

    return token_choice.allowed_token(logits, constraint, temperature, draw)
