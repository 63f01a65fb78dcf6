"""What people read of a result, on the page and in the terminal: names of attempts and voters."""

from collections.abc import Mapping, Sequence
from typing import Any

from latentseek_agents.verdict import Attempt
from latentseek_agents.votes import PROGRAM


def attempt_name(number: int) -> str:
    """What people call the attempt of an iteration.

    Example:
        >>> attempt_name(0), attempt_name(2)
        ('draft', 'attempt 2')
    """
    return f"attempt {number}" if number else "draft"


def attempt_names(iterations: Sequence[Mapping[str, Any] | Attempt]) -> list[str]:
    """What people call the attempts of a search.

    Example:
        >>> attempt_names([{"iteration": 0}, {"iteration": 1}, {"iteration": 2}, {"iteration": 2}])
        ['draft', 'attempt 1', 'attempt 2 (1)', 'attempt 2 (2)']
    """
    numbers = [entry["iteration"] for entry in iterations]
    names = []
    for place, number in enumerate(numbers):
        sample = f" ({numbers[: place + 1].count(number)})" if numbers.count(number) > 1 else ""
        names.append(attempt_name(number) + sample)
    return names


def voter_names(vote: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Who voted for one answer, each with its weight.

    Args:
        vote: One of a result's ``votes``.
        names: From :func:`attempt_names`.

    Example:
        >>> vote = {"answer": "5", "weight": 1.5, "voters": [0, "program"], "weights": [1.0, 0.5]}
        >>> voter_names(vote, ["draft", "attempt 1"])
        ['draft 1.00', 'program 0.50']
    """
    return [
        f"{voter if isinstance(voter, str) else names[voter]} {weight:.2f}"
        for voter, weight in zip(vote["voters"], vote["weights"], strict=True)
    ]


def returned_position(result: Mapping[str, Any]) -> int:
    """The position in ``iterations`` of the attempt that is returned, or that was corrected.

    Args:
        result: As :meth:`LatentSeekResult.to_dict` gives it.
    """
    attempts = result["iterations"]
    outcome = {name: result[name] for name in ("text", "score", "passed")}
    # Of equal attempts the search returns the first.
    as_it_is = (place for place, attempt in enumerate(attempts) if outcome.items() <= attempt.items())
    voters = [] if not result.get("votes") else result["votes"][0]["voters"]
    corrected = (
        place
        for place in (*(voter for voter in voters if voter != PROGRAM), *range(len(attempts)))
        if result["text"].startswith(attempts[place]["text"])
    )
    return next(as_it_is, next(corrected, 0))


def why_returned(result: Mapping[str, Any], place: int) -> str:
    """Why an attempt is the one that is returned, as the rest of a sentence.

    Args:
        result: As :meth:`LatentSeekResult.to_dict` gives it.
        place: From :func:`returned_position`.

    Example:
        >>> attempts = [{"text": "5", "score": -1.0, "passed": False}] * 2
        >>> why_returned({"text": "5", "passed": False, "iterations": attempts}, 0)
        'none passed and its score is the highest, the first of 2 equal'
    """
    attempts = result["iterations"]
    chosen = attempts[place]
    if votes := result.get("votes"):
        if result["text"] != chosen["text"]:
            return "no solution states the answer that won the vote; we add it at the end of this one"
        return f"its answer won the vote, with a weight of {votes[0]['weight']:.2f}"
    if chosen["passed"]:
        return "the verifier accepts it"
    if len(attempts) == 1:
        return "it is the only attempt"
    ranks = [_rank(attempt) for attempt in attempts]
    if ranks[place] < max(ranks):
        return "the configuration asks for it"
    others = "none was judged" if chosen["passed"] is None else "none passed"
    equal = ranks.count(ranks[place])
    return f"{others} and its score is the highest" + (f", the first of {equal} equal" if equal > 1 else "")


def _rank(attempt: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """By this the best attempt is chosen, see ``decisions.py``; of equal ones the first."""
    passed, score = attempt["passed"], attempt["score"]
    return passed is True, passed is not None, -1.0 if score is None else score


def why_ended(result: Mapping[str, Any]) -> str:
    """Why a search ended, as the rest of a sentence.

    Args:
        result: As :meth:`LatentSeekResult.to_dict` gives it.

    Example:
        >>> why_ended({"stop_reason": "agreement", "iterations": [], "text": ""})
        'the vote is decided'
    """
    more = len(result["iterations"]) > 1
    return {
        "passed": "the verifier accepts it",
        "agreement": "the vote is decided",
        "iterations": "all attempts are spent" if more else "no more attempts were asked for",
        "seconds": "the time is up",
        "tokens": "the token budget is spent",
        "unjudged": "the verifier cannot judge " + ("the last attempt" if more else "it"),
    }.get(str(result["stop_reason"]), str(result["stop_reason"]))
