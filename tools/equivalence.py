"""Decide whether two answers mean the same: like is compared with like.

Values are compared exactly where they are rational. Only what is left (radicals, functions, symbols, complex
numbers) goes to the worker process, and what it cannot show in time counts as not equal.
"""

import re
import time
from collections.abc import Sequence
from fractions import Fraction

from latentseek_agents.tools.answer_values import (
    Group,
    Interval,
    Matrix,
    Ratio,
    Relation,
    Union,
    Value,
    Words,
    read_answer,
)
from latentseek_agents.tools.exact import exact_value
from latentseek_agents.tools.expression import Node, number
from latentseek_agents.tools.moments import Moment, same_moment
from latentseek_agents.tools.notation import LONGEST_ANSWER, plain_notation
from latentseek_agents.tools.quantities import same_dimension
from latentseek_agents.tools.ranges import union_of
from latentseek_agents.tools.sandbox import SandboxError, shared_sandbox
from latentseek_agents.tools.scalars import Scalar

__all__ = ["Comparison", "equivalent"]

_CHOICE = re.compile(r"\W*([A-Ja-j])\W*")
_CHOICE_WITH_TEXT = re.compile(r"\s*(?:\(([A-J])\)|([A-J])[).:])\s*\S.*", re.DOTALL)


def equivalent(first: str, second: str, *, seconds: float = 1.8) -> bool:
    r"""Whether two answers mean the same.

    Args:
        first: An answer, LaTeX or plain.
        second: Another.
        seconds: The time to decide; what is not shown to be equal by then is not equal.

    Example:
        >>> equivalent(r"\frac{\pi}{2}", r"0.5\pi")
        True
        >>> equivalent("[2, 5)", "(2, 5)")
        False
    """
    if first.strip() == second.strip():
        return bool(first.strip())
    if max(len(first), len(second)) > LONGEST_ANSWER:
        return False
    comparison = Comparison(time.monotonic() + seconds)
    readings = read_answer(first), read_answer(second)
    if isinstance(readings[0][0], Moment) and isinstance(readings[1][0], Moment):
        # 3:30 and 1:10 are two times of day, though as ratios they would be equal.
        return same_moment(readings[0][0], readings[1][0])
    for one in readings[0]:
        for other in readings[1]:
            if comparison.equal(one, other):
                return True
    plain = plain_notation(first), plain_notation(second)
    return _same_choice(*plain) or _same_choice(*reversed(plain))


def _same_choice(short: str, long: str) -> bool:
    """Whether one is the letter of a choice, and the other the letter with the choice's text."""
    letter, choice = _CHOICE.fullmatch(short[:20]), _CHOICE_WITH_TEXT.fullmatch(long[:2000])
    return bool(letter and choice) and letter[1].upper() == (choice[1] or choice[2])  # type: ignore[index]


