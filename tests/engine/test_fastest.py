"""When int8 is chosen by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch

from latentseek_agents.engine import _int8
from latentseek_agents.engine.fastest import fastest_backbone
from latentseek_agents.errors import BackboneError
from latentseek_agents.testing import tiny_model, tiny_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("device", [None, "cpu"])
def test_int8_is_chosen_where_the_processor_is_fast_at_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, fast: bool, device: str | None
):
    monkeypatch.setattr(_int8, "fast_int8", lambda: fast)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level("INFO", logger="latentseek_agents"):
        backbone = fastest_backbone(folder, device=device)
    assert (backbone.number_format == "int8") is fast
    assert ("since this processor multiplies it fast" in caplog.text) is fast


def test_a_dtype_that_is_given_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_int8, "fast_int8", lambda: True)
    assert fastest_backbone(folder, dtype="float32", device="cpu").number_format == "float32"


def test_a_gpu_computes_in_floats(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_int8, "fast_int8", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    loaded: list[Any] = []

    def load(name: Any, *, dtype: Any, **_: Any) -> tuple[Any, Any]:
        loaded.append(dtype)
        return tiny_model(), tiny_tokenizer()

    monkeypatch.setattr("latentseek_agents.engine.loading.load", load)
    for device in (None, "cuda"):
        assert fastest_backbone(folder, device=device).number_format == "float32"
    assert loaded == [None, None]


def test_a_model_that_cannot_be_int8_is_loaded_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
):
    def refuse(*_: Any) -> None:
        raise BackboneError("it has no linear layer")

    monkeypatch.setattr(_int8, "fast_int8", lambda: True)
    monkeypatch.setattr("latentseek_agents.engine.loading.int8_model", refuse)
    with caplog.at_level("INFO", logger="latentseek_agents"):
        assert fastest_backbone(folder, device="cpu").number_format in ("float32", "bfloat16")
    assert "is not loaded in int8: it has no linear layer" in caplog.text


def test_an_error_is_that_of_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_int8, "fast_int8", lambda: True)
    with pytest.raises(BackboneError, match=r"there is no file 'none\.gguf'"):
        fastest_backbone(tmp_path / "none.gguf", device="cpu")
