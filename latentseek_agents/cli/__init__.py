"""The command line: ``latentseek solve``, ``serve``, ``verify``, ``demo``, ``doctor``, ``eval``, ``report``.

Nothing here imports torch until a command needs a model, so that ``latentseek --help`` answers at once.
"""

from typing import Annotated

import typer

from latentseek_agents.cli.demo import demo as demo_command
from latentseek_agents.cli.doctor import doctor as doctor_command
from latentseek_agents.cli.evaluate import evaluate as evaluate_command
from latentseek_agents.cli.report_command import report as report_command
from latentseek_agents.cli.serve import serve as serve_command
from latentseek_agents.cli.solve import solve as solve_command
from latentseek_agents.cli.verify import verify as verify_command

__all__ = ["app"]

app = typer.Typer(
    name="latentseek",
    help="Test-time reasoning for local language models: draft, verify, refine the latents, answer.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(solve_command)
app.command()(serve_command)
app.command()(verify_command)
app.command()(demo_command)
app.command()(doctor_command)
app.command("eval")(evaluate_command)
app.command()(report_command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"latentseek-agents {version('latentseek-agents')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Test-time reasoning for local language models: draft, verify, refine the latents, answer."""
