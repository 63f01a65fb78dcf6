"""A search in plain values, as it is shown: nothing is lost, and each mark stands where it belongs."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentseek_agents import LatentSeek, LatentSeekConfig
from latentseek_agents._view import marked_text, search_view
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.testing import ScriptedVerifier, scripted_backbone
from latentseek_agents.tools.steps import StepVerifier, check_steps

PROGRAM = "We run it.\n```python\na = 2 + 2  # 4\nprint(a * 3)\n```\nThis prints 13. And 2 + 2 = 5."

PARTS = st.sampled_from(
    [
        "2 + 2 = 4",
        "3 * 4 = 13",
        "x = y + 1",
        "```python\nprint(6 * 7)\n```",
        "It prints 42.",
        "\n",
        " 😀 ",
        "= ",
        "5",
    ]
)


@given(st.lists(PARTS, max_size=8).map("".join))
def test_the_pieces_are_the_text_and_every_refutation_is_marked(text: str):
    report = check_steps(text)
    pieces = marked_text(text, report)
    assert "".join(piece["text"] for piece in pieces) == text
    assert all(piece["text"] for piece in pieces)
    refuted = {piece["reason"] for piece in pieces if piece["status"] == "refuted"}
    first = report.refutations[:1]
    assert refuted >= {wrong.reason for wrong in first}
    assert bool(refuted) == bool(first)


def test_a_program_and_what_is_said_of_it():
    pieces = marked_text(PROGRAM, check_steps(PROGRAM))
    code = "".join(piece["text"] for piece in pieces if piece["code"])
    assert code == "a = 2 + 2  # 4\nprint(a * 3)\n"
    refuted = [(piece["text"], piece["reason"]) for piece in pieces if piece["status"] == "refuted"]
    assert refuted == [("13", "it prints 12, not 13"), ("2 + 2 = 5", "4 is not 5")]


def result_of(replies: list[str], config: LatentSeekConfig, verifier: Any = None) -> dict[str, Any]:
    seek = LatentSeek(scripted_backbone(replies), verifier=verifier or StepVerifier(), config=config)
    return seek.invoke("How many are 3 boxes of 12?").to_dict()


def test_a_search_for_agreement():
    config = LatentSeekConfig.agreement(max_new_tokens=60)
    result = result_of(["3 * 12 = 35. The answer is 35.", "3 * 12 = 36. The answer is 36."], config)
    view = search_view(result, None)
    assert [attempt["name"] for attempt in view["attempts"]] == ["draft", "attempt 1"]
    assert [attempt["returned"] for attempt in view["attempts"]] == [False, True]
    assert view["why"].startswith("Returned: attempt 1. Its answer won the vote")
    assert view["ended"] == "The search ended because the vote is decided."
    assert view["votes"][0]["voters"] == ["attempt 1 1.00"]
    assert view["tokens"] == result["usage"]["policy_tokens"] > 0


@pytest.mark.parametrize(
    ("scores", "passed", "ended"),
    [([0], True, "the verifier accepts it"), ([-1], False, "all attempts are spent")],
)
def test_a_search_without_votes(scores: list[float], passed: bool, ended: str):
    config = LatentSeekConfig(max_new_tokens=9, proposals="samples", max_iterations=1)
    view = search_view(result_of(["It is 4."], config, ScriptedVerifier(scores)), None)
    assert (view["passed"], view["votes"]) == (passed, [])
    assert view["ended"] == f"The search ended because {ended}."


def test_latents_are_decoded_and_what_changed_is_named(tiny: Backbone):
    config = LatentSeekConfig(max_new_tokens=12, fraction=0.5, learning_rate=1.0, max_iterations=2)
    result = LatentSeek(tiny, verifier=ScriptedVerifier([-1]), config=config).invoke("What is 2 + 2?")
    attempts = search_view(result.to_dict(), tiny.decode)["attempts"]
    for shown, attempt in zip(attempts, result.iterations, strict=True):
        assert shown["latents"] == [tiny.decode([token]) for token in attempt.latent_token_ids]
        assert shown["changed"] == attempt.changed
    assert attempts[1]["changed"]


def test_a_search_that_goes_on_or_has_only_begun(tiny: Backbone):
    begun = search_view({"question": "Why?", "iterations": [], "votes": [], "usage": {}}, None)
    assert (begun["attempts"], begun["why"], begun["ended"]) == ([], "", "")
    config = LatentSeekConfig(max_new_tokens=9)
    result = LatentSeek(tiny, verifier=ScriptedVerifier([0]), config=config).invoke("Why?")
    going_on = search_view(replace(result, stop_reason=None).to_dict(), None)
    assert (going_on["ended"], going_on["attempts"][0]["returned"]) == ("", True)
