"""The chat model with models that think: reasoning blocks, streams, calls, structured output, history."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from pydantic import BaseModel

from latentseek_agents import Backbone, ChatLatentSeek, ConfigError, LatentSeekConfig
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_model, tiny_tokenizer

OPENS = "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"
SWITCH = (
    "{% if add_generation_prompt %}{{ '<think>\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'


class Sum(BaseModel):
    """A sum."""

    a: int
    b: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def tokenizer(template: str = "", special: tuple[str, ...] = ()) -> Any:
    made = tiny_tokenizer()
    if special:
        made.add_special_tokens({"additional_special_tokens": list(special)})
    made.chat_template += template
    return made


def total(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


REPLIES: list[tuple[str, Any]] = [
    ("<think>Hm, 2.</think>\n\nIt is 4.", None),
    ("Hm, 2.\n</think>\n\nIt is 4.", tokenizer(OPENS)),
    (
        "[THINK]Hm, 2.[/THINK]It is 4.",
        tokenizer("{# [THINK][/THINK] #}", ("[THINK]", "[/THINK]")),
    ),
    (
        "<|channel|>analysis<|message|>Hm, 2.<|end|><|start|>assistant<|channel|>final<|message|>It is 4.",
        tokenizer(
            "{# <|channel|>analysis<|message|> #}", ("<|channel|>", "<|message|>", "<|end|>", "<|start|>")
        ),
    ),
]


@pytest.mark.parametrize(("script", "made"), REPLIES)
def test_thoughts_are_a_reasoning_block(script: str, made: Any) -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone([script], made))
    chunks: Any = list(chat.stream("?"))
    for message in (chat.invoke("?"), total(chunks)):
        assert message.content == "It is 4."
        assert [(block["type"], block.get(block["type"])) for block in message.content_blocks] == [
            ("reasoning", "Hm, 2."),
            ("text", "It is 4."),
        ]
    kinds = [
        "reasoning" if chunk.additional_kwargs.get("reasoning_content") else "text"
        for chunk in chunks
        if chunk.content or chunk.additional_kwargs.get("reasoning_content")
    ]
    assert kinds == sorted(kinds)
    assert kinds.count("reasoning") > 1


@pytest.mark.parametrize(("script", "made"), REPLIES)
def test_tokens_of_thoughts_are_told_apart(script: str, made: Any) -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone([script], made))
    for message in (chat.invoke("?"), total(list(chat.stream("?")))):
        usage: Any = message.usage_metadata
        # A byte is a token.
        thought = len("Hm, 2.\n" if script.startswith("Hm") else "Hm, 2.")
        assert usage["output_token_details"] == {"reasoning": thought}
        assert usage["output_tokens"] > len("Hm, 2.") + len("It is 4.")
    plain = ChatLatentSeek(backbone=scripted_backbone(["It is 4."])).invoke("?")
    assert "output_token_details" not in (plain.usage_metadata or {})


def test_a_search_counts_the_thoughts_of_all_its_attempts() -> None:
    chat = ChatLatentSeek(
        backbone=scripted_backbone(["<think>Hm.</think>It is 5.", "<think>Oh!!</think>It is 4."]),
        verifier=ScriptedVerifier([-1.0, 0.0]),
        config=LatentSeekConfig(proposals="samples", max_iterations=1),
    )
    message = chat.invoke("What is 2 + 2?")
    usage: Any = message.usage_metadata
    assert usage["output_token_details"]["reasoning"] == len("Hm." + "Oh!!")
    assert [entry["thinking"] for entry in message.response_metadata["iterations"]] == ["Hm.", "Oh!!"]


def test_version_1_of_the_output_has_the_blocks_in_its_content() -> None:
    script = f"<think>Hm.</think>I add. {CALL}"
    chat = ChatLatentSeek(backbone=scripted_backbone([script]), output_version="v1").bind_tools([add])
    chunks: Any = list(chat.stream("?"))
    for message in (chat.invoke("?"), total(chunks)):
        blocks: Any = message.content
        assert [block["type"] for block in blocks][:2] == ["reasoning", "text"]
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("add", {"a": 1, "b": 2})]


async def test_thoughts_are_streamed_asynchronously() -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone(["<think>Hm.</think>4."]))
    chunks: Any = [chunk async for chunk in chat.astream("?")]
    assert total(chunks).content_blocks[0]["type"] == "reasoning"


def test_stop_sequences_are_looked_for_in_the_answer() -> None:
    chat = ChatLatentSeek(backbone=scripted_backbone(["<think>One. END? Two.</think>It is 4. END more"]))
    message = chat.invoke("?", stop=["END"])
    assert (message.content, message.additional_kwargs["reasoning_content"]) == (
        "It is 4. ",
        "One. END? Two.",
    )


def test_a_call_in_a_thought_is_none() -> None:
    chat: Any = ChatLatentSeek(backbone=scripted_backbone([f"<think>{CALL}</think>I need no tool."]))
    message = chat.bind_tools([add]).invoke("?")
    assert (message.content, message.tool_calls) == ("I need no tool.", [])


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_agent_calls_tools_behind_thoughts(opened: bool, streamed: bool) -> None:
    scripts = [f"<think>I add.</think>\n{CALL}", "<think>3, then.</think>\nIt is 3."]
    if opened:
        scripts = [script.removeprefix("<think>") for script in scripts]
    backbone = scripted_backbone(scripts, tokenizer(OPENS) if opened else None)
    agent: Any = create_agent(ChatLatentSeek(backbone=backbone), [add])
    asked = {"messages": [HumanMessage("What is 1 + 2?")]}
    if streamed:
        parts = list(agent.stream(asked, stream_mode="messages"))
        text = "".join(part.text for part, _ in parts if isinstance(part, AIMessageChunk))
        thoughts = "".join(
            part.additional_kwargs.get("reasoning_content", "")
            for part, _ in parts
            if isinstance(part, AIMessageChunk)
        )
        assert (text.strip(), thoughts) == ("It is 3.", "I add.3, then.")
        return
    messages = agent.invoke(asked)["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert (messages[2].content, messages[3].content) == ("3", "It is 3.")


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("method", ["function_calling", "json_mode", "json_schema"])
def test_structured_output_comes_behind_a_thought(method: Any, opened: bool) -> None:
    answer = '{"a": 1, "b": 2}'
    if method == "function_calling":
        answer = f'<tool_call>\n{{"name": "Sum", "arguments": {answer}}}\n</tool_call>'
    script = f'<think>{{"a": 5, "b": 5}}?</think>\n{answer}'
    made = tokenizer(OPENS) if opened else None
    chat = ChatLatentSeek(backbone=scripted_backbone([script.removeprefix("<think>" * opened)], made))
    model = chat.with_structured_output(Sum, method=method)
    assert model.invoke("?") == Sum(a=1, b=2)
    assert list(model.stream("?"))[-1] == Sum(a=1, b=2)


async def test_agents_and_structured_output_stream_asynchronously() -> None:
    scripts = [f"<think>I add.</think>\n{CALL}", "<think>3, then.</think>\nIt is 3."]
    agent: Any = create_agent(ChatLatentSeek(backbone=scripted_backbone(scripts)), [add])
    asked = {"messages": [HumanMessage("What is 1 + 2?")]}
    parts = [part async for part, _ in agent.astream(asked, stream_mode="messages")]
    chunks = [part for part in parts if isinstance(part, AIMessageChunk)]
    assert "".join(chunk.text for chunk in chunks).strip() == "It is 3."
    thoughts = [chunk.additional_kwargs.get("reasoning_content", "") for chunk in chunks]
    assert "".join(thoughts) == "I add.3, then."
    chat = ChatLatentSeek(backbone=scripted_backbone(['<think>{"a": 5, "b": 5}?</think>\n{"a": 1, "b": 2}']))
    model = chat.with_structured_output(Sum, method="json_mode")
    assert [part async for part in model.astream("?")][-1] == await model.ainvoke("?") == Sum(a=1, b=2)


def test_an_agent_sees_no_earlier_thoughts_unless_its_template_reads_them() -> None:
    prompts: list[str] = []

    def reply(prompt: str) -> str:
        prompts.append(prompt)
        called = "<tool_response>\n3" in prompt
        return "<think>Second.</think>It is 3." if called else f"<think>First.</think>\n{CALL}"

    agent: Any = create_agent(ChatLatentSeek(backbone=scripted_backbone(reply)), [add])
    agent.invoke({"messages": [HumanMessage("What is 1 + 2?")]})
    assert len(prompts) == 2
    assert "First." not in prompts[1]
    assert "<tool_response>\n3" in prompts[1]


def test_calls_in_channels_stand_behind_thoughts() -> None:
    marks = ("<|channel|>", "<|message|>", "<|end|>", "<|start|>", "<|constrain|>", "<|call|>")
    script = (
        "<|channel|>analysis<|message|>I add.<|end|><|start|>assistant<|channel|>commentary to=functions.add "
        '<|constrain|>json<|message|>{"a": 1, "b": 2}<|call|>'
    )
    made = tokenizer("{# <|channel|>analysis<|message|> #}", marks)
    chat: Any = ChatLatentSeek(backbone=scripted_backbone([script], made)).bind_tools([add])
    for message in (chat.invoke("?"), total(list(chat.stream("?")))):
        assert message.additional_kwargs["reasoning_content"] == "I add."
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("add", {"a": 1, "b": 2})]
        assert message.content == ""


class Choice(BaseModel):
    """Yes or no."""

    yes: bool


def test_a_model_that_thinks_for_ever_is_held_to_the_schema_all_the_same() -> None:
    backbone = Backbone.from_model(tiny_model(max_position_embeddings=4096), tokenizer(OPENS))
    chat = ChatLatentSeek(backbone=backbone, config=LatentSeekConfig(max_thinking_tokens=5))
    result: Any = chat.with_structured_output(Choice, method="json_schema", include_raw=True).invoke("?")
    assert isinstance(result["parsed"], Choice)
    assert result["raw"].additional_kwargs.get("reasoning_content")


def test_a_forced_call_stands_behind_the_thought() -> None:
    script = "I may not think of it.</think>Hello."
    chat: Any = ChatLatentSeek(backbone=scripted_backbone([script], tokenizer(OPENS)))
    message = chat.bind_tools([add], tool_choice="add").invoke("?")
    assert message.additional_kwargs["reasoning_content"] == "I may not think of it."
    assert message.invalid_tool_calls[0]["name"] == "add"


def seen(messages: list[Any], template: str) -> str:
    prompts: list[str] = []

    def reply(prompt: str) -> str:
        prompts.append(prompt)
        return "4."

    made = tiny_tokenizer()
    made.chat_template = template
    ChatLatentSeek(backbone=scripted_backbone(reply, made)).invoke(messages)
    return prompts[0]


READS_THOUGHTS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m.reasoning_content and loop.index0 + 2 > messages | length %}"
    "{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
)


def test_the_template_decides_what_the_history_shows_of_thoughts() -> None:
    def said(text: str, thought: str) -> AIMessage:
        return AIMessage(text, additional_kwargs={"reasoning_content": thought})

    conversation = ["2 + 2?", said("4.", "first thought"), "Sure?"]
    assert "first thought" not in seen(conversation, tiny_tokenizer().chat_template)
    assert "first thought" not in seen(conversation, READS_THOUGHTS)
    assert "first thought" in seen(conversation[:2], READS_THOUGHTS)
    block = AIMessage([{"type": "reasoning", "reasoning": "block thought"}, {"type": "text", "text": "4."}])
    assert "block thought" in seen(["2 + 2?", block], READS_THOUGHTS)


def test_a_refined_reply_has_its_thoughts() -> None:
    chat = ChatLatentSeek(
        backbone=scripted_backbone(["<think>Hm.</think>It is 5.", "<think>Oh.</think>It is 4."]),
        verifier=ScriptedVerifier([-1.0, 0.0]),
        config=LatentSeekConfig(proposals="samples", max_iterations=1),
    )
    message = chat.invoke("What is 2 + 2?")
    assert (message.content, message.additional_kwargs["reasoning_content"]) == ("It is 4.", "Oh.")


def test_thinking_is_switched_by_the_template() -> None:
    prompts: list[str] = []

    def reply(prompt: str) -> str:
        prompts.append(prompt)
        return "4."

    backbone = scripted_backbone(reply, tokenizer(SWITCH))
    for enabled in (None, True, False):
        ChatLatentSeek(backbone=backbone, config=LatentSeekConfig(enable_thinking=enabled)).invoke("?")
    assert [prompt.endswith("</think>\n\n") for prompt in prompts] == [False, False, True]
    unable = ChatLatentSeek(
        backbone=scripted_backbone(["4."]), config=LatentSeekConfig(enable_thinking=False)
    )
    with pytest.raises(ConfigError, match="no switch"):
        unable.invoke("?")


def test_a_reply_s_thought_has_a_budget() -> None:
    chat = ChatLatentSeek(
        backbone=scripted_backbone(["Let me see. " * 50 + "</think>It is 4."], tokenizer(OPENS)),
        config=LatentSeekConfig(max_thinking_tokens=30),
    )
    message = chat.invoke("?")
    assert len(message.additional_kwargs["reasoning_content"]) <= 30
    assert message.content
