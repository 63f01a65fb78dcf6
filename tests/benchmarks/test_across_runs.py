"""Runs of one model with different settings: which are compared, on which questions, with what result."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from latentseek_agents.cli import app
from latentseek_agents.evaluation.reports.analysis import read_runs
from latentseek_agents.evaluation.reports.report import write_report
from latentseek_agents.evaluation.runs.plan import add_to_plan
from latentseek_agents.evaluation.runs.records import Key, Outcome
from tests.support.made_up_runs import attempt, outcome, write_run

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import across_runs
from across_runs import SameModel, compare_runs, equal_costs_table, settings_table
from search_coverage import coverage_of_all

CONFIG = {"seed": 0, "max_new_tokens": 20, "latents": "independent"}


def search(method: str, number: int, *, right: bool, digest: str = "same") -> Outcome:
    made = [attempt(0, "5", False), attempt(1, "4" if right else "5", right)]
    return replace(outcome(method, number, made, 1), digest=f"{digest} {number}")


def sampled(method: str, number: int, *answers: str, digest: str = "same") -> Outcome:
    made = [attempt(place, answer, answer == "4") for place, answer in enumerate(answers)]
    return replace(outcome(method, number, made), digest=f"{digest} {number}")


def written(folder: Path, outcomes: list[Outcome], *, config: Any = None, **settings: Any) -> Path:
    values = {"model_hash": "abc", "dtype": "float32", "temperature": 0.8, "run": folder.name}
    return write_run(folder, outcomes, **(values | settings), config=CONFIG | (config or {}))


def compared(*folders: Path) -> list[SameModel]:
    return compare_runs(read_runs(folders))


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
    assert across.differing() == {"config.latents": ("independent", "consistent")}
    pairs = across.pairs()
    assert [(pair.first.method, pair.first.oracle) for _, _, pair in pairs] == [
        ("self", False),
        ("psrm", True),
    ]
    for first, second, pair in pairs:
        assert (first.folder, second.folder) == ("independent", "consistent")
        found = pair.comparison
        assert found is not None
        assert (found.questions, found.only_first, found.only_second, found.p) == (8, 4, 0, 0.125)
    shown = [(one.method, run.folder, one.right, one.questions) for run, one in across.summaries()]
    assert shown == [
        ("sc:2", "consistent", 0, 8),
        ("self", "independent", 8, 8),
        ("self", "consistent", 4, 8),
        ("psrm", "independent", 8, 8),
        ("psrm", "consistent", 4, 8),
    ]


def test_a_search_stands_beside_samples_of_another_run_that_were_drawn_in_the_same_way(tmp_path):
    (across,) = compared(*two_runs(tmp_path))
    ((run, search_, samples, pool),) = [one for one in across.beside_samples() if one[1].oracle]
    assert (run.folder, samples.folder, search_.method) == ("independent", "consistent", "psrm")
    beside = coverage_of_all(search_, pool).beside
    (attempts,) = [one.equal for one in beside if one.equal.kind == "attempts"]
    ((label, rival),) = attempts.neighbours
    assert (label, rival.samples, rival.series.right, rival.comparison.only_first) == ("exactly", 2, 4, 4)


@pytest.mark.parametrize(
    "change", [{"temperature": 0.7}, {"config": {"seed": 1}}, {"config": {"max_new_tokens": 9}}]
)
def test_samples_drawn_in_another_way_are_no_rivals(tmp_path, change):
    (first, second) = two_runs(tmp_path)
    outcomes = [sampled("sc:2", number, "4", "4") for number in range(4)]
    (across,) = compared(first, written(tmp_path / "other", outcomes, **change))
    assert list(across.beside_samples()) == []
    assert len(list(compared(first, second)[0].beside_samples())) == 2


@pytest.mark.parametrize("change", [{"model_hash": "def"}, {"dtype": "bfloat16"}, {"model_hash": None}])
def test_other_models_are_not_paired(tmp_path, change):
    first = written(tmp_path / "first", [search("self", 0, right=True)])
    second = written(tmp_path / "second", [search("self", 0, right=True)], **change)
    assert compared(first, second) == []


def test_a_question_of_the_same_number_must_be_the_same(tmp_path):
    first = [search("self", 0, right=True), search("self", 1, right=True)]
    second = [search("self", 0, right=True), search("self", 1, right=True, digest="another")]
    second.append(replace(search("self", 3, right=True), reference="5"))
    (across,) = compared(written(tmp_path / "a", first), written(tmp_path / "b", second))
    ((_, _, pair),) = across.pairs()
    assert pair.comparison is not None
    assert pair.comparison.questions == 1
    (across,) = compared(written(tmp_path / "c", [search("self", 3, right=True)]), tmp_path / "b")
    assert across.pairs()[0][2].comparison is None
    assert across.summaries() == []


def test_the_script_prints_all_tables(tmp_path, capsys):
    across_runs.main(list(map(str, two_runs(tmp_path))))
    printed = capsys.readouterr().out
    assert printed.startswith("## Runs of made-up-model compared\n")
    assert "| run | config.latents |\n| --- | --- |\n| independent | independent |\n" in printed
    row = "independent | consistent | 8 | 4 | 0 | +50.0 (+1.3 to +78.5) | 0.125 | no difference shown |"
    assert f"| sums · boxed | self | {row}" in printed
    assert f"| sums · boxed | psrm (ORACLE) | {row}" in printed
    assert (
        "| psrm (ORACLE) | independent | consistent | 8 | 100.0 (67.6–100.0) | attempts | 2 | pass@2: "
        in (printed)
    )
    assert "at equal cost, with the samples of another run" in printed
    for table in printed.split("\n### ")[1:]:
        title = table.splitlines()[0]
        assert ("psrm (ORACLE)" in table) is ("ORACLE" in title)


def test_a_report_of_several_runs_shows_their_accuracies_in_one_table(tmp_path):
    write_report(read_runs(two_runs(tmp_path)), tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    joint = markdown.split("\n## ")[1]
    assert joint.startswith("All runs\n")
    assert "| run | method | sums · boxed, n = 10 |" in joint
    assert "| independent | self | 80.0 (49.0–94.3) |" in joint
    assert "| consistent | self | 50.0 (21.5–78.5), n = 8 |" in joint
    assert "psrm" not in joint.split("### ORACLE")[0]


def test_one_run_alone_has_no_joint_table(tmp_path):
    (first, _) = two_runs(tmp_path)
    write_report(read_runs([first]), tmp_path / "out")
    assert "All runs" not in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_runs_of_the_same_folder_name_are_told_apart(tmp_path):
    first = written(tmp_path / "a" / "run", [search("self", 0, right=True)])
    second = written(tmp_path / "b" / "run", [search("self", 0, right=True)])
    runs = read_runs([first, second])
    assert [run.folder for run in runs] == ["a/run", "b/run"]
    assert [run.name for run in runs] == ["made-up-model (a/run)", "made-up-model (b/run)"]
    (across,) = compare_runs(runs)
    # The made-up fingerprints differ in nothing that is a setting.
    table = settings_table(across)
    assert (table.rows, table.note) == ([("a/run",), ("b/run",)], "Their settings are the same. ")


def test_a_search_stands_beside_the_votes_of_another_run(tmp_path):
    """As with presets, which need a folder for each method: the search in one, samples in the other."""
    (across,) = compared(*two_runs(tmp_path))
    # The first run has no samples, so the second run's searches have no rivals.
    rows = [row for row in equal_costs_table(across, oracle=False).rows if row[1] == "self"]
    assert [(row[2], row[4], str(row[5]), row[6]) for row in rows] == [
        ("independent", "8", "100.0 (67.6–100.0)", "attempts"),
        ("independent", "8", "100.0 (67.6–100.0)", "tokens"),
    ]
    assert [str(row[8]).partition(";")[0] for row in rows] == ["sc-2: 0.0", "sc-2 for 20: 0.0"]


def test_an_unfinished_run_is_marked_in_the_joint_table(tmp_path):
    first, second = two_runs(tmp_path)
    add_to_plan(second, "0-of-1", [Key("sums", "boxed", "self", number) for number in range(10)])
    write_report(read_runs([first, second]), tmp_path / "out")
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "consistent: sums · boxed: self has 2 questions left to work on" in markdown.split("\n## ")[1]


def test_the_command_shows_several_runs(tmp_path):
    folders = map(str, two_runs(tmp_path))
    result = CliRunner().invoke(
        app, ["report", *folders, "--out", str(tmp_path / "out")], env={"COLUMNS": "160"}
    )
    assert result.exit_code == 0, result.output
    assert "Accuracy of all runs" in result.stdout
    assert "80.0 (49.0–94.3)" in result.stdout
