"""Of a checkpoint that sees, the language model is loaded alone, and computes what the whole computes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

from latentseek_agents import _tiny_configurations
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.testing import tiny_tokenizer

VISION = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4},
    **{"image_size": 28, "patch_size": 14},
}
QWEN = {
    **{"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 32},
    **{"num_position_embeddings": 16},
}
LLAMA4 = VISION | {"vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32}
SEEING: dict[str, tuple[str, dict[str, Any]]] = {
    "gemma3": ("gemma3_text", VISION),
    "gemma4": ("gemma4_text", {"hidden_size": 32, "num_hidden_layers": 1}),
    "qwen3_5": ("qwen3_5_text", QWEN),
    "qwen3_5_moe": ("qwen3_5_moe_text", QWEN),
    "mistral3": ("mistral", VISION),
    "llama4": ("llama4_text", LLAMA4),
}
IDS = torch.tensor([[3 + (41 * i) % 250 for i in range(24)]])


def seeing_model(kind: str) -> Any:
    """A tiny random model that sees."""
    text_kind, vision = SEEING[kind]
    text = _tiny_configurations.tiny_configuration(text_kind)
    configuration: Any = CONFIG_MAPPING[kind]
    config = configuration(text_config=text.to_dict(), vision_config=vision)
    config.tie_word_embeddings = bool(text.tie_word_embeddings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForImageTextToText.from_config(config).eval()


@pytest.mark.parametrize("kind", [*SEEING, "tied mistral3"])
def test_the_text_part_alone(kind: str, tmp_path: Path):
    whole = seeing_model(kind.removeprefix("tied "))
    if kind.startswith("tied"):  # as the whole says, and not its text part
        whole.config.tie_word_embeddings = True
        whole.lm_head.weight = whole.model.language_model.embed_tokens.weight
    whole.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    backbone = Backbone.from_pretrained(str(tmp_path), dtype="float32", device="cpu")
    names = " ".join(name for name, _ in backbone.model.named_parameters())
    assert "vision" not in names
    assert "visual" not in names
    with torch.no_grad():
        expected = whole(input_ids=IDS, use_cache=False).logits[0]
    got = backbone.logits(backbone.policy.layers(IDS))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["gemma3", "qwen3_5"])
def test_a_model_that_sees_and_is_loaded_whole(kind: str):
    whole = seeing_model(kind)
    backbone = Backbone.from_model(whole, tiny_tokenizer())
    with torch.no_grad():
        expected = whole(input_ids=IDS, use_cache=False).logits[0]
    torch.testing.assert_close(backbone.logits(backbone.policy.layers(IDS)), expected, rtol=1e-4, atol=1e-4)
