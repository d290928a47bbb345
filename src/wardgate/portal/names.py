"""A forgotten user name: a phone or mail address, and one page for everybody who asks."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.audit.timeline import Trail
from wardgate.engine.self_service.names import MAX_CHARS, Asking, UserNames
from wardgate.pages.browser import Browser, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.told import told_reference, with_reference
from wardgate.texts import Text
from wardgate.web.access import require_known_host

NAMES: Final = "/username"
SENT: Final = f"{NAMES}/sent"


class NamePages:
    """The pages of a forgotten user name."""

    def __init__(self, door: BrowserDoor, names: UserNames) -> None:
        self._door = door
        self._names = names

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(NAMES, self.ask, methods=["GET"]),
            Route(NAMES, self.send, methods=["POST"]),
            Route(SENT, self.sent, methods=["GET"]),
        ]

    async def ask(self, request: Request) -> Response:
        """The form. Stores nothing."""
        require_known_host(request, self._door.context.hosts)
        return self._form(request, browser_of(request))

    async def send(self, request: Request) -> Response:
        """Look for whose it is, and reply the same at the same time, whatever was found."""
        require_known_host(request, self._door.context.hosts)
        browser, form = browser_of(request), await form_of(request)
        typed = form.text("contact", MAX_CHARS)
        if not is_ours(request, browser, self._door.ring(), form, NAMES, self._door.context.origin):
            return self._form(request, browser, typed, Text("form.old"), 422)
        if not typed:
            return self._form(request, browser, "", Text("username.missing"), 422)
        trail, origin = self._door.trail(request), self._door.origin(request, browser)
        asking = Asking(self._door.portal(), typed, origin.client, origin.source, origin.language or "", trail)
        problem = await self._names.ask(asking)
        await self._held_back(trail)
        if problem is not None:
            return self._form(request, browser, typed, problem, 503 if problem.id.startswith("down.") else 429)
        return RedirectResponse(with_reference(SENT, trail.reference), status_code=303)

    async def sent(self, request: Request) -> Response:
        """If we know it, it is on its way."""
        require_known_host(request, self._door.context.hosts)
        return self._door.pages.page(request, "names_sent.html", reference=told_reference(request))

    async def _held_back(self, trail: Trail) -> None:
        """Until the latest moment of all realms: a contact names none of them."""
        floor_ms = max(realm.settings.reply_floor_ms for realm in self._door.configuration().realms)
        left_s = trail.started + floor_ms / 1000 - self._door.clock.monotonic()
        await asyncio.sleep(max(0.0, left_s))
        self._door.recorder.publish(trail)

    def _form(self, request: Request, browser: Browser, typed: str = "", error: Text | None = None, status: int = 200) -> Response:
        csrf = browser.csrf(self._door.ring(), NAMES)
        response = self._door.pages.page(
            request, "names.html", status, posts=True, csrf=csrf, typed=typed[:MAX_CHARS], error=error, throttled=status == 429
        )
        if status in (429, 503):
            response.headers["retry-after"] = str(int(error.values.get("min", 1)) * 60 if error is not None else 60)
        browser.keep(response)
        return response
