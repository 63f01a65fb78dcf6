"""LatentSeek for local Hugging Face models, as a LangGraph node and a LangChain Runnable.

Importing this package loads neither torch nor transformers: each name is looked up on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentseek_agents.chat.model import ChatLatentSeek
    from latentseek_agents.config import LatentSeekConfig
    from latentseek_agents.engine._decoding import DecodingOptions
    from latentseek_agents.engine.backbone import Backbone
    from latentseek_agents.errors import (
        BackboneError,
        ConfigError,
        InputError,
        LatentSeekError,
        NonFiniteError,
        VerdictError,
    )
    from latentseek_agents.node import LatentSeekNode
    from latentseek_agents.result import LatentSeekResult
    from latentseek_agents.runnable import LatentSeek
    from latentseek_agents.verdict import Attempt, Check, Prepared, StopReason, Usage, Verdict, Verifier

_HOMES = {
    "Attempt": "verdict",
    "Backbone": "engine.backbone",
    "BackboneError": "errors",
    "ChatLatentSeek": "chat.model",
    "Check": "verdict",
    "ConfigError": "errors",
    "DecodingOptions": "engine._decoding",
    "InputError": "errors",
    "LatentSeek": "runnable",
    "LatentSeekConfig": "config",
    "LatentSeekError": "errors",
    "LatentSeekNode": "node",
    "LatentSeekResult": "result",
    "NonFiniteError": "errors",
    "Prepared": "verdict",
    "StopReason": "verdict",
    "Usage": "verdict",
    "Verdict": "verdict",
    "VerdictError": "errors",
    "Verifier": "verdict",
}

__all__ = [
    "Attempt",
    "Backbone",
    "BackboneError",
    "ChatLatentSeek",
    "Check",
    "ConfigError",
    "DecodingOptions",
    "InputError",
    "LatentSeek",
    "LatentSeekConfig",
    "LatentSeekError",
    "LatentSeekNode",
    "LatentSeekResult",
    "NonFiniteError",
    "Prepared",
    "StopReason",
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
