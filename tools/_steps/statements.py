"""Equations with letters as statements about numbers: where they hold, and what they say of a letter.

Everything is done by exact evaluation at rational points; nothing is transformed symbolically. A
polynomial of degree 2 or less is known from three of its values, and two more confirm the degree.

Example:
    >>> from latentseek_agents.tools._steps.equations import find_comparisons
    >>> comparison = find_comparisons("(x + 1)^2 = x^2 + 2x + 1")[0]
    >>> Statement(0, comparison, *comparison.parses).is_identity()
    True
"""

import random
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from latentseek_agents.tools._maths.exact import Evaluation, Number
from latentseek_agents.tools._maths.words import HYPOTHETICAL
from latentseek_agents.tools._steps.arithmetic import Reading, Variable, evaluate, same_value
from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.leads import may_start_anew, starts_anew
from latentseek_agents.tools._steps.parser import Parse

_GIVEN_WORDS = HYPOTHETICAL | {
    "let", "for", "at", "when", "where", "set", "setting", "given", "put", "putting", "plug", "plugging",
    "substitute", "substituting", "try", "guess", "from",
}  # fmt: skip
_TRIALS = 3
_WHOLE = 2
_SAMPLES = (Fraction(1), Fraction(2), Fraction(3), Fraction(5), Fraction(7, 3))


class Polynomial(NamedTuple):
    """Coefficients of the left side minus the right one."""

    square: Fraction
    slope: Fraction
    constant: Fraction

    @property
    def is_flat(self) -> bool:
        return not (self.square or self.slope)

    def at(self, value: Number) -> Fraction:
        return self.square * value * value + self.slope * value + self.constant

    def vanishes_near(self, value: Number, distance: Fraction) -> bool:
        """Whether a root lies about as near to a value as ``distance``."""
        return abs(self.at(value)) <= abs(2 * self.square * value + self.slope) * distance


class Statement:
    """One readable equation with letters."""

    def __init__(self, index: int, comparison: Comparison, left: Parse, right: Parse) -> None:
        self.index = index
        self.comparison = comparison
        self.left, self.right = left, right
        self.letters = left.letters | right.letters
        self.assignment = assignment(left, right) or assignment(right, left)

    @property
    def is_given(self) -> bool:
        """Whether the text supposes it instead of concluding it."""
        side, stop = self.comparison.left, self.comparison.right.stop
        if stop < len(side.tokens) and side.tokens[stop].text == ":" and self.assignment is not None:
            return True  # "x = 5: 2x + 3 = 13, too big"
        return any(token.word in _GIVEN_WORDS for token in side.tokens[max(0, side.start - 3) : side.start])

    @property
    def starts_anew(self) -> bool:
        """Whether the words before it give its letter a new meaning."""
        return starts_anew(self.comparison.left.tokens, self.comparison.left.start)

    @property
    def may_start_anew(self) -> bool:
        """Whether it may be about something else than the equations before it."""
        return may_start_anew(self.comparison.left.tokens, self.comparison.left.start)

    def sides_at(self, values: Mapping[str, Number]) -> tuple[Evaluation, Evaluation] | None:
        reading = Reading(variables=values)
        left, right = evaluate(self.left.node, reading), evaluate(self.right.node, reading)
        return None if left is None or right is None else (left, right)

    def holds_at(self, values: Mapping[str, Number]) -> bool:
        sides = self.sides_at(values)
        return sides is not None and same_value(*sides)

    def is_identity(self) -> bool:
        """Whether it holds at random points: what agrees at a few of them agrees everywhere.

        A point at which a side has no value, such as the root of a negative number, tells nothing.
        """
        trials = 0
        for point in _points(tuple(sorted(self.letters))):
            sides = self.sides_at(point)
            if sides is not None:
                if not same_value(*sides):
                    return False
                trials += 1
                if trials == _TRIALS:
                    return True
        return False

    def differs(self) -> bool:
        """Whether its sides are two different functions of one letter."""
        if len(self.letters) != 1 or self.is_given:
            return False
        rounded = any(literal.places > 0 for literal in (*self.left.literals, *self.right.literals))
        for point in _points(tuple(self.letters)):
            sides = self.sides_at(point)
            if sides is not None and not same_value(*sides):
                return not rounded or self.fails_at(point)
        return False

    def fails_at(self, values: Mapping[str, Number]) -> bool:
        """Whether both sides have a value, and these differ by more than what rounding explains."""
        sides = self.sides_at(values)
        if sides is None:
            return False
        one, other = (Fraction(side.value) for side in sides)
        return abs(one - other) > max(abs(one), abs(other), Fraction(1, 100)) / 50

    def polynomial(self, letter: str) -> Polynomial | None:
        """Left minus right as a polynomial of degree 2 at most, or None if it is none."""
        heights: list[Fraction] = []
        for point in _SAMPLES:
            sides = self.sides_at({letter: point})
            if sides is None or not (sides[0].exact and sides[1].exact):
                return None
            heights.append(Fraction(sides[0].value) - sides[1].value)
        one, two, three = heights[:3]
        square = (three - 2 * two + one) / 2
        slope = two - one - 3 * square
        polynomial = Polynomial(square, slope, one - slope - square)
        confirmed = all(polynomial.at(x) == y for x, y in zip(_SAMPLES[3:], heights[3:], strict=True))
        return polynomial if confirmed else None


@lru_cache(maxsize=512)
def _points(letters: tuple[str, ...]) -> tuple[Mapping[str, Number], ...]:
    """Random points, the same ones for the same letters, so that a text has the same verdict every time.

    Of both signs first, then positive ones, then whole numbers, which may be exponents.
    """
    chooser = random.Random(" ".join(letters))  # noqa: S311
    largest = 10**6

    def draw(kind: int) -> Number:
        if kind == _WHOLE:
            return chooser.randrange(3, 30)
        return Fraction(chooser.randrange(1 if kind else -largest, largest), chooser.randrange(500, 3000))

    kinds = [kind for kind in range(_WHOLE + 1) for _ in range(_TRIALS)]
    return tuple({letter: draw(kind) for letter in letters} for kind in kinds)


def assignment(side: Parse, other: Parse) -> tuple[str, Number] | None:
    """The letter and its value in ``x = 5``."""
    if not isinstance(side.node, Variable) or side.node.name == "pi" or other.letters:
        return None
    value = evaluate(other.node)
    return None if value is None else (side.node.name, value.value)
