"""Single sign-on over SAML 2.0: the Web Browser SSO profile (saml-profiles-2.0-os section 4.1), by Redirect and POST.

A request is checked, stored and resumed at `/saml/continue/{id}` by a GET of our own, so that SameSite cookies, a second tab and a
step-up need no care: whatever the person has to prove first, he comes back there. The engine decides; one commit grants, uses the
request up and notes the application among those of the session. Only then the Response is signed.
"""

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.engine.outcome import Denied, Granted
from wardgate.engine.session_first import MORE_NEEDED, NOT_TAKEN, SESSION_GONE, SESSION_OVER, SESSION_REASONS, SIGN_IN_AGAIN
from wardgate.federation.answers import Telling, refusal
from wardgate.federation.arriving import REPLAYED, NotGiven, NotTrusted, sign_in_asked
from wardgate.federation.brought import brought, may_sign
from wardgate.federation.door import CONTINUE_PATH, SSO_PATH, START_PATH, FederationDoor
from wardgate.federation.pages import handing_over, refused, told
from wardgate.federation.participants import Participants
from wardgate.federation.purposes import purpose_of, start_place
from wardgate.federation.relying_party import RelyingParty
from wardgate.federation.saml import names
from wardgate.federation.saml.consumers import default_consumer, is_consumer
from wardgate.federation.stored_requests import SIGN_IN, Asked, Draft, StoredRequests, TooManyOpen, Waiting
from wardgate.pages.browser import Browser, browser_of, drop_cookie, form_of, is_ours
from wardgate.pages.by_session import ask_engine
from wardgate.pages.door import SESSION_COOKIE
from wardgate.pages.place import AGAIN
from wardgate.pages.purpose import Aim
from wardgate.pages.refusing import status_of, wait_s
from wardgate.pages.sign_in import SignInPages, session_name
from wardgate.session.sessions import Session
from wardgate.storage.port import Operation, Refused
from wardgate.texts import Text
from wardgate.web.access import require_known_host
from wardgate.web.language import language_of_request

Writes = Callable[[Granted], Sequence[Operation] | None]
# What a refusal of the engine is to an application that wanted nobody asked.
_PASSIVE: Final = frozenset({MORE_NEEDED, SIGN_IN_AGAIN, SESSION_OVER})
# The person has nothing by which he could prove what is asked for.
NO_FACTOR: Final = "no_factor"
_NOT_ACCEPTED: Final = 422


