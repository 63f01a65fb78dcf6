"""Models and tokenizers that a search cannot work with, each refused in a sentence that is true of it."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from latentseek_agents.errors import BackboneError

__all__ = [
    "refuse_adapter",
    "refuse_configuration",
    "refuse_model",
    "refuse_tokenizer",
    "refuse_without_head",
]

_REMEDY = "use a model with a language-modelling head, such as one named ...ForCausalLM"
# By the ends of class names: what such a model does in place of writing on.
_OTHER_TASKS = {
    "ForMaskedLM": "a masked language model, which fills gaps in a text",
    "ForPreTraining": "a model with the heads of its pre-training",
    "ForSequenceClassification": "a classifier of texts",
    "ForTokenClassification": "a classifier of tokens",
    "ForQuestionAnswering": "a model that marks answers in a text",
    "ForMultipleChoice": "a model that chooses among answers",
    "ForNextSentencePrediction": "a model that tells whether a sentence follows",
    "RewardModel": "a reward model",
    "ForImageClassification": "a classifier of images",
    "ForCTC": "a speech recogniser",
    "ForSequenceRegression": "a model that rates texts",
}
# Diffusion language models whose names do not say it; their code comes with the checkpoint.
_DIFFUSING = frozenset({"dream", "llada", "llada_moe", "mdlm"})


def refuse_model(model: Any, what: str) -> None:
    """Refuse a model that is no causal LM as far as its class and configuration tell.

    Args:
        model: Without the wrapper of an adapter.
        what: The model in words, for the beginning of the sentence.

    Raises:
        BackboneError: It is something else.
    """
    config = getattr(model, "config", None)
    if config is None or not callable(getattr(model, "get_output_embeddings", None)):
        raise BackboneError(f"{what}, not a Hugging Face model; pass a causal LM and its tokenizer")
    kind = type(model).__name__
    _refuse_kind(kind, config, what, writes=hasattr(model, "prepare_inputs_for_generation"))


def _refuse_kind(kind: str, config: Any, what: str, *, writes: bool = False) -> None:
    """Refuse a class of models by its name and configuration.

    Args:
        kind: The name of the class; "" if it is not known.
        config: Of the model.
        what: The model in words.
        writes: Whether the class can generate.
    """
    model_type = str(getattr(config, "model_type", "")).lower()
    if "diffusion" in kind.lower() or "diffusion" in model_type or model_type in _DIFFUSING:
        raise BackboneError(
            f"{what}, a diffusion language model, which writes many tokens at once and no token after the "
            "other; use a causal LM"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise BackboneError(f"{what}, an encoder-decoder and no causal LM; {_REMEDY}")
    for end, task in _OTHER_TASKS.items():
        if kind.endswith(end) and not writes:
            raise BackboneError(f"{what}, {task}, and no causal LM; {_REMEDY}")


def refuse_configuration(config: Any, name: str, *, known: bool) -> None:
    """Refuse a checkpoint that is no causal LM as far as its configuration tells, before it is loaded.

    Transformers would load the half of it that fits, and fill the rest with random numbers.

    Args:
        config: Of the checkpoint.
        name: Its name or folder.
        known: Whether there is a class for its kind that generates text.

    Raises:
        BackboneError: It is something else.
    """
    kind = str(next(iter(getattr(config, "architectures", None) or ()), ""))
    model_type = getattr(config, "model_type", "") or "unknown"
    what = f"{name} holds a {kind or f'model of the type {model_type!r}'}"
    _refuse_kind(kind, config, what)
    if not known and not getattr(config, "auto_map", None):
        raise BackboneError(
            f"{what}, and transformers have no causal LM of the type {model_type!r}; {_REMEDY}"
        )


def refuse_without_head(model: Any, missing: Iterable[str], name: str) -> None:
    """Refuse a checkpoint that has no weights for the head, so that transformers made them up.

    Args:
        model: What was loaded.
        missing: Names of the weights that the checkpoint does not have.
        name: Its name or folder.

    Raises:
        BackboneError: It is one.
    """
    layers = f"{getattr(model, 'base_model_prefix', '')}."
    head = sorted(weight for weight in missing if not weight.startswith(layers))
    if head:
        raise BackboneError(
            f"{name} has no weights for the language-modelling head ({', '.join(head[:3])}), which would be "
            f"random numbers: it is an embedding model, a classifier or a part of a model; {_REMEDY}"
        )


def refuse_adapter(model: Any, what: str) -> None:
    """Refuse an adapter that acts outside the layers, on the tokens that come in.

    Args:
        model: As its caller has it.
        what: The model in words, for the beginning of the sentence.

    Raises:
        BackboneError: Its adapter in use does.
    """
    config = None
    with suppress(Exception):  # a property of PEFT's, which looks the adapter in use up
        config = model.active_peft_config
    if config is None:
        return
    kind = str(getattr(config, "peft_type", "")).rpartition(".")[2]
    remedy = "use an adapter inside the layers, such as LoRA, or the model without it"
    if getattr(config, "is_prompt_learning", False):
        raise BackboneError(
            f"{what} with an adapter of the kind {kind}, whose learned prompt stands before every text and "
            f"is made of no tokens, so that no search can read it; {remedy}"
        )
    if getattr(config, "alora_invocation_tokens", None):
        raise BackboneError(
            f"{what} with an activated {kind} adapter, which acts only behind certain tokens of a text, so "
            f"that a text read in parts is not the same; {remedy}"
        )


def refuse_tokenizer(tokenizer: Any, model: Any, vocabulary: int) -> None:
    """Refuse what is no tokenizer, and one that is another model's as far as the numbers of tokens tell.

    Tokens may have been added that the model does not know, such as one for padding: these are not written.

    Args:
        tokenizer: What was given as one.
        model: Its configurations name the tokens that end a text.
        vocabulary: How many tokens the model knows.

    Raises:
        BackboneError: It does not fit.
    """
    if not callable(tokenizer) or not callable(getattr(tokenizer, "decode", None)):
        raise BackboneError(
            f"the tokenizer is a {type(tokenizer).__name__}, not a Hugging Face tokenizer; "
            "use AutoTokenizer.from_pretrained(name), or load both with Backbone.from_pretrained(name)"
        )
    remedy = "use the tokenizer that belongs to the model: AutoTokenizer.from_pretrained(its name)"
    own = getattr(tokenizer, "vocab_size", None)
    if isinstance(own, int) and own > vocabulary:
        raise BackboneError(
            f"this tokenizer does not fit: it has {own} tokens and the model knows {vocabulary}; {remedy}"
        )
    with suppress(TypeError):  # no length
        ends = [token for token in _ends(model) if 0 <= token < vocabulary]
        if ends and min(ends) >= len(tokenizer):
            raise BackboneError(
                f"this tokenizer does not fit: the model ends a text with token {min(ends)}, and the "
                f"tokenizer has {len(tokenizer)} tokens; {remedy}"
            )


def _ends(model: Any) -> list[int]:
    """The tokens that end a text by the model's own configurations."""
    for source in (getattr(model, "generation_config", None), model.config):
        ids = getattr(source, "eos_token_id", None)
        if ids is not None:
            return [ids] if isinstance(ids, int) else list(ids)
    return []
