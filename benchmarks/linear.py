"""Time of a linear layer by number of rows, in the ways that ``_cpu_kernels.py`` and ``_int8.py`` know.

    python benchmarks/linear.py --features 4864 896
    ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI python benchmarks/linear.py --int8-only --rows 1 16 --layers 4

Prints milliseconds, the best of several rounds in turns; the limits in that module come from these tables.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from latentseek_agents.engine import _int8
from latentseek_agents.engine._cpu_kernels import fast_product, native_bfloat16

Way = Callable[[torch.Tensor, Any], Any]
WAYS: dict[str, Way] = {
    "linear": torch.nn.functional.linear,
    "transposed": lambda rows, weight: torch.mm(weight, rows.t().contiguous()).t(),
    "widened": lambda rows, weight: torch.nn.functional.linear(rows.float(), weight.float()),
    "chosen": fast_product,
}
ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 256)


def main() -> int:
    """Print a table per dtype."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=int, nargs=2, default=[4864, 896], help="outputs and inputs")
    parser.add_argument("--layers", type=int, default=12, help="so that weights are read from memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument(
        "--int8-only", action="store_true", help="the int8 products, also with signed rows without AMX: slow"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    console = Console()
    console.print(f"{arguments.threads} threads; bfloat16 instructions: {native_bfloat16()}")
    outputs, inputs = arguments.features
    for dtype in () if arguments.int8_only else (torch.float32, torch.bfloat16):
        weights = [torch.randn(outputs, inputs).to(dtype) for _ in range(arguments.layers)]
        table = Table("rows", "linear", "(W xᵀ)ᵀ", "widened", "chosen", title=f"{dtype}, ms per layer")
        for count in arguments.rows:
            rows = torch.randn(count, inputs).to(dtype)
            with torch.no_grad():
                times = best_in_turns(
                    {name: (way, weights) for name, way in WAYS.items()}, rows, arguments.rounds
                )
            table.add_row(str(count), *(f"{times[way] / arguments.layers * 1e3:.2f}" for way in WAYS))
        console.print(table)
    console.print(
        int8_table(
            (outputs, inputs), arguments.layers, arguments.rounds, arguments.rows, signed=arguments.int8_only
        )
    )
    return 0


class _Prepared(_int8.Int8Weight):
    """Prepared weights with a product that is named."""

    def __init__(self, weight: _int8.QuantisedWeight, product: _int8.PreparedProduct) -> None:
        super().__init__(weight)
        self._prepared = self._prepared and product


def int8_table(
    features: tuple[int, int], layers: int, rounds: int, counts: Sequence[int], *, signed: bool
) -> Table:
    """The products of int8 rows with int8 weights, without what quantising the rows takes."""
    outputs, inputs = features
    quantised = [_int8.quantised_weight(torch.randn(outputs, inputs)) for _ in range(layers)]
    plain = [values for values, _ in quantised]
    ways: dict[str, tuple[Way, list[Any]]] = {
        "torch._int_mm": (_int8.integer_product, plain),
        "by float32": (_int8.widened_product, plain),
    }
    if _int8.prepared_product() is not None:  # else no form is exact here, and weights stay plain
        large = [_int8.Int8Weight(weight) for weight in quantised]
        _int8.use_large_pages(large)
        prepared = {"prepared": [_int8.Int8Weight(weight) for weight in quantised]}
        prepared["prepared, large pages"] = large
        for product in (_int8.unsigned_product, *((_int8.signed_product,) if signed else ())):
            name = product.__name__.replace("_product", " rows")
            prepared[name] = [_Prepared(one, product) for one in quantised]
        ways |= {name: (lambda rows, weight: weight.product(rows), held) for name, held in prepared.items()}
    with contextlib.suppress(ImportError):
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        library = [torch.nn.Linear(inputs, outputs, bias=False) for _ in range(layers)]
        for layer in library:
            quantize_(layer, Int8DynamicActivationInt8WeightConfig())
        ways["torchao, from float rows"] = (lambda rows, layer: layer(rows.float()), library)
    table = Table("rows", *ways, title="int8, ms per layer")
    for count in counts:
        rows, _ = _int8.quantised_rows(torch.randn(count, inputs))
        with torch.inference_mode():
            times = best_in_turns(ways, rows, rounds)
        table.add_row(str(count), *(f"{times[name] / layers * 1e3:.2f}" for name in ways))
    return table


def best_in_turns(
    ways: dict[str, tuple[Way, list[Any]]], rows: torch.Tensor, rounds: int
) -> dict[str, float]:
    """Seconds of each way over all layers: the best of several rounds, each of which runs all of them."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds + 1):
        for name, (way, weights) in ways.items():
            began = time.perf_counter()
            for weight in weights:
                way(rows, weight)
            best[name] = min(best[name], time.perf_counter() - began)
    return best


if __name__ == "__main__":
    sys.exit(main())
