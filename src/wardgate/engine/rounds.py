"""One round of a login after the other: a further question, another code, or its end by a refusal.

Each takes effect by one commit that raises the transaction's sequence and uses the handle up. Losing that race means that another
packet took the step: then this one is worth nothing, right or wrong.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from wardgate.audit.events import Kind
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import same
from wardgate.directory.port import DirectoryUser
from wardgate.engine import brakes
from wardgate.engine.asking import Asked, Asker
from wardgate.engine.outcome import ActionRequired, Challenge, Denied, Granted, dump_outcome, load_outcome
from wardgate.engine.proved import recording_of
from wardgate.engine.request import AnswerRequest
from wardgate.engine.runtime import Application, EngineParts
from wardgate.engine.transaction import (
    MAX_ROUNDS,
    OUTCOME_KEPT_MS,
    Handle,
    State,
    Transaction,
    Use,
    end,
    go_on,
    handle_from_row,
    new_handle,
    outcome_bound_to,
)
from wardgate.factors import ON_PAGES, QUESTIONING
from wardgate.factors.port import Factor, Holder, Right, Wrong
from wardgate.factors.sent_code import CODE_EXPIRED
from wardgate.storage.port import Operation, Refused, Row
from wardgate.texts import Text
from wardgate.values import quick_value

Step = Challenge | Granted | Denied | ActionRequired

PASSKEY = "passkey"


@quick_value
class Answer:
    """Everything about one answer while it is judged."""

    request: AnswerRequest
    handle: Handle
    transaction: Transaction
    application: Application
    user: DirectoryUser
    holder: Holder
    keys: brakes.BrakeKeys
    seen: brakes.Seen
    spent_key: bytes
    now: datetime
    now_ms: int
    note: tuple[Operation, ...] = ()
    contacts: Sequence[Row] = ()

    @property
    def trail(self) -> Trail:
        """The request's timeline."""
        return self.request.trail


