"""Sets of real numbers as unions of intervals in a normal form, so that equal ones look equal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from latentseek_agents.tools._answers.expression import Node, number
from latentseek_agents.tools._answers.scalars import Scalar
from latentseek_agents.tools._answers.values import (
    INFINITY,
    Difference,
    Group,
    Intersection,
    Interval,
    Relation,
    Union,
    Value,
)

__all__ = ["Range", "complement", "merged", "union_of", "variables"]

_NEGATIVE_INFINITY = Node("negate", (INFINITY,))
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_MOST_RANGES = 64
Evaluate = Callable[[Sequence[Node]], list[Fraction | None]]


@dataclass(frozen=True, slots=True)
class Range:
    """An interval with numbers for ends; None is infinite.

    Args:
        low: The lower end.
        high: The upper end.
        low_closed: Whether the lower end belongs to it.
        high_closed: Whether the upper end belongs to it.
    """

    low: Fraction | None
    high: Fraction | None
    low_closed: bool
    high_closed: bool


Ranges = tuple[Range, ...]


class _NoRangeError(ValueError):
    """A value is no set of real numbers that is known."""


def union_of(value: Value, evaluate: Evaluate) -> Ranges | None:
    """A value as a union of intervals, in order and merged; None if it is none.

    Args:
        value: An interval, unions and differences of them, an inequality in one variable, or two numbers
            in brackets.
        evaluate: Gives the values of constant expressions.

    Example:
        >>> interval = Interval(Node("number"), INFINITY, low_closed=True, high_closed=False)
        >>> union_of(interval, lambda nodes: [node.value for node in nodes])
        (Range(low=Fraction(0, 1), high=None, low_closed=True, high_closed=False),)
    """
    try:
        return _ranges(value, evaluate)
    except _NoRangeError:
        return None


def complement(ranges: Ranges) -> Ranges:
    """All real numbers that lie in none of some ranges, which are in order and merged.

    Example:
        >>> complement((Range(None, Fraction(1), False, True),))
        (Range(low=Fraction(1, 1), high=None, low_closed=False, high_closed=False),)
    """
    gaps: list[Range] = []
    low, low_closed = None, False
    for part in ranges:
        if part.low is not None:
            gaps.append(Range(low, part.low, low_closed, not part.low_closed))
        if part.high is None:
            return tuple(gaps)
        low, low_closed = part.high, not part.high_closed
    return (*gaps, Range(low, None, low_closed, high_closed=False))


def variables(value: Value) -> frozenset[str]:
    """The letters that the inequalities of a value are about."""
    if isinstance(value, Relation):
        return frozenset().union(*(s.node.symbols() for s in value.sides if isinstance(s, Scalar)))
    if isinstance(value, (Union, Intersection, Difference)):
        return frozenset().union(*map(variables, value.parts))
    return frozenset()


def _ranges(value: Value, evaluate: Evaluate, *, inside: bool = False) -> Ranges:
    if isinstance(value, (Union, Intersection, Difference)):
        parts: list[Ranges] = [_ranges(part, evaluate, inside=True) for part in value.parts]
        if isinstance(value, Union):
            return merged([one for part in parts for one in part])
        if isinstance(value, Difference):
            parts[1:] = [complement(part) for part in parts[1:]]
        common = parts[0]
        for part in parts[1:]:
            common = _intersection(common, part)
        return merged(list(common))
    if isinstance(value, Scalar) and inside and value.unit.missing:
        value = Group("set", (value,))
    if isinstance(value, Group) and value.kind in ("set", "list") and inside:
        return merged(
            [Range(v, v, low_closed=True, high_closed=True) for v in _values(value.items, evaluate)]
        )
    if isinstance(value, Relation):
        return _solution(value, evaluate)
    if isinstance(value, Interval):
        return (_range(value, evaluate),)
    if isinstance(value, Group) and value.kind in ("tuple", "square") and len(value.items) == 2:
        low, high = value.items
        if isinstance(low, Scalar) and isinstance(high, Scalar):
            closed = value.kind == "square"
            return (_range(Interval(low.node, high.node, closed, closed), evaluate),)
    raise _NoRangeError


def _values(items: Sequence[Value], evaluate: Evaluate) -> list[Fraction]:
    nodes = [item.node for item in items if isinstance(item, Scalar)]
    values = [value for value in evaluate(nodes) if value is not None]
    if len(values) != len(items):
        raise _NoRangeError
    return values


def _range(interval: Interval, evaluate: Evaluate) -> Range:
    if interval.low == INFINITY or interval.high == _NEGATIVE_INFINITY:
        raise _NoRangeError
    finite = [end for end in (interval.low, interval.high) if end not in (INFINITY, _NEGATIVE_INFINITY)]
    values = iter(_values([Scalar(end) for end in finite], evaluate))
    low = None if interval.low == _NEGATIVE_INFINITY else next(values)
    high = None if interval.high == INFINITY else next(values)
    return Range(low, high, interval.low_closed, interval.high_closed)


def _solution(relation: Relation, evaluate: Evaluate) -> Ranges:
    """The solutions of x < 5, 2 < x <= 5, x != 1 or |x - 1| < 2."""
    nodes = [side.node for side in relation.sides if isinstance(side, Scalar)]
    signs = relation.signs
    if len(nodes) != len(relation.sides):
        raise _NoRangeError
    if signs == ("!=",):
        return complement(_point(nodes, evaluate))
    if not set(signs) <= set(_FLIPPED):
        raise _NoRangeError
    if len(nodes) == 2 and "abs" in (nodes[0].name, nodes[1].name):
        return _distance(nodes, signs[0], evaluate)
    if signs[0] in (">", ">="):
        nodes, signs = nodes[::-1], tuple(_FLIPPED[sign] for sign in reversed(signs))
    if not set(signs) <= {"<", "<="}:
        raise _NoRangeError
    closed = [sign == "<=" for sign in signs]
    kinds = [node.kind == "symbol" for node in nodes]
    if kinds == [False, True, False]:
        return (_range(Interval(nodes[0], nodes[2], closed[0], closed[1]), evaluate),)
    if kinds == [True, False]:
        return (
            _range(Interval(_NEGATIVE_INFINITY, nodes[1], low_closed=False, high_closed=closed[0]), evaluate),
        )
    if kinds == [False, True]:
        return (_range(Interval(nodes[0], INFINITY, low_closed=closed[0], high_closed=False), evaluate),)
    raise _NoRangeError


def _point(nodes: Sequence[Node], evaluate: Evaluate) -> Ranges:
    kinds = [node.kind == "symbol" for node in nodes]
    if sorted(kinds) != [False, True]:
        raise _NoRangeError
    value = _values([Scalar(nodes[kinds.index(False)])], evaluate)[0]
    return (Range(value, value, low_closed=True, high_closed=True),)


def _distance(nodes: Sequence[Node], sign: str, evaluate: Evaluate) -> Ranges:
    """The solutions of |x - c| < r and its kin."""
    inner, bound = nodes
    if bound.name == "abs":
        inner, bound, sign = bound, inner, _FLIPPED[sign]
    inside = inner.args[0]
    shift = number(0)
    if inside.kind == "add":
        inside, shift = inside.args
    if inside.kind != "symbol" or inner.kind != "call":
        raise _NoRangeError
    moved, radius = _values([Scalar(shift), Scalar(bound)], evaluate)
    if radius <= 0:
        raise _NoRangeError
    within = sign in ("<", "<=")
    closed = (sign == "<=") if within else sign == ">"
    ball = (Range(-moved - radius, -moved + radius, closed, closed),)
    return ball if within else complement(ball)


def _intersection(first: Ranges, second: Ranges) -> Ranges:
    if len(first) * len(second) > _MOST_RANGES:
        raise _NoRangeError
    common: list[Range] = []
    for one in first:
        for other in second:
            lows = [part for part in (one, other) if part.low is not None]
            low = max(lows, key=lambda part: (part.low or 0, not part.low_closed), default=None)
            highs = [part for part in (one, other) if part.high is not None]
            high = min(highs, key=lambda part: (part.high or 0, part.high_closed), default=None)
            both = Range(
                low.low if low else None,
                high.high if high else None,
                low.low_closed if low else False,
                high.high_closed if high else False,
            )
            if not _is_empty(both):
                common.append(both)
    return tuple(common)


def _is_empty(part: Range) -> bool:
    if part.low is None or part.high is None or part.low < part.high:
        return False
    return part.low > part.high or not (part.low_closed and part.high_closed)


def merged(ranges: list[Range]) -> Ranges:
    """The ranges in order of their lower ends, with those that overlap or touch made one.

    Example:
        >>> merged([Range(Fraction(1), None, True, False), Range(None, Fraction(1), False, False)])
        (Range(low=None, high=None, low_closed=False, high_closed=False),)
    """
    ordered = sorted(ranges, key=lambda r: (r.low is not None, r.low or 0, not r.low_closed))
    result: list[Range] = []
    for new in ordered:
        last = result[-1] if result else None
        if last is None or not _touch(last, new):
            result.append(new)
            continue
        longer = _longer(last, new)
        result[-1] = Range(last.low, longer.high, last.low_closed, longer.high_closed)
    return tuple(result)


def _touch(first: Range, second: Range) -> bool:
    if first.high is None or second.low is None:
        return True
    if first.high != second.low:
        return first.high > second.low
    return first.high_closed or second.low_closed


def _longer(first: Range, second: Range) -> Range:
    """Which of two reaches farther up."""
    if first.high is None or second.high is None:
        return first if first.high is None else second
    if first.high != second.high:
        return first if first.high > second.high else second
    return first if first.high_closed else second
