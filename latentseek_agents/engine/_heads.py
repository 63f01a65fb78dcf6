"""Heads and embeddings of any class: where they compute, in which number format, and a head's gradient.

A quantised layer may have no ``weight``, a packed one, or one that stands for other tensors; and its kernel
may know no gradient. What a search needs of a head is the product of a gradient with its weights, and these
can be had from its outputs alone.
"""

import itertools
from typing import Any

import torch

__all__ = ["GradientHead", "device_of", "number_of", "rows_of"]

# So many unit vectors go through a head at once.
_AT_ONCE = 64


def device_of(module: Any, default: torch.device) -> torch.device:
    """Where a module computes; the default for one without tensors."""
    tensors: list[Any] = [getattr(module, "weight", None)]
    if isinstance(module, torch.nn.Module):
        tensors += itertools.chain(module.parameters(), module.buffers())
    return next((one.device for one in tensors if isinstance(one, torch.Tensor)), default)


def number_of(module: Any, default: torch.dtype) -> torch.dtype:
    """The number format that a module takes or gives; the default where its weights do not tell.

    Args:
        module: An embedding or a head.
        default: That of the model.
    """
    number = getattr(module, "compute_dtype", None)
    if isinstance(number, torch.dtype):
        return number
    weight = getattr(module, "weight", None)
    return weight.dtype if isinstance(weight, torch.Tensor) and weight.is_floating_point() else default


def rows_of(embedding: Any, default: int) -> int:
    """How many tokens an embedding knows; the default for one that does not tell."""
    weight = getattr(embedding, "weight", None)
    if isinstance(weight, torch.Tensor) and weight.dim() == 2:
        return int(weight.shape[0])
    return int(getattr(embedding, "num_embeddings", None) or default)


class GradientHead(torch.nn.Module):
    """A linear head whose kernel knows no gradient, with the one of the weights that its outputs show.

    The output for a unit vector, less that for zero, is a column of the weights. A gradient costs as many
    rows as a latent is wide, and the weights are never there as a whole.

    Args:
        head: From (..., d) to (..., V), linear but for rounding.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = _Outputs.apply(rows, self.head)  # type: ignore[no-untyped-call]
        return output


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, head: Any) -> torch.Tensor:
        ctx.head, ctx.like = head, rows.new_zeros((1, 1, rows.shape[-1]))
        output: torch.Tensor = head(rows)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        flat = gradient.reshape(-1, gradient.shape[-1])
        width = ctx.like.shape[-1]
        bias = ctx.head(ctx.like)
        parts = []
        for start in range(0, width, _AT_ONCE):
            count = min(_AT_ONCE, width - start)
            units = ctx.like.repeat(1, count, 1)
            units[0, range(count), range(start, start + count)] = 1
            parts.append(flat @ (ctx.head(units) - bias)[0].to(flat.dtype).t())
        return torch.cat(parts, dim=1).reshape(*gradient.shape[:-1], width).to(ctx.like.dtype), None
