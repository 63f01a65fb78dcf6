"""``latentseek solve``: search for verified answers, one question or many."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from latentseek_agents.cli.display import make_console, print_labelled
from latentseek_agents.cli.files import Page, Trace
from latentseek_agents.cli.loading_status import loading
from latentseek_agents.cli.models import ModelOptions, load_backbone, make_verifier, print_chosen_format
from latentseek_agents.cli.options import option_groups
from latentseek_agents.cli.output import OutputOptions, make_output
from latentseek_agents.cli.process import BAD_INPUT, NOT_VERIFIED, command, fast_imports
from latentseek_agents.cli.questions import Question, read_questions
from latentseek_agents.cli.search import Watcher, make_search, search_all
from latentseek_agents.cli.settings import SolveOptions
from latentseek_agents.errors import InputError
from latentseek_agents.evaluation.text import one_line

_CHECKS = {
    "steps": "sums and programs of the text, computed again",
    "program": "a program that the model writes for the question",
    "self": "the model's own opinion, in words",
    "self_logprob": "the model's own opinion, as probabilities",
    "truth": "the known answer",
}
"""What each verifier looks at."""

if TYPE_CHECKING:
    from latentseek_agents.config import LatentSeekConfig
    from latentseek_agents.engine.backbone import Backbone


@command()
@option_groups
def solve(
    source: Annotated[
        str,
        typer.Argument(
            metavar="QUESTION|FILE.jsonl|-",
            help='A question, a file with a {"question": ...} per line, or - for standard input.',
        ),
    ],
    *,
    model: ModelOptions,
    verifier: Annotated[
        str,
        typer.Option(
            help="Comma-separated: steps (checks the arithmetic), program (the vote of a program that "
            "the model writes), self (the model judges in words), "
            "self_logprob (by its probabilities), truth (compares with the reference)."
        ),
    ] = "steps,program",
    reference: Annotated[str | None, typer.Option(help="The known answer to a single question.")] = None,
    search: SolveOptions,
    output: OutputOptions,
) -> None:
    """Answer a question, or many, and check the answers.

    Draft, verify, refine until the attempts agree; verified votes decide.

    Exit code: 0 all verified, 1 not, 2 bad input, 3 not enough memory.
    """
    if output.as_json and output.quiet:
        raise InputError("--json and --quiet exclude each other")
    with fast_imports():
        from latentseek_agents.tools.named import verifier_names
    names = verifier_names(verifier, setting="--verifier")
    questions = read_questions(source, reference)
    missing = [question.place for question in questions if question.reference is None]
    if "truth" in names and missing:
        raise InputError(f'the verifier "truth" compares with a reference, but {missing[0]} has none')
    config = search.config(model=model.model, reward="psrm" if names == ("truth",) else "self")
    if model.is_embedded and not search.sets_prompt:
        config = config.replace(prompt="example")
    verified, failed = _solve_all(questions, names, config, model, output)
    if failed or verified < len(questions):
        raise typer.Exit(BAD_INPUT if failed else NOT_VERIFIED)


def _solve_all(
    questions: Sequence[Question],
    names: Sequence[str],
    config: "LatentSeekConfig",
    model: ModelOptions,
    output: OutputOptions,
) -> tuple[int, int]:
    """Load the model and work on the questions; how many answers were verified, how many searches failed."""
    watchers: list[Watcher] = []
    with ExitStack() as stack:
        if output.trace is not None:
            watchers.append(stack.enter_context(Trace(output.trace)))
        console = make_console(quiet=not output.is_live)
        with loading(console, model.name):
            backbone = load_backbone(**asdict(model), fastest=True)
            verifier = make_verifier(names, backbone, config)
        _print_settings(console, backbone, names, config)
        print_chosen_format(console, model.dtype, backbone)
        if output.html is not None:
            decode = partial(backbone.decode, skip_special_tokens=False)
            watchers.append(Page(output.html, decode, config.reward_threshold))
        display = make_output(output, console, len(questions), backbone.decode, config.max_iterations)
        watchers.append(stack.enter_context(display))
        return search_all(questions, make_search(backbone, verifier, config, watchers), watchers)


def _print_settings(
    console: Console, backbone: "Backbone", names: Sequence[str], config: "LatentSeekConfig"
) -> None:
    """What will happen, before it does."""
    proposals = (
        f"attempts from {config.latents} latents (rate {config.learning_rate}, fraction {config.fraction})"
    )
    if config.proposals == "samples":
        proposals = f"samples at temperature {config.sample_temperature}"
    until = "one passes"
    if config.acceptance == "agreement":
        until = f"they agree (confidence {config.confidence})"
    plan = (
        f"a greedy draft, then at most {config.max_iterations} {proposals} until {until}; "
        f"at most {config.max_new_tokens} tokens each"
    )
    about = f"{one_line(backbone.name)} ({backbone.number_format}, {backbone.device})"
    checks = ", ".join(f"{name} ({_CHECKS[name]})" for name in names)
    if config.prompt == "example":
        plan += "; a solved question first"
    for label, line in (("Model", about), ("Search", plan), ("Checks", checks)):
        print_labelled(console, label, (line, "dim"))
