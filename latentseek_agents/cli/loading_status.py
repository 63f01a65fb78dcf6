"""One line while a model is loaded, and downloaded first if need be, in place of the libraries' many bars."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from latentseek_agents.cli.cached_models import downloaded_bytes
from latentseek_agents.evaluation.text import one_line

_LOOK_SECONDS = 1.0


@contextmanager
def loading(console: Console, name: str) -> Iterator[None]:
    """A spinner while a model is loaded; of a download it tells how far it is.

    Args:
        console: Where to; nothing is shown where it is quiet or no terminal.
        name: What is loaded.
    """
    if console.quiet or not console.is_terminal:
        yield
        return
    from rich.live import Live
    from rich.spinner import Spinner

    download = Download(name)
    spinner = Spinner("dots")

    def line() -> Spinner:
        spinner.text = Text(f"loading {one_line(name, 60)}{download.progress()}", style="dim")
        return spinner

    with Live(get_renderable=line, console=console, transient=True, refresh_per_second=8):
        yield


class Download:
    """How much of a model has come since this was made.

    Args:
        name: A name on the Hugging Face Hub; of anything else nothing comes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._before = downloaded_bytes(name)
        self._came = 0
        self._looked_at = time.monotonic()

    def progress(self) -> str:
        """In words; "" if nothing has come. The disk is looked at once a second."""
        if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._came = downloaded_bytes(self.name) - self._before
        return f": {self._came / 10**6:,.0f} MB downloaded" if self._came > 0 else ""
