"""A frozen account: somebody said that what happened in it was not him.

What was added since goes at once: authenticators, contacts and answers that the person (or whoever it was) set up himself, from
72 hours before the freeze on, or from the disputed event on where that is longer ago. What was removed in that time comes back
when the freeze is lifted, as far as it is still held. Meanwhile nothing new may be added that opens the account: whoever adds
something puts `unfrozen` into his unit, which storage refuses while the account is frozen. Signing in stays open, by what is older.

An authenticator that was taken away is kept in the state `frozen`, which no login reads: a freeze that was a mistake, or malice,
can be undone by the help desk. What an operator gave stays: it is not what a thief set up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from wardgate.account.authenticator import MAX_AUTHENTICATORS, AuthenticatorState, kept_authenticators, revocation
from wardgate.account.contact import BY_PERSON, MAX_CONTACTS, Source, contact_key, create_contact, kept_contacts, open_contact
from wardgate.account.contact import TABLE as CONTACTS
from wardgate.account.device import forget_all
from wardgate.account.mail_link import TABLE as LINKS
from wardgate.account.mail_link import Purpose, from_row, links_of
from wardgate.account.recovery_code import KIND as RECOVERY_CODE
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing
from wardgate.directory.port import ContactKind
from wardgate.errors import SealError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Announce, Delete, Find, Operation, Reader, Row, Update, Upsert, Where

TABLE: Final = "freeze"
# Announced with the id of whose account was frozen, or is no more.
TOPIC: Final = "freeze"
# Changes of this long before a freeze are undone.
WINDOW_MS: Final = 72 * 3_600_000
# An authenticator is stored a moment before the event and the message that tell of it.
SLACK_MS: Final = 60_000
# In the settings of an authenticator that its person enrolled himself.
_NOTHING_ASKED: Final[Row] = {"asked": "[]", "asked_until": 0}
_BY_PERSON: Final = '"by":"person"'


class SetBy(StrEnum):
    """Who said that it was not him, or for him."""

    LINK = "link"
    PERSON = "person"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A row of `freeze`, opened. Times are milliseconds.

    `disputed_at`: when it happened that was not him; `since_at`: what came from then on is gone. `gone`: contacts that were taken
    away; `back`: contacts that come back when it is lifted. Each has `kind`, `value` and `preferred`. `took_strong`: whether a
    strong factor was taken away, for whoever asks before a login.
    """

    subject_id: SubjectId
    set_at: int
    disputed_at: int
    since_at: int
    set_by: str
    gone: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    back: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    took_strong: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A freeze, or its end: what has to be written in one unit, and what it comes to in numbers, for the record."""

    freeze: Freeze
    operations: tuple[Operation, ...]
    told: Mapping[str, int]


def unfrozen(subject_id: SubjectId) -> Update:
    """Refuses the unit of whatever adds to what opens an account, or takes from it, while the account is frozen.

    It relies on the row that a freeze changes, so that of the two whichever comes second sees the other.
    """
    return Update("subject", {"id": subject_id}, {}, where=(Where("frozen_at", "is_null"),))


def asked(subject_id: SubjectId) -> Find:
    """What to read for `freeze_in`."""
    return Find(TABLE, (Where("subject_id", "=", subject_id),), limit=1)


def taken_away(subject_id: SubjectId) -> Find:
    """What to read for the authenticators that a freeze took away."""
    where = (Where("subject_id", "=", subject_id), Where("state", "=", AuthenticatorState.FROZEN.value))
    return Find("authenticator", where, limit=4 * MAX_AUTHENTICATORS)


def freeze_in(ring: KeyRing, rows: Sequence[Row]) -> Freeze | None:
    """The freeze of an account. One whose details were tampered with holds all the same."""
    if not rows:
        return None
    row = rows[0]
    sealed = row["sealed"]
    try:
        body = loads(ring.open(sealed if isinstance(sealed, bytes) else b"", bound_to(str(row["subject_id"]))))
    except SealError:
        body = {"gone": [], "back": []}
    return Freeze(
        subject_id=SubjectId(str(row["subject_id"])),
        set_at=_number(row, "set_at"),
        disputed_at=_number(row, "disputed_at"),
        since_at=_number(row, "since_at"),
        set_by=str(row["set_by"]),
        gone=tuple(body["gone"]),
        back=tuple(body["back"]),
    )


def bound_to(subject_id: str) -> str:
    """The associated data of a row of table `freeze`."""
    return f"freeze:{subject_id}"


# --- setting it ----------------------------------------------------------------------------------------------------------


async def freezing(storage: Reader, ring: KeyRing, subject_id: SubjectId, disputed_at: int, set_by: SetBy, now_ms: int) -> Prepared:
    """What freezes an account; one that is frozen already is so from the earlier of both events on.

    The caller ends the sessions with the same unit, and looks with `left_over` at what was being added at that moment.
    """
    frozen, authenticators, contacts, links, states = await storage.read(
        [
            asked(subject_id),
            kept_authenticators(subject_id),
            kept_contacts(subject_id),
            links_of(subject_id, now_ms),
            Find("kba_state", (Where("subject_id", "=", subject_id),), limit=1),
        ]
    )
    known = freeze_in(ring, frozen) or Freeze(subject_id, now_ms, now_ms, now_ms, set_by.value)
    disputed = min(disputed_at, now_ms, known.disputed_at)
    since = min(disputed - SLACK_MS, now_ms - WINDOW_MS, known.since_at)
    taken, young = _younger(authenticators, contacts, since, disputed)
    gone, back = _values(ring, young), _removed(ring, links, since)
    freeze = Freeze(
        subject_id,
        now_ms,
        disputed,
        since,
        known.set_by,
        tuple(_each_once([*known.gone, *gone])),
        tuple(_each_once([*known.back, *back])),
    )
    mine = Where("subject_id", "=", subject_id)
    unit: list[Operation] = [
        Update("subject", {"id": subject_id}, {"frozen_at": now_ms}),
        Upsert(TABLE, _row(ring, freeze)),
        *[_take_away(row) for row in taken],
        *[_without(row) for row in young],
        Delete("kba_answer", (mine, Where("source", "=", "person"), Where("set_at", ">=", since))),
        # Answers that were given to an offline kit since are old from now on.
        *[
            Update("kba_state", {"subject_id": subject_id}, {"asked": "[]", "asked_until": 0}, add={"answers_version": 1})
            for _ in states
        ],
        # A reset on its way must not outlive the freeze.
        Delete("self_service", (mine,)),
        forget_all(subject_id),
        Announce(TOPIC, subject_id),
    ]
    return Prepared(freeze, tuple(unit), {"authenticators": len(taken), "contacts": len(gone), "back": len(freeze.back)})


async def left_over(storage: Reader, freeze: Freeze) -> list[Operation]:
    """What takes away what was being added while the account was frozen. Nothing is added after that: `unfrozen` refuses it."""
    authenticators, contacts = await storage.read([kept_authenticators(freeze.subject_id), kept_contacts(freeze.subject_id)])
    taken, young = _younger(authenticators, contacts, freeze.since_at, freeze.disputed_at)
    return [*[_take_away(row) for row in taken], *[_without(row) for row in young]]


def _younger(authenticators: Sequence[Row], contacts: Sequence[Row], since: int, disputed_at: int) -> tuple[list[Row], list[Row]]:
    """The authenticators and the contacts that go.

    Where none would be left that is older, those stay that are older than the disputed event itself: what somebody says who reads
    a mailbox must not keep anybody from his work.
    """
    lets_in = [row for row in authenticators if row["kind"] != RECOVERY_CODE]
    own = [row for row in authenticators if _BY_PERSON in str(row["settings"])]
    added = [row for row in contacts if row["source"] in BY_PERSON]
    if all(row in (*own, *added) and _number(row, "created_at") >= since for row in (*lets_in, *contacts)):
        since = max(since, disputed_at - SLACK_MS)
    return (
        [row for row in own if _number(row, "created_at") >= since],
        [row for row in added if _number(row, "created_at") >= since],
    )


def _take_away(row: Row) -> Operation:
    there = (Where("state", "=", row["state"]),)
    return Update("authenticator", {"id": row["id"]}, {"state": AuthenticatorState.FROZEN.value}, where=there)


def _without(row: Row) -> Operation:
    key = tuple(Where(name, "=", row[name]) for name in ("subject_id", "kind", "value_key", "created_at"))
    return Delete(CONTACTS, key)


def _values(ring: KeyRing, rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    """The verified ones among contacts, as they are kept."""
    found: list[Mapping[str, Any]] = []
    for row in rows:
        try:
            contact = open_contact(ring, row)
        except SealError:
            continue
        if contact.verified_at is not None:
            found.append({"kind": contact.kind.value, "value": contact.value, "preferred": int(contact.preferred)})
    return found


def _removed(ring: KeyRing, rows: Sequence[Row], since: int) -> list[Mapping[str, Any]]:
    """The contacts that went since, as the links hold them that would take that back. What was lost stays away."""
    links = [from_row(ring, row) for row in rows if _number(row, "created_at") >= since]
    undoing = [each for each in links if each is not None and each.purpose is Purpose.UNDO_CONTACT and each.used_at is None]
    gone = [each.payload.get("removed") for each in undoing]
    return [each for each in gone if isinstance(each, Mapping) and not each.get("lost")]


def _each_once(contacts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return list({(each["kind"], each["value"]): each for each in contacts}.values())


def _row(ring: KeyRing, freeze: Freeze) -> Row:
    body = dumps({"gone": [dict(each) for each in freeze.gone], "back": [dict(each) for each in freeze.back]})
    return {
        "subject_id": freeze.subject_id,
        "set_at": freeze.set_at,
        "disputed_at": freeze.disputed_at,
        "since_at": freeze.since_at,
        "set_by": freeze.set_by,
        "sealed": ring.seal(body.encode(), bound_to(freeze.subject_id)),
    }


# --- lifting it ----------------------------------------------------------------------------------------------------------


async def lifting(storage: Reader, ring: KeyRing, freeze: Freeze, now_ms: int, bring_back: bool = False) -> Prepared:
    """What lifts a freeze, once: refused where somebody else has lifted it, or it was set anew.

    `bring_back`: an operator knows that what was taken away is the person's own: his authenticators prove something again once
    another strong factor was proved, his contacts are new ones. Else they are gone for good. Links in messages of before can
    freeze the account no more.
    """
    subject_id = freeze.subject_id
    taken, contacts = await storage.read([taken_away(subject_id), kept_contacts(subject_id)])
    returned = _each_once([*freeze.back, *(freeze.gone if bring_back else ())])
    made = _created(ring, subject_id, returned, contacts, now_ms)
    unit: list[Operation] = [
        Update(TABLE, {"subject_id": subject_id}, {}, where=(Where("set_at", "=", freeze.set_at),)),
        Delete(TABLE, (Where("subject_id", "=", subject_id),)),
        Update("subject", {"id": subject_id}, {"frozen_at": None}),
        *[each for row in taken for each in (_given_back(row) if bring_back else _ended(row))],
        *made,
        Delete(LINKS, (Where("subject_id", "=", subject_id), Where("purpose", "=", Purpose.NOT_ME.value))),
        Announce(TOPIC, subject_id),
    ]
    told = {"authenticators": len(taken), "contacts": len(returned), "brought_back": int(bring_back)}
    return Prepared(freeze, tuple(unit), told)


def _created(
    ring: KeyRing, subject_id: SubjectId, wanted: Sequence[Mapping[str, Any]], rows: Sequence[Row], now_ms: int
) -> list[Operation]:
    """Contacts that come back, as new ones: for a hold's time they reset nothing."""
    unit: list[Operation] = []
    for kind in ContactKind:
        mine = [row for row in rows if row["kind"] == kind.value]
        known, room = {row["value_key"] for row in mine}, MAX_CONTACTS - len(mine)
        for each in wanted:
            key = contact_key(ring, subject_id, kind, str(each["value"]))
            if each["kind"] != kind.value or key in known or room <= 0:
                continue
            unit += create_contact(ring, subject_id, kind, str(each["value"]), Source.PERSON, now_ms, now_ms)
            known, room = {*known, key}, room - 1
    return unit


def _given_back(row: Row) -> list[Operation]:
    there = (Where("state", "=", AuthenticatorState.FROZEN.value),)
    return [Update("authenticator", {"id": row["id"]}, {"state": AuthenticatorState.HELD.value}, where=there)]


def _ended(row: Row) -> list[Operation]:
    codes = [Delete("recovery_code", (Where("authenticator_id", "=", row["id"]),))] if row["kind"] == RECOVERY_CODE else []
    return [revocation(row), *codes]


def _number(row: Row, name: str) -> int:
    value = row[name]
    return value if isinstance(value, int) else 0
