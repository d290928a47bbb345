"""Key rotation while serving: a new data key, every sealed value moved under it in small conditional steps, old keys dropped.

A rotation that is cut short leaves two keys that both open and the newer of which seals: every state on the way is whole. The
next `key rotate` goes on with it instead of making a third key. A login in the middle seals under the ring that it took
and opens under either, because a ring is only ever replaced by one with more keys until the last pass found nothing old.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wardgate.account.activation import bound_to as activation_place
from wardgate.account.authenticator import bound_to as authenticator_place
from wardgate.account.contact_seal import bound_to as contact_place
from wardgate.account.mail_link import bound_to as link_place
from wardgate.account.short_link import bound_to as short_link_place
from wardgate.account.token import bound_to as token_place
from wardgate.admin.office import Office
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.config.secrets import reseal_plain
from wardgate.config.store import TOPIC as CONFIGURATION
from wardgate.crypto import MAC_ROOT, KeyRing, Secret, new_key, sealed_with, wrap_key
from wardgate.delivery.outbox import bound_to as message_place
from wardgate.engine.transaction import outcome_bound_to as outcome_place
from wardgate.errors import Conflict, SealError
from wardgate.federation.participants import bound_to as participant_place
from wardgate.federation.signing_keys import bound_to as federation_key_place
from wardgate.kba.answers import bound_to as question_place
from wardgate.storage.port import Announce, Committed, Delete, Insert, Operation, Reader, Row, Update, Value, Where

TOPIC: Final = "data_key"
PAGE_ROWS: Final = 200
MAX_PASSES: Final = 50

Progress = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class KeyMaster:
    """What a rotation needs beside the office.

    The key-encryption key; how to take up the keys that storage holds, and the ring after it; and a wait for every
    operation that took the ring before.
    """

    master: Callable[[], Secret]
    reload: Callable[[], Awaitable[None]]
    ring: Callable[[], KeyRing]
    settle: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values, its table's primary key, and what the value in a row is bound to.

    Of a key of several columns the first one's equals are few: they are read together.
    """

    table: str
    key: tuple[str, ...]
    column: str
    place: Callable[[Row], str]


SEALED: Final = (
    SealedColumn("authenticator", ("id",), "sealed", lambda row: authenticator_place(str(row["id"]))),
    SealedColumn("token", ("serial",), "sealed", lambda row: token_place(str(row["serial"]))),
    SealedColumn("outbox", ("id",), "sealed", lambda row: message_place(str(row["id"]))),
    SealedColumn("handle", ("handle_mac",), "outcome", lambda row: outcome_place(_bytes(row["handle_mac"]))),
    SealedColumn(
        "contact",
        ("subject_id", "kind", "value_key"),
        "sealed",
        lambda row: contact_place(str(row["subject_id"]), str(row["kind"]), _bytes(row["value_key"])),
    ),
    SealedColumn("activation", ("subject_id",), "sealed", lambda row: activation_place(str(row["subject_id"]))),
    SealedColumn("mail_link", ("link_mac",), "sealed", lambda row: link_place(_bytes(row["link_mac"]))),
    SealedColumn("short_link", ("link_mac",), "sealed", lambda row: short_link_place(_bytes(row["link_mac"]))),
    SealedColumn(
        "saml_participant",
        ("session_id", "application"),
        "sealed",
        lambda row: participant_place(str(row["session_id"]), str(row["application"])),
    ),
    SealedColumn(
        "federation_key",
        ("kind", "number"),
        "sealed",
        lambda row: federation_key_place(str(row["kind"]), int(row["number"] or 0)),
    ),
    SealedColumn(
        "kba_answer",
        ("subject_id", "question_id"),
        "sealed",
        lambda row: question_place(str(row["subject_id"]), str(row["question_id"])),
    ),
)


async def rotate_keys(office: Office, master: KeyMaster, progress: Progress) -> dict[str, Any]:
    """Rotate, or go on with a rotation that was cut short. Returns the key in use, what was moved and which keys went."""
    old, resumed = await _begin(office, master)
    await master.settle()
    moved = 0
    for _ in range(MAX_PASSES):
        found = await _pass(office, master.ring(), progress, moved)
        if not found.moved:
            break
        moved += found.moved
    else:
        raise Conflict("values are sealed faster than they are moved: repeat when there are fewer logins")
    await _finish(office, master, old)
    key = master.ring().current
    return {"key": key, "resealed": moved, "broken": found.broken, "dropped": list(old), "resumed": resumed}


