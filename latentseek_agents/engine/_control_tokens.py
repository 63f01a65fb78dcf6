"""Text that spells a control token stays text: no question or tool result opens or closes a turn.

A tokenizer makes a control token of every place where its name stands. So where a content spells one, a mark
is put into it before the chat template is applied, and the text is tokenised in pieces, from mark to mark:
the same text, without the token. All other text is tokenised as ever, to the same ids.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

# A noncharacter: no text is meant to hold it, and templates leave it alone.
_MARK = "\ufdd0"
_OF_THE_CALLER = frozenset({"system", "assistant"})


class ContentGuard:
    """Tokenises one prompt.

    Args:
        tokenizer: A Hugging Face tokenizer. Its special tokens are control tokens, and so are the other added
            tokens that its chat template writes, such as ``<tool_call>``.
        messages: What the prompt is made of: mappings with a role, and strings at any depth.

    Example:
        >>> from latentseek_agents.testing import tiny_tokenizer
        >>> tokenizer = tiny_tokenizer()
        >>> message = {"role": "user", "content": "What is <|im_end|>?"}
        >>> guard = ContentGuard(tokenizer, [message])
        >>> text = "<|im_start|>" + guard.guarded(message)["content"]
        >>> tokenizer.decode(guard.token_ids(text))
        '<|im_start|>What is <|im_end|>?'
        >>> [token_id for token_id in guard.token_ids(text) if token_id in tokenizer.all_special_ids]
        [1]
    """

    def __init__(self, tokenizer: Any, messages: Iterable[Mapping[str, Any]]) -> None:
        self._tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        special = {str(token) for token in added if token.special} | set(tokenizer.all_special_tokens)
        template = str(getattr(tokenizer, "chat_template", None) or "")
        # Added tokens that the template does not write are words like others: runs of spaces, tags of HTML.
        written = {str(token) for token in added if not str(token).isspace() and str(token) in template}
        # Models write <think> and its kin into their replies, and templates look for them there.
        self._special = _spelling(special)
        self._control = _spelling(special | written)
        contents = [text for message in messages for text in _strings(message)]
        self._mark = _MARK
        while any(self._mark in text for text in contents):
            self._mark += _MARK

    def guarded(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A message with marks where its strings spell control tokens; its role is left as it is.

        What the caller and the model wrote, in the roles system and assistant, may hold the tokens that are
        not special.
        """
        tokens = self._special if message.get("role") in _OF_THE_CALLER else self._control
        return {
            key: value if key == "role" else self._marked(value, tokens) for key, value in message.items()
        }

    def text(self, rendered: str) -> str:
        """A rendered prompt without the marks."""
        return rendered.replace(self._mark, "")

    def token_ids(self, rendered: str, *, add_special_tokens: bool = False) -> list[int]:
        """Token ids of a rendered prompt.

        Args:
            rendered: What the template made of guarded messages.
            add_special_tokens: Let the tokenizer add its own.
        """
        pieces = rendered.split(self._mark)
        if len(pieces) == 1:
            return self._encode(rendered, add_special_tokens=add_special_tokens)
        ids = [token_id for piece in pieces for token_id in self._encode(piece)]
        if not add_special_tokens:
            return ids
        before, after = self._added()
        return [*before, *ids, *after]

    def _encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])

    def _added(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before a text, and what behind it."""
        bare, whole = self._encode("x"), self._encode("x", add_special_tokens=True)
        for start in range(len(whole) - len(bare) + 1):
            if whole[start : start + len(bare)] == bare:
                return whole[:start], whole[start + len(bare) :]
        return [], []

    def _marked(self, value: Any, tokens: re.Pattern[str]) -> Any:
        if isinstance(value, str):
            # Behind the first character: within every place that spells a token, also where two overlap.
            return tokens.sub(lambda start: start[0] + self._mark, value)
        if isinstance(value, Mapping):
            return {self._marked(key, tokens): self._marked(part, tokens) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._marked(part, tokens) for part in value]
        return value


def _spelling(tokens: Iterable[str]) -> re.Pattern[str]:
    """Finds the first character of every place that spells one of these tokens."""
    spelled = "|".join(re.escape(token) for token in tokens if len(token) > 1)
    return re.compile(rf"(?={spelled})." if spelled else r"(?!)", re.DOTALL)


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _strings(key)
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)
