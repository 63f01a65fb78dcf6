"""``latentseek serve``: what it starts, what it refuses, and that it leaves nothing running."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from latentseek_agents.cli import app, serve
from latentseek_agents.cli.server_log import exceptions_in
from latentseek_agents.testing import tiny_model, tiny_tokenizer
from tests.support.langgraph_server import QUIET, free_port

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


class Stub:
    """Stands in for the server's process, and knows how it was started."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, ends_with: int | None = None, logs: str = ""
    ) -> None:
        self.returncode = ends_with
        self.logs = logs
        self.started: tuple[list[str], dict[str, Any]] | None = None
        self.signals: list[int] = []
        self.opened: list[str] = []
        monkeypatch.setattr(subprocess, "Popen", self)
        monkeypatch.setattr(serve, "_stop_on_termination", lambda: None)
        monkeypatch.setattr(webbrowser, "open", self.opened.append)
        if ends_with is None:
            monkeypatch.setattr(serve, "_wait_until_ready", lambda *_: None)

    def __call__(self, command: list[str], **options: Any) -> "Stub":
        self.started = (list(command), options)
        if self.returncode is not None:
            options["stdout"].write(self.logs)
            options["stdout"].flush()
        return self

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        self.signals.append(number)

    def wait(self, timeout: float | None = None) -> int:
        if timeout is None:
            raise KeyboardInterrupt  # what Ctrl-C does to one who waits
        self.returncode = 0
        return 0


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LATENTSEEK_CACHE", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["serve", *arguments])


def test_it_starts_the_server_opens_the_page_and_stops_with_ctrl_c(monkeypatch, cache):
    port = free_port()
    model = cache / "my model"
    model.mkdir()
    monkeypatch.chdir(cache)
    stub = Stub(monkeypatch)
    result = run("--model", "my model", "--model", "a/b", "--port", str(port), "--max-iterations", "3")
    assert result.exit_code == 0, result.output
    assert f"Ready: http://127.0.0.1:{port}/watch" in result.stdout
    assert stub.opened == [f"http://127.0.0.1:{port}/watch"]
    assert stub.signals == [signal.SIGINT]
    assert stub.started is not None
    command, options = stub.started
    assert command[1:4] == ["-m", "langgraph_cli", "dev"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert {"--no-browser", "--no-reload"} <= set(command)
    environment = options["env"]
    assert environment["LATENTSEEK_MODEL"] == f"{model},a/b"
    assert environment["LATENTSEEK_MAX_ITERATIONS"] == "3"
    assert environment["LATENTSEEK_LOOPBACK_ONLY"] == "1"
    assert environment["LANGGRAPH_NO_VERSION_CHECK"] == "true"
    folder = cache / "server" / str(port)
    assert options["cwd"] == folder
    written = json.loads((folder / "langgraph.json").read_text(encoding="utf-8"))
    assert written["http"] == {"app": "latentseek_agents.web.app:app", "cors": {"allow_origins": []}}
    assert set(written["graphs"]) == {"refine", "math_agent"}


def test_no_browser(monkeypatch, cache):
    stub = Stub(monkeypatch)
    assert run("--no-browser").exit_code == 0
    assert stub.opened == []


def test_variables_count_where_options_are_left_out(monkeypatch, cache):
    monkeypatch.setenv("LATENTSEEK_MODEL", "from/environment")
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    stub = Stub(monkeypatch)
    assert run("--no-browser").exit_code == 0
    assert stub.started is not None
    environment = stub.started[1]["env"]
    assert environment["LATENTSEEK_MODEL"] == "from/environment"
    assert environment["LANGSMITH_TRACING"] == "true"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])  # noqa: S104
def test_it_binds_to_this_machine_only(monkeypatch, cache, host):
    stub = Stub(monkeypatch)
    result = run("--host", host)
    assert result.exit_code == 2
    assert "can be reached from other machines" in result.stderr
    assert "ssh -L 2024:127.0.0.1:2024" in result.stderr
    assert stub.started is None


def test_without_the_extra_it_says_what_to_install(monkeypatch, cache):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "langgraph_api" else object())
    result = run()
    assert result.exit_code == 2
    assert "pip install 'langgraph-cli[inmem]" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "a,b"], "--model 'a,b': a name may hold no comma"),
        (["--model", " "], "not be empty"),
        (["--verifier", "oracle"], "LATENTSEEK_VERIFIER 'oracle'"),
        (["--dtype", "int4"], "LATENTSEEK_DTYPE='int4' is unknown"),
        (["--max-iterations", "-1"], "max_iterations=-1"),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(monkeypatch, cache, arguments, said):
    stub = Stub(monkeypatch)
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert stub.started is None


