"""The front of the SQLite back-end: batching, the thread for slow disks, durability, both event loops."""

import asyncio
import itertools
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from tests.conformance.storage.rows import TextChain, brake, brake_key, committed, event, ids, insert, message
from wardgate.errors import Overloaded, StorageError, StorageUnavailable
from wardgate.storage import batch, sqlite
from wardgate.storage.batch import BatchWriter
from wardgate.storage.port import Announce, Committed, Insert, Operation, Refused, Update, Where
from wardgate.storage.sqlite import SqliteStorage, SyncTimes, connect_writer, prepare


class StoppedWriter(BatchWriter):
    """A writer on a disk that takes as long as the test wants."""

    def __init__(self, path: Path) -> None:
        prepare(path)
        # Each sync seems to take a second, so that the front hands them to its thread.
        seconds = itertools.count()
        super().__init__(lambda: connect_writer(path), lambda: float(next(seconds)))
        self.go_on = threading.Event()
        self.go_on.set()
        self.committing = threading.Event()

    def commit(self) -> float | None:
        """Wait for the test, then commit."""
        self.committing.set()
        if not self.go_on.wait(30):
            raise StorageError("the test forgot this commit")
        return super().commit()


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    opened = await SqliteStorage.open(tmp_path / "w.db")
    yield opened
    await opened.close()


def _rows(path: Path, table: str) -> int:
    """How many rows another process would see."""
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


# --- batches ---


async def test_units_of_one_turn_of_the_loop_share_a_commit(storage: SqliteStorage) -> None:
    await asyncio.gather(*[storage.commit([Insert("outbox", message(f"{n}"))]) for n in range(100)])
    stats = storage.stats()
    assert (stats.units, stats.batches, stats.last_batch_units, stats.waiting) == (100, 1, 100, 0)
    assert stats.last_sync_s > 0


async def test_a_batch_has_a_greatest_size(storage: SqliteStorage) -> None:
    await asyncio.gather(*[storage.commit([Insert("outbox", message(f"{n}"))]) for n in range(600)])
    assert (storage.stats().units, storage.stats().batches) == (600, 3)
    many = [[Insert("outbox", message(f"{n}.{m}")) for m in range(900)] for n in range(6)]
    await asyncio.gather(*[storage.commit(unit) for unit in many])
    assert (storage.stats().units, storage.stats().batches) == (606, 5)


async def test_units_that_come_while_the_disk_is_busy_share_the_next_commit(tmp_path: Path) -> None:
    writer = StoppedWriter(tmp_path / "w.db")
    storage = SqliteStorage(tmp_path / "w.db", writer)
    await insert(storage, "outbox", message("first"))
    before = storage.stats().batches
    writer.committing.clear()
    writer.go_on.clear()
    started = asyncio.ensure_future(storage.commit([Insert("outbox", message("alone"))]))
    await asyncio.to_thread(writer.committing.wait, 30)
    later = [asyncio.ensure_future(storage.commit([Insert("outbox", message(f"{n}"))])) for n in range(50)]
    await asyncio.sleep(0)
    assert storage.stats().waiting == 50
    writer.go_on.set()
    await asyncio.gather(started, *later)
    assert storage.stats().batches == before + 2
    await storage.close()


# --- the slow disk ---


async def test_the_loop_goes_on_while_a_slow_disk_syncs(tmp_path: Path) -> None:
    writer = StoppedWriter(tmp_path / "w.db")
    storage = SqliteStorage(tmp_path / "w.db", writer)
    await insert(storage, "outbox", message("first"))
    assert not storage.stats().on_loop
    writer.committing.clear()
    writer.go_on.clear()
    pending = asyncio.ensure_future(storage.commit([Insert("outbox", message("second"))]))
    await asyncio.to_thread(writer.committing.wait, 30)
    assert await storage.get("outbox", {"id": "first"}) == message("first")
    assert await storage.get("outbox", {"id": "second"}) is None
    assert await storage.count("outbox") == 1
    assert not pending.done()
    writer.go_on.set()
    assert isinstance(await pending, Committed)
    assert await storage.get("outbox", {"id": "second"}) == message("second")
    await storage.close()


async def test_a_caller_cancelled_during_the_sync_loses_nothing(tmp_path: Path) -> None:
    writer = StoppedWriter(tmp_path / "w.db")
    storage = SqliteStorage(tmp_path / "w.db", writer)
    storage.use_chain(TextChain())
    heard: list[str] = []
    storage.subscribe("outbox", heard.append)
    await committed(storage, event("first"))
    writer.committing.clear()
    writer.go_on.clear()
    pending = asyncio.ensure_future(storage.commit([Insert("outbox", message("a")), event("second"), Announce("outbox", "a")]))
    await asyncio.to_thread(writer.committing.wait, 30)
    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    writer.go_on.set()
    assert await committed(storage, event("third")) == (3,)
    assert (await ids(storage, "outbox"), heard) == (["a"], ["a"])
    await storage.close()


