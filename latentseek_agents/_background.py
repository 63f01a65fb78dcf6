"""Nodes that keep the event loop free, and stop at the next token when their task is cancelled."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import Runtime, get_runtime

from latentseek_agents.engine.cancellation import stopped_by

__all__ = ["NodeFunction", "StoppableNode", "in_thread"]

Result = TypeVar("Result")
NodeFunction = Callable[[Any, Runtime[Any], RunnableConfig], Any]
"""From the state, the runtime and the run's configuration to an update."""


async def in_thread(work: Callable[[], Result]) -> Result:
    """Run ``work`` in a thread of its own; a cancelled task stops its decoding at the next token.

    No pool: a pool's size would bound how many searches share a forward pass.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Callable[[], Result]] = loop.create_future()
    stop = threading.Event()

    def tell(outcome: Callable[[], Result]) -> None:
        if not done.done():
            done.set_result(outcome)

    def run() -> None:
        try:
            with stopped_by(stop):
                outcome: Callable[[], Result] = partial(_returned, work())
        except BaseException as error:  # raised again where it is waited for
            outcome = partial(_raised, error)
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(tell, outcome)

    # LangGraph's interrupt, callbacks and the run around it are found through the context.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="latentseek-node", daemon=True).start()
    try:
        return (await done)()
    finally:
        stop.set()


def _returned(result: Result) -> Result:
    return result


def _raised(error: BaseException) -> NoReturn:
    raise error


class StoppableNode(Runnable[Any, Any]):
    """A plain function as a node of a graph, for ``invoke`` and ``ainvoke``.

    LangGraph would run it in a thread under ``ainvoke``, too, but it would go on there after a cancellation.
    It has no run of its own in a trace: the node has one already.

    Args:
        function: What the node does.
    """

    def __init__(self, function: NodeFunction) -> None:
        self._function = function

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Call the function, here."""
        return self._function(input, get_runtime(), config or {})

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Call the function, in a thread."""
        return await in_thread(partial(self.invoke, input, config))
