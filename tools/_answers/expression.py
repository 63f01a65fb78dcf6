r"""Read an expression, LaTeX or plain, into a small tree.

The grammar knows what answers are made of: numbers of every notation, mixed numbers, fractions, roots,
powers, functions, ±, degrees and percent. Nothing is evaluated here, and every size is bounded before the
tree is built, so that hostile text costs no more than honest text.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

from latentseek_agents.tools._answers.expression_tokens import (
    ARGUMENTS,
    FUNCTIONS,
    Token,
    split_words,
    tokenize,
)
from latentseek_agents.tools._answers.expression_tree import ExpressionError, Node, number, repeated

__all__ = ["ExpressionError", "Node", "number", "parse_expression", "parse_tokens"]

DEEPEST = 48
MOST_TOKENS = 600
_CONSTANTS = {"pi": "pi", "e": "e", "i": "i", "infty": "infinity", "infinity": "infinity", "inf": "infinity"}
_GREEK_LETTERS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi "
    "psi omega Delta Gamma Lambda Sigma Phi Psi Omega Theta ell"
)
_GREEK = frozenset(_GREEK_LETTERS.split())
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_RENAMED_FUNCTIONS = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log", "ceiling": "ceil"}
_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}


def parse_expression(text: str) -> Node:
    r"""The tree of a text in plain notation.

    Raises:
        ExpressionError: The text is no expression, or too large.

    Example:
        >>> parse_expression(r"1\frac{4}{5}").value
        Fraction(9, 5)
    """
    try:
        tokens = tokenize(text)
    except ValueError as error:
        raise ExpressionError(str(error)) from None
    return parse_tokens(tokens)


def parse_tokens(tokens: Sequence[Token]) -> Node:
    """Like :func:`parse_expression`, from tokens."""
    if not tokens:
        raise ExpressionError("the expression is empty")
    if len(tokens) > MOST_TOKENS:
        raise ExpressionError(f"the expression has {len(tokens)} tokens, more than {MOST_TOKENS}")
    try:
        parser = _Parser(split_words(tokens))
    except ValueError as error:
        raise ExpressionError(str(error)) from None
    tree = parser.sum()
    if parser.at < len(parser.tokens):
        raise ExpressionError(f"{parser.peek()!r} is unexpected")
    return tree


class _Parser:
    """Recursive descent; ``at`` is the next token."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.bars = 0

    def peek(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return self.tokens[index].text if index < len(self.tokens) else ""

    def kind(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return self.tokens[index].kind if index < len(self.tokens) else "end"

    def expect(self, text: str) -> None:
        if self.peek() != text:
            raise ExpressionError(f"{text!r} expected, got {self.peek()!r}")
        self.at += 1

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError("the expression is nested too deeply")
        left = self.product()
        while (operator := self.peek()) in ("+", "-", "\\pm", "\\mp"):
            self.at += 1
            right = self.product()
            if operator in ("\\pm", "\\mp"):
                left = Node("plus_minus", (left, right), operator[1:])
            else:
                left = Node("add", (left, Node("negate", (right,)) if operator == "-" else right))
        self.depth -= 1
        return left

    def product(self) -> Node:
        left = self.signed()
        while True:
            operator = self.peek()
            if operator in ("*", "\\cdot", "\\times"):
                self.at += 1
                left = Node("multiply", (left, self.signed()))
            elif operator == "/":
                self.at += 1
                left = Node("divide", (left, self.denominator()))
            elif operator == "\\bmod":
                self.at += 1
                left = Node("call", (left, self.signed()), "mod")
            elif self.starts_factor():
                left = Node("multiply", (left, self.power()))
            else:
                return left

    def denominator(self) -> Node:
        """What a slash divides by; letters written without a gap, as in ``a/bc``, belong together."""
        node = self.signed()
        while (
            node.kind in ("symbol", "multiply") and self.kind() == "word" and not self.tokens[self.at].spaced
        ):
            if self.peek() in FUNCTIONS:
                break
            node = Node("multiply", (node, self.power()))
        return node

    def signed(self) -> Node:
        signs = 0
        sign = ""
        while self.peek() in ("+", "-", "\\pm", "\\mp"):
            signs += self.peek() == "-"
            sign = self.peek()[1:] or sign
            self.at += 1
        node = self.power()
        node = Node("negate", (node,)) if signs % 2 else node
        return Node("plus_minus", (number(0), node), sign) if sign else node

    def starts_factor(self) -> bool:
        kind, text = self.kind(), self.peek()
        if kind == "number":
            # Two numbers side by side are no product, but a number after a bracket is.
            return self.at > 0 and self.kind(-1) != "number"
        if text == "|":
            return self.bars == 0
        return (
            kind == "word"
            or text in ("(", "[", "{", "√", "\\lfloor", "\\lceil")
            or (kind == "command" and (text[1:] in _CONSTANTS or text[1:] in _GREEK or text[1:] in _ATOMS))
            or (kind == "command" and text[1:] in FUNCTIONS)
        )

    def power(self) -> Node:
        base = self.postfix(self.atom())
        while self.peek() in ("^", "**"):
            self.at += 1
            base = self.postfix(Node("power", (base, self.exponent())))
        return base

    def exponent(self) -> Node:
        if self.peek() == "{":
            node = self.group()
        elif self.peek() in ("-", "+"):
            negative = self.peek() == "-"
            self.at += 1
            node = Node("negate", (self.exponent(),)) if negative else self.exponent()
        else:
            node = self.atom()
        # 2^3^2 is 2^(3^2).
        if self.peek() in ("^", "**") and self.peek(1) != "\\circ":
            self.at += 1
            node = Node("power", (node, self.exponent()))
        return node

    def postfix(self, node: Node) -> Node:
        while True:
            if self.peek() == "!":
                double = self.peek(1) == "!"
                self.at += 1 + double
                node = Node("call", (node,), "double_factorial" if double else "factorial")
            elif self.peek() == "%":
                self.at += 1
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
                part = number(self.tokens[self.at].value / share)
                degrees = Node("add", (degrees, part))
                self.at += 2
        return degrees

    def atom(self) -> Node:
        kind, text = self.kind(), self.peek()
        if kind == "number":
            return self.numeral()
        if kind == "word":
            return self.word()
        if text in _CLOSING:
            return self.group()
        if text == "|":
            return self.bars_group()
        if text.startswith("\\") or text == "√":
            return self.command()
        raise ExpressionError(f"{text!r} is unexpected")

    def numeral(self) -> Node:
        token = self.tokens[self.at]
        self.at += 1
        whole = token.value
        if whole.denominator == 1 and token.text.isdigit() and (part := self.fraction_of_mixed()):
            return number(whole + part)
        return number(whole)

    def fraction_of_mixed(self) -> Fraction | None:
        r"""The proper fraction right behind an integer: ``1\frac45`` or ``1 4/5``; consumes it."""
        if self.peek() == "\\frac":
            mark = self.at
            self.at += 1
            parts = [self.digit_argument(), self.digit_argument()]
            if all(part is not None for part in parts) and 0 < (parts[0] or 0) < (parts[1] or 0):
                return Fraction(parts[0] or 0, parts[1] or 1)
            self.at = mark
        elif self.kind() == "number" and self.peek(1) == "/" and self.kind(2) == "number":
            top, bottom = self.tokens[self.at], self.tokens[self.at + 2]
            if top.text.isdigit() and bottom.text.isdigit() and 0 < top.value < bottom.value:
                self.at += 3
                return top.value / bottom.value
        return None

    def digit_argument(self) -> int | None:
        braced = self.peek() == "{"
        self.at += braced
        if not braced:
            self.split_digits()
        value = int(self.peek()) if self.kind() == "number" and self.peek().isdigit() else None
        self.at += 1
        if braced:
            value = value if self.peek() == "}" else None
            self.at += 1
        return value

    def word(self) -> Node:
        token = self.tokens[self.at]
        self.at += 1
        if token.text in FUNCTIONS:
            return self.function(token.text)
        if token.text in _CONSTANTS:
            return Node("constant", name=_CONSTANTS[token.text])
        return self.symbol(token.text)

    def symbol(self, name: str) -> Node:
        while self.peek() == "_":
            self.at += 1
            name += "_" + self.subscript()
        while self.peek() == "'":
            self.at += 1
            name += "'"
        return Node("symbol", name=name)

    def subscript(self) -> str:
        if self.peek() != "{":
            self.at += 1
            return self.peek(-1)
        start, level = self.at, 0
        while self.at < len(self.tokens):
            level += {"{": 1, "}": -1}.get(self.peek(), 0)
            self.at += 1
            if level == 0:
                return "".join(token.text for token in self.tokens[start + 1 : self.at - 1])
        raise ExpressionError("a subscript is not closed")

    def group(self) -> Node:
        opening = self.peek()
        self.at += 1
        bars, self.bars = self.bars, 0
        node = self.sum()
        self.bars = bars
        self.expect(_CLOSING[opening])
        return node

    def bars_group(self) -> Node:
        self.at += 1
        self.bars += 1
        node = self.sum()
        self.bars -= 1
        self.expect("|")
        return Node("call", (node,), "abs")

    def command(self) -> Node:
        name = self.peek().removeprefix("\\")
        if name in _ATOMS:
            self.at += 1
            return _ATOMS[name](self)
        if name in FUNCTIONS:
            self.at += 1
            return self.function(name)
        if name in _CONSTANTS:
            self.at += 1
            return Node("constant", name=_CONSTANTS[name])
        if name in _GREEK:
            self.at += 1
            return self.symbol(name)
        raise ExpressionError(f"{self.peek()!r} is unknown")

    def argument(self) -> Node:
        """The argument of a LaTeX command: a group in braces, or one digit or letter."""
        if self.peek() == "{":
            return self.group()
        self.split_digits()
        return self.atom()

    def split_digits(self) -> None:
        r"""Part the first digit from the others: LaTeX reads ``\frac12`` as a half."""
        if self.kind() == "number" and len(self.peek()) > 1 and self.peek().isdigit():
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
        letter = self.peek()
        self.at += 1
        self.expect("=")
        low = self.sum()
        self.expect("}")
        self.expect("^")
        high = self.argument()
        body = self.product()
        return repeated(operation, body, letter, (low, high))

    def square_root(self) -> Node:
        degree = number(2)
        if self.peek() == "[":
            degree = self.group()
        return Node("root", (self.argument(), degree))

    def plain_root(self) -> Node:
        return Node("root", (self.group() if self.peek() in _CLOSING else self.atom(), number(2)))

    def floor(self) -> Node:
        node = self.sum()
        self.expect("\\rfloor")
        return Node("call", (node,), "floor")

    def ceiling(self) -> Node:
        node = self.sum()
        self.expect("\\rceil")
        return Node("call", (node,), "ceil")

    def function(self, name: str) -> Node:
        if name == "sqrt":
            return self.plain_root()
        base = self.base_of_logarithm() if name in ("log", "lg") else None
        exponent = None
        if self.peek() == "^" and self.peek(1) != "\\circ":
            self.at += 1
            exponent = self.exponent()
        args = self.function_arguments()
        if exponent is not None and name in _INVERSES and _is_minus_one(exponent):
            name, exponent = _INVERSES[name], None
        args = [*args, base] if base is not None else args
        fewest, most = ARGUMENTS[name]
        if not fewest <= len(args) <= most:
            raise ExpressionError(f"{name} has {len(args)} arguments")
        node = Node("call", tuple(args), _RENAMED_FUNCTIONS.get(name, name))
        return node if exponent is None else Node("power", (node, exponent))

    def base_of_logarithm(self) -> Node | None:
        if self.peek() != "_":
            return None
        self.at += 1
        return self.argument()

    def function_arguments(self) -> list[Node]:
        if self.peek() in _CLOSING:
            opening = self.peek()
            self.at += 1
            bars, self.bars = self.bars, 0
            args = [self.sum()]
            while self.peek() == ",":
                self.at += 1
                args.append(self.sum())
            self.bars = bars
            self.expect(_CLOSING[opening])
            return args
        # sin 2x y stops at a sign, an operator, a bracket or the next function.
        negative = self.peek() == "-"
        self.at += negative
        node = self.power()
        while self.starts_factor() and self.peek() not in ("(", "|", "[") and not self.at_function():
            node = Node("multiply", (node, self.power()))
        if self.peek() == "/" and self.kind(1) == "number":
            self.at += 1
            node = Node("divide", (node, self.power()))
        return [Node("negate", (node,)) if negative else node]

    def at_function(self) -> bool:
        return self.peek().removeprefix("\\") in FUNCTIONS and self.peek() != "sqrt"


_ATOMS: dict[str, Callable[[_Parser], Node]] = {
    "frac": _Parser.fraction,
    "binom": _Parser.binomial,
    "sqrt": _Parser.square_root,
    "√": _Parser.plain_root,
    "lfloor": _Parser.floor,
    "lceil": _Parser.ceiling,
    "sum": _Parser.repeated,
    "prod": _Parser.repeated,
}


def _is_minus_one(node: Node) -> bool:
    return node.kind == "negate" and node.args[0].kind == "number" and node.args[0].value == 1
