"""The tree of an expression, and its exact value.

A literal keeps the decimals it shows, and a percent sign stays in the tree: what both mean is decided by a
:class:`Reading`, so that one tree can be evaluated in every way in which people may have meant it.

Example:
    >>> eighty_and_half = Binary("+", Literal(80), Percent(Literal(50)))
    >>> evaluate(eighty_and_half, Reading(percent="change"))
    Evaluation(value=120, exact=True)
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from latentseek_agents.tools._maths.exact import (
    Evaluation,
    Number,
    bounded,
    choose,
    divide,
    factorial,
    power,
    whole,
)

_MAX_DEGREE = 10
_PI = Fraction(3141592653589793238462643383279502884197169399375105820974944592307816406286, 10**75)
_CLOSE = Fraction(1, 10**40)


class Literal(NamedTuple):
    """A number as written; ``places`` are the decimals it shows, -1 if it is not a plain decimal."""

    value: Number
    places: int = 0


class Variable(NamedTuple):
    """A letter that stands for a number; ``pi`` stands for π."""

    name: str


class Sign(NamedTuple):
    """A negated expression."""

    operand: "Node"


class Percent(NamedTuple):
    """An expression with a percent sign."""

    operand: "Node"


class Unary(NamedTuple):
    """``!`` (factorial), ``√`` (square root) or ``abs``."""

    operator: str
    operand: "Node"


class Binary(NamedTuple):
    """One of ``+ - * / ^``, ``root`` (degree, radicand) or ``choose``."""

    operator: str
    left: "Node"
    right: "Node"


class Apply(NamedTuple):
    """A function with its argument: ``f(2)``. It has no value before its definition stands in its place."""

    name: str
    argument: "Node"


Node = Literal | Variable | Sign | Percent | Unary | Binary | Apply


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read what an expression leaves open.

    Args:
        percent: ``"hundredths"`` (50% is 1/2), ``"plain"`` (50% is 50) or ``"change"``
            (80 + 50% is 80 and half of it).
        replacements: Written numbers that stand for others, such as 0.33 for 1/3.
        variables: Values of letters.
        pi: The value taken for π.
    """

    percent: str = "hundredths"
    replacements: Mapping[Number, Number] = field(default_factory=dict)
    variables: Mapping[str, Number] = field(default_factory=dict)
    pi: Number = _PI


PLAIN = Reading()
"""The reading that is tried first."""


def evaluate(node: Node, reading: Reading = PLAIN) -> Evaluation | None:
    """Compute an expression.

    Args:
        node: The expression, as parsed.
        reading: How to read percent signs, letters and rounded operands.

    Returns:
        The value, or None if it is undefined, unknown or beyond the limits.

    Example:
        >>> evaluate(Binary("/", Literal(1), Literal(3)))
        Evaluation(value=Fraction(1, 3), exact=True)
        >>> evaluate(Binary("^", Literal(9), Literal(10**9))) is None
        True
    """
    evaluator = _Evaluator(reading)
    try:
        return Evaluation(evaluator.value(node), evaluator.exact)
    except (ArithmeticError, KeyError, RecursionError):
        return None


def same_value(left: Evaluation, right: Evaluation) -> bool:
    """Whether two values are equal, up to 40 digits where one of them is not exact.

    Example:
        >>> same_value(Evaluation(2), Evaluation(Fraction(4, 2)))
        True
    """
    if left.exact and right.exact:
        return left.value == right.value
    return abs(Fraction(left.value) - right.value) <= _CLOSE * (1 + abs(Fraction(left.value)))


_OPERATIONS: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
    "choose": choose,
}


class _Evaluator:
    """One evaluation; ``exact`` tells whether nothing was approximated."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.exact = True

    def value(self, node: Node) -> Number:
        match node:
            case Literal():
                return self.reading.replacements.get(node.value, node.value)
            case Binary():
                return self._binary(node)
            case Sign():
                return -self.value(node.operand)
            case Percent():
                return divide(self.value(node.operand), 1 if self.reading.percent == "plain" else 100)
            case Variable("pi"):
                self.exact = False
                return self.reading.pi
            case Variable():
                return self.reading.variables[node.name]
            case Unary():
                return self._unary(node)
            case Apply():
                raise KeyError(node.name)

    def _unary(self, node: Unary) -> Number:
        operand = self.value(node.operand)
        if node.operator == "!":
            return factorial(operand)
        if node.operator == "abs":
            return -operand if operand < 0 else operand
        return self._power(operand, Fraction(1, 2))

    def _binary(self, node: Binary) -> Number:
        left = self.value(node.left)
        if node.operator in "+-" and isinstance(node.right, Percent) and self.reading.percent == "change":
            right = left * divide(self.value(node.right.operand), 100)
        else:
            right = self.value(node.right)
        if node.operator == "^":
            return self._power(left, right)
        if node.operator == "root":
            return self._power(right, divide(1, whole(left, _MAX_DEGREE)))
        return bounded(_OPERATIONS[node.operator](left, right))

    def _power(self, base: Number, exponent: Number) -> Number:
        fractional = exponent.denominator != 1
        if base == 0 >= exponent or (fractional and (base < 0 or exponent.denominator > _MAX_DEGREE)):
            raise ArithmeticError("the power is undefined, or too fine a root")
        value, exact = power(base, exponent)
        self.exact = self.exact and exact
        return value
