"""ChatLatentSeek as LangChain and LangGraph use it: streams, async, cancellation, limits, copies, caches."""

import asyncio
import copy
import json
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel
from typing_extensions import TypedDict

from latentseek_agents import (
    Backbone,
    BackboneError,
    ChatLatentSeek,
    ConfigError,
    InputError,
    LatentSeekConfig,
)
from latentseek_agents.chat.structured import ReplyError
from latentseek_agents.testing import (
    ScriptedVerifier,
    scripted_backbone,
    tiny_backbone,
    tiny_tokenizer,
)
from tests.unit_tests.test_chat_standard import hermes_tokenizer

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
SEARCH = LatentSeekConfig(max_iterations=3, fraction=0.3, learning_rate=0.3)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def total(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """All chunks as one."""
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def told(message: Any) -> tuple[Any, ...]:
    """What a message says, without the ids that differ by call."""
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    return message.content, calls, message.usage_metadata, message.response_metadata


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
        task = asyncio.create_task(work)
        while len(written) < 4:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        count = len(written)
        await asyncio.sleep(0.15)
        assert len(written) <= count + 1


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
    decoder = tiny.batch_decoder
    assert decoder is not None
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


# -- tools


@pytest.mark.parametrize("native", [True, False])
def test_tools_and_their_history_reach_the_prompt(native: bool) -> None:
    prompts: list[str] = []

    def script(prompt: str) -> str:
        prompts.append(prompt)
        return "Done."

    tokenizer = hermes_tokenizer() if native else tiny_tokenizer()
    chat = ChatLatentSeek(backbone=scripted_backbone(script, tokenizer))
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1", "type": "tool_call"}
    history = [
        SystemMessage("Be brief."),
        HumanMessage("1 + 2?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("it is 3", tool_call_id="1", name="add"),
    ]
    chat.bind_tools([add]).invoke(history)
    chat.invoke(history)
    for prompt in prompts:
        assert "Be brief." in prompt
        assert '"arguments": {"a": 1, "b": 2}' in prompt
        assert "it is 3" in prompt
        assert ("<|im_start|>tool" in prompt) == native
    assert ["Add two numbers." in prompt for prompt in prompts] == [True, False]


def test_tool_choice() -> None:
    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    reply = '<tool_call>\n{"name": "multiply", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
    chat = ChatLatentSeek(backbone=scripted_backbone([reply], hermes_tokenizer()))
    for choice in (
        "any",
        "required",
        "multiply",
        True,
        {"type": "function", "function": {"name": "multiply"}},
    ):
        message: Any = chat.bind_tools([add, multiply], tool_choice=choice).invoke("?")
        assert [call["name"] for call in message.tool_calls] == ["multiply"]
    none: Any = chat.bind_tools([add, multiply], tool_choice="none").invoke("?")
    assert (none.content, none.tool_calls) == (reply, [])
    with pytest.raises(ConfigError, match=r"subtract.*add, multiply"):
        chat.bind_tools([add, multiply], tool_choice="subtract")


def test_a_forced_call_holds_on_an_untrained_model(tiny: Backbone) -> None:
    """It begins as a call, so that it is one, or an invalid one, and never something else."""
    message: Any = (
        ChatLatentSeek(backbone=tiny, max_tokens=60).bind_tools([add], tool_choice="add").invoke("?")
    )
    assert message.content == ""
    assert [call["name"] for call in (*message.tool_calls, *message.invalid_tool_calls)] == ["add"]


def test_marker_tokens_that_are_special_are_seen() -> None:
    tokenizer = hermes_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": ["[TOOL_CALLS]"]})
    reply = '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1, "b": 2}}]'
    chat = ChatLatentSeek(backbone=scripted_backbone([reply], tokenizer)).bind_tools([add])
    for message in (chat.invoke("?"), total(list(chat.stream("?")))):  # type: ignore[arg-type]
        assert [call["args"] for call in message.tool_calls] == [{"a": 1, "b": 2}]
        assert message.content == ""


def test_text_before_a_call_is_streamed_and_the_call_is_not() -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone(["I add them.\n" + CALL], hermes_tokenizer()))
    chunks: list[Any] = list(chat.bind_tools([add]).stream("?"))
    assert "".join(chunk.content for chunk in chunks) == "I add them."
    assert len(chunks) > 5
    assert [call["name"] for call in total(chunks).tool_calls] == ["add"]


BARE = '{"name": "add", "arguments": {"a": 1, "b": 2}}'


@pytest.mark.parametrize("reply", [BARE, f"I add.\n```json\n{BARE}\n```", f"<tools>\n{BARE}\n</tools>", CALL])
@pytest.mark.parametrize("tokenizer", [hermes_tokenizer, tiny_tokenizer])
def test_a_model_is_shown_its_calls_as_it_wrote_them(reply: str, tokenizer: Any) -> None:
    """One that has its own form does not know that of the template; the template's own is written by it."""
    prompts: list[str] = []

    def script(prompt: str) -> str:
        prompts.append(prompt)
        return reply

    chat = ChatLatentSeek(backbone=scripted_backbone(script, tokenizer())).bind_tools([add])
    called: Any = chat.invoke("1 + 2?")
    streamed: Any = total(list(chat.stream("1 + 2?")))  # type: ignore[arg-type]
    assert [call["args"] for call in called.tool_calls] == [{"a": 1, "b": 2}]
    for message in (called, streamed):
        result = ToolMessage("3", tool_call_id=message.tool_calls[0]["id"], name="add")
        prompts.clear()
        chat.invoke([HumanMessage("1 + 2?"), message, result])
        assert (f"<|im_start|>assistant\n{reply}<|im_end|>" in prompts[0]) == (
            reply != CALL or tokenizer is tiny_tokenizer
        )
    # Whoever changes the calls has the last word.
    changed = called.model_copy(
        update={"tool_calls": [{**called.tool_calls[0], "args": {"a": 5, "b": 6}}]},
    )
    chat.invoke([HumanMessage("1 + 2?"), changed, ToolMessage("11", tool_call_id="x", name="add")])
    assert '"arguments": {"a": 5, "b": 6}' in prompts[1]
    assert BARE not in prompts[1]


async def test_an_agent_calls_its_tool_and_answers() -> None:
    backbone = scripted_backbone([CALL, "It is 3."], hermes_tokenizer())
    chat = ChatLatentSeek(backbone=backbone).bind_tools([add])

    async def model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("model", model).add_node("tools", ToolNode([add]))
    builder.add_edge(START, "model").add_conditional_edges("model", tools_condition)
    graph: Any = builder.add_edge("tools", "model").compile()
    given = {"messages": [HumanMessage("1 + 2?")]}
    streamed = ""
    async for mode, part in graph.astream(given, stream_mode=["messages", "values"]):
        if mode == "values":
            messages = part["messages"]
        elif isinstance(part[0], AIMessageChunk):
            streamed += str(part[0].content)
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert (messages[2].content, messages[3].content) == ("3", "It is 3.")
    assert streamed == "It is 3."


def test_a_response_template_of_the_tokenizer_is_used() -> None:
    tokenizer = hermes_tokenizer()
    tokenizer.response_template = {
        "defaults": {"role": "assistant"},
        "start_anchor": "<|im_start|>assistant\n",
        "fields": {
            "thinking": {"open": "<think>", "close": "</think>"},
            "tool_calls": {
                "open": "<call>",
                "close": "</call>",
                "content": "json",
                "repeats": True,
                "transform": {"type": "function", "function": "{content}"},
            },
            "content": {},
        },
    }
    reply = '<think>Hm.</think>I add.<call>{"name": "add", "arguments": {"a": 1, "b": 2}}</call>'
    chat = ChatLatentSeek(backbone=scripted_backbone([reply], tokenizer)).bind_tools([add])
    for message in (chat.invoke("?"), total(list(chat.stream("?")))):  # type: ignore[arg-type]
        assert message.content == "I add."
        assert message.additional_kwargs["reasoning_content"] == "Hm."
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("add", {"a": 1, "b": 2})]


