"""A person as the verifier: interrupted, resumed, in every place where a verifier may stand."""

import subprocess
import sys
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from latentseek_agents import LatentSeekConfig, LatentSeekNode, Verdict, VerdictError
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import ScriptedVerifier
from latentseek_agents.tools import Combined, HumanVerifier
from latentseek_agents.verdict import judging_above

CONFIG = LatentSeekConfig(max_new_tokens=8, fraction=0.5, max_iterations=3)
QUESTION = {"question": "What is 2 + 2?", "reference": "4"}
THREAD: Any = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    question: str
    reference: str
    answer: str
    passed: bool | None
    score: float


def compiled(backbone: Backbone, verifier: Any = None, config: LatentSeekConfig = CONFIG) -> Any:
    builder = create_refine_graph(backbone, verifier=verifier or HumanVerifier(), config=config)
    return builder.compile(checkpointer=InMemorySaver())


def shown(result: dict[str, Any]) -> dict[str, Any]:
    """What the person is to judge."""
    (interrupt,) = result["__interrupt__"]
    return interrupt.value


def test_refused_then_accepted(tiny: Backbone):
    graph = compiled(tiny)
    first = shown(graph.invoke(QUESTION, THREAD))
    assert first["question"] == QUESTION["question"]
    assert first["reference"] == "4"
    assert isinstance(first["solution"], str)
    second = shown(graph.invoke(Command(resume="the sum is missing"), THREAD))
    assert set(second) == {"question", "solution", "answer", "reference"}
    result = graph.invoke(Command(resume=True), THREAD)
    assert "__interrupt__" not in result
    assert (result["passed"], result["score"], result["stop_reason"]) == (True, 0.0, "passed")
    assert result["text"] == second["solution"]
    draft, refined = result["iterations"]
    assert (draft["passed"], draft["score"], draft["reason"]) == (False, -1.0, "the sum is missing")
    assert (refined["passed"], refined["reason"]) == (True, "a person accepted it")
    assert [check["name"] for check in refined["checks"]] == ["human"]


def test_payload_and_state_are_plain_values(tiny: Backbone):
    payload = shown(compiled(tiny).invoke({"question": "What is 2 + 2?"}, THREAD))
    assert all(value is None or type(value) is str for value in payload.values())
    assert payload["reference"] is None


def test_several_samples_are_asked_about_one_by_one(tiny: Backbone):
    config = CONFIG.replace(num_samples=2, temperature=1.0, max_iterations=1)
    graph = compiled(tiny, config=config)
    result = graph.invoke(QUESTION, THREAD)
    seen = []
    for value in (-0.9, -0.5, True):
        seen.append(shown(result)["solution"])
        result = graph.invoke(Command(resume=value), THREAD)
        if "__interrupt__" not in result:
            break
    assert "__interrupt__" not in result
    assert result["iterations"][-1]["sample_scores"][-1] in (-0.5, 0.0)


def test_inside_a_node_of_another_graph(tiny: Backbone):
    builder = StateGraph(State)
    builder.add_node("seek", LatentSeekNode(tiny, verifier=HumanVerifier(), config=CONFIG))
    builder.add_edge(START, "seek")
    graph: Any = builder.compile(checkpointer=InMemorySaver())
    assert shown(graph.invoke(QUESTION, THREAD))["reference"] == "4"
    assert shown(graph.invoke(Command(resume=False), THREAD))["question"] == QUESTION["question"]
    result = graph.invoke(Command(resume={"passed": True, "score": -0.1}), THREAD)
    assert (result["passed"], result["score"]) == (True, -0.1)


async def test_asynchronously(tiny: Backbone):
    graph = compiled(tiny)
    assert shown(await graph.ainvoke(QUESTION, THREAD))["reference"] == "4"
    assert (await graph.ainvoke(Command(resume=True), THREAD))["passed"] is True


def test_combined_asks_the_cheap_check_first(tiny: Backbone):
    cheap = ScriptedVerifier([-1.0, 0.0])
    graph = compiled(tiny, Combined(cheap, HumanVerifier(), final=[lambda verdict: not verdict.passed, True]))
    # The cheap check rejects the draft by itself; about the next attempt the person is asked.
    stopped = graph.invoke(QUESTION, THREAD)
    assert len(cheap.calls) == 2
    assert shown(stopped)["solution"] == cheap.calls[-1][1]
    result = graph.invoke(Command(resume=True), THREAD)
    assert result["passed"] is True
    assert [entry["passed"] for entry in result["iterations"]] == [False, True]
    assert result["iterations"][0]["checks"][1]["reason"].startswith("not asked")


def test_after_a_bad_value_another_one_is_taken(tiny: Backbone):
    graph = compiled(tiny)
    graph.invoke(QUESTION, THREAD)
    with pytest.raises(VerdictError, match="but is 7") as caught:
        graph.invoke(Command(resume=7), THREAD)
    assert len(caught.value.attempts) == 1
    with pytest.raises(VerdictError, match="has the keys verdict"):
        graph.invoke(Command(resume={"verdict": True}), THREAD)
    assert graph.invoke(Command(resume=True), THREAD)["passed"] is True


