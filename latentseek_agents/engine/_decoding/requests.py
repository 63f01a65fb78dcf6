"""The decoder's request and result types, and :func:`decode`, which hands checked requests to a decoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from latentseek_agents.engine.cancellation import checked_listener, raise_if_cancelled
from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.verdict import Usage

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How a backbone decodes. What is written does not depend on it (float32 on the CPU: token for token).

    Args:
        batch: Join the requests of all callers into shared forward passes. Off: one request after the other,
            with the model's own cache; for comparison, and for architectures that cannot be batched.
        speculate: Check guesses for several tokens in one forward pass.
        reuse: Keep keys and values of prompts and of the last completion of each.
        fast_linear: Multiply few rows on a CPU in the way that is fastest there, and fuse norms.
        max_rows: Most sequences in one forward pass.
        max_cached_tokens: Most tokens of all sequences together in the cache; further requests wait. One
            request is always taken. Default: what fits in 2 GiB, 65,536 at most; on a CUDA device as many as
            fit in a quarter of the memory that is free, if that is more.
        max_kept_tokens: Most tokens of prompts and completions kept for later requests. Default: what fits
            in 1 GiB, 16,384 at most; on a CUDA device what fits in an eighth of the free memory, if that is
            more.

    Raises:
        ConfigError: A number is below 1.
    """

    batch: bool = True
    speculate: bool = True
    reuse: bool = True
    fast_linear: bool = True
    max_rows: int = 32
    max_cached_tokens: int | None = None
    max_kept_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_rows", "max_cached_tokens", "max_kept_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value}: it must be at least 1")


class TokenConstraint(Protocol):
    """What one completion may consist of. It has a state, so that each request needs its own."""

    def allowed(self) -> "torch.Tensor":
        """(n,) bool on the CPU: the tokens that may come next, at least one. Tokens from n on may not."""

    def take(self, token_id: int) -> None:
        """Record the next token of the completion."""


@dataclass(frozen=True, kw_only=True)
class DecodeRequest:
    """One sequence to continue.

    Args:
        prompt_ids: The prompt. Its key-value states are kept, so the next request with it is cheap.
        forced_ids: First tokens of the completion, given by the caller.
        max_new_tokens: Most tokens to add after ``forced_ids``.
        end_token_ids: Tokens that end the completion.
        offsets: (m, d) float32, added to the hidden state that predicts completion token t for t < m.
        offset_temperature: Temperature for the tokens at the offsets; 0 takes the most probable.
        temperature: Temperature for all other tokens; 0 is greedy.
        seed: Where sampling starts; not used at temperature 0.
        deadline: A ``time.monotonic()`` at which to stop with what there is.
        on_token: Called with each new token id, in the thread that asked.
        guess_ids: A completion that this one is expected to resemble, such as the one of the iteration
            before. Makes it faster, and changes nothing else.
        reuse_completion: Begin with the keys and values of the prompt's last completion as far as
            ``forced_ids`` agrees with it. Saves work; the hidden states may then differ in rounding from
            those of a process that does not have that completion any more.
        share_beginning: Begin with the keys and values of the kept prompt that has the longest beginning in
            common with this one, such as a conversation's turn before, or a system message. Saves reading;
            the hidden states may then differ in rounding, as with ``reuse_completion``.
        constraint: What the tokens after ``forced_ids`` may be. Nothing is guessed for this request then.
        states: Only the hidden states behind so many of the first added tokens are needed; None: all. A
            decoder that has to compute them may leave out the others.
    """

    prompt_ids: Sequence[int]
    forced_ids: Sequence[int] = ()
    max_new_tokens: int
    end_token_ids: frozenset[int]
    offsets: "torch.Tensor | None" = None
    offset_temperature: float = 0.0
    temperature: float = 0.0
    seed: int = 0
    deadline: float | None = None
    on_token: Callable[[int], None] | None = None
    guess_ids: Sequence[int] = ()
    reuse_completion: bool = False
    share_beginning: bool = False
    constraint: TokenConstraint | None = None
    states: int | None = None

    @property
    def states_wanted(self) -> int:
        """How many hidden states are needed at most."""
        most = max(0, self.max_new_tokens)
        return most if self.states is None else min(self.states, most)

    def has_offset(self, position: int) -> bool:
        """Whether completion token ``position`` is predicted with an offset."""
        return self.offsets is not None and position < len(self.offsets)

    @property
    def samples(self) -> bool:
        """Whether any token is drawn."""
        return self.temperature > 0 or self.offset_temperature > 0

    def temperature_at(self, position: int) -> float:
        """The temperature for completion token ``position``."""
        return self.offset_temperature if self.has_offset(position) else self.temperature


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The answer to a request.

    Args:
        token_ids: ``forced_ids`` and what was added, end token included.
        hidden: (n, d) in the model's dtype, one row per added token: the hidden state, without offset,
            that predicted it. There may be fewer rows, down to the ``states`` of the request.
        finish_reason: ``"stop"``, ``"length"`` or ``"seconds"``.
        forward_passes: Calls of the model that this request took part in; none for a prompt in the cache.
        computed_tokens: Tokens that went through the model's layers, rejected guesses included.
        prompt_passes: Those of the calls that read the prompt.
        prompt_tokens: Those of the computed tokens that are the prompt's: what was not kept of it.
        added: How many tokens were added, where ``hidden`` does not hold a row for each.
    """

    token_ids: list[int]
    hidden: "torch.Tensor" = field(repr=False)
    finish_reason: str
    forward_passes: int
    computed_tokens: int = 0
    prompt_passes: int = 0
    prompt_tokens: int = 0
    added: int | None = None

    @property
    def new_tokens(self) -> int:
        """Tokens that were added."""
        return int(self.hidden.shape[0]) if self.added is None else self.added

    def usage(self, role: Literal["policy", "verifier"], *, prompt_tokens: int | None = None) -> Usage:
        """What this completion costs.

        Args:
            role: Who pays.
            prompt_tokens: Charge a prompt of so many tokens, read in one pass, or none for 0, whatever was
                kept of it; None charges what was read.
        """
        passes, computed = self.forward_passes, self.computed_tokens
        if prompt_tokens is not None:
            passes += (prompt_tokens > 0) - self.prompt_passes
            computed += prompt_tokens - self.prompt_tokens
        costs = {"tokens": self.new_tokens, "forward_passes": passes, "computed_tokens": computed}
        return Usage(**{f"{role}_{name}": cost for name, cost in costs.items()})


class Decoder(Protocol):
    """What continues token sequences: the model in this process, or another engine."""

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the model knows."""

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Completion]:
        """One completion per request, in their order."""


