r"""Text to what a reader of the rendered text sees: hidden passages, tags and invisible signs are blanked.

A reward that counts what nobody sees invites solutions that hide their steps. Blanks take the place of
what is removed, so every offset stays an offset into the original text.

Example:
    >>> visible_text(r"3 + 4 = <b>7</b> \phantom{2 + 2 = 4}.")
    '3 + 4 =    7                        .'
    >>> visible_text("4\u200b5 = 9")
    ' 45 = 9'
"""

import re
import unicodedata

_SEEN_COLORS = re.compile(
    "red|blue|green|black|orange|purple|brown|gr[ae]y|teal|violet|magenta|cyan|maroon|navy|olive",
    re.IGNORECASE,
)
_HIDING = re.compile(
    r"""
    <!--(?P<comment>)
  | <(?P<tag>[A-Za-z][A-Za-z0-9]{0,15})(?P<attributes>(?=[\s/>])(?:[^<>"']|"[^"<]{0,500}"|'[^'<]{0,500}')*+)>
  | </[A-Za-z][A-Za-z0-9]{0,15}\s{0,4}>
  | \\[hv]?phantom\s{0,4}\{(?P<phantom>)
  | \\(?P<text>text)?color\s{0,4}(?P<model>\[[^\]\n]{0,20}\])?\s{0,4}
    \{(?P<color>[^{}\n]{0,60})\}\s{0,4}(?P<group>\{)?
  | \\(?:iffalse(?![A-Za-z])|begin\{comment\})(?P<iffalse>)
  | \[[^\]\n]{1,80}\]:[ \t]{0,9}\S{1,80}[ \t]{1,9}
    (?:\([^\n]{0,4000}\)|"[^\n]{0,4000}"|'[^\n]{0,4000}')[ \t]{0,9}$
  | !\[[^\]\n]{0,500}\]\([^()\n]{0,500}\)
    """,
    re.VERBOSE | re.MULTILINE,
)
_STYLED = re.compile(r"\b(?:style|hidden|color|class|size)\b", re.IGNORECASE)
_EMPTY_TAGS = frozenset(["br", "hr", "img", "input", "col", "wbr", "link", "meta"])
_UNSEEN_TAGS = frozenset(
    ["script", "style", "template", "title", "head", "noscript", "textarea", "option", "datalist", "dialog"]
)
_BRACES = re.compile(r"\\.|(?P<open>\{)|(?P<close>\})", re.DOTALL)
_NEXT_COLOR = re.compile(r"\\(?:normalcolor|color(?![A-Za-z]))")
_CONDITION_END = re.compile(r"\\(?:fi(?![A-Za-z])|end\{comment\})")
_ENTITIES = {
    "&nbsp;": " ", "&times;": "*", "&minus;": "-", "&divide;": "/", "&plus;": "+", "&equals;": "=",
    "&lt;": "<", "&gt;": ">", "&shy;": "", "&zwj;": "", "&zwnj;": "", "&ZeroWidthSpace;": "",
    "&#61;": "=", "&#8203;": "", "&#173;": "",
}  # fmt: skip
# A closing tag between two numbers: "<score>0</score> 2 + 2 = 5".
_PARTS_NUMBERS = re.compile(
    r"(?<=\d)</(?!su[bp]\b)[A-Za-z][A-Za-z0-9]{0,15}\s{0,4}>(?=\s*[-+(]?\d)", re.IGNORECASE
)
_ENTITY = re.compile("|".join(map(re.escape, _ENTITIES)))
_WORD = re.compile(r"\S+")


def visible_text(text: str) -> str:
    """A text with everything blanked that a reader would not see, or would see as mere decoration.

    Args:
        text: Plain text, Markdown, HTML or LaTeX.

    Returns:
        A text of the same length. Comments, phantoms, white or styled passages, link definitions and the
        tags themselves become blanks; invisible characters move in front of the word they stand in.
    """
    text = _without_hidden(text)
    shown = _ENTITY.sub(lambda match: _ENTITIES[match.group()].rjust(len(match.group())), text)
    return _without_invisible(shown.replace("`", " "))


def _without_hidden(text: str) -> str:
    pieces: list[str] = []
    position = 0
    while match := _HIDING.search(text, position):
        pieces.append(text[position : match.start()])
        position = _hidden_until(text, match)
        blank = _blank(text[match.start() : position], match)
        pieces.append(f"{blank[:-1]};" if _PARTS_NUMBERS.match(text, match.start()) else blank)
    pieces.append(text[position:])
    return "".join(pieces)


def _blank(hidden: str, match: re.Match[str]) -> str:
    if (match["tag"] or "").lower() == "sup" and len(hidden) == match.end() - match.start():
        return "^".rjust(len(hidden))
    return re.sub(r"[^\n]", " ", hidden)


def _hidden_until(text: str, match: re.Match[str]) -> int:
    """Where what a mark hides ends; where the mark itself ends if it hides nothing else."""
    end = match.end()
    if match["comment"] is not None:
        comment_end = text.find("-->", end)
        return len(text) if comment_end < 0 else comment_end + 3
    if match["phantom"] is not None:
        return _closed(text, end, _BRACES)
    if match["iffalse"] is not None:
        closing = _CONDITION_END.search(text, end)
        return closing.end() if closing else len(text)
    if match["color"] is not None:
        if match["model"] is None and _SEEN_COLORS.fullmatch(match["color"].strip()):
            return end - bool(match["group"])
        if match["group"]:
            return _closed(text, end, _BRACES)
        other = _NEXT_COLOR.search(text, end)
        return other.start() if other and not match["text"] else len(text)
    tag = (match["tag"] or "").lower()
    if tag and (tag in _UNSEEN_TAGS or _STYLED.search(match["attributes"])):
        tags = re.compile(rf"(?P<close></{tag}\b[^<>]*+>)|(?P<open><{tag}\b[^<>]*+>)", re.IGNORECASE)
        return end if tag in _EMPTY_TAGS else _closed(text, end, tags)
    return end


def _closed(text: str, start: int, brackets: re.Pattern[str]) -> int:
    """The place behind the bracket that closes a group; the end of the text if nothing closes it."""
    depth = 1
    for match in brackets.finditer(text, start):
        depth += bool(match["open"]) - bool(match["close"])
        if not depth:
            return match.end()
    return len(text)


def _without_invisible(text: str) -> str:
    unseen = {ord(sign) for sign in set(text) if _is_invisible(sign)}
    if not unseen:
        return text
    gone = dict.fromkeys(unseen, "")
    return _WORD.sub(lambda word: word.group().translate(gone).rjust(len(word.group())), text)


def _is_invisible(sign: str) -> bool:
    category = unicodedata.category(sign)
    return (category == "Cc" and not sign.isspace()) or category in ("Cf", "Cn", "Cs", "Co")
