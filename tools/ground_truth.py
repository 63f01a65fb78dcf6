"""The verifier that knows the answer: the paper's perfect reward."""

from dataclasses import dataclass

from latentseek_agents.tools.answers import answers_agree, extract_answer
from latentseek_agents.verdict import Check, Verdict

__all__ = ["GroundTruth"]


@dataclass(frozen=True)
class GroundTruth:
    r"""Score a solution against the known answer: 0 if it is right, -1 if not (the paper's PSRM).

    It bounds what a search could gain from a better verifier. It cannot judge (``passed=None``) without a
    known answer, and where comparing the two takes too long or the process that compares cannot be started.

    Args:
        reference: The right answer for every call that brings none of its own.

    Example:
        >>> GroundTruth()("What is 3 * 24?", "3 * 24 = 72, so the answer is 72.", reference="#### 72").passed
        True
        >>> GroundTruth("72")("What is 3 * 24?", r"It is \boxed{71}.").score
        -1.0
    """

    reference: str | None = None

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Judge ``solution``; ``reference`` is the right answer, alone or at the end of a GSM8K solution."""
        known = self.reference if reference is None else reference
        right = None if known is None else _stated(known)
        if not right:
            return _verdict("cannot judge: no reference answer was given, pass reference=...", passed=None)
        answer = extract_answer(solution)
        if answer is None:
            return _verdict(f"no final answer found, expected {_short(right)}", passed=False)
        agree = answers_agree(answer, right)
        if agree is None:
            reason = f"cannot judge: comparing {_short(answer)} with {_short(right)} could not be finished"
            return _verdict(reason, passed=None)
        if agree:
            return _verdict(f"the answer {_short(answer)} matches the reference", passed=True)
        reason = f"the answer {_short(answer)} does not match the reference {_short(right)}"
        return _verdict(reason, passed=False)


def _stated(reference: str) -> str:
    """The answer of a reference: GSM8K gives it after ``####``, behind a whole solution."""
    return reference.rpartition("####")[2].strip()


def _verdict(reason: str, *, passed: bool | None) -> Verdict:
    check = Check("ground truth", passed, 1.0, reason, exact=passed is True)
    return Verdict(0.0 if passed else -1.0, passed, reason, [check])


def _short(answer: str) -> str:
    return repr(answer if len(answer) <= 80 else answer[:79] + "…")
