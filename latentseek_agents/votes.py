"""The verified vote: which answer the attempts of a search agree on, and whether it has won.

Each attempt votes for the answer in its text; where a program in the text prints another final answer, for
that one. In units of a full vote it weighs

* exp(``vote_sharpness`` · score), the score of its verdict, so that what is refuted weighs next to nothing;
* exp(-0.5 ``vote_sharpness``), the weight of the neutral score, if it could not be judged but others could;
* 1 if no attempt could be judged: then the plain count decides;
* 0.6 for an answer that its program printed and its text does not state, whatever the score, which is that of
  the text;
* ``program_vote`` for the answer that the verifier computed for the question.

Equal answers (``answers_match``) are one. An attempt of the latents that repeats an earlier one token for
token has no vote; independent samples that come out equal have one each.
A printed value has no vote beside the attempt that was aimed at it and now states it
(``Attempt.aimed_at``): both rest on one program.

The leading answer has won if the rule of adaptive consistency says so (``LatentSeekConfig.confidence``) and
one of its votes comes from an attempt that passed, or if two of its votes passed an exact check
(``Check.exact``). Votes of refuted attempts do not count for that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.tools.answers import answers_match, extract_answer
from latentseek_agents.tools.steps import NEUTRAL_SCORE
from latentseek_agents.verdict import Attempt

__all__ = [
    "COMPUTED_VOTE",
    "PROGRAM",
    "Candidate",
    "Voter",
    "can_be_stated",
    "count_votes",
    "has_won",
    "probability_of_lead",
    "rewards",
    "voted_answer",
]

PROGRAM: Literal["program"] = "program"
"""The voter that is no attempt: the answer that the verifier computed for the question."""

COMPUTED_VOTE = 0.6
"""Weight of an answer that a solution's program prints and its text does not state: that of the simulation on
stored samples from which the other settings come. The score is no guide here, since it is that of the
text."""

_DOUBT = 1.0  # one full vote against every answer, so that no attempt's reward is 0
_EXACT_PASSES = 2

Voter = int | Literal["program"]
"""The position of an attempt in ``iterations``, or :data:`PROGRAM`."""


@dataclass(frozen=True)
class Candidate:
    """One answer, and those who voted for it.

    Args:
        answer: As its first voter wrote it.
        voters: Positions of attempts in their order, then perhaps :data:`PROGRAM`.
        weights: What each of them weighs, in full votes.
        standing: The weight of those that are not refuted.
        passed: How many of the attempts passed.
        exact: How many of them passed an exact check.
    """

    answer: str
    voters: list[Voter] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    standing: float = 0.0
    passed: int = 0
    exact: int = 0

    @property
    def weight(self) -> float:
        """The weight of all votes, in full votes."""
        return math.fsum(self.weights)

    def to_dict(self) -> dict[str, Any]:
        """What a result shows: ``answer``, ``weight``, ``voters`` and their ``weights``, plain values."""
        return {
            "answer": self.answer,
            "weight": self.weight,
            "voters": list(self.voters),
            "weights": list(self.weights),
        }


@dataclass(frozen=True)
class _Ballot:
    voter: Voter
    answer: str
    weight: float
    refuted: bool = False
    passed: bool = False
    exact: bool = False


def count_votes(
    attempts: Sequence[Attempt], config: LatentSeekConfig | None = None, prepared_answer: str | None = None
) -> list[Candidate]:
    """The answers with their votes, the heaviest first; of equal weight the one that was given first.

    Args:
        attempts: In their order, judged or not.
        config: The weights; by default those of ``LatentSeekConfig()``.
        prepared_answer: What the verifier computed for the question, if anything.

    Example:
        >>> from latentseek_agents.verdict import Attempt
        >>> def attempt(answer, score):
        ...     return Attempt(0, [], [], [], "", "stop", answer=answer, score=score, passed=score > -0.2)
        >>> votes = count_votes([attempt("5", -1.0), attempt("1/2", -0.1), attempt("0.5", -0.5)])
        >>> [(one.answer, round(one.weight, 2), one.voters) for one in votes]
        [('1/2', 0.96, [1, 2]), ('5', 0.05, [0])]
    """
    return _tally(_ballots(attempts, config or LatentSeekConfig(), prepared_answer))


def has_won(candidates: Sequence[Candidate], config: LatentSeekConfig, *, judged: bool = True) -> bool:
    """Whether the leading answer has won, so that the search can end.

    Args:
        candidates: From :func:`count_votes`.
        config: ``confidence`` and ``vote_scale``.
        judged: Whether a verifier was asked. Without one the rule is adaptive consistency's own: plain
            counts, and nothing has to have passed.

    Example:
        >>> leader = Candidate("5", [0, 1], [0.6, 1.0], standing=1.6, passed=1)
        >>> has_won([leader, Candidate("7", [2], [0.3], standing=0.3)], LatentSeekConfig())
        True
        >>> has_won([leader, Candidate("7", [2, 3], [0.7, 0.7], standing=1.4)], LatentSeekConfig())
        False
    """
    if not candidates:
        return False
    leader, *others = candidates
    if leader.exact >= _EXACT_PASSES:
        return True
    second = max((other.standing for other in others), default=0.0)
    if leader.standing <= second or (judged and not leader.passed):
        return False
    scale = config.vote_scale if judged else 1.0
    return probability_of_lead(scale * leader.standing, scale * second) >= config.confidence


def rewards(
    attempts: Sequence[Attempt],
    config: LatentSeekConfig,
    prepared_answer: str | None = None,
    *,
    last: int = 1,
) -> list[float]:
    """What the policy gradient takes in a search for agreement, for each of the last attempts.

    -1 for what is refuted; for all others ½ score + ½ (share - 1), where share is the part of the others'
    votes, and of one vote of doubt, that is for the same answer (leave one out: no attempt votes for
    itself). The doubt keeps every reward below 0: as long as the search goes on, its latents move, also
    where the attempt passed. An attempt that could not be judged has the neutral score.

    Args:
        attempts: All so far, judged.
        config: The weights.
        prepared_answer: As for :func:`count_votes`.
        last: For how many of the last attempts.

    Returns:
        Numbers in [-1, 0).

    Example:
        >>> from latentseek_agents.verdict import Attempt
        >>> draft, second = (
        ...     Attempt(n, [n], [], [], "", "stop", answer="5", score=0.0, passed=True) for n in (0, 1)
        ... )
        >>> rewards([draft], LatentSeekConfig()), rewards([draft, second], LatentSeekConfig())
        ([-0.5], [-0.25])
    """
    first = len(attempts) - last
    ballots = _ballots(attempts, config, prepared_answer)
    return [_reward(attempts[place], place, ballots) for place in range(first, len(attempts))]


def voted_answer(attempt: Attempt) -> tuple[str | None, bool]:
    """What an attempt votes for, and whether its text states it; a printed value is stated nowhere.

    Example:
        >>> made = Attempt(0, [], [], [], "", "stop", answer="70", computed_answer="72")
        >>> voted_answer(made)
        ('72', False)
    """
    computed = attempt.computed_answer
    if computed is not None and can_be_stated(computed):
        return computed, False
    return attempt.answer, attempt.answer is not None


def can_be_stated(value: str) -> bool:
    """Whether a computed value can stand as the final answer of a text."""
    read = extract_answer(f"The answer is \\boxed{{{value}}}.")
    return read is not None and answers_match(read, value)


def probability_of_lead(first: float, second: float) -> float:
    """How likely the answer that leads the votes is the more frequent one: 1 - I½(v1 + 1, v2 + 1).

    Args:
        first: v1, its votes; at least 0, not necessarily whole.
        second: v2, those of the runner-up.

    Source: adaptive consistency, arXiv 2305.11860, equation for the beta distribution.

    Example:
        >>> probability_of_lead(4, 0), probability_of_lead(2.5, 2.5)
        (0.96875, 0.5)
    """
    return 1.0 - _incomplete_beta_at_half(first + 1.0, second + 1.0)


def _ballots(
    attempts: Sequence[Attempt], config: LatentSeekConfig, prepared_answer: str | None
) -> list[_Ballot]:
    any_judged = any(attempt.passed is not None for attempt in attempts)
    ballots = []
    for place, attempt in _without_repeats(attempts, config):
        answer, is_stated = voted_answer(attempt)
        if answer is None:
            continue
        if not is_stated:
            # What is refuted of such an attempt is its text, not the value that its program prints.
            if not _is_stated_later(attempt, answer, attempts):
                ballots.append(_Ballot(place, answer, COMPUTED_VOTE))
            continue
        passed = attempt.passed is True and not attempt.refuted
        ballot = _Ballot(
            place,
            answer,
            _weight(attempt, config.vote_sharpness) if any_judged else 1.0,
            refuted=attempt.refuted,
            passed=passed,
            exact=passed and attempt.passed_exactly,
        )
        ballots.append(ballot)
    if prepared_answer is not None and config.program_vote and can_be_stated(prepared_answer):
        ballots.append(_Ballot(PROGRAM, prepared_answer, config.program_vote))
    return ballots


def _weight(attempt: Attempt, sharpness: float) -> float:
    return math.exp(sharpness * _score(attempt))


def _score(attempt: Attempt) -> float:
    """The score of its verdict; the neutral one if it could not be judged."""
    return NEUTRAL_SCORE if attempt.passed is None or attempt.score is None else attempt.score


def _without_repeats(attempts: Sequence[Attempt], config: LatentSeekConfig) -> list[tuple[int, Attempt]]:
    """The attempts that may vote, with their places: what comes back to a text adds no evidence."""
    seen: set[tuple[int, ...] | tuple[str, str]] = set()
    kept = []
    for place, attempt in enumerate(attempts):
        # Stored attempts have no tokens; short answers are alike where the thoughts before them are not.
        written = tuple(attempt.token_ids) or (attempt.thinking, attempt.text)
        is_empty = written == ("", "")
        independent = config.proposals == "samples" and attempt.aimed_at is None
        if is_empty or written not in seen or independent:
            kept.append((place, attempt))
        seen.add(written)
    return kept


def _is_stated_later(attempt: Attempt, answer: str, attempts: Sequence[Attempt]) -> bool:
    """Whether an attempt that was aimed at a claim of this one states the value, and votes for it itself.

    One that is refuted for another reason votes for nothing: the printed value keeps its own vote then.
    """
    for other in attempts:
        aim = other.aimed_at
        if aim is None or other.refuted or other.iteration != attempt.iteration + 1:
            continue
        kept = aim["token"]
        stated, is_stated = voted_answer(other)
        if attempt.token_ids[:kept] == other.token_ids[:kept] and is_stated and stated is not None:
            return answers_match(stated, answer)
    return False


def _tally(ballots: Sequence[_Ballot]) -> list[Candidate]:
    candidates: list[Candidate] = []
    for ballot in ballots:
        place = next(
            (i for i, one in enumerate(candidates) if answers_match(ballot.answer, one.answer)), None
        )
        if place is None:
            candidates.append(_with(Candidate(ballot.answer), ballot))
        else:
            candidates[place] = _with(candidates[place], ballot)
    return sorted(candidates, key=lambda candidate: -candidate.weight)


def _with(candidate: Candidate, ballot: _Ballot) -> Candidate:
    return replace(
        candidate,
        voters=[*candidate.voters, ballot.voter],
        weights=[*candidate.weights, ballot.weight],
        standing=candidate.standing + (0.0 if ballot.refuted else ballot.weight),
        passed=candidate.passed + ballot.passed,
        exact=candidate.exact + ballot.exact,
    )


def _reward(attempt: Attempt, place: int, ballots: Sequence[_Ballot]) -> float:
    if attempt.refuted:
        return -1.0
    own, _ = voted_answer(attempt)
    others = [ballot for ballot in ballots if ballot.voter != place]
    same = math.fsum(one.weight for one in others if own is not None and answers_match(one.answer, own))
    share = same / (math.fsum(one.weight for one in others) + _DOUBT)
    return 0.5 * _score(attempt) + 0.5 * (share - 1.0)


def _incomplete_beta_at_half(a: float, b: float) -> float:
    """I½(a, b), the regularised incomplete beta function, by Lentz's continued fraction (DLMF 8.17.22)."""
    # At ½ the fraction converges fast where a > b; the other half follows from I½(a, b) = 1 - I½(b, a).
    if a == b:
        return 0.5
    if a < b:
        return 1.0 - _incomplete_beta_at_half(b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) - (a + b) * math.log(2.0)
    return math.exp(log_front) / a * _lentz(a, b)


def _lentz(a: float, b: float, x: float = 0.5) -> float:
    tiny, c = 1e-300, 1.0
    value = d = 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1.0 / ((1.0 + step * d) or tiny)
            c = (1.0 + step / c) or tiny
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value
