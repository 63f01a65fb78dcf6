"""Where the numbers of a solution come from, and what each result depends on.

Only equations that hold may ground the operands of later ones. And a number of the question counts as used
only if a change of it changes the result: every result knows what it would be if a number of the question
were another one, so that what cancels, is multiplied by 0 or raised to the power of 0 proves nothing.

Example:
    >>> given, spare = given_numbers("At 9:30 he has half of 48 clips.")
    >>> [sorted(map(str, values)) for values in given], [str(value) for value in spare]
    ([['1/2', '2', '50'], ['48']], ['9', '30'])
"""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType

from latentseek_agents.tools._maths.exact import Evaluation, Number
from latentseek_agents.tools._maths.number_words import CARDINALS, SCALES
from latentseek_agents.tools._maths.words import NUMBER_WORDS, SHARE_WORDS
from latentseek_agents.tools._steps.arithmetic import Binary, Literal, Node, Reading, Variable, evaluate
from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.judgement import HOLDS, Outcome, rounds_to
from latentseek_agents.tools._steps.parser import Parse
from latentseek_agents.tools._steps.programs import Computation
from latentseek_agents.tools._steps.statements import assignment
from latentseek_agents.tools._steps.tokens import Token, token_at, tokenize

# Numbers that need no source: small counts, clock and calendar, measures, percent, powers of ten.
_CONSTANTS = frozenset(
    [*(Fraction(number) for number in range(13)), Fraction(1, 2)]
    + [Fraction(number) for number in (16, 24, 30, 36, 52, 60, 100, 365, 1000, 1760, 3600, 5280, 10000)]
)
_SCALES = {**SCALES, "hundred": 100, "dozen": 12}
_MAX_QUESTION = 8000
_MAX_GIVEN = 100
_MAX_NEAR = 20
_MOST_GROUPS = 4
_MAX_PROBES = 4000
_LEAST_SCALE = 1000
_SCALES_BETWEEN = 999_000

Shifts = dict[int, Number]
"""For each number of the question that a value depends on: the value if that number were another one."""


# -- the question --------------------------------------------------------------------------------------


# A search asks about the same question at every iteration.
@lru_cache(maxsize=256)
def given_numbers(question: str) -> tuple[Sequence[frozenset[Fraction]], Sequence[Fraction]]:
    """The numbers that a question gives, and those that may but need not be used.

    Args:
        question: The question in words.

    Returns:
        One set for each number, with the values it may be used as: "25%" may be used as 25, 1/4, 3/4 or
        5/4. And the parts of times and dates.
    """
    tokens = tokenize(question[:_MAX_QUESTION])
    given: list[frozenset[Fraction]] = []
    spare: set[Fraction] = set()
    skip = 0
    for index, token in enumerate(tokens):
        values: list[frozenset[Fraction]] = []
        if skip:
            skip -= 1
        elif token.kind == "number":
            number, skip = _written_number(tokens, index)
            values = [number | _shares_of_frac(tokens, index)] if len(given) < _MAX_GIVEN else []
        elif token.word in CARDINALS and (mixed := _mixed_number(tokens, index, CARDINALS[token.word])):
            values, skip = [mixed[0]], mixed[1]
        elif token.word and (token.text != "dozen" or token_at(tokens, index - 1).text == "a"):
            values = list(_number_words(token.word))
        elif token.kind == "opaque":
            spare.update(Fraction(int(digits)) for digits in re.findall(r"\d{1,9}", token.text))
        given.extend(number for number in values if number not in given)
    return tuple(given), tuple(sorted(spare))


def _written_number(tokens: Sequence[Token], index: int) -> tuple[frozenset[Fraction], int]:
    """The values of a number in digits, and how many tokens behind it belong to it."""
    if isinstance(tokens[index].value, int):
        mixed = _mixed_number(tokens, index, tokens[index].value)
        if mixed is not None:
            return mixed
    if (fraction := _fraction_at(tokens, index)) is not None:
        top, bottom, width = fraction
        share = Fraction(top) / bottom
        return frozenset((share, 1 - share, Fraction(top), Fraction(bottom))), width - 1
    value = Fraction(tokens[index].value)
    after = token_at(tokens, index + 1)
    if after.kind == "percent" or after.word == "percent":
        part = value / 100
        return frozenset((value, part, 1 - part, 1 + part, 100 - value, 100 + value)), 1
    if after.word in _SCALES:
        return frozenset((value, value * _SCALES[after.word])), 1
    if thousands := _spaced_thousands(tokens, index):
        return frozenset((value, thousands)), 0
    return frozenset((value, value / 100) if after.word in ("cent", "cents") else (value,)), 0


