"""What a verifier prepares once per question: asked once, kept, charged, and handed to each call."""

import sqlite3
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from latentseek_agents import ChatLatentSeek, LatentSeek, LatentSeekConfig, LatentSeekNode, Usage, Verdict
from latentseek_agents.cli.questions import Question
from latentseek_agents.cli.search import make_search
from latentseek_agents.errors import ConfigError, VerdictError
from latentseek_agents.evaluation.runs import methods
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import Key
from latentseek_agents.evaluation.runs.unfinished import UnfinishedSearches
from latentseek_agents.graphs import create_best_of_n_graph, create_math_agent, create_refine_graph
from latentseek_agents.loop import Search, draft, run
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone, tiny_backbone
from latentseek_agents.tools import Combined
from latentseek_agents.verdict import (
    Prepared,
    VerifierWrapper,
    ask,
    checked_verifier,
    prepare,
    prepared_answer,
)

QUESTION = "What is 2 + 2?"
CONFIG = LatentSeekConfig(max_new_tokens=12, fraction=0.5, max_iterations=3, learning_rate=0.3)
COST = Usage(verifier_tokens=7, verifier_forward_passes=3, verifier_computed_tokens=11)


class Preparing:
    """Refuses everything, and counts what it is asked; its first ``failures`` verdicts are interruptions."""

    def __init__(self, value: Any = "4", failures: int = 0) -> None:
        self.value = value
        self.failures = failures
        self.prepared: list[str] = []
        self.given: list[Any] = []

    def prepare(self, question: str) -> Prepared:
        self.prepared.append(question)
        if isinstance(self.value, Exception):
            raise self.value
        return Prepared(self.value, COST)

    def prepared_answer(self, value: Any) -> str | None:
        return value if isinstance(value, str) else None

    def __call__(
        self, question: str, solution: str, *, reference: str | None = None, prepared: Any = None
    ) -> Verdict:
        if self.failures and len(self.given) == 1:
            self.failures -= 1
            raise Killed
        self.given.append(prepared)
        return Verdict(-0.5, passed=False, usage=Usage(verifier_tokens=1))


class Killed(BaseException):
    """The process ends here."""


def test_a_verifier_without_the_method_prepares_nothing_and_is_asked_as_ever():
    assert prepare(ScriptedVerifier(), QUESTION) == Prepared(None)
    assert ask(ScriptedVerifier([-0.1]), QUESTION, "4", prepared="4").passed


def test_a_plain_value_is_prepared_at_no_counted_cost():
    class Plain(Preparing):
        def prepare(self, question: str) -> Any:
            return {"numbers": [1, 2.5, None, True]}

    prepared = prepare(Plain(), QUESTION)
    assert prepared.value == {"numbers": [1, 2.5, None, True]}
    assert prepared.usage.verifier_tokens == 0
    assert prepared.usage.verifier_seconds > 0
    assert Prepared.from_dict(prepared.to_dict()) == prepared


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((1, 2), r"value is of type tuple: \(1, 2\)"),
        ({"program": [b"x"]}, r"value\['program'\]\[0\] is of type bytes"),
        ({1: "x"}, "value has the key 1"),
        (2**63, "value is of type int: 9223372036854775808"),
        (Verdict(0, True), "value is of type Verdict"),
    ],
)
def test_what_a_state_cannot_hold_is_refused(value: Any, words: str):
    with pytest.raises(VerdictError, match=words):
        prepare(Preparing(value), QUESTION)


def test_a_verifier_that_raises_judges_without(caplog: pytest.LogCaptureFixture):
    verifier = Preparing(ValueError("no model"))
    prepared = prepare(verifier, QUESTION)
    assert prepared.value is None
    assert "Preparing" in caplog.text
    assert ask(verifier, QUESTION, "4", prepared=prepared.value).passed is False
    assert verifier.given == [None]


def test_what_steers_the_program_around_passes_through():
    with pytest.raises(GraphInterrupt):
        prepare(Preparing(GraphInterrupt()), QUESTION, control_flow=(GraphBubbleUp,))


def test_a_verifier_that_prepares_must_take_what_it_prepared():
    class Deaf:
        def prepare(self, question: str) -> str:
            return "4"

        def __call__(self, question: str, solution: str, *, reference: str | None = None) -> float:
            return 0.0

    with pytest.raises(ConfigError, match=r"prepared=None\), since it has prepare"):
        checked_verifier(Deaf())


