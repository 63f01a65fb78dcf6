"""A question from whatever a chain or a graph hands over: text, messages, a prompt value, a dict."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue, StringPromptValue

from latentseek_agents.errors import InputError
from latentseek_agents.graphs.refine_nodes import reference_of

__all__ = ["plain_reference", "question_and_reference", "question_from_messages"]


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
    if isinstance(value, StringPromptValue):
        return value.to_string(), None
    if isinstance(value, PromptValue):
        return question_from_messages(value.to_messages()), None
    if isinstance(value, BaseMessage):
        return question_from_messages([value]), None
    if isinstance(value, Mapping):
        reference = plain_reference(value.get("reference"))
        question = value.get("question")
        if isinstance(question, str):
            return question, reference
        if question is not None:
            raise InputError(f"the question must be a string, but is {question!r}")
        if value.get("messages"):
            return question_from_messages(value["messages"]), reference
        raise InputError(
            f'the input needs a "question" or "messages", but has the keys {sorted(map(str, value))}'
        )
    if isinstance(value, Sequence) and value:
        return question_from_messages(value), None
    raise InputError(
        "the input must be a string, messages, a prompt value or a dict with a question, "
        f"but is {value!r} of type {type(value).__name__}"
    )


def plain_reference(value: Any) -> str | None:
    """A known answer as a string; numbers are taken, too.

    Raises:
        InputError: It is something else.

    Example:
        >>> plain_reference(72)
        '72'
    """
    return reference_of({"reference": value})


def question_from_messages(messages: Any) -> str:
    r"""One question from a conversation that ends with the user's turn.

    A single user message is the question itself. System messages are put before it, and earlier turns
    are kept as a transcript, so that nothing that was said is lost.

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
