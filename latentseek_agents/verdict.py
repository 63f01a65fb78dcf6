"""Verdicts, attempts and their costs, and the one way to ask a verifier: :func:`ask`.

These are the values that travel between the rooms of the package. They know no torch and no graph;
``to_dict`` and ``from_dict`` turn them into the plain values that a LangGraph state may hold.
"""

import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Real
from typing import Any, Literal, Protocol, Self, runtime_checkable

from latentseek_agents.errors import ConfigError, VerdictError

__all__ = [
    "DEFAULT_THRESHOLD",
    "Attempt",
    "Check",
    "StopReason",
    "Usage",
    "Verdict",
    "Verifier",
    "VerifierLike",
    "ask",
    "checked_verifier",
    "judging_above",
    "reward_threshold",
]

StopReason = Literal["passed", "iterations", "seconds", "tokens", "unjudged"]
"""Why a search ended: an attempt passed, a bound was reached, or no attempt could be judged."""

DEFAULT_THRESHOLD = -0.2
"""The authors' τ: outside a search, what scores above it passes."""

_log = logging.getLogger(__name__)
_threshold = ContextVar("latentseek_reward_threshold", default=DEFAULT_THRESHOLD)


@dataclass(frozen=True, slots=True)
class _Plain:
    """A value that has a form of plain values."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Usage(_Plain):
    """Costs of a run, the policy's and the verifier's kept apart.

    A search is charged with its question's prompt once, with the draft or the first sample: one forward pass
    and all of its tokens, whether or not its keys and values were kept from before. So the costs of a search
    do not depend on what else the model has been asked. The verifier's prompts are charged as far as they
    were read.

    Args:
        policy_tokens: Tokens the policy generated (drafts and refinements), end tokens included.
        verifier_tokens: Tokens a model generated while verifying.
        policy_forward_passes: Calls of the model for the policy.
        verifier_forward_passes: Calls of the model for the verifier.
        policy_seconds: Wall-clock seconds spent drafting and refining.
        verifier_seconds: Wall-clock seconds spent verifying.
        policy_computed_tokens: Tokens that went through the model's layers for the policy: what was
            generated, guesses that were refused, and the prompt.
        verifier_computed_tokens: The same for the verifier.

    Example:
        >>> (Usage(policy_tokens=3) + Usage(policy_tokens=4, verifier_tokens=5)).tokens
        12
    """

    policy_tokens: int = 0
    verifier_tokens: int = 0
    policy_forward_passes: int = 0
    verifier_forward_passes: int = 0
    policy_seconds: float = 0.0
    verifier_seconds: float = 0.0
    policy_computed_tokens: int = 0
    verifier_computed_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Generated tokens in all."""
        return self.policy_tokens + self.verifier_tokens

    @property
    def forward_passes(self) -> int:
        """Model calls in all."""
        return self.policy_forward_passes + self.verifier_forward_passes

    @property
    def computed_tokens(self) -> int:
        """Tokens that went through the model's layers, in all."""
        return self.policy_computed_tokens + self.verifier_computed_tokens

    @property
    def seconds(self) -> float:
        """Wall-clock seconds in all."""
        return self.policy_seconds + self.verifier_seconds

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Usage)))


