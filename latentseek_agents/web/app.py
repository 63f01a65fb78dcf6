"""The page to watch a search, as custom routes of a LangGraph server; ``langgraph.json`` names ``app``.

========================  ===================================================================
``GET /watch``            The page. ``/watch?thread=ID`` shows a thread of the server.
``GET /watch/NAME``       Its style, scripts and icon.
``GET /watch/settings``   Which models are served, and the settings that a run has by default.
``POST /watch/view``      The values of a thread as the page shows them, see ``_view.py``.
========================  ===================================================================

The page asks LangGraph's API for everything else: it creates a thread, streams a run of ``refine`` with
``stream_text`` in its context, and cancels it. Its addresses are relative to its own, so that the server may
have a path in front of them. It may load nothing that the server does not serve, and no text becomes markup:
the browser refuses scripts in markup, and markup from strings (``require-trusted-types-for``).

With ``LATENTSEEK_LOOPBACK_ONLY=1``, which ``latentseek serve`` sets, all requests from other sites' pages are
refused, those to LangGraph's API included.
"""

import json
import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from latentseek_agents._view import search_view
from latentseek_agents.graphs.app import Server
from latentseek_agents.graphs.app import server as served
from latentseek_agents.tools.steps import check_steps
from latentseek_agents.web.guard import LoopbackOnly

__all__ = ["LONGEST_QUESTION", "app", "create_app"]

LONGEST_QUESTION = 20_000
"""Most characters of a question that the page sends, as many as the step checks read of a solution."""

_LARGEST_STATE = 16 * 2**20
_TYPES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "render.js": "text/javascript",
    "server.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

# The same attempts are shown again with every iteration.
_checked = lru_cache(maxsize=256)(check_steps)


def create_app(server: Server, *, loopback_only: bool = False) -> Starlette:
    """The page's routes.

    Args:
        server: Which models there are to choose among.
        loopback_only: Refuse requests from pages of other sites, and for other hosts than this machine.

    Example:
        >>> sorted(route.path for route in create_app(Server()).routes)
        ['/watch', '/watch/', '/watch/settings', '/watch/view', '/watch/{name}']
    """

    # Functions that are not coroutines run in threads, so that reading a file holds up no search.
    def page(_: Request) -> Response:
        return _file("page.html", "text/html")

    def part(request: Request) -> Response:
        name = request.path_params["name"]
        return _file(name, _TYPES[name]) if name in _TYPES else _problem(404, f"there is no {name!r} here")

    def settings(_: Request) -> Response:
        return JSONResponse(_settings(server), headers=_HEADERS)

    async def view(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_STATE:
                return _problem(413, f"the values are larger than {_LARGEST_STATE // 2**20} MiB")
        return await run_in_threadpool(_view, server, body)

    def to_page(request: Request) -> Response:
        return RedirectResponse("../watch" + (f"?{request.url.query}" if request.url.query else ""))

    return Starlette(
        routes=[
            Route("/watch", page),
            Route("/watch/", to_page),
            Route("/watch/settings", settings),
            Route("/watch/view", view, methods=["POST"]),
            Route("/watch/{name}", part),
        ],
        middleware=[Middleware(LoopbackOnly)] if loopback_only else [],
    )


def _file(name: str, media_type: str) -> Response:
    content = files("latentseek_agents.web").joinpath("static", name).read_bytes()
    return Response(content, media_type=media_type, headers=_HEADERS)


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status, headers=_HEADERS)


def _settings(server: Server) -> dict[str, Any]:
    config = server.config
    return {
        "models": [{"name": name, "label": _label(name)} for name in server.models],
        "verifier": list(server.verifier),
        "proposals": config.proposals,
        "max_iterations": config.max_iterations,
        "max_new_tokens": config.max_new_tokens,
        "max_seconds": config.max_seconds,
        "longest_question": LONGEST_QUESTION,
    }


def _label(name: str) -> str:
    """A model's name, or the last part of the path of one that lies on this machine.

    Example:
        >>> _label("Qwen/Qwen2.5-7B-Instruct"), _label("/home/anna/models/tiny")
        ('Qwen/Qwen2.5-7B-Instruct', 'tiny')
    """
    return Path(name).name if Path(name).is_absolute() else name


def _view(server: Server, body: bytes) -> Response:
    try:
        values = json.loads(body)
        decode = server.decoder(values["model"]) if isinstance(values.get("model"), str) else None
        shown = search_view(values, decode, check=_checked)
        return JSONResponse(shown, headers=_HEADERS)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        return _problem(400, f"these are no values of a search ({type(error).__name__}: {error})")


app = create_app(served, loopback_only=os.environ.get("LATENTSEEK_LOOPBACK_ONLY") == "1")
"""What a LangGraph server serves beside its API."""
