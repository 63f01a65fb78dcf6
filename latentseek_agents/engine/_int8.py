"""Causal LMs with int8 weights, for a CPU: a quarter of the memory to read per token.

Each linear layer holds its weights as int8 with one scale per output channel. What comes in is quantised row
by row, as it comes: q = round(127 x / max |x|), so that no row depends on its company. The products of
integers are exact sums; floats are only multiplied afterwards. Embeddings stay in bfloat16 and are widened.
The head has both forms: int8 to choose tokens with, bfloat16 for the gradient.

oneDNN multiplies weights that were put into its own order once, with signed rows where the CPU has AMX and
with unsigned ones elsewhere. Where it has no such kernel, the same integers come from ``torch._int_mm`` or,
on a CPU without instructions for int8, many times as fast from float32 (``benchmarks/linear.py`` compares
them).
"""

import contextlib
import copy
import ctypes
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from latentseek_agents.engine._cpu_kernels import differentiable_product, is_plain_linear
from latentseek_agents.errors import BackboneError

# With fewer outputs oneDNN's prepared weights are slower than plain ones, for one or two rows many times.
_FEWEST_PREPARED = 512
# Share of the weights between embedding and head that must be in linear layers, or int8 saves too little.
_LEAST_LINEAR = 0.9
# A plain loop takes hundreds of times as long as torch's own product; what is timed is small and noisy.
_MOST_PLAIN_TIMES = 20
_LARGEST = 127
# So many products of two int8 are at most 127 * 127 * 1024 < 2**24: float32 holds every sum of them exactly.
_EXACT_INPUTS = 1024
_OUTPUTS_AT_ONCE = 512  # with _EXACT_INPUTS 2 MB of float32, which stay in the cache
_LARGE_PAGE = 2 * 2**20
_SMALL_PAGES = 8192  # between neighbours: what the allocator keeps for itself
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25  # from Linux's <asm-generic/mman-common.h>
_TINY = torch.finfo(torch.float32).tiny
_finer = threading.local()

QuantisedWeight = tuple[torch.Tensor, torch.Tensor]
"""(out, in) int8 and (out,) float32: the weights are their product."""


def quantised_weight(weight: torch.Tensor) -> QuantisedWeight:
    """Weights as int8 with a scale for each output channel.

    Args:
        weight: (out, in), floating.

    Returns:
        (out, in) int8 in [-127, 127] and (out,) float32.

    Example:
        >>> values, scales = quantised_weight(torch.tensor([[1.0, -0.5], [0.0, 0.0]]))
        >>> values.tolist()
        [[127, -64], [0, 0]]
    """
    values, scales = quantised_rows(weight.detach().float())
    return values, scales.squeeze(1)


