"""A run's folder, which survives any kill.

It holds ``run.json`` (models, settings, versions), one ``plan-*.json`` and one ``attempts-*.jsonl`` for each
process that ever wrote to it, and below ``unfinished`` the searches under way. A line of ``attempts-*.jsonl``
is an outcome with its attempts, and bears the fingerprint in ``run.json``. It is written under a lock on the
file when the problem is done; the next process cuts off what a killed one left half written, and does again
what has no line. Files that are complete may be compressed with gzip (``attempts.jsonl.gz``).
"""

import gzip
import hashlib
import io
import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.runs.records import Key, Outcome

__all__ = ["RunFolder", "dotted_settings", "read_outcomes", "read_settings", "require_settings"]

_SCHEMA = 2
_MOST_SHOWN = 4
# The fingerprint stands for the settings. A model may lie in another place the next time: the hash of its
# weights decides, and its name is only shown.
_NOT_COMPARED = ("run", "model")


class RunFolder(AbstractContextManager["RunFolder"]):
    """A run's folder, open for appending; a context manager.

    Args:
        path: Created if it does not exist.
        settings: What is run, as plain values. A folder that holds another run is refused. None if the
            settings are not known yet: :meth:`claim` must then come before the first :meth:`append`.
        writer: Distinguishes processes that write at the same time, for instance ``"0-of-2"``.

    Raises:
        InputError: The folder is another run's, or another process writes under the same name.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any] | None, writer: str = "0-of-1") -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.fingerprint = ""
        if settings is not None:
            self.claim(settings)
        target = self.path / f"attempts-{writer}.jsonl"
        self._writing = FileLock(self.path / f".{target.name}.lock", timeout=0)
        try:
            self._writing.acquire()
        except Timeout:
            raise InputError(
                f"another process is writing to {target}; wait for it, or share the work with --shard"
            ) from None
        _cut_half_a_line(target)
        # Unbuffered: a buffer would keep what could not be written, and try again when it is closed.
        self._file = target.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._torn: str | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another process write."""
        self._file.close()
        self._writing.release()

    def append(self, outcome: Outcome) -> None:
        """Write an outcome, all of it or nothing; on return the operating system has it.

        Raises:
            InputError: It cannot be written (the disk is full, say), or is another run's.
        """
        if outcome.run != self.fingerprint:
            raise InputError(
                f"an outcome of run {outcome.run!r} is no part of run {self.fingerprint!r} in {self.path}; "
                "make it with the folder's fingerprint"
            )
        with self._lock:
            if self._torn is not None:
                raise InputError(self._torn)
            end = self._file.seek(0, os.SEEK_END)
            try:
                _write_whole(self._file, outcome.to_line())
            except BaseException as error:
                self._take_back(end, error)
                if isinstance(error, OSError):
                    raise InputError(
                        f"{self._file.name} cannot be written: {error}; make room or mend what is wrong, and "
                        "call again: what was written before is kept, and the rest is done again"
                    ) from error
                raise

    def _take_back(self, end: int, error: BaseException) -> None:
        """Cut off what was written of an outcome: lines behind half a line could not be read."""
        try:
            self._file.truncate(end)
        except OSError as another:
            self._torn = (
                f"{self._file.name} ends in half a line ({error!r}), which could not be cut off ({another}): "
                "nothing more is written to it; mend what is wrong and call again, which cuts it off and "
                "does again what is missing"
            )

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Write down what is run here; of processes that start at the same time, the first one does.

        Raises:
            InputError: The folder is another run's.
        """
        wanted = json.loads(json.dumps({"schema": _SCHEMA, **settings}))
        target = self.path / "run.json"
        with FileLock(self.path / ".run.json.lock"):
            if not target.exists():
                text = json.dumps({"run": _fingerprint(wanted), **wanted}, indent=2, ensure_ascii=False)
                write_file(target, text + "\n")
        stated = read_settings(self.path)
        _refuse_another_run(self.path, stated, wanted, [*wanted, *stated])
        self.fingerprint = str(stated["run"])


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings in a folder's ``run.json``, with its fingerprint under ``"run"``.

    Raises:
        InputError: The folder holds no run.
    """
    target = Path(path) / "run.json"
    try:
        settings = json.loads(target.read_text(encoding="utf-8"))
    except FileNotFoundError:
        below = sorted(str(other.parent) for other in Path(path).glob("*/run.json"))
        hint = f"; the folders below it that hold one: {', '.join(below)}" if below else ""
        raise InputError(f"{path} holds no run: there is no run.json in it{hint}") from None
    except ValueError as error:
        raise InputError(f"{target} is not the run.json of an evaluation: {error}") from None
    readable = isinstance(settings, dict) and settings.get("schema") == _SCHEMA
    if not readable or not isinstance(settings.get("run"), str):
        raise InputError(f"{target} is not the run.json of an evaluation that this version can read")
    return dict(settings)


