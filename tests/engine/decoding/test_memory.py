"""How many tokens' keys and values there is memory for."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from latentseek_agents.engine._decoding.kv_cache import affordable_tokens

FREE = {"cuda:0": 64_000, "cuda:1": 40_000, "cuda:2": 4_000}


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (["cpu"], 80),
        (["mps"], 80),
        (["cuda:0"], 160),
        (["cuda:0", "cuda:1"], 100),
        (["cuda:2"], 80),
        (["cuda:0", "cpu"], 80),
    ],
)
def test_a_fixed_sum_and_on_gpus_a_share_of_the_fullest(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], expected: int
):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (FREE[str(device)], 10**12))
    layers = [SimpleNamespace(device=torch.device(name)) for name in devices]
    core = SimpleNamespace(parameters=lambda: layers)
    policy: Any = SimpleNamespace(core=core, bytes_per_cached_token=100)
    found = affordable_tokens(policy, most_bytes=8_000, most_tokens=1_000, gpu_share=0.25)
    assert found == expected
    assert affordable_tokens(policy, most_bytes=8_000, most_tokens=7, gpu_share=0.001) == 7
    assert affordable_tokens(policy, most_bytes=1, most_tokens=7, gpu_share=0.001) == 1
