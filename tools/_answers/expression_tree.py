"""The tree of an expression."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["ExpressionError", "Node", "number", "repeated"]

_MOST_NODES = 2000


class ExpressionError(ValueError):
    """A text is no expression of the grammar, or is larger than the limits."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of an expression.

    Args:
        kind: ``number``, ``symbol``, ``constant``, ``add``, ``multiply``, ``divide``, ``power``, ``root``,
            ``negate``, ``call``, ``plus_minus``, ``percent`` or ``degree``.
        args: The nodes below it.
        name: The name of a symbol, constant or function; the sign of a ``plus_minus``.
        value: The value of a number.

    Example:
        >>> Node("multiply", (number(2), Node("symbol", name="x"))).to_wire()
        ['multiply', ['number', '2'], ['symbol', 'x']]
    """

    kind: str
    args: tuple["Node", ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)

    def to_wire(self) -> list[Any]:
        """The tree as nested lists, for the worker."""
        if self.kind == "number":
            return ["number", str(self.value)]
        if self.kind in ("symbol", "constant"):
            return [self.kind, self.name]
        head = [self.kind, self.name] if self.kind in ("call", "plus_minus") else [self.kind]
        return [*head, *(arg.to_wire() for arg in self.args)]

    def symbols(self) -> frozenset[str]:
        """The names of the free symbols."""
        if self.kind == "symbol":
            return frozenset((self.name,))
        return frozenset().union(*(arg.symbols() for arg in self.args))

    def has(self, kind: str, name: str = "") -> bool:
        """Whether a node of this kind (and name, if given) stands anywhere in the tree."""
        if self.kind == kind and name in ("", self.name):
            return True
        return any(arg.has(kind, name) for arg in self.args)

    def size(self) -> int:
        """How many nodes the tree has."""
        return 1 + sum(arg.size() for arg in self.args)

    def mapped(self, change: Callable[["Node"], "Node"]) -> "Node":
        """The tree with every node changed, from the leaves up."""
        return change(Node(self.kind, tuple(arg.mapped(change) for arg in self.args), self.name, self.value))


def number(value: Fraction | int) -> Node:
    """A number as a node."""
    return Node("number", value=Fraction(value))


def repeated(operation: str, body: Node, letter: str, ends: tuple[Node, Node]) -> Node:
    """A sum or product of few terms, in which a letter runs from one integer to another.

    Args:
        operation: ``add`` or ``multiply``.
        body: The term.
        letter: The name of the running letter.
        ends: The first and the last integer.

    Raises:
        ExpressionError: The ends are no integers, or there are no terms, or too many.

    Example:
        >>> repeated("add", Node("symbol", name="k"), "k", (number(3), number(4))).to_wire()
        ['add', ['number', '3'], ['number', '4']]
    """
    if any(end.kind != "number" or end.value.denominator != 1 for end in ends):
        raise ExpressionError("the ends of a sum must be integers")
    low, high = int(ends[0].value), int(ends[1].value)
    if high < low or (high - low + 1) * body.size() > _MOST_NODES:
        raise ExpressionError("a sum has no terms, or too many")

    def at(index: int) -> Callable[[Node], Node]:
        return lambda part: number(index) if part.name == letter and not part.args else part

    terms = [body.mapped(at(index)) for index in range(low, high + 1)]
    while len(terms) > 1:
        # By halves, so that the tree stays flat.
        pairs = [tuple(terms[place : place + 2]) for place in range(0, len(terms), 2)]
        terms = [Node(operation, pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return terms[0]
