"""Write an attempt anew from its first error on: what stands before stays, and the value there is corrected.

The latents at the wrong value's place are moved until the computed value's tokens are the most probable ones,
and pinned there; latents and text go on behind it. Only the rest of the text is read and written. With
``proposals="samples"`` no latents move; the value's tokens are given all the same.

The text does not depend on how far the latents could be moved: the tokens of the value are given to the
decoder in any case, and the latents are found from the hidden states that it returns for them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
)
from latentseek_agents.verdict import Attempt, Correction

if TYPE_CHECKING:
    import torch

__all__ = ["Aim", "GivenTokens", "aim_at", "rewrite"]

MOST_STEPS = 100
"""Bound of the steps towards a value's tokens: with the learning rates of the presets a few are enough."""

# What would make a number of a value and the sign behind it, or go on calculating with it.
_JOINS = (*"0123456789.,:=+-*/^×÷·−≈!",)
# How many tokens before a value may be spelled anew with it, and how many tokens a value may have with these.
_MOST_SPELLED_ANEW = 4
_MOST_ADDED = 64


@dataclass(frozen=True)
class Aim:
    """A correction in tokens.

    Args:
        correction: What is replaced in the attempt's text.
        kept: How many tokens of the attempt stay.
        token_ids: What follows them: the value, and the token behind it, which ends it.
    """

    correction: Correction
    kept: int
    token_ids: list[int]


def aim_at(backbone: Backbone, attempt: Attempt, correction: Correction) -> Aim | None:
    """Where a correction stands in an attempt's tokens.

    Args:
        backbone: Whose tokens.
        attempt: What is to be corrected.
        correction: Where, and how.

    Returns:
        The aim; None if the attempt does not say there what is to be corrected, if its tokenizer does not let
        the value take that place, or if the attempt was itself aimed there or further on.
    """
    before = attempt.aimed_at
    if not correction.fits(attempt.text) or (before and correction.start <= before["character"]):
        return None
    text = backbone.decode(attempt.token_ids)
    offset = text.rfind(attempt.text)
    if offset < 0:
        return None
    reader = _Reader(backbone, attempt.token_ids, text)
    wanted = correction.value + reader.ending(offset + correction.end)
    found = reader.replaced(offset + correction.start, wanted)
    if found is None:
        return None
    return Aim(correction, *found)


class _Reader:
    """The tokens of a text, and which of its characters are theirs."""

    def __init__(self, backbone: Backbone, token_ids: Sequence[int], text: str) -> None:
        self.backbone = backbone
        self.token_ids = list(token_ids)
        self.text = text

    def place(self, offset: int) -> int:
        """How many tokens stand before a character, as a whole."""
        low, high = 0, len(self.token_ids)
        while low < high:
            middle = (low + high + 1) // 2
            if len(self.backbone.decode(self.token_ids[:middle])) <= offset:
                low = middle
            else:
                high = middle - 1
        # Half a character of several bytes is shown as a sign of its own.
        while low and not self.text.startswith(self.backbone.decode(self.token_ids[:low])):
            low -= 1
        return low

    def ending(self, offset: int) -> str:
        """What stays behind a value that ends there: the rest of its token, or the token that follows.

        Returns:
            "" if that would make another number of the value.
        """
        place = self.place(offset)
        until = len(self.backbone.decode(self.token_ids[: place + 1]))
        behind = self.text[offset:until]
        sign = behind.strip()
        alone = sign in (".", ",", ":")
        joins = self.text[until : until + 1].isdigit() if alone else sign[:1] in _JOINS
        return "" if joins else behind

    def replaced(self, offset: int, wanted: str) -> tuple[int, list[int]] | None:
        """How many tokens stay, and which follow them, so that the text goes on there with other words.

        Returns:
            None if the tokenizer has no such tokens, or they are those that stand there already.
        """
        whole = self.text[:offset] + wanted
        encoded: Any = self.backbone.tokenizer(whole, add_special_tokens=False)
        spelled = [int(token) for token in encoded["input_ids"]]
        last = self.place(offset)
        for kept in range(last, max(-1, last - 1 - _MOST_SPELLED_ANEW), -1):
            # The end of the whole, since some tokenizers spell the beginning of a text otherwise.
            for count in range(1, min(len(spelled), _MOST_ADDED) + 1):
                added = spelled[-count:]
                if self.backbone.decode([*self.token_ids[:kept], *added]) == whole:
                    return self._without_common(kept, added)
        return None

    def _without_common(self, kept: int, added: list[int]) -> tuple[int, list[int]] | None:
        """The same without the tokens that stand there already."""
        place = 0
        while place < len(added) and self.token_ids[kept + place : kept + place + 1] == [added[place]]:
            place += 1
        return (kept + place, added[place:]) if place < len(added) else None


