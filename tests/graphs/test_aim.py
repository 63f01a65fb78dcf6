"""Searches that are aimed at the first refuted step: in the graph, streamed, with votes, resumed."""

import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from latentseek_agents import Backbone, LatentSeek, LatentSeekConfig, Verdict
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import scripted_backbone, tiny_backbone
from latentseek_agents.tools import StepVerifier
from latentseek_agents.verdict import Check, Correction
from tests.support.failing import Power, failing_at

QUESTION = "Tom has 3 boxes of 12 pencils. He gives 9 pencils away. How many pencils does he have now?"
WRONG = "3 * 12 = 35 pencils. 35 - 9 = 26 pencils are left. The answer is 26."
RIGHT = "3 * 12 = 36 pencils. 36 - 9 = 27 pencils are left. The answer is 27."
ASKED = {"question": QUESTION}
THREAD: Any = {"configurable": {"thread_id": "1"}}
KINDS = ["independent", "consistent"]


def settings(**changes: Any) -> LatentSeekConfig:
    values: dict[str, Any] = {"aim": "first_error", "max_new_tokens": 200, "max_iterations": 3}
    return LatentSeekConfig(**values | changes)


def searched(texts: list[str], question: str = QUESTION, **changes: Any) -> Any:
    return LatentSeek(scripted_backbone(texts), StepVerifier(), settings(**changes)).invoke(question)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proposals", ["latents", "samples"])
def test_the_first_wrong_sum_is_corrected_and_the_rest_follows(kind: str, proposals: str) -> None:
    found = searched([WRONG, RIGHT], latents=kind, proposals=proposals)
    assert (found.answer, found.passed, found.stop_reason) == ("27", True, "passed")
    draft, aimed = found.iterations
    assert (draft.text, aimed.text) == (WRONG, RIGHT)
    assert draft.aimed_at is None
    where = {name: aimed.aimed_at[name] for name in ("character", "token", "stated", "value")}
    # "3" stays: it begins the right value, too.
    assert where == {"character": 9, "token": 10, "stated": "35", "value": "36"}
    # It costs the draft, and the text behind "3 * 12 = 3".
    assert found.usage.policy_tokens == len(draft.token_ids) + len(aimed.token_ids) - 10


def test_a_second_error_is_aimed_at_in_its_turn() -> None:
    half = RIGHT.replace("36 - 9 = 27", "36 - 9 = 28")
    found = searched([WRONG, half, RIGHT])
    assert [one.text for one in found.iterations] == [WRONG, half, RIGHT]
    assert [one.aimed_at and one.aimed_at["value"] for one in found.iterations] == [None, "36", "27"]


def test_without_aim_nothing_is_corrected() -> None:
    found = searched([WRONG, RIGHT], aim="none", max_iterations=1)
    assert [one.aimed_at for one in found.iterations] == [None, None]


def test_what_is_not_refuted_is_refined_as_ever(tiny: Backbone) -> None:
    made = []
    for aim in ("none", "first_error"):
        config = LatentSeekConfig(aim=aim, max_new_tokens=20, fraction=0.5, learning_rate=0.5)
        made.append(LatentSeek(tiny, lambda *_, reference: -0.9, config).invoke(QUESTION))
    assert made[0].iterations == made[1].iterations


def test_an_attempt_that_is_refuted_again_at_the_same_place_is_not_aimed_again() -> None:
    def stubborn(question: str, solution: str, *, reference: str | None = None) -> Verdict:
        wrong = Correction(9, 11, solution[9:11], "40" if solution[9:11] != "40" else "41")
        return Verdict(-1, False, "no", [Check("sum", False, refuted=True, correction=wrong)])

    config = settings(fraction=0.5)
    found = LatentSeek(tiny_backbone(), stubborn, config).invoke(QUESTION)
    aims = [one.aimed_at is not None for one in found.iterations]
    assert any(aims)
    assert not any(one and other for one, other in pairwise(aims))


def test_a_draft_too_short_for_latents_is_corrected_all_the_same() -> None:
    found = searched([WRONG, RIGHT], fraction=0.001)
    assert (found.answer, len(found.iterations)) == ("27", 2)


def test_an_error_at_the_token_limit_is_left() -> None:
    found = searched([WRONG, RIGHT], max_new_tokens=11)
    assert all(one.aimed_at is None for one in found.iterations)


