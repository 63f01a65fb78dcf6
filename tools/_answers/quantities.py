"""Quantities: a number or expression with its unit of measure, percent sign or currency."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from latentseek_agents.tools._answers.expression import (
    FUNCTIONS,
    ExpressionError,
    Node,
    Token,
    negated,
    number,
    parse_tokens,
)
from latentseek_agents.tools._answers.notation import CURRENCY
from latentseek_agents.tools._maths.number_words import CARDINALS, SCALES

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure, or a word for what is counted.

    Args:
        factor: Its size in the base unit of its dimension.
        dimension: Its base dimensions and their powers, in alphabetical order.
        nouns: What is counted, if it is no unit of measure.
        scale: A factor that belongs to the number, as in "3 million people".
        offset: Where its zero lies in the base unit, before the factor (temperatures).
        price: The part of the factor that belongs to money, as in "5 cents per hour".

    Example:
        >>> unit_of("km/h").factor / unit_of("m/s").factor
        Fraction(5, 18)
    """

    factor: Fraction = Fraction(1)
    dimension: Dimension = ()
    nouns: frozenset[str] = frozenset()
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    price: Fraction = Fraction(1)

    @property
    def missing(self) -> bool:
        """Whether it says nothing about what is measured."""
        return not self.dimension and not self.nouns


NO_UNIT = Unit()


_SIZES = """
    length  1       m meter metre | 1000 km kilometer kilometre | 1/100 cm centimeter centimetre
    length  1/1000  mm millimeter millimetre | 1/10 dm decimeter decimetre | 1/1000000 micrometer micron
    length  127/5000 in inch | 381/1250 ft foot feet | 1143/1250 yd yard | 201168/125 mi mile | 1852 nmi
    length^2 316160658/78125 acre | 10000 hectare ha
    length^3 1/1000 l liter litre | 1/1000000 ml milliliter millilitre cc
    length^3 1/100000 cl centiliter centilitre | 1/10000 dl deciliter decilitre
    length^3 473176473/125000000000 gal gallon | 473176473/500000000000 qt quart
    length^3 473176473/1000000000000 pt pint | 473176473/2000000000000 cup
    length^3 473176473/32000000000000 tablespoon tbsp | 473176473/96000000000000 teaspoon tsp
    speed   1397/3125 mph | 5/18 kph kmh
    time    1 s sec second | 60 min minute | 3600 h hr hour | 86400 d day | 604800 wk week
    time    1/1000 ms millisecond | 1209600 fortnight
    months  1 month mo | 12 yr year | 120 decade | 1200 century
    mass    1 g gram gramme | 1000 kg kilogram kilo | 1/1000 mg milligram | 1000000 tonne t
    mass    45359237/100000 lb pound lbs | 45359237/1600000 oz ounce
    money   1 dollar usd buck | 1/100 cent penny pennies | 1/20 nickel | 1/10 dime | 1/4 quarter
    euro    1 euro eur
    sterling 1 gbp quid | 1/100 pence
    yen     1 yen jpy
    rupee   1 rupee inr rs
    radian  1 radian rad
    angle   1 degree deg | 1/60 arcminute | 1/3600 arcsecond
    data    1 bit | 8 byte | 8000 kb kilobyte | 8000000 mb megabyte | 8000000000 gb gigabyte
    energy  1 j joule | 1000 kj kilojoule | 4184/1000 calorie cal | 4184 kcal kilocalorie | 3600000 kwh
    power   1 watt w | 1000 kw kilowatt | 1000000 mw megawatt
    force   1 n newton | 1000 kn
    voltage 1 v volt
    current 1 amp ampere
    pressure 1 pa pascal | 1000 kpa | 101325 atm
    frequency 1 hz hertz | 1000 khz | 1000000 mhz
"""


def _table() -> dict[str, tuple[Fraction, str, int]]:
    """Names to factor, base dimension and its power."""
    table = {}
    for line in _SIZES.strip().splitlines():
        measure, _, groups = line.strip().partition(" ")
        dimension, _, power = measure.partition("^")
        for group in groups.split("|"):
            factor, *names = group.split()
            table.update(dict.fromkeys(names, (Fraction(factor), dimension, int(power or 1))))
    return table


