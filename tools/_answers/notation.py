r"""One way to write mathematics: Unicode, LaTeX dressing and plain text become one plain notation.

After :func:`plain_notation` a text has ASCII operators, no math delimiters, no spacing commands, and
``\text{...}`` is gone. What is left of LaTeX are commands with a meaning, such as ``\frac`` and ``\cup``.
"""

import re
import unicodedata

__all__ = ["LONGEST_ANSWER", "plain_notation"]

LONGEST_ANSWER = 4096
CURRENCY = "¤"

_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi "
    "psi omega Delta Gamma Lambda Sigma Phi Psi Omega phi"
)
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–—‐‑‒﹣－", "-"),
        **dict.fromkeys("“”„", '"'),
        **dict.fromkeys("‘’′", "'"),
        **dict.fromkeys("\u2009\u202f\u00a0\u2007\u2002\u2003", " "),
        "″": "''",
        "×": r"\times ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "∙": r"\cdot ",
        "∗": "*",
        "÷": "/",
        "⁄": "/",
        "∕": "/",
        "√": "√",
        "∛": r"\sqrt[3]",
        "∜": r"\sqrt[4]",
        "∞": r"\infty ",
        "π": r"\pi ",
        "°": r"^\circ ",
        "º": r"^\circ ",
        "±": r"\pm ",
        "∓": r"\mp ",
        "≤": "<=",
        "⩽": "<=",
        "≥": ">=",
        "⩾": ">=",
        "≠": "!=",
        "≈": r"\approx ",
        "≅": r"\approx ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∈": r"\in ",
        "∖": r"\setminus ",
        "≡": r"\equiv ",
        "‖": "|",
        "∅": r"\emptyset ",
        "ℝ": r"\reals ",
        "ℤ": " integers ",
        "…": "...",
        "⋯": "...",
        "⌊": r"\lfloor ",
        "⌋": r"\rfloor ",
        "⌈": r"\lceil ",
        "⌉": r"\rceil ",
        "⟨": r"\langle ",
        "⟩": r"\rangle ",
        "∨": r" or ",
        "∧": r" and ",
        "€": " EUR ",
        "£": " GBP ",
        "¥": " JPY ",
        "₹": " INR ",
        "¢": " cents ",
        "⊤": r"\top ",
        **{
            letter: "\\" + name + " "
            for letter, name in zip(
                "αβγδεζηθικλμνξρστυφχψωΔΓΛΣΦΨΩϕ",
                _GREEK_NAMES.split(),
                strict=True,
            )
        },
    }
)
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ", "0123456789+-()nix", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉ₙ", "0123456789n", strict=True))
# Digits with a line or a dot above them repeat.
_OVERLINE = re.compile("[\u0305\u0304]")
_OVERLINED = re.compile("(?:[0-9][\u0305\u0304]){1,60}")
_DOTTED = re.compile("[0-9]\u0307(?:[0-9]{0,60}[0-9]\u0307)?")
_RAISED = re.compile("[" + "".join(_SUPERSCRIPTS) + "]+")
_LOWERED = re.compile("[" + "".join(_SUBSCRIPTS) + "]+")