class _HasDecoder(Protocol):
    @property
    def decoder(self) -> Decoder: ...


def decode(backbone: _HasDecoder, requests: Sequence[DecodeRequest]) -> list[Completion]:
    """Continue every request, together with those of all other threads.

    What is written does not depend on the other requests, on what is cached, or on the thread (float32 on
    the CPU: token for token). Hidden states differ in rounding with what else is computed in the same pass;
    a request that is alone always gets the same bits.

    Args:
        backbone: The frozen model.
        requests: What to continue.

    Returns:
        One completion per request, in their order.

    Raises:
        InputError: A prompt is empty, or a token is none of the model's; nothing is decoded then.
        NonFiniteError: The model's hidden states or logits are NaN or infinite.
        Cancelled: The caller was cancelled.
    """
    raise_if_cancelled()
    vocabulary = backbone.decoder.vocabulary_size
    return backbone.decoder.decode([_checked(request, vocabulary) for request in requests])


def _checked(request: DecodeRequest, vocabulary: int) -> DecodeRequest:
    """Checked here, because on a GPU one wrong token would end the work of all callers."""
    if not request.prompt_ids:
        raise InputError("a prompt without tokens cannot be continued; give at least one")
    for name, ids in (("prompt_ids", request.prompt_ids), ("forced_ids", request.forced_ids)):
        wrong = _outside(ids, vocabulary)
        if wrong:
            raise InputError(f"{name} has the token {wrong[0]}, but the model knows 0 to {vocabulary - 1}")
    # Guesses only save time, so those from another vocabulary are left out.
    guess_ids = () if _outside(request.guess_ids, vocabulary) else request.guess_ids
    return replace(request, guess_ids=guess_ids, on_token=checked_listener(request.on_token))


def _outside(ids: Sequence[int], vocabulary: int) -> list[int]:
    return [token for token in (min(ids, default=0), max(ids, default=0)) if not 0 <= token < vocabulary]
