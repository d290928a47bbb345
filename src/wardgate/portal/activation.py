"""The first visit of a new person: a welcome page behind a link, or a form for his name and the code on his sheet.

Scanners and previews open links, so opening one changes nothing but which browser it may go on in; the token leaves the address
at once. Who the link is for is shown to nobody before he has proved more than that he reads a message.
"""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.recovery_code import MAX_TYPED_CHARS
from wardgate.crypto import Secret
from wardgate.engine.request import MAX_USER_NAME_CHARS
from wardgate.engine.self_service.activating import Activating
from wardgate.engine.self_service.engine import ACTIVATE
from wardgate.engine.self_service.outcome import Closed
from wardgate.engine.self_service.starting import Start
from wardgate.pages.browser import Browser, browser_of, form_of, is_ours
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.steps import Step, Steps
from wardgate.pages.turns import take_step_turn
from wardgate.portal.recovery import RecoveryPages
from wardgate.texts import Text
from wardgate.web.access import require_known_host

BY_CODE: Final = "/activate"
OPENED: Final = "/welcome"


class ActivationPages:
    """The pages before the first proof beside the link or code; those after it are `RecoveryPages`'."""

    def __init__(self, door: BrowserDoor, activating: Activating, recovery: RecoveryPages) -> None:
        self._door = door
        self._activating = activating
        self._recovery = recovery
        self._steps = Steps(door.storage, door.ring, door.clock)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(BY_CODE, self.ask_code, methods=["GET"]),
            Route(BY_CODE, self.begin_by_code, methods=["POST"]),
            Route(f"{BY_CODE}/{{token}}", self.open, methods=["GET"]),
            Route(f"{OPENED}/{{id}}", self.show, methods=["GET"]),
            Route(f"{OPENED}/{{id}}", self.start, methods=["POST"]),
        ]

    # --- a link ----------------------------------------------------------------------------------------------------

    async def open(self, request: Request) -> Response:
        """Take the token out of the address; what remains works in this browser only. Of one source only so often."""
        require_known_host(request, self._door.context.hosts)
        await take_step_turn(self._door, request)
        mac = await self._activating.open(request.path_params["token"])
        if mac is None:
            return self._over(request)
        browser = browser_of(request)
        made = Step("", 0, self._door.portal(), "", "", "", OPENED, None, pending=mac.hex())
        step = await self._steps.begin(self._mac(browser), made)
        response = RedirectResponse(f"{OPENED}/{step.id}", status_code=303)
        browser.keep(response)
        return response

    async def show(self, request: Request) -> Response:
        """The welcome, which tells nobody's name."""
        browser, step = browser_of(request), await self._step(request)
        if not await self._activating.works(bytes.fromhex(step.pending)):
            return self._over(request)
        return await self._welcome(request, browser, step)

    async def start(self, request: Request) -> Response:
        """Begin, in this browser."""
        browser, form, step = browser_of(request), await form_of(request), await self._step(request)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            return await self._welcome(request, browser, step, Text("form.old"), 422)
        if await self._is_signed_in(request):
            return await self._welcome(request, browser, step, None, 409)
        trail = self._door.trail(request)
        start = Start(ACTIVATE, self._door.portal(), "", self._door.origin(request, browser), trail)
        flow_id, outcome = await self._activating.begin_by_link(bytes.fromhex(step.pending), start)
        self._door.recorder.publish(trail)
        if not flow_id:
            text = outcome.text if isinstance(outcome, Closed) else Text("activate.over")
            if text.id.startswith("wait."):
                return await self._welcome(request, browser, step, text, 429)
            down = isinstance(outcome, Closed) and outcome.down
            return self._over(request, text, 503 if down else 410, trail.reference)
        return await self._recovery.begun(request, browser, start, flow_id, outcome)

    async def _welcome(
        self, request: Request, browser: Browser, step: Step, error: Text | None = None, status: int = 200
    ) -> Response:
        response = self._door.pages.page(
            request,
            "welcome.html",
            status,
            posts=True,
            csrf=browser.csrf(self._door.ring(), step.id),
            error=error,
            signed_in=await self._is_signed_in(request),
        )
        if status == 429:
            response.headers["retry-after"] = "3600"
        return response

    async def _step(self, request: Request) -> Step:
        require_known_host(request, self._door.context.hosts)
        step = await self._steps.find(self._mac(browser_of(request)), request.path_params["id"])
        if step is None:
            raise HTTPException(410)
        return step

    def _mac(self, browser: Browser) -> bytes:
        """Its steps are this browser's, and no other pages'."""
        return self._door.ring().mac("browser", f"activate:{browser.id}".encode())

    # --- a code on paper -------------------------------------------------------------------------------------------

    async def ask_code(self, request: Request) -> Response:
        """The form. Stores nothing."""
        require_known_host(request, self._door.context.hosts)
        return await self._code_form(request, browser_of(request))

    async def begin_by_code(self, request: Request) -> Response:
        """Begin with a name and a start code, or say of both together that they are not right."""
        require_known_host(request, self._door.context.hosts)
        browser, form = browser_of(request), await form_of(request)
        name, code = form.text("username", MAX_USER_NAME_CHARS), form.text("code", MAX_TYPED_CHARS)
        if not is_ours(request, browser, self._door.ring(), form, ACTIVATE, self._door.context.origin):
            return await self._code_form(request, browser, name, Text("form.old"), 422)
        if await self._is_signed_in(request):
            return await self._code_form(request, browser, name, None, 409)
        if not name or not code or len(name) > MAX_USER_NAME_CHARS or len(code) > MAX_TYPED_CHARS:
            return await self._code_form(request, browser, name[:MAX_USER_NAME_CHARS], Text("activate.missing"), 422)
        trail = self._door.trail(request)
        start = Start(ACTIVATE, self._door.portal(), name, self._door.origin(request, browser), trail)
        flow_id, outcome = await self._activating.begin_by_code(start, Secret(code.encode("utf-8", "replace")))
        await self._recovery.held_back(trail, name)
        if not flow_id:
            text = outcome.text if isinstance(outcome, Closed) else Text("activate.wrong")
            down = isinstance(outcome, Closed) and outcome.down
            status = 503 if down else 429 if text.id.startswith("wait.") else 422
            return await self._code_form(request, browser, name, text, status, trail.reference)
        return await self._recovery.begun(request, browser, start, flow_id, outcome)

    async def _code_form(
        self, request: Request, browser: Browser, name: str = "", error: Text | None = None, status: int = 200, reference: str = ""
    ) -> Response:
        response = self._door.pages.page(
            request,
            "activate.html",
            status,
            posts=True,
            csrf=browser.csrf(self._door.ring(), ACTIVATE),
            user_name=name,
            error=error,
            reference=reference,
            throttled=status == 429,
            signed_in=await self._is_signed_in(request),
        )
        if status in (429, 503):
            response.headers["retry-after"] = str(int(error.values.get("min", 1)) * 60 if error is not None else 60)
        browser.keep(response)
        return response

    # --- both ------------------------------------------------------------------------------------------------------

    async def _is_signed_in(self, request: Request) -> bool:
        """Whether anybody is: an activation never takes the place of somebody's session without his saying so."""
        return await self._door.sessions.find(request.cookies.get(SESSION_COOKIE, "")) is not None

    def _over(self, request: Request, text: Text | None = None, status: int = 410, reference: str = "") -> Response:
        """One page for a link that is unknown, used, replaced, taken back or too old."""
        pages, said = self._door.pages, text or Text("activate.over")
        told = reference or pages.recorded(request, status)
        return pages.page(request, "activate_over.html", status, text=said, reference=told)
