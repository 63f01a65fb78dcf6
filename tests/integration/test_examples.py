"""The programs in examples/ run with the embedded model and no network, and show what they promise."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from latentseek_agents import Backbone

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "score_over_iterations.ipynb"

pytestmark = pytest.mark.model


@pytest.fixture
def run(smollm2: Backbone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs an example as a program, with the model that is loaded already, and returns what it printed."""
    monkeypatch.setattr(Backbone, "embedded", lambda **options: smollm2)
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def start(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(EXAMPLES / name), *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return start


def test_chain(run):
    printed = run("chain.py")
    assert re.findall(r"^(\d+) pens: \d+ dollars \((?:not )?verified, attempt \d\)$", printed, re.M) == [
        "4",
        "12",
    ]


def test_node_in_a_workflow(run):
    for part in run("node_in_a_workflow.py").split("How many")[1:]:
        scores = [float(score) for score in re.findall(r"iteration \d: (-?[\d.]+)", part)]
        assert 1 <= len(scores) <= 3
        assert ("handed in" in part) == (scores[-1] > -0.2)
        assert ("not verified, please look" in part) == (scores[-1] <= -0.2)


def test_math_agent(run):
    printed = run("math_agent.py")
    assert [line.partition(":")[0] for line in printed.splitlines() if line.startswith("check:")] == ["check"]
    assert re.search(r"^answer: .* \((not )?verified; \d+ tool calls, \d+ attempts\)$", printed, re.M)


def test_human_verifier_with_scripted_replies(run):
    printed = run("human_verifier.py", "--reply", "a pen costs 3 dollars", "--reply", "yes")
    assert printed.count("model: ") == printed.count("you: ") == 2
    assert "accepted after 2 attempts" in printed


def test_human_verifier_without_anyone(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    printed = run("human_verifier.py", "What is 2 + 2?")
    assert "nobody is here to judge" in printed
    assert "not judged after 1 attempts" in printed


def test_batch_with_progress(run):
    printed = run("batch_with_progress.py", "--count", "4")
    assert "4/4" in printed
    counts = [[int(number) for number in re.findall(r"\d+", line)] for line in printed.splitlines()[-2:]]
    assert sum(right + wrong for right, wrong, _ in counts) == 4


def test_resume_after_a_crash():
    # As a program of its own, as the process that it kills is one: both are to compute with the same numbers.
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "resume_after_a_crash.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    died, went_on = done.stdout.split("it ended with status -9; another goes on:")
    assert re.findall(r"iteration (\d)", died) == ["0", "1"]
    assert "2 attempts are in the database; next: verify" in went_on
    assert re.findall(r"iteration (\d)", went_on)[0] == "2"
    assert "answer: " in went_on


def test_the_notebook_draws_and_is_stored_without_outputs(tmp_path: Path, smollm2: Backbone):
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    # In a process of its own: a kernel talks over loopback sockets, which are closed here.
    program = """if True:
        import sys, nbclient, nbformat
        notebook = nbformat.read(sys.argv[1], 4)
        nbclient.NotebookClient(notebook, resources={"metadata": {"path": sys.argv[2]}}).execute()
        nbformat.write(notebook, sys.argv[3])
    """
    made = tmp_path / "made.ipynb"
    done = subprocess.run(
        [sys.executable, "-c", program, str(NOTEBOOK), str(EXAMPLES), str(made)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"IPYTHONDIR": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    outputs = [
        output
        for cell in json.loads(made.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", ())
    ]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
