"""What one iteration of the search means: write a draft, or move the latents once and write again.

:func:`draft` and :func:`refine` are pure: everything a later call needs is in the :class:`Step` they return,
as plain values and bytes, so that a search can be stopped, stored and resumed between any two calls. Where
this package and the authors' release differ, ``_release.py`` says how. Attempts without latents are those of
``sampling.py``, one behind a corrected value that of ``aimed.py``.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding import Completion, DecodeRequest, decode, pick_tokens
from latentseek_agents.engine._release import ReleaseRules, rules_for
from latentseek_agents.engine._thought_constraint import AfterThought, closings_of
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.engine.thinking import template_options
from latentseek_agents.errors import InputError
from latentseek_agents.verdict import Attempt, Usage

if TYPE_CHECKING:
    import torch

    from latentseek_agents.engine.latents import Latents

__all__ = [
    "OnToken",
    "Step",
    "attempt_of",
    "derive_seed",
    "draft",
    "prompt_token_ids",
    "refine",
    "room_for",
    "thinking_tokens",
    "thought_budget",
    "token_differences",
]

_TOKENS_PICKED_AT_ONCE = 48

OnToken = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one call of :func:`draft`, :func:`refine` or :func:`sample` wrote.

    Args:
        attempts: One attempt per sample (the draft is one). An attempt whose tokens are those of an
            earlier one carries that one's verdict and cost nothing.
        latents: The latents and Adam's memory, to be handed to the next :func:`refine`. Empty if there is
            nothing to move: the draft is so short that ⌊ρT⌋ = 0, or further attempts are independent samples.
        usage: What it cost, in the ``policy_*`` fields.
        costs: The part of each attempt in it, where they are independent of each other.
    """

    attempts: list[Attempt]
    latents: bytes
    usage: Usage
    costs: tuple[Usage, ...] = ()


def draft(
    backbone: Backbone,
    question: str,
    config: LatentSeekConfig,
    *,
    deadline: float | None = None,
    on_token: OnToken | None = None,
) -> Step:
    """Write the greedy chain of thought, and take its hidden states as latents.

    Args:
        backbone: The frozen policy.
        question: What to solve.
        config: ρ, the cap on m, the prompt and the token limits are used.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each token id as it is written.

    Returns:
        A step with one attempt, iteration 0. It is charged with the whole prompt.

    Raises:
        InputError: The question is empty or leaves no room in the context window.
        NonFiniteError: The model's hidden states are not finite.
    """
    from latentseek_agents.engine.latents import Latents

    began = time.monotonic()
    rules = rules_for(config)
    prompt_ids = prompt_token_ids(backbone, question, config)
    budget = thought_budget(backbone, prompt_ids, config)
    limit = room_for(backbone, prompt_ids, 0, rules.draft_limit(config))
    request = DecodeRequest(
        prompt_ids=prompt_ids,
        max_new_tokens=limit,
        end_token_ids=rules.draft_ends(backbone),
        deadline=deadline,
        on_token=on_token,
        constraint=budget,
        states=_draft_states(config, limit),
    )
    (completion,) = decode(backbone, [request])
    closed = closings_of(backbone, prompt_ids, completion.token_ids, config.max_thinking_tokens)
    begin, end = _latent_region(backbone, prompt_ids, config, completion, closed)
    length = end - begin
    start = begin + int(config.start_fraction * length)
    count = min(int(config.fraction * length), config.max_latents, end - start)
    if budget is not None and budget.closings and start < budget.closings[0]:
        # No latent may undo the end of the thought.
        count = min(count, budget.closings[0] - start)
    count = rules.latent_count(config, start, count) if config.proposals == "latents" else 0
    latents = b""
    if count:
        latents = Latents.start(completion.hidden[start : start + count], config.latents).to_bytes()
    attempt = attempt_of(backbone, rules, prompt_ids, completion, closed=closed, start=start, count=count)
    usage = replace(
        completion.usage("policy", prompt_tokens=len(prompt_ids)),
        policy_seconds=time.monotonic() - began,
        policy_thinking_tokens=thinking_tokens(backbone, prompt_ids, attempt, closed),
    )
    return Step(attempts=[attempt], latents=latents, usage=usage)


