"""Judges answers to challenges: right, wrong, a word that chooses another factor, or nothing at all.

Whatever the judgement, it takes effect by one commit that raises the transaction's sequence and uses the handle up. Losing that
race means that another packet took the step: then this one is worth nothing, right or wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wardgate.account.authenticator import active_authenticators
from wardgate.account.subject import SubjectId, linked_subject
from wardgate.audit.events import Kind
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret, same
from wardgate.directory.names import canonical_name
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.directory.realm import parse_login_name
from wardgate.engine import brakes
from wardgate.engine.asking import Asked, Asker
from wardgate.engine.outcome import Challenge, Denied, Granted, dump_outcome, load_outcome
from wardgate.engine.recording import Recording
from wardgate.engine.request import AnswerRequest
from wardgate.engine.runtime import Application, EngineParts
from wardgate.engine.spent_code import remember_spent_code, user_key
from wardgate.engine.transaction import (
    MAX_ROUNDS,
    Handle,
    State,
    Transaction,
    advance,
    consume,
    from_row,
    handle_from_row,
    new_handle,
    outcome_bound_to,
)
from wardgate.errors import DirectoryUnavailable
from wardgate.factors import BY_KIND
from wardgate.factors.port import MAX_ANSWER_BYTES, Factor, Holder, Right, Task, Wrong
from wardgate.storage.port import Commit, Operation, Refused
from wardgate.texts import Text

Step = Challenge | Granted | Denied

# Authentication assurance levels, NIST SP 800-63B section 2.
AAL1, AAL2 = 1, 2


@dataclass(frozen=True, slots=True)
class _Answer:
    """Everything about one answer while it is judged."""

    request: AnswerRequest
    handle: Handle
    transaction: Transaction
    application: Application
    user: DirectoryUser
    holder: Holder
    keys: brakes.BrakeKeys
    now_ms: int

    @property
    def trail(self) -> Trail:
        """The request's timeline."""
        return self.request.trail


@dataclass(frozen=True, slots=True)
class Grant:
    """What letting somebody in needs besides the transaction."""

    user: DirectoryUser
    keys: brakes.BrakeKeys
    spent_key: bytes
    code: Secret | None
    claim: tuple[Operation, ...] = ()


