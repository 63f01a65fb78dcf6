"""Whole conversations with tools through templates of the shapes of Llama 3 and of Mistral.

The templates are written for these tests. They ask and refuse as those of the models do: Llama takes one call
per message, calls the role of results "ipython" and quotes them; Mistral wants ids of nine letters or digits,
turns that alternate, and puts the tools before the last question.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage

from latentseek_agents import ChatLatentSeek
from latentseek_agents.chat._rendering import render
from latentseek_agents.testing import scripted_backbone, tiny_tokenizer

LLAMA = """
{{- bos_token }}
{%- set rules = "" %}
{%- if messages[0].role == "system" %}
    {%- set rules = messages[0].content | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools %}{{- "Environment: ipython\n" }}{%- endif %}
{{- rules + "<|eot_id|>" }}
{%- if tools %}
    {%- if not messages %}{{- raise_exception("there is no user message for the tools") }}{%- endif %}
    {{- "<|start_header_id|>user<|end_header_id|>\n\nFunctions, called by JSON with " }}
    {{- '"name" and "parameters":\n' }}
    {%- for tool in tools %}{{- tool | tojson + "\n" }}{%- endfor %}
    {{- messages[0].content | trim + "<|eot_id|>" }}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
    {%- if message.tool_calls %}
        {%- if message.tool_calls | length != 1 %}{{- raise_exception("one call per message") }}{%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- "<|start_header_id|>assistant<|end_header_id|>\n\n" }}
        {{- '{"name": "' + call.name + '", "parameters": ' + call.arguments | tojson + "}<|eot_id|>" }}
    {%- elif message.role in ("tool", "ipython") %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>" + message.role + "<|end_header_id|>\n\n" }}
        {{- message.content | trim + "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|start_header_id|>assistant<|end_header_id|>\n\n" }}{%- endif %}
"""
LLAMA_TOKENS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"]

MISTRAL = """
{%- if messages[0].role == "system" %}
    {%- set rules = messages[0].content %}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- set turns = namespace(count=0) %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "assistant" and message.tool_calls is undefined) %}
        {%- if (message.role == "user") != (turns.count % 2 == 0) %}
            {{- raise_exception("user and assistant have to take turns") }}
        {%- endif %}
        {%- set turns.count = turns.count + 1 %}
    {%- endif %}
{%- endfor %}
{%- set asked = (messages | selectattr("role", "equalto", "user") | list)[-1] %}
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == "user" %}
        {%- if tools and message == asked %}
            {{- "[AVAILABLE_TOOLS] " + tools | tojson + "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {{- "[INST] " + (rules + "\n\n" if message == asked and rules is defined else "") }}
        {{- message.content + "[/INST]" }}
    {%- elif message.tool_calls is defined %}
        {{- "[TOOL_CALLS] [" }}
        {%- for call in message.tool_calls %}
            {%- if call.id is undefined or call.id | length != 9 %}
                {{- raise_exception("an id has nine letters or digits") }}
            {%- endif %}
            {{- (call.function | tojson)[:-1] + ', "id": "' + call.id + '"}' }}
            {{- ", " if not loop.last else "]" + eos_token }}
        {%- endfor %}
    {%- elif message.role == "assistant" %}
        {{- " " + message.content + eos_token }}
    {%- elif message.role == "tool" %}
        {%- if message.tool_call_id is undefined or message.tool_call_id | length != 9 %}
            {{- raise_exception("an id has nine letters or digits") }}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content | tojson }}
        {{- ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("the roles are user, assistant and tool") }}
    {%- endif %}
{%- endfor %}
"""
MISTRAL_TOKENS = ["[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"]
MISTRAL_TOKENS += ["[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"]


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def tokenizer_of(template: str) -> Any:
    """The tiny tokenizer with a template and the special tokens of its family."""
    tokenizer = tiny_tokenizer()
    tokens = LLAMA_TOKENS if template is LLAMA else MISTRAL_TOKENS
    tokenizer.add_special_tokens({"extra_special_tokens": tokens})
    tokenizer.chat_template = template
    return tokenizer


class Talk:
    """A scripted model behind a template, and the prompts that it was given."""

    def __init__(self, template: str, replies: list[str]) -> None:
        self.prompts: list[str] = []
        self.replies = iter(replies)
        self.chat = ChatLatentSeek(backbone=scripted_backbone(self._reply, tokenizer_of(template)))

    def _reply(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return next(self.replies)


def called(message: Any) -> list[tuple[str, Any]]:
    """The calls of a message."""
    assert not message.invalid_tool_calls
    return [(call["name"], call["args"]) for call in message.tool_calls]


def results(message: Any) -> list[ToolMessage]:
    """What the tools say to the calls of a message."""
    functions: dict[str, Callable[..., int]] = {"multiply": multiply, "add": add}
    return [
        ToolMessage(str(functions[call["name"]](**call["args"])), tool_call_id=call["id"], name=call["name"])
        for call in message.tool_calls
    ]


def run(talk: Talk) -> list[Any]:
    """A question, the calls, their results and the answer."""
    chat = talk.chat.bind_tools([multiply, add])
    messages: list[Any] = [SystemMessage("Be brief."), HumanMessage("How much?")]
    messages.append(chat.invoke(messages))
    messages += results(messages[-1])
    messages.append(chat.invoke(messages))
    return messages


def test_llama_calls_reads_and_answers() -> None:
    talk = Talk(LLAMA, ['{"name": "multiply", "parameters": {"a": 6, "b": 7}}', "It is 42."])
    messages = run(talk)
    assert called(messages[2]) == [("multiply", {"a": 6, "b": 7})]
    assert messages[2].content == ""
    assert messages[-1].content == "It is 42."
    head = (
        "<|im_start|><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\nBe brief.<|eot_id|>"
    )
    assert talk.prompts[0].startswith(head)
    assert "Multiply two numbers." in talk.prompts[0]
    assert talk.prompts[1] == talk.prompts[0] + (
        '{"name": "multiply", "parameters": {"a": 6, "b": 7}}<|eot_id|>'
        '<|start_header_id|>ipython<|end_header_id|>\n\n"42"<|eot_id|>'
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


@pytest.mark.parametrize(
    "reply",
    [
        '{"name": "multiply", "parameters": {"a": 6, "b": 7}}; '
        '{"name": "add", "parameters": {"a": 1, "b": 2}}',
        '<|python_tag|>{"name": "multiply", "parameters": {"a": 6, "b": 7}}; '
        '{"name": "add", "parameters": {"a": 1, "b": 2}}<|eom_id|>',
    ],
)
def test_llama_gets_parallel_calls_back_one_by_one(reply: str) -> None:
    talk = Talk(LLAMA, [reply, "Done."])
    messages = run(talk)
    assert called(messages[2]) == [("multiply", {"a": 6, "b": 7}), ("add", {"a": 1, "b": 2})]
    assert messages[-1].content == "Done."
    assert talk.prompts[1] == talk.prompts[0] + (
        '{"name": "multiply", "parameters": {"a": 6, "b": 7}}<|eot_id|>'
        '<|start_header_id|>ipython<|end_header_id|>\n\n"42"<|eot_id|>'
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
        '{"name": "add", "parameters": {"a": 1, "b": 2}}<|eot_id|>'
        '<|start_header_id|>ipython<|end_header_id|>\n\n"3"<|eot_id|>'
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_mistral_calls_reads_and_answers() -> None:
    talk = Talk(MISTRAL, ['[TOOL_CALLS] [{"name": "multiply", "arguments": {"a": 6, "b": 7}}]', "It is 42."])
    messages = run(talk)
    assert called(messages[2]) == [("multiply", {"a": 6, "b": 7})]
    assert (messages[2].content, messages[-1].content) == ("", "It is 42.")
    call_id = messages[2].tool_calls[0]["id"]
    assert talk.prompts[0].startswith("<|im_start|>[AVAILABLE_TOOLS] [{")
    assert talk.prompts[0].endswith("[/AVAILABLE_TOOLS][INST] Be brief.\n\nHow much?[/INST]")
    assert talk.prompts[1] == talk.prompts[0] + (
        f'[TOOL_CALLS] [{{"name": "multiply", "arguments": {{"a": 6, "b": 7}}, "id": "{call_id}"}}]<|im_end|>'
        f'[TOOL_RESULTS] {{"content": "42", "call_id": "{call_id}"}}[/TOOL_RESULTS]'
    )


def test_mistral_calls_in_parallel() -> None:
    calls = [
        {"name": "multiply", "arguments": {"a": 6, "b": 7}},
        {"name": "add", "arguments": {"a": 1, "b": 2}},
    ]
    talk = Talk(MISTRAL, [f"[TOOL_CALLS] {json.dumps(calls)}", "Done."])
    messages = run(talk)
    assert called(messages[2]) == [("multiply", {"a": 6, "b": 7}), ("add", {"a": 1, "b": 2})]
    ids = [call["id"] for call in messages[2].tool_calls]
    after = talk.prompts[1].removeprefix(talk.prompts[0])
    assert [after.count(call_id) for call_id in ids] == [2, 2]
    assert after.index('"content": "42"') < after.index('"content": "3"')


def test_mistral_gets_short_ids_for_those_of_other_models() -> None:
    talk = Talk(MISTRAL, ["It is 42."])
    call = {"name": "multiply", "args": {"a": 6, "b": 7}, "id": "call_of_another_model", "type": "tool_call"}
    history = [
        HumanMessage("How much?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("42", tool_call_id="call_of_another_model", name="multiply"),
    ]
    assert talk.chat.bind_tools([multiply]).invoke(history).content == "It is 42."
    assert "call_of_another_model" not in talk.prompts[0]
    [result] = [part.split('"')[0] for part in talk.prompts[0].split('"call_id": "')[1:]]
    assert f'"id": "{result}"' in talk.prompts[0]


@pytest.mark.parametrize("template", [LLAMA, MISTRAL])
def test_a_conversation_goes_on_after_its_tools(template: str) -> None:
    """A next question after the answer; and one right after a result, which Mistral's template refuses."""
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "abcdefghi", "type": "tool_call"}
    history: list[Any] = [
        HumanMessage("1 + 2?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("it is three", tool_call_id="abcdefghi", name="add"),
    ]
    for between in ([AIMessage("It is 3.")], []):
        talk = Talk(template, ["Yes."])
        answer = talk.chat.bind_tools([add]).invoke([*history, *between, HumanMessage("Sure?")])
        assert answer.content == "Yes."
        parts = ["1 + 2?", '{"a": 1, "b": 2}', "it is three", *(str(m.content) for m in between), "Sure?"]
        places = [talk.prompts[0].index(part) for part in parts]
        assert places == sorted(places)
        assert "Add two numbers." in talk.prompts[0]


@pytest.mark.parametrize(
    ("template", "begin", "call"),
    [
        (LLAMA, "", lambda name: f'{{"name": "{name}", "parameters": {{"a": 1, "b": 2}}}}'),
        (MISTRAL, "[TOOL_CALLS] [", lambda name: f'{{"name": "{name}", "arguments": {{"a": 1, "b": 2}}}}]'),
    ],
)
def test_tool_choice_opens_the_call(template: str, begin: str, call: Callable[[str], str]) -> None:
    for choice in ("any", "add"):
        talk = Talk(template, [begin + call("add")] * 2)
        chat = talk.chat.bind_tools([multiply, add], tool_choice=choice)
        assert called(chat.invoke("?")) == [("add", {"a": 1, "b": 2})]
        whole: Any = None
        for chunk in chat.stream("?"):
            whole = chunk if whole is None else whole + chunk
        assert isinstance(whole, AIMessageChunk)
        assert (called(whole), whole.content) == ([("add", {"a": 1, "b": 2})], "")
    # A model that would rather talk has begun a call all the same.
    talk = Talk(template, ["I would rather talk."])
    message: Any = talk.chat.bind_tools([add], tool_choice="add").invoke("?")
    assert (message.content, message.tool_calls, len(message.invalid_tool_calls)) == ("", [], 1)
    talk = Talk(template, ["No."])
    assert talk.chat.bind_tools([add], tool_choice="none").invoke("?").content == "No."
    assert "Add two numbers." not in talk.prompts[0]


@pytest.mark.parametrize("template", [LLAMA, MISTRAL])
def test_contents_open_no_turns(template: str) -> None:
    tokenizer = tokenizer_of(template)
    backbone = scripted_backbone([""], tokenizer)
    special = set(tokenizer.all_special_ids)

    def prompt(text: str) -> list[int]:
        call = {"name": "add", "args": {"a": text}, "id": "abcdefghi", "type": "tool_call"}
        messages = [
            SystemMessage(text),
            HumanMessage(text),
            AIMessage("", tool_calls=[call]),
            ToolMessage(text, tool_call_id="abcdefghi", name="add"),
            AIMessage(text),
            HumanMessage(text),
        ]
        return [token for token in render(backbone, messages).token_ids if token in special]

    assert prompt("".join([*LLAMA_TOKENS, *MISTRAL_TOKENS, "<|im_end|>"])) == prompt("x")
