"""Runs as reports show them: methods grouped by data set and prompt, and what can be said of each group."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.evaluation.reports.endings import Endings, endings
from latentseek_agents.evaluation.reports.equal_cost import EqualCost, equal_costs
from latentseek_agents.evaluation.reports.samples import SamplePool
from latentseek_agents.evaluation.reports.series import Keep, Series
from latentseek_agents.evaluation.reports.statistics import Comparison
from latentseek_agents.evaluation.reports.verdicts import Agreement, agreements
from latentseek_agents.evaluation.runs.folder import read_outcomes, read_settings
from latentseek_agents.evaluation.runs.method_names import MethodName, settings_of
from latentseek_agents.evaluation.runs.plan import read_plan
from latentseek_agents.evaluation.runs.records import Outcome

__all__ = ["SEARCH_KINDS", "Group", "Pair", "Run", "group_outcomes", "read_run", "read_runs"]

SEARCH_KINDS = ("attempts", "tokens", "computed tokens")
"""What is to be equal where a search as run is compared with samples."""

_KEEPS: tuple[Keep, ...] = ("best", "last", "vote")


class Pair(NamedTuple):
    """Two methods on the questions that both have worked on; the comparison is None if there are none."""

    first: Series
    second: Series
    comparison: Comparison | None


@dataclass(frozen=True)
class Group:
    """All methods on one data set with one prompt, in the order of the paper's table, the oracles last.

    Args:
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        methods: At least one; each with a name of its own.
    """

    dataset: str
    prompt: str
    methods: tuple[Series, ...]

    @property
    def place(self) -> str:
        """Data and prompt."""
        return self.methods[0].place

    @property
    def searches(self) -> list[Series]:
        """The searches among the methods."""
        return [series for series in self.methods if series.name.searches]

    def find(self, method: str) -> Series | None:
        """The method of that name, if it was run."""
        return next((series for series in self.methods if series.method == method), None)

    @cached_property
    def pool(self) -> SamplePool | None:
        """All samples that any method has drawn: the first n are the same for all methods."""
        sampled = ("sc", "bon", "vote")
        series = [series for kind in sampled for series in self.methods if series.name.kind == kind]
        return SamplePool(*series) if series else None

    @cached_property
    def judged_pools(self) -> dict[str | None, SamplePool]:
        """For each reward that chose among samples, the samples that it has judged."""
        judged: dict[str | None, list[Series]] = defaultdict(list)
        for series in self.methods:
            if series.name.kind == "bon":
                judged[series.name.reward].append(series)
        return {reward: SamplePool(*several) for reward, several in judged.items()}

    @cached_property
    def samples(self) -> list[Series]:
        """Every smaller number of samples: the vote, coverage, and the best by the verdicts."""
        chosen = (
            [] if self.pool is None else [(self.pool, SamplePool.majority), (self.pool, SamplePool.coverage)]
        )
        chosen += [(pool, SamplePool.best) for pool in self.judged_pools.values()]
        return [choose(pool, count) for pool, choose in chosen for count in range(1, pool.size + 1)]

    @cached_property
    def keeps(self) -> list[Series]:
        """Every search with each choice among its attempts."""
        return [series.kept(keep) for series in self.searches for keep in _KEEPS]

    @cached_property
    def iterations(self) -> list[list[Series]]:
        """Every search as if it had been stopped after 0, 1, 2, ... iterations."""
        return [
            [series.after(count) for count in range(series.most_iterations + 1)] for series in self.searches
        ]

    @cached_property
    def equal_costs(self) -> list[EqualCost]:
        """Every search beside self-consistency and the best-of-N of its own reward."""
        rows = []
        for search in self.searches:
            own = self.judged_pools.get(search.name.reward)
            for pool, choose in ((self.pool, SamplePool.majority), (own, SamplePool.best)):
                levels = [] if pool is None else pool.levels(search.trials, choose)
                rows += [row for kind in SEARCH_KINDS for row in equal_costs(search, levels, kind)]
        return rows

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every method with the chain of thought, and with the self-consistency of the most shared questions.

        A search is also compared with the best-of-N under the same reward; one that ends when an attempt
        passes with its control, the walk in random directions; a search for agreement with the verified vote,
        and, where its attempts are of latents, with the same search by samples.
        """
        greedy = self.find("cot")
        pairs = []
        for series in self.methods:
            name = series.name
            others = [] if series is greedy else [greedy, self._rival("sc", series)]
            if name.searches:
                others.append(self._rival("bon", series))
            if name.proposals is not None:
                others.append(self._rival("vote", series))
            others += self._controls(name)
            pairs += [
                Pair(series, other, series.against(other))
                for other in others
                if other is not None and other is not series
            ]
        return pairs

    @cached_property
    def endings(self) -> list[Endings]:
        """How the work of every method ended."""
        return [endings(series) for series in self.methods]

    @cached_property
    def agreements(self) -> list[Agreement]:
        """How the verdicts of every method whose attempts are judged agree with the truth."""
        judged = [one for one in self.methods if one.name.searches or one.name.kind in ("bon", "vote")]
        return [agreement for series in judged for agreement in agreements(series)]

    def _controls(self, name: MethodName) -> list[Series]:
        """What tells what the gradient adds: the walk, or samples in place of latents, all else the same."""
        if not name.searches or name.kind == "walk" or name.proposals == "samples":
            return []
        kind = "walk" if name.proposals is None else "agreement"
        others = [other for other in self.methods if other.name.kind == kind and other.name != name]
        return [other for other in others if other.name.reward == name.reward]

    def _rival(self, kind: str, series: Series) -> Series | None:
        """Of the methods of a kind, such as ``sc:3`` and ``sc:11``, the one to compare another with.

        A larger one that has only begun must not take the place of a smaller one that is done: the one with
        the most questions in common counts, and among equals the one with the most samples.
        """
        reward = None if kind == "sc" else series.name.reward
        rivals = [one for one in self.methods if one.name.kind == kind and one.name.reward == reward]
        return max(
            rivals,
            key=lambda one: (len(one.trials.keys() & series.trials.keys()), one.name.samples),
            default=None,
        )


