"""What distinguishes one chat model from another in a cache: plain values, no weights, no addresses."""

import copyreg
import hashlib
import json
import threading
import weakref
from collections.abc import Iterator, Mapping
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from latentseek_agents.engine.backbone import Backbone

if TYPE_CHECKING:
    import torch

_fingerprints: "weakref.WeakKeyDictionary[Backbone, str]" = weakref.WeakKeyDictionary()
_DEEPEST = 50
_MOST_OBJECTS = 10_000
_PLAIN = str | int | float | complex | bytes | None
_BY_NAME = type | ModuleType | type(threading.Lock()) | type(threading.RLock())


def fingerprint(backbone: Backbone) -> str:
    """A short name for the model's configuration, template and weights.

    It reads a few values of each weight: enough to distinguish a fine-tuned model from its base model.

    Args:
        backbone: The model. Its fingerprint is kept as long as it lives.
    """
    if backbone not in _fingerprints:
        config = getattr(backbone.model, "config", None)
        settings = config.to_dict() if config is not None else {}
        digest = hashlib.blake2b(digest_size=8)
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
        digest.update(str(getattr(backbone.tokenizer, "chat_template", None)).encode())
        for parameter in backbone.model.parameters():
            digest.update(_sample(parameter).numpy().tobytes())
        _fingerprints[backbone] = digest.hexdigest()
    return _fingerprints[backbone]


def described(value: Any) -> dict[str, str]:
    """A verifier, or any setting: its class, and a digest of all that its behaviour can depend on.

    It is a digest because the parameters of a chat model go into every trace, and a verifier may hold a key.
    Two values with one digest have the same class, the same state, private attributes too, and functions with
    the same code, defaults and closures. What those find in their module is not read.

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
    digest = hashlib.blake2b(digest_size=16)
    for text in _walk(value, {}):
        digest.update(f"{len(text)} {text}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _walk(value: Any, seen: dict[int, tuple[int, Any]], depth: int = 0) -> Iterator[str]:
    """A graph of objects as texts, each object once.

    Args:
        value: Where to begin.
        seen: By address, the number of each object and the object itself: while it lives, nothing else can
            have its address.
        depth: How many objects hold this one.
    """
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, Backbone):
        yield f"Backbone {fingerprint(value)}"
    elif isinstance(value, _BY_NAME):
        yield _name(value if isinstance(value, type) else type(value))
    elif id(value) in seen:
        yield f"object {seen[id(value)][0]}"
    elif depth >= _DEEPEST or len(seen) >= _MOST_OBJECTS:
        yield _name(type(value))
    else:
        seen[id(value)] = (len(seen), value)
        kind, parts = _taken_apart(value)
        yield f"{kind} of {len(parts)}"
        for part in parts:
            yield from _walk(part, seen, depth + 1)


def _taken_apart(value: Any) -> tuple[str, list[Any]]:
    """A name for the kind of an object, and the values that it is made of."""
    kind = _name(type(value))
    if isinstance(value, CodeType):
        return "code", [value.co_code, value.co_names, value.co_consts]
    code = getattr(value, "__code__", None)
    owner = getattr(value, "__self__", None)
    if isinstance(code, CodeType):
        cells = [_cell(cell) for cell in getattr(value, "__closure__", None) or ()]
        return _name(value), [code, value.__defaults__, value.__kwdefaults__, cells, owner]
    if hasattr(value, "__qualname__"):  # a function written in C
        return _name(value), [owner]
    if hasattr(value, "untyped_storage"):  # a tensor
        return kind, [*value.shape, _sample(value).numpy().tobytes()]
    match value:
        case Mapping():
            parts = [part for key in sorted(value, key=digest_of) for part in (key, value[key])]
        case list() | tuple():
            parts = list(value)
        case set() | frozenset():
            parts = sorted(digest_of(entry) for entry in value)
        case _:
            parts = _reduced(value)
    return kind, parts


def _reduced(value: Any) -> list[Any]:
    """What an object is made of, by the protocol of copies and pickles."""
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
    except Exception:  # a class that refuses to be pickled may raise anything
        return [getattr(value, "__dict__", None)]
    if isinstance(parts, str):
        return [parts]
    return [*parts[:3], *(None if part is None else list(part) for part in parts[3:5])]


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
