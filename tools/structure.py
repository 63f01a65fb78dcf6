"""Soft signals: how well the steps of a solution hang together with its question and its answer.

None of them proves anything. Each is a share in [0, 1], or None where it cannot be told, and each can
cost only its own small part of a score.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.tools.arithmetic import Variable, evaluate
from latentseek_agents.tools.comparison import Outcome, show
from latentseek_agents.tools.equations import Comparison
from latentseek_agents.tools.step_parser import parse_at
from latentseek_agents.tools.step_reader import Parse
from latentseek_agents.tools.step_tokens import Number, Token, tokenize
from latentseek_agents.tools.step_words import NUMBER_WORDS, SCALES, SHARE_WORDS

__all__ = ["Signal", "question_numbers", "structure_signals"]

HOLDS = ("ok", "rounded", "converted", "running")
"""The statuses of equations that hold and say something."""

# Numbers that need no source: small counts, clock and calendar, measures, percent, powers of ten.
_CONSTANTS = frozenset(
    [*(Fraction(number) for number in range(13)), Fraction(1, 2)]
    + [Fraction(number) for number in (16, 24, 30, 36, 52, 60, 100, 365, 1000, 1760, 3600, 5280, 10000)]
)
_STATED = re.compile(
    r"\\boxed[ ]?\{([^{}\n]{0,200})\}|\#{4}[ \t]{0,5}([^\n#]{0,100})"
    r"|\banswer(?:[ ]is)?:?[ ]{0,3}\$?(-?\d[\d,/]*(?:\.\d+)?)"
)
_CREDIT = {"ok": 1.0, "rounded": 0.4, "converted": 1.0, "running": 0.8}
_MAX_OPERANDS = 2000
_MAX_NEAR = 20
_MAX_QUESTION = 8000
_MAX_GIVEN = 100


@dataclass(frozen=True, slots=True)
class Signal:
    """One soft signal.

    Args:
        name: ``arithmetic``, ``linked``, ``coverage``, ``consumed``, ``grounded`` or ``plausible``.
        value: From 0 (bad) to 1 (good); None if it cannot be told.
        reason: Why, in words.
    """

    name: str
    value: float | None
    reason: str


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
    return [set(values) for values in _read_question(question[:_MAX_QUESTION])[0]]


# A search asks about the same question at every iteration.
@lru_cache(maxsize=256)
def _read_question(question: str) -> tuple[Sequence[frozenset[Fraction]], frozenset[Fraction]]:
    """The given numbers, and those that may but need not be used: parts of times, dates and ratios."""
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
    return tuple(frozenset(values) for values in found), frozenset(spare)


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


def _near(one: Fraction, other: Fraction) -> bool:
    """Equal, or within one percent where decimals may have been rounded."""
    if one == other:
        return True
    if one.denominator == 1 and other.denominator == 1:
        return False
    return abs(one - other) * 100 <= abs(other)


@dataclass(slots=True)
class _Ledger:
    """What has been computed so far, and what of it was used again."""

    given: Sequence[frozenset[Fraction]]
    spare: frozenset[Fraction]
    results: list[Fraction] = field(default_factory=list)
    used: list[bool] = field(default_factory=list)
    derived: list[bool] = field(default_factory=list)
    operands: list[Fraction] = field(default_factory=list)
    strangers: list[Fraction] = field(default_factory=list)
    places: dict[Fraction, list[int]] = field(default_factory=dict)
    given_values: set[Fraction] = field(default_factory=set)
    given_fractions: list[Fraction] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.given_values = set(self.spare.union(*self.given))
        self.given_fractions = [value for value in self.given_values if value.denominator != 1][:_MAX_NEAR]

    def take(self, value: Fraction) -> str:
        """Use an operand; says where it comes from: ``result``, ``question``, ``constant`` or ``nowhere``."""
        if len(self.operands) < _MAX_OPERANDS:
            self.operands.append(value)
        indices = self.places.get(value) or [
            index
            for index in range(max(0, len(self.results) - _MAX_NEAR), len(self.results))
            if _near(value, self.results[index])
        ]
        for index in indices:
            self.used[index] = True
        if any(self.derived[index] for index in indices):
            return "result"
        if self.is_given(value):
            return "question"
        if value in _CONSTANTS:
            return "constant"
        return "result" if indices else "nowhere"

    def is_given(self, value: Fraction) -> bool:
        return value in self.given_values or any(_near(value, other) for other in self.given_fractions)

    def add(self, value: Fraction, *, derived: bool) -> None:
        if len(self.places.setdefault(value, [])) < _MAX_NEAR:
            self.places[value].append(len(self.results))
        self.results.append(value)
        self.used.append(False)
        self.derived.append(derived)

    def also(self, value: Fraction) -> None:
        """Another value by which the last result may be used, such as 50 for 50%."""
        self.places.setdefault(value, []).append(len(self.results) - 1)


def structure_signals(
    text: str, question: str | None, comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]
) -> list[Signal]:
    """The soft signals of a solution.

    Args:
        text: The solution.
        question: The question, or None; without it there is no coverage and no grounding.
        comparisons: The equations of the solution.
        outcomes: What was found about each.

    Returns:
        The signals, always in the same order.
    """
    ledger = _Ledger(*_read_question((question or "")[:_MAX_QUESTION]))
    _fill(ledger, comparisons, outcomes)
    stated = extract_answer(text)
    answer = None if _is_hedged(text) else _answer_value(stated)
    return [
        _arithmetic(outcomes),
        _linked(ledger, stated, answer),
        _coverage(ledger, comparisons, question),
        _consumed(ledger, answer),
        _grounded(ledger, question),
        _plausible(question, answer),
    ]


def _fill(ledger: _Ledger, comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]) -> None:
    has_algebra = False
    for comparison, outcome in zip(comparisons, outcomes, strict=True):
        left, right = comparison.left.parse, comparison.right.parse
        if comparison.hidden or left is None or right is None:
            continue
        sources: list[str] = []
        letters = left.letters | right.letters
        holds = outcome.status in HOLDS
        for parse in (left, right):
            inner = holds and parse.operators > 0 and (parse is right or comparison.continues)
            # The equation that starts the algebra has the question's numbers; those after it are derived.
            if (parse.operators or letters) and not (letters and has_algebra):
                strict = outcome.status != "unverifiable" and not inner
                found = _sources(ledger, parse, strict=strict)
                sources.extend("result" if inner and source == "nowhere" else source for source in found)
            elif parse.operators or letters:
                ledger.operands.extend(Fraction(item.value) for item in parse.literals)
        if letters and not isinstance(left.node, Variable):
            has_algebra = True
        shown = _result_side(left, right)
        value = None if shown is None else evaluate(shown.node)
        if shown is None or value is None:
            continue
        sound = holds and (
            (bool(letters) and has_algebra)
            or (bool({"question", "result"} & set(sources)) and "nowhere" not in sources)
        )
        ledger.add(Fraction(value.value), derived=sound)
        if shown.has_percent:
            ledger.also(Fraction(value.value) * 100)
        if letters:
            ledger.used[-1] = True  # the next line of the algebra uses it


def _result_side(left: Parse, right: Parse) -> Parse | None:
    """The side that shows a result: a bare number, or what a letter is equal to."""
    for side in (right, left):
        if side.operators == 0 and not side.letters:
            return side
    return right if left.letters and not right.letters else None


def _sources(ledger: _Ledger, parse: Parse, *, strict: bool) -> list[str]:
    sources: list[str] = []
    for literal in parse.literals:
        value = Fraction(literal.value)
        source = ledger.take(value)
        sources.append(source)
        if source == "nowhere" and strict:
            ledger.strangers.append(value)
    return sources


def _answer_value(stated: str | None) -> Fraction | None:
    """The number in an answer, or None for text, letters and hedged answers."""
    if not stated:
        return None
    tokens = tokenize(stated[:400])
    if len([token for token in tokens if token.kind == "number"]) > 6:
        return None
    for start in range(min(len(tokens), 6)):
        if tokens[start].kind in ("word", "relation", "letter"):
            continue
        parse = parse_at(tokens, start, len(tokens), to_the_end=True)
        if parse is None or parse.letters:
            continue
        if any(token.kind in ("number", "operator", "opaque") for token in tokens[parse.end :]):
            return None
        value = evaluate(parse.node)
        return None if value is None else Fraction(value.value)
    return None


def _is_hedged(text: str) -> bool:
    """Whether several different final answers are stated, each in its own box or line."""
    stated = {"".join(match.group(match.lastindex or 0).split()) for match in _STATED.finditer(text)}
    return len(stated - {""}) > 1


def _same_answer(answer: Fraction, result: Number) -> bool:
    value = Fraction(result)
    if _near(answer, value):
        return True
    if answer.denominator == value.denominator == 1:
        return False
    return answer == value * 100 or answer * 100 == value  # "50" for 50%


# -- the signals ---------------------------------------------------------------------------------------


def _arithmetic(outcomes: Sequence[Outcome]) -> Signal:
    if any(outcome.status == "wrong" for outcome in outcomes):
        return Signal("arithmetic", 0.0, "an equation is refuted")
    credits_ = [_CREDIT[outcome.status] for outcome in outcomes if outcome.status in HOLDS]
    if not credits_:
        return Signal("arithmetic", None, "no equation could be checked")
    if any(
        outcome.status == "unverifiable" and "only the sign differs" in outcome.reason for outcome in outcomes
    ):
        return Signal("arithmetic", 0.0, "a negative result is written as a positive one")
    weakest = min(credits_)
    reason = "every checked equation is exact" if weakest == 1 else "a result was rounded or written loosely"
    return Signal("arithmetic", weakest, reason)


def _linked(ledger: _Ledger, stated: str | None, answer: Fraction | None) -> Signal:
    if stated is None:
        return Signal("linked", 0.0, "no final answer is stated")
    if answer is None:
        return Signal("linked", 0.0, "the final answer is not one number")
    last = next((i for i in range(len(ledger.results) - 1, -1, -1) if ledger.derived[i]), None)
    if last is None:
        return Signal("linked", 0.0, "no result was computed from the question's numbers")
    if _same_answer(answer, ledger.results[last]):
        return Signal("linked", 1.0, "the answer is the last computed result")
    for index in range(last):
        if ledger.derived[index] and _same_answer(answer, ledger.results[index]):
            return Signal("linked", 0.5, "the answer is a computed result, but not the last one")
    return Signal("linked", 0.0, f"the answer {show(answer)} is not a computed result")


def _coverage(ledger: _Ledger, comparisons: Sequence[Comparison], question: str | None) -> Signal:
    if not question:
        return Signal("coverage", None, "no question was given")
    if not ledger.given:
        return Signal("coverage", None, "the question gives no numbers")
    if not comparisons:
        return Signal("coverage", None, "no equation could be checked")
    exact = set(ledger.operands)
    fractions = [value for value in exact if value.denominator != 1][:_MAX_NEAR]
    missing = 0
    for values in ledger.given:
        if not (values & exact) and not any(_near(f, value) for f in fractions for value in values):
            missing += 1
    total = len(ledger.given)
    return Signal(
        "coverage", 1 - missing / total, f"{total - missing} of the question's {total} numbers are used"
    )


def _consumed(ledger: _Ledger, answer: Fraction | None) -> Signal:
    if not ledger.results:
        return Signal("consumed", None, "nothing was computed")
    idle = [
        value
        for value, used in zip(ledger.results, ledger.used, strict=True)
        if not used and not (answer is not None and _same_answer(answer, value))
    ]
    if not idle:
        return Signal("consumed", 1.0, "every result is used")
    return Signal("consumed", 0.0, f"the result {show(idle[0])} is not used")


def _grounded(ledger: _Ledger, question: str | None) -> Signal:
    if question is None or not ledger.operands:
        return Signal("grounded", None, "there is nothing to compare with")
    if not ledger.strangers:
        return Signal("grounded", 1.0, "every operand comes from the question or an earlier result")
    return Signal("grounded", 0.0, f"{show(ledger.strangers[0])} comes from nowhere")


def _plausible(question: str | None, answer: Fraction | None) -> Signal:
    """Sign and wholeness of the answer, where the question implies them."""
    if answer is None or question is None:
        return Signal("plausible", None, "there is no numeric answer to look at")
    asked = question.lower()
    if answer < 0 and not any(
        word in asked for word in ("negative", "below", "-", "−", "solve", "equation", "x")
    ):
        return Signal("plausible", 0.0, "the answer is negative")
    if answer.denominator != 1 and not _expects_parts(asked):
        if "how many" in asked:
            return Signal("plausible", 0.0, "the question asks for a count, and the answer is not whole")
        if 100 % answer.denominator:
            return Signal("plausible", 0.0, "the answer has more decimals than the question")
        return Signal("plausible", 0.5, "the question has whole numbers, and the answer is not whole")
    return Signal("plausible", 1.0, "sign and kind of the answer fit the question")


def _expects_parts(question: str) -> bool:
    """Whether the question has fractions itself or asks for one."""
    return bool(re.search(r"\d\.\d|\d/\d|\\|fraction|decimal|probability|ratio|average|mean", question))
