"""RMS norms in one kernel in place of six, where that gives the same numbers."""

import copy
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["with_fused_norm"]


def with_fused_norm(module: Any) -> Any:
    """A copy of an RMS norm that shares its weight and uses torch's own kernel.

    The module itself where that kernel computes something else (Gemma adds 1 to the weight), and in half
    precision, where the two round at different places.

    Args:
        module: Any module.
    """
    import torch

    weight = module._parameters.get("weight")
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    named = type(module).__name__.endswith("RMSNorm")
    if not named or not isinstance(epsilon, float) or weight is None or weight.dtype != torch.float32:
        return module
    fused = copy.copy(module)
    fused.__class__ = _fused_class()
    fused.__dict__["_epsilon"] = epsilon
    generator = torch.Generator().manual_seed(0)
    sample = (3 * torch.randn(4, *weight.shape, generator=generator)).to(weight.device)
    with torch.no_grad():
        expected, got = module(sample), fused(sample)
    return fused if torch.allclose(got, expected, rtol=1e-5, atol=1e-6) else module


@functools.cache
def _fused_class() -> Any:
    import torch

    class FusedRMSNorm(torch.nn.Module):
        def forward(self, hidden: "torch.Tensor") -> "torch.Tensor":
            weight = self._parameters["weight"]
            if weight is None:
                raise RuntimeError("an RMS norm without a weight has no fused form")
            return torch.nn.functional.rms_norm(hidden, weight.shape, weight, self.__dict__["_epsilon"])

    return FusedRMSNorm
