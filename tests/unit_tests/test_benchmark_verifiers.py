"""The benchmark of the verifiers runs on files of the documented form, and its statistics are right."""

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
    assert "step check: 99th percentile" in done.stdout
    assert not [path for path in tmp_path.iterdir() if path.suffix not in (".jsonl", ".json")]


def test_a_missing_file_is_named(tmp_path: Path):
    done = run("--solutions", str(tmp_path / "none.jsonl"))
    assert done.returncode == 1
    assert "cannot read" in done.stderr
    assert "Traceback" not in done.stderr
