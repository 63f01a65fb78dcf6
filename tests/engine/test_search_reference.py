"""The search equals a plain re-computation, in every architecture, from any state, in any mode and thread."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.latents import Latents
from latentseek_agents.engine.search import Step, draft, refine
from latentseek_agents.testing import tiny_backbone, tiny_model
from latentseek_agents.verdict import Attempt
from tests.support.naive_decoding import greedy, head

QUESTION = "2 + 2?"
SCORES = [-1.0, -0.5, -0.75]
KINDS = ["independent", "consistent"]


def settings(**changes: Any) -> LatentSeekConfig:
    return LatentSeekConfig(
        **{"prompt": str, "max_new_tokens": 10, "fraction": 0.5, "learning_rate": 0.3} | changes
    )


def rounds(backbone: Backbone, config: LatentSeekConfig, scores: Sequence[float] = SCORES) -> list[Step]:
    """A draft and one refinement per score, as the graph makes them: the history handed on."""
    made = [draft(backbone, QUESTION, config)]
    history: list[Attempt] = []
    for score in scores:
        samples = [replace(attempt, score=score, passed=False) for attempt in made[-1].attempts]
        history.append(samples[0])
        made.append(
            refine(backbone, QUESTION, config, latents=made[-1].latents, samples=samples, history=history)
        )
    return made


def outcome(made: list[Step]) -> list[Any]:
    return [([attempt.to_dict() for attempt in one.attempts], one.latents) for one in made]


def naive(backbone: Backbone, config: LatentSeekConfig) -> tuple[list[list[int]], torch.Tensor]:
    """Completions of the draft and of each iteration, and the last latents; no cache, nothing remembered."""
    model, ends = backbone.model, backbone.eos_token_ids
    prompt = backbone.encode_prompt(QUESTION)
    answer, hidden = greedy(model, prompt, [], config.max_new_tokens, ends)
    done = [answer]
    start, m = int(config.start_fraction * len(answer)), int(config.fraction * len(answer))
    opening, hidden = answer[:start], hidden[start : start + m]
    consistent = config.latents == "consistent"
    variable = torch.nn.Parameter(torch.zeros(m, 32) if consistent else hidden.clone())
    optimizer = torch.optim.Adam([variable], lr=config.learning_rate)
    for score in SCORES:
        optimizer.zero_grad()
        before, tokens = variable.detach().clone(), answer[start : start + m]
        count = len(tokens)
        z = variable[:count] + hidden[:count] if consistent else variable[:count]
        chosen = torch.log_softmax(head(model, z), -1)[range(count), tokens]
        (-score * chosen.sum()).backward()
        optimizer.step()
        with torch.no_grad():
            variable[count:] = before[count:]
            given = [] if consistent else until_end(head(model, variable).argmax(-1).tolist(), ends)
        if given and given[-1] in ends:
            answer = opening + given
        else:
            room = config.max_new_tokens - start - len(given)
            offsets = torch.cat([torch.zeros(start, 32), variable.detach()]) if consistent else None
            answer, hidden = greedy(model, prompt, opening + given, room, ends, offsets)
        done.append(answer)
    return done, variable.detach()


def until_end(tokens: list[int], ends: frozenset[int]) -> list[int]:
    return next((tokens[: t + 1] for t, token in enumerate(tokens) if token in ends), tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_search_equals_a_plain_computation(any_backbone: Backbone, kind: str):
    scale = {"Gemma2": 4.0, "Gemma3": 4.0}.get(type(any_backbone.model).__name__[:6], 1.0)
    config = settings(latents=kind, learning_rate=0.3 * scale)
    expected, variable = naive(any_backbone, config)
    made = rounds(any_backbone, config)
    assert [one.attempts[0].token_ids for one in made] == expected
    assert len({tuple(tokens) for tokens in expected}) > 1, "nothing changed: the test shows nothing"
    close = torch.isclose(Latents.from_bytes(made[-1].latents).values, variable, rtol=1e-2, atol=1e-3)
    # Adam's first steps follow the sign of the gradient: where it is all but 0, noise decides.
    assert close.float().mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_search_from_later_in_the_answer_equals_a_plain_computation(tiny: Backbone, kind: str):
    config = settings(latents=kind, start_fraction=0.3, learning_rate=1.0)
    expected, variable = naive(tiny, config)
    made = rounds(tiny, config)
    assert [one.attempts[0].token_ids for one in made] == expected
    assert len({tuple(tokens) for tokens in expected}) > 1, "nothing changed: the test shows nothing"
    close = torch.isclose(Latents.from_bytes(made[-1].latents).values, variable, rtol=1e-2, atol=1e-3)
    assert close.float().mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_kept_are_those_of_the_tokens_written(tiny: Backbone, kind: str):
    config = settings(latents=kind)
    for one in rounds(tiny, config):
        latents = Latents.from_bytes(one.latents)
        tokens = one.attempts[0].latent_token_ids
        assert tiny.logits(latents.policy_inputs(1)[0]).argmax(-1).tolist() == tokens


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampled", [False, True])
def test_stored_and_resumed_in_another_process_is_the_same(kind: str, sampled: bool):
    config = settings(latents=kind)
    if sampled:
        config = config.replace(
            num_samples=2, temperature=1.0, baseline="mean", continuation_temperature=0.5, seed=3
        )
    straight = rounds(tiny_backbone("Mistral"), config)
    made = draft(tiny_backbone("Mistral"), QUESTION, config)
    history: list[dict[str, Any]] = []
    for index, score in enumerate(SCORES, 1):
        samples = [replace(attempt, score=score, passed=False) for attempt in made.attempts]
        history.append(samples[0].to_dict())
        # A fresh backbone, and nothing handed over but plain values and bytes.
        made = refine(
            tiny_backbone("Mistral"),
            QUESTION,
            config,
            latents=bytes(bytearray(made.latents)),
            samples=[Attempt.from_dict(sample.to_dict()) for sample in samples],
            history=[Attempt.from_dict(entry) for entry in history],
        )
        assert outcome([made]) == outcome([straight[index]])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_grad_mode_does_not_matter(tiny: Backbone, kind: str, mode: Any):
    config = settings(latents=kind, num_samples=2, temperature=0.5, max_new_tokens=6)
    expected = outcome(rounds(tiny, config, SCORES[:2]))
    with mode():
        backbone = Backbone.from_model(tiny.model, tiny.tokenizer)
        assert outcome(rounds(backbone, config, SCORES[:2])) == expected
    # What was cached inside the mode serves outside.
    assert outcome(rounds(backbone, config, SCORES[:1])) == expected[:2]


def test_threads_do_not_matter():
    backbone = tiny_backbone("Mistral")
    configs = [
        settings(
            latents=KINDS[i % 2], temperature=float(i % 3), learning_rate=0.1 * (i + 1), max_new_tokens=8
        )
        for i in range(8)
    ]
    alone = [outcome(rounds(tiny_backbone("Mistral"), config, SCORES[:2])) for config in configs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda config: outcome(rounds(backbone, config, SCORES[:2])), configs))
    for got, expected in zip(together, alone, strict=True):
        assert [attempts for attempts, _ in got] == [attempts for attempts, _ in expected]
        # Hidden states that were computed in other company differ in rounding.
        for (_, latents), (_, wanted) in zip(got, expected, strict=True):
            torch.testing.assert_close(
                Latents.from_bytes(latents).values, Latents.from_bytes(wanted).values, rtol=1e-3, atol=1e-4
            )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("continuation", [0.0, 0.9])
def test_samples_are_several_and_follow_from_the_seed(tiny: Backbone, kind: str, continuation: float):
    config = settings(
        latents=kind, num_samples=3, temperature=1.5, continuation_temperature=continuation, max_new_tokens=8
    )
    first = rounds(tiny, config)
    torch.manual_seed(99)
    assert outcome(rounds(tiny, config)) == outcome(first)
    assert outcome(rounds(tiny, config.replace(seed=1), SCORES[:1])) != outcome(first[:2])
    assert [len(one.attempts) for one in first] == [1, 3, 3, 3]
    for number, one in enumerate(first[1:], 1):
        assert {attempt.iteration for attempt in one.attempts} == {number}
        assert len({tuple(attempt.token_ids) for attempt in one.attempts}) > 1
        assert all(len(attempt.token_ids) <= 8 for attempt in one.attempts)
    # The draft is no sample of the policy, so that no step is made on it.
    assert [Latents.from_bytes(one.latents).step for one in first] == [0, 0, 1, 2]


def test_the_step_on_samples_is_the_documented_estimate(tiny: Backbone):
    config = settings(num_samples=3, temperature=0.7, baseline="mean")
    made = draft(tiny, QUESTION, config)
    first = [replace(made.attempts[0], score=-1.0)]
    drawn = refine(tiny, QUESTION, config, latents=made.latents, samples=first)
    scores = [-1.0, -0.2, -0.6]
    samples = [replace(attempt, score=score) for attempt, score in zip(drawn.attempts, scores, strict=True)]
    moved = refine(tiny, QUESTION, config, latents=drawn.latents, samples=samples)
    parameter = torch.nn.Parameter(Latents.from_bytes(made.latents).values.clone())
    logits = torch.log_softmax(head(tiny.model, parameter) / 0.7, -1)
    total = torch.zeros(())
    for sample, advantage in zip(samples, [-0.6, 0.6, 0.0], strict=True):
        tokens = sample.latent_token_ids
        total = total + advantage * logits[range(len(tokens)), tokens].sum() / 3
    (-total).backward()
    torch.optim.Adam([parameter], lr=0.3).step()
    torch.testing.assert_close(
        Latents.from_bytes(moved.latents).values, parameter.detach(), rtol=1e-3, atol=1e-4
    )


def test_continuations_are_written_anew_at_a_temperature(tiny: Backbone):
    config = settings(continuation_temperature=1.0, learning_rate=1e-6)
    made = rounds(tiny, config)
    assert len({tuple(one.attempts[0].token_ids) for one in made}) == 4
    assert len({tuple(one.attempts[0].latent_token_ids) for one in made}) == 1
    assert all(one.attempts[0].score is None for one in made)


def test_the_release_writes_again_what_a_draft_ended_otherwise():
    backbone = tiny_backbone()
    config = LatentSeekConfig.paper(
        prompt=str, max_draft_tokens=8, max_new_tokens=16, fraction=0.5, learning_rate=1e-6
    )
    made = rounds(backbone, config)
    # T = 9, m = 4: the continuation has max_new_tokens + 1 tokens, however long the draft was.
    assert [len(one.attempts[0].token_ids) for one in made] == [9, 21, 21, 21]
    assert made[2].usage.policy_forward_passes == 0
    assert made[2].attempts[0].score is None


def test_a_search_on_other_weights_differs():
    config = settings()
    others = Backbone.from_model(tiny_model(seed=1), tiny_backbone().tokenizer)
    assert outcome(rounds(others, config, [])) != outcome(rounds(tiny_backbone(), config, []))
