"""Process reward models: what they read, where they say what, and what a verdict makes of it."""

import math
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from latentseek_agents import Backbone
from latentseek_agents.errors import BackboneError, ConfigError
from latentseek_agents.testing import scripted_backbone, tiny_model, tiny_tokenizer
from latentseek_agents.tools import Combined, ProcessReward, StepVerifier
from latentseek_agents.verdict import judging_above

QUESTION = "What is 2 * 3 + 1?"
STEPS = ["2 * 3 = 6", "6 + 1 = 7", "So the answer is 7."]
SOLUTION = "\n".join(STEPS)


def token_classifier(*, seed: int = 0, **changes: Any) -> Any:
    """A random Qwen2 that says something of each token."""
    from transformers import Qwen2Config, Qwen2ForTokenClassification

    configuration: Any = Qwen2Config
    config = configuration(
        vocab_size=259,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        pad_token_id=0,
        num_labels=2,
        **changes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = Qwen2ForTokenClassification(config)
    return model.eval()


def certain(logit: float) -> Any:
    """A model that is as sure of each step: the logits are 0 and the given one."""
    model = token_classifier()
    with torch.no_grad():
        model.score.weight.zero_()
        model.score.bias.copy_(torch.tensor([0.0, logit]))
    return model


def prm(model: Any = None, **settings: Any) -> ProcessReward:
    return ProcessReward(model or token_classifier(), tiny_tokenizer(), **settings)


def naive(model: Any, question: str, steps: list[str], separator: str = "\n") -> list[float]:
    """The question and the steps so far, one reading per step, nothing filled up."""
    tokenizer, scores = tiny_tokenizer(), []
    for count in range(1, len(steps) + 1):
        text = question + "".join(step + separator for step in steps[:count])
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        scores.append(float(logits.softmax(-1)[1]))
    return scores


def test_each_step_has_the_score_that_the_model_gives_behind_it():
    model = token_classifier()
    assert prm(model).step_scores(QUESTION, STEPS) == pytest.approx(naive(model, QUESTION, STEPS), abs=1e-5)
    assert len(set(naive(model, QUESTION, STEPS))) == 3


def test_a_separator_of_several_tokens_is_read_at_its_last():
    model = token_classifier()
    scores = prm(model, separator="\n\n").step_scores(QUESTION, STEPS)
    assert scores == pytest.approx(naive(model, QUESTION, STEPS, "\n\n"), abs=1e-5)


def test_the_other_label_may_mean_right():
    model = token_classifier()
    one, other = (prm(model, right_label=label).step_scores(QUESTION, STEPS) for label in (1, 0))
    assert one is not None
    assert other == pytest.approx([1 - score for score in one], abs=1e-5)


@pytest.mark.parametrize("logit", [-120.0, -3.0, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("reduce", ["min", "mean", "last"])
def test_known_scores(logit: float, reduce: Any):
    expected = 1 / (1 + math.exp(-logit))
    verdict = prm(certain(logit), reduce=reduce)(QUESTION, SOLUTION)
    assert verdict.score == pytest.approx(expected - 1, abs=1e-6)
    assert verdict.passed is (logit >= 0)
    assert [check.passed for check in verdict.checks] == [logit >= 0] * 3
    assert not verdict.refuted
    assert not verdict.blocked


def test_reductions_and_reasons():
    model = token_classifier(seed=1)
    scores = naive(model, QUESTION, STEPS)
    worst = scores.index(min(scores))
    for reduce, expected, place in (
        ("min", min(scores), worst),
        ("mean", sum(scores) / 3, worst),
        ("last", scores[-1], 2),
    ):
        settings: Any = {"reduce": reduce}
        verdict = prm(model, **settings)(QUESTION, SOLUTION)
        assert verdict.score == pytest.approx(expected - 1, abs=1e-5)
        assert verdict.reason.startswith(f"step {place + 1} of 3: {scores[place]:.2f}")
    assert [check.name for check in verdict.checks] == ["step 1", "step 2", "step 3"]


def test_the_threshold_is_the_models_and_a_search_may_loosen_it():
    judge = prm(certain(-0.5))  # 0.38
    assert judge(QUESTION, SOLUTION).passed is False
    assert prm(certain(-0.5), threshold=0.3)(QUESTION, SOLUTION).passed is True
    with judging_above(-0.7):
        assert judge(QUESTION, SOLUTION).passed is True


def test_a_batch_equals_its_parts():
    judge = prm()
    asked = [(QUESTION, STEPS[:count] * times) for count in (1, 2, 3) for times in (1, 4)]
    asked += [("?", ["x"]), ("?", []), (QUESTION, ["long " * 200])]
    together = judge.scores(asked)
    for (question, steps), scores in zip(asked, together, strict=True):
        alone = judge.step_scores(question, steps)
        assert (scores is None) == (alone is None)
        if scores is not None:
            assert scores == pytest.approx(alone, abs=1e-5)
    assert together[-2:] == [[], None]


def test_steps_are_split_where_the_model_was_trained_to():
    text = "First:\n2 * 3 = 6\n\n  \n\nThen 7.\n"
    assert prm().steps(text) == ["First:", "2 * 3 = 6", "Then 7."]
    assert prm(separator="\n\n").steps(text) == ["First:\n2 * 3 = 6", "Then 7."]


@pytest.mark.parametrize("solution", ["", " \n \n"])
def test_without_a_step_it_cannot_judge(solution: str):
    verdict = prm()(QUESTION, solution)
    assert (verdict.score, verdict.passed) == (-1.0, None)
    assert "no step" in verdict.reason


def test_what_is_too_long_cannot_be_judged():
    verdict = prm()(QUESTION, "word " * 200)
    assert verdict.passed is None
    assert "and the model reads 512" in verdict.reason
    assert prm(max_tokens=40)(QUESTION, SOLUTION).passed is None
    assert verdict.usage.verifier_forward_passes == 0


def test_numbers_that_are_none_cannot_be_judged():
    verdict = prm(certain(float("nan")))(QUESTION, SOLUTION)
    assert (verdict.passed, verdict.reason) == (None, "cannot judge: the model gives NaN")


def test_control_tokens_in_a_text_are_text():
    class Recorder(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner, self.config = inner, inner.config
            self.seen: list[list[int]] = []

        def forward(self, **inputs: Any) -> Any:
            self.seen.append(inputs["input_ids"][0].tolist())
            return self.inner(**inputs)

    recorder = Recorder(token_classifier()).eval()
    tokenizer = tiny_tokenizer()
    judge = ProcessReward(recorder, tokenizer)
    judge("What does <|im_end|> mean?", "It ends a turn: <|im_end|>\n<|endoftext|>")
    special = [token for token in recorder.seen[-1] if token in tokenizer.all_special_ids]
    assert special == [tokenizer.bos_token_id]


def test_costs_are_counted_and_the_model_is_left_alone():
    model = token_classifier()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    verdict = prm(model)(QUESTION, SOLUTION)
    read = 1 + len(QUESTION) + len(SOLUTION) + 1
    assert (verdict.usage.verifier_forward_passes, verdict.usage.verifier_computed_tokens) == (1, read)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_same_from_any_thread():
    judge = prm()
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(lambda _: judge(QUESTION, SOLUTION).score, range(16)))
    assert len(set(verdicts)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reduce": "max"}, "min, mean, last"),
        ({"threshold": 0}, r"\(0, 1\]"),
        ({"threshold": 1.5}, r"\(0, 1\]"),
        ({"separator": ""}, "separator=''"),
        ({"right_label": 2}, "0 or 1"),
        ({"max_tokens": 0}, "at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        prm(**settings)


def test_other_models_are_refused():
    with pytest.raises(ConfigError, match="two labels, but LlamaForCausalLM gives 259"):
        prm(tiny_model())
    with pytest.raises(ConfigError, match="no head"):
        prm(tiny_model().model)
    with pytest.raises(ConfigError, match=r"call model\.eval"):
        prm(token_classifier().train())


@pytest.fixture
def folder(tmp_path: Path) -> str:
    certain(3.0).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return str(tmp_path)


def test_a_folder_is_loaded(folder: str):
    judge = ProcessReward.from_pretrained(folder, reduce="last")
    assert judge(QUESTION, SOLUTION).score == pytest.approx(1 / (1 + math.exp(-3)) - 1, abs=1e-6)
    assert (judge.reduce, repr(judge)) == (
        "last",
        "ProcessReward(Qwen2ForTokenClassification, reduce='last')",
    )


def test_a_model_without_that_head_is_not_loaded_with_a_random_one(tmp_path: Path):
    tiny_model("Qwen2").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="would be random numbers"):
        ProcessReward.from_pretrained(str(tmp_path))
    with pytest.raises(BackboneError, match="cannot be loaded"):
        ProcessReward.from_pretrained(str(tmp_path / "nothing"))


def test_beside_the_step_checks_a_wrong_sum_costs_no_model():
    verifier = Combined(StepVerifier(), prm(certain(3.0)))
    right = verifier(QUESTION, SOLUTION)
    assert right.passed is True
    assert right.usage.verifier_forward_passes == 1
    wrong = verifier(QUESTION, SOLUTION.replace("= 6", "= 5"))
    assert (wrong.passed, wrong.score, wrong.usage.verifier_forward_passes) == (False, -1.0, 0)
    doubted = Combined(StepVerifier(), prm(certain(-3.0)))(QUESTION, SOLUTION)
    assert doubted.passed is False


def test_the_example_runs(folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    script = ["3 * 12 = 35\n35 - 9 = 26\nThe answer is 26.", "3 * 12 = 36\n36 - 9 = 27\nThe answer is 27."]
    monkeypatch.setattr(Backbone, "embedded", lambda **options: scripted_backbone(script))
    example = Path(__file__).parents[2] / "examples" / "process_reward.py"
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 40
    monkeypatch.setattr(sys, "argv", [str(example), folder, "--separator", "\n"])
    monkeypatch.syspath_prepend(str(example.parent))
    runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr().out
    assert "draft: not passed, StepVerifier: refuted: 3 * 12 = 35 (36 is not 35)" in printed
    assert "answer: 27 (passed)" in printed
