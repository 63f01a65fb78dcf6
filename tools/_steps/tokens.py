"""Cut mathematical prose into tokens that remember where they stood.

Plain text, Markdown and LaTeX go through one left-to-right scan whose patterns cannot backtrack over
more than a few characters, so the time is linear in the text. Look-alikes (full-width digits, Unicode
operators) are folded one character to one character: every offset stays an offset into the original.
"""

import re
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from typing import Literal, NamedTuple

__all__ = ["MAX_CHARACTERS", "MAX_DIGITS", "Kind", "Number", "Token", "fold", "tokenize"]

MAX_CHARACTERS = 20_000
"""Text beyond this is not read; solutions are a tenth of it."""

MAX_DIGITS = 256
"""Longer numerals are not read as numbers."""

Number = int | Fraction
"""Exact values: whole numbers stay ``int`` because that is several times faster."""

Kind = Literal[
    "number",
    "word",
    "letter",
    "operator",
    "relation",
    "open",
    "close",
    "command",
    "currency",
    "percent",
    "degree",
    "comma",
    "break",
    "opaque",
]


class Token(NamedTuple):
    """One piece of text.

    Args:
        kind: What it is.
        text: Its canonical spelling, for example ``*`` for every multiplication sign.
        start: Offset of its first character in the original text.
        end: Offset after its last character.
        tight: No white space stands before it.
        value: The value of a number.
        places: Decimal places a number shows; -1 for anything that is not a plain decimal number.
    """

    kind: Kind
    text: str
    start: int
    end: int
    tight: bool
    value: Number = 0
    places: int = -1


_SCANNER = re.compile(
    r"""
    [ \t\r\f\v]*+
    (?:
    (?P<word>LETTER{2,}(?:['’-]LETTER+)*(?:(?<=s)['’])?|LETTER(?:['’-]LETTER{2,}|['’]s(?!LETTER))+)
  | (?P<newline>\n)
  | (?P<annotation><<[^<>\n]{0,200}>>)
  | (?P<relation>\\(?:approx|simeq|cong|leq?|geq?|neq?|ne|lt|gt|equiv|sim)(?![A-Za-z])
      | ~=|===?|=>|->|-->|<=|>=|(?<=\s)!=|[=≈≅≃≡≠<>≤≥→⇒∴])
  | (?P<opaque>\d+(?::\d+)+(?!\d)|\d{4}-\d\d-\d\d(?!\d)|\d+(?:\.\d+){2,}
      |\d+(?:st|nd|rd|th)(?![A-Za-z])|\.\.\.+|…|0[xX][0-9A-Fa-f]{2,40}|0[bB][01]{2,40}(?!\d)
      |\d{1,3}(?:['’]\d{3})+(?!\d)|\d+\.\(\d+\)|[✓✔✗✘❌✅]+)
  | (?P<number>(?:\d{1,3}(?:(?:,|\{,\}|\\!,\\!|,\\!|\\,)\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
      (?:[eE][+-]?\d{1,3}(?![\dA-Za-z.]))?)
  | (?P<environment>\\(?:begin|end)\{[^{}\n]{0,30}\})
  | (?P<degree>\^\s?\\circ(?![A-Za-z])|\^\s?\{\s?\\circ\s?\}|\\degree(?![A-Za-z])|°)
  | (?P<command>\\[A-Za-z]+\*?|\\.)
  | (?P<superscript>[⁰¹²³⁴⁵⁶⁷⁸⁹]+)
  | (?P<fraction>[¼-¾⅐-⅞])
  | (?P<letter>LETTER)
  | (?P<operator>\*\*|[-+*/^!√])
  | (?P<bracket>[()\[\]{}])
  | (?P<currency>\$\$?|[€£¥])
  | (?P<percent>%)
  | (?P<comma>,)
  | (?P<break>[.;:?\n&—])
  | (?P<other>.)
    )
    """.replace("LETTER", "[^\\W\\d_⁰¹²³⁴⁵⁶⁷⁸⁹¼-¾⅐-⅞]"),
    re.VERBOSE | re.DOTALL,
)

_LIST_MARKER = re.compile(r"(?:[ \t]{0,20}(?:[-*•+>](?=[ \t])|\(?\d{1,2}[.)](?=[ \t])|#{1,6}(?=[ \t]))){1,3}")

