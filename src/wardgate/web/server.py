"""HTTPS inside our own loop: uvicorn on a socket that is bound already, with deadlines that it lacks.

uvicorn waits without end for the head of a request, for its body and for a reader that does not read; a few hundred idle
connections would keep everybody else out. `BoundedProtocol` gives each of these waits a length.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wardgate.certificates import endpoint_binding
from wardgate.errors import SettingsError
from wardgate.web.context import Endpoint
from wardgate.web.early import early_reply

HEAD_DEADLINE_S = 10.0
BODY_DEADLINE_S = 30.0
READER_DEADLINE_S = 30.0
HANDSHAKE_DEADLINE_S = 10.0
CANCEL_DEADLINE_S = 1.0
KEEP_ALIVE_S = 15
# A Kerberos ticket of somebody in a thousand groups has 64 KiB in base64; the rest is for cookies and everything else.
MAX_HEAD_BYTES = 80 * 1024
MAX_CONNECTIONS = 1000
BACKLOG = 512


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The server's certificate chain and its key, both PEM, the key without a passphrase."""

    certificate: Path
    key: Path


class BoundedProtocol(HttpToolsProtocol):
    """One connection, none of whose waits is endless."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._head_bytes = 0
        self._in_head = True
        self._waits: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first request has to come soon. One connection too many is hung up on: uvicorn counts them at requests only."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
        self._begin("head", HEAD_DEADLINE_S)
        if len(self.connections) > MAX_CONNECTIONS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        for what in tuple(self._waits):
            self._end(what)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; a head that does not end is refused at its limit."""
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(early_reply(431))
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed: uvicorn would answer by a line in English."""
        self.transport.write(early_reply(400))
        self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins: the first one, or the next one on a connection that is kept."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._begin("head", HEAD_DEADLINE_S)

    def on_headers_complete(self) -> None:
        """The head is there; now its body."""
        self._in_head, self._head_bytes = False, 0
        self._end("head")
        self._begin("body", BODY_DEADLINE_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._end("body")
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The other side does not read."""
        super().pause_writing()
        self._begin("reader", READER_DEADLINE_S)

    def resume_writing(self) -> None:
        """It reads again."""
        self._end("reader")
        super().resume_writing()

    def _begin(self, what: str, deadline_s: float) -> None:
        self._end(what)
        self._waits[what] = self.loop.call_later(deadline_s, self.transport.abort)

    def _end(self, what: str) -> None:
        if wait := self._waits.pop(what, None):
            wait.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, with a deadline for the TLS handshake, and a sign that it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the supervisor."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept on the sockets."""
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                lambda: BoundedProtocol(
                    config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop
                ),
                sock=each,
                ssl=self.config.ssl,
                ssl_handshake_timeout=HANDSHAKE_DEADLINE_S,
                backlog=BACKLOG,
            )
            for each in sockets or []
        ]
        self.started = True
        self.accepting.set()


class HttpsServer:
    """One HTTPS listener of this worker. Owns `listener` from the start on.

    `before_stop` is called when stopping begins: it ends the streams that would otherwise be waited for. `endpoint`: told which
    certificate is shown.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        tls: TlsFiles,
        before_stop: Callable[[], None] | None = None,
        endpoint: Endpoint | None = None,
    ) -> None:
        self._context = _tls_context(tls)
        self._endpoint = endpoint or Endpoint()
        self._endpoint.binding = endpoint_binding(tls.certificate)
        self._tls = tls
        self._listener = listener
        self._before_stop = before_stop
        self._server = _Server(_config(app, self._context))
        self._task: asyncio.Task[None] | None = None

    @property
    def accepting(self) -> bool:
        """Whether connections are being taken."""
        return self._task is not None and not self._task.done() and self._server.accepting.is_set()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    async def start(self) -> None:
        """Begin to serve; return when connections are taken. Raises what kept it from doing so."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="https")
        sign = asyncio.create_task(self._server.accepting.wait())
        try:
            await asyncio.wait({self._task, sign}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sign.cancel()
        if self._task.done():
            await self._task

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take no more connections, let the replies under way finish for at most `grace_s`, then end."""
        if self._task is None:
            return
        if self._before_stop is not None:
            self._before_stop()
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        await self._task
        left = self._server.server_state
        for connection in tuple(left.connections):
            connection.transport.abort()
        if left.tasks:  # cancelled by now
            await asyncio.wait(tuple(left.tasks), timeout=CANCEL_DEADLINE_S)

    def reload_certificate(self) -> None:
        """Read the certificate files again; connections from now on get the new one.

        Raises SettingsError, and goes on with the old one, when they cannot be used: they are tried in a context of their own
        first, because a chain whose key does not fit would leave this one half changed.
        """
        _tls_context(self._tls)
        _load(self._context, self._tls)
        self._endpoint.binding = endpoint_binding(self._tls.certificate)


def _config(app: ASGIApp, context: ssl.SSLContext) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address of a connection is what it is until a setting names proxies
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        ssl_context_factory=lambda _config, _default: context,
    )


def _tls_context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # Of TLS 1.2 only what keeps old recordings closed when the key is lost; TLS 1.3 has its own list.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: TlsFiles) -> None:
    def no_passphrase() -> str:
        raise SettingsError(f"the TLS key {tls.key} asks for a passphrase: store it without one, readable by this user only")

    for file in (tls.certificate, tls.key):
        if not file.exists():
            raise SettingsError(f"the TLS file {file} cannot be used: it is missing; put it there or name another in wardgate.toml")
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=no_passphrase)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"the TLS certificate {tls.certificate} with the key {tls.key} cannot be used: {error}") from error
