r"""How fast the latent search is, as ratios within one run.

    python benchmarks/speed.py                                   # SmolLM2, some questions made up here
    python benchmarks/speed.py --model FOLDER --gguf FILE --dtype bfloat16 --data questions.jsonl \
        --questions 10 --max-new-tokens 320 --iterations 5 --json speed.json

Data are lines of ``{"question": ...}``. The reward is always -1, so that every iteration takes place. The
naive Algorithm 1 (``tests/naive_algorithm.py``: a forward pass over the whole sequence for every token) would
take hours: its passes are timed at several lengths, and their times added up over the very tokens that our
search wrote. ``--check-naive`` runs it for real on one question, to see how far that is off.
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
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the oracle in tests/

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.engine.decoding import DecodeRequest, DecodingOptions, decode
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.engine.search import draft, refine
from latentseek_agents.engine.verdict import Attempt
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
from latentseek_agents.tools import SelfReward
from tests import naive_algorithm

console = Console()
Figures = dict[str, Any]
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
    backbone = _load(arguments)
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


# -- (a), (b), (e), (i): the loop of one question at a time


def measure_loop(
    backbone: Backbone, questions: list[str], config: LatentSeekConfig, *, plain_questions: int, check: bool
) -> Figures:
    """Our loop against the same loop with a plain cache, and against the naive algorithm."""
    fast, plain = variant(backbone), variant(backbone, batch=False, fast_linear=False)
    ours: list[Loop] = []
    cached: list[Loop] = []
    # In turns, so that both see the same machine.
    for question in track(questions, "the loop", console=console, transient=True):
        ours.append(loop(fast, question, config))
        if len(cached) < plain_questions:
            cached.append(loop(plain, question, config))
    compared = ours[: len(cached)]
    same = sum(a.texts == b.texts for a, b in zip(compared, cached, strict=True))
    clock = PassClock(backbone, longest=max(run.longest for run in ours))
    naive = sum(clock.naive(run) for run in ours)
    seconds, tokens = sum(run.seconds for run in ours), sum(run.tokens for run in ours)
    later_tokens, later_passes = (
        sum(run.later_tokens for run in ours),
        sum(run.later_passes for run in ours),
    )
    drafts = sum(run.draft_tokens for run in ours) / sum(run.draft_seconds for run in ours)
    limit = bandwidth() / weight_bytes(backbone)
    figures: Figures = {
        "seconds": seconds,
        "tokens": tokens,
        "against_naive": naive / seconds,
        "against_plain_cache": sum(run.seconds for run in cached) / sum(run.seconds for run in compared),
        "same_texts": same,
        "passes_per_token_in_drafts": sum(r.draft_passes for r in ours) / sum(r.draft_tokens for r in ours),
        "passes_per_token_after": later_passes / later_tokens if later_tokens else None,
        "draft_tokens_per_second": drafts,
        "bandwidth_limit_tokens_per_second": limit,
        "share_of_bandwidth_limit": drafts / limit,
    }
    rows = [
        ("loop, one question at a time", f"{seconds:.1f} s for {tokens} tokens"),
        ("(a) against naive Algorithm 1 (its passes timed, then added up)", f"{naive / seconds:.1f} x"),
        ("(b) against the same loop with a plain cache", f"{figures['against_plain_cache']:.2f} x"),
        ("same texts as the plain loop", f"{same} of {len(cached)}"),
        ("(e) forward passes per token, drafts", f"{figures['passes_per_token_in_drafts']:.2f}"),
        ("(e) forward passes per token, later iterations", f"{figures['passes_per_token_after'] or 0:.2f}"),
        ("(i) tokens per second of a draft, and what bandwidth allows", f"{drafts:.1f} of {limit:.1f}"),
        ("(i) share", f"{drafts / limit:.0%}"),
    ]
    if check:
        figures["naive_measured_over_added_up"] = check_naive(fast, questions[0], config, clock)
        rows.append(
            ("naive run for real, over its passes added up", f"{figures['naive_measured_over_added_up']:.2f}")
        )
    show("the loop", rows)
    return figures


class Loop:
    """What one question's search took."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.lengths: list[tuple[int, int]] = []  # given, written: for each completion
        self.prompt = self.draft_tokens = self.draft_passes = self.later_tokens = self.later_passes = 0
        self.draft_seconds = self.seconds = 0.0

    @property
    def tokens(self) -> int:
        """Tokens written."""
        return self.draft_tokens + self.later_tokens

    @property
    def longest(self) -> int:
        """The longest sequence."""
        return self.prompt + max(given + written for given, written in self.lengths)


def loop(backbone: Backbone, question: str, config: LatentSeekConfig) -> Loop:
    """Draft and refine without graph or verifier; every score is -1."""
    backbone.prefix_cache.clear()
    done = Loop()
    done.prompt = len(backbone.encode_prompt(prompt_for(question, config.prompt)))
    began = time.perf_counter()
    made = draft(backbone, question, config)
    done.draft_seconds = time.perf_counter() - began
    done.draft_tokens, done.draft_passes = made.usage.policy_tokens, made.usage.policy_forward_passes
    attempts = [judged(made.attempts[0])]
    done.lengths.append((0, len(attempts[0].token_ids)))
    for _ in range(config.max_iterations):
        if not made.search:
            break
        made = refine(backbone, question, config, search=made.search, samples=attempts[-1:], history=attempts)
        attempts.append(judged(made.attempts[0]))
        if made.usage.policy_forward_passes:
            given = len(attempts[-1].latent_token_ids)
            done.lengths.append((given, len(attempts[-1].token_ids) - given))
            done.later_tokens += len(attempts[-1].token_ids) - given
            done.later_passes += made.usage.policy_forward_passes
    done.seconds = time.perf_counter() - began
    done.texts = [attempt.text for attempt in attempts]
    return done


