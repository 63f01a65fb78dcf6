"""What an attempt is charged with does not depend on what else the model was asked."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine._decoding import DecodeRequest, DecodingOptions, decode
from latentseek_agents.engine.sampling import sample
from latentseek_agents.engine.search import prompt_token_ids
from latentseek_agents.evaluation.runs.folder import read_outcomes
from latentseek_agents.evaluation.runs.problems import Problem
from latentseek_agents.evaluation.runs.records import Outcome
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer
from tests.support.evaluations import evaluate

CONFIG = LatentSeekConfig(max_new_tokens=10, max_iterations=2, fraction=0.5, learning_rate=0.3)
PROBLEMS = [Problem("made up", number, f"What is {number} + 1?", str(number + 1)) for number in range(3)]
METHODS = ("cot", "sc:3", "psrm", "walk:psrm")


def outcomes(backbone: Backbone, methods: Sequence[str], folder: Path) -> dict[tuple[str, int], Outcome]:
    """One problem at a time: the more rows, the fewer guesses."""
    for method in methods:
        evaluate(backbone, PROBLEMS, methods=[method], out=folder, config=CONFIG, batch=1)
    return {
        (outcome.key.method, outcome.key.problem): replace(
            outcome,
            seconds=0,
            attempts=tuple(replace(one, policy_seconds=0, verifier_seconds=0) for one in outcome.attempts),
        )
        for outcome in read_outcomes(folder)
    }


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Outcome]:
    """Each method with a model that was asked nothing before."""
    made: dict[tuple[str, int], Outcome] = {}
    for method in METHODS:
        made |= outcomes(tiny_backbone(), [method], tmp_path_factory.mktemp("apart"))
    return made


@pytest.mark.parametrize("methods", list(permutations(METHODS))[::7])
def test_methods_cost_the_same_in_any_order(
    methods: tuple[str, ...], apart: dict[tuple[str, int], Outcome], tmp_path: Path
):
    assert outcomes(tiny_backbone(), methods, tmp_path) == apart


def test_the_first_attempt_bears_the_prompt_and_no_other(apart: dict[tuple[str, int], Outcome]):
    backbone = tiny_backbone()
    for (_, number), outcome in apart.items():
        prompt = len(prompt_token_ids(backbone, PROBLEMS[number].question, CONFIG))
        first, *others = outcome.attempts
        assert first.policy_computed_tokens >= prompt + first.policy_tokens - 1
        assert all(one.policy_computed_tokens < prompt for one in others)


@pytest.mark.parametrize("alone", [False, True])
def test_a_completion_tells_what_was_read_of_its_prompt(alone: bool):
    backbone = Backbone.from_model(tiny_model(), tiny_tokenizer(), decoding=DecodingOptions(batch=not alone))
    request = DecodeRequest(prompt_ids=list(range(3, 20)), max_new_tokens=4, end_token_ids=frozenset())
    (first,), (again,) = decode(backbone, [request]), decode(backbone, [request])
    assert (first.prompt_passes, first.prompt_tokens) == (1, 17)
    assert (again.prompt_passes, again.prompt_tokens) == (0, 0)
    assert first.computed_tokens - again.computed_tokens == 17
    assert first.forward_passes - again.forward_passes == 1


def test_methods_that_run_side_by_side_draw_their_samples_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn: list[tuple[str, int]] = []

    def counted(backbone: Backbone, question: str, config: LatentSeekConfig, **options: Any) -> Any:
        drawn.append((question, options["count"]))
        return sample(backbone, question, config, **options)

    monkeypatch.setattr("latentseek_agents.evaluation.runs.methods.sample", counted)
    methods = ["bon:2:steps", "psrm", "sc:4", "sc:3"]
    evaluate(tiny_backbone(), PROBLEMS, methods=methods, out=tmp_path, config=CONFIG, batch=12)
    assert sorted(drawn) == [(problem.question, 4) for problem in PROBLEMS]
    found = {(outcome.key.method, outcome.key.problem): outcome for outcome in read_outcomes(tmp_path)}
    assert len(found) == len(methods) * len(PROBLEMS)
    for number in range(len(PROBLEMS)):
        four, three = found["sc:4", number], found["sc:3", number]
        assert three.attempts == four.attempts[:3]
