"""Key-value states of prompts, so that a prompt is computed once per question and not once per iteration."""

import copy
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Prefix", "PrefixCache"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a model knows after reading some tokens.

    Args:
        cache: A ``transformers.DynamicCache`` holding the tokens' keys and values. Never grown: use
            :meth:`fork`.
        hidden: (d,) last hidden state of the last token, from which the next token is predicted.
    """

    cache: Any
    hidden: "torch.Tensor"

    def fork(self) -> Any:
        """A cache to go on from. It shares the tensors, which growing replaces and never writes to."""
        from transformers import DynamicCache

        forked = DynamicCache()
        forked.layers = [copy.copy(layer) for layer in self.cache.layers]
        return forked


class PrefixCache:
    """The prefixes used last, by their token ids; safe to use from many threads.

    Args:
        max_tokens: Tokens kept in all; the prefix that was unused for the longest time leaves first.
    """

    def __init__(self, max_tokens: int = 4096) -> None:
        self.max_tokens = max_tokens
        self._prefixes: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()
        self._tokens = 0
        self._lock = threading.Lock()

    def get(self, token_ids: tuple[int, ...]) -> Prefix | None:
        """The prefix for exactly these tokens, if it is still there."""
        with self._lock:
            found = self._prefixes.get(token_ids)
            if found is not None:
                self._prefixes.move_to_end(token_ids)
            return found

    def put(self, token_ids: tuple[int, ...], prefix: Prefix) -> None:
        """Keep a prefix, and drop the ones unused longest if there are too many tokens."""
        with self._lock:
            if token_ids not in self._prefixes:
                self._tokens += len(token_ids)
            self._prefixes[token_ids] = prefix
            self._prefixes.move_to_end(token_ids)
            # The newest stays even if it alone is too long: its question is being worked on.
            while self._tokens > self.max_tokens and len(self._prefixes) > 1:
                dropped, _ = self._prefixes.popitem(last=False)
                self._tokens -= len(dropped)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._prefixes.clear()
            self._tokens = 0

    def __len__(self) -> int:
        return len(self._prefixes)
