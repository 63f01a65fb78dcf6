"""What a person sees: every iteration while it happens, then the answer and what it cost."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text
from typing_extensions import override

from latentseek_agents.cli.search import Watcher
from latentseek_agents.evaluation.text import one_line, plain

if TYPE_CHECKING:
    from latentseek_agents.result import LatentSeekResult
    from latentseek_agents.verdict import Attempt

_INDENT = 11
_TAIL_TOKENS = 24
_REFRESH_SECONDS = 0.1
_SHOWN_LATENTS = 40


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console that prints text as it is: no markup, no emoji codes, no highlighted numbers."""
    return Console(markup=False, emoji=False, highlight=False, stderr=stderr, quiet=quiet)


def busy(console: Console, activity: str) -> AbstractContextManager[object]:
    """A spinner while something runs; nothing where there is no terminal or the console is quiet."""
    if console.quiet or not console.is_terminal:
        return nullcontext()
    return console.status(Text(activity, style="dim"))


def verdict_text(passed: bool | None) -> Text:
    """A verdict in one word."""
    if passed is None:
        return Text("not judged", style="yellow")
    return Text("passed", style="bold green") if passed else Text("refused", style="bold red")


class SearchDisplay(Watcher):
    """Shows the search for one answer while it happens.

    On a terminal the line at the bottom shows what is being written, and finished iterations stay above it.
    Elsewhere only finished iterations are printed, as plain text.

    Args:
        console: Where to print.
        decode: Token ids to text.
        max_iterations: The most refinements.
        show_text: Print the solution of every iteration, too.
    """

    def __init__(
        self,
        console: Console,
        decode: Callable[[Sequence[int]], str],
        max_iterations: int,
        *,
        show_text: bool = False,
    ) -> None:
        self.show_text = show_text
        self.console = console
        self.decode = decode
        self.max_iterations = max_iterations
        self._spinner = Spinner("dots")
        self._decoded_at = 0.0
        self._spent = 0.0
        self._start_iteration(0)
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
    def on_verify(self) -> None:
        self._verifying = True

    @override
    def on_iteration(self, event: dict[str, Any]) -> None:
        number = event["iteration"]
        line = Text.assemble(
            f"{number:>2} {_kind(event):<8}",
            verdict_text(event["passed"]),
            f"  score {event['score']:.3f}  answer ",
            (shown_answer(event["answer"]), "bold"),
            (f"  ({event['seconds'] - self._spent:.1f} s)", "dim"),
        )
        self._print(line)
        if self.show_text:
            self._print(Text(one_line(event["text"], 400) or "(empty)", style="italic"), indent=True)
        if event["reason"]:
            self._print(Text(one_line(event["reason"], 300)), indent=True)
        if event["finish_reason"] == "length":
            self._print(Text("cut off at the token limit", style="dim"), indent=True)
        if aimed := event.get("aimed_at"):
            self._print(aim_text(aimed), indent=True)
        elif event["latents"] and number > 0:
            # Bold and underlined where that can be seen, in brackets where it cannot.
            marks = ("", "") if self.console.is_terminal else ("[", "]")
            self._print(latents_text(event["latents"], event["changed"], marks), indent=True)
        self._spent = event["seconds"]
        self._start_iteration(number + 1)
        self._ended = event["stop_reason"] is not None

    def _start_iteration(self, number: int) -> None:
        self._iteration = number
        self._tokens: list[int] = []
        self._tail = ""
        self._verifying = self._ended = False
        self._began = time.monotonic()
        self._decoded_at = 0.0

    def _status(self) -> RenderableType:
        if self._ended:
            return Text()
        name = "draft" if self._iteration == 0 else f"refinement {self._iteration} of {self.max_iterations}"
        activity = "verifying" if self._verifying else f"{len(self._tokens)} tokens"
        seconds = time.monotonic() - self._began
        head = f"{name}: {activity}, {seconds:.0f} s"
        room = self.console.width - len(head) - 6
        # The end of the text is what is new.
        tail = self._tail[-room:] if room > 10 and not self._verifying else ""
        self._spinner.text = Text.assemble(head, ("  " + tail, "dim"), no_wrap=True, overflow="ellipsis")
        return self._spinner

    def _print(self, line: Text, *, indent: bool = False) -> None:
        shown: RenderableType = Padding(line, (0, 0, 0, _INDENT), expand=False) if indent else line
        self.console.print(shown, soft_wrap=not self.console.is_terminal and not indent)


