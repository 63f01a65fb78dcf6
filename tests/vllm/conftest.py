"""These tests need vLLM: `make test-vllm` makes an environment for it. Elsewhere they are skipped."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents import Backbone
from latentseek_agents.testing import tiny_model, tiny_tokenizer

HERE = Path(__file__).parent
# A head size that vLLM's attention for the CPU has.
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 8192,
}
ENGINE: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**26}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("vllm") is not None:
        return
    missing = pytest.mark.skip(reason="vLLM is not installed here; make test-vllm has it")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(missing)


def saved(folder: Path, architecture: str = "Llama", **changes: Any) -> str:
    """A tiny random model in a folder."""
    tiny_model(architecture, **SIZES | changes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def with_vllm(name: str, **changes: Any) -> Backbone:
    return Backbone.vllm(name, **ENGINE | changes)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def ours(folder: str) -> Backbone:
    return Backbone.from_pretrained(folder, dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def served(folder: str) -> Backbone:
    return with_vllm(folder)
