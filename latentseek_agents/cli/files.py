"""The files that ``latentseek solve`` writes: a trace in JSON Lines, and an HTML page."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from latentseek_agents.cli.process import reason_of
from latentseek_agents.cli.questions import Question
from latentseek_agents.cli.search import Watcher
from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.text import one_line

if TYPE_CHECKING:
    from latentseek_agents.result import LatentSeekResult


class Trace(Watcher):
    """Appends each iteration and result to a file, and flushes each line: a killed run leaves its trace.

    Args:
        name: The file.

    Raises:
        InputError: It cannot be opened.
    """

    def __init__(self, name: str) -> None:
        with _writing("trace", name):
            self._file = open(name, "a", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self._index = 0

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @override
    def on_question(self, index: int, question: Question) -> None:
        self._index = index

    @override
    def on_iteration(self, event: dict[str, Any]) -> None:
        self._write(**event)

    @override
    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        self._write("latentseek_result", **result.to_dict(), reference=question.reference)

    @override
    def on_error(self, index: int, question: Question, error: Exception) -> None:
        self._write("latentseek_error", question=question.text, error=str(error))

    def _write(self, type: str, **values: Any) -> None:
        self._file.write(json.dumps({"type": type, "index": self._index, **values}) + "\n")
        self._file.flush()


class Page(Watcher):
    """Shows searches on an HTML page, which is written again as a whole after each.

    Args:
        name: The file.
        decode: Token ids to text.
        threshold: Score above which an attempt can pass.

    Raises:
        InputError: It cannot be written; known before the first search.
    """

    def __init__(self, name: str, decode: Callable[[list[int]], str], threshold: float) -> None:
        self._name = name
        self._decode = decode
        self._threshold = threshold
        self._results: list[dict[str, Any]] = []
        self._write()

    @override
    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        self._results.append(result.to_dict())
        self._write()

    def _write(self) -> None:
        from latentseek_agents._html import html_page

        page = html_page(self._results, self._decode, threshold=self._threshold)
        unfinished = f"{self._name}.making"
        with _writing("page", self._name):
            with open(unfinished, "w", encoding="utf-8", errors="replace") as file:
                file.write(page)
            os.replace(unfinished, self._name)


@contextmanager
def _writing(kind: str, name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write the {kind} {one_line(name)}: {reason_of(error)}") from None
