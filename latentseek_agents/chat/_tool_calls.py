r"""Tool calls in what a model wrote: text in, calls out, and nothing that was not written.

Four families of formats are read, whichever the model was trained on:

* Hermes and Qwen: ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``
* Llama 3: a bare ``{"name": ..., "parameters": {...}}``, ``<|python_tag|>`` before it, or
  ``<function=name>{...}</function>``
* Mistral: ``[TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...]`` and ``[TOOL_CALLS]name[ARGS]{...}``
* small models that put the call into a fenced block, or between ``<tools>`` tags

A marker is a statement of intent: what follows it is a call, or an invalid call. Bare and fenced JSON may be
an answer, so it is a call only if it names one of the tools.

Example:
    >>> text = 'Sure.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}'
    >>> reply = parse_tool_calls(text, {"add"})
    >>> reply.content, reply.tool_calls[0]["name"], reply.tool_calls[0]["args"]
    ('Sure.', 'add', {'a': 1})
"""

import json
import math
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

from latentseek_agents.chat._text_stream import overlap

CALL_TOKENS = frozenset(
    {
        "<tool_call>",
        "</tool_call>",
        "<|python_tag|>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[CALL_ID]",
        "<tools>",
        "</tools>",
    }
)
"""Tokens that say that a call begins or ends, special or not: they must not be lost in decoding."""

