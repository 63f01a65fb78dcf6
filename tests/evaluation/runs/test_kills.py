"""An evaluation that is killed ten times ends as one that is left alone: same attempts, same report."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents.evaluation.reports import report as report_module
from latentseek_agents.evaluation.reports.analysis import read_run
from latentseek_agents.evaluation.reports.report import incomplete, write_report
from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.records import AttemptRecord, Outcome
from tests.support.answering_backbone import ANSWERS, AnsweringBackbone
from tests.support.killed_evaluation import CONFIG, METHODS, PROBLEMS, run_to_its_end

ROOT = Path(__file__).parents[3]
KILLS = 10
SEARCHES = ("psrm", "steps", "walk:psrm")
SAMPLED = ("sc:5", "bon:3:steps")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_to_its_end(AnsweringBackbone(), folder)
    return folder


def without_time(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Outcomes without the costs that differ each time.

    All others are the same: this model makes no guesses, and consistent latents begin with no completion that
    a killed process may have kept.
    """
    nothing: dict[str, Any] = dict.fromkeys(("policy_seconds", "verifier_seconds"), 0.0)
    return [
        replace(
            outcome, seconds=0, attempts=tuple(replace(attempt, **nothing) for attempt in outcome.attempts)
        )
        for outcome in outcomes
    ]


def reported(folder: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a report says of a run, without times."""
    monkeypatch.setattr(report_module, "can_draw", lambda: False)
    outcomes = without_time(read_outcomes(folder))
    shutil.copytree(folder, scratch, ignore=shutil.ignore_patterns("attempts-*", ".*"))
    (scratch / "attempts-0-of-1.jsonl").write_bytes(b"".join(one.to_line() for one in outcomes))
    run = read_run(scratch, label="the run")
    assert incomplete(run) == []
    write_report([run], scratch / "report")
    return {
        name: (scratch / "report" / name).read_text(encoding="utf-8") for name in ("report.md", "results.csv")
    }


def by_method(folder: Path) -> dict[str, list[Outcome]]:
    outcomes = read_outcomes(folder)
    return {method: [one for one in outcomes if one.key.method == method] for method in METHODS}


@pytest.mark.parametrize("methods", [SEARCHES, SAMPLED])
def test_there_is_something_to_get_wrong(whole, methods):
    """Answers vary, some are right, and what is chosen is not always the first."""
    found = by_method(whole)
    outcomes = [one for method in methods for one in found[method]]
    assert len(outcomes) == len(PROBLEMS) * len(methods)
    assert {one.attempts[one.chosen].answer for one in outcomes} == set(ANSWERS)
    assert {one.right for one in outcomes} == {True, False}
    assert {one.chosen > 0 for one in outcomes} == {True, False}
    assert any(one.right and not one.attempts[0].right for one in outcomes)
    assert {attempt.passed for one in outcomes for attempt in one.attempts} >= {True, False}
    if methods == SEARCHES:
        assert len({len(one.attempts) for one in outcomes}) > 3
    assert len({one.code for one in outcomes} - {None}) == 1


def by_verdict(attempt: AttemptRecord) -> tuple[int, float]:
    assert attempt.score is not None
    return (None, False, True).index(attempt.passed), attempt.score


def test_outcomes_are_what_the_rules_make_of_the_answers(whole):
    """Grading, votes, choices and stops once more, in a few lines."""
    found = by_method(whole)
    for outcomes in found.values():
        for one in outcomes:
            assert [attempt.right for attempt in one.attempts] == [
                attempt.answer == one.reference for attempt in one.attempts
            ]
            assert one.right is (one.attempts[one.chosen].answer == one.reference)
    assert all((len(one.attempts), one.chosen) == (1, 0) for one in found["cot"])
    for one in found["sc:5"]:
        answers = [attempt.answer for attempt in one.attempts]
        assert len(answers) == 5
        assert one.chosen == answers.index(max(answers, key=answers.count))
    for one, voted in zip(found["bon:3:steps"], found["sc:5"], strict=True):
        assert [attempt.text for attempt in one.attempts] == [attempt.text for attempt in voted.attempts[:3]]
        assert one.attempts[one.chosen] == max(one.attempts, key=by_verdict)
    for method in SEARCHES:
        for one, drafted in zip(found[method], found["cot"], strict=True):
            accepted = [attempt.passed for attempt in one.attempts]
            assert one.attempts[0].text == drafted.attempts[0].text
            assert not any(accepted[:-1])
            assert one.stop_reason == ("passed" if accepted[-1] else "iterations")
            assert accepted[-1] or len(accepted) == 1 + CONFIG.max_iterations
            assert one.attempts[one.chosen] == max(one.attempts, key=by_verdict)
            if method != "steps":
                assert accepted == [attempt.answer == one.reference for attempt in one.attempts]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
def test_killed_ten_times_the_results_and_the_report_are_the_same(whole, tmp_path, monkeypatch):
    seeds = [str(number) for number in range(KILLS)]
    folder = tmp_path / "killed"
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_evaluation", str(folder), *seeds],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    *rounds, end = map(json.loads, run.stdout.splitlines())
    assert [one["code"] for one in rounds] == [-9] * KILLS
    assert end["code"] == 0, run.stderr
    attempts = [one["attempts"] for one in (*rounds, end)]
    assert all(before < after for before, after in zip([0, *attempts], attempts, strict=False))
    assert sum(one["under way"] > 0 for one in rounds) >= KILLS // 2
    assert (end["outcomes"], end["under way"]) == (len(METHODS) * len(PROBLEMS), 0)
    assert not list(folder.glob("unfinished/*"))
    lines = (folder / "attempts-0-of-1.jsonl").read_text().splitlines()
    assert len(lines) == end["outcomes"]  # nothing was done twice
    pairs = zip(
        without_time(read_outcomes(folder)),
        without_time(read_outcomes(whole)),
        strict=True,
    )
    for found, left_alone in pairs:  # one by one: to show how long lists differ would take minutes
        assert found == left_alone
    expected = reported(whole, tmp_path / "one", monkeypatch)
    for name, text in reported(folder, tmp_path / "other", monkeypatch).items():
        assert text.splitlines() == expected[name].splitlines()
