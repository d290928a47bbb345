"""What a flow asks for: the proofs to choose from, the question of one, what is sent for it, and whether an answer is right."""

from typing import Final

from wardgate.account.subject import NO_SUBJECT
from wardgate.audit.timeline import Trail
from wardgate.delivery.port import Channel
from wardgate.engine import brakes
from wardgate.engine.messages import send_code
from wardgate.engine.outcome import Origin
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import Flow
from wardgate.engine.self_service.outcome import Ask, Choose
from wardgate.engine.self_service.people import Person
from wardgate.engine.self_service.start_code import START_CODE
from wardgate.engine.self_service.weighing import Weighing
from wardgate.engine.sending import MessageLimits
from wardgate.engine.settings import CodeSettings
from wardgate.factors import BY_KIND, BY_PAGE, LONGEST_ANSWER, QUESTIONING
from wardgate.factors.port import MAX_ANSWER_BYTES, Factor, Holder, Interview, More, Right, Site, Task, Wrong
from wardgate.kba.asking import Who
from wardgate.storage.port import Operation
from wardgate.texts import Text

# What may be asked: of an activation its start code as well.
ASKED: Final = {**BY_KIND, START_CODE.kind: START_CODE}
_NOBODY: Final = Holder(NO_SUBJECT, (), None, None)
# In what a factor remembers: the fingerprint of where its codes went.
_SENT_TO: Final = "to"


class Asking:
    """Asks. One per engine."""

    def __init__(self, parts: EngineParts, weighing: Weighing) -> None:
        self._parts = parts
        self._weighing = weighing
        self._limits = MessageLimits(parts)

    def choice(self, flow: Flow, person: Person | None, text: Text | None = None) -> Choose:
        """The proofs that may come next."""
        if person is None or not flow.proofs:
            return Choose(flow.sequence, self._weighing.first_kinds(flow), len(flow.proofs), {}, text)
        left = self._weighing.left(flow, person.user, person.holder, person.ages)
        return Choose(flow.sequence, tuple(left), len(flow.proofs), left, text)

    def question(self, flow: Flow, person: Person | None, text: Text | None, wrong: bool) -> Ask:
        """The proof that is asked."""
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

    async def begun(
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
        before, to_key = flow.recall(factor.kind), self._weighing.destination_key(factor, person.holder)
        # What went to another destination proves nothing of this one.
        asked = factor.ask(person.holder, task, before if before.get(_SENT_TO, "") == to_key else {})
        if asked.sending is None:
            return dict(asked.memory), ()
        application, life_s = configuration.applications[flow.application], configuration.codes.life_s
        operations = send_code(self._parts, application, flow, asked.sending, life_s, trail)
        return {**asked.memory, _SENT_TO: to_key}, operations

    def resend_wait_s(self, flow: Flow, now_ms: int) -> int | None:
        """Seconds until another code may be sent; None: never again."""
        waits = self._codes.resend_after_s
        if flow.resends >= len(waits):
            return None
        return max(0, -(-(flow.sent_at + waits[flow.resends] * 1000 - now_ms) // 1000))

    async def verdict(self, flow: Flow, person: Person | None, factor: Factor, raw: bytes, origin: Origin) -> Right | Wrong | More:
        """Judge what came back for the proof that is asked."""
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

    def _is_asked(self, flow: Flow, person: Person, factor: Factor) -> bool:
        """Whether he has the factor, was asked for it, and what was sent went where it would go now.

        A proof counts for as long as its destination is known: a code that went to a new phone must not count as the old one's.
        """
        asked = flow.recall(factor.kind)
        sent_to = asked.get(_SENT_TO, "")
        return factor.enrolled(person.holder) and bool(asked) and sent_to == self._weighing.destination_key(factor, person.holder)

    def _interview(self, flow: Flow, person: Person | None, origin: Origin) -> Interview | None:
        """With whom a flow speaks, somebody or nobody. None where no policy names questions any more."""
        questioner = self._parts.configuration().questioner
        if questioner is None:
            return None
        who = Who(flow.realm, flow.user_name, person.holder.subject_id if person is not None else None)
        source = brakes.asker(origin.client, origin.source)
        return Interview(questioner, who, flow.language, bool(flow.proofs), source)

    def _task(self, flow: Flow, site: Site | None = None) -> Task:
        return Task(flow.id, self._parts.clock.now(), self._codes, self._parts.ring(), site)

    @property
    def _codes(self) -> CodeSettings:
        return self._parts.configuration().codes
