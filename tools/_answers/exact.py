"""Exact rational values of expressions, with every size bounded before it is computed."""

import math
from collections.abc import Callable
from fractions import Fraction

from latentseek_agents.tools._answers.expression import Node
from latentseek_agents.tools._maths.exact import (
    Evaluation,
    Number,
    bounded,
    choose,
    divide,
    factorial,
    power,
    root,
    whole,
)

_LARGEST_FACTORIAL = 500
_LARGEST_LOGARITHM = 4096


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
        return Fraction(_value(node))
    except (ArithmeticError, ValueError, TypeError, RecursionError):
        # A tree may also be made by hand, with too few arguments or none.
        return None


def _value(node: Node) -> Number:
    if node.kind == "number":
        return node.value
    table, name = (_FUNCTIONS, node.name) if node.kind == "call" else (_OPERATIONS, node.kind)
    if name not in table:
        raise ArithmeticError(f"{name} has no rational value")
    return bounded(table[name](*map(_value, node.args)))


def _rational(evaluation: Evaluation) -> Number:
    if not evaluation.exact:
        raise ArithmeticError("the value is irrational")
    return evaluation.value


def _power(base: Number, exponent: Number) -> Number:
    return _rational(power(base, exponent))


def _root(radicand: Number, degree: Number) -> Number:
    return _rational(root(radicand, _integer(degree)))


def _integer(value: Number) -> int:
    if value.denominator != 1:
        raise ArithmeticError("an integer is needed")
    return value.numerator


def _double_factorial(value: Number) -> int:
    return math.prod(range(whole(value, _LARGEST_FACTORIAL), 0, -2))


def _logarithm(value: Number, base: Number = 10) -> Fraction:
    if value <= 0 or base <= 0 or base == 1:
        raise ArithmeticError("the logarithm is undefined")
    sizes = [math.log(each.numerator) - math.log(each.denominator) for each in (value, base)]
    guess = Fraction(sizes[0] / sizes[1]).limit_denominator(64)
    if abs(guess) > _LARGEST_LOGARITHM or _power(base, guess.numerator) != _power(value, guess.denominator):
        raise ArithmeticError("the logarithm is irrational")
    return guess


def _natural_logarithm(value: Number) -> int:
    if value != 1:
        raise ArithmeticError("the logarithm is irrational")
    return 0


_OPERATIONS: dict[str, Callable[..., Number]] = {
    "add": lambda a, b: a + b,
    "negate": lambda a: -a,
    "multiply": lambda a, b: a * b,
    "divide": divide,
    "power": _power,
    "root": _root,
    "percent": lambda a: Fraction(a, 100),
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "factorial": factorial,
    "double_factorial": _double_factorial,
    "binomial": choose,
    "mod": lambda a, b: _integer(a) % _integer(b),
    "floor": math.floor,
    "ceil": math.ceil,
    "gcd": lambda *a: math.gcd(*map(_integer, a)),
    "lcm": lambda *a: math.lcm(*map(_integer, a)),
    "min": min,
    "max": max,
    "log": _logarithm,
    "ln": _natural_logarithm,
}
