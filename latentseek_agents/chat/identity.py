"""What tells one chat model from another in a cache: plain values, no weights, no addresses."""

import hashlib
import json
import threading
import weakref
from collections.abc import Mapping
from types import CodeType
from typing import Any

from latentseek_agents.engine.backbone import Backbone

__all__ = ["described", "fingerprint"]

_fingerprints: "weakref.WeakKeyDictionary[Backbone, str]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_DEEPEST = 6


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


def described(value: Any, depth: int = 0) -> Any:
    """A verifier, or any setting, as plain values: its class and public state, or a function's code.

    Example:
        >>> described(len), described((1, "a", None))
        ('builtins.len', [1, 'a', None])
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Backbone):
        return f"Backbone {fingerprint(value)}"
    if depth >= _DEEPEST or isinstance(value, type):
        return _name(value if isinstance(value, type) else type(value))
    if isinstance(value, Mapping):
        return {str(key): described(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [described(entry, depth + 1) for entry in value]
    if isinstance(value, set | frozenset):
        return sorted(str(described(entry, depth + 1)) for entry in value)
    return _described_object(value, depth)


def _described_object(value: Any, depth: int) -> Any:
    code = getattr(value, "__code__", None)
    if isinstance(code, CodeType):
        cells = [_cell(cell) for cell in getattr(value, "__closure__", None) or ()]
        owner = getattr(value, "__self__", None)
        parts = [_code_digest(code), value.__defaults__, value.__kwdefaults__, cells, owner]
        return [_name(value), *(described(part, depth + 1) for part in parts if part)]
    if hasattr(value, "__qualname__"):  # a function written in C
        return _name(value)
    locks = (type(threading.Lock()), type(threading.RLock()))
    state = {
        name: described(entry, depth + 1)
        for name, entry in getattr(value, "__dict__", {}).items()
        if not isinstance(entry, locks)
    }
    return {"class": _name(type(value)), **state}


def _computed(backbone: Backbone) -> str:
    import torch

    digest = hashlib.blake2b(digest_size=8)
    config = getattr(backbone.model, "config", None)
    settings = config.to_dict() if config is not None else {}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(str(getattr(backbone.tokenizer, "chat_template", None)).encode())
    with torch.no_grad():
        samples = []
        for parameter in backbone.model.parameters():
            flat = parameter.detach().reshape(-1)
            step = max(1, flat.numel() // 16)
            # Quantised weights are bytes, and a number all the same.
            samples.append(flat[::step][:16].to(torch.float32).cpu())
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


def _code_digest(code: CodeType) -> str:
    """The same for the same source: constants may hold code objects, whose text has an address."""
    constants = [_code_digest(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts]
    text = repr((code.co_code, code.co_names, constants))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
