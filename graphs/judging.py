"""Ask a verifier for its verdict on an attempt, whatever it does."""

import inspect
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from langgraph.errors import GraphBubbleUp

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.errors import ConfigError, VerdictError
from latentseek_agents.graphs.decisions import accepts, as_verdict
from latentseek_agents.verdict import Attempt, Usage, Verdict

__all__ = ["checked_verifier", "judge"]

_log = logging.getLogger(__name__)


def judge(
    verifier: Callable[..., Any],
    config: LatentSeekConfig,
    question: str,
    reference: str | None,
    attempt: Attempt,
    history: Sequence[Attempt] = (),
) -> tuple[Attempt, Usage]:
    """The attempt with its verdict, and what the verdict cost.

    A verifier that raises has not judged: the attempt is kept, and the reason says what happened.

    Args:
        verifier: Called as ``verifier(question, solution, reference=...)``.
        config: The threshold, and what counts as accepted.
        question: What was to be solved.
        reference: The known answer, if there is one.
        attempt: What to judge.
        history: Attempts that a :class:`VerdictError` is to carry, besides this one.

    Raises:
        VerdictError: The verdict is outside its contract.
        GraphBubbleUp: The verifier interrupts the graph, for example to ask a person.
    """
    began = time.monotonic()
    raised = False
    try:
        verdict = as_verdict(verifier(question, attempt.text, reference=reference), config)
    except GraphBubbleUp:
        raise
    except VerdictError as error:
        error.attempts = [*(entry.to_dict() for entry in history), attempt.to_dict()]
        raise
    except Exception as error:
        # Attempts are dear and a verifier is often a stranger's code: keep them, and say what happened.
        _log.warning("the verifier raised; the attempt counts as not judged", exc_info=True)
        raised = True
        verdict = Verdict(-1.0, None, f"the verifier raised {type(error).__name__}: {error}")
    spent = replace(verdict.usage, verifier_seconds=time.monotonic() - began)
    passed = None if raised else accepts(verdict, config)
    return attempt.judged(verdict, passed=passed), spent


def checked_verifier(verifier: Callable[..., Any]) -> Callable[..., Any]:
    """The verifier, if it can be called as one.

    Raises:
        ConfigError: It cannot.
    """
    wanted = "verifier(question, solution, *, reference=None) -> Verdict"
    if not callable(verifier):
        raise ConfigError(f"the verifier must be callable as {wanted}, but is {verifier!r}")
    try:
        signature = inspect.signature(verifier)
    except ValueError:  # some builtins have none; the first call will tell
        return verifier
    try:
        signature.bind("question", "solution", reference=None)
    except TypeError as error:
        raise ConfigError(f"the verifier must be callable as {wanted}, but: {error}") from None
    return verifier
