r"""Whether the known answers of data sets, given as answers, count as right.

    python benchmarks/graders.py gsm8k_dev.jsonl math500_dev.jsonl aime24.jsonl

Each answer is put into a solution in both ways that the prompts ask for, read out of it again, and compared
with itself. Anything below 100 % is an error of the grader.
"""

import json
import sys

from rich.console import Console
from rich.table import Table

from latentseek_agents.evaluation.runs.problems import load_problems
from latentseek_agents.tools.answers import answers_agree, extract_answer


def main(files: list[str]) -> int:
    """Print a table; 1 if an answer is not read or not right."""
    if not files:
        print("Name data files: lines of JSON with question and answer.")
        return 0
    table = Table("data", "boxed", "JSON")
    wrong = 0
    for file in files:
        problems = load_problems(file)
        right = [0, 0]
        for problem in problems:
            known = problem.reference
            texts = (
                rf"Thus the final answer is $\boxed{{{known}}}$.",
                json.dumps({"Thinking Process": "so it follows", "Final Answer": known}),
            )
            for form, text in enumerate(texts):
                answer = extract_answer(text)
                same = answer is not None and answers_agree(answer, known) is True
                right[form] += same
                if not same:
                    wrong += 1
                    print(f"{problem.dataset} {problem.number}: {known!r} was read as {answer!r}")
        table.add_row(file, *(f"{count} of {len(problems)}" for count in right))
    Console().print(table)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
