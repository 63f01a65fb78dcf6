"""Public bug reports on adapters, prefix caches and chat templates, tried on the engine."""

import copy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.utils.hotswap import hotswap_adapter, prepare_model_for_compiled_hotswap

from latentseek_agents import Backbone
from latentseek_agents.engine.templates import render_messages
from latentseek_agents.errors import BackboneError, InputError
from latentseek_agents.testing import tiny_model, tiny_tokenizer
from tests.engine.test_adapters import adapted, assert_own, generated, lora, wrapped, written
from tests.support.batch_decoding import request

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
]
ASKED = request(reuse_completion=True)


@pytest.fixture
def other_adapter(tmp_path: Path) -> str:
    """An adapter in a folder, of the same places and another seed."""
    with torch.random.fork_rng():
        torch.manual_seed(77)
        peft.get_peft_model(tiny_model(), lora(lora_alpha=64)).save_pretrained(str(tmp_path))
    return str(tmp_path)


@pytest.mark.parametrize("prepared", [False, True])
def test_peft_3581_an_adapter_is_swapped_in_place(other_adapter: str, prepared: bool):
    """https://github.com/huggingface/peft/issues/3581: the name, modules and tensors stay the same."""
    model = adapted("default")
    if prepared:
        prepare_model_for_compiled_hotswap(model, check_compiled="ignore")
    backbone = wrapped(model)
    before, mark = assert_own(backbone, ASKED), backbone.fingerprint
    hotswap_adapter(model, other_adapter, adapter_name="default", torch_device="cpu")
    assert assert_own(backbone, ASKED) != before
    assert backbone.fingerprint != mark


@pytest.mark.parametrize("number", ["42125", "30931"])
def test_vllm_42125_an_adapter_of_the_same_name_is_loaded_again(other_adapter: str, number: str):
    """https://github.com/vllm-project/vllm/issues/42125 and 30931: keys and values kept under a name."""
    model = adapted("one", "two")
    backbone = wrapped(model)
    before = assert_own(backbone, ASKED)
    model.set_adapter("two")
    model.delete_adapter("one")
    model.load_adapter(other_adapter, adapter_name="one")
    model.set_adapter("one")
    assert assert_own(backbone, ASKED) != before
    assert number


def test_lmdeploy_4917_all_weights_are_loaded_anew():
    """https://github.com/InternLM/lmdeploy/issues/4917: a hot update under kept keys and values."""
    model = tiny_model()
    backbone = wrapped(model)
    before = assert_own(backbone, ASKED)
    model.load_state_dict(tiny_model(seed=4).state_dict())
    assert assert_own(backbone, ASKED) != before
    model.load_state_dict(tiny_model(seed=9).state_dict(), assign=True)
    assert assert_own(backbone, ASKED) != before
    model.load_state_dict(tiny_model().state_dict())
    assert assert_own(backbone, ASKED) == before


def test_peft_3763_some_of_the_active_adapters_are_merged():
    """https://github.com/huggingface/peft/pull/3763: the others do nothing then, though they are active."""
    model = adapted("one", "two")
    backbone = wrapped(model)
    model.base_model.set_adapter(["one", "two"])
    both = assert_own(backbone, ASKED)
    model.merge_adapter(adapter_names=["one"])
    some = assert_own(backbone, ASKED)
    model.merge_adapter(adapter_names=["two"])
    assert assert_own(backbone, ASKED) == both != some
    model.unmerge_adapter()
    assert assert_own(backbone, ASKED) == both


def test_peft_2270_adapters_in_a_loop_write_what_each_writes_alone():
    """https://github.com/huggingface/peft/issues/2270."""
    names = ("one", "two", "three")
    model = adapted(*names)
    backbone = wrapped(model)
    alone = {}
    for name in names:
        single = copy.deepcopy(model)
        single.set_adapter(name)
        alone[name] = generated(single, ASKED)
    for name in names * 2:
        model.set_adapter(name)
        assert written(backbone, ASKED) == alone[name]
    assert len({tuple(one) for one in alone.values()}) == 3


