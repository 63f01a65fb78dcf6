"""What cannot serve is refused in one sentence that is true of it, and so is a state that cannot go on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from latentseek_agents import Backbone, LatentSeekConfig
from latentseek_agents.engine._kinds import refuse_configuration
from latentseek_agents.engine.latents import Latents
from latentseek_agents.engine.search import draft, refine
from latentseek_agents.errors import BackboneError, InputError
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer

SMALL: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
T5: dict[str, Any] = {
    "vocab_size": 259,
    "d_model": 16,
    "d_kv": 4,
    "d_ff": 16,
    "num_layers": 1,
    "num_heads": 2,
}
BART: dict[str, Any] = {
    "vocab_size": 259, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
}  # fmt: skip


def made(kind: str, config: str, **settings: Any) -> Any:
    return getattr(transformers, kind)(getattr(transformers, config)(**settings)).eval()


class DreamForDiffusion(transformers.LlamaForCausalLM):
    """A diffusion language model by its name; they come with code of their own."""


def diffusion() -> Any:
    return DreamForDiffusion(tiny_model().config).eval()


def looks_ahead() -> Any:
    """As LLaDA: no name tells, but attention sees what follows."""
    model = tiny_model(attn_implementation="eager")
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
        whole = layer.self_attn.forward
        layer.self_attn.forward = lambda *a, whole=whole, **k: whole(*a, **k | {"attention_mask": None})
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: made("BertForMaskedLM", "BertConfig", **SMALL),
            "BertForMaskedLM, a masked language model, which f",
        ),
        (
            lambda: made("RobertaForMaskedLM", "RobertaConfig", **SMALL),
            "RobertaForMaskedLM, a masked language mo",
        ),
        (
            lambda: made("BertForSequenceClassification", "BertConfig", **SMALL),
            "a classifier of texts, and no cau",
        ),
        (
            lambda: made("BertForTokenClassification", "BertConfig", **SMALL),
            "a classifier of tokens, and no causal",
        ),
        (
            lambda: made("BertForQuestionAnswering", "BertConfig", **SMALL),
            "a model that marks answers in a text",
        ),
        (lambda: made("BertModel", "BertConfig", **SMALL), "BertModel without a language-modelling head"),
        (
            lambda: made("BertLMHeadModel", "BertConfig", **SMALL),
            "looks ahead, as that of an encoder such as BERT",
        ),
        (
            lambda: made("LlamaForSequenceClassification", "LlamaConfig", **SMALL, pad_token_id=0),
            "classifier of te",
        ),
        (lambda: made("LlamaModel", "LlamaConfig", **SMALL), "LlamaModel without a language-modelling head"),
        (lambda: made("T5ForConditionalGeneration", "T5Config", **T5), "an encoder-decoder and no causal LM"),
        (lambda: made("T5EncoderModel", "T5Config", **T5), "T5EncoderModel.* and no causal LM"),
        (
            lambda: made("BartForConditionalGeneration", "BartConfig", **BART),
            "an encoder-decoder and no causal LM",
        ),
        (diffusion, "DreamForDiffusion, a diffusion language model, which writes many tokens at once"),
        (looks_ahead, "looks ahead, as that of an encoder such as BERT or of a diffusion language model"),
    ],
)
def test_other_kinds_of_models(make: Any, message: str):
    with pytest.raises(BackboneError, match=message) as raised:
        Backbone.from_model(make(), tiny_tokenizer())
    assert str(raised.value).startswith("this is a ")
    assert "\n" not in str(raised.value)


SEQ2SEQ = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
IN_FOLDERS: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "T5ForConditionalGeneration",
        "T5Config",
        T5,
        "holds a T5ForConditionalGeneration, an encoder-decoder and no",
    ),
    ("T5EncoderModel", "T5Config", T5, "holds a T5EncoderModel, .*no causal LM"),
    # transformers would load these as decoders, without the encoder.
    ("BartForConditionalGeneration", "BartConfig", BART, "an encoder-decoder and no causal LM"),
    (
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        BART | SEQ2SEQ,
        "an encoder-decoder and no causal LM",
    ),
    # And these with random heads, or as what they are not.
    (
        "BertForMaskedLM",
        "BertConfig",
        SMALL,
        "holds a BertForMaskedLM, a masked language model, which fills gaps",
    ),
    ("BertModel", "BertConfig", SMALL, "no weights for the language-modelling head .* random numbers"),
    ("LlamaForSequenceClassification", "LlamaConfig", SMALL, "a classifier of texts, and no causal LM"),
    ("LlamaModel", "LlamaConfig", SMALL, r"no weights for the language-modelling head \(lm_head.weight\)"),
    (
        "GPT2Model",
        "GPT2Config",
        {"n_embd": 16, "n_layer": 1, "n_head": 2, "tie_word_embeddings": False},
        "no weights",
    ),
    ("ModernBertForMaskedLM", "ModernBertConfig", SMALL | {"pad_token_id": 0}, "a masked language model"),
    (
        "CLIPTextModel",
        "CLIPTextConfig",
        SMALL,
        "a CLIPTextModel, and transformers have no causal LM of the type 'clip",
    ),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "config", "given", "message"), IN_FOLDERS, ids=[row[0] for row in IN_FOLDERS]
)
def test_other_kinds_of_checkpoints(
    kind: str, config: str, given: dict[str, Any], message: str, tmp_path: Path
):
    model = made(kind, config, **given)
    model.config.pad_token_id = 0
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=message) as raised:
        Backbone.from_pretrained(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "changes", [{"model_type": "diffusion_gemma"}, {"model_type": "llada", "remote": True}]
)
def test_diffusion_models_are_told_by_their_configuration(changes: dict[str, Any]):
    config: Any = transformers.LlamaConfig(**SMALL)
    config.model_type = changes["model_type"]
    if changes.get("remote"):
        config.auto_map = {"AutoModel": "modeling.Model"}
    with pytest.raises(
        BackboneError, match=r"holds a .*, a diffusion language model, which writes many tokens"
    ):
        refuse_configuration(config, "some/name", known=False)


def test_a_model_whose_head_is_its_embedding_needs_no_weights_for_it(tmp_path: Path):
    made("LlamaModel", "LlamaConfig", **SMALL, tie_word_embeddings=True).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    Backbone.from_pretrained(tmp_path, dtype="float32")


PROMPTED = [
    ("PromptTuningConfig", {"num_virtual_tokens": 4}),
    ("PrefixTuningConfig", {"num_virtual_tokens": 4}),
    ("PromptEncoderConfig", {"num_virtual_tokens": 4, "encoder_hidden_size": 8}),
    ("MultitaskPromptTuningConfig", {"num_virtual_tokens": 4, "num_tasks": 2}),
]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("kind", "options"), PROMPTED)
def test_learned_prompts_are_refused(kind: str, options: dict[str, Any]):
    config = getattr(peft, kind)(task_type="CAUSAL_LM", **options)
    model: Any = peft.get_peft_model(tiny_model(), config).eval()
    with pytest.raises(
        BackboneError, match=r"adapter of the kind [A-Z_]+, whose learned prompt stands before ever"
    ):
        Backbone.from_model(model, tiny_tokenizer())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig"])
def test_a_folder_with_a_learned_prompt_is_refused(kind: str, tmp_path: Path):
    tiny_model().save_pretrained(tmp_path / "base")
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    config = getattr(peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=4)
    peft.get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    tiny_tokenizer().save_pretrained(tmp_path / "adapter")
    with pytest.raises(
        BackboneError, match="an adapter with a learned prompt, which stands before every text"
    ):
        Backbone.from_pretrained(tmp_path / "adapter")


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_an_activated_adapter_is_refused():
    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], alora_invocation_tokens=[5, 6])
    model: Any = peft.get_peft_model(tiny_model(), config).eval()
    with pytest.raises(
        BackboneError, match="an activated LORA adapter, which acts only behind certain tokens"
    ):
        Backbone.from_model(model, tiny_tokenizer())


# -- tokenizers


def shorter(count: int) -> Any:
    """A tokenizer of so many bytes."""
    from tokenizers import Tokenizer, models

    core = Tokenizer(models.WordLevel({f"w{i}": i for i in range(count)}, unk_token="w0"))  # noqa: S106
    build: Any = transformers.PreTrainedTokenizerFast
    return build(tokenizer_object=core, eos_token="w1", pad_token="w0")  # noqa: S106


@pytest.mark.parametrize(
    ("model", "tokenizer", "message"),
    [
        (
            tiny_model,
            lambda: shorter(260),
            "it has 260 tokens and the model knows 259; use the tokenizer that",
        ),
        (lambda: tiny_model(vocab_size=100), tiny_tokenizer, "it has 2.. tokens and the model knows 100"),
        (
            lambda: tiny_model(eos_token_id=200),
            lambda: shorter(150),
            "ends a text with token 200, and .* 150 tokens",
        ),
        (lambda: tiny_model(eos_token_id=[151, 200]), lambda: shorter(150), "ends a text with token 151"),
        (tiny_model, lambda: "Qwen/Qwen2.5", "the tokenizer is a str, not a Hugging Face tokenizer"),
        (
            tiny_model,
            transformers.BertConfig,
            "the tokenizer is a BertConfig, not a Hugging Face tok",
        ),
    ],
)
def test_a_tokenizer_that_does_not_fit(model: Any, tokenizer: Any, message: str):
    with pytest.raises(BackboneError, match=message):
        Backbone.from_model(model(), tokenizer())


def test_a_tokenizer_with_a_token_that_the_model_does_not_know_fits():
    """People add one for padding, and never write it."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|pad|>"]})
    assert len(tokenizer) > tiny_backbone().policy.vocabulary_size
    Backbone.from_model(tiny_model(), tokenizer)


