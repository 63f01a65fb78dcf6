"""Intervals and tests: known values from elsewhere, and what must hold of all of them."""

from math import comb, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents.evaluation.reports.statistics import (
    Interval,
    clustered_share,
    compare_pairs,
    mcnemar,
    tango,
    wilson,
)

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
divided = st.integers(1, 120).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda a: st.tuples(st.just(n), st.just(a), st.integers(0, n - a)))
)


@pytest.mark.parametrize(
    ("right", "questions", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(right: int, questions: int, low: float, high: float):
    interval = wilson(right, questions)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(counts)
def test_wilson_holds_the_share_and_mirrors(case: tuple[int, int]):
    right, questions = case
    interval, mirrored = wilson(right, questions), wilson(questions - right, questions)
    assert 0 <= interval.low <= right / questions <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high)
    assert interval.low < interval.high


@given(counts)
def test_wilson_is_shorter_with_more_questions_and_less_confidence(case: tuple[int, int]):
    right, questions = case
    whole = wilson(right, questions)
    for other in (wilson(4 * right, 4 * questions), wilson(right, questions, confidence=0.8)):
        assert other.high - other.low < whole.high - whole.low


def test_wilson_of_nothing_says_nothing():
    assert wilson(0, 0) == Interval(0.0, 1.0)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 1 / 16), (0, 6, 1 / 32), (1, 9, 22 / 1024), (4, 4, 1.0)],
)
def test_mcnemar_by_hand(first: int, second: int, p: float):
    assert mcnemar(first, second) == pytest.approx(p)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_a_two_sided_binomial(first: int, second: int):
    total = first + second
    # Two-sided by likelihood: all outcomes that are at most as likely as this one.
    tail = sum(comb(total, k) for k in range(total + 1) if comb(total, k) <= comb(total, first))
    assert mcnemar(first, second) == pytest.approx(tail / 2**total)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_of_very_many():
    assert 0 < mcnemar(1000, 1200) < 0.001


@pytest.mark.parametrize(
    ("first", "second", "questions", "low", "high"),
    [
        # Fagerland, Lydersen and Laake 2014, "Recommended tests and confidence intervals for paired binomial
        # proportions", Statistics in Medicine 33: airway reactivity of 21 children (Bentur et al. 2009).
        (1, 7, 21, -0.517, -0.026),
        # The same authors, "Statistical analysis of contingency tables" (2017), chapter 8: response of 161
        # patients (Cavo et al. 2012); the figures of the book's own software, contingencytables 3.0.0 for R.
        (6, 16, 161, -0.1240, -0.0054),
    ],
)
def test_tango_as_published(first: int, second: int, questions: int, low: float, high: float):
    interval = tango(first, second, questions)
    digits = 5e-4 if questions == 21 else 5e-5
    assert interval.low == pytest.approx(low, abs=digits)
    assert interval.high == pytest.approx(high, abs=digits)


