"""Searches under way in an evaluation: kept after each iteration, and gone on with."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from latentseek_agents.engine.cancellation import Cancelled, stopped_by
from latentseek_agents.engine.search import refine
from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.methods import Method
from latentseek_agents.evaluation.runs.records import Key
from latentseek_agents.evaluation.runs.unfinished import UnfinishedSearches
from latentseek_agents.testing import tiny_backbone
from tests.evaluation.runs.test_run import CONFIG, PROBLEMS, Broken
from tests.support.evaluations import evaluate


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


class Interrupting(threading.Event):
    """Stops the process, as it were, when it has been looked at so many times: at each token, and between."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("latents", ["independent", "consistent"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_search_goes_on_in_its_middle(backbone, tmp_path, latents, temperature):
    config = CONFIG.replace(
        latents=latents, max_iterations=4, temperature=temperature, continuation_temperature=temperature
    )
    method, problem = Method("psrm", backbone), PROBLEMS[0]
    whole = method.solve(problem, config)
    kept = UnfinishedSearches(tmp_path, "run").of(Key("made up", "boxed", "psrm", 0), problem.digest)
    stops = 0
    while True:
        try:
            with stopped_by(Interrupting(20)):
                found = method.solve(problem, config, kept)
        except Cancelled:
            stops += 1
            assert stops < 20
        else:
            break
    assert stops > 1

    def told(work):
        return [(one.text, one.score, one.policy_tokens, one.changed) for one in work.attempts]

    assert told(found) == told(whole)
    assert (found.chosen, found.stop_reason) == (whole.chosen, whole.stop_reason)
    kept_state = kept.load()
    assert kept_state is not None
    state, costs = kept_state
    assert len(state["iterations"]) == len(costs) == 4  # behind the last iteration it is the run's to remove


def test_only_the_same_search_is_gone_on_with(tmp_path, caplog):
    place = UnfinishedSearches(tmp_path, "run")
    key = Key("made up", "boxed", "psrm", 0)
    place.of(key, "digest").save({"latents": b"z"}, [])
    assert place.of(key, "digest").load() == ({"latents": b"z"}, [])
    assert place.of(key, "another").load() is None
    assert UnfinishedSearches(tmp_path, "other run").of(key, "digest").load() is None
    assert place.of(key._replace(problem=1), "digest").load() is None
    place.of(key, "digest").path.write_text("{half")
    assert place.of(key, "digest").load() is None
    assert "begins anew" in caplog.text


def test_a_second_call_goes_on_behind_the_last_iteration(backbone, tmp_path, monkeypatch):
    done = []

    def refined(*arguments, **options):
        done.append(options["history"][-1].iteration + 1)
        if done == [1, 2]:
            raise Broken
        return refine(*arguments, **options)

    monkeypatch.setattr("latentseek_agents.engine.search.refine", refined)
    with pytest.raises(Broken):
        evaluate(backbone, PROBLEMS[:1], methods=["psrm"], out=tmp_path, config=CONFIG)
    monkeypatch.setattr("latentseek_agents.engine.search.draft", None)  # a second draft fails
    evaluate(backbone, PROBLEMS[:1], methods=["psrm"], out=tmp_path, config=CONFIG)
    assert done == [1, 2, 2]
    (outcome,) = read_outcomes(tmp_path)
    assert len(outcome.attempts) == 3


def test_searches_tell_how_many_attempts_they_have_made(backbone, tmp_path):
    heard = []
    evaluate(
        backbone,
        PROBLEMS[:1],
        methods=["psrm", "cot"],
        out=tmp_path,
        config=CONFIG,
        on_attempt=lambda *told: heard.append(told),
    )
    key = Key("made up", "boxed", "psrm", 0)
    assert heard == [(key, 1), (key, 2)]


def test_processes_may_work_on_the_same_search(tmp_path):
    key = Key("made up", "boxed", "psrm", 0)

    def save(number):
        for _ in range(50):
            UnfinishedSearches(tmp_path, "run").of(key, "digest").save({"latents": bytes([number])}, [])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, range(4)))
    kept = UnfinishedSearches(tmp_path, "run").of(key, "digest")
    assert kept.load() is not None
    Path(tmp_path, f"{kept.path.stem}.1-1.partial").touch()  # of a process that was killed
    kept.remove()
    assert not list(tmp_path.iterdir())


def test_a_search_that_cannot_be_kept_goes_on(tmp_path, caplog):
    (tmp_path / "unfinished").write_text("no folder")
    place = UnfinishedSearches(tmp_path / "unfinished", "run").of(Key("a", "boxed", "psrm", 0), "digest")
    place.save({"latents": b""}, [])
    assert "cannot be kept" in caplog.text
