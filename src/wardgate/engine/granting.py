"""Lets in who has proved all at once: by his password alone, or with a code beside it in one request."""

from dataclasses import replace

from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.crypto import Secret
from wardgate.engine import brakes, password_ends
from wardgate.engine.accounts import directory_of
from wardgate.engine.answering import Answering, whom_of
from wardgate.engine.attempt import Attempt, Person
from wardgate.engine.course import Course, Prior
from wardgate.engine.demands import Due
from wardgate.engine.freezing import Freezes, lift_due, may_lift
from wardgate.engine.notices import recovery_code_used
from wardgate.engine.opening import Opening
from wardgate.engine.outcome import ActionRequired, Denied, Granted, Outcome
from wardgate.engine.proved import Grant, commit_proved, proved_outcome, release_after
from wardgate.engine.refusing import Refusing
from wardgate.engine.runtime import EngineParts
from wardgate.engine.spent_code import user_key
from wardgate.engine.transaction import Transaction
from wardgate.engine.trusted import TRUSTED_DEVICE, is_password_alone
from wardgate.factors import BY_KIND, QUESTIONING
from wardgate.factors.port import Right, Task, Wrong
from wardgate.storage.port import Operation, Refused
from wardgate.texts import Text

# What a login comes to once everything is proved.
Let = Granted | Denied | ActionRequired


class Granting:
    """Lets people in. One per engine."""

    def __init__(self, parts: EngineParts, answering: Answering, refusing: Refusing, freezes: Freezes, opening: Opening) -> None:
        self._parts = parts
        self._answering = answering
        self._refusing = refusing
        self._freezes = freezes
        self._opening = opening

    async def judge_code_beside_password(self, attempt: Attempt, person: Person, course: Course, code: Secret) -> Outcome:
        """One request holds everything: the code is tried on what the person holds; nothing can be sent or asked."""
        trail = attempt.request.trail
        enrolled = [BY_KIND[kind] for kind in course.steps[0] if BY_KIND[kind].enrolled(person.holder)]
        usable = [factor for factor in enrolled if factor.channel is None and factor.kind not in QUESTIONING]
        if not usable or len(course.steps) > 1:
            reason, text_id = ("factor_not_here", "policy.not_here") if enrolled else ("no_factor", "policy.no_factor")
            return await self._refusing.deny_known(attempt, person, reason, Text(text_id, {"ref": trail.reference}))
        transaction = self._opening.transaction(attempt, person, course)
        if person.proved:
            return await self._after_code_first(attempt, person, transaction, code)
        task = Task(transaction.id, self._parts.clock.now(), attempt.configuration.codes, self._parts.ring())
        wrong = Wrong("code_wrong")
        for factor in usable:
            verdict = factor.verify(person.holder, task, {}, code.reveal())
            if isinstance(verdict, Right):
                proved = replace(transaction, proved=(*transaction.proved, factor.kind))
                granted = await self.grant(attempt, person, proved, verdict.claim, code)
                if granted is not None:
                    return granted
                verdict = verdict.refused
            if not verdict.counted:
                wrong = verdict
        trail.note("code checked", verdict=wrong.reason)
        # The same text and the same floor as a wrong password: a guesser must not learn which part of the field was wrong.
        return await self._refusing.deny_as_wrong(attempt, person, wrong.reason, counted=wrong.counted)

    async def _after_code_first(self, attempt: Attempt, person: Person, transaction: Transaction, code: Secret) -> Outcome:
        """The code was proved, and spent, before the password: what is left is whether policy takes that factor."""
        if person.proved not in transaction.steps[0]:
            return await self._refusing.deny_as_wrong(attempt, person, "factor_not_here")
        proved = replace(transaction, proved=(*transaction.proved, person.proved))
        granted = await self.grant(attempt, person, proved, (), code)
        return granted or await self._refusing.deny_as_wrong(attempt, person, "brake_user_source")

    async def at_once(self, attempt: Attempt, person: Person, course: Course, spent: Secret | None) -> Outcome:
        """Policy asks for nothing more than what is proved."""
        if person.refusal and spent is None:
            return await self._refusing.deny_as_wrong(attempt, person, person.refusal)
        granted = await self.grant(attempt, person, self._opening.transaction(attempt, person, course), (), spent)
        hold = brakes.Hold("brake_user_source", attempt.configuration.brakes.user_source_wait_s)
        return granted or self._refusing.hold(attempt, hold)

    async def grant(
        self,
        attempt: Attempt,
        person: Person,
        transaction: Transaction,
        claim: tuple[Operation, ...],
        code: Secret | None,
        prior: Prior | None = None,
    ) -> Let | None:
        """Let in, unless what the code claims was taken meanwhile; or say that the password has to be changed."""
        due = await self._answering.due(transaction, person.holder, person.contacts, person.user, attempt.now)
        if attempt.request.origin.shows_pages and not self._freezes.knows_none(person.holder.subject_id):
            due = await self._lift_due(attempt, person, transaction) or due
        if password_ends.is_near(attempt.configuration.notices.password_days, person.user, attempt.now):
            about = (due, whom_of(transaction), person.holder, person.user, attempt.now)
            due = await password_ends.with_ending(self._parts, *about, attempt.request.origin.shows_pages)
        device = prior.device if prior is not None else None
        outcome = proved_outcome(transaction, person.user, transaction.proved, attempt.application, due, device)
        if device is not None and person.device is not None and isinstance(outcome, Granted):
            outcome = replace(outcome, proved_at={TRUSTED_DEVICE: person.device.created_at})
        spent_key = user_key(self._parts.ring(), attempt.realm.name, attempt.name)
        released = release_after(transaction.proved, person.holder)
        note = person.note
        if RECOVERY_CODE in transaction.proved:
            note = (*note, *await recovery_code_used(self._parts, whom_of(transaction), person.holder, not claim))
        clean = brakes.cleanness(person.seen, person.keys, attempt.now_ms)
        grant = Grant(person.keys, clean, spent_key, code, claim, released, note, transaction.proved, due)
        if prior is not None:
            details = (("handed_over", prior.handed_over),) if prior.handed_over else ()
            grant = replace(grant, prior=prior.operations, device=device, details=details)
        elif transaction.terms.hand_over_s:
            grant = replace(grant, client=attempt.request.origin.client)
        origin, trail = attempt.request.origin, attempt.request.trail
        if due.must is not None and origin.shows_pages and not (due.must.factors and is_password_alone(transaction.proved)):
            return await self._answering.require(transaction, grant, origin, trail, person.settle)
        now_ms = self._parts.clock.now_ms()
        commit = await commit_proved(self._parts, transaction, grant, outcome, trail, person.settle, now_ms)
        return None if isinstance(commit, Refused) else outcome

    async def _lift_due(self, attempt: Attempt, person: Person, transaction: Transaction) -> Due | None:
        """What is to be done by somebody who has proved all at once, and may lift the freeze of his account."""
        frozen = await self._freezes.of(person.holder.subject_id)
        directory = directory_of(attempt.configuration, person.user.directory)
        if frozen is None or not may_lift(frozen, transaction, transaction.proved, person.holder, person.user, directory):
            return None
        return lift_due()
