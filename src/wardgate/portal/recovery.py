"""Forgotten password and locked account: a name, proofs one by one, and what they were for. Every page is the same for nobody."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.audit.timeline import Trail
from wardgate.crypto import Secret
from wardgate.directory.realm import parse_login_name
from wardgate.engine.request import MAX_USER_NAME_CHARS
from wardgate.engine.self_service.asking import ASKED
from wardgate.engine.self_service.engine import ACTIVATE, SelfService
from wardgate.engine.self_service.outcome import Ask, Choose, ChoosePassword, Closed, Done, HandedOver, SelfServiceOutcome
from wardgate.engine.self_service.starting import Start
from wardgate.factors import ON_PAGES
from wardgate.factors.passkey import MAX_ASSERTION_BYTES
from wardgate.factors.port import MAX_ANSWER_BYTES
from wardgate.pages.actions import CHANGE
from wardgate.pages.browser import Browser, Form, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.questions import answers_to
from wardgate.pages.refusing import wait_s
from wardgate.pages.steps import Step, Steps
from wardgate.texts import Text
from wardgate.web.access import require_known_host
from wardgate.web.headers import PASSKEYS_USED, PERMISSIONS_POLICY
from wardgate.web.language import language_of_request

GOALS: Final = {"/forgot": "reset", "/unlock": "unlock"}
_PASSKEY: Final = "prove_passkey.html"
_TEMPLATES: Final = {Choose: "choose.html", Ask: "prove.html", ChoosePassword: "new_password.html"}
MAX_TURN: Final = 10_000
# Where somebody goes who has set up his account: to see what protects it.
AFTER_ACTIVATION: Final = "/account"
# Asks the engine what a step waits for that goes on as a login, and sends the browser to where it shows.
GoOnWaiting = Callable[[Request, Browser, Step], Awaitable[Response]]


class RecoveryPages:
    """The pages of both."""

    def __init__(self, door: BrowserDoor, service: SelfService, go_on: GoOnWaiting) -> None:
        self._door = door
        self._service = service
        self._go_on = go_on
        self._steps = Steps(door.storage, door.ring, door.clock)

    def routes(self) -> list[Route]:
        """The routes."""
        begins = [
            Route(path, handler, methods=[method])
            for path in GOALS
            for method, handler in (("GET", self.ask_name), ("POST", self.begin))
        ]
        return [
            *begins,
            Route("/recover/{id}", self.show, methods=["GET"]),
            Route("/recover/{id}", self.act, methods=["POST"]),
        ]

    # --- the name --------------------------------------------------------------------------------------------------

    async def ask_name(self, request: Request) -> Response:
        """The form. Stores nothing."""
        require_known_host(request, self._door.context.hosts)
        return self._name_form(request, browser_of(request))

    async def begin(self, request: Request) -> Response:
        """Begin a flow for a name, somebody's or nobody's."""
        require_known_host(request, self._door.context.hosts)
        browser, form, goal = browser_of(request), await form_of(request), GOALS[request.url.path]
        name = form.text("username", MAX_USER_NAME_CHARS)
        if not is_ours(request, browser, self._door.ring(), form, goal, self._door.context.origin):
            return self._name_form(request, browser, name, Text("form.old"), 422)
        if not name or len(name) > MAX_USER_NAME_CHARS:
            return self._name_form(request, browser, "", Text("signin.missing_name"), 422)
        trail = self._door.trail(request)
        start = Start(goal, self._door.portal(), name, self._door.origin(request, browser), trail)
        flow_id, outcome = await self._service.begin(start)
        await self.held_back(trail, name)
        if not flow_id:
            text = outcome.text if isinstance(outcome, Closed) and outcome.text else Text("down.ours", {"ref": trail.reference})
            return self._name_form(request, browser, name, text, 503 if isinstance(outcome, Closed) and outcome.down else 429)
        return await self.begun(request, browser, start, flow_id, outcome)

    async def begun(self, request: Request, browser: Browser, start: Start, flow_id: str, outcome: SelfServiceOutcome) -> Response:
        """The flow has begun: from here on it is this browser's step."""
        language, reference = language_of_request(request), start.trail.reference
        step = Step("", 0, start.application, start.user_name, reference, language, "/sign-in", None, flow=flow_id)
        if start.goal == ACTIVATE:
            # Until he has proved that it is him, no page says whose the link is.
            step = step.changed(user_name="", then=AFTER_ACTIVATION, pending=ACTIVATE)
        stored = await self._steps.begin(browser.mac(self._door.ring()), step)
        if isinstance(outcome, HandedOver):
            return await self._handed_over(request, browser, stored, outcome)
        response = RedirectResponse(f"/recover/{stored.id}", status_code=303)
        browser.keep(response)
        return response

    async def _handed_over(self, request: Request, browser: Browser, step: Step, handed: HandedOver) -> Response:
        """A login goes on in the same step, with what has to be done first."""
        handle = handed.handle.hex()
        waiting = step.changed(user_name=handed.login_name, handle=handle, action=CHANGE, pending="", reference=handed.reference)
        return await self._go_on(request, browser, waiting)

    async def held_back(self, trail: Trail, name: str) -> None:
        """No reply to a name leaves before the realm's moment: it would tell whether there is such a name."""
        realm, _ = parse_login_name(name, self._door.configuration().realms)
        left_s = trail.started + realm.settings.reply_floor_ms / 1000 - self._door.clock.monotonic()
        await asyncio.sleep(max(0.0, left_s))
        self._door.recorder.publish(trail)

    def _name_form(
        self, request: Request, browser: Browser, name: str = "", error: Text | None = None, status: int = 200
    ) -> Response:
        goal = GOALS[request.url.path]
        response = self._door.pages.page(
            request,
            "who.html",
            status,
            posts=True,
            goal=goal,
            csrf=browser.csrf(self._door.ring(), goal),
            user_name=name[:MAX_USER_NAME_CHARS],
            error=error,
            throttled=status == 429,
        )
        if status in (429, 503):
            response.headers["retry-after"] = str(int(error.values.get("min", 1)) * 60 if error is not None else 60)
        browser.keep(response)
        return response

    # --- the flow --------------------------------------------------------------------------------------------------

    async def show(self, request: Request) -> Response:
        """What the flow waits for."""
        browser, step = browser_of(request), await self._step(request)
        if _is_login(step):
            return RedirectResponse(f"/step/{step.id}", status_code=303)
        outcome = await self._service.show(step.flow, self._door.trail(request))
        return self._shown(request, browser, step, outcome)

    async def act(self, request: Request) -> Response:
        """A choice, an answer, or a new password."""
        browser, form, step = browser_of(request), await form_of(request), await self._step(request)
        if _is_login(step):
            return RedirectResponse(f"/step/{step.id}", status_code=303)
        trail = self._door.trail(request)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            outcome = await self._service.show(step.flow, trail)
            return self._shown(request, browser, step, outcome, Text("form.old"), 422)
        if form.fields.get("act") == "answer" and _asks_several(form) and not answers_to(form):
            outcome = await self._service.show(step.flow, trail)
            return self._shown(request, browser, step, outcome, Text("kba.missing"), 422)
        if form.fields.get("act") == "answer" and form.fields.get("passkey") == "":
            # Nothing was signed: what never was an answer is no failed try.
            outcome = await self._service.show(step.flow, trail)
            return self._shown(request, browser, step, outcome, Text("passkey.cancelled"), 422)
        outcome = await self._acted(request, browser, step, form, trail)
        await self.held_back(trail, step.user_name)
        if isinstance(outcome, HandedOver):
            return await self._handed_over(request, browser, step, outcome)
        if isinstance(outcome, Done | Closed):
            return self._shown(request, browser, step, outcome)
        if outcome.text is not None and outcome.text.id == "flow.done_elsewhere":
            return self._shown(request, browser, step, outcome, outcome.text, 409)
        if outcome.text is not None and outcome.text.id == "wait.person":
            return self._shown(request, browser, step, outcome, outcome.text, 429)
        refused = outcome.text is not None and not (isinstance(outcome, Ask) and not outcome.wrong)
        if refused or (isinstance(outcome, Ask) and outcome.text is not None):
            return self._shown(request, browser, step, outcome, status=422 if refused else 200)
        return RedirectResponse(f"/recover/{step.id}", status_code=303)

    async def _acted(self, request: Request, browser: Browser, step: Step, form: Form, trail: Trail) -> SelfServiceOutcome:
        origin, turn = self._door.origin(request, browser), _turn(form)
        match form.fields.get("act"):
            case "choose":
                kind = form.fields.get("method", "")
                return await self._service.choose(step.flow, kind if kind in ASKED else "", trail, origin)
            case "answer":
                return await self._service.answer(step.flow, turn, Secret(_given(form)), trail, origin)
            case "password":
                return await self._service.set_password(step.flow, turn, Secret(form.secret("new_password")), trail, origin)
            case "other":
                return await self._service.back(step.flow, turn, trail)
        raise HTTPException(400)

    async def _step(self, request: Request) -> Step:
        require_known_host(request, self._door.context.hosts)
        step = await self._steps.find(browser_of(request).mac(self._door.ring()), request.path_params["id"])
        if step is None or not step.flow:
            raise HTTPException(410)
        return step

    def _shown(
        self,
        request: Request,
        browser: Browser,
        step: Step,
        outcome: SelfServiceOutcome,
        error: Text | None = None,
        status: int = 200,
    ) -> Response:
        if isinstance(outcome, Closed):
            status = 503 if outcome.down else 410
        on_page = isinstance(outcome, Ask) and outcome.kind in ON_PAGES
        response = self._door.pages.page(
            request,
            _PASSKEY if on_page else _TEMPLATES.get(type(outcome), "recovered.html"),
            status,
            posts=True,
            step=step,
            outcome=outcome,
            done=isinstance(outcome, Done),
            masked=self._door.masks_answers(),
            error=error or _error(outcome),
            notice=outcome.text if isinstance(outcome, Ask) and not outcome.wrong else None,
            csrf=browser.csrf(self._door.ring(), step.id),
            throttled=status == 429,
        )
        if status == 429 and error is not None:
            response.headers["retry-after"] = str(wait_s(error))
        if on_page:
            response.headers[PERMISSIONS_POLICY] = PASSKEYS_USED
        return response


def _given(form: Form) -> bytes:
    """What was answered: what a passkey signed, answers to questions, or a code."""
    if "passkey" in form.fields:
        return form.secret("passkey")[: MAX_ASSERTION_BYTES + 1]
    return answers_to(form) if _asks_several(form) else form.text("code", MAX_ANSWER_BYTES).encode("utf-8", "replace")


def _asks_several(form: Form) -> bool:
    """Whether the form was one of several questions."""
    return "answer_1" in form.fields


def _is_login(step: Step) -> bool:
    """Whether the flow of this step was handed over: its page is the login's."""
    return bool(step.action or step.ended or step.question is not None)


def _error(outcome: SelfServiceOutcome) -> Text | None:
    match outcome:
        case Ask():
            return outcome.text if outcome.wrong else None
        case Choose() | ChoosePassword():
            return outcome.text
        case _:
            return None


def _turn(form: Form) -> int:
    turn = form.fields.get("turn", "")
    return int(turn) if turn.isascii() and turn.isdigit() and len(turn) <= 5 else MAX_TURN
