"""A search that is cancelled, drained or out of time: it stops soon, and goes on from where it was."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import GraphDrained
from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl
from typing_extensions import TypedDict

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig, LatentSeekNode, Verdict
from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.engine.cancellation import Cancelled, stopped_by
from latentseek_agents.graphs import create_best_of_n_graph, create_math_agent, create_refine_graph
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone
from latentseek_agents.verdict import Check

CONFIG = LatentSeekConfig(max_new_tokens=24, fraction=0.4, max_iterations=4, learning_rate=0.3)
QUESTION: Any = {"question": "How many legs have three cats?"}
THREAD: Any = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    question: str
    answer: str
    result: dict[str, Any]


def by_length(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    return Verdict(-0.3 - 0.6 * (len(solution) * 7 % 10) / 10, False)


def graph(backbone: Backbone, verifier: Any, config: LatentSeekConfig = CONFIG, **options: Any) -> Any:
    return create_refine_graph(backbone, verifier=verifier, config=config).compile(**options)


def node(backbone: Backbone, verifier: Any, config: LatentSeekConfig = CONFIG, **options: Any) -> Any:
    seek = LatentSeekNode(backbone, verifier=verifier, config=config, result_key="result")
    return StateGraph(State).add_node("seek", seek).add_edge(START, "seek").compile(**options)


def runnable(backbone: Backbone, verifier: Any, config: LatentSeekConfig = CONFIG) -> Any:
    return LatentSeek(backbone, verifier, config)


def agent(backbone: Backbone, verifier: Any) -> Any:
    return create_math_agent(backbone, verifier=verifier, config=CONFIG).compile()


def baseline(backbone: Backbone, verifier: Any) -> Any:
    return create_best_of_n_graph(backbone, verifier=verifier, config=CONFIG).compile()


class Writing:
    """Counts tokens; holds the writer at one of them until it may go on."""

    def __init__(self, hold_at: int) -> None:
        self.hold_at = hold_at
        self.tokens = 0
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.ended = threading.Event()

    def delay(self) -> None:
        """Before each token."""
        self.tokens += 1
        if self.tokens == self.hold_at:
            self.reached.set()
            assert self.go_on.wait(60)

    def watched(self, backbone: Backbone) -> Backbone:
        decoder = backbone.decoder
        decode_all = decoder.decode

        def watch(requests: Any) -> Any:
            try:
                return decode_all(requests)
            finally:
                self.ended.set()

        decoder.decode = watch  # type: ignore[method-assign]
        return backbone


async def waiting(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 60)


async def consume(app: Any, how: str) -> None:
    if how == "ainvoke":
        await app.ainvoke(QUESTION)
    else:
        async for _ in app.astream(QUESTION):
            pass


@pytest.mark.parametrize("how", ["ainvoke", "astream"])
@pytest.mark.parametrize("made", [graph, node, runnable, agent, baseline])
@pytest.mark.parametrize("hold_at", [3, 40])
async def test_a_cancelled_task_stops_within_a_token(
    made: Callable[..., Any], how: str, hold_at: int
) -> None:
    """At token 3 the draft is being written, at token 40 what follows the first refinement."""
    writing = Writing(hold_at)
    script = ["a solution of thirty-odd characters.", "another solution, of thirty characters"] * 9
    backbone = writing.watched(scripted_backbone(script, delay=writing.delay))
    task = asyncio.create_task(consume(made(backbone, ScriptedVerifier([-1.0])), how))
    await waiting(writing.reached)
    writing.ended.clear()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    writing.go_on.set()
    await waiting(writing.ended)
    assert writing.tokens == hold_at, "the token in hand is the last"


def test_a_real_decoder_stops_and_goes_on_with_others(tiny: Backbone) -> None:
    stop, seen = threading.Event(), []

    def listen(token: int) -> None:
        seen.append(token)
        if len(seen) == 3:
            stop.set()

    request = DecodeRequest(
        prompt_ids=[5, 6, 7], max_new_tokens=20, end_token_ids=frozenset(), on_token=listen
    )
    with stopped_by(stop), pytest.raises(Cancelled):
        decode(tiny, [request])
    assert len(seen) == 3
    with stopped_by(stop), pytest.raises(Cancelled):
        decode(tiny, [request])
    assert len(seen) == 3, "nothing is begun that nobody waits for"
    (completion,) = decode(tiny, [request])
    assert completion.new_tokens == 20


def test_a_stop_from_outside_holds_inside(tiny: Backbone) -> None:
    outer = threading.Event()
    outer.set()
    with stopped_by(outer), stopped_by(threading.Event()), pytest.raises(Cancelled):
        decode(tiny, [DecodeRequest(prompt_ids=[5], max_new_tokens=1, end_token_ids=frozenset())])


@pytest.mark.parametrize("made", [graph, node])
def test_drained_in_the_middle_and_resumed_it_ends_the_same(
    tiny: Backbone, made: Callable[..., Any], tmp_path: Path
) -> None:
    def connect(name: str) -> SqliteSaver:
        return SqliteSaver(sqlite3.connect(tmp_path / name, check_same_thread=False))

    expected = made(tiny, by_length, checkpointer=connect("whole")).invoke(QUESTION, THREAD)
    control, judged = RunControl(), []

    def draining(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        judged.append(solution)
        if len(judged) == 2:
            control.request_drain("the machine is needed")
        return by_length(question, solution)

    app = made(tiny, draining, checkpointer=connect("drained"))
    with pytest.raises(GraphDrained, match="the machine is needed"):
        app.invoke(QUESTION, THREAD, control=control, durability="sync")
    assert len(judged) == 2
    resumed: list[str] = []

    def noting(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        resumed.append(solution)
        return by_length(question, solution)

    again = made(tiny, noting, checkpointer=connect("drained"))
    result = again.invoke(None, THREAD, durability="sync")
    assert without_costs(result) == without_costs(expected)
    assert resumed
    assert not set(resumed) & set(judged), "what was judged before the drain is not judged again"


async def test_drained_under_asyncio_as_well(tiny: Backbone) -> None:
    expected = await node(tiny, by_length).ainvoke(QUESTION)
    control = RunControl()

    def draining(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        control.request_drain()
        return by_length(question, solution)

    saver = InMemorySaver()
    with pytest.raises(GraphDrained):
        await node(tiny, draining, checkpointer=saver).ainvoke(QUESTION, THREAD, control=control)
    result = await node(tiny, by_length, checkpointer=saver).ainvoke(None, THREAD)
    assert without_costs(result) == without_costs(expected)


def without_costs(state: dict[str, Any]) -> dict[str, Any]:
    """All but what depends on what is cached, and on how often it was stopped."""
    kept = {name: value for name, value in state.items() if name != "usage"}
    if "result" in kept:
        kept["result"] = without_costs(kept["result"])
    return kept


@pytest.mark.parametrize("made", [graph, node, runnable])
def test_out_of_seconds_returns_the_draft(tiny: Backbone, made: Callable[..., Any]) -> None:
    """A budget that the draft uses up: nothing is refined, wherever the search runs."""
    result = made(tiny, by_length, config=CONFIG.replace(max_seconds=1e-9)).invoke(QUESTION)
    found = result.to_dict() if made is runnable else result.get("result", result)
    assert (found["stop_reason"], len(found["iterations"])) == ("seconds", 1)


class _Opinion:
    """A verifier that likes everything: in a model's opinion, or by a computation."""

    def __init__(self, *, opinion: bool) -> None:
        self.check = Check("judged", passed=True, opinion=opinion)

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(0.0, passed=True, reason="fine", checks=[self.check])


