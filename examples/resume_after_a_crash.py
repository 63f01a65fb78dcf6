"""A search that dies in the middle, and goes on in another process at the iteration where it was.

    pip install langgraph-checkpoint-sqlite
    python examples/resume_after_a_crash.py

The program starts itself once more, as a process that searches, with checkpoints in an SQLite file. That
process kills itself while the third attempt is judged. Then this one takes over the thread: nothing that
was finished is done again.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from small_model import settings

from latentseek_agents import Backbone, Verdict
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.tools import StepVerifier

QUESTION = "Sam has 4 boxes with 6 pens each and gives 5 pens away. How many pens are left?"
THREAD: Any = {"configurable": {"thread_id": "pens"}}


class PowerCut:
    """A verifier in a process that is killed when it is asked for the third time."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Judge, or die without a chance to tidy up."""
        self.asked += 1
        if self.asked == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return StepVerifier()(question, solution, reference=reference)


def search(database: str, verifier: Any) -> None:
    """Start the search, or go on with it if the database holds an unfinished one."""
    # In float32 both processes compute the same, whatever the machine prefers.
    backbone = Backbone.embedded(dtype="float32")
    builder = create_refine_graph(backbone, verifier=verifier, config=settings())
    with SqliteSaver.from_conn_string(database) as saver:
        graph = builder.compile(checkpointer=saver)
        unfinished = graph.get_state(THREAD)
        if unfinished.next:
            done = len(unfinished.values["iterations"])
            print(f"  {done} attempts are in the database; next: {unfinished.next[0]}", flush=True)
        given: Any = None if unfinished.next else {"question": QUESTION}
        for event in graph.stream(given, THREAD, stream_mode="custom", durability="sync"):
            print(f"  iteration {event['iteration']}: {event['score']:.2f} {event['reason']}", flush=True)
        if not graph.get_state(THREAD).next:
            print(f"  answer: {graph.get_state(THREAD).values['answer']}")


def main(arguments: list[str] | None = None) -> None:
    """Search in a process that dies, and go on in this one."""
    given = sys.argv[1:] if arguments is None else arguments
    if given:
        search(given[0], PowerCut())
        return
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "searches.sqlite"))
        print("a process searches:", flush=True)
        child = subprocess.run([sys.executable, __file__, database], check=False)  # noqa: S603
        print(f"it ended with status {child.returncode}; another goes on:", flush=True)
        search(database, StepVerifier())


if __name__ == "__main__":
    main()
