"""Sets of real numbers in a normal form, so that equal sets are equal tuples.

A set is the ascending tuple of its cuts: an interval begins at every even one and ends at every odd one. The
cut ``(v, 0)`` lies just below the number v and ``(v, 1)`` just above it, so [1, 2) is ``((1, 0), (2, 0))``.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from latentseek_agents.tools._answers.expression import Node, negated, number
from latentseek_agents.tools._answers.quantities import Scalar
from latentseek_agents.tools._answers.values import INFINITY, Combination, Group, Interval, Relation, Value

Cut = tuple[Fraction | float, int]
Reals = tuple[Cut, ...]
Evaluate = Callable[[Sequence[Node]], list[Fraction | None]]

FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_NEGATIVE_INFINITY = negated(INFINITY)
_ALL: Reals = ((-math.inf, 1), (math.inf, 0))


class _NoRangeError(ValueError):
    """A value is no set of real numbers that is known."""


def reals_of(value: Value, evaluate: Evaluate) -> Reals | None:
    """A value as a set of real numbers; None if it is none.

    Args:
        value: An interval, unions and differences of them, an inequality in one variable, or two numbers
            in brackets.
        evaluate: Gives the values of constant expressions.

    Example:
        >>> interval = Interval(Node("number"), INFINITY, low_closed=True, high_closed=False)
        >>> reals_of(interval, lambda nodes: [node.value for node in nodes])
        ((Fraction(0, 1), 0), (inf, 0))
    """
    try:
        return _reals(value, evaluate)
    except _NoRangeError:
        return None


def union(sets: Sequence[Reals]) -> Reals:
    """The numbers that lie in any of some sets.

    Example:
        >>> union([((1, 0), (2, 0)), ((2, 0), (3, 1))])
        ((1, 0), (3, 1))
    """
    return _combined(any, sets)


def complement(reals: Reals) -> Reals:
    """The numbers that do not lie in a set.

    Example:
        >>> complement(((-math.inf, 1), (1, 1)))
        ((1, 1), (inf, 0))
    """
    return tuple(sorted({*_ALL} ^ {*reals}))


def variables(value: Value) -> frozenset[str]:
    """The letters that the inequalities of a value are about."""
    if isinstance(value, Relation):
        return frozenset().union(*(s.node.symbols() for s in value.sides if isinstance(s, Scalar)))
    if isinstance(value, Combination):
        return frozenset().union(*map(variables, value.parts))
    return frozenset()


def _combined(rule: Callable[[Iterable[bool]], bool], sets: Sequence[Reals]) -> Reals:
    """The numbers for which a rule holds, given in which of some sets each lies."""
    result: list[Cut] = []
    for cut in sorted(set().union(*sets)):
        inside = rule(bisect_right(reals, cut) % 2 == 1 for reals in sets)
        if inside != len(result) % 2:
            result.append(cut)
    return tuple(result)


def _reals(value: Value, evaluate: Evaluate, *, inside: bool = False) -> Reals:
    if isinstance(value, Combination):
        parts = [_reals(part, evaluate, inside=True) for part in value.parts]
        if value.kind == "union":
            return union(parts)
        if value.kind == "difference":
            parts[1:] = map(complement, parts[1:])
        return _combined(all, parts)
    if isinstance(value, Scalar) and inside and value.unit.missing:
        value = Group("set", (value,))
    if isinstance(value, Group) and value.kind in ("set", "list") and inside:
        nodes = [item.node for item in value.items if isinstance(item, Scalar)]
        if len(nodes) == len(value.items):
            return union([((point, 0), (point, 1)) for point in _values(nodes, evaluate)])
    if isinstance(value, Relation):
        return _solution(value, evaluate)
    if isinstance(value, Interval):
        return _interval(value, evaluate)
    if isinstance(value, Group) and value.kind in ("tuple", "square") and len(value.items) == 2:
        low, high = value.items
        if isinstance(low, Scalar) and isinstance(high, Scalar):
            closed = value.kind == "square"
            return _interval(Interval(low.node, high.node, closed, closed), evaluate)
    raise _NoRangeError


def _values(nodes: Sequence[Node], evaluate: Evaluate) -> list[Fraction]:
    values = [value for value in evaluate(nodes) if value is not None]
    if len(values) != len(nodes):
        raise _NoRangeError
    return values


def _interval(interval: Interval, evaluate: Evaluate) -> Reals:
    if interval.low == INFINITY or interval.high == _NEGATIVE_INFINITY:
        raise _NoRangeError
    ends = [end for end in (interval.low, interval.high) if end not in (INFINITY, _NEGATIVE_INFINITY)]
    values = iter(_values(ends, evaluate))
    low = -math.inf if interval.low == _NEGATIVE_INFINITY else next(values)
    high = math.inf if interval.high == INFINITY else next(values)
    start, end = (low, int(not interval.low_closed)), (high, int(interval.high_closed))
    if start >= end:
        # (5, 2) is a point.
        raise _NoRangeError
    return start, end


def _solution(relation: Relation, evaluate: Evaluate) -> Reals:
    """The solutions of x < 5, 2 < x <= 5, x != 1 or |x - 1| < 2."""
    nodes = [side.node for side in relation.sides if isinstance(side, Scalar)]
    signs = relation.signs
    if len(nodes) != len(relation.sides):
        raise _NoRangeError
    if signs[0] in (">", ">="):
        nodes, signs = nodes[::-1], tuple(FLIPPED.get(sign, sign) for sign in reversed(signs))
    if len(nodes) == 2 and "abs" in (nodes[0].name, nodes[1].name) and signs[0] in FLIPPED:
        return _distance(nodes, signs[0], evaluate)
    letters = [node.kind == "symbol" for node in nodes]
    if letters.count(True) != 1 or (letters not in ([True, False], [False, True], [False, True, False])):
        raise _NoRangeError
    place = letters.index(True)
    if signs == ("!=",):
        point = _values([nodes[1 - place]], evaluate)[0]
        return complement(((point, 0), (point, 1)))
    if not set(signs) <= {"<", "<="}:
        raise _NoRangeError
    low = (nodes[place - 1], signs[place - 1] == "<=") if place else (_NEGATIVE_INFINITY, False)
    high = (nodes[place + 1], signs[place] == "<=") if place < len(signs) else (INFINITY, False)
    return _interval(Interval(low[0], high[0], low[1], high[1]), evaluate)


def _distance(nodes: Sequence[Node], sign: str, evaluate: Evaluate) -> Reals:
    """The solutions of |x - c| < r and its kin."""
    inner, bound = nodes
    if bound.name == "abs":
        inner, bound, sign = bound, inner, FLIPPED[sign]
    inside, shift = inner.args[0], number(0)
    if inside.kind == "add":
        inside, shift = inside.args
    if inside.kind != "symbol" or inner.kind != "call":
        raise _NoRangeError
    moved, radius = _values([shift, bound], evaluate)
    if radius <= 0:
        raise _NoRangeError
    within = sign in ("<", "<=")
    closed = (sign == "<=") if within else sign == ">"
    ball = ((-moved - radius, int(not closed)), (-moved + radius, int(closed)))
    return ball if within else complement(ball)
