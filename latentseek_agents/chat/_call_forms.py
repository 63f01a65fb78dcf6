r"""The forms in which calls are written, without their markers: JSON, XML, Python and a few more.

Each becomes a value like ``{"name": ..., "arguments": {...}}``, the form of Hermes and OpenAI, whatever is
missing or wrong in it. XML has no types: what it says is read by the tool's schema.

Example:
    >>> schemas = {"add": {"properties": {"a": {"type": "integer"}}}}
    >>> read_calls("<function=add><parameter=a>1</parameter></function>", 0, schemas)
    ([{'name': 'add', 'arguments': {'a': 1}}], 51)
    >>> read_calls("[add(a=1), now()]", 0, schemas)
    ([{'name': 'add', 'arguments': {'a': 1}}, {'name': 'now', 'arguments': {}}], 17)
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from latentseek_agents.chat._json_text import JSONTextError, read_json, unescaped

Schemas = Mapping[str, Mapping[str, Any]]
"""JSON schemas of the arguments, by the name of the tool."""

_BLANKS = re.compile(r"\s*")
_BETWEEN_CALLS = re.compile(r"[\s,;]*")
_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n?")
_FENCE_END = re.compile(r"\s*```")
_NAME = r"[\w.:-]+"
_NAMED_JSON = re.compile(
    r"\s*(?:function<｜tool▁sep｜>)?(?P<name>" + _NAME + r")\s*(?:\[CALL_ID\][\w-]*\s*)?"
    r"(?:\[ARGS\]|<｜tool▁sep｜>|<\|tool_call_argument_begin\|>)?\s*(?P<fence>```[ \t]*\w*\s*)?(?=\{)"
)
_FUNCTION = re.compile(rf"\s*<function=(?P<name>{_NAME})>")
_FUNCTION_END = re.compile(r"\s*</function>")
# Some leave out the end of a parameter.
_PARAMETER = re.compile(
    r"\s*<parameter=(?P<key>[^>\n]+)>(?P<value>(?:(?!<parameter=).)*?(?=</parameter>)"
    r"|.*?(?=<parameter=|</function>))(?:</parameter>)?",
    re.DOTALL,
)
_INVOKE = re.compile(r'\s*<(?:｜DSML｜)?invoke name="(?P<name>[^"\n]+)">')
_INVOKE_END = re.compile(r"\s*</(?:｜DSML｜)?invoke>")
_INVOKE_PARAMETER = re.compile(
    r'\s*<(?:｜DSML｜)?parameter name="(?P<key>[^"\n]+)"(?: string="(?P<text>true|false)")?>(?P<value>.*?)'
    r"</(?:｜DSML｜)?parameter>",
    re.DOTALL,
)
# A call without arguments, as GLM writes it.
_LONE_NAME = re.compile(rf"\s*(?P<name>{_NAME})\s*(?=</tool_call>)")
_ARG_NAME = re.compile(r"\s*(?P<name>[\w.-]+)\s*(?=<arg_key>)")
_ARG_PARAMETER = re.compile(
    r"\s*<arg_key>(?P<key>.*?)</arg_key>\s*<arg_value>(?P<value>.*?)</arg_value>", re.DOTALL
)
_CALL_COLON = re.compile(r"\s*call:(?P<name>[\w.-]+)\s*(?=[{(])")
_LAX = re.compile(
    r'(?P<delimiter><\|"\|>|<escape>)(?P<string>.*?)(?P=delimiter)(?=\s*[,}\]:])|"(?:[^"\\]|\\.)*"'
    r"|(?P<before>[{(,]\s*)(?P<key>[A-Za-z_]\w*)\s*[:=]|(?P<brace>[{}()])",
    re.DOTALL,
)
_PYTHON_NAME = re.compile(r"\s*(?P<name>[A-Za-z_][\w.]*)\s*\(")
_PYTHON_KEY = re.compile(r"\s*(?P<key>[A-Za-z_]\w*)\s*=(?!=)")
_PYTHON_STRING = re.compile(
    r'(?P<raw>[rR]?)(?P<string>"""(?P<long>.*?)"""|"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')', re.DOTALL
)
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])")
_CONSTANTS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z]+")
_DEEPEST = 50
_TYPES = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object", type(None): "null"}


class CallError(ValueError):
    """The text is no call; the message says why."""


def read_calls(text: str, start: int, schemas: Schemas) -> tuple[list[Any], int]:
    """The calls that a marker announces, in any of the forms, and where they end.

    Args:
        text: The reply.
        start: Where the marker ends.
        schemas: For the types of arguments that are written as text.

    Raises:
        CallError: No form fits.
    """
    if _FUNCTION.match(text, start):
        return _several(text, start, schemas, _FUNCTION, _PARAMETER, _FUNCTION_END)
    if _INVOKE.match(text, start):
        return _several(text, start, schemas, _INVOKE, _INVOKE_PARAMETER, _INVOKE_END)
    if _ARG_NAME.match(text, start):
        return _several(text, start, schemas, _ARG_NAME, _ARG_PARAMETER, None)
    if named := _CALL_COLON.match(text, start):
        return _lax_call(text, named)
    if named := _NAMED_JSON.match(text, start):
        value, end = _json(text, named.end())
        return [{"name": named["name"], "arguments": value}], (
            _end_of(_FENCE_END, text, end) if named["fence"] else end
        )
    if begins_python(text, start):
        return read_python_calls(text, start)
    if (alone := _LONE_NAME.match(text, start)) and alone["name"] in schemas:
        return [{"name": alone["name"], "arguments": {}}], alone.end("name")
    return _json_or_fence(text, start)


def _json_or_fence(text: str, start: int) -> tuple[list[Any], int]:
    fence = _FENCE.match(text, _end_of(_BLANKS, text, start))
    if fence is None:
        return read_json_calls(text, start)
    read = read_python_calls if begins_python(text, fence.end()) else read_json_calls
    values, end = read(text, fence.end())
    return values, _end_of(_FENCE_END, text, end)


def read_json_calls(text: str, start: int) -> tuple[list[Any], int]:
    """One JSON object, a list of them, or several in a row; and where they end.

    Args:
        text: The reply.
        start: Where they begin.

    Raises:
        CallError: It is no JSON.
    """
    values: list[Any] = []
    position = end = start
    while True:
        position = _end_of(_BETWEEN_CALLS, text, position)
        if text[position : position + 1] not in ("{", "["):
            break
        value, position = _json(text, position)
        for each in value if isinstance(value, list) else [value]:
            # A whole message, in the form of OpenAI's API.
            inner = each.get("tool_calls") if isinstance(each, dict) and "name" not in each else None
            values += inner if isinstance(inner, list) else [each]
        end = position
    if not values:
        raise CallError("there is no JSON object")
    return values, end


def read_function(text: str, start: int, name: str, schemas: Schemas) -> tuple[list[Any], int]:
    """What follows ``<function=name>``: JSON, or parameters as XML. The end is before ``</function>``.

    Args:
        text: The reply.
        start: Where that marker ends.
        name: The name in it.
        schemas: For the types of arguments that are written as text.

    Raises:
        CallError: It cannot be read, or is cut off.
    """
    begin = _end_of(_BLANKS, text, start)
    if text.startswith(("<parameter=", "</function>"), begin):
        arguments, end = _parameters(text, start, schemas.get(name), _PARAMETER)
        if not _FUNCTION_END.match(text, end):
            raise CallError("it is cut off, or something stands between its parameters")
        return [{"name": name, "arguments": arguments}], end
    value, end = _json(text, start)
    return [{"name": name, "arguments": value}], end


def begins_python(text: str, start: int) -> bool:
    """Whether a call as in Python, or a list of such calls, begins here.

    Args:
        text: The reply.
        start: Where to look.
    """
    begin = _end_of(_BLANKS, text, start)
    return _PYTHON_NAME.match(text, begin + (text[begin : begin + 1] == "[")) is not None


def read_python_calls(text: str, start: int) -> tuple[list[Any], int]:
    """Calls as in Python, in a list, one per line or alone, and where they end. Nothing is run.

    Args:
        text: The reply.
        start: Where they begin.

    Raises:
        CallError: They are no such calls, or an argument has no name.
    """
    position = _end_of(_BLANKS, text, start)
    in_list = text[position : position + 1] == "["
    position += in_list
    values: list[Any] = []
    while True:
        value, position = _python_call(text, position)
        values.append(value)
        after = _end_of(_BLANKS, text, position)
        if in_list and text[after : after + 1] == "]":
            return values, after + 1
        if in_list and text[after : after + 1] != ",":
            raise CallError("its list of calls is not closed")
        if not in_list and not _PYTHON_NAME.match(text, after):
            return values, position
        position = after + in_list


def _python_call(text: str, start: int) -> tuple[dict[str, Any], int]:
    named = _PYTHON_NAME.match(text, start)
    if named is None:
        raise CallError("it is no call")
    if named["name"] == "print" and _PYTHON_NAME.match(text, named.end()):
        value, position = _python_call(text, named.end())
        return value, _expect(text, position, ")")
    arguments: dict[str, Any] = {}
    position = named.end()
    while not _at(text, position, ")"):
        key = _PYTHON_KEY.match(text, position)
        if key is None:
            raise CallError("its arguments have no names; write name=value")
        arguments[key["key"]], position = _python_value(text, key.end(), 0)
        if not _at(text, position, ")"):
            position = _expect(text, position, ",")
    return {"name": named["name"].removesuffix(".call"), "arguments": arguments}, _expect(text, position, ")")


def _python_value(text: str, start: int, depth: int) -> tuple[Any, int]:
    begin = _end_of(_BLANKS, text, start)
    opened = text[begin : begin + 1]
    if depth > _DEEPEST:
        raise CallError("its arguments are nested too deeply")
    if string := _PYTHON_STRING.match(text, begin):
        if string["long"] is not None or string["raw"]:
            return string["long"] or string["string"][1:-1], string.end()
        try:
            return unescaped(string["string"]), string.end()
        except JSONTextError as error:
            raise CallError(str(error)) from None
    if number := _NUMBER.match(text, begin):
        digits = number[0].replace("_", "")
        # The many digits that Python refuses to read are no argument either.
        if len(digits) > 1000:
            raise CallError("a number in it is too long")
        value = float(digits) if set(digits) & set(".eE") else int(digits)
        return value, number.end()
    if opened in ("[", "("):
        return _python_items(text, begin + 1, "]" if opened == "[" else ")", depth)
    if opened == "{":
        return _python_dict(text, begin + 1, depth)
    word = _WORD.match(text, begin)
    if word is None or word[0] not in _CONSTANTS:
        raise CallError(f"{text[begin : begin + 20]!r} is no value")
    return _CONSTANTS[word[0]], word.end()


def _python_items(text: str, position: int, closer: str, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    while not _at(text, position, closer):
        item, position = _python_value(text, position, depth + 1)
        items.append(item)
        if not _at(text, position, closer):
            position = _expect(text, position, ",")
    return items, _expect(text, position, closer)


def _python_dict(text: str, position: int, depth: int) -> tuple[dict[str, Any], int]:
    items: dict[str, Any] = {}
    while not _at(text, position, "}"):
        key, position = _python_value(text, position, depth + 1)
        items[str(key)], position = _python_value(text, _expect(text, position, ":"), depth + 1)
        if not _at(text, position, "}"):
            position = _expect(text, position, ",")
    return items, _expect(text, position, "}")


def _at(text: str, position: int, sign: str) -> bool:
    return text.startswith(sign, _end_of(_BLANKS, text, position))


def _expect(text: str, position: int, sign: str) -> int:
    """Where a sign ends that has to stand here."""
    if not _at(text, position, sign):
        raise CallError(f"there is no {sign!r} where one has to be")
    return _end_of(_BLANKS, text, position) + len(sign)


def _several(
    text: str,
    position: int,
    schemas: Schemas,
    opener: re.Pattern[str],
    parameter: re.Pattern[str],
    closer: re.Pattern[str] | None,
) -> tuple[list[Any], int]:
    """Calls in XML, one after the other."""
    values: list[Any] = []
    while opened := opener.match(text, position):
        name = opened["name"]
        if opener is _FUNCTION:
            found, end = read_function(text, opened.end(), name, schemas)
            values += found
        else:
            arguments, end = _parameters(text, opened.end(), schemas.get(name), parameter)
            values.append({"name": name, "arguments": arguments})
        if closer is not None and not closer.match(text, end):
            raise CallError("it is cut off, or something stands between its parameters")
        position = end if closer is None else _end_of(closer, text, end)
    return values, position


def _parameters(
    text: str, position: int, schema: Mapping[str, Any] | None, parameter: re.Pattern[str]
) -> tuple[dict[str, Any], int]:
    properties = (schema or {}).get("properties") or {}
    arguments: dict[str, Any] = {}
    while found := parameter.match(text, position):
        key, value = found["key"].strip(), found["value"]
        # The line breaks next to the tags are the template's.
        value = value.removeprefix("\n").removesuffix("\n")
        stated_text = found.groupdict().get("text")
        if stated_text == "true":
            arguments[key] = value
        else:
            arguments[key] = _typed(value, properties.get(key))
        position = found.end()
    return arguments, position


def _typed(written: str, schema: Any) -> Any:
    """A value that is written as text, by its schema; without one, numbers, lists and objects are such."""
    types = _types_of(schema)
    if types == {"string"} or (isinstance(schema, Mapping) and written in (schema.get("enum") or ())):
        return written
    stripped = written.strip()
    value: Any = _CONSTANTS.get(stripped)
    if stripped not in _CONSTANTS:
        try:
            value, end = _literal(stripped)
        except (JSONTextError, CallError):
            return written
        if end != len(stripped) or isinstance(value, str):
            return written
    kind = _TYPES[type(value)]
    if kind == "number" and "integer" in types and "number" not in types and value.is_integer():
        return int(value)
    return value if not types or kind in types or (kind == "integer" and "number" in types) else written


def _literal(text: str) -> tuple[Any, int]:
    """A value of JSON; a list or object may be one of Python."""
    try:
        return read_json(text, 0)
    except JSONTextError:
        if text[:1] not in ("[", "{", "("):
            raise
        return _python_value(text, 0, 0)


def _types_of(schema: Any) -> set[str]:
    """The types that a JSON schema allows; empty if it does not say."""
    if not isinstance(schema, Mapping):
        return set()
    stated = schema.get("type")
    types = {stated} if isinstance(stated, str) else set(stated or ())
    for choice in (*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())):
        types |= _types_of(choice)
    return types


def _lax_call(text: str, named: re.Match[str]) -> tuple[list[Any], int]:
    """Gemma's ``call:name{key: value}``: keys without quotes, strings between marks of their own."""
    pieces: list[str] = []
    position = named.end()
    depth = 0
    for token in _LAX.finditer(text, position):
        pieces.append(text[position : token.start()])
        position = token.end()
        pieces.append(_strict(token))
        opened = (token["brace"] or token["before"] or ",")[0]
        depth += (opened in "{(") - (opened in "})")
        if depth == 0:
            break
    if depth:
        raise CallError("it is cut off")
    value, _ = _json("".join(pieces), 0)
    return [{"name": named["name"], "arguments": value}], position


def _strict(token: re.Match[str]) -> str:
    """A part of such a call as JSON."""
    if token["delimiter"]:
        # Within a string the mark is a quotation mark of the string.
        return json.dumps(token["string"].replace(token["delimiter"], '"'), ensure_ascii=False)
    if token["brace"] or token["key"]:
        # Some write brackets and signs as in Python.
        sign = (token["brace"] or token["before"]).replace("(", "{").replace(")", "}")
        return f'{sign}"{token["key"]}":' if token["key"] else sign
    return token[0]


def _json(text: str, start: int) -> tuple[Any, int]:
    try:
        return read_json(text, start)
    except JSONTextError as error:
        raise CallError(str(error)) from None


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where a pattern ends that may match nothing."""
    match = pattern.match(text, start)
    return start if match is None else match.end()
