"""The methods under comparison: the search with each reward, its control, and what it must beat.

| name | what it does |
| --- | --- |
| ``cot`` | one greedy chain of thought |
| ``bon:N`` | N samples (3 by default), the one that the verifier likes best; ``bon:3:steps``: with another |
| ``sc:N`` | N samples, the answer that most give |
| ``self``, ``steps``, ``combined`` | the search, with self-reward, step checks, both |
| ``self_logprob``, ``combined_logprob`` | the same, the model asked for probabilities instead of reasons |
| ``psrm`` | the search with the known answer as reward: an oracle, the ceiling of the search |
| ``walk`` | the search in random directions, same step lengths; ``walk:psrm`` with another reward |
"""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.decisions import best_sample, majority
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import raise_if_cancelled
from latentseek_agents.engine.sampling import sample
from latentseek_agents.engine.search import prompt_token_ids
from latentseek_agents.errors import ConfigError, NonFiniteError
from latentseek_agents.evaluation.problems import Problem
from latentseek_agents.evaluation.records import AttemptRecord
from latentseek_agents.evaluation.trials import METHODS
from latentseek_agents.evaluation.unfinished import UnfinishedSearch
from latentseek_agents.loop import Search, SearchState, draft, run
from latentseek_agents.tools.answers import answers_agree, extract_answer
from latentseek_agents.tools.ground_truth import GroundTruth
from latentseek_agents.tools.named import named_verifier
from latentseek_agents.tools.self_reward import SelfReward
from latentseek_agents.tools.steps import StepVerifier
from latentseek_agents.verdict import Attempt, Usage, Verifier

__all__ = [
    "METHODS",
    "Method",
    "Solve",
    "Work",
    "make_method",
    "method_names",
    "problem_seed",
    "require_temperature",
]

_REWARDS = METHODS[METHODS.index("self") :]
_DEFAULT_SAMPLES = 3  # the paper's N
_PROMPT_COSTS = ("policy_prompt_passes", "policy_prompt_tokens")


@dataclass(frozen=True)
class Work:
    """What a method did on one problem.

    Args:
        attempts: At least one.
        chosen: Position of the attempt it returns.
        stop_reason: Why it ended; None where there is nothing to stop.
    """

    attempts: tuple[AttemptRecord, ...]
    chosen: int
    stop_reason: str | None = None


class Solve(Protocol):
    """Works on a problem."""

    def __call__(
        self,
        problem: Problem,
        config: LatentSeekConfig,
        unfinished: UnfinishedSearch | None = None,
        drawn: Sequence[AttemptRecord] = (),
    ) -> Work:
        """Work on it.

        Args:
            problem: What to solve.
            config: Settings, with the problem's own seed.
            unfinished: Where a search is kept after each iteration, and gone on with if it is there.
            drawn: Samples that another method drew for this problem. If they are enough they are taken,
                with what they cost then, and none are drawn.
        """


@dataclass(frozen=True)
class Method:
    """A way to answer questions, ready to run; may be called from several threads.

    Args:
        name: In full, for instance ``"sc:11"``.
        oracle: Whether it is told the known answer: never a result, only a ceiling.
        solve: From a problem and the settings to the work done.
    """

    name: str
    oracle: bool
    solve: Solve


def make_method(name: str, backbone: Backbone, *, temperature: float = 0.8) -> Method:
    """A method by its name; the table at the head of this module lists them.

    Args:
        name: For example ``"psrm"`` or ``"sc:11"``.
        backbone: The frozen policy.
        temperature: Of the samples of ``bon`` and ``sc``.

    Raises:
        ConfigError: The name or its argument is unknown, or the temperature is no number from 0 on.

    Example:
        >>> from latentseek_agents.testing import tiny_backbone
        >>> method = make_method("sc:2", tiny_backbone())
        >>> problem = Problem("made up", 0, "What is 1 + 1?", "2")
        >>> work = method.solve(problem, LatentSeekConfig(max_new_tokens=4))
        >>> method.name, len(work.attempts)
        ('sc:2', 2)
    """
    require_temperature(temperature)
    named = _read_name(name)
    verifier = _verifier(named.reward, backbone)

    def solve(
        problem: Problem,
        config: LatentSeekConfig,
        unfinished: UnfinishedSearch | None = None,
        drawn: Sequence[AttemptRecord] = (),
    ) -> Work:
        if named.samples:
            made = drawn[: named.samples] if named.kind != "cot" else ()
            if len(made) < named.samples:
                drawn_at = 0.0 if named.kind == "cot" else temperature
                made = _samples(backbone, problem, config, named.samples, drawn_at)
            judge = None if verifier is None else Search(backbone, verifier, config)
            return _chosen(made, problem, judge)
        if named.kind == "walk":
            config = config.replace(direction="random")
        search = Search(backbone, verifier, config)
        return _searched(search, problem, unfinished)

    return Method(named.full, oracle=named.reward == "psrm", solve=solve)


