"""From token ids to text as they come: whole characters only, and nothing from a stop sequence on."""

from collections.abc import Collection, Sequence
from typing import Any

# An unfinished character is at most four tokens of one byte each; beyond some more, it is none.
_MOST_HELD_TOKENS = 16
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def hidden_token_ids(tokenizer: Any, shown: Collection[str] = ()) -> frozenset[int]:
    """Special tokens that are no text.

    Args:
        tokenizer: A Hugging Face tokenizer.
        shown: Special tokens to show all the same.
    """
    special = set(tokenizer.all_special_ids)
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special.update(token_id for token_id, token in added.items() if getattr(token, "special", False))
    return frozenset(i for i in special if tokenizer.convert_ids_to_tokens(i) not in shown)


class Detokenizer:
    """Text of tokens that come one by one. All pieces together are the text of all tokens.

    Args:
        tokenizer: A Hugging Face tokenizer.
        hidden: Tokens without text.
    """

    def __init__(self, tokenizer: Any, hidden: Collection[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._hidden = hidden
        # The text of a token depends on those before it (its space, its character): some are decoded again.
        self._window: list[int] = []
        self._known = 0
        self._sent = 0

    def add(self, token_id: int) -> str:
        """The text that this token makes certain; it may be none, or more than its own."""
        if token_id in self._hidden:
            return ""
        self._window.append(token_id)
        text = self._decode(self._window)
        unfinished = text.endswith(_UNFINISHED)
        if unfinished and len(self._window) - self._known < _MOST_HELD_TOKENS:
            stable = text.rstrip(_UNFINISHED)
            new = stable[self._sent :]
            self._sent = max(self._sent, len(stable))
            return new
        new = text[self._sent :]
        self._window = self._window[self._known :]
        self._known = len(self._window)
        self._sent = len(self._decode(self._window))
        return new

    def finish(self) -> str:
        """What was held back."""
        return self._decode(self._window)[self._sent :]

    def _decode(self, token_ids: Sequence[int]) -> str:
        # The same whatever the tokenizer's own setting: cleaned up text could change after it was shown.
        return str(
            self._tokenizer.decode(
                list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )


class StopMatcher:
    """Ends a text before the first stop sequence, however it is cut into pieces.

    Args:
        stop: The sequences; empty ones are ignored.

    Example:
        >>> matcher = StopMatcher(["END"])
        >>> [matcher.add(piece) for piece in ("one E", "N", "x E", "ND two")], matcher.stopped
        (['one ', '', 'ENx ', ''], True)
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = [word for word in stop if word]
        self._held = ""
        self.stopped = False

    def add(self, piece: str) -> str:
        """What is certain not to belong to a stop sequence."""
        if self.stopped:
            return ""
        text = self._held + piece
        ends = [index for word in self._stop if (index := text.find(word)) >= 0]
        if ends:
            self.stopped = True
            self._held = ""
            return text[: min(ends)]
        held = max((overlap(text, word) for word in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def finish(self) -> str:
        """The text that was held back, because it could have begun a stop sequence."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, word: str) -> int:
    """How many last characters of a text are the beginning of a word."""
    return next((n for n in range(min(len(text), len(word) - 1), 0, -1) if text.endswith(word[:n])), 0)