_OPENER = re.compile(
    r"(?P<hermes><tool_call>)|(?P<llama><\|python_tag\|>)|(?P<mistral>\[TOOL_CALLS\])"
    r"|<function=(?P<function>[\w.-]+)>|(?P<tools><tools>)|(?P<fence>```[ \t]*\w*[ \t]*\n?)"
)
_UNFINISHED_FUNCTION = re.compile(r"<function=[\w.-]*$")
_OPENER_WORDS = ("<tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "<function=", "<tools>", "```")
_CLOSERS = {"hermes": "</tool_call>", "function": "</function>", "tools": "</tools>", "fence": "```"}
_MISTRAL_CALL = re.compile(r"\s*(?P<name>[\w.-]+)\s*(?:\[CALL_ID\][\w-]*\s*)?(?:\[ARGS\])?\s*(?=\{)")
_LONGEST_SHOWN = 4000
_ARGUMENT_KEYS = frozenset({"arguments", "parameters"})
_BARE_NAME = re.compile(r'[\[{\s]*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"(?P<name>[^"\\]*)"')
_NAME = re.compile(r'"name"\s*:\s*"(?P<name>[^"\\]*)"')
_BETWEEN_CALLS = re.compile(r"[\s,;]*")
_BLANKS = re.compile(r"\s*")
_PROSE = re.compile(r"\s*([A-Za-z']+),?\s+[A-Za-z']+,?\s[^{}<>\[\]]*\Z")
_AFTER_CALLS = re.compile(r"\s*(?:</tool_call>|</tools>|</function>|<\|eom_id\|>|<\|eot_id\|>)?")


@dataclass(frozen=True)
class ParsedReply:
    """A reply, taken apart.

    Args:
        content: What is no call. If there is no call, it is the text as it was.
        tool_calls: The calls, in their order, each with a new id.
        invalid_tool_calls: What was meant as a call and cannot be read, as it was written.
        written: The whole reply, if a call in it stands without a marker; otherwise empty.
    """

    content: str
    tool_calls: list[ToolCall] = field(default_factory=list)
    invalid_tool_calls: list[InvalidToolCall] = field(default_factory=list)
    written: str = ""

    @property
    def calls(self) -> bool:
        """Whether the reply calls a tool, or tries to."""
        return bool(self.tool_calls or self.invalid_tool_calls)


def new_call_id() -> str:
    """Nine letters and digits: Mistral's templates take no other ids.

    Example:
        >>> len(new_call_id())
        9
    """
    return secrets.token_hex(5)[:9]


def parse_tool_calls(text: str, tool_names: Collection[str]) -> ParsedReply:
    """Find the calls in a reply.

    Args:
        text: What the model wrote, with its call tokens, without its end token.
        tool_names: The tools it was offered.

    Example:
        >>> parse_tool_calls('{"name": "Ann", "parameters": {}}', {"add"}).content
        '{"name": "Ann", "parameters": {}}'
        >>> parse_tool_calls('<tool_call>{"name": "add", "arg', {"add"}).invalid_tool_calls[0]["name"]
        'add'
    """
    return _Reader(text, tool_names).read()


def certain_content(text: str) -> int:
    """How many first characters of an unfinished reply are content, whatever comes.

    Those can be shown at once. White space at the end is not among them: before a call it is dropped.

    Args:
        text: The reply so far.

    Example:
        >>> certain_content("I add them. <tool"), certain_content("1 < 2 tools")
        (11, 11)
    """
    start = _after_thinking(text)
    if start is None:
        return len(text.rstrip())
    if text[start:].lstrip()[:1] in ("", "{", "["):
        return len(text[:start].rstrip())
    end = len(text)
    for opener in _OPENER.finditer(text, start):
        if not opener["fence"] or text[opener.end() :].lstrip()[:1] in ("", "{", "["):
            end = opener.start()
            break
    if unfinished := _UNFINISHED_FUNCTION.search(text, start):
        end = min(end, unfinished.start())
    end = min(end, len(text) - max(overlap(text, word) for word in _OPENER_WORDS))
    return len(text[:end].rstrip())


def _after_thinking(text: str) -> int | None:
    """Where the reply itself begins; None while the model still thinks."""
    closed = text.rfind("</think>")
    if closed >= 0:
        return closed + len("</think>")
    return None if text.lstrip().startswith("<think>") else 0


class _CallError(ValueError):
    """The text is no call; the message says why."""


class _Reader:
    """One pass over a reply."""

    def __init__(self, text: str, tool_names: Collection[str]) -> None:
        self.text = text
        self.tool_names = tool_names
        self.calls: list[ToolCall] = []
        self.invalid: list[InvalidToolCall] = []
        self.content: list[str] = []
        self.unmarked = False

    def read(self) -> ParsedReply:
        start = _after_thinking(self.text)
        if start is None:
            return ParsedReply(self.text)
        position, shown = start, 0
        if (end := self._bare(start)) is not None:
            self.content.append(self.text[:start])
            position = shown = end
        while opener := _OPENER.search(self.text, position):
            end = self._call(opener)
            if end is None:  # no call: a fenced block is skipped as a whole
                closing = self.text.find("```", opener.end()) if opener["fence"] else -1
                position = opener.end() if closing < 0 else closing + 3
                continue
            self.content.append(self.text[shown : opener.start()])
            position = shown = end
        if not self.calls and not self.invalid:
            return ParsedReply(self.text)
        first, *others = [*self.content, self.text[shown:]]
        parts = [first.rstrip(), *(part.strip() for part in others)]
        content = "\n".join(part for part in parts if part)
        return ParsedReply(content, self.calls, self.invalid, self.text if self.unmarked else "")

    def _bare(self, start: int) -> int | None:
        """Read a reply that begins with JSON; its end if that is a call."""
        begins = len(self.text) - len(self.text[start:].lstrip())
        if self.text[begins : begins + 1] not in ("{", "["):
            return None
        if (end := self._implicit(begins)) is not None:
            return _end_of(_AFTER_CALLS, self.text, end)
        # The name of a tool where a call has it, and yet no call: one that went wrong, or an answer in JSON.
        named = _BARE_NAME.match(self.text, begins)
        if named is None or named["name"] not in self.tool_names:
            return None
        try:
            values, _ = _json_values(self.text, begins)
            if not any(isinstance(value, dict) and _ARGUMENT_KEYS & set(value) for value in values):
                return None
            reason = "its arguments are no JSON object"
        except _CallError as error:
            reason = str(error)
        self._refuse(self.text[begins:], reason)
        return len(self.text)

    def _implicit(self, start: int, closer: str = "") -> int | None:
        """Read calls without a marker, which is JSON that names a tool; None if there are none."""
        try:
            values, end = _json_values(self.text, start)
            calls = [_as_call(value, complete=True) for value in values]
            end = self._closed(end, closer)
        except _CallError:
            return None
        if calls[0][0] not in self.tool_names:
            return None
        self.unmarked = True
        self.calls += [_new_call(*call) for call in calls]
        return end

    def _call(self, opener: re.Match[str]) -> int | None:
        """Read what follows an opener; its end, or None if it is no call after all."""
        kind, name, start = str(opener.lastgroup), opener["function"], opener.end()
        closer = _CLOSERS.get(kind, "")
        if kind in ("tools", "fence"):
            return self._implicit(start, closer)
        if kind == "mistral" and (named := _MISTRAL_CALL.match(self.text, start)):
            name, start = named["name"], named.end()
        try:
            if name:
                value, end = _json_value(self.text, start)
                values = [{"name": name, "arguments": _arguments(value)}]
            else:
                values, end = _json_values(self.text, start)
            end = self._closed(end, closer)
            if kind == "llama":
                end = _end_of(_AFTER_CALLS, self.text, end)
                if self.text[end:].strip():
                    raise _CallError("something follows the JSON")
        except _CallError as error:
            end = self._end_of_region(opener.end(), closer)
            if kind in ("hermes", "llama") and self._is_prose(self.text[opener.end() : end]):
                return None
            self._refuse(self.text[opener.start() : end], str(error), name=name)
            return end
        for value in values:
            # One value that is no call leaves the others what they are.
            try:
                self.calls.append(_new_call(*_as_call(value)))
            except _CallError as error:
                self._refuse(json.dumps(value, ensure_ascii=False), str(error))
        return end

    def _is_prose(self, region: str) -> bool:
        """Whether words follow a marker that only names it: "<tool_call> tags are used to call tools"."""
        words = _PROSE.match(region)
        return words is not None and words[1] not in self.tool_names

    def _closed(self, end: int, closer: str) -> int:
        """Where the region ends whose JSON ended here; the closer may be missing.

        Raises:
            _CallError: Text stands between the JSON and the closer.
        """
        rest = self.text[end:]
        after = rest.lstrip()
        if closer and after.startswith(closer):
            return end + len(rest) - len(after) + len(closer)
        opened = _OPENER.search(after)
        if closer and closer in after[: opened.start() if opened else None]:
            raise _CallError("something stands between the JSON and the end of the call")
        return end

    def _end_of_region(self, start: int, closer: str) -> int:
        """Where a call that cannot be read ends: at its closer, the next opener, or the end of the text."""
        following = _OPENER.search(self.text, start)
        end = len(self.text) if following is None else following.start()
        closing = self.text.find(closer, start) if closer else -1
        return closing + len(closer) if 0 <= closing < end else end

    def _refuse(self, raw: str, reason: str, *, name: str | None = None) -> None:
        named = _NAME.search(raw)
        # Adding up streamed chunks tries every shorter text as JSON: in quadratic time,
        shown = raw.strip()[:_LONGEST_SHOWN]
        if shown.startswith("{"):
            # and with success: of a broken call it would make one that was never written.
            shown = f"malformed: {shown}"
        self.invalid.append(
            invalid_tool_call(
                name=name or (named["name"] if named else "") or None,
                args=shown,
                id=new_call_id(),
                error=f"this tool call cannot be read: {reason}",
            )
        )


def _new_call(name: str, arguments: dict[str, Any]) -> ToolCall:
    return tool_call(name=name, args=arguments, id=new_call_id())


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where a pattern ends that may match nothing."""
    match = pattern.match(text, start)
    return start if match is None else match.end()


def _json_values(text: str, start: int) -> tuple[list[Any], int]:
    """One JSON object, a list of them, or several in a row; and where they end."""
    values: list[Any] = []
    position = end = start
    while True:
        position = _end_of(_BETWEEN_CALLS, text, position)
        if text[position : position + 1] not in ("{", "["):
            break
        value, position = _json_value(text, position)
        values += value if isinstance(value, list) else [value]
        end = position
    if not values:
        raise _CallError("there is no JSON object")
    return values, end


def _json_value(text: str, start: int) -> tuple[Any, int]:
    try:
        return json.JSONDecoder(**_READING).raw_decode(text, _end_of(_BLANKS, text, start))
    except (ValueError, RecursionError) as error:
        raise _CallError(f"it is not valid JSON ({error})") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is too large")
    return value


# Not strict: models write line breaks into strings as they are.
_READING: dict[str, Any] = {"strict": False, "parse_constant": _no_constant, "parse_float": _finite}


def _as_call(value: Any, *, complete: bool = False) -> tuple[str, dict[str, Any]]:
    """A JSON value as name and arguments, in the ways in which the families write them.

    Args:
        value: What was read.
        complete: Refuse a call that states no arguments, not even that there are none.
    """
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        raise _CallError(f"a call is a JSON object, but this is {type(value).__name__}")
    name = value.get("name", value.get("function"))
    if not isinstance(name, str) or not name.strip():
        raise _CallError("it names no tool")
    for key in ("arguments", "parameters"):
        if key in value:
            return name, _arguments(value[key])
    if complete:
        raise _CallError("it states no arguments")
    if extra := sorted(set(value) - {"name", "function", "id", "type"}):
        raise _CallError(f"it has no arguments, but {', '.join(map(str, extra))}")
    return name, {}


def _arguments(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        # Some write the arguments as OpenAI's API does, as JSON in a string.
        try:
            value = json.loads(value, **_READING)
        except (ValueError, RecursionError):
            raise _CallError("its arguments are a string, and no JSON") from None
    if not isinstance(value, dict):
        raise _CallError(f"its arguments are {type(value).__name__}, and no JSON object")
    return value
