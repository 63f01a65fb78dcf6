r"""The words that lead to an equation: does it follow from those before, or is it about something else?

"Subtract 3 from both sides: 2x = 10" and an equation alone on its line go on from the one before. "Triangle:
A = 12" and "For the second, 3x = 12" give a letter a new meaning, and "Ann has 3x = 12" may.

Example:
    >>> from latentseek_agents.tools._steps.tokens import tokenize
    >>> tokens = tokenize("A = 24.\nTriangle: A = 12, so A = 12")
    >>> starts_anew(tokens, 7), may_start_anew(tokens, 12), starts_anew(tokens, 12)
    (True, False, False)
"""

from collections.abc import Sequence

from latentseek_agents.tools._maths.words import BREAK_WORDS, DERIVING_WORDS, LABELS, OTHER_SUBJECTS
from latentseek_agents.tools._steps.tokens import Token

_REACH = 24
_LONGEST_LABEL = 3
_SENTENCE_ENDS = frozenset((".", "?", ";", "!", "\n"))
_OPENERS = frozenset(("\n", ":", "\\[", "$$", "("))


def starts_anew(tokens: Sequence[Token], start: int) -> bool:
    """Whether the words before an equation give its letter a new meaning.

    Args:
        tokens: All tokens of the text.
        start: Index of the first token of the equation.
    """
    lead, labelled = _lead(tokens, start)
    words = {token.text.lower() for token in lead if token.kind == "word"}
    if words & OTHER_SUBJECTS:
        return True
    plain = not words & (DERIVING_WORDS | BREAK_WORDS | LABELS)
    return labelled and 0 < len(lead) <= _LONGEST_LABEL and plain


def may_start_anew(tokens: Sequence[Token], start: int) -> bool:
    """Whether words stand before an equation, and none says that it follows.

    Args:
        tokens: All tokens of the text.
        start: Index of the first token of the equation.
    """
    lead, _ = _lead(tokens, start)
    words = {token.word for token in lead if token.kind == "word"}
    return starts_anew(tokens, start) or (bool(words) and not words & DERIVING_WORDS)


def _lead(tokens: Sequence[Token], start: int) -> tuple[list[Token], bool]:
    """The words and letters of the sentence that leads to an equation, and whether a colon ends it."""
    index, colon = start - 1, False
    while index >= 0 and (tokens[index].text in _OPENERS or tokens[index].text.startswith("\\begin")):
        colon |= tokens[index].text == ":"
        index -= 1
    lead: list[Token] = []
    for token in reversed(tokens[max(0, index - _REACH) : index + 1]):
        if token.kind == "relation" or (token.kind == "break" and token.text in _SENTENCE_ENDS):
            break
        if token.kind in ("word", "letter"):
            lead.append(token)
    return lead, colon
