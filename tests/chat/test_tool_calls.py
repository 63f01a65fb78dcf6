"""Tool calls in model output: the four template families, well formed and not. Nothing may be invented."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk

from latentseek_agents.chat._call_markers import certain_content
from latentseek_agents.chat._reply import Reply
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


FAMILIES: tuple[str, ...] = (
    "<|tool_call|>",
    "functools",
    "<function_calls>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "call:add",
)
FAMILIES += (
    '<invoke name="add">',
    "<parameter=a>1</parameter>",
    "<|channel|>",
    "<|message|>",
    "add(a=1)",
    "[add(",
    "```xml\n",
    "</tool_call>\n```",
    "<tool_calls>",
    "</tool_calls>",
    "now()\n",
    "\n[now()]",
)
TAGS: tuple[str, ...] = (
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "<think>",
    "</think>",
    "<tools>",
    "<function=add>",
)
PARTS = st.sampled_from(
    [
        ADD_JSON,
        ADD_LLAMA,
        *'{}[]"< \n',
        "add",
        "text ",
        "json\n",
        "```",
        "[ARGS]",
        "[TOOL_CALLS]",
        *TAGS,
        *FAMILIES,
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(PARTS, max_size=12).map("".join))
def test_what_is_shown_is_never_withdrawn(text: str) -> None:
    found = parse_tool_calls(text, TOOLS)
    for end in range(len(text) + 1):
        assert found.content.startswith(text[: certain_content(text[:end])])
    for call in found.tool_calls:
        assert call["name"] in text
        assert json.dumps(call["args"]) in text or call["args"] in ({}, {"a": 1})


TYPED = {
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "sure": {"type": "boolean"},
        "items": {"type": "array"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "kind": {"enum": ["1", "2"]},
    }
}


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("text", "12", "12"),
        ("text", "true", "true"),
        ("text", '{"a": 1}', '{"a": 1}'),
        ("text", "two\nlines", "two\nlines"),
        ("count", "12", 12),
        ("count", "12.0", 12),
        ("count", "twelve", "twelve"),
        ("count", "12 more", "12 more"),
        ("share", "0.5", 0.5),
        ("share", "3", 3),
        ("sure", "True", True),
        ("sure", "false", False),
        ("items", "[1, 2]", [1, 2]),
        ("items", r'["\frac{1}{2}"]', [r"\frac{1}{2}"]),
        ("maybe", "null", None),
        ("maybe", "7", 7),
        ("kind", "1", "1"),
        ("unknown", "7", 7),
        ("unknown", "seven", "seven"),
    ],
)
def test_what_is_written_as_text_has_the_type_of_the_schema(key: str, written: str, value: Any) -> None:
    for text in (
        f"<tool_call>\n<function=f>\n<parameter={key}>\n{written}\n</parameter>\n</function>\n</tool_call>",
        f"<tool_call>f\n<arg_key>{key}</arg_key>\n<arg_value>{written}</arg_value>\n</tool_call>",
        f'<function_calls><invoke name="f"><parameter name="{key}">{written}</parameter></invoke>',
    ):
        (call,) = parse_tool_calls(text, {"f": TYPED}).tool_calls
        found = call["args"][key]
        assert (found, type(found)) == (value, type(value))


def test_text_that_says_that_it_is_text_stays_text() -> None:
    text = '<｜DSML｜tool_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="count" string="true">7'
    text += "</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>"
    (call,) = parse_tool_calls(text, {"f": TYPED}).tool_calls
    assert call["args"] == {"count": "7"}


@pytest.mark.parametrize(
    "text", ["[add(a=" + "[" * 20_000, "functools[" * 5_000, "{" * 20_000, "a(" * 20_000]
)
def test_nested_text_ends(text: str) -> None:
    assert not parse_tool_calls(text, TOOLS).tool_calls
    certain_content(text)


REPORTS = Path(__file__).with_name("public_reports.jsonl").read_text(encoding="utf-8").split("\n")
REPORTED = {"run": {}, "search": {"properties": {"pattern": {"type": "string"}}}}


@pytest.mark.parametrize(
    "case", [json.loads(line) for line in REPORTS if line], ids=lambda case: case["report"]
)
def test_what_others_reported(case: dict[str, Any]) -> None:
    found = parse_tool_calls(case["text"], REPORTED)
    assert [[call["name"], call["args"]] for call in found.tool_calls] == case["calls"]
    assert len(found.invalid_tool_calls) == case["invalid"]
    assert found.content == case["content"]
