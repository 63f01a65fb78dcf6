"""A question from what a chain or a graph hands over: text, messages, a prompt value, a dict or a state."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from latentseek_agents.errors import InputError


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
    are kept as a transcript.

    Args:
        messages: LangChain messages, or anything ``convert_to_messages`` takes.

    Raises:
        InputError: No user message with text is at the end.

    Example:
        >>> question_from_messages([SystemMessage("Answer in metres."), HumanMessage("How long is a mile?")])
        'Answer in metres.\n\nHow long is a mile?'
    """
    conversation = convert_to_messages([messages] if isinstance(messages, BaseMessage) else messages)
    if not conversation or not isinstance(conversation[-1], HumanMessage):
        last = conversation[-1].type if conversation else "nothing"
        raise InputError(f"the messages must end with the user's question, but end with {last}")
    question = str(conversation[-1].text)
    rules = [str(message.text) for message in conversation if isinstance(message, SystemMessage)]
    earlier = [
        f"{'Assistant' if isinstance(message, AIMessage) else 'User'}: {message.text}"
        for message in conversation[:-1]
        if isinstance(message, HumanMessage | AIMessage) and str(message.text).strip()
    ]
    if earlier:
        question = "\n".join([*earlier, f"User: {question}"])
    return "\n\n".join([*rules, question])


def last_question(messages: Sequence[BaseMessage]) -> str:
    """The conversation up to the user's last turn as a question; without such a turn, all of its text."""
    last = max((i for i, message in enumerate(messages) if isinstance(message, HumanMessage)), default=None)
    if last is None:
        return "\n\n".join(str(message.text) for message in messages)
    return question_from_messages(list(messages[: last + 1]))
