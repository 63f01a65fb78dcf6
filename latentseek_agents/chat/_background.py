"""A turn in a thread of its own, and what it produces, in order, in the caller's thread or event loop."""

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessageChunk

from latentseek_agents.chat._reply import Reply, Shown
from latentseek_agents.chat._turn import Turn
from latentseek_agents.engine.cancellation import stopped_by

Piece = AIMessageChunk | dict[str, Any] | Reply
"""New text (the last with calls and costs), an event of a search, or the finished reply, which comes last."""


def pieces(turn: Turn) -> Generator[Piece]:
    """The pieces of a turn as they come. Closing the generator stops the decoding within a token."""
    received: queue.SimpleQueue[Piece | BaseException] = queue.SimpleQueue()
    cancelled = _start(turn, received.put)
    try:
        while not isinstance(piece := _unless_raised(received.get()), Reply):
            yield piece
        yield piece
    finally:
        cancelled.set()


async def apieces(turn: Turn) -> AsyncGenerator[Piece]:
    """As :func:`pieces`; the event loop stays free, and a cancelled task stops the decoding as well."""
    loop = asyncio.get_running_loop()
    received: asyncio.Queue[Piece | BaseException] = asyncio.Queue()

    def put(piece: Piece | BaseException) -> None:
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(received.put_nowait, piece)

    cancelled = _start(turn, put)
    try:
        while not isinstance(piece := _unless_raised(await received.get()), Reply):
            yield piece
        yield piece
    finally:
        cancelled.set()


def _unless_raised(piece: Piece | BaseException) -> Piece:
    if isinstance(piece, BaseException):
        raise piece
    return piece


def _start(turn: Turn, put: Callable[[Piece | BaseException], None]) -> threading.Event:
    """Begin the turn; setting the event that is returned stops it."""
    shown = Shown()

    def on_text(text: str) -> None:
        shown.add("text", text)
        put(AIMessageChunk(content=text))

    def on_thought(text: str) -> None:
        shown.add("thinking", text)
        put(AIMessageChunk(content="", additional_kwargs={"reasoning_content": text}))

    cancelled = threading.Event()

    def work() -> None:
        try:
            # It holds for what a verifier decodes, and for a request that waits for room, too.
            with stopped_by(cancelled):
                reply = turn.write(put, on_text, on_thought)
            put(reply.last_chunk(shown.text, thought=shown.thinking, blocks=shown.blocks))
            put(reply)
        except BaseException as error:  # raised again by the generator
            put(error)

    # A thread each, and no pool: a pool's size would bound how many replies share a forward pass.
    # LangGraph's interrupt, which a verifier may call, reads the context of the caller.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="latentseek-chat", daemon=True).start()
    return cancelled