def _shares_of_frac(tokens: Sequence[Token], index: int) -> frozenset[Fraction]:
    r"""What ``\frac`` makes of a number that is its top or its bottom."""
    for back in (1, 2, 5):
        if token_at(tokens, index - back).text == "\\frac":
            fraction = _fraction_at(tokens, index - back)
            if fraction is not None and fraction[2] > back:
                return frozenset((Fraction(fraction[0]) / fraction[1],))
    return frozenset()


def _spaced_thousands(tokens: Sequence[Token], index: int) -> Fraction | None:
    """The number that "12 345" may be, if the number at this place may be a part of one."""
    first = last = index
    while _is_group(tokens, first) and last - first < _MOST_GROUPS:
        first -= 1
    while _is_group(tokens, last + 1) and last - first < _MOST_GROUPS:
        last += 1
    if last - first == _MOST_GROUPS:
        return None  # a list
    texts = [token.text for token in tokens[first : last + 1]]
    if first == last or len(texts[0]) > 3 or tokens[first].places != 0:
        return None
    return Fraction(int("".join(texts)))


def _is_group(tokens: Sequence[Token], index: int) -> bool:
    """Whether a number has three digits and stands one blank behind another whole number."""
    before, token = token_at(tokens, index - 1), token_at(tokens, index)
    digits = before.kind == token.kind == "number" and before.places == token.places == 0
    return digits and len(token.text) == token.end - token.start == 3 and token.start == before.end + 1


def _mixed_number(
    tokens: Sequence[Token], index: int, whole: Number
) -> tuple[frozenset[Fraction], int] | None:
    """The values of "2 1/2", "2-1/2", "2½" or "2 and a half", and how many tokens follow the whole number.

    None if only the whole number stands there.
    """
    between = token_at(tokens, index + 1)
    hyphen = between.text == "-" and between.tight and token_at(tokens, index + 2).tight
    joined = between.word == "and" or hyphen
    after = token_at(tokens, index + 1 + joined)
    fraction = _fraction_at(tokens, index + 1 + joined)
    if fraction is None and joined and not hyphen:
        share = SHARE_WORDS.get(token_at(tokens, index + 3).word)
        count = 1 if after.text in ("a", "an") else CARDINALS.get(after.word)
        fraction = (count, share, 2) if count is not None and share is not None else None
    if fraction is None or (after.tight and after.kind == "number" and after.places != -1 and not hyphen):
        return None
    top, bottom, width = fraction
    if not 0 < Fraction(top) < bottom:
        return None
    value = whole + Fraction(top) / bottom
    parts = (value, Fraction(value.numerator), Fraction(whole), Fraction(top) / bottom)
    return frozenset(parts), width + joined


def _fraction_at(tokens: Sequence[Token], index: int) -> tuple[Number, Number, int] | None:
    r"""Top, bottom and width of a fraction at a token: "1/2", "½", ``\frac{1}{2}``, ``\frac12``."""
    first, *others = (token_at(tokens, index + ahead) for ahead in range(7))
    texts = [token.text for token in others]
    if first.kind == "number" and first.places == -1 and isinstance(first.value, Fraction):
        return first.value.numerator, first.value.denominator, 1
    if first.kind == "number" and texts[0] == "/" and others[0].tight and others[1].kind == "number":
        return (first.value, others[1].value, 3) if others[1].value else None
    if first.text != "\\frac":
        return None
    if others[0].kind == "number" and len(texts[0]) == 2 and texts[0].isdigit() and texts[0][1] != "0":
        return int(texts[0][0]), int(texts[0][1]), 2
    braces = texts[0], texts[2], texts[3], texts[5]
    if braces == ("{", "}", "{", "}") and others[1].kind == others[4].kind == "number" and others[4].value:
        return others[1].value, others[4].value, 7
    return None


