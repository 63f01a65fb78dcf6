"""The three nodes of the refinement loop, their state, and the loop itself without a graph."""

import inspect
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from langgraph.errors import GraphBubbleUp
from langgraph.managed import RemainingSteps
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.config import LatentSeekConfig
from latentseek_agents.engine.errors import (
    BackboneError,
    ConfigError,
    InputError,
    LatentSeekError,
    VerdictError,
)
from latentseek_agents.engine.search import Round, draft, refine, token_differences
from latentseek_agents.engine.verdict import Attempt, Usage, Verdict
from latentseek_agents.graphs.decisions import (
    StopReason,
    accepts,
    as_verdict,
    best_attempt,
    best_sample,
    stop_reason,
)
from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.tools.combined import default_verifier

__all__ = ["RefineContext", "RefineInput", "RefineNodes", "RefineOutput", "RefineState", "RefineUpdate"]

_log = logging.getLogger(__name__)
# A round is ``refine`` and ``verify``, and LangGraph wants one more step to find that nothing is left to do.
_STEPS_PER_ROUND = 3


class RefineInput(TypedDict, total=False):
    """What goes in."""

    question: str
    """What to solve."""
    reference: str | None
    """The known answer, for verifiers that compare with it."""


class RefineOutput(TypedDict):
    """What comes out: the attempt that is returned, all attempts, and the costs."""

    question: str
    answer: str | None
    """The final answer found in the text; None if it states none."""
    text: str
    score: float | None
    passed: bool | None
    reason: str
    stop_reason: StopReason | None
    iterations: list[dict[str, Any]]
    """Every attempt, the draft first: see :class:`~latentseek_agents.engine.verdict.Attempt`."""
    usage: dict[str, Any]
    """See :class:`~latentseek_agents.engine.verdict.Usage`."""


class RefineState(RefineOutput):
    """The graph's state: only plain values, so that any checkpointer can hold it."""

    reference: str | None
    samples: list[dict[str, Any]]
    """The attempts of the iteration in progress."""
    search: bytes
    """Latents and Adam's memory."""
    remaining_steps: RemainingSteps
    """What LangGraph's recursion limit leaves; managed by LangGraph, never stored."""


class RefineUpdate(TypedDict, total=False):
    """What a node may change."""

    answer: str | None
    text: str
    score: float | None
    passed: bool | None
    reason: str
    stop_reason: StopReason | None
    iterations: list[dict[str, Any]]
    usage: dict[str, Any]
    reference: str | None
    samples: list[dict[str, Any]]
    search: bytes


@dataclass(frozen=True, kw_only=True)
class RefineContext:
    """Settings that one run may change: ``graph.invoke(..., context=RefineContext(max_iterations=3))``.

    Each is as in :class:`~latentseek_agents.engine.config.LatentSeekConfig`; None leaves the graph's own.
    Give a resumed run the same context.
    """

    learning_rate: float | None = None
    max_iterations: int | None = None
    max_new_tokens: int | None = None
    max_seconds: float | None = None
    max_total_tokens: int | None = None
    reward_threshold: float | None = None
    seed: int | None = None

    def apply(self, config: LatentSeekConfig) -> LatentSeekConfig:
        """The configuration with these changes, validated."""
        changes = {f.name: getattr(self, f.name) for f in fields(self)}
        return config.replace(**{name: value for name, value in changes.items() if value is not None})