def latents_text(latents: Sequence[str], changed: Sequence[int], marks: tuple[str, str] = ("", "")) -> Text:
    """The beginning of a solution, with the tokens that the refinement changed set off.

    Args:
        latents: The texts of the tokens at the latents.
        changed: Positions of those that differ from the attempt before.
        marks: What to put before and after a changed token.

    Example:
        >>> latents_text(["To", " find", " the"], [1], ("[", "]")).plain
        '1 of 3 latent tokens changed: To[ find] the'
    """
    text = Text()
    if not changed:
        return text.append(
            f"no token of the {len(latents)} latents changed: the same text again", style="dim"
        )
    text.append(f"{len(changed)} of {len(latents)} latent tokens changed: ", style="dim")
    moved = set(changed)
    # Start near the first change, or it may lie beyond what is shown.
    start = max(0, min(changed) - 8) if min(changed) >= _SHOWN_LATENTS else 0
    text.append("… " if start else "")
    shown = range(start, min(len(latents), start + _SHOWN_LATENTS))
    for is_changed, run in groupby(shown, key=moved.__contains__):
        tokens = plain("".join(latents[position] for position in run)).replace("\n", "⏎")
        if is_changed:
            text.append(f"{marks[0]}{tokens}{marks[1]}", style="bold underline yellow")
        else:
            text.append(tokens)
    text.append(" …" if len(latents) > start + _SHOWN_LATENTS else "")
    return text


def aim_text(aimed_at: dict[str, Any]) -> Text:
    """Where an attempt was aimed: what stood there before, and what was computed.

    Example:
        >>> aim_text({"stated": "35", "value": "36", "reached": True, "steps": 4}).plain
        'aimed at the first error: 35 became 36 (4 steps of its latents), all before it stays'
    """
    steps = aimed_at["steps"]
    how = f"{steps} step{'s' * (steps != 1)} of its latents" if aimed_at["reached"] else "forced"
    return Text.assemble(
        ("aimed at the first error: ", "dim"),
        one_line(aimed_at["stated"], 60),
        (" became ", "dim"),
        (one_line(aimed_at["value"], 60), "bold yellow"),
        (f" ({how}), all before it stays", "dim"),
    )


def _kind(event: dict[str, Any]) -> str:
    """How the attempt came about, in one word."""
    if not event["iteration"]:
        return "draft"
    if event.get("aimed_at"):
        return "aimed"
    return "refined" if event["latents"] else "sampled"


def votes_text(result: "LatentSeekResult") -> list[Text]:
    """A line for each answer that has votes: its weight, and who voted for it with what weight."""
    from latentseek_agents._shown import attempt_names, voter_names

    names = attempt_names(result.iterations)
    return [
        Text.assemble(
            (shown_answer(vote["answer"]), "bold"),
            f"  {vote['weight']:.2f}  ",
            (f"({', '.join(voter_names(vote, names))})", "dim"),
        )
        for vote in result.votes
    ]


def why_returned(result: "LatentSeekResult") -> str:
    """Which attempt is returned, and why the search ended, in one sentence."""
    from latentseek_agents._shown import returned_position, why_ended

    values = result.to_dict()
    chosen = result.iterations[returned_position(values)]
    kind = "refinement" if chosen.latent_token_ids or chosen.aimed_at else "sample"
    which = "the draft" if chosen.iteration == 0 else f"{kind} {chosen.iteration}"
    refinements = len(result.iterations) - 1
    ended = why_ended(values)
    if result.votes:
        return f"{which} is returned: {_elected(result, chosen)}; {ended}"
    if result.passed:
        return f"{which} is returned: the verifier accepts it"
    if not refinements:
        return f"{which} is returned: {ended}"
    equal = sum(
        attempt.score == chosen.score and attempt.passed == chosen.passed for attempt in result.iterations
    )
    best = f"its score is the best of {refinements + 1}" + (f", first of {equal} equal" if equal > 1 else "")
    return f"{which} is returned: {best}; {ended}"


def _elected(result: "LatentSeekResult", chosen: "Attempt") -> str:
    if chosen.text != result.text:
        return f"{shown_answer(result.answer)} won the vote, and we state it at its end"
    return "its answer won the vote"


def costs(result: "LatentSeekResult") -> str:
    """Tokens, forward passes and seconds, the policy's and the verifier's apart."""
    usage = result.usage
    return (
        f"policy {usage.policy_tokens} tokens, {usage.policy_forward_passes} forward passes, "
        f"{usage.policy_seconds:.1f} s; verifier {usage.verifier_tokens} tokens, "
        f"{usage.verifier_forward_passes} forward passes, {usage.verifier_seconds:.1f} s"
    )


def shown_answer(answer: str | None) -> str:
    """An answer, short enough for one line."""
    return "none" if answer is None else one_line(answer, 60)
