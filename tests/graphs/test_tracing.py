"""What traces and streams show of a search: iterations with their scores, and no latents."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from typing_extensions import TypedDict

from latentseek_agents import Backbone, ChatLatentSeek, LatentSeek, LatentSeekConfig, LatentSeekNode
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import ScriptedVerifier

CONFIG = LatentSeekConfig(max_new_tokens=16, fraction=0.5, max_iterations=2, learning_rate=0.3)
QUESTION: Any = {"question": "How many legs have three cats?"}
SCORES = [-1.0, -0.5, -0.7]
THREAD: Any = {"configurable": {"thread_id": "1"}}


class Recorder(BaseTracer):
    """Keeps all runs, roots and children."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)

    def runs(self) -> list[Run]:
        def below(run: Run) -> Iterator[Run]:
            yield run
            for child in run.child_runs:
                yield from below(child)

        return [run for root in self.roots for run in below(root)]


class Told(BaseCallbackHandler):
    """Keeps the names of custom events, and whose they are."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **_: Any) -> None:
        self.events.append((name, run_id))


class State(TypedDict, total=False):
    question: str
    answer: str


def graph(backbone: Backbone) -> Any:
    return create_refine_graph(backbone, verifier=ScriptedVerifier(SCORES), config=CONFIG).compile()


def node(backbone: Backbone) -> Any:
    seek = LatentSeekNode(backbone, verifier=ScriptedVerifier(SCORES), config=CONFIG)
    return StateGraph(State).add_node("seek", seek).add_edge(START, "seek").compile()


def runnable(backbone: Backbone) -> Any:
    return LatentSeek(backbone, ScriptedVerifier(SCORES), CONFIG)


def heavy(value: Any, where: str = "") -> list[str]:
    """Where in a value there are bytes, or anything that is no plain value, such as an array."""
    if isinstance(value, dict):
        return [path for key, inner in value.items() for path in heavy(inner, f"{where}.{key}")]
    if isinstance(value, list | tuple):
        return [path for index, inner in enumerate(value) for path in heavy(inner, f"{where}[{index}]")]
    plain = isinstance(value, str | int | float | bool | None)
    return [] if plain else [f"{where}: {type(value).__name__}"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
@pytest.mark.parametrize("made", [graph, node, runnable])
def test_each_iteration_is_a_run_with_its_score(tiny: Backbone, made: Any, how: str) -> None:
    recorder, app = Recorder(), made(tiny)
    if how == "invoke":
        app.invoke(QUESTION, {"callbacks": [recorder]})
    else:
        asyncio.run(app.ainvoke(QUESTION, {"callbacks": [recorder]}))
    (root,) = recorder.roots
    iterations = [run for run in recorder.runs() if run.name.startswith("iteration")]
    assert [run.name for run in iterations] == ["iteration 0", "iteration 1", "iteration 2"]
    assert [run.metadata["score"] for run in iterations] == SCORES
    assert [run.metadata["stop_reason"] for run in iterations] == [None, None, "iterations"]
    assert all(run.metadata["passed"] is False and run.error is None for run in iterations)
    assert all(run.trace_id == root.id and run.end_time is not None for run in iterations)
    assert iterations[1].outputs is not None
    assert iterations[1].outputs["text"]


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_streamed_snapshots_are_traced_the_same(tiny: Backbone, how: str) -> None:
    recorder, seek = Recorder(), runnable(tiny)
    if how == "stream":
        list(seek.stream(QUESTION, {"callbacks": [recorder]}))
    else:

        async def listen() -> None:
            async for _ in seek.astream(QUESTION, {"callbacks": [recorder]}):
                pass

        asyncio.run(listen())
    assert [run.name for run in recorder.runs()][1:] == ["iteration 0", "iteration 1", "iteration 2"]


WAYS = ["invoke", "ainvoke", "stream", "astream", "within", "streaming", "astreaming", "node", "anode"]


@pytest.mark.parametrize("how", WAYS)
def test_iterations_of_a_chat_model_are_runs_below_its_own(tiny: Backbone, how: str) -> None:
    recorder = Recorder()
    told = Told()
    chat = ChatLatentSeek(
        backbone=tiny,
        verifier=ScriptedVerifier(SCORES),
        config=CONFIG,
        callbacks=[told],
        disable_streaming=False,
        **({"streaming": True} if "streaming" in how else {}),
    )
    config: Any = {"callbacks": [recorder], "tags": ["mine"]}

    async def listen(stream: Any) -> None:
        async for _ in stream:
            pass

    app: Any = StateGraph(MessagesState)
    app.add_node("chat", lambda state, config: {"messages": [chat.invoke(state["messages"], config)]})
    app = app.add_edge(START, "chat").compile()
    asked: Any = {"messages": [("user", "Hi!")]}
    if how in ("invoke", "streaming"):
        chat.invoke("Hi!", config)
    elif how in ("ainvoke", "astreaming"):
        asyncio.run(chat.ainvoke("Hi!", config))
    elif how == "stream":
        list(chat.stream("Hi!", config))
    elif how == "astream":
        asyncio.run(listen(chat.astream("Hi!", config)))
    elif how == "within":
        (RunnableLambda(lambda text: text) | chat).invoke("Hi!", config)
    elif how == "node":
        list(app.stream(asked, config, stream_mode="messages"))
    else:
        asyncio.run(listen(app.astream_events(asked, config, version="v2")))
    (called,) = [run for run in recorder.runs() if run.run_type == "llm"]
    assert [run.name for run in called.child_runs] == ["iteration 0", "iteration 1", "iteration 2"]
    # The model's own callbacks hear of them as well, as of something that its run says.
    assert told.events == [("latentseek_iteration", called.id)] * 3
    for run, score in zip(called.child_runs, SCORES, strict=True):
        assert run.metadata["score"] == score
        assert "mine" in (run.tags or [])
        assert run.end_time is not None
        assert run.error is None
        assert heavy([run.inputs, run.outputs, run.metadata], run.name) == []


@pytest.mark.parametrize("made", [graph, node])
def test_no_run_holds_latents(tiny: Backbone, made: Any) -> None:
    recorder, app = Recorder(), made(tiny)
    app.invoke(QUESTION, {"callbacks": [recorder]})
    list(app.stream(QUESTION, {"callbacks": [recorder]}, stream_mode="values"))
    asyncio.run(app.ainvoke(QUESTION, {"callbacks": [recorder]}))
    names = {run.name for run in recorder.runs()}
    assert {"draft", "verify", "refine"} <= names
    for run in recorder.runs():
        assert heavy([run.inputs, run.outputs, run.metadata], run.name) == []


@pytest.mark.parametrize("mode", ["values", "updates", "checkpoints"])
def test_no_stream_holds_latents(tiny: Backbone, mode: str) -> None:
    builder = create_refine_graph(tiny, verifier=ScriptedVerifier(SCORES), config=CONFIG)
    app: Any = builder.compile(InMemorySaver())
    chunks = list(app.stream(QUESTION, THREAD, stream_mode=mode))
    shown = [chunk.get("values", chunk) for chunk in chunks] if mode == "checkpoints" else chunks
    assert shown
    assert heavy(shown) == []


def test_tasks_show_latents_as_bytes_where_they_are_read_and_nowhere_else(tiny: Backbone) -> None:
    """What remains: LangGraph shows the input of ``refine``, whose job it is to read them."""
    for chunk in graph(tiny).stream(QUESTION, stream_mode="tasks"):
        expected = [".latents: bytes"] if chunk["name"] == "refine" and "input" in chunk else []
        assert heavy(chunk.get("input", {})) == expected
        assert heavy(chunk.get("result", {})) == []


def test_snapshots_show_no_latents_and_checkpoints_keep_them_to_the_end(tiny: Backbone) -> None:
    saver, thread = InMemorySaver(), THREAD
    builder = create_refine_graph(tiny, verifier=ScriptedVerifier(SCORES), config=CONFIG)
    app: Any = builder.compile(saver, interrupt_before=["refine"])
    app.invoke(QUESTION, thread)
    assert "latents" not in app.get_state(thread).values
    stored: Any = saver.get(thread)
    assert len(stored["channel_values"]["latents"]) > 12 * 8 * tiny.hidden_size / 3, "the latents are there"
    for _ in range(2):
        app.invoke(None, thread)
    assert app.get_state(thread).values["stop_reason"] == "iterations"
    stored = saver.get(thread)
    assert stored["channel_values"]["latents"] == b""


async def test_an_async_handler_hears_of_the_iterations(tiny: Backbone) -> None:
    heard: list[str] = []

    class Listener(AsyncCallbackHandler):
        async def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
            heard.append(kwargs["name"])

    for made in (graph, node, runnable):
        heard.clear()
        await made(tiny).ainvoke(QUESTION, {"callbacks": [Listener()]})
        assert [name for name in heard if name.startswith("iteration")] == [
            "iteration 0",
            "iteration 1",
            "iteration 2",
        ]


async def test_iterations_are_in_the_events_of_a_graph(tiny: Backbone) -> None:
    events = [event async for event in graph(tiny).astream_events(QUESTION, version="v2")]
    ends = [event for event in events if event["event"] == "on_chain_end" and "iteration" in event["name"]]
    assert [event["metadata"]["score"] for event in ends] == SCORES
