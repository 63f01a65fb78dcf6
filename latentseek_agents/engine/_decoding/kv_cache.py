"""Keys and values: those of the rows that are being decoded, and those kept for later requests."""

import copy
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from latentseek_agents.engine._decoding.attention import FIXED_POSITIONS
from latentseek_agents.engine._weights import Weights
from latentseek_agents.engine.policy import Policy

# Room is added in steps of this many positions: growing copies everything.
_STEP = 256
# A multiple of what attention may ask for, so that the room never cuts off its fixed sizes.
_WHOLE_STEP = max(FIXED_POSITIONS)
# Beginnings shorter than this are not worth a copy, nor waiting until another row has read them.
_SHORTEST_BEGINNING = 32

SavedLayers = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of one sequence, by layer: each (n, heads, width)."""


class KeyValueStore:
    """A slot of the same size for each row; what stands behind a row's length is never read.

    A row is taken back to an earlier length by forgetting the later positions, which costs nothing.

    Args:
        whole_steps: Make room in steps of 512 positions, also where that is more than ``most_tokens``.

    Attributes:
        slots: Number of rows there is room for.
        positions: Tokens per row there is room for.
    """

    def __init__(self, *, whole_steps: bool = False) -> None:
        self.whole_steps = whole_steps
        self._step = _WHOLE_STEP if whole_steps else _STEP
        self.slots = 0
        self.positions = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def room_for(self, positions: int) -> int:
        """How many positions a row of so many tokens takes."""
        return self._stepped(positions) if self.whole_steps else positions

    def _stepped(self, positions: int) -> int:
        return -(-positions // self._step) * self._step

    def reserve(self, slots: int, positions: int, most_tokens: int | None = None) -> None:
        """Make room for at least so many rows of so many tokens.

        Args:
            slots: Number of rows.
            positions: Tokens of the longest row.
            most_tokens: Tokens of all rows together. If earlier rows left more room than that, what lies
                behind ``slots`` and ``positions`` is given back.
        """
        stepped = self._stepped(positions)
        wanted = max(slots, self.slots), stepped if positions > self.positions else self.positions
        if most_tokens is not None and wanted[0] * wanted[1] > most_tokens:
            room = most_tokens // slots
            wanted = slots, min(stepped, room) if positions <= room and not self.whole_steps else stepped
        self.slots, self.positions = wanted
        # One layer after the other, so that never more than one is there twice.
        for layer in self._layers:
            self._layer(layer)

    def write(
        self, layer: int, flat_positions: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values, and hand back the whole layer.

        Args:
            layer: Number of the layer.
            flat_positions: (N,) int64, slot * positions + position, per new token; on the layer's device.
            key: (N, heads, width).
            value: (N, heads, width).

        Returns:
            Keys and values, (slots, positions, heads, width).
        """
        keys, values = self._layer(layer, key, value)
        keys.view(-1, *keys.shape[2:]).index_copy_(0, flat_positions, key)
        values.view(-1, *values.shape[2:]).index_copy_(0, flat_positions, value)
        return keys, values

    def save(self, slot: int, start: int, end: int) -> SavedLayers:
        """A copy of the positions from ``start`` to before ``end`` of one row."""
        layers = {layer: self._layer(layer) for layer in self._layers}
        return {
            layer: (keys[slot, start:end].clone(), values[slot, start:end].clone())
            for layer, (keys, values) in layers.items()
        }

    def load(self, slot: int, start: int, saved: SavedLayers, count: int) -> None:
        """Put the first ``count`` saved positions into a row, from ``start`` on."""
        for layer, (key, value) in saved.items():
            keys, values = self._layer(layer, key, value)
            keys[slot, start : start + count] = key[:count]
            values[slot, start : start + count] = value[:count]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row to another slot."""
        if length:  # else there may be no room for it yet
            for tensor in self._tensors():
                tensor[target, :length] = tensor[source, :length]

    def wipe(self, slot: int, start: int = 0) -> None:
        """Put zeros behind the first ``start`` tokens of a row, which may be NaN.

        What stands behind a row's length is not looked at, but it is multiplied with 0; and 0 * NaN is NaN.
        """
        if slot < self.slots:
            for tensor in self._tensors():
                tensor[slot, start:] = 0

    def clear(self) -> None:
        """Give all memory back."""
        self._layers.clear()
        self.slots = self.positions = 0

    def _tensors(self) -> Iterator[torch.Tensor]:
        for layer in self._layers:
            yield from self._layer(layer)

    def _layer(
        self, layer: int, key: torch.Tensor | None = None, value: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A layer in the size of the store; if it is new, made for what is like ``key`` and ``value``.

        Also if the model was converted since: rows from before that do not go on.
        """
        if key is not None and value is not None and not self._is_like(layer, key, value):
            self._layers[layer] = (self._empty(key), self._empty(value))
        keys, values = self._layers[layer]
        # Seen here and not in `reserve` alone: that may have run out of memory between two layers.
        if tuple(keys.shape[:2]) != (self.slots, self.positions):
            keys, values = self._layers[layer] = (self._resized(keys), self._resized(values))
        return keys, values

    def _is_like(self, layer: int, *wanted: torch.Tensor) -> bool:
        return layer in self._layers and all(
            (old.dtype, old.device, old.shape[2:]) == (new.dtype, new.device, new.shape[1:])
            for old, new in zip(self._layers[layer], wanted, strict=True)
        )

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        # A tensor made in inference mode could not be written to outside of it.
        with torch.inference_mode(mode=False):
            # Zeros, not what happens to be in memory: see `wipe`.
            return like.new_zeros((self.slots, self.positions, *like.shape[1:]))

    def _resized(self, old: torch.Tensor) -> torch.Tensor:
        new = self._empty(old[0])
        slots, positions = min(old.shape[0], self.slots), min(old.shape[1], self.positions)
        new[:slots, :positions] = old[:slots, :positions]
        return new