def require_temperature(temperature: float) -> None:
    """Refuse a temperature that samples cannot have, which can be told before a model is loaded.

    Raises:
        ConfigError: It is no number from 0 on.
    """
    if not 0 <= temperature < math.inf:
        raise ConfigError(f"temperature={temperature} of the samples: it must be 0 or more")


def method_names(names: Sequence[str]) -> list[str]:
    """The full names of methods, each once.

    Raises:
        ConfigError: One is unknown.

    Example:
        >>> method_names(["cot", "sc", "sc:3", "walk"])
        ['cot', 'sc:3', 'walk']
    """
    return list(dict.fromkeys(_read_name(name).full for name in names))


@dataclass(frozen=True)
class _Named:
    """What a method's name says."""

    kind: str
    samples: int  # 0: a search
    reward: str | None

    @property
    def full(self) -> str:
        parts = [self.kind]
        if self.kind in ("bon", "sc"):
            parts.append(str(self.samples))
        if self.kind in ("bon", "walk") and self.reward not in (None, "combined"):
            parts.append(str(self.reward))
        return ":".join(parts)


def _read_name(name: str) -> _Named:
    kind, *arguments = name.split(":")
    if kind not in METHODS:
        raise ConfigError(f"--method {name!r} is unknown; the methods are {', '.join(METHODS)}")
    most = {"bon": 2, "sc": 1, "walk": 1}.get(kind, 0)
    if len(arguments) > most:
        raise ConfigError(f"--method {name!r}: {kind} takes {most or 'no'} argument{'s' * (most != 1)}")
    samples = int(kind == "cot")
    if kind in ("bon", "sc"):
        samples = _count(name, arguments.pop(0) if arguments else "")
    if kind in ("cot", "sc"):
        return _Named(kind, samples, None)
    reward = kind if kind in _REWARDS else arguments[0] if arguments else "combined"
    if reward not in _REWARDS:
        raise ConfigError(
            f"--method {name!r}: {reward!r} is no reward; the rewards are {', '.join(_REWARDS)}"
        )
    return _Named(kind, samples, reward)


def problem_seed(seed: int, problem: Problem) -> int:
    """A seed of its own for each problem: the same draws for all would tie their results together."""
    coordinates = f"{seed}/{problem.dataset}/{problem.number}"
    return int.from_bytes(hashlib.blake2b(coordinates.encode(), digest_size=8).digest()) >> 1


def _count(name: str, argument: str) -> int:
    if not argument:
        return _DEFAULT_SAMPLES
    if not argument.isdecimal() or int(argument) < 1:
        raise ConfigError(f"--method {name!r}: the number of samples must be 1 or more, not {argument!r}")
    return int(argument)


def _verifier(reward: str | None, backbone: Backbone) -> Verifier | None:
    made: dict[str | None, Callable[[], Verifier]] = {
        "self": lambda: SelfReward(backbone),
        "self_logprob": lambda: SelfReward(backbone, mode="logprob"),
        "steps": StepVerifier,
        "combined": lambda: named_verifier(("steps", "self"), backbone),
        "combined_logprob": lambda: named_verifier(("steps", "self_logprob"), backbone),
        "psrm": GroundTruth,
    }
    return made[reward]() if reward in made else None


def _samples(
    backbone: Backbone,
    problem: Problem,
    config: LatentSeekConfig,
    count: int,
    temperature: float,
) -> list[AttemptRecord]:
    deadline = None if config.max_seconds is None else time.monotonic() + config.max_seconds
    made = sample(
        backbone,
        problem.question,
        config,
        count=count,
        temperature=temperature,
        deadline=deadline,
    )
    prompt_tokens = len(prompt_token_ids(backbone, problem.question, config))
    costs = [_charged(cost, 0 if number else prompt_tokens) for number, cost in enumerate(made.costs)]
    return [
        _record(replace(attempt, answer=extract_answer(attempt.text)), problem, cost)
        for attempt, cost in zip(made.attempts, costs, strict=True)
    ]


