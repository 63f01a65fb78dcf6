"""How ``latentseek solve`` shows its work: live for people, JSON for programs, or the answers alone."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console
from rich.text import Text

from latentseek_agents.cli.display import SearchDisplay, make_console, print_labelled
from latentseek_agents.cli.process import say
from latentseek_agents.cli.questions import Question
from latentseek_agents.cli.search import Watcher
from latentseek_agents.cli.wording import (
    costs,
    returned_text,
    shown_answer,
    verdict_text,
    votes_text,
    without_repeats,
)
from latentseek_agents.evaluation.text import one_line, plain

if TYPE_CHECKING:
    from latentseek_agents.result import LatentSeekResult


@dataclass(frozen=True)
class OutputOptions:
    """What to print and to write."""

    trace: Annotated[
        str | None, typer.Option(metavar="FILE.jsonl", help="Append every iteration and result to this file.")
    ] = None
    html: Annotated[
        str | None, typer.Option(metavar="FILE.html", help="Show the searches on one self-contained page.")
    ] = None
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per question and nothing else.")
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the answers and nothing else.")] = False

    @property
    def is_live(self) -> bool:
        """Whether a person reads the output."""
        return not (self.as_json or self.quiet)


def make_output(
    options: OutputOptions,
    console: Console,
    total: int,
    decode: Callable[[Sequence[int]], str],
    max_iterations: int,
) -> Watcher:
    """What shows the searches.

    Args:
        options: Which style: live, JSON or the answers alone.
        console: Where the live styles print.
        total: How many questions there are.
        decode: Token ids to text.
        max_iterations: The most refinements of a search.
    """
    if not options.is_live:
        return _Lines(total, as_json=options.as_json)
    return _OneQuestion(console, decode, max_iterations) if total == 1 else _Table(console, total)


class _OneQuestion(SearchDisplay):
    """One question, followed iteration by iteration."""

    def on_question(self, index: int, question: Question) -> None:
        self.console.print()
        print_labelled(self.console, "Question", plain(question.text))
        self.console.print()

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        self.console.print()
        self.console.print(Text("Solution", style="dim"))
        self.console.print(Text(without_repeats(plain(result.text).strip()) or "(empty)"), soft_wrap=True)
        self.console.print()
        answer = (shown_answer(result.answer), "bold")
        print_labelled(self.console, "Answer", answer, "  ", verdict_text(result.passed))
        for number, line in enumerate(votes_text(result)):
            print_labelled(self.console, "" if number else "Votes", line)
        print_labelled(self.console, "Returned", returned_text(result))
        print_labelled(self.console, "Costs", costs(result))

    def on_error(self, index: int, question: Question, error: Exception) -> None:
        say(f"error: {question.place}: {error}")


class _Many(Watcher):
    """Many questions: a bar on a terminal counts them.

    Args:
        console: Where the bar is.
        total: How many questions.
        shown: Whether there is a bar.
    """

    def __init__(self, console: Console, total: int, *, shown: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = console
        self.total = total
        self.done = self.passed = self.errors = 0
        self.bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[counts]}", markup=False),
            TextColumn("{task.fields[note]}", markup=False, style="dim"),
            console=console,
            transient=True,
            # A bar on standard error must leave standard output to the answers.
            redirect_stdout=not console.stderr,
            disable=not shown,
        )
        self.task = self.bar.add_task("", total=total, note="", counts="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        self._count(verified=result.passed is True)

    def on_error(self, index: int, question: Question, error: Exception) -> None:
        self.errors += 1
        self._count(verified=False)

    def _count(self, *, verified: bool) -> None:
        self.done += 1
        self.passed += verified
        counts = f"{self.passed} verified, {self.done - self.passed} not"
        self.bar.update(self.task, advance=1, counts=counts, note="")


class _Lines(_Many):
    """A line on standard output per question; a person at a terminal sees a bar on standard error."""

    def __init__(self, total: int, *, as_json: bool) -> None:
        shown = total > 1 and sys.stderr.isatty() and not sys.stdout.isatty()
        super().__init__(make_console(stderr=True), total, shown=shown)
        self.as_json = as_json

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        if self.as_json:
            values = {"index": index, **result.to_dict(), "reference": question.reference}
            typer.echo(json.dumps(values))
        else:
            typer.echo(one_line(result.answer or "", 10_000))
            if result.answer is None:
                say(f"{question.place}: the solution states no final answer")
        super().on_result(index, question, result)

    def on_error(self, index: int, question: Question, error: Exception) -> None:
        say(f"error: {question.place}: {error}")
        values = {
            "index": index,
            "question": question.text,
            "error": str(error),
            "reference": question.reference,
        }
        typer.echo(json.dumps(values) if self.as_json else "")
        super().on_error(index, question, error)


class _Table(_Many):
    """A line for each question that is done."""

    def __init__(self, console: Console, total: int) -> None:
        super().__init__(console, total, shown=console.is_terminal)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        errors = f", {self.errors} with errors" if self.errors else ""
        left = f", {self.total - self.done} not reached" if self.done < self.total else ""
        self.console.print(f"{self.passed} of {self.total} verified{errors}{left}", soft_wrap=True)

    def on_iteration(self, event: dict[str, Any]) -> None:
        self.bar.update(self.task, note=f"attempt {event['iteration'] + 1}")

    def on_result(self, index: int, question: Question, result: "LatentSeekResult") -> None:
        count = len(result.iterations) - 1
        line = Text.assemble(
            f"{index + 1:>4}  ",
            verdict_text(result.passed),
            "  ",
            (shown_answer(result.answer), "bold"),
            (f"  {count + 1} attempt{'s' * (count > 0)}, {result.usage.seconds:.1f} s  ", "dim"),
            (one_line(question.text, 60), "dim"),
        )
        self.console.print(line, soft_wrap=True)
        super().on_result(index, question, result)

    def on_error(self, index: int, question: Question, error: Exception) -> None:
        line = Text.assemble(f"{index + 1:>4}  ", ("error", "bold red"), f"  {one_line(str(error), 300)}")
        self.console.print(line, soft_wrap=True)
        super().on_error(index, question, error)
