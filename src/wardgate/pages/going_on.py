"""From what the engine said to where the browser goes: the next question, something to do, the session, or the end."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.engine.new_browser import Seen, tell_of_sign_in
from wardgate.engine.outcome import ActionRequired, Challenge, Denied, Granted, Outcome, Waiting
from wardgate.pages.actions import CHANGE, CONFIRM_CONTACT, ActionPages
from wardgate.pages.browser import Browser, new_browser, set_cookie
from wardgate.pages.confirming import ConfirmPages
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.known_browser import is_known, keep_known
from wardgate.pages.opening import opening_of, proved_before
from wardgate.pages.place import AGAIN
from wardgate.pages.refusing import status_of
from wardgate.pages.showing import shown
from wardgate.pages.steps import Question, Step, Steps
from wardgate.pages.trusting import keep_device
from wardgate.texts import Text
from wardgate.web.language import known_language, wished

_WRONG: Final = (
    *("code.wrong", "code.wrong_last", "code.reused", "code.expired", "passkey.wrong", "passkey.wrong_last", "passkey.unknown"),
    *("kba.wrong", "kba.wrong_last"),
)
# Why something has to be done; any other text says why it was not taken.
_DEMANDS: Final = ("pw.expired", "pw.must_change", "freeze.lift", "change.must", "enrol.must", "questions.must", "confirm.must")


class GoingOn:
    """Stores the outcome in its step and sends the browser to where it shows."""

    def __init__(self, door: BrowserDoor, steps: Steps, actions: ActionPages) -> None:
        self._door = door
        self._steps = steps
        self._actions = actions
        self.confirming = ConfirmPages(door, self.go_on)

    async def go_on(self, request: Request, browser: Browser, step: Step, outcome: Outcome, typed: bool = False) -> Response:
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
        return await self.go_on(request, browser, step, await self._actions.looked_at(request, browser, step))

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
            return shown(self._door, request, browser, stored, status=422)
        return self.to_step(browser, stored)

    async def _to_do(self, request: Request, browser: Browser, step: Step, required: ActionRequired, typed: bool) -> Response:
        """Something has to be done first: the same step shows what. What cannot be done here ends the login, and is said."""
        if required.action == CONFIRM_CONTACT and step.action != CONFIRM_CONTACT:
            waiting = step.changed(action=required.action, handle=required.handle.hex(), reference=required.reference)
            return await self.go_on(request, browser, waiting, await self._actions.looked_at(request, browser, waiting))
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
        return self.to_step(browser, stored)

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
        response = self.signed_in(stored, bearer, after)
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
            await self._proved(request, step, granted) if step.proves else await self.confirming.confirmed(request, step, granted)
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
        return self.signed_in(step, bearer, after)

    async def _proved(self, request: Request, step: Step, granted: Granted) -> str | None:
        """What was proved now counts in the session from now on; what counted already keeps its date."""
        held, new = request.cookies.get(SESSION_COOKIE, ""), granted.factors[len(step.counted) :]
        about = (SubjectId(granted.subject_id), new, step.application, granted.assurance, proved_before(granted), step.then)
        return await self._door.sessions.prove(held, step.confirms, *about)

    def signed_in(self, step: Step, bearer: str, browser: Browser) -> Response:
        """To where the sign-in leads, with the session; by what the person may put off, where there is something."""
        place = f"/step/{step.id}/offers" if step.offers else step.then
        response = RedirectResponse(place, status_code=303)
        set_cookie(response, SESSION_COOKIE, bearer)
        browser.keep(response)
        return response

    async def _closed(self, request: Request, browser: Browser, step: Step, text: Text) -> Response:
        changes = {"question": None, "ended": "closed", "text": text, "wrong": True, "secret": "", "pending": ""}
        stored = await self._stored(browser, step, changes)
        if stored is None:
            return await self._taken(request, browser, step)
        return self.to_step(browser, stored)

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
            return self.signed_in(now, now.bearer, browser)
        return self.to_step(browser, now)

    @staticmethod
    def to_step(browser: Browser, step: Step) -> Response:
        """To the page of an open step."""
        response = RedirectResponse(f"/step/{step.id}", status_code=303)
        browser.keep(response)
        return response


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
