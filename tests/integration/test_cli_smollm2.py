"""The real commands with the embedded model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latentseek_agents.cli import app, demo

COMMAND = Path(sys.executable).with_name("latentseek")


@pytest.mark.model
def test_solve_in_a_process_of_its_own(tmp_path, smollm2):  # the fixture fills the cache of weights
    trace = tmp_path / "trace.jsonl"
    done = subprocess.run(
        [
            *(str(COMMAND), "solve", "What is 17 + 25?", "--json", "--verifier", "steps"),
            *("--max-new-tokens", "16", "--max-iterations", "1", "--trace", str(trace)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert result["text"]
    assert result["usage"]["policy_tokens"] >= 1
    events = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    assert [event["type"] for event in events][:1] == ["latentseek_iteration"]
    assert events[-1]["type"] == "latentseek_result"
    assert events[-1]["text"] == result["text"]


@pytest.mark.model
def test_the_first_screen_of_the_demo_has_a_wrong_sum_what_is_right_and_a_right_answer(smollm2, monkeypatch):
    monkeypatch.setattr(demo, "_QUESTIONS", demo._QUESTIONS[:1])
    monkeypatch.setattr(demo, "load_backbone", lambda **_: smollm2)
    shown = CliRunner().invoke(app, ["demo"])
    assert shown.exit_code == 0, shown.output
    draft, _, refined = shown.stdout.partition("attempt 1")
    assert re.search(r"^draft +not passed .*score -1\.00", draft, re.MULTILINE)
    wrong = re.search(r"steps: refuted: .+ \((\S+) is not (\S+)\)", draft)
    assert wrong is not None, draft
    assert f"corrected at the first error: {wrong[2]} became {wrong[1]}" in refined
    assert re.search(r"^answer +13, right; the draft was wrong$", refined, re.MULTILINE)
