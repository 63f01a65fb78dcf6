"""π(x | z) is the model's own distribution; the model stays as it is; what cannot serve is refused."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.search import draft, refine
from latentseek_agents.errors import BackboneError
from latentseek_agents.testing import ARCHITECTURES, tiny_backbone, tiny_model, tiny_tokenizer
from tests.support.naive_decoding import head, hidden_states, model_logits

# Longer than the sliding windows of the tiny models.
IDS = [7 + (37 * i) % 250 for i in range(40)]
BERT: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


def stepwise_hidden(backbone: Backbone, ids: list[int]) -> torch.Tensor:
    cache = backbone.policy.new_cache()
    return torch.cat([backbone.policy.layers(torch.tensor([[token]]), cache) for token in ids])


def test_logits_of_hidden_states_are_the_models_own(any_backbone: Backbone):
    got = any_backbone.logits(hidden_states(any_backbone.model, IDS))
    torch.testing.assert_close(got, model_logits(any_backbone.model, IDS), rtol=1e-5, atol=1e-5)


def test_the_naive_head_of_the_tests_is_the_models_own(any_backbone: Backbone):
    got = head(any_backbone.model, hidden_states(any_backbone.model, IDS))
    torch.testing.assert_close(got, model_logits(any_backbone.model, IDS), rtol=1e-5, atol=1e-5)


def test_hidden_states_of_cached_single_tokens_are_those_of_one_pass(any_backbone: Backbone):
    got = stepwise_hidden(any_backbone, IDS)
    torch.testing.assert_close(got, hidden_states(any_backbone.model, IDS), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        any_backbone.logits(got), model_logits(any_backbone.model, IDS), rtol=1e-3, atol=1e-3
    )


def test_logits_are_differentiable_in_the_latents(any_backbone: Backbone):
    z = hidden_states(any_backbone.model, IDS).requires_grad_()
    (got,) = torch.autograd.grad(torch.log_softmax(any_backbone.logits(z), -1)[:, 9].sum(), z)
    (expected,) = torch.autograd.grad(torch.log_softmax(head(any_backbone.model, z), -1)[:, 9].sum(), z)
    assert expected.abs().max() > 0
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(32,), (5, 32), (2, 3, 32), (0, 32)])
def test_logits_keep_the_leading_shape(tiny: Backbone, shape: tuple[int, ...]):
    assert tiny.logits(torch.ones(shape)).shape == (*shape[:-1], 259)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ["Llama", "Gemma2", "GPT2"])
def test_heads_tied_and_untied(architecture: str, tied: bool):
    backbone = tiny_backbone(architecture, tie_word_embeddings=tied)
    weights = (backbone.model.get_output_embeddings().weight, backbone.model.get_input_embeddings().weight)
    assert (weights[0].data_ptr() == weights[1].data_ptr()) is tied
    got = backbone.logits(hidden_states(backbone.model, IDS))
    torch.testing.assert_close(got, model_logits(backbone.model, IDS), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_models_of_other_number_formats(dtype: torch.dtype):
    for architecture in ("Llama", "Gemma2"):
        backbone = Backbone.from_model(tiny_model(architecture).to(dtype), tiny_tokenizer())
        hidden = hidden_states(backbone.model, IDS)
        got = backbone.logits(hidden)
        assert backbone.dtype == got.dtype == hidden.dtype == dtype
        torch.testing.assert_close(got, model_logits(backbone.model, IDS))
        assert draft(backbone, "2 + 2?", LatentSeekConfig(max_new_tokens=6)).attempts[0].token_ids


def test_weights_changed_later_count_at_once(tiny: Backbone):
    backbone = Backbone.from_model(copy.deepcopy(tiny.model), tiny.tokenizer)
    before = backbone.logits(torch.ones(32))
    with torch.no_grad():
        backbone.model.lm_head.weight.mul_(2)
    torch.testing.assert_close(backbone.logits(torch.ones(32)), 2 * before)


def test_sizes_and_representation(any_backbone: Backbone):
    assert any_backbone.hidden_size == 32
    assert any_backbone.context_window == 1024
    assert any_backbone.device == torch.device("cpu")
    kind = type(any_backbone.model).__name__
    assert repr(any_backbone) == f"Backbone('{kind}', {kind}, float32, cpu)"


def test_every_kind_of_end_token_counts():
    model, tokenizer = tiny_model(eos_token_id=[5, 6]), tiny_tokenizer()
    model.generation_config.eos_token_id = [7, 8]
    assert Backbone.from_model(model, tokenizer).eos_token_ids == {5, 6, 7, 8, tokenizer.eos_token_id}
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    assert Backbone.from_model(model, tokenizer).eos_token_ids == {tokenizer.eos_token_id}
    tokenizer.eos_token = None
    model.generation_config = None
    assert Backbone.from_model(model, tokenizer).eos_token_ids == frozenset()


class Adapter:
    """What a PEFT model looks like from outside."""

    def __init__(self, model, factor):
        self.model, self.factor, self.config = model, factor, model.config

    def get_base_model(self):
        return self.model

    def __call__(self, **inputs):
        output = self.model(**inputs)
        output.logits = output.logits * self.factor
        return output


def test_adapter_is_unwrapped(tiny: Backbone):
    wrapped = Adapter(tiny.model, 1.0)
    backbone = Backbone.from_model(wrapped, tiny.tokenizer)
    assert backbone.model is wrapped
    got = backbone.logits(hidden_states(tiny.model, IDS))
    torch.testing.assert_close(got, model_logits(tiny.model, IDS))
    assert "LlamaForCausalLM" in repr(backbone)


def test_an_adapter_that_acts_outside_the_layers_is_refused(tiny: Backbone):
    with pytest.raises(BackboneError, match="more after its last hidden state"):
        Backbone.from_model(Adapter(tiny.model, 1.5), tiny.tokenizer)


def test_models_that_cannot_carry_a_gradient_are_refused(tiny: Backbone):
    with torch.inference_mode():
        inference = tiny_model()
    with pytest.raises(BackboneError, match="inference_mode"):
        Backbone.from_model(inference, tiny.tokenizer)
    with torch.device("meta"):
        offloaded = tiny_model()
    with pytest.raises(BackboneError, match="offloaded"):
        Backbone.from_model(offloaded, tiny.tokenizer)


def t5():
    config = transformers.T5Config(vocab_size=259, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    return transformers.T5ForConditionalGeneration(config).eval()


def bert(kind: str, **changes):
    return getattr(transformers, kind)(transformers.BertConfig(**BERT, **changes)).eval()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bert("BertLMHeadModel"), "this is a BertLMHeadModel whose attention looks ahead"),
        (lambda: bert("BertLMHeadModel", initializer_range=0.3), "attention looks ahead.*such as BERT"),
        (lambda: bert("BertForMaskedLM"), "BertForMaskedLM, a masked language model.*ForCausalLM"),
        (t5, "T5ForConditionalGeneration, an encoder-decoder.*ForCausalLM"),
        (lambda: tiny_model().model, "LlamaModel without a language-modelling head.*ForCausalLM"),
        (lambda: tiny_model().train(), r"training mode.*call model\.eval\(\) first"),
        (lambda: torch.nn.Linear(2, 2), "this is a Linear, not a Hugging Face model"),
        (lambda: "Qwen/Qwen2.5-7B", "this is a str, not a Hugging Face model"),
        (lambda: None, "this is a NoneType, not a Hugging Face model"),
        (tiny_tokenizer, "not a Hugging Face model; pass a causal LM and its tokenizer"),
    ],
)
def test_what_is_no_causal_lm_is_refused(make, message: str):
    with pytest.raises(BackboneError, match=message):
        Backbone.from_model(make(), tiny_tokenizer())


def test_a_bert_made_a_decoder_serves():
    backbone = Backbone.from_model(bert("BertLMHeadModel", is_decoder=True), tiny_tokenizer())
    got = backbone.logits(hidden_states(backbone.model, IDS))
    torch.testing.assert_close(got, model_logits(backbone.model, IDS), rtol=1e-5, atol=1e-5)


def test_a_model_with_more_behind_its_head_is_refused(tiny: Backbone):
    model = copy.deepcopy(tiny.model)
    model.register_forward_hook(lambda module, given, output: output.__setitem__("logits", -output.logits))
    with pytest.raises(BackboneError, match="does more after its last hidden state than its head"):
        Backbone.from_model(model, tiny.tokenizer)


def test_a_model_that_cannot_run_is_refused(tiny: Backbone):
    model = copy.deepcopy(tiny.model)
    model.lm_head = torch.nn.Linear(5, 259)
    with pytest.raises(BackboneError, match=r"cannot be run on three tokens .RuntimeError"):
        Backbone.from_model(model, tiny.tokenizer)


@pytest.mark.parametrize("tokenizer", ["Qwen/Qwen2.5-7B", 7, SimpleNamespace(decode=print)])
def test_what_is_no_tokenizer_is_refused(tiny: Backbone, tokenizer: object):
    with pytest.raises(BackboneError, match="not a Hugging Face tokenizer; use AutoTokenizer"):
        Backbone.from_model(tiny.model, tokenizer)


def observed(backbone: Backbone) -> dict[str, object]:
    """All that a search might change behind the caller's back."""
    model, tokenizer = backbone.model, backbone.tokenizer
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "needs": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "training": [module.training for module in model.modules()],
        "modules": [name for name, _ in model.named_modules()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "config": copy.deepcopy(model.config.to_dict()),
        "generation_config": copy.deepcopy(model.generation_config.to_dict()),
        "tokenizer": (tokenizer.padding_side, tokenizer.chat_template, len(tokenizer), tokenizer.eos_token),
        "random": torch.get_rng_state(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


@pytest.mark.parametrize("kind", ["independent", "consistent"])
@pytest.mark.parametrize("architecture", ["Llama", "Mistral", "GPT2"])
def test_a_search_changes_nothing_of_model_tokenizer_and_torch(architecture: str, kind: str):
    model, tokenizer = tiny_model(architecture), tiny_tokenizer()
    tokenizer.padding_side = "right"
    next(model.parameters()).requires_grad_(False)
    backbone = Backbone.from_model(model, tokenizer)
    before = observed(backbone)
    config = LatentSeekConfig(
        latents=kind, num_samples=2, temperature=1.0, continuation_temperature=0.7, fraction=0.5,
        max_new_tokens=8, learning_rate=1.0,
    )  # fmt: skip
    made = draft(backbone, "2 + 2?", config)
    for _ in range(3):
        judged = [attempt.__class__(**attempt.to_dict() | {"score": -0.5}) for attempt in made.attempts]
        made = refine(backbone, "2 + 2?", config, latents=made.latents, samples=judged)
    after = observed(Backbone.from_model(model, tokenizer))
    torch.testing.assert_close(after.pop("weights"), before.pop("weights"), rtol=0, atol=0)
    torch.testing.assert_close(after.pop("random"), before.pop("random"), rtol=0, atol=0)
    assert after == before


def test_all_architectures_of_the_issue_are_there():
    assert ARCHITECTURES.keys() >= {
        "Llama", "Qwen2", "Qwen3", "Mistral", "Gemma2", "Gemma3", "Phi3", "Granite", "GPT2",
    }  # fmt: skip
