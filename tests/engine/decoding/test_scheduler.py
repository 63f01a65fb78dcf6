"""Requests that share passes are answered as if each were alone, and share what they can."""

from typing import Any

import pytest
import torch
import transformers

from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode, scheduler
from latentseek_agents.engine._decoding.kv_cache import KeyValueStore
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer
from tests.support.batch_decoding import assert_naive, decoder_of, fresh, model_decoder, naive, request, text
from tests.support.naive_decoding import hidden_states


def mixed(backbone: Backbone) -> list[DecodeRequest]:
    """Everything that can differ between two rows; some prompts are longer than a sliding window of 16."""
    scale = hidden_states(backbone.model, text(20))[-1].abs().mean()
    offsets = scale * torch.randn(8, 32, generator=torch.Generator().manual_seed(1))
    plain, _ = naive(backbone, request())
    return [
        request(),
        request(end_token_ids=frozenset({plain[7]})),
        request(prompt_ids=text(3, 1), max_new_tokens=20),
        request(prompt_ids=text(75, 2), max_new_tokens=5, guess_ids=text(9)),
        request(forced_ids=plain[:6], max_new_tokens=4, guess_ids=plain),
        request(forced_ids=[*plain[:3], 9, 200], guess_ids=plain, reuse_completion=True),
        request(prompt_ids=text(33, 3), offsets=offsets, max_new_tokens=15, guess_ids=text(40, 5)),
        request(prompt_ids=text(16, 4), forced_ids=text(70, 5), offsets=offsets, max_new_tokens=3),
        request(offsets=offsets, forced_ids=plain[:2], guess_ids=plain),
        request(prompt_ids=text(5) * 4, max_new_tokens=1),
    ]


def assert_all_naive(backbone: Backbone, requests: list[DecodeRequest]) -> None:
    for asked, got in zip(requests, decode(backbone, requests), strict=True):
        assert_naive(backbone, asked, got)


def test_a_mixed_batch_is_written_token_for_token(any_backbone: Backbone):
    backbone = fresh(any_backbone)
    requests = mixed(backbone)
    assert_all_naive(backbone, requests)
    # Now prompts and a completion are there.
    assert_all_naive(backbone, requests[::-1])
    # Those for the same prompt waited until one of them had read it.
    assert decoder_of(backbone).most_rows >= 5


@pytest.mark.parametrize("architecture", ["Llama", "Gemma2"])
@pytest.mark.parametrize(
    "off",
    [
        {"batch": False},
        {"speculate": False},
        {"reuse": False},
        {"fast_linear": False},
        {"max_rows": 1},
        {"max_rows": 3, "max_cached_tokens": 100, "max_kept_tokens": 10},
    ],
    ids=str,
)
def test_no_option_shows_in_what_is_written(architecture: str, off: dict[str, Any]):
    backbone = fresh(tiny_backbone(architecture), **off)
    assert (model_decoder(backbone).packed is None) == (off == {"batch": False})
    requests = mixed(backbone)
    assert_all_naive(backbone, requests)
    assert_all_naive(backbone, requests)


@pytest.mark.parametrize("name", ["max_rows", "max_cached_tokens", "max_kept_tokens"])
def test_limits_below_one_are_refused(name: str):
    options: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigError, match=f"{name}=0: it must be at least 1"):
        DecodingOptions(**options)


def test_reading_in_parts_changes_nothing(any_backbone: Backbone, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scheduler, "_MOST_READ_AT_ONCE", 7)
    monkeypatch.setattr(scheduler, "_READING_BUDGET", 10)
    backbone = fresh(any_backbone)
    assert_all_naive(backbone, mixed(backbone))


def test_waiting_rows_take_the_places_of_those_that_are_done(tiny: Backbone):
    backbone = fresh(tiny, max_rows=2, speculate=False)
    # One long and six short ones: nobody waits for the long one.
    requests = [
        request(prompt_ids=text(10, i), max_new_tokens=limit) for i, limit in enumerate([15] + [2] * 6)
    ]
    assert_all_naive(backbone, requests)
    decoder = decoder_of(backbone)
    assert (decoder.most_rows, decoder.passes) == (2, 15)


def test_no_more_tokens_are_held_than_allowed(tiny: Backbone, monkeypatch: pytest.MonkeyPatch):
    held = []
    write = KeyValueStore.write

    def spy(self: KeyValueStore, *args: Any) -> Any:
        held.append(self.slots * self.positions)
        return write(self, *args)

    backbone = fresh(tiny, max_cached_tokens=90)
    decoder = decoder_of(backbone)
    monkeypatch.setattr(KeyValueStore, "write", spy)
    assert_all_naive(backbone, [request(prompt_ids=text(20, i), max_new_tokens=9) for i in range(7)])
    assert decoder.most_rows == 3
    assert max(held) <= 90
    # Larger than the whole budget; what it took is given back when others come.
    assert_all_naive(backbone, [request(prompt_ids=text(300), max_new_tokens=9)])
    held.clear()
    assert_all_naive(backbone, [request(prompt_ids=text(20, i), max_new_tokens=9) for i in range(10, 14)])
    assert max(held[4:]) <= 90  # once there are two


