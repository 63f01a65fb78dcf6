"""START HERE: the search for an answer to one question, as a plain generator over plain state.

::

    question ─▶ draft ─▶ judge ─▶ decide ─┬─▶ the attempt to return
                           ▲              │
                           └── refine ◀───┘

:func:`draft` writes a greedy chain of thought and takes hidden states of its tokens as latents. :func:`judge`
asks the verifier, records the best attempt of the iteration and decides (``decisions.py``) whether the search
ends. :func:`refine` moves the latents one step away from what scored badly and writes again, or draws
independent samples (``config.proposals``). :func:`run` is the loop around the three. A verifier that wants
to know the question beforehand is asked once, by :func:`prepare`, between the draft and the first verdict.

Each step is a function from the state to what it changes of the state: plain values, and latents as bytes.
So a search can be stored after any step and resumed in another process. This module knows neither LangGraph
nor LangChain: ``graphs/refine.py`` makes a node of each step; the Runnable, the chat model and the evaluation
call :func:`run`. What an iteration means to the model is in ``engine/search.py``.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from latentseek_agents._search import Search
from latentseek_agents.decisions import Choice, best_sample, choose, deadline_for, stop_reason
from latentseek_agents.engine import search as engine
from latentseek_agents.engine.aimed import Aim, aim_at, rewrite
from latentseek_agents.engine.cancellation import raise_if_cancelled
from latentseek_agents.engine.sampling import resample
from latentseek_agents.errors import BackboneError, InputError, LatentSeekError, VerdictError
from latentseek_agents.result import JudgedState, SearchState
from latentseek_agents.tools.answers import extract_answer
from latentseek_agents.verdict import Attempt, StopReason, Usage, prepared_answer
from latentseek_agents.votes import rewards

__all__ = ["Search", "SearchState", "draft", "judge", "prepare", "refine", "run"]

_log = logging.getLogger(__name__)

Event = dict[str, Any]
"""One iteration in plain values, see :func:`~latentseek_agents.graphs.create_refine_graph`."""


def run(
    search: Search, state: SearchState, *, on_event: Callable[[Event], None] | None = None
) -> Iterator[SearchState]:
    """Judge and refine until the search ends.

    Args:
        search: The model, the judge and the settings.
        state: From :func:`draft`; or one that this generator yielded without a ``stop_reason``: the search
            goes on with the next refinement. A state from :func:`refine` has to be judged first, and one of a
            search that has ended yields nothing.
        on_event: Called with each iteration as it is judged.

    Yields:
        The state after each verification; the last one has a ``stop_reason``.

    Example:
        >>> from latentseek_agents import LatentSeekConfig
        >>> from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
        >>> config = LatentSeekConfig(max_new_tokens=8, fraction=0.5)
        >>> search = Search(tiny_backbone(), ScriptedVerifier([-1, 0]), config)
        >>> [state["stop_reason"] for state in run(search, draft(search, "What is 2 + 2?"))]
        [None, 'passed']
    """
    if state["stop_reason"] is not None:
        return
    if "prepared" not in state:
        state = {**state, **prepare(search, state)}
    if state["iterations"]:
        state = {**state, **refine(search, state)}
    while True:
        raise_if_cancelled()
        update, event = judge(search, state)
        state = {**state, **update}
        if event is not None and on_event is not None:
            on_event(event)
        yield state
        if state["stop_reason"] is not None:
            return
        state = {**state, **refine(search, state)}


def draft(search: Search, question: str, reference: str | None = None) -> SearchState:
    """Write the draft: the state of a new search, without anything that an earlier question left.

    Raises:
        InputError: The question is empty or leaves no room in the context window.
    """
    step = engine.draft(
        search.backbone,
        question,
        search.config,
        deadline=deadline_for(search.config, Usage()),
        on_token=search.on_token,
    )
    return {
        "question": question,
        "reference": reference,
        "model": search.backbone.fingerprint,
        "answer": None,
        "text": "",
        "score": None,
        "passed": None,
        "reason": "",
        "stop_reason": None,
        "iterations": [],
        "votes": [],
        **_written(step, Usage()),
    }


def prepare(search: Search, state: SearchState) -> SearchState:
    """Let the verifier prepare for the question: once per search, its costs counted.

    Raises:
        BackboneError: The search was begun with another model or dtype.
        VerdictError: What it prepared cannot be stored; the error carries the draft.
    """
    _require_same_model(search, state)
    try:
        prepared = search.prepare(state["question"])
    except VerdictError as error:
        error.attempts = list(state["samples"])
        raise
    usage = Usage.from_dict(state["usage"]) + prepared.usage
    return {"prepared": prepared.value, "usage": usage.to_dict()}


def judge(search: Search, state: JudgedState, *, last: str = "") -> tuple[SearchState, Event | None]:
    """Judge the attempts of this iteration, record them, and decide whether to go on.

    The best of them is recorded; with ``keep="vote"`` all are, since each has a vote.

    Args:
        search: The model, the judge and the settings.
        state: After :func:`prepare` or :func:`refine`. Without :func:`prepare` the verifier is asked without
            preparation.
        last: Why the caller has no room for another iteration, if it has none: the search ends, and the
            log says why.

    Returns:
        The update; and the iteration as an event, None if the clock cut it short.
    """
    config = search.config
    history = _attempts(state["iterations"])
    _require_same_model(search, state)
    samples = _attempts(state["samples"])
    known_answer = prepared_answer(search.verifier, state.get("prepared"))
    cut_short = any(sample.finish_reason == "seconds" for sample in samples)
    if history and cut_short:
        # Cut short by the deadline: half a solution is no attempt. Whole ones can still vote.
        samples = [sample for sample in samples if sample.finish_reason != "seconds"]
        if not samples or config.keep != "vote":
            return _so_far(choose(history, config, known_answer), "seconds"), None
    samples, usage = _judged(search, state, history, samples)
    entry = _entry(history, samples)
    history += samples if config.keep == "vote" else [entry]
    if config.acceptance == "agreement" and config.proposals == "latents":
        given = rewards(history, config, known_answer, last=len(samples))
        samples = [replace(one, reward=reward) for one, reward in zip(samples, given, strict=True)]
        history[-len(samples) :] = samples
    choice = choose(history, config, known_answer)
    movable = config.proposals == "samples" or any(sample.latent_token_ids for sample in samples)
    movable = movable or _aim(search, best_sample(samples)) is not None
    reason = stop_reason(samples, config, usage, movable=movable, won=choice.won, voted=bool(choice.votes))
    if reason is None and cut_short and len(history) > len(samples):
        reason = "seconds"
    if reason == "iterations" and not movable and config.max_iterations:
        _log.warning(
            "nothing to refine: fraction=%s of a draft of %d tokens is less than one latent; raise it",
            config.fraction,
            len(entry.token_ids),
        )
    if reason is None and last:
        _log.warning("iteration %d of %d is the last: %s", entry.iteration, config.max_iterations, last)
        reason = "iterations"
    update = _so_far(choice, reason)
    update |= {
        "samples": [sample.to_dict() for sample in samples],
        "iterations": [attempt.to_dict() for attempt in history],
        "usage": usage.to_dict(),
    }
    return update, _event(search, entry, choice, reason, usage)


def _judged(
    search: Search, state: JudgedState, history: Sequence[Attempt], samples: Sequence[Attempt]
) -> tuple[list[Attempt], Usage]:
    """The attempts of this iteration with their verdicts, and what the search has cost so far."""
    usage = Usage.from_dict(state["usage"])
    judged: list[Attempt] = []
    for sample in samples:
        if sample.score is not None:  # an attempt that was taken over has its verdict
            judged.append(sample)
            continue
        attempt, cost = search.judge(
            state["question"],
            sample,
            state.get("reference"),
            [*history, *judged],
            prepared=state.get("prepared"),
        )
        judged.append(attempt)
        usage += cost
    return judged, usage


def _entry(history: Sequence[Attempt], samples: Sequence[Attempt]) -> Attempt:
    """The best attempt of this iteration, which stands for it."""
    entry = best_sample(samples)
    if len(samples) > 1:
        entry = replace(entry, sample_scores=[sample.score for sample in samples])
        if history:
            before = history[-1].latent_token_ids
            entry = replace(entry, changed=engine.token_differences(before, entry.latent_token_ids))
    return entry


def refine(search: Search, state: SearchState) -> SearchState:
    """Make the attempts of the next iteration: move the latents once and write again, or sample.

    With ``aim="first_error"`` the best attempt of this iteration is corrected instead, if it is refuted and
    what is right there is known.

    Raises:
        BackboneError: The search was begun with another model, or with the same one in another dtype.
        InputError: What the state holds is damaged.
        LatentSeekError: The step failed; the error carries the attempts so far.
    """
    usage = Usage.from_dict(state["usage"])
    samples, history = _attempts(state["samples"]), _attempts(state["iterations"])
    deadline = deadline_for(search.config, usage)
    _require_same_model(search, state)
    target = best_sample(samples)
    aim = _aim(search, target)
    try:
        if aim is not None:
            step = rewrite(
                search.backbone,
                state["question"],
                search.config,
                previous=target,
                aim=aim,
                deadline=deadline,
                on_token=search.on_token,
            )
        elif search.config.proposals == "samples":
            step = resample(
                search.backbone,
                state["question"],
                search.config,
                iteration=samples[0].iteration + 1,
                deadline=deadline,
                on_token=search.on_token,
            )
        else:
            step = engine.refine(
                search.backbone,
                state["question"],
                search.config,
                latents=state["latents"],
                samples=samples,
                history=history,
                deadline=deadline,
                on_token=search.on_token,
            )
    except LatentSeekError as error:
        error.attempts = list(state["iterations"])
        raise
    return _written(step, usage)


def _aim(search: Search, attempt: Attempt) -> Aim | None:
    """The first error of an attempt, if the search is to write anew from there and can."""
    correction = attempt.correction if search.config.aim == "first_error" else None
    aim = None if correction is None else aim_at(search.backbone, attempt, correction)
    if aim is None or aim.kept + len(aim.token_ids) >= search.config.max_new_tokens:
        return None
    return aim


def _require_same_model(search: Search, state: JudgedState) -> None:
    begun, here = state.get("model"), search.backbone.fingerprint
    if begun is not None and begun != here:
        error = BackboneError(
            f"this search was begun with another model or dtype ({begun}) than {search.backbone!r} ({here}); "
            "resume it with the model it was begun with, or ask the question anew"
        )
        error.attempts = list(state["iterations"])
        raise error


def _written(step: engine.Step, usage: Usage) -> SearchState:
    """What a draft or a refinement changes of the state."""
    attempts = [
        replace(attempt, answer=extract_answer(attempt.text)) if attempt.score is None else attempt
        for attempt in step.attempts
    ]
    return {
        "samples": [attempt.to_dict() for attempt in attempts],
        "latents": step.latents,
        "usage": (usage + step.usage).to_dict(),
    }


def _so_far(choice: Choice, reason: StopReason | None) -> SearchState:
    """The fields of the attempt to return; with a reason to stop, latents and reference are cleared."""
    update = cast("SearchState", dict(choice.outcome))
    update |= {"chosen": choice.index, "votes": choice.votes, "stop_reason": reason}
    if reason is not None:
        # A finished thread should not keep megabytes of latents, and the thread's next question must not be
        # compared with this one's reference.
        update |= {"latents": b"", "reference": None}
    return update


def _event(
    search: Search, attempt: Attempt, choice: Choice, reason: StopReason | None, usage: Usage
) -> Event:
    shown = (
        *("iteration", "score", "passed", "reason", "answer", "thinking", "text"),
        *("finish_reason", "changed"),
    )
    return {
        "type": "latentseek_iteration",
        "max_iterations": search.config.max_iterations,
        **{name: attempt[name] for name in shown},
        "aimed_at": attempt.aimed_at,
        "latents": [
            search.backbone.decode([token], skip_special_tokens=False) for token in attempt.latent_token_ids
        ],
        "votes": choice.votes,
        "stop_reason": reason,
        "seconds": usage.seconds,
    }


def _attempts(entries: Iterable[dict[str, Any]]) -> list[Attempt]:
    try:
        return [Attempt.from_dict(entry) for entry in entries]
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the attempts in this state are damaged, or no attempts ({type(error).__name__}: {error}); "
            "go on from an earlier checkpoint, or ask the question anew"
        ) from error
