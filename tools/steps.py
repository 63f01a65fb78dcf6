r"""Check the steps of a solution with exact arithmetic, without a model and without a reference.

The score of :class:`StepVerifier`, with p in [0, 1] the weighted mean of the structure signals that
could be told, and q that of those among them that the question is of the kind for:

* nothing could be checked: -0.5 (:data:`NEUTRAL_SCORE`) and ``passed=None``;
* an equation, or what the text says that its program prints, is refuted: -1 + 0.05 q, never above -0.95,
  and ``passed=False``;
* something blocks a pass: -1 + 0.36 q, never above -0.64, and ``passed=False``;
* the steps lead to the answer, and p is above 0.8: -1 + p;
* otherwise: -1 + 0.76 q, never above -0.24.

``coverage``, ``consumed``, ``grounded`` and ``plausible`` are made for word problems, whose numbers are there
to be used. Where a question has the notation or the notions of mathematics ("factor x^2 - 9", "how many
divisors"), they are needed for a pass, but a solution without one is not scored by them: q is about
``arithmetic`` and ``linked`` alone, and ``linked`` takes an answer that a checked step ends in, wherever its
numbers come from.

The last two pass above the threshold of the search. So the default threshold of -0.2 accepts what leads to
the answer, and a looser one also accepts loose ends, but nothing that is refuted or blocked.

The default weights (:data:`DEFAULT_WEIGHTS`) add up to 1. Trivial identities, repeats and hidden text
earn nothing: they count neither as checked nor as computed.

Equations with letters are checked as far as that can be done exactly: identities at fixed rational points;
values put back into the equations of the text and of the question, powers and roots included; a value that is
simplified line by line; functions by their definitions, ``f(2)`` and ``f'(2)``; derivatives of polynomials,
quotients and roots; congruences. What is recognised as a condition, another case or a second root is left
open, and so is a letter behind words that may give it a new meaning ("Triangle: A = 12").

An equation is also left open where the words around it, its units or the question may explain it: "half of
10 + 2", "pages 10-15", another base, remainders, an operation that the question defines, times and dates.
100/2x and the like have two readings, and are refuted only if both are wrong. These are rules about words
and signs, so a right step in a wording that none of them knows can still be refuted.

A wrong step proves nothing about the answer if the answer does not come from it: a number that was computed
before and is split up wrongly, an equation on the way to a value that solves the first one, the output of a
program that only confirms an answer. Such a step is ``unverifiable``, its reason says what differs, and it
blocks a pass.

What blocks a pass is more than a loose end, and a good score elsewhere must not outvote it: no answer,
several answers or a hedged one; in a word problem an answer that is no number; an operand that comes from
nowhere; an answer whose sign or kind is impossible; a computed value that differs from the one stated, even
where it is in doubt whether the text claims it. Each is a check of the verdict with ``blocks=True``, if
there is an equation that can be checked.

The steps lead to the answer if it is the last result of checked steps that start from the question's
numbers, and depends on enough of them. It depends on a number if another number in its place would change
it: what cancels or is multiplied by 0 proves nothing. What a text says about itself plays no part.

A fenced block of Python is a step, too. It is run
(:func:`~latentseek_agents.tools.programs.run_program`), and what it prints is compared with what the text
says that it prints: in the output block behind it, in comments where it prints, in sentences such as "this
prints 72", and as the final answer, if the program is the last computation and the text gives the answer no
other source. A program leads to the answer if it prints it, its numbers have sources, and other numbers in
place of the question's change what it prints. Where equations before a program show the answer that the
program is to confirm, and it prints something else, that is no proof, but it blocks a pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from latentseek_agents.errors import ConfigError
from latentseek_agents.thoughts import AnswerView
from latentseek_agents.tools._maths.exact import Number
from latentseek_agents.tools._steps import (
    HOLDS,
    MAX_CHARACTERS,
    Block,
    Claim,
    Comparison,
    Outcome,
    Program,
    Signal,
    Status,
    corrected_equation,
    equations_of,
    find_blocks,
    find_comparisons,
    judge,
    judge_algebra,
    judge_congruences,
    judge_programs,
    meaning_of,
    structure_of,
    visible_text,
    with_values,
    without_code,
    without_credit,
)
from latentseek_agents.verdict import DEFAULT_THRESHOLD, Check, Correction, Verdict, reward_threshold

__all__ = [
    "DEFAULT_WEIGHTS",
    "NEUTRAL_SCORE",
    "Block",
    "Claim",
    "Equation",
    "Program",
    "Signal",
    "StepReport",
    "StepVerifier",
    "check_equations",
    "check_steps",
]

NEUTRAL_SCORE = -0.5
"""The score if nothing could be checked."""

DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "coverage": 0.35,
        "consumed": 0.25,
        "arithmetic": 0.15,
        "linked": 0.10,
        "plausible": 0.10,
        "grounded": 0.05,
    }
)
"""Share of each structure signal in the score."""

# What a solution can earn at most, as a share of the way from -1 up to 0.
_REFUTED_SPAN = 0.05
_BLOCKED_SPAN = 0.45 * (1 + DEFAULT_THRESHOLD)
_LOOSE_SPAN = 0.95 * (1 + DEFAULT_THRESHOLD)
# What a passing solution must have: three quarters of the question's numbers used, and all of it linked.
_REQUIRED = {"linked": 1.0, "grounded": 1.0, "coverage": 0.75}


@dataclass(frozen=True, slots=True)
class Equation:
    """One equation of a solution and what was found about it.

    Args:
        text: The equation as it stands in the text.
        status: ``ok``, ``rounded``, ``converted``, ``running`` (these hold), ``trivial``, ``wrong`` or
            ``unverifiable``; see ``Status`` in ``tools/_steps/judgement.py``.
        span: Offsets of its first character and after its last one in the text.
        value: The exact value of its computed side, if there is one.
        reason: Why, in words.
        correction: Of a wrong one: what should stand there, if one value takes the place of another.
    """

    text: str
    status: Status
    span: tuple[int, int]
    value: Number | None
    reason: str
    correction: Correction | None = None


@dataclass(frozen=True, slots=True)
class StepReport:
    """What was found in a solution.

    Args:
        verdict: ``wrong`` if an equation or a claim about a program is refuted, ``ok`` if one holds and none
            is refuted, else ``unverifiable``.
        equations: All equations in the order of the text, links of a chain one by one.
        signals: How the steps hang together; ``arithmetic``, ``linked``, ``coverage``, ``consumed``,
            ``grounded`` and ``plausible``.
        blocks: What a pass must not be given with, the weightiest first.
        truncated: The text was too long to be read to its end.
        programs: All programs in the order of the text.
        computed_answer: What the last program prints as its result, where the text states another answer or
            none; else None.
        thought: The equations of what was thought before the answer, programs left out. They count for
            nothing: a thought tries out what is then given up.
    """

    verdict: Literal["ok", "wrong", "unverifiable"]
    equations: Sequence[Equation]
    signals: Sequence[Signal] = ()
    blocks: Sequence[Block] = ()
    truncated: bool = False
    programs: Sequence[Program] = ()
    computed_answer: str | None = None
    thought: Sequence[Equation] = ()

    @property
    def refuted(self) -> list[Equation]:
        """The wrong equations in the order of the text."""
        return [equation for equation in self.equations if equation.status == "wrong"]

    @property
    def refutations(self) -> list[Equation | Claim]:
        """The wrong equations and the wrong claims about programs, in the order of the text."""
        claims = [claim for program in self.programs for claim in program.claims if claim.status == "wrong"]
        return sorted([*self.refuted, *claims], key=lambda wrong: wrong.span)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Exact values are given as text: they may be fractions."""
        return {
            "verdict": self.verdict,
            "truncated": self.truncated,
            "equations": [_plain(equation) for equation in self.equations],
            "thought": [_plain(equation) for equation in self.thought],
            "programs": [
                {
                    "status": program.status,
                    "span": list(program.span),
                    "printed": program.printed,
                    "reason": program.reason,
                    "claims": [{**asdict(claim), "span": list(claim.span)} for claim in program.claims],
                }
                for program in self.programs
            ],
            "computed_answer": self.computed_answer,
            "blocks": [block.reason for block in self.blocks],
            "signals": {signal.name: signal.value for signal in self.signals},
        }

    def signal(self, name: str) -> float | None:
        """The value of one structure signal; None if it could not be told."""
        return next((signal.value for signal in self.signals if signal.name == name), None)


