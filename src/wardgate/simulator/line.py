"""The line between the simulated NAS and the server: sends a request, again after each time-out, and tells what happened."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from wardgate.crypto import Secret
from wardgate.errors import PacketError, UnavailableError
from wardgate.radius.client import check_reply
from wardgate.radius.packet import Packet, SharedSecret

# A firewall's own limits: PAN-OS takes 1 to 120 s and at most five tries.
MAX_TIMEOUT_S = 120.0
MAX_RETRANSMIT = 10
_MAX_KEPT = 64


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is and what it shares with this NAS."""

    host: str
    port: int
    secret: Secret

    @property
    def name(self) -> str:
        """Address and port, as one writes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it. `sendings`: how often it left; `took_s`: from the first sending to the reply."""

    request: Packet
    reply: Packet | None
    sendings: int
    took_s: float
    silence: str = ""


class Watcher(Protocol):
    """Is told of every packet when it happens."""

    def sent(self, request: Packet, sending: int, of: int) -> None:
        """A request left, for the `sending`-th time."""
        ...

    def received(self, exchange: Exchange) -> None:
        """Its reply came, or none did."""
        ...


class Line:
    """One socket towards the server, with one request under way at a time. Use it as an async context manager."""

    def __init__(self, server: Server, timeout_s: float, retransmit: int, watcher: Watcher) -> None:
        """`retransmit`: how often a request without a reply is sent again."""
        self.server = server
        self.secret = SharedSecret(server.secret)
        self._timeout_s = timeout_s
        self._sendings = retransmit + 1
        self._watcher = watcher
        self._transport: asyncio.DatagramTransport | None = None
        self._inbox = _Inbox()
        self._identifier = secrets.randbelow(256)

    async def __aenter__(self) -> "Line":
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: self._inbox, remote_addr=(self.server.host, self.server.port)
            )
        except OSError as error:
            raise UnavailableError(f"{self.server.name} cannot be reached: {error.strerror or error}") from error
        self._transport = transport
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket().close()

    @property
    def own_address(self) -> str:
        """The address that our packets come from."""
        return str(self._socket().get_extra_info("sockname")[0]).partition("%")[0]

    def identifier(self) -> int:
        """The next Identifier."""
        self._identifier = (self._identifier + 1) % 256
        return self._identifier

    async def exchange(self, request: Packet, timeout_s: float | None = None) -> Exchange:
        """Send and wait, as often as a NAS does: the same octets again after each time-out."""
        started = time.monotonic()
        dropped: list[str] = []
        for sending in range(1, self._sendings + 1):
            self._watcher.sent(request, sending, self._sendings)
            self._socket().sendto(request.raw)
            reply = await self._reply_within(request, timeout_s or self._timeout_s, dropped)
            if reply is not None:
                return self._told(Exchange(request, reply, sending, time.monotonic() - started))
        return self._told(Exchange(request, None, self._sendings, time.monotonic() - started, _silence(dropped)))

    async def repeat(self, request: Packet) -> Packet | None:
        """Send a request once more, whatever came before, and return what comes back."""
        self._watcher.sent(request, 1, 1)
        self._socket().sendto(request.raw)
        return await self._reply_within(request, self._timeout_s, [])

    async def _reply_within(self, request: Packet, timeout_s: float, dropped: list[str]) -> Packet | None:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    datagram = await self._inbox.next()
                    try:
                        return check_reply(request, datagram, self.secret)
                    except PacketError as error:
                        dropped.append(error.message)
        except TimeoutError:
            return None

    def _told(self, exchange: Exchange) -> Exchange:
        self._watcher.received(exchange)
        return exchange

    def _socket(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            raise UnavailableError("the line is not open")
        return self._transport


class _Inbox(asyncio.DatagramProtocol):
    """Keeps what comes in. An unreachable port is heard as silence: the next try may find the server started."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Called by the loop."""
        if self._queue.qsize() < _MAX_KEPT:
            self._queue.put_nowait(data)

    async def next(self) -> bytes:
        """The next datagram."""
        return await self._queue.get()


def _silence(dropped: Sequence[str]) -> str:
    """What silence can mean; the server's login log knows."""
    if dropped:
        return f"a reply came and was dropped: {dropped[0]}"
    return "no reply: is the server up, is this address a NAS there, is the secret the same? Its login log tells which"
