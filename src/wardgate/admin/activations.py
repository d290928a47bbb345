"""Activations of people in whichever directory: issued by message or on paper, shown without what is secret, taken back.

Link and code are known in the moment of issuing alone. No password is ever set or sent here.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from wardgate.account.activation import (
    CODE_LIFE_MS,
    MAIL_LIFE_MS,
    SMS_LIFE_MS,
    Activation,
    Issued,
    Link,
    State,
    cancel,
    issue,
    of_subject,
    read_one,
)
from wardgate.account.contact import place_key
from wardgate.account.freeze import asked
from wardgate.account.subject import SubjectId
from wardgate.admin import fields
from wardgate.admin.contacts import codes_go_to
from wardgate.admin.office import Office
from wardgate.admin.people import Person, found_person
from wardgate.admin.telling import Act, Whose, word_of
from wardgate.audit.events import AuditEvent, Kind
from wardgate.brand.settings import merged
from wardgate.clock import from_ms
from wardgate.config.document import Document
from wardgate.config.store import load_current
from wardgate.contacts import mask_mail, mask_phone
from wardgate.crypto import new_id, new_reference
from wardgate.delivery.outbox import enqueue
from wardgate.delivery.port import Channel
from wardgate.directory.port import AccountState
from wardgate.directory.realm import Realm, Realms, parse_login_name
from wardgate.directory.settings import RealmSettings
from wardgate.engine.finding import login_name
from wardgate.engine.runtime import PRODUCT
from wardgate.engine.settings import with_portal
from wardgate.errors import Conflict, NotFound, UsageError
from wardgate.storage.port import Committed, Operation
from wardgate.texts import Text, language_of, render, render_in_message

MAIL, SMS, PRINT = "mail", "sms", "print"
WAYS: Final = (MAIL, SMS, PRINT)
_CHANNELS: Final = {MAIL: (Channel.EMAIL, MAIL_LIFE_MS), SMS: (Channel.SMS, SMS_LIFE_MS)}


async def activate(
    office: Office, portal_url: str, *, name: str, by: Collection[str], tell: str | None = None, directory: str | None = None
) -> dict[str, Any]:
    """Issue an activation: a link by `mail` or `sms`, a start code with `print`, or a link and a code. The old one ends.

    `tell`: a mail address that gets word when the account is set up. The code stands in the result and nowhere else. Raises
    UsageError, NotFound, Conflict, DirectoryUnavailable.
    """
    _, document = await load_current(office.storage)
    ways = _checked(by)
    address = fields.mail_address(tell) if tell else None
    async with found_person(office, name, directory) as person:
        if person.user.state is not AccountState.ACTIVE:
            raise UsageError(f"the account of {person.user.name} is {person.user.state.value}: nobody can be activated in it")
        if await _is_frozen(office, person.subject_id):
            raise UsageError(f"the account of {person.user.name} is frozen: wardgate user unfreeze lifts that")
        named = _login_name(document, name, person, directory)
        goes = await codes_go_to(office, person)
        channel, to, link = _link(office, person, ways, goes)
        subject_id, first = person.met(office)
        issued = issue(
            office.ring,
            subject_id,
            named,
            office.actor,
            office.now_ms(),
            link,
            CODE_LIFE_MS if PRINT in ways else 0,
            address or "",
        )
        message = _message(office, document, portal_url, person, issued, channel, to) if channel is not None else []
        details = {"ways": sorted(ways), "until": from_ms(issued.activation.expires_at).isoformat()}
        event = _event(office, Kind.ACTIVATION_ISSUED, person, issued.activation, details)
        # Where the link goes, its own message says that it was issued.
        user = person.user
        whose = Whose(user.directory, user.immutable_id, user.name, user, subject_id, but=to)
        told = await word_of(office, whose, Act("activation_issued"))
        if not isinstance(await office.storage.commit([*first, issued.operation, *message, event, *told]), Committed):
            raise Conflict(f"{person.user.name} was met by somebody else in this moment: try again")
    return {
        "directory": person.user.directory,
        "user": person.user.name,
        "login_name": named,
        "display_name": person.user.display_name,
        "sent_to": _masked(channel, to),
        "code": issued.code.reveal().decode() if issued.code is not None else None,
        "address": f"{portal_url}/activate",
        "brand": _brand(document, person),
        "language": _language_of(document, person),
        "second_proofs": _second_proofs(ways, goes),
        **described(issued.activation, office.now_ms()),
    }


async def cancel_activation(office: Office, *, name: str, directory: str | None = None) -> dict[str, Any]:
    """Take a person's activation back. Raises NotFound where none is open, Conflict, DirectoryUnavailable."""
    async with found_person(office, name, directory) as person:
        activation = await _of(office, person.subject_id)
        if activation is None or not activation.is_open(office.now_ms()):
            raise NotFound(f"{person.user.name} has no activation that is open")
        event = _event(office, Kind.ACTIVATION_CANCELLED, person, activation)
        if not isinstance(await office.storage.commit([cancel(activation, office.now_ms()), event]), Committed):
            raise Conflict("the activation was used or changed in this moment")
        return {"directory": person.user.directory, "user": person.user.name, "cancelled": True}


async def show_activation(office: Office, *, name: str, directory: str | None = None) -> dict[str, Any]:
    """How a person's last activation stands. Raises NotFound, DirectoryUnavailable."""
    async with found_person(office, name, directory) as person:
        activation = await _of(office, person.subject_id)
        told = described(activation, office.now_ms()) if activation is not None else None
        return {"directory": person.user.directory, "user": person.user.name, "activation": told}


async def open_activation(office: Office, subject_id: SubjectId | None) -> dict[str, Any] | None:
    """The activation of a person that is open; None where there is none."""
    activation = await _of(office, subject_id)
    return described(activation, office.now_ms()) if activation is not None and activation.is_open(office.now_ms()) else None


