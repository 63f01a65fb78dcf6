"""The worker process: bounded, replaced when it dies, and gone at the end."""

import ast
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import latentseek_agents
from latentseek_agents.tools._answers.expression import parse_expression
from latentseek_agents.tools._symbolic.sandbox import (
    Sandbox,
    SandboxError,
    SandboxTimeoutError,
    shared_sandbox,
)

TWO = ["number", "2"]
# Many evaluations of a large expression: more than a tenth of a second of honest work.
SLOW: list[object] = ["symbol", "x"]
for _ in range(9):
    SLOW = ["add", SLOW, ["call", "sin", SLOW]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1, seconds=10) as sandbox:
        yield sandbox


def workers(sandbox: Sandbox) -> list[int]:
    return [worker.process.pid for worker in sandbox._idle]


def exists(process_id: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, 0)
        return True
    return False


def test_worker_stays_warm(sandbox: Sandbox) -> None:
    assert sandbox.ask("ping") == "pong"
    first = workers(sandbox)
    assert sandbox.ask("equal", TWO, TWO) is True
    assert workers(sandbox) == first


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (r"\sqrt{12}", r"2\sqrt{3}", True),
        ("(x+1)^2", "x^2+2x+1", True),
        ("(x+1)^2", "x^2+2x+2", False),
        (r"\sin^2 x + \cos^2 x - 1", "0", True),
        (r"\frac{1}{200!}", "0", False),
        ("i^2", "-1", True),
        (r"\sqrt[3]{-8}", "-2", True),
    ],
)
def test_equality(sandbox: Sandbox, left: str, right: str, equal: bool) -> None:
    trees = [parse_expression(text).to_wire() for text in (left, right)]
    assert sandbox.ask("equal", *trees) is equal


def test_proportion(sandbox: Sandbox) -> None:
    trees = {text: parse_expression(text).to_wire() for text in ("2x-6", "x-3", "3-x", "x-4")}
    assert sandbox.ask("proportion", trees["2x-6"], trees["x-3"]) == 1
    assert sandbox.ask("proportion", trees["2x-6"], trees["3-x"]) == -1
    assert sandbox.ask("proportion", trees["2x-6"], trees["x-4"]) == 0


def test_real_values(sandbox: Sandbox) -> None:
    values = sandbox.ask(
        "real_values", [parse_expression(text).to_wire() for text in (r"\sqrt{4}", "i", "1/0")]
    )
    assert float(values[0]) == 2
    assert values[1:] == [None, None]


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("no such operation", []),
        ("equal", []),
        ("equal", [["no such kind", 1], TWO]),
        ("equal", [["call", "system", TWO], TWO]),
        ("equal", ["text", "text"]),
    ],
)
def test_bad_requests_are_errors_and_the_worker_lives(
    sandbox: Sandbox, operation: str, arguments: list[object]
) -> None:
    sandbox.ask("ping")
    before = workers(sandbox)
    with pytest.raises(SandboxError):
        sandbox.ask(operation, *arguments)
    assert sandbox.ask("ping") == "pong"
    assert workers(sandbox) == before


def test_large_requests_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="bytes, more than"):
        sandbox.ask("equal", ["number", "1" * 100_000], TWO)


def test_slow_worker_is_killed_and_replaced(sandbox: Sandbox) -> None:
    sandbox.ask("ping")
    (before,) = workers(sandbox)
    start = time.monotonic()
    with pytest.raises(SandboxTimeoutError):
        sandbox.ask("equal", SLOW, ["symbol", "x"], seconds=0.005)
    assert time.monotonic() - start < 5  # it would take minutes
    assert not exists(before)
    assert sandbox.ask("ping") == "pong"
    assert workers(sandbox) != [before]


def test_killed_worker_is_replaced_and_the_request_repeated(sandbox: Sandbox) -> None:
    sandbox.ask("ping")
    (before,) = workers(sandbox)
    os.kill(before, signal.SIGKILL)
    assert sandbox.ask("equal", TWO, TWO) is True
    assert not exists(before)


