r"""What a question says about its numbers: another base, remainders, its own operations, times and dates.

In base 8, 7 + 1 is 10. Modulo 12, 10 + 5 is 3. If a * b stands for a + 2b, 3 * 4 is 11. And 8 hours after
9 o'clock it is 5 o'clock. Each meaning counts for the equations that it can explain, and for no others:

* another base, and a modulus that is not named: for all equations;
* a modulus, a remainder, last digits: where the sides differ by a multiple of the number; beside a modulus
  equations with letters are left open, too;
* an operation that the question defines: where its sign stands;
* times: where a sum or difference of whole numbers differs by a multiple of 12 hours or 60 minutes;
* dates: where it differs by the days of a month, by weeks if the day of the week is asked for, or by years
  if the month is.

Example:
    >>> meaning = meaning_of("It is 9 o'clock. What time is it 8 hours later?")
    >>> sorted(meaning.cycles), meaning.moduli, meaning.everything
    ([12, 60], frozenset(), '')
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from latentseek_agents.tools._maths.exact import Number
from latentseek_agents.tools._steps.arithmetic import Binary, Literal, Node, Sign, evaluate
from latentseek_agents.tools._steps.equations import Comparison, Side
from latentseek_agents.tools._steps.question import equations_of

_MAX_QUESTION = 8000
_BASE = re.compile(
    r"\bin\s{1,3}base\b|\bbase[- ]?[\${]?\s?(?:\d|two\b|three\b|four\b|five\b|six\b|seven\b|eight\b|nine\b"
    r"|twelve\b|sixteen\b)|\b(?:binary|octal|hexadecimal)\b|\d_\{?\s?\d|\bbase[- ]\$?[a-z]\$?(?![a-z])",
    re.IGNORECASE,
)
_MODULAR = re.compile(
    r"\bmodul(?:o|ar|us)\b|\\[pb]?mod(?![a-z])|\bmod\b|≡|\\equiv\b|\bresidues?\b", re.IGNORECASE
)
_MODULUS = re.compile(
    r"(?:\bmodul(?:o|us)\b|\\[pb]?mod|\bmod\b)(?:\s?is|\s?of)?[\s{$(]{0,4}(\d{1,9})", re.IGNORECASE
)
_REMAINDERS = (
    re.compile(r"\bremainders?\b[^.?]{0,120}?\bdivided by\s\$?(\d{1,9})", re.IGNORECASE),
    re.compile(r"\bdivided by\s\$?(\d{1,9})[^.?]{0,80}?\bremainders?\b", re.IGNORECASE),
)
_LAST_DIGITS = re.compile(
    r"\b(?:units?|ones|last|final|tens|hundreds|rightmost) (?:two |three )?digits?\b", re.IGNORECASE
)
_OPERATION = re.compile(r"\b(?:operation|operator|binary operation)\s\$?\s?(?:\*|\\ast|×|·)", re.IGNORECASE)
_TIME = re.compile(
    r"\bo['’]?\s?clock\b|\d\s?[ap]\.?m\b|\b\d{1,2}:\d\d\b|\bwhat time\b|\bclocks?\b|\bnoon\b|\bmidnight\b",
    re.IGNORECASE,
)
_MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december"
    "|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
)
_DATE = re.compile(
    rf"\b(?:{_MONTHS})\.?\s\d{{1,2}}(?!\d)|\b\d{{1,2}}(?:st|nd|rd|th)?(?:\sof)?\s(?:{_MONTHS})\b"
    r"|\b(?:what|which) date\b|\bdays? of the month\b",
    re.IGNORECASE,
)
_WEEKDAY = re.compile(
    r"\b(?:what|which) (?:day|weekday)\b|\bdays? of the week\b|\bon what (?:day|weekday)\b", re.IGNORECASE
)
_MONTH = re.compile(r"\b(?:what|which) month\b|\bmonths? of the year\b", re.IGNORECASE)
_DEFINED_SIGNS = frozenset("*/+-^")
_UNNAMED = "the question may give the numbers another meaning"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the numbers and signs of a solution may mean beside what they mean everywhere.

    Args:
        everything: Why no equation can be refuted, or "".
        signs: The signs of operations that the question defines.
        moduli: Numbers a multiple of which may be left out.
        congruent: The question is about congruences, so that equations with letters may be ones.
        cycles: Numbers a multiple of which may be left out of a sum or a difference of whole numbers.
    """

    everything: str = ""
    signs: frozenset[str] = frozenset()
    moduli: frozenset[int] = frozenset()
    congruent: bool = False
    cycles: frozenset[int] = frozenset()

    def doubted(self, comparisons: Sequence[Comparison]) -> list[Comparison]:
        """Equations with a doubt where the question may give their signs or letters another meaning."""
        return [
            replace(comparison, left=replace(comparison.left, doubt=doubt))
            if not comparison.modulus and (doubt := comparison.left.doubt or self._doubt_of_signs(comparison))
            else comparison
            for comparison in comparisons
        ]

    def _doubt_of_signs(self, comparison: Comparison) -> str:
        if self.everything:
            return self.everything
        sides = (comparison.left, comparison.right)
        if self.signs and any(self.signs & _signs(side) for side in sides):
            return "the question defines the operation"
        letters = any(side.parse is not None and side.parse.letters for side in sides)
        return "it may be a congruence" if self.congruent and letters else ""

    def explains(self, nodes: Sequence[Node], one: Number, other: Number) -> str:
        """Why two sides that differ may be equal as the question means them; "" if nothing explains it.

        Args:
            nodes: The two sides.
            one: The value of the first.
            other: The value of the second.
        """
        difference = Fraction(one) - other
        whole = difference.denominator == 1
        rests = any(_is_remainder(*pair) for pair in ((nodes[0], other), (nodes[1], one)))
        if (self.moduli and rests) or (whole and any(difference % number == 0 for number in self.moduli)):
            return "the question is about remainders"
        if whole and all(map(_is_sum, nodes)) and any(difference % cycle == 0 for cycle in self.cycles):
            return "it may be about times or dates"
        return ""


