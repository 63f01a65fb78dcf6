"""A tiny configuration for each kind of model that transformers knows, made from its configuration class.

What a class calls a size becomes small, of each kind of layer one or two remain, and windows, chunks and
selections become shorter than the texts of a test, so that a test sees what they do.
"""

from typing import Any

__all__ = ["tiny_configuration"]

_LAYERS = 4
_NAMES_BY_SIZE = {
    259: "vocab_size vocab_size_per_layer_input unpadded_vocab_size pronunciation_vocab_size "
    "shape_vocab_size encoder_hash_byte_group_vocab ngram_vocab_size_base",
    1024: "max_position_embeddings n_positions n_ctx max_seq_len context_length max_target_positions "
    "model_max_length",
    64: "intermediate_size moe_intermediate_size shared_expert_intermediate_size ffn_dim dff dim_ff "
    "d_inner ffn_hidden_size expert_ffn_hidden_size intermediate_size_mlp decoder_ffn_dim "
    "encoder_ffn_dim dense_intermediate_size feed_forward_size shared_intermediate_size n_inner "
    "mamba_d_ssm shared_experts_intermediate_size moe_shared_expert_intermediate_size",
    32: "hidden_size n_embd d_model emb_dim embedding_size embedding_dim word_embed_proj_dim lru_width "
    "input_embedding_size output_embedding_size attention_hidden_size pronunciation_embed_dim "
    "shape_embed_dim router_hidden_size kv_lora_rank",
    16: "sliding_window attention_window_size window_size attention_chunk_size local_attention "
    "sliding_window_size keep_window_size floor_scale local_attention_window_len rel_extent "
    "q_lora_rank o_lora_rank d_rel state_size ssm_state_size mamba_d_state local_attn_chunk_length "
    "lsh_attn_chunk_length block_size qk_head_dim linear_head_dim hc_lowrank ple_embed_dim "
    "hidden_size_per_layer_input index_n_heads",
    8: "head_dim qk_nope_head_dim qk_rope_head_dim v_head_dim linear_key_head_dim linear_value_head_dim "
    "index_head_dim swa_head_dim d_head dim_head kv_channels mamba_head_dim mamba_d_head "
    "mamba_n_heads mamba_num_heads chunk_size mamba_chunk_size index_topk rotary_dim laurel_rank "
    "adapter_rank mamba_dt_rank time_step_rank attention_head_size gated_norm_rank global_head_dim "
    "max_inference_chunksize",
    4: "num_attention_heads n_head n_heads num_heads attention_heads decoder_attention_heads "
    "encoder_attention_heads num_experts n_routed_experts num_local_experts moe_num_experts "
    "linear_num_value_heads linear_num_heads swa_num_attention_heads num_decoder_attention_heads "
    "num_encoder_attention_heads index_block_size num_hidden_layers n_layer n_layers num_layers "
    "num_blocks decoder_layers num_decoder_layers encoder_layers num_encoder_layers",
    2: "num_key_value_heads num_kv_heads linear_num_key_heads swa_num_key_value_heads num_query_groups "
    "num_experts_per_tok num_experts_per_token moe_k moe_topk n_groups o_groups n_group "
    "num_expert_group index_topk_blocks n_mamba_heads heads_per_ngram split_ngram_parts "
    "num_layers_per_stack zero_expert_num layer_group_size attn_layer_period "
    "num_global_key_value_heads",
    1: "mamba_n_groups topk_group num_kv_shared_layers attn_layer_offset first_k_dense_replace "
    "n_shared_experts num_dense_layers",
}
_SIZES = {name: size for size, names in _NAMES_BY_SIZE.items() for name in names.split()}
_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_VISION = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4},
    **{"image_size": 28, "patch_size": 14},
}
_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
_SMALL_PART = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "vocab_size": 260,
}
_QWEN4: dict[str, Any] = {
    **{"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 8},
    **{"indexer_compress_ratio": 2, "linear_conv_kernel_dim": 4},
}
_GEMMA4: dict[str, Any] = {
    "num_kv_shared_layers": 2,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
}
_DOTS3: dict[str, Any] = {
    "layer_types": ["indexed_attention", "sliding_attention"] * 2,
    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
    **{"swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "swa_q_lora_rank": 16},
    **{"swa_kv_lora_rank": 32, "swa_head_dim": 16, "swa_qk_nope_head_dim": 8, "swa_v_head_dim": 8},
}
# What the sizes above do not say; "*" is for the whole of a kind that has a text part.
_SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "blt": {
        "vocab_size": 260,
        "patcher_config": _SMALL_PART,
        "encoder_config": _SMALL_PART | {"hidden_size_global": 64},
        "decoder_config": _SMALL_PART | {"hidden_size_global": 64},
        "global_config": _SMALL_PART | {"hidden_size": 64},
    },
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "dbrx": {
        "attn_config": {"rope_theta": 10_000.0, "kv_n_heads": 2, "clip_qkv": 8},
        "ffn_config": {"ffn_hidden_size": 64},
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "dots3_note": _DOTS3
    | {"*": {"vision_config": {"adapter_out_dim": 32}, "audio_config": {"adapter_out_dim": 32}}},
    "dots3_note_text": _DOTS3,
    "gemma3": {"*": {"vision_config": _VISION}},
    "gemma3n_text": {"intermediate_size": [64] * 4, "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0]},
    "gemma4": _GEMMA4,
    "gemma4_text": _GEMMA4,
    "gemma4_unified": _GEMMA4,
    "gemma4_unified_text": _GEMMA4,
    "git": {"vision_config": _VISION},
    "got_ocr2": {"*": {"vision_config": _VISION}},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 2, "num_key_value_heads": 2},
    "hrm_text": {"num_layers_per_stack": None, "num_hidden_layers": 1},
    "hunyuan_v1_dense": {"head_dim": 8, "num_key_value_heads": 2},
    "hunyuan_v1_moe": {"head_dim": 8, "num_key_value_heads": 2, "num_experts": 4, "moe_topk": 2},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv", "full_attention"], "full_attn_idxs": None},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "qwen4_exp": _QWEN4,
    "qwen4_exp_text": _QWEN4,
    "phi4_multimodal": {
        "vision_config": _VISION | {"crop_size": 28},
        "audio_config": {
            **{"hidden_size": 32, "intermediate_size": 64, "num_blocks": 1, "num_attention_heads": 4},
            **{"ext_pw_out_channel": 32, "nemo_conv_channels": 32},
        },
    },
    "reformer": {
        "hash_seed": 0,
        "is_decoder": True,
        "axial_pos_shape": [32, 32],
        "axial_pos_embds_dim": [16, 16],
    },
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},
    "xlm": {"causal": True},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        **{"attention_hidden_size": 64, "attention_head_dim": 16, "num_key_value_heads": 4},
    },
    "zamba2": {
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        **{"n_mamba_heads": 8, "num_key_value_heads": 4},
        **{"attention_hidden_size": None, "attention_head_dim": None},  # they follow from the others
    },
    "zaya": {"num_experts_per_tok": 1},
    "minicpm3": {"dim_model_base": 16},
}