@dataclass(frozen=True)
class Run:
    """One run.

    Args:
        name: Its model; with the folder's name if another run has the same model.
        settings: As in its ``run.json``.
        groups: None if nothing is done yet.
        folder: What tells it from other runs: its folder's name, with those above it if need be.
        missing: For data set, prompt and method, how many questions are left to work on: planned ones, or,
            where no plan was kept, those that other methods or prompts have worked on.
        codes: How many outcomes each version of the code has written; under None, those that do not state it.
        processors: The same for each kind of processor.
    """

    name: str
    settings: dict[str, Any]
    groups: Sequence[Group] = ()
    folder: str = ""
    missing: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    codes: Mapping[str | None, int] = field(default_factory=dict)
    processors: Mapping[str | None, int] = field(default_factory=dict)


def read_run(folder: str | Path, name: str | None = None, *, label: str | None = None) -> Run:
    """One run.

    Args:
        folder: As ``latentseek eval`` has left it; another process may still be writing to it.
        name: By default, the name of its model.
        label: What tells it from other runs; by default, the folder's name.

    Raises:
        InputError: The folder holds no run, or a setting or a line in it cannot be read.
    """
    settings = read_settings(folder)
    outcomes = read_outcomes(folder)
    done = {outcome.key for outcome in outcomes}
    questions: dict[str, set[int]] = defaultdict(set)
    for key in done:
        questions[key.dataset].add(key.problem)
    wanted = read_plan(folder)
    rows = {key[:3] for key in wanted}
    # Where no plan was kept, only the other rows tell that something is left.
    unplanned = [key for key in done if key[:3] not in rows]
    wanted |= {key._replace(problem=number) for key in unplanned for number in questions[key.dataset]}
    return Run(
        name=name or str(settings.get("model")),
        settings=settings,
        groups=group_outcomes(outcomes, _choices(settings, folder)),
        folder=label or Path(folder).resolve().name,
        missing=Counter(key[:3] for key in sorted(wanted - done)),
        codes=Counter(outcome.code for outcome in outcomes),
        processors=Counter(outcome.processor for outcome in outcomes),
    )


def read_runs(folders: Iterable[str | Path]) -> list[Run]:
    """Several runs, each folder once.

    Raises:
        InputError: A folder holds no run, or a line in it cannot be read.
    """
    paths = list(dict.fromkeys(Path(folder).resolve() for folder in folders))
    models = [str(read_settings(path).get("model")) for path in paths]
    return [
        read_run(path, f"{model} ({label})" if models.count(model) > 1 else model, label=label)
        for path, model, label in zip(paths, models, _labels(paths), strict=True)
    ]


def group_outcomes(outcomes: Sequence[Outcome], config: LatentSeekConfig | None = None) -> list[Group]:
    """Outcomes of one run by data set and prompt, methods in the order of the paper's table.

    Args:
        outcomes: All that is to be shown of the run.
        config: How its searches choose among their attempts; by default as ``LatentSeekConfig()``.
    """
    config = config or LatentSeekConfig()
    trials: dict[tuple[str, str], dict[str, dict[int, Outcome]]] = {}
    for outcome in outcomes:
        methods = trials.setdefault((outcome.key.dataset, outcome.key.prompt), {})
        methods.setdefault(outcome.key.method, {})[outcome.key.problem] = outcome
    return [
        Group(
            dataset,
            prompt,
            tuple(
                Series(
                    dataset,
                    prompt,
                    name.text,
                    methods[name.text],
                    config=settings_of(name, config),
                )
                for name in sorted(map(MethodName, methods), key=lambda name: name.place)
            ),
        )
        for (dataset, prompt), methods in sorted(trials.items())
    ]


def _choices(settings: Mapping[str, Any], folder: str | Path) -> LatentSeekConfig:
    """How a run chooses among attempts; its other settings may be of a version that knew others."""
    config = settings.get("config")
    stored = config if isinstance(config, dict) else {}
    names = ("keep", "acceptance", "proposals", "vote_sharpness", "program_vote")
    try:
        return LatentSeekConfig(**{name: stored[name] for name in names if name in stored})
    except ConfigError as error:
        raise InputError(f"{Path(folder) / 'run.json'} is not of a run of this program: {error}") from None


def _labels(paths: Sequence[Path]) -> list[str]:
    """The ends of paths, as long as they must be to differ."""
    for length in range(1, max((len(path.parts) for path in paths), default=0)):
        labels = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(labels)) == len(paths):
            return labels
    return [str(path) for path in paths]
