"""Check equations with letters: identities, solutions of stated equations, substituted values.

Everything is done by exact evaluation at rational points; nothing is transformed symbolically. A
polynomial of degree 2 or less is known from three of its values, and two more confirm the degree.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from random import SystemRandom

from latentseek_agents.tools._steps.arithmetic import Evaluation, Reading, Variable, evaluate, same_value
from latentseek_agents.tools._steps.comparison import Outcome, rounds_to, show
from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.tokens import Number
from latentseek_agents.tools._words import HYPOTHETICAL

__all__ = ["check_algebra"]

_MAX_LETTERS = 6
_MAX_STATEMENTS = 60
_GIVEN_WORDS = HYPOTHETICAL | {
    "let", "for", "at", "when", "where", "set", "setting", "given", "put", "putting", "plug", "plugging",
    "substitute", "substituting", "try", "guess", "from",
}  # fmt: skip
_TRIALS = 3
_ENTROPY = SystemRandom()
_SAMPLES = (Fraction(1), Fraction(2), Fraction(3), Fraction(5), Fraction(7, 3))


def _random_point() -> Fraction:
    """An arbitrary point, drawn anew: what agrees at a few of them agrees everywhere."""
    return Fraction(_ENTROPY.randrange(-(10**6), 10**6), _ENTROPY.randrange(500, 3000))


class _Statement:
    """One readable equation with letters."""

    def __init__(self, index: int, comparison: Comparison) -> None:
        self.index = index
        self.comparison = comparison
        left, right = comparison.left.parse, comparison.right.parse
        if left is None or right is None:
            raise ValueError("a statement needs two readable sides")
        self.left, self.right = left, right
        self.letters = left.letters | right.letters

    def assignment(self) -> tuple[str, Evaluation] | None:
        """The letter and its value in ``x = 5`` or ``5 = x``."""
        for side, other in ((self.left, self.right), (self.right, self.left)):
            if isinstance(side.node, Variable) and side.node.name != "pi" and not other.letters:
                value = evaluate(other.node)
                return None if value is None else (side.node.name, value)
        return None

    def is_given(self) -> bool:
        """Whether the text supposes it instead of concluding it."""
        side = self.comparison.left
        words = side.tokens[max(0, side.start - 3) : side.start]
        stop = self.comparison.right.stop
        if stop < len(side.tokens) and side.tokens[stop].text == ":" and self.assignment() is not None:
            return True  # "x = 5: 2x + 3 = 13, too big"
        return any(token.kind == "word" and token.text.lower() in _GIVEN_WORDS for token in words)

    def sides_at(self, values: Mapping[str, Number]) -> tuple[Evaluation, Evaluation] | None:
        reading = Reading(variables=values)
        left, right = evaluate(self.left.node, reading), evaluate(self.right.node, reading)
        return None if left is None or right is None else (left, right)

    def holds_at(self, values: Mapping[str, Number]) -> bool | None:
        sides = self.sides_at(values)
        return None if sides is None else same_value(*sides)

    def is_identity(self) -> bool:
        names = sorted(self.letters)
        return all(self.holds_at({name: _random_point() for name in names}) for _ in range(_TRIALS))

    def polynomial(self, letter: str) -> tuple[Fraction, Fraction, Fraction] | None:
        """Coefficients (of x², x, 1) of left minus right, or None if that is no such polynomial."""
        heights: list[Fraction] = []
        for point in _SAMPLES:
            sides = self.sides_at({letter: point})
            if sides is None or not (sides[0].exact and sides[1].exact):
                return None
            heights.append(Fraction(sides[0].value) - sides[1].value)
        one, two, three = heights[:3]
        square = (three - 2 * two + one) / 2
        slope = two - one - 3 * square
        constant = one - slope - square
        for point, height in zip(_SAMPLES[3:], heights[3:], strict=True):
            if square * point * point + slope * point + constant != height:
                return None
        return square, slope, constant


def check_algebra(comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Judge the equations with letters that plain arithmetic left open.

    Args:
        comparisons: All equations of the text.
        outcomes: What arithmetic said of each.

    Returns:
        The outcomes with those of readable equations with letters replaced.
    """
    settled = list(outcomes)
    statements = [_Statement(i, c) for i, c in enumerate(comparisons) if _is_readable(c)][:_MAX_STATEMENTS]
    open_: list[_Statement] = []
    for statement in statements:
        if statement.left.node == statement.right.node:
            settled[statement.index] = Outcome("trivial", None, "both sides are the same", general=True)
        elif statement.is_identity():
            settled[statement.index] = Outcome("ok", None, "an identity", general=True)
        else:
            open_.append(statement)
    values = _assigned(open_)
    for letter in sorted(values):
        own = [statement for statement in open_ if statement.letters == {letter}]
        _check_letter(letter, own, values[letter], settled)
    _substitute(open_, values, settled)
    return settled


def _is_readable(comparison: Comparison) -> bool:
    left, right = comparison.left, comparison.right
    if left.parse is None or right.parse is None or comparison.sign != "=" or comparison.disputed:
        return False
    letters = left.parse.letters | right.parse.letters
    if not 0 < len(letters) <= _MAX_LETTERS or left.doubt or right.doubt:
        return False
    return not (left.parse.has_percent or right.parse.has_percent)


