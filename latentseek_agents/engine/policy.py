"""The frozen model below everything else: its layers, its head, and the checks that both must pass.

A policy knows tokens and tensors, but no text: the tokenizer and the decoder join it in ``backbone.py``.
"""

import copy
import hashlib
import inspect
import itertools
import logging
import threading
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPast

from latentseek_agents.engine._cpu_kernels import is_plain_linear, with_fast_linear
from latentseek_agents.engine._fair_lock import FairLock
from latentseek_agents.engine._heads import GradientHead, device_of, number_of, rows_of
from latentseek_agents.engine._int8 import finer_activations, is_int8
from latentseek_agents.engine._kinds import refuse_adapter, refuse_model
from latentseek_agents.engine._model_cache import (
    CacheForm,
    ModelCache,
    cache_form,
    forms_to_try,
    joined,
    may_be_joined,
    new_cache,
)
from latentseek_agents.engine._weights import Weights, WeightsWatch, plain_parts, switches
from latentseek_agents.errors import BackboneError

__all__ = ["Policy", "end_token_ids", "layers_of", "nearly_equal"]

_log = logging.getLogger(__name__)
_FINGERPRINT_VALUES = 1024  # of each tensor
# Where the layers of torch's dynamic quantisation are defined.
_DYNAMIC = "torch.ao.nn.quantized.dynamic"


