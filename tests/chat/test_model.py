"""ChatLatentSeek's replies: streams, async, cancellation, limits, and refinement by a verifier."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import START, MessagesState, StateGraph

from latentseek_agents import Backbone, ChatLatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone
from tests.chat.test_standard import hermes_tokenizer
from tests.support.batch_decoding import decoder_of
from tests.support.chat_cases import CALL, add, told, total

SEARCH = LatentSeekConfig(max_iterations=3, fraction=0.3, learning_rate=0.3)


# -- plain replies


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "seed": 3}, {"stop": ["e"]}, {"max_tokens": 7}])
async def test_a_stream_equals_invoke(tiny: Backbone, options: dict[str, Any]) -> None:
    chat: Any = ChatLatentSeek(backbone=tiny, max_tokens=40)
    message = chat.invoke("Hello!", **options)
    assert told(total(list(chat.stream("Hello!", **options)))) == told(message)
    assert told(await chat.ainvoke("Hello!", **options)) == told(message)
    chunks = [chunk async for chunk in chat.astream("Hello!", **options)]
    assert told(total(chunks)) == told(message)
    assert chunks[-1].chunk_position == "last"


async def test_batches_equal_single_calls(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=12)
    questions: list[Any] = [f"What is {n}?" for n in range(6)]
    alone = [chat.invoke(question).content for question in questions]
    assert [message.content for message in chat.batch(questions)] == alone
    assert [message.content for message in await chat.abatch(questions)] == alone


def test_sampling_follows_the_seed(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=30, temperature=1.0)
    texts = [chat.bind(seed=seed).invoke("Hello!").content for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_rows_of_a_batch_have_one_seed_and_others_on_request(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=30, temperature=1.0)
    assert len({row.content for row in chat.batch(["Hello!"] * 3)}) == 1
    drawn = [chat.bind(seed=seed).batch(["Hello!"])[0].content for seed in range(5)]
    assert len(set(drawn)) == 5


@pytest.mark.parametrize(
    ("stop", "content", "reason"),
    [
        (["dog"], "The quick ", "stop"),
        (["xyz"], "The quick dog.", "stop"),
        (["g.", "k d"], "The quic", "stop"),
    ],
)
def test_stop_sequences_across_tokens(stop: list[str], content: str, reason: str) -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone(["The quick dog."]))
    message = chat.invoke("?", stop=stop)
    assert (message.content, message.response_metadata["finish_reason"]) == (content, reason)
    assert "".join(str(chunk.content) for chunk in chat.stream("?", stop=stop)) == content
    own = ChatLatentSeek(backbone=scripted_backbone(["The quick dog."]), stop=stop)
    assert own.invoke("?").content == content


def test_a_stop_sequence_that_is_no_list_is_one_sequence() -> None:
    chat: Any = ChatLatentSeek(backbone=scripted_backbone(["THE EXAMPLE END, and more"]))
    assert chat.invoke("?", stop="END").content == "THE EXAMPLE "


def test_tokens_are_counted_by_the_models_own_tokenizer(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=1)
    assert chat.get_num_tokens("Grüße") == 7
    question = HumanMessage("How are you?")
    counted = chat.get_num_tokens_from_messages([question])
    assert chat.invoke([question]).usage_metadata["input_tokens"] == counted  # type: ignore[index]
    bound: Any = chat.bind_tools([add]).invoke([question])
    assert bound.usage_metadata["input_tokens"] == chat.get_num_tokens_from_messages([question], [add])
    assert chat.get_num_tokens_from_messages([]) == 0
    # Longer than the model can read: that is what is trimmed.
    kept = trim_messages(
        [HumanMessage("a" * 2000), AIMessage("b"), question], token_counter=chat, max_tokens=counted
    )
    assert kept == [question]


def test_limits_costs_and_metadata() -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone(["abcdefgh"]), max_tokens=5)
    message = chat.invoke("?")
    assert message.content == "abcde"
    assert message.response_metadata == {
        "model_name": "scripted",
        "model_provider": "latentseek",
        "finish_reason": "length",
    }
    usage = message.usage_metadata
    assert usage is not None
    assert usage["output_tokens"] == 5
    assert usage["total_tokens"] == usage["input_tokens"] + 5
    whole = chat.invoke("?", max_tokens=100)
    assert (whole.content, whole.response_metadata["finish_reason"]) == ("abcdefgh", "stop")


def test_characters_of_several_tokens_are_streamed_whole() -> None:
    text = "Grüße, 世界 🙂!"
    pieces = [str(chunk.content) for chunk in ChatLatentSeek(backbone=scripted_backbone([text])).stream("?")]
    assert "".join(pieces) == text
    assert len(pieces) > 8
    assert not any("\ufffd" in piece for piece in pieces)


# -- cancellation, and the event loop


async def assert_cancelling_stops(
    work: Coroutine[Any, Any, Any], ticks: Sequence[Any], begun: Callable[[], bool]
) -> None:
    """Cancel it in the midst of its decoding, and see that within a token nothing ticks any more."""
    task = asyncio.create_task(work)
    while not begun():
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    count = len(ticks)
    await asyncio.sleep(0.15)
    assert len(ticks) <= count + 1


async def test_cancelling_stops_the_decoding_within_a_token() -> None:
    written: list[float] = []

    def tick() -> None:
        written.append(time.monotonic())
        time.sleep(0.02)

    chat: Any = ChatLatentSeek(backbone=scripted_backbone(["a" * 500], delay=tick))

    async def listen() -> None:
        async for _ in chat.astream("?"):
            pass

    for work in (listen(), chat.ainvoke("?")):
        written.clear()
        await assert_cancelling_stops(work, written, lambda: len(written) >= 4)


async def test_cancelling_stops_a_verifier_that_decodes() -> None:
    ticks: list[int] = []
    judging = threading.Event()
    backbone = scripted_backbone(["a" * 500], delay=lambda: ticks.append(1) or time.sleep(0.01))  # type: ignore[func-returns-value]

    def judge(question: str, solution: str, *, reference: str | None = None) -> float:
        judging.set()
        request = DecodeRequest(prompt_ids=[5], max_new_tokens=500, end_token_ids=backbone.eos_token_ids)
        return -len(decode(backbone, [request])) / 2

    chat: Any = ChatLatentSeek(backbone=backbone, verifier=judge, max_tokens=4)

    async def listen() -> None:
        async for _ in chat.astream("?"):
            pass

    for work in (listen(), chat.ainvoke("?")):
        ticks.clear()
        judging.clear()
        await assert_cancelling_stops(work, ticks, lambda: judging.is_set() and len(ticks) >= 8)


async def test_leaving_a_stream_stops_the_decoding(tiny: Backbone) -> None:
    ticks: list[int] = []
    chat = ChatLatentSeek(
        backbone=scripted_backbone(["a" * 500], delay=lambda: ticks.append(1) or time.sleep(0.01))  # type: ignore[func-returns-value]
    )
    for _ in chat.stream("?"):
        break
    count = len(ticks)
    time.sleep(0.1)
    assert len(ticks) <= count + 2
    # The real decoder drops the request, too.
    stream = ChatLatentSeek(backbone=tiny, max_tokens=900).stream("?")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    decoder = decoder_of(tiny)
    deadline = time.monotonic() + 5
    while decoder._active and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert not decoder._active


async def test_the_event_loop_stays_free() -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone(["a" * 20], delay=lambda: time.sleep(0.01)))
    task = asyncio.create_task(chat.ainvoke("?"))
    turns = 0
    while not task.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert turns > 10


# -- with a verifier


def test_a_refined_reply_tells_everything_in_plain_json(tiny: Backbone) -> None:
    chat = ChatLatentSeek(
        backbone=tiny, verifier=ScriptedVerifier([-1, -0.4, -0.1]), config=SEARCH, max_tokens=24
    )
    message = chat.invoke("What is 2 + 2?")
    about = message.response_metadata
    assert json.loads(json.dumps(about)) == about
    assert (about["score"], about["passed"], about["stop_reason"]) == (-0.1, True, "passed")
    assert [entry["iteration"] for entry in about["iterations"]] == [0, 1, 2]
    assert message.content == about["iterations"][-1]["text"]
    usage = message.usage_metadata
    assert usage is not None
    assert dict(usage["output_token_details"]) == {"policy": usage["output_tokens"], "verifier": 0}


async def test_refining_streams_events_and_one_message(tiny: Backbone) -> None:
    def chat() -> ChatLatentSeek:
        return ChatLatentSeek(backbone=tiny, verifier=ScriptedVerifier([-1]), config=SEARCH, max_tokens=24)

    expected = chat().invoke("What is 2 + 2?")
    chunks = list(chat().stream("What is 2 + 2?"))
    assert len(chunks) == 1
    assert told(chunks[0]) == told(expected)
    for source in (chat(), ChatPromptTemplate.from_messages([("human", "{x}")]) | chat()):
        given: Any = {"x": "What is 2 + 2?"} if source.__class__ is not ChatLatentSeek else "What is 2 + 2?"
        events: list[Any] = [event async for event in source.astream_events(given, version="v2")]
        custom = [event["data"] for event in events if event["event"] == "on_custom_event"]
        assert [data["iteration"] for data in custom] == [0, 1, 2, 3]
        shown = [
            event["data"]["chunk"].content for event in events if event["event"] == "on_chat_model_stream"
        ]
        assert "".join(shown) == expected.content


async def test_events_reach_the_custom_stream_of_a_graph(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, verifier=ScriptedVerifier([-1]), config=SEARCH, max_tokens=16)

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat.invoke(state["messages"])]}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat.ainvoke(state["messages"])]}

    for work in (node, anode):
        graph: Any = StateGraph(MessagesState).add_node("chat", work).add_edge(START, "chat").compile()
        given = {"messages": [HumanMessage("What is 2 + 2?")]}
        events = [event async for event in graph.astream(given, stream_mode="custom")]
        assert [event["iteration"] for event in events] == [0, 1, 2, 3]


def test_a_message_that_calls_a_tool_is_not_refined_unless_asked() -> None:
    for asked in (False, True):
        verifier = ScriptedVerifier([0.0])
        chat = ChatLatentSeek(
            backbone=scripted_backbone([CALL], hermes_tokenizer()), verifier=verifier, refine_tool_calls=asked
        )
        message: Any = chat.bind_tools([add]).invoke("1 + 2?")
        assert [call["args"] for call in message.tool_calls] == [{"a": 1, "b": 2}]
        assert len(verifier.calls) == int(asked)
        assert ("score" in message.response_metadata) == asked


def test_the_message_that_ends_a_turn_is_refined() -> None:
    verifier = ScriptedVerifier([0.0])
    backbone = scripted_backbone([CALL, "It is 3."], hermes_tokenizer())
    chat = ChatLatentSeek(backbone=backbone, verifier=verifier).bind_tools([add])
    messages: list[Any] = [SystemMessage("Be brief."), HumanMessage("1 + 2?")]
    messages.append(chat.invoke(messages))
    messages.append(ToolMessage("3", tool_call_id=messages[-1].tool_calls[0]["id"], name="add"))
    last = chat.invoke(messages)
    assert (last.content, last.response_metadata["passed"]) == ("It is 3.", True)
    assert verifier.calls == [("Be brief.\n\n1 + 2?", "It is 3.")]


def test_stop_sequences_cut_what_the_verifier_reads() -> None:
    verifier = ScriptedVerifier([0.0])
    chat = ChatLatentSeek(backbone=scripted_backbone(["It is 3. Next question"]), verifier=verifier)
    message = chat.invoke("1 + 2?", stop=[" Next"])
    assert message.content == "It is 3."
    assert verifier.calls[0][1] == "It is 3."
    assert message.response_metadata["iterations"][0]["text"] == "It is 3."