def _assigned(statements: Sequence[_Statement]) -> dict[str, list[Number]]:
    """The values that the text concludes for each letter, without repeats."""
    values: dict[str, list[Number]] = {}
    for statement in statements:
        found = statement.assignment()
        if (
            found is not None
            and not statement.is_given()
            and found[1].value not in values.setdefault(found[0], [])
        ):
            values[found[0]].append(found[1].value)
    return values


def _check_letter(
    letter: str, statements: Sequence[_Statement], values: Sequence[Number], settled: list[Outcome]
) -> None:
    """Follow the statements about one letter in order: each must keep a solution of the first."""
    statements = _without_trials(letter, statements)
    equations = [s for s in statements if s.assignment() is None]
    if not equations:
        return
    # Without a constant it is a simplification gone wrong or right, and says nothing about the letter.
    first = next((p for s in equations if (p := s.polynomial(letter)) is None or p[2] != 0), None)
    if first is None or _is_flat(first):
        return
    single = len(values) == 1
    refuted = False
    for statement in statements:
        if statement.is_given():
            continue
        found = statement.assignment()
        if found is not None:
            fits = _solves(first, found[1].value) or _rounds_to_solution(first, statement, found[1].value)
            told = f"{letter} = {show(found[1].value)}"
        else:
            polynomial = statement.polynomial(letter)
            if polynomial is None or _is_flat(polynomial) or polynomial[2] == 0:
                continue
            fits = _share_solution(first, polynomial)
            told = "it"
        if fits and not refuted:
            settled[statement.index] = Outcome("ok", None, f"{told} agrees with the equations stated before")
        elif not fits and single and not refuted:
            refuted = True
            solution = _solution_text(letter, first)
            settled[statement.index] = Outcome("wrong", None, f"{told} does not follow: {solution}")


def _without_trials(letter: str, statements: Sequence[_Statement]) -> list[_Statement]:
    """Leave out what is only worked out for a value that is tried: guess x = 5, 2x + 3 = 13."""
    kept: list[_Statement] = []
    trial: Number | None = None
    for statement in statements:
        found = statement.assignment()
        if found is not None:
            trial = found[1].value if statement.is_given() else None
        elif trial is not None and statement.holds_at({letter: trial}):
            continue
        kept.append(statement)
    return kept


def _is_flat(polynomial: tuple[Fraction, Fraction, Fraction]) -> bool:
    return not (polynomial[0] or polynomial[1])


def _solves(polynomial: tuple[Fraction, Fraction, Fraction], value: Number) -> bool:
    square, slope, constant = polynomial
    return square * value * value + slope * value + constant == 0


def _rounds_to_solution(
    polynomial: tuple[Fraction, Fraction, Fraction], statement: _Statement, value: Number
) -> bool:
    square, slope, constant = polynomial
    shown = statement.right if isinstance(statement.left.node, Variable) else statement.left
    if square != 0:  # irrational solutions: near enough that the rest vanishes at that point
        width = abs(2 * square * value + slope) * Fraction(1, 100)
        return abs(square * value * value + slope * value + constant) <= width
    root = -constant / slope
    if shown.operators:
        return abs(root - value) <= abs(root) / 1000
    return rounds_to(root, value, shown.node, loose=False)


def _share_solution(
    first: tuple[Fraction, Fraction, Fraction], other: tuple[Fraction, Fraction, Fraction]
) -> bool:
    if other[0] == 0:
        root = -other[2] / other[1]
        return _solves(first, root) or _is_near_root(first, root)
    if first[0] == 0:
        return _solves(other, -first[2] / first[1])
    # Two quadratics: the same up to a factor, or doubtful enough not to be refuted.
    return True


def _is_near_root(polynomial: tuple[Fraction, Fraction, Fraction], value: Fraction) -> bool:
    """Whether rounded coefficients explain the distance from a solution."""
    square, slope, constant = polynomial
    width = abs(2 * square * value + slope) * max(abs(value), Fraction(1, 10)) / 1000
    return abs(square * value * value + slope * value + constant) <= width


def _solution_text(letter: str, polynomial: tuple[Fraction, Fraction, Fraction]) -> str:
    square, slope, constant = polynomial
    if square == 0:
        return f"the equation before gives {letter} = {show(-constant / slope)}"
    return "it does not solve the equation before"


def _substitute(
    statements: Sequence[_Statement], values: Mapping[str, Sequence[Number]], settled: list[Outcome]
) -> None:
    """Put values into equations of several letters; a failure is only reported, never a refutation."""
    known = {letter: found[0] for letter, found in values.items() if len(found) == 1}
    for statement in statements:
        if len(statement.letters) < 2 or not statement.letters <= known.keys():
            continue
        point = ", ".join(f"{letter} = {show(known[letter])}" for letter in sorted(statement.letters))
        if statement.holds_at(known):
            settled[statement.index] = Outcome("ok", None, f"holds for {point}")
        else:
            settled[statement.index] = Outcome("unverifiable", None, f"does not hold for {point}")
