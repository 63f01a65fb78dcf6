r"""Other ways to write the same answer: phrases around a value, and notations that need a second look.

Everything here turns text in plain notation into text. A phrase that says nothing (``"the area is"``,
``"approximately"``) is dropped or becomes a label; a notation with more than one meaning (``C(8,3)``) yields
several wordings, any of which may be the right one.
"""

import re
from collections.abc import Callable

from latentseek_agents.tools._answers.quantities import unit_of
from latentseek_agents.tools._maths.number_words import digits_for_words
from latentseek_agents.tools._maths.words import DISPUTED, HYPOTHETICAL, LABELS

_Rules = tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]

# "The area of the circle is 12", "x is 7", "Total: 12".
_STATEMENT = re.compile(
    r"(?:(?:so|thus|hence|therefore|then),? )?"
    r"(?P<label>[A-Za-z][A-Za-z']{0,20}(?: [A-Za-z'][A-Za-z']{0,20}){0,11})"
    r"(?: (?:is|are|was|were|has|have|equals?|will be|would be|must be|should be)"
    r"(?: (?:equal to|therefore|thus|simply|exactly))?|(?<=[A-Za-z][a-z][a-z]):| =) +(?P<value>\S.{0,400})",
    re.DOTALL | re.IGNORECASE,
)
NO_LABELS = HYPOTHETICAL | DISPUTED
NO_LABELS |= frozenset(
    [
        "no",
        "none",
        "neither",
        "nor",
        "or",
        "and",
        "one",
        "either",
        "maybe",
        "perhaps",
        "except",
        "but",
        "excluding",
        "cannot",
        "can't",
        "isn't",
        "aren't",
        "wasn't",
        "won't",
        "don't",
        "doesn't",
        "doubt",
        "doubtful",
        "unlikely",
        "rule",
        "ruled",
        "untrue",
        "invalid",
    ]
)
# A sentence that ends in its one quantity: "So Janet makes $18 per day".
_SENTENCE = re.compile(
    r"(?:(?:so|thus|hence|therefore|then|in total|altogether|finally),? )?"
    r"(?P<label>[A-Za-z][A-Za-z'-]{0,20}(?: [A-Za-z'-]{1,20}){1,14}) (?P<value>(?:¤ ?|-)?\d[^=]{0,100})",
    re.IGNORECASE,
)
_HEDGES = NO_LABELS | LABELS
_HEDGES |= frozenset(
    [
        "least",
        "most",
        "more",
        "less",
        "fewer",
        "greater",
        "under",
        "over",
        "below",
        "above",
        "up",
        "down",
        "between",
        "within",
        "almost",
        "minus",
        "plus",
        "times",
        "negative",
        "half",
        "double",
        "twice",
        "triple",
        "square",
        "root",
        "power",
        "logarithm",
        "log",
        "base",
        "divided",
        "by",
        "percent",
        "of",
        "from",
        "only",
        "nearly",
        "exceeds",
        "option",
        "choice",
        "to",
    ]
)
_EXCEPT = re.compile(
    r"(?:x is )?(?:all |any |every )?(?:real|reals|real numbers?|\\reals)(?: x)?,? ?"
    r"(?:except|excluding|other than|but)(?: for)?(?: when)? (?:x ?= ?)?(?P<taken>.{1,80})",
    re.IGNORECASE,
)
# "Yes, because ..." says yes.
_VERDICT = re.compile(r"(yes|no|true|false)[,.;] (?!.*\b(?:yes|no|true|false|but|maybe)\b)", re.IGNORECASE)
_LONGEST_PROSE = 400
_MATHEMATICAL = frozenset("0123456789\\=<>+*/^_|{}[]%¤!√")
_SYNONYMS = {
    phrase: meaning
    for meaning, phrases in {
        "no solution": "no solutions|none|empty set|no real solution|no real solutions|no real roots"
        "|no solution exists|no solutions exist|there is no solution|there are no solutions|null set",
        "undefined": "dne|does not exist|not defined|limit does not exist",
        "all real numbers": "all reals|real numbers|every real number",
        "integers": "all integers|set of integers|set of all integers",
        "infinitely many solutions": "infinitely many|infinite solutions",
        "monday": "mon",
        "tuesday": "tue|tues",
        "wednesday": "wed",
        "thursday": "thu|thur|thurs",
        "friday": "fri",
        "saturday": "sat",
        "sunday": "sun",
    }.items()
    for phrase in phrases.split("|")
}


