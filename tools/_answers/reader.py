r"""Read an answer as a typed value: a quantity, a list, an interval, a matrix, an equation, words.

A text may allow several readings ("1,234" is a number or a list), so :func:`read_answer` returns all that
make sense. Nothing is evaluated here.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from latentseek_agents.tools._answers.environments import nested_rows, read_environment
from latentseek_agents.tools._answers.expression import ExpressionError, Node, number, parse_tokens
from latentseek_agents.tools._answers.expression_tokens import FUNCTIONS, Token, tokenize
from latentseek_agents.tools._answers.moments import moment_of
from latentseek_agents.tools._answers.notation import plain_notation
from latentseek_agents.tools._answers.prose import folded
from latentseek_agents.tools._answers.quantities import Unit, unit_of
from latentseek_agents.tools._answers.scalars import Scalar, read_scalar
from latentseek_agents.tools._answers.values import (
    EVERYTHING,
    Congruence,
    Difference,
    Group,
    Intersection,
    Interval,
    Ratio,
    Relation,
    Union,
    Value,
    Words,
)
from latentseek_agents.tools._answers.wordings import wordings
from latentseek_agents.tools._number_words import ordinal_number

__all__ = ["read_answer"]

_DEEPEST = 8
_MOST_ITEMS = 64
_OPENING = frozenset(("(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil"))
_CLOSING = frozenset((")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil"))
_RELATIONS = {"=": "=", "==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "!=": "!=", "\\approx": "="}
# 17 R 2, 17 remainder 2
_REMAINDER = re.compile(
    r"(\d{1,40}),? ?(?:R|(?<= )r(?= )|(?:with )?(?:a )?rem(?:ainder|\.)?(?: of)?) ?(\d{1,40})"
)
_SET_OPERATIONS: tuple[tuple[tuple[str, ...], type[Union | Intersection | Difference]], ...] = (
    (("\\cup", "U"), Union),
    (("\\cap",), Intersection),
    (("\\setminus",), Difference),
)


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
    found = ordinal_number(plain)
    if found is None:
        return None
    unit = unit_of(found[1]) if found[1] else Unit()
    if unit is None or unit.dimension or (found[1] and not found[1].replace(" ", "").isalpha()):
        return None
    return Scalar(
        number(found[0]), Unit(dimension=(("ordinal", 1),), nouns=unit.nouns - {"place", "position"})
    )


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
            self.union,
            self.compound,
            self.series,
            self.congruence,
            self.relation,
            self.bracketed,
            self.environment,
        ):
            value = attempt()
            if value is not None:
                return value
        return self.ratio() or self.scalar()

    def below(self, tokens: Sequence[Token]) -> Value:
        return _Reader(self.text, tokens, self.depth + 1).read()

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
        if self.tokens[0].text == "\\reals" and len(self.tokens) == 1:
            return EVERYTHING
        for signs, kind in _SET_OPERATIONS:
            parts = self.split(lambda token, signs=signs: token.text in signs)  # type: ignore[misc]
            if len(parts) > 1 and all(parts):
                return kind(tuple(self.below(part) for part in parts))
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
        relations = [item for item in items if isinstance(item, Relation)]
        if len(relations) == len(items) and len({r.sides[0] for r in relations}) == 1:
            if all(relation.signs == ("!=",) for relation in relations):
                return Intersection(tuple(items))
            if (
                "and" in words
                and "," not in words
                and not any("=" in relation.signs for relation in relations)
            ):
                return Intersection(tuple(items))
        ordered = [relation for relation in relations if set(relation.signs) - {"=", "!="}]
        if len(ordered) == len(items) and "or" in words:
            return Union(tuple(items))
        return Group("list", tuple(_flattened(items)))

    def words(self, parts: list[list[Token]]) -> list[Value]:
        """The parts of a list of names; none if anything else is among them."""
        if not all(part and all(t.kind == "word" and len(t.text) > 2 for t in part) for part in parts):
            return []
        return [Words(folded(self.text[part[0].start : part[-1].end])) for part in parts]

    def congruence(self) -> Value | None:
        texts = [token.text for token in self.tokens]
        if "\\pmod" not in texts and "\\equiv" not in texts:
            return None
        parts = self.split(lambda token: token.text in ("\\pmod", "\\bmod"))
        if len(parts) != 2 or not all(parts):
            raise ExpressionError("a congruence needs a modulus")
        inner = _Reader(self.text, parts[0], self.depth + 1)
        sides = inner.split(lambda token: token.text in ("\\equiv", "="))
        if len(sides) > 2 or not all(sides):
            raise ExpressionError("a congruence needs two sides")
        label = self.below(sides[0]) if len(sides) == 2 else None
        return Congruence(label, parse_tokens(sides[-1]), parse_tokens(parts[1]))

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
        if not parts[0] and signs == ["="]:
            return self.below(parts[1])
        if not all(parts):
            raise ExpressionError("a relation lacks a side")
        return Relation(tuple(self.side(part) for part in parts), tuple(signs))

    def side(self, tokens: list[Token]) -> Value:
        if _is_phrase(tokens):
            return Words(folded(self.text[tokens[0].start : tokens[-1].end]))
        try:
            return self.below(tokens)
        except ValueError:
            text = self.text[tokens[0].start : tokens[-1].end]
            if any(token.kind == "number" for token in tokens):
                raise
            return Words(folded(text))

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
        return nested_rows(items) or Group(kind, items) if kind == "square" else Group(kind, items)

    def set_of(self) -> Value:
        inner = _Reader(self.text, self.tokens[1:-1], self.depth + 1)
        condition = inner.split(lambda token: token.text in ("|", ":"))
        if len(condition) == 2 and all(condition) and len(condition[0]) <= 3:
            return self.below(condition[1])
        if not inner.tokens:
            return Group("set", ())
        items = [self.below(part) for part in inner.split(lambda token: token.text in (",", ";")) if part]
        return Group("set", tuple(_flattened(items)))

    def environment(self) -> Value | None:
        return read_environment(self.tokens, self.below)

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