def tiny_configuration(model_type: str, **changes: Any) -> Any:
    """The configuration of a tiny model of this kind: 259 words, as a rule d = 32 and 4 layers.

    Args:
        model_type: A ``model_type`` of transformers, such as ``"qwen3_5_text"``; of a kind that sees, the
            text part is tiny.
        **changes: Settings of the text model that are wanted otherwise.

    Raises:
        ValueError: The model type is unknown, or its class refuses these settings.
    """
    from transformers import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        raise ValueError(f"model_type={model_type!r} is none that transformers knows")
    kind = CONFIG_MAPPING[model_type]
    special = _SPECIAL.get(model_type, {})
    whole = kind()
    part = whole.get_text_config(decoder=True)
    text = whole if type(part) is kind else part
    settings = _small(text) | {key: value for key, value in special.items() if key != "*"} | changes
    made = type(text)(**{key: value for key, value in settings.items() if value is not None})
    if text is whole:
        return made
    name = next(key for key, value in vars(whole).items() if value is text)
    return kind(**special.get("*", {}) | {name: made.to_dict()})


def _small(text: Any) -> dict[str, Any]:
    """Small sizes for all that this configuration has, and short lists for its layers."""
    names = {getattr(text, "attribute_map", {}).get(name, name): size for name, size in _SIZES.items()}
    given = vars(text)
    sizes = {name: size for name, size in names.items() if isinstance(given.get(name), int)}
    if "kv_lora_rank" in sizes:  # keys and values are made of one latent, for every head its own
        sizes["num_key_value_heads"] = sizes["num_attention_heads"]
    if "is_decoder" in given:  # an encoder by default
        sizes["is_decoder"] = True
    return sizes | _TOKENS | {"initializer_range": 0.3} | _layers(text)


def _layers(text: Any) -> dict[str, Any]:
    """The lists that have an entry for each layer, cut to a few layers of every combination."""
    count = next((getattr(text, name) for name in ("num_hidden_layers", "n_layer") if hasattr(text, name)), 0)
    lists = {
        name: list(value)
        for name, value in vars(text).items()
        if isinstance(value, (list, tuple)) and len(value) == count > _LAYERS
    }
    if not lists:
        return {}
    first: dict[str, int] = {}
    for index in range(count):
        first.setdefault(repr([value[index] for value in lists.values()]), index)
    # The layers that are there twice come first, or a model of one kind would have a single layer.
    chosen = sorted([*first.values(), *(i for i in range(count) if i not in first.values())][:_LAYERS])
    return {name: [value[i] for i in chosen] for name, value in lists.items()}
