"""What a side of an equation names: "x = 5", "f(x) = 2x" and "the area = 12" tell what their value is."""

import re
import unicodedata

from latentseek_agents.tools._answers.expression import Node, negated, number, subtracted
from latentseek_agents.tools._answers.quantities import Scalar
from latentseek_agents.tools._answers.ranges import FLIPPED
from latentseek_agents.tools._answers.values import Group, Relation, Value, Words
from latentseek_agents.tools._answers.wordings import NO_LABELS

_FUNCTION_LETTERS = frozenset("fghpqruvsy")
_SILENT_LABELS = frozenset(
    [
        "of",
        "answer",
        "result",
        "value",
        "solution",
        "final",
        "total",
        "it",
        "there",
        "this",
        "that",
        "in",
        "to",
        "so",
    ]
)
_DENYING_COMMAND = re.compile(r"\\(?:not|neg|lnot|[bxh]?cancel|sout|st)(?![A-Za-z])")


def _is_label(side: Value) -> bool:
    """Whether a side names something: x, f(x), (x, y), "the area"."""
    if isinstance(side, Words):
        return not _denies(side.text)
    if isinstance(side, Group):
        return all(isinstance(item, Scalar) and item.node.kind == "symbol" for item in side.items)
    if not isinstance(side, Scalar) or not side.unit.missing:
        return False
    node = side.node
    variance = node.kind == "power" and node.args[0].name == "sigma"
    return node.kind == "symbol" or _derivation(node) is not None or _is_measure(node) or variance


def _denies(text: str) -> bool:
    """Whether the words before an equals sign deny what follows: "not = 5", "\u00ac = 5"."""
    if not NO_LABELS.isdisjoint(text.casefold().split()) or _DENYING_COMMAND.search(text):
        return True
    signs = [character for character in text if not character.isspace()]
    return all(sign == "!" or unicodedata.category(sign) == "Sm" for sign in signs)


def _is_measure(node: Node) -> bool:
    """Whether an expression names one number to be found: |AB|, sin x."""
    if node.kind != "call" or len(node.args) != 1:
        return False
    inner = node.args[0]
    if node.name in ("sin", "cos", "tan", "cot", "sec", "csc"):
        return inner.kind == "symbol"
    points = inner.kind == "multiply" and all(
        arg.kind == "symbol" and arg.name[:1].isupper() for arg in inner.args
    )
    # |x| = 5 is an equation to be solved, |z| = 5 and |v| = 5 tell a size.
    return node.name == "abs" and (points or inner.name in ("z", "w", "v", "u"))


def _is_compound_label(side: Value) -> bool:
    """Whether a side is made of different letters alone: m + n, AB."""
    if not isinstance(side, Scalar) or not side.unit.missing:
        return False
    leaves: list[Node] = [side.node]
    while any(leaf.kind in ("add", "multiply", "negate") for leaf in leaves):
        leaves = [part for leaf in leaves for part in (leaf.args or (leaf,))]
    names = [leaf.name for leaf in leaves if leaf.kind == "symbol"]
    return len(names) == len(leaves) == len(set(names)) > 1


def _derivation(node: Node) -> str | None:
    """How a function is changed in f(x): "" for f(x), "'" for f'(x), "-1" for f⁻¹(x); None if it is no f(x).

    The parser takes f(x) for a product.
    """
    if node.kind == "divide" and all(arg.kind == "multiply" and arg.args[0].name == "d" for arg in node.args):
        return "'" if all(arg.args[1].kind == "symbol" for arg in node.args) else None
    if node.kind != "multiply" or node.args[1].kind not in ("symbol", "number"):
        return None
    function, order = node.args[0], ""
    if function.kind == "power" and function.args[1] == negated(number(1)):
        function, order = function.args[0], "-1"
    name = function.name.rstrip("'")
    if function.kind != "symbol" or not (name in _FUNCTION_LETTERS or (name.isupper() and len(name) == 1)):
        return None
    argument = node.args[1]
    if argument.name.isupper() and name != "P":
        # AB is a segment.
        return None
    # f(x) and f(t) are one function, f(2) and P(A) are what they are of.
    place = argument.name if argument.name.isupper() else str(argument.value) if argument.value else ""
    return order + function.name[len(name) :] + place


def assigned(relation: Relation) -> tuple[Value, Value] | None:
    """The label and the value of "label = value", also of "label = ... = value".

    Example:
        >>> assigned(Relation((Words("area"), Words("twelve")), ("=",)))
        (Words(text='area'), Words(text='twelve'))
    """
    if set(relation.signs) != {"="}:
        return None
    sides = relation.sides
    directions = ((sides[0], sides[-1]), (sides[-1], sides[0]))
    for label, value in directions:
        if _is_label(label) and not _shares_symbols(label, value):
            return label, value
    for label, value in directions:
        if _is_compound_label(label) and isinstance(value, Scalar) and not value.node.symbols():
            return label, value
    return None


def _shares_symbols(label: Value, value: Value) -> bool:
    if not (isinstance(label, Scalar) and isinstance(value, Scalar)):
        return False
    applied = label.node.kind in ("multiply", "divide")
    names = label.node.args[0].symbols() if applied else label.node.symbols()
    return bool(names & value.node.symbols())


def same_label(first: Value, second: Value) -> bool:
    """Whether two labels may name the same thing; words do not contradict a letter.

    Example:
        >>> same_label(Words("area"), Words("area of circle")), same_label(Words("area"), Words("perimeter"))
        (True, False)
    """
    if first == second or _without_bars(first) == _without_bars(second):
        return True
    if isinstance(first, Words) and isinstance(second, Words):
        # "the area" may be "the area of the circle", but not "the perimeter".
        names = [set(label.text.split()) - _SILENT_LABELS for label in (first, second)]
        return names[0] <= names[1] or names[1] <= names[0]
    if isinstance(first, Words) or isinstance(second, Words):
        return True
    dependent = [_dependence(label) for label in (first, second)]
    return dependent[0] is not None and dependent[0] == dependent[1]


def _dependence(label: Value) -> str | None:
    """How a label depends on a variable: y and f(x) alike, y' and f'(x) alike."""
    if not isinstance(label, Scalar):
        return None
    if label.node.kind == "symbol" and label.node.name.rstrip("'") == "y":
        return label.node.name[1:]
    return _derivation(label.node)


def _without_bars(label: Value) -> Value:
    if isinstance(label, Scalar) and label.node.name == "abs" and _is_measure(label.node):
        return Scalar(label.node.args[0])
    return label


def flipped(relation: Relation) -> Relation:
    """The relation read from right to left.

    Example:
        >>> flipped(Relation((Words("a"), Words("b")), ("<",))).signs
        ('>',)
    """
    signs = tuple(FLIPPED.get(sign, sign) for sign in reversed(relation.signs))
    return Relation(tuple(reversed(relation.sides)), signs)


def difference(relation: Relation) -> tuple[str, Node] | None:
    """The sign and left minus right, turned so that the sign is no "greater than".

    Example:
        >>> difference(Relation((Scalar(Node("symbol", name="x")), Scalar(Node("number"))), (">",)))[0]
        '<'
    """
    if len(relation.sides) != 2:
        return None
    if relation.signs[0] in (">", ">="):
        relation = flipped(relation)
    left, right = relation.sides
    if not (isinstance(left, Scalar) and isinstance(right, Scalar)):
        return None
    return relation.signs[0], subtracted(left.node, right.node)
