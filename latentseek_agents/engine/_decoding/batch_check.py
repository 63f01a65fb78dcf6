"""Whether a model can be decoded in batches: its results in a ragged pass are compared with those alone."""

import logging
from typing import TYPE_CHECKING, Any

from latentseek_agents.engine._decoding.key_values import KeyValueStore
from latentseek_agents.engine._decoding.packed_forward import RaggedModel, RowSlice
from latentseek_agents.engine._decoding.scheduler import BatchDecoder

if TYPE_CHECKING:
    from latentseek_agents.engine.backbone import Backbone

__all__ = ["batch_decoder_for"]

_log = logging.getLogger(__name__)


def batch_decoder_for(backbone: "Backbone", policy: Any) -> BatchDecoder | None:
    """A decoder for batches, if the model computes the same in them as alone; else None; the log says why.

    Args:
        backbone: Whose requests it will serve.
        policy: Its model, without the wrapper of an adapter.
    """
    import torch
    from transformers import DynamicCache

    config = policy.config.get_text_config(decoder=True)
    if not backbone.decoding.batch or _rows_meet(config):
        return None
    vocabulary = policy.get_input_embeddings().weight.shape[0]
    first, second = (
        [i % vocabulary for i in range(start, start + count)] for start, count in ((1, 7), (3, 4))
    )
    try:
        ragged = RaggedModel(policy, fast_linear=backbone.decoding.fast_linear)
        store = KeyValueStore()
        store.reserve(2, 8)
        with backbone.lock:
            ragged.forward(store, [RowSlice(0, 0, first[:5]), RowSlice(1, 0, second[:3])])
            got = ragged.forward(store, [RowSlice(0, 5, first[5:]), RowSlice(1, 3, second[3:])]).float()
        expected = torch.cat(
            [
                backbone.layers(torch.tensor([first]), DynamicCache())[-2:],
                backbone.layers(torch.tensor([second]), DynamicCache())[-1:],
            ]
        ).float()
    except Exception as error:  # any model's own code runs here
        _tell(backbone, f"{type(error).__name__}: {error}")
        return None
    scale = float(expected.abs().nan_to_num().max())
    tolerance = scale * max(1e-3, 16 * torch.finfo(backbone.dtype).eps)
    if not torch.allclose(got, expected, rtol=0, atol=tolerance, equal_nan=True):
        _tell(backbone, "a batch changes its results")
        return None
    # So few tokens lie within any window: a layer that has one must have asked for it.
    if _has_windows(config) and ragged.windows <= {None}:
        _tell(backbone, "its windows are unknown")
        return None
    return BatchDecoder(backbone, ragged, backbone.decoding)


def _tell(backbone: "Backbone", why: str) -> None:
    # On a GPU that is many times slower than it could be, and nobody would look for the reason.
    level = logging.WARNING if backbone.device.type == "cuda" else logging.INFO
    _log.log(level, "%s is decoded one request at a time: %s", backbone.name, why)


def _rows_meet(config: Any) -> bool:
    """Whether the rows of a pass depend on each other, or on more than what attention is told."""
    # Such rotary positions are scaled by the longest sequence of a pass.
    scaled = any(kind in str(config.to_dict()) for kind in ("'dynamic'", "'longrope'"))
    kinds = {"full_attention", "sliding_attention"}
    return scaled or not kinds.issuperset(getattr(config, "layer_types", None) or ())


def _has_windows(config: Any) -> bool:
    layers = getattr(config, "layer_types", None)
    if layers:
        return "sliding_attention" in layers
    return bool(getattr(config, "sliding_window", None)) and getattr(config, "use_sliding_window", True)
