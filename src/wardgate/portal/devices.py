"""The browsers that a person trusts: the list, and the end of one."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.device import devices_of, forget, read_value
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import from_ms, to_ms
from wardgate.pages.browser import browser_of, drop_cookie, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.trusting import DEVICE_COOKIE, device_shown
from wardgate.portal.gate import Gate, Present
from wardgate.storage.port import Row
from wardgate.texts import Text

PAGE: Final = "/account/devices"
_FORM: Final = "devices"


class DevicePages:
    """The page under `/account/devices`."""

    def __init__(self, door: BrowserDoor, gate: Gate) -> None:
        self._door = door
        self._gate = gate

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route(PAGE, self.listed, methods=["GET"]), Route(PAGE, self.forget, methods=["POST"])]

    async def listed(self, request: Request) -> Response:
        """The trusted browsers, this one marked."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        return await self._page(request, present)

    async def forget(self, request: Request) -> Response:
        """Trust one no more. Nothing is asked for that: ending is always allowed."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        if not is_ours(request, browser, self._door.ring(), form, _FORM, self._door.context.origin):
            return await self._page(request, present, Text("form.old"), 422)
        subject_id, wanted = present.session.whose.subject_id, form.fields.get("device", "")
        if all(row["id"] != wanted for row in await self._rows(present)):
            raise HTTPException(404)
        details = {"device": wanted, "why": "person", "user": present.user.name, "client": present.client}
        now_ms = to_ms(self._door.clock.now())
        event = AuditEvent(Kind.DEVICE_FORGOTTEN, now_ms, "person", subject_id=subject_id, details=details)
        await self._door.storage.commit([forget(subject_id, wanted), record(event)])
        response = RedirectResponse(PAGE, status_code=303)
        if wanted == self._this(request):
            drop_cookie(response, DEVICE_COOKIE)
        return response

    async def _rows(self, present: Present) -> list[Row]:
        [rows] = await self._door.storage.read([devices_of(present.session.whose.subject_id)])
        return [row for row in rows if int(row["expires_at"] or 0) > to_ms(self._door.clock.now())]

    def _this(self, request: Request) -> str:
        value = device_shown(request)
        shown = read_value(self._door.ring(), value) if value is not None else None
        return shown.id if shown is not None else ""

    async def _page(self, request: Request, present: Present, error: Text | None = None, status: int = 200) -> Response:
        browser, this = browser_of(request), self._this(request)
        rows = [
            {
                "id": row["id"],
                "label": str(row["label"]),
                "made": from_ms(int(row["created_at"] or 0)),
                "used": from_ms(int(row["last_used_at"] or 0)),
                "until": from_ms(int(row["expires_at"] or 0)),
                "this": row["id"] == this,
            }
            for row in await self._rows(present)
        ]
        response = self._door.pages.page(
            request,
            "devices.html",
            status,
            posts=True,
            csrf=browser.csrf(self._door.ring(), _FORM),
            session=present.session,
            user=present.user,
            rows=rows,
            error=error,
        )
        browser.keep(response)
        return response