def test_the_answer_it_computed():
    assert prepared_answer(Preparing(), "4") == "4"
    assert prepared_answer(Preparing(), None) is None
    assert prepared_answer(Preparing(), ["4"]) is None
    assert prepared_answer(ScriptedVerifier(), "4") is None


def test_a_failing_answer_is_none(caplog: pytest.LogCaptureFixture):
    class Failing(Preparing):
        def prepared_answer(self, value: Any) -> str | None:
            raise KeyError(value)

    assert prepared_answer(Failing(), "4") is None
    assert "Failing" in caplog.text


def test_combined_hands_each_part_its_own():
    one, other = Preparing("4"), Preparing({"b": 1})
    both = Combined(ScriptedVerifier([-0.1]), Combined(one, ScriptedVerifier([-0.1])), other)
    prepared = prepare(both, QUESTION)
    assert prepared.value == [None, ["4", None], {"b": 1}]
    assert prepared.usage.verifier_tokens == 2 * COST.verifier_tokens
    assert prepared_answer(both, prepared.value) == "4"
    ask(both, QUESTION, "5", prepared=prepared.value)
    assert (one.given, other.given) == (["4"], [{"b": 1}])
    assert one.prepared == other.prepared == [QUESTION]


def test_combined_of_verifiers_that_prepare_nothing_prepares_nothing():
    both = Combined(ScriptedVerifier(), ScriptedVerifier())
    assert prepare(both, QUESTION).value is None
    assert prepared_answer(both, [None, None]) is None


def test_combined_does_not_take_what_others_prepared():
    verifier = Preparing()
    assert ask(Combined(verifier, ScriptedVerifier()), QUESTION, "4", prepared=["4"]).passed is False
    assert verifier.given == [None]


def test_a_wrapper_hands_it_on():
    class Wrapper(VerifierWrapper):
        def __call__(
            self, question: str, solution: str, *, reference: str | None = None, prepared: Any = None
        ) -> Verdict:
            return ask(self.verifier, question, solution, reference=reference, prepared=prepared)

    inner = Preparing()
    prepared = prepare(Wrapper(inner), QUESTION)
    assert (prepared.value, prepared.usage.verifier_tokens) == ("4", 7)
    assert prepared_answer(Wrapper(inner), "4") == "4"
    ask(Wrapper(inner), QUESTION, "4", prepared="4")
    assert inner.given == ["4"]
    assert prepare(Wrapper(ScriptedVerifier()), QUESTION).value is None


# -- in a search


def test_a_search_prepares_once_and_counts_the_cost():
    verifier = Preparing()
    search = Search(tiny_backbone(), verifier, CONFIG)
    *_, state = run(search, draft(search, QUESTION))
    assert verifier.prepared == [QUESTION]
    assert verifier.given == ["4"] * 4
    assert state["prepared"] == "4"
    assert state["usage"]["verifier_tokens"] == 7 + 4
    assert state["usage"]["verifier_forward_passes"] == 3


def test_its_cost_counts_for_the_budget():
    config = CONFIG.replace(max_total_tokens=12 + 5)  # spent by draft and preparation, not by a draft alone
    for value, iterations in (("4", 1), (None, 2)):
        verifier = Preparing(value)
        verifier.prepare = verifier.prepare if value else None  # type: ignore[method-assign, assignment]
        result = LatentSeek(tiny_backbone(), verifier, config).invoke(QUESTION)
        assert (result.stop_reason, len(result.iterations)) == ("tokens", iterations)


def test_what_cannot_be_stored_ends_the_search_with_the_draft():
    with pytest.raises(VerdictError, match="tuple") as caught:
        LatentSeek(tiny_backbone(), Preparing(()), CONFIG).invoke(QUESTION)
    assert len(caught.value.attempts) == 1


class UserState(TypedDict, total=False):
    question: str
    answer: str


