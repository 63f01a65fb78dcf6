"""What it costs to know that a model still has the weights that kept keys and values were computed with.

    python benchmarks/weights.py                              # the embedded model
    python benchmarks/weights.py Qwen/Qwen2.5-1.5B-Instruct --lora

A decode call looks at all weights once, and each pass twice at their addresses and versions. Prints the
milliseconds of the processor for both, the median of several runs, and beside them those of a pass that
writes one token. Other work on the machine changes these figures less than those of a clock.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from latentseek_agents import Backbone
from latentseek_agents.engine._weights import WeightsWatch


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help="a name or a folder; by default the embedded model")
    parser.add_argument("--lora", action="store_true", help="with a PEFT adapter in all linear layers")
    parser.add_argument("--runs", type=int, default=50)
    arguments = parser.parse_args()
    backbone = (
        Backbone.from_pretrained(arguments.model, dtype="float32", device="cpu")
        if arguments.model
        else Backbone.embedded(dtype="float32")
    )
    model = with_adapter(backbone.model) if arguments.lora else backbone.model
    watch = WeightsWatch(model, backbone.policy.core)
    cache = backbone.policy.new_cache()
    backbone.policy.layers(torch.tensor([[1] * 100]), cache)

    def one_token() -> None:
        backbone.policy.layers(torch.tensor([[1]]), cache.fork())

    table = Table("what", "ms", title=f"{backbone.name}, {len(list(model.modules()))} modules")
    for name, action in (
        ("all weights, once a decode call", watch.look),
        ("addresses and versions, twice a pass", watch.running),
        ("a pass with one token", one_token),
    ):
        table.add_row(name, f"{median_milliseconds(action, arguments.runs):.3f}")
    Console().print(table)
    return 0


def median_milliseconds(action: Callable[[], Any], runs: int) -> float:
    """The median time of the processor for an action, after one run that does not count."""
    action()
    times = []
    for _ in range(runs):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


def with_adapter(model: Any) -> Any:
    """The model with an adapter; needs the package peft."""
    import peft

    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")
    return peft.get_peft_model(model, config).eval()


if __name__ == "__main__":
    sys.exit(main())
