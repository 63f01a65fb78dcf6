"""Kill a checkpointed search at random moments, resume it, and compare it with an undisturbed one.

Run as a program; it prints one JSON line. Each search runs in a forked child, so that torch is imported once.
"""

import hashlib
import json
import logging
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from latentseek_agents import LatentSeekConfig, LatentSeekNode, Verdict
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.testing import tiny_backbone

THREAD: Any = {"configurable": {"thread_id": "1"}}
QUESTION = {"question": "How many legs have three cats?"}
BASE = LatentSeekConfig(max_new_tokens=24, fraction=0.4, max_iterations=5, learning_rate=0.3)
VARIANTS = {
    "independent": BASE,
    "consistent": BASE.replace(latents="consistent", fraction=1.0),
    "recurrent": BASE.replace(max_iterations=3),
    "recurrent, consistent": BASE.replace(latents="consistent", fraction=1.0, max_iterations=3),
    "sampled": BASE.replace(num_samples=2, temperature=1.0, continuation_temperature=0.7, max_iterations=3),
    "agreement": LatentSeekConfig.agreement(
        proposals="latents", max_new_tokens=24, learning_rate=0.3, max_iterations=4
    ),
    "samples": LatentSeekConfig.agreement(
        max_new_tokens=24, proposals="samples", num_samples=2, max_iterations=3
    ),
}


def score_by_text(question: str, solution: str, *, reference: str | None = None) -> Verdict:
    """A verdict that follows from the text alone, taken slowly, so that kills hit every node."""
    time.sleep(0.01)
    digest = hashlib.sha256(solution.encode()).digest()
    # Random models state no answers: what their programs print is what they vote for.
    return Verdict(
        -0.3 - 0.7 * digest[0] / 255, False, f"digest {digest[0]}", computed_answer=str(digest[1] % 3)
    )


class UserState(TypedDict):
    """The state of the graph that the node is dropped into."""

    question: str
    answer: str
    result: dict[str, Any]


def build(variant: str, *, as_node: bool) -> Any:
    """The refine graph itself, or a user's graph that holds it as a node."""
    backbone = BACKBONES[variant.startswith("recurrent")]
    if not as_node:
        return create_refine_graph(backbone, verifier=score_by_text, config=VARIANTS[variant])
    node = LatentSeekNode(backbone, verifier=score_by_text, config=VARIANTS[variant], result_key="result")
    return StateGraph(UserState).add_node("seek", node).add_edge(START, "seek")


def search(variant: str, *, as_node: bool, database: Path, report: Path) -> None:
    """Start or resume the search, and write down what came out and what was logged."""
    logged: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    warnings.simplefilter("error")
    connection = sqlite3.connect(database, check_same_thread=False)
    graph = build(variant, as_node=as_node).compile(checkpointer=SqliteSaver(connection))
    pending = graph.get_state(THREAD).tasks
    resumed = bool(pending)
    graph.invoke(None if resumed else QUESTION, THREAD, durability="sync")
    values = graph.get_state(THREAD).values
    result = values["result"] if as_node else values
    # Streams and snapshots do not show the latents, and they are cleared at the end; checkpoints have them.
    stored = [checkpoint.checkpoint["channel_values"] for checkpoint in graph.checkpointer.list(THREAD)]
    # Each once: a node that was killed between its last step and its end runs its search again.
    latents = list(dict.fromkeys(values["latents"] for values in stored if values.get("latents")))
    if not latents and VARIANTS[variant].proposals == "latents":
        raise SystemExit("no checkpoint holds latents")
    report.write_text(
        json.dumps(
            {
                "answer": values["answer"],
                "text": result["text"],
                "iterations": result["iterations"],
                "votes": result["votes"],
                "latents": [hashlib.sha256(data).hexdigest() for data in latents],
                "stop_reason": result["stop_reason"],
                "logged": logged,
                "resumed": resumed,
            }
        )
    )


def forked(*args: Any, kill_after: float | None = None, **kwargs: Any) -> float:
    """Run :func:`search` in a child; kill it after some seconds if asked to. Returns the time it had."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            search(*args, **kwargs)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if kill_after is None and status != 0:
        raise SystemExit(f"the search failed with status {status}")
    return time.monotonic() - began


def main(trials: int) -> None:
    """Kill ``trials`` searches and print what happened."""
    chance = random.Random(20)  # noqa: S311
    outcome: dict[str, Any] = {"trials": 0, "resumed": 0, "different": [], "logged": []}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        cases = [(variant, False) for variant in VARIANTS]
        cases += [("independent", True), ("agreement", True), ("samples", True)]
        expected = {}
        for number, (variant, as_node) in enumerate(cases):
            options: dict[str, Any] = {"as_node": as_node, "report": report}
            seconds = forked(variant, database=Path(folder) / f"whole{number}.sqlite", **options)
            expected[variant, as_node] = seconds, json.loads(report.read_text())
        for trial in range(trials):
            variant, as_node = cases[trial % len(cases)]
            options = {"as_node": as_node, "report": report, "database": Path(folder) / f"{trial}.sqlite"}
            seconds, whole = expected[variant, as_node]
            report.unlink(missing_ok=True)
            forked(variant, kill_after=chance.uniform(0.1, 1.0) * seconds, **options)
            forked(variant, **options)
            got = json.loads(report.read_text())
            outcome["trials"] += 1
            outcome["resumed"] += got.pop("resumed")
            outcome["logged"] += got["logged"] + whole["logged"]
            if got != {key: value for key, value in whole.items() if key != "resumed"}:
                outcome["different"].append({"trial": trial, "variant": variant, "as_node": as_node})
    print(json.dumps(outcome))  # noqa: T201


if __name__ == "__main__":
    # One thread: a forked child of a process with a thread pool may wait for threads it does not have.
    torch.set_num_threads(1)
    BACKBONES = tiny_backbone(), tiny_backbone("qwen3_5_text")
    main(int(sys.argv[1]))
