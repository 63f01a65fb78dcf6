"""Reasons to doubt that two sides which differ were read as they were meant.

When in doubt an equation is unverifiable, never wrong: units of different sizes, numbers of another
base, questions and retractions, dashes that may be minus signs, and what else people write.
"""

from fractions import Fraction

from latentseek_agents.tools._steps.arithmetic import (
    Binary,
    Evaluation,
    Literal,
    Node,
    Reading,
    Sign,
    Unary,
    Variable,
    evaluate,
    same_value,
)
from latentseek_agents.tools._steps.equations import Comparison, Side
from latentseek_agents.tools._steps.parser import parse_at
from latentseek_agents.tools._steps.reader import Parse
from latentseek_agents.tools._steps.tokens import Number
from latentseek_agents.tools._words import (
    SHORT_UNITS,
    UNREAD_SCALES,
    WORD_OPERATORS,
    conversion_factors,
    may_convert,
)

__all__ = ["doubt_about"]

_LONGEST_PRODUCT = 3
_CLOCK = frozenset(("am", "pm"))


def doubt_about(
    comparison: Comparison, left: Parse, right: Parse, one: Evaluation, other: Evaluation, *, loose: bool
) -> str:
    """Why two sides that differ may be equal after all, in words, or "".

    Args:
        comparison: The two sides with what stands around them.
        left: The left side, as read.
        right: The right side, as read.
        one: The value of the left side.
        other: The value of the right side.
        loose: The text says that it is approximate.

    Returns:
        The first reason that is found.
    """
    doubt = comparison.left.doubt or comparison.right.doubt
    if doubt or comparison.disputed:
        return doubt or "the text does not claim it"
    return (
        _doubt_units(left, right, one, other)
        or _doubt_values(left, right, one, other, loose=loose)
        or _doubt_notation(comparison, left, right, one, other)
    )


def _doubt_units(left: Parse, right: Parse, one: Evaluation, other: Evaluation) -> str:
    if _mixes_units(left) or _mixes_units(right):
        return "units of different sizes are added"
    units = [*left.units, *right.units]
    if not UNREAD_SCALES.isdisjoint(units):
        return "a word such as dozen may multiply"
    if not _CLOCK.isdisjoint(units):
        return "it may be about times of the day"
    converts = bool(conversion_factors(units, currency=left.has_currency or right.has_currency))
    if converts and any("^" in unit for unit in units):
        return "areas or volumes may be converted"
    if converts and one.value and may_convert(units, abs(Fraction(other.value) / one.value)):
        return "units may be converted unsaid"
    return ""


def _doubt_values(left: Parse, right: Parse, one: Evaluation, other: Evaluation, *, loose: bool) -> str:
    gap = abs(Fraction(one.value) - other.value)
    if loose and gap * 10 <= abs(Fraction(one.value)):
        return "the text says it is approximate"
    if one.value == -other.value and one.value < 0:
        return "only the sign differs"
    if left.operators and right.operators and gap <= _decimal_slack(left, one) + _decimal_slack(right, other):
        return "the decimal operands may be rounded"
    return "dots may separate thousands" if _dots_group(left, right) else ""


def _doubt_notation(
    comparison: Comparison, left: Parse, right: Parse, one: Evaluation, other: Evaluation
) -> str:
    side = comparison.left
    if left.operators == 0 and right.operators == 0 and (bare := _doubt_bare(comparison, left, right)):
        return bare
    if _is_formula(side, left, right):
        return "the letters may be variables"
    if not _has_parentheses(side) and _left_to_right(left.node) == other.value:
        return "it holds if read from left to right"
    if _behind_dash(side, one, other):
        return "the dash before it may be a minus"
    if _after_dash(side, other):
        return "the minus may be a dash"
    tokens = side.tokens[side.start : comparison.right.stop]
    if {"degree", "\\pi"} <= {token.text if token.text == "\\pi" else token.kind for token in tokens}:
        return "degrees may be turned into radians"
    return ""


