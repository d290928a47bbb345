"""Sign in: user name and password, then one question after the other at `/step/{id}`, then the session.

A page is 200; what is not accepted comes back as 422 with its message; an accepted POST is a 303; a brake is 429; a step that is
over 409; a neighbour that is down 503. Passwords and codes never stand in a page or an address.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.engine.finding import login_name
from wardgate.engine.new_browser import Seen, tell_of_sign_in
from wardgate.engine.outcome import ActionRequired, Challenge, Denied, Granted, Outcome, Waiting
from wardgate.engine.passkey_first import PasskeyRequest, new_challenge
from wardgate.engine.reconciling import found_out
from wardgate.engine.request import MAX_USER_NAME_CHARS, AnswerRequest, BeginRequest
from wardgate.engine.session_first import SESSION_GONE, SESSION_OVER, SIGN_IN_AGAIN
from wardgate.factors import BY_KIND, ON_PAGES
from wardgate.factors.passkey import MAX_ASSERTION_BYTES, request_options
from wardgate.pages.actions import CHANGE, CONFIRM_CONTACT, ActionPages
from wardgate.pages.browser import Browser, Form, browser_of, form_of, is_ours, new_browser, set_cookie
from wardgate.pages.by_session import ask_engine
from wardgate.pages.confirming import MAX_PASSWORD_BYTES, ConfirmPages
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.known_browser import is_known, keep_known
from wardgate.pages.opening import opening_of, proved_before
from wardgate.pages.place import then_of
from wardgate.pages.purpose import Aim
from wardgate.pages.questions import answers_to
from wardgate.pages.refusing import status_of, wait_s
from wardgate.pages.site import site_of
from wardgate.pages.steps import Question, Step, Steps
from wardgate.pages.ticket import KERBEROS_FIRST, TicketPages
from wardgate.pages.trusting import device_shown, keep_device
from wardgate.session.devices import device_of
from wardgate.session.sessions import Session
from wardgate.texts import Text
from wardgate.web.access import require_known_host
from wardgate.web.headers import PASSKEYS_USED, PERMISSIONS_POLICY
from wardgate.web.language import known_language, language_of_request, wished

MAX_CODE_CHARS: Final = 64
SIGN_IN: Final = "sign-in"
PASSKEY_FIRST: Final = "/sign-in/passkey"
# In the address of the form: who is signed in is to sign in again.
AGAIN: Final = "again"
_ANSWER, _RESEND, _OTHER, _CANCEL = "answer", "resend", "other", "cancel"
_HINTS: Final = ("code.ask_", "kba.ask")
_WRONG: Final = (
    *("code.wrong", "code.wrong_last", "code.reused", "code.expired", "passkey.wrong", "passkey.wrong_last", "passkey.unknown"),
    *("kba.wrong", "kba.wrong_last"),
)
_OTHER_WAYS: Final = "code.other_ways"
# Why something has to be done; any other text says why it was not taken.
_DEMANDS: Final = ("pw.expired", "pw.must_change", "freeze.lift", "change.must", "enrol.must", "questions.must", "confirm.must")
# What is told after the grant, and where it is done.
_OFFERS: Final = {
    "enrol.due": "/enrol/totp",
    "enrol.offer": "/enrol/totp",
    "questions.due": "/account/questions/set",
    "questions.offer": "/account/questions/set",
    "change.due": "/account/password",
    "change.offer": "/account/password",
    "ends.offer": "/account/password",
    "ends.last": "/account/password",
    "confirm.due": "/account/contacts",
    "confirm.offer": "/account/contacts",
    "activate.contacts": "/account/contacts",
}
_SOME_BROWSER: Final = "browser"


class SignInPages:
    """The pages of signing in."""

    def __init__(self, door: BrowserDoor) -> None:
        self._door = door
        self._steps = Steps(door.storage, door.ring, door.clock)
        self._actions = ActionPages(door, self._steps)
        self._confirming = ConfirmPages(door, self._go_on)
        self._tickets = TicketPages(door, self._aim, self._form, self._go_on)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/sign-in", self.ask, methods=["GET"]),
            Route("/sign-in", self.begin, methods=["POST"]),
            Route(PASSKEY_FIRST, self.ask_passkey, methods=["GET"]),
            Route(PASSKEY_FIRST, self.begin_by_passkey, methods=["POST"]),
            *self._confirming.routes(),
            *self._tickets.routes(),
            Route("/step/{id}", self.show, methods=["GET"]),
            Route("/step/{id}", self.answer, methods=["POST"]),
            Route("/step/{id}/offers", self.offers, methods=["GET"]),
            Route("/step/{id}/recovery-codes.txt", self.codes, methods=["GET"]),
            Route("/step/{id}/help", self.no_code, methods=["GET"]),
            Route("/step/{id}/other", self.other_ways, methods=["GET"]),
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
        admits = [self._door.sessions.admit(bearer, session, aim.purpose.application)]
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
        return await self._go_on(request, browser, replace(step, confirms=session.id, proves=True), outcome)

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
        require_known_host(request, self._door.context.hosts)
        browser, form = browser_of(request), await form_of(request)
        aim = await self._aim(request, browser, form.fields.get("then"))
        already_in = await self._already_in(request, aim)
        if already_in is not None:
            return already_in
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
        return await self._go_on(request, browser, self._begun(request, aim, name, outcome.reference), outcome)

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
            title=aim.purpose.title,
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
        require_known_host(request, self._door.context.hosts)
        browser, form = browser_of(request), await form_of(request)
        aim = await self._aim(request, browser, form.fields.get("then"))
        already_in = await self._already_in(request, aim)
        if already_in is not None:
            return already_in
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
        return await self._go_on(request, browser, self._begun(request, aim, name, outcome.reference), outcome)

    # --- the open question -----------------------------------------------------------------------------------------

    async def show(self, request: Request) -> Response:
        """What the stored login waits for."""
        step = await self._step(request)
        if step.action and not step.ended:
            return await self._actions.show(request, browser_of(request), step)
        if step.text is not None and step.text.id == "pw.unknown_result":
            step = step.changed(text=await found_out(self._door.storage, step.reference, step.user_name) or step.text)
        return self._shown(request, browser_of(request), step)

    async def answer(self, request: Request) -> Response:
        """Hand an answer, the wish for another code or another way, or the end of it all to the engine."""
        browser, form = browser_of(request), await form_of(request)
        step = await self._step(request)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            if step.action and not step.ended:
                return await self._actions.show(request, browser, step, Text("form.old"), 422)
            error, status = (Text("form.old"), 422) if step.question is not None else (Text("flow.done_elsewhere"), 409)
            return self._shown(request, browser, step, error=error, status=status)
        if form.fields.get("turn") != str(step.turn):
            return await self._late(request, browser, step, form)
        act = form.fields.get("act", _ANSWER)
        if act == _CANCEL and not step.ended:
            return await self._cancel(request, browser, step)
        if step.action and not step.ended:
            done = await self._actions.act(request, browser, step, form)
            return done if isinstance(done, Response) else await self._go_on(request, browser, done.step, done.outcome, typed=True)
        question = step.question
        if question is None:
            return self._shown(request, browser, step, status=409)
        if act == _ANSWER and question.trust_s:
            agent = request.headers.get("user-agent", "")
            step = step.changed(trusts=(device_of(agent) or _SOME_BROWSER) if form.fields.get("trust_device") == "yes" else "")
        given = _given(act, form, question)
        if not given:
            missing = (
                "passkey.cancelled" if question.factor in ON_PAGES else "kba.missing" if question.questions else "code.missing"
            )
            return self._shown(request, browser, step, error=Text(missing), status=422)
        outcome = await self._answered(request, browser, step, question, given)
        return await self._go_on(request, browser, step, outcome, typed=act == _ANSWER)

    async def no_code(self, request: Request) -> Response:
        """What to do when no code comes."""
        return await self._beside(request, "no_code.html")

    async def other_ways(self, request: Request) -> Response:
        """Choose another factor."""
        return await self._beside(request, "other_ways.html")

    async def _beside(self, request: Request, template: str) -> Response:
        """A page beside the open question; where none is open any more, the way to what is."""
        browser, step = browser_of(request), await self._step(request)
        if step.action and not step.ended:
            return self._to_step(browser, step)
        return self._shown(request, browser, step, template)

    async def _step(self, request: Request) -> Step:
        require_known_host(request, self._door.context.hosts)
        browser = browser_of(request)
        step = await self._steps.find(browser.mac(self._door.ring()), request.path_params["id"])
        if step is None:
            # Whether it is over or somebody else's is not told.
            raise HTTPException(410)
        return step

    async def _answered(self, request: Request, browser: Browser, step: Step, question: Question, given: bytes) -> Outcome:
        trail = self._door.trail(request)
        # One form sent twice is one answer: its second copy gets the outcome of the first.
        same_form = hashlib.blake2b(b"\0".join((step.id.encode(), str(step.turn).encode(), given)), digest_size=32).digest()
        origin = self._door.origin(request, browser)
        answer = AnswerRequest(question.handle, Secret(given), step.user_name, same_form, origin, trail, step.trusts)
        outcome = await self._door.engine.answer(answer)
        await self._door.published(trail, outcome)
        return outcome

    async def _cancel(self, request: Request, browser: Browser, step: Step) -> Response:
        handle = step.question.handle if step.question is not None else bytes.fromhex(step.handle)
        if handle:
            trail = self._door.trail(request)
            await self._door.published(trail, await self._door.engine.cancel(handle, trail))
        await self._steps.move(browser.mac(self._door.ring()), step, _over(step, "cancelled", Text("flow.cancelled")))
        if await self._door.purposes.of(browser.mac(self._door.ring()), step.then) is not None:
            # Somebody waits to hear of it: back to where he can be told, whoever is signed in.
            return RedirectResponse(f"/sign-in?then={quote(step.then)}&{AGAIN}=1", status_code=303)
        return RedirectResponse("/sign-in", status_code=303)

    async def _late(self, request: Request, browser: Browser, step: Step, form: Form) -> Response:
        """The form of a turn that is over: sent twice, or from another tab. Who was signed in by its first copy is signed in."""
        if step.ended == "granted" and step.bearer and form.fields.get("turn") == str(step.turn - 1):
            return self._signed_in(step, step.bearer, browser)
        if step.action and not step.ended:
            return await self._actions.show(request, browser, step, Text("flow.done_elsewhere"), 409)
        return self._shown(request, browser, step, error=Text("flow.done_elsewhere"), status=409)

    async def _go_on(self, request: Request, browser: Browser, step: Step, outcome: Outcome, typed: bool = False) -> Response:
        """Store what the engine said, and send the browser to where it shows."""
        match outcome:
            case Challenge():
                return await self._asked(request, browser, step, outcome, typed)
            case Granted():
                return await self._granted(request, browser, step, outcome)
            case ActionRequired():
                return await self._to_do(request, browser, step, outcome, typed)
            case Waiting() | Denied():
                return await self._closed(request, browser, step, outcome.text)

    async def go_on_waiting(self, request: Request, browser: Browser, step: Step) -> Response:
        """A login that began elsewhere waits behind this step's handle: ask the engine for what."""
        return await self._go_on(request, browser, step, await self._actions.looked_at(request, browser, step))

    async def _asked(self, request: Request, browser: Browser, step: Step, challenge: Challenge, typed: bool) -> Response:
        wrong = typed and any(text.id in _WRONG for text in challenge.texts)
        question = Question(
            challenge.handle,
            challenge.factor,
            challenge.texts,
            challenge.ways,
            to_ms(self._door.clock.now()) + challenge.expires_in_s * 1000,
            0 if step.confirms else challenge.trust_s,
            challenge.questions,
        )
        changes: dict[str, Any] = {
            "question": question,
            "reference": challenge.reference,
            "wrong": wrong,
            "action": "",
            "handle": "",
        }
        stored = await self._stored(browser, step, changes)
        if stored is None:
            return await self._taken(request, browser, step)
        if wrong:
            return self._shown(request, browser, stored, status=422)
        return self._to_step(browser, stored)

    async def _to_do(self, request: Request, browser: Browser, step: Step, required: ActionRequired, typed: bool) -> Response:
        """Something has to be done first: the same step shows what. What cannot be done here ends the login, and is said."""
        if required.action == CONFIRM_CONTACT and step.action != CONFIRM_CONTACT:
            waiting = step.changed(action=required.action, handle=required.handle.hex(), reference=required.reference)
            return await self._go_on(request, browser, waiting, await self._actions.looked_at(request, browser, waiting))
        if not self._actions.can(required.action):
            trail = self._door.trail(request)
            await self._door.published(trail, await self._door.engine.cancel(required.handle, trail))
            return await self._closed(request, browser, step, required.text)
        wrong = typed and step.action == required.action and required.text.id not in _DEMANDS
        changes: dict[str, Any] = {
            "question": None,
            "action": required.action,
            "handle": required.handle.hex(),
            "reference": required.reference,
            "text": required.text,
            "wrong": wrong,
        }
        stored = await self._stored(browser, step, changes)
        if stored is None:
            return await self._taken(request, browser, step)
        if wrong:
            return await self._actions.show(request, browser, stored, status=status_of(required.text))
        return self._to_step(browser, stored)

    async def _granted(self, request: Request, browser: Browser, step: Step, granted: Granted) -> Response:
        if step.confirms:
            return await self._confirmed(request, browser, step, granted)
        language = wished(request) or known_language(granted.own_language) or step.language
        agent, source = request.headers.get("user-agent", ""), self._door.trail(request).source
        opening = opening_of(granted, agent, source, language, step.then)
        bearer = await self._door.sessions.begin(opening, request.cookies.get(SESSION_COOKIE, ""))
        after = await self._renewed(browser)
        changes = _granted_step(bearer, granted.texts)
        stored: Step | None = step
        if step.id:
            stored = await self._stored(browser, step, changes, after)
        elif granted.texts:
            stored = await self._steps.begin(after.mac(self._door.ring()), step.changed(**changes))
        if stored is None:
            # Its other copy was first, and signed this browser in: one login is one session.
            await self._door.sessions.end(bearer, "twice")
            return await self._taken(request, browser, step)
        response = self._signed_in(stored, bearer, after)
        subject_id = SubjectId(granted.subject_id)
        seen, known = Seen(opening.device, opening.address), is_known(request, self._door.ring(), subject_id)
        await tell_of_sign_in(self._door.parts, granted, seen, language, known)
        keep_known(request, response, self._door.ring(), subject_id)
        keep_device(request, response, granted.device)
        return response

    async def _renewed(self, browser: Browser) -> Browser:
        """The browser under a new id; what waits for it goes along."""
        after, ring = new_browser(), self._door.ring()
        await self._door.purposes.follow(browser.mac(ring), after.mac(ring))
        return after

    async def _confirmed(self, request: Request, browser: Browser, step: Step, granted: Granted) -> Response:
        """The session goes on under a new value; without one he signs in again."""
        bearer = (
            await self._proved(request, step, granted) if step.proves else await self._confirming.confirmed(request, step, granted)
        )
        if bearer is None:
            # Above all somebody else's passkey: who is signed in stays so, and nobody proves anything for him.
            again = f"&{AGAIN}=1&why=other" if step.proves else ""
            # A new password ends all sessions, and so this one: a freeze was lifted on the way.
            why = again or ("&why=changed" if step.action == CHANGE else "")
            return RedirectResponse(f"/sign-in?then={quote(step.then)}{why}", status_code=303)
        after = await self._renewed(browser)
        changes: dict[str, Any] = {"question": None, "ended": "granted", "text": Text("flow.signed_in"), "bearer": bearer}
        if step.id:
            await self._stored(browser, step, changes, after)
        return self._signed_in(step, bearer, after)

    async def _proved(self, request: Request, step: Step, granted: Granted) -> str | None:
        """What was proved now counts in the session from now on; what counted already keeps its date."""
        held, new = request.cookies.get(SESSION_COOKIE, ""), granted.factors[len(step.counted) :]
        about = (SubjectId(granted.subject_id), new, step.application, granted.assurance, proved_before(granted), step.then)
        return await self._door.sessions.prove(held, step.confirms, *about)

    def _signed_in(self, step: Step, bearer: str, browser: Browser) -> Response:
        place = f"/step/{step.id}/offers" if step.offers else step.then
        response = RedirectResponse(place, status_code=303)
        set_cookie(response, SESSION_COOKIE, bearer)
        browser.keep(response)
        return response

    async def offers(self, request: Request) -> Response:
        """What the person may put off, told after the grant."""
        step = await self._step(request)
        if step.ended != "granted" or not step.offers:
            raise HTTPException(410)
        told = [Text(f"do.{text.id.replace('.', '_')}", text.values) if text.id in _OFFERS else text for text in step.offers]
        place = next((_OFFERS[text.id] for text in step.offers if text.id in _OFFERS), step.then)
        return self._door.pages.page(request, "offers.html", posts=True, step=step, offers=told, place=place)

    async def codes(self, request: Request) -> Response:
        """The recovery codes of a step that shows them, as a file."""
        step = await self._step(request)
        codes = self._actions.made(step)
        if not codes:
            raise HTTPException(410)
        headers = {"content-disposition": 'attachment; filename="recovery-codes.txt"'}
        return PlainTextResponse("\n".join((*codes, "")), headers=headers)

    async def _closed(self, request: Request, browser: Browser, step: Step, text: Text) -> Response:
        changes = {"question": None, "ended": "closed", "text": text, "wrong": True, "secret": "", "pending": ""}
        stored = await self._stored(browser, step, changes)
        if stored is None:
            return await self._taken(request, browser, step)
        return self._to_step(browser, stored)

    async def _stored(self, browser: Browser, step: Step, changes: dict[str, Any], after: Browser | None = None) -> Step | None:
        mac = browser.mac(self._door.ring())
        new = step.changed(**changes)
        if not step.id:
            return await self._steps.begin(mac, new)
        return await self._steps.move(mac, step, new, after.mac(self._door.ring()) if after is not None else None)

    async def _taken(self, request: Request, browser: Browser, step: Step) -> Response:
        """Another request took this turn: show what came of it."""
        now = await self._steps.find(browser.mac(self._door.ring()), step.id)
        if now is None:
            raise HTTPException(410)
        if now.ended == "granted" and now.bearer:
            return self._signed_in(now, now.bearer, browser)
        return self._to_step(browser, now)

    def _to_step(self, browser: Browser, step: Step) -> Response:
        response = RedirectResponse(f"/step/{step.id}", status_code=303)
        browser.keep(response)
        return response

    def _shown(
        self,
        request: Request,
        browser: Browser,
        step: Step,
        template: str = "step.html",
        error: Text | None = None,
        status: int = 200,
    ) -> Response:
        question = step.question
        if question is not None and question.ends_at <= to_ms(self._door.clock.now()):
            step, question = _over(step, "closed", Text("flow.expired", {"ref": step.reference})), None
        texts = question.texts if question is not None else ()
        prompt = next((text for text in texts if text.id.startswith(_HINTS)), None)
        told = [text for text in texts if text is not prompt and text.id != _OTHER_WAYS]
        asks_passkey = question is not None and question.factor in ON_PAGES and template == "step.html"
        response = self._door.pages.page(
            request,
            _template_of(question, template),
            status if question is not None or status != 200 else 410 if step.ended == "closed" else 409,
            posts=True,
            step=step,
            question=question,
            prompt=prompt,
            error=error or (told[0] if step.wrong and told else None),
            notice=told[0] if told and not step.wrong else None,
            masked=self._door.masks_answers(),
            sends=question is not None and BY_KIND[question.factor].channel is not None,
            csrf=browser.csrf(self._door.ring(), step.id),
        )
        if asks_passkey:
            response.headers[PERMISSIONS_POLICY] = PASSKEYS_USED
        return response


