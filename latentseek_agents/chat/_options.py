"""The keywords of a call, brought into one form each."""

import json
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from latentseek_agents.errors import ConfigError

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
"""Keywords of one call. ``strict`` and ``parallel_tool_calls`` are accepted and change nothing."""

_JSON_RULES = "Reply with one JSON object and nothing else: no explanation before or after it."
_NUMBERS: dict[str, tuple[type, int]] = {
    "max_tokens": (Integral, 1),
    "seed": (Integral, 0),
    "temperature": (Real, 0),
}


def check_call_options(options: Mapping[str, Any]) -> None:
    """Check the keywords of a call: none is ignored in silence, and none leads to decoding noise.

    Raises:
        ConfigError: There is no such option, or it is out of range.
    """
    if unknown := sorted(set(options) - CALL_OPTIONS):
        raise ConfigError(
            f"there is no option {', '.join(unknown)} for a call; the options are "
            f"stop, {', '.join(sorted(CALL_OPTIONS))}"
        )
    for name, (kind, least) in _NUMBERS.items():
        value = options.get(name)
        if value is None:
            continue
        number = isinstance(value, kind) and not isinstance(value, bool)
        if not number or not least <= value < 2**63:
            what = "a whole number" if kind is Integral else "a number"
            raise ConfigError(f"{name}={value!r}: it must be {what} of at least {least}")


def reply_form(response_format: Any) -> tuple[str, Mapping[str, Any] | None]:
    """What the system message says about the form of a reply, and the JSON schema that it is to fit.

    Args:
        response_format: As in OpenAI's API; None and ``{"type": "text"}`` ask for nothing.

    Raises:
        ConfigError: It is something else.

    Example:
        >>> reply_form({"type": "json_object"})
        ('Reply with one JSON object and nothing else: no explanation before or after it.', None)
        >>> schema = {"name": "N", "schema": {"type": "integer"}}
        >>> reply_form({"type": "json_schema", "json_schema": schema})[1]
        {'type': 'integer'}
    """
    if response_format is None:
        return "", None
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    schema = response_format.get("json_schema") if kind == "json_schema" else {}
    if kind not in ("text", "json_object", "json_schema") or not isinstance(schema, Mapping):
        raise ConfigError(
            f"response_format={response_format!r} is not {{'type': 'text'}}, {{'type': 'json_object'}} or "
            "{'type': 'json_schema', 'json_schema': {...}}; for a class use with_structured_output"
        )
    # OpenAI's API puts the schema beside its name.
    inner = schema.get("schema")
    if isinstance(inner, Mapping) and "type" not in schema:
        schema = inner
    if not schema:
        return "" if kind == "text" else _JSON_RULES, None
    text = json.dumps(schema, ensure_ascii=False)
    return f"{_JSON_RULES} It must fit this JSON schema:\n{text}", schema


def openai_tools(tools: Sequence[Any] | None) -> list[dict[str, Any]]:
    """Tools in OpenAI's form, each with a ``function``.

    Args:
        tools: Functions, LangChain tools, pydantic classes, ``TypedDict`` classes or dicts.

    Raises:
        ConfigError: One is run by a provider's server.

    Example:
        >>> openai_tools([{"name": "add", "description": "Add.", "parameters": {}}])[0]["function"]["name"]
        'add'
    """
    converted = [convert_to_openai_tool(tool) for tool in tools or ()]
    for tool in converted:
        if "function" not in tool:
            raise ConfigError(
                f"a tool of the type {tool.get('type')!r} is run by its provider's server, and a local model "
                "has none; bind a function or a LangChain tool that does the same"
            )
    return converted


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
        >>> normal_choice({"type": "any"}, ["add"]), normal_choice({"type": "tool", "name": "add"}, ["add"])
        ('any', 'add')
    """
    words = {None: "auto", True: "any", False: "none", "required": "any"}
    words |= {word: word for word in ("any", "auto", "none")}
    if isinstance(choice, Mapping):
        # Anthropic's form has a type, and a name only where the type is "tool".
        function = choice.get("function", choice)
        name = function.get("name") if isinstance(function, Mapping) else None
        choice = name if isinstance(name, str) else str(choice.get("type"))
    if choice in names:
        return str(choice)
    if not isinstance(choice, str | bool | None) or choice not in words:
        raise ConfigError(
            f"tool_choice={choice!r} is neither 'auto', 'any' or 'none' nor a tool: {', '.join(names)}"
        )
    return words[choice]
