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
    "Correction",
    "Prepared",
    "StopReason",
    "Usage",
    "Verdict",
    "Verifier",
    "VerifierLike",
    "VerifierWrapper",
    "ask",
    "checked_verifier",
    "judging_above",
    "prepare",
    "prepared_answer",
    "reward_threshold",
]

StopReason = Literal["passed", "agreement", "iterations", "seconds", "tokens", "unjudged"]
"""Why a search ended: an attempt passed, one answer won the vote, a bound was reached, or no attempt could be
judged."""

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
        policy_thinking_tokens: Those of ``policy_tokens`` that lie within thoughts, their marks left out.

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
    policy_thinking_tokens: int = 0

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
class Correction(_Plain):
    """What a solution states wrongly, and what should stand in its place.

    Args:
        start: Offset of the first wrong character in the solution that was judged.
        end: Offset after the last one.
        stated: What stands there.
        value: What was computed, written as the text should state it.

    Example:
        >>> Correction(5, 6, "5", "4").applied_to("2+2 =5.")
        '2+2 =4.'
    """

    start: int
    end: int
    stated: str
    value: str

    def fits(self, text: str) -> bool:
        """Whether a text states there what is to be replaced, and not the right value already."""
        inside = 0 <= self.start < self.end <= len(text)
        return inside and text[self.start : self.end] == self.stated and self.stated != self.value

    def applied_to(self, text: str) -> str:
        """The text with the value in place of what it states."""
        return text[: self.start] + self.value + text[self.end :]


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
        exact: It is part of a pass that was computed, such as the step checker's, and is no model's opinion.
            Two attempts with such a check and the same answer end a search for agreement.
        opinion: It is what a model thinks. An attempt that was cut off before it stated an answer does not
            pass on opinions alone.
        correction: Of a refuted check: where in the solution the wrong value stands, and what is right there,
            if both are known. ``LatentSeekConfig.aim`` makes use of it.
    """

    name: str
    passed: bool | None
    weight: float = 1.0
    reason: str = ""
    refuted: bool = False
    blocks: bool = False
    exact: bool = False
    opinion: bool = False
    correction: Correction | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        correction = values.get("correction")
        return cls(**{**values, "correction": correction and Correction.from_dict(correction)})


@dataclass(frozen=True, slots=True)
class Verdict(_Plain):
    """What a verifier says about one solution.

    Args:
        score: Reward in [-1, 0]; 0 is flawless. Scores are never positive: the search pushes *away*
            from what is scored below 0 (arXiv 2505.13308, section 3.6).
        passed: True if the verifier accepts the solution, False if it rejects it, None if it cannot judge.
            None stops the search: moving latents without a judgement is noise.
        reason: One sentence a person can act on.
        checks: The parts, in the order they were made.
        usage: What the verifier itself spent (only the ``verifier_*`` fields).
        raised: The verifier raised an exception in place of judging; :func:`ask` sets it.
        computed_answer: What a program in the solution's own text prints as its final answer, where the text
            states another one or none; None otherwise.

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
    computed_answer: str | None = None

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
            ("computed_answer", isinstance(self.computed_answer, str | None), "a string or None"),
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


