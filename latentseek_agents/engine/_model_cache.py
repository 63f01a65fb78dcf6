"""What a model keeps of the tokens that it has read, in the form that it keeps it in itself.

Transformers keep keys and values, recurrent models a state, hybrid ones both, some a class of their own, and
a few nothing at all. Here each is one object that grows with every pass, and of which a snapshot can be
taken. Nothing is ever rewound: whoever wants to go back goes on from a snapshot.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

__all__ = ["CacheForm", "ModelCache", "cache_form", "forms_to_try", "tensor_bytes"]

# The arguments under which models take what they keep, and the fields in which they give it back.
_NAMES = ("past_key_values", "cache_params", "state", "mems")
# Layers of a cache whose tensors are replaced and never written to, so that a snapshot may share them.
_REPLACED = (DynamicLayer, DynamicSlidingWindowLayer)


@dataclass(frozen=True)
class CacheForm:
    """In which form a model keeps what it has read, and how it is given back to it.

    Args:
        name: The argument of the layers that takes it; None if the model keeps nothing, so that all
            tokens are read again in every pass.
        made_here: Whether it is made here, as ``generate`` does, or by the model in its first pass.
        in_parts: Whether several tokens can be read in one pass behind earlier ones; otherwise one by one.
        positions: Whether the layers are told the positions of their tokens.
    """

    name: str | None = "past_key_values"
    made_here: bool = True
    in_parts: bool = True
    positions: bool = False


@dataclass
class ModelCache:
    """What a model has read so far, of one text or of several of one length.

    Args:
        form: In which form it is kept.
        value: What the model keeps; None before the first pass if the model makes it.
        token_ids: (rows, n) int64, the tokens read; kept only where the model keeps nothing itself.
        length: Number of tokens read.
    """

    form: CacheForm
    value: Any = None
    token_ids: torch.Tensor | None = None
    length: int = 0

    def inputs(self, token_ids: torch.Tensor) -> dict[str, Any]:
        """The arguments of the layers for a pass over (rows, n) more tokens."""
        if self.form.name is None:
            whole = token_ids if self.token_ids is None else torch.cat([self.token_ids, token_ids], dim=1)
            return {"input_ids": whole, "use_cache": False}
        given: dict[str, Any] = {"input_ids": token_ids, "use_cache": True}
        if self.value is not None:
            given[self.form.name] = self.value
        if self.form.positions:
            places = torch.arange(self.length, self.length + token_ids.shape[1], device=token_ids.device)
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
        return ModelCache(self.form, value, self.token_ids, self.length)

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
    supports = getattr(model, "_supports_default_dynamic_cache", None)
    made_here = name in ("past_key_values", "cache_params") and (supports is None or supports())
    return CacheForm(name, made_here=made_here)


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
                yield CacheForm(form.name, form.made_here, in_parts, positions)
    yield CacheForm(None, made_here=False)


def new_cache(form: CacheForm, config: Any) -> ModelCache:
    """A cache that holds nothing yet.

    Args:
        form: In which form it is kept.
        config: The configuration of the text model.
    """
    return ModelCache(form, _dynamic_cache(config) if form.made_here else None)


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
    return all(type(layer) in _REPLACED for layer in value.layers)


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
