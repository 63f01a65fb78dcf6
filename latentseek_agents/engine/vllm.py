"""The same search on vLLM: what :meth:`Backbone.vllm` makes a backbone of."""

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from latentseek_agents.engine._decoding import Decoder
from latentseek_agents.engine._fair_lock import FairLock
from latentseek_agents.engine._vllm import load_model
from latentseek_agents.engine.loading import load_tokenizer, number_format, plain_weights
from latentseek_agents.engine.policy import Policy, end_token_ids, weights_fingerprint
from latentseek_agents.errors import BackboneError

if TYPE_CHECKING:
    from latentseek_agents.engine._vllm import LoadedModel

__all__ = ["VLLMParts", "VLLMPolicy", "load"]


class VLLMPolicy(Policy):
    """The head of a model whose layers vLLM runs.

    Args:
        loaded: What vLLM has loaded.
        name: What messages call it.
    """

    def __init__(self, loaded: "LoadedModel", *, name: str) -> None:
        self.model = self.core = loaded.model
        self.name = name
        self.lock = FairLock()
        self._loaded = loaded

    @property
    def device(self) -> torch.device:
        """Where the head is."""
        return self._loaded.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of hidden states."""
        return self._loaded.dtype

    @functools.cached_property
    def number_format(self) -> str:
        """The number format of the weights: the name of a torch dtype, or that of vLLM's quantisation."""
        return self._loaded.quantization or str(self.dtype).removeprefix("torch.")

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the model knows."""
        return self._loaded.head.vocabulary_size

    @property
    def config(self) -> Any:
        """The configuration of the text model."""
        return self._loaded.config.get_text_config(decoder=True)

    @property
    def hidden_size(self) -> int:
        """d, the width of a latent."""
        return self._loaded.head.hidden_size

    @property
    def context_window(self) -> int:
        """Most tokens of prompt and completion together."""
        return self._loaded.context_window

    @functools.cached_property
    def fingerprint(self) -> str:
        """As in :class:`Policy`; another than that of the same model without vLLM."""
        return f"vllm {weights_fingerprint(self.model)}"

    def layers(self, token_ids: torch.Tensor, cache: Any = None) -> torch.Tensor:
        """Not here.

        Raises:
            BackboneError: Always.
        """
        raise BackboneError(f"the layers of {self.name} run in vLLM alone; decode with backbone.decoder")

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """As in :class:`Policy`, by the formula of the head, which was checked against vLLM's own logits."""
        return self._loaded.head.logits(hidden)


@dataclass(frozen=True)
class VLLMParts:
    """What a backbone is made of.

    Args:
        policy: The model's head.
        decoder: The door to vLLM.
        tokenizer: The model's tokenizer.
        eos_token_ids: Every token id that ends a completion.
    """

    policy: VLLMPolicy
    decoder: Decoder
    tokenizer: Any
    eos_token_ids: frozenset[int]


def load(
    name: "str | os.PathLike[str]",
    *,
    gguf_file: str | None = None,
    dtype: "str | torch.dtype | None" = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    **engine_args: Any,
) -> VLLMParts:
    """Load a model with vLLM; see :meth:`Backbone.vllm`.

    Raises:
        BackboneError: It cannot be loaded or searched; the message says why.
    """
    number = number_format(dtype)
    if number == "int8":
        raise BackboneError(
            "dtype='int8' is an engine of ours on a CPU; with vLLM use quantization=... or a quantised model"
        )
    shown = gguf_file or os.fspath(name)
    folder = plain_weights(name, gguf_file, number or torch.float32, revision)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if folder == os.fspath(name):
        options["revision"] = revision
    else:  # vLLM's own choice for weights in float32 would be half precision
        number = number or torch.float32
    loaded = load_model(
        folder,
        model_name=shown,
        dtype="auto" if number is None else str(number).removeprefix("torch."),
        **options,
        **engine_args,
    )
    tokenizer, config = load_tokenizer(folder, options), loaded.config
    ends = end_token_ids(
        _generation_config(folder, options.get("revision")), config, config.get_text_config(), tokenizer
    )
    return VLLMParts(VLLMPolicy(loaded, name=shown), loaded.decoder, tokenizer, ends)


def _generation_config(folder: str, revision: str | None) -> Any:
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(folder, revision=revision or "main")
    except OSError:
        return None