@pytest.mark.parametrize(
    "model", [lambda: tiny_model(vocab_size=512), lambda: tiny_model(eos_token_id=50_256)]
)
def test_a_model_that_knows_more_tokens_than_the_tokenizer_fits(model: Any):
    """Embeddings are padded, and some configurations keep the end token of another model."""
    Backbone.from_model(model(), tiny_tokenizer())


# -- options


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("model"))
    tiny_model().save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"torch_dtyp": "float32"}, "'torch_dtyp' is no option .* did you mean 'torch_dtype'"),
        ({"devices": "cpu"}, "'devices' is no option .* did you mean 'device'"),
        ({"atn_implementation": "eager"}, "'atn_implementation' is no option .*'attn_implementation'"),
        ({"quantisation_config": None}, "'quantisation_config' is no option .*'quantization_config'"),
        ({"banana": 3}, "'banana' is no option of Backbone.from_pretrained or of this model; leave it out"),
        ({"load_in_5bit": True}, "'load_in_5bit' is no option"),
        ({"load_in_4bit": True}, r"quantization_config=transformers.BitsAndBytesConfig\(load_in_4bit=True\)"),
    ],
)
def test_unknown_options_are_named(folder: str, options: dict[str, Any], message: str):
    with pytest.raises(BackboneError, match=message) as raised:
        Backbone.from_pretrained(folder, **options)
    assert "Check the name" not in str(raised.value)


