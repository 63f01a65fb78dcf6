"""Problems with known answers: from the hub by name, or from a JSON Lines file."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.evaluation.text import one_line

__all__ = ["DATASETS", "Problem", "load_problems"]

DATASETS: Mapping[str, tuple[str, str | None, str]] = {
    "gsm8k": ("openai/gsm8k", "main", "test"),
    "math500": ("HuggingFaceH4/MATH-500", None, "test"),
    "aime24": ("HuggingFaceH4/aime_2024", None, "train"),
}
"""Name to repository on the hub, configuration and split."""

_SHOWN_ERRORS = 5
_Read = TypeVar("_Read")


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
        name, rows = data, enumerate(_from_hub(data))
        pairs = [_with_answer(row, f"{name}, problem {number}") for number, row in rows]
    elif Path(data).suffix in (".jsonl", ".ndjson"):
        name, pairs = Path(data).stem, read_json_lines(_text(data), data, _with_answer)
    else:
        raise ConfigError(
            f"--data {data!r} is neither a JSON Lines file (.jsonl) nor one of {', '.join(DATASETS)}"
        )
    end = None if limit is None else start + limit
    problems = [Problem(name, number, *pair) for number, pair in enumerate(pairs)][start:end]
    if not problems:
        raise InputError(f"{data} has no problem from place {start} on")
    return problems


def read_json_lines(text: str, name: str, read: Callable[[Any, str], _Read]) -> list[_Read]:
    """What is read from each line of JSON; blank lines are left out.

    Args:
        text: The lines.
        name: Where they are from, for messages.
        read: Reads a line's value; called with the value and its place.

    Raises:
        InputError: A line is not JSON, or not what is to be read; the message has the first such lines.
    """
    found, errors = [], []
    # str.splitlines would also break at characters that JSON strings may hold as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            found.append(read(json.loads(line), place))
        except InputError as error:
            errors.append(str(error))
        except (ValueError, RecursionError) as error:
            column = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            errors.append(f"{place} is not JSON: {getattr(error, 'msg', error)}{column}")
    if errors:
        more = f"; and {len(errors) - _SHOWN_ERRORS} more" if len(errors) > _SHOWN_ERRORS else ""
        raise InputError("; ".join(errors[:_SHOWN_ERRORS]) + more)
    return found


def question_and_reference(row: Any, place: str) -> tuple[str, str | None]:
    """A question and its known answer, if there is one, each under either of its names.

    Raises:
        InputError: There is no question, or the answer is neither a text nor a number.
    """
    if not isinstance(row, Mapping):
        raise InputError(f"{place} is no JSON object but {type(row).__name__}")
    question, reference = (
        next((row[name] for name in names if row.get(name) is not None), None)
        for names in (("question", "problem"), ("reference", "answer"))
    )
    if not isinstance(question, str):
        keys = one_line(", ".join(row)) or "none"
        raise InputError(f'{place} has no text under "question" or "problem" (its keys: {keys})')
    if not question.strip():
        raise InputError(f"{place}: the question is empty")
    if isinstance(reference, bool) or not isinstance(reference, str | int | float | None):
        raise InputError(f"{place}: the reference must be text or a number, not {type(reference).__name__}")
    return question, None if reference is None else str(reference)


def _text(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name} cannot be read: {error}") from None


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


def _with_answer(row: Any, place: str) -> tuple[str, str]:
    question, reference = question_and_reference(row, place)
    if reference is None:
        raise InputError(f'{place} has no answer under "reference" or "answer"')
    answer = reference.rpartition("####")[2].strip()
    if not answer:
        raise InputError(f'{place}: the answer under "reference" or "answer" is empty')
    return question, answer
