"""Calculate with what a model wrote in a child process that can be killed.

A timeout in a thread bounds nothing: one large power holds the interpreter until it is done. So everything
beyond exact fractions happens in a child process with a memory limit and a clock of ours. It is started on
first use, kept warm, replaced when it dies or has to be killed, and it ends with this process.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

from latentseek_agents.errors import LatentSeekError

_SCRIPT = Path(__file__).resolve().with_name("worker.py")
# The buffer of an idle worker's socket takes this much at once, so that a write to it cannot block.
_LONGEST_REQUEST = 60_000
_LONGEST_REPLY = 1 << 20
# How long a request waits for a worker to start, which takes a fifth of a second where nothing else runs.
_SECONDS_TO_START = 5.0
# A worker that has not started by this age is replaced.
_LONGEST_START = 30.0
_MOST_SHARED_WORKERS = 8


class SandboxError(LatentSeekError, RuntimeError):
    """The worker could not do the calculation; the message says why."""


class SandboxTimeoutError(SandboxError):
    """The calculation took longer than it was given, and its worker was killed."""


class CalculationError(SandboxError):
    """The worker reports that the request has no result, and is ready for the next one."""


class _StillStartingError(SandboxTimeoutError):
    """The worker is not ready yet, but may be soon."""


class _WorkerDiedError(SandboxError):
    """The worker ended before it replied."""


class Sandbox(contextlib.AbstractContextManager["Sandbox"]):
    """Worker processes for calculations; usable from any thread, by many at once.

    A worker that starts loads its libraries first. That is not charged to the request that waits for it, and
    a worker that is slow to start is kept for the next one.

    Args:
        workers: How many processes at most run at a time.
        seconds: The time one request gets, waiting for a free worker included.

    Example:
        >>> with Sandbox(workers=1) as sandbox:
        ...     sandbox.ask("equal", ["number", "2"], ["root", ["number", "4"], ["number", "2"]])
        True
    """

    def __init__(self, *, workers: int = 2, seconds: float = 1.8) -> None:
        self.seconds = seconds
        self._workers = workers
        self._start_empty()

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, operation: str, *arguments: Any, seconds: float | None = None) -> Any:
        """The result of one operation of the worker.

        Args:
            operation: ``equal``, ``proportion``, ``real_values``, ``solve``, ``load_solver`` or ``ping``.
            arguments: What it works on, as values that JSON knows; expressions as ``Node.to_wire()``.
            seconds: The time it gets, if not the sandbox's own. The start of a worker is not counted.

        Raises:
            SandboxTimeoutError: There was no answer in time.
            SandboxError: The request is too large, no worker can be started, or the calculation failed.
        """
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        request = json.dumps({"operation": operation, "arguments": arguments}).encode()
        if len(request) > _LONGEST_REQUEST:
            raise CalculationError(f"the request has {len(request)} bytes, more than {_LONGEST_REQUEST}")
        if self._process_id != os.getpid():
            self.after_fork()
        try:
            return self._ask_once(request, deadline)
        except _WorkerDiedError:
            # Something else or this request killed it: try once more, with a new worker.
            return self._ask_once(request, deadline, fresh=True)

    def close(self) -> None:
        """End all workers; the next request starts a new one."""
        self._closings += 1
        while self._idle:
            self._idle.pop().close()
        while self._running:
            # Its connection is closed by the thread that waits for it.
            self._running.pop().kill()

    def after_fork(self) -> None:
        """Start afresh in a forked process: two processes must not share the connection to a worker."""
        for worker in (*self._idle, *self._running):
            worker.abandon()
        self._start_empty()

    def _start_empty(self) -> None:
        # A worker is started only while none is idle, so there are never more workers than places.
        self._places = threading.Semaphore(self._workers)
        self._idle: list[_Worker] = []
        self._running: set[_Worker] = set()
        self._closings = 0
        self._process_id = os.getpid()

    def _ask_once(self, request: bytes, deadline: float, *, fresh: bool = False) -> Any:
        places = self._places
        if not places.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise SandboxTimeoutError("no worker became free in time")
        try:
            worker = self._take(fresh=fresh)
            try:
                result = worker.ask(request, deadline)
            except (CalculationError, _StillStartingError):
                self._give_back(worker)
                raise
            except BaseException as error:
                if self._give_back(worker, keep=False) and not isinstance(error, _WorkerDiedError):
                    # Another worker starts in the background, so that the next request need not wait for it.
                    with contextlib.suppress(SandboxError):
                        self._idle.insert(0, _Worker())
                raise
            self._give_back(worker)
            return result
        finally:
            places.release()

    def _take(self, *, fresh: bool) -> "_Worker":
        """A worker for one request; ``fresh``: a new one, because what killed another may have killed all."""
        with contextlib.suppress(IndexError):
            while True:
                worker = self._idle.pop()
                if worker.process.poll() is None and not fresh:
                    self._running.add(worker)
                    return worker
                worker.close()
        closings = self._closings
        worker = _Worker()
        if closings != self._closings:
            worker.close()
            raise _WorkerDiedError("the workers were closed")
        self._running.add(worker)
        return worker

    def _give_back(self, worker: "_Worker", *, keep: bool = True) -> bool:
        """Whether the worker was still known: not closed meanwhile."""
        known = worker in self._running
        self._running.discard(worker)
        if keep and known:
            self._idle.append(worker)
        else:
            worker.close()
        return known


class _Worker:
    """One child process; used by one thread at a time."""

    def __init__(self) -> None:
        self._born = time.monotonic()
        self._ready = False
        self._connection, inner = Pipe()
        paths = [path for path in sys.path if path and Path(path).is_absolute()]
        try:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", str(_SCRIPT), str(inner.fileno()), json.dumps(paths)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[inner.fileno()],
                start_new_session=True,
            )
        except (OSError, ValueError, RuntimeError) as error:
            self._connection.close()
            raise SandboxError(f"the worker process cannot be started: {error}") from error
        finally:
            inner.close()

    def ask(self, request: bytes, deadline: float) -> Any:
        """The result of a request; the time until the libraries are loaded is added to its deadline."""
        if not self._ready:
            deadline += self._wait_until_ready()
        try:
            self._connection.send_bytes(request)
        except OSError as error:
            raise _WorkerDiedError(f"the worker ended before the request: {error}") from None
        reply = self._reply(deadline)
        if "error" in reply:
            raise CalculationError(reply["error"])
        return reply["result"]

    def _wait_until_ready(self) -> float:
        began = time.monotonic()
        try:
            self._reply(began + _SECONDS_TO_START)
        except SandboxTimeoutError as error:
            if time.monotonic() - self._born < _LONGEST_START:
                raise _StillStartingError("the worker is still starting") from None
            raise SandboxTimeoutError("the worker does not start") from error
        self._ready = True
        return time.monotonic() - began

    def _reply(self, deadline: float) -> dict[str, Any]:
        try:
            if not self._connection.poll(max(deadline - time.monotonic(), 0)):
                raise SandboxTimeoutError("the calculation took too long")
            reply: dict[str, Any] = json.loads(self._connection.recv_bytes(_LONGEST_REPLY))
        except (EOFError, OSError):
            raise _WorkerDiedError("the worker ended in the middle of a request") from None
        return reply

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self._connection.close()

    def abandon(self) -> None:
        """Let go of a worker that belongs to the process this one was forked from."""
        self.process.returncode = 0
        self._connection.close()


def _shared_workers() -> int:
    """One for each processor that this process may use, within reason."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, min(_MOST_SHARED_WORKERS, count))


_SHARED = Sandbox(workers=_shared_workers())
atexit.register(_SHARED.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SHARED.after_fork)


def shared_sandbox() -> Sandbox:
    """The sandbox of this process; nothing starts before its first request.

    Example:
        >>> shared_sandbox() is shared_sandbox()
        True
    """
    return _SHARED
