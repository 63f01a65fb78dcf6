"""What a trace shows of a search: each iteration as a run, and no latents."""

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_callback_manager_for_config
from langgraph.types import TracePolicy

__all__ = ["HIDDEN_CHANNELS", "WITHOUT_LATENTS", "trace_iteration"]

HIDDEN_CHANNELS = frozenset({"search"})
"""Channels that checkpoints hold, and streams, snapshots and traces do not show."""


def _shown(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: entry for name, entry in value.items() if name not in HIDDEN_CHANNELS}


WITHOUT_LATENTS = TracePolicy(process_inputs=_shown, process_outputs=_shown)
"""For a node whose input or output holds latents."""


def trace_iteration(event: Mapping[str, Any], config: RunnableConfig) -> None:
    """Record an iteration as a run named ``iteration 3``, with its verdict as metadata.

    The run is written when the verdict is there, since metadata cannot be added later: its place in the
    trace tells when the iteration ended, and not how long it took.

    Args:
        event: The progress event, which becomes the run's output.
        config: Of the run that it belongs to.
    """
    manager = get_callback_manager_for_config(config)
    shown = ("iteration", "score", "passed", "stop_reason")
    manager.add_metadata({name: event[name] for name in shown}, inherit=False)
    run = manager.on_chain_start(
        None, {"iteration": event["iteration"]}, name=f"iteration {event['iteration']}"
    )
    run.on_chain_end(dict(event))
