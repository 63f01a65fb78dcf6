"""Int8 models on the disk: written tensor by tensor, and read back without ever holding float weights.

A folder has the weights in shards, an index that names the shard of each tensor, the configurations and the
tokenizer. Linear layers are int8 with a scale for each output channel, embeddings and the head bfloat16 (tied
ones once), all else float32. A head is there as int8 as well.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from latentseek_agents.engine._int8 import QuantisedWeight, int8_model, quantised_weight, require_linear
from latentseek_agents.errors import BackboneError

FORMAT = "1"
"""Bump when what is written changes: an old entry of the cache is then left alone and a new one made."""

_INDEX = "int8.index.json"
_SHARD_BYTES = 64 * 2**20
_RANDOM = (torch.Tensor.normal_, torch.Tensor.uniform_)
_VALUES, _SCALES = ".int8", ".scales"


def write_int8(gguf: Path, folder: Path) -> None:
    """Quantise the weights of a GGUF file, one tensor after the other, into a folder.

    Args:
        gguf: The file.
        folder: An empty folder.

    Raises:
        BackboneError: The file lacks weights that the model has, or nothing in it can be int8.
    """
    from transformers import AutoConfig, AutoTokenizer

    from latentseek_agents.engine._gguf_tensors import gguf_tensors  # not needed to read what is cached

    config = AutoConfig.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    model = _model_without_weights(config, {})
    weights = _Weights(model)
    shards = _ShardWriter(folder)
    for name, rows in gguf_tensors(gguf, model):
        weights.write(name, rows, shards)
    weights.check_complete()
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shards.finish()


def is_whole(folder: Path) -> bool:
    """Whether a folder has all that :func:`write_int8` wrote, each file in its length."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        for file in set(index["shards"].values()):
            with safe_open(folder / file, "pt"):
                pass  # its header is read
        return all((folder / file).stat().st_size == size for file, size in index["sizes"].items())
    except (OSError, ValueError, KeyError, SafetensorError):
        return False


def read_int8(folder: Path, options: dict[str, Any]) -> Any:
    """The model in a folder that :func:`write_int8` filled.

    Args:
        folder: The folder.
        options: As for ``AutoModelForCausalLM.from_pretrained``; those of the configuration change it.

    Returns:
        A causal LM with int8 weights.

    Raises:
        BackboneError: There are not all weights that the model has.
    """
    from transformers import AutoConfig, GenerationConfig

    config, others = AutoConfig.from_pretrained(str(folder), return_unused_kwargs=True, **options)
    # Weights made in a caller's inference mode could never take part in a gradient.
    with torch.inference_mode(mode=False):
        model = _model_without_weights(config, others)
        model.generation_config = GenerationConfig.from_pretrained(str(folder))
        stored = _StoredWeights(folder)
        _Weights(model).fill(stored)
        quantised = int8_model(model, stored.quantised)
    return quantised.eval()


