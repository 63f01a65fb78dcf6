"""One request on its way through the batch decoder: what it feeds next, and what it makes of the result."""

import math
import time
from collections.abc import Sequence

import torch

from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest
from latentseek_agents.engine._decoding.speculation import Speculator
from latentseek_agents.engine._decoding.token_choice import Draws, choose_token, not_finite, tokens_at
from latentseek_agents.engine.policy import Policy

# Longer texts are read in parts, so that other rows need not wait for all of it.
_MOST_READ_AT_ONCE = 512


class Row:
    """The state of one request. Only the decoder's thread touches it.

    Args:
        policy: The frozen model.
        request: What to continue.
        speculate: Whether to guess at all.

    Attributes:
        request: What to continue.
        tokens: The completion so far.
        fed: Tokens of prompt and completion whose keys and values are in the store.
        finish_reason: None as long as it goes on.
    """

    def __init__(self, policy: Policy, request: DecodeRequest, *, speculate: bool) -> None:
        self.request = request
        self.prompt = tuple(request.prompt_ids)
        self.tokens = list(request.forced_ids)
        self.fed = 0
        self.finish_reason: str | None = None if request.max_new_tokens > 0 else "length"
        self.forward_passes = 0
        self.computed_tokens = 0
        self.prompt_passes = 0
        self.prompt_tokens = 0
        self._policy = policy
        self._draws = Draws(request.seed)
        self._offsets: torch.Tensor | None = None  # on the device
        # A guess of several tokens would need the constraint's state after each of them.
        self._speculate = speculate and request.constraint is None and bool(request.guess_ids)
        self._speculator: Speculator | None = None  # made when it is needed: thousands may be waiting
        self._hidden: list[torch.Tensor] = []
        self._guess: list[int] = []
        self._feeding: list[int] = []

    @property
    def most_tokens(self) -> int:
        """Tokens it may come to need in the store."""
        return len(self.prompt) + len(self.request.forced_ids) + self.request.max_new_tokens

    @property
    def added(self) -> int:
        """Tokens written so far."""
        return len(self.tokens) - len(self.request.forced_ids)

    def overdue(self) -> bool:
        """Whether its deadline has passed."""
        return self.request.deadline is not None and time.monotonic() >= self.request.deadline

    def next_tokens(self, most_guessed: int, most_read: int = _MOST_READ_AT_ONCE) -> list[int]:
        """What to feed in the next pass: what is not in the store yet, and a guess of what may follow.

        Args:
            most_guessed: Longest guess.
            most_read: Most tokens of what is known already; one is always fed.
        """
        known = len(self.prompt) + len(self.tokens)
        boundary = len(self.prompt) if self.fed < len(self.prompt) else known
        end = min(boundary, self.fed + max(1, min(most_read, _MOST_READ_AT_ONCE)))
        self._feeding = [*self.prompt, *self.tokens][self.fed : end]
        self._guess = []
        if end == known and self.tokens and self._speculate:
            if self._speculator is None:
                self._speculator = Speculator(self.request.guess_ids)
            room = self.request.max_new_tokens - self.added - 1
            self._guess = self._speculator.propose(self.tokens, min(room, most_guessed))
        return [*self._feeding, *self._guess]

    @property
    def reading(self) -> int:
        """Known tokens in the pass that was planned last."""
        return len(self._feeding)

    def wanted(self, fed: int) -> range:
        """Which of the ``fed`` hidden states are of use: those that predict, and the prompt's last."""
        count = 1 + len(self._guess)
        end = self.fed + len(self._feeding)
        if end in (len(self.prompt), len(self.prompt) + len(self.tokens)):
            return range(fed - count, fed)
        return range(0)

    def at_prompt_end(self) -> bool:
        """Whether the pass that was planned last reads the end of the prompt."""
        return self.fed + len(self._feeding) == len(self.prompt)

    def at_end(self) -> bool:
        """Whether the pass that was planned last reads all that is known, so that tokens follow from it."""
        return self.fed + len(self._feeding) == len(self.prompt) + len(self.tokens)

    def offsets_at(self, count: int, device: torch.device) -> torch.Tensor | None:
        """What is added to the hidden states that the head is asked with.

        Args:
            count: How many hidden states, of which the first predicts completion token ``len(tokens)``.
            device: Where they are.

        Returns:
            (n, d) float32 for the first n <= count of them; None if none has an offset.
        """
        whole = self.request.offsets
        if whole is None or not self.request.has_offset(len(self.tokens)):
            return None
        if self._offsets is None:  # brought there once per request, not once per token
            self._offsets = whole.to(device)
        return self._offsets[len(self.tokens) : len(self.tokens) + count]

    def draws_at(self, count: int) -> list[tuple[int, float, float]]:
        """Which of the next tokens are drawn, were all guesses right: place, temperature, number in [0, 1).

        Args:
            count: How many tokens.
        """
        if not self.request.samples or self.request.constraint is not None:
            return []
        first = len(self.tokens)
        return [
            (place, temperature, self._draws.at(self.added + place))
            for place in range(count)
            if (temperature := self.request.temperature_at(first + place))
        ]

    def passed(self) -> None:
        """Record that the pass that was planned last took place."""
        self.forward_passes += 1
        self.computed_tokens += len(self._feeding) + len(self._guess)
        if self.fed < len(self.prompt):  # the prompt's end is the end of a pass
            self.prompt_passes += 1
            self.prompt_tokens += len(self._feeding)
        self.fed += len(self._feeding)

    def take(
        self, hidden: torch.Tensor, logits: torch.Tensor, chosen: Sequence[int], largest: Sequence[float]
    ) -> list[int]:
        """Choose tokens from what the pass predicts, as far as the guesses hold.

        Args:
            hidden: (k, d) hidden states behind the predictions, without offsets.
            logits: (k, V).
            chosen: The token of each prediction, the most probable or the one drawn; what a constraint
                allows is chosen here.
            largest: The largest logit of each, to tell whether all are finite.

        Returns:
            The tokens added; none if the pass must be done again without a guess.

        Raises:
            NonFiniteError: The model computes NaN or infinity.
        """
        added: list[int] = []
        if self._guess and not all(map(math.isfinite, largest)):
            # A guess may have done it, also before its place: a key that is NaN is NaN behind a mask, too.
            self._speculate, self._guess = False, []
            self.fed -= len(self._feeding)
            return added
        for index in range(len(hidden)):
            position = len(self.tokens)
            if not math.isfinite(largest[index]):
                raise not_finite(self._policy, f"logits at token {position} of the answer")
            token = chosen[index]
            if self.request.constraint is not None:
                token = choose_token(logits[index], self.request, position, self._draws)
            added.append(token)
            self.tokens.append(token)
            if token in self.request.end_token_ids:
                self.finish_reason = "stop"
            elif self.added >= self.request.max_new_tokens:
                self.finish_reason = "length"
            guessed = index < len(self._guess) and self._guess[index] == token
            if self.finish_reason is not None or not guessed:
                break
        accepted = len(added) - 1
        self.fed += accepted
        # A copy: the rows would otherwise keep the hidden states of the whole pass alive.
        self._hidden.append(hidden[: len(added)].clone())
        if self._speculator is not None and self.finish_reason is None:
            self._speculator.learn(len(self._guess), accepted)
        self._guess = []
        return added

    def completion(self) -> Completion:
        """The answer to the request, as far as it is written."""
        policy = self._policy
        nothing = torch.empty((0, policy.hidden_size), dtype=policy.dtype, device=policy.device)
        hidden = torch.cat(self._hidden) if self._hidden else nothing
        return Completion(
            token_ids=self.tokens,
            hidden=hidden,
            finish_reason=self.finish_reason or "length",
            forward_passes=self.forward_passes,
            computed_tokens=self.computed_tokens,
            prompt_passes=self.prompt_passes,
            prompt_tokens=self.prompt_tokens,
        )


