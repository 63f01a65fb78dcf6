"""What LatentSeek is compared with: best-of-N and self-consistency, as graphs with the same output.

Best-of-N: Stiennon et al. 2020; Cobbe et al. 2021. Self-consistency: Wang et al. 2023, arXiv 2203.11171.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from latentseek_agents._background import StoppableNode
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.sampling import sample
from latentseek_agents.errors import ConfigError
from latentseek_agents.graphs.decisions import best_sample, weighted_votes
from latentseek_agents.graphs.judging import judge
from latentseek_agents.graphs.refine_nodes import (
    RefineContext,
    RefineInput,
    RefineOutput,
    RefineState,
    RefineUpdate,
    checked_backbone,
    checked_config,
    config_for,
    deadline_for,
    question_of,
    reference_of,
)
from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.tools.steps import StepVerifier
from latentseek_agents.verdict import Attempt, Usage, Verifier, checked_verifier

__all__ = ["create_best_of_n_graph", "create_self_consistency_graph", "majority"]

Graph = StateGraph[RefineState, RefineContext, RefineInput, RefineOutput]


def create_best_of_n_graph(
    backbone: Backbone,
    *,
    verifier: Verifier | Callable[..., Any] | None = None,
    n: int = 3,
    temperature: float = 0.7,
    config: LatentSeekConfig | None = None,
    on_token: Callable[[int], None] | None = None,
) -> Graph:
    """Sample N solutions, judge each, and return the best: the verifier of a search without the search.

    Args:
        backbone: The frozen policy.
        verifier: Judges each solution; by default a :class:`~latentseek_agents.tools.steps.StepVerifier`.
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
    checked_backbone(backbone)
    verify = StepVerifier() if verifier is None else checked_verifier(verifier)

    def choose(state: RefineState, config: LatentSeekConfig) -> RefineUpdate:
        usage = Usage.from_dict(state["usage"])
        judged: list[Attempt] = []
        for entry in state["samples"]:
            attempt, spent = judge(
                verify,
                config,
                state["question"],
                state.get("reference"),
                Attempt.from_dict(entry),
                judged,
            )
            judged.append(attempt)
            usage += spent
        return _chosen(best_sample(judged), judged, usage)

    return _sampling_graph(backbone, config, n, temperature, "verify", choose, on_token)


def create_self_consistency_graph(
    backbone: Backbone,
    *,
    n: int = 3,
    temperature: float = 0.7,
    config: LatentSeekConfig | None = None,
    on_token: Callable[[int], None] | None = None,
) -> Graph:
    """Sample N solutions and return the answer that most of them give; no verifier is asked.

    Args:
        backbone: The frozen policy.
        n: How many solutions.
        temperature: Of the samples.
        config: Prompt, token and time limits, seed.
        on_token: Called with each token id as it is written.

    Returns:
        An uncompiled graph as of :func:`create_best_of_n_graph`. ``score`` is the winner's share of the
        solutions less 1; ``passed`` stays None, since nobody has judged, and ``stop_reason`` is
        ``"unjudged"``.

    Raises:
        BackboneError: ``backbone`` is no backbone.
        ConfigError: A setting is out of range.
    """
    checked_backbone(backbone)

    def choose(state: RefineState, _: LatentSeekConfig) -> RefineUpdate:
        attempts = [Attempt.from_dict(entry) for entry in state["samples"]]
        votes = majority([attempt.answer for attempt in attempts])
        scored = [
            replace(
                attempt,
                score=votes[index] / len(attempts) - 1,
                reason=f"{votes[index]} of {len(attempts)} solutions give this answer",
            )
            for index, attempt in enumerate(attempts)
        ]
        return _chosen(
            max(scored, key=lambda attempt: attempt.score or -1.0), scored, Usage.from_dict(state["usage"])
        )

    return _sampling_graph(backbone, config, n, temperature, "vote", choose, on_token)


def majority(answers: Sequence[str | None]) -> list[int]:
    """How many answers equal each one; an answer that is missing has no votes.

    Example:
        >>> majority(["1/2", "3", "0.5", None])
        [2, 1, 2, 0]
    """
    return [int(votes) for votes in weighted_votes(answers, [1] * len(answers))]


def _sampling_graph(
    backbone: Backbone,
    config: LatentSeekConfig | None,
    n: int,
    temperature: float,
    name: str,
    choose: Callable[[RefineState, LatentSeekConfig], RefineUpdate],
    on_token: Callable[[int], None] | None,
) -> Graph:
    base = checked_config(config)
    if n < 1:
        raise ConfigError(f"n={n}: at least 1 solution must be sampled")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature={temperature}: it must be a finite number, at least 0")

    def draw(state: RefineState, runtime: Runtime[RefineContext], _: RunnableConfig) -> RefineUpdate:
        now = config_for(base, runtime)
        reference = reference_of(state)  # refused before anything is decoded
        made = sample(
            backbone,
            question_of(state),
            now,
            count=n,
            temperature=temperature,
            deadline=deadline_for(now, Usage()),
            on_token=on_token,
        )
        attempts = [replace(attempt, answer=extract_answer(attempt.text)) for attempt in made.attempts]
        return {
            "samples": [attempt.to_dict() for attempt in attempts],
            "iterations": [],
            "search": b"",
            "usage": made.usage.to_dict(),
            "reference": reference,
            "stop_reason": None,
        }

    def decide(state: RefineState, runtime: Runtime[RefineContext], _: RunnableConfig) -> RefineUpdate:
        return choose(state, config_for(base, runtime))

    builder = StateGraph(
        RefineState, context_schema=RefineContext, input_schema=RefineInput, output_schema=RefineOutput
    )
    builder.add_node("sample", StoppableNode(draw), input_schema=RefineState)
    builder.add_node(name, StoppableNode(decide), input_schema=RefineState)
    builder.add_edge(START, "sample")
    builder.add_edge("sample", name)
    builder.add_edge(name, END)
    return builder


def _chosen(best: Attempt, attempts: Sequence[Attempt], usage: Usage) -> RefineUpdate:
    judged = any(attempt.passed is not None for attempt in attempts)
    return {
        "answer": best.answer,
        "text": best.text,
        "score": best.score,
        "passed": best.passed,
        "reason": best.reason,
        "stop_reason": "passed" if best.passed else "iterations" if judged else "unjudged",
        "iterations": [attempt.to_dict() for attempt in attempts],
        "samples": [],
        "usage": usage.to_dict(),
        "reference": None,
    }