class _Weights:
    """The weights that a model without any has to get, and what becomes of each.

    Args:
        model: From :func:`_model_without_weights`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        linear = {name for name, module in _modules(model) if type(module) is torch.nn.Linear}
        require_linear(model)
        self._linear = {f"{name}.weight" for name in linear}
        kinds: dict[int, type[Any]] = {id(model.get_input_embeddings()): torch.nn.Embedding}
        kinds[id(model.get_output_embeddings())] = torch.nn.Linear
        self._half = {
            f"{name}.weight" for name, module in _modules(model) if kinds.get(id(module)) is type(module)
        }
        self._tied: dict[int, list[str]] = {}
        parameters = dict(model.named_parameters(remove_duplicate=False))
        buffers = dict(model.named_buffers(remove_duplicate=False))
        self._values = parameters | buffers
        for name, value in self._values.items():
            self._tied.setdefault(id(value), []).append(name)
        self._missing = parameters.keys() | {name for name, value in buffers.items() if value.is_meta}

    def write(self, name: str, blocks: Iterator[torch.Tensor], shards: "_ShardWriter") -> None:
        """Put a tensor into the shards, in the form or the forms that the model needs it in."""
        if name not in self._values:
            return
        names = self._tied[id(self._values[name])]
        quantised = [one for one in names if one in self._linear]
        halves = all(one in self._half for one in names)
        dtype = torch.bfloat16 if halves else torch.float32
        keeps_floats = halves or len(quantised) < len(names)
        floats, integers = [], []
        for block in blocks:
            if keeps_floats:
                floats.append(block.to(dtype))
            if quantised:
                integers.append(quantised_weight(block))
        if keeps_floats:
            shards.add(names[0], _joined(floats))
        for one in quantised:
            shards.add(one + _VALUES, _joined([values for values, _ in integers]))
            shards.add(one + _SCALES, _joined([scales for _, scales in integers]))
        self._missing.difference_update(names)

    def fill(self, stored: "_StoredWeights") -> None:
        """Give the model all weights that are not int8."""
        for names in self._tied.values():
            name = next((one for one in names if one in stored), None)
            if name is not None:
                value = stored.tensor(name)
                if value.shape != self._values[name].shape:
                    raise ValueError(f"{name} has the shape {tuple(value.shape)}")
                self._replace(names, value)
                self._missing.difference_update(names)
        self._missing -= {one for one in self._linear if one + _VALUES in stored}
        self.check_complete()

    def check_complete(self) -> None:
        """Raise if there are weights left that nothing was read for."""
        if self._missing:
            named = ", ".join(sorted(self._missing)[:3])
            raise BackboneError(
                f"the file has no weights for {len(self._missing)} tensors of a "
                f"{type(self._model).__name__} ({named}); try dtype='float32'"
            )

    def _replace(self, names: Sequence[str], value: torch.Tensor) -> None:
        is_parameter = isinstance(self._values[names[0]], torch.nn.Parameter)
        new = torch.nn.Parameter(value, requires_grad=False) if is_parameter else value
        for name in names:
            owner, _, attribute = name.rpartition(".")
            setattr(self._model.get_submodule(owner), attribute, new)


class _ShardWriter:
    """Writes tensors to files of about 64 MB each; one that is larger has a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shard: dict[str, torch.Tensor] = {}
        self._bytes = 0
        self._shards: dict[str, str] = {}

    def add(self, name: str, value: torch.Tensor) -> None:
        if value.nbytes >= _SHARD_BYTES:
            self._write({name: value})
            return
        if self._bytes + value.nbytes > _SHARD_BYTES:
            self._write(self._shard)
            self._shard, self._bytes = {}, 0
        self._shard[name] = value
        self._bytes += value.nbytes

    def finish(self) -> None:
        """Write what is left, and an index of all that is in the folder by now."""
        if self._shard:
            self._write(self._shard)
        sizes = {file.name: file.stat().st_size for file in sorted(self._folder.iterdir())}
        index = {"sizes": sizes, "shards": self._shards}
        (self._folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")

    def _write(self, tensors: dict[str, torch.Tensor]) -> None:
        file = f"int8-{len(set(self._shards.values())):05}.safetensors"
        save_file(tensors, self._folder / file)
        self._shards |= dict.fromkeys(tensors, file)


class _StoredWeights:
    """Tensors by name.

    Args:
        folder: Where :class:`_ShardWriter` wrote them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        self._shards: dict[str, str] = index["shards"]

    def __contains__(self, name: str) -> bool:
        return name in self._shards

    def tensor(self, name: str) -> torch.Tensor:
        with safe_open(self._folder / self._shards[name], "pt") as shard:
            value: torch.Tensor = shard.get_tensor(name)
        # What is read is a view of the mapped file. Large tensors stay one, and are read as they are used;
        # a small one would keep all of its shard mapped.
        return value if value.nbytes >= _SHARD_BYTES else value.clone()

    def quantised(self, name: str, module: Any) -> QuantisedWeight:
        """The weights of a linear layer."""
        values, scales = (self.tensor(f"{name}.weight{ending}") for ending in (_VALUES, _SCALES))
        if values.shape != module.weight.shape:
            raise ValueError(f"{name} has the shape {tuple(values.shape)}")
        return values, scales


def _model_without_weights(config: Any, options: dict[str, Any]) -> Any:
    """A model whose weights are on the meta device, while what its code computes (rotary angles) is real."""
    from transformers import AutoModelForCausalLM

    models: Any = AutoModelForCausalLM
    with _EmptyOnMeta():
        return models.from_config(config, dtype=torch.float32, **options)


class _EmptyOnMeta(TorchFunctionMode):
    """Memory that a layer asks for to fill later is not allocated. It concerns this thread only."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        if func in _RANDOM and args[0].is_meta:  # which takes some milliseconds for nothing
            return args[0]
        return func(*args, **kwargs)


def _modules(model: Any) -> list[tuple[str, Any]]:
    return list(model.named_modules(remove_duplicate=False))


def _joined(blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    whole = torch.cat(list(blocks)) if len(blocks) > 1 else blocks[0]
    return whole.contiguous()
