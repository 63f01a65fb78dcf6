"""What the words directly before an operand say about it: "half of 10 + 2" is not the sum of 10 and 2.

Only the words that cannot change a calculation pass: after a clause, a verb, or "a total of". Where a word
may change the first operand, or a number before it may belong to it, the side is in doubt.

Example:
    >>> from latentseek_agents.tools._steps.tokens import tokenize
    >>> tokens = tokenize("3 bags of 5 + 2")
    >>> doubt_of_words(tokens, 0, 3), doubt_of_words(tokenize("a total of 5 + 2"), 0, 3)
    ('a number before it may multiply', '')
"""

from collections.abc import Sequence

from latentseek_agents.tools._maths.number_words import CARDINALS
from latentseek_agents.tools._maths.words import (
    APPROXIMATORS,
    BREAK_WORDS,
    CALCULATION_NAMES,
    FILLERS,
    FUNCTIONS,
    LABELS,
    OF_SEVERAL,
    SPOKEN_OPERATIONS,
)
from latentseek_agents.tools._steps.tokens import END, Token, token_at

_REACH = 12
_PASSED_OVER = FILLERS | APPROXIMATORS | {"a"}


def doubt_of_words(tokens: Sequence[Token], lowest: int, start: int) -> str:
    """Why the words before an operand may change it; "" if none does.

    Args:
        tokens: All tokens of the text.
        lowest: Index of the first token that may belong to it; the side before ends there.
        start: Index of the first token of the operand.

    Example:
        >>> from latentseek_agents.tools._steps.tokens import tokenize
        >>> doubt_of_words(tokenize("log 100 + 1"), 0, 1), doubt_of_words(tokenize("she has 100 + 1"), 0, 2)
        ('the word "log" before it may be an operation', '')
    """
    place = start - 1
    while place > lowest and tokens[place].text.lower() in _PASSED_OVER:
        place -= 1
    if place < lowest:
        return ""
    nearest, before = tokens[place], token_at(tokens, place - 1) if place > lowest else END
    if nearest.word in FUNCTIONS or nearest.word in SPOKEN_OPERATIONS:
        return f'the word "{nearest.word}" before it may be an operation'
    if nearest.word in ("and", "or"):
        return _doubt_of_list(tokens, lowest, place)
    if _counted(tokens, lowest, place):
        return "a number before it may multiply"
    if nearest.word == "of" and before.kind != "end" and before.word not in CALCULATION_NAMES:
        return "what it is of may be another number"
    return ""


def _counted(tokens: Sequence[Token], lowest: int, last: int) -> bool:
    """Whether a number stands before a run of words that ends at ``last``: "3 bags with"."""
    for index in range(last, max(lowest, last - _REACH) - 1, -1):
        token = tokens[index]
        if token.kind in ("number", "percent"):
            return index == lowest or tokens[index - 1].word not in LABELS
        if token.kind != "word" or token.word in BREAK_WORDS:
            return False
        if CARDINALS.get(token.word, 0) > 1:
            return True
    return False


def _doubt_of_list(tokens: Sequence[Token], lowest: int, conjunction: int) -> str:
    """Whether the operand behind "and" is the last one of several: "the average of 4 and 6 + 1"."""
    if conjunction > lowest and tokens[conjunction - 1].kind == "number":
        return "it may be the last of several numbers"
    for index in range(conjunction - 1, max(-1, conjunction - 1 - _REACH), -1):
        token = tokens[index]
        if token.kind in ("relation", "break"):
            return ""
        if token.word in OF_SEVERAL or token.word in FUNCTIONS:
            return "it may be the last of several numbers"
    return ""
