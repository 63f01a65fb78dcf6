"""Solve equations that stand in a text: read here, solved by SymPy in the worker process."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from latentseek_agents.errors import LatentSeekError
from latentseek_agents.tools._answers.expression import ExpressionError, Node, parse_expression
from latentseek_agents.tools._answers.notation import LONGEST_ANSWER, plain_notation
from latentseek_agents.tools._symbolic.sandbox import SandboxError, SandboxTimeoutError, shared_sandbox

__all__ = ["EquationError", "describe_solutions", "solve_equations"]

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


class EquationError(LatentSeekError, ValueError):
    """A text holds no equations that can be solved; the message says what to change."""


def solve_equations(equations: str, unknowns: str = "") -> dict[str, Any]:
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
        EquationError: The text cannot be read or the equations cannot be solved in time.

    Example:
        >>> found = solve_equations(r"\frac{x}{2} + y = 4; x - y = 2")
        >>> {name: value["exact"] for name, value in found["solutions"][0].items()}
        {'x': '4', 'y': '2'}
    """
    pairs = _read(equations)
    letters = sorted(frozenset().union(*(side.symbols() for pair in pairs for side in pair)))
    names = _unknowns(unknowns, letters, len(pairs))
    request = [[left.to_wire(), right.to_wire()] for left, right in pairs]
    sandbox = shared_sandbox()
    try:
        sandbox.ask("load_solver", seconds=_LOADING_SECONDS)
        found = sandbox.ask("solve", request, names, seconds=_SECONDS)
    except SandboxTimeoutError:
        raise EquationError("solving takes too long; give simpler equations") from None
    except SandboxError as error:
        raise EquationError(_reason(str(error))) from None
    return {"unknowns": names, **found}


def describe_solutions(found: Mapping[str, Any]) -> str:
    """The result of :func:`solve_equations` in words.

    Example:
        >>> describe_solutions(solve_equations("2x^2 = x + 1"))
        'x = -1/2 (-0.5) or x = 1'
    """
    if found["kind"] == "all":
        unless = " for which no denominator is zero" if found["restricted"] else ""
        return f"Every value of {', '.join(found['unknowns'])}{unless} is a solution."
    real = [solution for solution in found["solutions"] if not _is_complex(solution)]
    others = [solution for solution in found["solutions"] if _is_complex(solution)]
    if found["kind"] == "none":
        return "There is no solution." if found["field"] == "complex" else "There is no real solution."
    words = " or ".join(map(_solution, real)) if real else "There is no real solution"
    if others:
        words += f"; not real: {' or '.join(map(_solution, others))}"
    if found["kind"] == "family":
        free = [name for name in found["unknowns"] if any(name not in each for each in found["solutions"])]
        words += f", for every value of {', '.join(free)}" if free else ", with values that stay free"
    return words


def _read(text: str) -> list[tuple[Node, Node]]:
    if len(text) > LONGEST_ANSWER:
        raise EquationError(f"the text has {len(text)} characters; give at most {LONGEST_ANSWER}")
    plain = _ENVIRONMENT.sub(" ", text)
    if _OTHER_RELATIONS.search(plain.replace(r"\left", "").replace(r"\right", "")):
        raise EquationError("only equations with = can be solved, no inequalities")
    if function := _FUNCTION.search(plain):
        name = function[1]
        raise EquationError(
            f"{name}(...) may be a function; put in its formula, or write {name}*(...) for a product"
        )
    pairs: list[tuple[Node, Node]] = []
    for piece in _SEPARATOR.split(plain):
        if not piece.strip(" .$[]\t"):
            continue
        sides = [_side(side, piece) for side in piece.replace("==", "=").split("=")]
        if len(sides) == 1:
            raise EquationError(f"{_short(piece)} has no equals sign; write it as left = right")
        pairs.extend(itertools.pairwise(sides))
    if not pairs:
        raise EquationError("there is no equation in the text; write for example 2x + 3 = 7")
    return pairs


def _side(side: str, piece: str) -> Node:
    try:
        return parse_expression(plain_notation(side))
    except ExpressionError as error:
        raise EquationError(f"{_short(piece)} cannot be read: {error}") from None


def _unknowns(given: str, letters: Sequence[str], equations: int) -> list[str]:
    names = [name.strip("${}() ") for name in re.split(r"[,;\s]+|\band\b", given) if name.strip("${}() ")]
    names = list(dict.fromkeys(name if name in letters else name.removeprefix("\\") for name in names))
    for name in names:
        if not _UNKNOWN.fullmatch(name) or name not in letters:
            raise EquationError(
                f"{_short(name)} does not stand in the equations; their letters are {', '.join(letters)}"
                if letters
                else "there is no letter in the equations to solve for"
            )
    if names:
        return names
    if not letters:
        raise EquationError("there is no letter in the equations to solve for; calculate checks numbers")
    if len(letters) > equations:
        raise EquationError(
            f"there are more letters ({', '.join(letters)}) than equations; say which to solve for"
        )
    return list(letters)


def _solution(solution: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name} = {_value(value)}" for name, value in solution.items())


def _value(value: Mapping[str, Any]) -> str:
    exact, decimal = value["exact"], value["decimal"]
    if exact is None:
        return f"about {decimal}"
    return exact if decimal is None or decimal == exact or value["real"] is False else f"{exact} ({decimal})"


def _is_complex(solution: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(value["real"] is False for value in solution.values())


def _reason(message: str) -> str:
    """What the worker said, without the name of its exception."""
    name, _, words = message.partition(": ")
    return words if name == "SolverError" else "the equations cannot be solved"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= 60 else text[:59] + "…")
