"""Solve equations with SymPy; ``worker.py`` loads this module in the child process on first use.

Like the worker, it imports nothing of this package. Every SymPy value is built from a tree of the wire
format, within limits set before anything is computed, and SymPy sees symbols of our own names only: parts
of it write Python code with the names that it is given.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

import sympy

Tree = list[Any]
Equation = tuple[Tree, Tree]

MOST_BITS = 4096
LARGEST_EXPONENT = 32
LARGEST_FACTORIAL = 100
MOST_UNKNOWNS = 4
LONGEST_EXACT = 60
_RADICAL_DEGREE = 4


class SolverError(ValueError):
    """The equations are outside of what is solved here; the message says why."""


def solve(equations: list[Equation], unknowns: list[str]) -> dict[str, Any]:
    """Solve equations for unknowns; other symbols are parameters.

    Args:
        equations: Left and right sides as trees.
        unknowns: The symbols to solve for.

    Returns:
        ``kind``: ``"finite"``, ``"none"``, ``"all"`` (every value solves them) or ``"family"`` (some unknowns
        stay free). ``field``: ``"complex"`` if non-real solutions were looked for too, else ``"real"``.
        ``solutions``: per solution a dict from unknown to ``exact`` (text, or None), ``decimal`` (text, or
        None) and ``real`` (True, False, or None if it depends on a symbol). ``restricted``: whether values
        that make a denominator zero are left out.

    Raises:
        SolverError: They cannot be solved here.

    Example:
        >>> x = ["symbol", "x"]
        >>> result = solve([(["multiply", x, x], ["number", "9/4"])], ["x"])
        >>> result["kind"], [solution["x"]["exact"] for solution in result["solutions"]]
        ('finite', ['-3/2', '3/2'])
    """
    if not 1 <= len(unknowns) <= MOST_UNKNOWNS or not 1 <= len(equations) <= MOST_UNKNOWNS:
        raise SolverError(f"1 to {MOST_UNKNOWNS} equations and unknowns can be solved")
    problem = _Problem(equations, unknowns, real=False)
    if not problem.is_polynomial():
        problem = _Problem(equations, unknowns, real=True)
    field = "real" if problem.real else "complex"
    return {"field": field, "restricted": bool(problem.denominators), **problem.result()}


class _Problem:
    """The equations as SymPy expressions that are to be zero."""

    def __init__(self, equations: Iterable[Equation], unknowns: list[str], *, real: bool) -> None:
        self.real = real
        self.symbols: dict[str, sympy.Symbol] = {}
        self.denominators: list[sympy.Expr] = []
        self.unknowns = {name: self.symbol(name) for name in unknowns}
        differences = [self.build(left) - self.build(right) for left, right in equations]
        numerators = [sympy.expand(sympy.fraction(sympy.together(each))[0]) for each in differences]
        self.differences = [each for each in numerators if each != 0]

    def symbol(self, name: str) -> sympy.Symbol:
        if name not in self.symbols:
            self.symbols[name] = sympy.Symbol(f"s{len(self.symbols)}", real=self.real or None)
        return self.symbols[name]

    def is_polynomial(self) -> bool:
        return all(each.is_polynomial(*self.unknowns.values()) for each in self.differences)

    def result(self) -> dict[str, Any]:
        if not self.differences:
            return {"kind": "all", "solutions": []}
        targets = set(self.unknowns.values())
        if any(not each.free_symbols & targets for each in self.differences):
            return {"kind": "none", "solutions": []}
        solutions = [solution for solution in self._solutions() if self._holds(solution)]
        free = any(
            symbol not in solution or solution[symbol].free_symbols & targets
            for solution in solutions
            for symbol in targets
        )
        plain = sorted(map(self._plain, solutions), key=_order)
        return {"kind": "family" if free else "finite" if plain else "none", "solutions": plain}

    def _solutions(self) -> list[dict[sympy.Symbol, sympy.Expr]]:
        targets = list(self.unknowns.values())
        one = self.differences[0]
        alone = len(self.differences) == len(targets) == 1 and one.free_symbols == set(targets)
        if alone and one.is_polynomial(targets[0]):
            return [{targets[0]: root} for root in _roots(sympy.Poly(one, targets[0]))]
        try:
            solutions = list(sympy.solve(self.differences, targets, dict=True))
        except NotImplementedError:
            solutions = None
        # Lambert's function has branches of which SymPy gives one: other solutions would be missing.
        if solutions is None or any(v.has(sympy.LambertW) for each in solutions for v in each.values()):
            raise SolverError("no method is known for equations of this kind")
        return solutions

    def _holds(self, solution: Mapping[sympy.Symbol, sympy.Expr]) -> bool:
        """Whether a solution divides by no zero and, where it is a number, solves the equations."""
        if any(_is_zero(each, solution) for each in self.denominators):
            return False
        return all(each.subs(solution).free_symbols or _is_zero(each, solution) for each in self.differences)

    def _plain(self, solution: Mapping[sympy.Symbol, sympy.Expr]) -> dict[str, Any]:
        names = {symbol: sympy.Symbol(name) for name, symbol in self.symbols.items()}
        values = {name: solution[symbol] for name, symbol in self.unknowns.items() if symbol in solution}
        return {name: _described(value, names) for name, value in values.items()}

    def build(self, tree: Tree) -> sympy.Expr:
        match tree:
            case ["number", value]:
                return _number(Fraction(value))
            case ["symbol", name]:
                return self.symbol(name)
            case ["constant", name] if name in _CONSTANTS:
                return _CONSTANTS[name]
            case ["call", name, *args] if name in _FUNCTIONS:
                return _FUNCTIONS[name](*map(self.build, args))
            case ["call", name, *_]:
                raise SolverError(f"equations with {name} are not solved")
            case ["divide", top, bottom]:
                return self.build(top) * self._inverse(self.build(bottom))
            case ["power" | "root" as kind, *args]:
                base, exponent = map(self.build, args)
                exponent = exponent if kind == "power" else 1 / exponent
                if exponent.is_negative:
                    return _power(self._inverse(base), -exponent)
                return _power(base, exponent)
            case [kind, *args] if kind in _OPERATIONS:
                return _OPERATIONS[kind](*map(self.build, args))
        name = tree[1] if tree[0] == "constant" else tree[0].replace("_", " ")
        raise SolverError(f"{name} cannot stand in an equation")

    def _inverse(self, value: sympy.Expr) -> sympy.Expr:
        if value == 0:
            raise SolverError("there is a division by zero")
        if value.free_symbols:
            self.denominators.append(value)
        return 1 / value


def _number(value: Fraction) -> sympy.Expr:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise SolverError("a number is too large")
    return sympy.Rational(value.numerator, value.denominator)


def _power(base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
    if exponent.is_Rational:
        size = max(abs(exponent.p), exponent.q)
        bits = max(base.p.bit_length(), base.q.bit_length()) if base.is_Rational else 0
        if size * max(bits, 1) > MOST_BITS or (not base.is_Rational and size > LARGEST_EXPONENT):
            raise SolverError(f"a power is too large: exponents up to {LARGEST_EXPONENT} are solved")
        if exponent.q % 2 and exponent.q > 1:
            if base.free_symbols:
                raise SolverError("odd roots of an unknown are not solved")
            if base.is_negative:  # the real root, as in school
                return (-1) ** exponent.p * (-base) ** exponent
    elif not exponent.free_symbols and base.is_Rational is not True and base not in (sympy.E, sympy.pi):
        raise SolverError("powers with such an exponent are not solved")
    return base**exponent


def _factorial(value: sympy.Expr) -> sympy.Expr:
    if not value.is_Integer or not 0 <= value <= LARGEST_FACTORIAL:
        raise SolverError(f"factorials of whole numbers up to {LARGEST_FACTORIAL} are solved")
    return sympy.factorial(value)


def _logarithm(value: sympy.Expr, base: sympy.Expr | None = None) -> sympy.Expr:
    return sympy.log(value) / sympy.log(10 if base is None else base)


_CONSTANTS: dict[str, sympy.Expr] = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}
_OPERATIONS: dict[str, Callable[..., sympy.Expr]] = {
    "add": lambda a, b: a + b,
    "negate": lambda a: -a,
    "multiply": lambda a, b: a * b,
    "percent": lambda a: a / 100,
}
_FUNCTIONS: dict[str, Callable[..., sympy.Expr]] = {
    "abs": sympy.Abs,
    "ln": sympy.log,
    "log": _logarithm,
    "exp": lambda a: _power(sympy.E, a),
    "factorial": _factorial,
}


def _roots(polynomial: sympy.Poly) -> list[sympy.Expr]:
    """The different roots: exact where they are short, else as decimals."""
    if polynomial.degree() > LARGEST_EXPONENT:
        raise SolverError(f"polynomials up to degree {LARGEST_EXPONENT} are solved")
    if not polynomial.domain.is_QQ and not polynomial.domain.is_ZZ:
        return list(sympy.roots(polynomial)) or list(polynomial.nroots(n=30, maxsteps=200))
    roots: list[sympy.Expr] = []
    for factor, _ in polynomial.factor_list()[1]:
        exact = list(sympy.roots(factor)) if factor.degree() <= _RADICAL_DEGREE else []
        if len(exact) != factor.degree() or any(len(str(root)) > LONGEST_EXACT for root in exact):
            exact = list(factor.nroots(n=30, maxsteps=200))
        roots.extend(exact)
    return roots


def _is_zero(expression: sympy.Expr, solution: Mapping[sympy.Symbol, sympy.Expr]) -> bool:
    """Whether an expression is zero, numbers up to the rounding of its largest term."""
    value = expression.subs(solution)
    if value.free_symbols:
        return bool(sympy.simplify(value) == 0)
    terms = [abs(sympy.N(term.subs(solution), 30)) for term in sympy.Add.make_args(expression)]
    return bool(abs(sympy.N(value, 30)) <= sympy.Float("1e-15") * sum(terms))


def _described(value: sympy.Expr, names: Mapping[sympy.Symbol, sympy.Symbol]) -> dict[str, Any]:
    if value.free_symbols:
        return {"exact": _written(value.xreplace(dict(names))), "decimal": None, "real": None}
    real, imaginary = sympy.N(value, 30).as_real_imag()
    tiny = sympy.Float("1e-20") * (abs(real) + abs(imaginary))
    parts = ["0" if abs(part) <= tiny else _decimal(part) for part in (real, imaginary)]
    exact = None if value.atoms(sympy.Float) else _written(value)
    if parts[1] == "0":
        return {"exact": exact, "decimal": parts[0], "real": True}
    sign = "-" if parts[1].startswith("-") else "+"
    joined = f"{parts[0]} {sign} {parts[1].lstrip('-')}i"
    return {"exact": exact, "decimal": joined, "real": False}


def _written(value: sympy.Expr) -> str | None:
    if max((abs(each.p).bit_length() for each in value.atoms(sympy.Rational)), default=0) > MOST_BITS:
        return None
    return re.sub(r"(?<![^\W\d_])I(?![^\W\d_])", "i", str(value).replace("**", "^"))


def _decimal(value: sympy.Expr) -> str:
    text = str(sympy.N(value, 12))
    mantissa, mark, exponent = text.partition("e")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + mark + exponent


def _order(solution: Mapping[str, Any]) -> tuple[bool, list[float]]:
    """Real solutions first, by size."""
    decimals = [each["decimal"] for each in solution.values()]
    numbers = [float(each.split(" ")[0]) for each in decimals if each is not None]
    return any(each["real"] is False for each in solution.values()), numbers
