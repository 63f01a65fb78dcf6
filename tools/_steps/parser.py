"""Recursive descent from tokens to expressions.

The parser reads the longest expression that starts at a token. It never looks back, and gives up instead
of guessing.
"""

from fractions import Fraction

from latentseek_agents.tools._steps.arithmetic import (
    Binary,
    Literal,
    Node,
    Percent,
    Sign,
    Unary,
    Variable,
    evaluate,
)
from latentseek_agents.tools._steps.reader import Parse, Reader, UnreadableError, is_operand_start
from latentseek_agents.tools._steps.tokens import Number, Token, tokenize
from latentseek_agents.tools._words import SCALES, WORD_OPERATORS

__all__ = ["MAX_DEPTH", "calculate", "parse_at"]

MAX_DEPTH = 48
"""Deepest nesting that is read."""


def calculate(text: str) -> Number | None:
    """The exact value of an arithmetic expression, or None if it cannot be told.

    Args:
        text: Numbers, ``+ - * / ^ ! √ %``, parentheses, or the same in LaTeX.

    Returns:
        A whole number or a fraction.

    Example:
        >>> calculate("(1 + 2) * 1/4")
        Fraction(3, 4)
        >>> calculate("9**9**9**9") is None
        True
    """
    tokens = tokenize(text)
    parse = parse_at(tokens, 0, len(tokens))
    if parse is None or parse.end != len(tokens) or parse.letters:
        return None
    result = evaluate(parse.node)
    return result.value if result is not None and result.exact else None


def parse_at(
    tokens: list[Token],
    start: int,
    end: int,
    *,
    letters: frozenset[str] = frozenset(),
    tight_fractions: bool = False,
    to_the_end: bool = False,
) -> Parse | None:
    """Read the longest expression that starts at a token.

    Args:
        tokens: All tokens.
        start: Index of the first token to read.
        end: Index after the last token that may be read.
        letters: Letters that are variables; others behind a number are units.
        tight_fractions: Let ``1/2`` without spaces bind first, as in ``6 / 1/2``.
        to_the_end: Words may fill the place up to ``end``, with a doubt.

    Returns:
        What was read, or None if no expression starts there.

    Example:
        >>> tokens = tokenize("3 boxes * 4 pens each are sold")
        >>> parse = parse_at(tokens, 0, len(tokens))
        >>> parse.end, parse.units
        (6, ['boxes', 'pens', 'each'])
    """
    parser = _Parser(tokens, start, end, letters, to_the_end=to_the_end)
    parser.tight_fractions = tight_fractions
    try:
        parser.skip_fillers()
        node = parser.sum()
    except (UnreadableError, RecursionError):
        return None
    parse = parser.parse
    parse.node, parse.end = node, parser.index
    return parse