EVERYDAY = Meaning()
"""Numbers and signs mean what they mean everywhere."""


@lru_cache(maxsize=64)
def meaning_of(question: str) -> Meaning:
    """What a question says about the numbers and signs of its solution.

    Args:
        question: The question.

    Example:
        >>> meaning_of("If a * b = a + 2b, what is 3 * 4?").signs, meaning_of("What is 3 * 4?") == Meaning()
        (frozenset({'*'}), True)
    """
    question = question[:_MAX_QUESTION]
    moduli = {int(number) for number in _MODULUS.findall(question)}
    congruent = _MODULAR.search(question) is not None
    unnamed = congruent and not moduli
    for pattern in _REMAINDERS:
        moduli |= {int(number) for number in pattern.findall(question)}
    if digits := _LAST_DIGITS.search(question):
        several = any(word in digits[0].lower() for word in ("two", "three", "tens", "hundreds"))
        moduli |= {100, 1000} if several else {10}
    cycles = {12, 60} if _TIME.search(question) else set()
    cycles |= {28, 29, 30, 31} if _DATE.search(question) else set()
    cycles |= {7} if _WEEKDAY.search(question) else set()
    cycles |= {12} if _MONTH.search(question) else set()
    return Meaning(
        everything=_UNNAMED if unnamed or _BASE.search(question) else "",
        signs=_defined_signs(question),
        moduli=frozenset(moduli - {0, 1}),
        congruent=congruent,
        cycles=frozenset(cycles),
    )


def _defined_signs(question: str) -> frozenset[str]:
    """The signs that a question defines: * in "a * b = a + 2b"."""
    signs = {"*"} if _OPERATION.search(question) else set()
    for comparison in equations_of(question)[0]:
        left, right = comparison.left, comparison.right
        tokens = left.tokens[left.start : left.stop]
        kinds = [token.kind for token in tokens]
        if kinds == ["letter", "operator", "letter"] and tokens[1].text in _DEFINED_SIGNS:
            names = {tokens[0].text, tokens[2].text}
            behind = {
                token.text for token in right.tokens[right.start : right.stop] if token.kind == "letter"
            }
            signs |= {tokens[1].text} if len(names) == 2 and names <= behind else set()
    return frozenset(signs)


def _signs(side: Side) -> set[str]:
    return {token.text for token in side.tokens[side.start : side.stop] if token.kind == "operator"}


def _is_sum(node: Node) -> bool:
    """Whether it is made of whole numbers by adding and subtracting."""
    match node:
        case Literal(value):
            return value.denominator == 1
        case Sign(operand):
            return _is_sum(operand)
        case Binary("+" | "-", left, right):
            return _is_sum(left) and _is_sum(right)
    return False


def _is_remainder(node: Node, value: Number) -> bool:
    """Whether a quotient stands for what is left over: 100 / 7 = 2."""
    if not isinstance(node, Binary) or node.operator != "/":
        return False
    top, bottom = evaluate(node.left), evaluate(node.right)
    return top is not None and bottom is not None and bottom.value != 0 and top.value % bottom.value == value