def _number_words(word: str) -> Iterator[frozenset[Fraction]]:
    for part in word.split("-"):
        if part in NUMBER_WORDS:
            value = Fraction(NUMBER_WORDS[part])
            yield frozenset((value, 1 / value) if part.startswith(("twi", "doub")) else (value,))
        elif part in SHARE_WORDS:
            parts = SHARE_WORDS[part]
            shares = {Fraction(count, parts) for count in range(1, parts)}
            rest = {Fraction(parts - 1)} if parts > 2 else set()
            yield frozenset(shares | {Fraction(parts), Fraction(100, parts)} | rest)


# -- the solution --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Result:
    """What an equation shows.

    Args:
        value: The value as shown.
        exact: The value as computed.
        sound: The equation holds, and every number in it has a source.
        shifts: What it depends on.
        derived: It is computed from the question's numbers, and nothing was rounded away unsaid.
        percent: It is shown with a percent sign.
        used: A later step uses it.
        holds: The equation holds and computes something, wherever its numbers come from.
    """

    value: Number
    exact: Number
    sound: bool = False
    shifts: Shifts = field(default_factory=dict)
    derived: bool = False
    percent: bool = False
    used: bool = False
    holds: bool = False


class Ledger:
    """The results of a solution in order, with what they depend on.

    Args:
        given: The values of each number of the question.
        spare: More numbers of the question, which a solution need not use.
        rounding: The question asks for a rounded result.
        seed: What the numbers that are put in place of the question's are drawn by.
    """

    def __init__(
        self,
        given: Sequence[frozenset[Fraction]],
        spare: Iterable[Fraction],
        *,
        rounding: bool,
        seed: str = "",
    ) -> None:
        self.given = given
        self.rounding = rounding
        self.results: list[Result] = []
        self.stranger: Number | None = None
        """The first operand that comes from nowhere."""
        self.seen: set[int] = set()
        """The numbers of the question that some result depends on."""
        self._showing: dict[Number, list[Result]] = {}
        self._owners: dict[Number, list[int]] = {}
        for number, values in enumerate([*given, *(frozenset({value}) for value in spare)]):
            for value in values:
                self._owners.setdefault(value, []).append(number)
        self._given_fractions = [value for value in self._owners if value.denominator != 1][:_MAX_NEAR]
        self._scale = _LEAST_SCALE + zlib.crc32(seed.encode(errors="replace")) % _SCALES_BETWEEN
        self._probes = 0
        # The algebra of a solution: the letters that grounded equations are about, and what those depend on.
        self._letters: set[str] = set()
        self._algebra: set[int] = set()

    def read(
        self,
        comparisons: Sequence[Comparison],
        outcomes: Sequence[Outcome],
        computations: Sequence[Computation] = (),
    ) -> None:
        """Follow the equations and programs of a solution.

        Args:
            comparisons: The equations of the solution.
            outcomes: What was found about each.
            computations: The programs of the solution.
        """
        values = _concluded(comparisons, outcomes)
        carried: Result | None = None
        waiting = list(computations)
        for comparison, outcome in zip(comparisons, outcomes, strict=True):
            while waiting and waiting[0].end <= comparison.start:
                self._read_program(waiting.pop(0))
            before, carried = carried if comparison.continues else None, None
            if comparison.parses is None:
                continue
            left, right = comparison.parses
            if left.letters or right.letters:
                self._read_algebra(left, right, outcome, values)
            else:
                carried = self._read_arithmetic(comparison, left, right, outcome, before)
        for computation in waiting:
            self._read_program(computation)

    def _read_program(self, computation: Computation) -> None:
        """Note what a program prints; it depends on each number whose change would change that."""
        sources = {number.value: self._source(number) for number in computation.numbers}
        sound = None not in sources.values()
        known = {value: shifts or {} for value, shifts in sources.items()}
        shifts: Shifts = {}
        for number in sorted({number for source in known.values() for number in source} if sound else ()):
            replaced = {value: source[number] for value, source in known.items() if number in source}
            other = None if computation.may_grow else computation.recompute(replaced)
            if other is None:
                other = computation.recompute({value: value + 1 for value in replaced})
            if other is not None and other != computation.value:
                shifts[number] = other
        for result in self.results:  # a program may compute anew what stands before it
            result.used |= bool(shifts) and result.shifts.keys() <= shifts.keys()
        value = computation.value
        self._add(Result(value, value, sound=sound, shifts=shifts, derived=bool(shifts), holds=True))

    def _read_arithmetic(
        self, comparison: Comparison, left: Parse, right: Parse, outcome: Outcome, before: Result | None
    ) -> Result | None:
        """Note the result of one equation; returns it if the right side is equal to it."""
        running = outcome.status == "running"
        both = left.operators > 0 and right.operators > 0
        computed = left if left.operators or not right.operators else right
        shown = left if running or both or computed is right else right
        exact, value = evaluate(computed.node), evaluate(shown.node)
        grounded = True
        if before is not None and before.sound:
            self._touch(left)
            shifts = before.shifts
        else:
            strict = outcome.status != "unverifiable" and computed.operators > 0
            sources = self._sources(computed, strict=strict)
            grounded = sources is not None
            shifts = self._dependence(computed.node, sources or {}, exact)
        if both and not running:
            self._touch(right)
        if value is None or exact is None:
            return None
        sound = grounded and outcome.status in (*HOLDS, "trivial")
        kept = self.rounding or not _is_rounded_away(comparison, exact.value, value.value)
        result = Result(
            value.value,
            exact.value,
            sound=sound and kept,
            shifts=shifts if sound else {},
            derived=sound and kept and outcome.status in HOLDS and bool(shifts),
            percent=shown.has_percent,
            holds=kept and outcome.status in HOLDS,
        )
        self._add(result)
        return result if result.sound and not running else None

    def _read_algebra(
        self, left: Parse, right: Parse, outcome: Outcome, values: Mapping[str, Number]
    ) -> None:
        """Note an equation with letters.

        The first equations about some letters state what the question gives, and need grounded numbers;
        what follows from them, as the check of the algebra has found, needs none.
        """
        letters = left.letters | right.letters
        holds = outcome.status in HOLDS
        states_something = not outcome.general and outcome.status != "wrong"
        follows = states_something and holds and letters <= self._letters
        if states_something and not follows:
            strict = outcome.status != "unverifiable"
            sources, others = self._sources(left, strict=strict), self._sources(right, strict=strict)
            if holds and sources is not None and others is not None:
                follows = True
                if not isinstance(left.node, Variable) or right.operators:
                    self._letters |= letters
                difference = Binary("-", left.node, right.node)
                point = {letter: values.get(letter, 7919 + len(letter)) for letter in letters}
                base = evaluate(difference, Reading(variables=point))
                self._algebra |= self._dependence(difference, sources | others, base, point).keys()
        shown = _result_side(left, right)
        value = None if shown is None else evaluate(shown.node)
        if shown is None or value is None:
            return
        shifts = {number: self._shifted(value.value, number) for number in self._algebra} if follows else {}
        self._add(
            Result(
                value.value,
                value.value,
                sound=follows,
                shifts=shifts,
                derived=bool(shifts),
                percent=shown.has_percent,
                used=True,
                holds=holds and not outcome.general,
            )
        )

    def _add(self, result: Result) -> None:
        self.results.append(result)
        for value in {result.value, result.value * 100} if result.percent else {result.value}:
            showing = self._showing.setdefault(value, [])
            if len(showing) < _MAX_NEAR:
                showing.append(result)
        if result.derived:
            self.seen.update(result.shifts)

    def _touch(self, parse: Parse) -> None:
        """Mark the results that a side uses, whatever it depends on."""
        for literal in parse.literals if parse.operators else ():
            self._source(literal)

    def _sources(self, parse: Parse, *, strict: bool) -> dict[Number, Shifts] | None:
        """What each operand of a side depends on; None if one comes from nowhere."""
        sources = {literal.value: self._source(literal) for literal in parse.literals}
        strangers = [value for value, shifts in sources.items() if shifts is None]
        if strict and strangers and self.stranger is None:
            self.stranger = strangers[0]
        return None if strangers else {value: shifts or {} for value, shifts in sources.items()}

    def _source(self, literal: Literal) -> Shifts | None:
        """What an operand depends on; None if it comes from nowhere."""
        value = literal.value
        results = self._showing.get(value)
        if results is None and (literal.places > 0 or self.rounding):
            results = [result for result in self.results[-_MAX_NEAR:] if self._rounds(result.exact, literal)]
        shifts: Shifts = {}
        grounded = False
        for result in results or ():
            result.used = True
            if result.sound:
                grounded = True
                shifts |= {number: _carried(value, result, other) for number, other in result.shifts.items()}
        owners = self._owners.get(value)
        if owners is None and not grounded and literal.places > 0:
            fractions = (given for given in self._given_fractions if _cuts(given, literal))
            owners = next((self._owners[given] for given in fractions), None)
        for number in owners or ():
            shifts.setdefault(number, self._shifted(value, number))
        return shifts if grounded or owners or value in _CONSTANTS else None

    def _rounds(self, exact: Number, literal: Literal) -> bool:
        """Whether an operand is a result, rounded at its decimals or as the question asks."""
        return _cuts(exact, literal) or (self.rounding and rounds_to(exact, literal.value, literal))

    def _shifted(self, value: Number, number: int) -> Number:
        """A value that is given as a number of the question, if that number were another one."""
        # No mere multiple: 3/4 would stay what it is if both of its parts were scaled.
        return value * (self._scale + number) + 1

    def _dependence(
        self,
        node: Node,
        sources: Mapping[Number, Shifts],
        base: Evaluation | None,
        variables: Mapping[str, Number] = MappingProxyType({}),
    ) -> Shifts:
        """How a value changes with each number of the question that it depends on."""
        changes: Shifts = {}
        for number in sorted({number for shifts in sources.values() for number in shifts}):
            self._probes += 1
            if base is None or self._probes > _MAX_PROBES:
                break
            replaced = {value: shifts[number] for value, shifts in sources.items() if number in shifts}
            other = evaluate(node, Reading(replacements=replaced, variables=variables))
            if other is None:  # a power or a factorial beyond the limits, perhaps: a small step instead
                replaced = {value: value + 1 for value in replaced}
                other = evaluate(node, Reading(replacements=replaced, variables=variables))
            if other is not None and other.value != base.value:
                changes[number] = other.value
        return changes


