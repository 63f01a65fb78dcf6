"""Findings to signals: how well the steps of a solution hang together with its question and its answer.

None of them proves anything. Each is a share in [0, 1], or None where it cannot be told, and each can
cost only its own small part of a score. What must not be outvoted is a :class:`Block`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.final_answer import FinalAnswer, final_answer
from latentseek_agents.tools._steps.judgement import HOLDS, Outcome, rounds_to, show
from latentseek_agents.tools._steps.programs import NO_PROGRAMS, ProgramFindings
from latentseek_agents.tools._steps.provenance import Ledger, Result, given_numbers
from latentseek_agents.tools._steps.question import is_word_problem
from latentseek_agents.tools._steps.tokens import tokenize

_CREDIT = {"ok": 1.0, "rounded": 0.4, "converted": 1.0, "running": 0.8}
# Questions whose answer must be rounded, or may be.
_ROUNDING = re.compile(
    r"\b(?:round\w*|nearest|approximate\w*|estimate\w*|about how|whole|full|complete\w*|at least|at most|"
    r"minimum|maximum|fewest|need\w*|enough|afford)\b",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(
    r"\b(?:negative|below|minus|solve|equation|temperature|degrees?|loss|debt)\b|(?<![A-Za-z])x(?![A-Za-z])"
    r"|\d\s?[-−]\s\d|(?<![\w)])[-−]\d",
    re.IGNORECASE,
)
_PARTS = re.compile(
    r"\d\.\d|\d/\d|\\|\b(?:fractions?|decimals?|probability|ratios?|average|mean)\b", re.IGNORECASE
)
# What an expression is made of; a point or a list has commas, a name has words.
_OF_EXPRESSIONS = frozenset(("number", "letter", "operator", "open", "close", "command"))
_LONGEST = 200
_OF_WORD_PROBLEMS = frozenset(("coverage", "consumed", "grounded", "plausible"))
_PERCENT = re.compile(r"%|\bpercent|\bper cent|\brate\b|\bprobability|\bchance", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Signal:
    """One soft signal.

    Args:
        name: ``arithmetic``, ``linked``, ``coverage``, ``consumed``, ``grounded`` or ``plausible``.
        value: From 0 (bad) to 1 (good); None if it cannot be told.
        reason: Why, in words.
        counts: The question is of the kind that the signal is made for, so that it tells in the score of
            a solution that does not pass.
    """

    name: str
    value: float | None
    reason: str
    counts: bool = True


_ANYTHING_IS_PLAUSIBLE = Signal("plausible", None, "any kind of answer fits the question")


@dataclass(frozen=True, slots=True)
class Block:
    """A finding that a solution must not pass with, however good the rest of it is.

    Args:
        name: ``answer``, ``grounded``, ``plausible`` or ``difference``.
        reason: Why, in words.
    """

    name: str
    reason: str


def structure_of(
    text: str,
    question: str | None,
    comparisons: Sequence[Comparison],
    outcomes: Sequence[Outcome],
    programs: ProgramFindings = NO_PROGRAMS,
) -> tuple[list[Signal], list[Block]]:
    """How a solution hangs together.

    Args:
        text: The solution, without what a reader would not see.
        question: The question, or None; without it there is no coverage and no grounding.
        comparisons: The equations of the solution.
        outcomes: What was found about each.
        programs: What was found about the programs of the solution.

    Returns:
        The soft signals, always in the same order, and what stands in the way of a pass, the weightiest
        first.
    """
    given, spare = given_numbers(question or "")
    ledger = Ledger(given, spare, rounding=bool(_ROUNDING.search(question or "")), seed=text)
    ledger.read(comparisons, outcomes, programs.computations)
    answer = final_answer(text)
    in_words = question is None or is_word_problem(question)
    grounded = _grounded(ledger, question)
    plausible = _plausible(question, answer) if in_words else _ANYTHING_IS_PLAUSIBLE
    linked = _linked(ledger, answer)
    if not in_words:
        linked = _linked_in_mathematics(linked, ledger, answer, comparisons, outcomes)
    signals = [
        _arithmetic([*outcomes, *programs.outcomes]),
        linked,
        _coverage(ledger, answer, len(comparisons) + len(programs.computations), question),
        _consumed(ledger, answer),
        grounded,
        plausible,
    ]
    if not in_words:
        signals = [replace(each, counts=each.name not in _OF_WORD_PROBLEMS) for each in signals]
        soft = []
    else:
        soft = [grounded, plausible]
    return signals, list(_blocks(answer, outcomes, soft, in_words=in_words))


def _blocks(
    answer: FinalAnswer, outcomes: Sequence[Outcome], soft: Sequence[Signal], *, in_words: bool
) -> Iterator[Block]:
    if answer.problem and (in_words or not answer.other):
        yield Block("answer", answer.problem)
    differing = next((o for o in outcomes if o.differs and o.status == "unverifiable"), None)
    if differing is not None:
        yield Block("difference", differing.reason)
    for signal in soft:
        if signal.value == 0:
            yield Block(signal.name, signal.reason)


def _is_answer(ledger: Ledger, answer: FinalAnswer, result: Result) -> bool:
    """Whether an answer is a result, at the digits that the answer shows."""
    value = answer.value
    if value is None:
        return False
    # "50" for 50%, and "56%" for 56
    hundredth, whole = (result.value, value) if result.percent else (value, result.value)
    converted = result.percent != answer.percent and whole == hundredth * 100
    may_round = value.denominator != 1 or ledger.rounding
    rounded = may_round and rounds_to(result.exact, value, answer.node, whole=ledger.rounding)
    return value == result.value or converted or rounded


# -- the signals ---------------------------------------------------------------------------------------


def _arithmetic(outcomes: Sequence[Outcome]) -> Signal:
    if any(outcome.status == "wrong" for outcome in outcomes):
        return Signal("arithmetic", 0.0, "a step is refuted")
    credits_ = [_CREDIT[outcome.status] for outcome in outcomes if outcome.status in HOLDS]
    if not credits_:
        return Signal("arithmetic", None, "no equation could be checked")
    if any(
        outcome.status == "unverifiable" and "only the sign differs" in outcome.reason for outcome in outcomes
    ):
        return Signal("arithmetic", 0.0, "a negative result is written as a positive one")
    weakest = min(credits_)
    reason = "every checked step is exact" if weakest == 1 else "a result was rounded or written loosely"
    return Signal("arithmetic", weakest, reason)


def _linked(ledger: Ledger, answer: FinalAnswer) -> Signal:
    if answer.value is None:
        return Signal("linked", 0.0, answer.problem)
    derived = [result for result in ledger.results if result.derived]
    if not derived:
        return Signal("linked", 0.0, "no result was computed from the question's numbers")
    if _is_answer(ledger, answer, derived[-1]):
        return Signal("linked", 1.0, "the answer is the last computed result")
    if any(_is_answer(ledger, answer, result) for result in derived):
        return Signal("linked", 0.5, "the answer is a computed result, but not the last one")
    return Signal("linked", 0.0, f"the answer {show(answer.value)} is not a computed result")


def _linked_in_mathematics(
    linked: Signal,
    ledger: Ledger,
    answer: FinalAnswer,
    comparisons: Sequence[Comparison],
    outcomes: Sequence[Outcome],
) -> Signal:
    """The same where results need not come from the question's numbers: "three in a row", "all roots"."""
    if answer.other:
        return _linked_expression(answer, comparisons, outcomes)
    if linked.value == 1.0 or answer.value is None:
        return linked
    held = [result for result in ledger.results if result.holds]
    if held and _is_answer(ledger, answer, held[-1]):
        return replace(linked, value=0.9, reason="the answer is the last result that could be checked")
    if any(_is_answer(ledger, answer, result) for result in held):
        return replace(linked, value=0.6, reason="the answer is a result, but not the last one")
    return linked


