"""How long the session of an open page still lives, and that its person stays.

Two minutes before a session ends for want of use its pages say so and offer to stay (WCAG 2.2.1). A script does that: it asks first
how long there is left, since somebody may have gone on in another tab, and asking is no use of the session.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from wardgate.clock import to_ms
from wardgate.pages.browser import browser_of, form_of, is_ours
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.portal.gate import STAYING, Gate
from wardgate.session.sessions import left_ms
from wardgate.web.access import require_known_host

LEFT: Final = "/account/session-left"
STAY: Final = "/account/stay"


class StayingPages:
    """What the script of a page asks."""

    def __init__(self, door: BrowserDoor, gate: Gate) -> None:
        self._door = door
        self._gate = gate

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route(LEFT, self.left, methods=["GET"]), Route(STAY, self.stay, methods=["POST"])]

    async def left(self, request: Request) -> Response:
        """The seconds that are left, the last one whole; 0 for no session. Nothing is prolonged."""
        require_known_host(request, self._door.context.hosts)
        session = await self._door.sessions.look(request.cookies.get(SESSION_COOKIE, ""))
        left = 0 if session is None else left_ms(session, to_ms(self._door.clock.now()))
        return JSONResponse({"left_s": -(-left // 1000)})

    async def stay(self, request: Request) -> Response:
        """The person is still there: that he says so is use of the session. A form that is not ours is none."""
        require_known_host(request, self._door.context.hosts)
        ours = is_ours(request, browser_of(request), self._door.ring(), await form_of(request), STAYING, self._door.context.origin)
        present = await self._gate.enter(request) if ours else None
        return present if isinstance(present, Response) else RedirectResponse(LEFT, status_code=303)
