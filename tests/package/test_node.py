"""The node in users' graphs: state shapes, keys, streaming, sync and async, from many threads."""

import asyncio
import operator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from latentseek_agents import Backbone, InputError, LatentSeekConfig, LatentSeekNode, Verdict
from latentseek_agents.graphs import RefineContext
from latentseek_agents.testing import ScriptedVerifier

CONFIG = LatentSeekConfig(max_new_tokens=24, fraction=0.3, max_iterations=3, learning_rate=0.3)


class State(TypedDict, total=False):
    question: str
    answer: str
    passed: bool | None
    score: float
    result: dict[str, Any]
    log: Annotated[list[str], operator.add]


def by_length(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    """A verdict that follows from the texts alone, whoever asks."""
    score = -0.3 - 0.6 * ((len(solution) * 7 + len(question)) % 10) / 10
    return Verdict(score, False, f"{len(solution)} characters")


def graph(node: LatentSeekNode, schema: Any = State, **compile_options: Any) -> Any:
    return StateGraph(schema).add_node("seek", node).add_edge(START, "seek").compile(**compile_options)


def test_reads_the_question_and_writes_its_keys(tiny: Backbone) -> None:
    node = LatentSeekNode(tiny, verifier=ScriptedVerifier([-1, -0.1]), config=CONFIG, result_key="result")
    state = graph(node).invoke({"question": "What is 2 + 2?", "log": ["kept"]})
    assert state["passed"] is True
    assert state["score"] == -0.1
    assert state["answer"] == state["result"]["text"], "without a stated answer the text is the answer"
    assert len(state["result"]["iterations"]) == 2
    assert state["log"] == ["kept"]


def test_keys_are_yours_to_choose(tiny: Backbone) -> None:
    class Renamed(TypedDict, total=False):
        task: str
        gold: str
        solution: str
        verified: bool | None
        passed: str

    def needs_gold(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(0.0, passed=reference == "4")

    node = LatentSeekNode(
        tiny,
        verifier=needs_gold,
        config=CONFIG,
        question_key="task",
        answer_key="solution",
        reference_key="gold",
        passed_key="verified",
        score_key=None,
    )
    state = graph(node, Renamed).invoke({"task": "2 + 2?", "gold": "4", "passed": "mine"})
    assert state["verified"] is True
    assert state["passed"] == "mine"
    assert state["solution"]


def test_messages_state(tiny: Backbone) -> None:
    verifier = ScriptedVerifier([0])
    app = graph(LatentSeekNode(tiny, verifier=verifier, config=CONFIG), MessagesState)
    conversation = [
        SystemMessage("Be exact."),
        HumanMessage("Hello"),
        AIMessage("Hi"),
        HumanMessage("2 + 2?"),
    ]
    state = app.invoke({"messages": conversation})
    assert isinstance(state["messages"][-1], AIMessage)
    assert len(state["messages"]) == 5
    assert state["messages"][-1].response_metadata == {"score": 0.0, "passed": True, "stop_reason": "passed"}
    assert verifier.calls[0][0] == "Be exact.\n\nUser: Hello\nAssistant: Hi\nUser: 2 + 2?"
    with pytest.raises(InputError, match="end with ai"):
        app.invoke({"messages": [AIMessage("Hi")]})


def test_a_state_without_a_question_names_the_keys_it_has(tiny: Backbone) -> None:
    app = graph(LatentSeekNode(tiny, verifier=ScriptedVerifier(), config=CONFIG, question_key="task"))
    with pytest.raises(InputError, match=r"'task'.*'question'\]"):
        app.invoke({"question": "?"})


def test_dataclass_and_pydantic_states(tiny: Backbone) -> None:
    @dataclass
    class Plain:
        question: str
        answer: str = ""

    class Validated(BaseModel):
        question: str
        answer: str = ""

    node = LatentSeekNode(tiny, verifier=ScriptedVerifier(), config=CONFIG)
    answers = {
        graph(node, schema).invoke({"question": "?"})["answer"] for schema in (State, Plain, Validated)
    }
    assert len(answers) == 1


def test_numbers_are_references_and_other_things_are_not(tiny: Backbone) -> None:
    class WithReference(State):
        reference: Any

    seen: list[Any] = []

    def look(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        seen.append(reference)
        return Verdict(0.0, True)

    app = graph(LatentSeekNode(tiny, verifier=look, config=CONFIG), WithReference)
    app.invoke({"question": "?", "reference": 72})
    assert seen == ["72"]
    with pytest.raises(InputError, match="reference"):
        app.invoke({"question": "?", "reference": ["72"]})
    with pytest.raises(InputError, match="must be a string"):
        app.invoke({"question": 7})


def test_the_context_of_a_run_reaches_the_node(tiny: Backbone) -> None:
    node = LatentSeekNode(tiny, verifier=by_length, config=CONFIG, result_key="result")
    app: Any = StateGraph(State, context_schema=RefineContext).add_node("seek", node).add_edge(START, "seek")
    state = app.compile().invoke({"question": "?"}, context=RefineContext(max_iterations=15))
    assert len(state["result"]["iterations"]) == 16


def test_progress_reaches_the_outer_stream(tiny: Backbone) -> None:
    app = graph(LatentSeekNode(tiny, verifier=ScriptedVerifier([-1, -1, 0]), config=CONFIG))
    events = list(app.stream({"question": "?"}, stream_mode="custom"))
    assert [event["iteration"] for event in events] == [0, 1, 2]


def test_a_low_recursion_limit_of_the_caller_does_not_matter(tiny: Backbone) -> None:
    config = CONFIG.replace(max_iterations=20, max_new_tokens=8, fraction=0.5)
    app = graph(LatentSeekNode(tiny, verifier=by_length, config=config, result_key="result"))
    state = app.invoke({"question": "?"}, {"recursion_limit": 5})
    assert len(state["result"]["iterations"]) == 21


def test_every_step_of_the_search_is_in_the_users_checkpointer(tiny: Backbone) -> None:
    saver = InMemorySaver()
    app = graph(LatentSeekNode(tiny, verifier=by_length, config=CONFIG), checkpointer=saver)
    app.invoke({"question": "?"}, {"configurable": {"thread_id": "1"}})
    inner = {n for n in saver.storage["1"] if n.startswith("seek")}
    assert len(inner) == 1
    (checkpoints,) = (saver.storage["1"][n] for n in inner)
    assert len(checkpoints) >= 2 * CONFIG.max_iterations


def test_the_same_from_eight_threads_and_async_as_alone(tiny: Backbone) -> None:
    questions = [f"What is {n} + {n}?" for n in range(8)]
    app = graph(LatentSeekNode(tiny, verifier=by_length, config=CONFIG))
    alone = [app.invoke({"question": question}) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda question: app.invoke({"question": question}), questions))

    async def together() -> Any:
        return await asyncio.gather(*(app.ainvoke({"question": question}) for question in questions))

    assert threaded == alone
    assert asyncio.run(together()) == alone
    assert app.batch([{"question": question} for question in questions]) == alone
    assert len({state["answer"] for state in alone}) > 1