async def _begin(office: Office, master: KeyMaster) -> tuple[tuple[int, ...], bool]:
    """A new key in force, unless a rotation is under way. Returns the keys that shall go, and whether one was."""
    rows = await office.storage.find("data_key", order_by="number")
    numbers = [int(row["number"] or 0) for row in rows if row["number"] != MAC_ROOT]
    resumed = len(numbers) > 1
    if not resumed:
        number, now_ms = max(numbers) + 1, office.now_ms()
        wrapped = wrap_key(master.master(), number, new_key())
        unit: list[Operation] = [
            Insert("data_key", {"number": number, "wrapped": wrapped, "created_at": now_ms}),
            record(AuditEvent(Kind.KEY_ROTATED, now_ms, office.actor, details={"key": number})),
            Announce(TOPIC, str(number)),
        ]
        if not isinstance(await office.storage.commit(unit), Committed):
            raise Conflict("another key rotation runs; wait for it")
        numbers.append(number)
    await master.reload()
    return tuple(numbers[:-1]), resumed


async def _finish(office: Office, master: KeyMaster, old: tuple[int, ...]) -> None:
    now_ms = office.now_ms()
    unit: list[Operation] = [
        Delete("data_key", (Where("number", "in", old),)),
        record(AuditEvent(Kind.KEY_RESEALED, now_ms, office.actor, details={"key": master.ring().current, "dropped": list(old)})),
        Announce(TOPIC, str(master.ring().current)),
    ]
    # The ring in memory keeps the old keys until the next start: a login that read its row before it was moved opens it yet.
    await office.storage.commit(unit)


# --- one pass over everything that is sealed ---------------------------------------------------------------------------


@dataclass(slots=True)
class _Found:
    """What a pass came upon: values that it moved, and values that do not open under any key."""

    moved: int = 0
    broken: int = 0


async def _pass(office: Office, ring: KeyRing, progress: Progress, before: int) -> _Found:
    """Move whatever is not under the present key.

    Units are written in their order: once this one is, none that was handed over before is still on its way unseen.
    """
    await office.storage.commit([Announce(TOPIC, str(ring.current))])
    found = _Found()
    for column in SEALED:
        async for _ in _pages(office, ring, column, found):
            progress({"table": column.table, "resealed": before + found.moved})
    async for _ in _documents(office, ring, found):
        progress({"table": CONFIGURATION, "resealed": before + found.moved})
    return found


async def _pages(office: Office, ring: KeyRing, column: SealedColumn, found: _Found) -> AsyncIterator[None]:
    async for rows in sealed_pages(office.storage, column):
        await _move(office, ring, column, rows, found)
        yield


async def sealed_pages(storage: Reader, column: SealedColumn) -> AsyncIterator[list[Row]]:
    """All rows in which the column is filled, page by page; each row once."""
    filled, first = Where(column.column, "not_null"), column.key[0]
    beyond: tuple[Where, ...] = ()
    while rows := await storage.find(column.table, [filled, *beyond], order_by=first, limit=PAGE_ROWS):
        last = rows[-1][first]
        if len(column.key) > 1:
            # The page may have ended among the rows that share the first column of the key.
            same = await storage.find(column.table, [filled, Where(first, "=", last)])
            rows = [row for row in rows if row[first] != last] + same
        yield rows
        beyond = (Where(first, ">", last),)


async def _move(office: Office, ring: KeyRing, column: SealedColumn, rows: list[Row], found: _Found) -> None:
    """Reseal the rows of one page that need it. A row that somebody changed meanwhile is left to the next pass."""
    updates = []
    for row in rows:
        try:
            update = _update(ring, column, row)
        except SealError:
            found.broken += 1
            continue
        if update is not None:
            updates.append(update)
    if updates and not isinstance(await office.storage.commit(updates), Committed):
        for update in updates:
            await office.storage.commit([update])
    found.moved += len(updates)


def _update(ring: KeyRing, column: SealedColumn, row: Row) -> Update | None:
    sealed = row[column.column]
    if not isinstance(sealed, bytes) or sealed_with(sealed) == ring.current:
        return None
    key = {name: row[name] for name in column.key}
    anew = ring.reseal(sealed, column.place(row))
    return Update(column.table, key, {column.column: anew}, where=(Where(column.column, "=", sealed),))


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


async def _documents(office: Office, ring: KeyRing, found: _Found) -> AsyncIterator[None]:
    """Every kept version of the document, one at a time: each may be large."""
    version = 0
    while rows := await office.storage.find(CONFIGURATION, [Where("version", ">", version)], order_by="version", limit=1):
        version, text = int(rows[0]["version"] or 0), str(rows[0]["document"])
        if '"sealed"' in text:
            found.moved += await _move_document(office, ring, version, text)
        yield


async def _move_document(office: Office, ring: KeyRing, version: int, text: str) -> int:
    """Move one version's sealed values. The version stays what it was: the same words with other seals."""
    moved = reseal_plain(json.loads(text), ring)
    if moved is None:
        return 0
    anew = json.dumps(moved, ensure_ascii=False, separators=(",", ":"))
    await office.storage.commit(
        [Update(CONFIGURATION, {"version": version}, {"document": anew}, where=(Where("document", "=", text),))]
    )
    return 1
