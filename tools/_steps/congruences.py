r"""Congruences to findings: ``192 \equiv 3 \pmod{7}``, and the same with letters whose remainder is stated.

Example:
    >>> from latentseek_agents.tools._steps.equations import find_comparisons
    >>> text = "If n ≡ 2 (mod 7), then n + 2 ≡ 4 (mod 7). (n + 2)(n + 4) ≡ 4 * 6 ≡ 24 ≡ 5 (mod 7)."
    >>> comparisons = find_comparisons(text)
    >>> left_open = [Outcome("unverifiable", None, "")] * len(comparisons)
    >>> [outcome.status for outcome in judge_congruences(comparisons, left_open)]
    ['unverifiable', 'ok', 'ok', 'ok', 'wrong']
"""

from collections.abc import Mapping, Sequence

from latentseek_agents.tools._steps.arithmetic import (
    Binary,
    Node,
    Percent,
    Reading,
    Sign,
    Unary,
    Variable,
    evaluate,
)
from latentseek_agents.tools._steps.derivatives import depends
from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.judgement import Outcome, Status
from latentseek_agents.tools._steps.parser import Parse
from latentseek_agents.tools._steps.statements import assignment

_POINTS = (3, 8, 11, 20, 27, 46)
_MOST_LETTERS = 4

Residues = Mapping[str, int]


def judge_congruences(
    comparisons: Sequence[Comparison], outcomes: Sequence[Outcome], asked: Sequence[Comparison] = ()
) -> list[Outcome]:
    """Judge the congruences of a text.

    Args:
        comparisons: All equations of the text.
        outcomes: What was found about each.
        asked: Those of the question, which may state the remainder of a letter.

    Returns:
        The outcomes with those of congruences replaced.
    """
    if not any(comparison.modulus for comparison in comparisons):
        return list(outcomes)
    stated = [*asked, *comparisons]
    settled = list(outcomes)
    for index, comparison in enumerate(comparisons):
        if comparison.modulus > 1 and comparison.parses is not None:
            residues = _residues(stated, comparison.modulus)
            outcome = _judge(*comparison.parses, comparison.modulus, residues)
            doubts = (comparison.disputed, comparison.left.doubt, comparison.right.doubt)
            doubt = any(doubts) or len(comparison.readings) > 1
            if outcome is not None and not (doubt and outcome.status == "wrong"):
                settled[index] = outcome
    return settled


def _residues(comparisons: Sequence[Comparison], modulus: int) -> Residues:
    """The remainders that are stated for letters, where there is one for a letter."""
    found: dict[str, set[int]] = {}
    for comparison in comparisons:
        if comparison.modulus == modulus and comparison.parses is not None:
            stated = assignment(*comparison.parses)
            if stated is not None and stated[1].denominator == 1:
                found.setdefault(stated[0], set()).add(int(stated[1]) % modulus)
    return {letter: values.pop() for letter, values in found.items() if len(values) == 1}


def _judge(left: Parse, right: Parse, modulus: int, residues: Residues) -> Outcome | None:
    letters = left.letters | right.letters
    if not letters:
        return _judge_numbers(left, right, modulus)
    if len(letters) > _MOST_LETTERS or assignment(left, right) is not None:
        return None
    if any(_is_exponent(side.node, letter) for side in (left, right) for letter in letters):
        return None  # a power depends on more than the remainder of its exponent
    points = [{letter: point + place for place, letter in enumerate(sorted(letters))} for point in _POINTS]
    if all(_agree(left, right, point, modulus) for point in points):
        return Outcome("ok", None, f"equal modulo {modulus} for all whole numbers", general=True)
    if not letters <= residues.keys():
        return None
    point = {letter: residues[letter] for letter in letters}
    other_point = {letter: value + modulus for letter, value in point.items()}
    agreements = {_agree(left, right, each, modulus) for each in (point, other_point)}
    known = ", ".join(f"{letter} ≡ {point[letter]}" for letter in sorted(letters))
    if agreements == {True}:
        return Outcome("ok", None, f"holds for {known} modulo {modulus}")
    wrong = Outcome("wrong", None, f"does not hold for {known} modulo {modulus}")
    return wrong if agreements == {False} else None


def _judge_numbers(left: Parse, right: Parse, modulus: int) -> Outcome | None:
    one, other = (_remainder(side.node, {}, modulus) for side in (left, right))
    value = evaluate(right.node)
    if one is None or other is None or value is None:
        return None
    if one != other:
        return Outcome("wrong", value.value, f"modulo {modulus} they are {one} and {other}")
    status: Status = "trivial" if left.node == right.node else "ok"
    return Outcome(status, value.value, f"equal modulo {modulus}")


def _agree(left: Parse, right: Parse, point: Mapping[str, int], modulus: int) -> bool | None:
    one, other = (_remainder(side.node, point, modulus) for side in (left, right))
    return None if one is None or other is None else one == other


def _remainder(node: Node, point: Mapping[str, int], modulus: int) -> int | None:
    """The remainder of a whole number; None for anything else."""
    value = evaluate(node, Reading(variables=point))
    whole = value is not None and value.exact and value.value.denominator == 1
    return int(value.value) % modulus if value is not None and whole else None


def _is_exponent(node: Node, letter: str) -> bool:
    """Whether a letter stands where a remainder cannot take its place."""
    match node:
        case Binary("^", left, right):
            return depends(right, letter) or _is_exponent(left, letter)
        case Binary("+" | "-" | "*", left, right):
            return _is_exponent(left, letter) or _is_exponent(right, letter)
        case Sign(operand):
            return _is_exponent(operand, letter)
        case Binary() | Unary() | Percent():
            return depends(node, letter)
        case Variable():
            return False
    return False