def _cuts(exact: Number, literal: Literal) -> bool:
    """Whether an operand is a value rounded at decimals that it shows."""
    return literal.places > 0 and rounds_to(exact, literal.value, literal, whole=False)


def _carried(value: Number, result: Result, other: Number) -> Number:
    """What an operand that shows a result would be, if the result were another one."""
    if value == result.exact:
        return other
    return Fraction(value) * other / result.exact if result.exact else value + other


def _is_rounded_away(comparison: Comparison, exact: Number, shown: Number) -> bool:
    """Whether more was rounded than decimals: a whole number for a broken one unsaid, or for another one."""
    if exact == shown or shown.denominator != 1:
        return False
    approximate = any(side.parse and side.parse.approximate for side in (comparison.left, comparison.right))
    announced = comparison.sign == "≈" or approximate
    return exact.denominator == 1 if announced else abs(Fraction(exact) - shown) < 1


def _result_side(left: Parse, right: Parse) -> Parse | None:
    """The side that shows a result: a bare number, or what a letter is equal to."""
    for side in (right, left):
        if side.operators == 0 and not side.letters:
            return side
    return right if left.letters and not right.letters else None


def _concluded(comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]) -> dict[str, Number]:
    """The values that letters are found to have."""
    pairs = zip(comparisons, outcomes, strict=True)
    holding = (c.parses for c, o in pairs if o.status in HOLDS and not c.modulus)
    stated = (assignment(*parses) for parses in holding if parses is not None)
    return dict(filter(None, stated))
