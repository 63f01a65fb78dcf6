"""What LatentSeek is compared with: best-of-N and self-consistency, as graphs with the same output.

Best-of-N: Stiennon et al. 2020; Cobbe et al. 2021. Self-consistency: Wang et al. 2023, arXiv 2203.11171.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from latentseek_agents._background import StoppableNode
from latentseek_agents._inputs import checked_reference, question_in
from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import best_sample, deadline_for, majority
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.search import sample
from latentseek_agents.errors import ConfigError
from latentseek_agents.graphs.refine import RefineGraph
from latentseek_agents.graphs.state import RefineContext, RefineInput, RefineOutput, RefineState, config_for
from latentseek_agents.loop import Search, SearchState, prepare
from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.verdict import Attempt, Usage, VerifierLike

__all__ = ["create_best_of_n_graph", "create_self_consistency_graph"]

Choice = Callable[[RefineState, Search], tuple[Attempt, Sequence[Attempt], Usage]]
"""From samples to the best of them, all of them with their verdicts, and what the verdicts cost."""


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

    def best(state: RefineState, search: Search) -> tuple[Attempt, Sequence[Attempt], Usage]:
        usage = Usage()
        judged: list[Attempt] = []
        for entry in state["samples"]:
            attempt, cost = search.judge(
                state["question"],
                Attempt.from_dict(entry),
                state.get("reference"),
                judged,
                prepared=state.get("prepared"),
            )
            judged.append(attempt)
            usage += cost
        return best_sample(judged), judged, usage

    search = Search(backbone, verifier, config, on_token=on_token, control_flow=(GraphBubbleUp,))
    return _sampling_graph(search, n, temperature, "verify", best)


def create_self_consistency_graph(
    backbone: Backbone,
    *,
    n: int = 3,
    temperature: float = 0.7,
    config: LatentSeekConfig | None = None,
    on_token: Callable[[int], None] | None = None,
) -> RefineGraph:
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

    def most_frequent(state: RefineState, _: Search) -> tuple[Attempt, Sequence[Attempt], Usage]:
        attempts = [Attempt.from_dict(entry) for entry in state["samples"]]
        votes = majority([attempt.answer for attempt in attempts])
        scored = [
            replace(
                attempt,
                score=count / len(attempts) - 1,
                reason=f"{count} of {len(attempts)} solutions give this answer",
            )
            for attempt, count in zip(attempts, votes, strict=True)
        ]
        return max(scored, key=lambda attempt: attempt.score or -1.0), scored, Usage()

    search = Search(backbone, config=config, on_token=on_token)
    return _sampling_graph(search, n, temperature, "vote", most_frequent)


def _sampling_graph(base: Search, n: int, temperature: float, name: str, choose: Choice) -> RefineGraph:
    if n < 1:
        raise ConfigError(f"n={n}: at least 1 solution must be sampled")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature={temperature}: it must be a finite number, at least 0")

    def draw(state: RefineState, runtime: Runtime[RefineContext], _: RunnableConfig) -> SearchState:
        search = base.configured(config_for(base.config, runtime))
        question, _from_messages = question_in(state)
        reference = checked_reference(state.get("reference"))  # refused before anything is decoded
        step = sample(
            search.backbone,
            question,
            search.config,
            count=n,
            temperature=temperature,
            deadline=deadline_for(search.config, Usage()),
            on_token=search.on_token,
        )
        attempts = [replace(attempt, answer=extract_answer(attempt.text)) for attempt in step.attempts]
        drawn: SearchState = {
            "question": question,
            "samples": [attempt.to_dict() for attempt in attempts],
            "iterations": [],
            "latents": b"",
            "usage": step.usage.to_dict(),
            "reference": reference,
            "stop_reason": None,
        }
        return {**drawn, **prepare(search, drawn)}

    def decide(state: RefineState, runtime: Runtime[RefineContext], _: RunnableConfig) -> SearchState:
        search = base.configured(config_for(base.config, runtime))
        best, attempts, cost = choose(state, search)
        judged = any(attempt.passed is not None for attempt in attempts)
        return {
            **cast("SearchState", best.outcome()),
            "stop_reason": "passed" if best.passed else "iterations" if judged else "unjudged",
            "iterations": [attempt.to_dict() for attempt in attempts],
            "samples": [],
            "usage": (Usage.from_dict(state["usage"]) + cost).to_dict(),
            "reference": None,
        }

    builder = StateGraph(
        RefineState, context_schema=RefineContext, input_schema=RefineInput, output_schema=RefineOutput
    )
    builder.add_node("sample", StoppableNode(draw), input_schema=RefineState)
    builder.add_node(name, StoppableNode(decide), input_schema=RefineState)
    builder.add_edge(START, "sample")
    builder.add_edge("sample", name)
    builder.add_edge(name, END)
    return builder
