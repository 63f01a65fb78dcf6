"""Test doubles: a tiny random model made in memory, a model that writes a script, a scripted verifier.

With them a graph that holds a latent search is tested in milliseconds, with no download and no network.

Example:
    >>> backbone = tiny_backbone()
    >>> backbone.hidden_size
    32
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from latentseek_agents._tiny_configurations import tiny_configuration
from latentseek_agents.engine._decoding import Completion, DecodeRequest, TokenConstraint
from latentseek_agents.engine._thought_constraint import AfterThought
from latentseek_agents.engine.aimed import GivenTokens
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.verdict import Verdict, reward_threshold

__all__ = [
    "ARCHITECTURES",
    "ScriptedVerifier",
    "scripted_backbone",
    "tiny_backbone",
    "tiny_model",
    "tiny_tokenizer",
]

_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_LOUD = 0.2  # standard deviation of weights

_COMMON: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    # Large weights, or every next-token distribution would be nearly uniform.
    "initializer_range": 0.3,
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {"tie_word_embeddings": True},
    "Qwen3": {},
    "Mistral": {"sliding_window": 16},
    "Gemma2": {"sliding_window": 16, "final_logit_softcapping": 5.0, "query_pre_attn_scalar": 8},
    "Gemma3": {"sliding_window": 16, "final_logit_softcapping": 5.0, "query_pre_attn_scalar": 8},
    "Phi3": {},
    "Granite": {"logits_scaling": 8.0, "embedding_multiplier": 2.0},
    "Cohere": {"logit_scale": 0.25},
    "GPT2": {"num_key_value_heads": 4},
}
"""Architectures that :func:`tiny_model` can make, with what sets each apart."""


def tiny_tokenizer(*, chat: bool = True) -> Any:
    """A byte-level tokenizer: every id is one byte or one of three special tokens (259 in all).

    Args:
        chat: Give it a chat template.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(_SPECIAL)
    pad, bos, eos = _SPECIAL
    build: Any = PreTrainedTokenizerFast
    tokenizer = build(tokenizer_object=core, pad_token=pad, bos_token=bos, eos_token=eos)
    if chat:
        tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def tiny_model(architecture: str = "Llama", *, seed: int = 0, **changes: Any) -> Any:
    """A random causal LM with a few layers and, as a rule, d = 32, float32, in evaluation mode.

    Args:
        architecture: One of :data:`ARCHITECTURES`, or a model type of transformers, such as
            ``"qwen3_5_text"``, whose sizes are then made small.
        seed: The weights follow from it; the global random state is left as it was.
        **changes: Settings of the model's configuration.

    Raises:
        ConfigError: The architecture is unknown.
    """
    import torch
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

    models: Any = AutoModelForCausalLM
    if architecture in ARCHITECTURES:
        model_type = "gemma3_text" if architecture == "Gemma3" else architecture.lower()
        config = AutoConfig.for_model(model_type, **_COMMON | ARCHITECTURES[architecture] | changes)
    elif architecture in CONFIG_MAPPING:
        config = tiny_configuration(architecture, **changes)
    else:
        raise ConfigError(
            f"architecture={architecture!r} is unknown; use one of {', '.join(ARCHITECTURES)}, or a model "
            "type of transformers such as 'qwen3_5_text'"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = models.from_config(config).eval()
    if architecture not in ARCHITECTURES:
        _make_loud(model)
    return model


def _make_loud(model: Any) -> None:
    """Enlarge small weights, or every next-token distribution would be nearly uniform."""
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            deviation = float(weight.float().std()) if weight.dim() > 1 else 0.0
            if 0 < deviation < _LOUD:
                weight.mul_(_LOUD / deviation)


def tiny_backbone(
    architecture: str = "Llama", *, seed: int = 0, chat: bool = True, **changes: Any
) -> Backbone:
    """A :class:`Backbone` over :func:`tiny_model` and :func:`tiny_tokenizer`."""
    return Backbone.from_model(tiny_model(architecture, seed=seed, **changes), tiny_tokenizer(chat=chat))


Script = Sequence[str] | Callable[[str], str]


def scripted_backbone(
    script: Script, tokenizer: Any = None, *, delay: Callable[[], None] | None = None
) -> Backbone:
    """A backbone that writes a script: to test tools, parsers and streams without a trained model.

    Given tokens (the opening of a forced call) are kept, and the reply goes on after them if it begins so.

    Args:
        script: The replies in turn, and the last one from then on; or a function from the prompt, as text,
            to the reply.
        tokenizer: By default that of :func:`tiny_backbone`.
        delay: Called before each token, for tests of time.

    Example:
        >>> from latentseek_agents import LatentSeek, LatentSeekConfig
        >>> seek = LatentSeek(scripted_backbone(["The answer is 4."]), ScriptedVerifier([0.0]))
        >>> seek.invoke("What is 2 + 2?").text
        'The answer is 4.'
    """
    tokenizer = tokenizer or tiny_tokenizer()
    # A window that a script and a description of many tools fit into, at a byte a token.
    size = {"vocab_size": max(_COMMON["vocab_size"], len(tokenizer)), "max_position_embeddings": 65_536}
    backbone = Backbone(tiny_model(**size), tokenizer, name="scripted")
    backbone.decoder = _ScriptedDecoder(backbone, script, delay)
    return backbone


class _ScriptedDecoder:
    """Stands where the decoder of a backbone stands."""

    def __init__(self, backbone: Backbone, script: Script, delay: Callable[[], None] | None) -> None:
        self.backbone = backbone
        self.script = script
        self.delay = delay or _no_delay
        self.calls = 0
        self._lock = threading.Lock()

    @property
    def vocabulary_size(self) -> int:
        return self.backbone.policy.vocabulary_size

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Completion]:
        return [self._complete(request) for request in requests]

    def _complete(self, request: DecodeRequest) -> Completion:
        import torch

        reply = self._reply(list(request.prompt_ids))
        tokens = list(self.backbone.tokenizer(reply, add_special_tokens=False)["input_ids"])
        written = list(request.forced_ids)
        forced = len(written)
        if tokens[:forced] == written:
            tokens = tokens[forced:]
        finish_reason = "length"
        given = request.constraint
        constraint = given.released() if isinstance(given, AfterThought) else None
        tokens.append(max(self.backbone.eos_token_ids))
        for _ in range(request.max_new_tokens):
            required = () if constraint is None else constraint.required
            if required and (begun := self._place_of(required, tokens)):
                del tokens[:begun]
            token = tokens[0] if constraint is None else constraint.nearest(tokens[0])
            if token == tokens[0]:  # what is required and not in the script comes before the rest of it
                del tokens[:1]
            self.delay()
            if isinstance(given, GivenTokens):
                token = _allowed(given, token)
            written.append(token)
            if constraint is not None:
                constraint.take(token)
            if request.on_token is not None:
                request.on_token(token)
            if token in request.end_token_ids:
                finish_reason = "stop"
                break
        added = len(written) - forced
        return Completion(
            token_ids=written,
            hidden=torch.ones(added, self.backbone.hidden_size),
            finish_reason=finish_reason,
            forward_passes=added,
            computed_tokens=added,
        )

    def _place_of(self, required: Sequence[int], tokens: Sequence[int]) -> int:
        """Behind how much white space a script goes on with what is required; 0 if it does not."""
        for place, token in enumerate(tokens):
            if tuple(tokens[place : place + len(required)]) == tuple(required):
                return place
            if self.backbone.decode([token]).strip():
                break
        return 0

    def _reply(self, prompt_ids: list[int]) -> str:
        if callable(self.script):
            return self.script(self.backbone.decode(prompt_ids, skip_special_tokens=False))
        with self._lock:
            reply = self.script[min(self.calls, len(self.script) - 1)]
            self.calls += 1
        return reply


