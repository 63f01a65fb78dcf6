"""Cut a text in plain notation into tokens."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["ARGUMENTS", "FUNCTIONS", "Token", "split_words", "tokenize"]

_OF_ONE_NUMBER = (
    "sin cos tan cot sec csc arcsin arccos arctan asin acos atan sinh cosh tanh ln exp sqrt abs floor ceil "
    "ceiling sgn det"
)
_MOST_ARGUMENTS = 64
# How many arguments a function has, at least and at most. A lone "max 5" is a limit and no function.
ARGUMENTS = {
    **dict.fromkeys(_OF_ONE_NUMBER.split(), (1, 1)),
    **dict.fromkeys(("log", "lg"), (1, 2)),
    **dict.fromkeys(("gcd", "lcm", "min", "max"), (2, _MOST_ARGUMENTS)),
}
FUNCTIONS = frozenset(ARGUMENTS)
_LONGEST_NUMBER = 400
_LONGEST_WORD = 6
_PLAIN_NAMES = sorted((*FUNCTIONS, "pi", "infinity", "infty", "inf"), key=len, reverse=True)
_TOKEN = re.compile(
    r"""
    (?P<repeating>\d*\.\d*(?:\\(?:overline|bar|dot|dots)\s*(?:\{\s*\d+\s*\}|\d)|\(\d+\))|\d*\.\d+(?:\.\.\.|\\ldots))
  | (?P<grouped>\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d{1,3}(?:[ ]\d{3})+(?![ ]?\d)(?:\.\d+)?)
  | (?P<scientific>(?:\d+(?:\.\d*)?|\.\d+)[eE][+-]?\d+(?![\d.]))
  | (?P<number>\d+(?:\.\d+)?|\.\d+)
  | (?P<command>\\[a-zA-Z]+)
  | (?P<word>[^\W\d_]+)
  | (?P<operator>\\[{}]|\\\\|\*\*|<=|>=|!=|==|->|\.\.\.|''|[^\s])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Args:
        kind: ``number``, ``command``, ``word`` or ``operator``.
        text: As written.
        start: Its place in the text.
        spaced: Whether a blank stands before it.
        value: The value of a number.
    """

    kind: str
    text: str
    start: int
    spaced: bool
    value: Fraction = Fraction(0)

    @property
    def end(self) -> int:
        """The place after its last character."""
        return self.start + len(self.text)

    def split(self) -> tuple["Token", "Token"]:
        r"""The first digit and the rest, as in ``\frac12``."""
        head, rest = self.text[0], self.text[1:]
        return (
            Token("number", head, self.start, self.spaced, Fraction(head)),
            Token("number", rest, self.start + 1, spaced=False, value=Fraction(rest)),
        )


def tokenize(text: str, *, grouped: bool = True) -> list[Token]:
    r"""The tokens of a text.

    Args:
        text: In plain notation.
        grouped: Read ``1,234`` as one number; else as two.

    Example:
        >>> [token.text for token in tokenize(r"2\pi + 0.5ab")]
        ['2', '\\pi', '+', '0.5', 'ab']
    """
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            position += 1
            continue
        kind, start = str(match.lastgroup), match.start()
        if kind == "grouped" and not grouped:
            match = re.compile(r"\d+").match(text, position) or match
            kind = "number"
        written = match.group()
        spaced = start > 0 and text[start - 1].isspace()
        position = match.end()
        if kind in ("word", "command", "operator"):
            tokens.append(Token(kind, written, start, spaced))
        else:
            tokens.append(Token("number", written, start, spaced, _value(kind, written)))
    return tokens


def split_words(tokens: Iterable[Token]) -> list[Token]:
    """The tokens with runs of letters cut into function names, constants and single letters.

    Raises:
        ValueError: A run is too long to be a product of letters.

    Example:
        >>> [token.text for token in split_words(tokenize("2ab + sinx"))]
        ['2', 'a', 'b', '+', 'sin', 'x']
    """
    result: list[Token] = []
    for token in tokens:
        if token.kind != "word" or len(token.text) == 1:
            result.append(token)
            continue
        if len(token.text) > _LONGEST_WORD and token.text not in _PLAIN_NAMES:
            raise ValueError(f"{token.text!r} is a word")
        rest, start = token.text, token.start
        while rest:
            name = next((name for name in _PLAIN_NAMES if rest.startswith(name)), rest[0])
            result.append(Token("word", name, start, token.spaced and start == token.start))
            rest, start = rest[len(name) :], start + len(name)
    return result


def _value(kind: str, written: str) -> Fraction:
    if len(written) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(written)} characters is too long")
    if kind == "repeating":
        return _repeating(written)
    if kind == "scientific" and abs(int(re.split("[eE]", written)[1])) > _LONGEST_NUMBER:
        raise ValueError(f"the exponent of {written} is too large")
    return Fraction(written.replace(",", "").replace(" ", ""))


def _repeating(written: str) -> Fraction:
    r"""The value of ``0.1\overline{6}``, ``0.1(6)`` or ``0.1666...``."""
    whole, _, decimals = written.partition(".")
    if decimals.endswith(("...", "\\ldots")):
        shown = decimals.removesuffix("...").removesuffix("\\ldots")
        fixed, period = _period(shown)
    else:
        fixed, period = re.findall(r"\A\d*|\d+", decimals)[:2]
    start = Fraction(int((whole or "0") + fixed), 10 ** len(fixed))
    return start + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))


def _period(shown: str) -> tuple[str, str]:
    """The digits before the period and the period, if the digits shown repeat at least twice."""
    for length in range(1, len(shown) // 2 + 1):
        period = shown[-length:]
        repeats = 1
        while shown.endswith(period * (repeats + 1)):
            repeats += 1
        if repeats >= (3 if length == 1 and len(shown) > 2 else 2):
            fixed = shown[: len(shown) - repeats * length]
            return fixed, period
    raise ValueError(f"no digits repeat in 0.{shown}...")