class Comparison:
    """Compares values until a deadline.

    Args:
        deadline: When to give up, on the monotonic clock.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def equal(self, first: Value, second: Value) -> bool:
        """Whether two values are shown to be equal."""
        if isinstance(first, Words) or isinstance(second, Words):
            return first == second
        if isinstance(first, Scalar) and isinstance(second, Scalar):
            return self.scalars(first, second)
        if isinstance(first, Moment) and isinstance(second, Moment):
            return same_moment(first, second)
        if isinstance(first, Matrix) and isinstance(second, Matrix):
            return self.matrices(first, second)
        return self.structures(first, second)

    def structures(self, first: Value, second: Value) -> bool:
        """Compare values made of others, where the two may be of different types."""
        ranges = union_of(first, self.real_values), union_of(second, self.real_values)
        if ranges[0] is not None and ranges[1] is not None:
            return ranges[0] == ranges[1]
        if isinstance(first, Relation) or isinstance(second, Relation):
            return self.relations(first, second)
        if isinstance(first, Ratio) or isinstance(second, Ratio):
            return self.ratios(first, second)
        if isinstance(first, Group) or isinstance(second, Group):
            return self.groups(_as_group(first), _as_group(second))
        if isinstance(first, Interval) and isinstance(second, Interval):
            closed = (first.low_closed, first.high_closed) == (second.low_closed, second.high_closed)
            return closed and self.nodes(first.low, second.low) and self.nodes(first.high, second.high)
        if isinstance(first, Union) and isinstance(second, Union):
            return self.unordered(first.parts, second.parts)
        return False

    def scalars(self, first: Scalar, second: Scalar) -> bool:
        """Compare two quantities."""
        if first.numeral or second.numeral:
            return self.numerals(first, second)
        if first.percent or second.percent:
            return self.percents(first, second)
        if first.unit.missing or second.unit.missing:
            if self.nodes(_scaled(first), _scaled(second)):
                return True
            # A quarter turn is pi/2; without a pi, a number of degrees lacks its sign.
            return self.in_radians(first, second) or self.in_radians(second, first)
        if not same_dimension(first.unit, second.unit):
            return False
        return self.nodes(_in_base_units(first), _in_base_units(second))

    def in_radians(self, angle: Scalar, bare: Scalar) -> bool:
        """Whether a number with pi is an angle in degrees."""
        if not angle.degrees or not bare.node.has("constant", "pi"):
            return False
        return self.nodes(Node("degree", (angle.node,)), bare.node)

    def numerals(self, first: Scalar, second: Scalar) -> bool:
        """Compare numbers of which at least one names its base; a base may be missing on one side."""
        if first.numeral and second.numeral:
            return first.node.value == second.node.value
        based, bare = (first, second) if first.numeral else (second, first)
        digits = based.numeral[0] if based.numeral else ""
        return bare.node.kind == "number" and str(bare.node.value) == digits

    def percents(self, first: Scalar, second: Scalar) -> bool:
        """Compare percentages; a bare number above 1 may lack its sign."""
        if first.percent and second.percent:
            return self.nodes(first.node, second.node)
        share, bare = (first, second) if first.percent else (second, first)
        if bare.unit.dimension:
            return False
        if self.nodes(Node("percent", (share.node,)), _scaled(bare)):
            return True
        value = exact_value(bare.node)
        return value is not None and abs(value) > 1 and self.nodes(share.node, bare.node)

    def nodes(self, first: Node, second: Node) -> bool:
        """Compare two expressions."""
        if first == second:
            return True
        values = exact_value(first), exact_value(second)
        if values[0] is not None and values[1] is not None:
            return values[0] == values[1]
        if first.has("constant", "infinity") or second.has("constant", "infinity"):
            return _infinite_sign(first) == _infinite_sign(second) != 0
        variants = [(first, second)]
        if _has_plain_logarithm(first) or _has_plain_logarithm(second):
            variants.append((first.mapped(_to_natural), second.mapped(_to_natural)))
        return any(self.ask("equal", one.to_wire(), other.to_wire()) is True for one, other in variants)

    def ask(self, operation: str, *arguments: object) -> object:
        """The worker's answer, or None if it has none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            return None
        try:
            return shared_sandbox().ask(operation, *arguments, seconds=left)
        except SandboxError:
            return None

    def real_values(self, nodes: Sequence[Node]) -> list[Fraction | None]:
        """The values of constant expressions, to 40 digits where they are irrational."""
        values = [exact_value(node) for node in nodes]
        open_ones = [index for index, value in enumerate(values) if value is None]
        if open_ones and not any(nodes[index].symbols() for index in open_ones):
            found = self.ask("real_values", [nodes[index].to_wire() for index in open_ones])
            if isinstance(found, list):
                for index, decimal in zip(open_ones, found, strict=False):
                    values[index] = None if decimal is None else Fraction(str(decimal)[:200])
        return values

    def matrices(self, first: Matrix, second: Matrix) -> bool:
        """Compare entry by entry."""
        shapes = [(len(matrix.rows), len(matrix.rows[0])) for matrix in (first, second)]
        if first.kind != second.kind or shapes[0] != shapes[1]:
            return False
        pairs = zip(first.rows, second.rows, strict=True)
        return all(self.nodes(a, b) for row, other in pairs for a, b in zip(row, other, strict=True))

    def ratios(self, first: Value, second: Value) -> bool:
        """Compare ratios; a ratio of two numbers is also their quotient."""
        if isinstance(first, Ratio) and isinstance(second, Ratio):
            if len(first.parts) != len(second.parts):
                return False
            crossed = [
                (Node("multiply", (a, second.parts[0])), Node("multiply", (b, first.parts[0])))
                for a, b in zip(first.parts[1:], second.parts[1:], strict=True)
            ]
            return all(self.nodes(a, b) for a, b in crossed)
        ratio, other = (first, second) if isinstance(first, Ratio) else (second, first)
        if not (isinstance(ratio, Ratio) and isinstance(other, Scalar) and len(ratio.parts) == 2):
            return False
        return other.unit.missing and self.nodes(Node("divide", ratio.parts), other.node)

    def groups(self, first: Group, second: Group) -> bool:
        """Compare lists and sets without order, tuples with it."""
        loose = {"list", "set"}
        if first.kind in loose and second.kind in loose:
            if "set" in (first.kind, second.kind):
                return self.unordered(self.distinct(first.items), self.distinct(second.items))
            return self.unordered(first.items, second.items)
        if first.kind != second.kind:
            return self.assigned_tuple(first, second) or self.assigned_tuple(second, first)
        if len(first.items) != len(second.items):
            return False
        return all(self.equal(a, b) for a, b in zip(first.items, second.items, strict=True))

    def assigned_tuple(self, named: Group, bare: Group) -> bool:
        """Whether "x = 2, y = 3" is the tuple (2, 3)."""
        if bare.kind != "tuple" or len(named.items) != len(bare.items):
            return False
        if not all(isinstance(item, Relation) for item in named.items):
            return False
        return all(self.equal(a, b) for a, b in zip(named.items, bare.items, strict=True))

    def distinct(self, items: Sequence[Value]) -> list[Value]:
        """The items without repetitions."""
        result: list[Value] = []
        for item in items:
            if not any(self.equal(item, other) for other in result):
                result.append(item)
        return result

    def unordered(self, first: Sequence[Value], second: Sequence[Value]) -> bool:
        """Whether the items can be paired."""
        if len(first) != len(second):
            return False
        rest = list(second)
        for item in first:
            found = next((index for index, other in enumerate(rest) if self.equal(item, other)), None)
            if found is None:
                return False
            del rest[found]
        return True

    def relations(self, first: Value, second: Value) -> bool:
        """Compare equations and inequalities; "x = 5" is also 5."""
        if isinstance(first, Relation) and isinstance(second, Relation):
            return self.two_relations(first, second)
        relation, other = (first, second) if isinstance(first, Relation) else (second, first)
        if not isinstance(relation, Relation):
            return False
        if assigned := _assigned(relation):
            return self.equal(assigned[1], other)
        # A calculation such as 48/2 = 24 stands for its result, if it is right.
        sides = relation.sides
        if set(relation.signs) != {"="} or not all(
            isinstance(s, Scalar) and not s.node.symbols() for s in sides
        ):
            return False
        return self.equal(sides[-1], other) and all(self.equal(side, sides[-1]) for side in sides[:-1])

    def two_relations(self, first: Relation, second: Relation) -> bool:
        """Compare two relations, by their assigned values or as a whole."""
        one, other = _assigned(first), _assigned(second)
        if one and other:
            if _same_label(one[0], other[0]):
                return self.equal(one[1], other[1])
            return self.proportional(first, second)
        if first.signs == second.signs and len(first.sides) == len(second.sides) > 2:
            return all(self.equal(a, b) for a, b in zip(first.sides, second.sides, strict=True))
        flipped = _flipped(first)
        if flipped.signs == second.signs and len(first.sides) == len(second.sides) > 2:
            return all(self.equal(a, b) for a, b in zip(flipped.sides, second.sides, strict=True))
        return self.proportional(first, second)

    def proportional(self, first: Relation, second: Relation) -> bool:
        """Whether two relations between two sides are the same up to a factor."""
        one, other = _difference(first), _difference(second)
        if one is None or other is None:
            return False
        (sign, left), (other_sign, right) = one, other
        if sign != other_sign or left.symbols() != right.symbols():
            return False
        factor = self.ask("proportion", left.to_wire(), right.to_wire())
        return factor == 1 or (factor == -1 and sign in ("=", "!="))


