"""Which weights a model computes with at this moment: adapters are switched, parameters changed in place.

Keys, values and hidden states that are kept for later are those of the weights they were computed with. So
are the copies of modules that decode batches. Both ask here whether the model is still the same one.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Weights", "WeightsWatch", "is_adapter", "is_plain", "plain_parts", "switches"]

# So many numbers of each tensor are compared. What is written through ``.data`` has no other trace, and it
# is as a rule all of a tensor: a merge, another checkpoint, an average of weights.
_COMPARED_VALUES = 4
# Modules of these packages keep nothing in plain attributes that is switched while the model is in use.
_LIBRARIES = frozenset({"torch", "transformers", "accelerate", "latentseek_agents"})


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
        self._tensors: list[tuple[dict[str, Any], frozenset[str]]] = []
        self._adapters: list[Any] = []
        self.look()

    def look(self) -> Weights:
        """The weights as they are now; takes some milliseconds for a model of hundreds of modules."""
        with self._lock:
            every = list(_below(self._model))
            self._tensors = [
                (entries, frozenset(skipped))
                for module in every
                for entries, skipped in (
                    (module._parameters, ()),
                    (module._buffers, module._non_persistent_buffers_set),
                )
                if entries
            ]
            self._adapters = [module for module in every if is_adapter(module)]
            copied = tuple(_below(self._core, into_adapters=False))
        flags = [_flags(module) for module in copied if not is_adapter(module)]
        modules = (*copied, *map(type, copied), flags)
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr([*map(id, every), *map(_address, self._plain_tensors())]).encode())
        digest.update(repr(_switches(every)).encode())
        digest.update(_values(list(self._plain_tensors())))
        return Weights(digest.digest(), self.running(), modules)

    def running(self) -> int:
        """A hash of the tensors' addresses and versions and of the adapters in use; fast."""
        used = tuple([_in_use(adapter) for adapter in self._adapters])
        return hash((used, tuple([_address(tensor) for tensor in self._plain_tensors()])))

    def after_fork(self) -> None:
        """A new lock in a child process."""
        self._lock = threading.Lock()

    def _plain_tensors(self) -> Iterator[torch.Tensor]:
        """Parameters and stored buffers; others, such as rotations, are computed as a text grows."""
        for entries, skipped in self._tensors:
            for name, tensor in list(entries.items()):
                if tensor is not None and name not in skipped:
                    yield from plain_parts(tensor)


def is_adapter(module: Any) -> bool:
    """Whether a module is PEFT's: it can be switched at any time."""
    return type(module).__module__.partition(".")[0] == "peft"


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor is numbers in memory, and no quantised or distributed one that stands for them."""
    return type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.layout == torch.strided


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
        values = _settings(module) if is_adapter(module) else _flags(module)
        if values:
            found.append((number, values))
    return found


def _flags(module: Any) -> list[Any]:
    """The flags and factors of a module that is none of a library's."""
    if type(module).__module__.partition(".")[0] in _LIBRARIES:
        return []
    return [
        (name, value)
        for name, value in sorted(vars(module).items())
        if isinstance(value, bool | float) and name != "training"
    ]


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


def _address(tensor: torch.Tensor) -> tuple[int, int]:
    """Where a tensor lies, and how often it was written to, as far as torch counts."""
    return 0 if tensor.is_meta else tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def _values(tensors: list[torch.Tensor]) -> bytes:
    """A few numbers of each tensor."""
    groups: dict[tuple[torch.device, torch.dtype], list[torch.Tensor]] = {}
    for tensor in tensors:
        if tensor.numel() and not (tensor.is_meta or tensor.is_quantized) and tensor.layout == torch.strided:
            few = _few(tensor.detach())
            # Not every operation knows the numbers of 8 bits and less.
            few = few.view(torch.uint8) if few.itemsize == 1 else few
            groups.setdefault((few.device, few.dtype), []).append(few)
    joined = [torch.cat(group).view(torch.uint8).cpu() for group in groups.values()]
    return b"".join(part.numpy().tobytes() for part in joined)


def _few(tensor: torch.Tensor) -> torch.Tensor:
    """Some numbers of a tensor, spread over it, without a copy of the rest."""
    if tensor.is_contiguous():
        flat = tensor.view(-1)
        return flat[:: max(1, flat.numel() // _COMPARED_VALUES)]
    index = [size // 2 for size in tensor.shape]
    return tensor[tuple(index)].reshape(1)
