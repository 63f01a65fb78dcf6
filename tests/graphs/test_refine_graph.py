"""The refine graph: what it returns, when it stops, and what goes wrong in it."""

from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from latentseek_agents import Backbone, LatentSeekConfig, Verdict, VerdictError
from latentseek_agents.errors import BackboneError, ConfigError, InputError, NonFiniteError
from latentseek_agents.graphs import RefineContext, create_refine_graph
from latentseek_agents.graphs.refine import supersteps
from latentseek_agents.graphs.state import RefineOutput, RefineState
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone
from latentseek_agents.tools import Combined, StepVerifier

CONFIG = LatentSeekConfig(max_new_tokens=24, fraction=0.3, max_iterations=4, learning_rate=0.3)
QUESTION: Any = {"question": "How many legs have three cats?"}


def run(
    backbone: Backbone, verifier: Any, config: LatentSeekConfig = CONFIG, **kwargs: Any
) -> dict[str, Any]:
    return (
        create_refine_graph(backbone, verifier=verifier, config=config).compile().invoke(QUESTION, **kwargs)
    )


def test_drawn_it_looks_like_the_design(tiny: Backbone) -> None:
    drawn = create_refine_graph(tiny, verifier=ScriptedVerifier()).compile().get_graph()
    assert set(drawn.nodes) == {"__start__", "draft", "verify", "refine", "__end__"}
    edges = {(edge.source, edge.target, edge.conditional) for edge in drawn.edges}
    assert edges == {
        ("__start__", "draft", False),
        ("draft", "verify", False),
        ("verify", "refine", True),
        ("verify", "__end__", True),
        ("refine", "verify", False),
    }


def test_every_output_key_is_returned_and_nothing_else(tiny: Backbone) -> None:
    result = run(tiny, ScriptedVerifier())
    assert set(result) == set(RefineOutput.__annotations__)


def test_nodes_return_only_declared_keys(tiny: Backbone) -> None:
    graph: Any = create_refine_graph(tiny, verifier=ScriptedVerifier([-1, 0]), config=CONFIG).compile()
    for update in graph.stream(QUESTION, stream_mode="updates"):
        for values in update.values():
            assert set(values) <= set(RefineState.__annotations__)


@pytest.mark.parametrize(
    ("scores", "reason", "count", "best"),
    [
        ([0.0], "passed", 1, 0),
        ([-1.0, -0.1], "passed", 2, 1),
        ([-1.0, -0.5, -0.9], "iterations", 5, 1),
        ([-1.0], "iterations", 5, 0),
    ],
)
def test_stops_at_the_first_pass_and_returns_the_best(
    tiny: Backbone, scores: list[float], reason: str, count: int, best: int
) -> None:
    result = run(tiny, ScriptedVerifier(scores))
    assert result["stop_reason"] == reason
    assert len(result["iterations"]) == count
    assert result["text"] == result["iterations"][best]["text"]
    assert result["passed"] is (reason == "passed")


def test_keep_last_returns_the_last(tiny: Backbone) -> None:
    result = run(tiny, ScriptedVerifier([-0.5, -0.9]), CONFIG.replace(keep="last"))
    assert result["text"] == result["iterations"][-1]["text"]


def test_no_iterations_drafts_and_verifies(tiny: Backbone) -> None:
    result = run(tiny, ScriptedVerifier(), CONFIG.replace(max_iterations=0))
    assert len(result["iterations"]) == 1
    assert result["stop_reason"] == "iterations"


def test_no_latents_returns_the_draft_and_says_so(tiny: Backbone, caplog: pytest.LogCaptureFixture) -> None:
    result = run(tiny, ScriptedVerifier(), CONFIG.replace(fraction=1e-6))
    assert len(result["iterations"]) == 1
    assert result["stop_reason"] == "iterations"
    assert "raise it" in caplog.text