def _plain(equation: Equation) -> dict[str, Any]:
    return {
        "text": equation.text,
        "status": equation.status,
        "span": list(equation.span),
        "value": None if equation.value is None else str(equation.value),
        "reason": equation.reason,
        "correction": None if equation.correction is None else equation.correction.to_dict(),
    }


def check_steps(text: str, question: str | None = None) -> StepReport:
    r"""Check every equation and every program of a solution.

    Reads plain text, Markdown and LaTeX mixed with prose, and never raises. What is known to have another
    reading is ``unverifiable``; a wording that the rules do not know can be misread, and then a right step
    is ``wrong``. Text beyond 20,000 characters is not read. What a model
    thought before it answered (:mod:`latentseek_agents.thoughts`) is reported in ``thought``, and decides
    nothing. Fenced blocks of
    Python run in an interpreter of their own, eight of them at most, for 1.5 s at most in all.

    Args:
        text: The solution.
        question: The question, for what it says about the numbers (another base, a modulus, times), and for
            the signals that compare the solution with it.

    Returns:
        The equations and programs with their status, the structure signals and the verdict.

    Example:
        >>> report = check_steps("April: 48/2 = 24 clips. In all 48 + 24 = 73.")
        >>> report.verdict
        'wrong'
        >>> [(equation.text, equation.status) for equation in report.equations]
        [('48/2 = 24 clips', 'ok'), ('48 + 24 = 73', 'wrong')]
        >>> report = check_steps("```python\nprint(48 / 2 + 48)\n```\nThis prints 73.")
        >>> [(claim.text, claim.status, claim.reason) for claim in report.programs[0].claims]
        [('73', 'wrong', 'it prints 72.0, not 73')]
        >>> report = check_steps("<think>2 + 2 = 5.</think>2 + 2 = 4.")
        >>> report.verdict, [(equation.text, equation.status) for equation in report.thought]
        ('ok', [('2 + 2 = 5', 'wrong')])
    """
    answer = AnswerView(text)
    thought = [
        replace(equation, span=(start + equation.span[0], start + equation.span[1]))
        for start, end in answer.thoughts
        for equation in check_equations(text[start : min(end, answer.thoughts[0][0] + MAX_CHARACTERS)])
    ]
    return replace(_report(answer, question), thought=thought)


