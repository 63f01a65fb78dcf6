"""Searches under way, kept beside a run's results: a killed process loses one iteration of each."""

import base64
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from latentseek_agents.evaluation.records import Key
from latentseek_agents.verdict import Usage

__all__ = ["UnfinishedSearch", "UnfinishedSearches"]

_log = logging.getLogger(__name__)


class UnfinishedSearches:
    """The folder with one file per search under way.

    Args:
        folder: Made when the first search is kept.
        run: Fingerprint of the run's settings; searches of others are not gone on with.
        on_attempt: Called with a search's key and how many attempts it has made, from whichever thread.
    """

    def __init__(
        self, folder: str | Path, run: str, on_attempt: Callable[[Key, int], None] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.run = run
        self.on_attempt = on_attempt

    def of(self, key: Key, digest: str) -> "UnfinishedSearch":
        """The place of one search.

        Args:
            key: Data, prompt, method, problem.
            digest: Of the problem, so that another of the same number is not taken for it.
        """
        name = hashlib.blake2b(json.dumps(key).encode(), digest_size=16).hexdigest()
        return UnfinishedSearch(
            self.folder / f"{name}.json",
            {"run": self.run, "key": [*key], "digest": digest},
            None if self.on_attempt is None else partial(self.on_attempt, key),
        )


@dataclass(frozen=True)
class UnfinishedSearch:
    """Where one search is kept after each iteration.

    Args:
        path: Its file.
        head: What must be the same for the search to go on.
        on_attempt: Called with how many attempts it has made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = UnfinishedSearches(folder, "run").of(Key("made up", "boxed", "psrm", 0), "digest")
        ...     kept.save({"latents": b"latents", "iterations": []}, [Usage(policy_tokens=3)])
        ...     state, costs = kept.load()
        ...     kept.remove()
        ...     state["latents"], costs[0].policy_tokens, kept.load()
        (b'latents', 3, None)
    """

    path: Path
    head: Mapping[str, Any]
    on_attempt: Callable[[int], None] | None = None

    def save(self, state: Mapping[str, Any], costs: Sequence[Usage]) -> None:
        """Keep the search as it is; what was kept of it before is replaced, whole or not at all.

        Where that fails (a full disk, say) the log says so, and the search goes on.

        Args:
            state: As ``loop.run`` yields it: plain values, and the latents as bytes.
            costs: Of each attempt so far.
        """
        plain = {**state, "latents": base64.b64encode(state["latents"]).decode()}
        content = {**self.head, "state": plain, "costs": [cost.to_dict() for cost in costs]}
        # Processes whose shards overlap may work on the same search: each writes a file of its own.
        half = self.path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            half.write_text(json.dumps(content), encoding="utf-8")
            os.replace(half, self.path)
        except OSError as error:
            _log.warning("the search cannot be kept in %s: %s", self.path, error)
        if self.on_attempt is not None:
            self.on_attempt(len(costs))

    def load(self) -> tuple[dict[str, Any], list[Usage]] | None:
        """What was kept; None if nothing was, or it is another search's."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if any(found[name] != value for name, value in self.head.items()):
                return None
            state = {**found["state"], "latents": base64.b64decode(found["state"]["latents"])}
            return state, [Usage.from_dict(cost) for cost in found["costs"]]
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("%s is no search of ours and begins anew: %r", self.path, error)
            return None

    def remove(self) -> None:
        """The search has ended; what killed processes left half written goes, too."""
        self.path.unlink(missing_ok=True)
        for half in self.path.parent.glob(f"{self.path.stem}.*.partial"):
            half.unlink(missing_ok=True)
