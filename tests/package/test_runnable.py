"""LatentSeek as a Runnable: inputs, chains, streams, events, batches."""

import asyncio
import json
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from latentseek_agents import Backbone, InputError, LatentSeek, LatentSeekConfig, LatentSeekResult, Verdict
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone
from tests.support.batch_decoding import cache_of

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIG = LatentSeekConfig(max_new_tokens=24, fraction=0.3, max_iterations=3, learning_rate=0.3)


def by_length(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    """A verdict that follows from the texts alone, whoever asks."""
    return Verdict(-0.3 - 0.6 * ((len(solution) * 7 + len(question)) % 10) / 10, False)


def same(result: LatentSeekResult) -> dict[str, Any]:
    """All of a result but its costs, which depend on what is cached."""
    return result.to_dict() | {"usage": None}


@pytest.mark.parametrize(
    "given",
    [
        "What is 2 + 2?",
        HumanMessage("What is 2 + 2?"),
        [HumanMessage("What is 2 + 2?")],
        [("human", "What is 2 + 2?")],
        {"question": "What is 2 + 2?"},
        {"messages": [{"role": "user", "content": "What is 2 + 2?"}], "reference": "4"},
        PromptTemplate.from_template("What is {a} + 2?").invoke({"a": 2}),
        ChatPromptTemplate.from_messages([("human", "What is {a} + 2?")]).invoke({"a": 2}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_any_usual_input_is_a_question(tiny: Backbone, given: Any) -> None:
    result = LatentSeek(tiny, by_length, CONFIG).invoke(given)
    assert result.question == "What is 2 + 2?"


@pytest.mark.parametrize("given", [None, 7, [], {}, {"query": "?"}, {"question": None}, "", [("ai", "Hi")]])
def test_an_input_without_a_question_is_refused(tiny: Backbone, given: Any) -> None:
    with pytest.raises(InputError):
        LatentSeek(tiny, by_length, CONFIG).invoke(given)


def test_a_result_tells_everything(tiny: Backbone) -> None:
    result = LatentSeek(tiny, ScriptedVerifier([-1, -0.4, -0.6]), CONFIG).invoke("What is 2 + 2?")
    assert (result.score, result.passed, result.stop_reason) == (-0.4, False, "iterations")
    assert [attempt.iteration for attempt in result.iterations] == [0, 1, 2, 3]
    assert result.text == result.iterations[1].text == result.iterations[1]["text"]
    for attempt in result.iterations:
        assert attempt.latent_token_ids == attempt.token_ids[: len(attempt.latent_token_ids)]
    usage = result.usage
    assert usage.policy_tokens >= len(result.iterations[0].token_ids)
    assert usage.forward_passes == usage.policy_forward_passes > 0
    assert usage.seconds == pytest.approx(usage.policy_seconds + usage.verifier_seconds)
    assert json.loads(json.dumps(result.to_dict()))["score"] == -0.4


def test_a_chain_of_prompt_search_and_function(tiny: Backbone) -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "What is {a} + {b}?")])
    seek = LatentSeek(tiny, by_length, CONFIG)
    chain: Any = prompt | seek | (lambda result: result.answer or result.text)
    inputs = [{"a": n, "b": 2 * n} for n in range(8)]
    alone = [chain.invoke(value) for value in inputs]
    assert alone == [seek.invoke(f"What is {n} + {2 * n}?").text for n in range(8)]
    assert len(set(alone)) > 1
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(chain.invoke, inputs)) == alone

    async def together() -> Any:
        return await asyncio.gather(*(chain.ainvoke(value) for value in inputs))

    assert asyncio.run(together()) == alone
    assert chain.batch(inputs) == alone
    assert asyncio.run(chain.abatch(inputs)) == alone
    assert "".join(chain.stream(inputs[0])) == alone[0]


