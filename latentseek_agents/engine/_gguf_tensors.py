"""The tensors of a GGUF file under a model's own names, one after the other.

``transformers`` dequantises a whole file at once. This takes its table of names and its corrections of each
architecture, but never holds more than one tensor, of embeddings and head not more than some rows.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from transformers import modeling_gguf_pytorch_utils

# The largest tensors. What corrections there are of them concerns each number by itself.
_ROW_BY_ROW = ("token_embd.weight", "output.weight")
_NUMBERS_AT_ONCE = 2**24

NamedRows = tuple[str, Iterator[torch.Tensor]]
"""A name in the model's state, and blocks of rows, float32, that belong one below the other."""


def gguf_tensors(file: Path, model: Any) -> Iterator[NamedRows]:
    """Read a GGUF file tensor by tensor; the rows of one must be taken before the next is asked for.

    Args:
        file: The file.
        model: A model of its configuration, whose weights may be on the meta device.
    """
    library: Any = modeling_gguf_pytorch_utils
    reader = GGUFReader(file)
    collected: dict[str, torch.Tensor] = {}  # where processors put what belongs to several tensors
    config = library.load_gguf_checkpoint(str(file))["config"]
    parameters: dict[str, Any] = {"config": config, "tensors": collected}
    architecture = library.read_field(reader, "general.architecture")[0]
    processor = library.TENSOR_PROCESSORS.get(architecture, library.TensorProcessor)(config=config)
    names = library.get_gguf_hf_weights_map(model, processor)

    def processed(tensor: Any, data: Any) -> tuple[str | None, Any]:
        result = processor.process(
            weights=dequantize(data, tensor.tensor_type),
            name=tensor.name,
            tensor_key_mapping=names,
            parsed_parameters=parameters,
        )
        if tensor.name in _ROW_BY_ROW and collected:
            return collected.popitem()
        return names.get(result.name), result.weights

    for tensor in reader.tensors:
        data = tensor.data
        rows = len(data)
        if tensor.name in _ROW_BY_ROW:
            rows = max(1, _NUMBERS_AT_ONCE * len(data) // int(tensor.n_elements))
        name, first = processed(tensor, data[:rows])
        if name is not None:
            others = (
                processed(tensor, data[start : start + rows])[1] for start in range(rows, len(data), rows)
            )
            yield name, (_as_tensor(block) for block in _chain(first, others))
    for name, whole in collected.items():
        yield name, iter((whole.float(),))


def _chain(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others


def _as_tensor(weights: Any) -> torch.Tensor:
    if isinstance(weights, torch.Tensor):
        return weights.float()
    return torch.from_numpy(np.require(weights, np.float32, ("C", "W")))
