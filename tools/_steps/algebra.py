"""Equations with letters to findings: identities, solutions of stated equations, substituted values.

Everything is done by exact evaluation at rational points; nothing is transformed symbolically. A
polynomial of degree 2 or less is known from three of its values, and two more confirm the degree.

Example:
    >>> from latentseek_agents.tools._steps.equations import find_comparisons
    >>> from latentseek_agents.tools._steps.judgement import judge
    >>> comparisons = find_comparisons("2x + 3 = 13, so x = 4. And (x + 1)^2 = x^2 + 2x + 1.")
    >>> [outcome.status for outcome in judge_algebra(comparisons, judge(comparisons))]
    ['ok', 'wrong', 'ok']
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from random import SystemRandom
from typing import NamedTuple

from latentseek_agents.tools._maths.exact import Evaluation, Number
from latentseek_agents.tools._maths.words import HYPOTHETICAL
from latentseek_agents.tools._steps.arithmetic import Reading, Variable, evaluate, same_value
from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.judgement import Outcome, rounds_to, show
from latentseek_agents.tools._steps.parser import Parse

_MAX_LETTERS = 6
_MAX_STATEMENTS = 60
_GIVEN_WORDS = HYPOTHETICAL | {
    "let", "for", "at", "when", "where", "set", "setting", "given", "put", "putting", "plug", "plugging",
    "substitute", "substituting", "try", "guess", "from",
}  # fmt: skip
_TRIALS = 3
_ENTROPY = SystemRandom()
_SAMPLES = (Fraction(1), Fraction(2), Fraction(3), Fraction(5), Fraction(7, 3))


def judge_algebra(comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Judge the equations with letters that plain arithmetic left open.

    Args:
        comparisons: All equations of the text.
        outcomes: What arithmetic said of each.

    Returns:
        The outcomes with those of readable equations with letters replaced.
    """
    settled = list(outcomes)
    readable = [
        _Statement(index, comparison, *comparison.parses)
        for index, comparison in enumerate(comparisons)
        if comparison.parses is not None and _is_algebra(comparison, *comparison.parses)
    ]
    statements: list[_Statement] = []
    for statement in readable[:_MAX_STATEMENTS]:
        if statement.left.node == statement.right.node:
            settled[statement.index] = Outcome("trivial", None, "both sides are the same", general=True)
        elif statement.is_identity():
            settled[statement.index] = Outcome("ok", None, "an identity", general=True)
        else:
            statements.append(statement)
    values = _concluded(statements)
    for letter in sorted(values):
        own = [statement for statement in statements if statement.letters == {letter}]
        _follow_letter(letter, own, settled, single=len(values[letter]) == 1)
    _substitute(statements, values, settled)
    return settled


def _is_algebra(comparison: Comparison, left: Parse, right: Parse) -> bool:
    doubtful = comparison.disputed or comparison.left.doubt or comparison.right.doubt
    percent = left.has_percent or right.has_percent
    return (
        0 < len(left.letters | right.letters) <= _MAX_LETTERS
        and comparison.sign == "="
        and not doubtful
        and not percent
    )


class _Polynomial(NamedTuple):
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


class _Statement:
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

    def sides_at(self, values: Mapping[str, Number]) -> tuple[Evaluation, Evaluation] | None:
        reading = Reading(variables=values)
        left, right = evaluate(self.left.node, reading), evaluate(self.right.node, reading)
        return None if left is None or right is None else (left, right)

    def holds_at(self, values: Mapping[str, Number]) -> bool:
        sides = self.sides_at(values)
        return sides is not None and same_value(*sides)

    def is_identity(self) -> bool:
        """Whether it holds at points drawn anew: what agrees at a few of them agrees everywhere."""
        return all(self.holds_at({name: _random() for name in self.letters}) for _ in range(_TRIALS))

    def polynomial(self, letter: str) -> _Polynomial | None:
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
        polynomial = _Polynomial(square, slope, one - slope - square)
        confirmed = all(polynomial.at(x) == y for x, y in zip(_SAMPLES[3:], heights[3:], strict=True))
        return polynomial if confirmed else None


def _random() -> Fraction:
    return Fraction(_ENTROPY.randrange(-(10**6), 10**6), _ENTROPY.randrange(500, 3000))


