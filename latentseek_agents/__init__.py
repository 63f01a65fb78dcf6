"""LatentSeek for local Hugging Face models, as a LangGraph node and a LangChain Runnable.

Importing this package loads neither torch nor transformers: each name is looked up on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentseek_agents.chat.model import ChatLatentSeek
    from latentseek_agents.engine.backbone import Backbone
    from latentseek_agents.engine.config import LatentSeekConfig
    from latentseek_agents.engine.errors import (
        BackboneError,
        ConfigError,
        InputError,
        LatentSeekError,
        NonFiniteError,
        VerdictError,
    )
    from latentseek_agents.engine.verdict import Attempt, Check, Usage, Verdict, Verifier
    from latentseek_agents.node import LatentSeekNode
    from latentseek_agents.runnable import LatentSeek, LatentSeekResult

_HOMES = {
    "Attempt": "engine.verdict",
    "Backbone": "engine.backbone",
    "BackboneError": "engine.errors",
    "ChatLatentSeek": "chat.model",
    "Check": "engine.verdict",
    "ConfigError": "engine.errors",
    "InputError": "engine.errors",
    "LatentSeek": "runnable",
    "LatentSeekConfig": "engine.config",
    "LatentSeekError": "engine.errors",
    "LatentSeekNode": "node",
    "LatentSeekResult": "runnable",
    "NonFiniteError": "engine.errors",
    "Usage": "engine.verdict",
    "Verdict": "engine.verdict",
    "VerdictError": "engine.errors",
    "Verifier": "engine.verdict",
}

__all__ = [
    "Attempt",
    "Backbone",
    "BackboneError",
    "ChatLatentSeek",
    "Check",
    "ConfigError",
    "InputError",
    "LatentSeek",
    "LatentSeekConfig",
    "LatentSeekError",
    "LatentSeekNode",
    "LatentSeekResult",
    "NonFiniteError",
    "Usage",
    "Verdict",
    "VerdictError",
    "Verifier",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
