"""Workers come and go: killed while idle, slow to start, waited for by many."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from latentseek_agents.tools import GroundTruth, answers_match
from latentseek_agents.tools._symbolic import sandbox as module
from latentseek_agents.tools._symbolic.sandbox import (
    Sandbox,
    SandboxError,
    SandboxTimeoutError,
    shared_sandbox,
)

TWO = ["number", "2"]


@pytest.fixture
def pair() -> Iterator[Sandbox]:
    """Two warm workers."""
    with Sandbox(workers=2, seconds=10) as sandbox:
        warm(sandbox, 2)
        yield sandbox


def warm(sandbox: Sandbox, count: int) -> None:
    """Let this many workers be idle."""
    deadline = time.monotonic() + 30
    while len(sandbox._idle) < count and time.monotonic() < deadline:
        threads = [threading.Thread(target=sandbox.ask, args=("ping",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(sandbox._idle) >= count


@pytest.mark.parametrize("reaped", [True, False])
def test_all_idle_workers_are_killed(pair: Sandbox, reaped: bool):
    for _ in range(5):
        for worker in list(pair._idle):
            os.kill(worker.process.pid, signal.SIGKILL)
            if reaped:
                worker.process.wait()
        assert pair.ask("equal", TWO, TWO) is True


def test_answers_are_right_after_the_shared_workers_were_killed():
    warm(shared_sandbox(), 2)
    for worker in list(shared_sandbox()._idle):
        os.kill(worker.process.pid, signal.SIGKILL)
    assert answers_match(r"\sqrt{12}", r"2\sqrt{3}") is True
    for worker in list(shared_sandbox()._idle):
        os.kill(worker.process.pid, signal.SIGKILL)
    assert GroundTruth(r"2\sqrt{3}")("?", r"\boxed{\sqrt{12}}").passed is True


def test_what_cannot_be_written_is_asked_again(pair: Sandbox):
    for worker in pair._idle:
        # Its input is closed, so that a write fails, and it does not count as dead before.
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        worker.process.poll = lambda: None  # type: ignore[method-assign]
    assert pair.ask("equal", TWO, TWO) is True


def test_the_start_of_a_worker_is_not_charged():
    with Sandbox(workers=1, seconds=0.2) as sandbox:
        assert sandbox.ask("ping") == "pong"


def test_a_worker_that_starts_slowly_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SECONDS_TO_START", 0.001)
    with Sandbox(workers=1, seconds=5) as sandbox:
        with pytest.raises(SandboxTimeoutError, match="still starting"):
            sandbox.ask("ping")
        (starting,) = sandbox._idle
        monkeypatch.setattr(module, "_SECONDS_TO_START", 30)
        assert sandbox.ask("ping") == "pong"
        assert sandbox._idle == [starting]


def test_a_worker_that_never_starts_is_replaced(monkeypatch: pytest.MonkeyPatch):
    with Sandbox(workers=1, seconds=5) as sandbox:
        monkeypatch.setattr(module, "_SECONDS_TO_START", 0.001)
        with pytest.raises(SandboxTimeoutError):
            sandbox.ask("ping")
        (first,) = sandbox._idle
        os.kill(first.process.pid, signal.SIGSTOP)
        monkeypatch.setattr(module, "_LONGEST_START", 0.0)
        with pytest.raises(SandboxTimeoutError, match="does not start"):
            sandbox.ask("ping")
        monkeypatch.undo()
        assert sandbox.ask("ping") == "pong"
        assert first not in sandbox._idle


def test_a_start_holds_up_nobody(monkeypatch: pytest.MonkeyPatch):
    with Sandbox(workers=2, seconds=10) as sandbox:
        sandbox.ask("ping")
        (idle,) = sandbox._idle
        begun, go_on = threading.Event(), threading.Event()

        class Slow(module._Worker):
            def __init__(self) -> None:
                begun.set()
                go_on.wait(30)
                super().__init__()

        monkeypatch.setattr(module, "_Worker", Slow)
        sandbox._idle.clear()
        starter = threading.Thread(target=sandbox.ask, args=("ping",))
        starter.start()
        assert begun.wait(30)
        sandbox._idle.append(idle)
        assert sandbox.ask("ping") == "pong"
        assert starter.is_alive()
        go_on.set()
        starter.join()


def test_a_killed_worker_is_replaced_in_the_background():
    with Sandbox(workers=1, seconds=10) as sandbox:
        sandbox.ask("ping")
        (stopped,) = sandbox._idle
        os.kill(stopped.process.pid, signal.SIGSTOP)
        with pytest.raises(SandboxTimeoutError):
            sandbox.ask("ping", seconds=0.1)
        assert len(sandbox._idle) == 1
        assert sandbox._idle != [stopped]


def test_closed_while_a_worker_starts(monkeypatch: pytest.MonkeyPatch):
    with Sandbox(workers=1, seconds=10) as sandbox:
        made: list[module._Worker] = []

        class Closing(module._Worker):
            def __init__(self) -> None:
                super().__init__()
                made.append(self)
                if len(made) == 1:
                    sandbox.close()

        monkeypatch.setattr(module, "_Worker", Closing)
        assert sandbox.ask("ping") == "pong"
        assert made[0].process.poll() is not None
        assert sandbox._idle == [made[1]]


def test_a_request_that_kills_its_workers_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch):
    with Sandbox(workers=2, seconds=10) as sandbox:
        monkeypatch.setattr(module, "_SCRIPT", "/no/such/script.py")
        with pytest.raises(SandboxError, match="worker ended"):
            sandbox.ask("ping")
        assert not sandbox._running
