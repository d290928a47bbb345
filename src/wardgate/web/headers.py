"""What every reply carries, whatever came before it, and the last place where a failure is caught.

Written as plain ASGI around everything, so that errors, streams and static files get the same headers; as one layer, because each
has its price at every request. Starlette's own body limit answers only once a handler has run (a one-time link would be spent by a
request that is then refused), so ours stands in front.
"""

import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wardgate.crypto import new_reference
from wardgate.errors import UnavailableError

MAX_BODY_BYTES = 16 * 1024
_MAX_DIGITS = 19
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

Header = tuple[bytes, bytes]
log = structlog.get_logger("wardgate.web")


class ErrorPage(Protocol):
    """Makes the page of an error."""

    def __call__(self, request: Request, status: int, *, reference: str | None) -> Response:
        """`reference`: the one that the server's log has of it, if it was told there."""
        ...


class Boundary:
    """Around all pages: gives every reply its headers, refuses bodies that are too large before any handler runs, and turns
    refusals and failures into pages, the latter into one that tells nothing.
    """

    def __init__(
        self,
        app: ASGIApp,
        error_page: ErrorPage,
        refused: Callable[[Request, HTTPException], Response],
        *,
        secure_transport: bool,
        larger: Mapping[str, int] | None = None,
    ) -> None:
        """`refused`: the page of a refusal. `larger`: paths that take more than usual, and how much."""
        self._app = app
        self._error_page = error_page
        self._refused = refused
        self._larger = larger or {}
        always = {**_ALWAYS, "strict-transport-security": STRICT_TRANSPORT_SECURITY} if secure_transport else _ALWAYS
        self._always = _encoded(always)
        self._always_names = {name for name, _ in self._always}
        self._common: dict[frozenset[bytes], _Common] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        received, started = 0, False
        most = self._larger.get(scope["path"], MAX_BODY_BYTES)

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _BodyTooLarge
            return message

        def completing_send(message: Message) -> Awaitable[None]:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = self._completed(message["headers"])
            return send(message)

        try:
            if _announced_bytes(scope, most) > most:
                raise _BodyTooLarge
            try:
                return await self._app(scope, counting_receive, completing_send)
            except HTTPException as error:
                if started:
                    raise
                response = self._refused(Request(scope), error)
        except _BodyTooLarge:
            response = self._failed(scope, 413)
        except ClientDisconnect:
            return  # nobody is there to be answered, and who hangs up fills no log
        except Exception as error:  # a door catches broadly, once
            reference = new_reference()
            _report(scope, error, reference)
            if started:
                raise
            response = self._failed(scope, 503 if isinstance(error, UnavailableError) else 500, reference)
        await response(scope, receive, completing_send)

    def _failed(self, scope: Scope, status: int, reference: str | None = None) -> Response:
        response = self._error_page(Request(scope), status, reference=reference)
        if status == 413:
            response.headers["connection"] = "close"  # what is left of the body is not worth reading
        if status == 503:
            response.headers["retry-after"] = RETRY_AFTER_S
        return response

    def _completed(self, headers: Iterable[Header]) -> "Completed":
        told = Completed(headers)
        names = dict(told)
        if not self._always_names.isdisjoint(names):
            told[:] = [each for each in told if each[0] not in self._always_names]
        of = _DEFAULT_NAMES.intersection(names)
        common = self._common.get(of)
        if common is None:
            common = self._common[of] = _Common([*self._always, *(each for each in _DEFAULTS if each[0] not in of)])
        told.own, told.common_lines = len(told), common.lines
        told += common.headers
        return told


class Completed(list[Header]):
    """The headers of a reply: the first `own` are its own, all others are many replies' and stand written in `common_lines`."""

    __slots__ = ("common_lines", "own")

    own: int
    common_lines: bytes


class _Common:
    """Headers that many replies have, and their lines in a head, each after the end of the one before."""

    __slots__ = ("headers", "lines")

    def __init__(self, headers: list[Header]) -> None:
        self.headers = headers
        self.lines = b"".join(b"\r\n" + name + b": " + value for name, value in headers)


def _encoded(headers: Mapping[str, str]) -> list[Header]:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


_DEFAULTS = _encoded(_UNLESS_SET)
_DEFAULT_NAMES = frozenset(name for name, _ in _DEFAULTS)


class _BodyTooLarge(Exception):
    """More came than was announced or allowed."""


def _announced_bytes(scope: Scope, most: int) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            # Zeros in front are allowed, and Python refuses to read thousands of digits.
            digits = value.lstrip(b"0")
            return int(digits or b"0") if value.isdigit() and len(digits) < _MAX_DIGITS else most + 1
    return 0


def _report(scope: Scope, error: Exception, reference: str) -> None:
    # The handler's name, not the path: a one-time link is part of its path. Tracebacks without the values of variables.
    trace = "".join(traceback.format_exception(error))
    handler = getattr(scope.get("endpoint"), "__qualname__", "?")
    log.error("page_failed", handler=handler, error=type(error).__name__, reference=reference, trace=trace)
