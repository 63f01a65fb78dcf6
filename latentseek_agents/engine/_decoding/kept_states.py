"""Keys and values that the batch decoder keeps for later requests, and what a new prompt can begin with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentseek_agents.engine._decoding.key_values import SavedLayers
from latentseek_agents.engine._decoding.prefix_cache import PrefixCache

if TYPE_CHECKING:
    import torch

__all__ = ["KeptCompletion", "ReadPrompt", "completion_key", "longest_beginning", "openings"]

# Beginnings shorter than this are not worth a copy, nor waiting for somebody else to read them.
_SHORTEST_BEGINNING = 32


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """What the model knows after a prompt; its key is the prompt.

    Args:
        layers: Keys and values of all its tokens.
        hidden: (d,) last hidden state of its last token.
    """

    layers: SavedLayers
    hidden: "torch.Tensor"


@dataclass(frozen=True, eq=False)
class KeptCompletion:
    """The last completion of a prompt; its key is :func:`completion_key`.

    Args:
        token_ids: What was written.
        layers: Keys and values of these tokens.
    """

    token_ids: list[int]
    layers: SavedLayers


def completion_key(prompt: Sequence[int]) -> tuple[Any, ...]:
    """Where the last completion of a prompt is kept."""
    return ("completion", *prompt)


def openings(prompts: Iterable[Sequence[Any]]) -> set[tuple[Any, ...]]:
    """The first tokens of prompts, enough of them to be worth sharing.

    Example:
        >>> openings([range(40), range(50), (1, 2)]) == {tuple(range(32))}
        True
    """
    return {tuple(p[:_SHORTEST_BEGINNING]) for p in prompts if len(p) >= _SHORTEST_BEGINNING}


def longest_beginning(cache: PrefixCache, prompt: tuple[int, ...]) -> tuple[ReadPrompt, int] | None:
    """The kept prompt that has most tokens in common with the beginning of this one, and how many.

    The prompt's last token is never among them: what follows is predicted from its hidden state.

    Args:
        cache: Where prompts are kept.
        prompt: The new one.
    """
    kept: list[Any] = cache.keys()
    prompts = (key for key in kept if isinstance(key, tuple))
    best = max(prompts, key=lambda key: _in_common(key, prompt), default=())
    count = min(_in_common(best, prompt), len(prompt) - 1)
    found = cache.get(best) if count >= _SHORTEST_BEGINNING else None
    return (found, count) if isinstance(found, ReadPrompt) else None


def _in_common(one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    """Length of the longest common beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
