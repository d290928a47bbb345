"""Judges answers to challenges: right, wrong, a word that chooses another factor, or nothing at all.

What follows from the judgement is written by `rounds.py`, and by `proved.py` once everything is proved.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.freeze import Freeze
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId, link_of, subject_in
from wardgate.audit.events import Kind
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.names import canonical_name
from wardgate.directory.port import DirectoryUser
from wardgate.directory.realm import parse_login_name
from wardgate.engine import brakes, demands, interviews, known_names, password_ends
from wardgate.engine.accounts import Accounts, directory_of
from wardgate.engine.activated import welcome
from wardgate.engine.asking import GATEWAY_DOWN, Asker
from wardgate.engine.by_link import ENROL, Proved
from wardgate.engine.demands import CONFIRM_CONTACT, NOTHING_DUE, Due
from wardgate.engine.freezing import Freezes, lift_due, may_lift, stands_before
from wardgate.engine.hand_over import HAND_OVER
from wardgate.engine.holders import Contactless, holder_of
from wardgate.engine.lanes import keys_of
from wardgate.engine.notices import recovery_code_used
from wardgate.engine.outcome import ActionRequired, Denied, Granted, Origin
from wardgate.engine.proved import Grant, commit_proved, proved_outcome, recording_of, release_after
from wardgate.engine.recording import Recording
from wardgate.engine.request import AnswerRequest
from wardgate.engine.rounds import Answer, Rounds, Step
from wardgate.engine.runtime import Application, EngineParts
from wardgate.engine.spent_code import user_key
from wardgate.engine.stepping_up import may_add, strong_kinds
from wardgate.engine.steps import STORAGE_READ, Steps
from wardgate.engine.transaction import (
    MAX_ROUNDS,
    Goal,
    Handle,
    State,
    Transaction,
    end,
    from_row,
    go_on,
    handle_from_row,
    insert,
    new_handle,
    take_back,
)
from wardgate.engine.trusted import TRUSTED_DEVICE, trust_at_grant, use_at_grant
from wardgate.engine.wording import Whom
from wardgate.errors import DirectoryUnavailable
from wardgate.factors import BY_KIND, LONGEST_ANSWER, ON_PAGES, QUESTIONING, SECOND_FACTORS, STRONG_KINDS
from wardgate.factors.port import Factor, Holder, More, Right, Task, Wrong
from wardgate.kba.standing import NOT_ANSWERED
from wardgate.storage.port import Commit, Lookup, Operation, Refused, Row
from wardgate.texts import Text

_HANDLE = Lookup("handle", ("handle_mac",), limit=1)
_STRONG = frozenset(STRONG_KINDS)
# What stands beside a passkey among the factors of a grant, when a PIN or finger unlocked it. It is no factor of policies.
USER_VERIFIED = "user_verified"
# What shows that a person can be reached.
_MESSAGES = tuple(factor.kind for factor in SECOND_FACTORS if factor.channel is not None)


class Answering:
    """The second half of the engine."""

    def __init__(self, parts: EngineParts, asker: Asker, contactless: Contactless, freezes: Freezes) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._steps = Steps(parts)
        self._asker = asker
        self.rounds = Rounds(parts, asker)
        self.accounts = Accounts(parts)
        self._contactless = contactless
        self._freezes = freezes

    async def answer(self, handle: Handle, carried: Transaction | None, request: AnswerRequest, now: datetime) -> Step | None:
        """Judge the answer by the moment at which it came. `carried`: what the sealed handle says.

        None: the step was taken by another request.
        """
        answer = await self.look(handle, carried, request, now)
        return await self._judge(answer) if isinstance(answer, Answer) else answer

    async def look(
        self, handle: Handle, carried: Transaction | None, request: AnswerRequest, now: datetime
    ) -> "Answer | Step | None":
        """Everything about an answer, or what it comes to without a look at what was answered."""
        transaction = carried or await self.stored(handle)
        if transaction is None:
            return None
        trail = request.trail
        trail.transaction_id, trail.reference, trail.application = transaction.id, transaction.reference, transaction.application
        realm, typed = parse_login_name(request.user_name, self._parts.configuration().realms)
        name, ring = _typed(typed), self._parts.ring()
        subject_id = SubjectId(transaction.subject_id)
        origin = request.origin
        typed_name = f"{realm.name}:{name}"
        keys = brakes.brake_keys(ring, subject_id, origin.client, origin.binding, typed=typed_name)
        if transaction.lane:
            keys = await keys_of(self._parts, transaction, origin, typed_name, keys, to_ms(now))
        began = self._steps.begin()
        finds = [
            link_of(transaction.directory, transaction.immutable_id),
            kept_authenticators(subject_id),
            *brakes.asked(keys),
        ]
        if handle.is_sealed:
            finds.append(_HANDLE(handle.mac))
        own, named = self._contactless.asked(subject_id), known_names.known_name(realm, name)
        configuration = self._parts.configuration()
        asks = configuration.questioner is not None and _names_questions(transaction)
        questions = configuration.questioner.reads(subject_id) if asks and configuration.questioner is not None else []
        link, kept, *rows = await self._parts.storage.read([*finds, *own, *named, *questions])
        self._steps.end(STORAGE_READ, began)
        answered = interviews.read(configuration, [rows.pop() for _ in questions][::-1]) if questions else NOT_ANSWERED
        known = known_names.first_row([rows.pop()]) if named else None
        contacts = rows.pop() if own else []
        if own:
            self._contactless.read(subject_id, contacts)
        used = rows.pop() if handle.is_sealed else None
        if used:
            return self.rounds.repeat(handle_from_row(used[0]), request)
        if _typed(request.user_name) != transaction.name_key:
            return self.rounds.refuse(request, transaction, "state_other_user", "flow.unknown")
        now_ms = to_ms(now)
        application = self._parts.configuration().applications.get(transaction.application)
        if application is None or transaction.is_over(now_ms):
            reason = "transaction_expired" if application else "no_rule"
            return await self.rounds.close(
                handle, request, transaction, reason, Text("flow.expired", {"ref": transaction.reference})
            )
        user = await self._open_account(handle, transaction, request, subject_in(link), application)
        if not isinstance(user, DirectoryUser):
            return user
        if not self._freezes.knows_none(subject_id) and await self._was_frozen(transaction, subject_id):
            # What was proved before may have been taken away since, and what was begun by a thief ends here.
            text = Text("flow.unknown", {"ref": transaction.reference})
            return await self.rounds.close(handle, request, transaction, "frozen_meanwhile", text)
        active, held = active_and_held(kept)
        holder = holder_of(ring, subject_id, user, active, held, contacts, answered)
        spent_key, seen = user_key(ring, realm.name, name), brakes.seen(rows, keys.known)
        note = known_names.note(realm, name, user, known, now_ms)
        known_as = (keys, seen, spent_key)
        return Answer(request, handle, transaction, application, user, holder, *known_as, now, now_ms, note, contacts)

    async def _was_frozen(self, transaction: Transaction, subject_id: SubjectId) -> bool:
        """Whether the account was frozen after this login was begun."""
        frozen = await self._freezes.of(subject_id)
        return frozen is not None and stands_before(frozen, transaction)

    async def stored(self, handle: Handle) -> Transaction | None:
        """The login whose open question this handle belongs to."""
        row = await self._storage.get("login_transaction", {"id": handle.transaction_id})
        transaction = from_row(row) if row is not None else None
        if transaction is None or transaction.state is not State.CHALLENGED or transaction.sequence != handle.sequence:
            return None
        return transaction

    async def _open_account(
        self,
        handle: Handle,
        transaction: Transaction,
        request: AnswerRequest,
        subject_id: SubjectId | None,
        application: Application,
    ) -> DirectoryUser | Step | None:
        """Whose answer it is, as he is now; or the outcome where the login may not go on."""
        try:
            user = await self.accounts.of(transaction, application)
        except DirectoryUnavailable as error:
            request.trail.note("directory did not answer", error=error.message)
            return self.rounds.refuse(request, transaction, "directory_down", "down.directory")
        if user is None or subject_id != transaction.subject_id:
            text = Text("flow.unknown", {"ref": transaction.reference})
            return await self.rounds.close(handle, request, transaction, "user_changed", text)
        return user

    async def cancel(self, handle: Handle, carried: Transaction | None, trail: Trail) -> Denied | None:
        """End the login that this handle belongs to. None: it is over already."""
        transaction = carried or await self.stored(handle)
        if transaction is None:
            return None
        trail.transaction_id, trail.reference, trail.application = transaction.id, transaction.reference, transaction.application
        refusal = Denied(
            "cancelled", Text("flow.unknown", {"ref": transaction.reference}), transaction.language, transaction.reference
        )
        recording = Recording(self._parts, trail, transaction.application, transaction.subject_id)
        back = take_back(handle, transaction, to_ms(self._parts.clock.now()))
        commit = await recording.commit_denied([back], refusal, transaction.user_name)
        return None if isinstance(commit, Refused) else refusal

    # --- judging -------------------------------------------------------------------------------------------------

    async def _judge(self, answer: Answer) -> Step | None:
        settings = self._parts.configuration().brakes
        hold = await brakes.held_by(self._storage, answer.keys, answer.seen, settings, answer.now_ms)
        if hold is not None:
            answer.trail.note("a brake holds", wait_s=hold.wait_s)
            text = Text("wait.person", {"min": -(-hold.wait_s // 60), "ref": answer.transaction.reference})
            return await self.rounds.close(answer.handle, answer.request, answer.transaction, hold.reason, text)
        if not answer.transaction.factor:
            # All was proved, and something was to be done first: whether it is done is looked up, not answered.
            return await self.finish(answer, answer.transaction, answer.transaction.proved, Right(), None)
        given = answer.request.answer.reveal()
        if not given.strip():
            return await self.rounds.ask_again(answer, "answer_repeated")
        chosen = self._asker.chosen(given, answer.transaction, answer.holder)
        if chosen is not None:
            return await self.rounds.change_factor(answer, chosen)
        if answer.transaction.terms.links:
            if self._asker.asks_again(given, answer.transaction):
                return await self.rounds.send_again(answer)
            linked = await self._judge_linked(answer, given)
            if not isinstance(linked, Answer):
                return linked
            answer = linked
        codes = answer.transaction.terms.codes(self._parts.configuration().codes)
        task = Task(answer.transaction.id, answer.now, codes, self._parts.ring(), answer.request.origin.site)
        factor = BY_KIND[answer.transaction.factor]
        if not factor.enrolled(answer.holder) or len(given) > LONGEST_ANSWER[factor.kind]:
            return await self.rounds.wrong(answer, Wrong("code_wrong"))
        verdict = await self._verdict(answer, factor, task, given)
        if isinstance(verdict, More):
            more = self._asker.next_question(answer.transaction, answer.holder, verdict)
            return await self.rounds.put(answer, more, (), "next_question", Kind.LOGIN_CHALLENGED)
        if isinstance(verdict, Wrong):
            return await self.rounds.wrong(answer, verdict)
        return await self._right(answer, factor, verdict)

    async def _verdict(self, answer: Answer, factor: Factor, task: Task, given: bytes) -> Right | Wrong | More:
        memory = answer.transaction.recall(factor.kind)
        if factor.kind not in QUESTIONING:
            return factor.verify(answer.holder, task, memory, given)
        origin = answer.request.origin
        source = brakes.asker(origin.client, origin.binding)
        interview = interviews.of_login(self._parts.configuration(), answer.transaction, source)
        return await interviews.judge(factor, answer.holder, task, interview, memory, given)

    async def _judge_linked(self, answer: Answer, given: bytes) -> "Answer | Step | None":
        """Judge what may be the code of a page; the answer itself where it is for the factor that the window asks for, as ever.

        Who had to set something up is asked for that as soon as he has it.
        """
        transaction = answer.transaction
        judged = await self._asker.by_link.judge(transaction, given, answer.now_ms)
        if isinstance(judged, Proved):
            return await self._right(answer, BY_KIND[judged.kind], judged.verdict)
        if transaction.factor != ENROL and transaction.factor not in ON_PAGES:
            return answer
        if transaction.factor == ENROL:
            ways = [each for each in self._asker.alternatives(transaction, answer.holder) if each.kind not in ON_PAGES]
            typed = next((each for each in ways if each.channel is None), None)
            if typed is not None:
                return replace(answer, transaction=replace(transaction, factor=typed.kind))
        if judged is not None and judged.shown:
            return await self.rounds.wrong(answer, Wrong("code_wrong"))
        # A window that is too small for all has room for the word: who types now waits for a message that does not come.
        again = self._asker.word_for_again(transaction)
        return await self.rounds.ask_again(answer, "link_first", Text("approve.first"), *again)

    async def _right(self, answer: Answer, factor: Factor, verdict: Right) -> Step | None:
        transaction = answer.transaction
        answer.trail.note("code checked", verdict="right", factor=factor.kind)
        proved = (*transaction.proved, factor.kind)
        step_number = transaction.step + 1
        if verdict.twofold:
            proved = (*proved, USER_VERIFIED)
            # It counts as two where the plan takes it for both.
            if step_number < len(transaction.steps) and factor.kind in transaction.steps[step_number]:
                step_number += 1
        if transaction.terms.skips_unsendable and step_number < len(transaction.steps):
            skipped = self._asker.unsendable(transaction.steps[step_number:], proved, answer.holder, answer.trail)
            transaction = replace(transaction, fail_open=GATEWAY_DOWN) if skipped else transaction
            step_number += skipped
        if step_number < len(transaction.steps):
            return await self.rounds.next_step(answer, verdict, replace(transaction, proved=proved, step=step_number))
        # What somebody answers to a question is no code: nothing of it is kept to know it again.
        code = answer.request.answer if factor.kind not in QUESTIONING else None
        return await self.finish(answer, transaction, proved, verdict, code)

    async def finish(
        self, answer: Answer, transaction: Transaction, proved: tuple[str, ...], verdict: Right, code: Secret | None
    ) -> Step | None:
        """All is proved: let in, unless something has to be done first."""
        frozen = None if self._freezes.knows_none(answer.holder.subject_id) else await self._freezes.of(answer.holder.subject_id)
        due = await self.due(transaction, answer.holder, answer.contacts, answer.user, answer.now)
        if answer.request.origin.shows_pages and transaction.refusal:
            due = demands.password_due(transaction.refusal)
        elif frozen is not None and answer.request.origin.shows_pages and self._lifts(frozen, answer, transaction, proved):
            due = lift_due()
        if due.must is not None and due.must.action == CONFIRM_CONTACT and answer.request.origin.shows_pages:
            confirming = replace(transaction, proved=proved, steps=(*transaction.steps, _MESSAGES), step=len(transaction.steps))
            if any(BY_KIND[kind].channel is not None for kind in proved if kind in BY_KIND):
                due = await self._confirmed(answer, transaction)
            elif transaction.sequence < MAX_ROUNDS and self._asker.alternatives(confirming, answer.holder):
                return await self.rounds.next_step(answer, verdict, confirming)
        stepping = self._stepping_up(answer, transaction, proved, due)
        if stepping is not None:
            return await self.rounds.next_step(answer, verdict, stepping)
        if due.must is not None and answer.request.origin.shows_pages and transaction.sequence < MAX_ROUNDS:
            return await self._require(answer, transaction, proved, verdict, due)
        if password_ends.is_near(self._parts.configuration().notices.password_days, answer.user, answer.now):
            about = (due, whom_of(transaction), answer.holder, answer.user, answer.now)
            due = await password_ends.with_ending(self._parts, *about, answer.request.origin.shows_pages)
        released = release_after(proved, answer.holder)
        note = answer.note
        if RECOVERY_CODE in proved:
            note = (*note, *await recovery_code_used(self._parts, whom_of(transaction), answer.holder, not verdict.claim))
        clean = brakes.cleanness(answer.seen, answer.keys, answer.now_ms)
        grant = Grant(answer.keys, clean, answer.spent_key, code, verdict.claim, released, note, proved, due)
        if frozen is None and self._trusts(answer, transaction, proved) and due.text is None:
            request = answer.request
            value, prior = await trust_at_grant(self._parts, transaction, request.trusts, request.origin.client, answer.now_ms)
            grant = replace(grant, prior=prior, device=value)
        elif transaction.terms.hand_over_s or transaction.device:
            grant = await self._with_prior(grant, transaction, answer.holder, answer.request.origin.client, answer.now_ms)
            if TRUSTED_DEVICE in proved and not grant.prior:
                return await self.rounds.gone(answer)
        if transaction.goal is Goal.ACTIVATE:
            welcomed = await welcome(self._parts, transaction, answer.holder, answer.trail)
            if welcomed is None:
                return await self.rounds.gone(answer)
            grant = replace(grant, prior=(*grant.prior, *welcomed))
            if not (answer.holder.phone and answer.holder.mail):
                # What is added now is the first, and needs no hold.
                due = replace(due, texts=(*due.texts, Text("activate.contacts")))
        outcome = proved_outcome(transaction, answer.user, proved, answer.application, due, grant.device)
        state = State.GRANTED if isinstance(outcome, Granted) else State.DENIED
        step = end(self._parts.ring(), self.rounds.use(answer, outcome), transaction, state)
        commit = await commit_proved(self._parts, transaction, grant, outcome, answer.trail, step, answer.now_ms)
        if not isinstance(commit, Refused):
            return outcome
        return await self.rounds.lost(answer, verdict, commit.position, len(step), len(grant.prior) + len(due.operations))

    @staticmethod
    def _stepping_up(answer: Answer, transaction: Transaction, proved: tuple[str, ...], due: Due) -> Transaction | None:
        """One step more, where something has to be enrolled: it opens the account from then on, so that no less is asked for it
        than what protects the account now. Not once it was begun: what is enrolled within is asked for the next time.
        """
        if not answer.request.origin.shows_pages or not transaction.factor or transaction.sequence >= MAX_ROUNDS:
            return None
        enrols = due.must is not None and bool(due.must.factors)
        # A password that has to be changed comes first, and nothing else is known to be due before it was.
        if not enrols and not (transaction.refusal and any(each.factors for each in transaction.terms.demands)):
            return None
        wanted = strong_kinds(answer.holder, answer.request.origin.site is not None)
        if may_add(wanted, proved):
            return None
        return replace(transaction, proved=proved, steps=(*transaction.steps, wanted), step=len(transaction.steps))

    def _lifts(self, frozen: Freeze, answer: Answer, transaction: Transaction, proved: Sequence[str]) -> bool:
        directory = directory_of(self._parts.configuration(), transaction.directory)
        return may_lift(frozen, transaction, proved, answer.holder, answer.user, directory)

    async def liftable(self, answer: Answer) -> Freeze | None:
        """The freeze that this login lifts with a new password; None where there is none, or it may not."""
        frozen = await self._freezes.of(answer.holder.subject_id)
        transaction = answer.transaction
        return frozen if frozen is not None and self._lifts(frozen, answer, transaction, transaction.proved) else None

    async def _confirmed(self, answer: Answer, transaction: Transaction) -> Due:
        """What else is due of somebody who has just shown that our messages reach him."""
        left = tuple(each for each in transaction.terms.demands if each.action != CONFIRM_CONTACT)
        without = replace(transaction, terms=replace(transaction.terms, demands=left))
        due = await self.due(without, answer.holder, answer.contacts, answer.user, answer.now)
        return replace(due, operations=(*due.operations, demands.confirmed(answer.holder.subject_id, answer.now_ms)))

    @staticmethod
    def _trusts(answer: Answer, transaction: Transaction, proved: Sequence[str]) -> bool:
        """Whether the browser is trusted from this grant on: with a factor that was proved beside the password, now."""
        wished = bool(answer.request.trusts and transaction.terms.trusted_s) and not transaction.refusal
        return wished and len(proved) > 1 and TRUSTED_DEVICE not in proved

    async def _with_prior(self, grant: Grant, transaction: Transaction, holder: Holder, client: str | None, now_ms: int) -> Grant:
        """The grant with the next value of the trusted device that it began with, and the address that it may be handed over to."""
        if not transaction.device:
            return replace(grant, client=client)
        value, prior = await use_at_grant(self._parts, transaction.device, holder.subject_id, grant.proved, now_ms)
        return replace(grant, client=client, prior=prior, device=value)

    async def due(
        self, transaction: Transaction, holder: Holder, contacts: Sequence[Row], user: DirectoryUser, now: datetime
    ) -> Due:
        """What policy demands of who has proved everything. One whose password has to be changed is asked for nothing else."""
        demanded = transaction.terms.demands
        if not demanded or transaction.refusal:
            return NOTHING_DUE
        if not self._freezes.knows_none(holder.subject_id) and await self._freezes.of(holder.subject_id) is not None:
            # While nothing may be added, nobody is kept out for not having it.
            demanded = tuple(each for each in demanded if not each.factors)
        person = demands.standing(holder, contacts, user, is_strong=not _STRONG.isdisjoint(transaction.proved))
        language, reference = transaction.language, transaction.reference
        return await demands.due(self._storage, demanded, holder.subject_id, person, now, language, reference)

    async def _require(
        self, answer: Answer, transaction: Transaction, proved: tuple[str, ...], verdict: Right, due: Due
    ) -> Step | None:
        """Keep the login open until what is due is done; the codes are spent by now."""
        after, outcome, insert_handle = self._awaiting(transaction.moved(), proved, due, answer.request.origin)
        step = go_on(self._parts.ring(), self.rounds.use(answer, outcome), answer.transaction, after)
        commit = await self._record_required([*step, *verdict.claim, insert_handle], after, outcome, due, answer.trail)
        return outcome if not isinstance(commit, Refused) else await self.rounds.lost(answer, verdict, commit.position, len(step))

    async def require(
        self, transaction: Transaction, grant: Grant, origin: Origin, trail: Trail, settle: Sequence[Operation]
    ) -> ActionRequired | None:
        """The same for a login whose first request proved all. None: what it claims or counts on was taken meanwhile."""
        after, outcome, insert_handle = self._awaiting(transaction, grant.proved, grant.due, origin)
        # What was handed over is used up by now; a device shows its value until the grant.
        used = grant.prior if HAND_OVER in grant.proved else ()
        unit = [*settle, *grant.claim, *used, insert(after), insert_handle]
        commit = await self._record_required(unit, after, outcome, grant.due, trail)
        return None if isinstance(commit, Refused) else outcome

    def _awaiting(
        self, transaction: Transaction, proved: tuple[str, ...], due: Due, origin: Origin
    ) -> tuple[Transaction, ActionRequired, Operation]:
        """The login beyond its last step. No other login is joined to one that asks for nothing."""
        until = transaction.created_at + transaction.terms.longest_ms
        steps = len(transaction.steps)
        after = replace(transaction, proved=proved, step=steps, factor="", fold_key=None, expires_at=until)
        value, insert_handle = new_handle(self._parts.ring(), after, origin.binding)
        action, text = due.must.action if due.must else "", due.text or Text("flow.unknown", {"ref": after.reference})
        return after, ActionRequired(value, action, text, after.language, after.reference), insert_handle

    async def _record_required(
        self, unit: Sequence[Operation], transaction: Transaction, outcome: ActionRequired, due: Due, trail: Trail
    ) -> Commit:
        trail.note("policy demands something first", action=outcome.action)
        details = {"rule": transaction.rule, "factors": list(transaction.proved), "demands": list(due.told)}
        recording = recording_of(self._parts, trail, transaction)
        return await recording.commit(unit, Kind.LOGIN_ACTION_REQUIRED, outcome, transaction.user_name, **details)


def whom_of(transaction: Transaction) -> Whom:
    """Whom notices about a login are for."""
    named = (transaction.user_name, transaction.application, transaction.id, transaction.reference, transaction.language)
    return Whom(transaction.subject_id, *named, transaction.realm)


def _names_questions(transaction: Transaction) -> bool:
    """Whether what somebody has answered decides anything in this login."""
    steps = any(kind in QUESTIONING for step in transaction.steps for kind in step)
    return steps or any(kind in QUESTIONING for demand in transaction.terms.demands for kind in demand.factors)


def _typed(name: str) -> str:
    return canonical_name(name) or ""
