"""All that a run's folder says, as plain values: what the tables, the figures and the CSV file show."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latentseek_agents.evaluation.agreement import Agreement, Confusion, agreements, confusions
from latentseek_agents.evaluation.coverage import CoverageRow, coverage_of_samples, coverage_rows
from latentseek_agents.evaluation.endings import Endings, endings
from latentseek_agents.evaluation.equal_cost import EqualCost, equal_cost_rows
from latentseek_agents.evaluation.plans import read_plan
from latentseek_agents.evaluation.records import read_outcomes
from latentseek_agents.evaluation.run_file import read_settings
from latentseek_agents.evaluation.sample_pool import judged_pools, sample_pool
from latentseek_agents.evaluation.summary import (
    Paired,
    Summary,
    comparisons,
    iteration_summaries,
    judged_summaries,
    keep_summaries,
    method_summaries,
    sample_summaries,
)
from latentseek_agents.evaluation.trials import Group, group_outcomes

__all__ = ["GroupAnalysis", "RunAnalysis", "analyse_group", "analyse_run", "analyse_runs"]


@dataclass(frozen=True, kw_only=True)
class GroupAnalysis:
    """One data set with one prompt.

    Args:
        group: What it is made of.
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        methods: As run.
        equal_costs: Each search beside self-consistency, and best-of-N of its own reward, with as many
            attempts and at its own cost.
        samples: Smaller numbers of samples.
        keeps: The searches with each choice among their attempts.
        iterations: The searches as if stopped earlier; in each, the position is the number of iterations.
        comparisons: In pairs, on the same questions.
        coverage: Oracle searches beside samples.
        coverage_of_samples: What 1, 2, 3, ... samples cover on the questions of which oracle searches.
        endings: Why the work of each method ended, and after how many iterations.
        confusions: Verdicts against the truth.
        agreements: How often they agree.
    """

    group: Group
    dataset: str
    prompt: str
    methods: tuple[Summary, ...]
    equal_costs: tuple[EqualCost, ...]
    samples: tuple[Summary, ...]
    keeps: tuple[Summary, ...]
    iterations: tuple[tuple[Summary, ...], ...]
    comparisons: tuple[Paired, ...]
    coverage: tuple[CoverageRow, ...]
    coverage_of_samples: dict[tuple[Summary, ...], list[str]]
    endings: tuple[Endings, ...]
    confusions: tuple[Confusion, ...]
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True, kw_only=True)
class RunAnalysis:
    """One run.

    Args:
        name: Its model; with the folder's name if another run has the same model.
        settings: As in its ``run.json``.
        groups: None if nothing is done yet.
        folder: What tells it from other runs: its folder's name, with those above it if need be.
        missing: For data set, prompt and method, how many questions are left to work on: planned ones, or,
            where no plan was kept, those that other methods or prompts have worked on.
        codes: How many outcomes each version of the code has written; under None, lines of versions that did
            not state it.
    """

    name: str
    settings: dict[str, Any]
    groups: tuple[GroupAnalysis, ...]
    folder: str = ""
    missing: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    codes: Mapping[str | None, int] = field(default_factory=dict)


def analyse_group(group: Group) -> GroupAnalysis:
    """Everything about one data set with one prompt."""
    pool = sample_pool(group)
    samples = [] if pool is None else sample_summaries(pool)
    judged = judged_pools(group)
    for one in judged.values():
        samples += judged_summaries(one)
    return GroupAnalysis(
        group=group,
        dataset=group.dataset,
        prompt=group.prompt,
        methods=tuple(method_summaries(group)),
        equal_costs=tuple(equal_cost_rows(group, pool, judged)),
        samples=tuple(samples),
        keeps=tuple(keep_summaries(group)),
        iterations=tuple(tuple(iteration_summaries(series)) for series in group.searches),
        comparisons=tuple(comparisons(group)),
        coverage=tuple(coverage_rows(group.searches, pool)),
        coverage_of_samples=coverage_of_samples(group.searches, pool),
        endings=tuple(endings(group)),
        confusions=tuple(confusions(group)),
        agreements=tuple(agreements(group)),
    )


def analyse_run(folder: str | Path, name: str | None = None, *, label: str | None = None) -> RunAnalysis:
    """Everything about one run.

    Args:
        folder: As ``latentseek eval`` has left it; another process may still be writing to it.
        name: By default, the name of its model.
        label: What tells it from other runs; by default, the folder's name.

    Raises:
        InputError: The folder holds no run, or a line in it cannot be read.
    """
    settings = read_settings(folder)
    outcomes = read_outcomes(folder)
    done = {outcome.key for outcome in outcomes}
    questions: dict[str, set[int]] = defaultdict(set)
    for key in done:
        questions[key.dataset].add(key.problem)
    planned = read_plan(folder)
    rows = {key[:3] for key in planned}
    # Where a plan is not known, nothing but the other rows tells that something is left.
    unplanned = {key for key in done if key[:3] not in rows}
    wanted = planned | {key._replace(problem=n) for key in unplanned for n in questions[key.dataset]}
    return RunAnalysis(
        name=name or str(settings.get("model")),
        settings=settings,
        groups=tuple(analyse_group(group) for group in group_outcomes(outcomes)),
        folder=label or Path(folder).resolve().name,
        missing=Counter(key[:3] for key in sorted(wanted - done)),
        codes=Counter(outcome.code for outcome in outcomes),
    )


def analyse_runs(folders: Iterable[str | Path]) -> list[RunAnalysis]:
    """Everything about several runs, each folder once.

    Raises:
        InputError: A folder holds no run, or a line in it cannot be read.
    """
    paths = list({Path(folder).resolve(): Path(folder) for folder in folders}.values())
    models = [str(read_settings(path).get("model")) for path in paths]
    labels = _labels([path.resolve() for path in paths])
    return [
        analyse_run(path, f"{model} ({label})" if models.count(model) > 1 else model, label=label)
        for path, model, label in zip(paths, models, labels, strict=True)
    ]


def _labels(paths: list[Path]) -> list[str]:
    """The ends of paths, as long as they must be to differ."""
    labels = [str(path) for path in paths]
    for length in range(max((len(path.parts) for path in paths), default=0), 0, -1):
        shorter = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(shorter)) == len(paths):
            labels = shorter
    return labels