class Rounds:
    """Writes them. One per engine."""

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
        if handle.consumed_at is None or handle.consumed_at + OUTCOME_KEPT_MS <= to_ms(self._parts.clock.now()):
            return None
        outcome = load_outcome(self._parts.ring().open(handle.outcome, outcome_bound_to(handle.mac)))
        request.trail.reference = outcome.reference
        request.trail.transaction_id = handle.transaction_id
        request.trail.result, request.trail.reason = "repeated", "duplicate"
        return outcome

    async def wrong(self, answer: Answer, verdict: Wrong) -> Step | None:
        """A try less; the challenge is put again, or the login is closed when none is left."""
        transaction = answer.transaction
        if verdict.memory is not None:
            transaction = replace(transaction, memory={**transaction.memory, transaction.factor: verdict.memory})
        answer.trail.note("code checked", verdict=verdict.reason, factor=transaction.factor)
        if verdict.told is not None:
            return await self.ask_again(answer, verdict.reason, verdict.told)
        if verdict.reason == CODE_EXPIRED:
            return await self._late(answer)
        settle = (
            brakes.settle_wrong(answer.keys, self._parts.configuration().brakes, answer.now_ms, reserved=False)
            if verdict.counted
            else []
        )
        tries_left = transaction.tries_left - 1
        if tries_left <= 0 or transaction.sequence >= MAX_ROUNDS:
            text = Text("code.closed", {"ref": transaction.reference})
            return await self.close(answer.handle, answer.request, transaction, "code_closed", text, settle)
        typed = "" if transaction.terms.links and transaction.factor in ON_PAGES else transaction.factor
        status = Text("code.reused") if verdict.reason == "code_replayed" else _wrong(tries_left, typed)
        again = self._again(answer, replace(transaction, tries_left=tries_left), status)
        return await self.put(answer, again, settle, verdict.reason, Kind.LOGIN_ANSWER_WRONG)

    async def _late(self, answer: Answer) -> Step | None:
        """The code was right and came too late: another one goes out, where one may and none is on its way already."""
        transaction, told = answer.transaction, Text("code.expired")
        wait_s = self._asker.resend_wait_s(transaction, answer.now_ms)
        if wait_s is None or transaction.sequence >= MAX_ROUNDS:
            return await self.ask_again(answer, CODE_EXPIRED, Text("code.no_more"))
        if wait_s > 0:
            return await self.ask_again(answer, CODE_EXPIRED, told)
        asked = await self._asker.resend(transaction, answer.holder, answer.application, answer.trail, told)
        if isinstance(asked, Text):
            return await self.ask_again(answer, CODE_EXPIRED, asked)
        return await self.put(answer, asked, (), CODE_EXPIRED, Kind.LOGIN_CHALLENGED)

    async def ask_again(self, answer: Answer, reason: str, *status: Text) -> Step | None:
        """The open question once more, as often as a login has rounds."""
        if answer.transaction.sequence >= MAX_ROUNDS:
            text = Text("code.closed", {"ref": answer.transaction.reference})
            return await self.close(answer.handle, answer.request, answer.transaction, "code_closed", text)
        return await self.put(answer, self._again(answer, answer.transaction, *status), (), reason, Kind.LOGIN_CHALLENGED)

    def _again(self, answer: Answer, transaction: Transaction, *status: Text) -> Asked:
        return self._asker.put_again(transaction.moved(), answer.holder, *status)

    async def change_factor(self, answer: Answer, chosen: Factor) -> Step | None:
        """The person typed a factor's word: ask by it; the word of the open factor asks for another code."""
        transaction = answer.transaction
        if transaction.sequence >= MAX_ROUNDS:
            return await self.ask_again(answer, "code_closed")
        if chosen.kind == transaction.factor or transaction.recall(chosen.kind):
            # Going back to a factor whose code was sent asks for another one, under the rules for resends.
            return await self.send_again(replace(answer, transaction=replace(transaction, factor=chosen.kind)))
        asked = await self._asker.ask_by(chosen, transaction.moved(), answer.holder, answer.application, answer.trail)
        if isinstance(asked, Text):
            return await self.ask_again(answer, "answer_repeated", asked)
        return await self.put(answer, asked, (), "switched", Kind.LOGIN_CHALLENGED)

    async def send_again(self, answer: Answer) -> Step | None:
        """Another code for the open factor, or its link once more, if it is time."""
        transaction = answer.transaction
        if not self._asker.can_be_resent(transaction) or transaction.sequence >= MAX_ROUNDS:
            return await self.ask_again(answer, "answer_repeated")
        room = "approve" if self._asker.by_link.is_sent(transaction) else "code"
        wait_s = self._asker.resend_wait_s(transaction, answer.now_ms)
        if wait_s is None:
            return await self.ask_again(answer, "answer_repeated", Text(f"{room}.no_more"))
        if wait_s > 0:
            wait = "code.wait" if room == "code" else "approve.wait_again"
            return await self.ask_again(answer, "answer_repeated", Text(wait, {"s": wait_s}))
        asked = await self._asker.resend(transaction, answer.holder, answer.application, answer.trail)
        if isinstance(asked, Text):
            return await self.ask_again(answer, "answer_repeated", asked)
        return await self.put(answer, asked, (), "resent", Kind.LOGIN_CHALLENGED)

    async def next_step(self, answer: Answer, verdict: Right, transaction: Transaction) -> Step | None:
        """One more factor to prove: the same login goes on, with its tries."""
        asked = await self._asker.ask_step(transaction.moved(), answer.holder, answer.application, answer.trail)
        if isinstance(asked, Text):
            return await self.close(answer.handle, answer.request, answer.transaction, "no_factor", asked, verdict.claim)
        return await self.put(answer, asked, (), "challenged", Kind.LOGIN_CHALLENGED, verdict)

    async def put(
        self, answer: Answer, asked: Asked, settle: Sequence[Operation], reason: str, kind: Kind, verdict: Right | None = None
    ) -> Step | None:
        """Commit a further challenge under a new handle."""
        value, insert_handle = new_handle(self._parts.ring(), asked.transaction, answer.request.origin.binding)
        challenge = self._asker.challenge(asked, value)
        answer.trail.reason = reason
        step = go_on(self._parts.ring(), self.use(answer, challenge), answer.transaction, asked.transaction)
        claim = verdict.claim if verdict else ()
        recording = recording_of(self._parts, answer.trail, answer.transaction)
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
        return await self.lost(answer, verdict or Right(), commit.position, len(step))

    async def close(
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
        use = Use(handle, request.fingerprint, dump_outcome(refusal), to_ms(self._parts.clock.now()))
        step = end(self._parts.ring(), use, transaction, State.DENIED)
        commit = await recording_of(self._parts, request.trail, transaction).commit_denied(
            [*step, *settle], refusal, transaction.user_name
        )
        return await self.taken(handle, request) if isinstance(commit, Refused) else refusal

    async def lost(self, answer: Answer, verdict: Right, position: int, steps_before_claim: int, prior: int = 0) -> Step | None:
        """A condition did not hold: the step was taken, the code or a prior proof was used elsewhere, or a brake began to hold."""
        if position < steps_before_claim:
            return await self.taken(answer.handle, answer.request)
        if position < steps_before_claim + len(verdict.claim):
            return await self.wrong(answer, verdict.refused)
        if position < steps_before_claim + len(verdict.claim) + prior:
            return await self.gone(answer)
        text = Text(
            "wait.person", {"min": self._parts.configuration().brakes.user_source_wait_s // 60, "ref": answer.transaction.reference}
        )
        return await self.close(answer.handle, answer.request, answer.transaction, "brake_user_source", text)

    async def gone(self, answer: Answer) -> Step | None:
        """What the login counted on was used by another one."""
        text = Text("flow.unknown", {"ref": answer.transaction.reference})
        return await self.close(answer.handle, answer.request, answer.transaction, "proof_gone", text)

    async def taken(self, handle: Handle, request: AnswerRequest) -> Step | None:
        """Another request used this handle while we judged: the same packet again gets its outcome, any other nothing."""
        row = await self._storage.get("handle", {"handle_mac": handle.mac})
        return self.repeat(handle_from_row(row), request) if row is not None else None

    def use(self, answer: Answer, outcome: Step) -> Use:
        """What uses the handle of this answer up, with its outcome."""
        return Use(answer.handle, answer.request.fingerprint, dump_outcome(outcome), answer.now_ms)

    def refuse(self, request: AnswerRequest, transaction: Transaction, reason: str, text_id: str) -> Denied:
        """A refusal that uses nothing up: the right person may still answer."""
        request.trail.result, request.trail.reason = "denied", reason
        return Denied(reason, Text(text_id, {"ref": transaction.reference}), transaction.language, transaction.reference)


def _wrong(tries_left: int, factor: str) -> Text:
    room = factor if factor in (PASSKEY, *QUESTIONING) else "code"
    return Text(f"{room}.wrong", {"left": tries_left}) if tries_left > 1 else Text(f"{room}.wrong_last")