class Policy:
    """A frozen Hugging Face causal LM: token ids to hidden states, hidden states to π(x | z).

    Args:
        model: A causal LM in evaluation mode. It is never changed.
        name: What messages call it.
        fast_linear: Compute its head with :mod:`~latentseek_agents.engine._cpu_kernels`.

    Attributes:
        model: The model as it was given.
        core: The model without the wrapper of an adapter.
        lock: Held for each forward pass, so that threads take turns.

    Raises:
        BackboneError: The model is no causal LM, or is in training mode.
    """

    def __init__(self, model: Any, *, name: str | None = None, fast_linear: bool = True) -> None:
        self.model = model
        # Adapters (PEFT) are injected into the layers of the model they wrap; that one has the known layout.
        self.core = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.name = name or str(
            getattr(getattr(model, "config", None), "_name_or_path", "") or type(model).__name__
        )
        self.lock = FairLock()
        self._fast_linear = fast_linear
        self._is_int8 = is_int8(self.core)
        self._check_architecture()
        self._watch = WeightsWatch(model, self.core)
        self._used = self._watch.look()
        self._changing = threading.Lock()
        # No cached properties: their locks could be held by another thread when the process forks.
        self._cache_form: CacheForm | None = None
        self._reads_rows_together: bool | None = None
        self._joins_prompts: bool | None = None
        self._fingerprints: dict[bytes, str] = {}
        self._find_layers()
        self._head = _without_layers(self.core, fast_linear=fast_linear)
        self._check_weights()
        self._check_behaviour()

    @property
    def _embedding(self) -> Any:
        return self.core.get_input_embeddings()

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        return device_of(self._embedding, self.core.device)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of hidden states."""
        return number_of(self._embedding, self.core.dtype)

    @property
    def number_format(self) -> str:
        """The number format of the weights: the name of a torch dtype, or ``"int8"``."""
        return "int8" if self._is_int8 else str(self.dtype).removeprefix("torch.")

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the model knows."""
        return rows_of(self._embedding, self.config.vocab_size)

    @property
    def config(self) -> Any:
        """The configuration of the text model."""
        return self.core.config.get_text_config(decoder=True)

    @property
    def hidden_size(self) -> int:
        """d, the width of a latent."""
        return self._hidden_size

    @property
    def context_window(self) -> int:
        """Most tokens of prompt and completion together."""
        return int(getattr(self.config, "max_position_embeddings", None) or 2**31)

    @property
    def bytes_per_cached_token(self) -> int:
        """Memory that a token takes in the model's own cache, in texts as short as a few tokens.

        What a recurrent model keeps does not grow with the text; it is spread over these few tokens.
        """
        return self._bytes_per_token

    @property
    def cache_form(self) -> CacheForm:
        """In which form the model keeps what it has read so that reading on is right; found by trying."""
        if self._cache_form is None:
            self._cache_form = self._found_cache_form()
        return self._cache_form

    def _found_cache_form(self) -> CacheForm:
        ids = [(5 + 7 * i) % self.vocabulary_size for i in range(12)]
        with finer_activations():
            expected = self.layers(torch.tensor([ids])).float()
        for form in forms_to_try(cache_form(self.core, self._layers), self._layers):
            if form.name is None:
                break
            try:
                if nearly_equal(self._read_in_parts(form, ids), expected, expected, self.tolerance):
                    return form
            except Exception as error:  # any model's own code runs here
                _log.debug("%s cannot be read in the form %s: %s", self.name, form, error)
        _log.warning("%s reads its whole text again for every token: it has no cache that works", self.name)
        return form

    def new_cache(self) -> ModelCache:
        """A cache for :meth:`layers` that holds nothing yet."""
        return new_cache(self.cache_form, self.config)

    @property
    def reads_rows_together(self) -> bool:
        """Whether texts of one length can be read in one pass behind a common beginning; found by trying."""
        if self._reads_rows_together is None:
            self._reads_rows_together = self._tried_rows_together()
        return self._reads_rows_together

    def _tried_rows_together(self) -> bool:
        if self.number_format == "int8":  # which promises each row the same bits in any company
            return False
        ids = [[(3 + 5 * i + 11 * row) % self.vocabulary_size for i in range(3)] for row in range(2)]
        opening = self.new_cache()
        try:
            with finer_activations():
                self.layers(torch.tensor([[(5 + 7 * i) % self.vocabulary_size for i in range(6)]]), opening)
                alone = [self._token_by_token([row], opening.fork()) for row in ids]
                both = opening.fork()
                both.select([0, 0])
                together = self._token_by_token(ids, both)
                both.select([1])
                left, last = opening.fork(), torch.tensor([[9 % self.vocabulary_size]])
                self._token_by_token(ids[1:], left)
                got = torch.cat([together.flatten(0, 1), self.layers(last, both)]).float()
                expected = torch.cat([*(one[0] for one in alone), self.layers(last, left)]).float()
        except Exception as error:  # any model's own code runs here
            _log.debug("%s reads one row at a time: %s", self.name, error)
            return False
        return nearly_equal(got, expected, expected, self.tolerance)

    @property
    def joins_prompts(self) -> bool:
        """Whether texts of any lengths can be read on in one pass, a token of each; found by trying."""
        if self._joins_prompts is None:
            self._joins_prompts = self.reads_rows_together and self._tried_joining()
        return self._joins_prompts

    def _tried_joining(self) -> bool:
        if depends_on_longest(self.config):
            return False
        texts = [
            [(3 + 5 * i + 11 * row) % self.vocabulary_size for i in range(13 - 4 * row)] for row in range(3)
        ]
        openings = [self.new_cache() for _ in texts]
        try:
            with finer_activations():
                for text, cache in zip(texts, openings, strict=True):
                    self.layers(torch.tensor([text[:-4]]), cache)
                if not all(may_be_joined(cache) for cache in openings):
                    return False
                ends = [text[-4:] for text in texts]
                # One joins the others later, and one leaves.
                first, second, third = (cache.fork() for cache in openings)
                pair = joined([first, second])
                early = self._token_by_token([end[:2] for end in ends[:2]], pair)
                rows = joined([pair, third])
                late = self._token_by_token([ends[0][2:3], ends[1][2:3], ends[2][:1]], rows)
                rows.select([1, 2])
                last = self._token_by_token([ends[1][3:], ends[2][1:2]], rows)
                alone = [
                    self._token_by_token([end], cache)[0] for end, cache in zip(ends, openings, strict=True)
                ]
        except Exception as error:  # any model's own code runs here
            _log.debug("%s reads texts of one length alone: %s", self.name, error)
            return False
        got = torch.cat([early[0], early[1], late[0], late[1], late[2], last[0], last[1]]).float()
        wanted = [alone[0][:2], alone[1][:2], alone[0][2:3], alone[1][2:3], alone[2][:1], alone[1][3:]]
        expected = torch.cat([*wanted, alone[2][1:2]]).float()
        return nearly_equal(got, expected, expected, self.tolerance)

    def _token_by_token(self, rows: list[list[int]], cache: ModelCache) -> torch.Tensor:
        """(rows, n, d) hidden states."""
        passes = [torch.tensor([[row[place]] for row in rows]) for place in range(len(rows[0]))]
        return torch.cat([self.layers_of_rows(tokens, cache) for tokens in passes], dim=1)

    def _read_in_parts(self, form: CacheForm, ids: list[int]) -> torch.Tensor:
        """Hidden states of a text that is read in one pass, then another, then token by token."""
        cache = new_cache(form, self.config)
        parts: list[torch.Tensor] = []
        bounds = [0, 5, 9, *range(10, len(ids) + 1)] if form.in_parts else [0, 5, *range(6, len(ids) + 1)]
        with finer_activations():
            for start, end in itertools.pairwise(bounds):
                if start == bounds[1]:
                    # Another text goes on from a snapshot: what a model keeps in itself would be mixed up.
                    self.layers(torch.tensor([[ids[0]]]), cache.fork())
                parts.append(self.layers(torch.tensor([ids[start:end]]), cache))
        return torch.cat(parts).float()

    @property
    def fingerprint(self) -> str:
        """The :func:`weights_fingerprint` of the model as it is now, adapters in use included."""
        key = self.weights().key
        known = self._fingerprints
        if key not in known:
            # The last few: adapters are switched to and fro.
            self._fingerprints = dict([*known.items()][-7:]) | {key: weights_fingerprint(self.model)}
        return self._fingerprints.get(key) or weights_fingerprint(self.model)

    def _find_layers(self) -> None:
        self._layers = layers_of(self.core)
        arguments = inspect.signature(type(self._layers).forward).parameters
        self._takes_use_cache = not arguments.keys().isdisjoint({"use_cache", "kwargs"})
        self._takes_embeddings = "inputs_embeds" in inspect.signature(type(self.core).forward).parameters

    def weights(self) -> Weights:
        """What the model computes with now: what is kept with other weights is not for it.

        Raises:
            BackboneError: It was changed into something that cannot serve.
        """
        now = self._watch.look()
        refuse_adapter(self.model, self._describe())
        if now.modules != self._used.modules:
            with self._changing:
                if now.modules != self._used.modules:
                    # Layers were wrapped, replaced or unwrapped.
                    self._check_architecture()
                    self._find_layers()
                    self._head = _without_layers(self.core, fast_linear=self._fast_linear)
                    self._check_behaviour()
                    self._used = now
        return now

    def running_weights(self) -> int:
        """``weights().running``, looked up fast enough for each forward pass."""
        return self._watch.running()

    def require_unchanged(self, weights: Weights) -> None:
        """Refuse to go on with what was computed with other weights.

        Args:
            weights: What it was computed with.

        Raises:
            BackboneError: An adapter was switched, or a weight changed, since then.
        """
        if self.running_weights() != weights.running:
            raise self.changed()

    def changed(self) -> BackboneError:
        """The error for who was writing when the weights changed."""
        return BackboneError(
            f"the weights of {self.name} changed, or its adapters were switched, while it was writing; "
            "ask again, and change a model only while no call is running"
        )

    def after_fork(self) -> None:
        """New locks in a child process: those of threads that do not exist there are never released."""
        self.lock = FairLock()
        self._changing = threading.Lock()
        self._watch.after_fork()

    @property
    def tolerance(self) -> float:
        """By how much two ways to compute the same may differ, as a share of the largest number.

        With int8 weights the order of a sum can move what is rounded next by a whole step, so compare
        within :func:`~latentseek_agents.engine._int8.finer_activations`.
        """
        if self.number_format == "int8":
            return 0.01
        return max(1e-3, 16 * torch.finfo(self.dtype).eps)

    def layers(self, token_ids: torch.Tensor, cache: ModelCache | None = None) -> torch.Tensor:
        """One forward pass through the layers, without the head.

        Args:
            token_ids: (1, n) int64, the tokens that follow what is in ``cache``.
            cache: From :meth:`new_cache`, or a fork of one; it grows by n. None reads a whole text.

        Returns:
            Last hidden states, (n, d), in the model's dtype.
        """
        return self.layers_of_rows(token_ids, cache)[0]

    def layers_of_rows(self, token_ids: torch.Tensor, cache: ModelCache | None) -> torch.Tensor:
        """One forward pass over texts of one length.

        Args:
            token_ids: (rows, n) int64, the tokens that follow what is in ``cache``.
            cache: Of these rows; it grows by n. None reads whole texts.

        Returns:
            Last hidden states, (rows, n, d), in the model's dtype.
        """
        ids = token_ids.to(self.device)
        given = {"input_ids": ids, "use_cache": False} if cache is None else cache.inputs(ids)
        if not self._takes_use_cache:
            given.pop("use_cache", None)
        # Not in a caller's inference mode: what a recurrent model keeps is written to by later passes.
        with self.lock, torch.inference_mode(mode=False), torch.no_grad():
            output = self._layers(**given)
            if cache is not None:
                cache.read(given, output, ids.shape[1])
        hidden: torch.Tensor = output[0][:, -ids.shape[1] :]
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of π(x | z): all that the model does after its last hidden layer, and nothing else.

        The model's own ``forward`` is run with its layers taken out, so that tied heads, soft caps and
        scalings are the architecture's and not a copy of it. Differentiable in ``hidden``.

        Args:
            hidden: (..., d) hidden states or latents, any floating dtype.

        Returns:
            (..., V) logits in the head's dtype.
        """
        output_layer = self.core.get_output_embeddings()
        output_layer = self._embedding if output_layer is None else output_layer
        place, number = device_of(output_layer, self.device), number_of(output_layer, self.dtype)
        flat = hidden.reshape(1, -1, hidden.shape[-1]).to(place, number)
        head, given = self._head, {"inputs_embeds": flat}
        if not self._takes_embeddings:
            head = _with_hidden_states(head, flat)
            given = {"input_ids": flat.new_zeros(flat.shape[:2], dtype=torch.long)}
        if self._takes_use_cache:
            given["use_cache"] = False  # type: ignore[assignment]
        # The class's forward, not the instance's: a device hook would route the call back to the whole model.
        output = type(self.core).forward(head, **given)
        logits: torch.Tensor = output.logits
        return logits.reshape(*hidden.shape[:-1], logits.shape[-1])

    def _describe(self) -> str:
        kind = type(self.core).__name__
        return f"this is a {kind}" if self.name == kind else f"{self.name} is a {kind}"

    def _check_architecture(self) -> None:
        """Refuse what is no causal LM as far as its class and configuration tell."""
        model, what = self.core, self._describe()
        refuse_model(model, what)
        refuse_adapter(self.model, what)
        remedy = "use a model with a language-modelling head, such as one named ...ForCausalLM"
        if not hasattr(model, "prepare_inputs_for_generation") or _layers_name(model) is None:
            raise BackboneError(f"{what} without a language-modelling head and no causal LM; {remedy}")
        if model.training:
            raise BackboneError(
                f"{what} in training mode, where dropout makes rewards noise; call model.eval() first"
            )

    def _check_weights(self) -> None:
        weight, what = getattr(self._embedding, "weight", None), self._describe()
        if any(parameter.is_meta for parameter in self.core.parameters()):
            raise BackboneError(
                f"{what} with weights that were offloaded and are not in memory; load it whole, "
                "in a narrower dtype or quantised, so that it fits"
            )
        if isinstance(weight, torch.Tensor) and weight.is_inference():
            raise BackboneError(
                f"{what} made inside torch.inference_mode(), so no gradient can pass its head; "
                "load it outside"
            )

    def _measure(self, ids: torch.Tensor) -> None:
        """Sizes that only a pass tells: of a latent, and of what the model keeps of each token."""
        self._hidden_size = int(self.layers(ids).shape[1])
        form = cache_form(self.core, self._layers)
        cache = new_cache(form, self.config)
        try:
            self.layers(ids, cache)
        except Exception:  # any model's own code runs here; `cache_form` looks for another form
            _log.debug("%s does not take %s", self.name, form, exc_info=True)
        self._bytes_per_token = max(8, -(-cache.nbytes // ids.shape[1]))

    def _check_behaviour(self) -> None:
        """Run a few tokens: attention must be causal, and the head alone must give the model's own logits."""
        what = self._describe()
        ids = torch.tensor([[1, 2, 3]]) % self.vocabulary_size
        other = ids.clone()
        other[0, -1] = 4 % self.vocabulary_size
        try:
            self._measure(ids)
            with finer_activations():
                hidden = self.layers(ids).float()
                changed = self.layers(other).float()
            with self.lock, torch.no_grad(), finer_activations():
                # The model as it was given: an adapter that acts outside its layers shows here.
                expected = self.model(input_ids=ids.to(self.device), use_cache=False).logits[0].float()
                got = self.logits(hidden).float()
        except Exception as error:  # any model's own code runs here
            raise BackboneError(
                f"{what} that cannot be run on three tokens ({type(error).__name__}: {error}); "
                "this architecture is not supported"
            ) from error
        epsilon = torch.finfo(self.dtype).eps
        # How far the last row moves tells how large a difference in the rows before it would be.
        if not nearly_equal(hidden[:-1], changed[:-1], hidden[-1] - changed[-1], max(1e-4, 4 * epsilon)):
            if any(type(module).__module__.startswith(_DYNAMIC) for module in self.core.modules()):
                raise BackboneError(
                    f"{what} whose layers are quantised by torch's quantize_dynamic, which rounds all tokens "
                    "of a text by the largest, so that what comes later changes what came before; quantise "
                    "its head alone, or use dtype='int8'"
                )
            raise BackboneError(
                f"{what} whose attention looks ahead, as that of an encoder such as BERT or of a diffusion "
                "language model: it is no causal LM; use a model trained to continue text"
            )
        # Against the largest logit: in half precision small ones are lost in the rounding of large ones.
        if not nearly_equal(got, expected, expected, self.tolerance):
            raise BackboneError(
                f"{what} that does more after its last hidden state than its head; "
                "this architecture is not supported"
            )
        if not self._gradient_passes(hidden[-1:]):
            self._head = with_gradient(self._head, self.core.get_output_embeddings())
            if not self._gradient_passes(hidden[-1:]):
                raise BackboneError(
                    f"{what} through whose head no gradient passes, so that nothing can be refined; "
                    "load its head unquantised"
                )

    def _gradient_passes(self, hidden: torch.Tensor) -> bool:
        """Whether logits depend on hidden states as far as torch knows; some quantised kernels hide it."""
        try:
            with self.lock, torch.inference_mode(mode=False), torch.enable_grad():
                z = hidden.detach().clone().requires_grad_()
                logits = self.logits(z)
                (gradient,) = torch.autograd.grad(torch.log_softmax(logits.float(), -1)[:, 0].sum(), z)
        except RuntimeError:
            return False
        return bool(gradient.any())