def quantised_rows(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row as int8 with a scale of its own.

    Args:
        rows: (N, d) float32. A row with NaN or infinity gets a scale that is not finite.

    Returns:
        (N, d) int8 and (N, 1) float32, whose product is nearly ``rows``.
    """
    # Not the infinity norm: torch's takes many times as long.
    largest = rows.abs().amax(dim=1, keepdim=True)
    scales = largest.clamp_(min=_LARGEST * _TINY).div_(_LARGEST)
    return torch.div(rows, scales).round_().to(torch.int8), scales


class Int8Weight:
    """The weights of one linear layer, or of several with the same input, one below the other.

    Args:
        parts: The weights of each layer.

    Attributes:
        scales: (out,) float32.
        sizes: Outputs of each layer.
    """

    def __init__(self, *parts: QuantisedWeight) -> None:
        values = torch.cat([values for values, _ in parts]) if len(parts) > 1 else parts[0][0]
        self.scales = torch.cat([scales for _, scales in parts]) if len(parts) > 1 else parts[0][1]
        self.sizes = [len(values) for values, _ in parts]
        self.bytes = values.numel()
        self._prepared: PreparedProduct | None = None
        self._values = values
        if len(values) >= _FEWEST_PREPARED:
            self._prepared = prepared_product()
        if self._prepared is not None:
            self._values = torch.ops.onednn.qlinear_prepack(values, None)
        self._zeros = torch.zeros(len(values), dtype=torch.int32)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Int8Weight":
        """Itself: it never changes, and prepared weights cannot be copied."""
        return self

    def addresses(self) -> tuple[int, int]:
        """Where the weights lie in memory: the first byte, and the one behind the last."""
        if self._prepared is None:
            return self._values.data_ptr(), self._values.data_ptr() + self._values.nbytes
        start = torch.ops.mkldnn.data_ptr(self._values)
        return start, start + torch.ops.mkldnn._nbytes(self._values)

    def product(self, rows: torch.Tensor) -> torch.Tensor:
        """``rows @ weights.T``, with the weights' scales in it.

        Args:
            rows: (N, in) int8.

        Returns:
            (N, out) float32.
        """
        if self._prepared is None:
            return plain_product()(rows, self._values).mul_(self.scales)
        return self._prepared(rows, self._values, self.scales, self._zeros)

    def multiplied(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``rows @ weights.T`` with the rows quantised as they come.

        Args:
            rows: (N, in) float32.

        Returns:
            (N, out) and (N, 1) float32: the result is their product, which the caller takes with what it
            adds.
        """
        values, scales = quantised_rows(rows)
        product = self.product(values)
        if getattr(_finer, "wanted", False):
            rest = rows.div(scales).sub_(values)
            for power in (1, 2):
                rest = rest.mul_(_LARGEST)
                digits = rest.round()
                product += self.product(digits.to(torch.int8)).div_(_LARGEST**power)
                rest = rest.sub_(digits)
        return product, scales


@contextlib.contextmanager
def finer_activations() -> Iterator[None]:
    """Quantise what comes in to some 22 bits instead of 8, in this thread, for three times the work.

    Rounding moves the hidden states of int8 layers by some hundredths, and those of a wrong computation
    differ by little more. To compare two ways to compute the same, rounding has to be finer.
    """
    _finer.wanted = True
    try:
        yield
    finally:
        _finer.wanted = False


def integer_product(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``rows @ weight.T`` by torch's own product of int8; without instructions for it, a plain loop.

    Args:
        rows: (N, in) int8.
        weight: (out, in) int8.

    Returns:
        (N, out) float32, the exact sums rounded once.
    """
    return torch._int_mm(rows, weight.t()).float()


def widened_product(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The same from float32, a block of weights at a time: exact, since the blocks are narrow enough.

    Args:
        rows: (N, in) int8 in [-127, 127].
        weight: (out, in) int8 in [-127, 127].

    Returns:
        (N, out) float32, the exact sums rounded once.

    Example:
        >>> rows = torch.full((1, 5000), 127, dtype=torch.int8)
        >>> widened_product(rows, torch.stack([rows[0], -rows[0]])).tolist() == [[80645000, -80645000]]
        True
    """
    wide = rows.float()
    outputs, inputs = weight.shape
    narrow = inputs <= _EXACT_INPUTS  # each sum is one block's
    sums = torch.zeros(len(rows), outputs, dtype=torch.float32 if narrow else torch.int32)
    for first in range(0, outputs, _OUTPUTS_AT_ONCE):
        block = weight[first : first + _OUTPUTS_AT_ONCE]
        for start in range(0, inputs, _EXACT_INPUTS):
            part = slice(start, start + _EXACT_INPUTS)
            product = wide[:, part] @ block[:, part].float().t()
            sums[:, first : first + _OUTPUTS_AT_ONCE] += product if narrow else product.int()
    return sums.float()


@functools.cache
def plain_product() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The faster of the two on this machine; the integers are the same, for these or for any other rows."""
    rows, weight = (
        torch.full((size, 2 * _EXACT_INPUTS), _LARGEST, dtype=torch.int8) for size in (4, _OUTPUTS_AT_ONCE)
    )
    ways = (integer_product, widened_product)
    return min(ways, key=lambda way: _seconds(functools.partial(way, rows, weight)))


PreparedProduct = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""From int8 rows, weights in oneDNN's order, their scales and zeros to the product with the scales in it."""


def signed_product(
    rows: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor
) -> torch.Tensor:
    """The product of rows as they are: what AMX computes."""
    product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, 0, weight, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return product


def unsigned_product(
    rows: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor
) -> torch.Tensor:
    """The same integers from rows moved up by 128: instructions without AMX take unsigned rows alone."""
    moved = torch.bitwise_xor(rows, -128).view(torch.uint8)
    product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
        moved, 1.0, 128, weight, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return product


def use_large_pages(weights: Iterable[Int8Weight]) -> None:
    """Ask Linux for pages of 2 MiB under prepared weights.

    The kernel jumps through them, so that with pages of 4 KiB it may wait for addresses more than for
    numbers; on a shared machine that is worth nothing at one hour and half of the time at another. Where
    large pages are refused, nothing changes but that.

    Args:
        weights: All of a model, since neighbours can share a page.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(AttributeError, OSError, RuntimeError):
        advise = ctypes.CDLL(None).madvise
        for start, end in _neighbours(sorted(weight.addresses() for weight in weights)):
            first = -(-start // _LARGE_PAGE) * _LARGE_PAGE
            size = (end - first) // _LARGE_PAGE * _LARGE_PAGE
            for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE) if size > 0 else ():
                advise(ctypes.c_void_p(first), ctypes.c_size_t(size), advice)


def _neighbours(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of addresses, those that touch as one.

    Example:
        >>> _neighbours([(0, 8192), (12288, 16384), (90000, 98192)])
        [(0, 16384), (90000, 98192)]
    """
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined and start - joined[-1][1] <= _SMALL_PAGES:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined


@functools.cache
def prepared_product() -> PreparedProduct | None:
    """How to multiply prepared weights here: with signed or unsigned rows; None where neither will do.

    oneDNN has both forms on every CPU, but without AMX the signed one is a plain loop that takes
    hundreds of times as long.
    """
    generator = torch.Generator().manual_seed(0)
    rows, weight = (
        torch.randint(-127, 128, (size, 256), dtype=torch.int8, generator=generator)
        for size in (40, _FEWEST_PREPARED)
    )
    rows[:2], weight[:2] = 127, 127  # the largest sums, which narrow arithmetic would cut off
    rows[2] = -127
    scales = torch.linspace(0.5, 1.5, len(weight))
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    few = rows[:3]  # a plain loop takes ten milliseconds for these, and every start pays them
    for way in (signed_product, unsigned_product):
        with contextlib.suppress(AttributeError, RuntimeError, NotImplementedError):
            limit = _MOST_PLAIN_TIMES * _seconds(lambda: torch._int_mm(few, weight.t()))
            packed = torch.ops.onednn.qlinear_prepack(weight, None)
            if _seconds(functools.partial(way, few, packed, scales, zeros)) >= limit:
                continue
            expected = torch._int_mm(rows, weight.t()).float() * scales
            got = {count: way(rows[:count], packed, scales, zeros) for count in (1, 3, 40)}
            if all(torch.equal(product, expected[:count]) for count, product in got.items()):
                return way
    return None


def _seconds(call: Callable[[], object]) -> float:
    """The shortest of several calls."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


@functools.cache
def fast_int8() -> bool:
    """Whether this machine's CPU has instructions for products of int8 (VNNI, AMX)."""
    checks = ("_is_vnni_supported", "_is_avx512_vnni_supported", "_is_amx_tile_supported")
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx_vnni")) or any(
        bool(getattr(torch.cpu, check, lambda: False)()) for check in checks
    )


class Int8Linear(torch.nn.Module):
    """A linear layer with int8 weights; float32 in and out.

    Args:
        weight: Its weights, or those of several layers.
        bias: (out,) or None: of this layer.
        part: Which of the layers of ``weight`` this is.
    """

    def __init__(self, weight: Int8Weight, bias: torch.Tensor | None = None, part: int = 0) -> None:
        super().__init__()
        self.int8_weight = weight
        start = sum(weight.sizes[:part])
        self._outputs = slice(start, start + weight.sizes[part])
        self.out_features = weight.sizes[part]
        self.register_buffer("scales", weight.scales[self._outputs])
        self.register_buffer("bias", None if bias is None else bias.detach().float())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        flat = rows.reshape(-1, rows.shape[-1])
        product, scales = self.int8_weight.multiplied(flat.float())
        output = product[:, self._outputs] * scales
        bias: torch.Tensor | None = self._buffers["bias"]
        if bias is not None:
            output += bias
        return output.to(rows.dtype).reshape(*rows.shape[:-1], -1)


class Int8Head(torch.nn.Module):
    """The head: int8 to choose tokens with, its weights in bfloat16 where a gradient passes.

    Args:
        weight: (V, d) bfloat16, as a rule those of the embedding.
        quantised: The same as int8.
        bias: (V,) or None.
    """

    compute_dtype = torch.float32

    def __init__(
        self, weight: torch.nn.Parameter, quantised: QuantisedWeight, bias: torch.Tensor | None
    ) -> None:
        super().__init__()
        self.weight = weight
        self._fast = Int8Linear(Int8Weight(quantised), bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if not (torch.is_grad_enabled() and hidden.requires_grad):
            fast: torch.Tensor = self._fast(hidden)
            return fast
        product = differentiable_product(hidden.reshape(-1, hidden.shape[-1]), self.weight)
        bias: torch.Tensor | None = self._fast._buffers["bias"]
        if bias is not None:
            product = product + bias
        return product.reshape(*hidden.shape[:-1], -1)


class HalfEmbedding(torch.nn.Module):
    """An embedding with bfloat16 weights and float32 output.

    Args:
        weight: (V, d) bfloat16.
    """

    compute_dtype = torch.float32

    def __init__(self, weight: torch.nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding(token_ids, self.weight).float()


WeightReader = Callable[[str, Any], QuantisedWeight]
"""From a linear layer's name and module to its weights."""


def int8_model(model: Any, read: WeightReader | None = None) -> Any:
    """A copy of a model whose linear layers are int8; what stays float is shared.

    Args:
        model: A causal LM on the CPU; it is not changed.
        read: Where the weights come from; by default those of the model are quantised. With it, linear
            layers may have weights on the meta device.

    Raises:
        BackboneError: It has no linear layer that could be quantised, is quantised already, has an adapter,
            or is not on a CPU.
    """
    if hasattr(model, "get_base_model"):
        raise BackboneError(
            f"dtype='int8' would freeze the adapter of this {type(model).__name__}; "
            "merge it into the weights first: model.merge_and_unload()"
        )
    packed = any(
        type(module) is torch.nn.Linear and not is_plain_linear(module) for module in model.modules()
    )
    if packed or getattr(model, "hf_quantizer", None) is not None:
        raise BackboneError(
            f"this {type(model).__name__} is quantised already; "
            "leave dtype='int8' away, or load it unquantised"
        )
    devices = {parameter.device.type for parameter in model.parameters()}
    if read is not None:
        devices.discard("meta")
    if devices != {"cpu"}:
        raise BackboneError(
            f"dtype='int8' is for models on a CPU, but this one is on {', '.join(sorted(devices))}; "
            "use dtype='bfloat16' there, or move the model to the CPU first"
        )
    require_linear(model)
    # What is made in a caller's inference mode could never take part in a gradient.
    with torch.inference_mode(mode=False):
        builder = _Builder(model, read or (lambda _, module: quantised_weight(module.weight)))
        quantised = builder.build(model, "")
    weights = (module.int8_weight for module in quantised.modules() if isinstance(module, Int8Linear))
    use_large_pages({id(weight): weight for weight in weights}.values())
    return quantised


def require_linear(model: Any) -> None:
    """Refuse a model most of whose weights would stay float, or whose layers have something hooked to them.

    Raises:
        BackboneError: Its layers are of another class than ``torch.nn.Linear`` (experts, convolutions), or a
            caller's hook would be lost.
    """
    kind = type(model).__name__
    ends = {id(one) for one in (model.get_input_embeddings(), model.get_output_embeddings())}
    inside = [module for module in model.modules() if id(module) not in ends]
    sizes = {
        linear: sum(
            value.numel()
            for module in inside
            for value in module._parameters.values()
            if value is not None and (type(module) is torch.nn.Linear) == linear
        )
        for linear in (False, True)
    }
    if sizes[True] < _LEAST_LINEAR * sum(sizes.values()) or not sizes[True]:
        raise BackboneError(
            f"dtype='int8' quantises torch.nn.Linear layers, but these hold {sizes[True]} of the "
            f"{sum(sizes.values())} weights inside this {kind}; use dtype='bfloat16' or 'float32'"
        )
    hooked = [module for module in inside if type(module) is torch.nn.Linear and is_hooked(module)]
    if hooked:
        raise BackboneError(
            f"{len(hooked)} linear layers of this {kind} have hooks, which an int8 copy would not have; "
            "remove them, or leave dtype='int8' away"
        )


def is_hooked(module: Any) -> bool:
    """Whether something of a caller's runs with this module."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)


class _Builder:
    """Copies the modules above each replaced one; all others are shared with the model."""

    def __init__(self, model: Any, read: WeightReader) -> None:
        self._read = read
        self._head = model.get_output_embeddings()
        self._embedding = model.get_input_embeddings()
        self._halves: dict[int, torch.nn.Parameter] = {}

    def build(self, module: Any, name: str) -> Any:
        if module is self._embedding and type(module) is torch.nn.Embedding:
            return HalfEmbedding(self._half(module.weight))
        if type(module) is torch.nn.Linear:
            weight = self._read(name, module)
            if module is self._head:
                return Int8Head(self._half(module.weight), weight, module.bias)
            return Int8Linear(Int8Weight(weight), module.bias)
        children = self._siblings(module, name)
        for key, child in module._modules.items():
            if child is not None and key not in children:
                children[key] = self.build(child, f"{name}.{key}" if name else key)
        same = all(children.get(key) is child for key, child in module._modules.items())
        if same and not any(map(_is_half, module._parameters.values())):
            return module
        changed = copy.copy(module)
        changed._modules = {key: children.get(key) for key in module._modules}
        changed._parameters = {key: _widened(value) for key, value in module._parameters.items()}
        return changed

    def _siblings(self, module: Any, name: str) -> dict[str, Any]:
        """Linear layers with the same input, which become one product."""
        replaced: dict[str, Any] = {}
        for names in same_input(module):
            layers = [module._modules[key] for key in names]
            weight = Int8Weight(
                *(self._read(f"{name}.{key}", layer) for key, layer in zip(names, layers, strict=True))
            )
            replaced |= {
                key: Int8Linear(weight, layer.bias, part)
                for part, (key, layer) in enumerate(zip(names, layers, strict=True))
            }
        return replaced

    def _half(self, weight: torch.Tensor) -> torch.nn.Parameter:
        """The weights in bfloat16, once for those that are tied."""
        if id(weight) not in self._halves:
            half = weight.detach().to(torch.bfloat16)
            self._halves[id(weight)] = torch.nn.Parameter(half, requires_grad=False)
        return self._halves[id(weight)]


def _is_half(value: torch.Tensor | None) -> bool:
    return value is not None and value.dtype in (torch.bfloat16, torch.float16)


def _widened(value: torch.nn.Parameter | None) -> torch.nn.Parameter | None:
    """What is added and multiplied between the linear layers is float32, whatever the model's dtype."""
    if value is None or not _is_half(value):
        return value
    return torch.nn.Parameter(value.detach().float(), requires_grad=False)


def same_input(module: Any) -> list[Sequence[str]]:
    """Names of linear layers of an attention or a gated MLP that are all given the same input."""
    groups = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
    fused = type(module).__name__ in FUSED_MODULES
    return [
        names
        for names in groups
        if fused and all(type(module._modules.get(name)) is torch.nn.Linear for name in names)
    ]


FUSED_MODULES = frozenset(
    f"{family}{part}" for family in ("Llama", "Qwen2", "Qwen3", "Mistral") for part in ("Attention", "MLP")
)
"""Modules whose layers with the same input are computed as one; see ``_decoding/fused_layers.py``."""


def is_int8(model: Any) -> bool:
    """Whether linear layers of a model are int8."""
    return isinstance(model, torch.nn.Module) and any(
        isinstance(module, Int8Linear) for module in model.modules()
    )
