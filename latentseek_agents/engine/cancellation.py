"""Stop the decoding of a thread from another one, at the next token."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = [
    "Cancelled",
    "cancellable",
    "cancellation",
    "checked_listener",
    "raise_if_cancelled",
    "stopped_by",
]

_stops: ContextVar[tuple[threading.Event, ...]] = ContextVar("latentseek_stops", default=())


class Cancelled(BaseException):
    """The caller was cancelled. Not an error: ``except Exception`` does not catch it."""


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
    """Whether what is decoded in this context can be cancelled."""
    return bool(_stops.get())


def cancellation() -> Callable[[], bool]:
    """Whether this context is cancelled, to be asked in another thread."""
    stops = _stops.get()
    return lambda: any(stop.is_set() for stop in stops)


def raise_if_cancelled() -> None:
    """Check for a cancellation.

    Raises:
        Cancelled: This context was cancelled.
    """
    if any(stop.is_set() for stop in _stops.get()):
        raise Cancelled


def checked_listener(on_token: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """A listener that also checks for a cancellation; the same one where there can be none."""
    if not _stops.get():
        return on_token

    def listen(token: int) -> None:
        raise_if_cancelled()
        if on_token is not None:
            on_token(token)

    return listen
