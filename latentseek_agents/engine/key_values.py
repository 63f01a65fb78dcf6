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

    def reserve(self, slots: int, positions: int) -> None:
        """Make room for at least so many rows of so many tokens."""
        slots = max(slots, self.slots)
        if positions > self.positions:
            positions = -(-positions // _STEP) * _STEP
        positions = max(positions, self.positions)
        if (slots, positions) == (self.slots, self.positions):
            return
        self.slots, self.positions = slots, positions
        for layer, (keys, values) in list(self._layers.items()):
            # One layer after the other, so that never more than one is there twice.
            self._layers[layer] = (self._grown(keys), self._grown(values))

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
        if layer not in self._layers:
            self._layers[layer] = (self._empty(key), self._empty(value))
        keys, values = self._layers[layer]
        keys.view(-1, *keys.shape[2:]).index_copy_(0, flat_positions, key)
        values.view(-1, *values.shape[2:]).index_copy_(0, flat_positions, value)
        return keys, values

    def save(self, slot: int, start: int, end: int) -> SavedLayers:
        """A copy of the positions from ``start`` to before ``end`` of one row."""
        return {
            layer: (keys[slot, start:end].clone(), values[slot, start:end].clone())
            for layer, (keys, values) in self._layers.items()
        }

    def load(self, slot: int, start: int, saved: SavedLayers, count: int) -> None:
        """Put the first ``count`` saved positions into a row, from ``start`` on."""
        for layer, (key, value) in saved.items():
            if layer not in self._layers:
                self._layers[layer] = (self._empty(key), self._empty(value))
            keys, values = self._layers[layer]
            keys[slot, start : start + count] = key[:count]
            values[slot, start : start + count] = value[:count]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row to another slot."""
        for keys, values in self._layers.values():
            keys[target, :length] = keys[source, :length]
            values[target, :length] = values[source, :length]

    def clear(self) -> None:
        """Give all memory back."""
        self._layers.clear()
        self.slots = self.positions = 0

    def _empty(self, like: "torch.Tensor") -> "torch.Tensor":
        import torch

        # A tensor made in inference mode could not be written to outside of it.
        with torch.inference_mode(mode=False):
            # Zeros, not what happens to be in memory: a masked position still enters a product with 0, and
            # 0 * NaN is NaN.
            return like.new_zeros((self.slots, self.positions, *like.shape[1:]))

    def _grown(self, old: "torch.Tensor") -> "torch.Tensor":
        new = old.new_zeros((self.slots, self.positions, *old.shape[2:]))
        new[: old.shape[0], : old.shape[1]] = old
        return new
