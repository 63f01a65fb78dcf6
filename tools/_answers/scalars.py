"""One number or expression with its unit, percent sign or currency."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from latentseek_agents.tools._answers.expression import ExpressionError, Node, number, parse_tokens
from latentseek_agents.tools._answers.expression_tokens import FUNCTIONS, Token
from latentseek_agents.tools._answers.notation import CURRENCY
from latentseek_agents.tools._answers.quantities import NO_UNIT, ONE_LETTER_UNITS, Unit, unit_of

__all__ = ["Scalar", "read_scalar"]

_MOST_TRIALS = 12
_DOLLAR = Unit(dimension=(("money", 1),))
_DEGREE = Unit(dimension=(("angle", 1),))
# Short English words, which are no products of letters.
_SHORT_WORDS = "or is no at in to of by on if as an am pm so we he it be do go my up us are"
_NO_PRODUCTS = frozenset(_SHORT_WORDS.split())
_CURRENCY_WORDS = frozenset(("USD", "EUR", "GBP", "JPY", "INR", "Rs"))
_NUMERAL = re.compile(r"\(?\s*([0-9A-Fa-f]{1,60})\s*\)?\s*_\s*(?:\{\s*(\w{1,7})\s*\}|(\d+)|\s(\w{1,7}))")
_BASE_WORDS = re.compile(r"([0-9A-Fa-f]{1,60})\s*\(?(?:in )?base[ -](\w{1,7})\)?", re.IGNORECASE)
_VOWELS = frozenset("aeiou")
_BASE_NAMES = "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_BASES = {name: base for base, name in enumerate(_BASE_NAMES.split(), 2)}
_NUMBER_OF_A_WORD = frozenset(("percent", "per cent", "pct", "percentage"))


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number or expression with what is written around it.

    Args:
        node: The expression.
        unit: Its unit.
        percent: Whether a percent sign stands behind it; the node is the number before the sign.
        degrees: Whether a degree sign stands behind it; the node is the number before the sign.
        numeral: Digits and base, if it is written in a number system of its own.
    """

    node: Node
    unit: Unit = NO_UNIT
    percent: bool = False
    degrees: bool = False
    numeral: tuple[str, int] | None = None


def read_scalar(text: str, tokens: Sequence[Token]) -> Scalar:
    r"""The scalar that a run of tokens makes.

    Args:
        text: The text that the tokens are from.
        tokens: All tokens of the scalar.

    Raises:
        ExpressionError: They make none.

    Example:
        >>> from latentseek_agents.tools._answers.expression_tokens import tokenize
        >>> read_scalar("36 dollars", tokenize("36 dollars")).unit.dimension
        (('money', 1),)
    """
    written = text[tokens[0].start : tokens[-1].end]
    if numeral := _numeral(written):
        return numeral
    rest, currency = _without_currency(tokens)
    if not rest:
        raise ExpressionError("a currency without an amount")
    scalar = _whole(rest) or _with_unit(text, rest)
    if scalar is None:
        raise ExpressionError(f"{written[:80]!r} is no quantity")
    if currency is None:
        return scalar
    factor = scalar.unit.scale
    if scalar.unit.dimension and scalar.unit.dimension != currency.dimension:
        # "$5 per hour" keeps what it is paid for.
        both = dict(currency.dimension)
        both.update(scalar.unit.dimension)
        return Scalar(scalar.node, Unit(scalar.unit.factor, tuple(sorted(both.items())), scale=factor))
    unit = Unit(currency.factor, currency.dimension, scalar.unit.nouns, factor, price=currency.price)
    return Scalar(scalar.node, unit)


def _numeral(written: str) -> Scalar | None:
    match = _NUMERAL.fullmatch(written) or _BASE_WORDS.fullmatch(written)
    if match is None:
        return None
    digits = match.group(1).upper()
    name = next(group for group in match.groups()[1:] if group)
    base = int(name) if name.isdigit() else _BASES.get(name.casefold(), 0)
    if not 2 <= base <= 16 or any(int(digit, 16) >= base for digit in digits):
        return None
    return Scalar(number(Fraction(int(digits, base))), numeral=(digits.lstrip("0") or "0", base))


def _without_currency(tokens: Sequence[Token]) -> tuple[list[Token], Unit | None]:
    rest = list(tokens)
    if len(rest) > 2 and rest[-1].text == CURRENCY and CURRENCY in (rest[0].text, rest[1].text):
        # A sign of dollars before and behind the amount was meant for a formula.
        del rest[-1]
    for index in (0, 1, len(rest) - 1):
        if index >= len(rest) or (index == 1 and rest[0].text not in ("-", "+")):
            continue
        name = rest[index].text
        if name == CURRENCY or name in _CURRENCY_WORDS:
            unit = _DOLLAR if name == CURRENCY else unit_of(name.casefold())
            del rest[index]
            return rest, unit
    return rest, None


def _whole(tokens: list[Token]) -> Scalar | None:
    """The tokens as one expression without words, if they are one."""
    if (
        any(_is_word(token) or token.text.casefold() in _NO_PRODUCTS for token in tokens)
        or _one_letter_unit(tokens)
        or _temperature(tokens)
    ):
        return None
    try:
        return _marked(parse_tokens(tokens))
    except ExpressionError:
        return None


