r"""Read an expression, LaTeX or plain, into a small tree.

The grammar knows what answers are made of: numbers of every notation, mixed numbers, fractions, roots,
powers, functions, ±, degrees and percent. Nothing is evaluated here, and every size is bounded before the
tree is built, so that hostile text costs no more than honest text.

Example:
    >>> parse_expression(r"1\frac{4}{5}").value
    Fraction(9, 5)
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_OF_ONE_NUMBER = (
    "sin cos tan cot sec csc arcsin arccos arctan asin acos atan sinh cosh tanh ln exp sqrt abs floor ceil "
    "ceiling sgn det"
)
# How many arguments a function has, at least and at most. A lone "max 5" is a limit and no function.
ARGUMENTS = {
    **dict.fromkeys(_OF_ONE_NUMBER.split(), (1, 1)),
    **dict.fromkeys(("log", "lg"), (1, 2)),
    **dict.fromkeys(("gcd", "lcm", "min", "max"), (2, 64)),
}
FUNCTIONS = frozenset(ARGUMENTS)
DEEPEST = 48
MOST_TOKENS = 600
_CONSTANTS = {"pi": "pi", "e": "e", "i": "i", "infty": "infinity", "infinity": "infinity", "inf": "infinity"}
_GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "chi",
        "psi",
        "omega",
        "Delta",
        "Gamma",
        "Lambda",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
        "Theta",
        "ell",
    ]
)
_SIGNS = ("+", "-", "\\pm", "\\mp")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
# What encloses an expression: how it is closed, and the function that it stands for.
_ENCLOSED = {opening: (closing, "") for opening, closing in _BRACKETS.items()} | {
    "|": ("|", "abs"),
    "\\lfloor": ("\\rfloor", "floor"),
    "\\lceil": ("\\rceil", "ceil"),
}
_RENAMED_FUNCTIONS = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log", "ceiling": "ceil"}
_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_MOST_NODES = 2000
_LONGEST_NUMBER = 400
_LONGEST_WORD = 6
_PLAIN_NAMES = sorted((*FUNCTIONS, "pi", "infinity", "infty", "inf"), key=len, reverse=True)
_NAME_OR_LETTER = re.compile("|".join((*_PLAIN_NAMES, ".")))
_GROUPED = r"(?P<grouped>\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d{1,3}(?:[ ]\d{3})+(?![ ]?\d)(?:\.\d+)?)|"
_SYNTAX = r"""
    (?P<repeating>\d*\.\d*(?:\\(?:overline|bar|dot|dots)\s*(?:\{\s*\d+\s*\}|\d)|\(\d+\))|\d*\.\d+(?:\.\.\.|\\ldots))
  | GROUPED
    (?P<scientific>(?:\d+(?:\.\d*)?|\.\d+)[eE][+-]?\d+(?![\d.]))
  | (?P<number>\d+(?:\.\d+)?|\.\d+)
  | (?P<command>\\[a-zA-Z]+)
  | (?P<word>[^\W\d_]+)
  | (?P<operator>\\[{}]|\\\\|\*\*|<=|>=|!=|==|->|\.\.\.|''|[^\s])
