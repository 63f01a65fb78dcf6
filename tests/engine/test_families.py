"""Families of models: every one writes, token for token, what a plain computation without a cache writes.

The oracle knows nothing of an architecture (`tests/support/naive_search.py`), so a new family is one line.
"""

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.search import draft, refine
from latentseek_agents.testing import tiny_backbone
from tests.support import naive_search
from tests.support.batch_decoding import fresh, model_decoder

# Whether rows share forward passes; else they are decoded one after another.
FAMILIES = {
    "qwen3_5_text": False,
    "qwen3_5_moe_text": False,
    "qwen3_next": False,
    "gemma3n_text": True,
    "gemma4_text": True,
    "llama4_text": False,
    "gpt_oss": False,
    "granitemoehybrid": False,
    "lfm2": False,
    "mamba2": False,
    "nemotron_h": False,
    "deepseek_v3": True,
    "glm4_moe": True,
    "phi3": True,  # Phi-4 and Phi-4-mini as well
    "smollm3": True,
    "olmo3": True,
    "ministral3": True,
    "rwkv": False,
    "cohere2": True,
    "mixtral": True,
    "jamba": False,
    "minimax": False,
    "minicpm3": True,
    "mllama": True,
    "olmo_hybrid": False,
    "deepseek_v4": False,
    "kimi_linear": False,
    "falcon_h1": False,
    "bamba": False,
    "zamba2": False,
    **dict.fromkeys(("Llama", "Qwen2", "Qwen3", "Mistral", "Gemma2", "Gemma3", "Granite", "GPT2"), True),
}
# What scales or caps logits, where the tiny configuration has a factor of one.
SCALES: dict[str, dict[str, Any]] = {
    "granitemoehybrid": {"logits_scaling": 4.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "cohere2": {"logit_scale": 0.25},
    "gemma4_text": {"final_logit_softcapping": 5.0},
    "gemma3n_text": {"final_logit_softcapping": 5.0},
}
PROMPT = [3 + (41 * i) % 250 for i in range(22)]
LIMIT = 6


@functools.cache
def _backbone(name: str) -> Backbone:
    return tiny_backbone(name, **SCALES.get(name, {}))


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> tuple[str, Backbone]:
    """A tiny random model of each family, with a name."""
    return request.param, _backbone(request.param)


def settings(**changes: Any) -> LatentSeekConfig:
    given = {"prompt": str, "max_new_tokens": LIMIT, "fraction": 0.5, "learning_rate": 0.5}
    return LatentSeekConfig(**given | changes)


@pytest.mark.parametrize("kind", ["independent", "consistent"])
def test_a_draft_and_its_refinement_are_those_of_a_plain_computation(family: tuple[str, Backbone], kind: str):
    name, backbone = family
    config = settings(latents=kind, learning_rate=2.0 if name.startswith("gemma") else 0.5)
    expected = naive_search.search(
        backbone.model,
        backbone.encode_prompt("2 + 2?"),
        consistent=kind == "consistent",
        scores=[-1.0],
        limit=LIMIT,
        fraction=0.5,
        learning_rate=config.learning_rate,
        ends=backbone.eos_token_ids,
    )
    first = draft(backbone, "2 + 2?", config)
    judged = [replace(attempt, score=-1.0, passed=False) for attempt in first.attempts]
    second = refine(backbone, "2 + 2?", config, latents=first.latents, samples=judged)
    assert [first.attempts[0].token_ids, second.attempts[0].token_ids] == expected
    assert expected[0] != expected[1], "nothing changed: the test shows nothing"


def generated(model: Any, prompt: list[int], count: int) -> list[int]:
    """What the model's own ``generate`` writes, and nothing that a family forces or forbids by default."""
    config = GenerationConfig(pad_token_id=0, max_new_tokens=count, do_sample=False)
    ids = torch.tensor([prompt])
    given: dict[str, Any] = {"attention_mask": torch.ones_like(ids), "generation_config": config}
    written: list[int] = model.generate(ids, **given)[0, len(prompt) :].tolist()
    return written


def test_there_are_enough_families():
    assert len(FAMILIES) >= 25


def test_eight_together_are_eight_alone(family: tuple[str, Backbone]):
    name, backbone = family
    requests = [
        DecodeRequest(
            prompt_ids=PROMPT[i // 4 :],
            forced_ids=[7 + i, 9][: 2 * (i % 2)],
            max_new_tokens=3,
            end_token_ids=frozenset(),
            temperature=float(i == 5),
        )
        for i in range(8)
    ]
    together = decode(backbone, requests)
    lonely = fresh(backbone, reuse=False)
    alone = [decode(lonely, [one])[0] for one in requests]
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]
    greedy, _ = naive_search.greedy(backbone.model, PROMPT, [], 3)
    assert together[0].token_ids == greedy == generated(backbone.model, PROMPT, 3)
    assert (model_decoder(backbone).packed is not None) is FAMILIES[name]
