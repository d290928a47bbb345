"""After an erasure no table tells a person's name, mail, phone or address, sealed or not; others keep everything."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from wardgate.account.contact import Source, create_contact
from wardgate.account.subject import SubjectId
from wardgate.admin import audit_trail, person_erasure
from wardgate.admin.office import Office
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import entry
from wardgate.audit.trail import verify
from wardgate.delivery.outbox import enqueue, open_body
from wardgate.delivery.port import Channel
from wardgate.directory.port import ContactKind
from wardgate.errors import Conflict, SealError, UsageError
from wardgate.kba import rounds
from wardgate.storage.port import Insert, Operation, Row
from wardgate.storage.schema import metadata

SUBJECT, OTHER = SubjectId("s-of-zoe"), SubjectId("s-of-bob")
PERSONAL = ("zoe", "Zoe Lovelace", "zoe@acme.test", "+905321234567", "203.0.113.77")
REASON = "request 4711"


def decisions() -> list[str]:
    return [
        *person_erasure.DEEDS,
        *person_erasure.BY_NAME,
        *person_erasure.BY_BRAKE_KEY,
        *person_erasure.BELONGINGS,
        *person_erasure.BELONGINGS_OTHERWISE,
        *person_erasure.ACCOUNTS,
        *person_erasure.TRAIL,
        *person_erasure.NOT_OF_PEOPLE,
    ]


def test_every_table_is_decided_upon_once() -> None:
    assert sorted(decisions()) == sorted(metadata.tables)


def test_every_table_with_a_persons_id_is_erased_by_it() -> None:
    with_id = {name for name, table in metadata.tables.items() if "subject_id" in table.columns}
    by_id = {*person_erasure.DEEDS, *person_erasure.BELONGINGS, *person_erasure.TRAIL, "outbox"}
    assert with_id <= by_id


def filled(table: str, **known: Any) -> Row:
    """A row of any table, with something in every column."""
    row: dict[str, Any] = {}
    for column in metadata.tables[table].columns:
        kind = column.type.python_type
        row[column.name] = known.get(column.name, 1 if kind is int else b"\1" * 32 if kind is bytes else f"{table} {column.name}")
    return row


def login_of(office: Office, name: str, subject_id: SubjectId, number: int) -> list[Operation]:
    """What is written of one login under this name, as it was typed."""
    reference, at_ms = f"REF{name[:3]}{number:03d}".upper(), office.now_ms() + number
    details = {"user": name, "application": "vpn", "client": "203.0.113.77", "mail": f"{name}@acme.test"}
    body = {"user": name, "client": "203.0.113.77", "steps": [{"what": "found", "detail": {"name": "Zoe Lovelace"}}]}
    event = AuditEvent(Kind.LOGIN_DENIED, at_ms, "engine", f"t{reference}", reference, subject_id, details)
    return [
        record(event),
        entry(
            office.ring, at_ms=at_ms, reference=reference, transaction_id=f"t{reference}", door="radius", result="denied",
            user=name, body=body,
        ),
        *enqueue(
            office.ring, message_id=f"m{reference}", channel=Channel.SMS, to="+905321234567", text="zoe, your code", subject="",
            code="1", user_name=name, subject_id=subject_id, application="vpn", transaction_id=f"t{reference}",
            reference=reference, created_at_ms=at_ms, expires_at_ms=at_ms + 1, keep=True,
        ),
        Insert("accounting", filled("accounting", id=f"a{reference}", user_name=name, attributes='{"from":"203.0.113.77"}')),
    ]  # fmt: skip


async def a_person(office: Office, subject_id: SubjectId, name: str) -> None:
    """Something in every table that may hold anything of a person."""
    await office.storage.commit([*login_of(office, name, subject_id, 1), *login_of(office, f"ACME\\{name}", subject_id, 2)])
    rows: list[Operation] = [
        Insert("subject", {"id": subject_id, "created_at": 1}),
        Insert("subject_link", {"directory": "ad", "immutable_id": f"guid-{name}", "subject_id": subject_id, "created_at": 1}),
        Insert("known_name", filled("known_name", name_key=name, directory="ad", immutable_id=f"guid-{name}", realm="acme")),
        Insert("authenticator", filled("authenticator", id=f"auth-{name}", subject_id=subject_id, label=f"{name}'s phone")),
        Insert("recovery_code", {"authenticator_id": f"auth-{name}", "code_mac": b"\1", "used_at": None}),
        *create_contact(office.ring, subject_id, ContactKind.PHONE, "+905321234567", Source.OPERATOR, 1, 1),
    ]
    for table in (*person_erasure.DEEDS, *person_erasure.BELONGINGS):
        if table not in ("authenticator", "contact", "subject_link"):
            own = {"subject_id": subject_id, "id": f"{table}-{name}", "body": f'{{"user":"{name}"}}', "label": f"{name}'s phone"}
            keys = {"user_key": name.encode(), "application": name, "fold_key": name.encode()}
            rows.append(Insert(table, filled(table, **own, **keys)))
    await office.storage.commit(rows)
    owner = office.ring.mac("brake-user", subject_id.encode())
    await office.storage.commit([Insert("brake", filled("brake", kind="user_source", key=name.encode(), owner=owner))])


def opened(office: Office, table: str, row: Row) -> Iterator[str]:
    """Every value of a row as text, sealed ones too, where it can be told what they are bound to."""
    for name, value in row.items():
        yield value.hex() if isinstance(value, bytes) else str(value)
        if table == "outbox" and name == "sealed" and isinstance(value, bytes):
            try:
                body = open_body(office.ring, str(row["id"]), value)
            except SealError:
                continue
            yield f"{body.to} {body.text}"


async def tables_that_tell(office: Office) -> set[str]:
    """The tables in which anything personal of Zoe stands, or a row of hers."""
    found = set()
    for table in metadata.tables:
        for row in await office.storage.find(table):
            text = " ".join(opened(office, table, row))
            about_her = row.get("subject_id") == SUBJECT or (table == "subject" and row["id"] == SUBJECT)
            # Bob's are full of the same phone and address; they are his.
            of_bob = "bob" in text.casefold() or row.get("subject_id") == OTHER
            if (any(told in text for told in PERSONAL) or about_her) and not of_bob:
                found.add(table)
    return found


async def erase(office: Office, everything: bool) -> int:
    users, known = ["zoe", "ACME\\zoe"], [str(SUBJECT)]
    cursor = None
    while True:
        page = await audit_trail.erase_payloads(office, users=users, subjects=known, reason=REASON, look_up=False, cursor=cursor)
        cursor = page["cursor"]
        if cursor is None:
            break
    rows: int = 0
    after: str | None = None
    while True:
        part = await audit_trail.erase_person(
            office, users=users, subjects=known, reason=REASON, everything=everything, after=after
        )
        rows, after = rows + part["rows"], part["after"]
        if after is None:
            return rows


async def everybody(office: Office) -> dict[str, int]:
    await a_person(office, SUBJECT, "zoe")
    await a_person(office, OTHER, "bob")
    # What nobody's own id stands in, and only the name tells.
    await office.storage.commit([Insert("accounting", filled("accounting", id="z", user_name="ZOE", attributes="{}"))])
    return {table: len(await office.storage.find(table)) for table in metadata.tables}


async def test_no_table_tells_a_person_after_everything_was_erased(office: Office) -> None:
    before = await everybody(office)
    assert await tables_that_tell(office) >= {"timeline", "outbox", "accounting", "contact", "known_name", "audit_event"}
    assert await erase(office, everything=True) > 0
    # Of the trail stand the events, with the person's own id, which means nothing elsewhere any more.
    assert await tables_that_tell(office) == {"audit_event"}
    trail = " ".join(str(row["payload"]) for row in await office.storage.find("audit_event") if row["subject_id"] == SUBJECT)
    assert not any(told in trail for told in PERSONAL)
    verified = await verify(office.storage, office.ring)
    assert (verified.findings, verified.erased, verified.on_record) == ((), 2, 2)
    # And nobody else's rows went.
    for table in metadata.tables:
        if table in ("audit_event", "installation"):
            continue
        assert len(await office.storage.find(table)) == before[table] - _of_zoe(table), table


async def test_erased_person_leaves_no_count_of_wrong_answers(office: Office) -> None:
    """It is kept by a fingerprint of the id, which a test of the tables cannot see."""
    keys = [rounds.key_of(office.ring, subject.encode()) for subject in (SUBJECT, OTHER)]
    limits = rounds.Limits(3, 86_400_000, 0)
    await office.storage.commit([rounds.settle_wrong(key, limits, office.now_ms()) for key in keys])
    await erase(office, everything=True)
    assert [row["key"] for row in await office.storage.find("kba_round")] == keys[1:]


def _of_zoe(table: str) -> int:
    two = {"timeline": 2, "outbox": 2, "accounting": 3}
    one = {*person_erasure.DEEDS, *person_erasure.BELONGINGS, *person_erasure.BELONGINGS_OTHERWISE, "brake"}
    return two.get(table, 1 if table in one else 0)


async def test_what_a_person_did_goes_and_what_he_has_stays(office: Office) -> None:
    await everybody(office)
    await erase(office, everything=False)
    left = await tables_that_tell(office)
    assert left.isdisjoint({*person_erasure.DEEDS, *person_erasure.BY_BRAKE_KEY, "timeline", "outbox"})
    assert {"authenticator", "contact", "known_name", "trusted_device"} <= left


async def test_an_erasure_is_on_record_and_the_record_names_nobody(office: Office) -> None:
    await everybody(office)
    await erase(office, everything=True)
    [row] = [row for row in await office.storage.find("audit_event") if row["kind"] == Kind.PERSON_ERASED.stored]
    told = json.loads(str(row["payload"]))
    assert told == {"actor": "operator:olga", "reason": REASON, "everything": True}
    assert row["subject_id"] == SUBJECT


async def test_a_second_erasure_finds_nothing(office: Office) -> None:
    await everybody(office)
    await erase(office, everything=True)
    assert await erase(office, everything=True) == 0


async def test_an_account_that_could_still_log_in_is_not_erased_by_halves(office: Office) -> None:
    await everybody(office)
    account = filled("local_user", id="guid-zoe", directory="ad", name="zoe", name_key="zoe", state="active")
    await office.storage.commit([Insert("local_user", account)])
    with pytest.raises(Conflict, match="wardgate user remove"):
        await audit_trail.erase_person(office, users=["zoe"], subjects=[SUBJECT], reason=REASON, everything=True)


async def test_everything_of_nobody_known_is_refused(office: Office) -> None:
    with pytest.raises(UsageError, match="--subject"):
        await audit_trail.erase_person(office, users=["zoe"], subjects=[], reason=REASON, everything=True)


async def test_many_rows_are_erased_page_by_page(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person_erasure, "PAGE_ROWS", 3)
    for number in range(10):
        await office.storage.commit(login_of(office, "zoe" if number % 2 else "bob", SUBJECT if number % 2 else OTHER, number))
    await erase(office, everything=False)
    assert {row["user_name"] for row in await office.storage.find("accounting")} == {"bob"}
    assert len(await office.storage.find("accounting")) == len(await office.storage.find("outbox")) == 5
    assert len(await office.storage.find("timeline")) == 5
