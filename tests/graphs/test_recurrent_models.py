"""Searches on recurrent and hybrid models are stored, resumed and cancelled as on all others."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from latentseek_agents import Backbone, ChatLatentSeek, LatentSeek, LatentSeekConfig, Verdict
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import tiny_backbone

QUESTION: Any = {"question": "How many legs have three cats?"}
THREAD: Any = {"configurable": {"thread_id": "1"}}
CONFIG = LatentSeekConfig(max_new_tokens=12, fraction=0.5, max_iterations=3, learning_rate=1.0)
# States beside keys and values, a cache of the model's own class, a plain list of tensors.
KINDS = ["qwen3_5_text", "minimax", "rwkv"]
SETTINGS = {
    "independent": CONFIG,
    "consistent": CONFIG.replace(latents="consistent"),
    "sampled": CONFIG.replace(num_samples=2, temperature=1.0, continuation_temperature=0.7, max_iterations=2),
    "samples": LatentSeekConfig.agreement(
        proposals="samples", max_new_tokens=12, num_samples=2, max_iterations=2
    ),
}


def by_text(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    return Verdict(-0.3 - 0.6 * (sum(solution.encode()) % 10) / 10, False)


def stored(saver: SqliteSaver) -> list[bytes]:
    """The latents of all checkpoints, each once, the newest first."""
    states = [checkpoint.checkpoint["channel_values"] for checkpoint in saver.list(THREAD)]
    return list(dict.fromkeys(state["latents"] for state in states if state.get("latents")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", list(SETTINGS))
def test_a_search_goes_on_from_a_checkpoint_to_the_same_end(kind: str, settings: str, tmp_path: Path) -> None:
    def app(name: str, backbone: Backbone, **options: Any) -> Any:
        saver = SqliteSaver(sqlite3.connect(tmp_path / name, check_same_thread=False))
        graph = create_refine_graph(backbone, verifier=by_text, config=SETTINGS[settings])
        return graph.compile(checkpointer=saver, **options)

    whole = app("whole", tiny_backbone(kind))
    expected = whole.invoke(QUESTION, THREAD, durability="sync")
    attempts = [attempt["token_ids"] for attempt in expected["iterations"]]
    assert len({tuple(tokens) for tokens in attempts}) > 1, "nothing changed: the test shows nothing"
    # Each step by another model in memory, as another process would have it.
    parts = app("parts", tiny_backbone(kind), interrupt_after="*")
    parts.invoke(QUESTION, THREAD, durability="sync")
    steps = 1
    while parts.get_state(THREAD).tasks:
        parts = app("parts", tiny_backbone(kind), interrupt_after="*")
        parts.invoke(None, THREAD, durability="sync")
        steps += 1
    got = parts.get_state(THREAD).values
    assert steps >= 4
    assert [attempt["token_ids"] for attempt in got["iterations"]] == attempts
    assert [attempt["score"] for attempt in got["iterations"]] == [
        attempt["score"] for attempt in expected["iterations"]
    ]
    assert (got["text"], got["stop_reason"]) == (expected["text"], expected["stop_reason"])
    assert stored(parts.checkpointer) == stored(whole.checkpointer)


class Held:
    """Holds a model at one of its forward passes until it may go on."""

    def __init__(self, backbone: Backbone, hold_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes = 0
        self.reached, self.go_on, self.ended = (threading.Event() for _ in range(3))
        layers, decode_all = backbone.policy.layers_of_rows, backbone.decoder.decode

        def held(*given: Any) -> Any:
            self.passes += 1
            if self.passes == hold_at:
                self.reached.set()
                assert self.go_on.wait(60)
            return layers(*given)

        def watched(requests: Any) -> Any:
            try:
                return decode_all(requests)
            finally:
                self.ended.set()

        monkeypatch.setattr(backbone.policy, "layers_of_rows", held)
        monkeypatch.setattr(backbone.decoder, "decode", watched)


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize("hold_at", [4, 16])
@pytest.mark.parametrize("made", ["graph", "runnable", "chat"])
async def test_a_cancelled_search_stops_within_a_token(
    kind: str, hold_at: int, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At pass 4 the draft is being written, at pass 16 a refinement."""
    backbone = tiny_backbone(kind)
    assert backbone.policy.reads_rows_together in (True, False)  # found by passes of its own
    held = Held(backbone, hold_at, monkeypatch)
    apps: dict[str, Any] = {
        "graph": create_refine_graph(backbone, verifier=by_text, config=CONFIG).compile(),
        "runnable": LatentSeek(backbone, by_text, CONFIG),
        "chat": ChatLatentSeek(backbone=backbone, verifier=by_text, config=CONFIG, max_tokens=12),
    }
    asked = QUESTION["question"] if made == "chat" else QUESTION
    task = asyncio.create_task(apps[made].ainvoke(asked))
    assert await asyncio.to_thread(held.reached.wait, 60)
    held.ended.clear()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.go_on.set()
    assert await asyncio.to_thread(held.ended.wait, 60)
    assert held.passes == hold_at, "the pass in hand is the last"
    # The model is as it was: the next search is that of a fresh one.
    monkeypatch.undo()
    again, fresh = (
        LatentSeek(one, by_text, CONFIG).invoke(QUESTION) for one in (backbone, tiny_backbone(kind))
    )
    assert again.iterations == fresh.iterations
