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
        backbone: Where the keys and values lie is where its model lies.
        most_bytes: Of main memory.
        most_tokens: In main memory.
        gpu_share: Of the free memory of a CUDA device, in (0, 1].
    """
    import torch

    size = backbone.bytes_per_cached_token
    affordable = min(most_tokens, most_bytes // size)
    if backbone.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(backbone.device)
        affordable = max(affordable, int(free * gpu_share) // size)
    return max(1, affordable)
