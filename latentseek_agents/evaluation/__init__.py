"""Evaluation: how often a method answers right, at what cost, with what certainty.

``latentseek eval`` and ``latentseek report`` are made of this; see :mod:`latentseek_agents.evaluation.run`
and :mod:`latentseek_agents.evaluation.report`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentseek_agents.evaluation.analysis import RunAnalysis, analyse_run, analyse_runs
    from latentseek_agents.evaluation.methods import METHODS, Method, make_method
    from latentseek_agents.evaluation.problems import Problem, load_problems
    from latentseek_agents.evaluation.ray_run import evaluate_with_ray
    from latentseek_agents.evaluation.records import AttemptRecord, Outcome, RunFolder, read_outcomes
    from latentseek_agents.evaluation.report import write_report
    from latentseek_agents.evaluation.run import evaluate

__all__ = [
    "METHODS",
    "AttemptRecord",
    "Method",
    "Outcome",
    "Problem",
    "RunAnalysis",
    "RunFolder",
    "analyse_run",
    "analyse_runs",
    "evaluate",
    "evaluate_with_ray",
    "load_problems",
    "make_method",
    "read_outcomes",
    "write_report",
]

_MODULES = {
    "RunAnalysis": "analysis",
    "analyse_run": "analysis",
    "analyse_runs": "analysis",
    "write_report": "report",
    "METHODS": "methods",
    "Method": "methods",
    "make_method": "methods",
    "Problem": "problems",
    "load_problems": "problems",
    "AttemptRecord": "records",
    "Outcome": "records",
    "RunFolder": "records",
    "read_outcomes": "records",
    "evaluate": "run",
    "evaluate_with_ray": "ray_run",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
