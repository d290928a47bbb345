"""Single logout over SAML 2.0, front channel: the Single Logout profile (saml-profiles-2.0-os section 4.4), by Redirect and POST.

Only the session of the browser that brings a request ends, and only for an application that it was used for, under the name and the
index that the application knows it by: a LogoutRequest for somebody else's session ends nothing. Without a signature nothing shows
that a request is the application's own; there the person is asked. Some applications have a key and sign no logout messages until
they are told to (SimpleSAMLphp): a page of refusal would leave their people signed in.

The applications are told one after the other, each by the browser itself, since their cookies go with no frame and no picture. A
page says what became of each; one that does not answer is passed over by its button. At the end the application that asked is
answered, at an address of its metadata and nowhere else.
"""

from typing import Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.crypto import same
from wardgate.errors import SamlMessageError
from wardgate.federation.answers import new_message_id
from wardgate.federation.arriving import REPLAYED, NotTrusted, arrival, not_trusted, sign_out_asked
from wardgate.federation.brought import brought, may_sign
from wardgate.federation.door import LEAVING_PATH, LOGOUT_PATH, SLO_PATH, FederationDoor
from wardgate.federation.leaving import DONE, FAILED, NO_ANSWER, RESULTS, Leaving, Leavings, Left, is_known_to
from wardgate.federation.pages import allowing, handing_over, refused
from wardgate.federation.participants import Participant, Participants
from wardgate.federation.relying_party import RelyingParty
from wardgate.federation.saml import building, names
from wardgate.federation.saml.bindings import REQUEST, RESPONSE, Form, post_form, redirect_url
from wardgate.federation.saml.consumers import hears_of_logouts, logout_endpoint
from wardgate.federation.saml.requests import OpenMessage, logout_response, open_message
from wardgate.federation.saml.values import Binding, LogoutRequest, LogoutResponse
from wardgate.federation.stored_requests import SIGN_OUT, Asked, StoredRequests, TooManyOpen, Waiting
from wardgate.pages.browser import Browser, browser_of, drop_cookie, form_of, is_ours, new_browser
from wardgate.pages.door import SESSION_COOKIE
from wardgate.session.sessions import Session
from wardgate.storage.port import Refused
from wardgate.web.access import require_known_host
from wardgate.web.language import language_of_request

# How long an application may take to read our request.
REQUEST_LIFE_MS: Final = 5 * 60_000


