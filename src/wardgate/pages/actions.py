"""What has to be done before a login goes on, within the same step: a new password, a passkey, an app, recovery codes, questions.

The engine says what, and looks afterwards whether it is done; nothing is done for a login that is over, or by a form of another
turn. Somebody who closes the browser midway has half of nothing: an app exists from its first right code on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId
from wardgate.audit.timeline import Trail
from wardgate.clock import from_ms
from wardgate.crypto import Secret
from wardgate.engine.actions import Awaited
from wardgate.engine.changing import Changing
from wardgate.engine.outcome import Outcome
from wardgate.engine.request import AnswerRequest
from wardgate.engine.self_service.outcome import ChoosePassword
from wardgate.engine.self_service.own_questions import KIND as QUESTIONS
from wardgate.engine.self_service.own_questions import Entry, OwnQuestions, Person, RefusedEntries
from wardgate.factors.passkey import PasskeyFactor
from wardgate.pages.browser import Browser, Form
from wardgate.pages.door import BrowserDoor
from wardgate.pages.enrolling import TOTP, Whose, enrol_app, first_code, make_codes, new_secret, nickname_in, notices, shown_key
from wardgate.pages.making_passkey import creation_options, made_passkey, new_question, passkey_operations
from wardgate.pages.questions import BUSY_STATUS, entries_of, form_values, rows_of, said, told_to_wait
from wardgate.pages.site import site_of
from wardgate.pages.steps import Step, Steps
from wardgate.texts import Text
from wardgate.web.headers import PASSKEYS_MADE, PERMISSIONS_POLICY
from wardgate.web.language import language_of_request

CHANGE: Final = "change:password"
PASSKEY: Final = PasskeyFactor.kind
ENROL: Final = "enrol:"
CONFIRM_CONTACT: Final = "confirm:contact"
# What can be enrolled here, the strongest first.
ENROLLED_HERE: Final = (PASSKEY, TOTP, RECOVERY_CODE, QUESTIONS)
# In `Step.pending`: an app was enrolled and the codes are to be made; or they were, and are shown.
_CODES: Final = "codes"
_MADE: Final = "codes:"
# In `Step.pending`: challenge questions are to be set.
_ASKED: Final = "questions"
# In `Step.pending`: `Step.secret` is the question of a passkey, not the key of an app.
_MAKES: Final = "passkey"


@dataclass(frozen=True, slots=True)
class Done:
    """The engine was told that it is done, or the password; `step`: as it was then."""

    step: Step
    outcome: Outcome


class ActionPages:
    """The pages of a step whose login waits for something."""

    def __init__(self, door: BrowserDoor, steps: Steps) -> None:
        self._door = door
        self._steps = steps
        self._changing = Changing(door.parts)
        self._questions = OwnQuestions(door.parts)

    @staticmethod
    def can(action: str) -> bool:
        """Whether it can be done here at all."""
        return action == CHANGE or bool(_kinds(action, with_passkeys=True))

    async def show(self, request: Request, browser: Browser, step: Step, error: Text | None = None, status: int = 200) -> Response:
        """What is to be done now."""
        awaited = await self._awaited(request, browser, step)
        if awaited is None:
            return self._over(request, step)
        told = error or (step.text if step.wrong else None)
        values: dict[str, object] = {"error": told, "lead": None if step.wrong else step.text}
        name = awaited.user.name
        if step.action == CHANGE:
            rules = await self._changing.rules(awaited.user)
            values["outcome"] = ChoosePassword(step.turn, rules, name)
            return self._page(request, browser, step, "new_password.html", status, values)
        if _sets_questions(step):
            return await self._questions_page(request, browser, step, awaited, (), error=told, status=status)
        if step.pending == _MAKES:
            return await self._passkey_page(request, browser, step, awaited, values, status)
        if step.secret:
            values |= {"several": len(self._offered(request, step)) > 1, **shown_key(self._door, name, step.secret)}
            return self._page(request, browser, step, "do_app.html", status, values)
        if step.pending.startswith(_MADE):
            codes = {"codes": self.made(step), "name": name, "made": from_ms(step.created_at)}
            return self._page(request, browser, step, "do_codes.html", status, {**values, **codes})
        return self._page(request, browser, step, "do_offer.html", status, {**values, "kinds": self._offered(request, step)})

    async def act(self, request: Request, browser: Browser, step: Step, form: Form) -> Response | Done:
        """Take what was sent: a choice, the first code, that codes were saved, a new password."""
        awaited = await self._awaited(request, browser, step)
        if awaited is None:
            return self._over(request, step)
        match form.fields.get("act"):
            case "password" if step.action == CHANGE:
                return await self._password(request, browser, step, form)
            case "enrol" if step.action.startswith(ENROL) and not step.secret and not step.pending.startswith(_MADE):
                return await self._begin(request, browser, step, form, awaited)
            case "questions" if _sets_questions(step):
                return await self._set_questions(request, browser, step, form, awaited)
            case "other" if step.secret:
                await self._steps.move(browser.mac(self._door.ring()), step, step.changed(secret="", pending="", wrong=False))
                return self._to_step(step)
            case "make" if step.pending == _MAKES:
                return await self._passkey(request, browser, step, form, awaited)
            case "app" if step.secret and step.pending != _MAKES:
                return await self._app(request, browser, step, form, awaited)
            case "saved" if step.pending.startswith(_MADE):
                if form.fields.get("saved") != "yes":
                    return await self.show(request, browser, step, Text("do.not_saved"), 422)
                return await self._done(request, browser, step, step.changed(pending=""))
        raise HTTPException(400)

    @staticmethod
    def made(step: Step) -> list[str]:
        """The recovery codes that a step shows."""
        return step.pending.removeprefix(_MADE).split() if step.pending.startswith(_MADE) and not step.ended else []

    # --- a new password --------------------------------------------------------------------------------------------

    async def _password(self, request: Request, browser: Browser, step: Step, form: Form) -> Response | Done:
        """The turn is taken first: of a form that was sent twice one writes, and its second copy is shown what came of it."""
        taken = await self._steps.move(browser.mac(self._door.ring()), step, step)
        if taken is None:
            return self._to_step(step)
        trail = self._door.trail(request)
        answer = self._answer(request, browser, taken, form.secret("new_password"), trail)
        outcome = await self._door.engine.choose_password(answer)
        await self._door.published(trail, outcome)
        return Done(taken, outcome)

    # --- an app, and recovery codes --------------------------------------------------------------------------------

    async def _begin(self, request: Request, browser: Browser, step: Step, form: Form, awaited: Awaited) -> Response | Done:
        kind = form.fields.get("method", "")
        if kind not in self._offered(request, step):
            return await self.show(request, browser, step, Text("do.choose"), 422)
        if kind == RECOVERY_CODE:
            return await self._codes(request, browser, step, awaited)
        if kind == QUESTIONS:
            await self._steps.move(browser.mac(self._door.ring()), step, step.changed(pending=_ASKED, wrong=False))
            return self._to_step(step)
        if _whose(awaited, self._client(request)).is_full:
            return await self.show(request, browser, step, Text("account.too_many"), 409)
        secret, pending = (new_question(), _MAKES) if kind == PASSKEY else (new_secret(), step.pending)
        await self._steps.move(browser.mac(self._door.ring()), step, step.changed(secret=secret, pending=pending, wrong=False))
        return self._to_step(step)

    def _offered(self, request: Request, step: Step) -> list[str]:
        """What can be set up now. Where a browser sees our pages under a number, no passkey can be made."""
        if step.pending == _CODES:
            return [RECOVERY_CODE]
        return _kinds(step.action, with_passkeys=site_of(request, self._door.context) is not None)

    async def _passkey(self, request: Request, browser: Browser, step: Step, form: Form, awaited: Awaited) -> Response | Done:
        """The browser has brought a passkey back: it is enrolled if it was made here, for this question."""
        site, whose = site_of(request, self._door.context), _whose(awaited, self._client(request))
        made = made_passkey(form, step.secret, site) if site is not None else None
        if made is None:
            return await self.show(request, browser, step, Text("passkey.not_made"), 422)
        kept = [*awaited.holder.authenticators, *awaited.holder.held]
        if any(each.settings.get("credential") == made.settings["credential"] for each in kept):
            return await self.show(request, browser, step, Text("passkey.exists"), 409)
        after = step.changed(secret="", pending="" if whose.has_codes else _CODES)
        moved = await self._steps.move(browser.mac(self._door.ring()), step, after)
        if moved is None:
            return self._to_step(step)
        label = nickname_in(form)
        unit = passkey_operations(self._door, SubjectId(whose.subject_id), whose.user_name, made, label, whose.client)
        await self._door.storage.commit([*unit, *notices(self._door, whose, "authenticator_added", PASSKEY, label)])
        if whose.has_codes:
            return await self._done(request, browser, moved, moved)
        return await self._codes(request, browser, moved, awaited)

    def _client(self, request: Request) -> str:
        """The address that he is at."""
        return self._door.address(request)

    async def _passkey_page(
        self, request: Request, browser: Browser, step: Step, awaited: Awaited, values: dict[str, object], status: int
    ) -> Response:
        site, active = site_of(request, self._door.context), list(awaited.holder.authenticators)
        subject_id = SubjectId(awaited.subject_id)
        options = creation_options(self._door, subject_id, awaited.user, step.secret, site, active) if site is not None else ""
        values |= {"several": len(self._offered(request, step)) > 1, "options": options}
        response = self._page(request, browser, step, "do_passkey.html", status, values)
        response.headers[PERMISSIONS_POLICY] = PASSKEYS_MADE
        return response

    async def _app(self, request: Request, browser: Browser, step: Step, form: Form, awaited: Awaited) -> Response | Done:
        proved = first_code(self._door, step.secret, form)
        if isinstance(proved, Text):
            return await self.show(request, browser, step, proved, 422)
        whose = _whose(awaited, self._client(request))
        after = step.changed(secret="", pending="" if whose.has_codes else _CODES)
        moved = await self._steps.move(browser.mac(self._door.ring()), step, after)
        if moved is None:
            return self._to_step(step)
        is_kept = await enrol_app(self._door, whose, step.secret, proved, form)
        if whose.has_codes or not is_kept:
            # The account was frozen meanwhile: the engine, which looks, ends this login.
            return await self._done(request, browser, moved, moved)
        return await self._codes(request, browser, moved, awaited)

    async def _codes(self, request: Request, browser: Browser, step: Step, awaited: Awaited) -> Response | Done:
        moved = await self._steps.move(browser.mac(self._door.ring()), step, step.changed(pending=_CODES))
        codes = await make_codes(self._door, _whose(awaited, self._client(request))) if moved is not None else None
        if moved is not None and codes is not None:
            await self._steps.move(browser.mac(self._door.ring()), moved, moved.changed(pending=_MADE + " ".join(codes)))
        elif moved is not None:
            return await self._done(request, browser, moved, moved)
        return self._to_step(step)

    # --- challenge questions -----------------------------------------------------------------------------------------

    async def _set_questions(self, request: Request, browser: Browser, step: Step, form: Form, awaited: Awaited) -> Response | Done:
        """Set them, if they are those that the form was made for; another tab or the account's page may have been first."""
        person = _person(awaited, self._client(request))
        standing = await self._questions.look(person, language_of_request(request))
        entries = entries_of(form, standing)
        if form.fields.get("version") != str(standing.version):
            return await self._questions_page(request, browser, step, awaited, (), error=Text("kba.changed"), status=409)
        refused = await self._questions.set_answers(person, standing, entries)
        if isinstance(refused, RefusedEntries):
            return await self._questions_page(request, browser, step, awaited, entries, refused, status=422)
        if refused is not None:
            told, status = said(refused)
            kept = entries if status == BUSY_STATUS else ()
            page = await self._questions_page(request, browser, step, awaited, kept, error=told, status=status)
            return told_to_wait(page)
        return await self._done(request, browser, step, step.changed(pending="", wrong=False))

    async def _questions_page(
        self,
        request: Request,
        browser: Browser,
        step: Step,
        awaited: Awaited,
        entries: Sequence[Entry],
        refused: RefusedEntries | None = None,
        error: Text | None = None,
        status: int = 200,
    ) -> Response:
        standing = await self._questions.look(_person(awaited, self._client(request)), language_of_request(request))
        values = form_values(standing, rows_of(standing, entries, refused))
        return self._page(request, browser, step, "do_questions.html", status, {**values, "error": error})

    # --- shared ----------------------------------------------------------------------------------------------------

    async def _done(self, request: Request, browser: Browser, step: Step, after: Step) -> Done:
        return Done(after, await self.looked_at(request, browser, step))

    async def looked_at(self, request: Request, browser: Browser, step: Step) -> Outcome:
        """What the engine says once it has looked whether it is done. A contact is confirmed by a code, which it asks for."""
        trail = self._door.trail(request)
        outcome = await self._door.engine.answer(self._answer(request, browser, step, b"", trail))
        await self._door.published(trail, outcome)
        return outcome

    def _answer(self, request: Request, browser: Browser, step: Step, given: bytes, trail: Trail) -> AnswerRequest:
        same_form = hashlib.blake2b(b"\0".join((step.id.encode(), str(step.turn).encode(), given)), digest_size=32).digest()
        origin, trusts = self._door.origin(request, browser), step.trusts
        return AnswerRequest(bytes.fromhex(step.handle), Secret(given), step.user_name, same_form, origin, trail, trusts)

    async def _awaited(self, request: Request, browser: Browser, step: Step) -> Awaited | None:
        return await self._door.engine.awaited(bytes.fromhex(step.handle), self._door.origin(request, browser))

    def _over(self, request: Request, step: Step) -> Response:
        over = step.changed(ended="closed", text=Text("flow.expired", {"ref": step.reference}))
        return self._door.pages.page(request, "ended.html", 410, posts=True, step=over, error=None)

    def _to_step(self, step: Step) -> Response:
        return RedirectResponse(f"/step/{step.id}", status_code=303)

    def _page(
        self, request: Request, browser: Browser, step: Step, template: str, status: int, values: dict[str, object]
    ) -> Response:
        csrf = browser.csrf(self._door.ring(), step.id)
        return self._door.pages.page(request, template, status, posts=True, step=step, csrf=csrf, **values)


def _sets_questions(step: Step) -> bool:
    """Whether the open form is that of challenge questions: they were chosen, or there is nothing else to choose."""
    return step.pending == _ASKED or (not step.pending and not step.secret and _kinds(step.action, True) == [QUESTIONS])


def _person(awaited: Awaited, client: str) -> Person:
    name, said = awaited.application, (awaited.reference, awaited.realm, client)
    return Person(awaited.subject_id, awaited.user, name, awaited.language, awaited.transaction_id, *said)


def _kinds(action: str, with_passkeys: bool) -> list[str]:
    """What of it can be enrolled here."""
    wanted = action.removeprefix(ENROL).split("+") if action.startswith(ENROL) else []
    return [kind for kind in ENROLLED_HERE if kind in wanted and (with_passkeys or kind != PASSKEY)]


def _whose(awaited: Awaited, client: str) -> Whose:
    whose = Whose(awaited.subject_id, awaited.user.name, awaited.language, awaited.holder, awaited.rows, awaited.realm)
    return replace(whose, client=client)
