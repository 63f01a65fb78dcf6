"""Exact arithmetic on parsed expressions, within limits set before anything large is computed.

Values are ``int`` and ``fractions.Fraction``. Roots and π are carried to 60 decimal digits and mark the
result as inexact. An operation whose result could not be held in :data:`MAX_BITS` bits is refused, so
no input can make an evaluation slow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import comb, factorial, isqrt
from typing import NamedTuple

from latentseek_agents.tools._steps.tokens import Number

__all__ = [
    "Binary",
    "Evaluation",
    "Literal",
    "Node",
    "Percent",
    "Reading",
    "Sign",
    "Unary",
    "Variable",
    "evaluate",
    "same_value",
]

MAX_BITS = 4096
MAX_EXPONENT = 1000
MAX_FACTORIAL = 200
_PRECISION = 10**60
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
    """``!`` (factorial) or ``√`` (square root)."""

    operator: str
    operand: "Node"


class Binary(NamedTuple):
    """One of ``+ - * / ^``, ``root`` (degree, radicand) or ``choose``."""

    operator: str
    left: "Node"
    right: "Node"


Node = Literal | Variable | Sign | Percent | Unary | Binary


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


class Evaluation(NamedTuple):
    """A value, and whether it is exact (no root or π was approximated)."""

    value: Number
    exact: bool


_DEFAULT_READING = Reading()


def evaluate(node: Node, reading: Reading = _DEFAULT_READING) -> Evaluation | None:
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
    run = _Run(reading)
    try:
        value = run.value(node)
    except (ArithmeticError, RecursionError, ValueError):
        return None
    return Evaluation(value, run.exact)


def same_value(left: Evaluation, right: Evaluation) -> bool:
    """Whether two values are equal, up to 40 digits where one of them is not exact.

    Example:
        >>> same_value(Evaluation(2, True), Evaluation(Fraction(4, 2), True))
        True
    """
    if left.value == right.value:
        return True
    if left.exact and right.exact:
        return False
    return abs(Fraction(left.value) - right.value) <= _CLOSE * (1 + abs(Fraction(left.value)))


class _Run:
    """One evaluation; remembers whether anything was approximated."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.exact = True

    def value(self, node: Node) -> Number:
        if isinstance(node, Literal):
            return self.reading.replacements.get(node.value, node.value)
        if isinstance(node, Binary):
            return self._binary(node)
        if isinstance(node, Sign):
            return -self.value(node.operand)
        if isinstance(node, Percent):
            operand = self.value(node.operand)
            return operand if self.reading.percent == "plain" else _divide(operand, 100)
        if isinstance(node, Variable):
            return self._variable(node.name)
        operand = self.value(node.operand)
        return _factorial(operand) if node.operator == "!" else self._root(operand, 2)

    def _variable(self, name: str) -> Number:
        if name == "pi":
            self.exact = False
            return self.reading.pi
        if name not in self.reading.variables:
            raise ArithmeticError(f"no value for {name}")
        return self.reading.variables[name]

    def _binary(self, node: Binary) -> Number:
        operator = node.operator
        left = self.value(node.left)
        if operator in "+-" and isinstance(node.right, Percent) and self.reading.percent == "change":
            share = _bounded(left * _divide(self.value(node.right.operand), 100))
            return _bounded(left + share if operator == "+" else left - share)
        right = self.value(node.right)
        if operator == "+":
            return _bounded(left + right)
        if operator == "-":
            return _bounded(left - right)
        if operator == "*":
            return _bounded(left * right)
        if operator == "/":
            return _bounded(_divide(left, right))
        if operator == "^":
            return self._power(left, right)
        if operator == "root":
            return self._root(right, _whole(left, 10))
        return _choose(left, right)

    def _power(self, base: Number, exponent: Number) -> Number:
        if isinstance(exponent, Fraction) and exponent.denominator != 1:
            if base < 0 or exponent.denominator > 10:
                raise ArithmeticError("no real power")
            return self._power(self._root(base, exponent.denominator), exponent.numerator)
        power = int(exponent)
        if base in (0, 1, -1):
            if base == 0 and power <= 0:
                raise ArithmeticError("0 to a power of 0 or less")
            return 1 if base == 1 or (power % 2 == 0 and base == -1) else int(base)
        base = Fraction(base)
        if abs(power) > MAX_EXPONENT or abs(power) * _bits(base) > MAX_BITS:
            raise ArithmeticError("a power beyond the limits")
        return _tidy(base**power)

    def _root(self, radicand: Number, degree: int) -> Number:
        """The real root, exact where it is rational, else to 60 digits."""
        if radicand < 0 or degree < 1:
            raise ArithmeticError("no real root")
        exact = Fraction(radicand)
        if degree == 1:
            return radicand
        top, bottom = _whole_root(exact.numerator, degree), _whole_root(exact.denominator, degree)
        if top**degree == exact.numerator and bottom**degree == exact.denominator:
            return _tidy(Fraction(top, bottom))
        self.exact = False
        scaled = exact.numerator * _PRECISION**degree // exact.denominator
        return Fraction(_whole_root(scaled, degree), _PRECISION)


def _whole_root(number: int, degree: int) -> int:
    """The largest whole number whose power does not exceed ``number``."""
    if degree == 2:
        return isqrt(number)
    if number < 2:
        return number
    guess = 1 << -(-number.bit_length() // degree)
    while True:  # Newton's method from above: every step shrinks the guess
        better = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better


def _divide(left: Number, right: Number) -> Number:
    if right == 0:
        raise ArithmeticError("division by zero")
    return _tidy(Fraction(left) / right)


def _factorial(operand: Number) -> Number:
    return factorial(_whole(operand, MAX_FACTORIAL))


def _choose(top: Number, bottom: Number) -> Number:
    return comb(_whole(top, MAX_FACTORIAL), _whole(bottom, MAX_FACTORIAL))


def _whole(number: Number, largest: int) -> int:
    if number != int(number) or not 0 <= number <= largest:
        raise ArithmeticError(f"{largest} at most, and whole")
    return int(number)


def _bits(number: Number) -> int:
    return max(number.numerator.bit_length(), number.denominator.bit_length())


def _bounded(number: Number) -> Number:
    if _bits(number) > MAX_BITS:
        raise ArithmeticError("a number beyond the limits")
    return _tidy(number) if isinstance(number, Fraction) else number


def _tidy(number: Fraction) -> Number:
    return number.numerator if number.denominator == 1 else number
