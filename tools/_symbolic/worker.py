"""The child process that calculates with what a model wrote; ``sandbox.py`` starts it.

It runs as a script, alone, and imports nothing of this package. It reads requests in JSON from its connection
and replies to each in JSON. The requests hold trees of numbers, symbols and named operations, never text that
would have to be parsed; every value is built from the tree itself.
"""

import contextlib
import importlib
import json
import math
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # The parent's search path: an isolated interpreter may not know where the libraries are.
    sys.path.extend(path for path in json.loads(sys.argv[2]) if path not in sys.path)

import mpmath  # type: ignore[import-untyped]

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 5
# Decimals of the first and of the second evaluation: what is zero shrinks between them.
DIGITS = 50
MORE_DIGITS = 110
LARGEST_MAGNITUDE = 100_000
POINTS = 8
ENOUGH_POINTS = 3
INTEGER_LETTERS = frozenset("nkmj")

Tree = list[Any]


class UndefinedError(ValueError):
    """An expression has no value here, or one that is too large."""


def main() -> None:
    """Say that all is loaded, then answer requests until the parent closes the connection."""
    sys.setrecursionlimit(5000)
    _limit_memory()
    with Connection(int(sys.argv[1])) as connection, contextlib.suppress(EOFError, OSError):
        connection.send_bytes(b'{"result": "ready"}')
        while True:
            request = json.loads(connection.recv_bytes())
            _limit_processor_time()
            connection.send_bytes(json.dumps(_reply(request)).encode())


