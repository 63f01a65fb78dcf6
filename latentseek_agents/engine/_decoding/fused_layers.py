"""Decoder layers of the Llama kind with few operations between the products.

With a small model, or int8 weights, a pass spends as much time between the matrix products as in them: some
sixty small operations per layer, and Python around each. Here are the same layers with about half of them:
one product for int8 layers with the same input, and sums that are part of a multiplication.

Only the layers of known classes are replaced, in float32, and :func:`~.packed_forward.packed_model_for`
compares the result with the model's own. Anything else runs as it is.
"""

from collections.abc import Callable
from typing import Any

import torch

from latentseek_agents.engine._cpu_kernels import FastLinear
from latentseek_agents.engine._int8 import Int8Linear, is_hooked

Attend = Callable[..., torch.Tensor]
"""(layer, query (N, H, w), key (N, H_kv, w), value (N, H_kv, w), scale, window) to (N, H, w)."""

Rotation = Callable[[tuple[torch.Tensor, torch.Tensor]], tuple[torch.Tensor, torch.Tensor]]
"""From the model's cosines and sines (1, N, w) to those of :func:`_rotated`, computed once per pass."""

_ONE_THREAD = 32_768  # torch divides no more numbers than this among threads

_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_NORMED = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}
_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_CLASSES = {f"{family}DecoderLayer" for family in ("Llama", "Qwen2", "Qwen3", "Mistral")}


def fused_layer(layer: Any, attend: Attend, rotation: Rotation) -> "FusedLayer | None":
    """A faster form of a decoder layer that shares its weights; None if it is not of a known kind.

    Args:
        layer: A decoder layer, whose linear layers are :class:`FastLinear` or :class:`Int8Linear` already.
        attend: Attention of all rows of the pass.
        rotation: See :data:`Rotation`.
    """
    if type(layer).__name__ not in _CLASSES or set(layer._modules) != _LAYER:
        return None
    attention, mlp = layer.self_attn, layer.mlp
    names = set(attention._modules)
    if not _ATTENTION <= names <= _ATTENTION | _NORMED or set(mlp._modules) != _MLP:
        return None
    linear = [attention._modules[name] for name in sorted(_ATTENTION)]
    linear += [mlp._modules[name] for name in sorted(_MLP - {"act_fn"})]
    kinds = {type(module) for module in linear}
    if kinds not in ({FastLinear}, {Int8Linear}) or any(map(is_hooked, layer.modules())):
        return None
    numbers = {value.dtype for value in layer.parameters() if value.is_floating_point()}
    return FusedLayer(layer, attend, rotation) if numbers == {torch.float32} else None


class FusedLayer(torch.nn.Module):
    """See :func:`fused_layer`."""

    def __init__(self, layer: Any, attend: Attend, rotation: Rotation) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        # Copies of a module share its hooks: one that a caller adds later has to run.
        self._plain = layer
        modules = list(layer.modules())
        self._hooks = [module._forward_hooks for module in modules]
        self._hooks += [module._forward_pre_hooks for module in modules]
        self.attention_type = getattr(layer, "attention_type", None)  # some models ask their layers for it
        self._attend, self._rotation = attend, rotation
        self._layer_index = attention.layer_idx
        self._scale = float(attention.scaling)
        self._window = getattr(attention, "sliding_window", None)
        if type(layer).__name__ == "MistralDecoderLayer":
            self._window = getattr(attention.config, "sliding_window", None)
        self._width = int(attention.head_dim)
        self._norms = [attention._modules[name] for name in sorted(_NORMED & set(attention._modules))]
        self._input_norm, self._output_norm = layer.input_layernorm, layer.post_attention_layernorm
        kind = _Int8 if isinstance(attention.q_proj, Int8Linear) else _Float
        self._project = kind(attention.q_proj, attention.k_proj, attention.v_proj)
        self._return = kind(attention.o_proj)
        self._widen = kind(mlp.gate_proj, mlp.up_proj)
        self._narrow = kind(mlp.down_proj)
        self._activation = mlp.act_fn

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **others: Any,
    ) -> Any:
        if any(self._hooks):
            return self._plain(hidden_states, position_embeddings=position_embeddings, **others)
        rows = hidden_states[0]
        query, key, value = (
            part.view(len(rows), -1, self._width) for part in self._project.outputs(self._input_norm(rows))
        )
        if self._norms:
            key, query = (norm(part) for norm, part in zip(self._norms, (key, query), strict=True))
        cosines, sines = self._rotation(position_embeddings)
        query, key = _rotated(query, cosines, sines), _rotated(key, cosines, sines)
        attended = self._attend(self._layer_index, query, key, value, self._scale, self._window)
        rows = self._return.added_to(rows, attended.reshape(len(rows), -1))
        gate, up = self._widen.outputs(self._output_norm(rows))
        return self._narrow.added_to(rows, _activated(self._activation, gate).mul_(up)).unsqueeze(0)


def _activated(activation: Any, rows: torch.Tensor) -> torch.Tensor:
    """The activation of (N, d), in parts that one thread computes each.

    Where torch divides numbers among threads, those at the end of a part are computed by another routine,
    which rounds differently: a row would depend on the number of rows.
    """
    at_once = max(1, _ONE_THREAD // rows.shape[1])
    if len(rows) <= at_once:
        result: torch.Tensor = activation(rows)
        return result
    return torch.cat([activation(part) for part in torch.split(rows, at_once)])


def rotation_of(position_embeddings: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines, and sines that are negative in their first half: (N, 1, w) each, from (1, N, w)."""
    cosines, sines = (part[0].unsqueeze(1) for part in position_embeddings)
    first, second = sines.chunk(2, dim=-1)
    return cosines, torch.cat((-first, second), dim=-1)


def _rotated(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    first, second = heads.chunk(2, dim=-1)
    return torch.addcmul(heads * cosines, torch.cat((second, first), dim=-1), sines)


class _Float:
    """Linear layers with the same input, in float32."""

    def __init__(self, *layers: FastLinear) -> None:
        self._layers = layers

    def outputs(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """The output of each layer, (N, out)."""
        return [layer(rows) for layer in self._layers]

    def added_to(self, residual: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The output of the one layer, and the residual."""
        output: torch.Tensor = self._layers[0](rows)
        return output.add_(residual)


class _Int8:
    """Linear layers with the same input, whose weights are one :class:`~.._int8.Int8Weight`."""

    def __init__(self, *layers: Int8Linear) -> None:
        self._weight = layers[0].int8_weight
        biases = [layer._buffers["bias"] for layer in layers]
        self._bias: torch.Tensor | None = None
        if any(bias is not None for bias in biases):
            filled = [
                torch.zeros(layer.out_features) if bias is None else bias
                for layer, bias in zip(layers, biases, strict=True)
            ]
            self._bias = torch.cat(filled)

    def outputs(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The output of each layer, (N, out)."""
        product, scales = self._weight.multiplied(rows)
        output = product.mul_(scales) if self._bias is None else torch.addcmul(self._bias, product, scales)
        return torch.split(output, self._weight.sizes, dim=1)

    def added_to(self, residual: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The output of the one layer, and the residual."""
        product, scales = self._weight.multiplied(rows)
        residual = residual if self._bias is None else residual + self._bias
        return torch.addcmul(residual, product, scales)
