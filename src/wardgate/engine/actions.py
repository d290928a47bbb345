"""What stands between the last proof and the grant at a door that shows pages: who waits for it, and the new password.

Whether something is done is never answered, it is looked up: the door says that it has been, and the engine looks (`Answering`).
Only a new password is written from here, because the old one is kept with the login.
"""

from dataclasses import replace
from datetime import datetime

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.subject import SubjectId, link_of, subject_in
from wardgate.audit.events import Kind
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser
from wardgate.engine import interviews
from wardgate.engine.accounts import directory_of
from wardgate.engine.activated import spent
from wardgate.engine.answering import Answering, whom_of
from wardgate.engine.changing import Changing, Tried, Written
from wardgate.engine.demands import CHANGE_PASSWORD
from wardgate.engine.freezing import Freezing
from wardgate.engine.held_password import held_password
from wardgate.engine.holders import holder_of
from wardgate.engine.outcome import ActionRequired
from wardgate.engine.proved import recording_of
from wardgate.engine.request import AnswerRequest
from wardgate.engine.rounds import Answer, Step
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.acting import WRONG, Acting, Refusal
from wardgate.engine.transaction import MAX_ROUNDS, Goal, Handle, Transaction, advance, go_on, handle_mac, new_handle
from wardgate.errors import DirectoryUnavailable
from wardgate.factors.port import Holder, Right
from wardgate.storage.port import Refused, Row
from wardgate.texts import Text
from wardgate.values import quick_value


@quick_value
class Awaited:
    """Whose login waits for something, by all the factors that he proved. `kinds`: what he has, and `rows` the rows of that."""

    subject_id: SubjectId
    user: DirectoryUser
    holder: Holder
    rows: tuple[Row, ...]
    proved: tuple[str, ...]
    application: str
    language: str
    reference: str
    transaction_id: str
    realm: str


