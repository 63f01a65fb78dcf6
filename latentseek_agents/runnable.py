"""A latent search as a LangChain Runnable: ``prompt | LatentSeek(backbone) | parser``."""

import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, Self

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables import Runnable, RunnableConfig

from latentseek_agents._background import in_thread
from latentseek_agents._inputs import question_and_reference
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.graphs.decisions import best_attempt
from latentseek_agents.graphs.refine_nodes import RefineNodes
from latentseek_agents.verdict import Attempt, StopReason, Usage, Verifier

__all__ = ["LatentSeek", "LatentSeekResult"]


@dataclass(frozen=True)
class LatentSeekResult:
    """What a search found.

    Args:
        question: What was asked.
        answer: The final answer found in ``text``; None if it states none.
        text: The whole solution that is returned.
        score: Its score in [-1, 0].
        passed: Whether it was accepted; None if it could not be judged.
        reason: The verdict in words.
        stop_reason: ``"passed"``, ``"iterations"``, ``"seconds"``, ``"tokens"`` or ``"unjudged"``; None in
            a snapshot from ``stream`` while the search goes on.
        iterations: Every attempt; the first is the draft.
        usage: Costs, the policy's and the verifier's apart.
    """

    question: str
    answer: str | None
    text: str
    score: float | None
    passed: bool | None
    reason: str
    stop_reason: StopReason | None
    iterations: list[Attempt]
    usage: Usage

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        *,
        keep: Literal["best", "last", "vote"] = "best",
        backbone: Backbone | None = None,
    ) -> Self:
        """From the refine graph's state, finished or not.

        Args:
            state: With at least one iteration.
            keep: ``LatentSeekConfig.keep``, which attempt to show.
            backbone: What wrote it, so that a notebook can show the tokens. It is not kept alive for that,
                and copies and pickles of the result do not know it.
        """
        iterations = [Attempt.from_dict(entry) for entry in state["iterations"]]
        chosen = best_attempt(iterations, keep)
        result = cls(
            question=state["question"],
            answer=chosen.answer,
            text=chosen.text,
            score=chosen.score,
            passed=chosen.passed,
            reason=chosen.reason,
            stop_reason=state["stop_reason"],
            iterations=iterations,
            usage=Usage.from_dict(state["usage"]),
        )
        if backbone is not None:
            object.__setattr__(result, "_backbone", weakref.ref(backbone))
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON or a LangGraph state."""
        return asdict(self)

    def to_html(self, decode: Callable[[list[int]], str] | None = None) -> str:
        """The search as one self-contained HTML page; see :func:`~latentseek_agents._html.html_page`.

        Args:
            decode: Token ids to text, such as ``backbone.decode``. By default that of the backbone that
                searched, if it is still there; otherwise the tokens at the latents are not shown.
        """
        from latentseek_agents._html import html_page

        return html_page([self], decode or self._decode())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from latentseek_agents._html import html_fragment

        return html_fragment([self], self._decode())

    def _decode(self) -> Callable[[list[int]], str] | None:
        backbone = self.__dict__.get("_backbone", lambda: None)()
        return None if backbone is None else partial(backbone.decode, skip_special_tokens=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_backbone"}

    def __add__(self, later: "LatentSeekResult") -> "LatentSeekResult":
        """The later snapshot: LangChain adds up what a stream yields."""
        return later


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
        verifier: The reward; by default a :class:`~latentseek_agents.tools.steps.StepVerifier`.
        config: Settings.
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
        verifier: Verifier | Callable[..., Any] | None = None,
        config: LatentSeekConfig | None = None,
        *,
        on_token: Callable[[int], None] | None = None,
    ) -> None:
        self._nodes = RefineNodes(backbone, verifier, config, on_token)
        self.backbone = backbone
        self.config = self._nodes.config

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
        nodes = self._nodes
        return type(self)(nodes.backbone, nodes.verifier, nodes.config, on_token=nodes.on_token)

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

    def _changed(self, changes: Mapping[str, Any]) -> RefineNodes:
        """The nodes with the settings that one call asks for."""
        if not changes:
            return self._nodes
        nodes = self._nodes
        return RefineNodes(nodes.backbone, nodes.verifier, nodes.config.replace(**changes), nodes.on_token)

    def _result(self, state: Mapping[str, Any], nodes: RefineNodes) -> LatentSeekResult:
        return LatentSeekResult.from_state(state, keep=nodes.config.keep, backbone=nodes.backbone)

    def _snapshots(
        self, input: Any, config: RunnableConfig, changes: Mapping[str, Any]
    ) -> Iterator[LatentSeekResult]:
        nodes = self._changed(changes)
        events: list[dict[str, Any]] = []
        for state in nodes.loop(*question_and_reference(input), events.append, config):
            for event in _drained(events):
                dispatch_custom_event(event["type"], event, config=config)
            yield self._result(state, nodes)

    async def _asnapshots(
        self, input: Any, config: RunnableConfig, changes: Mapping[str, Any]
    ) -> AsyncIterator[LatentSeekResult]:
        nodes = self._changed(changes)
        events: list[dict[str, Any]] = []
        states = nodes.loop(*question_and_reference(input), events.append, config)
        while (state := await in_thread(lambda: next(states, None))) is not None:
            for event in _drained(events):
                await adispatch_custom_event(event["type"], event, config=config)
            yield self._result(state, nodes)


def _drained(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    taken = events.copy()
    events.clear()
    return taken