class SloPages:
    """The endpoint, and the pages on the way out."""

    def __init__(self, door: FederationDoor, requests: StoredRequests, participants: Participants) -> None:
        self._door = door
        self._requests = requests
        self._participants = participants
        self._leavings = Leavings(door)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(SLO_PATH, self.arrive, methods=["GET", "POST"]),
            Route(LOGOUT_PATH + "/{id}", self.ask, methods=["GET"]),
            Route(LOGOUT_PATH + "/{id}", self.sign_out, methods=["POST"]),
            Route(LEAVING_PATH + "/{id}", self.show, methods=["GET"]),
            Route(LEAVING_PATH + "/{id}", self.pass_over, methods=["POST"]),
        ]

    # --- a message comes in ------------------------------------------------------------------------------------------

    async def arrive(self, request: Request) -> Response:
        """A LogoutRequest or a LogoutResponse, in the address or in a form of the application's."""
        came = await brought(self._door, request)
        if isinstance(came, Response):
            return came
        try:
            message = open_message(came.received)
        except SamlMessageError as error:
            return refused(self._door, request, not_trusted("federation.malformed", error))
        if message.answers_a_logout:
            return self._answered(request, message)
        if not message.asks_to_sign_out:
            return refused(
                self._door, request, NotTrusted("federation.malformed", "saml_request", "not about a logout", message.issuer)
            )
        found = sign_out_asked(self._door, message)
        if isinstance(found, NotTrusted):
            return refused(self._door, request, found)
        party, asked = found
        source = self._door.browser.address(request)
        mac = self._mac(came.browser) if came.browser is not None else None
        draft = self._requests.draft(asked, party.entity_id, source, mac)
        try:
            is_first = await self._requests.keep(draft)
        except TooManyOpen as error:
            raise HTTPException(429, headers={"retry-after": "60"}) from error
        if not is_first:
            return refused(
                self._door,
                request,
                NotTrusted("federation.replayed", REPLAYED, "a request of this id came before", message.issuer),
                409,
            )
        return RedirectResponse(f"{LOGOUT_PATH}/{draft.waiting.id}", status_code=303)

    # --- an application asks -----------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """Sign out, where the application could show that it asks; else ask the person."""
        waiting, party = await self._waiting(request)
        browser = browser_of(request)
        if waiting.asked.signed:
            return await self._sign_out(request, browser, waiting, party)
        if not await self._requests.bind(self._mac(browser), waiting):
            raise HTTPException(410)
        page = self._door.browser.pages.page(
            request,
            "leave.html",
            posts=True,
            application=party.title_in(language_of_request(request)),
            csrf=browser.csrf(self._door.browser.ring(), waiting.id),
        )
        browser.keep(page)
        return page

    async def sign_out(self, request: Request) -> Response:
        """The person wants to."""
        waiting, party = await self._waiting(request)
        browser, form = browser_of(request), await form_of(request)
        if not is_ours(request, browser, self._door.browser.ring(), form, waiting.id, self._door.origin):
            return RedirectResponse(f"{LOGOUT_PATH}/{waiting.id}", status_code=303)
        return await self._sign_out(request, browser, waiting, party)

    async def _waiting(self, request: Request) -> tuple[Waiting, RelyingParty]:
        require_known_host(request, self._door.browser.context.hosts)
        waiting = await self._requests.find(self._mac(browser_of(request)), request.path_params["id"])
        party = self._door.party(waiting.asked.party) if waiting is not None else None
        if waiting is None or party is None or waiting.used or not _is_for(party, waiting.asked):
            raise HTTPException(410)
        return waiting, party

    async def _sign_out(self, request: Request, browser: Browser, waiting: Waiting, party: RelyingParty) -> Response:
        asked, bearer = waiting.asked, request.cookies.get(SESSION_COOKIE, "")
        session = await self._door.browser.sessions.find(bearer)
        if session is None:
            await may_sign(self._door, request)
        used = self._requests.use(self._mac(browser), waiting)
        if isinstance(await self._door.browser.storage.commit([used]), Refused):
            raise HTTPException(410)
        if session is None:
            # It has ended already, which is what the application wanted.
            return self._answer(request, party, asked, names.SUCCESS, "")
        participants = (await self._participants.of([session.id]))[session.id]
        if not any(_is_meant(each, asked) and is_known_to(self._door, session, party, each) for each in participants):
            return self._answer(request, party, asked, names.RESPONDER, names.UNKNOWN_PRINCIPAL)
        await self._door.browser.sessions.end(bearer, "application")
        others = [each for each in participants if each.party != party.name]
        after = new_browser()
        if others:
            leaving = await self._leavings.begin(self._mac(after), session, others, asked)
            response: Response = RedirectResponse(_place(leaving), status_code=303)
        else:
            response = self._answer(request, party, asked, names.SUCCESS, "")
        return signed_out(response, after)

    def _answer(self, request: Request, party: RelyingParty, asked: Asked, status: str, second: str) -> Response:
        """The LogoutResponse, at the address of the metadata."""
        now_ms = self._door.now_ms()
        signer = self._door.signer_for(party, now_ms)
        content = LogoutResponse(
            id=new_message_id(),
            in_response_to=asked.request_id,
            issuer=self._door.entity_id,
            destination=asked.answer_to,
            issued_at=now_ms,
            status=status,
            second_status=second,
            signed=True,
        )
        if asked.binding == Binding.REDIRECT:
            document = building.logout_response(content, None)
            return RedirectResponse(redirect_url(asked.answer_to, RESPONSE, document, asked.relay_state, signer), status_code=303)
        form = post_form(asked.answer_to, RESPONSE, building.logout_response(content, signer), asked.relay_state)
        return handing_over(self._door, request, form, party.title_in(language_of_request(request)))

    # --- the applications are told -----------------------------------------------------------------------------------

    async def leaving(self, browser: Browser, session: Session) -> str:
        """Where a browser goes whose person has signed out; empty where no application has to be told."""
        participants = (await self._participants.of([session.id]))[session.id]
        if not participants:
            return ""
        return _place(await self._leavings.begin(self._mac(browser), session, participants))

    async def show(self, request: Request) -> Response:
        """The next application, or what became of all."""
        browser, leaving = await self._found(request)
        party, result = request.query_params.get("party", ""), request.query_params.get("result", "")
        if party:
            mark = request.query_params.get("mark", "").encode()
            if result in RESULTS and same(mark, self._mark(leaving.step.id, party, result).encode()):
                await self._leavings.note(self._mac(browser), leaving, party, result)
            return RedirectResponse(_place(leaving), status_code=303)
        left = leaving.next
        if left is not None:
            return self._telling(request, browser, leaving, left)
        asked = leaving.asked
        asker = self._door.party(asked.party) if asked is not None else None
        if asked is not None and asker is not None and _is_for(asker, asked):
            second = names.PARTIAL_LOGOUT if leaving.is_partial else ""
            return self._answer(request, asker, asked, names.SUCCESS, second)
        return self._door.browser.pages.page(request, "left.html", leaving=leaving)

    async def pass_over(self, request: Request) -> Response:
        """The application does not answer: go on without it."""
        browser, leaving = await self._found(request)
        form, left = await form_of(request), leaving.next
        ours = is_ours(request, browser, self._door.browser.ring(), form, leaving.step.id, self._door.origin)
        if ours and left is not None and form.fields.get("party") == left.participant.party:
            await self._leavings.note(self._mac(browser), leaving, left.participant.party, NO_ANSWER)
        return RedirectResponse(_place(leaving), status_code=303)

    async def _found(self, request: Request) -> tuple[Browser, Leaving]:
        require_known_host(request, self._door.browser.context.hosts)
        browser = browser_of(request)
        leaving = await self._leavings.find(self._mac(browser), request.path_params["id"])
        if leaving is None:
            raise HTTPException(410)
        return browser, leaving

    def _telling(self, request: Request, browser: Browser, leaving: Leaving, left: Left) -> Response:
        """The page that sends the browser to an application with our LogoutRequest, and is there when it does not come back."""
        sent = self._request_to(leaving, left)
        csrf = browser.csrf(self._door.browser.ring(), leaving.step.id)
        address = sent if isinstance(sent, str) else ""
        form = sent if isinstance(sent, Form) else None
        page = self._door.browser.pages.page(
            request, "leaving.html", posts=True, leaving=leaving, left=left, address=address, form=form, csrf=csrf
        )
        return allowing(page, form.action) if form is not None else page

    def _request_to(self, leaving: Leaving, left: Left) -> str | Form | None:
        """The address that carries it, or the form; None where the application is gone meanwhile, or another bears its name."""
        party = self._door.party(left.participant.party)
        endpoint = logout_endpoint(party.metadata) if party is not None else None
        if party is None or endpoint is None or party.entity_id != left.entity_id:
            return None
        now_ms = self._door.now_ms()
        signer = self._door.signer_for(party, now_ms)
        content = LogoutRequest(
            id=self._leavings.message_id(leaving.step.id, party.name),
            issuer=self._door.entity_id,
            destination=endpoint.url,
            issued_at=now_ms,
            not_on_or_after=now_ms + REQUEST_LIFE_MS,
            name_id=left.participant.name_id,
            session_indexes=(left.participant.index,),
            signed=True,
        )
        if endpoint.binding == Binding.REDIRECT:
            return redirect_url(endpoint.url, REQUEST, building.logout_request(content, None), leaving.step.id, signer)
        return post_form(endpoint.url, REQUEST, building.logout_request(content, signer), leaving.step.id)

    def _answered(self, request: Request, message: OpenMessage) -> Response:
        """An application's LogoutResponse: on to the page that it belongs to, with what it said under our own mark."""
        arrived = arrival(self._door, SLO_PATH)
        party = self._door.party_of(message.issuer, arrived.now_ms)
        if party is None:
            return refused(
                self._door, request, NotTrusted("federation.unknown", "saml_unknown", "no such relying party", message.issuer)
            )
        try:
            answer = logout_response(message, party.metadata.signing_certificates, arrived)
        except SamlMessageError as error:
            return refused(self._door, request, not_trusted("federation.not_trusted", error, message.issuer))
        leaving_id = message.received.relay_state or ""
        if answer.in_response_to != self._leavings.message_id(leaving_id, party.name):
            why = NotTrusted("federation.not_trusted", "saml_response_to", "an answer to no request of ours", message.issuer)
            return refused(self._door, request, why)
        result = _result(answer, could_sign=bool(party.metadata.signing_certificates))
        mark = self._mark(leaving_id, party.name, result)
        return RedirectResponse(
            f"{LEAVING_PATH}/{leaving_id}?{urlencode({'party': party.name, 'result': result, 'mark': mark})}", status_code=303
        )

    def _mark(self, leaving_id: str, party: str, result: str) -> str:
        mac = self._door.browser.ring().mac("saml-logout-result", leaving_id.encode(), party.encode(), result.encode())
        return mac.hex()[:40]

    def _mac(self, browser: Browser) -> bytes:
        return browser.mac(self._door.browser.ring())


