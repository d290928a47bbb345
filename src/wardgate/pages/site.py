"""Where a browser sees our pages: what passkeys are bound to. A number is no name, so at `https://127.0.0.1` there are none."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from wardgate.factors.port import Site
from wardgate.web.access import requested_host
from wardgate.web.context import WebContext

LOCALHOST: Final = "localhost"


def site_of(request: Request, context: WebContext) -> Site | None:
    """The configured address, where it has a name. Any other name in the Host header is somebody else's, and counts for nothing.

    Where none is configured and we listen on this machine's own address, its name for itself does as well: the demo.
    """
    if not context.hosts and requested_host(request) == LOCALHOST:
        return _site(_as_localhost(context.origin))
    return _site(context.origin)


def other_address(context: WebContext) -> str:
    """By which name the same pages can be reached where passkeys work; empty where there is none."""
    named = "" if context.hosts else _as_localhost(context.origin)
    return named if _site(named) is not None else ""


def _as_localhost(origin: str) -> str:
    """The same origin by the machine's name for itself, where its address is of that kind."""
    parts = urlsplit(origin)
    if not _is_number(parts.hostname or "") or not ip_address(parts.hostname or "").is_loopback:
        return origin
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{LOCALHOST}{port}"


@lru_cache(maxsize=16)
def _site(origin: str) -> Site | None:
    host = urlsplit(origin).hostname or ""
    return Site(origin, host) if host and not _is_number(host) else None


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
