"""Runs of one model with different settings, question by question.

    python benchmarks/across_runs.py RUN RUN...

A folder of ``latentseek eval`` holds one configuration. So that the paper's latents can be compared with
other ones, or presets that belong to methods with each other, the searches of one folder are paired with
those of another, and set beside samples of another that were drawn in the same way.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

from search_coverage import coverage_of_all

from latentseek_agents.evaluation.reports.analysis import SEARCH_KINDS, Group, Pair, Run, read_runs
from latentseek_agents.evaluation.reports.equal_cost import equal_costs
from latentseek_agents.evaluation.reports.samples import SamplePool
from latentseek_agents.evaluation.reports.series import ORACLE, Series
from latentseek_agents.evaluation.reports.table import Cell, Table, accuracy, number
from latentseek_agents.evaluation.reports.tables import (
    COSTS_NOTE,
    NEIGHBOURS,
    NEIGHBOURS_NOTE,
    PAIRS_NOTE,
    comparison_cells,
    equal_cost_cells,
)
from latentseek_agents.evaluation.runs.folder import dotted_settings
from latentseek_agents.evaluation.runs.method_names import MethodName
from latentseek_agents.evaluation.runs.records import Outcome

_NO_SETTINGS = ("run", "schema")
_SHARED_NOTE = "Questions are shared if data set, number and text are the same."

_Groups = list[tuple[Run, Group]]


@dataclass(frozen=True)
class SameModel:
    """Two or more runs of one model."""

    runs: list[Run]

    def groups(self) -> Iterator[_Groups]:
        """For each data set and prompt, the runs that have worked on it, if there are several."""
        for place in sorted({(group.dataset, group.prompt) for run in self.runs for group in run.groups}):
            groups = [
                (run, one) for run in self.runs for one in run.groups if (one.dataset, one.prompt) == place
            ]
            if len(groups) > 1:
                yield groups

    def differing(self) -> dict[str, tuple[str, ...]]:
        """Each setting that differs, by its dotted name, with its values in the order of the runs."""
        leaves = [dotted_settings(run.settings) for run in self.runs]
        names = dict.fromkeys(name for one in leaves for name in one if name not in _NO_SETTINGS)
        values = {name: tuple(str(one.get(name, "not stated")) for one in leaves) for name in names}
        return {name: several for name, several in values.items() if len(set(several)) > 1}

    def summaries(self) -> list[tuple[Run, Series]]:
        """Each method of each run, on the questions that all runs share."""
        rows = []
        for groups in self.groups():
            methods = {series.method for _, group in groups for series in group.methods}
            for method in sorted(methods, key=lambda name: MethodName(name).place):
                several = [(run, group, group.find(method)) for run, group in groups]
                shared = _shared([_trials(group) if one is None else one.trials for _, group, one in several])
                rows += [(run, one.on(shared)) for run, _, one in several if one is not None and shared]
        return rows

    def pairs(self) -> list[tuple[Run, Run, Pair]]:
        """Searches of the same name in two runs."""
        rows = []
        for groups in self.groups():
            for (first, one), (second, other) in combinations(groups, 2):
                for series in one.searches:
                    rival = other.find(series.method)
                    if rival is not None:
                        shared = _shared([series.trials, rival.trials])
                        comparison = series.on(shared).against(rival.on(shared))
                        rows.append((first, second, Pair(series, rival, comparison)))
        return rows

    def beside_samples(self) -> Iterator[tuple[Run, Series, Run, SamplePool]]:
        """Searches and the samples of another run that were drawn in the same way, on the same questions."""
        for groups in self.groups():
            for (run, one), (samples, other) in permutations(groups, 2):
                pool = other.pool
                if pool is None or _sampling(run) != _sampling(samples):
                    continue
                for series in one.searches:
                    shared = _shared([series.trials, pool.series.trials])
                    methods = [one.on(shared) for one in other.methods]
                    fewer = replace(other, methods=tuple(one for one in methods if one.trials)).pool
                    if fewer is not None:
                        yield run, series.on(shared), samples, fewer


def compare_runs(runs: Sequence[Run]) -> list[SameModel]:
    """For each model of which there are several runs, these runs.

    Models are the same if their hashes and types of numbers are.
    """
    models: dict[tuple[Any, Any], list[Run]] = {}
    for run in runs:
        if run.settings.get("model_hash") and run.groups:
            models.setdefault((run.settings["model_hash"], run.settings.get("dtype")), []).append(run)
    return [SameModel(several) for several in models.values() if len(several) > 1]


def tables(across: SameModel) -> Iterator[Table]:
    """All tables of these runs."""
    yield settings_table(across)
    for oracle in (False, True):
        yield summaries_table(across, oracle)
        yield pairs_table(across, oracle)
        yield equal_costs_table(across, oracle)
    yield coverage_table(across)


def settings_table(across: SameModel) -> Table:
    """In what the runs differ."""
    differing = across.differing()
    rows = [
        (run.folder, *(values[place] for values in differing.values()))
        for place, run in enumerate(across.runs)
    ]
    note = "" if differing else "Their settings are the same. "
    if not across.summaries():
        note += "There is no question that all of them have worked on."
    return Table("Settings in which the runs differ", ("run", *differing), rows, note, names=1)


def summaries_table(across: SameModel, oracle: bool) -> Table:
    """Each method of each run, on the questions that all runs share."""
    rows: list[Sequence[Cell]] = [
        (
            one.place,
            one.label,
            run.folder,
            str(one.questions),
            accuracy(one),
            number(one.mean("tokens")),
            number(one.mean("forward_passes")),
        )
        for run, one in across.summaries()
        if one.oracle is oracle
    ]
    return Table(
        _title("Runs on the questions that all of them share", oracle),
        ("data", "method", "run", "n", "accuracy", "tokens", "forward passes"),
        rows,
        "Per cent, with Wilson's 95 % interval; costs are means over the questions. A method that only some "
        f"runs have is shown on the questions that the others have worked on in any way. {_SHARED_NOTE}",
        names=3,
    )


def pairs_table(across: SameModel, oracle: bool) -> Table:
    """Searches of the same name in two runs."""
    rows = [
        (pair.first.place, pair.first.label, first.folder, second.folder, *comparison_cells(pair.comparison))
        for first, second, pair in across.pairs()
        if pair.first.oracle is oracle and pair.comparison is not None
    ]
    heads = ("n", "only first right", "only second right", "difference", "p", "finding")
    return Table(
        _title("Runs in pairs, on the same questions", oracle),
        ("data", "method", "in", "compared with the one in", *heads),
        rows,
        f"{_SHARED_NOTE} {PAIRS_NOTE}{len(rows)}.",
        names=4,
    )


def equal_costs_table(across: SameModel, oracle: bool) -> Table:
    """Searches beside the votes of other runs' samples."""
    rows: list[Sequence[Cell]] = [
        (
            row.search.place,
            row.search.label,
            run.folder,
            samples.folder,
            str(row.search.questions),
            accuracy(row.search),
            *equal_cost_cells(row),
        )
        for run, search, samples, pool in across.beside_samples()
        if search.oracle is oracle
        for kind in SEARCH_KINDS
        for row in equal_costs(search, pool.levels(search.trials, SamplePool.majority), kind)
    ]
    return Table(
        _title("At equal attempts and at equal cost, with the samples of another run", oracle),
        ("data", "method", "in", "samples of", "n", "accuracy", "equal", "its cost", *NEIGHBOURS),
        rows,
        "Self-consistency over samples drawn with the same temperature, seed and limit of tokens. "
        f"{_SHARED_NOTE} {NEIGHBOURS_NOTE} {COSTS_NOTE}",
    )


