"""Keys and values of all rows that are being decoded, in one pair of tensors per layer."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["KeyValueStore", "SavedLayers"]

SavedLayers = dict[int, tuple["torch.Tensor", "torch.Tensor"]]
"""Keys and values of one sequence, by layer: each (n, heads, width)."""

# Room is added in steps of this many positions: growing copies everything.
_STEP = 256


class KeyValueStore:
    """A slot of the same size for each row; what stands behind a row's length is never read.

    A row is taken back to an earlier length by forgetting the later positions, which costs nothing.

    Attributes:
        slots: Number of rows there is room for.
        positions: Tokens per row there is room for.
    """

    def __init__(self) -> None:
        self.slots = 0
        self.positions = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def reserve(self, slots: int, positions: int, most_tokens: int | None = None) -> None:
        """Make room for at least so many rows of so many tokens.

        Args:
            slots: Number of rows.
            positions: Tokens of the longest row.
            most_tokens: Tokens of all rows together. If earlier rows left more room than that, what lies
                behind ``slots`` and ``positions`` is given back.
        """
        stepped = -(-positions // _STEP) * _STEP
        wanted = max(slots, self.slots), stepped if positions > self.positions else self.positions
        if most_tokens is not None and wanted[0] * wanted[1] > most_tokens:
            room = most_tokens // slots
            wanted = slots, min(stepped, room) if positions <= room else stepped
        self.slots, self.positions = wanted
        # One layer after the other, so that never more than one is there twice.
        for layer in self._layers:
            self._layer(layer)

    def write(
        self, layer: int, flat_positions: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
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
        saved = {}
        for layer in self._layers:
            keys, values = self._layer(layer)
            saved[layer] = (keys[slot, start:end].clone(), values[slot, start:end].clone())
        return saved

    def load(self, slot: int, start: int, saved: SavedLayers, count: int) -> None:
        """Put the first ``count`` saved positions into a row, from ``start`` on."""
        for layer, (key, value) in saved.items():
            keys, values = self._layer(layer, key, value)
            keys[slot, start : start + count] = key[:count]
            values[slot, start : start + count] = value[:count]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row to another slot."""
        if not length:  # there may be no room for it yet
            return
        for layer in self._layers:
            keys, values = self._layer(layer)
            keys[target, :length] = keys[source, :length]
            values[target, :length] = values[source, :length]

    def wipe(self, slot: int, start: int = 0) -> None:
        """Put zeros behind the first ``start`` tokens of a row, which may be NaN.

        What stands behind a row's length is not looked at, but it is multiplied with 0; and 0 * NaN is NaN.
        """
        if slot >= self.slots:
            return
        for layer in self._layers:
            keys, values = self._layer(layer)
            keys[slot, start:] = 0
            values[slot, start:] = 0

    def clear(self) -> None:
        """Give all memory back."""
        self._layers.clear()
        self.slots = self.positions = 0

    def _layer(
        self, layer: int, key: "torch.Tensor | None" = None, value: "torch.Tensor | None" = None
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """A layer in the size of the store; if it is new, made for what is like ``key`` and ``value``."""
        if layer not in self._layers and key is not None and value is not None:
            self._layers[layer] = (self._empty(key), self._empty(value))
        keys, values = self._layers[layer]
        # Seen here and not in `reserve` alone: that may have run out of memory between two layers.
        if tuple(keys.shape[:2]) != (self.slots, self.positions):
            keys, values = self._layers[layer] = (self._resized(keys), self._resized(values))
        return keys, values

    def _empty(self, like: "torch.Tensor") -> "torch.Tensor":
        import torch

        # A tensor made in inference mode could not be written to outside of it.
        with torch.inference_mode(mode=False):
            # Zeros, not what happens to be in memory: see `wipe`.
            return like.new_zeros((self.slots, self.positions, *like.shape[1:]))

    def _resized(self, old: "torch.Tensor") -> "torch.Tensor":
        new = self._empty(old[0])
        slots, positions = min(old.shape[0], self.slots), min(old.shape[1], self.positions)
        new[:slots, :positions] = old[:slots, :positions]
        return new
