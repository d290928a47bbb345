"""The person's own authenticators: the list, an app by its picture and first code, recovery codes, and the end of one.

Every change asks that he has proved within five minutes that it is him; the POST that changes asks, not the page before it.
What is being enrolled lives in the step of this browser until its first code was right: half an authenticator exists nowhere.
"""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.authenticator import kept_authenticators, revocation
from wardgate.account.contact import kept_contacts
from wardgate.account.freeze import unfrozen
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.audit.events import Kind
from wardgate.clock import from_ms
from wardgate.engine.holders import holder_of
from wardgate.pages.browser import Browser, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.enrolling import Whose, enrol_app, event_of, first_code, make_codes, new_secret, notices, shown_key
from wardgate.pages.steps import Step, Steps
from wardgate.pages.turns import take_step_turn
from wardgate.portal.gate import Gate, Present
from wardgate.storage.port import Committed, Delete, Operation, Row, Update, Where
from wardgate.texts import Text

LIST: Final = "/account/authenticators"
APP: Final = "/enrol/totp"
CODES: Final = "/enrol/recovery-codes"
_FORM: Final = "authenticators"


class EnrolmentPages:
    """The pages of a person's authenticators."""

    def __init__(self, door: BrowserDoor, gate: Gate) -> None:
        self._door = door
        self._gate = gate
        self._steps = Steps(door.storage, door.ring, door.clock)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(LIST, self.listed, methods=["GET"]),
            Route(LIST, self.remove, methods=["POST"]),
            Route(APP, self.begin_app, methods=["GET"]),
            Route(f"{APP}/{{id}}", self.show_app, methods=["GET"]),
            Route(f"{APP}/{{id}}", self.prove_app, methods=["POST"]),
            Route(CODES, self.ask_codes, methods=["GET"]),
            Route(CODES, self.make_codes, methods=["POST"]),
        ]

    # --- the list --------------------------------------------------------------------------------------------------

    async def listed(self, request: Request) -> Response:
        """What the person can prove with, and what he may end."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        return await self._list_page(request, present)

    async def remove(self, request: Request) -> Response:
        """End an authenticator: not the last one that lets him in."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        if not is_ours(request, browser, self._door.ring(), form, _FORM, self._door.context.origin):
            return await self._list_page(request, present, Text("form.old"), 422)
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(LIST)
        whose = await self._whose(present)
        rows = list(whose.rows)
        row = next((each for each in rows if each["id"] == form.fields.get("authenticator")), None)
        if row is None:
            raise HTTPException(404)
        if row["kind"] != RECOVERY_CODE and len([each for each in rows if each["kind"] != RECOVERY_CODE]) == 1:
            return await self._list_page(request, present, Text("account.last_one"), 409)
        lost = form.fields.get("lost") == "yes"
        unit: list[Operation] = [revocation(row), *_one_stays(rows, row), *([] if lost else [unfrozen(whose.subject_id)])]
        if row["kind"] == RECOVERY_CODE:
            unit.append(Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),)))
        unit.append(event_of(self._door, Kind.AUTHENTICATOR_REVOKED, whose, str(row["id"]), str(row["kind"]), lost))
        told = notices(self._door, whose, "authenticator_removed", str(row["kind"]), str(row["label"]), lost)
        done = await self._door.storage.commit([*unit, *told])
        if not isinstance(done, Committed) and not lost and await self._gate.is_frozen(present):
            return await self._list_page(request, present, Text("freeze.on"), 409)
        return RedirectResponse(LIST, status_code=303)

    async def _list_page(self, request: Request, present: Present, error: Text | None = None, status: int = 200) -> Response:
        rows = [
            {
                "id": row["id"],
                "kind": str(row["kind"]),
                "label": str(row["label"]),
                "added": from_ms(int(row["created_at"] or 0)),
                "used": from_ms(row["last_used_at"]) if isinstance(row["last_used_at"], int) else None,
            }
            for row in (await self._whose(present)).rows
        ]
        return self._page(request, present, "authenticators.html", _FORM, status, rows=rows, error=error)

    # --- an app ----------------------------------------------------------------------------------------------------

    async def begin_app(self, request: Request) -> Response:
        """Make a key for a new app, for this browser only; who has not just proved that it is him does that first."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        if not self._gate.is_fresh(present, adds=True):
            return self._gate.to_confirm(APP)
        if await self._gate.is_frozen(present):
            return await self._list_page(request, present, Text("freeze.on"), 409)
        if (await self._whose(present)).is_full:
            return await self._list_page(request, present, Text("account.too_many"), 409)
        await take_step_turn(self._door, request)
        browser = browser_of(request)
        made = Step(
            "", 0, self._door.portal(), present.user.name, "", "", LIST, None, confirms=present.session.id, secret=new_secret()
        )
        step = await self._steps.begin(browser.mac(self._door.ring()), made)
        response = RedirectResponse(f"{APP}/{step.id}", status_code=303)
        browser.keep(response)
        return response

    async def show_app(self, request: Request) -> Response:
        """The picture, the key in words, and the field for the first code."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        return self._app_page(request, present, await self._step(request, present))

    async def prove_app(self, request: Request) -> Response:
        """The app is enrolled once it has shown a right code, which is used up by that."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form, step = browser_of(request), await form_of(request), await self._step(request, present)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            return self._app_page(request, present, step, Text("form.old"))
        if not self._gate.is_fresh(present, adds=True):
            return self._gate.to_confirm(f"{APP}/{step.id}")
        proved = first_code(self._door, step.secret, form)
        if isinstance(proved, Text):
            return self._app_page(request, present, step, proved)
        if await self._steps.move(browser.mac(self._door.ring()), step, step.changed(ended="enrolled", secret="")) is None:
            raise HTTPException(410)
        whose = await self._whose(present)
        if not await enrol_app(self._door, whose, step.secret, proved, form):
            return await self._list_page(request, present, Text("freeze.on"), 409)
        return RedirectResponse(LIST if whose.has_codes else CODES, status_code=303)

    async def _step(self, request: Request, present: Present) -> Step:
        browser = browser_of(request).mac(self._door.ring())
        step = await self._steps.find(browser, request.path_params["id"])
        if step is None or not step.secret or step.confirms != present.session.id:
            raise HTTPException(410)
        return step

    def _app_page(self, request: Request, present: Present, step: Step, error: Text | None = None) -> Response:
        values = {**shown_key(self._door, present.user.name, step.secret), "error": error, "step": step}
        return self._page(request, present, "enrol_totp.html", step.id, 200 if error is None else 422, **values)

    # --- recovery codes --------------------------------------------------------------------------------------------

    async def ask_codes(self, request: Request) -> Response:
        """Say what they are for; an older set ends with a new one."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(CODES)
        older = (await self._whose(present)).has_codes
        return self._page(request, present, "ask_codes.html", _FORM, older=older)

    async def make_codes(self, request: Request) -> Response:
        """Make them and show them, once."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        if not is_ours(request, browser, self._door.ring(), form, _FORM, self._door.context.origin):
            return RedirectResponse(CODES, status_code=303)
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(CODES)
        codes = await make_codes(self._door, await self._whose(present))
        if codes is None and await self._gate.is_frozen(present):
            return await self._list_page(request, present, Text("freeze.on"), 409)
        if codes is None:
            return RedirectResponse(CODES, status_code=303)
        made = self._door.clock.now()
        return self._page(request, present, "recovery_codes.html", _FORM, codes=codes, made=made)

    # --- shared ----------------------------------------------------------------------------------------------------

    async def _whose(self, present: Present) -> Whose:
        subject_id = present.session.whose.subject_id
        rows, contacts = await self._door.storage.read([kept_authenticators(subject_id), kept_contacts(subject_id)])
        holder = holder_of(self._door.ring(), subject_id, present.user, (), (), contacts)
        session, name = present.session, present.user.name
        said = (session.whose.realm, session.device, present.client)
        return Whose(subject_id, name, session.whose.language, holder, rows, *said)

    def _page(
        self, request: Request, present: Present, template: str, purpose: str, status: int = 200, **values: object
    ) -> Response:
        browser: Browser = browser_of(request)
        csrf = browser.csrf(self._door.ring(), purpose)
        response = self._door.pages.page(
            request, template, status, posts=True, csrf=csrf, session=present.session, user=present.user, **values
        )
        browser.keep(response)
        return response


def _one_stays(rows: list[Row], gone: Row) -> list[Operation]:
    """What refuses the commit unless another way in is still there: of two that are removed at once, one stays."""
    other = next((each for each in rows if each["kind"] != RECOVERY_CODE and each["id"] != gone["id"]), None)
    if other is None or gone["kind"] == RECOVERY_CODE:
        return []
    return [Update("authenticator", {"id": other["id"]}, {}, where=(Where("state", "=", other["state"]),))]