@pytest.mark.parametrize("as_node", [False, True])
def test_a_resumed_search_does_not_prepare_again(as_node: bool, tmp_path: Path):
    """The first process prepares, judges the draft and dies at the second attempt; another one goes on."""

    def graph(verifier: Preparing, connection: sqlite3.Connection) -> Any:
        saver = SqliteSaver(connection)
        if not as_node:
            return create_refine_graph(tiny_backbone(), verifier=verifier, config=CONFIG).compile(saver)
        node = LatentSeekNode(tiny_backbone(), verifier=verifier, config=CONFIG)
        return StateGraph(UserState).add_node("seek", node).add_edge(START, "seek").compile(saver)

    thread: Any = {"configurable": {"thread_id": "1"}}
    path = tmp_path / "search.sqlite"
    value = {"program": "print(4)", "answer": "4"}
    first, second = Preparing(value, failures=1), Preparing("another")
    connection = sqlite3.connect(path, check_same_thread=False)
    with pytest.raises(Killed):
        graph(first, connection).invoke({"question": QUESTION}, thread, durability="sync")
    connection.close()
    connection = sqlite3.connect(path, check_same_thread=False)
    graph(second, connection).invoke(None, thread, durability="sync")
    connection.close()
    assert (first.prepared, first.given) == ([QUESTION], [value])
    assert (second.prepared, second.given) == ([], [value] * 3)


def test_the_next_question_of_a_thread_is_prepared_for_itself():
    from langgraph.checkpoint.memory import InMemorySaver

    verifier = Preparing()
    graph = create_refine_graph(tiny_backbone(), verifier=verifier, config=CONFIG).compile(InMemorySaver())
    for question in ("one", "two"):
        graph.invoke({"question": question}, {"configurable": {"thread_id": "1"}})
    assert verifier.prepared == ["one", "two"]


def test_best_of_n_prepares_once():
    verifier = Preparing()
    graph = create_best_of_n_graph(tiny_backbone(), verifier=verifier, n=3, config=CONFIG).compile()
    result = graph.invoke({"question": QUESTION})
    assert (verifier.prepared, verifier.given) == ([QUESTION], ["4"] * 3)
    assert result["usage"]["verifier_tokens"] == 7 + 3


def test_the_math_agent_prepares_for_what_each_of_its_searches_is_asked():
    verifier = Preparing()
    backbone = scripted_backbone(["It is 5."])
    result = (
        create_math_agent(backbone, verifier=verifier, config=CONFIG)
        .compile()
        .invoke({"messages": [HumanMessage(QUESTION)]})
    )
    assert verifier.prepared == [QUESTION, QUESTION]  # the check of the reply, and the search from it
    assert verifier.given == ["4"] * len(result["iterations"])
    assert result["usage"]["verifier_tokens"] == 2 * 7 + len(verifier.given)


def test_the_chat_model_hands_it_on_beside_stop_sequences():
    verifier = Preparing()
    llm = ChatLatentSeek(
        backbone=scripted_backbone(["It is 5. END"]), verifier=verifier, config=CONFIG, max_tokens=12
    )
    llm.invoke(QUESTION, stop=["END"])
    assert verifier.prepared == [QUESTION]
    assert set(verifier.given) == {"4"}


def test_the_command_line_hands_it_on():
    verifier = Preparing()
    make_search(tiny_backbone(), verifier, CONFIG, [])(Question(QUESTION))
    assert (verifier.prepared, verifier.given) == ([QUESTION], ["4"] * 4)


@pytest.mark.parametrize(("name", "verdicts"), [("bon:3:steps", 3), ("steps", 4)])
def test_evaluations_prepare_once_per_problem(name: str, verdicts: int, monkeypatch: pytest.MonkeyPatch):
    verifier = Preparing()
    monkeypatch.setattr(methods, "named_verifier", lambda names, backbone, agreement: verifier)
    work = methods.Method(name, tiny_backbone()).solve(Problem("sums", 0, QUESTION, "4"), CONFIG)
    assert (verifier.prepared, verifier.given) == ([QUESTION], ["4"] * verdicts)
    # The first attempt is charged with the preparation.
    assert [attempt.verifier_tokens for attempt in work.attempts] == [7 + 1] + [1] * (verdicts - 1)


def test_a_resumed_evaluation_does_not_prepare_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    value = {"answer": "4"}
    first, second = Preparing(value, failures=1), Preparing("another")
    place = UnfinishedSearches(tmp_path, "run").of(Key("sums", "boxed", "steps", 0), "digest")
    for verifier in (first, second):
        monkeypatch.setattr(methods, "named_verifier", lambda *_, agreement, verifier=verifier: verifier)
        method = methods.Method("steps", tiny_backbone())
        with pytest.raises(Killed) if verifier is first else nullcontext():
            work = method.solve(Problem("sums", 0, QUESTION, "4"), CONFIG, place)
    assert (first.prepared, first.given) == ([QUESTION], [value])
    assert (second.prepared, second.given) == ([], [value] * 3)
    assert [attempt.verifier_tokens for attempt in work.attempts] == [8, 1, 1, 1]
