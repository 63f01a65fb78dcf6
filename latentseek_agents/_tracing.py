"""What a trace shows of a search: each iteration as a run, and no latents."""

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_callback_manager_for_config
from langgraph.types import TracePolicy

__all__ = [
    "HIDDEN_CHANNELS",
    "WITHOUT_LATENTS",
    "arecord_iteration",
    "record_iteration",
    "trace_iteration",
]

HIDDEN_CHANNELS = frozenset({"latents"})
"""Channels that checkpoints hold, and streams, snapshots and traces do not show."""


def _shown(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: entry for name, entry in value.items() if name not in HIDDEN_CHANNELS}


WITHOUT_LATENTS = TracePolicy(process_inputs=_shown, process_outputs=_shown)
"""For a node whose input or output holds latents."""


def trace_iteration(event: Mapping[str, Any], config: RunnableConfig) -> None:
    """Record an iteration as a run below the one that ``config`` belongs to; see :func:`record_iteration`.

    Args:
        event: The progress event.
        config: Of the run that it belongs to.
    """
    record_iteration(event, get_callback_manager_for_config(config))


def record_iteration(event: Mapping[str, Any], manager: CallbackManager) -> None:
    """Record an iteration as a run named ``iteration 3``, with its verdict as metadata.

    The run is written when the verdict is there, since metadata cannot be added later: its place in the
    trace tells when the iteration ended, and not how long it took.

    Args:
        event: The progress event, which becomes the run's output.
        manager: That of its parent's children.
    """
    _started(event, manager).on_chain_end(dict(event))


async def arecord_iteration(event: Mapping[str, Any], manager: AsyncCallbackManager) -> None:
    """As :func:`record_iteration`, in an event loop."""
    run = await _started(event, manager)
    await run.on_chain_end(dict(event))


def _started(event: Mapping[str, Any], manager: CallbackManager | AsyncCallbackManager) -> Any:
    verdict = {name: event[name] for name in ("iteration", "score", "passed", "stop_reason")}
    manager.add_metadata(verdict, inherit=False)
    number = event["iteration"]
    return manager.on_chain_start(None, {"iteration": number}, name=f"iteration {number}")