def test_the_example_chain(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    build = runpy.run_path(str(EXAMPLES / "chain.py"))["build"]
    backbone = scripted_backbone(["The answer is 12.", "I do not know."])
    chain = build(LatentSeek(backbone, ScriptedVerifier([0]), CONFIG))
    assert chain.invoke({"price": 3, "count": 4}) == {"price": 12.0, "passed": True}
    with pytest.raises(OutputParserException, match="no price"):
        chain.invoke({"price": 3, "count": 4})


def test_a_resumed_node_gets_the_answer_to_the_question_it_asks(tiny: Backbone) -> None:
    """A Runnable keeps nothing in the checkpointer around it, which tells calls apart by their order only."""

    class State(TypedDict):
        questions: list[str]

    seek, order, asked = LatentSeek(tiny, by_length, CONFIG), ["a?", "b?"], []

    def ask(state: State) -> dict[str, Any]:
        for question in order:
            asked.append((question, seek.invoke(question).question))
            if len(asked) == 1:
                raise KeyboardInterrupt
        return {}

    builder = StateGraph(State).add_node("ask", ask).add_edge(START, "ask")
    app: Any = builder.compile(InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    with pytest.raises(KeyboardInterrupt):
        app.invoke({"questions": []}, thread, durability="sync")
    order.reverse()
    app.invoke(None, thread, durability="sync")
    assert asked == [("a?", "a?"), ("b?", "b?"), ("a?", "a?")]


def test_stream_yields_the_best_so_far_after_each_iteration(tiny: Backbone) -> None:
    seek = LatentSeek(tiny, ScriptedVerifier([-1, -0.4, -0.6, -0.1]), CONFIG)
    snapshots = list(seek.stream("What is 2 + 2?"))
    assert [snapshot.score for snapshot in snapshots] == [-1, -0.4, -0.4, -0.1]
    assert [snapshot.stop_reason for snapshot in snapshots] == [None, None, None, "passed"]
    assert [len(snapshot.iterations) for snapshot in snapshots] == [1, 2, 3, 4]


async def test_astream_and_events(tiny: Backbone) -> None:
    seek = LatentSeek(tiny, by_length, CONFIG)
    expected = [same(snapshot) for snapshot in seek.stream("What is 2 + 2?")]
    assert [same(snapshot) async for snapshot in seek.astream("What is 2 + 2?")] == expected
    events: list[Any] = [event async for event in seek.astream_events("What is 2 + 2?", version="v2")]
    custom = [event for event in events if event["event"] == "on_custom_event"]
    assert [event["name"] for event in custom] == ["latentseek_iteration"] * 4
    assert [event["data"]["iteration"] for event in custom] == [0, 1, 2, 3]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_works_inside_the_callers_grad_mode(tiny: Backbone, mode: Any) -> None:
    seek = LatentSeek(tiny, by_length, CONFIG)
    expected = same(seek.invoke("What is 2 + 2?"))
    cache_of(tiny).clear()
    with mode():
        assert same(seek.invoke("What is 2 + 2?")) == expected
    assert same(seek.invoke("What is 2 + 2?")) == expected


def test_tokens_are_announced_as_they_are_written(tiny: Backbone) -> None:
    written: list[int] = []
    seek = LatentSeek(tiny, ScriptedVerifier([0]), CONFIG, on_token=written.append)
    assert written == []
    assert seek.invoke("What is 2 + 2?").iterations[0].token_ids == written


LOOKUP = AIMessage("", tool_calls=[{"name": "lookup", "args": {"item": "lamp"}, "id": "1"}])
ASKED = [HumanMessage("Look up what a lamp costs."), LOOKUP]
TRANSCRIPT = 'User: Look up what a lamp costs.\nAssistant calls lookup({"item": "lamp"})\n'


@pytest.mark.parametrize(
    ("earlier", "transcript"),
    [
        (
            [*ASKED, ToolMessage("lamp: 37 dollars", name="lookup", tool_call_id="1")],
            f"{TRANSCRIPT}Tool lookup: lamp: 37 dollars\n",
        ),
        ([*ASKED, ToolMessage("37 dollars", tool_call_id="1")], f"{TRANSCRIPT}Tool: 37 dollars\n"),
        (
            [*ASKED, ToolMessage([{"type": "text", "text": "37"}, "dollars"], tool_call_id="1")],
            f"{TRANSCRIPT}Tool: 37\ndollars\n",
        ),
        (
            [*ASKED, ToolMessage([{"type": "json", "json": {"price": 37}}], tool_call_id="1")],
            f'{TRANSCRIPT}Tool: {{"price": 37}}\n',
        ),
        ([FunctionMessage(content="37 dollars", name="lookup")], "Tool lookup: 37 dollars\n"),
        ([ChatMessage(content="It is 37.", role="critic")], "Critic: It is 37.\n"),
        ([ChatMessage(content="A lamp is 37.", role="user")], "User: A lamp is 37.\n"),
        ([AIMessage([{"type": "reasoning", "reasoning": "Hm."}, "37."])], "Assistant: 37.\n"),
        (
            [AIMessage("I look.", tool_calls=LOOKUP.tool_calls)],
            'Assistant: I look.\nAssistant calls lookup({"item": "lamp"})\n',
        ),
        (
            [ToolMessage("no lamp", name="lookup", tool_call_id="1", status="error")],
            "Tool lookup (error): no lamp\n",
        ),
        (
            [HumanMessage("Hi.", name="Ann"), AIMessage("37.", name="clerk")],
            "User Ann: Hi.\nAssistant clerk: 37.\n",
        ),
        (
            [
                AIMessage(
                    "", additional_kwargs={"function_call": {"name": "lookup", "arguments": '{"item": 1}'}}
                )
            ],
            'Assistant calls lookup({"item": 1})\n',
        ),
        ([AIMessage([{"text": "37."}])], "Assistant: 37.\n"),
    ],
)
def test_nothing_of_a_conversation_is_dropped(
    tiny: Backbone, earlier: list[BaseMessage], transcript: str
) -> None:
    for last in (
        HumanMessage("What do 2 lamps cost?"),
        ChatMessage(content="What do 2 lamps cost?", role="user"),
    ):
        result = LatentSeek(tiny, by_length, CONFIG).invoke([*earlier, last])
        assert result.question == f"{transcript}User: What do 2 lamps cost?"


def test_rules_in_any_form_stand_first(tiny: Backbone) -> None:
    rules = ChatMessage(content="Use dollars.", role="developer")
    result = LatentSeek(tiny, by_length, CONFIG).invoke([HumanMessage("Hi."), rules, HumanMessage("2 + 2?")])
    assert result.question == "Use dollars.\n\nUser: Hi.\nUser: 2 + 2?"


@pytest.mark.parametrize("kind", ["image_url", "image", "audio", "file", "video"])
@pytest.mark.parametrize("message", [HumanMessage, AIMessage, SystemMessage])
def test_what_is_no_text_is_refused(tiny: Backbone, kind: str, message: type[BaseMessage]) -> None:
    block = {"type": kind, "url": "https://example.org/lamp.png"}
    seek = LatentSeek(tiny, by_length, CONFIG)
    for conversation in (
        [message(content=[{"type": "text", "text": "What is this?"}, block]), HumanMessage("Well?")],
        [HumanMessage([{"type": "text", "text": "What is this?"}, block])],
    ):
        with pytest.raises(InputError, match=f"holds '{kind}', but this model reads text only"):
            seek.invoke(conversation)


def test_a_text_block_without_a_text_is_refused(tiny: Backbone) -> None:
    with pytest.raises(InputError, match="a human message holds a text block without a text"):
        LatentSeek(tiny, by_length, CONFIG).invoke([HumanMessage([{"type": "text"}])])


def test_a_message_that_is_no_turn_is_refused(tiny: Backbone) -> None:
    with pytest.raises(InputError, match="RemoveMessage has no place in a conversation"):
        LatentSeek(tiny, by_length, CONFIG).invoke([RemoveMessage(id="1"), HumanMessage("2 + 2?")])