def test_unjudged_stops_unless_asked_to_refine(tiny: Backbone) -> None:
    def cannot_judge(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(-0.5, None, "nothing to check")

    result = run(tiny, cannot_judge)
    assert (result["stop_reason"], result["passed"], len(result["iterations"])) == ("unjudged", None, 1)
    result = run(tiny, cannot_judge, CONFIG.replace(refine_unjudged=True))
    assert (result["stop_reason"], len(result["iterations"])) == ("iterations", 5)


def test_a_verifier_that_raises_keeps_the_attempts(tiny: Backbone, caplog: pytest.LogCaptureFixture) -> None:
    scores = iter([-1.0, -0.5])

    def fragile(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(next(scores), False)

    result = run(tiny, fragile)
    assert [entry["score"] for entry in result["iterations"][:2]] == [-1.0, -0.5]
    assert result["stop_reason"] == "unjudged"
    assert result["text"] == result["iterations"][1]["text"]
    assert "StopIteration" in result["iterations"][2]["reason"]
    assert "the verifier raised" in caplog.text


@pytest.mark.parametrize("value", [3.7, -1.5, float("nan"), "fine", None, True])
def test_a_verifier_that_breaks_its_contract_is_an_error_with_the_attempts(
    tiny: Backbone, value: Any
) -> None:
    values = iter([-1.0, value])

    def wrong(question: str, solution: str, *, reference: str | None = None) -> Any:
        return next(values)

    with pytest.raises(VerdictError, match=r"\[-1, 0\]") as caught:
        run(tiny, wrong)
    assert [entry["score"] for entry in caught.value.attempts] == [-1.0, None]


def test_a_bare_score_is_a_verdict(tiny: Backbone) -> None:
    assert run(tiny, lambda question, solution, *, reference: -0.1)["stop_reason"] == "passed"


def test_the_reference_reaches_the_verifier(tiny: Backbone) -> None:
    seen: list[Any] = []

    def look(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        seen.append((question, reference))
        return Verdict(0.0, True)

    graph: Any = create_refine_graph(tiny, verifier=look, config=CONFIG).compile()
    graph.invoke({"question": "What?", "reference": "12"})
    graph.invoke({"question": "What?"})
    assert seen == [("What?", "12"), ("What?", None)]


@pytest.mark.parametrize("state", [{}, {"question": None}, {"question": "  \n"}, {"question": 7}])
def test_a_bad_question_is_an_error_that_says_what_to_do(tiny: Backbone, state: dict[str, Any]) -> None:
    graph: Any = create_refine_graph(tiny, verifier=ScriptedVerifier(), config=CONFIG).compile()
    # LangGraph itself refuses an input without any of the graph's keys.
    with pytest.raises(Exception, match="question") as caught:
        graph.invoke(state)
    assert isinstance(caught.value, InputError) or not state


def test_a_question_beyond_the_context_window_names_both_lengths(tiny: Backbone) -> None:
    with pytest.raises(InputError, match="context window of 1024"):
        create_refine_graph(tiny, verifier=ScriptedVerifier()).compile().invoke({"question": "x" * 2000})


def test_something_else_than_a_backbone_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"Backbone\.from_pretrained"):
        create_refine_graph("gpt2")  # type: ignore[arg-type]


def test_unchanged_tokens_are_not_verified_again(tiny: Backbone) -> None:
    verifier = ScriptedVerifier()
    result = run(tiny, verifier, CONFIG.replace(learning_rate=1e-9))
    assert len(result["iterations"]) == 5
    assert len(verifier.calls) == 1
    assert result["usage"]["policy_tokens"] == len(result["iterations"][0]["token_ids"])
    assert [entry["score"] for entry in result["iterations"]] == [-1.0] * 5


def test_paper_verifies_unchanged_tokens_again(tiny: Backbone) -> None:
    verifier = ScriptedVerifier()
    config = LatentSeekConfig.paper(
        learning_rate=1e-9, max_new_tokens=8, max_draft_tokens=8, fraction=0.5, max_iterations=3
    )
    run(tiny, verifier, config)
    assert len(verifier.calls) == 4


def test_a_refuted_answer_is_not_accepted_whatever_its_score(tiny: Backbone) -> None:
    def lenient(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(-1 / 6, False, "the answer is wrong")

    assert run(tiny, lenient)["stop_reason"] == "iterations"
    assert run(tiny, lenient, CONFIG.replace(acceptance="score"))["stop_reason"] == "passed"


BOXES = "A box holds 24 pens. How many do 3 boxes and 2 more hold?"
LOOSE = "3 * 24 = 72. The answer is 72."
BLOCKED = "3 * 24 = 72. 72 + 17 = 89. The answer is 89."


@pytest.mark.parametrize(
    "verifier", [StepVerifier(), Combined(StepVerifier(), lambda question, solution, *, reference: -0.3)]
)
@pytest.mark.parametrize(
    ("solution", "threshold", "stop_reason"),
    [(LOOSE, -0.2, "iterations"), (LOOSE, -0.95, "passed"), (BLOCKED, -0.95, "iterations")],
)
def test_a_loose_threshold_reaches_the_verifiers(
    verifier: Any, solution: str, threshold: float, stop_reason: str
) -> None:
    backbone = scripted_backbone([solution])
    config = CONFIG.replace(reward_threshold=threshold, max_iterations=1, max_new_tokens=100)
    graph: Any = create_refine_graph(backbone, verifier=verifier, config=config).compile()
    result = graph.invoke({"question": BOXES})
    assert (result["text"], result["stop_reason"]) == (solution, stop_reason)
    assert -0.5 < result["score"] < -0.2 or solution == BLOCKED
    assert result["passed"] is (stop_reason == "passed")


def test_several_samples_are_each_written_and_judged(tiny: Backbone) -> None:
    verifier = ScriptedVerifier([-1, -0.9, -0.5, -0.7, -0.6, -0.8, -0.4])
    config = CONFIG.replace(num_samples=3, temperature=1.0, baseline="mean", max_iterations=2)
    result = run(tiny, verifier, config)
    assert [entry["sample_scores"] for entry in result["iterations"]] == [
        [],
        [-0.9, -0.5, -0.7],
        [-0.6, -0.8, -0.4],
    ]
    assert [entry["score"] for entry in result["iterations"]] == [-1.0, -0.5, -0.4]
    assert len(verifier.calls) == 7


def test_budgets_end_the_search(tiny: Backbone) -> None:
    assert run(tiny, ScriptedVerifier(), CONFIG.replace(max_total_tokens=30))["stop_reason"] == "tokens"
    result = run(tiny, ScriptedVerifier(), CONFIG.replace(max_seconds=1e-9))
    assert result["stop_reason"] == "seconds"
    assert len(result["iterations"]) == 1


def test_an_attempt_cut_short_by_the_deadline_is_dropped(
    tiny: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latentseek_agents import loop as module

    monkeypatch.setattr(module, "deadline_for", lambda config, usage: 0.0 if usage.policy_tokens else None)
    result = run(tiny, ScriptedVerifier(), CONFIG.replace(max_seconds=1e6))
    assert result["stop_reason"] == "seconds"
    assert len(result["iterations"]) == 1


def test_progress_is_announced_once_per_iteration_in_plain_values(tiny: Backbone) -> None:
    import json

    graph: Any = create_refine_graph(tiny, verifier=ScriptedVerifier([-1, -0.5, 0]), config=CONFIG).compile()
    events = list(graph.stream(QUESTION, stream_mode="custom"))
    assert [event["iteration"] for event in events] == [0, 1, 2]
    assert [event["stop_reason"] for event in events] == [None, None, "passed"]
    assert all(event["type"] == "latentseek_iteration" for event in events)
    assert json.loads(json.dumps(events)) == events


def test_context_changes_one_run(tiny: Backbone) -> None:
    result = run(tiny, ScriptedVerifier(), context=RefineContext(max_iterations=1))
    assert len(result["iterations"]) == 2
    with pytest.raises(ConfigError, match="max_iterations=-1"):
        run(tiny, ScriptedVerifier(), context=RefineContext(max_iterations=-1))


def test_a_low_recursion_limit_ends_the_search_with_its_best(
    tiny: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    config = CONFIG.replace(max_iterations=20, max_new_tokens=8, fraction=0.5)
    graph: Any = create_refine_graph(tiny, verifier=ScriptedVerifier(), config=config).compile()
    assert len(graph.invoke(QUESTION, {"recursion_limit": supersteps(config)})["iterations"]) == 21
    assert not caplog.records
    for limit in range(3, 12):
        result = graph.invoke(QUESTION, {"recursion_limit": limit})
        assert result["stop_reason"] == "iterations"
        assert 1 <= len(result["iterations"]) <= limit / 2
    assert "recursion_limit of at least 43" in caplog.text
    chain: Any = RunnableLambda(lambda text: {"question": text}) | graph
    assert len(chain.invoke("What?")["iterations"]) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": {"fraction": 0.5}}, "LatentSeekConfig"),
        ({"verifier": "steps"}, "callable"),
        ({"verifier": lambda question, solution: 0.0}, "reference"),
    ],
)
def test_wrong_arguments_are_refused_at_once(tiny: Backbone, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_refine_graph(tiny, **options)


def test_a_verifier_that_failed_once_is_asked_again_about_the_same_text(
    tiny: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def flaky(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        calls.append(solution)
        if len(calls) == 1:
            raise ConnectionError("try later")
        return Verdict(-0.5, False)

    result = run(tiny, flaky, CONFIG.replace(refine_unjudged=True, learning_rate=1e-9))
    assert [entry["passed"] for entry in result["iterations"]] == [None, False, False, False, False]
    assert len(calls) == 2


def test_a_verifier_that_raises_stops_the_paper_too(tiny: Backbone) -> None:
    def broken(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        raise ConnectionError("no network")

    config = LatentSeekConfig.paper(max_new_tokens=8, max_draft_tokens=8, fraction=0.5)
    assert run(tiny, broken, config)["stop_reason"] == "unjudged"


def test_an_error_while_refining_carries_the_attempts(
    tiny: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from latentseek_agents.engine import search

    def explode(*args: Any, **kwargs: Any) -> Any:
        raise NonFiniteError("the gradient is NaN or infinite at step 1")

    monkeypatch.setattr(search, "refine", explode)
    with pytest.raises(NonFiniteError, match="step 1") as caught:
        run(tiny, ScriptedVerifier([-0.5]))
    assert [entry["score"] for entry in caught.value.attempts] == [-0.5]


def test_a_second_question_on_the_same_thread_starts_afresh(tiny: Backbone) -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    graph: Any = create_refine_graph(tiny, verifier=ScriptedVerifier(), config=CONFIG).compile(
        InMemorySaver()
    )
    thread = {"configurable": {"thread_id": "1"}}
    first = graph.invoke(QUESTION | {"reference": "12"}, thread)
    second = graph.invoke({"question": "And three spiders?"}, thread)
    alone = graph.invoke({"question": "And three spiders?"}, {"configurable": {"thread_id": "2"}})
    assert len(first["iterations"]) == len(second["iterations"]) == 5
    second["usage"] = alone["usage"] = None
    assert second == alone


def test_killed_after_a_step_was_done_and_before_it_was_stored_it_goes_on(tiny: Backbone) -> None:
    # The writes of a step are stored before its checkpoint. A process killed between the two leaves a thread
    # whose ``next`` is empty, as if it had ended, and whose ``tasks`` are not.
    from langgraph.checkpoint.memory import InMemorySaver

    class PowerCut(RuntimeError):
        pass

    class Saver(InMemorySaver):
        left = 4  # checkpoints: the input, draft, verify, refine

        def put(self, *args: Any, **kwargs: Any) -> Any:
            if not self.left:
                raise PowerCut
            self.left -= 1
            return super().put(*args, **kwargs)

    thread: Any = {"configurable": {"thread_id": "1"}}
    saver, verifier = Saver(), ScriptedVerifier([-1, -0.5, 0])
    graph = create_refine_graph(tiny, verifier=verifier, config=CONFIG).compile(saver)
    with pytest.raises(PowerCut):
        graph.invoke(QUESTION, thread, durability="sync")
    saver.left = 100
    state = graph.get_state(thread)
    assert (state.next, len(state.tasks)) == ((), 1)
    result = graph.invoke(None, thread, durability="sync")
    assert [attempt["score"] for attempt in result["iterations"]] == [-1, -0.5, 0], "none is judged twice"


def test_state_holds_plain_values_only(tiny: Backbone) -> None:
    graph: Any = create_refine_graph(tiny, verifier=ScriptedVerifier([-1, -0.5, 0]), config=CONFIG).compile()

    def check(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                assert type(key) is str
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)
        else:
            assert type(value) in (str, int, float, bool, bytes, type(None)), value

    for state in graph.stream(QUESTION, stream_mode="values"):
        check(state)