@pytest.mark.parametrize("changes", [{"keep": "vote"}, {"keep": "vote", "acceptance": "agreement"}])
@pytest.mark.parametrize("proposals", ["latents", "samples"])
def test_a_text_comes_to_state_what_its_program_prints(changes: dict[str, Any], proposals: str) -> None:
    """Without aim the vote's winner is stated in our words, at the end of a text that says otherwise."""
    code = "```python\nprint(3 * 4 * 6)\n```\nThe program prints "
    wrong, right = (f"{code}{value}. The answer is \\boxed{{{value}}}." for value in (70, 72))
    question = "3 boxes hold 4 bags of 6 nuts each. How many nuts are there?"
    options = {"proposals": proposals, "max_iterations": 1, **changes}
    plain = searched([wrong, wrong], question, aim="none", **options)
    assert (plain.answer, plain.passed) == ("72", None)
    assert "[Checked:" in plain.text
    found = searched([wrong, right], question, **options)
    assert (found.answer, found.text) == ("72", right)


def test_events_and_snapshots_say_where_it_was_aimed() -> None:
    backbone = scripted_backbone([WRONG, RIGHT])
    graph: Any = create_refine_graph(backbone, verifier=StepVerifier(), config=settings()).compile()
    events = list(graph.stream(ASKED, stream_mode="custom"))
    assert [event["aimed_at"] and event["aimed_at"]["value"] for event in events] == [None, "36"]
    seek = LatentSeek(scripted_backbone([WRONG, RIGHT]), StepVerifier(), settings())
    *_, last = seek.stream(QUESTION)
    assert last.iterations[-1].aimed_at == events[-1]["aimed_at"]
    assert "35 → <strong>36</strong>" in last.to_html()


def refuting(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    """Random models write no sums, so most texts have an error at some letter of its own."""
    letters = [place for place, sign in enumerate(solution) if sign.isascii() and sign.isalpha()]
    number = sum(solution.encode())
    checks = []
    if letters and number % 4:
        place = letters[number % len(letters)]
        checks = [
            Check(
                "letter", False, refuted=True, correction=Correction(place, place + 1, solution[place], "7")
            )
        ]
    return Verdict(-0.9 - number % 7 / 100, False, computed_answer=str(number % 3), checks=checks)


RESUMED = {
    "independent": settings(max_new_tokens=24, max_iterations=5, learning_rate=0.5, fraction=0.5),
    "consistent": LatentSeekConfig.consistent(
        aim="first_error", max_new_tokens=24, max_iterations=5, learning_rate=0.5
    ),
    "agreement": LatentSeekConfig.agreement(
        proposals="latents", aim="first_error", max_new_tokens=24, max_iterations=5
    ),
    "samples": LatentSeekConfig.agreement(
        aim="first_error", max_new_tokens=24, max_iterations=4, proposals="samples", num_samples=2
    ),
    "several": settings(
        max_new_tokens=24,
        max_iterations=4,
        temperature=0.7,
        num_samples=2,
        latents="consistent",
        fraction=1.0,
    ),
}


@pytest.mark.parametrize("name", RESUMED)
def test_killed_after_any_verdict_it_ends_the_same(tmp_path: Path, name: str) -> None:
    config = RESUMED[name]

    def graph(verifier: Any, file: str) -> Any:
        saver = SqliteSaver(sqlite3.connect(tmp_path / file, check_same_thread=False))
        # A model of its own each time: nothing is kept from before.
        return create_refine_graph(tiny_backbone(), verifier=verifier, config=config).compile(
            checkpointer=saver
        )

    def latents(made: Any) -> list[bytes]:
        return [state.values.get("latents", b"") for state in made.get_state_history(THREAD)]

    whole = graph(refuting, "whole")
    result = whole.invoke(ASKED, THREAD, durability="sync")
    assert any(entry["aimed_at"] for entry in result["iterations"])
    for stop in (2, len(result["iterations"])):
        with pytest.raises(Power):
            graph(failing_at(stop, refuting), f"{stop}").invoke(ASKED, THREAD, durability="sync")
        again = graph(refuting, f"{stop}")
        resumed = again.invoke(None, THREAD, durability="sync")
        assert resumed["iterations"] == result["iterations"]
        assert (resumed["votes"], resumed["text"]) == (result["votes"], result["text"])
        assert latents(again)[0:3] == latents(whole)[0:3]
