"""From messages to text by a tokenizer's chat template, with a check that nothing was left out.

A template may ignore the system role, read lists of content parts and no strings, or know no tools, and most
that do say nothing. So what was rendered is compared with what was given; another form of the same messages
is tried where something is missing, and it is an error if no form holds everything.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any

from latentseek_agents.errors import InputError

__all__ = ["render_messages", "template_text"]

_log = logging.getLogger(__name__)
# A text of so many characters that stands in a prompt is no accident.
_LONG = 24
_SHOWN = 40

TemplateMessage = dict[str, Any]
"""A role and a content; an assistant's may have ``tool_calls`` in OpenAI's form, with arguments as a dict."""


def render_messages(
    tokenizer: Any,
    messages: Sequence[Mapping[str, Any]],
    *,
    name: str,
    tools: Sequence[Mapping[str, Any]] = (),
    **options: Any,
) -> str:
    r"""Messages in the chat format of a model, up to where its reply begins.

    Where the template refuses or leaves out a system message, its text opens the first user message; where
    it reads content parts only, contents become parts; text beside calls becomes a message of its own.

    Args:
        tokenizer: It has the template.
        messages: Each with a role and a text as content; system messages first.
        name: What to call the model in errors.
        tools: What may be called, in OpenAI's form; for a template that knows tools.
        **options: For ``apply_chat_template``.

    Raises:
        InputError: The template refuses the messages, or leaves out one of them or a tool, in every form.

    Example:
        >>> from latentseek_agents.testing import tiny_tokenizer
        >>> tokenizer = tiny_tokenizer()
        >>> tokenizer.chat_template = (
        ...     "{% for m in messages if m.role == 'user' %}[{{ m.content }}]{% endfor %}"
        ... )
        >>> messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}]
        >>> render_messages(tokenizer, messages, name="this model")
        '[Be brief.\n\nHi!]'
    """
    if "chat_template" not in options:
        options |= _chosen(tokenizer, name, tools)

    def apply(form: Sequence[TemplateMessage], known: Sequence[Mapping[str, Any]] = tools) -> str:
        given = options | ({"tools": list(known)} if known else {})
        return str(
            tokenizer.apply_chat_template(list(form), tokenize=False, add_generation_prompt=True, **given)
        )

    problems: list[tuple[float, str]] = []
    beside_calls = ""
    for form in _forms(messages):
        try:
            text = apply(form)
        except Exception as error:  # the template's own code runs here
            roles = ", ".join(str(message["role"]) for message in form)
            problems.append((inf, f"refuses these messages: {error}; their roles are {roles}"))
            continue
        if _shows_parts(form, text):
            continue
        lost = _left_out(apply, form, text)
        unknown = _unknown_tools(apply, form, text, tools)
        if not lost and not unknown:
            return text
        if not unknown and all(part == _BESIDE_CALLS for _, part in lost):
            beside_calls = beside_calls or text
        problems.append((len(lost) + len(unknown), _complaint(form, lost, unknown)))
    if beside_calls:
        _log.warning("the chat template of %s leaves out what an assistant wrote beside its calls", name)
        return beside_calls
    # Of the form that holds most.
    raise InputError(f"the chat template of {name} {min(problems, key=lambda problem: problem[0])[1]}")


def template_text(tokenizer: Any, *, name: str, tools: Sequence[Mapping[str, Any]] = ()) -> str:
    """The template that is used for messages with or without tools.

    Raises:
        InputError: The tokenizer has several, and none of them is the default.
    """
    chosen = _chosen(tokenizer, name, tools)
    return str(chosen.get("chat_template") or tokenizer.get_chat_template(tools=list(tools) or None))


def _chosen(tokenizer: Any, name: str, tools: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The template to name where a tokenizer has several and the library would not choose one."""
    templates = getattr(tokenizer, "chat_template", None)
    if not isinstance(templates, dict) or "default" in templates or (tools and "tool_use" in templates):
        return {}
    if len(templates) == 1:
        return {"chat_template": next(iter(templates.values()))}
    names = ", ".join(map(repr, templates)) or "nothing"
    raise InputError(
        f"the tokenizer of {name} has the chat templates {names} and none called 'default'; "
        "set the one to use: tokenizer.chat_template = tokenizer.chat_template['name']"
    )


# -- forms of the same messages


def _forms(messages: Sequence[Mapping[str, Any]]) -> Iterator[list[TemplateMessage]]:
    """The messages as they are, and other ways to say the same, those that change least first."""
    given = [dict(message) for message in messages]
    plain = [given]
    systems = sum(message["role"] == "system" for message in given)
    # One that comes later is no rule for what was said before it.
    if 0 < systems < len(given) and all(message["role"] == "system" for message in given[:systems]):
        plain.append(_merged(given))
    plain += [apart for form in list(plain) if (apart := _calls_apart(form)) != form]
    yield from plain
    for form in plain:
        yield [_in_parts(message) if message["role"] == "user" else message for message in form]
        yield [_in_parts(message) for message in form]


