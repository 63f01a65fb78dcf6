r"""Other ways to write the same answer: phrases around a value, and notations that need a second look.

Everything here turns text into text. A phrase that says nothing (``"the area is"``, ``"approximately"``) is
dropped or becomes a label; a notation with more than one meaning (``C(8,3)``) is offered in its other form
beside the first, and whoever compares may take either.
"""

import re
from collections.abc import Callable

from latentseek_agents.tools._answers.quantities import unit_of
from latentseek_agents.tools._number_words import digits_for_words
from latentseek_agents.tools._words import DISPUTED, HYPOTHETICAL, LABELS

__all__ = ["NO_LABELS", "wordings"]

_APPROXIMATELY = re.compile(
    r"(?<![\w\\-])(?:approximately|approx\b\.?|about|roughly|around|circa|nearly)\s+(?=-?[¤\d.\\(])",
    re.IGNORECASE,
)
_APPROXIMATELY_AFTER = re.compile(r"\s*\(?\b(?:approximately|approx\.?|or so)\)?\Z", re.IGNORECASE)
_FILLER = re.compile(
    r"\A(?:exactly|only|just|precisely|a total of|in total,?|altogether,?)\s+(?=[-¤\d\\])", re.IGNORECASE
)
_KIND = re.compile(
    r"\A(?:the )?(?:point|interval|set|vector|matrix|ordered pair|pair|triple)s? (?=[(\[{\\])", re.IGNORECASE
)
_UNIT_IN_BRACKETS = re.compile(r"(.{0,200}\d) ?(?:\(([A-Za-z/^\d ]{1,20})\)|\[([A-Za-z/^\d ]{1,20})\])")
_PERCENT = re.compile(r"(?<=[\d}]) ?(?:percent|per cent|pct\.?)(?![A-Za-z])", re.IGNORECASE)
# "An increase of 10%" is "10% increase".
_CHANGE_OF = re.compile(
    r"\A(?:an? |it )?(increase|decrease|rise|drop|reduction|gain|loss|profit|discount)[ds]? (?:of|by) "
    r"([¤\d\\].*)\Z",
    re.IGNORECASE,
)
# "The area of the circle is 12", "x is 7", "Total: 12".
_STATEMENT = re.compile(
    r"(?:(?:so|thus|hence|therefore|then),? )?"
    r"(?P<label>[A-Za-z][A-Za-z']{0,20}(?: [A-Za-z'][A-Za-z']{0,20}){0,11})"
    r"(?: (?:is|are|was|were|has|have|equals?|will be|would be|must be|should be)"
    r"(?: (?:equal to|therefore|thus|simply|exactly))?|(?<=[A-Za-z][a-z][a-z]):| =) +(?P<value>\S.{0,400})",
    re.DOTALL | re.IGNORECASE,
)
_NO_LABEL_NAMES = (
    "no none neither nor or and one either maybe perhaps except but excluding cannot can't isn't aren't "
    "wasn't won't don't doesn't doubt doubtful unlikely rule ruled untrue invalid"
)
NO_LABELS = frozenset(_NO_LABEL_NAMES.split()) | HYPOTHETICAL | DISPUTED
# A sentence that ends in its one quantity: "So Janet makes $18 per day".
_SENTENCE = re.compile(
    r"(?:(?:so|thus|hence|therefore|then|in total|altogether|finally),? )?"
    r"(?P<label>[A-Za-z][A-Za-z'-]{0,20}(?: [A-Za-z'-]{1,20}){1,14}) (?P<value>(?:¤ ?|-)?\d[^=]{0,100})",
    re.IGNORECASE,
)
_HEDGE_NAMES = (
    "least most more less fewer greater under over below above up down between within almost minus plus "
    "times negative half double twice triple square root power logarithm log base divided by percent of "
    "from only nearly exceeds option choice to"
)
_HEDGES = NO_LABELS | LABELS | frozenset(_HEDGE_NAMES.split())
_AND_A_FRACTION = re.compile(
    r"(-?\d{1,9}) and (?:(?P<half>(?:a |one )?half)\b|(\d{1,4}) ?/ ?(\d{1,4}))(?P<rest>.*)"
)
_AND_A_LATEX_FRACTION = re.compile(
    r"(-?\d{1,9}) and (\\frac ?\{\d{1,4}\} ?\{\d{1,4}\}|\\frac ?\d\d)(?P<rest>.*)"
)
_SHARE = re.compile(r"(\d{1,9}) (?:out of|in|of) (?:every )?(\d{1,9})(?: chance)?", re.IGNORECASE)
_EXCEPT = re.compile(
    r"(?:x is )?(?:all |any |every )?(?:real|reals|real numbers?|\\reals)(?: x)?,? ?"
    r"(?:except|excluding|other than|but)(?: for)?(?: when)? (?:x ?= ?)?(?P<taken>.{1,80})",
    re.IGNORECASE,
)
_REALS_MINUS = re.compile(r"\\reals ?[-\\]? ?(?=\\?\{)")
_SCRIPTED_CHOICE = re.compile(
    r"(?<![\w}])(?:\{ ?\} ?)?[_^] ?\{? ?(\w{1,6}) ?\}? ?([CP]) ?_? ?\{? ?(\w{1,6}) ?\}?(?!\w)"
)
_PLAIN_CHOICE = re.compile(r"(?<!\w)(\d{1,6})([CP])_?(\d{1,6})(?!\w)")
_CALLED_CHOICE = re.compile(r"(?<![\w\\])n?([CP])r? ?\( ?(\w{1,6}) ?, ?(\w{1,6}) ?\)")
_SUBSCRIPT_FIRST = re.compile(r"(?<![\w\\])([CP])_ ?\{? ?(\w{1,6}) ?\}? ?\^ ?\{? ?(\w{1,6}) ?\}?")
_SUPERSCRIPT_FIRST = re.compile(r"(?<![\w\\])([CP])\^ ?\{? ?(\w{1,6}) ?\}? ?_ ?\{? ?(\w{1,6}) ?\}?")
_CHOOSE = re.compile(r"(?<!\w)(\w{1,6}) choose (\w{1,6})(?!\w)", re.IGNORECASE)
_UNIT_FRACTION = re.compile(
    r"(?P<number>.*[\d})] ?)\\frac ?\{(?P<top>[A-Za-z^\d{} ]{1,30})\} ?\{(?P<bottom>[A-Za-z^\d{} ]{1,30})\}"
)
_POUNDS = re.compile(r"(?<!per )\bpounds?\b", re.IGNORECASE)
_HOURS = re.compile(r"(?<=\d)h(?= ?\d{1,2} ?m)")
_FEET_AND_INCHES = re.compile(r"(\d{1,4}) ?' ?(\d{1,2}(?:\.\d{1,4})?) ?(?:\"|'')?")
_THOUSANDS = re.compile(r"(¤ ?\d{1,9}(?:\.\d{1,9})?) ?[kK]")
_PREFIXED_BASES = {"x": 16, "b": 2, "o": 8}


