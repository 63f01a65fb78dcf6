"""An attempt written anew from its first error on: what stays, what is written, which latents it leaves."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine import aimed
from latentseek_agents.engine.aimed import Aim, aim_at, rewrite
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.latents import Latents
from latentseek_agents.engine.search import Step, draft, prompt_token_ids, refine
from latentseek_agents.errors import ConfigError
from latentseek_agents.testing import tiny_backbone, tiny_model
from latentseek_agents.verdict import Attempt, Correction

QUESTION = "How many?"
TEXT = "In all 48 + 24 = 73 clips."
KINDS = ["independent", "consistent"]


def settings(**changes: Any) -> LatentSeekConfig:
    values = {
        "prompt": str,
        "max_new_tokens": 60,
        "fraction": 0.2,
        "learning_rate": 0.1,
        "aim": "first_error",
    }
    return LatentSeekConfig(**values | changes)


def written(backbone: Backbone, text: str = TEXT) -> Attempt:
    """An attempt as a model would have written it."""
    ids = [int(token) for token in backbone.tokenizer(text, add_special_tokens=False)["input_ids"]]
    ids.append(max(backbone.eos_token_ids))
    return Attempt(0, ids, ids[:4], [], text, "stop", score=-1.0, passed=False)


def corrected(text: str, stated: str, value: str) -> Correction:
    start = text.index(stated)
    return Correction(start, start + len(stated), stated, value)


def aim_of(backbone: Backbone, text: str, stated: str, value: str) -> Aim:
    aim = aim_at(backbone, written(backbone, text), corrected(text, stated, value))
    assert aim is not None
    return aim


def aimed_step(backbone: Backbone, config: LatentSeekConfig, **options: Any) -> Step:
    aim = aim_of(backbone, TEXT, "73", "72")
    return rewrite(backbone, QUESTION, config, previous=written(backbone), aim=aim, **options)


@pytest.mark.parametrize(
    ("text", "stated", "value", "kept", "added"),
    [
        (TEXT, "73", "72", "In all 48 + 24 = 7", "2 "),  # "7" is right; the blank ends the number
        (TEXT, "73", "7", "In all 48 + 24 = 7", " "),
        (TEXT, "73", "730", "In all 48 + 24 = 73", "0 "),
        ("1 + 1 = 3.", "3", "2", "1 + 1 = ", "2."),
        ("1 + 1 = 3.5 m", "3.5", "2", "1 + 1 = ", "2 "),
        ("1 + 1 = 3", "3", "2", "1 + 1 = ", "2"),
        ("2 * 3 = 5 + 2 = 7", "5 + 2", "6", "2 * 3 = ", "6 "),
        ("2 * 3 = 7=7", "7", "6", "2 * 3 = ", "6"),
        ("ü – 1 + 1 = 3 Äpfel", "3", "2", "ü – 1 + 1 = ", "2 "),
    ],
)
def test_a_correction_finds_its_tokens(
    tiny: Backbone, text: str, stated: str, value: str, kept: str, added: str
):
    aim = aim_of(tiny, text, stated, value)
    ids = written(tiny, text).token_ids
    assert tiny.decode(ids[: aim.kept]) == kept
    assert tiny.decode(aim.token_ids) == added


def _merging_backbone() -> Backbone:
    """A tokenizer with tokens of several characters, so that a value may begin within one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [("Ġ", "7"), ("Ġ7", "3"), ("7", "2"), ("3", "."), ("=", "Ġ"), ("Ġ", "=")]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet, *(a + b for a, b in pairs)]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(tokens[:3])
    build: Any = PreTrainedTokenizerFast
    tokenizer = build(tokenizer_object=core, pad_token=tokens[0], bos_token=tokens[1], eos_token=tokens[2])
    return Backbone.from_model(tiny_model(vocab_size=len(tokens)), tokenizer)


def test_a_value_may_begin_and_end_within_a_token():
    backbone = _merging_backbone()
    for text, stated, value in ((TEXT, "73", "72"), ("48 + 24 = 73.", "73", "72"), ("6 = 73.", "3", "4")):
        aim = aim_of(backbone, text, stated, value)
        ids = written(backbone, text).token_ids
        mended = text.replace(stated, value)
        assert mended.startswith(backbone.decode([*ids[: aim.kept], *aim.token_ids]))
        assert aim.token_ids[0] != ids[aim.kept]


