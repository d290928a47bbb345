"""Runs self-service flows: who it may be, one proof after the other, and at the end what was asked for.

A flow is a row from its first form on. Each step is one conditional write with its audit event and timeline. Before the first proof
nothing that is shown, sent or waited for depends on whether the name is somebody's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from wardgate.account.activation import Activation, Occasion, count_wrong, of_subject, read_one, unchanged, use
from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.freeze import asked, unfrozen
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import NO_SUBJECT, SubjectId, create_subject, link_of, subject_in
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail, new_transaction_id
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.delivery.port import Channel
from wardgate.directory.port import AccountState, Directory, DirectoryUser, PasswordPolicyTelling
from wardgate.directory.realm import names_meant, parse_login_name
from wardgate.engine import brakes, interviews
from wardgate.engine.activated import tell_issuer
from wardgate.engine.attempt import Attempt
from wardgate.engine.finding import Finding
from wardgate.engine.holders import holder_of
from wardgate.engine.messages import send_code
from wardgate.engine.notices import TOLD, notify, recovery_code_used, to_security
from wardgate.engine.outcome import Origin
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.request import BeginRequest
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.acting import Acting, Refusal
from wardgate.engine.self_service.flow import (
    LIFE_MS,
    PASSWORDS,
    TRIES_OF_A_PROOF,
    Flow,
    Stage,
    advance,
    from_row,
    insert,
)
from wardgate.engine.self_service.handing_over import hand_over
from wardgate.engine.self_service.outcome import Ask, Choose, ChoosePassword, Closed, Done, HandedOver, SelfServiceOutcome
from wardgate.engine.self_service.start_code import START_CODE, held_code
from wardgate.engine.self_service.weighing import Ages, Weighed, Weighing, ages_of
from wardgate.engine.sending import MessageLimits
from wardgate.engine.settings import CodeSettings
from wardgate.engine.steps import Steps
from wardgate.engine.wording import Notice, Whom, way_named
from wardgate.errors import ClockWrong, DirectoryUnavailable
from wardgate.factors import BY_KIND, BY_PAGE, LONGEST_ANSWER, QUESTIONING
from wardgate.factors.port import MAX_ANSWER_BYTES, Factor, Holder, Interview, More, Right, Site, Task, Wrong
from wardgate.kba.asking import Who
from wardgate.storage.port import Committed, Modify, Operation
from wardgate.texts import Text

STARTS_PER_HOUR: Final = 5
STARTS_PER_DAY: Final = 40
START: Final = "start"
# Each start is rows, whoever it names: of one source no more than an office behind one address needs.
SOURCE_STARTS_PER_HOUR: Final = 60
SOURCE_STARTS_PER_DAY: Final = 180
SOURCE_START: Final = "start_source"
# The goal of a flow that an activation began.
ACTIVATE: Final = "activate"
# What may be asked: of an activation its start code as well.
ASKED: Final = {**BY_KIND, START_CODE.kind: START_CODE}
_NOBODY: Final = Holder(NO_SUBJECT, (), None, None)
# In what a factor remembers: the fingerprint of where its codes went.
_SENT_TO: Final = "to"


@dataclass(frozen=True, slots=True)
class Start:
    """Somebody says who he is and what he has forgotten."""

    goal: str
    application: str
    user_name: str
    origin: Origin
    trail: Trail


@dataclass(frozen=True, slots=True)
class Person:
    """Who a flow is about, as directory and storage tell him now. `activation`: the one that the flow began with."""

    user: DirectoryUser
    directory: Directory
    holder: Holder
    ages: Ages
    frozen: bool = False
    activation: Activation | None = None


class SelfService:
    """One per engine; all its state is in storage."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self.finding = Finding(parts, Steps(parts))
        self.weighing = Weighing(parts)
        self._acting = Acting(parts)
        self._limits = MessageLimits(parts)

    # --- begin -----------------------------------------------------------------------------------------------------

    async def begin(self, start: Start) -> tuple[str, SelfServiceOutcome]:
        """Begin a flow. Returns its id, empty when none was begun, and what to do first."""
        problem = self._parts.clock_problem()
        if problem is not None:
            raise ClockWrong(problem)
        attempt = self.attempt(start)
        refused = await self.may_not_start(attempt)
        if refused is not None:
            start.trail.result, start.trail.reason = "denied", refused.reason
            return "", refused
        found = await self.finding.find(attempt)
        if found.down is not None or not await self.all_answer(attempt):
            return "", self.down(start.trail)
        flow = self.new_flow(start, attempt)
        if found.user is not None and found.user.state in (AccountState.ACTIVE, AccountState.LOCKED):
            subject_id = await self._subject(found.user, attempt.now_ms)
            flow = replace(flow, subject_id=subject_id, directory=found.user.directory, immutable_id=found.user.immutable_id)
        elif found.user is not None:
            start.trail.note("the account may not be used", state=found.user.state.value)
        start.trail.result, start.trail.reason = "challenged", "started"
        event = self.event(Kind.SELF_SERVICE_BEGUN, flow, attempt.now_ms, start.trail)
        start.trail.stored = True
        ring = self._parts.ring()
        await self._storage.commit([insert(ring, flow), event, start.trail.entry(ring, attempt.now_ms)])
        return flow.id, self._choose(flow, None)

    async def all_answer(self, attempt: Attempt) -> bool:
        """Whether no directory of the realm is down. Else a name that is known in another one would be told from nobody's."""
        try:
            await self._ask_all(attempt.realm.directories, attempt.name)
        except DirectoryUnavailable as error:
            attempt.request.trail.note("a directory of the realm did not answer", error=error.message)
            return False
        return True

    async def _ask_all(self, directories: Sequence[Directory], name: str) -> None:
        """Ask every one for a name, as for nobody's. The only one of a realm was or will be asked for whose it is."""
        for each in directories if len(directories) > 1 else ():
            await each.find(name, self._parts.directory_timeout_s)

    def attempt(self, start: Start) -> Attempt:
        """What is known of somebody who begins."""
        configuration = self._parts.configuration()
        realm, typed = parse_login_name(start.user_name, configuration.realms)
        request = BeginRequest(start.application, start.user_name, start.origin, start.trail, None)
        now = self._parts.clock.now()
        application = configuration.applications[start.application]
        start.trail.application, start.trail.user = start.application, start.user_name
        return Attempt(request, configuration, application, realm, names_meant(start.user_name, typed), now, to_ms(now))

    async def may_not_start(self, attempt: Attempt) -> Closed | None:
        """Of one source only so many an hour, and of one name and source fewer: for names of nobody as well."""
        origin, ring, now_ms = attempt.request.origin, self._parts.ring(), attempt.now_ms
        source = brakes.asker(origin.client, origin.source)
        told: dict[str, str | int] = {"min": 60, "ref": attempt.request.trail.reference}
        key = ring.mac("brake-start-source", source.encode())
        if not await self._taken(brakes.take_turn(SOURCE_START, key, now_ms, SOURCE_STARTS_PER_HOUR, SOURCE_STARTS_PER_DAY)):
            return Closed("brake_source", Text("wait.source", told))
        key = ring.mac("brake-start", attempt.realm.name.encode(), attempt.name.encode(), source.encode())
        if not await self._taken(brakes.take_turn(START, key, now_ms, STARTS_PER_HOUR, STARTS_PER_DAY)):
            return Closed("brake_start", Text("wait.person", told))
        return None

    async def _taken(self, turn: Modify) -> bool:
        taken = await self._storage.commit([turn])
        return isinstance(taken, Committed) and taken.results[0] == 0

    def new_flow(self, start: Start, attempt: Attempt) -> Flow:
        """A flow of nobody yet."""
        start.trail.transaction_id = new_transaction_id()
        return Flow(
            id=start.trail.transaction_id,
            reference=start.trail.reference,
            goal=start.goal,
            application=start.application,
            realm=attempt.realm.name,
            user_name=attempt.name,
            language=attempt.language,
            created_at=attempt.now_ms,
            expires_at=attempt.now_ms + LIFE_MS,
            has_site=start.origin.site is not None,
        )

    async def _subject(self, user: DirectoryUser, now_ms: int) -> SubjectId:
        link = link_of(user.directory, user.immutable_id)
        known = subject_in(*await self._storage.read([link]))
        if known is None:
            subject_id, operations = create_subject(user.directory, user.immutable_id, now_ms)
            event = AuditEvent(Kind.SUBJECT_CREATED, now_ms, "engine", subject_id=subject_id, details={"directory": user.directory})
            made = await self._storage.commit([*operations, record(event)])
            known = subject_id if isinstance(made, Committed) else subject_in(*await self._storage.read([link]))
        return known or NO_SUBJECT

    # --- where it stands -------------------------------------------------------------------------------------------

    async def show(self, flow_id: str, trail: Trail) -> SelfServiceOutcome:
        """What a flow waits for now. Changes nothing."""
        flow = await self._load(flow_id, trail)
        if isinstance(flow, Closed):
            return flow
        return await self._shown(flow, await self._known(flow))

    async def _shown(self, flow: Flow, person: Person | None, text: Text | None = None, wrong: bool = False) -> SelfServiceOutcome:
        match flow.stage:
            case Stage.CHOOSING:
                return self._choose(flow, person, text)
            case Stage.ASKED:
                return self._asked(flow, person, text, wrong)
            case Stage.PASSWORD:
                return await self._choose_password(flow, person, text)
            case Stage.WRITING:
                return Closed("unknown_result", Text("pw.unknown_result", {"ref": flow.reference}))
            case Stage.DONE:
                return Done(Text(_DONE.get(flow.goal, "unlock.done"), {"ref": flow.reference}))
            case Stage.CLOSED:
                return Closed("closed", Text("flow.expired", {"ref": flow.reference}))

    def _choose(self, flow: Flow, person: Person | None, text: Text | None = None) -> Choose:
        if person is None or not flow.proofs:
            return Choose(flow.sequence, self.weighing.first_kinds(flow), len(flow.proofs), {}, text)
        left = self.weighing.left(flow, person.user, person.holder, person.ages)
        return Choose(flow.sequence, tuple(left), len(flow.proofs), left, text)

    def _asked(self, flow: Flow, person: Person | None, text: Text | None, wrong: bool) -> Ask:
        factor, blind = ASKED[flow.kind], not flow.proofs
        prompt = Text(f"recover.ask_{flow.kind}")
        questions: tuple[str, ...] = ()
        if flow.kind in QUESTIONING:
            asked = QUESTIONING[flow.kind].put_again(self._task(flow), flow.recall(flow.kind))
            prompt, questions = asked.prompt, asked.questions
        elif flow.kind in BY_PAGE and (blind or person is None or not factor.enrolled(person.holder)):
            prompt = BY_PAGE[flow.kind].ask_anybody(flow.recall(flow.kind)).prompt
        elif person is not None and not blind and factor.enrolled(person.holder):
            prompt = factor.repeat(person.holder, flow.recall(flow.kind))
        return Ask(flow.sequence, flow.kind, prompt, len(flow.proofs), blind, factor.channel is not None, text, wrong, questions)

    def _task(self, flow: Flow, site: Site | None = None) -> Task:
        return Task(flow.id, self._parts.clock.now(), self._codes, self._parts.ring(), site)

    def _interview(self, flow: Flow, person: Person | None, origin: Origin) -> Interview | None:
        """With whom a flow speaks, somebody or nobody. None where no policy names questions any more."""
        questioner = self._parts.configuration().questioner
        if questioner is None:
            return None
        who = Who(flow.realm, flow.user_name, person.holder.subject_id if person is not None else None)
        source = brakes.asker(origin.client, origin.source)
        return Interview(questioner, who, flow.language, bool(flow.proofs), source)

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
        person = await self._person(flow)
        if flow.stage not in (Stage.CHOOSING, Stage.ASKED):
            return await self._shown(flow, person)
        offered = self._choose(flow, person)
        if kind not in offered.kinds:
            return replace(offered, text=Text("recover.not_offered"))
        return await self._ask(flow, person, ASKED[kind], trail, origin)

    async def _ask(self, flow: Flow, person: Person | None, factor: Factor, trail: Trail, origin: Origin) -> SelfServiceOutcome:
        now_ms = to_ms(self._parts.clock.now())
        again = flow.stage is Stage.ASKED and flow.kind == factor.kind
        wait_s = self._resend_wait_s(flow, now_ms) if factor.channel is not None and flow.recall(factor.kind) else 0
        if wait_s is None or wait_s > 0:
            told = Text("code.no_more") if wait_s is None else Text("code.wait", {"s": wait_s})
            if again:
                return self._asked(flow, person, told, wrong=False)
            return replace(self._choose(flow, person), text=told)
        resend = factor.channel is not None and bool(flow.recall(factor.kind))
        memory, operations = await self._begun(flow, person, factor, trail, origin, resend)
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
        if not await self._step(flow, moved, trail, "asked", operations):
            return await self.show(flow.id, trail)
        text = Text("code.resent") if resend else None
        return self._asked(moved, person, text, wrong=False)

    async def _begun(
        self, flow: Flow, person: Person | None, factor: Factor, trail: Trail, origin: Origin, resend: bool
    ) -> tuple[dict[str, object], tuple[Operation, ...]]:
        """What asking makes the factor remember, and what has to be sent: nothing for nobody."""
        interview = self._interview(flow, person, origin)
        if factor.kind in QUESTIONING and interview is not None:
            # Nobody is asked like everybody else.
            return dict((await QUESTIONING[factor.kind].ask_for(self._task(flow), interview)).memory), ()
        if factor.kind in BY_PAGE:
            return dict(BY_PAGE[factor.kind].ask_anybody(flow.recall(factor.kind)).memory), ()
        if person is None or not factor.enrolled(person.holder):
            trail.note("nobody, or not enrolled: nothing is sent", factor=factor.kind)
            return {}, ()
        configuration, ring = self._parts.configuration(), self._parts.ring()
        if factor.channel is not None:
            to = factor.destination(person.holder) or ""
            if factor.channel is Channel.SMS and not is_allowed(to, configuration.sending):
                await self._limits.note_closed(to, trail)
                return {}, ()
            whose = (flow.application, flow.user_name)
            if factor.channel not in configuration.channels:
                return {}, ()
            if not await self._limits.may_send(factor, person.holder, resend, trail, *whose):
                return {}, ()
        task = Task(flow.id, self._parts.clock.now(), configuration.codes, ring)
        before, to_key = flow.recall(factor.kind), self.weighing.destination_key(factor, person.holder)
        # What went to another destination proves nothing of this one.
        asked = factor.ask(person.holder, task, before if before.get(_SENT_TO, "") == to_key else {})
        if asked.sending is None:
            return dict(asked.memory), ()
        application, life_s = configuration.applications[flow.application], configuration.codes.life_s
        operations = send_code(self._parts, application, flow, asked.sending, life_s, trail)
        return {**asked.memory, _SENT_TO: to_key}, operations

    def _resend_wait_s(self, flow: Flow, now_ms: int) -> int | None:
        waits = self._codes.resend_after_s
        if flow.resends >= len(waits):
            return None
        return max(0, -(-(flow.sent_at + waits[flow.resends] * 1000 - now_ms) // 1000))

    @property
    def _codes(self) -> CodeSettings:
        return self._parts.configuration().codes

    async def answer(self, flow_id: str, sequence: int, given: Secret, trail: Trail, origin: Origin) -> SelfServiceOutcome:
        """Judge an answer to the proof that is asked. `sequence`: of the page that it comes from; an older one answers nothing."""
        flow = await self._load(flow_id, trail)
        if isinstance(flow, Closed):
            return flow
        person = await self._person(flow)
        if flow.stage is not Stage.ASKED or flow.sequence != sequence:
            return await self._shown(flow, person, Text("flow.done_elsewhere"))
        keys = self._keys(flow, origin)
        hold = await brakes.holding(self._storage, keys, self._parts.configuration().brakes, to_ms(self._parts.clock.now()))
        if hold is not None:
            trail.note("a brake holds", wait_s=hold.wait_s)
            wait = Text("wait.person", {"min": -(-hold.wait_s // 60), "ref": flow.reference})
            return self._asked(flow, person, wait, wrong=True)
        factor, raw = ASKED[flow.kind], given.reveal()
        verdict = await self._verdict(flow, person, factor, raw, origin)
        if isinstance(verdict, More):
            return await self._next_question(flow, person, verdict, trail)
        if person is None or isinstance(verdict, Wrong):
            wrong = verdict if isinstance(verdict, Wrong) else Wrong("unknown_user")
            return await self._wrong(flow, person, wrong, keys, trail)
        return await self._right(flow, person, factor, verdict, keys, trail, origin)

    async def _verdict(self, flow: Flow, person: Person | None, factor: Factor, raw: bytes, origin: Origin) -> Right | Wrong | More:
        task, memory, interview = self._task(flow), flow.recall(flow.kind), self._interview(flow, person, origin)
        if len(raw) > LONGEST_ANSWER.get(factor.kind, MAX_ANSWER_BYTES):
            return Wrong("too_long")
        if factor.kind in QUESTIONING and interview is not None:
            return await QUESTIONING[factor.kind].judge(task, interview, memory, raw)
        if factor.kind in BY_PAGE:
            # Nobody's is checked like everybody's.
            holder = person.holder if person is not None else _NOBODY
            return factor.verify(holder, self._task(flow, origin.site), memory, raw)
        if person is None or not self._is_asked(flow, person, factor):
            return Wrong("kind_not_enrolled")
        return factor.verify(person.holder, task, memory, raw)

    async def _next_question(self, flow: Flow, person: Person | None, more: More, trail: Trail) -> SelfServiceOutcome:
        """One answer of several was taken; nothing is told of it."""
        moved = flow.moved(memory={**flow.memory, flow.kind: more.asked.memory})
        if not await self._step(flow, moved, trail, "next_question", ()):
            return await self.show(flow.id, trail)
        return self._asked(moved, person, None, wrong=False)

    def _is_asked(self, flow: Flow, person: Person, factor: Factor) -> bool:
        """Whether he has the factor, was asked for it, and what was sent went where it would go now.

        A proof counts for as long as its destination is known: a code that went to a new phone must not count as the old one's.
        """
        asked = flow.recall(factor.kind)
        sent_to = asked.get(_SENT_TO, "")
        return factor.enrolled(person.holder) and bool(asked) and sent_to == self.weighing.destination_key(factor, person.holder)

    async def back(self, flow_id: str, sequence: int, trail: Trail) -> SelfServiceOutcome:
        """Choose another proof than the one that is asked. Codes that are on their way stay good."""
        flow = await self._load(flow_id, trail)
        if isinstance(flow, Closed):
            return flow
        person = await self._known(flow)
        if flow.stage is not Stage.ASKED or flow.sequence != sequence:
            return await self._shown(flow, person)
        moved = flow.moved(stage=Stage.CHOOSING)
        if not await self._step(flow, moved, trail, "another_way", ()):
            return await self.show(flow.id, trail)
        return self._choose(moved, person)

    def _keys(self, flow: Flow, origin: Origin) -> brakes.BrakeKeys:
        name, ring = f"{flow.realm}:{flow.user_name}", self._parts.ring()
        if not flow.subject_id:
            return brakes.brake_keys(ring, name, origin.client, origin.source, of_name=True)
        return brakes.brake_keys(ring, flow.subject_id, origin.client, origin.source, typed=name)

    async def _wrong(
        self, flow: Flow, person: Person | None, verdict: Wrong, keys: brakes.BrakeKeys, trail: Trail
    ) -> SelfServiceOutcome:
        """A try less. What the code was wrong for is not told before the first proof: a code that was used is a code."""
        reason = verdict.reason
        if verdict.memory is not None:
            flow = replace(flow, memory={**flow.memory, flow.kind: verdict.memory})
        trail.note("proof checked", verdict=reason, factor=flow.kind)
        now_ms = to_ms(self._parts.clock.now())
        settle = brakes.settle_wrong(keys, self._parts.configuration().brakes, now_ms, reserved=False)
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
        if not await self._step(flow, moved, trail, reason, settle, denied=moved.stage is Stage.CLOSED):
            return await self.show(flow.id, trail)
        if moved.stage is Stage.CLOSED:
            return Closed("code_closed", text)
        return await self._shown(moved, person, text, wrong=True)

    async def _right(
        self,
        flow: Flow,
        person: Person,
        factor: Factor,
        verdict: Right,
        keys: brakes.BrakeKeys,
        trail: Trail,
        origin: Origin,
    ) -> SelfServiceOutcome:
        trail.note("proof checked", verdict="right", factor=factor.kind)
        proved = self.weighing.proved(person.holder, person.ages, factor, verdict)
        with_it = replace(flow, proofs=(*flow.proofs, proved))
        weighed = self.weighing.weigh(with_it, person.user, person.holder)
        self._note(trail, weighed)
        if flow.goal == ACTIVATE:
            return await self._proved_activation(flow, with_it, person, weighed, verdict, keys, trail, origin)
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
        operations = [*verdict.claim, *first, *([unfrozen(person.holder.subject_id)] if moved.stage is Stage.WRITING else [])]
        reason = "frozen" if person.frozen else "proved"
        if not await self._step(flow, moved, trail, reason, operations, denied=moved.stage is Stage.CLOSED):
            return await self._wrong(flow, person, verdict.refused, keys, trail)
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
        keys: brakes.BrakeKeys,
        trail: Trail,
        origin: Origin,
    ) -> SelfServiceOutcome:
        """A proof beside the activation was right: the next one, or the login that goes on from here."""
        now_ms, activation = to_ms(self._parts.clock.now()), person.activation
        if activation is None:
            return Closed("activation_over", Text("activate.over", {"ref": flow.reference}))
        operations: list[Operation] = [*verdict.claim, unchanged(activation, now_ms)]
        after = self.after_proof(with_it, person, weighed, trail, origin)
        if isinstance(after, Closed):
            return await self._close(flow, trail, after.reason, after.text)
        moved, more, outcome = after
        if not await self._step(flow, moved, trail, "proved", [*operations, *more]):
            return await self._wrong(flow, person, verdict.refused, keys, trail)
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
        person = await self._person(flow)
        if flow.stage is not Stage.PASSWORD or flow.sequence != sequence or person is None:
            return await self._shown(flow, person, Text("flow.done_elsewhere"))
        if person.frozen:
            return await self._close(flow, trail, "frozen", Text("freeze.on", {"ref": flow.reference}))
        weighed = self.weighing.weigh(flow, person.user, person.holder)
        if not weighed.enough:
            # What counted a minute ago may have been taken away since.
            return await self._close(flow, trail, "not_enough", Text("reset.not_enough", {"ref": flow.reference}))
        problem = self._acting.own_rules(person.user, new)
        if problem is not None:
            return await self._choose_password(flow, person, problem)
        writing = flow.moved(stage=Stage.WRITING, passwords=flow.passwords - 1)
        first = [self._acting.count_reset(flow, self.weighing.limits(flow))] if flow.passwords == PASSWORDS else []
        guarded = [unfrozen(person.holder.subject_id), *first, *self._acting.ended(flow)]
        if not await self._step(flow, writing, trail, "writing", guarded):
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
            return await self._close(flow, trail, "frozen", Text("freeze.on", {"ref": flow.reference}))
        count, within_s = self.weighing.limits(flow)
        days = -(-within_s // 86_400)
        return await self._close(flow, trail, "reset_limit", Text("reset.limit", {"n": count, "d": days, "ref": flow.reference}))

    async def _refused(self, flow: Flow, person: Person, refusal: Refusal, trail: Trail) -> SelfServiceOutcome:
        if refusal.final or flow.passwords <= 0:
            text = replace(refusal.text, values={**refusal.text.values, "ref": flow.reference})
            if refusal.unknown:
                return Closed(refusal.reason, text, down=True)
            return await self._close(flow, trail, refusal.reason, text)
        moved = flow.moved(stage=Stage.PASSWORD)
        if not await self._step(flow, moved, trail, refusal.reason, ()):
            return await self.show(flow.id, trail)
        return await self._choose_password(moved, person, refusal.text)

    async def _unlock(self, flow: Flow, person: Person, trail: Trail) -> SelfServiceOutcome:
        result = await self._acting.unlock(person.directory, person.user, trail)
        if isinstance(result, Refusal):
            return await self._close(flow, trail, result.reason, replace(result.text, values={"ref": flow.reference}))
        text = Text("unlock.done" if result else "unlock.not_needed", {"ref": flow.reference})
        return await self._finish(flow, person, trail, None, "unlocked" if result else "not_locked", text)

    async def _finish(
        self, flow: Flow, person: Person, trail: Trail, origin: Origin | None, reason: str, text: Text
    ) -> SelfServiceOutcome:
        """It is written: end what was open, tell the person everywhere, and record it."""
        done = flow.moved(stage=Stage.DONE)
        operations = [
            *self._acting.aftermath(flow, reason),
            *brakes.release_user(self._parts.ring(), [flow.subject_id, f"{flow.realm}:{flow.user_name}"]),
            *notify(self._parts, _whom(flow), person.holder, reason),
            *self._of_administrator(flow, person, reason),
        ]
        await self._step(flow, done, trail, reason, operations, kind=Kind.SELF_SERVICE_DONE)
        return Done(text)

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

    async def _known(self, flow: Flow) -> Person | None:
        """Who it is about, for a page that shows something of him: before the first proof none does, and nobody is looked for."""
        return await self._person(flow) if flow.proofs else None

    async def _person(self, flow: Flow) -> Person | None:
        """Who it is about; None for nobody, and for an account that may not be used any more.

        Raises DirectoryUnavailable: of a name of nobody as well, and before the first proof where any directory of the realm is
        down, as who is somebody must not show by it.
        """
        realms = self._parts.configuration().realms
        of_realm = next((realm.directories for realm in realms if realm.name == flow.realm), ())
        if not flow.proofs:
            await self._ask_all(of_realm, flow.user_name)
        if not flow.subject_id:
            for each in of_realm if len(of_realm) == 1 else ():
                await each.find(flow.user_name, self._parts.directory_timeout_s)
            return None
        directory = next((each for realm in realms for each in realm.directories if each.name == flow.directory), None)
        user = await directory.get(flow.immutable_id, self._parts.directory_timeout_s) if directory is not None else None
        if user is None or directory is None or user.state not in (AccountState.ACTIVE, AccountState.LOCKED):
            return None
        subject_id = SubjectId(flow.subject_id)
        configuration = self._parts.configuration()
        questions = interviews.reads(configuration, configuration.applications[flow.application].policy, subject_id)
        finds = [kept_authenticators(subject_id), kept_contacts(subject_id), asked(subject_id), *questions]
        if flow.activation:
            finds.append(of_subject(subject_id))
        rows, contacts, frozen, *answers = await self._storage.read(finds)
        issued = answers.pop() if flow.activation else []
        ring, answered = self._parts.ring(), interviews.read(configuration, answers)
        holder = holder_of(ring, subject_id, user, *active_and_held(rows), contacts, answered)
        person = Person(user, directory, holder, ages_of(ring, contacts, rows), bool(frozen))
        return self.with_activation(flow, person, read_one(issued)) if flow.activation else person

    def with_activation(self, flow: Flow, person: Person, activation: Activation | None) -> Person | None:
        """The person with what was issued to him; None where that is over, was replaced, or the account waits for something."""
        now_ms = to_ms(self._parts.clock.now())
        if activation is None or activation.id != flow.activation or not activation.is_open(now_ms):
            return None
        if person.user.state is not AccountState.ACTIVE:
            return None
        held = replace(person.holder, authenticators=(*person.holder.authenticators, *held_code(activation, now_ms)))
        return replace(person, holder=held, activation=activation)

    async def _step(
        self,
        old: Flow,
        new: Flow,
        trail: Trail,
        reason: str,
        operations: Sequence[Operation],
        kind: Kind = Kind.SELF_SERVICE_STEP,
        denied: bool = False,
    ) -> bool:
        """Commit a step with its record; False when a condition did not hold."""
        ring, now_ms = self._parts.ring(), to_ms(self._parts.clock.now())
        trail.result, trail.reason = "denied" if denied else "granted" if new.stage is Stage.DONE else "challenged", reason
        event = self.event(kind, new, now_ms, trail, reason)
        unit = [advance(ring, old, new), *operations, event, trail.entry(ring, now_ms)]
        commit = await self._storage.commit(unit)
        trail.stored = isinstance(commit, Committed)
        return trail.stored

    async def _close(self, flow: Flow, trail: Trail, reason: str, text: Text) -> Closed:
        await self._step(flow, flow.moved(stage=Stage.CLOSED), trail, reason, (), denied=True)
        return Closed(reason, text)

    def event(self, kind: Kind, flow: Flow, now_ms: int, trail: Trail, reason: str = "") -> Operation:
        """The record of a step."""
        details: dict[str, object] = {
            "user": flow.user_name,
            "goal": flow.goal,
            "application": flow.application,
            "door": trail.door,
            "source": trail.source,
            "client": trail.client,
            "proofs": [each.kind for each in flow.proofs],
        }
        if reason:
            details["reason"] = reason
        return record(
            AuditEvent(
                kind,
                now_ms,
                "engine",
                transaction_id=flow.id,
                reference=flow.reference,
                subject_id=flow.subject_id or None,
                details=details,
            )
        )

    def down(self, trail: Trail) -> Closed:
        """A directory does not answer."""
        trail.result, trail.reason = "denied", "directory_down"
        return Closed("directory_down", Text("down.directory", {"ref": trail.reference}), down=True)

    def _down_of(self, flow: Flow) -> Closed:
        return Closed("directory_down", Text("down.directory", {"ref": flow.reference}), down=True)


_DONE: Final = {"reset": "pw.done", ACTIVATE: "activate.proved"}


def _whom(flow: Flow) -> Whom:
    return Whom(flow.subject_id, flow.user_name, flow.application, flow.id, flow.reference, flow.language, flow.realm)
