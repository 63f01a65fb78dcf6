"""Searches under way, kept beside a run's results: a killed process loses one iteration of each."""

import base64
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from latentseek_agents.evaluation.runs.folder import write_file
from latentseek_agents.evaluation.runs.records import Key
from latentseek_agents.result import SearchState
from latentseek_agents.verdict import Usage

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

    def save(self, state: SearchState, costs: Sequence[Usage]) -> None:
        """Save the search as it is, in place of what was saved before, all of it or nothing.

        If that fails (a full disk, say) the log says so, and the search goes on.

        Args:
            state: As :func:`latentseek_agents.loop.run` yields it.
            costs: Of each attempt so far.
        """
        latents = base64.b64encode(state["latents"]).decode()
        content = {**self.head, "state": {**state, "latents": latents}}
        content["costs"] = [cost.to_dict() for cost in costs]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self.path, json.dumps(content))
        except OSError as error:
            _log.warning("the search cannot be kept in %s: %s", self.path, error)
        if self.on_attempt is not None:
            self.on_attempt(len(costs))

    def load(self) -> tuple[SearchState, list[Usage]] | None:
        """What was saved; None if nothing was, or it is another search's."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if any(content[name] != value for name, value in self.head.items()):
                return None
            state = {**content["state"], "latents": base64.b64decode(content["state"]["latents"])}
            return cast("SearchState", state), [Usage.from_dict(cost) for cost in content["costs"]]
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("%s is not a saved search and begins anew: %r", self.path, error)
            return None

    def remove(self) -> None:
        """Remove the search, and what killed processes left half written of it."""
        self.path.unlink(missing_ok=True)
        for half in self.path.parent.glob(f"{self.path.stem}.*.partial"):
            half.unlink(missing_ok=True)
