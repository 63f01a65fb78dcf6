"""A LangGraph server in a process of its own, as ``langgraph dev`` starts it, while a test needs it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

QUIET = {
    "LANGSMITH_TRACING": "false",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "HF_HUB_OFFLINE": "1",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def langgraph_server(config: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a server; it and all its children are gone afterwards.

    Args:
        config: Its ``langgraph.json``.
        folder: Where it is started, and keeps its threads and its log.
        environment: Variables besides those of this process.
    """
    port = free_port()
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
    command += ["--n-jobs-per-worker", "4", "--port", str(port), "--config", str(config)]
    with running(command, folder, environment, f"http://127.0.0.1:{port}"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(
    command: list[str], folder: Path, environment: Mapping[str, str], url: str
) -> "Iterator[subprocess.Popen[bytes]]":
    """A command that serves an address, from when it answers; killed with all its children in the end."""
    log = folder / "log.txt"
    with (
        pytest.MonkeyPatch.context() as patch,
        log.open("w") as output,
        subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **QUIET, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        patch.setenv("NO_PROXY", "127.0.0.1")
        try:
            _wait_until_ready(url, process, log)
            yield process
        finally:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + 180
    while time.monotonic() < give_up and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/ok", timeout=5) as answer:  # noqa: S310
                if json.load(answer)["ok"]:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")
