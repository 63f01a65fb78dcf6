"""What the search does to the logits of one decoding step; the same for both of vLLM's interfaces.

A request has a row of logits in each step. Its row is read where a hidden state is wanted, moved where an
offset is given, and replaced by a single token where that is drawn or constrained: vLLM then takes the most
probable token of every row. Nothing here waits for the device, except for a constrained token, and once for
the offsets of a request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from latentseek_agents.engine._decoding import DecodeRequest, allowed_token, token_draws, tokens_at
from latentseek_agents.engine._vllm.head import Head

__all__ = ["RequestRow", "RowLogits"]

_NAME = "latentseek"


@dataclass(eq=False)
class RequestRow:
    """One request, while vLLM decodes it.

    Positions count added tokens from 0. One may come twice: vLLM computes again what it had to drop, and it
    shows rows of half-read prompts whose tokens it throws away. So everything is kept by position.

    Args:
        request: What to continue.
    """

    request: DecodeRequest
    moments: dict[int, torch.Tensor] = field(default_factory=dict)
    chosen: dict[int, int] = field(default_factory=dict)
    finite: list[torch.Tensor] = field(default_factory=list)
    taken: int = 0
    failure: Exception | None = None
    finished: bool = False

    def __post_init__(self) -> None:
        self.forced = len(self.request.forced_ids)
        self.prompt_length = len(self.request.prompt_ids) + self.forced
        self.states_wanted = self.request.states_wanted
        self.draws = token_draws(self.request.seed)
        offsets = self.request.offsets
        self.offsets = None if offsets is None else offsets[self.forced :]

    def forget(self) -> None:
        """Give back what was kept for the completion: vLLM holds a request until its slot is taken."""
        self.finished = True
        self.offsets = None
        for kept in (self.moments, self.chosen, self.finite):
            kept.clear()

    @property
    def idle(self) -> bool:
        """Whether vLLM may decode this request without asking here."""
        request = self.request
        moved = self.offsets is not None and len(self.offsets) > 0
        return not (self.states_wanted or moved or request.samples or request.constraint is not None)

    def has_offset(self, position: int) -> bool:
        """Whether this added token is predicted with an offset."""
        return self.offsets is not None and position < len(self.offsets)

    def temperature(self, position: int) -> float:
        """The temperature for this added token."""
        return self.request.temperature_at(self.forced + position)

    def hidden(self, head: Head, added: int) -> torch.Tensor:
        """(n, d) float32 on the CPU: the hidden states behind the first added tokens, if wanted."""
        count = min(self.states_wanted, added)
        if not count:
            return torch.empty(0, head.weight.shape[1])
        return head.hidden(torch.stack([self.moments[position] for position in range(count)])).cpu()


Row = tuple[int, RequestRow, int]
"""Number of the row, its request, and the position of the token that it predicts."""


class RowLogits:
    """All requests of a backbone, and what happens to their logits. For one thread.

    Attributes:
        head: Of the model; set once it is loaded.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self._requests: dict[int, RequestRow] = {}
        self._last = 0

    @property
    def loaded_head(self) -> Head:
        """The head, which there is once the model is loaded."""
        if self.head is None:
            raise RuntimeError("the model is not loaded yet")
        return self.head

    def add(self, row: RequestRow) -> dict[str, int]:
        """Register a request.

        Returns:
            The ``extra_args`` by which a processor finds it again.
        """
        self._last += 1
        self._requests[self._last] = row
        return {_NAME: self._last}

    def find(self, extra_args: Mapping[str, object] | None) -> RequestRow | None:
        """The request of these ``extra_args``; None if it needs nothing done, or is none of ours."""
        key = (extra_args or {}).get(_NAME)
        row = self._requests.get(key) if isinstance(key, int) else None
        return None if row is None or row.idle else row

    def remove(self, extra_args: Mapping[str, object]) -> None:
        """Forget a request that is finished; a step that is under way leaves its row alone."""
        key = extra_args[_NAME]
        if isinstance(key, int) and (row := self._requests.pop(key, None)) is not None:
            row.forget()

    def apply(self, logits: torch.Tensor, rows: Sequence[Row]) -> None:
        """Read, move and replace rows of one step.

        Args:
            logits: (N, V) float32; changed in place.
            rows: Those of our requests.
        """
        if self.head is None:  # a warm-up
            return
        rows = [row for row in rows if not row[1].finished and row[2] >= 0]
        with torch.no_grad():
            self._read(self.head, logits, rows)
            self._move(self.head, logits, rows)
            _replace_drawn(logits, rows)
        for number, row, position in rows:
            if row.request.constraint is not None:
                _replace_constrained(logits[number], row, position)

    def _read(self, head: Head, logits: torch.Tensor, rows: Sequence[Row]) -> None:
        wanted = [row for row in rows if row[2] < row[1].states_wanted]
        if not wanted:
            return
        moments = head.moments(_taken(logits, wanted))
        for (_, row, position), moment in zip(wanted, moments, strict=True):
            row.moments[position] = moment

    def _move(self, head: Head, logits: torch.Tensor, rows: Sequence[Row]) -> None:
        moved = [row for row in rows if row[1].has_offset(row[2])]
        if not moved:
            return
        parts = []
        for _, row, position in moved:
            assert row.offsets is not None  # noqa: S101 - has_offset says so
            if row.offsets.device != logits.device:  # brought there once per request
                row.offsets = row.offsets.to(logits.device)
            parts.append(row.offsets[position])
        shifted = head.shifted(_taken(logits, moved), torch.stack(parts))
        logits[_index(logits, moved)] = shifted


def _replace_drawn(logits: torch.Tensor, rows: Sequence[Row]) -> None:
    drawn = [row for row in rows if row[1].request.constraint is None and row[1].temperature(row[2]) > 0]
    if not drawn:
        return
    index = _index(logits, drawn)
    taken = logits[index]
    temperatures = [row.temperature(position) for _, row, position in drawn]
    tokens = tokens_at(taken, temperatures, [row.draws.at(position) for _, row, position in drawn])
    finite = torch.isfinite(taken.amax(dim=-1))
    for (_, row, _), good in zip(drawn, finite, strict=True):
        row.finite.append(good)
    logits[index] = float("-inf")
    logits[index, tokens] = 0.0


def _replace_constrained(logits: torch.Tensor, row: RequestRow, position: int) -> None:
    """One token that the constraint allows. It hears of a token when the next one is asked for."""
    constraint = row.request.constraint
    assert constraint is not None  # noqa: S101 - the caller looked
    if row.failure is not None or row.chosen.get(position - 1) in row.request.end_token_ids:
        return  # planned before it was known that nothing follows; a finished constraint may not be asked
    if position < row.taken:  # computed again, to be thrown away
        token = row.chosen[position]
    else:
        row.finite.append(torch.isfinite(logits.amax()))
        try:
            while row.taken < position:
                constraint.take(row.chosen[row.taken])
                row.taken += 1
            token = allowed_token(
                logits, constraint, row.temperature(position), lambda: row.draws.at(position)
            )
        except Exception as error:  # the caller's own code; it must not end the step of all others
            row.failure = error
            return
        row.chosen[position] = token
    logits.fill_(float("-inf"))
    logits[token] = 0.0


def _index(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    return torch.tensor([number for number, _, _ in rows], device="cpu").to(logits.device, non_blocking=True)


def _taken(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """The rows' logits; without a copy if all rows are taken in their order."""
    if [number for number, _, _ in rows] == list(range(len(logits))):
        return logits
    return logits[_index(logits, rows)]
