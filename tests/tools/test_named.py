"""Verifiers by name, on the command line, the server and in evaluations."""

import pytest

from latentseek_agents import LatentSeekConfig
from latentseek_agents.errors import ConfigError
from latentseek_agents.evaluation.runs.method_names import METHODS, MethodName, method_names
from latentseek_agents.evaluation.runs.methods import Method
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.testing import tiny_backbone
from latentseek_agents.tools import SelfReward, StepVerifier
from latentseek_agents.tools.combined import Combined
from latentseek_agents.tools.named import named_verifier, verifier_names


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(max_position_embeddings=4096)


@pytest.mark.parametrize(("name", "mode"), [("self", "generate"), ("self_logprob", "logprob")])
def test_the_model_is_asked_in_either_way(backbone, name, mode):
    alone = named_verifier([name], backbone)
    assert isinstance(alone, SelfReward)
    assert alone.mode == mode
    both = named_verifier([name, "steps"], backbone)
    assert isinstance(both, Combined)
    steps, asked = both.verifiers
    assert isinstance(steps, StepVerifier)
    assert isinstance(asked, SelfReward)
    assert asked.mode == mode
    assert both.weights == [1, 2]


def test_an_unknown_name_is_told_with_those_there_are():
    with pytest.raises(
        ConfigError, match="'logprob' is no verifier; name one or more of steps, self, self_log"
    ):
        verifier_names("steps,logprob", setting="--verifier")


def test_no_method_takes_the_model_s_word_for_its_own_solution_unless_its_name_says_so():
    """It is no reward by default: it makes answers worse (docs/results.md)."""
    asking = ("self", "self_logprob", "combined", "combined_logprob")
    assert tuple(name for name in METHODS if MethodName(name).reward in asking) == asking
    assert [MethodName(name).reward for name in ("bon:3", "walk", "bon:3:steps")] == [
        "combined_program",
        "combined_program",
        "steps",
    ]
    assert method_names(["bon", "bon:3:combined_program", "walk:combined"]) == ("bon:3", "walk:combined")


@pytest.mark.parametrize(
    ("name", "kind", "reward"),
    [
        ("self_logprob", "self_logprob", "self_logprob"),
        ("combined_logprob", "combined_logprob", "combined_logprob"),
        ("walk:self_logprob", "walk", "self_logprob"),
        ("bon:2:self_logprob", "bon", "self_logprob"),
    ],
)
def test_methods_of_evaluations_have_it_too(backbone, name, kind, reward):
    problem = Problem("sums", 0, "What is 1 + 1?", "2")
    config = LatentSeekConfig(max_new_tokens=8, max_iterations=1, fraction=0.5, refine_unjudged=True)
    method = Method(name, backbone)
    parts = MethodName(method.name)
    assert (method.name, parts.kind, parts.reward) == (name, kind, reward)
    judged = method.solve(problem, config).attempts
    assert len(judged) == 2
    assert all(attempt.checks and attempt.verifier_tokens for attempt in judged)
