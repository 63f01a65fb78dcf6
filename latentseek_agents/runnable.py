"""A latent search as a LangChain Runnable: ``prompt | LatentSeek(backbone) | parser``."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.errors import GraphBubbleUp

from latentseek_agents._background import in_thread
from latentseek_agents._inputs import question_and_reference
from latentseek_agents._tracing import trace_iteration
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.loop import Search, SearchState, draft, run
from latentseek_agents.result import LatentSeekResult
from latentseek_agents.verdict import VerifierLike

__all__ = ["LatentSeek", "LatentSeekResult"]


class LatentSeek(Runnable[Any, LatentSeekResult]):
    """Draft, verify and refine an answer to one question.

    Input: a string, messages, a prompt value, or ``{"question": ..., "reference": ...}``.
    ``stream`` and ``astream`` yield a :class:`LatentSeekResult` after every iteration: the best so far; the
    last one is the result. ``astream_events`` shows each iteration as a custom event
    ``"latentseek_iteration"``, with the data of
    :func:`~latentseek_agents.graphs.refine.create_refine_graph`, and a trace as a run ``"iteration 3"``
    with its score as metadata. A cancelled task stops the decoding at the next token.

    A call may change settings: ``seek.invoke(question, max_iterations=3)``, in a chain
    ``seek.bind(max_iterations=3)``. Copies share the model and the verifier.

    Args:
        backbone: The frozen policy.
        verifier: The reward; by default the step checker, in a search for agreement beside a program for the
            question.
        config: Settings; by default those of ``LatentSeekConfig.agreement()``.
        on_token: Called with each token id that the policy's layers write; the tokens that the latents
            decide are not announced.

    Example:
        >>> from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
        >>> config = LatentSeekConfig(max_new_tokens=8, fraction=0.5)
        >>> seek = LatentSeek(tiny_backbone(), verifier=ScriptedVerifier([-1, 0]), config=config)
        >>> result = seek.invoke("What is 2 + 2?")
        >>> result.score, result.stop_reason, len(result.iterations)
        (0.0, 'passed', 2)
    """

    def __init__(
        self,
        backbone: Backbone,
        verifier: VerifierLike | None = None,
        config: LatentSeekConfig | None = None,
        *,
        on_token: Callable[[int], None] | None = None,
    ) -> None:
        self._plan = Search(backbone, verifier, config, on_token=on_token, control_flow=(GraphBubbleUp,))
        self.backbone = backbone
        self.config = self._plan.config

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> LatentSeekResult:
        """Search until the verifier passes or the budget is spent."""
        return self._call_with_config(self._search, input, config, **kwargs)

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> LatentSeekResult:
        """As :meth:`invoke`; the event loop stays free."""
        return await self._acall_with_config(self._asearch, input, config, **kwargs)

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[LatentSeekResult]:
        """The best so far after every iteration."""
        yield from self._transform_stream_with_config(iter([input]), self._transform, config, **kwargs)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[LatentSeekResult]:
        """As :meth:`stream`; the event loop stays free."""

        async def inputs() -> AsyncIterator[Any]:
            yield input

        stream = self._atransform_stream_with_config(inputs(), self._atransform, config, **kwargs)
        async for snapshot in stream:
            yield snapshot

    def __deepcopy__(self, memo: dict[int, Any]) -> "LatentSeek":
        """A search of its own with the same model and verifier, which often holds the model."""
        plan = self._plan
        return type(self)(plan.backbone, plan.verifier, plan.config, on_token=plan.on_token)

    def _search(
        self, input: Any, run_manager: Any, config: RunnableConfig, **changes: Any
    ) -> LatentSeekResult:
        *_, last = self._snapshots(input, config, changes)
        return last

    async def _asearch(
        self, input: Any, run_manager: Any, config: RunnableConfig, **changes: Any
    ) -> LatentSeekResult:
        *_, last = [snapshot async for snapshot in self._asnapshots(input, config, changes)]
        return last

    def _transform(
        self, inputs: Iterator[Any], run_manager: Any, config: RunnableConfig, **changes: Any
    ) -> Iterator[LatentSeekResult]:
        for input in inputs:
            yield from self._snapshots(input, config, changes)

    async def _atransform(
        self, inputs: AsyncIterator[Any], run_manager: Any, config: RunnableConfig, **changes: Any
    ) -> AsyncIterator[LatentSeekResult]:
        async for input in inputs:
            async for snapshot in self._asnapshots(input, config, changes):
                yield snapshot

    def _snapshots(
        self, input: Any, config: RunnableConfig, changes: Mapping[str, Any]
    ) -> Iterator[LatentSeekResult]:
        events: list[dict[str, Any]] = []
        for state in self._states(input, events, config, changes):
            for event in _drained(events):
                dispatch_custom_event(event["type"], event, config=config)
            yield LatentSeekResult.from_state(state, backbone=self.backbone)

    async def _asnapshots(
        self, input: Any, config: RunnableConfig, changes: Mapping[str, Any]
    ) -> AsyncIterator[LatentSeekResult]:
        events: list[dict[str, Any]] = []
        states = self._states(input, events, config, changes)
        while (state := await in_thread(lambda: next(states, None))) is not None:
            for event in _drained(events):
                await adispatch_custom_event(event["type"], event, config=config)
            yield LatentSeekResult.from_state(state, backbone=self.backbone)

    def _states(
        self, input: Any, events: list[dict[str, Any]], config: RunnableConfig, changes: Mapping[str, Any]
    ) -> Iterator[SearchState]:
        """The loop, with each iteration traced and appended to ``events``."""
        search = self._plan.configured(self.config.replace(**changes)) if changes else self._plan

        def record(event: dict[str, Any]) -> None:
            events.append(event)
            trace_iteration(event, config)

        yield from run(search, draft(search, *question_and_reference(input)), on_event=record)


def _drained(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    taken = events.copy()
    events.clear()
    return taken
