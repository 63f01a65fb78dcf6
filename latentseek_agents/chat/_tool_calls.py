r"""Tool calls in what a model wrote: text in, calls out, and nothing that was not written.

The formats of these families are read, whichever the model was trained on:

* Hermes and Qwen: ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``; Qwen3-Coder and Qwen3.5,
  with or without these tags: ``<function=name><parameter=key>value</parameter></function>``; GLM
* Llama 3 and 4: a bare ``{"name": ..., "parameters": {...}}`` or ``[name(key=value), ...]``,
  ``<|python_tag|>`` or ``<|python_start|>`` before it, or ``<function=name>{...}</function>``
* Mistral: ``[TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...]`` and ``[TOOL_CALLS]name[ARGS]{...}``
* Granite and Phi-4-mini (``<|tool_call|>``, ``functools[...]``), DeepSeek, Kimi, MiniMax, Gemma, LFM,
  Cohere, gpt-oss and the others of ``_call_markers.py``
* small models that put the call into a fenced block, between ``<tools>`` tags, or behind their words

A marker is a statement of intent: what follows it is a call, or an invalid call. Bare and fenced JSON and
calls as in Python may be an answer, so they are calls only if they name one of the tools; and behind words
only if nothing follows them.

A tokenizer that comes with a response template of transformers is asked first, see ``_turn.py``.

Example:
    >>> text = 'Sure.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}'
    >>> reply = parse_tool_calls(text, {"add"})
    >>> reply.content, reply.tool_calls[0]["name"], reply.tool_calls[0]["args"]
    ('Sure.', 'add', {'a': 1})
"""

import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

from latentseek_agents.chat._call_forms import (
    CallError,
    Schemas,
    begins_python,
    read_calls,
    read_function,
    read_json_calls,
    read_python_calls,
)
from latentseek_agents.chat._call_markers import (
    HARMONY,
    LONE_CALL,
    MENTIONED,
    UNMARKED,
    WEAK,
    after_thinking,
    closer_of,
    kind_of,
    next_opener,
)
from latentseek_agents.chat._json_text import JSONTextError, read_json

