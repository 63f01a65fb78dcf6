"""Equations to findings: does each hold, in one of the ways in which people write equal things?

The first reading is the plain one. Only if it fails are the other honest readings tried: rounding at the
digits shown, percent signs, operands that were rounded before, converted units, and so on. What no
reading explains is wrong, unless there is a reason to doubt that it was read as it was meant: units of
different sizes, questions and retractions, dashes that may be minus signs. Then it is unverifiable.

Example:
    >>> from latentseek_agents.tools._steps.equations import find_comparisons
    >>> [outcome.status for outcome in judge(find_comparisons("5/3 = 1.67, 2 + 2 = 4 and 3 + 3 = 7"))]
    ['rounded', 'ok', 'wrong']
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Literal as Choice

from latentseek_agents.tools._maths.exact import Evaluation, Number
from latentseek_agents.tools._maths.words import (
    SHORT_UNITS,
    UNREAD_SCALES,
    WORD_OPERATORS,
    conversion_factors,
    may_convert,
)
from latentseek_agents.tools._steps.arithmetic import (
    PLAIN,
    Binary,
    Literal,
    Node,
    Percent,
    Reading,
    Sign,
    Unary,
    Variable,
    evaluate,
    same_value,
)
from latentseek_agents.tools._steps.equations import Comparison, Side
from latentseek_agents.tools._steps.meanings import EVERYDAY, Meaning
from latentseek_agents.tools._steps.parser import Parse, parse_at
from latentseek_agents.tools._steps.tokens import Token

Status = Choice["ok", "rounded", "converted", "running", "trivial", "wrong", "unverifiable"]
"""What is said of an equation.

``ok``: exactly true. ``rounded``: true at the digits shown. ``converted``: true after a conversion of
percent or units. ``running``: "5 * 2 = 10 + 3 = 13", sloppy but no slip. ``trivial``: true of anything,
such as 5 = 5. ``wrong``: refuted. ``unverifiable``: everything else.
"""

HOLDS = ("ok", "rounded", "converted", "running")
"""The statuses of equations that hold and say something."""

_PIS = (Fraction(157, 50), Fraction(22, 7), Fraction(3927, 1250), Fraction(31415, 10000), 3)
_NEUTRAL_RIGHT = {"+": 0, "-": 0, "*": 1, "/": 1, "^": 1}
_NEUTRAL_LEFT = {"+": 0, "*": 1}
_LONGEST_PRODUCT = 3
_MAX_TERMS = 40
_CLOCK = frozenset(("am", "pm"))
_HOURS = 12
_HOUR_NAMES = frozenset(("hour", "hours", "hr", "hrs", "h"))
_ELLIPSES = frozenset(("…", "\\dots", "\\ldots", "\\cdots", "\\vdots"))
_FEWEST_TERMS = 3
_THIRD = 3
_SHARED_DIGITS = 40
_SHARED = 10**_SHARED_DIGITS
_TWO_WAYS = "it can be read in two ways"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found about an equation.

    Args:
        status: The finding.
        value: The exact value of the computed side, if there is one.
        reason: Why, in words.
        differs: A side was computed and is not what the other side says, even if there is a doubt
            whether it was read right.
        general: It is true whatever its letters stand for.
    """

    status: Status
    value: Number | None
    reason: str
    differs: bool = False
    general: bool = False


def judge(comparisons: Sequence[Comparison], meaning: Meaning = EVERYDAY) -> list[Outcome]:
    """Judge the equations of a text in order, those with letters apart.

    Args:
        comparisons: All equations of the text.
        meaning: What the question says about the numbers.

    Returns:
        For each its status, the exact value of its computed side and why.
    """
    rounded: dict[Number, Number] = {}  # results that were shown rounded, with their exact values
    known: set[Number] = set()  # results of earlier equations that hold
    outcomes: list[Outcome] = []
    for comparison in comparisons:
        try:
            outcome = _compare(comparison, rounded)
        except RecursionError:  # the caller's own stack may be nearly full
            outcome = Outcome("unverifiable", None, "the calculation is nested too deeply")
        if outcome.status == "wrong":
            outcome = _as_asked(comparison, outcome, meaning)
        if outcome.status == "wrong":
            outcome = _without_slip(comparison, outcome, known)
        elif outcome.status in HOLDS and outcome.value is not None:
            known.add(_nearly(outcome.value))
        outcomes.append(outcome)
    return outcomes