def _merged(messages: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """What system messages say, at the beginning of the first user message."""
    rules = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    others = [message for message in messages if message["role"] != "system"]
    if others and others[0]["role"] == "user":
        return [{**others[0], "content": f"{rules}\n\n{others[0]['content']}"}, *others[1:]]
    return [{"role": "user", "content": rules}, *others]


def _calls_apart(messages: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """Text beside calls as a message of its own, before them."""
    apart: list[TemplateMessage] = []
    for message in messages:
        if message.get("tool_calls") and message["content"]:
            apart.append({"role": message["role"], "content": message["content"]})
            message = {**message, "content": ""}  # noqa: PLW2901
        apart.append(message)
    return apart


def _in_parts(message: TemplateMessage) -> TemplateMessage:
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


# -- what of them was rendered

_CONTENT, _CALLS, _BESIDE_CALLS = "message", "calls of", "text beside the calls of"


def _left_out(
    apply: Callable[[Sequence[TemplateMessage]], str], form: Sequence[TemplateMessage], text: str
) -> list[tuple[int, str]]:
    """Which messages, by their place, are not in the text that was made of them, or whose calls are not.

    A template may trim, quote or move a content, and take a thought out of an assistant's, so where it does
    not stand there word for word, or is so short that it could by accident, a mark is put at its beginning
    and one at its end, and both have to come out; in place of what an assistant said, one that has to.
    """
    words = [_words(message) for message in form]
    doubtful = [
        place
        for place, message in enumerate(form)
        if message.get("tool_calls")
        or (words[place] and not _stands_alone(words[place], text, [*words[:place], *words[place + 1 :]]))
    ]
    if not doubtful:
        return []
    # Small letters in the comparison: a template may change the case.
    marks = {place: f"z{place}w" for place in doubtful}
    probe = [
        _with_words(message, marks[place]) if place in marks else message
        for place, message in enumerate(form)
    ]
    try:
        probed = apply(probe).lower()
    except Exception:  # it asks something of the contents: then they have to stand there as they are
        probed = ""
    lost: list[tuple[int, str]] = []
    for place in doubtful:
        calls = form[place].get("tool_calls") or ()
        ends = (f"c{marks[place]}", f"e{marks[place]}")[: 1 if form[place]["role"] == "assistant" else 2]
        found = all(end in probed for end in ends) if probed else _stands(words[place], text)
        if words[place] and not found:
            lost.append((place, _BESIDE_CALLS if calls else _CONTENT))
        named = all(str(call["function"]["name"]) in text for call in calls)
        if calls and not (named and (f"q{marks[place]}" in probed or not probed)):
            lost.append((place, _CALLS))
    return lost


def _shows_parts(form: Sequence[TemplateMessage], text: str) -> bool:
    """Whether a template that reads strings wrote lists of content parts as Python or JSON does."""
    return any(
        not isinstance(message["content"], str) and shown in text and shown not in _words(message)
        for message in form
        for shown in ("'type': 'text'", '"type": "text"')
    )


def _unknown_tools(
    apply: Callable[..., str],
    form: Sequence[TemplateMessage],
    text: str,
    tools: Sequence[Mapping[str, Any]],
) -> list[str]:
    """The names of tools that are not described in the text."""
    unknown = []
    for tool in tools:
        function = tool["function"]
        described = str(function.get("description") or "").strip()
        stands = str(function["name"]) in text
        if stands and described and not _stands(described, text):
            # Wrapped, or written as a comment.
            other = {**tool, "function": {**function, "description": "qz0t"}}
            with suppress(Exception):
                stands = "qz0t" in apply(form, [other])
        if not stands:
            unknown.append(str(function["name"]))
    return unknown


def _words(message: TemplateMessage) -> str:
    content = message.get("content") or ""
    return str(content if isinstance(content, str) else content[0]["text"]).strip()


def _with_words(message: TemplateMessage, mark: str) -> TemplateMessage:
    """The message with marks in its content, if it has one, and others in the arguments of its calls."""
    changed = dict(message)
    if words := _words(message):
        changed["content"] = f"c{mark}" if message["role"] == "assistant" else f"c{mark} {words} e{mark}"
        if not isinstance(message["content"], str):
            changed = _in_parts(changed)
    if message.get("tool_calls"):
        changed["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": {"named": f"q{mark}"}}}
            for call in message["tool_calls"]
        ]
    return changed


def _stands_alone(words: str, text: str, others: Sequence[str]) -> bool:
    return len(words) >= _LONG and words in text and not any(words in other for other in others)


def _stands(words: str, text: str) -> bool:
    """Whether a text stands in another, as it is or quoted as JSON; white space does not count."""
    quoted = json.dumps(words, ensure_ascii=False)[1:-1]
    packed = re.sub(r"\s+", " ", text)
    return any(re.sub(r"\s+", " ", one) in packed for one in (words, quoted))


def _complaint(
    form: Sequence[TemplateMessage], lost: Sequence[tuple[int, str]], unknown: Sequence[str]
) -> str:
    if lost:
        place, part = lost[0]
        words = _words(form[place])
        shown = words if len(words) <= _SHOWN else f"{words[:_SHOWN]}..."
        what = (
            f"the {part} {form[place]['role']} {shown!r}"
            if part != _CONTENT
            else (f"the {form[place]['role']} message {shown!r}")
        )
    else:
        what = f"the tool {unknown[0]}"
    return (
        f"leaves out {what}, also in other forms of the same conversation; "
        "leave it out yourself, or set another template: tokenizer.chat_template = ..."
    )
