"""Decide whether two answers mean the same: like is compared with like.

Values are compared exactly where they are rational. Only what is left (radicals, functions, symbols, complex
numbers) goes to the worker process. Where it has no time, no memory or no process for it, nothing is known.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from latentseek_agents.tools._answers.exact import exact_value
from latentseek_agents.tools._answers.expression import Node, number, subtracted
from latentseek_agents.tools._answers.labels import assigned, difference, flipped, same_label
from latentseek_agents.tools._answers.moments import Moment, same_moment
from latentseek_agents.tools._answers.notation import LONGEST_ANSWER, plain_notation
from latentseek_agents.tools._answers.quantities import CURRENCIES, Scalar, same_dimension
from latentseek_agents.tools._answers.ranges import reals_of, variables
from latentseek_agents.tools._answers.reader import read_answer
from latentseek_agents.tools._answers.values import (
    Combination,
    Congruence,
    Group,
    Interval,
    Ratio,
    Relation,
    Value,
    Words,
)
from latentseek_agents.tools._symbolic import CalculationError, SandboxError, shared_sandbox

_CHOICE = re.compile(r"\W*([A-Ja-j])\W*")
# "(A) and (B)" are two choices, and no text of the first.
_CHOICE_WITH_TEXT = re.compile(
    r"\s*(?:\(([A-J])\)|([A-J])[).:])\s*(?!(?:and|or|nor|[,;&/+])\s*\(?[A-J]\b)(\S.*)", re.DOTALL
)

_NAMED_BASE = re.compile(r"_|\bbase\b|\b0[xbo]", re.IGNORECASE)
# What the worker says if it is not the expression that is to blame.
_NO_ROOM = ("MemoryError", "RecursionError", "the request has")


def agreement(first: str, second: str, *, seconds: float = 1.8) -> bool | None:
    r"""Whether two answers mean the same.

    Args:
        first: An answer, LaTeX or plain.
        second: The right answer. If it names a base, the other may leave the base out.
        seconds: The time to decide.

    Returns:
        True if they do; False if not; None if the comparison could not be finished.

    Example:
        >>> agreement("1/2", "0.5"), agreement("1/2", "0.6")
        (True, False)
        >>> agreement(r"\sqrt{12}", r"2\sqrt{3}", seconds=0) is None
        True
    """
    if first.strip() == second.strip():
        return bool(first.strip())
    if max(len(first), len(second)) > LONGEST_ANSWER:
        return False
    comparison = Comparison(time.monotonic() + seconds)
    try:
        if _equal(comparison, first, second):
            return True
    except RecursionError:  # the caller's own stack may be nearly full
        return None
    return None if comparison.undecided else False


def _equal(comparison: "Comparison", first: str, second: str) -> bool:
    readings = read_answer(first), read_answer(second)
    if isinstance(readings[0][0], Moment) and isinstance(readings[1][0], Moment):
        # 3:30 and 1:10 are two times of day, though as ratios they would be equal.
        return same_moment(readings[0][0], readings[1][0])
    plain = plain_notation(first), plain_notation(second)
    if not all(plain):
        return False
    comparison.named_base = bool(_NAMED_BASE.search(plain[1]))
    return (
        comparison.any_equal(*readings)
        or _same_choice(comparison, *plain)
        or _same_choice(comparison, *reversed(plain))
    )


def _same_choice(comparison: "Comparison", short: str, long: str) -> bool:
    """Whether one is a choice, its letter with its text, and the other either of these alone."""
    choice = _CHOICE_WITH_TEXT.fullmatch(long[:2000])
    if choice is None or _CHOICE_WITH_TEXT.fullmatch(short[:2000]):
        return False
    letter = _CHOICE.fullmatch(short[:20])
    if letter and letter[1].upper() == (choice[1] or choice[2]):
        return True
    return comparison.any_equal(read_answer(short), read_answer(choice[3]))


class Comparison:
    """Compares values until a deadline.

    Args:
        deadline: When to give up, on the monotonic clock.

    Attributes:
        named_base: Whether the right answer names a base, so that the other need not repeat it.
        undecided: Whether the worker failed to reply, so that values not shown to be equal may be equal.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.named_base = True
        self.undecided = False

    def any_equal(self, first: Sequence[Value], second: Sequence[Value]) -> bool:
        """Whether any reading of one answer is shown to be equal to any of another."""
        return any(self.equal(one, other) for one in first for other in second)

    def all_equal(self, first: Sequence[Value], second: Sequence[Value]) -> bool:
        """Whether two sequences are shown to be equal, item by item."""
        return len(first) == len(second) and all(map(self.equal, first, second))

    def equal(self, first: Value, second: Value) -> bool:
        """Whether two values are shown to be equal."""
        if isinstance(first, Words) or isinstance(second, Words):
            return first == second
        if isinstance(first, Scalar) and isinstance(second, Scalar):
            return self.scalars(first, second)
        if isinstance(first, Moment) and isinstance(second, Moment):
            return same_moment(first, second)
        return self.structures(first, second)

    def structures(self, first: Value, second: Value) -> bool:
        """Compare values made of others, where the two may be of different types."""
        sets = (first, second)
        if any(isinstance(value, Combination) for value in sets):
            # Beside a union, a set of points is a set of numbers, too.
            sets = (Combination("union", (first,)), Combination("union", (second,)))
        reals = [reals_of(value, self.real_values) for value in sets]
        if reals[0] is not None and reals[1] is not None:
            letters = variables(first), variables(second)
            return reals[0] == reals[1] and (not all(letters) or letters[0] == letters[1])
        if isinstance(first, Congruence) or isinstance(second, Congruence):
            return self.congruences(first, second)
        if isinstance(first, Relation) or isinstance(second, Relation):
            return self.relations(first, second)
        if isinstance(first, Ratio) or isinstance(second, Ratio):
            return self.ratios(first, second)
        if isinstance(first, Group) or isinstance(second, Group):
            return self.groups(_as_group(first), _as_group(second))
        return self.same_kinds(first, second)

    def same_kinds(self, first: Value, second: Value) -> bool:
        """Compare two values that can only be equal if they are of the same type."""
        if isinstance(first, Interval) and isinstance(second, Interval):
            closed = (first.low_closed, first.high_closed) == (second.low_closed, second.high_closed)
            return closed and self.nodes(first.low, second.low) and self.nodes(first.high, second.high)
        if isinstance(first, Combination) and isinstance(second, Combination) and first.kind == second.kind:
            # Only what a difference takes away is without order.
            ordered = first.kind == "difference"
            return self.all_equal(first.parts[:ordered], second.parts[:ordered]) and self.unordered(
                first.parts[ordered:], second.parts[ordered:]
            )
        return False

    def scalars(self, first: Scalar, second: Scalar) -> bool:
        """Compare two quantities."""
        if first.numeral or second.numeral:
            return self.numerals(first, second)
        if first.percent or second.percent:
            return self.percents(first, second)
        if first.unit.missing or second.unit.missing:
            equal = self.nodes(_scaled(first), _scaled(second))
        elif same_dimension(first.unit, second.unit):
            equal = self.nodes(_in_base_units(first), _in_base_units(second))
        else:
            equal = self.prices(first, second)
        # A quarter turn is pi/2; without a pi, a number of degrees lacks its sign.
        return equal or self.in_radians(first, second) or self.in_radians(second, first)

    def prices(self, first: Scalar, second: Scalar) -> bool:
        """Whether one is a price for something, and the other the same price that does not say for what."""
        shorter, longer = sorted((first, second), key=lambda scalar: len(scalar.unit.dimension))
        if len(shorter.unit.dimension) != 1 or len(longer.unit.dimension) == 1:
            return False
        measure = shorter.unit.dimension[0]
        if measure[0] not in CURRENCIES or measure not in longer.unit.dimension:
            return False
        return self.nodes(_price(longer), _price(shorter))

    def in_radians(self, angle: Scalar, other: Scalar) -> bool:
        """Whether an angle in degrees is the other in radians, which may be a bare number with pi."""
        inverse = any(other.node.has("call", name) for name in ("arcsin", "arccos", "arctan"))
        bare = angle.degrees and other.unit.missing and (inverse or other.node.has("constant", "pi"))
        named = other.unit.dimension == (("radian", 1),)
        if angle.unit.dimension != (("angle", 1),) or not (bare or named):
            return False
        return self.nodes(Node("degree", (_in_base_units(angle),)), other.node)

    def numerals(self, first: Scalar, second: Scalar) -> bool:
        """Compare numbers of which at least one names its base."""
        if first.numeral and second.numeral:
            return first.node.value == second.node.value
        based, bare = (first, second) if first.numeral else (second, first)
        digits, base = based.numeral or ("", 10)
        if bare.node.kind != "number":
            return False
        written = str(bare.node.value)
        if written.isdigit() and digits.isdigit() and all(int(digit) < base for digit in written):
            # 72 may be short for 72_8 if that is the right answer, but 72_8 is not 72.
            return written == digits and (self.named_base or based.node.value == bare.node.value)
        # Digits that this number system does not have are decimal ones.
        return based.node.value == bare.node.value

    def percents(self, first: Scalar, second: Scalar) -> bool:
        """Compare percentages; a bare number above 1 may lack its sign."""
        if first.unit.nouns and second.unit.nouns and not same_dimension(first.unit, second.unit):
            # An increase of 10% is no decrease of 10%.
            return False
        if first.percent and second.percent:
            return self.nodes(first.node, second.node)
        share, bare = (first, second) if first.percent else (second, first)
        if not bare.unit.missing:
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
        # A logarithm without a base is decimal or natural.
        natural = first.mapped(_to_natural), second.mapped(_to_natural)
        variants = dict.fromkeys(((first, second), natural))
        return any(self.ask("equal", one.to_wire(), other.to_wire()) is True for one, other in variants)

    def ask(self, operation: str, *arguments: object) -> object:
        """The worker's answer, or None if it has none."""
        left = self.deadline - time.monotonic()
        if left > 0:
            try:
                return shared_sandbox().ask(operation, *arguments, seconds=left)
            except CalculationError as error:
                if not str(error).startswith(_NO_ROOM):
                    # What it does not know, such as a determinant, equals nothing but itself.
                    return None
            except SandboxError:
                pass
        self.undecided = True
        return None

    def real_values(self, nodes: Sequence[Node]) -> list[Fraction | None]:
        """The values of constant expressions, to 40 digits where they are irrational."""
        values = [exact_value(node) for node in nodes]
        irrational = [index for index, value in enumerate(values) if value is None]
        if irrational and not any(nodes[index].symbols() for index in irrational):
            decimals = self.ask("real_values", [nodes[index].to_wire() for index in irrational])
            for index, decimal in zip(
                irrational, decimals if isinstance(decimals, list) else (), strict=False
            ):
                values[index] = None if decimal is None else Fraction(str(decimal)[:200])
        return values

    def ratios(self, first: Value, second: Value) -> bool:
        """Compare ratios; a ratio of two numbers is also their quotient."""
        if isinstance(first, Ratio) and isinstance(second, Ratio):
            if len(first.parts) != len(second.parts):
                return False
            return all(
                self.nodes(Node("multiply", (a, second.parts[0])), Node("multiply", (b, first.parts[0])))
                for a, b in zip(first.parts[1:], second.parts[1:], strict=True)
            )
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
        return self.all_equal(first.items, second.items)

    def assigned_tuple(self, named: Group, bare: Group) -> bool:
        """Whether "x = 2, y = 3" is the tuple (2, 3)."""
        relations = all(isinstance(item, Relation) for item in named.items)
        return relations and bare.kind == "tuple" and self.all_equal(named.items, bare.items)

    def distinct(self, items: Sequence[Value]) -> list[Value]:
        """The items without repetitions."""
        result: list[Value] = []
        for item in items:
            if not any(self.equal(item, other) for other in result):
                result.append(item)
        return result

    def unordered(self, first: Sequence[Value], second: Sequence[Value]) -> bool:
        """Whether every item of one sequence has a partner of its own in the other."""
        if len(first) != len(second):
            return False
        rest = list(second)
        for item in first:
            index = next((index for index, other in enumerate(rest) if self.equal(item, other)), None)
            if index is None:
                return False
            del rest[index]
        return True

    def relations(self, first: Value, second: Value) -> bool:
        """Compare equations and inequalities; "x = 5" is also 5."""
        if isinstance(first, Relation) and isinstance(second, Relation):
            return self.two_relations(first, second)
        relation, other = (first, second) if isinstance(first, Relation) else (second, first)
        if not isinstance(relation, Relation):
            return False
        if named := assigned(relation):
            return self.equal(named[1], other)
        # A calculation such as 48/2 = 24 stands for its result, if it is right.
        sides = [side for side in relation.sides if isinstance(side, Scalar) and not side.node.symbols()]
        if set(relation.signs) != {"="} or len(sides) != len(relation.sides):
            return False
        # Within the calculation the number systems are clear: FF_16 = 255.
        values = [replace(side, numeral=None) for side in sides]
        true = all(self.equal(value, values[-1]) for value in values[:-1])
        return true and (self.equal(sides[-1], other) or self.equal(sides[0], other))

    def congruences(self, first: Value, second: Value) -> bool:
        """Compare congruences; a remainder may be all that one side tells."""
        if isinstance(first, Congruence) and isinstance(second, Congruence):
            if first.label and second.label and not self.equal(first.label, second.label):
                return False
            moduli = exact_value(first.modulus), exact_value(second.modulus)
            if None in moduli or moduli[0] != moduli[1] or not moduli[0]:
                return False
            apart = exact_value(subtracted(first.residue, second.residue))
            return apart is not None and apart % moduli[0] == 0
        congruence, other = (first, second) if isinstance(first, Congruence) else (second, first)
        if not isinstance(congruence, Congruence) or congruence.label or not isinstance(other, Scalar):
            return False
        return self.nodes(congruence.residue, other.node)

    def two_relations(self, first: Relation, second: Relation) -> bool:
        """Compare two relations, by their assigned values or as a whole."""
        one, other = assigned(first), assigned(second)
        if one and other:
            if same_label(one[0], other[0]):
                return self.equal(one[1], other[1])
            return self.proportional(first, second)
        for turned in (first, flipped(first)):
            if turned.signs == second.signs and len(first.sides) == len(second.sides) > 2:
                return self.all_equal(turned.sides, second.sides)
        return self.proportional(first, second)

    def proportional(self, first: Relation, second: Relation) -> bool:
        """Whether two relations between two sides are the same up to a factor."""
        one, other = difference(first), difference(second)
        if one is None or other is None:
            return False
        (sign, left), (other_sign, right) = one, other
        if sign != other_sign or left.symbols() != right.symbols():
            return False
        factor = self.ask("proportion", left.to_wire(), right.to_wire())
        return factor == 1 or (factor == -1 and sign in ("=", "!="))


def _scaled(scalar: Scalar) -> Node:
    scale = scalar.unit.scale
    return scalar.node if scale == 1 else Node("multiply", (scalar.node, number(scale)))


def _price(scalar: Scalar) -> Node:
    return Node("multiply", (_scaled(scalar), number(scalar.unit.price)))


def _in_base_units(scalar: Scalar) -> Node:
    node = _scaled(scalar)
    if scalar.unit.offset:
        node = Node("add", (node, number(scalar.unit.offset)))
    return Node("multiply", (node, number(scalar.unit.factor)))


def _infinite_sign(node: Node) -> int:
    if node.kind == "negate":
        return -_infinite_sign(node.args[0])
    return 1 if node == Node("constant", name="infinity") else 0


def _to_natural(node: Node) -> Node:
    plain = node.kind == "call" and node.name == "log" and len(node.args) == 1
    return Node("call", node.args, "ln") if plain else node


def _as_group(value: Value) -> Group:
    return value if isinstance(value, Group) else Group("list", (value,))
