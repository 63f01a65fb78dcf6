"""Where a backbone comes from, and how a prompt becomes token ids."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from latentseek_agents.config import LatentSeekConfig
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.search import draft
from latentseek_agents.errors import BackboneError, InputError
from latentseek_agents.testing import tiny_backbone, tiny_model, tiny_tokenizer

NO_SYSTEM_ROLE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and its tokenizer as `save_pretrained` writes them."""
    made = tmp_path_factory.mktemp("model")
    tiny_model().save_pretrained(made)
    tiny_tokenizer().save_pretrained(made)
    return made


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def pipeline(tiny: Backbone) -> Any:
    return transformers.pipeline("text-generation", model=tiny.model, tokenizer=tiny.tokenizer, device="cpu")


def test_from_a_transformers_pipeline(tiny: Backbone, pipeline: Any):
    backbone = Backbone.from_model(pipeline)
    assert backbone.model is tiny.model
    assert backbone.tokenizer is tiny.tokenizer


def test_from_objects_like_those_of_langchain_huggingface(tiny: Backbone, pipeline: Any):
    llm = SimpleNamespace(pipeline=pipeline, model_id="tiny")
    chat = SimpleNamespace(llm=llm, tokenizer=tiny.tokenizer)
    for source in (llm, chat):
        backbone = Backbone.from_model(source)
        assert backbone.model is tiny.model
        assert backbone.tokenizer is tiny.tokenizer


def test_an_own_tokenizer_wins_over_that_of_a_pipeline(tiny: Backbone, pipeline: Any):
    other = tiny_tokenizer(chat=False)
    backbone = Backbone.from_model(SimpleNamespace(pipeline=pipeline), other)
    assert backbone.model is tiny.model
    assert backbone.tokenizer is other


def test_a_bare_model_needs_a_tokenizer(tiny: Backbone):
    with pytest.raises(BackboneError, match=r"LlamaForCausalLM has no tokenizer.*from_model\(model, tokeni"):
        Backbone.from_model(tiny.model)


@pytest.mark.parametrize("fast", [False, True])
def test_from_a_local_folder(folder: Path, tiny: Backbone, monkeypatch: pytest.MonkeyPatch, fast: bool):
    """The default dtype is that in which this device computes fast; the test's processor does not matter."""
    monkeypatch.setattr("latentseek_agents.engine.loading.native_bfloat16", lambda: fast)
    config = LatentSeekConfig(max_new_tokens=8)
    expected = draft(tiny, "2 + 2?", config).attempts
    for name in (str(folder), folder):
        backbone = Backbone.from_pretrained(name)
        assert not backbone.model.training
        assert backbone.dtype == (torch.bfloat16 if fast or torch.cuda.is_available() else torch.float32)
        assert backbone.name == str(folder)
    backbone = Backbone.from_pretrained(str(folder), dtype="float32", device="cpu")
    assert draft(backbone, "2 + 2?", config).attempts == expected


@pytest.mark.parametrize("dtype", ["bfloat16", "torch.bfloat16", torch.bfloat16])
def test_dtype_by_name_or_object(folder: Path, dtype: Any):
    assert Backbone.from_pretrained(str(folder), dtype=dtype, device="cpu").dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["float16", "torch.float16", torch.float16, torch.bfloat16, "float64"])
def test_the_older_name_of_dtype(folder: Path, dtype: Any):
    wanted = getattr(torch, str(dtype).removeprefix("torch."))
    assert Backbone.from_pretrained(str(folder), torch_dtype=dtype, device="cpu").dtype == wanted
    assert Backbone.from_pretrained(str(folder), torch_dtype=dtype, dtype=dtype, device="cpu").dtype == wanted
    with pytest.raises(BackboneError, match=r"and torch_dtype=.* differ; give dtype alone"):
        Backbone.from_pretrained(str(folder), torch_dtype=dtype, dtype="float32")


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("dtyp", "did you mean 'dtype'"),
        ("devices", "did you mean 'device'"),
        ("revison", "did you mean 'revision'"),
        ("attn_implementatoin", "did you mean 'attn_implementation'"),
        ("trust_remote", "did you mean 'trust_remote_code'"),
        ("padding_side", "leave it out"),
        ("use_fast", "leave it out"),
    ],
)
def test_an_option_that_is_none(folder: Path, option: str, advice: str):
    options: dict[str, Any] = {option: "left"}
    with pytest.raises(BackboneError, match=f"'{option}' is no option of .*{advice}"):
        Backbone.from_pretrained(str(folder), **options)


def test_two_options_that_say_where_the_model_goes(folder: Path):
    with pytest.raises(BackboneError, match="device='cpu' and device_map='cpu' both say where"):
        Backbone.from_pretrained(str(folder), device="cpu", device_map="cpu")


@pytest.mark.parametrize("dtype", ["int4", "float23", "", "nn", torch.int64, 16])
def test_dtype_that_is_none(folder: Path, dtype: Any):
    with pytest.raises(BackboneError, match="is unknown; use 'float32', 'bfloat16' or 'float16'"):
        Backbone.from_pretrained(str(folder), dtype=dtype)


