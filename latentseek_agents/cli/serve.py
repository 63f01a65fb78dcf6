"""``latentseek serve``: start ``langgraph dev`` with sensible settings, and open the page."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from latentseek_agents.cli.options import option_groups
from latentseek_agents.cli.process import command, fast_imports
from latentseek_agents.cli.server_log import exceptions_in
from latentseek_agents.errors import ConfigError, InputError
from latentseek_agents.evaluation.text import one_line, plain

__all__ = ["ServedOptions", "serve"]

_PORT = 2024
_SEARCHES_AT_ONCE = 4
_SECONDS_TO_START = 120
_SECONDS_TO_STOP = 10
_LINES_OF_LOG = 15
_MOST_EXCEPTIONS = 3
_THREADS = ".langgraph_api"  # the server's own folder for them
_ENVIRONMENT = {
    "LATENTSEEK_LOOPBACK_ONLY": "1",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
}
_DEFAULTS = {
    "LANGSMITH_TRACING": "false",  # who has set it wants traces
    "OMP_WAIT_POLICY": "PASSIVE",
    "TRANSFORMERS_VERBOSITY": "error",
}
_GRAPHS = ("refine", "math_agent")


@dataclass(frozen=True)
class ServedOptions:
    """What is served: each has a variable ``LATENTSEEK_...`` that counts where the option is left out."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Hugging Face name, folder or GGUF file; may be repeated, and the page chooses among "
            "them. Each is loaded by its first question. [default: SmolLM2-135M-Instruct]"
        ),
    ] = None
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; int8 on a CPU.")] = None
    engine: Annotated[
        str | None, typer.Option(help="What writes the tokens: own or vllm.", show_default="own")
    ] = None
    vllm_args: Annotated[str | None, typer.Option(help="Arguments of vLLM's engine.", metavar="JSON")] = None
    verifier: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: steps, program, self, self_logprob.", show_default="steps,program"
        ),
    ] = None
    max_iterations: Annotated[
        int | None, typer.Option(help="Most attempts after the draft; the page may ask for others.")
    ] = None
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Most tokens of one solution; the page may ask for others.")
    ] = None

    def environment(self) -> dict[str, str]:
        """The variables that say the same.

        Raises:
            ConfigError: A model's name cannot be told from the next one.

        Example:
            >>> ServedOptions(model=["a/b", "c"], max_iterations=3).environment()
            {'LATENTSEEK_MODEL': 'a/b,c', 'LATENTSEEK_MAX_ITERATIONS': '3'}
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.model:
            if odd := [name for name in self.model if "," in name or not name.strip()]:
                raise ConfigError(
                    f"--model {odd[0]!r}: a name may hold no comma and not be empty; name each model with a "
                    "--model of its own, and rename a folder with a comma in its name"
                )
            values["model"] = ",".join(self.model)
        return {
            f"LATENTSEEK_{name.upper()}": str(value) for name, value in values.items() if value is not None
        }


@command()
@option_groups
def serve(
    *,
    served: ServedOptions,
    host: Annotated[str, typer.Option(help="A loopback address: 127.0.0.1, ::1 or localhost.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help=f"[default: {_PORT}, or a free one if that is taken]", min=1, max=65535),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what the server logs.")] = False,
) -> None:
    """Serve a page to ask questions and watch the searches, and LangGraph's API beside it.

    It answers this machine only. Ctrl-C stops it; threads are kept for the next time, one set per port.

    Exit code: 0 if it was stopped, 2 if it could not be started.
    """
    _require_server()
    with fast_imports():
        from latentseek_agents.engine.local_files import cache_folder
        from latentseek_agents.graphs.app import Server
        from latentseek_agents.web.guard import is_loopback
    if not is_loopback(host):
        raise InputError(
            f"--host {one_line(host)} can be reached from other machines, and whoever reaches the server can "
            "use its models; take 127.0.0.1, and from elsewhere a tunnel: "
            f"ssh -L {port or _PORT}:127.0.0.1:{port or _PORT} this-machine"
        )
    environment = {**_DEFAULTS, **os.environ, **served.environment(), **_ENVIRONMENT}
    models = Server.from_environment(environment).models  # refused here rather than in the server's log
    if environment.get("LATENTSEEK_MODEL"):
        environment["LATENTSEEK_MODEL"] = ",".join(map(_from_anywhere, models))
    port = _port(host, port)
    folder = cache_folder() / "server" / str(port)
    _write_configuration(folder)
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    typer.echo(f"Starting {', '.join(models)} ...")
    log = None if verbose else folder / "server.log"
    with _running(_command(host, port), folder, environment, log) as process:
        _wait_until_ready(address, process, log)
        typer.echo(f"Ready: {address}/watch\nLangGraph's API is at {address}. Ctrl-C stops both.")
        if not no_browser:
            webbrowser.open(f"{address}/watch")
        process.wait()
        _fail(f"the server has ended with code {process.returncode}", log)


@contextmanager
def _running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path | None
) -> "Iterator[subprocess.Popen[bytes]]":
    """The server's process, which ends with the block; Ctrl-C and SIGTERM end the block.

    Args:
        command: What to run.
        folder: Where, and so where it keeps its threads.
        environment: All of its variables.
        log: Where its output goes; None is the terminal.
    """
    with ExitStack() as stack:
        # A file rather than the terminal, so that the address stays in sight.
        output = None if log is None else stack.enter_context(log.open("w", encoding="utf-8"))
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=folder, env=environment, stdout=output, stderr=output
        )
        _stop_on_termination()
        try:
            yield process
        except KeyboardInterrupt:
            typer.echo("Stopped.")
        finally:
            _stop(process)


def _require_server() -> None:
    if missing := [name for name in ("langgraph_cli", "langgraph_api") if find_spec(name) is None]:
        raise InputError(
            f"the server is not installed ({missing[0]} is missing): "
            "pip install 'langgraph-cli[inmem]>=0.4.40,<1', or this package with its extra 'server', "
            "in a checkout: pip install -c constraints.txt -e '.[server]'"
        )


def _from_anywhere(model: str) -> str:
    """A model's name; of a file or folder its whole path, since the server runs in a folder of its own."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.exists() else model


