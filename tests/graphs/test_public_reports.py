"""Public bug reports on LangGraph, tried on searches that stop for a person and go on."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from latentseek_agents import LatentSeekConfig, LatentSeekNode
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.tools import HumanVerifier
from tests.support.batch_decoding import model_decoder
from tests.tools.test_human import State

CONFIG = LatentSeekConfig(max_new_tokens=8, fraction=0.5, max_iterations=3)
QUESTION = {"question": "What is 2 + 2?", "reference": "4"}
THREAD: Any = {"configurable": {"thread_id": "1"}}


def graph_with_node(backbone: Backbone) -> Any:
    """A search as a node, which is a graph within the graph."""
    builder = StateGraph(State)
    builder.add_node("seek", LatentSeekNode(backbone, verifier=HumanVerifier(), config=CONFIG))
    builder.add_edge(START, "seek")
    return builder.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("explicit", [False, True])
def test_a_resumed_search_is_not_begun_again(
    tiny: Backbone, monkeypatch: pytest.MonkeyPatch, explicit: bool
) -> None:
    """https://github.com/langchain-ai/langgraph/issues/4796 and 6792, pull 7561 (named checkpoint)."""
    calls: list[Any] = []
    decoder = type(model_decoder(tiny))
    own = decoder.decode

    def decode(self: Any, asked: Any) -> Any:
        calls.append(asked)
        return own(self, asked)

    monkeypatch.setattr(decoder, "decode", decode)
    graph = graph_with_node(tiny)
    first = graph.invoke(QUESTION, THREAD)["__interrupt__"][0].value
    drafted = len(calls)
    config = graph.get_state(THREAD).config if explicit else THREAD
    second = graph.invoke(Command(resume="the sum is missing"), config)["__interrupt__"][0].value
    assert second["question"] == first["question"]
    refined = len(calls)
    assert 0 < refined - drafted <= drafted
    config = graph.get_state(THREAD).config if explicit else THREAD
    result = graph.invoke(Command(resume=True), config)
    assert (result["passed"], len(calls)) == (True, refined)


def test_a_state_that_was_updated_by_hand_is_resumed(tiny: Backbone) -> None:
    """https://github.com/langchain-ai/langgraph/issues/4523."""
    graph = graph_with_node(tiny)
    graph.invoke(QUESTION, THREAD)
    graph.update_state(THREAD, {"reference": "five"})
    result = graph.invoke(Command(resume=True), THREAD)
    if "__interrupt__" in result:
        result = graph.invoke(Command(resume=True), THREAD)
    assert result["passed"] is True