def _as_asked(comparison: Comparison, wrong: Outcome, meaning: Meaning) -> Outcome:
    """A refuted equation as it is, or without the refutation if the question explains it."""
    for reading in comparison.readings:
        nodes = [side.node for side in reading.parses or ()]
        values = [value.value for node in nodes if (value := evaluate(node)) is not None]
        if len(values) > 1 and (doubt := meaning.explains(nodes, *values)):
            return replace(wrong, status="unverifiable", reason=f"{wrong.reason}, but {doubt}")
    return wrong


def _without_slip(comparison: Comparison, outcome: Outcome, known: Collection[Number]) -> Outcome:
    """A refuted equation as it is, or without the refutation if what it states was shown before it.

    Where 98 was computed, "98 = 2 * 7 * 14" says something wrong about it and computes nothing. And where
    an irrational number was shown, another expression for it is not what it comes from.
    """
    if comparison.parses is None or comparison.continues:
        return outcome
    left, right = comparison.parses
    splits = left.operators == 0 and right.operators > 0
    stated = evaluate(left.node if splits else right.node)
    if stated is None or _nearly(stated.value) not in known or (stated.exact and not splits):
        return outcome
    reason = f"{outcome.reason}, but {show(stated.value)} was shown before"
    return replace(outcome, status="unverifiable", reason=reason)


