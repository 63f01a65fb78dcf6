"""One decoder per policy that serves all callers: their requests share forward passes.

A thread of its own runs the passes while there is anything to do. Between two passes the rows that are
finished leave, and waiting requests take their places. The callers' threads sleep, and run their own
callbacks.
"""

import atexit
import logging
import math
import os
import threading
import weakref
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch

from latentseek_agents.engine._decoding.kv_cache import (
    KeptCompletion,
    KeyValueStore,
    PrefixCache,
    ReadPrompt,
    affordable_tokens,
    completion_key,
    longest_beginning,
    openings,
)
from latentseek_agents.engine._decoding.packed_forward import PackedModel, RowSlice, packed_model_for
from latentseek_agents.engine._decoding.plain import decode_in_turn
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest, DecodingOptions
from latentseek_agents.engine._decoding.row import Row, RowCall, predict
from latentseek_agents.engine._decoding.token_choice import require_finite
from latentseek_agents.engine._decoding.turns import TurnDecoder
from latentseek_agents.engine._decoding.worker import IDLE_SECONDS, THREAD_NAME, Worker
from latentseek_agents.engine._weights import Weights
from latentseek_agents.engine.policy import Policy

_log = logging.getLogger(__name__)
# Tokens in one pass beyond which another guess costs more time than it saves.
_GUESSING_BUDGET = {"cpu": 64, "cuda": 512}
# Longer texts are read in parts, so that other rows need not wait for all of it.
_MOST_READ_AT_ONCE = 512
# Known tokens that all rows together read in one pass: what the layers make of them is in memory at once.
_READING_BUDGET = 2048


_decoders: "weakref.WeakSet[ModelDecoder]" = weakref.WeakSet()


