"""Evaluation: how often a method answers right, at what cost, with what certainty.

``latentseek eval`` fills a run's folder (:mod:`latentseek_agents.evaluation.runs`), ``latentseek report``
shows what is in it (:mod:`latentseek_agents.evaluation.reports`). The names here are what both are made of,
each looked up on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentseek_agents.evaluation.reports.report import write_report
    from latentseek_agents.evaluation.runs.folder import read_outcomes
    from latentseek_agents.evaluation.runs.plan import EvaluationPlan, Listener
    from latentseek_agents.evaluation.runs.problems import Problem, load_problems
    from latentseek_agents.evaluation.runs.ray_run import evaluate_with_ray
    from latentseek_agents.evaluation.runs.run import evaluate

_HOMES = {
    "EvaluationPlan": "runs.plan",
    "Listener": "runs.plan",
    "Problem": "runs.problems",
    "evaluate": "runs.run",
    "evaluate_with_ray": "runs.ray_run",
    "load_problems": "runs.problems",
    "read_outcomes": "runs.folder",
    "write_report": "reports.report",
}

__all__ = [
    "EvaluationPlan",
    "Listener",
    "Problem",
    "evaluate",
    "evaluate_with_ray",
    "load_problems",
    "read_outcomes",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
