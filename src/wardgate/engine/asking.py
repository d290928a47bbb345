"""Asks for the next factor: which one, what to say, what to send, and how a login is folded into an identical one."""

from collections.abc import Sequence
from dataclasses import replace

from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.audit.events import Kind
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.delivery.port import Channel
from wardgate.engine import interviews
from wardgate.engine.by_link import AGAIN, ENROL, ByLink, Linked, may_enrol
from wardgate.engine.messages import send_code
from wardgate.engine.outcome import Challenge, Denied, Origin
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.recording import Recording
from wardgate.engine.runtime import Application, EngineParts
from wardgate.engine.sealed_handle import seal_login
from wardgate.engine.sending import MessageLimits
from wardgate.engine.transaction import State, Transaction, advance, from_row, give_up_fold_key, insert, new_handle
from wardgate.factors import BY_KIND, ON_PAGES, QUESTIONING, SECOND_FACTORS
from wardgate.factors.port import Factor, Holder, More, Task
from wardgate.storage.port import Committed, Operation, Update, Where
from wardgate.texts import Text
from wardgate.values import quick_value

MAX_OTHER_WAYS = 4
MAX_WORD_BYTES = 32
# Why a step was left out, in audit and timeline.
GATEWAY_DOWN = "gateway_down"
# Why nothing was asked, in audit and timeline, by what the person is told.
_RESENT = Text("code.resent")
# While no gateway of the channel works: after a first proof only, or it would tell that there was something to send.
NOT_SENT = Text("code.not_sent")
# What would say of such a message that it is on its way.
_SAYS_SENT = ("code.resent", "code.expired")
_NOTHING = {"policy.no_factor": "no_factor", "policy.not_here": "factor_not_here"}
# Any other answer is no choice, and spares the look at what the person has.
_WORDS = frozenset([word for factor in SECOND_FACTORS for word in factor.words])

# What is for emergencies, and what others may know.
_LAST = frozenset((RECOVERY_CODE, *QUESTIONING))


@quick_value
class Asked:
    """A transaction with its open question, the words for it, and what has to be written besides."""

    transaction: Transaction
    texts: tuple[Text, ...]
    operations: tuple[Operation, ...] = ()
    questions: tuple[str, ...] = ()


