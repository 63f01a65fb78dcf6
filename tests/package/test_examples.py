"""The programs in examples/ on models that write a script; tests/integration runs some on a real one."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from latentseek_agents import Backbone
from latentseek_agents.testing import scripted_backbone

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
PROGRAM = "```python\nprint({})\n```"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs an example as a program on a model that writes a script, and returns what it printed."""

    def start(name: str, script: Callable[[str], str], *arguments: str) -> str:
        backbone = scripted_backbone(script)
        monkeypatch.setattr(Backbone, "embedded", lambda **options: backbone)
        monkeypatch.setattr(sys, "argv", [str(EXAMPLES / name), *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return start


def pupil(prompt: str) -> str:
    """Adds rightly, multiplies wrongly, and writes programs that know better."""
    wanted = {
        "17 + 25": ("17 + 25 = 42. The answer is 42.", "17 + 25"),
        "35": ("8 * 35 = 250. The answer is 250.", "8 * 35"),
        "80 euros": ("2 * 80 = 160. The answer is 160.", "2 * 80"),
        "3 dollars": ("4 * 3 = 12. The answer is 12 dollars.", "4 * 3"),
    }
    for sign, (solution, code) in wanted.items():
        if sign in prompt:
            return PROGRAM.format(code) if "Python program" in prompt else solution
    return "I do not know."


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_is_at_most_40_lines_and_on_the_defaults(program: Path):
    text = program.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    # Of the settings one alone is changed, where a search on the embedded model would take minutes.
    assert "LatentSeekConfig" not in text or 'LatentSeekConfig.agreement(prompt="example")' in text


def test_the_readme_names_every_example():
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    shown = [*PROGRAMS, *EXAMPLES.glob("*.ipynb")]
    assert [one.name for one in shown if readme.count(f"(examples/{one.name})") != 1] == []


def test_workflow(run):
    printed = run("workflow.py", pupil)
    assert printed.splitlines() == [
        "What is 17 + 25? → handed in: 42",
        "How many minutes are 8 rides of 35 minutes? → not verified, please look: 280",
    ]


def test_checked_retrieval(run):
    question, answer = run("checked_retrieval.py", pupil).splitlines()
    assert question == (
        "A night at the Harbour Hotel costs 80 euros. How much do 2 nights at the Harbour Hotel cost?"
    )
    assert answer == "160"
    _, answer = run(
        "checked_retrieval.py", lambda prompt: "2 * 15 = 31. The answer is 31.", "boat?"
    ).splitlines()
    assert answer == "not verified: 31"


@pytest.mark.parametrize(
    ("chosen", "last"), [("math", "17 + 25 = 42. The answer is 42."), ("writer", "Hello.")]
)
def test_supervisor(run, chosen: str, last: str):
    def script(prompt: str) -> str:
        if "Who answers?" in prompt:
            return f'{{"next": "{chosen}"}}'
        return pupil(prompt) if chosen == "math" else "Hello."

    assert run("supervisor.py", script).splitlines() == ["supervisor: chooses", f"{chosen}: {last}"]


def test_csv_batch(run, tmp_path: Path):
    target = tmp_path / "answers.csv"
    printed = run("csv_batch.py", pupil, str(EXAMPLES / "questions.csv"), str(target))
    table: Any = pd.read_csv(target)
    asked = pd.read_csv(EXAMPLES / "questions.csv")
    assert list(table.columns) == ["id", "question", "answer", "passed", "error"]
    assert list(table["question"]) == list(asked["question"])
    row = table[table["question"] == "What is 17 + 25?"].iloc[0]
    assert (row["answer"], row["passed"]) == (42, True)
    assert f"1 of {len(asked)} verified" in printed
    assert f"{len(asked)} of {len(asked)}: " in printed


def test_csv_batch_keeps_the_others_where_a_row_cannot_be_worked_on(run, tmp_path: Path):
    source, target = tmp_path / "questions.csv", tmp_path / "answers.csv"
    pd.DataFrame({"id": [1, 2], "question": ["What is 17 + 25?", None]}).to_csv(source, index=False)
    run("csv_batch.py", pupil, str(source), str(target))
    table: Any = pd.read_csv(target)
    assert table["answer"][0] == 42
    assert "nan" in table["error"][1]


def test_csv_batch_says_what_is_missing(run, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SystemExit, match="usage: "):
        run("csv_batch.py", pupil)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SystemExit, match="which is not installed; run: pip install pandas"):
        run("csv_batch.py", pupil, "a.csv", "b.csv")


def test_human_verifier(run, monkeypatch: pytest.MonkeyPatch):
    replies = iter(["no", "-0.5", "a pen costs 3 dollars", "yes"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(replies))
    printed = run("human_verifier.py", pupil)
    assert printed.count("model: ") == 4
    assert "answer: 12 dollars, passed: True, attempts: 4" in printed


def test_chain(run):
    assert run("chain.py", pupil).splitlines() == [
        "4 pens: {'price': 12.0, 'passed': True}",
        "12 pens: {'price': 12.0, 'passed': False}",
    ]


def test_chain_where_a_solution_states_no_price(run):
    assert "4 pens: no price: 'I do not know.' ends with None" in run(
        "chain.py", lambda prompt: "I do not know."
    )
