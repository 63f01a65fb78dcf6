r"""Read an answer as a typed value: a quantity, a list, an interval, a matrix, an equation, words.

A text may allow several readings ("1,234" is a number or a list), so :func:`read_answer` returns all that
make sense. Nothing is evaluated here.
"""

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from itertools import pairwise

from latentseek_agents.tools._answers.expression import (
    FUNCTIONS,
    ExpressionError,
    Node,
    Token,
    negated,
    number,
    parse_tokens,
    tokenize,
)
from latentseek_agents.tools._answers.moments import moment_of
from latentseek_agents.tools._answers.notation import plain_notation
from latentseek_agents.tools._answers.quantities import Scalar, Unit, read_scalar, unit_of
from latentseek_agents.tools._answers.values import (
    EVERYTHING,
    INFINITY,
    Combination,
    Congruence,
    Group,
    Interval,
    Ratio,
    Relation,
    Value,
    Words,
)
from latentseek_agents.tools._answers.wordings import folded, wordings
from latentseek_agents.tools._maths.number_words import ordinal_number

_DEEPEST = 8
_MOST_ITEMS = 64
_OPENING = frozenset(("(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil"))
_CLOSING = frozenset((")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil"))
_TUPLES = {("(", ")"): "tuple", ("\\langle", "\\rangle"): "tuple", ("[", "]"): "square"}
_RELATIONS = {"=": "=", "==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "!=": "!=", "\\approx": "="}
# 17 R 2, 17 remainder 2
_REMAINDER = re.compile(
    r"(\d{1,40}),? ?(?:R|(?<= )r(?= )|(?:with )?(?:a )?rem(?:ainder|\.)?(?: of)?) ?(\d{1,40})"
)
# The first one that stands in a text is done last.
_SET_OPERATIONS = {"union": ("\\cup", "U"), "intersection": ("\\cap",), "difference": ("\\setminus",)}
_MOST_CELLS = 256
_LARGEST_DETERMINANT = 4
_DETERMINANTS = ("vmatrix", "Vmatrix")
_MATRICES = ("pmatrix", "bmatrix", "Bmatrix", "matrix", "smallmatrix", "array", *_DETERMINANTS)
_SYSTEMS = frozenset(("cases", "dcases", "rcases", "aligned", "align", "align*", "gathered", "split"))
_CONDITION_WORDS = ("if", "when", "for", "where", "while", ",")
_ELSE = ("otherwise", "else", "elsewhere")
_Cells = list[list[list[Token]]]
_Read = Callable[[Sequence[Token]], Value]


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
            return [moment, Words(folded(plain))]
    if plain in ("\\emptyset", "\\{ \\}", "\\{\\}"):
        return [Group("set", ()), Words("no solution")]
    words = Words(folded(plain))
    if plain == "\\reals" or words.text == "all real numbers":
        return [EVERYTHING, Words("all real numbers")]
    if match := _REMAINDER.fullmatch(plain):
        return [Group("remainder", tuple(Scalar(number(int(part))) for part in match.groups())), words]
    if ordinal := _ordinal(plain):
        readings.append(ordinal)
    for wording in wordings(plain):
        for grouped in (True, False):
            # "1,234" may be a list of two numbers, "1,000" is none.
            if not grouped and (",0" in wording or not re.search(r"\d,\d{3}", wording)):
                break
            try:
                value = _Reader(wording, tokenize(wording, grouped=grouped)).read()
            except (ValueError, RecursionError):
                continue
            if value not in readings:
                readings.append(value)
    return [*readings, words]


def _ordinal(plain: str) -> Scalar | None:
    """The place in an order that a text names, with what is ordered: "3rd floor"."""
    place, noun = ordinal_number(plain) or (0, "")
    unit = unit_of(noun) if noun else Unit()
    if not place or unit is None or unit.dimension or (noun and not noun.replace(" ", "").isalpha()):
        return None
    return Scalar(number(place), Unit(dimension=(("ordinal", 1),), nouns=unit.nouns - {"place", "position"}))


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
        for attempt in (
            self.combination,
            self.compound,
            self.series,
            self.congruence,
            self.relation,
            self.bracketed,
            self.environment,
            self.ratio,
        ):
            value = attempt()
            if value is not None:
                return value
        return self.scalar()

    def inner(self, tokens: Sequence[Token]) -> "_Reader":
        return _Reader(self.text, tokens, self.depth + 1)

    def below(self, tokens: Sequence[Token]) -> Value:
        return self.inner(tokens).read()

    def written(self, tokens: Sequence[Token]) -> Words:
        return Words(folded(self.text[tokens[0].start : tokens[-1].end]))

    def unwrap(self) -> None:
        """Drop braces around the whole, and separators at its ends."""
        while len(self.tokens) >= 2 and self.tokens[0].text == "{" and self.closes(0) == len(self.tokens) - 1:
            if len(self.tokens) > 3 and self.tokens[1].kind == "word" and self.tokens[2].text in ("|", ":"):
                # {x | x < 2} lost its backslashes.
                self.tokens = [
                    replace(self.tokens[0], text="\\{"),
                    *self.tokens[1:-1],
                    replace(self.tokens[-1], text="\\}"),
                ]
                return
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

    def split(self, *separators: str) -> list[list[Token]]:
        """The tokens between the separators that stand outside all brackets and environments."""
        return self.parted(separators)[0]

    def parted(self, separators: Container[str]) -> tuple[list[list[Token]], list[str]]:
        """The tokens between separators, and these."""
        parts: list[list[Token]] = [[]]
        between: list[str] = []
        level = 0
        for token in self.tokens:
            level += token.text in _OPENING or token.text == "\\begin"
            level -= token.text in _CLOSING or token.text == "\\end"
            if level == 0 and (token.text in separators or token.text.casefold() in separators):
                parts.append([])
                between.append(token.text)
            else:
                parts[-1].append(token)
        if len(parts) > _MOST_ITEMS:
            raise ExpressionError(f"the answer has {len(parts)} parts, more than {_MOST_ITEMS}")
        return parts, between

    def combination(self) -> Value | None:
        """Sets with signs of union, intersection or difference between them."""
        if [token.text for token in self.tokens] == ["\\reals"]:
            return EVERYTHING
        for kind, signs in _SET_OPERATIONS.items():
            parts = self.split(*signs)
            if len(parts) > 1 and all(parts):
                return Combination(kind, tuple(map(self.below, parts)))
        return None

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
        first, *others = scalars
        falling = all(a.unit.factor > b.unit.factor for a, b in pairwise(scalars))
        measured = all(s.unit.dimension and s.unit.dimension == first.unit.dimension for s in scalars)
        if not (falling and measured):
            return None
        total = first.node
        for scalar in others:
            share = number(scalar.unit.factor / first.unit.factor)
            total = Node("add", (total, Node("multiply", (share, scalar.node))))
        return replace(first, node=total)

    def series(self) -> Value | None:
        """Values with commas, "and" or "or" between them."""
        parts = self.split(",", ";", "and", "or", "\\\\")
        if len(parts) == 1:
            return None
        items = self.words(parts) or [self.below(part) for part in parts if part]
        if len(items) == 1:
            return items[0]
        words = {token.text.casefold() for token in self.tokens}
        relations = [item for item in items if isinstance(item, Relation)]
        if len(relations) == len(items):
            signs = set().union(*(relation.signs for relation in relations))
            together = "and" in words and "," not in words and "=" not in signs
            if len({relation.sides[0] for relation in relations}) == 1 and (signs == {"!="} or together):
                return Combination("intersection", tuple(items))
            if "or" in words and all(set(relation.signs) - {"=", "!="} for relation in relations):
                return Combination("union", tuple(items))
        return Group("list", tuple(_flattened(items)))

    def words(self, parts: list[list[Token]]) -> list[Value]:
        """The parts of a list of names; none if anything else is among them."""
        if not all(part and all(t.kind == "word" and len(t.text) > 2 for t in part) for part in parts):
            return []
        return [self.written(part) for part in parts]

    def congruence(self) -> Value | None:
        if not any(token.text in ("\\pmod", "\\equiv") for token in self.tokens):
            return None
        parts = self.split("\\pmod", "\\bmod")
        if len(parts) != 2 or not all(parts):
            raise ExpressionError("a congruence needs a modulus")
        sides = self.inner(parts[0]).split("\\equiv", "=")
        if len(sides) > 2 or not all(sides):
            raise ExpressionError("a congruence needs two sides")
        label = self.below(sides[0]) if len(sides) == 2 else None
        return Congruence(label, parse_tokens(sides[-1]), parse_tokens(parts[1]))

    def relation(self) -> Value | None:
        if self.tokens[0].text == "{" or "\\in" in (token.text for token in self.tokens[:6]):
            sides = self.split("\\in")
            if len(sides) == 2 and all(sides):
                return self.below(sides[1])
        parts, signs = self.parted(_RELATIONS)
        if not signs:
            return None
        signs = [_RELATIONS[sign] for sign in signs]
        if not parts[0] and signs == ["="]:
            return self.below(parts[1])
        if not all(parts):
            raise ExpressionError("a relation lacks a side")
        return Relation(tuple(map(self.side, parts)), tuple(signs))

    def side(self, tokens: list[Token]) -> Value:
        if _is_phrase(tokens):
            return self.written(tokens)
        try:
            return self.below(tokens)
        except ValueError:
            if any(token.kind == "number" for token in tokens):
                raise
            return self.written(tokens)

    def bracketed(self) -> Value | None:
        opening, closing = self.tokens[0].text, self.tokens[-1].text
        if opening not in _OPENING or len(self.tokens) < 2 or self.closes(0) != len(self.tokens) - 1:
            return None
        if opening == "\\{" and closing == "\\}":
            return self.set_of()
        parts = self.inner(self.tokens[1:-1]).split(",", ";")
        if len(parts) == 1:
            return self.below(self.tokens[1:-1]) if opening == "(" and closing == ")" else None
        if not all(parts):
            raise ExpressionError("a bracket lacks an item")
        items = tuple(self.below(part) for part in parts)
        if len(items) == 2 and (interval := _interval(items, opening, closing)):
            return interval
        kind = _TUPLES.get((opening, closing))
        if kind is None:
            raise ExpressionError(f"{opening!r} is closed by {closing!r}")
        return Group(kind, items)

    def set_of(self) -> Value:
        inner = self.inner(self.tokens[1:-1])
        condition = inner.split("|", ":")
        if len(condition) == 2 and all(condition) and len(condition[0]) <= 3:
            return self.below(condition[1])
        items = [self.below(part) for part in inner.split(",", ";") if part]
        return Group("set", tuple(_flattened(items)))

    def environment(self) -> Value | None:
        """A matrix, its determinant, a system of equations or a function by cases."""
        start, end = _find(self.tokens, "\\begin"), _find(self.tokens, "\\end")
        if start < 0:
            return None
        if end < start:
            raise ExpressionError("an environment has no end")
        before, body = self.tokens[:start], self.tokens[start:end]
        name_end = _find(body, "}")
        kind = "".join(token.text for token in body[2:name_end])
        content, after = body[name_end + 1 :], self.tokens[end + name_end + 1 :]
        if kind == "array" and content and content[0].text == "{":
            content = content[_find(content, "}") + 1 :]
        cells = _cells(content)
        brace = [token.text for token in before] == ["\\{"] and not after
        if kind in _SYSTEMS or (kind == "array" and brace):
            if (before and not brace) or after:
                raise ExpressionError("something stands beside the system")
            return _system(cells, self.below)
        if kind not in _MATRICES:
            raise ExpressionError(f"{kind!r} is no matrix")
        return _matrix(kind, before, _parsed(cells), "".join(token.text for token in after))

    def ratio(self) -> Value | None:
        parts = self.split(":", "to")
        if len(parts) == 1 or not all(parts):
            return None
        return Ratio(tuple(parse_tokens(part) for part in parts))

    def scalar(self) -> Value:
        scalar = read_scalar(self.text, self.tokens)
        both = _both_signs(scalar.node)
        if len(both) == 1:
            return scalar
        return Group("list", tuple(replace(scalar, node=node) for node in both))


def _is_phrase(tokens: Sequence[Token]) -> bool:
    """Whether tokens are words of a sentence and no product of letters."""
    if len(tokens) < 2 or any(token.kind != "word" or token.text in FUNCTIONS for token in tokens):
        return False
    return any(len(token.text) > 2 for token in tokens)


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

    def chosen(sign: str) -> Node:
        """The expression with the upper or the lower signs; those of ∓ go the other way."""

        def change(part: Node) -> Node:
            if part.kind != "plus_minus":
                return part
            left, right = part.args
            return Node("add", (left, right if part.name == sign else negated(right)))

        return node.mapped(change)

    return [chosen("pm"), chosen("mp")]


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
    if mixed or any(end.node.has("constant", INFINITY.name) for end in (low, high)):
        return Interval(low.node, high.node, opening == "[", closing == "]")
    return None


def _find(tokens: Sequence[Token], *texts: str) -> int:
    """The place of the first token that is one of some; -1 if none is."""
    return next((index for index, token in enumerate(tokens) if token.text in texts), -1)


def _matrix(kind: str, before: list[Token], rows: tuple[tuple[Node, ...], ...], after: str) -> Value:
    determinant = kind in _DETERMINANTS
    if before and before[-1].text in ("(", "[", "|") and after[:1] in (")", "]", "|"):
        determinant = determinant or before[-1].text == "|"
        before, after = before[:-1], after[1:]
    if before and before[-1].text in ("\\det", "det"):
        determinant, before = True, before[:-1]
    if after in ("^T", "^{T}", "^\\top", "^{\\top}"):
        rows = tuple(zip(*rows, strict=True))
    elif after:
        raise ExpressionError("something stands behind the matrix")
    factor = number(1)
    if [token.text for token in before] == ["-"]:
        factor = number(-1)
    elif before:
        factor = parse_tokens([token for token in before if token.text not in ("\\cdot", "\\times", "*")])
    if not determinant:
        cells = [tuple(Scalar(_multiplied(factor, cell)) for cell in row) for row in rows]
        return Group("square", tuple(Group("square", row) for row in cells))
    if len(rows) != len(rows[0]) or len(rows) > _LARGEST_DETERMINANT:
        raise ExpressionError("the determinant is not square, or too large")
    return Scalar(_multiplied(factor, _determinant(rows)))


def _multiplied(factor: Node, node: Node) -> Node:
    return node if factor == number(1) else Node("multiply", (factor, node))


def _determinant(rows: tuple[tuple[Node, ...], ...]) -> Node:
    """The determinant, expanded along the first row."""
    if len(rows) == 1:
        return rows[0][0]
    total = number(0)
    for column, factor in enumerate(rows[0]):
        minor = tuple(row[:column] + row[column + 1 :] for row in rows[1:])
        term = Node("multiply", (factor, _determinant(minor)))
        total = Node("add", (total, negated(term) if column % 2 else term))
    return total


def _system(cells: _Cells, read: _Read) -> Value:
    """Equations that hold together, or a function by cases."""
    rows = [_split_condition(row) for row in cells]
    if all(condition for _, condition in rows) and len(rows) > 1:
        conditions = [_condition(condition, read) for _, condition in rows]
        named = [condition for condition in conditions if condition]
        others = Combination("difference", (EVERYTHING, *named))
        values = [read(tokens) for tokens, _ in rows]
        cases = zip(values, (condition or others for condition in conditions), strict=True)
        return Group("set", tuple(Group("case", case) for case in cases))
    items = [read([token for cell in row for token in cell]) for row in cells]
    if not all(isinstance(item, Relation) for item in items):
        raise ExpressionError("a system has a row that is no equation")
    return Group("list", tuple(items))


def _split_condition(row: list[list[Token]]) -> tuple[list[Token], list[Token]]:
    """A row of a function by cases, as the expression and its condition, which may be missing."""
    tokens = [token for cell in row for token in cell]
    place = _find(tokens, *_CONDITION_WORDS, *_ELSE)
    if len(row) == 2 and all(row) and row[1][0].text not in _RELATIONS and row[0][-1].text not in _RELATIONS:
        return row[0], row[1]
    if place > 0:
        return tokens[:place], tokens[place:]
    return tokens, []


def _condition(tokens: list[Token], read: _Read) -> Value | None:
    """The condition of a case; None stands for all other cases."""
    while tokens and tokens[0].text in _CONDITION_WORDS:
        tokens = tokens[1:]
    if tokens and tokens[0].text in _ELSE:
        return None
    return read(tokens)


def _cells(tokens: Sequence[Token]) -> _Cells:
    rows: _Cells = [[[]]]
    for token in tokens:
        if token.text == "\\\\":
            rows.append([[]])
        elif token.text == "&":
            rows[-1].append([])
        elif token.text != "\\hline":
            rows[-1][-1].append(token)
    if not any(rows[-1]):
        rows.pop()
    if not rows or sum(map(len, rows)) > _MOST_CELLS:
        raise ExpressionError("there are no cells, or too many")
    return rows


def _parsed(cells: _Cells) -> tuple[tuple[Node, ...], ...]:
    if len({len(row) for row in cells}) != 1:
        raise ExpressionError("the rows of a matrix differ in length")
    return tuple(tuple(parse_tokens(cell) for cell in row) for row in cells)
