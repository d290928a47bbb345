"""Contacts of users in whichever directory: Wardgate's own beside the directory's, and where codes go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wardgate.account.contact import (
    MAX_CONTACTS,
    TABLE,
    Source,
    contact_key,
    create_contact,
    kept_contacts,
    merge,
    open_contact,
    prefer,
    remove_contact,
    usable_contacts,
)
from wardgate.account.directory_contact import vouched
from wardgate.account.subject import NO_SUBJECT, SubjectId
from wardgate.admin import fields
from wardgate.admin.office import Office
from wardgate.admin.people import TIMEOUT_S, Person, found_person
from wardgate.admin.telling import Act, Whose, word_of
from wardgate.audit.events import AuditEvent, Kind
from wardgate.clock import from_ms
from wardgate.contacts import mask_mail, mask_phone, normalise_phone
from wardgate.crypto import KeyRing
from wardgate.directory.port import ContactKind, ContactWriting
from wardgate.engine.notices import CHANNELS, Addressee
from wardgate.errors import (
    AlreadyExists,
    Conflict,
    DirectoryUnavailable,
    MessageError,
    NotFound,
    SealError,
    UsageError,
    WardgateError,
)
from wardgate.storage.port import Committed, Operation, Row, Update

_TRIES: Final = 5

Build = Callable[[SubjectId, Sequence[Row]], list[Operation]]


async def list_contacts(office: Office, *, name: str, directory: str | None = None) -> dict[str, Any]:
    """A user's own contacts, those of the directory, and where codes go. Raises NotFound, DirectoryUnavailable."""
    async with found_person(office, name, directory) as person:
        rows = await _rows(office, person.subject_id)
        user = person.user
        return {
            **_about(person, person.subject_id),
            "contacts": [_describe(office.ring, row) for row in rows],
            "of_directory": {
                "phones": [value for value in (user.phone, *user.other_phones) if value],
                "mails": [value for value in (user.mail, *user.other_mails) if value],
                "unusable": list(user.unusable),
            },
            "codes_go_to": await codes_go_to(office, person),
        }


async def add_contact(
    office: Office, *, name: str, value: str, verified: bool = False, to_directory: bool = False, directory: str | None = None
) -> dict[str, Any]:
    """Put a phone or mail address into a user's own profile, or with `to_directory` into the directory.

    `verified`: the operator has made sure that it is the user's; without it no code goes there. Raises AlreadyExists, NotFound,
    UsageError, DirectoryUnavailable, RightMissing.
    """
    async with found_person(office, name, directory) as person:
        kind, plain = _parsed(value, person.region)
        if to_directory:
            await _write(office, person, kind, plain)
            return await _told(office, person, person.subject_id, kind, plain) | {"verified": True, "written_to_directory": True}

        def build(subject_id: SubjectId, rows: Sequence[Row]) -> list[Operation]:
            if sum(row["kind"] == kind.value for row in rows) >= MAX_CONTACTS:
                raise UsageError(f"{person.user.name} already has {MAX_CONTACTS} contacts of this kind: remove one first")
            if any(row["value_key"] == contact_key(office.ring, subject_id, kind, plain) for row in rows):
                told = "already has this contact; to have one verified, remove it and add it with --verified"
                raise AlreadyExists(f"{person.user.name} {told}")
            verified_at = office.now_ms() if verified else None
            created = create_contact(office.ring, subject_id, kind, plain, Source.OPERATOR, verified_at, office.now_ms())
            return [*created, _event(office, Kind.CONTACT_ADDED, person, subject_id, kind, plain, {"verified": verified})]

        act = _Told("contact_added", kind, plain if verified else "", masked(kind, plain))
        subject_id = await _commit(office, person, build, act)
        return await _told(office, person, subject_id, kind, plain) | {"verified": verified, "written_to_directory": False}


