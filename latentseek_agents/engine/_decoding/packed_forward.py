"""One forward pass over many sequences of different lengths, without padding between them.

The new tokens of all rows stand one behind the other in a batch of one; positions tell the model where each
belongs, and attention, the only place where tokens meet, is done row by row against the rows' own keys and
values. The model's own layers do everything else.
"""

import copy
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface

from latentseek_agents.engine._cpu_kernels import is_plain_linear, with_fast_linear, with_fused_norm
from latentseek_agents.engine._decoding.attention import ALIGNED, attend, fixed_positions, fixed_width
from latentseek_agents.engine._decoding.fused_layers import fused_layer, rotation_of
from latentseek_agents.engine._decoding.kv_cache import KeyValueStore
from latentseek_agents.engine._decoding.requests import DecodingOptions
from latentseek_agents.engine._int8 import finer_activations
from latentseek_agents.engine._weights import is_adapter
from latentseek_agents.engine.policy import Policy, depends_on_longest, layers_of, nearly_equal

_log = logging.getLogger(__name__)
_NAME = "latentseek_packed"
# Rows with more new tokens than this are attended to alone: padding the others to them would cost more.
_LONG = 64
_current = threading.local()


@dataclass(frozen=True, slots=True)
class RowSlice:
    """The part of one row that a pass computes.

    Args:
        slot: The row's place in the store.
        start: Position of the first new token.
        token_ids: The new tokens.
    """

    slot: int
    start: int
    token_ids: Sequence[int]

    @property
    def end(self) -> int:
        """Position behind the last new token."""
        return self.start + len(self.token_ids)


class PackedModel:
    """The policy's layers, made to attend row by row.

    The model itself is not touched: what differs stands in copies of its modules that share all weights and
    buffers.

    Args:
        model: A Hugging Face causal LM.
        fast_linear: Use :mod:`~latentseek_agents.engine._cpu_kernels` for its linear layers.
        same_bits: A row's hidden states have the same bits in any company. That holds if what the layers
            compute between attention and attention does, as with int8 weights.

    Attributes:
        windows: Sliding windows that the layers asked for so far; None stands for the whole text.
    """

    def __init__(self, model: Any, *, fast_linear: bool = True, same_bits: bool = False) -> None:
        # No mask function goes with the name: transformers then makes no mask.
        AttentionInterface.register(_NAME, _attention)
        self.windows: set[int | None] = set()
        self._fixed = _fixed_sizes(model.config.get_text_config(decoder=True)) if same_bits else None
        configs: dict[int, Any] = {}
        self._layers = _shadow(layers_of(model), configs, fast_linear)

    def forward(self, store: KeyValueStore, rows: Sequence[RowSlice]) -> torch.Tensor:
        """Compute the rows' new tokens, and put their keys and values into the store.

        Args:
            store: With room for all rows up to their ends.
            rows: At most one slice per slot.

        Returns:
            (N, d) last hidden states of all new tokens, in the order of ``rows``.
        """
        device = self._layers.get_input_embeddings().weight.device
        ids = [token for row in rows for token in row.token_ids]
        places = [position for row in rows for position in range(row.start, row.end)]
        work = _current.work = _Work(store, rows, self._fixed)
        try:
            with torch.inference_mode():
                output = self._layers(
                    input_ids=torch.tensor([ids], device=device),
                    position_ids=torch.tensor([places], device=device),
                    use_cache=False,
                )
        finally:
            del _current.work
        self.windows |= work.windows
        # A copy made outside of the inference mode can take part in a gradient.
        hidden: torch.Tensor = output.last_hidden_state[0].clone()
        return hidden


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Attention in sizes that do not depend on a row's company.

    Args:
        share: Query heads for each head of keys.
        width: Of a head.
    """

    share: int
    width: int


class _Work:
    """What the attention of every layer needs to know of a pass; computed once per pass."""

    def __init__(self, store: KeyValueStore, rows: Sequence[RowSlice], fixed: "_Fixed | None") -> None:
        self.store = store
        self.flat_positions = torch.tensor(
            [row.slot * store.positions + p for row in rows for p in range(row.start, row.end)]
        )
        self.windows: set[int | None] = set()
        self.groups = _groups(rows, fixed, store.positions)
        self._placed: dict[torch.device, torch.Tensor] = {}
        self._rotation: tuple[torch.Tensor, torch.Tensor] | None = None

    def rotation(self, position_embeddings: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for every layer, so computed once."""
        if self._rotation is None:
            self._rotation = rotation_of(position_embeddings)
        return self._rotation

    def positions_on(self, device: torch.device) -> torch.Tensor:
        """``flat_positions`` on a layer's device; brought there once per pass, not once per layer."""
        if device not in self._placed:
            self._placed[device] = self.flat_positions.to(device)
        return self._placed[device]


