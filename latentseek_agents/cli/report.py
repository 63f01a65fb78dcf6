"""How ``latentseek solve`` reports: live for people, JSON for programs, or the answers alone."""

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from latentseek_agents.cli.display import (
    SearchDisplay,
    busy,
    costs,
    make_console,
    shown_answer,
    verdict_text,
    why_returned,
)
from latentseek_agents.cli.process import say
from latentseek_agents.cli.questions import Question
from latentseek_agents.cli.text import one_line, plain

if TYPE_CHECKING:
    from latentseek_agents.config import LatentSeekConfig
    from latentseek_agents.engine.backbone import Backbone
    from latentseek_agents.runnable import LatentSeekResult

__all__ = ["Report", "make_report"]


class Report:
    """Takes what happens and says nothing but errors; the kinds of report build on it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the report, also after an error."""

    def loading(self, model: str) -> AbstractContextManager[None]:
        """Be busy while the model is loaded."""
        return nullcontext()

    def start(self, backbone: "Backbone", verifier: str, config: "LatentSeekConfig") -> None:
        """Take the settings."""

    def on_question(self, index: int, question: Question) -> None:
        """Take the next question."""

    def on_token(self, token: int) -> None:
        """Take a token that the policy wrote."""

    def on_verify(self) -> None:
        """Take notice that the verifier begins."""

    def on_iteration(self, event: dict[str, Any]) -> None:
        """Take the event of a finished iteration."""

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        """Take a result."""

    def on_error(self, index: int, question: Question, error: Exception) -> None:
        """Take the error of a question that could not be worked on."""
        say(f"error: {question.place}: {error}")


def make_report(style: Literal["json", "quiet", "live"], questions: Sequence[Question]) -> Report:
    """The report for a style and a number of questions."""
    if style == "live":
        return _LiveReport() if len(questions) == 1 else _TableReport(make_console(), len(questions))
    # Standard output belongs to the answers; whoever waits at a terminal sees the progress beside it.
    watched = len(questions) > 1 and sys.stderr.isatty() and not sys.stdout.isatty()
    progress = _Counter(make_console(stderr=True), len(questions)) if watched else None
    return _LinesReport(style == "json", progress)


class _LinesReport(Report):
    """One line on standard output per question: JSON, or the answer alone."""

    def __init__(self, as_json: bool, counter: "_Counter | None") -> None:
        self.as_json = as_json
        self.counter = counter

    def __enter__(self) -> Self:
        if self.counter is not None:
            self.counter.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.counter is not None:
            self.counter.stop()

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        if self.as_json:
            self._line({"index": index, **result.to_dict(), "reference": question.reference})
        else:
            typer.echo(one_line(result.answer or "", 10_000))
            if result.answer is None:
                say(f"{question.place}: the solution states no final answer")
        self._count(result.passed)

    def on_error(self, index: int, question: Question, error: Exception) -> None:
        super().on_error(index, question, error)
        if self.as_json:
            self._line(
                {
                    "index": index,
                    "question": question.text,
                    "error": str(error),
                    "reference": question.reference,
                }
            )
        else:
            typer.echo("")
        self._count(None)

    def _line(self, values: dict[str, Any]) -> None:
        typer.echo(json.dumps(values))

    def _count(self, passed: bool | None) -> None:
        if self.counter is not None:
            self.counter.count(passed)


class _LiveReport(Report):
    """One question, followed iteration by iteration."""

    def __init__(self) -> None:
        self.console = make_console()
        self.display: SearchDisplay | None = None

    def loading(self, model: str) -> AbstractContextManager[None]:
        return busy(self.console, f"loading {one_line(model)}")

    def start(self, backbone: "Backbone", verifier: str, config: "LatentSeekConfig") -> None:
        _print_settings(self.console, backbone, verifier, config)
        self.display = SearchDisplay(self.console, backbone.decode, config.max_iterations)

    def on_question(self, index: int, question: Question) -> None:
        self.console.print(Text.assemble(("Question  ", "dim"), plain(question.text)), soft_wrap=True)
        if self.display is not None:
            self.display.__enter__()

    def __exit__(self, *_: object) -> None:
        if self.display is not None:
            self.display.__exit__()

    def on_token(self, token: int) -> None:
        if self.display is not None:
            self.display.on_token(token)

    def on_verify(self) -> None:
        if self.display is not None:
            self.display.on_verify()

    def on_iteration(self, event: dict[str, Any]) -> None:
        if self.display is not None:
            self.display.on_iteration(event)

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        self.__exit__()
        self.console.print()
        self.console.print(Text("Solution", style="dim"))
        self.console.print(Text(plain(result.text).strip() or "(empty)"), soft_wrap=True)
        self.console.print()
        answer = Text.assemble(("Answer    ", "dim"), (shown_answer(result.answer), "bold"), "  ")
        answer.append_text(verdict_text(result.passed))
        self.console.print(answer, soft_wrap=True)
        self.console.print(Text.assemble(("Returned  ", "dim"), why_returned(result)), soft_wrap=True)
        self.console.print(Text.assemble(("Costs     ", "dim"), costs(result)), soft_wrap=True)


