"""Several vLLM engines in one process: they take turns, and only the last one tears down what they share.

vLLM keeps the context of a forward pass, its distributed groups and the settings of the model that is being
made in variables of the process. It expects one engine to a process, or one after the other.
"""

from typing import Any

from latentseek_agents.engine._fair_lock import FairLock

__all__ = ["engines_turn", "shut_down", "started"]

engines_turn = FairLock()
"""Held while an engine is made, runs a step, or is shut down."""

_alive = 0


def started() -> None:
    """Count an engine that is made."""
    global _alive  # noqa: PLW0603 - the state is the process's
    with engines_turn:
        _alive += 1


def shut_down(engine: Any) -> None:
    """Give back what an engine holds; and with the last one what all of them share.

    Args:
        engine: A ``LLMEngine`` in this process that :func:`started` has counted.
    """
    global _alive  # noqa: PLW0603
    with engines_turn:
        _alive -= 1
        if not _alive:
            engine.engine_core.shutdown()
            return
        # As its shutdown does, but without the part that would take the other engines' groups away.
        engine.engine_core._finalizer.detach()
        engine.model_executor.shutdown()