class Asker:
    """Chooses and puts challenges."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._limits = MessageLimits(parts)
        self.by_link = ByLink(parts, self._limits)

    # --- opening -------------------------------------------------------------------------------------------------

    async def ask_sealed(
        self,
        transaction: Transaction,
        holder: Holder,
        application: Application,
        origin: Origin,
        trail: Trail,
        settle: Sequence[Operation],
        preface: Text | None = None,
    ) -> Challenge | None:
        """Ask the first question by a handle that carries the login itself: no row is written but the record.

        None: the first factor sends something, there is none, or the login does not fit into a handle.
        """
        ways = self.alternatives(transaction, holder)
        if not ways or ways[0].channel is not None or ways[0].kind in QUESTIONING:
            return None
        factor, ring, now = ways[0], self._parts.ring(), self._parts.clock.now()
        now_ms = to_ms(now)
        codes = transaction.terms.codes(self._parts.configuration().codes)
        asked = factor.ask(holder, Task(transaction.id, now, codes, ring), {})
        handle = seal_login(ring, transaction, factor.kind, origin.binding, self._parts.epoch)
        if handle is None or asked.memory or asked.sending:
            return None
        trail.note("asked for a factor", factor=factor.kind)
        left_s = -(-(transaction.expires_at - now_ms) // 1000)
        texts = (asked.prompt, *_other_ways(ways[1:]))
        about = (transaction.language, transaction.reference, preface, transaction.terms.trusted_s)
        challenge = Challenge(handle, factor.kind, texts, max(1, left_s), *about)
        recording = Recording(self._parts, trail, application.settings.name, holder.subject_id, now_ms)
        details = {"factor": factor.kind, "rule": transaction.rule}
        commit = await recording.commit(settle, Kind.LOGIN_CHALLENGED, challenge, transaction.user_name, **details)
        return challenge if isinstance(commit, Committed) else None

    async def open(
        self,
        transaction: Transaction,
        holder: Holder,
        application: Application,
        origin: Origin,
        trail: Trail,
        settle: Sequence[Operation],
        preface: Text | None = None,
    ) -> Challenge | Denied | None:
        """Begin the transaction with its first question, or refuse when the person has nothing to answer with.

        None: an identical login was opened meanwhile; the fold key is unique among open logins.
        """
        recording = Recording(self._parts, trail, application.settings.name, holder.subject_id)
        asked = await self.ask_step(transaction, holder, application, trail)
        if isinstance(asked, Text):
            refusal = Denied(_NOTHING.get(asked.id, "code_closed"), asked, transaction.language, trail.reference)
            await recording.commit_denied(settle, refusal, transaction.user_name)
            return refusal
        handle, insert_handle = new_handle(self._parts.ring(), asked.transaction, origin.binding)
        challenge = self.challenge(asked, handle, preface)
        details = {"factor": asked.transaction.factor, "rule": transaction.rule}
        if transaction.fail_open:
            details["fail_open"] = transaction.fail_open
        unit = [*settle, insert(asked.transaction), insert_handle, *asked.operations]
        commit = await recording.commit(unit, Kind.LOGIN_CHALLENGED, challenge, transaction.user_name, **details)
        if isinstance(commit, Committed):
            return challenge
        # An identical login was opened while this one was prepared: its message is on its way, ours was not written.
        trail.begin_anew()
        return None

    async def fold(
        self,
        fold_key: bytes,
        origin_binding: str,
        trail: Trail,
        application: Application,
        holder: Holder,
        settle: Sequence[Operation],
        preface: Text | None = None,
    ) -> Challenge | None:
        """Answer with the open transaction of an identical login, so that a second packet brings no second message.

        A firewall that fails over to our second address, or a person who starts again, gets a handle of his own for it. A new
        code goes out only when the resend rules allow one.
        """
        now_ms = to_ms(self._parts.clock.now())
        rows = await self._parts.storage.find("login_transaction", [Where("fold_key", "=", fold_key)], limit=1)
        if not rows:
            return None
        old = from_row(rows[0])
        if old.is_over(now_ms):
            await self._parts.storage.commit([advance(old, old.moved(state=State.DENIED))])
            return None
        if old.terms.links and await self.by_link.is_begun(old):
            trail.note("the same login is open, and confirmed on a page at this moment: not joined to it")
            await self._parts.storage.commit([give_up_fold_key(old)])
            return None
        trail.transaction_id, trail.reference = old.id, old.reference
        trail.note("the same login is open already: joined to it")
        asked = self.put_again(old, holder)
        if self.can_be_resent(old) and self.resend_wait_s(old, now_ms) == 0:
            resent = await self.resend(old, holder, application, trail)
            asked = resent if isinstance(resent, Asked) else asked
        handle, insert_handle = new_handle(self._parts.ring(), asked.transaction, origin_binding)
        challenge = self.challenge(asked, handle, preface)
        step: Operation = (
            advance(old, asked.transaction)
            if asked.transaction.sequence != old.sequence
            else Update("login_transaction", {"id": old.id}, {"state": State.CHALLENGED.value}, where=_still_open(old))
        )
        recording = Recording(self._parts, trail, application.settings.name, holder.subject_id)
        commit = await recording.commit(
            [*settle, step, insert_handle, *asked.operations],
            Kind.LOGIN_CHALLENGED,
            challenge,
            old.user_name,
            factor=old.factor,
            folded=True,
        )
        if isinstance(commit, Committed):
            return challenge
        # It was answered while this request was under way: begin a login of its own, under a reference of its own.
        trail.begin_anew()
        return None

    def challenge(self, asked: Asked, handle: bytes, preface: Text | None = None) -> Challenge:
        """The outcome for a question. `preface`: what the policy has people told before the first one."""
        transaction = asked.transaction
        left_s = max(1, -(-(transaction.expires_at - to_ms(self._parts.clock.now())) // 1000))
        about = (transaction.language, transaction.reference, preface, transaction.terms.trusted_s)
        return Challenge(handle, transaction.factor, asked.texts, left_s, *about, asked.questions)

    def put_again(self, transaction: Transaction, holder: Holder, *status: Text) -> Asked:
        """The open question once more, after what there is to say, without anything new being sent."""
        linked = self.by_link.repeat(transaction) if transaction.terms.links else None
        if linked is not None:
            ways = [text for text in self._ways_on(transaction, holder) if text not in status]
            return Asked(transaction, (*status, linked, *ways))
        factor = BY_KIND[transaction.factor]
        asked = interviews.put_again(factor, holder, self._task(transaction), transaction.recall(factor.kind))
        # A window that is too small for both shows the question: nobody can answer one that he does not see.
        first = (asked.prompt, *status) if asked.questions else (*status, asked.prompt)
        return Asked(transaction, (*first, *self.other_ways(transaction, holder)), questions=asked.questions)

    def next_question(self, transaction: Transaction, holder: Holder, more: More) -> Asked:
        """The question after one that was answered."""
        factor, now_ms = transaction.factor, to_ms(self._parts.clock.now())
        codes = transaction.terms.codes(self._parts.configuration().codes)
        expires_at = max(transaction.expires_at, now_ms + codes.life_s * 1000)
        changed = transaction.moved(
            memory={**transaction.memory, factor: more.asked.memory},
            expires_at=min(expires_at, transaction.created_at + transaction.terms.longest_ms),
        )
        texts = (more.asked.prompt, *self.other_ways(changed, holder))
        return Asked(changed, texts, questions=more.asked.questions)

    def _task(self, transaction: Transaction) -> Task:
        codes = transaction.terms.codes(self._parts.configuration().codes)
        return Task(transaction.id, self._parts.clock.now(), codes, self._parts.ring())

    # --- choosing a factor ---------------------------------------------------------------------------------------

    def alternatives(self, transaction: Transaction, holder: Holder) -> list[Factor]:
        """The factors that may prove the open step and that the person has, in the plan's order.

        None that was used already, and none whose codes no gateway could take out.
        """
        step = transaction.steps[transaction.step]
        channels = self._parts.configuration().channels
        factors = [BY_KIND[kind] for kind in step if kind not in transaction.proved]
        usable = [each for each in factors if each.enrolled(holder) and (each.channel is None or each.channel in channels)]
        usable = [each for each in usable if each.channel is None or self._is_open(each, holder)]
        return sorted(usable, key=_out_of_the_way) if transaction.terms.by_link else usable

    def unsendable(self, steps: Sequence[Sequence[str]], proved: Sequence[str], holder: Holder, trail: Trail) -> int:
        """How many of the next steps nothing but messages could prove, while no gateway takes any; told to the timeline.

        None where the person has nothing at all to prove one by: nothing is down then, something is missing.
        """
        skipped = 0
        for step in steps:
            channels = [BY_KIND[kind].channel for kind in step if kind not in proved and BY_KIND[kind].enrolled(holder)]
            if not channels or any(channel is None or self._is_served(channel) for channel in channels):
                break
            trail.note("FAIL OPEN: no gateway takes messages, so a step was left out", step="/".join(step), fail_open=GATEWAY_DOWN)
            skipped += 1
        return skipped

    def _is_served(self, channel: Channel) -> bool:
        return channel in self._parts.configuration().channels and not self._parts.channel_down(channel)

    async def ask_step(
        self, transaction: Transaction, holder: Holder, application: Application, trail: Trail, *status: Text
    ) -> Asked | Text:
        """Ask for the open step by the first factor that works now; the text of a refusal when none does."""
        refusal = None
        for factor in self.alternatives(transaction, holder):
            asked = await self.ask_by(factor, transaction, holder, application, trail, *status)
            if isinstance(asked, Asked):
                return asked
            refusal = Text("code.closed_no_more", {"ref": trail.reference})
        if refusal is None and transaction.terms.enrols and may_enrol(transaction, holder):
            linked = await self.by_link.ask_to_enrol(transaction, holder, application, trail)
            if isinstance(linked, Linked):
                led = self._asked_by_link(ENROL, transaction, linked)
                return replace(led, texts=(linked.prompt, *self._ways_on(led.transaction, holder)))
            refusal = Text("code.closed_no_more", {"ref": trail.reference})
        await self._note_closed(transaction, holder, trail)
        return refusal or Text(_nothing_to_ask(holder), {"ref": trail.reference})

    async def ask_by(
        self,
        factor: Factor,
        transaction: Transaction,
        holder: Holder,
        application: Application,
        trail: Trail,
        *status: Text,
        resend: bool = False,
    ) -> Asked | Text:
        """Ask by this factor. A Text tells why it cannot be asked now (its limit of messages is reached)."""
        if transaction.terms.by_link and factor.kind in ON_PAGES:
            linked = await self.by_link.ask(factor, transaction, holder, application, trail)
            if isinstance(linked, Text):
                return linked
            led = self._asked_by_link(factor.kind, transaction, linked)
            return replace(led, texts=(*status, linked.prompt, *self._ways_on(led.transaction, holder)))
        now = self._parts.clock.now()
        now_ms = to_ms(now)
        codes = transaction.terms.codes(self._parts.configuration().codes)
        if factor.channel is not None and not await self._may_send(
            factor, holder, resend, trail, application, transaction.user_name
        ):
            return Text("code.no_more")
        if factor.channel is not None and transaction.proved and self._parts.channel_down(factor.channel):
            trail.note("no gateway takes such messages", factor=factor.kind)
            status = (NOT_SENT, *(text for text in status if text.id not in _SAYS_SENT))
        interview = interviews.of_login(self._parts.configuration(), transaction)
        asked = await interviews.ask(factor, holder, self._task(transaction), interview, transaction.recall(factor.kind))
        expires_at = max(transaction.expires_at, now_ms + codes.life_s * 1000)
        changed = replace(
            transaction,
            factor=factor.kind,
            memory={**transaction.memory, factor.kind: asked.memory},
            sent_at=now_ms if asked.sending else transaction.sent_at,
            resends=transaction.resends + int(resend),
            expires_at=min(expires_at, transaction.created_at + transaction.terms.longest_ms),
        )
        trail.note("asked for a factor", factor=factor.kind)
        operations = send_code(self._parts, application, changed, asked.sending, codes.life_s, trail) if asked.sending else ()
        return Asked(changed, (*status, asked.prompt, *self.other_ways(changed, holder)), operations, asked.questions)

    def _asked_by_link(self, kind: str, transaction: Transaction, linked: Linked) -> Asked:
        """The login may last as long as any: to open a page and set something up takes longer than to type a code."""
        changed = replace(
            transaction,
            factor=kind,
            memory={**transaction.memory, kind: linked.memory},
            expires_at=transaction.created_at + transaction.terms.longest_ms,
        )
        if self.by_link.is_sent(changed):
            changed = replace(changed, sent_at=to_ms(self._parts.clock.now()))
        return Asked(changed, (linked.prompt,), linked.operations)

    def word_for_again(self, transaction: Transaction) -> tuple[Text, ...]:
        """By which word a link is sent again; nothing where it was not sent."""
        return (Text("approve.again", {"word": AGAIN[0]}),) if self.by_link.is_sent(transaction) else ()

    def _ways_on(self, transaction: Transaction, holder: Holder) -> tuple[Text, ...]:
        """What else can be typed beside the code of a page."""
        return (*self.word_for_again(transaction), *self.other_ways(transaction, holder))

    def other_ways(self, transaction: Transaction, holder: Holder) -> tuple[Text, ...]:
        """The line that names the other factors' words; nothing when there are none."""
        return _other_ways([factor for factor in self.alternatives(transaction, holder) if factor.kind != transaction.factor])

    def chosen(self, answer: bytes, transaction: Transaction, holder: Holder) -> Factor | None:
        """The factor whose word was typed instead of a code."""
        if len(answer) > MAX_WORD_BYTES:
            return None
        word = _word(answer)
        if word not in _WORDS:
            return None
        return next((factor for factor in self.alternatives(transaction, holder) if word in factor.words), None)

    # --- sending -------------------------------------------------------------------------------------------------

    def resend_wait_s(self, transaction: Transaction, now_ms: int) -> int | None:
        """Seconds until this login may have another code; 0: now; None: never again."""
        waits = self._parts.configuration().codes.resend_after_s
        if transaction.resends >= len(waits):
            return None
        due = transaction.sent_at + waits[transaction.resends] * 1000
        return max(0, -(-(due - now_ms) // 1000))

    def can_be_resent(self, transaction: Transaction) -> bool:
        """Whether something was sent for the open question."""
        return self.by_link.is_sent(transaction) or (
            transaction.factor in BY_KIND and BY_KIND[transaction.factor].channel is not None
        )

    def asks_again(self, answer: bytes, transaction: Transaction) -> bool:
        """Whether the word was typed by which a link is sent again."""
        return len(answer) <= MAX_WORD_BYTES and self.by_link.is_sent(transaction) and _word(answer) in AGAIN

    async def resend(
        self, transaction: Transaction, holder: Holder, application: Application, trail: Trail, status: Text = _RESENT
    ) -> Asked | Text:
        """Send another code for the open factor, or its link once more; earlier ones keep their life. `status`: said of a code."""
        if self.by_link.is_sent(transaction):
            linked = await self.by_link.send_again(transaction, holder, application, trail)
            if isinstance(linked, Text):
                return linked
            led = self._asked_by_link(transaction.factor, transaction.moved(resends=transaction.resends + 1), linked)
            return replace(led, texts=(Text("approve.resent"), linked.prompt, *self._ways_on(led.transaction, holder)))
        factor = BY_KIND[transaction.factor]
        return await self.ask_by(factor, transaction.moved(), holder, application, trail, status, resend=True)

    async def _may_send(
        self, factor: Factor, holder: Holder, resend: bool, trail: Trail, application: Application, user: str
    ) -> bool:
        return await self._limits.may_send(factor, holder, resend, trail, application.settings.name, user)

    def _is_open(self, factor: Factor, holder: Holder) -> bool:
        """Whether its messages may go where the person's would have to: who has a number of a closed prefix has none for codes."""
        return factor.channel is not Channel.SMS or is_allowed(holder.phone, self._parts.configuration().sending)

    async def _note_closed(self, transaction: Transaction, holder: Holder, trail: Trail) -> None:
        """The person was refused, and there was a number that nothing may be sent to."""
        factors = [BY_KIND[kind] for kind in transaction.steps[transaction.step] if kind not in transaction.proved]
        if holder.phone and any(each.enrolled(holder) and not self._is_open(each, holder) for each in factors):
            await self._limits.note_closed(holder.phone, trail)


def _word(answer: bytes) -> str:
    return answer.decode("utf-8", "replace").strip().lower()


def _out_of_the_way(factor: Factor) -> int:
    """What a window can ask for itself comes first, what has it lead elsewhere then, and what is for emergencies last."""
    return 1 if factor.kind in ON_PAGES else 2 if factor.kind in _LAST else 0


def _nothing_to_ask(holder: Holder) -> str:
    """What is told who has nothing that could be asked for: what needs a page was left out of the steps where there is none."""
    return "policy.not_here" if any(BY_KIND[kind].enrolled(holder) for kind in ON_PAGES) else "policy.no_factor"


def _other_ways(factors: Sequence[Factor]) -> tuple[Text, ...]:
    named = factors[:MAX_OTHER_WAYS]
    words, kinds = ", ".join([factor.words[0] for factor in named]), " ".join([factor.kind for factor in named])
    return (Text("code.other_ways", {"words": words, "kinds": kinds}),) if named else ()


def _still_open(transaction: Transaction) -> tuple[Where, ...]:
    return (Where("sequence", "=", transaction.sequence), Where("state", "=", State.CHALLENGED.value))
