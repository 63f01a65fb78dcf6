"""A person as the verifier: the graph stops at each attempt, and goes on with what the person says of it.

    python examples/human_verifier.py
    python examples/human_verifier.py --reply "a pen costs 3 dollars" --reply yes

Answer ``yes`` to accept, a score between -1 and 0, or a reason to refuse. A refusal moves the latents away
from what was written; the reason itself is kept for the record, the model does not read it.
"""

import argparse
import sys
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from small_model import settings

from latentseek_agents import Backbone
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.tools import HumanVerifier

QUESTION = "A pen costs 3 dollars. How much do 4 pens cost?"
CANNOT_JUDGE = {"passed": None}


def verdict_from(reply: str) -> Any:
    """What a person typed as a value that ``HumanVerifier`` takes."""
    said = reply.strip()
    if said.lower() in ("yes", "y", "no", "n"):
        return said.lower().startswith("y")
    try:
        return float(said)
    except ValueError:
        return said or CANNOT_JUDGE


def ask(replies: list[str]) -> Any:
    """The next scripted reply, or the person at the terminal; if there is none, nobody can judge."""
    if replies:
        print(f"you: {replies[0]}")
        return verdict_from(replies.pop(0))
    if sys.stdin.isatty():
        return verdict_from(input("you (yes, a score, or what is wrong): "))
    print("nobody is here to judge")
    return CANNOT_JUDGE


def main(arguments: list[str] | None = None) -> None:
    """Search until the person accepts, or the budget is spent."""
    parser = argparse.ArgumentParser(description="Judge the attempts yourself.")
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument(
        "--reply", action="append", default=[], help="say this in place of a person; repeatable"
    )
    options = parser.parse_args(arguments)
    config = settings(refine_unjudged=False)
    builder = create_refine_graph(Backbone.embedded(), verifier=HumanVerifier(), config=config)
    graph = builder.compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    print(options.question)
    state: Any = graph.invoke({"question": options.question}, thread)
    while "__interrupt__" in state:
        print(f"model: {state['__interrupt__'][0].value['solution']}")
        state = graph.invoke(Command(resume=ask(options.reply)), thread)
    verdict = {True: "accepted", False: "refused", None: "not judged"}[state["passed"]]
    print(
        f"answer: {state['answer']} ({verdict} after {len(state['iterations'])} attempts: {state['reason']})"
    )


if __name__ == "__main__":
    main()
