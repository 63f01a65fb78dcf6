"""What one iteration of the search means: write a draft, or move the latents once and write again.

Both functions are pure: everything a later call needs is in the :class:`Round` they return, as plain values
and bytes, so that a search can be stopped, stored and resumed between any two calls.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding.decode import Completion, DecodeRequest, decode
from latentseek_agents.engine._decoding.token_choice import pick_tokens
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.latents import Latents, advantages, policy_gradient
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.errors import InputError
from latentseek_agents.verdict import Attempt, Usage

if TYPE_CHECKING:
    import torch

__all__ = ["Round", "draft", "prompt_token_ids", "refine", "token_differences"]

# Besides the tokenizer's own end token, these end a draft (and only a draft) in the authors' release.
_RELEASE_STOP_WORDS = ("</s>", "<|im_end|>", "<|endoftext|>")

_TOKENS_PICKED_AT_ONCE = 48

OnToken = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a call of :func:`draft` or :func:`refine` brings.

    Args:
        attempts: One attempt per sample (the draft is one). An attempt whose tokens are those of an
            earlier one carries that one's verdict and cost nothing.
        search: The latents and Adam's memory, to be handed to the next :func:`refine`. Empty if there is
            nothing to move: the draft is so short that ⌊ρT⌋ = 0.
        usage: What it cost, in the ``policy_*`` fields.
        costs: The part of each attempt in it, where they are independent of each other.
    """

    attempts: list[Attempt]
    search: bytes
    usage: Usage
    costs: tuple[Usage, ...] = ()


def draft(
    backbone: Backbone,
    question: str,
    config: LatentSeekConfig,
    *,
    deadline: float | None = None,
    on_token: OnToken | None = None,
) -> Round:
    """Write the greedy chain of thought, and take its hidden states as latents.

    Args:
        backbone: The frozen policy.
        question: What to solve.
        config: ρ, the cap on m, the prompt and the token limits are used.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each token id as it is written.

    Returns:
        A round with one attempt, iteration 0.

    Raises:
        InputError: The question is empty or leaves no room in the context window.
        NonFiniteError: The model's hidden states are not finite.
    """
    began = time.monotonic()
    prompt_ids = prompt_token_ids(backbone, question, config)
    limit = config.max_draft_tokens or config.max_new_tokens
    request = DecodeRequest(
        prompt_ids=prompt_ids,
        max_new_tokens=_room(backbone, prompt_ids, 0, limit + 1 if config.release_behaviour else limit),
        end_token_ids=_end_token_ids(backbone, config, drafting=True),
        deadline=deadline,
        on_token=on_token,
    )
    (completion,) = decode(backbone, [request])
    length = len(completion.token_ids)
    start = int(config.start_fraction * length)
    count = min(int(config.fraction * length), config.max_latents, length - start)
    if not config.release_behaviour:
        # A draft may be longer than what is written later; latents beyond that would never be read.
        count = max(0, min(count, config.max_new_tokens - start))
    search = b""
    if count:
        search = Latents.start(completion.hidden[start : start + count], config.latents).to_bytes()
    attempt = _attempt(backbone, config, completion.token_ids, completion.finish_reason, 0, start, count)
    usage = Usage(
        policy_tokens=completion.new_tokens,
        policy_forward_passes=completion.forward_passes,
        policy_computed_tokens=completion.computed_tokens,
        policy_prompt_passes=completion.prompt_passes,
        policy_prompt_tokens=completion.prompt_tokens,
        policy_seconds=time.monotonic() - began,
    )
    return Round(attempts=[attempt], search=search, usage=usage)


