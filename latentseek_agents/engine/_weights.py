"""Which weights a model computes with at this moment: adapters are switched, parameters changed in place.

Keys, values and hidden states that are kept for later are those of the weights they were computed with. So
are the copies of modules that decode batches. Both ask here whether the model is still the same one.
"""

import hashlib
import itertools
import operator
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

import torch

__all__ = ["Weights", "WeightsWatch", "is_adapter", "is_plain", "plain_parts", "switches"]

# So many numbers of each tensor are compared. What is written through ``.data`` has no other trace, and it
# is as a rule all of a tensor: a merge, another checkpoint, an average of weights.
_COMPARED_VALUES = 4
# Modules of these packages keep nothing in plain attributes that is switched while the model is in use.
_LIBRARIES = frozenset({"torch", "transformers", "accelerate", "latentseek_agents"})
# Code that comes with a model. It may keep tables there that grow with the text.
_REMOTE = "transformers_modules"
_KNOWN = _LIBRARIES | {"peft", "kernels", _REMOTE}
_DEEPEST = 4
_OF_MODULES = frozenset({"_parameters", "_buffers", "_modules"})
_PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})
_version = operator.attrgetter("_version")
_packages: dict[type, str] = {}
_number_and_place = operator.attrgetter("dtype", "device")


@dataclass(frozen=True, slots=True)
class Weights:
    """What a model computed with when it was asked.

    Args:
        key: Differs where anything did: tensors, adapters in use, modules.
        running: A hash of what can be compared before and after each forward pass.
        modules: The modules that decoders copy, with what is set in them. A copy serves as long as this
            stays equal.
    """

    key: bytes
    running: int
    modules: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the tensors and switches of a model are.

    Args:
        whole: Dictionaries of tensors that all count.
        partly: Others, each with the names that do not.
        adapters: The modules of PEFT.
        own: Modules of a caller's own classes.
    """

    whole: list[dict[str, Any]]
    partly: list[tuple[dict[str, Any], frozenset[str]]]
    adapters: list[Any]
    own: list[Any]

    @classmethod
    def of(cls, modules: list[Any]) -> "_Places":
        whole = [m._parameters for m in modules if m._parameters]
        whole += [m._buffers for m in modules if m._buffers and not m._non_persistent_buffers_set]
        partly = [
            (m._buffers, frozenset(m._non_persistent_buffers_set))
            for m in modules
            if m._buffers and m._non_persistent_buffers_set
        ]
        adapters = [module for module in modules if is_adapter(module)]
        own = [m for m in modules if not is_adapter(m) and _package(m) not in _KNOWN]
        return cls(whole, partly, adapters, own)

    def tensors(self) -> list[torch.Tensor]:
        """Parameters and stored buffers; others, such as rotations, are computed as a text grows."""
        # Copies, since another thread may change a module meanwhile.
        whole = [list(entries.values()) for entries in self.whole]
        partly = [
            [tensor for name, tensor in list(entries.items()) if name not in skipped]
            for entries, skipped in self.partly
        ]
        return [tensor for part in (*whole, *partly) for tensor in part if tensor is not None]

    def running(self) -> int:
        """See :meth:`WeightsWatch.running`."""
        used = tuple([_in_use(adapter) for adapter in self.adapters])
        own = repr([(_flags(vars(m)), [*map(_address, _parts(_kept_tensors(vars(m))))]) for m in self.own])
        tensors = self.tensors()
        if _PLAIN.issuperset(map(type, tensors)):
            # The same as below, without a step of Python for each tensor.
            with suppress(RuntimeError):
                places = tuple(map(torch.Tensor.data_ptr, tensors))
                return hash((used, own, places, tuple(map(_version, tensors))))
        return hash((used, own, tuple(map(_address, _parts(tensors)))))


class WeightsWatch:
    """Looks at the weights of one model.

    Args:
        model: As its caller has it, with the wrapper of an adapter.
        core: The causal LM within it.
    """

    def __init__(self, model: Any, core: Any) -> None:
        self._model = model if isinstance(model, torch.nn.Module) else core
        self._core = core
        self._lock = threading.Lock()
        self._looks = itertools.count()
        self._found = _Places([], [], [], [])
        self.look()

    def look(self) -> Weights:
        """The weights as they are now; takes some milliseconds for a model of hundreds of modules."""
        with self._lock:
            every = list(_below(self._model))
            # In one assignment: `running` reads it in other threads, without the lock.
            self._found = found = _Places.of(every)
            copied = every
            if found.adapters or self._model is not self._core:
                copied = list(_below(self._core, into_adapters=False))
        flags = [_flags(vars(module)) for module in copied if _package(module) == _REMOTE]
        held = [_held(module) for module in copied if _package(module) not in _KNOWN]
        forwards = [module.__dict__["forward"] for module in copied if "forward" in module.__dict__]
        tensors = [*_parts(found.tensors())]
        tensors += [part for module in found.own for part in _parts(_kept_tensors(vars(module)))]
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr([*map(id, every), *map(_address, tensors)]).encode())
        digest.update(repr(_switches(every)).encode())
        digest.update(_values(tensors))
        if any(map(_patches, every)):
            # What a caller's function does may depend on anything: nothing is found again.
            digest.update(next(self._looks).to_bytes(8, "big"))
        modules = (*copied, *map(type, copied), flags, held, forwards, set(map(_number_and_place, tensors)))
        return Weights(digest.digest(), found.running(), modules)

    def running(self) -> int:
        """A hash of the tensors' addresses and versions and of the adapters in use; fast."""
        return self._found.running()

    def after_fork(self) -> None:
        """A new lock in a child process."""
        self._lock = threading.Lock()


