"""Structured output: from a message to the object that a schema describes, or an error that says why not."""

from operator import itemgetter
from typing import Any, Literal

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from latentseek_agents.chat._json_text import JSONTextError, read_json
from latentseek_agents.errors import LatentSeekError
from latentseek_agents.thoughts import answer_part

Method = Literal["function_calling", "json_mode", "json_schema"]


class ReplyError(LatentSeekError, OutputParserException):
    """The model's reply does not fit the schema; the message says what it holds."""


def parser(schema: dict[str, Any] | type, method: Method) -> Runnable[Any, Any]:
    """From the whole message to an object: an instance of a pydantic class, otherwise a dict.

    Args:
        schema: A pydantic class, a ``TypedDict``, a JSON schema, or a tool in OpenAI's form.
        method: Where to look: in the tool calls, or in the text.
    """
    name = convert_to_openai_tool(schema)["function"]["name"]

    def parse(message: AIMessage) -> Any:
        values = _called(message, name) if method == "function_calling" else _written(message)
        return _fitted(values, schema, message)

    return RunnableLambda(parse, name="ReplyParser")


def with_raw(model: Runnable[Any, Any], parse: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """``{"raw": message, "parsed": object or None, "parsing_error": error or None}``."""
    assigned = RunnablePassthrough.assign(parsed=itemgetter("raw") | parse, parsing_error=lambda _: None)
    failed: Runnable[Any, Any] = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | assigned.with_fallbacks([failed], exception_key="parsing_error")


def _called(message: AIMessage, name: str) -> dict[str, Any]:
    for call in message.tool_calls:
        if call["name"] == name:
            return call["args"]
    if message.invalid_tool_calls:
        invalid = message.invalid_tool_calls[0]
        raise _error(
            message, f"{invalid.get('error') or 'a tool call that cannot be read'}: {invalid['args']}"
        )
    raise _error(message, f"no call of {name}, but {str(message.text)!r}")


def _written(message: AIMessage) -> dict[str, Any]:
    """The first whole JSON object in the text. A broken one is not repaired: that would invent its end."""
    text = answer_part(str(message.text))
    start = text.find("{")
    if start < 0:
        raise _error(message, f"no JSON object, but {text!r}")
    try:
        values: dict[str, Any] = read_json(text, start)[0]
    except JSONTextError as error:
        raise _error(message, f"JSON that is broken ({error}): {text[start:]!r}") from None
    return values


def _fitted(values: dict[str, Any], schema: Any, message: AIMessage) -> Any:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        # Classes of pydantic.v1 have only the second method; both raise a kind of ValueError.
        method = "model_validate" if hasattr(schema, "model_validate") else "parse_obj"
        try:
            return getattr(schema, method)(values)
        except ValueError as error:
            raise _error(message, f"values that do not fit {schema.__name__} ({error}): {values}") from None
    required = convert_to_json_schema(schema).get("required", [])
    if missing := [key for key in required if key not in values]:
        raise _error(message, f"an object without {', '.join(missing)}: {values}")
    return values


def _error(message: AIMessage, content: str) -> ReplyError:
    is_cut = message.response_metadata.get("finish_reason") == "length"
    hint = "; it was cut off, so raise max_tokens" if is_cut else ""
    error = ReplyError(f"the model's reply holds {content}{hint}")
    error.llm_output = str(message.text)
    return error
