"""Independent samples of the policy: what the baselines choose from."""

import hashlib
import time
from collections.abc import Callable

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding.decode import DecodeRequest, decode
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.engine.search import Round
from latentseek_agents.errors import ConfigError
from latentseek_agents.verdict import Attempt, Usage

__all__ = ["sample"]


def sample(
    backbone: Backbone,
    question: str,
    config: LatentSeekConfig,
    *,
    count: int,
    temperature: float,
    deadline: float | None = None,
    on_token: Callable[[int], None] | None = None,
) -> Round:
    """Write several solutions of one question, all at once.

    Args:
        backbone: The frozen policy.
        question: What to solve.
        config: Its prompt, token limit and seed are used.
        count: How many solutions.
        temperature: Of the policy; 0 writes the greedy one ``count`` times.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each token id as it is written, of whichever solution.

    Returns:
        A round whose attempts are numbered from 0, with the costs of each. The prompt is read once and
        charged to the first, so that the first n cost what n alone would.

    Raises:
        ConfigError: ``count`` or ``temperature`` is out of range.
        InputError: The question leaves no room in the context window.
    """
    if count < 1:
        raise ConfigError(f"count={count}: at least 1 solution must be sampled")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature={temperature}: it must be a finite number, at least 0")
    began = time.monotonic()
    prompt_ids = backbone.encode_prompt(prompt_for(question, config.prompt))
    room = max(0, min(config.max_new_tokens, backbone.context_window - len(prompt_ids)))
    completions = decode(
        backbone,
        [
            DecodeRequest(
                prompt_ids=prompt_ids,
                max_new_tokens=room,
                end_token_ids=backbone.eos_token_ids,
                temperature=temperature,
                seed=_seed(config.seed, number),
                deadline=deadline,
                on_token=on_token,
            )
            for number in range(count)
        ],
    )
    attempts = [
        Attempt(
            iteration=number,
            token_ids=completion.token_ids,
            latent_token_ids=[],
            changed=[],
            text=backbone.decode(completion.token_ids),
            finish_reason=completion.finish_reason,
        )
        for number, completion in enumerate(completions)
    ]
    elapsed = time.monotonic() - began
    tokens = sum(completion.new_tokens for completion in completions) or 1
    costs = tuple(
        Usage(
            policy_tokens=completion.new_tokens,
            policy_forward_passes=completion.forward_passes,
            policy_computed_tokens=completion.computed_tokens,
            policy_prompt_passes=completion.prompt_passes,
            policy_prompt_tokens=completion.prompt_tokens,
            policy_seconds=elapsed * completion.new_tokens / tokens,
        )
        for completion in completions
    )
    return Round(attempts=attempts, search=b"", usage=sum(costs, Usage()), costs=costs)


def _seed(seed: int, number: int) -> int:
    digest = hashlib.blake2b(f"{seed}/sample/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
