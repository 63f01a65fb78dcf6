"""README and docs: their Python runs as it stands, links lead somewhere, settings are those of the code."""

import re
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.testing import tiny_backbone

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# What the comments beside the code promise.
PROMISED = {
    "programs.md": [
        "it prints 72.0, not 73.0 72",
        "Wrong. 1 of 2 equations is refuted: 48 + 24 = 73 (72 is not 73).",
        "x = 7, y = 3",
        "5/6 (about 0.833333333333)",
    ],
    "person.md": ["True"],
    "verifier.md": ["score_and_checks False iterations", "score True passed"],
}


def blocks_of(page: Path) -> list[str]:
    # The server's client is run against the real server elsewhere: tests/integration/test_server.py.
    blocks: list[str] = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [block for block in blocks if "langgraph_sdk" not in block]


WITH_CODE = [page for page in PAGES if blocks_of(page)]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", WITH_CODE, ids=named)
def test_every_block_runs_after_those_before_it(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    backbone = tiny_backbone(max_position_embeddings=8192)
    monkeypatch.setattr(Backbone, "embedded", classmethod(lambda cls, **options: backbone))
    names: dict[str, Any] = {"__name__": "documentation"}  # a TypedDict's hints are looked up by it
    for block in blocks_of(page):
        exec(compile(block, page.name, "exec"), names)  # noqa: S102 - it is our own text
    said = capsys.readouterr().out
    assert [promise for promise in PROMISED.get(page.name, []) if promise not in said] == []


def test_the_pages_with_code_are_found():
    assert len(WITH_CODE) >= 8
    assert {page.name for page in PAGES} >= set(PROMISED)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files(page: Path):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    missing = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert missing == []


def test_every_page_of_the_documentation_is_in_its_navigation():
    listed = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    docs = ROOT / "docs"
    pages = [page.relative_to(docs).with_suffix("").as_posix() for page in PAGES if docs in page.parents]
    assert [page for page in pages if page not in (*listed, "index")] == []


def test_the_readme_can_be_read_in_a_minute():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_table_of_settings_has_the_values_of_the_configurations():
    text = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    table = text.partition("## Settings worth knowing")[2]
    compared = []
    for names, *columns in re.findall(r"^\| (`.+?) \| (`.+?) \| (`.+?) \|", table, re.MULTILINE):
        for config, column in zip((LatentSeekConfig.agreement(), LatentSeekConfig()), columns, strict=True):
            values = [repr(getattr(config, name)) for name in re.findall(r"`(\w+)`", names)]
            told = re.findall(r"`([^`]+)`", column)
            assert [value.replace("'", '"') for value in values] == told * (len(values) // len(told)), names
            compared.append(names)
    assert len(compared) >= 2 * 19
