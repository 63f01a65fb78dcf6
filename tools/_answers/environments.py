r"""Read what stands between ``\begin`` and ``\end``: matrices, determinants, systems, functions by cases."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from latentseek_agents.tools._answers.expression import ExpressionError, Node, number, parse_tokens
from latentseek_agents.tools._answers.expression_tokens import Token
from latentseek_agents.tools._answers.scalars import Scalar
from latentseek_agents.tools._answers.values import Group, Matrix, Piecewise, Relation, Value

__all__ = ["nested_rows", "read_environment"]

_MOST_CELLS = 256
_LARGEST_DETERMINANT = 4
_MATRICES = frozenset(
    ["pmatrix", "bmatrix", "Bmatrix", "matrix", "smallmatrix", "array", "vmatrix", "Vmatrix"]
)
_SYSTEMS = frozenset(("cases", "dcases", "rcases", "aligned", "align", "align*", "gathered", "split"))
_SIGNS = frozenset(("=", "<", ">", "<=", ">=", "!=", "\\approx"))
_CONDITION_WORDS = frozenset(("if", "when", "for", "where", "while", ","))
_ELSE = frozenset(("otherwise", "else", "elsewhere"))
_Cells: TypeAlias = list[list[list[Token]]]
_Read: TypeAlias = Callable[[Sequence[Token]], Value]


def read_environment(tokens: Sequence[Token], read: _Read) -> Value | None:
    """The value of tokens that hold one environment, or None if they hold none.

    Args:
        tokens: All tokens of the value.
        read: Reads the value of a part.

    Raises:
        ExpressionError: The environment is none of an answer, or is not complete.
    """
    start = next((i for i, token in enumerate(tokens) if token.text == "\\begin"), -1)
    if start < 0:
        return None
    before, body = list(tokens[:start]), list(tokens[start:])
    name_end = next((i for i, token in enumerate(body) if token.text == "}"), 0)
    kind = "".join(token.text for token in body[2:name_end])
    end = next((i for i, token in enumerate(body) if token.text == "\\end"), None)
    if end is None:
        raise ExpressionError("an environment has no end")
    content, after = body[name_end + 1 : end], body[end + name_end + 1 :]
    if kind == "array" and content and content[0].text == "{":
        content = content[next((i for i, token in enumerate(content) if token.text == "}"), 0) + 1 :]
    cells = _cells(content)
    brace = [token.text for token in before] == ["\\{"] and not after
    if kind in _SYSTEMS or (kind == "array" and brace):
        if (before and not brace) or after:
            raise ExpressionError("something stands beside the system")
        return _system(cells, read)
    if kind not in _MATRICES:
        raise ExpressionError(f"{kind!r} is no matrix")
    return _matrix(kind, before, _parsed(cells), "".join(token.text for token in after))


def nested_rows(items: Sequence[Value]) -> Matrix | None:
    """The matrix that rows in square brackets make, if they are such rows."""
    rows: list[tuple[Node, ...]] = []
    for item in items:
        if not (isinstance(item, Group) and item.kind == "square"):
            return None
        rows.append(tuple(cell.node for cell in item.items if isinstance(cell, Scalar)))
        if len(rows[-1]) != len(item.items):
            return None
    return Matrix(tuple(rows))


def _matrix(kind: str, before: list[Token], rows: tuple[tuple[Node, ...], ...], after: str) -> Value:
    determinant = kind in ("vmatrix", "Vmatrix")
    if before and before[-1].text in ("(", "[", "|") and after[:1] in (")", "]", "|"):
        determinant = determinant or before[-1].text == "|"
        before, after = before[:-1], after[1:]
    if before and before[-1].text in ("\\det", "det"):
        determinant, before = True, before[:-1]
    if after in ("^T", "^{T}", "^\\top", "^{\\top}"):
        rows = tuple(zip(*rows, strict=True))
    elif after:
        raise ExpressionError("something stands behind the matrix")
    factor: Node | None = None
    if [token.text for token in before] == ["-"]:
        factor = number(-1)
    elif before:
        factor = parse_tokens([token for token in before if token.text not in ("\\cdot", "\\times", "*")])
    if determinant:
        if len(rows) != len(rows[0]) or len(rows) > _LARGEST_DETERMINANT:
            raise ExpressionError("the determinant is not square, or too large")
        node = _determinant(rows)
        return Scalar(node if factor is None else Node("multiply", (factor, node)))
    if factor is not None:
        rows = tuple(tuple(Node("multiply", (factor, cell)) for cell in row) for row in rows)
    return Matrix(rows)


def _determinant(rows: tuple[tuple[Node, ...], ...]) -> Node:
    """The determinant, expanded along the first row."""
    if len(rows) == 1:
        return rows[0][0]
    total: Node | None = None
    for column, factor in enumerate(rows[0]):
        minor = tuple(row[:column] + row[column + 1 :] for row in rows[1:])
        term = Node("multiply", (factor, _determinant(minor)))
        term = Node("negate", (term,)) if column % 2 else term
        total = term if total is None else Node("add", (total, term))
    return total or number(1)


def _system(cells: _Cells, read: _Read) -> Value:
    """Equations that hold together, or a function by cases."""
    rows = [_split_condition(row) for row in cells]
    if all(condition is not None for _, condition in rows) and len(rows) > 1:
        return Piecewise(
            tuple((read(tokens), _condition(condition or [], read)) for tokens, condition in rows)
        )
    items = [read([token for cell in row for token in cell]) for row in cells]
    if not all(isinstance(item, Relation) for item in items):
        raise ExpressionError("a system has a row that is no equation")
    return Group("list", tuple(items))


def _split_condition(row: list[list[Token]]) -> tuple[list[Token], list[Token] | None]:
    """A row of a function by cases, as the expression and its condition."""
    tokens = [token for cell in row for token in cell]
    place = next((i for i, token in enumerate(tokens) if token.text in _CONDITION_WORDS | _ELSE), None)
    if len(row) == 2 and all(row) and row[1][0].text not in _SIGNS and row[0][-1].text not in _SIGNS:
        return row[0], row[1]
    if place:
        return tokens[:place], tokens[place:]
    return tokens, None


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
