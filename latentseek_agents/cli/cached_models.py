"""What ``latentseek doctor`` says of models that are on this machine already."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latentseek_agents.cli.findings import GIGABYTE, Finding
from latentseek_agents.engine.local_files import cache_folder
from latentseek_agents.evaluation.text import one_line

_SHOWN = 4
_LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


@dataclass(frozen=True)
class CachedModel:
    """A model in the cache of the Hugging Face Hub.

    Args:
        name: Its name on the Hub.
        size: Bytes on the disk.
        writes: Whether it is a language model that writes text, by its configuration or its GGUF files.
        complete: Whether its download has ended.
    """

    name: str
    size: int
    writes: bool
    complete: bool


def hub_folder() -> Path:
    """Where huggingface_hub keeps what it has downloaded."""
    common = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get("HF_HOME") or common / "huggingface").expanduser()
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(named).expanduser() if named else home / "hub"


def cached_models(folder: Path) -> list[CachedModel]:
    """The models in a folder of that kind, the largest first."""
    found = []
    for repository in sorted(_folders(folder)):
        if repository.name.startswith("models--"):
            blobs = list(_files(repository / "blobs"))
            found.append(
                CachedModel(
                    name=repository.name.removeprefix("models--").replace("--", "/"),
                    size=sum(size for _, size in blobs),
                    writes=_writes(repository / "snapshots"),
                    complete=not any(file.name.endswith(".incomplete") for file, _ in blobs),
                )
            )
    return sorted(found, key=lambda model: -model.size)


def downloaded_bytes(name: str) -> int:
    """How much of a model of the Hub is on the disk, whole or not; 0 where there is no such model."""
    repository = hub_folder() / f"models--{name.replace('/', '--')}"
    return sum(size for _, size in _files(repository / "blobs"))


def models_finding() -> Finding:
    """Language models that ``--model`` takes without a download."""
    folder = hub_folder()
    models = [model for model in cached_models(folder) if model.writes or not model.complete]
    offline = " HF_HUB_OFFLINE is set: nothing is downloaded." if _is_set("HF_HUB_OFFLINE") else ""
    where = f"in {_shown(folder)}{_free(folder)}.{offline}"
    if not models:
        example = 'latentseek solve --model Qwen/Qwen2.5-1.5B-Instruct "What is 17 * 23?"'
        return Finding("models", "ok", f"no language model {where}", f"{example} downloads one (3.1 GB)")
    names = ", ".join(f"{one_line(model.name, 60)} {_size(model.size)}" for model in models[:_SHOWN])
    more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    broken = [one_line(model.name, 60) for model in models if not model.complete]
    if broken:
        return Finding(
            "models",
            "note",
            f"{names}{more} {where} Not downloaded to the end: {', '.join(broken)}",
            f"hf download {broken[0]}",
        )
    return Finding("models", "ok", f"{names}{more} {where}")


def converted_finding() -> Finding:
    """Weights of GGUF files that were converted once."""
    folder = cache_folder() / "gguf"
    entries = list(_folders(folder))
    unfinished = [entry for entry in entries if entry.name.startswith(".")]
    size = sum(size for entry in entries for _, size in _files(entry))
    if not entries:
        return Finding("GGUF cache", "ok", f"empty ({_shown(folder)}); what is converted once is kept there")
    count = len(entries) - len(unfinished)
    text = f"{count} converted model{'s' * (count != 1)}, {_size(size)} in {_shown(folder)}"
    if unfinished:
        # A conversion that is running now looks the same.
        left = " ".join(f"'{entry}'" for entry in unfinished)
        return Finding(
            "GGUF cache",
            "note",
            f"{text}; {len(unfinished)} left behind by a process that was killed, or being made now",
            f"if none is being made: rm -r {left}",
        )
    return Finding("GGUF cache", "ok", f"{text}; may be deleted at any time")


def _writes(snapshots: Path) -> bool:
    for snapshot in _folders(snapshots):
        if any(snapshot.glob("*.gguf")):
            return True
        try:
            config = json.loads((snapshot / "config.json").read_text(encoding="utf-8"))
            named = config.get("architectures") or ()
        except (OSError, ValueError, AttributeError):
            continue
        if any(str(name).endswith(_LANGUAGE_MODELS) for name in named):
            return True
    return False


def _folders(folder: Path) -> Iterator[Path]:
    try:
        yield from (entry for entry in folder.iterdir() if entry.is_dir())
    except OSError:
        return


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """The files below a folder with their sizes; links are not followed."""
    for place, _, names in os.walk(folder):
        for name in names:
            file = Path(place, name)
            try:
                yield file, file.lstat().st_size
            except OSError:  # gone in the meantime
                continue


def _free(folder: Path) -> str:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f" ({shutil.disk_usage(folder).free / GIGABYTE:.0f} GB free)"
    except OSError:
        return ""


def _size(count: int) -> str:
    return f"{count / GIGABYTE:.1f} GB" if count >= GIGABYTE / 10 else f"{count / 10**6:.0f} MB"


def _shown(folder: Path) -> str:
    home = str(Path.home())
    text = str(folder)
    return one_line("~" + text.removeprefix(home) if text.startswith(f"{home}/") else text)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
