"""Models that chat models name: loaded on first use, once per process."""

import threading
import weakref
from collections.abc import Mapping
from typing import Any

from latentseek_agents.engine.backbone import Backbone

_lock = threading.Lock()
_alive: "weakref.WeakValueDictionary[str, Backbone]" = weakref.WeakValueDictionary()
# Copies of a chat model that live for one call (configurable_fields makes such) must not each load it again.
_last: list[Backbone] = []


def loaded_backbone(name: str, options: Mapping[str, Any]) -> Backbone:
    """The model of this name; chat models with the same name and options share it.

    The last one stays loaded; the others are freed with the last chat model that uses them.

    Args:
        name: As for ``Backbone.from_pretrained``.
        options: Its other arguments.

    Raises:
        BackboneError: It cannot be loaded.
    """
    key = f"{name} {sorted(options.items(), key=str)}"
    with _lock:
        backbone = _alive.get(key)
        if backbone is None:
            backbone = Backbone.from_pretrained(name, **options)
            _alive[key] = backbone
        _last[:] = [backbone]
    return backbone