def test_stopped_worker_is_killed(sandbox: Sandbox) -> None:
    sandbox.ask("ping")
    (before,) = workers(sandbox)
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(SandboxTimeoutError):
        sandbox.ask("ping", seconds=0.2)
    assert not exists(before)


def test_killed_in_the_middle_from_many_threads() -> None:
    with Sandbox(workers=2, seconds=10) as sandbox:
        sandbox.ask("ping")
        outcomes: list[object] = []

        def work() -> None:
            for _ in range(5):
                try:
                    outcomes.append(sandbox.ask("equal", TWO, TWO))
                except SandboxError as error:
                    outcomes.append(error)

        threads = [threading.Thread(target=work) for _ in range(32)]
        for thread in threads:
            thread.start()
        for worker in [*sandbox._idle, *sandbox._running]:
            os.kill(worker.process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert len(outcomes) == 160
        assert outcomes.count(True) >= 150


def test_no_descriptor_and_no_zombie_is_left() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    ids: list[int] = []
    for _ in range(5):
        with Sandbox(workers=1) as sandbox:
            sandbox.ask("ping")
            ids.extend(workers(sandbox))
            with contextlib.suppress(SandboxError):
                sandbox.ask("equal", SLOW, ["symbol", "x"], seconds=0.002)
    assert descriptors() == before
    assert not any(exists(process_id) for process_id in ids)


def test_closed_sandbox_starts_again(sandbox: Sandbox) -> None:
    sandbox.ask("ping")
    sandbox.close()
    assert sandbox.ask("ping") == "pong"


def test_worker_ends_with_its_parent() -> None:
    code = (
        "from latentseek_agents.tools._symbolic.sandbox import shared_sandbox\n"
        "s = shared_sandbox(); s.ask('ping'); print(s._idle[0].process.pid)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    deadline = time.monotonic() + 5
    while exists(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not exists(int(done.stdout))


def test_forked_process_gets_a_worker_of_its_own(sandbox: Sandbox) -> None:
    sandbox.ask("ping")
    (before,) = workers(sandbox)
    sandbox._process_id = -1  # as after os.fork()
    assert sandbox.ask("ping") == "pong"
    assert workers(sandbox) != [before]
    os.kill(before, signal.SIGKILL)
    os.waitpid(before, 0)


def test_forked_process_can_ask() -> None:
    assert shared_sandbox().ask("ping") == "pong"
    code = (
        "import os\n"
        "from latentseek_agents.tools._symbolic.sandbox import shared_sandbox\n"
        "shared_sandbox().ask('ping')\n"
        "child = os.fork()\n"
        "answer = shared_sandbox().ask('ping')\n"
        "if child == 0:\n    shared_sandbox().close()\n    os._exit(0 if answer == 'pong' else 1)\n"
        "print(os.waitpid(child, 0)[1], answer, shared_sandbox().ask('ping'))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "pong", "pong"]
    assert done.stderr == ""


def test_no_worker_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Sandbox() as sandbox, pytest.raises(SandboxError, match="cannot be started"):
        sandbox.ask("ping")


def test_shared_sandbox_is_one() -> None:
    assert shared_sandbox() is shared_sandbox()


def test_importing_the_tools_imports_no_sympy() -> None:
    code = (
        "import sys, latentseek_agents.tools.answers as a\n"
        "a.answers_match('1', '1.0'); print('sympy' in sys.modules or 'mpmath' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


FORBIDDEN = frozenset(
    {
        "eval",
        "exec",
        "compile",
        "sympify",
        "parse_expr",
        "parse_latex",
        "lambdify",
        "literal_eval",
        "__import__",
        "srepr",
        "S",
    }
)
PACKAGE = Path(latentseek_agents.__file__).parent


@pytest.mark.parametrize("path", sorted((PACKAGE / "tools").glob("**/*.py")), ids=lambda path: path.name)
def test_no_module_executes_text(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            assert name not in FORBIDDEN or (owner, name) == ("re", "compile"), (
                f"line {node.lineno} calls {name}"
            )
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
            assert not names & {"pickle", "marshal", "shelve", "dill", "numexpr"}, f"line {node.lineno}"
