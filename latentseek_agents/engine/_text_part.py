"""Load the language model of a checkpoint, and of one that sees or hears the text part alone.

Questions are text, so an image tower would only take memory. Where transformers have a class for the text
part, that class reads its weights out of the whole checkpoint, and the rest stays on the disk.
"""

import logging
from typing import Any

from latentseek_agents.engine._kinds import refuse_configuration, refuse_without_head

__all__ = ["load_language_model"]

_log = logging.getLogger(__name__)
# Where checkpoints of models that see keep what the text part calls `model.` and `lm_head.`.
_NAMES = {
    r"^language_model\.lm_head\.": "lm_head.",
    r"^model\.language_model\.lm_head\.": "lm_head.",
    r"^(model\.)?language_model\.(model\.)?": "model.",
}


def load_language_model(name: str, hub_options: dict[str, Any], **options: Any) -> Any:
    """Load a causal LM; of a checkpoint that holds more, its text part where that is possible.

    Args:
        name: A name on the hub or a folder.
        hub_options: Where and how to find its configuration.
        **options: Of ``from_pretrained``.

    Raises:
        BackboneError: It is no causal LM, or has no weights for its head.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    auto: Any = AutoModelForCausalLM
    config = None if "config" in options else _configuration(name, hub_options)
    text = None if config is None else config.get_text_config(decoder=True)
    if config is not None:
        kinds = (type(config), type(text))
        refuse_configuration(
            config, name, known=any(kind in _causal() or kind in _seeing() for kind in kinds)
        )
    if text is not None and type(text) is not type(config):
        model = _text_part(name, config, text, options)
        if model is not None:
            return model
        _log.info("%s is loaded with all its parts, since its text part cannot be loaded alone", name)
        if type(config) not in _causal() and type(config) in _seeing():
            auto = AutoModelForImageTextToText
    model, found = auto.from_pretrained(name, output_loading_info=True, **options)
    refuse_without_head(model, found["missing_keys"], name)
    return model


def _configuration(name: str, hub_options: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(name, **hub_options)
    except Exception:  # the loader of the model meets it again, and its message is the one wanted
        return None


def _text_part(name: str, whole: Any, text: Any, options: dict[str, Any]) -> Any:
    """The text part, or None if no class reads all its weights out of this checkpoint."""
    # What is not quantised is listed by the names that the whole has for it.
    if type(text) not in _causal() or getattr(whole, "quantization_config", None) is not None:
        return None
    kind = _causal()[type(text)]
    loading = {"config": text, "key_mapping": dict(_NAMES), "output_loading_info": True, **options}
    model, found = kind.from_pretrained(name, **loading)
    if set(found["missing_keys"]) == {"lm_head.weight"} and getattr(whole, "tie_word_embeddings", False):
        text.tie_word_embeddings = True  # the whole alone says so
        model, found = kind.from_pretrained(name, **loading)
    if found["missing_keys"]:
        _log.info(
            "%s: %s does not find %s", name, kind.__name__, ", ".join(sorted(found["missing_keys"])[:3])
        )
        return None
    return model


def _causal() -> Any:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    return MODEL_FOR_CAUSAL_LM_MAPPING


def _seeing() -> Any:
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    return MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
