"""Continue token sequences, and hand back the hidden state behind each token.

The module knows tokens and tensors, but no question, reward or iteration.
"""

from collections.abc import Sequence

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.completion import Completion, DecodeRequest, DecodingOptions, pick_tokens
from latentseek_agents.engine.plain_decoding import decode_alone

__all__ = ["Completion", "DecodeRequest", "DecodingOptions", "decode", "pick_tokens"]


def decode(backbone: Backbone, requests: Sequence[DecodeRequest]) -> list[Completion]:
    """Continue every request, together with those of all other threads.

    What is written does not depend on the other requests, on what is cached, or on the thread (float32 on
    the CPU: token for token). Hidden states differ in rounding with what else is computed in the same pass;
    a request that is alone always gets the same bits.

    Args:
        backbone: The frozen model.
        requests: What to continue.

    Returns:
        One completion per request, in their order.

    Raises:
        NonFiniteError: The model's hidden states or logits are NaN or infinite.
    """
    decoder = backbone.batch_decoder
    if decoder is None:
        return [decode_alone(backbone, request) for request in requests]
    return decoder.decode(requests)
