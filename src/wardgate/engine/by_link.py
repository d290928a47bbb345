"""What a window without pages asks for by a short link: a proof that only a page can take, or that a second step is set up at all.

The window says where the link is, or where it was sent, and takes the code that the page ends with. Until the page shows one,
whatever is typed is no guess: there is nothing to guess, and the question is put again as often as a login has rounds. A link that
was sent is sent again, the same one, when its word is typed; the waits and limits are those of codes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from wardgate.account import short_link
from wardgate.account.short_link import Purpose, ShortLink
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.contacts import mask_mail, mask_phone
from wardgate.crypto import new_id, same
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.runtime import Application, EngineParts
from wardgate.engine.sending import MessageLimits
from wardgate.engine.transaction import Transaction
from wardgate.factors import BY_LINK, ON_PAGES, SECOND_FACTORS, STRONG_KINDS
from wardgate.factors.port import Factor, Holder, Right, Wrong, digits_of
from wardgate.storage.port import Operation
from wardgate.texts import Text, render_in_message
from wardgate.values import quick_value

# What stands for a factor in a login whose person has to set one up first. It is none of policies, and proves nothing.
ENROL: Final = "enrol"
# What a page of a short link can set up, the strongest first.
ENROLLABLE: Final = ("passkey", "totp")
# A longer one leaves no room in a window for what to do with it: it is sent.
MAX_SHOWN_CHARS: Final = 60
# What is typed for the message once more, in small letters as any keyboard makes them. The first is told.
AGAIN: Final = ("link", "bağlantı", "bağlanti", "baglanti")
_LINK: Final = "link"
_MASKED: Final = "masked"
_STRONG: Final = frozenset(STRONG_KINDS)


@quick_value
class Linked:
    """A question by a link: what the login remembers of it, what is said, and what belongs into the commit."""

    memory: Mapping[str, object]
    prompt: Text
    operations: tuple[Operation, ...]


@quick_value
class Proved:
    """The code of a page was typed: what was proved there."""

    kind: str
    verdict: Right


@quick_value
class Unproved:
    """It was not. `shown`: the page has shown a code, so that this was a guess."""

    shown: bool


def enrollable(transaction: Transaction) -> list[str]:
    """What the open step takes and a page of a link can set up."""
    step = transaction.steps[transaction.step]
    return [kind for kind in ENROLLABLE if kind in step and (kind not in ON_PAGES or transaction.terms.by_link)]


def may_enrol(transaction: Transaction, holder: Holder) -> bool:
    """Whether this person may set something up in this login: never with less than the strongest proof that the account has.

    Who has a strong factor proves one first: a link to a phone must not add to what a passkey protects. So do those that are held.
    """
    if not transaction.terms.enrols or transaction.grace or transaction.refusal or not enrollable(transaction):
        return False
    strong = any(each.kind in _STRONG for each in (*holder.authenticators, *holder.held))
    return not strong or not _STRONG.isdisjoint(transaction.proved)


class ByLink:
    """Asks by links, and judges what comes back."""

    def __init__(self, parts: EngineParts, limits: MessageLimits) -> None:
        self._parts = parts
        self._limits = limits

    async def ask(
        self, factor: Factor, transaction: Transaction, holder: Holder, application: Application, trail: Trail
    ) -> Linked | Text:
        """Ask for a factor that needs a page. A Text tells why that cannot be now."""
        address = self._address(transaction, factor.kind)
        if transaction.terms.by_link == "shown" and len(address) <= MAX_SHOWN_CHARS:
            return self._linked(factor.kind, transaction, {}, trail, ())
        return await self._sent(factor.kind, transaction, holder, application, trail) or Text("code.no_more")

    async def ask_to_enrol(self, transaction: Transaction, holder: Holder, application: Application, trail: Trail) -> Linked | Text:
        """Have the person set up what the step takes: by a link to where he is known to be, or with a start code of an operator."""
        if transaction.terms.enrols == "contact":
            way = self._way(holder)
            if way is not None:
                return await self._sent(ENROL, transaction, holder, application, trail) or Text("code.no_more")
        return self._linked(ENROL, transaction, {"start_code": True}, trail, ())

    def repeat(self, transaction: Transaction) -> Text | None:
        """The open question again; None where it was not asked by a link."""
        memory = transaction.recall(transaction.factor)
        return self._prompt(transaction, transaction.factor, memory) if _LINK in memory else None

    @staticmethod
    def is_sent(transaction: Transaction) -> bool:
        """Whether the open question is by a link that went in a message."""
        memory = transaction.recall(transaction.factor)
        return _LINK in memory and bool(memory.get(_MASKED))

    async def send_again(self, transaction: Transaction, holder: Holder, application: Application, trail: Trail) -> Linked | Text:
        """The link of the open question in one more message. A Text tells why not."""
        links = await self._of(transaction, [transaction.factor])
        if not any(link.is_open(to_ms(self._parts.clock.now())) for link in links):
            return Text("approve.gone")
        sent = await self._message_to(transaction.factor, transaction, holder, application, trail, resend=True)
        if sent is None:
            return Text("approve.no_more")
        memory, message = sent
        kept = {**transaction.recall(transaction.factor), **memory}
        return Linked(kept, self._prompt(transaction, transaction.factor, kept), message)

    async def is_begun(self, transaction: Transaction) -> bool:
        """Whether somebody goes on with a page of this step: his code is for the window that asked, and for no other one."""
        return any(link.browser_mac is not None for link in await self._of(transaction, self._asked(transaction)))

    async def judge(self, transaction: Transaction, given: bytes, now_ms: int) -> Proved | Unproved | None:
        """Whether this is the code of a page. None: no link was given in this step, so that nothing was read."""
        ring, links = self._parts.ring(), await self._of(transaction, self._asked(transaction))
        digits = digits_of(given) if links else None
        for link in links:
            mac = short_link.window_mac(ring, link, digits or "")
            taken = link.proved in transaction.steps[transaction.step] and link.proved not in transaction.proved
            if taken and digits and link.code_mac is not None and link.is_open(now_ms) and same(link.code_mac, mac):
                return Proved(link.proved, self._verdict(link, mac, now_ms))
        return Unproved(any(link.code_mac is not None for link in links)) if links else None

    def _verdict(self, link: ShortLink, mac: bytes, now_ms: int) -> Right:
        used = short_link.use_code(link, mac, now_ms)
        return Right((used,), Wrong("code_replayed", counted=False), twofold=link.twofold)

    async def _of(self, transaction: Transaction, kinds: Sequence[str]) -> list[ShortLink]:
        """The links by which these kinds were asked for in this step."""
        ring, links = self._parts.ring(), list[ShortLink]()
        for kind in kinds:
            mac = short_link.mac_of(ring, short_link.code_of(ring, transaction.id, transaction.step, kind))
            row = await self._parts.storage.get(short_link.TABLE, {"link_mac": mac})
            link = short_link.from_row(ring, row) if row is not None else None
            links += [link] if link is not None and link.transaction_id == transaction.id else []
        return links

    @staticmethod
    def _asked(transaction: Transaction) -> list[str]:
        """The kinds that were asked for by a link in this step."""
        asked = [kind for kind in transaction.memory if transaction.recall(kind).get(_LINK) == transaction.step]
        return [kind for kind in asked if kind == ENROL or kind in BY_LINK]

    # --- making one ------------------------------------------------------------------------------------------------

    def _linked(
        self, kind: str, transaction: Transaction, memory: Mapping[str, object], trail: Trail, operations: Sequence[Operation]
    ) -> Linked:
        """The link itself, with where the login was asked from for its page to tell."""
        ring, now_ms = self._parts.ring(), to_ms(self._parts.clock.now())
        kept = {_LINK: transaction.step, **memory}
        mac = short_link.mac_of(ring, short_link.code_of(ring, transaction.id, transaction.step, kind))
        asked: dict[str, object] = {
            "client": trail.client or trail.source,
            "counts": trail.counted_client,
            "nas": trail.nas,
            "door": trail.door,
            "at": now_ms,
            "kinds": enrollable(transaction) if kind == ENROL else [],
            "start_code": bool(memory.get("start_code")),
        }
        link = ShortLink(
            mac=mac or b"",
            transaction_id=transaction.id,
            subject_id=SubjectId(transaction.subject_id),
            purpose=Purpose.ENROL if kind == ENROL else Purpose.CONFIRM,
            factor="" if kind == ENROL else kind,
            asked=asked,
            created_at=now_ms,
            expires_at=transaction.created_at + transaction.terms.longest_ms,
        )
        trail.note("a short link was given", purpose=link.purpose.value, factor=link.factor or None)
        return Linked(kept, self._prompt(transaction, kind, kept), (short_link.create(ring, link), *operations))

    def _prompt(self, transaction: Transaction, kind: str, memory: Mapping[str, object]) -> Text:
        base = BY_LINK.get(kind, "approve.enrol")
        masked = str(memory.get(_MASKED, ""))
        if masked:
            return Text(f"{base}_sent", {"masked": masked})
        return Text(base, {"link": self._address(transaction, kind)})

    def _address(self, transaction: Transaction, kind: str) -> str:
        """Where the link leads: to the address that is configured, never to one that a request named."""
        code = short_link.code_of(self._parts.ring(), transaction.id, transaction.step, kind)
        return f"{self._parts.public_url}/approve/{code}"

    # --- sending one -----------------------------------------------------------------------------------------------

    def _way(self, holder: Holder) -> Factor | None:
        """How a link reaches this person; None where he has neither phone nor mail address that is known, or no gateway."""
        configuration = self._parts.configuration()
        for factor in SECOND_FACTORS:
            if factor.channel is None or factor.channel not in configuration.channels or not factor.enrolled(holder):
                continue
            if factor.channel is not Channel.SMS or is_allowed(holder.phone, configuration.sending):
                return factor
        return None

    async def _sent(
        self, kind: str, transaction: Transaction, holder: Holder, application: Application, trail: Trail
    ) -> Linked | None:
        """The link in a message; None where none may go."""
        sent = await self._message_to(kind, transaction, holder, application, trail)
        return self._linked(kind, transaction, sent[0], trail, sent[1]) if sent is not None else None

    async def _message_to(
        self, kind: str, transaction: Transaction, holder: Holder, application: Application, trail: Trail, resend: bool = False
    ) -> tuple[Mapping[str, object], tuple[Operation, ...]] | None:
        """Where the link goes, and the message, which counts like one with a code; None where none may go."""
        way = self._way(holder)
        if way is None or way.channel is None:
            return None
        if not await self._limits.may_send(way, holder, resend, trail, application.settings.name, transaction.user_name):
            return None
        to, sms = way.destination(holder) or "", way.channel is Channel.SMS
        memory = {_MASKED: mask_phone(to) if sms else mask_mail(to)}
        return memory, self._message(kind, transaction, application, way.channel, to, trail)

    def _message(
        self, kind: str, transaction: Transaction, application: Application, channel: Channel, to: str, trail: Trail
    ) -> tuple[Operation, ...]:
        now_ms, message_id, language = to_ms(self._parts.clock.now()), new_id(), transaction.language
        until = transaction.created_at + transaction.terms.longest_ms
        values: dict[str, str | int] = {
            "application": application.title,
            "link": self._address(transaction, kind),
            "client": trail.client or trail.source,
            "min": max(1, (until - now_ms) // 60_000),
            "ref": transaction.reference,
        }
        name = "enrol" if kind == ENROL else "confirm"
        form = "sms" if channel is Channel.SMS else "email"
        subject = "" if channel is Channel.SMS else render_in_message(Text(f"approve.{name}_subject", values), language)
        text = render_in_message(Text(f"approve.{name}_{form}", values), language)
        event = AuditEvent(
            Kind.LINK_SENT,
            now_ms,
            "engine",
            transaction_id=transaction.id,
            reference=transaction.reference,
            subject_id=transaction.subject_id,
            details={"channel": channel.value, "message": message_id, "purpose": name},
        )
        trail.note("message put into the outbox", channel=channel.value, message=message_id)
        message = enqueue(
            self._parts.ring(),
            message_id=message_id,
            channel=channel,
            to=to,
            text=text.strip() + ("\n" if subject else ""),
            subject=subject,
            code="",
            user_name=transaction.user_name,
            subject_id=transaction.subject_id,
            application=transaction.application,
            transaction_id=transaction.id,
            reference=transaction.reference,
            created_at_ms=now_ms,
            expires_at_ms=until,
            keep=self._parts.keep_messages,
            sender=self._parts.sender,
        )
        return (*message, record(event))
