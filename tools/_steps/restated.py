r"""Values that are simplified line by line: ``d = \sqrt{36 + 81}``, and then ``d = \sqrt{117}``.

The first line says what a letter is, and each further one writes the same value in another way. Where it is
another value, a step between them is wrong, if nothing tells of a second case or root.

Example:
    >>> from latentseek_agents.tools._steps.equations import find_comparisons
    >>> comparisons = find_comparisons("d = 6^2 + 8^2.\nSo d = 36 + 64.\nSo d = 110.")
    >>> statements = [Statement(i, c, *c.parses) for i, c in enumerate(comparisons)]
    >>> settled = [Outcome("unverifiable", None, "")] * 3
    >>> follow_restated(statements, settled)
    >>> [(outcome.status, outcome.reason) for outcome in settled[1:]]
    [('ok', 'd is 100 as before'), ('wrong', 'd was 100 before, and is not 110')]
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from latentseek_agents.tools._maths.exact import Evaluation
from latentseek_agents.tools._maths.words import DISPUTED, HYPOTHETICAL, RETRACTIONS
from latentseek_agents.tools._steps.arithmetic import Variable, evaluate, same_value
from latentseek_agents.tools._steps.judgement import Outcome, rounds_to, show
from latentseek_agents.tools._steps.parser import Parse
from latentseek_agents.tools._steps.statements import Statement
from latentseek_agents.tools._steps.tokens import Token

_FARTHEST = 24
_SIGNS_OF_TWO = frozenset(("\\pm", "\\mp", "±", "∓"))
# Between two values of a letter these tell of two cases, and of a value that was changed.
_OTHER_CASES = HYPOTHETICAL | DISPUTED | RETRACTIONS
_OTHER_CASES |= {
    "or", "and", "case", "cases", "when", "for", "other", "another", "second", "next", "similarly", "also",
    "let", "new", "root", "roots", "solution", "solutions", "now", "increase", "increases", "increased",
    "decrease", "become", "becomes", "change", "changes", "update", "updated", "plus", "minus", "positive",
    "negative", "either", "both", "respectively", "while", "whereas", "but", "however", "try", "option",
}  # fmt: skip


def follow_restated(statements: Sequence[Statement], settled: list[Outcome]) -> None:
    """Compare each value of a letter with the one stated before it.

    Args:
        statements: The statements about one letter alone, in the order of the text.
        settled: Where the outcomes are noted.
    """
    values = [s for s in statements if s.assignment is not None and not s.is_given]
    for place, (before, after) in enumerate(pairwise(values)):
        if settled[after.index].status != "unverifiable" or not _shown(before).operators:
            continue
        others = values[:place], values[place + 2 :]
        letter, value = before.assignment or ("", 0)
        one, other = evaluate(_shown(before).node), evaluate(_shown(after).node)
        if one is None or other is None:
            continue
        if _agree(one, other, _shown(after)):
            settled[after.index] = Outcome("ok", None, f"{letter} is {show(value)} as before")
        elif _once(before, after, *others) and _simplifies(before, after, one, other):
            reason = f"{letter} was {show(value)} before, and is not {show(other.value)}"
            settled[after.index] = Outcome("wrong", None, reason)


def _shown(statement: Statement) -> Parse:
    """The side of "x = 5" that shows the value."""
    return statement.right if isinstance(statement.left.node, Variable) else statement.left


def _agree(one: Evaluation, other: Evaluation, shown: Parse) -> bool:
    return same_value(one, other) or (
        not shown.operators and rounds_to(one.value, other.value, shown.node, whole=False)
    )


def _once(
    before: Statement, after: Statement, earlier: Sequence[Statement], later: Sequence[Statement]
) -> bool:
    """Whether the letter has the one value until here and the other one from here on: no two cases."""
    return all(s.assignment == before.assignment for s in earlier) and all(
        s.assignment == after.assignment for s in later
    )


def _simplifies(before: Statement, after: Statement, one: Evaluation, other: Evaluation) -> bool:
    """Whether the second statement can only be meant to simplify the first one."""
    if _shown(before).units or _shown(after).units or _shown(after).approximate:
        return False
    if after.may_start_anew:
        return False
    if _shown(after).operators >= _shown(before).operators:
        return False
    decimals = any(literal.places > 0 for s in (before, after) for literal in _shown(s).literals)
    if decimals and abs(Fraction(one.value) - other.value) * 50 <= abs(Fraction(one.value)):
        return False  # rounded operands may explain it
    tokens = before.comparison.left.tokens
    between = tokens[before.comparison.right.stop : after.comparison.left.start]
    two_roots = any(token.text in _SIGNS_OF_TWO for token in tokens[: after.comparison.left.start])
    return len(between) <= _FARTHEST and not two_roots and all(map(_leads_on, between))


def _leads_on(token: Token) -> bool:
    if token.kind in ("number", "letter", "relation", "operator", "command"):
        return False
    return token.word not in _OTHER_CASES and token.text not in ("\\lor", ",")