class ModelDecoder(Worker):
    """The decoder of a policy that is loaded in this process.

    Args:
        policy: The frozen model.
        options: Limits.

    Attributes:
        prefix_cache: Keys and values of recent prompts and completions.
        passes: Shared forward passes so far, each counted once however many rows took part.
        most_rows: Most rows that ever took part in one pass.
    """

    def __init__(self, policy: Policy, options: DecodingOptions) -> None:
        super().__init__()
        kept = options.max_kept_tokens or affordable_tokens(
            policy, most_bytes=2**30, most_tokens=16_384, gpu_share=0.125
        )
        self.prefix_cache = PrefixCache(kept)
        self.passes = 0
        self.most_rows = 0
        self._policy = policy
        self._options = options
        self._examining = threading.Lock()
        self._examined: tuple[Any, ...] = ()  # the modules that the copies in it are of
        self._packed: PackedModel | None = None
        self._active: list[_Slot] = []  # the place in the list is the slot in the store
        self._store = KeyValueStore(whole_steps=self._policy.number_format == "int8")
        self._token_limit: int | None = None
        self._in_turn = self._turn_decoder()
        _decoders.add(self)

    def _turn_decoder(self) -> TurnDecoder:
        """What decodes a model whose layers cannot be packed."""
        return TurnDecoder(
            self._policy,
            self.prefix_cache if self._options.reuse else None,
            most_rows=self._options.max_rows,
            most_tokens=lambda: self._most_tokens,
        )

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the model knows."""
        return self._policy.vocabulary_size

    @property
    def packed(self) -> PackedModel | None:
        """The layers for shared passes; None if this model is decoded one prompt at a time."""
        return self._packed_for(self._policy.weights())

    def _packed_for(self, weights: Weights) -> PackedModel | None:
        with self._examining:
            if self._examined != weights.modules:
                self._packed = packed_model_for(self._policy, self._options)
                self._examined = weights.modules
            return self._packed

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Completion]:
        """Continue every request; any number of threads may call at once."""
        if self._policy.lock.held:  # the decoder's thread would wait for it for ever
            raise RuntimeError("this thread holds the lock of the backbone; release it before decoding")
        weights = self._policy.weights()
        if self._packed_for(weights) is None:
            if self._options.batch:
                return self._in_turn.decode(requests, weights)
            kept = self.prefix_cache if self._options.reuse else None
            return decode_in_turn(self._policy, kept, requests, weights)
        if not requests:
            return []
        return self._served(RowCall(self._policy, requests, weights, speculate=self._options.speculate))

    def close(self) -> None:
        """Tell the thread to end after the pass it is in; waiting callers get an error."""
        self._in_turn.close()
        super().close()

    def after_fork(self) -> None:
        """Start anew in a child process: the thread does not exist, and its locks are never released."""
        self._policy.after_fork()
        self._examining = threading.Lock()
        self._condition = threading.Condition()
        self.prefix_cache = PrefixCache(self.prefix_cache.max_tokens)
        self._in_turn = self._turn_decoder()
        self._forget()

    def _round(self) -> bool:
        """Let requests in, run one pass, let rows out; False if there was nothing to do for a while."""
        with self._condition:
            started = self._admit()
            if not self._active and not self._waiting:
                self._condition.wait(IDLE_SECONDS)
                started = self._admit()
                if not self._active and not self._waiting:
                    self._store.clear()
                    self._thread = None
                    return False
        self._refuse_changed()
        self._start(started)
        for slot in self._active:
            if slot.row.finish_reason is None and slot.row.added and slot.row.overdue():
                slot.row.finish_reason = "seconds"
        # Also those that needed no pass: their prompt was kept, and one token was all that was left to write.
        self._leave()
        self._pass(range(len(self._active)))
        self._leave()
        return True

    def _refuse_changed(self) -> None:
        """End the calls that were begun with other weights than the model has now."""
        running = self._policy.running_weights()
        for slot in self._active:
            if slot.row.weights.running != running and not slot.call.cancelled:
                slot.call.fail(self._policy.changed())

    def _being_served(self) -> Iterator[RowCall]:
        return (slot.call for slot in self._active)

    def _forget(self) -> None:
        super()._forget()
        self._active = []
        self._store = KeyValueStore(whole_steps=self._policy.number_format == "int8")

    # -- who takes part

    def _admit(self) -> "list[_Slot]":
        """Let waiting requests in, those of the caller with the fewest rows first, and by turns."""
        self._waiting = [call for call in self._waiting if call.unstarted and not call.cancelled]
        started: list[_Slot] = []
        if not self._waiting:
            return started
        # A row that reads a prompt leaves it behind for others with the same prompt; these wait for it.
        unread = {slot.row.prompt for slot in self._active if slot.row.fed < len(slot.row.prompt)}
        kept = self._kept_openings()
        while len(self._active) < self._options.max_rows:
            turn = self._next(unread if self._options.reuse else (), kept)
            if turn is None:
                break
            call, place = turn
            index, row = call.unstarted[place]
            if row.finish_reason is None:
                needed = self._store.room_for(
                    max([row.most_tokens, *(slot.row.most_tokens for slot in self._active)])
                )
                if self._active and needed * (len(self._active) + 1) > self._most_tokens:
                    break
                started.append(_Slot(call, index, row))
                self._active.append(started[-1])
                call.running += 1
                call.turn = next(self._turns)
                if not isinstance(self._kept(row).get(row.prompt), ReadPrompt):
                    unread.add(row.prompt)
            else:
                call.finish(index, row.completion())
            del call.unstarted[place]
            if not call.unstarted:
                self._waiting.remove(call)
        self._give_up_late()
        return started

    def _give_up_late(self) -> None:
        """End requests whose time is up before there was room for them; they come back as they were."""
        for call in self._waiting:
            for entry in [entry for entry in call.unstarted if entry[1].overdue()]:
                index, row = entry
                row.finish_reason = "seconds"
                call.finish(index, row.completion())
                call.unstarted.remove(entry)

    def _kept_openings(self) -> set[tuple[Any, ...]]:
        """Beginnings that need not be waited for; looked up only if a request wants to share one."""
        waiting = (row for call in self._waiting for _, row in call.unstarted)
        wanted = {row.weights.key: row for row in waiting if row.request.share_beginning}
        return openings(key for row in wanted.values() for key in list(self._kept(row).keys()))

    def _kept(self, row: Row) -> PrefixCache:
        """What is kept of the weights that a row was begun with."""
        return self.prefix_cache.of(row.weights)

    def _next(
        self, unread: Collection[tuple[int, ...]], kept: Collection[tuple[Any, ...]]
    ) -> tuple[RowCall, int] | None:
        """The call whose turn it is, and the place of its next request among those that wait."""
        being_read = openings(unread) - set(kept)
        for call in sorted(self._waiting, key=lambda call: (call.running, call.turn)):
            for place, (_, row) in enumerate(call.unstarted):
                shares = row.request.share_beginning and not being_read.isdisjoint(openings([row.prompt]))
                if row.prompt not in unread and not shares:
                    return call, place
        return None

    @property
    def _most_tokens(self) -> int:
        if self._token_limit is None:  # asked once: what this decoder takes is not free any more
            self._token_limit = self._options.max_cached_tokens or affordable_tokens(
                self._policy, most_bytes=2 * 2**30, most_tokens=65_536, gpu_share=0.25
            )
        return self._token_limit

    def _make_room(self, positions: int) -> None:
        longest = max([positions, *(slot.row.fed for slot in self._active)])
        self._store.reserve(len(self._active), longest, self._most_tokens)

    def _start(self, started: "Sequence[_Slot]") -> None:
        """Give new rows what is known of their prompts."""
        ready: list[_Prediction] = []
        for number, slot in enumerate(started, len(self._active) - len(started)):
            row = slot.row
            prefix, known = (None, 0) if slot.call.cancelled else self._known_beginning(row)
            if prefix is None:
                continue
            try:
                self._make_room(len(row.prompt) + len(row.tokens) + 1)
                self._store.load(number, 0, prefix.layers, known)
                row.fed = known
                if known == len(row.prompt) and row.tokens:
                    self._reuse_completion(row, number)
                elif known == len(row.prompt):
                    ready.append((number, slot, prefix.hidden[None]))
            except Exception as error:  # memory may run out
                slot.call.fail(error)
        if ready:
            with self._policy.lock:
                self._predict(ready)

    def _known_beginning(self, row: Row) -> tuple[ReadPrompt | None, int]:
        """Keys and values of a prompt's beginning, as a rule of all of it, and of how many tokens."""
        if not self._options.reuse:
            return None, 0
        kept = self._kept(row)
        prefix = kept.get(row.prompt)
        if isinstance(prefix, ReadPrompt):
            return prefix, len(row.prompt)
        shared = longest_beginning(kept, row.prompt) if row.request.share_beginning else None
        return shared or (None, 0)

    def _reuse_completion(self, row: Row, number: int) -> None:
        kept = self._kept(row).get(completion_key(row.prompt))
        if not (row.request.reuse_completion and isinstance(kept, KeptCompletion)):
            return
        # The last known token is always read: what follows is predicted from its hidden state.
        most = min(len(kept.token_ids), len(row.tokens) - 1)
        same = next((i for i in range(most) if kept.token_ids[i] != row.tokens[i]), most)
        self._store.load(number, len(row.prompt), kept.layers, same)
        row.fed += same

    def _leave(self) -> None:
        """Take out the rows that are finished, and close the gaps."""
        for number in range(len(self._active) - 1, -1, -1):
            slot = self._active[number]
            if slot.row.finish_reason is None and not slot.call.cancelled:
                continue
            if not slot.call.cancelled:
                try:
                    self._keep_completion(slot.row, number)
                    slot.call.finish(slot.index, slot.row.completion())
                except Exception as error:  # memory may run out
                    slot.call.fail(error)
            if slot.call.cancelled:
                self._store.wipe(number)  # what it computed may be NaN
            slot.call.running -= 1
            last = self._active.pop()
            if last is not slot:
                self._store.move(len(self._active), number, last.row.fed)
                self._active[number] = last

    def _keep_completion(self, row: Row, number: int) -> None:
        written = row.fed - len(row.prompt)
        if not self._options.reuse or not row.request.reuse_completion or written < 1:
            return
        layers = self._store.save(number, len(row.prompt), row.fed)
        completion = KeptCompletion(row.tokens[:written], layers)
        self._kept(row).put(completion_key(row.prompt), completion, written)

    # -- one pass

    def _pass(self, numbers: Sequence[int]) -> None:
        """One forward pass of the rows in these slots; if it fails, each alone, so that one fails alone."""
        running = [
            number
            for number in numbers
            if not self._active[number].call.cancelled and self._active[number].row.finish_reason is None
        ]
        if not running:
            return
        try:
            with self._policy.lock:
                self._compute(running)
        except Exception as error:  # the model's own code runs here, and memory may run out
            if len(running) == 1:
                self._active[running[0]].call.fail(error)
                return
            for number in running:
                self._pass([number])

    def _compute(self, numbers: Sequence[int]) -> None:
        slots = [self._active[number] for number in numbers]
        budget = _GUESSING_BUDGET.get(self._policy.device.type, 512) // len(slots)
        rows, unread = [], _READING_BUDGET
        for number, slot in zip(numbers, slots, strict=True):
            feed = slot.row.next_tokens(budget, min(unread, _MOST_READ_AT_ONCE))
            rows.append(RowSlice(number, slot.row.fed, feed))
            unread -= slot.row.reading
        self._make_room(max(row.end for row in rows))
        if self._packed is None:
            raise RuntimeError("a model that cannot be batched has no shared passes")
        hidden = self._packed.forward(self._store, rows)
        # All rows were begun with the same weights; these may have changed during the pass.
        slots[0].row.require_unchanged()
        self.passes += 1
        self.most_rows = max(self.most_rows, len(rows))
        # From here on nothing may raise: the rows go on from this pass, and it cannot be repeated.
        offset = 0
        predicting: list[_Prediction] = []
        for row, slot in zip(rows, slots, strict=True):
            offset += len(row.token_ids)
            states = hidden[offset - slot.row.predicting : offset]
            at_prompt_end, at_end = slot.row.passed()
            kept = not at_prompt_end or self._keep_prompt(slot, row.slot, states[-1])
            if kept and at_end:
                predicting.append((row.slot, slot, states))
        self._predict(predicting)

    def _keep_prompt(self, slot: "_Slot", number: int, hidden: torch.Tensor) -> bool:
        prompt = slot.row.prompt
        try:
            require_finite(self._policy, hidden, "hidden states while reading the prompt")
            if self._options.reuse:
                kept = ReadPrompt(self._store.save(number, 0, len(prompt)), hidden.clone())
                self._kept(slot.row).put(prompt, kept, len(prompt))
        except Exception as error:  # memory may run out
            slot.call.fail(error)
            return False
        return True

    def _predict(self, predicting: "Sequence[_Prediction]") -> None:
        """Ask the head for all rows at once, and let each take its tokens; one that fails, fails alone."""
        if not predicting:
            return
        try:
            asking = [(slot.row, hidden) for _, slot, hidden in predicting]
            logits, tokens, maxima = predict(self._policy, asking)
        except Exception as error:
            if len(predicting) == 1:
                predicting[0][1].call.fail(error)
                return
            for one in predicting:
                self._predict([one])
            return
        start = 0
        for number, slot, hidden in predicting:
            part = slice(start, start + len(hidden))
            start = part.stop
            try:
                added = slot.row.take(hidden, logits[part], tokens[part], maxima[part])
            except Exception as error:
                slot.call.fail(error)
            else:
                slot.call.report(slot.index, added)
                if not all(map(math.isfinite, maxima[part])):  # because of a guess
                    self._store.wipe(number, slot.row.fed)


@atexit.register
def _close_all() -> None:
    # A daemon thread in the middle of a forward pass would abort the process when the interpreter goes.
    for decoder in list(_decoders):
        decoder.close()
    # Also those that are about to end by themselves, whose decoder knows them no longer.
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join()


def _after_fork() -> None:
    for decoder in list(_decoders):
        decoder.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


class _Slot:
    """One row of a call, while it is decoded."""

    def __init__(self, call: RowCall, index: int, row: Row) -> None:
        self.call = call
        self.index = index  # of the request in its call
        self.row = row


_Prediction = tuple[int, _Slot, torch.Tensor]
"""Number of the slot, the slot, and the (k, d) hidden states that predict its next tokens."""
