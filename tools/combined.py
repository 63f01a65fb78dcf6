"""Several verifiers as one: with weights and vetoes, and the dear ones asked only where it matters."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from latentseek_agents.errors import ConfigError, VerdictError
from latentseek_agents.verdict import Check, Usage, Verdict, Verifier

if TYPE_CHECKING:
    from latentseek_agents.engine.backbone import Backbone
    from latentseek_agents.tools._self_reward.prompts import Mode

__all__ = ["Combined", "Veto", "default_verifier"]

_log = logging.getLogger(__name__)

Veto = bool | Callable[[Verdict], bool]
"""Whether what a verifier says is final: always, never, or as a function of its verdict says."""


class Combined:
    """Ask several verifiers in turn and make one verdict of theirs.

    A verifier *judges* if its ``passed`` is True or False and its weight is above 0. One that raises, or
    says None, cannot judge: its score is left out.

    * **Score**: the mean of the scores of those that judge, by weight. -1 if nobody judges.
    * **Veto**: a refusal that is a proof is never outvoted. ``passed`` is False, the score is at most the
      refuser's own and the threshold. What a check marks as ``refuted`` is a proof, whoever reports it: a
      wrapper, another ``Combined``, a verifier without weight or veto.
    * **Settled**: an acceptance may be final, too. ``passed`` is True, the score is the accepter's own, and
      of those behind it only holders of a veto are asked.
    * **Order**: yours. Nobody is asked who cannot change what ``passed`` will be: behind a veto, with
      neither weight nor veto, or if those before refuse by majority (the score is theirs, then). So put
      the cheap and exact ones first.
    * **Passed**: True if the score exceeds ``threshold`` *and* those that accept weigh more than those that
      refuse; a tie refuses. A good mean is not enough, since a refusal may be based on more than the
      score: a self-reward that calls the answer wrong still scores -0.17. None only if nobody judges.

    What this means for the step checker (weight 1) and the self-reward (weight 2) of
    :func:`default_verifier`:

    ======================== ============ ========= ==============================================
    steps                    self-reward  passed    because
    ======================== ============ ========= ==============================================
    an equation is refuted   not asked    False     veto; score at most the step checker's
    accepts                  accepts      True      unless the mean is not above the threshold
    accepts                  refuses      False     right sums are weak evidence of a right answer
    refuses (loose ends)     accepts      by score  soft signals: they count, but prove nothing
    refuses (loose ends)     refuses      False
    cannot judge             either       its own   there is no evidence against it
    either                   cannot judge its own   the steps alone decide
    cannot judge             cannot judge None      nobody judges
    ======================== ============ ========= ==============================================

    The checks of all verifiers are reported, each with its verifier's name in front and its share in the
    whole as weight; costs are summed.

    Args:
        *verifiers: The verifiers, or one sequence of them, in the order in which they are asked.
        weights: One weight per verifier, at least 0; all 1 by default. With weight 0 one can only veto.
        vetoes: One per verifier: True if every refusal of it is final, False if only what it refutes is, or
            a function that tells from the refusing verdict. By default a
            :class:`~latentseek_agents.tools.ground_truth.GroundTruth` always vetoes, a
            :class:`~latentseek_agents.tools.steps.StepVerifier` where it refutes an equation.
        settles: One per verifier, likewise: whether its acceptance is final. By default that of a
            ``GroundTruth`` is.
        threshold: The score above which a solution can pass.

    Raises:
        ConfigError: There is no verifier, or a setting does not fit.

    Example:
        >>> from latentseek_agents.testing import ScriptedVerifier
        >>> strict, lenient = ScriptedVerifier([-0.4]), ScriptedVerifier([0.0])
        >>> verdict = Combined(strict, lenient, weights=[1, 3])("What is 2 + 2?", "It is 4.")
        >>> verdict.score, verdict.passed
        (-0.1, True)
        >>> verdict = Combined([strict, lenient], vetoes=[True, False])("What is 2 + 2?", "It is 4.")
        >>> verdict.score, [check.reason for check in verdict.checks]
        (-0.4, ['scripted score -0.4', 'not asked: ScriptedVerifier 1 had refused'])
    """

    def __init__(
        self,
        *verifiers: Verifier | Iterable[Verifier],
        weights: Sequence[float] | None = None,
        vetoes: Sequence[Veto] | None = None,
        settles: Sequence[Veto] | None = None,
        threshold: float = -0.2,
    ) -> None:
        self.verifiers = _listed(verifiers)
        self.weights = [1.0] * len(self.verifiers) if weights is None else [float(w) for w in weights]
        self.vetoes = [_default_veto(v) for v in self.verifiers] if vetoes is None else list(vetoes)
        self.settles = [_is_known(v) for v in self.verifiers] if settles is None else list(settles)
        self.threshold = threshold
        per_verifier = (("weights", self.weights), ("vetoes", self.vetoes), ("settles", self.settles))
        for setting, values in per_verifier:
            if len(values) != len(self.verifiers):
                raise ConfigError(f"{setting}: {len(values)} for {len(self.verifiers)} verifiers")
        if any(not (math.isfinite(w) and w >= 0) for w in self.weights) or not sum(self.weights):
            raise ConfigError(f"weights={self.weights}: they must be at least 0, and not all of them 0")
        if not -1 <= threshold <= 0:
            raise ConfigError(f"threshold={threshold}: it must lie in [-1, 0]")
        self._names = _names(self.verifiers)

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.verifiers))
        return f"Combined({parts}, weights={self.weights})"

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Judge ``solution``: ask the verifiers in their order, until the outcome is certain."""
        parts: list[_Part] = []
        final: _Part | None = None
        for index, (name, verifier) in enumerate(zip(self._names, self.verifiers, strict=True)):
            weight = self.weights[index]
            if needless := self._needless(parts, final, index):
                parts.append(_Part(name, weight, _not_judged(f"not asked: {needless}"), asked=False))
                continue
            part = _Part(name, weight, _ask(name, verifier, question, solution, reference))
            parts.append(part)
            if part.verdict.refuted or _holds(self.vetoes[index], part.verdict, passed=False):
                final = replace(part, verdict=replace(part.verdict, passed=False))
            elif final is None and _holds(self.settles[index], part.verdict, passed=True):
                final = part
        return self._verdict(parts, final)

    def _needless(self, parts: Sequence["_Part"], final: "_Part | None", index: int) -> str:
        """Why a verifier need not be asked after what the others said; "" if it must be."""
        if final is not None and final.verdict.passed is False:
            return f"{final.name} had refused"
        if self.vetoes[index] is not False:
            return ""
        if final is not None:
            return f"{final.name} had accepted"
        if not self.weights[index]:
            return "it has neither weight nor veto"
        # Whoever settles may still turn what the others make certain.
        if any(settle is not False for settle in self.settles[index:]):
            return ""
        accepted, refused, _ = _tally(parts)
        # An acceptance is never certain: whoever comes last may refute.
        certain = 0 < refused >= accepted + sum(self.weights[index:])
        return "those before it refuse in any case" if certain else ""

    def _verdict(self, parts: Sequence["_Part"], final: "_Part | None") -> Verdict:
        judges = [part for part in parts if part.judges]
        accepted, refused, total = _tally(parts)
        score = min(0.0, max(-1.0, total / (accepted + refused))) if judges else -1.0
        refusing = [part for part in judges if not part.verdict.passed]
        passed: bool | None = None
        if final is not None and final.verdict.passed:
            score, reason = final.verdict.score, final.reason
            passed = score > self.threshold
        elif final is not None:
            own = min(final.verdict.score, self.threshold)
            score, passed, reason = min(score, own) if judges else own, False, final.reason
        elif not judges:
            reason = "cannot judge: " + "; ".join(part.reason for part in parts if part.asked)
        else:
            passed = score > self.threshold and accepted > refused
            if refusing:
                verb = "accepted, though " if passed else ""
                reason = verb + "; ".join(part.reason for part in refusing)
            elif passed:
                reason = "; ".join(part.reason for part in judges)
            else:
                reason = f"all accept, but the score {score:.2f} is not above {self.threshold:g}"
        return Verdict(
            score,
            passed,
            reason,
            [check for part in parts for check in part.checks()],
            sum((part.verdict.usage for part in parts), Usage()),
        )


