"""What an evaluation leaves behind: one line per attempt, appended, in a folder that survives any kill.

A folder holds ``run.json`` (what is run: models, settings, versions) and one ``attempts-*.jsonl`` per
process that ever wrote to it. A line is an attempt, or the outcome that ends the attempts of one problem.
The lines of a problem are written at once when it is done, under a lock on the file; what a killed process
left half written is cut off by the next one, and a problem without an outcome counts as not done. Searches
under way are in the folder ``unfinished`` until then. Each line bears the fingerprint in ``run.json``.
"""

import io
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from filelock import FileLock, Timeout

from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.questions import KnownQuestions, Question
from latentseek_agents.evaluation.run_file import claim_run, read_settings

__all__ = ["AttemptRecord", "Key", "Outcome", "RunFolder", "read_outcomes"]


class Key(NamedTuple):
    """What tells one outcome from another within a run.

    Args:
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        method: For example ``"sc:11"``.
        problem: The problem's number in its data.
    """

    dataset: str
    prompt: str
    method: str
    problem: int


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """One attempt at one problem: an iteration of a search, or a sample of a baseline.

    Args:
        attempt: Its number; 0 is the draft, or the first sample.
        answer: The final answer in its text; None if it states none.
        right: Whether that is the known answer; None if the comparison could not be finished.
        score: The verifier's, in [-1, 0]; None where no verifier was asked.
        passed: The verifier's decision; None where it could not judge or was not asked.
        finish_reason: ``"stop"``, ``"length"`` or ``"seconds"``.
        changed: How many tokens at the latents differ from the attempt before; 0 in baselines.
        latents: How many latents there were.
        policy_tokens: Tokens this attempt cost the policy; 0 if it was taken over from an earlier one.
        verifier_tokens: Tokens its verdict cost.
        policy_forward_passes: Forward passes of the policy that it took part in. The whole prompt counts as
            one, and is the first attempt's, whatever was kept of it.
        verifier_forward_passes: Forward passes of the verdict.
        policy_seconds: Wall-clock seconds, of a machine that other problems share.
        verifier_seconds: The same for the verdict.
        policy_computed_tokens: Tokens that went through the layers for it: what was written, guesses that
            were refused (fewer guesses are made the more is decoded at once), and with the first attempt the
            whole prompt, whatever was kept of it.
        verifier_computed_tokens: The same for the verdict.
        samples: How many solutions were written of which this is the best; more than 1 if a search draws
            several per iteration.
        checks: The verdict's parts, name to passed.
        text: What was written.
    """

    attempt: int
    answer: str | None
    right: bool | None
    score: float | None = None
    passed: bool | None = None
    finish_reason: str = "stop"
    changed: int = 0
    latents: int = 0
    policy_tokens: int = 0
    verifier_tokens: int = 0
    policy_forward_passes: float = 0.0
    verifier_forward_passes: float = 0.0
    policy_seconds: float = 0.0
    verifier_seconds: float = 0.0
    policy_computed_tokens: float = 0.0
    verifier_computed_tokens: float = 0.0
    samples: int = 1
    checks: dict[str, bool | None] | None = None
    text: str = ""

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return self.policy_tokens + self.verifier_tokens

    @property
    def forward_passes(self) -> float:
        """Forward passes in all."""
        return self.policy_forward_passes + self.verifier_forward_passes

    @property
    def computed_tokens(self) -> float:
        """Tokens through the model's layers, in all."""
        return self.policy_computed_tokens + self.verifier_computed_tokens

    @property
    def seconds(self) -> float:
        """Seconds in all."""
        return self.policy_seconds + self.verifier_seconds


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One method's work on one problem.

    Args:
        key: Data, prompt, method, problem.
        run: Fingerprint of the run's settings, as in its ``run.json``.
        seed: Where its sampling started.
        reference: The known answer.
        attempts: In their order, the first is the draft or the first sample.
        chosen: Position in ``attempts`` of the one that the method returns.
        stop_reason: Why it ended.
        digest: Of question and known answer; None in the lines of earlier versions.
        seconds: Wall clock of the call that ended it: without what an earlier process did of it, or another
            method whose samples it took over. None in the lines of earlier versions.
        code: Fingerprint of the code that ended it. None in the lines of earlier versions.
    """

    key: Key
    run: str
    seed: int
    reference: str
    attempts: tuple[AttemptRecord, ...]
    chosen: int
    stop_reason: str | None = None
    digest: str | None = None
    seconds: float | None = None
    code: str | None = None

    @property
    def question(self) -> Question:
        """What was asked, as far as the line tells."""
        return Question(self.reference, self.digest)

    @property
    def right(self) -> bool:
        """Whether the method's answer is right; a comparison that could not be finished is not."""
        return self.attempts[self.chosen].right is True

    def to_lines(self) -> bytes:
        """The attempts and the outcome as JSON Lines."""
        shared = {"run": self.run, **self.key._asdict(), "seed": self.seed}
        lines: list[dict[str, Any]] = [
            {"kind": "attempt", **shared, **asdict(attempt)} for attempt in self.attempts
        ]
        lines.append(
            {
                "kind": "outcome",
                **shared,
                "reference": self.reference,
                "attempts": len(self.attempts),
                "chosen": self.chosen,
                "right": self.right,
                "stop_reason": self.stop_reason,
                "digest": self.digest,
                "seconds": self.seconds,
                "code": self.code,
            }
        )
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    @classmethod
    def from_lines(cls, lines: bytes, *, run: str) -> Self:
        """Inverse of :meth:`to_lines`, as part of another run.

        Raises:
            InputError: They are not the lines of one outcome.
        """
        found = list(
            _outcomes("the lines of an outcome", enumerate(lines.splitlines(keepends=True), start=1))
        )
        if len(found) != 1:
            raise InputError(f"the lines of one outcome were expected, but are those of {len(found)}")
        return replace(found[0], run=run)  # type: ignore[return-value]


