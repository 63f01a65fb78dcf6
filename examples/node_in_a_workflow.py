"""A latent search inside your own LangGraph workflow, which routes on whether the answer was verified.

    python examples/node_in_a_workflow.py

One question is solved and handed in. On the other the budget runs out, and it goes to a person.
"""

from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from small_model import settings
from typing_extensions import TypedDict

from latentseek_agents import Backbone, LatentSeekNode
from latentseek_agents.tools import StepVerifier

QUESTIONS = (
    "There are 5 red cups and 4 blue cups. How many cups are there?",
    "Tom has 3 boxes of 12 pencils. He gives 9 pencils away. How many pencils does he have now?",
)


class Homework(TypedDict):
    """The workflow's own state: the node reads ``question`` and writes ``answer`` and ``passed``."""

    question: str
    answer: str
    passed: bool | None
    note: str


def route(state: Homework) -> Literal["hand_in", "ask_a_person"]:
    """Only verified answers are handed in."""
    return "hand_in" if state["passed"] else "ask_a_person"


def hand_in(state: Homework) -> dict[str, str]:
    """What to do with a verified answer."""
    return {"note": f"handed in: {state['answer']}"}


def ask_a_person(state: Homework) -> dict[str, str]:
    """What to do with one that was not."""
    return {"note": f"not verified, please look: {state['answer']}"}


def build(seek: LatentSeekNode) -> CompiledStateGraph[Homework, None, Any, Any]:
    """The workflow around the node."""
    builder = StateGraph(Homework)
    builder.add_node("seek", seek)
    builder.add_node(hand_in)
    builder.add_node(ask_a_person)
    builder.add_edge(START, "seek")
    builder.add_conditional_edges("seek", route)
    builder.add_edge("hand_in", END)
    builder.add_edge("ask_a_person", END)
    return builder.compile()


def main() -> None:
    """Solve both questions, showing every iteration."""
    seek = LatentSeekNode(Backbone.embedded(), verifier=StepVerifier(), config=settings(max_iterations=2))
    workflow = build(seek)
    chunk: Any
    for question in QUESTIONS:
        print(question)
        for mode, chunk in workflow.stream({"question": question}, stream_mode=["custom", "values"]):
            if mode == "custom":
                print(f"  iteration {chunk['iteration']}: {chunk['score']:.2f} {chunk['reason']}")
        print(f"  {chunk['note']}")


if __name__ == "__main__":
    main()
