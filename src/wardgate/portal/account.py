"""The account page: overview, sessions, and signing out."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.clock import from_ms
from wardgate.engine.holders import holder_of
from wardgate.engine.self_service.own_questions import OwnQuestions, Person, Standing
from wardgate.factors import SECOND_FACTORS
from wardgate.pages.browser import browser_of, drop_cookie, form_of, is_ours, new_browser
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.joined import Joined
from wardgate.pages.told import told_reference, with_reference
from wardgate.portal.activity import ActivityPages
from wardgate.portal.gate import Gate, Present
from wardgate.texts import Text
from wardgate.web.access import require_known_host
from wardgate.web.language import language_of_request

ACCOUNT: Final = "account"
SIGN_OUT: Final = "sign-out"
SIGNED_OUT: Final = "/signed-out"


class AccountPages:
    """The pages under `/account`, and the end of the session."""

    def __init__(self, door: BrowserDoor, gate: Gate, activity: ActivityPages, joined: Joined | None = None) -> None:
        """`joined`: a door whose applications a session may have been used for."""
        self._door = door
        self._joined = joined
        self._gate = gate
        self._questions = OwnQuestions(door.parts)
        self._activity = activity

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/account", self.overview),
            Route("/account/sessions", self.sessions, methods=["GET"]),
            Route("/account/sessions", self.end_sessions, methods=["POST"]),
            Route("/sign-out", self.ask_sign_out, methods=["GET"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route(SIGNED_OUT, self.signed_out),
        ]

    async def overview(self, request: Request) -> Response:
        """What protects this account, and where it is signed in."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        sessions = await self._door.sessions.of_subject(present.session.whose.subject_id)
        ways = await self._ways(present)
        questions = await self._questions_of(request, present) if self._questions.in_use else None
        last = await self._activity.last(present)
        told: dict[str, Any] = {"ways": ways, "questions": questions, "session_count": len(sessions), "last": last}
        return self._page(request, present, "account.html", **told)

    async def _questions_of(self, request: Request, present: Present) -> Standing:
        """How many challenge questions are set, and whether some are due."""
        whose = present.session.whose
        person = Person(whose.subject_id, present.user, self._door.portal(), whose.language)
        return await self._questions.look(person, language_of_request(request))

    async def _ways(self, present: Present) -> list[str]:
        """The kinds of factors that the person has."""
        subject_id = present.session.whose.subject_id
        rows, contacts = await self._door.storage.read([kept_authenticators(subject_id), kept_contacts(subject_id)])
        holder = holder_of(self._door.ring(), subject_id, present.user, *active_and_held(rows), contacts)
        return [factor.kind for factor in SECOND_FACTORS if factor.enrolled(holder)]

    # --- sessions --------------------------------------------------------------------------------------------------

    async def sessions(self, request: Request) -> Response:
        """Where the person is signed in."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        return await self._sessions_page(request, present)

    async def end_sessions(self, request: Request) -> Response:
        """End one session or all others. Nothing is asked for that: ending is always allowed."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        if not is_ours(request, browser, self._door.ring(), form, ACCOUNT, self._door.context.origin):
            return await self._sessions_page(request, present, error=Text("form.old"), status=422)
        session, subject_id = form.fields.get("session", ""), present.session.whose.subject_id
        if session == present.session.id:
            return await self._leave(request, present.bearer)
        if session:
            await self._door.sessions.end_one(subject_id, session, "ended_by_person")
        else:
            await self._door.sessions.end_others(subject_id, present.session.id, "ended_by_person")
        return RedirectResponse("/account/sessions", status_code=303)

    async def _sessions_page(self, request: Request, present: Present, error: Text | None = None, status: int = 200) -> Response:
        found = await self._door.sessions.of_subject(present.session.whose.subject_id)
        language = language_of_request(request)
        reached = await self._joined.reached(found, language) if self._joined is not None else {}
        rows = [
            {"id": each.id, "reached": reached.get(each.id, ()), "device": each.device, "address": each.address,
             "begun": from_ms(each.created_at), "seen": from_ms(each.seen_at), "this": each.id == present.session.id}
            for each in found
        ]  # fmt: skip
        return self._page(request, present, "sessions.html", status, rows=rows, error=error)

    # --- out -------------------------------------------------------------------------------------------------------

    async def ask_sign_out(self, request: Request) -> Response:
        """Ask. A link or a picture that leads here signs nobody out."""
        present = await self._gate.enter(request, to_leave=True)
        if isinstance(present, Response):
            return present
        return self._page(request, present, "sign_out.html")

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        require_known_host(request, self._door.context.hosts)
        browser, form = browser_of(request), await form_of(request)
        if not is_ours(request, browser, self._door.ring(), form, ACCOUNT, self._door.context.origin):
            return RedirectResponse("/sign-out", status_code=303)
        return await self._leave(request, request.cookies.get(SESSION_COOKIE, ""))

    async def _leave(self, request: Request, bearer: str) -> Response:
        ended, trail = await self._door.sessions.end(bearer, "signed_out"), self._door.trail(request)
        trail.user, trail.reason = ended.whose.user_name if ended is not None else "", "signed_out"
        self._door.recorder.publish(trail)
        after = new_browser()
        onward = await self._joined.leaving(after, ended) if self._joined is not None and ended is not None else ""
        response = RedirectResponse(onward or with_reference(SIGNED_OUT, trail.reference), status_code=303)
        # Without "cache": emptying it can hold Chrome up for many seconds, and nothing of ours is in it.
        response.headers["clear-site-data"] = '"storage"'
        drop_cookie(response, SESSION_COOKIE)
        after.keep(response)
        return response

    async def signed_out(self, request: Request) -> Response:
        """It is done."""
        require_known_host(request, self._door.context.hosts)
        return self._door.pages.page(request, "signed_out.html", reference=told_reference(request))

    def _page(self, request: Request, present: Present, template: str, status: int = 200, **values: object) -> Response:
        browser = browser_of(request)
        response = self._door.pages.page(
            request,
            template,
            status,
            posts=True,
            csrf=browser.csrf(self._door.ring(), ACCOUNT),
            session=present.session,
            user=present.user,
            **values,
        )
        browser.keep(response)
        return response
