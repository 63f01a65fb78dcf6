"""Tokens to expressions: recursive descent with an eye for the words between the numbers.

:func:`parse_at` reads the longest expression that starts at a token, with the units and fillers in it. It
never looks back, and gives up instead of guessing. What makes a reading doubtful is noted in the
:class:`Parse`.

Example:
    >>> tokens = tokenize("3 boxes * 4 pens each are sold")
    >>> parse = parse_at(tokens, 0, len(tokens))
    >>> parse.end, parse.units
    (6, ['boxes', 'pens', 'each'])
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from latentseek_agents.tools._maths.exact import Number
from latentseek_agents.tools._maths.number_words import SCALES
from latentseek_agents.tools._maths.words import (
    APPROXIMATORS,
    BREAK_WORDS,
    FILLERS,
    FUNCTIONS,
    SHORT_UNITS,
    WORD_OPERATORS,
    units_in,
)
from latentseek_agents.tools._steps.arithmetic import (
    Apply,
    Binary,
    Literal,
    Node,
    Percent,
    Sign,
    Unary,
    Variable,
    evaluate,
)
from latentseek_agents.tools._steps.derivatives import NoDerivativeError, derivative
from latentseek_agents.tools._steps.tokens import END, Token, token_at, tokenize

_MAX_DEPTH = 48
_MAX_FILLERS = 4
_MOST_DERIVATIVES = 4
_MAX_UNIT_WORDS = 8
_MAX_CLAUSE_WORDS = 12
_SURE_UNIT_WORDS = 6
_NAMED = {"sqrt": "√", "abs": "abs"}
_POWERS = {"squared": 2, "cubed": 3}
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


class UnreadableError(Exception):
    """No expression here."""


@dataclass(slots=True)
class Parse:
    """An expression that was read.

    Args:
        node: The expression.
        end: Index of the first token after it and its units.
        units: The unit words, in lower case.
        operators: How many operations it has.
        literals: The numbers in it, in order.
        has_percent: A percent sign or the word stands in it.
        has_currency: A currency sign stands in it.
        letters: The variables in it.
        functions: The functions in it.
        doubt: Why the reading may be wrong, or "".
        approximate: A word such as "about" stands before a number.
        is_derivative: It is the derivative of something.
        ambiguous: It can be read in another way, too.
        other: That other reading: 100/(2x) for 100/2x, 16^(1/2) for 16^1/2.
    """

    node: Node
    end: int
    units: list[str] = field(default_factory=list)
    operators: int = 0
    literals: list[Literal] = field(default_factory=list)
    has_percent: bool = False
    has_currency: bool = False
    letters: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    doubt: str = ""
    approximate: bool = False
    is_derivative: bool = False
    ambiguous: bool = False
    other: "Parse | None" = None

    @property
    def readings(self) -> list["Parse"]:
        """The plain reading, and the other one if there is one."""
        return [self] if self.other is None else [self, self.other]


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
    functions: frozenset[str] = frozenset(),
    tight_fractions: bool = False,
    to_the_end: bool = False,
) -> Parse | None:
    """Read the longest expression that starts at a token.

    Args:
        tokens: All tokens.
        start: Index of the first token to read.
        end: Index after the last token that may be read.
        letters: Letters that are variables; others behind a number are units.
        functions: Letters that name a function in front of a bracket.
        tight_fractions: Let ``1/2`` without spaces bind first, as in ``6 / 1/2``.
        to_the_end: Words may fill the place up to ``end``, with a doubt.

    Returns:
        What was read, or None if no expression starts there.
    """
    parser = partial(
        _Parser,
        tokens,
        start,
        end,
        letters,
        functions,
        tight_fractions=tight_fractions,
        to_the_end=to_the_end,
    )
    parse = parser().read()
    if parse is not None and parse.ambiguous:
        other = parser(other=True).read()
        if other is not None and other.end == parse.end:
            parse.other = other
        else:
            parse.doubt = parse.doubt or "it can be read in several ways"
    return parse


def is_application(tokens: list[Token], index: int, functions: frozenset[str]) -> bool:
    """Whether a function stands at a token, with its argument in brackets."""
    token, follower = token_at(tokens, index), token_at(tokens, index + 1)
    named = token.kind == "letter" and token.text.rstrip("'") in functions
    return named and follower.text == "(" and follower.tight


def is_differential(tokens: list[Token], index: int) -> bool:
    r"""Whether "dx" stands at a token, as the bottom of ``\frac{d}{dx}``."""
    text = token_at(tokens, index).text
    if len(text) != 2 or text[0] != "d":
        return False
    around = [*range(index - 4, index), index + 1]
    return [token_at(tokens, place).text for place in around] == ["{", "d", "}", "{", "}"]


def is_operand_start(tokens: list[Token], index: int, end: int) -> bool:
    """Whether an operand can start at a token."""
    token, follower = token_at(tokens, index, end), token_at(tokens, index + 1, end)
    if token.kind == "currency":
        return follower.kind in ("number", "open", "command") or (follower.text == "-" and follower.tight)
    return token.kind in ("number", "open", "command") or token.text == "√" or is_named(tokens, index, end)


def is_named(tokens: list[Token], index: int, end: int) -> bool:
    """Whether a function that can be computed stands at a token by its name: ``sqrt(16)``."""
    follower = token_at(tokens, index + 1, end)
    named = index < end and token_at(tokens, index, end).word in _NAMED
    return named and follower.text == "(" and follower.tight


@dataclass(slots=True)
class _Parser:
    """A place in the tokens, and the grammar: one method for each level of precedence."""

    tokens: list[Token]
    index: int
    end: int
    letters: frozenset[str]
    functions: frozenset[str]
    tight_fractions: bool
    to_the_end: bool
    other: bool = False  # what can be read in two ways is read in the second one
    depth: int = 0
    derivatives: int = 0
    parse: Parse = field(default_factory=lambda: Parse(Literal(0), 0))

    def read(self) -> Parse | None:
        """The longest expression that starts here; None if there is none."""
        try:
            self.skip_fillers()
            self.parse.node = self.sum()
        except (UnreadableError, NoDerivativeError, RecursionError):
            return None
        self.parse.end = self.index
        return self.parse

    def peek(self, ahead: int = 0) -> Token:
        """The token that comes next, or one further on."""
        return token_at(self.tokens, self.index + ahead, self.end)

    def take(self) -> Token:
        """Move behind the token that comes next."""
        self.index += 1
        return self.peek(-1)

    # -- the grammar -----------------------------------------------------------------------------------

    def sum(self, first: Node | None = None) -> Node:
        """Terms with + and - between them; the first one may have been read."""
        node = self.product() if first is None else first
        while operator := self.take_operator("+", "-"):
            node = Binary(operator, node, self.product())
        return node

    def product(self, first: Node | None = None) -> Node:
        """Factors with a sign between them, or side by side; the first one may have been read."""
        node = self.factor() if first is None else first
        divided: tuple[Node, Node] | None = None  # what was divided, and by what
        while True:
            loose = not self.peek().tight
            if operator := self.take_operator("*", "/", "of" if self.is_share(node) else "*"):
                right = self.factor()
                if operator == "/" and loose and self.tight_fractions:
                    right = self.tight_fraction(right)
                divided = (node, right) if operator == "/" else None
                node = self.quotient(node, right) if operator == "/" else Binary("*", node, right)
            elif not self.operator()[0] and self.is_implied_product() and (group := self.attempt_factor()):
                if divided:  # 100/2x is 100/2 times x, or 100/(2x)
                    self.parse.ambiguous = True
                    divided = divided[0], Binary("*", divided[1], group)
                node = Binary("/", *divided) if divided and self.other else Binary("*", node, group)
            else:
                return node

    def quotient(self, dividend: Node, divisor: Node) -> Node:
        """A quotient. 1/2% is half a percent, or what 2% goes into."""
        if isinstance(divisor, Percent) and isinstance(divisor.operand, Literal):
            self.parse.ambiguous = True
            if self.other:
                return Percent(Binary("/", dividend, divisor.operand))
        return Binary("/", dividend, divisor)

    def is_share(self, node: Node) -> bool:
        """Whether "of" after this means "times": after a percentage or a fraction."""
        before = self.tokens[self.index - 1]
        if isinstance(node, Percent):
            return before.kind == "percent" or before.word == "percent"
        if before.kind == "word" or self.parse.has_currency:
            return False  # "$1.50 each for a total of 4 * 1.5"
        return (isinstance(node, Binary) and node.operator == "/") or (
            isinstance(node, Literal) and isinstance(node.value, Fraction)
        )

    def tight_fraction(self, numerator: Node) -> Node:
        """The fraction that starts with a number, if it is written without spaces."""
        slash, denominator = self.peek(), self.peek(1)
        if slash.text != "/" or denominator.kind != "number" or not (slash.tight and denominator.tight):
            return numerator
        self.index += 1
        return Binary("/", numerator, self.factor())

    def is_implied_product(self) -> bool:
        """Whether what comes next multiplies without a sign: "2(4)", but not "8 pens (4 each)"."""
        token, before = self.peek(), self.tokens[self.index - 1]
        if token.kind == "command" or is_named(self.tokens, self.index, self.end):
            return True
        if token.kind == "letter":  # not in "$2x = 17$ for $x$"
            return self.is_variable() and before.kind not in ("word", "currency")
        if token.kind == "number":  # "4!1!"
            return token.tight and before.text == "!"
        return token.text in ("(", "{") and before.kind != "word"

    def attempt_factor(self) -> Node | None:
        """The next factor of an implied product; what cannot be read is left as an aside."""
        parse = self.parse
        saved = self.index, self.depth, parse.operators, len(parse.literals), parse.doubt
        loose = self.peek().kind == "open" and not self.peek().tight
        try:
            node = self.factor()
        except UnreadableError:
            self.index, self.depth, parse.operators, count, parse.doubt = saved
            del parse.literals[count:]
            return None
        parse.operators += 1
        if loose:
            parse.doubt = parse.doubt or "a number beside a parenthesis"
        return node

    def factor(self) -> Node:
        """A power with signs before it."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise UnreadableError
        negative = False
        while (token := self.peek()).kind == "operator" and token.text in "+-":
            negative ^= token.text == "-"
            self.index += 1
        bare = self.peek().kind == "number"
        node = self.power()
        self.depth -= 1
        if negative and bare and isinstance(node, Binary) and node.operator == "^":
            self.parse.ambiguous = True  # -3^2 is -9, but some put -3 in place of x and mean 9
            if self.other:
                return Binary("^", Sign(node.left), node.right)
        return Sign(node) if negative else node

    def power(self) -> Node:
        """A base, with its exponent if there is one."""
        base = self.suffixed(self.primary())
        if self.peek().text != "^":
            return base
        self.index += 1
        self.parse.operators += 1
        plain = self.peek().kind == "number"
        exponent = self.factor()  # right to left: 2^3^2 is 2^9
        if plain and self.is_broken_exponent(exponent):
            self.parse.ambiguous = True
            if self.other:
                self.index += 1
                self.parse.operators += 1
                exponent = Binary("/", exponent, self.primary())
        return self.suffixed(Binary("^", base, exponent))

    def is_broken_exponent(self, top: Node) -> bool:
        """Whether the exponent may go on with a slash: 16^1/2, but not x^2/4."""
        slash, bottom = self.peek(), self.peek(1)
        if not isinstance(top, Literal) or slash.text != "/" or bottom.kind != "number":
            return False
        if not (
            slash.tight and bottom.tight and isinstance(top.value, int) and isinstance(bottom.value, int)
        ):
            return False
        return bottom.value > 1 and math.gcd(top.value, bottom.value) == 1

    def primary(self) -> Node:
        """A number, a variable, a group, a root or a LaTeX command."""
        token = self.take()
        match token.kind:
            case "number":
                return self.number(token)
            case "open":
                return self.group(token)
            case "command":
                return self.command(token)
            case "currency":
                self.parse.has_currency = True
                return self.factor()
            case "operator" if token.text == "√":
                self.parse.operators += 1
                return Unary("√", self.primary())
            case "word" if is_named(self.tokens, self.index - 1, self.end):
                self.parse.operators += 1
                return Unary(_NAMED[token.word], self.group(self.take()))
            case "letter" if is_application(self.tokens, self.index - 1, self.functions):
                self.parse.functions.add(token.text)
                self.parse.operators += 1
                return Apply(token.text, self.group(self.take()))
            case "letter" if token.text in self.letters:
                self.parse.letters.add(token.text)
                return Variable(token.text)
        raise UnreadableError

    def literal(self, value: Number, places: int) -> Literal:
        """Note a number."""
        literal = Literal(value, places)
        self.parse.literals.append(literal)
        return literal

    def number(self, token: Token) -> Node:
        r"""A number; ``1 1/2`` and ``1\frac{1}{2}`` are a whole number and a proper fraction."""
        before = token_at(self.tokens, self.index - 2)
        named = token.tight and before.kind in ("letter", "word") and before.text not in "xX"
        if named and before.text.lower() not in WORD_OPERATORS:
            raise UnreadableError  # a name such as "x2"
        literal = self.literal(token.value, token.places)
        if thousands := self.spaced_thousands(token):
            literal = self.parse.literals[-1] = thousands
            return literal
        self.doubt_hyphen(token)
        top, slash, bottom = self.peek(), self.peek(1), self.peek(2)
        if isinstance(token.value, int) and top.text == "\\frac":
            return Binary("+", literal, self.command(self.take()))
        if isinstance(token.value, Fraction) or top.kind != "number":
            return literal
        if isinstance(top.value, Fraction):
            if top.places != -1 or not 0 < top.value < 1:
                return literal
            return Literal(token.value + self.take().value, -1)  # "1½"
        tight = slash.text == "/" and slash.tight and bottom.tight and not top.tight
        proper = isinstance(bottom.value, int) and 0 < top.value < bottom.value
        if bottom.kind == "number" and tight and proper:
            self.index += 3
            literal = Literal(token.value + Fraction(top.value) / bottom.value, -1)
            self.parse.literals[-1] = literal
        return literal

    def doubt_hyphen(self, whole: Token) -> None:
        """Note that "2-1/2 cups" may be two and a half."""
        hyphen, top, slash, bottom, unit = map(self.peek, range(5))
        texts, numbers = (hyphen.text, slash.text), (whole, top, bottom)
        if (
            texts == ("-", "/")
            and all(token.tight for token in (hyphen, top, slash, bottom))
            and all(token.kind == "number" and isinstance(token.value, int) for token in numbers)
            and 0 < top.value < bottom.value
            and unit.kind == "word"
        ):
            self.parse.doubt = self.parse.doubt or "a mixed number, or a difference"

    def spaced_thousands(self, token: Token) -> Literal | None:
        """A number with its thousands set apart, as in "12 345"; in doubt, since it may be two numbers."""
        digits, last, width = token.text, token, 0
        while len(token.text) <= 3 and token.places == 0:
            group = self.peek(width)
            alone = group.kind == "number" and group.places == 0 and group.start == last.end + 1
            if not alone or len(group.text) != 3 or group.end - group.start != 3:
                break
            digits, last, width = digits + group.text, group, width + 1
        follower = self.peek(width)
        if not width or follower.kind == "number" or (follower.text == "/" and follower.tight):
            return None
        self.index += width
        self.parse.doubt = self.parse.doubt or "blanks may separate thousands, or numbers"
        return Literal(int(digits), 0)

    def group(self, opener: Token) -> Node:
        """An expression in parentheses or braces, behind the first of them."""
        node = self.sum()
        closer = self.take()
        if closer.kind != "close" or closer.text != _CLOSERS[opener.text]:
            raise UnreadableError
        return node

    def argument(self) -> Node:
        """A LaTeX argument: a group or one digit."""
        token = self.take()
        if token.text == "{":
            return self.group(token)
        if token.kind == "number" and len(token.text) == 1:
            return self.literal(token.value, 0)
        raise UnreadableError

    def command(self, token: Token) -> Node:
        """A LaTeX command with its arguments, behind its name."""
        if token.text == "\\pi":
            return Variable("pi")
        self.parse.operators += 1
        following = self.peek()
        if token.text == "\\frac" and (letter := self.differential()):
            self.parse.is_derivative = self.parse.operators == 1
            return derivative(self.differentiated(), letter)
        if token.text == "\\sqrt":
            if following.text == "[":
                return Binary("root", self.group(self.take()), self.argument())
            return Unary("√", self.argument())
        operator = "/" if token.text == "\\frac" else "choose"
        two_digits = following.kind == "number" and following.text.isdigit() and len(following.text) == 2
        if two_digits and operator == "/":  # "\\frac12" is one half
            top, bottom = (self.literal(int(digit), 0) for digit in self.take().text)
            return Binary("/", top, bottom)
        return Binary(operator, self.argument(), self.argument())

    def differential(self) -> str:
        r"""The letter x of ``\frac{d}{dx}``, behind the command; "" for other fractions."""
        if not is_differential(self.tokens, self.index + 4):
            return ""
        letter = self.peek(4).text[1:]
        self.index += 6
        self.parse.letters.add(letter)
        return letter

    def differentiated(self) -> Node:
        r"""What ``\frac{d}{dx}`` stands before: the term behind it.

        With factors behind a bracket it may be the bracket alone, and with a sum it may be all of it.
        """
        self.derivatives += 1  # each multiplies the size of what stands in it
        if self.derivatives > _MOST_DERIVATIVES:
            raise UnreadableError
        bracket = self.peek().text in ("(", "[")
        alone = self.power()
        factors = self.index
        if self.other and bracket and (self.operator()[0] in ("*", "/") or self.is_implied_product()):
            return alone
        term = self.product(alone)
        if self.other:
            return self.sum(term)
        more, summand = bracket and self.index != factors, self.operator()[0] in ("+", "-")
        self.parse.ambiguous |= more or summand
        if more and summand:
            self.parse.doubt = self.parse.doubt or "it may be the derivative of a part"
        return term

    def suffixed(self, node: Node) -> Node:
        """Read factorials, percent signs, scales and units behind an operand."""
        while True:
            token = self.peek()
            if token.text == "!" and token.kind == "operator":
                self.index += 1
                self.parse.operators += 1
                node = Unary("!", node)
            elif token.kind == "percent" or token.word == "percent":
                self.index += 1
                self.parse.has_percent = True
                node = Percent(node)
            elif token.kind == "degree" or (
                # the closing delimiter of LaTeX
                token.kind == "currency" and not is_operand_start(self.tokens, self.index, self.end)
            ):
                self.index += 1
            elif token.word in SCALES:
                self.index += 1
                node = Binary("*", node, Literal(SCALES[token.word], -1))
            elif token.word in _POWERS and self.is_squared():
                node = self.squared(node)
            elif self.unit():
                node = self.compound(node)
            else:
                return node

    def is_squared(self) -> bool:
        """Whether "squared" stands behind a number or a bracket, and not behind a unit."""
        before = self.tokens[self.index - 1]
        return before.kind in ("number", "close") or (before.kind == "letter" and before.text in self.letters)

    def squared(self, node: Node) -> Node:
        """A power in words. What stands before or behind the word may make it another one, or a unit."""
        exponent = _POWERS[self.take().word]
        follower = self.peek()
        unit = follower.kind in ("word", "letter") and follower.word not in BREAK_WORDS
        bare = self.parse.operators == 0 and follower.kind not in ("operator", "relation", "end")
        before = self.tokens[self.index - 3] if self.index > 2 else END
        if unit or bare or self.parse.operators or before.text == "-":
            self.parse.doubt = self.parse.doubt or "what is squared may be something else"
        self.parse.operators += 1
        return Binary("^", node, self.literal(exponent, 0))

    # -- what the words between the numbers are --------------------------------------------------------

    def take_operator(self, *operators: str) -> str:
        """Move behind one of some binary operators if its operand follows; "" if it does not."""
        operator, width = self.operator()
        if operator not in operators or not self.operand_follows(width):
            return ""
        self.index += width
        self.skip_fillers()
        self.parse.operators += 1
        return operator

    def operator(self) -> tuple[str, int]:
        """The binary operator that comes next, and how many tokens spell it; ("", 0) if none."""
        token = self.peek()
        if token.kind == "operator" and token.text in "+-*/^":
            return token.text, 1
        if token.kind == "letter" and token.text in "xX" and self.is_times_sign():
            return "*", 1
        if token.word in WORD_OPERATORS:
            return WORD_OPERATORS[token.word], 1
        if token.word == "divided" and self.peek(1).text == "by":
            return "/", 2
        if token.word == "of" and self.operand_follows(1):
            return "of", 1
        return "", 0

    def operand_follows(self, ahead: int) -> bool:
        """Whether an operand starts a number of tokens ahead, a few fillers before it allowed."""
        for _ in range(_MAX_FILLERS):
            if self.peek(ahead).word not in FILLERS:
                break
            ahead += 1
        if self.peek(ahead).text in ("-", "+"):
            ahead += 1
        return self.is_variable(ahead) or is_operand_start(self.tokens, self.index + ahead, self.end)

    def is_variable(self, ahead: int = 0) -> bool:
        """Whether a variable or a function with its argument comes next, or further on."""
        token = self.peek(ahead)
        if token.kind != "letter":
            return False
        return token.text in self.letters or is_application(self.tokens, self.index + ahead, self.functions)

    def is_for(self) -> bool:
        """Whether the word "for" and a letter come next, as in "2x = 17 for x"."""
        return self.peek().word == "for" and self.peek(1).kind in ("letter", "currency")

    def is_times_sign(self) -> bool:
        """Whether the letter x that comes next multiplies."""
        token, follower = self.peek(), self.peek(1)
        # "2x (3 + 4)" is a product with the variable x; "2 x (3 + 4)" and "2x3" are not.
        product = token.tight == follower.tight and follower.kind == "number"
        return (token.text not in self.letters or product) and self.operand_follows(1)

    def skip_fillers(self) -> None:
        """Pass over words between an operator and its operand, as in "+ another 3"."""
        for _ in range(_MAX_FILLERS):
            word = self.peek().word
            if word in APPROXIMATORS:
                self.parse.approximate = True
            elif word in FILLERS:
                self.parse.doubt = self.parse.doubt or f'the word "{word}" before a number'
            else:
                return
            self.index += 1

    def unit(self) -> bool:
        """Read a run of unit words; False if there is none."""
        first = self.index
        words = 0
        while words < _MAX_UNIT_WORDS and (width := self.unit_width()):
            self.index += width
            words += 1
        clause = self.clause_width()
        self.index += clause
        if clause or (words > _SURE_UNIT_WORDS and self.operator()[0]):
            self.parse.doubt = self.parse.doubt or "many words between the numbers"
        units = self.parse.units
        for token in self.tokens[first : self.index]:
            if token.kind == "word" or (token.kind == "letter" and token.text in SHORT_UNITS):
                units.append(token.text.lower())
            elif token.kind == "number" and units:
                units[-1] += f"^{token.text}"
        return self.index > first

    def compound(self, node: Node) -> Node:
        """Read what goes on in a smaller unit: "5 ft 6 in". What may be two quantities is in doubt."""
        larger, number, smaller = self.peek(-1), self.peek(), self.peek(1)
        count = units_in(larger.text.lower(), smaller.text.lower())
        if number.kind != "number" or number.tight or count is None or number.value >= count:
            return node
        self.index += 1
        literal = self.literal(number.value, number.places)
        self.parse.units.pop()
        self.unit()
        self.parse.operators += 1
        self.parse.doubt = self.parse.doubt or "a second unit follows"
        return self.compound(Binary("+", Binary("*", node, Literal(count, -1)), literal))

    def clause_width(self) -> int:
        """How many words a clause behind a unit takes, as in "pens that he gave away + 3"."""
        for ahead in range(_MAX_CLAUSE_WORDS):
            token = self.peek(ahead)
            if token is END:
                return ahead if self.to_the_end and self.parse.operators else 0
            if token.kind == "operator" and ahead and token.text in "+-*/" and not token.tight:
                return ahead if self.operand_follows(ahead + 1) else 0
            if token.kind != "word":
                return 0
        return 0

    def unit_width(self) -> int:
        """How many tokens the next unit word takes; 0 if none comes."""
        token, follower = self.peek(), self.peek(1)
        if token.text == "/" and follower.kind in ("word", "letter"):
            stops = follower.text.lower() in BREAK_WORDS or follower.text in self.letters
            raised = self.peek(2).text == "^" and self.peek(3).text in ("2", "3")  # "m/s^2"
            return 0 if stops else 4 if raised else 2
        if token.text == "(" and follower.kind == "word" and self.peek(2).text == ")":
            return 3  # "5 (pens)"
        if token.kind == "letter":
            if self.is_variable() or (token.text in "xX" and self.is_times_sign()):
                return 0
            if token.text not in SHORT_UNITS and token.tight:
                return 0
        elif token.kind != "word" or token.word in BREAK_WORDS or token.word in FUNCTIONS or self.is_for():
            return 0
        else:
            operator, width = self.operator()
            if operator and self.operand_follows(width):
                return 0
        if follower.text == "^" and self.peek(2).text in ("2", "3"):
            return 3  # "cm^2"
        short = token.kind == "word" and token.tight and len(token.text) < 3 and token.word not in SHORT_UNITS
        if short and self.tokens[self.index - 1].kind == "number":
            raise UnreadableError  # letters that belong to the number, as in "3ab"
        return 1