"""
_TOKEN = re.compile(_SYNTAX.replace("GROUPED", _GROUPED), re.VERBOSE)
_UNGROUPED_TOKEN = re.compile(_SYNTAX.replace("GROUPED", ""), re.VERBOSE)


class ExpressionError(ValueError):
    """A text is no expression of the grammar, or is larger than the limits."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of an expression.

    Args:
        kind: ``number``, ``symbol``, ``constant``, ``add``, ``multiply``, ``divide``, ``power``, ``root``,
            ``negate``, ``call``, ``plus_minus``, ``percent`` or ``degree``.
        args: The nodes below it.
        name: The name of a symbol, constant or function; the sign of a ``plus_minus``.
        value: The value of a number.

    Example:
        >>> Node("multiply", (number(2), Node("symbol", name="x"))).to_wire()
        ['multiply', ['number', '2'], ['symbol', 'x']]
    """

    kind: str
    args: tuple["Node", ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)

    def to_wire(self) -> list[Any]:
        """The tree as nested lists, for the worker."""
        if self.kind == "number":
            return ["number", str(self.value)]
        head = [self.kind, self.name] if self.name else [self.kind]
        return [*head, *(arg.to_wire() for arg in self.args)]

    def symbols(self) -> frozenset[str]:
        """The names of the free symbols."""
        return frozenset(node.name for node in self.nodes() if node.kind == "symbol")

    def has(self, kind: str, name: str = "") -> bool:
        """Whether a node of this kind (and name, if given) stands anywhere in the tree."""
        return any(node.kind == kind and name in ("", node.name) for node in self.nodes())

    def nodes(self) -> Iterator["Node"]:
        """The node itself and all below it."""
        yield self
        for arg in self.args:
            yield from arg.nodes()

    def mapped(self, change: Callable[["Node"], "Node"]) -> "Node":
        """The tree with every node changed, from the leaves up."""
        return change(Node(self.kind, tuple(arg.mapped(change) for arg in self.args), self.name, self.value))


def number(value: Fraction | int) -> Node:
    """A number as a node."""
    return Node("number", value=Fraction(value))


def negated(node: Node) -> Node:
    """The expression with the opposite sign."""
    return Node("negate", (node,))


def subtracted(left: Node, right: Node) -> Node:
    """The left expression minus the right one."""
    return Node("add", (left, negated(right)))


def repeated(operation: str, body: Node, letter: str, ends: tuple[Node, Node]) -> Node:
    """A sum or product of few terms, in which a letter runs from one integer to another.

    Args:
        operation: ``add`` or ``multiply``.
        body: The term.
        letter: The name of the running letter.
        ends: The first and the last integer.

    Raises:
        ExpressionError: The ends are no integers, or there are no terms, or too many.

    Example:
        >>> repeated("add", Node("symbol", name="k"), "k", (number(3), number(4))).to_wire()
        ['add', ['number', '3'], ['number', '4']]
    """
    if any(end.kind != "number" or end.value.denominator != 1 for end in ends):
        raise ExpressionError("the ends of a sum must be integers")
    low, high = int(ends[0].value), int(ends[1].value)
    if high < low or (high - low + 1) * sum(1 for _ in body.nodes()) > _MOST_NODES:
        raise ExpressionError("a sum has no terms, or too many")

    def at(index: int) -> Node:
        return body.mapped(lambda part: number(index) if part.name == letter and not part.args else part)

    terms = [at(index) for index in range(low, high + 1)]
    while len(terms) > 1:
        # By halves, so that the tree stays flat.
        pairs = [tuple(terms[place : place + 2]) for place in range(0, len(terms), 2)]
        terms = [Node(operation, pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return terms[0]


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Args:
        kind: ``number``, ``command``, ``word`` or ``operator``.
        text: As written.
        start: Its place in the text.
        spaced: Whether a blank stands before it.
        value: The value of a number.
    """

    kind: str
    text: str
    start: int
    spaced: bool
    value: Fraction = Fraction(0)

    @property
    def end(self) -> int:
        """The place after its last character."""
        return self.start + len(self.text)

    def split(self) -> tuple["Token", "Token"]:
        r"""The first digit and the rest, as in ``\frac12``."""
        head, rest = self.text[0], self.text[1:]
        return (
            Token("number", head, self.start, self.spaced, Fraction(head)),
            Token("number", rest, self.start + 1, spaced=False, value=Fraction(rest)),
        )


def tokenize(text: str, *, grouped: bool = True) -> list[Token]:
    r"""The tokens of a text.

    Args:
        text: In plain notation.
        grouped: Read ``1,234`` as one number; else as two.

    Example:
        >>> [token.text for token in tokenize(r"2\pi + 0.5ab")]
        ['2', '\\pi', '+', '0.5', 'ab']
    """
    tokens = []
    for match in (_TOKEN if grouped else _UNGROUPED_TOKEN).finditer(text):
        kind, written, start = str(match.lastgroup), match.group(), match.start()
        spaced = start > 0 and text[start - 1].isspace()
        if kind in ("word", "command", "operator"):
            tokens.append(Token(kind, written, start, spaced))
        else:
            tokens.append(Token("number", written, start, spaced, _value(kind, written)))
    return tokens