def test_device_that_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(BackboneError, match="device='gpu' is unknown; use 'cpu', 'cuda'"):
        Backbone.from_pretrained(str(folder), device="gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackboneError, match="device='cuda:0', but PyTorch finds no GPU here"):
        Backbone.from_pretrained(str(folder), device="cuda:0")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["nobody/has-this-model", "no such folder/at all", "a/b/c", ""])
def test_an_unknown_name_is_said_to_be_unknown(name: str):
    with pytest.raises(BackboneError, match=r"could not load .*Check the name, or pass the path") as caught:
        Backbone.from_pretrained(name)
    assert repr(name) in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.usefixtures("offline")
def test_a_folder_without_a_model(tmp_path: Path):
    with pytest.raises(BackboneError, match="could not load"):
        Backbone.from_pretrained(str(tmp_path))


def test_weights_cut_short(folder: Path, tmp_path: Path):
    for file in folder.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[:1000] if file.suffix == ".safetensors" else data)
    with pytest.raises(BackboneError, match="could not load"):
        Backbone.from_pretrained(str(tmp_path))


def test_a_folder_with_an_encoder_decoder(tmp_path: Path):
    transformers.T5Config(vocab_size=259, d_model=16).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="holds a model of the type 't5', an encoder-decoder"):
        Backbone.from_pretrained(str(tmp_path))


def test_remote_code_is_off_unless_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    real = transformers.AutoModelForCausalLM.from_pretrained

    def spy(name: str, **options: Any) -> Any:
        seen.append((options["trust_remote_code"], options["revision"], options.get("attn_implementation")))
        return real(name, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", spy)
    Backbone.from_pretrained(str(folder))
    Backbone.from_pretrained(
        str(folder), trust_remote_code=True, revision="main", attn_implementation="eager"
    )
    assert seen == [(False, None, None), (True, "main", "eager")]


def test_prompt_in_the_chat_format(tiny: Backbone):
    expected = "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"
    ids = tiny.encode_prompt("How many?")
    assert tiny.decode(ids, skip_special_tokens=False) == expected
    assert tiny.encode_prompt([{"role": "user", "content": "How many?"}]) == ids
    assert tiny.decode(ids) == "user\nHow many?\nassistant\n"


def test_a_prompt_already_in_the_chat_format_is_taken_as_it_is(tiny: Backbone):
    formatted = "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\nLet me see. "
    assert tiny.decode(tiny.encode_prompt(formatted), skip_special_tokens=False) == formatted
    later = f"What does {formatted} mean?"
    assert tiny.decode(tiny.encode_prompt(later), skip_special_tokens=False).startswith(
        "<|im_start|>user\nWhat does"
    )


def test_without_a_chat_template_prompts_are_plain_text():
    backbone = tiny_backbone(chat=False)
    assert backbone.decode(backbone.encode_prompt("1 + 1 =")) == "1 + 1 ="
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2 + 2?"},
    ]
    text = backbone.decode(backbone.encode_prompt(messages))
    assert text == "Be brief.\n\nQuestion: 1 + 1?\n\nAnswer: 2\n\nQuestion: 2 + 2?\n\nAnswer:"


def test_a_template_without_system_role_gets_it_in_the_first_user_message():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = NO_SYSTEM_ROLE
    backbone = Backbone.from_model(tiny_model(), tokenizer)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2"},
    ]
    text = backbone.decode(backbone.encode_prompt(messages), skip_special_tokens=False)
    assert text == (
        "<|im_start|>user\nBe brief.\n\n1 + 1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    with pytest.raises(
        InputError, match=r"refuses these messages: System role.*their roles are user, system"
    ):
        backbone.encode_prompt([messages[1], messages[0]])


def test_special_tokens_are_the_templates_own_and_not_added_twice():
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer()
    core = tokenizer.backend_tokenizer
    core.post_processor = TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)])
    backbone = Backbone.from_model(tiny_model(), tokenizer)
    assert tokenizer("x")["input_ids"][0] == 1
    assert backbone.encode_prompt("x").count(1) == 2
    assert backbone.encode_prompt("x", add_special_tokens=True).count(1) == 3
    tokenizer.chat_template = None
    assert backbone.encode_prompt("x").count(1) == 1


def test_a_question_that_fills_the_window_is_refused():
    backbone = tiny_backbone(max_position_embeddings=64)
    frame = len(backbone.encode_prompt(""))
    assert len(backbone.encode_prompt("x" * (63 - frame))) == 63
    with pytest.raises(InputError, match=r"takes 64 tokens, but .* has a context window of 64; shorten it"):
        backbone.encode_prompt("x" * (64 - frame))


def test_the_window_is_the_smaller_of_the_models_and_the_tokenizers():
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 50
    assert Backbone.from_model(tiny_model(), tokenizer).context_window == 50
    tokenizer.model_max_length = 5000
    assert Backbone.from_model(tiny_model(), tokenizer).context_window == 1024
