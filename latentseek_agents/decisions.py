"""When a search stops and which attempt it returns: plain functions, no graph."""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.tools.answers import answers_match
from latentseek_agents.verdict import Attempt, StopReason, Usage, Verdict

__all__ = [
    "accepts",
    "best_attempt",
    "best_sample",
    "deadline_for",
    "majority",
    "spent_budget",
    "stop_reason",
    "weighted_votes",
]


def accepts(verdict: Verdict, config: LatentSeekConfig) -> bool | None:
    """The search's own decision on a verdict; None if it cannot be judged.

    An attempt is accepted if it scores above the threshold, no check refutes or blocks it, and the verifier
    did not refuse it. With ``acceptance="score"`` the score alone decides, also
    where ``passed`` is None; only a verifier that raised still counts as None.

    Example:
        >>> wrong_answer = Verdict(-1 / 6, False, "the answer is wrong")
        >>> accepts(wrong_answer, LatentSeekConfig()), accepts(wrong_answer, LatentSeekConfig.paper())
        (False, True)
    """
    above = verdict.score > config.reward_threshold
    if config.acceptance == "score" and not verdict.raised:
        return above
    if verdict.passed is None:
        return None
    return above and verdict.passed and not (verdict.refuted or verdict.blocked)


def best_sample(samples: Sequence[Attempt]) -> Attempt:
    """The best of the attempts of one iteration, by the order of :func:`best_attempt`."""
    return max(samples, key=_rank)


def best_attempt(attempts: Sequence[Attempt], keep: Literal["best", "last", "vote"]) -> Attempt:
    """The attempt to return.

    ``"best"``: accepted before refused before unjudged, then by score, then the earliest.
    ``"last"``: the last.
    ``"vote"``: the most weight of equal answers (1 + score each), then as ``"best"``.

    Args:
        attempts: At least the draft, in their order.
        keep: ``LatentSeekConfig.keep``.
    """
    if keep == "last":
        return attempts[-1]
    if keep == "vote":
        weights = [0.0 if attempt.score is None else 1 + attempt.score for attempt in attempts]
        votes = weighted_votes([attempt.answer for attempt in attempts], weights)
        return max(zip(votes, attempts, strict=True), key=lambda pair: (pair[0], _rank(pair[1])))[1]
    return max(attempts, key=_rank)


def weighted_votes(answers: Sequence[str | None], weights: Sequence[float]) -> list[float]:
    """For each answer the weight of all that equal it; an answer that is missing has no votes.

    Args:
        answers: As extracted from solutions; compared by what they mean.
        weights: At least 0, one for each answer.

    Example:
        >>> weighted_votes(["1/2", "3", "0.5", None], [1, 1, 0.5, 1])
        [1.5, 1, 1.5, 0]
    """
    first: dict[int, int] = {}  # from the place of an answer to that of the first which equals it
    for index, answer in enumerate(answers):
        if answer is not None:
            equal = (i for i in dict.fromkeys(first.values()) if answers_match(answer, answers[i] or ""))
            first[index] = next(equal, index)
    votes: dict[int, float] = defaultdict(int)
    for index, place in first.items():
        votes[place] += weights[index]
    return [votes[first[index]] if index in first else 0 for index in range(len(answers))]


def majority(answers: Sequence[str | None]) -> list[int]:
    """How many answers equal each one; an answer that is missing has no votes.

    Example:
        >>> majority(["1/2", "3", "0.5", None])
        [2, 1, 2, 0]
    """
    return [int(votes) for votes in weighted_votes(answers, [1] * len(answers))]


def _rank(attempt: Attempt) -> tuple[bool, bool, float]:
    score = -1.0 if attempt.score is None else attempt.score
    return attempt.passed is True, attempt.passed is not None, score


def stop_reason(
    samples: Sequence[Attempt], config: LatentSeekConfig, usage: Usage, *, movable: bool
) -> StopReason | None:
    """Why the search ends after these verdicts, or None to refine on.

    Args:
        samples: The attempts of this iteration, judged.
        config: The bounds.
        usage: Spent so far.
        movable: Whether there is a latent to move; without one the search ends as ``"iterations"``.
    """
    verdicts = [sample.passed for sample in samples]
    if True in verdicts:
        return "passed"
    if False not in verdicts and not config.refine_unjudged:
        return "unjudged"
    if samples[0].iteration >= config.max_iterations:
        return "iterations"
    if any(sample.finish_reason == "seconds" for sample in samples):
        return "seconds"
    return spent_budget(config, usage) or (None if movable else "iterations")


def spent_budget(config: LatentSeekConfig, usage: Usage) -> Literal["seconds", "tokens"] | None:
    """Which budget is used up; None if there is something left of both.

    Args:
        config: The bounds.
        usage: Spent so far.

    Example:
        >>> spent_budget(LatentSeekConfig(max_total_tokens=9), Usage(policy_tokens=9))
        'tokens'
    """
    if config.max_seconds is not None and usage.seconds >= config.max_seconds:
        return "seconds"
    if config.max_total_tokens is not None and usage.tokens >= config.max_total_tokens:
        return "tokens"
    return None


def deadline_for(config: LatentSeekConfig, usage: Usage) -> float | None:
    """The ``time.monotonic()`` at which the budget of seconds is spent; None without such a budget."""
    if config.max_seconds is None:
        return None
    return time.monotonic() + max(0.0, config.max_seconds - usage.seconds)
