"""What a person sees: every attempt while it is made, with programs, verdicts and votes."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, RenderableType
from rich.text import Text
from typing_extensions import override

from latentseek_agents.cli.search import Watcher
from latentseek_agents.cli.wording import (
    Marks,
    aim_text,
    latents_text,
    program_text,
    programs_in,
    reason_text,
    shown_answer,
    solution_text,
    standing_text,
    verdict_text,
)
from latentseek_agents.evaluation.text import one_line

if TYPE_CHECKING:
    from latentseek_agents.tools.steps import StepReport

LABEL_WIDTH = 11
_TAIL_TOKENS = 24
_REFRESH_SECONDS = 0.1
_SHOWN_TEXT = 400


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console that prints text as it is: no markup, no emoji codes, no highlighted numbers."""
    return Console(markup=False, emoji=False, highlight=False, stderr=stderr, quiet=quiet)


def busy(console: Console, activity: str) -> AbstractContextManager[object]:
    """A spinner while something runs; nothing where there is no terminal or the console is quiet."""
    if console.quiet or not console.is_terminal:
        return nullcontext()
    return console.status(Text(activity, style="dim"))


def print_labelled(
    console: Console, label: str, *parts: str | Text | tuple[str, str], style: str = "dim"
) -> None:
    """A line with a label in front; on a terminal long lines go on below their beginning.

    Args:
        console: Where to.
        label: At most :data:`LABEL_WIDTH` characters.
        *parts: Texts, and texts with a style.
        style: Of the label.
    """
    line = Text.assemble(*parts)
    if not console.is_terminal:  # whoever reads it breaks lines as he likes
        console.print(Text.assemble((f"{label:<{LABEL_WIDTH}}", style), line), soft_wrap=True)
        return
    from rich.table import Table

    row = Table.grid()
    row.add_column(width=LABEL_WIDTH)
    row.add_column(overflow="fold")
    row.add_row(Text(label, style=style), line)
    console.print(row)


class SearchDisplay(Watcher):
    """Shows the search for one answer while it happens.

    On a terminal the line at the bottom shows what is being written, and finished attempts stay above it.
    Elsewhere only finished attempts are printed, as plain text.

    Args:
        console: Where to print.
        decode: Token ids to text.
        max_iterations: The most attempts after the draft.
        show_text: Print the text of every attempt, too.
    """

    def __init__(
        self,
        console: Console,
        decode: Callable[[Sequence[int]], str],
        max_iterations: int,
        *,
        show_text: bool = False,
    ) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        self.show_text = show_text
        self.console = console
        self.decode = decode
        self.max_iterations = max_iterations
        self._spinner = Spinner("dots")
        self._decoded_at = 0.0
        self._spent = self._preparing = 0.0
        self._start_attempt(0)
        self._live = Live(get_renderable=self._status, console=console, transient=True, refresh_per_second=10)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    @override
    def on_token(self, token: int) -> None:
        self._tokens.append(token)
        now = time.monotonic()
        if self._live.is_started and now - self._decoded_at > _REFRESH_SECONDS:
            self._decoded_at = now
            self._tail = one_line(self.decode(self._tokens[-_TAIL_TOKENS:]), longest=200)

    @override
    def on_prepare(self) -> None:
        self._activity = "writing a program for the question"
        self._preparing = time.monotonic()

    @override
    def on_prepared(self, value: Any) -> None:
        seconds = time.monotonic() - self._preparing
        self._spent += seconds
        for program in programs_in(value):
            took = (f"  {seconds:.1f} s", "dim")
            print_labelled(self.console, "program", program_text(program), took, style="bold")

    @override
    def on_verify(self) -> None:
        self._activity = "checking"

    @override
    def on_iteration(self, event: dict[str, Any]) -> None:
        from latentseek_agents._shown import attempt_name

        number = event["iteration"]
        print_labelled(
            self.console,
            attempt_name(number),
            verdict_text(event["passed"]),
            "  answer ",
            (shown_answer(event["answer"]), "bold"),
            f"  score {event['score']:.2f}  ",
            (f"{event['seconds'] - self._spent:.1f} s", "dim"),
            style="bold",
        )
        for line in self._details(event):
            print_labelled(self.console, "", line)
        if event["votes"] and (self.show_text or event["stop_reason"] is None):
            print_labelled(self.console, "votes", standing_text(event["votes"]))
        self._spent = event["seconds"]
        self._start_attempt(number + 1)
        self._ended = event["stop_reason"] is not None

    def _details(self, event: dict[str, Any]) -> list[Text]:
        """What there is to say of an attempt below its first line."""
        # Bold and underlined where that can be seen, in brackets where it cannot.
        marks: Marks = ("", "") if self.console.is_terminal else ("[", "]")
        lines = []
        report = self._report(event["text"])
        if self.show_text:
            lines.append(solution_text(event["text"], report, _SHOWN_TEXT, marks))
        for program in () if report is None else report.programs:
            said = one_line(program.reason, 160)
            lines.append(Text(f"its program prints {one_line(program.printed, 60) or 'nothing'}: {said}"))
        if event["reason"]:
            lines.append(Text(reason_text(event["reason"])))
        if event["finish_reason"] == "length":
            lines.append(Text("cut off at the token limit", style="dim"))
        if aimed := event.get("aimed_at"):
            lines.append(aim_text(aimed))
        elif event["latents"] and event["iteration"] > 0:
            lines.append(latents_text(event["latents"], event["changed"], marks))
        return lines

    def _report(self, text: str) -> "StepReport | None":
        """What the step checker says of a text, where that is shown."""
        if not self.show_text and "```" not in text:
            return None
        from latentseek_agents.tools.steps import check_steps

        return check_steps(text)

    def _start_attempt(self, number: int) -> None:
        self._number = number
        self._tokens: list[int] = []
        self._tail = self._activity = ""
        self._ended = False
        self._began = time.monotonic()
        self._decoded_at = 0.0

    def _status(self) -> RenderableType:
        if self._ended:
            return Text()
        name = f"attempt {self._number} of at most {self.max_iterations}" if self._number else "draft"
        activity = self._activity or f"{len(self._tokens)} tokens"
        seconds = time.monotonic() - self._began
        head = f"{name}: {activity}, {seconds:.0f} s"
        room = self.console.width - len(head) - 6
        # The end of the text is what is new.
        tail = self._tail[-room:] if room > 10 and not self._activity else ""
        self._spinner.text = Text.assemble(head, ("  " + tail, "dim"), no_wrap=True, overflow="ellipsis")
        return self._spinner