class Actions:
    """One per engine."""

    def __init__(self, parts: EngineParts, answering: Answering) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._answering = answering
        self._changing = Changing(parts)
        self._acting = Acting(parts)
        self._freezing = Freezing(parts)

    async def awaited(self, handle: Handle, now: datetime) -> Awaited | None:
        """Whose login this handle belongs to, where it waits for something to be done. Changes nothing.

        Raises DirectoryUnavailable.
        """
        transaction = await self._answering.stored(handle)
        if transaction is None or transaction.factor or transaction.is_over(to_ms(now)):
            return None
        user, subject_id = await self._answering.accounts.of(transaction), SubjectId(transaction.subject_id)
        link = link_of(transaction.directory, transaction.immutable_id)
        configuration = self._parts.configuration()
        application = configuration.applications.get(transaction.application)
        questions = interviews.reads(configuration, application.policy, subject_id) if application is not None else []
        finds = [link, kept_authenticators(subject_id), kept_contacts(subject_id), *questions]
        linked, rows, contacts, *answers = await self._storage.read(finds)
        if user is None or subject_in(linked) != subject_id:
            return None
        answered = interviews.read(configuration, answers)
        return Awaited(
            subject_id=subject_id,
            user=user,
            holder=holder_of(self._parts.ring(), subject_id, user, *active_and_held(rows), contacts, answered),
            rows=tuple(rows),
            proved=transaction.proved,
            application=transaction.application,
            language=transaction.language,
            reference=transaction.reference,
            transaction_id=transaction.id,
            realm=transaction.realm,
        )

    async def choose_password(self, handle: Handle, request: AnswerRequest, now: datetime) -> Step | None:
        """Set the password that was chosen, once: of two forms at once one writes. None: the step was taken."""
        answer = await self._answering.look(handle, None, request, now)
        if not isinstance(answer, Answer):
            return answer
        transaction = answer.transaction
        if transaction.factor:
            return None
        if not await self._is_due(answer):
            return await self._answering.finish(answer, transaction, transaction.proved, Right(), None)
        if transaction.sequence >= MAX_ROUNDS:
            text = Text("code.closed", {"ref": transaction.reference})
            return await self._answering.rounds.close(handle, request, transaction, "code_closed", text)
        claimed, ring = transaction.moved(), self._parts.ring()
        value, insert_handle = new_handle(ring, claimed, request.origin.binding)
        text = Text("pw.expired" if transaction.refusal == "password_expired" else "pw.must_change")
        outcome = ActionRequired(value, CHANGE_PASSWORD, text, transaction.language, transaction.reference)
        step = go_on(ring, self._answering.rounds.use(answer, outcome), transaction, claimed)
        used = await spent(self._parts, transaction, request.trail) if transaction.goal is Goal.ACTIVATE else ()
        if used is None:
            # Another browser began with the same one, and was first.
            over = Text("activate.used", {"ref": transaction.reference})
            return await self._answering.rounds.close(handle, request, transaction, "activation_over", over)
        if isinstance(await self._storage.commit([*step, insert_handle, *used]), Refused):
            return await self._answering.rounds.taken(handle, request)
        at = replace(answer, transaction=claimed, handle=_handle(handle_mac(ring, value), claimed, request.origin.binding))
        tried = await self._written(at, request.answer)
        if tried.refusal is not None:
            return await self._refused(at, outcome, tried, tried.refusal)
        return await self._go_on(at, tried)

    async def _is_due(self, answer: Answer) -> bool:
        if answer.transaction.refusal:
            return True
        if await self._answering.liftable(answer) is not None:
            return True
        due = await self._answering.due(answer.transaction, answer.holder, answer.contacts, answer.user, answer.now)
        return due.must is not None and due.must.action == CHANGE_PASSWORD

    async def _written(self, answer: Answer, new: Secret) -> Tried:
        """By the password that he came with, so that the directory's rules of age and history hold; else as a reset."""
        transaction, trail = answer.transaction, answer.trail
        directory = directory_of(self._parts.configuration(), transaction.directory)
        if directory is None:
            return Tried(Refusal("change_not_here", Text("pw.not_here"), final=True))
        old = held_password(self._parts.ring(), transaction.held, transaction.id, answer.now_ms)
        whom = whom_of(transaction)
        if old is not None:
            return await self._changing.attempt(directory, answer.user, answer.keys, old, new, trail, Written(whom, "required"))
        problem = self._acting.own_rules(answer.user, new)
        if problem is not None:
            return Tried(Refusal("password_rules", problem))
        await self._storage.commit(self._changing.ended(whom))
        return Tried(await self._acting.reset(directory, answer.user, new, trail, whom, "required"))

    async def _refused(self, answer: Answer, outcome: ActionRequired, tried: Tried, refusal: Refusal) -> Step | None:
        """Another password may do; or nothing will, and the login is over."""
        text = Text(refusal.text.id, {**refusal.text.values, "ref": outcome.reference})
        if refusal.final or refusal.reason == WRONG:
            # The password that he came with is none any more: somebody has changed it meanwhile.
            told = Text("flow.unknown", {"ref": outcome.reference}) if refusal.reason == WRONG else text
            close = self._answering.rounds.close
            return await close(answer.handle, answer.request, answer.transaction, refusal.reason, told, tried.settle)
        again = replace(outcome, text=text)
        recording = recording_of(self._parts, answer.trail, answer.transaction)
        await recording.commit(tried.settle, Kind.PASSWORD_REFUSED, again, answer.transaction.user_name, reason=refusal.reason)
        return again

    async def _go_on(self, answer: Answer, tried: Tried) -> Step | None:
        """It is written: record it, tell the person, and go on with what else is due."""
        before, ring = answer.transaction, self._parts.ring()
        left = tuple(each for each in before.terms.demands if each.action != CHANGE_PASSWORD)
        after = before.moved(refusal="", held="", terms=replace(before.terms, demands=left))
        value, insert_handle = new_handle(ring, after, answer.request.origin.binding)
        whom = whom_of(before)
        done = (*tried.settle, *self._changing.aftermath(whom, answer.user, answer.holder, "required"))
        frozen = await self._answering.liftable(answer)
        lifted = await self._freezing.lifted(frozen, whom, answer.holder, before.proved) if frozen is not None else ()
        # The lift ends the links of before; the one in the word of this very change is made after it.
        if isinstance(await self._storage.commit([advance(before, after), insert_handle, *lifted, *done]), Refused):
            # The login is over meanwhile; the password is changed all the same.
            await self._storage.commit(done)
            return None
        user = await self._fresh(after, answer.user)
        handle = _handle(handle_mac(ring, value), after, answer.request.origin.binding)
        moved = replace(answer, handle=handle, transaction=after, user=user)
        return await self._answering.finish(moved, after, after.proved, Right(), None)

    async def _fresh(self, transaction: Transaction, before: DirectoryUser) -> DirectoryUser:
        try:
            return await self._answering.accounts.of(transaction) or before
        except DirectoryUnavailable:
            return before


def _handle(mac: bytes, transaction: Transaction, binding: str) -> Handle:
    return Handle(mac, transaction.id, transaction.sequence, binding, transaction.expires_at, None, None, None)
