"""Equations with letters to findings: identities, solutions of stated equations, substituted values.

Example:
    >>> from latentseek_agents.tools._steps.equations import find_comparisons
    >>> from latentseek_agents.tools._steps.judgement import judge
    >>> comparisons = find_comparisons("2x + 3 = 13, so x = 4. And (x + 1)^2 = x^2 + 2x + 1.")
    >>> [outcome.status for outcome in judge_algebra(comparisons, judge(comparisons))]
    ['ok', 'wrong', 'ok']
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from latentseek_agents.tools._maths.exact import Number
from latentseek_agents.tools._maths.words import conversion_factors, may_convert
from latentseek_agents.tools._steps.arithmetic import Variable
from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.judgement import HOLDS, Outcome, rounds_to, show
from latentseek_agents.tools._steps.parser import Parse
from latentseek_agents.tools._steps.restated import follow_restated
from latentseek_agents.tools._steps.statements import Polynomial, Statement, assignment

_MAX_LETTERS = 6
_MAX_STATEMENTS = 60


def judge_algebra(
    comparisons: Sequence[Comparison], outcomes: Sequence[Outcome], asked: Sequence[Comparison] = ()
) -> list[Outcome]:
    """Judge the equations with letters that plain arithmetic left open.

    Args:
        comparisons: All equations of the text.
        outcomes: What arithmetic said of each.
        asked: The equations of the question; a value that the text finds for their letter must solve them.

    Returns:
        The outcomes with those of readable equations with letters replaced.
    """
    settled = _judge(comparisons, outcomes, asked)
    if not any(len(comparison.readings) > 1 for comparison in (*comparisons, *asked)):
        return settled
    other_asked = [comparison.readings[-1] for comparison in asked]
    other_comparisons = [comparison.readings[-1] for comparison in comparisons]
    others = _judge(other_comparisons, outcomes, other_asked)
    conditions = [*_statements(other_asked), *_statements(other_comparisons)]
    fails = [_fails_first(comparison, conditions) for comparison in comparisons]
    return [_either(*each) for each in zip(settled, others, fails, strict=True)]


def _fails_first(comparison: Comparison, conditions: Sequence[Statement]) -> bool:
    """Whether "x = 7" does not even nearly solve the first equation for x alone."""
    found = assignment(*comparison.parses) if comparison.parses is not None else None
    if found is None:
        return False
    first = next((c for c in conditions if c.letters == {found[0]} and c.assignment is None), None)
    return first is not None and first.fails_at(dict([found]))


def _either(one: Outcome, other: Outcome, fails: bool) -> Outcome:
    """What is said of an equation that two readings of the text judge: it is wrong if it is so in both."""
    if one.status in HOLDS or one.status == other.status or (one.status == "wrong" and fails):
        return one
    if other.status in HOLDS:
        return other
    wrong, open_ = (one, other) if one.status == "wrong" else (other, one)
    return replace(open_, reason=f"{wrong.reason}, but it can be read in two ways") if wrong.reason else open_


def _judge(
    comparisons: Sequence[Comparison], outcomes: Sequence[Outcome], asked: Sequence[Comparison]
) -> list[Outcome]:
    settled = list(outcomes)
    statements: list[Statement] = []
    for statement in _statements(comparisons):
        if statement.left.node == statement.right.node:
            settled[statement.index] = Outcome("trivial", None, "both sides are the same", general=True)
        elif statement.is_identity():
            settled[statement.index] = Outcome("ok", None, "an identity", general=True)
        elif statement.left.is_derivative and statement.right.letters:
            reason = "it is another function than the derivative"
            settled[statement.index] = (
                Outcome("wrong", None, reason) if statement.differs() else outcomes[statement.index]
            )
        else:
            statements.append(statement)
    values = _concluded(statements)
    readable = _statements(asked)
    conditions = [statement for statement in readable if statement.assignment is None]
    # What the question says of these letters could not be read, so what contradicts it cannot be told.
    doubtful = [comparison for comparison in asked if comparison.left.doubt or comparison.right.doubt]
    unread = {letter for comparison in doubtful for letter in _letters(comparison)}
    unread -= {letter for statement in readable for letter in statement.letters}
    for letter in sorted(values.keys() - unread):
        own = [statement for statement in statements if statement.letters == {letter}]
        posed = [condition for condition in conditions if condition.letters == {letter}]
        _follow_letter(letter, posed, own, settled, single=len(values[letter]) == 1)
        if len(values[letter]) == 1:
            _put_back(letter, values[letter][0], posed, _without_trials(letter, own), settled)
        follow_restated(own, settled)
    _substitute(statements, values, settled)
    return settled


def _letters(comparison: Comparison) -> set[str]:
    sides = (comparison.left.parse, comparison.right.parse)
    return {letter for side in sides if side is not None for letter in side.letters}


def _statements(comparisons: Sequence[Comparison]) -> list[Statement]:
    readable = [
        Statement(index, comparison, *comparison.parses)
        for index, comparison in enumerate(comparisons)
        if comparison.parses is not None and _is_algebra(comparison, *comparison.parses)
    ]
    return readable[:_MAX_STATEMENTS]


def _is_algebra(comparison: Comparison, left: Parse, right: Parse) -> bool:
    doubtful = comparison.disputed or comparison.left.doubt or comparison.right.doubt
    percent = left.has_percent or right.has_percent
    return (
        0 < len(left.letters | right.letters) <= _MAX_LETTERS
        and comparison.sign == "="
        and not doubtful
        and not percent
        and not conversion_factors(_units_of(left, right), currency=False)
    )


def _units(statements: Sequence[Statement]) -> list[str]:
    return [unit for statement in statements for unit in _units_of(statement.left, statement.right)]


def _units_of(*sides: Parse) -> list[str]:
    """The unit words of some sides, with "dollar" for a currency sign."""
    units = [unit for side in sides for unit in side.units]
    return [*units, "dollar"] if any(side.has_currency for side in sides) else units


def _concluded(statements: Sequence[Statement]) -> dict[str, list[Number]]:
    """The values that the text concludes for each letter, without repeats."""
    values: dict[str, list[Number]] = {}
    for statement in statements:
        if statement.assignment is not None and not statement.is_given:
            letter, value = statement.assignment
            if value not in values.setdefault(letter, []):
                values[letter].append(value)
    return values


def _follow_letter(
    letter: str,
    posed: Sequence[Statement],
    statements: Sequence[Statement],
    settled: list[Outcome],
    *,
    single: bool,
) -> None:
    """Follow the statements about one letter in order: each must keep a solution of the first.

    Args:
        letter: The letter.
        posed: The equations of the question about it alone.
        statements: Those of the text.
        settled: Where the outcomes are noted.
        single: The text concludes one value; only then can one be refuted.
    """
    statements = _without_trials(letter, statements)
    polynomials = (s.polynomial(letter) for s in (*posed, *statements) if s.assignment is None)
    # Without a constant it is a simplification gone wrong or right, and says nothing about the letter.
    first = next((p for p in polynomials if p is None or p.constant != 0), None)
    if first is None or first.is_flat:
        return
    firsts = [first]
    solved = single and any(
        first.at(s.assignment[1]) == 0 for s in statements if s.assignment is not None and not s.is_given
    )
    for statement in statements:
        if statement.is_given:
            continue
        anew = statement.starts_anew
        if statement.assignment is not None:
            value = statement.assignment[1]
            fits = any(p.at(value) == 0 or _rounds_to_solution(p, statement, value) for p in firsts)
            subject = f"{letter} = {show(value)}"
        else:
            polynomial = statement.polynomial(letter)
            known = polynomial is not None and not polynomial.is_flat
            if polynomial is None or not known or (polynomial.constant == 0 and not anew):
                if anew and not known:
                    return  # what the letter is from here on cannot be told
                continue
            fits = any(_share_solution(p, polynomial) for p in firsts)
            subject = "it"
            anew = anew or (not fits and statement.may_start_anew)
            firsts += [polynomial] if anew else []
        if fits:
            reason = f"{subject} agrees with the equations stated before"
            settled[statement.index] = Outcome("ok", None, reason)
        elif single and not anew:
            outcome = _refuted(subject, letter, firsts[-1], (statement, *posed, *statements))
            if outcome.status == "wrong" and solved:
                # The value found in the end solves the first equation, so it does not come from this one.
                reason = f"{outcome.reason}, and so does the text in the end"
                outcome = Outcome("unverifiable", None, reason, differs=True)
            settled[statement.index] = outcome
            if outcome.status == "wrong":
                return


def _refuted(subject: str, letter: str, condition: Polynomial, statements: Sequence[Statement]) -> Outcome:
    """What is said of the first of some statements, which disagrees with a condition."""
    if doubt := _doubt_of_units(condition, statements[0], statements):
        return Outcome("unverifiable", None, f"{subject}: {doubt}")
    solution = "it does not solve the equation before"
    if condition.square == 0:
        solution = f"the equation before gives {letter} = {show(-condition.constant / condition.slope)}"
    return Outcome("wrong", None, f"{subject} does not follow: {solution}")


def _doubt_of_units(first: Polynomial, statement: Statement, others: Sequence[Statement]) -> str:
    """Whether units explain why a statement disagrees with the first one: 4x = $1, x = 25 cents."""
    units = _units(others)
    factors = conversion_factors(units, currency=False)
    if statement.assignment is None or first.square != 0:
        return "units may be converted" if factors else ""
    value, root = Fraction(statement.assignment[1]), -first.constant / first.slope
    near = any(abs(value * factor - root) * 100 <= abs(root) for factor in factors)
    unsaid = root != 0 and may_convert(units, value / root)
    return "units may be converted" if near or unsaid else ""


def _without_trials(letter: str, statements: Sequence[Statement]) -> list[Statement]:
    """Leave out what is only worked out for a value that is tried: guess x = 5, 2x + 3 = 13."""
    kept: list[Statement] = []
    trial: Number | None = None
    for statement in statements:
        if statement.assignment is not None:
            trial = statement.assignment[1] if statement.is_given else None
        elif trial is not None and statement.holds_at({letter: trial}):
            continue
        kept.append(statement)
    return kept


def _rounds_to_solution(polynomial: Polynomial, statement: Statement, value: Number) -> bool:
    if polynomial.square != 0:
        return polynomial.vanishes_near(value, Fraction(1, 100))
    shown = statement.right if isinstance(statement.left.node, Variable) else statement.left
    root = -polynomial.constant / polynomial.slope
    if shown.operators:
        return abs(root - value) <= abs(root) / 1000
    return rounds_to(root, value, shown.node)


def _share_solution(first: Polynomial, other: Polynomial) -> bool:
    if other.square == 0:
        root = -other.constant / other.slope
        # Rounded coefficients may explain the distance.
        return first.vanishes_near(root, max(abs(root), Fraction(1, 10)) / 1000)
    if first.square == 0:
        return other.at(-first.constant / first.slope) == 0
    return True  # two quadratics: the same up to a factor, or doubtful enough not to be refuted


def _put_back(
    letter: str,
    value: Number,
    posed: Sequence[Statement],
    statements: Sequence[Statement],
    settled: list[Outcome],
) -> None:
    """Put the one value that the text finds for a letter into equations of any kind: powers, roots, cubics.

    Args:
        letter: The letter.
        value: Its value.
        posed: The equations of the question about it alone.
        statements: Those of the text.
        settled: Where the outcomes are noted.
    """
    found = {letter: value}
    point = f"{letter} = {show(value)}"
    conditions = [s for s in statements if s.assignment is None and not s.is_given]
    for condition in conditions:
        if settled[condition.index].status == "unverifiable" and condition.holds_at(found):
            reason = f"it holds for {point}, which the text finds"
            settled[condition.index] = Outcome("ok", None, reason)
    answers = [s for s in statements if s.assignment is not None and not s.is_given]
    left_open = [s for s in answers if settled[s.index].status == "unverifiable"]
    first = next(iter([*posed, *conditions]), None)
    if first is None or not left_open:
        return
    if first.holds_at(found):
        for answer in left_open:
            settled[answer.index] = Outcome("ok", None, f"{point} solves the equation stated before")
        return
    before = [s for s in conditions if s.index < answers[0].index]
    # Only where the value follows from an equation before it is that the same letter as in the first one.
    refuted = any(settled[statement.index].status == "wrong" for statement in statements)
    in_doubt = any(s.starts_anew for s in conditions[1:]) or answers[0].starts_anew
    in_doubt = in_doubt or bool(conversion_factors(_units((*posed, *statements)), currency=False))
    if not (refuted or in_doubt) and before and before[-1].holds_at(found) and first.fails_at(found):
        reason = f"{point} does not follow: it does not solve the equation before"
        settled[answers[0].index] = Outcome("wrong", None, reason)


def _substitute(
    statements: Sequence[Statement], values: Mapping[str, Sequence[Number]], settled: list[Outcome]
) -> None:
    """Put values into equations of several letters; a failure is only reported, never a refutation."""
    known = {letter: concluded[0] for letter, concluded in values.items() if len(concluded) == 1}
    for statement in statements:
        if len(statement.letters) < 2 or not statement.letters <= known.keys():
            continue
        point = ", ".join(f"{letter} = {show(known[letter])}" for letter in sorted(statement.letters))
        holds = Outcome("ok", None, f"holds for {point}")
        fails = Outcome("unverifiable", None, f"does not hold for {point}")
        settled[statement.index] = holds if statement.holds_at(known) else fails
