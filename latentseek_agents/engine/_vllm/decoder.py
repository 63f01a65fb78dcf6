"""The door ``decode(requests)`` before a vLLM engine in this process: all callers share its batches.

One thread makes the engine and runs all of its steps. Between two steps new requests go in, and those of
cancelled callers and those whose time is up are taken out. The callers' threads sleep, and run their own
callbacks.
"""

import atexit
import itertools
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from latentseek_agents.engine._decoding import Completion, DecodeRequest, PendingCall
from latentseek_agents.engine._vllm.lifetime import engines_turn, shut_down, started
from latentseek_agents.engine._vllm.row_logits import RequestRow, RowLogits
from latentseek_agents.errors import NonFiniteError

__all__ = ["VLLMDecoder"]

_log = logging.getLogger(__name__)
_THREAD_NAME = "latentseek-vllm"

_decoders: "weakref.WeakSet[VLLMDecoder]" = weakref.WeakSet()


class VLLMDecoder:
    """Continues token sequences with vLLM.

    Args:
        make_engine: Makes the engine and sets the head of the rows; called in the decoder's own thread, which
            then runs it.
        rows: What the engine's logits processor asks.
        name: Of the model, for messages.

    Attributes:
        engine: vLLM's engine.
        steps: Steps of the engine so far.
        most_rows: Most requests that were in the engine at once.

    Raises:
        Exception: What ``make_engine`` raises.
    """

    def __init__(self, make_engine: Callable[[], Any], rows: RowLogits, *, name: str) -> None:
        self.engine: Any = None
        self.steps = 0
        self.most_rows = 0
        self._rows = rows
        self._name = name
        self._condition = threading.Condition()
        self._waiting: list[PendingCall] = []
        self._active: dict[str, _Active] = {}
        self._numbers = itertools.count()
        self._closing = False
        self._failure: BaseException | None = None
        made: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=_run, args=(weakref.ref(self), make_engine, made), name=_THREAD_NAME, daemon=True
        )
        self._thread.start()
        failure = made.get()
        if failure is not None:
            raise failure
        _decoders.add(self)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the model knows."""
        return self._rows.loaded_head.vocabulary_size

    @property
    def running(self) -> int:
        """How many requests the engine holds now."""
        return len(self._active)

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Completion]:
        """Continue every request; any number of threads may call at once.

        Raises:
            NonFiniteError: The model's logits are NaN or infinite where a hidden state is wanted, or a token
                is drawn or constrained. Greedy tokens of which nothing else is wanted are vLLM's alone.
            Exception: What a constraint raises; other callers do not notice.
            RuntimeError: vLLM failed, now or before.
        """
        if not requests:
            return []
        call = PendingCall(requests)
        try:
            with self._condition:
                if self._closing or self._failure is not None:
                    why = f"vLLM failed before ({self._failure})" if self._failure else "vLLM is shut down"
                    raise RuntimeError(f"{why}; load the model again") from self._failure
                self._waiting.append(call)
                self._condition.notify()
            return call.wait()
        except BaseException:
            # Interrupted, or a callback failed: the rest is of no use any more.
            call.cancelled = True
            raise

    def close(self) -> None:
        """End the thread after the step it is in, and vLLM with it; waiting callers get an error."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def after_fork(self) -> None:
        """In a child process there is no thread that would ever answer."""
        self._condition = threading.Condition()
        self._failure = RuntimeError("this process was forked from the one that loaded the model")

    # -- in the decoder's thread

    def turn(self, wait: float) -> bool:
        """Let requests in, take some out, and run one step; False if there is nothing to do any more."""
        with self._condition:
            if not self._waiting and not self._active and not self._closing:
                self._condition.wait(wait)
            calls, self._waiting = self._waiting, []
        if self._closing:
            self._abandon(RuntimeError("vLLM is shut down"), calls)
            return False
        try:
            for call in calls:
                self._enter(call)
            self._take_out()
            if self._active:
                self.most_rows = max(self.most_rows, len(self._active))
                with engines_turn:
                    outputs = self.engine.step()
                self._hand_on(outputs)
                self.steps += 1
        except Exception as error:  # the callers would never wake otherwise
            _log.exception("vLLM failed")
            with self._condition:
                self._failure = error
                calls += self._waiting
            failure = RuntimeError(f"vLLM failed: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._abandon(failure, calls)
        return True

    def _enter(self, call: PendingCall) -> None:
        for index, request in enumerate(call.requests):
            row = RequestRow(request)
            if call.is_left:
                return
            if request.max_new_tokens <= 0:
                call.finish(index, self._completion(_Active(call, index, row, {}), "length"))
                continue
            extra = self._rows.add(row)
            prompt = {"prompt_token_ids": [*request.prompt_ids, *request.forced_ids]}
            name = f"latentseek-{next(self._numbers)}"
            try:
                self.engine.add_request(name, prompt, _sampling_params(request, extra))
            except ValueError as error:  # it fits into no cache, say
                self._rows.remove(extra)
                call.fail(error)
                return
            self._active[name] = _Active(call, index, row, extra)

    def _take_out(self) -> None:
        """Take out requests of cancelled callers, and those whose time is up."""
        gone = []
        for name, active in self._active.items():
            overdue = active.overdue()
            left = active.call.is_left
            if not (overdue or left):
                active.waited = True
                continue
            gone.append(name)
            if not left:
                self._finish(active, "seconds")
        if gone:
            self.engine.abort_request(gone)
        for name in gone:
            self._rows.remove(self._active.pop(name).extra)

    def _hand_on(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            active = self._active.get(output.request_id)
            if active is None:
                continue
            (completion,) = output.outputs
            tokens = list(completion.token_ids)
            active.tokens += tokens
            if output.num_cached_tokens is not None:
                active.cached = output.num_cached_tokens
            if active.row.failure is not None:  # the next turn takes it out, and the others of its call
                active.call.fail(active.row.failure)
            else:
                active.call.report(active.index, tokens)
            if output.finished:
                if active.row.failure is None:
                    self._finish(active, "stop" if completion.finish_reason == "stop" else "length")
                self._rows.remove(self._active.pop(output.request_id).extra)

    def _finish(self, active: "_Active", reason: str) -> None:
        try:
            active.call.finish(active.index, self._completion(active, reason))
        except Exception as error:  # not finite, or memory ran out
            active.call.fail(error)

    def _completion(self, active: "_Active", reason: str) -> Completion:
        row, added = active.row, len(active.tokens)
        hidden = row.hidden(self._rows.loaded_head, added)
        drawn = not row.finite or bool(torch.stack(row.finite).all())
        if not (drawn and torch.isfinite(hidden).all()):
            raise NonFiniteError(
                f"{self._name} gives NaN or infinite logits; its weights are damaged, or its dtype is too "
                "narrow (try dtype='float32')"
            )
        prompt = len(row.request.prompt_ids)
        read = row.prompt_length - active.cached if added else 0
        return Completion(
            token_ids=[*row.request.forced_ids, *active.tokens],
            hidden=hidden,
            finish_reason=reason,
            forward_passes=added,
            computed_tokens=read + max(0, added - 1),
            prompt_passes=int(added > 0 and active.cached < prompt),
            prompt_tokens=max(0, prompt - active.cached) if added else 0,
            added=added,
        )

    def _abandon(self, error: BaseException, calls: Sequence[PendingCall]) -> None:
        """Wake all callers with an error."""
        for call in {*calls, *(active.call for active in self._active.values())}:
            call.fail(error)
        self._active.clear()


def _run(
    decoder: "weakref.ref[VLLMDecoder]", make_engine: Callable[[], Any], made: "queue.SimpleQueue[Any]"
) -> None:
    """The decoder's thread: it ends with the decoder, which it holds only while there is work."""
    try:
        with engines_turn:
            engine = make_engine()
            started()
        here = decoder()
        if here is None:
            shut_down(engine)
            return
        here.engine = engine
    except BaseException as error:  # the thread that loads the model raises it
        made.put(error)
        return
    made.put(None)
    del here
    while (here := decoder()) is not None and here.turn(wait=1.0):
        del here
    shut_down(engine)


@atexit.register
def _close_all() -> None:
    # A daemon thread in the middle of a step would abort the process when the interpreter goes.
    for decoder in list(_decoders):
        decoder.close()
    # Also those that are shutting vLLM down, whose decoder is gone.
    for thread in threading.enumerate():
        if thread.name == _THREAD_NAME:
            thread.join()


def _after_fork() -> None:
    for decoder in list(_decoders):
        decoder.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def _sampling_params(request: DecodeRequest, extra: dict[str, int]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0,  # what is drawn is drawn by our logits processor
        max_tokens=request.max_new_tokens,
        stop_token_ids=sorted(request.end_token_ids),
        ignore_eos=True,  # the end tokens are the request's alone
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        extra_args=extra,
        skip_clone=True,
    )


@dataclass(eq=False)
class _Active:
    """One request in the engine."""

    call: PendingCall
    index: int  # in its call
    row: RequestRow
    extra: dict[str, int]
    tokens: list[int] = field(default_factory=list)
    cached: int = 0
    waited: bool = False

    def overdue(self) -> bool:
        """Whether its deadline has passed; each has one step before that counts."""
        deadline = self.row.request.deadline
        return self.waited and deadline is not None and time.monotonic() >= deadline
