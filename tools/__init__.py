"""Verifiers: step checks, self-reward, ground truth, a person, and all of them combined. No model here.

The same checks as LangChain tools are in :mod:`latentseek_agents.tools.langchain_tools`.
"""

from latentseek_agents.tools.answers import answers_match, extract_answer
from latentseek_agents.tools.combined import Combined
from latentseek_agents.tools.ground_truth import GroundTruth
from latentseek_agents.tools.human import HumanVerifier
from latentseek_agents.tools.self_reward import SelfReward
from latentseek_agents.tools.steps import StepVerifier, check_steps

__all__ = [
    "Combined",
    "GroundTruth",
    "HumanVerifier",
    "SelfReward",
    "StepVerifier",
    "answers_match",
    "check_steps",
    "extract_answer",
]
