"""Numbers in words: the tables, and a reader for the number at the beginning of a text."""

import itertools
import re

__all__ = ["CARDINALS", "ORDINALS", "SCALES", "SHARES", "digits_for_words", "ordinal_number"]

_SMALL_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {name: value for value, name in enumerate(_SMALL_NAMES.split())}
_TENS = {name: 10 * value for value, name in enumerate(_TENS_NAMES.split(), start=2)}
_ORDINAL_NAMES = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)

CARDINALS = _SMALL | _TENS
"""Zero to ninety, in one word."""

ORDINALS = {name: value for value, name in enumerate(_ORDINAL_NAMES.split(), start=1)} | {
    name.removesuffix("y") + "ieth": value for name, value in _TENS.items()
}
"""First to twentieth, and the tens."""

SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
"""Words that multiply the number before them."""

SHARES = {"half": 2, "halve": 2, "quarter": 4} | {
    name: value for name, value in ORDINALS.items() if 3 <= value <= 20
}
SHARES |= {"hundredth": 100, "thousandth": 1000}
"""Parts of a whole, singular."""

_LARGE = {"hundred": 100, **SCALES}
_LEADING = re.compile(r"[A-Za-z]+(?:[ -]+[A-Za-z]+){0,12}")
_HALF_MORE = re.compile(r" and (?:a|one)[ -](half|quarter|third)\b", re.IGNORECASE)
_HALF_OF = re.compile(
    r"(?:an? |one )?half (?=(?:of )?(?:an? )?(?:dozen|hour|minute|day|year|mile|inch)\b)", re.IGNORECASE
)
_ORDINAL_DIGITS = re.compile(r"(?:the )?(\d{1,9})\s?(?:\^\s?\{?\s?)?(st|nd|rd|th)\b\s?\}?(.*)", re.IGNORECASE)
_ORDINAL_WORDS = re.compile(r"(?:the )?(?:([a-z]+)[- ])?([a-z]+)\b(.*)", re.IGNORECASE)
_MOST_WORDS = 12


def digits_for_words(text: str) -> str:
    r"""The text with a number in words at its beginning written in digits.

    Example:
        >>> digits_for_words("Twenty-five apples")
        '25 apples'
        >>> digits_for_words("two thirds")
        '\\frac{2}{3}'
        >>> digits_for_words("two and a half hours")
        '2\\frac{1}{2} hours'
        >>> digits_for_words("ellipse")
        'ellipse'
    """
    negative = re.match(r"(?:negative|minus)\s+", text, re.IGNORECASE)
    sign, start = ("-", negative.end()) if negative else ("", 0)
    if half := _HALF_OF.match(text, start):
        rest = re.sub(r"\A(?:of )?(?:an? )?", "", text[half.end() :])
        return f"{sign}\\frac{{1}}{{2}} {rest}"
    match = _LEADING.match(text, start)
    if not match:
        return sign + text[start:] if text[start : start + 1].isdigit() else text
    words = list(re.finditer(r"[A-Za-z]+", match.group()))[:_MOST_WORDS]
    names = [word.group().casefold() for word in words]
    value, used = _read(names)
    if not used:
        return text
    rest = text[start + words[used - 1].end() :]
    if names[0] in SHARES:
        # A part that stands alone: "half".
        return f"{sign}\\frac{{1}}{{{SHARES[names[0]]}}}{rest}"
    if used < len(words) and (share := SHARES.get(names[used].removesuffix("s"))) and value:
        rest = text[start + words[used].end() :]
        return f"{sign}\\frac{{{value}}}{{{share}}}{rest}"
    if more := _HALF_MORE.match(rest):
        return f"{sign}{value}\\frac{{1}}{{{SHARES[more[1].casefold()]}}}{rest[more.end() :]}"
    if decimals := _decimals(names[used:]):
        rest = text[start + words[used + len(decimals)].end() :]
        return f"{sign}{value}.{decimals}{rest}"
    return f"{sign}{value}{rest}"


def ordinal_number(text: str) -> tuple[int, str] | None:
    """The number of an ordinal and the words behind it, or None.

    Example:
        >>> ordinal_number("3rd place")
        (3, 'place')
        >>> ordinal_number("twenty-first")
        (21, '')
    """
    if digits := _ORDINAL_DIGITS.fullmatch(text):
        number, ending, rest = int(digits[1]), digits[2].casefold(), digits[3].strip()
        expected = (
            "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
        )
        return (number, rest) if ending == expected else None
    words = _ORDINAL_WORDS.fullmatch(text[:80])
    if words is None or len(text) > 80:
        return None
    tens, last, rest = (words[1] or "").casefold(), words[2].casefold(), words[3].strip()
    if tens in _TENS and ORDINALS.get(last, 10) < 10:
        return _TENS[tens] + ORDINALS[last], rest
    if tens in ORDINALS:
        return ORDINALS[tens], f"{last} {rest}".strip()
    return (ORDINALS[last], rest) if not tens and last in ORDINALS else None


def _decimals(names: list[str]) -> str:
    """The digits that follow in "three point one four"."""
    if names[:1] != ["point"]:
        return ""
    digits = itertools.takewhile(lambda name: _SMALL.get(name, 10) < 10, names[1:])
    return "".join(str(_SMALL[name]) for name in digits)


def _read(words: list[str]) -> tuple[int, int]:
    """The value of the number at the beginning, and how many words it takes."""
    if words[0] in ("half", "quarter") and len(words) == 1:
        return 1, 1
    if words[0] in ("a", "an"):
        # "a third" and "a hundred" are numbers, "a number" is none.
        if len(words) > 1 and (words[1] in _LARGE or words[1] == "dozen"):
            return _read(["one", *words[1:]])
        share = len(words) > 1 and words[1] in SHARES and words[2:3] in ([], ["of"])
        return (1, 1) if share else (0, 0)
    total = group = used = 0
    for index, word in enumerate(words):
        if word in _SMALL:
            # "five six" is no number, "twenty six" and "hundred six" are.
            if group % 10 or (group and group % 100 == 0 and group < 100):
                break
            group += _SMALL[word]
        elif word in _TENS:
            if group % 100:
                break
            group += _TENS[word]
        elif word in _LARGE and (used or word == "hundred"):
            if word == "hundred":
                group = max(group, 1) * 100
            else:
                total, group = total + max(group, 1) * _LARGE[word], 0
        elif not (
            word == "and"
            and used
            and words[index - 1] in _LARGE
            and index + 1 < len(words)
            and words[index + 1] in CARDINALS
        ):
            break
        used = index + 1
    return total + group, used
