"""A message that a browser brought to one of our endpoints: in the address, or in a form that another site posts to us.

With such a form no cookie of ours comes along, and no token of ours is in it. Opened by a link of another site, the browser shows
its cookies: what it brings in the address is its own from the start.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from wardgate.errors import SamlMessageError
from wardgate.federation.arriving import NotTrusted, not_trusted
from wardgate.federation.door import FederationDoor
from wardgate.federation.pages import refused
from wardgate.federation.saml.bindings import Received, read_post, read_redirect
from wardgate.pages.browser import Browser, browser_of
from wardgate.pages.door import SESSION_COOKIE
from wardgate.web.access import require_known_host

# A message of 64 KiB in base64 and percent signs, with its RelayState.
MAX_POST_BYTES: Final = 128 * 1024
MAX_FIELDS: Final = 20
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Brought:
    """A message, and the browser that it is known to be in; None where a form brought it, or the browser is new to us."""

    received: Received
    browser: Browser | None


async def brought(door: FederationDoor, request: Request) -> Brought | Response:
    """What came in by either binding, or the page for what cannot be read."""
    require_known_host(request, door.browser.context.hosts)
    by_post = request.method == "POST"
    received = await _posted(request) if by_post else _in_address(request)
    if isinstance(received, NotTrusted):
        return refused(door, request, received)
    browser = None if by_post else browser_of(request)
    return Brought(received, None if browser is None or browser.fresh else browser)


async def may_sign(door: FederationDoor, request: Request) -> None:
    """Before an answer is signed that nobody had to sign in for. Raises HTTPException where there were too many of late.

    Whoever is signed in is answered all the same: no stranger at his address, or at many, shuts his applications.
    """
    if door.allowance.take(door.browser.address(request), door.now_ms()):
        return
    if await door.browser.sessions.look(request.cookies.get(SESSION_COOKIE, "")) is None:
        raise HTTPException(429, headers={"retry-after": "10"})


def _in_address(request: Request) -> Received | NotTrusted:
    query: bytes = request.scope["query_string"]
    try:
        return read_redirect(query)
    except SamlMessageError as error:
        return not_trusted("federation.malformed", error)


async def _posted(request: Request) -> Received | NotTrusted:
    """The message in the form; bindings section 3.5. The body's limit stands before any handler (`MorePages.larger`)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        return NotTrusted("federation.malformed", "saml_form", "no form")
    body = await request.body()
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        return read_post(fields)
    except SamlMessageError as error:
        return not_trusted("federation.malformed", error)
    except ValueError:
        return NotTrusted("federation.malformed", "saml_form", "a form that cannot be read")
