"""The same evaluation over many machines, with Ray Data: actors that hold a backbone each work on the tasks.

Ray spreads, retries and collects; this process alone writes, into the same files as
:func:`~latentseek_agents.evaluation.run.evaluate`, so either can go on with what the other has finished.
The actors have no folder in common: searches under way are not kept, so that a kill costs each its batch, and
samples are drawn by each method anew.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.evaluation.methods import (
    Method,
    make_method,
    method_names,
    require_temperature,
)
from latentseek_agents.evaluation.plans import add_to_plan
from latentseek_agents.evaluation.problems import Problem
from latentseek_agents.evaluation.records import Key, Outcome, RunFolder
from latentseek_agents.evaluation.run import Prompt, Task, known_outcomes, perform, plan
from latentseek_agents.evaluation.run_file import require_settings
from latentseek_agents.evaluation.run_identity import (
    code_fingerprint,
    run_settings,
    settings_without_model,
)
from latentseek_agents.evaluation.unfinished import UnfinishedSearches

__all__ = ["evaluate_with_ray"]

_log = logging.getLogger(__name__)


def evaluate_with_ray(
    load: Callable[[], Backbone],
    problems: Sequence[Problem],
    *,
    methods: Sequence[str],
    out: str | Path,
    actors: int = 2,
    cores_per_actor: int | None = None,
    config: LatentSeekConfig | None = None,
    prompts: Sequence[Prompt] = ("boxed",),
    temperature: float = 0.8,
    batch: int = 8,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_plan: Callable[[Sequence[Task], Sequence[Outcome]], None] | None = None,
) -> None:
    """As :func:`~latentseek_agents.evaluation.run.evaluate`, spread over Ray actors.

    ``ray.init`` is called if Ray is not up yet; with ``RAY_ADDRESS`` set it joins that cluster. Every actor
    takes one GPU if the cluster has any, else its share of the processor cores.

    Args:
        load: Makes a backbone; called once in each actor, so it must be a function that pickles.
        problems: What to solve.
        methods: Names, see :mod:`~latentseek_agents.evaluation.methods`.
        out: The run's folder, on this machine.
        actors: How many backbones.
        cores_per_actor: Processor cores that each takes, all on one machine. By default, the most of which
            all actors and one more would find room; where there are GPUs, what Ray gives.
        config: Settings of the search, limits and seed.
        prompts: ``"boxed"``, ``"json"`` or both.
        temperature: Of the samples of ``bon`` and ``sc``.
        batch: How many problems an actor works on at the same time.
        on_outcome: Called with each outcome as it is written.
        on_plan: Called once with all tasks, and the outcomes among them that the folder already holds.

    Raises:
        ConfigError: A setting is out of range, or Ray is not installed. Settings are looked at before any
            actor starts.
        InputError: The folder holds another run, another process writes to it, or an actor has another
            model or version than the rest.
    """
    if actors < 1 or batch < 1:
        raise ConfigError(f"actors={actors}, batch={batch}: at least 1 of each is needed")
    if cores_per_actor is not None and cores_per_actor < 1:
        raise ConfigError(f"cores_per_actor={cores_per_actor}: an actor needs at least 1 core")
    # In an actor it would be an error of Ray, after the models are loaded.
    require_temperature(temperature)
    base = config or LatentSeekConfig()
    for prompt in prompts:
        base.replace(prompt=prompt)
    names = method_names(methods)
    try:
        ray = import_module("ray")
        ray_data = import_module("ray.data")
    except ImportError:
        raise ConfigError("evaluation over Ray needs it: pip install 'ray[data]'") from None
    tasks = plan(problems, names, prompts)
    require_settings(out, settings_without_model(base, temperature=temperature))
    known = known_outcomes(tasks, out)
    if on_plan is not None:
        on_plan(tasks, [known[task.key] for task in tasks if task.key in known])
    waiting = [task for task in tasks if task.key not in known]
    if not waiting:
        return
    settings: Any = None
    with RunFolder(out, None) as folder:  # before anything is computed: nobody else writes here
        arguments = (load, base.model_dump(), temperature, batch)
        for row in _worked_on(ray, ray_data, waiting, actors, cores_per_actor, batch, arguments):
            if row["settings"] != settings:  # another actor's: its machine may have other versions
                settings = row["settings"]
                folder.claim(settings)
                add_to_plan(out, "0-of-1", [task.key for task in tasks])
            outcome = Outcome.from_lines(row["lines"], run=folder.fingerprint)
            folder.append(outcome)
            unfinished = UnfinishedSearches(Path(out) / "unfinished", folder.fingerprint)
            unfinished.of(outcome.key, str(outcome.digest)).remove()
            if on_outcome is not None:
                on_outcome(outcome)


def _worked_on(
    ray: Any,
    ray_data: Any,
    tasks: Sequence[Task],
    actors: int,
    cores: int | None,
    batch: int,
    arguments: tuple[Any, ...],
) -> Iterator[Mapping[str, Any]]:
    """What the actors make of the tasks, in any order."""
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    done = ray_data.from_items([_to_row(task) for task in tasks]).map_batches(
        _Worker,
        fn_constructor_args=arguments,
        batch_size=batch,
        concurrency=actors,
        zero_copy_batch=True,
        **_share(nodes, actors, cores),
    )
    yield from done.iter_rows()


def _share(nodes: Iterable[Mapping[str, float]], actors: int, cores: int | None) -> dict[str, int]:
    """What an actor takes of the cluster, as Ray names it.

    An actor is on one machine: a share of all cores in the cluster may be more than any machine has, and
    Ray would wait for such a machine for ever.

    Args:
        nodes: The resources of each machine.
        actors: How many are to find room.
        cores: That each takes; None to decide here.

    Example:
        >>> _share([{"CPU": 8.0}] * 4, actors=2, cores=None), _share([{"CPU": 8.0}], actors=2, cores=None)
        ({'num_cpus': 8}, {'num_cpus': 2})
        >>> _share([{"CPU": 8.0, "GPU": 2.0}], actors=2, cores=None)
        {'num_gpus': 1}
    """
    machines = list(nodes)
    sizes = [int(machine.get("CPU", 0)) for machine in machines]
    largest = max(sizes, default=0)
    gpus = {"num_gpus": 1} if any(machine.get("GPU") for machine in machines) else {}
    if cores is not None:
        if cores > largest:
            _log.warning(
                "an actor is to take %d cores, but the largest machine of the cluster has %d: "
                "until a larger one joins, none starts",
                cores,
                largest,
            )
        return {"num_cpus": cores, **gpus}
    if gpus:
        return gpus
    # Room for one more: Ray has tasks of its own, and would have no core for them.
    fitting = (count for count in range(largest, 0, -1) if sum(size // count for size in sizes) > actors)
    return {"num_cpus": next(fitting, 1)}


class _Worker:
    """An actor: a backbone, and the methods over it."""

    def __init__(
        self, load: Callable[[], Backbone], config: Mapping[str, Any], temperature: float, batch: int
    ) -> None:
        self._backbone = load()
        self._config = LatentSeekConfig(**config)
        self._temperature = temperature
        self._settings = run_settings(self._backbone, self._config, temperature=temperature)
        self._code = code_fingerprint()
        self._pool = ThreadPoolExecutor(batch, thread_name_prefix="evaluate")
        self._methods: dict[str, Method] = {}

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        tasks = [
            _from_row(dict(zip(rows, values, strict=True))) for values in zip(*rows.values(), strict=True)
        ]
        for task in tasks:
            name = task.key.method
            if name not in self._methods:
                self._methods[name] = make_method(name, self._backbone, temperature=self._temperature)
        outcomes = list(self._pool.map(self._perform, tasks))
        return {
            "lines": [outcome.to_lines() for outcome in outcomes],
            "settings": [self._settings] * len(outcomes),
        }

    def _perform(self, task: Task) -> Outcome:
        return perform(task, self._methods[task.key.method], self._config, "", code=self._code)


def _to_row(task: Task) -> dict[str, Any]:
    return {**task.key._asdict(), "question": task.problem.question, "reference": task.problem.reference}


def _from_row(row: Mapping[str, Any]) -> Task:
    number = int(row["problem"])
    key = Key(str(row["dataset"]), str(row["prompt"]), str(row["method"]), number)
    return Task(key, Problem(key.dataset, number, str(row["question"]), str(row["reference"])))