_LONGEST_SHOWN = 4000
_MOST_TRIALS = 20
_NAME_KEYS = ("name", "function", "tool_name", "tool", "action")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "action_input", "input")
_BARE_NAME = re.compile(r'[\[{\s]*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"(?P<name>[^"\\]*)"')
_NAME = re.compile(r'"name"\s*:\s*"(?P<name>[^"\\]*)"|(?:<function=|<invoke name=")(?P<other>[\w.-]+)')
_NEXT_LIST = re.compile(r"\s*\[\s*[A-Za-z_][\w.]*\(")
_PYTHON_NAME = re.compile(r"\s*\[?\s*(?P<name>[\w.]+)\(")
_PROSE = re.compile(r"[\s`'\".,:;)]*([A-Za-z']+),?\s+[A-Za-z']+(?:,?\s[^{}<>\[\]]*|[.!?]\s*)\Z")
_AFTER_CALLS = re.compile(r"\s*(?:</tool_call>|</tools>|</function>|<\|eom_id\|>|<\|eot_id\|>)?")
_FENCE_AT_END = re.compile(r"\s*(?:```\s*)?\Z")
_ONE_WORD = re.compile(r"\s*[\w<>｜▁]*\s*")
_HARMONY = re.compile(
    r"(?:<\|start\|>)?(?:(?<=<\|start\|>)assistant)?\s*(?P<before>\bto=[^\s<]+\s*)?<\|channel\|>(?P<head>[^<]*)"
    r"(?:<\|constrain\|>[^<]*)?<\|message\|>(?P<body>.*?)"
    r"(?:<\|end\|>|<\|call\|>|<\|return\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
_RECIPIENT = re.compile(r"\bto=(?:functions\.)?(?P<name>[\w.-]+)")


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


def parse_tool_calls(text: str, tools: Collection[str] | Schemas) -> ParsedReply:
    """Find the calls in a reply.

    Args:
        text: What the model wrote, with its call tokens, without its end token.
        tools: The tools it was offered: their names, or the JSON schemas of their arguments by name. Formats
            that write arguments as text need the schemas; without them, what looks like a number is one.

    Example:
        >>> parse_tool_calls('{"name": "Ann", "parameters": {}}', {"add"}).content
        '{"name": "Ann", "parameters": {}}'
        >>> parse_tool_calls('<tool_call>{"name": "add", "arg', {"add"}).invalid_tool_calls[0]["name"]
        'add'
    """
    return _Reader(text, tools).read()


class _Reader:
    """One pass over a reply."""

    def __init__(self, text: str, tools: Collection[str] | Schemas) -> None:
        self.text = text
        self.schemas: Schemas = tools if isinstance(tools, Mapping) else {name: {} for name in tools}
        self.calls: list[ToolCall] = []
        self.invalid: list[InvalidToolCall] = []
        self.content: list[str] = []
        self.unmarked = False

    def read(self) -> ParsedReply:
        start = after_thinking(self.text)
        if start is None:
            return ParsedReply(self.text)
        if HARMONY in self.text[start:]:
            return self._harmony(start)
        position, shown = start, 0
        if (end := self._bare(start)) is not None:
            self.content.append(self.text[:start])
            position = shown = end
        while opener := next_opener(self.text, position):
            end = self._call(opener)
            if end is None:  # no call: a fenced block is skipped as a whole
                closing = self.text.find("```", opener.end()) if kind_of(opener) in ("fence", "code") else -1
                position = opener.end() if closing < 0 else closing + 3
                continue
            self.content.append(self.text[shown : opener.start()])
            position = shown = end
        if not self.calls and not self.invalid and (begun := self._at_the_end(start)) is not None:
            self.content.append(self.text[shown:begun])
            shown = len(self.text)
        if not self.calls and not self.invalid:
            return ParsedReply(self.text)
        written = self.text if self.unmarked else ""
        return ParsedReply(self._shown(shown), self.calls, self.invalid, written)

    def _harmony(self, start: int) -> ParsedReply:
        """A reply in the format of gpt-oss: calls by their recipient, content without what was thought."""
        shown = 0
        for part in _HARMONY.finditer(self.text, start):
            self.content.append(self.text[shown : part.start()])
            shown = part.end()
            recipient = _RECIPIENT.search(part["before"] or "") or _RECIPIENT.search(part["head"])
            if recipient is None:
                self.content += [part["body"]] if part["head"].split()[:1] != ["analysis"] else []
                continue
            name = recipient["name"]
            try:
                values, _ = read_json_calls(part["body"], 0)
                self.calls.append(_new_call(name, _arguments(values[0])))
            except CallError as error:
                self._refuse(part["body"], str(error), name=name)
        content = self._shown(shown)
        if not self.calls and not self.invalid and not content:
            return ParsedReply(self.text)
        return ParsedReply(content, self.calls, self.invalid)

    def _shown(self, rest: int) -> str:
        """The content, the rest of the reply from here on included."""
        first, *others = [*self.content, self.text[rest:]]
        parts = [first.rstrip(), *(part.strip() for part in others)]
        return "\n".join(part for part in parts if part)

    def _bare(self, start: int) -> int | None:
        """Read a reply that begins with a call without a marker; its end if that is one."""
        begins = len(self.text) - len(self.text[start:].lstrip())
        alone = LONE_CALL.match(self.text, begins) is not None
        if self.text[begins : begins + 1] not in ("{", "[") and not alone:
            return None
        if alone or begins_python(self.text, begins):
            return len(self.text) if self._python(begins) else None
        if (end := self._implicit(begins)) is not None:
            return _end_of(_AFTER_CALLS, self.text, end)
        # The name of a tool where a call has it, and yet no call: one that went wrong, or an answer in JSON.
        named = _BARE_NAME.match(self.text, begins)
        if named is None or named["name"] not in self.schemas:
            return None
        try:
            values, _ = read_json_calls(self.text, begins)
            if not any(isinstance(value, dict) and set(_ARGUMENT_KEYS[:2]) & set(value) for value in values):
                return None
            reason = "its arguments are no JSON object"
        except CallError as error:
            reason = str(error)
        self._refuse(self.text[begins:], reason)
        return len(self.text)

    def _at_the_end(self, start: int) -> int | None:
        """Read calls without a marker that stand behind words and end the reply; where they begin."""
        for begin in islice(UNMARKED.finditer(self.text, start), _MOST_TRIALS):
            fenced = self.text.count("```", 0, begin.start()) % 2 == 1
            if fenced:
                continue
            if begins_python(self.text, begin.start()):
                if self._python(begin.start()):
                    return begin.start()
                continue
            calls, invalid, unmarked = [*self.calls], [*self.invalid], self.unmarked
            end = self._implicit(begin.start())
            if end is not None and not self.text[_end_of(_AFTER_CALLS, self.text, end) :].strip():
                return begin.start()
            self.calls, self.invalid, self.unmarked = calls, invalid, unmarked
            if end is None and self._cut_off(begin.start()):
                return begin.start()
        return None

    def _cut_off(self, start: int) -> bool:
        """Refuse a call that begins on a line of its own and whose JSON the end of the reply cut off."""
        rest = self.text[start:]
        named = _BARE_NAME.match(rest)
        if (
            named is None
            or named["name"] not in self.schemas
            or self.text[:start].rpartition("\n")[2].strip()
        ):
            return False
        if not any(f'"{key}"' in rest for key in _ARGUMENT_KEYS[:2]):
            return False
        try:
            read_json(self.text, start)
            return False
        except JSONTextError as error:
            tail = re.split(r'["{}\[\],:]', rest)[-1]
            closed = rest.count("{") <= rest.count("}")
            in_words = rest.replace('\\"', "").count('"') % 2 == 0 and re.search(r"[A-Za-z]{2}", tail)
            if closed or in_words:
                return False
            self._refuse(rest, str(error))
            return True

    def _python(self, start: int) -> bool:
        """Read the rest of the reply as calls in Python's form, if it is that and names a tool first."""
        named = _PYTHON_NAME.match(self.text, start)
        if named is None or self._plain_name(named["name"]) not in self.schemas:
            return False
        try:
            values, end = self._python_calls(start)
            reason = ""
        except CallError as error:
            # A list that is not closed or whose arguments lack names; words behind it make it an example.
            values, end, reason = [], len(self.text), str(error)
            if _PROSE.match(self.text.rpartition(")")[2]):
                return False
        if self.text[end:].strip():
            return False
        if reason:
            self._refuse(self.text[start:], reason, name=self._plain_name(named["name"]))
            return True
        if LONE_CALL.match(self.text, start) and not {value["name"] for value in values} <= set(self.schemas):
            return False  # a few lines of a program
        self.unmarked = True
        self.calls += [_new_call(*self._named(value)) for value in values]
        return True

    def _python_calls(self, start: int) -> tuple[list[Any], int]:
        """Calls in Python's form from here on; lists of them may follow each other."""
        values, end = read_python_calls(self.text, start)
        while _NEXT_LIST.match(self.text, end):
            more, end = read_python_calls(self.text, end)
            values += more
        return values, end

    def _implicit(self, start: int, closer: re.Pattern[str] | None = None) -> int | None:
        """Read calls without a marker, which is JSON that names a tool; None if there are none."""
        try:
            values, end = read_json_calls(self.text, start)
            calls = [_as_call(value, complete=True) for value in values]
            end = self._closed(end, closer)
        except CallError:
            return None
        if calls[0][0] not in self.schemas:
            return None
        self.unmarked = True
        self.calls += [_new_call(*call) for call in calls]
        return end

    def _code(self, start: int, closer: re.Pattern[str] | None) -> int | None:
        """Read a block that is marked as code for tools."""
        if not begins_python(self.text, start):
            return self._implicit(start, closer)
        try:
            values, end = read_python_calls(self.text, start)
            end = self._closed(end, closer)
        except CallError:
            return None
        if values[0]["name"] not in self.schemas:
            return None
        self.unmarked = True
        self.calls += [_new_call(*_as_call(value)) for value in values]
        return end

    def _marked_in_fence(self, start: int) -> int | None:
        """Read a fenced block that holds marked calls of tools and ends the reply; its end, or None."""
        calls, invalid = [*self.calls], [*self.invalid]
        position: int | None = start
        while position is not None and (opener := next_opener(self.text, position)):
            if self.text[position : opener.start()].strip() or kind_of(opener) in WEAK:
                break
            position = self._call(opener)
        new = self.calls[len(calls) :]
        closed = position is not None and _FENCE_AT_END.match(self.text, position)
        known = all(call["name"] in self.schemas for call in new)
        if closed and new and known and len(self.invalid) == len(invalid):
            return len(self.text)
        self.calls, self.invalid = calls, invalid
        return None

    def _call(self, opener: re.Match[str]) -> int | None:
        """Read what follows an opener; its end, or None if it is no call after all."""
        kind, start = kind_of(opener), opener.end()
        closer = closer_of(kind)
        if kind in WEAK:
            end = self._code(start, closer) if kind == "code" else self._implicit(start, closer)
            return self._marked_in_fence(start) if end is None and kind == "fence" else end
        try:
            if kind == "function":
                values, end = read_function(self.text, start, opener["name"], self.schemas)
            else:
                values, end = read_calls(self.text, start, self.schemas)
            end = self._closed(end, closer)
            if kind in ("function", "hermes"):
                end = _end_of(_AFTER_CALLS, self.text, end)
            if kind == "llama":
                end = _end_of(_AFTER_CALLS, self.text, end)
                if self.text[end:].strip():
                    raise CallError("something follows the JSON")
            if kind in MENTIONED and not any(isinstance(value, dict) for value in values):
                return None
        except CallError as error:
            end = self._end_of_region(start, closer)
            if kind in MENTIONED or (kind != "mistral" and self._is_prose(opener, end)):
                return None
            self._refuse(self.text[opener.start() : end], str(error), name=opener["name"])
            return end
        for value in values:
            # One value that is no call leaves the others what they are.
            try:
                self.calls.append(_new_call(*self._named(value)))
            except CallError as error:
                self._refuse(json.dumps(value, ensure_ascii=False), str(error))
        return end

    def _named(self, value: Any) -> tuple[str, dict[str, Any]]:
        """A value behind a marker as a call; some write a tool's name as the only key."""
        if isinstance(value, dict) and len(value) == 1 and (name := next(iter(value))) in self.schemas:
            return name, _arguments(value[name])
        name, arguments = _as_call(value)
        return self._plain_name(name), arguments

    def _plain_name(self, name: str) -> str:
        """A name without the id and the name space that belong to a format: "functions.add:0"."""
        plain = re.sub(r":\d+\Z", "", name).removeprefix("functions.")
        return plain if name not in self.schemas and plain in self.schemas else name

    def _is_prose(self, opener: re.Match[str], end: int) -> bool:
        """Whether words follow a marker that only names it: "<tool_call> tags are used to call tools".

        Or whether it stands in backticks, as "`<tool_call>{...}</tool_call>`" does in an explanation.
        """
        if self.text[max(0, opener.start() - 1) : opener.start()] == "`" and self.text[end : end + 1] == "`":
            return True
        words = _PROSE.match(self.text[opener.end() : end])
        return words is not None and words[1] not in self.schemas

    def _closed(self, end: int, closer: re.Pattern[str] | None) -> int:
        """Where the region ends whose calls ended here; the closer may be missing.

        Raises:
            CallError: Text stands between the calls and the closer.
        """
        if closer is None:
            return end
        blank = len(self.text) - len(self.text[end:].lstrip())
        if closing := closer.match(self.text, blank):
            return closing.end()
        opened = next_opener(self.text, blank)
        if closer.search(self.text, blank, opened.start() if opened else len(self.text)):
            raise CallError("something stands between the JSON and the end of the call")
        return end

    def _end_of_region(self, start: int, closer: re.Pattern[str] | None) -> int:
        """Where a call that cannot be read ends: at its closer, the next opener, or the end of the text."""
        closing = closer.search(self.text, start) if closer else None
        following = next_opener(self.text, start)
        while following and kind_of(following) in ("fence", "function"):
            if not closing and not _ONE_WORD.fullmatch(self.text, start, following.start()):
                break
            # A part of the call itself.
            following = next_opener(self.text, following.end())
        end = len(self.text) if following is None else following.start()
        return closing.end() if closing and closing.start() < end else end

    def _refuse(self, raw: str, reason: str, *, name: str | None = None) -> None:
        named = _NAME.search(raw)
        # Adding up streamed chunks tries every shorter text as JSON: in quadratic time,
        shown = raw.strip()[:_LONGEST_SHOWN]
        if shown.startswith("{"):
            # and with success: of a broken call it would make one that was never written.
            shown = f"malformed: {shown}"
        self.invalid.append(
            invalid_tool_call(
                name=name or ((named["name"] or named["other"]) if named else "") or None,
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


def _as_call(value: Any, *, complete: bool = False) -> tuple[str, dict[str, Any]]:
    """A JSON value as name and arguments, in the ways in which the families write them.

    Args:
        value: What was read.
        complete: Refuse a call that states no arguments, not even that there are none.
    """
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        raise CallError(f"a call is a JSON object, but this is {type(value).__name__}")
    name = next((value[key] for key in _NAME_KEYS if key in value), None)
    if not isinstance(name, str) or not name.strip():
        raise CallError("it names no tool")
    for key in _ARGUMENT_KEYS:
        if key in value:
            return name, _arguments(value[key])
    if complete:
        raise CallError("it states no arguments")
    if extra := sorted(set(value) - {*_NAME_KEYS, "id", "type", "tool_call_id", "index"}):
        raise CallError(f"it has no arguments, but {', '.join(map(str, extra))}")
    return name, {}


def _arguments(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        # Some write the arguments as OpenAI's API does, as JSON in a string.
        if not value.strip():
            return {}
        try:
            value, end = read_json(written := value.strip(), 0)
        except JSONTextError:
            raise CallError("its arguments are a string, and no JSON") from None
        if end != len(written):
            raise CallError("its arguments are a string that holds more than one JSON value")
    if not isinstance(value, dict):
        raise CallError(f"its arguments are {type(value).__name__}, and no JSON object")
    return value