@pytest.mark.parametrize(
    ("value", "passed", "score", "reason"),
    [
        (True, True, 0.0, "a person accepted it"),
        (False, False, -1.0, "a person rejected it"),
        (0, True, 0.0, "a person accepted it"),
        (-0.1, True, -0.1, "a person accepted it"),
        (-0.2, False, -0.2, "a person rejected it"),
        (-1, False, -1.0, "a person rejected it"),
        (" wrong unit ", False, -1.0, "wrong unit"),
        ("no", False, -1.0, "no"),
        ({"passed": True}, True, 0.0, "a person accepted it"),
        ({"passed": None}, None, -1.0, "a person cannot judge it"),
        ({"passed": False, "score": -0.4, "reason": "nearly"}, False, -0.4, "nearly"),
        ({"passed": False, "score": 0}, False, -0.2, "a person rejected it"),
        ({"passed": None, "score": 0}, None, -0.2, "a person cannot judge it"),
        ({"passed": True, "score": -0.15}, True, -0.15, "a person accepted it"),
        ({"score": -0.1, "reason": "fine"}, True, -0.1, "fine"),
        ({"passed": True, "score": None, "reason": None}, True, 0.0, "a person accepted it"),
    ],
)
def test_verdicts(
    monkeypatch: pytest.MonkeyPatch, value: object, passed: bool | None, score: float, reason: str
):
    monkeypatch.setattr("langgraph.types.interrupt", lambda _: value)
    verdict = HumanVerifier()("What is 2 + 2?", "It is 4.")
    assert isinstance(verdict, Verdict)
    assert (verdict.passed, verdict.score, verdict.reason) == (passed, score, reason)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "must be True, False, a score"),
        ([True], "must be True, False, a score"),
        (0.5, r"must lie in \[-1, 0\]"),
        (1, "resume with True or False"),
        (-1.5, r"must lie in \[-1, 0\]"),
        (float("nan"), r"must lie in \[-1, 0\]"),
        ("", "to accept the solution, resume with True"),
        ("Yes!", "to accept the solution, resume with True"),
        ("approve", "to accept the solution, resume with True"),
        ("Approve.", "to accept the solution, resume with True"),
        ("approves", "to accept the solution, resume with True"),
        ("I approve", "to accept the solution, resume with True"),
        ("approve it", "to accept the solution, resume with True"),
        ("LGTM", "to accept the solution, resume with True"),
        ("looks good to me", "to accept the solution, resume with True"),
        ("that's right", "to accept the solution, resume with True"),
        ("Good!", "to accept the solution, resume with True"),
        ("👍", "to accept the solution, resume with True"),
        ("yes, it is correct", "to accept the solution, resume with True"),
        ("I accept the answer", "to accept the solution, resume with True"),
        ("go ahead", "to accept the solution, resume with True"),
        ({}, 'needs "passed" or "score"'),
        ({"reason": "good"}, 'needs "passed" or "score"'),
        ({"accepted": True}, "has the keys accepted"),
        ({"passed": "yes"}, "passed must be True, False or None"),
        ({"passed": True, "score": "high"}, "must be a number"),
        ({"passed": True, "score": True}, "must be a number"),
        ({"passed": True, "reason": 3}, "must be a string"),
        ({"score": 3}, "must lie in"),
        ({"passed": True, "score": -0.9}, "needs one above -0.2; leave out the score"),
        ({"passed": True, "score": -0.2}, "needs one above -0.2"),
    ],
)
def test_what_is_no_verdict(monkeypatch: pytest.MonkeyPatch, value: object, words: str):
    given = iter([value])

    def interrupt(_: object) -> object:
        for one in given:
            return one
        raise GraphInterrupt

    monkeypatch.setattr("langgraph.types.interrupt", interrupt)
    with pytest.raises(VerdictError, match=words):
        HumanVerifier()("What is 2 + 2?", "It is 4.")


def test_threshold(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("langgraph.types.interrupt", lambda _: -0.4)
    assert HumanVerifier()("?", "!").passed is False
    with judging_above(-0.5):
        assert HumanVerifier()("?", "!").passed is True
    assert repr(HumanVerifier()) == "HumanVerifier()"


def test_outside_a_graph():
    with pytest.raises(VerdictError, match="only ask inside a LangGraph graph"):
        HumanVerifier()("What is 2 + 2?", "It is 4.")


@pytest.mark.parametrize("inside", [False, True])
def test_without_a_checkpointer(tiny: Backbone, inside: bool):
    builder: Any = create_refine_graph(tiny, verifier=HumanVerifier(), config=CONFIG)
    if inside:
        builder = StateGraph(State)
        builder.add_node("seek", LatentSeekNode(tiny, verifier=HumanVerifier(), config=CONFIG))
        builder.add_edge(START, "seek")
    with pytest.raises(VerdictError, match="compile it with one, for example") as caught:
        builder.compile().invoke(QUESTION)
    assert len(caught.value.attempts) == 1


def test_importing_it_loads_no_langgraph():
    code = (
        "import sys, latentseek_agents.tools\n"
        "print('langgraph' in sys.modules, 'langchain_core' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