def _limit_memory() -> None:
    # Not every system grants these limits; the parent's clock bounds the work in any case.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _limit_processor_time() -> None:
    with contextlib.suppress(OSError, ValueError):
        limit = int(time.process_time()) + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _reply(request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": OPERATIONS[request["operation"]](*request["arguments"])}
    except Exception as error:
        # Anything at all may go wrong with hostile input; the parent raises it as an error of its own.
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def equal(left: Tree, right: Tree) -> bool:
    """Whether two expressions agree wherever both have a value."""
    symbols = sorted(_symbols(left) | _symbols(right))
    if not symbols:
        return _agree(left, right, {}, complex_too=True) is True
    complex_too = _uses(left, "i") or _uses(right, "i")
    verdicts = [_agree(left, right, point, complex_too=complex_too) for point in _points(symbols)]
    if False not in verdicts and verdicts.count(True) >= ENOUGH_POINTS:
        return True
    if set(symbols) <= INTEGER_LETTERS and (_alternates(left) or _alternates(right)):
        integers = [dict.fromkeys(symbols, Fraction(n)) for n in range(1, 9)]
        verdicts = [_agree(left, right, point, complex_too=True) for point in integers]
        return False not in verdicts and verdicts.count(True) >= ENOUGH_POINTS
    return False


def proportion(left: Tree, right: Tree) -> int:
    """1 or -1 if one expression is a positive or negative multiple of the other, else 0."""
    points = _points(sorted(_symbols(left) | _symbols(right)))
    pairs = [(_value(left, point, DIGITS), _value(right, point, DIGITS)) for point in points]
    defined = [(one, other) for one, other in pairs if one is not None and other is not None]
    if any(bool(one) != bool(other) for one, other in defined):
        return 0
    ratios = [one / other for one, other in defined if other]
    if len(ratios) < ENOUGH_POINTS or any(not _close(ratio, ratios[0], DIGITS - 12) for ratio in ratios):
        return 0
    first = ratios[0]
    return 0 if abs(first.imag) > abs(first) * 1e-20 else 1 if first.real > 0 else -1


def real_values(trees: list[Tree]) -> list[str | None]:
    """The values of constant expressions as decimals; None for what is not real."""
    results: list[str | None] = []
    for tree in trees:
        value = _value(tree, {}, DIGITS)
        if value is None or abs(value.imag) > mpmath.mpf(10) ** (-DIGITS + 8) * abs(value):
            results.append(None)
        else:
            results.append(mpmath.nstr(value.real, 40, min_fixed=0, max_fixed=0))
    return results


def _points(symbols: list[str]) -> list[dict[str, Fraction]]:
    """Rational points: some positive, some below 1, some of both signs; always the same ones."""
    chooser = random.Random(20250)  # noqa: S311
    points = []
    for index in range(POINTS):
        largest = 9 if index % 3 == 1 else 60
        point = {}
        for symbol in symbols:
            value = Fraction(chooser.randint(1, largest), chooser.choice((7, 11, 13)))
            point[symbol] = -value if index >= POINTS // 2 and chooser.random() < 0.6 else value
        points.append(point)
    return points


def _agree(left: Tree, right: Tree, point: dict[str, Fraction], *, complex_too: bool) -> bool | None:
    """Whether both have the same value at a point; None if one of them has none."""
    first, second = _value(left, point, DIGITS), _value(right, point, DIGITS)
    if first is None or second is None:
        return None
    if not complex_too and not (_is_real(first) and _is_real(second)):
        return None
    if _close(first, second, DIGITS - 12):
        return True
    # A zero with rounding noise looks like a small number; with more digits the noise shrinks.
    size = max(abs(first), abs(second))
    if size > 1:
        return False
    first, second = _value(left, point, MORE_DIGITS), _value(right, point, MORE_DIGITS)
    if first is None or second is None:
        return None
    finer = max(abs(first), abs(second))
    return bool(finer <= size * 10 ** -(DIGITS // 2))


def _close(first: Any, second: Any, digits: int) -> bool:
    return bool(abs(first - second) <= mpmath.mpf(10) ** -digits * max(abs(first), abs(second)))


def _is_real(value: Any) -> bool:
    return bool(abs(value.imag) <= abs(value) * 1e-30)


def _value(tree: Tree, point: dict[str, Fraction], digits: int) -> Any:
    """The value as a number with ``digits`` decimals, or None where there is none."""
    with mpmath.workdps(digits):
        try:
            value = mpmath.mpmathify(_evaluate(tree, point))
        except (ArithmeticError, ValueError, mpmath.libmp.NoConvergence):
            return None
        return value if mpmath.isfinite(value) else None


def _evaluate(tree: Tree, point: dict[str, Fraction]) -> Any:
    match tree:
        case ["number" | "symbol" as kind, name]:
            number = Fraction(name) if kind == "number" else point[name]
            return mpmath.mpf(number.numerator) / number.denominator
        case ["constant", name]:
            return {"pi": +mpmath.pi, "e": +mpmath.e, "i": mpmath.mpc(0, 1)}[name]
        case ["power", base, exponent]:
            value = _power(_evaluate(base, point), _evaluate(exponent, point), _rational(exponent))
        case ["root", radicand, degree]:
            value = _root(_evaluate(radicand, point), _evaluate(degree, point), _rational(degree))
        case ["call", name, *args]:
            value = FUNCTIONS[name](*(_evaluate(arg, point) for arg in args))
        case [kind, *args]:
            value = ARITHMETIC[kind](*(_evaluate(arg, point) for arg in args))
    if not mpmath.isfinite(value) or (value and mpmath.mag(value) > LARGEST_MAGNITUDE):
        raise UndefinedError("the value is infinite or too large")
    return value


def _rational(tree: Tree) -> Fraction | None:
    """The exact value of an exponent that is a plain number, such as -1/3."""
    match tree:
        case ["number", value]:
            return Fraction(value)
        case ["negate", operand]:
            return None if (value := _rational(operand)) is None else -value
        case ["divide", *operands]:
            top, bottom = map(_rational, operands)
            return None if top is None or not bottom else top / bottom
    return None


def _power(base: Any, exponent: Any, exact: Fraction | None) -> Any:
    if base and mpmath.mag(exponent) + max(mpmath.mag(mpmath.log(base) or 1), 0) > 20:
        raise UndefinedError("the power is too large")
    if exact is not None:
        if exact.denominator == 1:
            return base ** int(exact)
        if exact.denominator % 2 and not base.imag and base.real < 0:
            size = (-base.real) ** exponent
            return -size if exact.numerator % 2 else size
    if not base and exponent.real <= 0:
        raise UndefinedError("zero to a power that is not positive")
    return base**exponent


def _root(value: Any, degree: Any, exact: Fraction | None) -> Any:
    if exact is None or not exact:
        raise UndefinedError("the degree of a root must be a number")
    if exact == 2:
        return mpmath.sqrt(value)
    return _power(value, 1 / degree, 1 / exact)


def _logarithm(value: Any, base: Any = None) -> Any:
    return mpmath.log(value) / mpmath.log(10 if base is None else base)


def _real(function: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*values: Any) -> Any:
        if not all(_is_real(value) for value in values):
            raise UndefinedError("a real number is needed")
        return function(*(value.real for value in values))

    return checked


def _whole(function: str) -> Callable[..., Any]:
    def checked(*values: Any) -> Any:
        if not all(_is_real(value) and value.real == int(value.real) for value in values):
            raise UndefinedError("integers are needed")
        return mpmath.mpf(getattr(math, function)(*(int(value.real) for value in values)))

    return checked


FUNCTION_NAMES = "sin cos tan cot sec csc sinh cosh tanh exp factorial binomial"
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(mpmath, name) for name in FUNCTION_NAMES.split()},
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "abs": lambda value: mpmath.mpf(abs(value)),
    "ln": mpmath.log,
    "log": _logarithm,
    "floor": _real(mpmath.floor),
    "ceil": _real(mpmath.ceil),
    "sgn": _real(mpmath.sign),
    "min": _real(min),
    "max": _real(max),
    "gcd": _whole("gcd"),
    "lcm": _whole("lcm"),
}
ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "negate": lambda a: -a,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "percent": lambda a: a / 100,
    "degree": lambda a: a * +mpmath.pi / 180,
}


def _parts(tree: Tree) -> Iterator[Tree]:
    """The tree itself and all trees below it."""
    yield tree
    for part in tree:
        if isinstance(part, list):
            yield from _parts(part)


def _symbols(tree: Tree) -> set[str]:
    return {part[1] for part in _parts(tree) if part[0] == "symbol"}


def _uses(tree: Tree, constant: str) -> bool:
    return ["constant", constant] in _parts(tree)


def _alternates(tree: Tree) -> bool:
    """Whether the expression has what is meant for integers alone: (-1)^n, cos(n pi)."""
    return any(
        (part[0] == "power" and part[1][0] == "negate" and _symbols(part[2]))
        or (part[0] == "call" and part[1] in ("sin", "cos", "factorial", "binomial"))
        for part in _parts(tree)
    )


def load_solver() -> Any:
    """The module that solves equations; SymPy takes half a second to load, so it is loaded on first use."""
    # An isolated interpreter does not search the folder of its script.
    folder = str(Path(__file__).resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("solver")


OPERATIONS: dict[str, Callable[..., Any]] = {
    "equal": equal,
    "proportion": proportion,
    "real_values": real_values,
    "load_solver": lambda: bool(load_solver()),
    "solve": lambda equations, unknowns: load_solver().solve(equations, unknowns),
    "ping": lambda: "pong",
}

if __name__ == "__main__":
    main()