def _chosen(samples: Sequence[AttemptRecord], problem: Problem, judge: Search | None) -> Work:
    """Samples as one method sees them: what another's verifier said of them is not known to it."""
    judged: list[Attempt] = []
    records: list[AttemptRecord] = []
    for record in samples:
        attempt, spent = _as_attempt(record), Usage()
        if judge is not None:
            raise_if_cancelled()
            attempt, spent = judge.judge(problem.question, attempt, problem.reference)
        judged.append(attempt)
        seen = replace(
            record,
            score=attempt.score,
            passed=attempt.passed,
            checks=_checks(attempt.checks),
            verifier_tokens=spent.verifier_tokens,
            verifier_forward_passes=spent.verifier_forward_passes,
            verifier_computed_tokens=spent.verifier_computed_tokens,
            verifier_seconds=spent.verifier_seconds,
        )
        records.append(seen)
    if judge is not None:
        chosen = judged.index(best_sample(judged))
    else:
        votes = majority([attempt.answer for attempt in judged])
        chosen = votes.index(max(votes))
    return Work(tuple(records), chosen)


def _as_attempt(record: AttemptRecord) -> Attempt:
    return Attempt(
        iteration=record.attempt,
        token_ids=[],
        latent_token_ids=[],
        changed=[],
        text=record.text,
        answer=record.answer,
        finish_reason=record.finish_reason,
    )


def _searched(search: Search, problem: Problem, unfinished: UnfinishedSearch | None) -> Work:
    kept = None if unfinished is None else unfinished.load()
    state: SearchState | None = None
    costs: list[Usage] = []
    if kept is not None:
        state, costs = cast("SearchState", kept[0]), kept[1]
    before = Usage() if state is None else Usage.from_dict(state["usage"])
    failed: str | None = None
    try:
        start = draft(search, problem.question, problem.reference) if state is None else state
        for state in run(search, start):
            usage = Usage.from_dict(state["usage"])
            prompt_tokens = (
                0 if costs else len(prompt_token_ids(search.backbone, problem.question, search.config))
            )
            cost, before = _charged(_difference(usage, before), prompt_tokens), usage
            if len(state["iterations"]) > len(costs):
                costs.append(cost)
            else:  # an attempt that was cut short is no attempt, but was paid for
                costs[-1] += cost
            if unfinished is not None and state["stop_reason"] is None:
                unfinished.save(state, costs)
    except NonFiniteError as error:
        failed = f"error: {type(error).__name__}"
        if state is None:
            raise
    if state is None:
        raise RuntimeError("a search yields its draft at least")
    config = search.config
    attempts = [Attempt.from_dict(entry) for entry in state["iterations"]]
    records = [
        _record(attempt, problem, cost, samples=config.num_samples if attempt.iteration else 1)
        for attempt, cost in zip(attempts, costs, strict=True)
    ]
    chosen = state["chosen"]
    return Work(tuple(records), chosen, failed or state["stop_reason"])


def _record(attempt: Attempt, problem: Problem, cost: Usage, *, samples: int = 1) -> AttemptRecord:
    right = False if attempt.answer is None else answers_agree(attempt.answer, problem.reference)
    values = {name: value for name, value in cost.to_dict().items() if name not in _PROMPT_COSTS}
    return AttemptRecord(
        attempt=attempt.iteration,
        answer=attempt.answer,
        right=right,
        score=attempt.score,
        passed=attempt.passed,
        finish_reason=attempt.finish_reason,
        changed=len(attempt.changed),
        latents=len(attempt.latent_token_ids),
        checks=_checks(attempt.checks),
        text=attempt.text,
        samples=samples,
        **values,
    )


def _charged(cost: Usage, prompt_tokens: int) -> Usage:
    """A cost with a whole prompt of so many tokens, or none, in place of what was read of the prompt.

    Which prompts are kept depends on the methods that asked before, and on whether the run was killed.
    """
    computed = cost.policy_computed_tokens - cost.policy_prompt_tokens + prompt_tokens
    passes = cost.policy_forward_passes - cost.policy_prompt_passes + (prompt_tokens > 0)
    return replace(
        cost,
        policy_computed_tokens=computed,
        policy_forward_passes=passes,
        policy_prompt_tokens=prompt_tokens,
        policy_prompt_passes=int(prompt_tokens > 0),
    )


def _checks(checks: Sequence[dict[str, Any]]) -> dict[str, bool | None] | None:
    return {check["name"]: check["passed"] for check in checks} or None


def _difference(after: Usage, before: Usage) -> Usage:
    return Usage(**{name: value - before.to_dict()[name] for name, value in after.to_dict().items()})
