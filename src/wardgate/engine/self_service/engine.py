"""Runs self-service flows: who it may be, one proof after the other, and at the end what was asked for.

A flow is a row from its first form on. Each step is one conditional write with its audit event and timeline. Before the first proof
nothing that is shown, sent or waited for depends on whether the name is somebody's.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from wardgate.account.activation import Occasion, count_wrong, of_subject, read_one, unchanged, use
from wardgate.account.freeze import asked, unfrozen
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId
from wardgate.audit.events import Kind
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import PasswordPolicyTelling
from wardgate.engine import brakes, lifting
from wardgate.engine.activated import tell_issuer
from wardgate.engine.asking import NOT_SENT
from wardgate.engine.finding import Finding
from wardgate.engine.notices import TOLD, notify, recovery_code_used, to_security
from wardgate.engine.outcome import Origin
from wardgate.engine.reconciling import found_out
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.acting import Acting, Refusal
from wardgate.engine.self_service.asking import ASKED, Asking
from wardgate.engine.self_service.braking import Braking, Way
from wardgate.engine.self_service.flow import (
    PASSWORDS,
    TRIES_OF_A_PROOF,
    Flow,
    Stage,
    from_row,
    insert,
)
from wardgate.engine.self_service.handing_over import hand_over
from wardgate.engine.self_service.outcome import ChoosePassword, Closed, Done, HandedOver, SelfServiceOutcome
from wardgate.engine.self_service.people import People, Person, may_take_part
from wardgate.engine.self_service.records import Records
from wardgate.engine.self_service.starting import Start, Starting
from wardgate.engine.self_service.weighing import Weighed, Weighing
from wardgate.engine.steps import Steps
from wardgate.engine.wording import Notice, Whom, way_named
from wardgate.errors import ClockWrong, DirectoryUnavailable
from wardgate.factors import BY_PAGE, QUESTIONING
from wardgate.factors.port import Factor, More, Right, Wrong
from wardgate.factors.sent_code import CODE_EXPIRED
from wardgate.storage.port import Operation
from wardgate.texts import Text

# The goal of a flow that an activation began.
ACTIVATE: Final = "activate"


class SelfService:
    """One per engine; all its state is in storage."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self.finding = Finding(parts, Steps(parts))
        self.weighing = Weighing(parts)
        self._acting = Acting(parts)
        self.starting = Starting(parts)
        self.people = People(parts)
        self.asking = Asking(parts, self.weighing)
        self.records = Records(parts)
        self.braking = Braking(parts)

    # --- begin -----------------------------------------------------------------------------------------------------

    async def begin(self, start: Start) -> tuple[str, SelfServiceOutcome]:
        """Begin a flow. Returns its id, empty when none was begun, and what to do first."""
        problem = self._parts.clock_problem()
        if problem is not None:
            raise ClockWrong(problem)
        attempt = self.starting.attempt(start)
        refused = await self.starting.may_not_start(attempt)
        if refused is not None:
            start.trail.result, start.trail.reason = "denied", refused.reason
            return "", refused
        found = await self.finding.find(attempt)
        if found.down is not None or not await self.starting.all_answer(attempt):
            return "", self.down(start.trail)
        flow = self.starting.new_flow(start, attempt)
        if found.user is not None and may_take_part(start.goal, found.user.state):
            subject_id = await self.starting.subject(found.user, attempt.now_ms)
            flow = replace(flow, subject_id=subject_id, directory=found.user.directory, immutable_id=found.user.immutable_id)
        elif found.user is not None:
            start.trail.note("the account may not be used", state=found.user.state.value)
        start.trail.result, start.trail.reason = "challenged", "started"
        event = self.records.event(Kind.SELF_SERVICE_BEGUN, flow, attempt.now_ms, start.trail)
        start.trail.stored = True
        ring = self._parts.ring()
        await self._storage.commit([insert(ring, flow), event, start.trail.entry(ring, attempt.now_ms)])
        return flow.id, self.asking.choice(flow, None)

    # --- where it stands -------------------------------------------------------------------------------------------

    async def show(self, flow_id: str, trail: Trail) -> SelfServiceOutcome:
        """What a flow waits for now. Changes nothing."""
        flow = await self._load(flow_id, trail)
        if isinstance(flow, Closed):
            return flow
        return await self._shown(flow, await self.people.known(flow))

    async def _shown(self, flow: Flow, person: Person | None, text: Text | None = None, wrong: bool = False) -> SelfServiceOutcome:
        match flow.stage:
            case Stage.CHOOSING:
                return self.asking.choice(flow, person, text)
            case Stage.ASKED:
                return self.asking.question(flow, person, text, wrong)
            case Stage.PASSWORD:
                return await self._choose_password(flow, person, text)
            case Stage.WRITING:
                return await self._found_out(flow)
            case Stage.DONE:
                return Done(Text(_DONE.get(flow.goal, "unlock.done"), {"ref": flow.reference}))
            case Stage.CLOSED:
                return Closed("closed", Text("flow.expired", {"ref": flow.reference}))

    async def _found_out(self, flow: Flow) -> SelfServiceOutcome:
        """What came of a new password whose answer was lost, once the directory has told."""
        found = await found_out(self._storage, flow.reference, flow.user_name)
        if found is None:
            return Closed("unknown_result", Text("pw.unknown_result", {"ref": flow.reference}))
        return Done(found) if found.id == "pw.found_set" else Closed("found_out", found)

    async def _choose_password(self, flow: Flow, person: Person | None, text: Text | None = None) -> SelfServiceOutcome:
        if person is None:
            return Closed("account_gone", Text("flow.expired", {"ref": flow.reference}))
        policy = None
        if isinstance(person.directory, PasswordPolicyTelling):
            try:
                policy = await person.directory.password_policy(person.user, self._parts.directory_timeout_s)
            except DirectoryUnavailable:
                return self._down_of(flow)
        return ChoosePassword(flow.sequence, policy, person.user.name, text)

    # --- proofs ----------------------------------------------------------------------------------------------------

    async def choose(self, flow_id: str, kind: str, trail: Trail, origin: Origin) -> SelfServiceOutcome:
        """Ask for a proof of this kind; for the one that is asked, send another code."""
        flow = await self._load(flow_id, trail)
        if isinstance(flow, Closed):
            return flow
        person = await self.people.of(flow)
        if flow.stage not in (Stage.CHOOSING, Stage.ASKED):
            return await self._shown(flow, person)
        offered = self.asking.choice(flow, person)
        if kind not in offered.kinds:
            return replace(offered, text=Text("recover.not_offered"))
        return await self._ask(flow, person, ASKED[kind], trail, origin)

    async def _ask(self, flow: Flow, person: Person | None, factor: Factor, trail: Trail, origin: Origin) -> SelfServiceOutcome:
        now_ms = to_ms(self._parts.clock.now())
        again = flow.stage is Stage.ASKED and flow.kind == factor.kind
        wait_s = self.asking.resend_wait_s(flow, now_ms) if factor.channel is not None and flow.recall(factor.kind) else 0
        if wait_s is None or wait_s > 0:
            told = Text("code.no_more") if wait_s is None else Text("code.wait", {"s": wait_s})
            if again:
                return self.asking.question(flow, person, told, wrong=False)
            return replace(self.asking.choice(flow, person), text=told)
        resend = factor.channel is not None and bool(flow.recall(factor.kind))
        return await self._send(flow, person, factor, trail, origin, Text("code.resent") if resend else None)

    async def _send(
        self, flow: Flow, person: Person | None, factor: Factor, trail: Trail, origin: Origin, told: Text | None
    ) -> SelfServiceOutcome:
        """Ask by this factor. `told`: another code goes out, and why."""
        again = flow.stage is Stage.ASKED and flow.kind == factor.kind
        now_ms, resend = to_ms(self._parts.clock.now()), told is not None
        memory, operations = await self.asking.begun(flow, person, factor, trail, origin, resend)
        moved = flow.moved(
            stage=Stage.ASKED,
            kind=factor.kind,
            # One that is nobody's remembers as much: it is asked for another code under the same rules.
            memory={**flow.memory, factor.kind: memory or {"asked": now_ms}},
            sent_at=now_ms if factor.channel is not None else flow.sent_at,
            resends=flow.resends + int(resend),
            proof_tries=flow.proof_tries if again else TRIES_OF_A_PROOF,
        )
        trail.note("asked for a proof", factor=factor.kind)
        if flow.proofs and factor.channel is not None and self._parts.channel_down(factor.channel):
            told = NOT_SENT
        if not await self.records.step(flow, moved, trail, "asked", operations):
            return await self.show(flow.id, trail)
        return self.asking.question(moved, person, told, wrong=told is not None and told.id == "code.expired")

    async def answer(self, flow_id: str, sequence: int, given: Secret, trail: Trail, origin: Origin) -> SelfServiceOutcome:
        """Judge an answer to the proof that is asked. `sequence`: of the page that it comes from; an older one answers nothing."""
        flow = await self._load(flow_id, trail)
        if isinstance(flow, Closed):
            return flow
        person = await self.people.of(flow)
        if flow.stage is not Stage.ASKED or flow.sequence != sequence:
            return await self._shown(flow, person, Text("flow.done_elsewhere"))
        factor, raw = ASKED[flow.kind], given.reveal()
        way = await self.braking.way(flow, factor, trail, origin)
        if isinstance(way, brakes.Hold):
            wait = Text("wait.person", {"min": -(-way.wait_s // 60), "ref": flow.reference})
            return self.asking.question(flow, person, wait, wrong=True)
        verdict = await self.asking.verdict(flow, person, factor, raw, origin)
        if way.in_vain and isinstance(verdict, Right):
            verdict = verdict.refused
        if isinstance(verdict, More):
            return await self._next_question(flow, person, verdict, trail)
        if isinstance(verdict, Wrong) and verdict.reason == CODE_EXPIRED and flow.proofs:
            return await self._late(flow, person, factor, trail, origin)
        if person is None or isinstance(verdict, Wrong):
            wrong = verdict if isinstance(verdict, Wrong) else Wrong("unknown_user")
            return await self._wrong(flow, person, wrong, way, trail)
        return await self._right(flow, person, factor, verdict, way, trail, origin)

    async def _late(self, flow: Flow, person: Person | None, factor: Factor, trail: Trail, origin: Origin) -> SelfServiceOutcome:
        """The code was right and came too late: another one, where one may go out and none is on its way already.

        Only where something was proved before: a stranger must not learn that there was a code.
        """
        trail.note("proof checked", verdict=CODE_EXPIRED, factor=factor.kind)
        told, wait_s = Text("code.expired"), self.asking.resend_wait_s(flow, to_ms(self._parts.clock.now()))
        if wait_s == 0:
            return await self._send(flow, person, factor, trail, origin, told)
        return self.asking.question(flow, person, told if wait_s else Text("code.no_more"), wrong=True)

    async def _next_question(self, flow: Flow, person: Person | None, more: More, trail: Trail) -> SelfServiceOutcome:
        """One answer of several was taken; nothing is told of it."""
        moved = flow.moved(memory={**flow.memory, flow.kind: more.asked.memory})
        if not await self.records.step(flow, moved, trail, "next_question", ()):
            return await self.show(flow.id, trail)
        return self.asking.question(moved, person, None, wrong=False)

    async def back(self, flow_id: str, sequence: int, trail: Trail) -> SelfServiceOutcome:
        """Choose another proof than the one that is asked. Codes that are on their way stay good."""
        flow = await self._load(flow_id, trail)
        if isinstance(flow, Closed):
            return flow
        person = await self.people.known(flow)
        if flow.stage is not Stage.ASKED or flow.sequence != sequence:
            return await self._shown(flow, person)
        moved = flow.moved(stage=Stage.CHOOSING)
        if not await self.records.step(flow, moved, trail, "another_way", ()):
            return await self.show(flow.id, trail)
        return self.asking.choice(moved, person)

    async def _wrong(self, flow: Flow, person: Person | None, verdict: Wrong, way: Way, trail: Trail) -> SelfServiceOutcome:
        """A try less. What the code was wrong for is not told before the first proof: a code that was used is a code."""
        reason = verdict.reason
        if verdict.memory is not None:
            flow = replace(flow, memory={**flow.memory, flow.kind: verdict.memory})
        trail.note("proof checked", verdict=reason, factor=flow.kind)
        now_ms = to_ms(self._parts.clock.now())
        settle = list(way.wrong)
        tries, left = flow.tries - 1, flow.proof_tries - 1
        if tries <= 0:
            moved, text = flow.moved(stage=Stage.CLOSED, tries=0), Text("code.closed", {"ref": flow.reference})
        elif left <= 0:
            moved, text = flow.moved(stage=Stage.CHOOSING, tries=tries, proof_tries=TRIES_OF_A_PROOF), Text("recover.other")
        else:
            moved = flow.moved(tries=tries, proof_tries=left)
            room = flow.kind if flow.kind in QUESTIONING or flow.kind in BY_PAGE else "code"
            text = Text(f"{room}.wrong", {"left": left}) if left > 1 else Text(f"{room}.wrong_last")
        if person is not None and person.activation is not None:
            after, counted = count_wrong(person.activation, self._occasion(flow, trail))
            settle = [*settle, *counted]
            if not after.is_open(now_ms):
                reason, moved = "activation_spoiled", flow.moved(stage=Stage.CLOSED, tries=0)
                settle = [*settle, *tell_issuer(self._parts, person.activation, _whom(flow), "activation_spoiled")]
                text = Text("activate.spoiled", {"ref": flow.reference})
        if not await self.records.step(flow, moved, trail, reason, settle, denied=moved.stage is Stage.CLOSED):
            return await self.show(flow.id, trail)
        if moved.stage is Stage.CLOSED:
            return Closed("code_closed", text)
        return await self._shown(moved, person, text, wrong=True)

    async def _lost(
        self, flow: Flow, person: Person, verdict: Right, way: Way, trail: Trail, taken: bool | None
    ) -> SelfServiceOutcome:
        """A right answer that was not taken. Where another answer was before it, that is all.

        To be counted as wrong as well would take a commit more than for a wrong one, and tell of many at once which was right.
        """
        if taken is None:
            return await self.show(flow.id, trail)
        return await self._wrong(flow, person, verdict.refused, way, trail)

    async def _right(
        self,
        flow: Flow,
        person: Person,
        factor: Factor,
        verdict: Right,
        way: Way,
        trail: Trail,
        origin: Origin,
    ) -> SelfServiceOutcome:
        trail.note("proof checked", verdict="right", factor=factor.kind)
        proved = self.weighing.proved(person.holder, person.ages, factor, verdict)
        with_it = replace(flow, proofs=(*flow.proofs, proved))
        weighed = self.weighing.weigh(with_it, person.user, person.holder)
        self._note(trail, weighed)
        if flow.goal == ACTIVATE:
            return await self._proved_activation(flow, with_it, person, weighed, verdict, way, trail, origin)
        first = () if flow.proofs else notify(self._parts, _whom(flow), person.holder, "first_proof", used=factor.channel)
        if person.frozen:
            moved = with_it.moved(stage=Stage.CLOSED)
        elif weighed.enough:
            moved = with_it.moved(stage=Stage.PASSWORD if flow.goal == "reset" else Stage.WRITING)
        elif not self.weighing.left(with_it, person.user, person.holder, person.ages):
            moved = with_it.moved(stage=Stage.CLOSED)
        else:
            moved = with_it.moved(stage=Stage.CHOOSING)
        if factor.kind == RECOVERY_CODE:
            first = (*first, *await recovery_code_used(self._parts, _whom(flow), person.holder, not verdict.claim))
        operations = [
            *verdict.claim,
            *way.right,
            *first,
            *person.sighting,
            *([unfrozen(person.holder.subject_id)] if moved.stage is Stage.WRITING else []),
        ]
        reason = "frozen" if person.frozen else "proved"
        taken = await self.records.step(flow, moved, trail, reason, operations, denied=moved.stage is Stage.CLOSED)
        if not taken:
            return await self._lost(flow, person, verdict, way, trail, taken)
        if person.frozen:
            return Closed("frozen", Text("freeze.on", {"ref": flow.reference}))
        if moved.stage is Stage.CLOSED:
            return Closed("not_enough", Text("reset.not_enough", {"ref": flow.reference}))
        if moved.stage is Stage.WRITING:
            return await self._unlock(moved, person, trail)
        return await self._shown(moved, person)

    async def _proved_activation(
        self,
        flow: Flow,
        with_it: Flow,
        person: Person,
        weighed: Weighed,
        verdict: Right,
        way: Way,
        trail: Trail,
        origin: Origin,
    ) -> SelfServiceOutcome:
        """A proof beside the activation was right: the next one, or the login that goes on from here."""
        now_ms, activation = to_ms(self._parts.clock.now()), person.activation
        if activation is None:
            return Closed("activation_over", Text("activate.over", {"ref": flow.reference}))
        operations: list[Operation] = [*verdict.claim, *way.right, *person.sighting, unchanged(activation, now_ms)]
        after = self.after_proof(with_it, person, weighed, trail, origin)
        if isinstance(after, Closed):
            return await self.records.close(flow, trail, after.reason, after.text)
        moved, more, outcome = after
        taken = await self.records.step(flow, moved, trail, "proved", [*operations, *more])
        if not taken:
            return await self._lost(flow, person, verdict, way, trail, taken)
        return outcome or await self._shown(moved, person)

    def after_proof(
        self, flow: Flow, person: Person, weighed: Weighed, trail: Trail, origin: Origin
    ) -> tuple[Flow, Sequence[Operation], HandedOver | None] | Closed:
        """Where an activation stands once its proofs were weighed: handed over, or another proof is to be chosen."""
        if person.frozen:
            # A thief may hold a link of before: it sets no password where a reset would set none.
            return Closed("frozen", Text("freeze.on", {"ref": flow.reference}))
        if weighed.enough and person.activation is not None:
            used = use(person.activation, self._occasion(flow, trail))
            handed = hand_over(self._parts, self.weighing, flow, person.directory, person.user, person.holder, used, origin)
            if isinstance(handed, Closed):
                return handed
            return flow.moved(stage=Stage.DONE), *handed
        if not self.weighing.left(flow, person.user, person.holder, person.ages):
            return Closed("not_enough", Text("activate.not_enough", {"ref": flow.reference}))
        return flow.moved(stage=Stage.CHOOSING), (), None

    def _occasion(self, flow: Flow, trail: Trail) -> Occasion:
        return Occasion(to_ms(self._parts.clock.now()), flow.user_name, trail.door, flow.id, flow.reference, trail.source)

    def _note(self, trail: Trail, weighed: Weighed) -> None:
        trail.note("proofs weighed", enough=weighed.enough, **weighed.told)

    # --- acting ----------------------------------------------------------------------------------------------------

    async def set_password(self, flow_id: str, sequence: int, new: Secret, trail: Trail, origin: Origin) -> SelfServiceOutcome:
        """Set the password that was chosen, once: of two forms at once one writes."""
        flow = await self._load(flow_id, trail)
        if isinstance(flow, Closed):
            return flow
        person = await self.people.of(flow)
        if flow.stage is not Stage.PASSWORD or flow.sequence != sequence or person is None:
            return await self._shown(flow, person, Text("flow.done_elsewhere"))
        if person.frozen:
            return await self.records.close(flow, trail, "frozen", Text("freeze.on", {"ref": flow.reference}))
        weighed = self.weighing.weigh(flow, person.user, person.holder)
        if not weighed.enough:
            # What counted a minute ago may have been taken away since.
            return await self.records.close(flow, trail, "not_enough", Text("reset.not_enough", {"ref": flow.reference}))
        problem = self._acting.own_rules(person.user, new)
        if problem is not None:
            return await self._choose_password(flow, person, problem)
        writing = flow.moved(stage=Stage.WRITING, passwords=flow.passwords - 1)
        first = [self._acting.count_reset(flow, self.weighing.limits(flow))] if flow.passwords == PASSWORDS else []
        guarded = [unfrozen(person.holder.subject_id), *first, *self._acting.ended(flow)]
        if not await self.records.step(flow, writing, trail, "writing", guarded):
            return await self._limited(flow, trail)
        refusal = await self._acting.reset(person.directory, person.user, new, trail, _whom(flow), "self_service")
        if refusal is not None:
            return await self._refused(writing, person, refusal, trail)
        return await self._finish(writing, person, trail, origin, "password_reset", Text("pw.done", {"ref": flow.reference}))

    async def _limited(self, flow: Flow, trail: Trail) -> SelfServiceOutcome:
        """Another form was first, or this person has had as many resets as he may."""
        now = await self._load(flow.id, trail)
        if isinstance(now, Closed) or now.sequence != flow.sequence:
            return await self.show(flow.id, trail)
        [frozen] = await self._storage.read([asked(SubjectId(flow.subject_id))])
        if frozen:
            return await self.records.close(flow, trail, "frozen", Text("freeze.on", {"ref": flow.reference}))
        count, within_s = self.weighing.limits(flow)
        days = -(-within_s // 86_400)
        return await self.records.close(
            flow, trail, "reset_limit", Text("reset.limit", {"n": count, "d": days, "ref": flow.reference})
        )

    async def _refused(self, flow: Flow, person: Person, refusal: Refusal, trail: Trail) -> SelfServiceOutcome:
        if refusal.final or flow.passwords <= 0:
            text = replace(refusal.text, values={**refusal.text.values, "ref": flow.reference})
            if refusal.unknown:
                return Closed(refusal.reason, text, down=True)
            return await self.records.close(flow, trail, refusal.reason, text)
        moved = flow.moved(stage=Stage.PASSWORD)
        if not await self.records.step(flow, moved, trail, refusal.reason, ()):
            return await self.show(flow.id, trail)
        return await self._choose_password(moved, person, refusal.text)

    async def _unlock(self, flow: Flow, person: Person, trail: Trail) -> SelfServiceOutcome:
        result = await self._acting.unlock(person.directory, person.user, trail)
        if isinstance(result, Refusal):
            return await self.records.close(flow, trail, result.reason, replace(result.text, values={"ref": flow.reference}))
        text = Text("unlock.done" if result else "unlock.not_needed", {"ref": flow.reference})
        return await self._finish(flow, person, trail, None, "unlocked" if result else "not_locked", text)

    async def _finish(
        self, flow: Flow, person: Person, trail: Trail, origin: Origin | None, reason: str, text: Text
    ) -> SelfServiceOutcome:
        """It is written: end what was open, tell the person everywhere, and record it."""
        done = flow.moved(stage=Stage.DONE)
        operations = [
            *self._acting.aftermath(flow, reason),
            *await self._brakes_cleared(flow, reason),
            *notify(self._parts, _whom(flow), person.holder, reason),
            *self._of_administrator(flow, person, reason),
        ]
        await self.records.step(flow, done, trail, reason, operations, kind=Kind.SELF_SERVICE_DONE)
        return Done(text)

    async def _brakes_cleared(self, flow: Flow, reason: str) -> list[Operation]:
        """With a new password all is forgotten; who only opens his account stays known where he signs in from.

        Else he would be a stranger at home, whom the next guesses of others keep out.
        """
        ring, who = self._parts.ring(), [flow.subject_id, f"{flow.realm}:{flow.user_name}"]
        if reason == "password_reset":
            return lifting.release_user(ring, who)
        return await lifting.lift_user(self._storage, ring, who, to_ms(self._parts.clock.now()))

    def _of_administrator(self, flow: Flow, person: Person, reason: str) -> tuple[Operation, ...]:
        """Word of an administrator's account to those who look after security: it is the one that opens all others."""
        told = self._parts.configuration().notices.security_mail
        if not told or reason not in TOLD or not self.weighing.weigh(flow, person.user, person.holder).administrator:
            return ()
        language = self._parts.configuration().realms.default.settings.language
        kinds = ", ".join(way_named(each.kind, "", language) for each in flow.proofs)
        return to_security(self._parts, _whom(flow), Notice("admin_reset", {"name": flow.user_name, "kinds": kinds}))

    # --- rows and records ------------------------------------------------------------------------------------------

    async def _load(self, flow_id: str, trail: Trail) -> Flow | Closed:
        row = await self._storage.get("self_service", {"id": flow_id})
        flow = from_row(self._parts.ring(), row) if row is not None else None
        if flow is None:
            return Closed("flow_unknown", Text("flow.unknown", {"ref": trail.reference}))
        trail.transaction_id, trail.reference, trail.application = flow.id, flow.reference, flow.application
        trail.user = flow.user_name
        if flow.is_over(to_ms(self._parts.clock.now())) or flow.application not in self._parts.configuration().applications:
            return Closed("flow_expired", Text("flow.expired", {"ref": flow.reference}))
        if flow.activation and flow.stage in (Stage.CHOOSING, Stage.ASKED) and not await self._is_open(flow):
            return Closed("activation_over", Text("activate.over"))
        return flow

    async def _is_open(self, flow: Flow) -> bool:
        """Whether the activation of a flow is open still: another browser may have used it up, or the operator taken it back."""
        issued = read_one(*await self._storage.read([of_subject(SubjectId(flow.subject_id))]))
        return issued is not None and issued.id == flow.activation and issued.is_open(to_ms(self._parts.clock.now()))

    def down(self, trail: Trail) -> Closed:
        """A directory does not answer."""
        trail.result, trail.reason = "denied", "directory_down"
        return Closed("directory_down", Text("down.directory", {"ref": trail.reference}), down=True)

    def _down_of(self, flow: Flow) -> Closed:
        return Closed("directory_down", Text("down.directory", {"ref": flow.reference}), down=True)


_DONE: Final = {"reset": "pw.done", ACTIVATE: "activate.proved"}


def _whom(flow: Flow) -> Whom:
    return Whom(flow.subject_id, flow.user_name, flow.application, flow.id, flow.reference, flow.language, flow.realm)
