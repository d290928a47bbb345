"""Phones and mail addresses of Wardgate's own profile, kept beside what the directory tells, and which one a code goes to.

The order: a verified contact of the profile that is marked as preferred; what the directory tells; the other verified ones of the
profile. Somebody proved and chose the first, so a telephone list's entry does not take its place; where nobody chose, the directory
is the organisation's word. A contact that nobody verified never receives a code: whoever could write it into the profile would
otherwise receive the second factor of another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wardgate.account.contact_seal import bound_to
from wardgate.account.subject import SubjectId
from wardgate.clock import from_ms
from wardgate.crypto import KeyRing
from wardgate.directory.names import canonical_mail
from wardgate.directory.port import ContactKind, DirectoryUser
from wardgate.errors import SealError
from wardgate.storage.port import Announce, Delete, Find, Insert, Lookup, Operation, Row, Update, Where

TABLE = "contact"
# Announced with the id of whoever was given a contact.
TOPIC = "contact"
# Of one kind and person.
MAX_CONTACTS = 10
_OF_SUBJECT = Lookup(TABLE, ("subject_id",), order_by="created_at", limit=len(ContactKind) * MAX_CONTACTS)


class Source(StrEnum):
    """Who put a contact into the profile. ACTIVATION: the person, on the first visit, when there was nothing yet to take over."""

    OPERATOR = "operator"
    PERSON = "person"
    ACTIVATION = "activation"


BY_PERSON = (Source.PERSON.value, Source.ACTIVATION.value)


@dataclass(frozen=True, slots=True)
class Contact:
    """A row of `contact`, opened. `value`: a phone in E.164, or a mail address as it was written."""

    subject_id: SubjectId
    kind: ContactKind
    key: bytes
    value: str = field(repr=False)
    preferred: bool
    verified_at: datetime | None
    source: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a person can be reached, the preferred phone and mail address first."""

    phones: tuple[str, ...] = ()
    mails: tuple[str, ...] = ()

    @property
    def phone(self) -> str | None:
        """Where a code goes by SMS."""
        return self.phones[0] if self.phones else None

    @property
    def mail(self) -> str | None:
        """Where a code goes by e-mail."""
        return self.mails[0] if self.mails else None


def kept_contacts(subject_id: SubjectId) -> Find:
    """What to read for `usable_contacts`, to be read together with whatever else is needed."""
    return _OF_SUBJECT(subject_id)


def usable_contacts(ring: KeyRing, rows: Iterable[Row]) -> list[Contact]:
    """The verified contacts among the rows. One that does not open was tampered with, and is as good as none."""
    found = []
    for row in rows:
        if row["verified_at"] is None:
            continue
        try:
            found.append(open_contact(ring, row))
        except SealError:
            continue
    # Of two that came at the same moment, always the same one first.
    return sorted(found, key=lambda each: (each.created_at, each.key))


def open_contact(ring: KeyRing, row: Row) -> Contact:
    """The typed value of a stored row. Raises SealError when it was tampered with."""
    subject_id, kind, key = SubjectId(str(row["subject_id"])), ContactKind(str(row["kind"])), _bytes(row["value_key"])
    verified_at = row["verified_at"]
    return Contact(
        subject_id=subject_id,
        kind=kind,
        key=key,
        value=ring.open(_bytes(row["sealed"]), bound_to(subject_id, kind.value, key)).decode(),
        preferred=bool(row["preferred"]),
        verified_at=from_ms(verified_at) if isinstance(verified_at, int) else None,
        source=str(row["source"]),
        created_at=from_ms(int(row["created_at"] or 0)),
    )


def merge(user: DirectoryUser, contacts: Sequence[Contact]) -> Reach:
    """Where this user's codes go: his profile's verified contacts and the directory's, in the order that the module tells."""
    if not contacts:
        return Reach(_each_once(user.phone, *user.other_phones), _each_once(user.mail, *user.other_mails))
    return Reach(
        _in_order(contacts, ContactKind.PHONE, (user.phone, *user.other_phones)),
        _in_order(contacts, ContactKind.MAIL, (user.mail, *user.other_mails)),
    )