def depends_on_longest(config: Any) -> bool:
    """Whether what a text is read as depends on the longest text of its pass.

    Some scale rotary positions by it. Doge keeps the keys that it rates highest; a repeated token has the
    same rating each time, and which of them are kept depends on how far the rows are padded.
    """
    told = str(config.to_dict())
    return any(sign in told for sign in ("'dynamic'", "'longrope'", "'keep_window_size'"))


def weights_fingerprint(model: Any) -> str:
    """A hash of a model: every tensor's name, shape and dtype, and values spread over each of them.

    Reading all of a large model would take minutes; two checkpoints, or two quantisations of one, differ
    nearly everywhere. Of int8 weights the scales are read. Which adapters are in use counts as well.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):  # an extra state, such as a quantiser's settings
            continue
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        for part in plain_parts(value):
            flat = part.detach().reshape(-1)
            stride = max(1, flat.numel() // _FINGERPRINT_VALUES)
            digest.update(flat[::stride].to("cpu", torch.float32).contiguous().numpy().tobytes())
    if isinstance(model, torch.nn.Module) and (used := switches(model)):
        digest.update(repr(used).encode())
    return digest.hexdigest()


def end_token_ids(*sources: Any) -> frozenset[int]:
    """The ``eos_token_id`` of configurations and tokenizers, each an id, a list of ids or None."""
    ids = [getattr(source, "eos_token_id", None) for source in sources]
    return frozenset(
        token for one in ids if one is not None for token in ([one] if isinstance(one, int) else one)
    )


def nearly_equal(got: torch.Tensor, expected: torch.Tensor, scale: torch.Tensor, share: float) -> bool:
    """Whether no difference exceeds this share of the largest number in ``scale``."""
    tolerance = float(scale.abs().nan_to_num().max()) * share
    return torch.allclose(got, expected, rtol=0, atol=tolerance, equal_nan=True)


class _Output(BaseModelOutputWithPast):
    def __getattr__(self, name: str) -> None:  # router logits and the like, which are not used
        if name.startswith("__"):
            raise AttributeError(name)


class _NoLayers(torch.nn.Module):
    """Stands in for the layers: hands on the embeddings that come in."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.__dict__["_layers"] = layers  # no child: the layers' weights are not its own

    def forward(self, *_: Any, inputs_embeds: torch.Tensor | None = None, **__: Any) -> Any:
        hidden = self.__dict__.get("_hidden") if inputs_embeds is None else inputs_embeds
        return _Output(last_hidden_state=hidden)

    @property
    def decoder(self) -> Any:  # OPT's head looks for the layers under this name
        return self

    def __getattr__(self, name: str) -> Any:  # what a head reads of the layers besides, such as a factor
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_layers"], name)


