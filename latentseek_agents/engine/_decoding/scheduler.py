"""One decoder per backbone that serves all callers: their requests share forward passes.

A thread of its own runs the passes while there is anything to do. Between two passes rows that are finished
leave, waiting requests take their places, and nobody waits for the longest. The callers' threads sleep, and
run their own callbacks.
"""

import atexit
import itertools
import logging
import math
import os
import queue
import threading
import weakref
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from latentseek_agents.engine._decoding.kept_states import (
    KeptCompletion,
    ReadPrompt,
    completion_key,
    longest_beginning,
    openings,
)
from latentseek_agents.engine._decoding.key_values import KeyValueStore
from latentseek_agents.engine._decoding.memory import affordable_tokens
from latentseek_agents.engine._decoding.packed_forward import RaggedModel, RowSlice
from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest, DecodingOptions, not_finite
from latentseek_agents.engine._decoding.rows import Row, draw_tokens, head_inputs
from latentseek_agents.engine.cancellation import cancellable, raise_if_cancelled

if TYPE_CHECKING:
    import torch

    from latentseek_agents.engine.backbone import Backbone

__all__ = ["BatchDecoder"]

_log = logging.getLogger(__name__)
# Without work the thread ends after so many seconds, and its memory is given back.
_IDLE_SECONDS = 2.0
_LISTEN_SECONDS = 0.1  # between two looks whether a caller that hears nothing was cancelled
# Tokens in one pass beyond which another guess costs more time than it saves.
_GUESSING_BUDGET = {"cpu": 64, "cuda": 512}
_THREAD_NAME = "latentseek-decoder"
# Known tokens that all rows together read in one pass: what the layers make of them is in memory at once.
_READING_BUDGET = 2048
_decoders: "weakref.WeakSet[BatchDecoder]" = weakref.WeakSet()


