"""The words that decide how a line of prose and numbers is to be read."""

from collections.abc import Iterable
from fractions import Fraction
from itertools import combinations

from latentseek_agents.tools._maths.number_words import CARDINALS, SHARES


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A quantity ends before these: a new clause starts.
BREAK_WORDS = _words(
    """and or but so then thus hence therefore because since as if when while whereas where which that who
    whose is are was were be been being am equals equal makes make made making gives give given giving gets
    get got has have had having will would can could should must do does did we he she they it i you there
    this these those let now next finally also not leaves leaving leave means meaning only answer
    total's than remainder step first second third after before giving yields yield becomes become let's
    wait hmm check verify actually instead wrong incorrect correct"""
)

WORD_OPERATORS = {"times": "*", "plus": "+", "minus": "-", "multiplied": "*"}

# They multiply the number before them, but are not read as numbers: often enough they only name a unit.
UNREAD_SCALES = _words(
    """hundred hundreds dozen dozens score gross pair pairs k crore crores lakh lakhs grand bn mn factorial
    doubled tripled halved halves thirds fourths fifths sixths sevenths eighths ninths tenths hundredths"""
)

# Passed over between an operator and a number, with a doubt.
FILLERS = _words(
    """the his her their its my our your another an extra
     additional remaining other same only exactly just usd rs"""
)

APPROXIMATORS = _words("""about approximately approx roughly around almost nearly circa""")

FUNCTIONS = _words(
    """sin cos tan cot sec csc arcsin arccos arctan log ln lg exp lim mod gcd lcm max det floor ceil round
    sum prod int sqrt cbrt abs sinh cosh tanh"""
)

# Right before a number they change it.
SPOKEN_OPERATIONS = _words(
    """twice thrice double doubles doubling triple triples tripling quadruple half halve halving negative
    minus plus times less square squaring cube cubing root factorial average mean median"""
)

# "of" behind one of these names the calculation; behind anything else it may multiply or apply a function.
CALCULATION_NAMES = _words(
    """total totals sum amount cost costs price value number result answer profit loss distance depth height
    length width rate bill speed weight mass area volume perimeter interest payment income salary revenue
    fee age earnings savings balance change difference product quotient quantity time duration budget
    expense expenses size capacity count consisting consists instead out because measure equation
    expression equations roots solution solutions zeros zeroes graph graphs line circle curve parabola ellipse
    hyperbola vertex intersection points system pairs form"""
)

# Behind one of these, "4 and 6 + 1" may be a list.
OF_SEVERAL = _words(
    """average mean median mode range product difference quotient ratio sum total add adding added gcd gcf
    hcf lcm max min maximum minimum larger smaller largest smallest greater greatest lesser least between
    multiply multiplying factor divisor multiple"""
)

SHORT_UNITS = _words(
    """m g l L h s k K C F N J W V A t d b km cm mm nm kg mg ml mL lb lbs oz ft in hr hrs mi yd pm am gb mb kb
    tb GB MB KB TB m2 sq cc kw kW hz px pt pc qt cl dl mph kph rs cm2 st"""
)

# A number behind one of these is a name, not a quantity.
LABELS = _words(
    """step day part case week year month question problem section chapter page line equation example
    option round level grade phase stage number no game test item figure table"""
)

# One of these right before an equation means that the text supposes or denies it.
HYPOTHETICAL = _words("""not if suppose assume assuming imagine instead unless whether never isn't than""")

# One of these before an equation says that it follows from those before it.
DERIVING_WORDS = _words(
    """so then thus hence therefore thereby gives give giving get gets getting solve solving solved solves
    simplify simplifying simplifies simplified subtract subtracting divide dividing multiply multiplying add
    adding combine combining expand expanding factor factoring factors take taking square squaring rearrange
    rearranging rearranged isolate isolating calculate calculating compute computing perform performing
    substitute substituting plug plugging sides becomes become means mean implies imply equivalent cancel
    cancelling canceling distribute distributing cross-multiply evaluate evaluating reduces yields yield
    find finding obtain obtaining rewrite rewriting rewritten written answer solution final finally value"""
)

# One of these before an equation says that it is about something else, or a new condition.
OTHER_SUBJECTS = _words(
    """second third fourth fifth other another others new original old similarly likewise alternatively
    instead case cases different separate separately problem part question example scenario option denote
    denotes represent represents"""
)

# The next sentence or clause may take an equation back if it starts with one of these.
RETRACTIONS = _words("no wait oops nope impossible wrong incorrect false hmm sorry contradiction")

# One of these beside an equation means that the text does not claim it.
DISPUTED = _words(
    """wrong incorrect false mistake mistaken mistakenly impossible invalid untrue error contradiction"""
)

# An answer with one of these beside its number does not say which number it is.
HEDGES = _words(
    """no none nothing neither nor or either anything except but excluding maybe perhaps possibly probably
    presumably unknown unclear unsure uncertain guess guessing any other another something everything cannot
    doubt between deny plus minus reject"""
)

# These may stand between "the answer is" and the number.
LEAD_INS = APPROXIMATORS | _words("a an the total of exactly just only simply is be equal to usd rs")

