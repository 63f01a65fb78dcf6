"""The graph draft → verify → (refine → verify)* → END."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.config import LatentSeekConfig
from latentseek_agents.engine.errors import BackboneError, InputError, VerdictError
from latentseek_agents.engine.search import Round, draft, refine
from latentseek_agents.engine.verdict import Attempt, Usage, Verdict, Verifier
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

__all__ = ["RefineContext", "RefineInput", "RefineOutput", "RefineState", "create_refine_graph", "supersteps"]

_log = logging.getLogger(__name__)


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


class _Update(TypedDict, total=False):
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


def supersteps(config: LatentSeekConfig) -> int:
    """A recursion limit that the graph never reaches: its own bounds end it first."""
    return 2 * config.max_iterations + 10


def create_refine_graph(
    backbone: Backbone,
    *,
    verifier: Verifier | Callable[..., Any] | None = None,
    config: LatentSeekConfig | None = None,
    on_token: Callable[[int], None] | None = None,
) -> "StateGraph[RefineState, RefineContext, RefineInput, RefineOutput]":
    """Build the refinement loop as an uncompiled graph; ``compile(checkpointer=...)`` is yours.

    ``draft`` writes a chain of thought and takes its latents. ``verify`` judges it. While it does not pass
    and budget is left, ``refine`` moves the latents once and writes again. The best attempt is returned.

    Each iteration is announced in ``stream_mode="custom"`` as a dict of plain values::

        {"type": "latentseek_iteration", "iteration": 1, "max_iterations": 10, "score": -0.5,
         "passed": False, "reason": "...", "answer": "5", "text": "...", "finish_reason": "stop",
         "changed": [0, 3], "latents": ["To", " solve", ...], "stop_reason": None, "seconds": 1.5}

    Args:
        backbone: The frozen policy.
        verifier: The reward; by default step checks combined with self-reward.
        config: Settings; the defaults are the paper's rule of thumb.
        on_token: Called with each token id as the policy writes it.

    Returns:
        Graph with state keys ``question, reference, answer, text, score, passed, reason, stop_reason,
        iterations, usage`` and its private ``samples, search``.

    Raises:
        BackboneError: ``backbone`` is no backbone.

    Example:
        >>> from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
        >>> config = LatentSeekConfig(max_new_tokens=8, fraction=0.5, max_iterations=2)
        >>> graph = create_refine_graph(tiny_backbone(), verifier=ScriptedVerifier([-1, 0]), config=config)
        >>> result = graph.compile().invoke({"question": "What is 2 + 2?"})
        >>> result["passed"], result["stop_reason"], len(result["iterations"])
        (True, 'passed', 2)
    """
    if not isinstance(backbone, Backbone):
        raise BackboneError(
            f"the graph needs a Backbone, but got {type(backbone).__name__}; wrap a loaded model with "
            "Backbone.from_model(model, tokenizer), or load one with Backbone.from_pretrained(name)"
        )
    nodes = _Nodes(backbone, verifier or default_verifier(backbone), config or LatentSeekConfig(), on_token)
    builder = StateGraph(
        RefineState, context_schema=RefineContext, input_schema=RefineInput, output_schema=RefineOutput
    )
    builder.add_node("draft", nodes.draft)
    builder.add_node("verify", nodes.verify)
    builder.add_node("refine", nodes.refine)
    builder.add_edge(START, "draft")
    builder.add_edge("draft", "verify")
    builder.add_conditional_edges("verify", _next, ["refine", END])
    builder.add_edge("refine", "verify")
    return builder


def _next(state: RefineState) -> Literal["refine", "__end__"]:
    return "refine" if state["stop_reason"] is None else "__end__"


class _Nodes:
    """The three nodes. They hold the model; all that changes is in the state."""

    def __init__(
        self,
        backbone: Backbone,
        verifier: Callable[..., Any],
        config: LatentSeekConfig,
        on_token: Callable[[int], None] | None,
    ) -> None:
        self.backbone = backbone
        self.verifier = verifier
        self.config = config
        self.on_token = on_token

    def draft(self, state: RefineState, runtime: Runtime[RefineContext]) -> _Update:
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

    def verify(self, state: RefineState, runtime: Runtime[RefineContext]) -> _Update:
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
                sample, spent = self._judge(config, state, sample, history)  # noqa: PLW2901
                usage += spent
            judged.append(sample)
        entry = best_sample(judged)
        if len(judged) > 1:
            entry = replace(entry, sample_scores=[sample.score for sample in judged])
        history.append(entry)
        update: _Update = {
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
        self._announce(runtime, config, entry, reason, usage)
        return update if reason is None else {**update, **_result(history, config, reason)}

    def refine(self, state: RefineState, runtime: Runtime[RefineContext]) -> _Update:
        config = self._config(runtime)
        usage = Usage.from_dict(state["usage"])
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
        return self._round(made, usage)

    def _round(self, made: Round, usage: Usage) -> _Update:
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
        try:
            value = self.verifier(state["question"], attempt.text, reference=state.get("reference"))
            verdict = as_verdict(value, config)
        except (GraphBubbleUp, KeyboardInterrupt):
            raise
        except VerdictError as error:
            error.attempts = [*(entry.to_dict() for entry in history), attempt.to_dict()]
            raise
        except Exception as error:
            # Attempts are dear and a verifier is often a stranger's code: keep them, and say what happened.
            _log.warning("the verifier raised; the attempt counts as not judged", exc_info=True)
            verdict = Verdict(-1.0, None, f"the verifier raised {type(error).__name__}: {error}")
        spent = replace(verdict.usage, verifier_seconds=time.monotonic() - began)
        return attempt.judged(verdict, passed=accepts(verdict, config)), spent

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


def _result(history: Sequence[Attempt], config: LatentSeekConfig, reason: StopReason) -> _Update:
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
