"""Int8 models: from a model in memory, a folder, a GGUF file, and from the cache."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from latentseek_agents import Backbone
from latentseek_agents.engine import _int8_storage, loading
from latentseek_agents.engine._int8 import Int8Linear, int8_model, quantised_weight
from latentseek_agents.errors import BackboneError
from latentseek_agents.testing import tiny_model, tiny_tokenizer
from tests.support.gguf_files import ARCHITECTURES, write_gguf

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LATENTSEEK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture(params=list(ARCHITECTURES))
def gguf(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf", request.param)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "llama.gguf")


def load(name: Any, dtype: str = "int8") -> Backbone:
    return Backbone.from_pretrained(name, dtype=dtype, device="cpu")


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS, past_key_values=DynamicCache()).logits
    return found


def entry(cache: Path) -> Path:
    (only,) = cache.iterdir()
    return only


def test_a_model_in_memory_stays_as_it_is():
    model = tiny_model("Qwen2")
    kinds = [type(module) for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    backbone = Backbone.from_model(model, tiny_tokenizer(), dtype="int8")
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert [type(module) for module in model.modules()] == kinds
    assert backbone.model is not model
    assert (backbone.number_format, backbone.dtype) == ("int8", torch.float32)
    assert repr(backbone) == "Backbone('Qwen2ForCausalLM', Qwen2ForCausalLM, int8, cpu)"
    assert Backbone.from_model(model, tiny_tokenizer()).number_format == "float32"


def test_its_logits_are_nearly_those_of_the_model():
    model = tiny_model()
    expected, got = logits(model), logits(Backbone.from_model(model, tiny_tokenizer(), dtype="int8").model)
    assert not torch.equal(got, expected)
    assert torch.cosine_similarity(got.flatten(), expected.flatten(), dim=0) > 0.999


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_between_the_products_it_is_float32_whatever_the_model_is(dtype: torch.dtype):
    model = tiny_model().to(dtype)
    backbone = Backbone.from_model(model, tiny_tokenizer(), dtype=torch.int8)
    assert {value.dtype for value in model.parameters()} == {dtype}
    assert backbone.model.model.norm.weight.dtype == torch.float32
    assert backbone.model.model.layers[0].input_layernorm.weight.dtype == torch.float32
    assert logits(backbone.model).dtype == torch.float32


def test_what_is_int8_already_is_taken_as_it_is():
    model = Backbone.from_model(tiny_model(), tiny_tokenizer(), dtype="int8").model
    assert Backbone.from_model(model, tiny_tokenizer(), dtype="int8").model is model
    assert Backbone.from_model(model, tiny_tokenizer()).number_format == "int8"


def test_another_dtype_of_a_model_in_memory_is_refused():
    model = tiny_model()
    assert Backbone.from_model(model, tiny_tokenizer(), dtype="float32").model is model
    for dtype in ("bfloat16", torch.float16):
        with pytest.raises(BackboneError, match=r"convert it first: model\.to\(dtype\)"):
            Backbone.from_model(model, tiny_tokenizer(), dtype=dtype)
    with pytest.raises(BackboneError, match="'int4' is unknown"):
        Backbone.from_model(model, tiny_tokenizer(), dtype="int4")


def test_models_that_cannot_be_int8_are_refused():
    with pytest.raises(BackboneError, match="is for models on a CPU, but this one is on meta"):
        Backbone.from_model(tiny_model().to("meta"), tiny_tokenizer(), dtype="int8")
    quantised = tiny_model()
    quantised.hf_quantizer = SimpleNamespace(name="made up")
    with pytest.raises(BackboneError, match="is quantised already"):
        Backbone.from_model(quantised, tiny_tokenizer(), dtype="int8")
    adapted = tiny_model()
    adapted.get_base_model = lambda: adapted
    with pytest.raises(BackboneError, match="merge it into the weights first"):
        Backbone.from_model(adapted, tiny_tokenizer(), dtype="int8")


def test_a_gpu_is_refused_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for device in (None, "cuda:0"):
        with pytest.raises(BackboneError, match=r"dtype='int8' is for a CPU.*use device='cpu'"):
            Backbone.from_pretrained("no/such-model", dtype="int8", device=device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["Llama", "Qwen2", "Gemma2"])
def test_a_folder_is_quantised_from_its_own_dtype(tmp_path: Path, architecture: str, dtype: torch.dtype):
    tiny_model(architecture).to(dtype).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model: Any = AutoModelForCausalLM
    expected = int8_model(model.from_pretrained(tmp_path, dtype=dtype).eval())
    backbone = load(tmp_path)
    assert backbone.number_format == "int8"
    assert torch.equal(logits(backbone.model), logits(expected))


def test_a_gguf_file_gives_the_integers_of_its_float_weights(gguf: Path, cache: Path):
    backbone, floats = load(gguf), load(gguf, "float32").model
    assert torch.equal(logits(backbone.model), logits(int8_model(floats)))
    (folder,) = (found for found in cache.iterdir() if "-int8-" in found.name)
    stored = _int8_storage._StoredWeights(folder)
    linear = {name: m for name, m in floats.named_modules() if type(m) is torch.nn.Linear}
    assert len(linear) == 15
    for name, module in linear.items():
        values, scales = stored.quantised(name, module)
        expected_values, expected_scales = quantised_weight(module.weight)
        assert torch.equal(values, expected_values)
        assert torch.equal(scales, expected_scales)


def test_a_second_load_reads_the_cache_and_gives_the_same_bits(gguf: Path, monkeypatch: pytest.MonkeyPatch):
    first = load(gguf)
    monkeypatch.setattr(_int8_storage, "write_int8", lambda *_: pytest.fail("quantised again"))
    second = load(gguf)
    assert torch.equal(logits(first.model), logits(second.model))
    for model in (first.model, second.model):
        assert not model.training
        assert not any(value.is_meta or value.requires_grad for value in model.parameters())
    assert second.encode_prompt("2 + 2?") == load(gguf, "float32").encode_prompt("2 + 2?")
    assert second.eos_token_ids == load(gguf, "float32").eos_token_ids


def test_it_is_an_ordinary_model_that_generates(gguf: Path):
    model = load(gguf).model
    assert isinstance(model.model.layers[0].mlp.down_proj, Int8Linear)
    written = model.generate(IDS, max_new_tokens=5, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert written.shape == (1, 9)


def test_tied_embeddings_are_there_once(tmp_path: Path):
    model = load(write_gguf(tmp_path / "tied.gguf", "qwen2")).model
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16


def test_rows_and_shards_may_be_cut_anywhere(gguf: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    expected = logits(int8_model(load(gguf, "float32").model))
    monkeypatch.setattr(_int8_storage, "_SHARD_BYTES", 5000)
    monkeypatch.setattr("latentseek_agents.engine._gguf_tensors._NUMBERS_AT_ONCE", 7 * 32)
    assert torch.equal(logits(load(gguf).model), expected)
    (folder,) = (found for found in cache.iterdir() if "-int8-" in found.name)
    sizes = {file.name: file.stat().st_size for file in folder.glob("*.safetensors")}
    assert len(sizes) > 5
    large = [size for size in sizes.values() if size > 6500]  # with its header: embeddings and heads alone
    assert len(large) <= 4


def test_loading_leaves_the_random_state_and_other_threads_alone(gguf: Path):
    load(gguf)
    before, made = torch.get_rng_state(), []
    with _int8_storage._EmptyOnMeta():
        assert torch.empty(2).is_meta
        other = threading.Thread(target=lambda: made.append(torch.nn.Linear(2, 2)))
        other.start()
        other.join()
    assert not made[0].weight.is_meta
    torch.set_rng_state(before)
    load(gguf)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_caller_may_be_in_inference_mode(gguf: Path):
    with torch.inference_mode():
        backbone = load(gguf)
    hidden = torch.randn(2, backbone.hidden_size, requires_grad=True)
    backbone.logits(hidden).sum().backward()
    assert hidden.grad is not None


def _truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _damage_shard(folder: Path) -> None:
    _truncate(folder / "int8-00000.safetensors")


def _remove_shard(folder: Path) -> None:
    (folder / "int8-00000.safetensors").unlink()


def _zero_shard(folder: Path) -> None:
    file = folder / "int8-00000.safetensors"
    file.write_bytes(bytes(file.stat().st_size))


def _damage_index(folder: Path) -> None:
    _truncate(folder / "int8.index.json")


def _empty_config(folder: Path) -> None:
    (folder / "config.json").write_text("")


def _empty_folder(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    "damage", [_damage_shard, _remove_shard, _zero_shard, _damage_index, _empty_config, _empty_folder]
)
def test_a_damaged_entry_is_made_again(llama: Path, cache: Path, damage: Any, caplog: Any):
    expected = logits(load(llama).model)
    damage(entry(cache))
    with caplog.at_level("WARNING", logger="latentseek_agents"):
        assert torch.equal(logits(load(llama).model), expected)
    assert "is damaged" in caplog.text
    assert _int8_storage.is_whole(entry(cache))


def test_a_killed_process_leaves_no_entry(llama: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(self: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_int8_storage._ShardWriter, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            load(llama)
    assert list(cache.iterdir()) == []
    (cache / ".making-x7").mkdir()
    (cache / ".making-x7" / "int8-00000.safetensors").write_bytes(b"half of")
    assert load(llama).number_format == "int8"


def test_several_may_load_at_once(llama: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    barrier, real = threading.Barrier(3), _int8_storage.write_int8

    def together(*arguments: Any) -> None:
        barrier.wait(30)
        real(*arguments)

    monkeypatch.setattr(_int8_storage, "write_int8", together)
    with ThreadPoolExecutor(3) as pool:
        backbones = list(pool.map(load, [llama] * 3))
    assert _int8_storage.is_whole(entry(cache))
    assert all(torch.equal(logits(one.model), logits(backbones[0].model)) for one in backbones)


@pytest.mark.parametrize("without", ["attn_norm", "ffn_down", "token_embd"])
def test_a_file_that_lacks_weights_is_refused(tmp_path: Path, cache: Path, without: str):
    file = write_gguf(tmp_path / "part.gguf", without=without)
    with pytest.raises(BackboneError, match="the file has no weights for"):
        load(file)
    assert list(cache.iterdir()) == []


def test_options_of_the_configuration_are_heeded_and_unknown_ones_refused(llama: Path, cache: Path):
    load(llama)
    short = Backbone.from_pretrained(llama, dtype="int8", device="cpu", max_position_embeddings=64)
    assert short.context_window == 64
    eager = Backbone.from_pretrained(llama, dtype="int8", device="cpu", attn_implementation="eager")
    assert eager.model.config._attn_implementation == "eager"
    with pytest.raises(BackboneError, match="made_up"):
        Backbone.from_pretrained(llama, dtype="int8", device="cpu", made_up=1)
    assert _int8_storage.is_whole(entry(cache))


def test_the_index_names_every_tensor_and_file(llama: Path, cache: Path):
    load(llama)
    index = json.loads((entry(cache) / "int8.index.json").read_text())
    files = {file.name for file in entry(cache).iterdir()} - {"int8.index.json"}
    assert set(index["sizes"]) == files
    assert set(index["shards"].values()) == {name for name in files if name.endswith(".safetensors")}
    assert loading.number_format("torch.int8") == "int8"
