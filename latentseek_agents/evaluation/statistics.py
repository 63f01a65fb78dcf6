"""What a count of right answers says about the method behind it: intervals, and comparisons in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

__all__ = [
    "Comparison",
    "Interval",
    "clustered_share",
    "compare_pairs",
    "mcnemar",
    "paired_bootstrap",
    "wilson",
]

_RESAMPLES = 20_000
_CLUSTERED_RESAMPLES = 4_000


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``, both included."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside.

        Example:
            >>> Interval(0.01, 0.2).excludes(0), Interval(0.0, 0.2).excludes(0)
            (True, False)
        """
        return not self.low <= value <= self.high


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same questions.

    Args:
        questions: How many both have worked on.
        only_first: Questions that only the first answers right.
        only_second: Questions that only the second answers right.
        interval: Of the difference in accuracy.
        p: Of McNemar's exact test.
    """

    questions: int
    only_first: int
    only_second: int
    interval: Interval
    p: float

    @property
    def difference(self) -> float:
        """Accuracy of the first less that of the second."""
        return (self.only_first - self.only_second) / self.questions

    @property
    def finding(self) -> str:
        """``"better"``, ``"worse"``, or ``"no difference shown"``.

        A difference is called one if its interval excludes 0 and McNemar's p is below 0.05: on a few
        questions that all go the same way a bootstrap knows of no other way, and its interval is too short.

        Example:
            >>> compare_pairs(20, only_first=3, only_second=0).finding
            'no difference shown'
        """
        if self.p >= 0.05 or not self.interval.excludes(0):
            return "no difference shown"
        return "better" if self.difference > 0 else "worse"


def wilson(right: int, questions: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion, which holds its promise near 0 and 1 and on few questions.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.

    Args:
        right: How many of the questions were answered right.
        questions: How many there were; of none, nothing is known.
        confidence: In (0, 1).

    Example:
        >>> interval = wilson(8, 10)
        >>> round(interval.low, 3), round(interval.high, 3)
        (0.49, 0.943)
        >>> wilson(0, 0)
        Interval(low=0.0, high=1.0)
    """
    if not questions:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = right / questions, z * z / questions
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * sqrt(share * (1 - share) / questions + weight / (4 * questions))
    # At the edges the formula gives exactly 0 or 1, but for rounding.
    return Interval(
        0.0 if right == 0 else max(0.0, middle - reach),
        1.0 if right == questions else min(1.0, middle + reach),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """The p of McNemar's exact test, two-sided: could the questions that divide two methods fall by a coin?

    McNemar 1947, "Note on the sampling error of the difference between correlated proportions",
    Psychometrika 12; in its exact form, the sign test.

    Args:
        only_first: Questions that only the first method answers right.
        only_second: Questions that only the second answers right.

    Example:
        >>> mcnemar(5, 0), mcnemar(3, 3), mcnemar(0, 0)
        (0.0625, 1.0, 1.0)
    """
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(total, count) for count in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**total))


def paired_bootstrap(
    only_first: int,
    only_second: int,
    questions: int,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> Interval:
    """A percentile bootstrap interval of the difference in accuracy on the same questions.

    Efron 1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7. Questions are
    drawn with replacement; since each contributes 1, 0 or -1, a draw is one of a multinomial distribution.

    Args:
        only_first: Questions that only the first method answers right.
        only_second: Questions that only the second answers right.
        questions: How many both have worked on, at least 1.
        confidence: In (0, 1).
        seed: Where the draws start.
        resamples: How many draws.

    Example:
        >>> paired_bootstrap(0, 0, 50)
        Interval(low=0.0, high=0.0)
        >>> paired_bootstrap(20, 5, 100).excludes(0)
        True
    """
    from numpy import quantile
    from numpy.random import default_rng

    both = questions - only_first - only_second
    shares = [only_first / questions, only_second / questions, both / questions]
    drawn = default_rng(seed).multinomial(questions, shares, size=resamples)
    low, high = quantile(
        (drawn[:, 0] - drawn[:, 1]) / questions, [(1 - confidence) / 2, (1 + confidence) / 2]
    )
    return Interval(float(low), float(high))


def clustered_share(hits: Sequence[int], totals: Sequence[int], *, seed: int = 0) -> Interval:
    """A 95 % bootstrap interval of a share of attempts, where the attempts at one question go together.

    Questions are drawn with replacement, each with all of its attempts: to draw attempts would take ten
    attempts at one question for ten questions. Field and Welsh 2007, "Bootstrapping clustered data",
    JRSS B 69.

    Args:
        hits: For each question, how many of its attempts count.
        totals: For each question, how many attempts there are, at least 1.
        seed: Where the draws start.

    Example:
        >>> clustered_share([3, 3], [3, 3])
        Interval(low=1.0, high=1.0)
        >>> clustered_share([10, 0], [10, 10])
        Interval(low=0.0, high=1.0)
    """
    from numpy import asarray, quantile
    from numpy.random import default_rng

    if not totals:
        return Interval(0.0, 1.0)
    drawn = default_rng(seed).integers(len(totals), size=(_CLUSTERED_RESAMPLES, len(totals)))
    shares = asarray(hits)[drawn].sum(axis=1) / asarray(totals)[drawn].sum(axis=1)
    low, high = quantile(shares, [0.025, 0.975])
    return Interval(float(low), float(high))


def compare_pairs(questions: int, *, only_first: int, only_second: int) -> Comparison:
    """Difference, bootstrap interval and McNemar's p of two methods on the same questions.

    Args:
        questions: How many both have worked on, at least 1.
        only_first: Questions that only the first answers right.
        only_second: Questions that only the second answers right.

    Example:
        >>> found = compare_pairs(100, only_first=20, only_second=4)
        >>> found.difference, found.finding
        (0.16, 'better')
    """
    return Comparison(
        questions=questions,
        only_first=only_first,
        only_second=only_second,
        interval=paired_bootstrap(only_first, only_second, questions),
        p=mcnemar(only_first, only_second),
    )
