"""What a count of right answers says about the method behind it: intervals, and comparisons in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from scipy.stats import binomtest, norm

__all__ = [
    "Comparison",
    "Interval",
    "clustered_share",
    "compare_pairs",
    "mcnemar",
    "tango",
    "wilson",
]

_HALVINGS = 60


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
        interval: Tango's, of the difference in accuracy.
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
        questions that all go the same way the interval, which is an approximation, may promise too much.

        Example:
            >>> compare_pairs(20, only_first=5, only_second=0).finding
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
    return _wilson(right / questions, questions, confidence)


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
    divided = only_first + only_second
    return float(binomtest(only_first, divided).pvalue) if divided else 1.0


def tango(only_first: int, only_second: int, questions: int, confidence: float = 0.95) -> Interval:
    """Tango's score interval of the difference in accuracy on the same questions.

    Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17. It holds the differences that a score test does not
    refuse, and 0 is among them unless McNemar's test, without correction, refuses it. Like Wilson's interval
    it holds its promise on few questions, and has width where no question divides the methods.

    Args:
        only_first: Questions that only the first method answers right.
        only_second: Questions that only the second answers right.
        questions: How many both have worked on; of none, nothing is known.
        confidence: In (0, 1).

    Example:
        >>> interval = tango(20, 5, 100)
        >>> round(interval.low, 3), round(interval.high, 3)
        (0.056, 0.249)
        >>> interval = tango(0, 0, 50)
        >>> round(interval.low, 3), round(interval.high, 3)
        (-0.071, 0.071)
    """
    if not questions:
        return Interval(-1.0, 1.0)
    z = float(norm.ppf((1 + confidence) / 2))
    return Interval(
        -_tango_limit(only_second, only_first, questions, z),
        _tango_limit(only_first, only_second, questions, z),
    )


def clustered_share(hits: Sequence[int], totals: Sequence[int], confidence: float = 0.95) -> Interval:
    """Wilson's interval of a share of attempts, where the attempts at one question are alike.

    Ten attempts at one question tell less than one at each of ten. They count as their number divided by the
    design effect, 1 + (m - 1) r, with m the number of attempts at the question of an attempt, on average, and
    r the correlation of attempts at one question (Kish 1965, "Survey sampling"). The analysis of variance
    estimates r (Ridout, Demetrio and Firth 1999, "Estimating intraclass correlation for binary data",
    Biometrics 55), here kept within 0 and 1. Where nothing tells r, since all attempts go the same way or
    there is one question only, r is 1: as many attempts at each question then count as one.

    A bootstrap over questions would have no width in these cases. On few questions r is poorly known: on
    five with eleven attempts each, the interval holds the share in about 88 of 100 cases.

    Args:
        hits: For each question, how many of its attempts count.
        totals: For each question, how many attempts there are, at least 1. Without questions, nothing is
            known.
        confidence: In (0, 1).

    Example:
        >>> clustered_share([3, 3], [3, 3]) == wilson(2, 2)
        True
        >>> clustered_share([1, 0, 1, 1], [1, 1, 1, 1]) == wilson(3, 4)
        True
    """
    attempts = sum(totals)
    if not attempts:
        return Interval(0.0, 1.0)
    beside = sum(total * total for total in totals) / attempts - 1
    cases = attempts / (1 + beside * _likeness(hits, totals))
    return _wilson(sum(hits) / attempts, cases, confidence)


def _wilson(share: float, cases: float, confidence: float) -> Interval:
    """Wilson's formula, also for a number of cases that is not whole."""
    z = float(norm.ppf((1 + confidence) / 2))
    width = 2 * (cases + z**2)
    middle = (2 * cases * share + z**2) / width
    reach = z / width * sqrt(4 * cases * share * (1 - share) + z**2)
    # At the edges the formula gives exactly 0 or 1, but for rounding.
    return Interval(
        0.0 if share == 0 else max(0.0, middle - reach),
        1.0 if share == 1 else min(1.0, middle + reach),
    )


def compare_pairs(questions: int, *, only_first: int, only_second: int) -> Comparison:
    """Difference, Tango's interval and McNemar's p of two methods on the same questions.

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
        interval=tango(only_first, only_second, questions),
        p=mcnemar(only_first, only_second),
    )


def _tango_limit(more: int, fewer: int, questions: int, z: float) -> float:
    """The largest difference that the score test does not refuse, by halving what is left between two."""
    observed, divided = more - fewer, more + fewer

    def refused(difference: float) -> bool:
        # Given this difference, the most likely share of questions that divide the methods is the larger
        # root of n s^2 - linear s + constant = 0.
        linear = divided + observed * difference
        constant = observed * difference - (questions - divided) * difference**2
        root = sqrt(max(0.0, linear**2 - 4 * questions * constant))
        share = (linear + root) / (2 * questions)
        return (observed - questions * difference) ** 2 > z * z * questions * (share - difference**2)

    inside, outside = observed / questions, 1.0
    for _ in range(_HALVINGS):
        between = (inside + outside) / 2
        if refused(between):
            outside = between
        else:
            inside = between
    return inside


def _likeness(hits: Sequence[int], totals: Sequence[int]) -> float:
    """The correlation of two attempts at one question, within 0 and 1; 1 where nothing tells it."""
    attempts, questions = sum(totals), len(totals)
    share = sum(hits) / attempts
    if share in (0, 1) or not 1 < questions < attempts:
        return 1.0
    pairs = list(zip(hits, totals, strict=True))
    between = sum(total * (hit / total - share) ** 2 for hit, total in pairs) / (questions - 1)
    within = sum(hit * (1 - hit / total) for hit, total in pairs) / (attempts - questions)
    size = (attempts - sum(total * total for total in totals) / attempts) / (questions - 1)
    return min(1.0, max(0.0, (between - within) / (between + (size - 1) * within)))