def test_a_tokenizer_that_puts_a_blank_before_a_text():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<s>", "</s>", "▁", *(chr(number) for number in range(33, 127))]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    core.decoder = decoders.Metaspace(prepend_scheme="always", split=False)
    core.add_special_tokens(tokens[:2])
    build: Any = PreTrainedTokenizerFast
    tokenizer = build(tokenizer_object=core, bos_token=tokens[0], eos_token=tokens[1], pad_token=tokens[0])
    backbone = Backbone.from_model(tiny_model(vocab_size=len(tokens)), tokenizer)
    aim = aim_of(backbone, TEXT, "73", "72")
    ids = written(backbone).token_ids
    assert backbone.decode([*ids[: aim.kept], *aim.token_ids]) == "In all 48 + 24 = 72 "


pieces = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


@given(pieces, st.text("0123456789.", min_size=1, max_size=4), pieces, st.integers(0, 10**6))
def test_what_stands_before_stays_and_the_value_follows(before: str, stated: str, behind: str, value: int):
    backbone, text = _shared(), f"{before} {stated}{behind}"
    correction = Correction(len(before) + 1, len(before) + 1 + len(stated), stated, str(value))
    attempt = written(backbone, text)
    aim = aim_at(backbone, attempt, correction)
    if stated == str(value):
        assert aim is None
    elif aim is not None:
        result = backbone.decode([*attempt.token_ids[: aim.kept], *aim.token_ids])
        assert result.startswith(f"{before} {value}")
        assert attempt.token_ids[aim.kept : aim.kept + 1] != aim.token_ids[:1]
    else:  # nothing differs but what follows
        assert stated.startswith(str(value))


_BACKBONES: list[Backbone] = []


def _shared() -> Backbone:
    if not _BACKBONES:
        _BACKBONES.append(tiny_backbone())
    return _BACKBONES[0]


def test_what_cannot_be_aimed_at_is_left(tiny: Backbone):
    attempt = written(tiny)
    assert aim_at(tiny, attempt, Correction(17, 19, "99", "72")) is None  # the text says something else
    assert aim_at(tiny, attempt, Correction(17, 19, "73", "<|im_end|>")) is None  # no text, but a token
    assert aim_at(tiny, replace(attempt, text="another text 73"), Correction(13, 15, "73", "72")) is None
    again = replace(attempt, aimed_at={"character": 17, "token": 18})
    assert aim_at(tiny, again, Correction(17, 19, "73", "72")) is None
    further = replace(attempt, aimed_at={"character": 7, "token": 7})
    assert aim_at(tiny, further, Correction(17, 19, "73", "72")) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_is_what_the_model_writes_behind_the_value(tiny: Backbone, kind: str):
    config = settings(latents=kind)
    told: list[int] = []
    step = aimed_step(tiny, config, on_token=told.append)
    (attempt,) = step.attempts
    assert attempt.text.startswith("In all 48 + 24 = 72 ")
    kept = len("In all 48 + 24 = 7")
    # The obvious way: the whole sequence through the model for each token.
    ids = [*prompt_token_ids(tiny, QUESTION, config), *attempt.token_ids[: kept + 2]]
    naive: list[int] = []
    while len(naive) + kept + 2 < 60 and (not naive or naive[-1] not in tiny.eos_token_ids):
        naive.append(int(tiny.model(torch.tensor([ids + naive])).logits[0, -1].argmax()))
    assert attempt.token_ids[kept + 2 :] == naive
    assert told == attempt.token_ids[kept:]
    assert step.usage.policy_tokens == len(attempt.token_ids) - kept
    assert (attempt.iteration, attempt.latent_start, attempt.changed) == (1, kept, [0, 1])
    assert attempt.score is None
    shot = dict(attempt.aimed_at or {})
    assert shot.pop("steps") > 0
    assert shot == {"character": 17, "token": kept, "stated": "73", "value": "72", "reached": True}