def refine(
    backbone: Backbone,
    question: str,
    config: LatentSeekConfig,
    *,
    latents: bytes,
    samples: Sequence[Attempt],
    history: Sequence[Attempt] = (),
    deadline: float | None = None,
    on_token: OnToken | None = None,
) -> Step:
    """Move the latents one step away from what scored badly, and write on from them.

    With ``temperature > 0`` the first call, and the first one behind an aimed attempt, makes no step: the
    draft is the argmax and no sample of the policy, so the first M samples are drawn from the draft's own
    latents.

    Args:
        backbone: The frozen policy.
        question: The same as for the draft.
        config: The same as for the draft.
        latents: From the step before.
        samples: The attempts of the step before, each with its score or its own ``reward``.
        history: Earlier attempts with verdicts; if the tokens at the latents come back to one of them,
            it is taken over without a forward pass.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each token id as it is written.

    Returns:
        A step with ``num_samples`` attempts. No prompt is charged: the draft has paid for it.

    Raises:
        InputError: There is nothing to move (``latents`` is empty) or a sample has no score.
        NonFiniteError: A gradient or latent is not finite; the message names the step.
    """
    import torch

    from latentseek_agents.engine.latents import Latents

    began = time.monotonic()
    if not latents:
        raise InputError("there is no latent to move: the draft was too short for this fraction; raise it")
    rules = rules_for(config)
    moved = Latents.from_bytes(latents)
    _require_fitting(backbone, moved, samples)
    written_from_them = samples[0].iteration > 0 and samples[0].aimed_at is None
    if config.temperature == 0 or written_from_them:
        moved = _moved(backbone, config, moved, samples)
    refinement = _Refinement(
        backbone=backbone,
        config=config,
        rules=rules,
        prompt_ids=prompt_token_ids(backbone, question, config),
        latents=moved,
        previous=samples[0],
        known=_known(rules, moved, samples, history),
        deadline=deadline,
        on_token=on_token,
    )
    written = refinement.write()
    moved = moved.with_hidden(torch.cat([sample.hidden for sample in written]))
    usage = sum((sample.usage for sample in written), Usage(policy_seconds=time.monotonic() - began))
    return Step(attempts=[sample.attempt for sample in written], latents=moved.to_bytes(), usage=usage)


def prompt_token_ids(backbone: Backbone, question: str, config: LatentSeekConfig) -> list[int]:
    """The tokens of a question's prompt.

    Raises:
        InputError: The question is empty or leaves no room in the context window.
    """
    prompt = prompt_for(question, config.prompt)
    options = template_options(
        backbone.tokenizer,
        enable_thinking=config.enable_thinking,
        reasoning_effort=config.reasoning_effort,
        name=backbone.name,
    )
    return backbone.encode_prompt(
        prompt, add_special_tokens=rules_for(config).add_special_tokens, template_options=options
    )


def thought_budget(
    backbone: Backbone, prompt_ids: Sequence[int], config: LatentSeekConfig, forced: Sequence[int] = ()
) -> AfterThought | None:
    """What closes a thought that grows too long: a new one for each completion."""
    if config.max_thinking_tokens is None:
        return None
    return AfterThought(backbone, prompt_ids, forced, budget=config.max_thinking_tokens)


def _latent_region(
    backbone: Backbone,
    prompt_ids: Sequence[int],
    config: LatentSeekConfig,
    completion: Completion,
    closed: Sequence[int],
) -> tuple[int, int]:
    """The tokens of a draft that may have latents: the first, and the one behind the last."""
    ids = completion.token_ids
    if config.latents_over == "both":
        return 0, len(ids)
    parts = backbone.split(ids, prompt_ids, closed=closed).parts
    thoughts = [index for index, part in enumerate(parts) if part.kind == "thinking"]
    if not thoughts:
        return 0, len(ids)
    first, last = thoughts[0], thoughts[-1]
    if config.latents_over == "thinking":
        return backbone.token_at(ids, parts[first].start), backbone.token_at(ids, parts[last].end)
    answers = [part.start for part in parts[first:] if part.kind == "text"]
    return (backbone.token_at(ids, answers[0]) if answers else len(ids)), len(ids)