# Commands that change the look and not the meaning.
_LOOKS = re.compile(
    r"(?<!\\)\\(?:left|right|bigg?l?r?|Bigg?l?r?|bigl|bigr|Bigl|Bigr|displaystyle|textstyle|scriptstyle|limits|nolimits|"
    r"hfill|noindent|null|strut)(?![a-zA-Z])\.?|(?<!\\)\\!"
)
_SPACES = re.compile(
    r"(?<!\\)\\(?:quad|qquad|enspace|thinspace|space|hspace\{[^{}]*\})(?![a-zA-Z])|(?<!\\)\\[,;:> ]|~"
)
_WRAPPERS = re.compile(
    r"\\(?:text|mbox|hbox|textbf|textit|textrm|textsf|texttt|textnormal|textup|emph|mathrm|mathbf|mathit|mathsf|"
    r"mathtt|mathcal|mathbb|bold|boldsymbol|bm|boxed|fbox|underline|vec|hat|widehat|tilde|mathop|"
    r"operatorname\*?)[ \t]*\{"
)
_RENAMED = {
    "dfrac": r"\frac",
    "tfrac": r"\frac",
    "cfrac": r"\frac",
    "dbinom": r"\binom",
    "tbinom": r"\binom",
    "leq": "<=",
    "le": "<=",
    "leqslant": "<=",
    "leqq": "<=",
    "geq": ">=",
    "ge": ">=",
    "geqslant": ">=",
    "geqq": ">=",
    "lt": "<",
    "gt": ">",
    "neq": "!=",
    "ne": "!=",
    "lvert": "|",
    "rvert": "|",
    "vert": "|",
    "mid": "|",
    "lbrace": r"\{",
    "rbrace": r"\}",
    "lbrack": "[",
    "rbrack": "]",
    "lparen": "(",
    "rparen": ")",
    "ldots": "...",
    "dots": "...",
    "cdots": "...",
    "dotsc": "...",
    "varnothing": r"\emptyset",
    "ast": "*",
    "star": "*",
    "div": "/",
    "degree": r"^\circ",
    "deg": r"^\circ",
    "degrees": r"^\circ",
    "celsius": "C",
    "varphi": r"\phi",
    "varepsilon": r"\epsilon",
    "vartheta": r"\theta",
    "sim": r"\approx",
    "simeq": r"\approx",
    "lor": " or ",
    "vee": " or ",
    "land": " and ",
    "wedge": " and ",
    "colon": ":",
    "prime": "'",
    "euro": " EUR ",
    "pounds": " GBP ",
    "cent": " cents ",
    "infin": r"\infty",
    "iff": "=",
    "backslash": r"\setminus ",
    "smallsetminus": r"\setminus ",
}
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_DIGITS_WITH_SPACE = re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\!,|\\[,;: ](?=\d{3}(?!\d))|,\{\}|\{\\,\})(?=\d{3})")
# Colours and fonts that are switched on, fractions in the manner of TeX, and an x between numbers.
_SWITCHES = re.compile(
    r"(?<!\\)\\(?:(?:text)?color[ ]?\{(?!(?i:white|transparent)\})[a-zA-Z]{1,20}\}|"
    r"(?:bf|it|rm|sf|tt)(?:series|shape|family)?(?![a-zA-Z]))"
)
# What is not to be seen is no answer, and what is crossed out is none either.
_UNSEEN = re.compile(r"\\[hv]?phantom[ \t]*\{[^{}]{0,400}\}")
_OVERLAY = re.compile("[\u0334-\u0338\u20d2\u20d3\u20e5\u20eb]")
_STRUCK = re.compile(r"~~(?=\S)([^~\n]{1,400})~~|<(s|del|strike)>([^<\n]{1,400})</\2>")
_NOT_EQUAL = re.compile(r"\\not[ \t]*=")
_OVER = re.compile(r"\{([^{}]{1,200}?)\\over(?![a-zA-Z])([^{}]{1,200})\}")
_LETTER_TIMES = re.compile(r"(?<=\d) [xX] (?=\d)|(?<=\d)[xX](?=10\^)")
_NORM = re.compile(r"(?<!\\)\\(?:\||[lr]?Vert(?![a-zA-Z]))")
_CHOOSE = re.compile(r"\{([^{}]{1,200}?)\\choose(?![a-zA-Z])([^{}]{1,200})\}")
_NUMBERS = re.compile(r"\\(?:mathbb|Bbb)(?: ?\{ ?([RZQN]) ?\}| ([RZQN])(?![A-Za-z]))")
_NUMBER_SETS = {"R": r"\reals ", "Z": " integers ", "Q": " rational numbers ", "N": " natural numbers "}
_PUNCTUATION = re.compile(r"\{([:,;])\}(?!\d{3})|(?<=\d)\\!(?=\d)")
_DOTTED_PERIOD = re.compile(r"\\dot ?\{(\d)\}(\d*)\\dot ?\{(\d)\}")
_LONG_PERIOD = re.compile(r"(\\overline ?\{ ?\d+ ?\})\s?\.\.\.")
# (mod 7), \pmod{7}, \mod 7
_MODULUS = re.compile(
    r"(?:\(\s?\\?[bp]?mod(?:ulo)?|\\pmod)\s?\{?\s?(\w{1,40})\s?\}?\s?\)?"
    r"|(?<![A-Za-z\\])\\?mod(?:ulo)?(?![A-Za-z])|\\bmod(?![A-Za-z])"
)
_PLAIN_INFINITY = re.compile(r"(?<![a-zA-Z])oo(?![a-zA-Z])")


# Without braces LaTeX would take the first digit only, but after the sign all of a number is meant.
_HIGHER_ROOT = re.compile(r"([∛∜])\s?(\d+(?:\.\d+)?)")
# The distance to the next line of a matrix.
_LINE_BREAK = re.compile(r"\\\\\s?\[-?[\d.]{1,6}\s?(?:pt|em|ex|mm|cm|px)\]")


