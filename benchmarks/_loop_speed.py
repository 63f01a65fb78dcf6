"""The loop of one question at a time: against the naive algorithm, a plain cache, and memory bandwidth."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine._decoding import DecodingOptions
from latentseek_agents.engine._int8 import Int8Linear
from latentseek_agents.engine.prompts import prompt_for
from latentseek_agents.engine.search import draft, refine
from latentseek_agents.verdict import Attempt
from tests.support import naive_algorithm

__all__ = ["Figures", "console", "measure_loop", "show", "variant", "weight_bytes"]

console = Console()
Figures = dict[str, Any]


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
    limit = bandwidth(backbone.device) / weight_bytes(backbone)
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
    backbone.decoder.prefix_cache.clear()
    done = Loop()
    done.prompt = len(backbone.encode_prompt(prompt_for(question, config.prompt)))
    began = time.perf_counter()
    made = draft(backbone, question, config)
    done.draft_seconds = time.perf_counter() - began
    done.draft_tokens, done.draft_passes = made.usage.policy_tokens, made.usage.policy_forward_passes
    attempts = [judged(made.attempts[0])]
    done.lengths.append((0, len(attempts[0].token_ids)))
    for _ in range(config.max_iterations):
        if not made.latents:
            break
        made = refine(
            backbone, question, config, latents=made.latents, samples=attempts[-1:], history=attempts
        )
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
        self.model, self.device = backbone.model, backbone.device
        self.lengths = sorted({min(longest, length) for length in (64, 128, 192, 256, 384, 512, longest)})
        self.times = [self._time(length) for length in self.lengths]

    def _time(self, length: int) -> float:
        ids = torch.full((1, length), 100, device=self.device)
        times = []
        with torch.no_grad():
            for _ in range(4):
                began = time.perf_counter()
                hidden = self.model.base_model(ids, use_cache=False).last_hidden_state[0, -1]
                self.model.get_output_embeddings()(hidden).argmax().item()  # a GPU is done only now
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


def variant(backbone: Backbone, **options: Any) -> Backbone:
    """The same model with nothing cached, decoding with these options."""
    made = Backbone.from_model(backbone.model, backbone.tokenizer, decoding=DecodingOptions(**options))
    _ = made.decoder.packed  # made on first use, and not what is measured
    return made


def weight_bytes(backbone: Backbone) -> int:
    """Bytes of weights that one forward pass reads: all but an embedding table that is not the head, too."""
    embedding = backbone.model.get_input_embeddings().weight
    head = backbone.model.get_output_embeddings().weight
    total = sum(p.numel() * p.element_size() for p in backbone.model.parameters())
    if backbone.number_format == "int8":
        # What stays float is the embedding, which is the exact head, and biases; the int8 head is read.
        layers = [m.int8_weight for m in backbone.model.modules() if isinstance(m, Int8Linear)]
        return sum({id(weight): weight.bytes for weight in layers}.values())
    return total if head is embedding else total - embedding.numel() * embedding.element_size()


def bandwidth(device: torch.device) -> float:
    """Bytes per second of reading memory with all that the device has, the best of several."""
    data = torch.ones(2**27, device=device)
    best = min(_seconds(lambda: data.sum().item()) for _ in range(7))
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