def _taken(match: re.Match[str]) -> str:
    """All real numbers but those that a text excepts."""
    excepted = match["taken"].replace(" and ", ", ").replace(" or ", ", ").strip("{}\\ ")
    return rf"\reals \setminus \{{{digits_for_words(excepted)}\}}"


def _unit_fraction(match: re.Match[str]) -> str:
    r"""``5 \frac{m}{s^2}`` as ``5 m/s^2``, if that is a unit."""
    unit = f"{match['top'].strip()}/{match['bottom'].strip()}"
    known = unit_of(unit)
    return f"{match['number'].rstrip()} {unit}" if known and len(known.dimension) > 1 else match[0]


def _unit_in_brackets(match: re.Match[str]) -> str:
    name = match[2] or match[3]
    unit = unit_of(name)
    return f"{match[1]} {name}" if unit and unit.dimension else match[0]


def _inequations(match: re.Match[str]) -> str:
    """``x != 1, 2`` with both inequations written out."""
    parts = re.split(",| and ", match[2])
    return ", ".join(f"{match[1]} != {part.strip()}" for part in parts) if all(parts) else match[0]


def _exact_part(match: re.Match[str]) -> str:
    exact = match[1].strip()
    return exact if re.search(r"[\d√]|\\pi", exact) else match[0]


def _choice(match: re.Match[str]) -> str:
    """A number of combinations or permutations in a notation of school books."""
    upper, lower = match["upper"], match["lower"]
    if match["letter"] == "P":
        return rf"\frac{{{upper}!}}{{({upper}-{lower})!}}"
    return rf"\binom{{{upper}}}{{{lower}}}"


# What says nothing, and what is written in one way before anything else.
_TIDYING: _Rules = (
    (
        re.compile(
            r"(?<![\w\\-])(?:approximately|approx\b\.?|about|roughly|around|circa|nearly)\s+(?=-?[¤\d.\\(])",
            re.IGNORECASE,
        ),
        "",
    ),
    (re.compile(r"\s*\(?\b(?:approximately|approx\.?|or so)\)?\Z", re.IGNORECASE), ""),
    (
        re.compile(
            r"\A(?:exactly|only|just|precisely|a total of|in total,?|altogether,?)\s+(?=[-¤\d\\])",
            re.IGNORECASE,
        ),
        "",
    ),
    (re.compile(r"(?<=[\d}]) ?(?:percent|per cent|pct\.?)(?![A-Za-z])", re.IGNORECASE), "%"),
    (
        re.compile(
            r"\A(?:the )?(?:point|interval|set|vector|matrix|ordered pair|pair|triple)s? (?=[(\[{\\])",
            re.IGNORECASE,
        ),
        "",
    ),
    (re.compile("US¤"), "¤"),
    (re.compile(r"Rs\. "), "Rs "),
    # "An increase of 10%" is "10% increase".
    (
        re.compile(
            r"\A(?:an? |it )?(increase|decrease|rise|drop|reduction|gain|loss|profit|discount)[ds]?"
            r" (?:of|by) ([¤\d\\].*)\Z",
            re.IGNORECASE,
        ),
        r"\2 \1",
    ),
    (re.compile(r"\\reals ?[-\\]? ?(?=\\?\{)"), r"\\reals \\setminus "),
    # 0xFF is a number to the base 16.
    (re.compile(r"\A0x([0-9A-Fa-f]{1,60})\Z"), r"\1_16"),
    (re.compile(r"\A0b([0-9A-Fa-f]{1,60})\Z"), r"\1_2"),
    (re.compile(r"\A0o([0-9A-Fa-f]{1,60})\Z"), r"\1_8"),
)
# The other form of a notation with two meanings.
_ALTERNATIVES: _Rules = (
    (re.compile(r"\A(-?\d{1,9}) and (?:a |one )?half\b(.*)\Z"), r"\1 1/2\2"),
    (re.compile(r"\A(-?\d{1,9}) and (\d{1,4} ?/ ?\d{1,4}.*)\Z"), r"\1 \2"),
    (re.compile(r"\A(-?\d{1,9}) and (\\frac ?(?:\{\d{1,4}\} ?\{\d{1,4}\}|\d\d).*)\Z"), r"\1\2"),
    (
        re.compile(r"\A(\d{1,9}) (?:out of|in|of) (?:every )?(\d{1,9})(?: chance)?\Z", re.IGNORECASE),
        r"\\frac{\1}{\2}",
    ),
    (
        re.compile(
            r"\A(?P<number>.*[\d})] ?)\\frac ?\{(?P<top>[A-Za-z^\d{} ]{1,30})\}"
            r" ?\{(?P<bottom>[A-Za-z^\d{} ]{1,30})\}\Z"
        ),
        _unit_fraction,
    ),
    # A word for a weight and for a currency contradicts neither.
    (re.compile(r"(?<!per )\bpounds?\b", re.IGNORECASE), "GBP"),
    (re.compile(r"\A(\d{1,4}) ?' ?(\d{1,2}(?:\.\d{1,4})?) ?(?:\"|'')?\Z"), r"\1 feet \2 inches"),
    (re.compile(r"(?<=\d)h(?= ?\d{1,2} ?m)"), " h "),
    (re.compile(r"\A(¤ ?\d{1,9}(?:\.\d{1,9})?) ?[kK]\Z"), r"\1 thousand"),
    # What is told exactly before it is rounded: "√2 ≈ 1.414".
    (re.compile(r"\A(.*)\\approx.*\Z"), _exact_part),
    (
        re.compile(r"\A(.{0,200}\d) ?(?:\(([A-Za-z/^\d ]{1,20})\)|\[([A-Za-z/^\d ]{1,20})\])\Z"),
        _unit_in_brackets,
    ),
    (re.compile(r"\A([A-Za-z]) ?!= ?([^=<>]{1,400})\Z"), _inequations),
)
_CHOICES = (
    re.compile(
        r"(?<![\w}])(?:\{ ?\} ?)?[_^] ?\{? ?(?P<upper>\w{1,6}) ?\}? ?(?P<letter>[CP])"
        r" ?_? ?\{? ?(?P<lower>\w{1,6}) ?\}?(?!\w)"
    ),
    re.compile(r"(?<!\w)(?P<upper>\d{1,6})(?P<letter>[CP])_?(?P<lower>\d{1,6})(?!\w)"),
    re.compile(r"(?<![\w\\])n?(?P<letter>[CP])r? ?\( ?(?P<upper>\w{1,6}) ?, ?(?P<lower>\w{1,6}) ?\)"),
    re.compile(
        r"(?<![\w\\])(?P<letter>[CP])\^ ?\{? ?(?P<upper>\w{1,6}) ?\}? ?_ ?\{? ?(?P<lower>\w{1,6}) ?\}?"
    ),
    re.compile(
        r"(?<![\w\\])(?P<letter>[CP])_ ?\{? ?(?P<upper>\w{1,6}) ?\}? ?\^ ?\{? ?(?P<lower>\w{1,6}) ?\}?"
    ),
    re.compile(r"(?<!\w)(?P<upper>\w{1,6}) (?P<letter>choose) (?P<lower>\w{1,6})(?!\w)", re.IGNORECASE),
)


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
    first = plain
    for pattern, replacement in _TIDYING:
        first = pattern.sub(replacement, first)
    first = _stated(first)
    choices = first
    for pattern in _CHOICES:
        choices = pattern.sub(_choice, choices)
    others = [pattern.sub(replacement, first) for pattern, replacement in _ALTERNATIVES]
    return [text for text in dict.fromkeys((first, choices, *others)) if text]


