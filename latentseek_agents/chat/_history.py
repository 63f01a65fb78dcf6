"""LangChain messages as the messages that a chat template takes."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from latentseek_agents._inputs import text_of
from latentseek_agents.chat._tool_calls import parse_tool_calls
from latentseek_agents.errors import InputError

TemplateMessage = dict[str, Any]

WRITTEN = "latentseek_written"
"""Key under which a message keeps the text of calls that the model wrote in a form of its own."""

THOUGHT = "latentseek_thought"
"""Key under which an entry keeps what was thought before its content."""

_THOUGHT_KEYS = {
    "reasoning_content": re.compile(r"\breasoning_content\b"),
    "thinking": re.compile(r"""\.thinking\b|['"]thinking['"]"""),
    "reasoning": re.compile(r"""\.reasoning\b|\[['"]reasoning['"]\]"""),
}

_ROLES = {
    SystemMessage: "system",
    HumanMessage: "user",
    AIMessage: "assistant",
    ToolMessage: "tool",
    FunctionMessage: "tool",
}
_INSTRUCTIONS = """You can call tools. To call one, write its name and its arguments as JSON between tags:
<tool_call>
{{"name": "the tool's name", "arguments": {{"an argument's name": "its value"}}}}
</tool_call>
End your message after the last call. The results come back between <tool_response> tags. Without need for a \
tool, answer in words. These are the tools, one a line:
{tools}"""


