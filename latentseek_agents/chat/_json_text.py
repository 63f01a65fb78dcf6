r"""JSON as models write it: line breaks in strings, and LaTeX whose backslashes are not escaped.

``"\frac{1}{2}"`` is valid JSON for a form feed and ``rac{1}{2}``, and ``"\sqrt{4}"`` is no JSON at all. Both
mean LaTeX. What a backslash and a letter mean in a string:

* no escape of JSON (``\sqrt``), or a backspace, form feed or carriage return before a letter (``\frac``,
  ``\rho``): a command;
* a command whose rest is no word behind a line break or tab (``\times``, ``\neq``), and ``\tag{``: a command;
* ``\ne``, ``\nu``, ``\to`` and their like: a command if other commands of the string are not escaped
  either, or if it stands between blanks as a sign does, or behind ``$``, ``^`` or ``_``;
* everything else: what JSON says, so ``\nThen`` begins a line.

Example:
    >>> read_json(r'{"solution": "\frac{12}{4} = 3,\nso \sqrt{9} = 3"} is it', 0)
    ({'solution': '\\frac{12}{4} = 3,\nso \\sqrt{9} = 3'}, 50)
"""

import json
import math
import re
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_BLANKS = re.compile(r"\s*")
_BACKSLASH = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[A-Za-z]+|.)", re.DOTALL)
_CODE = re.compile(r"u[0-9a-fA-F]{4}")
_WORD = re.compile(r"\\([A-Za-z]+)")
_AS_SIGN = re.compile(r"[ \t]+(?![ \t=:])")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Names that begin with the letter of an escape, and whose rest is no word.
_COMMANDS = _names(
    """
    nLeftarrow nLeftrightarrow nRightarrow nVDash nVdash nabla natural nearrow neg neq newcommand
    newenvironment newline newpage newtheorem nexists ngeq ngeqq ngeqslant ngtr nicefrac nleftarrow
    nleftrightarrow nleq nleqq nleqslant nobreak noindent nolimits nolinebreak nonumber normalsize not
    notag notin npreceq nrightarrow nshortmid nshortparallel nsubseteq nsubseteqq nsucc nsucceq nsupset
    nsupseteq nsupseteqq ntriangleleft ntrianglelefteq ntriangleright ntrianglerighteq numberwithin
    nvDash nvdash nwarrow tabularnewline tan tanh tau tbinom text textasciicircum textasciitilde
    textbackslash textbar textbf textbullet textcircled textcolor textdegree textdollar textellipsis
    texteuro textgreater textit textless textmd textmu textnormal textquotesingle textrm textsc textsf
    textsl textstyle textsubscript textsuperscript texttimes texttt textunderscore textup textwidth
    tfrac therefore theta thickapprox thicksim thickspace thinspace tikz tilde times tiny toprule
    triangle triangledown triangleleft trianglelefteq triangleq triangleright trianglerighteq ttfamily
    twoheadleftarrow twoheadrightarrow
    """
)
# Names whose rest may be a name or a word of its own: "\nu = 3" may be u = 3 on a new line.
_UNSURE = _names("ncong ne ni nless nmid nparallel nprec nsim nsubset nu tag to top tt")
# Of these some are commands where braces follow.
_BRACED = _names("nameref newfont newlabel num tag title")
# Signs that stand in front of a command and end no line.
_IN_FRONT = frozenset("$^_")
_CONTROL = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_DECODED = re.compile(r"[\b\f\n\r\t]([A-Za-z]+)(?=(\{?))")


class JSONTextError(ValueError):
    """The text is no JSON; the message says why."""