def assignment(side: Parse, other: Parse) -> tuple[str, Number] | None:
    """The letter and its value in ``x = 5``."""
    if not isinstance(side.node, Variable) or side.node.name == "pi" or other.letters:
        return None
    value = evaluate(other.node)
    return None if value is None else (side.node.name, value.value)


def _concluded(statements: Sequence[_Statement]) -> dict[str, list[Number]]:
    """The values that the text concludes for each letter, without repeats."""
    values: dict[str, list[Number]] = {}
    for statement in statements:
        if statement.assignment is not None and not statement.is_given:
            letter, value = statement.assignment
            if value not in values.setdefault(letter, []):
                values[letter].append(value)
    return values


def _follow_letter(
    letter: str, statements: Sequence[_Statement], settled: list[Outcome], *, single: bool
) -> None:
    """Follow the statements about one letter in order: each must keep a solution of the first.

    Args:
        letter: The letter.
        statements: The statements about it alone.
        settled: Where the outcomes are noted.
        single: The text concludes one value; only then can one be refuted.
    """
    statements = _without_trials(letter, statements)
    polynomials = (s.polynomial(letter) for s in statements if s.assignment is None)
    # Without a constant it is a simplification gone wrong or right, and says nothing about the letter.
    first = next((p for p in polynomials if p is None or p.constant != 0), None)
    if first is None or first.is_flat:
        return
    for statement in statements:
        if statement.is_given:
            continue
        if statement.assignment is not None:
            value = statement.assignment[1]
            fits = first.at(value) == 0 or _rounds_to_solution(first, statement, value)
            subject = f"{letter} = {show(value)}"
        else:
            polynomial = statement.polynomial(letter)
            if polynomial is None or polynomial.is_flat or polynomial.constant == 0:
                continue
            fits = _share_solution(first, polynomial)
            subject = "it"
        if fits:
            reason = f"{subject} agrees with the equations stated before"
            settled[statement.index] = Outcome("ok", None, reason)
        elif single:
            solution = "it does not solve the equation before"
            if first.square == 0:
                solution = f"the equation before gives {letter} = {show(-first.constant / first.slope)}"
            settled[statement.index] = Outcome("wrong", None, f"{subject} does not follow: {solution}")
            return


def _without_trials(letter: str, statements: Sequence[_Statement]) -> list[_Statement]:
    """Leave out what is only worked out for a value that is tried: guess x = 5, 2x + 3 = 13."""
    kept: list[_Statement] = []
    trial: Number | None = None
    for statement in statements:
        if statement.assignment is not None:
            trial = statement.assignment[1] if statement.is_given else None
        elif trial is not None and statement.holds_at({letter: trial}):
            continue
        kept.append(statement)
    return kept


def _rounds_to_solution(polynomial: _Polynomial, statement: _Statement, value: Number) -> bool:
    if polynomial.square != 0:
        return polynomial.vanishes_near(value, Fraction(1, 100))
    shown = statement.right if isinstance(statement.left.node, Variable) else statement.left
    root = -polynomial.constant / polynomial.slope
    if shown.operators:
        return abs(root - value) <= abs(root) / 1000
    return rounds_to(root, value, shown.node)


def _share_solution(first: _Polynomial, other: _Polynomial) -> bool:
    if other.square == 0:
        root = -other.constant / other.slope
        # Rounded coefficients may explain the distance.
        return first.vanishes_near(root, max(abs(root), Fraction(1, 10)) / 1000)
    if first.square == 0:
        return other.at(-first.constant / first.slope) == 0
    return True  # two quadratics: the same up to a factor, or doubtful enough not to be refuted


def _substitute(
    statements: Sequence[_Statement], values: Mapping[str, Sequence[Number]], settled: list[Outcome]
) -> None:
    """Put values into equations of several letters; a failure is only reported, never a refutation."""
    known = {letter: concluded[0] for letter, concluded in values.items() if len(concluded) == 1}
    for statement in statements:
        if len(statement.letters) < 2 or not statement.letters <= known.keys():
            continue
        point = ", ".join(f"{letter} = {show(known[letter])}" for letter in sorted(statement.letters))
        holds = Outcome("ok", None, f"holds for {point}")
        fails = Outcome("unverifiable", None, f"does not hold for {point}")
        settled[statement.index] = holds if statement.holds_at(known) else fails
