"""Fetches metadata from its address, and from nowhere else.

Whoever may write a configuration, or owns a name in it, must not make this server ask inside its own network: the name is resolved
here, every address that it leads to is checked, and the connection is made to the address that was checked, so that a name that
leads elsewhere a moment later gains nothing. Redirects are not followed. What an operator has inside is let through by network.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx

from wardgate.errors import MetadataUnavailable, SettingsError
from wardgate.federation.checking import is_metadata_url
from wardgate.federation.settings import MetadataSettings

# What the parser takes at most.
MAX_OCTETS: Final = 2 * 1024 * 1024
FETCH_TIMEOUT_S: Final = 20.0
MAX_ADDRESSES: Final = 8
HTTPS_PORT: Final = 443

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

# IPv6 that carries an IPv4 address: NAT64 (RFC 6052, RFC 8215), of which the last 32 bits count.
_NAT64: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as this machine resolves names."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def fetch(settings: MetadataSettings, resolver: Resolver = resolve, timeout_s: float = FETCH_TIMEOUT_S) -> bytes:
    """The document at `settings.url`, within the time and at most `MAX_OCTETS`.

    Raises MetadataUnavailable, whose message says what to look at, and SettingsError for an authority's file that cannot be read.
    """
    url = settings.url or ""
    if not is_metadata_url(url):
        raise MetadataUnavailable("the address is not https, or no address")
    context = tls_context(settings.authority)
    try:
        async with asyncio.timeout(timeout_s):
            return await _fetch(url, _networks(settings), context, resolver)
    except TimeoutError as error:
        raise MetadataUnavailable(f"the address did not answer within {timeout_s:g} seconds") from error


def tls_context(authority: str | None) -> ssl.SSLContext:
    """A context that always verifies certificate and name. Raises SettingsError for a file without an authority."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError("metadata.authority: the file cannot be read, or holds no PEM certificate") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def problem_of(address: str, allowed: Sequence[Network]) -> str:
    """Why this address is not asked; empty when it may be."""
    found = plain_address(address)
    if found is None:
        return f"{address} is no address"
    if found.is_unspecified or found.is_multicast:
        return f"{found} is nobody's address"
    if any(found in network for network in allowed):
        return ""
    if not found.is_global or found.is_loopback or found.is_link_local or found.is_private or found.is_reserved:
        return f"{found} is inside your network, and metadata.allow (--allow) does not name it"
    return ""


def plain_address(text: str) -> Address | None:
    """The address that is reached in the end: IPv4 that is written inside IPv6 counts as what it is."""
    try:
        # A zone names an interface of this machine: what it leads to is link-local whatever stands before it.
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    carries = any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1)
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if carries else address


async def _fetch(url: str, allowed: Sequence[Network], context: ssl.SSLContext, resolver: Resolver) -> bytes:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or HTTPS_PORT
    failed = MetadataUnavailable(f"the name {host} leads to no address")
    for address in await _checked(host, port, allowed, resolver):
        try:
            return await _ask(url, address, context)
        except MetadataUnavailable as error:
            failed = error
    raise failed


async def _checked(host: str, port: int, allowed: Sequence[Network], resolver: Resolver) -> Sequence[str]:
    """The addresses of the host, if every one of them may be asked: a name that also leads inward is nobody's honest name."""
    try:
        addresses = await resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise MetadataUnavailable(f"the name {host} cannot be resolved") from error
    for address in addresses:
        if problem := problem_of(address, allowed):
            raise MetadataUnavailable(f"{host}: {problem}")
    return addresses[:MAX_ADDRESSES]


async def _ask(url: str, address: str, context: ssl.SSLContext) -> bytes:
    """Ask one address under the name of the host, whose certificate it has to show."""
    parts = urlsplit(url)
    pinned = httpx.URL(url).copy_with(host=address.partition("%")[0])
    headers = [("Host", parts.netloc), ("Accept", "application/samlmetadata+xml, text/xml"), ("Accept-Encoding", "identity")]
    request = httpx.Request("GET", pinned, headers=headers, extensions={"sni_hostname": parts.hostname})
    # The transport and not the client, which would follow redirects, take proxies from the environment and log the address.
    async with httpx.AsyncHTTPTransport(verify=context, limits=httpx.Limits(max_connections=1), trust_env=False) as transport:
        try:
            response = await transport.handle_async_request(request)
            try:
                return await _body(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise MetadataUnavailable(f"{parts.hostname}: {_explained(error)}") from error


async def _body(response: httpx.Response) -> bytes:
    if response.is_redirect:
        raise MetadataUnavailable("the address redirects elsewhere: write the address that it leads to")
    if response.status_code != 200:
        raise MetadataUnavailable(f"the address answers with status {response.status_code}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise MetadataUnavailable("the address packs what it sends, though it was asked not to")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_OCTETS:
            raise MetadataUnavailable(f"the metadata is larger than {MAX_OCTETS // 1024} KiB")
    return bytes(body)


def _networks(settings: MetadataSettings) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in settings.allow)


def _explained(error: BaseException | None) -> str:
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its TLS certificate does not hold: {error.verify_message}"
        if isinstance(error, ConnectionRefusedError):
            return "the connection is refused"
        error, seen = error.__cause__ or error.__context__, seen + 1
    return "the connection failed"
