"""A headless Chromium for tests of the page, driven by Playwright.

Tests are skipped where there is none. With ``LATENTSEEK_REQUIRE_BROWSER=1``, as in ``.ci/run``, they fail
instead. ``LATENTSEEK_CHROMIUM`` names a Chromium that is not found by itself.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",  # tests may run as root, and open pages of their own server only
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@contextmanager
def chromium() -> Iterator[Any]:
    """A Playwright browser with a profile of its own."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        _miss(f"Playwright is not installed: {error}")
    path = os.environ.get("LATENTSEEK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        _miss("there is no Chromium; apt-get install chromium, or set LATENTSEEK_CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def _miss(reason: str) -> NoReturn:
    if os.environ.get("LATENTSEEK_REQUIRE_BROWSER") == "1":
        pytest.fail(f"LATENTSEEK_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)
