"""How well verdicts agree with the truth: what of the passed, the refused and the rest was right."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from latentseek_agents.evaluation.records import AttemptRecord
from latentseek_agents.evaluation.statistics import Interval, clustered_share
from latentseek_agents.evaluation.trials import Group, Series

__all__ = ["Agreement", "Confusion", "agreements", "confusions"]

Judgement = Callable[[AttemptRecord], bool | None]

_EQUATION = re.compile(r"\b(equation): .*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Verdicts on all attempts of a method, against the truth. What is not known to be right counts as wrong.

    Args:
        method: Whose attempts and whose verifier.
        oracle: Whether the verifier is told the known answer.
        passed_right: Attempts.
        passed_wrong: As above.
        refused_right: As above.
        refused_wrong: As above.
        unjudged_right: As above.
        unjudged_wrong: As above.
        ungraded: Of those counted as wrong, how many could not be compared with the known answer.
    """

    method: str
    oracle: bool
    passed_right: int
    passed_wrong: int
    refused_right: int
    refused_wrong: int
    unjudged_right: int
    unjudged_wrong: int
    ungraded: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often a verdict, or one check in it, says what is true, where it says anything.

    Args:
        method: Whose attempts.
        judge: ``"verdict"``, or the name of a check.
        oracle: Whether it is told the known answer.
        scope: ``"first attempts"``, one of each question, or ``"all attempts"``.
        judged: How many attempts it has passed or refused.
        agreed: Of those, how many right ones it passed and wrong ones it refused.
        interval: Wilson's; attempts at one question, which are alike, count as fewer.
        right: Of those judged, how many are right.
        passed_right: Of the right ones, how many it passed.
        passed_wrong: Of the wrong ones, how many it passed.
    """

    method: str
    judge: str
    oracle: bool
    scope: str
    judged: int
    agreed: int
    interval: Interval
    right: int
    passed_right: int
    passed_wrong: int

    @property
    def constant(self) -> float:
        """How often the better of always passing and always refusing would agree."""
        return max(self.right, self.judged - self.right) / self.judged


def confusions(group: Group) -> list[Confusion]:
    """One for every method whose attempts are judged."""
    return [_confusion(series) for series in _judged(group)]


def agreements(group: Group) -> list[Agreement]:
    """For every method whose attempts are judged: the verdicts, and each check by itself."""
    found = []
    for series in _judged(group):
        names = {
            _kind(name): None
            for trial in series.trials.values()
            for attempt in trial.attempts
            for name in attempt.checks or ()
        }
        judges: dict[str, Judgement] = {"verdict": lambda attempt: attempt.passed}
        judges |= {name: _check(name) for name in names if name != "verdict"}
        for name, judge in judges.items():
            for scope in ("first attempts", "all attempts"):
                one = _agreement(series, name, judge, scope)
                if one is not None:
                    found.append(one)
    return found


def _judged(group: Group) -> list[Series]:
    return [series for series in group.series if series.searches or series.kind == "bon"]


def _check(kind: str) -> Judgement:
    """All checks of a kind as one: failed if one has, passed if all have."""

    def judge(attempt: AttemptRecord) -> bool | None:
        said = [passed for name, passed in (attempt.checks or {}).items() if _kind(name) == kind]
        if False in said:
            return False
        return None if None in said or not said else True

    return judge


def _kind(name: str) -> str:
    """Without the equation it was about: a check ``equation: 1 + 1 = 3`` is there once and never again."""
    return _EQUATION.sub(r"\1", name)


def _confusion(series: Series) -> Confusion:
    attempts = [attempt for trial in series.trials.values() for attempt in trial.attempts]

    def count(passed: bool | None, right: bool) -> int:
        return sum(attempt.passed is passed and (attempt.right is True) is right for attempt in attempts)

    return Confusion(
        method=series.method,
        oracle=series.oracle,
        passed_right=count(True, True),
        passed_wrong=count(True, False),
        refused_right=count(False, True),
        refused_wrong=count(False, False),
        unjudged_right=count(None, True),
        unjudged_wrong=count(None, False),
        ungraded=sum(attempt.right is None for attempt in attempts),
    )


def _agreement(series: Series, name: str, judge: Judgement, scope: str) -> Agreement | None:
    questions: list[list[tuple[bool, bool]]] = []
    for trial in series.trials.values():
        attempts = trial.attempts[:1] if scope == "first attempts" else trial.attempts
        said = [(judge(attempt), attempt.right is True) for attempt in attempts]
        pairs = [(passed, right) for passed, right in said if passed is not None]
        if pairs:
            questions.append(pairs)
    if not questions:
        return None
    pairs = [pair for question in questions for pair in question]
    agreed = [sum(passed is right for passed, right in question) for question in questions]
    return Agreement(
        method=series.method,
        judge=name,
        oracle=series.oracle,
        scope=scope,
        judged=len(pairs),
        agreed=sum(agreed),
        interval=clustered_share(agreed, [len(question) for question in questions]),
        right=sum(right for _, right in pairs),
        passed_right=sum(passed and right for passed, right in pairs),
        passed_wrong=sum(passed and not right for passed, right in pairs),
    )
