"""Evaluations in one call: a plan's fields, and a listener's methods, as keywords."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from latentseek_agents import Backbone
from latentseek_agents.evaluation.runs import ray_run, run
from latentseek_agents.evaluation.runs.plan import EvaluationPlan, Listener, Shard
from latentseek_agents.evaluation.runs.problems import Problem

__all__ = ["evaluate", "evaluate_with_ray"]


class Callbacks(Listener):
    """A listener that calls functions."""

    def __init__(self, **functions: Callable[..., None]) -> None:
        vars(self).update(functions)


def evaluate(
    backbone: Backbone,
    problems: Sequence[Problem],
    *,
    out: str | Path,
    shard: Shard | None = None,
    **values: Any,
) -> None:
    """An evaluation in this process."""
    plan, listener = _split(problems, values)
    run.evaluate(backbone, plan, out, shard=shard, listener=listener)


def evaluate_with_ray(
    load: Callable[[], Backbone],
    problems: Sequence[Problem],
    *,
    out: str | Path,
    actors: int = 2,
    cores_per_actor: int | None = None,
    **values: Any,
) -> None:
    """An evaluation over Ray."""
    plan, listener = _split(problems, values)
    ray_run.evaluate_with_ray(
        load, plan, out, actors=actors, cores_per_actor=cores_per_actor, listener=listener
    )


def _split(problems: Sequence[Problem], values: dict[str, Any]) -> tuple[EvaluationPlan, Listener]:
    functions = {name: values.pop(name) for name in list(values) if name.startswith("on_")}
    return EvaluationPlan(problems=problems, **values), Callbacks(**functions)