class RefineNodes:
    """The three nodes. They hold the model; all that changes is in the state.

    Args:
        backbone: The frozen policy.
        verifier: The reward; by default step checks combined with self-reward.
        config: Settings.
        on_token: Called with each token id that the policy's layers write.

    Raises:
        BackboneError: ``backbone`` is no backbone.
        ConfigError: ``config`` is no configuration, or ``verifier`` cannot be called as one.
    """

    def __init__(
        self,
        backbone: Backbone,
        verifier: Callable[..., Any] | None = None,
        config: LatentSeekConfig | None = None,
        on_token: Callable[[int], None] | None = None,
    ) -> None:
        if not isinstance(backbone, Backbone):
            raise BackboneError(
                f"a search needs a Backbone, but got {type(backbone).__name__}; wrap a loaded model with "
                "Backbone.from_model(model, tokenizer), or load one with Backbone.from_pretrained(name)"
            )
        if config is not None and not isinstance(config, LatentSeekConfig):
            raise ConfigError(
                f"config must be a LatentSeekConfig, but is a {type(config).__name__}; "
                "write LatentSeekConfig(learning_rate=0.03, ...)"
            )
        self.backbone = backbone
        self.verifier = default_verifier(backbone) if verifier is None else _checked(verifier)
        self.config = config or LatentSeekConfig()
        self.on_token = on_token

    def loop(
        self, question: str, reference: str | None, emit: Callable[[Any], None]
    ) -> Iterator[RefineState]:
        """The graph's loop without the graph.

        A graph inside a node inherits the checkpointer around it, and finds its place there by the order
        of calls; a Runnable may be called in any order.

        Args:
            question: What to solve.
            reference: The known answer, if there is one.
            emit: Takes each progress event.

        Yields:
            The state after each verification; the last one has a ``stop_reason``.
        """
        runtime: Runtime[Any] = Runtime(stream_writer=emit)
        state: Any = {"question": question, "reference": reference}
        state |= self.draft(state, runtime)
        while True:
            state |= self.verify(state, runtime)
            yield dict(state)  # type: ignore[misc]
            if state["stop_reason"] is not None:
                return
            state |= self.refine(state, runtime)

    def draft(self, state: RefineState, runtime: Runtime[RefineContext]) -> RefineUpdate:
        """Write the draft, and forget what the thread's last question left."""
        question = _question(state)
        config = self._config(runtime)
        made = draft(
            self.backbone, question, config, deadline=_deadline(config, Usage()), on_token=self.on_token
        )
        return {
            "answer": None,
            "text": "",
            "score": None,
            "passed": None,
            "reason": "",
            "stop_reason": None,
            "iterations": [],
            "reference": state.get("reference"),
            **self._round(made, Usage()),
        }

    def verify(self, state: RefineState, runtime: Runtime[RefineContext]) -> RefineUpdate:
        """Judge the attempts, record the best of them, and decide whether to go on."""
        config = self._config(runtime)
        usage = Usage.from_dict(state["usage"])
        history = [Attempt.from_dict(entry) for entry in state["iterations"]]
        samples = [Attempt.from_dict(entry) for entry in state["samples"]]
        if history and any(sample.finish_reason == "seconds" for sample in samples):
            # Cut short by the deadline: half a solution is no attempt.
            return _result(history, config, "seconds")
        judged: list[Attempt] = []
        for sample in samples:
            if sample.score is None:
                sample, spent = self._judge(config, state, sample, [*history, *judged])  # noqa: PLW2901
                usage += spent
            judged.append(sample)
        entry = best_sample(judged)
        if len(judged) > 1:
            entry = replace(entry, sample_scores=[sample.score for sample in judged])
            if history:
                before = history[-1].latent_token_ids
                entry = replace(entry, changed=token_differences(before, entry.latent_token_ids))
        history.append(entry)
        update: RefineUpdate = {
            "samples": [sample.to_dict() for sample in judged],
            "iterations": [attempt.to_dict() for attempt in history],
            "usage": usage.to_dict(),
        }
        reason = stop_reason(judged, config, usage, movable=bool(state["search"]))
        if reason == "iterations" and not state["search"] and config.max_iterations:
            _log.warning(
                "nothing to refine: fraction=%s of a draft of %d tokens is less than one latent; raise it",
                config.fraction,
                len(entry.token_ids),
            )
        if reason is None and state.get("remaining_steps", _STEPS_PER_ROUND) < _STEPS_PER_ROUND:
            _log.warning(
                "the recursion limit leaves no room for iteration %d of %d, so the search ends; "
                "invoke the graph with a recursion_limit of at least %d",
                entry.iteration + 1,
                config.max_iterations,
                2 * config.max_iterations + 3,
            )
            reason = "iterations"
        self._announce(runtime, config, entry, reason, usage)
        return update if reason is None else {**update, **_result(history, config, reason)}

    def refine(self, state: RefineState, runtime: Runtime[RefineContext]) -> RefineUpdate:
        """Move the latents once and write again."""
        config = self._config(runtime)
        usage = Usage.from_dict(state["usage"])
        try:
            made = refine(
                self.backbone,
                _question(state),
                config,
                search=state["search"],
                samples=[Attempt.from_dict(entry) for entry in state["samples"]],
                history=[Attempt.from_dict(entry) for entry in state["iterations"]],
                deadline=_deadline(config, usage),
                on_token=self.on_token,
            )
        except LatentSeekError as error:
            error.attempts = list(state["iterations"])
            raise
        return self._round(made, usage)

    def _round(self, made: Round, usage: Usage) -> RefineUpdate:
        attempts = [
            replace(attempt, answer=extract_answer(attempt.text)) if attempt.score is None else attempt
            for attempt in made.attempts
        ]
        return {
            "samples": [attempt.to_dict() for attempt in attempts],
            "search": made.search,
            "usage": (usage + made.usage).to_dict(),
        }

    def _judge(
        self, config: LatentSeekConfig, state: RefineState, attempt: Attempt, history: Sequence[Attempt]
    ) -> tuple[Attempt, Usage]:
        began = time.monotonic()
        raised = False
        try:
            value = self.verifier(state["question"], attempt.text, reference=state.get("reference"))
            verdict = as_verdict(value, config)
        except GraphBubbleUp:  # an interrupt, for example by a person who is asked for the verdict
            raise
        except VerdictError as error:
            error.attempts = [*(entry.to_dict() for entry in history), attempt.to_dict()]
            raise
        except Exception as error:
            # Attempts are dear and a verifier is often a stranger's code: keep them, and say what happened.
            _log.warning("the verifier raised; the attempt counts as not judged", exc_info=True)
            raised = True
            verdict = Verdict(-1.0, None, f"the verifier raised {type(error).__name__}: {error}")
        spent = replace(verdict.usage, verifier_seconds=time.monotonic() - began)
        passed = None if raised else accepts(verdict, config)
        return attempt.judged(verdict, passed=passed), spent

    def _announce(
        self,
        runtime: Runtime[RefineContext],
        config: LatentSeekConfig,
        attempt: Attempt,
        reason: StopReason | None,
        usage: Usage,
    ) -> None:
        shown = ("iteration", "score", "passed", "reason", "answer", "text", "finish_reason", "changed")
        runtime.stream_writer(
            {
                "type": "latentseek_iteration",
                "max_iterations": config.max_iterations,
                **{name: attempt[name] for name in shown},
                "latents": [
                    self.backbone.decode([token], skip_special_tokens=False)
                    for token in attempt.latent_token_ids
                ],
                "stop_reason": reason,
                "seconds": usage.seconds,
            }
        )

    def _config(self, runtime: Runtime[RefineContext]) -> LatentSeekConfig:
        # Inside another graph this is that graph's context, which may be anything.
        context = runtime.context
        return context.apply(self.config) if isinstance(context, RefineContext) else self.config