# -- structured output


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


class SumDict(TypedDict):
    """A sum."""

    a: int
    b: int


@pytest.mark.parametrize("method", ["function_calling", "json_mode", "json_schema"])
@pytest.mark.parametrize(
    "schema", [Sum, SumDict, Sum.model_json_schema()], ids=["pydantic", "typed dict", "json"]
)
def test_structured_output(method: Any, schema: Any) -> None:
    name = "SumDict" if schema is SumDict else "Sum"
    values = '{"a": 1, "b": 2}'
    call = f'<tool_call>\n{{"name": "{name}", "arguments": {values}}}\n</tool_call>'
    reply = call if method == "function_calling" else f"Here it is:\n```json\n{values}\n```"
    chat = ChatLatentSeek(backbone=scripted_backbone([reply], hermes_tokenizer()))
    structured = chat.with_structured_output(schema, method=method)
    expected: Any = Sum(a=1, b=2) if schema is Sum else {"a": 1, "b": 2}
    assert structured.invoke("?") == expected
    assert list(structured.stream("?")) == [expected]
    raw: Any = chat.with_structured_output(schema, method=method, include_raw=True).invoke("?")
    assert (raw["parsed"], raw["parsing_error"]) == (expected, None)
    assert isinstance(raw["raw"], AIMessage)


@pytest.mark.parametrize("reply", ['{"a": 1, "b"', "three", "[1, 2]", '{"a": "one", "b": 2}', '{"a": 1}'])
def test_a_reply_that_misses_the_schema_is_an_error(reply: str) -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone([reply]))
    structured = chat.with_structured_output(Sum, method="json_mode")
    with pytest.raises(ReplyError):
        structured.invoke("?")
    raw: Any = chat.with_structured_output(Sum, method="json_mode", include_raw=True).invoke("?")
    assert raw["parsed"] is None
    assert isinstance(raw["parsing_error"], ReplyError)


