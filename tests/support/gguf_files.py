"""Small GGUF files with random weights and a byte-level tokenizer."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from latentseek_agents.testing import tiny_model, tiny_tokenizer

_ENDINGS = (".weight", ".bias")
ARCHITECTURES = {"llama": "Llama", "qwen2": "Qwen2"}
"""Their names in GGUF files, and in ``latentseek_agents.testing``: the heads are of their own, and tied."""


def write_gguf(file: Path, architecture: str = "llama", *, seed: int = 0, without: str = "-") -> Path:
    """Write a tiny model whose embeddings and products are 8-bit, as Q8_0.

    Args:
        file: Where to.
        architecture: One of :data:`ARCHITECTURES`.
        seed: Of the weights.
        without: Leaves out the tensors with this in their names.
    """
    model = tiny_model(ARCHITECTURES[architecture], seed=seed, vocab_size=260)
    kind = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, model.config.num_hidden_layers)
    writer = gguf.GGUFWriter(file, architecture)
    _write_settings(writer, model.config)
    for name, value in model.state_dict().items():
        stem, ending = next((name.removesuffix(end), end) for end in _ENDINGS if name.endswith(end))
        gguf_name = f"{names.get_name(stem)}{ending}"
        tied = name == "lm_head.weight" and model.config.tie_word_embeddings
        if without not in gguf_name and not tied:
            _write_tensor(writer, gguf_name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _write_settings(writer: Any, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = tiny_tokenizer().get_vocab()
    tokens = [*sorted(vocabulary, key=vocabulary.__getitem__), "ab"]  # one merge there must be
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_chat_template(tiny_tokenizer().chat_template)


def _write_tensor(writer: Any, name: str, value: torch.Tensor) -> None:
    numbers = value.detach().numpy().astype(np.float32)
    if numbers.ndim == 1:
        writer.add_tensor(name, numbers)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quantize(numbers, kind), raw_dtype=kind)
