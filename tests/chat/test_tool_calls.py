"""Tool calls in model output: the four template families, well formed and not. Nothing may be invented."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk

from latentseek_agents.chat._reply import Reply
from latentseek_agents.chat._call_markers import certain_content
from latentseek_agents.chat._tool_calls import parse_tool_calls

TOOLS = frozenset({"add", "calculate", "get_weather", "now"})
ADD_JSON = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
ADD_LLAMA = '{"name": "add", "parameters": {"a": 1, "b": 2}}'

# What is written; the content; the calls; how many are invalid.
LINES = Path(__file__).with_name("tool_calls.jsonl").read_text(encoding="utf-8").splitlines()
NESTED = "<tool_call>" + '{"a":' * 5000
CASES: list[dict[str, Any]] = [
    *(json.loads(line) for line in LINES),
    {"format": "hermes", "text": NESTED, "content": "", "calls": [], "invalid": 1},
]
cases = pytest.mark.parametrize("case", CASES, ids=[f"{case['format']}-{i}" for i, case in enumerate(CASES)])


def test_there_are_a_hundred_cases() -> None:
    assert len({case["text"] for case in CASES}) == len(CASES) >= 100


@cases
def test_what_is_written_is_what_is_called(case: dict[str, Any]) -> None:
    text = case["text"]
    found = parse_tool_calls(text, TOOLS)
    assert [[call["name"], call["args"]] for call in found.tool_calls] == case["calls"]
    assert len(found.invalid_tool_calls) == case["invalid"]
    assert found.content == case["content"]
    ids = [call["id"] for call in (*found.tool_calls, *found.invalid_tool_calls)]
    assert len(set(ids)) == len(ids)
    for call in found.invalid_tool_calls:
        assert call["error"]
        raw = (call["args"] or "").removeprefix("malformed: ")
        assert raw in text or json.loads(raw) in json.loads(text[text.index("[{") : text.rindex("]") + 1])


@cases
def test_a_stream_says_the_same(case: dict[str, Any]) -> None:
    """Adding up chunks parses calls again, and completes broken JSON: no call may come of that."""
    text, shown = case["text"], ""
    for end in range(0, len(text) + 1, 1 + len(text) // 200):
        certain = certain_content(text[:end])
        assert text[: len(shown)] == shown
        shown = text[: max(certain, len(shown))]
    found = parse_tool_calls(text, TOOLS)
    assert found.content.startswith(shown)
    reply = Reply(parsed=found, input_tokens=1, output_tokens=1, metadata={})
    added = AIMessageChunk(content=shown) + reply.last_chunk(shown)
    whole = reply.message()
    assert isinstance(added, AIMessage)
    assert added.content == whole.content == case["content"]
    assert added.tool_calls == whole.tool_calls
    assert [(c["name"] or None, c["args"]) for c in added.invalid_tool_calls] == [
        (c["name"], c["args"]) for c in whole.invalid_tool_calls
    ]


TAGS = ("<tool_call>", "</tool_call>", "<|python_tag|>", "<think>", "</think>", "<tools>", "<function=add>")
PARTS = st.sampled_from(
    [ADD_JSON, ADD_LLAMA, *'{}[]"< \n', "add", "text ", "json\n", "```", "[ARGS]", "[TOOL_CALLS]", *TAGS]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=12).map("".join))
def test_what_is_shown_is_never_withdrawn(text: str) -> None:
    found = parse_tool_calls(text, TOOLS)
    for end in range(len(text) + 1):
        assert found.content.startswith(text[: certain_content(text[:end])])
    for call in found.tool_calls:
        assert call["name"] in text
        assert json.dumps(call["args"]) in text or not call["args"]