def split_words(tokens: Iterable[Token]) -> list[Token]:
    """The tokens with runs of letters cut into function names, constants and single letters.

    Raises:
        ValueError: A run is too long to be a product of letters.

    Example:
        >>> [token.text for token in split_words(tokenize("2ab + sinx"))]
        ['2', 'a', 'b', '+', 'sin', 'x']
    """
    result: list[Token] = []
    for token in tokens:
        if token.kind != "word" or len(token.text) == 1:
            result.append(token)
            continue
        if len(token.text) > _LONGEST_WORD and token.text not in _PLAIN_NAMES:
            raise ExpressionError(f"{token.text!r} is a word")
        for name in _NAME_OR_LETTER.finditer(token.text):
            spaced = token.spaced and name.start() == 0
            result.append(Token("word", name[0], token.start + name.start(), spaced))
    return result


def _value(kind: str, written: str) -> Fraction:
    if len(written) > _LONGEST_NUMBER:
        raise ExpressionError(f"a number of {len(written)} characters is too long")
    if kind == "repeating":
        return _repeating(written)
    if kind == "scientific" and abs(int(re.split("[eE]", written)[1])) > _LONGEST_NUMBER:
        raise ExpressionError(f"the exponent of {written} is too large")
    return Fraction(written.replace(",", "").replace(" ", ""))


def _repeating(written: str) -> Fraction:
    r"""The value of ``0.1\overline{6}``, ``0.1(6)`` or ``0.1666...``."""
    whole, _, decimals = written.partition(".")
    if decimals.endswith(("...", "\\ldots")):
        shown = decimals.removesuffix("...").removesuffix("\\ldots")
        fixed, period = _period(shown)
    else:
        fixed, period = re.findall(r"\A\d*|\d+", decimals)[:2]
    start = Fraction(int((whole or "0") + fixed), 10 ** len(fixed))
    return start + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))


