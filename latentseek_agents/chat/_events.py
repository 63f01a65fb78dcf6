"""The events of a search, to whoever listens: LangChain's callbacks and traces, LangGraph's custom stream."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.callbacks.manager import ahandle_event, handle_event
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langgraph.config import get_stream_writer

from latentseek_agents._tracing import arecord_iteration, record_iteration

__all__ = ["Listeners", "call_of", "with_run_id"]

_Manager = TypeVar("_Manager", CallbackManager, AsyncCallbackManager)

_Call = tuple[Any, RunnableConfig | None]
_call: ContextVar[_Call] = ContextVar("latentseek_call", default=(None, None))


@contextmanager
def call_of(*, run_manager: Any = None, config: RunnableConfig | None = None) -> Iterator[None]:
    """Tell a ``_stream`` that is opened in here which call it belongs to; LangChain does not.

    Args:
        run_manager: That of the call, if it is known.
        config: The call's configuration, with the id of the run to come; see :func:`with_run_id`.
    """
    token = _call.set((run_manager, config))
    try:
        yield
    finally:
        _call.reset(token)


def with_run_id(config: RunnableConfig | None) -> RunnableConfig:
    """A configuration that names the run to come."""
    configured = ensure_config(config)
    return configured if configured.get("run_id") else {**configured, "run_id": uuid4()}


class Listeners:
    """Who listens to this call; to be made in the context of the call.

    Args:
        run_manager: That of the call, if LangChain hands one over.
        callbacks: The model's own, which hear of it where LangChain hands over none.
    """

    def __init__(self, run_manager: Any = None, callbacks: Any = None) -> None:
        known, config = _call.get()
        self._manager = run_manager or known
        self._config = ensure_config(config)
        self._callbacks = callbacks
        try:
            self._writer: Any = get_stream_writer()
        except (RuntimeError, KeyError):  # not in a graph
            self._writer = None

    def tell(self, event: dict[str, Any]) -> None:
        """Announce an event."""
        manager = self._manager or self._configured(CallbackManager)
        handle_event(*_arguments(manager, event), **_about(manager))
        record_iteration(event, self._below(CallbackManager))
        self._write(event)

    async def atell(self, event: dict[str, Any]) -> None:
        """Announce an event in an event loop."""
        manager = self._manager or self._configured(AsyncCallbackManager)
        await ahandle_event(*_arguments(manager, event), **_about(manager))
        await arecord_iteration(event, self._below(AsyncCallbackManager))
        self._write(event)

    def _configured(self, kind: type[_Manager]) -> _Manager:
        manager = kind.configure(
            inheritable_callbacks=self._config.get("callbacks"),
            local_callbacks=self._callbacks,
            inheritable_tags=self._config.get("tags"),
            inheritable_metadata=self._config.get("metadata"),
        )
        manager.parent_run_id = self._config.get("run_id") or manager.parent_run_id
        return manager

    def _below(self, kind: type[_Manager]) -> _Manager:
        """For runs below this call: the manager of a model's call, unlike a chain's, makes none itself."""
        call = self._manager or self._configured(kind)
        manager = kind(handlers=[], parent_run_id=getattr(call, "run_id", None) or call.parent_run_id)
        manager.set_handlers(call.inheritable_handlers)
        manager.add_tags(call.inheritable_tags)
        manager.add_metadata(call.inheritable_metadata)
        return manager

    def _write(self, event: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer(event)


def _arguments(manager: Any, event: dict[str, Any]) -> tuple[Any, ...]:
    return manager.handlers, "on_custom_event", "ignore_custom_event", event["type"], event


def _about(manager: Any) -> dict[str, Any]:
    run_id = getattr(manager, "run_id", None) or getattr(manager, "parent_run_id", None) or uuid4()
    return {"run_id": run_id, "tags": manager.tags, "metadata": manager.metadata}
