"""The math agent: the model may compute with tools, its conclusion is checked, and refined if need be.

    python examples/math_agent.py
    python examples/math_agent.py --model Qwen/Qwen2.5-1.5B-Instruct "How many minutes are 17 hours?"

The embedded model hardly ever calls a tool; then the graph checks and refines all the same. A larger one,
such as that of the second line, is shown calling them.
"""

import argparse
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from small_model import RULES, settings

from latentseek_agents import Backbone
from latentseek_agents.graphs import create_math_agent
from latentseek_agents.tools import StepVerifier
from latentseek_agents.tools.langchain_tools import calculate, solve_equation

QUESTION = "Sam has 4 boxes with 6 pens each and gives 5 pens away. How many pens are left?"


def show(node: str, update: dict[str, Any]) -> None:
    """What a node of the agent did, in one line for each thing."""
    for message in update.get("messages", []):
        if isinstance(message, AIMessage) and message.tool_calls:
            for call in message.tool_calls:
                print(f"{node}: calls {call['name']} with {call['args']}")
        elif isinstance(message, AIMessage | ToolMessage):
            print(f"{node}: {message.text.strip()}")
    if node == "check":
        print(f"{node}: score {update['score']:.2f}, {update['reason']}")


def main(arguments: list[str] | None = None) -> None:
    """Ask the agent one question, and show its way."""
    parser = argparse.ArgumentParser(description="Ask the math agent.")
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--model", help="a Hugging Face name or a folder; by default the embedded model")
    options = parser.parse_args(arguments)
    backbone = Backbone.from_pretrained(options.model) if options.model else Backbone.embedded()
    agent = create_math_agent(
        backbone,
        verifier=StepVerifier(),
        config=settings(),
        tools=[calculate, solve_equation],
        system_prompt=RULES,
    ).compile()
    part: Any
    for mode, part in agent.stream(
        {"question": options.question}, stream_mode=["updates", "custom", "values"]
    ):
        if mode == "updates":
            for node, update in part.items():
                show(node, update)
        elif mode == "custom" and part.get("type") == "latentseek_iteration":
            print(f"refine: iteration {part['iteration']}, score {part['score']:.2f}, {part['reason']}")
    calls = sum(isinstance(message, ToolMessage) for message in part["messages"])
    verdict = "verified" if part["passed"] else "not verified"
    print(f"answer: {part['answer']} ({verdict}; {calls} tool calls, {len(part['iterations'])} attempts)")


if __name__ == "__main__":
    main()
