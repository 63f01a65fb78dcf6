"""How searches ended, and after how many iterations: what broke off or never began is said."""

import csv
import io
from pathlib import Path

import pytest

from latentseek_agents.evaluation.reports.analysis import Run, read_run
from latentseek_agents.evaluation.reports.report import remarks, write_report
from latentseek_agents.evaluation.reports.tables import endings_table, iterations_table
from latentseek_agents.evaluation.runs.records import Outcome
from tests.support.made_up_runs import attempt, outcome, write_run

FAILED = [attempt(0, None, False, finish_reason="error", text="too long")]


def searched(method: str, number: int, iterations: int, reason: str | None, latents: int = 3) -> Outcome:
    made = [attempt(place, "5", False, latents=latents) for place in range(iterations + 1)]
    return outcome(method, number, made, stop_reason=reason)


def analysed(tmp_path: Path, outcomes: list[Outcome]) -> Run:
    return read_run(write_run(tmp_path / "run", outcomes))


def test_every_ending_is_counted_under_its_name(tmp_path):
    run = [
        searched("self", 0, 0, "passed"),
        searched("self", 1, 4, "iterations"),
        searched("self", 2, 0, "iterations"),  # max_iterations=0: it could have moved
        searched("self", 3, 0, "iterations", latents=0),
        searched("self", 4, 1, "unjudged"),
        searched("self", 5, 2, "seconds"),
        searched("self", 6, 3, "tokens"),
        searched("self", 7, 1, "error: NonFiniteError"),
        outcome("self", 8, FAILED, stop_reason="error: InputError"),
        searched("self", 9, 1, None),
        searched("self", 10, 1, "a reason of a later version"),
        searched("self", 11, 1, "agreement"),
        searched("psrm", 0, 2, "passed"),
        outcome("cot", 0, FAILED, stop_reason="error: InputError"),
    ]
    found = analysed(tmp_path, run)
    table = endings_table(found, oracle=False)
    assert table.columns[3:] == (
        "passed",
        "agreement",
        "iterations spent",
        "not judged",
        "budget spent",
        "nothing to refine",
        "error",
        "not known",
    )
    cells = ("1", "1", "2", "1", "2", "1", "2: InputError 1, NonFiniteError 1", "2")
    assert table.rows == [("sums · boxed", "self", "12", *cells)]
    used = iterations_table(found, oracle=False)
    assert used.columns == ("data", "method", "n", "mean", "0", "1", "2", "3", "4")
    assert used.rows == [("sums · boxed", "self", "12", "1.17", "4", "5", "1", "1", "1")]
    (oracle,) = endings_table(found, oracle=True).rows
    assert oracle[:4] == ("sums · boxed", "psrm (ORACLE)", "1", "1")
    assert iterations_table(found, oracle=True).rows[0][3:] == ("2.00", "0", "0", "1")


def test_a_search_that_draws_samples_needs_no_latents(tmp_path):
    run = [searched(method, 0, 0, "iterations", latents=0) for method in ("agreement", "agreement:latents")]
    rows = {row[1]: row for row in endings_table(analysed(tmp_path, run), oracle=False).rows}
    places = {"iterations spent": 5, "nothing to refine": 8}
    assert {name: [rows[name][at] for at in places.values()] for name in rows} == {
        "agreement": ["1", "0"],
        "agreement:latents": ["0", "1"],
    }


def test_many_iterations_share_columns(tmp_path):
    found = analysed(tmp_path, [searched("self", count, count, "iterations") for count in range(31)])
    used = iterations_table(found, oracle=False)
    assert used.columns[4:] == (*map(str, range(11)), "11–20", "21–30")
    assert used.rows[0][4:] == (*["1"] * 11, "10", "10")


def test_searches_that_break_off_are_said_above_the_tables(tmp_path):
    """Eight of eight: a table of accuracies alone would look like a search that found nothing."""
    run = [searched("self", number, 0, "error: NonFiniteError") for number in range(8)]
    run += [searched("psrm", number, 0, "iterations", latents=0) for number in range(8)]
    run += [outcome("cot", number, FAILED, stop_reason="error: InputError") for number in range(8)]
    said = " ".join(remarks(analysed(tmp_path, run)))
    assert "self: 8 of 8 questions ended in an error (NonFiniteError)" in said
    assert "psrm (ORACLE): 8 of 8 searches had nothing to refine" in said
    assert "cot: 8 of 8 questions ended in an error (InputError)" in said


@pytest.mark.parametrize(("count", "said"), [(0, 0), (1, 0), (2, 2)])
def test_one_in_ten_is_many(tmp_path, count, said):
    ended = [
        "error: NonFiniteError" if number < count else "passed" if number >= 2 * count else "iterations"
        for number in range(20)
    ]
    run = [searched("self", number, 0, reason, latents=0) for number, reason in enumerate(ended)]
    assert len(remarks(analysed(tmp_path, run))) == said


def test_a_report_shows_endings_in_every_format(tmp_path):
    run = [searched("self", number, number, "error: <b>NonFiniteError</b>") for number in range(3)]
    run += [searched("psrm", number, 1, "passed") for number in range(3)]
    out = tmp_path / "out"
    write_report([analysed(tmp_path, run)], out)
    results, oracles = (out / "report.md").read_text(encoding="utf-8").split("\n### ORACLE\n")
    assert "| self | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 3: &lt;b&gt;NonFiniteError&lt;/b&gt; | 0 |" in results
    assert "| self | 3 | 1.00 | 1 | 1 | 1 |" in results
    assert "| psrm (ORACLE) | 3 | 1.00 | 0 | 3 |" in oracles
    assert "<b>" not in (out / "report.html").read_text(encoding="utf-8")
    text = (out / "results.csv").read_text(encoding="utf-8")
    rows = {
        (row["table"], row["row"], row["column"]): (row["value"], row["oracle"])
        for row in csv.DictReader(io.StringIO(text))
    }
    ended, used = "How searches ended", "Iterations used"
    assert rows[ended, "sums · boxed, self", "error"] == ("3: <b>NonFiniteError</b>", "False")
    assert rows[ended, "sums · boxed, psrm (ORACLE)", "passed"] == ("3", "True")
    assert rows[used, "sums · boxed, psrm (ORACLE)", "1"] == ("3", "True")