def refine(
    backbone: Backbone,
    question: str,
    config: LatentSeekConfig,
    *,
    search: bytes,
    samples: Sequence[Attempt],
    history: Sequence[Attempt] = (),
    deadline: float | None = None,
    on_token: OnToken | None = None,
) -> Round:
    """Move the latents one step away from what scored badly, and write on from them.

    With ``temperature > 0`` the first call makes no step: the draft is the argmax and no sample of
    the policy, so the first M samples are drawn from the draft's own latents.

    Args:
        backbone: The frozen policy.
        question: The same as for the draft.
        config: The same as for the draft.
        search: From the round before.
        samples: The attempts of the round before, each with its score.
        history: Earlier attempts with verdicts; if the tokens at the latents come back to one of them,
            it is taken over without a forward pass.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each token id as it is written.

    Returns:
        A round with ``num_samples`` attempts.

    Raises:
        InputError: There is nothing to move (``search`` is empty) or a sample has no score.
        NonFiniteError: A gradient or latent is not finite; the message names the step.
    """
    began = time.monotonic()
    if not search:
        raise InputError("there is no latent to move: the draft was too short for this fraction; raise it")
    iteration = samples[0].iteration + 1
    latents = Latents.from_bytes(search)
    if not (config.temperature > 0 and iteration == 1):
        latents = _step(backbone, config, latents, samples)
    prompt_ids = prompt_token_ids(backbone, question, config)
    writer = _Writer(backbone, config, prompt_ids, latents, samples, history, deadline, on_token)
    written = writer.write_all()
    if latents.consistent:
        latents = latents.with_hidden(writer.hidden_states())
    usage = replace(writer.usage, policy_seconds=time.monotonic() - began)
    return Round(attempts=written, search=latents.to_bytes(), usage=usage)


def _step(
    backbone: Backbone, config: LatentSeekConfig, latents: Latents, samples: Sequence[Attempt]
) -> Latents:
    rewards = [sample.score for sample in samples]
    known = [reward for reward in rewards if reward is not None]
    if len(known) < len(rewards):
        raise InputError("every sample needs a score before the latents can move; verify the attempts first")
    token_ids = [sample.latent_token_ids for sample in samples]
    number = latents.step + 1
    with backbone.lock:
        gradient = policy_gradient(
            backbone.logits,
            latents.policy_inputs(len(samples)),
            token_ids,
            advantages(known, config.baseline),
            temperature=config.temperature,
            release_loss=config.release_behaviour,
            step=number,
        )
    return latents.stepped(
        gradient,
        learning_rate=config.learning_rate,
        gradient_clip=config.gradient_clip,
        rows=max(len(tokens) for tokens in token_ids),
        random_directions=_generator(config, number, 0, "direction")
        if config.direction == "random"
        else None,
    )


def _generator(config: LatentSeekConfig, iteration: int, sample: int, purpose: str) -> "torch.Generator":
    import torch

    return torch.Generator().manual_seed(_seed(config, iteration, sample, purpose))


