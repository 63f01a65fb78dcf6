"""A lock that is given in the order in which it was asked for."""

import threading
from collections import deque
from typing import Self

__all__ = ["FairLock"]


class FairLock:
    """Reentrant, like ``threading.RLock``, but a thread that takes it again and again lets others in between.

    Example:
        >>> lock = FairLock()
        >>> with lock, lock:
        ...     pass
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self._waiting: deque[tuple[int, threading.Lock]] = deque()

    def __enter__(self) -> Self:
        me = threading.get_ident()
        with self._mutex:
            if self._owner in (None, me):
                self._owner = me
                self._depth += 1
                return self
            turn = threading.Lock()
            turn.acquire()
            entry = (me, turn)
            self._waiting.append(entry)
        try:
            turn.acquire()
        except BaseException:  # interrupted while it waited
            with self._mutex:
                waiting = entry in self._waiting
                if waiting:
                    self._waiting.remove(entry)
            if not waiting:
                self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            self._depth -= 1
            if self._depth:
                return
            self._owner = None
            if self._waiting:
                self._owner, turn = self._waiting.popleft()
                self._depth = 1
                turn.release()
