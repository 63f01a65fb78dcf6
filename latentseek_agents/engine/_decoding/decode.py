"""Continue token sequences, and hand back the hidden state behind each token.

The module knows tokens and tensors, but no question, reward or iteration.
"""

from collections.abc import Sequence
from dataclasses import replace

from latentseek_agents.engine._decoding.plain import decode_alone
from latentseek_agents.engine._decoding.requests import (
    Completion,
    DecodeRequest,
    DecodingOptions,
    TokenConstraint,
)
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import checked_listener, raise_if_cancelled
from latentseek_agents.errors import InputError

__all__ = ["Completion", "DecodeRequest", "DecodingOptions", "TokenConstraint", "decode"]


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
        InputError: A prompt is empty, or a token is none of the model's; nothing is decoded then.
        NonFiniteError: The model's hidden states or logits are NaN or infinite.
        Cancelled: Nobody waits for it any more.
    """
    raise_if_cancelled()
    vocabulary = int(backbone.model.get_input_embeddings().weight.shape[0])
    requests = [_checked(request, vocabulary) for request in requests]
    if backbone.lock.held:  # the decoder's thread would wait for it for ever
        raise RuntimeError("this thread holds the lock of the backbone; release it before decoding")
    decoder = backbone.batch_decoder
    if decoder is None:
        return [decode_alone(backbone, request) for request in requests]
    return decoder.decode(requests)


def _checked(request: DecodeRequest, vocabulary: int) -> DecodeRequest:
    """Found here, because on a GPU one wrong token would end the work of all callers."""
    if not request.prompt_ids:
        raise InputError("a prompt without tokens cannot be continued; give at least one")
    for name, ids in (("prompt_ids", request.prompt_ids), ("forced_ids", request.forced_ids)):
        wrong = _outside(ids, vocabulary)
        if wrong is not None:
            raise InputError(f"{name} has the token {wrong}, but the model knows 0 to {vocabulary - 1}")
    # A draft only helps: one that was written with another vocabulary is of no help.
    draft_ids = request.draft_ids if _outside(request.draft_ids, vocabulary) is None else ()
    return replace(request, draft_ids=draft_ids, on_token=checked_listener(request.on_token))


def _outside(ids: Sequence[int], vocabulary: int) -> int | None:
    if not ids:
        return None
    lowest, highest = min(ids), max(ids)
    if lowest < 0:
        return lowest
    return highest if highest >= vocabulary else None
