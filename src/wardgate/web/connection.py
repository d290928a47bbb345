"""One connection of a browser: uvicorn's protocol, with deadlines and limits that it lacks.

uvicorn waits without end for the head of a request, for its body and for a reader that does not read; a few hundred idle
connections would keep everybody else out. `BoundedProtocol` gives each of these waits a length. It follows the pinned version of
uvicorn line by line where it does what that does; `tests/unit/web/test_exchange.py` compares the two.
"""

import asyncio
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from wardgate.web.early import busy, early_reply
from wardgate.web.headers import Completed
from wardgate.web.tls import BoundedContext

HEAD_DEADLINE_S = 10.0
BODY_DEADLINE_S = 30.0
READER_DEADLINE_S = 30.0
# A Kerberos ticket of somebody in a thousand groups has 64 KiB in base64; the rest is for cookies and everything else.
MAX_HEAD_BYTES = 80 * 1024
# Browsers send some twenty; each is kept as an object of its own, thirty times as large as the least of them on the wire.
MAX_HEADERS = 200
# Requests that wait on one connection for the reply before theirs. No browser sends one so early.
MAX_PIPELINED = 64
MAX_CONNECTIONS = 1000
# What of a request is waited for.
HEAD: Final = "head"
BODY: Final = "body"
WHOLE: Final = "nothing more"
# In a head, but for the ends of its lines: what uvicorn refuses in values, all at once.
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {0x09})
# Names that need no look. A reply with another header, as with one that tells of the connection, is written by uvicorn.
_USUAL: Final = frozenset(
    {
        *(b"cache-control", b"content-language", b"content-length", b"content-security-policy", b"content-type", b"date"),
        *(b"etag", b"location", b"permissions-policy", b"referrer-policy", b"retry-after", b"set-cookie", b"vary"),
    }
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection, none of whose waits is endless."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._head_bytes = 0
        self._part = HEAD
        self._is_new_part = False
        self._waits: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first request has to come soon. One connection too many is hung up on: uvicorn counts them at requests only."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
        if isinstance(self.config.ssl, BoundedContext):
            self.config.ssl.over(transport.get_extra_info("ssl_object"))
        self._begin("request", HEAD_DEADLINE_S)
        if len(self.connections) > MAX_CONNECTIONS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        for what in tuple(self._waits):
            self._end(what)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # of one that was reset uvicorn keeps it, and with it all that belongs to it

    def data_received(self, data: bytes) -> None:
        """Parse; a head that does not end is refused at its limit. What came whole is not waited for, and needs no timer."""
        super().data_received(data)
        if is_new_part := self._is_new_part:
            self._is_new_part = False
            self._wait_for_part()
        if self._part == WHOLE and "request" not in self._waits and (self.cycle is None or self.cycle.response_complete):
            # Empty lines before a request are no part of it (RFC 9112 section 2.2), and the body of one that was answered before
            # it had come is of no use: both have ended uvicorn's wait for the next request.
            self._begin("request", HEAD_DEADLINE_S)
        if self._part == HEAD:
            self._head_bytes += len(data)
            is_too_much = self._head_bytes > MAX_HEAD_BYTES or len(self.headers or ()) > MAX_HEADERS
            if is_too_much and not self.transport.is_closing():
                self.transport.write(early_reply(431))
                self.transport.close()
        elif self._part == BODY:
            # What came with the head does not count, nor do the octets of the body, which are limited where they are read.
            self._head_bytes = 0 if is_new_part else self._head_bytes + len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()  # a reply may be under way: there is no place for another

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed: uvicorn would answer by a line in English."""
        if self.transport.is_closing():
            return
        self.transport.write(early_reply(400))
        self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins: the first one, or the next one on a connection that is kept."""
        super().on_message_begin()
        self._head_bytes = 0
        self._comes(HEAD)

    def on_headers_complete(self) -> None:
        """The head is there; now its body. Begins the exchange as uvicorn does, but by ours."""
        self._head_bytes = 0
        self._comes(BODY)
        if len(self.headers) > MAX_HEADERS:
            raise _TooMany("headers")
        # What trails a body is no header (RFC 9110 section 6.5.1), comes after they were looked at, and has no end of its own.
        self.headers = _NO_TRAILERS
        scope, parser, version = self.scope, self.parser, self.parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        path, query = _split(self.url)
        scope["path"] = unquote(path.decode("ascii")) if b"%" in path else path.decode("ascii")
        scope["raw_path"], scope["query_string"] = path, query
        app, before = self.app, self.cycle
        if len(self.connections) >= MAX_CONNECTIONS or len(self.tasks) >= MAX_CONNECTIONS:
            app = busy
        self.cycle = _Exchange(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            # The parser takes what follows a request for another protocol for that protocol, its body too, and then for requests:
            # what a proxy let through as a body would be answered to whoever it lets through next.
            keep_alive=version != "1.0" and parser.should_keep_alive() and not parser.should_upgrade(),
            on_response=self.on_response_complete,
        )
        if before is not None and not before.keep_alive:
            return  # nothing follows the last request of a connection (RFC 9112 section 9.6)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, app)
        elif len(self.pipeline) < MAX_PIPELINED:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))
        else:
            # uvicorn reads on at each reply, and would take in thousands more each time.
            self.transport.abort()
            raise _TooMany("requests")

    def on_body(self, body: bytes) -> None:
        """Some of the body, without what holds its chunks together."""
        self._head_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._comes(WHOLE)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The other side does not read."""
        super().pause_writing()
        self._begin("reader", READER_DEADLINE_S)

    def resume_writing(self) -> None:
        """It reads again."""
        self._end("reader")
        super().resume_writing()

    def _comes(self, part: str) -> None:
        self._part, self._is_new_part = part, True

    def _wait_for_part(self) -> None:
        self._end("request")
        if self._part != WHOLE:
            self._begin("request", HEAD_DEADLINE_S if self._part == HEAD else BODY_DEADLINE_S)

    def _begin(self, what: str, deadline_s: float) -> None:
        self._end(what)
        self._waits[what] = self.loop.call_later(deadline_s, self.transport.abort)

    def _end(self, what: str) -> None:
        if wait := self._waits.pop(what, None):
            wait.cancel()


class _TooMany(Exception):
    """Ends the parsing of what arrived."""


class _Dropped(list[tuple[bytes, bytes]]):
    """Keeps nothing."""

    def append(self, item: tuple[bytes, bytes]) -> None:
        """Let go of it."""


_NO_TRAILERS: Final = _Dropped()


class _Exchange(RequestResponseCycle):
    """A request and its reply, which leaves in one piece where it comes as one.

    uvicorn writes the head at once and the body by itself: over TLS that is two records, two calls of the kernel, and the other
    side woken twice. ASGI wants the head held back until the first of the body is there (its "Response Start").
    """

    _head: HTTPResponseStartEvent | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Hold the head back, then write what belongs together. Whatever is not a whole reply is written by uvicorn."""
        if message["type"] == "http.response.start" and not self.response_started:
            self.response_started, self._head = True, message
            self.waiting_for_100_continue = False
            return
        head, self._head = self._head, None
        if head is None:
            await super().send(message)
        elif message["type"] == "http.response.body" and (reply := self._whole(head, message)):
            self.response_complete = True
            self.transport.write(reply)
            self.message_event.set()
            self.on_response()
        else:
            self.response_started = False
            await super().send(head)
            await super().send(message)

    def _whole(self, head: HTTPResponseStartEvent, last: HTTPResponseBodyEvent) -> bytes:
        """Head and body together; empty where more comes, where the connection does not stay, or where nobody reads now."""
        body, told = last.get("body", b""), head.get("headers", ())
        own, common = (told[: told.own], told.common_lines) if isinstance(told, Completed) else (told, b"")
        pairs = [*self.default_headers, *own]
        said = dict(pairs)
        if (
            last.get("more_body", False)
            or said.get(b"content-length") != b"%d" % len(body)
            or len(said) != len(pairs)
            or not _USUAL.issuperset(said)
            or not self.keep_alive
            or self.scope["method"] == "HEAD"
            or self.flow.write_paused
            or self.disconnected
        ):
            return b""
        lines = b"\r\n".join(map(b": ".join, pairs))
        if len(lines) - len(lines.translate(None, _CONTROLS)) != 2 * (len(pairs) - 1):
            return b""
        return b"".join((STATUS_LINE[head["status"]], lines, common, b"\r\n\r\n", body))


def _split(address: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request's address. The parser of addresses looks at each octet of a long message, which ours need not."""
    if address.startswith(b"/") and b"#" not in address:
        path, _, query = address.partition(b"?")
        return path, query
    parsed = httptools.parse_url(address)
    return parsed.path, parsed.query or b""
