"""Runs of an evaluation: what is written, resumed, shared, refused."""

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from latentseek_agents import LatentSeekConfig, Verdict
from latentseek_agents.engine.cancellation import Cancelled, stopped_by
from latentseek_agents.engine.latents import Latents
from latentseek_agents.errors import ConfigError, InputError, NonFiniteError
from latentseek_agents.evaluation.runs import methods
from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.methods import Method
from latentseek_agents.evaluation.runs.plan import Shard, read_plan
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import AttemptRecord, Key, Outcome
from latentseek_agents.evaluation.runs.run import Worker
from latentseek_agents.evaluation.runs.samples import DrawnSamples
from latentseek_agents.evaluation.runs.unfinished import UnfinishedSearches
from latentseek_agents.graphs import create_best_of_n_graph, create_self_consistency_graph
from latentseek_agents.testing import scripted_backbone, tiny_backbone
from latentseek_agents.tools import StepVerifier
from tests.support.evaluations import evaluate

CONFIG = LatentSeekConfig(max_new_tokens=10, max_iterations=2, fraction=0.5, learning_rate=0.3)
PROBLEMS = [Problem("made up", number, f"What is {number} + 1?", str(number + 1)) for number in range(6)]
METHODS = ["cot", "sc:3", "bon:2:steps", "psrm", "walk:psrm", "steps"]