def _period(shown: str) -> tuple[str, str]:
    """The digits before the last period and the period, if the digits shown end in at least two of it."""
    for length in range(1, len(shown) // 2 + 1):
        period = shown[-length:]
        if shown.endswith(period * (3 if length == 1 and len(shown) > 2 else 2)):
            return shown[:-length], period
    raise ExpressionError(f"no digits repeat in 0.{shown}...")


def parse_expression(text: str) -> Node:
    r"""The tree of a text in plain notation.

    Raises:
        ExpressionError: The text is no expression, or too large.

    Example:
        >>> parse_expression(r"\frac12 x").to_wire()
        ['multiply', ['divide', ['number', '1'], ['number', '2']], ['symbol', 'x']]
    """
    return parse_tokens(tokenize(text))


def parse_tokens(tokens: Sequence[Token]) -> Node:
    """Like :func:`parse_expression`, from tokens."""
    if not tokens:
        raise ExpressionError("the expression is empty")
    if len(tokens) > MOST_TOKENS:
        raise ExpressionError(f"the expression has {len(tokens)} tokens, more than {MOST_TOKENS}")
    parser = _Parser(split_words(tokens))
    tree = parser.sum()
    if parser.peek():
        raise ExpressionError(f"{parser.peek()!r} is unexpected")
    return tree


class _Parser:
    """Recursive descent; ``at`` is the next token."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        # How many bars of absolute values are open at this level of brackets.
        self.bars = 0

    def peek(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return self.tokens[index].text if index < len(self.tokens) else ""

    def kind(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return self.tokens[index].kind if index < len(self.tokens) else "end"

    def take(self) -> str:
        self.at += 1
        return self.peek(-1)

    def accept(self, *texts: str) -> bool:
        """Take the next token if it is one of these."""
        accepted = self.peek() in texts
        self.at += accepted
        return accepted

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise ExpressionError(f"{text!r} expected, got {self.peek()!r}")

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError("the expression is nested too deeply")
        left = self.product()
        while (operator := self.peek()) in _SIGNS:
            self.at += 1
            right = self.product()
            if operator in ("\\pm", "\\mp"):
                left = Node("plus_minus", (left, right), operator[1:])
            else:
                left = Node("add", (left, negated(right) if operator == "-" else right))
        self.depth -= 1
        return left

    def product(self) -> Node:
        left = self.signed()
        while True:
            if self.accept("*", "\\cdot", "\\times"):
                left = Node("multiply", (left, self.signed()))
            elif self.accept("/"):
                left = Node("divide", (left, self.denominator()))
            elif self.accept("\\bmod"):
                left = Node("call", (left, self.signed()), "mod")
            elif self.starts_factor():
                left = Node("multiply", (left, self.power()))
            else:
                return left

    def denominator(self) -> Node:
        """What a slash divides by; letters written without a gap, as in ``a/bc``, belong together."""
        node = self.signed()
        while (
            node.kind in ("symbol", "multiply")
            and self.kind() == "word"
            and not self.tokens[self.at].spaced
            and self.peek() not in FUNCTIONS
        ):
            node = Node("multiply", (node, self.power()))
        return node

    def signed(self) -> Node:
        negative, both = False, ""
        while (sign := self.peek()) in _SIGNS:
            negative ^= sign == "-"
            both = sign[1:] or both
            self.at += 1
        node = negated(self.power()) if negative else self.power()
        return Node("plus_minus", (number(0), node), both) if both else node

    def starts_factor(self) -> bool:
        kind, text = self.kind(), self.peek()
        if kind == "number":
            # Two numbers side by side are no product, but a number after a bracket is.
            return self.at > 0 and self.kind(-1) != "number"
        if text == "|":
            return self.bars == 0
        return (
            kind == "word" or text in _ENCLOSED or text == "√" or (kind == "command" and text[1:] in _NAMES)
        )

    def power(self) -> Node:
        base = self.postfix(self.atom())
        while self.accept("^", "**"):
            base = self.postfix(Node("power", (base, self.exponent())))
        return base

    def exponent(self) -> Node:
        if self.peek() in ("-", "+"):
            node = negated(self.exponent()) if self.take() == "-" else self.exponent()
        else:
            node = self.atom()
        # 2^3^2 is 2^(3^2).
        if self.peek() in ("^", "**") and self.peek(1) != "\\circ":
            self.at += 1
            node = Node("power", (node, self.exponent()))
        return node

    def postfix(self, node: Node) -> Node:
        while True:
            if self.accept("!"):
                node = Node("call", (node,), "double_factorial" if self.accept("!") else "factorial")
            elif self.accept("%"):
                node = Node("percent", (node,))
            elif self.peek() == "^" and self.peek(1) == "\\circ":
                self.at += 2
                node = Node("degree", (self.minutes(node),))
            else:
                return node

    def minutes(self, degrees: Node) -> Node:
        """Degrees with the minutes and seconds of arc that follow, as one number of degrees."""
        for mark, share in (("'", 60), ("''", 3600)):
            if self.kind() == "number" and self.peek(1) == mark:
                degrees = Node("add", (degrees, number(self.tokens[self.at].value / share)))
                self.at += 2
        return degrees

    def atom(self) -> Node:
        kind, text = self.kind(), self.peek()
        if text in _ENCLOSED:
            return self.enclosed(text)
        if kind == "number":
            return self.numeral()
        self.at += 1
        name = text.removeprefix("\\")
        if text == "√" or (kind == "command" and name in _ATOMS):
            return _ATOMS[name](self)
        if kind in ("word", "command"):
            if name in FUNCTIONS:
                return self.function(name)
            if name in _CONSTANTS:
                return Node("constant", name=_CONSTANTS[name])
            if kind == "word" or name in _GREEK:
                return self.symbol(name)
        raise ExpressionError(f"{text!r} is {'unknown' if text.startswith(chr(92)) else 'unexpected'}")

    def numeral(self) -> Node:
        token = self.tokens[self.at]
        self.at += 1
        return number(token.value + (self.fraction_of_mixed() if token.text.isdigit() else 0))

    def fraction_of_mixed(self) -> Fraction:
        r"""The proper fraction right behind an integer: ``1\frac45`` or ``1 4/5``; consumes it."""
        start = self.at
        if self.accept("\\frac"):
            top, bottom = self.digit_argument(), self.digit_argument()
        else:
            top, bottom = self.digits(), self.digits() if self.accept("/") else 0
        if 0 < top < bottom:
            return Fraction(top, bottom)
        self.at = start
        return Fraction(0)

    def digits(self) -> int:
        """An integer, or 0 for anything else."""
        text = self.take()
        return int(text) if text.isdecimal() else 0

    def digit_argument(self) -> int:
        if self.accept("{"):
            value = self.digits()
            return value if self.accept("}") else 0
        self.split_digits()
        return self.digits()

    def symbol(self, name: str) -> Node:
        while self.accept("_"):
            name += "_" + self.subscript()
        while self.accept("'"):
            name += "'"
        return Node("symbol", name=name)

    def subscript(self) -> str:
        if self.peek() != "{":
            return self.take()
        start, level = self.at, 0
        while self.at < len(self.tokens):
            level += {"{": 1, "}": -1}.get(self.take(), 0)
            if level == 0:
                return "".join(token.text for token in self.tokens[start + 1 : self.at - 1])
        raise ExpressionError("a subscript is not closed")

    def enclosed(self, opening: str) -> Node:
        """An expression in brackets, or between the signs that take its absolute value or round it."""
        self.at += 1
        closing, function = _ENCLOSED[opening]
        bars, self.bars = self.bars, self.bars + 1 if opening == "|" else 0
        node = self.sum()
        self.bars = bars
        self.expect(closing)
        return Node("call", (node,), function) if function else node

    def argument(self) -> Node:
        """The argument of a LaTeX command: a group in braces, or one digit or letter."""
        self.split_digits()
        return self.atom()

    def split_digits(self) -> None:
        r"""Part the first digit from the others: LaTeX reads ``\frac12`` as a half."""
        if len(self.peek()) > 1 and self.peek().isdigit():
            self.tokens[self.at : self.at + 1] = self.tokens[self.at].split()

    def fraction(self) -> Node:
        return Node("divide", (self.argument(), self.argument()))

    def binomial(self) -> Node:
        return Node("call", (self.argument(), self.argument()), "binomial")

    def repeated(self) -> Node:
        r"""A sum or product with a running letter and few terms: ``\sum_{k=1}^{4} k``."""
        operation = "add" if self.peek(-1) == "\\sum" else "multiply"
        self.expect("_")
        self.expect("{")
        letter = self.take()
        self.expect("=")
        low = self.sum()
        self.expect("}")
        self.expect("^")
        high = self.argument()
        return repeated(operation, self.product(), letter, (low, high))

    def root(self) -> Node:
        degree = self.enclosed("[") if self.peek() == "[" else number(2)
        return Node("root", (self.argument(), degree))

    def plain_root(self) -> Node:
        return Node("root", (self.atom(), number(2)))

    def function(self, name: str) -> Node:
        if name == "sqrt":
            return self.plain_root()
        base = [self.argument()] if name in ("log", "lg") and self.accept("_") else []
        exponent = None
        if self.peek() == "^" and self.peek(1) != "\\circ":
            self.at += 1
            exponent = self.exponent()
        args = [*self.function_arguments(), *base]
        if name in _INVERSES and exponent == negated(number(1)):
            name, exponent = _INVERSES[name], None
        fewest, most = ARGUMENTS[name]
        if not fewest <= len(args) <= most:
            raise ExpressionError(f"{name} has {len(args)} arguments")
        node = Node("call", tuple(args), _RENAMED_FUNCTIONS.get(name, name))
        return node if exponent is None else Node("power", (node, exponent))

    def function_arguments(self) -> list[Node]:
        if self.peek() in _BRACKETS:
            closing = _BRACKETS[self.take()]
            bars, self.bars = self.bars, 0
            args = [self.sum()]
            while self.accept(","):
                args.append(self.sum())
            self.bars = bars
            self.expect(closing)
            return args
        # sin 2x y stops at a sign, an operator, a bracket or the next function.
        negative = self.accept("-")
        node = self.power()
        while self.starts_factor() and self.peek() not in ("(", "|", "[") and not self.at_function():
            node = Node("multiply", (node, self.power()))
        if self.peek() == "/" and self.kind(1) == "number":
            self.at += 1
            node = Node("divide", (node, self.power()))
        return [negated(node) if negative else node]

    def at_function(self) -> bool:
        return self.peek().removeprefix("\\") in FUNCTIONS and self.peek() != "sqrt"


_ATOMS: dict[str, Callable[[_Parser], Node]] = {
    "frac": _Parser.fraction,
    "binom": _Parser.binomial,
    "sqrt": _Parser.root,
    "√": _Parser.plain_root,
    "sum": _Parser.repeated,
    "prod": _Parser.repeated,
}
_NAMES = frozenset((*_ATOMS, *FUNCTIONS, *_CONSTANTS, *_GREEK))