async def test_close_waits_for_the_sync_and_for_those_behind_it(tmp_path: Path) -> None:
    writer = StoppedWriter(tmp_path / "w.db")
    storage = SqliteStorage(tmp_path / "w.db", writer)
    await insert(storage, "outbox", message("first"))
    writer.committing.clear()
    writer.go_on.clear()
    pending = [asyncio.ensure_future(storage.commit([Insert("outbox", message(f"{n}"))])) for n in range(3)]
    await asyncio.to_thread(writer.committing.wait, 30)
    pending.append(asyncio.ensure_future(storage.commit([Insert("outbox", message("late"))])))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(storage.close())
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await storage.commit([Insert("outbox", message("too late"))])
    writer.go_on.set()
    await closing
    assert all(isinstance(outcome, Committed) for outcome in await asyncio.gather(*pending))
    assert _rows(tmp_path / "w.db", "outbox") == 5


def test_the_first_long_sync_goes_to_the_thread_and_a_quick_disk_brings_it_back() -> None:
    times = SyncTimes()
    for _ in range(100):
        times.add(0.0002)
    assert times.short
    times.add(SyncTimes.STALL_S)
    assert not times.short
    for _ in range(100):
        times.add(0.003)
    assert not times.short
    for _ in range(SyncTimes.WINDOW):
        times.add(0.0002)
    assert times.short


def test_a_disk_that_is_slow_more_often_than_not_goes_to_the_thread() -> None:
    times = SyncTimes()
    for n in range(100):
        times.add(0.0002 if n % 3 == 0 else 0.002)
    assert not times.short


def test_a_single_slow_sync_changes_nothing() -> None:
    times = SyncTimes()
    for n in range(100):
        times.add(0.005 if n % 5 == 0 else 0.0002)
        assert times.short


async def test_a_read_that_turned_out_long_does_not_hold_the_log(storage: SqliteStorage, tmp_path: Path) -> None:
    """A read that is left open would keep every later checkpoint from starting the log afresh."""
    await insert(storage, "outbox", *[message(f"{n}", state="due") for n in range(300)])
    assert len(await storage.find("outbox", [Where("state", "=", "due")])) == 300
    await insert(storage, "outbox", message("new"))
    other = sqlite3.connect(tmp_path / "w.db", timeout=0)
    assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    other.close()


# --- durability ---


async def test_reads_of_one_turn_share_a_transaction_that_is_over_in_the_next(storage: SqliteStorage, tmp_path: Path) -> None:
    await committed(storage, Insert("installation", {"name": "one", "value": ""}))
    other = sqlite3.connect(tmp_path / "w.db", isolation_level=None)
    try:
        assert len(await storage.find("installation", limit=5)) == 1
        other.execute("INSERT INTO installation VALUES ('elsewhere', '')")
        assert len(await storage.find("installation", limit=5)) == 1
        await asyncio.sleep(0)
        assert len(await storage.find("installation", limit=5)) == 2
        # Nor does it stand in the way of a commit in the same turn.
        await committed(storage, Insert("installation", {"name": "two", "value": ""}))
        assert len(await storage.find("installation", limit=5)) == 3
    finally:
        other.close()


async def test_closing_in_the_turn_of_a_read_leaves_the_loop_nothing_to_end(tmp_path: Path) -> None:
    # The connection is closed in a thread: the loop that ended its read there at the same time would take the process down.
    for _ in range(30):
        opened = await SqliteStorage.open(tmp_path / "w.db")
        closing = asyncio.ensure_future(opened.close())
        await opened.find("installation", limit=1)
        await closing


async def test_nothing_is_answered_before_it_is_durable(tmp_path: Path) -> None:
    writer = StoppedWriter(tmp_path / "w.db")
    storage = SqliteStorage(tmp_path / "w.db", writer)
    await insert(storage, "outbox", message("first"))
    writer.committing.clear()
    writer.go_on.clear()
    pending = asyncio.ensure_future(storage.commit([Insert("outbox", message("second"))]))
    await asyncio.to_thread(writer.committing.wait, 30)
    assert (_rows(tmp_path / "w.db", "outbox"), pending.done()) == (1, False)
    writer.go_on.set()
    await pending
    assert _rows(tmp_path / "w.db", "outbox") == 2
    await storage.close()


async def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    for n in range(3):
        storage = await SqliteStorage.open(tmp_path / "w.db")
        storage.use_chain(TextChain())
        assert await storage.count("outbox") == n
        assert await committed(storage, Insert("outbox", message(f"{n}")), event(f"{n}")) == (None, n + 1)
        await storage.close()


