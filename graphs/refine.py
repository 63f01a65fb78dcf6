"""The search as a graph: draft → verify → (refine → verify)* → END, one node for each step of the loop."""

from collections.abc import Callable
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from latentseek_agents import loop
from latentseek_agents._background import NodeFunction, StoppableNode
from latentseek_agents._inputs import checked_reference, question_in
from latentseek_agents._tracing import HIDDEN_CHANNELS, WITHOUT_LATENTS, trace_iteration
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.graphs.announcements import announce_step, announced
from latentseek_agents.graphs.state import (
    RefineContext,
    RefineInput,
    RefineOutput,
    RefineState,
    VerifyInput,
    config_for,
)
from latentseek_agents.verdict import VerifierLike

__all__ = ["create_refine_graph", "refine_graph", "supersteps"]

RefineGraph = StateGraph[RefineState, RefineContext, RefineInput, RefineOutput]

# Steps that must be left to go on: ``refine``, ``verify``, and LangGraph's own that finds nothing left.
STEPS_NEEDED = 3


def supersteps(config: LatentSeekConfig) -> int:
    """A recursion limit that is never reached: two steps an iteration, those around them, and some to spare.

    Example:
        >>> supersteps(LatentSeekConfig(max_iterations=10))
        30
    """
    return 2 * config.max_iterations + 10


def create_refine_graph(
    backbone: Backbone,
    *,
    verifier: VerifierLike | None = None,
    config: LatentSeekConfig | None = None,
    on_token: Callable[[int], None] | None = None,
) -> RefineGraph:
    """Build the refinement loop as an uncompiled graph; ``compile(checkpointer=...)`` is yours.

    ``draft`` writes a chain of thought and takes its latents. ``verify`` judges it. While it does not pass
    and budget is left, ``refine`` moves the latents once and writes again. The best attempt is returned. With
    ``LatentSeekConfig.agreement()`` the search ends when the attempts agree, and the winner of their vote is
    returned.

    Each iteration is announced in ``stream_mode="custom"`` as a dict of plain values::

        {"type": "latentseek_iteration", "iteration": 1, "max_iterations": 10, "score": -0.5,
         "passed": False, "reason": "...", "answer": "5", "thinking": "", "text": "...",
         "finish_reason": "stop", "changed": [0, 3], "aimed_at": None, "latents": ["To", " solve", ...],
         "votes": [], "stop_reason": None, "seconds": 1.5}

    With ``aim="first_error"`` an attempt that was written from a refuted step on says so in ``aimed_at``, see
    :class:`~latentseek_agents.verdict.Attempt`.
    The last one has a ``stop_reason``, unless the clock cuts an iteration short: that one is dropped.
    A run with ``RefineContext(stream_text=True)`` is also told the text as it is written, see
    :mod:`~latentseek_agents.graphs.announcements`.

    LangGraph counts two steps per iteration against the recursion limit, which inside a chain is 25 unless
    you set it. If it is too low for ``max_iterations``, the search ends early, with its best attempt and a
    warning. A checkpointer stores the latents with every step: about 12 m d bytes, for
    consistent latents (12 + 4 M) m d with M samples, twice per iteration (m = 60, d = 1536, independent:
    2 MB). Delete finished threads, or use ``durability="exit"`` to store the end only.

    Args:
        backbone: The frozen policy.
        verifier: The reward; by default the step checker, in a search for agreement beside a program for the
            question.
        config: Settings; by default those of ``LatentSeekConfig.agreement()``.
        on_token: Called with each token id that the policy's layers write; the tokens that the latents
            decide are not announced.

    Returns:
        Graph with state keys ``question, reference, answer, text, score, passed, reason, stop_reason,
        iterations, usage, votes`` and its private ``model, prepared, samples, chosen, latents``.

    Raises:
        BackboneError: ``backbone`` is no backbone.
        ConfigError: ``config`` is no configuration, or ``verifier`` cannot be called as one.

    Example:
        >>> from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
        >>> config = LatentSeekConfig(max_new_tokens=8, fraction=0.5, max_iterations=2)
        >>> graph = create_refine_graph(tiny_backbone(), verifier=ScriptedVerifier([-1, 0]), config=config)
        >>> result = graph.compile().invoke({"question": "What is 2 + 2?"})
        >>> result["passed"], result["stop_reason"], len(result["iterations"])
        (True, 'passed', 2)
    """
    search = loop.Search(backbone, verifier, config, on_token=on_token, control_flow=(GraphBubbleUp,))
    return refine_graph(lambda _: search, RefineContext)


