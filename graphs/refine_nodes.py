"""The three nodes of the refinement loop, their state, and the loop itself without a graph."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.managed import RemainingSteps
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from latentseek_agents._tracing import trace_iteration
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import raise_if_cancelled
from latentseek_agents.engine.search import Round, draft, refine, token_differences
from latentseek_agents.errors import BackboneError, ConfigError, InputError, LatentSeekError
from latentseek_agents.graphs.decisions import best_attempt, best_sample, stop_reason
from latentseek_agents.graphs.judging import judge
from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.tools.steps import StepVerifier
from latentseek_agents.verdict import Attempt, StopReason, Usage, checked_verifier

__all__ = [
    "RefineContext",
    "RefineInput",
    "RefineNodes",
    "RefineOutput",
    "RefineState",
    "RefineUpdate",
    "VerifyInput",
    "checked_backbone",
    "checked_config",
    "config_for",
    "deadline_for",
    "question_of",
    "reference_of",
]

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
    """Every attempt, the draft first: see :class:`~latentseek_agents.verdict.Attempt`."""
    usage: dict[str, Any]
    """See :class:`~latentseek_agents.verdict.Usage`."""


class VerifyInput(RefineOutput):
    """What ``verify`` reads: no latents, which would show up in streams of tasks."""

    reference: str | None
    samples: list[dict[str, Any]]
    """The attempts of the iteration in progress."""
    remaining_steps: RemainingSteps
    """What LangGraph's recursion limit leaves; managed by LangGraph, never stored."""


class RefineState(VerifyInput):
    """The graph's state: only plain values, so that any checkpointer can hold it."""

    search: bytes
    """Latents and Adam's memory; empty once the search has ended."""


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

    Each is as in :class:`~latentseek_agents.config.LatentSeekConfig`; None leaves the graph's own.
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
        changes = {f.name: getattr(self, f.name) for f in fields(RefineContext)}
        return config.replace(**{name: value for name, value in changes.items() if value is not None})


