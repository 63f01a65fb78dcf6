"""How long a pass of the batch decoder takes: a random model of any size, on a CPU or a GPU.

    python benchmarks/passes.py --device cuda --dtype bfloat16 --shape 1.5b --rows 64,160 --new-tokens 50

Each line is one call of ``decode`` for so many rows: greedy, which reads the prompts as well; drawn at
temperature 0.8, with the prompts read; and greedy with offsets, as consistent latents decode. The last line
is the gradient of 300 latents. The weights are made on the device, so that nothing is loaded.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import Qwen2Config, Qwen2ForCausalLM

from latentseek_agents import Backbone
from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode
from latentseek_agents.engine.latents import policy_gradient
from latentseek_agents.testing import tiny_tokenizer

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {
        "vocab_size": 1000,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    },
    "0.5b": {
        "vocab_size": 151_936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
    },
    "1.5b": {
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
    },
    "7b": {
        "vocab_size": 152_064,
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
    },
}
_PROMPT_TOKENS, _LATENTS = 150, 300


def main() -> int:
    """Time decoding and gradients, and print the table."""
    arguments = _arguments()
    backbone = random_backbone(
        arguments.shape, getattr(torch, arguments.dtype), torch.device(arguments.device)
    )
    decoder = backbone.decoder
    if decoder.packed is None:
        raise RuntimeError("this model has no batch decoder")
    table = Table("rows", "what", "passes", "ms per pass", "tokens per second")
    for rows in arguments.rows:
        backbone.decoder.prefix_cache.clear()
        for what, changes in (
            ("greedy, with prompts", {}),
            ("drawn", {"temperature": 0.8}),
            ("with offsets", {"offsets": 0.01 * torch.randn(_LATENTS, backbone.hidden_size)}),
        ):
            before = decoder.passes
            seconds = _timed(backbone, lambda: decode(backbone, _requests(rows, changes, arguments)))  # noqa: B023 - called at once
            passes = decoder.passes - before
            rate = rows * arguments.new_tokens / seconds
            table.add_row(str(rows), what, str(passes), f"{1000 * seconds / passes:.1f}", f"{rate:.0f}")
    latents = torch.randn(1, _LATENTS, backbone.hidden_size)
    tokens = [list(range(_LATENTS))]
    for _ in range(2):  # the first time includes what is set up once
        seconds = _timed(backbone, lambda: policy_gradient(backbone.logits, latents, tokens, [-1.0]))
    table.add_row("1", f"gradient of {_LATENTS} latents", "1", f"{1000 * seconds:.1f}", "")
    console = Console()
    size = sum(parameter.numel() for parameter in backbone.model.parameters()) / 1e6
    console.print(f"{arguments.shape}: {size:.1f} M random weights, {arguments.dtype}, {backbone.device}")
    console.print(table)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--rows", type=_counts, default="16,64", help="sequences decoded at once")
    parser.add_argument("--new-tokens", type=int, default=50)
    return parser.parse_args()


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1 row is needed")
    return counts


def random_config(shape: str) -> Qwen2Config:
    """The configuration of a Qwen2 of a shape; the largest has a head of its own, as Qwen2.5 7B has."""
    return Qwen2Config(
        num_key_value_heads=4 if shape == "7b" else 2,
        max_position_embeddings=4096,
        initializer_range=0.03,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=shape != "7b",
        **SHAPES[shape],
    )


def random_backbone(shape: str, dtype: torch.dtype, device: torch.device) -> Backbone:
    """A Qwen2 of a shape with random weights, made on the device."""
    config = random_config(shape)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model: Any = Qwen2ForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    options = DecodingOptions(max_rows=512, max_kept_tokens=512 * _PROMPT_TOKENS)
    return Backbone.from_model(model, tiny_tokenizer(), decoding=options)


def _requests(rows: int, changes: dict[str, Any], arguments: argparse.Namespace) -> list[DecodeRequest]:
    words = SHAPES[arguments.shape]["vocab_size"]
    return [
        DecodeRequest(
            prompt_ids=[3 + (7 * row + 13 * place) % (words - 3) for place in range(_PROMPT_TOKENS)],
            max_new_tokens=arguments.new_tokens,
            end_token_ids=frozenset(),
            seed=row,
            **changes,
        )
        for row in range(rows)
    ]


def _timed(backbone: Backbone, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if backbone.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