def without_time(outcomes):
    """Outcomes without what differs from run to run: time, shared passes, which prompts were kept."""
    nothing = dict.fromkeys(
        ("policy_seconds", "verifier_seconds", "policy_forward_passes", "policy_computed_tokens"), 0
    )  # no model verifies
    return [
        replace(
            outcome, seconds=0, attempts=tuple(replace(attempt, **nothing) for attempt in outcome.attempts)
        )
        for outcome in outcomes
    ]


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture(scope="module")
def whole(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    evaluate(backbone, PROBLEMS, methods=METHODS, out=folder, config=CONFIG, batch=4)
    return folder


def test_every_problem_is_done_by_every_method(whole):
    outcomes = read_outcomes(whole)
    assert {outcome.key for outcome in outcomes} == {
        Key("made up", "boxed", method, problem.number) for method in METHODS for problem in PROBLEMS
    }
    by_method = {method: [o for o in outcomes if o.key.method == method] for method in METHODS}
    assert all(len(outcome.attempts) == 1 for outcome in by_method["cot"])
    assert all(len(outcome.attempts) == 3 for outcome in by_method["sc:3"])
    assert all(len(outcome.attempts) == 3 for outcome in by_method["psrm"])  # never right: draft and K = 2


def test_alone_or_in_company_the_outcomes_are_the_same(backbone, whole, tmp_path):
    evaluate(backbone, PROBLEMS, methods=METHODS, out=tmp_path, config=CONFIG, batch=1)
    assert without_time(read_outcomes(tmp_path)) == without_time(read_outcomes(whole))


def test_a_line_per_outcome_with_what_its_attempts_cost(whole):
    lines = [
        json.loads(line) for file in whole.glob("attempts-*.jsonl") for line in file.read_text().splitlines()
    ]
    assert len(lines) == len(METHODS) * len(PROBLEMS)
    drafts = [line["attempts"][0] for line in lines if line["method"] == "psrm"]
    assert [line["attempt"] for line in drafts] == [0] * len(PROBLEMS)
    assert all(line["policy_tokens"] > 0 and line["policy_forward_passes"] > 0 for line in drafts)
    settings = json.loads((whole / "run.json").read_text())
    assert {line["run"] for line in lines} == {settings["run"]}
    assert settings["model_hash"]
    assert settings["versions"]["torch"]
    assert settings["config"]["seed"] == 0


def test_what_is_done_is_not_done_again(backbone, tmp_path):
    seen: list[Any] = []
    evaluate(backbone, PROBLEMS[:3], methods=["cot"], out=tmp_path, config=CONFIG, on_outcome=seen.append)
    evaluate(backbone, PROBLEMS, methods=["cot", "sc:2"], out=tmp_path, config=CONFIG, on_outcome=seen.append)
    assert sorted(outcome.key for outcome in seen) == [outcome.key for outcome in read_outcomes(tmp_path)]
    assert len(seen) == 12


def test_samples_are_drawn_once_for_all_methods(backbone, whole, tmp_path, monkeypatch):
    evaluate(backbone, PROBLEMS, methods=["sc:3"], out=tmp_path, config=CONFIG)
    monkeypatch.setattr("latentseek_agents.evaluation.runs.methods.sample", None)  # whoever draws fails
    evaluate(backbone, PROBLEMS, methods=["bon:2:steps", "sc:2"], out=tmp_path, config=CONFIG)
    found = {outcome.key: outcome for outcome in read_outcomes(tmp_path)}
    assert len(found) == 18
    expected = [o for o in read_outcomes(whole) if o.key.method == "bon:2:steps"]
    assert without_time([found[outcome.key] for outcome in expected]) == without_time(expected)
    assert all(outcome.seconds > 0 for outcome in found.values())
    for problem in PROBLEMS:
        three, two = (found[Key("made up", "boxed", method, problem.number)] for method in ("sc:3", "sc:2"))
        assert two.attempts == three.attempts[:2]
    with pytest.raises(TypeError):
        evaluate(backbone, PROBLEMS, methods=["sc:4"], out=tmp_path, config=CONFIG)


@pytest.mark.parametrize("change", [{"digest": "another's"}, {"finish_reason": "seconds"}, {"method": "cot"}])
def test_only_whole_samples_of_the_same_problem_are_taken_over(change):
    attempt = AttemptRecord(
        attempt=0, answer="1", right=False, finish_reason=change.get("finish_reason", "stop")
    )
    key = Key("made up", "boxed", change.get("method", "sc:1"), 0)
    outcome = Outcome(
        key=key,
        run="",
        seed=0,
        reference="2",
        attempts=(attempt,),
        chosen=0,
        digest=change.get("digest", "d"),
    )
    assert DrawnSamples([outcome]).of(key._replace(method="bon:1"), "d") == ()


def test_shards_are_disjoint_and_together_everything(backbone, whole, tmp_path):
    for index in (1, 0):
        evaluate(
            backbone, PROBLEMS, methods=METHODS, out=tmp_path, config=CONFIG, shard=Shard(index, 2), batch=2
        )
    assert len(list(tmp_path.glob("attempts-*.jsonl"))) == 2
    assert without_time(read_outcomes(tmp_path)) == without_time(read_outcomes(whole))


def test_a_folder_of_another_run_is_refused(backbone, whole):
    before = sorted((file.name, file.read_bytes()) for file in whole.glob("*.json*"))
    with pytest.raises(InputError, match=r"another run \(config.seed: 0 there, 1 here\); name another"):
        evaluate(backbone, PROBLEMS, methods=["cot"], out=whole, config=CONFIG.replace(seed=1))
    assert sorted((file.name, file.read_bytes()) for file in whole.glob("*.json*")) == before


def test_results_of_another_problem_are_not_taken_for_this_ones(backbone, whole):
    changed = [replace(PROBLEMS[0], question="What is 0 + 2?"), *PROBLEMS[1:]]
    with pytest.raises(InputError, match=r"results of another problem 0 of 'made up'; use the file"):
        evaluate(backbone, changed, methods=["cot"], out=whole, config=CONFIG)


def test_two_problems_of_one_name_and_number_are_refused(backbone, tmp_path):
    with pytest.raises(InputError, match=r"problem 0 of 'made up' is there 2 times; name each file once"):
        evaluate(backbone, [*PROBLEMS, PROBLEMS[0]], methods=["cot"], out=tmp_path, config=CONFIG)
    assert not list(tmp_path.iterdir())


def test_a_problem_that_is_too_long_is_wrong_and_stops_nothing(backbone, tmp_path):
    problems = [Problem("long", 0, "1 + " * 5000, "1"), PROBLEMS[0]]
    evaluate(backbone, problems, methods=["cot"], out=tmp_path, config=CONFIG)
    long = next(outcome for outcome in read_outcomes(tmp_path) if outcome.key.dataset == "long")
    assert not long.right
    assert long.stop_reason == "error: InputError"


def test_a_search_that_breaks_off_keeps_its_attempts_and_costs(backbone, tmp_path, monkeypatch):
    stepped = Latents.stepped

    def second_step_fails(self, gradient, **options):
        if self.step == 1:
            raise NonFiniteError("a latent is NaN")
        return stepped(self, gradient, **options)

    monkeypatch.setattr(Latents, "stepped", second_step_fails)
    evaluate(backbone, PROBLEMS[:1], methods=["cot", "psrm"], out=tmp_path, config=CONFIG)
    cot, psrm = read_outcomes(tmp_path)
    assert psrm.stop_reason == "error: NonFiniteError"
    assert [attempt.attempt for attempt in psrm.attempts] == [0, 1]
    assert psrm.attempts[0].text == cot.attempts[0].text
    assert all(attempt.policy_tokens > 0 for attempt in psrm.attempts)


def test_nothing_unfinished_is_left_behind(backbone, whole, tmp_path):
    assert not list(whole.glob("unfinished/*"))
    evaluate(backbone, PROBLEMS[:1], methods=["psrm"], out=tmp_path, config=CONFIG)
    (outcome,) = read_outcomes(tmp_path)
    kept = UnfinishedSearches(tmp_path / "unfinished", outcome.run).of(outcome.key, PROBLEMS[0].digest)
    kept.save({"latents": b""}, [])  # of a process that was killed between the result and its removal
    evaluate(backbone, PROBLEMS[:1], methods=["psrm"], out=tmp_path, config=CONFIG)
    assert kept.load() is None


def test_an_attempt_tells_of_how_many_samples_it_is_the_best(backbone, tmp_path):
    config = CONFIG.replace(num_samples=3, temperature=0.8)
    evaluate(backbone, PROBLEMS[:1], methods=["psrm"], out=tmp_path, config=config)
    (outcome,) = read_outcomes(tmp_path)
    assert [attempt.samples for attempt in outcome.attempts] == [1, 3, 3]


class Broken(Exception):
    """Something fails that is no matter of the evaluation."""


def test_an_error_in_the_middle_loses_nothing(backbone, tmp_path, monkeypatch):
    all_done = threading.Barrier(len(PROBLEMS) + 1)

    perform = Worker.perform

    def performed(*arguments):
        outcome = perform(*arguments)
        all_done.wait(60)
        return outcome

    def break_down(_):
        raise Broken

    monkeypatch.setattr(Worker, "perform", performed)
    waiter = threading.Thread(target=all_done.wait, args=(60,))
    waiter.start()
    with pytest.raises(Broken):
        evaluate(
            backbone,
            PROBLEMS,
            methods=["cot"],
            out=tmp_path,
            config=CONFIG,
            batch=len(PROBLEMS),
            on_outcome=break_down,
        )
    waiter.join()
    assert [o.key.problem for o in read_outcomes(tmp_path)] == [problem.number for problem in PROBLEMS]


def test_a_run_that_is_over_asks_for_no_more_verdicts(backbone):
    samples = [AttemptRecord(attempt=number, answer="1", right=True, text="It is 1.") for number in range(2)]
    method = Method("bon:2:steps", backbone)
    assert len(method.solve(PROBLEMS[0], CONFIG, drawn=samples).attempts) == 2
    over = threading.Event()
    over.set()
    with stopped_by(over), pytest.raises(Cancelled):
        method.solve(PROBLEMS[0], CONFIG, drawn=samples)


@pytest.mark.parametrize(
    ("reference", "right", "reason"), [("7", [True], "passed"), ("8", [False] * 3, "iterations")]
)
def test_psrm_stops_at_the_right_answer_and_is_marked_as_an_oracle(reference, right, reason):
    backbone = scripted_backbone([r"It is \boxed{7}."])
    config = CONFIG.replace(max_new_tokens=40)
    method = Method("psrm", backbone)
    work = method.solve(Problem("made up", 0, "What is 3 + 4?", reference), config)
    assert method.oracle
    assert not Method("self", backbone).oracle
    assert [attempt.right for attempt in work.attempts] == right
    assert (work.chosen, work.stop_reason) == (0, reason)


def test_the_baselines_are_those_of_the_graphs(backbone):
    problem = PROBLEMS[2]
    state: Any = {"question": problem.question}
    voted = (
        create_self_consistency_graph(backbone, n=3, temperature=0.8, config=CONFIG).compile().invoke(state)
    )
    best = (
        create_best_of_n_graph(backbone, verifier=StepVerifier(), n=3, temperature=0.8, config=CONFIG)
        .compile()
        .invoke(state)
    )
    sc = Method("sc:3", backbone).solve(problem, CONFIG)
    bon = Method("bon:3:steps", backbone).solve(problem, CONFIG)
    for work, graph in ((sc, voted), (bon, best)):
        assert [attempt.text for attempt in work.attempts] == [entry["text"] for entry in graph["iterations"]]
        assert work.attempts[work.chosen].text == graph["text"]
        assert sum(attempt.verifier_tokens for attempt in work.attempts) == graph["usage"]["verifier_tokens"]
        assert sum(attempt.policy_tokens for attempt in work.attempts) == graph["usage"]["policy_tokens"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cott", "is unknown; the methods are cot"),
        ("sc:0", "must be 1 or more"),
        ("bon:x", "must be 1 or more"),
        ("bon:3:luck", "is no reward"),
        ("sc:3:steps", "takes 1 argument"),
        ("cot:3", "takes no argument"),
        ("walk:luck", "is no reward"),
    ],
)
def test_a_method_that_is_none_is_refused(backbone, name, message):
    with pytest.raises(ConfigError, match=message):
        Method(name, backbone)


