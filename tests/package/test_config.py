"""Every setting is checked when it is made; the presets are the paper's tables."""

import contextlib
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.errors import ConfigError, LatentSeekError
from latentseek_agents.testing import ARCHITECTURES, tiny_model

NAN, INFINITE = float("nan"), float("inf")

# arXiv 2505.13308, appendix: learning rate and ρ, for the boxed and the JSON prompt.
SELF_REWARD = """
    Qwen/Qwen2-7B-Instruct            gsm8k    0.03 0.2    0.03 0.2
    Qwen/Qwen2-7B-Instruct            math500  0.03 0.1    0.03 0.1
    Qwen/Qwen2-7B-Instruct            aime24   0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-1.5B-Instruct        gsm8k    0.03 0.05   10   0.2
    Qwen/Qwen2.5-1.5B-Instruct        math500  0.03 0.1    0.03 0.05
    Qwen/Qwen2.5-1.5B-Instruct        aime24   0.03 0.1    10   0.3
    Qwen/Qwen2.5-7B-Instruct          gsm8k    0.05 0.2    0.05 0.2
    Qwen/Qwen2.5-7B-Instruct          math500  0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-7B-Instruct          aime24   0.05 0.2    0.05 0.2
    Qwen/Qwen2.5-14B-Instruct         gsm8k    0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-14B-Instruct         math500  0.03 0.1    0.05 0.1
    Qwen/Qwen2.5-14B-Instruct         aime24   0.03 0.1    0.03 0.1
    meta-llama/Llama-3.1-8B-Instruct  gsm8k    0.03 0.2    0.03 0.2
    meta-llama/Llama-3.1-8B-Instruct  math500  0.03 0.1    0.03 0.1
    meta-llama/Llama-3.1-8B-Instruct  aime24   0.03 0.2    0.03 0.2
"""
PSRM = """
    Qwen/Qwen2-7B-Instruct            gsm8k    0.03 0.2    0.03 0.2
    Qwen/Qwen2-7B-Instruct            math500  0.03 0.1    0.03 0.1
    Qwen/Qwen2-7B-Instruct            aime24   0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-1.5B-Instruct        gsm8k    0.03 0.2    0.03 0.2
    Qwen/Qwen2.5-1.5B-Instruct        math500  0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-1.5B-Instruct        aime24   0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-7B-Instruct          gsm8k    0.05 0.2    0.05 0.2
    Qwen/Qwen2.5-7B-Instruct          math500  0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-7B-Instruct          aime24   0.03 0.1    0.05 0.2
    Qwen/Qwen2.5-14B-Instruct         gsm8k    0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-14B-Instruct         math500  0.03 0.1    0.03 0.1
    Qwen/Qwen2.5-14B-Instruct         aime24   0.03 0.1    0.03 0.1
    meta-llama/Llama-3.1-8B-Instruct  gsm8k    0.03 0.2    0.03 0.2
    meta-llama/Llama-3.1-8B-Instruct  math500  0.03 0.1    0.03 0.1
    meta-llama/Llama-3.1-8B-Instruct  aime24   0.03 0.1    0.03 0.1
"""