@pytest.mark.parametrize(
    ("reply", "most_tokens", "opinion", "passed"),
    [
        (r"We add 2 and 2, which gives \boxed{4}.", 64, True, True),
        (r"We add 2 and 2, which gives \boxed{4}.", 4, True, False),
        (r"We add 2 and 2, which gives \boxed{4}.", 4, False, True),
        ("I would say yes, as a matter of course.", 64, True, True),
    ],
)
def test_what_was_cut_off_without_an_answer_does_not_pass_on_an_opinion(
    reply: str, most_tokens: int, opinion: bool, passed: bool
):
    verifier = _Opinion(opinion=opinion)
    config = LatentSeekConfig(max_new_tokens=most_tokens, max_iterations=0)
    result = LatentSeek(scripted_backbone([reply]), verifier=verifier, config=config).invoke("2 + 2?")
    assert result.passed is passed
    assert ("cut off" in result.reason) is not passed


def test_what_was_cut_off_without_an_answer_does_not_pass_where_all_opinions_are_against_it():
    def against(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        checks = [Check("judged", passed=False, opinion=True)]
        return Verdict(-0.9, passed=True, reason="low", checks=checks)

    config = LatentSeekConfig(max_new_tokens=4, max_iterations=0, reward_threshold=-0.95)
    reply = r"We add 2 and 2, which gives \boxed{4}."
    result = LatentSeek(scripted_backbone([reply]), verifier=against, config=config).invoke("2 + 2?")
    assert result.passed is False
    assert "cut off" in result.reason
    whole = LatentSeek(scripted_backbone([reply]), verifier=against, config=config.replace(max_new_tokens=64))
    assert whole.invoke("2 + 2?").passed


def test_the_release_accepts_what_was_cut_off():
    config = LatentSeekConfig.paper(max_draft_tokens=4, max_iterations=0)
    backbone = scripted_backbone(["We add 2 and 2, which gives 4."])
    result = LatentSeek(backbone, verifier=_Opinion(opinion=True), config=config).invoke("2 + 2?")
    assert result.passed
