r"""One way to write mathematics: Unicode, LaTeX dressing and plain text become one plain notation.

After :func:`plain_notation` a text has ASCII operators, no math delimiters, no spacing commands, and
``\text{...}`` is gone. What is left of LaTeX are commands with a meaning, such as ``\frac`` and ``\cup``.
"""

import re
import unicodedata
from collections.abc import Callable

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

_OVERLAY = re.compile("[\u0334-\u0338\u20d2\u20d3\u20e5\u20eb]")
_STRUCK = re.compile(r"~~(?=\S)([^~\n]{1,400})~~|<(s|del|strike)>([^<\n]{1,400})</\2>")
# Without braces LaTeX would take the first digit only, but after the sign all of a number is meant.
_HIGHER_ROOT = re.compile(r"([∛∜])\s?(\d+(?:\.\d+)?)")
_BRACES = re.compile(
    r"(?P<wrapper>\\(?:text|mbox|hbox|textbf|textit|textrm|textsf|texttt|textnormal|textup|emph|mathrm|mathbf|mathit|mathsf|"
    r"mathtt|mathcal|mathbb|bold|boldsymbol|bm|boxed|fbox|underline|vec|hat|widehat|tilde|mathop|"
    r"operatorname\*?)[ \t]*\{)|\\[{}]|[{}]"
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
_NUMBER_SETS = {"R": r"\reals ", "Z": " integers ", "Q": " rational numbers ", "N": " natural numbers "}
_Rules = tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]


def _without_dollars(match: re.Match[str]) -> str:
    """The text from the first dollar sign on; dollars stand before numbers, or else delimit formulas."""
    pieces = match[0].split("$")
    priced = all(piece[:1].isdigit() or piece[:1] in (".", "-") for piece in pieces[1:])
    return (CURRENCY if priced else " ").join(pieces)


# What looks different and means the same, in the order in which it is rewritten.
_BEFORE_UNWRAPPING: _Rules = (
    # What is not to be seen is no answer, and what is crossed out is none either.
    (re.compile(r"\\[hv]?phantom[ \t]*\{[^{}]{0,400}\}"), " "),
    (re.compile(r"\\not[ \t]*="), "!="),
    # The distance to the next line of a matrix.
    (re.compile(r"\\\\\s?\[-?[\d.]{1,6}\s?(?:pt|em|ex|mm|cm|px)\]"), r"\\\\"),
    (re.compile(r"\\\$"), CURRENCY),
    (re.compile(r"(?<!\\)\\[()\[\]]"), " "),
    (re.compile(r"\$.*", re.DOTALL), _without_dollars),
    # Colours and fonts that are switched on, fractions in the manner of TeX, and an x between numbers.
    (
        re.compile(
            r"(?<!\\)\\(?:(?:text)?color[ ]?\{(?!(?i:white|transparent)\})[a-zA-Z]{1,20}\}|"
            r"(?:bf|it|rm|sf|tt)(?:series|shape|family)?(?![a-zA-Z]))"
        ),
        " ",
    ),
    (re.compile(r"\{([^{}]{1,200}?)\\over(?![a-zA-Z])([^{}]{1,200})\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"\{([^{}]{1,200}?)\\choose(?![a-zA-Z])([^{}]{1,200})\}"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<=\d) [xX] (?=\d)|(?<=\d)[xX](?=10\^)"), r" \\times "),
    (
        re.compile(r"\\(?:mathbb|Bbb)(?: ?\{ ?([RZQN]) ?\}| ([RZQN])(?![A-Za-z]))"),
        lambda match: _NUMBER_SETS[match[1] or match[2]],
    ),
    (re.compile(r"\{([:,;])\}(?!\s?\d{3})|(?<=\d)\\!(?=\d)"), r"\1"),
    (re.compile(r"\\dot ?\{(\d)\}(\d*)\\dot ?\{(\d)\}"), r"\\overline{\1\2\3}"),
    (
        re.compile(
            r"(?<=\d)(?:\{,\}\s?|\s?,\s?(?:\\!\s?)+|\\!\s?,\s?(?:\\!\s?)*|\\!\s|"
            r"\\[,;: ]\s?(?=\d{3}(?!\d))|,\{\}|\{\\,\}\s?)(?=\d{3})"
        ),
        "",
    ),
    (re.compile(r"(?<!\\)\\(?:\||[lr]?Vert(?![a-zA-Z]))"), "|"),
    # Commands that change the look and not the meaning.
    (
        re.compile(
            r"(?<!\\)\\(?:left|right|bigg?l?r?|Bigg?l?r?|bigl|bigr|Bigl|Bigr|displaystyle|textstyle|scriptstyle|limits|nolimits|"
            r"hfill|noindent|null|strut)(?![a-zA-Z])\.?|(?<!\\)\\!"
        ),
        " ",
    ),
    (
        re.compile(
            r"(?<!\\)\\(?:quad|qquad|enspace|thinspace|space|hspace\{[^{}]*\})(?![a-zA-Z])|(?<!\\)\\[,;:> ]|~"
        ),
        " ",
    ),
)
_AFTER_UNWRAPPING: _Rules = (
    (re.compile(r"\\([a-zA-Z]+)"), lambda match: _RENAMED.get(match[1], match[0])),
    # (mod 7), \pmod{7}, \mod 7
    (
        re.compile(
            r"(?:\(\s?\\?[bp]?mod(?:ulo)?|\\pmod)\s?\{?\s?(\w{1,40})\s?\}?\s?\)?"
            r"|(?<![A-Za-z\\])\\?mod(?:ulo)?(?![A-Za-z])|\\bmod(?![A-Za-z])"
        ),
        lambda match: rf" \pmod{{{match[1]}}}" if match[1] else r" \bmod ",
    ),
    (re.compile(r"\^\{\^?\\circ\}|\{\^\\circ\}"), r"^\\circ"),
    (re.compile(r"(\\overline ?\{ ?\d+ ?\})\s?\.\.\."), r"\1"),
    (re.compile(r"\^\^"), "^"),
    (re.compile(r"\\([%&])|\\#"), r"\1"),
    (re.compile(r"\s+"), " "),
    (re.compile(r"\^ \\circ"), r"^\\circ"),
    (re.compile(r"(?<![a-zA-Z])oo(?![a-zA-Z])"), r"\\infty "),
)


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
    text = _from_unicode(_STRUCK.sub(r" \\cancel{\1\3} ", text[:LONGEST_ANSWER]))
    text = _unwrapped(_rewritten(text, _BEFORE_UNWRAPPING))
    text = _rewritten(text, _AFTER_UNWRAPPING).strip()
    ellipsis = "..." if text.endswith("...") else ""
    text = text.rstrip("\\.,;: ") + ellipsis
    return text.strip("*_`\"' ") if not text.endswith("'") else text.lstrip("*_`\"' ")


def _rewritten(text: str, rules: _Rules) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


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


def _unwrapped(text: str) -> str:
    r"""The text without ``\text{...}`` and its like; their content stays, set off by blanks."""
    output: list[str] = []
    opened: list[str] = []
    position = 0
    for match in _BRACES.finditer(text):
        brace = match[0]
        output.append(text[position : match.start()])
        position = match.end()
        if brace == "}":
            brace = opened.pop() if opened else "}"
        elif match["wrapper"]:
            opened.append(" ")
            brace = " \\" if brace.startswith(r"\operatorname") else " "
        elif brace == "{":
            opened.append("}")
        output.append(brace)
    return "".join(output) + text[position:]
