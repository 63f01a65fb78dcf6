"""The embedded model in int8: from its GGUF file, and against its float32 weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from latentseek_agents import Backbone
from latentseek_agents.engine import loading
from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode
from latentseek_agents.engine._int8 import quantised_weight
from latentseek_agents.engine._int8_storage import _StoredWeights


@pytest.mark.model
def test_int8_from_the_file_is_int8_of_its_float_weights(smollm2: Backbone, monkeypatch: pytest.MonkeyPatch):
    folders: list[Path] = []
    real = loading._cache_entry

    def cache_entry(*given: Any) -> Path:
        folders.append(real(*given))
        return folders[-1]

    monkeypatch.setattr(loading, "_cache_entry", cache_entry)
    from_file = Backbone.embedded(dtype="int8", device="cpu")
    stored = _StoredWeights(folders[0])
    linear = {name: m for name, m in smollm2.model.named_modules() if type(m) is torch.nn.Linear}
    assert len(linear) == 30 * 7 + 1
    for name, module in linear.items():
        values, scales = stored.quantised(name, module)
        expected_values, expected_scales = quantised_weight(module.weight)
        assert torch.equal(values, expected_values)
        assert torch.equal(scales, expected_scales)
    in_memory = Backbone.from_model(smollm2.model, smollm2.tokenizer, dtype="int8")
    ids = torch.tensor([from_file.encode_prompt("What is 17 + 25?")])
    with torch.no_grad():
        first, second = (one.model(input_ids=ids).logits for one in (from_file, in_memory))
    assert torch.equal(first, second)


@pytest.mark.model
def test_a_row_has_the_same_bits_in_any_company(smollm2: Backbone):
    backbone = Backbone.from_model(
        smollm2.model, smollm2.tokenizer, dtype="int8", decoding=DecodingOptions(reuse=False)
    )
    texts = [f"Tom has {i} apples. {'He buys one more. ' * (i * 7 % 40)}How many?" for i in range(32)]
    requests = [
        DecodeRequest(prompt_ids=backbone.encode_prompt(text), max_new_tokens=6, end_token_ids=frozenset())
        for text in texts
    ]
    alone = [decode(backbone, [request])[0] for request in requests]
    for size in (8, 32):
        parts = [decode(backbone, requests[start : start + size]) for start in range(0, 32, size)]
        together = [completion for part in parts for completion in part]
        assert [c.token_ids for c in together] == [c.token_ids for c in alone]
        assert all(torch.equal(c.hidden, one.hidden) for c, one in zip(together, alone, strict=True))


@pytest.mark.model
@pytest.mark.parametrize("sentences", [25, 40])  # the prompts have 164 and 239 tokens
def test_a_much_longer_row_beside_it_changes_no_bit(smollm2: Backbone, sentences: int):
    """With AVX2 alone, attention over 256 keys is added up otherwise than over the same among 512."""
    backbone = Backbone.from_model(
        smollm2.model, smollm2.tokenizer, dtype="int8", decoding=DecodingOptions(reuse=False)
    )
    row, longer = (
        DecodeRequest(
            prompt_ids=backbone.encode_prompt(
                "Tom has 3 apples. " + "He buys one more. " * count + "How many?"
            ),
            max_new_tokens=8,
            end_token_ids=frozenset(),
        )
        for count in (sentences, 100)
    )
    alone, beside = decode(backbone, [row])[0], decode(backbone, [row, longer])[0]
    assert torch.equal(alone.hidden, beside.hidden)


@pytest.mark.model
def test_its_rows_share_passes(smollm2: Backbone):
    """Rounding moves this model's states far; it must not be taken for a batch that changes results."""
    quantised: Any = Backbone.from_model(smollm2.model, smollm2.tokenizer, dtype="int8")
    assert quantised.decoder.packed is not None
    assert quantised.policy.cache_form.in_parts
