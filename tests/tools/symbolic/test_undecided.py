"""What cannot be compared is neither equal nor different, and whoever asks hears it."""

import concurrent.futures
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from latentseek_agents.tools import Combined, GroundTruth, answers_match
from latentseek_agents.tools._symbolic import CalculationError, Sandbox, SandboxTimeoutError
from latentseek_agents.tools.answers import answers_agree
from latentseek_agents.tools.langchain_tools import check_answer

ROOT, SAME, OTHER = r"\sqrt{12}", r"2\sqrt{3}", r"3\sqrt{2}"
SOLUTION = rf"So it is \boxed{{{ROOT}}}."


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A worker of this test's own for all comparisons."""
    with Sandbox(workers=1, seconds=30) as sandbox:
        monkeypatch.setattr("latentseek_agents.tools._answers.equivalence.shared_sandbox", lambda: sandbox)
        yield sandbox


def fails(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def ask(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(sandbox, "ask", ask)


def is_undecided() -> None:
    assert answers_agree(ROOT, SAME) is None
    assert answers_agree(ROOT, OTHER) is None
    assert answers_match(ROOT, SAME) is False
    verdict = GroundTruth(SAME)("What is it?", SOLUTION)
    assert (verdict.passed, verdict.score) == (None, -1.0)
    assert verdict.reason.startswith("cannot judge: comparing")
    assert Combined(GroundTruth(SAME))("What is it?", SOLUTION).passed is None
    message = check_answer.invoke(
        {
            "type": "tool_call",
            "id": "1",
            "name": "check_answer",
            "args": {"answer": SOLUTION, "reference": SAME},
        }
    )
    assert message.artifact["matches"] is None
    assert message.content == rf"Unknown: {ROOT} could not be compared in time with {SAME}."
    # What needs no worker is known all the same.
    assert answers_agree("1/2", "0.5") is True
    assert answers_agree("1/2", "0.6") is False
    assert GroundTruth("72")("What is it?", "The answer is 71.").passed is False


def test_no_worker_can_be_started(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    is_undecided()


def test_no_time(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    fails(sandbox, monkeypatch, SandboxTimeoutError("the calculation took too long"))
    is_undecided()


def test_no_memory(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    fails(sandbox, monkeypatch, CalculationError("MemoryError: "))
    is_undecided()


def test_stopped_workers(sandbox: Sandbox):
    sandbox.ask("ping")
    for worker in sandbox._idle:
        os.kill(worker.process.pid, signal.SIGSTOP)
    assert answers_agree(ROOT, SAME) is None
    # The stopped one was replaced.
    assert answers_agree(ROOT, SAME) is True


def test_what_has_no_value_is_different_not_unknown(sandbox: Sandbox):
    assert answers_agree(r"\det(A)", "5") is False
    assert answers_agree("1/0", "5") is False
    assert answers_agree("9^{9^{9^9}}", "5") is False
    assert answers_agree("", "5") is False


def test_too_many_callers_for_the_time(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    sandbox.ask("ping")
    ask = sandbox.ask

    def hurried(*arguments: object, seconds: float | None = None) -> object:
        return ask(*arguments, seconds=0.02)  # type: ignore[arg-type]

    monkeypatch.setattr(sandbox, "ask", hurried)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        outcomes = list(pool.map(lambda _: answers_agree(ROOT, SAME), range(200)))
    assert False not in outcomes
    assert outcomes.count(True) > 1