def _with_hidden_states(head: Any, hidden: torch.Tensor) -> Any:
    """A model without layers whose stand-in hands on (1, n, d) hidden states, whatever comes in."""
    changed = copy.copy(head)
    changed._modules = dict(head._modules)
    for name, module in head._modules.items():
        if isinstance(module, _NoLayers):
            stand_in = changed._modules[name] = copy.copy(module)
            stand_in.__dict__["_hidden"] = hidden
    return changed


def layers_of(model: Any) -> Any:
    """What stands between a causal LM's token ids and its head; of a model that sees, the text part."""
    name = _layers_name(model)
    layers = model._modules[name] if name else model.base_model
    children = layers._modules
    if children.get("language_model") is not None:
        return children["language_model"]
    # A wrapper as those around the decoders of encoder-decoders, which heads may pass by.
    return children["decoder"] if list(children) == ["decoder"] else layers


def _layers_name(model: Any) -> str | None:
    """The name of the module that holds the layers; None if there is no head beside it."""
    children = model._modules
    if model.base_model_prefix in children:
        return str(model.base_model_prefix)
    if model.get_output_embeddings() is None:
        return None
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    names = (name for name, child in children.items() if child is not None and child is decoder)
    return next(names, next((name for name in ("model", "transformer") if name in children), None))


def _without_layers(model: Any, *, fast_linear: bool) -> Any:
    """A shallow copy of the model without its layers, for the head; weights are shared."""
    head = copy.copy(model)
    head._modules = dict(model._modules)
    name = _layers_name(model)
    if name is None:
        raise BackboneError(
            f"{type(model).__name__} does not keep its layers under {model.base_model_prefix!r}; "
            "this layout is not supported"
        )
    head._modules[name] = _NoLayers(model._modules[name])
    for name, module in head._modules.items():
        if fast_linear and is_plain_linear(module):
            head._modules[name] = with_fast_linear(module)
    return head


def with_gradient(head: Any, output: Any) -> Any:
    """A copy of a model without layers whose output layer has a gradient, whatever its kernel knows."""
    changed = copy.copy(head)
    changed._modules = {
        name: GradientHead(module) if module is not None and module is output else module
        for name, module in head._modules.items()
    }
    return changed