def test_a_request_beyond_the_budget_is_served_alone(tiny: Backbone):
    backbone = fresh(tiny, max_cached_tokens=30)
    requests = [request(prompt_ids=text(count, count)) for count in (5, 60, 6, 61, 7)]
    assert_all_naive(backbone, requests)
    assert decoder_of(backbone).most_rows == 1


@pytest.mark.parametrize("reuse", [True, False])
def test_a_prompt_that_several_want_is_read_once(tiny: Backbone, reuse: bool):
    backbone = fresh(tiny, speculate=False, reuse=reuse)
    requests = [request(prompt_ids=text(100), forced_ids=[i], max_new_tokens=4) for i in range(5)]
    completions = decode(backbone, requests)
    for asked, got in zip(requests, completions, strict=True):
        assert_naive(backbone, asked, got)
    # The forced token and all new ones but the last.
    assert sum(c.computed_tokens for c in completions) == (100 if reuse else 500) + 5 * 4
    assert decoder_of(backbone).passes == 5


def beginnings() -> list[list[int]]:
    """Prompts of 100 tokens whose first 80 are the same, and one of these alone."""
    return [*([*text(80), *text(20, seed)] for seed in range(1, 5)), text(80)]


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_common_beginning_is_read_once(any_backbone: Backbone, at_once: bool, reuse: bool):
    backbone = fresh(any_backbone, speculate=False, reuse=reuse)
    requests = [
        request(prompt_ids=ids, share_beginning=True, max_new_tokens=4, forced_ids=[7][: i % 2])
        for i, ids in enumerate(beginnings())
    ]
    if at_once:
        completions = decode(backbone, requests)
    else:
        completions = [decode(backbone, [asked])[0] for asked in requests]
    for asked, got in zip(requests, completions, strict=True):
        assert_naive(backbone, asked, got)
    written = sum(3 + len(asked.forced_ids) for asked in requests)
    read = [got.computed_tokens for got in completions]
    # The last token is read always.
    assert sum(read) - written == (100 + 3 * 20 + 1 if reuse else 480)


def test_a_beginning_is_shared_only_if_it_is_asked_for_and_long_enough(tiny: Backbone):
    backbone = fresh(tiny, speculate=False)

    def read(ids: list[int], **changes: Any) -> int:
        asked = request(prompt_ids=ids, max_new_tokens=1, **changes)
        (completion,) = decode(backbone, [asked])
        assert_naive(backbone, asked, completion)
        return completion.computed_tokens

    assert read([*text(80), 5]) == 81
    assert read([*text(80), 6]) == 81
    assert read([*text(20), *text(80, 9)], share_beginning=True) == 100
    assert read([*text(80), 7, 8], share_beginning=True) == 2
    assert read([*text(80), 7, 8], share_beginning=True) == 0
    # That of the turn before is the longest.
    assert read([*text(80), 7, 8, 9, 10, 11], share_beginning=True) == 3


def test_who_waits_for_a_prompt_holds_nobody_up(tiny: Backbone, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scheduler, "_MOST_READ_AT_ONCE", 8)
    order: list[str] = []
    backbone = fresh(tiny)
    requests = [
        request(prompt_ids=text(count), max_new_tokens=2, on_token=lambda _, name=name: order.append(name))
        for name, count in (("first", 80), ("same", 80), ("short", 5))
    ]
    decode(backbone, requests)
    assert order[:2] == ["short", "short"]
    assert sorted(order[2:4]) == ["first", "same"] or order[2:] == ["first", "first", "same", "same"]


def test_only_what_follows_the_first_change_is_read_again(any_backbone: Backbone):
    backbone = fresh(any_backbone)
    last = decode(backbone, [request(reuse_completion=True)])[0].token_ids

    def read(forced: list[int], reuse: bool = True) -> int:
        asked = request(forced_ids=forced, max_new_tokens=1, reuse_completion=reuse)
        (completion,) = decode(backbone, [asked])
        assert_naive(backbone, asked, completion)
        decode(backbone, [request(reuse_completion=True)])  # the one to be compared with next time
        return completion.computed_tokens

    changed = [*last[:5], (last[5] + 1) % 259, *last[6:]]
    assert read(changed) == 7
    assert read(changed, reuse=False) == 12
    # The last token is read always: what follows comes from its hidden state.
    assert read(last) == 1
    assert read(last[:8]) == 1
    assert read([*last, 7, 8]) == 3
    assert read([(last[0] + 1) % 259, *last[1:4]]) == 4


