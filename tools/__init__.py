"""Verifiers: step checks, self-reward, a program for the question, ground truth, a person, several combined.

No model here.

The same checks as LangChain tools are in :mod:`latentseek_agents.tools.langchain_tools`.
"""

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

__all__ = [
    "MATH_TOOLS",
    "Combined",
    "GroundTruth",
    "HumanVerifier",
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


def __getattr__(name: str) -> Any:
    if name != "MATH_TOOLS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Looked up on first use: LangChain's tools take half a second to import, and a search needs none.
    from latentseek_agents.tools.langchain_tools import MATH_TOOLS

    return MATH_TOOLS
