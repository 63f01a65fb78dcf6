"""Tokens to equations: which tokens stand left and right of each relation sign.

Prose surrounds equations. Left of a sign the longest readable suffix counts, right of it the longest
readable prefix. Where the neighbourhood suggests that something was missed, the side carries a doubt.

Example:
    >>> [(c.start, c.end) for c in find_comparisons("She has 48/2 = 24 pens.")]
    [(8, 22)]
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, product

from latentseek_agents.tools._maths.words import (
    BREAK_WORDS,
    DISPUTED,
    FUNCTIONS,
    HYPOTHETICAL,
    LABELS,
    RETRACTIONS,
    SHORT_UNITS,
    conversion_factors,
)
from latentseek_agents.tools._steps.parser import (
    Parse,
    is_application,
    is_differential,
    is_operand_start,
    parse_at,
)
from latentseek_agents.tools._steps.tokens import END, Token, fold, token_at, tokenize
from latentseek_agents.tools._steps.words_before import doubt_of_words

_MAX_EQUATIONS = 400
_MAX_SIDE_TOKENS = 160
_MAX_STARTS = 16
_DISPUTE_REACH = 5
_DENIAL_REACH = 12
_DENIALS = frozenset(("not", "isn't", "doesn't", "don't", "never", "cannot", "can't"))
_CONGRUENT = frozenset(("≡", "\\equiv"))
_MODULO = frozenset(("\\pmod", "\\mod", "\\bmod", "mod", "modulo"))
_CROSSES = frozenset("✗✘❌")
_STRANGE_SIGNS = frozenset(("_", "|", "\\pmod", "\\mod", "\\bmod", "\\mid"))
# Where these stand, numbers or operators may have a meaning of their own: 7 + 1 = 10 in base 8.
_OTHER_MEANING = re.compile(
    r"\bin\s{1,3}base\b|\bbase[- ]?(?:\d|two\b|three\b|five\b|eight\b|twelve\b|sixteen\b)|\b(?:binary|octal|"
    r"hexadecimal|modul[oa]r?)\b|\bon\s{1,3}a\s{1,3}clock\b"
    r"|\b(?:let|define[sd]?|operation)\b[^=\n]{0,40}?\b[a-z]\s?[^\w\s=+/^().,:;$-]{1,2}\s?[a-z]\s?="
)


@dataclass(slots=True)
class Side:
    """One side of an equation.

    Args:
        tokens: All tokens of the text.
        start: Index of the side's first token.
        stop: Index after its last token, units included.
        parse: The expression, or None if it cannot be read.
        doubt: Why the reading may be wrong, or "".
    """

    tokens: list[Token]
    start: int
    stop: int
    parse: Parse | None
    doubt: str = ""


@dataclass(slots=True)
class Comparison:
    """Two sides with a relation sign between them.

    Args:
        left: What stands left of the sign.
        sign: ``=``, ``≈`` or ``≡``.
        right: What stands right of the sign.
        start: Offset of the first character.
        end: Offset after the last character.
        continues: The left side is the right side of the comparison before.
        labelled: A word stands directly before the left side.
        disputed: The text does not claim it ("... is wrong", "if ...").
        modulus: What ``≡`` is meant by; 0 beside other signs.
    """

    left: Side
    sign: str
    right: Side
    start: int
    end: int
    continues: bool = False
    labelled: bool = False
    disputed: bool = False
    modulus: int = 0

    @property
    def readings(self) -> "list[Comparison]":
        """Itself, and what it says if a side that can be read in two ways is read in the other one."""
        lefts, rights = [self.left, *_other(self.left)], [self.right, *_other(self.right)]
        if len(lefts) == len(rights) == 1:  # nearly always
            return [self]
        return [replace(self, left=left, right=right) for left, right in product(lefts, rights)]

    @property
    def parses(self) -> tuple[Parse, Parse] | None:
        """Both sides as read; None if one of them cannot be read."""
        left, right = self.left.parse, self.right.parse
        return None if left is None or right is None else (left, right)


def _other(side: Side) -> list[Side]:
    other = side.parse.other if side.parse is not None else None
    return [] if other is None else [replace(side, parse=other)]


def find_comparisons(text: str, functions: frozenset[str] = frozenset()) -> list[Comparison]:
    """The equations of a text in order, links of a chain ``a = b = c`` one by one.

    Args:
        text: A solution; plain text, Markdown or LaTeX.
        functions: Letters that name a function, beside those that the text defines.

    Returns:
        What stands around each ``=`` and ``≈``, whether it can be read or not; 400 at most.
    """
    redefined = _OTHER_MEANING.search(fold(text.lower()))
    strange = "numbers or signs may have another meaning here" if redefined else ""
    return list(islice(_comparisons(tokenize(text), strange, functions), _MAX_EQUATIONS))


def _comparisons(tokens: list[Token], strange: str, functions: frozenset[str]) -> Iterator[Comparison]:
    letters = _variables(tokens)
    functions = functions | _defined(tokens)
    first = 0
    for index, token in enumerate([*tokens, END]):
        if token.kind in ("break", "comma", "end"):
            yield from _Clause(tokens, first, index, letters, functions).comparisons(strange)
            first = index + 1


@dataclass(slots=True)
class _Clause:
    """The tokens from ``first`` up to ``last``, between two breaks or commas."""

    tokens: list[Token]
    first: int
    last: int
    letters: frozenset[str]
    functions: frozenset[str]

    def comparisons(self, strange: str) -> Iterator[Comparison]:
        """The equations of the clause; ``strange`` is a doubt about all of them, or ""."""
        tokens = self.tokens
        signs = [index for index in range(self.first, self.last) if tokens[index].kind == "relation"]
        edges = [self.first - 1, *signs, self.last]
        strange = strange or (self.strange_notation() if signs else "")
        previous: Side | None = None
        for number, sign in enumerate(signs[:_MAX_EQUATIONS]):
            modulus = self.modulus(sign)
            congruent = modulus > 0
            if tokens[sign].text not in ("=", "≈") and not congruent:
                previous = None
                continue
            chained = previous if previous and previous.parse and previous.stop == sign else None
            left = chained or self.left_side(edges[number] + 1, sign)
            unread = max(edges[number] + 1, previous.stop if previous and previous.parse else 0)
            left.doubt = left.doubt or ("" if chained else doubt_of_words(tokens, unread, left.start))
            right = self.right_side(sign + 1, edges[number + 2])
            left.doubt = left.doubt or ("" if congruent else strange) or self.doubt_claim(left.start, sign)
            if congruent and right.parse is not None:
                right.doubt = right.parse.doubt  # what follows is the modulus
            previous = right
            if left.stop > left.start and right.stop > right.start:
                before = token_at(tokens, left.start - 1) if left.start > self.first else END
                yield Comparison(
                    left=left,
                    sign="≡" if congruent else tokens[sign].text,
                    right=right,
                    start=tokens[left.start].start,
                    end=tokens[right.stop - 1].end,
                    continues=chained is not None,
                    labelled=before.kind in ("word", "letter", "opaque"),
                    disputed=self.is_disputed(left.start, right.stop),
                    modulus=modulus,
                )

    def modulus(self, sign: int) -> int:
        r"""The modulus behind a congruence, as in ``\pmod{7}`` or "(mod 7)"; 0 where there is none."""
        if self.tokens[sign].text not in _CONGRUENT:
            return 0
        for index in range(sign, self.last):
            if self.tokens[index].text in _MODULO:
                near = self.tokens[index + 1 : min(index + 4, self.last)]
                number = next((token.value for token in near if token.kind == "number"), 0)
                return number if isinstance(number, int) else 0
        return 0

    # -- the sides -------------------------------------------------------------------------------------

    def left_side(self, first: int, sign: int) -> Side:
        """The longest readable expression that ends at the sign."""
        lowest = max(first, sign - _MAX_SIDE_TOKENS)
        starts = [index for index in range(lowest, sign) if self.can_start(index, first, sign)]
        for start in starts[-_MAX_STARTS:]:
            parse = self.parse_at(start, sign, to_the_end=True)
            if parse is not None and parse.end == sign:
                doubt = parse.doubt or self.doubt_before(start, first)
                return Side(self.tokens, start, sign, parse, doubt)
        return Side(self.tokens, starts[-1] if starts else lowest, sign, None)

    def right_side(self, first: int, edge: int) -> Side:
        """The longest readable expression that starts at the sign."""
        stop = min(edge, first + _MAX_SIDE_TOKENS)
        parse = self.parse_at(first, stop)
        if parse is None:
            return Side(self.tokens, first, stop, None)
        return Side(self.tokens, first, parse.end, parse, parse.doubt or self.doubt_after(parse.end, edge))

    def parse_at(self, start: int, stop: int, *, to_the_end: bool = False) -> Parse | None:
        return parse_at(
            self.tokens, start, stop, letters=self.letters, functions=self.functions, to_the_end=to_the_end
        )

    def can_start(self, index: int, first: int, sign: int) -> bool:
        """Whether a left side may start at a token."""
        token, follower = self.tokens[index], token_at(self.tokens, index + 1, sign)
        before = self.tokens[index - 1] if index > first else END
        if token.kind == "operator":
            # A sign stands tight before its operand; a spaced minus has a left operand that went unread.
            if token.text != "-" or not follower.tight:
                return False
            if before is not END and (token.tight or before.kind not in ("word", "opaque")):
                return False
            return is_operand_start(self.tokens, index + 1, sign) or follower.text in self.letters
        if token.text == "(" and is_application(self.tokens, index - 1, self.functions):
            return False  # the argument alone
        variable = token.kind == "letter" and token.text in self.letters
        variable = variable or is_application(self.tokens, index, self.functions)
        if not variable and not is_operand_start(self.tokens, index, sign):
            return False
        if before.kind == "letter":
            return before.text not in self.letters
        if before.kind == "close":
            return self.is_aside(index - 1, first, tight=token.tight)
        # A dollar sign before a letter delimits a formula.
        return before.kind in ("end", "word", "opaque", "relation", "open") or (
            variable and before.kind == "currency"
        )

    def is_aside(self, closer: int, first: int, *, tight: bool) -> bool:
        """Whether what a bracket closes is no group of arithmetic.

        It is none if it was opened before a break or a comma, as in '{"reward": 0}', or holds words, ticks or
        a label such as "Step 1" alone.
        """
        depth = 0
        for index in range(closer, first - 1, -1):
            kind = self.tokens[index].kind
            depth += (kind == "close") - (kind == "open")
            if depth == 0:
                inside = self.tokens[index + 1 : closer]
                behind_name = self.tokens[index].tight and token_at(self.tokens, index - 1).kind != "end"
                labelled = bool(inside) and inside[0].word in LABELS
                words = all(
                    token.kind == "word"
                    or (token.kind == "letter" and token.text not in self.letters)
                    or (token.kind == "number" and labelled)
                    or (token.kind == "opaque" and _is_picture(token.text))
                    for token in inside
                )
                return words and not tight and not behind_name
        return not tight or self.tokens[closer].text != ")"

    # -- doubts ----------------------------------------------------------------------------------------

    def doubt_before(self, start: int, first: int) -> str:
        """What was missed before a side that starts at ``start``, and could have started at ``first``."""
        before, second = token_at(self.tokens, start - 1), token_at(self.tokens, start - 2)
        if start == first:
            if before.text == ":" and not before.tight and second.kind == "number":
                return "the colon before it may divide"
            comma = before.kind == "comma" and before.tight and self.tokens[first].tight
            return "a comma splits the number" if comma and second.kind == "number" else ""
        if before.kind in ("opaque", "letter"):
            return (
                ""
                if before.text in ("a", "A", "I") or _is_picture(before.text)
                else "something unread stands before it"
            )
        if before.kind != "word":
            return ""
        if before.word in LABELS:
            return "the number may be a label"
        nearest = self.tokens[max(first, start - 5) : start][::-1]
        stopper = next((token for token in nearest if token.kind != "word"), END)
        return "an operation before it could not be read" if stopper.kind == "operator" else ""

    def doubt_after(self, index: int, edge: int) -> str:
        """What was missed behind a side that ends before ``index``, and could have gone on to ``edge``."""
        tokens, last = self.tokens, self.last
        token, follower = token_at(tokens, index), token_at(tokens, index + 1)
        if index == edge:
            split = edge == last and token.kind == "comma" and token.tight
            return (
                "a comma splits the number" if split and follower.kind == "number" and follower.tight else ""
            )
        follower = token_at(tokens, index + 1, last)
        if token.kind == "number":
            return self.doubt_number(tokens[index - 1], follower)
        if token.word == "remainder":
            return "a remainder follows"
        if token.kind == "operator":
            dash = token.text == "-" and not token.tight and follower.kind not in ("letter", "opaque", "open")
            return "" if dash else "an operation after it could not be read"
        unread = token.kind in ("opaque", "command", "open") and token.tight
        unread = unread or token.text.lstrip("\\") in FUNCTIONS
        if (unread or token.kind == "letter") and token.text not in ("a", "I"):
            return "something unread follows"
        alone = token_at(tokens, index + 2, edge).kind not in ("operator", "currency")
        if token.word in ("and", "or", "to") and edge == last and alone:
            return "a second quantity follows" if follower.kind in ("number", "currency") else ""
        return ""

    def doubt_number(self, before: Token, follower: Token) -> str:
        """Whether a number behind a quantity belongs to it: "50 000", "1 hour 30 minutes"."""
        if before.kind in ("number", "currency"):
            attribute = follower.kind == "word" and follower.tight  # "16 4-packs"
            return "" if attribute else "another number follows directly"
        if follower.kind != "word" or before.kind != "word":
            return "another number follows"
        converts = conversion_factors([before.word, follower.word], currency=False)
        return "a second unit follows" if converts else ""

    def doubt_claim(self, start: int, sign: int) -> str:
        """Whether the text may ask, deny or take back what it says."""
        tokens, last = self.tokens, self.last
        if any(token.word in DISPUTED for token in tokens[max(self.first, start - _DENIAL_REACH) : start]):
            return "the text calls something wrong"
        for index in range(sign, min(last, sign + _MAX_SIDE_TOKENS)):
            token, follower = tokens[index], token_at(tokens, index + 1, last)
            if token.kind == "opaque" and not _CROSSES.isdisjoint(token.text):
                return "it is crossed"
            if token.word in _DENIALS and follower.kind not in ("number", "currency"):
                return "the text may deny it"
            if token.text == "-" and follower.text.lower() in RETRACTIONS:
                return "the text may take it back"
        if token_at(tokens, last).text == "?":
            return "the text may ask for it"
        behind = (token for token in tokens[last : last + 4] if token.kind not in ("break", "comma"))
        return "the text may take it back" if next(behind, END).word in RETRACTIONS else ""

    def strange_notation(self) -> str:
        """Whether notation gives the numbers another meaning: indices, bars, remainders."""
        for token in self.tokens[self.first : self.last]:
            if token.kind == "opaque" and token.text in _STRANGE_SIGNS:
                return "the notation is not plain arithmetic"
            if token.text in ("≡", "\\equiv") or token.word == "mod":
                return "the numbers are remainders"
        return ""

    def is_disputed(self, start: int, stop: int) -> bool:
        """Whether the text supposes the equation, or calls it wrong."""
        before = self.tokens[max(self.first, start - 2) : start]
        behind = self.tokens[stop : min(self.last, stop + _DISPUTE_REACH)]
        supposed = any(token.word in HYPOTHETICAL for token in before)
        return supposed or any(token.word in DISPUTED for token in behind)


def _is_picture(text: str) -> bool:
    """Whether a sign is an emoji or a tick, which mean nothing to an equation; a cross may deny it."""
    picture = all(unicodedata.category(sign) in ("So", "Mn", "Cf", "Sk") for sign in text)
    return picture and _CROSSES.isdisjoint(text)


def _variables(tokens: list[Token]) -> frozenset[str]:
    """The letters that the text uses as variables, not as units, articles or times signs."""
    letters: set[str] = set()
    per: set[tuple[str, str]] = set()
    functions: set[str] = set()
    for index, token in enumerate(tokens):
        if token.kind == "word" and is_differential(tokens, index):
            letters.add(token.text[1:])
        if token.kind != "letter" or token.text in letters:
            continue
        before, after = token_at(tokens, index - 1), token_at(tokens, index + 1)
        if after.text == "(" and after.tight and (token.text in "fgh" or token.text.isupper()):
            functions.add(token.text)  # f(x) and P(A); n(n + 1) is a product
        elif above := _unit_above(token, tokens, index):
            per.add((above, token.text))
        elif after.kind not in ("word", "opaque") and _is_variable(token, before, after, tokens, index):
            letters.add(token.text)
    # Where "m" is a variable, "6 m/s" is a quotient.
    letters |= {below for above, below in per if above in letters}
    return frozenset(letters - functions)


def _defined(tokens: list[Token]) -> frozenset[str]:
    """The functions that a text defines: f in "f(x) = 3x + 2"."""
    names: set[str] = set()
    for index in range(len(tokens) - 4):
        name, opener, letter, closer, sign = tokens[index : index + 5]
        if (
            sign.text == "="
            and (opener.text, closer.text) == ("(", ")")
            and name.kind == letter.kind == "letter"
        ):
            names |= {name.text} if opener.tight and name.text != letter.text else set()
    return frozenset(names)


def _unit_above(token: Token, tokens: list[Token], index: int) -> str:
    """The unit that stands over a letter behind a number, as in "70 km/h"; "" if it is no part of a unit."""
    slash, above, number = (token_at(tokens, index - back) for back in (1, 2, 3))
    tight = token.tight and slash.tight and slash.text == "/"
    if not tight or token.text not in SHORT_UNITS or number.kind != "number":
        return ""
    unit = above.kind == "word" or (above.text in SHORT_UNITS and not above.tight)
    # Nobody adds a bare number to a speed: "2 m/h + 3" is algebra.
    sign, summand, behind = (token_at(tokens, index + ahead) for ahead in (1, 2, 3))
    bare = summand.kind == "number" and behind.kind not in ("word", "letter", "command")
    if bare and sign.text in ("+", "-"):
        return ""
    return above.text if unit and above.word not in BREAK_WORDS else ""


def _is_variable(token: Token, before: Token, after: Token, tokens: list[Token], index: int) -> bool:
    behind_operand = before.kind in ("number", "percent", "word") or before.text in (")", "}", "]")
    if token.text in "xX" and behind_operand and is_operand_start(tokens, index + 1, len(tokens)):
        return False
    if before.kind == "number":
        return token.text not in SHORT_UNITS and token.tight
    leads = after.kind in ("relation", "close") or (after.kind == "operator" and after.text != "!")
    declared = before.text.lower() in ("let", "for", "variable") and token.text not in "aAI"
    return leads or declared or before.kind in ("operator", "relation", "open")
