"""Changing the password that one knows, on the account page. The engine checks, counts and writes; the page asks and shows."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.crypto import Secret
from wardgate.engine.changing import ChangeRequest, Changing
from wardgate.engine.holders import holder_of
from wardgate.engine.reconciling import found_out
from wardgate.factors import SECOND_FACTORS
from wardgate.pages.browser import Form, browser_of, drop_cookie, form_of, is_ours, new_browser, set_cookie
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.told import told_reference, with_reference
from wardgate.portal.gate import Gate, Present
from wardgate.texts import Text

PAGE: Final = "/account/password"
DONE: Final = f"{PAGE}?done=1"
MAX_PASSWORD_BYTES: Final = 1024
_FORM: Final = "password"
_STATUS: Final = {"frozen": 409}


class PasswordPages:
    """The page under `/account/password`."""

    def __init__(self, door: BrowserDoor, gate: Gate) -> None:
        self._door = door
        self._gate = gate
        self._changing = Changing(door.parts)

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route(PAGE, self.ask, methods=["GET"]), Route(PAGE, self.change, methods=["POST"])]

    async def ask(self, request: Request) -> Response:
        """The form, with the rules of this person's directory; who has a factor proves it first."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        done = request.query_params.get("done") == "1"
        asked = request.query_params.get("asked") == "1" and told_reference(request)
        if asked:
            found = await found_out(self._door.storage, asked, present.user.name)
            return await self._page(request, present, found or Text("pw.unknown_result", {"ref": asked}))
        if not done and await self._has_to_confirm(present):
            return self._gate.to_confirm(PAGE)
        return await self._page(request, present, done=done)

    async def change(self, request: Request) -> Response:
        """Change it; the session goes on under another value, and all others end."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        if not is_ours(request, browser, self._door.ring(), form, _FORM, self._door.context.origin):
            return await self._page(request, present, Text("form.old"), 422)
        if await self._has_to_confirm(present):
            return self._gate.to_confirm(PAGE)
        return await self._changed(request, present, form)

    async def _changed(self, request: Request, present: Present, form: Form) -> Response:
        old = form.secret("password")
        if not old or len(old) > MAX_PASSWORD_BYTES:
            return await self._page(request, present, Text("signin.missing_password"), 422)
        whose, trail = present.session.whose, self._door.trail(request)
        refusal = await self._changing.change(
            ChangeRequest(
                subject_id=whose.subject_id,
                user=present.user,
                realm=whose.realm,
                application=self._door.portal(),
                old=Secret(old),
                new=Secret(form.secret("new_password")),
                origin=self._door.origin(request, browser_of(request)),
                trail=trail,
                kept=present.session.id,
                language=whose.language,
            )
        )
        self._door.recorder.publish(trail)
        if refusal is not None:
            status = 503 if refusal.unknown else 429 if refusal.text.id.startswith("wait.") else _STATUS.get(refusal.reason, 422)
            return await self._page(request, present, refusal.text, status)
        return await self._renewed(present, trail.reference)

    async def _renewed(self, present: Present, reference: str) -> Response:
        """An id of before the change, wherever it may have been seen, is worth nothing."""
        bearer = await self._door.sessions.renew(present.bearer)
        response = RedirectResponse(with_reference(DONE, reference), status_code=303)
        if bearer is None:
            drop_cookie(response, SESSION_COOKIE)
        else:
            set_cookie(response, SESSION_COOKIE, bearer)
        new_browser().keep(response)
        return response

    async def _has_to_confirm(self, present: Present) -> bool:
        """Whether he has a factor beside the password, and has not proved a moment ago that it is him."""
        if self._gate.is_fresh(present):
            return False
        subject_id = present.session.whose.subject_id
        rows, contacts = await self._door.storage.read([kept_authenticators(subject_id), kept_contacts(subject_id)])
        holder = holder_of(self._door.ring(), subject_id, present.user, *active_and_held(rows), contacts)
        return any(factor.enrolled(holder) for factor in SECOND_FACTORS)

    async def _page(
        self, request: Request, present: Present, error: Text | None = None, status: int = 200, done: bool = False
    ) -> Response:
        browser = browser_of(request)
        response = self._door.pages.page(
            request,
            "change_password.html",
            status,
            posts=True,
            csrf=browser.csrf(self._door.ring(), _FORM),
            session=present.session,
            user=present.user,
            policy=await self._changing.rules(present.user) if status != 503 else None,
            error=error,
            asks=with_reference(f"{PAGE}?asked=1", str(error.values["ref"])) if error and error.id == "pw.unknown_result" else "",
            throttled=status == 429,
            done=done,
            reference=told_reference(request),
        )
        if status in (429, 503):
            response.headers["retry-after"] = str(int(error.values.get("min", 1)) * 60 if error is not None else 60)
        browser.keep(response)
        return response