class RunFolder:
    """A run's folder, open for appending; a context manager.

    Args:
        path: Made if it does not exist.
        settings: What is run, as plain values. A folder that holds another run's is refused. None if it
            is not known yet: :meth:`claim` must then come before the first :meth:`append`.
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
        # Without a buffer, which would keep what could not be written and try again when it is closed.
        self._file = target.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._torn: str | None = None

    def __enter__(self) -> Self:
        return self

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
        """Write an outcome and its attempts, all or nothing; on return they are with the operating system.

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
                _write_whole(self._file, outcome.to_lines())
            except BaseException as error:
                self._take_back(end, error)
                if isinstance(error, OSError):
                    raise InputError(
                        f"{self._file.name} cannot be written: {error}; make room or mend what is wrong, and "
                        "call again: what was written before is kept, and the rest is done again"
                    ) from error
                raise

    def _take_back(self, end: int, error: BaseException) -> None:
        """Cut off what was written of an outcome: whatever came behind half a line could not be read."""
        try:
            self._file.truncate(end)
        except OSError as another:
            self._torn = (
                f"{self._file.name} ends in half a line ({error!r}), which could not be cut off ({another}): "
                "nothing more is written to it; mend what is wrong and call again, which cuts it off and "
                "does again what is missing"
            )

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Say what is run here; of processes that begin at the same time, one is the first.

        Raises:
            InputError: The folder is another run's.
        """
        self.fingerprint = claim_run(self.path, settings)


def read_outcomes(path: str | Path) -> list[Outcome]:
    """All outcomes in a run's folder, each once, in the order of data, prompt, method and problem.

    Lines that belong to no outcome (of a process that was killed) are left out.

    Raises:
        InputError: The folder holds no run, a line in it is none of ours or another run's, or methods have
            worked on different questions of the same number.
    """
    folder = Path(path)
    run = str(read_settings(folder)["run"])
    found: dict[Key, Outcome] = {}
    questions = KnownQuestions()
    for file in sorted(folder.glob("attempts-*.jsonl")):
        for outcome in _outcomes(str(file), _complete_lines(file), run):
            key = outcome.key
            if not questions.add(key.dataset, key.problem, outcome.question):
                raise InputError(
                    f"{file}: {key.method} ({key.prompt}) worked on another problem {key.problem} of "
                    f"{key.dataset!r} than other methods in {folder}, so they cannot be compared; evaluate "
                    "each file of problems into a folder of its own, and remove the lines of one of them here"
                )
            found.setdefault(key, outcome)
    return [found[key] for key in sorted(found)]


def _outcomes(name: str, lines: Iterable[tuple[int, bytes]], run: str | None = None) -> Iterator[Outcome]:
    """Outcomes in lines, each with its attempts; all must be of the same run if one is named."""
    waiting: dict[Key, list[AttemptRecord]] = {}
    names = {f.name for f in fields(AttemptRecord)}
    for number, line in lines:
        try:
            value = json.loads(line)
            if run not in (None, value["run"]):
                raise InputError(
                    f"{name}, line {number} is of run {value['run']!r}, but the run.json beside it is of run "
                    f"{run!r}; move the file, or these lines, to a folder with the run.json of their own run"
                )
            key = Key(value["dataset"], value["prompt"], value["method"], value["problem"])
            if value["kind"] == "attempt":
                attempt = AttemptRecord(**{name: value[name] for name in names if name in value})
                if attempt.attempt == 0:
                    waiting[key] = []
                waiting[key].append(attempt)
                continue
            attempts = tuple(waiting.pop(key))
            if len(attempts) != value["attempts"]:
                raise ValueError(f"{len(attempts)} attempts where {value['attempts']} are announced")
            yield Outcome(
                key=key,
                run=value["run"],
                seed=value["seed"],
                reference=value["reference"],
                attempts=attempts,
                chosen=value["chosen"],
                stop_reason=value["stop_reason"],
                digest=value.get("digest"),
                seconds=value.get("seconds"),
                code=value.get("code"),
            )
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{name}, line {number} is no line of an evaluation: {error!r}") from None


def _write_whole(file: io.FileIO, content: bytes) -> None:
    """Write all of it: a single call may write less, for instance what is left of the disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _complete_lines(file: Path) -> Iterable[tuple[int, bytes]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield number, line


def _cut_half_a_line(path: Path) -> None:
    """Remove what a process that was killed had written of a line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(whole)
