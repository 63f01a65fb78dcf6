"""A hundred questions at once, with a progress bar: they share forward passes, and come as they are done.

    python examples/batch_with_progress.py
    python examples/batch_with_progress.py --count 20 --seed 1

The questions are made up, so that the answers are known; the verifier does not know them. The table says
how many answers were verified, and how many of those were right, which is not the same.
"""

import argparse
import random

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from small_model import settings

from latentseek_agents import Backbone, LatentSeek, LatentSeekResult
from latentseek_agents.tools import StepVerifier, answers_match


def made_up(count: int, seed: int) -> list[tuple[str, int]]:
    """Questions of one step, and their answers."""
    chance = random.Random(seed)  # noqa: S311
    questions = []
    for _ in range(count):
        a, b = chance.randint(6, 30), chance.randint(2, 5)
        questions.append(
            chance.choice(
                [
                    (f"There are {a} red cups and {b} blue cups. How many cups are there?", a + b),
                    (f"A bus has {a} seats and {b} are taken. How many seats are free?", a - b),
                    (f"Lena reads {a} pages a day. How many pages does she read in {b} days?", a * b),
                ]
            )
        )
    return questions


def table_of(results: list[tuple[LatentSeekResult, bool]]) -> Table:
    """Verified or not against right or wrong."""
    table = Table("", "right", "wrong", "refined", box=None, padding=(0, 3, 0, 0))
    for verified in (True, False):
        group = [(result, right) for result, right in results if (result.passed is True) == verified]
        right = sum(right for _, right in group)
        refined = sum(len(result.iterations) > 1 for result, _ in group)
        name = "verified" if verified else "not verified"
        table.add_row(name, str(right), str(len(group) - right), str(refined))
    return table


def main(arguments: list[str] | None = None) -> None:
    """Solve them all."""
    parser = argparse.ArgumentParser(description="Solve made-up questions in one batch.")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    console = Console()
    questions = made_up(options.count, options.seed)
    config = settings(max_iterations=2, max_new_tokens=60)
    seek = LatentSeek(Backbone.embedded(), verifier=StepVerifier(), config=config)
    results: list[tuple[LatentSeekResult, bool]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("searching", total=len(questions))
        texts = [text for text, _ in questions]
        for index, result in seek.batch_as_completed(texts, {"max_concurrency": 16}):
            right = result.answer is not None and answers_match(result.answer, str(questions[index][1]))
            results.append((result, right))
            verified = sum(result.passed is True for result, _ in results)
            progress.update(task, advance=1, description=f"{verified} verified")
    console.print(table_of(results))


if __name__ == "__main__":
    main()
