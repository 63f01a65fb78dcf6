"""One request on its way through the batch decoder: what it feeds next, and what it makes of the result."""

import math
import time
from collections.abc import Sequence
from functools import partial

import torch

from latentseek_agents.engine._decoding.calls import PendingCall
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest
from latentseek_agents.engine._decoding.speculation import Speculator
from latentseek_agents.engine._decoding.token_choice import Draws, choose_token, not_finite, tokens_at
from latentseek_agents.engine._weights import Weights
from latentseek_agents.engine.policy import Policy


class Row:
    """The state of one request. Only the decoder's thread touches it.

    Args:
        policy: The frozen model.
        request: What to continue.
        speculate: Whether to guess at all.
        weights: What the model computes with when it is asked; by default looked up.

    Attributes:
        request: What to continue.
        weights: As given.
        tokens: The completion so far.
        fed: Tokens of prompt and completion whose keys and values are in the store.
        finish_reason: None as long as it goes on.
    """

    def __init__(
        self, policy: Policy, request: DecodeRequest, *, speculate: bool, weights: Weights | None = None
    ) -> None:
        self.request = request
        self.weights = weights or policy.weights()
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
        guessing = speculate and request.guess_ids and request.constraint is None
        self._speculator = Speculator(request.guess_ids) if guessing else None
        self._hidden = [torch.empty((0, policy.hidden_size), dtype=policy.dtype, device=policy.device)]
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

    def next_tokens(self, most_guessed: int, most_read: int) -> list[int]:
        """What to feed in the next pass: what is not in the store yet, and a guess of what may follow.

        Args:
            most_guessed: Longest guess.
            most_read: Most tokens of what is known already; one is always fed.
        """
        known = len(self.prompt) + len(self.tokens)
        boundary = len(self.prompt) if self.fed < len(self.prompt) else known
        end = min(boundary, self.fed + max(1, most_read))
        self._feeding = [*self.prompt, *self.tokens][self.fed : end]
        self._guess = []
        if end == known and self.tokens and self._speculator is not None:
            room = self.request.max_new_tokens - self.added - 1
            self._guess = self._speculator.propose(self.tokens, min(room, most_guessed))
        return [*self._feeding, *self._guess]

    def require_unchanged(self) -> None:
        """Refuse to go on if the model computes with other weights now.

        Raises:
            BackboneError: It does.
        """
        self._policy.require_unchanged(self.weights)

    @property
    def reading(self) -> int:
        """Known tokens in the pass that was planned last."""
        return len(self._feeding)

    @property
    def predicting(self) -> int:
        """How many of the last hidden states of the pass that was planned last predict a token."""
        return 1 + len(self._guess)

    def add_offsets(self, hidden: torch.Tensor) -> None:
        """Add the offsets to the hidden states that predict the next tokens.

        Args:
            hidden: (k, d) float32, of which the first predicts completion token ``len(tokens)``; changed in
                place.
        """
        whole = self.request.offsets
        if whole is not None and self.request.has_offset(len(self.tokens)):
            if self._offsets is None:  # brought there once per request, not once per token
                self._offsets = whole.to(hidden.device)
            offsets = self._offsets[len(self.tokens) : len(self.tokens) + len(hidden)]
            hidden[: len(offsets)] += offsets

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

    def passed(self) -> tuple[bool, bool]:
        """Record that the pass that was planned last took place.

        Returns:
            Whether it read the end of the prompt; and all that is known, so that tokens follow from it.
        """
        self.forward_passes += 1
        self.computed_tokens += len(self._feeding) + len(self._guess)
        if self.fed < len(self.prompt):  # the prompt's end is the end of a pass
            self.prompt_passes += 1
            self.prompt_tokens += len(self._feeding)
        self.fed += len(self._feeding)
        return self.fed == len(self.prompt), self.fed == len(self.prompt) + len(self.tokens)

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
            self._speculator, self._guess = None, []
            self.fed -= len(self._feeding)
            return added
        for index in range(len(hidden)):
            position = len(self.tokens)
            if not math.isfinite(largest[index]):
                raise not_finite(self._policy, f"logits at token {position} of the answer")
            token = chosen[index]
            if self.request.constraint is not None:
                temperature = self.request.temperature_at(position)
                draw = partial(self._draws.at, self.added)
                token = choose_token(logits[index], self.request.constraint, temperature, draw)
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
        return Completion(
            token_ids=self.tokens,
            hidden=torch.cat(self._hidden),
            finish_reason=self.finish_reason or "length",
            forward_passes=self.forward_passes,
            computed_tokens=self.computed_tokens,
            prompt_passes=self.prompt_passes,
            prompt_tokens=self.prompt_tokens,
        )


class RowCall(PendingCall):
    """One call of ``decode``, and its rows that have no place yet.

    Args:
        policy: The frozen model.
        requests: What to continue.
        weights: What the model computes with; by default looked up.
        speculate: Whether to guess at all.

    Attributes:
        unstarted: Numbers of requests and their rows, for those that wait.
        running: How many of its rows are being decoded.
        turn: When it was served last, as a number that grows.
    """

    def __init__(
        self,
        policy: Policy,
        requests: Sequence[DecodeRequest],
        weights: Weights | None = None,
        *,
        speculate: bool,
    ) -> None:
        super().__init__(requests)
        weights = weights or policy.weights()
        self.unstarted = [
            (index, Row(policy, request, speculate=speculate, weights=weights))
            for index, request in enumerate(requests)
        ]
        self.running = 0
        self.turn = 0


def predict(
    policy: Policy, asking: Sequence[tuple[Row, torch.Tensor]]
) -> tuple[torch.Tensor, list[int], list[float]]:
    """Ask the head for the next tokens of several rows at once.

    Args:
        policy: The frozen model.
        asking: Rows, and the (k, d) hidden states of each that predict its next tokens.

    Returns:
        For all hidden states the logits (N, V), the tokens, the most probable or those drawn, and the largest
        logits.
    """
    drawn: list[tuple[int, float, float]] = []
    start = 0
    with torch.no_grad():
        inputs = torch.cat([hidden for _, hidden in asking]).float()
        for row, hidden in asking:
            row.add_offsets(inputs[start : start + len(hidden)])
            drawn += [(start + place, heat, draw) for place, heat, draw in row.draws_at(len(hidden))]
            start += len(hidden)
        logits = policy.logits(inputs)
        largest, chosen = logits.max(dim=-1)
        if drawn:
            places, temperatures, draws = zip(*drawn, strict=True)
            index = torch.tensor(places, device=logits.device)
            chosen[index] = tokens_at(logits, temperatures, draws, places=index)
        # One transfer for both, and the only time that a pass waits for the device. A float32 holds every
        # token id.
        tokens, maxima = torch.stack([chosen.float(), largest.float()]).tolist()
    return logits, [int(token) for token in tokens], maxima
