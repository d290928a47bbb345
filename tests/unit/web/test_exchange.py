"""A request and its reply are what they are under uvicorn's own protocol, but for the pieces in which the reply leaves."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tests.unit.web.samples import Sample
from wardgate.web.connection import MAX_HEAD_BYTES, MAX_HEADERS, MAX_PIPELINED, BoundedProtocol
from wardgate.web.headers import Boundary
from wardgate.web.server import _config

BODY: Final = b"a page"
LENGTH: Final = (b"content-length", b"6")
COOKIE: Final = (b"set-cookie", b"a=b")
TYPE: Final = (b"content-type", b"text/plain")


class Wire(asyncio.Transport):
    """A transport that keeps what was written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("203.0.113.7", 50_000), "sockname": ("127.0.0.1", 443), "sslcontext": True})
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""


class Told:
    """An application that notes what it is asked, and says what it is told to say."""

    def __init__(self, *said: Message) -> None:
        self.said = said
        self.asked: list[Scope] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.asked.append(dict(scope))
        self.bodies.append(body)
        for message in self.said:
            await send(dict(message))


def head(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def completed(*headers: tuple[bytes, bytes]) -> Message:
    """With those of every page, as the layer around all pages adds them."""
    boundary = Boundary(Told(), never, never, secure_transport=True)
    return {"type": "http.response.start", "status": 200, "headers": boundary._completed(headers)}


def never(*_: Any, **__: Any) -> Response:
    raise AssertionError


def piece(body: bytes = BODY, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def exchanged(protocol: type[HttpToolsProtocol], app: ASGIApp, chunks: Sequence[bytes]) -> Wire:
    """What a connection wrote when these came."""
    config = _config(app, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    config.load()
    wire = Wire()
    state = ServerState()
    state.default_headers = [(b"date", b"Sun, 06 Nov 1994 08:49:37 GMT")]
    one = protocol(config, state, {}, asyncio.get_running_loop())
    one.connection_made(wire)
    for chunk in chunks:
        one.data_received(chunk)
        for _ in range(3):
            await asyncio.sleep(0)
    if one.tasks:
        await asyncio.wait(one.tasks, timeout=10)
    one.connection_lost(None)
    return wire


PAGE: Final = (head(TYPE, LENGTH), piece())


async def both(chunks: Sequence[bytes], said: Sequence[Message] = PAGE) -> tuple[tuple[Wire, Told], tuple[Wire, Told]]:
    made: list[Any] = []
    for protocol in (HttpToolsProtocol, BoundedProtocol):
        app = Told(*said)
        made.append((await exchanged(protocol, app, chunks), app))
    return made[0], made[1]


def get(path: bytes, version: bytes = b"1.1", method: bytes = b"GET", more: bytes = b"") -> bytes:
    return method + b" " + path + b" HTTP/" + version + b"\r\nHost: login.acme.test\r\n" + more + b"\r\n"


REQUESTS: Final = {
    "plain": [get(b"/sign-in")],
    "query": [get(b"/saml/sso?SAMLRequest=a%2Bb&RelayState=%C3%A9")],
    "empty query": [get(b"/saml/sso?")],
    "two marks": [get(b"/saml/sso?a?b")],
    "escapes": [get(b"/a%2Fb/%C5%9F/%41")],
    "no utf-8": [get(b"/a%FFb")],
    "two slashes": [get(b"//evil.test/x")],
    "fragment": [get(b"/a?b#c")],
    "whole address": [get(b"https://login.acme.test:8443/a%20b?c=d")],
    "whole address without a path": [get(b"http://login.acme.test")],
    "asterisk": [get(b"*", method=b"OPTIONS")],
    "connect": [get(b"login.acme.test:443", method=b"CONNECT")],
    "head": [get(b"/", method=b"HEAD")],
    "old": [get(b"/", b"1.0")],
    "old that stays": [get(b"/", b"1.0", more=b"Connection: keep-alive\r\n")],
    "the last": [get(b"/", more=b"Connection: close\r\n")],
    "form": [get(b"/", method=b"POST", more=b"Content-Length: 3\r\n") + b"a=b"],
    "form in pieces": [get(b"/", method=b"POST", more=b"Content-Length: 3\r\n"), b"a", b"=b"],
    "chunks": [get(b"/", method=b"POST", more=b"Transfer-Encoding: chunked\r\n") + b"3\r\na=b\r\n0\r\n\r\n"],
    "expects": [get(b"/", method=b"POST", more=b"Content-Length: 3\r\nExpect: 100-continue\r\n"), b"a=b"],
    "head in pieces": [b"GET /si", b"gn-in HTTP/1.1\r\nHo", b"st: login.acme.test\r\n\r\n"],
    "two at once": [get(b"/first") + get(b"/second")],
    "one after the other": [get(b"/first"), get(b"/second?x")],
    "empty lines between": [get(b"/first"), b"\r\n\r\n", get(b"/second")],
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_applications_are_asked_what_uvicorn_would_ask(name: str) -> None:
    (their_wire, theirs), (our_wire, ours) = await both(REQUESTS[name])
    assert ours.asked == theirs.asked
    assert ours.bodies == theirs.bodies
    assert our_wire.closed == their_wire.closed
    if their_wire.written and not their_wire.written[0].startswith(b"HTTP/1.1 400"):
        assert b"".join(our_wire.written) == b"".join(their_wire.written)
    else:
        assert [each[:12] for each in our_wire.written] == [each[:12] for each in their_wire.written]


@pytest.mark.parametrize("place", [b"/a%sb", b"/a?b%sc", b"%s", b"/%%%s1"])
async def test_every_octet_of_an_address_is_read_as_uvicorn_reads_it(place: bytes) -> None:
    for octet in range(256):
        address = place % bytes([octet])
        (their_wire, theirs), (our_wire, ours) = await both([get(address)])
        assert ours.asked == theirs.asked, address
        assert [each[:12] for each in our_wire.written][:1] == [each[:12] for each in their_wire.written][:1], address


REPLIES: Final = {
    "whole": [head(TYPE, LENGTH), piece()],
    "cookies": [head(TYPE, COOKIE, (b"set-cookie", b"c=d"), LENGTH), piece()],
    "empty": [head((b"content-length", b"0"), status=303), piece(b"")],
    "without a length": [head(TYPE), piece()],
    "in pieces": [head(TYPE), piece(b"a ", more=True), piece(b"page")],
    "pieces of a known length": [head(TYPE, LENGTH), piece(b"a ", more=True), piece(b"page")],
    "no content": [head(status=204), piece(b"")],
    "the same": [head(status=304), piece(b"")],
    "of no headers": [head(), piece()],
    "the last": [head(LENGTH, (b"connection", b"close")), piece()],
    "chunked by itself": [head((b"transfer-encoding", b"chunked")), piece()],
    "capitals": [head((b"Content-Length", b"6"), (b"Connection", b"close")), piece()],
    "two cookies": [head(COOKIE, COOKIE, LENGTH), piece()],
    "completed": [completed(TYPE, LENGTH), piece()],
    "completed and unusual": [completed(TYPE, LENGTH, (b"x-said", b"a")), piece()],
    "completed and empty": [completed(), piece(b"")],
    "a tab": [head(LENGTH, (b"x-said", b"a\tb")), piece()],
}


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("name", REPLIES)
async def test_replies_are_those_of_uvicorn(name: str, method: bytes) -> None:
    (their_wire, _), (our_wire, _) = await both([get(b"/", method=method)], REPLIES[name])
    assert b"".join(our_wire.written) == b"".join(their_wire.written)
    assert our_wire.closed == their_wire.closed


FAULTS: Final = {
    "a line end in a value of a page": [completed(LENGTH, (b"location", b"/\r\nset-cookie: a=b")), piece()],
    "a line end in a value": [head(LENGTH, (b"location", b"/\r\nset-cookie: a=b")), piece()],
    "a null in a value": [head(LENGTH, (b"location", b"/\0")), piece()],
    "a line end in a name": [head(LENGTH, (b"x\r\ny", b"z")), piece()],
    "a blank in a name": [head(LENGTH, (b"x y", b"z")), piece()],
    "too long": [head((b"content-length", b"5")), piece()],
    "too short": [head((b"content-length", b"7")), piece()],
    "two lengths": [head((b"content-length", b"5"), LENGTH), piece()],
    "no number": [head((b"content-length", b"six")), piece()],
    "two heads": [head(LENGTH), head(LENGTH)],
    "no head": [piece()],
    "nothing": [],
    "half": [head(LENGTH), piece(b"a ", more=True)],
    "more than all": [head(LENGTH), piece(), piece()],
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_is_no_reply_ends_as_under_uvicorn(name: str) -> None:
    """Response splitting above all: no header that came from outside may end its line."""
    (their_wire, _), (our_wire, _) = await both([get(b"/")], FAULTS[name])
    assert our_wire.closed == their_wire.closed
    assert b"".join(our_wire.written) == b"".join(their_wire.written)


async def test_who_was_answered_is_not_told_to_send_more() -> None:
    """An application that answers before it has read the form, and reads then."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in PAGE:
            await send(dict(message))
        await receive()

    asked = [get(b"/", method=b"POST", more=b"Content-Length: 3\r\nExpect: 100-continue\r\n")]
    wires = [await exchanged(protocol, app, asked) for protocol in (HttpToolsProtocol, BoundedProtocol)]
    assert b"".join(wires[0].written) == b"".join(wires[1].written)
    assert b"100 Continue" not in wires[1].written[0]


async def test_a_whole_reply_leaves_in_one_piece() -> None:
    for said in (PAGE, [completed(TYPE, LENGTH, COOKIE), piece()]):
        _, (wire, _) = await both([get(b"/")], said)
        assert len(wire.written) == 1


async def test_a_head_leaves_with_the_first_of_its_body_only() -> None:
    sent = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(TYPE))
        written.extend(wire.written)
        await send(piece(b"first", more=True))
        sent.set()

    written: list[bytes] = []
    one, wire = connected(app)
    one.data_received(get(b"/"))
    async with asyncio.timeout(10):
        await sent.wait()
    assert (written, b"".join(wire.written).count(b"first")) == ([], 1)
    one.connection_lost(None)


async def test_a_failure_between_head_and_body_leaves_no_half_reply() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(TYPE))
        raise RuntimeError("broken")

    wire = await exchanged(BoundedProtocol, app, [get(b"/")])
    assert (wire.written, wire.closed) == ([], True)


def connected(app: ASGIApp) -> tuple[BoundedProtocol, Wire]:
    config = _config(app, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    config.load()
    wire = Wire()
    one = BoundedProtocol(config, ServerState(), {}, asyncio.get_running_loop())
    one.connection_made(wire)
    return one, wire


CHUNKED: Final = get(b"/", method=b"POST", more=b"Cookie: a=b\r\nTransfer-Encoding: chunked\r\n") + b"3\r\na=b\r\n"


OTHER: Final = b"Connection: upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize("length", [b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_no_request_is_smuggled_in_the_body_of_one_for_another_protocol(length: bytes) -> None:
    """Behind a proxy that passes `Upgrade` on, the reply to it would go to the next who is let through on this connection."""
    app = Told(*PAGE)
    wire = await exchanged(BoundedProtocol, app, [get(b"/", method=b"POST", more=OTHER + length), b""])
    head, _, body = b"".join(wire.written).partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert body == BODY
    ahead = [get(b"/", method=b"POST", more=OTHER + length) + get(b"/smuggled"), get(b"/smuggled")]
    wire = await exchanged(BoundedProtocol, slow := Told(*PAGE), ahead)
    assert [scope["path"] for scope in (*app.asked, *slow.asked)] == ["/", "/"]
    assert wire.closed


POST: Final = b"POST / HTTP/1.1\r\nHost: login.acme.test\r\n"
AMBIGUOUS: Final = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 0\r\n\r\nabcd",
    "a list of lengths": b"Content-Length: 4, 4\r\n\r\nabcd",
    "a length with a sign": b"Content-Length: +4\r\n\r\nabcd",
    "another coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, but not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare line ends": b"Content-Length: 4\n\nabcd",
    "bare line ends in chunks": b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
    "a chunk too long": b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_a_request_whose_end_others_may_see_elsewhere_is_refused(name: str) -> None:
    """A proxy in front of us may have taken what follows for a part of it, or for a request of somebody else."""
    app = Told(*PAGE)
    wire = await exchanged(BoundedProtocol, app, [POST + AMBIGUOUS[name] + get(b"/smuggled")])
    assert (app.asked, wire.written[0][:12]) == ([], b"HTTP/1.1 400")


async def test_trailers_do_not_pass_for_headers() -> None:
    """Who reads the headers after the body would take what trails it for what came first: another Host, Cookie or Origin."""
    app = Told(*PAGE)
    await exchanged(BoundedProtocol, app, [CHUNKED, b"0\r\nCookie: c=d\r\nOrigin: https://evil.test\r\n\r\n"])
    (scope,) = app.asked
    assert [name for name, _ in scope["headers"]] == [b"host", b"cookie", b"transfer-encoding"]
    assert app.bodies == [b"a=b"]


@pytest.mark.parametrize("begun", [b"0\r\n", b"0\r\nX: ", b"1;", b"1;a="])
@pytest.mark.parametrize("more", [b"x: y\r\n", b"x" * 64])
async def test_what_is_around_a_body_has_an_end(begun: bytes, more: bytes) -> None:
    """Neither trailers nor what chunks are marked with fill the memory: nothing limited them but the time for a body."""
    one, wire = connected(Told(*PAGE))
    one.data_received(CHUNKED + begun)
    sent = 0
    while not wire.closed and sent < 4 * MAX_HEAD_BYTES:
        one.data_received(more * 64)
        sent += len(more) * 64
    assert wire.closed
    assert len(one.headers) == 0
    one.connection_lost(None)
    await asyncio.wait(one.tasks, timeout=10)


async def test_a_long_body_is_not_taken_for_what_is_around_it() -> None:
    app, size = Told(*PAGE), 4 * MAX_HEAD_BYTES
    pieces = [b"%x\r\n" % 4096 + b"x" * 4096 + b"\r\n" for _ in range(size // 4096)]
    start = get(b"/", method=b"POST", more=b"Transfer-Encoding: chunked\r\n")
    wire = await exchanged(BoundedProtocol, app, [start, *pieces, b"0\r\n\r\n"])
    assert [len(body) for body in app.bodies] == [size]
    assert wire.written[0].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("end", [b"", b"\r\n"])
async def test_thousands_of_headers_are_refused(end: bytes) -> None:
    """Each is an object of its own: what is little on the wire is much in memory."""
    app = Told(*PAGE)
    few, many = b"x:\r\n" * (MAX_HEADERS - 1), b"x:\r\n" * (MAX_HEADERS + 1)
    wire = await exchanged(BoundedProtocol, app, [get(b"/", more=many)[:-2] + end])
    assert (app.asked, wire.written[0][:12]) == ([], b"HTTP/1.1 400" if end else b"HTTP/1.1 431")
    wire = await exchanged(BoundedProtocol, app, [get(b"/", more=few)])
    assert wire.written[0].startswith(b"HTTP/1.1 200")


async def test_requests_sent_ahead_without_end_are_hung_up_on() -> None:
    """uvicorn takes in all that arrives at each reply: forty times as much in memory as on the wire, and the loop stands still."""
    answer = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer.wait()

    one, wire = connected(app)
    one.data_received(get(b"/") * (MAX_PIPELINED + 1))
    assert (len(one.pipeline), wire.closed) == (MAX_PIPELINED, False)
    one.data_received(get(b"/") * 1000)
    assert (len(one.pipeline), wire.closed, wire.written) == (MAX_PIPELINED, True, [])
    one.connection_lost(None)
    answer.set()
    await asyncio.wait(one.tasks, timeout=10)


async def test_a_length_of_thousands_of_zeros_is_a_length() -> None:
    """Python refuses to read so many digits, which would pass for a fault of ours."""
    sample = Sample()
    zeros = b"0" * 5000
    wire = await exchanged(BoundedProtocol, sample.app, [get(b"/", method=b"POST", more=b"Content-Length: " + zeros + b"\r\n")])
    assert wire.written[0].startswith(b"HTTP/1.1 405")


async def test_a_connection_that_was_reset_is_let_go_of_at_once() -> None:
    """uvicorn waits on for its next request, and keeps some fifty KiB for each until then."""
    one, _ = connected(Told(*PAGE))
    one.data_received(get(b"/"))
    await asyncio.wait(one.tasks, timeout=10)
    assert one.timeout_keep_alive_task is not None
    one.connection_lost(ConnectionResetError())
    assert (one.timeout_keep_alive_task, one._waits) == (None, {})
