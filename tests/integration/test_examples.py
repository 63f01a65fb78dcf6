"""Some of the programs in examples/ with the embedded model and no network; the others: tests/package."""

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
    assert re.findall(r"^(\d+) pens: (?:\{'price': |no price: )", printed, re.M) == ["4", "12"]


def test_workflow(run):
    printed = run("workflow.py")
    assert printed.count("handed in: ") + printed.count("not verified, please look: ") == 2


def test_resume_after_a_crash():
    # As a program of its own, as the process that it kills is one: both are to compute with the same numbers.
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "resume_after_a_crash.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    died, went_on = done.stdout.split("that process was killed; this one goes on:")
    assert re.findall(r"attempt (\d)", died) == ["0", "1"]
    # What was judged when it died, and not stored yet, is judged again; nothing is written again.
    assert re.findall(r"attempt (\d)", went_on)[0] in ("1", "2")
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
