r"""From a question to what the model reads.

``boxed`` asks in the words that the Qwen2.5 model cards recommend for mathematics and that the paper
uses as its prompt 1. ``json`` asks for the two fields of the paper's prompt 2 in words of our own; pass a
function as ``LatentSeekConfig(prompt=...)`` to use other words. ``example`` shows one solved question: a
model as small as the embedded one writes no equations unless it sees some, and without equations nothing can
be checked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from latentseek_agents.config import Prompt
from latentseek_agents.errors import ConfigError, InputError

__all__ = ["Message", "prompt_for"]

Message = dict[str, str]
"""``{"role": "system" | "user" | "assistant", "content": ...}``"""

_BOXED = r"Please reason step by step, and put your final answer within \boxed{}."
_JSON_SYSTEM = "You solve mathematical questions with care."
_JSON_USER = (
    "QUESTION: {question}\n"
    "Work it out step by step. Reply with one JSON object that has exactly two keys: "
    '"thought process", holding your reasoning, and "final answer", holding the answer alone, '
    "without unit or explanation. Like this: "
    '{{"thought process": "...", "final answer": "..."}}'
)
_EXAMPLE: list[Message] = [
    {
        "role": "system",
        "content": "Solve the problem step by step. Write every calculation as an equation, such as "
        "3 * 4 = 12. End with the sentence: The answer is [number].",
    },
    {"role": "user", "content": "Ben has 2 bags with 9 nuts each and eats 4 nuts. How many nuts are left?"},
    {
        "role": "assistant",
        "content": "2 * 9 = 18 nuts in all. 18 - 4 = 14 nuts are left. The answer is 14.",
    },
]
_ROLES = {"human": "user", "ai": "assistant"}


def prompt_for(question: str, prompt: Prompt) -> str | list[Message] | list[int]:
    """What to send to the model for a question.

    Args:
        question: The question; it must hold something other than white space.
        prompt: The setting ``LatentSeekConfig.prompt``.

    Returns:
        Messages for the chat template, or the string or the token ids that a function returned.

    Raises:
        InputError: The question is empty.
        ConfigError: A prompt function returned neither a string nor messages nor token ids.

    Example:
        >>> prompt_for("What is 2 + 2?", "boxed")[1]
        {'role': 'user', 'content': 'What is 2 + 2?'}
    """
    if not isinstance(question, str):
        raise InputError(f"the question must be a string, but is a {type(question).__name__}: {question!r}")
    if not question.strip():
        raise InputError("the question is empty; write what is to be solved")
    if prompt == "boxed":
        return [{"role": "system", "content": _BOXED}, {"role": "user", "content": question}]
    if prompt == "json":
        return [
            {"role": "system", "content": _JSON_SYSTEM},
            {"role": "user", "content": _JSON_USER.format(question=question)},
        ]
    if prompt == "example":
        return [*map(dict, _EXAMPLE), {"role": "user", "content": question}]
    if isinstance(prompt, str):
        raise ConfigError(f"prompt={prompt!r} is unknown; use 'boxed', 'json', 'example' or a function")
    formatted = prompt(question)
    if isinstance(formatted, str):
        return formatted
    if isinstance(formatted, Sequence) and formatted and not isinstance(formatted, bytes):
        if all(type(entry) is int for entry in formatted):
            return list(formatted)
        return [_plain(message) for message in formatted]
    raise ConfigError(
        "the prompt function must return a string, a list of messages or token ids, "
        f"but returned {type(formatted).__name__}"
    )


def _plain(message: Any) -> Message:
    """A chat message as a dict, from a mapping, a (role, content) pair or an object like LangChain's."""
    if isinstance(message, Mapping):
        role, content = message.get("role"), message.get("content")
    elif isinstance(message, tuple) and len(message) == 2:
        role, content = message
    else:
        role, content = getattr(message, "type", None), getattr(message, "content", None)
    if not isinstance(role, str) or not isinstance(content, str):
        raise ConfigError(f"a prompt message needs a role and a text content, but is {message!r}")
    return {"role": _ROLES.get(role, role), "content": content}
