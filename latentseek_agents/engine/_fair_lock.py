"""A lock that threads get in the order in which they asked for it."""

import threading
from collections import deque
from typing import Self


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
        if self._owner == me:
            self._depth += 1
            return self
        turn = threading.Lock()
        turn.acquire()
        entry = (me, turn)
        try:
            with self._mutex:
                if self._owner is None:
                    self._owner, self._depth = me, 1
                    return self
                self._waiting.append(entry)
            turn.acquire()
        except BaseException:  # interrupted while it waited
            with self._mutex:
                if entry in self._waiting:
                    self._waiting.remove(entry)
            if self.held:
                self.__exit__()
            raise
        return self

    @property
    def held(self) -> bool:
        """Whether this thread has it."""
        return self._owner == threading.get_ident()

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
