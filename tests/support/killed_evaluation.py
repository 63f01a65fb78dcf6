"""An evaluation that is killed again and again: ``python -m tests.support.killed_evaluation FOLDER SEED...``.

Each seed is one process, which kills itself with SIGKILL once it has got somewhere; a last one ends the run.
A line of JSON tells how each of them ended, and what it left behind.
"""

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latentseek_agents import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.evaluation.runs import folder as folder_module
from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.problems import Problem
from tests.support.answering_backbone import ANSWERS, AnsweringBackbone
from tests.support.evaluations import evaluate

__all__ = ["CONFIG", "METHODS", "PROBLEMS", "run_to_its_end"]

CONFIG = LatentSeekConfig(
    latents="consistent", max_new_tokens=10, max_iterations=6, fraction=0.5, learning_rate=0.3, seed=1
)
_BOXES = ("red", "blue", "green", "black", "white", "round", "flat", "old", "new")
PROBLEMS = [
    Problem("boxes", number, f"There are 3 in the {box} box, and some come. How many then?", answer)
    for number, (box, answer) in enumerate(zip(_BOXES, ANSWERS * 3, strict=True))
]
# Searches and samples by turns, so that kills hit both.
METHODS = ("psrm", "cot", "sc:5", "steps", "bon:3:steps", "walk:psrm")


def run_to_its_end(backbone: Backbone, folder: str | Path, **hooks: Any) -> None:
    """All methods on all problems, as far as the folder does not hold them yet."""
    settings: dict[str, Any] = {"config": CONFIG, "temperature": 1.5, "batch": 4}
    evaluate(backbone, PROBLEMS, methods=METHODS, out=folder, **settings, **hooks)


class _Death:
    """Comes after some outcomes and kept searches: at once, a little later, or in the middle of a line."""

    def __init__(self, dice: random.Random) -> None:
        self.left = dice.randint(4, 10)
        self.kind = dice.choice(["at once", "later", "within a line"])
        self.delay = dice.uniform(0.0, 0.02)
        self.written = dice.random()
        self._lock = threading.Lock()

    def progress(self, *_: object) -> None:
        with self._lock:
            self.left -= 1
            if self.left:
                return
        if self.kind == "at once":
            _die()
        if self.kind == "later":
            threading.Timer(self.delay, _die).start()

    def write(self, file: Any, content: bytes) -> None:
        """In place of the writing of an outcome."""
        if self.kind == "within a line" and self.left <= 0:
            os.write(file.fileno(), content[: int(len(content) * self.written)])
            _die()
        os.write(file.fileno(), content)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _left_behind(folder: Path) -> dict[str, int]:
    """Outcomes, searches under way, and the attempts in both."""
    outcomes = read_outcomes(folder) if (folder / "run.json").exists() else []
    done = {outcome.key for outcome in outcomes}
    kept = [json.loads(file.read_text()) for file in folder.glob("unfinished/*.json")]
    under_way = [search for search in kept if tuple(search["key"]) not in done]
    attempts = sum(len(outcome.attempts) for outcome in outcomes)
    return {
        "outcomes": len(outcomes),
        "under way": len(under_way),
        "attempts": attempts + sum(len(search["costs"]) for search in under_way),
    }


def _main(folder: str, seeds: Sequence[str]) -> None:
    backbone = AnsweringBackbone()
    for seed in (*seeds, None):
        child = os.fork()  # of a process that has decoded nothing yet: torch is imported once
        if child == 0:
            hooks: dict[str, Any] = {}
            if seed is not None:
                death = _Death(random.Random(seed))  # noqa: S311 - no secret
                folder_module._write_whole = death.write
                hooks = {"on_outcome": death.progress, "on_attempt": death.progress}
            run_to_its_end(backbone, folder, **hooks)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": code, **_left_behind(Path(folder))}), flush=True)  # noqa: T201 - its purpose


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
