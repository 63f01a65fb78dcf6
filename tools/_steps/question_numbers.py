"""The numbers that a question gives, with the values under which a solution may use each."""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache

from latentseek_agents.tools._steps.tokens import Token, tokenize
from latentseek_agents.tools._words import NUMBER_WORDS, SCALES, SHARE_WORDS

__all__ = ["given_numbers", "question_numbers"]

_MAX_QUESTION = 8000
_MAX_GIVEN = 100


def question_numbers(question: str) -> list[set[Fraction]]:
    """The numbers that a question gives, each with the values it may be used as.

    Args:
        question: The question in words.

    Returns:
        One set for each number: "25%" may be used as 25, 1/4, 3/4 or 5/4.

    Example:
        >>> [sorted(values) for values in question_numbers("Half of 48 clips")]
        [[Fraction(1, 2), Fraction(2, 1), Fraction(50, 1)], [Fraction(48, 1)]]
    """
    return [set(values) for values in given_numbers(question)[0]]


def given_numbers(question: str) -> tuple[Sequence[frozenset[Fraction]], Sequence[Fraction]]:
    """The numbers that a question gives, and those that may but need not be used.

    Args:
        question: The question in words.

    Returns:
        One set for each number, as :func:`question_numbers` has them, and the parts of times and dates.

    Example:
        >>> given_numbers("At 9:30 he has 4 pens")[1]
        (Fraction(9, 1), Fraction(30, 1))
    """
    return _read_question(question[:_MAX_QUESTION])


# A search asks about the same question at every iteration.
@lru_cache(maxsize=256)
def _read_question(question: str) -> tuple[Sequence[frozenset[Fraction]], Sequence[Fraction]]:
    tokens = tokenize(question)
    found: list[set[Fraction]] = []
    spare: set[Fraction] = set()
    skip = 0
    for index, token in enumerate(tokens):
        if skip:
            skip -= 1
        elif token.kind == "number":
            values, skip = _written_number(tokens, index)
            if values not in found and len(found) < _MAX_GIVEN:
                found.append(values)
        elif token.kind == "word" and (token.text != "dozen" or (index and tokens[index - 1].text == "a")):
            word = token.text.lower()
            if word in NUMBER_WORDS or word in SHARE_WORDS or "-" in word:
                found.extend(values for values in _number_words(word) if values not in found)
        elif token.kind == "opaque":
            spare.update(Fraction(int(digits)) for digits in re.findall(r"\d{1,9}", token.text))
    return tuple(frozenset(values) for values in found), tuple(sorted(spare))


def _written_number(tokens: Sequence[Token], index: int) -> tuple[set[Fraction], int]:
    """The values of a number in digits, and how many tokens behind it belong to it."""
    value = Fraction(tokens[index].value)
    after = tokens[index + 1 : index + 3]
    if (
        len(after) == 2
        and after[0].text == "/"
        and after[0].tight
        and after[1].kind == "number"
        and after[1].value
    ):
        share = value / after[1].value
        return {share, 1 - share, value, Fraction(after[1].value)}, 2
    word = after[0].text.lower() if after else ""
    if word in ("%", "percent"):
        part = value / 100
        return {value, part, 1 - part, 1 + part, 100 - value, 100 + value}, 1
    values = {value}
    if word in ("cents", "cent"):
        values.add(value / 100)
    if word in SCALES or word in ("hundred", "dozen"):
        values.add(value * SCALES.get(word, 100 if word == "hundred" else 12))
        return values, 1
    return values, 0


def _number_words(word: str) -> Iterable[set[Fraction]]:
    for part in word.split("-") if "-" in word else (word,):
        if part in NUMBER_WORDS:
            values = {Fraction(NUMBER_WORDS[part])}
            if part.startswith(("twi", "doub")):
                values.add(Fraction(1, 2))
            yield values
        elif part in SHARE_WORDS:
            parts = SHARE_WORDS[part]
            values = {Fraction(count, parts) for count in range(1, parts)}
            yield (
                values
                | {Fraction(parts), Fraction(100, parts)}
                | ({Fraction(parts - 1)} if parts > 2 else set())
            )