def test_settings_out_of_range_are_refused_before_anything_is_written(backbone, tmp_path):
    with pytest.raises(ConfigError, match="batch=0"):
        evaluate(backbone, PROBLEMS, methods=["cot"], out=tmp_path, batch=0)
    with pytest.raises(ConfigError, match="is unknown"):
        evaluate(backbone, PROBLEMS, methods=["cot", "xx"], out=tmp_path)
    for temperature in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="of the samples: it must be 0 or more"):
            evaluate(backbone, PROBLEMS, methods=["sc"], out=tmp_path, temperature=temperature)
    several = LatentSeekConfig.agreement(num_samples=2)
    with pytest.raises(ConfigError, match="num_samples=2"):
        evaluate(backbone, PROBLEMS, methods=["cot", "steps"], out=tmp_path, config=several)
    samples = LatentSeekConfig(proposals="samples")
    with pytest.raises(ConfigError, match="walk moves latents"):
        evaluate(backbone, PROBLEMS, methods=["cot", "walk"], out=tmp_path, config=samples)
    with pytest.raises(ConfigError, match="shard 2/2"):
        Shard(2, 2)
    assert not list(tmp_path.iterdir())


def test_what_a_run_is_meant_to_do_is_written_down(backbone, tmp_path):
    def break_down(_):
        raise Broken

    for index in (0, 1):
        with pytest.raises(Broken):
            evaluate(
                backbone,
                PROBLEMS,
                methods=["cot", "sc:2"],
                out=tmp_path,
                config=CONFIG,
                shard=Shard(index, 2),
                on_outcome=break_down,
            )
    assert read_plan(tmp_path) == {
        Key("made up", "boxed", method, problem.number) for method in ("cot", "sc:2") for problem in PROBLEMS
    }
    (tmp_path / "plan-0-of-2.json").write_text("[{}]")
    with pytest.raises(InputError, match="is not the plan of an evaluation"):
        read_plan(tmp_path)


