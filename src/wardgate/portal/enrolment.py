"""The person's own authenticators: the list, an app by its picture and first code, recovery codes, and the end of one.

Every change asks that he has proved within five minutes that it is him; the POST that changes asks, not the page before it.
What is being enrolled lives in the step of this browser until its first code was right: half an authenticator exists nowhere.
"""

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

import segno
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.authenticator import MAX_AUTHENTICATORS, create_authenticator, kept_authenticators, revocation
from wardgate.account.contact import kept_contacts
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.recovery_code import create_recovery_codes
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import from_ms, to_ms
from wardgate.crypto import Secret, new_reference, random_bytes
from wardgate.engine.holders import holder_of
from wardgate.engine.notices import Whom, notify
from wardgate.factors.port import MAX_ANSWER_BYTES, digits_of
from wardgate.factors.totp import DEFAULT_ALGORITHM, DEFAULT_DIGITS, DEFAULT_PERIOD_S, verify_totp
from wardgate.pages.browser import Browser, Form, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.steps import Step, Steps
from wardgate.portal.gate import Gate, Present
from wardgate.storage.port import Committed, Delete, Operation, Row, Update, Where
from wardgate.texts import Text

MAX_LABEL_CHARS: Final = 40
SECRET_BYTES: Final = 20
TOTP: Final = "totp"
LIST: Final = "/account/authenticators"
APP: Final = "/enrol/totp"
CODES: Final = "/enrol/recovery-codes"
BY_PERSON: Final = "person"
_FORM: Final = "authenticators"
SETTINGS: Final[Mapping[str, str | int]] = {
    "digits": DEFAULT_DIGITS,
    "period_s": DEFAULT_PERIOD_S,
    "algorithm": DEFAULT_ALGORITHM,
    "by": BY_PERSON,
}


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
        rows = await self._rows(present)
        row = next((each for each in rows if each["id"] == form.fields.get("authenticator")), None)
        if row is None:
            raise HTTPException(404)
        if row["kind"] != RECOVERY_CODE and len([each for each in rows if each["kind"] != RECOVERY_CODE]) == 1:
            return await self._list_page(request, present, Text("account.last_one"), 409)
        unit: list[Operation] = [revocation(row), *_one_stays(rows, row)]
        if row["kind"] == RECOVERY_CODE:
            unit.append(Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),)))
        unit.append(self._event(Kind.AUTHENTICATOR_REVOKED, present, str(row["id"]), str(row["kind"])))
        await self._door.storage.commit([*unit, *await self._notices(present, "authenticator_removed")])
        return RedirectResponse(LIST, status_code=303)

    async def _list_page(self, request: Request, present: Present, error: Text | None = None, status: int = 200) -> Response:
        rows = [
            {"id": row["id"], "kind": str(row["kind"]), "label": str(row["label"]), "added": from_ms(int(row["created_at"] or 0))}
            for row in await self._rows(present)
        ]
        return self._page(request, present, "authenticators.html", _FORM, status, rows=rows, error=error)

    # --- an app ----------------------------------------------------------------------------------------------------

    async def begin_app(self, request: Request) -> Response:
        """Make a key for a new app, for this browser only; who has not just proved that it is him does that first."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(APP)
        if len(await self._rows(present)) >= MAX_AUTHENTICATORS:
            return await self._list_page(request, present, Text("account.too_many"), 409)
        browser, secret = browser_of(request), random_bytes(SECRET_BYTES)
        made = Step(
            "", 0, self._door.portal(), present.user.name, "", "", LIST, None, confirms=present.session.id, secret=secret.hex()
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
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(f"{APP}/{step.id}")
        code = digits_of(form.text("code", MAX_ANSWER_BYTES).encode("utf-8", "replace"))
        if not code:
            return self._app_page(request, present, step, Text("code.missing"))
        proved, _ = verify_totp(Secret(bytes.fromhex(step.secret)), code, self._door.clock.now(), -1, skew_steps=1)
        if proved is None:
            return self._app_page(request, present, step, Text("account.totp_mismatch"))
        if await self._steps.move(browser.mac(self._door.ring()), step, step.changed(ended="enrolled", secret="")) is None:
            raise HTTPException(410)
        await self._enrol(present, step, proved, form)
        has_codes = any(row["kind"] == RECOVERY_CODE for row in await self._rows(present))
        return RedirectResponse(LIST if has_codes else CODES, status_code=303)

    async def _enrol(self, present: Present, step: Step, proved: int, form: Form) -> None:
        label = form.text("nickname", MAX_LABEL_CHARS)[:MAX_LABEL_CHARS] or "app"
        subject_id, now_ms = present.session.whose.subject_id, to_ms(self._door.clock.now())
        authenticator_id, insert = create_authenticator(
            self._door.ring(), subject_id, TOTP, label, SETTINGS, Secret(bytes.fromhex(step.secret)), proved, now_ms
        )
        event = self._event(Kind.AUTHENTICATOR_ADDED, present, authenticator_id, TOTP)
        await self._door.storage.commit([insert, event, *await self._notices(present, "authenticator_added")])

    async def _step(self, request: Request, present: Present) -> Step:
        browser = browser_of(request).mac(self._door.ring())
        step = await self._steps.find(browser, request.path_params["id"])
        if step is None or not step.secret or step.confirms != present.session.id:
            raise HTTPException(410)
        return step

    def _app_page(self, request: Request, present: Present, step: Step, error: Text | None = None) -> Response:
        encoded = base64.b32encode(bytes.fromhex(step.secret)).decode().rstrip("=")
        title = self._door.configuration().applications[self._door.portal()].title
        label = quote(f"{title}:{present.user.name}")
        uri = f"otpauth://totp/{label}?{urlencode({'secret': encoded, 'issuer': title}, quote_via=quote)}"
        groups = " ".join(encoded[at : at + 4] for at in range(0, len(encoded), 4))
        drawn = segno.make(uri, error="m", micro=False).svg_inline(border=4, omitsize=True, light="white", dark="black")
        picture = Markup(drawn)  # noqa: S704 - drawn here, from modules
        values = {"uri": uri, "groups": groups, "picture": picture, "error": error, "step": step}
        return self._page(request, present, "enrol_totp.html", step.id, 200 if error is None else 422, **values)

    # --- recovery codes --------------------------------------------------------------------------------------------

    async def ask_codes(self, request: Request) -> Response:
        """Say what they are for; an older set ends with a new one."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(CODES)
        older = any(row["kind"] == RECOVERY_CODE for row in await self._rows(present))
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
        subject_id, now_ms = present.session.whose.subject_id, to_ms(self._door.clock.now())
        authenticator_id, codes, inserts = create_recovery_codes(self._door.ring(), subject_id, "codes", now_ms)
        older: list[Operation] = []
        for row in await self._rows(present):
            if row["kind"] == RECOVERY_CODE:
                older += [revocation(row), Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),))]
        event = self._event(Kind.AUTHENTICATOR_ADDED, present, authenticator_id, RECOVERY_CODE)
        made = await self._door.storage.commit([*older, *inserts, event, *await self._notices(present, "authenticator_added")])
        if not isinstance(made, Committed):
            return RedirectResponse(CODES, status_code=303)
        return self._page(request, present, "recovery_codes.html", _FORM, codes=sorted(codes), made=from_ms(now_ms))

    # --- shared ----------------------------------------------------------------------------------------------------

    async def _notices(self, present: Present, happened: str) -> tuple[Operation, ...]:
        subject_id = present.session.whose.subject_id
        [contacts] = await self._door.storage.read([kept_contacts(subject_id)])
        holder = holder_of(self._door.ring(), subject_id, present.user, (), (), contacts)
        whom = Whom(subject_id, present.user.name, self._door.portal(), "", new_reference(), present.session.whose.language)
        return notify(self._door.parts, whom, holder, happened)

    async def _rows(self, present: Present) -> list[Row]:
        [rows] = await self._door.storage.read([kept_authenticators(present.session.whose.subject_id)])
        return rows

    def _event(self, kind: Kind, present: Present, authenticator_id: str, factor: str) -> Operation:
        details = {"user": present.user.name, "kind": factor, "authenticator": authenticator_id}
        now_ms, subject_id = to_ms(self._door.clock.now()), present.session.whose.subject_id
        return record(AuditEvent(kind, now_ms, "person", subject_id=subject_id, details=details))

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
