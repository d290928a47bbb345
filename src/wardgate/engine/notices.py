"""Tells a person, everywhere he can be reached, what is being done to his account: he is the one who knows whether it is he.

Never a password, a code or a whole address. A notice may bear a link, which does nothing by being opened: behind it is a button.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from wardgate.account.contact import Contact, by_age, compared
from wardgate.account.mail_link import Purpose, make
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.crypto import new_id
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel
from wardgate.directory.port import ContactKind, DirectoryUser
from wardgate.engine.prefixes import is_allowed
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Notice, Whom, mail_of, sms_of
from wardgate.factors.port import Holder
from wardgate.storage.port import Operation, Where

# A notice that comes days later frightens without helping.
LIFE_MS: Final = 24 * 3_600_000
# Pages of the person's own account.
ACCOUNT: Final = "/account"
ACTIVITY: Final = "/account/activity"
# What is told, by what happened.
TOLD: Final = (
    *("first_proof", "password_reset", "password_changed", "unlocked"),
    *("authenticator_added", "authenticator_removed", "codes_renewed", "questions_set", "questions_cleared"),
    "activated",
    *("recovery_code_used", "device_reused", "unfrozen"),
)
# Of these, what the person can dispute by a link.
DISPUTABLE: Final = TOLD[:-1]
# A directory may tell of many addresses; an event is no reason for more messages than these.
MAX_ADDRESSEES: Final = 30
# Of what is told to every old contact and the new one: those of whom something is taken hear of it, however many numbers they are.
TO_EVERY_NUMBER: Final = frozenset(
    {"contact_added", "contact_added_first", "contact_removed", "contact_replaced", "contact_undone", "desk_contacts"}
)
CHANNELS: Final[Mapping[ContactKind, Channel]] = {ContactKind.PHONE: Channel.SMS, ContactKind.MAIL: Channel.EMAIL}


@dataclass(frozen=True, slots=True)
class Addressee:
    """Where a notice goes. `linked`: whether it bears the link there."""

    channel: Channel
    to: str = field(repr=False)
    linked: bool = True


def notify(
    parts: EngineParts,
    whom: Whom,
    holder: Holder,
    happened: str,
    used: Channel | None = None,
    lost: bool = False,
    values: Mapping[str, str | int] = MappingProxyType({}),
) -> tuple[Operation, ...]:
    """The messages for the unit of what happened, to every place that is his: none for what need not be told.

    The preferred ones alone would not do: whoever is in the account prefers his own. `used`: the channel that was just used;
    the place that its codes go to need not be told. `lost`: something of his may be in other hands, a phone perhaps, which
    hears of it without a link that it could press.
    """
    if happened not in TOLD:
        return ()
    first = [(Channel.EMAIL, holder.mail), (Channel.SMS, holder.phone)]
    others = [(Channel.EMAIL, each) for each in holder.other_mails] + [(Channel.SMS, each) for each in holder.other_phones]
    just_used = {compared(to) for channel, to in first if to and channel is used}
    # Of all numbers one gets a text message: the directory's, or the one that was verified first, not the one that is preferred.
    told_first = [(Channel.SMS, holder.told_phone)]
    places = [(channel, to) for channel, to in [*told_first, *first, *others] if to and compared(to) not in just_used]
    addressees = [replace(each, linked=not (lost and each.channel is Channel.SMS)) for each in each_once(places)]
    if happened not in DISPUTABLE or not parts.public_url or not addressees:
        return tell(parts, whom, addressees, Notice(happened, values, call=happened in DISPUTABLE))
    link, insert = dispute_link(parts, whom)
    said = "notice.link_stop" if happened == "first_proof" else "notice.link_not_me"
    return (insert, *tell(parts, whom, addressees, Notice(happened, values, link=link, link_text=said, call=True)))


async def recovery_code_used(parts: EngineParts, whom: Whom, holder: Holder, is_spent: bool) -> tuple[Operation, ...]:
    """The messages about a recovery code that opened the account, with how many are left. `is_spent`: it is no longer counted."""
    sheets = holder.of_kind(RECOVERY_CODE)
    if not sheets:
        return ()
    unused = (Where("authenticator_id", "=", sheets[0].id), Where("used_at", "is_null"))
    left = await parts.storage.count("recovery_code", unused)
    return notify(parts, whom, holder, "recovery_code_used", values={"left": max(0, left - (not is_spent))})


def tell(parts: EngineParts, whom: Whom, addressees: Iterable[Addressee], notice: Notice) -> tuple[Operation, ...]:
    """The messages of a notice, one for each addressee that some gateway serves; one text message at most, for most of them."""
    configuration = parts.configuration()
    served = [
        each
        for each in list(addressees)[:MAX_ADDRESSEES]
        if each.channel in configuration.channels
        and (each.channel is not Channel.SMS or is_allowed(each.to, configuration.sending))
    ]
    if notice.happened not in TO_EVERY_NUMBER:
        first = next((each for each in served if each.channel is Channel.SMS), None)
        served = [each for each in served if each.channel is not Channel.SMS or each is first]
    return tuple(operation for each in served for operation in _message(parts, whom, each, notice))


def everywhere(user: DirectoryUser | None, contacts: Sequence[Contact]) -> list[Addressee]:
    """Every place where a person can be reached, each once: all that the directory tells, then his verified contacts by age."""
    found: list[tuple[Channel, str]] = []
    if user is not None:
        found += [(Channel.EMAIL, each) for each in (user.mail, *user.other_mails) if each]
        found += [(Channel.SMS, each) for each in (user.phone, *user.other_phones) if each]
    found += [(CHANNELS[each.kind], each.value) for each in by_age(contacts)]
    return each_once(found)


def each_once(places: Iterable[tuple[Channel, str]]) -> list[Addressee]:
    """However an address is written, one message goes there: in the spelling that stands first."""
    found: dict[tuple[Channel, str], str] = {}
    for channel, to in places:
        found.setdefault((channel, compared(to)), to)
    return [Addressee(channel, to) for (channel, _), to in found.items()]


def dispute_link(parts: EngineParts, whom: Whom) -> tuple[str, Operation]:
    """The address of a link by which a person says that it was not him, and what keeps it."""
    payload = {"user": whom.user_name, "application": whom.application, "language": whom.language, "reference": whom.reference}
    payload["realm"] = whom.realm
    now_ms = to_ms(parts.clock.now())
    token, insert = make(parts.ring(), SubjectId(whom.subject_id), Purpose.NOT_ME, payload, now_ms)
    return link_address(parts, token.reveal().decode()), insert


def link_address(parts: EngineParts, token: str) -> str:
    """Where a link leads: to the address that is configured, never to one that a request named."""
    return f"{parts.public_url}/l/{token}"


def each_mail(holder: Holder) -> list[str]:
    """Every mail address of a person, each once."""
    found = [(Channel.EMAIL, to) for to in (holder.mail, *holder.other_mails) if to]
    return [each.to for each in each_once(found)]


def page_address(parts: EngineParts, path: str) -> str:
    """Where a page of the person's own account is; empty where nobody knows how people reach ours."""
    return f"{parts.public_url}{path}" if parts.public_url else ""