def wordings(plain: str) -> list[str]:
    r"""The ways to read a text in plain notation, the nearest to what is written first.

    Args:
        plain: In plain notation.

    Example:
        >>> wordings("the area is approximately 12 cm")
        ['the area = 12 cm']
        >>> wordings("C(8, 3)")
        ['C(8, 3)', '\\binom{8}{3}']
    """
    first = _APPROXIMATELY_AFTER.sub("", _APPROXIMATELY.sub("", plain))
    first = _PERCENT.sub("%", _FILLER.sub("", first))
    first = _KIND.sub("", first).replace("US¤", "¤").replace("Rs. ", "Rs ")
    first = _CHANGE_OF.sub(r"\2 \1", first)
    first = _REALS_MINUS.sub(r"\\reals \\setminus ", first)
    first = _prefixed(first) or _stated(first)
    found = [first]
    for change in _CHANGES:
        changed = change(first)
        if changed and changed not in found:
            found.append(changed)
    return found


def _stated(text: str) -> str:
    """A sentence such as "the area is twelve" as an equation, "the area = 12"."""
    if match := _EXCEPT.fullmatch(text):
        taken = match["taken"].replace(" and ", ", ").replace(" or ", ", ").strip("{}\\ ")
        return rf"\reals \setminus \{{{digits_for_words(taken)}\}}"
    for pattern, forbidden in ((_STATEMENT, NO_LABELS), (_SENTENCE, _HEDGES)):
        match = pattern.fullmatch(text)
        if match and forbidden.isdisjoint(match["label"].casefold().split()):
            return f"{match['label']} = {digits_for_words(match['value'])}"
    return digits_for_words(text)


