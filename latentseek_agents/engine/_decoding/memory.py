"""How many tokens' keys and values there is memory for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latentseek_agents.engine.backbone import Backbone

__all__ = ["affordable_tokens"]


def affordable_tokens(backbone: "Backbone", *, most_bytes: int, most_tokens: int, gpu_share: float) -> int:
    """Tokens whose keys and values may be kept, at least 1.

    Main memory belongs to all of a machine's programs, so a fixed sum is taken of it; a GPU's, as a rule, to
    the model: of what is free there a share, if that is more.

    Args:
        backbone: Each layer's keys and values lie where the layer lies.
        most_bytes: Of main memory.
        most_tokens: In main memory.
        gpu_share: Of what is free now on the CUDA device with the least free memory, in (0, 1].
    """
    import torch

    size = backbone.bytes_per_cached_token
    affordable = min(most_tokens, most_bytes // size)
    devices = {parameter.device for parameter in backbone._policy.parameters()}
    if all(device.type == "cuda" for device in devices):
        free = min(torch.cuda.mem_get_info(device)[0] for device in devices)
        affordable = max(affordable, int(free * gpu_share) // size)
    return max(1, affordable)
