"""Sign in: user name and password, or a passkey; then one question after the other (`open_step`), then the session (`going_on`).

A page is 200; what is not accepted comes back as 422 with its message; an accepted POST is a 303; a brake is 429; a step that is
over 409; a neighbour that is down 503. Passwords and codes never stand in a page or an address.
"""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.engine.finding import login_name
from wardgate.engine.outcome import Denied, Granted, Outcome
from wardgate.engine.passkey_first import PasskeyRequest, new_challenge
from wardgate.engine.request import MAX_USER_NAME_CHARS, BeginRequest
from wardgate.engine.session_first import SESSION_GONE, SESSION_OVER, SIGN_IN_AGAIN
from wardgate.factors.passkey import MAX_ASSERTION_BYTES, request_options
from wardgate.pages.actions import ActionPages
from wardgate.pages.browser import Browser, Form, browser_of, form_of, is_ours
from wardgate.pages.by_session import ask_engine
from wardgate.pages.confirming import MAX_PASSWORD_BYTES
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.going_on import GoingOn
from wardgate.pages.open_step import StepPages
from wardgate.pages.place import AGAIN, then_of
from wardgate.pages.purpose import Aim
from wardgate.pages.refusing import status_of, wait_s
from wardgate.pages.site import site_of
from wardgate.pages.steps import Step, Steps
from wardgate.pages.ticket import KERBEROS_FIRST, TicketPages
from wardgate.pages.trusting import device_shown
from wardgate.session.sessions import Session
from wardgate.texts import Text
from wardgate.web.access import require_known_host
from wardgate.web.headers import PASSKEYS_USED, PERMISSIONS_POLICY
from wardgate.web.language import language_of_request

SIGN_IN: Final = "sign-in"
PASSKEY_FIRST: Final = "/sign-in/passkey"


