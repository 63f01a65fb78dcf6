"""Independent solutions of one question, without latents: each number has a seed of its own.

They are what ``proposals="samples"`` takes for attempts, and what a majority or the best of N is made from.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding import Completion, DecodeRequest, decode
from latentseek_agents.engine._release import ReleaseRules
from latentseek_agents.engine._thought_constraint import closings_of
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.search import (
    OnToken,
    Step,
    attempt_of,
    derive_seed,
    prompt_token_ids,
    room_for,
    thinking_tokens,
    thought_budget,
)
from latentseek_agents.errors import ConfigError
from latentseek_agents.verdict import Attempt, Usage

__all__ = ["resample", "sample"]


def sample(
    backbone: Backbone,
    question: str,
    config: LatentSeekConfig,
    *,
    count: int,
    temperature: float,
    start: int = 0,
    deadline: float | None = None,
    on_token: OnToken | None = None,
) -> Step:
    """Write several independent solutions of one question, all at once.

    Args:
        backbone: The frozen policy.
        question: What to solve.
        config: Its prompt, token limit and seed are used.
        count: How many solutions.
        start: The number of the first; each number has a seed of its own, so that solutions may be written in
            several calls.
        temperature: Of the policy; 0 writes the greedy one ``count`` times.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each token id as it is written, of whichever solution.

    Returns:
        A step whose attempts are numbered from ``start``, with the costs of each. The prompt is charged to
        number 0, so that the first n cost what n alone would.

    Raises:
        ConfigError: ``count`` or ``temperature`` is out of range.
        InputError: The question leaves no room in the context window.
    """
    if count < 1:
        raise ConfigError(f"count={count}: at least 1 solution must be sampled")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature={temperature}: it must be a finite number, at least 0")
    began = time.monotonic()
    prompt_ids = prompt_token_ids(backbone, question, config)
    sampling = _Sampling(backbone, config, prompt_ids, temperature, deadline, on_token)
    completions = sampling.completions(range(start, start + count))
    made = [
        sampling.attempt(completion, iteration=number) for number, completion in enumerate(completions, start)
    ]
    seconds = time.monotonic() - began
    tokens = sum(completion.new_tokens for completion in completions) or 1
    costs = tuple(
        replace(
            completion.usage("policy", prompt_tokens=0 if number else len(prompt_ids)),
            policy_seconds=seconds * completion.new_tokens / tokens,
            policy_thinking_tokens=thoughts,
        )
        for number, (completion, (_, thoughts)) in enumerate(zip(completions, made, strict=True), start)
    )
    attempts = [attempt for attempt, _ in made]
    return Step(attempts=attempts, latents=b"", usage=sum(costs, Usage()), costs=costs)


def resample(
    backbone: Backbone,
    question: str,
    config: LatentSeekConfig,
    *,
    iteration: int,
    deadline: float | None = None,
    on_token: OnToken | None = None,
) -> Step:
    """Write ``num_samples`` independent solutions at ``sample_temperature``: an iteration without latents.

    Over the iterations they are the solutions that :func:`sample` writes at the same temperature, in the same
    order.

    Args:
        backbone: The frozen policy.
        question: The same as for the draft.
        config: The same as for the draft.
        iteration: Its number, from 1 on.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each token id as it is written, of whichever solution.

    Returns:
        A step with ``num_samples`` attempts and no latents. No prompt is charged: the draft has paid for it.
    """
    began = time.monotonic()
    prompt_ids = prompt_token_ids(backbone, question, config)
    sampling = _Sampling(backbone, config, prompt_ids, config.sample_temperature, deadline, on_token)
    first = (iteration - 1) * config.num_samples
    completions = sampling.completions(range(first, first + config.num_samples))
    usage = sum((completion.usage("policy", prompt_tokens=0) for completion in completions), Usage())
    made = [sampling.attempt(completion, iteration=iteration) for completion in completions]
    usage = replace(
        usage,
        policy_seconds=time.monotonic() - began,
        policy_thinking_tokens=sum(thoughts for _, thoughts in made),
    )
    return Step(attempts=[attempt for attempt, _ in made], latents=b"", usage=usage)


@dataclass(frozen=True)
class _Sampling:
    """Independent solutions of one question, each from the seed of its number."""

    backbone: Backbone
    config: LatentSeekConfig
    prompt_ids: list[int]
    temperature: float
    deadline: float | None
    on_token: OnToken | None

    @property
    def rules(self) -> ReleaseRules:
        """Our own: the release has no samples."""
        return ReleaseRules()

    def completions(self, numbers: Sequence[int]) -> list[Completion]:
        """The solutions of these numbers, decoded together."""
        request = DecodeRequest(
            prompt_ids=self.prompt_ids,
            max_new_tokens=room_for(self.backbone, self.prompt_ids, 0, self.config.max_new_tokens),
            end_token_ids=self.rules.draft_ends(self.backbone),
            temperature=self.temperature,
            deadline=self.deadline,
            on_token=self.on_token,
            states=0,
        )
        seeds = [derive_seed(self.config.seed, "sample", number) for number in numbers]
        return decode(
            self.backbone,
            [
                replace(
                    request,
                    seed=seed,
                    constraint=thought_budget(self.backbone, self.prompt_ids, self.config),
                )
                for seed in seeds
            ],
        )

    def attempt(self, completion: Completion, *, iteration: int) -> tuple[Attempt, int]:
        """A solution as an attempt, and how many of its tokens are thoughts."""
        backbone, prompt_ids = self.backbone, self.prompt_ids
        closed = closings_of(backbone, prompt_ids, completion.token_ids, self.config.max_thinking_tokens)
        made = attempt_of(backbone, self.rules, prompt_ids, completion, closed=closed, iteration=iteration)
        return made, thinking_tokens(backbone, prompt_ids, made, closed)
