"""Best-of-N and self-consistency: graphs with the output of the refinement graph."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents import LatentSeekConfig, Verdict
from latentseek_agents.decisions import majority
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.sampling import sample
from latentseek_agents.errors import BackboneError, ConfigError, InputError, VerdictError
from latentseek_agents.graphs import (
    RefineContext,
    create_best_of_n_graph,
    create_refine_graph,
    create_self_consistency_graph,
)
from latentseek_agents.testing import ScriptedVerifier, tiny_backbone

CONFIG = LatentSeekConfig(max_new_tokens=8)
QUESTION: Any = {"question": "What is 2 + 2?"}


def best_of(tiny: Backbone, verifier: Any, **options: Any) -> dict[str, Any]:
    graph: Any = create_best_of_n_graph(tiny, verifier=verifier, config=CONFIG, **options)
    result: dict[str, Any] = graph.compile().invoke(QUESTION)
    return result


def test_the_best_of_the_samples_is_returned(tiny: Backbone):
    result = best_of(tiny, ScriptedVerifier([-0.9, -0.4, -0.5]))
    assert result["text"] == result["iterations"][1]["text"]
    assert (result["score"], result["passed"], result["stop_reason"]) == (-0.4, False, "iterations")
    assert [entry["score"] for entry in result["iterations"]] == [-0.9, -0.4, -0.5]
    assert len({entry["text"] for entry in result["iterations"]}) == 3
    assert result["usage"]["policy_tokens"] == sum(len(entry["token_ids"]) for entry in result["iterations"])


def test_of_equals_the_first_is_returned(tiny: Backbone):
    result = best_of(tiny, ScriptedVerifier([-0.5]), n=4)
    assert result["text"] == result["iterations"][0]["text"]
    assert len(result["iterations"]) == 4


def test_one_that_passes_beats_a_higher_score(tiny: Backbone):
    verdicts = iter([Verdict(-0.05, passed=False), Verdict(-0.1, passed=True)])
    result = best_of(tiny, lambda *_, **__: next(verdicts), n=2)
    assert (result["score"], result["passed"], result["stop_reason"]) == (-0.1, True, "passed")


def test_a_verifier_that_raises_judges_nothing(tiny: Backbone):
    def verifier(*_: Any, **__: Any) -> Verdict:
        raise OSError("gone")

    result = best_of(tiny, verifier, n=2)
    assert (result["passed"], result["stop_reason"]) == (None, "unjudged")
    assert "gone" in result["reason"]


def test_a_verdict_outside_its_contract_keeps_the_samples(tiny: Backbone):
    with pytest.raises(VerdictError) as caught:
        best_of(tiny, lambda *_, **__: 3.7, n=2)
    assert len(caught.value.attempts) == 1


def test_samples_follow_from_the_seed(tiny: Backbone):
    def texts(seed: int) -> list[str]:
        config = CONFIG.replace(seed=seed)
        made = sample(tiny, "What?", config, count=3, temperature=1.0)
        return [attempt.text for attempt in made.attempts]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert [attempt.text for attempt in sample(tiny, "What?", CONFIG, count=2, temperature=0).attempts] == [
        create_refine_graph(tiny, verifier=ScriptedVerifier([0]), config=CONFIG)
        .compile()
        .invoke({"question": "What?"})["text"]
    ] * 2


def test_the_most_common_answer_wins(tiny: Backbone, monkeypatch: pytest.MonkeyPatch):
    answers = iter(["5", "4", "4.0", None])
    monkeypatch.setattr("latentseek_agents.graphs.baselines.extract_answer", lambda text: next(answers))
    graph: Any = create_self_consistency_graph(tiny, n=4, config=CONFIG)
    result = graph.compile().invoke(QUESTION)
    assert (result["answer"], result["score"], result["passed"]) == ("4", -0.5, None)
    assert result["reason"] == "2 of 4 solutions give this answer"
    assert result["text"] == result["iterations"][1]["text"]
    assert [entry["score"] for entry in result["iterations"]] == [-0.75, -0.5, -0.5, -1.0]


def test_no_answer_at_all(tiny: Backbone):
    graph: Any = create_self_consistency_graph(tiny, n=2, config=CONFIG)
    result = graph.compile().invoke(QUESTION)
    assert (result["answer"], result["score"]) == (None, -1.0)
    assert result["text"] == result["iterations"][0]["text"]


def test_the_context_changes_a_run(tiny: Backbone):
    graph: Any = create_self_consistency_graph(tiny, n=2, config=CONFIG).compile()
    result = graph.invoke(QUESTION, context=RefineContext(max_new_tokens=3))
    assert all(len(entry["token_ids"]) <= 3 for entry in result["iterations"])


@given(st.lists(st.sampled_from(["1", "2", "3", None])))
def test_votes_are_counts_of_equals(answers: list[str | None]):
    assert majority(answers) == [0 if answer is None else answers.count(answer) for answer in answers]


@pytest.mark.parametrize("create", [create_best_of_n_graph, create_self_consistency_graph])
def test_settings_out_of_range_are_refused(tiny: Backbone, create: Any):
    with pytest.raises(ConfigError, match="n=0"):
        create(tiny, n=0)
    with pytest.raises(ConfigError, match="temperature=-1"):
        create(tiny, temperature=-1)
    with pytest.raises(ConfigError, match="config must be"):
        create(tiny, config={"seed": 1})
    with pytest.raises(BackboneError, match="needs a Backbone"):
        create("a model")
    with pytest.raises(ConfigError, match="count=0"):
        sample(tiny, "What?", CONFIG, count=0, temperature=1)


@pytest.mark.parametrize("create", [create_best_of_n_graph, create_self_consistency_graph])
def test_a_reference_may_be_a_number_and_nothing_stranger(tiny: Backbone, create: Any):
    references: list[str | None] = []

    def verifier(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        references.append(reference)
        return Verdict(-1.0, False)

    options = {"verifier": verifier} if create is create_best_of_n_graph else {}
    graph: Any = create(tiny, config=CONFIG, n=2, **options).compile()
    graph.invoke({**QUESTION, "reference": 4})
    assert set(references) == ({"4"} if options else set())
    with pytest.raises(InputError, match="must be a string or a number"):
        graph.invoke({**QUESTION, "reference": [4]})


def test_the_first_samples_cost_what_they_would_alone():
    few, many = (
        sample(tiny_backbone(), "What is 1 + 1?", CONFIG, count=count, temperature=0.8) for count in (2, 5)
    )
    assert [replace(cost, policy_seconds=0) for cost in few.costs] == [
        replace(cost, policy_seconds=0) for cost in many.costs[:2]
    ]
    assert many.usage.policy_computed_tokens == sum(cost.policy_computed_tokens for cost in many.costs)
    assert many.usage.policy_seconds == pytest.approx(sum(cost.policy_seconds for cost in many.costs))