def cells(table: str, reward: str) -> list[tuple[str, str, str, str, float, float]]:
    found = []
    for line in table.strip().splitlines():
        model, dataset, *numbers = line.split()
        rates = [float(number) for number in numbers]
        found.append((reward, model, dataset, "boxed", rates[0], rates[1]))
        found.append((reward, model, dataset, "json", rates[2], rates[3]))
    return found


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("learning_rate", 0, "greater than 0"),
        ("learning_rate", -0.03, "greater than 0"),
        ("learning_rate", NAN, "less than or equal to 1000000"),
        ("learning_rate", INFINITE, "less than or equal to 1000000"),
        ("learning_rate", "fast", "valid number"),
        ("learning_rate", None, "valid number"),
        ("fraction", 0, "greater than 0"),
        ("fraction", 1.01, "less than or equal to 1"),
        ("fraction", NAN, "less than or equal to 1"),
        ("max_latents", 0, "greater than or equal to 1"),
        ("max_latents", 2.5, "valid integer"),
        ("start_fraction", -0.1, "greater than or equal to 0"),
        ("start_fraction", 1, "less than 1"),
        ("start_fraction", NAN, "less than 1"),
        ("max_iterations", -1, "greater than or equal to 0"),
        ("reward_threshold", 0.1, "less than or equal to 0"),
        ("reward_threshold", -1.1, "greater than or equal to -1"),
        ("reward_threshold", NAN, "less than or equal to 0"),
        ("max_new_tokens", 0, "greater than or equal to 1"),
        ("max_draft_tokens", 0, "greater than or equal to 1"),
        ("num_samples", 0, "greater than or equal to 1"),
        ("temperature", -1, "greater than or equal to 0"),
        ("temperature", INFINITE, "finite number"),
        ("temperature", NAN, "finite number"),
        ("continuation_temperature", -0.5, "greater than or equal to 0"),
        ("continuation_temperature", INFINITE, "finite number"),
        ("latents", "free", "'independent' or 'consistent'"),
        ("baseline", "median", "'none' or 'mean'"),
        ("direction", "up", "'gradient' or 'random'"),
        ("gradient_clip", 0, "greater than 0"),
        ("gradient_clip", NAN, "greater than 0"),
        ("keep", "first", "'best', 'last' or 'vote'"),
        ("aim", "last_error", "'none' or 'first_error'"),
        ("enable_thinking", "perhaps", "valid boolean"),
        ("reasoning_effort", 3, "valid string"),
        ("max_thinking_tokens", 0, "greater than or equal to 1"),
        ("latents_over", "draft", "'both', 'thinking' or 'answer'"),
        ("acceptance", "always", "'score_and_checks', 'score' or 'agreement'"),
        ("proposals", "guesses", "'latents' or 'samples'"),
        ("sample_temperature", 0, "greater than 0"),
        ("sample_temperature", INFINITE, "finite number"),
        ("vote_sharpness", -1, "greater than or equal to 0"),
        ("vote_sharpness", NAN, "less than or equal to 100"),
        ("program_vote", -0.5, "greater than or equal to 0"),
        ("program_vote", INFINITE, "finite number"),
        ("vote_scale", 0, "greater than 0"),
        ("vote_scale", NAN, "less than or equal to 1000"),
        ("confidence", 0.4, "greater than or equal to 0.5"),
        ("confidence", 1, "less than 1"),
        ("refine_unjudged", "perhaps", "valid boolean"),
        ("prompt", "boxes", "'boxed', 'json' or 'example'; .*callable"),
        ("prompt", 3, "'boxed', 'json' or 'example'; .*callable"),
        ("max_seconds", 0, "greater than 0"),
        ("max_seconds", NAN, "greater than 0"),
        ("max_total_tokens", 0, "greater than or equal to 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**63, f"less than {2**63}"),
        ("seed", None, "valid integer"),
        ("release_behaviour", 3, "valid boolean"),
    ],
)
def test_a_wrong_value_is_named_with_the_remedy(name: str, value: Any, remedy: str):
    with pytest.raises(ConfigError, match=remedy) as caught:
        LatentSeekConfig(**{name: value})
    assert str(caught.value).startswith(f"{name}={value!r}: ")
    assert isinstance(caught.value, LatentSeekError | ValueError)


def test_every_setting_is_validated_above():
    (marks,) = (mark for mark in test_a_wrong_value_is_named_with_the_remedy.pytestmark)
    assert {name for name, *_ in marks.args[1]} == LatentSeekConfig.model_fields.keys()


def test_several_wrong_values_are_all_named():
    with pytest.raises(ConfigError, match=r"fraction=0: .*; max_iterations=-1: "):
        LatentSeekConfig(fraction=0, max_iterations=-1)


