"""Make the text of models and users safe and short enough for a terminal."""

import re
import unicodedata

# Escape sequences as a whole, so that no "[31m" is left of one.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
# Control, format (direction marks, invisible characters), surrogate and private characters.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn"}


def plain(text: str) -> str:
    r"""Text without anything that a terminal would obey: only printable characters and line breaks.

    Example:
        >>> plain("\x1b[31mred\x1b[0m\a [bold]\u202e")
        'red [bold]'
    """
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\t", "    "))
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in _UNPRINTABLE)


def one_line(text: str, longest: int = 160) -> str:
    r"""The same on one line, cut off in the middle of nowhere if it is too long.

    Example:
        >>> one_line("What is\n17 + 25?", longest=12)
        'What is 17 …'
    """
    text = " ".join(plain(text).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