def test_a_port_that_is_taken(monkeypatch, cache):
    stub = Stub(monkeypatch)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run("--port", str(port), "--no-browser")
        assert refused.exit_code == 2
        assert f"port {port} of 127.0.0.1 cannot be used" in refused.stderr
        assert stub.started is None
        monkeypatch.setattr(serve, "_PORT", port)
        assert f"http://127.0.0.1:{port}/" not in run("--no-browser").stdout
        assert stub.started is not None


def test_a_server_that_does_not_start_without_a_traceback_is_said_with_the_end_of_its_log(monkeypatch, cache):
    Stub(monkeypatch, ends_with=3, logs="\x1b[31merror: the address is in use\x1b[0m\n")
    result = run("--no-browser")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: the address is in use\n")
    assert "the server did not start (code 3); the end of its log stands above" in result.stderr
    assert "server.log" in result.stderr


FRAMES = 'Traceback (most recent call last):\n  File "a.py", line 3, in load\n    ^^^^^\n'
CASCADE = f"""\
2026-11-28T18:58:20Z [info] Starting
2026-11-28T18:58:24Z [\x1b[31merror\x1b[0m] \x1b[1m{FRAMES}KeyError: 'refine'

The above exception was the direct cause of the following exception:

{FRAMES}latentseek_agents.errors.ConfigError: there is no graph 'refine'. Please check:
1. the name
\t- refine

During handling of the above exception, another exception occurred:

{FRAMES}errors.GraphLoadError: not loaded: there is no graph 'refine'. Please check: 1. the name - refine
 [uvicorn.error] api_variant=local_dev
2026-11-28T18:58:25Z [error] Application startup failed. Exiting.
"""
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "a.py", line 3, in load
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "b.py", line 4, in load
    | OSError: [Errno 28] No space left on device
    +------------------------------------
"""


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("2026-11-28 [info] Starting\n", []),
        (
            CASCADE,
            [
                "KeyError: 'refine'",
                "ConfigError: there is no graph 'refine'. Please check: 1. the name - refine",
            ],
        ),
        (
            GROUP,
            [
                "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
                "OSError: [Errno 28] No space left on device",
            ],
        ),
        (f"{FRAMES}KeyboardInterrupt\n", ["KeyboardInterrupt"]),
        (f"{FRAMES}", []),
        (f"{FRAMES}no exception at all\n", []),
    ],
)
def test_the_exceptions_in_a_log(log: str, found: list[str]):
    assert exceptions_in(log) == found


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        (CASCADE, ""),
        (
            f"{FRAMES}ModuleNotFoundError: No module named 'x'\n",
            "pip install -c constraints.txt -e '.[server]'",
        ),
        (
            f"{FRAMES}RuntimeError: Failed to load .langgraph_api/store.pckl\n",
            "move {folder}/.langgraph_api away",
        ),
    ],
)
def test_a_server_that_does_not_start_is_said_with_what_went_wrong_first(
    monkeypatch, cache, log: str, remedy: str
):
    Stub(monkeypatch, ends_with=3, logs=log)
    result = run("--no-browser", "--port", str(port := free_port()))
    assert result.exit_code == 2
    first = exceptions_in(log)[0]
    assert result.stderr.startswith(f"error: the server did not start (code 3): {first}")
    assert len(result.stderr.splitlines()) == 1, "no traceback"
    folder = cache / "server" / str(port)
    assert remedy.format(folder=folder) in result.stderr
    assert f"All of its log is in {folder / 'server.log'}" in result.stderr


def test_the_real_server_answers_this_machine_and_ends_with_its_command(tmp_path: Path):
    model = tmp_path / "model"
    tiny_model(max_position_embeddings=8192).save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    port = free_port()
    command = [sys.executable, "-c", "from latentseek_agents.cli import app; app()", "serve", "--no-browser"]
    command += ["--model", str(model), "--port", str(port), "--verifier", "steps"]
    environment = os.environ | QUIET | {"LATENTSEEK_CACHE": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"Starting {model} ...\n"
            assert process.stdout.readline() == f"Ready: {url}/watch\n"
            with urllib.request.urlopen(f"{url}/watch/settings", timeout=30) as answer:  # noqa: S310
                assert json.load(answer)["models"] == [{"name": str(model), "label": "model"}]
            foreign = urllib.request.Request(  # noqa: S310
                f"{url}/threads/search", data=b"{}", headers={"Origin": "https://a.b"}
            )
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(foreign, timeout=30)  # noqa: S310
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        try:
            urllib.request.urlopen(f"{url}/ok", timeout=1)  # noqa: S310
        except OSError:
            break
    else:
        pytest.fail("the server still answers")
