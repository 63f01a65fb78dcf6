"""The verified vote and its stop in the plainest possible way: the oracle for ``votes.py``.

Attempts are tuples (answer, computed answer, score, passed, refuted, exact); answers are equal if their
strings are. Nothing is incremental, nothing is shared with the code under test, and the beta function is
SciPy's.
"""

import math
from typing import Any, NamedTuple

from scipy.special import betainc


class Made(NamedTuple):
    """An attempt as far as a vote looks at it."""

    answer: str | None
    computed: str | None
    score: float
    passed: bool | None
    refuted: bool = False
    exact: bool = False


def weight(made: Made, everyone: list[Made], sharpness: float) -> float:
    """What an attempt weighs."""
    if made.computed is not None:
        return 0.6
    if all(one.passed is None for one in everyone):
        return 1.0
    return math.exp(-0.5 * sharpness) if made.passed is None else math.exp(made.score * sharpness)


def votes(
    everyone: list[Made], program: str | None, sharpness: float, program_vote: float
) -> dict[str, float]:
    """Each answer with its weight."""
    total: dict[str, float] = {}
    for made in everyone:
        answer = made.computed or made.answer
        if answer is not None:
            total[answer] = total.get(answer, 0.0) + weight(made, everyone, sharpness)
    if program is not None and program_vote:
        total[program] = total.get(program, 0.0) + program_vote
    return total


def wins(everyone: list[Made], program: str | None, settings: dict[str, float]) -> bool:
    """Whether the search can end; with two leaders of the same weight it goes on, unless exact passes
    agree."""
    sharpness, program_vote = settings["vote_sharpness"], settings["program_vote"]
    total = votes(everyone, program, sharpness, program_vote)
    if not total:
        return False
    leader = max(total, key=lambda answer: total[answer])
    stating = [one for one in everyone if one.computed is None and one.answer == leader]
    backing = [one for one in stating if one.passed and not one.refuted]
    if sum(one.exact for one in backing) >= 2:
        return True
    standing = dict.fromkeys(total, 0.0)
    for made in everyone:
        answer = made.computed or made.answer
        if answer is not None and (made.computed is not None or not made.refuted):
            standing[answer] += weight(made, everyone, sharpness)
    if program is not None and program_vote:
        standing[program] += program_vote
    first = standing.pop(leader)
    second = max(standing.values(), default=0.0)
    if not backing or first <= second:
        return False
    scale = settings["vote_scale"]
    probability: Any = 1 - betainc(scale * first + 1, scale * second + 1, 0.5)
    return bool(probability >= settings["confidence"])
