"""Text to tokens: cut prose with mathematics in it into pieces that remember where they stood.

Plain text, Markdown and LaTeX go through one left-to-right scan whose patterns cannot backtrack over
more than a few characters, so the time is linear in the text. Look-alikes (full-width digits, Unicode
operators) are folded one character to one character: every offset stays an offset into the original.

Example:
    >>> [token.text for token in tokenize("so 1,200 / 4 = $300")]
    ['so', '1200', '/', '4', '=', '$', '300']
"""

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, cast

from latentseek_agents.tools._maths.exact import Number, simplest

MAX_CHARACTERS = 20_000
"""Text beyond this is not read; solutions are a tenth of it."""

_MAX_DIGITS = 256

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
    "end",
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

    @property
    def word(self) -> str:
        """A word in lower case; "" for any other token."""
        return self.text.lower() if self.kind == "word" else ""


END = Token("end", "", -1, -1, tight=False)
"""What stands before the first token and after the last one."""


_SCANNER = re.compile(
    r"""
    [ \t\r\f\v]*+
    (?:
    (?P<word>LETTER{2,}(?:['’-]LETTER+)*(?:(?<=s)['’])?|LETTER(?:['’-]LETTER{2,}|['’]s(?!LETTER))+)
  | (?P<newline>\n)
  | (?P<silent><<[^<>\n]{0,200}>>|&)
  | (?P<relation>\\(?:approx|simeq|cong|leq?|geq?|neq?|ne|lt|gt|equiv|sim)(?![A-Za-z])
      | ~=|===?|=>|->|-->|<=|>=|(?<=\s)!=|[=≈≅≃≡≠<>≤≥→⇒∴])
  | (?P<opaque>\d+(?::\d+)+(?!\d)|\d{4}-\d\d-\d\d(?!\d)|\d+(?:\.\d+){2,}
      |\d+(?:st|nd|rd|th)(?![A-Za-z])|\.\.\.+|…|0[xX][0-9A-Fa-f]{2,40}|0[bB][01]{2,40}(?!\d)
      |\d{1,3}(?:['’]\d{3})+(?!\d)|\d+\.\(\d+\)|[✓✔✗✘❌✅]+)
  | (?P<number>(?:\d{1,3}(?:(?:,|\{,\}\s?|(?:,\s?)?\\!(?:\s?,(?:\\!)?)?\s?|\\,\s?)\d{3})+(?!\d)(?:\.\d+)?
      |\d+(?:\.\d+)?|\.\d+)
      (?:[eE][+-]?\d{1,3}(?![\dA-Za-z.]))?)
  | (?P<break>[.;:?—]|\$\$|\\(?:begin|end)\{[^{}\n]{0,30}\})
  | (?P<degree>\^\s?\\circ(?![A-Za-z])|\^\s?\{\s?\\circ\s?\}|\\degree(?![A-Za-z])|°)
  | (?P<command>\\[A-Za-z]+\*?|\\.|π)
  | (?P<superscript>[⁰¹²³⁴⁵⁶⁷⁸⁹]+)
  | (?P<fraction>[¼-¾⅐-⅞])
  | (?P<letter>LETTER)
  | (?P<operator>\*\*|[-+*/^!√])
  | (?P<bracket>[()\[\]{}])
  | (?P<currency>[$€£¥])
  | (?P<percent>%)
  | (?P<comma>,)
  | (?P<other>.)
    )
    """.replace("LETTER", "[^\\W\\d_⁰¹²³⁴⁵⁶⁷⁸⁹¼-¾⅐-⅞]"),
    re.VERBOSE | re.DOTALL,
)

_LIST_MARKER = re.compile(r"(?:[ \t]{0,20}(?:[-*•+>](?=[ \t])|\(?\d{1,2}[.)](?=[ \t])|#{1,6}(?=[ \t]))){1,3}")

