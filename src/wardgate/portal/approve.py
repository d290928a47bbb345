"""Short links out of a login, at `/approve/ABCD-EFGH`: what asks and from where, then a proof or a second step to set up.

The first GET takes the code out of the address, for this browser, and changes nothing else: scanners and previews open links too.
The page ends with a code for the window that asked, shown to whoever has just proved that the account is his; nothing that is done
here lets anybody in by itself.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.authenticator import active_and_held
from wardgate.account.recovery_code import MAX_TYPED_CHARS
from wardgate.account.short_link import Purpose
from wardgate.clock import from_ms
from wardgate.crypto import random_bytes
from wardgate.engine.approvals import OVER, Approvals, Owner, Visit
from wardgate.factors.passkey import CHALLENGE_BYTES, MAX_ASSERTION_BYTES, PasskeyFactor
from wardgate.jsons import dumps, loads
from wardgate.pages.browser import Browser, Form, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.enrolling import (
    TOTP,
    Whose,
    app_operations,
    first_code,
    make_codes,
    new_secret,
    nickname_in,
    notices,
    shown_key,
)
from wardgate.pages.making_passkey import creation_options, made_passkey, passkey_operations
from wardgate.pages.refusing import status_of
from wardgate.pages.site import other_address, site_of
from wardgate.pages.steps import Step, Steps
from wardgate.pages.turns import take_step_turn
from wardgate.texts import Text
from wardgate.web.access import require_known_host
from wardgate.web.headers import PASSKEYS_MADE, PASSKEYS_USED, PERMISSIONS_POLICY
from wardgate.web.language import language_of_request

LINK: Final = "/approve"
OPENED: Final = "/approval"
# Where a page stands: opened; what to set up is chosen; an app or a passkey is being made; codes are shown; at its end.
LOOK, CHOOSE, APP, PASSKEY, CODES, DONE, DISOWNED = "look", "choose", "app", "passkey", "codes", "done", "disowned"


@dataclass(frozen=True, slots=True)
class Page:
    """Where this browser stands with a link. `code`: for the window that asked; `codes`: recovery codes that are shown now."""

    link: bytes
    at: str = LOOK
    memory: dict[str, object] | None = None
    kind: str = ""
    code: str = ""
    codes: tuple[str, ...] = ()

    def dumped(self) -> str:
        """As text, for the row of the step, where it is sealed."""
        return dumps([self.link.hex(), self.at, self.memory, self.kind, self.code, list(self.codes)])


class ApprovePages:
    """The pages of short links."""

    def __init__(self, door: BrowserDoor) -> None:
        self._door = door
        self._steps = Steps(door.storage, door.ring, door.clock)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(f"{LINK}/{{code}}", self.open, methods=["GET"]),
            Route(f"{OPENED}/{{id}}", self.show, methods=["GET"]),
            Route(f"{OPENED}/{{id}}", self.act, methods=["POST"]),
            Route(f"{OPENED}/{{id}}/recovery-codes.txt", self.codes, methods=["GET"]),
        ]

    @property
    def _approvals(self) -> Approvals:
        return self._door.engine.approvals

    # --- opening and showing ---------------------------------------------------------------------------------------

    async def open(self, request: Request) -> Response:
        """Take the code out of the address; what remains works in this browser only, and is nobody's before the first POST."""
        require_known_host(request, self._door.context.hosts)
        found = await self._approvals.find(request.path_params["code"], self._door.address(request))
        if isinstance(found, Text):
            return self._over(request, found)
        await take_step_turn(self._door, request)
        visit = await self._approvals.look(found)
        if isinstance(visit, Text):
            return self._over(request, visit)
        memory = None
        if visit.link.purpose is Purpose.CONFIRM:
            owner = await self._approvals.owner(visit)
            memory = dict(self._approvals.ask(visit, owner).memory) if owner is not None else None
        browser = browser_of(request)
        made = Step("", 0, self._door.portal(), "", "", "", OPENED, None, pending=Page(found, memory=memory).dumped())
        step = await self._steps.begin(self._mac(browser), made)
        response = RedirectResponse(f"{OPENED}/{step.id}", status_code=303)
        browser.keep(response)
        return response

    async def show(self, request: Request) -> Response:
        """What the page waits for."""
        step = await self._step(request)
        return await self._shown(request, step, _page(step))

    async def codes(self, request: Request) -> Response:
        """The recovery codes that are shown, as a file."""
        page = _page(await self._step(request))
        if page.at != CODES:
            raise HTTPException(410)
        headers = {"content-disposition": 'attachment; filename="recovery-codes.txt"'}
        return PlainTextResponse("\n".join((*page.codes, "")), headers=headers)

    async def _shown(self, request: Request, step: Step, page: Page, error: Text | None = None, status: int = 422) -> Response:
        if page.at in (DONE, DISOWNED):
            return self._ended(request, step, page)
        if page.at == CODES:
            return await self._codes_page(request, step, page, error)
        visit = await self._approvals.look(page.link)
        if isinstance(visit, Text):
            return self._over(request, visit)
        owner = await self._approvals.owner(visit)
        if owner is None:
            return self._over(request, OVER)
        values: dict[str, Any] = {"error": error, "visit": visit, "action": f"{OPENED}/{step.id}", "step": step}
        values["place"] = self._place(request, visit)
        code = 200 if error is None else status
        site, address = site_of(request, self._door.context), other_address(self._door.context)
        if page.at == LOOK:
            options = ""
            if visit.link.purpose is Purpose.CONFIRM and page.memory is not None and site is not None:
                options = str(self._approvals.repeat(visit, owner, page.memory).values.get("options", ""))
            return self._rendered(request, step, "approve.html", code, {**values, "options": options, "address": address})
        several = page.at != CHOOSE and len(self._kinds(request, visit)) > 1
        values |= {"name": owner.user.name, "lead": None, "several": several}
        if page.at == CHOOSE:
            return self._rendered(request, step, "do_offer.html", code, {**values, "kinds": self._kinds(request, visit)})
        if page.at == APP:
            return self._rendered(
                request, step, "do_app.html", code, {**values, **shown_key(self._door, owner.user.name, step.secret)}
            )
        options = ""
        if site is not None:
            active = active_and_held(owner.rows)[0]
            options = creation_options(self._door, visit.link.subject_id, owner.user, step.secret, site, active)
        return self._rendered(request, step, "do_passkey.html", code, {**values, "options": options})

    def _place(self, request: Request, visit: Visit) -> str | None:
        """Where that address is, by the operator's file; None where there is no file, so that nothing is said of it."""
        assessor = self._door.configuration().risk
        return assessor.place_of(visit.client, language_of_request(request)) if assessor is not None else None

    def _kinds(self, request: Request, visit: Visit) -> list[str]:
        """What can be set up on this page: no passkey where the address is a number."""
        here = site_of(request, self._door.context) is not None
        return [kind for kind in visit.kinds if here or kind != PasskeyFactor.kind]

    # --- acting ----------------------------------------------------------------------------------------------------

    async def act(self, request: Request) -> Response:
        """Do what was sent: begin, choose, prove, or say that it was somebody else."""
        browser, form, step = browser_of(request), await form_of(request), await self._step(request)
        page = _page(step)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            return await self._shown(request, step, page, Text("form.old"))
        act = form.fields.get("act", "")
        match act, page.at:
            case "not_me", (level) if level not in (CODES, DONE, DISOWNED):
                return await self._disown(request, browser, step, page)
            case "prove", "look":
                return await self._prove(request, browser, step, page, form)
            case "start", "look":
                return await self._start(request, browser, step, page, form)
            case "enrol", "choose":
                return await self._choose(request, browser, step, page, form)
            case "other", "app" | "passkey":
                return await self._go(browser, step.changed(secret=""), replace(page, at=CHOOSE, kind=""))
            case "app", "app":
                return await self._app(request, browser, step, page, form)
            case "make", "passkey":
                return await self._passkey(request, browser, step, page, form)
            case "saved", "codes":
                if form.fields.get("saved") != "yes":
                    return await self._shown(request, step, page, Text("do.not_saved"))
                return await self._go(browser, step, replace(page, at=DONE, codes=()))
        if page.at in (DONE, DISOWNED):
            return self._ended(request, step, page, 409)
        return await self._shown(request, step, page, Text("flow.done_elsewhere"), 409)

    async def _disown(self, request: Request, browser: Browser, step: Step, page: Page) -> Response:
        trail = self._door.trail(request)
        told = await self._approvals.disown(page.link, trail)
        self._door.recorder.publish(trail)
        if told.id != "approve.disowned":
            return self._over(request, told)
        return await self._go(browser, step, replace(page, at=DISOWNED, code=str(told.values["ref"])))

    async def _prove(self, request: Request, browser: Browser, step: Step, page: Page, form: Form) -> Response:
        site, trail = site_of(request, self._door.context), self._door.trail(request)
        given = form.secret("passkey")[: MAX_ASSERTION_BYTES + 1]
        if site is None or not given or page.memory is None:
            return await self._shown(request, step, page, Text("passkey.cancelled"))
        told = await self._approvals.begin(page.link, self._mac(browser), "", trail)
        proved = told or await self._approvals.prove(page.link, self._mac(browser), page.memory, given, site, trail)
        self._door.recorder.publish(trail)
        if isinstance(proved, Text):
            return await self._refused(request, step, page, proved)
        after = replace(page, at=DONE, kind=PasskeyFactor.kind, code=proved, memory=None)
        return await self._go(browser, step.changed(reference=trail.reference), after)

    async def _start(self, request: Request, browser: Browser, step: Step, page: Page, form: Form) -> Response:
        trail = self._door.trail(request)
        typed = form.text("start_code", MAX_TYPED_CHARS)
        told = await self._approvals.begin(page.link, self._mac(browser), typed, trail)
        self._door.recorder.publish(trail)
        if told is not None:
            return await self._refused(request, step, page, told)
        found = await self._approvals.may_enrol(page.link, self._mac(browser))
        if isinstance(found, Text):
            return await self._refused(request, step, page, found)
        kinds = self._kinds(request, found[0])
        if len(kinds) == 1:
            return await self._begin(browser, step, page, kinds[0])
        return await self._go(browser, step, replace(page, at=CHOOSE))

    async def _choose(self, request: Request, browser: Browser, step: Step, page: Page, form: Form) -> Response:
        found = await self._approvals.may_enrol(page.link, self._mac(browser))
        if isinstance(found, Text):
            return await self._refused(request, step, page, found)
        kind = form.fields.get("method", "")
        if kind not in self._kinds(request, found[0]):
            return await self._shown(request, step, page, Text("do.choose"))
        return await self._begin(browser, step, page, kind)

    async def _begin(self, browser: Browser, step: Step, page: Page, kind: str) -> Response:
        app = kind == TOTP
        secret = new_secret() if app else random_bytes(CHALLENGE_BYTES).hex()
        return await self._go(browser, step.changed(secret=secret), replace(page, at=APP if app else PASSKEY, kind=kind))

    async def _app(self, request: Request, browser: Browser, step: Step, page: Page, form: Form) -> Response:
        found = await self._approvals.may_enrol(page.link, self._mac(browser))
        if isinstance(found, Text):
            return await self._refused(request, step, page, found)
        proved = first_code(self._door, step.secret, form)
        if isinstance(proved, Text):
            return await self._shown(request, step, page, proved)
        trail = self._door.trail(request)
        whose = _whose(*found, trail.client)
        if whose.is_full:
            return await self._shown(request, step, page, Text("account.too_many"), 409)
        unit = app_operations(self._door, whose, step.secret, proved, form)
        code = await self._approvals.enrolled(page.link, self._mac(browser), TOTP, False, unit, trail)
        self._door.recorder.publish(trail)
        return await self._enrolled(request, browser, step.changed(reference=trail.reference), page, whose, code)

    async def _passkey(self, request: Request, browser: Browser, step: Step, page: Page, form: Form) -> Response:
        site, found = site_of(request, self._door.context), await self._approvals.may_enrol(page.link, self._mac(browser))
        if isinstance(found, Text):
            return await self._refused(request, step, page, found)
        made = made_passkey(form, step.secret, site) if site is not None else None
        if made is None:
            return await self._shown(request, step, page, Text("passkey.not_made"))
        trail = self._door.trail(request)
        whose = _whose(*found, trail.client)
        if whose.is_full:
            return await self._shown(request, step, page, Text("account.too_many"), 409)
        label = nickname_in(form)
        unit = passkey_operations(self._door, whose.subject_id, whose.user_name, made, label, whose.client)
        unit += notices(self._door, whose, "authenticator_added", PasskeyFactor.kind, label)
        mine = self._mac(browser)
        code = await self._approvals.enrolled(page.link, mine, PasskeyFactor.kind, made.user_verified, unit, trail)
        self._door.recorder.publish(trail)
        return await self._enrolled(request, browser, step.changed(reference=trail.reference), page, whose, code)

    async def _enrolled(
        self, request: Request, browser: Browser, step: Step, page: Page, whose: Whose, code: str | Text
    ) -> Response:
        """Recovery codes come with the first thing that is set up, before the code for the window."""
        if isinstance(code, Text):
            return await self._refused(request, step, page, code)
        codes = () if whose.has_codes else tuple(await make_codes(self._door, whose) or ())
        after = replace(page, at=CODES if codes else DONE, code=code, codes=codes)
        return await self._go(browser, step.changed(secret="", user_name=whose.user_name), after)

    # --- shared ----------------------------------------------------------------------------------------------------

    def _mac(self, browser: Browser) -> bytes:
        """Its steps are this browser's, and no other pages'."""
        return self._door.ring().mac("browser", f"approve:{browser.id}".encode())

    async def _step(self, request: Request) -> Step:
        require_known_host(request, self._door.context.hosts)
        step = await self._steps.find(self._mac(browser_of(request)), request.path_params["id"])
        if step is None or step.then != OPENED:
            raise HTTPException(410)
        return step

    async def _go(self, browser: Browser, step: Step, page: Page) -> Response:
        """Go on; who came second is shown what came of the first."""
        await self._steps.move(self._mac(browser), step, step.changed(pending=page.dumped()))
        return RedirectResponse(f"{OPENED}/{step.id}", status_code=303)

    async def _refused(self, request: Request, step: Step, page: Page, told: Text) -> Response:
        if told.id in (
            "approve.over",
            "approve.other_browser",
            "approve.used",
            "approve.has_one",
            "approve.start_code_gone",
            "freeze.on",
        ):
            return self._over(request, told)
        return await self._shown(request, step, page, told, status_of(told))

    async def _codes_page(self, request: Request, step: Step, page: Page, error: Text | None) -> Response:
        values = {
            "error": error,
            "codes": page.codes,
            "name": step.user_name,
            "made": from_ms(step.created_at),
            "action": f"{OPENED}/{step.id}",
            "step": step,
        }
        return self._rendered(request, step, "do_codes.html", 200 if error is None else 422, values)

    def _ended(self, request: Request, step: Step, page: Page, status: int = 200) -> Response:
        return self._rendered(request, step, "approve_done.html", status, {"page": page, "reference": step.reference})

    def _over(self, request: Request, text: Text) -> Response:
        waits = text.id == "approve.wait"
        pages, status = self._door.pages, 429 if waits else 410
        told = pages.recorded(request, status)
        response = pages.page(request, "link_done.html", status, text=text, over=True, reference=told)
        if waits:
            response.headers["retry-after"] = str(int(text.values["min"]) * 60)
        return response

    def _rendered(self, request: Request, step: Step, template: str, status: int, values: dict[str, Any]) -> Response:
        browser = browser_of(request)
        csrf = browser.csrf(self._door.ring(), step.id)
        response = self._door.pages.page(request, template, status, posts=True, csrf=csrf, **values)
        response.headers[PERMISSIONS_POLICY] = PASSKEYS_MADE if template == "do_passkey.html" else PASSKEYS_USED
        browser.keep(response)
        return response


def _page(step: Step) -> Page:
    link, at, memory, kind, code, codes = loads(step.pending)
    return Page(bytes.fromhex(link), at, memory, kind, code, tuple(codes))


def _whose(visit: Visit, owner: Owner, client: str) -> Whose:
    login = visit.transaction
    return Whose(visit.link.subject_id, owner.user.name, login.language, owner.holder, owner.rows, login.realm, client=client)
