"""The person's own phones and mail addresses: the list, a new one by the code that is sent there, and what can be done with each.

What waits for its code lives in a step of this session, sealed, for ten minutes and three wrong codes. Every POST that changes
something asks for a fresh proof that it is him; the pages before it only spare him the way back.
"""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.directory.port import ContactKind
from wardgate.engine.self_service.contacts import OwnContacts, Owner, Pending, Shown, pending_in
from wardgate.factors.port import MAX_ANSWER_BYTES, digits_of
from wardgate.pages.browser import Form, browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.pages.steps import Step, Steps, new_step_id
from wardgate.pages.turns import take_own_turn
from wardgate.portal.gate import Gate, Present
from wardgate.storage.port import Operation
from wardgate.texts import Text

CONTACTS: Final = "/account/contacts"
ADD: Final = f"{CONTACTS}/add"
VERIFY: Final = f"{CONTACTS}/verify"
MAX_CONTACT_CHARS: Final = 254
FIELDS: Final = {ContactKind.PHONE: "phone", ContactKind.MAIL: "email"}
# How a step ended whose contact was verified.
_SAVED: Final = "saved"


class ContactPages:
    """The pages under `/account/contacts`."""

    def __init__(self, door: BrowserDoor, gate: Gate, contacts: OwnContacts) -> None:
        self._door = door
        self._gate = gate
        self._contacts = contacts
        self._steps = Steps(door.storage, door.ring, door.clock)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(CONTACTS, self.listed, methods=["GET"]),
            Route(ADD, self.choose, methods=["GET"]),
            Route(f"{ADD}/{{kind}}", self.ask_new, methods=["GET"]),
            Route(f"{ADD}/{{kind}}", self.begin, methods=["POST"]),
            Route(f"{VERIFY}/{{step}}", self.show_pending, methods=["GET"]),
            Route(f"{VERIFY}/{{step}}", self.verify, methods=["POST"]),
            Route(f"{CONTACTS}/{{id}}", self.show_one, methods=["GET"]),
            Route(f"{CONTACTS}/{{id}}", self.act, methods=["POST"]),
            Route(f"{CONTACTS}/{{id}}/replace", self.ask_new, methods=["GET"]),
            Route(f"{CONTACTS}/{{id}}/replace", self.begin, methods=["POST"]),
        ]

    # --- looking ---------------------------------------------------------------------------------------------------

    async def listed(self, request: Request) -> Response:
        """All of them, with where codes go and until when one is on hold."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        rows = await self._contacts.listed(self._owner(present))
        return self._page(request, present, "contacts.html", CONTACTS, rows=rows)

    async def choose(self, request: Request) -> Response:
        """A phone or a mail address."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        return self._page(request, present, "contact_kinds.html", CONTACTS)

    async def show_one(self, request: Request) -> Response:
        """One of them, and what can be done with it."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        return self._one_page(request, present, await self._one(request, self._owner(present)))

    # --- a new one -------------------------------------------------------------------------------------------------

    async def ask_new(self, request: Request) -> Response:
        """The form for a new one, or for one in the place of another. Who has not just proved that it is him does that first."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        kind = await self._kind(request, self._owner(present))
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(request.url.path)
        return self._new_page(request, present, kind)

    async def begin(self, request: Request) -> Response:
        """Send a code to the new one. The same form twice sends it once."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form, owner = browser_of(request), await form_of(request), self._owner(present)
        kind, once = await self._kind(request, owner), form.fields.get("once", "")
        typed = form.text(FIELDS[kind], MAX_CONTACT_CHARS)
        if not is_ours(request, browser, self._door.ring(), form, f"{CONTACTS}:{once}", self._door.context.origin):
            return self._new_page(request, present, kind, typed, Text("form.old"))
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(request.url.path)
        prepared = await self._contacts.prepare(owner, kind, typed, request.path_params.get("id", ""))
        if isinstance(prepared, Text):
            return self._new_page(request, present, kind, typed, prepared)
        await take_own_turn(self._door, present.session.whose.subject_id)
        step = await self._steps.begin_once(self._mac(present), self._step_of(present, prepared), once)
        if step is None:
            return RedirectResponse(f"{VERIFY}/{once}", status_code=303)
        sent = await self._send(request, present, owner, step, prepared)
        if isinstance(sent, Text):
            await self._steps.move(self._mac(present), step, step.changed(ended="closed", pending=""))
            return self._new_page(request, present, kind, typed, sent, 429)
        return RedirectResponse(f"{VERIFY}/{step.id}", status_code=303)

    async def _send(self, request: Request, present: Present, owner: Owner, step: Step, pending: Pending) -> Text | None:
        trail = self._door.trail(request)

        def kept(sent: Pending) -> Operation:
            return self._steps.moving(self._mac(present), step, step.changed(pending=sent.text()))[1]

        problem = await self._contacts.send(owner, pending, trail, kept)
        self._door.recorder.publish(trail)
        return problem

    async def show_pending(self, request: Request) -> Response:
        """The field for its code; afterwards what came of it."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        step = await self._step(request, present)
        pending = self._waits(step)
        if pending is None:
            return self._ended_page(
                request, present, step.text or Text("contact.closed"), 200 if step.text else 410, step.reference
            )
        return self._code_page(request, present, step, pending)

    async def verify(self, request: Request) -> Response:
        """The code makes it a contact; or another code is sent."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        step = await self._step(request, present)
        pending = self._waits(step)
        if pending is None:
            saved = step.ended == _SAVED
            said, status = (Text("flow.done_elsewhere"), 409) if saved else (Text("contact.closed"), 410)
            return self._ended_page(request, present, said, status, step.reference)
        if not is_ours(request, browser, self._door.ring(), form, step.id, self._door.context.origin):
            return self._code_page(request, present, step, pending, Text("form.old"))
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(f"{VERIFY}/{step.id}")
        if form.fields.get("act") == "resend":
            told = await self._send(request, present, self._owner(present), step, pending)
            if told is not None:
                return self._code_page(request, present, step, pending, told, 429)
            return RedirectResponse(f"{VERIFY}/{step.id}", status_code=303)
        return await self._judged(request, present, step, pending, form)

    async def _judged(self, request: Request, present: Present, step: Step, pending: Pending, form: Form) -> Response:
        given, owner = form.text("code", MAX_ANSWER_BYTES).encode("utf-8", "replace"), self._owner(present)
        if not digits_of(given):
            return self._code_page(request, present, step, pending, Text("code.missing"))
        right = self._contacts.is_right(owner, pending, given)
        left = pending.tried()
        over = right or self._contacts.is_over(left)
        moved = step.changed(ended=_SAVED if right else "closed", pending="") if over else step.changed(pending=left.text())
        # Whoever moves it took this try: a second form at the same time neither guesses nor adds.
        stored = await self._steps.move(self._mac(present), step, moved)
        if stored is None:
            return self._ended_page(request, present, Text("flow.done_elsewhere"), 409, step.reference)
        if right:
            return await self._added(request, present, owner, stored, pending)
        trail = self._door.trail(request)
        await self._contacts.wrong(owner, pending, trail)
        self._door.recorder.publish(trail)
        if over:
            return self._ended_page(request, present, Text("contact.closed"), 410, trail.reference)
        error = Text("code.wrong", {"left": left.tries}) if left.tries > 1 else Text("code.wrong_last")
        return self._code_page(request, present, stored, left, error)

    async def _added(self, request: Request, present: Present, owner: Owner, step: Step, pending: Pending) -> Response:
        trail = self._door.trail(request)
        said = await self._contacts.add(owner, pending, trail)
        self._door.recorder.publish(trail)
        if said.id not in ("contact.hold", "contact.first", "contact.not_written"):
            return self._ended_page(request, present, said, 409, trail.reference)
        await self._steps.move(self._mac(present), step, step.changed(text=said, reference=trail.reference))
        return RedirectResponse(f"{VERIFY}/{step.id}", status_code=303)

    # --- the others ------------------------------------------------------------------------------------------------

    async def act(self, request: Request) -> Response:
        """Prefer it or remove it."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form, owner = browser_of(request), await form_of(request), self._owner(present)
        one = await self._one(request, owner)
        if not is_ours(request, browser, self._door.ring(), form, CONTACTS, self._door.context.origin):
            return self._one_page(request, present, one, Text("form.old"), 422)
        if not self._gate.is_fresh(present):
            return self._gate.to_confirm(f"{CONTACTS}/{one.id}")
        trail = self._door.trail(request)
        match form.fields.get("act"):
            case "prefer":
                problem = await self._contacts.prefer(owner, one.id, trail)
            case "remove" if one.own:
                problem = await self._contacts.remove(owner, one.id, form.fields.get("lost") == "yes", trail)
            case _:
                raise HTTPException(400)
        self._door.recorder.publish(trail)
        if problem is not None:
            return self._one_page(request, present, one, problem, 409)
        return RedirectResponse(CONTACTS, status_code=303)

    # --- shared ----------------------------------------------------------------------------------------------------

    def _owner(self, present: Present) -> Owner:
        return self._contacts.owner(present.session.whose, present.user, self._door.portal(), present.session.proofs)

    async def _one(self, request: Request, owner: Owner) -> Shown:
        found = await self._contacts.find(owner, request.path_params["id"])
        if found is None:
            raise HTTPException(404)
        return found

    async def _kind(self, request: Request, owner: Owner) -> ContactKind:
        """What is added: as the address says, or of the kind of the one that is replaced."""
        if "id" in request.path_params:
            replaced = await self._one(request, owner)
            if not replaced.writable:
                raise HTTPException(404)
            return replaced.kind
        kind = request.path_params["kind"]
        if kind not in [each.value for each in ContactKind]:
            raise HTTPException(404)
        return ContactKind(kind)

    def _mac(self, present: Present) -> bytes:
        """Its steps belong to the session: the browser's own id is another one after each proof."""
        return self._door.ring().mac("browser", f"session:{present.session.id}".encode())

    def _step_of(self, present: Present, pending: Pending) -> Step:
        name, confirms = present.user.name, present.session.id
        return Step("", 0, self._door.portal(), name, "", "", CONTACTS, None, confirms=confirms, pending=pending.text())

    async def _step(self, request: Request, present: Present) -> Step:
        step = await self._steps.find(self._mac(present), request.path_params["step"])
        if step is None or step.confirms != present.session.id:
            raise HTTPException(410)
        return step

    def _waits(self, step: Step) -> Pending | None:
        """The contact that waits for its code; None where it was verified, or its time or tries are over."""
        pending = pending_in(step.pending) if step.pending else None
        return pending if pending is not None and not self._contacts.is_over(pending) else None

    def _ended_page(self, request: Request, present: Present, text: Text, status: int, reference: str = "") -> Response:
        wrong = status != 200
        told = reference or (self._door.pages.recorded(request, status) if wrong else "")
        return self._page(request, present, "contact_done.html", CONTACTS, status, text=text, wrong=wrong, reference=told)

    def _new_page(
        self,
        request: Request,
        present: Present,
        kind: ContactKind,
        typed: str = "",
        error: Text | None = None,
        status: int = 422,
    ) -> Response:
        once = new_step_id()
        values = {"kind": kind.value, "field": FIELDS[kind], "typed": typed[:MAX_CONTACT_CHARS], "once": once, "error": error}
        replaces = "id" in request.path_params
        status = 200 if error is None else status
        response = self._page(request, present, "contact_new.html", f"{CONTACTS}:{once}", status, replaces=replaces, **values)
        return _waiting(response, error)

    def _code_page(
        self, request: Request, present: Present, step: Step, pending: Pending, error: Text | None = None, status: int = 422
    ) -> Response:
        status = 200 if error is None else status
        values = {"kind": pending.kind.value, "value": pending.value, "sent": bool(pending.sent_at), "error": error}
        return _waiting(self._page(request, present, "contact_code.html", step.id, status, **values), error)

    def _one_page(self, request: Request, present: Present, one: Shown, error: Text | None = None, status: int = 200) -> Response:
        return self._page(request, present, "contact.html", CONTACTS, status, one=one, error=error)

    def _page(
        self, request: Request, present: Present, template: str, purpose: str, status: int = 200, **values: object
    ) -> Response:
        browser = browser_of(request)
        csrf = browser.csrf(self._door.ring(), purpose)
        response = self._door.pages.page(
            request, template, status, posts=True, csrf=csrf, session=present.session, user=present.user, **values
        )
        browser.keep(response)
        return response


def _waiting(response: Response, error: Text | None) -> Response:
    if response.status_code == 429 and error is not None:
        response.headers["retry-after"] = str(error.values.get("s", 3600))
    return response
