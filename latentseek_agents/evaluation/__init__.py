"""Evaluation: how often a method answers right, at what cost, with what certainty.

``latentseek eval`` fills a run's folder (:mod:`latentseek_agents.evaluation.runs`), ``latentseek report``
shows what is in it (:mod:`latentseek_agents.evaluation.reports`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentseek_agents.evaluation.reports.analysis import read_runs
    from latentseek_agents.evaluation.reports.report import write_report
    from latentseek_agents.evaluation.runs.folder import read_outcomes
    from latentseek_agents.evaluation.runs.method_names import METHODS
    from latentseek_agents.evaluation.runs.plan import EvaluationPlan, Listener
    from latentseek_agents.evaluation.runs.problems import Problem, load_problems
    from latentseek_agents.evaluation.runs.ray_run import evaluate_with_ray
    from latentseek_agents.evaluation.runs.records import AttemptRecord, Outcome
    from latentseek_agents.evaluation.runs.run import evaluate

__all__ = [
    "METHODS",
    "AttemptRecord",
    "EvaluationPlan",
    "Listener",
    "Outcome",
    "Problem",
    "evaluate",
    "evaluate_with_ray",
    "load_problems",
    "read_outcomes",
    "read_runs",
    "write_report",
]

_MODULES = {
    "read_runs": "reports.analysis",
    "write_report": "reports.report",
    "read_outcomes": "runs.folder",
    "METHODS": "runs.method_names",
    "EvaluationPlan": "runs.plan",
    "Problem": "runs.problems",
    "load_problems": "runs.problems",
    "evaluate_with_ray": "runs.ray_run",
    "AttemptRecord": "runs.records",
    "Outcome": "runs.records",
    "Listener": "runs.plan",
    "evaluate": "runs.run",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is used: some of them import torch."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
