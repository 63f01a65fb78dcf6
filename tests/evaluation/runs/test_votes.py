"""Methods that vote: verified votes of samples, searches for agreement, programs alone."""

from pathlib import Path
from typing import Any

import pytest

from latentseek_agents import LatentSeekConfig
from latentseek_agents.errors import ConfigError
from latentseek_agents.evaluation.runs import methods as methods_module
from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.method_names import MethodName, method_names
from latentseek_agents.evaluation.runs.methods import Method
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import AttemptRecord, Outcome
from latentseek_agents.testing import scripted_backbone, tiny_backbone
from tests.support.evaluations import evaluate

SEARCHED: dict[str, Any] = {
    "max_new_tokens": 10,
    "fraction": 0.5,
    "learning_rate": 0.3,
    "max_iterations": 3,
}
CONFIG = LatentSeekConfig.agreement(**SEARCHED)
PROBLEMS = [Problem("made up", number, f"What is {number} + 1?", str(number + 1)) for number in range(4)]
QUESTION = Problem("made up", 0, "What is 3 * 24?", "72")
PROGRAM = "```python\nprint(3 * 24)\n```"


def record(number: int, text: str, answer: str | None, *, tokens: int = 7) -> AttemptRecord:
    right = answer == QUESTION.reference
    return AttemptRecord(attempt=number, answer=answer, right=right, text=text, policy_tokens=tokens)


def sums(*results: int) -> list[AttemptRecord]:
    return [record(n, f"3 * 24 = {one}. The answer is {one}.", str(one)) for n, one in enumerate(results)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["vote"], ("vote:3",)),
        (["vote:5:combined_program", "vote:5:steps"], ("vote:5", "vote:5:steps")),
        (["agreement:samples", "agreement"], ("agreement",)),
        (["agreement:samples:steps", "agreement:latents"], ("agreement:steps", "agreement:latents")),
        (["agreement:latents:steps"], ("agreement:latents:steps",)),
    ],
)
def test_names(names: list[str], expected: tuple[str, ...]):
    assert method_names(names) == expected


@pytest.mark.parametrize("name", ["vote:0", "agreement:3", "agreement:steps:latents", "program:steps"])
def test_names_that_are_refused(name: str):
    with pytest.raises(ConfigError):
        method_names([name])


def test_what_the_names_say():
    samples, latents = MethodName("agreement"), MethodName("agreement:latents:steps")
    assert (samples.proposals, samples.reward, samples.searches) == ("samples", "combined_program", True)
    assert (latents.proposals, latents.reward) == ("latents", "steps")
    vote, program = MethodName("vote:5"), MethodName("program")
    assert (vote.samples, vote.reward, vote.searches, vote.proposals) == (5, "combined_program", False, None)
    assert (program.reward, program.searches, program.oracle) == (None, False, False)


def test_the_verified_vote_prefers_what_is_not_refuted():
    method = Method("vote:3:steps", scripted_backbone([""]))
    work = method.solve(QUESTION, CONFIG, drawn=sums(71, 71, 72))
    assert [attempt.refuted for attempt in work.attempts] == [True, True, False]
    assert work.attempts[2].exact
    assert (work.chosen, work.corrected, work.prepared_answer) == (2, None, None)
    assert Method("sc:3", scripted_backbone([""])).solve(QUESTION, CONFIG, drawn=sums(71, 71, 72)).chosen == 0


def test_samples_that_read_alike_have_a_vote_each_in_any_run():
    made = [record(0, "It is 71.", "71"), record(1, "It is 71.", "71"), record(2, "It is 72.", "72")]
    made = [*made, record(3, "It is 72, as 3 * 24 = 72.", "72"), record(4, "It is 71.", "71")]
    method = Method("vote:5:psrm", scripted_backbone([""]))
    for config in (CONFIG, LatentSeekConfig(vote_sharpness=0)):
        assert method.solve(QUESTION, config.replace(vote_sharpness=0), drawn=made).chosen == 0


def test_a_printed_value_wins_and_is_graded():
    text = "```python\nprint(3 * 24)\n```\nSo the answer is 71."
    method = Method("vote:2:steps", scripted_backbone([""]))
    work = method.solve(QUESTION, CONFIG, drawn=[record(0, text, "71"), record(1, text, "71")])
    assert (work.corrected, work.corrected_right) == ("72", True)


def test_the_program_for_the_question_votes_and_is_charged_once():
    method = Method("vote:2", scripted_backbone([PROGRAM]))
    work = method.solve(QUESTION, CONFIG, drawn=[record(0, "It is 71.", "71"), record(1, "It is 72.", "72")])
    assert (work.chosen, work.prepared_answer) == (1, "72")
    assert [attempt.verifier_tokens > 0 for attempt in work.attempts] == [True, False]