def without_credit(comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, without credit for what holds but shows nothing: repeats and disputed equations."""
    known: set[tuple[str, ...]] = set()
    credited = list(outcomes)
    for index, (comparison, outcome) in enumerate(zip(comparisons, outcomes, strict=True)):
        if outcome.status not in HOLDS:
            continue
        left, right = comparison.left, comparison.right
        spelling = tuple(token.text for token in left.tokens[left.start : right.stop])
        if comparison.disputed:
            credited[index] = Outcome("unverifiable", outcome.value, "the text does not claim it")
        elif spelling in known:
            credited[index] = Outcome("trivial", outcome.value, "it repeats an earlier step")
        known.add(spelling)
    return credited


def _nearly(value: Number) -> Number:
    """A value at the digits that approximations of one irrational number share."""
    return round(Fraction(value), _SHARED_DIGITS) if value.denominator > _SHARED else value


def _compare(comparison: Comparison, rounded: dict[Number, Number]) -> Outcome:
    """Judge one equation, and note its result if it is shown rounded."""
    sides = comparison.parses
    if sides is None:
        return Outcome("unverifiable", None, "one side could not be read as arithmetic")
    left, right = sides
    if comparison.modulus:
        return Outcome("unverifiable", None, "it is a congruence")
    if left.letters or right.letters:
        return Outcome("unverifiable", None, "it contains variables")
    if comparison.labelled and left.operators == 0 and not comparison.continues:
        return Outcome("unverifiable", None, "the left side is a name with a number, not a calculation")
    one, other = evaluate(left.node), evaluate(right.node)
    if one is None or other is None:
        return Outcome("unverifiable", None, "a side is undefined or too large to compute")
    outcome = _Equation(comparison, left, right, one, other).judge(rounded)
    if outcome.status == "wrong":
        outcome = _in_other_reading(comparison, outcome, rounded)
    if outcome.status == "rounded" and outcome.value is not None and not right.operators:
        rounded[other.value] = outcome.value
    return outcome


def _in_other_reading(comparison: Comparison, wrong: Outcome, rounded: dict[Number, Number]) -> Outcome:
    """A refuted equation as it is, or what another reading of a side says: 60/5(2) = 6."""
    for reading in comparison.readings[1:]:
        left, right = reading.parses or (None, None)
        one, other = (evaluate(side.node) if side is not None else None for side in (left, right))
        if left is None or right is None or one is None or other is None:
            return replace(wrong, status="unverifiable", reason=f"{wrong.reason}, but {_TWO_WAYS}")
        outcome = _Equation(reading, left, right, one, other).judge(rounded)
        if outcome.status != "wrong":
            return replace(outcome, reason=f"{outcome.reason}; {_TWO_WAYS}")
    return wrong


def show(value: Number) -> str:
    """A short decimal or fraction.

    Example:
        >>> show(Fraction(5, 2)), show(Fraction(1, 3)), show(10**30)
        ('2.5', '1/3', 'about 1e+30')
    """
    if value.numerator.bit_length() > 90 or value.denominator.bit_length() > 90:
        if 10**-4 < abs(Fraction(value)) < 10**9:  # a root or pi
            return f"about {float(value):.6g}"
        digits = len(str(abs(value.numerator))) - len(str(value.denominator))
        return f"about 1e{digits:+d}" if digits else "about 1"
    if value.denominator == 1:
        return str(value)
    shown = Fraction(round(value * 10**6), 10**6)
    if shown == value:
        return f"{float(value):.6f}".rstrip("0")
    return f"{value.numerator}/{value.denominator}" if value.denominator < 1000 else f"{float(value):.6g}"


@dataclass(slots=True)
class _Equation:
    """Two sides that were read, with their plain values."""

    comparison: Comparison
    left: Parse
    right: Parse
    one: Evaluation
    other: Evaluation

    def judge(self, rounded: Mapping[Number, Number]) -> Outcome:
        one, other, left, right = self.one, self.other, self.left, self.right
        value = one.value if left.operators or not right.operators else other.value
        if same_value(one, other):
            if _is_trivial(left, right):
                return Outcome("trivial", value, "true of any numbers, so it shows nothing")
            return Outcome("ok", value, "exact")
        loose = self.comparison.sign == "≈" or left.approximate or right.approximate
        if self.rounds(one, other, loose=loose):
            return Outcome("rounded", value, f"{show(value)} rounds to the digits shown")
        if (outcome := self.other_reading(value, rounded)) is not None:
            return outcome
        reason = f"{show(one.value)} is not {show(other.value)}"
        differs = left.operators > 0 or right.operators > 0
        if doubt := self.doubt(loose=loose):
            return Outcome("unverifiable", value, f"{reason}, but {doubt}", differs=differs)
        return Outcome("wrong", value, reason, differs=differs)

    # -- readings --------------------------------------------------------------------------------------

    def other_reading(self, value: Number, rounded: Mapping[Number, Number]) -> Outcome | None:
        """The outcome of the first other reading that makes the sides equal."""
        left, right = self.left, self.right
        for left_reading, right_reading, outcome in self.readings(value, rounded):
            first, second = evaluate(left.node, left_reading), evaluate(right.node, right_reading)
            # Unrounded operands leave no room for a result that is rounded to a whole number.
            whole = not (left_reading.replacements or right_reading.replacements)
            if first is not None and second is not None and self.agree(first, second, whole=whole):
                return outcome
        for factor in self.conversions():
            if self.agree(Evaluation(self.one.value * factor, self.one.exact), self.other, whole=False):
                fact = left.operators == 0 and right.operators == 0
                return Outcome("trivial" if fact else "converted", value, "true after converting the units")
        tight = _with_tight_fractions(self.comparison.left)
        if tight is not None and self.agree(tight, self.other):
            return Outcome("ok", tight.value, "exact, with the fraction written without spaces bound first")
        if right.operators and _starts_with(right.node, self.one.value):
            return Outcome("running", value, "the calculation goes on after its result")
        return None

    def readings(
        self, value: Number, rounded: Mapping[Number, Number]
    ) -> Iterator[tuple[Reading, Reading, Outcome]]:
        """Pairs of readings of the two sides, with what is said if these make the sides equal."""
        left, right = self.left, self.right
        if left.has_percent or right.has_percent:
            meant = Outcome("converted", value, "true with the percent sign read as it is meant")
            for first, second in product(("hundredths", "plain", "change"), ("hundredths", "plain")):
                yield Reading(percent=first), Reading(percent=second), meant
        unrounded = Outcome("rounded", value, "true with the unrounded operands")
        percents = ("hundredths", "change") if left.has_percent or right.has_percent else ("hundredths",)
        for replacements in self.unrounded(rounded):
            for percent in percents:
                exact = Reading(replacements=replacements, percent=percent)
                yield exact if left.operators else PLAIN, exact if right.operators else PLAIN, unrounded
        if not (self.one.exact and self.other.exact):
            for pi in _PIS:
                short = Reading(pi=pi)
                yield short, short, Outcome("rounded", value, "true with a rounded value of π")

    def unrounded(self, rounded: Mapping[Number, Number]) -> Iterator[Mapping[Number, Number]]:
        """Exact values for operands that were rounded: earlier results, and thirds such as 0.33 and 33.3%."""
        operands = [item for side in (self.left, self.right) if side.operators for item in side.literals]
        earlier = {item.value: rounded[item.value] for item in operands if item.value in rounded}
        thirds = {item.value: third for item in operands if (third := _repeating(item)) is not None}
        percents = [
            item for side in (self.left, self.right) if side.operators for item in _percents(side.node)
        ]
        thirds |= {item.value: third for item in percents if (third := _repeating_percent(item)) is not None}
        both = {**thirds, **earlier} if thirds and earlier else {}
        yield from filter(None, (earlier, thirds, both))

    def conversions(self) -> set[Fraction]:
        """The ratios between the units that stand in the equation."""
        currency = self.left.has_currency or self.right.has_currency
        return conversion_factors(self.units(), currency=currency)

    def agree(self, one: Evaluation, other: Evaluation, *, whole: bool = True) -> bool:
        return same_value(one, other) or self.rounds(one, other, whole=whole)

    def rounds(self, one: Evaluation, other: Evaluation, *, loose: bool = False, whole: bool = True) -> bool:
        """Whether one side is the other at the digits that it shows."""
        left, right = self.left, self.right
        if right.operators == 0 and rounds_to(one.value, other.value, right.node, loose=loose, whole=whole):
            return left.operators > 0 or one.value.denominator != 1
        if left.operators == 0 and right.operators > 0:
            return rounds_to(other.value, one.value, left.node, loose=loose, whole=whole)
        return False

    # -- doubts ----------------------------------------------------------------------------------------

    def doubt(self, *, loose: bool) -> str:
        """The first reason why the two sides, which differ, may be equal after all; "" if there is none."""
        comparison = self.comparison
        if comparison.left.doubt or comparison.right.doubt:
            return comparison.left.doubt or comparison.right.doubt
        if comparison.disputed:
            return "the text does not claim it"
        doubts = self.doubts_of_units() | self.doubts_of_values(loose=loose) | self.doubts_of_notation()
        return next((reason for reason, applies in doubts.items() if applies), "")

    def doubts_of_units(self) -> dict[str, bool]:
        units = set(self.units())
        converts = bool(self.conversions())
        ratio = abs(Fraction(self.other.value) / self.one.value) if self.one.value else Fraction(0)
        return {
            "units of different sizes are added": _mixes_units(self.left) or _mixes_units(self.right),
            "a word such as dozen may multiply": not UNREAD_SCALES.isdisjoint(units),
            "it may be about times of the day": not _CLOCK.isdisjoint(units),
            "areas or volumes may be converted": converts and any("^" in unit for unit in units),
            "units may be converted unsaid": converts and ratio != 0 and may_convert(units, ratio),
        }

    def doubts_of_values(self, *, loose: bool) -> dict[str, bool]:
        one, other = Fraction(self.one.value), Fraction(self.other.value)
        gap = abs(one - other)
        both = self.left.operators > 0 and self.right.operators > 0
        literals = (*self.left.literals, *self.right.literals)
        grouped = {item.value: item.value * 1000 for item in literals if item.places == 3}  # 1.000 + 500
        values = [evaluate(side.node, Reading(replacements=grouped)) for side in (self.left, self.right)]
        first, second = values if grouped else (None, None)
        return {
            "the text says it is approximate": loose and gap * 10 <= abs(one),
            "only the sign differs": one == -other and one < 0,
            "the decimal operands may be rounded": both
            and gap <= _decimal_slack(self.left, one) + _decimal_slack(self.right, other),
            "dots may separate thousands": first is not None
            and second is not None
            and same_value(first, second),
        }

    def doubts_of_notation(self) -> dict[str, bool]:
        left, right, side, continues = self.left, self.right, self.comparison.left, self.comparison.continues
        bare = left.operators == 0 and right.operators == 0
        tokens = side.tokens[side.start : side.stop]
        nested = any(token.kind == "open" for token in tokens)
        behind = side.tokens[side.stop : self.comparison.right.stop]
        kinds = {token.kind for token in (*tokens, *behind)}
        texts = {token.text for token in (*tokens, *behind)}
        return {
            "two numbers side by side may be a label or a conversion": bare and not continues,
            "it may convert units": bare and _dimension(left) != _dimension(right),
            "the letters may be variables": self.is_formula(),
            "it holds if read from left to right": not nested
            and _left_to_right(left.node) == self.other.value,
            "the dash before it may be a minus": self.is_behind_dash(),
            "the hyphen may stand between the ends of a range": self.is_range(),
            "the minus may be a dash": _has_dash_before(side, self.other),
            "the sum may go on": _may_go_on(left.node, self.other) and _abbreviates(side.tokens),
            "degrees may be turned into radians": "degree" in kinds and "\\pi" in texts,
        }

    def is_formula(self) -> bool:
        """Whether what looks like short units may be letters of a formula: 1/2 bh = 1/2 (6)(4)."""
        side, node, right = self.comparison.left, self.left.node, self.right
        names = [
            token.text
            for token in side.tokens[side.start : side.stop]
            if token.kind in ("word", "letter") and token.text not in ("x", "X", *WORD_OPERATORS)
        ]
        longest = max(map(len, names), default=0)
        if not 0 < longest <= _LONGEST_PRODUCT or any(len(n) > 1 and n in SHORT_UNITS for n in names):
            return False
        share = isinstance(node, Binary) and node.operator == "/" and isinstance(node.left, Literal)
        return (right.operators > 0 or share) and not right.units and not right.has_currency

    def is_range(self) -> bool:
        """Whether "10-15 = 6 pages" counts from one number to the other, or "9-5 = 8 hours" on the clock."""
        match self.left.node:
            case Binary("-", Literal(int() as first), Literal(int() as last)):
                pass
            case _:
                return False
        counted = self.right.node
        while isinstance(counted, Binary):  # 9-5 = 8 hours * 5
            counted = counted.left
        count = counted.value if isinstance(counted, Literal) else None
        if first < last:
            return count in (last - first, last - first + 1)
        on_clock = first <= _HOURS and last > 0 and not _HOUR_NAMES.isdisjoint(self.units())
        return on_clock and count == last - first + _HOURS

    def units(self) -> list[str]:
        return [*self.left.units, *self.right.units]

    def is_behind_dash(self) -> bool:
        """Whether the dash of a list item, read as a minus, makes the sides equal."""
        side, first = self.comparison.left, self.left.node
        if side.start == 0 or side.tokens[side.start - 1].text != "-":
            return False
        while isinstance(first, Binary) and first.operator in ("+", "-"):
            first = first.left
        term = evaluate(first)
        return term is not None and self.one.value - 2 * term.value == self.other.value


# -- rounding ------------------------------------------------------------------------------------------


def rounds_to(exact: Number, shown: Number, node: Node, *, loose: bool = False, whole: bool = True) -> bool:
    """Whether a number as written stands for an exact value at the digits it shows.

    Args:
        exact: The exact value.
        shown: The value of the number as written.
        node: The number as written, with its decimal places.
        loose: The text says that it is approximate.
        whole: Let a whole number stand for any value less than one away from it.

    Example:
        >>> rounds_to(Fraction(2, 3), Fraction(67, 100), Literal(Fraction(67, 100), 2))
        True
    """
    unit = _last_place(node)
    if unit is None:
        return False
    difference: Fraction = abs(Fraction(exact) - shown)
    broken = exact.denominator != 1
    if loose and shown != 0:
        while unit >= 1 and shown % (unit * 10) == 0:  # the zeros of "about 1200" are no digits
            unit *= 10
        if difference <= max(unit / 2, abs(Fraction(shown)) / 100):
            return True
    if difference <= unit / 2:
        return unit < 1 or broken
    if unit <= Fraction(1, 10**8):  # digits of binary floating point
        return difference <= abs(Fraction(exact)) / 10**9
    if unit == 1:  # people round up as well as down: 7 / 2 buses are 4 buses
        return whole and difference < 1 and broken
    return (
        abs(Fraction(shown)) <= abs(Fraction(exact)) and difference < unit and (unit < 1 or broken)
    )  # cut off


def _last_place(node: Node) -> Fraction | None:
    """The worth of the last digit of a number as written."""
    match node:
        case Literal(places=places) if places >= 0:
            return Fraction(1, 10**places)
        case Sign(operand):
            return _last_place(operand)
        case Percent(operand):
            unit = _last_place(operand)
            return unit and unit / 100
        case Binary("*", left, Literal(scale)):  # "3.2 million"
            unit = _last_place(left)
            return unit and unit * scale
    return None


def _repeating(literal: Literal) -> Number | None:
    """The third, sixth, seventh or ninth that a decimal number abbreviates."""
    if literal.places < 2 or literal.value == 0:
        return None
    unit = Fraction(1, 10**literal.places)
    for denominator in (3, 6, 9, 7):
        near = Fraction(round(literal.value * denominator), denominator)
        gap = near - literal.value
        if near.denominator > 2 and (abs(gap) <= unit / 2 or 0 < gap < unit):
            return near
    return None


def _percents(node: Node) -> list[Literal]:
    """The numbers with a percent sign in an expression."""
    match node:
        case Percent(Literal() as literal):
            return [literal]
        case Binary(_, left, right):
            return [*_percents(left), *_percents(right)]
        case Sign(operand) | Unary(_, operand) | Percent(operand):
            return _percents(operand)
    return []


def _repeating_percent(literal: Literal) -> Number | None:
    """What a percentage abbreviates: 100/3 for 33.3 and for 33, but no ninth for a whole number."""
    if literal.places < 0 or literal.value == 0:
        return None
    share = _repeating(Literal(Fraction(literal.value) / 100, literal.places + 2))
    allowed = literal.places > 0 or (share is not None and share.denominator == _THIRD)
    return share * 100 if share is not None and allowed else None


def _decimal_slack(parse: Parse, value: Number) -> Fraction:
    """How far a value may be off if its decimal operands were rounded."""
    slack = sum(
        abs(1 / Fraction(literal.value * 10**literal.places))
        for literal in parse.literals
        if literal.places >= 2 and literal.value
    )
    return slack * abs(Fraction(value))


# -- what the expressions are like ---------------------------------------------------------------------


def _with_tight_fractions(side: Side) -> Evaluation | None:
    """The value of a side with its fractions bound first, if it has another division: 6 / 1/3."""
    slashes = sum(token.text == "/" for token in side.tokens[side.start : side.stop])
    if slashes < 2:
        return None
    parse = parse_at(side.tokens, side.start, side.stop, tight_fractions=True)
    return evaluate(parse.node) if parse is not None and parse.end == side.stop else None


def _starts_with(node: Node, value: Number) -> bool:
    """Whether a calculation starts with a value: a number, a percentage or a fraction."""
    starts: list[Node] = []
    while isinstance(node, Binary):
        if node.operator == "/" and isinstance(node.left, Literal):
            starts.append(node)
        node = node.left
    if isinstance(node, Literal | Percent):
        starts.append(node)
    values = (evaluate(start) for start in starts)
    return any(first is not None and first.value == value for first in values)


def _is_trivial(left: Parse, right: Parse) -> bool:
    """Whether an equation that holds shows nothing: 5 = 5, 5 + 0 = 5, 2 + 3 = 3 + 2."""
    if left.operators and right.operators:
        values, others = (sorted(item.value for item in parse.literals) for parse in (left, right))
        return values == others
    bare = not (left.operators or right.operators)
    return bare or isinstance(_essence(left.node if left.operators else right.node), Literal)


def _essence(node: Node) -> Node:
    """An expression without the operations that change nothing: + 0, * 1, / 1, ^ 1, and times 0."""
    if isinstance(node, Sign):
        inner = _essence(node.operand)
        return Literal(-inner.value) if isinstance(inner, Literal) else Sign(inner)
    if not isinstance(node, Binary):
        return node
    left, right = _essence(node.left), _essence(node.right)
    first = left.value if isinstance(left, Literal) else None
    second = right.value if isinstance(right, Literal) else None
    if node.operator in "*/" and (first == 0 or (second == 0 and node.operator == "*")):
        return Literal(0)
    if second is not None and second == _NEUTRAL_RIGHT.get(node.operator):
        return left
    if first is not None and first == _NEUTRAL_LEFT.get(node.operator):
        return right
    return Binary(node.operator, left, right)


def _dimension(parse: Parse) -> tuple[list[str], bool, bool]:
    return parse.units, parse.has_percent, parse.has_currency


def _mixes_units(parse: Parse) -> bool:
    return _adds(parse.node) and bool(conversion_factors(parse.units, currency=parse.has_currency))


def _adds(node: Node) -> bool:
    """Whether there is a sum or a difference in an expression."""
    if isinstance(node, Binary):
        return node.operator in ("+", "-") or _adds(node.left) or _adds(node.right)
    return isinstance(node, Sign | Unary) and _adds(node.operand)


def _left_to_right(node: Node) -> Number | None:
    """The value of an expression without parentheses if precedence is ignored."""
    terms: list[tuple[str, Node]] = []
    if not _flatten(node, "", terms) or len(terms) < 3:
        return None
    total = evaluate(terms[0][1])
    for operator, term in terms[1:]:
        value = evaluate(term)
        if total is None or value is None:
            return None
        total = evaluate(Binary(operator, Literal(total.value), Literal(value.value)))
    return total and total.value


def _flatten(node: Node, operator: str, terms: list[tuple[str, Node]]) -> bool:
    if isinstance(node, Binary) and node.operator in ("+", "-", "*", "/"):
        return _flatten(node.left, operator, terms) and _flatten(node.right, node.operator, terms)
    terms.append((operator, node))
    return len(terms) <= _MAX_TERMS and not isinstance(node, Variable | Unary)


def _abbreviates(tokens: Sequence[Token]) -> bool:
    """Whether a text leaves out terms: 1 + 2 + ... + 9."""
    return any(token.text in _ELLIPSES or token.text.startswith("...") for token in tokens)


def _may_go_on(node: Node, other: Evaluation) -> bool:
    """Whether an expression is a sum of equal terms, and the other side that of more of them."""
    terms: list[tuple[str, Node]] = []
    if not _flatten(node, "+", terms) or len(terms) < _FEWEST_TERMS or {sign for sign, _ in terms} != {"+"}:
        return False
    values = {value.value if (value := evaluate(term)) else None for _, term in terms}
    term = values.pop()
    if values or not term:
        return False
    count = Fraction(other.value) / term
    return count.denominator == 1 and count > len(terms)


def _has_dash_before(side: Side, other: Evaluation) -> bool:
    """Whether what follows a spaced dash behind words equals the other side."""
    for index in range(side.start + 1, side.stop - 1):
        token = side.tokens[index]
        if token.text == "-" and not token.tight and side.tokens[index - 1].kind == "word":
            parse = parse_at(side.tokens, index + 1, side.stop)
            whole = parse is not None and parse.end == side.stop and parse.operators > 0
            result = evaluate(parse.node) if parse is not None and whole else None
            if result is not None and same_value(result, other):
                return True
    return False
