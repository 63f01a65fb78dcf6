"""What is handed to vLLM, and what is refused before it is asked; no vLLM is needed."""

from pathlib import Path
from typing import Any

import pytest

from latentseek_agents.engine import vllm
from latentseek_agents.engine._vllm.loading import _check_arguments
from latentseek_agents.errors import BackboneError


class Asked(Exception):
    """Raised in place of loading a model."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def load_model(name: str, **options: Any) -> None:
        found.update(options, name=name)
        raise Asked

    monkeypatch.setattr(vllm, "load_model", load_model)
    return found


def test_weights_of_a_gguf_file_stay_float32(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """vLLM's "auto" makes half precision of float32."""
    monkeypatch.setattr(vllm, "plain_weights", lambda *_: str(tmp_path / "dequantised"))
    for given, expected in ((None, "float32"), ("bfloat16", "bfloat16")):
        with pytest.raises(Asked):
            vllm.load(tmp_path, gguf_file="x.gguf", dtype=given)
        assert asked["dtype"] == expected
    assert "revision" not in asked


def test_the_number_format_of_a_checkpoint_is_vllms_choice(asked: dict[str, Any], tmp_path: Path):
    with pytest.raises(Asked):
        vllm.load(tmp_path, revision="main", max_model_len=512)
    assert (asked["dtype"], asked["revision"], asked["max_model_len"]) == ("auto", "main", 512)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tensor_parallel_size": 2}, "one device"),
        ({"pipeline_parallel_size": 2}, "another process"),
        ({"data_parallel_size": 4}, "Ray"),
        ({"speculative_config": {"method": "ngram"}}, "guessed tokens"),
        ({"enable_lora": True}, "merge it"),
        ({"logits_processors": ["some.module:Class"]}, "as the model gives them"),
        ({"runner": "pooling"}, "generates"),
        ({"distributed_executor_backend": "mp"}, "this process"),
    ],
)
def test_what_a_search_cannot_use_is_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(BackboneError, match=message):
        _check_arguments(arguments)


def test_what_changes_nothing_is_taken():
    _check_arguments(
        {
            "tensor_parallel_size": 1,
            "speculative_config": None,
            "enable_lora": False,
            "runner": "generate",
            "distributed_executor_backend": "uni",
            "max_model_len": 4096,
        }
    )
