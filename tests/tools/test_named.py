"""Verifiers by name, on the command line, the server and in evaluations."""

import pytest

from latentseek_agents import LatentSeekConfig
from latentseek_agents.errors import ConfigError
from latentseek_agents.evaluation.runs.method_names import MethodName
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