def test_an_unknown_setting_is_named_with_those_there_are():
    with pytest.raises(
        ConfigError, match=r"lr=0\.1: there is no such setting; the settings are learning_rate, "
    ):
        LatentSeekConfig(lr=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_samples": 4}, "num_samples=4 with temperature=0 .*set temperature > 0 or num_samples=1"),
        ({"acceptance": "agreement"}, r"keep='best' .*set keep='vote', or take LatentSeekConfig\.agreement"),
        ({"acceptance": "agreement", "keep": "last"}, "keep='last' would return another"),
        ({"baseline": "mean"}, "baseline='mean' .*needs num_samples > 1, but num_samples=1"),
        ({"baseline": "mean", "temperature": 1.0}, "needs num_samples > 1"),
    ],
)
def test_values_that_contradict_each_other(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        LatentSeekConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"fraction": 1, "start_fraction": 0.99, "max_latents": 1},
        {"max_iterations": 0},
        {"reward_threshold": 0, "keep": "last", "acceptance": "score"},
        {"reward_threshold": -1, "refine_unjudged": True},
        {"num_samples": 2, "temperature": 0.5, "baseline": "mean"},
        {"temperature": 0.5},
        {"num_samples": 3, "proposals": "samples"},
        {
            "acceptance": "agreement",
            "keep": "vote",
            "confidence": 0.5,
            "program_vote": 0,
            "vote_sharpness": 0,
        },
        {"gradient_clip": 1.0, "max_seconds": 0.001, "max_total_tokens": 1, "seed": 2**63 - 1},
        {"prompt": str.upper, "latents": "consistent", "max_draft_tokens": 1},
    ],
)
def test_the_edges_are_allowed(values: dict[str, Any]):
    config = LatentSeekConfig(**values)
    assert {name: getattr(config, name) for name in values} == values


def test_the_defaults_are_the_designs():
    config = LatentSeekConfig()
    expected = {
        "learning_rate": 0.03, "fraction": 0.1, "max_latents": 300, "max_iterations": 10,
        "reward_threshold": -0.2, "max_new_tokens": 1024, "num_samples": 1, "temperature": 0.0,
        "continuation_temperature": 0.0, "latents": "independent", "keep": "best", "prompt": "boxed",
        "max_seconds": None, "seed": 0, "start_fraction": 0.0, "release_behaviour": False,
        "acceptance": "score_and_checks", "refine_unjudged": False, "baseline": "none", "proposals":
        "latents",
    }  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected


def test_every_setting_is_documented():
    import inspect

    source = inspect.getsource(LatentSeekConfig)
    for name in LatentSeekConfig.model_fields:
        declaration = source.index(f"\n    {name}: ")
        assert source[source.index("\n", declaration + 1) + 1 :].lstrip().startswith(('"""', 'r"""')), name


def test_a_configuration_is_frozen():
    config = LatentSeekConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3
    assert config == LatentSeekConfig()
    assert hash(config) == hash(LatentSeekConfig())


def test_replace_validates_again_and_leaves_the_first_alone():
    config = LatentSeekConfig(seed=3, prompt=str.upper)
    changed = config.replace(fraction=0.5)
    assert (changed.fraction, changed.seed, changed.prompt) == (0.5, 3, str.upper)
    assert config.fraction == 0.1
    with pytest.raises(ConfigError, match="fraction=7"):
        config.replace(fraction=7)
    with pytest.raises(ConfigError, match="num_samples=2 with temperature=0"):
        config.replace(num_samples=2)
    with pytest.raises(ConfigError, match="no such setting"):
        config.replace(nonsense=1)


@pytest.mark.parametrize(
    "config", [LatentSeekConfig(seed=5), LatentSeekConfig.paper(), LatentSeekConfig(prompt=len)]
)
def test_a_configuration_can_be_pickled(config: LatentSeekConfig):
    again = pickle.loads(pickle.dumps(config))  # noqa: S301
    assert again == config
    assert again.replace(seed=6).seed == 6


