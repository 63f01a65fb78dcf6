"""Time of a linear layer by number of rows, in the ways that ``engine/_cpu_kernels.py`` chooses from.

    python benchmarks/linear.py --features 4864 896

Prints milliseconds, the best of several rounds in turns; the limits in that module come from these tables.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from latentseek_agents.engine._cpu_kernels import fast_product, native_bfloat16

Way = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
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
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    console = Console()
    console.print(f"{arguments.threads} threads; bfloat16 instructions: {native_bfloat16()}")
    outputs, inputs = arguments.features
    for dtype in (torch.float32, torch.bfloat16):
        weights = [torch.randn(outputs, inputs).to(dtype) for _ in range(arguments.layers)]
        table = Table("rows", "linear", "(W xᵀ)ᵀ", "widened", "chosen", title=f"{dtype}, ms per layer")
        for count in ROWS:
            rows = torch.randn(count, inputs).to(dtype)
            with torch.no_grad():
                times = best_in_turns(WAYS, rows, weights, arguments.rounds)
            table.add_row(str(count), *(f"{times[way] / arguments.layers * 1e3:.2f}" for way in WAYS))
        console.print(table)
    return 0


def best_in_turns(
    ways: dict[str, Way], rows: torch.Tensor, weights: list[torch.Tensor], rounds: int
) -> dict[str, float]:
    """Seconds of each way over all layers: the best of several rounds, each of which runs all of them."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            for weight in weights:
                way(rows, weight)
            best[name] = min(best[name], time.perf_counter() - began)
    return best


if __name__ == "__main__":
    sys.exit(main())
