"""Calculate, and solve equations, in a text that a model wrote: the facade of the symbolic machinery.

Example:
    >>> calculate("15% of 80")
    Fraction(12, 1)
"""

import itertools
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from latentseek_agents.errors import LatentSeekError
from latentseek_agents.tools._answers import (
    LONGEST_ANSWER,
    ExpressionError,
    Node,
    exact_value,
    parse_expression,
    plain_notation,
    unit_of,
)
from latentseek_agents.tools._maths.words import WORD_OPERATORS
from latentseek_agents.tools._steps import calculate as calculate_in_words
from latentseek_agents.tools._steps import tokenize
from latentseek_agents.tools._symbolic import SandboxError, SandboxTimeoutError, shared_sandbox

_WORDS_OF_OPERATORS = frozenset(WORD_OPERATORS) | {"x", "of", "by", "divided", "multiplied", "the"}
# 0x10 is 16, and no product.
_PREFIXED = re.compile(
    r"(?<![\w.])0(?:x[0-9A-F]{1,60}|b[01]{1,60}|o[0-7]{1,60})(?![\w.])", re.IGNORECASE | re.ASCII
)
_BETWEEN_NUMBERS = re.compile(r"[\d)] ?\\?% ?[\d(]")
_INSTRUCTION = re.compile(
    r"(?<![a-z])(?:round(?:ed|s)?|nearest|truncated?|approximately|squared?|cubed?|half|twice|doubled?|mean|"
    r"average|remainder|quotient)(?![a-z])",
    re.IGNORECASE,
)
_CURRENCIES = re.compile("[$€£¥₹¢]")
_PRODUCT = re.compile(r"[*×·]|\\times|\\cdot|\btimes\b|(?<=[\w)]) x (?=[\d(])")
# A sign at the end of a sentence is dropped in prose, but a call that was cut short must not be guessed at.
_UNFINISHED = re.compile(r"(?:[-+*/^×÷·−]|\\times|\\cdot|\\div)\s*$")
_SECONDS = 1.5
# Trusted code, and only the first time: SymPy's import must not eat the time of the equations.
_LOADING_SECONDS = 15.0
# "1,000" is a number, "x = 1, y = 2" are two equations.
_SEPARATOR = re.compile(r";|\n|\\\\|,(?!\d{3}(?!\d))|\band\b")
_OTHER_RELATIONS = re.compile(r"[<>≤≥≠≈]|!=|\\(?:leq?|geq?|neq?|approx|lt|gt)(?![a-zA-Z])")
# Read as a product, f(2) = 3 would be about another f than f(x) = ax.
_FUNCTION = re.compile(r"(?<![A-Za-z\\])([fgh]'{0,2}) ?(?:\\left ?)?\(")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]{1,12}\*?\}|\\left\\\{|\\right\.|&")
_UNKNOWN = re.compile(r"[A-Za-z]|\\?[a-z]{2,8}|[A-Za-z]_\{?[A-Za-z0-9]{1,4}\}?")


class NoResultError(LatentSeekError, ValueError):
    """A text holds nothing that can be calculated or solved; the message says what to change."""


def calculate(text: str) -> Fraction | Decimal:
    r"""The value of an arithmetic expression, in words, plain text or LaTeX.

    Returns:
        A fraction if the value is exact, a decimal of 40 digits if it is irrational.

    Raises:
        NoResultError: The text cannot be calculated.

    Example:
        >>> calculate(r"\frac{1}{3} + 0.5")
        Fraction(5, 6)
    """
    text = _PREFIXED.sub(lambda match: str(int(match[0], base=0)), text.strip().rstrip("=? "))
    if reason := _unfit(text):
        raise NoResultError(reason)
    try:
        tree: Node | None = parse_expression(plain_notation(text))
    except ExpressionError:
        tree = None
    value: int | Fraction | None = None if tree is None else exact_value(tree)
    if value is None and (tree is None or tree.symbols()) and not _mixes_units(text):
        # Words and units: "15% of 80", "12 x 3", "$4 * 3 pens".
        value = calculate_in_words(text)
    if value is not None:
        return Fraction(value)
    if tree is None:
        raise NoResultError(f"{short(text)} cannot be read as a calculation")
    if _divides_by_zero(tree):
        raise NoResultError(f"{short(text)} has no value: it divides by zero")
    if letters := sorted(tree.symbols()):
        raise NoResultError(f"the expression holds letters ({', '.join(letters)}); give numbers only")
    try:
        decimal = shared_sandbox().ask("real_values", [tree.to_wire()])[0]
    except SandboxError:
        raise NoResultError(f"{short(text)} could not be calculated: it is too large or too slow") from None
    if decimal is None:
        raise NoResultError(f"{short(text)} has no real value, or one that is too large")
    return Decimal(decimal)


def solve(equations: str, unknowns: str = "") -> dict[str, Any]:
    r"""Solve the equations of a text exactly.

    Linear, quadratic and other polynomial equations, fractions, roots, exponentials and logarithms, and
    systems of up to four of them. Every solution is put into the equations before it is returned.

    Args:
        equations: LaTeX or plain, separated by commas, semicolons, new lines or "and".
        unknowns: What to solve for, separated by commas; by default all letters.

    Returns:
        Plain values: ``unknowns``; ``kind`` ("finite", "none", "all" or "family"); ``field``, "real" if only
        real solutions were looked for; ``restricted``, whether zeros of denominators are left out;
        ``solutions``, for each a dict from unknown to ``exact``, ``decimal`` and ``real``.

    Raises:
        NoResultError: The text cannot be read or the equations cannot be solved in time.

    Example:
        >>> result = solve(r"\frac{x}{2} + y = 4; x - y = 2")
        >>> {name: value["exact"] for name, value in result["solutions"][0].items()}
        {'x': '4', 'y': '2'}
    """
    pairs = _read(equations)
    letters = sorted(frozenset().union(*(side.symbols() for pair in pairs for side in pair)))
    names = _unknowns(unknowns, letters, len(pairs))
    request = [[left.to_wire(), right.to_wire()] for left, right in pairs]
    sandbox = shared_sandbox()
    try:
        sandbox.ask("load_solver", seconds=_LOADING_SECONDS)
        result = sandbox.ask("solve", request, names, seconds=_SECONDS)
    except SandboxTimeoutError:
        raise NoResultError("solving takes too long; give simpler equations") from None
    except SandboxError as error:
        # Only messages of the solver itself are for the reader.
        name, _, reason = str(error).partition(": ")
        reason = reason if name == "SolverError" else "the equations cannot be solved"
        raise NoResultError(reason) from None
    return {"unknowns": names, **result}


def _unfit(text: str) -> str:
    """Why a text is nothing to calculate; "" if it may be."""
    if not text:
        return "there is nothing to calculate"
    if len(text) > LONGEST_ANSWER:
        return f"the expression has {len(text)} characters; give at most {LONGEST_ANSWER}"
    if word := _INSTRUCTION.search(text):
        return f"{word.group()!r} is not understood; give numbers, operators and functions alone"
    units = _units(text)
    doubts = {
        "the expression ends with an operator; give what follows it": _UNFINISHED.search(text),
        "give one expression without an equals sign; solve_equation solves equations": "=" in text,
        "a % between two numbers is unclear; write 10 mod 3 for a remainder, 10% * 3 for a share": (
            _BETWEEN_NUMBERS.search(text)
        ),
        "a product of quantities has a unit of its own; give the numbers without their units": (
            len(units) > 1 and _PRODUCT.search(text)
        ),
        "the amounts are of different currencies; convert them first": (
            len(set(_CURRENCIES.findall(text))) > 1
        ),
    }
    return next((reason for reason, doubtful in doubts.items() if doubtful), "")


def _units(text: str) -> list[str]:
    """Every unit of measure in a text that stands behind a number."""
    names = re.findall(r"\d ?([A-Za-z]{1,12})(?![A-Za-z(])", text[:LONGEST_ANSWER])
    known = [name for name in names if (unit := unit_of(name)) is not None and unit.dimension]
    return [name for name in known if name not in ("x", "e", "E")]


def _divides_by_zero(tree: Node) -> bool:
    return any(node.kind == "divide" and exact_value(node.args[1]) == 0 for node in tree.nodes())


def _mixes_units(text: str) -> bool:
    """Whether the numbers may be of different units, as in "3 km + 5 m"."""
    words = {token.text.lower().rstrip("s") for token in tokenize(text) if token.kind in ("word", "letter")}
    return len(words - _WORDS_OF_OPERATORS) > 1


def _read(text: str) -> list[tuple[Node, Node]]:
    if len(text) > LONGEST_ANSWER:
        raise NoResultError(f"the text has {len(text)} characters; give at most {LONGEST_ANSWER}")
    plain = _ENVIRONMENT.sub(" ", text)
    if _OTHER_RELATIONS.search(plain.replace(r"\left", "").replace(r"\right", "")):
        raise NoResultError("only equations with = can be solved, no inequalities")
    if function := _FUNCTION.search(plain):
        name = function[1]
        raise NoResultError(
            f"{name}(...) may be a function; put in its formula, or write {name}*(...) for a product"
        )
    pairs: list[tuple[Node, Node]] = []
    for piece in _SEPARATOR.split(plain):
        if not piece.strip(" .$[]\t"):
            continue
        sides = [_side(side, piece) for side in piece.replace("==", "=").split("=")]
        if len(sides) == 1:
            raise NoResultError(f"{short(piece, 60)!r} has no equals sign; write it as left = right")
        pairs.extend(itertools.pairwise(sides))
    if not pairs:
        raise NoResultError("there is no equation in the text; write for example 2x + 3 = 7")
    return pairs


def _side(side: str, piece: str) -> Node:
    try:
        return parse_expression(plain_notation(side))
    except ExpressionError as error:
        raise NoResultError(f"{short(piece, 60)!r} cannot be read: {error}") from None


def _unknowns(given: str, letters: Sequence[str], equations: int) -> list[str]:
    names = [name.strip("${}() ") for name in re.split(r"[,;\s]+|\band\b", given) if name.strip("${}() ")]
    names = list(dict.fromkeys(name if name in letters else name.removeprefix("\\") for name in names))
    for name in names:
        if not _UNKNOWN.fullmatch(name) or name not in letters:
            raise NoResultError(
                f"{short(name, 60)!r} does not stand in the equations; their letters are {', '.join(letters)}"
                if letters
                else "there is no letter in the equations to solve for"
            )
    if names:
        return names
    if not letters:
        raise NoResultError("there is no letter in the equations to solve for; calculate checks numbers")
    if len(letters) > equations:
        raise NoResultError(
            f"there are more letters ({', '.join(letters)}) than equations; say which to solve for"
        )
    return list(letters)


def short(text: str, most: int = 100) -> str:
    """A text in one line, cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