@pytest.mark.parametrize("end", range(1, 12))
def test_what_is_kept_of_a_completion_is_right_wherever_it_ended(tiny: Backbone, end: int):
    plain, _ = naive(tiny, request())
    end = plain.index(plain[end])  # where this token stands first
    backbone = fresh(tiny)
    ends = frozenset({plain[end]})
    (first,) = decode(
        backbone, [request(forced_ids=plain[:1], guess_ids=plain, end_token_ids=ends, reuse_completion=True)]
    )
    assert first.token_ids == plain[: max(end, 1) + 1] or end == 0
    asked = request(forced_ids=[*first.token_ids, 7], max_new_tokens=6, reuse_completion=True)
    (second,) = decode(backbone, [asked])
    assert_naive(backbone, asked, second)


def test_a_good_draft_saves_passes_and_a_bad_one_costs_none(any_backbone: Backbone):
    backbone = fresh(any_backbone)
    (plain,) = decode(fresh(any_backbone, speculate=False), [request(max_new_tokens=60)])
    assert plain.forward_passes == 60
    (same,) = decode(backbone, [request(max_new_tokens=60, guess_ids=plain.token_ids)])
    assert (same.token_ids, same.forward_passes <= 6) == (plain.token_ids, True)
    wrong = [(token + 1) % 259 for token in plain.token_ids]
    (other,) = decode(fresh(any_backbone), [request(max_new_tokens=60, guess_ids=wrong)])
    assert (other.token_ids, other.forward_passes <= 60) == (plain.token_ids, True)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_samples_do_not_depend_on_guesses(any_backbone: Backbone, temperature: float):
    offsets = torch.zeros(6, 32)
    asked = request(
        temperature=temperature, offsets=offsets, offset_temperature=1.5, seed=5, max_new_tokens=30
    )
    (plain,) = decode(fresh(any_backbone, speculate=False), [asked])
    drafted = DecodeRequest(**vars(asked) | {"guess_ids": plain.token_ids})
    (guessed,) = decode(fresh(any_backbone), [drafted])
    (alone,) = decode(fresh(any_backbone, batch=False), [asked])
    assert guessed.token_ids == alone.token_ids == plain.token_ids
    assert guessed.forward_passes < 10


@pytest.mark.parametrize("options", [{}, {"batch": False}], ids=str)
def test_what_cannot_be_continued_is_refused(tiny: Backbone, options: dict[str, Any]):
    backbone = fresh(tiny, **options)
    with pytest.raises(InputError, match="prompt without tokens"):
        decode(backbone, [request(prompt_ids=[])])
    with pytest.raises(InputError, match="prompt_ids has the token 259, but the model knows 0 to 258"):
        decode(backbone, [request(), request(prompt_ids=[1, 259])])
    with pytest.raises(InputError, match="forced_ids has the token -1"):
        decode(backbone, [request(forced_ids=[-1])])
    plain, _ = naive(tiny, request())
    assert decode(backbone, [request(guess_ids=[*plain[:4], 9999])])[0].token_ids == plain
    assert decode(backbone, []) == []


@pytest.mark.parametrize("options", [{}, {"batch": False}], ids=str)
@pytest.mark.parametrize("limit", [0, -1])
def test_nothing_to_write(tiny: Backbone, options: dict[str, Any], limit: int):
    done, other = decode(fresh(tiny, **options), [request(max_new_tokens=limit, forced_ids=[5]), request()])
    assert (done.token_ids, done.finish_reason, done.hidden.shape) == ([5], "length", (0, 32))
    assert other.new_tokens == 12


def unusual(name: str) -> Any:
    """Models whose rows would meet in a shared pass, or whose attention is told too little."""
    if name == "dynamic":
        rope = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}
        return tiny_model(rope_parameters=rope)
    config: Any
    sizes: dict[str, Any] = {"vocab_size": 259, "hidden_size": 32, "num_hidden_layers": 2}
    if name == "Bloom":
        config = transformers.BloomConfig(**sizes, n_head=4, initializer_range=0.3, eos_token_id=2)
    else:
        # Its sliding window is in the mask alone.
        config = transformers.Qwen2MoeConfig(
            **sizes,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
            num_experts=4,
            num_experts_per_tok=2,
            use_sliding_window=True,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
            initializer_range=0.3,
            eos_token_id=2,
        )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, f"{name}ForCausalLM")(config).eval()


@pytest.mark.parametrize("name", ["dynamic", "Bloom", "Qwen2Moe"])
def test_a_model_that_a_shared_pass_would_change_is_decoded_alone(name: str):
    backbone = Backbone.from_model(unusual(name), tiny_tokenizer())
    assert model_decoder(backbone).packed is None
    assert_all_naive(backbone, [request(), request(prompt_ids=text(7, 1), forced_ids=[5, 6]), request()])


def test_every_known_architecture_is_batched(any_backbone: Backbone):
    assert model_decoder(any_backbone).packed is not None
