"""Our processor for the V2 model runner, which needs a GPU: called as that calls it, with its types."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.engine._vllm.head import Head
from latentseek_agents.engine._vllm.processors import batched_processor
from latentseek_agents.engine._vllm.row_logits import RequestRow, RowLogits
from latentseek_agents.testing import tiny_backbone
from tests.support.batch_decoding import request, text


@pytest.fixture
def rows() -> RowLogits:
    made = RowLogits()
    made.head = Head(tiny_backbone().model.lm_head.weight)
    return made


def context(slots: list[int], lengths: list[int]) -> Any:
    """As the runner makes it without speculative decoding; the lengths of a padded batch end with zeros."""
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext

    mapping = np.array(slots, dtype=np.intp)
    return LogitsContext(
        expanded_idx_mapping=torch.from_numpy(mapping).int(),
        idx_mapping=torch.from_numpy(mapping).int(),
        idx_mapping_np=mapping,
        expanded_local_pos=torch.zeros(len(slots), dtype=torch.int32),
        input_ids=torch.zeros(len(slots), dtype=torch.int32),
        pos=torch.tensor(lengths) - 1,
        seq_lens_upper_bound_np=np.array([*lengths, 0, 0], dtype=np.int32),
    )


def params(rows: RowLogits, row: RequestRow) -> Any:
    return SimpleNamespace(extra_args=rows.add(row))


def asked(seed: int, **changes: Any) -> DecodeRequest:
    offsets = 3.0 * torch.randn(6, 32, generator=torch.Generator().manual_seed(seed))
    return request(prompt_ids=text(10 + seed, seed), offsets=offsets, temperature=1.0, seed=seed, **changes)


def test_it_is_what_the_runner_takes(rows: RowLogits):
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor
    from vllm.v1.worker.gpu.sample.logits_processor.loader import (
        build_custom_logits_processors_params_validator,
    )

    made = batched_processor(rows)
    assert issubclass(made, LogitsProcessor)
    build_custom_logits_processors_params_validator([made])(SimpleNamespace(extra_args={"latentseek": 1}))


def test_requests_in_changing_slots_write_what_our_decoder_writes(rows: RowLogits):
    """Rows change places in every step, slots are used again, and one token is computed twice."""
    backbone = tiny_backbone()
    processor = batched_processor(rows)(None, None)
    requests = [asked(0), asked(1, forced_ids=text(3, 9)), request(prompt_ids=text(9, 4), states=0), asked(2)]
    states = [RequestRow(one) for one in requests]
    ids = [[*one.prompt_ids, *one.forced_ids] for one in requests]
    expected = [decode(backbone, [one])[0] for one in requests]
    slots: dict[int, int] = {}
    for slot, number in ((5, 0), (2, 1), (7, 2)):
        assert processor.add_request(slot, params(rows, states[number])) is (number != 2)
        slots[slot] = number
    for step in range(24):
        if step == 12:  # the first three are finished; the last takes a slot of theirs
            slots = {2: 3}
            assert processor.add_request(2, params(rows, states[3]))
        order = list(slots)[:: -1 if step % 2 else 1]
        lengths = [len(ids[slots[slot]]) for slot in order]
        with torch.no_grad():
            found: Any = [
                backbone.model(torch.tensor([ids[slots[slot]]])).logits[0, -2:].float() for slot in order
            ]
        if step % 5 == 4:  # dropped from the cache, and computed again
            processor.apply(torch.stack([two[0] for two in found]), context(order, [n - 1 for n in lengths]))
        logits = torch.stack([two[1] for two in found])
        chosen = processor.apply(logits, context(order, lengths)).argmax(dim=-1).tolist()
        for slot, token in zip(order, chosen, strict=True):
            ids[slots[slot]].append(token)
    for number, one in enumerate(requests):
        written: Any = ids[number][len(one.prompt_ids) :]
        assert written == expected[number].token_ids
        if number != 2:
            found = states[number].hidden(rows.loaded_head, 12)
            torch.testing.assert_close(found, expected[number].hidden, rtol=1e-3, atol=1e-3)


def test_a_prompt_that_is_half_read_is_left_alone(rows: RowLogits):
    processor = batched_processor(rows)(None, None)
    assert processor.add_request(0, params(rows, RequestRow(asked(0))))
    logits = torch.randn(1, 259)
    before = logits.clone()
    processor.apply(logits, context([0], [4]))
    assert torch.equal(logits, before)


def test_what_is_not_ours_is_left_alone(rows: RowLogits):
    processor = batched_processor(rows)(None, None)
    assert not processor.add_request(0, SimpleNamespace(extra_args=None))
    assert not processor.add_request(1, SimpleNamespace(extra_args={"other": 1}))
    logits = torch.randn(2, 259)
    assert processor.apply(logits, context([0, 1], [4, 9])) is logits


def test_a_slot_that_another_request_takes_is_no_longer_ours(rows: RowLogits):
    processor = batched_processor(rows)(None, None)
    assert processor.add_request(0, params(rows, RequestRow(asked(0))))
    assert not processor.add_request(0, SimpleNamespace(extra_args=None))
    logits = torch.randn(1, 259)
    before = logits.clone()
    assert torch.equal(processor.apply(logits, context([0], [10])), before)


def test_a_finished_request_keeps_nothing_in_its_slot(rows: RowLogits):
    processor = batched_processor(rows)(None, None)
    row = RequestRow(asked(0))
    given = params(rows, row)
    assert processor.add_request(0, given)
    processor.apply(torch.randn(1, 259), context([0], [row.prompt_length]))
    assert list(row.moments) == [0]
    rows.remove(given.extra_args)
    assert not row.moments
    logits = torch.randn(1, 259)
    before = logits.clone()
    assert torch.equal(processor.apply(logits, context([0], [row.prompt_length + 1])), before)


def test_a_backbone_that_is_gone_is_not_kept(rows: RowLogits):
    processor = batched_processor(rows)(None, None)
    extra = params(rows, RequestRow(asked(0)))
    processor.add_request(0, extra)
    del rows
    logits = torch.randn(1, 259)
    assert processor.apply(logits, context([0], [10])) is logits