def refine_graph(
    search_for: Callable[[Runtime[Any]], loop.Search], context_schema: type[RefineContext]
) -> RefineGraph:
    """The graph, with a search that is looked up in each step.

    Args:
        search_for: The search to run, given the runtime of the run.
        context_schema: What one run may change.
    """

    def configured(runtime: Runtime[Any]) -> loop.Search:
        search = search_for(runtime)
        return search.configured(config_for(search.config, runtime))

    def draft(state: RefineInput, runtime: Runtime[Any], _: RunnableConfig) -> loop.SearchState:
        question, _from_messages = question_in(state)
        search = configured(runtime)
        with announced(search, runtime, "draft", 0) as heard:
            drafted = loop.draft(heard, question, checked_reference(state.get("reference")))
        announce_step(runtime, "prepare", 0)
        # In this node, so that a verifier that interrupts or is resumed has not to prepare again.
        return {**drafted, **loop.prepare(search, drafted)}

    def verify(state: VerifyInput, runtime: Runtime[Any], trace: RunnableConfig) -> loop.SearchState:
        search = configured(runtime)
        limit = "" if state["remaining_steps"] >= STEPS_NEEDED else _limit_advice(search.config)
        announce_step(runtime, "judge", state["samples"][0]["iteration"])
        update, event = loop.judge(search, state, last=limit)
        if event is not None:
            runtime.stream_writer(event)
            trace_iteration(event, trace)
        return update

    def refine(state: RefineState, runtime: Runtime[Any], _: RunnableConfig) -> loop.SearchState:
        iteration = state["samples"][0]["iteration"] + 1
        with announced(configured(runtime), runtime, "refine", iteration) as search:
            return loop.refine(search, state)

    builder = _RefineGraph(
        RefineState, context_schema=context_schema, input_schema=RefineInput, output_schema=RefineOutput
    )
    steps: list[tuple[str, NodeFunction, type[Any]]] = [
        ("draft", draft, RefineInput),
        ("verify", verify, VerifyInput),
        ("refine", refine, RefineState),
    ]
    for name, function, reads in steps:
        builder.add_node(name, StoppableNode(function), input_schema=reads, trace_policy=WITHOUT_LATENTS)
    builder.add_edge(START, "draft")
    builder.add_edge("draft", "verify")
    builder.add_conditional_edges("verify", _next, ["refine", END])
    builder.add_edge("refine", "verify")
    return builder


class _RefineGraph(RefineGraph):
    def compile(
        self, *args: Any, **kwargs: Any
    ) -> CompiledStateGraph[RefineState, RefineContext, RefineInput, RefineOutput]:
        compiled = super().compile(*args, **kwargs)
        # All that is streamed, traced or shown of a state; checkpoints hold every channel.
        compiled.stream_channels = [
            name for name in compiled.stream_channels_list if name not in HIDDEN_CHANNELS
        ]
        return compiled


def _next(state: VerifyInput) -> Literal["refine", "__end__"]:
    return "refine" if state["stop_reason"] is None else "__end__"


def _limit_advice(config: LatentSeekConfig) -> str:
    return (
        "the recursion limit leaves no room for another; "
        f"invoke the graph with a recursion_limit of at least {2 * config.max_iterations + 3}"
    )