class Answering:
    """The second half of the engine."""

    def __init__(self, parts: EngineParts, asker: Asker) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._asker = asker

    def repeat(self, handle: Handle, request: AnswerRequest) -> Step | None:
        """The outcome that an identical request got before; None when this one differs or nothing is kept any more.

        The time decides, not the janitor: a recorded packet must not be answered for as long as its row happens to be there.
        """
        if handle.fingerprint is None or handle.outcome is None or not same(handle.fingerprint, request.fingerprint):
            return None
        if handle.expires_at <= to_ms(self._parts.clock.now()):
            return None
        outcome = load_outcome(self._parts.ring().open(handle.outcome, outcome_bound_to(handle.mac)))
        request.trail.reference = outcome.reference
        request.trail.transaction_id = handle.transaction_id
        request.trail.result, request.trail.reason = "repeated", "duplicate"
        return outcome

    async def answer(self, handle: Handle, request: AnswerRequest) -> Step | None:
        """Judge the answer. None: the step was taken by another request."""
        row = await self._storage.get("login_transaction", {"id": handle.transaction_id})
        if row is None:
            return None
        transaction = from_row(row)
        trail = request.trail
        trail.transaction_id, trail.reference, trail.application = transaction.id, transaction.reference, transaction.application
        if transaction.state is not State.CHALLENGED or transaction.sequence != handle.sequence:
            return None
        if _typed(request.user_name) != transaction.name_key:
            return self._refuse(request, transaction, "state_other_user", "flow.unknown")
        now_ms = to_ms(self._parts.clock.now())
        application = self._parts.configuration().applications.get(transaction.application)
        if application is None or transaction.is_over(now_ms):
            reason = "transaction_expired" if application else "no_rule"
            return await self._close(handle, request, transaction, reason, Text("flow.expired", {"ref": transaction.reference}))
        try:
            user = await self._account(transaction)
        except DirectoryUnavailable as error:
            trail.note("directory did not answer", error=error.message)
            return self._refuse(request, transaction, "directory_down", "down.directory")
        if user is None:
            return await self._close(
                handle, request, transaction, "user_changed", Text("flow.unknown", {"ref": transaction.reference})
            )
        subject_id = SubjectId(transaction.subject_id)
        holder = Holder(subject_id, await active_authenticators(self._storage, subject_id), user.phone, user.mail)
        realm, typed = parse_login_name(request.user_name, self._parts.configuration().realms)
        name = f"{realm.name}:{_typed(typed)}"
        keys = brakes.brake_keys(self._parts.ring(), subject_id, request.origin.client, request.origin.binding, typed=name)
        return await self._judge(_Answer(request, handle, transaction, application, user, holder, keys, now_ms))

    async def cancel(self, handle: Handle, trail: Trail) -> Denied | None:
        """End the login that this handle belongs to. None: it is over already."""
        row = await self._storage.get("login_transaction", {"id": handle.transaction_id})
        if row is None:
            return None
        transaction = from_row(row)
        if transaction.state is not State.CHALLENGED or transaction.sequence != handle.sequence:
            return None
        trail.transaction_id, trail.reference, trail.application = transaction.id, transaction.reference, transaction.application
        refusal = Denied(
            "cancelled", Text("flow.unknown", {"ref": transaction.reference}), transaction.language, transaction.reference
        )
        recording = Recording(self._parts, trail, transaction.application, transaction.subject_id)
        commit = await recording.commit_denied(
            [advance(transaction, transaction.moved(state=State.DENIED))], refusal, transaction.user_name
        )
        return None if isinstance(commit, Refused) else refusal

    # --- judging -------------------------------------------------------------------------------------------------

    async def _judge(self, answer: _Answer) -> Step | None:
        hold = await brakes.holding(self._storage, answer.keys, self._parts.configuration().brakes, answer.now_ms)
        if hold is not None:
            answer.trail.note("a brake holds", wait_s=hold.wait_s)
            text = Text("wait.person", {"min": -(-hold.wait_s // 60), "ref": answer.transaction.reference})
            return await self._close(answer.handle, answer.request, answer.transaction, hold.reason, text)
        given = answer.request.answer.reveal()
        if not given.strip():
            return await self._ask_again(answer, "answer_repeated")
        chosen = self._asker.chosen(given, answer.transaction, answer.holder)
        if chosen is not None:
            return await self._change_factor(answer, chosen)
        task = Task(answer.transaction.id, self._parts.clock.now(), self._parts.configuration().codes, self._parts.ring())
        factor = BY_KIND[answer.transaction.factor]
        if not factor.enrolled(answer.holder) or len(given) > MAX_ANSWER_BYTES:
            return await self._wrong(answer, Wrong("code_wrong"))
        verdict = factor.verify(answer.holder, task, answer.transaction.recall(factor.kind), given)
        if isinstance(verdict, Wrong):
            return await self._wrong(answer, verdict)
        return await self._right(answer, factor, verdict)

    async def _right(self, answer: _Answer, factor: Factor, verdict: Right) -> Step | None:
        transaction = answer.transaction
        answer.trail.note("code checked", verdict="right", factor=factor.kind)
        proved = (*transaction.proved, factor.kind)
        if transaction.step + 1 < len(transaction.steps):
            return await self._next_step(answer, verdict, replace(transaction, proved=proved, step=transaction.step + 1))
        new = transaction.moved(state=State.GRANTED, proved=proved)
        grant = Grant(answer.user, answer.keys, self._spent_key(answer), answer.request.answer, verdict.claim)
        granted = granted_for(new, answer.user)
        step = [advance(transaction, new), self._consume(answer, granted)]
        commit = await self.commit_grant(new, grant, granted, answer.trail, step)
        if not isinstance(commit, Refused):
            return granted
        return await self._lost(answer, verdict, commit.position, len(step))

    async def _lost(self, answer: _Answer, verdict: Right, position: int, steps_before_claim: int) -> Step | None:
        """A condition did not hold: the step was taken, the code was used elsewhere meanwhile, or a brake began to hold."""
        if position < steps_before_claim:
            return await self._taken(answer.handle, answer.request)
        if position < steps_before_claim + len(verdict.claim):
            return await self._wrong(answer, verdict.refused)
        text = Text(
            "wait.person", {"min": self._parts.configuration().brakes.user_source_wait_s // 60, "ref": answer.transaction.reference}
        )
        return await self._close(answer.handle, answer.request, answer.transaction, "brake_user_source", text)

    async def _taken(self, handle: Handle, request: AnswerRequest) -> Step | None:
        """Another request used this handle while we judged: the same packet again gets its outcome, any other nothing."""
        row = await self._storage.get("handle", {"handle_mac": handle.mac})
        return self.repeat(handle_from_row(row), request) if row is not None else None

    async def _wrong(self, answer: _Answer, verdict: Wrong) -> Step | None:
        """A try less; the challenge is put again, or the login is closed when none is left."""
        transaction = answer.transaction
        answer.trail.note("code checked", verdict=verdict.reason, factor=transaction.factor)
        settle = (
            brakes.settle_wrong(answer.keys, self._parts.configuration().brakes, answer.now_ms, reserved=False)
            if verdict.counted
            else []
        )
        tries_left = transaction.tries_left - 1
        if tries_left <= 0 or transaction.sequence >= MAX_ROUNDS:
            text = Text("code.closed", {"ref": transaction.reference})
            return await self._close(answer.handle, answer.request, transaction, "code_closed", text, settle)
        status = Text("code.reused") if verdict.reason == "code_replayed" else Text("code.wrong", {"left": tries_left})
        again = self._again(answer, replace(transaction, tries_left=tries_left), status)
        return await self._put(answer, again, settle, verdict.reason, Kind.LOGIN_ANSWER_WRONG)

    async def _ask_again(self, answer: _Answer, reason: str, *status: Text) -> Step | None:
        if answer.transaction.sequence >= MAX_ROUNDS:
            text = Text("code.closed", {"ref": answer.transaction.reference})
            return await self._close(answer.handle, answer.request, answer.transaction, "code_closed", text)
        return await self._put(answer, self._again(answer, answer.transaction, *status), (), reason, Kind.LOGIN_CHALLENGED)

    def _again(self, answer: _Answer, transaction: Transaction, *status: Text) -> Asked:
        prompt = BY_KIND[transaction.factor].repeat(answer.holder, transaction.recall(transaction.factor))
        return Asked(transaction.moved(), (*status, prompt, *self._asker.other_ways(transaction, answer.holder)))

    async def _change_factor(self, answer: _Answer, chosen: Factor) -> Step | None:
        """The person typed a factor's word: ask by it; the word of the open factor asks for another code."""
        transaction = answer.transaction
        if transaction.sequence >= MAX_ROUNDS:
            return await self._ask_again(answer, "code_closed")
        if chosen.kind == transaction.factor or transaction.recall(chosen.kind):
            # Going back to a factor whose code was sent asks for another one, under the rules for resends.
            return await self._another_code(replace(answer, transaction=replace(transaction, factor=chosen.kind)), chosen)
        asked = await self._asker.ask_by(chosen, transaction.moved(), answer.holder, answer.application, answer.trail)
        if isinstance(asked, Text):
            return await self._ask_again(answer, "answer_repeated", asked)
        return await self._put(answer, asked, (), "switched", Kind.LOGIN_CHALLENGED)

    async def _another_code(self, answer: _Answer, factor: Factor) -> Step | None:
        if factor.channel is None:
            return await self._ask_again(answer, "answer_repeated")
        wait_s = self._asker.resend_wait_s(answer.transaction, answer.now_ms)
        if wait_s is None:
            return await self._ask_again(answer, "answer_repeated", Text("code.no_more"))
        if wait_s > 0:
            return await self._ask_again(answer, "answer_repeated", Text("code.wait", {"s": wait_s}))
        asked = await self._asker.resend(answer.transaction, answer.holder, answer.application, answer.trail)
        if isinstance(asked, Text):
            return await self._ask_again(answer, "answer_repeated", asked)
        return await self._put(answer, asked, (), "resent", Kind.LOGIN_CHALLENGED)

    async def _next_step(self, answer: _Answer, verdict: Right, transaction: Transaction) -> Step | None:
        """One more factor to prove: the same login goes on, with its tries."""
        asked = await self._asker.ask_step(transaction.moved(), answer.holder, answer.application, answer.trail)
        if isinstance(asked, Text):
            return await self._close(answer.handle, answer.request, answer.transaction, "no_factor", asked, verdict.claim)
        return await self._put(answer, asked, (), "challenged", Kind.LOGIN_CHALLENGED, verdict)

    # --- writing -------------------------------------------------------------------------------------------------

    async def _put(
        self, answer: _Answer, asked: Asked, settle: Sequence[Operation], reason: str, kind: Kind, verdict: Right | None = None
    ) -> Step | None:
        """Commit a further challenge under a new handle."""
        value, insert_handle = new_handle(self._parts.ring(), asked.transaction, answer.request.origin.binding)
        challenge = self._asker.challenge(asked, value)
        answer.trail.reason = reason
        step = [advance(answer.transaction, asked.transaction), self._consume(answer, challenge)]
        claim = verdict.claim if verdict else ()
        recording = self._recording(answer.trail, answer.transaction)
        commit = await recording.commit(
            [*step, *claim, insert_handle, *asked.operations, *settle],
            kind,
            challenge,
            answer.transaction.user_name,
            factor=asked.transaction.factor,
            reason=reason,
        )
        if not isinstance(commit, Refused):
            return challenge
        return await self._lost(answer, verdict or Right(), commit.position, len(step))

    async def _close(
        self,
        handle: Handle,
        request: AnswerRequest,
        transaction: Transaction,
        reason: str,
        text: Text,
        settle: Sequence[Operation] = (),
    ) -> Step | None:
        """End the login with a refusal."""
        refusal = Denied(reason, text, transaction.language, transaction.reference)
        now_ms = to_ms(self._parts.clock.now())
        step = [
            advance(transaction, transaction.moved(state=State.DENIED)),
            consume(self._parts.ring(), handle, request.fingerprint, dump_outcome(refusal), now_ms),
        ]
        commit = await self._recording(request.trail, transaction).commit_denied([*step, *settle], refusal, transaction.user_name)
        return await self._taken(handle, request) if isinstance(commit, Refused) else refusal

    async def commit_grant(
        self, transaction: Transaction, grant: Grant, granted: Granted, trail: Trail, step: Sequence[Operation]
    ) -> Commit:
        """Let in: the step, what the code claims, the brakes and the spent code in one commit with the audit event."""
        now_ms = to_ms(self._parts.clock.now())
        ring = self._parts.ring()
        spent = [remember_spent_code(ring, transaction.application, grant.spent_key, grant.code, now_ms)] if grant.code else []
        return await self._recording(trail, transaction).commit(
            [*step, *grant.claim, *brakes.success(grant.keys, now_ms), *spent],
            Kind.LOGIN_GRANTED,
            granted,
            transaction.user_name,
            factors=list(granted.factors),
            rule=transaction.rule,
            assurance=granted.assurance,
        )

    def _consume(self, answer: _Answer, outcome: Step) -> Operation:
        return consume(self._parts.ring(), answer.handle, answer.request.fingerprint, dump_outcome(outcome), answer.now_ms)

    def _recording(self, trail: Trail, transaction: Transaction) -> Recording:
        return Recording(self._parts, trail, transaction.application, transaction.subject_id)

    def _refuse(self, request: AnswerRequest, transaction: Transaction, reason: str, text_id: str) -> Denied:
        """A refusal that uses nothing up: the right person may still answer."""
        request.trail.result, request.trail.reason = "denied", reason
        return Denied(reason, Text(text_id, {"ref": transaction.reference}), transaction.language, transaction.reference)

    async def _account(self, transaction: Transaction) -> DirectoryUser | None:
        """The account as it is now; None when it may not be let in any more."""
        for realm in self._parts.configuration().realms:
            for directory in realm.directories:
                if directory.name != transaction.directory:
                    continue
                user = await directory.get(transaction.immutable_id, self._parts.directory_timeout_s)
                subject = await linked_subject(self._storage, transaction.directory, transaction.immutable_id)
                usable = user is not None and user.state is AccountState.ACTIVE and subject == transaction.subject_id
                return user if usable else None
        return None

    def _spent_key(self, answer: _Answer) -> bytes:
        realm, typed = parse_login_name(answer.request.user_name, self._parts.configuration().realms)
        return user_key(self._parts.ring(), realm.name, canonical_name(typed) or "")


def granted_for(transaction: Transaction, user: DirectoryUser) -> Granted:
    """The outcome of a login that proved everything."""
    return Granted(
        subject_id=transaction.subject_id,
        user_name=user.name,
        directory=user.directory,
        realm=transaction.realm,
        display_name=user.display_name,
        mail=user.mail,
        groups=user.groups,
        attributes=user.attributes,
        factors=transaction.proved,
        assurance=AAL2 if len(transaction.proved) > 1 else AAL1,
        application=transaction.application,
        reference=transaction.reference,
    )


def _typed(name: str) -> str:
    return canonical_name(name) or ""
