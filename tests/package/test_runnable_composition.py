"""LatentSeek as LangChain handles any Runnable: copies, settings of a call, retries, fallbacks, events."""

import copy
import pickle
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from latentseek_agents import (
    Backbone,
    BackboneError,
    ConfigError,
    LatentSeek,
    LatentSeekConfig,
    LatentSeekNode,
    LatentSeekResult,
    Verdict,
)
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone
from latentseek_agents.tools import Combined, SelfReward, StepVerifier

CONFIG = LatentSeekConfig(max_new_tokens=16, fraction=0.3, max_iterations=3, learning_rate=0.3)
QUESTION = "What is 2 + 2?"


def refusing(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    """Nothing is good enough."""
    return Verdict(-1, False)


def text_of(result: LatentSeekResult) -> str:
    """What a chain goes on with."""
    return result.text


def test_deep_copies_share_model_and_verifier(tiny: Backbone) -> None:
    verifier = ScriptedVerifier([0])
    seek = LatentSeek(tiny, verifier, CONFIG)
    copied = copy.deepcopy(seek)
    assert copied is not seek
    assert (copied.backbone, copied.config) == (tiny, CONFIG)
    assert copied.invoke(QUESTION).text == seek.invoke(QUESTION).text
    assert len(verifier.calls) == 2
    chain = copy.deepcopy(seek | RunnableLambda(text_of))
    assert chain.invoke(QUESTION) == seek.invoke(QUESTION).text


def test_what_holds_a_model_is_copied_with_it(tiny: Backbone) -> None:
    assert copy.deepcopy(tiny) is copy.copy(tiny) is tiny
    judge: Any = copy.deepcopy(Combined(StepVerifier(), SelfReward(tiny)))
    assert isinstance(judge, Combined)
    node = copy.deepcopy(LatentSeekNode(tiny, verifier=refusing, config=CONFIG))
    assert node.config == CONFIG


def test_a_loaded_model_is_not_pickled_by_accident(tiny: Backbone) -> None:
    for holder in (tiny, LatentSeek(tiny, refusing, CONFIG), SelfReward(tiny)):
        with pytest.raises(BackboneError, match="not pickled"):
            pickle.dumps(holder)


async def test_a_call_may_change_settings(tiny: Backbone) -> None:
    seek = LatentSeek(tiny, refusing, CONFIG)
    short = seek.bind(max_iterations=1)
    assert [len(result.iterations) for result in (seek.invoke(QUESTION), short.invoke(QUESTION))] == [4, 2]
    assert len((await short.ainvoke(QUESTION)).iterations) == 2
    assert len(list(short.stream(QUESTION))) == 2
    assert len([snapshot async for snapshot in short.astream(QUESTION)]) == 2
    assert [len(result.iterations) for result in short.batch([QUESTION] * 2)] == [2, 2]
    last = LatentSeek(tiny, ScriptedVerifier([-0.4, -0.9]), CONFIG).invoke(QUESTION, keep="last")
    assert last.score == -0.9
    assert seek.config == CONFIG
    for wrong in ({"max_iteration": 1}, {"max_iterations": -1}):
        with pytest.raises(ConfigError):
            seek.bind(**wrong).invoke(QUESTION)


async def test_a_search_that_fails_is_tried_again_or_replaced(tiny: Backbone) -> None:
    calls: list[str] = []

    def flaky(prompt: str) -> str:
        calls.append(prompt)
        if len(calls) % 2:
            raise OSError("now and then")
        return "The answer is 4."

    seek = LatentSeek(scripted_backbone(flaky), ScriptedVerifier([0]), CONFIG)
    patient = seek.with_retry(retry_if_exception_type=(OSError,), wait_exponential_jitter=False)
    assert patient.invoke(QUESTION).answer == "4"
    assert (await patient.ainvoke(QUESTION)).answer == "4"
    safe = seek.with_fallbacks([LatentSeek(tiny, ScriptedVerifier([0]), CONFIG)])
    assert safe.invoke(QUESTION).passed is True
    assert len(calls) == 5


async def test_events_name_the_run_and_carry_the_result(tiny: Backbone) -> None:
    seek = LatentSeek(tiny, refusing, CONFIG).with_config(tags=["mine"], run_name="search")
    events: list[Any] = [event async for event in seek.astream_events(QUESTION, version="v2")]
    assert events[0]["event"] == "on_chain_start"
    assert events[-1]["event"] == "on_chain_end"
    assert events[-1]["data"]["output"].text == seek.invoke(QUESTION).text
    iterations = {f"iteration {n}" for n in range(CONFIG.max_iterations + 1)}
    assert {event["name"] for event in events} == {"search", "latentseek_iteration"} | iterations
    assert all("mine" in event["tags"] for event in events)


def test_a_batch_yields_results_as_they_come(tiny: Backbone) -> None:
    seek = LatentSeek(tiny, refusing, CONFIG)
    questions = [f"What is {n} + 2?" for n in range(5)]
    found = dict(seek.batch_as_completed([*questions, None], {"max_concurrency": 3}, return_exceptions=True))
    assert [found[n].question for n in range(5)] == questions  # type: ignore[union-attr]
    assert isinstance(found[5], Exception)