def is_adapter(module: Any) -> bool:
    """Whether a module is PEFT's: it can be switched at any time."""
    return _package(module) == "peft"


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor is numbers in memory, and no quantised or distributed one that stands for them."""
    return type(tensor) in _PLAIN and tensor.layout == torch.strided


def switches(model: Any) -> list[tuple[int, list[Any]]]:
    """What is set in the modules of a model that are adapters or a caller's own: flags, factors, names.

    It is the same in every process.

    Args:
        model: Any module.
    """
    return _switches(_below(model))


def _switches(modules: Iterable[Any]) -> list[tuple[int, list[Any]]]:
    found = []
    for number, module in enumerate(modules):
        package = _package(module)
        values: list[Any] = [*_patches(module)]
        if package not in _LIBRARIES:
            values += _settings(module) if package == "peft" else _flags(vars(module))
        if package not in _KNOWN:
            values += [
                [*tensor.shape, _few(tensor.detach()).tolist()] for tensor in _kept_tensors(vars(module))
            ]
        if values:
            found.append((number, values))
    return found


def _flags(attributes: Mapping[str, Any], depth: int = _DEEPEST) -> list[Any]:
    """The flags and factors of a module that is none of a library's, those in its dataclasses included."""
    found: list[Any] = []
    for name, value in sorted(attributes.items()):
        if isinstance(value, bool | float) and name != "training":
            found.append((name, value))
        elif depth and is_dataclass(value) and (inner := _flags(_fields(value), depth - 1)):
            found.append((name, inner))
    return found


def _kept_tensors(value: Any, depth: int = _DEEPEST) -> Iterator[torch.Tensor]:
    """Tensors in the attributes of a caller's own module that are neither parameters nor buffers."""
    if isinstance(value, torch.Tensor):
        if value.numel() and not isinstance(value, torch.nn.Parameter):
            yield value
    elif depth:
        parts: Iterable[Any] = list(value) if isinstance(value, list | tuple) else ()
        if isinstance(value, Mapping):
            parts = [part for name, part in list(value.items()) if name not in _OF_MODULES]
        elif is_dataclass(value):
            parts = _fields(value).values()
        for part in parts:
            yield from _kept_tensors(part, depth - 1)


def _fields(value: Any) -> dict[str, Any]:
    """What a dataclass holds."""
    return {field.name: getattr(value, field.name, None) for field in fields(value)}


class _Held:
    """A value that equals itself alone, or another that is as plain."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Held):
            return False
        plain = isinstance(self.value, bool | int | float | str)
        return self.value is other.value or (plain and bool(self.value == other.value))

    def __hash__(self) -> int:
        return id(self.value)


def _held(module: Any) -> dict[str, _Held]:
    """What a copy of a caller's own module would hold as it was."""
    return {
        name: _Held(value) for name, value in vars(module).items() if name not in _OF_MODULES | {"training"}
    }


