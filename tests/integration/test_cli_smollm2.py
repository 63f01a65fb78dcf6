"""The real command in a process of its own, with the embedded model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
