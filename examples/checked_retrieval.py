"""Retrieval with a calculation that is checked: what was found stands in the question, so its numbers count.

python examples/checked_retrieval.py "How much do 3 nights at the Harbour Hotel cost?"
"""

import sys

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from latentseek_agents import Backbone, LatentSeekConfig, LatentSeekNode

PASSAGES = (
    "A night at the Harbour Hotel costs 80 euros.",
    "The museum opens at 9 and closes at 17.",
    "A boat ride on the lake costs 15 euros.",
)


class Trip(TypedDict):
    query: str
    question: str  # the search reads it, and writes the next two
    answer: str
    passed: bool | None


def retrieve(state: Trip) -> dict[str, str]:
    # Your retriever goes here; this one takes the passage with the most words of the query.
    words = set(state["query"].lower().split())
    found = max(PASSAGES, key=lambda passage: len(words & set(passage.lower().split())))
    return {"question": f"{found} {state['query']}"}


if __name__ == "__main__":
    query = " ".join(sys.argv[1:]) or "How much do 2 nights at the Harbour Hotel cost?"
    seek = LatentSeekNode(Backbone.embedded(), config=LatentSeekConfig.agreement(prompt="example"))
    graph = StateGraph(Trip).add_sequence([retrieve, ("seek", seek)]).add_edge(START, "retrieve").compile()
    state = graph.invoke({"query": query})
    print(state["question"])
    print(state["answer"] if state["passed"] else f"not verified: {state['answer']}")