@pytest.mark.parametrize(
    ("reward", "model", "dataset", "prompt", "learning_rate", "fraction"),
    cells(SELF_REWARD, "self") + cells(PSRM, "psrm"),
)
def test_preset_has_the_papers_cell(
    reward: str, model: str, dataset: str, prompt: Any, learning_rate: float, fraction: float
):
    config = LatentSeekConfig.preset(model, dataset=dataset, prompt=prompt, reward=reward)
    assert config == LatentSeekConfig(learning_rate=learning_rate, fraction=fraction, prompt=prompt)
    if reward == "self":
        assert LatentSeekConfig.preset(model, dataset, prompt) == config


@pytest.mark.parametrize(
    "model", ["qwen2.5-1.5b-instruct", "QWEN/QWEN2.5-1.5B-INSTRUCT", "./Qwen2.5-1.5B-Instruct/"]
)
@pytest.mark.parametrize("dataset", ["aime24", "AIME24", "HuggingFaceH4/aime_2024", "AIME2024"])
def test_preset_knows_names_in_other_spellings(model: str, dataset: str):
    assert LatentSeekConfig.preset(model, dataset, "json").learning_rate == 10


def test_preset_knows_other_names_of_data_sets_and_models():
    assert (
        LatentSeekConfig.preset("Qwen2.5-14B-Instruct", "HuggingFaceH4/MATH-500", "json").learning_rate
        == 0.05
    )
    assert LatentSeekConfig.preset("meta-llama/Meta-Llama-3.1-8B-Instruct", "openai/gsm8k").fraction == 0.2


def test_consistent_is_the_setting_of_our_sweep():
    config = LatentSeekConfig.consistent(seed=9, learning_rate=0.03)
    assert config == LatentSeekConfig(latents="consistent", fraction=1.0, learning_rate=0.03, seed=9)
    assert LatentSeekConfig.consistent().learning_rate == 0.1


def test_preset_takes_other_settings():
    config = LatentSeekConfig.preset("Qwen2.5-7B-Instruct", seed=9, fraction=0.3)
    assert (config.learning_rate, config.fraction, config.seed, config.prompt) == (0.05, 0.3, 9, "boxed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "gpt-5"}, "no preset for the model 'gpt-5'; it has qwen2-7b-instruct, "),
        ({"dataset": "mmlu"}, "no preset for the data set 'mmlu'; use gsm8k, math500 or aime24"),
        ({"prompt": "xml"}, "prompt 'boxed' or 'json', but prompt='xml'"),
        ({"reward": "orm"}, "reward 'self' or 'psrm', but reward='orm'"),
        ({"nonsense": 1}, "nonsense=1: there is no such setting"),
    ],
)
def test_preset_says_what_it_has_not(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        LatentSeekConfig.preset(**{"model": "Qwen/Qwen2.5-7B-Instruct"} | arguments)


def test_paper_is_the_releases_behaviour():
    config = LatentSeekConfig.paper(learning_rate=0.05)
    assert (config.keep, config.acceptance, config.release_behaviour) == ("last", "score", True)
    assert (config.max_draft_tokens, config.max_new_tokens, config.learning_rate) == (1024, 1024, 0.05)
    assert LatentSeekConfig.paper(keep="best").keep == "best"


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(LatentSeekConfig.model_fields)) | st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
        max_size=4,
    )
)
def test_any_value_is_taken_or_refused_with_a_config_error(values: dict[str, Any]):
    with contextlib.suppress(ConfigError):
        assert LatentSeekConfig(**values).replace() == LatentSeekConfig(**values)


def test_an_unknown_architecture_is_a_config_error():
    with pytest.raises(ConfigError, match=f"unknown; use one of {', '.join(ARCHITECTURES)}"):
        tiny_model("Transformer-XL")
