"""Key-value states of prompts, so that a prompt is computed once per question and not once per iteration."""

import copy
import threading
from collections import OrderedDict
from collections.abc import Hashable
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
    """What was computed for the texts used last, by their token ids; safe to use from many threads.

    Args:
        max_tokens: Tokens kept in all; what was unused for the longest time leaves first.
    """

    def __init__(self, max_tokens: int = 4096) -> None:
        self.max_tokens = max_tokens
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._tokens = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """What was put under exactly this key, or None if it is not there any more."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: Any, tokens: int) -> None:
        """Keep a value, and drop the ones unused longest if there are too many tokens.

        Args:
            key: Its token ids, or anything made of them.
            value: What to keep.
            tokens: How many tokens' keys and values it holds.
        """
        with self._lock:
            self._tokens += tokens - self._entries.get(key, (None, 0))[1]
            self._entries[key] = (value, tokens)
            self._entries.move_to_end(key)
            # The newest stays even if it alone is too long: its question is being worked on.
            while self._tokens > self.max_tokens and len(self._entries) > 1:
                _, (_, dropped) = self._entries.popitem(last=False)
                self._tokens -= dropped

    def keys(self) -> list[Hashable]:
        """What is kept, the longest unused first."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._tokens = 0

    def __len__(self) -> int:
        return len(self._entries)
