"""What every command does to its process: quiet libraries, short messages, exit codes."""

import gc
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from latentseek_agents.errors import InputError, LatentSeekError
from latentseek_agents.evaluation.text import one_line

NOT_VERIFIED = 1
BAD_INPUT = 2
OUT_OF_MEMORY = 3
INTERRUPTED = 130
_LONGEST_MESSAGE = 2000


def say(message: str) -> None:
    """Print one line on standard error."""
    typer.echo(one_line(message, _LONGEST_MESSAGE), err=True)


@contextmanager
def command() -> Iterator[None]:
    """Run a command: a ``LatentSeekError`` becomes one line and exit code 2 instead of a traceback.

    Raises:
        Exit: With code 2 on bad input, 3 where the memory does not suffice, and 130 when interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character is to show another one, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    log = logging.getLogger("latentseek_agents")
    handler = _ShortWarnings()
    log.addHandler(handler)
    try:
        yield
    except LatentSeekError as error:
        say(f"error: {error}")
        raise typer.Exit(BAD_INPUT) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        say(
            f"error: there is not enough memory ({error}). Lower --rows, --batch or --max-new-tokens, "
            "whichever the command has, or take --dtype bfloat16, on a CPU --dtype int8; "
            "latentseek eval goes on where it was, in the same dtype"
        )
        raise typer.Exit(OUT_OF_MEMORY) from None
    finally:
        log.removeHandler(handler)


@contextmanager
def fast_imports() -> Iterator[None]:
    """Import and load without garbage collections, which find nothing then, without warnings and bars.

    What libraries say of errors is heard; their advice and progress bars would stand amid our own lines.
    """
    # Each is read when its library is first imported.
    for library in ("TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY", "DATASETS_VERBOSITY"):
        os.environ.setdefault(library, "error")
    for library in ("HF_HUB", "HF_DATASETS"):
        os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")
    # Torch's threads would otherwise spin while they wait, and on a busy machine that takes several times as
    # long. Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    collects = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if collects:
            gc.enable()


def read_input(name: str) -> str:
    """The text of a file, or of standard input for ``-``.

    Raises:
        InputError: It cannot be read, or is not UTF-8.
    """
    shown = "standard input" if name == "-" else one_line(name)
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown} is not UTF-8 text (byte {error.start}); convert it first") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {shown}: {reason_of(error)}") from None


def reason_of(error: OSError | ValueError) -> str:
    """Why a file could not be opened, without its name and the number of the error."""
    return getattr(error, "strerror", None) or str(error)


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether this, or what caused it, is a lack of memory; torch raises several kinds of errors then."""
    signs = ("CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory")
    if error is None:
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs):
        return True
    return _is_out_of_memory(error.__cause__)


class _ShortWarnings(logging.Handler):
    """Shows the package's warnings without the traceback that a log would have."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        say(f"warning: {record.getMessage()}")
