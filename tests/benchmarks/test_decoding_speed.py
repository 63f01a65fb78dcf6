"""The speeds of decoding: what is counted, and that every engine writes the same number of tokens."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.testing import tiny_backbone

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from _decoding_speed import (
    BatchSpeed,
    DecodingTimes,
    LlamaCpp,
    TorchEngine,
    has_llama_cpp,
    measure_in_turns,
    speed_figures,
    speed_table,
)

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12]]


class Clockwork:
    """An engine that writes a token each so many seconds."""

    def __init__(self, seconds: float, calls: list[float]) -> None:
        self.seconds, self.calls = seconds, calls

    def write(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> DecodingTimes:
        self.calls.append(self.seconds)
        moments = [[self.seconds * (i + 1) for i in range(new_tokens)] for _ in prompts]
        return DecodingTimes(moments, [[1] * new_tokens for _ in prompts])


def test_what_comes_before_the_last_first_token_is_not_counted():
    # The first sequence waits from 1 to 6 while the prompt of the second is read.
    times = DecodingTimes([[1.0, 6.0, 7.0, 8.0], [6.0, 7.0, 8.0, 9.0]], [[1] * 4, [2] * 4])
    assert times.tokens_per_second == pytest.approx(5 / 3)


def test_our_decoder_writes_the_greedy_tokens_and_keeps_nothing():
    backbone = tiny_backbone()
    engine = TorchEngine(backbone)
    times = [engine.write(PROMPTS, 6) for _ in range(2)]
    requests = [
        DecodeRequest(prompt_ids=prompt, max_new_tokens=6, end_token_ids=frozenset()) for prompt in PROMPTS
    ]
    expected = [completion.token_ids for completion in decode(backbone, requests)]
    assert [one.token_ids for one in times] == [expected, expected]
    assert [list(map(len, one.moments)) for one in times] == [[6, 6], [6, 6]]


def test_engines_take_turns_and_ratios_are_within_a_round():
    calls: list[float] = []
    engines = {"float32": Clockwork(0.2, calls), "int8": Clockwork(0.05, calls)}
    speed = measure_in_turns(engines, PROMPTS, 5, rounds=2)
    assert calls[2:] == [0.2, 0.05, 0.2, 0.05]
    assert speed.ratio("int8", "float32") == pytest.approx(4)
    assert speed_figures(speed)["ratios"] == {"int8/float32": pytest.approx(4)}
    table = speed_table({2: speed})
    assert [list(column.cells) for column in table.columns] == [["2"], ["10.0"], ["40.0"], ["4.00 x"]]


def test_agreement_ends_with_the_first_token_that_differs():
    speed = BatchSpeed(
        token_ids={"int8": [[1, 2, 3, 4], [1, 2, 3, 4]], "float32": [[1, 2, 3, 4], [1, 9, 3, 4]]}
    )
    assert speed.agreement("int8", "float32") == 5 / 8


@pytest.mark.model
@pytest.mark.skipif(not has_llama_cpp(), reason="llama-cpp-python is not installed")
def test_llama_cpp_continues_several_sequences_as_it_does_one():
    from latentseek_agents.engine.loading import embedded_gguf

    engine = LlamaCpp(embedded_gguf(), threads=1)
    prompts = [[504, 3575, 282, 4649, 314], [504, 1250, 314], [1, 2, 3, 4]]
    together = engine.write(prompts, 8).token_ids
    assert together == [engine.write([prompt], 8).token_ids[0] for prompt in prompts]
