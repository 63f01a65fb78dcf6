"""The README's Python runs as it stands there, from top to bottom, on a tiny model."""

import re
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents import Backbone
from latentseek_agents.testing import tiny_backbone

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_every_block_runs_after_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    backbone = tiny_backbone(max_position_embeddings=8192)
    monkeypatch.setattr(Backbone, "embedded", classmethod(lambda cls, **options: backbone))
    names: dict[str, Any] = {"__name__": "readme"}  # a TypedDict's hints are looked up by it
    # The server's client is run against the real server elsewhere: tests/integration/test_server.py.
    blocks = [block for block in BLOCKS if "langgraph_sdk" not in block]
    assert len(blocks) == len(BLOCKS) - 1 >= 8
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - it is our own text
    said = capsys.readouterr().out
    # What the comments promise.
    assert "Wrong. 1 of 2 equations is refuted: 48 + 24 = 73 (72 is not 73)." in said
    assert "x = 7, y = 3" in said
    assert "5/6 (about 0.833333333333)" in said
    assert "True" in said.splitlines()
    assert (tmp_path / "searches.sqlite").exists()
