"""Where the numbers of a solution come from, and what each result depends on.

Only equations that hold may ground the operands of later ones. And a number counts as used only if a
change of it changes the result: every result knows what it would be if a number of the question were
another one, so that what cancels, is multiplied by 0 or raised to the power of 0 proves nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import SystemRandom
from types import MappingProxyType

from latentseek_agents.tools._steps.arithmetic import (
    Binary,
    Evaluation,
    Literal,
    Node,
    Reading,
    Variable,
    evaluate,
)
from latentseek_agents.tools._steps.comparison import HOLDS, Outcome, rounds_to
from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.reader import Parse
from latentseek_agents.tools._steps.tokens import Number

__all__ = ["Ledger", "Result", "read_ledger"]

# Numbers that need no source: small counts, clock and calendar, measures, percent, powers of ten.
_CONSTANTS = frozenset(
    [*(Fraction(number) for number in range(13)), Fraction(1, 2)]
    + [Fraction(number) for number in (16, 24, 30, 36, 52, 60, 100, 365, 1000, 1760, 3600, 5280, 10000)]
)
_MAX_NEAR = 20
_MAX_STRANGERS = 40
_MAX_PROBES = 4000
_MAX_QUICK_BITS = 500
_ENTROPY = SystemRandom()

Shifts = dict[int, Number]
"""For each number of the question that a value depends on: the value if that number were another one."""


@dataclass(slots=True)
class Result:
    """What an equation shows.

    Args:
        value: The value as shown.
        exact: The value as computed.
        sound: The equation holds, and every number in it has a source.
        shifts: What it depends on.
        derived: It is computed from the question's numbers, and nothing was rounded away unsaid.
        percent: It is shown with a percent sign.
        used: A later step uses it.
    """

    value: Number
    exact: Number
    sound: bool = False
    shifts: Shifts = field(default_factory=dict)
    derived: bool = False
    percent: bool = False
    used: bool = False


class Ledger:
    """The results of a solution in order, with what they depend on.

    Args:
        given: The values of each number of the question.
        spare: More numbers of the question, which a solution need not use.
        rounding: The question asks for a rounded result.
    """

    def __init__(
        self, given: Sequence[frozenset[Fraction]], spare: Iterable[Fraction] = (), *, rounding: bool = False
    ) -> None:
        self.given = given
        self.rounding = rounding
        self.results: list[Result] = []
        self.strangers: list[Number] = []
        self.seen: set[int] = set()
        """The numbers of the question that some result depends on."""
        self._places: dict[Number, list[int]] = {}
        self._owners: dict[Number, list[int]] = {}
        for number, values in enumerate([*given, *(frozenset({value}) for value in spare)]):
            for value in values:
                self._owners.setdefault(value, []).append(number)
        self._given_fractions = [value for value in self._owners if value.denominator != 1][:_MAX_NEAR]
        self._scale = _ENTROPY.randrange(10**3, 10**6)
        self._probes = 0
        # The algebra of a solution: the letters that grounded equations are about, and what those depend on.
        self.letters: set[str] = set()
        self.algebra: set[int] = set()

    def shifted(self, value: Number, number: int) -> Number:
        """A value that is given as a number of the question, if that number were another one."""
        # No mere multiple: 3/4 would stay what it is if both of its parts were scaled.
        return value * (self._scale + number) + 1

    def source(self, literal: Literal) -> Shifts | None:
        """What an operand depends on; None if it comes from nowhere."""
        value = literal.value
        places = self._places.get(value)
        if places is None and (literal.places > 0 or self.rounding):
            places = self._near_results(literal)
        shifts: Shifts = {}
        grounded = False
        for index in places or ():
            result = self.results[index]
            result.used = True
            if result.sound:
                grounded = True
                for number, other in result.shifts.items():
                    shifts[number] = _carried(value, result, other)
        owners = self._owners.get(value)
        if owners is None and not grounded and literal.places > 0:
            near = (given for given in self._given_fractions if _rounds(given, literal))
            owners = next((self._owners[given] for given in near), None)
        for number in owners or ():
            shifts.setdefault(number, self.shifted(value, number))
        return shifts if grounded or owners or value in _CONSTANTS else None

    def _near_results(self, literal: Literal) -> list[int]:
        first = max(0, len(self.results) - _MAX_NEAR)
        return [
            index
            for index in range(first, len(self.results))
            if _rounds(self.results[index].exact, literal) or self._rounds_whole(index, literal)
        ]

    def _rounds_whole(self, index: int, literal: Literal) -> bool:
        return self.rounding and rounds_to(self.results[index].exact, literal.value, literal, loose=False)

    def sources(self, parse: Parse, *, strict: bool) -> dict[Number, Shifts] | None:
        """What each operand of a side depends on; None if one comes from nowhere."""
        found: dict[Number, Shifts] = {}
        complete = True
        for literal in parse.literals:
            if literal.value in found:
                continue
            shifts = self.source(literal)
            if shifts is not None:
                found[literal.value] = shifts
                continue
            complete = False
            if strict and len(self.strangers) < _MAX_STRANGERS:
                self.strangers.append(literal.value)
        return found if complete else None

    def dependence(
        self,
        node: Node,
        sources: Mapping[Number, Shifts],
        base: Evaluation | None,
        variables: Mapping[str, Number] = MappingProxyType({}),
    ) -> Shifts:
        """How a value changes with each number of the question that it depends on."""
        numbers = {number for shifts in sources.values() for number in shifts}
        found: Shifts = {}
        for number in sorted(numbers):
            self._probes += 1
            if base is None or self._probes > _MAX_PROBES:
                break
            replaced = {value: shifts[number] for value, shifts in sources.items() if number in shifts}
            quick = _simple_value(node, replaced)
            if quick is not None:
                if quick != base.value:
                    found[number] = quick
                continue
            other = evaluate(node, Reading(replacements=replaced, variables=variables))
            if other is None:  # a power or a factorial beyond the limits, perhaps: a small step instead
                replaced = {value: value + 1 for value in replaced}
                other = evaluate(node, Reading(replacements=replaced, variables=variables))
            if other is not None and other.value != base.value:
                found[number] = other.value
        return found

    def add(self, result: Result) -> None:
        """Note a result."""
        index = len(self.results)
        self.results.append(result)
        values = {result.value, result.value * 100} if result.percent else {result.value}
        for value in values:
            places = self._places.setdefault(value, [])
            if len(places) < _MAX_NEAR:
                places.append(index)
        if result.derived:
            self.seen.update(result.shifts)


def _simple_value(node: Node, replaced: Mapping[Number, Number]) -> Number | None:
    """The value of one operation on two numbers, some of them replaced; None for anything else."""
    if not isinstance(node, Binary) or not (
        isinstance(node.left, Literal) and isinstance(node.right, Literal) and node.operator in "+-*"
    ):
        return None
    left = replaced.get(node.left.value, node.left.value)
    right = replaced.get(node.right.value, node.right.value)
    if max(n.bit_length() for v in (left, right) for n in (v.numerator, v.denominator)) > _MAX_QUICK_BITS:
        return None
    return left + right if node.operator == "+" else left - right if node.operator == "-" else left * right


def _rounds(exact: Number, literal: Literal) -> bool:
    """Whether an operand is a value rounded at decimals that it shows."""
    return literal.places > 0 and rounds_to(exact, literal.value, literal, loose=False, whole=False)


def _carried(value: Number, result: Result, other: Number) -> Number:
    """What an operand that shows a result would be, if the result were another one."""
    if value == result.exact:
        return other
    return Fraction(value) * other / result.exact if result.exact else value + other


def read_ledger(ledger: Ledger, comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]) -> None:
    """Follow the equations of a solution through a ledger.

    Args:
        ledger: Where results are noted.
        comparisons: The equations of the solution.
        outcomes: What was found about each.
    """
    values = _concluded(comparisons, outcomes)
    carried: Result | None = None
    for comparison, outcome in zip(comparisons, outcomes, strict=True):
        left, right = comparison.left.parse, comparison.right.parse
        before, carried = carried if comparison.continues else None, None
        if left is None or right is None:
            continue
        if left.letters or right.letters:
            _read_algebra(ledger, left, right, outcome, values)
        else:
            carried = _read_arithmetic(ledger, comparison, left, right, outcome, before)


def _read_arithmetic(
    ledger: Ledger,
    comparison: Comparison,
    left: Parse,
    right: Parse,
    outcome: Outcome,
    before: Result | None,
) -> Result | None:
    """Note the result of one equation; returns it if the right side is equal to it."""
    holds = outcome.status in HOLDS
    strict = outcome.status != "unverifiable"
    running = outcome.status == "running"
    shown, computed = (right, left) if left.operators or not right.operators else (left, right)
    if running or (left.operators and right.operators):
        shown = left
    exact = evaluate(computed.node)
    written = shown.node
    value = Evaluation(written.value, exact=True) if isinstance(written, Literal) else evaluate(written)
    if before is not None and before.sound:
        _touch(ledger, left)
        sources: dict[Number, Shifts] | None = {}
        shifts = before.shifts
    else:
        sources = ledger.sources(computed, strict=strict and bool(computed.operators))
        shifts = {} if sources is None else ledger.dependence(computed.node, sources, exact)
    if left.operators and right.operators and not running:
        _touch(ledger, right)
    if value is None or exact is None:
        return None
    sound = (holds or outcome.status == "trivial") and sources is not None
    rounded = _is_rounded_away(comparison, exact.value, value.value)
    result = Result(
        value.value,
        exact.value,
        sound=sound and (ledger.rounding or not rounded),
        shifts=shifts if sound else {},
        derived=sound and holds and bool(shifts) and (ledger.rounding or not rounded),
        percent=shown.has_percent,
    )
    ledger.add(result)
    return result if result.sound and not running else None


def _touch(ledger: Ledger, parse: Parse) -> None:
    """Mark the results that a side uses, whatever it depends on."""
    if parse.operators:
        for literal in parse.literals:
            ledger.source(literal)


def _is_rounded_away(comparison: Comparison, exact: Number, shown: Number) -> bool:
    """Whether more was rounded than decimals: a whole number for a broken one unsaid, or for another one."""
    if exact == shown or shown.denominator != 1:
        return False
    said = comparison.sign == "≈" or any(
        side.parse is not None and side.parse.approximate for side in (comparison.left, comparison.right)
    )
    return exact.denominator == 1 if said else abs(Fraction(exact) - shown) < 1


def _read_algebra(
    ledger: Ledger, left: Parse, right: Parse, outcome: Outcome, values: Mapping[str, Number]
) -> None:
    """Note an equation with letters.

    The first equations about some letters state what the question gives, and need grounded numbers; what
    follows from them, as the check of the algebra has found, needs none.
    """
    letters = left.letters | right.letters
    follows = bool(letters) and letters <= ledger.letters and outcome.status in HOLDS
    if outcome.general or outcome.status == "wrong":
        follows = False
    elif not follows:
        sources = [ledger.sources(parse, strict=outcome.status != "unverifiable") for parse in (left, right)]
        if outcome.status in HOLDS and all(found is not None for found in sources):
            follows = True
            if not isinstance(left.node, Variable) or right.operators:
                ledger.letters |= letters
            difference = Binary("-", left.node, right.node)
            point = {letter: values.get(letter, 7919 + len(letter)) for letter in letters}
            merged = {value: shifts for found in sources if found for value, shifts in found.items()}
            ledger.algebra |= ledger.dependence(
                difference, merged, evaluate(difference, Reading(variables=point)), point
            ).keys()
    shown = _result_side(left, right)
    value = None if shown is None else evaluate(shown.node)
    if shown is None or value is None:
        return
    shifts = {number: ledger.shifted(value.value, number) for number in ledger.algebra} if follows else {}
    ledger.add(
        Result(
            value.value,
            value.value,
            follows,
            shifts,
            derived=bool(shifts),
            percent=shown.has_percent,
            used=True,
        )
    )


def _result_side(left: Parse, right: Parse) -> Parse | None:
    """The side that shows a result: a bare number, or what a letter is equal to."""
    for side in (right, left):
        if side.operators == 0 and not side.letters:
            return side
    return right if left.letters and not right.letters else None


def _concluded(comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]) -> dict[str, Number]:
    """The values that letters are found to have."""
    values: dict[str, Number] = {}
    for comparison, outcome in zip(comparisons, outcomes, strict=True):
        left, right = comparison.left.parse, comparison.right.parse
        if left is None or right is None or outcome.status not in HOLDS or right.letters:
            continue
        if isinstance(left.node, Variable):
            value = evaluate(right.node)
            if value is not None:
                values[left.node.name] = value.value
    return values
