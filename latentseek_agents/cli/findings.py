"""What ``latentseek doctor`` says of Python, PyTorch, processor, GPU and memory, and what it means here."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from latentseek_agents.evaluation.text import one_line

Facts = Mapping[str, Any]
"""What ``latentseek_agents.engine.machine`` prints; ``{"error": why}`` where PyTorch does not run."""

GIGABYTE = 10**9
_BYTES_PER_PARAMETER = 2  # in bfloat16; int8 weights take half of it, but pass through bfloat16
_SHARE_FOR_WEIGHTS = 0.8  # the rest is for keys, values and the program itself
_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX bf16",
    "asimd": "NEON",
    "asimddp": "dot products",
    "i8mm": "I8MM",
    "bf16": "BF16",
    "sve": "SVE",
}
"""Flags of Linux's ``/proc/cpuinfo`` that decide how fast a model runs, and what people call them."""


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Args:
        subject: What was looked at.
        state: ``"ok"``; ``"note"``: it works, and could be better; ``"missing"``: something does not work.
        text: What is there, and what follows from it.
        remedy: What to do; "" where there is nothing to do.
    """

    subject: str
    state: Literal["ok", "note", "missing"]
    text: str
    remedy: str = ""


def python_finding() -> Finding:
    """The interpreter."""
    return Finding("Python", "ok", f"{platform.python_version()} at {one_line(sys.executable)}")


def torch_finding(facts: Facts) -> Finding:
    """Whether PyTorch can be loaded at all."""
    if "error" in facts:
        return Finding(
            "PyTorch",
            "missing",
            f"cannot be loaded: {one_line(facts['error'], 300)}",
            "install it anew: pip install --force-reinstall torch (on Linux without a GPU with "
            "--index-url https://download.pytorch.org/whl/cpu)",
        )
    built = f"for CUDA {facts['cuda']}" if facts["cuda"] else "for ROCm" if facts["hip"] else "for processors"
    return Finding("PyTorch", "ok", f"{facts['torch']}, built {built}")


def processor_finding(
    facts: Facts, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> Finding:
    """The processor: its name, its cores, and the instructions that matter.

    Args:
        facts: Of PyTorch, if it runs.
        proc: Where Linux describes processes and processors.
        cgroup: Where it describes the limits of a container.
    """
    name, flags = _processor(proc)
    cores = usable_cores(cgroup)
    known = [shown for flag, shown in _INSTRUCTIONS.items() if flag in flags]
    text = f"{name}, {cores} core{'s' * (cores != 1)}" + (f": {', '.join(known)}" if known else "")
    threads = facts.get("threads", 0)
    if threads > cores:
        return Finding(
            "processor",
            "note",
            f"{text}. PyTorch takes {threads} threads for them, which slows it down",
            f"export OMP_NUM_THREADS={cores}",
        )
    if flags and platform.machine() in ("x86_64", "AMD64") and "avx2" not in flags:
        return Finding(
            "processor", "note", f"{text}. Without AVX2 every model is slow", "use another machine"
        )
    return Finding("processor", "ok", text)


def format_finding(facts: Facts) -> Finding:
    """In which number format models are loaded here, and why."""
    if "error" in facts:
        return Finding("int8", "note", "not known, since PyTorch does not run")
    if facts["gpus"]:
        chosen = "bfloat16" if facts["gpus"][0]["bfloat16"] else "float32"
        own = "fast" if facts["fast_int8"] else "slow"
        return Finding(
            "int8",
            "ok",
            f"not used: models are loaded on the GPU in {chosen}; "
            f"on the processor (--device cpu) int8 is {own}",
        )
    plain = "bfloat16" if facts["native_bfloat16"] else "float32"
    if facts["fast_int8"]:
        return Finding(
            "int8",
            "ok",
            f'fast here: solve, demo and the server choose it; Python takes {plain} unless dtype="int8"',
        )
    return Finding(
        "int8",
        "ok",
        f"this processor has no instructions for it (VNNI, AMX): models are loaded in {plain}; "
        "--dtype int8 saves memory, but no time",
    )


def gpu_finding(facts: Facts, driver: Path = Path("/proc/driver/nvidia")) -> Finding:
    """The GPUs that PyTorch can use; where it finds none in spite of a driver, why that may be.

    Args:
        facts: Of PyTorch, if it runs.
        driver: Exists where NVIDIA's driver is loaded.
    """
    if gpus := facts.get("gpus"):
        shown = [_gpu(gpu) for gpu in gpus]
        largest = max(gpu["memory"] if gpu["free"] is None else gpu["free"] for gpu in gpus)
        return Finding("GPU", "ok", f"{'; '.join(shown)}. Room for models of up to {_billions(largest)}")
    if error := facts.get("gpu_error"):
        return Finding(
            "GPU",
            "note",
            f"PyTorch cannot use one: {one_line(error, 300)}",
            "compare the CUDA version that nvidia-smi shows with that of PyTorch; a newer driver may help",
        )
    if driver.exists() and "error" not in facts:
        if facts["cuda"] is None:
            return Finding(
                "GPU",
                "note",
                "NVIDIA's driver is loaded, but this PyTorch is built for processors alone",
                "install a CUDA build: https://pytorch.org/get-started/locally",
            )
        return Finding(
            "GPU",
            "note",
            "NVIDIA's driver is loaded, but PyTorch finds no GPU",
            "look at nvidia-smi, and at CUDA_VISIBLE_DEVICES",
        )
    return Finding("GPU", "ok", "none found: models run on the processor")


def memory_finding(
    facts: Facts, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> Finding:
    """The memory that models on the processor can have.

    Args:
        facts: Of PyTorch, if it runs.
        proc: As for :func:`processor_finding`.
        cgroup: As for :func:`processor_finding`.
    """
    total, available = _memory(proc, cgroup)
    if total is None:
        return Finding("memory", "note", "its size is not known on this system")
    free = total if available is None else available
    text = f"{free / GIGABYTE:.1f} of {total / GIGABYTE:.1f} GB available"
    room = f"room for models of up to {_billions(free)}" + (", on the processor" if facts.get("gpus") else "")
    if free < GIGABYTE:
        return Finding(
            "memory", "note", f"{text}: {room}", "close other programs; the embedded model needs 1 GB"
        )
    return Finding("memory", "ok", f"{text}: {room}")


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may use; a container may allow fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no limit is "max"
        return cores


def _processor(proc: Path) -> tuple[str, frozenset[str]]:
    """Its name and its flags; no flags where the system does not tell them."""
    names = {"model name": "", "flags": "", "Features": ""}
    try:
        for line in (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in names and not names[key.strip()]:
                names[key.strip()] = value.strip()
    except OSError:
        pass
    name = names["model name"] or platform.processor() or platform.machine() or "unknown"
    return one_line(name, 60), frozenset((names["flags"] or names["Features"]).split())


def _memory(proc: Path, cgroup: Path) -> tuple[int | None, int | None]:
    """Total and available bytes, within the limit of a container."""
    total = available = None
    values = _numbers(proc / "meminfo")
    if "MemTotal:" in values:
        total = values["MemTotal:"] * 1024
        available = values.get("MemAvailable:", values["MemTotal:"]) * 1024
    else:
        names: Sequence[str] = list(getattr(os, "sysconf_names", ()))
        if "SC_PHYS_PAGES" in names:
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no limit is "max"
        return total, available
    # Files in the page cache give way.
    left = limit - used + _numbers(cgroup / "memory.stat").get("inactive_file", 0)
    return min(total or limit, limit), max(0, min(available or left, left))


def _numbers(file: Path) -> dict[str, int]:
    """A file with a name and a number in each line."""
    values = {}
    try:
        for line in file.read_text(encoding="ascii", errors="replace").splitlines():
            name, *rest = line.split()
            if rest and rest[0].isdigit():
                values[name] = int(rest[0])
    except (OSError, ValueError):
        pass
    return values


def _gpu(gpu: Mapping[str, Any]) -> str:
    total = f"{gpu['memory'] / GIGABYTE:.0f} GB"
    free = "" if gpu["free"] is None else f"{gpu['free'] / GIGABYTE:.0f} of "
    return f"{one_line(gpu['name'], 60)}, {free}{total}{' free' if free else ''}"


def _billions(memory: float) -> str:
    """How large a model fits, in words.

    Example:
        >>> _billions(20 * GIGABYTE), _billions(0.5 * GIGABYTE)
        ('about 8B parameters (4B in float32)', 'about 0.2B parameters (0.1B in float32)')
    """
    size = memory * _SHARE_FOR_WEIGHTS / _BYTES_PER_PARAMETER / GIGABYTE
    shown, wide = (f"{part:.0f}" if part >= 1 else f"{part:.1f}" for part in (size, size / 2))
    return f"about {shown}B parameters ({wide}B in float32)"
