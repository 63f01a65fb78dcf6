"""Every error this package raises on purpose.

Each class also derives from ``ValueError`` (the input is at fault) or ``RuntimeError`` (the run is),
so that LangGraph's default retry policy leaves it alone: none of them goes away by trying again.
"""

from typing import Any

__all__ = [
    "BackboneError",
    "ConfigError",
    "InputError",
    "LatentSeekError",
    "NonFiniteError",
    "VerdictError",
]


class LatentSeekError(Exception):
    """Base class: catch this to catch everything the package raises on purpose.

    Attributes:
        attempts: What the search had written before the error, as plain dicts; often empty.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.attempts: list[dict[str, Any]] = []


class BackboneError(LatentSeekError, ValueError):
    """A model or tokenizer cannot serve as the policy; the message says what was found instead."""


class ConfigError(LatentSeekError, ValueError):
    """A setting is out of range or names something unknown; the message lists what is allowed."""


class InputError(LatentSeekError, ValueError):
    """A question or a state cannot be worked on (empty, too long, a key is missing)."""


class VerdictError(LatentSeekError, ValueError):
    """A verifier broke its contract, for example with a score outside [-1, 0]."""


class NonFiniteError(LatentSeekError, RuntimeError):
    """A hidden state, gradient or latent is NaN or infinite; the message names the step."""
