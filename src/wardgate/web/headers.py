"""What every reply carries, whatever came before it, and the last place where a failure is caught.

Written as plain ASGI around everything, so that errors, streams and static files get the same headers. Starlette's own body
limit answers only once a handler has run (a one-time link would be spent by a request that is then refused), so ours stands
in front.
"""

import traceback
from collections.abc import Mapping
from typing import Protocol

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wardgate.crypto import new_reference
from wardgate.errors import UnavailableError

MAX_BODY_BYTES = 16 * 1024
# When it is worth trying again after a neighbour did not answer, as our pages say.
RETRY_AFTER_S = "60"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# Two years, the least that browsers' preload lists ask for; not in the demo, whose certificate is our own.
STRICT_TRANSPORT_SECURITY = "max-age=63072000"
CONTENT_SECURITY_POLICY_HEADER = "content-security-policy"
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_NOTHING_ALLOWED = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
PERMISSIONS_POLICY = "permissions-policy"
# A page whose form leads to somebody else's application says to which.
_UNLESS_SET = {
    CONTENT_SECURITY_POLICY_HEADER: CONTENT_SECURITY_POLICY,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    PERMISSIONS_POLICY: f"{_NOTHING_ALLOWED}, publickey-credentials-create=(), publickey-credentials-get=()",
}
# For the pages that ask for a passkey, and for the one that makes one.
PASSKEYS_USED = f"{_NOTHING_ALLOWED}, publickey-credentials-create=(), publickey-credentials-get=(self)"
PASSKEYS_MADE = f"{_NOTHING_ALLOWED}, publickey-credentials-create=(self), publickey-credentials-get=()"

log = structlog.get_logger("wardgate.web")


class ErrorPage(Protocol):
    """Makes the page of an error."""

    def __call__(self, request: Request, status: int, *, reference: str | None) -> Response:
        """`reference`: the one that the server's log has of it, if it was told there."""
        ...


class SecurityHeaders:
    """Adds the headers to every reply."""

    def __init__(self, app: ASGIApp, secure_transport: bool) -> None:
        self._app = app
        self._always = dict(_ALWAYS)
        if secure_transport:
            self._always["strict-transport-security"] = STRICT_TRANSPORT_SECURITY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._always)
                for name, value in _UNLESS_SET.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Boundary:
    """Refuses bodies that are too large before any handler runs, and turns failures into a page that tells nothing."""

    def __init__(self, app: ASGIApp, error_page: ErrorPage, larger: Mapping[str, int] | None = None) -> None:
        """`larger`: paths that take more than usual, and how much."""
        self._app = app
        self._error_page = error_page
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        sent = received = 0
        most = self._larger.get(scope["path"], MAX_BODY_BYTES)
        reference: str | None = None

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _BodyTooLarge
            return message

        async def counting_send(message: Message) -> None:
            nonlocal sent
            sent += 1
            await send(message)

        try:
            status = 413 if _announced_bytes(scope, most) > most else None
            if status is None:
                return await self._app(scope, counting_receive, counting_send)
        except _BodyTooLarge:
            status = 413
        except ClientDisconnect:
            return  # nobody is there to be answered, and who hangs up fills no log
        except Exception as error:  # a door catches broadly, once
            reference = new_reference()
            _report(scope, error, reference)
            if sent:
                raise
            status = 503 if isinstance(error, UnavailableError) else 500
        await self._answer(scope, receive, send, status, reference)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, status: int, reference: str | None) -> None:
        response = self._error_page(Request(scope), status, reference=reference)
        if status == 413:
            response.headers["connection"] = "close"  # what is left of the body is not worth reading
        if status == 503:
            response.headers["retry-after"] = RETRY_AFTER_S
        await response(scope, receive, send)


class _BodyTooLarge(Exception):
    """More came than was announced or allowed."""


def _announced_bytes(scope: Scope, most: int) -> int:
    announced = Headers(scope=scope).get("content-length", "0")
    return int(announced) if announced.isdecimal() else most + 1


def _report(scope: Scope, error: Exception, reference: str) -> None:
    # The handler's name, not the path: a one-time link is part of its path. Tracebacks without the values of variables.
    trace = "".join(traceback.format_exception(error))
    handler = getattr(scope.get("endpoint"), "__qualname__", "?")
    log.error("page_failed", handler=handler, error=type(error).__name__, reference=reference, trace=trace)