def _scaled(scalar: Scalar) -> Node:
    return (
        scalar.node if scalar.unit.scale == 1 else Node("multiply", (scalar.node, number(scalar.unit.scale)))
    )


def _in_base_units(scalar: Scalar) -> Node:
    node = _scaled(scalar)
    if scalar.unit.offset:
        node = Node("add", (node, number(scalar.unit.offset)))
    return Node("multiply", (node, number(scalar.unit.factor)))


def _infinite_sign(node: Node) -> int:
    if node.kind == "negate":
        return -_infinite_sign(node.args[0])
    return 1 if node == Node("constant", name="infinity") else 0


def _has_plain_logarithm(node: Node) -> bool:
    if node.kind == "call" and node.name == "log" and len(node.args) == 1:
        return True
    return any(_has_plain_logarithm(arg) for arg in node.args)


def _to_natural(node: Node) -> Node:
    plain = node.kind == "call" and node.name == "log" and len(node.args) == 1
    return Node("call", node.args, "ln") if plain else node


def _as_group(value: Value) -> Group:
    return value if isinstance(value, Group) else Group("list", (value,))


def _is_label(side: Value) -> bool:
    """Whether a side names something: x, f(x), (x, y), "the area"."""
    if isinstance(side, Words):
        return True
    if isinstance(side, Group):
        return all(isinstance(item, Scalar) and item.node.kind == "symbol" for item in side.items)
    if not isinstance(side, Scalar) or not side.unit.missing:
        return False
    node = side.node
    return node.kind == "symbol" or _is_application(node)