def _linked_expression(
    answer: FinalAnswer, comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]
) -> Signal:
    """Whether an expression that a solution answers with is what a checked step ends in."""
    tokens = [token for token in tokenize(answer.stated[:_LONGEST]) if token.kind != "currency"]
    kinds = {token.kind for token in tokens}
    if not kinds <= _OF_EXPRESSIONS or not kinds & {"operator", "command"}:
        return Signal("linked", None, answer.problem)  # a point, a list, a name
    written = [token.text for token in tokens]
    sides = [c.right for c, o in zip(comparisons, outcomes, strict=True) if o.status in HOLDS]
    ends = ([token.text for token in side.tokens[side.start : side.stop]] for side in sides)
    if any(end == written for end in ends):
        return Signal("linked", 0.9, "the answer is what a checked step ends in")
    return Signal("linked", 0.3, "the answer is not what a checked step ends in")


def _coverage(ledger: Ledger, answer: FinalAnswer, steps: int, question: str | None) -> Signal:
    if not question:
        return Signal("coverage", None, "no question was given")
    if not ledger.given:
        return Signal("coverage", None, "the question gives no numbers")
    if not steps:
        return Signal("coverage", None, "no equation could be checked")
    needed = next(
        (r.shifts.keys() for r in reversed(ledger.results) if r.derived and _is_answer(ledger, answer, r)),
        ledger.seen,
    )
    missing = sum(number not in needed for number in range(len(ledger.given)))
    total = len(ledger.given)
    return Signal(
        "coverage", 1 - missing / total, f"uses {total - missing} of the question's {total} numbers"
    )


def _consumed(ledger: Ledger, answer: FinalAnswer) -> Signal:
    if not ledger.results:
        return Signal("consumed", None, "nothing was computed")
    idle = [
        result.value
        for result in ledger.results
        if not result.used and not _is_answer(ledger, answer, result)
    ]
    if not idle:
        return Signal("consumed", 1.0, "every result is used")
    return Signal("consumed", 0.0, f"the result {show(idle[0])} is not used")


def _grounded(ledger: Ledger, question: str | None) -> Signal:
    if question is None or not ledger.results:
        return Signal("grounded", None, "there is nothing to compare with")
    if ledger.stranger is None:
        return Signal("grounded", 1.0, "every operand comes from the question or an earlier result")
    return Signal("grounded", 0.0, f"{show(ledger.stranger)} comes from nowhere")


def _plausible(question: str | None, answer: FinalAnswer) -> Signal:
    """Sign and wholeness of the answer, where the question implies them."""
    value = answer.value
    if value is None or question is None:
        return Signal("plausible", None, "there is no numeric answer to look at")
    if value < 0 and not _NEGATIVE.search(question):
        return Signal("plausible", 0.0, "the answer is negative")
    if answer.percent and not _PERCENT.search(question):
        return Signal("plausible", 0.0, "the answer is a percentage, and the question asks for none")
    if value.denominator != 1 and not answer.percent and not _PARTS.search(question):
        if "how many" in question.lower():
            return Signal("plausible", 0.0, "the question asks for a count, and the answer is not whole")
        if 100 % value.denominator:
            return Signal("plausible", 0.0, "the answer has more decimals than the question")
        return Signal("plausible", 0.5, "the question has whole numbers, and the answer is not whole")
    return Signal("plausible", 1.0, "sign and kind of the answer fit the question")
