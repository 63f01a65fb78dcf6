"""Read questions: an argument, standard input, or a JSON Lines file."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from latentseek_agents.cli.process import read_input
from latentseek_agents.cli.text import one_line
from latentseek_agents.errors import InputError

_JSON_LINES = (".jsonl", ".ndjson")
_LOOKS_LIKE_JSON = re.compile(r'\s*\{\s*"')
_SHOWN_ERRORS = 5


@dataclass(frozen=True)
class Question:
    """What to solve.

    Args:
        text: The question.
        reference: The known answer, if there is one.
        place: Where it was read, for messages.
    """

    text: str
    reference: str | None = None
    place: str = "the question"


def read_questions(source: str, reference: str | None = None) -> list[Question]:
    """Questions from the argument of ``latentseek solve``.

    Args:
        source: A question, ``-`` for standard input, or a JSON Lines file.
        reference: The known answer to a single question.

    Returns:
        At least one question.

    Raises:
        InputError: Nothing can be read, or what was read is no question; the message has the line.
    """
    if source == "-":
        text = read_input(source)
        whole = _json_object(text)
        if whole is not None:
            found = [_question(whole, "standard input")]
        elif _LOOKS_LIKE_JSON.match(text):
            found = _json_lines(text, "standard input")
        else:
            found = [Question(text.strip())]
    elif source.lower().endswith(_JSON_LINES):
        found = _json_lines(read_input(source), one_line(source))
    elif os.path.isfile(source):
        raise InputError(
            f"{one_line(source)} is a file, but not named .jsonl; "
            f"to ask what it holds: latentseek solve - < {one_line(source)}"
        )
    else:
        found = [Question(source.strip())]
    for question in found:
        _check(question)
    if reference is not None:
        if len(found) > 1:
            raise InputError('--reference is for one question; put "reference" into the lines of the file')
        found = [Question(found[0].text, reference, found[0].place)]
    return found


def _check(question: Question) -> None:
    if not question.text.strip():
        raise InputError(f"{question.place} is empty; write what is to be solved")
    try:
        (question.text + (question.reference or "")).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{question.place} holds {error.object[error.start]!r}, which is no character; remove it"
        ) from None


def _json_lines(text: str, name: str) -> list[Question]:
    questions, errors = [], []
    for number, line in _lines(text):
        try:
            value = json.loads(line)
            questions.append(_question(value, f"{name}, line {number}"))
        except InputError as error:
            errors.append(str(error))
        except (ValueError, RecursionError) as error:
            reason = (
                f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            )
            errors.append(f"{name}, line {number} is not JSON: {reason}")
    if errors:
        more = f"; and {len(errors) - _SHOWN_ERRORS} more" if len(errors) > _SHOWN_ERRORS else ""
        raise InputError("; ".join(errors[:_SHOWN_ERRORS]) + more)
    if not questions:
        raise InputError(f'{name} has no questions; it needs lines such as {{"question": "What is 2 + 2?"}}')
    return questions


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # str.splitlines would also break at characters that JSON strings may hold as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _question(value: Any, place: str) -> Question:
    if not isinstance(value, dict):
        raise InputError(f"{place} is no JSON object but {type(value).__name__}")
    text = value.get("question", value.get("problem"))
    if not isinstance(text, str):
        keys = one_line(", ".join(value)) or "none"
        raise InputError(f'{place} has no text under "question" or "problem" (its keys: {keys})')
    if not text.strip():
        raise InputError(f"{place}: the question is empty")
    reference = value.get("reference", value.get("answer"))
    if isinstance(reference, bool) or not isinstance(reference, str | int | float | None):
        raise InputError(f"{place}: the reference must be text or a number, not {type(reference).__name__}")
    return Question(text, None if reference is None else str(reference), place)