class BatchDecoder:
    """Joins the requests of all threads.

    Args:
        backbone: The frozen model; held weakly, so that it can go.
        ragged: Its layers.
        options: Limits.

    Attributes:
        passes: Forward passes so far, each counted once however many rows took part.
        most_rows: Most rows that ever took part in one pass.
    """

    def __init__(self, backbone: "Backbone", ragged: RaggedModel, options: DecodingOptions) -> None:
        self.passes = 0
        self.most_rows = 0
        self._backbone = weakref.ref(backbone)
        self._ragged = ragged
        self._options = options
        self._condition = threading.Condition()
        self._waiting: list[_Ticket] = []
        self._active: list[_Job] = []  # the place in the list is the slot in the store
        self._turns = itertools.count()
        self._store = KeyValueStore()
        self._token_limit: int | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        _decoders.add(self)

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Completion]:
        """Continue every request; any number of threads may call at once."""
        if not requests:
            return []
        backbone = self._backbone()
        if backbone is None:  # the caller holds it
            raise RuntimeError("the backbone of this decoder is gone")
        ticket = _Ticket(backbone, requests, speculate=self._options.speculate)
        try:
            self._enter(ticket)
            return ticket.wait()
        except BaseException:
            # Interrupted, or a callback failed: nobody wants the rest any more.
            ticket.cancelled = True
            raise

    def close(self) -> None:
        """Tell the thread to end after the pass it is in; whoever waits gets an error."""
        with self._condition:
            self._closing = True
            self._condition.notify()

    def _enter(self, ticket: "_Ticket") -> None:
        with self._condition:
            if self._closing:
                raise RuntimeError("the interpreter is shutting down; decode before it does")
            ticket.turn = next(self._turns)
            self._waiting.append(ticket)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=_THREAD_NAME, daemon=True)
                self._thread.start()
            self._condition.notify()

    def _run(self) -> None:
        try:
            while not self._closing and self._round():
                pass
            if self._closing:
                self._abandon("the interpreter is shutting down", None)
        except BaseException as error:  # nobody would wake the callers otherwise
            _log.exception("the decoder failed")
            self._abandon(f"the decoder failed: {type(error).__name__}: {error}", error)

    def _round(self) -> bool:
        """Let requests in, run one pass, let rows out; False if there was nothing to do for a while."""
        with self._condition:
            started = self._admit()
            if not self._active and not self._waiting:
                self._condition.wait(_IDLE_SECONDS)
                started = self._admit()
                if not self._active and not self._waiting:
                    self._store.clear()
                    self._thread = None
                    return False
        # No name holds the backbone while this thread waits: it may go then.
        backbone = self._backbone()
        if backbone is not None:
            self._start(backbone, started)
            self._stop_late()
            # Also those that needed no pass: their prompt was there, and one token was all they wanted.
            self._leave(backbone)
            self._pass(backbone, range(len(self._active)))
            self._leave(backbone)
        return True

    def _abandon(self, why: str, cause: BaseException | None) -> None:
        """Wake everybody with an error, and be as new."""
        with self._condition:
            tickets = {*self._waiting, *(job.ticket for job in self._active)}
            self._forget()
        for ticket in tickets:
            error = RuntimeError(why)
            error.__cause__ = cause
            ticket.fail(error)

    def _forget(self) -> None:
        self._waiting, self._active = [], []
        self._store = KeyValueStore()
        self._thread = None

    def _after_fork(self) -> None:
        """In a child process the thread does not exist, and locks that it held are never released."""
        self._condition = threading.Condition()
        self._forget()

    # -- who takes part

    def _admit(self) -> "list[_Job]":
        """Let waiting requests in, those of the caller with the fewest rows first, and by turns."""
        self._waiting = [ticket for ticket in self._waiting if ticket.unstarted and not ticket.cancelled]
        backbone = self._backbone()
        started: list[_Job] = []
        if backbone is None or not self._waiting:
            return started
        # Whoever reads a prompt leaves it behind for those who want the same; these wait for it.
        unread = {job.row.prompt for job in self._active if job.row.fed < len(job.row.prompt)}
        kept = self._kept_openings(backbone)
        most_tokens = self._most_tokens(backbone)
        while len(self._active) < self._options.max_rows:
            found = self._next(unread if self._options.reuse else (), kept)
            if found is None:
                break
            ticket, place = found
            index, row = ticket.unstarted[place]
            if row.finish_reason is None:
                needed = max([row.most_tokens, *(job.row.most_tokens for job in self._active)])
                if self._active and needed * (len(self._active) + 1) > most_tokens:
                    break
                started.append(_Job(ticket, index, row))
                self._active.append(started[-1])
                ticket.running += 1
                ticket.turn = next(self._turns)
                if not isinstance(backbone.prefix_cache.get(row.prompt), ReadPrompt):
                    unread.add(row.prompt)
            else:
                ticket.finish(index, row.completion())
            del ticket.unstarted[place]
            if not ticket.unstarted:
                self._waiting.remove(ticket)
        self._give_up_late()
        return started

    def _give_up_late(self) -> None:
        """End requests whose time is up before there was room for them; they come back as they were."""
        for ticket in self._waiting:
            late = [entry for entry in ticket.unstarted if entry[1].overdue()]
            for entry in late:
                index, row = entry
                row.finish_reason = "seconds"
                ticket.finish(index, row.completion())
                ticket.unstarted.remove(entry)

    def _kept_openings(self, backbone: "Backbone") -> set[tuple[Any, ...]]:
        """Beginnings that need not be waited for; looked up only if somebody wants to share one."""
        waiting = (row for ticket in self._waiting for _, row in ticket.unstarted)
        wanted = any(row.request.share_beginning for row in waiting)
        keys: list[Any] = backbone.prefix_cache.keys() if wanted else []
        return openings(key for key in keys if isinstance(key, tuple))

    def _next(
        self, unread: Collection[tuple[int, ...]], kept: Collection[tuple[Any, ...]]
    ) -> "tuple[_Ticket, int] | None":
        """Whose turn it is, and the place in what that caller has waiting."""
        being_read = openings(unread) - set(kept)
        for ticket in sorted(self._waiting, key=lambda ticket: (ticket.running, ticket.turn)):
            for place, (_, row) in enumerate(ticket.unstarted):
                shares = row.request.share_beginning and not being_read.isdisjoint(openings([row.prompt]))
                if row.prompt not in unread and not shares:
                    return ticket, place
        return None

    def _most_tokens(self, backbone: "Backbone") -> int:
        if self._token_limit is None:  # asked once: what this decoder takes is not free any more
            self._token_limit = self._options.max_cached_tokens or affordable_tokens(
                backbone, most_bytes=2 * 2**30, most_tokens=65_536, gpu_share=0.25
            )
        return self._token_limit

    def _make_room(self, backbone: "Backbone", positions: int) -> None:
        longest = max([positions, *(job.row.fed for job in self._active)])
        self._store.reserve(len(self._active), longest, self._most_tokens(backbone))

    def _start(self, backbone: "Backbone", started: "Sequence[_Job]") -> None:
        """Give new rows what is known of their prompts."""
        ready: list[tuple[int, _Job, torch.Tensor]] = []
        for slot, job in enumerate(started, len(self._active) - len(started)):
            row = job.row
            prefix, known = self._known_beginning(backbone, row)
            if prefix is None:
                continue
            try:
                self._make_room(backbone, len(row.prompt) + len(row.tokens) + 1)
                self._store.load(slot, 0, prefix.layers, known)
                row.fed = known
                if known < len(row.prompt):
                    continue
                if row.tokens:
                    self._reuse_completion(backbone, row, slot)
                else:
                    ready.append((slot, job, prefix.hidden[None]))
            except Exception as error:  # memory may run out
                job.ticket.fail(error)
        if ready:
            with backbone.lock:
                self._predict(backbone, ready)

    def _known_beginning(self, backbone: "Backbone", row: Row) -> tuple[ReadPrompt | None, int]:
        """Keys and values of a prompt's beginning, as a rule of all of it, and of how many tokens."""
        if not self._options.reuse:
            return None, 0
        prefix = backbone.prefix_cache.get(row.prompt)
        if isinstance(prefix, ReadPrompt):
            return prefix, len(row.prompt)
        found = longest_beginning(backbone.prefix_cache, row.prompt) if row.request.share_beginning else None
        return found or (None, 0)

    def _reuse_completion(self, backbone: "Backbone", row: Row, slot: int) -> None:
        kept = backbone.prefix_cache.get(completion_key(row.prompt))
        if not (row.request.reuse_completion and isinstance(kept, KeptCompletion)):
            return
        # The last known token is always read: what follows is predicted from its hidden state.
        most = min(len(kept.token_ids), len(row.tokens) - 1)
        same = next((i for i in range(most) if kept.token_ids[i] != row.tokens[i]), most)
        self._store.load(slot, len(row.prompt), kept.layers, same)
        row.fed += same

    def _stop_late(self) -> None:
        for job in self._active:
            if job.row.finish_reason is None and job.row.out_of_time():
                job.row.finish_reason = "seconds"

    def _leave(self, backbone: "Backbone") -> None:
        """Take out the rows that are finished, and close the gaps."""
        for slot in range(len(self._active) - 1, -1, -1):
            job = self._active[slot]
            if job.row.finish_reason is None and not job.ticket.cancelled:
                continue
            if not job.ticket.cancelled:
                try:
                    self._keep_completion(backbone, job.row, slot)
                    job.ticket.finish(job.index, job.row.completion())
                except Exception as error:  # memory may run out
                    job.ticket.fail(error)
            if job.ticket.cancelled:
                self._store.wipe(slot)  # what it computed may be NaN
            job.ticket.running -= 1
            last = self._active.pop()
            if last is not job:
                self._store.move(len(self._active), slot, last.row.fed)
                self._active[slot] = last

    def _keep_completion(self, backbone: "Backbone", row: Row, slot: int) -> None:
        written = row.fed - len(row.prompt)
        if not self._options.reuse or not row.request.reuse_completion or written < 1:
            return
        layers = self._store.save(slot, len(row.prompt), row.fed)
        kept = KeptCompletion(row.tokens[:written], layers)
        backbone.prefix_cache.put(completion_key(row.prompt), kept, written)

    # -- one pass

    def _pass(self, backbone: "Backbone", slots: Sequence[int]) -> None:
        """One forward pass of the rows in these slots; if it fails, each alone, so that one fails alone."""
        slots = [slot for slot in slots if not self._active[slot].ticket.cancelled]
        running = [slot for slot in slots if self._active[slot].row.finish_reason is None]
        if not running:
            return
        try:
            with backbone.lock:
                self._compute(backbone, running)
        except Exception as error:  # the model's own code runs here, and memory may run out
            if len(running) == 1:
                self._active[running[0]].ticket.fail(error)
                return
            for slot in running:
                self._pass(backbone, [slot])

    def _compute(self, backbone: "Backbone", slots: Sequence[int]) -> None:
        jobs = [self._active[slot] for slot in slots]
        budget = _GUESSING_BUDGET.get(backbone.device.type, 512) // len(jobs)
        feeds, unread = [], _READING_BUDGET
        for job in jobs:
            feeds.append(job.row.next_tokens(budget, unread))
            unread -= job.row.reading
        rows = [RowSlice(slot, job.row.fed, feed) for slot, job, feed in zip(slots, jobs, feeds, strict=True)]
        self._make_room(backbone, max(row.end for row in rows))
        hidden = self._ragged.forward(self._store, rows)
        self.passes += 1
        self.most_rows = max(self.most_rows, len(rows))
        # From here on nothing may raise: the rows go on from this pass, and it cannot be repeated.
        offset = 0
        predicted: list[tuple[int, _Job, torch.Tensor]] = []
        for slot, job, feed in zip(slots, jobs, feeds, strict=True):
            wanted = job.row.wanted(len(feed))
            found = hidden[offset + wanted.start : offset + wanted.stop]
            offset += len(feed)
            at_prompt_end, at_end = job.row.at_prompt_end(), job.row.at_end()
            job.row.passed()
            if at_prompt_end and not self._keep_prompt(backbone, job, slot, found[-1]):
                continue
            if at_end:
                predicted.append((slot, job, found))
        self._predict(backbone, predicted)

    def _keep_prompt(self, backbone: "Backbone", job: "_Job", slot: int, hidden: "torch.Tensor") -> bool:
        import torch

        prompt = job.row.prompt
        try:
            if not torch.isfinite(hidden).all():
                raise not_finite(backbone, "hidden states while reading the prompt")
            if self._options.reuse:
                kept = ReadPrompt(self._store.save(slot, 0, len(prompt)), hidden.clone())
                backbone.prefix_cache.put(prompt, kept, len(prompt))
        except Exception as error:  # memory may run out
            job.ticket.fail(error)
            return False
        return True

    def _predict(self, backbone: "Backbone", predicted: "Sequence[tuple[int, _Job, torch.Tensor]]") -> None:
        """Ask the head for all rows at once, and let each take its tokens; one that fails, fails alone."""
        import torch

        if not predicted:
            return
        try:
            with torch.no_grad():
                asking = [(job.row, hidden) for _, job, hidden in predicted]
                logits = backbone.logits(head_inputs(asking))
                largest, chosen = logits.max(dim=-1)
                draw_tokens(asking, logits, chosen)
                # One transfer for both, and the only time that a pass waits for the device. A float32 holds
                # every token id.
                found = torch.stack([chosen.float(), largest.float()]).tolist()
        except Exception as error:
            if len(predicted) == 1:
                predicted[0][1].ticket.fail(error)
                return
            for one in predicted:
                self._predict(backbone, [one])
            return
        start = 0
        for slot, job, hidden in predicted:
            end = start + len(hidden)
            tops = found[1][start:end]
            try:
                tokens = [int(token) for token in found[0][start:end]]
                added = job.row.take(hidden, logits[start:end], tokens, tops)
            except Exception as error:
                job.ticket.fail(error)
            else:
                job.ticket.tell(job.index, added)
                if not all(map(math.isfinite, tops)):  # because of a guess
                    self._store.wipe(slot, job.row.fed)
            start = end


