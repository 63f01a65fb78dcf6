"""One call of a decoder with a thread of its own: the decoder's thread puts in, the caller's takes out."""

import queue
from collections.abc import Sequence
from typing import Any

from latentseek_agents.engine._decoding.requests import Completion, DecodeRequest
from latentseek_agents.engine.cancellation import cancellable, cancellation, raise_if_cancelled

__all__ = ["PendingCall"]

_LISTEN_SECONDS = 0.1  # between two looks whether a caller that hears nothing was cancelled


class PendingCall:
    """A call that waits for its completions.

    Args:
        requests: What is to be completed.

    Attributes:
        cancelled: Nobody waits for it any more.
    """

    def __init__(self, requests: Sequence[DecodeRequest]) -> None:
        self.requests = requests
        self.cancelled = False
        self._is_stopped = cancellation()
        self._events: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    @property
    def is_left(self) -> bool:
        """Whether nobody waits for it any more, or its caller was told to stop and has not heard it yet."""
        return self.cancelled or self._is_stopped()

    def wait(self) -> list[Completion]:
        """Sleep until all is done, and run the callbacks."""
        done: dict[int, Completion] = {}
        while len(done) < len(self.requests):
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
                on_token = self.requests[index].on_token
                for token in event if on_token is not None else ():
                    on_token(token)  # type: ignore[misc]
        return [done[index] for index in range(len(self.requests))]

    def report(self, index: int, tokens: list[int]) -> None:
        """New tokens of one request."""
        if tokens and self.requests[index].on_token is not None:
            self._events.put((index, tokens))

    def finish(self, index: int, completion: Completion) -> None:
        """One request is done."""
        self._events.put((index, completion))

    def fail(self, error: BaseException) -> None:
        """One request failed, and with it the call."""
        self.cancelled = True
        self._events.put((-1, error))
