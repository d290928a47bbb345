"""Confirm: somebody who is signed in proves again that it is him, before something is changed.

By the strongest factor that he has, and by his password where he has nothing else; the engine decides, as at a sign-in. The step
that it begins remembers the session that it is about, and only that session, of the same person, goes on.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId
from wardgate.crypto import Secret
from wardgate.engine.finding import login_name
from wardgate.engine.outcome import Denied, Granted, Outcome
from wardgate.engine.request import BeginRequest
from wardgate.engine.session_first import SessionRequest
from wardgate.factors import PASSWORD
from wardgate.pages.browser import Browser, Form, browser_of, form_of, is_ours
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.place import then_of
from wardgate.pages.refusing import status_of, wait_s
from wardgate.pages.steps import Step
from wardgate.session.sessions import Session
from wardgate.texts import Text
from wardgate.web.access import require_known_host
from wardgate.web.language import language_of_request, speaks
from wardgate.web.render import belongs_to

MAX_PASSWORD_BYTES: Final = 1024
CONFIRM: Final = "confirm"
_WRONG: Final = Text("pw.wrong")
# Stores what the engine said of a step, and sends the browser to where it shows.
GoOn = Callable[[Request, Browser, Step, Outcome], Awaitable[Response]]


class ConfirmPages:
    """The page at `/confirm`; the questions after it are steps like those of a sign-in."""

    def __init__(self, door: BrowserDoor, go_on: GoOn) -> None:
        self._door = door
        self._go_on = go_on

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/confirm", self.ask, methods=["GET"]),
            Route("/confirm", self.begin, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Ask for his password."""
        return await self._answered(request, None)

    async def begin(self, request: Request) -> Response:
        """His password was typed, or the wish to be asked for a factor."""
        return await self._answered(request, await form_of(request))

    async def confirmed(self, request: Request, step: Step, granted: Granted) -> str | None:
        """The new value under which the session goes on; it must be the one that the step was begun for, and this person's."""
        held = request.cookies.get(SESSION_COOKIE, "")
        session = await self._door.sessions.find(held)
        if session is None or session.id != step.confirms:
            return None
        factors = [factor for factor in granted.factors if factor != PASSWORD or step.turn == 0]
        return await self._door.sessions.confirm(held, SubjectId(granted.subject_id), factors)

    async def _answered(self, request: Request, form: Form | None) -> Response:
        require_known_host(request, self._door.context.hosts)
        browser, then = browser_of(request), then_of(request.query_params.get("then"))
        session = await self._door.sessions.find(request.cookies.get(SESSION_COOKIE, ""))
        if session is None:
            return RedirectResponse(f"/sign-in?then={then}", status_code=303)
        belongs_to(request, session.whose.realm)
        speaks(request, session.whose.language)
        name = session.whose.user_name
        about = self._about(session, then)
        asked = SessionRequest(self._door.portal(), session, self._door.origin(request, browser), self._door.trail(request))
        if form is None:
            by_factor = await self._door.engine.confirms_by_factor(asked)
            return self._page(request, browser, {**about, "by_factor": by_factor})
        if not is_ours(request, browser, self._door.ring(), form, CONFIRM, self._door.context.origin):
            return self._page(request, browser, about, Text("form.old"))
        if "password" not in form.fields:
            return await self._by_factor(request, browser, about, asked)
        typed = form.secret("password")
        if not typed or len(typed) > MAX_PASSWORD_BYTES:
            return self._page(request, browser, about, Text("signin.missing_password"))
        trail = self._door.trail(request)
        origin = self._door.origin(request, browser)
        own = login_name(self._door.configuration().realms, session.whose.realm, name)
        begin = BeginRequest(self._door.portal(), own, origin, trail, Secret(typed), steps_up=True)
        outcome = await self._door.engine.begin(begin)
        await self._door.published(trail, outcome)
        if isinstance(outcome, Denied):
            # Whose it is is known here, so that only the password can be wrong.
            text = _WRONG if outcome.text.id == "signin.failed" else outcome.text
            return self._page(request, browser, about, text, status_of(text))
        return await self._go_on(request, browser, self._step(request, session, own, outcome, then), outcome)

    async def _by_factor(self, request: Request, browser: Browser, about: Mapping[str, object], asked: SessionRequest) -> Response:
        """Ask for the strongest that he has; where that is his password, or something is to be done first, the page asks for it."""
        outcome, then = await self._door.engine.begin_confirming(asked), str(about["then"])
        if outcome is None:
            return RedirectResponse(f"/confirm?then={then}", status_code=303)
        await self._door.published(asked.trail, outcome)
        if isinstance(outcome, Denied):
            return self._page(request, browser, {**about, "by_factor": True}, outcome.text, status_of(outcome.text))
        whose = asked.session.whose
        own = login_name(self._door.configuration().realms, whose.realm, whose.user_name)
        return await self._go_on(request, browser, self._step(request, asked.session, own, outcome, then), outcome)

    def _step(self, request: Request, session: Session, name: str, outcome: Outcome, then: str) -> Step:
        language = language_of_request(request)
        return Step("", 0, self._door.portal(), name, outcome.reference, language, then, None, confirms=session.id)

    def _about(self, session: Session, then: str) -> Mapping[str, object]:
        """What the page says of the session. Whoever comes back after a recovery code is told why that was not enough."""
        at_ms = session.proofs.get(RECOVERY_CODE, 0)
        return {
            "then": then,
            "user_name": session.whose.user_name,
            "by_recovery_code": at_ms > 0 and at_ms == session.confirmed_at,
        }

    def _page(
        self, request: Request, browser: Browser, about: Mapping[str, object], error: Text | None = None, status: int = 422
    ) -> Response:
        csrf = browser.csrf(self._door.ring(), CONFIRM)
        status = 200 if error is None else status
        values = {"by_factor": False, **about, "csrf": csrf, "error": error, "throttled": status == 429}
        page = self._door.pages.page(request, "confirm.html", status, posts=True, **values)
        if status in (429, 503):
            page.headers["retry-after"] = str(wait_s(error))
        browser.keep(page)
        return page
