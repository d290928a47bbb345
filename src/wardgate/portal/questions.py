"""The person's own challenge questions: what is set, setting what is missing, one in the place of another, and clearing them all.

Every POST asks for a fresh proof that it is him. Where there is none any more, what he chose and wrote waits for him, sealed, in a
step of his session, and the answers do not: they are typed again.
"""

from collections.abc import Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.engine.self_service.own_questions import Entry, OwnQuestions, Person, RefusedEntries, Standing
from wardgate.jsons import dumps, loads
from wardgate.pages.browser import Form, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.questions import BUSY_STATUS, entries_in, entries_of, form_values, kept_of, rows_of, said, told_to_wait
from wardgate.pages.steps import Step, Steps
from wardgate.pages.turns import take_own_turn
from wardgate.portal.gate import Gate, Present
from wardgate.texts import Text
from wardgate.web.language import language_of_request
from wardgate.web.paths import NUMBER

QUESTIONS: Final = "/account/questions"
SET: Final = f"{QUESTIONS}/set"
CLEAR: Final = f"{QUESTIONS}/clear"
_KEPT: Final = "kept"
_VERSION_DIGITS: Final = 9


class QuestionPages:
    """The pages under `/account/questions`."""

    def __init__(self, door: BrowserDoor, gate: Gate, questions: OwnQuestions) -> None:
        self._door = door
        self._gate = gate
        self._questions = questions
        self._steps = Steps(door.storage, door.ring, door.clock)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(QUESTIONS, self.listed, methods=["GET"]),
            Route(SET, self.ask, methods=["GET"]),
            Route(SET, self.save, methods=["POST"]),
            Route(CLEAR, self.ask_clear, methods=["GET"]),
            Route(CLEAR, self.clear, methods=["POST"]),
            Route(f"{QUESTIONS}/{{number:{NUMBER}}}", self.ask, methods=["GET"]),
            Route(f"{QUESTIONS}/{{number:{NUMBER}}}", self.save, methods=["POST"]),
            # With what was kept while the person proved that it is him; such a form is sent to one of the addresses above.
            Route(f"{SET}/{{step}}", self.ask, methods=["GET"]),
            Route(f"{QUESTIONS}/{{number:{NUMBER}}}/{{step}}", self.ask, methods=["GET"]),
        ]

    async def listed(self, request: Request) -> Response:
        """What is set, and what is missing."""
        present = await self._enter(request)
        if isinstance(present, Response):
            return present
        return await self._list_page(request, present)

    # --- setting ---------------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """The form, with what was chosen before the person had to prove that it is him."""
        present = await self._enter(request)
        if isinstance(present, Response):
            return present
        standing = await self._standing(request, present)
        if not standing.places or (standing.closed and "number" in request.path_params):
            return RedirectResponse(SET if standing.places else QUESTIONS, status_code=303)
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(request.url.path)
        return self._form_page(request, present, standing, await self._kept(request, present, standing))

    async def save(self, request: Request) -> Response:
        """Set the answers, if they are those of the form's version and break no rule."""
        present = await self._enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        standing = await self._standing(request, present)
        if _version(form) != standing.version or (standing.closed and "number" in request.path_params):
            return await self._list_page(request, present, Text("kba.changed"), 409)
        entries = entries_of(form, standing)
        if not is_ours(request, browser, self._door.ring(), form, QUESTIONS, self._door.context.origin):
            return self._form_page(request, present, standing, entries, error=Text("form.old"))
        if not self._gate.is_fresh(present):
            return await self._keep(request, present, standing, entries)
        refused = await self._questions.set_answers(self._person(present), standing, entries)
        if isinstance(refused, RefusedEntries):
            return self._form_page(request, present, standing, entries, refused)
        if refused is not None:
            return await self._not_set(request, present, standing, entries, refused)
        return RedirectResponse(QUESTIONS, status_code=303)

    async def _not_set(
        self, request: Request, present: Present, standing: Standing, entries: Sequence[Entry], refused: Text
    ) -> Response:
        """Nothing was set for a reason that is not the answers': too much to do, or somebody else was first."""
        told, status = said(refused)
        if status != BUSY_STATUS:
            return await self._list_page(request, present, told, status)
        return self._form_page(request, present, standing, entries, error=told, status=status)

    async def _keep(self, request: Request, present: Present, standing: Standing, entries: Sequence[Entry]) -> Response:
        """Keep what may be kept until the person has proved that it is him."""
        await take_own_turn(self._door, present.session.whose.subject_id)
        kept = dumps({"path": request.url.path, "version": standing.version, **kept_of(entries)})
        name, session = present.user.name, present.session.id
        step = Step("", 0, self._door.portal(), name, "", "", QUESTIONS, None, ended=_KEPT, confirms=session, pending=kept)
        stored = await self._steps.begin(self._mac(present), step)
        return self._gate.to_confirm(f"{request.url.path}/{stored.id}")

    async def _kept(self, request: Request, present: Present, standing: Standing) -> tuple[Entry, ...]:
        """What was kept for this form; nothing where it is another one by now."""
        step_id = request.path_params.get("step", "")
        step = await self._steps.find(self._mac(present), step_id) if step_id else None
        if step is None or step.confirms != present.session.id or step.ended != _KEPT:
            return ()
        kept = loads(step.pending)
        fits = kept["path"] == _form_path(request) and kept["version"] == standing.version
        return entries_in(kept) if fits else ()

    # --- clearing --------------------------------------------------------------------------------------------------

    async def ask_clear(self, request: Request) -> Response:
        """Say what it means."""
        present = await self._enter(request)
        if isinstance(present, Response):
            return present
        standing = await self._questions.look(self._person(present), language_of_request(request))
        if not standing.answers:
            return RedirectResponse(QUESTIONS, status_code=303)
        return self._page(request, present, "clear_questions.html", standing=standing, error=None)

    async def clear(self, request: Request) -> Response:
        """Remove all answers."""
        present = await self._enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        if not is_ours(request, browser, self._door.ring(), form, QUESTIONS, self._door.context.origin):
            standing = await self._questions.look(self._person(present), language_of_request(request))
            return self._page(request, present, "clear_questions.html", 422, standing=standing, error=Text("form.old"))
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(CLEAR)
        refused = await self._questions.clear(self._person(present), _version(form))
        if refused is not None:
            return await self._list_page(request, present, *said(refused))
        return RedirectResponse(QUESTIONS, status_code=303)

    # --- shared ----------------------------------------------------------------------------------------------------

    async def _enter(self, request: Request) -> Present | Response:
        """Who is signed in. Where no policy asks questions there is nothing to set."""
        present = await self._gate.enter(request)
        if isinstance(present, Present) and not self._questions.in_use:
            raise HTTPException(404)
        return present

    def _person(self, present: Present) -> Person:
        whose = present.session.whose
        return Person(whose.subject_id, present.user, self._door.portal(), whose.language, realm=whose.realm, client=present.client)

    async def _standing(self, request: Request, present: Present) -> Standing:
        """What the form is about: all that is missing, or the one answer of the address."""
        person, language, number = self._person(present), language_of_request(request), request.path_params.get("number")
        if number is None:
            return await self._questions.look(person, language)
        found = await self._questions.form_for(person, number, language)
        if found is None:
            raise HTTPException(404)
        return found

    def _mac(self, present: Present) -> bytes:
        """What is kept belongs to the session: the browser's own id is another one after each proof."""
        return self._door.ring().mac("browser", f"session:{present.session.id}".encode())

    def _form_page(
        self,
        request: Request,
        present: Present,
        standing: Standing,
        entries: Sequence[Entry],
        refused: RefusedEntries | None = None,
        error: Text | None = None,
        status: int = 422,
    ) -> Response:
        status = 200 if refused is None and error is None else status
        values = form_values(standing, rows_of(standing, entries, refused))
        changes = "number" in request.path_params
        action = _form_path(request)
        response = self._page(request, present, "set_questions.html", status, action=action, changes=changes, error=error, **values)
        return told_to_wait(response)

    async def _list_page(self, request: Request, present: Present, error: Text | None = None, status: int = 200) -> Response:
        standing = await self._questions.look(self._person(present), language_of_request(request))
        return self._page(request, present, "own_questions.html", status, standing=standing, error=error)

    def _page(self, request: Request, present: Present, template: str, status: int = 200, **values: object) -> Response:
        browser = browser_of(request)
        csrf = browser.csrf(self._door.ring(), QUESTIONS)
        response = self._door.pages.page(
            request, template, status, posts=True, csrf=csrf, session=present.session, user=present.user, **values
        )
        browser.keep(response)
        return response


def _form_path(request: Request) -> str:
    """The form's own address, whatever was kept for it."""
    number = request.path_params.get("number")
    return SET if number is None else f"{QUESTIONS}/{number}"


def _version(form: Form) -> int:
    """The version of the answers that the form was made for; -1 for what is none."""
    given = form.fields.get("version", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= _VERSION_DIGITS else -1