def default_verifier(backbone: "Backbone", *, mode: "Mode" = "generate") -> Combined:
    """The verifier that a search uses if none is given: the step checker, then the model itself.

    The self-reward weighs twice as much. That no sum is wrong says little about an answer (see the table of
    :class:`Combined`), but a wrong sum decides at once, and then the model is not asked.

    A small model's reviews may do harm: with Qwen2.5-Coder-1.5B on GSM8K a search with this reward answered
    fewer questions right than the model alone (``benchmarks/RESULTS.md``). Measure with yours.

    Args:
        backbone: The model that judges, as a rule the one that solves.
        mode: How it is asked, see :class:`~latentseek_agents.tools.self_reward.SelfReward`.

    Example:
        >>> from latentseek_agents.testing import tiny_backbone
        >>> verifier = default_verifier(tiny_backbone())
        >>> verdict = verifier("What is 3 * 24?", "3 * 24 = 71, so the answer is 71.")
        >>> verdict.passed, verdict.usage.verifier_tokens
        (False, 0)
    """
    from latentseek_agents.tools.self_reward import SelfReward
    from latentseek_agents.tools.steps import StepVerifier

    return Combined(StepVerifier(), SelfReward(backbone, mode=mode), weights=[1, 2])


@dataclass(frozen=True, slots=True)
class _Part:
    """What one verifier said."""

    name: str
    weight: float
    verdict: Verdict
    asked: bool = True

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