NUMBER_WORDS = {word: number for word, number in CARDINALS.items() if number > 1} | {
    "hundred": 100, "dozen": 12, "couple": 2, "twice": 2, "double": 2, "doubles": 2, "doubled": 2,
    "thrice": 3, "triple": 3, "triples": 3, "tripled": 3, "quadruple": 4,
}  # fmt: skip
"""Number words of a question; "one" is left out because it is as often a pronoun."""

_SHARE_NAMES = "half third quarter fourth fifth sixth eighth tenth"
SHARE_WORDS = {name: SHARES[name] for name in _SHARE_NAMES.split()} | {"halves": 2}
SHARE_WORDS |= {f"{name}s": SHARES[name] for name in _SHARE_NAMES.split()[1:]}

# Families of units, each unit with its size in the smallest of the family.
_FAMILIES: tuple[dict[str, int], ...] = (
    {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "h": 3600}
    | {"day": 86400, "week": 604800, "month": 2592000, "year": 31536000, "decade": 315360000},
    {"inch": 1, "inche": 1, "in": 1, "foot": 12, "feet": 12, "ft": 12, "yard": 36, "yd": 36}
    | {"mile": 63360, "mi": 63360},
    {"millimeter": 1, "mm": 1, "centimeter": 10, "cm": 10, "meter": 1000, "metre": 1000, "m": 1000}
    | {"kilometer": 10**6, "kilometre": 10**6, "km": 10**6},
    {"ounce": 1, "oz": 1, "pound": 16, "lb": 16, "ton": 32000},
    {"milligram": 1, "mg": 1, "gram": 1000, "g": 1000, "kilogram": 10**6, "kg": 10**6, "kilo": 10**6},
    {"teaspoon": 1, "tablespoon": 3, "cup": 48, "pint": 96, "quart": 192, "gallon": 768},
    {"milliliter": 1, "ml": 1, "liter": 1000, "litre": 1000, "l": 1000},
    {"cent": 1, "penny": 1, "pennie": 1, "nickel": 5, "dime": 10, "quarter": 25, "dollar": 100, "buck": 100},
    {"egg": 1, "item": 1, "unit": 1, "piece": 1, "pair": 2, "dozen": 12},
    {"byte": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
)
# Calendar units have no single ratio; these are the ones people use.
_CALENDAR = {
    frozenset({"month", "week"}): (4,),
    frozenset({"year", "month"}): (12,),
    frozenset({"year", "week"}): (52,),
    frozenset({"month", "day"}): (30, 31, 28, 29),
    frozenset({"year", "day"}): (365, 366, 360),
}
# Compound units, by what stands in them.
_COMPOUNDS = {"mph": ("mile", "hour"), "kph": ("km", "hour")}
_FAMILY_OF = {
    unit: (number, size) for number, family in enumerate(_FAMILIES) for unit, size in family.items()
}


def conversion_factors(units: Iterable[str], *, currency: bool) -> set[Fraction]:
    """The ratios between the units of one kind that are named together.

    Args:
        units: Unit words, singular or plural.
        currency: A currency sign stands there, too.

    Returns:
        Every ratio and its inverse.

    Example:
        >>> sorted(conversion_factors(["hours", "minutes"], currency=False))
        [Fraction(1, 60), Fraction(60, 1)]
    """
    known = _known_units(units)
    if currency:
        known.add("dollar")
    factors: set[Fraction] = set()
    for first, second in combinations(known, 2):
        (family, size), (other_family, other_size) = _FAMILY_OF[first], _FAMILY_OF[second]
        if family == other_family and size != other_size:
            for ratio in _CALENDAR.get(frozenset({first, second}), (Fraction(size, other_size),)):
                factors |= {Fraction(ratio), 1 / Fraction(ratio)}
    return factors


def units_in(larger: str, smaller: str) -> int | None:
    """How many of a unit make one of a larger unit; None if no whole number always does.

    Args:
        larger: A unit word, singular or plural.
        smaller: Another.

    Example:
        >>> units_in("ft", "inches"), units_in("inches", "ft"), units_in("years", "weeks")
        (12, None, None)
    """
    known, others = frozenset(_known_units([larger])), frozenset(_known_units([smaller]))
    if len(known) != 1 or len(others) != 1 or known | others in _CALENDAR:
        return None
    (family, size), (other_family, other_size) = (_FAMILY_OF[unit] for (unit,) in (known, others))
    ratio = Fraction(size, other_size)
    return int(ratio) if family == other_family and ratio > 1 and ratio.denominator == 1 else None


def may_convert(units: Iterable[str], ratio: Fraction) -> bool:
    """Whether a ratio is one between any two units of a kind that is named.

    Args:
        units: Unit words, singular or plural.
        ratio: The ratio to explain.

    Returns:
        True also if the unit that explains it is not named: weeks may be turned into days unsaid.

    Example:
        >>> may_convert(["weeks", "hours"], Fraction(7)), may_convert(["pens"], Fraction(7))
        (True, False)
    """
    families = {_FAMILY_OF[unit][0] for unit in _known_units(units)}
    sizes = [set(_FAMILIES[family].values()) for family in families]
    return any(one == ratio * other for family in sizes for one in family for other in family if one != other)


def _known_units(units: Iterable[str]) -> set[str]:
    known: set[str] = set()
    for word in units:
        for part in _COMPOUNDS.get(word, (word.partition("^")[0],)):
            unit = part if part in _FAMILY_OF else part.removesuffix("s")
            if unit in _FAMILY_OF:
                known.add(unit)
    return known