@pytest.mark.parametrize("kind", KINDS)
def test_the_latents_at_the_value_lead_to_its_tokens(tiny: Backbone, kind: str):
    step = aimed_step(tiny, settings(latents=kind))
    (attempt,) = step.attempts
    latents = Latents.from_bytes(step.latents)
    # Those of the value, and as many behind it as a draft of that length has.
    assert len(latents.values) == 2 + int(0.2 * len(attempt.token_ids)) == len(attempt.latent_token_ids)
    assert (latents.pinned, latents.step) == (2, 0)
    z = latents.policy_inputs(1)[0]
    assert tiny.logits(z).argmax(-1).tolist() == attempt.latent_token_ids
    if kind == "consistent":  # behind the value nothing has moved
        assert latents.values[:2].abs().sum() > 0
        assert latents.values[2:].abs().sum() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_corrected_value_stays_while_what_follows_moves(tiny: Backbone, kind: str):
    config = settings(latents=kind, learning_rate=1.0)
    step = aimed_step(tiny, config)
    before = Latents.from_bytes(step.latents).values
    changed = False
    for _ in range(4):
        samples = [replace(attempt, score=-1.0, passed=False) for attempt in step.attempts]
        step = refine(tiny, QUESTION, config, latents=step.latents, samples=samples, history=samples)
        (attempt,) = step.attempts
        assert attempt.text.startswith("In all 48 + 24 = 72 ")
        assert attempt.aimed_at is None
        changed = changed or bool(attempt.changed)
    latents = Latents.from_bytes(step.latents)
    assert torch.equal(latents.values[:2], before[:2])
    assert not torch.equal(latents.values[2:], before[2:])
    assert changed


def test_a_value_that_is_not_reached_is_forced(tiny: Backbone, monkeypatch: pytest.MonkeyPatch):
    wanted = aimed_step(tiny, settings()).attempts[0]
    monkeypatch.setattr(aimed, "MOST_STEPS", 0)
    (attempt,) = aimed_step(tiny, settings()).attempts
    assert attempt.aimed_at is not None
    assert (attempt.aimed_at["reached"], attempt.aimed_at["steps"]) == (False, 0)
    assert attempt.token_ids == wanted.token_ids


def test_with_a_temperature_the_next_samples_come_from_the_aimed_latents(tiny: Backbone):
    config = settings(temperature=0.8, num_samples=3, max_new_tokens=40, fraction=0.5)
    step = aimed_step(tiny, config)
    assert len(step.attempts) == 1
    samples = [replace(attempt, score=-1.0, passed=False) for attempt in step.attempts]
    step = refine(tiny, QUESTION, config, latents=step.latents, samples=samples)
    assert len(step.attempts) == 3
    assert Latents.from_bytes(step.latents).step == 0  # the aimed attempt is no sample of them
    assert all(attempt.text.startswith("In all 48 + 24 = 72 ") for attempt in step.attempts)


def test_samples_leave_no_latents(tiny: Backbone):
    step = aimed_step(tiny, settings(proposals="samples"))
    assert step.latents == b""
    assert step.attempts[0].latent_token_ids == []
    assert step.attempts[0].aimed_at is not None


def test_without_latents_of_its_own_a_short_text_leaves_none(tiny: Backbone):
    assert aimed_step(tiny, settings(fraction=0.01)).latents == b""


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_every_time_and_in_another_process(kind: str):
    config = settings(latents=kind)
    first, fresh = tiny_backbone(), tiny_backbone()
    draft(first, QUESTION, config)  # what is kept of an earlier completion makes no difference
    one, other = aimed_step(first, config), aimed_step(fresh, config)
    assert one.attempts == other.attempts
    assert one.latents == other.latents != b""


def test_a_deadline_leaves_what_there_is(tiny: Backbone):
    (attempt,) = aimed_step(tiny, settings(), deadline=0.0).attempts
    assert attempt.finish_reason == "seconds"


def test_the_release_aims_at_nothing():
    with pytest.raises(ConfigError, match="no behaviour of the release"):
        LatentSeekConfig.paper(aim="first_error")


def test_latents_of_earlier_versions_are_not_pinned():
    from safetensors.torch import load, save

    latents = Latents.start(torch.ones(3, 4), "consistent")
    saved = load(latents.to_bytes())
    del saved["pinned"]
    assert Latents.from_bytes(save(saved)).pinned == 0
