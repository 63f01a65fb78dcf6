"""Several verifiers as one: weights, final verdicts, and no call that cannot change the outcome."""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from latentseek_agents.errors import ConfigError
from latentseek_agents.tools.ground_truth import GroundTruth
from latentseek_agents.tools.steps import StepVerifier
from latentseek_agents.verdict import (
    Check,
    Prepared,
    Usage,
    Verdict,
    VerifierLike,
    ask,
    checked_verifier,
    prepare,
    prepared_answer,
    reward_threshold,
)

__all__ = ["Combined", "Final"]

Final = bool | Callable[[Verdict], bool]
"""Whether a verdict is final: always, never, or where a function of the verdict says so."""

_Outcome = Literal["accepted", "rejected"]


class Combined:
    """Ask several verifiers in turn and make one verdict of theirs.

    A verifier *judges* if its ``passed`` is True (it *accepts*) or False (it *rejects*) and its weight is
    above 0. One that raises, or says None, cannot judge: its score is left out.

    * **Score**: the mean of the scores of those that judge, by weight. -1 if none judges.
    * **Passed**: True if the score exceeds the threshold of the search, those that accept weigh more than
      those that reject, and no check blocks the solution. A tie rejects. A good mean is not enough, since a
      rejection may be based on more than the score: a self-reward that calls the answer wrong still scores
      -0.17. None only if none judges.
    * **Final**: a final rejection is a veto: ``passed`` is False and the score -1, whatever the others say. A
      final acceptance gives its own score, and only a later veto overrules it. What a check marks as
      ``refuted`` is always a veto, whichever verifier reports it: a wrapper, another ``Combined``, one
      without weight.
    * **Order**: yours. A verifier that cannot change ``passed`` is not called: behind a veto, behind a final
      acceptance if it has no final say itself, with neither weight nor final say, or if those before it
      reject by majority (the score is theirs, then). So put the cheap and exact ones first. The check of one
      that was not called says why.

    What this means for ``Combined(StepVerifier(), SelfReward(backbone), weights=[1, 2])``:

    ======================== ============ ========= ==============================================
    steps                    self-reward  passed    because
    ======================== ============ ========= ==============================================
    an equation is refuted   not asked    False     veto; the score is -1
    something blocks a pass  either       False     no score outvotes what blocks
    accepts                  accepts      True      unless the mean is not above the threshold
    accepts                  rejects      False     right sums are weak evidence of a right answer
    rejects (loose ends)     accepts      by score  soft signals: they count, but prove nothing
    rejects (loose ends)     rejects      False
    cannot judge             either       its own   there is no evidence against it
    either                   cannot judge its own   the steps alone decide
    cannot judge             cannot judge None      neither judges
    ======================== ============ ========= ==============================================

    The checks of all verifiers are reported, each with its verifier's name in front and its share in the
    whole as weight; costs are summed. Each verifier gets what it itself prepared for the question.

    Args:
        *verifiers: The verifiers, or one sequence of them, in the order in which they are asked. Each returns
            a verdict or a score in [-1, 0].
        weights: One weight per verifier, at least 0; all 1 by default.
        final: One per verifier: True if what it accepts or rejects is final, False if only what it refutes
            is, or a function from its verdict to whether that is final. By default True for a
            :class:`~latentseek_agents.tools.ground_truth.GroundTruth`, what it refutes for a
            :class:`~latentseek_agents.tools.steps.StepVerifier`, and False for all others.

    Raises:
        ConfigError: There is no verifier, or a setting does not fit.

    Example:
        >>> from latentseek_agents.testing import ScriptedVerifier
        >>> strict, lenient = ScriptedVerifier([-0.4]), ScriptedVerifier([0.0])
        >>> verdict = Combined(strict, lenient, weights=[1, 3])("What is 2 + 2?", "It is 4.")
        >>> verdict.score, verdict.passed
        (-0.1, True)
        >>> def rejection(verdict):
        ...     return verdict.passed is False
        >>> verdict = Combined([strict, lenient], final=[rejection, False])("What is 2 + 2?", "It is 4.")
        >>> verdict.score, [check.reason for check in verdict.checks]
        (-1.0, ['scripted score -0.4', 'not asked: ScriptedVerifier 1 had rejected it, and that is final'])
    """

    def __init__(
        self,
        *verifiers: VerifierLike | Iterable[VerifierLike],
        weights: Sequence[float] | None = None,
        final: Sequence[Final] | None = None,
    ) -> None:
        self.verifiers = _listed(verifiers)
        self.weights = [1.0] * len(self.verifiers) if weights is None else [float(w) for w in weights]
        self.final = [_default_final(v) for v in self.verifiers] if final is None else list(final)
        for setting, values in (("weights", self.weights), ("final", self.final)):
            if len(values) != len(self.verifiers):
                raise ConfigError(f"{setting}: {len(values)} for {len(self.verifiers)} verifiers")
        if any(not (math.isfinite(w) and w >= 0) for w in self.weights) or not sum(self.weights):
            raise ConfigError(f"weights={self.weights}: they must be at least 0, and not all of them 0")
        self._names = _names(self.verifiers)

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.verifiers))
        return f"Combined({parts}, weights={self.weights})"

    def prepare(self, question: str) -> Prepared:
        """What each verifier prepares, in their order; nothing if none of them prepares anything."""
        control_flow = _langgraph_control_flow()
        parts = [prepare(verifier, question, control_flow=control_flow) for verifier in self.verifiers]
        values = [part.value for part in parts]
        usage = sum((part.usage for part in parts), Usage())
        return Prepared(values if any(value is not None for value in values) else None, usage)

    def prepared_answer(self, value: Any) -> str | None:
        """The answer of the first verifier whose preparation computed one."""
        pairs = zip(self.verifiers, self._values(value), strict=True)
        answers = (prepared_answer(verifier, part) for verifier, part in pairs)
        return next((answer for answer in answers if answer is not None), None)

    def _values(self, prepared: Any) -> list[Any]:
        """What each verifier prepared; nothing if it was prepared by other verifiers than these."""
        fits = isinstance(prepared, list) and len(prepared) == len(self.verifiers)
        return list(prepared) if fits else [None] * len(self.verifiers)

    def __call__(
        self, question: str, solution: str, *, reference: str | None = None, prepared: Any = None
    ) -> Verdict:
        """Judge ``solution``: ask the verifiers in their order, until the outcome is certain."""
        parts: list[_Part] = []
        values = self._values(prepared)
        for index, (name, verifier) in enumerate(zip(self._names, self.verifiers, strict=True)):
            weight = self.weights[index]
            if needless := self._needless(parts, index, values[index]):
                verdict = Verdict(-1.0, None, f"not asked: {needless}")
                parts.append(_Part(name, weight, verdict, asked=False))
                continue
            verdict = ask(
                verifier,
                question,
                solution,
                reference=reference,
                prepared=values[index],
                control_flow=_langgraph_control_flow(),
            )
            parts.append(_Part(name, weight, verdict, decides=_decision(self.final[index], verdict)))
        return _joint_verdict(parts)

    def _needless(self, parts: Sequence["_Part"], index: int, value: Any) -> str:
        """Why a verifier need not be asked after those before it; "" if it must be.

        Args:
            parts: The verdicts of those before it.
            index: Which verifier.
            value: What it prepared for the question.
        """
        if veto := _deciding(parts, "rejected"):
            said = "refuted it" if veto.verdict.refuted else "rejected it, and that is final"
            return f"{veto.name} had {said}"
        if self.final[index] is not False:
            return ""
        if acceptance := _deciding(parts, "accepted"):
            return f"{acceptance.name} had accepted it, and that is final"
        if not self.weights[index]:
            if prepared_answer(self.verifiers[index], value) is not None:
                return "it has no weight in the score; in a vote the answer that it computed counts"
            return "its weight is 0, so that it cannot change the verdict"
        # A final acceptance further on may still turn what a majority has rejected.
        if any(rule not in (False, _refutes) for rule in self.final[index:]):
            return ""
        accepted, rejected, _ = _tally(parts)
        # An acceptance is never certain: a later verifier may refute.
        certain = 0 < rejected >= accepted + sum(self.weights[index:])
        return "those before it had rejected it by majority" if certain else ""