def tool_instructions(tools: Sequence[dict[str, Any]]) -> str:
    """A description of the tools for a model whose chat template ignores them.

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


def with_thoughts(entries: Sequence[TemplateMessage], template: str) -> list[TemplateMessage]:
    """The entries with earlier thoughts under the name that a template reads, which decides what it shows.

    Args:
        entries: From :func:`converted`.
        template: The chat template; one that reads no thoughts gets none.

    Example:
        >>> entry = {"role": "assistant", "content": "4.", THOUGHT: "2 + 2"}
        >>> with_thoughts([entry], "{{ message.reasoning_content }}")
        [{'role': 'assistant', 'content': '4.', 'reasoning_content': '2 + 2'}]
        >>> with_thoughts([entry], "{{ message.content }}")
        [{'role': 'assistant', 'content': '4.'}]
    """
    read = next((name for name, pattern in _THOUGHT_KEYS.items() if pattern.search(template)), None)
    kept = []
    for entry in entries:
        plain = {key: part for key, part in entry.items() if key != THOUGHT}
        # A template for "thinking" refuses a call that has both, since its model writes only one of them.
        both = read == "thinking" and "tool_calls" in entry and entry["content"]
        if THOUGHT in entry and read is not None and not both:
            plain[read] = entry[THOUGHT]
        kept.append(plain)
    return kept


def as_template_messages(entries: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """What a template takes: system messages first and as one, neighbours of one role as one.

    Args:
        entries: From :func:`converted`.

    Raises:
        InputError: There is none.

    Example:
        >>> as_template_messages(converted([HumanMessage("Hi!"), SystemMessage("Be kind.")]))
        [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'Hi!'}]
    """
    if not entries:
        raise InputError("there are no messages; give at least one from the user")
    rules = [entry["content"] for entry in entries if entry["role"] == "system"]
    joined: list[TemplateMessage] = [{"role": "system", "content": "\n\n".join(rules)}] if rules else []
    for entry in entries:
        if entry["role"] == "system":
            continue
        last: TemplateMessage = joined[-1] if joined else {}
        has_calls = "tool_calls" in entry or "tool_calls" in last
        if last.get("role") == entry["role"] != "tool" and not has_calls:
            last["content"] += f"\n\n{entry['content']}"
        else:
            joined.append({key: part for key, part in entry.items() if key != WRITTEN})
    return joined


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
    for entry in as_written(entries):
        if entry["role"] == "tool":
            content = f"<tool_response>\n{entry['content']}\n</tool_response>"
            plain.append({"role": "user", "content": content})
            continue
        calls = [
            f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>"
            for call in entry.pop("tool_calls", ())
        ]
        if calls:
            entry["content"] = "\n".join([entry["content"], *calls]).strip()
        plain.append(entry)
    if tools:
        # After the caller's own rules.
        plain.append({"role": "system", "content": tool_instructions(tools)})
    return as_template_messages(plain)


def one_call_per_message(messages: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """Parallel calls one after the other, each followed by its result: some templates take one at a time.

    Args:
        messages: From :func:`as_template_messages`.

    Example:
        >>> calls = [{"id": "1", "function": {"name": "a"}}, {"id": "2", "function": {"name": "b"}}]
        >>> results = [{"role": "tool", "tool_call_id": number} for number in ("1", "2")]
        >>> message = {"role": "assistant", "content": "", "tool_calls": calls}
        >>> [message["role"] for message in one_call_per_message([message, *results])]
        ['assistant', 'tool', 'assistant', 'tool']
    """
    ordered: list[TemplateMessage] = []
    waiting: list[TemplateMessage] = []
    for message in messages:
        if message["role"] == "tool":
            for entry in waiting:
                if entry["tool_calls"][0]["id"] == message.get("tool_call_id"):
                    waiting.remove(entry)
                    ordered.append(entry)
                    break
            ordered.append(message)
            continue
        ordered += waiting
        waiting = [{**message, "tool_calls": [call]} for call in message.get("tool_calls") or []]
        for entry in waiting[1:]:
            entry["content"] = ""
        if not waiting:
            ordered.append(message)
    return [*ordered, *waiting]


def _converted(message: BaseMessage) -> TemplateMessage:
    role = next(
        (role for kind, role in _ROLES.items() if isinstance(message, kind)), getattr(message, "role", None)
    )
    if role is None:
        raise InputError(
            f"a {type(message).__name__} has no place in a conversation; "
            "use system, human, AI and tool messages"
        )
    entry: TemplateMessage = {"role": role, "content": text_of(message)}
    if isinstance(message, ToolMessage | FunctionMessage):
        call_id = getattr(message, "tool_call_id", None)
        entry |= {"name": message.name or "", "tool_call_id": _short_id(call_id)}
    if isinstance(message, AIMessage):
        if thought := _thought(message):
            entry[THOUGHT] = thought
        if message.invalid_tool_calls:
            refused = [str(call["args"] or "") for call in message.invalid_tool_calls]
            entry["content"] = "\n".join([entry["content"], *refused]).strip("\n")
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


def _thought(message: AIMessage) -> str:
    """What a message says that was thought, in LangChain's standard form or in that of others."""
    blocks = message.content if isinstance(message.content, list) else []
    thoughts = [
        str(block.get("reasoning") or block.get("thinking") or "")
        for block in blocks
        if isinstance(block, dict) and block.get("type") in ("reasoning", "thinking")
    ]
    written = "\n\n".join(filter(None, thoughts))
    return written or str(message.additional_kwargs.get("reasoning_content") or "")


def _written(message: AIMessage) -> str:
    """What the model wrote; "" if that is not known, or if the calls were changed since."""
    text = str(message.additional_kwargs.get(WRITTEN) or "")
    parsed = parse_tool_calls(text, {call["name"] for call in message.tool_calls})
    written = [(call["name"], call["args"]) for call in parsed.tool_calls]
    unchanged = written == [(call["name"], call["args"]) for call in message.tool_calls]
    unchanged &= parsed.content == message.content and not parsed.invalid_tool_calls
    return text if unchanged else ""


def _short_id(call_id: str | None) -> str:
    """An id of nine letters and digits, as Mistral's templates demand; the same for the same call."""
    if call_id is not None and re.fullmatch(r"[A-Za-z0-9]{9}", call_id):
        return call_id
    return hashlib.blake2b((call_id or "").encode(), digest_size=5).hexdigest()[:9]
