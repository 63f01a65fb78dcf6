"""The methods under comparison, ready to run; :mod:`method_names` lists them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import best_sample, choose, majority, stop_reason
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import raise_if_cancelled
from latentseek_agents.engine.sampling import sample
from latentseek_agents.engine.search import derive_seed
from latentseek_agents.errors import NonFiniteError
from latentseek_agents.evaluation.runs.method_names import (
    MethodName,
    method_names,
    require_temperature,
    settings_of,
)
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import ERROR, AttemptRecord, named_checks
from latentseek_agents.evaluation.runs.unfinished import UnfinishedSearch
from latentseek_agents.loop import Search, draft, run
from latentseek_agents.tools.answers import answers_agree, extract_answer
from latentseek_agents.tools.named import named_verifier
from latentseek_agents.tools.program_verifier import ProgramVerifier
from latentseek_agents.verdict import Attempt, StopReason, Usage, prepared_answer

__all__ = ["Method", "Work", "problem_seed"]

_VERIFIERS = {
    "self": ["self"],
    "self_logprob": ["self_logprob"],
    "steps": ["steps"],
    "combined": ["steps", "self"],
    "combined_logprob": ["steps", "self_logprob"],
    "program": ["program"],
    "combined_program": ["steps", "program"],
    "psrm": ["truth"],
}


@dataclass(frozen=True)
class Work:
    """What a method did on one problem.

    Args:
        attempts: At least one.
        chosen: Position of the attempt that it returns.
        stop_reason: Why it ended; None for methods that have no reason to stop.
        corrected: The answer that it returns in place of that attempt's, see :class:`Outcome`.
        corrected_right: Whether that is the known answer.
        prepared_answer: What the verifier computed for the question, such as a program's output.
    """

    attempts: tuple[AttemptRecord, ...]
    chosen: int
    stop_reason: str | None = None
    corrected: str | None = None
    corrected_right: bool | None = None
    prepared_answer: str | None = None


class Method:
    """A way to answer questions; may be called from several threads.

    Args:
        name: For example ``"psrm"`` or ``"sc:11"``.
        backbone: The frozen policy.
        temperature: Of the samples of ``bon`` and ``sc``.

    Attributes:
        name: In full, for instance ``"sc:3"`` for ``"sc"``.
        oracle: Whether it is told the known answer: never a result, only a ceiling.

    Raises:
        ConfigError: The name or its argument is unknown, or the temperature is no number from 0 on.

    Example:
        >>> from latentseek_agents.testing import tiny_backbone
        >>> method = Method("sc:2", tiny_backbone())
        >>> problem = Problem("made up", 0, "What is 1 + 1?", "2")
        >>> work = method.solve(problem, LatentSeekConfig(max_new_tokens=4))
        >>> method.name, len(work.attempts)
        ('sc:2', 2)
    """

    def __init__(self, name: str, backbone: Backbone, *, temperature: float = 0.8) -> None:
        require_temperature(temperature)
        (self.name,) = method_names([name])
        parts = self._name = MethodName(self.name)
        self.oracle = parts.oracle
        self._kind, self._samples = parts.kind, parts.samples
        self._verifier = (
            named_verifier(_VERIFIERS[parts.reward], backbone, agreement=parts.kind in ("vote", "agreement"))
            if parts.reward
            else None
        )
        self._backbone = backbone
        self._temperature = temperature

    def solve(
        self,
        problem: Problem,
        config: LatentSeekConfig,
        unfinished: UnfinishedSearch | None = None,
        drawn: Sequence[AttemptRecord] = (),
        drafted: Sequence[AttemptRecord] = (),
    ) -> Work:
        """Work on a problem.

        Args:
            problem: What to solve.
            config: Settings, with the problem's own seed.
            unfinished: Where a search is saved after each iteration, and resumed if it is there.
            drawn: Samples that another method drew for this problem. They are taken over with their costs;
                only those that are missing are drawn.
            drafted: The greedy solution, if it is known: a search for agreement among samples that are all
                known takes it over.
        """
        if self._kind == "cot":
            return Work(tuple(_draw(self._backbone, problem, config, count=1, temperature=0.0)), 0)
        if self._samples:
            samples = drawn[: self._samples]
            if missing := self._samples - len(samples):
                more = _draw(self._backbone, problem, config, missing, self._temperature, start=len(samples))
                samples = [*samples, *more]
            if self._verifier is None:
                return _majority(samples)
            if self._kind == "vote":
                config = settings_of(self._name, config)
                return _judged_among(Search(self._backbone, self._verifier, config), samples, problem)
            return _best(Search(self._backbone, self._verifier, config), samples, problem)
        if self._kind == "program":
            return _program(self._backbone, problem)
        config = settings_of(self._name, config)
        if self._kind == "agreement":
            if config.proposals == "samples" and self._temperature > 0:
                config = config.replace(sample_temperature=self._temperature)
            known = [*drafted, *drawn]
            if drafted and self._takes_samples_over(config) and len(known) > config.max_iterations:
                search = Search(self._backbone, self._verifier, config)
                return _judged_among(search, known[: config.max_iterations + 1], problem, draft_first=True)
        return _searched(Search(self._backbone, self._verifier, config), problem, unfinished)

    def _takes_samples_over(self, config: LatentSeekConfig) -> bool:
        """Whether the search would draw the samples of the run, one an iteration, and nothing else."""
        same_samples = config.proposals == "samples" and config.sample_temperature == self._temperature
        return same_samples and config.num_samples == 1 and config.aim == "none"


def _searched(search: Search, problem: Problem, unfinished: UnfinishedSearch | None) -> Work:
    """A search; if its latents stop being finite it ends with the attempts that it has made."""
    saved = None if unfinished is None else unfinished.load()
    start, costs = saved or (draft(search, problem.question, problem.reference), [])
    before = Usage.from_dict(start["usage"]) if saved else Usage()
    state = start
    failure: str | None = None
    try:
        for state in run(search, start):
            usage = Usage.from_dict(state["usage"])
            cost, before = _difference(usage, before), usage
            if new := len(state["iterations"]) - len(costs):
                # Where each sample of an iteration votes, the first of them is charged with all.
                costs += [cost, *[Usage()] * (new - 1)]
            else:  # an attempt that was cut short does not count as one, but its cost does
                costs[-1] += cost
            if unfinished is not None and state["stop_reason"] is None:
                unfinished.save(state, costs)
    except NonFiniteError as error:
        if not costs:
            raise
        failure = f"{ERROR}{type(error).__name__}"
    attempts = [Attempt.from_dict(entry) for entry in state["iterations"]]
    config = search.config
    of_each = 1 if config.keep == "vote" else config.num_samples
    records = [
        _record(attempt, problem, cost, samples=of_each if attempt.iteration else 1)
        for attempt, cost in zip(attempts, costs, strict=True)
    ]
    corrected = state["answer"] if state["text"] != attempts[state["chosen"]].text else None
    return Work(
        tuple(records),
        state["chosen"],
        failure or state["stop_reason"],
        corrected,
        None if corrected is None else answers_agree(corrected, problem.reference),
        prepared_answer(search.verifier, state.get("prepared")),
    )


def _judged_among(
    search: Search, solutions: Sequence[AttemptRecord], problem: Problem, *, draft_first: bool = False
) -> Work:
    """The vote of solutions that are known: of all, or one by one until the search would have ended.

    Args:
        search: The verifier, and the settings of vote and stop.
        solutions: With their costs.
        problem: What they solve.
        draft_first: They are a greedy draft and the samples that a search draws after it.
    """
    prepared = search.prepare(problem.question)
    known = prepared_answer(search.verifier, prepared.value)
    attempts: list[Attempt] = []
    records: list[AttemptRecord] = []
    usage: Usage = Usage()
    reason: StopReason | None = None
    for number, record in enumerate(solutions):
        raise_if_cancelled()
        attempt, spent = search.judge(
            problem.question, record.unjudged.as_attempt, problem.reference, prepared=prepared.value
        )
        spent = spent if records else spent + prepared.usage
        attempts.append(attempt)
        placed = replace(record, attempt=number) if draft_first else record
        records.append(placed.judged(attempt, spent))
        if draft_first:
            usage += records[-1]
            reason = _would_end(search, replace(attempt, iteration=number), attempts, known, usage)
            if reason is not None:
                break
    choice = choose(attempts, search.config, known)
    corrected = choice.corrected
    return Work(
        tuple(records),
        choice.index,
        reason,
        corrected,
        None if corrected is None else answers_agree(corrected, problem.reference),
        known,
    )


def _would_end(
    search: Search, last: Attempt, attempts: Sequence[Attempt], known: str | None, usage: Usage
) -> StopReason | None:
    """Why a search would end after these attempts, if it would."""
    choice = choose(attempts, search.config, known)
    voted = bool(choice.votes)
    return stop_reason([last], search.config, usage, movable=True, won=choice.won, voted=voted)


def _program(backbone: Backbone, problem: Problem) -> Work:
    """What a program for the question prints, with the program as its solution."""
    prepared = ProgramVerifier(backbone).prepare(problem.question)
    answer = prepared.value["answer"]
    attempt = Attempt(0, [], [], [], prepared.value["program"] or "", "stop", answer=answer)
    return Work((_record(attempt, problem, prepared.usage),), 0, prepared_answer=answer)


def _majority(samples: Sequence[AttemptRecord]) -> Work:
    """Self-consistency. What another method's verifier said of the samples is left out."""
    records = tuple(record.unjudged for record in samples)
    votes = majority([record.answer for record in records])
    return Work(records, votes.index(max(votes)))


