r"""How fast the latent search is, as ratios within one run.

    python benchmarks/speed.py                                   # SmolLM2, some questions made up here
    python benchmarks/speed.py --model FOLDER --gguf FILE --dtype bfloat16 --data questions.jsonl \
        --questions 10 --max-new-tokens 320 --iterations 5 --json speed.json
    python benchmarks/speed.py --only decoding --threads 1       # float32, int8, llama.cpp, vLLM

Data are lines of ``{"question": ...}``. The reward is always -1, so that every iteration takes place. The
naive Algorithm 1 (``tests/support/naive_algorithm.py``: a forward pass over the whole sequence for every
token) would take hours: its passes are timed at several lengths, and their times added up over the very
tokens that our search wrote. ``--check-naive`` runs it for real on one question, to see how far that is off.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the oracle in tests/

from _decoding_speed import (
    Engine,
    LlamaCpp,
    TorchEngine,
    VLLMEngine,
    has_llama_cpp,
    has_vllm,
    measure_in_turns,
    speed_figures,
    speed_table,
)
from _loop_speed import Figures, console, measure_loop, show, variant, weight_bytes

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.engine.loading import embedded_gguf
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
from latentseek_agents.tools import SelfReward

MADE_UP = [
    "A baker makes 12 trays of 18 rolls and sells them in bags of 8 for $3. How much does she earn?",
    "Tom reads 24 pages a day. His book has 312 pages, and he has read for 5 days. How many days are left?",
    "A tank of 540 litres loses 15 litres an hour and gains 6. After how many hours is it empty?",
    "Anna has 3 times as many stamps as Ben, who has 14 more than Cleo. Cleo has 22. How many has Anna?",
]


def main() -> int:
    """Measure, print a table per subject, and write the figures as JSON if asked to."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    backbone = _load(arguments, arguments.dtype)
    questions = _questions(arguments)
    config = LatentSeekConfig(
        max_new_tokens=arguments.max_new_tokens,
        max_iterations=arguments.iterations,
        latents=arguments.latents,
    )
    console.print(f"{backbone}, {arguments.threads} threads, {len(questions)} questions")
    figures: Figures = {
        "backbone": repr(backbone),
        "threads": arguments.threads,
        "config": config.model_dump(mode="json"),
    }
    parts: dict[str, Callable[[], Figures]] = {
        "loop": lambda: measure_loop(
            backbone,
            questions,
            config,
            plain_questions=arguments.plain_questions,
            check=arguments.check_naive,
        ),
        "generate": lambda: measure_generate(backbone, questions, config.max_new_tokens, arguments.batches),
        "throughput": lambda: measure_throughput(backbone, questions, config, arguments.at_once),
        "self_reward": lambda: measure_self_reward(backbone, questions, config.max_new_tokens),
        "graph": measure_graph,
        "decoding": lambda: measure_decoding(backbone, questions, arguments),
        "profile": lambda: measure_profile(backbone, questions, config.max_new_tokens, arguments.batches),
    }
    for name, measure in parts.items():
        if name in arguments.only:
            figures[name] = measure()
            if arguments.json:
                arguments.json.write_text(json.dumps(figures, indent=2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures["peak_memory_gib"], figures["weights_gib"] = peak, weight_bytes(backbone) / 2**30
    show(
        "memory",
        [("(h) peak of the process", f"{peak:.2f} GiB"), ("weights", f"{figures['weights_gib']:.2f} GiB")],
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    return 0


# -- (c): drafts against generate


def measure_generate(
    backbone: Backbone, questions: list[str], max_new_tokens: int, batches: Sequence[int]
) -> Figures:
    """Greedy drafts against ``model.generate``, in turns, at the same batch size and precision."""
    figures: Figures = {}
    rows = []
    for size in track(batches, "generate", console=console, transient=True):
        prompts = [
            backbone.encode_prompt(prompt_for(questions[i % len(questions)], "boxed")) for i in range(size)
        ]
        ratios, lengths = [], []
        for _ in range(2):
            ours = variant(backbone)
            began = time.perf_counter()
            completions = decode(
                ours,
                [
                    DecodeRequest(
                        prompt_ids=prompt, max_new_tokens=max_new_tokens, end_token_ids=ours.eos_token_ids
                    )
                    for prompt in prompts
                ],
            )
            seconds = time.perf_counter() - began
            lengths = [completion.new_tokens for completion in completions]
            ratios.append(_generate_seconds(backbone, prompts, max_new_tokens) / seconds)
        figures[str(size)] = {"ratio": statistics.median(ratios), "ratios": ratios, "lengths": lengths}
        rows.append(
            (
                f"(c) generate's time over ours, batch of {size}",
                f"{statistics.median(ratios):.2f} x ({min(lengths)} to {max(lengths)} tokens)",
            )
        )
    show("drafts", rows)
    return figures


def _generate_seconds(backbone: Backbone, prompts: list[list[int]], max_new_tokens: int) -> float:
    longest = max(map(len, prompts))
    pad = backbone.tokenizer.pad_token_id or 0
    ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=backbone.device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=backbone.device)
    began = time.perf_counter()
    backbone.model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=1.0,
        pad_token_id=pad,
        eos_token_id=sorted(backbone.eos_token_ids),
    )
    return time.perf_counter() - began


# -- (d): many questions at once


def measure_throughput(
    backbone: Backbone, questions: list[str], config: LatentSeekConfig, at_once: Sequence[int]
) -> Figures:
    """Tokens per second of whole searches, with so many questions at the same time."""
    figures: Figures = {}
    rows = []
    for count in track(at_once, "throughput", console=console, transient=True):
        ours = variant(backbone)
        seek = LatentSeek(ours, verifier=ScriptedVerifier([-1.0]), config=config)
        inputs = [questions[i % len(questions)] + " " * (i // len(questions)) for i in range(count)]
        began = time.perf_counter()
        results = seek.batch(inputs, config={"max_concurrency": count})
        seconds = time.perf_counter() - began
        tokens = sum(result.usage.policy_tokens for result in results)
        decoder = ours.decoder
        figures[str(count)] = {
            "tokens_per_second": tokens / seconds,
            "seconds": seconds,
            "tokens": tokens,
            "passes": decoder.passes if decoder.packed else None,
        }
        first = next(iter(figures.values()))["tokens_per_second"]
        rows.append(
            (
                f"(d) {count} questions at once",
                f"{tokens / seconds:.1f} tokens/s, {tokens / seconds / first:.2f} x",
            )
        )
    show("throughput", rows)
    return figures


# -- (f): self-reward


def measure_self_reward(backbone: Backbone, questions: list[str], max_new_tokens: int) -> Figures:
    """Four checks against one, and the tokens computed against four separate prompts."""
    ours = variant(backbone)
    question = questions[0]
    prompt = ours.encode_prompt(prompt_for(question, "boxed"))
    (written,) = decode(
        ours,
        [DecodeRequest(prompt_ids=prompt, max_new_tokens=max_new_tokens, end_token_ids=ours.eos_token_ids)],
    )
    solution = ours.decode(written.token_ids)
    names = list(SelfReward(ours).weights)
    never = frozenset[int]()  # no end token: every check writes the same number of tokens
    ratios = []
    for _ in range(2):
        times = []
        for count in (1, len(names)):
            fresh = variant(backbone)
            fresh.eos_token_ids = never
            weights = {name: float(name in names[:count]) for name in names}
            verifier = SelfReward(fresh, max_new_tokens=64, weights=weights)
            began = time.perf_counter()
            verifier(question, solution)
            times.append(time.perf_counter() - began)
        ratios.append(times[1] / times[0])
    computed, separate = _prompt_tokens(variant(backbone), question, solution)
    figures = {
        "four_checks_over_one": statistics.median(ratios),
        "prompt_tokens_computed": computed,
        "prompt_tokens_of_four_prompts": separate,
    }
    show(
        "self-reward",
        [
            ("time of four checks over one, 64 tokens each", f"{statistics.median(ratios):.2f} x"),
            ("(f) prompt tokens computed, of those of four prompts", f"{computed} of {separate}"),
        ],
    )
    return figures


def _prompt_tokens(backbone: Backbone, question: str, solution: str) -> tuple[int, int]:
    from latentseek_agents.tools import self_reward

    original = self_reward.decode
    requests: list[DecodeRequest] = []
    computed = 0

    def recording(target: Backbone, asked: Sequence[DecodeRequest]) -> Any:
        nonlocal computed
        requests.extend(asked)
        completions = original(target, asked)
        # One token is written, and nothing is fed after it: all that was computed belongs to the prompts.
        computed += sum(completion.computed_tokens for completion in completions)
        return completions

    self_reward.decode = recording  # type: ignore[assignment]
    try:
        SelfReward(backbone, mode="logprob")(question, solution)
    finally:
        self_reward.decode = original
    return computed, sum(len(request.prompt_ids) + len(request.forced_ids) for request in requests)


# -- (g): the graph


def measure_graph() -> Figures:
    """What LangGraph adds to an iteration: the graph's time less that of the same work without it."""
    import tempfile

    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.sqlite import SqliteSaver

    iterations = 30
    backbone = tiny_backbone()
    config = LatentSeekConfig(max_new_tokens=16, max_iterations=iterations, fraction=0.5)
    verifier = ScriptedVerifier([-1.0])
    seek = LatentSeek(backbone, verifier=verifier, config=config)
    graph = create_refine_graph(backbone, verifier=verifier, config=config)
    with (
        tempfile.TemporaryDirectory() as folder,
        SqliteSaver.from_conn_string(f"{folder}/graph.sqlite") as sqlite,
    ):
        compiled = {
            "no saver": graph.compile(),
            "in memory": graph.compile(checkpointer=InMemorySaver()),
            "SQLite": graph.compile(checkpointer=sqlite),
        }
        times: dict[str, list[float]] = {name: [] for name in ["alone", *compiled]}
        for number in range(6):
            question = f"What is {number} + 2?"
            began = time.perf_counter()
            seek.invoke(question)
            times["alone"].append(time.perf_counter() - began)
            for name, app in compiled.items():
                began = time.perf_counter()
                app.invoke(
                    {"question": question},
                    {"configurable": {"thread_id": str(number)}, "recursion_limit": 1000},
                )
                times[name].append(time.perf_counter() - began)
    alone = statistics.median(times.pop("alone")[1:])
    figures = {
        name: (statistics.median(found[1:]) - alone) / iterations * 1e3 for name, found in times.items()
    }
    show("the graph", [(f"(g) per iteration, {name}", f"{value:.2f} ms") for name, value in figures.items()])
    return figures


# -- where the time of a pass goes


def measure_profile(
    backbone: Backbone, questions: list[str], max_new_tokens: int, batches: Sequence[int]
) -> Figures:
    """The operations that take most of the time of greedy drafts, of all threads."""
    from torch._C._profiler import _ExperimentalConfig
    from torch.profiler import ProfilerActivity, profile

    figures: Figures = {}
    for size in batches:
        requests = [
            DecodeRequest(
                prompt_ids=backbone.encode_prompt(prompt_for(questions[i % len(questions)], "boxed")),
                max_new_tokens=max_new_tokens,
                end_token_ids=frozenset(),
                states=0,
            )
            for i in range(size)
        ]
        decode(backbone, requests)
        settings = _ExperimentalConfig(profile_all_threads=True)
        with profile(activities=[ProfilerActivity.CPU], experimental_config=settings) as profiled:
            decode(backbone, requests)
        events = sorted(profiled.key_averages(), key=lambda event: -event.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        rows = [
            (event.key, f"{100 * event.self_cpu_time_total / total:.1f} %, {event.count} calls")
            for event in events[:15]
        ]
        show(f"profile, batch of {size}", rows)
        figures[str(size)] = {event.key: event.self_cpu_time_total / total for event in events[:15]}
    return figures


# -- number formats, llama.cpp and vLLM


def measure_decoding(backbone: Backbone, questions: list[str], arguments: argparse.Namespace) -> Figures:
    """Tokens per second of float32, int8, llama.cpp and vLLM at each batch size."""
    engines: dict[str, Engine] = {}
    for name in arguments.columns:
        if name == "llama.cpp":
            gguf = _gguf(arguments)
            if gguf is None or not has_llama_cpp():
                console.print("llama.cpp is left out: it needs a GGUF file and the package llama-cpp-python")
                continue
            engines[name] = LlamaCpp(gguf, arguments.threads)
        elif name == "vllm":
            if not has_vllm():
                console.print("vLLM is left out: it is not installed")
                continue
            engines[name] = VLLMEngine(_load_with_vllm(arguments))
        else:
            same = backbone.number_format == name
            engines[name] = TorchEngine(backbone if same else _load(arguments, name))
    speeds = {}
    for size in track(arguments.batches, "decoding", console=console, transient=True):
        # Equal prompts would be read once; spaces at the end make them different.
        texts = [questions[i % len(questions)] + " " * (i // len(questions)) for i in range(size)]
        prompts = [backbone.encode_prompt(prompt_for(text, "boxed")) for text in texts]
        speeds[size] = measure_in_turns(engines, prompts, arguments.max_new_tokens, arguments.rounds)
    console.print(speed_table(speeds))
    return {str(size): speed_figures(speed) for size, speed in speeds.items()}


def _gguf(arguments: argparse.Namespace) -> Path | None:
    if arguments.model is None:
        return embedded_gguf()
    file = Path(arguments.model, arguments.gguf or "")
    return file if file.is_file() else None


# -- what is measured, and on what


def _load(arguments: argparse.Namespace, dtype: str | None) -> Backbone:
    if arguments.model is None:
        return Backbone.embedded(dtype=dtype)
    return Backbone.from_pretrained(arguments.model, gguf_file=arguments.gguf, dtype=dtype)


def _load_with_vllm(arguments: argparse.Namespace) -> Backbone:
    dtype = None if arguments.dtype == "int8" else arguments.dtype
    limits = {"max_model_len": 4096, "enable_prefix_caching": False}
    if not torch.cuda.is_available():
        limits |= {"kv_cache_memory_bytes": 2**30}
    return Backbone.vllm(arguments.model, gguf_file=arguments.gguf, dtype=dtype, **limits)


def _questions(arguments: argparse.Namespace) -> list[str]:
    if arguments.data is None:
        return MADE_UP[: arguments.questions]
    with arguments.data.open(encoding="utf-8") as lines:
        return [
            json.loads(line)["question"] for line, _ in zip(lines, range(arguments.questions), strict=False)
        ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["loop", "generate", "throughput", "self_reward", "graph", "decoding", "profile"]
    columns = ["float32", "bfloat16", "int8", "llama.cpp", "vllm"]
    parser.add_argument("--model", help="a Hugging Face name or a folder; default: SmolLM2")
    parser.add_argument("--gguf", help="a GGUF file in that folder")
    parser.add_argument("--dtype", help="float32, bfloat16, int8; default: what is fast here")
    parser.add_argument("--data", type=Path, help="questions, JSON Lines")
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--plain-questions", type=int, default=100, help="on how many to run the plain cache")
    parser.add_argument("--max-new-tokens", type=int, default=96)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--latents", default="independent", choices=["independent", "consistent"])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 16])
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 4, 16, 32])
    parser.add_argument(
        "--columns", nargs="*", default=["float32", "int8", "llama.cpp", "vllm"], choices=columns
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the part decoding")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--check-naive", action="store_true", help="run the naive draft for real, too")
    parser.add_argument("--only", nargs="*", default=names, choices=names, help="measure only these")
    parser.add_argument("--json", type=Path, help="write all figures to this file, part by part")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
