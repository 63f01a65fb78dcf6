"""Stop the decoding of a thread from another one, at the next token."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Cancelled", "cancellable", "checked_listener", "raise_if_cancelled", "stopped_by"]

_stops: ContextVar[tuple[threading.Event, ...]] = ContextVar("latentseek_stops", default=())


class Cancelled(BaseException):
    """Nobody waits for this any more. No error: nothing may catch it as one."""


@contextmanager
def stopped_by(stop: threading.Event) -> Iterator[None]:
    """What is decoded inside ends with :class:`Cancelled` at the first token after ``stop`` is set.

    It holds for this context and its copies, so for threads that are started in a copy as well.

    Example:
        >>> stop = threading.Event()
        >>> with stopped_by(stop):
        ...     raise_if_cancelled()
        ...     stop.set()
        ...     try:
        ...         raise_if_cancelled()
        ...     except Cancelled:
        ...         print("cancelled")
        cancelled
    """
    token = _stops.set((*_stops.get(), stop))
    try:
        yield
    finally:
        _stops.reset(token)


def cancellable() -> bool:
    """Whether anybody could cancel what is decoded here."""
    return bool(_stops.get())


def raise_if_cancelled() -> None:
    """Go on, if somebody still waits.

    Raises:
        Cancelled: Nobody does.
    """
    if any(stop.is_set() for stop in _stops.get()):
        raise Cancelled


def checked_listener(on_token: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """A listener that also looks whether the decoding was cancelled; the same one where it cannot be."""
    if not _stops.get():
        return on_token

    def listen(token: int) -> None:
        raise_if_cancelled()
        if on_token is not None:
            on_token(token)

    return listen
