"""The lock is given in the order in which it was asked for, and a thread that gives up leaves the queue."""

import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from latentseek_agents.engine._fair_lock import FairLock


class Interrupted(BaseException):
    pass


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("waited in vain")
        time.sleep(0.001)


@contextmanager
def signalled(action: Callable[[], None]) -> Iterator[None]:
    """Run ``action`` in the main thread when it is signalled, whatever it waits for."""
    before = signal.signal(signal.SIGUSR1, lambda *_: action())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def signal_main_thread() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


def test_first_come_first_served():
    lock, order = FairLock(), list[int]()

    def work(number: int) -> None:
        with lock:
            order.append(number)

    def waiting(count: int) -> bool:
        return len(lock._waiting) == count

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    with lock:
        for number, thread in enumerate(threads):
            thread.start()
            until(functools.partial(waiting, number + 1))
        assert order == []
    for thread in threads:
        thread.join()
    assert order == list(range(6))
    assert not lock._waiting


def test_a_thread_that_takes_it_again_and_again_lets_others_in_between():
    lock, order = FairLock(), list[str]()

    def once() -> None:
        with lock:
            order.append("other")

    thread = threading.Thread(target=once)
    with lock:
        thread.start()
        until(lambda: len(lock._waiting) == 1)
    with lock:
        order.append("again")
    thread.join()
    assert order == ["other", "again"]


def test_a_thread_may_take_what_it_has():
    lock, entered = FairLock(), threading.Event()

    def work() -> None:
        with lock:
            entered.set()

    thread = threading.Thread(target=work)
    with lock:
        with lock, lock:
            thread.start()
            until(lambda: len(lock._waiting) == 1)
        assert lock.held
        assert not entered.is_set()
    thread.join()
    assert entered.is_set()
    assert not lock.held


def test_only_one_at_a_time():
    lock, inside, most = FairLock(), 0, 0
    counts = {"steps": 0}

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with lock:
                inside += 1
                most = max(most, inside)
                step = counts["steps"]
                time.sleep(0)
                counts["steps"] = step + 1
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, counts["steps"]) == (1, 400)


def test_an_error_inside_gives_it_back():
    lock = FairLock()
    with pytest.raises(ZeroDivisionError), lock:
        _ = 1 // 0
    assert not lock.held
    with lock:
        pass


def test_who_is_interrupted_while_waiting_leaves_the_queue():
    lock, taken, done = FairLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            until(lambda: len(lock._waiting) == 1)
            signal_main_thread()
            done.wait()

    def interrupt() -> None:
        raise Interrupted

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    with signalled(interrupt), pytest.raises(Interrupted), lock:
        pytest.fail("it is taken")
    assert not lock._waiting
    done.set()
    thread.join()
    with lock:
        assert lock.held


def test_who_is_interrupted_when_it_is_given_gives_it_on():
    lock, taken, leave = FairLock(), threading.Event(), threading.Event()
    order = list[str]()

    def hold() -> None:
        with lock:
            taken.set()
            until(lambda: len(lock._waiting) == 2)
            signal_main_thread()
            leave.wait()

    def wait() -> None:
        until(lambda: len(lock._waiting) == 1)
        with lock:
            order.append("next")

    def interrupt() -> None:
        leave.set()
        until(lambda: lock.held)  # it is ours at the moment at which we are interrupted
        raise Interrupted

    threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
    threads[0].start()
    taken.wait()
    threads[1].start()
    with signalled(interrupt), pytest.raises(Interrupted), lock:
        pytest.fail("interrupted before")
    for thread in threads:
        thread.join()
    assert order == ["next"]
    with lock:
        assert lock.held
