r"""Functions of a text: their definitions, and their values in place of ``f(2)`` and ``f'(2)``.

Example:
    >>> from latentseek_agents.tools._steps.equations import find_comparisons
    >>> from latentseek_agents.tools._steps.judgement import judge
    >>> comparisons = find_comparisons("Let f(x) = 3x^2 + 1. Then f(2) = 13 and f'(2) = 11.")
    >>> [outcome.status for outcome in judge(with_values(comparisons))[1:]]
    ['ok', 'wrong']
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from latentseek_agents.tools._maths.words import HYPOTHETICAL
from latentseek_agents.tools._steps.arithmetic import (
    Apply,
    Binary,
    Node,
    Percent,
    Reading,
    Sign,
    Unary,
    Variable,
    evaluate,
    same_value,
)
from latentseek_agents.tools._steps.derivatives import NoDerivativeError, depends, derivative
from latentseek_agents.tools._steps.equations import Comparison, Side
from latentseek_agents.tools._steps.parser import Parse
from latentseek_agents.tools._steps.tokens import token_at

_MOST_NODES = 400
_POINTS = (Fraction(17, 7), Fraction(29, 11), Fraction(-41, 13))
# Beside an equation these tell that it is a condition on a function, or holds for some arguments only.
_CONDITIONS = HYPOTHETICAL | frozenset(["such", "satisfies", "satisfying", "satisfy", "satisfied", "that"])
_PARTIAL = frozenset(("for", "when", "where", "if", "on", "with", "otherwise"))
_CONDITION_REACH = 8

Definition = tuple[str, Node]
"""The letter of a function's argument, and its value."""


def with_values(comparisons: Sequence[Comparison], asked: Sequence[Comparison] = ()) -> list[Comparison]:
    """Equations with what functions stand for in their place.

    Args:
        comparisons: The equations of a solution.
        asked: Those of the question, whose definitions count first.

    Returns:
        The same equations in the same order; a side with a function that is not defined cannot be read.
    """
    if not any(_functions(comparison) for comparison in comparisons):
        return list(comparisons)
    definitions = _definitions(asked, posed=True)
    posed = {name.rstrip("'") for comparison in asked for name in _functions(comparison)}
    definitions |= {name: one for name, one in _definitions(comparisons).items() if name not in posed}
    return [_resolved(comparison, definitions) for comparison in comparisons]


def _functions(comparison: Comparison) -> set[str]:
    sides = (comparison.left.parse, comparison.right.parse)
    return {name for parse in sides if parse is not None for name in parse.functions}


def _definitions(comparisons: Sequence[Comparison], *, posed: bool = False) -> dict[str, Definition]:
    """The functions that are defined in one way, for every argument.

    In a question, those ``posed``, "if f(x) = 3x" is a definition.
    """
    found: dict[str, Definition | None] = {}
    for comparison in comparisons:
        left, right = comparison.left.parse, comparison.right.parse
        if left is None or not isinstance(left.node, Apply) or not isinstance(left.node.argument, Variable):
            continue
        name, letter = left.node.name, left.node.argument.name
        if right is None or not _defines(right, letter) or _is_condition(comparison, posed=posed):
            found.setdefault(name, None)
        elif name not in found:
            found[name] = letter, right.node
        elif not _same(found[name], (letter, right.node)):
            found[name] = None  # another function of that name, or a slip
    return {name: definition for name, definition in found.items() if definition is not None}


def _same(first: Definition | None, second: Definition) -> bool:
    """Whether two definitions agree wherever both have a value, at a few points."""
    if first is None:
        return False
    for point in _POINTS:
        one, other = (evaluate(body, Reading(variables={letter: point})) for letter, body in (first, second))
        if one is not None and other is not None and not same_value(one, other):
            return False
    return True


def _is_condition(comparison: Comparison, *, posed: bool) -> bool:
    """Whether an equation is no definition, but what a function that is looked for must fulfil."""
    tokens, start, stop = comparison.left.tokens, comparison.left.start, comparison.right.stop
    before = tokens[max(0, start - _CONDITION_REACH) : start]
    behind = [token for token in tokens[stop : stop + 4] if token.kind not in ("comma", "break", "currency")]
    partial = bool(behind) and behind[0].word in _PARTIAL and token_at(behind, 1).word not in ("all", "any")
    supposed = comparison.disputed and not posed
    allowed = {"if", "suppose", "assume"} if posed else set()
    return supposed or partial or any(token.word in _CONDITIONS - allowed for token in before)


def _resolved(comparison: Comparison, definitions: Mapping[str, Definition]) -> Comparison:
    if not _functions(comparison):
        return comparison
    left, right = (_resolved_side(side, definitions) for side in (comparison.left, comparison.right))
    return replace(comparison, left=left, right=right)


def _defines(parse: Parse, letter: str) -> bool:
    """Whether an expression says for certain what a function of a letter is."""
    certain = not (parse.functions or parse.doubt or parse.other)
    return certain and parse.letters == {letter}


def _resolved_side(side: Side, definitions: Mapping[str, Definition]) -> Side:
    parse = side.parse
    if parse is None or not parse.functions:
        return side
    readings = [_resolved_parse(reading, definitions) for reading in parse.readings]
    read = readings[0]
    if read is None or readings[-1] is None:
        return replace(side, parse=None)
    return replace(side, parse=replace(read, other=readings[1] if len(readings) > 1 else None))


def _resolved_parse(parse: Parse, definitions: Mapping[str, Definition]) -> Parse | None:
    try:
        node = _value(parse.node, definitions)
    except (KeyError, NoDerivativeError, RecursionError):
        return None
    if _size(node) > _MOST_NODES:
        return None
    letters = {name for name in _names(node) if name != "pi"}
    derived = isinstance(parse.node, Apply) and parse.node.name.endswith("'")
    return replace(parse, node=node, letters=letters, functions=set(), is_derivative=derived)


def _value(node: Node, definitions: Mapping[str, Definition]) -> Node:
    """An expression with the definitions of functions in it; KeyError if one has none."""
    match node:
        case Apply(name, argument):
            letter, body = definitions[name.rstrip("'")]
            for _ in range(len(name) - len(name.rstrip("'"))):
                body = derivative(body, letter)
            return _with(body, letter, _value(argument, definitions))
        case Binary(operator, left, right):
            return Binary(operator, _value(left, definitions), _value(right, definitions))
        case Sign(operand):
            return Sign(_value(operand, definitions))
        case Percent(operand):
            return Percent(_value(operand, definitions))
        case Unary(operator, operand):
            return Unary(operator, _value(operand, definitions))
    return node


def _with(body: Node, letter: str, argument: Node) -> Node:
    """An expression with another one in place of a letter."""
    if not depends(body, letter):
        return body
    match body:
        case Binary(operator, left, right):
            return Binary(operator, _with(left, letter, argument), _with(right, letter, argument))
        case Sign(operand):
            return Sign(_with(operand, letter, argument))
        case Percent(operand):
            return Percent(_with(operand, letter, argument))
        case Unary(operator, operand):
            return Unary(operator, _with(operand, letter, argument))
    return argument


def _names(node: Node) -> set[str]:
    match node:
        case Variable(name):
            return {name}
        case Binary(_, left, right):
            return _names(left) | _names(right)
        case Sign(operand) | Percent(operand) | Unary(_, operand) | Apply(_, operand):
            return _names(operand)
    return set()


def _size(node: Node) -> int:
    match node:
        case Binary(_, left, right):
            return 1 + _size(left) + _size(right)
        case Sign(operand) | Percent(operand) | Unary(_, operand) | Apply(_, operand):
            return 1 + _size(operand)
    return 1