class _TableReport(Report):
    """Many questions: a line for each that is done, and a bar with counts."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.counter = _Counter(console, total)
        self.iteration = 0
        self.tokens = 0

    def __enter__(self) -> Self:
        self.counter.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.counter.stop()
        self.console.print(self.counter.summary(), soft_wrap=True)

    def loading(self, model: str) -> AbstractContextManager[None]:
        return busy(self.console, f"loading {one_line(model)}")

    def start(self, backbone: "Backbone", verifier: str, config: "LatentSeekConfig") -> None:
        _print_settings(self.console, backbone, verifier, config)

    def on_question(self, index: int, question: Question) -> None:
        self.iteration = self.tokens = 0
        self.counter.note("draft")

    def on_token(self, token: int) -> None:
        self.tokens += 1
        name = f"refinement {self.iteration}" if self.iteration else "draft"
        self.counter.note(f"{name}, {self.tokens} tokens")

    def on_verify(self) -> None:
        self.counter.note("verifying")

    def on_iteration(self, event: dict[str, Any]) -> None:
        self.iteration, self.tokens = event["iteration"] + 1, 0

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        line = Text(f"{index + 1:>4}  ")
        line.append_text(verdict_text(result.passed)).append("  ")
        line.append(shown_answer(result.answer), style="bold")
        made = len(result.iterations) - 1
        line.append(f"  {made} refinement{'s' * (made != 1)}, {result.usage.seconds:.1f} s  ", style="dim")
        line.append(one_line(question.text, 60), style="dim")
        self.console.print(line, soft_wrap=True)
        self.counter.count(result.passed)

    def on_error(self, index: int, question: Question, error: Exception) -> None:
        line = Text.assemble(f"{index + 1:>4}  ", ("error", "bold red"), f"  {one_line(str(error), 300)}")
        self.console.print(line, soft_wrap=True)
        self.counter.errors += 1
        self.counter.count(None)


class _Counter:
    """A progress bar with counts; silent where nobody watches."""

    def __init__(self, console: Console, total: int) -> None:
        self.total = total
        self.done = self.passed = self.errors = 0
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            self._progress = Progress(
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[counts]}", markup=False),
                TextColumn("{task.fields[note]}", markup=False, style="dim"),
                console=console,
                transient=True,
            )
            self._task = self._progress.add_task("", total=total, note="", counts="")

    def start(self) -> None:
        if self._progress is not None:
            self._progress.start()

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def note(self, note: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, note=note)

    def count(self, passed: bool | None) -> None:
        self.done += 1
        self.passed += passed is True
        if self._progress is not None and self._task is not None:
            counts = f"{self.passed} verified, {self.done - self.passed} not"
            self._progress.update(self._task, advance=1, counts=counts, note="")

    def summary(self) -> str:
        errors = f", {self.errors} with errors" if self.errors else ""
        left = f", {self.total - self.done} not reached" if self.done < self.total else ""
        return f"{self.passed} of {self.total} verified{errors}{left}"


def _print_settings(
    console: Console, backbone: "Backbone", verifier: str, config: "LatentSeekConfig"
) -> None:
    dtype = str(backbone.dtype).removeprefix("torch.")
    settings = (
        f"{one_line(backbone.name)} ({dtype}, {backbone.device}) · verifier {verifier} · "
        f"{config.latents} latents, rate {config.learning_rate}, fraction {config.fraction} · "
        f"at most {config.max_iterations} refinements of {config.max_new_tokens} tokens"
    )
    console.print(Text(settings, style="dim"), soft_wrap=True)
