"""Choose tokens from logits: the most probable one, or one that is drawn."""

from collections.abc import Callable, Sequence

import torch

from latentseek_agents.engine._decoding.requests import TokenConstraint
from latentseek_agents.engine.policy import Policy
from latentseek_agents.errors import NonFiniteError

# Rows of logits that become probabilities at once: a vocabulary is large, and there are three copies of it.
_DRAWN_AT_ONCE = 128
# Words whose probabilities are summed up first: running sums over all of a row take far longer.
_BLOCK = 512


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
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self._seed)
        while len(self._made) <= index:
            self._made += _numbers(1, self._generator)
        return self._made[index]


def tokens_at(
    logits: torch.Tensor,
    temperatures: Sequence[float],
    draws: Sequence[float],
    *,
    places: torch.Tensor | None = None,
) -> torch.Tensor:
    """A token per row from softmax(logits / T): the first at which the summed probability exceeds a number.

    What has no probability is never drawn.

    Args:
        logits: (N, V).
        temperatures: Numbers above 0, one per row.
        draws: Numbers in [0, 1), one per row.
        places: (n,) int64, on the logits' device: only these rows, in this order; None takes all.

    Returns:
        (n,) int64 token ids, on the logits' device; some token or other where the logits are NaN or infinite.
    """
    tokens = []
    for start in range(0, len(draws), _DRAWN_AT_ONCE):
        part = slice(start, start + _DRAWN_AT_ONCE)
        rows = logits[part] if places is None else logits[places[part]]
        tokens.append(_drawn(rows, temperatures[part], draws[part]))
    return torch.cat(tokens)


def _drawn(logits: torch.Tensor, temperatures: Sequence[float], draws: Sequence[float]) -> torch.Tensor:
    # Rounded to float32 here, since not every device has float64; as a divisor it must not become 0.
    least = torch.finfo(torch.float32).tiny
    table = [[max(least, temperature) for temperature in temperatures], list(draws)]
    numbers = torch.tensor(table, dtype=torch.float32, device="cpu")
    heat, draw = numbers.to(logits.device, non_blocking=logits.is_cuda)[..., None]
    shifted = logits.float()
    # Shifted before they are divided, or a small temperature makes infinity of all large ones.
    shifted = shifted - shifted.amax(dim=-1, keepdim=True)
    probabilities = torch.softmax(shifted / heat, dim=-1)
    missing = -probabilities.shape[-1] % _BLOCK
    blocks = torch.nn.functional.pad(probabilities, (0, missing)).reshape(len(logits), -1, _BLOCK)
    shares = blocks.sum(dim=-1)
    before = shares.cumsum(dim=-1)
    number = draw * before[:, -1:]
    block = _first_beyond(before, number, shares)
    words = blocks[torch.arange(len(logits), device=logits.device), block[:, 0]]
    rest = number - before.gather(-1, (block - 1).clamp(min=0)) * (block > 0)
    token = block * _BLOCK + _first_beyond(words.cumsum(dim=-1), rest, words)
    return token.clamp(max=logits.shape[-1] - 1)[:, 0]


def _first_beyond(summed: torch.Tensor, number: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """(N, 1): the first place with a share whose running sum exceeds a number, or the last with a share.

    Running sums are rounded: none may exceed the number, and on a GPU they may rise where the share is 0.

    Args:
        summed: (N, n) running sums.
        number: (N, 1).
        shares: (N, n) what was summed up.
    """
    some = shares > 0
    beyond = (some & (summed > number)).int()
    last = summed.shape[-1] - 1 - some.flip(-1).int().argmax(dim=-1, keepdim=True)
    return beyond.argmax(dim=-1, keepdim=True).where(beyond.any(dim=-1, keepdim=True), last)


def choose_token(
    logits: torch.Tensor, constraint: TokenConstraint, temperature: float, draw: Callable[[], float]
) -> int:
    """One token among those that a constraint allows; the constraint takes it.

    Args:
        logits: (V,).
        constraint: That of the completion.
        temperature: 0 takes the most probable.
        draw: The number in [0, 1) to draw with; called only if it is needed.
    """
    token = allowed_token(logits, constraint, temperature, draw)
    constraint.take(token)
    return token


def allowed_token(
    logits: torch.Tensor, constraint: TokenConstraint, temperature: float, draw: Callable[[], float]
) -> int:
    """As :func:`choose_token`, but the constraint does not hear of the token."""
    allowed = constraint.allowed()[: len(logits)]
    forbidden = torch.ones(len(logits), dtype=torch.bool)
    forbidden[: len(allowed)] = ~allowed
    # An allowed token stays ahead of the others, also if the model gives it no chance at all.
    logits = logits.float().clamp(min=torch.finfo(torch.float32).min)
    logits = logits.masked_fill(forbidden.to(logits.device), float("-inf"))
    return int(tokens_at(logits[None], [temperature], [draw()]) if temperature else logits.argmax())


def draw_rows(
    logits: torch.Tensor, temperature: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """A token per row of (..., V), drawn with one number each."""
    flat = logits.reshape(-1, logits.shape[-1])
    draws = _numbers(len(flat), generator)
    return tokens_at(flat, [temperature] * len(flat), draws).reshape(logits.shape[:-1])


def require_finite(policy: Policy, values: torch.Tensor, what: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        NonFiniteError: There is one.
    """
    if not torch.isfinite(values).all():
        raise not_finite(policy, what)


def not_finite(policy: Policy, what: str) -> NonFiniteError:
    """The error for a model that computes NaN or infinity."""
    return NonFiniteError(
        f"{policy.name} gives NaN or infinite {what}; its weights are damaged, or its dtype is too narrow "
        "(try dtype='float32')"
    )


def _numbers(count: int, generator: torch.Generator | None) -> list[float]:
    """On the CPU, whatever the caller's default device is."""
    numbers: list[float] = torch.rand(count, dtype=torch.float64, generator=generator, device="cpu").tolist()
    return numbers
