"""The sockets of a start: bound by the supervisor, one set for each worker, and kept open for a worker's successor.

The first set is bound without SO_REUSEPORT, so that a port which another program has is refused: with that option from the
start on, a second server would silently take its share of the packets. Only what is ours already is then shared out: the system
hands every packet of one source port, and every connection, to one socket of the sets.
"""

import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from wardgate.errors import ServerUnavailable
from wardgate.settings import StartSettings

PORTS_TO_TRY = 50

RadiusPair = tuple[socket.socket, socket.socket]


@dataclass(frozen=True, slots=True)
class SlotSockets:
    """What one worker listens on: per RADIUS address the sockets for logins and accounting; one for each HTTPS listener."""

    radius: tuple[RadiusPair, ...]
    https: tuple[socket.socket, ...]

    @property
    def all(self) -> tuple[socket.socket, ...]:
        """Every socket of the set."""
        return (*(sock for pair in self.radius for sock in pair), *self.https)

    @property
    def radius_address(self) -> tuple[str, int]:
        """The first address and the port for logins; no address and port 0 without RADIUS."""
        host, port = self.radius[0][0].getsockname()[:2] if self.radius else ("", 0)
        return host, port

    @property
    def accounting_port(self) -> int:
        """The port for accounting."""
        return int(self.radius[0][1].getsockname()[1]) if self.radius else 0

    @property
    def urls(self) -> tuple[str, ...]:
        """Where each HTTPS listener is, for somebody on this machine."""
        return tuple(_url(sock) for sock in self.https)

    def close(self) -> None:
        """Close what nobody took over."""
        for each in self.all:
            each.close()


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"https://{shown}:{port}"


def bind_sockets(settings: StartSettings, next_free: bool) -> SlotSockets:
    """Bind every listener for one worker. `next_free`: take the next free port when one is taken (the demo); port 0 takes any.

    Raises ServerUnavailable that names the port and who may have it.
    """
    # A port that the system chose for one address may be taken on the next one.
    chosen_for_us = settings.radius.port == 0 or settings.radius.accounting_port == 0
    tries_left = PORTS_TO_TRY if chosen_for_us else 1
    while True:
        tries_left -= 1
        try:
            return _bind_all(settings, next_free)
        except ServerUnavailable:
            if not tries_left:
                raise


def share_out(first: SlotSockets, slots: int) -> tuple[SlotSockets, ...]:
    """`first` and as many further sets as there are further workers, on the same addresses and ports."""
    if slots == 1:
        return (first,)
    sets = [first]
    try:
        for sock in first.all:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(slots - 1):
            sets.append(_twin_of(first))
    except BaseException as error:
        for each in sets[1:]:
            each.close()
        if isinstance(error, OSError):
            raise ServerUnavailable(
                f"the ports cannot be shared among workers: {error.strerror}; set server.workers = 1"
            ) from error
        raise
    return tuple(sets)


def _twin_of(first: SlotSockets) -> SlotSockets:
    twins: list[socket.socket] = []
    try:
        for sock in first.all:
            twin = _unbound(sock.family, sock.type)
            twins.append(twin)
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            twin.bind(sock.getsockname())
    except BaseException:
        for each in twins:
            each.close()
        raise
    of_radius = 2 * len(first.radius)
    pairs = tuple((twins[number], twins[number + 1]) for number in range(0, of_radius, 2))
    return SlotSockets(pairs, tuple(twins[of_radius:]))


def _bind_all(settings: StartSettings, next_free: bool) -> SlotSockets:
    bound: list[socket.socket] = []
    try:
        pairs = _bind_radius(settings, next_free, bound)
        https = []
        for number, listener in enumerate(settings.https_listeners):
            name = "https.port" if listener is settings.https else f"port {number} of the HTTPS listeners"
            sock = _bind_one(socket.SOCK_STREAM, listener.address, listener.port, next_free, name)
            bound.append(sock)
            https.append(sock)
        return SlotSockets(tuple(pairs), tuple(https))
    except BaseException:
        for each in bound:
            each.close()
        raise


def _bind_radius(settings: StartSettings, next_free: bool, bound: list[socket.socket]) -> list[RadiusPair]:
    """The same two ports on every address."""
    radius = settings.radius
    addresses = [address for address in settings.radius_addresses if ":" not in address or _has_ipv6(address)]
    ports = [radius.port, radius.accounting_port]
    pairs: list[RadiusPair] = []
    for address in addresses:
        pair = []
        for number, name in enumerate(("radius.port", "radius.accounting_port")):
            sock = _bind_one(socket.SOCK_DGRAM, address, ports[number], next_free and not pairs, name, avoid=ports)
            ports[number] = int(sock.getsockname()[1])
            bound.append(sock)
            pair.append(sock)
        pairs.append((pair[0], pair[1]))
    return pairs


def _bind_one(
    kind: socket.SocketKind, address: str, port: int, next_free: bool, setting: str, avoid: Sequence[int] = ()
) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    tries = (
        [port, *(other for other in range(port + 1, port + PORTS_TO_TRY) if other not in avoid)] if next_free and port else [port]
    )
    for each in tries:
        sock = _unbound(family, kind)
        try:
            sock.bind((address, each))
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE and each != tries[-1]:
                continue
            raise _cannot_bind(address, each, setting, error) from error
        return sock
    raise ServerUnavailable(f"{setting}: no free port near {port}")


def _unbound(family: int, kind: int) -> socket.socket:
    sock = socket.socket(family, kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def _cannot_bind(address: str, port: int, setting: str, error: OSError) -> ServerUnavailable:
    where = f"{address} port {port}"
    if error.errno == errno.EADDRINUSE:
        return ServerUnavailable(f"{where} is taken by another program: stop it or change {setting}")
    if error.errno == errno.EACCES:
        return ServerUnavailable(f"{where} needs a right that this user lacks: use a port above 1023, or CAP_NET_BIND_SERVICE")
    return ServerUnavailable(f"{where} cannot be listened on: {error.strerror}; check {setting} and the addresses of this machine")


def _has_ipv6(address: str) -> bool:
    """Whether this machine has the IPv6 address; a machine without IPv6 still serves IPv4."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
        return True
    except OSError:
        return not ipaddress.ip_address(address).is_loopback and not ipaddress.ip_address(address).is_unspecified


def can_share() -> bool:
    """Whether this system spreads packets over the sockets of a port. macOS hands all of them to one socket."""
    return sys.platform == "linux"