class RefineNodes:
    """The three nodes. They hold the model; all that changes is in the state.

    Args:
        backbone: The frozen policy.
        verifier: The reward; by default a :class:`~latentseek_agents.tools.steps.StepVerifier`.
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
        self.backbone = checked_backbone(backbone)
        self.config = checked_config(config)
        self.verifier = StepVerifier() if verifier is None else checked_verifier(verifier)
        self.on_token = on_token

    def loop(
        self,
        question: str,
        reference: str | None,
        emit: Callable[[Any], None],
        trace: RunnableConfig | None = None,
        *,
        state: Mapping[str, Any] | None = None,
    ) -> Iterator[RefineState]:
        """The graph's loop without the graph.

        A graph inside a node inherits the checkpointer around it, and finds its place there by the order
        of calls; a Runnable may be called in any order.

        Args:
            question: What to solve.
            reference: The known answer, if there is one.
            emit: Takes each progress event.
            trace: Of the run that the iterations belong to; None records none.
            state: One that a search of this question has yielded, to go on behind it.

        Yields:
            The state after each verification; the last one has a ``stop_reason``.
        """
        runtime: Runtime[Any] = Runtime(stream_writer=emit)
        now: Any = {"question": question, "reference": reference} if state is None else dict(state)
        now |= self.draft(now, runtime) if state is None else self.refine(now, runtime)
        while True:
            raise_if_cancelled()
            now |= self.verify(now, runtime, trace)
            yield dict(now)  # type: ignore[misc]
            if now["stop_reason"] is not None:
                return
            now |= self.refine(now, runtime)

    def draft(
        self, state: RefineInput, runtime: Runtime[RefineContext], trace: RunnableConfig | None = None
    ) -> RefineUpdate:
        """Write the draft, and forget what the thread's last question left."""
        question = question_of(state)
        reference = reference_of(state)
        config = self._config(runtime)
        made = draft(
            self.backbone, question, config, deadline=deadline_for(config, Usage()), on_token=self.on_token
        )
        return {
            "answer": None,
            "text": "",
            "score": None,
            "passed": None,
            "reason": "",
            "stop_reason": None,
            "iterations": [],
            "reference": reference,
            **self._round(made, Usage()),
        }

    def verify(
        self, state: VerifyInput, runtime: Runtime[RefineContext], trace: RunnableConfig | None = None
    ) -> RefineUpdate:
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
                sample, spent = judge(  # noqa: PLW2901
                    self.verifier,
                    config,
                    state["question"],
                    state.get("reference"),
                    sample,
                    [*history, *judged],
                )
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
        movable = any(sample.latent_token_ids for sample in judged)
        reason = stop_reason(judged, config, usage, movable=movable)
        if reason == "iterations" and not movable and config.max_iterations:
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
        event = self._event(config, entry, reason, usage)
        runtime.stream_writer(event)
        if trace is not None:
            trace_iteration(event, trace)
        return update if reason is None else {**update, **_result(history, config, reason)}

    def refine(
        self, state: RefineState, runtime: Runtime[RefineContext], trace: RunnableConfig | None = None
    ) -> RefineUpdate:
        """Move the latents once and write again."""
        config = self._config(runtime)
        usage = Usage.from_dict(state["usage"])
        try:
            made = refine(
                self.backbone,
                question_of(state),
                config,
                search=state["search"],
                samples=[Attempt.from_dict(entry) for entry in state["samples"]],
                history=[Attempt.from_dict(entry) for entry in state["iterations"]],
                deadline=deadline_for(config, usage),
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

    def _event(
        self, config: LatentSeekConfig, attempt: Attempt, reason: StopReason | None, usage: Usage
    ) -> dict[str, Any]:
        shown = ("iteration", "score", "passed", "reason", "answer", "text", "finish_reason", "changed")
        return {
            "type": "latentseek_iteration",
            "max_iterations": config.max_iterations,
            **{name: attempt[name] for name in shown},
            "latents": [
                self.backbone.decode([token], skip_special_tokens=False) for token in attempt.latent_token_ids
            ],
            "stop_reason": reason,
            "seconds": usage.seconds,
        }

    def _config(self, runtime: Runtime[RefineContext]) -> LatentSeekConfig:
        return config_for(self.config, runtime)


def _result(history: Sequence[Attempt], config: LatentSeekConfig, reason: StopReason) -> RefineUpdate:
    chosen = best_attempt(history, config.keep)
    return {
        "answer": chosen.answer,
        "text": chosen.text,
        "score": chosen.score,
        "passed": chosen.passed,
        "reason": chosen.reason,
        "stop_reason": reason,
        # Nothing reads them any more, and a finished thread should not keep megabytes.
        "search": b"",
        # Or the thread's next question, asked without a reference, would be compared with this one's.
        "reference": None,
    }


def checked_backbone(backbone: Backbone) -> Backbone:
    """The backbone, if it is one.

    Raises:
        BackboneError: It is not.
    """
    if not isinstance(backbone, Backbone):
        raise BackboneError(
            f"a search needs a Backbone, but got {type(backbone).__name__}; wrap a loaded model with "
            "Backbone.from_model(model, tokenizer), or load one with Backbone.from_pretrained(name)"
        )
    return backbone


def checked_config(config: LatentSeekConfig | None) -> LatentSeekConfig:
    """The configuration, or the default one.

    Raises:
        ConfigError: It is something else.
    """
    if config is not None and not isinstance(config, LatentSeekConfig):
        raise ConfigError(
            f"config must be a LatentSeekConfig, but is a {type(config).__name__}; "
            "write LatentSeekConfig(learning_rate=0.03, ...)"
        )
    return config or LatentSeekConfig()


def config_for(config: LatentSeekConfig, runtime: Runtime[Any]) -> LatentSeekConfig:
    """The configuration with what this run changes of it."""
    # Inside another graph this is that graph's context, which may be anything.
    context = runtime.context
    return context.apply(config) if isinstance(context, RefineContext) else config


def question_of(state: RefineInput | RefineState) -> str:
    """The question in the state.

    Raises:
        InputError: There is none.
    """
    question = state.get("question")
    if question is None:
        raise InputError(
            'the input has no question; invoke the graph with {"question": "...", "reference": None}'
        )
    return question


def reference_of(state: Mapping[str, Any]) -> str | None:
    """The known answer in the state, if there is one; a number, as JSON has it, is taken, too.

    Raises:
        InputError: It is something else.
    """
    value = state.get("reference")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"the reference must be a string or a number, but is {value!r}")


def deadline_for(config: LatentSeekConfig, usage: Usage) -> float | None:
    """When the time is up, as a ``time.monotonic()``."""
    if config.max_seconds is None:
        return None
    return time.monotonic() + max(0.0, config.max_seconds - usage.seconds)
