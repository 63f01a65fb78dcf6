"""The benchmark of the verifiers runs on files of the documented form, and its statistics are right."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "verifiers.py"
SOLUTIONS: list[dict[str, Any]] = [
    {
        "question": "What is 4 * 6?",
        "solution": "4 * 6 = 24. The answer is 24.",
        "reference": "24",
        "correct": True,
    },
    {
        "question": "What is 4 * 6?",
        "solution": "4 * 6 = 25. The answer is 25.",
        "reference": "24",
        "correct": False,
    },
    {"question": "Half of 48, and 48?", "answer": "48/2 = <<48/2=24>>24, 48+24 = <<48+24=72>>72\n#### 72"},
]
PAIRS: list[dict[str, Any]] = [
    {"prediction": "0.5", "gold": "1/2", "equal": True, "class": "number"},
    {"prediction": "3", "gold": "4", "equal": False, "class": "number"},
]


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(path)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARK), "--resamples", "20", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_figures(tmp_path: Path):
    done = run(
        *("--solutions", written(tmp_path / "s.jsonl", SOLUTIONS)),
        *("--equivalence", written(tmp_path / "e.jsonl", PAIRS)),
        *("--hostile", written(tmp_path / "h.jsonl", [{"text": "__import__('os') = 1"}])),
        *("--json", str(tmp_path / "figures.json")),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    figures = {figure["name"]: figure for figures in found.values() for figure in figures}
    for name, value in {
        "solutions": 3,
        "annotated equations read": 1.0,
        "false alarms: right solutions refuted": 0.0,
        "precision of refutation": 1.0,
        "recall of refutation": 1.0,
        "AUC over all: score": 1.0,
        "AUC within question: score": 1.0,
        "answers_match: right": 1.0,
        "answers_match: different ones accepted": 0.0,
        "exceptions": 0.0,
    }.items():
        assert figures[name]["value"] == value, name
    wilson = figures["precision of refutation"]
    assert (wilson["low"], wilson["high"]) == (pytest.approx(0.20655, abs=1e-4), 1.0)
    assert figures["hostile text: 99th percentile"]["low"] is not None
    assert figures["growth of this process's peak memory"]["unit"] == "MiB"
    assert "step check: 99th percentile" in done.stdout
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".jsonl", ".json")]


def test_a_missing_file_is_named(tmp_path: Path):
    done = run("--solutions", str(tmp_path / "none.jsonl"))
    assert done.returncode == 1
    assert "cannot read" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"solution": "1 + 1 = 2"}], "object 1: there is no question"),
        ([SOLUTIONS[0], {"question": "?", "solution": None}], "object 1: there is no solution"),
        ([{**SOLUTIONS[0], "correct": "yes"}], "correct must be true, false or null, but is 'yes'"),
        ([{**SOLUTIONS[0], "correct": 2}], "but is 2"),
        (["text"], "there is no question and no solution"),
        ([], "holds nothing"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: list[Any], words: str):
    done = run("--solutions", written(tmp_path / "s.jsonl", rows))
    assert done.returncode == 1
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    return importlib.import_module("_figures")


@pytest.fixture
def verifiers(figures: Any) -> Any:
    return importlib.import_module("verifiers")


def test_other_line_separators_may_stand_in_a_text(tmp_path: Path, verifiers: Any):
    path = tmp_path / "s.jsonl"
    path.write_text('{"text": "a\u2028b\x85c"}\r\n\n{"text": "d"}\n', encoding="utf-8")
    assert [row["text"] for row in verifiers.read(path)] == ["a\u2028b\x85c", "d"]


def test_labels_may_be_numbers(verifiers: Any):
    rows = [{**SOLUTIONS[0], "correct": label} for label in (1, 0, True, None)]
    read = verifiers.solutions(rows, Path("s"))
    assert [row["correct"] for row in read] == [True, False, True, None]


def test_what_is_put_in_is_wrong(verifiers: Any):
    text = "3 - 2 = 1. The answer is 1."
    rows = [{"question": str(place), "solution": text, "correct": True} for place in range(40)]
    found = verifiers.injected(rows)
    assert len(found) == 40
    assert all(right for _, right in found)


def test_a_hundred_times_a_value_is_another_unless_it_is_a_percentage(verifiers: Any):
    assert verifiers.close(0.5, [50], percent=True)
    assert not verifiers.close(0.5, [50], percent=False)
    assert verifiers.close(0.333, [1 / 3], percent=False)


def test_solutions_of_one_question_tell_less(figures: Any):
    apart = figures.clustered_share("x", [(place, place % 2 == 0) for place in range(40)])
    assert apart == figures.share("x", 20, 40)
    # Four questions whose ten solutions are all alike are four cases.
    alike = figures.clustered_share("x", [(place // 10, place // 20 == 0) for place in range(40)])
    assert alike.high - alike.low > 1.5 * (apart.high - apart.low)
    none = figures.clustered_share("x", [(place // 10, False) for place in range(40)])
    assert none.high == figures.share("x", 0, 4).high
    assert figures.clustered_share("x", []).value is None
    one = figures.clustered_share("x", [("q", True), ("q", False)])
    assert 0 < one.low < 0.2
