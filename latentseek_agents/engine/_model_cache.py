"""What a model keeps of the tokens that it has read, in the form that it keeps it in itself.

Transformers keep keys and values, recurrent models a state, hybrid ones both, some a class of their own, and
a few nothing at all. Here each is one object that grows with every pass, and of which a snapshot can be
taken. Nothing is ever rewound: whoever wants to go back goes on from a snapshot.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import DynamicCache, cache_utils
from transformers.cache_utils import Cache

__all__ = ["CacheForm", "ModelCache", "cache_form", "forms_to_try", "joined", "may_be_joined", "tensor_bytes"]

# The arguments under which models take what they keep, and the fields in which they give it back.
_NAMES = ("past_key_values", "cache_params", "state", "mems")
# Layers of a cache whose tensors are replaced and never written to, so that a snapshot may share them.
_REPLACED = ("DynamicLayer", "DynamicSlidingWindowLayer")
# Layers of a cache that can hold texts of several lengths: keys and values that are told apart by a mask, and
# states that know no length.
_PADDED = ("DummyLayer", "DynamicLayer", "LinearAttentionLayer", "LinearAttentionAndFullAttentionLayer")


@dataclass(frozen=True)
class CacheForm:
    """In which form a model keeps what it has read, and how it is given back to it.

    Args:
        name: The argument of the layers that takes it; None if the model keeps nothing, so that all
            tokens are read again in every pass.
        made_here: Whether it is made here, as ``generate`` does, or by the model in its first pass.
        in_parts: Whether several tokens can be read in one pass behind earlier ones; otherwise one by one.
        positions: Whether the layers are told the positions of their tokens.
        takes: Those of the arguments that texts of several lengths need which the layers have.
    """

    name: str | None = "past_key_values"
    made_here: bool = True
    in_parts: bool = True
    positions: bool = False
    takes: frozenset[str] = frozenset()


@dataclass
class ModelCache:
    """What a model has read so far, of one text or of several.

    Args:
        form: In which form it is kept.
        value: What the model keeps; None before the first pass if the model makes it.
        token_ids: (rows, n) int64, the tokens read; kept only where the model keeps nothing itself.
        length: Number of tokens read, of the longest text.
        padding: (rows,) int64, how much longer that one is than each; None if all are of one length. Such
            texts are read on one token at a time.
    """

    form: CacheForm
    value: Any = None
    token_ids: torch.Tensor | None = None
    length: int = 0
    padding: torch.Tensor | None = None

    def inputs(self, token_ids: torch.Tensor) -> dict[str, Any]:
        """The arguments of the layers for a pass over (rows, n) more tokens."""
        if self.form.name is None:
            whole = token_ids if self.token_ids is None else torch.cat([self.token_ids, token_ids], dim=1)
            return {"input_ids": whole, "use_cache": False}
        given: dict[str, Any] = {"input_ids": token_ids, "use_cache": True}
        if self.value is not None:
            given[self.form.name] = self.value
        places = torch.arange(self.length, self.length + token_ids.shape[1], device=token_ids.device)
        if self.padding is not None:
            padding = self.padding.to(token_ids.device)[:, None]
            seen = torch.arange(self.length + token_ids.shape[1], device=token_ids.device) >= padding
            told = {"attention_mask": seen.long(), "position_ids": places - padding}
            return given | {name: told[name] for name in self.form.takes}
        if self.form.positions:
            given["position_ids"] = places.expand_as(token_ids)
        return given

    def read(self, inputs: dict[str, Any], output: Any, count: int) -> None:
        """Record a pass: its arguments, what the layers gave back, and the number of new tokens per row."""
        self.length += count
        if self.form.name is None:
            self.token_ids = inputs["input_ids"]
            return
        kept = getattr(output, self.form.name, None)
        self.value = self.value if kept is None else kept

    def fork(self) -> "ModelCache":
        """A snapshot: going on from either leaves the other as it is."""
        if _is_never_written_to(self.value):
            value = copy.copy(self.value)
            value.layers = [copy.copy(layer) for layer in self.value.layers]
        else:
            # Tensors made in inference mode could not be written to outside of it.
            with torch.inference_mode(mode=False), torch.no_grad():
                value = copy.deepcopy(self.value)
        return ModelCache(self.form, value, self.token_ids, self.length, self.padding)

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows, each as often as it is named.

        Raises:
            TypeError: The model keeps what it reads in a form that is not known to have rows.
        """
        if self.token_ids is not None:
            self.token_ids = self.token_ids[list(rows)]
        with torch.inference_mode(mode=False), torch.no_grad():
            if isinstance(self.value, Cache):
                chosen: Any = torch.tensor(rows)
                self.value.reorder_cache(chosen)
            elif isinstance(self.value, list) and all(isinstance(part, torch.Tensor) for part in self.value):
                self.value = [part[list(rows)] for part in self.value]
            elif self.value is not None:
                raise TypeError(f"a {type(self.value).__name__} has no rows to choose from")
            if self.padding is not None:
                self._without_padding_of_all(self.padding[list(rows)])

    def _without_padding_of_all(self, padding: torch.Tensor) -> None:
        """Drop what stands before every text, now that the longest may have left."""
        shared = int(padding.min())
        for layer in self.value.layers if shared else ():
            for name in ("keys", "values"):
                if (kept := getattr(layer, name, None)) is not None and kept.numel():
                    setattr(layer, name, kept[..., shared:, :])
        self.length -= shared
        self.padding = padding - shared if bool((padding > shared).any()) else None

    @property
    def nbytes(self) -> int:
        """Memory that its tensors take."""
        return tensor_bytes([self.value, self.token_ids])