def _checked(verifier: Callable[..., Any]) -> Callable[..., Any]:
    wanted = "verifier(question, solution, *, reference=None) -> Verdict"
    if not callable(verifier):
        raise ConfigError(f"the verifier must be callable as {wanted}, but is {verifier!r}")
    try:
        signature = inspect.signature(verifier)
    except ValueError:  # some builtins have none; the first call will tell
        return verifier
    try:
        signature.bind("question", "solution", reference=None)
    except TypeError as error:
        raise ConfigError(f"the verifier must be callable as {wanted}, but: {error}") from None
    return verifier


def _result(history: Sequence[Attempt], config: LatentSeekConfig, reason: StopReason) -> RefineUpdate:
    chosen = best_attempt(history, config.keep)
    return {
        "answer": chosen.answer,
        "text": chosen.text,
        "score": chosen.score,
        "passed": chosen.passed,
        "reason": chosen.reason,
        "stop_reason": reason,
        # Or the thread's next question, asked without a reference, would be compared with this one's.
        "reference": None,
    }


def _question(state: RefineState) -> str:
    question = state.get("question")
    if question is None:
        raise InputError(
            'the input has no question; invoke the graph with {"question": "...", "reference": None}'
        )
    return question


def _deadline(config: LatentSeekConfig, usage: Usage) -> float | None:
    if config.max_seconds is None:
        return None
    return time.monotonic() + max(0.0, config.max_seconds - usage.seconds)
