"""When a search stops and which attempt it returns: plain functions, no graph. Votes: ``votes.py``."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from latentseek_agents._correction import corrected
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.tools.answers import answers_match
from latentseek_agents.verdict import Attempt, StopReason, Usage, Verdict
from latentseek_agents.votes import Candidate, Voter, count_votes, has_won, voted_answer

__all__ = [
    "Choice",
    "accepts",
    "best_sample",
    "choose",
    "deadline_for",
    "majority",
    "spent_budget",
    "stop_reason",
    "weighted_votes",
]


def accepts(verdict: Verdict, config: LatentSeekConfig) -> bool | None:
    """The search's own decision on a verdict; None if it cannot be judged.

    An attempt passes if it scores above the threshold, no check refutes or blocks it, and the verifier
    did not reject it. With ``acceptance="score"`` the score alone decides, also
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
    """What passed before what did not, before what was not judged; then by score, then the earliest."""
    return max(samples, key=_rank)


@dataclass(frozen=True)
class Choice:
    """Which attempt a search returns, and why.

    Args:
        index: Its position among the attempts.
        outcome: The fields of the result that it decides: answer, text, score, passed, reason. Where no text
            states the winner of the vote, the text is corrected, and the correction marked as ours; nobody
            has judged that text, so ``score`` and ``passed`` are None.
        votes: The answers with their votes, the heaviest first; empty without a vote.
        won: Whether the leading answer has won, so that a search for agreement can end.
        corrected: The answer that no text states, where the text is corrected.
    """

    index: int
    outcome: dict[str, Any]
    votes: list[dict[str, Any]] = field(default_factory=list)
    won: bool = False
    corrected: str | None = None


def choose(
    attempts: Sequence[Attempt], config: LatentSeekConfig, prepared_answer: str | None = None
) -> Choice:
    """Choose the attempt to return, were the search to end here.

    Args:
        attempts: At least the draft, in their order.
        config: ``keep`` and the settings of the vote.
        prepared_answer: What the verifier computed for the question, if anything.

    Example:
        >>> def attempt(n, answer, score):
        ...     return Attempt(n, [n], [], [], answer, "stop", answer=answer, score=score, passed=False)
        >>> made = [attempt(0, "7", -0.4), attempt(1, "5", -0.5), attempt(2, "5.0", -0.6)]
        >>> choice = choose(made, LatentSeekConfig(keep="vote"))
        >>> choice.index, choice.outcome["answer"], [vote["voters"] for vote in choice.votes]
        (1, '5', [[1, 2], [0]])
    """
    if config.keep == "last":
        return Choice(len(attempts) - 1, attempts[-1].outcome())
    if config.keep == "best":
        index = _best_of(attempts, range(len(attempts)))
        return Choice(index, attempts[index].outcome())
    votes = count_votes(attempts, config, prepared_answer)
    if not votes:
        index = _best_of(attempts, range(len(attempts)))
        return Choice(index, attempts[index].outcome())
    winner = max(votes, key=lambda vote: (vote.weight, _rank_of(vote, attempts)))
    votes.remove(winner)
    votes.insert(0, winner)
    index, outcome, is_stated = _elected(winner, attempts)
    return Choice(
        index,
        outcome,
        [vote.to_dict() for vote in votes],
        has_won(votes, config),
        None if is_stated else outcome["answer"],
    )


def _elected(winner: Candidate, attempts: Sequence[Attempt]) -> tuple[int, dict[str, Any], bool]:
    """The best attempt for the winner, and whether its text states it; where it does not, it is corrected."""
    places = _places(winner.voters)
    stating = [place for place in places if voted_answer(attempts[place])[1]]
    if stating:
        index = _best_of(attempts, stating)
        return index, attempts[index].outcome(), True
    index = _best_of(attempts, places or range(len(attempts)))
    return index, corrected(attempts[index], winner.answer, own_program=bool(places)), False


def _places(voters: Sequence[Voter]) -> list[int]:
    return [voter for voter in voters if isinstance(voter, int)]


def _rank_of(candidate: Candidate, attempts: Sequence[Attempt]) -> tuple[bool, bool, float]:
    ranks = [_rank(attempts[place]) for place in _places(candidate.voters)]
    return max(ranks, default=(False, False, -1.0))


def _best_of(attempts: Sequence[Attempt], places: Sequence[int]) -> int:
    return max(places, key=lambda place: _rank(attempts[place]))


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
    samples: Sequence[Attempt],
    config: LatentSeekConfig,
    usage: Usage,
    *,
    movable: bool,
    won: bool = False,
    voted: bool = True,
) -> StopReason | None:
    """Why the search ends after these verdicts, or None to refine on.

    Args:
        samples: The attempts of this iteration, judged.
        config: The bounds, and whether attempts must agree.
        usage: Spent so far.
        movable: Whether another attempt can be made; without a latent to move the search ends as
            ``"iterations"``.
        won: Whether an answer has won the vote. In a search for agreement that alone ends it before its
            bounds: an attempt that passed does not, nor one that could not be judged.
        voted: Whether any attempt so far, or a program, states an answer. Where none does a search for
            agreement has nothing to agree on: an attempt that passes ends it, and so does a second one that
            could not be judged.
    """
    verdicts = [sample.passed for sample in samples]
    judged = any(verdict is not None for verdict in verdicts)
    if config.acceptance == "agreement":
        if won:
            return "agreement"
        if not voted and True in verdicts:
            return "passed"
        if not voted and not judged and samples[0].iteration > 0:
            return "unjudged"
    elif True in verdicts:
        return "passed"
    elif False not in verdicts and not config.refine_unjudged:
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