def cache_form(model: Any, layers: Any) -> CacheForm:
    """The form in which ``generate`` would keep what this model reads.

    Args:
        model: A causal LM.
        layers: Its layers, without the head.
    """
    arguments = inspect.signature(type(layers).forward).parameters
    name = next((name for name in _NAMES if name in arguments), None)
    takes = frozenset({"attention_mask", "position_ids"} & arguments.keys())
    supports = getattr(model, "_supports_default_dynamic_cache", None)
    made_here = name in ("past_key_values", "cache_params") and (supports is None or supports())
    return CacheForm(name, made_here=made_here, takes=takes)


def forms_to_try(form: CacheForm, layers: Any) -> Iterator[CacheForm]:
    """This form and others, the fastest first; the last one, which keeps nothing, fits every model.

    Args:
        form: What :func:`cache_form` tells.
        layers: The model's layers, without the head.
    """
    if form.name is not None:
        told = "position_ids" in inspect.signature(type(layers).forward).parameters
        for in_parts in (True, False):
            for positions in (False, True) if told else (False,):
                yield replace(form, in_parts=in_parts, positions=positions)
    yield CacheForm(None, made_here=False)


def new_cache(form: CacheForm, config: Any) -> ModelCache:
    """A cache that holds nothing yet.

    Args:
        form: In which form it is kept.
        config: The configuration of the text model.
    """
    return ModelCache(form, _dynamic_cache(config) if form.made_here else None)


def may_be_joined(cache: ModelCache) -> bool:
    """Whether texts of other prompts can become rows of one cache, as far as its class tells.

    Args:
        cache: One that has read something.
    """
    value = cache.value
    return type(value) is DynamicCache and not value.offloading and _layer_kinds([value]) <= _kinds(_PADDED)


def joined(caches: Sequence[ModelCache]) -> ModelCache:
    """The texts of several caches as the rows of one; the shorter ones have padding in front.

    Args:
        caches: Of one model. They stay as they are.

    Raises:
        TypeError: :func:`may_be_joined` does not hold for one of them.
    """
    if not all(may_be_joined(cache) for cache in caches):
        raise TypeError("what this model keeps cannot be joined")
    length = max(cache.length for cache in caches)
    missing = [length - cache.length for cache in caches]
    with torch.inference_mode(mode=False), torch.no_grad():
        value = copy.copy(caches[0].value)
        layers = zip(*(cache.value.layers for cache in caches), strict=True)
        value.layers = [_joined_layer(parts, missing) for parts in layers]
        before = (
            torch.zeros(_rows(cache.value), dtype=torch.long) if cache.padding is None else cache.padding
            for cache in caches
        )
        padding = torch.cat([more + rows for more, rows in zip(missing, before, strict=True)])
    return ModelCache(caches[0].form, value, None, length, padding if bool(padding.any()) else None)


def _layer_kinds(values: Sequence[Any]) -> set[type]:
    return {type(layer) for value in values for layer in value.layers}


def _tensors_of(layer: Any) -> Iterator[torch.Tensor]:
    """The tensors of a layer; each has a row for each text."""
    states = (*getattr(layer, "conv_states", {}).values(), *getattr(layer, "recurrent_states", {}).values())
    kept = (*states, getattr(layer, "keys", None), getattr(layer, "values", None))
    return (tensor for tensor in kept if tensor is not None and tensor.numel())


def _rows(value: Any) -> int:
    return next(tensor.shape[0] for layer in value.layers for tensor in _tensors_of(layer))


def _joined_layer(layers: Sequence[Any], missing: Sequence[int]) -> Any:
    """A layer of several caches as one, with so much padding before the keys and values of each."""
    made = copy.copy(layers[0])
    for name, value in vars(made).items():
        if isinstance(value, dict):  # states by their number, and what is to be known of them
            parts = {index: [getattr(layer, name)[index] for layer in layers] for index in value}
            setattr(made, name, {index: _stacked(part) for index, part in parts.items()})
    for name in ("keys", "values"):
        if (kept := getattr(made, name, None)) is not None and kept.numel():
            padded = [
                torch.nn.functional.pad(getattr(layer, name), (0, 0, more, 0))
                for layer, more in zip(layers, missing, strict=True)
            ]
            setattr(made, name, torch.cat(padded))
    return made


def _stacked(values: Sequence[Any]) -> Any:
    return torch.cat(list(values)) if isinstance(values[0], torch.Tensor) else values[0]


def _dynamic_cache(config: Any) -> Any:
    try:
        return DynamicCache(config=config)
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ):  # kinds of layers that are not known
        return DynamicCache()


def _is_never_written_to(value: Any) -> bool:
    if type(value) is not DynamicCache or value.offloading:
        return False
    return {type(layer) for layer in value.layers} <= _kinds(_REPLACED)


def _kinds(names: Sequence[str]) -> set[type]:
    """The layers of these names that the installed transformers has; older versions lack some."""
    return {getattr(cache_utils, name) for name in names if hasattr(cache_utils, name)}


def tensor_bytes(value: Any) -> int:
    """Memory that the tensors within an object take, each counted once.

    Example:
        >>> state = torch.zeros(4)
        >>> tensor_bytes({"first": state, "again": [state], "number": 7})
        16
    """
    found: dict[int, int] = {}
    seen: set[int] = set()
    _collect(value, found, seen)
    return sum(found.values())


def _collect(value: Any, found: dict[int, int], seen: set[int]) -> None:
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return
    if id(value) in seen or value is None or isinstance(value, (str, int, float, torch.dtype, torch.device)):
        return
    seen.add(id(value))
    if isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, (list, tuple)):
        parts = list(value)
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        parts = list(vars(value).values())
    else:
        parts = []
    for part in parts:
        _collect(part, found, seen)