@atexit.register
def _close_all() -> None:
    # A daemon thread in the middle of a forward pass would abort the process when the interpreter goes.
    for decoder in list(_decoders):
        decoder.close()
    # Also those that are about to end by themselves, whose decoder knows them no longer.
    for thread in threading.enumerate():
        if thread.name == _THREAD_NAME:
            thread.join()


def _after_fork() -> None:
    for decoder in list(_decoders):
        decoder._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


class _Ticket:
    """One call of ``decode``. The decoder's thread puts in, the caller's takes out."""

    def __init__(self, backbone: "Backbone", requests: Sequence[DecodeRequest], *, speculate: bool) -> None:
        rows = (Row(backbone, request, speculate=speculate) for request in requests)
        self.unstarted = list(enumerate(rows))
        self.running = 0
        self.turn = 0
        self.cancelled = False
        self._requests = requests
        self._events: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def wait(self) -> list[Completion]:
        """Sleep until all is done, and run the callbacks."""
        done: dict[int, Completion] = {}
        while len(done) < len(self._requests):
            try:
                index, event = self._events.get(timeout=_LISTEN_SECONDS if cancellable() else None)
            except queue.Empty:  # it may be waiting for a place, or for a long prompt to be read
                raise_if_cancelled()
                continue
            if isinstance(event, Completion):
                done[index] = event
            elif isinstance(event, BaseException):
                raise event
            else:
                on_token = self._requests[index].on_token
                for token in event if on_token is not None else ():
                    on_token(token)  # type: ignore[misc]
        return [done[index] for index in range(len(self._requests))]

    def tell(self, index: int, tokens: list[int]) -> None:
        """New tokens of one request."""
        if self._requests[index].on_token is not None:
            self._events.put((index, tokens))

    def finish(self, index: int, completion: Completion) -> None:
        """One request is done."""
        self._events.put((index, completion))

    def fail(self, error: BaseException) -> None:
        """One request failed, and with it the call."""
        self.cancelled = True
        self._events.put((-1, error))


class _Job:
    """One row of a ticket, while it is decoded."""

    def __init__(self, ticket: _Ticket, index: int, row: Row) -> None:
        self.ticket = ticket
        self.index = index
        self.row = row
