"""The thread that decodes for all callers: it starts with the first call, and ends when there is no more."""

import itertools
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable

from latentseek_agents.engine._decoding.requests import Completion
from latentseek_agents.engine._decoding.row import RowCall

__all__ = ["IDLE_SECONDS", "THREAD_NAME", "Worker"]

_log = logging.getLogger(__name__)
THREAD_NAME = "latentseek-decoder"
# Without work the thread ends after so many seconds, and its memory is given back.
IDLE_SECONDS = 2.0


class Worker(ABC):
    """Serves the calls of any number of threads in one of its own.

    Between two rounds of work calls come in and leave. A subclass says what a round is.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[RowCall] = []
        self._turns = itertools.count()
        self._thread: threading.Thread | None = None
        self._closing = False

    def close(self) -> None:
        """Tell the thread to end after the pass it is in; waiting callers get an error."""
        with self._condition:
            self._closing = True
            self._condition.notify()

    def _served(self, call: RowCall) -> list[Completion]:
        """Hand a call to the thread, and wait for what it asks for."""
        try:
            self._enter(call)
            return call.wait()
        except BaseException:
            # Interrupted, or a callback failed: the rest is of no use any more.
            call.cancelled = True
            raise

    def _enter(self, call: RowCall) -> None:
        with self._condition:
            if self._closing:
                raise RuntimeError("the interpreter is shutting down; decode before it does")
            call.turn = next(self._turns)
            self._waiting.append(call)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()
            self._condition.notify()

    def _run(self) -> None:
        try:
            while not self._closing and self._round():
                pass
            if self._closing:
                self._abandon("the interpreter is shutting down", None)
        except BaseException as error:  # the callers would never wake otherwise
            _log.exception("the decoder failed")
            self._abandon(f"the decoder failed: {type(error).__name__}: {error}", error)

    def _abandon(self, why: str, cause: BaseException | None) -> None:
        """Wake all callers with an error, and start anew."""
        with self._condition:
            calls = {*self._waiting, *self._being_served()}
            self._forget()
        for call in calls:
            error = RuntimeError(why)
            error.__cause__ = cause
            call.fail(error)

    def _forget(self) -> None:
        """Be as before the first call."""
        self._waiting, self._thread = [], None

    @abstractmethod
    def _round(self) -> bool:
        """Let calls in, and do a part of the work; False if there was nothing to do for a while."""

    @abstractmethod
    def _being_served(self) -> Iterable[RowCall]:
        """The calls that have been let in."""
