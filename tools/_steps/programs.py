r"""Programs of a solution to findings: what does each print, and does the text say so?

Only what the text says about the output of a program is compared with it; and the final answer, if the
program is the last computation, and nothing tells that the answer comes from elsewhere.

Example:
    >>> text = "```python\nprint(6 * 7)\n```\n```output\n43\n```\nThe answer is 43."
    >>> blocks = find_blocks(text)
    >>> found = judge_programs(text, without_code(text, blocks), blocks)
    >>> found.programs[0].status, found.programs[0].reason, found.computed_answer
    ('wrong', 'it prints 42, not 43', '42')
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from latentseek_agents.tools._maths.exact import Number
from latentseek_agents.tools._steps.arithmetic import Literal, evaluate
from latentseek_agents.tools._steps.claims import Claim, output_claims
from latentseek_agents.tools._steps.corrections import corrected_output, written
from latentseek_agents.tools._steps.equations import Comparison
from latentseek_agents.tools._steps.fences import FencedBlock, comments_in, find_blocks
from latentseek_agents.tools._steps.final_answer import FinalAnswer, final_answer
from latentseek_agents.tools._steps.judgement import HOLDS, Outcome, Status, rounds_to, show
from latentseek_agents.tools._steps.outputs import numbers_of, same_number
from latentseek_agents.tools._steps.runs import ProgramRun, run_blocks
from latentseek_agents.tools.answers import extract_answer

__all__ = [
    "NO_PROGRAMS",
    "Computation",
    "Program",
    "ProgramFindings",
    "find_blocks",
    "judge_programs",
    "without_code",
]

# Ratios of two units: a stated answer that differs from the output by one of them may be converted.
_RATIOS = frozenset((7, 12, 16, 24, 36, 52, 60, 100, 365, 1000, 3600))
_CONTESTED = ", but the text computes that without it"
_SAID = {
    "wrong": "",
    "ok": "it prints what the text says",
    "rounded": "it prints what the text says, rounded",
    "trivial": "it prints what is written in it",
}


@dataclass(frozen=True, slots=True)
class Program:
    """A program of a solution and what was found about it.

    Args:
        span: Offsets of the first character of its code and after the last one in the text.
        printed: What it prints; without a print, the value of its last line, if there is one.
        status: ``ok`` or ``rounded``: it prints what the text says. ``wrong``: it does not. ``trivial``: it
            prints what is written in it. ``unverifiable``: it did not run to its end, or the text does not
            say what it prints.
        reason: Why, in words.
        claims: Where the text says what it prints, and what was found about each place.
    """

    span: tuple[int, int]
    printed: str
    status: Status
    reason: str
    claims: Sequence[Claim] = ()


@dataclass(frozen=True, slots=True)
class Computation:
    """A program as a step of the solution: numbers go in, one number comes out.

    Args:
        end: Offset after the program in the text.
        numbers: The numbers in its code, and in that of the programs before it.
        value: The number that it prints last.
        may_grow: It may take long with large numbers in place of its own.
        recompute: The number that it prints last with other numbers in its code, or None.
    """

    end: int
    numbers: Sequence[Literal]
    value: Number
    may_grow: bool
    recompute: Callable[[Mapping[Number, Number]], Number | None]


@dataclass(frozen=True, slots=True)
class ProgramFindings:
    """What was found about all programs of a solution.

    Args:
        programs: All programs in the order of the text.
        outcomes: The same as for equations.
        computations: Those programs that may be steps of the solution.
        computed_answer: What the last program prints, if the text states something else as its answer, or
            nothing.
    """

    programs: Sequence[Program] = ()
    outcomes: Sequence[Outcome] = ()
    computations: Sequence[Computation] = ()
    computed_answer: str | None = None


NO_PROGRAMS = ProgramFindings()


def without_code(seen: str, blocks: Sequence[FencedBlock]) -> str:
    """A text with its programs blanked, but for their comments: code is no prose."""
    signs = list(seen)
    for block in blocks:
        if block.is_python:
            comments = comments_in(seen[block.inner : block.outer])
            edges = [block.start, *(block.inner + edge for span in comments for edge in span), block.end]
            for start, end in zip(edges[::2], edges[1::2], strict=True):
                signs[start:end] = ["\n" if sign == "\n" else " " for sign in signs[start:end]]
    return "".join(signs)


def judge_programs(
    text: str,
    prose: str,
    blocks: Sequence[FencedBlock],
    comparisons: Sequence[Comparison] = (),
    outcomes: Sequence[Outcome] = (),
) -> ProgramFindings:
    """Run the programs of a solution and compare what they print with what the text says.

    Args:
        text: The solution.
        prose: The same without code and without what a reader would not see.
        blocks: The fenced blocks of the text.
        comparisons: The equations of the prose.
        outcomes: What was found about each of them.
    """
    runs = run_blocks(blocks)
    if not runs:
        return NO_PROGRAMS
    claims = [
        [] if run.failure else output_claims(text, blocks, blocks.index(run.block), run.printed)
        for run in runs
    ]
    last = _LastRun(text, prose, runs[-1], claims[-1], comparisons)
    final = last.claim()
    if final is not None:
        claims[-1].append(final)
    steps = [c for c, o in zip(comparisons, outcomes, strict=False) if o.status in HOLDS]
    if last.answer.value is not None and all(outcome.status != "wrong" for outcome in outcomes):
        claims = [
            _without_contested(run, found, prose, steps, last.answer.value)
            for run, found in zip(runs, claims, strict=True)
        ]
    programs = [_finding(run, found) for run, found in zip(runs, claims, strict=True)]
    found_outcomes = [
        Outcome(
            program.status,
            run.result and run.result.value,
            program.reason,
            differs=any(claim.reason.endswith(_CONTESTED) for claim in program.claims),
        )
        for run, program in zip(runs, programs, strict=True)
    ]
    computations = [
        Computation(run.block.end, run.numbers, run.result.value, run.may_grow, run.result_with)
        for run, program in zip(runs, programs, strict=True)
        if run.result is not None and program.status not in ("wrong", "trivial")
    ]
    is_open = programs[-1].status == "unverifiable" and bool(claims[-1])
    computed = None if is_open else last.computed_answer(final)
    return ProgramFindings(programs, found_outcomes, computations, computed)


def _without_contested(
    run: ProgramRun, claims: Sequence[Claim], prose: str, steps: Sequence[Comparison], answer: Fraction
) -> list[Claim]:
    """The claims, without a proof against an answer that equations before the program support.

    Where a program is to confirm an answer that was computed before it, and prints something else, the
    program may be the one that is wrong: of such solutions about half are right. Nor is what the text
    says of such an output a proof, where it says something else than the answer.
    """
    if not any(_shows(step, answer, prose) for step in steps if step.end <= run.block.start):
        return list(claims)
    said = [{number.value for number in numbers_of(claim.text)} for claim in claims]
    return [
        _contested(claim) if numbers == {answer} or answer not in numbers else claim
        for claim, numbers in zip(claims, said, strict=True)
    ]


def _contested(claim: Claim) -> Claim:
    """A claim without its proof, if it is refuted."""
    if claim.status != "wrong":
        return claim
    return replace(claim, status="unverifiable", reason=claim.reason + _CONTESTED, correction=None)


def _shows(step: Comparison, answer: Fraction, prose: str) -> bool:
    """Whether an equation ends in the answer."""
    side = step.right.parse
    value = evaluate(side.node) if side is not None and not side.letters else None
    if value is not None and value.value == answer:
        return True
    numbers = numbers_of(prose[step.start : step.end])
    return bool(numbers) and numbers[-1].value == answer


def _finding(run: ProgramRun, claims: Sequence[Claim]) -> Program:
    span = (run.block.inner, run.block.outer)
    statuses = [claim.status for claim in claims]
    if run.failure:
        return Program(span, run.printed, "unverifiable", f"cannot judge: {run.failure}")
    if "wrong" in statuses:
        reason = claims[statuses.index("wrong")].reason
        return Program(span, run.printed, "wrong", reason, claims)
    status: Status = "unverifiable"
    if not set(statuses).isdisjoint(HOLDS):
        written = run.shows_what_is_written()
        status = "trivial" if written else "rounded" if "rounded" in statuses else "ok"
    unknown = "the text does not say what it prints" if run.printed else "it prints nothing"
    reason = _SAID.get(status) or next((claim.reason for claim in claims), unknown)
    return Program(span, run.printed, status, reason, claims)


# -- the final answer ----------------------------------------------------------------------------------


class _LastRun:
    """The last program of a solution, and the answer behind it."""

    def __init__(
        self,
        text: str,
        prose: str,
        run: ProgramRun,
        claims: Sequence[Claim],
        comparisons: Sequence[Comparison],
    ) -> None:
        self.text, self.prose, self.run, self.claims = text, prose, run, claims
        self.stated = extract_answer(prose)
        self.answer = final_answer(prose)
        end = run.block.end
        self.computes_on = any(
            parse is not None and parse.operators
            for comparison in comparisons
            if comparison.start >= end
            for parse in (comparison.left.parse, comparison.right.parse)
        )
        self.start = text.rfind(self.stated, end) if self.stated else -1

    def claim(self) -> Claim | None:
        """The final answer as a claim about what the program prints, if it is one."""
        result = self.run.result
        if result is None or self.stated is None or self.start < 0 or self.computes_on:
            return None
        answer = self.answer
        if answer.value is None or not self._follows_output(answer):
            return None
        status, reason = self._compare(answer, answer.value, result)
        start, end = self.start, self.start + len(self.stated)
        printed = written(result.value)
        wrong = status == "wrong" and printed is not None and not answer.percent
        correction = corrected_output(self.text, start, end, printed) if printed and wrong else None
        return Claim(self.stated, (start, end), status, reason, correction)

    def _follows_output(self, answer: FinalAnswer) -> bool:
        """Whether the answer is what the text calls the output, or may be, as it calls nothing that."""
        stated = [number for claim in self.claims for number in numbers_of(claim.text)]
        return not self.claims or any(_is_same(answer, number.value) for number in stated)

    def _compare(self, answer: FinalAnswer, value: Fraction, result: Literal) -> tuple[Status, str]:
        printed = show(result.value)
        if (status := _is_same(answer, result.value)) is not None:
            return status, "the answer is what it prints"
        reason = f"it prints {printed}, not {show(value)}"
        if any(claim.status == "wrong" for claim in self.claims):
            return "wrong", reason
        ratio = abs(value / result.value) if result.value and value else Fraction(1)
        if ratio == 1 or ratio in _RATIOS or 1 / ratio in _RATIOS:
            return "unverifiable", f"{reason}, but it may be converted"
        before = numbers_of(self.prose[: self.run.block.start])
        if any(number.value == value for number in (*self.run.numbers, *before)):
            return "unverifiable", f"{reason}, but the answer has another source"
        return "wrong", reason

    def computed_answer(self, final: Claim | None) -> str | None:
        """What the program prints, where the text states another answer or none."""
        result = self.run.result
        if result is None or (final is None and self.stated is not None) or self.computes_on:
            return None
        if final is not None and final.status != "wrong":
            return None
        return _written(result.value)


def _is_same(answer: FinalAnswer, printed: Number) -> Status | None:
    """``ok`` or ``rounded`` if an answer stands for a number."""
    value = answer.value
    if value is None:
        return None
    if (status := same_number(Literal(value, -1), printed)) is not None:
        return status
    scales = (Fraction(1), Fraction(100), Fraction(1, 100)) if answer.percent else (Fraction(1),)
    if any(value == printed * scale for scale in scales):
        return "ok"
    return "rounded" if any(rounds_to(printed * scale, value, answer.node) for scale in scales) else None


def _written(value: Number) -> str:
    """A number as digits."""
    if value.denominator == 1:
        return str(value)
    digits = f"{float(value):.12g}"
    return digits if "e" not in digits else f"{float(value):.15f}".rstrip("0")
