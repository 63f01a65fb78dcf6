"""What an answer can be: a quantity, a list, an interval, a matrix, an equation, words."""

from dataclasses import dataclass
from typing import TypeAlias

from latentseek_agents.tools._answers.expression import Node, negated
from latentseek_agents.tools._answers.moments import Moment
from latentseek_agents.tools._answers.quantities import Scalar


@dataclass(frozen=True, slots=True)
class Words:
    """Plain words, in a form in which case, articles and punctuation do not count."""

    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Several values.

    ``kind`` is ``list`` (no brackets), ``set``, ``tuple``, ``square``, ``remainder`` or ``case`` (a value and
    the condition under which it holds). A matrix is ``square``, and so are its rows; a function by cases is
    the set of its cases.
    """

    kind: str
    items: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers between two ends."""

    low: Node
    high: Node
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Combination:
    """Sets combined; ``kind`` is ``union``, ``intersection`` or ``difference``."""

    kind: str
    parts: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides with the signs of relation between them."""

    sides: tuple["Value", ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Congruence:
    """What leaves the same remainder, as in "x ≡ 3 (mod 7)"; the label may be missing."""

    label: "Value | None"
    residue: Node
    modulus: Node


@dataclass(frozen=True, slots=True)
class Ratio:
    """a : b : c."""

    parts: tuple[Node, ...]


INFINITY = Node("constant", name="infinity")
EVERYTHING = Interval(negated(INFINITY), INFINITY, low_closed=False, high_closed=False)
Value: TypeAlias = Words | Scalar | Group | Interval | Combination | Relation | Congruence | Ratio | Moment