def check_equations(text: str) -> list[Equation]:
    """Check the equations of a text and nothing else; marks of thoughts in it are words.

    Args:
        text: What a model thought; beyond 20,000 characters it is not read.
    """
    read = text[:MAX_CHARACTERS]
    comparisons, outcomes = _judged(without_code(visible_text(read), find_blocks(read)))
    return [
        Equation(read[c.start : c.end], o.status, (c.start, c.end), o.value, o.reason)
        for c, o in zip(comparisons, outcomes, strict=True)
    ]


def _judged(seen: str, question: str | None = None) -> tuple[list[Comparison], list[Outcome]]:
    """The equations of a text, and what was found about each."""
    asked, functions = equations_of(question) if question else ((), frozenset[str]())
    meaning = meaning_of(question or "")
    comparisons = meaning.doubted(with_values(find_comparisons(seen, functions), asked))
    outcomes = judge_algebra(comparisons, judge(comparisons, meaning), asked)
    return comparisons, without_credit(comparisons, judge_congruences(comparisons, outcomes, asked))


def _report(answer: AnswerView, question: str | None) -> StepReport:
    """What the answer's steps show; the thought before it is not looked at."""
    read = answer.text[:MAX_CHARACTERS]
    seen = visible_text(read)
    blocks_of_code = [block for block in find_blocks(read) if seen[block.inner : block.outer].strip()]
    seen = without_code(seen, blocks_of_code)
    comparisons, outcomes = _judged(seen, question)
    equations = [
        Equation(
            read[c.start : c.end],
            o.status,
            answer.span((c.start, c.end)),
            o.value,
            o.reason,
            _moved(corrected_equation(read, c, o.value), answer) if o.status == "wrong" else None,
        )
        for c, o in zip(comparisons, outcomes, strict=True)
    ]
    found = judge_programs(read, seen, blocks_of_code, comparisons, outcomes)
    statuses = {outcome.status for outcome in (*outcomes, *found.outcomes)}
    signals, blocks = structure_of(seen, question, comparisons, outcomes, found)
    truncated = len(answer.text) > MAX_CHARACTERS
    if truncated:
        blocks.insert(0, Block("length", "the solution is too long to be read to its end"))
    verdict: Literal["ok", "wrong", "unverifiable"] = (
        "wrong" if "wrong" in statuses else "unverifiable" if statuses.isdisjoint(HOLDS) else "ok"
    )
    return StepReport(
        verdict,
        equations,
        signals,
        blocks,
        truncated=truncated,
        programs=[_placed(program, answer) for program in found.programs],
        computed_answer=found.computed_answer,
    )


def _placed(program: Program, answer: AnswerView) -> Program:
    """A program with offsets into the whole text."""
    claims = [
        replace(claim, span=answer.span(claim.span), correction=_moved(claim.correction, answer))
        for claim in program.claims
    ]
    return replace(program, span=answer.span(program.span), claims=claims)


def _moved(correction: Correction | None, answer: AnswerView) -> Correction | None:
    if correction is None:
        return None
    start, end = answer.span((correction.start, correction.end))
    return replace(correction, start=start, end=end)