def require_settings(path: str | Path, wanted: Mapping[str, Any]) -> None:
    """Refuse a folder whose run differs in these settings; accept one that holds no run yet.

    Raises:
        InputError: It holds another run.
    """
    if (Path(path) / "run.json").exists():
        _refuse_another_run(path, read_settings(path), json.loads(json.dumps(wanted)), [*wanted])


def dotted_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names.

    Example:
        >>> dotted_settings({"seed": 0, "config": {"keep": "best"}})
        {'seed': 0, 'config.keep': 'best'}
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= dotted_settings(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def _fingerprint(settings: Mapping[str, Any]) -> str:
    compared = {name: value for name, value in settings.items() if name not in _NOT_COMPARED}
    text = json.dumps(compared, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _refuse_another_run(
    path: str | Path, stated: Mapping[str, Any], wanted: Mapping[str, Any], names: Collection[str]
) -> None:
    """Raise if the settings of these names differ."""
    there, here = (
        dotted_settings({name: settings[name] for name in names if name in settings})
        for settings in (stated, wanted)
    )
    differences = [
        f"{name}: {there.get(name)!r} there, {here.get(name)!r} here"
        for name in here | there
        if name not in _NOT_COMPARED and there.get(name) != here.get(name)
    ]
    if differences:
        shown = [*differences[:_MOST_SHOWN], "..."] if len(differences) > _MOST_SHOWN else differences
        raise InputError(
            f"{path} holds another run ({', '.join(shown)}); "
            "name another folder, or repeat that run's settings to go on with it"
        )


def read_outcomes(path: str | Path) -> list[Outcome]:
    """All outcomes in a run's folder, each once, in the order of data, prompt, method and problem.

    Raises:
        InputError: The folder holds no run, a line in it is not an outcome's or of another run, or methods
            have worked on different questions of the same number.
    """
    folder = Path(path)
    run = read_settings(folder)["run"]
    outcomes: dict[Key, Outcome] = {}
    questions: dict[tuple[str, int], tuple[str, str]] = {}
    for file in sorted(folder.glob("attempts*.jsonl*")):
        for number, line in _complete_lines(file):
            try:
                outcome = Outcome.from_line(line)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise InputError(f"{file}, line {number} is no line of an evaluation: {error!r}") from None
            if outcome.run != run:
                raise InputError(
                    f"{file}, line {number} is of run {outcome.run!r}, but the run.json beside it is of run "
                    f"{run!r}; move the file, or these lines, to a folder with the run.json of their own run"
                )
            key = outcome.key
            if questions.setdefault((key.dataset, key.problem), outcome.question) != outcome.question:
                raise InputError(
                    f"{file}: {key.method} ({key.prompt}) worked on another problem {key.problem} of "
                    f"{key.dataset!r} than other methods in {folder}, so they cannot be compared; evaluate "
                    "each file of problems into a folder of its own, and remove the lines of one of them here"
                )
            outcomes.setdefault(key, outcome)
    return [outcomes[key] for key in sorted(outcomes)]


def write_file(target: Path, text: str) -> None:
    """Replace a file, whole or not at all."""
    partial = target.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, target)


def _write_whole(file: io.FileIO, content: bytes) -> None:
    """Write all of it: a single call may write less, for instance what is left of the disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _complete_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield number, line


def _cut_half_a_line(path: Path) -> None:
    """Remove what a killed process had written of a line."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))
