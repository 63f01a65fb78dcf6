"""One iteration of the search: the draft's latents, what moves, what is written, what it costs."""

import time
from dataclasses import replace
from typing import Any

import pytest
import torch

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding import DecodingOptions
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.latents import Latents
from latentseek_agents.engine.search import Step, draft, prompt_token_ids, refine
from latentseek_agents.errors import InputError, NonFiniteError
from latentseek_agents.testing import tiny_backbone
from latentseek_agents.verdict import Attempt, Usage

QUESTION = "2 + 2?"
KINDS = ["independent", "consistent"]


def settings(**changes: Any) -> LatentSeekConfig:
    return LatentSeekConfig(
        **{"prompt": str, "max_new_tokens": 20, "fraction": 0.5, "learning_rate": 0.5} | changes
    )


def judged(attempts: list[Attempt], score: float = -1.0) -> list[Attempt]:
    return [replace(attempt, score=score, passed=False, reason="no") for attempt in attempts]


def go_on(backbone: Backbone, config: LatentSeekConfig, made: Step, **options: Any) -> Step:
    return refine(backbone, QUESTION, config, latents=made.latents, samples=judged(made.attempts), **options)


def latents_of(made: Step) -> Latents:
    return Latents.from_bytes(made.latents)


@pytest.mark.parametrize(
    ("tokens", "fraction", "cap", "count"),
    [(20, 0.5, 300, 10), (20, 0.5, 4, 4), (20, 1.0, 300, 20), (19, 0.1, 300, 1), (20, 0.049, 300, 0)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_latents_are_a_share_of_the_draft_up_to_the_cap(
    tiny: Backbone, kind: str, tokens: int, fraction: float, cap: int, count: int
):
    config = settings(latents=kind, max_new_tokens=tokens, fraction=fraction, max_latents=cap)
    made = draft(tiny, QUESTION, config)
    (attempt,) = made.attempts
    assert len(attempt.token_ids) == tokens
    assert attempt.latent_token_ids == attempt.token_ids[:count]
    assert (attempt.iteration, attempt.latent_start, attempt.changed, attempt.score) == (0, 0, [], None)
    if count:
        z = latents_of(made).policy_inputs(1)[0]
        assert z.shape == (count, 32)
        assert tiny.logits(z).argmax(-1).tolist() == attempt.latent_token_ids
    else:
        assert made.latents == b""


def test_the_end_token_counts_as_a_token_of_the_draft():
    backbone = tiny_backbone("Qwen3")
    config = LatentSeekConfig(max_new_tokens=40, fraction=1.0)
    (attempt,) = draft(backbone, "What is 2 + 2?", config).attempts
    assert attempt.finish_reason == "stop"
    assert attempt.token_ids[-1] in backbone.eos_token_ids
    assert attempt.latent_token_ids == attempt.token_ids
    assert attempt.text == backbone.decode(attempt.token_ids[:-1])


@pytest.mark.parametrize("kind", KINDS)
def test_latents_may_start_later(tiny: Backbone, kind: str):
    config = settings(latents=kind, start_fraction=0.4, fraction=0.25, learning_rate=3.0)
    made = draft(tiny, QUESTION, config)
    (first,) = made.attempts
    assert (first.latent_start, first.latent_token_ids) == (8, first.token_ids[8:13])
    (second,) = go_on(tiny, config, made).attempts
    assert second.latent_start == 8
    assert second.token_ids[:8] == first.token_ids[:8]
    assert second.token_ids[8:13] == second.latent_token_ids
    assert second.changed
    assert second.changed == [t for t in range(5) if second.token_ids[8 + t] != first.token_ids[8 + t]]
    assert len(second.token_ids) == 20


def test_latents_end_with_the_answer(tiny: Backbone):
    made = draft(tiny, QUESTION, settings(start_fraction=0.9, fraction=0.5))
    assert len(made.attempts[0].latent_token_ids) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_unchanged_tokens_cost_nothing_and_carry_the_verdict_over(tiny: Backbone, kind: str):
    config = settings(latents=kind, learning_rate=1e-6)
    made = draft(tiny, QUESTION, config)
    samples = [replace(judged(made.attempts)[0], answer="4", checks=[{"name": "x"}], sample_scores=[-1.0])]
    again = refine(tiny, QUESTION, config, latents=made.latents, samples=samples)
    assert again.usage == Usage(policy_seconds=again.usage.policy_seconds)
    assert again.attempts == [replace(samples[0], iteration=1, sample_scores=[])]
    assert latents_of(again).step == 1
    assert not torch.equal(latents_of(again).values, latents_of(made).values)


def test_tokens_that_came_back_cost_nothing(tiny: Backbone):
    config = settings(learning_rate=1.0)
    made = draft(tiny, QUESTION, config)
    moved = go_on(tiny, config, made)
    assert moved.attempts[0].changed
    # Back to the draft's latents, with the draft only in the history.
    history = [replace(judged(made.attempts)[0], reason="remembered"), *judged(moved.attempts)]
    still = config.replace(learning_rate=1e-9)
    back = refine(
        tiny, QUESTION, still, latents=made.latents, samples=judged(moved.attempts), history=history
    )
    (attempt,) = back.attempts
    assert back.usage.policy_forward_passes == 0
    assert (attempt.iteration, attempt.reason, attempt.score) == (2, "remembered", -1.0)
    assert attempt.token_ids == made.attempts[0].token_ids
    assert attempt.changed == moved.attempts[0].changed
    forgotten = refine(tiny, QUESTION, still, latents=made.latents, samples=judged(moved.attempts))
    assert forgotten.attempts[0].token_ids == attempt.token_ids
    assert forgotten.usage.policy_forward_passes > 0


def test_costs_are_those_of_what_was_written(tiny: Backbone):
    backbone = Backbone.from_model(tiny.model, tiny.tokenizer)
    config = settings(learning_rate=1.0)
    made = draft(backbone, QUESTION, config)
    assert (made.usage.policy_tokens, made.usage.policy_forward_passes) == (20, 20)
    moved = go_on(backbone, config, made)
    # One pass for the ten tokens at the latents, and one for each new token but the last.
    assert (moved.usage.policy_tokens, moved.usage.policy_forward_passes) == (20, 10)
    assert moved.usage.verifier_tokens == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1, 3, 5, 12])
