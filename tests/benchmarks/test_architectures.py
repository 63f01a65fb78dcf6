"""The survey of architectures: what it says of a model is so, and its page is what it writes."""

import json
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import architectures
from architectures import OTHER_KINDS, Outcome, known, markdown, summary, tried, try_architecture, versions

from latentseek_agents.engine.policy import Policy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architectures.md"
ROW = re.compile(
    r"\| `(?P<model_type>[^`]+)` \| `(?P<model_class>[^`]+)` \| (?P<result>[^|]+) \| (?P<note>.*) \|"
)


@pytest.mark.parametrize(
    ("model_type", "model_class", "result", "note"),
    [
        ("qwen3", "Qwen3ForCausalLM", "works", "rows together"),
        ("mamba2", "Mamba2ForCausalLM", "works", "prompts alone, then rows together"),
        ("cpmant", "CpmAntForCausalLM", "refused", "looks ahead"),
        ("musicgen", "MusicgenForCausalLM", "not generated", "Error"),
    ],
)
def test_what_becomes_of_an_architecture(model_type: str, model_class: str, result: str, note: str) -> None:
    outcome = try_architecture(model_type, model_class)
    assert outcome.result == result
    assert note in outcome.note
    assert outcome.changed is (result == "works")


def test_a_wrong_draft_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = Policy.logits

    def other(self: Policy, hidden: Any) -> Any:
        given = logits(self, hidden)
        # Right where it is checked when a backbone is made, and for gradients; wrong where it is used.
        return given if hidden.shape[-2] == 3 or hidden.requires_grad else -given

    with monkeypatch.context() as patch:
        patch.setattr(Policy, "logits", other)
        outcome = try_architecture("llama", "LlamaForCausalLM")
    assert outcome.result == "wrong"
    assert outcome.note.startswith("draft [")


def test_each_has_a_process_and_a_time_limit_of_its_own() -> None:
    outcome = tried("llama", "LlamaForCausalLM", 0.0)
    assert (outcome.result, outcome.note) == ("fails", "not done within 0 s")
    assert outcome.versions == versions()


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The types that are tried, each without being tried."""
    names: list[str] = []

    def made_up(model_type: str, model_class: str, seconds: float) -> Outcome:
        names.append(model_type)
        result = "fails" if model_type == "llama" else "works"
        return Outcome(model_type, model_class, result, versions=versions())

    monkeypatch.setattr(architectures, "tried", made_up)
    monkeypatch.setattr(architectures, "TABLE", tmp_path / "page.md")
    return names


def test_the_survey_goes_on_part_by_part(outcomes: list[str], tmp_path: Path) -> None:
    file = tmp_path / "outcomes.jsonl"
    architectures.main(["llama", "qwen2", "--resume", str(file)])
    assert outcomes == ["llama", "qwen2"]
    assert not (tmp_path / "page.md").exists()
    with file.open("a") as lines:  # torn off, and of other versions
        lines.write('{"model_type": "qwen3", "mod\n')
        lines.write(json.dumps(asdict(Outcome("mistral", "MistralForCausalLM", versions="older"))) + "\n")
    architectures.main(["--resume", str(file), "--workers", "2"])
    assert len(outcomes) == len(set(outcomes)) == len(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert (tmp_path / "page.md").read_text() == markdown(list(known(file).values()))
    architectures.main(["--resume", str(file), "--retry"])
    assert outcomes[-1] == "llama"
    assert outcomes.count("llama") == 2


def test_the_page_is_what_the_survey_writes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = [row.groupdict() for row in ROW.finditer(page)]
    outcomes = [Outcome(**row) for row in rows]
    assert summary(outcomes) in page
    assert not [one for one in outcomes if one.result == "wrong"]
    made_with = re.search(r"with (transformers \S+ and torch \S+) from", page)
    assert made_with is not None
    if made_with[1].startswith(f"transformers {transformers.__version__} "):
        assert {one.model_type for one in outcomes} == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert page == markdown([_with_cause(one) for one in outcomes]).replace(versions(), made_with[1])


def _with_cause(outcome: Outcome) -> Outcome:
    note = outcome.note.replace("\\|", "|")
    if outcome.model_type in OTHER_KINDS:
        note = note.removeprefix(f"does not count: it {OTHER_KINDS[outcome.model_type]}; ")
    return replace(outcome, note=note)
