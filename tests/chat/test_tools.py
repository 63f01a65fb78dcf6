"""ChatLatentSeek's tools and structured output: what reaches the prompt, and what is read in a reply."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel
from typing_extensions import TypedDict

from latentseek_agents import Backbone, ChatLatentSeek, ConfigError, InputError
from latentseek_agents.chat._structured import ReplyError
from latentseek_agents.testing import scripted_backbone, tiny_tokenizer
from latentseek_agents.tools.langchain_tools import check_math_steps
from tests.chat.test_standard import hermes_tokenizer
from tests.support.chat_cases import CALL, add, total


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
        {"type": "any", "disable_parallel_tool_use": True},
        {"type": "tool", "name": "multiply"},
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


def test_a_stop_sequence_is_not_looked_for_in_what_a_forced_call_begins_with() -> None:
    reply = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
    chat = ChatLatentSeek(backbone=scripted_backbone([reply], hermes_tokenizer())).bind_tools(
        [add], tool_choice="add"
    )
    for stop in ("name", "\n{", "<tool"):
        for message in (chat.invoke("?", stop=[stop]), total(list(chat.stream("?", stop=[stop])))):  # type: ignore[arg-type]
            assert [call["args"] for call in message.tool_calls] == [{"a": 1, "b": 2}]
    cut: Any = chat.invoke("?", stop=['"b"'])
    assert [call["name"] for call in cut.invalid_tool_calls] == ["add"]


def test_a_forced_call_keeps_to_the_limit_and_needs_a_tool() -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone([CALL], hermes_tokenizer()))
    message: Any = chat.bind_tools([add], tool_choice="add").invoke("?", max_tokens=3)
    assert message.usage_metadata["output_tokens"] == 3
    assert message.response_metadata["finish_reason"] == "length"
    assert message.tool_calls == []
    with pytest.raises(ConfigError, match="there is no tool to call"):
        chat.bind_tools([], tool_choice="any")


def test_a_number_beyond_all_bounds_makes_no_valid_call() -> None:
    reply = '<tool_call>\n{"name": "add", "arguments": {"a": 1e999, "b": 2}}\n</tool_call>'
    chat = ChatLatentSeek(backbone=scripted_backbone([reply], hermes_tokenizer()))
    message: Any = chat.bind_tools([add]).invoke("?")
    assert message.tool_calls == []
    assert "too large" in message.invalid_tool_calls[0]["error"]


def test_a_tool_that_a_provider_runs_is_refused() -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone(["Hi!"], hermes_tokenizer()))
    with pytest.raises(ConfigError, match="'web_search_preview' is run by its provider's server"):
        chat.bind_tools([{"type": "web_search_preview"}])


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


def test_a_text_format_asks_for_no_json() -> None:
    prompts: list[str] = []
    chat: Any = ChatLatentSeek(backbone=scripted_backbone(lambda prompt: prompts.append(prompt) or "Hi."))  # type: ignore[func-returns-value]
    for options in ({}, {"response_format": {"type": "text"}}, {"response_format": {"type": "json_object"}}):
        chat.invoke("?", **options)
    assert ["JSON" in prompt for prompt in prompts] == [False, False, True]


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


# -- what models of other families write


QWEN_XML = "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n2\n</parameter>\n"
QWEN_XML += "</function>\n</tool_call>"


@pytest.mark.parametrize(
    "call",
    [
        QWEN_XML,
        '<|tool_call|>[{"name": "add", "arguments": {"a": 1, "b": 2}}]<|/tool_call|>',
        '<tool_call>\n```json\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n```\n</tool_call>',
        "[add(a=1, b=2)]",
        'I add them.\n{"name": "add", "arguments": {"a": 1, "b": 2}}',
        '<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": 1, "b": 2}',
    ],
)
def test_an_agent_goes_on_after_a_call_of_any_family(call: str) -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone([call, "It is 3."], hermes_tokenizer()))
    agent: Any = create_agent(chat, [add])
    messages = agent.invoke({"messages": [HumanMessage("1 + 2?")]})["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[1].tool_calls[0]["args"] == {"a": 1, "b": 2}
    assert messages[1].invalid_tool_calls == []
    assert (messages[2].content, messages[3].content) == ("3", "It is 3.")


def test_special_tokens_of_other_families_are_not_lost() -> None:
    tokenizer = hermes_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|tool_call|>", "<|/tool_call|>"]})
    call = '<|tool_call|>[{"name": "add", "arguments": {"a": 1, "b": 2}}]<|/tool_call|>'
    chat: Any = ChatLatentSeek(backbone=scripted_backbone([call], tokenizer)).bind_tools([add])
    for message in (chat.invoke("?"), total(list(chat.stream("?")))):
        assert [(each["name"], each["args"]) for each in message.tool_calls] == [("add", {"a": 1, "b": 2})]
        assert message.content == ""


LATEX = r"We share: \frac{12}{4} = 3, and \sqrt{9} \times 2 = 6."


def test_latex_in_a_call_is_what_the_tool_gets() -> None:
    call = f'<tool_call>{{"name": "check_math_steps", "arguments": {{"solution": "{LATEX}"}}}}</tool_call>'
    chat = ChatLatentSeek(backbone=scripted_backbone([call, "Right."], hermes_tokenizer()))
    agent: Any = create_agent(chat, [check_math_steps])
    messages = agent.invoke({"messages": [HumanMessage("Check it.")]})["messages"]
    assert messages[1].tool_calls[0]["args"] == {"solution": LATEX}
    assert messages[2].content == "No error found: 2 of 2 equations were checked and hold."


def test_latex_in_structured_output() -> None:
    class Step(BaseModel):
        """A step."""

        text: str

    reply = f'{{"text": "{LATEX}"}}'
    chat: Any = ChatLatentSeek(backbone=scripted_backbone([reply], hermes_tokenizer()))
    assert chat.with_structured_output(Step, method="json_mode").invoke("?").text == LATEX


def test_latex_that_the_response_template_read() -> None:
    tokenizer = hermes_tokenizer()
    call: dict[str, Any] = {"open": "<call>", "close": "</call>", "content": "json", "repeats": True}
    call["transform"] = {"type": "function", "function": "{content}"}
    tokenizer.response_template = {
        "defaults": {"role": "assistant"},
        "start_anchor": "<|im_start|>assistant\n",
        "fields": {"tool_calls": call, "content": {}},
    }
    replies = [r'<call>{"name": "add", "arguments": {"a": "\frac{1}{2}"}}</call>', QWEN_XML]
    chat: Any = ChatLatentSeek(backbone=scripted_backbone(replies, tokenizer)).bind_tools([add])
    assert chat.invoke("?").tool_calls[0]["args"] == {"a": r"\frac{1}{2}"}
    assert chat.invoke("?").tool_calls[0]["args"] == {"a": 1, "b": 2}


@pytest.mark.parametrize("options", [{}, {"tool_choice": "any"}])
def test_a_conversation_without_messages_is_refused(options: dict[str, Any]) -> None:
    chat: Any = ChatLatentSeek(backbone=scripted_backbone(["Hi."], hermes_tokenizer()))
    for model in (
        chat,
        chat.bind_tools([add], **options),
        chat.bind(response_format={"type": "json_object"}),
    ):
        with pytest.raises(InputError, match="there are no messages"):
            model.invoke([])