class _Parser(Reader):
    """The grammar, one method for each level of precedence."""

    tight_fractions = False
    depth = 0

    def sum(self) -> Node:
        """Terms with + and - between them."""
        node = self.product()
        while True:
            operator, width = self.operator()
            if operator not in ("+", "-") or not self.operand_follows(width):
                break
            self.index += width
            self.skip_fillers()
            self.parse.operators += 1
            node = Binary(operator, node, self.product())
        return node

    def product(self) -> Node:
        node = self.factor()
        while True:
            operator, width = self.operator()
            if operator in ("*", "/", "of") and self.operand_follows(width):
                if operator == "of" and not self._is_share(node):
                    break
                loose = not self.tokens[self.index].tight
                self.index += width
                self.skip_fillers()
                self.parse.operators += 1
                right = self.factor()
                if operator == "/" and loose and self.tight_fractions:
                    right = self._tight_fraction(right)
                node = Binary("*" if operator == "of" else operator, node, right)
            elif not operator and self._implied_product():
                group = self._attempt_group()
                if group is None:
                    break
                self.parse.operators += 1
                node = Binary("*", node, group)
            else:
                break
        return node

    def _is_share(self, node: Node) -> bool:
        """Whether "of" after this means "times": after a percentage or a fraction."""
        before = self.tokens[self.index - 1]
        if isinstance(node, Percent):
            return before.kind == "percent" or before.text.lower() == "percent"
        if before.kind == "word" or self.parse.has_currency:
            return False  # "$1.50 each for a total of 4 * 1.5"
        return (isinstance(node, Binary) and node.operator == "/") or (
            isinstance(node, Literal) and isinstance(node.value, Fraction)
        )

    def _tight_fraction(self, numerator: Node) -> Node:
        slash, denominator = self.peek(), self.peek(1)
        if slash is None or denominator is None or slash.text != "/" or denominator.kind != "number":
            return numerator
        if not (slash.tight and denominator.tight):
            return numerator
        self.index += 1
        return Binary("/", numerator, self.factor())

    def _implied_product(self) -> bool:
        token = self.peek()
        if token is None:
            return False
        if token.kind == "letter":
            return token.text in self.letters and not self._after_unit()
        if token.kind == "command":
            return True
        # "8 pens (4 each)" explains; "2(4)" multiplies.
        return token.kind == "open" and token.text != "[" and not self._after_unit()

    def _after_unit(self) -> bool:
        return self.tokens[self.index - 1].kind == "word"

    def _attempt_group(self) -> Node | None:
        """The next factor of an implied product; what cannot be read is left as an aside."""
        saved = self.index, self.depth, self.parse.operators, len(self.parse.literals), self.parse.doubt
        loose = self.tokens[self.index].kind == "open" and not self.tokens[self.index].tight
        try:
            node = self.factor()
        except UnreadableError:
            self.index, self.depth, self.parse.operators, count, self.parse.doubt = saved
            del self.parse.literals[count:]
            return None
        if loose:
            self.parse.doubt = self.parse.doubt or "a number beside a parenthesis"
        return node

    def factor(self) -> Node:
        negative = False
        token = self.peek()
        while token is not None and token.kind == "operator" and token.text in "+-":
            negative ^= token.text == "-"
            self.index += 1
            token = self.peek()
        node = self.power()
        return Sign(node) if negative else node

    def power(self) -> Node:
        base = self.suffixed(self.primary())
        token = self.peek()
        if token is None or token.text != "^" or token.kind != "operator":
            return base
        self.index += 1
        self.parse.operators += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError
        exponent = self.factor()  # right to left: 2^3^2 is 2^9
        self.depth -= 1
        return self.suffixed(Binary("^", base, exponent))

    def primary(self) -> Node:
        self.depth += 1
        token = self.peek()
        if token is None or self.depth > MAX_DEPTH:
            raise UnreadableError
        node = self._primary(token)
        self.depth -= 1
        return node

    def _primary(self, token: Token) -> Node:
        if token.kind == "currency":
            self.parse.has_currency = True
            self.index += 1
            return self.factor()
        if token.kind == "number":
            return self._number(token)
        if token.kind == "open":
            return self._group(")" if token.text == "(" else "]" if token.text == "[" else "}")
        if token.kind == "command":
            return self._command(token)
        if token.text == "√" and token.kind == "operator":
            self.index += 1
            self.parse.operators += 1
            return Unary("√", self.primary())
        if token.kind == "letter" and token.text in self.letters:
            self.index += 1
            self.parse.letters.add(token.text)
            return Variable(token.text)
        raise UnreadableError

    def _number(self, token: Token) -> Node:
        if self.index and token.tight and self.tokens[self.index - 1].kind in ("letter", "word"):
            previous = self.tokens[self.index - 1]
            if previous.text not in "xX" and previous.text.lower() not in WORD_OPERATORS:
                raise UnreadableError  # a name such as "x2"
        self.index += 1
        literal = Literal(token.value, token.places)
        self.parse.literals.append(literal)
        return self._mixed(literal) if isinstance(token.value, int) else literal

    def _mixed(self, whole: Literal) -> Node:
        r"""``1 1/2`` and ``1\frac{1}{2}``: a whole number and a proper fraction beside it."""
        top = self.peek()
        if top is None:
            return whole
        if top.kind == "command" and top.text == "\\frac":
            return Binary("+", whole, self._command(top))
        if (
            top.kind == "number"
            and top.places == -1
            and 0 < top.value < 1
            and isinstance(top.value, Fraction)
        ):
            self.index += 1
            return Literal(whole.value + top.value, -1)
        slash, bottom = self.peek(1), self.peek(2)
        if (
            slash is None
            or bottom is None
            or top.kind != "number"
            or slash.text != "/"
            or bottom.kind != "number"
        ):
            return whole
        proper = isinstance(top.value, int) and isinstance(bottom.value, int) and 0 < top.value < bottom.value
        if not proper or not slash.tight or not bottom.tight or top.tight:
            return whole
        self.index += 3
        value = Literal(whole.value + Fraction(top.value, bottom.value), -1)
        self.parse.literals[-1] = value
        return value

    def _group(self, closer: str) -> Node:
        self.index += 1
        node = self.sum()
        token = self.peek()
        if token is None or token.kind != "close" or token.text != closer:
            raise UnreadableError
        self.index += 1
        return node

    def _argument(self) -> Node:
        r"""A LaTeX argument: a group, or one digit of a number as in ``\frac12``."""
        token = self.peek()
        if token is not None and token.kind == "open" and token.text == "{":
            return self._group("}")
        if token is not None and token.kind == "number" and len(token.text) == 1:
            self.index += 1
            self.parse.literals.append(Literal(token.value, 0))
            return Literal(token.value, 0)
        if token is not None and token.kind == "number" and token.text.isdigit() and len(token.text) == 2:
            following = self.tokens[self.index - 1]
            if following.text == "\\frac":  # "\frac12" is one half
                return Literal(-1, -2)
        raise UnreadableError

    def _command(self, token: Token) -> Node:
        self.index += 1
        if token.text == "\\pi":
            return Variable("pi")
        self.parse.operators += 1
        if token.text == "\\sqrt":
            degree = self.peek()
            if degree is not None and degree.text == "[":
                order = self._group("]")
                return Binary("root", order, self._argument())
            return Unary("√", self._argument())
        left = self._argument()
        if left == Literal(-1, -2):
            digits = self.tokens[self.index]
            self.index += 1
            pair = [Literal(int(digit), 0) for digit in digits.text]
            self.parse.literals.extend(pair)
            return Binary("/" if token.text == "\\frac" else "choose", pair[0], pair[1])
        return Binary("/" if token.text == "\\frac" else "choose", left, self._argument())

    def suffixed(self, node: Node) -> Node:
        """Read factorials, percent signs, scales and units behind an operand."""
        while True:
            token = self.peek()
            if token is None:
                return node
            if token.kind == "operator" and token.text == "!":
                self.index += 1
                self.parse.operators += 1
                node = Unary("!", node)
            elif token.kind == "percent" or (token.kind == "word" and token.text.lower() == "percent"):
                self.index += 1
                self.parse.has_percent = True
                node = Percent(node)
            elif token.kind == "degree":
                self.index += 1
            elif token.kind == "currency" and not is_operand_start(self.tokens, self.index, self.end):
                self.index += 1  # the closing delimiter of LaTeX
            elif token.kind == "word" and token.text.lower() in SCALES:
                self.index += 1
                node = Binary("*", node, Literal(SCALES[token.text.lower()], -1))
            elif not self.unit():
                return node
