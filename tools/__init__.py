"""Verifiers: exact step checks, self-reward, ground truth, and their combination. No model is loaded here."""

from latentseek_agents.tools.answers import answers_match, extract_answer
from latentseek_agents.tools.combined import Combined, default_verifier
from latentseek_agents.tools.ground_truth import GroundTruth
from latentseek_agents.tools.self_reward import SelfReward
from latentseek_agents.tools.steps import StepVerifier, check_steps

__all__ = [
    "Combined",
    "GroundTruth",
    "SelfReward",
    "StepVerifier",
    "answers_match",
    "check_steps",
    "default_verifier",
    "extract_answer",
]
