"""The open question of a login, at `/step/{id}`: one after the other, until the session or the end."""

import hashlib
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from wardgate.crypto import Secret
from wardgate.engine.outcome import Outcome
from wardgate.engine.reconciling import found_out
from wardgate.engine.request import AnswerRequest
from wardgate.factors import BY_KIND, ON_PAGES
from wardgate.factors.passkey import MAX_ASSERTION_BYTES
from wardgate.pages.actions import ActionPages
from wardgate.pages.browser import Browser, Form, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.going_on import GoingOn
from wardgate.pages.place import AGAIN
from wardgate.pages.questions import answers_to
from wardgate.pages.showing import over, shown
from wardgate.pages.steps import Question, Step, Steps
from wardgate.session.devices import device_of
from wardgate.texts import Text
from wardgate.web.access import require_known_host

MAX_CODE_CHARS: Final = 64
_ANSWER, _RESEND, _OTHER, _CANCEL = "answer", "resend", "other", "cancel"
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


class StepPages:
    """The pages of an open step."""

    def __init__(self, door: BrowserDoor, steps: Steps, actions: ActionPages, going: GoingOn) -> None:
        self._door = door
        self._steps = steps
        self._actions = actions
        self._going = going

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/step/{id}", self.show, methods=["GET"]),
            Route("/step/{id}", self.answer, methods=["POST"]),
            Route("/step/{id}/offers", self.offers, methods=["GET"]),
            Route("/step/{id}/recovery-codes.txt", self.codes, methods=["GET"]),
            Route("/step/{id}/help", self.no_code, methods=["GET"]),
            Route("/step/{id}/other", self.other_ways, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """What the stored login waits for."""
        step = await self._step(request)
        if step.action and not step.ended:
            return await self._actions.show(request, browser_of(request), step)
        if step.text is not None and step.text.id == "pw.unknown_result":
            step = step.changed(text=await found_out(self._door.storage, step.reference, step.user_name) or step.text)
        return shown(self._door, request, browser_of(request), step)

    async def answer(self, request: Request) -> Response:
        """Hand an answer, the wish for another code or another way, or the end of it all to the engine."""
        browser, form = browser_of(request), await form_of(request)
        step = await self._step(request)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            if step.action and not step.ended:
                return await self._actions.show(request, browser, step, Text("form.old"), 422)
            error, status = (Text("form.old"), 422) if step.question is not None else (Text("flow.done_elsewhere"), 409)
            return shown(self._door, request, browser, step, error=error, status=status)
        if form.fields.get("turn") != str(step.turn):
            return await self._late(request, browser, step, form)
        act = form.fields.get("act", _ANSWER)
        if act == _CANCEL and not step.ended:
            return await self._cancel(request, browser, step)
        if step.action and not step.ended:
            done = await self._actions.act(request, browser, step, form)
            if isinstance(done, Response):
                return done
            return await self._going.go_on(request, browser, done.step, done.outcome, typed=True)
        question = step.question
        if question is None:
            return shown(self._door, request, browser, step, status=409)
        if act == _ANSWER and question.trust_s:
            agent = request.headers.get("user-agent", "")
            step = step.changed(trusts=(device_of(agent) or _SOME_BROWSER) if form.fields.get("trust_device") == "yes" else "")
        given = _given(act, form, question)
        if not given:
            missing = (
                "passkey.cancelled" if question.factor in ON_PAGES else "kba.missing" if question.questions else "code.missing"
            )
            return shown(self._door, request, browser, step, error=Text(missing), status=422)
        outcome = await self._handed(request, browser, step, question, given)
        return await self._going.go_on(request, browser, step, outcome, typed=act == _ANSWER)

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
            return self._going.to_step(browser, step)
        return shown(self._door, request, browser, step, template)

    async def _step(self, request: Request) -> Step:
        require_known_host(request, self._door.context.hosts)
        browser = browser_of(request)
        step = await self._steps.find(browser.mac(self._door.ring()), request.path_params["id"])
        if step is None:
            # Whether it is over or somebody else's is not told.
            raise HTTPException(410)
        return step

    async def _handed(self, request: Request, browser: Browser, step: Step, question: Question, given: bytes) -> Outcome:
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
        await self._steps.move(browser.mac(self._door.ring()), step, over(step, "cancelled", Text("flow.cancelled")))
        waits = await self._door.purposes.of(browser.mac(self._door.ring()), step.then)
        if waits is not None and waits.place:
            # Somebody waits to hear of it: back to where he can be told, whoever is signed in.
            return RedirectResponse(f"/sign-in?then={quote(step.then)}&{AGAIN}=1", status_code=303)
        return RedirectResponse("/sign-in", status_code=303)

    async def _late(self, request: Request, browser: Browser, step: Step, form: Form) -> Response:
        """The form of a turn that is over: sent twice, or from another tab. Who was signed in by its first copy is signed in."""
        if step.ended == "granted" and step.bearer and form.fields.get("turn") == str(step.turn - 1):
            return self._going.signed_in(step, step.bearer, browser)
        if step.action and not step.ended:
            return await self._actions.show(request, browser, step, Text("flow.done_elsewhere"), 409)
        return shown(self._door, request, browser, step, error=Text("flow.done_elsewhere"), status=409)

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
