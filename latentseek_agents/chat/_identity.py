"""What distinguishes one chat model from another in a cache: plain values, no weights, no addresses."""

import hashlib
import io
import json
import pickle
from typing import Any
from uuid import uuid4

from latentseek_agents.engine.backbone import Backbone


def fingerprint(backbone: Backbone) -> str:
    """A short name for the model's configuration, template and weights, as they are now.

    It reads a few values of each weight: enough to distinguish a fine-tuned model from its base model. Which
    adapters are in use counts as well.

    Args:
        backbone: The model.
    """
    config = getattr(backbone.model, "config", None)
    settings = config.to_dict() if config is not None else {}
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(str(getattr(backbone.tokenizer, "chat_template", None)).encode())
    digest.update(backbone.fingerprint.encode())
    return digest.hexdigest()


def described(verifier: Any) -> dict[str, str]:
    """A verifier's class, and a digest of its state.

    It is a digest because the parameters of a chat model go into every trace, and a verifier may hold a key.

    Example:
        >>> from fractions import Fraction
        >>> described(Fraction(1, 2))["class"]
        'fractions.Fraction'
        >>> described(Fraction(1, 2)) == described(Fraction(1, 3))
        False
    """
    named = verifier if hasattr(verifier, "__qualname__") else type(verifier)
    return {"class": f"{named.__module__}.{named.__qualname__}", "state": digest_of(verifier)}


def digest_of(value: Any) -> str:
    """A short digest of all that a pickle of the value would hold.

    What has no pickle, and what may change under its name, gets another one each time: nothing that a cache
    holds is ever taken for it.

    Example:
        >>> digest_of({"a": 1}) == digest_of({"a": 1})
        True
        >>> digest_of(lambda: 1) == digest_of(lambda: 1)
        False
    """
    pickled = io.BytesIO()
    try:
        _Pickler(pickled).dump(value)
    except Exception:  # a class that refuses to be pickled may raise anything
        return uuid4().hex
    return hashlib.blake2b(pickled.getvalue(), digest_size=16).hexdigest()


class _Pickler(pickle.Pickler):
    """Refuses weights, which are large, and what a notebook may define again."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Backbone):
            return str, (fingerprint(value),)
        if getattr(value, "__module__", None) == "__main__" or hasattr(value, "untyped_storage"):
            raise pickle.PicklingError
        return NotImplemented
