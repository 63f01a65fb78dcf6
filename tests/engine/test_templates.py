"""What a chat template leaves out is merged, converted or an error; what it only changes is no alarm."""

import logging
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from latentseek_agents import ChatLatentSeek, LatentSeek, LatentSeekConfig
from latentseek_agents.chat._rendering import render
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.engine.templates import render_messages
from latentseek_agents.errors import InputError
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_tokenizer

# Every role, and every message, as it is.
WHOLE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
TURNS_ONLY = (
    "{% for m in messages if m.role in ('user', 'assistant') %}<{{ m.role }}>{{ m.content }}{% endfor %}"
)
USERS_ONLY = "{% for m in messages if m.role == 'user' %}[{{ m.content }}]{% endfor %}"
FIRST_ONLY = "<user>{{ messages[0].content }}"
LAST_ONLY = "<user>{{ messages[-1].content }}"
REFUSES_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)
SYSTEM_WITH_TOOLS = (
    "{% for m in messages %}{% if m.role != 'system' or tools %}<{{ m.role }}>{{ m.content }}{% endif %}"
    "{% endfor %}"
)
PARTS_ONLY = (
    "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{% if part.type == 'text' %}"
    "{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
)
FIRST_PART = "{% for m in messages %}<{{ m.role }}>{{ m.content[0]['text'] }}{% endfor %}"
PARTS_OF_USERS = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'user' %}{% for part in m.content %}"
    "{{ part.text }}{% endfor %}{% else %}{{ m.content + '' }}{% endif %}{% endfor %}"
)
PARTS_WITHOUT_SYSTEM = (
    "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{% for part in m.content %}"
    "{{ part['text'] }}{% endfor %}{% endfor %}"
)
SYSTEM, QUESTION = r"Put the answer within \boxed{}.", "What is 2 + 2?"
SHORT = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
TALK = [
    *SHORT,
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "And 2 + 3?"},
]


def rendered(template: Any, messages: Any, **options: Any) -> str:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return render_messages(tokenizer, messages, name="this model", **options)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (WHOLE, f"<system>{SYSTEM}<user>{QUESTION}"),
        (TURNS_ONLY, f"<user>{SYSTEM}\n\n{QUESTION}"),
        (USERS_ONLY, f"[{SYSTEM}\n\n{QUESTION}]"),
        (FIRST_ONLY, f"<user>{SYSTEM}\n\n{QUESTION}"),
        (LAST_ONLY, f"<user>{SYSTEM}\n\n{QUESTION}"),
        (REFUSES_SYSTEM, f"<user>{SYSTEM}\n\n{QUESTION}"),
        (SYSTEM_WITH_TOOLS, f"<user>{SYSTEM}\n\n{QUESTION}"),
        (PARTS_ONLY, f"<system>{SYSTEM}<user>{QUESTION}"),
        (FIRST_PART, f"<system>{SYSTEM}<user>{QUESTION}"),
        (PARTS_OF_USERS, f"<system>{SYSTEM}<user>{QUESTION}"),
        (PARTS_WITHOUT_SYSTEM, f"<user>{SYSTEM}\n\n{QUESTION}"),
    ],
)
def test_system_message_and_question_stand_in_what_is_rendered(template: str, expected: str):
    assert rendered(template, SHORT) == expected


@pytest.mark.parametrize("template", [WHOLE, TURNS_ONLY, REFUSES_SYSTEM, PARTS_ONLY, PARTS_OF_USERS])
def test_a_conversation_of_several_turns_stands_in_what_is_rendered(template: str):
    text = rendered(template, TALK)
    places = [text.index(words) for words in (SYSTEM, QUESTION, ">4<", "And 2 + 3?")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("template", "messages", "what"),
    [
        (USERS_ONLY, TALK, "leaves out the assistant message '4'"),
        (FIRST_ONLY, TALK, "leaves out the assistant message '4'"),
        (LAST_ONLY, TALK[1:], "leaves out the user message 'What is 2"),
        (TURNS_ONLY, [*SHORT, {"role": "critic", "content": QUESTION}], "leaves out the critic message"),
        ("<user>", SHORT, "leaves out the user message 'Put the answer"),
        ("", SHORT[1:], "leaves out the user message"),
        (
            "{{ raise_exception('never') }}",
            TALK,
            "refuses these messages: never; their roles are system, user",
        ),
        ("{{ messages.nothing.at.all }}", SHORT, "refuses these messages: .*their roles are system, user"),
        ("{% for m in messages %}{{ m.content + 1 }}{% endfor %}", SHORT, "refuses these messages"),
    ],
)
def test_what_no_form_holds_is_an_error(template: str, messages: Any, what: str):
    with pytest.raises(InputError, match=f"the chat template of this model {what}"):
        rendered(template, messages)


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        ("  spaces around \n", "m.content | trim"),
        ('a "quoted"\nline', "m.content | tojson"),
        ("<b>Zoë</b> & co", "m.content | tojson"),
        ("one\n\ntwo", "m.content | replace('\\n', ' ')"),
        ("mixed Case", "m.content | upper"),
        ("x" * 30 + "\n" + "y" * 30, "m.content | indent(4)"),
        ("5", "m.content"),
    ],
)
@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_a_content_that_is_only_changed_is_no_alarm(content: str, changes: str, role: str):
    template = "{% for m in messages %}<{{ m.role }}>{{ " + changes + " }}{% endfor %}"
    messages = [{"role": role, "content": content}, {"role": "user", "content": QUESTION}]
    assert rendered(template, messages).startswith(f"<{role}>")


