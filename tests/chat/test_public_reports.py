"""Public bug reports on conversations with tools, tried on what a template is given and on chains."""

import json
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
    trim_messages,
)

from latentseek_agents._inputs import question_from_messages
from latentseek_agents.chat._rendering import render
from latentseek_agents.testing import scripted_backbone, tiny_tokenizer

# As clients of OpenAI's API keep a conversation: arguments are JSON in a string.
CONVERSATION: list[Any] = [
    {"role": "user", "content": "Look up Paris."},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "abcdefghi",
                "type": "function",
                "function": {"name": "look_up", "arguments": '{"city": "Paris", "note": "a \\"b\\""}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "abcdefghi", "content": "2 million"},
    {"role": "user", "content": "And Rome?"},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks up a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
BEGIN = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}<{{ m.role }}>"
BEGIN += "{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} "
AS_JSON = "{{ c.function.arguments | tojson }}"
AS_PAIRS = "{% for key, value in c.function.arguments | items %}{{ key }}={{ value }} {% endfor %}"
BY_TYPE = "{% if c.function.arguments is string %}STRING{% endif %}{{ c.function.arguments | tojson }}"


@pytest.mark.parametrize(
    ("report", "calls", "expected"),
    [
        ("ai-dynamo/dynamo/issues/4161", AS_JSON, 'look_up {"city": "Paris", "note": "a \\"b\\""}'),
        ("QwenLM/Qwen3/issues/1894", AS_PAIRS, 'look_up city=Paris note=a "b"'),
        ("zai-org/GLM-5/issues/158", AS_PAIRS, 'look_up city=Paris note=a "b"'),
        ("Layr-Labs/d-inference/issues/249", BY_TYPE, 'look_up {"city": "Paris"'),
    ],
)
def test_arguments_of_earlier_calls_are_values(report: str, calls: str, expected: str) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = BEGIN + calls + 2 * "{% endfor %}"
    text = str(render(scripted_backbone([""], tokenizer), convert_to_messages(CONVERSATION), [TOOL]).text)
    assert expected in text, report
    assert "STRING" not in text
    for part in ("2 million", "And Rome?", "Looks up a city."):
        assert part in text


def test_langchain_33245_a_history_that_was_trimmed_to_a_result() -> None:
    """https://github.com/langchain-ai/langchain/issues/33245 and 29637: a result whose call was cut away."""
    call = AIMessage("", tool_calls=[{"name": "look_up", "args": {"city": "Paris"}, "id": "1"}])
    whole: list[Any] = [
        HumanMessage("Look up Paris."),
        call,
        ToolMessage("2 million", tool_call_id="1", name="look_up"),
        HumanMessage("And Rome?"),
    ]
    trimmed = trim_messages(whole, max_tokens=2, token_counter=len, strategy="last")
    assert [message.type for message in trimmed] == ["tool", "human"]
    assert question_from_messages(trimmed) == "Tool look_up: 2 million\nUser: And Rome?"
    assert "2 million" in str(render(scripted_backbone([""]), trimmed, [TOOL]).text)


def test_nemo_836_a_history_reaches_the_model_with_its_results() -> None:
    """https://github.com/NVIDIA/NeMo-Agent-Toolkit/issues/836 and 327: earlier turns were stripped."""
    messages = convert_to_messages(CONVERSATION)
    asked = question_from_messages(messages)
    assert [line.split(":")[0] for line in asked.splitlines()][::3] == ["User", "User"]
    for part in ("Look up Paris.", json.dumps("Paris"), "2 million", "And Rome?"):
        assert part in asked
