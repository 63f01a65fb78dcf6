"""LangChain messages as the messages that a chat template takes."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from latentseek_agents.chat._tool_calls import parse_tool_calls
from latentseek_agents.errors import InputError

__all__ = [
    "WRITTEN",
    "TemplateMessage",
    "as_plain_messages",
    "as_template_messages",
    "as_written",
    "converted",
    "one_call_per_message",
    "tool_instructions",
]

TemplateMessage = dict[str, Any]

WRITTEN = "latentseek_written"
"""Where a message keeps what the model wrote, if its calls are not in the form that the template asks for."""

_NO_TEXT = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "reasoning", "thinking"}
)
_INSTRUCTIONS = """You can call tools. To call one, write its name and its arguments as JSON between tags:
<tool_call>
{{"name": "the tool's name", "arguments": {{"an argument's name": "its value"}}}}
</tool_call>
End your message after the last call. The results come back between <tool_response> tags. Without need for a \
tool, answer in words. These are the tools, one a line:
{tools}"""


def tool_instructions(tools: Sequence[dict[str, Any]]) -> str:
    """What to tell a model whose chat template says nothing about tools.

    Args:
        tools: Each as in OpenAI's API: ``{"type": "function", "function": {...}}``.
    """
    lines = [json.dumps(tool["function"], ensure_ascii=False) for tool in tools]
    return _INSTRUCTIONS.format(tools="\n".join(lines))


def converted(messages: Sequence[BaseMessage]) -> list[TemplateMessage]:
    """Each message as a dict with a role, its content as text, its calls in OpenAI's form.

    Raises:
        InputError: One holds something other than text.
    """
    return [_converted(message) for message in messages]


def as_template_messages(entries: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """What a template takes that knows tools. Neighbours of one role are joined, system first.

    Args:
        entries: From :func:`converted`.

    Raises:
        InputError: There is none.

    Example:
        >>> as_template_messages(converted([HumanMessage("Hi!"), SystemMessage("Be kind.")]))
        [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'Hi!'}]
    """
    return _joined([{key: part for key, part in entry.items() if key != WRITTEN} for entry in entries])


def as_written(entries: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """The entries with calls as the model wrote them, where it wrote them in a form of its own.

    A model that puts its calls into fences does not know the tokens that the template has for them. Shown its
    calls between these, small ones do not find the end of the next.

    Args:
        entries: From :func:`converted`.
    """
    return [
        {"role": entry["role"], "content": entry[WRITTEN]} if WRITTEN in entry else dict(entry)
        for entry in entries
    ]


def as_plain_messages(
    entries: Sequence[TemplateMessage], tools: Sequence[dict[str, Any]] = ()
) -> list[dict[str, str]]:
    """The same for a template that knows no tools: calls and results are written out in the text.

    Args:
        entries: From :func:`converted`.
        tools: What may be called; the system message describes them.

    Raises:
        InputError: There is no message.
    """
    plain: list[TemplateMessage] = []
    if tools:
        plain.append({"role": "system", "content": tool_instructions(tools)})
    for given in as_written(entries):
        entry = given
        if entry["role"] == "tool":
            entry = {"role": "user", "content": f"<tool_response>\n{entry['content']}\n</tool_response>"}
        elif calls := entry.pop("tool_calls", None):
            written = [
                f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>"
                for call in calls
            ]
            entry["content"] = "\n".join([entry["content"], *written]).strip()
        plain.append(entry)
    # The caller's own rules come before the description of the tools.
    own = [entry for entry in plain[1:] if entry["role"] == "system"] if tools else []
    rest = [entry for entry in plain if not any(entry is rule for rule in own)]
    return _joined([*own, *rest])


def one_call_per_message(messages: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """Parallel calls one after the other, each followed by its result: some templates take one at a time.

    Args:
        messages: From :func:`as_template_messages`.

    Example:
        >>> calls = [{"id": "1", "function": {"name": "a"}}, {"id": "2", "function": {"name": "b"}}]
        >>> results = [{"role": "tool", "tool_call_id": number} for number in ("1", "2")]
        >>> message = {"role": "assistant", "content": "", "tool_calls": calls}
        >>> found = one_call_per_message([message, *results])
        >>> [message["role"] for message in found]
        ['assistant', 'tool', 'assistant', 'tool']
    """
    found: list[TemplateMessage] = []
    waiting: list[TemplateMessage] = []
    for message in messages:
        if message["role"] == "tool":
            asked = next((entry for entry in waiting if _answers(message, entry)), None)
            if asked is not None:
                waiting.remove(asked)
                found.append(asked)
            found.append(message)
            continue
        found += waiting
        calls = message.get("tool_calls") or []
        waiting = [{**message, "tool_calls": [call]} for call in calls]
        for entry in waiting[1:]:
            entry["content"] = ""
        if not calls:
            found.append(message)
    return [*found, *waiting]


def _answers(result: TemplateMessage, entry: TemplateMessage) -> bool:
    return bool(result.get("tool_call_id") == entry["tool_calls"][0]["id"])


def _converted(message: BaseMessage) -> TemplateMessage:
    content = _text(message)
    if isinstance(message, SystemMessage):
        return {"role": "system", "content": content}
    if isinstance(message, HumanMessage):
        return {"role": "user", "content": content}
    if isinstance(message, AIMessage):
        refused = [str(call["args"] or "") for call in message.invalid_tool_calls]
        if refused:
            content = "\n".join([content, *refused]).strip("\n")
        entry: TemplateMessage = {"role": "assistant", "content": content}
        if message.tool_calls:
            entry["tool_calls"] = [
                {
                    "type": "function",
                    "id": _short_id(call["id"]),
                    "function": {"name": call["name"], "arguments": call["args"]},
                }
                for call in message.tool_calls
            ]
            if written := _written(message):
                entry[WRITTEN] = written
        return entry
    if isinstance(message, ToolMessage):
        call_id = _short_id(message.tool_call_id)
        return {"role": "tool", "name": message.name or "", "content": content, "tool_call_id": call_id}
    if isinstance(message, FunctionMessage):
        return {"role": "tool", "name": message.name, "content": content, "tool_call_id": _short_id(None)}
    if isinstance(message, ChatMessage):
        return {"role": message.role, "content": content}
    raise InputError(
        f"a {type(message).__name__} has no place in a conversation; use system, human, AI and tool messages"
    )


def _written(message: AIMessage) -> str:
    """What the model wrote; "" if that is not known, or if the calls were changed since."""
    text = str(message.additional_kwargs.get(WRITTEN) or "")
    found = parse_tool_calls(text, {call["name"] for call in message.tool_calls})
    same = [(call["name"], call["args"]) for call in found.tool_calls] == [
        (call["name"], call["args"]) for call in message.tool_calls
    ]
    return text if same and found.content == message.content and not found.invalid_tool_calls else ""


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = []
    for block in message.content:
        if isinstance(block, str):
            parts.append(block)
        elif block.get("type") == "text" or (set(block) & {"text"} and "type" not in block):
            parts.append(str(block["text"]))
        elif block.get("type") == "json":
            parts.append(json.dumps(block.get("json", block), ensure_ascii=False))
        elif block.get("type") not in _NO_TEXT:
            raise InputError(
                f"a {message.type} message holds {block.get('type', 'something unknown')!r}, "
                "but this model reads text only; describe it in words"
            )
    return "\n".join(parts)


def _joined(entries: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """System messages first and as one, neighbours of one role as one: some templates want it so."""
    if not entries:
        raise InputError("there are no messages; give at least one from the user")
    rules = [entry["content"] for entry in entries if entry["role"] == "system"]
    joined: list[TemplateMessage] = [{"role": "system", "content": "\n\n".join(rules)}] if rules else []
    for entry in entries:
        if entry["role"] == "system":
            continue
        last = joined[-1] if joined else None
        plain = entry["role"] != "tool" and "tool_calls" not in entry
        if last is not None and plain and last["role"] == entry["role"] and "tool_calls" not in last:
            last["content"] += f"\n\n{entry['content']}"
        else:
            joined.append(dict(entry))
    return joined


def _short_id(call_id: str | None) -> str:
    """An id of nine letters and digits, as Mistral's templates demand; the same for the same call."""
    if call_id is not None and re.fullmatch(r"[A-Za-z0-9]{9}", call_id):
        return call_id
    return hashlib.blake2b((call_id or "").encode(), digest_size=5).hexdigest()[:9]
