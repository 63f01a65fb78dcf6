"""From a conversation and its tools to the tokens that the model reads."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from langchain_core.messages import BaseMessage, SystemMessage

from latentseek_agents.chat._history import (
    TemplateMessage,
    as_plain_messages,
    as_template_messages,
    as_written,
    converted,
    one_call_per_message,
    with_thoughts,
)
from latentseek_agents.engine._control_tokens import ContentGuard
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.templates import render_messages, template_text
from latentseek_agents.errors import InputError

CallFormat = Literal["hermes", "llama", "mistral", "mistral_args", "own"]
"""The form of calls that the chat template teaches. ``"own"``: another one."""

Tool = dict[str, Any]

_PROBE: Tool = {
    "type": "function",
    "function": {
        "name": "probe_of_tools",
        "description": "Probes descriptions.",
        "parameters": {"type": "object", "properties": {"probed_argument": {"type": "string"}}},
    },
}


@dataclass(frozen=True, kw_only=True)
class RenderedPrompt:
    """A conversation as the model reads it.

    Args:
        token_ids: The prompt.
        text: The same as text; None if the model has no chat template.
        call_format: How calls are to be written.
    """

    token_ids: list[int] = field(repr=False)
    text: str | None
    call_format: CallFormat

    def beginning_of_call(self, names: Sequence[str]) -> str:
        """What a reply begins with that has to call one of these tools; "" if none or no format is known.

        It ends where a token would end: after a colon, the model's own next token is a space or a bracket.
        """
        if not names or self.call_format == "own":
            return ""
        name = f' "{names[0]}", ' if len(names) == 1 else None
        if self.call_format == "mistral_args":
            return f"[TOOL_CALLS]{names[0]}[ARGS]" if name else "[TOOL_CALLS]"
        arguments = '"parameters":' if self.call_format == "llama" else '"arguments":'
        call = '{"name":' + (name + arguments if name else "")
        marker = {"hermes": "<tool_call>\n", "mistral": "[TOOL_CALLS] [", "llama": ""}
        return marker[self.call_format] + call


def render(
    backbone: Backbone,
    messages: Sequence[BaseMessage],
    tools: Sequence[Tool] = (),
    rules: str = "",
    options: Mapping[str, Any] = MappingProxyType({}),
) -> RenderedPrompt:
    """Render a conversation in the model's chat format.

    Tools go through the template if it knows them. If it ignores them or refuses this conversation, a system
    message describes them, and calls and results in the history are written out. Control tokens that are
    spelled out in messages, results or descriptions of tools are read as the text that they are.

    Args:
        backbone: Its tokenizer has the template.
        messages: The conversation.
        tools: What may be called, in OpenAI's form.
        rules: More for the system message.
        options: Variables of the template, such as its switch for thoughts.

    Raises:
        InputError: The conversation is empty, is refused by the template, or leaves no room for an answer.
    """
    if not messages:
        raise InputError("there are no messages; give at least one from the user")
    prompt = _rendered(backbone, messages, tools, rules, options)
    taken = len(prompt.token_ids)
    if taken >= backbone.context_window:
        raise InputError(
            f"the conversation takes {taken} tokens, but {backbone.name} has a context window of "
            f"{backbone.context_window}; shorten it or use a model with a longer window"
        )
    return prompt


def count_tokens(backbone: Backbone, messages: Sequence[BaseMessage], tools: Sequence[Tool] = ()) -> int:
    """How many tokens a conversation takes, or a part of one; also if it is too long for the model.

    A part that the chat template refuses is counted message by message.

    Args:
        backbone: Its tokenizer counts.
        messages: The conversation.
        tools: What may be called, in OpenAI's form.
    """
    if not messages and not tools:
        return 0
    with suppress(InputError):
        return len(_rendered(backbone, messages, tools, "").token_ids)
    return sum(len(backbone.tokenizer(str(entry))["input_ids"]) for entry in (*converted(messages), *tools))


def _rendered(
    backbone: Backbone,
    messages: Sequence[BaseMessage],
    tools: Sequence[Tool],
    rules: str,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> RenderedPrompt:
    tokenizer = backbone.tokenizer
    entries = with_thoughts(
        converted([*messages, SystemMessage(rules)] if rules else messages),
        str(getattr(tokenizer, "chat_template", None) or ""),
    )
    if not getattr(tokenizer, "chat_template", None):
        token_ids = backbone.encode_prompt(as_plain_messages(entries, tools))
        return RenderedPrompt(token_ids=token_ids, text=None, call_format="hermes")
    # Before our own words about tools come in: those may hold control tokens.
    guard = ContentGuard(tokenizer, [*entries, *tools])
    entries = [guard.guarded(entry) for entry in entries]
    tools = [guard.guarded(tool) for tool in tools]
    involved = bool(tools) or any(_is_about_tools(message) for message in messages)
    call_format: CallFormat = "hermes"
    rendered = _native(backbone, entries, tools, options) if involved and _knows_tools(backbone) else None
    if rendered is not None:
        call_format = _call_format(backbone)
    else:
        rendered = _apply(backbone, as_plain_messages(entries, tools), (), options)
    return RenderedPrompt(
        token_ids=guard.token_ids(rendered), text=guard.text(rendered), call_format=call_format
    )


def _is_about_tools(message: BaseMessage) -> bool:
    return message.type in ("tool", "function") or bool(getattr(message, "tool_calls", None))


def _knows_tools(backbone: Backbone) -> bool:
    """Whether the template writes of a tool what a caller has to know: name, description and arguments."""
    with suppress(InputError):
        text = _apply(backbone, [{"role": "user", "content": "x"}], [_PROBE])
        return all(words in text for words in ("probe_of_tools", "Probes descriptions.", "probed_argument"))
    return False


def _call_format(backbone: Backbone) -> CallFormat:
    """The form of calls that a template with tools teaches, by the words in it."""
    tokenizer = backbone.tokenizer
    if getattr(tokenizer, "response_template", None):
        return "own"
    template = template_text(tokenizer, name=backbone.name, tools=[_PROBE])
    if "[TOOL_CALLS]" in template:
        return "mistral_args" if "[ARGS]" in template else "mistral"
    if "<tool_call>" in template:
        # Some write XML between the same tags.
        return "own" if "<function=" in template else "hermes"
    if '"parameters"' in template or "<|python_tag|>" in template:
        return "llama"
    return "own"


def _native(
    backbone: Backbone,
    entries: Sequence[TemplateMessage],
    tools: Sequence[Tool],
    options: Mapping[str, Any],
) -> str | None:
    """The conversation by a template that knows tools; None if it refuses it."""
    messages = as_template_messages(entries)
    forms = [messages, one_call_per_message(messages)]
    if _call_format(backbone) == "hermes":
        forms.insert(0, as_template_messages(as_written(entries)))
    for form in forms:
        with suppress(InputError):
            return _apply(backbone, form, tools, options)
    return None


def _apply(
    backbone: Backbone,
    messages: list[dict[str, Any]],
    tools: Sequence[Tool],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    return render_messages(backbone.tokenizer, messages, name=backbone.name, tools=tools, **options)
