"""One decoder per backbone that serves all callers: their requests share forward passes.

A thread of its own runs the passes while there is anything to do. Between two passes rows that are finished
leave, waiting requests take their places, and nobody waits for the longest. The callers' threads sleep, and
run their own callbacks.
"""

import atexit
import queue
import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from latentseek_agents.engine.completion import Completion, DecodeRequest, DecodingOptions, not_finite
from latentseek_agents.engine.key_values import KeyValueStore, SavedLayers
from latentseek_agents.engine.ragged import RaggedModel, RowSlice
from latentseek_agents.engine.rows import Row

if TYPE_CHECKING:
    import torch

    from latentseek_agents.engine.backbone import Backbone

__all__ = ["BatchDecoder"]

# Without work the thread ends after so many seconds, and its memory is given back.
_IDLE_SECONDS = 2.0
# Tokens in one pass beyond which another guess costs more time than it saves.
_GUESSING_BUDGET = {"cpu": 64, "cuda": 512}
_THREAD_NAME = "latentseek-decoder"
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
        self._store = KeyValueStore()
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
        with self._condition:
            if self._closing:
                raise RuntimeError("the interpreter is shutting down; decode before it does")
            self._waiting.append(ticket)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=_THREAD_NAME, daemon=True)
                self._thread.start()
            self._condition.notify()
        try:
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

    def _run(self) -> None:
        while not self._closing:
            with self._condition:
                self._admit()
                if not self._active and not self._waiting:
                    self._condition.wait(_IDLE_SECONDS)
                    self._admit()
                    if not self._active and not self._waiting:
                        self._store.clear()
                        self._thread = None
                        return
            for job in self._active:
                if job.row.finish_reason is None and job.row.out_of_time():
                    job.row.finish_reason = "seconds"
            # Also those that needed no pass: their prompt was there, and one token was all they wanted.
            self._leave()
            backbone = self._backbone()
            if backbone is not None:
                self._pass(backbone, list(range(len(self._active))))
            # Not held while waiting: the backbone may go.
            del backbone
            self._leave()
        for ticket in {*self._waiting, *(job.ticket for job in self._active)}:
            ticket.fail(RuntimeError("the interpreter is shutting down"))

    # -- who takes part

    def _admit(self) -> None:
        """Let waiting requests in, those of the caller with the fewest rows first."""
        backbone = self._backbone()
        self._waiting = [ticket for ticket in self._waiting if ticket.unstarted and not ticket.cancelled]
        if backbone is None:
            return
        most_tokens = self._options.max_cached_tokens or _affordable(backbone, 2 * 2**30, 65_536)
        while self._waiting and len(self._active) < self._options.max_rows:
            ticket = min(self._waiting, key=lambda ticket: ticket.running)
            row = ticket.rows[ticket.unstarted[0]]
            needed = max([row.most_tokens, *(job.row.most_tokens for job in self._active)])
            if self._active and needed * (len(self._active) + 1) > most_tokens:
                return
            if self._is_being_read(row):
                # The one that reads this prompt now will leave it behind.
                return
            index = ticket.unstarted.pop(0)
            job = _Job(ticket, index)
            try:
                self._start(backbone, job)
            except Exception as error:  # the model's own code runs here
                ticket.fail(error)
            if not ticket.unstarted:
                self._waiting.remove(ticket)

    def _is_being_read(self, row: Row) -> bool:
        if not self._options.reuse:
            return False
        return any(job.row.fed < len(job.row.prompt) and job.row.prompt == row.prompt for job in self._active)

    def _start(self, backbone: "Backbone", job: "_Job") -> None:
        row = job.row
        if row.finish_reason is not None:
            job.ticket.finish(job.index, row.completion(None))
            return
        self._active.append(job)
        job.ticket.running += 1
        slot = len(self._active) - 1
        prefix = backbone.prefix_cache.get(tuple(row.prompt)) if self._options.reuse else None
        if not isinstance(prefix, _ReadPrompt):
            return
        self._store.reserve(slot + 1, len(row.prompt) + len(row.tokens) + 1)
        self._store.load(slot, 0, prefix.layers, len(row.prompt))
        row.fed = len(row.prompt)
        if row.tokens:
            self._reuse_completion(backbone, row, slot)
        else:
            self._predict(backbone, [(job, prefix.hidden[None])])

    def _reuse_completion(self, backbone: "Backbone", row: Row, slot: int) -> None:
        kept = backbone.prefix_cache.get(_completion_key(row.prompt))
        if not (row.request.reuse_completion and isinstance(kept, _KeptCompletion)):
            return
        # The last known token is always read: what follows is predicted from its hidden state.
        most = min(len(kept.token_ids), len(row.tokens) - 1)
        same = next((i for i in range(most) if kept.token_ids[i] != row.tokens[i]), most)
        self._store.load(slot, len(row.prompt), kept.layers, same)
        row.fed += same

    def _leave(self) -> None:
        """Take out the rows that are finished, and close the gaps."""
        for slot in range(len(self._active) - 1, -1, -1):
            job = self._active[slot]
            if job.row.finish_reason is None and not job.ticket.cancelled:
                continue
            if job.row.finish_reason is not None and not job.ticket.cancelled:
                self._keep_completion(job.row, slot)
                job.ticket.finish(job.index, job.row.completion(None))
            job.ticket.running -= 1
            last = self._active.pop()
            if last is not job:
                self._store.move(len(self._active), slot, last.row.fed)
                self._active[slot] = last

    def _keep_completion(self, row: Row, slot: int) -> None:
        backbone = self._backbone()
        written = row.fed - len(row.prompt)
        if backbone is None or not self._options.reuse or not row.request.reuse_completion or written < 1:
            return
        layers = self._store.save(slot, len(row.prompt), row.fed)
        kept = _KeptCompletion(row.tokens[:written], layers)
        backbone.prefix_cache.put(_completion_key(row.prompt), kept, written)

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
        feeds = [job.row.next_tokens(budget) for job in jobs]
        rows = [RowSlice(slot, job.row.fed, feed) for slot, job, feed in zip(slots, jobs, feeds, strict=True)]
        self._store.reserve(max(slots) + 1, max(row.end for row in rows))
        hidden = self._ragged.forward(self._store, rows)
        self.passes += 1
        self.most_rows = max(self.most_rows, len(rows))
        offset = 0
        predicted: list[tuple[_Job, torch.Tensor]] = []
        for slot, job, feed in zip(slots, jobs, feeds, strict=True):
            wanted = job.row.wanted(len(feed))
            found = hidden[offset + wanted.start : offset + wanted.stop]
            offset += len(feed)
            at_prompt_end, at_end = job.row.at_prompt_end(), job.row.at_end()
            job.row.passed()
            if at_prompt_end and not self._keep_prompt(backbone, job, slot, found[-1]):
                continue
            if at_end:
                predicted.append((job, found))
        self._predict(backbone, predicted)

    def _keep_prompt(self, backbone: "Backbone", job: "_Job", slot: int, hidden: "torch.Tensor") -> bool:
        import torch

        if not torch.isfinite(hidden).all():
            job.ticket.fail(not_finite(backbone, "hidden states while reading the prompt"))
            return False
        if self._options.reuse:
            prompt = job.row.prompt
            kept = _ReadPrompt(self._store.save(slot, 0, len(prompt)), hidden.clone())
            backbone.prefix_cache.put(tuple(prompt), kept, len(prompt))
        return True

    def _predict(self, backbone: "Backbone", predicted: "Sequence[tuple[_Job, torch.Tensor]]") -> None:
        """Ask the head for all rows at once, and let each take its tokens."""
        import torch

        if not predicted:
            return
        with torch.no_grad():
            inputs = torch.cat([job.row.inputs(hidden) for job, hidden in predicted])
            logits = backbone.logits(inputs)
            largest, best = logits.max(dim=-1)
            # One transfer for both, and the only time that a pass waits for the device.
            found = torch.stack([best.double(), largest.double()]).tolist()
        start = 0
        for job, hidden in predicted:
            end = start + len(hidden)
            try:
                added = job.row.take(
                    hidden,
                    logits[start:end],
                    [int(token) for token in found[0][start:end]],
                    found[1][start:end],
                )
            except Exception as error:
                job.ticket.fail(error)
            else:
                job.ticket.tell(job.index, added)
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


