"""Does a text say of an output what the output is?

The output is exact, and the text may round it, add a unit or leave words out. Only what both sides show in
the same form can differ; anything else cannot be compared.

Example:
    >>> compare_output("24.0", "18.0")
    Comparison(status='wrong', reason='it prints 18.0, not 24.0')
    >>> compare_output("about 2.53", "2.5294117647058822").status
    'rounded'
    >>> compare_output("no solution", "18.0").status
    'unverifiable'
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from latentseek_agents.tools._maths.exact import Number, simplest
from latentseek_agents.tools._steps.arithmetic import Literal
from latentseek_agents.tools._steps.judgement import Status, rounds_to

_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,300})(?:\.\d{1,300})?(?:[eE][-+]?\d{1,3})?(?!\w|\.\d)"
    r"|(?<![\w.])[-+]?\d{1,300}(?:\.\d{1,300})?(?:[eE][-+]?\d{1,3})?(?=[jJ]\b)"
)
_TRUTH = re.compile(r"\b(?:True|False)\b")
_DATA = re.compile(r"(?:[\s\d.,+\-eEjJ()\[\]'\"]|True|False|None)+")
_RESULT = re.compile(
    r"(?:.*(?:[:=]|\bis|\bare))?\s*(?:[$€£]\s?)?(?P<number>[-+]?[\d.,eE+-]+)\s*(?:[^\W\d].*|[%.°])?"
)
_NOISE = Fraction(1, 10**9)
_SHORTEN = 60


class Comparison(NamedTuple):
    """Whether a text says what an output is, and why not."""

    status: Status
    reason: str


def numbers_of(line: str) -> list[Literal]:
    """The numbers of a line of output, as written."""
    return [_literal(match.group()) for match in _NUMBER.finditer(line)]


def _literal(written: str) -> Literal:
    plain = written.replace(",", "").lower()
    places = -1 if "e" in plain else len(plain.partition(".")[2])
    return Literal(simplest(Fraction(plain)), places)


def result_of(printed: str) -> Literal | None:
    r"""The one number that an output ends in; None if its last line shows none or several.

    Example:
        >>> result_of("1 box\nTotal for 4 weeks: 36.0\n"), result_of("(1, 2)")
        (Literal(value=36, places=1), None)
    """
    lines = printed.split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    numbers = numbers_of(last)
    if len(numbers) == 1:
        return numbers[0]
    match = _RESULT.fullmatch(last) if len(last) < 1000 else None
    ending = numbers_of(match["number"]) if match else []
    return ending[0] if len(ending) == 1 and numbers and ending[0] == numbers[-1] else None


def same_number(stated: Literal, printed: Number) -> Status | None:
    """``ok`` or ``rounded`` if a number as stated stands for a printed one, otherwise None."""
    if abs(Fraction(stated.value) - printed) <= max(_NOISE, _NOISE * abs(Fraction(printed))):
        return "ok"
    return "rounded" if rounds_to(printed, stated.value, stated) else None


def compare_output(stated: str, printed: str) -> Comparison:
    """Compare a line that a text shows with a line that was printed."""
    if "".join(stated.split()) == "".join(printed.split()):
        return Comparison("ok", "it prints that")
    difference = Comparison("wrong", f"it prints {_short(printed)}, not {_short(stated)}")
    says, prints = numbers_of(stated), numbers_of(printed)
    truths, facts = _TRUTH.findall(stated), _TRUTH.findall(printed)
    if truths != facts and len(truths) == len(facts):
        return difference
    if says and len(says) == len(prints):
        if (status := _agreement(says, prints)) is not None:
            return Comparison(status, "it prints that" if status == "ok" else f"it prints {_short(printed)}")
        if len(says) == 1 or _form(stated) == _form(printed):
            return difference
    if says and prints and _DATA.fullmatch(stated) and _DATA.fullmatch(printed) and "..." not in stated:
        return difference
    return Comparison("unverifiable", f"it prints {_short(printed)}, which cannot be compared")


def _agreement(says: Sequence[Literal], prints: Sequence[Literal]) -> Status | None:
    statuses = [same_number(stated, printed.value) for stated, printed in zip(says, prints, strict=True)]
    return None if None in statuses else "rounded" if "rounded" in statuses else "ok"


def _form(line: str) -> str:
    """A line without its numbers, brackets and blanks."""
    return re.sub(r"[\s()\[\]{}'\"]", "", _NUMBER.sub("#", line)).lower()


def _short(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= _SHORTEN else f"{line[:_SHORTEN]}..."
