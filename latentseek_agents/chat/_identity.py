"""What tells one chat model from another in a cache: plain values, no weights, no addresses."""

import copyreg
import hashlib
import json
import threading
import weakref
from collections.abc import Mapping
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from latentseek_agents.engine.backbone import Backbone

if TYPE_CHECKING:
    import torch

__all__ = ["described", "digest_of", "fingerprint"]

_fingerprints: "weakref.WeakKeyDictionary[Backbone, str]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_DEEPEST = 50
_MOST_OBJECTS = 10_000
_LOCKS = type(threading.Lock()) | type(threading.RLock())


def fingerprint(backbone: Backbone) -> str:
    """A short name for the model's configuration, template and weights.

    Of each weight a few values are looked at: enough to tell a fine-tuned model from the one it comes from.

    Args:
        backbone: The model. What is found is kept as long as it lives.
    """
    with _lock:
        known = _fingerprints.get(backbone)
    if known is None:
        known = _computed(backbone)
        with _lock:
            _fingerprints[backbone] = known
    return known


def described(value: Any) -> dict[str, str]:
    """A verifier, or any setting: its class, and a digest of all that its behaviour can depend on.

    A digest, because what is said of a chat model goes into every trace, and a verifier may hold a key. Two
    values with one digest have the same class, the same state, private attributes too, and functions with the
    same code, defaults and closures. What those find in their module is not looked at.

    Example:
        >>> from functools import partial
        >>> described(partial(round, ndigits=1))["class"]
        'functools.partial'
        >>> described(partial(round, ndigits=1)) == described(partial(round, ndigits=2))
        False
    """
    named = value if hasattr(value, "__qualname__") else type(value)
    return {"class": _name(named), "state": digest_of(value)}


def digest_of(value: Any) -> str:
    """A short digest of any value, the same in every process.

    Example:
        >>> digest_of({"a": {1, 2}, "b": b"x"}) == digest_of({"b": b"x", "a": {2, 1}})
        True
    """
    digester = _Digester()
    digester.add(value)
    return digester.hexdigest()


class _Digester:
    """Feeds a graph of objects into a hash, each object once."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # or an address would come to stand for something else
        self._depth = 0

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def add(self, value: Any) -> None:
        if value is None or isinstance(value, str | int | float | complex | bytes):
            self._say(f"{type(value).__name__} {value!r}")
        elif isinstance(value, Backbone):
            self._say(f"Backbone {fingerprint(value)}")
        elif isinstance(value, type | ModuleType | _LOCKS):
            self._say(_name(value if isinstance(value, type) else type(value)))
        elif id(value) in self._seen:
            self._say(f"object {self._seen[id(value)]}")
        elif self._depth >= _DEEPEST or len(self._seen) >= _MOST_OBJECTS:
            self._say(_name(type(value)))
        else:
            self._seen[id(value)] = len(self._seen)
            self._alive.append(value)
            self._depth += 1
            self._add_object(value)
            self._depth -= 1

    def _add_object(self, value: Any) -> None:
        kind = _name(type(value))
        if isinstance(value, CodeType):
            self._say_all("code", value.co_code, value.co_names, value.co_consts)
        elif isinstance(getattr(value, "__code__", None), CodeType):
            cells = [_cell(cell) for cell in getattr(value, "__closure__", None) or ()]
            owner = getattr(value, "__self__", None)
            self._say_all(
                _name(value), value.__code__, value.__defaults__, value.__kwdefaults__, cells, owner
            )
        elif hasattr(value, "__qualname__"):  # a function written in C
            self._say_all(_name(value), getattr(value, "__self__", None))
        elif isinstance(value, Mapping):
            entries = sorted((digest_of(key), key) for key in value)
            self._say_all(kind, [part for _, key in entries for part in (key, value[key])])
        elif isinstance(value, list | tuple):
            self._say_all(kind, *value)
        elif isinstance(value, set | frozenset):
            self._say_all(kind, *sorted(digest_of(entry) for entry in value))
        elif hasattr(value, "untyped_storage"):  # a tensor
            self._say_all(kind, *value.shape, _sample(value).numpy().tobytes())
        else:
            self._say_all(kind, *_state(value))

    def _say_all(self, kind: str, *parts: Any) -> None:
        self._say(f"{kind} of {len(parts)}")
        for part in parts:
            self.add(part)

    def _say(self, text: str) -> None:
        self._hash.update(f"{len(text)} {text}".encode(errors="surrogatepass"))


def _state(value: Any) -> list[Any]:
    """What an object is made of, by the protocol that copies and pickles use."""
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
    except Exception:  # a class that does not want to be pickled may raise anything
        return [getattr(value, "__dict__", None)]
    if isinstance(parts, str):
        return [parts]
    entries = [None if part is None else list(part) for part in parts[3:5]]
    return [*parts[:3], *entries]


def _computed(backbone: Backbone) -> str:
    import torch

    digest = hashlib.blake2b(digest_size=8)
    config = getattr(backbone.model, "config", None)
    settings = config.to_dict() if config is not None else {}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(str(getattr(backbone.tokenizer, "chat_template", None)).encode())
    with torch.no_grad():
        samples = [_sample(parameter) for parameter in backbone.model.parameters()]
        if samples:
            digest.update(torch.cat(samples).numpy().tobytes())
    return digest.hexdigest()


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"


def _cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a recursive function that is not bound yet
        return None


def _sample(tensor: "torch.Tensor") -> "torch.Tensor":
    """A few values of a tensor."""
    import torch

    flat = tensor.detach().reshape(-1)
    # Quantised weights are bytes, and a number all the same.
    return flat[:: max(1, flat.numel() // 16)][:16].to(torch.float32).cpu()