def _dots_group(left: Parse, right: Parse) -> bool:
    """Whether it holds if the dots before three digits separate thousands: 1.000 + 500 = 1.500."""
    grouped = {
        item.value: item.value * 1000 for item in (*left.literals, *right.literals) if item.places == 3
    }
    if not grouped:
        return False
    reading = Reading(replacements=grouped)
    one, other = evaluate(left.node, reading), evaluate(right.node, reading)
    return one is not None and other is not None and same_value(one, other)


def _doubt_bare(comparison: Comparison, left: Parse, right: Parse) -> str:
    if not comparison.continues:
        return "two numbers side by side may be a label or a conversion"
    if left.units != right.units or left.has_percent != right.has_percent:
        return "it may convert units"
    if left.has_currency != right.has_currency:
        return "it may convert units"
    return ""


def _is_formula(side: Side, left: Parse, right: Parse) -> bool:
    """Whether what looks like short units may be letters of a formula: 1/2 bh = 1/2 (6)(4)."""
    words = [
        token.text
        for token in side.tokens[side.start : side.stop]
        if token.kind in ("word", "letter") and token.text not in "xX" and token.text not in WORD_OPERATORS
    ]
    if (
        not words
        or max(map(len, words)) > _LONGEST_PRODUCT
        or any(len(w) > 1 and w in SHORT_UNITS for w in words)
    ):
        return False
    node = left.node
    share = isinstance(node, Binary) and node.operator == "/" and isinstance(node.left, Literal)
    return (right.operators > 0 or share) and not right.units and not right.has_currency


def _mixes_units(parse: Parse) -> bool:
    if not conversion_factors(parse.units, currency=parse.has_currency):
        return False
    return _adds(parse.node)


def _adds(node: Node) -> bool:
    """Whether there is a sum or a difference in an expression."""
    if isinstance(node, Binary):
        return node.operator in ("+", "-") or _adds(node.left) or _adds(node.right)
    return isinstance(node, Sign | Unary) and _adds(node.operand)


def _has_parentheses(side: Side) -> bool:
    return any(side.tokens[index].kind == "open" for index in range(side.start, side.stop))


def _left_to_right(node: Node) -> Number | None:
    """The value of an expression without parentheses if precedence is ignored."""
    terms: list[tuple[str, Node]] = []
    if not _flatten(node, "", terms) or len(terms) < 3:
        return None
    total: Number = 0
    for operator, term in terms:
        result = evaluate(term)
        if result is None:
            return None
        if not operator:
            total = result.value
            continue
        step = evaluate(Binary(operator, Literal(total), Literal(result.value)))
        if step is None:
            return None
        total = step.value
    return total


def _flatten(node: Node, operator: str, terms: list[tuple[str, Node]]) -> bool:
    if isinstance(node, Binary) and node.operator in ("+", "-", "*", "/"):
        return _flatten(node.left, operator, terms) and _flatten(node.right, node.operator, terms)
    if isinstance(node, Variable | Unary):
        return False
    terms.append((operator, node))
    return len(terms) <= 40


def _behind_dash(side: Side, one: Evaluation, other: Evaluation) -> bool:
    """Whether the dash of a list item, read as a minus, makes the sides equal."""
    if side.parse is None or side.start == 0 or side.tokens[side.start - 1].text != "-":
        return False
    first = side.parse.node
    while isinstance(first, Binary) and first.operator in ("+", "-"):
        first = first.left
    term = evaluate(first)
    return term is not None and one.value - 2 * term.value == other.value


def _after_dash(side: Side, other: Evaluation) -> bool:
    """Whether what follows a spaced dash behind words equals the other side."""
    for index in range(side.start + 1, side.stop - 1):
        token = side.tokens[index]
        if token.text == "-" and not token.tight and side.tokens[index - 1].kind == "word":
            parse = parse_at(side.tokens, index + 1, side.stop)
            if parse is None or parse.end != side.stop or parse.operators == 0:
                continue
            result = evaluate(parse.node)
            if result is not None and same_value(result, other):
                return True
    return False


def _decimal_slack(parse: Parse, value: Evaluation) -> Fraction:
    """How far a value may be off if its decimal operands were rounded."""
    slack = Fraction(0)
    for literal in parse.literals:
        if literal.places >= 2 and literal.value:
            slack += abs(1 / Fraction(literal.value * 10**literal.places))
    return slack * abs(Fraction(value.value))