async def remove_own_contact(
    office: Office, *, name: str, value: str, from_directory: bool = False, directory: str | None = None
) -> dict[str, Any]:
    """Take a contact out of the profile, or with `from_directory` the directory's own one. Raises as `add_contact` does."""
    async with found_person(office, name, directory) as person:
        kind, plain = _parsed(value, person.region)
        if from_directory:
            if plain != (person.user.phone if kind is ContactKind.PHONE else person.user.mail):
                raise NotFound(f"this is not the {kind.value} that the directory has of {person.user.name}")
            await _write(office, person, kind, None)
            return await _told(office, person, person.subject_id, kind, plain) | {"written_to_directory": True}

        def build(subject_id: SubjectId, rows: Sequence[Row]) -> list[Operation]:
            row = _wanted(office.ring, person, subject_id, rows, kind, plain)
            # Refused when it has gone meanwhile.
            there = Update(TABLE, {each: row[each] for each in ("subject_id", "kind", "value_key")}, {"preferred": 0})
            gone = remove_contact(subject_id, kind, contact_key(office.ring, subject_id, kind, plain))
            return [there, gone, _event(office, Kind.CONTACT_REMOVED, person, subject_id, kind, plain)]

        subject_id = await _commit(office, person, build, _Told("contact_removed", kind, "", masked(kind, plain)))
        return await _told(office, person, subject_id, kind, plain) | {"written_to_directory": False}


async def prefer_contact(office: Office, *, name: str, value: str, directory: str | None = None) -> dict[str, Any]:
    """Let codes go to one of a user's own verified contacts; `phone` or `mail` as the value: to the directory's again."""
    async with found_person(office, name, directory) as person:
        of_directory = value.strip().lower() in [each.value for each in ContactKind]
        kind, plain = (ContactKind(value.strip().lower()), None) if of_directory else _parsed(value, person.region)

        def build(subject_id: SubjectId, rows: Sequence[Row]) -> list[Operation]:
            event = _event(office, Kind.CONTACT_PREFERRED, person, subject_id, kind, plain)
            if plain is None:
                return [*prefer(rows, kind, None), event]
            row = _wanted(office.ring, person, subject_id, rows, kind, plain)
            if row["verified_at"] is None:
                raise UsageError("nobody verified this contact, so no code goes there: remove it and add it with --verified")
            return [*prefer(rows, kind, contact_key(office.ring, subject_id, kind, plain)), event]

        said = "contact_preferred" if plain is not None else "contact_of_directory"
        act = _Told(said, kind, "", masked(kind, plain) if plain is not None else "")
        subject_id = await _commit(office, person, build, act)
        return await _told(office, person, subject_id, kind, plain) | {"written_to_directory": False}


async def codes_go_to(office: Office, person: Person, subject_id: SubjectId | None = None) -> dict[str, str | None]:
    """The phone and the mail address that codes for this user go to."""
    reach = merge(person.user, usable_contacts(office.ring, await _rows(office, subject_id or person.subject_id)))
    return {"phone": reach.phone, "mail": reach.mail}


async def _rows(office: Office, subject_id: SubjectId | None) -> Sequence[Row]:
    [rows] = await office.storage.read([kept_contacts(subject_id or NO_SUBJECT)])
    return rows


@dataclass(frozen=True, slots=True)
class _Told:
    """What the person hears: `value` is one that is his from now on, and hears it too."""

    name: str
    kind: ContactKind
    value: str = field(default="", repr=False)
    shown: str = ""


async def _word(office: Office, person: Person, subject_id: SubjectId | None, act: _Told) -> list[Operation]:
    also = (Addressee(CHANNELS[act.kind], act.value),) if act.value else ()
    user = person.user
    whose = Whose(user.directory, user.immutable_id, user.name, user, subject_id, also)
    return await word_of(office, whose, Act(act.name, what=act.shown))


async def _commit(office: Office, person: Person, build: Build, act: _Told) -> SubjectId:
    """Commit what `build` makes of the person's contacts; once more when somebody else changed them between."""
    for _ in range(_TRIES):
        subject_id, first = person.met(office)
        unit = build(subject_id, await _rows(office, subject_id))
        if isinstance(await office.storage.commit([*first, *unit, *await _word(office, person, subject_id, act)]), Committed):
            return subject_id
        person = await person.again(office)
    raise Conflict("the user's contacts are being changed by somebody else")


