"""Linear layers and norms that share the weights of a model's own, and compute the same faster.

On a CPU, ``torch`` computes ``x Wᵀ`` for any number of rows with one routine. With 4 to 48 rows in float32,
``(W xᵀ)ᵀ`` takes two thirds to half of its time, up to 96 rows about three quarters with one thread and as
long with two; and a CPU without bfloat16 arithmetic multiplies bfloat16 several times faster after
widening it to float32. ``benchmarks/linear.py`` prints the measurements that the limits here come from. RMS
norms are computed in one kernel in place of six, where that gives the same numbers.
"""

import copy
import functools
from typing import Any

import torch

_FEWEST_TRANSPOSED, _MOST_TRANSPOSED = 4, 96
_FEWEST_WIDENED = 16
# Widened weights of so many output features stay in the cache of a processor.
_WIDENED_AT_ONCE = 2048


@functools.cache
def native_bfloat16() -> bool:
    """Whether this machine's CPU has instructions for bfloat16."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if any(bool(getattr(torch.cpu, check, lambda: False)()) for check in checks):
        return True
    # Arm: torch has no check of its own for these instructions.
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:
            return any(line.startswith("Features") and "bf16" in line.split() for line in file)
    except OSError:
        return False


def fast_product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``rows @ weight.T + bias``, as ``torch.nn.functional.linear``.

    Args:
        rows: (..., d).
        weight: (V, d), same dtype.
        bias: (V,) or None.

    Returns:
        (..., V), same dtype. Differs from ``linear`` in rounding only.
    """
    count = rows.numel() // rows.shape[-1]
    if not _is_slow_for(weight, count):
        return torch.nn.functional.linear(rows, weight, bias)
    flat = rows.reshape(count, rows.shape[-1])
    if torch.is_grad_enabled() and rows.requires_grad:
        product = differentiable_product(flat, weight)
    else:
        product = _product(flat, weight)
    if bias is not None:
        product = product + bias
    return product.reshape(*rows.shape[:-1], weight.shape[0])


def differentiable_product(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``rows @ weight.T``, differentiable in the rows; the weights are widened part by part.

    Args:
        rows: (N, d), in the dtype of the weights or float32.
        weight: (V, d), float32 or bfloat16.
    """
    product: torch.Tensor = _Product.apply(rows, weight)  # type: ignore[no-untyped-call]
    return product


def _is_slow_for(weight: torch.Tensor, count: int) -> bool:
    if weight.device.type != "cpu":
        return False
    if weight.dtype == torch.float32:
        return _FEWEST_TRANSPOSED <= count <= _MOST_TRANSPOSED
    return weight.dtype == torch.bfloat16 and count >= _FEWEST_WIDENED and not native_bfloat16()


def _product(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if weight.dtype == torch.float32:
        return torch.mm(weight, rows.t().contiguous()).t()
    wide = rows.float()
    product = rows.new_empty((rows.shape[0], weight.shape[0]))
    few = rows.shape[0] <= _MOST_TRANSPOSED
    columns = wide.t().contiguous()
    for start in range(0, weight.shape[0], _WIDENED_AT_ONCE):
        part = weight[start : start + _WIDENED_AT_ONCE].float()
        block = torch.mm(part, columns).t() if few else torch.nn.functional.linear(wide, part)
        product[:, start : start + part.shape[0]] = block
    return product


def _product_back(gradient: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if weight.dtype == torch.float32:
        return torch.mm(gradient, weight)
    total = torch.zeros((gradient.shape[0], weight.shape[1]))
    for start in range(0, weight.shape[0], _WIDENED_AT_ONCE):
        part = weight[start : start + _WIDENED_AT_ONCE].float()
        total += torch.mm(gradient[:, start : start + part.shape[0]].float(), part)
    return total.to(gradient.dtype)


class _Product(torch.autograd.Function):
    """The product, differentiable in the rows; the weights are frozen."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return _product(rows, weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (weight,) = ctx.saved_tensors
        return _product_back(gradient, weight), None


def is_plain_linear(module: Any) -> bool:
    """Whether a module is a ``torch.nn.Linear`` whose weights are numbers, and no quantised ones."""
    return type(module) is torch.nn.Linear and type(module.weight) is torch.nn.Parameter


def with_fast_linear(module: Any) -> Any:
    """A copy of a ``torch.nn.Linear`` that shares its weights and computes with :func:`fast_product`."""
    fast = copy.copy(module)
    fast.__class__ = FastLinear
    return fast


class FastLinear(torch.nn.Linear):
    """See :func:`with_fast_linear`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # torch's own name for it
        if input.shape[-2] < _FEWEST_TRANSPOSED:  # the most frequent case, without the bookkeeping
            return torch.nn.functional.linear(input, self.weight, self.bias)
        return fast_product(input, self.weight, self.bias)


def with_fused_norm(module: Any) -> Any:
    """A copy of an RMS norm that shares its weight and uses torch's own kernel.

    The module itself where that kernel computes something else (Gemma adds 1 to the weight), and in half
    precision, where the two round at different places.

    Args:
        module: Any module.
    """
    weight = module._parameters.get("weight")
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    named = type(module).__name__.endswith("RMSNorm")
    if not named or not isinstance(epsilon, float) or weight is None or weight.dtype != torch.float32:
        return module
    fused = copy.copy(module)
    fused.__class__ = _FusedRMSNorm
    fused._epsilon = epsilon
    generator = torch.Generator().manual_seed(0)
    sample = (3 * torch.randn(4, *weight.shape, generator=generator)).to(weight.device)
    with torch.no_grad():
        expected, got = module(sample), fused(sample)
    return fused if torch.allclose(got, expected, rtol=1e-5, atol=1e-6) else module


class _FusedRMSNorm(torch.nn.Module):
    _epsilon: float

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        weight: Any = self._parameters["weight"]
        return torch.nn.functional.rms_norm(hidden, weight.shape, weight, self._epsilon)
