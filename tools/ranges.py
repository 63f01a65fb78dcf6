"""Unions of intervals in a normal form, so that equal ones look equal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from latentseek_agents.tools.answer_values import Group, Interval, Relation, Union, Value
from latentseek_agents.tools.expression import Node
from latentseek_agents.tools.scalars import Scalar

__all__ = ["Range", "union_of"]

_INFINITY = Node("constant", name="infinity")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
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


def union_of(value: Value, evaluate: Evaluate) -> tuple[Range, ...] | None:
    """A value as a union of intervals, in order and merged; None if it is none.

    Args:
        value: An interval, a union, an inequality in one variable, or two numbers in brackets.
        evaluate: Gives the values of constant expressions.

    Example:
        >>> interval = Interval(Node("number"), _INFINITY, low_closed=True, high_closed=False)
        >>> union_of(interval, lambda nodes: [node.value for node in nodes])
        (Range(low=Fraction(0, 1), high=None, low_closed=True, high_closed=False),)
    """
    parts = value.parts if isinstance(value, Union) else (value,)
    ranges: list[Range] = []
    for part in parts:
        found = _points(part, evaluate) if isinstance(value, Union) else None
        if found is None:
            single = _range(part, evaluate)
            if single is None:
                return None
            found = [single]
        ranges.extend(found)
    return _merged(ranges)


def _points(part: Value, evaluate: Evaluate) -> list[Range] | None:
    """The points of a set that is part of a union."""
    if not isinstance(part, Group) or part.kind != "set":
        return None
    nodes = [item.node for item in part.items if isinstance(item, Scalar)]
    values = evaluate(nodes)
    if len(nodes) != len(part.items):
        return None
    return [Range(v, v, low_closed=True, high_closed=True) for v in values if v is not None]


def _range(part: Value, evaluate: Evaluate) -> Range | None:
    interval = _interval(part)
    if interval is None:
        return None
    ends = [interval.low, interval.high]
    infinite = [end in (_INFINITY, Node("negate", (_INFINITY,))) for end in ends]
    finite = [end for end, is_infinite in zip(ends, infinite, strict=True) if not is_infinite]
    values = evaluate(finite)
    if (
        None in values
        or (infinite[0] and interval.low == _INFINITY)
        or (infinite[1] and interval.high != _INFINITY)
    ):
        return None
    numbers = iter(values)
    low = None if infinite[0] else next(numbers)
    high = None if infinite[1] else next(numbers)
    return Range(low, high, interval.low_closed, interval.high_closed)


def _interval(value: Value) -> Interval | None:
    if isinstance(value, Interval):
        return value
    if isinstance(value, Relation):
        return _solution(value)
    if isinstance(value, Group) and value.kind in ("tuple", "square") and len(value.items) == 2:
        low, high = value.items
        if isinstance(low, Scalar) and isinstance(high, Scalar):
            return Interval(low.node, high.node, value.kind == "square", value.kind == "square")
    return None


def _solution(relation: Relation) -> Interval | None:
    """The interval of x < 5 or 2 < x <= 5."""
    nodes = [side.node for side in relation.sides if isinstance(side, Scalar)]
    signs = relation.signs
    if len(nodes) != len(relation.sides) or not set(signs) <= set(_FLIPPED):
        return None
    if signs[0] in (">", ">="):
        nodes, signs = nodes[::-1], tuple(_FLIPPED[sign] for sign in reversed(signs))
    if not set(signs) <= {"<", "<="}:
        return None
    closed = [sign == "<=" for sign in signs]
    kinds = [node.kind == "symbol" for node in nodes]
    if kinds == [False, True, False]:
        return Interval(nodes[0], nodes[2], closed[0], closed[1])
    if kinds == [True, False]:
        return Interval(Node("negate", (_INFINITY,)), nodes[1], low_closed=False, high_closed=closed[0])
    if kinds == [False, True]:
        return Interval(nodes[0], _INFINITY, low_closed=closed[0], high_closed=False)
    return None


def _merged(ranges: list[Range]) -> tuple[Range, ...]:
    """In order of their lower ends, with those that overlap or touch made one."""
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
