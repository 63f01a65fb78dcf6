"""Tokens per second of greedy decoding: float32, int8, llama.cpp and vLLM, in turns within one run.

All are given the same prompts, the same number of threads and the same number of tokens to write, and none
may end early. Counted is what is written after every sequence has its first token, so that reading the
prompts is in none of the figures. llama.cpp is measured where the package ``llama_cpp`` can be imported, vLLM
where it is installed.
"""

import ctypes
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.table import Table

from latentseek_agents import Backbone
from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode

__all__ = [
    "DecodingTimes",
    "Engine",
    "LlamaCpp",
    "TorchEngine",
    "VLLMEngine",
    "has_llama_cpp",
    "has_vllm",
    "measure_in_turns",
    "speed_figures",
    "speed_table",
]


@dataclass(frozen=True)
class DecodingTimes:
    """When each token of each sequence was written, and which.

    Args:
        moments: Seconds on one clock, in order, for each sequence.
        token_ids: What was written, for each sequence.
    """

    moments: list[list[float]]
    token_ids: list[list[int]]

    @property
    def tokens_per_second(self) -> float:
        """Of all sequences together, from the moment at which the last of them has its first token."""
        start = max(moments[0] for moments in self.moments)
        later = [moment for moments in self.moments for moment in moments if moment > start]
        return len(later) / (max(later) - start)