class _ReadPrompt:
    """What the model knows after a prompt."""

    def __init__(self, layers: SavedLayers, hidden: "torch.Tensor") -> None:
        self.layers = layers
        self.hidden = hidden


class _KeptCompletion:
    """The last completion of a prompt."""

    def __init__(self, token_ids: list[int], layers: SavedLayers) -> None:
        self.token_ids = token_ids
        self.layers = layers


class _Ticket:
    """One call of ``decode``. The decoder's thread puts in, the caller's takes out."""

    def __init__(self, backbone: "Backbone", requests: Sequence[DecodeRequest], *, speculate: bool) -> None:
        self.rows = [Row(backbone, request, speculate=speculate) for request in requests]
        self.unstarted = list(range(len(requests)))
        self.running = 0
        self.cancelled = False
        self._requests = requests
        self._events: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def wait(self) -> list[Completion]:
        """Sleep until all is done, and run the callbacks."""
        done: dict[int, Completion] = {}
        while len(done) < len(self.rows):
            index, event = self._events.get()
            if isinstance(event, Completion):
                done[index] = event
            elif isinstance(event, BaseException):
                raise event
            else:
                on_token = self._requests[index].on_token
                for token in event if on_token is not None else ():
                    on_token(token)  # type: ignore[misc]
        return [done[index] for index in range(len(self.rows))]

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

    def __init__(self, ticket: _Ticket, index: int) -> None:
        self.ticket = ticket
        self.index = index
        self.row = ticket.rows[index]


def _completion_key(prompt: Sequence[int]) -> tuple[Any, ...]:
    return ("completion", *prompt)


def _affordable(backbone: "Backbone", most_bytes: int, most_tokens: int) -> int:
    """Tokens whose keys and values fit into so many bytes."""
    return max(1, min(most_tokens, most_bytes // backbone.bytes_per_cached_token))
