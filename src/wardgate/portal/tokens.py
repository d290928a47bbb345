"""A hardware token that was handed to the person: he types its serial number and the code that it shows."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.authenticator import kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.token import MAX_SERIAL_CHARS
from wardgate.engine.holders import holder_of
from wardgate.engine.own_token import take_token, whom_of
from wardgate.factors.port import MAX_ANSWER_BYTES
from wardgate.pages.browser import browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.portal.enrolment import LIST
from wardgate.portal.gate import Gate, Present
from wardgate.texts import Text

ADDRESS: Final = "/enrol/token"
_FORM: Final = "token"
_STATUS: Final = {"wait.person": 429, "freeze.on": 409}


class TokenPages:
    """The page of a new hardware token."""

    def __init__(self, door: BrowserDoor, gate: Gate) -> None:
        self._door = door
        self._gate = gate

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route(ADDRESS, self.ask, methods=["GET"]), Route(ADDRESS, self.take, methods=["POST"])]

    async def ask(self, request: Request) -> Response:
        """Ask for the number and a code; who has not just proved that it is him does that first."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        return self._page(request, present) if self._gate.is_fresh(present, adds=True) else self._gate.to_confirm(ADDRESS)

    async def take(self, request: Request) -> Response:
        """Take the token, if its code is right."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        form = await form_of(request)
        serial = form.text("serial", 4 * MAX_SERIAL_CHARS)
        if not is_ours(request, browser_of(request), self._door.ring(), form, _FORM, self._door.context.origin):
            return self._page(request, present, Text("form.old"), serial)
        if not self._gate.is_fresh(present, adds=True):
            return self._gate.to_confirm(ADDRESS)
        whose, user, door = present.session.whose, present.user, self._door
        rows, contacts = await door.storage.read([kept_authenticators(whose.subject_id), kept_contacts(whose.subject_id)])
        holder = holder_of(door.ring(), whose.subject_id, user, (), (), contacts)
        whom = whom_of(whose.subject_id, user.name, door.portal(), whose.language, whose.realm, present.client)
        told = await take_token(door.parts, whom, holder, list(rows), serial, form.text("code", MAX_ANSWER_BYTES))
        if told is not None:
            return self._page(request, present, told, serial)
        return RedirectResponse(LIST, status_code=303)

    def _page(self, request: Request, present: Present, error: Text | None = None, serial: str = "") -> Response:
        browser = browser_of(request)
        status = 200 if error is None else _STATUS.get(error.id, 422)
        values = {"error": error, "serial": serial, "session": present.session, "user": present.user}
        csrf = browser.csrf(self._door.ring(), _FORM)
        response = self._door.pages.page(request, "enrol_token.html", status, posts=True, csrf=csrf, **values)
        browser.keep(response)
        return response
