"""What LatentSeek is compared with: best-of-N and self-consistency, as graphs with the same output.

Best-of-N: Stiennon et al. 2020; Cobbe et al. 2021. Self-consistency: Wang et al. 2023, arXiv 2203.11171.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from latentseek_agents._background import StoppableNode
from latentseek_agents._inputs import checked_reference, question_in
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import best_sample, choose, deadline_for, majority, spent_budget
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.sampling import sample
from latentseek_agents.errors import ConfigError
from latentseek_agents.graphs.refine import STEPS_NEEDED, RefineGraph
from latentseek_agents.graphs.state import RefineContext, RefineInput, RefineOutput, RefineState, config_for
from latentseek_agents.loop import Search, SearchState, prepare
from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.verdict import Attempt, StopReason, Usage, VerifierLike, prepared_answer
from latentseek_agents.votes import count_votes, has_won

__all__ = ["create_best_of_n_graph", "create_self_consistency_graph"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Decision:
    """What the samples so far come to.

    Args:
        outcome: The fields of the result that the choice decides.
        attempts: All samples so far.
        stop_reason: Why no more are needed; None if more are.
        votes: As in a result.
    """

    outcome: dict[str, Any]
    attempts: Sequence[Attempt]
    stop_reason: StopReason | None
    votes: Sequence[dict[str, Any]] = ()


Decide = Callable[[Search, RefineState, Sequence[Attempt]], _Decision]
"""From the search, the state and all samples so far, judged if a verifier is asked, to the decision."""


def create_best_of_n_graph(
    backbone: Backbone,
    *,
    verifier: VerifierLike | None = None,
    n: int = 3,
    temperature: float = 0.7,
    config: LatentSeekConfig | None = None,
    on_token: Callable[[int], None] | None = None,
) -> RefineGraph:
    """Sample N solutions, judge each, and return the best: the verifier of a search without the search.

    Args:
        backbone: The frozen policy.
        verifier: Judges each solution; by default the step checker.
        n: How many solutions; the paper compares with 3.
        temperature: Of the samples.
        config: Prompt, token and time limits, threshold, seed.
        on_token: Called with each token id as it is written.

    Returns:
        An uncompiled graph with the state of :func:`~latentseek_agents.graphs.create_refine_graph`;
        ``iterations`` are the N solutions in their order. ``stop_reason`` is ``"passed"`` if the best
        passed, ``"unjudged"`` if none could be judged, else ``"iterations"``.

    Raises:
        BackboneError: ``backbone`` is no backbone.
        ConfigError: A setting is out of range, or ``verifier`` cannot be called as one.

    Example:
        >>> from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
        >>> config = LatentSeekConfig(max_new_tokens=8)
        >>> verifier = ScriptedVerifier([-0.9, -0.1, -0.5])
        >>> graph = create_best_of_n_graph(tiny_backbone(), verifier=verifier, n=3, config=config)
        >>> result = graph.compile().invoke({"question": "What is 2 + 2?"})
        >>> result["score"], result["passed"], len(result["iterations"])
        (-0.1, True, 3)
    """

    def best(_search: Search, _state: RefineState, attempts: Sequence[Attempt]) -> _Decision:
        chosen = best_sample(attempts)
        judged = any(attempt.passed is not None for attempt in attempts)
        reason: StopReason = "passed" if chosen.passed else "iterations" if judged else "unjudged"
        return _Decision(chosen.outcome(), attempts, reason)

    config = config or LatentSeekConfig()
    search = Search(backbone, verifier, config, on_token=on_token, control_flow=(GraphBubbleUp,))
    return _SamplingGraph(search, n, temperature, best, judges=True).built("verify")


def create_self_consistency_graph(
    backbone: Backbone,
    *,
    verifier: VerifierLike | None = None,
    n: int = 3,
    temperature: float = 0.7,
    config: LatentSeekConfig | None = None,
    on_token: Callable[[int], None] | None = None,
) -> RefineGraph:
    """Sample N solutions and return the answer that most of them give.

    Without a verifier the answers are counted. With one each solution is judged, and the vote is that of a
    search with ``keep="vote"``: see :mod:`~latentseek_agents.votes`.

    With ``acceptance="agreement"`` in ``config`` the solutions are sampled ``num_samples`` at a time, until
    one answer has won. Without a verifier that is adaptive consistency (arXiv 2305.11860): the rule sees the
    plain counts, and no vote has to be backed by a solution that passed.

    Args:
        backbone: The frozen policy.
        verifier: Judges each solution; None asks nobody.
        n: How many solutions; the most, where they may agree earlier.
        temperature: Of the samples.
        config: Prompt, token and time limits, seed, and the settings of the vote and its stop.
        on_token: Called with each token id as it is written.

    Returns:
        An uncompiled graph as of :func:`create_best_of_n_graph`, with ``votes``. Without a verifier
        ``score`` is the winner's share of the solutions less 1, and ``passed`` stays None, since nobody has
        judged. ``stop_reason`` is ``"agreement"`` if the solutions have agreed, else ``"unjudged"`` if none
        could be judged, else ``"iterations"``, or the budget that was spent.

    Raises:
        BackboneError: ``backbone`` is no backbone.
        ConfigError: A setting is out of range, or ``verifier`` cannot be called as one.

    Example:
        >>> from latentseek_agents.testing import ScriptedVerifier, scripted_backbone
        >>> config = LatentSeekConfig.agreement(max_new_tokens=32)
        >>> backbone, verifier = scripted_backbone(["The answer is 4."]), ScriptedVerifier([-0.1])
        >>> graph = create_self_consistency_graph(backbone, verifier=verifier, n=9, config=config)
        >>> result = graph.compile().invoke({"question": "What is 2 + 2?"})
        >>> result["answer"], result["stop_reason"], len(result["iterations"])
        ('4', 'agreement', 1)
    """
    config = config or LatentSeekConfig()
    search = Search(backbone, verifier, config, on_token=on_token, control_flow=(GraphBubbleUp,))
    judges = verifier is not None
    decide = _voted if judges else _counted
    return _SamplingGraph(search, n, temperature, decide, judges=judges, adaptive=True).built("vote")


def _counted(search: Search, _state: RefineState, attempts: Sequence[Attempt]) -> _Decision:
    """The plain majority."""
    scored = [
        replace(
            attempt,
            score=count / len(attempts) - 1,
            reason=f"{count} of {len(attempts)} solutions give this answer",
        )
        for attempt, count in zip(attempts, majority([attempt.answer for attempt in attempts]), strict=True)
    ]
    chosen = max(scored, key=lambda attempt: attempt.score or -1.0)
    # Samples are independent: where they come out equal, each counts.
    votes = count_votes(attempts, search.config.replace(proposals="samples"))
    won = search.config.acceptance == "agreement" and has_won(votes, search.config, judged=False)
    shown = [vote.to_dict() for vote in votes]
    return _Decision(chosen.outcome(), scored, "agreement" if won else "unjudged", shown)


def _voted(search: Search, state: RefineState, attempts: Sequence[Attempt]) -> _Decision:
    """The verified vote."""
    config = search.config.replace(keep="vote", proposals="samples")
    choice = choose(attempts, config, prepared_answer(search.verifier, state.get("prepared")))
    judged = any(attempt.passed is not None for attempt in attempts)
    won = config.acceptance == "agreement" and choice.won
    reason: StopReason = "agreement" if won else "iterations" if judged else "unjudged"
    return _Decision(choice.outcome, attempts, reason, choice.votes)


@dataclass(frozen=True)
class _SamplingGraph:
    """Draws samples, all at once or in rounds, and decides on them.

    Args:
        search: The model, the judge and the settings.
        n: How many samples at most.
        temperature: Of the samples.
        decide: What they come to.
        judges: Whether the verifier is asked about each.
        adaptive: Whether samples may be drawn in rounds, until they agree.

    Raises:
        ConfigError: ``n`` or ``temperature`` is out of range.
    """

    search: Search
    n: int
    temperature: float
    decide: Decide
    judges: bool
    adaptive: bool = False

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n={self.n}: at least 1 solution must be sampled")
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature={self.temperature}: it must be a finite number, at least 0")

    def built(self, name: str) -> RefineGraph:
        """The uncompiled graph; ``name`` is that of the node that decides."""
        builder = StateGraph(
            RefineState, context_schema=RefineContext, input_schema=RefineInput, output_schema=RefineOutput
        )
        builder.add_node("sample", StoppableNode(self._begin), input_schema=RefineState)
        builder.add_node("more", StoppableNode(self._go_on), input_schema=RefineState)
        builder.add_node(name, StoppableNode(self._decided), input_schema=RefineState)
        builder.add_edge(START, "sample")
        builder.add_edge("sample", name)
        builder.add_edge("more", name)
        builder.add_conditional_edges(name, _next, ["more", END])
        return builder

    def _configured(self, runtime: Runtime[Any]) -> Search:
        return self.search.configured(config_for(self.search.config, runtime))

    def _in_rounds(self, search: Search) -> bool:
        return self.adaptive and search.config.acceptance == "agreement"

    def _begin(self, state: RefineState, runtime: Runtime[RefineContext], _: RunnableConfig) -> SearchState:
        search = self._configured(runtime)
        question, _from_messages = question_in(state)
        reference = checked_reference(state.get("reference"))  # refused before anything is decoded
        begun: SearchState = {
            "question": question,
            "iterations": [],
            "latents": b"",
            "usage": Usage().to_dict(),
            "reference": reference,
            "stop_reason": None,
            "votes": [],
        }
        drawn: SearchState = {**begun, **self._drawn(search, begun)}
        return {**drawn, **prepare(search, drawn)} if self.judges else drawn

    def _go_on(self, state: RefineState, runtime: Runtime[RefineContext], _: RunnableConfig) -> SearchState:
        return self._drawn(self._configured(runtime), state)

    def _drawn(self, search: Search, state: SearchState) -> SearchState:
        """The next samples."""
        config, done = search.config, len(state["iterations"])
        usage = Usage.from_dict(state["usage"])
        left = self.n - done
        step = sample(
            search.backbone,
            state["question"],
            config,
            count=min(config.num_samples, left) if self._in_rounds(search) else left,
            start=done,
            temperature=self.temperature,
            deadline=deadline_for(config, usage),
            on_token=search.on_token,
        )
        attempts = [replace(attempt, answer=extract_answer(attempt.text)) for attempt in step.attempts]
        return {
            "samples": [attempt.to_dict() for attempt in attempts],
            "usage": (usage + step.usage).to_dict(),
        }

    def _decided(self, state: RefineState, runtime: Runtime[RefineContext], _: RunnableConfig) -> SearchState:
        search = self._configured(runtime)
        usage = Usage.from_dict(state["usage"])
        attempts = [Attempt.from_dict(entry) for entry in state["iterations"]]
        for entry in state["samples"]:
            attempt = Attempt.from_dict(entry)
            if self.judges:
                attempt, cost = search.judge(
                    state["question"],
                    attempt,
                    state.get("reference"),
                    attempts,
                    prepared=state.get("prepared"),
                )
                usage += cost
            attempts.append(attempt)
        decision = self.decide(search, state, attempts)
        reason = decision.stop_reason
        if self._in_rounds(search) and reason != "agreement" and len(attempts) < self.n:
            reason = spent_budget(search.config, usage)
            if reason is None and state["remaining_steps"] < STEPS_NEEDED:
                _log.warning("the recursion limit leaves no room for more than %d samples", len(attempts))
                reason = "iterations"
        update: SearchState = {
            "stop_reason": reason,
            "votes": list(decision.votes),
            "iterations": [attempt.to_dict() for attempt in decision.attempts],
            "samples": [],
            "usage": usage.to_dict(),
        }
        if reason is not None:
            update["reference"] = None
        return {**cast("SearchState", decision.outcome), **update}


def _next(state: RefineState) -> Literal["more", "__end__"]:
    return "more" if state["stop_reason"] is None else "__end__"
