"""What went wrong first, from the log of a server that did not start."""

import re
from collections.abc import Iterator

from latentseek_agents.evaluation.text import one_line, plain

__all__ = ["exceptions_in"]

_TRACEBACK = "Traceback (most recent call last):"
_LONGEST = 400
_REPEATED = 20  # characters; a shorter message, as of a KeyError, stands in others by chance
# Tracebacks of an exception group are indented behind bars.
_BARS = re.compile(r"^(?: *\|)+ ?")
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)(?:: (.*))?")
_NEXT_ENTRY = re.compile(
    rf"\d{{4}}-\d\d-\d\d[T ]|.*{re.escape(_TRACEBACK)}|The above exception was|During handling of| *\+-"
)


def exceptions_in(log: str) -> list[str]:
    r"""The exceptions whose tracebacks stand in a log, the first first, each on one line.

    One that only repeats what an earlier one says is left out: it wraps that one.

    Args:
        log: What a Python program has written, colours included.

    Example:
        >>> log = '''Starting
        ... Traceback (most recent call last):
        ...   File "a.py", line 1, in <module>
        ... sqlite3.OperationalError: database or disk is full
        ...
        ... During handling of the above exception, another exception occurred:
        ...
        ... Traceback (most recent call last):
        ...   File "b.py", line 1, in <module>
        ... RuntimeError: not started: database or disk is full'''
        >>> exceptions_in(log)
        ['OperationalError: database or disk is full']
    """
    found: list[str] = []
    messages: list[str] = []
    for kind, message in _raised(plain(log).splitlines()):
        if any(earlier in message for earlier in messages if len(earlier) >= _REPEATED):
            continue
        found.append(one_line(f"{kind}: {message}" if message else kind, _LONGEST))
        messages.append(message or kind)
    return found


def _raised(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each exception's class and message, which may have several lines."""
    lines = [_BARS.sub("", line) for line in lines]
    places = [number for number, line in enumerate(lines) if _TRACEBACK in line]
    for place in places:
        # Behind the frames, which are indented.
        end = next((n for n in range(place + 1, len(lines)) if lines[n][:1].strip()), None)
        exception = None if end is None else _EXCEPTION.fullmatch(lines[end])
        if end is None or exception is None:
            continue
        message = [exception[2] or ""]
        for line in lines[end + 1 :]:
            if not line.strip() or _NEXT_ENTRY.match(line) or line.startswith(" ["):
                break
            message.append(line.strip())
        yield exception[1], " ".join(message).strip()