class SignInPages:
    """The pages of signing in."""

    def __init__(self, door: BrowserDoor) -> None:
        self._door = door
        steps = Steps(door.storage, door.ring, door.clock)
        actions = ActionPages(door, steps)
        self._going = GoingOn(door, steps, actions)
        self._open = StepPages(door, steps, actions, self._going)
        self._tickets = TicketPages(door, self._aim, self._form, self._going.go_on)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/sign-in", self.ask, methods=["GET"]),
            Route("/sign-in", self.begin, methods=["POST"]),
            Route(PASSKEY_FIRST, self.ask_passkey, methods=["GET"]),
            Route(PASSKEY_FIRST, self.begin_by_passkey, methods=["POST"]),
            *self._going.confirming.routes(),
            *self._tickets.routes(),
            *self._open.routes(),
        ]

    # --- user name and password ------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """The form. Stores nothing but that a session is one of our own pages as well, once their policy said so."""
        require_known_host(request, self._door.context.hosts)
        browser, then = browser_of(request), then_of(request.query_params.get("then"))
        aim = await self._aim(request, browser, then)
        notice = _notice(request.query_params.get("why"))
        if aim.session is None:
            return await self._already_in(request, aim) or self._form(request, browser, aim, notice=notice)
        if AGAIN in request.query_params:
            return self._form(request, browser, aim, notice=notice or Text("signin.again"))
        if aim.purpose.application != self._door.portal():
            return RedirectResponse(then, status_code=303)
        return await self._by_session(request, browser, aim, aim.session)

    async def _already_in(self, request: Request, aim: Aim) -> Response | None:
        """To where he wanted, for who is signed in for this already: a form of an older tab switches nobody's account."""
        if aim.session is not None or await self._door.sessions.find(request.cookies.get(SESSION_COOKIE, "")) is None:
            return None
        return RedirectResponse(aim.then, status_code=303)

    async def _by_session(self, request: Request, browser: Browser, aim: Aim, session: Session) -> Response:
        """Into our own pages by the session of another application, if their policy takes it."""
        bearer = request.cookies.get(SESSION_COOKIE, "")
        admits = [self._door.sessions.admit(session, aim.purpose.application)]
        counted, outcome = await ask_engine(self._door, request, browser, session, aim.purpose, lambda _: admits)
        match outcome:
            case Granted():
                return RedirectResponse(aim.then, status_code=303)
            case Denied(reason=reason) if reason == SESSION_OVER:
                await self._door.sessions.end(bearer, "account")
                return self._form(request, browser, replace(aim, session=None, name=""), notice=Text("session.account"))
            case Denied(reason=reason) if reason == SESSION_GONE:
                return RedirectResponse(f"/sign-in?then={quote(aim.then)}", status_code=303)
            case Denied(reason=reason) if reason == SIGN_IN_AGAIN:
                return self._form(request, browser, aim, notice=Text("signin.again"))
            case Denied():
                status = status_of(outcome.text)
                return self._form(request, browser, aim, error=outcome.text, status=403 if status == 422 else status)
        return await self.prove_more(request, browser, aim, session, counted, outcome)

    async def prove_more(
        self, request: Request, browser: Browser, aim: Aim, session: Session, counted: tuple[str, ...], outcome: Outcome
    ) -> Response:
        """A session is not enough, and the engine has asked for what is missing: the browser is sent to where that is shown."""
        step = replace(self._begun(request, aim, session_name(self._door, session), outcome.reference), counted=counted)
        return await self._going.go_on(request, browser, replace(step, confirms=session.id, proves=True), outcome)

    async def go_on_waiting(self, request: Request, browser: Browser, step: Step) -> Response:
        """A login that began elsewhere waits behind this step's handle."""
        return await self._going.go_on_waiting(request, browser, step)

    def _begun(self, request: Request, aim: Aim, name: str, reference: str) -> Step:
        language, confirms = language_of_request(request), aim.session.id if aim.session is not None else ""
        step = Step("", 0, aim.purpose.application, name, reference, language, aim.then, None, confirms=confirms)
        return replace(step, proves=bool(confirms))

    async def _aim(self, request: Request, browser: Browser, wanted: str | None) -> Aim:
        """What this sign-in is for. Who is signed in already, and not yet for this, proves more, or anew, and stays who he is."""
        then = then_of(wanted)
        waits = await self._door.purposes.of(browser.mac(self._door.ring()), then)
        purpose = waits or self._door.own_purpose()
        session = await self._door.sessions.find(request.cookies.get(SESSION_COOKIE, ""))
        if session is None or (waits is None and session.application == purpose.application):
            return Aim(then, purpose)
        return Aim(then, purpose, session, session_name(self._door, session))

    async def begin(self, request: Request) -> Response:
        """Check the password and ask for the next factor."""
        sent = await self._sent(request)
        if isinstance(sent, Response):
            return sent
        browser, form, aim = sent
        name, password = aim.name or form.text("username", MAX_USER_NAME_CHARS), form.secret("password")
        if not is_ours(request, browser, self._door.ring(), form, SIGN_IN, self._door.context.origin):
            return self._form(request, browser, aim, name, error=Text("form.old"), status=422)
        if not name or not password:
            missing = Text("signin.missing_name") if not name else Text("signin.missing_password")
            return self._form(request, browser, aim, name, error=missing, status=422)
        if len(name) > MAX_USER_NAME_CHARS or len(password) > MAX_PASSWORD_BYTES:
            return self._form(request, browser, aim, error=Text("signin.too_long"), status=422)
        trail, purpose = self._door.trail(request), aim.purpose
        origin, device, fresh = self._door.origin(request, browser), device_shown(request), purpose.fresh
        begin = BeginRequest(
            purpose.application, name, origin, trail, Secret(password), device=device, asked=purpose.asked, fresh=fresh
        )
        outcome = await self._door.engine.begin(begin)
        await self._door.published(trail, outcome)
        if isinstance(outcome, Denied):
            return self._form(request, browser, aim, name, error=outcome.text, status=status_of(outcome.text))
        return await self._going.go_on(request, browser, self._begun(request, aim, name, outcome.reference), outcome)

    async def _sent(self, request: Request) -> tuple[Browser, Form, Aim] | Response:
        """The form as it was sent, and what it is for; to where he wanted, for who is signed in for this already."""
        require_known_host(request, self._door.context.hosts)
        browser, form = browser_of(request), await form_of(request)
        aim = await self._aim(request, browser, form.fields.get("then"))
        already_in = await self._already_in(request, aim)
        return already_in if already_in is not None else (browser, form, aim)

    def _form(
        self,
        request: Request,
        browser: Browser,
        aim: Aim,
        name: str = "",
        *,
        error: Text | None = None,
        notice: Text | None = None,
        status: int = 200,
        forget: str = "",
        asks_ticket: bool = True,
    ) -> Response:
        # A ticket says what it said this morning, and nothing of what an application asks for by name.
        anew = aim.session is not None or aim.purpose.fresh or aim.purpose.asked
        asks_ticket = asks_ticket and not anew and self._tickets.asks(request)
        response = self._door.pages.page(
            request,
            "sign_in.html",
            status,
            posts=True,
            csrf=browser.csrf(self._door.ring(), SIGN_IN),
            then=aim.then,
            user_name=aim.name or name[:MAX_USER_NAME_CHARS],
            is_named=bool(aim.name),
            error=error,
            notice=notice,
            throttled=status == 429,
            passkeys=PASSKEY_FIRST if site_of(request, self._door.context) is not None else "",
            forget=forget,
            tickets=f"{KERBEROS_FIRST}?then={quote(aim.then)}" if asks_ticket else "",
            title=aim.purpose.title_in(language_of_request(request)),
            decline=aim.purpose.place,
            decline_csrf=browser.csrf(self._door.ring(), aim.purpose.waits) if aim.purpose.place else "",
        )
        if status in (429, 503):
            response.headers["retry-after"] = str(wait_s(error))
        response.headers[PERMISSIONS_POLICY] = PASSKEYS_USED
        browser.keep(response)
        return response

    # --- a passkey instead of both -----------------------------------------------------------------------------------

    async def ask_passkey(self, request: Request) -> Response:
        """The question for the browser, whichever passkey it has. Stores nothing; tells nothing of anybody."""
        require_known_host(request, self._door.context.hosts)
        if site_of(request, self._door.context) is None:
            raise HTTPException(404)
        browser = browser_of(request)
        binding = self._door.origin(request, browser).binding
        response = JSONResponse(request_options(new_challenge(self._door.ring(), binding, to_ms(self._door.clock.now()))))
        browser.keep(response)
        return response

    async def begin_by_passkey(self, request: Request) -> Response:
        """Who it is, his passkey says. Where the plan wants more, the form comes back with his name in it."""
        sent = await self._sent(request)
        if isinstance(sent, Response):
            return sent
        browser, form, aim = sent
        if not is_ours(request, browser, self._door.ring(), form, SIGN_IN, self._door.context.origin):
            return self._form(request, browser, aim, error=Text("form.old"), status=422)
        trail, purpose = self._door.trail(request), aim.purpose
        shown, origin = form.secret("passkey")[: MAX_ASSERTION_BYTES + 1], self._door.origin(request, browser)
        by_passkey = PasskeyRequest(purpose.application, shown, origin, trail, purpose.asked)
        name, outcome = await self._door.engine.begin_by_passkey(by_passkey)
        await self._door.published(trail, outcome)
        if isinstance(outcome, Denied) and not name:
            forget = str(outcome.text.values.get("forget", ""))
            return self._form(request, browser, aim, error=outcome.text, status=status_of(outcome.text), forget=forget)
        if isinstance(outcome, Denied):
            return self._form(request, browser, aim, name, notice=outcome.text, status=status_of(outcome.text))
        return await self._going.go_on(request, browser, self._begun(request, aim, name, outcome.reference), outcome)


def _notice(why: str | None) -> Text | None:
    return Text(f"session.{why}") if why in ("idle", "over", "ended", "frozen", "changed", "other") else None


def session_name(door: BrowserDoor, session: Session) -> str:
    """What the person of this session would type."""
    return login_name(door.configuration().realms, session.whose.realm, session.whose.user_name)
