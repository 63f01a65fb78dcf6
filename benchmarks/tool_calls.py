"""How many arithmetic questions an agent solves through tool calls: ``create_agent`` with ``ChatLatentSeek``.

    python benchmarks/tool_calls.py --model FOLDER --gguf FILE
    python benchmarks/tool_calls.py --model FOLDER --gguf FILE --compare     # with ChatHuggingFace, too

A question counts as solved *through* tools if the final message, which is no call, states the right answer,
and a call that was executed returned that very value, which its arguments did not hold. ``--compare`` needs
``langchain-huggingface``. ``--data`` takes other questions, lines of ``{"question": ..., "reference": ...}``;
``--show`` prints what was said. The questions below are for measuring only: look at others when you change
something.
"""

import argparse
import json
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.errors import GraphRecursionError
from rich.console import Console
from rich.table import Table

from latentseek_agents import Backbone, ChatLatentSeek
from latentseek_agents.chat._tool_calls import parse_tool_calls
from latentseek_agents.tools.answers import answers_match, extract_answer
from latentseek_agents.tools.langchain_tools import calculate, solve_equation

console = Console()
TOOLS = [calculate, solve_equation]
SYSTEM = "You answer questions about arithmetic. Calculate with the tools, then state the answer."
MOST_STEPS = 8
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
QUESTIONS = [
    ("What is 7438 times 926?", 7438 * 926),
    ("What is 918273 - 456789?", 918273 - 456789),
    ("What is 30967 multiplied by 418?", 30967 * 418),
    ("Divide 1741824 by 378.", 1741824 // 378),
    ("What is 87654 + 98765 + 45678?", 87654 + 98765 + 45678),
    ("What is (6482 + 1759) * 37?", (6482 + 1759) * 37),
    ("What is 8921 * 76 - 54321?", 8921 * 76 - 54321),
    ("What is 613 to the power of 3?", 613**3),
    ("A printer makes 1847 pages an hour. How many pages does it make in 263 hours?", 1847 * 263),
    ("A hall has 148 rows of 367 seats. How many seats has it?", 148 * 367),
    ("A town of 268417 people grows by 39586. How many people live there then?", 268417 + 39586),
    ("A farmer packs 86904 eggs in boxes of 24. How many boxes does he fill?", 86904 // 24),
    ("A ticket costs 47 dollars, and 13859 are sold. How many dollars is that?", 13859 * 47),
    ("A tank of 90210 litres loses 38765 litres. How many litres are left?", 90210 - 38765),
    (
        "A shop sells 2764 shirts at 19 dollars and 3 coats at 877 dollars. What does it take?",
        2764 * 19 + 3 * 877,
    ),
    (
        "A lorry makes 286 trips with 1475 bricks each; 3968 bricks break. How many are whole?",
        286 * 1475 - 3968,
    ),
    ("A firm shares 1045590 dollars equally among 546 workers. What does each get?", 1045590 // 546),
    ("A train runs 1389 km a day for 217 days, then 466 km more. How many km is that?", 1389 * 217 + 466),
    ("A library has 5376 shelves of 38 books and lends 17829 books. How many stay?", 5376 * 38 - 17829),
    (
        "A machine fills 3915 bottles an hour for 146 hours, 6 to a crate. How many crates is that?",
        3915 * 146 // 6,
    ),
]


@dataclass
class Outcome:
    """What came of one question."""

    question: str
    reference: str
    messages: list[BaseMessage]
    failure: str = ""

    @property
    def right(self) -> bool:
        """Whether the final message states the right answer.

        That is what it says that the answer is, or the last number in it that the question does not hold.
        """
        last = self.messages[-1]
        text = str(last.text)
        if not isinstance(last, AIMessage) or parse_tool_calls(text, {tool.name for tool in TOOLS}).calls:
            return False
        stated = extract_answer(text)
        if stated and answers_match(stated, self.reference):
            return True
        given = _numbers(self.question)
        new = [number for number in map(_number, _NUMBER.findall(text)) if number not in given]
        return new[-1:] == [Fraction(self.reference)]

    @property
    def results(self) -> list[ToolMessage]:
        """What was executed, with success or without."""
        return [message for message in self.messages if isinstance(message, ToolMessage)]

    @property
    def invalid(self) -> int:
        """Calls that could not be read."""
        return sum(len(m.invalid_tool_calls) for m in self.messages if isinstance(m, AIMessage))

    @property
    def computed(self) -> bool:
        """Whether a call returned the right value, and was not told it."""
        said = {
            call["id"]: json.dumps(call["args"])
            for message in self.messages
            if isinstance(message, AIMessage)
            for call in message.tool_calls
        }
        wanted = Fraction(self.reference)
        return any(
            result.status != "error"
            and wanted in _numbers(str(result.text))
            and wanted not in _numbers(said.get(result.tool_call_id, ""))
            for result in self.results
        )


class FirstCall(AgentMiddleware):
    """Demands a call as long as there is no result."""

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Set the tool choice of the first turn."""
        waiting = not any(isinstance(message, ToolMessage) for message in request.messages)
        return handler(request.override(tool_choice="any") if waiting else request)


class OneRound(AgentMiddleware):
    """Takes the tools away once there are results: small models call for ever."""

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Leave out the tools after the first results."""
        done = any(isinstance(message, ToolMessage) for message in request.messages)
        return handler(request.override(tools=[]) if done else request)


def main() -> int:
    """Ask all questions in each way, print a table, and write the figures as JSON if asked to."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    backbone = _load(arguments)
    questions = _questions(arguments)
    chat = ChatLatentSeek(backbone=backbone, max_tokens=arguments.max_tokens)
    # Who calculates in writing needs more room.
    longer = ChatLatentSeek(backbone=backbone, max_tokens=3 * arguments.max_tokens)
    ways: dict[str, tuple[BaseChatModel, dict[str, Any]]] = {
        "tools": (chat, {"tools": TOOLS}),
        "tools, first turn any": (chat, {"tools": TOOLS, "middleware": [FirstCall()]}),
        "tools, one round": (chat, {"tools": TOOLS, "middleware": [OneRound()]}),
        "no tools": (longer, {"tools": []}),
    }
    at_once = dict.fromkeys(ways, arguments.at_once)
    if arguments.compare:
        other = _chat_hugging_face(backbone, arguments.max_tokens)
        ways["ChatHuggingFace, tools"] = (other, {"tools": TOOLS})
        at_once["ChatHuggingFace, tools"] = 1
    console.print(f"{backbone}, {arguments.threads} threads, {len(questions)} questions")
    if arguments.only:
        ways = {name: way for name, way in ways.items() if name in arguments.only}
    figures = {}
    for name, (model, options) in ways.items():
        figures[name] = _measure(name, model, options, questions, at_once=at_once[name], show=arguments.show)
        console.print(name, figures[name])
    _print(figures)
    if arguments.json:
        described = {"backbone": repr(backbone), "max_tokens": arguments.max_tokens, "figures": figures}
        Path(arguments.json).write_text(json.dumps(described, indent=2), encoding="utf-8")
    return 0


def _measure(
    name: str,
    model: BaseChatModel,
    options: dict[str, Any],
    questions: list[tuple[str, str]],
    *,
    at_once: int,
    show: bool,
) -> dict[str, Any]:
    agent: Any = create_agent(model=model, system_prompt=SYSTEM, **options)

    def ask(entry: tuple[str, str]) -> Outcome:
        question, reference = entry
        given = {"messages": [("user", question)]}
        messages, failure = [], ""
        try:
            for state in agent.stream(given, {"recursion_limit": MOST_STEPS}, stream_mode="values"):
                messages = state["messages"]
        except GraphRecursionError:
            failure = "too many steps"
        return Outcome(question, reference, messages, failure)

    started = time.monotonic()
    outcomes = RunnableLambda(ask).batch(questions, {"max_concurrency": at_once})
    if show:
        _show(name, outcomes)
    through = [outcome.right and outcome.computed for outcome in outcomes]
    results = [result for outcome in outcomes for result in outcome.results]
    return {
        "questions": len(outcomes),
        "solved through calls": sum(through),
        "right without": sum(o.right for o in outcomes) - sum(through),
        "with a call": sum(bool(o.results) for o in outcomes),
        "calls": len(results),
        "refused by the tool": sum(result.status == "error" for result in results),
        "invalid calls": sum(o.invalid for o in outcomes),
        "too many steps": sum(bool(o.failure) for o in outcomes),
        "seconds": round(time.monotonic() - started),
    }


def _number(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def _numbers(text: str) -> set[Fraction]:
    return {_number(number) for number in _NUMBER.findall(text)}


def _show(name: str, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        console.rule(f"{name}: {outcome.question} ({outcome.reference})", align="left")
        for message in outcome.messages[1:]:
            calls = [(call["name"], call["args"]) for call in getattr(message, "tool_calls", ())]
            calls += [("invalid", call["args"]) for call in getattr(message, "invalid_tool_calls", ())]
            console.print(f"{message.type}: {message.text!r} {calls or ''}", markup=False, highlight=False)
        console.print(f"{outcome.right=} {outcome.computed=} {outcome.failure}", markup=False)


def _print(figures: dict[str, dict[str, Any]]) -> None:
    table = Table("", *figures)
    for row in next(iter(figures.values())):
        table.add_row(row, *(str(measured[row]) for measured in figures.values()))
    console.print(table)


def _chat_hugging_face(backbone: Backbone, max_tokens: int) -> BaseChatModel:
    from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
    from transformers import pipeline

    warnings.simplefilter("ignore", DeprecationWarning)
    made = pipeline(
        "text-generation",
        model=backbone.model,
        tokenizer=backbone.tokenizer,
        max_new_tokens=max_tokens,
        do_sample=False,
        return_full_text=False,  # or the prompt is part of the reply
    )
    # The tokenizer is given, or it is looked for on the hub.
    model: BaseChatModel = ChatHuggingFace(
        llm=HuggingFacePipeline(pipeline=made), tokenizer=backbone.tokenizer, model_id=backbone.name
    )
    return model


def _load(arguments: argparse.Namespace) -> Backbone:
    if arguments.model is None:
        return Backbone.embedded()
    return Backbone.from_pretrained(arguments.model, gguf_file=arguments.gguf, dtype=arguments.dtype)


def _questions(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    if arguments.data is None:
        return [(question, str(answer)) for question, answer in QUESTIONS]
    lines = Path(arguments.data).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines if line.strip()]
    return [(entry["question"], str(entry["reference"])) for entry in entries]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", help="name or folder; default: the embedded SmolLM2")
    parser.add_argument("--gguf", help="a GGUF file in it")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--max-tokens", type=int, default=120, help="of each reply")
    parser.add_argument("--at-once", type=int, default=20, help="questions that share forward passes")
    parser.add_argument("--data", help="other questions, as JSON lines")
    parser.add_argument("--only", nargs="+", help="names of the columns to measure")
    parser.add_argument("--compare", action="store_true", help="ask ChatHuggingFace as well")
    parser.add_argument("--show", action="store_true", help="print the conversations")
    parser.add_argument("--json", help="write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
