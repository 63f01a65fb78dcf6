"""A workflow that routes on the verdict: verified answers are handed in, the others go to a person.

python examples/workflow.py
"""

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from latentseek_agents import Backbone, LatentSeekConfig, LatentSeekNode

QUESTIONS = ("What is 17 + 25?", "How many minutes are 8 rides of 35 minutes?")


class Homework(TypedDict):
    question: str  # the search reads it, and writes the next two
    answer: str
    passed: bool | None
    note: str


def route(state: Homework) -> str:
    return "hand_in" if state["passed"] else "ask_a_person"


def hand_in(state: Homework) -> dict[str, str]:
    return {"note": f"handed in: {state['answer']}"}


def ask_a_person(state: Homework) -> dict[str, str]:
    return {"note": f"not verified, please look: {state['answer']}"}


if __name__ == "__main__":
    seek = LatentSeekNode(Backbone.embedded(), config=LatentSeekConfig.agreement(prompt="example"))
    builder = StateGraph(Homework).add_node("seek", seek)
    builder.add_node(hand_in).add_node(ask_a_person)
    builder.add_edge(START, "seek").add_conditional_edges("seek", route, ["hand_in", "ask_a_person"])
    graph = builder.compile()
    for state in graph.batch([{"question": question} for question in QUESTIONS]):
        print(f"{state['question']} → {state['note']}")