@dataclass(frozen=True, slots=True)
class _Part:
    """The verdict of one verifier; ``decides`` is its outcome if that is final."""

    name: str
    weight: float
    verdict: Verdict
    asked: bool = True
    decides: _Outcome | None = None

    @property
    def judges(self) -> bool:
        return self.verdict.passed is not None and self.weight > 0

    @property
    def reason(self) -> str:
        return f"{self.name}: {self.verdict.reason}" if self.verdict.reason else self.name

    def checks(self) -> list[Check]:
        """The verifier's checks under its name, and their weights as shares of the verifier's own."""
        checks = self.verdict.checks
        if not checks:
            return [Check(self.name, self.verdict.passed, self.weight, self.verdict.reason)]
        total = sum(check.weight for check in checks)
        scale = self.weight / total if total else 0.0
        return [
            replace(check, name=f"{self.name}: {check.name}", weight=check.weight * scale) for check in checks
        ]


def _decision(final: Final, verdict: Verdict) -> _Outcome | None:
    """The outcome of a verdict if it is final, else None."""
    if verdict.refuted:
        return "rejected"
    if verdict.passed is None or not (final(verdict) if callable(final) else final):
        return None
    return "accepted" if verdict.passed else "rejected"


def _deciding(parts: Sequence[_Part], outcome: _Outcome) -> _Part | None:
    return next((part for part in parts if part.decides == outcome), None)