@given(divided)
def test_tango_is_where_the_score_is_as_large_as_it_may_be(case: tuple[int, int, int]):
    """As it is usually written: with the likeliest share of questions that only the second gets right."""
    n, b, c = case
    interval = tango(b, c, n)
    for limit in (interval.low, interval.high):
        if abs(limit) < 0.999:
            linear = -b - c + (2 * n - b + c) * limit
            constant = -c * limit * (1 - limit)
            only_second = (sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
            score = (b - c - n * limit) / sqrt(n * (2 * only_second + limit * (1 - limit)))
            assert abs(score) == pytest.approx(1.959964, abs=1e-4)


@given(divided)
def test_tango_holds_the_difference_has_width_and_mirrors(case: tuple[int, int, int]):
    questions, first, second = case
    interval, mirrored = tango(first, second, questions), tango(second, first, questions)
    assert -1 <= interval.low <= (first - second) / questions <= interval.high <= 1
    assert interval.low < interval.high
    assert mirrored == Interval(-interval.high, -interval.low)
    for other in (
        tango(first, second, questions, confidence=0.8),
        tango(4 * first, 4 * second, 4 * questions),
    ):
        assert other.high - other.low < interval.high - interval.low


@given(divided)
def test_tango_excludes_0_where_mcnemars_statistic_does(case: tuple[int, int, int]):
    questions, first, second = case
    statistic = (first - second) ** 2 / max(1, first + second)
    assert tango(first, second, questions).excludes(0) == (statistic > 3.841459)


def test_tango_is_near_the_normal_interval():
    # By hand: d = 0.1; var = (0.3 - 0.1^2) / 400; 1.96 standard errors = 0.05277.
    interval = tango(80, 40, 400)
    assert interval.low == pytest.approx(0.1 - 0.05277, abs=0.002)
    assert interval.high == pytest.approx(0.1 + 0.05277, abs=0.002)


def test_tango_of_questions_that_do_not_divide():
    # By hand: no share divides but the difference itself, so n d^2 = z^2 (d - d^2), d = z^2 / (n + z^2).
    square = 1.959964**2
    assert tango(0, 0, 50).high == pytest.approx(square / (50 + square), abs=1e-6)
    assert tango(0, 0, 0) == Interval(-1.0, 1.0)


def test_few_questions_show_no_difference_though_all_go_one_way():
    found = compare_pairs(5, only_first=5, only_second=0)
    assert found.interval.excludes(0)
    assert found.interval.high == 1
    assert found.finding == "no difference shown"
    assert compare_pairs(6, only_first=6, only_second=0).finding == "better"
    assert compare_pairs(6, only_first=0, only_second=6).finding == "worse"


@given(divided)
def test_no_difference_is_called_one_without_its_interval(case: tuple[int, int, int]):
    questions, first, second = case
    found = compare_pairs(questions, only_first=first, only_second=second)
    if found.finding != "no difference shown":
        assert found.interval.excludes(0)
        assert (found.difference > 0) == (found.finding == "better")


@pytest.mark.parametrize(
    ("hits", "totals", "cases"),
    [
        # All attempts go the same way: nothing tells how alike they are, and each question is one case.
        ([3, 3], [3, 3], 2),
        ([0] * 4, [10] * 4, 4),
        # The same with one question alone.
        ([5], [10], 1),
        # Attempts at one question all alike; then as different as they can be.
        ([10, 10, 0, 0], [10] * 4, 4),
        ([5, 5], [10, 10], 20),
        # Alike, of 11 and 1 attempts: 12 squared by 11 squared and 1.
        ([11, 0], [11, 1], 144 / 122),
        # By hand: 3/4 and 1/4. Between 4 (1/16 + 1/16) = 1/2, within (3/4 + 3/4) / 6 = 1/4, of 4 attempts:
        # r = (1/2 - 1/4) / (1/2 + 3/4) = 1/5, and 8 / (1 + 3/5) = 5 cases.
        ([3, 1], [4, 4], 5),
    ],
)
def test_attempts_at_one_question_count_as_fewer(hits: list[int], totals: list[int], cases: float):
    share = sum(hits) / sum(totals)
    interval = clustered_share(hits, totals)
    # Wilson's limits are where the share is 1.96 standard errors away.
    for limit in (interval.low, interval.high):
        error = sqrt(limit * (1 - limit) / cases)
        assert abs(limit - share) == pytest.approx(1.959964 * error, abs=1e-6)
    assert interval.low < interval.high


@given(st.lists(counts, max_size=12))
def test_alike_attempts_never_tell_more_than_different_ones(cases: list[tuple[int, int]]):
    hits, totals = [hit for hit, _ in cases], [total for _, total in cases]
    interval, plain = clustered_share(hits, totals), wilson(sum(hits), sum(totals))
    assert 0 <= interval.low < interval.high <= 1
    assert interval.low <= plain.low + 1e-12
    assert plain.high - 1e-12 <= interval.high
    if cases:
        assert interval.low <= sum(hits) / sum(totals) <= interval.high
        mirrored = clustered_share([total - hit for hit, total in cases], totals)
        assert interval.low == pytest.approx(1 - mirrored.high)
        fewer = clustered_share(hits, totals, confidence=0.8)
        assert fewer.high - fewer.low < interval.high - interval.low


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_one_attempt_at_each_question_is_a_plain_share(hits: list[bool]):
    assert clustered_share(hits, [1] * len(hits)) == wilson(sum(hits), len(hits))


def test_attempts_at_no_question_tell_nothing():
    assert clustered_share([], []) == Interval(0.0, 1.0)