class SsoPages:
    """The endpoint, and the address at which a request goes on."""

    def __init__(self, door: FederationDoor, requests: StoredRequests, participants: Participants, sign_in: SignInPages) -> None:
        self._door = door
        self._requests = requests
        self._participants = participants
        self._sign_in = sign_in

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(SSO_PATH, self.arrive, methods=["GET", "POST"]),
            Route(START_PATH + "/{name}", self.start, methods=["GET"]),
            Route(CONTINUE_PATH + "/{id}", self.go_on, methods=["GET"]),
            Route(CONTINUE_PATH + "/{id}", self.decline, methods=["POST"]),
        ]

    # --- a request comes in ------------------------------------------------------------------------------------------

    async def arrive(self, request: Request) -> Response:
        """An AuthnRequest, in the address or in a form of the application's."""
        came = await brought(self._door, request)
        if isinstance(came, Response):
            return came
        found = sign_in_asked(self._door, came.received)
        if isinstance(found, NotTrusted):
            return refused(self._door, request, found)
        party, asked = found
        if isinstance(asked, NotGiven):
            await may_sign(self._door, request)
            return self._error(request, party, asked.asked, asked.status, asked.second)
        return await self._stored(request, party, asked, came.browser)

    async def start(self, request: Request) -> Response:
        """Begin by ourselves: a link on the launchpad, or anywhere. It leads where the launchpad leads, and nowhere else.

        Which applications there are is told to people who are signed in; everybody else signs in first, whatever the name.
        """
        require_known_host(request, self._door.browser.context.hosts)
        name, browser = request.path_params["name"], browser_of(request)
        if await self._door.browser.sessions.look(request.cookies.get(SESSION_COOKIE, "")) is None:
            return RedirectResponse(f"/sign-in?then={quote(start_place(name))}", status_code=303)
        party = self._door.party(name)
        if party is None:
            raise HTTPException(404)
        if not party.unsolicited:
            return told(self._door, request, Text("federation.start_there", {"application": self._title(request, party)}), 404)
        asked = Asked(party.name, "", default_consumer(party.metadata).url, party.relay_state or None)
        return await self._stored(request, party, asked, None if browser.fresh else browser)

    async def _stored(self, request: Request, party: RelyingParty, asked: Asked, browser: Browser | None) -> Response:
        source = self._door.browser.address(request)
        mac = self._mac(browser) if browser is not None else None
        draft = self._requests.draft(asked, party.entity_id, source, mac)
        try:
            answered = await self._at_once(request, browser, party, draft) if browser is not None else None
            if answered is not None:
                return answered
            is_first = await self._requests.keep(draft)
        except TooManyOpen as error:
            raise HTTPException(429, headers={"retry-after": "60"}) from error
        if not is_first:
            mine = await self._requests.again(mac, draft) if mac is not None else None
            if mine is not None and mine.used:
                return self._answered(request, party)
            if mine is not None:
                # The browser that it is in loads its address once more: it reads there what it read before.
                return RedirectResponse(_address(mine), status_code=303)
            why = NotTrusted("federation.replayed", REPLAYED, "a request of this id came before", party.entity_id)
            return refused(self._door, request, why, 409)
        return RedirectResponse(_address(draft.waiting), status_code=303)

    async def _at_once(self, request: Request, browser: Browser, party: RelyingParty, draft: Draft) -> Response | None:
        """The answer, where the browser has a session that is enough; None where anything else has to be done or said.

        Nothing is stored first then: the commit of the grant writes the request down as used.
        """
        session = await self._door.browser.sessions.find(request.cookies.get(SESSION_COOKIE, ""))
        if session is None:
            return None
        telling = Telling(self._door, party, draft.waiting.asked, session)
        about = (session, purpose_of(party, draft.waiting))
        writes = self._writes(request, telling, session, self._requests.use_at_once(draft))
        _, outcome = await ask_engine(self._door.browser, request, browser, *about, writes, can_challenge=False)
        if isinstance(outcome, Granted):
            return handing_over(self._door, request, telling.response(), self._title(request, party))
        # What a neighbour or a brake keeps back is asked again, at an address that may be loaded twice.
        final = isinstance(outcome, Denied) and outcome.reason not in SESSION_REASONS and status_of(outcome.text) == _NOT_ACCEPTED
        if isinstance(outcome, Denied) and final:
            # Refused for good, and written down. Who loads the page again reads the same of the same request.
            kept = await self._requests.keep(draft)
            waiting = draft.waiting if kept else await self._requests.again(self._mac(browser), draft)
            if waiting is not None and not waiting.used:
                bearer = request.cookies.get(SESSION_COOKIE, "")
                return await self._refused(request, browser, party, waiting, bearer, outcome)
        return None

    def _writes(self, request: Request, telling: Telling, session: Session, used: Operation) -> Writes:
        """What the grant writes besides: the request is used up, and the application is one of the session's."""
        still = self._door.browser.sessions.still(session)

        def writes(granted: Granted) -> Sequence[Operation] | None:
            if not telling.can_be_told(granted):
                return None
            return (still, used, self._participants.joined(session, telling.participant, self._door.now_ms()))

        return writes

    # --- and goes on -------------------------------------------------------------------------------------------------

    async def go_on(self, request: Request) -> Response:
        """Answer the application, or send the person to prove what is missing."""
        require_known_host(request, self._door.browser.context.hosts)
        browser = browser_of(request)
        found = await self._waiting(request, browser)
        if found is None:
            # Whether it is over or another browser's is not told.
            return told(self._door, request, Text("federation.over"), 410)
        waiting, party = found
        if waiting.used:
            return self._answered(request, party)
        session = await self._door.browser.sessions.find(request.cookies.get(SESSION_COOKIE, ""))
        response = await self._answer(request, browser, party, waiting, session)
        browser.keep(response)
        return response

    async def decline(self, request: Request) -> Response:
        """The person does not want to sign in: the application hears that he did not, and nothing more."""
        require_known_host(request, self._door.browser.context.hosts)
        browser, form = browser_of(request), await form_of(request)
        found = await self._waiting(request, browser)
        if found is None or found[0].used or not found[0].bound:
            return told(self._door, request, Text("federation.over"), 410)
        waiting, party = found
        if not is_ours(request, browser, self._door.browser.ring(), form, waiting.id, self._door.origin):
            return RedirectResponse(_address(waiting), status_code=303)
        return await self._not_answered(request, browser, party, waiting, names.RESPONDER, names.AUTHN_FAILED)

    async def _waiting(self, request: Request, browser: Browser) -> tuple[Waiting, RelyingParty] | None:
        """What waits at this address for this browser, and whose it is; None where its answer would have nowhere to go by now."""
        waiting = await self._requests.find(self._mac(browser), request.path_params["id"])
        party = self._door.party(waiting.asked.party) if waiting is not None else None
        if waiting is None or party is None or waiting.asked.kind != SIGN_IN:
            return None
        return (waiting, party) if is_consumer(party.metadata, waiting.asked.answer_to) else None

    async def _answer(
        self, request: Request, browser: Browser, party: RelyingParty, waiting: Waiting, session: Session | None
    ) -> Response:
        if session is None:
            if waiting.asked.passive:
                return await self._not_answered(request, browser, party, waiting, names.RESPONDER, names.NO_PASSIVE)
            return await self._to_sign_in(browser, waiting)
        bearer, purpose = request.cookies.get(SESSION_COOKIE, ""), purpose_of(party, waiting)
        telling = Telling(self._door, party, waiting.asked, session)
        writes = self._writes(request, telling, session, self._requests.use(self._mac(browser), waiting))
        can_challenge = not waiting.asked.passive
        about = (session, purpose, writes)
        counted, outcome = await ask_engine(self._door.browser, request, browser, *about, can_challenge=can_challenge)
        match outcome:
            case Granted():
                return handing_over(self._door, request, telling.response(), self._title(request, party))
            case Denied(reason=reason) if reason == NOT_TAKEN:
                return await self._not_answered(request, browser, party, waiting, *telling.status)
            case Denied():
                return await self._refused(request, browser, party, waiting, bearer, outcome)
        if not await self._requests.bind(self._mac(browser), waiting):
            return told(self._door, request, Text("federation.over"), 410)
        aim = Aim(_address(waiting), purpose, session, session_name(self._door.browser, session))
        return await self._sign_in.prove_more(request, browser, aim, session, counted, outcome)

    async def _refused(
        self, request: Request, browser: Browser, party: RelyingParty, waiting: Waiting, bearer: str, denied: Denied
    ) -> Response:
        """The engine says no: because of the session, which the person can do something about, or because of him."""
        asked, reason = waiting.asked, denied.reason
        if reason == SESSION_GONE:
            # Ended, renewed, or answered by another tab: whichever it was shows there.
            return RedirectResponse(_address(waiting), status_code=303)
        if asked.passive:
            second = names.NO_PASSIVE if reason in _PASSIVE else names.REQUEST_DENIED
            return await self._not_answered(request, browser, party, waiting, names.RESPONDER, second)
        if reason == SESSION_OVER:
            await self._door.browser.sessions.end(bearer, "account")
            response = await self._to_sign_in(browser, waiting)
            drop_cookie(response, SESSION_COOKIE)
            return response
        if reason == SIGN_IN_AGAIN:
            return await self._to_sign_in(browser, waiting, f"&{AGAIN}=1")
        if reason == NO_FACTOR and asked.contexts:
            return await self._not_answered(request, browser, party, waiting, names.RESPONDER, names.NO_AUTHN_CONTEXT)
        status = status_of(denied.text)
        if status != _NOT_ACCEPTED:
            page = told(self._door, request, denied.text, status)
            page.headers["retry-after"] = str(wait_s(denied.text))
            return page
        form = refusal(self._door, party, asked, names.RESPONDER, names.REQUEST_DENIED)
        return told(self._door, request, denied.text, 403, form, self._title(request, party))

    async def _to_sign_in(self, browser: Browser, waiting: Waiting, more: str = "") -> Response:
        """To the form, and back here afterwards."""
        if not await self._requests.bind(self._mac(browser), waiting):
            raise HTTPException(410)
        return RedirectResponse(f"/sign-in?then={_address(waiting)}{more}", status_code=303)

    async def _not_answered(
        self, request: Request, browser: Browser, party: RelyingParty, waiting: Waiting, status: str, second: str
    ) -> Response:
        """The application hears why not, once."""
        await may_sign(self._door, request)
        used = self._requests.use(self._mac(browser), waiting)
        if isinstance(await self._door.browser.storage.commit([used]), Refused):
            return RedirectResponse(_address(waiting), status_code=303)
        return self._error(request, party, waiting.asked, status, second)

    def _error(self, request: Request, party: RelyingParty, asked: Asked, status: str, second: str) -> Response:
        trail = self._door.browser.trail(request)
        trail.application, trail.result, trail.reason = party.name, "denied", "saml_not_given"
        trail.note("an application was answered by an error", status=second.rpartition(":")[2] or status.rpartition(":")[2])
        self._door.browser.recorder.publish(trail)
        return handing_over(self._door, request, refusal(self._door, party, asked, status, second), self._title(request, party))

    def _answered(self, request: Request, party: RelyingParty) -> Response:
        return told(self._door, request, Text("federation.answered", {"application": self._title(request, party)}), 409)

    def _title(self, request: Request, party: RelyingParty) -> str:
        return party.title_in(language_of_request(request))

    def _mac(self, browser: Browser) -> bytes:
        return browser.mac(self._door.browser.ring())


def _address(waiting: Waiting) -> str:
    return f"{CONTINUE_PATH}/{waiting.id}"