# Signs with one meaning, folded to one spelling. Only one character may stand for one character.
_SIGNS = str.maketrans(
    {
        "−": "-",
        "﹣": "-",
        "‐": "-",
        "‑": "-",
        "×": "*",
        "✕": "*",
        "✖": "*",
        "·": "*",
        "⋅": "*",
        "∙": "*",
        "∗": "*",
        "÷": "/",
        "∕": "/",
        "⁄": "/",
        "➗": "/",
        "➕": "+",
        "➖": "-",
        "﹦": "=",
        "꞊": "=",
        "⩵": "=",
        "゠": "=",
        "⹀": "=",
        "⁼": "=",
        "₌": "=",
        "٪": "%",
        "\u00a0": " ",
        "\u2028": "\n",
        "\u2029": "\n",
        "\x85": "\n",
    }
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_RELATIONS = {
    "\\approx": "≈",
    "\\simeq": "≈",
    "\\cong": "≈",
    "≅": "≈",
    "≃": "≈",
    "~=": "≈",
    "==": "=",
    "===": "=",
}
_ARROWS = {"=>", "->", "-->", "→", "⇒", "∴"}
_OPERATOR_COMMANDS = {"\\times": "*", "\\cdot": "*", "\\div": "/", "\\ast": "*", "\\surd": "√"}
_BREAK_COMMANDS = {
    "\\implies", "\\Rightarrow", "\\rightarrow", "\\to", "\\therefore", "\\iff", "\\quad", "\\qquad",
    "\\Longrightarrow", "\\Leftrightarrow", "\\longrightarrow", "\\item", "\\newline",
    "\\[", "\\]", "\\\\",
}  # fmt: skip
_SILENT_COMMANDS = {
    "\\left", "\\right", "\\big", "\\Big", "\\bigg", "\\Bigg", "\\bigl", "\\bigr", "\\Bigl", "\\Bigr",
    "\\displaystyle", "\\textstyle", "\\limits", "\\,", "\\;", "\\:", "\\!", "\\ ", "\\(", "\\)", "\\&",
    "\\notag", "\\nonumber", "\\hspace", "\\hfill", "\\n", "\\t",
}  # fmt: skip
# Commands whose argument is read as if the command were not there.
_WRAPPERS = {
    "\\text", "\\textbf", "\\textit", "\\textrm", "\\mathrm", "\\mathbf", "\\mathit", "\\mbox", "\\boxed",
    "\\fbox", "\\bold", "\\boldsymbol", "\\underline", "\\emph", "\\rm", "\\bf", "\\textsf", "\\ensuremath",
}  # fmt: skip
_COMMANDS: dict[str, tuple[Kind, str]] = {
    "\\frac": ("command", "\\frac"),
    "\\dfrac": ("command", "\\frac"),
    "\\tfrac": ("command", "\\frac"),
    "\\cfrac": ("command", "\\frac"),
    "\\sqrt": ("command", "\\sqrt"),
    "\\pi": ("command", "\\pi"),
    "\\binom": ("command", "\\binom"),
    "\\dbinom": ("command", "\\binom"),
    "\\lbrack": ("open", "["),
    "\\rbrack": ("close", "]"),
    "\\$": ("currency", "$"),
    "\\%": ("percent", "%"),
}
_LINE_ENDS = ("\n", "\\\\", "\\]", "\\[", "$$", ".")


def fold(text: str) -> str:
    """Spell look-alike digits and signs plainly, keeping every character's place.

    Args:
        text: Any text.

    Returns:
        A text of the same length.

    Example:
        >>> fold("３ × ４ − ٢")
        '3 * 4 - 2'
    """
    if text.isascii():
        return text
    text = text.translate(_SIGNS)
    return text.translate({ord(sign): _plain(sign) for sign in set(text) if sign > "\x7f"})


def _plain(sign: str) -> str:
    if sign.isdecimal():
        return str(unicodedata.decimal(sign))
    if "\uff01" <= sign <= "\uff5e":  # the full-width forms of ASCII
        return chr(ord(sign) - 0xFEE0)
    return " " if unicodedata.category(sign) == "Zs" else sign


def tokenize(text: str) -> list[Token]:
    """The tokens of a text, in order; white space and silent markup leave none.

    Args:
        text: Any text; only the first :data:`MAX_CHARACTERS` characters are read.

    Returns:
        The tokens. Line ends and sentence ends are ``break`` tokens.

    Example:
        >>> [token.text for token in tokenize("so 1,200 / 4 = $300")]
        ['so', '1200', '/', '4', '=', '$', '300']
    """
    return _join(_Scan(fold(text[:MAX_CHARACTERS])).tokens)


class _Scan:
    """One pass over a text. Each kind of match has a method of its name."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self.braces: list[bool] = []  # for each open brace: does it show up as a token?
        self.wrapper_end = -1  # a brace here belongs to the wrapper command before it
        self.position = 0
        self.line_end = 0  # of the line that was last looked at for a table
        self.table = False
        self.skip_list_marker(0)
        add = self.tokens.append
        match = _SCANNER.match(text, self.position)
        while match is not None:
            kind = match.lastgroup or "other"
            start, self.position = match.span(kind)
            tight = start == match.start()
            if kind == "word":  # most of what comes
                add(Token("word", match.group(kind), start, self.position, tight))
            else:
                _HANDLERS[kind](self, match.group(kind), start, tight)
            match = _SCANNER.match(text, self.position)

    def add(self, kind: Kind, piece: str, start: int, tight: bool) -> None:
        self.tokens.append(Token(kind, piece, start, self.position, tight))

    def skip_list_marker(self, position: int) -> None:
        marker = _LIST_MARKER.match(self.text, position)
        self.position = marker.end() if marker else position
        if marker:  # a dash stays visible: it may have been a minus
            self.tokens.append(Token("break", marker.group().strip(), position, self.position, tight=False))

    def in_table(self, position: int) -> bool:
        """Whether a line is a row of a Markdown table: bars at both ends, set off by blanks."""
        if position >= self.line_end:
            end = self.text.find("\n", position)
            self.line_end = len(self.text) if end < 0 else end
            row = self.text[position : self.line_end].rstrip()
            begun = self.text[self.text.rfind("\n", 0, position) + 1 : position].strip() == ""
            self.table = begun and row.startswith("| ") and row.endswith(" |")
        return self.table

    def newline(self, piece: str, start: int, tight: bool) -> None:
        self.add("break", piece, start, tight)
        self.skip_list_marker(self.position)

    def skip(self, piece: str, start: int, tight: bool) -> None:
        """Leave no token: calculator annotations."""

    def relation(self, piece: str, start: int, tight: bool) -> None:
        self.add("break" if piece in _ARROWS else "relation", _RELATIONS.get(piece, piece), start, tight)

    def opaque(self, piece: str, start: int, tight: bool) -> None:
        self.add("opaque", piece, start, tight)

    def number(self, piece: str, start: int, tight: bool) -> None:
        self.tokens.append(_number(piece, start, self.position, tight))

    def separator(self, piece: str, start: int, tight: bool) -> None:
        if piece != "&":  # the alignment mark of LaTeX
            self.add("break", piece, start, tight)

    def degree(self, piece: str, start: int, tight: bool) -> None:
        self.add("degree", piece, start, tight)

    def percent(self, piece: str, start: int, tight: bool) -> None:
        self.add("percent", piece, start, tight)

    def comma(self, piece: str, start: int, tight: bool) -> None:
        self.add("comma", piece, start, tight)

    def letter(self, piece: str, start: int, tight: bool) -> None:
        if piece == "π":
            self.add("command", "\\pi", start, tight)
        else:
            self.add("letter", piece, start, tight)

    def currency(self, piece: str, start: int, tight: bool) -> None:
        self.add("break" if piece == "$$" else "currency", piece, start, tight)

    def superscript(self, piece: str, start: int, tight: bool) -> None:
        self.tokens.append(Token("operator", "^", start, start, tight))
        self.tokens.append(_number(piece.translate(_SUPERSCRIPTS), start, self.position, tight))

    def fraction(self, piece: str, start: int, tight: bool) -> None:
        value = Fraction(unicodedata.numeric(piece)).limit_denominator(100)
        self.tokens.append(Token("number", piece, start, self.position, tight, value, -1))

    def bracket(self, piece: str, start: int, tight: bool) -> None:
        if piece == "{":
            visible = start != self.wrapper_end
            self.braces.append(visible)
            if visible:
                self.add("open", piece, start, tight)
        elif piece != "}":
            self.add("open" if piece in "([" else "close", piece, start, tight)
        elif not self.braces:
            self.add("opaque", piece, start, tight)
        elif self.braces.pop():
            self.add("close", piece, start, tight)

    def command(self, piece: str, start: int, tight: bool) -> None:
        if piece in _WRAPPERS:
            after = self.position
            while self.text[after : after + 1] == " ":
                after += 1
            self.wrapper_end = after
        elif piece not in _SILENT_COMMANDS:
            kind, spelling = _command(piece)
            self.add(kind, spelling, start, tight)

    def operator(self, piece: str, start: int, tight: bool) -> None:
        before = self.text[start - 1] if start else "\n"
        after = self.text[self.position] if self.position < len(self.text) else "\n"
        if piece == "!" and (before == "!" or after == "!"):  # a double factorial, or delight
            self.add("opaque" if before.isdigit() or before in ")!" else "break", piece, start, tight)
        elif piece == "**":
            # A power has operands on both sides; anything else is Markdown for bold.
            tight_power = (before.isalnum() or before in ")]}") and (after.isalnum() or after in "(-$")
            if tight_power or (before == " " and after == " "):
                self.add("operator", "^", start, tight)
        elif piece == "!":
            # A factorial stands tight behind its operand and is no end of a sentence.
            operand = before.isdigit() or before in ")!"
            sentence = after.isspace() and _next_is_prose(self.text, self.position)
            self.add("operator" if operand and not sentence else "break", piece, start, tight)
        elif not (piece == "-" and before.isdigit() and _is_word(self.text, self.position)):
            # ("6-piece" is a number with its unit)
            self.add("operator", piece, start, tight)

    def other(self, piece: str, start: int, tight: bool) -> None:
        if piece == "–":
            self.add("operator", "-", start, tight)
        elif piece == "¢":
            self.add("word", "cents", start, tight)
        elif piece == "|" and self.in_table(start):
            self.add("break", piece, start, tight)
        else:
            self.add("break" if piece in "\"'“”‘’`" else "opaque", piece, start, tight)


_HANDLERS: dict[str, Callable[[_Scan, str, int, bool], None]] = {
    "newline": _Scan.newline,
    "annotation": _Scan.skip,
    "relation": _Scan.relation,
    "opaque": _Scan.opaque,
    "number": _Scan.number,
    "environment": _Scan.separator,
    "degree": _Scan.degree,
    "command": _Scan.command,
    "superscript": _Scan.superscript,
    "fraction": _Scan.fraction,
    "letter": _Scan.letter,
    "operator": _Scan.operator,
    "bracket": _Scan.bracket,
    "currency": _Scan.currency,
    "percent": _Scan.percent,
    "comma": _Scan.comma,
    "break": _Scan.separator,
    "other": _Scan.other,
}


def _number(piece: str, start: int, end: int, tight: bool) -> Token:
    if len(piece) > MAX_DIGITS:
        return Token("opaque", piece[:20], start, end, tight)
    if piece.isdigit():
        return Token("number", piece, start, end, tight, int(piece), 0)
    plain = re.sub(r"[^0-9.eE+-]", "", piece)
    whole, _, decimals = plain.partition(".")
    if "e" in plain or "E" in plain:
        return Token("number", plain, start, end, tight, _tidy(Fraction(plain)), -1)
    value = Fraction(int(whole + decimals or "0"), 10 ** len(decimals))
    return Token("number", plain, start, end, tight, _tidy(value), len(decimals))


def _tidy(value: Fraction) -> Number:
    return value.numerator if value.denominator == 1 else value


def _is_word(text: str, position: int) -> bool:
    return text[position : position + 2].isalpha() and len(text) > position + 1


def _next_is_prose(text: str, position: int) -> bool:
    """Whether what follows white space starts a sentence or ends the text."""
    for index in range(position, min(position + 20, len(text))):
        if not text[index].isspace():
            return text[index].isalpha()
    return True


def _command(piece: str) -> tuple[Kind, str]:
    if piece in _OPERATOR_COMMANDS:
        return "operator", _OPERATOR_COMMANDS[piece]
    if piece in _BREAK_COMMANDS:
        return "break", piece
    return _COMMANDS.get(piece, ("opaque", piece))


def _join(tokens: list[Token]) -> list[Token]:
    """Put together what several tokens spell: "is equal to", and equations that go on after a line end."""
    joined: list[Token] = []
    for token in tokens:
        kind, text = token.kind, token.text
        if kind == "word":
            if text == "equals":
                joined.append(token._replace(kind="relation", text="="))
                continue
            if (
                text == "to"
                and len(joined) > 1
                and joined[-1].text == "equal"
                and joined[-2].text in ("is", "are")
            ):
                joined[-2:] = [Token("relation", "=", joined[-2].start, token.end, joined[-2].tight)]
                continue
        elif kind == "relation":
            while joined and joined[-1].text in _LINE_ENDS:
                joined.pop()
        elif kind == "operator" and text in "+*/" and joined and joined[-1].text == ".":
            joined.pop()  # an abbreviated unit: "3 oz. * 2"
        elif text == "\n" and joined and joined[-1].kind == "relation":
            continue
        joined.append(token)
    return joined
