"""Units of measure and the words that stand behind a number."""

import re
from dataclasses import dataclass
from fractions import Fraction

from latentseek_agents.tools._number_words import SCALES

__all__ = ["CURRENCIES", "NO_UNIT", "SCALE_WORDS", "Unit", "same_dimension", "unit_of"]

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


def _table() -> dict[str, tuple[Fraction, str, int]]:
    """Names to factor, base dimension and its power."""
    sizes = """
    length  1       m meter metre | 1000 km kilometer kilometre | 1/100 cm centimeter centimetre
    length  1/1000  mm millimeter millimetre | 1/10 dm decimeter decimetre | 1/1000000 micrometer micron
    length  127/5000 in inch | 381/1250 ft foot feet | 1143/1250 yd yard | 201168/125 mi mile | 1852 nmi
    time    1 s sec second | 60 min minute | 3600 h hr hour | 86400 d day | 604800 wk week
    time    1/1000 ms millisecond
    time    1209600 fortnight
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
    table: dict[str, tuple[Fraction, str, int]] = {}
    for line in sizes.split("\n"):
        dimension, _, groups = line.strip().partition(" ")
        for group in filter(None, groups.split("|")):
            factor, *names = group.split()
            table.update(dict.fromkeys(names, (Fraction(factor), dimension, 1)))
    litre = Fraction(1, 1000)
    gallon = Fraction(473176473, 125_000_000) * litre
    volumes = {
        "l liter litre": litre,
        "ml milliliter millilitre cc": litre / 1000,
        "cl centiliter centilitre": litre / 100,
        "dl deciliter decilitre": litre / 10,
        "gal gallon": gallon,
        "qt quart": gallon / 4,
        "pt pint": gallon / 8,
        "cup": gallon / 16,
        "tablespoon tbsp": gallon / 256,
        "teaspoon tsp": gallon / 768,
    }
    for volume_names, size in volumes.items():
        table.update(dict.fromkeys(volume_names.split(), (size, "length", 3)))
    table.update(dict.fromkeys(("acre",), (Fraction(316160658, 78125), "length", 2)))
    table.update(dict.fromkeys(("hectare", "ha"), (Fraction(10_000), "length", 2)))
    table.update(dict.fromkeys(("mph",), (Fraction(1397, 3125), "speed", 1)))
    table.update(dict.fromkeys(("kph", "kmh"), (Fraction(5, 18), "speed", 1)))
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
    "c": (Fraction(1), Fraction(27315, 100)),
    "f": (Fraction(5, 9), Fraction(45967, 100)),
    "k": (Fraction(1), Fraction(0)),
}
_TEMPERATURE_NAMES = {"celsius": "c", "centigrade": "c", "fahrenheit": "f", "kelvin": "k"}
_SILENT_WORDS = (
    "of the a an in total altogether each left remaining only exactly away old long tall wide high "
    "apart all unit full whole overall together additional extra long longer"
)
_SILENT = frozenset(_SILENT_WORDS.split())
_FORBIDDEN_WORDS = (
    "not or and but is are isn aren if no none maybe perhaps versus vs than plus minus times to from nor "
    "neither between over divided by until while wrong incorrect either"
)
_FORBIDDEN = frozenset(_FORBIDDEN_WORDS.split())
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_SUFFIXES = {"squared": 2, "cubed": 3}
_UNIT_TOKEN = re.compile(r"[^\W\d_]+|\^\s*\{?\s*(-?\d)\s*\}?|/|\\cdot|[^\s]")
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
        return _temperature(text.strip().casefold())
    reader = _UnitReader()
    tokens = list(_UNIT_TOKEN.finditer(text))
    if not 0 < len(tokens) <= 2 * _MOST_WORDS:
        return None
    for token in tokens:
        if not reader.read(token):
            return None
    return reader.unit()


def same_dimension(first: Unit, second: Unit) -> bool:
    """Whether two units measure the same, or count the same."""
    if first.nouns and second.nouns and not _alike(first.nouns, second.nouns):
        return False
    return first.dimension == second.dimension


def _alike(first: frozenset[str], second: frozenset[str]) -> bool:
    return first <= second or second <= first


def _temperature(name: str) -> Unit | None:
    name = _TEMPERATURE_NAMES.get(name, name)
    if name not in _TEMPERATURES:
        return None
    factor, offset = _TEMPERATURES[name]
    return Unit(factor, (("temperature", 1),), offset=offset)


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

    def read(self, token: re.Match[str]) -> bool:
        written = token.group()
        if token.group(1):
            return self.raise_last(int(token.group(1)))
        if written in ("/", "per"):
            self.sign = -1
            return True
        if written in ("*", "\\cdot", "-", ".", "(", ")", ","):
            return True
        return written[0].isalpha() and self.word(written)

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
        elif word in _TEMPERATURE_NAMES:
            self.powers = {"temperature:" + word: 1}
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
        temperature = next((name for name in self.powers if name.startswith("temperature:")), None)
        if temperature:
            return _temperature(temperature.partition(":")[2]) or NO_UNIT
        if (speed := self.powers.pop("speed", 0)) != 0:
            self.powers["length"] = self.powers.get("length", 0) + speed
            self.powers["time"] = self.powers.get("time", 0) - speed
        dimension = tuple(sorted((name, power) for name, power in self.powers.items() if power))
        nouns = frozenset(self.nouns) if not dimension else frozenset()
        return Unit(self.factor, dimension, nouns, self.scale, price=self.price)


def _known(written: str) -> tuple[Fraction, str, int] | None:
    word = written.casefold()
    if len(written) == 1 and written not in ONE_LETTER_UNITS:
        return None
    for name in (word, _singular(word)):
        if name in _UNITS:
            return _UNITS[name]
    return None


def _singular(word: str) -> str:
    irregular = {"people": "person", "children": "child", "men": "man", "women": "woman", "feet": "foot"}
    if word in irregular:
        return irregular[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ches", "shes", "xes", "sses"):
        if word.endswith(ending):
            return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 2 else word