class _Group:
    """Rows in neighbouring slots whose attention is one call; shorter ones are padded.

    Every layer asks for its sizes, so they are computed once.
    """

    def __init__(self, rows: Sequence[RowSlice], offset: int, fixed: "_Fixed | None", positions: int) -> None:
        counts = [len(row.token_ids) for row in rows]
        self.rows = rows
        self.offset = offset  # of its first new token among all
        self.first = rows[0].slot
        self.width = max(counts)
        self.length = max(row.end for row in rows)
        self.fixed = fixed is not None
        if fixed is not None:
            self.width = fixed_width(self.width, fixed.share, fixed.width)
            step = fixed_positions(fixed.share, fixed.width)
            self.length = min(positions, -(-self.length // step) * step)
        self.count = sum(counts)
        self.even = self.count == self.width * len(rows)
        self._places: dict[torch.device, torch.Tensor] = {}
        self._masks: dict[Any, torch.Tensor | None] = {}

    def padded(self, tensor: torch.Tensor) -> torch.Tensor:
        """(count, heads, d) to (rows, n, heads, d)."""
        part = tensor[self.offset : self.offset + self.count]
        if self.even:
            return part.reshape(len(self.rows), self.width, *part.shape[1:])
        full = part.new_zeros((len(self.rows) * self.width, *part.shape[1:]))
        full[self._index(part)] = part
        return full.view(len(self.rows), self.width, *part.shape[1:])

    def unpadded(self, tensor: torch.Tensor) -> torch.Tensor:
        """(rows, n, heads, d) to (count, heads, d)."""
        flat = tensor.reshape(-1, *tensor.shape[2:])
        return flat if self.even else flat[self._index(flat)]

    def mask(self, window: int | None, share: int, like: torch.Tensor) -> torch.Tensor | None:
        """(rows, 1, share * n, L): 0 where a token may look, -inf elsewhere; None if nothing is hidden."""
        key = (window, share, like.device, like.dtype)
        if key not in self._masks:
            self._masks[key] = self._new_mask(window, share, like)
        return self._masks[key]

    def _new_mask(self, window: int | None, share: int, like: torch.Tensor) -> torch.Tensor | None:
        starts = torch.tensor([row.start for row in self.rows]).view(-1, 1, 1, 1)
        queries = starts + torch.arange(self.width).view(1, 1, -1, 1)
        step = ALIGNED if like.device.type == "cuda" else 1
        keys = torch.arange(-(-self.length // step) * step).view(1, 1, 1, -1)
        seen = keys <= queries
        if window is not None:
            seen &= keys > queries - window
        if not self.fixed and bool(seen[..., : self.length].all()):
            return None
        mask = torch.where(seen, torch.zeros((), dtype=like.dtype), float("-inf")).to(like.device)
        return (mask if self.width == 1 else mask.repeat(1, 1, share, 1))[..., : self.length]

    def _index(self, like: torch.Tensor) -> torch.Tensor:
        if like.device not in self._places:
            index = [
                number * self.width + i
                for number, row in enumerate(self.rows)
                for i in range(len(row.token_ids))
            ]
            self._places[like.device] = torch.tensor(index, device=like.device)
        return self._places[like.device]


def _fixed_sizes(config: Any) -> _Fixed:
    heads = int(config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return _Fixed(heads // int(getattr(config, "num_key_value_heads", None) or heads), width)


def _groups(rows: Sequence[RowSlice], fixed: _Fixed | None, positions: int) -> list[_Group]:
    """Rows that are attended to together: short ones in neighbouring slots; a long one is alone."""
    members: list[list[RowSlice]] = []
    for row in rows:
        last = members[-1][-1] if members else None
        if (
            last is not None
            and row.slot == last.slot + 1
            and max(len(last.token_ids), len(row.token_ids)) <= _LONG
        ):
            members[-1].append(row)
        else:
            members.append([row])
    groups: list[_Group] = []
    offset = 0
    for together in members:
        groups.append(_Group(together, offset, fixed, positions))
        offset += groups[-1].count
    return groups


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: Any,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Takes the place of the model's attention: query (1, H, N, d), key and value (1, H_kv, N, d)."""
    scale = scaling if scaling is not None else float(query.shape[-1] ** -0.5)
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    output = _attend_rows(module.layer_idx, query, key, value, scale, sliding_window, softcap)
    return output.unsqueeze(0), None


def _attend_rows(
    layer: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    window: int | None,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attention of all new tokens: query (N, H, d), key and value (N, H_kv, d), to (N, H, d_v)."""
    work: _Work = _current.work
    work.windows.add(window)
    keys, values = work.store.write(layer, work.positions_on(key.device), key, value)
    share = query.shape[1] // keys.shape[2]
    results = []
    for group in work.groups:
        place = slice(group.first, group.first + len(group.rows))
        output = attend(
            group.padded(query).transpose(1, 2),
            keys[place, : group.length].transpose(1, 2),
            values[place, : group.length].transpose(1, 2),
            group.mask(window, share, query),
            scale,
            softcap,
        )
        results.append(group.unpadded(output.transpose(1, 2)))
    return results[0] if len(results) == 1 else torch.cat(results)


def _shadow(module: Any, configs: dict[int, Any], fast_linear: bool) -> Any:
    """The module itself, or a copy of it that shares weights and buffers where something below differs."""
    if is_adapter(module):
        return module  # adapters can be switched on and off at any time, which a copy would not see
    children = {
        name: None if child is None else _shadow(child, configs, fast_linear)
        for name, child in module._modules.items()
    }
    config = module.__dict__.get("config")
    if fast_linear and is_plain_linear(module):
        return with_fast_linear(module)
    if not children and config is None:
        return with_fused_norm(module) if fast_linear else module
    if config is None and all(children[name] is child for name, child in module._modules.items()):
        return module
    shadow = copy.copy(module)
    shadow.__dict__["_modules"] = children
    fused = fused_layer(shadow, _attend_rows, _rotation) if fast_linear else None
    if fused is not None:
        return fused
    if config is not None:
        shadow.__dict__["config"] = _config(config, configs)
    return shadow


def _rotation(position_embeddings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    work: _Work = _current.work
    return work.rotation(position_embeddings)


def _config(config: Any, configs: dict[int, Any]) -> Any:
    if id(config) not in configs:
        changed = copy.deepcopy(config)
        changed._attn_implementation_internal = _NAME
        configs[id(config)] = changed
    return configs[id(config)]


def packed_model_for(policy: Policy, options: DecodingOptions) -> PackedModel | None:
    """The layers of a policy for shared passes; None, and a line in the log, if those change its results.

    Args:
        policy: The frozen model.
        options: Its decoder's.
    """
    if not options.batch:
        return None
    reason = _rows_meet(policy)
    try:
        if not reason:
            return _checked_model(policy, options)
    except Exception as error:  # any model's own code runs here
        reason = str(error) or type(error).__name__
    # On a GPU that is many times slower than it could be, and the reason would not be looked for.
    level = logging.WARNING if policy.device.type == "cuda" else logging.INFO
    _log.log(level, "%s reads one prompt after another: %s", policy.name, reason)
    return None


def _checked_model(policy: Policy, options: DecodingOptions) -> PackedModel:
    """The layers of a policy for shared passes.

    Raises:
        RuntimeError: Its results change in them.
    """
    config = policy.config
    first = [i % policy.vocabulary_size for i in range(1, 8)]
    second = [i % policy.vocabulary_size for i in range(3, 7)]
    same_bits = policy.number_format == "int8"
    packed = PackedModel(policy.core, fast_linear=options.fast_linear, same_bits=same_bits)
    store = KeyValueStore()
    store.reserve(2, 8)
    with policy.lock, finer_activations():
        packed.forward(store, [RowSlice(0, 0, first[:5]), RowSlice(1, 0, second[:3])])
        got = packed.forward(store, [RowSlice(0, 5, first[5:]), RowSlice(1, 3, second[3:])]).float()
    with finer_activations():
        alone = [policy.layers(torch.tensor([ids])) for ids in (first, second)]
    expected = torch.cat([alone[0][-2:], alone[1][-1:]]).float()
    if not nearly_equal(got, expected, expected, policy.tolerance):
        raise RuntimeError("a batch changes its results")
    # So few tokens lie within any window: a layer that has one must have asked for it.
    if _has_windows(config) and packed.windows <= {None}:
        raise RuntimeError("its windows are unknown")
    return packed


def _rows_meet(policy: Policy) -> str:
    """Why the rows of a pass depend on each other, or on more than what attention is told; else empty."""
    if getattr(policy.core, "_is_stateful", False):
        return "it has a recurrent state"
    config = policy.config
    if depends_on_longest(config):
        return "what it reads depends on the longest text"
    others = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    return f"it has layers of the kind {', '.join(sorted(others))}" if others else ""


def _has_windows(config: Any) -> bool:
    layers = getattr(config, "layer_types", None)
    if layers:
        return "sliding_attention" in layers
    return bool(getattr(config, "sliding_window", None)) and getattr(config, "use_sliding_window", True)
