"""Another name for an authenticator or a trusted browser of the person's own, each on a page of its own.

A name decides nothing, but it is what its owner knows a thing by: whoever could change it would pass his own phone off as the
owner's, in the list and in messages. So it asks the same proof as a change of the thing itself, and is recorded.
"""

from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.authenticator import kept_authenticators
from wardgate.account.device import TABLE as DEVICES
from wardgate.account.device import devices_of
from wardgate.account.freeze import unfrozen
from wardgate.account.nickname import MAX_CHARS, read_nickname
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import to_ms
from wardgate.pages.browser import browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.portal.devices import PAGE as DEVICE_LIST
from wardgate.portal.enrolment import LIST
from wardgate.portal.gate import Gate, Present
from wardgate.storage.port import Committed, Operation, Row, Update, Where
from wardgate.texts import Text

_FORM: Final = "rename"


@dataclass(frozen=True, slots=True)
class _Named:
    """What is to be renamed. `way`: the kind of an authenticator; empty for a browser."""

    row: Row
    table: str
    back: str
    way: str = ""

    @property
    def id(self) -> str:
        """Its own."""
        return str(self.row["id"])

    @property
    def label(self) -> str:
        """Its present name."""
        return str(self.row["label"])


class RenamingPages:
    """The pages under `/account/authenticators/` and `/account/devices/`."""

    def __init__(self, door: BrowserDoor, gate: Gate) -> None:
        self._door = door
        self._gate = gate

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(f"{page}/{{id}}", does, methods=[method])
            for page in (LIST, DEVICE_LIST)
            for method, does in (("GET", self.ask), ("POST", self.rename))
        ]

    async def ask(self, request: Request) -> Response:
        """Ask for the name; who has not just proved that it is him does that first."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        named = await self._named(request, present)
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(f"{named.back}/{named.id}")
        return self._page(request, present, named, named.label)

    async def rename(self, request: Request) -> Response:
        """Give it the name."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form, named = browser_of(request), await form_of(request), await self._named(request, present)
        typed = form.text("nickname", 4 * MAX_CHARS)
        if not is_ours(request, browser, self._door.ring(), form, _FORM, self._door.context.origin):
            return self._page(request, present, named, typed, Text("form.old"))
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(f"{named.back}/{named.id}")
        name = read_nickname(typed)
        if name is None:
            return self._page(request, present, named, typed, Text("account.nickname_rule", {"n": MAX_CHARS}))
        if name != named.label and not await self._renamed(present, named, name):
            said = Text("freeze.on" if await self._gate.is_frozen(present) else "flow.done_elsewhere")
            return self._page(request, present, named, typed, said, 409)
        return RedirectResponse(named.back, status_code=303)

    async def _renamed(self, present: Present, named: _Named, name: str) -> bool:
        """In one unit with its record. Of two who rename it at once, one is told that it is done."""
        subject_id, row = present.session.whose.subject_id, named.row
        same = tuple(Where(column, "=", row[column]) for column in ("subject_id", "label", "state"))
        update = Update(named.table, {"id": named.id}, {"label": name}, where=same)
        return isinstance(await self._door.storage.commit([unfrozen(subject_id), update, self._event(present, named)]), Committed)

    def _event(self, present: Present, named: _Named) -> Operation:
        details: dict[str, object] = {"user": present.user.name, "client": present.client}
        if named.way:
            kind, details = Kind.AUTHENTICATOR_RENAMED, {**details, "kind": named.way, "authenticator": named.id}
        else:
            kind, details = Kind.DEVICE_RENAMED, {**details, "device": named.id}
        now_ms = to_ms(self._door.clock.now())
        return record(AuditEvent(kind, now_ms, "person", subject_id=present.session.whose.subject_id, details=details))

    async def _named(self, request: Request, present: Present) -> _Named:
        """The thing of this person's that the address names. A sheet of codes has no name: there is one."""
        subject_id, wanted = present.session.whose.subject_id, request.path_params["id"]
        is_device = request.url.path.startswith(f"{DEVICE_LIST}/")
        [rows] = await self._door.storage.read([devices_of(subject_id) if is_device else kept_authenticators(subject_id)])
        row = next((each for each in rows if each["id"] == wanted and each.get("kind") != RECOVERY_CODE), None)
        if row is None or (is_device and int(row["expires_at"] or 0) <= to_ms(self._door.clock.now())):
            raise HTTPException(404)
        return _Named(row, DEVICES, DEVICE_LIST) if is_device else _Named(row, "authenticator", LIST, str(row["kind"]))

    def _page(
        self, request: Request, present: Present, named: _Named, typed: str, error: Text | None = None, status: int = 422
    ) -> Response:
        browser = browser_of(request)
        response = self._door.pages.page(
            request,
            "rename.html",
            200 if error is None else status,
            posts=True,
            csrf=browser.csrf(self._door.ring(), _FORM),
            session=present.session,
            user=present.user,
            way=named.way,
            typed=typed,
            back=named.back,
            most=MAX_CHARS,
            error=error,
        )
        browser.keep(response)
        return response
