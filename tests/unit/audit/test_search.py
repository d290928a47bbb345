"""Searching the trail: newest first, in bounded pages that lose and double nothing."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.audit.exports import Trail
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.search import Found, Wanted, search
from wardgate.clock import to_ms
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Find, Insert, Row


class Counting(MemoryStorage):
    """Counts the rows that are read."""

    rows_read = 0

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        read = await super().read(finds)
        self.rows_read += sum(map(len, read))
        return read


async def everything(trail: Trail, wanted: Wanted, limit: int, max_scanned: int) -> tuple[list[Row], list[Found]]:
    pages = [await search(trail.storage, wanted, limit, max_scanned=max_scanned)]
    while pages[-1].positions:
        pages.append(await search(trail.storage, wanted, limit, pages[-1].positions, max_scanned))
    return [row for page in pages for row in page.rows], pages


async def put(trail: Trail, user: str, subject_id: str | None = None, kind: Kind = Kind.LOGIN_DENIED, **details: Any) -> None:
    event = AuditEvent(
        kind, to_ms(trail.clock.now()), "engine", subject_id=subject_id, reference="7H2K9QXA", details={"user": user, **details}
    )
    await trail.storage.commit([record(event)])


async def test_pages_of_several_chains_lose_and_double_nothing() -> None:
    trail = Trail(MemoryStorage())
    for round_ in range(6):
        for node in ("alpha-1.0", "alpha-1.1", "beta-2.0"):
            await trail.write(7, node, 1 + round_ // 3)
    rows, pages = await everything(trail, Wanted(), 10, 25)
    assert len({(row["writer"], row["epoch"], row["seq"]) for row in rows}) == len(rows) == 6 * 3 * 7
    times = [int(row["created_at"] or 0) for row in rows]
    assert times == sorted(times, reverse=True)
    assert all(len(page.rows) <= 10 and page.scanned <= 25 for page in pages)


async def test_what_is_written_meanwhile_does_not_move_a_page() -> None:
    trail = Trail(MemoryStorage())
    await trail.write(20)
    first = await search(trail.storage, Wanted(), 5)
    await trail.write(20)
    second = await search(trail.storage, Wanted(), 5, first.positions)
    assert [row["seq"] for row in (*first.rows, *second.rows)] == list(range(20, 10, -1))


async def test_a_search_that_finds_nothing_reads_no_more_than_its_bound() -> None:
    storage = Counting()
    trail = Trail(storage)
    await trail.write(3_000)
    found = await search(storage, Wanted(text="not there"), 10, max_scanned=700)
    assert (found.rows, found.scanned) == ([], 700)
    assert storage.rows_read <= 1_100
    assert found.positions == (("server", 1, 2_300),)


async def test_a_time_is_found_without_reading_what_lies_behind_it() -> None:
    storage = Counting()
    trail = Trail(storage)
    for _ in range(40):
        await trail.write(50)
        trail.clock.advance(600)
    middle = to_ms(trail.clock.now()) - 20 * 601_000
    found = await search(storage, Wanted(from_ms=middle - 601_000, to_ms=middle), 500)
    assert len(found.rows) == 50
    assert all(middle - 601_000 <= int(row["created_at"] or 0) < middle for row in found.rows)
    assert storage.rows_read < 700


async def test_what_is_asked_for_is_found_and_nothing_else() -> None:
    trail = Trail(MemoryStorage())
    await trail.write(3, "alpha-12.0")
    await put(trail, "ACME\\Ada", application="vpn", reason="wrong_password")
    await put(trail, "ada@acme.test", application="wiki", kind=Kind.LOGIN_GRANTED)
    await put(trail, "adam", "s-ada")
    await put(trail, "bob", application="vpn")

    async def users(wanted: Wanted) -> list[str]:
        found = await search(trail.storage, wanted, 100)
        return [str(row["payload"]).split('"user":"')[1].split('"')[0] for row in found.rows]

    assert await users(Wanted(users=("ADA",))) == ["ada@acme.test", "ACME\\\\Ada"]
    assert await users(Wanted(users=("ada",), subjects=("s-ada",))) == ["adam", "ada@acme.test", "ACME\\\\Ada"]
    assert await users(Wanted(application="vpn")) == ["bob", "ACME\\\\Ada"]
    assert await users(Wanted(kinds=("engine:login:granted",), users=("ada",))) == ["ada@acme.test"]
    assert len(await users(Wanted(kinds=("engine:login",)))) == 7
    assert await users(Wanted(kinds=("engine:log",))) == []
    assert await users(Wanted(text="WRONG_pass")) == ["ACME\\\\Ada"]
    assert len(await users(Wanted(reference="7H2K9QXA"))) == 4
    assert len(await users(Wanted(node="alpha"))) == len(await users(Wanted(node="alpha-12.0"))) == 7
    assert await users(Wanted(node="alph")) == []


async def test_a_reference_that_the_timeline_knows_is_looked_for_where_it_happened() -> None:
    storage = Counting()
    trail = Trail(storage)
    await trail.write(1)
    await put(trail, "ada")
    at_ms = to_ms(trail.clock.now())
    row = {"id": f"{at_ms:012x}000001", "reference": "7H2K9QXA", "door": "radius", "result": "", "body": "{}", "created_at": at_ms}
    await storage.commit([Insert("timeline", row)])
    trail.clock.advance(86_400)
    await trail.write(4_000)
    found = await search(storage, Wanted(reference="7H2K9QXA"), 10)
    assert len(found.rows) == 1
    assert storage.rows_read < 100


@pytest.mark.parametrize("spoilt", ["{", "[1]", '"ada"', "[" * 5_000])
async def test_a_payload_that_somebody_spoilt_stops_no_search(spoilt: str) -> None:
    trail = Trail(MemoryStorage())
    await trail.write(1)
    await put(trail, "ada")
    await put(trail, "ada")
    rows = await trail.rows()
    rows[1]["payload"] = spoilt
    await trail.rewrite("audit_event", rows)
    assert [row["seq"] for row in (await search(trail.storage, Wanted(users=("ada",)), 10)).rows] == [3]
