"""Erasing payloads: the chain stays whole, the erasure is on record, and nothing is put back or erased unseen."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.audit.exports import Trail
from wardgate.audit.erasure import Erased, Erasure, erase_page
from wardgate.audit.events import AuditEvent, Kind, commitment, record
from wardgate.audit.trail import verify
from wardgate.clock import to_ms
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.sqlite import SqliteStorage

ADA = Erasure(("ada",), ("s-ada",), "request 4711", "operator:olga")


async def put(trail: Trail, user: str, subject_id: str | None = None) -> None:
    details: dict[str, Any] = {"user": user, "application": "vpn", "client": "203.0.113.7"}
    event = AuditEvent(Kind.LOGIN_DENIED, to_ms(trail.clock.now()), "engine", subject_id=subject_id, details=details)
    await trail.storage.commit([record(event)])


async def erase(trail: Trail, erasure: Erasure = ADA) -> int:
    page: Erased | None = None
    count = 0
    while page is None or page.positions:
        page = await erase_page(trail.storage, erasure, to_ms(trail.clock.now()), page.positions if page else None)
        count += page.erased
    return count


async def a_trail(storage: MemoryStorage | SqliteStorage | None = None) -> Trail:
    trail = Trail(storage or MemoryStorage())
    await trail.write(2)
    await put(trail, "ada", "s-ada")
    await put(trail, "ADA")
    await put(trail, "ada", "s-of-another-ada")
    await put(trail, "ada@elsewhere")
    await put(trail, "ada-by-another-name", "s-ada")
    return trail


async def test_erased_payloads_leave_the_chain_whole_and_an_event(tmp_path: Any) -> None:
    storage = await SqliteStorage.open(tmp_path / "audit.db")
    trail = await a_trail(storage)
    assert await erase(trail) == 3
    rows = {row["seq"]: row for row in await trail.rows()}
    gone = [seq for seq, row in rows.items() if row["payload"] is None]
    assert gone == [3, 4, 7]
    assert all(rows[seq]["salt"] is None and rows[seq]["commitment"] for seq in gone)
    assert rows[8]["kind"] == Kind.PAYLOADS_ERASED.stored
    assert "request 4711" in str(rows[8]["payload"])
    assert "ada" not in str(rows[8]["payload"])
    verified = await verify(storage, trail.ring)
    assert (verified.findings, verified.erased, verified.on_record) == ((), 3, 3)
    await storage.close()


async def test_a_second_erasure_finds_nothing_and_keeps_the_record_of_the_first() -> None:
    trail = await a_trail()
    assert await erase(trail) == 3
    assert await erase(trail) == 0
    assert (await trail.rows())[-1]["payload"] is not None


async def test_another_person_with_the_name_keeps_his_events() -> None:
    trail = await a_trail()
    await erase(trail)
    kept = {row["seq"] for row in await trail.rows() if row["payload"] is not None}
    assert {5, 6} <= kept
    # Without a known subject the name is all there is.
    assert await erase(trail, replace(ADA, subjects=())) == 1


@pytest.mark.parametrize("with_salt", [False, True])
async def test_an_erased_payload_put_back_with_other_words_fails_verify(with_salt: bool) -> None:
    trail = await a_trail()
    await trail.sign()
    await erase(trail)
    await trail.sign()
    rows = await trail.rows()
    rows[2]["payload"] = '{"actor":"engine","user":"bob"}'
    rows[2]["salt"] = b"\x01" * 16 if with_salt else None
    await trail.rewrite("audit_event", rows)
    [finding] = (await verify(trail.storage, trail.ring)).findings
    assert (finding.seq, finding.problem) == (3, "the payload was changed")


async def test_a_payload_put_back_with_a_fitting_commitment_breaks_the_link() -> None:
    trail = await a_trail()
    await erase(trail)
    rows = await trail.rows()
    payload, salt = '{"actor":"engine","user":"bob"}', b"\x01" * 16
    rows[2] |= {"payload": payload, "salt": salt, "commitment": commitment(salt, payload)}
    await trail.rewrite("audit_event", rows)
    assert (await verify(trail.storage, trail.ring)).findings[0].seq == 3


async def test_an_erasure_behind_our_back_is_on_no_record() -> None:
    trail = await a_trail()
    await erase(trail)
    rows = await trail.rows()
    rows[4] |= {"payload": None, "salt": None}
    await trail.rewrite("audit_event", rows)
    verified = await verify(trail.storage, trail.ring)
    assert (verified.erased, verified.on_record) == (4, 3)
