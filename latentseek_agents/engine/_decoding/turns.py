"""One thread that writes for all callers of a model with a cache of its own: a token of each in one pass.

Each prompt is read alone and kept as a snapshot, as in ``plain.py``. What goes on from snapshots joins the
rows of one cache, the shorter texts with padding in front, where that was found to change nothing; otherwise
the texts take turns, a token each.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from latentseek_agents.engine._decoding.kv_cache import PrefixCache
from latentseek_agents.engine._decoding.plain import read_prompt
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest
from latentseek_agents.engine._decoding.row import Row, RowCall, predict
from latentseek_agents.engine._decoding.worker import IDLE_SECONDS, Worker
from latentseek_agents.engine._model_cache import ModelCache, joined
from latentseek_agents.engine._weights import Weights
from latentseek_agents.engine.policy import Policy

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Text:
    """One request of a call, while it is written."""

    call: RowCall
    index: int
    row: Row


@dataclass(eq=False, slots=True)
class _Stack:
    """Texts that share passes.

    Args:
        texts: One for each row.
        cache: What the model keeps of them.
            The last token of each is written, and not read yet.
    """

    texts: list[_Text]
    cache: ModelCache


class TurnDecoder(Worker):
    """Decodes the requests of all callers from snapshots of what a model keeps.

    Args:
        policy: The frozen model.
        kept: Where prompts are kept for later requests, if they are.
        most_rows: Most texts at a time.
        most_tokens: Tokens of all of these together, as the policy counts their memory; asked when needed.

    Attributes:
        passes: Forward passes behind prompts so far, each counted once however many texts took part.
        most_rows: Most texts that ever took part in one of them.
    """

    def __init__(
        self, policy: Policy, kept: PrefixCache | None, *, most_rows: int, most_tokens: Callable[[], int]
    ) -> None:
        super().__init__()
        self.passes = 0
        self.most_rows = 0
        self._policy = policy
        self._kept = kept
        self._limit = most_rows
        self._most_tokens = most_tokens
        self._stacks: list[_Stack] = []
        self._joins: bool | None = None

    def decode(self, requests: Sequence[DecodeRequest], weights: Weights) -> list[Completion]:
        """Continue every request; any number of threads may call at once."""
        if not requests:
            return []
        return self._served(RowCall(self._policy, requests, weights, speculate=False))

    def _being_served(self) -> Iterator[RowCall]:
        return (text.call for stack in self._stacks for text in stack.texts)

    def _forget(self) -> None:
        super()._forget()
        self._stacks = []

    def _round(self) -> bool:
        """Let requests in, and write a token of each text; False if there was nothing to do for a while."""
        with self._condition:
            started = self._admit()
            if not self._stacks and not started:
                if not self._waiting:
                    self._condition.wait(IDLE_SECONDS)
                started = self._admit()
                if not self._stacks and not started and not self._waiting:
                    self._thread = None
                    return False
        for texts in self._groups(started):
            self._begin(texts)
        self._stacks = [stack for stack in self._stacks if stack.texts]
        self._join()
        for stack in self._stacks:
            self._step(stack)
        self._stacks = [stack for stack in self._stacks if stack.texts]
        return True

    # -- who takes part

    def _admit(self) -> list[_Text]:
        """Let waiting requests in, those of the caller with the fewest texts first, and by turns.

        While others write, those of one call at a time: they wait while its prompts are read.
        """
        active = [text.row for stack in self._stacks for text in stack.texts]
        started: list[_Text] = []
        while True:
            self._waiting = [call for call in self._waiting if call.unstarted and not call.is_left]
            if not self._waiting:
                return started
            call = min(self._waiting, key=lambda call: (call.running, call.turn))
            if started and self._stacks:
                call = started[0].call
                if call not in self._waiting:
                    return started
            index, row = call.unstarted[0]
            if row.finish_reason is None:
                if active and not self._has_room(active, row):
                    break
                call.running += 1
                call.turn = next(self._turns)
                active.append(row)
                started.append(_Text(call, index, row))
            else:
                call.finish(index, row.completion())
            del call.unstarted[0]
        for call in self._waiting:  # whose time may be up before there is room
            for entry in [entry for entry in call.unstarted if entry[1].overdue()]:
                entry[1].finish_reason = "seconds"
                call.finish(entry[0], entry[1].completion())
                call.unstarted.remove(entry)
        return started

    def _has_room(self, active: Sequence[Row], row: Row) -> bool:
        longest = max(one.most_tokens for one in [*active, row])
        return len(active) < self._limit and longest * (len(active) + 1) <= self._most_tokens()

    def _groups(self, texts: Sequence[_Text]) -> list[list[_Text]]:
        """Texts that go on from one prompt and have as many tokens after it, where they can share passes."""
        groups: dict[tuple[object, ...], list[_Text]] = {}
        for text in texts:
            same = (text.row.prompt, len(text.row.tokens), text.row.weights.running)
            alone = () if self._policy.reads_rows_together else (text.call, text.index)
            groups.setdefault((*same, *alone), []).append(text)
        return list(groups.values())

    def _begin(self, texts: list[_Text]) -> None:
        """Read a prompt and what is given of each text behind it, and write the first token of each."""
        rows = [text.row for text in texts]
        try:
            kept = None if self._kept is None else self._kept.of(rows[0].weights)
            prefix = read_prompt(self._policy, kept, rows[0])
            stack = _Stack(texts, prefix.cache if kept is None else prefix.cache.fork())
            if len(rows) > 1:
                stack.cache.select([0] * len(rows))
            for row in rows:
                row.fed = len(row.prompt)
            hidden = prefix.hidden.expand(len(rows), 1, -1)
            while rows[0].fed < len(rows[0].prompt) + len(rows[0].tokens):
                hidden = self._pass(stack)
        except Exception as error:  # the model's own code runs here, and memory may run out
            self._fail(texts, error)
            return
        self._stacks.append(stack)
        self._write(stack, hidden)

    def _join(self) -> None:
        """Make one stack of all that may share passes."""
        if len(self._stacks) < 2:
            return
        if self._joins is None:
            self._joins = self._policy.joins_prompts
            how = "share passes" if self._joins else "are written in turns, a token of each"
            _log.info("%s: texts of several prompts %s", self._policy.name, how)
        if not self._joins:
            return
        by_weights: dict[int, list[_Stack]] = {}
        for stack in self._stacks:
            by_weights.setdefault(stack.texts[0].row.weights.running, []).append(stack)
        self._stacks = []
        for stacks in by_weights.values():
            texts = [text for stack in stacks for text in stack.texts]
            try:
                cache = joined([stack.cache for stack in stacks]) if len(stacks) > 1 else stacks[0].cache
            except Exception as error:  # memory may run out
                self._fail(texts, error)
            else:
                self._stacks.append(_Stack(texts, cache))

    # -- one pass

    def _step(self, stack: _Stack) -> None:
        """Write the next token of each text."""
        self._leave(stack)
        if not stack.texts:
            return
        try:
            hidden = self._pass(stack)
        except Exception as error:  # the model's own code runs here, and memory may run out
            self._fail(stack.texts, error)
            stack.texts = []
        else:
            self._write(stack, hidden)

    def _pass(self, stack: _Stack) -> torch.Tensor:
        """Feed what is known and not read yet, all of it where the model allows it.

        Returns:
            (rows, 1, d) the last hidden states.
        """
        rows = [text.row for text in stack.texts]
        most = len(rows[0].prompt) + len(rows[0].tokens) if stack.cache.form.in_parts else 1
        feed = [row.next_tokens(0, most) for row in rows]
        hidden = self._policy.layers_of_rows(torch.tensor(feed), stack.cache)[:, -1:]
        rows[0].require_unchanged()
        for row in rows:
            row.passed()
        self.passes += 1
        self.most_rows = max(self.most_rows, len(rows))
        return hidden

    def _write(self, stack: _Stack, hidden: torch.Tensor) -> None:
        """Let each text take the token that follows, and take out those that are finished."""
        rows = [text.row for text in stack.texts]
        try:
            with self._policy.lock:
                logits, tokens, maxima = predict(self._policy, list(zip(rows, hidden, strict=True)))
        except Exception as error:
            self._fail(stack.texts, error)
            stack.texts = []
            return
        for place, text in enumerate(stack.texts):
            part = slice(place, place + 1)
            try:
                added = text.row.take(hidden[place], logits[part], tokens[part], maxima[part])
            except Exception as error:
                text.call.fail(error)
                continue
            text.call.report(text.index, added)
            if text.row.finish_reason is None and text.row.overdue():
                text.row.finish_reason = "seconds"
            if text.row.finish_reason is not None and not text.call.cancelled:
                text.call.finish(text.index, text.row.completion())
        self._leave(stack)

    def _leave(self, stack: _Stack) -> None:
        """Take out the texts that are finished, or that nobody waits for."""
        left = [
            place
            for place, text in enumerate(stack.texts)
            if text.row.finish_reason is None and not text.call.is_left
        ]
        if len(left) == len(stack.texts):
            return
        for place, text in enumerate(stack.texts):
            text.call.running -= place not in left
        stack.texts = [stack.texts[place] for place in left]
        if left:
            stack.cache.select(left)

    def _fail(self, texts: Sequence[_Text], error: BaseException) -> None:
        for text in texts:
            text.call.running -= 1
            if not text.call.cancelled:
                text.call.fail(error)