def token_differences(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Positions at which two token sequences differ; what only one of them has differs."""
    shared = min(len(before), len(after))
    changed = [i for i in range(shared) if before[i] != after[i]]
    return changed + list(range(shared, max(len(before), len(after))))


def derive_seed(*coordinates: object) -> int:
    """A seed in [0, 2^63) for one draw, from the seed of the whole and the draw's coordinates.

    Example:
        >>> derive_seed(0, "sample", 1) == derive_seed(0, "sample", 1) != derive_seed(0, "sample", 2)
        True
    """
    text = "/".join(map(str, coordinates))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def _generator(config: LatentSeekConfig, *coordinates: object) -> "torch.Generator":
    import torch

    return torch.Generator().manual_seed(derive_seed(config.seed, *coordinates))


def _draft_states(config: LatentSeekConfig, limit: int) -> int:
    """Of how many first tokens of a draft the hidden states may become latents."""
    if config.proposals != "latents":
        return 0
    if config.latents_over != "both":  # where that part begins is known when it is written
        return limit
    return int(config.start_fraction * limit) + min(config.max_latents, int(config.fraction * limit) + 1)


def room_for(backbone: Backbone, prompt_ids: Sequence[int], written: int, limit: int) -> int:
    """How many tokens may follow a prompt and what is written: a limit, cut to the context window."""
    return max(0, min(limit, backbone.context_window - len(prompt_ids) - written))


def attempt_of(
    backbone: Backbone,
    rules: ReleaseRules,
    prompt_ids: Sequence[int],
    completion: Completion,
    *,
    closed: Sequence[int],
    iteration: int = 0,
    start: int = 0,
    count: int = 0,
) -> Attempt:
    """A completion as an attempt, with the latents at ``count`` tokens from ``start`` on.

    Args:
        backbone: The model.
        rules: Of the search.
        prompt_ids: Its prompt.
        completion: What it wrote.
        closed: Where a budget has closed its thoughts, from :func:`closings_of`.
        iteration: Of the attempt.
        start: The first token with a latent.
        count: How many tokens have one.
    """
    thinking = ""
    if rules.keep_special_tokens:
        text = backbone.decode(completion.token_ids, skip_special_tokens=False)
    else:
        split = backbone.split(completion.token_ids, prompt_ids, closed=closed)
        thinking, text = split.thinking, split.text
    return Attempt(
        iteration=iteration,
        token_ids=completion.token_ids,
        latent_token_ids=completion.token_ids[start : start + count],
        changed=[],
        text=text,
        finish_reason=completion.finish_reason,
        latent_start=start,
        thinking=thinking,
    )


def thinking_tokens(
    backbone: Backbone, prompt_ids: Sequence[int], attempt: Attempt, closed: Sequence[int], *, start: int = 0
) -> int:
    """How many tokens of an attempt, from ``start`` on, are thoughts; ``closed`` is its completion's."""
    if not attempt.thinking:
        return 0
    return backbone.thought_tokens(attempt.token_ids, prompt_ids, start=start, closed=closed)


def _require_fitting(backbone: Backbone, latents: "Latents", samples: Sequence[Attempt]) -> None:
    """Refuse latents and tokens of another model; a search asks for the model itself before."""
    count, width = latents.values.shape
    if width != backbone.hidden_size:
        raise InputError(
            f"these latents are {width} wide, but {backbone.name} has states of {backbone.hidden_size};"
            " go on with the model that the draft was written with"
        )
    known = backbone.decoder.vocabulary_size
    for sample in samples:
        tokens = sample.latent_token_ids
        if len(tokens) > count or any(not 0 <= token < known for token in tokens):
            raise InputError(
                f"an attempt has {len(tokens)} tokens at its latents, which are {count}, and the model knows "
                f"the tokens 0 to {known - 1}: they do not belong together; "
                "go on from an earlier checkpoint, or ask the question anew"
            )


def _moved(
    backbone: Backbone, config: LatentSeekConfig, latents: "Latents", samples: Sequence[Attempt]
) -> "Latents":
    from latentseek_agents.engine.latents import advantages, policy_gradient

    given = [sample.score if sample.reward is None else sample.reward for sample in samples]
    rewards = [reward for reward in given if reward is not None]
    if len(rewards) < len(samples):
        raise InputError("every sample needs a score before the latents can move; verify the attempts first")
    token_ids = [sample.latent_token_ids for sample in samples]
    number = latents.step + 1
    with backbone.policy.lock:
        gradient = policy_gradient(
            backbone.logits,
            latents.policy_inputs(len(samples)),
            token_ids,
            advantages(rewards, config.baseline),
            temperature=config.temperature,
            release_loss=rules_for(config).release_loss,
            step=number,
        )
    return latents.stepped(
        gradient,
        learning_rate=config.learning_rate,
        gradient_clip=config.gradient_clip,
        rows=max(map(len, token_ids)),
        random_directions=_generator(config, number, 0, "direction")
        if config.direction == "random"
        else None,
    )


def _known(
    rules: ReleaseRules, latents: "Latents", samples: Sequence[Attempt], history: Sequence[Attempt]
) -> dict[tuple[int, ...], Attempt]:
    """What was written before, by the tokens at the latents.

    Consistent latents also need the hidden states of what they come back to, and only those of the last step
    are kept.
    """
    attempts = [samples[0]] if latents.consistent else [*history, *samples]
    # What stood before another aim began otherwise.
    beginning = samples[0].token_ids[: samples[0].latent_start]
    return {
        tuple(attempt.latent_token_ids): attempt
        for attempt in attempts
        if (attempt.iteration > 0 or rules.reuse_draft)
        and attempt.latent_start == len(beginning)
        and attempt.token_ids[: len(beginning)] == beginning
    }


@dataclass(frozen=True)
class _Written:
    """One sample of a refinement, its cost, and the hidden states behind its tokens at the latents.

    These are (1, m, d), or (0, m, d) for independent latents, which have none.
    """

    attempt: Attempt
    usage: Usage
    hidden: "torch.Tensor"


@dataclass(frozen=True, kw_only=True)
class _Refinement:
    """Turns latents into attempts; both kinds of latents end in one kind of request to the decoder.

    Args:
        previous: The first sample of the step before.
        known: What was written before, by the tokens at the latents.
    """

    backbone: Backbone
    config: LatentSeekConfig
    rules: ReleaseRules
    prompt_ids: list[int]
    latents: "Latents"
    previous: Attempt
    known: dict[tuple[int, ...], Attempt]
    deadline: float | None
    on_token: OnToken | None

    def write(self) -> list[_Written]:
        """One attempt per sample; all that need the model are decoded together."""
        plans = [self._plan(number) for number in range(self.config.num_samples)]
        requests = [plan for plan, _ in plans if isinstance(plan, DecodeRequest)]
        completions = iter(decode(self.backbone, requests))
        return [
            self._taken_over(plan)
            if isinstance(plan, Attempt)
            else self._finished(next(completions) if isinstance(plan, DecodeRequest) else plan, keep)
            for plan, keep in plans
        ]

    def _plan(self, number: int) -> tuple[Attempt | Completion | DecodeRequest, int]:
        """How to obtain a sample: take over an attempt, stop inside the latents, or decode.

        Returns:
            The plan; and how many hidden states of consistent latents stay valid, from the first on.
        """
        picked, keep = self._pick(number)
        ends = self.rules.continuation_ends(self.backbone)
        if self.rules.ends_in_latents:
            stop = next((i for i, token in enumerate(picked) if token in ends), None)
            picked = picked if stop is None else picked[: stop + 1]
        earlier = self.known.get(tuple(picked))
        if earlier is not None and self.config.continuation_temperature == 0:
            return earlier, keep
        forced = [*self.previous.token_ids[: self.previous.latent_start], *picked]
        if self.rules.ends_in_latents and forced[-1] in ends:
            nothing = self.latents.values[:0]
            return Completion(token_ids=forced, hidden=nothing, finish_reason="stop", forward_passes=0), keep
        return self._request(forced, number, ends), keep

    def _pick(self, number: int) -> tuple[list[int], int]:
        """Tokens that the latents decide without the model's layers, and how many hidden states stay valid.

        Independent latents decide all m. A consistent latent depends on the tokens before it, so only
        those up to the first that differs from the step before are decided; their hidden states are known.
        """
        inputs = self.latents.policy_inputs(1)[0]
        generator = _generator(self.config, self.previous.iteration + 1, number, "latents")
        tokens = self.previous.latent_token_ids
        pinned = tokens[: self.latents.pinned]
        if not self.latents.consistent:
            return [*pinned, *self._picked(inputs[len(pinned) :], generator)], 0
        inputs = inputs[: len(tokens)]
        # The head is large, and as a rule an early token differs: it is asked part by part.
        picked = list(pinned)
        while len(picked) < len(inputs):
            part = inputs[len(picked) : len(picked) + _TOKENS_PICKED_AT_ONCE]
            picked += self._picked(part, generator)
            different = token_differences(tokens[: len(picked)], picked)
            if different:
                picked = picked[: different[0] + 1]
                break
        return picked, len(picked)

    def _picked(self, inputs: "torch.Tensor", generator: "torch.Generator") -> list[int]:
        import torch

        if not len(inputs):
            return []
        with self.backbone.policy.lock, torch.no_grad():
            logits = self.backbone.logits(inputs)
        return [int(token) for token in pick_tokens(logits, self.config.temperature, generator)]

    def _request(self, forced: list[int], number: int, ends: frozenset[int]) -> DecodeRequest:
        import torch

        config = self.config
        offsets = None
        if self.latents.consistent:
            before = torch.zeros(self.previous.latent_start, self.latents.values.shape[1])
            offsets = torch.cat([before, self.latents.values])
        limit = self.rules.continuation_limit(config, len(forced))
        return DecodeRequest(
            prompt_ids=self.prompt_ids,
            forced_ids=forced,
            max_new_tokens=room_for(self.backbone, self.prompt_ids, len(forced), limit),
            end_token_ids=ends,
            offsets=offsets,
            offset_temperature=config.temperature,
            temperature=config.continuation_temperature,
            seed=derive_seed(config.seed, self.previous.iteration + 1, number, "continuation"),
            deadline=self.deadline,
            on_token=self.on_token,
            constraint=thought_budget(self.backbone, self.prompt_ids, config, forced),
            guess_ids=self.previous.token_ids,
            # The hidden states of consistent latents are part of the search's state. They must not depend on
            # what this process happens to have kept, or a resumed search would end with other bits.
            reuse_completion=not self.latents.consistent,
            states=max(0, len(offsets) - len(forced)) if offsets is not None else 0,
        )

    def _finished(self, completion: Completion, keep: int) -> _Written:
        start, latents = self.previous.latent_start, self.latents
        backbone, prompt_ids = self.backbone, self.prompt_ids
        closed = closings_of(backbone, prompt_ids, completion.token_ids, self.config.max_thinking_tokens)
        attempt = self._placed(
            attempt_of(
                backbone,
                self.rules,
                prompt_ids,
                completion,
                closed=closed,
                start=start,
                count=len(latents.values),
            )
        )
        # What stands before the latents was not written again, but the tokens at the latents were.
        usage = replace(
            completion.usage("policy", prompt_tokens=0),
            policy_tokens=len(completion.token_ids) - start,
            policy_thinking_tokens=thinking_tokens(backbone, prompt_ids, attempt, closed, start=start),
        )
        hidden = latents.hidden[:1].clone()
        if latents.consistent:
            fresh = completion.hidden[: len(latents.values) - keep].to(hidden)
            hidden[0, keep:] = 0
            hidden[0, keep : keep + len(fresh)] = fresh
        return _Written(attempt, usage, hidden)

    def _taken_over(self, earlier: Attempt) -> _Written:
        attempt = replace(self._placed(earlier), sample_scores=[], reward=None, aimed_at=None)
        # A verifier that could not judge may be able to now.
        if not self.rules.keep_verdicts or earlier.passed is None:
            attempt = replace(attempt, score=None, passed=None, reason="", checks=[], computed_answer=None)
        return _Written(attempt, Usage(), self.latents.hidden[:1])

    def _placed(self, attempt: Attempt) -> Attempt:
        """The attempt as that of this iteration."""
        changed = token_differences(self.previous.latent_token_ids, attempt.latent_token_ids)
        return replace(attempt, iteration=self.previous.iteration + 1, changed=changed)