def _stated(text: str) -> str:
    """A sentence such as "the area is twelve" as an equation, "the area = 12"."""
    if match := _EXCEPT.fullmatch(text):
        return _taken(match)
    for pattern, forbidden in ((_STATEMENT, NO_LABELS), (_SENTENCE, _HEDGES)):
        match = pattern.fullmatch(text)
        if match and forbidden.isdisjoint(match["label"].casefold().split()):
            return f"{match['label']} = {digits_for_words(match['value'])}"
    return digits_for_words(text)


def folded(plain: str) -> str:
    """Words without case, articles and punctuation; anything else as it is, for it may be mathematics."""
    if not is_prose(plain):
        return re.sub(r"(?<!\d) | (?!\d)", "", plain)
    if verdict := _VERDICT.match(plain):
        return verdict[1].casefold()
    words = re.sub(r"[^\w\s]", " ", plain.casefold()).split()
    if len(words) == 2 and words[0] in ("option", "choice") and len(words[1]) == 1:
        return words[1]
    folded = " ".join([word for word in words if word not in ("the", "a", "an")] or words)
    return _SYNONYMS.get(folded, folded)


def is_prose(plain: str) -> bool:
    """Whether a text is words; one letter is a variable, unless it can name a choice."""
    if len(plain) > _LONGEST_PROSE or plain.startswith("-") or not _MATHEMATICAL.isdisjoint(plain):
        return False
    runs = re.findall(r"[^\W\d_]+", plain)
    if runs and "-" in plain:
        return min(map(len, runs)) > 2
    return max(map(len, runs), default=0) > 1 or (len(runs) == 1 and runs[0].casefold() in "abcde")
