"""The one number that a solution answers with, or why there is none to rely on.

A hedge is not an answer: whoever boxes three numbers, or calls a number wrong while boxing it, has not
said which one it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from latentseek_agents.tools._number_words import CARDINALS, digits_for_words
from latentseek_agents.tools._steps.arithmetic import Literal, Node, evaluate
from latentseek_agents.tools._steps.comparison import rounds_to
from latentseek_agents.tools._steps.parser import parse_at
from latentseek_agents.tools._steps.tokens import Token, tokenize
from latentseek_agents.tools._words import DISPUTED, HEDGES, HYPOTHETICAL, LEAD_INS, NUMBER_WORDS
from latentseek_agents.tools.answers import extract_answer, stated_answers

__all__ = ["FinalAnswer", "final_answer"]

_LONGEST = 400
_MOST_NUMBERS = 6
# Words beside a number that make it none: denials, hedges, alternatives.
_DOUBTS = (DISPUTED | HYPOTHETICAL | HEDGES | {*NUMBER_WORDS, *CARDINALS}) - {"than", "one"}
_NOTHING = Literal(0)


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """What a solution answers.

    Args:
        value: The number; None if there is not exactly one.
        node: The number as written, with the decimals that it shows.
        percent: It has a percent sign.
        problem: Why there is no value, in words, or "".
    """

    value: Fraction | None = None
    node: Node = _NOTHING
    percent: bool = False
    problem: str = ""


def final_answer(text: str) -> FinalAnswer:
    r"""The number that a solution answers with, if it states one number and nothing else.

    Args:
        text: The solution.

    Returns:
        The number, or what is the matter with the answer.

    Example:
        >>> final_answer("The answer is $60 a week.").value
        Fraction(60, 1)
        >>> final_answer(r"\boxed{5} \boxed{60}").problem
        'several different answers are stated'
        >>> final_answer("The answer is not 60.").problem
        'the final answer is not one number'
    """
    stated = extract_answer(text)
    if stated is None:
        return FinalAnswer(problem="no final answer is stated")
    answer = _read(stated)
    if answer is None or answer.value is None:
        return FinalAnswer(problem="the final answer is not one number")
    for other in stated_answers(text) if _may_repeat(text) else ():
        if other != stated and not _agrees(other, answer):
            return FinalAnswer(problem="several different answers are stated")
    return answer


def _may_repeat(text: str) -> bool:
    """Whether more than one place of a text may state an answer."""
    lowered = text.lower()
    return sum(map(lowered.count, ("boxed", "fbox", "####", "answer", "a:", "a**:"))) > 1


def _read(stated: str) -> FinalAnswer | None:
    """One number with its unit, or None for anything more or less than that."""
    if len(stated) > _LONGEST:
        return None
    tokens = tokenize(digits_for_words(stated) if stated[:1].isalpha() else stated)
    start = _start(tokens)
    if start is None or sum(token.kind == "number" for token in tokens) > _MOST_NUMBERS:
        return None
    parse = parse_at(tokens, start, len(tokens))
    if parse is None or parse.letters or parse.end != len(tokens) or not _DOUBTS.isdisjoint(parse.units):
        return None
    result = evaluate(parse.node)
    if result is None:
        return None
    return FinalAnswer(Fraction(result.value), parse.node, percent=parse.has_percent)


def _start(tokens: Sequence[Token]) -> int | None:
    """Where the number starts: behind "x =", "Total:", "about"."""
    start = 0
    for index, token in enumerate(tokens):
        if token.kind == "relation" and token.text not in ("=", "≈"):
            return None
        if token.kind == "relation" or token.text == ":":
            start = index + 1
    if any(token.kind == "word" and token.text.lower() in _DOUBTS for token in tokens[:start]):
        return None
    while start < len(tokens) and tokens[start].kind == "word":
        if tokens[start].text.lower() not in LEAD_INS:
            return None
        start += 1
    return start if start < len(tokens) else None


def _agrees(stated: str, answer: FinalAnswer) -> bool:
    """Whether another statement of the answer leaves it at the same number."""
    value, other = answer.value, _read(stated)
    if value is None:
        return False
    if other is not None and other.value is not None:
        scales = (
            (1,) if other.percent == answer.percent else (1, 100) if answer.percent else (1, Fraction(1, 100))
        )
        return any(
            rounds_to(value * scale, other.value, other.node, loose=False, whole=False)
            or rounds_to(other.value, value * scale, answer.node, loose=False, whole=False)
            or value * scale == other.value
            for scale in scales
        )
    tokens = tokenize(stated[:_LONGEST])
    words = {token.text.lower() for token in tokens if token.kind == "word"}
    named = {Fraction(token.value) for token in tokens if token.kind == "number"}
    named |= {Fraction(CARDINALS[word]) for word in words & CARDINALS.keys()}
    return value in named and words.isdisjoint(_DOUBTS - CARDINALS.keys())