def test_a_folder_without_a_tokenizer(tmp_path: Path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=r"there is no tokenizer in .*use Backbone.from_model"):
        Backbone.from_pretrained(tmp_path)


def test_what_is_missing_is_not_blamed_on_the_name(folder: str):
    with pytest.raises(BackboneError, match="could not load") as raised:
        Backbone.from_pretrained(folder, attn_implementation="flash_attention_9")
    assert "flash_attention_9" in str(raised.value)
    assert "Check the name" not in str(raised.value)


# -- states

CONFIG = LatentSeekConfig(max_new_tokens=8, fraction=0.5)
STEP = draft(tiny_backbone(), "2 + 2?", CONFIG)
JUDGED = [replace(attempt, score=-1.0) for attempt in STEP.attempts]


def changed(**tensors: torch.Tensor) -> bytes:
    return replace(Latents.from_bytes(STEP.latents), **tensors).to_bytes()  # type: ignore[arg-type]


JUNK: list[Any] = [
    b"junk",
    b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ",
    STEP.latents[:-1],
    STEP.latents[: len(STEP.latents) // 2],
    STEP.latents + b"\0",
    STEP.latents.replace(b"exp_avg", b"exp_avx"),
    "text",
    12,
    changed(exp_avg=torch.zeros(1, 32)),
    changed(values=torch.zeros(32)),
    changed(hidden=torch.zeros(1, 3, 32)),
    changed(values=torch.zeros(4, 32, dtype=torch.float64)),
    changed(step=-3),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("latents", JUNK)
def test_junk_in_the_latents(latents: Any):
    with pytest.raises(InputError, match="the latents in this state are damaged, or no latents"):
        refine(tiny_backbone(), "2 + 2?", CONFIG, latents=latents, samples=JUDGED)


@settings(deadline=None, max_examples=50)
@given(st.binary(min_size=1, max_size=200) | st.tuples(st.integers(0, 400), st.integers(0, 255)))
def test_junk_never_ends_in_a_raw_error(data: Any):
    if isinstance(data, tuple):
        data = STEP.latents[: data[0]] + bytes([data[1]]) + STEP.latents[data[0] + 1 :]
    try:
        found = Latents.from_bytes(data)
    except InputError:
        return
    assert found.values.dtype == torch.float32
    assert found.values.shape == found.exp_avg.shape


@pytest.mark.parametrize("width", [16, 64, 8])
def test_latents_of_a_model_of_another_width(width: int):
    other = tiny_backbone(hidden_size=width)
    with pytest.raises(InputError, match=f"32 wide, but LlamaForCausalLM has states of {width}; go on with"):
        refine(other, "2 + 2?", CONFIG, latents=STEP.latents, samples=JUDGED)


@pytest.mark.parametrize("tokens", [[5] * 9, [400], [-1], [5, 259]])
def test_tokens_that_do_not_belong_to_the_latents(tokens: list[int]):
    samples = [replace(JUDGED[0], latent_token_ids=tokens)]
    with pytest.raises(InputError, match="they do not belong together"):
        refine(tiny_backbone(), "2 + 2?", CONFIG, latents=STEP.latents, samples=samples)