def test_a_search_among_known_samples_ends_where_an_answer_has_won():
    method = Method("agreement:samples:steps", scripted_backbone([""]))
    work = method.solve(QUESTION, CONFIG, drawn=sums(72, 72, 71), drafted=sums(71))
    assert [attempt.answer for attempt in work.attempts] == ["71", "72"]
    assert [attempt.attempt for attempt in work.attempts] == [0, 1]
    assert (work.chosen, work.stop_reason) == (1, "agreement")
    work = method.solve(QUESTION, CONFIG, drawn=sums(70, 69, 71), drafted=sums(71))
    assert (len(work.attempts), work.stop_reason) == (4, "iterations")


def told(outcome: Outcome) -> list[Any]:
    shown = ("attempt", "answer", "text", "score", "passed", "refuted", "exact", "policy_tokens")
    attempts = [[getattr(attempt, name) for name in shown] for attempt in outcome.attempts]
    return [outcome.key.problem, attempts, outcome.chosen, outcome.stop_reason, outcome.prepared_answer]


def test_known_samples_give_the_search_that_draws_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    backbone = tiny_backbone()
    name = "agreement"
    evaluate(backbone, PROBLEMS, methods=[name], out=tmp_path / "live", config=CONFIG)
    evaluate(backbone, PROBLEMS, methods=["cot", "sc:5"], out=tmp_path / "known", config=CONFIG)
    monkeypatch.setattr(methods_module, "draft", None)  # a search would fail
    evaluate(backbone, PROBLEMS, methods=["cot", "sc:5", name], out=tmp_path / "known", config=CONFIG)
    live, known = (
        [told(one) for one in read_outcomes(tmp_path / place) if one.key.method == name]
        for place in ("live", "known")
    )
    assert live == known
    assert len(live) == len(PROBLEMS)


def test_a_search_named_by_its_reward_moves_latents_in_a_run_for_agreement():
    backbone = tiny_backbone()
    gradient, walk, consistent = (
        Method(name, backbone).solve(PROBLEMS[0], config).attempts
        for name, config in (
            ("psrm", CONFIG),
            ("walk:psrm", CONFIG),
            ("psrm", LatentSeekConfig.consistent(**SEARCHED)),
        )
    )
    assert [one.latents > 0 for one in gradient] == [True] * 4
    assert [one.text for one in gradient] == [one.text for one in consistent]
    assert gradient[0].text == walk[0].text
    assert [one.text for one in gradient] != [one.text for one in walk]


def test_in_one_run_samples_and_drafts_are_drawn_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(methods_module, "draft", None)
    wanted = ["agreement", "vote:2", "cot", "sc:3"]
    evaluate(tiny_backbone(), PROBLEMS, methods=wanted, out=tmp_path, config=CONFIG, batch=3)
    assert len(read_outcomes(tmp_path)) == len(wanted) * len(PROBLEMS)


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [(PROGRAM, "72", True), ("```python\nprint(1)\n```", "1", False), ("", None, False)],
)
def test_a_program_alone(reply: str, answer: str | None, right: bool):
    work = Method("program", scripted_backbone([reply])).solve(QUESTION, CONFIG)
    (attempt,) = work.attempts
    assert (attempt.answer, attempt.right, work.prepared_answer) == (answer, right, answer)
    assert (attempt.verifier_tokens > 0, attempt.policy_tokens) == (True, 0)


def test_only_the_samples_that_are_missing_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    backbone, counts = tiny_backbone(), []
    sample = vars(methods_module)["sample"]

    def counted(*arguments: Any, **options: Any) -> Any:
        counts.append((options["start"], options["count"]))
        return sample(*arguments, **options)

    evaluate(backbone, PROBLEMS[:1], methods=["sc:5"], out=tmp_path / "whole", config=CONFIG)
    monkeypatch.setattr(methods_module, "sample", counted)
    for method in ("sc:2", "sc:5"):
        evaluate(backbone, PROBLEMS[:1], methods=[method], out=tmp_path / "grown", config=CONFIG)
    assert counts == [(0, 2), (2, 3)]
    whole, grown = (
        [told(one) for one in read_outcomes(tmp_path / place) if one.key.method == "sc:5"]
        for place in ("whole", "grown")
    )
    assert whole == grown


@pytest.mark.parametrize("change", [{"num_samples": 2}, {"aim": "first_error"}, {"sample_temperature": 0.5}])
def test_other_searches_than_those_of_the_runs_samples_draw_their_own(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(methods_module, "draft", lambda *_: (_ for _ in ()).throw(LookupError("a search")))
    temperature = 0.0 if "sample_temperature" in change else 0.8
    method = Method("agreement:samples:steps", scripted_backbone([""]), temperature=temperature)
    with pytest.raises(LookupError, match="a search"):
        method.solve(QUESTION, CONFIG.replace(**change), drawn=sums(72, 72, 71), drafted=sums(71))
