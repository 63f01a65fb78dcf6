"""What an evaluation is to do: problems, methods, prompts and settings, as tasks, and as files of its folder.

Without the files, a run that was stopped would look like a smaller one that is done.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.evaluation.runs.folder import write_file
from latentseek_agents.evaluation.runs.method_names import (
    MethodName,
    method_names,
    require_temperature,
    settings_of,
)
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import Key, Outcome

__all__ = ["EvaluationPlan", "Listener", "Prompt", "Shard", "Task"]

Prompt = Literal["boxed", "json"]


@dataclass(frozen=True)
class Shard:
    """One of several disjoint parts of a run's problems.

    Args:
        index: From 0.
        count: How many parts there are.

    Raises:
        ConfigError: ``index`` is not in [0, count).
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"shard {self.index}/{self.count}: the first number must be in [0, the second)")

    @property
    def name(self) -> str:
        """For file names."""
        return f"{self.index}-of-{self.count}"


@dataclass(frozen=True)
class Task:
    """One problem for one method with one prompt.

    Args:
        key: Data, prompt, method, problem.
        problem: The problem itself.
    """

    key: Key
    problem: Problem


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What to evaluate, and with which settings.

    Args:
        problems: Of any number of data sets.
        methods: Names, see :mod:`~latentseek_agents.evaluation.runs.method_names`.
        config: Settings of the search, limits and seed; its ``prompt`` is replaced by ``prompts``.
        prompts: ``"boxed"``, ``"json"`` or both.
        temperature: Of the samples of ``bon`` and ``sc``.
        batch: How many problems to work on at the same time.

    Raises:
        ConfigError: A setting is out of range.
        InputError: Two problems have the same name and number.

    Example:
        >>> problems = [Problem("made up", 0, "What is 1 + 1?", "2")]
        >>> plan = EvaluationPlan(problems=problems, methods=["cot", "sc"])
        >>> [task.key.method for task in plan.tasks()]
        ['cot', 'sc:3']
    """

    problems: Sequence[Problem]
    methods: Sequence[str]
    config: LatentSeekConfig = field(default_factory=LatentSeekConfig)
    prompts: Sequence[Prompt] = ("boxed",)
    temperature: float = 0.8
    batch: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", method_names(self.methods))
        require_temperature(self.temperature)
        if self.batch < 1:
            raise ConfigError(f"batch={self.batch}: at least 1 problem at a time is needed")
        for prompt in self.prompts:
            self.config.replace(prompt=prompt)
        for method in map(MethodName, self.methods):
            settings = settings_of(method, self.config)
            if method.kind == "walk" and settings.proposals == "samples":
                raise ConfigError(
                    "--method walk moves latents, and with proposals='samples' there are none; leave out "
                    "one of the two"
                )
        counts = Counter((problem.dataset, problem.number) for problem in self.problems)
        for (dataset, number), count in counts.items():
            if count > 1:
                raise InputError(
                    f"problem {number} of {dataset!r} is there {count} times; name each file once, and give "
                    "files with other problems other names"
                )

    def tasks(self, shard: Shard | None = None) -> list[Task]:
        """All tasks, method by method, or those of one part of the problems."""
        part = shard or Shard()
        return [
            Task(Key(problem.dataset, prompt, method, problem.number), problem)
            for prompt in self.prompts
            for method in self.methods
            for problem in self.problems
            if problem.number % part.count == part.index
        ]


class Listener:
    """Follows an evaluation; override what you need."""

    def on_plan(self, tasks: Sequence[Task], known: Sequence[Outcome]) -> None:
        """Called once with all tasks, and the outcomes among them that the folder already holds."""

    def on_attempt(self, key: Key, attempts: int) -> None:
        """Called from any thread after each attempt of a search but the last, with their number so far."""

    def on_outcome(self, outcome: Outcome) -> None:
        """Called with each outcome when it is written, from one thread at a time."""


def add_to_plan(folder: str | Path, writer: str, keys: Iterable[Key]) -> None:
    """Write down what a process is about to do, in addition to what it wrote down before.

    Args:
        folder: The run's.
        writer: As in :class:`~latentseek_agents.evaluation.runs.folder.RunFolder`; each has its own file.
        keys: What there is to do, done or not.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     add_to_plan(folder, "0-of-1", [Key("made up", "boxed", "cot", 2)])
        ...     add_to_plan(folder, "0-of-1", [Key("made up", "boxed", "cot", 0)])
        ...     [key.problem for key in sorted(read_plan(folder))]
        [0, 2]
    """
    target = Path(folder, f"plan-{writer}.json")
    planned = (_read(target) if target.exists() else set()).union(keys)
    write_file(target, json.dumps(sorted(planned)) + "\n")


def read_plan(folder: str | Path) -> set[Key]:
    """What all processes of a run were to do.

    Raises:
        InputError: A plan in the folder cannot be read.
    """
    return {key for file in sorted(Path(folder).glob("plan-*.json")) for key in _read(file)}


def _read(file: Path) -> set[Key]:
    try:
        return {Key(*row) for row in json.loads(file.read_text(encoding="utf-8"))}
    except (TypeError, ValueError) as error:
        raise InputError(f"{file} is not the plan of an evaluation: {error!r}") from None