def judged(attempt: Attempt) -> Attempt:
    """The attempt with the lowest score."""
    return Attempt.from_dict(attempt.to_dict() | {"score": -1.0, "passed": False})


class PassClock:
    """Seconds of a naive forward pass, head included, by the length of the sequence."""

    def __init__(self, backbone: Backbone, longest: int) -> None:
        self.model = backbone.model
        self.lengths = sorted({min(longest, length) for length in (64, 128, 192, 256, 384, 512, longest)})
        self.times = [self._time(length) for length in self.lengths]

    def _time(self, length: int) -> float:
        ids = torch.full((1, length), 100)
        times = []
        with torch.no_grad():
            for _ in range(4):
                began = time.perf_counter()
                hidden = self.model.base_model(ids, use_cache=False).last_hidden_state[0, -1]
                self.model.get_output_embeddings()(hidden).argmax()
                times.append(time.perf_counter() - began)
        return statistics.median(times[1:])

    def __call__(self, length: int) -> float:
        """Between two lengths a straight line; below the first the first."""
        if length <= self.lengths[0]:
            return self.times[0]
        for (low, high), (before, after) in zip(
            zip(self.lengths, self.lengths[1:], strict=False),
            zip(self.times, self.times[1:], strict=False),
            strict=True,
        ):
            if length <= high:
                return before + (after - before) * (length - low) / (high - low)
        return self.times[-1]

    def naive(self, run: Loop) -> float:
        """Seconds of all passes that the naive algorithm would make for the same tokens."""
        return sum(
            self(run.prompt + given + position)
            for given, written in run.lengths
            for position in range(written)
        )


def check_naive(backbone: Backbone, question: str, config: LatentSeekConfig, clock: PassClock) -> float:
    """One iteration of the naive algorithm for real: its seconds over those that the clock adds up."""
    prompt = backbone.encode_prompt(prompt_for(question, config.prompt))
    limit = min(config.max_new_tokens, 48)
    began = time.perf_counter()
    written, _ = naive_algorithm.write_draft(backbone.model, backbone.tokenizer, prompt, limit - 1)
    seconds = time.perf_counter() - began
    return seconds / sum(clock(len(prompt) + position) for position in range(len(written)))


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
        decoder = ours.batch_decoder
        figures[str(count)] = {
            "tokens_per_second": tokens / seconds,
            "seconds": seconds,
            "tokens": tokens,
            "passes": decoder.passes if decoder else None,
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
    names = list(SelfReward(ours).prompts)
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

    def recording(target: Backbone, asked: Sequence[DecodeRequest]) -> Any:
        requests.extend(asked)
        return original(target, asked)

    self_reward.decode = recording  # type: ignore[assignment]
    try:
        SelfReward(backbone, mode="logprob")(question, solution)
    finally:
        self_reward.decode = original
    shared = len(requests[0].prompt_ids)
    own = [len(request.forced_ids) for request in requests]
    return shared + sum(own), sum(shared + count for count in own)


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


# -- shared


def variant(backbone: Backbone, **options: Any) -> Backbone:
    """The same model with nothing cached, decoding with these options."""
    made = Backbone.from_model(backbone.model, backbone.tokenizer, decoding=DecodingOptions(**options))
    _ = made.batch_decoder  # made on first use, and not what is measured
    return made


def weight_bytes(backbone: Backbone) -> int:
    """Bytes of weights that one forward pass reads: all but an embedding table that is not the head, too."""
    embedding = backbone.model.get_input_embeddings().weight
    head = backbone.model.get_output_embeddings().weight
    total = sum(p.numel() * p.element_size() for p in backbone.model.parameters())
    return total if head is embedding else total - embedding.numel() * embedding.element_size()


def bandwidth() -> float:
    """Bytes per second of reading memory with all threads, the best of several."""
    data = torch.ones(2**27)
    best = min(_seconds(data.sum) for _ in range(7))
    return data.numel() * data.element_size() / best


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def show(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print a table of two columns."""
    table = Table("what", "figure", title=title)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _load(arguments: argparse.Namespace) -> Backbone:
    if arguments.model is None:
        return Backbone.embedded(dtype=arguments.dtype)
    return Backbone.from_pretrained(arguments.model, gguf_file=arguments.gguf, dtype=arguments.dtype)


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
    names = ["loop", "generate", "throughput", "self_reward", "graph"]
    parser.add_argument("--model", help="a Hugging Face name or a folder; default: SmolLM2")
    parser.add_argument("--gguf", help="a GGUF file in that folder")
    parser.add_argument("--dtype", help="float32, bfloat16; default: what is fast here")
    parser.add_argument("--data", type=Path, help="questions, JSON Lines")
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--plain-questions", type=int, default=100, help="on how many to run the plain cache")
    parser.add_argument("--max-new-tokens", type=int, default=96)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--latents", default="independent", choices=["independent", "consistent"])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 16])
    parser.add_argument("--at-once", type=int, nargs="*", default=[1, 4, 16, 32])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--check-naive", action="store_true", help="run the naive draft for real, too")
    parser.add_argument("--only", nargs="*", default=names, choices=names, help="measure only these")
    parser.add_argument("--json", type=Path, help="write all figures to this file, part by part")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
