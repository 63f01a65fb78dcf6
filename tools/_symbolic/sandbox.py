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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latentseek_agents.errors import LatentSeekError

__all__ = ["CalculationError", "Sandbox", "SandboxError", "SandboxTimeoutError", "shared_sandbox"]

_SCRIPT = Path(__file__).resolve().with_name("worker.py")
# An empty pipe takes this much at once, so that a write to a worker that does not read cannot block.
_LONGEST_REQUEST = 60_000
_LONGEST_REPLY = 1 << 20
# What a request waits for a worker to start, and how old a worker is that never will. It takes a fifth of a
# second where nothing else runs.
_SECONDS_TO_START = 5.0
_LONGEST_START = 30.0
_MOST_SHARED_WORKERS = 8


class SandboxError(LatentSeekError, RuntimeError):
    """The worker could not do the calculation; the message says why."""


class SandboxTimeoutError(SandboxError):
    """The calculation took longer than it was given, and its worker was killed."""


class CalculationError(SandboxError):
    """The worker says that what it was asked has no answer."""


class _WorkerDiedError(SandboxError):
    """The worker ended in the middle of a request."""


class _NotSentError(_WorkerDiedError):
    """The worker ended before the request reached it."""


class _StillStartingError(Exception):
    """The worker is not ready yet, but may be soon."""


class Sandbox:
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
        self._most = workers
        self._free = threading.Condition()
        self._idle: list[_Worker] = []
        self._running: set[_Worker] = set()
        # Places for workers whose process is being made, outside the lock.
        self._reserved = 0
        self._closings = 0
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
            seconds: The time it gets, if not the sandbox's own. The start of a worker is not counted.

        Raises:
            SandboxTimeoutError: There was no answer in time.
            SandboxError: The request is too large, no worker can be started, or the calculation failed.
        """
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        request = {"operation": operation, "arguments": arguments}
        while True:
            try:
                return self._ask_once(request, deadline)
            except _NotSentError:
                # It had died before the request came, which is no fault of the request's.
                if time.monotonic() > deadline:
                    raise
            except _WorkerDiedError:
                # Someone killed it, or a calculation crashed it: once more, in case it was not ours.
                break
        return self._ask_once(request, deadline, fresh=True)

    def close(self) -> None:
        """End all workers; the next request starts a new one."""
        with self._free:
            workers = [*self._idle, *self._running]
            self._idle.clear()
            self._running.clear()
            self._closings += 1
            self._free.notify_all()
        for worker in workers:
            worker.close()

    def _ask_once(self, request: dict[str, Any], deadline: float, *, fresh: bool = False) -> Any:
        worker = self._take(deadline, fresh=fresh)
        keep = False
        try:
            result = worker.ask(request, deadline + worker.wait_until_ready())
            keep = True
        except _StillStartingError as error:
            keep = True
            raise SandboxTimeoutError(str(error)) from None
        except _CalculationError as error:
            keep = True
            raise CalculationError(str(error)) from None
        finally:
            self._give_back(worker, keep=keep)
        return result

    def _take(self, deadline: float, *, fresh: bool) -> "_Worker":
        """A worker for one request; ``fresh``: one that has done nothing yet."""
        useless: list[_Worker] = []
        try:
            with self._free:
                self._forget_after_fork()
                while True:
                    useless += [worker for worker in self._idle if not worker.alive]
                    self._idle = [worker for worker in self._idle if worker not in useless]
                    fit = [worker for worker in self._idle if not (fresh and worker.used)]
                    if fit:
                        self._idle.remove(fit[-1])
                        self._running.add(fit[-1])
                        return fit[-1]
                    if self._idle and not self._has_room():
                        useless.append(self._idle.pop())
                    if self._has_room():
                        self._reserved += 1
                        closings = self._closings
                        break
                    if not self._free.wait(deadline - time.monotonic()):
                        raise SandboxTimeoutError("no worker became free in time")
        finally:
            for worker in useless:
                worker.close()
        return self._started(closings, self._running.add)

    def _has_room(self) -> bool:
        return len(self._running) + len(self._idle) + self._reserved < self._most

    def _started(self, closings: int, place: Callable[["_Worker"], None]) -> "_Worker":
        """A new worker, in the place reserved for it. Making a process takes time, so not under the lock."""
        worker = None
        try:
            worker = _Worker()
        finally:
            with self._free:
                self._reserved -= 1
                known = worker is not None and closings == self._closings
                if worker is not None and known:
                    place(worker)
                self._free.notify()
        if not known:
            worker.close()
            raise _WorkerDiedError("the workers were closed")
        return worker

    def _give_back(self, worker: "_Worker", *, keep: bool) -> None:
        with self._free:
            known = worker in self._running
            self._running.discard(worker)
            if keep and known:
                self._idle.append(worker)
            self._free.notify()
        if keep and known:
            return
        worker.close()
        if known:
            self._replace()

    def _replace(self) -> None:
        """Let a worker start in the background, so that the next request need not wait for it."""
        with self._free:
            if not self._has_room():
                return
            self._reserved += 1
            closings = self._closings
        with contextlib.suppress(SandboxError):
            self._started(closings, lambda worker: self._idle.insert(0, worker))

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
            self._reserved = 0
            self._process_id = os.getpid()


class _CalculationError(Exception):
    """The worker reported an error and is ready for the next request."""


class _Worker:
    """One child process; used by one thread at a time."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        self.used = False
        self._born = time.monotonic()
        self._ready = False
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
        except (OSError, ValueError, RuntimeError) as error:
            raise SandboxError(f"the worker process cannot be started: {error}") from error

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> float:
        """Wait until the libraries are loaded; the seconds that took."""
        if self._ready:
            return 0.0
        began = time.monotonic()
        try:
            self._read_reply(0, began + _SECONDS_TO_START)
        except SandboxTimeoutError as error:
            if time.monotonic() - self._born < _LONGEST_START:
                raise _StillStartingError("the worker is still starting") from None
            raise SandboxTimeoutError("the worker does not start") from error
        self._ready = True
        return time.monotonic() - began

    def ask(self, request: dict[str, Any], deadline: float) -> Any:
        self.used = True
        number = next(self._numbers)
        frame = json.dumps({"id": number, **request}).encode()
        if len(frame) > _LONGEST_REQUEST:
            raise _CalculationError(f"the request has {len(frame)} bytes, more than {_LONGEST_REQUEST}")
        try:
            os.write(self._stream("stdin"), struct.pack(">I", len(frame)) + frame)
        except OSError as error:
            raise _NotSentError(f"the worker has ended: {error}") from None
        return self._read_reply(number, deadline)

    def _read_reply(self, number: int, deadline: float) -> Any:
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


def _shared_workers() -> int:
    """One for each processor that this process may use, within reason."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, min(_MOST_SHARED_WORKERS, count))


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
            _shared.append(Sandbox(workers=_shared_workers()))
            atexit.register(_shared[0].close)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_shared[0].after_fork)
        return _shared[0]