def _result(answer: LogoutResponse, *, could_sign: bool) -> str:
    """What an answer says became of the application.

    Where it could have been signed and is not, it may be of anybody who saw our request, in the browser's history or in a log of
    addresses: then nobody knows, and the person goes on.
    """
    if could_sign and not answer.signed:
        return NO_ANSWER
    return DONE if answer.status == names.SUCCESS and not answer.second_status else FAILED


def signed_out(response: Response, browser: Browser) -> Response:
    """Have the browser forget the session, and go on under a new id."""
    drop_cookie(response, SESSION_COOKIE)
    browser.keep(response)
    return response


def _is_for(party: RelyingParty, asked: Asked) -> bool:
    """Whether this is a logout that the application asked for and, as its metadata is now, may hear the end of."""
    return asked.kind == SIGN_OUT and hears_of_logouts(party.metadata, asked.answer_to)


def _place(leaving: Leaving) -> str:
    return f"{LEAVING_PATH}/{leaving.step.id}"


def _is_meant(participant: Participant, asked: Asked) -> bool:
    """Whether this is the application's own part of the session: its name for the person, and its index where it tells one."""
    value, form, qualifier = asked.name_id
    name = participant.name_id
    is_named = participant.party == asked.party and value == name.value and form in (name.format, names.FORMAT_UNSPECIFIED)
    indexed = not asked.session_indexes or participant.index in asked.session_indexes
    return is_named and qualifier in ("", name.sp_name_qualifier) and indexed