def coverage_table(across: SameModel) -> Table:
    """Oracles' searches beside what other runs' samples cover."""
    rows: list[Sequence[Cell]] = [
        (
            search.place,
            search.label,
            run.folder,
            samples.folder,
            str(one.equal.search.questions),
            accuracy(one.equal.search),
            *one.cells(),
        )
        for run, search, samples, pool in across.beside_samples()
        if search.oracle
        for one in coverage_of_all(search, pool).beside
    ]
    return Table(
        f"{ORACLE}: coverage of the search of one run beside the samples of another",
        ("data", "method", "in", "samples of", "n", "covered", "equal", "its cost", *NEIGHBOURS),
        rows,
        "The search after all its iterations, and samples drawn with the same temperature, seed and "
        f"limit of tokens. {_SHARED_NOTE} {NEIGHBOURS_NOTE} {COSTS_NOTE}",
    )


def _title(title: str, oracle: bool) -> str:
    return f"{title}: {ORACLE} methods" if oracle else title


def _trials(group: Group) -> dict[int, Outcome]:
    """Of each question, what one of the methods made of it."""
    return {number: trial for series in group.methods for number, trial in series.trials.items()}


def _shared(several: Sequence[Mapping[int, Outcome]]) -> list[int]:
    """The numbers that are the same question in all."""
    first, *others = several
    return [
        number
        for number, trial in sorted(first.items())
        if all(number in other and trial.question == other[number].question for other in others)
    ]


def _sampling(run: Run) -> tuple[Any, ...]:
    """What decides which samples are drawn for a question, beside the model."""
    config = run.settings.get("config", {})
    return run.settings.get("temperature"), config.get("seed"), config.get("max_new_tokens")


def main(folders: Sequence[str]) -> None:
    """Print the tables of each model."""
    for across in compare_runs(read_runs(folders)):
        print(f"## Runs of {across.runs[0].settings.get('model')} compared\n")
        for table in tables(across):
            if table.rows:
                print(table.markdown())


if __name__ == "__main__":
    main(sys.argv[1:])
