"""Look ahead in mathematical prose: what is an operator there, what a unit, what a filler.

This is the part of the parser that knows about words. It moves over them and takes note of what it saw.
"""

from dataclasses import dataclass, field

from latentseek_agents.tools._steps.arithmetic import Literal, Node
from latentseek_agents.tools._steps.tokens import Token
from latentseek_agents.tools._words import (
    APPROXIMATORS,
    BREAK_WORDS,
    FILLERS,
    FUNCTIONS,
    SHORT_UNITS,
    WORD_OPERATORS,
)

__all__ = ["Parse", "Reader", "UnreadableError", "is_operand_start"]

_MAX_FILLERS = 4
_MAX_UNIT_WORDS = 8
_MAX_CLAUSE_WORDS = 12
_SURE_UNIT_WORDS = 6


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
        doubt: Why the reading may be wrong, or "".
        approximate: A word such as "about" stands before a number.
    """

    node: Node
    end: int
    units: list[str] = field(default_factory=list)
    operators: int = 0
    literals: list[Literal] = field(default_factory=list)
    has_percent: bool = False
    has_currency: bool = False
    letters: set[str] = field(default_factory=set)
    doubt: str = ""
    approximate: bool = False


def is_operand_start(tokens: list[Token], index: int, end: int) -> bool:
    """Whether an operand can start at a token."""
    if index >= end:
        return False
    token = tokens[index]
    if token.kind in ("number", "open", "command"):
        return True
    if token.kind == "currency":
        return index + 1 < end and (
            tokens[index + 1].kind in ("number", "open", "command")
            or (tokens[index + 1].text == "-" and tokens[index + 1].tight)
        )
    return token.text == "√"


class Reader:
    """A place in the tokens, and what was noted on the way there.

    Args:
        tokens: All tokens.
        start: Index of the first token to read.
        end: Index after the last token that may be read.
        letters: Letters that are variables.
        to_the_end: Words may fill the place up to ``end``.
    """

    def __init__(
        self, tokens: list[Token], start: int, end: int, letters: frozenset[str], *, to_the_end: bool
    ) -> None:
        self.tokens = tokens
        self.index = start
        self.end = end
        self.letters = letters
        self.to_the_end = to_the_end
        self.parse = Parse(Literal(0), start)

    def peek(self, ahead: int = 0) -> Token | None:
        """The token that comes next, or one further on; None at the end."""
        index = self.index + ahead
        return self.tokens[index] if index < self.end else None

    def operand_follows(self, ahead: int) -> bool:
        """Whether an operand starts a number of tokens ahead, a few fillers before it allowed."""
        for _ in range(_MAX_FILLERS):
            token = self.peek(ahead)
            if token is None or token.kind != "word" or token.text.lower() not in FILLERS:
                break
            ahead += 1
        index = self.index + ahead
        token = self.peek(ahead)
        if token is None:
            return False
        if is_operand_start(self.tokens, index, self.end):
            return True
        if token.kind == "letter":
            return token.text in self.letters
        if token.text in ("-", "+"):
            return is_operand_start(self.tokens, index + 1, self.end) or self._is_letter(index + 1)
        return False

    def _is_letter(self, index: int) -> bool:
        return (
            index < self.end
            and self.tokens[index].kind == "letter"
            and self.tokens[index].text in self.letters
        )

    def operator(self) -> tuple[str, int]:
        """The binary operator that comes next, and how many tokens spell it; ("", 0) if none."""
        token = self.peek()
        if token is None:
            return "", 0
        if token.kind == "operator":
            if token.text in "+-*/^":
                return token.text, 1
            return "", 0
        if token.kind == "letter" and token.text in "xX" and self.is_times_sign():
            return "*", 1
        if token.kind == "word":
            word = token.text.lower()
            if word in WORD_OPERATORS:
                return WORD_OPERATORS[word], 1
            if word in ("divided", "multiplied"):
                follower = self.peek(1)
                if follower is not None and follower.text == "by":
                    return "/" if word == "divided" else "*", 2
            if word == "of" and self.operand_follows(1):
                return "of", 1
        return "", 0

    def is_times_sign(self) -> bool:
        """Whether the letter x that comes next multiplies."""
        token, follower = self.tokens[self.index], self.peek(1)
        if not self.operand_follows(1) or follower is None:
            return False
        # "2x (3 + 4)" is a product with the variable x; "2 x (3 + 4)" and "2x3" are not.
        return token.text not in self.letters or (token.tight == follower.tight and follower.kind == "number")

    def unit(self) -> bool:
        """Read a run of unit words; False if there is none."""
        words = 0
        first = self.index
        while words < _MAX_UNIT_WORDS:
            width = self._unit_width()
            if not width:
                break
            self.index += width
            words += 1
        clause = self._clause_width()
        self.index += clause
        if clause or (words > _SURE_UNIT_WORDS and self.operator()[0]):
            self.parse.doubt = self.parse.doubt or "many words between the numbers"
        self._note_units(first)
        return self.index > first

    def _note_units(self, first: int) -> None:
        """Note the unit words behind a number, short units, and exponents with their unit."""
        units = self.parse.units
        for token in self.tokens[first : self.index]:
            if token.kind == "word" or (token.kind == "letter" and token.text in SHORT_UNITS):
                units.append(token.text.lower())
            elif token.kind == "number" and units:
                units[-1] += f"^{token.text}"

    def _clause_width(self) -> int:
        """How many words a clause behind a unit takes, as in "pens that he gave away + 3"."""
        for ahead in range(_MAX_CLAUSE_WORDS):
            token = self.peek(ahead)
            if token is None:
                return ahead if self.to_the_end and self.parse.operators else 0
            if token.kind == "operator" and ahead and token.text in "+-*/" and not token.tight:
                return ahead if self.operand_follows(ahead + 1) else 0
            if token.kind != "word":
                return 0
        return 0

    def _unit_width(self) -> int:
        """How many tokens the next unit word takes; 0 if none comes."""
        token = self.peek()
        if token is None:
            return 0
        if token.kind == "word":
            return self._word_width(token)
        if token.kind == "letter":
            if token.text in self.letters or (token.text in "xX" and self.is_times_sign()):
                return 0
            if token.text not in SHORT_UNITS and token.tight:
                return 0
            return 3 if self._exponent_follows() else 1
        follower, third = self.peek(1), self.peek(2)
        if token.text == "/" and follower is not None and follower.kind in ("word", "letter"):
            unit = follower.text.lower() not in BREAK_WORDS and follower.text not in self.letters
            return 2 if unit else 0
        if token.text == "(" and follower is not None and third is not None:  # "5 (pens)"
            return 3 if follower.kind == "word" and third.text == ")" else 0
        return 0

    def _exponent_follows(self) -> bool:
        power, exponent = self.peek(1), self.peek(2)
        return (
            power is not None and exponent is not None and power.text == "^" and exponent.text in ("2", "3")
        )

    def _word_width(self, token: Token) -> int:
        word = token.text.lower()
        if word in BREAK_WORDS or word in FUNCTIONS:
            return 0
        if self.operator()[0] and self.operand_follows(self.operator()[1]):
            return 0
        if self._exponent_follows():
            return 3  # "cm^2"
        if (
            token.tight
            and len(word) < 3
            and self.tokens[self.index - 1].kind == "number"
            and word not in SHORT_UNITS
        ):
            raise UnreadableError  # letters that belong to the number, as in "3ab"
        return 1

    def skip_fillers(self) -> None:
        """Pass over words between an operator and its operand, as in "+ another 3"."""
        for _ in range(_MAX_FILLERS):
            token = self.peek()
            if token is None or token.kind != "word":
                return
            word = token.text.lower()
            if word not in FILLERS and word not in APPROXIMATORS:
                return
            self.index += 1
            if word in APPROXIMATORS:
                self.parse.approximate = True
            else:
                self.parse.doubt = self.parse.doubt or f'the word "{word}" before a number'