def _best(judge: Search, samples: Sequence[AttemptRecord], problem: Problem) -> Work:
    """Best-of-N."""
    attempts: list[Attempt] = []
    records = []
    prepared = judge.prepare(problem.question)
    for record in samples:
        raise_if_cancelled()
        attempt, spent = judge.judge(
            problem.question, record.unjudged.as_attempt, problem.reference, prepared=prepared.value
        )
        if not attempts:  # the first one is charged with the preparation
            spent += prepared.usage
        attempts.append(attempt)
        records.append(record.judged(attempt, spent))
    return Work(tuple(records), attempts.index(best_sample(attempts)))


def problem_seed(seed: int, problem: Problem) -> int:
    """A seed of its own for each problem: the same draws for all would tie their results together."""
    return derive_seed(seed, problem.dataset, problem.number)


def _draw(
    backbone: Backbone,
    problem: Problem,
    config: LatentSeekConfig,
    count: int,
    temperature: float,
    *,
    start: int = 0,
) -> list[AttemptRecord]:
    """Samples from a number on: each has a seed of its own, so that they may be drawn in several calls."""
    deadline = None if config.max_seconds is None else time.monotonic() + config.max_seconds
    drawn = sample(
        backbone,
        problem.question,
        config,
        count=count,
        temperature=temperature,
        start=start,
        deadline=deadline,
    )
    return [
        _record(replace(attempt, answer=extract_answer(attempt.text)), problem, cost)
        for attempt, cost in zip(drawn.attempts, drawn.costs, strict=True)
    ]


def _record(attempt: Attempt, problem: Problem, cost: Usage, *, samples: int = 1) -> AttemptRecord:
    right = False if attempt.answer is None else answers_agree(attempt.answer, problem.reference)
    return AttemptRecord(
        attempt=attempt.iteration,
        answer=attempt.answer,
        right=right,
        score=attempt.score,
        passed=attempt.passed,
        finish_reason=attempt.finish_reason,
        changed=len(attempt.changed),
        latents=len(attempt.latent_token_ids),
        checks=named_checks(attempt),
        text=attempt.text,
        thinking=attempt.thinking,
        computed_answer=attempt.computed_answer,
        refuted=attempt.refuted,
        exact=attempt.passed_exactly,
        samples=samples,
        aimed_at=attempt.aimed_at,
        **cost.to_dict(),
    )


def _difference(after: Usage, before: Usage) -> Usage:
    earlier = before.to_dict()
    return Usage(**{name: value - earlier[name] for name, value in after.to_dict().items()})
