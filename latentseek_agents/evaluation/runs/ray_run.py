"""The same evaluation over many machines, with Ray Data: actors that hold a backbone each work on the tasks.

Ray spreads, retries and collects; this process alone writes, into the same files as
:func:`~latentseek_agents.evaluation.runs.run.evaluate`, so either can go on with what the other has finished.
The actors share no folder: searches under way are not saved, so that a kill costs each actor its batch, and
each method draws its own samples.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.evaluation.runs.folder import RunFolder, require_settings
from latentseek_agents.evaluation.runs.identity import settings_without_model
from latentseek_agents.evaluation.runs.plan import EvaluationPlan, Listener, add_to_plan
from latentseek_agents.evaluation.runs.run import Worker, known_outcomes
from latentseek_agents.evaluation.runs.unfinished import UnfinishedSearches

__all__ = ["evaluate_with_ray"]

_log = logging.getLogger(__name__)


def evaluate_with_ray(
    load: Callable[[], Backbone],
    plan: EvaluationPlan,
    out: str | Path,
    *,
    actors: int = 2,
    cores_per_actor: int | None = None,
    listener: Listener | None = None,
) -> None:
    """As :func:`~latentseek_agents.evaluation.runs.run.evaluate`, spread over Ray actors.

    ``ray.init`` is called if Ray is not up yet; with ``RAY_ADDRESS`` set it joins that cluster. Every actor
    takes one GPU if the cluster has any, else its share of the processor cores.

    Args:
        load: Makes a backbone; called once in each actor, so it must be a function that pickles.
        plan: Problems, methods and settings; ``batch`` is that of each actor.
        out: The run's folder, on this machine.
        actors: How many backbones.
        cores_per_actor: Processor cores of each, all on one machine. By default, the most with which all
            actors and one more would fit; where there are GPUs, Ray's default.
        listener: Follows the evaluation; hears of no attempts.

    Raises:
        ConfigError: A setting is out of range, or Ray is not installed. Settings are checked before any
            actor starts.
        InputError: The folder holds another run, another process writes to it, or an actor has another
            model or version than the rest.
    """
    if actors < 1:
        raise ConfigError(f"actors={actors}: at least 1 is needed")
    if cores_per_actor is not None and cores_per_actor < 1:
        raise ConfigError(f"cores_per_actor={cores_per_actor}: an actor needs at least 1 core")
    try:
        ray, data = import_module("ray"), import_module("ray.data")
    except ImportError:
        raise ConfigError("evaluation over Ray needs it: pip install 'ray[data]'") from None
    listener = listener or Listener()
    tasks = plan.tasks()
    require_settings(out, settings_without_model(plan.config, temperature=plan.temperature))
    known = known_outcomes(tasks, out)
    listener.on_plan(tasks, [known[task.key] for task in tasks if task.key in known])
    waiting = [task for task in tasks if task.key not in known]
    if not waiting:
        return
    settings: Any = None
    with RunFolder(out, None) as folder:  # before anything is computed: no other process writes here
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        results = data.from_items([{"task": task} for task in waiting]).map_batches(
            _Actor,
            fn_constructor_args=(load, replace(plan, problems=())),
            batch_size=plan.batch,
            concurrency=actors,
            zero_copy_batch=True,
            **_share(nodes, actors, cores_per_actor),
        )
        for row in results.iter_rows():
            if row["settings"] != settings:  # of another actor: its machine may have other versions
                settings = row["settings"]
                folder.claim(settings)
                add_to_plan(out, "0-of-1", [task.key for task in tasks])
            outcome = replace(row["outcome"], run=folder.fingerprint)
            folder.append(outcome)
            unfinished = UnfinishedSearches(Path(out) / "unfinished", folder.fingerprint)
            unfinished.of(outcome.key, outcome.digest).remove()
            listener.on_outcome(outcome)


def _share(nodes: Iterable[Mapping[str, float]], actors: int, cores: int | None) -> dict[str, int]:
    """What an actor takes of the cluster, in Ray's terms.

    An actor is on one machine: a share of all cores in the cluster may be more than any machine has, and
    Ray would wait for such a machine for ever.

    Args:
        nodes: The resources of each machine.
        actors: How many must fit.
        cores: Of each; None to decide here.

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


class _Actor:
    """A Ray actor: a backbone and the methods over it."""

    def __init__(self, load: Callable[[], Backbone], plan: EvaluationPlan) -> None:
        self._worker = Worker(load(), plan)
        self._pool = ThreadPoolExecutor(plan.batch, thread_name_prefix="evaluate")

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[Any]]:
        outcomes = list(self._pool.map(lambda task: self._worker.perform(task, run=""), rows["task"]))
        return {"outcome": outcomes, "settings": [self._worker.settings] * len(outcomes)}
