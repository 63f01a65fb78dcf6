"""Problems with known answers: from the hub by name, or from a JSON Lines file."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from latentseek_agents.errors import ConfigError, InputError

__all__ = ["DATASETS", "Problem", "load_problems"]

DATASETS: Mapping[str, tuple[str, str | None, str]] = {
    "gsm8k": ("openai/gsm8k", "main", "test"),
    "math500": ("HuggingFaceH4/MATH-500", None, "test"),
    "aime24": ("HuggingFaceH4/aime_2024", None, "train"),
}
"""Name to repository on the hub, configuration and split."""

_QUESTION = ("question", "problem")
_REFERENCE = ("reference", "answer")


@dataclass(frozen=True)
class Problem:
    """A question with its known answer.

    Args:
        dataset: Name of the data it is from.
        number: Its place there, from 0.
        question: What to solve.
        reference: The known answer alone, without a solution before it.
    """

    dataset: str
    number: int
    question: str
    reference: str

    @property
    def digest(self) -> str:
        """Of question and reference, to tell whether an earlier result is this problem's."""
        text = json.dumps([self.question, self.reference])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def load_problems(data: str, *, limit: int | None = None, start: int = 0) -> list[Problem]:
    """Problems of a data set.

    Args:
        data: ``"gsm8k"``, ``"math500"`` or ``"aime24"``, loaded with the library ``datasets``; or a JSON
            Lines file with ``question`` (or ``problem``) and ``reference`` (or ``answer``) in each line. An
            answer may be a GSM8K solution that ends in ``#### 72``.
        limit: At most so many.
        start: Leave out those before this place. Numbers stay those of the whole data.

    Raises:
        InputError: The file cannot be read, or a line has no question or answer; the hub cannot be reached.
        ConfigError: The name is unknown, or ``datasets`` is not installed.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit}: at least 1 problem is needed")
    if start < 0:
        raise ConfigError(f"start={start}: problems are counted from 0")
    if data in DATASETS:
        rows, name = _from_hub(data), data
    elif Path(data).suffix in (".jsonl", ".ndjson"):
        rows, name = _from_file(Path(data)), Path(data).stem
    else:
        raise ConfigError(
            f"--data {data!r} is neither a JSON Lines file (.jsonl) nor one of {', '.join(DATASETS)}"
        )
    end = None if limit is None else start + limit
    problems = [_problem(name, number, row) for number, row in enumerate(rows)][start:end]
    if not problems:
        raise InputError(f"{data} has no problem from place {start} on")
    return problems


def _from_file(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise InputError(f"{path}, line {number} is not JSON: {error}") from None
    return rows


def _from_hub(name: str) -> Iterable[Any]:
    repository, configuration, split = DATASETS[name]
    try:
        datasets = import_module("datasets")
    except ImportError:
        raise ConfigError(
            f"--data {name} is loaded with the library datasets: pip install datasets; "
            "or name a JSON Lines file"
        ) from None
    try:
        rows: Iterable[Any] = datasets.load_dataset(repository, configuration, split=split)
    except Exception as error:
        raise InputError(
            f"{repository} could not be loaded from the hub ({type(error).__name__}: {error}); "
            "name a JSON Lines file with the same problems"
        ) from error
    return rows


def _problem(dataset: str, number: int, row: Any) -> Problem:
    place = f"{dataset}, problem {number}"
    if not isinstance(row, Mapping):
        raise InputError(f"{place} is no JSON object but {type(row).__name__}")
    question = _first(row, _QUESTION)
    reference = _first(row, _REFERENCE)
    if not isinstance(question, str) or not question.strip():
        raise InputError(f'{place} has no text under "question" or "problem"')
    if isinstance(reference, bool) or not isinstance(reference, str | int | float):
        raise InputError(f'{place} has no answer under "reference" or "answer"')
    answer = str(reference).rpartition("####")[2].strip()
    if not answer:
        raise InputError(f'{place}: the answer under "reference" or "answer" is empty')
    return Problem(dataset, number, question, answer)


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)