def _seed(config: LatentSeekConfig, iteration: int, sample: int, purpose: str) -> int:
    coordinates = f"{config.seed}/{iteration}/{sample}/{purpose}"
    return int.from_bytes(hashlib.blake2b(coordinates.encode(), digest_size=8).digest()) >> 1


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one sample comes about: taken over, ended by its latents, or decoded."""

    keep: int  # first hidden states of consistent latents that stay valid
    earlier: Attempt | None = None
    ended: Completion | None = None
    request: DecodeRequest | None = None


class _Writer:
    """Turns latents into attempts; both kinds of latents end in one kind of request to the decoder."""

    def __init__(
        self,
        backbone: Backbone,
        config: LatentSeekConfig,
        prompt_ids: list[int],
        latents: Latents,
        samples: Sequence[Attempt],
        history: Sequence[Attempt],
        deadline: float | None,
        on_token: OnToken | None,
    ) -> None:
        self.backbone = backbone
        self.config = config
        self.prompt_ids = prompt_ids
        self.latents = latents
        self.previous = samples[0]
        self.iteration = samples[0].iteration + 1
        # What was written from which tokens. Consistent latents also need the hidden states of what they
        # come back to, and only those of the last round are kept.
        known = [samples[0]] if latents.consistent else [*history, *samples]
        if config.release_behaviour:
            # The release bounds and ends a draft in other ways than what it writes later.
            known = [attempt for attempt in known if attempt.iteration > 0]
        self.known = {tuple(attempt.latent_token_ids): attempt for attempt in known}
        self.deadline = deadline
        self.on_token = on_token
        self.usage = Usage()
        self._hidden: list[torch.Tensor] = []

    def write_all(self) -> list[Attempt]:
        """One attempt per sample; all that need the model are decoded together."""
        plans = [self._plan(sample) for sample in range(self.config.num_samples)]
        requests = [plan.request for plan in plans if plan.request is not None]
        completions = iter(decode(self.backbone, requests))
        return [
            self._finish(plan, plan.ended if plan.request is None else next(completions)) for plan in plans
        ]

    def _plan(self, sample: int) -> "_Plan":
        picked, keep = self._pick(sample)
        ends = _end_token_ids(self.backbone, self.config, drafting=False)
        if not self.config.release_behaviour:
            # An answer that ends among its latents ends there.
            stop = next((i for i, token in enumerate(picked) if token in ends), None)
            picked = picked if stop is None else picked[: stop + 1]
        earlier = self.known.get(tuple(picked))
        if earlier is not None and self.config.continuation_temperature == 0:
            return _Plan(keep, earlier=earlier)
        forced = [*self.previous.token_ids[: self.previous.latent_start], *picked]
        if not self.config.release_behaviour and forced[-1] in ends:
            nothing = self.latents.values[:0]
            ended = Completion(token_ids=forced, hidden=nothing, finish_reason="stop", forward_passes=0)
            return _Plan(keep, ended=ended)
        return _Plan(keep, request=self._request(forced, sample, ends))

    def _finish(self, plan: "_Plan", completion: Completion | None) -> Attempt:
        if plan.earlier is not None:
            if self.latents.consistent:
                self._hidden.append(self.latents.hidden[0])
            return self._taken_over(plan.earlier)
        if completion is None:
            raise RuntimeError("a plan that takes nothing over must be decoded")
        if self.latents.consistent:
            self._hidden.append(self._rows(plan.keep, completion))
        start = self.previous.latent_start
        # What stands before the latents was not written again, but the tokens at the latents were.
        self.usage += Usage(
            policy_tokens=len(completion.token_ids) - start,
            policy_forward_passes=completion.forward_passes,
            policy_computed_tokens=completion.computed_tokens,
            policy_prompt_passes=completion.prompt_passes,
            policy_prompt_tokens=completion.prompt_tokens,
        )
        attempt = _attempt(
            self.backbone,
            self.config,
            completion.token_ids,
            completion.finish_reason,
            self.iteration,
            start,
            len(self.latents.values),
        )
        return replace(
            attempt, changed=token_differences(self.previous.latent_token_ids, attempt.latent_token_ids)
        )

    def hidden_states(self) -> "torch.Tensor":
        """(M, m, d) hidden states behind the tokens at the latents, of all samples written."""
        import torch

        return torch.stack(self._hidden)

    def _pick(self, sample: int) -> tuple[list[int], int]:
        """Tokens that the latents decide without the model's layers, and how many hidden states stay valid.

        Independent latents decide all m. A consistent latent depends on the tokens before it, so only
        those up to the first that differs from the round before are decided; their hidden states are known.
        """
        tokens = self.previous.latent_token_ids
        inputs = self.latents.policy_inputs(1)[0]
        generator = _generator(self.config, self.iteration, sample, "latents")
        if not self.latents.consistent:
            return self._picked(inputs, generator), 0
        inputs = inputs[: len(tokens)]
        # The head is large, and as a rule an early token differs: it is asked part by part.
        picked: list[int] = []
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

        with self.backbone.lock, torch.no_grad():
            logits = self.backbone.logits(inputs)
        return [int(token) for token in pick_tokens(logits, self.config.temperature, generator)]

    def _request(self, forced: list[int], sample: int, ends: frozenset[int]) -> DecodeRequest:
        import torch

        config = self.config
        offsets = None
        if self.latents.consistent:
            before = torch.zeros(self.previous.latent_start, self.latents.values.shape[1])
            offsets = torch.cat([before, self.latents.values])
        limit = config.max_new_tokens + 1 if config.release_behaviour else config.max_new_tokens - len(forced)
        return DecodeRequest(
            prompt_ids=self.prompt_ids,
            forced_ids=forced,
            max_new_tokens=_room(self.backbone, self.prompt_ids, len(forced), limit),
            end_token_ids=ends,
            offsets=offsets,
            offset_temperature=config.temperature,
            temperature=config.continuation_temperature,
            seed=_seed(config, self.iteration, sample, "continuation"),
            deadline=self.deadline,
            on_token=self.on_token,
            draft_ids=self.previous.token_ids,
            # The hidden states of consistent latents are part of the search's state. They must not depend on
            # what this process happens to have kept, or a resumed search would end with other bits.
            reuse_completion=not self.latents.consistent,
        )

    def _rows(self, keep: int, completion: Completion) -> "torch.Tensor":
        import torch

        count = len(self.latents.values)
        fresh = completion.hidden[: count - keep].to("cpu", torch.float32)
        rows = torch.zeros_like(self.latents.values)
        rows[:keep] = self.latents.hidden[0][:keep]
        rows[keep : keep + len(fresh)] = fresh
        return rows

    def _taken_over(self, earlier: Attempt) -> Attempt:
        attempt = replace(
            earlier,
            iteration=self.iteration,
            changed=token_differences(self.previous.latent_token_ids, earlier.latent_token_ids),
            sample_scores=[],
        )
        # The release asks the verifier again; and a verifier that could not judge may be able to now.
        if self.config.release_behaviour or earlier.passed is None:
            attempt = replace(attempt, score=None, passed=None, reason="", checks=[])
        return attempt


def _attempt(
    backbone: Backbone,
    config: LatentSeekConfig,
    token_ids: list[int],
    finish_reason: str,
    iteration: int,
    start: int,
    count: int,
) -> Attempt:
    return Attempt(
        iteration=iteration,
        token_ids=token_ids,
        latent_token_ids=token_ids[start : start + count],
        changed=[],
        text=backbone.decode(token_ids, skip_special_tokens=not config.release_behaviour),
        finish_reason=finish_reason,
        latent_start=start,
    )


def prompt_token_ids(backbone: Backbone, question: str, config: LatentSeekConfig) -> list[int]:
    """The tokens of a question's prompt.

    Raises:
        InputError: The question is empty or leaves no room in the context window.
    """
    prompt = prompt_for(question, config.prompt)
    # The release formats the prompt first and then lets the tokenizer add its special tokens again.
    return backbone.encode_prompt(prompt, add_special_tokens=config.release_behaviour)


def _room(backbone: Backbone, prompt_ids: Sequence[int], written: int, limit: int) -> int:
    return max(0, min(limit, backbone.context_window - len(prompt_ids) - written))


def _end_token_ids(backbone: Backbone, config: LatentSeekConfig, *, drafting: bool) -> frozenset[int]:
    if not config.release_behaviour:
        return backbone.eos_token_ids
    tokenizer = backbone.tokenizer
    ends = {tokenizer.eos_token_id}
    if drafting:
        vocabulary = tokenizer.get_vocab()
        ends.update(vocabulary[word] for word in _RELEASE_STOP_WORDS if word in vocabulary)
    return frozenset(ends)


def token_differences(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Positions at which two token sequences differ; what only one of them has differs."""
    shared = min(len(before), len(after))
    changed = [i for i in range(shared) if before[i] != after[i]]
    return changed + list(range(shared, max(len(before), len(after))))
