"""Hostile text: nothing is raised, nothing is run, nothing is lost, from many threads at once."""

import concurrent.futures
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from latentseek_agents.tools import StepVerifier, answers_match, check_steps, extract_answer
from latentseek_agents.tools._answers.expression import parse_expression
from latentseek_agents.tools._symbolic import Sandbox, SandboxError
from latentseek_agents.tools.langchain_tools import MATH_TOOLS

MARKER = "verifiers_were_hacked"
PAYLOADS = (
    f"__import__('os').system('touch {MARKER}')",
    f"().__class__.__base__.__subclasses__()[1].__init__.__globals__['os'].system('touch {MARKER}')",
    f"open('{MARKER}', 'w').write('x')",
    f"lambda: open('{MARKER}', 'w')",
    f"f\"{{open('{MARKER}', 'w')}}\"",
    f"import os; os.system('touch {MARKER}')",
    f"$(touch {MARKER})",
    f"`touch {MARKER}`",
    f"\\input{{|touch {MARKER}}}",
    f"\\immediate\\write18{{touch {MARKER}}}",
    f"\\text{{__import__('os').system('touch {MARKER}')}}",
    f"\\operatorname{{exec}}(open('{MARKER}', 'w'))",
    f"Symbol('x', cls=open('{MARKER}', 'w'))",
)
FORMS = ("{}", "{} = 1", "1 + {} = 2", r"\boxed{{{}}}", r"x^2 + {}", r"\frac{{{}}}{{2}}", "x = {}, y = 2")
HOSTILE = [form.format(text) for text in PAYLOADS for form in FORMS]
HEAVY = (
    "9^{9^{9^{9}}} = 1",
    "1000000000! = 1",
    r"\binom{10^9}{5 \cdot 10^8} = 2",
    "(" * 5000 + "1" + ")" * 5000 + " = 1",
    r"\frac{1}{" * 200 + "2" + "}" * 200,
    "-" * 5000 + "1 = 1",
    r"\boxed{" * 2000,
    "1 " * 5000 + "= 1",
    "\\" * 20_000,
    "\n" * 20_000,
    "x^{" * 500 + "2" + "}" * 500 + " = 4",
    "0." + "3" * 20_000 + " = 1/3",
    "=" * 10_000,
    "\ud800 + 1 = 2\x00",
)
SLOW: list[object] = ["symbol", "x"]
for _ in range(8):
    SLOW = ["add", SLOW, ["call", "sin", SLOW]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def judge(text: str) -> tuple[object, ...]:
    """What each verifier says of a text."""
    verdict = StepVerifier()(text, text)
    return check_steps(text, text).verdict, verdict.score, extract_answer(text), answers_match(text, "1")


def test_no_file_appears(tmp_path: Path):
    for text in HOSTILE:
        judge(text)
        answers_match("1", text)
        for tool in MATH_TOOLS:
            arguments = dict.fromkeys(tool.args, text)
            assert isinstance(tool.invoke(arguments), str)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", HEAVY, ids=lambda text: repr(text[:20]))
def test_heavy_text_is_answered(text: str):
    start = time.monotonic()
    judge(text)
    for tool in MATH_TOOLS:
        assert isinstance(tool.invoke(dict.fromkeys(tool.args, text)), str)
    # Far more than it takes; far less than any of these would take if it were evaluated.
    assert time.monotonic() - start < 20


def test_thirty_two_threads_at_once_say_what_one_says():
    texts = [*HOSTILE[::10], *HEAVY[:3], *(f"{n} * 7 = {n * 7 + n % 2}. \\boxed{{{n}}}" for n in range(10))]
    alone = [judge(text) for text in texts]
    barrier = threading.Barrier(32)

    def work(shift: int) -> list[tuple[object, ...]]:
        barrier.wait()
        shift %= len(texts)
        order = texts[shift:] + texts[:shift]
        said = [judge(text) for text in order]
        return said[len(texts) - shift :] + said[: len(texts) - shift]

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for said in pool.map(work, range(32)):
            assert said == alone


def test_thirty_two_threads_share_the_workers():
    left, right = (parse_expression(text).to_wire() for text in (r"\sqrt{12}", r"2\sqrt{3}"))
    with Sandbox(workers=2, seconds=30) as sandbox:
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            said = list(pool.map(lambda _: sandbox.ask("equal", left, right), range(200)))
        assert said == [True] * 200
        assert len(sandbox._idle) <= 2
        assert not sandbox._running


def kill_in_flight(sandbox: Sandbox, killed: list[int], times: int) -> None:
    """Kill a worker as soon as it works, as often as asked."""
    deadline = time.monotonic() + 10
    while len(killed) < times and time.monotonic() < deadline:
        for worker in list(sandbox._running):
            if worker.process.pid not in killed:
                time.sleep(0.02)  # in the middle of the request
                os.kill(worker.process.pid, signal.SIGKILL)
                killed.append(worker.process.pid)
        time.sleep(0.001)


@pytest.mark.parametrize(("times", "survives"), [(1, True), (2, False)])
def test_worker_killed_in_flight_is_retried_once_and_then_reported(times: int, survives: bool):
    with Sandbox(workers=1, seconds=30) as sandbox:
        sandbox.ask("ping")
        killed: list[int] = []
        killer = threading.Thread(target=kill_in_flight, args=(sandbox, killed, times))
        killer.start()
        try:
            if survives:
                assert sandbox.ask("equal", SLOW, ["add", SLOW, ["number", "0"]]) is True
            else:
                with pytest.raises(SandboxError, match="worker"):
                    sandbox.ask("equal", SLOW, ["add", SLOW, ["number", "0"]])
        finally:
            killer.join()
        assert len(killed) == times
        assert sandbox.ask("ping") == "pong"


def test_answers_are_not_equal_if_their_worker_dies_twice(monkeypatch: pytest.MonkeyPatch):
    with Sandbox(workers=1, seconds=30) as sandbox:
        sandbox.ask("ping")
        monkeypatch.setattr("latentseek_agents.tools._answers.equivalence.shared_sandbox", lambda: sandbox)
        ask = sandbox._ask_once

        def ask_a_dead_one(request: bytes, deadline: float) -> object:
            for worker in sandbox._idle:
                os.kill(worker.process.pid, signal.SIGKILL)
                worker.process.wait()
            return ask(request, deadline)

        monkeypatch.setattr(sandbox, "_ask_once", ask_a_dead_one)
        # The first is killed, its successor answers.
        assert answers_match(r"\sqrt{12}", r"2\sqrt{3}") is True