# -- settings, copies, caches


def test_settings_are_checked(tiny: Backbone) -> None:
    for wrong in ({"max_tokens": 0}, {"temperature": -1}, {"max_new_tokens": 5}, {"model": "x"}):
        with pytest.raises(ConfigError):
            ChatLatentSeek(backbone=tiny, **wrong)
    with pytest.raises(ConfigError, match="needs either"):
        ChatLatentSeek()
    chat = ChatLatentSeek(backbone=tiny)
    with pytest.raises(ConfigError, match="top_q"):
        chat.invoke("?", top_q=1)
    with pytest.raises(InputError, match="image"):
        chat.invoke([HumanMessage([{"type": "image", "url": "https://example.org/x.png"}])])
    with pytest.raises(InputError, match="no messages"):
        chat.invoke([])


def test_the_model_is_in_no_representation(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, verifier=ScriptedVerifier())
    for text in (repr(chat), str(chat), str(chat.model_dump()), str(chat._identifying_params)):
        assert "Backbone(" not in text
        assert "0x" not in text


def test_deep_copies_share_the_model(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=8, stop=["x"])
    for copied in (copy.deepcopy(chat), chat.model_copy(deep=True), copy.deepcopy(chat.bind(seed=1)).bound):
        assert isinstance(copied, ChatLatentSeek)
        assert copied.backbone is tiny
        assert copied is not chat
        assert copied.stop == ["x"]
        assert copied.invoke("Hello!").content == chat.invoke("Hello!").content


def test_a_model_by_name_is_loaded_on_first_use_once_and_pickled(tmp_path: Path) -> None:
    backbone = tiny_backbone()
    backbone.model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    chat = ChatLatentSeek(model=str(tmp_path), model_options={"dtype": "float32"}, max_tokens=8)
    again = pickle.loads(pickle.dumps(chat))  # noqa: S301
    expected = ChatLatentSeek(backbone=backbone, max_tokens=8).invoke("Hello!")
    assert again.invoke("Hello!").content == chat.invoke("Hello!").content == expected.content
    assert chat._loaded() is again._loaded()
    assert chat.invoke("Hello!").response_metadata["model_name"] == str(tmp_path)
    with pytest.raises(BackboneError, match="not pickled"):
        pickle.dumps(ChatLatentSeek(backbone=backbone))
    with pytest.raises(BackboneError):
        ChatLatentSeek(model=str(tmp_path / "nothing")).invoke("Hello!")


def test_configurable_retry_fallback_and_bind(tiny: Backbone) -> None:
    chat = ChatLatentSeek(backbone=tiny, max_tokens=20)
    configurable = chat.configurable_fields(max_tokens=ConfigurableField(id="most"))
    short: Any = configurable.invoke("Hello!", {"configurable": {"most": 5}})
    assert short.usage_metadata["output_tokens"] == 5
    assert short.content == chat.bind(max_tokens=5).invoke("Hello!").content
    assert chat.with_retry().invoke("Hello!").content == chat.invoke("Hello!").content
    broken = ChatLatentSeek(backbone=scripted_backbone(lambda prompt: 1 / 0))  # type: ignore[arg-type, return-value]
    assert broken.with_fallbacks([chat]).invoke("Hello!").content == chat.invoke("Hello!").content
    with pytest.raises(ZeroDivisionError):
        list(broken.stream("Hello!"))


def test_the_cache_tells_settings_and_models_apart() -> None:
    def counting(calls: list[str]) -> Any:
        return lambda prompt: calls.append(prompt) or f"Reply {len(calls)}."  # type: ignore[func-returns-value]

    calls: list[str] = []
    cache = InMemoryCache()
    backbone = scripted_backbone(counting(calls))
    chat = ChatLatentSeek(backbone=backbone, cache=cache)
    assert chat.invoke("?").content == chat.invoke("?").content == "Reply 1."
    assert ChatLatentSeek(backbone=backbone, cache=cache).invoke("?").content == "Reply 1."
    assert len(calls) == 1
    chat.invoke("?", stop=["x"])
    ChatLatentSeek(backbone=backbone, cache=cache, max_tokens=9).invoke("?")
    chat.bind_tools([add]).invoke("?")
    ChatLatentSeek(
        backbone=backbone, cache=cache, verifier=lambda question, solution, reference=None: 0.0
    ).invoke("?")
    assert len(calls) == 5
    ChatLatentSeek(
        backbone=backbone, cache=cache, verifier=lambda question, solution, reference=None: -0.1
    ).invoke("?")
    assert len(calls) == 6
    other = tiny_backbone(seed=1)
    first, second = (ChatLatentSeek(backbone=each)._get_llm_string() for each in (tiny_backbone(), other))
    assert first != second
    assert first == ChatLatentSeek(backbone=tiny_backbone())._get_llm_string()
