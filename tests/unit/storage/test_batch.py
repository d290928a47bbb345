"""The writer of batches: what SQL it runs, and how it comes back from failures."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conformance.storage.rows import TextChain, brake_key, event, message, row
from wardgate.errors import StorageUnavailable
from wardgate.storage import batch
from wardgate.storage.batch import BatchWriter, FileLocked
from wardgate.storage.port import Committed, Insert, Operation, Refused, Row, Update, Upsert, Where
from wardgate.storage.sqlite import connect_reader, connect_writer, prepare
from wardgate.storage.statements import Statements, Step

REFUSED_LATE: list[Operation] = [Insert("outbox", message("late")), Update("brake", brake_key("missing"), {"level": 1})]
REFUSED_FIRST: list[Operation] = [Update("brake", brake_key("missing"), {"level": 1}), Insert("outbox", message("late"))]


class Opened:
    """A writer on a new file, and the SQL that it ran."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sql: list[str] = []
        self.connections: list[sqlite3.Connection] = []
        prepare(path)
        self.writer = BatchWriter(self._connect)
        self.writer.use_chain(TextChain())

    def _connect(self) -> sqlite3.Connection:
        connection = connect_writer(self.path)
        connection.set_trace_callback(self.sql.append)
        self.connections.append(connection)
        return connection

    def run(self, *units: Sequence[Operation]) -> list[batch.Outcome]:
        """Execute and commit."""
        outcomes = self.writer.execute(steps(*units))
        self.writer.commit()
        return outcomes

    def ran(self, word: str) -> int:
        """How many statements began with this word since the last call."""
        count = sum(text.startswith(word) for text in self.sql)
        self.sql.clear()
        return count

    def kinds(self) -> list[object]:
        """The audit events in the file, as another connection sees them."""
        reader = connect_reader(self.path)
        kinds = [kind for (kind,) in reader.execute("SELECT kind FROM audit_event ORDER BY seq")]
        reader.close()
        return kinds


def steps(*units: Sequence[Operation]) -> list[tuple[Step, ...]]:
    known = Statements()
    return [known.unit(unit) for unit in units]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    it = Opened(tmp_path / "w.db")
    yield it
    it.writer.close()


def good(n: int) -> list[Operation]:
    return [Insert("outbox", message(f"{n}")), event(f"{n}")]


def test_a_batch_without_refusals_takes_no_savepoint(opened: Opened) -> None:
    assert all(isinstance(outcome, Committed) for outcome in opened.run(*[good(n) for n in range(20)]))
    assert opened.ran("SAVEPOINT") == 0


def test_a_batch_is_one_transaction(opened: Opened) -> None:
    opened.run(*[good(n) for n in range(20)])
    assert sum(text.startswith(("BEGIN", "COMMIT")) for text in opened.sql) == 2


def test_a_unit_refused_before_it_wrote_costs_no_savepoint(opened: Opened) -> None:
    opened.run(good(1), REFUSED_FIRST, good(2))
    assert opened.ran("SAVEPOINT") == 0
    assert opened.kinds() == ["1", "2"]


def test_a_unit_refused_after_it_wrote_makes_the_batch_run_again_with_savepoints(opened: Opened) -> None:
    outcomes = opened.run(good(1), REFUSED_LATE, good(2))
    assert outcomes[1] == Refused(1, "conflict")
    assert (opened.ran("SAVEPOINT"), opened.kinds()) == (3, ["1", "2"])


def test_a_unit_that_is_alone_is_taken_back_without_running_again(opened: Opened) -> None:
    assert opened.run(REFUSED_LATE) == [Refused(1, "conflict")]
    assert opened.sql.count("BEGIN IMMEDIATE") == 1
    assert opened.ran("SAVEPOINT") == 0


def test_whoever_provokes_refusals_does_not_make_every_batch_run_twice(opened: Opened) -> None:
    opened.run(good(1), REFUSED_LATE)
    opened.sql.clear()
    for n in range(batch.GUARDED_BATCHES):
        opened.run(good(10 + n), REFUSED_LATE)
    assert opened.sql.count("BEGIN IMMEDIATE") == batch.GUARDED_BATCHES
    assert opened.ran("SAVEPOINT") == 2 * batch.GUARDED_BATCHES
    opened.run(good(2), good(3))
    assert opened.ran("SAVEPOINT") == 0


def test_a_batch_of_refusals_syncs_nothing(opened: Opened) -> None:
    opened.writer.execute(steps(REFUSED_FIRST, REFUSED_FIRST))
    assert opened.writer.commit() is None
    assert opened.ran("COMMIT") == 0
    opened.writer.execute(steps(good(1)))
    assert opened.writer.commit() is not None


