"""What the tests of the chat model share: a tool, a call of it, and what a message says."""

from typing import Any

from langchain_core.messages import AIMessageChunk

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'


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