# Bars at both ends, set off by blanks.
_TABLE_ROW = re.compile(r"^[^\S\n]*\|(?= ).* \|[^\S\n]*$", re.MULTILINE)

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
_COMMANDS: dict[str, tuple[Kind, str]] = {command: ("break", command) for command in _BREAK_COMMANDS} | {
    "\\times": ("operator", "*"),
    "\\cdot": ("operator", "*"),
    "\\ast": ("operator", "*"),
    "\\div": ("operator", "/"),
    "\\surd": ("operator", "√"),
    "π": ("command", "\\pi"),
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
# Blanks between the thousands of a number: thin ones, and any in front of a zero, which begins no number.
_THIN = "\u00a0\u2007\u2009\u202f"
_SPACED_THOUSANDS = re.compile(
    rf"(?<![\d.,])[1-9]\d{{0,2}}(?:(?:[{_THIN}]\d{{3}})+|(?: \d{{3}})*? 0\d\d(?: \d{{3}})*)(?![\d,])"
)
_PLAIN_KINDS = {"word", "opaque", "break", "degree", "letter", "currency", "percent", "comma"}
_LINE_ENDS = ("\n", "\\\\", "\\]", "\\[", "$$", ".")


def fold(text: str) -> str:
    """Spell look-alike digits and signs plainly, keeping every character's place.

    Args:
        text: Any text.

    Returns:
        A text of the same length. Blanks within a number are commas in it.

    Example:
        >>> fold("３ × ４ − ٢"), fold("1 080 + 250 300")
        ('3 * 4 - 2', '1,080 + 250 300')
    """
    text = _SPACED_THOUSANDS.sub(lambda number: re.sub(rf"[ {_THIN}]", ",", number[0]), text)
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
    """
    return _join(_Scan(fold(text[:MAX_CHARACTERS])).tokens)


def token_at(tokens: Sequence[Token], index: int, end: int | None = None) -> Token:
    """The token at an index; :data:`END` before the first token and from index ``end`` on."""
    return tokens[index] if 0 <= index < (len(tokens) if end is None else end) else END


class _Scan:
    """One pass over a text. Each kind of match that needs more than a token has a method of its name."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self.braces: list[bool] = []  # for each open brace: does it show up as a token?
        self.wrapper_end = -1  # a brace here belongs to the wrapper command before it
        rows = (range(*row.span()) for row in _TABLE_ROW.finditer(text))
        self.cell_bars = {index for row in rows for index in row if text[index] == "|"}
        self.start = self.position = 0  # of the match: its first character, and after its last one
        self.tight = False
        self.skip_list_marker()
        while match := _SCANNER.match(text, self.position):
            kind = match.lastgroup or "other"
            self.start, self.position = match.span(kind)
            self.tight = self.start == match.start()
            if kind in _PLAIN_KINDS:
                self.add(cast(Kind, kind), match.group(kind))
            else:
                getattr(self, kind)(match.group(kind))

    def add(self, kind: Kind, piece: str, value: Number = 0, places: int = -1) -> None:
        self.tokens.append(Token(kind, piece, self.start, self.position, self.tight, value, places))

    def silent(self, piece: str) -> None:
        """Leave no token: calculator annotations, and the alignment mark of LaTeX."""

    def newline(self, piece: str) -> None:
        self.add("break", piece)
        self.skip_list_marker()

    def skip_list_marker(self) -> None:
        if marker := _LIST_MARKER.match(self.text, self.position):
            self.start, self.position = marker.span()
            self.tight = False
            self.add("break", marker.group().strip())  # a dash stays visible: it may have been a minus

    def relation(self, piece: str) -> None:
        self.add("break" if piece in _ARROWS else "relation", _RELATIONS.get(piece, piece))

    def number(self, piece: str) -> None:
        if len(piece) > _MAX_DIGITS:
            self.add("opaque", piece[:20])
            return
        plain = re.sub(r"[^0-9.eE+-]", "", piece)
        places = -1 if "e" in plain.lower() else len(plain.partition(".")[2])
        value = int(plain) if plain.isdigit() else simplest(Fraction(plain))
        self.add("number", plain, value, places)

    def superscript(self, piece: str) -> None:
        self.tokens.append(Token("operator", "^", self.start, self.start, self.tight))
        self.number(piece.translate(_SUPERSCRIPTS))

    def fraction(self, piece: str) -> None:
        self.add("number", piece, Fraction(unicodedata.numeric(piece)).limit_denominator(100))

    def bracket(self, piece: str) -> None:
        if piece == "{":
            self.braces.append(self.start != self.wrapper_end)
            if self.braces[-1]:
                self.add("open", piece)
        elif piece != "}":
            self.add("open" if piece in "([" else "close", piece)
        elif not self.braces:
            self.add("opaque", piece)
        elif self.braces.pop():
            self.add("close", piece)

    def command(self, piece: str) -> None:
        if piece in _WRAPPERS:
            behind = self.text[self.position :]
            self.wrapper_end = self.position + len(behind) - len(behind.lstrip(" "))
        elif piece not in _SILENT_COMMANDS:
            self.add(*_COMMANDS.get(piece, ("opaque", piece)))

    def operator(self, piece: str) -> None:
        before = self.text[self.start - 1 : self.start] or "\n"
        behind = self.text[self.position : self.position + 20]
        after = behind[:1] or "\n"
        kind: Kind = "operator"
        if piece == "**":
            # A power has operands on both sides; anything else is Markdown for bold.
            tight_power = (before.isalnum() or before in ")]}") and (after.isalnum() or after in "(-$")
            if tight_power or (before == " " and after == " "):
                self.add("operator", "^")
            return
        if piece == "!":
            # A factorial stands tight behind its operand and is no end of a sentence.
            operand = before.isdigit() or before in ")!"
            if "!" in (before, after):  # a double factorial, or delight
                kind = "opaque" if operand else "break"
            elif not operand or (after.isspace() and (behind.lstrip()[:1] or "A").isalpha()):
                kind = "break"
        elif piece == "-" and before.isdigit() and len(behind) > 1 and behind[:2].isalpha():
            return  # "6-piece" is a number with its unit
        self.add(kind, piece)

    def other(self, piece: str) -> None:
        before = self.tokens[-1] if self.tokens else END
        if (
            piece in "'’′"
            and before.kind == "letter"
            and self.tight
            and self.text[self.position :][:1] == "("
        ):
            self.tokens[-1] = before._replace(text=f"{before.text}'", end=self.position)
        elif piece == "–":
            self.add("operator", "-")
        elif piece == "¢":
            self.add("word", "cents")
        elif piece in "\"'“”‘’`" or self.start in self.cell_bars:
            self.add("break", piece)
        else:
            self.add("opaque", piece)


def _join(tokens: list[Token]) -> list[Token]:
    """Put together what several tokens spell: "is equal to", and equations that go on after a line end."""
    joined: list[Token] = []
    for token in tokens:
        before = joined[-1] if joined else END
        if token.text == "equals":
            joined.append(token._replace(kind="relation", text="="))
            continue
        if (
            token.text == "to"
            and before.text == "equal"
            and token_at(joined, len(joined) - 2).text in ("is", "are")
        ):
            verb = joined[-2]
            joined[-2:] = [Token("relation", "=", verb.start, token.end, verb.tight)]
            continue
        if token.kind == "relation":
            while joined and joined[-1].text in _LINE_ENDS:
                joined.pop()
        elif token.kind == "operator" and token.text in "+*/" and before.text == ".":
            joined.pop()  # an abbreviated unit: "3 oz. * 2"
        elif token.text == "\n" and before.kind == "relation":
            continue
        joined.append(token)
    return joined