def test_a_failure_of_the_batch_takes_back_all_of_it_and_the_heads(opened: Opened) -> None:
    opened.run(good(1))
    opened.connections[-1].execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageUnavailable) as raised:
        opened.run(good(2), [Insert("outbox", message("big", user_name="x" * 5_000_000))])
    assert raised.value.code == "storage_full"
    assert opened.kinds() == ["1"]
    opened.connections[-1].execute("PRAGMA max_page_count = 1000000")
    (outcome,) = opened.run(good(3))
    assert outcome == Committed((None, 2))
    assert opened.kinds() == ["1", "3"]
    assert len(opened.connections) == 1


def test_a_connection_that_broke_is_opened_afresh(opened: Opened) -> None:
    opened.run(good(1))
    opened.connections[0].close()
    with pytest.raises(StorageUnavailable):
        opened.run(good(2))
    assert opened.run(good(3)) == [Committed((None, 2))]
    assert opened.kinds() == ["1", "3"]


def test_a_failure_of_commit_is_told_and_the_head_is_read_again(opened: Opened) -> None:
    opened.run(good(1))
    opened.writer.execute(steps(good(2)))
    opened.connections[-1].execute("ROLLBACK")  # as SQLite does by itself on some failures
    with pytest.raises(StorageUnavailable):
        opened.writer.commit()
    assert opened.run(good(3)) == [Committed((None, 2))]


def test_a_file_that_another_process_locks_is_told_apart(opened: Opened) -> None:
    other = sqlite3.connect(opened.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for wait_s in (0, 0.05):
        # SQLite itself never sleeps on the event loop, whatever the last wait was.
        assert opened.connections[0].execute("PRAGMA busy_timeout").fetchone() == (0,)
        with pytest.raises(FileLocked):
            opened.writer.execute(steps(good(1)), wait_s)
    assert opened.connections[0].execute("PRAGMA busy_timeout").fetchone() == (0,)
    other.execute("ROLLBACK")
    other.close()
    assert opened.run(good(1)) == [Committed((None, 1))]


def test_an_event_that_another_process_appended_is_never_overwritten_nor_skipped(opened: Opened) -> None:
    opened.run(good(1))
    other = Opened(opened.path)
    other.run([event("foreign")])
    other.writer.close()
    with pytest.raises(StorageUnavailable):
        opened.run(good(2), [Insert("outbox", message("bystander"))])
    assert opened.run(good(3)) == [Committed((None, 3))]
    assert opened.kinds() == ["1", "foreign", "3"]


def test_the_head_is_found_in_the_file(opened: Opened) -> None:
    opened.run(*[good(n) for n in range(3)])
    again = Opened(opened.path)
    assert again.run([event("next")]) == [Committed((4,))]
    again.writer.close()


def test_a_checkpoint_is_due_when_the_log_has_grown_and_starts_it_afresh(opened: Opened) -> None:
    log = opened.path.with_name(opened.path.name + "-wal")
    for n in range(1000):
        opened.run(*[good(n * 100 + m) for m in range(50)])
        if opened.writer.checkpoint_due:
            break
    assert opened.writer.checkpoint_due
    grown = log.stat().st_size
    opened.writer.checkpoint()
    assert not opened.writer.checkpoint_due
    for m in range(3):
        opened.run(good(10**6 + m))
    assert log.stat().st_size == grown
    unread = connect_reader(opened.path)
    busy, frames, copied = unread.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    unread.close()
    assert (busy, frames, copied) == (0, frames, frames)
    assert 0 < frames < 100


def test_the_writer_syncs_every_commit_and_readers_cannot_write(opened: Opened) -> None:
    writer, reader = opened.connections[0], connect_reader(opened.path)
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writer.execute("PRAGMA secure_delete").fetchone() == (1,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM outbox")
    reader.close()


def test_an_erased_payload_is_not_left_in_the_file(opened: Opened) -> None:
    secret = "e-mail-address-that-was-erased"
    opened.run(
        [
            Insert("outbox", message("a", user_name=secret)),
            Insert("audit_event", row("audit_event", writer="x", payload=secret * 400)),
        ]
    )
    key: Row = {"writer": "x", "epoch": 0, "seq": 0}
    opened.run([Upsert("outbox", message("a")), Update("audit_event", key, {"payload": None}, (Where("payload", "not_null"),))])
    opened.writer.close()
    assert secret.encode() not in opened.path.read_bytes()
    assert not opened.path.with_name(opened.path.name + "-wal").exists()
