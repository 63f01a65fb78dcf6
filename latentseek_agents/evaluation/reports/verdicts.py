"""How well verdicts agree with the truth: of what passed, did not pass or was not judged, what was right."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from latentseek_agents.evaluation.reports.series import Series
from latentseek_agents.evaluation.reports.statistics import Interval, clustered_share
from latentseek_agents.evaluation.runs.records import AttemptRecord

__all__ = ["Agreement", "agreements"]

Judge = Callable[[AttemptRecord], bool | None]

_OF_ONE_TEXT = re.compile(r"\b(equation|output): .*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often a verdict, or one check in it, says what is true, where it says anything.

    Args:
        series: Whose attempts and whose verifier.
        judge: ``"verdict"``, or the name of a check.
        scope: ``"first attempts"``, one of each question, or ``"all attempts"``.
        counts: Attempts by the judgement (True, False, None) and by whether they are right. What is not
            known to be right counts as wrong.
        interval: Wilson's, of the share of judgements that are true; attempts at one question, which are
            alike, count as fewer.
    """

    series: Series
    judge: str
    scope: str
    counts: Mapping[tuple[bool | None, bool], int]
    interval: Interval

    @property
    def judged(self) -> int:
        """How many attempts were judged, one way or the other."""
        return sum(count for (passed, _), count in self.counts.items() if passed is not None)

    @property
    def agreed(self) -> int:
        """How many right ones passed and wrong ones did not."""
        return self.counts[True, True] + self.counts[False, False]

    @property
    def right(self) -> int:
        """Of those judged, how many are right."""
        return self.counts[True, True] + self.counts[False, True]

    @property
    def constant(self) -> float:
        """How often the better of two constant verdicts, always True or always False, would agree."""
        return max(self.right, self.judged - self.right) / self.judged


def agreements(series: Series) -> list[Agreement]:
    """Of a method whose attempts are judged: its verdicts, and each check by itself."""
    attempts = [attempt for trial in series.trials.values() for attempt in trial.attempts]
    kinds = dict.fromkeys(_kind(name) for attempt in attempts for name in attempt.checks or ())
    judges: dict[str, Judge] = {"verdict": lambda attempt: attempt.passed}
    judges |= {kind: _check(kind) for kind in kinds if kind != "verdict"}
    return [
        _agreement(series, name, judge, scope)
        for name, judge in judges.items()
        for scope in ("first attempts", "all attempts")
    ]


def _check(kind: str) -> Judge:
    """All checks of a kind as one: failed if one has, passed if all have."""

    def judge(attempt: AttemptRecord) -> bool | None:
        judgements = [passed for name, passed in (attempt.checks or {}).items() if _kind(name) == kind]
        if False in judgements:
            return False
        return None if None in judgements or not judgements else True

    return judge


def _kind(name: str) -> str:
    """Without the claim: a check ``equation: 1 + 1 = 3`` is there once and never again."""
    return _OF_ONE_TEXT.sub(r"\1", name)


def _agreement(series: Series, name: str, judge: Judge, scope: str) -> Agreement:
    counts: Counter[tuple[bool | None, bool]] = Counter()
    agreed, judged = [], []
    for trial in series.trials.values():
        attempts = trial.attempts[:1] if scope == "first attempts" else trial.attempts
        pairs = Counter((judge(attempt), attempt.right is True) for attempt in attempts)
        counts += pairs
        cases = pairs.total() - pairs[None, True] - pairs[None, False]
        if cases:
            agreed.append(pairs[True, True] + pairs[False, False])
            judged.append(cases)
    return Agreement(
        series=series, judge=name, scope=scope, counts=counts, interval=clustered_share(agreed, judged)
    )
