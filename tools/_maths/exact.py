"""Bounded exact arithmetic: the operations below both maths languages of this package.

Values are ``int`` and :class:`fractions.Fraction`. Every operation raises ``ArithmeticError`` where its
result is undefined or larger than the limits, before anything large is computed, so no input makes one
slow. Irrational roots are carried to 60 digits; :class:`Evaluation` says that they are not exact.

Example:
    >>> power(Fraction(4, 9), Fraction(1, 2))
    Evaluation(value=Fraction(2, 3), exact=True)
    >>> power(2, Fraction(1, 2)).exact
    False
    >>> power(9, 9**9)
    Traceback (most recent call last):
    ArithmeticError: the power is too large
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_MAX_BITS = 8192
_MAX_FACTORIAL = 500
_MAX_DEGREE = 64
_MAX_CHOICES = 10**6
_PRECISION = 10**60

Number = int | Fraction
"""Exact values; whole numbers stay ``int`` because that is several times faster."""


class Evaluation(NamedTuple):
    """A number, and whether it is exact: False if a root or π was approximated."""

    value: Number
    exact: bool = True


def simplest(number: Fraction) -> Number:
    """A fraction, or an ``int`` if it is whole."""
    return number.numerator if number.denominator == 1 else number


def bounded(number: Number) -> Number:
    """The number in its simplest form, if it is within the limits."""
    if _bits(number) > _MAX_BITS:
        raise ArithmeticError("the number is too large")
    return simplest(number) if isinstance(number, Fraction) else number


def divide(left: Number, right: Number) -> Number:
    """The exact quotient."""
    return bounded(Fraction(left) / right)


def power(base: Number, exponent: Number) -> Evaluation:
    """A power; 0^0 is 1, and an odd root of a negative number is real."""
    if exponent.denominator != 1:
        radical = root(base, exponent.denominator)
        return Evaluation(power(radical.value, exponent.numerator).value, radical.exact)
    exponent = exponent.numerator
    if base in (0, 1, -1):  # the exponent may be huge
        if base == 0 and exponent < 0:
            raise ZeroDivisionError("0 to a negative power")
        return Evaluation(int(base) ** (exponent % 2 if base else min(exponent, 1)))
    if _bits(base) * abs(exponent) > _MAX_BITS:
        raise ArithmeticError("the power is too large")
    return Evaluation(simplest(Fraction(base) ** exponent))


@lru_cache(maxsize=256)  # a text is read in several ways, with the same roots in each
def root(radicand: Number, degree: int) -> Evaluation:
    """The real root, exact where it is rational."""
    if not 1 <= degree <= _MAX_DEGREE:
        raise ArithmeticError("the degree of a root must be small and positive")
    if radicand < 0:
        if degree % 2 == 0:
            raise ArithmeticError("an even root of a negative number")
        positive = root(-radicand, degree)
        return Evaluation(-positive.value, positive.exact)
    top, bottom = _whole_root(radicand.numerator, degree), _whole_root(radicand.denominator, degree)
    if top**degree == radicand.numerator and bottom**degree == radicand.denominator:
        return Evaluation(simplest(Fraction(top, bottom)))
    scaled = radicand.numerator * _PRECISION**degree // radicand.denominator
    return Evaluation(Fraction(_whole_root(scaled, degree), _PRECISION), exact=False)


def factorial(number: Number) -> int:
    """The factorial of a whole number."""
    return math.factorial(whole(number, _MAX_FACTORIAL))


def choose(top: Number, bottom: Number) -> int:
    """The binomial coefficient of two whole numbers."""
    return math.comb(whole(top, _MAX_CHOICES), whole(bottom, _MAX_FACTORIAL))


def whole(number: Number, largest: int) -> int:
    """The number as ``int`` if it is whole and from 0 to ``largest``."""
    if number.denominator != 1 or not 0 <= number <= largest:
        raise ArithmeticError(f"a whole number from 0 to {largest} is needed")
    return number.numerator


def _whole_root(number: int, degree: int) -> int:
    """The largest whole number whose power does not exceed ``number``."""
    if degree == 2:
        return math.isqrt(number)
    if number < 2:
        return number
    shift = max(0, number.bit_length() - 900) // degree  # what is left fits a float
    leading = float(number >> (shift * degree))
    guess = (int(leading ** (1 / degree) * (1 + 1e-12)) + 2) << shift
    while True:  # Newton's method from above: every step lowers the guess
        better = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better


def _bits(number: Number) -> int:
    return max(number.numerator.bit_length(), number.denominator.bit_length())