class Engine(Protocol):
    """What decodes."""

    def write(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> DecodingTimes:
        """Continue all prompts at once by exactly so many tokens, each the most probable one."""


class TorchEngine:
    """Our decoder. It keeps nothing from one call to the next.

    Args:
        backbone: Its model and tokenizer are used.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = Backbone(
            backbone.model, backbone.tokenizer, decoding=DecodingOptions(reuse=False, max_rows=64)
        )
        decoder: Any = self._backbone.decoder
        _ = decoder.packed  # made on first use, and not what is measured

    def write(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> DecodingTimes:
        """See :class:`Engine`."""
        return _timed_decoding(self._backbone, prompts, new_tokens)


class VLLMEngine:
    """vLLM through the door of our decoder. Nothing is asked of its logits.

    Args:
        backbone: One from ``Backbone.vllm(..., enable_prefix_caching=False)``.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone

    def write(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> DecodingTimes:
        """See :class:`Engine`."""
        return _timed_decoding(self._backbone, prompts, new_tokens)


def _timed_decoding(backbone: Backbone, prompts: Sequence[Sequence[int]], new_tokens: int) -> DecodingTimes:
    moments: list[list[float]] = [[] for _ in prompts]
    requests = [
        DecodeRequest(
            prompt_ids=prompt,
            max_new_tokens=new_tokens,
            end_token_ids=frozenset(),
            on_token=lambda _, own=own: own.append(time.perf_counter()),  # type: ignore[misc]
            states=0,
        )
        for prompt, own in zip(prompts, moments, strict=True)
    ]
    completions = decode(backbone, requests)
    return DecodingTimes(moments, [completion.token_ids for completion in completions])


def has_vllm() -> bool:
    """Whether vLLM is installed."""
    return find_spec("vllm") is not None


def has_llama_cpp() -> bool:
    """Whether the package ``llama_cpp`` can be imported."""
    try:
        import llama_cpp  # noqa: F401 - whether its own library loads shows only now
    except (ImportError, OSError, RuntimeError):
        return False
    return True


class LlamaCpp:
    """llama.cpp by its own functions: one batch holds one token of each sequence.

    Args:
        gguf: The file with the weights.
        threads: For prompts and for single tokens.

    Raises:
        RuntimeError: The file cannot be loaded.
    """

    def __init__(self, gguf: Path, threads: int) -> None:
        import llama_cpp

        self._api: Any = llama_cpp
        self._threads = threads
        # Whatever is printed comes through this function, which must live as long as the library.
        self._silent = self._api.llama_log_callback(lambda *_: None)
        self._api.llama_log_set(self._silent, ctypes.c_void_p(0))
        self._api.llama_backend_init()
        self._model = self._api.llama_model_load_from_file(
            str(gguf).encode(), self._api.llama_model_default_params()
        )
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {gguf}; check that it is a whole GGUF file")
        self._vocabulary = self._api.llama_vocab_n_tokens(self._api.llama_model_get_vocab(self._model))

    def write(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> DecodingTimes:
        """See :class:`Engine`."""
        total = sum(map(len, prompts))
        context = self._context(len(prompts), max(map(len, prompts)) + new_tokens, total)
        batch = self._api.llama_batch_init(max(total, len(prompts)), 0, 1)
        moments: list[list[float]] = [[] for _ in prompts]
        written: list[list[int]] = [[] for _ in prompts]
        parts, starts = [list(prompt) for prompt in prompts], [0] * len(prompts)
        try:
            for _ in range(new_tokens):
                tokens = self._next_tokens(context, batch, parts, starts)
                now = time.perf_counter()
                starts = [start + len(part) for start, part in zip(starts, parts, strict=True)]
                parts = [[token] for token in tokens]
                for row, token in enumerate(tokens):
                    moments[row].append(now)
                    written[row].append(token)
        finally:
            self._api.llama_batch_free(batch)
            self._api.llama_free(context)
        return DecodingTimes(moments, written)

    def _context(self, sequences: int, longest: int, batch_tokens: int) -> Any:
        parameters = self._api.llama_context_default_params()
        # Each sequence has a part of its own, as in llama-batched-bench; such parts have multiples of 256.
        parameters.n_ctx = sequences * -(-longest // 256) * 256
        parameters.n_seq_max = sequences
        parameters.n_batch = max(batch_tokens, sequences)
        parameters.n_threads = parameters.n_threads_batch = self._threads
        context = self._api.llama_init_from_model(self._model, parameters)
        if not context:
            raise RuntimeError(f"llama.cpp has no memory for {sequences} sequences of {longest} tokens")
        return context

    def _next_tokens(
        self, context: Any, batch: Any, parts: Sequence[Sequence[int]], starts: Sequence[int]
    ) -> list[int]:
        """Compute the next part of every sequence, and choose the token that follows each."""
        last = []
        count = 0
        for row, (part, start) in enumerate(zip(parts, starts, strict=True)):
            for offset, token in enumerate(part):
                batch.token[count], batch.pos[count] = token, start + offset
                batch.n_seq_id[count], batch.seq_id[count][0] = 1, row
                batch.logits[count] = offset == len(part) - 1
                count += 1
            last.append(count - 1)
        batch.n_tokens = count
        status = self._api.llama_decode(context, batch)
        if status:
            raise RuntimeError(f"llama_decode ended with status {status}")
        return [self._most_probable(context, place) for place in last]

    def _most_probable(self, context: Any, place: int) -> int:
        logits = self._api.llama_get_logits_ith(context, place)
        return int(np.ctypeslib.as_array(logits, shape=(self._vocabulary,)).argmax())


@dataclass
class BatchSpeed:
    """What was measured at one batch size.

    Args:
        rates: Tokens per second of each engine, one figure per round.
        token_ids: What each engine wrote first.
    """

    rates: dict[str, list[float]] = field(default_factory=dict)
    token_ids: dict[str, list[list[int]]] = field(default_factory=dict)

    def ratio(self, name: str, other: str) -> float:
        """The median over rounds of one engine's rate over another's in the same round."""
        pairs = zip(self.rates[name], self.rates[other], strict=True)
        return statistics.median(rate / against for rate, against in pairs)

    def agreement(self, name: str, other: str) -> float:
        """The share of tokens that stand before the first that differs, over all sequences."""
        shared = total = 0
        for one, two in zip(self.token_ids[name], self.token_ids[other], strict=True):
            differs = [a != b for a, b in zip(one, two, strict=True)]
            shared += differs.index(True) if True in differs else len(one)
            total += len(one)
        return shared / total


def measure_in_turns(
    engines: Mapping[str, Engine], prompts: Sequence[Sequence[int]], new_tokens: int, rounds: int
) -> BatchSpeed:
    """Let every engine write the same, one after the other, so often.

    Args:
        engines: By name.
        prompts: One per sequence, all different.
        new_tokens: How many tokens each sequence gets, at least 2.
        rounds: How many figures there are for each.
    """
    speed = BatchSpeed()
    for engine in engines.values():  # the first call sets up memory and kernels
        engine.write(prompts[:1], 2)
    for _ in range(rounds):
        for name, engine in engines.items():
            times = engine.write(prompts, new_tokens)
            speed.rates.setdefault(name, []).append(times.tokens_per_second)
            speed.token_ids.setdefault(name, times.token_ids)
    return speed


RATIOS = (
    ("int8", "float32"),
    ("int8", "bfloat16"),
    ("int8", "llama.cpp"),
    ("float32", "llama.cpp"),
    ("vllm", "float32"),
    ("vllm", "bfloat16"),
)


def speed_figures(speed: BatchSpeed) -> dict[str, Any]:
    """Rates and ratios of one batch size, for JSON."""
    return {
        "tokens_per_second": speed.rates,
        "ratios": {f"{a}/{b}": speed.ratio(a, b) for a, b in _measured(speed)},
        "same_beginning": {f"{a}/{b}": speed.agreement(a, b) for a, b in _measured(speed)},
    }


def speed_table(speeds: Mapping[int, BatchSpeed]) -> Table:
    """A line per batch size: the median rates, and the ratios."""
    first = next(iter(speeds.values()))
    ratios = _measured(first)
    table = Table(
        "batch", *first.rates, *(f"{a}\nover {b}" for a, b in ratios), title="decoding, tokens per second"
    )
    for size, speed in speeds.items():
        rates = (f"{statistics.median(found):.1f}" for found in speed.rates.values())
        table.add_row(str(size), *rates, *(f"{speed.ratio(a, b):.2f} x" for a, b in ratios))
    return table


def _measured(speed: BatchSpeed) -> list[tuple[str, str]]:
    return [(a, b) for a, b in RATIOS if a in speed.rates and b in speed.rates]
