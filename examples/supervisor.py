"""A supervisor: calculations go to the math agent, which checks what it says; a writer answers the rest.

pip install llguidance
python examples/supervisor.py "What is 17 + 25?"
"""

import sys
from typing import Literal

from langchain_core.messages import SystemMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from latentseek_agents import Backbone, ChatLatentSeek
from latentseek_agents.graphs import create_math_agent

RULE = SystemMessage("Who answers? math: questions to be computed. writer: all else. Reply with JSON.")
backbone = Backbone.embedded()
chat = ChatLatentSeek(backbone=backbone, max_tokens=100)


class Route(BaseModel):
    next: Literal["math", "writer"]


def supervisor(state: MessagesState) -> Command[Literal["math", "writer"]]:
    router = chat.with_structured_output(Route, method="json_schema")  # it can write nothing but a route
    return Command(goto=router.invoke([RULE, *state["messages"]]).next)


if __name__ == "__main__":
    builder = StateGraph(MessagesState).add_node(supervisor).add_edge(START, "supervisor")
    builder.add_node("math", create_math_agent(backbone).compile())
    builder.add_node("writer", lambda state: {"messages": [chat.invoke(state["messages"])]})
    asked = [("user", " ".join(sys.argv[1:]) or "What is 17 + 25?")]
    for update in builder.compile().stream({"messages": asked}, stream_mode="updates"):
        for node, written in update.items():
            print(f"{node}: {written['messages'][-1].text if written else 'chooses'}")
