"""Where the links of messages lead: a page that says in words what a button on it does, and does nothing before that is pressed.

Mail scanners, previews and caches open links by themselves, so that no link acts on GET. The token leaves the address at once: it
would stay in the history, and be told to others by it. Nobody is signed in here, and who is signed in already stays as he is.
"""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.mail_link import MailLink
from wardgate.engine.self_service.undoing import Undoing
from wardgate.pages.browser import Browser, browser_of, form_of, is_ours
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.steps import Step, Steps
from wardgate.pages.turns import take_step_turn
from wardgate.texts import Text
from wardgate.web.access import require_known_host

LINK: Final = "/l"
OPENED: Final = "/link"
_DONE: Final = "done"


class LinkPages:
    """The pages of mailed links."""

    def __init__(self, door: BrowserDoor, undoing: Undoing) -> None:
        self._door = door
        self._undoing = undoing
        self._steps = Steps(door.storage, door.ring, door.clock)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(f"{LINK}/{{token}}", self.open, methods=["GET"]),
            Route(f"{OPENED}/{{id}}", self.show, methods=["GET"]),
            Route(f"{OPENED}/{{id}}", self.act, methods=["POST"]),
        ]

    async def open(self, request: Request) -> Response:
        """Take the token out of the address; what remains works in this browser only."""
        require_known_host(request, self._door.context.hosts)
        link = await self._undoing.find(request.path_params["token"])
        browser = browser_of(request)
        if isinstance(link, Text):
            return self._over(request, link)
        await take_step_turn(self._door, request)
        made = Step("", 0, self._door.portal(), "", "", "", OPENED, None, pending=link.mac.hex())
        step = await self._steps.begin(self._mac(browser), made)
        response = RedirectResponse(f"{OPENED}/{step.id}", status_code=303)
        browser.keep(response)
        return response

    async def show(self, request: Request) -> Response:
        """What the button does, in words."""
        browser, step = browser_of(request), await self._step(request)
        if step.ended == _DONE and step.text is not None:
            return self._told(request, browser, step, step.text)
        link = await self._undoing.find_by(bytes.fromhex(step.pending))
        return self._over(request, link) if isinstance(link, Text) else await self._ask(request, browser, step, link)

    async def act(self, request: Request) -> Response:
        """Do it, once."""
        browser, form, step = browser_of(request), await form_of(request), await self._step(request)
        link = await self._undoing.find_by(bytes.fromhex(step.pending))
        if isinstance(link, Text):
            return self._over(request, link)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            return await self._ask(request, browser, step, link, Text("form.old"), 422)
        trail = self._door.trail(request)
        said = await self._undoing.act(link.mac, trail)
        self._door.recorder.publish(trail)
        if not said.id.startswith("link.done_"):
            return self._over(request, said, trail.reference)
        await self._steps.move(self._mac(browser), step, step.changed(ended=_DONE, text=said, reference=trail.reference))
        return RedirectResponse(f"{OPENED}/{step.id}", status_code=303)

    def _mac(self, browser: Browser) -> bytes:
        """Its steps are this browser's, and no other pages'."""
        return self._door.ring().mac("browser", f"link:{browser.id}".encode())

    async def _step(self, request: Request) -> Step:
        require_known_host(request, self._door.context.hosts)
        step = await self._steps.find(self._mac(browser_of(request)), request.path_params["id"])
        if step is None:
            raise HTTPException(410)
        return step

    async def _ask(
        self, request: Request, browser: Browser, step: Step, link: MailLink, error: Text | None = None, status: int = 200
    ) -> Response:
        """Never whose account it is: whoever reads a message on somebody else's screen learns nothing more."""
        session = await self._door.sessions.find(request.cookies.get(SESSION_COOKIE, ""))
        elsewhere = session is not None and session.whose.subject_id != link.subject_id
        other = Text("link.other") if elsewhere else None
        csrf = browser.csrf(self._door.ring(), step.id)
        return self._door.pages.page(
            request, "link.html", status, posts=True, purpose=link.purpose.value, other=other, csrf=csrf, error=error
        )

    def _told(self, request: Request, browser: Browser, step: Step, text: Text) -> Response:
        response = self._door.pages.page(request, "link_done.html", text=text, over=False, reference=step.reference)
        browser.keep(response)
        return response

    def _over(self, request: Request, text: Text, reference: str = "") -> Response:
        status = 410 if text.id.startswith("link.") else 409 if text.id.startswith("freeze.") else 503
        told = reference or self._door.pages.recorded(request, status)
        return self._door.pages.page(request, "link_done.html", status, text=text, over=True, reference=told)
