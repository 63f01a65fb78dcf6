"""Exact rational values of expressions, with every size bounded before it is computed."""

import math
from collections.abc import Callable
from fractions import Fraction

from latentseek_agents.tools._answers.expression import Node

__all__ = ["exact_value"]

_MOST_BITS = 8192
_LARGEST_FACTORIAL = 500


class _NotRationalError(ValueError):
    """The value is irrational, undefined, symbolic, or too large."""


def exact_value(node: Node) -> Fraction | None:
    r"""The value of an expression if it is rational and of bounded size, else None.

    Odd roots of negative numbers are real.

    Example:
        >>> from latentseek_agents.tools._answers.expression import parse_expression
        >>> exact_value(parse_expression(r"\frac{8!}{6!} - \sqrt{16}"))
        Fraction(52, 1)
        >>> exact_value(parse_expression(r"9^{9^{9^9}}")) is None
        True
    """
    try:
        return _value(node)
    except (ArithmeticError, ValueError, TypeError, RecursionError):
        # A tree may also be made by hand, with too few arguments or none.
        return None


def _value(node: Node) -> Fraction:
    if node.kind == "number":
        return node.value
    if node.kind == "call":
        function = _FUNCTIONS.get(node.name)
        if function is None:
            raise _NotRationalError(node.name)
        return _bounded(function(*(_value(arg) for arg in node.args)))
    operation = _OPERATIONS.get(node.kind)
    if operation is None:
        raise _NotRationalError(node.kind)
    return _bounded(operation(*(_value(arg) for arg in node.args)))


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > _MOST_BITS:
        raise _NotRationalError("the number is too large")
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        return _power(_root(base, Fraction(exponent.denominator)), Fraction(exponent.numerator))
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits > 1 and bits * abs(exponent) > _MOST_BITS:
        raise _NotRationalError("the power is too large")
    if bits <= 1:
        # 0, 1 and -1 to whatever power: the exponent may be huge.
        exponent = Fraction(int(exponent) % 2 + 2 * (exponent > 0)) if base else min(exponent, Fraction(2))
    return base ** int(exponent)


def _root(value: Fraction, degree: Fraction) -> Fraction:
    if degree.denominator != 1 or not 1 <= degree <= 64:
        raise _NotRationalError("the degree of a root must be a small integer")
    n = int(degree)
    if value < 0:
        if n % 2 == 0:
            raise _NotRationalError("an even root of a negative number")
        return -_root(-value, degree)
    top, bottom = _integer_root(value.numerator, n), _integer_root(value.denominator, n)
    return Fraction(top, bottom)


def _integer_root(value: int, n: int) -> int:
    root = math.isqrt(value) if n == 2 else _newton_root(value, n)
    if root**n != value:
        raise _NotRationalError("the root is irrational")
    return root


def _newton_root(value: int, n: int) -> int:
    if value < 2:
        return value
    guess = 1 << -(-value.bit_length() // n)
    while True:
        better = ((n - 1) * guess + value // guess ** (n - 1)) // n
        if better >= guess:
            return guess
        guess = better


def _integer(value: Fraction) -> int:
    if value.denominator != 1:
        raise _NotRationalError("an integer is needed")
    return int(value)


def _factorial(value: Fraction) -> Fraction:
    if not 0 <= value <= _LARGEST_FACTORIAL:
        raise _NotRationalError("the factorial is too large")
    return Fraction(math.factorial(_integer(value)))


def _double_factorial(value: Fraction) -> Fraction:
    if not 0 <= value <= _LARGEST_FACTORIAL:
        raise _NotRationalError("the factorial is too large")
    return Fraction(math.prod(range(_integer(value), 0, -2)))


def _remainder(value: Fraction, modulus: Fraction) -> Fraction:
    return Fraction(_integer(value) % _integer(modulus))


def _binomial(upper: Fraction, lower: Fraction) -> Fraction:
    if not (0 <= lower <= _LARGEST_FACTORIAL and 0 <= upper <= 10**6):
        raise _NotRationalError("the binomial coefficient is too large")
    return Fraction(math.comb(_integer(upper), _integer(lower)))


def _logarithm(value: Fraction, base: Fraction = Fraction(10)) -> Fraction:
    if value <= 0 or base <= 0 or base == 1:
        raise _NotRationalError("the logarithm is undefined")
    guess = Fraction(math.log(value.numerator) - math.log(value.denominator)) / Fraction(
        math.log(base.numerator) - math.log(base.denominator)
    )
    guess = guess.limit_denominator(64)
    if abs(guess) > 4096 or _power(base, Fraction(guess.numerator)) != _power(
        value, Fraction(guess.denominator)
    ):
        raise _NotRationalError("the logarithm is irrational")
    return guess


def _natural_logarithm(value: Fraction) -> Fraction:
    if value == 1:
        return Fraction(0)
    raise _NotRationalError("the logarithm is irrational")


_OPERATIONS: dict[str, Callable[..., Fraction]] = {
    "add": lambda a, b: a + b,
    "negate": lambda a: -a,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": _power,
    "root": _root,
    "percent": lambda a: a / 100,
}
_FUNCTIONS: dict[str, Callable[..., Fraction]] = {
    "abs": abs,
    "factorial": _factorial,
    "double_factorial": _double_factorial,
    "binomial": _binomial,
    "mod": _remainder,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
    "gcd": lambda *a: Fraction(math.gcd(*map(_integer, a))),
    "lcm": lambda *a: Fraction(math.lcm(*map(_integer, a))),
    "min": min,
    "max": max,
    "log": _logarithm,
    "ln": _natural_logarithm,
}
