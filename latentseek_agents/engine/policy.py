"""The frozen model below everything else: its layers, its head, and the checks that both must pass.

A policy knows tokens and tensors, but no text: the tokenizer and the decoder join it in ``backbone.py``.
"""

import copy
import functools
import hashlib
import threading
from typing import Any

import torch
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPast

from latentseek_agents.engine._cpu_kernels import is_plain_linear, with_fast_linear
from latentseek_agents.engine._fair_lock import FairLock
from latentseek_agents.engine._heads import GradientHead, device_of, number_of, rows_of
from latentseek_agents.engine._int8 import finer_activations, is_int8
from latentseek_agents.engine._kinds import refuse_adapter, refuse_model
from latentseek_agents.engine._weights import Weights, WeightsWatch, plain_parts, switches
from latentseek_agents.errors import BackboneError

__all__ = ["Policy", "end_token_ids", "nearly_equal"]

_FINGERPRINT_VALUES = 1024  # of each tensor


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
        BackboneError: The model is no causal LM, is in training mode, or keeps a state that cannot be
            rewound.
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
        self._check_architecture()
        self._watch = WeightsWatch(model, self.core)
        self._used = self._watch.look()
        self._changing = threading.Lock()
        self._fingerprints: dict[bytes, str] = {}
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

    @functools.cached_property
    def number_format(self) -> str:
        """The number format of the weights: the name of a torch dtype, or ``"int8"``."""
        return "int8" if is_int8(self.core) else str(self.dtype).removeprefix("torch.")

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
        return int(self.config.hidden_size)

    @property
    def context_window(self) -> int:
        """Most tokens of prompt and completion together."""
        return int(getattr(self.config, "max_position_embeddings", None) or 2**31)

    @property
    def bytes_per_cached_token(self) -> int:
        """Memory that the keys and values of one token take."""
        config = self.config
        heads = int(config.num_attention_heads)
        width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        heads = int(getattr(config, "num_key_value_heads", None) or heads)
        return 2 * int(config.num_hidden_layers) * heads * width * self.dtype.itemsize

    @property
    def fingerprint(self) -> str:
        """The :func:`weights_fingerprint` of the model as it is now, adapters in use included."""
        key = self.weights().key
        known = self._fingerprints
        if key not in known:
            # The last few: adapters are switched to and fro.
            self._fingerprints = dict([*known.items()][-7:]) | {key: weights_fingerprint(self.model)}
        return self._fingerprints.get(key) or weights_fingerprint(self.model)

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

    def layers(self, token_ids: torch.Tensor, cache: Any) -> torch.Tensor:
        """One forward pass through the layers, without the head.

        Args:
            token_ids: (1, n) int64, the tokens that follow what is in ``cache``.
            cache: A ``transformers`` cache; it grows by n.

        Returns:
            Last hidden states, (n, d), in the model's dtype.
        """
        with self.lock, torch.no_grad():
            output = self.core.base_model(
                input_ids=token_ids.to(self.device), past_key_values=cache, use_cache=True
            )
        hidden: torch.Tensor = output.last_hidden_state[0]
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
        head = self.core.get_output_embeddings()
        head = self._embedding if head is None else head
        place, number = device_of(head, self.device), number_of(head, self.dtype)
        flat = hidden.reshape(1, -1, hidden.shape[-1]).to(place, number)
        # The class's forward, not the instance's: a device hook would route the call back to the whole model.
        output = type(self.core).forward(self._head, inputs_embeds=flat, use_cache=False)
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

    def _check_behaviour(self) -> None:
        """Run a few tokens: attention must be causal, and the head alone must give the model's own logits."""
        what = self._describe()
        ids = torch.tensor([[1, 2, 3]]) % self.vocabulary_size
        other = ids.clone()
        other[0, -1] = 4 % self.vocabulary_size
        try:
            with finer_activations():
                hidden = self.layers(ids, DynamicCache()).float()
                changed = self.layers(other, DynamicCache()).float()
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

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> Any:
        return _Output(last_hidden_state=inputs_embeds)

    @property
    def decoder(self) -> Any:  # OPT's head looks for the layers under this name
        return self


def _without_layers(model: Any, *, fast_linear: bool) -> Any:
    """A shallow copy of the model without its layers, for the head; weights are shared."""
    head = copy.copy(model)
    head._modules = dict(model._modules)
    if model.base_model_prefix not in head._modules:
        raise BackboneError(
            f"{type(model).__name__} does not keep its layers under {model.base_model_prefix!r}; "
            "this layout is not supported"
        )
    head._modules[model.base_model_prefix] = _NoLayers()
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
