"""Which marks a model uses for its thoughts, by what its tokenizer says."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from latentseek_agents.thoughts._families import (
    ALL_NAMES,
    ANSWER_MARKS,
    BY_NAME,
    FAMILIES,
    HARMONY,
    HARMONY_MARKS,
    Family,
)

_HARMONY_OPENS = "<|channel|>analysis<|message|>"
_HARMONY_CLOSES = "<|end|><|start|>assistant<|channel|>final<|message|>"
_ANSWERS = re.compile(r"<\|channel\|>\s*final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>\Z")
# What may stand before an opening mark at the end of a prompt.
_CONTROL = (">", "]", "▷", "<|start|>assistant")
_ROLE = re.compile(r"\b(?:assistant|model|bot|ai|answer|response)\s*:\Z", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*analysis[^<]*<\|message\|>\s*\Z")


@dataclass(frozen=True)
class ThoughtFormat:
    """How a model marks its thoughts.

    Args:
        names: The families whose marks count.
        known: Whether its tokenizer says so; otherwise all families are possible.

    Example:
        >>> class Tokenizer:
        ...     chat_template = "{{ '<think>' }}{{ message.content.split('</think>')[-1] }}"
        >>> sorted(ThoughtFormat.of(Tokenizer()).names)
        ['think']
        >>> ThoughtFormat.of(object()).known
        False
    """

    names: frozenset[str]
    known: bool = True

    @classmethod
    def of(cls, tokenizer: Any) -> "ThoughtFormat":
        """The format of a tokenizer's response template, or of its chat template; else any format."""
        response = getattr(tokenizer, "response_template", None)
        for source in (_thinking_field(response), _template(tokenizer)):
            if names := _named(source):
                return cls(names)
        return ANY_FORMAT

    @property
    def in_channels(self) -> bool:
        """Whether every message of the model says whether it is a thought, as those of gpt-oss do."""
        return self.known and HARMONY in self.names

    @property
    def answer_opening(self) -> str:
        """What begins an answer without a thought, where that has a mark."""
        return "<|channel|>final<|message|>" if self.in_channels else ""

    def _family(self) -> Family | None:
        """The family of a format that is known; of several the first."""
        families = (family for family in FAMILIES if family.name in self.names)
        return next(families, None) if self.known else None

    def opening_of(self, name: str) -> str:
        """What begins a thought.

        Args:
            name: Of the family; "" for the format's own, which is "" if none is known.
        """
        if name == HARMONY or (self.in_channels and not name):
            return _HARMONY_OPENS
        family = BY_NAME.get(name) or self._family()
        return family.opens if family else ""

    def closing_of(self, name: str) -> str:
        """What closes a thought, with the white space that models write around it, and begins the answer.

        Args:
            name: Of the family; "" for the format's own, or for "</think>" if none is known.
        """
        if name == HARMONY or (self.in_channels and not name):
            return _HARMONY_CLOSES
        family = BY_NAME.get(name) or self._family() or FAMILIES[0]
        return f"\n{family.closes}\n\n" if family.tag else family.closes

    def is_closed_by(self, end: str) -> bool:
        """Whether a text ends with a mark that closes a thought, or begins an answer.

        Args:
            end: The end of the text, without white space.
        """
        if HARMONY in self.names and _ANSWERS.search(end):
            return True
        lowered = end.lower()
        return any(
            (lowered if family.tag else end).endswith(family.closes)
            for family in FAMILIES
            if family.name in self.names
        )

    def is_opened_by(self, prompt: str) -> bool:
        r"""Whether a prompt ends within a thought that it has opened.

        Example:
            >>> ANY_FORMAT.is_opened_by("<|im_start|>assistant\n<think>\n")
            True
            >>> ANY_FORMAT.is_opened_by("<|im_start|>assistant\n<think>\n\n</think>\n\n")
            False
        """
        return self.opened_by(prompt) != ""

    def ends_without_thought(self, prompt: str) -> bool:
        r"""Whether a prompt ends behind a thought that it has closed: the template asks for none.

        Example:
            >>> ANY_FORMAT.ends_without_thought("<think>\n\n</think>\n\n")
            True
        """
        end = prompt.rstrip()
        return any(end.endswith(family.closes) for family in FAMILIES if family.name in self.names)

    def opened_by(self, prompt: str) -> str:
        """The name of the family whose mark ends a prompt within a thought; "" if none does.

        Where no template says which marks the model uses, a mark behind words is a part of the question: it
        opens a thought on a line of its own, behind another control token or behind the name of a role.

        Args:
            prompt: Its end will do.

        Example:
            >>> ANY_FORMAT.opened_by("What does this tag mean: <think>")
            ''
            >>> ANY_FORMAT.opened_by("User: What is 2 + 2? Assistant: <think>")
            'think'
        """
        name, start = self._opening_at_end(prompt)
        if name and not self.known:
            line = prompt[:start].rpartition("\n")[2].rstrip()
            if line and not line.endswith(_CONTROL) and not _ROLE.search(line):
                return ""
        return name

    def ends_with_opening(self, text: str) -> bool:
        """Whether the last thing in a text is a mark that opens a thought, wherever it stands."""
        return self._opening_at_end(text)[0] != ""

    def _opening_at_end(self, text: str) -> tuple[str, int]:
        """The family of the mark that ends a text, and where it stands; "" if none does."""
        end = text.rstrip()
        if HARMONY in self.names and (channel := _CHANNEL.search(text, max(0, len(text) - 200))):
            return HARMONY, channel.start()
        for family in FAMILIES:
            if family.name in self.names and end.endswith(family.opens):
                return family.name, len(end) - len(family.opens)
        return "", 0

    def marks(self) -> frozenset[str]:
        """Every mark that counts, as it is spelled: what decoding must not lose."""
        marks = {*ANSWER_MARKS} if "open_thinker" in self.names or "cohere" in self.names else set()
        if HARMONY in self.names:
            marks.update(HARMONY_MARKS)
        for family in FAMILIES:
            if family.name in self.names:
                # Of "<|channel>thought" only the first part is a token.
                marks.update({family.opens, family.closes, family.opens.removesuffix("thought")})
        return frozenset(marks)


ANY_FORMAT = ThoughtFormat(ALL_NAMES, known=False)
"""All families: for a text of which no more is known."""


def _template(tokenizer: Any) -> str:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = "\n".join(map(str, template.values()))
    return template if isinstance(template, str) else ""


def _thinking_field(response: Any) -> str:
    """What a response template of transformers says about the field that holds thoughts."""
    fields = response.get("fields") if isinstance(response, dict) else None
    if not isinstance(fields, dict):
        return ""
    thinking = (str(value) for key, value in fields.items() if _is_thinking(key))
    return "\n".join(thinking)


def _is_thinking(key: Any) -> bool:
    return key in ("thinking", "reasoning", "reasoning_content")


def _named(template: str) -> frozenset[str]:
    """The families whose marks a template writes or looks for."""
    if not template:
        return frozenset()
    lowered = template.lower()
    names: Collection[str] = [
        family.name
        for family in FAMILIES
        if (family.closes.lower() in lowered if family.tag else family.closes in template)
        or (family.opens.lower() in lowered if family.tag else family.opens in template)
    ]
    if "<|channel|>" in template and "analysis" in template:
        names = [*names, HARMONY]
    return frozenset(names)
