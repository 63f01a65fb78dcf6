"""The language-model head of a model that vLLM runs, as a formula: logits = scale · cap(W h + b).

vLLM shows a logits processor the logits l of a position, and never the hidden state h behind them. Nothing is
lost: W has far more rows than columns, so that Wᵀ (l - b), d numbers, tells h by least squares, and W h is
then l to rounding. An offset δ to h is a bias W δ on the logits, and the gradient of log π(x | h) is
Wᵀ (onehot(x) - softmax(l)); a cap bends both, a scale stretches them.
"""

from typing import Any

import torch

from latentseek_agents.errors import BackboneError

__all__ = ["Head"]

# Rows of a half-precision weight that are widened at once where the device has no mixed product.
_ROWS_AT_ONCE = 8192
# Words whose shares of a hidden state are summed in float32.
_SUMMED_AT_ONCE = 1024
# tanh⁻¹ of what a float32 rounds to 1 is infinite.
_LARGEST_RATIO = 1 - 2.0**-23


class Head:
    """A head whose weight is as it lies in vLLM's memory; nothing of it is changed.

    Args:
        weight: (V, d) W, in float32, bfloat16 or float16.
        bias: (V,) b, or None.
        scale: What the logits are multiplied by, last of all.
        soft_cap: c, where logits are c · tanh(./c) before they are scaled; None where they are not.

    Raises:
        BackboneError: Hidden states do not follow from the logits, because the columns of W depend on each
            other.

    Example:
        >>> head = Head(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), scale=2.0)
        >>> logits = head.logits(torch.tensor([[3.0, 4.0]]))
        >>> logits
        tensor([[ 6.,  8., 14.]])
        >>> head.hidden(head.moments(logits)).round(decimals=3)
        tensor([[3., 4.]])
        >>> head.shifted(logits, torch.tensor([[1.0, 0.0]]))
        tensor([[ 8.,  8., 16.]])
    """

    def __init__(
        self,
        weight: torch.Tensor,
        *,
        bias: torch.Tensor | None = None,
        scale: float = 1.0,
        soft_cap: float | None = None,
    ) -> None:
        self.weight = weight.detach()
        self.bias = None if bias is None else bias.detach().float()
        self.scale = scale
        self.soft_cap = soft_cap
        self._mixed = weight.is_cuda and weight.dtype != torch.float32
        self._factor = _gram_factor(self.weight)

    @property
    def vocabulary_size(self) -> int:
        """V."""
        return int(self.weight.shape[0])

    @property
    def hidden_size(self) -> int:
        """D."""
        return int(self.weight.shape[1])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of π(x | h), differentiable in ``hidden``.

        Args:
            hidden: (..., d), any floating dtype.

        Returns:
            (..., V) float32 on the weight's device.
        """
        flat = hidden.reshape(-1, hidden.shape[-1]).to(self.weight.device, torch.float32)
        apply: Any = _FrozenProduct.apply
        return self._finished(apply(flat, self)).reshape(*hidden.shape[:-1], -1)

    def shifted(self, logits: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """The logits of h + δ, from those of h.

        Args:
            logits: (n, V) float32.
            offsets: (n, d) float32, δ, on the same device.
        """
        bias = self.product(offsets)
        if self.soft_cap is None:
            return logits + self.scale * bias
        return self.scale * _capped(self._uncapped(logits) + bias, self.soft_cap)

    def moments(self, logits: torch.Tensor) -> torch.Tensor:
        """(n, d) Wᵀ (W h), from the logits of h: all that :meth:`hidden` needs, d numbers a row.

        Args:
            logits: (n, V) float32.

        Returns:
            float64; float32 from a half-precision weight on a GPU, where they are summed in float32.
        """
        linear = self._uncapped(logits)
        linear = linear if self.bias is None else linear - self.bias
        if self._mixed:
            return self.transposed_product(linear)
        # Least squares multiply the rounding of a sum over the whole vocabulary, so it is summed in parts.
        total = torch.zeros(len(linear), self.hidden_size, dtype=torch.float64, device=linear.device)
        parts = zip(
            torch.split(linear, _SUMMED_AT_ONCE, dim=-1),
            torch.split(self.weight, _SUMMED_AT_ONCE),
            strict=True,
        )
        for columns, part in parts:
            total += columns @ part.float()
        return total

    def hidden(self, moments: torch.Tensor) -> torch.Tensor:
        """(n, d) float32: the h whose W h is nearest to the logits that the moments were made of.

        Args:
            moments: (n, d), from :meth:`moments`.
        """
        solved = torch.cholesky_solve(moments.to(self._factor).T, self._factor).T
        return solved.float().contiguous()

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, V) float32: rows of (n, d) float32 times Wᵀ."""
        return self._multiplied(rows, self.weight.T)

    def transposed_product(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, d) float32: rows of (n, V) float32 times W."""
        return self._multiplied(rows, self.weight)

    def _multiplied(self, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if weight.dtype == torch.float32:
            return rows @ weight
        if self._mixed:
            # What rounding to half precision leaves of the rows is multiplied as well.
            high = rows.to(weight.dtype)
            low = (rows - high.float()).to(weight.dtype)
            both = torch.mm(torch.cat([high, low]), weight, out_dtype=torch.float32)
            return both[: len(rows)] + both[len(rows) :]
        transposed = weight.shape[0] == self.weight.shape[1]
        parts = torch.split(self.weight, _ROWS_AT_ONCE)
        if transposed:
            return torch.cat([rows @ part.float().T for part in parts], dim=-1)
        total = rows.new_zeros(len(rows), self.weight.shape[1])
        for part, columns in zip(parts, torch.split(rows, _ROWS_AT_ONCE, dim=-1), strict=True):
            total += columns @ part.float()
        return total

    def _finished(self, product: torch.Tensor) -> torch.Tensor:
        """From W h to logits."""
        linear = product if self.bias is None else product + self.bias
        capped = linear if self.soft_cap is None else _capped(linear, self.soft_cap)
        return capped if self.scale == 1.0 else self.scale * capped

    def _uncapped(self, logits: torch.Tensor) -> torch.Tensor:
        """From logits to W h + b."""
        linear = logits if self.scale == 1.0 else logits / self.scale
        if self.soft_cap is None:
            return linear
        ratio = (linear / self.soft_cap).clamp(-_LARGEST_RATIO, _LARGEST_RATIO)
        return self.soft_cap * torch.atanh(ratio)


class _FrozenProduct(torch.autograd.Function):
    """rows Wᵀ with a gradient for the rows alone: W may be a tensor that no gradient may pass."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, head: Head) -> torch.Tensor:
        ctx.head = head
        return head.product(rows)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.head.transposed_product(gradient), None


def _capped(values: torch.Tensor, cap: float) -> torch.Tensor:
    return cap * torch.tanh(values / cap)


def _gram_factor(weight: torch.Tensor) -> torch.Tensor:
    """The Cholesky factor of Wᵀ W, (d, d) float64."""
    gram = torch.zeros(weight.shape[1], weight.shape[1], dtype=torch.float64, device=weight.device)
    for part in torch.split(weight, _ROWS_AT_ONCE):
        wide = part.double()
        gram += wide.T @ wide
    factor: torch.Tensor
    factor, failed = torch.linalg.cholesky_ex(gram)
    sizes = factor.diagonal()
    # The smallest pivot over the largest bounds from below how much a rounding error may grow.
    if int(failed) or float(sizes.min()) < 1e-5 * float(sizes.max()):
        raise BackboneError(
            "hidden states do not follow from this model's logits: the columns of its head depend on each "
            "other; use Backbone.from_pretrained"
        )
    return factor
