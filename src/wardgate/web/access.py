"""Who may see what: addresses, Host headers, cross-site posts, and the gate of the operators' pages."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from wardgate.admin.links import Session, find_session
from wardgate.web.asking import headers_named
from wardgate.web.context import LOOPBACK, Network, WebContext

SESSION_COOKIE = "__Host-wg_admin"
# A proxy on this machine would make the whole world look like loopback.
_FORWARDING = ("forwarded", "x-forwarded-for", "x-real-ip")


class Closed(HTTPException):
    """A page that this asker may not see; `text` is the id of the sentence that says what to do."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.text = text


MAX_HOPS = 10
# An IPv6 address with the name of a network interface.
MAX_ADDRESS_CHARS = 64
# Of what proxies tell of one request: more is worked out each time anew.
MAX_KEPT_CHARS = 256
# What this machine calls itself.
LOCALHOST = "localhost"
_NOWHERE = ("", 0)


def client_address(request: Request, proxies: Sequence[Network] = ()) -> str:
    """The address that the request comes from, for records and brakes.

    That of the connection, unless it is one of `proxies`: then the last address of X-Forwarded-For that is none of them. What
    stands before that one was written by whoever sent it.
    """
    connection: str = (request.scope.get("client") or _NOWHERE)[0]
    if not proxies:
        return connection
    forwarded = ",".join(headers_named(request, b"x-forwarded-for"))
    told_by = _told_by if len(forwarded) <= MAX_KEPT_CHARS else _told_by.__wrapped__
    return told_by(connection, forwarded, tuple(proxies))


@lru_cache(maxsize=1024)
def _told_by(connection: str, forwarded: str, proxies: tuple[Network, ...]) -> str:
    """Asked for each request, mostly about the same few."""
    address = _address(connection)
    if address is None or not _among(address, proxies):
        return connection
    for hop in reversed(forwarded.split(",")[-MAX_HOPS:]):
        told = _address(hop.strip())
        if told is None:
            return connection
        if not _among(told, proxies):
            return str(told)
    return connection


def came_directly(request: Request, proxies: Sequence[Network]) -> bool:
    """Whether the browser's own connection ends here, and not at one of `proxies`."""
    address = _address(request.client.host if request.client else "")
    return address is not None and not _among(address, proxies)


def _among(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def client_in(request: Request, networks: Sequence[Network]) -> bool:
    """Whether the connection comes from one of `networks`, and not through a proxy that hides where it began."""
    if any(name in request.headers for name in _FORWARDING):
        return False
    address = _address(client_address(request))
    return address is not None and any(address in network for network in networks)


def loopback_host(request: Request) -> bool:
    """Whether the page was asked for under a loopback name or address.

    A stranger's web site can make its own name point to 127.0.0.1 (DNS rebinding) and would then read our pages from the
    visitor's browser; the Host header still bears the stranger's name.
    """
    host = requested_host(request)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def requested_host(request: Request) -> str:
    """The name in the Host header, in lower case and without the port; empty when there is not exactly one that parses."""
    values = headers_named(request, b"host")
    return _host_of(values[0]) if len(values) == 1 else ""


def same_origin(request: Request, origin: str) -> bool:
    """Whether a POST comes from one of our own pages: what a browser says of itself, in either of two ways."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") == origin


def require_local(request: Request) -> None:
    """Let only a browser on this machine pass, and only under a loopback name: the demo's gate."""
    if not client_in(request, LOOPBACK):
        raise Closed(403, "page.only_this_machine")
    if not loopback_host(request):
        raise Closed(421, "page.only_loopback_name")


def hosts_of(public_url: str) -> frozenset[str]:
    """The Host names that requests may bear where people reach us by this address; without one: any."""
    return frozenset({(urlsplit(public_url).hostname or "").rstrip(".")} - {""})


def require_known_host(request: Request, hosts: frozenset[str]) -> None:
    """Let only requests to a configured name pass; an empty list lets all pass."""
    if hosts and requested_host(request) not in hosts:
        raise HTTPException(421)


def require_same_origin(request: Request, context: WebContext) -> None:
    """Refuse a POST that another site made the browser send."""
    if not same_origin(request, context.origin):
        raise Closed(403, "page.other_site")


async def require_operator(request: Request, context: WebContext) -> Session | None:
    """The gate of the live log: this machine in the demo (no session then), a session of a one-time link under `serve`."""
    if context.demo:
        require_local(request)
        return None
    require_known_host(request, context.hosts)
    session = await find_session(context.storage, context.ring(), context.clock, request.cookies.get(SESSION_COOKIE, ""))
    if session is None:
        raise Closed(403, "page.no_session")
    return session


def _address(text: str) -> IPv4Address | IPv6Address | None:
    return _parsed(text) if len(text) <= MAX_ADDRESS_CHARS else None


@lru_cache(maxsize=64)
def _host_of(header: str) -> str:
    """Asked for each request, mostly about the same one."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


@lru_cache(maxsize=1024)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Asked several times for each request, mostly about the same few."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=16)
def as_localhost(origin: str) -> str:
    """The same origin by the machine's name for itself, where its address is of that kind."""
    parts = urlsplit(origin)
    if not is_number(parts.hostname or "") or not ip_address(parts.hostname or "").is_loopback:
        return origin
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{LOCALHOST}{port}"


def is_number(host: str) -> bool:
    """Whether a host is an address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
