"""A new passkey: why, then the browser's own dialogue, then it is there.

As with every other authenticator, who adds one has just proved that it is him, and until the browser has brought it back nothing
exists of it but a question in this browser's step.
"""

from collections.abc import Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.authenticator import (
    MAX_AUTHENTICATORS,
    Authenticator,
    active_and_held,
    kept_authenticators,
)
from wardgate.account.contact import kept_contacts
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.engine.holders import holder_of
from wardgate.factors.passkey import CHALLENGE_BYTES, PasskeyFactor
from wardgate.pages.browser import Form, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.enrolling import Whose, nickname_in, notices
from wardgate.pages.making_passkey import MadePasskey, creation_options, made_passkey, new_question, passkey_operations
from wardgate.pages.site import other_address, site_of
from wardgate.pages.steps import Step, Steps
from wardgate.pages.turns import take_step_turn
from wardgate.portal.enrolment import CODES, LIST
from wardgate.portal.gate import Gate, Present
from wardgate.storage.port import Committed, Operation
from wardgate.texts import Text
from wardgate.web.access import require_known_host
from wardgate.web.headers import PASSKEYS_MADE, PERMISSIONS_POLICY

PASSKEY: Final = "/enrol/passkey"
# W3C, A Well-Known URL for Relying Party Passkey Endpoints.
ENDPOINTS: Final = "/.well-known/passkey-endpoints"


class PasskeyPages:
    """The pages that make a passkey."""

    def __init__(self, door: BrowserDoor, gate: Gate) -> None:
        self._door = door
        self._gate = gate
        self._steps = Steps(door.storage, door.ring, door.clock)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(PASSKEY, self.begin, methods=["GET"]),
            Route(f"{PASSKEY}/{{id}}", self.show, methods=["GET"]),
            Route(f"{PASSKEY}/{{id}}", self.make, methods=["POST"]),
            Route(ENDPOINTS, self.endpoints, methods=["GET"]),
        ]

    async def endpoints(self, request: Request) -> Response:
        """Where password managers send people to make a passkey, and to look after theirs."""
        require_known_host(request, self._door.context.hosts)
        site = site_of(request, self._door.context)
        if site is None:
            raise HTTPException(404)
        return JSONResponse({"enroll": f"{site.origin}{PASSKEY}", "manage": f"{site.origin}{LIST}"})

    async def begin(self, request: Request) -> Response:
        """Make a question for this browser; who has not just proved that it is him does that first."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        if site_of(request, self._door.context) is None:
            return self._page(request, present, None, [])
        if not self._gate.is_fresh(present, adds=True):
            return self._gate.to_confirm(PASSKEY)
        if sum(map(len, await self._kept(present))) >= MAX_AUTHENTICATORS or await self._gate.is_frozen(present):
            return RedirectResponse(LIST, status_code=303)
        await take_step_turn(self._door, request)
        browser, challenge = browser_of(request), new_question()
        made = Step(
            "", 0, self._door.portal(), present.user.name, "", "", LIST, None, confirms=present.session.id, secret=challenge
        )
        step = await self._steps.begin(browser.mac(self._door.ring()), made)
        response = RedirectResponse(f"{PASSKEY}/{step.id}", status_code=303)
        browser.keep(response)
        return response

    async def show(self, request: Request) -> Response:
        """What a passkey is, and the button."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        step = await self._step(request, present)
        return self._page(request, present, step, (await self._kept(present))[0])

    async def make(self, request: Request) -> Response:
        """The browser has brought a passkey back: it is enrolled if it was made here, for this question."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form, step = browser_of(request), await form_of(request), await self._step(request, present)
        active, held = await self._kept(present)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            return self._page(request, present, step, active, Text("form.old"))
        if not self._gate.is_fresh(present, adds=True):
            return self._gate.to_confirm(PASSKEY)
        site = site_of(request, self._door.context)
        made = made_passkey(form, step.secret, site) if site is not None else None
        if made is None:
            return self._page(request, present, step, active, Text("passkey.not_made"))
        if any(each.settings.get("credential") == made.settings["credential"] for each in (*active, *held)):
            return self._page(request, present, step, active, Text("passkey.exists"), 409)
        if await self._steps.move(browser.mac(self._door.ring()), step, step.changed(ended="enrolled", secret="")) is None:
            raise HTTPException(410)
        await self._enrol(present, form, made)
        has_codes = any(each.kind == RECOVERY_CODE for each in (*active, *held))
        return RedirectResponse(LIST if has_codes else CODES, status_code=303)

    async def _enrol(self, present: Present, form: Form, made: MadePasskey) -> None:
        label = nickname_in(form)
        unit = passkey_operations(self._door, present.session.whose.subject_id, present.user.name, made, label, present.client)
        done = await self._door.storage.commit([*unit, *await self._notices(present, label)])
        if not isinstance(done, Committed):
            # Between the question and the answer the account was frozen: the page before says so.
            raise HTTPException(410)

    async def _notices(self, present: Present, label: str) -> tuple[Operation, ...]:
        session, subject_id = present.session, present.session.whose.subject_id
        [contacts] = await self._door.storage.read([kept_contacts(subject_id)])
        holder = holder_of(self._door.ring(), subject_id, present.user, (), (), contacts)
        whose = Whose(subject_id, present.user.name, session.whose.language, holder, (), session.whose.realm, session.device)
        return notices(self._door, whose, "authenticator_added", PasskeyFactor.kind, label)

    async def _kept(self, present: Present) -> tuple[list[Authenticator], list[Authenticator]]:
        [rows] = await self._door.storage.read([kept_authenticators(present.session.whose.subject_id)])
        return active_and_held(rows)

    async def _step(self, request: Request, present: Present) -> Step:
        step = await self._steps.find(browser_of(request).mac(self._door.ring()), request.path_params["id"])
        if step is None or len(step.secret) != 2 * CHALLENGE_BYTES or step.confirms != present.session.id:
            raise HTTPException(410)
        return step

    def _page(
        self,
        request: Request,
        present: Present,
        step: Step | None,
        active: Sequence[Authenticator],
        error: Text | None = None,
        status: int = 422,
    ) -> Response:
        """The page; without a step, the one that says by which name passkeys work."""
        browser, site = browser_of(request), site_of(request, self._door.context)
        subject_id = present.session.whose.subject_id
        address = other_address(self._door.context)
        response = self._door.pages.page(
            request,
            "enrol_passkey.html",
            status if error is not None else 200,
            posts=True,
            csrf=browser.csrf(self._door.ring(), step.id) if step is not None else "",
            session=present.session,
            user=present.user,
            step=step,
            error=error,
            options=creation_options(self._door, subject_id, present.user, step.secret, site, active)
            if step is not None and site is not None
            else "",
            address=f"{address}{PASSKEY}" if address else "",
        )
        response.headers[PERMISSIONS_POLICY] = PASSKEYS_MADE
        browser.keep(response)
        return response