def to_security(parts: EngineParts, whom: Whom, notice: Notice) -> tuple[Operation, ...]:
    """Word to those who look after security, in the language of the default realm."""
    configuration = parts.configuration()
    settings = configuration.realms.default.settings
    addressees = [Addressee(Channel.EMAIL, each) for each in configuration.notices.security_mail]
    return tell(parts, replace(whom, language=settings.language), addressees, notice)


def _message(parts: EngineParts, whom: Whom, addressee: Addressee, notice: Notice) -> list[Operation]:
    now, configuration = parts.clock.now(), parts.configuration()
    now_ms, linked = to_ms(now), bool(notice.link and addressee.linked)
    if addressee.channel is Channel.SMS:
        subject, text = "", sms_of(configuration, whom, notice, linked)
    else:
        subject, text = mail_of(configuration, whom, notice, linked, now)
    return enqueue(
        parts.ring(),
        message_id=new_id(),
        channel=addressee.channel,
        to=addressee.to,
        text=text,
        subject=subject,
        code="",
        user_name=whom.user_name,
        subject_id=whom.subject_id,
        application=whom.application,
        transaction_id=whom.transaction_id,
        reference=whom.reference,
        created_at_ms=now_ms,
        expires_at_ms=now_ms + LIFE_MS,
        keep=parts.keep_messages,
        sender=parts.sender,
    )
