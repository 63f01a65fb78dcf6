r"""Read an answer as a typed value: a quantity, a list, an interval, a matrix, an equation, words.

A text may allow several readings ("1,234" is a number or a list), so :func:`read_answer` returns all that
make sense. Nothing is evaluated here.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

from latentseek_agents.tools.expression import ExpressionError, Node, number, parse_tokens
from latentseek_agents.tools.expression_tokens import Token, tokenize
from latentseek_agents.tools.moments import Moment, moment_of
from latentseek_agents.tools.notation import plain_notation
from latentseek_agents.tools.number_words import digits_for_words
from latentseek_agents.tools.scalars import Scalar, read_scalar

__all__ = ["Group", "Interval", "Matrix", "Ratio", "Relation", "Union", "Value", "Words", "read_answer"]

_DEEPEST = 8
_MOST_ITEMS = 64
_OPENING = frozenset(("(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil"))
_CLOSING = frozenset((")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil"))
_RELATIONS = {"=": "=", "==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "!=": "!=", "\\approx": "="}
_ENVIRONMENTS = (
    "pmatrix bmatrix Bmatrix matrix smallmatrix array vmatrix Vmatrix cases aligned align gathered"
)
_MATRICES = frozenset(_ENVIRONMENTS.split())
_DETERMINANTS = frozenset(("vmatrix", "Vmatrix"))
_LONGEST_PROSE = 400
_MATHEMATICAL = frozenset("0123456789\\=<>+*/^_|{}[]%¤!√")
_SYNONYMS = {
    **dict.fromkeys(
        (
            "no solution",
            "no solutions",
            "none",
            "empty set",
            "no real solution",
            "no real solutions",
            "there is no solution",
            "there are no solutions",
            "null set",
        ),
        "no solution",
    ),
    **dict.fromkeys(
        ("undefined", "dne", "does not exist", "not defined", "limit does not exist"), "undefined"
    ),
    **dict.fromkeys(("all reals", "real numbers", "every real number"), "all real numbers"),
    **dict.fromkeys(("infinitely many", "infinite solutions"), "infinitely many solutions"),
    **dict.fromkeys(("mon", "monday"), "monday"),
    **dict.fromkeys(("tue", "tues", "tuesday"), "tuesday"),
    **dict.fromkeys(("wed", "wednesday"), "wednesday"),
    **dict.fromkeys(("thu", "thur", "thurs", "thursday"), "thursday"),
    **dict.fromkeys(("fri", "friday"), "friday"),
    **dict.fromkeys(("sat", "saturday"), "saturday"),
    **dict.fromkeys(("sun", "sunday"), "sunday"),
}


@dataclass(frozen=True, slots=True)
class Words:
    """Plain words, in a form in which case, articles and punctuation do not count."""

    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Several values; ``kind`` is ``list`` (no brackets), ``set``, ``tuple`` or ``square``."""

    kind: str
    items: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers between two ends."""

    low: Node
    high: Node
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Union:
    """What lies in any of its parts."""

    parts: tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of expressions; ``kind`` is ``matrix`` or ``determinant``."""

    rows: tuple[tuple[Node, ...], ...]
    kind: str = "matrix"


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides with the signs of relation between them."""

    sides: tuple["Value", ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """a : b : c."""

    parts: tuple[Node, ...]


_INFINITY = Node("constant", name="infinity")
_EVERYTHING = Interval(Node("negate", (_INFINITY,)), _INFINITY, low_closed=False, high_closed=False)
Value: TypeAlias = Words | Scalar | Group | Interval | Union | Matrix | Relation | Ratio | Moment


def read_answer(text: str) -> list[Value]:
    r"""The readings of an answer, the likeliest first; words are always among them.

    Example:
        >>> [type(reading).__name__ for reading in read_answer(r"\{1, 2\}")]
        ['Group', 'Words']
    """
    plain = plain_notation(text)
    readings: list[Value] = []
    if moment := moment_of(plain):
        readings.append(moment)
        if any(character.isalpha() for character in plain):
            return [moment, Words(_folded(plain))]
    if plain in ("\\emptyset", "\\{ \\}", "\\{\\}"):
        return [Group("set", ()), Words("no solution")]
    words = Words(_folded(plain))
    if plain == "\\reals" or words.text == "all real numbers":
        return [_EVERYTHING, Words("all real numbers")]
    plain = digits_for_words(plain)
    for grouped in (True, False):
        # "1,234" may be a list of two numbers, "1,000" is none.
        if not grouped and (",0" in plain or not re.search(r"\d,\d{3}", plain)):
            break
        try:
            value = _Reader(plain, tokenize(plain, grouped=grouped)).read()
        except (ValueError, RecursionError):
            continue
        if value not in readings:
            readings.append(value)
    return [*readings, words]


def _folded(plain: str) -> str:
    """Words without case, articles and punctuation; anything else as it is, for it may be mathematics."""
    if not _is_prose(plain):
        return re.sub(r"(?<!\d) | (?!\d)", "", plain)
    words = re.sub(r"[^\w\s]", " ", plain.casefold()).split()
    if len(words) == 2 and words[0] in ("option", "choice") and len(words[1]) == 1:
        return words[1]
    folded = " ".join([word for word in words if word not in ("the", "a", "an")] or words)
    return _SYNONYMS.get(folded, folded)


def _is_prose(plain: str) -> bool:
    """Whether a text is words; one letter is a variable, unless it can name a choice."""
    if len(plain) > _LONGEST_PROSE or plain.startswith("-") or not _MATHEMATICAL.isdisjoint(plain):
        return False
    runs = re.findall(r"[^\W\d_]+", plain)
    if runs and "-" in plain:
        return min(map(len, runs)) > 2
    return max(map(len, runs), default=0) > 1 or (len(runs) == 1 and runs[0].casefold() in "abcde")


class _Reader:
    """Reads a value from a run of tokens."""

    def __init__(self, text: str, tokens: Sequence[Token], depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise ExpressionError("the answer is nested too deeply")
        self.text = text
        self.tokens = list(tokens)
        self.depth = depth

    def read(self) -> Value:
        self.unwrap()
        if not self.tokens:
            raise ExpressionError("the answer is empty")
        for attempt in (self.union, self.compound, self.series, self.relation, self.bracketed, self.matrix):
            value = attempt()
            if value is not None:
                return value
        return self.ratio() or self.scalar()

    def below(self, tokens: Sequence[Token]) -> Value:
        return _Reader(self.text, tokens, self.depth + 1).read()

    def unwrap(self) -> None:
        """Drop braces around the whole, and separators at its ends."""
        while len(self.tokens) >= 2 and self.tokens[0].text == "{" and self.closes(0) == len(self.tokens) - 1:
            self.tokens = self.tokens[1:-1]
        while self.tokens and self.tokens[0].text in (",", ";", "\\\\", "\\approx"):
            self.tokens = self.tokens[1:]
        while self.tokens and self.tokens[-1].text in (",", ";", "\\\\"):
            self.tokens = self.tokens[:-1]

    def closes(self, start: int) -> int:
        """The index of the bracket that closes the one at ``start``, whatever its shape; -1 if none does."""
        level = 0
        for index in range(start, len(self.tokens)):
            text = self.tokens[index].text
            level += (text in _OPENING) - (text in _CLOSING)
            if level == 0:
                return index
        return -1

    def split(self, is_separator: Callable[[Token], bool]) -> list[list[Token]]:
        """The tokens between the separators that stand outside all brackets and environments."""
        parts: list[list[Token]] = [[]]
        level = 0
        for token in self.tokens:
            level += token.text in _OPENING or token.text == "\\begin"
            level -= token.text in _CLOSING or token.text == "\\end"
            if level == 0 and is_separator(token):
                parts.append([])
            else:
                parts[-1].append(token)
        if len(parts) > _MOST_ITEMS:
            raise ExpressionError(f"the answer has {len(parts)} parts, more than {_MOST_ITEMS}")
        return parts

    def union(self) -> Value | None:
        parts = self.split(lambda token: token.text in ("\\cup", "U"))
        if len(parts) == 1 or not all(parts):
            return None
        return Union(tuple(self.below(part) for part in parts))

    def compound(self) -> Value | None:
        """One quantity in several units: 5 feet 3 inches, 3 hours and 20 minutes."""
        pieces: list[list[Token]] = []
        for index, token in enumerate(self.tokens):
            if token.text in (",", "and") and pieces and self.tokens[index - 1].kind == "word":
                continue
            before = self.tokens[index - 1]
            if token.kind == "number" and (not pieces or before.kind == "word" or before.text == ","):
                pieces.append([])
            if not pieces:
                return None
            pieces[-1].append(token)
        if not 2 <= len(pieces) <= 4:
            return None
        try:
            scalars = [read_scalar(self.text, piece) for piece in pieces]
        except ValueError:
            return None
        first = scalars[0]
        falling = all(a.unit.factor > b.unit.factor for a, b in pairwise(scalars))
        measured = all(s.unit.dimension and s.unit.dimension == first.unit.dimension for s in scalars)
        if not (falling and measured):
            return None
        total = first.node
        for scalar in scalars[1:]:
            share = number(scalar.unit.factor / first.unit.factor)
            total = Node("add", (total, Node("multiply", (share, scalar.node))))
        return replace(first, node=total)

    def series(self) -> Value | None:
        """Values with commas, "and" or "or" between them."""
        words = {token.text.casefold() for token in self.tokens}
        parts = self.split(lambda token: token.text.casefold() in (",", ";", "and", "or", "\\\\"))
        if len(parts) == 1:
            return None
        items = self.words(parts) or [self.below(part) for part in parts if part]
        if len(items) == 1:
            return items[0]
        ordered = [item for item in items if isinstance(item, Relation) and set(item.signs) - {"=", "!="}]
        if len(ordered) == len(items) and "or" in words:
            return Union(tuple(items))
        return Group("list", tuple(_flattened(items)))

    def words(self, parts: list[list[Token]]) -> list[Value]:
        """The parts of a list of names; none if anything else is among them."""
        if not all(part and all(t.kind == "word" and len(t.text) > 2 for t in part) for part in parts):
            return []
        return [Words(_folded(self.text[part[0].start : part[-1].end])) for part in parts]

    def relation(self) -> Value | None:
        if self.tokens[0].text == "{" or "\\in" in (token.text for token in self.tokens[:6]):
            sides = self.split(lambda token: token.text == "\\in")
            if len(sides) == 2 and all(sides):
                return self.below(sides[1])
        signs: list[str] = []

        def is_sign(token: Token) -> bool:
            if token.text in _RELATIONS:
                signs.append(_RELATIONS[token.text])
            return token.text in _RELATIONS

        parts = self.split(is_sign)
        if not signs:
            return None
        if not parts[0] and len(parts) == 2:
            return self.below(parts[1])
        if not all(parts):
            raise ExpressionError("a relation lacks a side")
        return Relation(tuple(self.side(part) for part in parts), tuple(signs))

    def side(self, tokens: list[Token]) -> Value:
        try:
            return self.below(tokens)
        except ValueError:
            text = self.text[tokens[0].start : tokens[-1].end]
            if any(token.kind == "number" for token in tokens):
                raise
            return Words(_folded(text))

    def bracketed(self) -> Value | None:
        opening, closing = self.tokens[0].text, self.tokens[-1].text
        if opening not in _OPENING or len(self.tokens) < 2 or self.closes(0) != len(self.tokens) - 1:
            return None
        if opening == "\\{" and closing == "\\}":
            return self.set_of()
        inner = _Reader(self.text, self.tokens[1:-1], self.depth + 1)
        parts = inner.split(lambda token: token.text in (",", ";"))
        if len(parts) == 1:
            return self.below(self.tokens[1:-1]) if opening == "(" and closing == ")" else None
        if not all(parts):
            raise ExpressionError("a bracket lacks an item")
        items = tuple(self.below(part) for part in parts)
        if len(items) == 2 and (interval := _interval(items, opening, closing)):
            return interval
        kinds = {("(", ")"): "tuple", ("\\langle", "\\rangle"): "tuple", ("[", "]"): "square"}
        if (opening, closing) not in kinds:
            raise ExpressionError(f"{opening!r} is closed by {closing!r}")
        kind = kinds[opening, closing]
        return _nested_rows(items) or Group(kind, items) if kind == "square" else Group(kind, items)

    def set_of(self) -> Value:
        inner = _Reader(self.text, self.tokens[1:-1], self.depth + 1)
        condition = inner.split(lambda token: token.text in ("|", ":"))
        if len(condition) == 2 and all(condition) and len(condition[0]) <= 3:
            return self.below(condition[1])
        if not inner.tokens:
            return Group("set", ())
        items = [self.below(part) for part in inner.split(lambda token: token.text in (",", ";")) if part]
        return Group("set", tuple(_flattened(items)))

    def matrix(self) -> Value | None:
        start = next((i for i, token in enumerate(self.tokens) if token.text == "\\begin"), -1)
        if start < 0:
            return None
        before, body = self.tokens[:start], self.tokens[start:]
        if before and before[-1].text in ("(", "["):
            before, body = before[:-1], body[:-1]
        kind = body[2].text if len(body) > 2 else ""
        transposed = self.after_end(body)
        end = next(i for i, token in enumerate(body) if token.text == "\\end")
        content = body[4:end]
        if kind == "array" and content and content[0].text == "{":
            content = content[next(i for i, token in enumerate(content) if token.text == "}") + 1 :]
        if kind not in _MATRICES:
            raise ExpressionError(f"{kind!r} is no matrix")
        rows = _cells(content)
        if [token.text for token in before] == ["-"]:
            rows = tuple(tuple(Node("negate", (cell,)) for cell in row) for row in rows)
        elif before:
            factor = parse_tokens([token for token in before if token.text not in ("\\cdot", "\\times", "*")])
            rows = tuple(tuple(Node("multiply", (factor, cell)) for cell in row) for row in rows)
        rows = tuple(zip(*rows, strict=True)) if transposed else rows
        return Matrix(rows, "determinant" if kind in _DETERMINANTS else "matrix")

    def after_end(self, body: list[Token]) -> bool:
        """Whether the matrix is transposed; nothing else may stand behind it."""
        end = next((i for i, token in enumerate(body) if token.text == "\\end"), None)
        if end is None:
            raise ExpressionError("a matrix has no end")
        rest = "".join(token.text for token in body[end + 4 :])
        if rest not in ("", "^T", "^{T}", "^\\top", "^{\\top}", ")", "]"):
            raise ExpressionError("something stands behind the matrix")
        return rest.startswith("^")

    def ratio(self) -> Value | None:
        parts = self.split(lambda token: token.text in (":", "to"))
        if len(parts) == 1 or not all(parts):
            return None
        return Ratio(tuple(parse_tokens(part) for part in parts))

    def scalar(self) -> Value:
        scalar = read_scalar(self.text, self.tokens)
        both = _both_signs(scalar.node)
        if len(both) == 1:
            return scalar
        return Group("list", tuple(replace(scalar, node=node) for node in both))


def _flattened(items: Sequence[Value]) -> list[Value]:
    """The items, those of an inner ± among them."""
    result: list[Value] = []
    for item in items:
        result.extend(item.items if isinstance(item, Group) and item.kind == "list" else [item])
    return result


def _both_signs(node: Node) -> list[Node]:
    """The expressions that one with ± stands for."""
    if not node.has("plus_minus"):
        return [node]

    def chosen(upper: bool) -> Callable[[Node], Node]:
        def change(part: Node) -> Node:
            if part.kind != "plus_minus":
                return part
            left, right = part.args
            return Node("add", (left, right if (part.name == "pm") == upper else Node("negate", (right,))))

        return change

    return [node.mapped(chosen(upper=True)), node.mapped(chosen(upper=False))]


def _interval(items: Sequence[Value], opening: str, closing: str) -> Interval | None:
    """An interval if the brackets or an infinite end say so."""
    low, high = items
    if (
        not (isinstance(low, Scalar) and isinstance(high, Scalar))
        or opening not in "(["
        or closing not in ")]"
    ):
        return None
    mixed = (opening, closing) in (("(", "]"), ("[", ")"))
    if mixed or low.node.has("constant", "infinity") or high.node.has("constant", "infinity"):
        return Interval(low.node, high.node, opening == "[", closing == "]")
    return None


def _nested_rows(items: Sequence[Value]) -> Matrix | None:
    rows: list[tuple[Node, ...]] = []
    for item in items:
        if not (isinstance(item, Group) and item.kind == "square"):
            return None
        rows.append(tuple(cell.node for cell in item.items if isinstance(cell, Scalar)))
        if len(rows[-1]) != len(item.items):
            return None
    return Matrix(tuple(rows))


def _cells(tokens: Sequence[Token]) -> tuple[tuple[Node, ...], ...]:
    rows: list[list[list[Token]]] = [[[]]]
    for token in tokens:
        if token.text == "\\\\":
            rows.append([[]])
        elif token.text == "&":
            rows[-1].append([])
        elif token.text != "\\hline":
            rows[-1][-1].append(token)
    if not any(rows[-1]):
        rows.pop()
    if sum(map(len, rows)) > _MOST_ITEMS * 4 or len({len(row) for row in rows}) != 1:
        raise ExpressionError("the rows of a matrix differ in length, or there are too many cells")
    return tuple(tuple(parse_tokens(cell) for cell in row) for row in rows)