async def _write(office: Office, person: Person, kind: ContactKind, value: str | None) -> None:
    """Write to the directory, and put on record what came of it: where no answer came, it may have been written."""
    directory, user = person.directory, person.user
    if not isinstance(directory, ContactWriting) or not directory.writes(kind):
        raise UsageError(f"directory {user.directory} takes no {kind.value} from here: add {kind.value} to its write_contacts")

    of_before = user.phone if kind is ContactKind.PHONE else user.mail
    shown = masked(kind, value or of_before or "")
    act = _Told("contact_added" if value else "contact_removed", kind, value or "", shown)

    async def note(outcome: str) -> None:
        event = _event(office, Kind.CONTACT_WRITTEN, person, person.subject_id, kind, value, {"outcome": outcome})
        # What may have been written is told like what was.
        told = await _word(office, person, person.subject_id, act) if outcome != "refused" else []
        if outcome != "refused" and value is not None and person.subject_id is not None:
            told.append(vouched(office.ring, person.subject_id, user.directory, value))
        await office.storage.commit([event, *told])

    try:
        await directory.write_contact(user, kind, value, TIMEOUT_S)
    except DirectoryUnavailable:
        await note("unknown")
        raise
    except WardgateError:
        await note("refused")
        raise
    await note("written")


def _parsed(value: str, region: str | None) -> tuple[ContactKind, str]:
    """The kind of a contact by how it is written, and its normal form. Raises UsageError."""
    if "@" in value:
        mail = fields.mail_address(value)
        if mail is None:
            raise UsageError("mail: empty")
        return ContactKind.MAIL, mail
    try:
        return ContactKind.PHONE, normalise_phone(value.strip(), region)
    except MessageError as error:
        raise UsageError(f"phone: {error.message}") from error


def _wanted(ring: KeyRing, person: Person, subject_id: SubjectId, rows: Sequence[Row], kind: ContactKind, value: str) -> Row:
    key = contact_key(ring, subject_id, kind, value)
    found = next((row for row in rows if row["kind"] == kind.value and row["value_key"] == key), None)
    if found is None:
        raise NotFound(f"{person.user.name} has no such contact of his own; wardgate user contact list shows them")
    return found


def _describe(ring: KeyRing, row: Row) -> dict[str, Any]:
    verified_at = row["verified_at"]
    try:
        value: str | None = open_contact(ring, row).value
    except SealError:
        value = None
    return {
        "kind": row["kind"],
        "value": value,
        "preferred": bool(row["preferred"]),
        "verified_at": from_ms(verified_at).isoformat() if isinstance(verified_at, int) else None,
        "source": row["source"],
        "created_at": from_ms(int(row["created_at"] or 0)).isoformat(),
    }


def _about(person: Person, subject_id: SubjectId | None) -> dict[str, Any]:
    return {"directory": person.user.directory, "user": person.user.name, "subject_id": subject_id}


async def _told(
    office: Office, person: Person, subject_id: SubjectId | None, kind: ContactKind, value: str | None
) -> dict[str, Any]:
    """What became of it. The user is read again: the directory's own contact may be another now."""
    user = await person.directory.get(person.user.immutable_id, TIMEOUT_S)
    now = person.as_of(user) if user is not None else person
    return {
        **_about(person, subject_id),
        "kind": kind.value,
        "value": value,
        "codes_go_to": await codes_go_to(office, now, subject_id),
    }


def _event(
    office: Office,
    kind: Kind,
    person: Person,
    subject_id: SubjectId | None,
    contact: ContactKind,
    value: str | None,
    more: Mapping[str, object] | None = None,
) -> Operation:
    """Masked, as everything is that says whose phone it was."""
    shown = None if value is None else masked(contact, value)
    about = {"directory": person.user.directory, "user": person.user.name, "contact": contact.value, "value": shown}
    who = (kind, office.now_ms(), office.actor, None, office.reference, subject_id)
    return office.record(AuditEvent(*who, details={**about, **(more or {})}))


def masked(contact: ContactKind, value: str) -> str:
    """As it may be shown."""
    return mask_mail(value) if contact is ContactKind.MAIL else mask_phone(value)
