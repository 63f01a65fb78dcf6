"""Outcomes as a run would have left them, written by hand."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentseek_agents.evaluation.runs.records import AttemptRecord, Key, Outcome

__all__ = ["attempt", "outcome", "write_run"]


def attempt(number: int, answer: str | None, right: bool | None, **values: Any) -> AttemptRecord:
    """An attempt that costs ten tokens and ten passes unless told otherwise."""
    given: dict[str, Any] = {"policy_tokens": 10, "policy_forward_passes": 10.0, "policy_seconds": 1.0}
    return AttemptRecord(attempt=number, answer=answer, right=right, **(given | values))


def outcome(
    method: str,
    problem: int,
    attempts: Sequence[AttemptRecord],
    chosen: int = 0,
    *,
    dataset: str = "sums",
    prompt: str = "boxed",
    stop_reason: str | None = None,
) -> Outcome:
    """A method's work on a problem whose answer is 4."""
    return Outcome(
        key=Key(dataset, prompt, method, problem),
        run="made-up",
        seed=0,
        reference="4",
        attempts=tuple(attempts),
        chosen=chosen,
        stop_reason=stop_reason,
        code="made-up",
    )


def write_run(folder: Path, outcomes: Iterable[Outcome], **settings: Any) -> Path:
    """A run's folder with these outcomes, as outcomes of that run."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"run": "made-up", "schema": 2, "model": "made-up-model", "config": {}} | settings
    (folder / "run.json").write_text(json.dumps(values), encoding="utf-8")
    lines = b"".join(replace(one, run=str(values["run"])).to_line() for one in outcomes)
    (folder / "attempts-0-of-1.jsonl").write_bytes(lines)
    return folder