def _tally(parts: Sequence[_Part]) -> tuple[float, float, float]:
    """The weight of those that accept, of those that refuse, and the weighted sum of their scores."""
    judges = [part for part in parts if part.judges]
    accepted = sum(part.weight for part in judges if part.verdict.passed)
    refused = sum(part.weight for part in judges if not part.verdict.passed)
    return accepted, refused, sum(part.weight * part.verdict.score for part in judges)


def _holds(rule: Veto, verdict: Verdict, *, passed: bool) -> bool:
    """Whether a verdict with this outcome is final by this rule."""
    return verdict.passed is passed and bool(rule(verdict) if callable(rule) else rule)


def _ask(name: str, verifier: Verifier, question: str, solution: str, reference: str | None) -> Verdict:
    try:
        verdict = verifier(question, solution, reference=reference)
    except VerdictError:
        raise
    except Exception as error:
        if _steers_the_graph(error):
            raise
        _log.warning("the verifier %s failed and counts as unable to judge", name, exc_info=True)
        return _not_judged(f"cannot judge: it raised {type(error).__name__}: {error}")
    if not isinstance(verdict, Verdict):
        raise VerdictError(f"the verifier {name} must return a Verdict, but returned {verdict!r}")
    return verdict


def _not_judged(reason: str) -> Verdict:
    return Verdict(-1.0, None, reason)


def _steers_the_graph(error: Exception) -> bool:
    """Whether this is LangGraph's way to interrupt or route, and no failure. LangGraph stays unloaded."""
    return any(
        kind.__name__ == "GraphBubbleUp" and kind.__module__.partition(".")[0] == "langgraph"
        for kind in type(error).__mro__
    )


def _default_veto(verifier: Verifier) -> Veto:
    from latentseek_agents.tools.steps import StepVerifier

    # It may be a proof only by what it refutes, but then it must be asked.
    return _refutes if isinstance(verifier, StepVerifier) else _is_known(verifier)


def _refutes(verdict: Verdict) -> bool:
    return verdict.refuted


def _is_known(verifier: Verifier) -> bool:
    """Whether a verifier knows the answer, so that what it says of it is final."""
    from latentseek_agents.tools.ground_truth import GroundTruth

    return isinstance(verifier, GroundTruth)


def _listed(verifiers: Sequence[Verifier | Iterable[Verifier]]) -> list[Verifier]:
    given = list(verifiers)
    if len(given) == 1 and not callable(given[0]) and isinstance(given[0], Iterable):
        given = list(given[0])
    if not given:
        raise ConfigError("there is no verifier to combine; give at least one")
    listed: list[Verifier] = []
    for verifier in given:
        if not callable(verifier):
            raise ConfigError(f"a verifier must be callable, but this is a {type(verifier).__name__}")
        listed.append(verifier)
    return listed


def _names(verifiers: Sequence[Verifier]) -> list[str]:
    """What to call each: its class or function, numbered if there are several of a name."""
    plain = [str(getattr(v, "__name__", type(v).__name__)) for v in verifiers]
    return [
        f"{name} {plain[: i + 1].count(name)}" if plain.count(name) > 1 else name
        for i, name in enumerate(plain)
    ]