def read_json(text: str, start: int) -> tuple[Any, int]:
    """One JSON value and where it ends.

    Args:
        text: The text that holds it.
        start: Where it begins, white space before it aside.

    Raises:
        JSONTextError: It is no JSON, or not whole.
    """
    start = _end_of_blanks(text, start)
    end = _end_of_value(text, start)
    pieces: list[str] = []
    lengthened = [(0, 0)]
    position = start
    for token in _TOKEN.finditer(text, start, end):
        if token[0][0] == '"':
            pieces += [text[position : token.start()], _escaped(token[0])]
            position = token.end()
            lengthened.append((lengthened[-1][0] + len(pieces[-1]) - len(token[0]), position))
    written = "".join([*pieces, text[position:end]])
    try:
        value, length = json.JSONDecoder(
            strict=False, parse_constant=_no_constant, parse_float=_finite
        ).raw_decode(written)
    except (ValueError, RecursionError) as error:
        raise JSONTextError(f"it is not valid JSON ({error})") from None
    # A value ends behind the strings in it, so what they grew by in all comes off.
    grown = next(by for by, end_of_string in reversed(lengthened) if start + length - by >= end_of_string)
    return value, start + length - grown


def with_commands(value: Any) -> Any:
    r"""A value that another parser read from JSON, with the commands that it took for control characters.

    Args:
        value: Any JSON value.

    Example:
        >>> with_commands({"solution": "\frac{1}{2} \times 4,\nso"})
        {'solution': '\\frac{1}{2} \\times 4,\nso'}
    """
    if isinstance(value, str):
        return _DECODED.sub(_as_command, value)
    if isinstance(value, list):
        return [with_commands(each) for each in value]
    if isinstance(value, dict):
        return {key: with_commands(each) for key, each in value.items()}
    return value


def unescaped(string: str) -> str:
    """What a quoted string says, read as JSON with the same care; single quotes are as good.

    Args:
        string: The string with its quotes.

    Raises:
        JSONTextError: It cannot be read.
    """
    if string[0] == "'":
        inner = string[1:-1].replace("\\'", "'")
        string = '"' + re.sub(r'(?<!\\)((?:\\\\)*)"', r"\1\\" + '"', inner) + '"'
    value, end = read_json(string, 0)
    if end != len(string):
        raise JSONTextError("it is no single string")
    return str(value)


def _end_of_blanks(text: str, start: int) -> int:
    match = _BLANKS.match(text, start)
    return start if match is None else match.end()


def _end_of_value(text: str, start: int) -> int:
    """Where the brackets that open here are closed; the end of the text if they are not."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if depth <= 0:
            return token.end()
    return len(text)


def _escaped(string: str) -> str:
    """The same string with every backslash that belongs to a command doubled."""
    if "\\" not in string:
        return string
    unescaped_commands = any(_is_command(match, string, surely=True) for match in _BACKSLASH.finditer(string))
    in_matrix = unescaped_commands and re.search(r"(?<!\\)\\begin\b", string) is not None

    def replace(match: re.Match[str]) -> str:
        if match[0] == "\\\\" and in_matrix and not _WORD.match(string, match.end() - 1):
            return "\\\\\\\\"  # the end of a row
        return (
            f"\\{match[0]}" if _is_command(match, string, surely=False, raw=unescaped_commands) else match[0]
        )

    return _BACKSLASH.sub(replace, string)


def _is_command(match: re.Match[str], string: str, *, surely: bool, raw: bool = False) -> bool:
    r"""Whether a backslash of a string is one of LaTeX, rather than an escape of JSON."""
    word = match[0][1:]
    first = word[0]
    if first in '"\\/':
        return False
    if first == "u":
        return not _CODE.fullmatch(word)
    if first not in "bfnrt":
        return True
    if first in "bfr":
        return len(word) > 1
    if word in _COMMANDS or (word in _BRACED and string[match.end()] == "{"):
        return True
    if surely or word not in _UNSURE:
        return False
    before = string[match.start() - 1]
    return not re.match(r"\s*[=:]", string[match.end() :]) and (
        raw
        or before in _IN_FRONT
        or string[match.start() - 2 : match.start()] in ("^{", "_{")
        or (before == " " and _AS_SIGN.match(string, match.end()) is not None)
    )


def _as_command(match: re.Match[str]) -> str:
    name = _CONTROL[match[0][0]] + match[1]
    known = name in _COMMANDS or name[0] in "bfr" or (name in _BRACED and match[2])
    return f"\\{name}" if known else match[0]


def _no_constant(name: str) -> Any:
    raise JSONTextError(f"{name} is no JSON value")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise JSONTextError(f"{number} is too large")
    return value