def _marked(node: Node) -> Scalar:
    if node.has("degree") and (angle := _in_degrees(node)) is not None:
        return Scalar(angle, _DEGREE, degrees=True)
    sign = node.kind == "negate"
    inner = node.args[0] if sign else node
    if inner.kind in ("percent", "degree"):
        value = Node("negate", inner.args) if sign else inner.args[0]
        if inner.kind == "percent":
            return Scalar(value, percent=True)
        return Scalar(value, _DEGREE, degrees=True)
    return Scalar(node)


def _in_degrees(node: Node) -> Node | None:
    """The number of degrees of sums and multiples of degrees: 90° - 30°, 2 * 45°."""
    if node.kind == "degree":
        return node.args[0]
    parts = [_in_degrees(arg) for arg in node.args]
    if node.kind in ("add", "negate") and None not in parts:
        return Node(node.kind, tuple(part for part in parts if part is not None))
    if node.kind == "multiply" and parts.count(None) == 1:
        return Node(node.kind, tuple(part or arg for part, arg in zip(parts, node.args, strict=True)))
    if node.kind == "divide" and parts[0] is not None and not node.args[1].has("degree"):
        return Node(node.kind, (parts[0], node.args[1]))
    return None


def _is_word(token: Token) -> bool:
    """Whether a run of letters is rather a word than a product of letters."""
    if token.kind != "word" or token.text in FUNCTIONS or token.text in ("pi", "infinity", "infty", "inf"):
        return False
    return len(token.text) > 2 or (len(token.text) == 2 and unit_is_known(token.text))


def _is_product(word: str) -> bool:
    """Whether a lone run of letters is none of a language: xyz, but not "cat"."""
    return 3 <= len(word) <= 4 and len(set(word)) == len(word) and _VOWELS.isdisjoint(word) and word.islower()


def unit_is_known(word: str) -> bool:
    """Whether a word is a unit of measure by itself."""
    unit = unit_of(word)
    return unit is not None and bool(unit.dimension)


def _temperature(tokens: list[Token]) -> bool:
    return len(tokens) > 2 and tokens[-2].text == "\\circ" and tokens[-1].text in ("C", "F", "K")


def _one_letter_unit(tokens: list[Token]) -> bool:
    """Whether the tokens end in a number, a blank, and a letter that is a unit: 5 m, 5 m^2, 5 m/s."""
    for index, token in enumerate(tokens[1:], start=1):
        if token.kind == "word" and token.spaced and token.text in ONE_LETTER_UNITS:
            symbols = any(other.kind == "word" for other in tokens[:index])
            counted = any(other.kind == "number" for other in tokens[:index])
            return (
                counted
                and not symbols
                and tokens[index - 1].text
                not in (
                    "+",
                    "-",
                    "*",
                    "/",
                    "\\cdot",
                    "\\times",
                    "^",
                )
            )
    return False


def _with_unit(text: str, tokens: list[Token]) -> Scalar | None:
    """The longest beginning that is an expression, if the rest is a unit."""
    trials = 0
    for index, token in enumerate(tokens):
        if (
            token.kind not in ("word", "operator")
            or index == 0
            or (token.kind == "operator" and token.text != "/")
        ):
            continue
        trials += 1
        if trials > _MOST_TRIALS:
            return None
        words = text[token.start : tokens[-1].end]
        try:
            scalar = _marked(parse_tokens(tokens[:index]))
        except ExpressionError:
            continue
        if words.casefold() in _NUMBER_OF_A_WORD:
            return Scalar(scalar.node, percent=True)
        unit = unit_of(words, degree_sign=scalar.degrees)
        if unit is not None and _fits(scalar.node, token, unit, words):
            return Scalar(scalar.node, unit, percent=scalar.percent)
    if len(tokens) > 1 or not _is_word(tokens[0]) or _is_product(tokens[0].text):
        return _product(tokens)
    return None


def _fits(node: Node, token: Token, unit: Unit, words: str) -> bool:
    if token.text == "/":
        # "5/hour" has no unit before the slash, and "5/x" is a fraction.
        return len(words) > 3 and bool(unit.dimension)
    if node.symbols():
        return len(token.text) > 2 or (len(token.text) == 2 and token.spaced and bool(unit.dimension))
    if len(token.text) == 1:
        return unit.offset != 0 or (token.spaced and token.text in ONE_LETTER_UNITS)
    if len(token.text) == 2:
        return bool(unit.dimension)
    return token.spaced or bool(unit.dimension) or unit.scale != 1


def _product(tokens: list[Token]) -> Scalar | None:
    """The tokens as an expression in which short runs of letters are products."""
    for index, token in enumerate(tokens):
        if token.kind != "word" or token.text in FUNCTIONS or len(token.text) < 2:
            continue
        apart = token.spaced or (index + 1 < len(tokens) and tokens[index + 1].spaced)
        if len(token.text) > 4 or (len(token.text) > 2 and apart) or token.text.casefold() in _NO_PRODUCTS:
            return None
    try:
        return _marked(parse_tokens(tokens))
    except ExpressionError:
        return None
