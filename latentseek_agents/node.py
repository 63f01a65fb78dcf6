"""A latent search as a node of your own LangGraph graph."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import Runtime, get_runtime

from latentseek_agents._inputs import checked_reference, question_in
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.graphs.refine import create_refine_graph, supersteps
from latentseek_agents.graphs.state import RefineInput, config_for
from latentseek_agents.result import Outcome
from latentseek_agents.verdict import VerifierLike

__all__ = ["LatentSeekNode"]


class LatentSeekNode(Runnable[Any, dict[str, Any]]):
    """Drop it into any ``StateGraph``: ``builder.add_node("seek", LatentSeekNode(backbone))``.

    The node runs the refinement loop as an inner graph. If your graph has a checkpointer, each step of the
    search is checkpointed with it, and a run that was killed resumes in the middle of the search. The
    events of :func:`~latentseek_agents.graphs.refine.create_refine_graph` appear in your graph's
    ``stream_mode="custom"``. Under ``ainvoke`` and ``astream`` the event loop stays free, and a cancelled
    task stops the decoding at the next token.

    Reads:
        ``state[question_key]``, a string; or, if the state has no such key, the conversation in
        ``state["messages"]``. ``state[reference_key]`` if it is there.

    Writes (LangGraph drops what your state does not declare):
        ``answer_key``: the final answer, or the whole text if it states none.
        ``passed_key``, ``score_key``: the verdict, to route on.
        ``result_key``: everything, as in the refine graph's output (only if you name a key).
        ``messages_key``: the text as an ``AIMessage`` (only if the question came from the messages).

    Args:
        backbone: The frozen policy.
        verifier: The reward; by default the step checker, in a search for agreement beside a program for the
            question.
        config: Settings; by default those of ``LatentSeekConfig.agreement()``.
        question_key: Where the question is.
        answer_key: Where the answer goes.
        reference_key: Where the known answer is, for verifiers that compare with it.
        passed_key: Where ``passed`` goes; None writes it nowhere.
        score_key: Where the score goes; None writes it nowhere.
        result_key: Where the full result goes; None writes it nowhere.
        messages_key: Where the conversation is.

    Raises:
        InputError: The state has neither a question nor messages; the message lists its keys.

    Example:
        >>> from langgraph.graph import START, StateGraph
        >>> from typing_extensions import TypedDict
        >>> from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
        >>> class State(TypedDict):
        ...     question: str
        ...     answer: str
        ...     passed: bool
        >>> config = LatentSeekConfig(max_new_tokens=8)
        >>> builder = StateGraph(State)
        >>> node = LatentSeekNode(tiny_backbone(), verifier=ScriptedVerifier([0]), config=config)
        >>> _ = builder.add_node("seek", node).add_edge(START, "seek")
        >>> builder.compile().invoke({"question": "What is 2 + 2?"})["passed"]
        True
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        verifier: VerifierLike | None = None,
        config: LatentSeekConfig | None = None,
        question_key: str = "question",
        answer_key: str = "answer",
        reference_key: str = "reference",
        passed_key: str | None = "passed",
        score_key: str | None = "score",
        result_key: str | None = None,
        messages_key: str = "messages",
    ) -> None:
        self.config = config or LatentSeekConfig.agreement()
        self.question_key = question_key
        self.answer_key = answer_key
        self.reference_key = reference_key
        self.passed_key = passed_key
        self.score_key = score_key
        self.result_key = result_key
        self.messages_key = messages_key
        # No checkpointer of its own: the inner graph inherits the one of the graph it stands in.
        self._graph = create_refine_graph(backbone, verifier=verifier, config=self.config).compile()

    def __call__(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Search, relay the progress, and return the keys described above."""
        refine_input, from_messages = self._input(state)
        result: dict[str, Any] = {}
        for mode, chunk in self._graph.stream(
            refine_input, self._limit(runtime), stream_mode=["custom", "values"]
        ):
            result = _relayed(mode, chunk, runtime, result)
        return self._update(result, from_messages)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """As a node: ``input`` is the state, the runtime is that of the run."""
        return self(input, get_runtime())

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """As :meth:`invoke`; the event loop stays free."""
        runtime: Runtime[Any] = get_runtime()
        refine_input, from_messages = self._input(input)
        result: dict[str, Any] = {}
        async for mode, chunk in self._graph.astream(
            refine_input, self._limit(runtime), stream_mode=["custom", "values"]
        ):
            result = _relayed(mode, chunk, runtime, result)
        return self._update(result, from_messages)

    def _input(self, state: Any) -> tuple[RefineInput, bool]:
        values = _values(state)
        question, from_messages = question_in(values, self.question_key, self.messages_key)
        reference = checked_reference(values.get(self.reference_key))
        return {"question": question, "reference": reference}, from_messages

    def _limit(self, runtime: Runtime[Any]) -> RunnableConfig:
        """The caller's recursion limit may be as low as 25; this loop has bounds of its own."""
        return {"recursion_limit": supersteps(config_for(self.config, runtime))}

    def _update(self, result: dict[str, Any], from_messages: bool) -> dict[str, Any]:
        written = {self.answer_key: result["text"] if result["answer"] is None else result["answer"]}
        if from_messages:
            about = {name: result[name] for name in ("score", "passed", "stop_reason")}
            written[self.messages_key] = [AIMessage(result["text"], response_metadata=about)]
        if self.passed_key is not None:
            written[self.passed_key] = result["passed"]
        if self.score_key is not None:
            written[self.score_key] = result["score"]
        if self.result_key is not None:
            names = [name for name in Outcome.__annotations__ if name != "question"]
            written[self.result_key] = {name: result[name] for name in names}
        return written


def _relayed(mode: str, chunk: Any, runtime: Runtime[Any], result: dict[str, Any]) -> dict[str, Any]:
    """Pass a progress event on; the state so far."""
    if mode == "custom":
        runtime.stream_writer(chunk)
    elif isinstance(chunk, dict):
        return chunk
    return result


def _values(state: Any) -> Mapping[str, Any]:
    """A state as a mapping: a TypedDict is one, a dataclass or a pydantic model is made one."""
    if isinstance(state, Mapping):
        return state
    if is_dataclass(state) and not isinstance(state, type):
        return {field.name: getattr(state, field.name) for field in fields(state)}
    return dict(state)
