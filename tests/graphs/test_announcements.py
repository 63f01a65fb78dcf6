"""What a run announces between its iterations, if it asks for it: steps, and the text while it is written."""

from collections.abc import Mapping
from typing import Any

import pytest

from latentseek_agents import ConfigError, LatentSeekConfig
from latentseek_agents.graphs import RefineContext, create_math_agent, create_refine_graph
from latentseek_agents.graphs.announcements import WrittenText
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_backbone, tiny_tokenizer

REPLIES = ["Ein € und 2 + 2 = 5.", "Then 2 + 2 = 4."]
CONFIG = LatentSeekConfig(max_new_tokens=60, proposals="samples", max_iterations=1)


def events(graph: Any, **context: Any) -> list[Mapping[str, Any]]:
    run = graph.compile().stream(
        {"question": "What is 2 + 2?"}, context=RefineContext(**context), stream_mode="custom"
    )
    return list(run)


def written(announced: list[Mapping[str, Any]], iteration: int) -> str:
    texts = [one for one in announced if one["type"] == "latentseek_text" and one["iteration"] == iteration]
    return "".join(one["text"] for one in texts)


def test_steps_and_text_come_in_their_order():
    graph = create_refine_graph(scripted_backbone(REPLIES), verifier=ScriptedVerifier([-1]), config=CONFIG)
    announced = events(graph, stream_text=True)
    steps = [(one["step"], one["iteration"]) for one in announced if one["type"] == "latentseek_step"]
    assert steps == [("draft", 0), ("prepare", 0), ("judge", 0), ("refine", 1), ("judge", 1)]
    assert [written(announced, number) for number in (0, 1)] == REPLIES
    kinds = [one["type"].removeprefix("latentseek_") for one in announced]
    assert list(dict.fromkeys(kinds)) == ["step", "text", "iteration"]
    last_text = max(place for place, kind in enumerate(kinds) if kind == "text")
    assert kinds[last_text + 1 :] == ["step", "iteration"]


def test_a_run_that_does_not_ask_hears_of_iterations_alone():
    graph = create_refine_graph(scripted_backbone(REPLIES), verifier=ScriptedVerifier([-1]), config=CONFIG)
    assert {one["type"] for one in events(graph)} == {"latentseek_iteration"}


def test_the_caller_still_hears_every_token():
    heard: list[int] = []
    backbone = scripted_backbone(REPLIES)
    graph = create_refine_graph(
        backbone, verifier=ScriptedVerifier([-1]), config=CONFIG, on_token=heard.append
    )
    announced = events(graph, stream_text=True)
    counts = {one["iteration"]: one["tokens"] for one in announced if one["type"] == "latentseek_text"}
    assert sum(counts.values()) == len(heard) > 0


def test_several_solutions_at_once_are_counted_only():
    config = CONFIG.replace(num_samples=2)
    graph = create_refine_graph(scripted_backbone(REPLIES), verifier=ScriptedVerifier([-1]), config=config)
    announced = events(graph, stream_text=True)
    assert written(announced, 0) == REPLIES[0]
    assert written(announced, 1) == ""
    assert any(one["type"] == "latentseek_text" and one["iteration"] == 1 for one in announced)


def test_a_run_may_choose_how_attempts_are_made():
    config = LatentSeekConfig(max_new_tokens=12, fraction=0.5, learning_rate=1.0, max_iterations=1)
    graph = create_refine_graph(tiny_backbone(), verifier=ScriptedVerifier([-1]), config=config)
    moved = events(graph)
    drawn = events(graph, proposals="samples")
    assert [bool(one["latents"]) for one in moved] == [True, True]
    assert [bool(one["latents"]) for one in drawn] == [False, False]
    with pytest.raises(ConfigError, match="proposals='guesses'"):
        events(graph, proposals="guesses")


def test_the_agents_search_announces_its_text_too():
    agent = create_math_agent(
        scripted_backbone(REPLIES), verifier=ScriptedVerifier([-1]), config=LatentSeekConfig(max_iterations=1)
    )
    assert "latentseek_text" in {one["type"] for one in events(agent, stream_text=True)}


def test_pieces_wait_for_their_time_and_none_is_lost():
    said: list[Any] = []
    text = WrittenText(said.append, tiny_tokenizer(), 3, seconds_between=1000)
    for token in tiny_tokenizer()("€€")["input_ids"]:
        text.take(token)
    assert said == []
    text.finish()
    text.finish()
    assert said == [{"type": "latentseek_text", "iteration": 3, "text": "€€", "tokens": 6}]
