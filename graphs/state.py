"""What the graphs read and write, and what one run may change of the settings."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from langgraph.managed import RemainingSteps
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.result import JudgedState, Outcome, SearchState

__all__ = ["RefineContext", "RefineInput", "RefineOutput", "RefineState", "config_for"]

RefineOutput = Outcome
"""What comes out: the attempt that is returned, all attempts, and the costs."""


class RefineInput(TypedDict, total=False):
    """What goes in."""

    question: str
    """What to solve."""
    reference: str | None
    """The known answer, for verifiers that compare with it."""


class VerifyInput(JudgedState, total=False):
    """What ``verify`` reads: no latents, which would show up in streams of tasks."""

    remaining_steps: RemainingSteps
    """What LangGraph's recursion limit leaves; managed by LangGraph, never stored."""


class RefineState(SearchState, total=False):
    """The graph's state: only plain values and bytes, so that any checkpointer can hold it."""

    remaining_steps: RemainingSteps


@dataclass(frozen=True, kw_only=True)
class RefineContext:
    """Settings that one run may change: ``graph.invoke(..., context=RefineContext(max_iterations=3))``.

    Each but the last is as in :class:`~latentseek_agents.config.LatentSeekConfig`; None leaves what the graph
    has.
    Give a resumed run the same context.
    """

    learning_rate: float | None = None
    max_iterations: int | None = None
    max_new_tokens: int | None = None
    max_seconds: float | None = None
    max_total_tokens: int | None = None
    proposals: Literal["latents", "samples"] | None = None
    reward_threshold: float | None = None
    seed: int | None = None
    stream_text: bool = False
    """No setting of the search: ``stream_mode="custom"`` also tells what is being done and the text as it is
    written, see :mod:`latentseek_agents.graphs.announcements`."""

    def apply(self, config: LatentSeekConfig) -> LatentSeekConfig:
        """The configuration with these changes, validated."""
        names = [f.name for f in fields(RefineContext) if f.name in LatentSeekConfig.model_fields]
        changes = {name: getattr(self, name) for name in names}
        return config.replace(**{name: value for name, value in changes.items() if value is not None})


def config_for(config: LatentSeekConfig, runtime: Runtime[Any]) -> LatentSeekConfig:
    """The configuration with what this run changes of it."""
    # Inside another graph this is that graph's context, which may be anything.
    context = runtime.context
    return context.apply(config) if isinstance(context, RefineContext) else config
