"""Whether equations for the question tell as much as a program for it.

    python benchmarks/equations.py --model FOLDER --gguf FILE --dtype int8 --data gsm8k_dev.jsonl --limit 100

The model is asked once per question for equations alone, without reasoning before them; the tool
``solve_equation`` solves them, and the value of x is compared with the known answer. A program is asked for
in the same way by :class:`~latentseek_agents.tools.ProgramVerifier`, and counted beside it.
"""

import argparse
import sys

from rich.console import Console

from latentseek_agents import Backbone
from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.evaluation.runs.problems import load_problems
from latentseek_agents.tools import ProgramVerifier, answers_match
from latentseek_agents.tools.langchain_tools import solve_equation

SYSTEM = "You translate questions into equations."
TASK = """\
{question}

Write the equations that describe this question, one per line, with single letters for unknown numbers and \
x for the number that is asked for. Only equations of numbers and letters, such as x + y = 10, no words and \
no units. Reply with the equations in one code block and nothing else."""
FENCE = "```"


def main() -> int:
    """Ask for both, and print how often each is right."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="folder or name")
    parser.add_argument("--gguf")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--data", required=True, help="problems with known answers, JSON Lines")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--rows", type=int, default=24, help="questions at once")
    arguments = parser.parse_args()
    backbone = Backbone.from_pretrained(arguments.model, gguf_file=arguments.gguf, dtype=arguments.dtype)
    problems = load_problems(arguments.data)[: arguments.limit]
    programs = ProgramVerifier(backbone)
    tokens = {"equations": 0, "program": 0}
    right: dict[str, list[bool]] = {"equations": [], "program": []}
    answered = dict.fromkeys(tokens, 0)
    for first in range(0, len(problems), arguments.rows):
        some = problems[first : first + arguments.rows]
        for problem, (text, count) in zip(
            some, written(backbone, [one.question for one in some]), strict=True
        ):
            prepared = programs.prepare(problem.question)
            tokens["equations"] += count
            tokens["program"] += prepared.usage.verifier_tokens
            answers = {"equations": solved(text), "program": programs.prepared_answer(prepared.value)}
            for name, answer in answers.items():
                answered[name] += answer is not None
                right[name].append(answer is not None and answers_match(answer, problem.reference) is True)
    console = Console()
    for name, count in tokens.items():
        console.print(
            f"{name}: {answered[name]} answers, {sum(right[name])} right of {len(problems)}, "
            f"{count / len(problems):.0f} tokens per question"
        )
    alone = sum(a and not b for a, b in zip(right["equations"], right["program"], strict=True))
    console.print(f"equations right where the program is not: {alone}")
    return 0


def written(backbone: Backbone, questions: list[str]) -> list[tuple[str, int]]:
    """The equations for each question, and how many tokens they took."""
    opening = backbone.tokenizer(f"{FENCE}\n", add_special_tokens=False)["input_ids"]
    fences = {number for token, number in backbone.tokenizer.get_vocab().items() if FENCE in token}
    requests = []
    for question in questions:
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": TASK.format(question=question)},
        ]
        requests.append(
            DecodeRequest(
                prompt_ids=backbone.encode_prompt(messages, answer_at_once=True),
                forced_ids=opening,
                max_new_tokens=160,
                end_token_ids=backbone.eos_token_ids | fences,
                states=0,
            )
        )
    return [
        (backbone.decode(one.token_ids[len(opening) :]).partition(FENCE)[0], one.new_tokens)
        for one in decode(backbone, requests)
    ]


def solved(text: str) -> str | None:
    """The value of x, where there is one."""
    equations = "\n".join(line for line in text.splitlines() if "=" in line)
    call = {"equations": equations, "unknowns": ""}
    result = solve_equation.invoke({"type": "tool_call", "id": "", "name": "solve_equation", "args": call})
    solutions = (result.artifact or {}).get("solutions") or []
    values = {solution["x"]["exact"] for solution in solutions if "x" in solution}
    return values.pop() if len(values) == 1 else None


if __name__ == "__main__":
    sys.exit(main())
