"""Running Python programs that a model wrote, in Monty: an interpreter of its own in a process of its own.

This is the only module that knows Monty. It imports nothing of the package, because a forked process runs it
as a script (see :class:`_Interpreter`).
"""

import atexit
import builtins
import ctypes
import dataclasses
import datetime
import json
import os
import re
import subprocess
import sys
import threading
from typing import Any

import pydantic_monty

__all__ = ["ProgramResult", "run_program"]

_SECONDS = 1.0
_SECONDS_FOR_A_WORKER = 1.0
_MEMORY_BYTES = 64 * 2**20
_OUTPUT_BYTES = 64 * 2**10
_WORKERS = 2
_LIMITS: pydantic_monty.ResourceLimits = {"max_feed_duration_secs": _SECONDS, "max_memory": _MEMORY_BYTES}
# The same clock and the same random numbers for every program, so that its output depends on its text alone.
_POLICY: pydantic_monty.OSPolicy = {
    "datetime": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "random_start": {"seed": 0},
    "sleep": "zero",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramResult:
    """What a program did.

    Attributes:
        printed: What it printed, also before an error. Nothing if it exceeded a limit, because how much it
            had printed by then depends on the machine.
        value: The value of its last expression if that is an int of at most 4,300 digits, a float, a bool or
            a str of less than 65,536 characters; otherwise None.
        error: The exception that ended it, or the limit that it exceeded; None if it ran to its end.
        unjudged: Why nothing can be said about the program: it needs something that the interpreter lacks
            (a module, a statement, input), or the interpreter failed. Then `error` is None, and the program
            may well be right.
    """

    printed: str = ""
    value: int | float | bool | str | None = None
    error: str | None = None
    unjudged: str | None = None


def run_program(code: str) -> ProgramResult:
    r"""Run a Python program without access to files, network, clock, environment or other processes.

    A program has 1 s, 64 MB of memory and 64 KB of output. Each one starts afresh, with the same clock and
    the same random numbers. Any thread may call this; two programs run at a time, and further ones wait for
    up to 1 s. It blocks until the program ends; in a coroutine, call it through ``asyncio.to_thread``.

    The interpreter lacks much of the standard library (``fractions``, ``statistics``, ``cmath``) and every
    other package; a program that imports one of these ends as `unjudged`.

    Returns:
        What the program printed, its value, or why there is none.
        Nothing is raised, whatever the program does.

    Example:
        >>> run_program("print(6 * 7)").printed
        '42\n'
        >>> run_program("x = 3\nx / 2").value
        1.5
        >>> run_program("1 / 0").error
        'ZeroDivisionError: division by zero'
        >>> run_program("import sympy").unjudged
        "no module named 'sympy'"
    """
    return _interpreter.run(code)


class _Interpreter:
    """The workers of this process, started on first use.

    Monty's client hangs in a process that was forked after the client had started its threads. Such a process
    runs each program in a fresh Python instead, which takes about 0.1 s.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: pydantic_monty.Monty | None = None
        self._has_started = False
        self._is_forked = False

    def run(self, code: str) -> ProgramResult:
        if self._is_forked:
            return _run_in_fresh_python(code)
        try:
            return _run(self._started_pool(), code)
        except (pydantic_monty.MontyError, OSError, RuntimeError) as error:
            return ProgramResult(unjudged=f"the interpreter failed: {_first_line(str(error))}")

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.__exit__(None, None, None)
                self._pool = None

    def after_fork(self) -> None:
        """Leave the workers to the process that this one was forked from."""
        self._lock = threading.Lock()
        self._is_forked = self._has_started
        if self._pool is not None:
            # The destructor of the pool would kill the other process's workers when this process exits.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._pool))
            self._pool = None

    def _started_pool(self) -> pydantic_monty.Monty:
        with self._lock:
            if self._pool is None:
                self._has_started = True
                pool = pydantic_monty.Monty(
                    min_processes=1,
                    max_processes=_WORKERS,
                    checkout_timeout=_SECONDS_FOR_A_WORKER,
                    request_timeout=1.5 * _SECONDS,  # compiling is not charged to the program's own time
                    feed_duration_limit_grace=0.5 * _SECONDS,
                )
                self._pool = pool.__enter__()
            return self._pool


_interpreter = _Interpreter()
atexit.register(_interpreter.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_interpreter.after_fork)


def _run(pool: pydantic_monty.Monty, code: str) -> ProgramResult:
    """Run a program for its value if it ends in an expression, otherwise for what it prints."""
    forms = (_returning_value(code), f"{code}\n\nNone", code)
    for form in filter(None, forms):
        try:
            return _run_form(pool, form)
        except pydantic_monty.MontySyntaxError as error:
            # Nothing has run: the last lines are no expression or, if all forms fail, the code is no Python.
            message = _first_line(error.display("type-msg"))
    return ProgramResult(error=message)


def _run_form(pool: pydantic_monty.Monty, code: str) -> ProgramResult:
    for _ in range(_WORKERS):
        try:
            return _run_once(pool, code)
        except pydantic_monty.MontyCrashedError as error:
            if error.timed_out:
                return ProgramResult(error=_TOO_SLOW)
            # Something killed the worker, perhaps while it was idle: the other one may be dead, too.
    return _run_once(pool, code)


def _run_once(pool: pydantic_monty.Monty, code: str) -> ProgramResult:
    output = pydantic_monty.CollectString(max_bytes=_OUTPUT_BYTES)
    try:
        with pool.checkout(limits=_LIMITS, os_policy=_POLICY) as session:
            value = session.feed_run(code, print_callback=output)
    except TimeoutError:
        return ProgramResult(unjudged="no worker was free in time")
    except pydantic_monty.MontyRuntimeError as error:
        message = _first_line(error.display("type-msg"))
        if limit := _exceeded_limit(message):
            return ProgramResult(error=limit)
        lack = _what_monty_lacks(message)
        return ProgramResult(printed=output.output, error=None if lack else message, unjudged=lack)
    return ProgramResult(printed=output.output, value=_read_value(value))


# The value of the last expression is returned as text, so that objects stay in the worker: first its
# ``repr``, then, for strings, the value itself. No name is looked up but the one just bound, so that a
# program may define its own ``str`` or ``print``. The None before it keeps the lines apart where those
# above leave a bracket or a backslash open: then nothing runs, and the program is tried as it stands.
_RETURNING_VALUE = """{before}

None
_program_value = (
{last}
)
try:
    _program_value = f"{{f'{{_program_value!r}}':.{size}}}\\n{{f'{{_program_value}}':.{size}}}"
except:
    _program_value = ""
_program_value
"""


def _returning_value(code: str) -> str | None:
    """The program with its last expression returned as text, if its last lines may be an expression."""
    lines = code.rstrip().split("\n")
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number]
        if line and line[0] not in " \t)]}#":
            before, last = lines[:number], lines[number:]
            return _RETURNING_VALUE.format(before="\n".join(before), last="\n".join(last), size=_OUTPUT_BYTES)
    return None


_INT = re.compile(r"-?[0-9]{1,4300}")
_FLOAT = re.compile(r"-?(inf|[0-9]{1,400}(\.[0-9]{1,400})?(e[-+]?[0-9]{1,3})?)|nan")


def _read_value(text: Any) -> int | float | bool | str | None:
    """The value that the text of ``_RETURNING_VALUE`` stands for."""
    if not isinstance(text, str):
        return None
    shown, _, string = text.partition("\n")
    if shown[:1] in {"'", '"'}:
        return string if len(string) < _OUTPUT_BYTES else None
    if shown in {"True", "False"}:
        return shown == "True"
    for pattern, kind in ((_INT, int), (_FLOAT, float)):
        if pattern.fullmatch(shown):
            return kind(shown)
    return None


_TOO_SLOW = f"TimeoutError: the program ran longer than {_SECONDS:g} s"


def _exceeded_limit(message: str) -> str | None:
    """The limit that ended the program, in words that are the same every time."""
    if message.startswith("TimeoutError: feed time limit exceeded"):
        return _TOO_SLOW
    if not re.match("MemoryError: (memory limit exceeded:|the worker exceeded its memory limit)", message):
        return None
    if message.endswith(f"> {_OUTPUT_BYTES} bytes"):
        return f"MemoryError: the program printed more than {_OUTPUT_BYTES // 2**10} KB"
    return f"MemoryError: the program needed more than {_MEMORY_BYTES // 2**20} MB"


_MODULE = re.compile(r"ModuleNotFoundError: No module named '(.+)'")
_NAME = re.compile(r"NameError: name '(\w+)' is not defined")
_ATTRIBUTE = re.compile(r"AttributeError: '(\w+)' object has no attribute '(\w+)'")
_LACKS = re.compile(
    r"(?:ImportError|AttributeError): (cannot import name .+|module '.+' has no attribute .+)"
    r"|NotImplementedError: (The monty .+)"
    r"|RuntimeError: (Internal error in monty.*|.+ is not supported in this environment)"
)


def _what_monty_lacks(message: str) -> str | None:
    """What the program needs and CPython may have, read from the message that ended it."""
    if match := _MODULE.match(message):
        return f"no module named '{match[1]}'"
    if match := _NAME.match(message):
        return (
            f"no built-in '{match[1]}'"
            if hasattr(builtins, match[1]) or match[1] in {"exit", "quit"}
            else None
        )
    if match := _ATTRIBUTE.match(message):
        kind = getattr(builtins, match[1], None)
        return f"no {match[1]}.{match[2]}" if hasattr(kind, match[2]) else None
    if match := _LACKS.match(message):
        return match[1] or match[2] or match[3]
    return None


def _first_line(message: str, size: int = 200) -> str:
    return message.partition("\n")[0][:size]


def _run_in_fresh_python(code: str) -> ProgramResult:
    command = [sys.executable, "-P", __file__]
    try:
        completed = subprocess.run(  # noqa: S603 - this file, by its path; the program is its input
            command, input=json.dumps(code).encode(), stdout=subprocess.PIPE, timeout=5, check=True
        )
        return ProgramResult(**json.loads(completed.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return ProgramResult(unjudged=f"the interpreter failed: {_first_line(str(error))}")


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(run_program(json.load(sys.stdin)))))  # noqa: T201 - answers its parent
