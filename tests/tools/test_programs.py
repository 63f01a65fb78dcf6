"""Programs of a model: what they give, what they cannot do, and what happens to their processes."""

import asyncio
import concurrent.futures
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from latentseek_agents.tools import run_program
from latentseek_agents.tools.programs import ProgramResult

HOSTILE = json.loads(Path(__file__).with_name("hostile_programs.json").read_text(encoding="utf-8"))
ROOT = Path(__file__).resolve().parents[2]
HAS_PROC = Path("/proc/self/task").exists()
CONTROL = "x = 6\nprint(x * 7)\nx / 4"
CONTROL_RESULT = ProgramResult(printed="42\n", value=1.5)
ENDLESS = "while True: pass"
TOO_SLOW = "TimeoutError: the program ran longer than 1 s"


def children(process: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for file in lists for child in file.read_text().split()]


def workers() -> list[int]:
    """The worker processes of this process."""
    command_line = "/proc/{}/cmdline"
    return [
        child for child in children(os.getpid()) if b"monty" in Path(command_line.format(child)).read_bytes()
    ]


def has_ended(process: int, seconds: float = 5) -> bool:
    """Whether a process ends within some seconds; one that waits to be reaped has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in {"Z", "X"}:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("2 + 3", 5),
        ("x = 3\nx / 2", 1.5),
        ("x = 3\nx == 3  # a comment", True),
        ("1 == 2", False),
        ("'two\\nlines'", "two\nlines"),
        ("'5'", "5"),
        ('"it\'s"', "it's"),
        ("''", ""),
        ("(3 +\n 4)\n\n# done", 7),
        ("x = 1\nif x:\n    y = 2\nelse:\n    y = 3\ny", 2),
        ("x = 5 - \\\n3\nx", 2),
        ("-10 ** 30", -(10**30)),
        ("1e-9", 1e-9),
        ("-1e300 * 1e300", float("-inf")),
        ("import math\nmath.sqrt(2)", 2**0.5),
        ("10 ** 4000", 10**4000),
        ("10 ** 5000", None),
        ("'x' * 65_535", "x" * 65_535),
        ("'x' * 65_536", None),
        ("(1, 2)", None),
        ("1j", None),
        ("from decimal import Decimal\nDecimal('0.5')", None),
        ("x = 5", None),
        ("def f():\n    return 1", None),
        ("print(\n    3\n)", None),
        ("", None),
        ("print = str = repr = None\n5", 5),
    ],
)
def test_value(code: str, value: object):
    result = run_program(code)
    assert (result.error, result.unjudged) == (None, None)
    assert result.value == value
    assert type(result.value) is type(value)


def test_nan():
    value = run_program("float('nan')").value
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("print(0.1 + 0.2, 7 // 2)", "0.30000000000000004 3\n"),
        ("for i in range(3):\n    print(i, end=' ')", "0 1 2 "),
        ("print(f'{3.14159:.2f}', '{:>4}'.format(1), '%d%%' % 5)", "3.14    1 5%\n"),
        ("def main():\n    print('in main')\n\nif __name__ == '__main__':\n    main()", "in main\n"),
        ("print('a'); print('b')", "a\nb\n"),
        ("print('ünï', '\\u00bd')", "ünï ½\n"),
    ],
)
def test_printed(code: str, printed: str):
    assert run_program(code) == ProgramResult(printed=printed)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("undefined", "NameError: name 'undefined' is not defined"),
        ("raise ValueError('first line\\nsecond line')", "ValueError: first line"),
        ("print('x'", "SyntaxError: unexpected EOF while parsing"),
        (ENDLESS, TOO_SLOW),
        ("[0] * 10 ** 9", "MemoryError: the program needed more than 64 MB"),
        ("for i in range(10 ** 5): print(i)", "MemoryError: the program printed more than 64 KB"),
    ],
)
def test_error_in_words(code: str, error: str):
    result = run_program(code)
    assert (result.error or "").startswith(error)
    assert (result.printed, result.value, result.unjudged) == ("", None, None)


def test_what_is_printed_before_an_error_is_kept():
    assert run_program("print(1)\n1 / 0").printed == "1\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sympy", "no module named 'sympy'"),
        ("from fractions import Fraction\nprint(Fraction(1, 3))", "no module named 'fractions'"),
        ("print(1)\nimport cmath, statistics", "no module named 'cmath'"),
        ("from math import prime_factors", "cannot import name 'prime_factors'"),
        ("age = int(input())", "no built-in 'input'"),
        ("(5).bit_length()", "no int.bit_length"),
        ("def f():\n    yield 1\nprint(list(f()))", "yield"),
    ],
)
def test_what_the_interpreter_lacks_is_not_held_against_the_program(code: str, reason: str):
    result = run_program(code)
    assert reason in (result.unjudged or "")
    assert (result.error, result.value) == (None, None)


def test_a_program_that_catches_its_import_error_runs():
    code = "try:\n    import sympy\nexcept ImportError:\n    sympy = None\nprint(sympy)"
    assert run_program(code) == ProgramResult(printed="None\n")


def test_each_program_starts_afresh():
    run_program("x = 5\nimport math\nmath_is_here = True")
    assert run_program("x").error == "NameError: name 'x' is not defined"


def test_clock_and_random_numbers_are_fixed():
    code = "import random, time, datetime\nprint(random.random(), time.time(), datetime.datetime.now())"
    first = run_program(code)
    assert first.error is None
    assert run_program(code) == first


@pytest.mark.parametrize("case", HOSTILE, ids=[f"{case['code'][:40]!r}" for case in HOSTILE])
def test_hostile(case: dict, tmp_path: Path):
    sentinel = tmp_path / "sentinel"
    sentinel.write_text("untouched")
    code = case["code"].replace("{folder}", str(tmp_path))
    if "many" in case:
        text, count = case["many"]
        code = code.replace("{many}", text * count)
    start = time.monotonic()
    result = run_program(code)
    assert time.monotonic() - start < 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["sentinel"]
    assert sentinel.read_text() == "untouched"
    assert len(result.printed.encode()) <= 2**16
    assert result.error is None or result.unjudged is None
    ending = "error" if result.error else "unjudged" if result.unjudged else "end"
    assert case["ends"] in {"any", ending} or (result.error or "").startswith(case["ends"])
    assert run_program(CONTROL) == CONTROL_RESULT


def test_threads():
    programs = [f"print({number} ** 2)" for number in range(200)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run_program, programs))
    assert [result.printed for result in results] == [f"{number**2}\n" for number in range(200)]


def test_busy_workers_are_waited_for_no_longer_than_a_second():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        start = time.monotonic()
        results = list(pool.map(run_program, [ENDLESS] * 8))
    assert time.monotonic() - start < 4
    assert {result.error for result in results} <= {None, TOO_SLOW}
    assert {result.unjudged for result in results} <= {None, "no worker was free in time"}
    assert run_program(CONTROL) == CONTROL_RESULT


async def test_asyncio():
    assert run_program(CONTROL) == CONTROL_RESULT
    results = await asyncio.gather(*(asyncio.to_thread(run_program, CONTROL) for _ in range(20)))
    assert results == [CONTROL_RESULT] * 20


@pytest.mark.skipif(not HAS_PROC, reason="looks into /proc")
def test_at_most_two_workers():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(run_program, ["sum(range(10 ** 5))"] * 50))
    assert 1 <= len(workers()) <= 2


@pytest.mark.skipif(not HAS_PROC, reason="looks into /proc")
def test_killed_worker_between_programs():
    run_program(CONTROL)
    for worker in workers():
        os.kill(worker, signal.SIGKILL)
    assert run_program(CONTROL) == CONTROL_RESULT


@pytest.mark.skipif(not HAS_PROC, reason="looks into /proc")
def test_killed_worker_amid_a_program():
    run_program(CONTROL)

    def kill_workers() -> None:
        for worker in workers():
            os.kill(worker, signal.SIGKILL)

    timer = threading.Timer(0.2, kill_workers)
    timer.start()
    assert run_program(ENDLESS).error == TOO_SLOW
    timer.join()
    assert run_program(CONTROL) == CONTROL_RESULT


SCRIPT = """
import os, sys
from pathlib import Path
from latentseek_agents.tools import run_program
assert run_program("1 + 1").value == 2
"""
PRINT_CHILDREN = """
lists = Path("/proc/self/task").glob("*/children")
print(*(child for file in lists for child in file.read_text().split()), flush=True)
"""
FORK = """
child = os.fork()
if child == 0:
    assert run_program("6 * 7").value == 42
    assert run_program("import sympy").unjudged == "no module named 'sympy'"
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert run_program("6 * 7").value == 42
"""


def run_script(script: str, *, kill: bool = False) -> list[int]:
    """Run Python and return the processes that it names."""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        named = [int(number) for number in process.stdout.readline().split()]
        if kill:
            process.kill()
        assert process.wait(30) == (-signal.SIGKILL if kill else 0)
    return named


@pytest.mark.skipif(not HAS_PROC, reason="looks into /proc")
@pytest.mark.parametrize("kill", [False, True])
def test_exit_leaves_no_process(kill: bool):
    script = SCRIPT + PRINT_CHILDREN + ("import time\ntime.sleep(30)" if kill else "")
    named = run_script(script, kill=kill)
    assert named
    assert all(has_ended(process) for process in named)


@pytest.mark.skipif(not hasattr(os, "fork") or not HAS_PROC, reason="needs os.fork")
def test_fork():
    # The workers stay the parent's, before the child runs and after it has exited.
    before = (
        PRINT_CHILDREN.replace("print", "before = list")
        .replace("list(*(", "list((")
        .replace(", flush=True", "")
    )
    after = (
        PRINT_CHILDREN.replace("print", "after = list")
        .replace("list(*(", "list((")
        .replace(", flush=True", "")
    )
    run_script(SCRIPT + before + FORK + after + "assert before == after and before")
