"""Choose tokens from logits: the most probable one, or one that is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Draws", "pick_tokens", "tokens_at"]

# Rows of logits that become probabilities at once: a vocabulary is large, and there are three copies of it.
_DRAWN_AT_ONCE = 128
_BLOCK = 512  # words whose probabilities are summed up first


class Draws:
    """One number for each token of a completion, from a seed: the same on every device.

    Args:
        seed: Of the completion.

    Example:
        >>> draws = Draws(0)
        >>> draws.at(3) == Draws(0).at(3) != draws.at(2)
        True
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._generator: torch.Generator | None = None  # made when it is needed: thousands may be waiting
        self._made: list[float] = []

    def at(self, index: int) -> float:
        """The number in [0, 1) that token ``index`` is drawn with, whatever was guessed before."""
        import torch

        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self._seed)
        while len(self._made) <= index:
            self._made.append(float(torch.rand((), dtype=torch.float64, generator=self._generator)))
        return self._made[index]


def tokens_at(
    logits: "torch.Tensor", temperatures: Sequence[float], draws: Sequence[float]
) -> "torch.Tensor":
    """A token per row from softmax(logits / T): the first at which the summed probability exceeds a number.

    Args:
        logits: (N, V).
        temperatures: N numbers above 0.
        draws: N numbers in [0, 1).

    Returns:
        (N,) int64 token ids, on the logits' device.
    """
    import torch

    parts = []
    for start in range(0, len(logits), _DRAWN_AT_ONCE):
        part = logits[start : start + _DRAWN_AT_ONCE].float()
        # Rounded to float32 here, since not every device has float64.
        numbers = torch.tensor(
            [temperatures[start : start + len(part)], draws[start : start + len(part)]], dtype=torch.float32
        ).to(part.device)[..., None]
        probabilities = torch.softmax(part / numbers[0], dim=-1)
        missing = -probabilities.shape[-1] % _BLOCK
        blocks = torch.nn.functional.pad(probabilities, (0, missing)).reshape(len(part), -1, _BLOCK)
        # Which block, then where in it: summing up all of a row one after the other takes far longer.
        before = blocks.sum(dim=-1).cumsum(dim=-1)
        block = _first_beyond(before, numbers[1] * before[:, -1:])
        rows = torch.arange(len(part), device=part.device)[:, None]
        within = blocks[rows, block][:, 0].cumsum(dim=-1)
        rest = numbers[1] * before[:, -1:] - before.gather(-1, (block - 1).clamp(min=0)) * (block > 0)
        found = block * _BLOCK + _first_beyond(within, rest)
        parts.append(found.clamp(max=logits.shape[-1] - 1)[:, 0])  # beyond it only where all are NaN
    return torch.cat(parts)


def _first_beyond(summed: "torch.Tensor", number: "torch.Tensor") -> "torch.Tensor":
    """(N, 1): in each row of (N, n) running sums, the place of the first that exceeds a number.

    Rounded, it may be none of them. Then it is the last that is above the one before it: what has no
    probability is never drawn. Among NaN it is any place.
    """
    import torch

    total = summed[:, -1:].contiguous()
    found = torch.searchsorted(summed, number.contiguous(), right=True)
    return torch.minimum(found, torch.searchsorted(summed, total)).clamp(max=summed.shape[-1] - 1)


def pick_tokens(
    logits: "torch.Tensor", temperature: float, generator: "torch.Generator | None" = None
) -> "torch.Tensor":
    """Choose a token per row.

    Args:
        logits: (..., V), at least one row.
        temperature: 0 takes the most probable token, otherwise tokens are drawn from softmax(logits / T).
        generator: CPU generator for drawing, the same on every device.

    Returns:
        (...,) int64 token ids, on the logits' device.
    """
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1)
    flat = logits.reshape(-1, logits.shape[-1])
    draws = torch.rand(len(flat), dtype=torch.float64, generator=generator).tolist()
    return tokens_at(flat, [temperature] * len(flat), draws).reshape(logits.shape[:-1])
