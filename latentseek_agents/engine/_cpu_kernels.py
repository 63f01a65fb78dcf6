"""Linear layers for few rows on a CPU: the same product, computed in the way that is fastest there.

``torch`` computes ``x Wᵀ`` for any number of rows with one routine. With 4 to 48 rows in float32, ``(W xᵀ)ᵀ``
takes two thirds to half of its time, up to 96 rows about three quarters with one thread and as long with
two; and a CPU without bfloat16 arithmetic multiplies bfloat16 several times
faster after widening it to float32. ``benchmarks/linear.py`` prints the measurements that the limits here
come from.
"""

import copy
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["fast_product", "native_bfloat16", "with_fast_linear"]

_FEWEST_TRANSPOSED, _MOST_TRANSPOSED = 4, 96
_FEWEST_WIDENED = 16
# Widened weights of so many output features stay in the cache of a processor.
_WIDENED_AT_ONCE = 2048


@functools.cache
def native_bfloat16() -> bool:
    """Whether this machine's CPU has instructions for bfloat16."""
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if any(bool(getattr(torch.cpu, check, lambda: False)()) for check in checks):
        return True
    # Arm: torch has no check of its own for these instructions.
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:
            return any(line.startswith("Features") and "bf16" in line.split() for line in file)
    except OSError:
        return False


def fast_product(
    rows: "torch.Tensor", weight: "torch.Tensor", bias: "torch.Tensor | None" = None
) -> "torch.Tensor":
    """``rows @ weight.T + bias``, as ``torch.nn.functional.linear``.

    Args:
        rows: (..., d).
        weight: (V, d), same dtype.
        bias: (V,) or None.

    Returns:
        (..., V), same dtype. Differs from ``linear`` in rounding only.
    """
    import torch

    count = rows.numel() // rows.shape[-1]
    if not _is_slow_for(weight, count):
        return torch.nn.functional.linear(rows, weight, bias)
    flat = rows.reshape(count, rows.shape[-1])
    if torch.is_grad_enabled() and rows.requires_grad:
        product = _differentiable().apply(flat, weight)
    else:
        product = _product(flat, weight)
    if bias is not None:
        product = product + bias
    found: torch.Tensor = product.reshape(*rows.shape[:-1], weight.shape[0])
    return found


def _is_slow_for(weight: "torch.Tensor", count: int) -> bool:
    import torch

    if weight.device.type != "cpu":
        return False
    if weight.dtype == torch.float32:
        return _FEWEST_TRANSPOSED <= count <= _MOST_TRANSPOSED
    return weight.dtype == torch.bfloat16 and count >= _FEWEST_WIDENED and not native_bfloat16()


def _product(rows: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
    import torch

    if weight.dtype == torch.float32:
        return torch.mm(weight, rows.t().contiguous()).t()
    wide = rows.float()
    product = rows.new_empty((rows.shape[0], weight.shape[0]))
    few = rows.shape[0] <= _MOST_TRANSPOSED
    columns = wide.t().contiguous()
    for start in range(0, weight.shape[0], _WIDENED_AT_ONCE):
        part = weight[start : start + _WIDENED_AT_ONCE].float()
        found = torch.mm(part, columns).t() if few else torch.nn.functional.linear(wide, part)
        product[:, start : start + part.shape[0]] = found
    return product


def _product_back(gradient: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
    import torch

    if weight.dtype == torch.float32:
        return torch.mm(gradient, weight)
    total = torch.zeros((gradient.shape[0], weight.shape[1]))
    for start in range(0, weight.shape[0], _WIDENED_AT_ONCE):
        part = weight[start : start + _WIDENED_AT_ONCE].float()
        total += torch.mm(gradient[:, start : start + part.shape[0]].float(), part)
    return total.to(gradient.dtype)


@functools.cache
def _differentiable() -> Any:
    import torch

    class Product(torch.autograd.Function):
        """Differentiable in the rows; the weights are frozen."""

        @staticmethod
        def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(weight)
            return _product(rows, weight)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
            (weight,) = ctx.saved_tensors
            return _product_back(gradient, weight), None

    return Product


def with_fast_linear(module: Any) -> Any:
    """A copy of a ``torch.nn.Linear`` that shares its weights and computes with :func:`fast_product`."""
    fast = copy.copy(module)
    fast.__class__ = _fast_linear_class()
    return fast


@functools.cache
def _fast_linear_class() -> Any:
    import torch

    class FastLinear(torch.nn.Linear):
        def forward(self, input: "torch.Tensor") -> "torch.Tensor":  # torch's own name for it
            if input.shape[-2] < _FEWEST_TRANSPOSED:  # the commonest case, without the bookkeeping
                return torch.nn.functional.linear(input, self.weight, self.bias)
            return fast_product(input, self.weight, self.bias)

    return FastLinear
