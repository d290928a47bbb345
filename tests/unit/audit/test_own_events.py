"""A person's own events: his alone, in pages that go on where the one before ended, at a cost that does not grow with the trail."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.flows.world import BACKENDS, a_ring, a_storage
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.own_events import MAX_SCANNED, PAGE_EVENTS, READ_ROWS, SPAN_MS, Place, events_at, own_events, place_of, stored
from wardgate.audit.trail import chain_for
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Find, Row, Storage

NOW = 1_800_000_000_000
DENIED = stored([Kind.LOGIN_DENIED])


async def denied(storage: Storage, at_ms: int, subject: str = "ada", count: int = 1, kind: Kind = Kind.LOGIN_DENIED) -> None:
    events = [AuditEvent(kind, at_ms, "engine", subject_id=subject, details={"number": number}) for number in range(count)]
    await storage.commit([record(each) for each in events])


def a_trail(storage: Storage) -> Storage:
    storage.use_chain(chain_for(a_ring(), "test", 1))
    return storage


@pytest.mark.parametrize("backend", BACKENDS)
async def test_pages_tell_every_event_once_and_nothing_of_others(backend: str, tmp_path: Path) -> None:
    """Many at one and the same moment, too."""
    async with a_storage(backend, tmp_path) as storage:
        a_trail(storage)
        for number in range(20):
            await denied(storage, NOW - number * 1000, count=4)
            await denied(storage, NOW - number * 1000, "bob")
        seen, place = [], None
        for _ in range(10):
            page = await own_events(storage, "ada", DENIED, NOW, place)
            assert len(page.rows) <= PAGE_EVENTS
            seen += [row["seq"] for row in page.rows]
            place = page.older
            if place is None:
                break
        assert (len(seen), len(set(seen))) == (80, 80)
        assert {row["subject_id"] for row in await events_at(storage, "ada", NOW)} == {"ada"}


async def test_events_older_than_the_span_are_not_told() -> None:
    storage = a_trail(MemoryStorage())
    await denied(storage, NOW - SPAN_MS - 1)
    await denied(storage, NOW - SPAN_MS)
    page = await own_events(storage, "ada", DENIED, NOW)
    assert [row["created_at"] for row in page.rows] == [NOW - SPAN_MS]


async def test_page_reads_a_bounded_number_of_events_however_many_do_not_fit() -> None:
    storage = Counting()
    a_trail(storage)
    for number in range(30):
        await denied(storage, NOW - number * 1000, count=100, kind=Kind.CODE_SENT)
    await denied(storage, NOW - 60_000)
    page = await own_events(storage, "ada", DENIED, NOW)
    assert page.rows == ()
    assert page.older is not None
    assert storage.rows <= 2 * MAX_SCANNED
    found, place = 0, page.older
    while place is not None:
        page = await own_events(storage, "ada", DENIED, NOW, place)
        found, place = found + len(page.rows), page.older
    assert found == 1


async def test_more_events_of_one_moment_than_are_read_at_once_end_in_the_ones_before() -> None:
    storage = a_trail(MemoryStorage())
    await denied(storage, NOW, count=READ_ROWS + 50, kind=Kind.CODE_SENT)
    await denied(storage, NOW - 1)
    page = await own_events(storage, "ada", DENIED, NOW)
    assert [row["created_at"] for row in page.rows] == [NOW - 1]


async def test_reading_uses_the_index_and_never_the_whole_trail(tmp_path: Path) -> None:
    async with a_storage("sqlite", tmp_path) as storage:
        await denied(a_trail(storage), NOW)
    connection = sqlite3.connect(tmp_path / "wardgate.db")
    asked = "SELECT * FROM audit_event WHERE subject_id = 'ada' AND created_at <= 5 ORDER BY created_at DESC, writer DESC LIMIT 9"
    plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {asked}"))
    connection.close()
    assert "USING INDEX ix_audit_event_subject_id (subject_id=? AND created_at<?)" in plan


@pytest.mark.parametrize("text", ["", ".", "1", "1.", ".1", "x.1", "1.x", "-1.1", "1.1.1", "1" * 16 + ".1", "1.1000", "١.١"])
def test_what_no_page_wrote_is_no_place(text: str) -> None:
    assert place_of(text) is None


def test_place_reads_as_it_was_written() -> None:
    assert place_of(str(Place(NOW, 3))) == Place(NOW, 3)


class Counting(MemoryStorage):
    """Counts the rows that are read."""

    rows = 0

    async def read(self, finds: Sequence[Find]) -> list[list[Row]]:
        """As ever, counted."""
        found = await super().read(finds)
        self.rows += sum(map(len, found))
        return found
