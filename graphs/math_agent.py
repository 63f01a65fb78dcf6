"""A math agent: the model reasons and may compute with tools; its conclusion is checked and refined."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from latentseek_agents._background import NodeFunction, StoppableNode
from latentseek_agents._inputs import checked_reference
from latentseek_agents._search import Search, checked_backbone
from latentseek_agents.chat._loaded import loaded_backbone
from latentseek_agents.chat.model import ChatLatentSeek
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import choose, spent_budget, stop_reason
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.graphs.refine import create_refine_graph, supersteps
from latentseek_agents.graphs.state import RefineContext, RefineInput, RefineOutput, config_for
from latentseek_agents.thoughts import split_thoughts
from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.tools.langchain_tools import MATH_TOOLS
from latentseek_agents.verdict import Attempt, Usage, VerifierLike, prepared_answer

__all__ = ["MathAgentInput", "MathAgentNodes", "MathAgentState", "create_math_agent", "math_agent_graph"]

_TOOL_ROUNDS = 4
_SHORTEST_SECONDS = 1e-3  # for a model whose time is up: it writes one token
# At the end of a run: the thread's next question must not be compared with this one's reference.
_NO_REFERENCE = {"reference": None}
_SYSTEM = (
    "You solve a mathematical question. You may use the tools to compute exactly. Show each step as an "
    "equation, and end with the final answer in \\boxed{}."
)


class MathAgentInput(TypedDict, total=False):
    """What goes in: a question, or messages whose last human one is the question."""

    question: str
    reference: str | None
    messages: Annotated[list[AnyMessage], add_messages]


class MathAgentState(RefineOutput, total=False):
    """The agent's state, which is also what comes out.

    The first of ``iterations`` is the solution that the model reached by itself; ``usage`` counts it as well.
    """

    reference: str | None
    messages: Annotated[list[AnyMessage], add_messages]
    began: int
    """How many messages there were when the agent set to work; those behind them are its own."""


def create_math_agent(
    model: "Backbone | BaseChatModel",
    *,
    backbone: Backbone | None = None,
    verifier: VerifierLike | None = None,
    config: LatentSeekConfig | None = None,
    tools: Sequence[BaseTool] = MATH_TOOLS,
    max_tool_rounds: int = _TOOL_ROUNDS,
    system_prompt: str = _SYSTEM,
) -> "StateGraph[MathAgentState, None, MathAgentInput, MathAgentState]":
    """Build the agent as an uncompiled graph.

    ``reason`` lets the chat model think and call ``tools``, for at most ``max_tool_rounds`` rounds. ``check``
    judges the solution that it ends with. If that does not pass, ``refine`` runs the latent search on the
    question together with what the tools computed, and the best of all attempts is returned. A model that
    calls no tools just gets no results: its solution is checked and refined all the same.

    Args:
        model: A backbone, which becomes a ``ChatLatentSeek``; or a chat model of yours that can bind tools.
        backbone: What the search runs on; needed if ``model`` is a chat model that is no ``ChatLatentSeek``.
        verifier: The judge; by default the step checker, in a search for agreement beside a program for the
            question.
        config: Settings of the search; by default those of ``LatentSeekConfig.agreement()``. Its budgets of
            seconds and tokens are those of a whole run. When they are used up the model must conclude; a chat
            model of ours is stopped then in the midst of it.
        tools: What the model may call; by default ``calculate``, ``solve_equation``, ``check_math_steps``
            and ``check_answer``.
        max_tool_rounds: Rounds of calls after which the model must conclude.
        system_prompt: What the model reads first, unless there is a system message in the conversation. It
            stays out of the state, and so out of the conversation of a graph around the agent.

    Returns:
        A graph that takes ``{"question": ...}`` or ``{"messages": [...]}`` and gives ``answer, text, score,
        passed, reason, stop_reason, iterations, usage`` and the conversation, whose last message is the
        solution.

    Raises:
        BackboneError: There is no backbone to search with.
        ConfigError: A setting is out of range, or ``verifier`` cannot be called as one.

    Example:
        >>> from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
        >>> config = LatentSeekConfig(max_new_tokens=8)
        >>> agent = create_math_agent(
        ...     tiny_backbone(max_position_embeddings=8192), verifier=ScriptedVerifier([0]), config=config
        ... )
        >>> result = agent.compile().invoke({"question": "What is 2 + 2?"})
        >>> result["passed"], result["stop_reason"], len(result["iterations"])
        (True, 'passed', 1)
    """
    nodes = MathAgentNodes(
        model,
        backbone,
        verifier,
        config,
        tools=tools,
        max_tool_rounds=max_tool_rounds,
        system_prompt=system_prompt,
    )
    return math_agent_graph(lambda _: nodes, None, tools=tools, max_tool_rounds=max_tool_rounds)


def math_agent_graph(
    nodes: "Callable[[Runtime[Any]], MathAgentNodes]",
    context_schema: type[Any] | None,
    *,
    tools: Sequence[BaseTool] = MATH_TOOLS,
    max_tool_rounds: int = _TOOL_ROUNDS,
) -> "StateGraph[MathAgentState, Any, MathAgentInput, MathAgentState]":
    """The agent's graph, with nodes that are looked up in each step.

    Args:
        nodes: What to run, given the runtime of the run.
        context_schema: What one run may change.
        tools: As the nodes have them.
        max_tool_rounds: As the nodes have them.
    """

    def after_reason(state: MathAgentState) -> Literal["tools", "check"]:
        last = state["messages"][-1]
        called = isinstance(last, AIMessage) and last.tool_calls
        return "tools" if called and _rounds(state) <= max_tool_rounds else "check"

    builder = StateGraph(MathAgentState, input_schema=MathAgentInput, context_schema=context_schema)
    parts: dict[str, NodeFunction] = {
        "begin": lambda state, runtime, _: nodes(runtime).begin(state),
        "reason": lambda state, runtime, _: nodes(runtime).reason(state, runtime),
        "check": lambda state, runtime, _: nodes(runtime).check(state, runtime),
        "refine": lambda state, runtime, _: nodes(runtime).refine(state, runtime),
    }
    for name, function in parts.items():
        builder.add_node(name, StoppableNode(function))
    builder.add_edge(START, "begin")
    builder.add_edge("begin", "reason")
    if tools:
        builder.add_node("tools", ToolNode(list(tools), handle_tool_errors=True))
        builder.add_conditional_edges("reason", after_reason, ["tools", "check"])
        builder.add_edge("tools", "reason")
    else:
        builder.add_edge("reason", "check")
    builder.add_conditional_edges("check", _after_check, ["refine", END])
    builder.add_edge("refine", END)
    return builder


class MathAgentNodes:
    """The agent's nodes; see :func:`create_math_agent` for the arguments."""

    def __init__(
        self,
        model: "Backbone | BaseChatModel",
        backbone: Backbone | None = None,
        verifier: VerifierLike | None = None,
        config: LatentSeekConfig | None = None,
        *,
        tools: Sequence[BaseTool] = MATH_TOOLS,
        max_tool_rounds: int = _TOOL_ROUNDS,
        system_prompt: str = _SYSTEM,
    ) -> None:
        if max_tool_rounds < 0:
            raise ConfigError(f"max_tool_rounds={max_tool_rounds}: it must be at least 0")
        policy = _policy(model, backbone)
        self.search = Search(policy, verifier, config, control_flow=(GraphBubbleUp,))
        self.config = self.search.config
        self.chat = (
            model
            if isinstance(model, BaseChatModel)
            else ChatLatentSeek(backbone=policy, config=self.config, max_tokens=self.config.max_new_tokens)
        )
        self.max_tool_rounds = max_tool_rounds
        self.system_prompt = system_prompt
        self.tools = tuple(tools)
        _with_tools(self.chat, self.tools)  # a tool that cannot be bound is found here
        # A graph and no plain loop, so that a killed run resumes in the midst of the search.
        self.refinement = create_refine_graph(policy, verifier=verifier, config=config).compile()

    def begin(self, state: MathAgentState) -> dict[str, Any]:
        """Find the question, and open the conversation."""
        messages = list(state.get("messages") or [])
        question = _asked(state.get("question"), messages)
        stands_there = state.get("question") is None or _waiting(messages)[-1:] == [question]
        added = [] if stands_there else [HumanMessage(question)]
        return {
            "question": question,
            "reference": checked_reference(state.get("reference")),
            "messages": added,
            "began": len(messages) + len(added),
            **dict.fromkeys(("answer", "score", "passed", "stop_reason")),
            "text": "",
            "reason": "",
            "iterations": [],
            "votes": [],
            "usage": Usage().to_dict(),
        }

    def reason(self, state: MathAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Let the model think, with tools as long as there are rounds and budgets left."""
        messages = state["messages"]
        if not any(isinstance(message, SystemMessage) for message in messages):
            messages = [SystemMessage(self.system_prompt), *messages]
        config, usage = config_for(self.config, runtime), Usage.from_dict(state["usage"])
        chat = _bounded(self.chat, runtime.context, _seconds_left(config, usage))
        may_call = _rounds(state) < self.max_tool_rounds and spent_budget(config, usage) is None
        model = _with_tools(chat, self.tools if may_call else ())
        began = time.monotonic()
        message = model.invoke(messages)
        told = getattr(message, "usage_metadata", None) or {}
        usage += Usage(
            policy_tokens=told.get("output_tokens", 0),
            policy_thinking_tokens=told.get("output_token_details", {}).get("reasoning", 0),
            policy_seconds=time.monotonic() - began,
        )
        return {"messages": [message], "usage": usage.to_dict()}

    def check(self, state: MathAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Judge the solution that the model ended with."""
        # A chat model of another kind may leave its thoughts in the text.
        split = split_thoughts(_text(state["messages"][-1]))
        attempt = Attempt(
            iteration=0,
            token_ids=[],
            latent_token_ids=[],
            changed=[],
            text=split.text,
            thinking=split.thinking or _thought(state["messages"][-1]),
            finish_reason="stop",
            answer=extract_answer(split.text),
        )
        search = self.search.configured(config_for(self.config, runtime))
        prepared = search.prepare(state["question"])
        attempt, cost = search.judge(
            state["question"], attempt, state.get("reference"), prepared=prepared.value
        )
        usage = Usage.from_dict(state["usage"]) + prepared.usage + cost
        choice = choose([attempt], search.config, prepared_answer(search.verifier, prepared.value))
        ended = stop_reason([attempt], search.config, usage, movable=True, won=choice.won)
        ended = ended if ended in ("passed", "agreement") else None  # the search has bounds of its own
        update = {
            **choice.outcome,
            "stop_reason": ended,
            "iterations": [attempt.to_dict()],
            "votes": choice.votes,
            "usage": usage.to_dict(),
        }
        return update | (_NO_REFERENCE if ended else {}) | self._closing(update, state)

    def _closing(self, update: Mapping[str, Any], state: MathAgentState) -> dict[str, Any]:
        """The solution as the last message, if the conversation does not end with it."""
        if update["stop_reason"] is None or update["text"] == _text(state["messages"][-1]):
            return {}
        about = {name: update[name] for name in ("score", "passed", "stop_reason")}
        return {"messages": [AIMessage(update["text"], response_metadata=about)]}

    def refine(self, state: MathAgentState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Search from a draft that knows what the tools computed, and return the best of all attempts."""
        config = config_for(self.config, runtime)
        usage = Usage.from_dict(state["usage"])
        spent = spent_budget(config, usage)
        if spent is not None:
            ended = {"stop_reason": spent, **_NO_REFERENCE}
            return ended | self._closing({**state, **ended}, state)
        end: Any = {}
        refine_input: RefineInput = {
            "question": _with_results(state["question"], state["messages"][state["began"] :]),
            "reference": state.get("reference"),
        }
        for mode, chunk in self.refinement.stream(
            refine_input,
            {"recursion_limit": supersteps(config)},
            stream_mode=["custom", "values"],
            context=_what_is_left(runtime.context, config, usage),
        ):
            if mode == "custom":
                runtime.stream_writer(chunk)
            else:
                end = chunk
        attempts = [Attempt.from_dict(entry) for entry in (*state["iterations"], *end["iterations"])]
        choice = choose(attempts, config, prepared_answer(self.search.verifier, end.get("prepared")))
        usage += Usage.from_dict(end["usage"])
        update = {
            **choice.outcome,
            **_NO_REFERENCE,
            "stop_reason": end["stop_reason"],
            "iterations": [attempt.to_dict() for attempt in attempts],
            "votes": choice.votes,
            "usage": usage.to_dict(),
        }
        return update | self._closing(update, state)


def _after_check(state: MathAgentState) -> Literal["refine", "__end__"]:
    return "refine" if state["stop_reason"] is None else "__end__"


def _policy(model: "Backbone | BaseChatModel", backbone: Backbone | None) -> Backbone:
    """What the search runs on: the backbone that was given, or that of the chat model."""
    if not isinstance(model, BaseChatModel):
        return checked_backbone(model)
    own = getattr(model, "backbone", None)
    if backbone is None and own is None and isinstance(model, ChatLatentSeek) and model.model:
        own = loaded_backbone(model.model, model.model_options)
    return checked_backbone(backbone or own)


def _seconds_left(config: LatentSeekConfig, usage: Usage) -> float | None:
    return None if config.max_seconds is None else config.max_seconds - usage.seconds


def _what_is_left(context: Any, config: LatentSeekConfig, usage: Usage) -> RefineContext:
    """The run's context for the search, whose budgets are what the reasoning left of them."""
    given = context if isinstance(context, RefineContext) else RefineContext()
    tokens = config.max_total_tokens
    return replace(
        given,
        max_seconds=_seconds_left(config, usage),
        max_total_tokens=None if tokens is None else tokens - usage.tokens,
    )


def _bounded(chat: BaseChatModel, context: Any, seconds: float | None) -> BaseChatModel:
    """A chat model of ours with the settings of this run and what is left of the time; others as they are."""
    config = getattr(chat, "config", None)
    if not isinstance(config, LatentSeekConfig):
        return chat
    changes: dict[str, Any] = {}
    if isinstance(context, RefineContext):
        config = context.apply(config)
        own = {"max_tokens": context.max_new_tokens, "seed": context.seed}
        changes = {name: value for name, value in own.items() if value is not None}
    if seconds is not None:
        config = config.replace(max_seconds=max(seconds, _SHORTEST_SECONDS))
    return chat.model_copy(update={**changes, "config": config})


def _with_tools(chat: BaseChatModel, tools: Sequence[BaseTool]) -> Any:
    if not tools:
        return chat
    try:
        return chat.bind_tools(list(tools))
    except NotImplementedError:  # it cannot call tools: then it reasons without
        return chat


def _rounds(state: MathAgentState) -> int:
    """Rounds of calls in this run; earlier ones of the thread, and handovers of a supervisor, are none."""
    own = state["messages"][state["began"] :]
    return sum(isinstance(message, AIMessage) and bool(message.tool_calls) for message in own)


def _asked(question: Any, messages: Sequence[AnyMessage]) -> str:
    """What this run is asked: the question, or the last human message.

    A thread's state still holds the question of the run before; a human message that came since is newer.
    """
    if not isinstance(question, str | None):
        raise InputError(f"the question must be a string, but is {question!r}")
    humans = [_text(message) for message in messages if isinstance(message, HumanMessage)]
    waiting = _waiting(messages)
    if question is not None and not (waiting and question in humans[:-1]):
        return question
    if not humans:
        raise InputError('there is no question; invoke the agent with {"question": "..."} or a human message')
    return humans[-1]


def _waiting(messages: Sequence[AnyMessage]) -> list[str]:
    """Human messages that nobody has answered yet."""
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, HumanMessage):
            waiting.append(_text(message))
        elif isinstance(message, AIMessage) and not message.tool_calls:
            waiting.clear()
    return waiting


def _text(message: AnyMessage) -> str:
    return str(message.text)


def _thought(message: AnyMessage) -> str:
    """What was thought before a message, as LangChain's content blocks have it."""
    blocks = (block for block in message.content_blocks if block["type"] == "reasoning")
    return "\n\n".join(str(block.get("reasoning", "")) for block in blocks)


def _with_results(question: str, messages: Sequence[AnyMessage]) -> str:
    """The question and what was computed for it."""
    calls = {
        call["id"]: call
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
    }
    lines = [
        f"- {call['name']}({json.dumps(call['args'], ensure_ascii=False)}): {_text(message)}"
        for message in messages
        if isinstance(message, ToolMessage)
        and message.status != "error"
        and (call := calls.get(message.tool_call_id)) is not None
    ]
    return question if not lines else "\n".join([question, "", "Computed with tools:", *lines])
