"""A turn in a thread of its own, and what it says, in order, in the thread or the event loop that listens."""

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any, Literal

from latentseek_agents.chat._turn import Turn, TurnRequest
from latentseek_agents.engine.cancellation import stopped_by

__all__ = ["Piece", "apieces", "pieces"]

Piece = tuple[Literal["text", "event", "reply"], Any]
"""New content; an event of a search; and, last, the :class:`~latentseek_agents.chat._reply.Reply`."""


def pieces(request: TurnRequest) -> Iterator[Piece]:
    """What a turn says, as it says it. A listener that leaves stops the decoding within a token."""
    said: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    cancelled = _start(request, said.put)
    try:
        while True:
            kind, value = said.get()
            if kind == "error":
                raise value
            yield kind, value  # type: ignore[misc]
            if kind == "reply":
                return
    finally:
        cancelled.set()


async def apieces(request: TurnRequest) -> AsyncIterator[Piece]:
    """As :func:`pieces`; the event loop stays free, and a cancelled task stops the decoding as well."""
    loop = asyncio.get_running_loop()
    said: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def put(item: tuple[str, Any]) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody listens
            loop.call_soon_threadsafe(said.put_nowait, item)

    cancelled = _start(request, put)
    try:
        while True:
            kind, value = await said.get()
            if kind == "error":
                raise value
            yield kind, value  # type: ignore[misc]
            if kind == "reply":
                return
    finally:
        cancelled.set()


def _start(request: TurnRequest, put: Callable[[tuple[str, Any]], None]) -> threading.Event:
    turn = Turn(request, lambda text: put(("text", text)), lambda event: put(("event", event)))

    def work() -> None:
        try:
            # A verifier may decode as well, and a request may wait for room: both end, too.
            with stopped_by(turn.cancelled):
                reply = turn.write()
            put(("reply", reply))
        except BaseException as error:  # raised again where it is listened to
            put(("error", error))

    # A thread each, and no pool: a pool's size would bound how many replies share a forward pass.
    # A verifier may look for its caller in the context (LangGraph's interrupt does).
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="latentseek-chat", daemon=True).start()
    return turn.cancelled
