"""Replies that can be nothing but JSON that fits a schema: llguidance, from the extra ``structured``."""

import json
import threading
import weakref
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError, LatentSeekError

if TYPE_CHECKING:
    import torch

# One way of writing each value: small models put down blanks without end where they may.
_OPTIONS: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_tokenizers: "weakref.WeakKeyDictionary[Backbone, Any]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("llguidance") is not None


class JSONConstraint:
    """The tokens that may come next, in one reply.

    Args:
        backbone: Whose tokens.
        schema: A JSON schema.

    Raises:
        ConfigError: The schema says something that cannot be held to, the tokenizer is of a kind that is not
            known, or llguidance is not installed.
    """

    def __init__(self, backbone: Backbone, schema: Mapping[str, Any]) -> None:
        if not available():
            raise ConfigError(
                "replies are constrained to a schema by llguidance, which is not installed; "
                "pip install 'latentseek-agents[structured]'"
            )
        from llguidance import LLMatcher

        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_OPTIONS)
        self._matcher = LLMatcher(_tokenizer_of(backbone), grammar, log_level=0)
        if self._matcher.is_error():
            raise ConfigError(
                f"replies cannot be constrained to this schema: {self._matcher.get_error()}; "
                "simplify it, or use strict=False"
            )

    def allowed(self) -> "torch.Tensor":
        """One bool per token."""
        import torch

        self._check()
        return torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8) > 0

    def take(self, token_id: int) -> None:
        """Go on from this token."""
        self._matcher.consume_token(token_id)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise LatentSeekError(
                f"the reply could not be held to its schema: {self._matcher.get_error()}; simplify the schema"
            )


def _tokenizer_of(backbone: Backbone) -> Any:
    """The tokenizer in llguidance's form, cached: the conversion takes about a second."""
    from llguidance.hf import from_tokenizer

    with _lock:
        if backbone not in _tokenizers:
            size = max(backbone.policy.vocabulary_size, len(backbone.tokenizer))
            try:
                _tokenizers[backbone] = from_tokenizer(
                    backbone.tokenizer, n_vocab=size, eos_token=sorted(backbone.eos_token_ids)
                )
            except Exception as error:  # each tokenizer has a format of its own
                kind = type(backbone.tokenizer).__name__
                raise ConfigError(
                    f"replies cannot be constrained with a {kind}: {error}; use strict=False"
                ) from error
        return _tokenizers[backbone]