def _allowed(constraint: TokenConstraint, token: int) -> int:
    """A token if a constraint allows it, otherwise the first one that it allows."""
    allowed = constraint.allowed()
    chosen = token if token < len(allowed) and allowed[token] else int(allowed.int().argmax())
    constraint.take(chosen)
    return chosen


def _no_delay() -> None:
    """Wait for nothing."""


class ScriptedVerifier:
    """A verifier that gives the scores of a list in turn, and the last one from then on.

    Args:
        scores: Scores in [-1, 0].
        accept_above: Scores above this pass; by default above the threshold of the search that asks.

    Attributes:
        calls: The (question, solution) pairs it was given.

    Example:
        >>> verifier = ScriptedVerifier([-1.0, -0.1])
        >>> [verifier("?", "!").passed for _ in range(3)]
        [False, True, True]
    """

    __test__ = False

    def __init__(self, scores: Sequence[float] = (-1.0,), *, accept_above: float | None = None) -> None:
        self.scores = list(scores)
        self.accept_above = accept_above
        self.calls: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Give the next score."""
        with self._lock:
            score = self.scores[min(len(self.calls), len(self.scores) - 1)]
            self.calls.append((question, solution))
        threshold = reward_threshold() if self.accept_above is None else self.accept_above
        return Verdict(score, score > threshold, f"scripted score {score}")
