"""What PyTorch finds on this machine; ``python -m latentseek_agents.engine.machine`` prints it as JSON.

``latentseek doctor`` runs it as a process of its own: a PyTorch that is broken, or built for another
processor, ends that process and not the command.
"""

import contextlib
import json
import platform
import warnings
from typing import Any

__all__ = ["machine_facts", "processor_kind"]


def machine_facts() -> dict[str, Any]:
    """Versions, threads, number formats and GPUs, in plain values.

    Returns:
        ``torch`` and ``cuda`` (versions; ``cuda`` is None for a build without it), ``hip`` (the same for
        AMD's GPUs), ``threads``, ``fast_int8`` and ``native_bfloat16`` (whether the processor has
        instructions for them), ``gpus`` (dicts of ``name``, ``memory`` in bytes, ``free`` in bytes or None,
        and ``bfloat16``) and ``gpu_error`` (why there is none, "" where that is no error).

    Example:
        >>> facts = machine_facts()
        >>> isinstance(facts["fast_int8"], bool), facts["threads"] >= 1
        (True, True)
    """
    import torch

    from latentseek_agents.engine._cpu_kernels import native_bfloat16
    from latentseek_agents.engine._int8 import fast_int8

    gpus, error = _gpus()
    return {
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "threads": torch.get_num_threads(),
        "fast_int8": fast_int8(),
        "native_bfloat16": native_bfloat16(),
        "gpus": gpus,
        "gpu_error": error,
    }


def processor_kind(device: str) -> str:
    """What decides how results are rounded: the instructions of the CPU that are used, or the GPU's name.

    Args:
        device: Type of a model's device, for example ``"cpu"``.

    Example:
        >>> processor_kind("cpu").count(" with "), processor_kind("mps")
        (1, 'mps')
    """
    import torch

    from latentseek_agents.engine._cpu_kernels import native_bfloat16
    from latentseek_agents.engine._int8 import fast_int8

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    if device != "cpu":
        return device
    used = [torch.backends.cpu.get_cpu_capability()]
    used += ["int8"] if fast_int8() else []
    used += ["bfloat16"] if native_bfloat16() else []
    return f"{platform.machine()} with {', '.join(used)}"


def _gpus() -> tuple[list[dict[str, Any]], str]:
    import torch

    gpus: list[dict[str, Any]] = []
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = torch.cuda.is_available()
        if not found:
            return [], _first_line(said[0].message) if said else ""
        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            free = None
            with contextlib.suppress(RuntimeError):  # a GPU that another process has to itself
                free = torch.cuda.mem_get_info(number)[0]
            with torch.cuda.device(number):
                bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
            gpus.append(
                {"name": about.name, "memory": about.total_memory, "free": free, "bfloat16": bfloat16}
            )
    except Exception as error:  # drivers have errors of many kinds
        return gpus, _first_line(error)
    return gpus, ""


def _first_line(error: Exception | Warning | str) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


if __name__ == "__main__":
    print(json.dumps(machine_facts()))  # noqa: T201 - another process reads it