def head_inputs(asking: Sequence[tuple[Row, torch.Tensor]]) -> torch.Tensor:
    """What the head is asked with for several rows at once.

    Args:
        asking: Rows, and the (k, d) hidden states of each that predict its next tokens.

    Returns:
        (N, d) float32: all hidden states, with the offsets of their positions.
    """
    inputs = torch.cat([hidden for _, hidden in asking]).float()
    start = 0
    for row, hidden in asking:
        offsets = row.offsets_at(len(hidden), inputs.device)
        if offsets is not None:
            inputs[start : start + len(offsets)] += offsets
        start += len(hidden)
    return inputs


def draw_tokens(
    asking: Sequence[tuple[Row, torch.Tensor]], logits: torch.Tensor, chosen: torch.Tensor
) -> None:
    """Where a row has a temperature, put the tokens that it draws in place of the most probable ones.

    Args:
        asking: As for :func:`head_inputs`.
        logits: (N, V).
        chosen: (N,) the most probable tokens; changed in place.
    """
    drawn: list[tuple[int, float, float]] = []
    start = 0
    for row, hidden in asking:
        for place, temperature, draw in row.draws_at(len(hidden)):
            drawn.append((start + place, temperature, draw))
        start += len(hidden)
    if drawn:
        rows, temperatures, draws = zip(*drawn, strict=True)
        places = torch.tensor(rows, device=logits.device)
        chosen[places] = tokens_at(logits, temperatures, draws, places=places)