_UNITS = _table()
CURRENCIES = frozenset(("money", "euro", "sterling", "yen", "rupee"))
# One letter may as well be a variable: a unit only where a blank stands before it.
ONE_LETTER_UNITS = frozenset("mgshLlNJWV")
SCALE_WORDS = {
    **{name: Fraction(value) for name, value in SCALES.items()},
    "hundred": Fraction(100),
    "dozen": Fraction(12),
}
_TEMPERATURES = {
    name: Unit(factor, (("temperature", 1),), offset=offset)
    for names, factor, offset in (
        ("c celsius centigrade", Fraction(1), Fraction(27315, 100)),
        ("f fahrenheit", Fraction(5, 9), Fraction(45967, 100)),
        ("k kelvin", Fraction(1), Fraction(0)),
    )
    for name in names.split()
}
_SILENT = frozenset(
    [
        "of",
        "the",
        "a",
        "an",
        "in",
        "total",
        "altogether",
        "each",
        "left",
        "remaining",
        "only",
        "exactly",
        "away",
        "old",
        "long",
        "tall",
        "wide",
        "high",
        "apart",
        "all",
        "unit",
        "full",
        "whole",
        "overall",
        "together",
        "additional",
        "extra",
        "long",
        "longer",
    ]
)
_FORBIDDEN = frozenset(
    [
        "not",
        "or",
        "and",
        "but",
        "is",
        "are",
        "isn",
        "aren",
        "if",
        "no",
        "none",
        "maybe",
        "perhaps",
        "versus",
        "vs",
        "than",
        "plus",
        "minus",
        "times",
        "to",
        "from",
        "nor",
        "neither",
        "between",
        "over",
        "divided",
        "by",
        "until",
        "while",
        "wrong",
        "incorrect",
        "either",
    ]
)
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_SUFFIXES = {"squared": 2, "cubed": 3}
_UNIT_TOKEN = re.compile(r"[^\W\d_]+|\^\s*\{?\s*(-?\d)\s*\}?|/|\\cdot|[^\s]")
_IRREGULAR = {"people": "person", "children": "child", "men": "man", "women": "woman", "feet": "foot"}
_MOST_WORDS = 10


def unit_of(text: str, *, degree_sign: bool = False) -> Unit | None:
    r"""The unit that a text behind a number names, or None if it is no unit.

    Args:
        text: In plain notation, for example ``"square inches"``, ``"m/s^2"`` or ``"red apples"``.
        degree_sign: Whether a degree sign stands before it, as in "20 °C".

    Example:
        >>> unit_of("hours").factor
        Fraction(3600, 1)
        >>> unit_of("or 6") is None
        True
    """
    if degree_sign:
        return _TEMPERATURES.get(text.strip().casefold())
    reader = _UnitReader()
    tokens = list(_UNIT_TOKEN.finditer(text))
    if not 0 < len(tokens) <= 2 * _MOST_WORDS or not all(map(reader.read, tokens)):
        return None
    return reader.unit()


def same_dimension(first: Unit, second: Unit) -> bool:
    """Whether two units measure the same, or count the same."""
    if first.nouns and second.nouns and not (first.nouns <= second.nouns or second.nouns <= first.nouns):
        return False
    return first.dimension == second.dimension


class _UnitReader:
    """Collects the parts of a unit; what follows "per" or a slash divides."""

    def __init__(self) -> None:
        self.factor = Fraction(1)
        self.scale = Fraction(1)
        self.powers: dict[str, int] = {}
        self.nouns: set[str] = set()
        self.sign = 1
        self.started = False
        self.price = Fraction(1)
        self.next_power = 1
        self.last: tuple[Fraction, str, int] | None = None
        self.temperature: Unit | None = None

    def read(self, token: re.Match[str]) -> bool:
        """Take one token; False if it does not belong to a unit."""
        written = token[0]
        if token[1]:
            return self.raise_last(int(token[1]))
        if written in ("/", "per"):
            self.sign = -1
            return True
        return written in ("*", "\\cdot", "-", ".", "(", ")", ",") or (
            written[0].isalpha() and self.word(written)
        )

    def word(self, written: str) -> bool:
        word = written.casefold()
        if word in _FORBIDDEN:
            return False
        if word in _POWERS:
            self.next_power = _POWERS[word]
        elif word in _SUFFIXES:
            return self.raise_last(_SUFFIXES[word])
        elif word in SCALE_WORDS or word.removesuffix("s") in SCALE_WORDS:
            self.scale *= SCALE_WORDS.get(word) or SCALE_WORDS[word.removesuffix("s")]
        elif not self.nouns and (known := _known(written)):
            factor, dimension, power = known
            self.last = (factor, dimension, power * self.sign)
            self.add(self.last, self.next_power)
            self.next_power = 1
        elif word in _TEMPERATURES and len(word) > 1:
            self.temperature = _TEMPERATURES[word]
        elif (singular := _singular(word)) not in _SILENT and word not in _SILENT and not self.powers:
            self.nouns.add(singular)
        self.started = True
        return len(self.nouns) <= _MOST_WORDS

    def raise_last(self, power: int) -> bool:
        if self.last is None:
            # "5 units squared" is 5 units, "5 squared" is no 5.
            return self.started
        self.add(self.last, power - 1)
        return True

    def add(self, part: tuple[Fraction, str, int], times: int) -> None:
        factor, dimension, power = part
        self.factor *= factor ** (times * (1 if power > 0 else -1))
        self.powers[dimension] = self.powers.get(dimension, 0) + power * times
        if dimension in CURRENCIES and power > 0:
            self.price *= factor

    def unit(self) -> Unit:
        if self.temperature:
            return self.temperature
        speed = self.powers.pop("speed", 0)
        for name, power in (("length", speed), ("time", -speed)):
            self.powers[name] = self.powers.get(name, 0) + power
        dimension = tuple(sorted((name, power) for name, power in self.powers.items() if power))
        nouns = frozenset(self.nouns) if not dimension else frozenset()
        return Unit(self.factor, dimension, nouns, self.scale, price=self.price)