def test_no_completion_is_longer_than_the_limit(tiny: Backbone, kind: str, limit: int):
    for longest in (limit, 20):
        config = settings(
            latents=kind, max_new_tokens=limit, max_draft_tokens=longest, fraction=1.0, learning_rate=2.0
        )
        made = draft(tiny, QUESTION, config)
        assert len(made.attempts[0].token_ids) == longest
        for _ in range(2):
            made = go_on(tiny, config, made)
            assert len(made.attempts[0].token_ids) == limit
            assert made.attempts[0].finish_reason == "length"


@pytest.mark.parametrize("kind", KINDS)
def test_the_context_window_is_respected(kind: str):
    backbone = tiny_backbone(max_position_embeddings=64)
    config = settings(latents=kind, max_new_tokens=500, fraction=0.9, learning_rate=2.0)
    prompt = len(backbone.encode_prompt(QUESTION))
    made = draft(backbone, QUESTION, config)
    assert prompt + len(made.attempts[0].token_ids) == 64
    made = go_on(backbone, config, made)
    assert made.attempts[0].changed
    assert prompt + len(made.attempts[0].token_ids) == 64


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_token_among_the_latents_ends_the_answer(tiny: Backbone, kind: str, monkeypatch: Any):
    config = settings(latents=kind, learning_rate=1.0)
    made = draft(tiny, QUESTION, config)
    whole = go_on(tiny, config, made).attempts[0]
    spot = next(t for t in whole.changed if whole.token_ids[t] not in made.attempts[0].token_ids)
    end = whole.token_ids[spot]
    first = whole.token_ids.index(end)
    monkeypatch.setattr(tiny, "eos_token_ids", frozenset({end}))
    ended = go_on(tiny, config, made)
    (attempt,) = ended.attempts
    assert attempt.token_ids == attempt.latent_token_ids == whole.token_ids[: first + 1]
    assert attempt.finish_reason == "stop"
    assert attempt.changed == sorted({*(t for t in whole.changed if t <= first), *range(first + 1, 10)})
    if kind == "independent":
        assert ended.usage.policy_forward_passes == 0
    # The latents behind the end have no token: they stay, and the search goes on.
    after = go_on(tiny, config, ended)
    before = latents_of(ended).values
    assert torch.equal(latents_of(after).values[first + 1 :], before[first + 1 :])
    assert not torch.equal(latents_of(after).values[: first + 1], before[: first + 1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_deadline_leaves_what_there_is(tiny: Backbone, kind: str):
    config = settings(latents=kind, learning_rate=1.0)
    made = draft(tiny, QUESTION, config)
    (cut,) = draft(tiny, QUESTION, config, deadline=time.monotonic() - 1).attempts
    assert (cut.token_ids, cut.finish_reason) == (made.attempts[0].token_ids[:1], "seconds")
    whole = go_on(tiny, config, made).attempts[0]
    late = go_on(tiny, config, made, deadline=time.monotonic() - 1)
    (attempt,) = late.attempts
    assert attempt.finish_reason == "seconds"
    assert len(attempt.token_ids) < 20
    assert attempt.token_ids == whole.token_ids[: len(attempt.token_ids)]
    assert latents_of(go_on(tiny, config, late)).step == 2


def test_tokens_are_told_as_they_are_written(tiny: Backbone):
    told: list[int] = []
    made = draft(tiny, QUESTION, settings(), on_token=told.append)
    assert told == made.attempts[0].token_ids


def test_without_latents_there_is_nothing_to_refine(tiny: Backbone):
    made = draft(tiny, QUESTION, settings(fraction=0.01))
    with pytest.raises(InputError, match=r"no latent to move.*raise it"):
        go_on(tiny, settings(), made)


def test_latents_move_only_on_a_verdict(tiny: Backbone):
    made = draft(tiny, QUESTION, settings())
    with pytest.raises(InputError, match=r"every sample needs a score.*verify"):
        refine(tiny, QUESTION, settings(), latents=made.latents, samples=made.attempts)


@pytest.mark.parametrize("question", ["", " \n\t"])
def test_an_empty_question_is_refused(tiny: Backbone, question: str):
    with pytest.raises(InputError, match="the question is empty"):
        draft(tiny, question, settings())


def test_latents_that_are_no_numbers_are_an_error(tiny: Backbone):
    made = draft(tiny, QUESTION, settings())
    latents = latents_of(made)
    latents.values[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="at step 1; lower learning_rate"):
        go_on(tiny, settings(), replace(made, latents=latents.to_bytes()))


def test_a_search_is_charged_with_its_prompt_once_whether_or_not_it_was_kept():
    config = settings(max_new_tokens=8)
    model, tokenizer = tiny_backbone().model, tiny_backbone().tokenizer
    kept, never = (
        Backbone.from_model(model, tokenizer, decoding=DecodingOptions(speculate=False, reuse=reuse))
        for reuse in (True, False)
    )
    prompt = len(prompt_token_ids(kept, QUESTION, config))
    costs = []
    for backbone in (kept, kept, never):
        step = draft(backbone, QUESTION, config)
        costs.append(replace(step.usage, policy_seconds=0.0))
        written = step.usage.policy_tokens
        # The last token is written, but not read again.
        assert step.usage.policy_computed_tokens == prompt + written - 1
        assert step.usage.policy_forward_passes == written
        assert go_on(backbone, config, step).usage.policy_computed_tokens < prompt
    assert costs[0] == costs[1] == costs[2]
