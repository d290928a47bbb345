"""HTTPS inside our own loop: uvicorn on a socket that is bound already."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from wardgate.certificates import endpoint_binding
from wardgate.web.connection import BoundedProtocol
from wardgate.web.context import Endpoint
from wardgate.web.tls import TlsFiles, load_certificate, tls_context

HANDSHAKE_DEADLINE_S = 10.0
CANCEL_DEADLINE_S = 1.0
KEEP_ALIVE_S = 15
BACKLOG = 512


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
        self._context = tls_context(tls)
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
        tls_context(self._tls)
        load_certificate(self._context, self._tls)
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
        timeout_keep_alive=KEEP_ALIVE_S,
        ssl_context_factory=lambda _config, _default: context,
    )