def test_a_thought_that_the_template_takes_out_is_no_alarm():
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content.split('</think>')[-1] }}{% endfor %}"
    messages = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "<think>Two and two.</think>It is four, of course it is."},
        {"role": "user", "content": "Sure?"},
    ]
    assert "<assistant>It is four" in rendered(template, messages)


LONG = "Read it: a lamp costs 37 dollars.\nWhat do 2 lamps cost?"


@pytest.mark.parametrize("role", ["system", "user", "tool"])
@pytest.mark.parametrize(
    "part",
    [
        "m.content[:20]",
        "m.content[-20:]",
        "m.content | truncate(30)",
        "m.content.split('\\n')[0]",
        "m.content.split('\\n')[-1]",
        "m.content.split(':')[-1]",
        "m.content.partition('?')[2]",
    ],
)
def test_a_part_of_a_message_is_not_the_whole(part: str, role: str):
    template = "{% for m in messages %}<{{ m.role }}>{{ " + part + " }}{% endfor %}"
    with pytest.raises(InputError, match=r"leaves out the [a-z]+ message 'Read it: a lamp"):
        rendered(template, [{"role": role, "content": LONG}, {"role": "user", "content": LONG}])


def test_a_switch_that_the_template_takes_out_is_no_alarm():
    """As SmolLM3's, whose system message may hold a switch for thoughts."""
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content.replace('/no_think', '') }}{% endfor %}"
    messages = [{"role": "system", "content": "Be brief. /no_think"}, {"role": "user", "content": QUESTION}]
    assert rendered(template, messages) == f"<system>Be brief. <user>{QUESTION}"


@pytest.mark.parametrize("changes", ["m.content", "m.content | tojson", "m.content[:100]"])
def test_lists_of_parts_are_not_written_as_lists(changes: str):
    """The second message is lost in any form, and as a list the first would stand there as code."""
    template = "<{{ messages[0].role }}>{% for m in messages[:1] %}{{ " + changes + " }}{% endfor %}"
    with pytest.raises(InputError, match="leaves out the user message 'And 2"):
        rendered(template, [SHORT[1], {"role": "user", "content": "And 2 + 3, what is that?"}])
    if changes == "m.content[:100]":
        with pytest.raises(InputError, match="leaves out the user message 'long"):
            rendered(template, [{"role": "user", "content": "long " * 40}])
    talk_of_parts = [{"role": "user", "content": "What does {'type': 'text'} mean?"}]
    assert "{'type': 'text'}" in rendered(PARTS_ONLY, talk_of_parts)


def test_a_short_message_is_not_found_in_another_one():
    """The 4 that is left out stands in the question."""
    with pytest.raises(InputError, match="leaves out the assistant message '4'"):
        rendered(USERS_ONLY, [{"role": "user", "content": "4?"}, {"role": "assistant", "content": "4"}])


def test_an_empty_message_is_nothing_to_leave_out():
    messages = [{"role": "system", "content": " "}, {"role": "user", "content": QUESTION}]
    assert rendered(TURNS_ONLY, messages) == f"<user>{QUESTION}"


@pytest.mark.parametrize(
    ("templates", "expected"),
    [
        ({"default": WHOLE, "rag": "no"}, f"<user>{QUESTION}"),
        ({"rag": WHOLE}, f"<user>{QUESTION}"),
        ({"tool_use": WHOLE}, f"<user>{QUESTION}"),
        ({"rag": WHOLE, "tool_use": "no"}, None),
        ({"a": "no", "b": WHOLE, "c": "no"}, None),
    ],
)
def test_several_templates(templates: dict[str, str], expected: str | None):
    if expected is not None:
        assert rendered(templates, SHORT[1:]) == expected
        return
    with pytest.raises(InputError, match=r"and none called 'default'; set the one to use: tokenizer.chat"):
        rendered(templates, SHORT[1:])


