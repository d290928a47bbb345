"""What the web room is given: everything that its pages read, in one value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from ipaddress import IPv4Network, IPv6Network, ip_network

from wardgate.audit.recorder import Recorder
from wardgate.brand.looks import Looks, plain_looks
from wardgate.clock import Clock
from wardgate.crypto import KeyRing
from wardgate.metrics import Metrics
from wardgate.storage.port import Storage
from wardgate.watch.node import Node
from wardgate.web.streams import Streams

Network = IPv4Network | IPv6Network
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class DemoFactor:
    """A second factor of a demo user. `secret`: of an app or device; `address`: where codes go; `codes`: recovery codes."""

    kind: str
    secret: bytes = b""
    digits: int = 6
    period_s: int = 30
    address: str = ""
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A user to try. Everything about the demo is public."""

    name: str
    password: str
    factors: tuple[DemoFactor, ...] = ()
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class DemoGuide:
    """What the demo's start page tells: where RADIUS listens, the demo NAS's shared secret, and the users."""

    radius_host: str
    radius_port: int
    radius_secret: str
    users: tuple[DemoUser, ...]


@dataclass(slots=True)
class Endpoint:
    """The TLS endpoint that a listener is now. `binding`: see `certificates.endpoint_binding`; it changes with the certificate."""

    binding: bytes = b""


def utc(_: str) -> tzinfo:
    """Of every realm: what is read where nothing is configured."""
    return UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class WebContext:
    """Everything the pages need.

    `origin`: how people reach us (`https://login.acme.test`). `guide`: the demo's, None under `serve`; with it the outbox exists
    and the log is open to this machine. `hosts`: names that the Host header may bear under `serve`; empty: any. `proxies`: those
    whose word about a browser's address is taken. `looks`: the brands in force; `zone_of`: in which zone a realm reads times.
    `ready`: what keeps this worker from doing its work, as sentences for operators, empty when nothing does (storage is asked by
    the page itself). `node`: all workers of this machine; None where there is one. `endpoint`: the certificate that browsers see,
    if they see ours.
    """

    storage: Storage
    ring: Callable[[], KeyRing]
    clock: Clock
    recorder: Recorder
    metrics: Metrics
    origin: str
    ready: Callable[[], Sequence[str]]
    guide: DemoGuide | None = None
    hosts: frozenset[str] = frozenset()
    metrics_networks: tuple[Network, ...] = LOOPBACK
    proxies: tuple[Network, ...] = ()
    looks: Callable[[], Looks] = plain_looks
    zone_of: Callable[[str], tzinfo] = utc
    streams: Streams = field(default_factory=Streams)
    node: Node | None = None
    endpoint: Endpoint = field(default_factory=Endpoint)

    @property
    def whole_node(self) -> Node:
        """The node: this worker alone unless others were named."""
        return self.node or Node(self.metrics, self.ready, self.clock)

    @property
    def demo(self) -> bool:
        """Whether this is the demo."""
        return self.guide is not None
