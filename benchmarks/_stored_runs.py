"""What a stored run has to say about given problems."""

from collections.abc import Iterator
from pathlib import Path

from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.problems import Problem, load_problems
from latentseek_agents.evaluation.runs.records import Outcome

__all__ = ["outcomes_of", "problems_in"]


def problems_in(data: Path, numbers: str) -> dict[int, Problem]:
    """The problems of a file from the first to the last number, by their numbers.

    Args:
        data: JSON Lines.
        numbers: For instance ``"0-99"``.
    """
    first, last = map(int, numbers.split("-"))
    return {one.number: one for one in load_problems(str(data)) if first <= one.number <= last}


def outcomes_of(folder: Path, problems: dict[int, Problem]) -> Iterator[Outcome]:
    """The outcomes of a run for these problems, asked with the boxed prompt.

    A run may hold several data sets, each with its numbers: what tells their problems apart is the digest.
    """
    for outcome in read_outcomes(folder):
        problem = problems.get(outcome.key.problem)
        if problem and outcome.key.prompt == "boxed" and outcome.digest in ("", problem.digest):
            yield outcome