def described(activation: Activation, now_ms: int) -> dict[str, Any]:
    """An activation as JSON values: never what opens it."""
    over = activation.state is State.OPEN and not activation.is_open(now_ms)
    return {
        "state": "expired" if over else activation.state.value,
        "issuer": activation.issuer,
        "link": {"email": MAIL, "sms": SMS}.get(activation.channel),
        "link_until": _iso(activation.link_until),
        "has_code": activation.code_mac is not None,
        "code_until": _iso(activation.code_until),
        "wrong_answers": activation.tries,
        "issued_at": from_ms(activation.created_at).isoformat(),
        "ended_at": _iso(activation.ended_at or 0),
    }


async def _is_frozen(office: Office, subject_id: SubjectId | None) -> bool:
    return subject_id is not None and bool((await office.storage.read([asked(subject_id)]))[0])


async def _of(office: Office, subject_id: SubjectId | None) -> Activation | None:
    return read_one(*await office.storage.read([of_subject(subject_id)])) if subject_id is not None else None


def _checked(by: Collection[str]) -> frozenset[str]:
    unknown = sorted(set(by) - set(WAYS))
    if unknown or not by:
        raise UsageError(f"by: one or two of {', '.join(WAYS)}")
    if MAIL in by and SMS in by:
        raise UsageError("one link goes out, by mail or by sms: a code to the other one proves then that it is the person")
    return frozenset(by)


def _login_name(document: Document, typed: str, person: Person, directory: str | None) -> str:
    """What the person types at sign-in, in the realm in which the operator found him."""
    realms = Realms([Realm(each, ()) for each in document.realms])
    if directory is None:
        realm, _ = parse_login_name(typed, realms)
        return login_name(realms, realm.settings.name, person.user.name)
    of_directory = [each.settings.name for each in realms if directory in each.settings.directories]
    if not of_directory:
        raise UsageError(f"directory {directory} is in no realm: nobody signs in from it")
    return login_name(realms, of_directory[0], person.user.name)


def _link(
    office: Office, person: Person, ways: Collection[str], goes: dict[str, str | None]
) -> tuple[Channel | None, str, Link | None]:
    way = next((each for each in ways if each in _CHANNELS), None)
    if way is None:
        return None, "", None
    to = goes["mail"] if way == MAIL else goes["phone"]
    if not to:
        what = "mail address" if way == MAIL else "phone"
        raise UsageError(f"{person.user.name} has no {what} that codes go to; wardgate user contact add gives one")
    channel, life_ms = _CHANNELS[way]
    return channel, to, Link(channel.value, place_key(office.ring, to), life_ms)


def _second_proofs(ways: Collection[str], goes: dict[str, str | None]) -> list[str]:
    """What the person can prove beside what was issued, as far as contacts tell; what he has enrolled comes on top."""
    found = ["start_code"] if PRINT in ways and len(ways) > 1 else []
    found += ["sms"] if goes["phone"] and SMS not in ways else []
    return found + (["email"] if goes["mail"] and MAIL not in ways else [])


def _message(
    office: Office, document: Document, portal_url: str, person: Person, issued: Issued, channel: Channel, to: str
) -> list[Operation]:
    """The message with the link. It goes when the link does."""
    portal = next(each.name for each in with_portal(document.applications, "") if each.kind == "portal")
    activation, now_ms, reference = issued.activation, office.now_ms(), new_reference()
    token = issued.token.reveal().decode() if issued.token is not None else ""
    language = _language_of(document, person)
    values: dict[str, str | int] = {
        "link": f"{portal_url}/activate/{token}",
        "until": f"{from_ms(activation.link_until):%Y-%m-%d %H:%M} UTC",
        "n": (activation.link_until - now_ms) // 60_000,
        "ref": reference,
    }
    is_sms = channel is Channel.SMS
    text = render_in_message(Text("activate.sms" if is_sms else "activate.mail_body", values), language)
    return enqueue(
        office.ring,
        message_id=new_id(),
        channel=channel,
        to=to,
        text=text.strip() + ("" if is_sms else "\n"),
        subject="" if is_sms else render(Text("activate.mail_subject"), language),
        code="",
        user_name=person.user.name,
        subject_id=activation.subject_id,
        application=portal,
        transaction_id=activation.id,
        reference=reference,
        created_at_ms=now_ms,
        expires_at_ms=activation.link_until,
        keep=False,
    )


def _language_of(document: Document, person: Person) -> str:
    """What he is told in."""
    realm = _realm(document, person)
    return language_of(person.user.language or (realm.language if realm is not None else "en"))


def _brand(document: Document, person: Person) -> str:
    """Whose account it is, as people of his realm know it."""
    realm = _realm(document, person)
    return merged(document.brand, realm.brand if realm is not None else None).name or PRODUCT


def _realm(document: Document, person: Person) -> RealmSettings | None:
    return next((each for each in document.realms if person.user.directory in each.directories), None)


def _event(
    office: Office, kind: Kind, person: Person, activation: Activation, more: Mapping[str, object] | None = None
) -> Operation:
    about = {"directory": person.user.directory, "user": person.user.name, "issuer": activation.issuer, "activation": activation.id}
    details = {**about, **(more or {})}
    who = (kind, office.now_ms(), office.actor, None, office.reference, activation.subject_id)
    return office.record(AuditEvent(*who, details=details))


def _masked(channel: Channel | None, to: str) -> str | None:
    return None if channel is None else mask_phone(to) if channel is Channel.SMS else mask_mail(to)


def _iso(at_ms: int) -> str | None:
    return from_ms(at_ms).isoformat() if at_ms else None
