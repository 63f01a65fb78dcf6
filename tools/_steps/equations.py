"""Find the equations in a solution: which tokens stand left and right of each relation sign.

Prose surrounds equations. Left of a sign the longest readable suffix counts, right of it the longest
readable prefix. Where the neighbourhood suggests that something was missed, the side carries a doubt.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from latentseek_agents.tools._steps.parser import parse_at
from latentseek_agents.tools._steps.reader import Parse, is_operand_start
from latentseek_agents.tools._steps.tokens import Token, fold, tokenize
from latentseek_agents.tools._words import (
    DISPUTED,
    HYPOTHETICAL,
    LABELS,
    RETRACTIONS,
    SHORT_UNITS,
    conversion_factors,
)

__all__ = ["MAX_EQUATIONS", "Comparison", "Side", "find_comparisons"]

MAX_EQUATIONS = 400
"""Relation signs that are looked at; the rest of the text is not read."""

_MAX_SIDE_TOKENS = 160
_MAX_STARTS = 16
_DISPUTE_REACH = 5
_DENIAL_REACH = 12
_DENIALS = frozenset(("not", "isn't", "doesn't", "don't", "never", "cannot", "can't"))
_CROSSES = frozenset("✗✘❌")
# Where these stand, numbers or operators may have a meaning of their own: 7 + 1 = 10 in base 8.
_OTHER_MEANINGS = (
    "base",
    "binary",
    "octal",
    "hexadecimal",
    "modul",
    "a clock",
    "let ",
    "define",
    "operation",
)
_OTHER_MEANING = re.compile(
    r"\bin\s{1,3}base\b|\bbase[- ]?(?:\d|two\b|three\b|five\b|eight\b|twelve\b|sixteen\b)|\b(?:binary|octal|"
    r"hexadecimal|modul[oa]r?)\b|\bon\s{1,3}a\s{1,3}clock\b"
    r"|\b(?:let|define[sd]?|operation)\b[^=\n]{0,40}?\b[a-z]\s?[^\w\s=+/^().,:;$-]{1,2}\s?[a-z]\s?="
)


@dataclass(slots=True)
class Side:
    """One side of an equation.

    Args:
        tokens: All tokens of the text.
        start: Index of the side's first token.
        stop: Index after its last token, units included.
        parse: The expression, or None if it cannot be read.
        doubt: Why the reading may be wrong, or "".
    """

    tokens: list[Token]
    start: int
    stop: int
    parse: Parse | None
    doubt: str = ""


@dataclass(slots=True)
class Comparison:
    """Two sides with a relation sign between them.

    Args:
        left: What stands left of the sign.
        sign: ``=`` or ``≈``.
        right: What stands right of the sign.
        start: Offset of the first character.
        end: Offset after the last character.
        continues: The left side is the right side of the comparison before.
        labelled: A word stands directly before the left side.
        disputed: The text does not claim it ("... is wrong", "if ...").
    """

    left: Side
    sign: str
    right: Side
    start: int
    end: int
    continues: bool = False
    labelled: bool = False
    disputed: bool = False


def find_comparisons(text: str) -> list[Comparison]:
    """The equations of a text in order, links of a chain ``a = b = c`` one by one.

    Args:
        text: A solution; plain text, Markdown or LaTeX.

    Returns:
        What stands around each ``=`` and ``≈``, whether it can be read or not.

    Example:
        >>> [(c.start, c.end) for c in find_comparisons("She has 48/2 = 24 pens.")]
        [(8, 22)]
    """
    tokens = tokenize(text)
    letters = _variables(tokens)
    strange = "numbers or signs may have another meaning here" if _is_redefined(text) else ""
    found: list[Comparison] = []
    for first, last in _clauses(tokens):
        found.extend(_clause_comparisons(tokens, first, last, letters, strange))
        if len(found) >= MAX_EQUATIONS:
            break
    del found[MAX_EQUATIONS:]
    return found


def _clauses(tokens: list[Token]) -> Iterator[tuple[int, int]]:
    first = 0
    for index, token in enumerate(tokens):
        if token.kind in ("break", "comma"):
            if index > first:
                yield first, index
            first = index + 1
    if first < len(tokens):
        yield first, len(tokens)


def _clause_comparisons(
    tokens: list[Token], first: int, last: int, letters: frozenset[str], strange: str
) -> Iterator[Comparison]:
    signs = [index for index in range(first, last) if tokens[index].kind == "relation"]
    if not signs:
        return
    strange = strange or _is_strange(tokens, first, last)
    edges = [first - 1, *signs, last]
    previous: Side | None = None
    for number, sign in enumerate(signs):
        if len(edges) > MAX_EQUATIONS and number >= MAX_EQUATIONS:
            return
        if tokens[sign].text not in ("=", "≈"):
            previous = None
            continue
        whole = previous is not None and previous.parse is not None and previous.stop == sign
        left = (
            previous
            if whole and previous is not None
            else _left_side(tokens, edges[number] + 1, sign, letters)
        )
        right = _right_side(tokens, sign + 1, edges[number + 2], last, letters)
        left.doubt = left.doubt or strange or _doubt_claim(tokens, left.start, sign, first, last)
        if left.stop > left.start and right.stop > right.start:
            yield Comparison(
                left=left,
                sign=tokens[sign].text,
                right=right,
                start=tokens[left.start].start,
                end=tokens[right.stop - 1].end,
                continues=whole,
                labelled=left.start > first and tokens[left.start - 1].kind in ("word", "letter", "opaque"),
                disputed=_is_disputed(tokens, left.start, right.stop, first, last),
            )
        previous = right


def _left_side(tokens: list[Token], first: int, sign: int, letters: frozenset[str]) -> Side:
    """The longest readable expression that ends at the sign."""
    lowest = max(first, sign - _MAX_SIDE_TOKENS)
    starts = [index for index in range(lowest, sign) if _can_start(tokens, index, first, sign, letters)]
    for start in starts[-_MAX_STARTS:]:
        parse = parse_at(tokens, start, sign, letters=letters, to_the_end=True)
        if parse is not None and parse.end == sign:
            doubt = parse.doubt or _doubt_before(tokens, start, first)
            return Side(tokens, start, sign, parse, doubt)
    return Side(tokens, starts[-1] if starts else lowest, sign, None)


def _right_side(tokens: list[Token], first: int, edge: int, last: int, letters: frozenset[str]) -> Side:
    """The longest readable expression that starts at the sign."""
    parse = parse_at(tokens, first, min(edge, first + _MAX_SIDE_TOKENS), letters=letters)
    if parse is None:
        return Side(tokens, first, min(edge, first + _MAX_SIDE_TOKENS), None)
    doubt = parse.doubt or (_doubt_after(tokens, parse.end, edge, last) if parse.end < edge else "")
    if parse.end == edge == last:
        doubt = doubt or _doubt_at_clause_end(tokens, last)
    return Side(tokens, first, parse.end, parse, doubt)


def _can_start(tokens: list[Token], index: int, first: int, sign: int, letters: frozenset[str]) -> bool:
    token = tokens[index]
    before = tokens[index - 1] if index > first else None
    if token.kind == "operator":
        # A sign stands tight before its operand; a spaced minus has a left operand that went unread.
        if token.text != "-" or index + 1 >= sign or not tokens[index + 1].tight:
            return False
        if before is not None and (token.tight or before.kind not in ("word", "opaque")):
            return False
        return is_operand_start(tokens, index + 1, sign) or tokens[index + 1].text in letters
    if not (is_operand_start(tokens, index, sign) or (token.kind == "letter" and token.text in letters)):
        return False
    if before is None:
        return True
    if before.kind == "currency":  # it belongs to this operand
        return False
    return before.kind in ("word", "opaque", "relation", "open") or (
        before.kind == "letter" and before.text not in letters
    )


def _doubt_before(tokens: list[Token], start: int, first: int) -> str:
    if start == first:
        ratio = first > 1 and tokens[first - 1].text == ":" and not tokens[first - 1].tight
        if ratio and tokens[first - 2].kind == "number":
            return "the colon before it may divide"
        comma = first > 1 and tokens[first - 1].kind == "comma" and tokens[first - 1].tight
        split = comma and tokens[first].tight and tokens[first - 2].kind == "number"
        return "a comma splits the number" if split else ""
    before = tokens[start - 1]
    if before.kind in ("opaque", "letter"):
        return "" if before.text in ("a", "A", "I") else "something unread stands before it"
    if before.kind != "word":
        return ""
    if before.text.lower() in LABELS:
        return "the number may be a label"
    for index in range(start - 1, max(first, start - 5) - 1, -1):
        if tokens[index].kind == "operator":
            return "an operation before it could not be read"
        if tokens[index].kind != "word":
            break
    return ""


def _doubt_after(tokens: list[Token], index: int, edge: int, last: int) -> str:
    token = tokens[index]
    if token.kind == "number":
        return _doubt_number(tokens, index, last)
    if token.kind == "word" and token.text.lower() in ("remainder", "r"):
        return "a remainder follows"
    if token.kind == "operator":
        followed = index + 1 < last and tokens[index + 1].kind in ("letter", "opaque", "open")
        dash = token.text == "-" and not token.tight and not followed
        return "" if dash else "an operation after it could not be read"
    if token.kind in ("opaque", "letter", "command") and (token.tight or token.kind == "letter"):
        return "" if token.text in ("a", "I") else "something unread follows"
    if token.kind == "open" and token.tight:
        return "something unread follows"
    if token.kind == "word" and token.text.lower() in ("and", "or", "to") and index + 1 < edge:
        follower = tokens[index + 1]
        alone = index + 2 >= edge or tokens[index + 2].kind not in ("operator", "currency")
        if edge == last and follower.kind in ("number", "currency") and alone:
            return "a second quantity follows"
    return ""


def _doubt_number(tokens: list[Token], index: int, last: int) -> str:
    """Whether a number behind a quantity belongs to it: "50 000", "1 hour 30 minutes"."""
    follower = tokens[index + 1] if index + 1 < last else None
    if tokens[index - 1].kind in ("number", "currency"):
        attribute = follower is not None and follower.kind == "word" and follower.tight  # "16 4-packs"
        return "" if attribute else "another number follows directly"
    if follower is None or follower.kind != "word" or tokens[index - 1].kind != "word":
        return "another number follows"
    units = [tokens[index - 1].text.lower(), follower.text.lower()]
    return "a second unit follows" if conversion_factors(units, currency=False) else ""


def _doubt_at_clause_end(tokens: list[Token], last: int) -> str:
    if last + 1 < len(tokens) and tokens[last].kind == "comma" and tokens[last].tight:
        follower = tokens[last + 1]
        if follower.kind == "number" and follower.tight:
            return "a comma splits the number"
    return ""


def _is_strange(tokens: list[Token], first: int, last: int) -> str:
    """Notation that gives numbers another meaning: other bases, remainders, evaluation bars."""
    for index in range(first, last):
        token = tokens[index]
        if token.kind == "opaque" and token.text in (
            "_",
            "|",
            "\\pmod",
            "\\mod",
            "\\bmod",
            "\\equiv",
            "\\mid",
        ):
            return "the notation is not plain arithmetic"
        if token.text in ("≡", "\\equiv") or (token.kind == "word" and token.text.lower() == "mod"):
            return "the numbers are remainders"
    return ""


def _is_disputed(tokens: list[Token], start: int, stop: int, first: int, last: int) -> bool:
    for index in range(max(first, start - 2), start):
        if tokens[index].kind == "word" and tokens[index].text.lower() in HYPOTHETICAL:
            return True
    for index in range(stop, min(last, stop + _DISPUTE_REACH)):
        if tokens[index].kind == "word" and tokens[index].text.lower() in DISPUTED:
            return True
    return False


def _doubt_claim(tokens: list[Token], start: int, sign: int, first: int, last: int) -> str:
    """Whether the text may ask, deny or take back what it says."""
    for index in range(max(first, start - _DENIAL_REACH), start):
        if tokens[index].kind == "word" and tokens[index].text.lower() in DISPUTED:
            return "the text calls something wrong"
    for index in range(sign, min(last, sign + _MAX_SIDE_TOKENS)):
        token = tokens[index]
        if token.kind == "opaque" and not _CROSSES.isdisjoint(token.text):
            return "it is crossed"
        if token.kind == "word" and token.text.lower() in _DENIALS:
            if index + 1 == last or tokens[index + 1].kind not in ("number", "currency"):
                return "the text may deny it"
        elif token.text == "-" and index + 1 < last and tokens[index + 1].text.lower() in RETRACTIONS:
            return "the text may take it back"
    if last == len(tokens):
        return ""
    if tokens[last].text == "?":
        return "the text may ask for it"
    following = next(
        (token for token in tokens[last : last + 4] if token.kind not in ("break", "comma")), None
    )
    if following is not None and following.kind == "word" and following.text.lower() in RETRACTIONS:
        return "the text may take it back"
    return ""


def _is_redefined(text: str) -> bool:
    lowered = text.lower()
    if not any(word in lowered for word in _OTHER_MEANINGS):
        return False
    return _OTHER_MEANING.search(fold(lowered) if len(lowered) == len(text) else lowered) is not None


def _variables(tokens: list[Token]) -> frozenset[str]:
    """The letters that the text uses as variables, not as units, articles or times signs."""
    letters: set[str] = set()
    functions: set[str] = set()
    for index, token in enumerate(tokens):
        if token.kind != "letter" or token.text in letters:
            continue
        if _is_function(tokens, index):
            functions.add(token.text)
            continue
        before = tokens[index - 1] if index else None
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        if after is not None and after.kind in ("word", "opaque"):
            continue
        behind_operand = before is not None and (
            before.kind in ("number", "percent", "word") or before.text in (")", "}", "]")
        )
        if token.text in "xX" and behind_operand and is_operand_start(tokens, index + 1, len(tokens)):
            continue
        if before is not None and before.kind == "number":
            if token.text not in SHORT_UNITS and token.tight:
                letters.add(token.text)
            continue
        follows_math = before is not None and before.kind in ("operator", "relation", "open")
        leads_math = after is not None and (
            after.kind in ("relation", "close") or (after.kind == "operator" and after.text != "!")
        )
        declared = before is not None and before.text.lower() in ("let", "for", "variable")
        if follows_math or leads_math or (declared and token.text not in "aAI"):
            letters.add(token.text)
    return frozenset(letters - functions)


def _is_function(tokens: list[Token], index: int) -> bool:
    """Whether a letter is applied, as in f(x) and P(A); n(n + 1) is a product."""
    if index + 1 >= len(tokens) or tokens[index + 1].text != "(" or not tokens[index + 1].tight:
        return False
    return tokens[index].text in "fgh" or tokens[index].text.isupper()
