"""Where a browser sees our pages: what passkeys are bound to. A number is no name, so at `https://127.0.0.1` there are none."""

from functools import lru_cache
from urllib.parse import urlsplit

from starlette.requests import Request

from wardgate.factors.port import Site
from wardgate.web.access import LOCALHOST, as_localhost, is_number, requested_host
from wardgate.web.context import WebContext


def site_of(request: Request, context: WebContext) -> Site | None:
    """The configured address, where it has a name. Any other name in the Host header is somebody else's, and counts for nothing.

    Where none is configured and we listen on this machine's own address, its name for itself does as well: the demo.
    """
    site = _site(context.origin)
    if site is None and not context.hosts and requested_host(request) == LOCALHOST:
        return _site(as_localhost(context.origin))
    return site


def other_address(context: WebContext) -> str:
    """By which name the same pages can be reached where passkeys work; empty where there is none."""
    named = "" if context.hosts else as_localhost(context.origin)
    return named if _site(named) is not None else ""


@lru_cache(maxsize=16)
def _site(origin: str) -> Site | None:
    host = urlsplit(origin).hostname or ""
    return Site(origin, host) if host and not is_number(host) else None