def test_peft_1045_adapters_that_are_added_with_weights():
    """https://github.com/huggingface/peft/issues/1045."""
    model = adapted("one", "two")
    backbone = wrapped(model)
    texts = [assert_own(backbone, ASKED)]
    for number, weights in enumerate(([0.5, 0.5], [-2.0, 1.0])):
        model.add_weighted_adapter(["one", "two"], weights, f"sum {number}", combination_type="linear")
        model.set_adapter(f"sum {number}")
        texts.append(assert_own(backbone, ASKED))
    assert len({tuple(one) for one in texts}) == 3


@pytest.mark.parametrize("targets", [["lm_head"], ["lm_head", "embed_tokens"], ["embed_tokens", "q_proj"]])
def test_peft_2018_adapters_of_tied_embeddings(targets: list[str]):
    """https://github.com/huggingface/peft/issues/2018 and 2777: merged into one, the other has it as well."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model: Any = peft.get_peft_model(tiny_model(tie_word_embeddings=True), lora(*targets)).eval()
    backbone = wrapped(model)
    one = assert_own(backbone, ASKED)
    with model.disable_adapter():
        assert assert_own(backbone, ASKED) != one
    core = model.get_base_model()
    model.merge_and_unload()
    expected = generated(core, ASKED)
    assert written(backbone, ASKED) == expected == written(wrapped(core), ASKED)


def test_peft_3649_trained_tokens_of_a_head_with_a_bias():
    """https://github.com/huggingface/peft/pull/3651: with the adapter in use the bias is lost; not by us."""
    model = tiny_model(tie_word_embeddings=True)
    model.lm_head.bias = torch.nn.Parameter(torch.linspace(-2, 2, 259))
    config = lora("q_proj", trainable_token_indices=[40, 41])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        outside: Any = peft.get_peft_model(model, config).eval()
    backbone = wrapped(outside)
    assert_own(backbone, ASKED)
    with outside.disable_adapter():
        assert_own(backbone, ASKED)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_peft_2123_a_learned_prompt_is_refused_and_leaves_the_model_within_alone():
    """https://github.com/huggingface/peft/issues/2123, 1501 and 1391: right only without a cache."""
    model = tiny_model()
    backbone = wrapped(model)
    before = assert_own(backbone, ASKED)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    outside: Any = peft.get_peft_model(model, config).eval()
    with pytest.raises(BackboneError, match="whose learned prompt stands before every text"):
        wrapped(outside)
    assert assert_own(backbone, ASKED) == before


# -- chat templates

LATER_SYSTEM = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "4"},
    {"role": "system", "content": "From now on answer in French."},
    {"role": "user", "content": "And 2 + 3?"},
]
# As the published template of gpt-oss: the first message is read, and later ones of other roles are not.
FIRST_SYSTEM_ONLY = (
    "{% if messages[0].role == 'system' %}<developer>{{ messages[0].content }}{% endif %}"
    "{% for m in messages %}{% if m.role in ('user', 'assistant') %}<{{ m.role }}>{{ m.content }}{% endif %}"
    "{% endfor %}"
)


def test_rapid_mlx_1765_a_system_message_in_the_middle_is_not_lost_in_silence():
    """https://github.com/raullenchai/Rapid-MLX/issues/1765."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = FIRST_SYSTEM_ONLY
    with pytest.raises(InputError, match="leaves out the system message 'From now on answer in French"):
        render_messages(tokenizer, LATER_SYSTEM, name="this model")
    assert "Be brief." in render_messages(tokenizer, LATER_SYSTEM[:2], name="this model")


def test_a_backbone_is_no_wrapper_of_what_it_was_given():
    """https://github.com/huggingface/peft/issues/1523: does the transformer respect the active adapter?"""
    model = adapted("one", "two")
    inside = Backbone.from_model(model.get_base_model(), tiny_tokenizer())
    outside = wrapped(model)
    for name in ("one", "two", "one"):
        model.set_adapter(name)
        assert written(inside, ASKED) == written(outside, ASKED) == generated(model, ASKED)
