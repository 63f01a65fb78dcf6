"""The paper's table as a CSV file: methods by data sets and prompts, oracles last."""

import csv
import io
from pathlib import Path

from latentseek_agents.evaluation.reports.analysis import read_runs
from latentseek_agents.evaluation.reports.report import write_report
from latentseek_agents.evaluation.reports.tables import paper_table
from latentseek_agents.evaluation.runs.records import Outcome
from tests.support.made_up_runs import attempt, outcome, write_run


def answered(
    method: str, number: int, *, right: bool, dataset: str = "sums", prompt: str = "boxed"
) -> Outcome:
    made = [attempt(0, "4" if right else "5", right)]
    return outcome(method, number, made, dataset=dataset, prompt=prompt)


def first_run() -> list[Outcome]:
    run = [answered("cot", number, right=number % 2 == 0) for number in range(4)]
    run += [answered("cot", number, right=False, prompt="json") for number in range(2)]
    run += [answered("psrm", number, right=True) for number in range(4)]
    run += [answered("sc:1", number, right=True) for number in range(4)]
    return [*run, answered("self", 0, right=True)]


def test_methods_by_data_sets_and_prompts(tmp_path: Path):
    first = write_run(tmp_path / "first", first_run())
    second = write_run(
        tmp_path / "second", [answered("cot", 0, right=True, dataset="=more")], model="another"
    )
    text = paper_table(read_runs([first, second])).csv()
    assert text.isascii()
    # Wilson of 2 of 4, 0 of 2, 4 of 4 and 1 of 1.
    assert list(csv.reader(io.StringIO(text))) == [
        ["model", "run", "method", "oracle", "sums boxed, n = 4", "sums json, n = 2", "'=more boxed, n = 1"],
        ["made-up-model", "made-up", "cot", "False", "50.0 (15.0 to 85.0)", "0.0 (0.0 to 65.8)", ""],
        ["made-up-model", "made-up", "sc:1", "False", "100.0 (51.0 to 100.0)", "", ""],
        ["made-up-model", "made-up", "self", "False", "100.0 (20.7 to 100.0), n = 1", "", ""],
        ["another", "made-up", "cot", "False", "", "", "100.0 (20.7 to 100.0)"],
        ["made-up-model", "made-up", "psrm (ORACLE)", "True", "100.0 (51.0 to 100.0)", "", ""],
    ]


def test_it_is_part_of_a_report(tmp_path: Path):
    runs = read_runs([write_run(tmp_path / "run", first_run())])
    written = write_report(runs, tmp_path / "out")
    assert tmp_path / "out" / "table.csv" in written
    assert (tmp_path / "out" / "table.csv").read_text(encoding="utf-8") == paper_table(runs).csv()


def test_a_run_that_has_not_begun_is_a_head_alone(tmp_path: Path):
    runs = read_runs([write_run(tmp_path / "run", [])])
    assert paper_table(runs).csv() == "model,run,method,oracle\n"