def _given(act: str, form: Form, question: Question) -> bytes:
    """What the engine is answered: what was typed, or the word of a factor. Empty for what no page of ours sends."""
    if act == _RESEND:
        return BY_KIND[question.factor].words[0].encode()
    if act == _OTHER:
        kind = form.fields.get("method", "")
        return BY_KIND[kind].words[0].encode() if kind in question.ways else b""
    if question.factor in ON_PAGES:
        return form.secret("passkey")[: MAX_ASSERTION_BYTES + 1]
    if question.questions:
        return answers_to(form)
    code = form.text("code", MAX_CODE_CHARS)
    return code.encode("utf-8", "replace") if len(code) <= MAX_CODE_CHARS else b""


def _template_of(question: Question | None, template: str) -> str:
    """What shows the open question; `template` may be a page beside it."""
    if question is None:
        return "ended.html"
    if template != "step.html":
        return template
    return "step_passkey.html" if question.factor in ON_PAGES else "step_questions.html" if question.questions else template


def _granted_step(bearer: str, offers: Sequence[Text]) -> dict[str, Any]:
    """What a step is once it has begun a session: nothing of what was enrolled or asked stays in it."""
    return {
        "question": None,
        "ended": "granted",
        "text": Text("flow.signed_in"),
        "bearer": bearer,
        "offers": tuple(offers),
        "secret": "",
        "pending": "",
        "wrong": False,
    }


def _over(step: Step, ended: str, text: Text) -> Step:
    return step.changed(question=None, ended=ended, text=text)


def _notice(why: str | None) -> Text | None:
    return Text(f"session.{why}") if why in ("idle", "over", "ended", "frozen", "changed", "other") else None


def session_name(door: BrowserDoor, session: Session) -> str:
    """What the person of this session would type."""
    return login_name(door.configuration().realms, session.whose.realm, session.whose.user_name)