class GivenTokens:
    """The first tokens of a completion; what follows is free."""

    def __init__(self, token_ids: Sequence[int], vocabulary_size: int) -> None:
        self._left = list(token_ids)
        self._size = vocabulary_size

    def allowed(self) -> "torch.Tensor":
        """One bool per token."""
        import torch

        if not self._left:
            return torch.ones(self._size, dtype=torch.bool)
        return torch.arange(self._size) == self._left[0]

    def take(self, token_id: int) -> None:
        """Go on from this token."""
        del self._left[:1]


def rewrite(
    backbone: Backbone,
    question: str,
    config: LatentSeekConfig,
    *,
    previous: Attempt,
    aim: Aim,
    deadline: float | None = None,
    on_token: OnToken | None = None,
) -> Step:
    """Write the rest of an attempt anew behind its corrected value.

    Args:
        backbone: The frozen policy.
        question: The same as for the draft.
        config: The same as for the draft.
        previous: The attempt to correct.
        aim: Where, from :func:`aim_at`.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each token id as it is written, those of the value included.

    Returns:
        A step with one attempt, whatever ``num_samples`` is, and latents from the corrected value on. It is
        charged with the tokens behind those that stay.

    Raises:
        NonFiniteError: A gradient or latent is not finite.
    """
    began = time.monotonic()
    prompt_ids = prompt_token_ids(backbone, question, config)
    rules = ReleaseRules()
    kept = previous.token_ids[: aim.kept]
    limit = rules.continuation_limit(config, len(kept))
    request = DecodeRequest(
        prompt_ids=prompt_ids,
        forced_ids=kept,
        max_new_tokens=room_for(backbone, prompt_ids, len(kept), limit),
        end_token_ids=rules.continuation_ends(backbone),
        temperature=config.continuation_temperature,
        seed=derive_seed(config.seed, previous.iteration + 1, 0, "continuation"),
        deadline=deadline,
        on_token=on_token,
        # Nothing is reused: its hidden states become latents, which are to have the same bits after a resume.
        constraint=GivenTokens(aim.token_ids, backbone.decoder.vocabulary_size),
    )
    (completion,) = decode(backbone, [request])
    latents, count, shot = b"", 0, {"steps": 0, "reached": False}
    if config.proposals == "latents":
        latents, count, shot = _latents(backbone, config, aim, completion)
    closed = closings_of(backbone, prompt_ids, completion.token_ids, config.max_thinking_tokens)
    attempt = attempt_of(
        backbone,
        rules,
        prompt_ids,
        completion,
        iteration=previous.iteration + 1,
        closed=closed,
        start=len(kept),
        count=count,
    )
    correction = aim.correction
    aimed_at = {
        "character": correction.start,
        "token": aim.kept,
        "stated": correction.stated,
        "value": correction.value,
        **shot,
    }
    changed = list(range(min(count, len(aim.token_ids))))
    usage = replace(
        completion.usage("policy", prompt_tokens=0),
        policy_seconds=time.monotonic() - began,
        policy_thinking_tokens=thinking_tokens(backbone, prompt_ids, attempt, closed, start=len(kept)),
    )
    return Step(attempts=[replace(attempt, changed=changed, aimed_at=aimed_at)], latents=latents, usage=usage)


def _latents(
    backbone: Backbone, config: LatentSeekConfig, aim: Aim, completion: Completion
) -> tuple[bytes, int, dict[str, Any]]:
    """Latents from the corrected value on, their number, and how the value was reached."""
    from latentseek_agents.engine.latents import Latents

    value = aim.token_ids[: completion.new_tokens]
    # Behind those of the value as many as a draft of that length has.
    movable = min(int(config.fraction * len(completion.token_ids)), config.max_latents)
    count = min(completion.new_tokens, len(value) + movable)
    latents = Latents.start(completion.hidden[:count], config.latents)
    with backbone.policy.lock:
        latents, steps, reached = latents.pulled(
            backbone.logits, value, learning_rate=config.learning_rate, most_steps=MOST_STEPS
        )
    shot = {"steps": steps, "reached": reached}
    if count == len(value):  # nothing that a later refinement could move
        return b"", 0, shot
    return latents.to_bytes(), count, shot