class StepVerifier:
    """Scores a solution by its steps alone: exact arithmetic first, structure second.

    Instances hold no state between calls, may be called from any thread and can be pickled.

    Args:
        weights: Share of each structure signal; missing ones count 0.

    Raises:
        ConfigError: A weight is unknown or negative.

    Example:
        >>> verdict = StepVerifier()("What is 12 * 3 + 4?", "12 * 3 = 36, 36 + 4 = 40. The answer is 40.")
        >>> verdict.passed, verdict.score
        (True, 0.0)
        >>> StepVerifier()("What is 12 * 3?", "12 * 3 = 35. The answer is 35.").reason
        'refuted: 12 * 3 = 35 (36 is not 35)'
    """

    def __init__(self, *, weights: Mapping[str, float] = DEFAULT_WEIGHTS) -> None:
        unknown = sorted(set(weights) - set(DEFAULT_WEIGHTS))
        if unknown:
            raise ConfigError(
                f"weights must be for {', '.join(DEFAULT_WEIGHTS)}, but got {', '.join(unknown)}"
            )
        if any(not 0 <= weight < float("inf") for weight in weights.values()) or not sum(weights.values()):
            raise ConfigError(f"weights must be at least 0 and not all 0, but are {dict(weights)}")
        self.weights = dict(weights)

    def __repr__(self) -> str:
        return "StepVerifier()"

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Judge ``solution`` to ``question``; ``reference`` is not looked at."""
        report = _report(AnswerView(solution), question)
        return replace(self._judge(report), computed_answer=report.computed_answer)

    def _judge(self, report: StepReport) -> Verdict:
        quality, whole = self._quality(report.signals, counted=True), self._quality(report.signals)
        checks = [
            Check(
                f"{_kind(wrong)}: {wrong.text[:200]}",
                passed=False,
                reason=wrong.reason,
                refuted=True,
                correction=wrong.correction,
            )
            for wrong in report.refutations
        ]
        # A solution that the steps cannot judge is left to other verifiers.
        blocks = report.verdict != "unverifiable"
        checks.extend(
            Check(f"block: {block.name}", passed=False, weight=0.0, reason=block.reason, blocks=blocks)
            for block in report.blocks
        )
        # Only what a passing solution must have can fail.
        checks.extend(
            Check(
                signal.name,
                passed=_decides(signal),
                weight=self.weights.get(signal.name, 0.0) if signal.counts else 0.0,
                reason=signal.reason,
            )
            for signal in report.signals
        )
        if report.verdict == "wrong":
            first = report.refutations[0]
            reason = f"refuted: {first.text[:200]} ({first.reason})"
            return Verdict(-1 + _REFUTED_SPAN * quality, passed=False, reason=reason, checks=checks)
        if report.verdict == "unverifiable":
            reason = "no equation and no program could be checked"
            return Verdict(NEUTRAL_SCORE, passed=None, reason=reason, checks=checks)
        if report.blocks:
            score, reason = -1 + _BLOCKED_SPAN * quality, report.blocks[0].reason
            return Verdict(score, passed=False, reason=reason, checks=checks)
        obstacle = _obstacle(report)
        sound = not obstacle and whole - 1 > DEFAULT_THRESHOLD
        score = whole - 1 if sound else -1 + _LOOSE_SPAN * quality
        passed = score > reward_threshold()
        if passed and sound:
            statuses = [
                *(each.status for each in report.equations),
                *(each.status for each in report.programs),
            ]
            held = sum(status in HOLDS for status in statuses)
            steps = "1 step holds and leads" if held == 1 else f"{held} steps hold and lead"
            reason = f"{steps} to the answer"
            checks = [replace(check, exact=check.passed is True) for check in checks]
        else:
            reason = f"{'accepted, though ' if passed else ''}{obstacle or self._weakest(report)}"
        return Verdict(score, passed, reason, checks)

    def _quality(self, signals: Sequence[Signal], *, counted: bool = False) -> float:
        """The weighted mean of the signals, or of those that count for the kind of the question."""
        told = [signal for signal in signals if signal.counts or not counted]
        weighted = [(s.value, self.weights.get(s.name, 0.0)) for s in told if s.value is not None]
        total = sum(weight for _, weight in weighted)
        earned = sum(value * weight for value, weight in weighted)
        return min(1.0, max(0.0, earned / total)) if total else 0.0

    def _weakest(self, report: StepReport) -> str:
        """Why the score is no better: the reason of the signal that costs most."""

        def cost(signal: Signal) -> float:
            return 0.0 if signal.value is None else self.weights.get(signal.name, 0.0) * (1 - signal.value)

        return max((signal for signal in report.signals if signal.counts), key=cost).reason


def _kind(wrong: Equation | Claim) -> str:
    return "equation" if isinstance(wrong, Equation) else "output"


def _decides(signal: Signal) -> bool | None:
    if signal.value is None:
        return None
    if signal.value >= _REQUIRED.get(signal.name, 0.4 if signal.name == "arithmetic" else 1.0):
        return True
    return False if signal.name in _REQUIRED else None


def _obstacle(report: StepReport) -> str:
    """Which link from the question's numbers to the answer is missing; "" if none is."""
    missing = (s.reason for s in report.signals if s.name in _REQUIRED and not _decides(s))
    return next(missing, "")
