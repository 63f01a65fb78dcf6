"""A search for agreement: attempts vote, the winner is returned, and the search ends when one has won."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from latentseek_agents import ChatLatentSeek, Check, LatentSeek, LatentSeekConfig, LatentSeekNode, Verdict
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.sampling import resample, sample
from latentseek_agents.graphs import create_math_agent, create_refine_graph, create_self_consistency_graph
from latentseek_agents.testing import scripted_backbone, tiny_backbone
from latentseek_agents.tools import Combined, StepVerifier
from latentseek_agents.tools.answers import extract_answer
from tests.support.failing import Power, failing_at

QUESTION = "How many legs have three cats?"
ASKED: Any = {"question": QUESTION}
THREAD: Any = {"configurable": {"thread_id": "1"}}
SAMPLES = LatentSeekConfig.agreement(proposals="samples", max_new_tokens=64, max_iterations=3)
LATENTS = LatentSeekConfig.agreement(proposals="latents", max_new_tokens=64, max_iterations=3, fraction=0.2)


def says(answer: object) -> str:
    return f"I say that the answer is {answer}."


class ByAnswer:
    """Judges by what a text states: from the answer to a score, and to what its program prints."""

    def __init__(
        self,
        scores: dict[str, float | None],
        *,
        prints: dict[str, str] | None = None,
        program: str | None = None,
    ) -> None:
        self.scores, self.prints, self.program = scores, prints or {}, program
        self.prepared = 0
        self.judged: list[str] = []

    def prepare(self, question: str) -> Any:
        self.prepared += 1
        return None if self.program is None else {"printed": self.program}

    def prepared_answer(self, value: Any) -> str | None:
        return str(value["printed"])

    def __call__(
        self, question: str, solution: str, *, reference: str | None = None, prepared: Any = None
    ) -> Verdict:
        self.judged.append(solution)
        answer = extract_answer(solution) or ""
        score = self.scores.get(answer)
        if score is None:
            return Verdict(-0.5, None, "nothing to check")
        refuted = [Check("sum", False, refuted=True)] if score < -0.9 else []
        printed = self.prints.get(answer)
        return Verdict(score, score > -0.2, f"score {score}", refuted, computed_answer=printed)


def search(
    answers: Sequence[object], verifier: ByAnswer, config: LatentSeekConfig = SAMPLES, **changes: Any
) -> dict[str, Any]:
    backbone = scripted_backbone([says(answer) for answer in answers])
    graph: Any = create_refine_graph(backbone, verifier=verifier, config=config.replace(**changes)).compile()
    result: dict[str, Any] = graph.invoke(ASKED)
    return result


@pytest.mark.parametrize("config", [SAMPLES, LATENTS])
def test_a_pass_that_nothing_contradicts_ends_the_search(config: LatentSeekConfig) -> None:
    result = search([12, 8], ByAnswer({"12": -0.1}), config)
    assert (result["stop_reason"], result["answer"], result["passed"]) == ("agreement", "12", True)
    (vote,) = result["votes"]
    assert (vote["answer"], vote["voters"]) == ("12", [0])
    assert vote["weight"] == pytest.approx(0.7408, abs=1e-4)


@pytest.mark.parametrize("config", [SAMPLES, LATENTS])
def test_a_pass_that_is_contradicted_does_not_end_it(config: LatentSeekConfig) -> None:
    verifier = ByAnswer({"12": -0.1, "8": -0.15}, program="8")
    result = search([12, 8, 12, 8], verifier, config, confidence=0.9)
    assert [entry["answer"] for entry in result["iterations"]] == ["12", "8", "12", "8"]
    assert (result["stop_reason"], result["answer"]) == ("iterations", "8")
    assert [(vote["answer"], vote["voters"]) for vote in result["votes"]] == [
        ("8", [1, 3, "program"]),
        ("12", [0, 2]),
    ]
    assert result["text"] == result["iterations"][1]["text"]


def test_a_refused_draft_is_outvoted() -> None:
    result = search([8, 12, 12], ByAnswer({"8": -0.97, "12": -0.3}))
    assert (result["stop_reason"], len(result["iterations"])) == ("iterations", 4)
    assert (result["answer"], result["passed"], result["votes"][0]["voters"]) == ("12", False, [1, 2, 3])


def test_what_cannot_be_judged_does_not_end_it_and_is_counted() -> None:
    result = search([8, 12, 12, 8, 12], ByAnswer({}), max_iterations=4)
    assert (result["stop_reason"], result["answer"], result["passed"]) == ("iterations", "12", None)
    assert [(vote["answer"], vote["weight"]) for vote in result["votes"]] == [("12", 3.0), ("8", 2.0)]


def test_one_that_passes_outvotes_many_that_cannot_be_judged() -> None:
    result = search([8, 8, 12, 3], ByAnswer({"12": -0.05}))
    assert (result["answer"], result["passed"]) == ("12", True)


def test_the_budget_of_tokens_ends_it() -> None:
    result = search([8, 12], ByAnswer({"8": -0.4}), max_total_tokens=2)
    assert (result["stop_reason"], len(result["iterations"])) == ("tokens", 1)


PRINTS = ByAnswer({"70": -0.97, "71": -0.97}, prints={"70": "72"})


def returned_by(made: str) -> tuple[str, str, Any]:
    """Answer, text and verdict, from each of the ways to search."""
    backbone = scripted_backbone([says(70), says(71)])
    config = SAMPLES.replace(max_iterations=1)
    if made == "graph":
        result: Any = create_refine_graph(backbone, verifier=PRINTS, config=config).compile().invoke(ASKED)
        return result["answer"], result["text"], result["passed"]
    if made == "runnable":
        found = LatentSeek(backbone, PRINTS, config).invoke(QUESTION)
        return str(found.answer), found.text, found.passed
    if made == "chat":
        message = ChatLatentSeek(backbone=backbone, verifier=PRINTS, config=config).invoke(QUESTION)
        text = str(message.text)
        return str(extract_answer(text)), text, message.response_metadata["passed"]
    if made == "agent":
        agent: Any = create_math_agent(backbone, verifier=PRINTS, config=config, tools=())
        result = agent.compile().invoke(ASKED)
        assert result["messages"][-1].text == result["text"]
        return result["answer"], result["text"], result["passed"]
    node = LatentSeekNode(backbone, verifier=PRINTS, config=config, result_key="result")
    app: Any = StateGraph(Messages).add_node("seek", node).add_edge(START, "seek").compile()
    state = app.invoke({"messages": [HumanMessage(QUESTION)]})
    assert state["answer"] == state["result"]["answer"]
    assert state["result"]["votes"][0]["answer"] == "72"
    return state["answer"], state["messages"][0].text, state["result"]["passed"]


class Messages(TypedDict, total=False):
    messages: list[Any]
    answer: str
    result: dict[str, Any]


@pytest.mark.parametrize("made", ["graph", "node", "runnable", "chat", "agent"])
def test_a_printed_value_that_no_text_states_is_stated_in_our_words(made: str) -> None:
    answer, text, passed = returned_by(made)
    assert (answer, passed) == ("72", None)
    correction = "\n\n[Checked: the program above prints 72, not 70.] The answer is \\boxed{72}."
    assert text.endswith(correction)
    assert says(70) in text


def test_the_verifiers_own_answer_can_win() -> None:
    result = search([70, 71], ByAnswer({"70": -0.97, "71": -0.96}, program="72"), max_iterations=1)
    assert (result["answer"], result["passed"], result["score"]) == ("72", None, None)
    assert "[Checked: a program written for this question prints 72, not 71.]" in result["text"]
    assert [entry["text"] for entry in result["iterations"]] == [says(70), says(71)], "kept as written"


def test_several_attempts_in_a_round_each_vote() -> None:
    verifier = ByAnswer({"12": -0.3, "8": -0.4, "5": -0.5})
    result = search([5, 12, 8, 12, 8, 8, 12], verifier, num_samples=3, max_iterations=2)
    assert [entry["iteration"] for entry in result["iterations"]] == [0, 1, 1, 1, 2, 2, 2]
    assert [(vote["answer"], vote["voters"]) for vote in result["votes"]] == [
        ("12", [1, 3, 6]),
        ("8", [2, 4, 5]),
        ("5", [0]),
    ]


def test_the_samples_of_a_search_are_those_of_the_baseline(tiny: Backbone) -> None:
    config = LatentSeekConfig(max_new_tokens=8, proposals="samples", num_samples=2, sample_temperature=1.0)
    drawn = sample(tiny, QUESTION, config, count=4, temperature=1.0)
    rounds = [resample(tiny, QUESTION, config, iteration=number) for number in (1, 2)]
    assert [attempt.text for step in rounds for attempt in step.attempts] == [
        attempt.text for attempt in drawn.attempts
    ]
    later = sample(tiny, QUESTION, config, count=2, temperature=1.0, start=2)
    assert later.attempts == drawn.attempts[2:]
    assert sum(step.usage.policy_tokens for step in rounds) == drawn.usage.policy_tokens
    assert sum(step.usage.policy_computed_tokens for step in rounds) < drawn.usage.policy_computed_tokens


def test_samples_without_a_vote_are_a_best_of_n_that_stops_early() -> None:
    config = LatentSeekConfig(proposals="samples", max_new_tokens=64)
    verifier = ByAnswer({"8": -0.4, "7": -0.5, "12": 0.0})
    result = search([8, 7, 12, 5], verifier, config)
    assert (result["stop_reason"], result["answer"], len(result["iterations"])) == ("passed", "12", 3)
    assert result["votes"] == []


def test_a_text_that_the_latents_come_back_to_votes_once(tiny: Backbone) -> None:
    judged: list[str] = []

    def verifier(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        judged.append(solution)
        return Verdict(-0.3, False, computed_answer="7")

    config = LATENTS.replace(max_new_tokens=8, fraction=0.5, learning_rate=1e-9)
    graph: Any = create_refine_graph(tiny, verifier=verifier, config=config).compile()
    result = graph.invoke(ASKED)
    assert len({entry["text"] for entry in result["iterations"]}) == 1
    assert (len(result["iterations"]), len(judged)) == (4, 1)
    assert [vote["voters"] for vote in result["votes"]] == [[0]]


def test_an_attempt_that_passed_moves_the_latents_on(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its score is 0, which is no gradient: the vote of the others tells it where to go."""
    answers = iter("123" * 2)  # without an answer a pass would end it
    monkeypatch.setattr("latentseek_agents.loop.extract_answer", lambda text: next(answers))
    config = LatentSeekConfig.agreement(
        proposals="latents",
        max_new_tokens=12,
        fraction=1.0,
        learning_rate=1.0,
        confidence=0.999,
        max_iterations=2,
    )

    def verifier(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(0.0, True)

    graph: Any = create_refine_graph(tiny, verifier=verifier, config=config).compile()
    result = graph.invoke(ASKED)
    assert [entry["score"] for entry in result["iterations"]] == [0.0] * 3
    assert [entry["reward"] for entry in result["iterations"]] == [-0.5] * 3
    assert all(entry["changed"] for entry in result["iterations"][1:])
    plain: Any = create_refine_graph(tiny, verifier=verifier, config=LatentSeekConfig(max_new_tokens=12))
    assert plain.compile().invoke(ASKED)["iterations"][0]["reward"] is None


def test_events_and_snapshots_show_the_votes() -> None:
    verifier = ByAnswer({"8": -0.3, "12": -0.4})
    script = [says(8), says(12), says(12), says(12)]
    graph: Any = create_refine_graph(scripted_backbone(script), verifier=verifier, config=SAMPLES).compile()
    events = list(graph.stream(ASKED, stream_mode="custom"))
    assert [[vote["answer"] for vote in event["votes"]] for event in events] == [
        ["8"], ["8", "12"], ["12", "8"], ["12", "8"],
    ]  # fmt: skip
    seek = LatentSeek(scripted_backbone(script), verifier, SAMPLES)
    snapshots = list(seek.stream(QUESTION))
    assert [snapshot.answer for snapshot in snapshots] == ["8", "8", "12", "12"]
    assert [snapshot.votes for snapshot in snapshots] == [event["votes"] for event in events]

    async def streamed() -> list[Any]:
        again = LatentSeek(scripted_backbone(script), verifier, SAMPLES)
        return [snapshot async for snapshot in again.astream(QUESTION)]

    assert [one.votes for one in asyncio.run(streamed())] == [one.votes for one in snapshots]


def by_text(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    """Random models state no answers, so their programs do."""
    number = sum(solution.encode())
    return Verdict(-0.3 - number % 7 / 10, False, computed_answer=str(number % 3))


TINY = {
    "latents": LatentSeekConfig.agreement(
        proposals="latents", max_new_tokens=16, max_iterations=4, learning_rate=0.5
    ),
    "samples": LatentSeekConfig.agreement(
        max_new_tokens=16, max_iterations=3, proposals="samples", num_samples=2
    ),
}


@pytest.mark.parametrize("proposals", TINY)
def test_killed_after_any_verdict_it_ends_the_same(tiny: Backbone, tmp_path: Path, proposals: str) -> None:
    config = TINY[proposals]

    def graph(verifier: Any, name: str) -> Any:
        saver = SqliteSaver(sqlite3.connect(tmp_path / name, check_same_thread=False))
        return create_refine_graph(tiny, verifier=verifier, config=config).compile(checkpointer=saver)

    def without_costs(state: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in state.items() if name != "usage"}

    whole = graph(by_text, "whole").invoke(ASKED, THREAD, durability="sync")
    total = len(whole["iterations"])
    assert len(whole["votes"]) > 1
    for stop in range(1, total + 1):
        with pytest.raises(Power):
            graph(failing_at(stop, by_text), f"{stop}").invoke(ASKED, THREAD, durability="sync")
        again = graph(by_text, f"{stop}").invoke(None, THREAD, durability="sync")
        assert without_costs(again) == without_costs(whole)


@pytest.mark.parametrize("proposals", TINY)
def test_the_same_from_any_thread(proposals: str) -> None:
    seek = LatentSeek(tiny_backbone(), by_text, TINY[proposals])
    questions = [f"What is {n} + {n}?" for n in range(4)]
    alone = [seek.invoke(question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(seek.invoke, questions))
    for one, other in zip(alone, together, strict=True):
        assert [attempt.text for attempt in one.iterations] == [attempt.text for attempt in other.iterations]
        assert (one.votes, one.text, one.answer) == (other.votes, other.text, other.answer)


def consistency(answers: Sequence[object], verifier: Any, **options: Any) -> dict[str, Any]:
    backbone = scripted_backbone([says(answer) for answer in answers])
    graph: Any = create_self_consistency_graph(backbone, verifier=verifier, **options).compile()
    result: dict[str, Any] = graph.invoke(ASKED, {"recursion_limit": 100})
    return result


PLAIN = LatentSeekConfig(max_new_tokens=64)


def test_self_consistency_with_a_verifier_is_the_verified_vote() -> None:
    verifier = ByAnswer({"8": -0.97, "12": -0.1}, program="12")
    result = consistency([8, 8, 12], verifier, n=3, config=PLAIN)
    assert (result["answer"], result["passed"], result["stop_reason"]) == ("12", True, "iterations")
    assert [vote["voters"] for vote in result["votes"]] == [[2, "program"], [0, 1]]
    assert verifier.prepared == 1
    without = consistency([8, 8, 12], None, n=3, config=PLAIN)
    assert (without["answer"], without["passed"], without["stop_reason"]) == ("8", None, "unjudged")
    assert [vote["weight"] for vote in without["votes"]] == [2.0, 1.0]
    unjudged = consistency([8, 8, 12], ByAnswer({}), n=3, config=PLAIN)
    assert (unjudged["answer"], unjudged["stop_reason"]) == ("8", "unjudged")


def test_self_consistency_stops_when_the_solutions_agree() -> None:
    result = consistency([8, 12, 12, 5], ByAnswer({"8": -0.97, "12": -0.1}), n=9, config=SAMPLES)
    assert (result["answer"], result["stop_reason"]) == ("12", "agreement")
    assert len(result["iterations"]) == 2
    never = consistency([8, 12], ByAnswer({"8": -0.5, "12": -0.5}), n=4, config=SAMPLES)
    assert (len(never["iterations"]), never["stop_reason"]) == (4, "iterations")
    spent = consistency([8, 12], ByAnswer({"8": -0.5}), n=9, config=SAMPLES.replace(max_total_tokens=40))
    assert (len(spent["iterations"]), spent["stop_reason"]) == (2, "tokens")


def test_without_a_verifier_the_stop_is_adaptive_consistency() -> None:
    config = SAMPLES.replace(confidence=0.95)
    result = consistency([8, 12, *[12] * 20], None, n=20, config=config)
    assert (result["answer"], result["stop_reason"]) == ("12", "agreement")
    # (6, 1) is the first at which the rule says 0.95: 0.965.
    assert len(result["iterations"]) == 7
    rounds = consistency([8, 12, *[12] * 20], None, n=20, config=config.replace(num_samples=5))
    assert len(rounds["iterations"]) == 10


def test_samples_in_rounds_are_those_drawn_at_once(tiny: Backbone) -> None:
    options: Any = {"n": 5, "temperature": 1.0}
    config = LatentSeekConfig(max_new_tokens=8)
    at_once: Any = create_self_consistency_graph(tiny, config=config, **options).compile().invoke(ASKED)
    agreeing = LatentSeekConfig.agreement(max_new_tokens=8, proposals="samples", num_samples=2)
    graph: Any = create_self_consistency_graph(tiny, config=agreeing, **options).compile()
    in_rounds = graph.invoke(ASKED)
    assert [entry["text"] for entry in in_rounds["iterations"]] == [
        entry["text"] for entry in at_once["iterations"]
    ]
    assert in_rounds["usage"]["policy_tokens"] == at_once["usage"]["policy_tokens"]


def test_a_low_recursion_limit_ends_the_rounds_early(caplog: pytest.LogCaptureFixture) -> None:
    backbone = scripted_backbone([says(8), says(12)])
    config = SAMPLES.replace(confidence=0.99)
    graph: Any = create_self_consistency_graph(backbone, n=50, config=config).compile()
    result = graph.invoke(ASKED, {"recursion_limit": 9})
    assert 1 < len(result["iterations"]) < 9
    assert "recursion limit" in caplog.text


def test_two_exact_passes_are_told_from_two_opinions() -> None:
    backbone = scripted_backbone(["3 * 4 = 12 legs. The answer is 12."])
    strict = SAMPLES.replace(confidence=0.9999)
    question = "How many legs have 3 cats of 4 legs each?"

    def opinion(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(0.0, True, "fine", [Check("opinion", True)])

    for verifier, reason, count in (
        (StepVerifier(), "agreement", 2),
        (Combined(StepVerifier(), opinion), "agreement", 2),
        (opinion, "iterations", 4),
    ):
        judge: Callable[..., Any] = verifier
        found = LatentSeek(backbone, judge, strict).invoke(question)
        assert (found.stop_reason, len(found.iterations)) == (reason, count)


def test_a_program_in_the_solution_overrules_the_output_that_the_model_made_up() -> None:
    """The step checker runs it; nothing here is scripted but the model."""
    text = "```python\nprint(3 * 4 * 6)\n```\nThe program prints 70. The answer is \\boxed{70}."
    question = "3 boxes hold 4 bags of 6 nuts each. How many nuts are there?"
    config = LatentSeekConfig.agreement(max_new_tokens=200, proposals="samples", max_iterations=1)
    found = LatentSeek(scripted_backbone([text]), StepVerifier(), config).invoke(question)
    assert (found.answer, found.iterations[0].answer) == ("72", "70")
    assert (
        found.text
        == f"{text}\n\n[Checked: the program above prints 72, not 70.] The answer is \\boxed{{72}}."
    )
    assert found.votes == [{"answer": "72", "weight": 1.2, "voters": [0, 1], "weights": [0.6, 0.6]}]
