"""A question from what a chain or a graph hands over: text, messages, a prompt value, a dict or a state."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.prompt_values import PromptValue

from latentseek_agents.errors import InputError

_NO_TEXT = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "reasoning", "thinking"}
)
_RULES = frozenset({"system", "developer"})


def question_and_reference(value: Any) -> tuple[str, str | None]:
    """The question, and the known answer if the input has one.

    Args:
        value: A string, a message or list of messages, a prompt value, or a dict with ``question`` and
            perhaps ``reference``, or with ``messages``.

    Raises:
        InputError: There is no question in it.

    Example:
        >>> question_and_reference({"question": "What is 2 + 2?", "reference": "4"})
        ('What is 2 + 2?', '4')
    """
    if isinstance(value, str):
        return value, None
    if isinstance(value, PromptValue):
        return question_from_messages(value.to_messages()), None
    if isinstance(value, BaseMessage) or (isinstance(value, Sequence) and value):
        return question_from_messages(value), None
    if isinstance(value, Mapping):
        question, _ = question_in(value)
        return question, checked_reference(value.get("reference"))
    raise InputError(
        "the input must be a string, messages, a prompt value or a dict with a question, "
        f"but is {value!r} of type {type(value).__name__}"
    )


def question_in(
    values: Mapping[str, Any], question_key: str = "question", messages_key: str = "messages"
) -> tuple[str, bool]:
    """The question in a dict or a state, and whether it was read from the messages there.

    Raises:
        InputError: There is none; the message lists the keys.
    """
    question = values.get(question_key)
    if isinstance(question, str):
        return question, False
    if question is not None:
        raise InputError(f"the question under {question_key!r} must be a string, but is {question!r}")
    if values.get(messages_key):
        return question_from_messages(values[messages_key]), True
    raise InputError(
        f"there is no question under {question_key!r} and no {messages_key!r}, only "
        f"{sorted(map(str, values))}; give {{{question_key!r}: '...'}}, or name another key: "
        "LatentSeekNode(..., question_key=...)"
    )


def checked_reference(value: Any) -> str | None:
    """A known answer as a string; a number, as JSON has it, becomes one.

    Raises:
        InputError: It is something else.

    Example:
        >>> checked_reference(72)
        '72'
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"the reference must be a string or a number, but is {value!r}")


def question_from_messages(messages: Any) -> str:
    r"""One question from a conversation that ends with the user's turn.

    A single user message is the question itself. System messages are put before it, and earlier turns
    are kept as a transcript, with calls of tools and their results.

    Args:
        messages: LangChain messages, or anything ``convert_to_messages`` takes.

    Raises:
        InputError: No user message with text is at the end, or a message holds something other than text.

    Example:
        >>> question_from_messages([SystemMessage("Answer in metres."), HumanMessage("How long is a mile?")])
        'Answer in metres.\n\nHow long is a mile?'
        >>> lookup = ToolMessage("lamp: 37 dollars", name="lookup", tool_call_id="1")
        >>> print(question_from_messages([HumanMessage("Hello."), lookup, HumanMessage("And 2 lamps?")]))
        User: Hello.
        Tool lookup: lamp: 37 dollars
        User: And 2 lamps?
    """
    conversation = convert_to_messages([messages] if isinstance(messages, BaseMessage) else messages)
    if not conversation or _speaker(conversation[-1]) != "User":
        last = conversation[-1].type if conversation else "nothing"
        raise InputError(f"the messages must end with the user's question, but end with {last}")
    question = text_of(conversation[-1])
    rules = [text_of(message) for message in conversation if _speaker(message) == "System"]
    earlier = [
        line for message in conversation[:-1] if _speaker(message) != "System" for line in _lines(message)
    ]
    if earlier:
        question = "\n".join([*earlier, f"{_label(conversation[-1])}: {question}"])
    return "\n\n".join([*filter(None, rules), question])


def last_question(messages: Sequence[BaseMessage]) -> str:
    """The conversation up to the user's last turn as a question; without such a turn, all of its text."""
    last = max((i for i, message in enumerate(messages) if _speaker(message) == "User"), default=None)
    if last is None:
        return "\n\n".join(text_of(message) for message in messages)
    return question_from_messages(list(messages[: last + 1]))


def text_of(message: BaseMessage) -> str:
    r"""The text of a message, its text blocks one under the other; calls and thoughts are none of it.

    Raises:
        InputError: It holds something that is no text, such as an image.

    Example:
        >>> text_of(HumanMessage([{"type": "text", "text": "What is"}, "2 + 2?"]))
        'What is\n2 + 2?'
    """
    if isinstance(message.content, str):
        return message.content
    parts = []
    for block in message.content:
        if isinstance(block, str):
            parts.append(block)
        elif block.get("type", "text") == "text" and isinstance(block.get("text"), str):
            parts.append(block["text"])
        elif block.get("type") == "json":
            parts.append(json.dumps(block.get("json", block), ensure_ascii=False))
        elif block.get("type") == "text":
            raise InputError(f"a {message.type} message holds a text block without a text: {block!r}")
        elif block.get("type") not in _NO_TEXT:
            raise InputError(
                f"a {message.type} message holds {block.get('type', 'something unknown')!r}, "
                "but this model reads text only; describe it in words"
            )
    return "\n".join(parts)


def _speaker(message: BaseMessage) -> str:
    """Whose turn a message is.

    Raises:
        InputError: It is nobody's.
    """
    if isinstance(message, ChatMessage):
        role = message.role.strip().lower()
        if role in _RULES:
            return "System"
        return {"human": "User", "ai": "Assistant"}.get(role, role.capitalize())
    if isinstance(message, ToolMessage | FunctionMessage):
        return f"Tool {message.name}" if message.name else "Tool"
    for kind, speaker in ((SystemMessage, "System"), (HumanMessage, "User"), (AIMessage, "Assistant")):
        if isinstance(message, kind):
            return speaker
    raise InputError(
        f"a {type(message).__name__} has no place in a conversation; use system, human, AI and tool messages"
    )


def _label(message: BaseMessage) -> str:
    """The speaker of a turn, with a name if there is one, and whether a tool failed."""
    speaker = _speaker(message)
    if isinstance(message, ToolMessage) and message.status == "error":
        return f"{speaker} (error)"
    named = message.name if isinstance(message, HumanMessage | AIMessage) else None
    return f"{speaker} {named}" if named else speaker


def _lines(message: BaseMessage) -> list[str]:
    """An earlier turn in a transcript: what was said and by whom, then what was called."""
    speaker, text = _label(message), text_of(message)
    lines = [f"{speaker}: {text}"] if text.strip() else []
    if isinstance(message, AIMessage):
        lines += [
            f"{speaker} calls {call['name']}({json.dumps(call['args'], ensure_ascii=False)})"
            for call in message.tool_calls
        ]
        # As OpenAI's API had it before tools.
        older = message.additional_kwargs.get("function_call")
        if isinstance(older, dict) and not message.tool_calls:
            lines.append(f"{speaker} calls {older.get('name')}({older.get('arguments')})")
        lines += [f"{speaker}: {call['args']}" for call in message.invalid_tool_calls if call["args"]]
    return lines
