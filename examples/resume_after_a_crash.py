"""A search that is killed in the middle, and goes on in another process at the attempt where it was.

pip install langgraph-checkpoint-sqlite
python examples/resume_after_a_crash.py
"""

import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.graphs import create_refine_graph

CONFIG = LatentSeekConfig.agreement(prompt="example")  # for a model this small; others do without
THREAD: Any = {"configurable": {"thread_id": "sum"}}


def search(database: str, dies_at: int | None = None) -> None:
    builder = create_refine_graph(Backbone.embedded(dtype="float32"), config=CONFIG)  # float32: the same bits
    with SqliteSaver.from_conn_string(database) as saver:
        graph = builder.compile(checkpointer=saver)
        given: Any = None if graph.get_state(THREAD).tasks else {"question": "What is 17 + 25?"}
        for event in graph.stream(given, THREAD, stream_mode="custom", durability="sync"):
            print(f"  attempt {event['iteration']}: {event['answer']}, {event['reason']}", flush=True)
            if event["iteration"] == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)  # as a power cut would
        print(f"  answer: {graph.get_state(THREAD).values['answer']}")


if len(sys.argv) > 1:
    sys.exit(search(sys.argv[1], dies_at=1))  # where it ends before it can be killed
database = f"{tempfile.mkdtemp()}/searches.sqlite"
subprocess.run([sys.executable, __file__, database], check=False)  # noqa: S603
print("that process was killed; this one goes on:", flush=True)
search(database)