def place_key(ring: KeyRing, destination: str) -> str:
    """The fingerprint by which a phone or mailbox is known among proofs."""
    return ring.mac("proof-destination", compared(destination).encode()).hex()


def by_age(contacts: Sequence[Contact]) -> list[Contact]:
    """Verified contacts, the one first that the person has had longest: a stranger's would be the newest."""
    found = [(each.verified_at, each) for each in contacts if each.verified_at is not None]
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def compared(value: str) -> str:
    """A contact in the form in which it is compared. Phones have one form everywhere; an address has many."""
    return canonical_mail(value) if "@" in value else value


def contact_key(ring: KeyRing, subject_id: SubjectId, kind: ContactKind, value: str) -> bytes:
    """The fingerprint under which a value is stored: one value once for each person, however its mail address is written."""
    return ring.mac("contact", subject_id.encode(), kind.value.encode(), compared(value).encode())


def finding_key(ring: KeyRing, kind: ContactKind, value: str) -> bytes:
    """The fingerprint of a value, whoever's it is: for finding those who have verified it as theirs."""
    return ring.mac("contact-found-by", kind.value.encode(), compared(value).encode())


def owners_of(ring: KeyRing, kind: ContactKind, value: str, most: int) -> Find:
    """What to read for the verified contacts of this value, of at most so many people."""
    where = (Where("found_by", "=", finding_key(ring, kind, value)), Where("verified_at", "not_null"))
    return Find(TABLE, where, order_by="created_at", limit=most)


def create_contact(
    ring: KeyRing, subject_id: SubjectId, kind: ContactKind, value: str, source: Source, verified_at_ms: int | None, at_ms: int
) -> list[Operation]:
    """A new contact, and word of it to whoever knows that there was none. Refused (`exists`) when the person has it already."""
    key = contact_key(ring, subject_id, kind, value)
    row: Row = {
        "subject_id": subject_id,
        "kind": kind.value,
        "value_key": key,
        "sealed": ring.seal(value.encode(), bound_to(subject_id, kind.value, key)),
        "preferred": 0,
        "verified_at": verified_at_ms,
        "source": source.value,
        "created_at": at_ms,
        "found_by": finding_key(ring, kind, value),
    }
    return [Insert(TABLE, row), Announce(TOPIC, subject_id)]


def prefer(rows: Iterable[Row], kind: ContactKind, key: bytes | None) -> list[Operation]:
    """Mark one of a person's contacts as the preferred one of its kind, or with None no one.

    `rows`: all that he has. Refused when another is being preferred at the same time: two would be.
    """
    return [
        Update(
            TABLE,
            {"subject_id": row["subject_id"], "kind": row["kind"], "value_key": row["value_key"]},
            {"preferred": int(row["value_key"] == key)},
            where=(Where("preferred", "=", row["preferred"]),),
        )
        for row in rows
        if row["kind"] == kind.value
    ]


def remove_contact(subject_id: SubjectId, kind: ContactKind, key: bytes) -> Operation:
    """Remove one, even one that does not open. Its result is how many went."""
    return Delete(TABLE, (Where("subject_id", "=", subject_id), Where("kind", "=", kind.value), Where("value_key", "=", key)))


def _in_order(contacts: Sequence[Contact], kind: ContactKind, of_directory: Iterable[str | None]) -> tuple[str, ...]:
    verified = [each for each in contacts if each.kind is kind and each.verified_at is not None]
    chosen = [each.value for each in verified if each.preferred]
    others = [each.value for each in verified if not each.preferred]
    found: dict[str, str] = {}
    for value in _each_once(*chosen, *of_directory, *others):
        found.setdefault(compared(value), value)
    return tuple(found.values())


def _each_once(*values: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