@pytest.mark.parametrize(
    "template", [TURNS_ONLY, USERS_ONLY, REFUSES_SYSTEM, PARTS_ONLY, PARTS_WITHOUT_SYSTEM]
)
@pytest.mark.parametrize("prompt", ["boxed", "json"])
def test_every_prompt_of_a_search_is_whole(template: str, prompt: Any):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    seen: list[str] = []
    backbone = scripted_backbone(lambda text: seen.append(text) or "It is 4.", tokenizer)  # type: ignore[func-returns-value]
    config = LatentSeekConfig(prompt=prompt, max_iterations=0)
    LatentSeek(backbone, verifier=ScriptedVerifier([-1.0]), config=config).invoke(QUESTION)
    messages: Any = prompt_for(QUESTION, prompt)
    assert all(message["content"] in seen[0] for message in messages)


# -- tools

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks up a price.",
        "parameters": {"type": "object", "properties": {"thing": {"type": "string"}}, "required": ["thing"]},
    },
}
CALLED: list[Any] = [
    SystemMessage("Be brief."),
    HumanMessage("What does a lamp cost?"),
    AIMessage("I look.", tool_calls=[{"name": "look_up", "args": {"thing": "lamp"}, "id": "abcdefghi"}]),
    ToolMessage("37 dollars", tool_call_id="abcdefghi", name="look_up"),
]
WITH_TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}"
WITH_CALLS = "{% for c in m.tool_calls or [] %}({{ c.function | tojson }}){% endfor %}"
NAMES_OF_TOOLS = "{{ tools | map(attribute='function.name') | join }}"
CALLS_OR_TEXT = "{% if m.tool_calls %}" + WITH_CALLS + "{% else %}{{ m.content }}{% endif %}"
AT_FIRST = "{% if tools and messages | length == 1 %}"
ALL_OF_IT = WITH_TOOLS + "{% for m in messages %}<{{ m.role }}>{{ m.content }}" + WITH_CALLS + "{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(ALL_OF_IT, id="all of it"),
        pytest.param(WHOLE, id="ignores tools and calls"),
        pytest.param(TURNS_ONLY, id="ignores system, tools, calls and results"),
        pytest.param(PARTS_ONLY, id="reads parts"),
        pytest.param(REFUSES_SYSTEM, id="refuses system"),
        pytest.param(WITH_TOOLS + WHOLE, id="ignores calls"),
        pytest.param(WITH_TOOLS + TURNS_ONLY, id="ignores system, calls and results"),
        pytest.param(ALL_OF_IT.replace("in messages", "in messages if m.role != 'tool'"), id="no results"),
        pytest.param(ALL_OF_IT.replace(WITH_TOOLS, NAMES_OF_TOOLS), id="names of tools only"),
        pytest.param(ALL_OF_IT.replace("{{ m.content }}" + WITH_CALLS, CALLS_OR_TEXT), id="no text"),
        pytest.param(ALL_OF_IT.replace("c.function | tojson", "c.function.name"), id="no arguments"),
        pytest.param(ALL_OF_IT.replace("{% if tools %}", AT_FIRST), id="tools at first only"),
    ],
)  # fmt: skip
def test_a_conversation_with_tools_is_whole(template: str):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    backbone = scripted_backbone([""], tokenizer)
    text = str(render(backbone, CALLED, [TOOL], "Reply with JSON.").text)
    parts = [
        "Be brief.",
        "Reply with JSON.",
        "Looks up a price.",
        '"required": ["thing"]',
        "What does a lamp",
    ]
    parts += ["I look.", "look_up", '"thing": "lamp"', "37 dollars"]
    assert [part for part in parts if part not in text] == []


def test_text_beside_calls_that_no_form_holds_is_logged(caplog: pytest.LogCaptureFixture):
    """As Mistral's templates: an assistant's message is its calls or its text, and two are refused."""
    template = (
        WITH_TOOLS + "{% set n = namespace(last='') %}{% for m in messages %}{% if m.role == n.last %}"
        "{{ raise_exception('take turns') }}{% endif %}{% set n.last = m.role %}<{{ m.role }}>"
        "{% if m.tool_calls %}" + WITH_CALLS + "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    with caplog.at_level(logging.WARNING):
        text = str(render(scripted_backbone([""], tokenizer), CALLED, [TOOL]).text)
    assert "look_up" in text
    assert "I look." in text or "leaves out what an assistant wrote beside its calls" in caplog.text


def test_a_schema_in_the_system_message_is_not_lost():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TURNS_ONLY
    seen: list[str] = []
    backbone = scripted_backbone(lambda text: seen.append(text) or '{"price": 37}', tokenizer)  # type: ignore[func-returns-value]
    schema = {"title": "Price", "type": "object", "properties": {"price": {"type": "integer"}}}
    chat = ChatLatentSeek(backbone=backbone).with_structured_output(
        schema, method="json_schema", strict=False
    )
    assert chat.invoke([("system", "Be brief."), ("human", "A lamp?")]) == {"price": 37}
    assert "Be brief." in seen[0]
    assert '"price"' in seen[0]
