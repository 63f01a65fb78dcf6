"""Continue token sequences, and hand back the hidden state behind each token: the door of this package.

:func:`decode` answers requests with completions; what is behind it knows tokens and tensors, but no question,
reward or iteration. Nothing outside this package imports its inner modules. Importing it loads no torch.
"""

from typing import TYPE_CHECKING

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

    from latentseek_agents.engine.policy import Policy

__all__ = [
    "Completion",
    "DecodeRequest",
    "Decoder",
    "DecodingOptions",
    "TokenConstraint",
    "decode",
    "model_decoder",
    "pick_tokens",
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