def _is_compound_label(side: Value) -> bool:
    """Whether a side is made of different letters alone: m + n, AB."""
    if not isinstance(side, Scalar) or not side.unit.missing:
        return False
    leaves: list[Node] = [side.node]
    while any(leaf.kind in ("add", "multiply", "negate") for leaf in leaves):
        leaves = [part for leaf in leaves for part in (leaf.args or (leaf,))]
    names = [leaf.name for leaf in leaves if leaf.kind == "symbol"]
    return len(names) == len(leaves) == len(set(names)) > 1


def _is_application(node: Node) -> bool:
    """Whether an expression reads as f(x), which the parser takes for a product."""
    return (
        node.kind == "multiply"
        and node.args[0].kind == "symbol"
        and node.args[0].name in ("f", "g", "h", "F", "G", "p", "q", "P", "Q", "r", "y", "f'", "g'")
        and node.args[1].kind in ("symbol", "number")
    )


def _assigned(relation: Relation) -> tuple[Value, Value] | None:
    """The label and the value of "label = value", also of "label = ... = value"."""
    if set(relation.signs) != {"="}:
        return None
    sides = relation.sides
    for label, value in ((sides[0], sides[-1]), (sides[-1], sides[0])):
        if _is_label(label) and not _shares_symbols(label, value):
            return label, value
    for label, value in ((sides[0], sides[-1]), (sides[-1], sides[0])):
        if _is_compound_label(label) and isinstance(value, Scalar) and not value.node.symbols():
            return label, value
    return None


def _shares_symbols(label: Value, value: Value) -> bool:
    if not (isinstance(label, Scalar) and isinstance(value, Scalar)):
        return False
    names = label.node.symbols() if label.node.kind == "symbol" else label.node.args[0].symbols()
    return bool(names & value.node.symbols())


def _same_label(first: Value, second: Value) -> bool:
    if first == second or isinstance(first, Words) or isinstance(second, Words):
        return True
    dependent = [
        isinstance(label, Scalar) and (label.node.name == "y" or _is_application(label.node))
        for label in (first, second)
    ]
    return all(dependent)


def _flipped(relation: Relation) -> Relation:
    turned = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
    signs = tuple(turned.get(sign, sign) for sign in reversed(relation.signs))
    return Relation(tuple(reversed(relation.sides)), signs)


def _difference(relation: Relation) -> tuple[str, Node] | None:
    """The sign and left minus right, turned so that the sign is no "greater than"."""
    if len(relation.sides) != 2:
        return None
    if relation.signs[0] in (">", ">="):
        relation = _flipped(relation)
    left, right = relation.sides
    if not (isinstance(left, Scalar) and isinstance(right, Scalar)):
        return None
    return relation.signs[0], Node("add", (left.node, Node("negate", (right.node,))))