def _known(written: str) -> tuple[Fraction, str, int] | None:
    word = written.casefold()
    if len(written) == 1 and written not in ONE_LETTER_UNITS:
        return None
    return _UNITS.get(word) or _UNITS.get(_singular(word))


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 2 else word


_MOST_TRIALS = 12
_DOLLAR = Unit(dimension=(("money", 1),))
_DEGREE = Unit(dimension=(("angle", 1),))
# Short English words, which are no products of letters.
_NO_PRODUCTS = frozenset(
    [
        "or",
        "is",
        "no",
        "at",
        "in",
        "to",
        "of",
        "by",
        "on",
        "if",
        "as",
        "an",
        "am",
        "pm",
        "so",
        "we",
        "he",
        "it",
        "be",
        "do",
        "go",
        "my",
        "up",
        "us",
        "are",
    ]
)
_CURRENCY_WORDS = frozenset(("USD", "EUR", "GBP", "JPY", "INR", "Rs"))
_NUMERAL = re.compile(r"\(?\s*([0-9A-Fa-f]{1,60})\s*\)?\s*_\s*(?:\{\s*(\w{1,7})\s*\}|(\d+)|\s(\w{1,7}))")
_BASE_WORDS = re.compile(r"([0-9A-Fa-f]{1,60})\s*\(?(?:in )?base[ -](\w{1,7})\)?", re.IGNORECASE)
_OPERATORS = ("+", "-", "*", "/", "\\cdot", "\\times", "^")
_VOWELS = frozenset("aeiou")
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
        >>> from latentseek_agents.tools._answers.expression import tokenize
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
    unit, scale = scalar.unit, scalar.unit.scale
    if unit.dimension and unit.dimension != currency.dimension:
        # "$5 per hour" keeps what it is paid for.
        both = dict(currency.dimension) | dict(unit.dimension)
        return Scalar(scalar.node, Unit(unit.factor, tuple(sorted(both.items())), scale=scale))
    return Scalar(scalar.node, replace(currency, nouns=unit.nouns, scale=scale))


def _numeral(written: str) -> Scalar | None:
    match = _NUMERAL.fullmatch(written) or _BASE_WORDS.fullmatch(written)
    if match is None:
        return None
    digits = match.group(1).upper()
    name = next(group for group in match.groups()[1:] if group)
    base = int(name) if name.isdigit() else CARDINALS.get(name.casefold(), 0)
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
    words = any(_is_word(token) or token.text.casefold() in _NO_PRODUCTS for token in tokens)
    return None if words or _one_letter_unit(tokens) or _temperature(tokens) else _expression(tokens)


def _expression(tokens: list[Token]) -> Scalar | None:
    """The tokens as an expression, with its sign of percent or degrees set apart."""
    try:
        return _marked(parse_tokens(tokens))
    except ExpressionError:
        return None


def _marked(node: Node) -> Scalar:
    if node.has("degree") and (angle := _in_degrees(node)) is not None:
        return Scalar(angle, _DEGREE, degrees=True)
    negative = node.kind == "negate"
    inner = node.args[0] if negative else node
    if inner.kind != "percent":
        return Scalar(node)
    return Scalar(negated(inner.args[0]) if negative else inner.args[0], percent=True)


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
            kinds = [other.kind for other in tokens[:index]]
            return "number" in kinds and "word" not in kinds and tokens[index - 1].text not in _OPERATORS
    return False


def _with_unit(text: str, tokens: list[Token]) -> Scalar | None:
    """The longest beginning that is an expression, if the rest is a unit."""
    starts = [
        index for index, token in enumerate(tokens) if index and (token.kind == "word" or token.text == "/")
    ]
    for index in starts[:_MOST_TRIALS]:
        words = text[tokens[index].start : tokens[-1].end]
        scalar = _expression(tokens[:index])
        if scalar is None:
            continue
        if words.casefold() in _NUMBER_OF_A_WORD:
            return Scalar(scalar.node, percent=True)
        unit = unit_of(words, degree_sign=scalar.degrees)
        if unit is not None and _fits(scalar.node, tokens[index], unit, words):
            return Scalar(scalar.node, unit, percent=scalar.percent)
    if len(starts) > _MOST_TRIALS or (
        len(tokens) == 1 and _is_word(tokens[0]) and not _is_product(tokens[0].text)
    ):
        return None
    return _product(tokens)


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
    for token, following in zip(tokens, (*tokens[1:], None), strict=True):
        if token.kind == "word" and token.text not in FUNCTIONS and len(token.text) > 1:
            apart = token.spaced or (following is not None and following.spaced)
            longest = 2 if apart else 4
            if len(token.text) > longest or token.text.casefold() in _NO_PRODUCTS:
                return None
    return _expression(tokens)
