r"""Text to the one number that a solution answers with, or why there is none to rely on.

A hedge is not an answer: a solution that boxes three numbers, or calls a number wrong while boxing it, does
not say which one it is.

Example:
    >>> final_answer("The answer is $60 a week.").value
    Fraction(60, 1)
    >>> final_answer(r"\boxed{5} \boxed{60}").problem
    'several different answers are stated'
    >>> final_answer("The answer is not 60.").problem
    'the final answer is not one number'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from latentseek_agents.tools._maths.number_words import CARDINALS, digits_for_words
from latentseek_agents.tools._maths.words import DISPUTED, HEDGES, HYPOTHETICAL, LEAD_INS, NUMBER_WORDS
from latentseek_agents.tools._steps.arithmetic import Literal, Node, evaluate
from latentseek_agents.tools._steps.judgement import rounds_to
from latentseek_agents.tools._steps.parser import parse_at
from latentseek_agents.tools._steps.tokens import Token, token_at, tokenize
from latentseek_agents.tools.answers import extract_answer, stated_answers

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
        other: There is no value because the answer is something else than a number: an expression, a
            point, a name. No hedge, and no denial.
        stated: The answer as it stands in the text.
    """

    value: Fraction | None = None
    node: Node = _NOTHING
    percent: bool = False
    problem: str = ""
    other: bool = False
    stated: str = ""


def final_answer(text: str) -> FinalAnswer:
    """The number that a solution answers with, if it states one number and nothing else.

    Args:
        text: The solution.

    Returns:
        The number, or what is the matter with the answer.
    """
    stated = extract_answer(text)
    if stated is None:
        return FinalAnswer(problem="no final answer is stated")
    answer = _read(stated)
    if answer is None:
        sure = _DOUBTS.isdisjoint(token.word for token in tokenize(stated[:_LONGEST]))
        return FinalAnswer(problem="the final answer is not one number", other=sure, stated=stated)
    others = stated_answers(text) if _may_repeat(text) else ()
    if all(other == stated or _agrees(other, answer) for other in others):
        return answer
    return FinalAnswer(problem="several different answers are stated")


def _may_repeat(text: str) -> bool:
    """Whether more than one place of a text may state an answer."""
    lowered = text.lower()
    return sum(map(lowered.count, ("boxed", "fbox", "####", "answer", "a:", "a**:"))) > 1


def _read(stated: str) -> FinalAnswer | None:
    """One number with its unit, or None for anything more or less than that."""
    tokens = tokenize(digits_for_words(stated) if stated[:1].isalpha() else stated)
    start = _start(tokens)
    numbers = sum(token.kind == "number" for token in tokens)
    if start is None or numbers > _MOST_NUMBERS or len(stated) > _LONGEST:
        return None
    parse = parse_at(tokens, start, len(tokens))
    if parse is None or parse.letters or parse.end != len(tokens) or not _DOUBTS.isdisjoint(parse.units):
        return None
    result = evaluate(parse.node)
    return result and FinalAnswer(Fraction(result.value), parse.node, percent=parse.has_percent)


def _start(tokens: Sequence[Token]) -> int | None:
    """Where the number starts: behind "x =", "Total:", "about"."""
    start = 0
    for index, token in enumerate(tokens):
        if token.kind == "relation" and token.text not in ("=", "≈"):
            return None
        if token.kind == "relation" or token.text == ":":
            start = index + 1
    while token_at(tokens, start).word in LEAD_INS:
        start += 1
    hedged = any(token.word in _DOUBTS for token in tokens[:start])
    return None if hedged or token_at(tokens, start).kind in ("word", "end") else start


def _agrees(stated: str, answer: FinalAnswer) -> bool:
    """Whether another statement of the answer leaves it at the same number."""
    value, other = answer.value, _read(stated)
    if other is not None and other.value is not None and value is not None:
        scale = 1 if other.percent == answer.percent else 100 if answer.percent else Fraction(1, 100)
        return any(
            rounds_to(scaled, other.value, other.node, whole=False)
            or rounds_to(other.value, scaled, answer.node, whole=False)
            or scaled == other.value
            for scaled in (value, value * scale)
        )
    tokens = tokenize(stated[:_LONGEST])
    words = {token.word for token in tokens}
    named = {Fraction(token.value) for token in tokens if token.kind == "number"}
    named |= {Fraction(CARDINALS[word]) for word in words & CARDINALS.keys()}
    return value in named and words.isdisjoint(_DOUBTS - CARDINALS.keys())
