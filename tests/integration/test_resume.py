"""A search that was killed goes on where it was, to the same end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("kill_and_resume.py")
TRIALS = 30


@pytest.mark.parametrize("strict", ["false", "true"])
def test_kills_change_nothing(strict: str) -> None:
    environment = os.environ | {"LANGGRAPH_STRICT_MSGPACK": strict}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(TRIALS)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["trials"] == TRIALS
    assert outcome["different"] == []
    assert outcome["logged"] == []
    assert outcome["resumed"] >= TRIALS // 2, "too few kills hit a search under way to show anything"
