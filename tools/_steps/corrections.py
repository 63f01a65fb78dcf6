r"""Refuted steps to what should stand there: which characters are wrong, and what was computed.

A correction is given only where one value takes the place of another: the result of a calculation, a side of
an equation as a whole, or a number that a program prints.

Example:
    >>> from latentseek_agents.tools._steps.equations import find_comparisons
    >>> from latentseek_agents.tools._steps.judgement import judge
    >>> text = "In all 48 + 24 = $73.00 are spent."
    >>> comparisons = find_comparisons(text)
    >>> corrected_equation(text, comparisons[0], judge(comparisons)[0].value).applied_to(text)
    'In all 48 + 24 = $72.00 are spent.'
"""

import re
from fractions import Fraction

from latentseek_agents.tools._maths.exact import Number
from latentseek_agents.tools._steps.arithmetic import Binary, Literal, Node, Percent, Sign
from latentseek_agents.tools._steps.equations import Comparison, Side
from latentseek_agents.tools._steps.parser import Parse
from latentseek_agents.verdict import Correction

__all__ = ["corrected_equation", "corrected_output", "written"]

_MOST_PLACES = 4
_LONGEST = 15
_ROUNDED_PLACES = 2
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def corrected_equation(text: str, comparison: Comparison, value: Number | None) -> Correction | None:
    """What should stand in place of the wrong side of an equation.

    Args:
        text: The solution.
        comparison: A refuted equation.
        value: The exact value of its computed side.
    """
    sides = comparison.parses
    if sides is None or value is None:
        return None
    left, right = sides
    if left.other is not None or right.other is not None:
        return None  # each reading computes another value
    if left.operators:
        return _replaced(text, comparison.right, right, value)
    # A result that stands first is corrected there, unless it is that of the equation before.
    return _replaced(text, comparison.left, left, value) if not comparison.continues else None


def corrected_output(text: str, start: int, end: int, printed: str) -> Correction | None:
    """What should stand in place of what a text says that a program prints.

    Args:
        text: The solution.
        start: Offset of the wrong claim.
        end: Offset after it.
        printed: The line that the program prints.
    """
    stated, printed = text[start:end], printed.strip()
    said, prints = list(_NUMBER.finditer(stated)), list(_NUMBER.finditer(printed))
    if len(said) == 1 and len(prints) == 1:
        first, last = said[0].span()
        value = written(Fraction(prints[0][0].replace(",", "")), said[0][0])
        return _correction(text, start + first, start + last, value)
    return _correction(text, start, end, printed)


def written(value: Number, like: str = "") -> str | None:
    """A number as digits, in the manner of another: with its thousands set apart, and at least its decimals.

    Args:
        value: The number; one with many decimals is rounded.
        like: The number that it replaces.

    Returns:
        None if it has too many digits to be written out.

    Example:
        >>> written(Fraction(5, 2)), written(7200, "7,300"), written(72, "73.00"), written(Fraction(100, 3))
        ('2.5', '7,200', '72.00', '33.33')
    """
    exact = Fraction(value)
    shown = len(like.partition(".")[2])
    places = next((n for n in range(_MOST_PLACES + 1) if (exact * 10**n).denominator == 1), _ROUNDED_PLACES)
    places = max(places, shown)
    rounded = round(exact * 10**places)
    if (exact and not rounded) or len(str(abs(rounded))) > _LONGEST:
        return None
    whole, rest = divmod(abs(rounded), 10**places)
    digits = f"{whole:,}" if "," in like else str(whole)
    sign = "-" if rounded < 0 else ""
    return f"{sign}{digits}.{rest:0{places}d}" if places else f"{sign}{digits}"


def _replaced(text: str, side: Side, parse: Parse, value: Number) -> Correction | None:
    tokens = side.tokens[side.start : side.stop]
    if parse.operators:
        first = next((token for token in tokens if token.kind != "currency"), None)
        last = next((token for token in reversed(tokens) if token.kind in ("number", "close")), None)
        if first is None or last is None or parse.has_percent:
            return None
        return _correction(text, first.start, last.end, written(value))
    numbers = [token for token in tokens if token.kind == "number"]
    scaled = _scaled(parse.node, Fraction(value))
    if not numbers or scaled is None:
        return None
    before = [token.text for token in tokens[: tokens.index(numbers[0])]]
    start, end = numbers[0].start, numbers[-1].end
    value_text = written(scaled, text[start:end])
    if "-" in before:
        if before[-1] != "-":  # "-$5": the sign is apart from its number
            return None
        start = tokens[len(before) - 1].start
    return _correction(text, start, end, value_text)


def _scaled(node: Node, value: Fraction) -> Fraction | None:
    """What the digits of a number say if it stands for a value: 60 for 0.6 where a percent sign follows."""
    match node:
        case Literal():
            return value
        case Sign(operand):
            return _scaled(operand, value)
        case Percent(operand):
            return _scaled(operand, value * 100)
        case Binary("*", operand, Literal(scale, -1)) if scale:
            return _scaled(operand, value / scale)
    return None


def _correction(text: str, start: int, end: int, value: str | None) -> Correction | None:
    if value is None:
        return None
    correction = Correction(start, end, text[start:end], value)
    return correction if correction.fits(text) else None
