"""The embedded model in int8: from its GGUF file, and against its float32 weights."""

from pathlib import Path

import pytest
import torch

from latentseek_agents import Backbone
from latentseek_agents.engine import loading
from latentseek_agents.engine._int8 import quantised_weight
from latentseek_agents.engine._int8_storage import _StoredWeights


@pytest.mark.model
def test_int8_from_the_file_is_int8_of_its_float_weights(smollm2: Backbone, monkeypatch: pytest.MonkeyPatch):
    folders: list[Path] = []
    whole = loading._cache_entry
    monkeypatch.setattr(
        loading, "_cache_entry", lambda *given: (folders.append(whole(*given)), folders[-1])[1]
    )
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
