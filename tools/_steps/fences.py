r"""Fenced blocks of a text, and the pieces of Python code that matter for where its numbers come from.

The code is cut by one scan that knows strings, comments and numbers. It is never parsed or compiled here.

Example:
    >>> code, output = find_blocks("```python\nprint(6 * 7)  # the answer\n```\n```output\n42\n```")
    >>> code.is_python, code.text, output.is_output, output.text
    (True, 'print(6 * 7)  # the answer\n', True, '42\n')
    >>> [number.value for number in numbers_in("print(6 * 7, 'in 8 days')  # 9")]
    [6, 7]
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from latentseek_agents.tools._maths.exact import Number, simplest
from latentseek_agents.tools._steps.arithmetic import Literal

_MAX_BLOCKS = 100
_PYTHON = frozenset(("python", "python3", "py", "py3"))
_OUTPUT = frozenset(("output", "out", "stdout", "console", "text", "txt", "plaintext", "plain", "result"))
# Blocks begin anywhere behind a blank, since models write "Here is the code: ```python", and end on a line.
_OPENING = re.compile(
    r"(?:^|(?<=[\s:]))(?P<mark>`{3,9}|~{3,9})[ \t]*(?P<label>[\w.+-]{0,20})[^\n`]*(?:\n|\Z)"
)
_CLOSING = re.compile(r"^[ \t]*(?P<mark>`{3,9}|~{3,9})[ \t]*(?P<label>[\w.+-]{0,20})", re.MULTILINE)
_PRINTS = re.compile(r"^[ \t]*print[ \t]?\(", re.MULTILINE)

_PIECE = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<string>(?P<prefix>\b[rRbBuUfF]{1,2})?
      (?P<quote>\"\"\"|'''|"|')(?P<inside>(?:(?<=\"\"\")(?:[^\\"]|\\.|"(?!""))*|(?<=''')(?:[^\\']|\\.|'(?!''))*
      |(?<!\"\"\")(?<!''')(?:(?!(?P=quote))[^\\\n]|\\.)*))(?P<close>(?P=quote)|))
  | (?P<number>(?<![\w.])(?:0[xX][\da-fA-F_]{1,60}|0[oO][0-7_]{1,60}|0[bB][01_]{1,99}
      |(?:\d[\d_]{0,299}(?:\.[\d_]{0,299})?|\.\d[\d_]{0,299})(?:[eE][-+]?\d{1,3})?)(?!\d))
  | (?P<word>[^\W\d]\w*)
  | (?P<other>\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_FIELD = re.compile(r"\{(?P<expression>[^{}]{1,200})\}")
_FIELD_END = re.compile(r"[!:]")
_FORMAT = re.compile(r"(?=..)[<>^]?\+?\d{0,3},?(?:\.\d{1,2})?[fdgeE%]|__\w+__")


@dataclass(frozen=True, slots=True)
class FencedBlock:
    """A fenced block of a text.

    Args:
        label: The word behind the opening fence in lower case, or "".
        text: What stands between the fences, without common indentation.
        start: Offset of the opening fence.
        inner: Offset of the first character between the fences.
        outer: Offset after the last character between the fences.
        end: Offset after the closing fence; where the text ends, if there is none.
    """

    label: str
    text: str
    start: int
    inner: int
    outer: int
    end: int

    @property
    def is_python(self) -> bool:
        """Whether it is a program: labelled so, or without a label and with lines that print."""
        return self.label in _PYTHON or (not self.label and bool(_PRINTS.search(self.text)))

    @property
    def is_output(self) -> bool:
        """Whether it may show what a program prints."""
        return not self.is_python and (not self.label or self.label in _OUTPUT)


class CodeNumber(NamedTuple):
    """A number in code: its value, the decimals it shows, and where it stands in the code."""

    value: Number
    places: int
    start: int
    end: int

    @property
    def literal(self) -> Literal:
        """The same as the literal of an equation."""
        return Literal(self.value, self.places)


def find_blocks(text: str) -> list[FencedBlock]:
    """The fenced blocks of a text, in order; 100 at most."""
    blocks: list[FencedBlock] = []
    opening = _OPENING.search(text)
    while opening and len(blocks) < _MAX_BLOCKS:
        mark, inner = opening["mark"], opening.end()
        closing = _closing(text, inner, mark)
        outer = closing.start() if closing else len(text)
        # A fence with a label cannot close a block; models that forget the closing one write it all the same.
        end = outer if closing is None or closing["label"] else closing.end()
        inside = textwrap.dedent(text[inner:outer])
        blocks.append(FencedBlock(opening["label"].lower(), inside, opening.start(), inner, outer, end))
        opening = _OPENING.search(text, end)
    return blocks


def _closing(text: str, position: int, mark: str) -> re.Match[str] | None:
    for match in _CLOSING.finditer(text, position):
        if match["mark"][0] == mark[0] and len(match["mark"]) >= len(mark):
            return match
    return None


def numbers_in(code: str) -> list[CodeNumber]:
    """The numbers that code computes with, those in the fields of f-strings included."""
    return list(_numbers(code, 0))


def _numbers(code: str, offset: int) -> Iterator[CodeNumber]:
    for piece in _PIECE.finditer(code):
        if piece.lastgroup == "number":
            written = piece["number"]
            start = offset + piece.start()
            yield CodeNumber(*_value(written), start, start + len(written))
        elif piece["string"] is not None and "f" in (piece["prefix"] or "").lower():
            for field in _FIELD.finditer(piece["inside"]):
                expression = _FIELD_END.split(field["expression"], maxsplit=1)[0]
                start = offset + piece.start("inside") + field.start("expression")
                yield from _numbers(expression, start)


def _value(written: str) -> tuple[Number, int]:
    plain = written.replace("_", "").lower()
    if plain[:2] in ("0x", "0o", "0b"):
        return int(plain, 0), 0
    mantissa = plain.partition("e")[0]
    return simplest(Fraction(plain)), -1 if "e" in plain else len(mantissa.partition(".")[2])


def comments_in(code: str) -> list[tuple[int, int]]:
    """Where the comments of code start and end, the sign not included."""
    pieces = (piece for piece in _PIECE.finditer(code) if piece.lastgroup == "comment")
    return [(piece.start() + 1, piece.end()) for piece in pieces]


def words_in(code: str) -> set[str]:
    """The names and keywords of code, and the signs that are no letters."""
    return {piece.group() for piece in _PIECE.finditer(code) if piece.lastgroup in ("word", "other")}


def with_numbers(code: str, replaced: Mapping[Number, Number]) -> str:
    """Code with other numbers in it.

    Example:
        >>> with_numbers("print(48 / 2, f'{48 + 1}')", {48: Fraction(97, 2)})
        "print((97/2) / 2, f'{(97/2) + 1}')"
    """
    pieces: list[str] = []
    end = 0
    for number in numbers_in(code):
        if number.value in replaced:
            other = replaced[number.value]
            pieces += [code[end : number.start], f"({other})" if other.denominator > 1 else str(other)]
            end = number.end
    return "".join([*pieces, code[end:]])


def with_longer_strings(code: str) -> str:
    """Code with a letter added to every string but formats, which changes what is computed from strings.

    Example:
        >>> with_longer_strings("print('Total:', len('abc'))")
        "print('Total: q', len('abc q'))"
    """

    def longer(piece: re.Match[str]) -> str:
        if piece["string"] is None or not piece["close"] or _FORMAT.fullmatch(piece["inside"]):
            return piece.group()
        return f"{piece['prefix'] or ''}{piece['quote']}{piece['inside']} q{piece['close']}"

    return _PIECE.sub(longer, code)