class PrefixCache:
    """What was computed for the texts used last, by their token ids; safe to use from many threads.

    What one model computed is no use to another: :meth:`of` gives the part for one set of weights. All parts
    share the limit.

    Args:
        max_tokens: Tokens kept in all; what was unused for the longest time leaves first.
    """

    def __init__(self, max_tokens: int = 4096) -> None:
        self._kept = _Kept(max_tokens)
        self._weights = b""

    @property
    def max_tokens(self) -> int:
        """Tokens kept in all."""
        return self._kept.max_tokens

    @max_tokens.setter
    def max_tokens(self, count: int) -> None:
        self._kept.max_tokens = count

    def of(self, weights: Weights) -> "PrefixCache":
        """The part that was computed with these weights."""
        part = copy.copy(self)
        part._weights = weights.key
        return part

    def get(self, key: tuple[Any, ...]) -> Any:
        """What was put under exactly this key, or None if it is not there any more."""
        return self._kept.get((self._weights, key))

    def put(self, key: tuple[Any, ...], value: Any, tokens: int) -> None:
        """Keep a value, and drop the ones unused longest if there are too many tokens.

        Args:
            key: Its token ids, or anything made of them.
            value: What to keep.
            tokens: How many tokens' keys and values it holds.
        """
        self._kept.put((self._weights, key), value, tokens)

    def keys(self) -> list[tuple[Any, ...]]:
        """What is kept with these weights, the longest unused first."""
        return [key for weights, key in self._kept.texts() if weights == self._weights]

    def clear(self) -> None:
        """Forget everything, of all weights."""
        self._kept.clear()

    def __len__(self) -> int:
        """How many texts are kept, of all weights."""
        return len(self._kept.texts())


_WeightsAndText = tuple[bytes, tuple[Any, ...]]


class _Kept:
    """What all parts of a :class:`PrefixCache` share."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._entries: OrderedDict[_WeightsAndText, tuple[Any, int]] = OrderedDict()
        self._tokens = 0
        self._lock = threading.Lock()

    def get(self, key: _WeightsAndText) -> Any:
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: _WeightsAndText, value: Any, tokens: int) -> None:
        with self._lock:
            self._tokens += tokens - self._entries.get(key, (None, 0))[1]
            self._entries[key] = (value, tokens)
            self._entries.move_to_end(key)
            # The newest stays even if it alone is too long: its question is being worked on.
            while self._tokens > self.max_tokens and len(self._entries) > 1:
                _, (_, dropped) = self._entries.popitem(last=False)
                self._tokens -= dropped

    def texts(self) -> list[_WeightsAndText]:
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._tokens = 0


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """What the model knows after a prompt; its key is the prompt.

    Args:
        layers: Keys and values of all its tokens.
        hidden: (d,) last hidden state of its last token.
    """

    layers: SavedLayers
    hidden: torch.Tensor


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
    best = max(cache.keys(), key=lambda key: _common_length(key, prompt), default=())
    count = min(_common_length(best, prompt), len(prompt) - 1)
    prefix = cache.get(best) if count >= _SHORTEST_BEGINNING else None
    return (prefix, count) if isinstance(prefix, ReadPrompt) else None


def _common_length(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Length of the longest common beginning of two lists or two tuples.

    Example:
        >>> _common_length([1, 2, 3, 4], [1, 2, 5])
        2
    """
    lengths = range(1, min(len(one), len(other)) + 1)
    return bisect_left(lengths, x=True, key=lambda length: one[:length] != other[:length])


def affordable_tokens(policy: Policy, *, most_bytes: int, most_tokens: int, gpu_share: float) -> int:
    """Tokens whose keys and values may be kept, at least 1.

    Main memory belongs to all of a machine's programs, so a fixed sum is taken of it; a GPU's, as a rule, to
    the model: of what is free there a share, if that is more.

    Args:
        policy: Each layer's keys and values lie where the layer lies.
        most_bytes: Of main memory.
        most_tokens: In main memory.
        gpu_share: Of what is free now on the CUDA device with the least free memory, in (0, 1].
    """
    size = policy.bytes_per_cached_token
    affordable = min(most_tokens, most_bytes // size)
    devices = {parameter.device for parameter in policy.core.parameters()}
    if all(device.type == "cuda" for device in devices):
        free = min(torch.cuda.mem_get_info(device)[0] for device in devices)
        affordable = max(affordable, int(free * gpu_share) // size)
    return max(1, affordable)
