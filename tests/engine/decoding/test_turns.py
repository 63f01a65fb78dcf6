"""Several requests at once of models with caches of their own: each is written as it is alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode
from latentseek_agents.engine._decoding.turns import TurnDecoder
from latentseek_agents.engine._model_cache import joined, may_be_joined
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.cancellation import Cancelled, stopped_by
from latentseek_agents.engine.policy import Policy
from latentseek_agents.errors import NonFiniteError
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer
from tests.support.batch_decoding import fresh, model_decoder, request, text

# States alone, beside keys and values, convolutions; a class of its own, mixed rows, nothing, windows.
JOINING = ["mamba2", "qwen3_5_text", "granitemoehybrid", "lfm2", "nemotron_h", "jamba"]
TAKING_TURNS = ["minimax", "rwkv", "openai-gpt", "gpt_oss"]


def turns_of(backbone: Backbone) -> TurnDecoder:
    decoder = model_decoder(backbone)
    assert decoder.packed is None
    return decoder._in_turn


def requests(**changes: Any) -> list[DecodeRequest]:
    """Prompts of several lengths, some the same, with given tokens, temperatures and ends of their own."""
    prompts = [text(20), text(7, 1), text(33, 2), text(20), text(12, 3), text(7, 4)]
    return [
        request(
            **{
                "prompt_ids": prompt,
                "forced_ids": [5 + i, 6, 7][: i % 4],
                "max_new_tokens": 2 + (5 * i) % 7,
                "temperature": float(i == 4),
                "seed": i,
            }
            | changes
        )
        for i, prompt in enumerate(prompts)
    ]


@pytest.mark.parametrize("kind", [*JOINING, *TAKING_TURNS])
@pytest.mark.parametrize("reuse", [True, False])
def test_requests_together_are_those_of_each_alone(kind: str, reuse: bool):
    made = tiny_backbone(kind)
    backbone, lonely = fresh(made, reuse=reuse), fresh(made, batch=False)
    offsets = 0.3 * torch.randn(4, 32, generator=torch.Generator().manual_seed(1))
    for asked in (requests(), requests(offsets=offsets)):
        for one, alone in zip(decode(backbone, asked), decode(lonely, asked), strict=True):
            assert (one.token_ids, one.finish_reason) == (alone.token_ids, alone.finish_reason)
            assert one.forward_passes - one.prompt_passes == alone.forward_passes - alone.prompt_passes
            torch.testing.assert_close(one.hidden, alone.hidden, rtol=1e-3, atol=1e-3)
    turns = turns_of(backbone)
    assert backbone.policy.joins_prompts is (kind in JOINING)
    assert (turns.most_rows == 6) is (kind in JOINING)


@pytest.mark.parametrize("kind", ["qwen3_5_text", "rwkv"])
def test_callers_in_threads_share_passes(kind: str):
    backbone = tiny_backbone(kind)
    asked = [request(prompt_ids=text(5 + 3 * i, i), max_new_tokens=30) for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda one: decode(backbone, [one])[0].token_ids, asked))
    lonely = fresh(backbone, batch=False)
    assert together == [decode(lonely, [one])[0].token_ids for one in asked]
    turns = turns_of(backbone)
    if kind == "qwen3_5_text":
        assert turns.most_rows > 1
        assert turns.passes < 6 * 29
    else:
        assert (turns.most_rows, turns.passes) == (1, 6 * 29)


def test_an_error_of_one_caller_is_its_own():
    backbone = tiny_backbone("qwen3_5_text")
    plain = [completion.token_ids for completion in decode(fresh(backbone), requests())]
    poison = torch.full((3, 32), float("nan"))
    barrier = threading.Barrier(2)

    def fail() -> str:
        barrier.wait()
        with pytest.raises(NonFiniteError) as raised:
            decode(backbone, [request(prompt_ids=text(9), max_new_tokens=30, offsets=poison)])
        return str(raised.value)

    def go_on() -> list[list[int]]:
        barrier.wait()
        return [completion.token_ids for completion in decode(backbone, requests())]

    with ThreadPoolExecutor(2) as pool:
        failed, written = pool.submit(fail), pool.submit(go_on)
        assert "logits at token 0" in failed.result()
        assert written.result() == plain


def test_a_callback_that_fails_ends_its_call_alone():
    backbone = tiny_backbone("mamba2")
    expected = decode(fresh(backbone), requests())

    def fail(token: int) -> None:
        raise KeyError(token)

    with ThreadPoolExecutor(2) as pool:
        failed = pool.submit(decode, backbone, [request(max_new_tokens=200, on_token=fail)])
        written = pool.submit(decode, backbone, requests())
        with pytest.raises(KeyError):
            failed.result()
        assert [one.token_ids for one in written.result()] == [one.token_ids for one in expected]


@pytest.mark.parametrize("kind", ["qwen3_5_text", "minimax"])
def test_a_cancelled_caller_leaves_and_the_others_go_on(kind: str):
    backbone, stop = tiny_backbone(kind), threading.Event()
    long = request(prompt_ids=text(9), max_new_tokens=60)
    told: list[int] = []

    def hear(token: int) -> None:
        told.append(token)
        if len(told) == 3:
            stop.set()

    def leave() -> None:
        with stopped_by(stop), pytest.raises(Cancelled):
            decode(backbone, [request(max_new_tokens=500, on_token=hear)])

    with ThreadPoolExecutor(2) as pool:
        left, stays = pool.submit(leave), pool.submit(decode, backbone, [long])
        left.result()
        assert stays.result()[0].token_ids == decode(fresh(backbone), [long])[0].token_ids
    assert len(told) == 3
    assert turns_of(backbone)._stacks == []


@pytest.mark.parametrize(("options", "most"), [({"max_rows": 2}, 2), ({"max_cached_tokens": 70}, 2), ({}, 6)])
def test_no_more_texts_take_part_than_there_is_room_for(options: dict[str, Any], most: int):
    made = tiny_backbone("qwen3_5_text")
    backbone = Backbone.from_model(made.model, made.tokenizer, decoding=DecodingOptions(**options))
    expected = decode(fresh(made), requests())
    assert [one.token_ids for one in decode(backbone, requests())] == [one.token_ids for one in expected]
    assert turns_of(backbone).most_rows == most


def test_a_model_that_padding_changes_takes_turns(monkeypatch: pytest.MonkeyPatch):
    backbone = tiny_backbone("qwen3_5_text")
    inputs = type(backbone.policy.new_cache()).inputs

    def without_mask(self: Any, token_ids: torch.Tensor) -> dict[str, Any]:
        return {name: value for name, value in inputs(self, token_ids).items() if name != "attention_mask"}

    monkeypatch.setattr(type(backbone.policy.new_cache()), "inputs", without_mask)
    assert not backbone.policy.joins_prompts
    together = decode(backbone, requests())
    monkeypatch.undo()
    assert [one.token_ids for one in together] == [
        one.token_ids for one in decode(fresh(backbone), requests())
    ]


def test_int8_weights_give_each_the_same_bits_in_any_company():
    backbone = Backbone.from_model(tiny_model("qwen3_5_text"), tiny_tokenizer(), dtype="int8")
    together = decode(backbone, requests())
    for one, asked in zip(together, requests(), strict=True):
        (alone,) = decode(fresh(backbone), [asked])
        assert one.token_ids == alone.token_ids
        assert torch.equal(one.hidden, alone.hidden)
    assert turns_of(backbone).most_rows == 1


def test_rotary_positions_that_depend_on_the_longest_text_are_not_joined(monkeypatch: pytest.MonkeyPatch):
    policy: Policy = tiny_backbone("qwen3_5_text").policy
    monkeypatch.setattr("latentseek_agents.engine.policy.depends_on_longest", lambda _: True)
    assert not policy.joins_prompts


def test_keys_that_are_kept_by_their_rating_do_not_depend_on_padding():
    # As it is made, Doge rates all keys alike; with more than keep_window_size of them padding would choose.
    backbone = tiny_backbone("doge")
    ids = [3 + (41 * i) % 250 for i in range(30)]
    asked = [
        DecodeRequest(prompt_ids=ids[: 30 - 3 * i], max_new_tokens=8, end_token_ids=frozenset())
        for i in range(4)
    ]
    together = decode(backbone, asked)
    alone = [decode(fresh(backbone), [one])[0] for one in asked]
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]


def test_joined_caches_leave_their_parts_as_they_are():
    policy = tiny_backbone("qwen3_5_text").policy
    caches = [policy.new_cache() for _ in range(2)]
    for cache, count in zip(caches, (9, 4), strict=True):
        policy.layers(torch.tensor([text(count)]), cache)
    assert all(map(may_be_joined, caches))
    expected = [policy.layers(torch.tensor([[5]]), cache.fork()) for cache in caches]
    for _ in range(2):
        rows = joined([cache.fork() for cache in caches])
        got = policy.layers_of_rows(torch.tensor([[5], [5]]), rows)
        torch.testing.assert_close(got[:, 0], torch.cat(expected), rtol=1e-3, atol=1e-3)
    assert [cache.length for cache in caches] == [9, 4]
    with pytest.raises(TypeError, match="cannot be joined"):
        joined([tiny_backbone("rwkv").policy.new_cache()])
