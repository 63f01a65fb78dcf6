"""The derivative of an expression, as another expression.

Example:
    >>> from latentseek_agents.tools._steps.arithmetic import Reading, evaluate
    >>> x = Variable("x")
    >>> cube = Binary("^", x, Literal(3))
    >>> evaluate(derivative(cube, "x"), Reading(variables={"x": 2}))
    Evaluation(value=12, exact=True)
"""

from latentseek_agents.tools._steps.arithmetic import (
    Apply,
    Binary,
    Literal,
    Node,
    Percent,
    Sign,
    Unary,
    Variable,
)


class NoDerivativeError(ValueError):
    """The expression has none of the rules below."""


def derivative(node: Node, letter: str) -> Node:
    """The derivative of an expression by a letter; other letters are constants.

    Args:
        node: Sums, products, quotients, square roots, and powers with constant exponents.
        letter: The variable.

    Raises:
        NoDerivativeError: There is something else in it that depends on the letter.
    """
    if not depends(node, letter):
        return Literal(0)
    match node:
        case Variable():
            return Literal(1)
        case Sign(operand):
            return Sign(derivative(operand, letter))
        case Binary("+" | "-" as operator, left, right):
            return Binary(operator, derivative(left, letter), derivative(right, letter))
        case Binary("*", left, right):
            first = Binary("*", derivative(left, letter), right)
            return Binary("+", first, Binary("*", left, derivative(right, letter)))
        case Binary("/", left, right):
            first = Binary("*", derivative(left, letter), right)
            second = Binary("*", left, derivative(right, letter))
            return Binary("/", Binary("-", first, second), Binary("^", right, Literal(2)))
        case Binary("^", base, exponent) if not depends(exponent, letter):
            lowered = Binary("^", base, Binary("-", exponent, Literal(1)))
            return Binary("*", Binary("*", exponent, lowered), derivative(base, letter))
        case Unary("√", operand):
            return Binary("/", derivative(operand, letter), Binary("*", Literal(2), node))
    raise NoDerivativeError


def depends(node: Node, letter: str) -> bool:
    """Whether a letter stands in an expression."""
    match node:
        case Variable(name):
            return name == letter
        case Binary(_, left, right):
            return depends(left, letter) or depends(right, letter)
        case Sign(operand) | Percent(operand) | Unary(_, operand) | Apply(_, operand):
            return depends(operand, letter)
    return False
