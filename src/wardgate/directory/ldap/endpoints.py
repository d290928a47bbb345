"""The addresses of servers as settings write them: `ldaps://`, `ldap+starttls://`, `ldaps+srv://`."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

LDAPS_PORT: Final = 636
LDAP_PORT: Final = 389
_MAX_HOST_CHARS: Final = 253


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server. `name` is what it is called everywhere: `host:port`."""

    host: str
    port: int
    starttls: bool
    name: str


@dataclass(frozen=True, slots=True)
class SrvDomain:
    """Servers that DNS names for this domain (`_ldap._tcp`); all are spoken to by LDAPS."""

    domain: str


def endpoint(host: str, port: int, starttls: bool = False) -> Endpoint:
    """An endpoint with its name."""
    host = host.lower()
    return Endpoint(host, port, starttls, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def parse_server(url: str) -> Endpoint | SrvDomain:
    """What one entry of `servers` means. Raises ValueError with a text for an operator."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ValueError(f"{url!r} is no address; write ldaps://host:636")
    if scheme == "ldap":
        raise ValueError(
            "ldap:// would send passwords in clear; write ldaps://host:636, or ldap+starttls://host:389 for StartTLS, without "
            "which the connection is then refused"
        )
    if scheme not in ("ldaps", "ldap+starttls", "ldaps+srv"):
        raise ValueError(f"{scheme}:// is unknown; write ldaps://, ldap+starttls:// or ldaps+srv://")
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r}: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError("no account belongs into a server's address; it stands under bind")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r}: nothing may stand behind host and port")
    if not host or len(host) > _MAX_HOST_CHARS or any(character.isspace() for character in host):
        raise ValueError(f"{url!r} names no host")
    if scheme == "ldaps+srv":
        if port is not None:
            raise ValueError("ldaps+srv:// takes a domain without a port; DNS names the ports")
        return SrvDomain(host.rstrip("."))
    if port == 0:
        raise ValueError(f"{url!r}: port 0 is none")
    starttls = scheme == "ldap+starttls"
    return endpoint(host, port or (LDAP_PORT if starttls else LDAPS_PORT), starttls)
