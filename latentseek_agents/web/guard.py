"""Answers requests of this machine's own browser and programs only, and not those of other sites' pages.

A server on a loopback address can still be reached by any page that the user has open: directly, by a request
from a foreign origin, or under a foreign host name that is made to lead to 127.0.0.1.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["LoopbackOnly", "is_loopback"]

_IN_PROCESS = "/noauth"  # LangGraph's own client, which calls the application without a socket


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine, reachable from itself only.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org")]
        [True, True, True, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class LoopbackOnly:
    """Refuses requests that name another host than this machine, or come from another site's page.

    Args:
        app: What answers all others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it with status 403."""
        if scope["type"] in ("http", "websocket") and scope.get("root_path") != _IN_PROCESS:
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if not is_loopback(_host_name(f"//{host}")):
                await _refuse(f"the host {host!r} is not this machine", scope, receive, send)
                return
            if origin is not None and urlsplit(origin).netloc != host:
                await _refuse(f"pages of {origin} may not use this server", scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host_name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


async def _refuse(reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "forbidden"})
        return
    response = PlainTextResponse(f"{reason}; open the address that `latentseek serve` printed\n", 403)
    await response(scope, receive, send)
