"""What callers ask for by keyword, brought into one form."""

from collections.abc import Mapping, Sequence
from typing import Any

from latentseek_agents.engine.errors import ConfigError

__all__ = ["CALL_OPTIONS", "check_call_options", "forced_tools", "normal_choice"]

CALL_OPTIONS = frozenset(
    {
        "max_tokens",
        "model",
        "parallel_tool_calls",
        "reference",
        "response_format",
        "seed",
        "stream",
        "strict",
        "temperature",
        "tool_choice",
        "tools",
    }
)
"""Keywords of one call. ``strict`` and ``parallel_tool_calls`` are taken and change nothing."""


def check_call_options(options: Mapping[str, Any]) -> None:
    """Refuse what would otherwise be ignored without a word.

    Raises:
        ConfigError: There is no such option.
    """
    if unknown := sorted(set(options) - CALL_OPTIONS):
        raise ConfigError(
            f"there is no option {', '.join(unknown)} for a call; the options are "
            f"stop, {', '.join(sorted(CALL_OPTIONS))}"
        )


def normal_choice(choice: Any, names: Sequence[str]) -> str:
    """A tool choice as ``"auto"``, ``"any"``, ``"none"`` or the name of a tool.

    Args:
        choice: None, True, False, one of those words, ``"required"``, a name, or OpenAI's dict with one.
        names: The tools.

    Raises:
        ConfigError: It is none of these.

    Example:
        >>> normal_choice("required", ["add"]), normal_choice({"function": {"name": "add"}}, ["add"])
        ('any', 'add')
    """
    if isinstance(choice, Mapping):
        function = choice.get("function", choice)
        choice = function.get("name") if isinstance(function, Mapping) else None
        choice = choice if isinstance(choice, str) else "?"
    if choice in names:
        return str(choice)
    words = {
        None: "auto",
        True: "any",
        False: "none",
        "required": "any",
        "any": "any",
        "auto": "auto",
        "none": "none",
    }
    if not isinstance(choice, str | bool | None) or choice not in words:
        raise ConfigError(
            f"tool_choice={choice!r} is neither 'auto', 'any' or 'none' nor a tool: {', '.join(names)}"
        )
    return words[choice]


def forced_tools(choice: str, names: Sequence[str]) -> list[str]:
    """The tools of which a reply has to call one; empty if it need not."""
    if choice in names:
        return [choice]
    return list(names) if choice == "any" else []