def _mixed(text: str) -> str:
    if match := _AND_A_FRACTION.fullmatch(text):
        top, bottom = ("1", "2") if match["half"] else (match[3], match[4])
        return f"{match[1]} {top}/{bottom}{match['rest']}" if int(top) < int(bottom) else ""
    match = _AND_A_LATEX_FRACTION.fullmatch(text)
    return f"{match[1]}{match[2]}{match['rest']}" if match else ""


def _share(text: str) -> str:
    match = _SHARE.fullmatch(text)
    return rf"\frac{{{match[1]}}}{{{match[2]}}}" if match else ""


def _choices(text: str) -> str:
    """Combinations and permutations in the notations of school books."""
    if "C" not in text and "P" not in text and "choose" not in text:
        return ""

    def written(letter: str, upper: str, lower: str) -> str:
        if letter == "C":
            return rf"\binom{{{upper}}}{{{lower}}}"
        return rf"\frac{{{upper}!}}{{({upper}-{lower})!}}"

    for pattern in (_SCRIPTED_CHOICE, _PLAIN_CHOICE):
        text = pattern.sub(lambda match: written(match[2], match[1], match[3]), text)
    for pattern in (_CALLED_CHOICE, _SUPERSCRIPT_FIRST, _SUBSCRIPT_FIRST):
        text = pattern.sub(lambda match: written(*match.groups()), text)
    return _CHOOSE.sub(r"\\binom{\1}{\2}", text)


def _unit_fraction(text: str) -> str:
    r"""``5 \frac{m}{s^2}`` as ``5 m/s^2``, if that is a unit."""
    match = _UNIT_FRACTION.fullmatch(text)
    if match is None:
        return ""
    unit = f"{match['top'].strip()}/{match['bottom'].strip()}"
    known = unit_of(unit)
    return f"{match['number'].rstrip()} {unit}" if known and len(known.dimension) > 1 else ""


def _sterling(text: str) -> str:
    """Pounds as money; a word for a weight and for a currency contradicts neither."""
    return _POUNDS.sub("GBP", text) if "ound" in text else ""


def _lengths_and_times(text: str) -> str:
    if match := _FEET_AND_INCHES.fullmatch(text):
        return f"{match[1]} feet {match[2]} inches"
    return _HOURS.sub(" h ", text) if _HOURS.search(text) else ""


def _thousands(text: str) -> str:
    match = _THOUSANDS.fullmatch(text)
    return f"{match[1]} thousand" if match else ""


def _prefixed(text: str) -> str:
    """0xFF as a number to the base 16."""
    match = re.fullmatch(r"0([xbo])([0-9A-Fa-f]{1,60})", text)
    return f"{match[2]}_{_PREFIXED_BASES[match[1]]}" if match else ""


def _unit_in_brackets(text: str) -> str:
    match = _UNIT_IN_BRACKETS.fullmatch(text)
    name = (match[2] or match[3]) if match else ""
    unit = unit_of(name) if name else None
    return f"{match[1]} {name}" if match and unit and unit.dimension else ""


def _exact_part(text: str) -> str:
    """What is told exactly before it is rounded: "√2 ≈ 1.414"."""
    exact, sign, _ = text.rpartition("\\approx")
    return exact.strip() if sign and re.search(r"[\d√]|\\pi", exact) else ""


def _first_of_equations(text: str) -> str:
    """``x != 1, 2`` with both inequations written out."""
    match = re.fullmatch(
        r"([A-Za-z]) ?!= ?([^,=<>]{1,40}(?:,[^,=<>]{1,40}){1,8})", text.replace(" and ", ",")
    )
    if match is None:
        return ""
    return ", ".join(f"{match[1]} != {part.strip()}" for part in match[2].split(","))


_CHANGES: tuple[Callable[[str], str], ...] = (
    _mixed,
    _share,
    _choices,
    _unit_fraction,
    _sterling,
    _lengths_and_times,
    _thousands,
    _exact_part,
    _unit_in_brackets,
    _first_of_equations,
)