def _patches(module: Any) -> list[str]:
    """The names of a caller's functions that run with a module: hooks, or another ``forward``."""
    if not (module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__):
        return []
    functions = [*list(module._forward_hooks.values()), *list(module._forward_pre_hooks.values())]
    functions += [module.__dict__["forward"]] if "forward" in module.__dict__ else []
    return [_name(function) for function in functions if _maker(function) not in _KNOWN]


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _maker(function: Any) -> str:
    """The package that a function comes from."""
    while isinstance(function, partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0]


def _package(module: Any) -> str:
    """The package that the class of a module comes from."""
    kind = type(module)
    if kind not in _packages:
        _packages[kind] = kind.__module__.partition(".")[0]
    return _packages[kind]


_OFF = ("off",)
# The layers tell which adapters are active; PEFT's wrappers repeat it, now as a name and now as a list.
_NO_SETTINGS = frozenset(
    {"training", "_non_persistent_buffers_set", "active_adapter", "_active_adapter", "merged_adapters"}
)


def _in_use(adapter: Any) -> tuple[Any, ...]:
    """Which adapters a module of PEFT applies and which are merged into its weights."""
    settings = vars(adapter)
    if settings.get("_disable_adapters"):
        return _OFF
    active = settings.get("_active_adapter", ())
    merged = settings.get("merged_adapters", ())
    return ((active,) if isinstance(active, str) else tuple(active), tuple(merged))


def _settings(adapter: Any) -> list[Any]:
    """The plain values in an adapter, also those in its lists and dictionaries.

    Of one that is switched off nothing counts: whether it is merged into the layer, the layer shows.
    """
    in_use = _in_use(adapter)
    if in_use == _OFF:
        return list(_OFF)
    others = [
        (name, plain)
        for name, value in sorted(vars(adapter).items())
        if name not in _NO_SETTINGS and (plain := _plain(value)) not in (None, (), {})
    ]
    return [in_use, *others]


def _plain(value: Any) -> Any:
    """The plain part of a value; None if there is none."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return value.tolist() if value.numel() == 1 and not value.is_meta else None
    if isinstance(value, dict):
        kept = {str(key): _plain(part) for key, part in value.items()}
        return {key: kept[key] for key in sorted(kept) if kept[key] is not None}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        return tuple(part for entry in value if (part := _plain(entry)) is not None)
    return None


def _below(module: Any, *, into_adapters: bool = True) -> Iterator[Any]:
    """The module and all modules within it, each once."""
    waiting, seen = [module], set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if into_adapters or not is_adapter(current):
            waiting += [child for child in current._modules.values() if child is not None]


def plain_parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensor itself, or what a quantised one is made of."""
    flatten = None if is_plain(tensor) else getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
    else:
        for name in flatten()[0]:
            yield from plain_parts(getattr(tensor, name))


def _parts(tensors: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    return itertools.chain.from_iterable(map(plain_parts, tensors))


def _address(tensor: torch.Tensor) -> tuple[int, int]:
    """Where a tensor lies, and how often it was written to, as far as torch counts."""
    return 0 if tensor.is_meta else tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


@torch.no_grad()
def _values(tensors: list[torch.Tensor]) -> bytes:
    """A few numbers of each tensor."""
    groups: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
    for tensor in tensors:
        if tensor.numel() and not (tensor.is_meta or tensor.is_quantized) and tensor.layout == torch.strided:
            few = _few(tensor)
            # Not every operation knows the numbers of 8 bits and less.
            few = few.view(torch.uint8) if few.itemsize == 1 else few
            groups.setdefault((few.device, few.dtype), []).append(few)
    joined = [torch.cat(group).view(torch.uint8).cpu() for group in groups.values()]
    return b"".join(part.numpy().tobytes() for part in joined)


def _few(tensor: torch.Tensor) -> torch.Tensor:
    """Some numbers of a tensor, spread over it, without a copy of the rest."""
    if tensor.is_contiguous():
        step = max(1, tensor.numel() // _COMPARED_VALUES)
        # In one step, since there are hundreds of tensors.
        return tensor.as_strided((-(-tensor.numel() // step),), (step,))
    index = [size // 2 for size in tensor.shape]
    return tensor[tuple(index)].reshape(1)
