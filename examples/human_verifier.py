"""A person as the verifier: the graph stops at each attempt, and goes on with what the person says of it.

    python examples/human_verifier.py

Type ``yes`` to accept an attempt, a score between -1 and 0, or what is wrong with it.
"""

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.graphs import create_refine_graph
from latentseek_agents.tools import HumanVerifier

QUESTION = "A pen costs 3 dollars. How much do 4 pens cost?"


def verdict_from(reply: str) -> Any:
    """What a person typed as a value that ``HumanVerifier`` takes; nothing at all cannot judge."""
    if reply.lower() in ("yes", "no"):
        return reply.lower() == "yes"
    try:
        return float(reply)
    except ValueError:
        return reply or {"passed": None}


if __name__ == "__main__":
    config = LatentSeekConfig.agreement(prompt="example")
    builder = create_refine_graph(Backbone.embedded(), verifier=HumanVerifier(), config=config)
    graph = builder.compile(InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    print(QUESTION)
    state: Any = graph.invoke({"question": QUESTION}, thread)
    while "__interrupt__" in state:
        print(f"model: {state['__interrupt__'][0].value['solution']}")
        state = graph.invoke(Command(resume=verdict_from(input("you: ").strip())), thread)
    print(f"answer: {state['answer']}, passed: {state['passed']}, attempts: {len(state['iterations'])}")
