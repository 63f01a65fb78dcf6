"""Load a model in the number format that this machine is fastest at: for the commands and the server."""

import logging
import os
from typing import TYPE_CHECKING, Any

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import BackboneError

if TYPE_CHECKING:
    import torch

__all__ = ["fastest_backbone"]

_log = logging.getLogger(__name__)


def fastest_backbone(
    name: "str | os.PathLike[str] | None",
    *,
    dtype: "str | torch.dtype | None" = None,
    device: "str | torch.device | None" = None,
    **options: Any,
) -> Backbone:
    """Load a model as :meth:`Backbone.from_pretrained`, but in int8 by default where a CPU is fast at it.

    Answers in int8 differ a little from those in float32; the log says when it was chosen.

    Args:
        name: As there; None is the embedded model.
        dtype: As there. Default: int8 on a CPU with instructions for it, if the model can be int8; else as
            there.
        device: As there.
        **options: As there.

    Raises:
        BackboneError: It cannot be loaded.
    """

    def load(number: "str | torch.dtype | None") -> Backbone:
        if name is None:
            return Backbone.embedded(dtype=number, device=device, **options)
        return Backbone.from_pretrained(name, dtype=number, device=device, **options)

    shown = name or "the embedded model"
    if dtype is None and _on_fast_cpu(device):
        try:
            backbone = load("int8")
        except BackboneError as error:  # if it is for another reason, it is raised again below
            _log.info("%s is not loaded in int8: %s", shown, error)
        else:
            _log.info("%s is in int8, since this processor multiplies it fast; dtype overrides it", shown)
            return backbone
    return load(dtype)


def _on_fast_cpu(device: "str | torch.device | None") -> bool:
    import torch

    from latentseek_agents.engine._int8 import fast_int8

    if device is None:
        return not torch.cuda.is_available() and fast_int8()
    return str(device).partition(":")[0] == "cpu" and fast_int8()