def plain_notation(text: str) -> str:
    r"""A text in plain notation; at most ``LONGEST_ANSWER`` characters of it.

    Args:
        text: Any text.

    Returns:
        The text without dressing, its runs of blanks made one.

    Example:
        >>> plain_notation(r"$\dfrac{1}{2}\,\text{cm}$")
        '\\frac{1}{2} cm'
        >>> plain_notation("2√5 × 10³")
        '2√5 \\times 10^{3}'
    """
    text = _STRUCK.sub(r" \\cancel{\1\3} ", text[:LONGEST_ANSWER])
    text = _LINE_BREAK.sub(r"\\\\", _NOT_EQUAL.sub("!=", _UNSEEN.sub(" ", _from_unicode(text))))
    text = _without_delimiters(text)
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", _OVER.sub(r"\\frac{\1}{\2}", _SWITCHES.sub(" ", text)))
    text = _NUMBERS.sub(
        lambda match: _NUMBER_SETS[match[1] or match[2]], _LETTER_TIMES.sub(r" \\times ", text)
    )
    text = _DOTTED_PERIOD.sub(r"\\overline{\1\2\3}", _PUNCTUATION.sub(r"\1", text))
    text = _DIGITS_WITH_SPACE.sub("", text)
    text = _SPACES.sub(" ", _LOOKS.sub(" ", _NORM.sub("|", text)))
    text = _unwrapped(text)
    text = _COMMAND.sub(_renamed, text)
    text = _MODULUS.sub(_modulus, text) if "mod" in text else text
    text = (
        text.replace(r"^{\circ}", r"^\circ").replace(r"{^\circ}", r"^\circ").replace(r"^{^\circ}", r"^\circ")
    )
    text = _LONG_PERIOD.sub(r"\1", text)
    text = text.replace("^^", "^").replace(r"\%", "%").replace(r"\#", "").replace(r"\&", "&")
    text = " ".join(text.split()).replace(r"^ \circ", r"^\circ")
    text = _PLAIN_INFINITY.sub(r"\\infty ", text)
    ellipsis = text.endswith("...")
    text = text.rstrip("\\.,;: ") + ("..." if ellipsis else "")
    return text.strip("*_`\"' ") if not text.endswith("'") else text.lstrip("*_`\"' ")


def _from_unicode(text: str) -> str:
    # A slash over an equals sign belongs to it; over anything else it crosses it out.
    text = _OVERLAY.sub(r"\\not ", text.replace("=\u0338", "≠"))
    text = _HIGHER_ROOT.sub(r"\1{\2}", text)
    text = _OVERLINED.sub(lambda run: r"\overline{" + _OVERLINE.sub("", run.group()) + "}", text)
    text = _DOTTED.sub(lambda run: r"\overline{" + run.group().replace("\u0307", "") + "}", text)
    text = "".join(
        character
        for character in text
        if unicodedata.category(character) not in ("Cf", "Cs", "Cc", "Mn") or character in "\n\t\r"
    )
    text = _RAISED.sub(lambda run: "^{" + "".join(_SUPERSCRIPTS[c] for c in run.group()) + "}", text)
    text = _LOWERED.sub(lambda run: "_{" + "".join(_SUBSCRIPTS[c] for c in run.group()) + "}", text)
    if text.isascii():
        return text
    return "".join(map(_ascii, text)).translate(_CHARACTERS)


def _ascii(character: str) -> str:
    if character.isascii():
        return character
    if ord(character) in _CHARACTERS:
        return character
    folded = unicodedata.normalize("NFKC", character)
    if "⁄" in folded:
        top, bottom = folded.split("⁄")
        return f"\\frac{{{top or 1}}}{{{bottom}}}" if bottom else folded
    digit = unicodedata.decimal(character, None)
    return str(digit) if digit is not None else folded


def _without_delimiters(text: str) -> str:
    text = text.replace(r"\$", CURRENCY)
    text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)
    pieces = text.split("$")
    if len(pieces) == 1:
        return text
    priced = all(piece[:1].isdigit() or piece[:1] in (".", "-") for piece in pieces[1:])
    return (CURRENCY if priced else " ").join(pieces)


def _unwrapped(text: str) -> str:
    r"""The text without ``\text{...}`` and its like; their content stays, set off by blanks."""
    if not _WRAPPERS.search(text):
        return text
    output: list[str] = []
    opened: list[str] = []
    position = 0
    for match in re.finditer(_WRAPPERS.pattern + r"|\\[{}]|[{}]", text):
        brace = match.group()
        output.append(text[position : match.start()])
        position = match.end()
        if brace == "{":
            opened.append("}")
            output.append(brace)
        elif brace == "}":
            output.append(opened.pop() if opened else "}")
        elif len(brace) == 2:
            output.append(brace)
        else:
            opened.append(" ")
            output.append(_opening(brace))
    output.append(text[position:])
    return "".join(output)


def _opening(wrapper: str) -> str:
    return " \\" if wrapper.startswith(r"\operatorname") else " "


def _modulus(match: re.Match[str]) -> str:
    return rf" \pmod{{{match[1]}}}" if match[1] else r" \bmod "


def _renamed(match: re.Match[str]) -> str:
    return _RENAMED.get(match.group(1), match.group())