def _joint_verdict(parts: Sequence[_Part]) -> Verdict:
    computed = (part.verdict.computed_answer for part in parts)
    first = next((answer for answer in computed if answer is not None), None)
    return replace(_judgement(parts), computed_answer=first)


def _judgement(parts: Sequence[_Part]) -> Verdict:
    checks = [check for part in parts for check in part.checks()]
    usage = sum((part.verdict.usage for part in parts), Usage())
    if veto := _deciding(parts, "rejected"):
        return Verdict(-1.0, passed=False, reason=veto.reason, checks=checks, usage=usage)
    threshold = reward_threshold()
    if acceptance := _deciding(parts, "accepted"):
        # It overrules what blocks the solution.
        checks = [replace(check, blocks=False) for check in checks]
        score = acceptance.verdict.score
        return Verdict(score, score > threshold, acceptance.reason, checks, usage)
    judges = [part for part in parts if part.judges]
    if not judges:
        reason = "cannot judge: " + "; ".join(part.reason for part in parts if part.asked)
        # A search stops where nothing judged because something raised, even if the score alone decides.
        raised = any(part.verdict.raised for part in parts)
        return Verdict(-1.0, None, reason, checks, usage, raised=raised)
    accepted, rejected, total = _tally(parts)
    score = min(0.0, max(-1.0, total / (accepted + rejected)))
    blocking = [part for part in parts if part.verdict.blocked]
    passed = score > threshold and accepted > rejected and not blocking
    rejecting = blocking or [part for part in judges if not part.verdict.passed]
    if rejecting:
        reason = ("accepted, though " if passed else "") + "; ".join(part.reason for part in rejecting)
    elif passed:
        reason = "; ".join(part.reason for part in judges)
    else:
        reason = f"all accept, but the score {score:.2f} is not above {threshold:g}"
    return Verdict(score, passed, reason, checks, usage)


def _tally(parts: Sequence[_Part]) -> tuple[float, float, float]:
    """The weight of those that accept, of those that reject, and the weighted sum of their scores."""
    judges = [part for part in parts if part.judges]
    accepted = sum(part.weight for part in judges if part.verdict.passed)
    rejected = sum(part.weight for part in judges if not part.verdict.passed)
    return accepted, rejected, sum(part.weight * part.verdict.score for part in judges)


def _default_final(verifier: VerifierLike) -> Final:
    return _refutes if isinstance(verifier, StepVerifier) else isinstance(verifier, GroundTruth)


def _refutes(verdict: Verdict) -> bool:
    return verdict.refuted


def _langgraph_control_flow() -> tuple[type[BaseException], ...]:
    """LangGraph's interrupts and routes, which are no failures; none if LangGraph is not loaded."""
    kind = getattr(sys.modules.get("langgraph.errors"), "GraphBubbleUp", None)
    return () if kind is None else (kind,)


def _listed(verifiers: Sequence[Any]) -> list[VerifierLike]:
    """The verifiers, given one by one or as one sequence."""
    if len(verifiers) == 1 and not callable(verifiers[0]) and isinstance(verifiers[0], Iterable):
        verifiers = list(verifiers[0])
    if not verifiers:
        raise ConfigError("there is no verifier to combine; give at least one")
    return [checked_verifier(verifier) for verifier in verifiers]


def _names(verifiers: Sequence[VerifierLike]) -> list[str]:
    """What to call each: its class or function, numbered if there are several of a name."""
    plain = [str(getattr(v, "__name__", type(v).__name__)) for v in verifiers]
    return [
        f"{name} {plain[: i + 1].count(name)}" if plain.count(name) > 1 else name
        for i, name in enumerate(plain)
    ]
