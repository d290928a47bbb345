"""Signing in by the ticket of a computer that is in the domain: HTTP's Negotiate (RFC 4559) at `/sign-in/kerberos`.

A browser without a ticket sees the ordinary form, which is the body of the 401; one with a ticket asks again by itself, and is
signed in or asked for the next factor. It is the browser that does this, so it is a GET, and the one that begins something: it is
taken only from a page that opens, it uses up the ticket that it brings, and it can sign in nobody but the person whose computer
this is. Where somebody is signed in already, nothing is asked and nothing changes.

Only browsers of the configured networks are asked: elsewhere one might ask its user for a password that is none of its business.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.engine.outcome import Denied
from wardgate.engine.ticket_first import TicketRequest
from wardgate.pages.browser import Browser, browser_of
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.place import then_of
from wardgate.pages.purpose import Aim
from wardgate.pages.steps import Step
from wardgate.texts import Text
from wardgate.web.access import came_directly, require_known_host
from wardgate.web.language import language_of_request

KERBEROS_FIRST: Final = "/sign-in/kerberos"
_AUTHENTICATE: Final = "www-authenticate"
_SCHEME: Final = "negotiate"
# By the beginning of the text: what is neither is a ticket that was not taken.
_STATUS: Final = {"wait": 429, "down": 503}


class TicketPages:
    """The page of signing in by a ticket. `aim`, `form` and `go_on`: those of every sign-in."""

    def __init__(
        self,
        door: BrowserDoor,
        aim: Callable[[Request, Browser, str | None], Awaitable[Aim]],
        form: Callable[..., Response],
        go_on: Callable[..., Awaitable[Response]],
    ) -> None:
        self._door = door
        self._aim = aim
        self._form = form
        self._go_on = go_on

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route(KERBEROS_FIRST, self.begin, methods=["GET"])]

    def asks(self, request: Request) -> bool:
        """Whether this browser is one to ask for a ticket."""
        return self._door.engine.asks_for_ticket(self._door.address(request))

    async def begin(self, request: Request) -> Response:
        """Ask for a ticket, or take the one that came."""
        require_known_host(request, self._door.context.hosts)
        then = then_of(request.query_params.get("then"))
        if await self._door.sessions.find(request.cookies.get(SESSION_COOKIE, "")) is not None:
            return RedirectResponse(then, status_code=303)
        if not _opens_page(request) or not self.asks(request):
            return RedirectResponse(f"/sign-in?then={quote(then)}", status_code=303)
        shown, browser = _shown(request), browser_of(request)
        aim = await self._aim(request, browser, then)
        if shown is None:
            page = self._form(request, browser, aim, notice=Text("kerberos.none"), status=401, asks_ticket=False)
            page.headers[_AUTHENTICATE] = "Negotiate"
            return page
        trail, origin, context = self._door.trail(request), self._door.origin(request, browser), self._door.context
        bindings = context.endpoint.binding if came_directly(request, context.proxies) else b""
        ticket = TicketRequest(aim.purpose.application, shown, bindings, origin, trail)
        name, answer, outcome = await self._door.engine.begin_by_ticket(ticket)
        await self._door.published(trail, outcome)
        if isinstance(outcome, Denied):
            status = _STATUS.get(outcome.text.id.partition(".")[0])
            if status is not None:
                return self._form(request, browser, aim, error=outcome.text, status=status, asks_ticket=False)
            return self._form(request, browser, aim, notice=outcome.text, status=403, asks_ticket=False)
        step = Step("", 0, ticket.application, name, outcome.reference, language_of_request(request), then, None)
        response = await self._go_on(request, browser, step, outcome)
        response.headers[_AUTHENTICATE] = f"Negotiate {base64.b64encode(answer).decode()}"
        return response


def _opens_page(request: Request) -> bool:
    """Whether the browser opens this as a page: a picture or a script of somebody else's page must not use up tickets."""
    return request.method == "GET" and request.headers.get("sec-fetch-dest", "document") == "document"


def _shown(request: Request) -> bytes | None:
    """What the browser brought; None where it brought nothing of this kind, and nothing at all for what cannot be read."""
    given = request.headers.getlist("authorization")
    scheme, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != _SCHEME:
        return None
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
