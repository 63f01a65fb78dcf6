"""Read questions: an argument, standard input, or a JSON Lines file."""

import json
import os
import re
from dataclasses import dataclass, replace
from typing import Any

from latentseek_agents.cli.process import read_input
from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.runs.problems import question_and_reference, read_json_lines
from latentseek_agents.evaluation.text import one_line

_JSON_LINES = (".jsonl", ".ndjson")
_LOOKS_LIKE_JSON = re.compile(r'\s*\{\s*"')


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
        questions = _from_text(read_input(source))
    elif source.lower().endswith(_JSON_LINES):
        questions = _from_json_lines(read_input(source), one_line(source))
    elif os.path.isfile(source):
        raise InputError(
            f"{one_line(source)} is a file, but not named .jsonl; "
            f"to ask what it holds: latentseek solve - < {one_line(source)}"
        )
    else:
        questions = [_checked(Question(source.strip()))]
    if reference is not None:
        if len(questions) > 1:
            raise InputError('--reference is for one question; put "reference" into the lines of the file')
        questions = [_checked(replace(questions[0], reference=reference))]
    return questions


def _from_text(text: str) -> list[Question]:
    """Standard input: one JSON object, JSON Lines, or a question in words."""
    if not _LOOKS_LIKE_JSON.match(text):
        return [_checked(Question(text.strip()))]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _from_json_lines(text, "standard input")
    return [_question(value, "standard input")]


def _from_json_lines(text: str, name: str) -> list[Question]:
    questions = read_json_lines(text, name, _question)
    if not questions:
        raise InputError(f'{name} has no questions; it needs lines such as {{"question": "What is 2 + 2?"}}')
    return questions


def _question(value: Any, place: str) -> Question:
    return _checked(Question(*question_and_reference(value, place), place))


def _checked(question: Question) -> Question:
    if not question.text.strip():
        raise InputError(f"{question.place} is empty; write what is to be solved")
    try:
        (question.text + (question.reference or "")).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{question.place} holds {error.object[error.start]!r}, which is no character; remove it"
        ) from None
    return question
