"""Verifiers: step checks, self-reward, programs, process reward models, ground truth, a person, a mix.

No model here.

The same checks as LangChain tools are in :mod:`latentseek_agents.tools.langchain_tools`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latentseek_agents.tools.answers import answers_match, extract_answer
from latentseek_agents.tools.combined import Combined
from latentseek_agents.tools.ground_truth import GroundTruth
from latentseek_agents.tools.human import HumanVerifier
from latentseek_agents.tools.program_verifier import ProgramVerifier
from latentseek_agents.tools.programs import ProgramResult, run_program
from latentseek_agents.tools.self_reward import SelfReward
from latentseek_agents.tools.steps import StepReport, StepVerifier, check_steps

if TYPE_CHECKING:
    from latentseek_agents.tools.langchain_tools import MATH_TOOLS
    from latentseek_agents.tools.process_reward import ProcessReward

__all__ = [
    "MATH_TOOLS",
    "Combined",
    "GroundTruth",
    "HumanVerifier",
    "ProcessReward",
    "ProgramResult",
    "ProgramVerifier",
    "SelfReward",
    "StepReport",
    "StepVerifier",
    "answers_match",
    "check_steps",
    "extract_answer",
    "run_program",
]


# Looked up on first use: LangChain's tools take half a second to import, and a search needs none.
_ON_FIRST_USE = {"MATH_TOOLS": "langchain_tools", "ProcessReward": "process_reward"}


def __getattr__(name: str) -> Any:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ON_FIRST_USE[name]}"), name)
