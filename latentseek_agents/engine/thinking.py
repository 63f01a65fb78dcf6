"""Models that think before they answer: the switches of their templates, and their tokens."""

from collections.abc import Mapping
from typing import Any

from latentseek_agents.errors import ConfigError
from latentseek_agents.thoughts import ThoughtFormat

__all__ = ["special_token_ids", "template_options", "thinking_switch"]

# What templates call the switch; the first that one knows is its own.
_SWITCHES = ("enable_thinking", "thinking")
_EFFORT = "reasoning_effort"
_HARMONY_FIRST = "<|channel|>"


def template_options(
    tokenizer: Any,
    *,
    enable_thinking: bool | None = None,
    reasoning_effort: str | None = None,
    name: str = "",
) -> dict[str, Any]:
    """The variables of a chat template that say whether and how long to think.

    Args:
        tokenizer: Whose template.
        enable_thinking: Whether to think; None leaves it to the template.
        reasoning_effort: How long, in the template's words, such as ``"low"``; None leaves it to it.
        name: Of the model, for errors.

    Raises:
        ConfigError: The template has no such variable.

    Example:
        >>> class Tokenizer:
        ...     chat_template = "{% if enable_thinking is false %}<think></think>{% endif %}"
        >>> template_options(Tokenizer(), enable_thinking=False)
        {'enable_thinking': False}
    """
    options: dict[str, Any] = {}
    if enable_thinking is not None:
        options = thinking_switch(tokenizer, on=enable_thinking)
        if not options:
            raise ConfigError(
                f"enable_thinking={enable_thinking}: the chat template of {name or 'this model'} has no "
                "switch for thoughts; leave it None, and bound them with max_thinking_tokens"
            )
    if reasoning_effort is not None:
        if _EFFORT not in _variables(tokenizer):
            raise ConfigError(
                f"reasoning_effort={reasoning_effort!r}: the chat template of {name or 'this model'} knows "
                "no such setting; leave it None, and bound thoughts with max_thinking_tokens"
            )
        options[_EFFORT] = reasoning_effort
    return options


def thinking_switch(tokenizer: Any, *, on: bool) -> dict[str, Any]:
    """The variable of a chat template that turns thoughts on or off; empty if it has none.

    Args:
        tokenizer: Whose template.
        on: Which.
    """
    known = _variables(tokenizer)
    return next(({switch: on} for switch in _SWITCHES if switch in known), {})


def special_token_ids(tokenizer: Any, thoughts: ThoughtFormat) -> tuple[frozenset[int], frozenset[int]]:
    """All special tokens of a tokenizer, and those of them that mark thoughts and must not be lost.

    Args:
        tokenizer: A Hugging Face tokenizer.
        thoughts: How the model marks its thoughts.
    """
    added: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    special = {i: str(token) for i, token in added.items() if getattr(token, "special", False)}
    ids = frozenset([*special, *getattr(tokenizer, "all_special_ids", ())])
    names = set(special.values())
    marks = thoughts.marks()
    if _HARMONY_FIRST not in names:
        # Other families have an <|end|> as well, which ends a turn.
        marks -= ThoughtFormat(frozenset({"harmony"})).marks()
    ends = {getattr(tokenizer, "eos_token_id", None)}
    return ids, frozenset(i for i, token in special.items() if token in marks and i not in ends)


def _variables(tokenizer: Any) -> frozenset[str]:
    """The variables that a chat template reads and that it is given from outside."""
    from jinja2 import TemplateError
    from jinja2.meta import find_undeclared_variables
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    template = getattr(tokenizer, "chat_template", None)
    sources = template.values() if isinstance(template, Mapping) else [template]
    names: set[str] = set()
    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    for source in sources:
        if not isinstance(source, str):
            continue
        # Parsing knows no tag of transformers' own, but those are few, and words are enough then.
        words = {word for word in (_SWITCHES[0], _EFFORT) if word in source}
        try:
            names |= find_undeclared_variables(environment.parse(source)) | words
        except TemplateError:
            names |= words
    return frozenset(names)
