"""Tool calls in model output: the four template families, well formed and not. Nothing may be invented."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk

from latentseek_agents.chat._reply import Reply
from latentseek_agents.chat._tool_calls import certain_content, parse_tool_calls

TOOLS = frozenset({"add", "calculate", "get_weather", "now"})
ADD = ("add", {"a": 1, "b": 2})
NOW: tuple[str, dict[str, Any]] = ("now", {})
PARIS = ("get_weather", {"city": "Paris"})
ADD_JSON = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
PARIS_JSON = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
ADD_LLAMA = '{"name": "add", "parameters": {"a": 1, "b": 2}}'
PARIS_LLAMA = '{"name": "get_weather", "parameters": {"city": "Paris"}}'

OTHER_FENCED = '```json\n{"name": "other", "arguments": {}}\n```'
BROKEN_FENCED = '```json\n{"name": "add", "arguments": {"a"\n```'

Case = tuple[str, str, list[tuple[str, dict[str, Any]]], int]

# What is written; the content; the calls; how many are invalid.
HERMES: list[Case] = [
    (f"<tool_call>\n{ADD_JSON}\n</tool_call>", "", [ADD], 0),
    (f"<tool_call>{ADD_JSON}</tool_call>", "", [ADD], 0),
    (f"\n\n<tool_call>\n{ADD_JSON}\n</tool_call>\n", "", [ADD], 0),
    (f"I add.\n<tool_call>\n{ADD_JSON}\n</tool_call>", "I add.", [ADD], 0),
    (f"<tool_call>{ADD_JSON}</tool_call>\nWait for it.", "Wait for it.", [ADD], 0),
    ("The <tool_call> tags are used for calls.", "The <tool_call> tags are used for calls.", [], 0),
    ("<tool_call> add one and two", "", [], 1),
    ("<tool_call>call the tool</tool_call>", "", [], 1),
    (f"<tool_call>{ADD_JSON}</tool_call>\n<tool_call>{PARIS_JSON}</tool_call>", "", [ADD, PARIS], 0),
    (
        f"A\n<tool_call>{ADD_JSON}</tool_call> B <tool_call>{PARIS_JSON}</tool_call> C",
        "A\nB\nC",
        [ADD, PARIS],
        0,
    ),
    (f"<tool_call>[{ADD_JSON}, {PARIS_JSON}]</tool_call>", "", [ADD, PARIS], 0),
    (f"<tool_call>{ADD_JSON}\n{PARIS_JSON}</tool_call>", "", [ADD, PARIS], 0),
    (f"<tool_call>\n{ADD_JSON}", "", [ADD], 0),
    (f"<tool_call>{ADD_JSON}<tool_call>{PARIS_JSON}", "", [ADD, PARIS], 0),
    ('<tool_call>{"name": "now"}</tool_call>', "", [NOW], 0),
    ('<tool_call>{"name": "now", "arguments": {}}</tool_call>', "", [NOW], 0),
    ('<tool_call>{"name": "now", "arguments": null}</tool_call>', "", [NOW], 0),
    ('<tool_call>{"arguments": {"a": 1, "b": 2}, "name": "add"}</tool_call>', "", [ADD], 0),
    ('<tool_call>{"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}</tool_call>', "", [ADD], 0),
    ('<tool_call>{"type": "function", "function": ' + ADD_JSON + "}</tool_call>", "", [ADD], 0),
    (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "北京"}}</tool_call>',
        "",
        [("get_weather", {"city": "北京"})],
        0,
    ),
    (
        '<tool_call>{"name": "calculate", "arguments": {"x": "a </tool_call> b"}}</tool_call>',
        "",
        [("calculate", {"x": "a </tool_call> b"})],
        0,
    ),
    (
        '<tool_call>{"name": "calculate", "arguments": {"x": "one\ntwo"}}</tool_call>',
        "",
        [("calculate", {"x": "one\ntwo"})],
        0,
    ),
    (
        '<tool_call>{"name": "calculate", "arguments": {"x": {"y": [1, {"z": null}]}}}</tool_call>',
        "",
        [("calculate", {"x": {"y": [1, {"z": None}]}})],
        0,
    ),
    ('<tool_call>{"name": "unknown", "arguments": {}}</tool_call>', "", [("unknown", {})], 0),
    (
        f"<think>A <tool_call> would do.</think>\n<tool_call>{ADD_JSON}</tool_call>",
        "<think>A <tool_call> would do.</think>",
        [ADD],
        0,
    ),
    (
        f"<think>Perhaps <tool_call>{ADD_JSON}</tool_call>?",
        f"<think>Perhaps <tool_call>{ADD_JSON}</tool_call>?",
        [],
        0,
    ),
    ('<tool_call>{"name": "add", "arguments": {"a": 1, "b": ', "", [], 1),
    ('<tool_call>{"name": "add", "arguments": {"a": 1,}}</tool_call>', "", [], 1),
    ("<tool_call>{'name': 'add', 'arguments': {'a': 1}}</tool_call>", "", [], 1),
    ('<tool_call>{"name": "add", "arguments": [1, 2]}</tool_call>', "", [], 1),
    ('<tool_call>{"name": "add", "arguments": "1 and 2"}</tool_call>', "", [], 1),
    ('<tool_call>{"name": "add", "a": 1, "b": 2}</tool_call>', "", [], 1),
    ('<tool_call>{"name": "", "arguments": {}}</tool_call>', "", [], 1),
    ('<tool_call>{"name": 7, "arguments": {}}</tool_call>', "", [], 1),
    ('<tool_call>{"arguments": {"a": 1}}</tool_call>', "", [], 1),
    ('<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>', "", [], 1),
    ("<tool_call>add(1, 2)</tool_call>", "", [], 1),
    ("<tool_call></tool_call>", "", [], 1),
    ("<tool_call>", "", [], 1),
    ("<tool_call>[]</tool_call>", "", [], 1),
    (f"<tool_call>{ADD_JSON} and so on</tool_call>", "", [], 1),
    (f"<tool_call>nonsense</tool_call><tool_call>{ADD_JSON}</tool_call>", "", [ADD], 1),
    (f'<tool_call>[{ADD_JSON}, {{"name": 1}}]</tool_call>', "", [ADD], 1),
    ("<tool_call>" + '{"a":' * 5000, "", [], 1),
]
LLAMA: list[Case] = [
    (ADD_LLAMA, "", [ADD], 0),
    (f"  {ADD_LLAMA}\n", "", [ADD], 0),
    (f"<|python_tag|>{ADD_LLAMA}", "", [ADD], 0),
    (f"<|python_tag|>{ADD_LLAMA}<|eom_id|>", "", [ADD], 0),
    (f"<|python_tag|>{ADD_LLAMA}; {PARIS_LLAMA}", "", [ADD, PARIS], 0),
    (f"{ADD_LLAMA}; {PARIS_LLAMA}", "", [ADD, PARIS], 0),
    (f"{ADD_LLAMA}\n{PARIS_LLAMA}", "", [ADD, PARIS], 0),
    (f"[{ADD_LLAMA}, {PARIS_LLAMA}]", "", [ADD, PARIS], 0),
    ('{"type": "function", "name": "add", "parameters": {"a": 1, "b": 2}}', "", [ADD], 0),
    ('{"type": "function", "function": {"name": "add", "parameters": {"a": 1, "b": 2}}}', "", [ADD], 0),
    ('{"function": "add", "parameters": {"a": 1, "b": 2}}', "", [ADD], 0),
    ('{"name": "now", "parameters": {}}', "", [NOW], 0),
    (f"Let me see.<|python_tag|>{ADD_LLAMA}", "Let me see.", [ADD], 0),
    ('<function=add>{"a": 1, "b": 2}</function>', "", [ADD], 0),
    ('I add: <function=add>{"a": 1, "b": 2}</function>', "I add:", [ADD], 0),
    ('{"name": "Ann", "parameters": {"age": 7}}', '{"name": "Ann", "parameters": {"age": 7}}', [], 0),
    ('{"name": "add"}', '{"name": "add"}', [], 0),
    # Qwen2.5-Coder-1.5B writes these.
    ('{{"name": "add", "arguments": {"a": 1, "b": 2}}', "", [], 1),
    ('{{"name": "add", "arguments": {"a": 1, "b": 2}}}', "", [], 1),
    ('{{"name": "Ann", "arguments": {}}}', '{{"name": "Ann", "arguments": {}}}', [], 0),
    ('{"answer": 3}', '{"answer": 3}', [], 0),
    ("[1, 2, 3]", "[1, 2, 3]", [], 0),
    ("[1] says that it is 3.", "[1] says that it is 3.", [], 0),
    ("{x | x > 3} is a set.", "{x | x > 3} is a set.", [], 0),
    (f"You could write {ADD_LLAMA} here.", f"You could write {ADD_LLAMA} here.", [], 0),
    ('{"name": "add", "parameters": {"a": 1, ', "", [], 1),
    ('{"name": "add", "parameters": "one"}', "", [], 1),
    ('{"name": "add", "parameters": {"a": 1}', "", [], 1),
    ('<|python_tag|>print("hello")', "", [], 1),
    ("<|python_tag|>", "", [], 1),
    (f"<|python_tag|>{ADD_LLAMA} is what I call", "", [], 1),
    ("<function=add>1, 2</function>", "", [], 1),
    ('<function=add>{"a": 1', "", [], 1),
]
MISTRAL: list[Case] = [
    (f"[TOOL_CALLS] [{ADD_JSON}]", "", [ADD], 0),
    (f"[TOOL_CALLS][{ADD_JSON}]", "", [ADD], 0),
    (f"[TOOL_CALLS] [{ADD_JSON}, {PARIS_JSON}]", "", [ADD, PARIS], 0),
    (f"[TOOL_CALLS] {ADD_JSON}", "", [ADD], 0),
    (f"Sure. [TOOL_CALLS] [{ADD_JSON}]", "Sure.", [ADD], 0),
    ('[TOOL_CALLS] [{"name": "now", "arguments": {}, "id": "abcdefghi"}]', "", [NOW], 0),
    ('[TOOL_CALLS]add[ARGS]{"a": 1, "b": 2}', "", [ADD], 0),
    ('[TOOL_CALLS]add{"a": 1, "b": 2}', "", [ADD], 0),
    ('[TOOL_CALLS]add[CALL_ID]abcdefghi[ARGS]{"a": 1, "b": 2}', "", [ADD], 0),
    (
        '[TOOL_CALLS]add[ARGS]{"a": 1, "b": 2}[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}',
        "",
        [ADD, PARIS],
        0,
    ),
    (f'[TOOL_CALLS] [{ADD_JSON}, {{"arguments": {{}}}}]', "", [ADD], 1),
    ('[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1', "", [], 1),
    ("[TOOL_CALLS] [add]", "", [], 1),
    ("[TOOL_CALLS] []", "", [], 1),
    ("[TOOL_CALLS]", "", [], 1),
    ("[TOOL_CALLS]add", "", [], 1),
    ('[TOOL_CALLS]add[ARGS]{"a": ', "", [], 1),
    ("[TOOL_CALLS] I will add them.", "", [], 1),
    ("The [TOOL] is ready.", "The [TOOL] is ready.", [], 0),
]
FENCED: list[Case] = [
    (f"```json\n{ADD_JSON}\n```", "", [ADD], 0),
    (f"```\n{ADD_JSON}\n```", "", [ADD], 0),
    (f"```json\n{ADD_JSON}", "", [ADD], 0),
    (f"I call it:\n\n```json\n{ADD_JSON}\n```\n", "I call it:", [ADD], 0),
    (f"```json\n[{ADD_JSON}, {PARIS_JSON}]\n```", "", [ADD, PARIS], 0),
    (f"```json\n{ADD_JSON}\n```\n```json\n{PARIS_JSON}\n```", "", [ADD, PARIS], 0),
    (f"<tools>\n{ADD_JSON}\n</tools>", "", [ADD], 0),
    ('```json\n{"a": 1}\n```', '```json\n{"a": 1}\n```', [], 0),
    ("```python\nadd(1, 2)\n```\nDone.", "```python\nadd(1, 2)\n```\nDone.", [], 0),
    (OTHER_FENCED, OTHER_FENCED, [], 0),
    (BROKEN_FENCED, BROKEN_FENCED, [], 0),
    ("<tools> are what I need.", "<tools> are what I need.", [], 0),
    ("The answer is 3.", "The answer is 3.", [], 0),
    ("", "", [], 0),
    (" \n ", " \n ", [], 0),
]  # fmt: skip
CASES = [*HERMES, *LLAMA, *MISTRAL, *FENCED]


def test_there_are_a_hundred_cases() -> None:
    assert len({text for text, *_ in CASES}) == len(CASES) >= 100


@pytest.mark.parametrize(("text", "content", "calls", "invalid"), CASES, ids=range(len(CASES)))
def test_what_is_written_is_what_is_called(
    text: str, content: str, calls: list[tuple[str, dict[str, Any]]], invalid: int
) -> None:
    found = parse_tool_calls(text, TOOLS)
    assert [(call["name"], call["args"]) for call in found.tool_calls] == calls
    assert len(found.invalid_tool_calls) == invalid
    assert found.content == content
    ids = [call["id"] for call in (*found.tool_calls, *found.invalid_tool_calls)]
    assert len(set(ids)) == len(ids)
    for call in found.invalid_tool_calls:
        assert call["error"]
        raw = (call["args"] or "").removeprefix("malformed: ")
        assert raw in text or json.loads(raw) in json.loads(text[text.index("[{") : text.rindex("]") + 1])


@pytest.mark.parametrize(("text", "content", "calls", "invalid"), CASES, ids=range(len(CASES)))
def test_a_stream_says_the_same(
    text: str, content: str, calls: list[tuple[str, dict[str, Any]]], invalid: int
) -> None:
    """Adding up chunks parses calls again, and completes broken JSON: no call may come of that."""
    shown = ""
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
    assert added.content == whole.content == content
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