async def test_every_file_is_readable_by_its_owner_alone(storage: SqliteStorage, tmp_path: Path) -> None:
    await insert(storage, "outbox", message("a"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"w.db": 0o600, "w.db-wal": 0o600, "w.db-shm": 0o600}


# --- another process ---


async def test_a_lock_of_another_process_is_waited_for_off_the_loop(storage: SqliteStorage, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "w.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    pending = [asyncio.ensure_future(storage.commit([Insert("outbox", message(f"{n}"))])) for n in range(3)]
    for _ in range(100):  # the loop turns, and so do reads
        await asyncio.sleep(0)
    assert not any(task.done() for task in pending)
    assert await storage.get("outbox", {"id": "0"}) is None
    other.execute("ROLLBACK")
    other.close()
    assert [await task for task in pending] == [Committed((None,))] * 3


async def test_a_lock_that_stays_is_told_and_costs_nothing(
    storage: SqliteStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_S", 0.05)
    other = sqlite3.connect(tmp_path / "w.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="another process"):
        await insert(storage, "outbox", message("a"))
    other.execute("ROLLBACK")
    other.close()
    await insert(storage, "outbox", message("a"))
    assert storage.stats().failed_batches == 1


# --- failures ---


async def test_a_mistake_in_the_writer_leaves_nobody_waiting(tmp_path: Path) -> None:
    class Mistaken(BatchWriter):
        def execute(self, units: object, wait_s: float = 0) -> list[object]:  # type: ignore[override]
            raise ZeroDivisionError

    prepare(tmp_path / "w.db")
    storage = SqliteStorage(tmp_path / "w.db", Mistaken(lambda: connect_writer(tmp_path / "w.db")))
    outcomes = await asyncio.gather(
        *[storage.commit([Insert("outbox", message(f"{n}"))]) for n in range(3)], return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 3
    assert "ZeroDivisionError" in str(outcomes[0])
    await storage.close()


async def test_a_checkpoint_that_fails_costs_no_unit(tmp_path: Path) -> None:
    class FullLog(BatchWriter):
        checkpoint_due = True

        def checkpoint(self) -> None:
            type(self).checkpoint_due = False
            raise StorageUnavailable("no room")

    prepare(tmp_path / "w.db")
    storage = SqliteStorage(tmp_path / "w.db", FullLog(lambda: connect_writer(tmp_path / "w.db")))
    await asyncio.gather(*[storage.commit([Insert("outbox", message(f"{n}"))]) for n in range(300)])
    assert (await storage.count("outbox"), storage.stats().failed_checkpoints) == (300, 1)
    await storage.close()


async def test_checkpoints_happen_while_units_keep_coming(
    storage: SqliteStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "CHECKPOINT_FRAMES", 50)
    for n in range(150):
        await asyncio.gather(*[storage.commit([Insert("outbox", message(f"{n}.{m}"))]) for m in range(4)])
    assert await storage.count("outbox") == 600
    assert (tmp_path / "w.db-wal").stat().st_size < 300 * 4200


async def test_a_flood_of_long_reads_is_refused(storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAITING_READS", 5)
    outcomes = await asyncio.gather(*[storage.count("outbox") for _ in range(20)], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int] * 5 + [Overloaded] * 15
    assert await storage.count("outbox") == 0


def _damage(path: Path, first_page: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: first_page * 4096] + b"\xa5" * (len(content) - first_page * 4096))


async def test_a_damaged_file_is_told_as_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    storage = await SqliteStorage.open(path)
    schema_pages = path.stat().st_size // 4096
    await insert(storage, "outbox", *[message(f"{n:04}", user_name="x" * 500) for n in range(500)])
    await storage.close()
    _damage(path, schema_pages)
    storage = await SqliteStorage.open(path)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await storage.find("outbox")
        with pytest.raises(StorageUnavailable):
            await storage.get("outbox", {"id": "0250"})
    with pytest.raises(StorageUnavailable):
        await storage.commit([Insert("outbox", message(f"new {n}", user_name="x" * 500)) for n in range(500)])
    await insert(storage, "brake", brake("a"))
    await storage.close()
    _damage(path, 1)
    with pytest.raises(StorageUnavailable):
        await SqliteStorage.open(path)


# --- both event loops ---


async def _everything(path: Path) -> None:
    storage = await SqliteStorage.open(path)
    storage.use_chain(TextChain())
    heard: list[str] = []
    storage.subscribe("brake", heard.append)
    await insert(storage, "brake", brake("a"))
    unit: list[Operation] = [
        Update("brake", brake_key("a"), {"level": 1}, (Where("level", "=", 0),)),
        event("won"),
        Announce("brake", "a"),
    ]
    outcomes = await asyncio.gather(*[storage.commit(unit) for _ in range(50)])
    assert outcomes.count(Refused(0, "conflict")) == 49
    assert (heard, await storage.count("audit_event")) == (["a"], 1)
    assert len(await storage.find("brake")) == 1
    await storage.close()


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("slow", [False, True])
def test_it_works_on_both_event_loops(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop], slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if slow:
        monkeypatch.setattr(SyncTimes, "STALL_S", 0.0)
        monkeypatch.setattr(SyncTimes, "SHORT_S", 0.0)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_everything(tmp_path / "w.db"))


def test_one_storage_serves_one_loop_after_another(tmp_path: Path) -> None:
    """As short commands do that call asyncio.run more than once."""

    async def open_it() -> SqliteStorage:
        return await SqliteStorage.open(tmp_path / "w.db")

    storage = asyncio.run(open_it())
    asyncio.run(insert(storage, "brake", brake("a")))
    assert asyncio.run(storage.count("brake")) == 1
    asyncio.run(storage.close())
