"""What stands around a search, on vLLM: graph, chat model with tools, evaluation, commands, server."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from typer.testing import CliRunner

from latentseek_agents import Backbone, ChatLatentSeek, LatentSeekConfig
from latentseek_agents.cli import app
from latentseek_agents.graphs import create_math_agent, create_refine_graph
from latentseek_agents.graphs.app import Server, ServerContext
from latentseek_agents.graphs.refine import refine_graph
from latentseek_agents.testing import ScriptedVerifier
from latentseek_agents.tools.langchain_tools import calculate
from tests.vllm.conftest import ENGINE

CONFIG = LatentSeekConfig(max_new_tokens=24, fraction=0.5, learning_rate=0.5, max_iterations=2)
QUESTION = "What is 17 + 25?"
ARGUMENTS = json.dumps({key: value for key, value in ENGINE.items() if key != "dtype"})


def attempts(state: Any) -> list[list[int]]:
    return [attempt["token_ids"] for attempt in state["iterations"]]


def test_the_refine_graph_stops_and_goes_on(served: Backbone, ours: Backbone):
    graphs = [
        create_refine_graph(one, verifier=ScriptedVerifier([-1.0]), config=CONFIG) for one in (served, ours)
    ]
    whole = [graph.compile().invoke({"question": QUESTION}) for graph in graphs]
    assert attempts(whole[0]) == attempts(whole[1])
    compiled = graphs[0].compile(checkpointer=InMemorySaver(), interrupt_before=["refine"])
    thread: Any = {"configurable": {"thread_id": "1"}}
    compiled.invoke({"question": QUESTION}, thread)
    while compiled.get_state(thread).next:
        state = compiled.invoke(None, thread)
    assert attempts(state) == attempts(whole[0])
    assert compiled.get_state(thread).values["model"].startswith("float32 vllm ")


def test_a_search_of_another_engine_is_not_gone_on_with(served: Backbone, ours: Backbone):
    saver, thread = InMemorySaver(), {"configurable": {"thread_id": "1"}}

    def compiled(backbone: Backbone) -> Any:
        graph = create_refine_graph(backbone, verifier=ScriptedVerifier([-1.0]), config=CONFIG)
        return graph.compile(checkpointer=saver, interrupt_before=["refine"])

    compiled(ours).invoke({"question": QUESTION}, thread)
    with pytest.raises(ValueError, match="begun with another model"):
        compiled(served).invoke(None, thread)


def test_the_chat_model_streams_and_calls_tools(served: Backbone, ours: Backbone):
    chats = [ChatLatentSeek(backbone=one, max_tokens=24) for one in (served, ours)]
    replies = [chat.invoke([HumanMessage(QUESTION)]) for chat in chats]
    assert replies[0].content == replies[1].content
    assert "".join(str(part.content) for part in chats[0].stream(QUESTION)) == replies[0].content
    calls = [chat.bind_tools([calculate], tool_choice="calculate").invoke(QUESTION) for chat in chats]
    assert calls[0].tool_calls == calls[1].tool_calls or (
        [call["args"] for call in calls[0].tool_calls] == [call["args"] for call in calls[1].tool_calls]
    )
    assert calls[0].content == calls[1].content


def test_a_refined_reply(served: Backbone, ours: Backbone):
    said = [
        ChatLatentSeek(backbone=one, verifier=ScriptedVerifier([-1.0]), config=CONFIG, max_tokens=24).invoke(
            QUESTION
        )
        for one in (served, ours)
    ]
    assert said[0].content == said[1].content
    assert len(said[0].response_metadata["iterations"]) == 3


def test_a_reply_is_held_to_its_schema(served: Backbone):
    pytest.importorskip("llguidance")
    chat = ChatLatentSeek(backbone=served, max_tokens=200)
    schema = {
        "title": "Sum",
        "type": "object",
        "properties": {"right": {"type": "boolean"}},
        "required": ["right"],
        "additionalProperties": False,
    }
    found = chat.with_structured_output(schema, method="json_schema", strict=True).invoke(QUESTION)
    assert found in ({"right": True}, {"right": False})


def test_the_math_agent(served: Backbone):
    agent = create_math_agent(served, config=CONFIG).compile()
    state = agent.invoke({"messages": [HumanMessage(QUESTION)]}, {"recursion_limit": 50})
    assert state["messages"][-1].content is not None


def test_an_evaluation(folder: str, tmp_path: Path):
    data = tmp_path / "questions.jsonl"
    data.write_text(
        "".join(json.dumps({"question": f"What is {n} + 1?", "answer": str(n + 1)}) + "\n" for n in range(3))
    )
    command = ["eval", "--data", str(data), "--method", "cot,sc:2,steps", "--out", str(tmp_path / "run")]
    command += ["--model", folder, "--dtype", "float32", "--engine", "vllm", "--vllm-args", ARGUMENTS]
    command += ["--set", "max_new_tokens=12", "--set", "max_iterations=1", "--batch", "3", "--quiet"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    lines = [
        json.loads(line)
        for file in sorted((tmp_path / "run").rglob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    assert len(lines) == 9
    assert json.loads((tmp_path / "run" / "run.json").read_text())["dtype"] == "float32"


def test_the_server_serves_it(folder: str):
    server = Server.from_environment(
        {
            "LATENTSEEK_MODEL": folder,
            "LATENTSEEK_ENGINE": "vllm",
            "LATENTSEEK_DTYPE": "float32",
            "LATENTSEEK_VLLM_ARGS": ARGUMENTS,
            "LATENTSEEK_MAX_NEW_TOKENS": "12",
            "LATENTSEEK_MAX_ITERATIONS": "1",
        }
    )
    graph = refine_graph(server.search, ServerContext).compile()
    state = graph.invoke({"question": QUESTION}, context=ServerContext())
    assert state["stop_reason"]
    assert server._loaded[folder].search.backbone.fingerprint.startswith("float32 vllm ")
