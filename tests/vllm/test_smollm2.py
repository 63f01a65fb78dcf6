"""A trained model: eight questions, three iterations, both kinds of latents, on both engines."""

from typing import Any

import pytest

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig
from latentseek_agents.testing import ScriptedVerifier

pytestmark = pytest.mark.model

QUESTIONS = [
    "A baker makes 12 trays of 18 rolls and sells them in bags of 8 for $3. How much does she earn?",
    "Tom reads 24 pages a day. His book has 312 pages. How many days does he need?",
    "A tank of 540 litres loses 15 litres an hour and gains 6. After how many hours is it empty?",
    "Anna has 3 times as many stamps as Ben. Ben has 22. How many has Anna?",
    "What is 12 * 7 + 3?",
    "A train goes 60 km in 45 minutes. How far does it go in 2 hours?",
    "If 3x + 5 = 20, what is x?",
    "Lena saves 5 euros a week. After how many weeks has she 85?",
]


@pytest.fixture(scope="module")
def engines() -> list[Backbone]:
    served = Backbone.vllm(
        dtype="float32", enforce_eager=True, kv_cache_memory_bytes=2**28, max_model_len=2048
    )
    return [served, Backbone.embedded(dtype="float32", device="cpu")]


@pytest.mark.parametrize("latents", ["consistent", "independent"])
def test_attempts_are_the_same_token_for_token(engines: list[Backbone], latents: Any):
    """A tie to rounding may send one question's attempts apart; none is known among these."""
    config = LatentSeekConfig(
        max_new_tokens=40, max_iterations=3, latents=latents, learning_rate=0.1, fraction=0.5
    )
    written = []
    for engine in engines:
        seek = LatentSeek(engine, ScriptedVerifier([-1.0]), config)
        results = seek.batch(QUESTIONS, config={"max_concurrency": 8})
        written.append([[attempt["token_ids"] for attempt in result.iterations] for result in results])
    assert all(len(attempts) == 4 for attempts in written[0])
    assert all(len({tuple(ids) for ids in attempts}) > 1 for attempts in written[0])
    ties = [one for one, other in zip(*written, strict=True) if one != other]
    assert len(ties) <= 1
