"""Runs of one model with different settings, on the questions that they share.

A folder holds one configuration. So that the paper's latents can be compared with other ones, or presets that
belong to methods with each other, the searches of one folder are paired with those of another, question by
question.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

from latentseek_agents.evaluation.analysis import RunAnalysis
from latentseek_agents.evaluation.coverage import CoverageRow, coverage_row
from latentseek_agents.evaluation.equal_cost import SEARCH_KINDS, EqualCost, equal_costs
from latentseek_agents.evaluation.run_file import dotted_settings
from latentseek_agents.evaluation.sample_pool import SamplePool, sample_pool
from latentseek_agents.evaluation.statistics import Comparison
from latentseek_agents.evaluation.summary import Summary, compare_series, summarize
from latentseek_agents.evaluation.trials import Group, Series, Trial, method_place

__all__ = ["AcrossRuns", "PairedRuns", "RunCoverage", "RunEqualCost", "RunSummary", "compare_runs"]

_NO_SETTINGS = ("run", "schema")
_MISSING = "not stated"


@dataclass(frozen=True)
class RunSummary:
    """One run's method on the questions that all runs share.

    Args:
        run: Whose.
        summary: Its numbers.
    """

    run: RunAnalysis
    summary: Summary


@dataclass(frozen=True, kw_only=True)
class PairedRuns:
    """A search as two runs did it.

    Args:
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        method: The search.
        oracle: Whether it is told the known answer.
        first: The run in question.
        second: The run that it is compared with.
        found: Difference, interval, p; None if they share no question.
    """

    dataset: str
    prompt: str
    method: str
    oracle: bool
    first: RunAnalysis
    second: RunAnalysis
    found: Comparison | None


@dataclass(frozen=True, kw_only=True)
class RunCoverage:
    """An oracle's search of one run beside the samples of another that were drawn in the same way.

    Args:
        run: Whose search.
        samples: Whose samples.
        row: What came of them.
    """

    run: RunAnalysis
    samples: RunAnalysis
    row: CoverageRow


@dataclass(frozen=True, kw_only=True)
class RunEqualCost:
    """A search of one run beside self-consistency over the samples of another, at equal cost.

    Args:
        run: Whose search.
        samples: Whose samples.
        row: What came of them.
    """

    run: RunAnalysis
    samples: RunAnalysis
    row: EqualCost


@dataclass(frozen=True, kw_only=True)
class AcrossRuns:
    """Runs of one model, in pairs.

    Args:
        model: Its name.
        runs: Two or more.
        differing: Each setting that differs, by its dotted name, with its values in the order of the runs.
        summaries: Each method of each run on the questions that all of them share.
        pairs: Searches of the same name.
        equal_costs: Searches beside the votes of other runs' samples.
        coverage: Oracles' searches beside what other runs' samples cover.
    """

    model: str
    runs: tuple[RunAnalysis, ...]
    differing: dict[str, tuple[str, ...]]
    summaries: tuple[RunSummary, ...]
    pairs: tuple[PairedRuns, ...]
    equal_costs: tuple[RunEqualCost, ...]
    coverage: tuple[RunCoverage, ...]


def compare_runs(runs: Sequence[RunAnalysis]) -> list[AcrossRuns]:
    """For each model of which there are several runs, these runs in pairs.

    Models are the same if their hashes and types of numbers are. Questions are the same if data set, number,
    known answer and digest are; lines of earlier versions have no digest.
    """
    models: dict[tuple[Any, Any], list[RunAnalysis]] = {}
    for run in runs:
        if run.settings.get("model_hash") and run.groups:
            models.setdefault((run.settings["model_hash"], run.settings.get("dtype")), []).append(run)
    return [_across(several) for several in models.values() if len(several) > 1]


def _across(runs: list[RunAnalysis]) -> AcrossRuns:
    summaries: list[RunSummary] = []
    pairs: list[PairedRuns] = []
    equal_costs: list[RunEqualCost] = []
    coverage: list[RunCoverage] = []
    for place in sorted({(group.dataset, group.prompt) for run in runs for group in run.groups}):
        groups = [
            (run, one.group) for run in runs for one in run.groups if (one.dataset, one.prompt) == place
        ]
        if len(groups) > 1:
            summaries += _summaries(groups)
            pairs += _pairs(groups)
            equal_costs += _equal_costs(groups)
            coverage += _coverage(groups)
    return AcrossRuns(
        model=str(runs[0].settings.get("model")),
        runs=tuple(runs),
        differing=_differing([run.settings for run in runs]),
        summaries=tuple(summaries),
        pairs=tuple(pairs),
        equal_costs=tuple(equal_costs),
        coverage=tuple(coverage),
    )


_Groups = list[tuple[RunAnalysis, Group]]


def _summaries(groups: _Groups) -> list[RunSummary]:
    methods = {series.method for _, group in groups for series in group.series}
    found = []
    for method in sorted(methods, key=method_place):
        made = [(run, group, group.find(method)) for run, group in groups]
        shared = _shared([group.trials if series is None else series.trials for _, group, series in made])
        for run, _, series in made:
            if series is not None and shared:
                found.append(RunSummary(run, summarize(series.on(shared), "on the questions of all runs")))
    return found


def _pairs(groups: _Groups) -> list[PairedRuns]:
    found = []
    for (first, one), (second, other) in combinations(groups, 2):
        for series in one.searches:
            rival = other.find(series.method)
            if rival is None:
                continue
            shared = _shared([series.trials, rival.trials])
            found.append(
                PairedRuns(
                    dataset=series.dataset,
                    prompt=series.prompt,
                    method=series.method,
                    oracle=series.oracle,
                    first=first,
                    second=second,
                    found=compare_series(series.on(shared), rival.on(shared)),
                )
            )
    return found


def _equal_costs(groups: _Groups) -> list[RunEqualCost]:
    found = []
    for run, search, samples, pool in _beside_samples(groups):
        levels = pool.levels(search.trials, SamplePool.majority)
        rows = [row for kind in SEARCH_KINDS for row in equal_costs(search, levels, kind)]
        found += [RunEqualCost(run=run, samples=samples, row=row) for row in rows]
    return found


def _coverage(groups: _Groups) -> list[RunCoverage]:
    return [
        RunCoverage(run=run, samples=samples, row=coverage_row(search, pool))
        for run, search, samples, pool in _beside_samples(groups)
        if search.oracle
    ]


def _beside_samples(groups: _Groups) -> Iterator[tuple[RunAnalysis, Series, RunAnalysis, SamplePool]]:
    """Searches and the samples of another run that were drawn in the same way, on the same questions."""
    for (run, one), (samples, other) in permutations(groups, 2):
        pool = sample_pool(other)
        if pool is None or _sampling(run) != _sampling(samples):
            continue
        for series in one.searches:
            shared = _shared([series.trials, pool.series.trials])
            if shared:
                yield run, series.on(shared), samples, pool.on(shared)


def _shared(several: Sequence[Mapping[int, Trial]]) -> list[int]:
    """The numbers that are the same question in all."""
    first, *others = several
    return [
        number
        for number, trial in sorted(first.items())
        if all(number in other and trial.same_question(other[number]) for other in others)
    ]


def _sampling(run: RunAnalysis) -> tuple[Any, ...]:
    """What decides which samples are drawn for a question, beside the model."""
    config = run.settings.get("config")
    config = config if isinstance(config, dict) else {}
    return run.settings.get("temperature"), config.get("seed"), config.get("max_new_tokens")


def _differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    leaves = [dict(dotted_settings(one)) for one in settings]
    names = {name: None for one in leaves for name in one if name not in _NO_SETTINGS}
    values = {name: tuple(str(one.get(name, _MISSING)) for one in leaves) for name in names}
    return {name: several for name, several in values.items() if len(set(several)) > 1}
