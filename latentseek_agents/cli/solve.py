"""``latentseek solve``: search for verified answers, one question or many."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from latentseek_agents.cli.models import EMBEDDED, load_backbone, make_verifier, verifier_names
from latentseek_agents.cli.process import BAD_INPUT, NOT_VERIFIED, command, fast_imports
from latentseek_agents.cli.questions import Question, read_questions
from latentseek_agents.cli.settings import (
    MAX_ITERATIONS_HELP,
    MAX_NEW_TOKENS_HELP,
    PRESET_HELP,
    SET_HELP,
    search_config,
)
from latentseek_agents.cli.text import one_line
from latentseek_agents.errors import InputError, LatentSeekError

if TYPE_CHECKING:
    from latentseek_agents.cli.report import Report
    from latentseek_agents.config import LatentSeekConfig
    from latentseek_agents.engine.backbone import Backbone
    from latentseek_agents.runnable import LatentSeekResult
    from latentseek_agents.verdict import Verdict, Verifier

__all__ = ["Listener", "make_search", "solve"]


@command()
def solve(  # noqa: PLR0917 - Typer reads the options from the signature
    source: Annotated[
        str,
        typer.Argument(
            metavar="QUESTION|FILE.jsonl|-",
            help='A question, a file with a {"question": ...} per line, or - for standard input.',
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help=f"Hugging Face name, folder or GGUF file. [default: {EMBEDDED}]"),
    ] = None,
    gguf_file: Annotated[str | None, typer.Option(help="GGUF file, within --model or by itself.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="For example cpu or cuda.")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = False,
    verifier: Annotated[
        str,
        typer.Option(
            help="Comma-separated: steps (checks the arithmetic), self (the model judges in words), "
            "self_logprob (by its probabilities), truth (compares with the reference)."
        ),
    ] = "steps",
    reference: Annotated[str | None, typer.Option(help="The known answer to a single question.")] = None,
    max_iterations: Annotated[int | None, typer.Option(help=MAX_ITERATIONS_HELP)] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help=MAX_NEW_TOKENS_HELP)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Step length of the latents. [default: 0.03]")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Share of the draft's tokens that become latents. [default: 0.1]")
    ] = None,
    latents: Annotated[
        str | None,
        typer.Option(help="independent (the paper's) or consistent (stays fluent). [default: independent]"),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="How to ask for the answer: boxed (\\boxed{}) or json. [default: boxed]"),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="[MODEL:]DATASET", help=PRESET_HELP),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help=SET_HELP),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Wall-clock budget of one question.")] = None,
    trace: Annotated[
        str | None, typer.Option(metavar="FILE.jsonl", help="Append every iteration and result to this file.")
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(metavar="FILE.html", help="Show the searches on one self-contained page."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per question and nothing else.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the answers and nothing else.")] = False,
) -> None:
    """Answer a question, or many, and check the answers.

    Draft, verify, refine until the verifier passes.

    Exit code: 0 all verified, 1 not, 2 bad input, 3 not enough memory.
    """
    if as_json and quiet:
        raise InputError("--json and --quiet exclude each other")
    names = verifier_names(verifier)
    questions = read_questions(source, reference)
    missing = [question.place for question in questions if question.reference is None]
    if "truth" in names and missing:
        raise InputError(f'the verifier "truth" compares with a reference, but {missing[0]} has none')
    with fast_imports():
        config = search_config(
            {
                "max_iterations": max_iterations,
                "max_new_tokens": max_new_tokens,
                "learning_rate": learning_rate,
                "fraction": fraction,
                "latents": latents,
                "prompt": prompt,
                "seed": seed,
                "max_seconds": max_seconds,
            },
            settings=setting or (),
            preset=preset,
            model=model,
            reward="psrm" if names == ("truth",) else "self",
        )
    style: Literal["json", "quiet", "live"] = "json" if as_json else "quiet" if quiet else "live"
    with ExitStack() as stack:
        trace_file = None if trace is None else stack.enter_context(_open_trace(trace))

        from latentseek_agents.cli.report import make_report

        report = make_report(style, questions)
        with report.loading(model or gguf_file or EMBEDDED):
            backbone = load_backbone(
                model, gguf_file=gguf_file, dtype=dtype, device=device, trust_remote_code=trust_remote_code
            )
            judge = make_verifier(names, backbone)
        report.start(backbone, " + ".join(names), config)
        page = None if html is None else _Page(html, backbone, config)
        code = _solve_all(questions, backbone, judge, config, report, trace_file, page)
    if code:
        raise typer.Exit(code)


class Listener:
    """What wants to know how a search goes on; does nothing by itself."""

    def on_token(self, token: int) -> None:
        """Take a token that the policy wrote."""

    def on_verify(self) -> None:
        """Take notice that the verifier begins."""

    def on_iteration(self, event: dict[str, Any]) -> None:
        """Take the event of a finished iteration."""


def make_search(
    backbone: "Backbone", verifier: "Verifier", config: "LatentSeekConfig", listeners: Sequence[Any]
) -> "Callable[[Question], LatentSeekResult]":
    """A search that tells its listeners what happens.

    Args:
        backbone: The policy.
        verifier: The reward.
        config: Settings.
        listeners: Objects with the methods of :class:`Listener`.
    """
    with fast_imports():
        from langchain_core.callbacks import BaseCallbackHandler

        from latentseek_agents.runnable import LatentSeek

    class Relay(BaseCallbackHandler):
        # In this thread and in order, and an error must not vanish in a log.
        run_inline = True
        raise_error = True

        def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            if name == "latentseek_iteration":
                for listener in listeners:
                    listener.on_iteration(data)

    def on_token(token: int) -> None:
        for listener in listeners:
            listener.on_token(token)

    def judge(question: str, solution: str, *, reference: str | None = None) -> "Verdict":
        for listener in listeners:
            listener.on_verify()
        return verifier(question, solution, reference=reference)

    seek = LatentSeek(backbone, verifier=judge, config=config, on_token=on_token)

    def search(question: Question) -> "LatentSeekResult":
        return seek.invoke(
            {"question": question.text, "reference": question.reference}, {"callbacks": [Relay()]}
        )

    return search


def _solve_all(
    questions: Sequence[Question],
    backbone: "Backbone",
    verifier: "Verifier",
    config: "LatentSeekConfig",
    report: "Report",
    trace_file: TextIO | None,
    page: "_Page | None",
) -> int:
    tracer = _Tracer(trace_file)
    search = make_search(backbone, verifier, config, [report, tracer])
    verified = failed = 0
    with report:
        for index, question in enumerate(questions):
            tracer.index = index
            report.on_question(index, question)
            try:
                result = search(question)
            except LatentSeekError as error:
                # One question that cannot be worked on must not cost the answers to the others.
                failed += 1
                tracer.write("latentseek_error", question=question.text, error=str(error))
                report.on_error(index, question, error)
                continue
            verified += result.passed is True
            tracer.write("latentseek_result", **result.to_dict(), reference=question.reference)
            if page is not None:
                page.add(result)
            report.on_result(index, question, result)
    if failed:
        return BAD_INPUT
    return 0 if verified == len(questions) else NOT_VERIFIED


class _Page:
    """Searches on an HTML page, which is written again, whole, after every question."""

    def __init__(self, name: str, backbone: "Backbone", config: "LatentSeekConfig") -> None:
        self._name = name
        self._backbone = backbone
        self._threshold = config.reward_threshold
        self._results: list[LatentSeekResult] = []
        self._write()  # a file that cannot be written is better known before the work than after it

    def add(self, result: "LatentSeekResult") -> None:
        """Show one more search."""
        self._results.append(result)
        self._write()

    def _write(self) -> None:
        from latentseek_agents._html import html_page

        page = html_page([result.to_dict() for result in self._results], self._decode, threshold=self._threshold)
        making = f"{self._name}.making"
        try:
            with open(making, "w", encoding="utf-8", errors="replace") as file:
                file.write(page)
            os.replace(making, self._name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot write the page {one_line(self._name)}: {reason}") from None

    def _decode(self, token_ids: list[int]) -> str:
        return self._backbone.decode(token_ids, skip_special_tokens=False)


class _Tracer(Listener):
    """Writes what happens as JSON Lines; every line is flushed, so that a killed run leaves its trace."""

    def __init__(self, file: TextIO | None) -> None:
        self.file = file
        self.index = 0

    def on_iteration(self, event: dict[str, Any]) -> None:
        self.write(**event)

    def write(self, type: str, **values: Any) -> None:
        if self.file is not None:
            self.file.write(json.dumps({"type": type, "index": self.index, **values}) + "\n")
            self.file.flush()


def _open_trace(name: str) -> TextIO:
    try:
        return open(name, "a", encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot write the trace {one_line(name)}: {reason}") from None
