"""Decide whether two sides are equal, in the ways in which people write equal things.

The first reading is the plain one. Only if it fails are the other honest readings tried: rounding at the
digits shown, percent signs, operands that were rounded before, converted units, and so on. What no
reading explains and nothing puts in doubt is wrong.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal as Choice

from latentseek_agents.tools._steps.arithmetic import (
    Binary,
    Evaluation,
    Literal,
    Node,
    Percent,
    Reading,
    Sign,
    evaluate,
    same_value,
)
from latentseek_agents.tools._steps.doubts import doubt_about
from latentseek_agents.tools._steps.equations import Comparison, Side
from latentseek_agents.tools._steps.parser import parse_at
from latentseek_agents.tools._steps.reader import Parse
from latentseek_agents.tools._steps.tokens import Number
from latentseek_agents.tools._words import conversion_factors

__all__ = ["HOLDS", "Outcome", "Status", "compare", "rounds_to", "show"]

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
_READINGS = ("hundredths", "plain", "change")


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


def compare(comparison: Comparison, rounded: Mapping[Number, Number]) -> Outcome:
    """Judge one equation.

    Args:
        comparison: The two sides.
        rounded: Results that were shown rounded earlier in the text, with their exact values.

    Returns:
        The status, the exact value of the computed side and why.
    """
    left, right = comparison.left.parse, comparison.right.parse
    if left is None or right is None or left.letters or right.letters:
        unread = left is None or right is None
        reason = "one side could not be read as arithmetic" if unread else "it contains variables"
        return Outcome("unverifiable", None, reason)
    if comparison.labelled and left.operators == 0 and not comparison.continues:
        return Outcome("unverifiable", None, "the left side is a name with a number, not a calculation")
    one, other = evaluate(left.node), evaluate(right.node)
    if one is None or other is None:
        return Outcome("unverifiable", None, "a side is undefined or too large to compute")
    value = one.value if left.operators or not right.operators else other.value
    if same_value(one, other):
        trivial = _is_trivial(left, right)
        reason = "true of any numbers, so it shows nothing" if trivial else "exact"
        return Outcome("trivial" if trivial else "ok", value, reason)
    loose = comparison.sign == "≈" or left.approximate or right.approximate
    if _rounds(one, other, left, right, loose=loose):
        return Outcome("rounded", value, f"{show(value)} rounds to the digits shown")
    outcome = _other_readings(comparison, one, other, rounded, value)
    if outcome is not None:
        return outcome
    return _refuse(comparison, one, other, value, loose=loose)


def show(value: Number) -> str:
    """A short decimal or fraction.

    Example:
        >>> show(Fraction(5, 2)), show(Fraction(1, 3)), show(10**30)
        ('2.5', '1/3', 'about 1e+30')
    """
    if value.numerator.bit_length() > 90 or value.denominator.bit_length() > 90:
        digits = len(str(abs(value.numerator))) - len(str(value.denominator))
        return f"about 1e{digits:+d}" if digits else "about 1"
    if isinstance(value, int) or value.denominator == 1:
        return str(value)
    shown = Fraction(round(value * 10**6), 10**6)
    if shown == value:
        return f"{float(value):.6f}".rstrip("0")
    return f"{value.numerator}/{value.denominator}" if value.denominator < 1000 else f"{float(value):.6g}"


# -- readings ------------------------------------------------------------------------------------------


def _other_readings(
    comparison: Comparison,
    one: Evaluation,
    other: Evaluation,
    rounded: Mapping[Number, Number],
    value: Number,
) -> Outcome | None:
    left, right = comparison.left.parse, comparison.right.parse
    if left is None or right is None:
        return None
    if (left.has_percent or right.has_percent) and _percent_agrees(left, right):
        return Outcome("converted", value, "true with the percent sign read as it is meant")
    if _unrounded_agrees(left, right, one, other, rounded):
        return Outcome("rounded", value, "true with the unrounded operands")
    if not (one.exact and other.exact) and _pi_agrees(left, right):
        return Outcome("rounded", value, "true with a rounded value of π")
    for factor in conversion_factors(
        [*left.units, *right.units], currency=left.has_currency or right.has_currency
    ):
        if _agree(Evaluation(one.value * factor, one.exact), other, left, right, whole=False):
            fact = left.operators == 0 and right.operators == 0
            return Outcome("trivial" if fact else "converted", value, "true after converting the units")
    tight = _tight(comparison.left)
    if tight is not None and _agree(tight, other, left, right):
        return Outcome("ok", tight.value, "exact, with the fraction written without spaces bound first")
    if right.operators and _starts_with(right.node, one.value):
        return Outcome("running", value, "the calculation goes on after its result")
    return None


def _percent_agrees(left: Parse, right: Parse) -> bool:
    for first in _READINGS:
        for second in _READINGS[:2]:
            one = evaluate(left.node, Reading(percent=first))
            other = evaluate(right.node, Reading(percent=second))
            if one is not None and other is not None and _agree(one, other, left, right):
                return True
    return False


def _unrounded_agrees(
    left: Parse, right: Parse, one: Evaluation, other: Evaluation, rounded: Mapping[Number, Number]
) -> bool:
    for replacements in _replacements(left, right, rounded):
        reading = Reading(replacements=replacements)
        a = evaluate(left.node, reading) if left.operators else one
        b = evaluate(right.node, reading) if right.operators else other
        if a is not None and b is not None and _agree(a, b, left, right, whole=False):
            return True
    return False


def _pi_agrees(left: Parse, right: Parse) -> bool:
    for pi in _PIS:
        one, other = evaluate(left.node, Reading(pi=pi)), evaluate(right.node, Reading(pi=pi))
        if one is not None and other is not None and _agree(one, other, left, right):
            return True
    return False


def _agree(one: Evaluation, other: Evaluation, left: Parse, right: Parse, *, whole: bool = True) -> bool:
    return same_value(one, other) or _rounds(one, other, left, right, whole=whole)


def _rounds(
    one: Evaluation, other: Evaluation, left: Parse, right: Parse, *, loose: bool = False, whole: bool = True
) -> bool:
    """Whether one side is the other at the digits that it shows."""
    if right.operators == 0 and rounds_to(one.value, other.value, right.node, loose=loose, whole=whole):
        return left.operators > 0 or not _is_whole(one.value)
    if left.operators == 0 and right.operators > 0:
        return rounds_to(other.value, one.value, left.node, loose=loose, whole=whole)
    return False


def rounds_to(exact: Number, shown: Number, node: Node, *, loose: bool, whole: bool = True) -> bool:
    """Whether a number as written stands for an exact value at the digits it shows.

    Args:
        exact: The exact value.
        shown: The value of the number as written.
        node: The number as written, with its decimal places.
        loose: The text says that it is approximate.
        whole: Let a whole number stand for any value less than one away from it.

    Example:
        >>> rounds_to(Fraction(2, 3), Fraction(67, 100), Literal(Fraction(67, 100), 2), loose=False)
        True
    """
    unit = _last_place(node)
    if unit is None:
        return False
    difference: Fraction = abs(Fraction(exact) - shown)
    if loose and shown != 0:
        while unit >= 1 and shown % (unit * 10) == 0:  # the zeros of "about 1200" are no digits
            unit *= 10
        if difference <= max(unit / 2, abs(Fraction(shown)) / 100):
            return True
    if difference <= unit / 2:
        return not (unit >= 1 and _is_whole(exact))
    if unit <= Fraction(1, 10**8):  # digits of binary floating point
        return difference <= abs(Fraction(exact)) / 10**9
    if unit == 1:  # people round up as well as down: 7 / 2 buses are 4 buses
        return whole and difference < 1 and not _is_whole(exact)
    cut_off = abs(Fraction(shown)) <= abs(Fraction(exact)) and difference < unit
    return cut_off and not (unit > 1 and _is_whole(exact))


def _last_place(node: Node) -> Fraction | None:
    """The worth of the last digit of a number as written."""
    if isinstance(node, Literal):
        return Fraction(1, 10**node.places) if node.places >= 0 else None
    if isinstance(node, Sign):
        return _last_place(node.operand)
    if isinstance(node, Percent):
        unit = _last_place(node.operand)
        return unit and unit / 100
    if isinstance(node, Binary) and node.operator == "*" and isinstance(node.right, Literal):  # "3.2 million"
        unit = _last_place(node.left)
        return unit and unit * node.right.value
    return None


def _is_whole(value: Number) -> bool:
    return value.denominator == 1


def _replacements(
    left: Parse, right: Parse, rounded: Mapping[Number, Number]
) -> Iterator[Mapping[Number, Number]]:
    literals = [*(left.literals if left.operators else []), *(right.literals if right.operators else [])]
    earlier = {item.value: rounded[item.value] for item in literals if item.value in rounded}
    if earlier:
        yield earlier
    thirds = {item.value: third for item in literals if (third := _repeating(item)) is not None}
    if thirds:
        yield thirds
        if earlier:
            yield {**thirds, **earlier}


def _repeating(literal: Literal) -> Number | None:
    """The third, sixth, seventh or ninth that a decimal number abbreviates."""
    if literal.places < 2 or literal.value == 0:
        return None
    unit = Fraction(1, 10**literal.places)
    for denominator in (3, 6, 9, 7):
        near = Fraction(round(literal.value * denominator), denominator)
        if near.denominator == 1 or near.denominator in (2,):
            continue
        gap = near - literal.value
        if abs(gap) <= unit / 2 or 0 < gap < unit:
            return near
    return None


def _tight(side: Side) -> Evaluation | None:
    tokens = side.tokens
    slashes = sum(1 for index in range(side.start, side.stop) if tokens[index].text == "/")
    if slashes < 2:
        return None
    parse = parse_at(tokens, side.start, side.stop, tight_fractions=True)
    return evaluate(parse.node) if parse is not None and parse.end == side.stop else None


def _starts_with(node: Node, value: Number) -> bool:
    """Whether a calculation starts with a value: a number, a percentage or a fraction."""
    while isinstance(node, Binary):
        if node.operator == "/" and isinstance(node.left, Literal):
            first = evaluate(node)
            if first is not None and first.value == value:
                return True
        node = node.left
    first = evaluate(node) if isinstance(node, Literal | Percent) else None
    return first is not None and first.value == value


# -- trivial and wrong ---------------------------------------------------------------------------------


def _is_trivial(left: Parse, right: Parse) -> bool:
    """Whether an equation that holds shows nothing: 5 = 5, 5 + 0 = 5, 2 + 3 = 3 + 2."""
    if left.operators == 0 and right.operators == 0:
        return True
    if left.operators and right.operators:
        values, others = (sorted(Fraction(item.value) for item in parse.literals) for parse in (left, right))
        return values == others
    return isinstance(_essence(left.node if left.operators else right.node), Literal)


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


def _refuse(
    comparison: Comparison, one: Evaluation, other: Evaluation, value: Number, *, loose: bool
) -> Outcome:
    """The two sides differ: wrong, unless there is a reason to doubt that they were read right."""
    left, right = comparison.left.parse, comparison.right.parse
    if left is None or right is None:
        return Outcome("unverifiable", None, "one side could not be read as arithmetic")
    differs = left.operators > 0 or right.operators > 0
    reason = f"{show(one.value)} is not {show(other.value)}"
    doubt = doubt_about(comparison, left, right, one, other, loose=loose)
    if doubt:
        return Outcome("unverifiable", value, f"{reason}, but {doubt}", differs=differs)
    return Outcome("wrong", value, reason, differs=differs)
