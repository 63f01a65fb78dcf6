"""Runs of one model with different settings: which are compared, on which questions, with what result."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from latentseek_agents.cli import app
from latentseek_agents.evaluation.across_runs import AcrossRuns, compare_runs
from latentseek_agents.evaluation.across_tables import differing_settings
from latentseek_agents.evaluation.analysis import analyse_runs
from latentseek_agents.evaluation.plans import add_to_plan
from latentseek_agents.evaluation.records import Key, Outcome
from latentseek_agents.evaluation.report import write_report
from tests.support.made_up_runs import attempt, outcome, write_run

CONFIG = {"seed": 0, "max_new_tokens": 20, "latents": "independent"}


def search(method: str, number: int, *, right: bool, digest: str | None = "same") -> Outcome:
    made = [attempt(0, "5", False), attempt(1, "4" if right else "5", right)]
    return replace(outcome(method, number, made, 1), digest=digest and f"{digest} {number}")


def sampled(method: str, number: int, *answers: str, digest: str = "same") -> Outcome:
    made = [attempt(place, answer, answer == "4") for place, answer in enumerate(answers)]
    return replace(outcome(method, number, made), digest=f"{digest} {number}")


def written(folder: Path, outcomes: list[Outcome], *, config: Any = None, **settings: Any) -> Path:
    values = {"model_hash": "abc", "dtype": "float32", "temperature": 0.8, "run": folder.name}
    return write_run(folder, outcomes, **(values | settings), config=CONFIG | (config or {}))


def compared(*folders: Path) -> list[AcrossRuns]:
    return compare_runs(analyse_runs(folders))


def two_runs(tmp_path: Path, **settings: Any) -> tuple[Path, Path]:
    """Searches of ten questions, right on all but two; and of the last eight, right on every other."""
    one = [search(name, number, right=number > 1) for name in ("self", "psrm") for number in range(10)]
    other = [
        search(name, number, right=number % 2 == 0) for name in ("self", "psrm") for number in range(2, 10)
    ]
    other += [sampled("sc:2", number, "5", "4" if number < 6 else "5") for number in range(2, 10)]
    first = written(tmp_path / "independent", one)
    second = written(tmp_path / "consistent", other, config={"latents": "consistent"}, **settings)
    return first, second


def test_searches_of_the_same_name_are_paired_question_by_question(tmp_path):
    (across,) = compared(*two_runs(tmp_path))
    assert [run.folder for run in across.runs] == ["independent", "consistent"]
    assert across.differing == {"config.latents": ("independent", "consistent")}
    assert [(pair.method, pair.oracle) for pair in across.pairs] == [("self", False), ("psrm", True)]
    for pair in across.pairs:
        assert (pair.first.folder, pair.second.folder) == ("independent", "consistent")
        assert pair.found is not None
        assert (pair.found.questions, pair.found.only_first, pair.found.only_second) == (8, 4, 0)
        assert pair.found.p == 0.125
    shown = [
        (one.summary.method, one.run.folder, one.summary.right, one.summary.questions)
        for one in across.summaries
    ]
    assert shown == [
        ("sc:2", "consistent", 0, 8),
        ("self", "independent", 8, 8),
        ("self", "consistent", 4, 8),
        ("psrm", "independent", 8, 8),
        ("psrm", "consistent", 4, 8),
    ]


def test_a_search_stands_beside_samples_of_another_run_that_were_drawn_in_the_same_way(tmp_path):
    (across,) = compared(*two_runs(tmp_path))
    (one,) = across.coverage
    assert (one.run.folder, one.samples.folder, one.row.method) == ("independent", "consistent", "psrm")
    (attempts,) = [equal for equal in one.row.equal if equal.kind == "attempts"]
    ((label, rival),) = attempts.neighbours
    assert (label, rival.samples, rival.summary.right, rival.found.only_first) == ("exactly", 2, 4, 4)


@pytest.mark.parametrize(
    "change", [{"temperature": 0.7}, {"config": {"seed": 1}}, {"config": {"max_new_tokens": 9}}]
)
def test_samples_drawn_in_another_way_are_no_rivals(tmp_path, change):
    (first, second) = two_runs(tmp_path)
    outcomes = [sampled("sc:2", number, "4", "4") for number in range(4)]
    (across,) = compared(first, written(tmp_path / "other", outcomes, **change))
    assert across.coverage == ()
    assert len(compared(first, second)[0].coverage) == 1


@pytest.mark.parametrize("change", [{"model_hash": "def"}, {"dtype": "bfloat16"}, {"model_hash": None}])
def test_other_models_are_not_paired(tmp_path, change):
    first = written(tmp_path / "first", [search("self", 0, right=True)])
    second = written(tmp_path / "second", [search("self", 0, right=True)], **change)
    assert compared(first, second) == []
    write_report(analyse_runs([first, second]), tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert (markdown.count("| first | self |"), markdown.count("| second | self |")) == (1, 1)
    assert "compared" not in markdown.split("## made-up-model (first)")[0].replace(
        "are not compared here", ""
    )


def test_a_question_of_the_same_number_must_be_the_same(tmp_path):
    first = [
        search("self", 0, right=True),
        search("self", 1, right=True),
        search("self", 2, right=True, digest=None),
    ]
    second = [
        search("self", 0, right=True),
        search("self", 1, right=True, digest="another"),
        search("self", 2, right=True),
    ]
    second.append(replace(search("self", 3, right=True), reference="5"))
    (across,) = compared(written(tmp_path / "a", first), written(tmp_path / "b", second))
    (pair,) = across.pairs
    assert pair.found is not None
    assert pair.found.questions == 2  # of 2, which has no digest, the known answer is the same
    (across,) = compared(
        written(tmp_path / "c", [search("self", 3, right=True, digest=None)]), tmp_path / "b"
    )
    assert across.pairs[0].found is None
    assert across.summaries == ()


def test_a_report_of_several_runs(tmp_path):
    runs = analyse_runs(two_runs(tmp_path))
    write_report(runs, tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    joint, across = markdown.split("\n## ")[1:3]
    assert joint.startswith("All runs\n")
    assert "| run | method | sums · boxed, n = 10 |" in joint
    assert "| independent | self | 80.0 (49.0–94.3) |" in joint
    assert "| consistent | self | 50.0 (21.5–78.5), n = 8 |" in joint
    results, oracles = across.split("\n### ORACLE\n")
    assert "| run | config.latents |\n| --- | --- |\n| independent | independent |\n" in results
    row = "independent | consistent | 8 | 4 | 0 | +50.0 (+1.3 to +78.5) | 0.125 | no difference shown |"
    assert f"| sums · boxed | self | {row}" in results
    assert f"| sums · boxed | psrm (ORACLE) | {row}" in oracles
    assert "psrm" not in results
    assert "psrm" not in joint.split("### ORACLE")[0]
    assert (
        "| psrm (ORACLE) | independent | consistent | 8 | 100.0 (67.6–100.0) | attempts | 2 | pass@2: "
        in oracles
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Settings in which the runs differ" in page
    text = (tmp_path / "out" / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    (p,) = [row for row in rows if row["variant"] == "against self in consistent" and row["measure"] == "p"]
    assert (p["run"], p["method"], float(p["value"]), p["n"]) == ("independent", "self", 0.125, "8")


def test_one_run_alone_has_no_joint_table(tmp_path):
    (first, _) = two_runs(tmp_path)
    write_report(analyse_runs([first]), tmp_path / "out")
    assert "All runs" not in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_runs_of_the_same_folder_name_are_told_apart(tmp_path):
    first = written(tmp_path / "a" / "run", [search("self", 0, right=True)])
    second = written(tmp_path / "b" / "run", [search("self", 0, right=True)])
    runs = analyse_runs([first, second])
    assert [run.folder for run in runs] == ["a/run", "b/run"]
    assert [run.name for run in runs] == ["made-up-model (a/run)", "made-up-model (b/run)"]
    (across,) = compare_runs(runs)
    # The made-up fingerprints differ in nothing that is a setting.
    table = differing_settings(across)
    assert (table.rows, table.note) == ((("a/run",), ("b/run",)), "Their settings are the same. ")


def test_a_search_stands_beside_the_votes_of_another_run(tmp_path):
    """As with presets, which need a folder for each method: the search in one, samples in the other."""
    (across,) = compared(*two_runs(tmp_path))
    rows = [one.row for one in across.equal_costs if one.row.search.method == "self"]
    # The first run has no samples, so the second run's searches have no rivals.
    assert [row.kind for row in rows] == ["attempts", "tokens"]
    for row in rows:
        assert (row.rival, row.search.right, row.search.questions) == ("sc", 8, 8)
        assert [(rival.samples, rival.summary.right) for _, rival in row.neighbours] == [(2, 0)]
    out = tmp_path / "out"
    write_report(analyse_runs(two_runs(tmp_path)), out)
    assert "at equal cost, with the samples of another run" in (out / "report.md").read_text(encoding="utf-8")


def test_an_unfinished_run_is_marked_wherever_it_is_compared(tmp_path):
    first, second = two_runs(tmp_path)
    add_to_plan(second, "0-of-1", [Key("sums", "boxed", "self", number) for number in range(10)])
    write_report(analyse_runs([first, second]), tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    for section in markdown.split("\n## ")[1:3]:
        assert "consistent: sums · boxed: self has 2 questions left to work on" in section


def test_the_command_compares_runs(tmp_path):
    folders = map(str, two_runs(tmp_path))
    result = CliRunner().invoke(
        app, ["report", *folders, "--out", str(tmp_path / "out")], env={"COLUMNS": "160"}
    )
    assert result.exit_code == 0, result.output
    assert "config.latents" in result.stdout
    assert "Runs in pairs, on the same questions" in result.stdout
    assert "80.0 (49.0–94.3)" in result.stdout
