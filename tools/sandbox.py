"""Calculate with what a model wrote in a child process that can be killed.

A timeout in a thread bounds nothing: one large power holds the interpreter until it is done. So everything
beyond exact fractions happens in a child process with a memory limit and a clock of ours. It is started on
first use, kept warm, replaced when it dies or has to be killed, and it ends with this process.
"""

import atexit
import contextlib
import itertools
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from latentseek_agents.engine.errors import LatentSeekError

__all__ = ["Sandbox", "SandboxError", "SandboxTimeoutError", "shared_sandbox"]

_SCRIPT = Path(__file__).resolve().with_name("symbolic_worker.py")
# An empty pipe takes this much at once, so that a write to a worker that does not read cannot block.
_LONGEST_REQUEST = 60_000
_LONGEST_REPLY = 1 << 20


class SandboxError(LatentSeekError, RuntimeError):
    """The worker could not do the calculation; the message says why."""


class SandboxTimeoutError(SandboxError):
    """The calculation took longer than it was given, and its worker was killed."""


class _WorkerDiedError(SandboxError):
    """The worker ended in the middle of a request."""


class Sandbox:
    """Worker processes for calculations; usable from any thread, by many at once.

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
        self._most = workers
        self._free = threading.Condition()
        self._idle: list[_Worker] = []
        self._running: set[_Worker] = set()
        self._process_id = os.getpid()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, operation: str, *arguments: Any, seconds: float | None = None) -> Any:
        """The result of one operation of the worker.

        Args:
            operation: ``equal``, ``proportion``, ``real_values``, ``solve``, ``load_solver`` or ``ping``.
            arguments: What it works on, as values that JSON knows; expressions as ``Node.to_wire()``.
            seconds: The time it gets, if not the sandbox's own.

        Raises:
            SandboxTimeoutError: There was no answer in time.
            SandboxError: The request is too large, no worker can be started, or the calculation failed.
        """
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        request = {"operation": operation, "arguments": arguments}
        try:
            return self._ask_once(request, deadline)
        except _WorkerDiedError:
            # Someone killed it, or a calculation crashed it: once more, in case it was not ours.
            return self._ask_once(request, deadline)

    def close(self) -> None:
        """End all workers; the next request starts a new one."""
        with self._free:
            workers = [*self._idle, *self._running]
            self._idle.clear()
            self._running.clear()
            self._free.notify_all()
        for worker in workers:
            worker.close()

    def _ask_once(self, request: dict[str, Any], deadline: float) -> Any:
        worker = self._take(deadline)
        healthy = False
        try:
            result = worker.ask(request, deadline)
            healthy = True
        except _CalculationError as error:
            healthy = True
            raise SandboxError(str(error)) from None
        finally:
            self._give_back(worker, healthy=healthy)
        return result

    def _take(self, deadline: float) -> "_Worker":
        with self._free:
            self._forget_after_fork()
            while not self._idle and len(self._running) >= self._most:
                if not self._free.wait(deadline - time.monotonic()):
                    raise SandboxTimeoutError("no worker became free in time")
            worker = self._idle.pop() if self._idle else _Worker()
            self._running.add(worker)
            return worker

    def _give_back(self, worker: "_Worker", *, healthy: bool) -> None:
        with self._free:
            known = worker in self._running
            self._running.discard(worker)
            if healthy and known:
                self._idle.append(worker)
            self._free.notify()
        if not (healthy and known):
            worker.close()

    def after_fork(self) -> None:
        """Start afresh in a forked process; its parent's threads may have held the lock."""
        self._free = threading.Condition()
        with self._free:
            self._forget_after_fork()

    def _forget_after_fork(self) -> None:
        """After ``os.fork`` the workers are the parent's: two processes must not share their pipes."""
        if self._process_id != os.getpid():
            for worker in (*self._idle, *self._running):
                worker.abandon()
            self._idle.clear()
            self._running.clear()
            self._process_id = os.getpid()


class _CalculationError(Exception):
    """The worker reported an error and is ready for the next request."""


class _Worker:
    """One child process; used by one thread at a time."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        paths = [path for path in sys.path if path and Path(path).is_absolute()]
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", str(_SCRIPT), json.dumps(paths)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise SandboxError(f"the worker process cannot be started: {error}") from error

    @property
    def process_id(self) -> int:
        return self._process.pid

    def ask(self, request: dict[str, Any], deadline: float) -> Any:
        number = next(self._numbers)
        frame = json.dumps({"id": number, **request}).encode()
        if len(frame) > _LONGEST_REQUEST:
            raise _CalculationError(f"the request has {len(frame)} bytes, more than {_LONGEST_REQUEST}")
        try:
            os.write(self._stream("stdin"), struct.pack(">I", len(frame)) + frame)
        except OSError as error:
            raise _WorkerDiedError(f"the worker has ended: {error}") from None
        size = struct.unpack(">I", self._read(4, deadline))[0]
        if size > _LONGEST_REPLY:
            raise SandboxError(f"the worker's reply has {size} bytes, more than {_LONGEST_REPLY}")
        reply = json.loads(self._read(size, deadline))
        if reply["id"] != number:
            raise SandboxError("the worker answered another request")
        if "error" in reply:
            raise _CalculationError(reply["error"])
        return reply["result"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self.close_pipes()

    def abandon(self) -> None:
        """Let go of a worker that belongs to the process this one was forked from."""
        self._process.returncode = 0
        self.close_pipes()

    def close_pipes(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _stream(self, name: str) -> int:
        stream = getattr(self._process, name)
        if stream.closed:
            raise _WorkerDiedError("the worker was closed")
        return int(stream.fileno())

    def _read(self, size: int, deadline: float) -> bytes:
        descriptor = self._stream("stdout")
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        data = b""
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise SandboxTimeoutError("the calculation took too long")
            chunk = os.read(descriptor, size - len(data))
            if not chunk:
                raise _WorkerDiedError("the worker ended in the middle of a request")
            data += chunk
        return data


_shared: list[Sandbox] = []
_shared_lock = threading.Lock()


def shared_sandbox() -> Sandbox:
    """The sandbox of this process; nothing starts before its first request.

    Example:
        >>> shared_sandbox() is shared_sandbox()
        True
    """
    with _shared_lock:
        if not _shared:
            _shared.append(Sandbox())
            atexit.register(_shared[0].close)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_shared[0].after_fork)
        return _shared[0]