class PrintsTwelve:
    """Refuses what it sees, since the program in it prints 12."""

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        return Verdict(-0.97, False, "refuted", computed_answer="12")


def test_a_corrected_answer_is_graded_in_place_of_the_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "named_verifier", lambda names, backbone, agreement: PrintsTwelve())
    backbone = scripted_backbone(["The answer is 8.", "The answer is 9.", "The answer is 7."])
    config = LatentSeekConfig.agreement(
        max_new_tokens=64, proposals="samples", num_samples=2, max_iterations=1
    )
    problem = Problem("cats", 0, "How many legs have three cats?", "12")
    work = Method("agreement:samples:steps", backbone).solve(problem, config)
    assert [record.answer for record in work.attempts] == ["8", "9", "7"]
    assert [record.attempt for record in work.attempts] == [0, 1, 1]
    assert [record.computed_answer for record in work.attempts] == ["12"] * 3
    assert (work.corrected, work.corrected_right) == ("12", True)
    assert sum(record.policy_tokens for record in work.attempts) > 0
    outcome = Outcome(
        key=Key("cats", "boxed", "steps", 0), run="", seed=0, reference="12", attempts=work.attempts,
        chosen=work.chosen, corrected=work.corrected, corrected_right=work.corrected_right,
    )  # fmt: skip
    assert Outcome.from_line(outcome.to_line()) == outcome
    assert outcome.right
    assert not outcome.choosing(0).right
