"""Where this package keeps what it would otherwise have to make again."""

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """``LATENTSEEK_CACHE``, or ``latentseek-agents`` in the user's cache; it may not exist yet."""
    common = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("LATENTSEEK_CACHE") or common / "latentseek-agents")
