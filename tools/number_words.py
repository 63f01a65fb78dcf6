"""Numbers in words."""

import re

__all__ = ["digits_for_words"]

_SMALL_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {name: value for value, name in enumerate(_SMALL_NAMES.split())}
_TENS = {name: 10 * value for value, name in enumerate(_TENS_NAMES.split(), start=2)}
_LARGE = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_PARTS = {
    "half": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
    "hundredth": 100,
    "halve": 2,
}
_LEADING = re.compile(r"[A-Za-z]+(?:[ -]+[A-Za-z]+){0,12}")
_MOST_WORDS = 12


def digits_for_words(text: str) -> str:
    r"""The text with a number in words at its beginning written in digits.

    Example:
        >>> digits_for_words("Twenty-five apples")
        '25 apples'
        >>> digits_for_words("two thirds")
        '\\frac{2}{3}'
        >>> digits_for_words("ellipse")
        'ellipse'
    """
    negative = re.match(r"(?:negative|minus)\s+", text, re.IGNORECASE)
    start = negative.end() if negative else 0
    match = _LEADING.match(text, start)
    if not match:
        return "-" + text[start:] if negative and text[start : start + 1].isdigit() else text
    words = list(re.finditer(r"[A-Za-z]+", match.group()))[:_MOST_WORDS]
    value, used = _read([word.group().casefold() for word in words])
    if not used:
        return text
    sign = "-" if negative else ""
    rest = text[start + words[used - 1].end() :]
    if (
        used < len(words)
        and (share := _PARTS.get(words[used].group().casefold().removesuffix("s")))
        and value
    ):
        rest = text[start + words[used].end() :]
        return f"{sign}\\frac{{{value}}}{{{share}}}{rest}"
    return f"{sign}{value}{rest}"


def _read(words: list[str]) -> tuple[int, int]:
    """The value of the number at the beginning, and how many words it takes."""
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
            and words[index + 1] in {**_SMALL, **_TENS}
        ):
            break
        used = index + 1
    return total + group, used
