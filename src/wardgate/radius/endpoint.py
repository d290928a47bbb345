"""One UDP socket: datagrams in, and each reply out by the way that its request came.

A host with several addresses (the floating one of a pair, a second interface) listens on all of them with one socket. Left to
itself, the system sends a reply from the address that its routing table likes best, and a NAS drops what comes from an address
that it did not ask. So the socket is made to tell to which of our addresses each datagram came, and the reply leaves from that
one: IP_PKTINFO of ip(7), RFC 3542 section 6. asyncio's transports can do neither.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import structlog

# More than any RADIUS packet; what is cut off behind it is padding.
MAX_DATAGRAM_BYTES: Final = 8192
# Then the loop turns to others; what is left in the socket's buffer wakes us again.
DATAGRAMS_PER_TURN: Final = 32
TELL_EVERY_S: Final = 1.0
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(20)
# Numbers of Linux that the standard library does not name (IP_PKTINFO) or names on some systems only.
_IP_PKTINFO: Final = 8
_IPV6_RECVPKTINFO: Final = 49
_IPV6_PKTINFO: Final = 50

log = structlog.get_logger("wardgate.radius")

Address = tuple[str, int]
Ancillary = Sequence[tuple[int, int, bytes]]


@dataclass(slots=True)
class ReplyPath:
    """How a reply gets back to the sender of one datagram: from the address that it was sent to.

    Nobody changes one; it is not frozen because one is made for each datagram, and freezing takes three times as long.
    """

    endpoint: "Endpoint"
    peer: Any
    from_address: Ancillary

    def send(self, data: bytes) -> None:
        """Send one reply. What cannot be sent is lost, as any datagram may be: the NAS asks again and gets the same octets."""
        self.endpoint.send(data, self.peer, self.from_address)


Receive = Callable[[ReplyPath, str, bytes, Address], None]


class Endpoint:
    """Owns one bound socket. `receive(reply path, name of the listener, datagram, sender)` runs on the event loop."""

    def __init__(self, sock: socket.socket, receive: Receive) -> None:
        self._socket = sock
        self._receive = receive
        host, port = sock.getsockname()[:2]
        self._name = f"{host}:{port}"
        self._ancillary_bytes = _ANCILLARY_BYTES if _tells_own_address(sock, host) else 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receiving = False
        self._told_at = float("-inf")

    def open(self) -> None:
        """Begin to receive."""
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._receiving = True
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def stop_receiving(self) -> None:
        """Leave what comes from now on in the socket, for whoever takes it over. Replies are still sent."""
        self._receiving = False
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Receive and send no more."""
        self.stop_receiving()
        if self._loop is not None:
            self._loop = None
            self._socket.close()

    def send(self, data: bytes, peer: Any, from_address: Ancillary) -> None:
        """Send one datagram."""
        if self._loop is None:
            return
        try:
            if from_address:
                self._socket.sendmsg((data,), from_address, 0, peer)
            else:
                self._socket.sendto(data, peer)
        except OSError as error:
            self._tell("reply_not_sent", error, to=peer[0])

    def _readable(self) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            if not self._receiving:
                return
            from_address: Ancillary = ()
            try:
                if self._ancillary_bytes:
                    data, ancillary, _, peer = self._socket.recvmsg(MAX_DATAGRAM_BYTES, self._ancillary_bytes)
                    from_address = _back_from(ancillary)
                else:
                    data, peer = self._socket.recvfrom(MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._tell("datagram_not_read", error)
                return
            self._receive(ReplyPath(self, peer, from_address), self._name, data, (peer[0], peer[1]))

    def _tell(self, event: str, error: OSError, **about: object) -> None:
        """Now and then: a network that is down would fill the log with one line for each packet."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            log.warning(event, listener=self._name, error=error.strerror, **about)


def _tells_own_address(sock: socket.socket, host: str) -> bool:
    """Make a socket that listens on all addresses tell which one a datagram came to; whether it does."""
    if not ip_address(host).is_unspecified or sys.platform != "linux":
        return False
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    return True


def _back_from(ancillary: list[tuple[int, int, bytes]]) -> Ancillary:
    """What was told about an incoming datagram, as it is told about its reply.

    The interface is left to the routing table, which may have changed; but not for a link-local address, which means nothing
    without it.
    """
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return ((level, kind, bytes(4) + data[4:8] + bytes(4)),)
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            is_link_local = data[0] == 0xFE and data[1] & 0xC0 == 0x80
            return ((level, kind, data if is_link_local else data[:16] + bytes(4)),)
    return ()