@dataclass(frozen=True, slots=True)
class Check(_Plain):
    """One part of a verdict.

    Args:
        name: What was checked, for example ``"calculation"`` or ``"step 3: 2 + 2 = 5"``.
        passed: True, False, or None if this check could not judge.
        weight: Its share in the score, at least 0.
        reason: Why, in words.
        refuted: It proves that the solution is wrong. No
            :class:`~latentseek_agents.tools.combined.Combined` outvotes it, nested ones included.
        blocks: It is no proof, but no score is good enough to pass in spite of it.
    """

    name: str
    passed: bool | None
    weight: float = 1.0
    reason: str = ""
    refuted: bool = False
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Verdict(_Plain):
    """What a verifier says about one solution.

    Args:
        score: Reward in [-1, 0]; 0 is flawless. Scores are never positive: the search pushes *away*
            from what is scored below 0 (arXiv 2505.13308, section 3.6).
        passed: True if the solution is accepted, False if refused, None if it cannot be judged.
            None stops the search: moving latents without a judgement is noise.
        reason: One sentence a person can act on.
        checks: The parts, in the order they were made.
        usage: What the verifier itself spent (only the ``verifier_*`` fields).
        raised: The verifier raised an exception in place of judging; :func:`ask` sets it.

    Raises:
        VerdictError: The score is not a finite number in [-1, 0], or another field is of the wrong type.

    Example:
        >>> Verdict(-0.5, False, "2 + 2 = 5 is wrong").score
        -0.5
    """

    score: float
    passed: bool | None
    reason: str = ""
    checks: Sequence[Check] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    raised: bool = False

    def __post_init__(self) -> None:
        listed = not isinstance(self.checks, str) and all(isinstance(check, Check) for check in self.checks)
        for name, fits, wanted in (
            (
                "score",
                isinstance(self.score, Real) and not isinstance(self.score, bool),
                "a number in [-1, 0]",
            ),
            ("passed", self.passed in (True, False, None), "True, False or None"),
            ("reason", isinstance(self.reason, str), "a string"),
            ("checks", listed, "a list of Check"),
            ("usage", isinstance(self.usage, Usage), "a Usage"),
        ):
            if not fits:
                value = getattr(self, name)
                raise VerdictError(
                    f"a verdict's {name} must be {wanted}, but is {value!r} of type {type(value).__name__}"
                )
        if not -1.0 <= self.score <= 0.0:  # NaN is not, either
            raise VerdictError(
                f"a verdict's score must lie in [-1, 0], but is {self.score}; "
                "scale it, for example score = quality - 1 for a quality in [0, 1]"
            )
        # Plain values whatever the caller gave: numpy numbers and tuples would not survive a checkpoint.
        object.__setattr__(self, "score", float(self.score))
        object.__setattr__(self, "passed", None if self.passed is None else bool(self.passed))
        object.__setattr__(self, "checks", list(self.checks))

    @property
    def refuted(self) -> bool:
        """Whether one of the checks proves that the solution is wrong."""
        return any(check.refuted for check in self.checks)

    @property
    def blocked(self) -> bool:
        """Whether one of the checks keeps the solution from passing, whatever its score."""
        return any(check.blocks for check in self.checks)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        checks = [Check.from_dict(check) for check in values["checks"]]
        return cls(**{**values, "checks": checks, "usage": Usage.from_dict(values["usage"])})