@dataclass(frozen=True, slots=True)
class Prepared(_Plain):
    """What a verifier found out about a question before it judges solutions to it.

    Args:
        value: None, a bool, int, float or str, or lists and dicts with string keys of these: a search keeps
            it in its state. None if the verifier prepared nothing.
        usage: What the preparation cost (only the ``verifier_*`` fields).

    Raises:
        VerdictError: The value is not plain, or the usage is no :class:`Usage`.

    Example:
        >>> Prepared({"expected": ["72"]}).value
        {'expected': ['72']}
    """

    value: Any = None
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        if not isinstance(self.usage, Usage):
            raise VerdictError(f"the usage of a preparation must be a Usage, but is {self.usage!r}")
        if odd := _not_plain(self.value, "value"):
            raise VerdictError(
                f"what a verifier prepares must be None, a bool, int (of 64 bits), float, str, list or a "
                f"dict with string keys, because a search stores it; but {odd}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(values["value"], Usage.from_dict(values["usage"]))


def _not_plain(value: object, place: str) -> str:
    """Which part of a value a checkpoint could not hold, in words; "" if there is none."""
    if type(value) is list:
        parts = ((entry, f"{place}[{index}]") for index, entry in enumerate(value))
        return next((odd for entry, where in parts if (odd := _not_plain(entry, where))), "")
    if type(value) is dict:
        if odd_keys := [key for key in value if type(key) is not str]:
            return f"{place} has the key {odd_keys[0]!r}"
        parts = ((entry, f"{place}[{key!r}]") for key, entry in value.items())
        return next((odd for entry, where in parts if (odd := _not_plain(entry, where))), "")
    # Subclasses such as numpy's float64 would come back from a checkpoint as something else.
    is_plain = value is None or type(value) in (bool, float, str)
    if is_plain or (type(value) is int and -(2**63) <= value < 2**63):
        return ""
    return f"{place} is of type {type(value).__name__}: {str(value)[:80]}"


@runtime_checkable
class Verifier(Protocol):
    """Anything that judges a solution: a function will do.

    It may be called from any thread, must bear hostile text, and should answer within 2 s or say
    "cannot judge" (``passed=None``). An exception counts as "cannot judge". A verifier may also return a
    plain score in [-1, 0]: see :data:`VerifierLike`.

    **Preparation.** A verifier may have a method ``prepare(question)``, which returns a :class:`Prepared` or
    a plain value. A search calls it once for its question, keeps the value in its state, so that a resumed
    search does not call it again, counts its cost, and gives the value as the keyword ``prepared`` to each
    call. Without a value (None, or ``prepare`` raised) the keyword is left out, so it needs a default. The
    value must not be changed. A verifier with ``prepare`` may also have ``prepared_answer(value)``, which
    returns the answer that the value holds, or None.

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
    keywords: dict[str, None] = {"reference": None}
    if _method(verifier, "prepare"):
        wanted = "verifier(question, solution, *, reference=None, prepared=None), since it has prepare()"
        keywords["prepared"] = None
    try:
        inspect.signature(verifier).bind("question", "solution", **keywords)
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
    prepared: Any = None,
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
        prepared: The value of :func:`prepare` for this verifier and question. It is passed on only if it is
            not None and the verifier has a method ``prepare``.
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
    takes_prepared = prepared is not None and _method(verifier, "prepare")
    keywords = {"prepared": prepared} if takes_prepared else {}
    began = time.monotonic()
    try:
        verdict = _as_verdict(verifier(question, solution, reference=reference, **keywords))
    except passing:
        raise
    except Exception as error:
        _log.warning("the verifier raised, so it cannot judge: %s", _name(verifier), exc_info=True)
        reason = f"cannot judge: it raised {type(error).__name__}: {error}"
        verdict = Verdict(-1.0, None, reason, raised=True)
    return replace(verdict, usage=_timed(verdict.usage, began))


def prepare(
    verifier: VerifierLike, question: str, *, control_flow: tuple[type[BaseException], ...] = ()
) -> Prepared:
    """What a verifier finds out about a question once, before it judges solutions to it.

    A verifier without a method ``prepare`` has nothing to prepare. An exception is logged, and the verifier
    is then asked without preparation.

    Args:
        verifier: Whose method ``prepare(question)`` is called, if it has one.
        question: What is to be solved.
        control_flow: Exceptions that are no failures and pass through, such as LangGraph's interrupts.

    Returns:
        The value, None if there is none, and what it cost, with the time that it took.

    Raises:
        VerdictError: The verifier returned something that a state cannot hold.

    Example:
        >>> class Expects:
        ...     def prepare(self, question):
        ...         return "4"
        ...
        ...     def __call__(self, question, solution, *, reference=None, prepared=None):
        ...         return 0.0 if solution == prepared else -1.0
        >>> value = prepare(Expects(), "What is 2 + 2?").value
        >>> ask(Expects(), "What is 2 + 2?", "4", prepared=value).passed
        True
    """
    method = _method(verifier, "prepare")
    if method is None:
        return Prepared()
    passing: tuple[type[BaseException], ...] = (VerdictError, *control_flow)
    began = time.monotonic()
    try:
        value = method(question)
        prepared = value if isinstance(value, Prepared) else Prepared(value)
    except passing:
        raise
    except Exception:
        _log.warning(
            "the verifier raised while it prepared, and judges without: %s", _name(verifier), exc_info=True
        )
        prepared = Prepared()
    return replace(prepared, usage=_timed(prepared.usage, began))


def prepared_answer(verifier: VerifierLike, value: Any) -> str | None:
    """The answer to the question that a verifier's preparation computed; None if it computed none.

    Args:
        verifier: Whose method ``prepared_answer(value)`` is called, if it has one.
        value: The value of :func:`prepare` for this verifier.
    """
    method = _method(verifier, "prepared_answer")
    if method is None or value is None:
        return None
    try:
        answer = method(value)
    except Exception:
        _log.warning("the verifier raised over what it had prepared: %s", _name(verifier), exc_info=True)
        return None
    return answer if isinstance(answer, str) else None


class VerifierWrapper:
    """Base of a verifier that asks another one: it hands on what the other one prepares.

    Args:
        verifier: The other one. A subclass asks it in its ``__call__``, which takes ``prepared=None``.

    Example:
        >>> class Shown(VerifierWrapper):
        ...     def __call__(self, question, solution, *, reference=None, prepared=None):
        ...         solution = solution.partition("</answer>")[0]
        ...         return ask(self.verifier, question, solution, reference=reference, prepared=prepared)
    """

    def __init__(self, verifier: VerifierLike) -> None:
        self.verifier = verifier

    def prepare(self, question: str) -> Any:
        """What the other verifier prepares; None if it has no ``prepare``."""
        method = _method(self.verifier, "prepare")
        return None if method is None else method(question)

    def prepared_answer(self, value: Any) -> str | None:
        """The answer that the value holds."""
        return prepared_answer(self.verifier, value)


def _method(verifier: VerifierLike, name: str) -> Callable[[Any], Any] | None:
    method = getattr(verifier, name, None)
    return method if callable(method) else None


def _name(verifier: VerifierLike) -> str:
    return str(getattr(verifier, "__name__", type(verifier).__name__))


def _timed(usage: Usage, began: float) -> Usage:
    """The costs with the seconds since ``began``, unless the verifier itself counted more."""
    return replace(usage, verifier_seconds=max(time.monotonic() - began, usage.verifier_seconds))


def _as_verdict(value: object) -> Verdict:
    if isinstance(value, Verdict):
        return value
    if isinstance(value, Real) and not isinstance(value, bool):
        score: Any = value
        return Verdict(score, passed=bool(score > reward_threshold()), reason=f"score {score}")
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise VerdictError(
            "a verifier must return a Verdict, or a score in [-1, 0], but this one is a coroutine function. "
            "It is called in a thread of its own, so write it with `def`; inside, asyncio.run(...) awaits"
        )
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
        text: The answer as text: the completion without what the model thought before it. Empty if it ends
            within its thought.
        finish_reason: ``"stop"`` (an end token), ``"length"`` (the token limit) or ``"seconds"``.
        answer: The final answer found in the text, or None.
        score: The verdict's score; None until verified.
        passed: The verdict's ``passed``, after the search's own threshold; None if not judged.
        reason: The verdict's reason.
        checks: The verdict's checks as plain dicts.
        sample_scores: With ``num_samples`` > 1 the scores of all samples of this iteration.
        computed_answer: The verdict's ``computed_answer``; in a vote it stands in place of ``answer``.
        reward: What the policy gradient takes in place of the score, in [-1, 0]; None takes the score.
        aimed_at: With ``aim="first_error"``, if this attempt was written from the first error of the one
            before: a dict of ``character`` and ``token`` (offsets of that error in the text and in
            ``token_ids``), ``stated`` and ``value`` (what stood there, and what was computed), ``steps`` (of
            the policy gradient) and ``reached`` (whether they made the value's tokens the most probable
            ones; if not, the value was forced). None for all others.
        thinking: What the model thought before it answered, without its marks; no verifier sees it. Empty if
            it did not, and in ``LatentSeekConfig.paper()``, where ``text`` is all that was written.
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
    computed_answer: str | None = None
    reward: float | None = None
    aimed_at: dict[str, Any] | None = None
    thinking: str = ""

    @property
    def ends_in_thought(self) -> bool:
        """Whether the model thought, and wrote no answer."""
        return bool(self.thinking) and not self.text.strip()

    def __getitem__(self, name: str) -> Any:
        if name not in {f.name for f in fields(self)}:
            raise KeyError(name)
        return getattr(self, name)

    @property
    def refuted(self) -> bool:
        """Whether a check proves it wrong."""
        return any(check.get("refuted") for check in self.checks)

    @property
    def passed_exactly(self) -> bool:
        """Whether a check that passed was computed, and is no model's opinion."""
        return any(check.get("exact") and check["passed"] for check in self.checks)

    def judged(self, verdict: Verdict, *, passed: bool | None) -> "Attempt":
        """This attempt with a verdict; ``passed`` is the search's own decision."""
        return replace(
            self,
            score=verdict.score,
            passed=passed,
            reason=verdict.reason,
            checks=[check.to_dict() for check in verdict.checks],
            computed_answer=verdict.computed_answer,
        )

    @property
    def correction(self) -> Correction | None:
        """What is right at the first refuted step, if the verdict knows it."""
        first = next((check for check in self.checks if check.get("refuted")), {})
        found = first.get("correction")
        return None if found is None else Correction.from_dict(found)

    def outcome(self) -> dict[str, Any]:
        """What a search that returns this attempt shows of it."""
        return {name: self[name] for name in ("answer", "text", "score", "passed", "reason")}
