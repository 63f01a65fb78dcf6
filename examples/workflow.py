"""A workflow that routes on the verdict: verified answers are handed in, the others go to a person.

python examples/workflow.py
"""

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from latentseek_agents import Backbone, LatentSeekNode

QUESTIONS = (
    "There are 5 red cups and 4 blue cups. How many cups are there?",
    "A bus ride takes 35 minutes. How many minutes does Nina ride if she takes 8 rides?",
)


class Homework(TypedDict):
    question: str  # the search reads it, and writes the next two
    answer: str
    passed: bool | None
    note: str


def hand_in(state: Homework) -> dict[str, str]:
    return {"note": f"handed in: {state['answer']}"}


def ask_a_person(state: Homework) -> dict[str, str]:
    return {"note": f"not verified, please look: {state['answer']}"}


def build(seek: LatentSeekNode) -> StateGraph[Homework]:
    builder = StateGraph(Homework).add_node("seek", seek).add_node(hand_in).add_node(ask_a_person)
    builder.add_edge(START, "seek")
    return builder.add_conditional_edges(
        "seek", lambda state: "hand_in" if state["passed"] else "ask_a_person"
    )


if __name__ == "__main__":
    for note in (
        build(LatentSeekNode(Backbone.embedded())).compile().batch([{"question": q} for q in QUESTIONS])
    ):
        print(f"{note['question']} → {note['note']}")