@runtime_checkable
class Verifier(Protocol):
    """Anything that judges a solution: a function will do.

    It may be called from any thread, must bear hostile text, and should answer within 2 s or say
    "cannot judge" (``passed=None``). An exception counts as "cannot judge". A verifier may also return a
    plain score in [-1, 0]: see :data:`VerifierLike`.

    Example:
        >>> def short(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        ...     return Verdict(0.0, True) if len(solution) < 80 else Verdict(-1.0, False, "too long")
        >>> isinstance(short, Verifier)
        True
    """

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Judge ``solution`` to ``question``; ``reference`` is the known answer, if there is one."""
        ...


VerifierLike = Callable[..., Verdict | float]
"""What is accepted wherever a verifier is: a :class:`Verifier`, or one that returns a score in [-1, 0]."""


def checked_verifier(verifier: VerifierLike) -> VerifierLike:
    """The verifier, if it can be called as one.

    Raises:
        ConfigError: It cannot.
    """
    wanted = "verifier(question, solution, *, reference=None) -> Verdict"
    try:
        inspect.signature(verifier).bind("question", "solution", reference=None)
    except ValueError:  # some builtins have no signature; the first call will tell
        return verifier
    except TypeError as error:
        raise ConfigError(f"the verifier must be callable as {wanted}, but: {error}") from None
    return verifier


def ask(
    verifier: VerifierLike,
    question: str,
    solution: str,
    *,
    reference: str | None = None,
    control_flow: tuple[type[BaseException], ...] = (),
) -> Verdict:
    """The verdict of a verifier, with the time that it took.

    A score passes above :func:`reward_threshold`. A verifier that raises has not judged: attempts are
    expensive and a verifier is often foreign code, so the exception is logged and becomes a verdict.

    Args:
        verifier: Called as ``verifier(question, solution, reference=...)``.
        question: What was to be solved.
        solution: What to judge.
        reference: The known answer, if there is one.
        control_flow: Exceptions that are no failures and pass through, such as LangGraph's interrupts.

    Raises:
        VerdictError: The verifier returned neither a verdict nor a score in [-1, 0].

    Example:
        >>> ask(lambda question, solution, *, reference: -0.1, "What is 2 + 2?", "4").passed
        True
        >>> verdict = ask(lambda question, solution, *, reference: 1 / 0, "What is 2 + 2?", "4")
        >>> verdict.passed, verdict.raised, verdict.reason
        (None, True, 'cannot judge: it raised ZeroDivisionError: division by zero')
    """
    passing: tuple[type[BaseException], ...] = (VerdictError, *control_flow)
    began = time.monotonic()
    try:
        verdict = _as_verdict(verifier(question, solution, reference=reference))
    except passing:
        raise
    except Exception as error:
        name = getattr(verifier, "__name__", type(verifier).__name__)
        _log.warning("the verifier raised, so it cannot judge: %s", name, exc_info=True)
        reason = f"cannot judge: it raised {type(error).__name__}: {error}"
        verdict = Verdict(-1.0, None, reason, raised=True)
    seconds = max(time.monotonic() - began, verdict.usage.verifier_seconds)
    return replace(verdict, usage=replace(verdict.usage, verifier_seconds=seconds))


def _as_verdict(value: object) -> Verdict:
    if isinstance(value, Verdict):
        return value
    if isinstance(value, Real) and not isinstance(value, bool):
        score: Any = value
        return Verdict(score, passed=bool(score > reward_threshold()), reason=f"score {score}")
    raise VerdictError(
        f"a verifier must return a Verdict, or a score in [-1, 0], but returned {value!r} "
        f"of type {type(value).__name__}"
    )


def reward_threshold() -> float:
    """The threshold in force: that of the search which asks, else :data:`DEFAULT_THRESHOLD`.

    A verifier that turns its score into ``passed`` compares with this value, so that
    ``LatentSeekConfig.reward_threshold`` is the only threshold.
    """
    return _threshold.get()


@contextmanager
def judging_above(threshold: float) -> Iterator[None]:
    """Set the threshold for verifiers called inside, in this thread or task.

    A verifier that calls others in threads of its own hands it on with ``contextvars.copy_context().run``;
    without that they judge by the default.

    Args:
        threshold: In [-1, 0].

    Raises:
        ConfigError: It is out of range.

    Example:
        >>> from latentseek_agents.tools import StepVerifier
        >>> question, solution = "Share 30 kg among 7 bags.", "30 / 7 = 4.29. The answer is 4.29."
        >>> StepVerifier()(question, solution).passed
        True
        >>> with judging_above(-0.05):
        ...     StepVerifier()(question, solution).passed
        False
    """
    if not -1 <= threshold <= 0:
        raise ConfigError(f"threshold={threshold}: it must lie in [-1, 0]")
    token = _threshold.set(threshold)
    try:
        yield
    finally:
        _threshold.reset(token)


@dataclass(frozen=True, slots=True)
class Attempt(_Plain):
    """One solution the policy wrote, with its verdict once it has one.

    Reads like the plain dict it is in a graph's state, too: ``attempt["text"]``.

    Args:
        iteration: 0 for the draft, then the number of the refinement.
        token_ids: The whole completion, end token included.
        latent_start: Position in ``token_ids`` of the first latent.
        latent_token_ids: The tokens that stand at the latents' positions.
        changed: Positions in ``latent_token_ids`` whose token differs from the attempt before.
        text: The completion as text.
        finish_reason: ``"stop"`` (an end token), ``"length"`` (the token limit) or ``"seconds"``.
        answer: The final answer found in the text, or None.
        score: The verdict's score; None until verified.
        passed: The verdict's ``passed``, after the search's own threshold; None if not judged.
        reason: The verdict's reason.
        checks: The verdict's checks as plain dicts.
        sample_scores: With ``num_samples`` > 1 the scores of all samples of this iteration.
    """

    iteration: int
    token_ids: list[int]
    latent_token_ids: list[int]
    changed: list[int]
    text: str
    finish_reason: str
    latent_start: int = 0
    answer: str | None = None
    score: float | None = None
    passed: bool | None = None
    reason: str = ""
    checks: list[dict[str, Any]] = field(default_factory=list)
    sample_scores: list[float | None] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        if name not in {f.name for f in fields(self)}:
            raise KeyError(name)
        return getattr(self, name)

    def judged(self, verdict: Verdict, *, passed: bool | None) -> "Attempt":
        """This attempt with a verdict; ``passed`` is the search's own decision."""
        return replace(
            self,
            score=verdict.score,
            passed=passed,
            reason=verdict.reason,
            checks=[check.to_dict() for check in verdict.checks],
        )

    def outcome(self) -> dict[str, Any]:
        """What a search that returns this attempt shows of it."""
        return {name: self[name] for name in ("answer", "text", "score", "passed", "reason")}