def _port(host: str, wanted: int | None) -> int:
    """The port that was asked for; else the usual one, or a free one where that is taken.

    Raises:
        InputError: The port that was asked for is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (_PORT, 0) if wanted is None else (wanted,):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                reason = error.strerror or str(error)
                continue
            return int(probe.getsockname()[1])
    raise InputError(
        f"port {wanted or _PORT} of {host} cannot be used ({reason}); stop what uses it, name another one, "
        "or leave --port out"
    )


def _write_configuration(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {name: f"latentseek_agents.graphs.app:{name}" for name in _GRAPHS}
    # No page of another site may read answers; the page itself is of the same origin.
    http = {"app": "latentseek_agents.web.app:app", "cors": {"allow_origins": []}}
    content = json.dumps({"dependencies": ["."], "graphs": graphs, "http": http}, indent=2)
    (folder / "langgraph.json").write_text(content, encoding="utf-8")


def _command(host: str, port: int) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"),
        *("--host", host, "--port", str(port), "--n-jobs-per-worker", str(_SEARCHES_AT_ONCE)),
    )


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path | None) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < give_up:
        if process.poll() is not None:
            _fail_to_start(process.returncode, log)
        with suppress(OSError), opener.open(f"{address}/ok", timeout=5):
            return
        time.sleep(0.1)
    _fail(f"the server did not answer within {_SECONDS_TO_START} s", log)


def _fail_to_start(code: int, log: Path | None) -> NoReturn:
    """Raise an error that says what went wrong first, and what to do about it.

    What follows a first exception is as a rule its consequence, and stands at the end of the log.
    """
    reason = f"the server did not start (code {code})"
    exceptions = [] if log is None else exceptions_in(log.read_text(encoding="utf-8", errors="replace"))
    if log is None or not exceptions:
        _fail(reason, log)
    said = "; then ".join(exceptions[:_MOST_EXCEPTIONS])
    raise InputError(f"{reason}: {said}. {_remedy(said, log.parent)}All of its log is in {log}")


def _remedy(said: str, folder: Path) -> str:
    """What to do about exceptions that do not say it themselves, as a sentence; "" for all others."""
    if _THREADS in said:
        return (
            f"The threads of earlier searches cannot be read; move {folder / _THREADS} away and start again, "
            "without them. "
        )
    if said.startswith(("ModuleNotFoundError", "ImportError")):
        return (
            "A package is missing or of a version that does not fit; install the extra 'server' again, in a "
            "checkout: pip install -c constraints.txt -e '.[server]'. "
        )
    return ""


def _fail(reason: str, log: Path | None) -> NoReturn:
    """Raise an error with the end of the server's log, if that was not shown."""
    if log is None:
        raise InputError(f"{reason}; what it logged stands above")
    lines = plain(log.read_text(encoding="utf-8", errors="replace")).splitlines()[-_LINES_OF_LOG:]
    typer.echo("\n".join(lines), err=True)
    raise InputError(f"{reason}; the end of its log stands above, all of it is in {log}")


def _stop_on_termination() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server; it is asked first, so that it can write its threads down."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_SECONDS_TO_STOP)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()
